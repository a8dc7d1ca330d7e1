"""What the codes should give, plainly from the papers; imports nothing of ours."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise, permutations

import numpy as np
from scipy.interpolate import CubicSpline


def chebyshev_first(n):
    """cos((2k - 1) pi / (2n)), k = 1..n, ascending."""
    return np.array([math.cos((2 * k - 1) * math.pi / (2 * n)) for k in range(n, 0, -1)])


def chebyshev_second(n):
    """cos((k - 1) pi / (n - 1)), k = 1..n, ascending."""
    return np.array([math.cos((k - 1) * math.pi / (n - 1)) for k in range(n, 0, -1)])


def smoothing_spline(knots, values, lam, points):
    """argmin sum (y - g)^2 + lam int g''^2 at `points`, by dense least squares and scipy."""
    knots, values = np.asarray(knots, float), np.asarray(values, float)
    n = len(knots)
    if n == 1:
        return np.repeat(values, len(points), axis=0)
    if math.isinf(lam):
        design = np.stack([np.ones(n), knots], axis=1)
        line, *_ = np.linalg.lstsq(design, values.reshape(n, -1), rcond=None)
        fitted = np.stack([np.ones(len(points)), points], axis=1) @ line
        return fitted.reshape(len(points), *values.shape[1:])
    if n == 2:
        share = (np.asarray(points) - knots[0]) / (knots[1] - knots[0])
        return np.multiply.outer(1 - share, values[0]) + np.multiply.outer(share, values[1])
    h = np.diff(knots)
    q = np.zeros((n, n - 2))
    r = np.zeros((n - 2, n - 2))
    for j in range(n - 2):
        q[j, j], q[j + 1, j], q[j + 2, j] = 1 / h[j], -1 / h[j] - 1 / h[j + 1], 1 / h[j + 1]
        r[j, j] = (h[j] + h[j + 1]) / 3
        if j + 1 < n - 2:
            r[j, j + 1] = r[j + 1, j] = h[j + 1] / 6
    # int g''^2 = g' q r^-1 q' g = ||c^-1 q' g||^2 with r = c c': one least-squares problem.
    penalty = math.sqrt(lam) * np.linalg.solve(np.linalg.cholesky(r), q.T)
    columns = values.reshape(n, -1)
    stacked = np.concatenate([columns, np.zeros((n - 2, columns.shape[1]))])
    fitted, *_ = np.linalg.lstsq(np.concatenate([np.eye(n), penalty]), stacked, rcond=None)
    fitted = fitted.reshape(values.shape)
    spline = CubicSpline(knots, fitted, bc_type="natural")
    inside = np.clip(points, knots[0], knots[-1])
    beyond = np.asarray(points) - inside
    shape = (len(points),) + (1,) * (values.ndim - 1)
    return spline(inside) + spline(inside, 1) * beyond.reshape(shape)


def letcc_encode(inputs, n_workers, lam_enc):
    """The published encoder: the averaged fit, so lam times K."""
    n_inputs = len(inputs)
    knots, points = chebyshev_first(n_inputs), chebyshev_second(n_workers)
    return smoothing_spline(knots, inputs, n_inputs * lam_enc, points)


def letcc_decode(coded_outputs, responders, n_inputs, n_workers, lam_dec):
    """The published decoder: the averaged fit, so lam times R."""
    knots = chebyshev_second(n_workers)[list(responders)]
    lam = len(knots) * lam_dec
    return smoothing_spline(knots, coded_outputs, lam, chebyshev_first(n_inputs))


def berrut(nodes, values, point):
    """sum (-1)^j y_j / (z - x_j) over sum (-1)^j / (z - x_j), scalar by scalar."""
    top = bottom = 0.0
    for j, (node, value) in enumerate(zip(nodes, values, strict=True)):
        if abs(point - node) < 1e-13:
            return value
        top += (-1) ** j / (point - node) * value
        bottom += (-1) ** j / (point - node)
    return top / bottom


def lagrange(nodes, values, point):
    """The polynomial through (nodes, values) at `point`, in exact arithmetic."""
    nodes = [Fraction(float(node)) for node in nodes]
    point = Fraction(float(point))
    total = Fraction(0)
    for j, value in enumerate(values):
        term = Fraction(value)
        for i, node in enumerate(nodes):
            if i != j:
                term *= (point - node) / (nodes[j] - node)
        total += term
    return total


def path_length(inputs, order):
    """Length of the path through the inputs in this order."""
    rows = np.asarray(inputs, float).reshape(len(inputs), -1)
    return sum(float(np.linalg.norm(rows[a] - rows[b])) for a, b in pairwise(order))


def shortest_path_length(inputs):
    """The least length over all orders, by trying them."""
    return min(path_length(inputs, order) for order in permutations(range(len(inputs))))


def least_squares_in_fractions(matrix, values):
    """Solve the normal equations of ``matrix @ x = values`` exactly; matrix of full column rank."""
    rows = [[Fraction(float(entry)) for entry in row] for row in matrix]
    right = [[Fraction(float(entry)) for entry in row] for row in values]
    columns = list(zip(*rows, strict=True))
    system = [
        [
            *(sum(a * b for a, b in zip(c, d, strict=True)) for d in columns),
            *(sum(a * y for a, y in zip(c, z, strict=True)) for z in zip(*right, strict=True)),
        ]
        for c in columns
    ]
    for i, row in enumerate(system):
        pivot = next(k for k in range(i, len(system)) if system[k][i])
        system[i], system[pivot] = system[pivot], row
        system[i] = [entry / system[i][i] for entry in system[i]]
        for k in range(len(system)):
            if k != i:
                factor = system[k][i]
                system[k] = [a - factor * b for a, b in zip(system[k], system[i], strict=True)]
    return np.array([[float(entry) for entry in row[len(columns) :]] for row in system])
