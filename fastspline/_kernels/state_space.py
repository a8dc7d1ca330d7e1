"""The subtraction-free recursion where Reinsch's system loses digits: exact for every lam.

The spline is the posterior mean of an integrated Wiener process: state X = (f, f'), process noise
q, observation noise r_i = lam q / w_i. Information from the left on (f, -f') has nonnegative
entries a, b, c and determinant D, and every update is a sum of nonnegative terms, so nothing
cancels. It is kept as

    rho = 1/a,  beta = b/a,  s = D/a,

so that r = 0 (lam = 0) and q = 0 (lam = inf, the weighted line) are no special cases. Gaps are in
the unit of `scale_gaps`; q = 1 and r = lam/w up to lam = 1, q = 1/lam and r = 1/w above: the same
problem, without overflow. Roughness weights (one a gap) divide q there: then not f'' is continuous
but the moment, roughness times f'', which is what `gamma` holds.

Clamped plans know the slopes at both ends. Then s = inf at the first knot: E, pa, pb, pc and D are
given divided by it, so that D becomes 1 and terms without s vanish. `one` (1 or 0) stands beside
these.

References: G. Wahba, J. R. Statist. Soc. B 40 (1978); C. F. Ansley and R. Kohn, "A geometrical
derivation of the fixed interval smoothing algorithm", Biometrika 69 (1982). The division-free form
was derived for this package.
"""

import numpy as np

from fastspline.jit import INLINED, JIT, njit

# Columns of the coefficient table, row i for the gap from knot i to i + 1.
ALPHA, K1, K2, A22 = 0, 1, 2, 3  # forward gains; K1 = 1 - ALPHA, without subtraction
M11, M12, M22 = 4, 5, 6  # smoother weights of the filtered state at i
P11, P12, P21, P22, P22_MINUS_1 = 7, 8, 9, 10, 11  # and of the smoothed state at i + 1
PER_F = 12  # q over the variance of the innovation at i + 1
N_COEFFICIENTS = 13


@njit(**JIT)
def scale_noise(weights, top, lam, r):
    """Write the observation noise lam q top / w_i into `r`; give the process noise q.

    q is min(1, 1 / lam), so that a large lam overflows nothing. Empty `weights` stand for ones.
    """
    q, numerator = (1.0, lam) if lam <= 1.0 else (1.0 / lam, 1.0)
    for i in range(r.size):
        r[i] = numerator / (weights[i] / top) if weights.size > 0 else numerator
    return q


@njit(**JIT)
def factor_state_space(h, roughness, clamped, q, r, co):
    """Write the sweeps' coefficients; give beta and q s at the last knot for clamped sweeps."""
    information = np.empty((3, r.size))
    filter_information(
        h, roughness, clamped, q, r, information[0], information[1], information[2], co
    )
    return information[1, r.size - 1], q * information[2, r.size - 1]


@njit(**JIT)
def predict_information(h, q, rho, beta, s, one=1.0):
    """Give (E, pa, pb, pc): information (pa, pb, pc) / E and determinant s / E after a gap h.

    What the gap alone tells comes first, so that a step waits little for the one before.
    """
    qh = q * h
    third = qh * h * h / 3.0
    e = one * (rho + qh * (beta * beta + h * beta) + third) + s * (rho * qh + 0.25 * third * qh)
    pa = one + s * qh
    pb = one * (beta + h) + s * (0.5 * qh * h)
    pc = s * (rho + third) + one * (beta + h) * (beta + h)
    return e, pa, pb, pc


@njit(**INLINED)
def filter_information(h, roughness, clamped, q, r, rho, beta, s, co):
    """Run the information recursion; write the sweeps' coefficients where `co` has rows."""
    rho[0], beta[0], s[0] = r[0], 0.0, (1.0 if clamped else 0.0)
    extend_information(np.int64(0), h, roughness, clamped, q, r, rho, beta, s, co)


