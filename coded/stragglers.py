"""Who straggles and for how long: models to draw from, randomness passed in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count, read_number, require_number


@runtime_checkable
class StragglerModel(Protocol):
    """Draws which workers never answer."""

    def draw(self, n_workers: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Give the sorted indices of the stragglers among `n_workers`."""


@dataclass(frozen=True)
class UniformStragglers:
    """A fixed number of workers, each set equally likely.

    Equal `rng` and N give nested sets: a larger count only adds stragglers.

    Parameters
    ----------
    count : int
        S >= 0.

    Raises
    ------
    TypeError
        If `count` is no integer.
    ValueError
        If `count` is negative.

    Examples
    --------
    >>> UniformStragglers(2).draw(6, np.random.default_rng(0)).shape
    (2,)
    """

    count: int

    def __post_init__(self) -> None:
        """Check the count."""
        read_count(self.count, "count", at_least=0)

    def draw(self, n_workers: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw `count` of `n_workers`; ValueError if there are not so many."""
        _require_workers(self.count, n_workers)
        return np.sort(rng.permutation(n_workers)[: self.count])


@dataclass(frozen=True)
class IndependentStragglers:
    """Each worker straggles with the same probability, independently.

    Parameters
    ----------
    probability : float
        In [0, 1].

    Raises
    ------
    TypeError
        If `probability` is no number.
    ValueError
        If `probability` lies outside [0, 1].

    Examples
    --------
    >>> IndependentStragglers(0.0).draw(6, np.random.default_rng(0)).size
    0
    """

    probability: float

    def __post_init__(self) -> None:
        """Check the probability."""
        require_number(self.probability, "probability")
        if not 0 <= self.probability <= 1:
            raise ValueError(
                f"probability must lie in [0, 1], got {self.probability}; 0.1 loses one in ten"
            )

    def draw(self, n_workers: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw each of `n_workers` with the probability."""
        return np.flatnonzero(rng.random(n_workers) < self.probability)


@dataclass(frozen=True)
class ConsecutiveStragglers:
    """A fixed number of neighbouring workers, each block equally likely: hardest to interpolate.

    Parameters
    ----------
    count : int
        S >= 0.

    Raises
    ------
    TypeError
        If `count` is no integer.
    ValueError
        If `count` is negative.

    Examples
    --------
    >>> ConsecutiveStragglers(3).draw(3, np.random.default_rng(0))
    array([0, 1, 2])
    """

    count: int

    def __post_init__(self) -> None:
        """Check the count."""
        read_count(self.count, "count", at_least=0)

    def draw(self, n_workers: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw a block of `count` of `n_workers`; ValueError if there are not so many."""
        _require_workers(self.count, n_workers)
        return int(rng.integers(n_workers - self.count + 1)) + np.arange(self.count)


@dataclass(frozen=True)
class MachineStragglers:
    """A fixed number of whole machines with all their workers, each set equally likely.

    Workers are listed machine by machine, as a cluster's host list has them: machine m has
    workers ``m w, ..., m w + w - 1`` with w = workers_per_machine, the last machine what is
    left. Equal `rng`, N and w give nested sets: a larger count only adds machines.

    Parameters
    ----------
    count : int
        Machines lost, >= 0.
    workers_per_machine : int
        w >= 1.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If `count` is negative or `workers_per_machine` below 1.

    Examples
    --------
    >>> MachineStragglers(1, workers_per_machine=4).draw(4, np.random.default_rng(0))
    array([0, 1, 2, 3])
    """

    count: int
    workers_per_machine: int

    def __post_init__(self) -> None:
        """Check the counts."""
        read_count(self.count, "count", at_least=0)
        read_count(self.workers_per_machine, "workers_per_machine", at_least=1)

    def draw(self, n_workers: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw all workers of `count` machines; ValueError if there are not so many machines."""
        n_machines = -(-n_workers // self.workers_per_machine)
        if self.count > n_machines:
            raise ValueError(
                f"count must be <= {n_machines}, the machines that {n_workers} workers fill, got "
                f"{self.count}; let fewer machines fail"
            )
        lost = rng.permutation(n_machines)[: self.count]
        return np.flatnonzero(np.isin(np.arange(n_workers) // self.workers_per_machine, lost))


@dataclass(frozen=True, eq=False)
class SlowInputStragglers:
    """A fixed number of workers, those whose coded inputs take longest: what is lost is no chance.

    What a worker evaluates decides how long it takes, as with solvers whose steps grow finer:
    worker n needs ``cost(x_n) exp(spread z_n)`` seconds, z_n standard normal and drawn anew each
    time. Copies of an expensive input are lost together, and those that answer lie elsewhere.

    Parameters
    ----------
    count : int
        S >= 0.
    cost : callable
        From a stack of coded inputs, shape (N, ...), to their seconds, shape (N,), above 0.
    spread : float, optional
        How much else there is to a worker's time, >= 0; 0 makes it the same in each draw.

    Raises
    ------
    TypeError
        If `count` is no integer, `cost` not callable or `spread` no number.
    ValueError
        If `count` or `spread` is negative or `spread` not finite.

    Examples
    --------
    >>> model = SlowInputStragglers(2, lambda x: 1.0 + x**2, spread=0.0)
    >>> model.facing(np.array([3.0, 0.0, -2.0, 1.0])).draw(4, np.random.default_rng(0))
    array([0, 2])
    """

    count: int
    cost: Callable[[Any], ArrayLike]
    spread: float = 0.25

    def __post_init__(self) -> None:
        """Check count, cost and spread."""
        read_count(self.count, "count", at_least=0)
        if not callable(self.cost):
            raise TypeError(
                f"cost must be callable, got {self.cost!r}; pass a function from a stack of coded "
                "inputs to their seconds"
            )
        read_number(self.spread, "spread", "[0, inf)")

    def facing(self, coded_inputs: ArrayLike) -> StragglerModel:
        """Give the model once it is known what each worker evaluates.

        Parameters
        ----------
        coded_inputs : array_like, shape (N, ...)
            As `cost` takes them.

        Returns
        -------
        StragglerModel

        Raises
        ------
        ValueError
            If `cost` does not give a positive, finite number for each.
        """
        given: Any = coded_inputs
        seconds = np.asarray(self.cost(given), dtype=np.float64)
        if seconds.shape != (len(given),):
            raise ValueError(
                f"cost must give {len(given)} seconds, one a coded input, got shape "
                f"{seconds.shape}; reduce over all axes but the first"
            )
        if not ((seconds > 0) & (seconds < np.inf)).all():
            bad = int(np.argmin((seconds > 0) & (seconds < np.inf)))
            raise ValueError(
                f"cost must give positive, finite seconds, but gives {seconds[bad]} for worker "
                f"{bad}; add what the shortest task takes"
            )
        return _Slowest(self.count, seconds, self.spread)

    def draw(self, n_workers: int, rng: np.random.Generator) -> NDArray[np.intp]:  # noqa: ARG002
        """Raise ValueError: without coded inputs nobody knows which workers are slow."""
        raise ValueError(
            f"SlowInputStragglers({self.count}) depends on what the {n_workers} workers evaluate; "
            "call facing(coded_inputs) first, or pass it to simulate or recommend"
        )


@dataclass(frozen=True, eq=False)
class _Slowest:
    """The workers that take longest, of seconds that are known but for a factor."""

    count: int
    seconds: NDArray[np.float64]
    spread: float

    def draw(self, n_workers: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw the factors and give the slowest."""
        if n_workers != len(self.seconds):
            raise ValueError(
                f"n_workers must be {len(self.seconds)}, the workers whose seconds are known, got "
                f"{n_workers}; call facing again with their coded inputs"
            )
        _require_workers(self.count, n_workers)
        logs = np.log(self.seconds) + self.spread * rng.standard_normal(n_workers)
        return np.sort(np.argsort(-logs, kind="stable")[: self.count])


@dataclass(frozen=True)
class ParetoDelays:
    """Delays with a heavy tail, in seconds: ``P(delay > t) = (scale / t)^shape`` up to the cap.

    Parameters
    ----------
    scale : float
        The shortest delay in seconds, > 0.
    shape : float
        Exponent of the tail, > 0; up to 1 the uncapped mean is infinite.
    cap : float, optional
        Longer delays are cut to this many seconds, >= scale; inf cuts none.

    Raises
    ------
    TypeError
        If a parameter is no number.
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> print(ParetoDelays(scale=0.02, shape=1.1, cap=2.0))
    Pareto delays of at least 0.02 s, P(delay > t) = (0.02 s / t)^1.1, median 0.0376 s, cut at 2 s
    """

    scale: float
    shape: float
    cap: float = math.inf

    def __post_init__(self) -> None:
        """Check the parameters."""
        for name in ("scale", "shape", "cap"):
            require_number(getattr(self, name), name)
        for name in ("scale", "shape"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(
                    f"{name} must be > 0 and finite, got {getattr(self, name)}; try 1.0"
                )
        if not self.cap >= self.scale:
            raise ValueError(
                f"cap must be >= scale = {self.scale} s, got {self.cap}; math.inf cuts no delay"
            )

    def __str__(self) -> str:
        """Describe the distribution in words."""
        median = min(self.scale * 2 ** (1 / self.shape), self.cap)
        cut = "" if self.cap == math.inf else f", cut at {self.cap:.3g} s"
        return (
            f"Pareto delays of at least {self.scale:.3g} s, P(delay > t) = "
            f"({self.scale:.3g} s / t)^{self.shape:.3g}, median {median:.3g} s{cut}"
        )

    @property
    def mean(self) -> float:
        """The mean delay in seconds: infinite for a shape up to 1 without a cap."""
        from scipy.special import exprel

        if self.cap == math.inf:
            return self.scale * self.shape / (self.shape - 1.0) if self.shape > 1 else math.inf
        span = math.log(self.cap / self.scale)
        # scale plus the integral of the tail; exprel(x) = (e^x - 1) / x
        return self.scale * (1.0 + span * float(exprel((1.0 - self.shape) * span)))

    def quantile(self, q: float) -> float:
        """Give the delay in seconds that a share q of all stay within.

        Raises
        ------
        TypeError
            If `q` is no number.
        ValueError
            If `q` does not lie in (0, 1).

        Examples
        --------
        >>> round(ParetoDelays(scale=0.01, shape=2.0, cap=10.0).quantile(0.99), 6)
        0.1
        """
        q = read_number(q, "q", "(0, 1)")
        return float(min(self.scale * (1.0 - q) ** (-1.0 / self.shape), self.cap))

    def tail(self, t: ArrayLike) -> NDArray[np.float64]:
        """Give ``P(delay > t)`` for t in seconds, of the shape of `t`."""
        seconds = np.asarray(t, dtype=np.float64)
        power = (self.scale / np.maximum(seconds, self.scale)) ** self.shape
        return np.where(seconds < self.cap, power, 0.0)

    def draw(self, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw `size` delays in seconds, shape (size,)."""
        return np.minimum(self.scale * (1.0 + rng.pareto(self.shape, size)), self.cap)


def _require_workers(count: int, n_workers: int) -> None:
    if count > n_workers:
        raise ValueError(
            f"count must be <= n_workers = {n_workers}, got {count}; let fewer workers straggle"
        )
