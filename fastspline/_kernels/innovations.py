"""The smoothing spline by innovations and costate, one column, in plain loops: exact and fast.

Reinsch's matrix A = R + Q^T diag(pull) Q (see `reinsch`, whose letters are used here) is the
covariance of Q^T y, second differences of an integrated Wiener process seen through noise. So in
A = L D L^T the lower factor is a Kalman filter: D^-1 L^-1 Q^T y are its innovations e, divided by
their variances, and L^-T is its transpose, the costate. As recurrences of second order, which
`reinsch` runs, both have a double root near 1: rounding grows with the square of their memory, and
once more in Q gamma. The same factor as pairs of first order, at knot k, h the gap before it,

    e_k = y_k - y_{k-1} + alpha_{k-1} e_{k-1} - h v,      v += k2_k e_k,
    u_k = per_f_k e_k - k1_k s - k2_k m,                  g_k = y_k - pull_k u_k,
    s += u_k,                                             m += h s

(v: the filtered slope; m: gamma; s: the third derivative in the gap), loses nothing: each step adds
a correction of the size of its error to what it carries, and the residual is a jump of s, not a
difference of gamma. The factor itself comes from the recursion of `state_space` that subtracts
nothing.

Taken literally each step waits for the one before through 8 operations forward and 12 backward. So
v and m are carried one step late, with their share in the coefficients: 6 and 8, and as many
operations as Reinsch's.

Where an observation replaces nearly all that was known (a `SHARP` knot: little noise, or a long gap
after short ones), v + k2 e and s + u cancel. There, and only there, the step is done by products:
everywhere, n rounded factors near 1 would add up.

References: R. E. Kalman, J. Basic Eng. 82 (1960); A. E. Bryson and M. Frazier (1963), the costate
of a smoother; P. de Jong, J. Amer. Statist. Assoc. 84 (1989), and S. J. Koopman, Biometrika 80
(1993), residuals by its jumps. Late steps, the sharp ones and `error_bound` were derived for this
package.
"""

import numpy as np

from fastspline._kernels.state_space import predict_information
from fastspline.jit import JIT, njit

# Columns of the table, knot k in row k; the last are of sharp knots alone.
GAP, PHI, LATE_K2 = 0, 1, 2  # forward: the gap before; e = rise - GAP v + PHI e, v += LATE_K2 e
PER_F, K2, KAPPA, LATE_H, PULL = 3, 4, 5, 6, 7  # backward; KAPPA = k1 + LATE_H k2
SHARP, ALPHA, A22 = 8, 9, 10  # 1 or 0
N_COEFFICIENTS = 11
SHARP_BELOW = 0.1  # alpha or |a22|: the quick step loses a digit


@njit(**JIT)
def factor_innovations(h, pull, table):
    """Write the table (n, N_COEFFICIENTS), given as zeros; give a bound of the error.

    As in `state_space`, q and r = q pull stand for 1 and pull, so that nothing overflows. The bound
    is in eps, relative to max |y|: largest where weak observations lie left of heavy ones, since
    the terms of u then exceed u. The variance of the costate (s, m) is at most the information
    (pa, pb, pc) / E that is predicted, which bounds those terms. Rounding alone gives a few tens of
    eps, whatever the bound says.
    """
    n = pull.size
    most, least = 1.0, np.inf
    for k in range(n):
        most, least = max(most, pull[k]), min(least, pull[k])
    q = 1.0 / most
    rho, beta, s = q * pull[0], 0.0, 0.0
    least, worst = np.sqrt(q * least), 0.0
    table[0, PULL] = pull[0]
    for k in range(1, n):
        hk, rk, row, before = h[k - 1], q * pull[k], table[k], table[k - 1]
        e, pa, pb, pc = predict_information(hk, q, rho, beta, s, 1.0)
        d = rk * s + pc
        per_d, per_total = 1.0 / d, 1.0 / (e + rk * pa)
        row[GAP], row[PULL] = hk, pull[k]
        row[PER_F], row[K2] = q * s * per_d, pb * per_d
        row[ALPHA], row[KAPPA] = rk * s * per_d, pc * per_d  # k1 = 1 - alpha
        near = s * (rk + rho - q * hk * hk * hk / 6.0)
        row[A22] = (near + beta * (beta + hk)) * per_d
        row[LATE_K2] = 0.0 if before[SHARP] > 0.0 else before[K2]
        row[PHI] = before[ALPHA] - hk * row[LATE_K2]
        if row[ALPHA] < SHARP_BELOW or abs(row[A22]) < SHARP_BELOW:
            row[SHARP] = 1.0
        else:
            before[LATE_H] = hk
            before[KAPPA] += hk * before[K2]
        if least > 0.0:
            terms = (np.sqrt(pa * pc) + pb) * np.sqrt(pc / e)
            worst = max(worst, rk * per_d * terms)
        rho, beta, s = rk * e * per_total, rk * pb * per_total, d * per_total
    return max(1.0, worst / least) if least > 0.0 else 1.0