@njit(**JIT)
def extend_information(first, h, roughness, clamped, q, r, rho, beta, s, co):
    """Run the recursion of `filter_information` on from knot `first`, where it is known."""
    for i in range(first, r.size - 1):
        one = 0.0 if clamped and i == 0 else 1.0
        hi, ri, bi, si, rn = h[i], rho[i], beta[i], s[i], r[i + 1]
        qi = q / roughness[i] if roughness.size > 0 else q
        e, pa, pb, pc = predict_information(hi, qi, ri, bi, si, one)
        t = rn * si + pc
        g = e + rn * pa
        rho[i + 1] = rn * e / g
        beta[i + 1] = rn * pb / g
        s[i + 1] = t / g
        if co.shape[0] == 0:
            continue
        h2 = hi * hi
        h3 = h2 * hi
        c0 = si * ri + one * bi * bi
        b1 = one * bi
        bb = one * bi * (bi + hi)
        sq = qi * si * h2 * h2 / 12.0
        qe = qi / e
        c = co[i]
        c[ALPHA], c[K1], c[K2] = rn * si / t, pc / t, pb / t
        c[A22] = (si * (rn + ri) - qi * si * h3 / 6.0 + bb) / t
        c[M11] = (sq + one * h3 / 3.0 + 0.5 * b1 * h2) * qe
        c[M12] = -(b1 * h3 / 3.0 + 0.5 * c0 * h2) * qe
        c[M22] = (sq + 0.5 * b1 * h2 + c0 * hi) * qe
        c[P11] = (one * ri + qi * (hi * c0 + 0.5 * h2 * b1)) / e
        c[P12] = -(one * ri * hi + qi * (0.5 * h2 * c0 + b1 * h3 / 6.0)) / e
        c[P21] = one * hi * (bi + 0.5 * hi) * qe
        c[P22] = one * (ri - qi * (0.5 * h2 * bi + h3 / 6.0)) / e
        c[P22_MINUS_1] = -(sq + 1.5 * b1 * h2 + c0 * hi + 0.5 * one * h3) * qe
        c[PER_F] = q * si / t


@njit(**INLINED)
def filter_row(i, hi, c, y, residual, slope):
    """Write filtered residual and slope at knot i + 1 from those at knot i, a gap `hi` before."""
    alpha, k1, k2, a22 = c[ALPHA], c[K1], c[K2], c[A22]
    if alpha > 0.5 and a22 > 0.5:
        for j in range(residual.shape[1]):
            v = slope[i, j]
            e = (y[i + 1, j] - y[i, j]) + residual[i, j] - hi * v
            residual[i + 1, j] = e - k1 * e
            slope[i + 1, j] = v + k2 * e
    else:
        for j in range(residual.shape[1]):
            v = slope[i, j]
            d = (y[i + 1, j] - y[i, j]) + residual[i, j]
            residual[i + 1, j] = alpha * (d - hi * v)
            slope[i + 1, j] = a22 * v + k2 * d


@njit(**INLINED)
def bend_row(i, hi, c, y, residual, slope, gamma, shear, beyond, here):
    """Write the moment at knot i from that at knot i + 1 and what is filtered at knot i.

    The costate of the smoother (Bryson and Frazier 1963): its second entry is the moment, its first
    the shear, less the moment's derivative, of which that of the gap after i goes to row `here`
    from row `beyond`. Nothing but innovations enters, whose size is that of the moments; states
    and their slopes can be larger by any factor.
    """
    alpha, k1, k2, a22, per_f = c[ALPHA], c[K1], c[K2], c[A22], c[PER_F]
    near = alpha > 0.5 and a22 > 0.5
    for j in range(shear.shape[1]):
        e = (y[i + 1, j] - y[i, j]) + residual[i, j] - hi * slope[i, j]
        before, moment = shear[beyond, j], gamma[i + 1, j]
        if near:
            shear[here, j] = before + (per_f * e - k1 * before - k2 * moment)
            gamma[i, j] = moment + hi * shear[here, j]
        else:
            carried = alpha * before + per_f * e
            shear[here, j] = carried - k2 * moment
            gamma[i, j] = a22 * moment + hi * carried


