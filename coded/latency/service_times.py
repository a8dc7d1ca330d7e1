"""How many seconds a server works on one request: distributions to draw from.

`coded.ParetoDelays` is a `ServiceTime` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_number


@runtime_checkable
class ServiceTime(Protocol):
    """A distribution of service times in seconds."""

    @property
    def mean(self) -> float:
        """The mean in seconds."""

    def tail(self, t: ArrayLike) -> NDArray[np.float64]:
        """Give ``P(X > t)`` for t in seconds, of the shape of `t`."""

    def draw(self, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw `size` independent service times in seconds, shape (size,)."""


@dataclass(frozen=True)
class Exponential:
    """Exponential times after an optional shift: ``P(X > t) = exp(-rate (t - shift))``.

    Parameters
    ----------
    rate : float
        Per second, > 0.
    shift : float, optional
        Seconds that every request takes at least, >= 0.

    Raises
    ------
    TypeError, ValueError
        If a parameter is no number, or out of range.

    Examples
    --------
    >>> Exponential(rate=2.0, shift=1.0).mean
    1.5
    """

    rate: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        read_number(self.rate, "rate", "(0, inf)")
        read_number(self.shift, "shift", "[0, inf)")

    @property
    def mean(self) -> float:
        """The mean in seconds, ``shift + 1 / rate``."""
        return self.shift + 1.0 / self.rate

    def tail(self, t: ArrayLike) -> NDArray[np.float64]:
        """Give ``P(X > t)`` for t in seconds, of the shape of `t`."""
        return np.exp(-self.rate * np.maximum(np.asarray(t, dtype=np.float64) - self.shift, 0.0))

    def draw(self, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw `size` service times in seconds, shape (size,)."""
        return self.shift + rng.exponential(1.0 / self.rate, size)


@dataclass(frozen=True)
class SlowFast:
    """Servers that are fast or slow: a slow one takes `slowdown` times as long.

    Every `interval` seconds each server becomes slow with probability `slow_fraction`, else
    fast, whatever it was and whatever the others are; a request keeps the pace at which it
    began. `draw`, `tail` and `mean` tell of a request that meets a server at random.

    Parameters
    ----------
    service : ServiceTime
        Times of a fast server.
    slowdown : float
        At least 1.
    slow_fraction : float
        In [0, 1].
    interval : float, optional
        Seconds, >= 0: 0 draws the pace anew for each copy of a request, inf never.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong kind, or out of range.

    References
    ----------
    L. Suresh, M. Canini, S. Schmid, A. Feldmann, "C3: Cutting Tail Latency in Cloud Data Stores
    via Adaptive Replica Selection", NSDI 2015, section 6: slowdown 3 with probability 1/2.

    Examples
    --------
    >>> SlowFast(Exponential(rate=1.0), slowdown=3.0, slow_fraction=0.5).mean
    2.0
    """

    service: ServiceTime
    slowdown: float
    slow_fraction: float
    interval: float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        require_service(self.service)
        read_number(self.slowdown, "slowdown", "[1, inf)")
        read_number(self.slow_fraction, "slow_fraction", "[0, 1]")
        read_number(self.interval, "interval", "[0, inf]")

    @property
    def mean(self) -> float:
        """The mean in seconds over fast and slow servers."""
        return self.service.mean * (1.0 + self.slow_fraction * (self.slowdown - 1.0))

    def tail(self, t: ArrayLike) -> NDArray[np.float64]:
        """Give ``P(X > t)`` for t in seconds, of the shape of `t`."""
        seconds = np.asarray(t, dtype=np.float64)
        slow = self.service.tail(seconds / self.slowdown)
        return (1.0 - self.slow_fraction) * self.service.tail(seconds) + self.slow_fraction * slow

    def draw(self, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw `size` service times in seconds, each of a server of its own, shape (size,)."""
        return self.service.draw(size, rng) * self.draw_slowdowns(size, rng)

    def draw_slowdowns(self, n_servers: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw by what each server's times are multiplied in one interval, shape (n_servers,)."""
        return np.where(rng.random(n_servers) < self.slow_fraction, self.slowdown, 1.0)


@dataclass(frozen=True, eq=False)
class Empirical:
    """Measured times, each equally likely to come again.

    Parameters
    ----------
    latencies : array_like, shape (n,)
        Seconds, finite and >= 0, at least one; kept sorted.

    Raises
    ------
    ValueError
        If `latencies` is no such array.

    Examples
    --------
    >>> Empirical([0.3, 0.1, 0.2, 0.2]).tail([0.1, 0.2])
    array([0.75, 0.25])
    """

    latencies: ArrayLike

    def __post_init__(self) -> None:
        """Check and sort the latencies."""
        measured = np.sort(np.asarray(self.latencies, dtype=np.float64))
        if measured.ndim != 1 or measured.size == 0:
            raise ValueError(
                f"latencies must have shape (n,) with n >= 1, got {measured.shape}; "
                "leave out requests that were never answered"
            )
        if not (measured[0] >= 0.0 and np.isfinite(measured[-1])):
            raise ValueError(
                f"latencies must be finite and >= 0, got some from {measured[0]:g} to "
                f"{measured[-1]:g}; leave out requests that were never answered"
            )
        measured.flags.writeable = False
        object.__setattr__(self, "latencies", measured)

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        return float(np.asarray(self.latencies).mean())

    def tail(self, t: ArrayLike) -> NDArray[np.float64]:
        """Give the fraction of latencies above t seconds, of the shape of `t`."""
        measured = np.asarray(self.latencies)
        return 1.0 - np.searchsorted(measured, t, side="right") / measured.size

    def draw(self, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw `size` of the latencies, with repeats, shape (size,)."""
        return rng.choice(np.asarray(self.latencies), size)

    def __repr__(self) -> str:
        """One line, whatever the number of latencies."""
        return f"Empirical({np.size(self.latencies)} latencies, mean {self.mean:.3g} s)"


def require_service(service: object) -> None:
    """Refuse what is no distribution of service times: TypeError."""
    if not isinstance(service, ServiceTime):
        raise TypeError(
            f"service must be a ServiceTime, got {type(service).__name__}; "
            "pass for example Exponential(rate=1.0)"
        )
