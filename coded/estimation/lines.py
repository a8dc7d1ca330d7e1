"""Lines through the inputs, and what smoothing splines along them tell of lost answers.

Every function here takes the places of answers on Q lines as `knots` (Q, n), no two of a line
equal, and the places of inputs as `points` (Q, m).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from coded.maps.arrays import Matrix
from coded.nearness.distances import distances_between, steps_along
from coded.nearness.order import canonical_order
from coded.nearness.paths import short_path
from coded.places.points import Points, chord_length, spaced_by
from fastspline import bundle
from fastspline.arrays import FloatArray

FEWEST_FOR_CURVE = 8  # inputs; of 5 or 6, points between them lose more than the copies they cost

# Constants of the measurements on tuning images and smooth functions (bench/science).
_N_LINES = 16  # 8: 3 % more error; 32: 1 % less
_DETOUR = 0.2  # spread of the factors on the distances; .1 and .3: 1 to 2 % more error
_FACTORS = 1 << 15  # drawn at a time, which stay in the cache
_STRAIGHT = 0.9  # 10 to 60 inputs of one parameter: .90 to 1, of two: .72 to .91, images: .6
_NUGGET = 0.01  # noise of an answer in units of the cubed mean gap; 0 to .03 are alike


def is_curve(rows: FloatArray, order: NDArray[np.intp]) -> bool:
    """Tell whether the path is a curve: inputs are near along it or not at all.

    The nearest of the other inputs than the two neighbours on the path is then about as far as by
    way of a neighbour, on average at least 0.9 of that: inputs have one parameter, and points
    between neighbours are inputs like others. Paths through a cloud or a grid turn back to inputs
    that they have passed. Three to seven inputs are never a curve, for f may wiggle between them.
    """
    if len(order) < FEWEST_FOR_CURVE:
        return len(order) < 3
    distances = distances_between(rows, order)
    near = np.abs(np.subtract.outer(*[np.arange(len(order))] * 2)) < 2
    nearest = np.where(near, np.inf, distances).min(axis=1)
    along = np.concatenate([[0.0], np.cumsum(distances.diagonal(1))])
    ways = np.full(len(order), np.inf)
    ways[2:] = along[2:] - along[:-2]
    ways[:-2] = np.minimum(ways[:-2], along[2:] - along[:-2])
    parts = nearest[ways > 0.0] / ways[ways > 0.0]
    return parts.size == 0 or bool(parts.mean() >= _STRAIGHT)


def several_lines(rows: FloatArray, order: NDArray[np.intp]) -> Matrix:
    """Give the points of the inputs on Q lines, (Q, K): the path `order`, and other short ones.

    The others are short for distances that are made a little longer or shorter at random, by
    factors of ``exp(0.2 z)``, z standard normal and the same at each call.
    """
    canonical = canonical_order(rows)
    distances = distances_between(rows, canonical)
    lines = np.empty((_N_LINES, len(rows)))
    lines[0, order] = chord_length(steps_along(rows, order))
    rng = np.random.default_rng(0)
    at_once = max(1, _FACTORS // distances.size)
    for start in range(1, _N_LINES, at_once):
        some = lines[start : start + at_once]
        factors = np.exp(_DETOUR * rng.standard_normal((len(some), *distances.shape)))
        paths = short_path(distances * factors)
        steps = distances[paths[:, :-1], paths[:, 1:]]
        some[np.arange(len(some))[:, None], canonical[paths]] = spaced_by(steps)
    return lines


def least_lam(n_inputs: int) -> float:
    """Give the smoothing that variances reckon with at least, the noise of an answer."""
    return _NUGGET * (2.0 / max(n_inputs - 1, 1)) ** 3


def left_out(
    knots: Matrix, values: Matrix, *, lam: float, weights: Points | None = None
) -> tuple[Matrix, Points]:
    """Leave out each answer: give the errors of its estimate, (n, columns), and their variances.

    Estimates and variances as for a lost input: means over the lines by inverse variances, here of
    the errors, noise included. n >= 3.
    """
    estimate, precision = bundle.left_out_matrix(knots, lam=lam, weights=weights)
    return values - estimate @ values, len(knots) / precision


def expected_errors(
    knots: Matrix,
    points: Matrix,
    values: Matrix,
    *,
    lam: float,
    growth: float,
    weights: Points | None = None,
) -> Points:
    """Give the expected error at each point, (m,): ``scale v^(growth / 2)``, v the variance.

    The scale is such that answers that are left out err as much as expected. n >= 3.
    """
    errors, own = left_out(knots, values, lam=lam, weights=weights)
    scale = np.mean(np.einsum("ij,ij->i", errors, errors) / own**growth)
    each = bundle.posterior_variances(knots, points, lam=lam, weights=weights)
    mean = len(each) / (1.0 / each).sum(axis=0)
    return np.asarray(np.sqrt(scale * mean**growth))


def smoothing_matrix(
    knots: Matrix, points: Matrix, *, lam: float, seen: float, weights: Points | None = None
) -> Matrix:
    """Give the mean of the lines' smoothing splines as a matrix, (m, n); variances with `seen`.

    Several lines are paths through inputs that are no curve: there a spline keeps its last value
    beyond its last answer, for a straight continuation would multiply the noise of a short step.
    """
    beyond: Literal["line", "constant"] = "constant" if len(knots) > 1 else "line"
    return bundle.mean_matrix(knots, points, lam=lam, seen=seen, weights=weights, beyond=beyond)


def risks(lines: Matrix) -> Points:
    """Give how far each input is from what would estimate it, in the length of a gap, (K,).

    The cube root of the variance with all other inputs answered: that of a gap h grows as h^3.
    """
    each = bundle.left_out_variances(lines, lam=least_lam(lines.shape[1]))
    return np.asarray((1.0 / each).sum(axis=0) ** (-1.0 / 3.0))
