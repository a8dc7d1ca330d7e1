"""What the values of a fit leave open, as numbers: draws, and how wide bands must be."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from fastspline._fit import Group, Noise
from fastspline._solvers.panel import PanelSolver
from fastspline._solvers.periodic import PeriodicSolver
from fastspline._solvers.tableau import Vector

DRAWS = 10_000  # of which quantiles are taken
BLOCK, AT_ONCE = 500, 1 << 21  # draws at a time, and nodes of all of these
ABREAST = 100  # groups that share the numbers of their draws
# Five points of Gauss and Lobatto: ends of an interval count, next to which speeds can peak.
PLACES = np.array([0.0, 0.5 - np.sqrt(3.0 / 28.0), 0.5, 0.5 + np.sqrt(3.0 / 28.0), 1.0])
SHARES = np.array([1.0 / 20.0, 49.0 / 180.0, 16.0 / 45.0, 49.0 / 180.0, 1.0 / 20.0])
CLOSE = 1e-7  # relative error of the length of a path
HALVINGS = 60

Known = tuple[tuple[Group, Noise], ...]


def draw(
    known: Known,
    points: Vector,
    nu: int,
    size: int,
    rng: int | np.random.Generator | None,
    columns: int,
) -> Vector:
    """Draw from the posterior, less its mean: (size, points, columns)."""
    streams = derived(rng).spawn(columns)
    out = np.full((size, points.size, columns), np.nan)
    for group, noise in known:
        draws = group.plan.solver.exact().draws(points)
        for column, deviation in zip(
            np.arange(columns)[group.columns], noise.of_curves, strict=True
        ):
            block = _block(draws.nodes)
            for first in range(0, size, block):
                count = min(block, size - first)
                made = draws(streams[column].standard_normal((2, draws.nodes, count)), nu)
                out[first : first + count, :, column] = deviation * made.T
    return out


def student_factor(noise: Noise, level: float) -> float:
    """Give the quantile of Student's distribution by what is told of the noise."""
    from scipy.special import stdtrit

    return float(stdtrit(noise.freedom, 0.5 + level / 2.0))


def simultaneous_factors(
    known: Known, points: Vector, nu: int, level: float, rng: int | np.random.Generator
) -> list[float]:
    """Give by how many standard deviations each group's curves leave a stretch of points."""
    if points.size == 0:
        return [0.0 for _ in known]
    if nu == 0:
        return [
            crossing_factor(path_length(solver, _stretch(solver, points)), noise.freedom, level)
            for solver, noise in _solvers_of(known)
        ]
    factors: list[float] = []
    stream = derived(rng)
    for first in range(0, len(known), ABREAST):
        among = known[first : first + ABREAST]
        factors += drawn_factors(among, points, level, copy.deepcopy(stream))
    return factors


def _solvers_of(known: Known) -> Iterator[tuple[PanelSolver, Noise]]:
    """Give each group's solver."""
    return ((group.plan.solver.exact(), noise) for group, noise in known)


def _stretch(solver: PanelSolver, points: Vector) -> Vector:
    """Give the least and the greatest of the points, and the knots between them."""
    knots = solver.gaps.knots
    first, last = points.min(), points.max()
    if isinstance(solver, PeriodicSolver):
        return knots
    if solver.clamped:
        first, last = np.clip([first, last], *knots[[0, -1]])
    return np.concatenate([[first], knots[(first < knots) & (knots < last)], [last]])


def path_length(solver: PanelSolver, nodes: Vector) -> float:
    """Integrate the standard deviation of (f / std)' from node to node, halving where it bends."""
    low, high = nodes[:-1], nodes[1:]
    total, coarse = 0.0, _integrate_speed(solver, low, high)
    little = CLOSE * (1.0 + float(coarse.sum())) / max(coarse.size, 1)  # where speeds are rounding
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = np.stack([low, middle]), np.stack([middle, high])
        halves = _integrate_speed(solver, low.ravel(), high.ravel()).reshape(2, -1)
        fine = halves.sum(axis=0)
        rough = np.abs(fine - coarse) > np.maximum(CLOSE * fine, little)
        total += float(fine[~rough].sum())
        if not rough.any():
            return total
        low, high, coarse = low[:, rough].ravel(), high[:, rough].ravel(), halves[:, rough].ravel()
    return total + float(coarse.sum())


def _integrate_speed(solver: PanelSolver, low: Vector, high: Vector) -> Vector:
    """Integrate over each interval by one rule."""
    points = low + PLACES[:, np.newaxis] * (high - low)
    speed = solver.covariances(points.ravel())[3].reshape(points.shape)
    result: Vector = (high - low) * (SHARES @ speed)
    return result


def crossing_factor(length: float, freedom: float, level: float) -> float:
    """Solve for c; see `Spline.interval`."""
    from scipy.special import stdtr

    def excess(c: float) -> float:
        crossings = length / np.pi * np.exp(-0.5 * freedom * np.log1p(c * c / freedom))
        return float(2.0 * stdtr(freedom, -c) + crossings - (1.0 - level))

    low, high = 0.0, 1.0
    while excess(high) > 0.0 and high < 1e150:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    return high


def drawn_factors(
    known: Known, points: Vector, level: float, stream: np.random.Generator
) -> list[float]:
    """Give the quantile of the largest |f' - mean| / std over points, among draws.

    All groups take the same numbers.
    """
    prepared = []
    largest = np.zeros((len(known), DRAWS))
    for solver, _ in _solvers_of(known):
        places = np.union1d(_stretch(solver, points), points)
        deviation = np.sqrt(solver.covariances(places)[2])
        places, deviation = places[deviation > 0.0], deviation[deviation > 0.0]
        prepared.append((solver.draws(places), deviation[:, np.newaxis]))
    most = max(draws.nodes for draws, _ in prepared)
    block = _block(most)
    for first in range(0, DRAWS, block):
        normals = stream.standard_normal((2, most, min(block, DRAWS - first)))
        for mine, (draws, deviation) in zip(largest, prepared, strict=True):
            if deviation.size:  # else the slope is known everywhere
                made = draws(normals[:, : draws.nodes].copy(), 1)
                made /= deviation
                np.abs(made, out=made).max(axis=0, out=mine[first : first + block])
    factors = []
    for mine, (_, noise) in zip(largest, known, strict=True):
        scale = copy.deepcopy(stream).chisquare(noise.freedom, DRAWS) / noise.freedom
        factors.append(float(np.quantile(mine / np.sqrt(scale), level)))
    return factors


def _block(nodes: int) -> int:
    """Give how many draws fit in memory at a time."""
    return min(BLOCK, max(1, AT_ONCE // nodes))


def derived(rng: int | np.random.Generator | None) -> np.random.Generator:
    """Make a generator from numbers of `rng`, which they advance; of None from fresh entropy."""
    if not (rng is None or isinstance(rng, np.random.Generator)):
        if isinstance(rng, bool) or not hasattr(rng, "__index__"):
            raise TypeError(f"rng must be None, an int or a numpy.random.Generator, got {rng!r}")
        if rng < 0:
            raise ValueError(f"rng must not be negative, got {rng}")
        rng = int(rng)
    most = np.iinfo(np.uint64).max
    numbers = np.random.default_rng(rng).integers(most, size=4, dtype=np.uint64, endpoint=True)
    return np.random.default_rng(numbers)
