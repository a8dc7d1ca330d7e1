"""Latencies of many requests under a policy, without any servers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count, read_number
from coded.latency.cluster import Cluster, Policy
from coded.latency.service_times import ServiceTime, require_service
from coded.seeds import derived

_WARM_UP = 0.1  # requests that fill the queues and are not counted, as a fraction of those that are


@dataclass(frozen=True, eq=False)
class LatencyResult:
    """What requests took, and what that cost.

    Attributes
    ----------
    latencies : ndarray of float, shape (n_requests,)
        Seconds from arrival to the last answer needed, in order of arrival.
    copies_per_request : float
        Copies sent, the first included.
    load_per_request : float
        Seconds that servers worked for one request, those of copies taken back included, over
        the mean service time: 1 without redundancy, but for chance.
    """

    latencies: NDArray[np.float64]
    copies_per_request: float
    load_per_request: float

    @property
    def mean(self) -> float:
        """The mean latency in seconds."""
        return float(self.latencies.mean())

    @property
    def longest(self) -> float:
        """The longest latency in seconds: of a batch job, when it is done."""
        return float(self.latencies.max())

    def quantile(self, q: ArrayLike) -> NDArray[np.float64]:
        """Give quantiles of the latencies in seconds, q in [0, 1], of the shape of `q`."""
        return np.asarray(np.quantile(self.latencies, np.asarray(q, dtype=np.float64)))

    def __repr__(self) -> str:
        """One line with quantiles and cost."""
        median, p99, p999 = self.quantile([0.5, 0.99, 0.999])
        return (
            f"LatencyResult({self.latencies.size} requests: mean {self.mean:.3g} s, median "
            f"{median:.3g} s, p99 {p99:.3g} s, p99.9 {p999:.3g} s; "
            f"{self.copies_per_request:.2f} copies and {self.load_per_request:.2f} services of "
            "work a request)"
        )


def simulate_latency(
    policy: Policy,
    service: ServiceTime,
    *,
    n_servers: int,
    load: float,
    n_requests: int = 100_000,
    rng: int | np.random.Generator = 0,
) -> LatencyResult:
    """Let requests arrive at servers with queues, and see how long each takes.

    Arrivals are Poisson; each server works on one copy at a time, first come first served; each
    copy has a service time of its own. A tenth more requests come first and are not counted.
    Equal `rng`, `load` and `service` give equal arrivals for every policy.

    Parameters
    ----------
    policy : Policy
        `Redundant`, `Hedged`, `Tied`, `LeastOutstanding`, `C3` or `LATE`.
    service : ServiceTime
        `Exponential`, `SlowFast`, `Empirical`, `coded.ParetoDelays`, or one of your own.
    n_servers : int
        At least as many as the policy has copies.
    load : float
        The share of the servers' time that one copy of each request would take: above 0 and
        below 1, or inf: all requests arrive at once, a batch job, and all are counted.
    n_requests : int, optional
        How many are counted, at least 1.
    rng : int or numpy.random.Generator, optional
        Seed, or a generator from whose state one is derived; it is not advanced.

    Returns
    -------
    LatencyResult

    Raises
    ------
    TypeError
        If `policy`, `service` or `rng` is of the wrong kind, or a number is none.
    ValueError
        If a number is out of range, or `service` has no finite mean and `load` is finite.

    Notes
    -----
    Copies may overload the servers although `load` is below 1: then latencies grow with
    `n_requests`.

    When redundancy shortens the mean [1]: always where the time left never shrinks by waiting
    (exponential, or heavier such as `SlowFast` drawn anew for each copy) and copies are taken
    back at once. At high load it does not where times are more even than exponential
    (``Exponential(rate, shift)`` with a large shift), or where copies are not taken back at once.

    References
    ----------
    .. [1] N. B. Shah, K. Lee, K. Ramchandran, "When Do Redundant Requests Reduce Latency?", IEEE
       Trans. Communications 64 (2016).

    Examples
    --------
    >>> from coded.latency import Exponential, Redundant
    >>> one, two = (
    ...     simulate_latency(Redundant(d), Exponential(), n_servers=4, load=0.5, n_requests=4000)
    ...     for d in (1, 2)
    ... )
    >>> bool(two.mean < 0.6 * one.mean), two.copies_per_request
    (True, 2.0)
    """
    if not isinstance(policy, Policy):
        raise TypeError(
            f"policy must be a Policy, got {type(policy).__name__}; pass for example Redundant(2)"
        )
    require_service(service)
    n_servers = read_count(n_servers, "n_servers", at_least=1)
    n_requests = read_count(n_requests, "n_requests", at_least=1)
    policy.require_servers(n_servers)
    load = read_number(load, "load", "(0, inf]")
    if 1.0 <= load < math.inf:
        raise ValueError(
            f"load must lie in (0, 1), or be inf for a batch job, got {load:g}; "
            "queues grow without end otherwise"
        )
    if not 0.0 < service.mean < math.inf and load < math.inf:
        raise ValueError(
            f"service must have a mean > 0 and finite, got {service.mean:g} s: no load can be told "
            "by it; cap its tail"
        )
    arrivals, services, choices = derived(rng).spawn(3)
    cluster = Cluster(policy, service, n_servers, services=services, choices=choices)
    not_counted = 0 if load == math.inf else math.ceil(_WARM_UP * n_requests)
    n_arrivals = not_counted + n_requests
    apart = 0.0 if load == math.inf else service.mean / (load * n_servers)
    cluster.run(np.cumsum(arrivals.exponential(apart, n_arrivals)).tolist())
    return LatencyResult(
        np.array(cluster.latencies[not_counted:]),
        cluster.sent / n_arrivals,
        cluster.busy / n_arrivals / service.mean,
    )
