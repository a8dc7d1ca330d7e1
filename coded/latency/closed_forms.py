"""Latencies that are known in closed form: order statistics, redundancy, hedging; two scores."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count, read_number
from coded.latency.service_times import Exponential, ServiceTime, require_service


def expected_order_statistic(n: int, k: int, service: Exponential) -> float:
    """Give the mean time until k of n independent requests are answered.

    ``shift + (H_n - H_(n-k)) / rate`` seconds, H_n the n-th harmonic number.

    Raises
    ------
    TypeError, ValueError
        Unless `service` is `Exponential` and 1 <= k <= n.

    Examples
    --------
    >>> expected_order_statistic(2, 2, Exponential(rate=1.0))
    1.5
    """
    n = read_count(n, "n", at_least=1)
    k = read_count(k, "k", at_least=1, at_most=n)
    if not isinstance(service, Exponential):
        raise TypeError(
            f"service must be Exponential, got {type(service).__name__}; simulate_latency with "
            "Redundant takes any distribution"
        )
    return service.shift + math.fsum(1.0 / i for i in range(n - k + 1, n + 1)) / service.rate


def mds_latency(n: int, k: int, mu: float) -> float:
    """Give the mean time of work that is split into k parts and coded into n.

    A server that does all of the work alone takes ``1 + Exp(mu)`` seconds, so one part takes
    ``P(T > t) = exp(-mu (k t - 1))``, and any k parts are enough:
    ``(1 + (H_n - H_(n-k)) / mu) / k``. k = n is no code.

    Raises
    ------
    TypeError, ValueError
        Unless the arguments are numbers with 1 <= k <= n and mu > 0.

    References
    ----------
    K. Lee, M. Lam, R. Pedarsani, D. Papailiopoulos, K. Ramchandran, "Speeding Up Distributed
    Machine Learning Using Codes", IEEE Trans. Inf. Theory 64 (2018), section III.

    Examples
    --------
    >>> round(mds_latency(10, 7, 1.0), 4), round(mds_latency(10, 10, 1.0), 4)
    (0.2994, 0.3929)
    """
    mu = read_number(mu, "mu", "(0, inf)")
    return expected_order_statistic(n, k, Exponential(rate=mu, shift=1.0)) / k


def best_mds_threshold(n: int, mu: float) -> int:
    """Give the k for which `mds_latency` is least; raises as it does."""
    n = read_count(n, "n", at_least=1)
    return min(range(1, n + 1), key=lambda k: mds_latency(n, k, mu))


def best_mds_fraction(mu: float) -> float:
    """Give the limit of the best k / n for many servers, ``1 + 1 / W_-1(-e^(-mu - 1))``.

    Raises
    ------
    TypeError, ValueError
        Unless 0 < mu <= 700, beyond which the exponential vanishes.

    Examples
    --------
    >>> round(best_mds_fraction(1.0), 4)
    0.6822
    """
    from scipy.special import lambertw

    mu = read_number(mu, "mu", "(0, 700]")
    return 1.0 + 1.0 / float(lambertw(-math.exp(-mu - 1.0), -1).real)


def replication_latency(n: int, copies: int, mu: float) -> float:
    """Give the mean time of `mds_latency`'s work in ``n / copies`` parts, each done `copies` times.

    Raises
    ------
    TypeError, ValueError
        Unless the arguments are numbers with `copies` divides n and mu > 0.

    Examples
    --------
    >>> round(replication_latency(10, 2, 1.0), 4)
    0.4283
    """
    n = read_count(n, "n", at_least=1)
    copies = read_count(copies, "copies", at_least=1, at_most=n)
    if n % copies:
        raise ValueError(f"copies must divide n = {n}, got {copies}; leave servers out")
    # the first of `copies` shifted exponentials has `copies` times their rate
    return mds_latency(n // copies, n // copies, copies * read_number(mu, "mu", "(0, inf)"))


def redundancy_latency(n_servers: int, copies: int, load: float, mu: float = 1.0) -> float:
    """Give the mean response time of redundancy-d: d copies at random servers, the first counts.

    ``sum_(i=d)^n 1 / (n mu C(n-1, d-1) / C(i-1, d-1) - n lam)`` seconds for n servers of rate mu,
    Poisson arrivals of ``n lam = n mu load`` requests a second, FCFS queues, independent
    exponential copies, and instant removal of the others.

    Raises
    ------
    TypeError, ValueError
        Unless the arguments are numbers with 1 <= copies <= n_servers, 0 <= load < 1 and mu > 0.

    References
    ----------
    K. Gardner, M. Harchol-Balter, A. Scheller-Wolf, M. Velednitsky, S. Zbarsky, "Redundancy-d:
    The Power of d Choices for Redundancy", Operations Research 65 (2017), theorem 1.

    Examples
    --------
    >>> [round(redundancy_latency(4, d, 0.7), 3) for d in (1, 2, 3, 4)]
    [3.333, 1.255, 0.942, 0.833]
    """
    n = read_count(n_servers, "n_servers", at_least=1)
    d = read_count(copies, "copies", at_least=1, at_most=n)
    load = read_number(load, "load", "[0, 1)")
    mu = read_number(mu, "mu", "(0, inf)")
    ratios = (math.comb(n - 1, d - 1) / math.comb(i - 1, d - 1) for i in range(d, n + 1))
    return math.fsum(1.0 / (n * mu * (ratio - load)) for ratio in ratios)


def hedged_tail(service: ServiceTime, delay: float, t: ArrayLike) -> NDArray[np.float64]:
    """Give ``P(latency > t)`` when a request unanswered after `delay` seconds gets a copy.

    ``P(X > t) P(X > t - delay)`` for t > delay, with independent times and idle servers. The
    copies sent are ``1 + P(X > delay)`` a request. Shape of `t`, in seconds.

    Raises
    ------
    TypeError, ValueError
        Unless `service` is a `ServiceTime` and delay >= 0.

    References
    ----------
    J. Dean, L. A. Barroso, "The Tail at Scale", Comm. ACM 56 (2013), hedged requests.

    Examples
    --------
    >>> hedged_tail(Exponential(rate=1.0), math.log(20.0), 3.8004512298).round(6)
    np.float64(0.01)
    """
    require_service(service)
    seconds = np.asarray(t, dtype=np.float64)
    left = np.maximum(seconds - read_number(delay, "delay", "[0, inf)"), 0.0)
    copied = np.where(seconds > delay, service.tail(left), 1.0)
    return service.tail(seconds) * copied


def any_slow(probability: float, n_servers: int) -> float:
    """Give the probability that one of n servers is slow, ``1 - (1 - p)^n``.

    Raises
    ------
    TypeError, ValueError
        Unless the arguments are numbers with 0 <= probability < 1 and n_servers >= 1.

    Examples
    --------
    >>> round(any_slow(0.01, 100), 3), round(any_slow(0.0001, 2000), 3)
    (0.634, 0.181)
    """
    n_servers = read_count(n_servers, "n_servers", at_least=1)
    return -math.expm1(n_servers * math.log1p(-read_number(probability, "probability", "[0, 1)")))


def c3_score(
    *,
    response: float,
    service: float,
    queue: float,
    outstanding: int,
    n_clients: int,
    exponent: float = 3.0,
) -> float:
    """Give C3's score of a server as one client sees it; the lowest wins.

    ``Psi = R - 1/mu + q^b / mu`` with ``q = 1 + outstanding n_clients + queue``: R the moving
    average of response times and 1/mu of service times in seconds, queue that of the requests
    waiting at the server, b the exponent.

    References
    ----------
    Suresh et al., NSDI 2015 (see `SlowFast`), section 3.1.

    Examples
    --------
    >>> c3_score(response=5.0, service=4.0, queue=2.0, outstanding=1, n_clients=3)
    865.0
    """
    expected_queue = 1.0 + outstanding * n_clients + queue
    return response - service + service * math.pow(expected_queue, exponent)


def late_time_left(score: float, elapsed: float) -> float:
    """Give LATE's estimate of the seconds that a task has left, ``(1 - score) elapsed / score``.

    `score` is the part done after `elapsed` seconds.

    Raises
    ------
    TypeError, ValueError
        Unless the arguments are numbers with 0 < score <= 1 and elapsed >= 0.

    References
    ----------
    M. Zaharia, A. Konwinski, A. D. Joseph, R. Katz, I. Stoica, "Improving MapReduce Performance
    in Heterogeneous Environments", OSDI 2008, section 4.

    Examples
    --------
    >>> round(late_time_left(0.4, 20.0), 12)
    30.0
    """
    score = read_number(score, "score", "(0, 1]")
    return (1.0 - score) * read_number(elapsed, "elapsed", "[0, inf)") / score
