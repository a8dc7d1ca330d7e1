import heapq
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from coded import ParetoDelays
from coded.latency import (
    C3,
    LATE,
    Empirical,
    Exponential,
    Hedged,
    LeastOutstanding,
    Redundant,
    SlowFast,
    Tied,
    any_slow,
    hedged_tail,
    mds_latency,
    redundancy_latency,
    simulate_latency,
)
from coded.latency.cluster import Cluster, Copy, Request, State
from coded.seeds import derived

ONE_PER_CENT = {"rel": 0.01}
P95 = math.log(20.0)  # of Exponential()
IDLE = 1e-4  # a load at which nobody waits

EVEN = Exponential(rate=10.0, shift=0.9)  # nearly the same time for all
HEAVY = SlowFast(Exponential(), slowdown=10.0, slow_fraction=0.1)
SERVICES = [
    Exponential(rate=2.0),
    Exponential(rate=2.0, shift=0.3),
    SlowFast(Exponential(rate=4.0), slowdown=3.0, slow_fraction=0.2),
    ParetoDelays(scale=0.1, shape=2.5, cap=3.0),
    Empirical([0.3, 0.1, 0.1, 0.7]),
]
POLICIES = [
    Redundant(1),
    Redundant(2),
    Redundant(3, needed=2, cancel_seconds=0.2),
    Hedged(delay=0.5),
    Tied(3, cancel_seconds=0.1),
    LeastOutstanding(replicas=2, n_clients=3),
    C3(replicas=2, n_clients=3, exponent=4.0),
    LATE(speculative_cap=0.5),
]


# The simulator against closed forms


@pytest.mark.parametrize("copies", [1, 2, 3, 4])
def test_redundancy_takes_what_the_closed_form_says(copies):
    result = simulate_latency(Redundant(copies), Exponential(), n_servers=4, load=0.4, rng=1)
    assert result.mean == pytest.approx(redundancy_latency(4, copies, 0.4), **ONE_PER_CENT)
    assert result.copies_per_request == copies
    # what the copies of an exponential request work together is one service
    assert result.load_per_request == pytest.approx(1.0, **ONE_PER_CENT)


@pytest.mark.parametrize("k", [1, 7, 10])
def test_coded_work_takes_what_the_closed_form_says(k):
    result = simulate_latency(
        Redundant(10, needed=k), Exponential(shift=1.0), n_servers=10, load=IDLE, n_requests=10_000
    )
    assert result.mean == pytest.approx(mds_latency(10, k, 1.0), **ONE_PER_CENT)


def test_hedging_takes_what_the_closed_form_says():
    hedged = simulate_latency(
        Hedged(P95), Exponential(), n_servers=9, load=IDLE, n_requests=200_000
    )
    assert hedged.quantile(0.99) == pytest.approx(3.8004512298, **ONE_PER_CENT)
    assert hedged.quantile(0.999) == pytest.approx(4.9517437763, **ONE_PER_CENT)
    assert hedged.copies_per_request - 1.0 == pytest.approx(0.05, rel=0.03)  # 3 deviations


def test_hedged_tail_is_right_for_heavy_tails_too():
    service, points = ParetoDelays(scale=0.5, shape=1.5, cap=40.0), np.array([1.0, 2.0, 4.0])
    result = simulate_latency(
        Hedged(1.5), service, n_servers=9, load=IDLE, n_requests=100_000, rng=1
    )
    tail = hedged_tail(service, 1.5, points)
    deviations = np.sqrt(tail / result.latencies.size)
    measured = (result.latencies[:, None] > points).mean(axis=0)
    assert (np.abs(measured - tail) < 4.0 * deviations).all()
    assert result.copies_per_request == pytest.approx(1.0 + service.tail(1.5), **ONE_PER_CENT)


def test_fan_out_waits_for_the_slowest_of_all():
    """What a request to 100 servers takes is the last of 100 answers."""
    result = simulate_latency(
        Redundant(100, needed=100), Exponential(), n_servers=100, load=IDLE, n_requests=2000
    )
    p99 = math.log(100.0) / 100  # of one part
    assert (result.latencies > p99).mean() == pytest.approx(any_slow(0.01, 100), abs=0.033)


