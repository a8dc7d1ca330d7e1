"""Data sets on which ways to choose lam compete: known curves under noise, ten kinds of them.

Half of them, told by a hash of their name, is for choosing a rule and its constants; the other half
was put aside before, and is for the table alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Generator = np.random.Generator


class DataSet(NamedTuple):
    """Knots (n,), weights (n,) or None, values (n,), and the curve that they measure there.

    `noise` is the standard deviation of a value of weight 1.
    """

    name: str
    kind: str
    knots: Array
    weights: Array | None
    values: Array
    truth: Array
    noise: float

    @property
    def is_aside(self) -> bool:
        """Whether it was put aside: the first bit of a hash of its name."""
        return hashlib.sha256(self.name.encode()).digest()[0] >= 128

    def loss(self, fitted: Array) -> float:
        """Give the weighted mean square error of fitted values."""
        square: float = np.average((fitted - self.truth) ** 2, weights=self.weights)
        return square


# --- where curves are measured, in [0, 1] ------------------------------------------------------


def _equidistant(n: int, rng: Generator) -> Array:  # noqa: ARG001 (one interface for all)
    return np.linspace(0.0, 1.0, n)


def _random(n: int, rng: Generator) -> Array:
    return np.sort(rng.random(n))


def _jittered(n: int, rng: Generator) -> Array:
    return (np.arange(n) + rng.uniform(0.1, 0.9, n)) / n


def _chebyshev(n: int, rng: Generator) -> Array:  # noqa: ARG001 (one interface for all)
    return 0.5 - 0.5 * np.cos(np.arange(n) * np.pi / (n - 1))


def _clustered(n: int, rng: Generator) -> Array:
    """Place runs of five gaps, near 1 and near 1e-3 in turn."""
    is_short = np.arange(n - 1) // 5 % 2 == 0
    gaps = np.where(is_short, 1e-3, 1.0) * rng.uniform(0.5, 1.5, n - 1)
    return np.concatenate([[0.0], gaps.cumsum()]) / gaps.sum()


def _paired(n: int, rng: Generator) -> Array:
    """Measure at each place twice, one after the other."""
    places = np.arange(n) // 2 + np.where(np.arange(n) % 2, rng.uniform(1e-4, 1e-2, n), 0.0)
    return places / places[-1]


# --- curves on [0, 1] --------------------------------------------------------------------------


def _line(x: Array, rng: Generator) -> Array:
    return rng.uniform(-3.0, 3.0) * x + rng.uniform(-1.0, 1.0)


def _waves(x: Array, rng: Generator) -> Array:
    return np.sin(2.0 * np.pi * (rng.uniform(0.5, 5.0) * x + rng.random()))


def _fast_waves(x: Array, rng: Generator) -> Array:  # noqa: ARG001 (one interface for all)
    """Draw a sine of five points a wave, ``sin(40 pi x)`` for 100 points."""
    return np.sin(0.4 * np.pi * x.size * x)


def _peak(x: Array, rng: Generator) -> Array:
    return np.sin(6.0 * x) + np.exp(-800.0 * (x - rng.uniform(0.2, 0.8)) ** 2)


def _chirp(x: Array, rng: Generator) -> Array:
    """Draw waves that grow shorter (Donoho and Johnstone 1994, "Doppler")."""
    end = rng.uniform(0.05, 0.3)
    return 2.0 * np.sqrt(x * (1.0 - x)) * np.sin(2.1 * np.pi / (x + end))


def _step(x: Array, rng: Generator) -> Array:
    return np.where(x > rng.uniform(0.3, 0.7), 1.0, 0.0) + 0.5 * x


def _kink(x: Array, rng: Generator) -> Array:
    return np.abs(x - rng.uniform(0.3, 0.7)) + 0.2 * np.sin(9.0 * x)


# --- the sets ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """What sets of one kind share; sizes and noises are crossed, two draws of each.

    `weighted`: variances run over four decades and weights are their inverses.
    """

    name: str
    designs: Sequence[Callable[[int, Generator], Array]]
    curves: Sequence[Callable[[Array, Generator], Array]]
    sizes: Sequence[int]
    noises: Sequence[float]
    weighted: bool = False


SIZES = (25, 50, 100, 300)
LOUD = (0.03, 0.1, 0.3, 1.0)
QUIET = (1e-3, 0.01, 0.1, 0.3)
CLUSTERS = (_clustered, _paired)
KINDS = (
    Kind("waves, equidistant", [_equidistant], [_waves], SIZES, LOUD),
    Kind(
        "fast waves, equidistant and jittered",
        [_equidistant, _jittered], [_fast_waves], (60, 100, 177, 300), QUIET,
    ),
    Kind("line, random", [_random], [_line], (25, 50, 100, 177), (0.01, 0.1, 0.3, 1.0)),
    Kind("waves, random", [_random], [_waves], SIZES, LOUD),
    Kind("fast waves, random", [_random], [_fast_waves], (60, 100, 177, 300), QUIET),
    Kind("waves, clusters", CLUSTERS, [_waves], (26, 50, 100, 300), (1e-3, 0.03, 0.3, 1.0)),
    Kind("line, clusters", CLUSTERS, [_line], (26, 50, 100, 176), (0.01, 0.1, 0.3, 1.0)),
    Kind(
        "peak and chirp, Chebyshev",
        [_chebyshev], [_peak, _chirp], (50, 100, 177, 300), (0.01, 0.1, 0.3, 1.0),
    ),
    Kind("step and kink, jittered", [_jittered], [_step, _kink], SIZES, (0.01, 0.03, 0.1, 0.3)),
    Kind(
        "peak and waves, weighted",
        [_random, _equidistant], [_peak, _waves], SIZES, LOUD, weighted=True,
    ),
)  # fmt: skip
DRAWS = 2


def data_sets(draws: Iterable[int] = range(DRAWS)) -> Iterator[DataSet]:
    """Give all sets: for each kind its sizes by its noises, and each of them twice.

    Other draws are other sets, for those who try rules.
    """
    for kind in KINDS:
        for n in kind.sizes:
            for noise in kind.noises:
                for draw in draws:
                    yield _draw(kind, n, noise, draw)


def _draw(kind: Kind, n: int, noise: float, draw: int) -> DataSet:
    """Draw a set by a hash of its name, so that it depends on no other."""
    name = f"{kind.name}, n {n}, noise {noise:g}, draw {draw}"
    rng = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))
    knots = kind.designs[draw % len(kind.designs)](n, rng)
    truth = kind.curves[draw % len(kind.curves)](knots, rng)
    weights = 10.0 ** rng.uniform(-2.0, 2.0, n) if kind.weighted else None
    sigma = noise if weights is None else noise / np.sqrt(weights)
    values = truth + sigma * rng.standard_normal(n)
    return DataSet(name, kind.name, knots, weights, values, truth, noise)
