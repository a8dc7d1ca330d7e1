"""The recursion of `state_space` about the centre of its information: for weights over decades.

Where two heavy values lie close together they tell a slope that is large and next to unknown. A
filtered value further on, next to a light one, then is large too, and the smoother subtracts from
it what leaves the digits of the data behind. What such values tell well is the filtered line at a
distance beta back, at the centre of their weight:

    z = f - beta v,        information rho^-1 (z - ...)^2 + s (v - ...)^2 without a mixed term.

z is a mean of values, with weights that are not negative, and v enters all else with a factor s,
which is as small as v is large. Residuals are y - z here; the costate is that of `state_space`,
driven by the same innovations.
"""

import numpy as np

from fastspline._kernels.state_space import (
    A22,
    ALPHA,
    K1,
    K2,
    M11,
    N_COEFFICIENTS,
    P11,
    P12,
    P21,
    P22,
    P22_MINUS_1,
    PER_F,
    filter_information,
    predict_information,
)
from fastspline.jit import INLINED, JIT, njit

# Columns of the table, row i for the gap from knot i to i + 1, beside those of `state_space`.
DRIFT = 0  # z predicted at i + 1 is z + DRIFT v
GAIN, SLACK = 1, 2  # of z by the value at i + 1, and 1 - GAIN
KEPT, LOST = 3, 4  # of v, and 1 - KEPT
AHEAD = 5  # from there to the knot
M12, M22 = 6, 7  # smoother weights of v
N_CENTRED = 8


@njit(**JIT)
def factor_centred(h, roughness, clamped, q, r, table):
    """Write the coefficients of the sweeps, without a subtraction but in M12."""
    n = r.size
    rho, beta, s = np.empty(n), np.empty(n), np.empty(n)
    none = np.empty((0, N_COEFFICIENTS))
    filter_information(h, roughness, clamped, q, r, rho, beta, s, none)
    for i in range(n - 1):
        one = 0.0 if clamped and i == 0 else 1.0
        hi, ri, bi, si, rn = h[i], rho[i], beta[i], s[i], r[i + 1]
        qi = q / roughness[i] if roughness.size > 0 else q
        e, pa, pb, pc = predict_information(hi, qi, ri, bi, si, one)
        t, g = rn * si + pc, e + rn * pa
        qs = qi * si * hi
        c = table[i]
        c[DRIFT] = qs * (bi + 0.5 * hi) / pa
        c[GAIN], c[SLACK] = e / g, rn * pa / g
        c[KEPT], c[LOST] = si / pa * (g / t), pb / pa * (pb / t)
        c[AHEAD] = pb / pa
        c[M12] = 0.5 * qs * hi * (bi * qi * hi * hi / 6.0 - ri) / e
        c[M22] = qs * (qi * hi * hi * hi / 12.0 + ri) / e


@njit(**JIT)
def smooth_centred(h, co, table, y, residual, slope, gamma, shear, last_beta, last_qs):
    """Do what `state_space.smooth_panel` does."""
    n, columns = residual.shape
    clamped = y.shape[0] > n
    for j in range(columns):
        residual[0, j] = 0.0
        slope[0, j] = y[n, j] if clamped else 0.0
        gamma[n - 1, j] = 0.0
    for i in range(n - 1):
        c, k2 = table[i], co[i, K2]
        drift, gain, slack, kept, lost = c[DRIFT], c[GAIN], c[SLACK], c[KEPT], c[LOST]
        for j in range(columns):
            v = slope[i, j]
            d = (y[i + 1, j] - y[i, j]) + residual[i, j] - drift * v
            residual[i + 1, j] = d - gain * d if gain < 0.5 else slack * d
            slope[i + 1, j] = v + (k2 * d - lost * v) if kept > 0.5 else kept * v + k2 * d
    for j in range(columns):
        v = y[n + 1, j] if clamped else slope[n - 1, j]
        residual[n - 1, j] -= last_beta * v
        if not np.isfinite(residual[n - 1, j] + slope[n - 1, j] + y[n - 1, j]):
            return j
        if clamped:  # the value at the last knot, given its slope
            gamma[n - 1, j] = last_qs * (v - slope[n - 1, j])
            slope[n - 1, j] = v
    stored = 1 if shear.shape[0] > 1 else 0
    for i in range(n - 2, -1, -1):
        bend_row(i, h[i], co[i], table[i], y, residual, slope, gamma, shear, stored)
        smooth_row(i, co[i], table[i], y, residual, slope)
    return -1