@njit(**JIT)
def smooth_column(table, y, g, gamma):
    """Fit one column: fitted values into `g`, second derivatives into `gamma`, all of shape (n,).

    Gives the slope at the last knot, from which `add_slopes` goes on. It is not finite where y is
    not: every y_k enters the recurrence, and NaN or infinity never leaves it.
    """
    n = y.size
    e = v = 0.0
    for k in range(1, n):
        t = table[k]
        rise = y[k] - y[k - 1]
        if t[SHARP] > 0.0:
            v = v + t[LATE_K2] * e
            d = rise + table[k - 1, ALPHA] * e
            e = d - t[GAP] * v
            v = t[A22] * v + t[K2] * d
        else:
            ahead = rise - t[GAP] * v
            v = v + t[LATE_K2] * e
            e = t[PHI] * e + ahead
        gamma[k] = e
    last = v if table[n - 1, SHARP] > 0.0 else v + table[n - 1, K2] * e
    s = m = 0.0
    for k in range(n - 1, 0, -1):
        t = table[k]
        scaled = t[PER_F] * gamma[k]
        if t[SHARP] > 0.0:
            m = gamma[k] = m + t[LATE_H] * s
            c = t[ALPHA] * s + scaled
            after, s = s, c - t[K2] * m
            m = t[A22] * m + t[GAP] * c
            u = s - after
        else:
            u = (scaled - t[K2] * m) - t[KAPPA] * s
            m = gamma[k] = m + t[LATE_H] * s
            s = s + u
        g[k] = y[k] - t[PULL] * u
    g[0] = y[0] + table[0, PULL] * s  # the jumps sum to 0
    gamma[0] = 0.0
    return last


@njit(**JIT)
def add_slopes(table, last, gamma, slope):
    """Write the slopes at the knots: where gaps are short, differences of g would lose digits."""
    n = gamma.size
    slope[n - 1] = last
    for k in range(n - 1, 0, -1):
        slope[k - 1] = slope[k] - 0.5 * table[k, GAP] * (gamma[k - 1] + gamma[k])


@njit(**JIT)
def adjoint_add_slopes(table, bar_slope, bar_gamma):
    """Transpose of `add_slopes`: adds to the cotangents of gamma; gives that of the last slope."""
    total = bar_slope[0]
    for k in range(1, bar_slope.size):
        moved = 0.5 * table[k, GAP] * total
        bar_gamma[k - 1] -= moved
        bar_gamma[k] -= moved
        total += bar_slope[k]
    return total


@njit(**JIT)
def adjoint_smooth_column(table, bar_last, bar_g, bar_gamma):
    """Transpose of `smooth_column`: cotangents of its results in, of y out (in `bar_g`)."""
    n = bar_g.size
    s, m = table[0, PULL] * bar_g[0], 0.0
    for k in range(1, n):
        t = table[k]
        if t[SHARP] > 0.0:
            pulled = t[PULL] * bar_g[k]
            z = s - pulled
            c = z + t[GAP] * m
            m = t[A22] * m - t[K2] * z + bar_gamma[k]
            s = t[ALPHA] * c + pulled + t[LATE_H] * m
            bar_gamma[k] = t[PER_F] * c
        else:
            u = s - t[PULL] * bar_g[k]
            m = m + bar_gamma[k]
            s = s + t[LATE_H] * m - t[KAPPA] * u
            m = m - t[K2] * u
            bar_gamma[k] = t[PER_F] * u
    v = bar_last
    e = 0.0 if table[n - 1, SHARP] > 0.0 else table[n - 1, K2] * v
    for k in range(n - 1, 0, -1):
        t = table[k]
        d = e + bar_gamma[k]
        if t[SHARP] > 0.0:
            e, d = d, d + t[K2] * v
            v = t[A22] * v - t[GAP] * e
            e = table[k - 1, ALPHA] * d + t[LATE_K2] * v
        else:
            e = t[PHI] * d + t[LATE_K2] * v
            v = v - t[GAP] * d
        bar_g[k] += d
        bar_g[k - 1] -= d
