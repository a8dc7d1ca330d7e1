"""What is left of noise: the variances of residuals of values that are nothing else.

A residual is 1 - leverage times what a value differs by from the curve without it, and that curve
is there made of what lies to the left and what lies to the right: with the value three independent
parts. Each side's filtered value and slope are carried as rows of coefficients of orthonormal
noises, so that variances are sums of squares.

References: as `posterior`; for the trace, T. Hastie and R. Tibshirani, "Generalized Additive
Models" (1990), section 3.5.
"""

import math

import numpy as np

from fastspline._kernels.posterior import both_sides, predict_side
from fastspline._kernels.state_space import predict_information
from fastspline.jit import INLINED, JIT, njit


@njit(**INLINED)
def turn(x, y):
    """Give the cosine and the sine that turn (x, y) into (length, 0), and that.

    Noises are in units of the largest: squares that underflow do not count.
    """
    size = math.sqrt(x * x + y * y)
    per = 1.0 / size if size > 0.0 else 0.0
    return (x * per, y * per, size) if size > 0.0 else (1.0, 0.0, 0.0)


@njit(**JIT)
def filter_noise(h, roughness, clamped, q, r, unit, side, rows):
    """Write the information (rho, beta, s) at each knot, (3, n), and the filtered noise, (n, 3).

    The latter is value (x, 0) and slope (a, b) of the values' noises r, over the root of `unit`.
    After a knot three noises make them: two of before, and that of the knot. Turning these makes
    them two again.
    """
    rho, beta, s = r[0], 0.0, (1.0 if clamped else 0.0)
    x, a, b = math.sqrt(r[0] / unit), 0.0, 0.0
    side[0, 0], side[1, 0], side[2, 0] = rho, beta, s
    rows[0, 0], rows[0, 1], rows[0, 2] = x, a, b
    for i in range(h.size):
        gap, noise = h[i], r[i + 1]
        one = 0.0 if clamped and i == 0 else 1.0
        qi = q / roughness[i] if roughness.size > 0 else q
        e, pa, pb, pc = predict_information(gap, qi, rho, beta, s, one)
        per_t, per_g = 1.0 / (noise * s + pc), 1.0 / (e + noise * pa)
        alpha, k1, k2 = noise * s * per_t, pc * per_t, pb * per_t
        turned = s * (noise + rho) - qi * s * gap * gap * gap / 6.0 + one * beta * (beta + gap)
        a22, s = turned * per_t, (noise * s + pc) * per_g
        rho, beta = noise * e * per_g, noise * pb * per_g
        own = math.sqrt(noise / unit)
        first, second, third = a22 * a - k2 * x, a22 * b, k2 * own  # of the slope
        c, sine, size = turn(alpha * (x + gap * a), alpha * gap * b)
        first, second = c * first + sine * second, c * second - sine * first
        c, sine, x = turn(size, k1 * own)
        third, first = c * third - sine * first, c * first + sine * third
        a, b = first, math.sqrt(second * second + third * third)
        side[0, i + 1], side[1, i + 1], side[2, i + 1] = rho, beta, s
        rows[i + 1, 0], rows[i + 1, 1], rows[i + 1, 2] = x, a, b


@njit(**JIT)
def noise_of_side(rows, i, gap, of_value, of_slope):
    """Give the variance of ``of_value f - of_slope f'`` predicted a gap beyond entry i."""
    if i < 0:
        return 0.0
    x, a, b = rows[i, 0], rows[i, 1], rows[i, 2]
    first = of_value * (x + gap * a) - of_slope * a
    second = of_value * (gap * b) - of_slope * b
    return first * first + second * second


@njit(**JIT)
def residual_variances(h, roughness, clamped, q, r, out):
    """Write diag(B R B') / r, B = I - S, R = diag(r), whose sum is tr(B B); give tr(B)."""
    n, unit, rest = r.size, 0.0, 0.0
    for i in range(n):
        unit = max(unit, r[i])
    left, right = np.empty((3, n)), np.empty((3, n))
    left_rows, right_rows = np.empty((n, 3)), np.empty((n, 3))
    filter_noise(h, roughness, clamped, q, r, unit, left, left_rows)
    filter_noise(
        h[::-1].copy(), roughness[::-1].copy(), clamped, q, r[::-1].copy(), unit, right, right_rows
    )
    for i in range(n):
        before, after, k = max(i - 1, 0), min(i, n - 2), n - 2 - i
        q_before = q / roughness[before] if roughness.size > 0 else q
        q_after = q / roughness[after] if roughness.size > 0 else q
        from_left = predict_side(left, i - 1, h[before], q_before, clamped)
        from_right = predict_side(right, k, h[after], q_after, clamped)
        c, d = both_sides(from_left, from_right)
        e, a, b, c_left, det = from_left
        er, ar, br, c_right, det_right = from_right
        total = r[i] * d + c
        of_slope = (b * c_right + br * c_left) / total
        of_left = (det * er + a * c_right + b * br) / total
        of_right = (det_right * e + ar * c_left + b * br) / total
        others = noise_of_side(left_rows, i - 1, h[before], of_left, of_slope)
        others += noise_of_side(right_rows, k, h[after], of_right, of_slope)
        rest += r[i] * d / total
        out[i] = (r[i] * d / total) ** 2 + r[i] * others * unit
    return rest