@njit(**INLINED)
def bend_row(i, hi, c, centred, y, residual, slope, gamma, shear, stored):
    """Do what `state_space.bend_row` does, with rows of `shear` if they are `stored`."""
    alpha, k1, k2, a22, per_f = c[ALPHA], c[K1], c[K2], c[A22], c[PER_F]
    drift, ahead = centred[DRIFT], centred[AHEAD]
    near = alpha > 0.5 and a22 > 0.5
    beyond, here = stored * (i + 1), stored * i
    for j in range(gamma.shape[1]):
        v = slope[i, j]
        e = (y[i + 1, j] - y[i, j]) + residual[i, j] - drift * v - ahead * v
        before, moment = shear[beyond, j], gamma[i + 1, j]
        if near:
            shear[here, j] = before + (per_f * e - k1 * before - k2 * moment)
            gamma[i, j] = moment + hi * shear[here, j]
        else:
            carried = alpha * before + per_f * e
            shear[here, j] = carried - k2 * moment
            gamma[i, j] = a22 * moment + hi * carried


@njit(**INLINED)
def smooth_row(i, c, centred, y, residual, slope):
    """Smooth what is filtered at knot i, given what is smoothed at knot i + 1."""
    m11, m12, m22 = c[M11], centred[M12], centred[M22]
    p11, p12, p21, p22, p22m = c[P11], c[P12], c[P21], c[P22], c[P22_MINUS_1]
    near = m11 < 0.5 and p22m > -0.5
    for j in range(residual.shape[1]):
        d = (y[i + 1, j] - y[i, j]) - residual[i + 1, j]  # g_{i+1} - y_i
        e, v, u = residual[i, j], slope[i, j], slope[i + 1, j]
        t = d + e  # g_{i+1} - z_i
        if near:
            residual[i, j] = (m11 * t - m12 * v - p12 * u) - d
            slope[i, j] = u + (p21 * t + m22 * v + p22m * u)
        else:
            residual[i, j] = m11 * e - p11 * d - m12 * v - p12 * u
            slope[i, j] = p21 * t + m22 * v + p22 * u


@njit(**JIT)
def adjoint_smooth_centred(
    h, co, table, bar_y, bar_slope, bar_gamma, bar_shear, last_beta, last_qs
):
    """Do what `state_space.adjoint_smooth_panel` does."""
    n, columns = bar_slope.shape
    clamped = bar_y.shape[0] > n
    shear, moment = np.zeros(columns), bar_gamma[0].copy()
    for i in range(n - 1):  # the backward sweep, in terms of values z and g instead of residuals
        hi, c, centred = h[i], co[i], table[i]
        alpha, k2, a22, per_f = c[ALPHA], c[K2], c[A22], c[PER_F]
        m11, m12, m22 = c[M11], centred[M12], centred[M22]
        p11, p12, p21, p22 = c[P11], c[P12], c[P21], c[P22]
        for j in range(columns):
            if bar_shear.shape[0] > 0:
                shear[j] += bar_shear[i, j]
            z = shear[j] + hi * moment[j]
            moment[j] = a22 * moment[j] - k2 * shear[j] + bar_gamma[i + 1, j]
            shear[j] = alpha * z
            bar_gamma[i + 1, j] = per_f * z
            f, v = bar_y[i, j], bar_slope[i, j]
            bar_y[i + 1, j] += p11 * f + p21 * v
            bar_slope[i + 1, j] += p12 * f + p22 * v
            bar_y[i, j] = m11 * f - p21 * v
            bar_slope[i, j] = m12 * f + m22 * v
    for j in range(columns):
        if clamped:
            bar_y[n + 1, j] += bar_slope[n - 1, j] + last_beta * bar_y[n - 1, j]
            bar_y[n + 1, j] += last_qs * moment[j]
            bar_slope[n - 1, j] = -last_qs * moment[j]
        else:
            bar_slope[n - 1, j] += last_beta * bar_y[n - 1, j]
    for i in range(n - 1, 0, -1):  # the filter
        c, k2 = table[i - 1], co[i - 1, K2]
        for j in range(columns):
            z, v, e = bar_y[i, j], bar_slope[i, j], bar_gamma[i, j]
            back = c[SLACK] * z - k2 * v - e
            bar_y[i, j] = c[GAIN] * z + k2 * v + e
            bar_y[i - 1, j] += back
            bar_slope[i - 1, j] += c[DRIFT] * back + c[KEPT] * v - c[AHEAD] * e
    if clamped:
        bar_y[n] += bar_slope[0]