@njit(**INLINED)
def smooth_row(i, c, y, residual, slope):
    """Smooth what is filtered at knot i, given what is smoothed at knot i + 1."""
    m11, m12, m22 = c[M11], c[M12], c[M22]
    p11, p12, p21, p22, p22m = c[P11], c[P12], c[P21], c[P22], c[P22_MINUS_1]
    near = m11 < 0.5 and p22m > -0.5
    for j in range(residual.shape[1]):
        d = (y[i + 1, j] - y[i, j]) - residual[i + 1, j]  # g_{i+1} - y_i
        e, v, u = residual[i, j], slope[i, j], slope[i + 1, j]
        t = d + e  # g_{i+1} - f_i
        if near:
            residual[i, j] = (m11 * t - m12 * v - p12 * u) - d
            slope[i, j] = u + (p21 * t + m22 * v + p22m * u)
        else:
            residual[i, j] = m11 * e - p11 * d - m12 * v - p12 * u
            slope[i, j] = p21 * t + m22 * v + p22 * u


@njit(**JIT)
def smooth_panel(h, co, y, residual, slope, gamma, shear, last_beta=0.0, last_qs=0.0):
    """Fit the columns of `y` (n, b): residuals y - g, slopes and moments, scaled.

    `shear`, given as zeros, gets less the derivative of the moment in the gap after each knot, (n,
    b), or is but a place to carry it, (1, b).

    Where `y` has two more rows they hold the slopes at both ends (a clamped plan, which then gives
    `last_beta` and `last_qs`); moments at the ends are 0 only without them.

    It carries residuals, not values, so that they keep their relative accuracy. Where gains come
    near 0 or 1, the near identity is applied as an increment: n rounded factors near 1 would add
    up. Gives the first column that is not finite, or -1.
    """
    n, columns = residual.shape
    clamped = y.shape[0] > n
    for j in range(columns):
        residual[0, j] = 0.0
        slope[0, j] = y[n, j] if clamped else 0.0
        gamma[n - 1, j] = 0.0
    for i in range(n - 1):
        filter_row(i, h[i], co[i], y, residual, slope)
    for j in range(columns):
        if not np.isfinite(residual[n - 1, j] + slope[n - 1, j] + y[n - 1, j]):
            return j
    if clamped:  # the value at the last knot, given its slope
        for j in range(columns):
            surprise = y[n + 1, j] - slope[n - 1, j]
            residual[n - 1, j] -= last_beta * surprise
            slope[n - 1, j] = y[n + 1, j]
            gamma[n - 1, j] = last_qs * surprise
    kept = 1 if shear.shape[0] > 1 else 0
    for i in range(n - 2, -1, -1):
        beyond, here = kept * (i + 1), kept * i
        bend_row(i, h[i], co[i], y, residual, slope, gamma, shear, beyond, here)
        smooth_row(i, co[i], y, residual, slope)
    return -1


@njit(**JIT)
def evaluate_panel(spans, weights, rows, g, slope, out):
    """Evaluate the columns of a panel; see `evaluate_column`."""
    n, columns = g.shape
    for k in range(n):
        after = min(k + 1, n - 1)
        for p in range(spans[2 * k], spans[2 * k + 2]):
            w0, w1, w2, row = weights[p, 0], weights[p, 1], weights[p, 2], rows[p]
            base = 1.0 if p < spans[2 * k + 1] else 0.0
            for j in range(columns):
                v = base * g[k, j] + w0 * (g[after, j] - g[k, j])
                out[row, j] = v + w1 * slope[k, j] + w2 * slope[after, j]


@njit(**JIT)
def write_coefficients(knots, g, slope, curvature, t, c):
    """Write the B-spline of values, slopes and second derivatives (n, b): t (n + 6), c (n + 2, b).

    A coefficient is the blossom of the cubic at three neighbouring knots, see `Spline.to_bspline`.
    """
    n, columns = g.shape
    for i in range(3):
        t[i], t[n + 3 + i] = knots[0], knots[n - 1]
    before = 0.0
    for i in range(n):
        t[i + 3] = knots[i]
        after = knots[i + 1] - knots[i] if i < n - 1 else 0.0
        first, second = (after - before) / 3.0, after * before / 6.0
        for j in range(columns):
            c[i + 1, j] = g[i, j] + slope[i, j] * first - curvature[i, j] * second
        before = after
    for j in range(columns):
        c[0, j], c[n + 1, j] = g[0, j], g[n - 1, j]