@pytest.mark.parametrize("policy", [Tied(3), LATE(speculative_cap=0.0)], ids=repr)
def test_one_queue_for_all_servers_is_erlangs(policy):
    """Copies tied on every server, or a queue in front of them: both are M/M/n."""
    n, load = 3, 0.6
    offered = n * load
    waits = offered**n / math.factorial(n) / (1.0 - load)
    erlang_c = waits / (waits + sum(offered**i / math.factorial(i) for i in range(n)))
    result = simulate_latency(policy, Exponential(), n_servers=n, load=load)
    assert result.mean == pytest.approx(1.0 + erlang_c / (n * (1.0 - load)), **ONE_PER_CENT)
    assert result.load_per_request == pytest.approx(1.0, **ONE_PER_CENT)


@pytest.mark.parametrize(
    ("service", "square"),
    [
        (Exponential(rate=2.0, shift=0.5), 0.25 + 1.0),
        (ParetoDelays(scale=0.5, shape=3.0, cap=2.0), None),
        (SlowFast(Exponential(), slowdown=2.0, slow_fraction=0.5), 0.5 * 2.0 + 0.5 * 8.0),
    ],
    ids=repr,
)
def test_a_single_queue_is_pollaczek_and_khinchines(service, square):
    if square is None:  # the mean square, 2 times the integral of t P(X > t)
        square = 2.0 * quad(lambda t: t * service.tail(t), 0.0, 2.0, points=[0.5])[0]
    load = 0.3
    wait = load / service.mean * square / (2.0 * (1.0 - load))
    result = simulate_latency(Redundant(1), service, n_servers=2, load=load, n_requests=60_000)
    assert result.mean == pytest.approx(service.mean + wait, **ONE_PER_CENT)


@given(
    n_servers=st.integers(1, 5),
    load=st.one_of(st.floats(0.05, 0.95), st.just(math.inf)),
    seed=st.integers(0, 2**32),
)
def test_tied_copies_of_equal_times_follow_the_queue_exactly(n_servers, load, seed):
    n_requests = 30
    result = simulate_latency(
        Tied(n_servers), Empirical([1.0]), n_servers=n_servers, load=load,
        n_requests=n_requests, rng=seed,
    )  # fmt: skip
    warm_up = 0 if load == math.inf else 3
    gaps = derived(seed).spawn(3)[0].exponential(1.0, warm_up + n_requests) / (n_servers * load)
    free = [0.0] * n_servers  # when each server is
    latencies = []
    for arrival in np.cumsum(gaps):
        end = max(arrival, heapq.heappop(free)) + 1.0
        heapq.heappush(free, end)
        latencies.append(end - arrival)
    np.testing.assert_allclose(result.latencies, latencies[warm_up:], atol=1e-9)


# Policies


@given(
    policy=st.sampled_from(POLICIES),
    service=st.sampled_from([*SERVICES, SlowFast(EVEN, 4.0, 0.3, interval=2.0)]),
    load=st.one_of(st.floats(0.05, 0.9), st.just(math.inf)),
    seed=st.integers(0, 2**32),
)
def test_every_request_is_answered_and_none_before_its_work_is_done(policy, service, load, seed):
    setting = {"n_servers": 3, "load": load, "n_requests": 40, "rng": seed}
    result = simulate_latency(policy, service, **setting)
    assert result.latencies.shape == (40,)
    assert (result.latencies > 0.0).all()  # and not nan
    if isinstance(service, Exponential | ParetoDelays):
        least = service.shift if isinstance(service, Exponential) else service.scale
        needed = policy.needed if isinstance(policy, Redundant) else 1
        assert result.latencies.min() >= least / needed * (1 - 1e-9)
    assert result.copies_per_request >= 1.0
    assert result.longest == result.quantile(1.0) >= result.mean
    again = simulate_latency(policy, service, **setting)
    assert np.array_equal(result.latencies, again.latencies)


