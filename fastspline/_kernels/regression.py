"""Penalised regression splines: fewer knots than data, by orthogonal rotations along the knots.

Between two knots f is a cubic whose third derivative u is constant, and its state (f'', f', f) at
the left knot is linear in (u, f'', f', f), with the state at the right one. Values and penalty are
rows of a least-squares problem in these four. Going from gap to gap, rotations make the four
unknowns of a gap triangular; the first row gives u once the state on its right is known, the other
three say of that state all that was seen so far. The penalty has no part in f' and f, so that
straight lines stay exact however large lam is.

In units of about a gap. References: G. J. Bierman, "Factorization Methods for Discrete Sequential
Estimation" (1977), chapter V, the square root information filter and smoother; C. de Boor, "A
Practical Guide to Splines" (2001), chapter XIV.
"""

from math import hypot, sqrt

import numpy as np

from fastspline.jit import JIT, njit


@njit(**JIT)
def rotate_in(triangle, rights, row, right):
    """Rotate one row of a least-squares problem, with its right sides, into triangular ones."""
    size, columns = row.size, right.size
    for k in range(size):
        if row[k] == 0.0:
            continue
        length = hypot(triangle[k, k], row[k])
        c, s = triangle[k, k] / length, row[k] / length
        for j in range(k, size):
            kept = triangle[k, j]
            triangle[k, j] = c * kept + s * row[j]
            row[j] = c * row[j] - s * kept
        for j in range(columns):
            kept = rights[k, j]
            rights[k, j] = c * kept + s * right[j]
            right[j] = c * right[j] - s * kept


@njit(**JIT)
def observe(e, root, row):
    """Write the row of a value at a distance e before a knot, of weight root**2."""
    row[0], row[1], row[2], row[3] = -root * e**3 / 6.0, root * e * e / 2.0, -root * e, root


@njit(**JIT)
def reduce_values(knots, gap, x, root, y, triangles, rights, rest):
    """Turn the values (n, columns) in each gap into at most four rows, and their squares left."""
    columns = y.shape[1]
    row, right = np.empty(4), np.empty(columns)
    triangles[:], rights[:], rest[:] = 0.0, 0.0, 0.0
    for i in range(x.size):
        if root[i] == 0.0:
            continue
        j = gap[i]
        observe(knots[j + 1] - x[i], root[i], row)
        for k in range(columns):
            right[k] = root[i] * y[i, k]
        rotate_in(triangles[j], rights[j], row, right)
        for k in range(columns):
            rest[k] += right[k] * right[k]


@njit(**JIT)
def filter_states(h, triangles, rights, lam, third, third_right, last, last_right):
    """Go from the first gap to the last: rows of u (gaps, 4), and of the last state (3, 3).

    The penalty of a gap, lam h (f''**2 - f'' h u + h**2 u**2 / 3), is two rows, triangular already.
    """
    columns = rights.shape[2]
    triangle, right_sides = np.empty((4, 4)), np.empty((4, columns))
    row, right = np.empty(4), np.empty(columns)
    last[:], last_right[:] = 0.0, 0.0
    heavy = sqrt(lam)
    for j in range(h.size):
        g = h[j]
        triangle[:], right_sides[:] = 0.0, 0.0
        triangle[0, 0] = heavy * g * sqrt(g / 3.0)
        triangle[0, 1] = -heavy * 0.5 * sqrt(3.0 * g)
        triangle[1, 1] = heavy * 0.5 * sqrt(g)
        for k in range(3):
            r0, r1, r2 = last[k, 0], last[k, 1], last[k, 2]
            row[0] = -g * (r0 - 0.5 * g * (r1 - g / 3.0 * r2))
            row[1] = r0 - g * (r1 - 0.5 * g * r2)
            row[2], row[3] = r1 - g * r2, r2
            right[:] = last_right[k]
            rotate_in(triangle, right_sides, row, right)
        for k in range(4):
            row[:], right[:] = triangles[j, k], rights[j, k]
            rotate_in(triangle, right_sides, row, right)
        third[j], third_right[j] = triangle[0], right_sides[0]
        last[:], last_right[:] = triangle[1:, 1:], right_sides[1:]


@njit(**JIT)
def solve_states(h, third, third_right, last, last_right, states, jerk):
    """Go back: states (knots, 3, columns) as (f'', f', f) at the knots, u (gaps, columns)."""
    end = h.size
    for k in range(last_right.shape[1]):
        f = last_right[2, k] / last[2, 2]
        slope = (last_right[1, k] - last[1, 2] * f) / last[1, 1]
        bend = (last_right[0, k] - last[0, 1] * slope - last[0, 2] * f) / last[0, 0]
        states[end, 0, k], states[end, 1, k], states[end, 2, k] = bend, slope, f
        for i in range(end):
            j = end - 1 - i
            g = h[j]
            seen = third[j, 1] * bend + third[j, 2] * slope + third[j, 3] * f
            u = (third_right[j, k] - seen) / third[j, 0]
            f -= g * (slope - 0.5 * g * (bend - g / 3.0 * u))
            slope -= g * (bend - 0.5 * g * u)
            bend -= g * u
            jerk[j, k] = u
            states[j, 0, k], states[j, 1, k], states[j, 2, k] = bend, slope, f


@njit(**JIT)
def factor_covariances(h, third, last, factors):
    """Go back: factors (gaps, 4, 4) with covariance F F' of (u, f'', f', f) in each gap."""
    state, moved = np.zeros((3, 3)), np.empty((3, 4))
    for k in range(3):  # the inverse of the last triangle
        for i in range(k, -1, -1):
            total = 1.0 if i == k else 0.0
            for j in range(i + 1, k + 1):
                total -= last[i, j] * state[j, k]
            state[i, k] = total / last[i, i]
    for i in range(h.size):
        j = h.size - 1 - i
        g, factor = h[j], factors[j]
        factor[:] = 0.0
        factor[0, 0] = 1.0 / third[j, 0]
        for k in range(3):
            seen = 0.0
            for m in range(3):
                factor[m + 1, k + 1] = state[m, k]
                seen += third[j, m + 1] * state[m, k]
            factor[0, k + 1] = -seen / third[j, 0]
        for k in range(4):
            u, bend, slope, f = factor[0, k], factor[1, k], factor[2, k], factor[3, k]
            moved[0, k] = bend - g * u
            moved[1, k] = slope - g * (bend - 0.5 * g * u)
            moved[2, k] = f - g * (slope - 0.5 * g * (bend - g / 3.0 * u))
        squeeze(moved, state)


@njit(**JIT)
def squeeze(wide, square):
    """Write a lower triangle (3, 3) with the same products of rows as `wide` (3, 4), which goes."""
    for row in range(3):
        for k in range(row + 1, 4):
            if wide[row, k] == 0.0:
                continue
            length = hypot(wide[row, row], wide[row, k])
            c, s = wide[row, row] / length, wide[row, k] / length
            for i in range(row, 3):
                kept = wide[i, row]
                wide[i, row] = c * kept + s * wide[i, k]
                wide[i, k] = c * wide[i, k] - s * kept
    square[:] = wide[:, :3]


@njit(**JIT)
def square_rows(gap, rows, factors, out):
    """Write ``|row F|**2``, a variance, for rows (m, 4) of the gaps that they lie in."""
    for i in range(gap.size):
        factor, total = factors[gap[i]], 0.0
        for k in range(4):
            part = 0.0
            for m in range(4):
                part += rows[i, m] * factor[m, k]
            total += part * part
        out[i] = total
