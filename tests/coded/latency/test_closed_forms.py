import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.integrate import quad

from coded import ParetoDelays
from coded.latency import (
    Empirical,
    Exponential,
    ServiceTime,
    SlowFast,
    any_slow,
    best_mds_fraction,
    best_mds_threshold,
    c3_score,
    expected_order_statistic,
    hedged_tail,
    late_time_left,
    mds_latency,
    redundancy_latency,
    replication_latency,
)

GOLDEN = {"rel": 0, "abs": 6e-11}  # half a unit of ten printed digits
ONE_PER_CENT = {"rel": 0.01}
P95 = math.log(20.0)  # of Exponential()

EVEN = Exponential(rate=10.0, shift=0.9)  # nearly the same time for all
HEAVY = SlowFast(Exponential(), slowdown=10.0, slow_fraction=0.1)
SERVICES = [
    Exponential(rate=2.0),
    Exponential(rate=2.0, shift=0.3),
    SlowFast(Exponential(rate=4.0), slowdown=3.0, slow_fraction=0.2),
    ParetoDelays(scale=0.1, shape=2.5, cap=3.0),
    Empirical([0.3, 0.1, 0.1, 0.7]),
]


# Service times


@pytest.mark.parametrize("service", SERVICES, ids=repr)
def test_draws_follow_the_tail(service):
    assert isinstance(service, ServiceTime)
    draws = service.draw(40_000, np.random.default_rng(0))
    points = np.quantile(draws, [0.1, 0.5, 0.9, 0.99])
    above = (draws[:, None] > points).mean(axis=0)
    np.testing.assert_allclose(service.tail(points), above, atol=4 * math.sqrt(0.25 / draws.size))
    assert service.mean == pytest.approx(draws.mean(), abs=4 * draws.std() / math.sqrt(draws.size))


@pytest.mark.parametrize("service", SERVICES, ids=repr)
def test_mean_is_the_integral_of_the_tail(service):
    kinks = [0.1, 0.3, 0.7, 3.0]
    ends = itertools.pairwise([0.0, *kinks, 60.0])
    area = sum(quad(service.tail, low, high, epsabs=1e-12)[0] for low, high in ends)
    assert service.mean == pytest.approx(area, abs=1e-9)


@pytest.mark.parametrize("shape", [0.5, 1.0, 1.0 + 1e-9, 2.0])
def test_mean_of_cut_pareto_delays(shape):
    delays = ParetoDelays(scale=0.02, shape=shape, cap=1.0)
    rest, _ = quad(lambda t: (0.02 / t) ** shape, 0.02, 1.0, epsabs=1e-13)
    assert delays.mean == pytest.approx(0.02 + rest, rel=1e-10)


def test_mean_of_whole_pareto_delays():
    assert ParetoDelays(scale=0.5, shape=3.0).mean == pytest.approx(
        stats.pareto(3, scale=0.5).mean()
    )
    assert ParetoDelays(scale=0.5, shape=1.0).mean == math.inf


# Closed forms


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 1), (5, 3), (5, 5)])
def test_order_statistic_is_the_integral_of_its_tail(n, k):
    service = Exponential(rate=2.0, shift=0.3)

    def fewer_than_k(t):
        return stats.binom.cdf(k - 1, n, 1.0 - service.tail(t))

    area = 0.3 + quad(fewer_than_k, 0.3, 30.0, epsabs=1e-12)[0]
    assert expected_order_statistic(n, k, service) == pytest.approx(area, rel=1e-9)


def test_golden_values_of_coded_work():
    assert mds_latency(10, 10, 1.0) == pytest.approx(0.3928968254, **GOLDEN)
    assert mds_latency(10, 7, 1.0) == pytest.approx(0.2993764172, **GOLDEN)
    assert mds_latency(100, 100, 1.0) == pytest.approx(0.0618737752, **GOLDEN)
    assert mds_latency(100, 69, 1.0) == pytest.approx(0.0313062655, **GOLDEN)
    assert replication_latency(10, 2, 1.0) == pytest.approx(0.4283333333, **GOLDEN)
    assert best_mds_fraction(1.0) == pytest.approx(0.6821555671, **GOLDEN)
    assert [best_mds_threshold(n, 1.0) for n in (1, 10, 100)] == [1, 7, 69]


@given(mu=st.floats(0.05, 20.0))
def test_best_fraction_is_the_limit_of_the_best_threshold(mu):
    # H_n - H_(n-k) tends to -log(1 - k / n): the fraction minimises what is left
    best = optimize.minimize_scalar(
        lambda x: (1.0 - math.log1p(-x) / mu) / x, bounds=(1e-6, 1 - 1e-12), method="bounded"
    )
    assert best_mds_fraction(mu) == pytest.approx(best.x, abs=1e-4)
    assert best_mds_threshold(400, mu) == pytest.approx(400 * best_mds_fraction(mu), abs=1.5)