@pytest.mark.parametrize(("copies", "needed"), [(1, 1), (3, 1), (3, 2)])
def test_copies_that_are_never_taken_back_do_all_their_work(copies, needed):
    policy = Redundant(copies, needed=needed, cancel_seconds=math.inf)
    result = simulate_latency(policy, Empirical([2.0]), n_servers=3, load=0.2, n_requests=500)
    assert result.load_per_request == pytest.approx(copies / needed, rel=1e-12)


def test_late_cancellation_adds_its_delay_to_the_work():
    """Two servers begin together, one ends: the other works `cancel_seconds` on."""
    policy = Redundant(2, cancel_seconds=0.25)
    service = SlowFast(Empirical([1.0]), slowdown=3.0, slow_fraction=0.5)
    result = simulate_latency(policy, service, n_servers=2, load=IDLE, n_requests=20_000)
    # both fast 2, one fast 1 + 1.25, both slow 6; over a mean of 2
    assert result.load_per_request == pytest.approx((0.5 + 0.5 * 2.25 + 1.5) / 2, **ONE_PER_CENT)
    assert result.mean == pytest.approx(0.75 * 1.0 + 0.25 * 3.0, **ONE_PER_CENT)


def test_hedging_sends_no_copy_of_what_is_answered_in_time():
    result = simulate_latency(Hedged(1.5), Empirical([1.0]), n_servers=9, load=IDLE, n_requests=500)
    assert result.copies_per_request == 1.0
    late = simulate_latency(Hedged(0.5), Empirical([1.0]), n_servers=9, load=IDLE, n_requests=500)
    assert late.copies_per_request == 2.0
    assert late.load_per_request == pytest.approx(1.5)


def test_tied_copies_at_idle_servers_work_until_the_message_comes():
    result = simulate_latency(
        Tied(2, cancel_seconds=0.25), Empirical([1.0]), n_servers=60, load=1e-6, n_requests=100
    )
    assert result.load_per_request == pytest.approx(1.25)
    np.testing.assert_allclose(result.latencies, 1.0, rtol=1e-9)


def test_tied_requests_cut_the_tail_without_the_doubled_work():
    setting = {"n_servers": 10, "load": 0.45, "n_requests": 30_000}
    service = ParetoDelays(scale=0.5, shape=2.5, cap=20.0)
    alone, tied, doubled = (
        simulate_latency(policy, service, **setting)
        for policy in (Redundant(1), Tied(), Redundant(2, cancel_seconds=math.inf))
    )
    assert tied.quantile(0.99) < 0.75 * alone.quantile(0.99)
    assert tied.quantile(0.99) < doubled.quantile(0.99)
    assert tied.copies_per_request == 2.0
    assert tied.load_per_request == pytest.approx(alone.load_per_request, rel=0.02)
    assert doubled.load_per_request == pytest.approx(2.0, rel=0.02)


def test_c3_learns_from_answers():
    """A client's averages after two answers, by hand."""
    policy = C3(smoothing=0.75)
    streams = np.random.default_rng(0).spawn(2)
    cluster = Cluster(policy, EVEN, 3, services=streams[0], choices=streams[1])
    for now, sent, seconds, n_waiting in [(5.0, 1.0, 2.0, 2), (9.0, 8.0, 0.5, 0)]:
        request = Request(0, sent)
        cluster.views[0, 1].outstanding += 1
        cluster.running[1] = Copy(request, 1, sent, State.RUNNING, seconds=seconds)
        waiting = [Request(1, sent) for _ in range(n_waiting)]
        for other in waiting:
            cluster.send(other, [1])
        cluster.now = now
        policy.answered(cluster, cluster.running[1])
        for other in waiting:
            cluster.cancel(other.copies)
    view = cluster.views[0, 1]
    assert view.response == 0.25 * 4.0 + 0.75 * 1.0
    assert view.service == 0.25 * 2.0 + 0.75 * 0.5
    assert view.queue == 0.25 * 2.0
    assert view.outstanding == 0


def test_c3_tries_each_server_that_it_does_not_know():
    result = simulate_latency(C3(), Empirical([1.0]), n_servers=3, load=math.inf, n_requests=3)
    assert result.latencies == pytest.approx(np.ones(3))


