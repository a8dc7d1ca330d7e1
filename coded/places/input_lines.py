"""Lines through the inputs: the curve on which they lie, or several short paths."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.maps.arrays import Matrix
from coded.nearness.distances import distances_between, steps_along
from coded.nearness.order import canonical_order
from coded.nearness.paths import short_path
from coded.places.points import Points, equidistant
from fastspline.arrays import FloatArray, read_vector, require_finite

FEWEST_FOR_CURVE = 8  # inputs; of 5 or 6, points between them lose more than the copies they cost

# Constants of the measurements on tuning images and smooth functions (bench/science).
_N_LINES = 16  # 8: 3 % more error; 32: 1 % less
_DETOUR = 0.2  # spread of the factors on the distances; .1 and .3: 1 to 2 % more error
_FACTORS = 1 << 15  # drawn at a time, which stay in the cache
_STRAIGHT = 0.9  # 10 to 60 inputs of one parameter: .90 to 1, of two: .72 to .91, images: .6


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


def chord_length(steps: ArrayLike) -> Points:
    """Give points whose gaps are proportional to the lengths of the steps between inputs.

    A curve through the inputs then has about unit speed: where f changes by at most c per unit
    of its input, it changes evenly along the line. Gaps are at least a thousandth of the mean
    one, since equal inputs would give equal points.

    Parameters
    ----------
    steps : array_like, shape (K - 1,)
        Distances between neighbouring inputs, not negative.

    Returns
    -------
    ndarray, shape (K,)
        Ascending, from -1 to 1; evenly spaced where all steps are 0.

    Raises
    ------
    TypeError
        If `steps` holds no real numbers.
    ValueError
        If a step is negative or not finite.

    Examples
    --------
    >>> chord_length([1.0, 3.0])
    array([-1. , -0.5,  1. ])
    """
    lengths = read_vector(steps, "steps")
    require_finite(lengths, "steps")
    if lengths.size and lengths.min() < 0:
        i = int(lengths.argmin())
        raise ValueError(f"steps must be >= 0, but steps[{i}] = {lengths[i]}; pass distances")
    return spaced_by(lengths)


def spaced_by(steps: Points) -> Points:
    """Give points, (..., K), by the steps between them, (..., K - 1), as `chord_length` does."""
    n_steps = steps.shape[-1]
    points = np.tile(equidistant(n_steps + 1), (*steps.shape[:-1], 1))
    differ = steps.any(axis=-1)
    some = steps[differ]
    least = 1e-3 * (some.sum(axis=-1, keepdims=True) / n_steps)
    along = np.cumsum(np.maximum(some, least), axis=-1)
    points[differ, 1:] = 2.0 * along / along[..., -1:] - 1.0
    return points