def test_replicated_parts_are_maxima_of_minima():
    parts = (1.0 + np.random.default_rng(0).exponential(1.0 / 0.7, (100_000, 4, 3))) / 4
    assert replication_latency(12, 3, 0.7) == pytest.approx(
        parts.min(axis=2).max(axis=1).mean(), **ONE_PER_CENT
    )


def test_golden_values_of_redundancy():
    golden = [3.3333333333, 1.2545289855, 0.9420289855, 0.8333333333]
    assert [redundancy_latency(4, d, 0.7) for d in (1, 2, 3, 4)] == pytest.approx(golden, **GOLDEN)


@given(load=st.floats(0.0, 0.99), mu=st.floats(0.1, 10.0), n=st.integers(1, 30), data=st.data())
def test_more_copies_are_faster_between_the_two_known_ends(load, mu, n, data):
    d = data.draw(st.integers(1, n))
    one = redundancy_latency(n, 1, load, mu)
    some = redundancy_latency(n, d, load, mu)
    all_servers = redundancy_latency(n, n, load, mu)
    assert one == pytest.approx(1.0 / (mu * (1.0 - load)))  # M/M/1
    assert all_servers == pytest.approx(one / n)  # M/M/1, n times as fast
    assert all_servers * (1 - 1e-12) <= some <= one * (1 + 1e-12)


@pytest.mark.parametrize(
    ("q", "alone", "hedged"),
    [(0.99, 4.6051701860, 3.8004512298), (0.999, 6.9077552790, 4.9517437763)],
)
def test_golden_quantiles_of_hedging(q, alone, hedged):
    def excess(t, delay):
        return float(hedged_tail(Exponential(), delay, t)) - (1.0 - q)

    assert optimize.brentq(excess, P95, 9.0, args=(P95,), xtol=1e-13) == pytest.approx(
        hedged, **GOLDEN
    )
    assert optimize.brentq(excess, P95, 9.0, args=(9.0,), xtol=1e-13) == pytest.approx(
        alone, **GOLDEN
    )
    assert Exponential().tail(P95) == pytest.approx(0.05, **GOLDEN)


def test_golden_values_of_fan_out_c3_and_late():
    assert any_slow(0.01, 100) == pytest.approx(0.634, abs=5e-4)
    assert any_slow(0.0001, 2000) == pytest.approx(0.181, abs=5e-4)
    assert any_slow(1e-18, 10) == pytest.approx(1e-17)
    seen = {"response": 5.0, "service": 4.0, "queue": 2.0, "outstanding": 1, "n_clients": 3}
    assert c3_score(**seen) == 865.0
    assert c3_score(**seen, exponent=4.0) == 1.0 + 4.0 * 6.0**4
    assert late_time_left(0.4, 20.0) == pytest.approx(30.0, **GOLDEN)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Exponential(rate=0.0), ValueError, r"rate must lie in \(0, inf\), got 0"),
        (lambda: Exponential(rate="1"), TypeError, "rate must be a number"),
        (lambda: Exponential(shift=-1.0), ValueError, "shift must lie in"),
        (lambda: SlowFast(1.0, 3.0, 0.5), TypeError, "service must be a ServiceTime, got float"),
        (lambda: SlowFast(EVEN, 0.5, 0.5), ValueError, "slowdown must lie in"),
        (lambda: SlowFast(EVEN, 3.0, 1.5), ValueError, "slow_fraction must lie in"),
        (lambda: SlowFast(EVEN, 3.0, 0.5, math.nan), ValueError, "interval must lie in"),
        (lambda: Empirical([]), ValueError, r"shape \(n,\) with n >= 1, got \(0,\)"),
        (lambda: Empirical([0.1, math.nan]), ValueError, "finite and >= 0"),
        (lambda: Empirical([-0.1, 0.2]), ValueError, "finite and >= 0"),
        (lambda: mds_latency(3, 4, 1.0), ValueError, "k must lie in"),
        (lambda: mds_latency(3, 2, 0.0), ValueError, "mu must lie in"),
        (lambda: expected_order_statistic(3, 2, HEAVY), TypeError, "service must be Exponential"),
        (lambda: replication_latency(3, 2, 1.0), ValueError, "copies must divide n = 3"),
        (lambda: redundancy_latency(3, 2, 1.0), ValueError, "load must lie in"),
        (lambda: hedged_tail(EVEN, -1.0, 0.0), ValueError, "delay must lie in"),
        (lambda: any_slow(1.0, 3), ValueError, "probability must lie in"),
        (lambda: late_time_left(0.0, 3.0), ValueError, "score must lie in"),
    ],
)
def test_bad_parameters_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