def test_c3_beats_least_outstanding_and_random_on_varying_servers():
    """Section 6 of the paper: slow servers are 3 times slower, and change."""
    service = SlowFast(Exponential(), slowdown=3.0, slow_fraction=0.5, interval=50.0)
    setting = {"n_servers": 15, "load": 0.7, "n_requests": 40_000}
    at_random, least, c3 = (
        simulate_latency(policy, service, **setting).quantile(0.99)
        for policy in (Redundant(1), LeastOutstanding(n_clients=30), C3(n_clients=30))
    )
    assert c3 < 0.9 * least < 0.81 * at_random


@pytest.mark.parametrize(("interval", "n_paces"), [(math.inf, 1), (1e6, 2), (0.0, 2)])
def test_servers_keep_their_pace_for_an_interval(interval, n_paces):
    """200 requests come one in 2e4 s; a pace lasts for all, for 50 or for one of them."""
    service = SlowFast(Empirical([1.0]), slowdown=3.0, slow_fraction=0.5, interval=interval)
    result = simulate_latency(Redundant(1), service, n_servers=1, load=IDLE, n_requests=200)
    latencies = result.latencies.round(6)
    assert np.unique(latencies).size == n_paces
    changes = np.count_nonzero(np.diff(latencies))
    assert changes <= (200 if interval == 0.0 else 4)
    assert changes >= (70 if interval == 0.0 else n_paces - 1)


@pytest.mark.parametrize(("cap", "at_once"), [(0.1, 5), (0.04, 2)])
def test_late_backs_up_what_slow_servers_hold(cap, at_once):
    """One task a server, some servers 5 times slower: backups start when the fast ones end."""
    service = SlowFast(Empirical([1.0]), slowdown=5.0, slow_fraction=0.15, interval=math.inf)
    setting = {"n_servers": 50, "load": math.inf, "n_requests": 50, "rng": 2}
    alone = simulate_latency(LATE(speculative_cap=0.0), service, **setting)
    n_slow = int((alone.latencies > 2.0).sum())
    assert 5 <= n_slow <= 12
    assert alone.longest == pytest.approx(5.0)
    backed = simulate_latency(LATE(speculative_cap=cap), service, **setting)
    rounds = min(math.ceil(n_slow / at_once), 4)  # after 4 the slow ones have ended themselves
    assert backed.longest == pytest.approx(1.0 + rounds)
    assert backed.copies_per_request == pytest.approx(1.0 + min(n_slow, 4 * at_once) / 50)


def job_at(policy, tasks):
    """Four servers after 20 s, the first of which run tasks that began at and take so much."""
    streams = np.random.default_rng(0).spawn(2)
    cluster = Cluster(policy, EVEN, 4, services=streams[0], choices=streams[1])
    cluster.now = 20.0
    for server, (began, seconds) in enumerate(tasks):
        request = Request(server, began)
        copy = Copy(request, server, began, State.RUNNING, began=began, seconds=seconds)
        request.copies.append(copy)
        cluster.running[server] = copy
    return cluster


def test_late_backs_up_slow_tasks_and_no_more_than_its_cap():
    policy = LATE(speculative_cap=0.25, slow_node=0.5, slow_task=0.25)
    # 30 s left at the lowest rate; 39 s left, but at a higher rate
    cluster = job_at(policy, [(0.0, 50.0), (19.0, 40.0)])
    cluster.finished = [0, 0, 0, 3]
    policy.idle(cluster, 2)  # has done nothing yet, less than most: a slow server
    assert cluster.running[2] is None
    policy.idle(cluster, 3)
    assert cluster.running[3].request is cluster.running[0].request
    cluster.finished[2] = 3
    policy.idle(cluster, 2)
    assert cluster.running[2] is None  # one backup of four servers is the cap


def test_late_backs_up_the_longest_time_left_first():
    policy = LATE(speculative_cap=0.25, slow_task=1.0)
    cluster = job_at(policy, [(0.0, 40.0), (0.0, 50.0), (0.0, 30.0)])
    policy.idle(cluster, 3)
    assert cluster.running[3].request is cluster.running[1].request