@njit(**JIT)
def adjoint_evaluate_panel(spans, weights, rows, cotangent, bar_g, bar_slope):
    """Transpose of `evaluate_panel`: adds to the cotangents of g and of slope."""
    n, columns = bar_g.shape
    for k in range(n):
        after = min(k + 1, n - 1)
        for p in range(spans[2 * k], spans[2 * k + 2]):
            w0, w1, w2, row = weights[p, 0], weights[p, 1], weights[p, 2], rows[p]
            base = 1.0 if p < spans[2 * k + 1] else 0.0
            for j in range(columns):
                c = cotangent[row, j]
                moved = w0 * c
                bar_g[k, j] += base * c - moved
                bar_g[after, j] += moved
                bar_slope[k, j] += w1 * c
                bar_slope[after, j] += w2 * c


@njit(**JIT)
def add_rows(sources, rows, sums):
    """Add row i of a panel to row ``sources[i]`` of the sums."""
    for i in range(sources.size):
        for j in range(rows.shape[1]):
            sums[sources[i], j] += rows[i, j]


@njit(**JIT)
def adjoint_smooth_panel(h, co, bar_y, bar_slope, bar_gamma, bar_shear, last_beta=0.0, last_qs=0.0):
    """Transpose of y -> (g, slope, gamma, shear): cotangents (n, b) in, of y out (in `bar_y`).

    Those of shears may be missing, (0, b).

    For a clamped plan `bar_y` has two more rows, which receive the cotangents of the end slopes.
    That of the innovation at knot i comes to stand in ``bar_gamma[i]``.
    """
    n, columns = bar_slope.shape
    clamped = bar_y.shape[0] > n
    shear, moment = np.zeros(columns), bar_gamma[0].copy()
    for i in range(n - 1):  # the backward sweep, in terms of values f and g instead of residuals
        hi, c = h[i], co[i]
        alpha, k1, k2, a22, per_f = c[ALPHA], c[K1], c[K2], c[A22], c[PER_F]
        if bar_shear.shape[0] > 0:
            for j in range(columns):
                shear[j] += bar_shear[i, j]
        if alpha > 0.5 and a22 > 0.5:
            for j in range(columns):
                z = shear[j] + hi * moment[j]
                shear[j] = z - k1 * z
                moment[j] = moment[j] - k2 * z + bar_gamma[i + 1, j]
                bar_gamma[i + 1, j] = per_f * z
        else:
            for j in range(columns):
                z = shear[j] + hi * moment[j]
                moment[j] = a22 * moment[j] - k2 * shear[j] + bar_gamma[i + 1, j]
                shear[j] = alpha * z
                bar_gamma[i + 1, j] = per_f * z
        m11, m12, m22 = c[M11], c[M12], c[M22]
        p11, p12, p21, p22 = c[P11], c[P12], c[P21], c[P22]
        for j in range(columns):
            f, v = bar_y[i, j], bar_slope[i, j]
            bar_y[i + 1, j] += p11 * f + p21 * v
            bar_slope[i + 1, j] += p12 * f + p22 * v
            bar_y[i, j] = m11 * f - p21 * v
            bar_slope[i, j] = m12 * f + m22 * v
    if clamped:
        for j in range(columns):
            surprise = last_beta * bar_y[n - 1, j] + last_qs * moment[j]
            bar_y[n + 1, j] += bar_slope[n - 1, j] + surprise
            bar_slope[n - 1, j] = -surprise
    for i in range(n - 1, 0, -1):  # the filter
        hi, c = h[i - 1], co[i - 1]
        alpha, k1, k2, a22 = c[ALPHA], c[K1], c[K2], c[A22]
        for j in range(columns):
            f, v, e = bar_y[i, j], bar_slope[i, j], bar_gamma[i, j]
            bar_y[i, j] = k1 * f + k2 * v + e
            bar_y[i - 1, j] += alpha * f - k2 * v - e
            bar_slope[i - 1, j] += hi * (alpha * f - e) + a22 * v
    if clamped:
        bar_y[n] += bar_slope[0]
