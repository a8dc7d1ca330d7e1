"""Draws of a curve from what the data leave open, from the last node back to the first.

With the data of nodes 1, ..., i and the state X = (f, f') at node i + 1, that at node i is normal
with mean ``A_i X_{i+1}`` (less what the data add, which is the fitted curve) and covariance N_i, of
which `response` has A_i and N_i. Roots of N_i come without a subtraction too: with R_i = det(N_i) /
N_11, and of the last node from beta and s of `state_space`.

Reference: C. K. Carter and R. Kohn, "On Gibbs sampling for state space models", Biometrika 81
(1994), lemma 2.1.
"""

import math

import numpy as np

from fastspline._kernels.response import (
    C11,
    C12,
    C21,
    C22,
    N11,
    N12,
    N22,
    N_COEFFICIENTS,
    cross_seen,
    cross_unseen,
)
from fastspline.jit import JIT, njit

# Columns of the table of steps, row i from node i + 1 to i; of the last row, L11, L21 and L22.
A11, A12, A21, A22, L11, L21, L22 = 0, 1, 2, 3, 4, 5, 6
N_STEPS = 7


@njit(**JIT)
def plan_draws(h, roughness, clamped, q, precision, steps):
    """Write the steps between nodes; `precision` is 1 / r, 0 without data, see `respond`.

    In the last row: f = L11 z_1 + L21 z_2 and f' = L22 z_2.
    """
    n = precision.size
    c = np.empty(N_COEFFICIENTS)
    known = clamped or precision[0] > 0.0
    rho = 1.0 / precision[0] if known else 0.0
    beta, s = 0.0, 1.0 if clamped else 0.0
    for i in range(n - 1):
        qi = q / roughness[i] if roughness.size > 0 else q
        w, step = precision[i + 1], steps[i]
        if known:
            one = 0.0 if clamped and i == 0 else 1.0
            curved = qi * h[i] * (s * rho + one * beta * beta)
            rest = 4.0 * one * rho + curved
            rest = one * one * rho * qi * h[i] / rest if rest > 0.0 else 0.0
            e, pa, pb, pc = cross_seen(h[i], qi, rho, beta, s, one, c)
            if w == np.inf:
                rho, beta, s = 0.0, 0.0, pc / e
            else:
                g = e * w + pa
                rho, beta, s = e / g, pb / g, (s + pc * w) / g
        else:
            cross_unseen(h[i], qi, c)
            rest = 0.25 * qi * h[i]
            if w > 0.0:
                known, rho, beta, s = True, 1.0 / w, 0.0, 0.0
        step[A11], step[A12], step[A21], step[A22] = c[C11], c[C12], c[C21], c[C22]
        step[L11] = math.sqrt(c[N11])
        step[L21] = c[N12] / step[L11] if step[L11] > 0.0 else 0.0
        step[L22] = math.sqrt(rest if step[L11] > 0.0 else c[N22])
    last = steps[n - 1]
    last[:] = 0.0
    last[L11] = math.sqrt(rho)
    if not clamped:
        last[L22] = 1.0 / math.sqrt(s)
        last[L21] = beta * last[L22]


@njit(**JIT)
def draw_curves(steps, value, slope):
    """Turn standard normal numbers (n, b), two a node, into values and slopes of b draws."""
    n, columns = value.shape
    last = steps[n - 1]
    for j in range(columns):
        turn = slope[n - 1, j]
        value[n - 1, j] = last[L11] * value[n - 1, j] + last[L21] * turn
        slope[n - 1, j] = last[L22] * turn
    for i in range(n - 2, -1, -1):
        c = steps[i]
        for j in range(columns):
            one, two, u, v = value[i, j], slope[i, j], value[i + 1, j], slope[i + 1, j]
            value[i, j] = c[A11] * u + c[A12] * v + c[L11] * one
            slope[i, j] = c[A21] * u + c[A22] * v + c[L21] * one + c[L22] * two