def test_late_asks_all_free_servers_when_a_task_is_done():
    policy = LATE(speculative_cap=0.5, slow_task=1.0)
    cluster = job_at(policy, [(0.0, 50.0), (0.0, 40.0)])
    policy.complete(cluster, Request(2, 0.0))
    backups = [cluster.running[server].request for server in (2, 3)]
    assert backups == [cluster.running[server].request for server in (0, 1)]


@pytest.mark.parametrize(
    ("service", "cancel_seconds", "helps"),
    [
        (Exponential(), 0.0, True),
        (HEAVY, 0.0, True),
        (EVEN, 0.0, False),
        (Exponential(), 0.5, False),
    ],
    ids=["memoryless", "heavy", "even", "memoryless-late-removal"],
)
def test_when_redundancy_helps_at_high_load(service, cancel_seconds, helps):
    """The cases of Shah, Lee and Ramchandran."""
    one, two = (
        simulate_latency(policy, service, n_servers=4, load=0.8, n_requests=20_000)
        for policy in (Redundant(1), Redundant(2, cancel_seconds=cancel_seconds))
    )
    assert (two.mean < 0.8 * one.mean) if helps else (two.mean > 1.5 * one.mean)


# Arguments and results


@pytest.mark.parametrize("given_object", [*SERVICES, *POLICIES], ids=repr)
def test_models_and_policies_pickle(given_object):
    copied = pickle.loads(pickle.dumps(given_object))
    assert repr(copied) == repr(given_object)


def test_result_prints_and_pickles():
    result = simulate_latency(Redundant(2), EVEN, n_servers=2, load=0.1, n_requests=50)
    assert repr(result).startswith("LatencyResult(50 requests: mean ")
    assert "2.00 copies" in repr(result)
    copied = pickle.loads(pickle.dumps(result))
    assert np.array_equal(copied.latencies, result.latencies)


def test_generator_is_not_advanced():
    rng = np.random.default_rng(3)
    first, second = (
        simulate_latency(Redundant(1), EVEN, n_servers=2, load=0.1, n_requests=50, rng=rng).mean
        for _ in range(2)
    )
    assert first == second
    assert rng.random() == np.random.default_rng(3).random()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Redundant(0), ValueError, "copies must be >= 1"),
        (lambda: Redundant(2, needed=3), ValueError, r"needed must lie in \[1, 2\]"),
        (lambda: Redundant(2, cancel_seconds=-1.0), ValueError, "cancel_seconds must lie in"),
        (lambda: Hedged(-1.0), ValueError, "delay must lie in"),
        (lambda: Tied(cancel_seconds=math.inf), ValueError, "cancel_seconds must lie in"),
        (lambda: LeastOutstanding(replicas=0), ValueError, "replicas must be >= 1"),
        (lambda: LeastOutstanding(n_clients=0), ValueError, "n_clients must be >= 1"),
        (lambda: C3(replicas=0), ValueError, "replicas must be >= 1"),
        (lambda: C3(n_clients=0), ValueError, "n_clients must be >= 1"),
        (lambda: C3(smoothing=0.0), ValueError, "smoothing must lie in"),
        (lambda: C3(exponent=True), TypeError, "exponent must be a number"),
        (lambda: LATE(speculative_cap=2.0), ValueError, "speculative_cap must lie in"),
    ],
)
def test_bad_policies_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"policy": "hedged"}, TypeError, "policy must be a Policy, got str"),
        ({"service": 1.0}, TypeError, "service must be a ServiceTime"),
        ({"n_servers": 1}, ValueError, "n_servers must be >= 2, for copies"),
        ({"load": 1.0}, ValueError, r"load must lie in \(0, 1\), or be inf"),
        ({"load": 0.0}, ValueError, "load must lie in"),
        ({"n_requests": 0}, ValueError, "n_requests must be >= 1"),
        ({"rng": -1}, ValueError, "rng must be >= 0"),
        ({"service": ParetoDelays(scale=1.0, shape=1.0)}, ValueError, "cap its tail"),
        ({"service": Empirical([0.0])}, ValueError, "mean > 0"),
    ],
)
def test_bad_settings_are_refused(changed, error, message):
    arguments = {"policy": Redundant(2), "service": EVEN, "n_servers": 2, "load": 0.5} | changed
    with pytest.raises(error, match=message):
        simulate_latency(**arguments)
