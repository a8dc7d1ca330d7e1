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
from numba import njit

from fastspline._kernels.posterior import both_sides, predict_side
from fastspline._kernels.state_space import (
    A22,
    ALPHA,
    K1,
    K2,
    N_COEFFICIENTS,
    filter_information,
)
from fastspline.jit import JIT


@njit(**JIT)
def turn(x, y):
    """Give the cosine and the sine that turn (x, y) into (hypot, 0), and that."""
    size = math.hypot(x, y)
    return (1.0, 0.0, 0.0) if size == 0.0 else (x / size, y / size, size)


@njit(**JIT)
def filter_noise(h, co, r, rows):
    """Write the filtered value (x, 0) and slope (a, b) at each knot, (n, 3), of values' noises r.

    After a knot three noises make them: two of before, and that of the knot. Turning these makes
    them two again.
    """
    x, a, b = math.sqrt(r[0]), 0.0, 0.0
    rows[0, 0], rows[0, 1], rows[0, 2] = x, a, b
    for i in range(h.size):
        alpha, k1, k2, a22 = co[i, ALPHA], co[i, K1], co[i, K2], co[i, A22]
        noise = math.sqrt(r[i + 1])
        first, second, own = a22 * a - k2 * x, a22 * b, k2 * noise  # of the slope
        c, s, size = turn(alpha * (x + h[i] * a), alpha * h[i] * b)
        first, second = c * first + s * second, c * second - s * first
        c, s, x = turn(size, k1 * noise)
        a, b = c * first + s * own, math.hypot(second, c * own - s * first)
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
    """Write diag(B R B') / r, B = I - S, R = diag(r): its sum is the trace of B B."""
    n = r.size
    left, right = np.empty((3, n)), np.empty((3, n))
    left_rows, right_rows = np.empty((n, 3)), np.empty((n, 3))
    co, h_back, r_back = np.empty((n - 1, N_COEFFICIENTS)), h[::-1].copy(), r[::-1].copy()
    filter_information(h, roughness, clamped, q, r, left[0], left[1], left[2], co)
    filter_noise(h, co, r, left_rows)
    filter_information(
        h_back, roughness[::-1].copy(), clamped, q, r_back, right[0], right[1], right[2], co
    )
    filter_noise(h_back, co, r_back, right_rows)
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
        out[i] = (r[i] * d / total) ** 2 + r[i] * others
