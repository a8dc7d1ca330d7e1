"""Reinsch's smoothing spline, one column, in plain loops: text, oracle and fallback of `sweep`.

With second derivatives gamma at the inner knots (gamma_0 = gamma_{n-1} = 0), gaps h and pull = lam
/ weights,

    (R + Q^T diag(pull) Q) gamma = Q^T y,          g = y - diag(pull) Q gamma,

where column j of Q holds 1/h_j, -1/h_j - 1/h_{j+1}, 1/h_{j+1} in rows j, j+1, j+2, and R is
tridiagonal with (h_j + h_{j+1})/3 on and h_{j+1}/6 beside its diagonal. The matrix is symmetric,
pentadiagonal and the same for all columns: it is factored once, as L D L^T, into the coefficients
of two short recurrences.

References: C. H. Reinsch, "Smoothing by spline functions", Numer. Math. 10 (1967); P. J. Green and
B. W. Silverman, "Nonparametric Regression and Generalized Linear Models" (1994), sections 2.1 to
2.3.
"""

import numpy as np

from fastspline.jit import JIT, njit


@njit(**JIT)
def factor_pentadiagonal(h, pull, table):
    """Write what step k of the sweeps multiplies with; both tables are given as zeros.

    They lie one behind the other in `table` (9 n,), since numba compiles views for long.

    forward (n, 4):   u_k = f0 (y_{k+1} - y_k) + f1 (y_k - y_{k-1}) + f2 u_{k-1} + f3 u_{k-2}
                      at inner k; u = D^-1 L^-1 Q^T y
    backward (n, 5):  gamma_{k-1} = u_{k-1} + b0 gamma_k + b1 gamma_{k+1},  L^T gamma = u
                      g_k = y_k + b2 gamma_{k-1} + b3 gamma_k + b4 gamma_{k+1}
    """
    # A step waits for the one before through one division, one product and one sum.
    n = pull.size
    l1 = l2 = l22 = 0.0  # first and second subdiagonal of L, one column back; two columns back
    ld1 = ld2 = ld22 = 0.0  # and of L D
    q0, q2, q3 = 0.0, 1.0 / h[0], 1.0 / h[min(1, n - 2)]
    for j in range(n - 2):
        k = j + 1
        q0, q2 = q2, q3
        q1 = -q0 - q2
        diagonal = (h[j] + h[j + 1]) / 3.0
        diagonal += pull[j] * q0 * q0 + pull[j + 1] * q1 * q1 + pull[j + 2] * q2 * q2
        first = second = 0.0
        if j < n - 3:
            q3 = 1.0 / h[j + 2]
            first = h[j + 1] / 6.0 + pull[j + 1] * q1 * q2 - pull[j + 2] * q2 * (q2 + q3)
            if j < n - 4:
                second = pull[j + 2] * q2 * q3
        per_d = 1.0 / (diagonal - l22 * ld22 - l1 * ld1)
        row = 4 * k
        table[row], table[row + 1] = q2 * per_d, -q0 * per_d
        table[row + 2], table[row + 3] = -ld1 * per_d, -ld22 * per_d
        l22, ld22 = l2, ld2
        ld1, ld2 = first - ld2 * l1, second
        l1, l2 = ld1 * per_d, ld2 * per_d
        row = 4 * n + 5 * k
        table[row + 5], table[row + 6] = -l1, -l2
        table[row + 7] = -pull[k + 1] * q2
        table[row + 3] = -pull[k] * q1
        table[row - 1] = -pull[k - 1] * q0


@njit(**JIT)
def smooth_column(forward, backward, y, g, gamma):
    """Fit one column: fitted values into `g`, second derivatives into `gamma`, all of shape (n,).

    Gives False where y is not finite: every y_k enters the recurrence, and NaN or infinity never
    leaves it.
    """
    n = y.size
    gamma[0] = gamma[n - 1] = 0.0
    u1 = u2 = 0.0
    before = y[1] - y[0]
    for k in range(1, n - 1):
        f = forward[k]
        rise = y[k + 1] - y[k]
        u = f[0] * rise + f[1] * before + f[3] * u2 + f[2] * u1
        gamma[k] = u
        u2, u1, before = u1, u, rise
    m2 = m1 = 0.0
    for k in range(n - 1, -1, -1):
        b = backward[k]
        m0 = 0.0
        if k > 0:
            m0 = gamma[k - 1] + b[1] * m2 + b[0] * m1
            gamma[k - 1] = m0
        g[k] = y[k] + b[4] * m2 + b[3] * m1 + b[2] * m0
        m2, m1 = m1, m0
    return np.isfinite(u1) and np.isfinite(before)


@njit(**JIT)
def evaluate_column(spans, weights, rows, g, slope, out):
    """Evaluate one column: ``out[rows[p]]`` for every point p, from what `tabulate_points` wrote.

    `slope` holds whatever the weights multiply beside g: second derivatives here, slopes for the
    state-space solver.
    """
    n = g.size
    for k in range(n):
        after = min(k + 1, n - 1)
        rise = g[after] - g[k]
        for p in range(spans[2 * k], spans[2 * k + 2]):
            base = g[k] if p < spans[2 * k + 1] else 0.0
            w = weights[p]
            out[rows[p]] = base + w[0] * rise + w[1] * slope[k] + w[2] * slope[after]


@njit(**JIT)
def adjoint_evaluate_column(spans, weights, rows, cotangent, bar_g, bar_slope):
    """Transpose of `evaluate_column`: adds to the cotangents of g and of slope."""
    n = bar_g.size
    for k in range(n):
        after = min(k + 1, n - 1)
        for p in range(spans[2 * k], spans[2 * k + 2]):
            c = cotangent[rows[p]]
            w = weights[p]
            if p < spans[2 * k + 1]:
                bar_g[k] += c
            bar_g[after] += w[0] * c
            bar_g[k] -= w[0] * c
            bar_slope[k] += w[1] * c
            bar_slope[after] += w[2] * c


@njit(**JIT)
def adjoint_smooth_column(forward, backward, bar_g, bar_gamma):
    """Transpose of `smooth_column`: cotangents of g and gamma in, of y out (in `bar_g`)."""
    n = bar_g.size
    for k in range(n):
        b = backward[k]
        if k > 0:
            bar_gamma[k - 1] += b[2] * bar_g[k]
        bar_gamma[k] += b[3] * bar_g[k]
        if k < n - 1:
            bar_gamma[k + 1] += b[4] * bar_g[k]
    for k in range(2, n):
        b, bar = backward[k], bar_gamma[k - 1]
        bar_gamma[k] += b[0] * bar
        if k < n - 1:
            bar_gamma[k + 1] += b[1] * bar
    for k in range(n - 2, 0, -1):
        f, u = forward[k], bar_gamma[k]
        if k > 1:
            bar_gamma[k - 1] += f[2] * u
        if k > 2:
            bar_gamma[k - 2] += f[3] * u
        bar_g[k + 1] += f[0] * u
        bar_g[k] += (f[1] - f[0]) * u
        bar_g[k - 1] -= f[1] * u
