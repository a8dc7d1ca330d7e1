import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded import (
    ConsecutiveStragglers,
    IndependentStragglers,
    MachineStragglers,
    ReplicationScheme,
    UniformStragglers,
    balanced_copies,
    best_placement,
    coded_map,
    expected_answered,
    simulate,
)
from coded.places.placement import places_far_apart

counts = {"n_inputs": st.integers(1, 50), "n_workers": st.integers(1, 160)}


def sieved_prime(most):
    """The largest prime up to `most`, by the sieve; 1 where there is none."""
    left = set(range(2, most + 1))
    for q in range(2, most + 1):
        left -= set(range(2 * q, most + 1, q))
    return max(left, default=1)


@given(**counts)
def test_copies_are_balanced(n_inputs, n_workers):
    copies = balanced_copies(n_inputs, n_workers)
    held = np.bincount(copies, minlength=n_inputs)
    assert copies.shape == (n_workers,)
    assert held.shape == (n_inputs,)
    assert held.min() == n_workers // n_inputs
    assert held.max() == -(-n_workers // n_inputs)


@given(**counts)
def test_neighbouring_workers_hold_different_inputs(n_inputs, n_workers):
    copies = balanced_copies(n_inputs, n_workers)
    block = min(sieved_prime(n_inputs), n_workers)
    for start in range(n_workers - block + 1):
        assert len(set(copies[start : start + block])) == block


@given(n_inputs=st.integers(1, 30), n_workers=st.integers(1, 90), n_executors=st.integers(1, 90))
def test_few_inputs_have_two_copies_on_one_executor(n_inputs, n_workers, n_executors):
    copies = balanced_copies(n_inputs, n_workers)
    prime, most = sieved_prime(n_inputs), -(-n_workers // n_inputs)
    shared = 0
    for k in range(n_inputs):
        executors = np.flatnonzero(copies == k) % n_executors
        shared += len(set(executors)) < len(executors)
    if n_executors >= most and n_executors % prime:
        assert shared <= (n_inputs - prime) * (most - 1)


@pytest.mark.parametrize(
    ("n_inputs", "n_workers", "share"), [(20, 60, 0.02), (20, 100, 0.0), (60, 100, 0.0)]
)
def test_executors_that_get_equal_shares_hold_an_input_once(n_inputs, n_workers, share):
    copies = balanced_copies(n_inputs, n_workers)
    shared, seen = 0, 0
    for n_executors in range(-(-n_workers // n_inputs), n_workers):
        if n_workers % n_executors == 0:
            held = set(zip(copies, np.arange(n_workers) % n_executors, strict=True))
            shared, seen = shared + n_workers - len(held), seen + n_workers
    assert shared <= share * seen


def count_shared(copies, n_executors):
    """How many copies are on an executor that has another one of their input already."""
    executors = np.arange(len(copies)) % n_executors
    return len(copies) - len(set(zip(copies.tolist(), executors.tolist(), strict=True)))


@given(n_inputs=st.integers(1, 20), n_workers=st.integers(1, 100), n_executors=st.integers(1, 120))
def test_copies_dealt_for_executors_share_none_where_that_can_be(n_inputs, n_workers, n_executors):
    copies = balanced_copies(n_inputs, n_workers, n_executors=n_executors)
    if n_executors >= n_workers or n_workers < n_inputs:
        assert np.array_equal(copies, balanced_copies(n_inputs, n_workers))
        return
    loads = np.bincount(np.arange(n_workers) % n_executors)
    assert count_shared(copies, n_executors) == np.maximum(loads - n_inputs, 0).sum()
    held = np.bincount(copies, minlength=n_inputs)
    assert (held.min(), held.max()) == (n_workers // n_inputs, -(-n_workers // n_inputs))
    first = copies[: min(n_executors, n_inputs)]
    if loads.min() >= n_inputs:
        assert len(set(first.tolist())) == len(first)


SHARED = [  # K, N, L; copies that share an executor, where the placement knows L and where not
    (4, 12, 3, 0, 6),
    (4, 12, 6, 0, 2),
    (4, 12, 5, 0, 2),
    (8, 24, 3, 0, 2),
    (8, 24, 7, 0, 14),
    (5, 10, 5, 0, 5),
    (20, 60, 20, 0, 0),
    (20, 60, 19, 0, 38),
    (60, 100, 10, 0, 0),
    (4, 12, 2, 4, 4),
]


@pytest.mark.parametrize(("n_inputs", "n_workers", "n_executors", "least", "unknown"), SHARED)
def test_how_many_copies_share_an_executor(n_inputs, n_workers, n_executors, least, unknown):
    copies = balanced_copies(n_inputs, n_workers, n_executors=n_executors)
    assert count_shared(copies, n_executors) == least
    assert count_shared(balanced_copies(n_inputs, n_workers), n_executors) == unknown


def test_an_executor_that_is_lost_takes_one_copy_of_an_input_only():
    inputs = np.arange(4.0)
    placement = balanced_copies(4, 12, n_executors=3)
    scheme = ReplicationScheme(4, 12, fallback=None, placement=placement)
    for lost in itertools.combinations(range(3), 2):
        pools = [ThreadPoolExecutor(1) for _ in range(3)]
        for e in lost:
            pools[e].shutdown()
        result = coded_map(np.sin, inputs, scheme, pools, wait_for=4, timeout=30.0)
        assert np.array_equal(result.outputs, np.sin(inputs))
        for pool in pools:
            pool.shutdown()


@pytest.mark.parametrize(
    ("n_inputs", "n_workers"), [(4, 12), (8, 24), (5, 10), (20, 60), (20, 100), (60, 100)]
)
def test_no_placement_shares_half_as_often_over_all_numbers_of_executors(n_inputs, n_workers):
    """Copies d apart share one of d executors: each pair counts once at least."""
    copies, most = balanced_copies(n_inputs, n_workers), -(-n_workers // n_inputs)
    pairs = shared = 0
    for k in range(n_inputs):
        for a, b in itertools.combinations(np.flatnonzero(copies == k), 2):
            pairs += 1
            shared += sum((b - a) % n == 0 for n in range(most, n_workers))
    assert pairs <= shared < 2 * pairs


def test_fewer_workers_hold_inputs_spread_evenly():
    assert balanced_copies(60, 4).tolist() == [7, 22, 37, 52]


@pytest.mark.parametrize("counts", [(0, 3), (3, 0), (-1, 3)])
def test_counts_below_one_are_refused(counts):
    with pytest.raises(ValueError, match="must be >= 1, got"):
        balanced_copies(*counts)


def test_a_bad_number_of_executors_is_refused():
    with pytest.raises(ValueError, match="n_executors must be >= 1, got 0"):
        balanced_copies(3, 6, n_executors=0)
    with pytest.raises(TypeError, match="n_executors must be an integer"):
        balanced_copies(3, 6, n_executors=[1])


@pytest.mark.parametrize("n_workers", [*range(1, 130), 316, 350, 518, 638, 659, 825, 973, 1000])
def test_near_workers_hold_places_far_apart(n_workers):
    places = places_far_apart(n_workers)
    assert np.array_equal(np.sort(places), np.arange(n_workers))
    for k in range(1, n_workers // 2 + 1):
        apart = np.abs(places - np.roll(places, k))
        assert np.minimum(apart, n_workers - apart).min() >= n_workers / (8 * k)
    worker = np.argsort(places)
    apart = np.abs(worker - np.roll(worker, 1))
    least = n_workers / (6 if n_workers == 6 else 4)
    assert np.minimum(apart, n_workers - apart).min() >= least or n_workers == 1
    for executors in range(2, n_workers + 1):
        if n_workers % executors == 0:
            for start in range(n_workers - executors + 1):
                assert len(set(worker[start : start + executors] % executors)) == executors


@pytest.mark.parametrize(("n_workers", "error"), [(0, ValueError), (2.5, TypeError)])
def test_a_bad_number_of_places_is_refused(n_workers, error):
    with pytest.raises(error, match="n_workers"):
        places_far_apart(n_workers)


# Copies for a loss model.

SMALL_MODELS = [
    *(UniformStragglers(s) for s in (0, 1, 3, 5)),
    *(IndependentStragglers(p) for p in (0.0, 0.3, 1.0)),
    *(ConsecutiveStragglers(s) for s in range(6)),
    *(MachineStragglers(m, workers_per_machine=w) for m in (1, 2) for w in (1, 2, 3)),
]


def drawn_sets(n_workers, model):
    """Every set that the model can draw, with its probability."""
    workers = range(n_workers)
    if isinstance(model, IndependentStragglers):
        for lost in itertools.product([False, True], repeat=n_workers):
            p = model.probability
            yield np.flatnonzero(lost), math.prod(p if one else 1 - p for one in lost)
        return
    if isinstance(model, UniformStragglers):
        sets = list(itertools.combinations(workers, model.count))
    elif isinstance(model, ConsecutiveStragglers):
        sets = [range(i, i + model.count) for i in range(n_workers - model.count + 1)]
    else:
        size = model.workers_per_machine
        machines = [workers[i : i + size] for i in range(0, n_workers, size)]
        chosen = itertools.combinations(machines, model.count)
        sets = [list(itertools.chain(*some)) for some in chosen]
    for lost in sets:
        yield np.array(lost, int), 1 / len(sets)


def share_answered(n_inputs, placement, model):
    """By going through all sets."""
    placement = np.asarray(placement)
    expected = 0.0
    for lost, chance in drawn_sets(len(placement), model):
        left = np.delete(placement, lost)
        expected += chance * len(set(left.tolist())) / n_inputs
    return expected


@pytest.mark.parametrize(
    ("n_inputs", "n_workers", "count", "share"),
    [(60, 100, 20, 0.907744), (20, 60, 35, 0.808738), (30, 70, 20, 0.940608)],
)
def test_golden_shares_of_answered_inputs(n_inputs, n_workers, count, share):
    model = UniformStragglers(count)
    placement = best_placement(n_inputs, n_workers, model)
    assert expected_answered(placement, model) == pytest.approx(share, abs=5e-7)


@pytest.mark.parametrize("model", SMALL_MODELS, ids=repr)
@given(placement=st.lists(st.integers(0, 3), min_size=6, max_size=7))
def test_the_expected_share_is_that_over_all_sets(model, placement):
    expected = share_answered(4, placement, model)
    assert expected_answered(placement, model, n_inputs=4) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        UniformStragglers(20),
        IndependentStragglers(0.25),
        ConsecutiveStragglers(30),
        MachineStragglers(3, workers_per_machine=8),
    ],
    ids=repr,
)
def test_the_simulation_has_the_expected_share(model):
    inputs = np.arange(30.0)
    placement = balanced_copies(30, 70)
    scheme = ReplicationScheme(30, 70, fallback="mean", placement=placement)
    run = simulate(np.sin, inputs, scheme, stragglers=model, repeats=1500, rng=3)
    expected = expected_answered(placement, model)
    assert run.exact.mean() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("model", SMALL_MODELS, ids=repr)
@pytest.mark.parametrize("counts", [(1, 5), (2, 6), (3, 5), (4, 5), (4, 6), (6, 5)])
def test_no_placement_is_better(model, counts):
    n_inputs, n_workers = counts
    placement = best_placement(n_inputs, n_workers, model)
    best = expected_answered(placement, model, n_inputs=n_inputs)
    held = np.bincount(placement, minlength=n_inputs)
    assert (held.min(), held.max()) == (n_workers // n_inputs, -(-n_workers // n_inputs))
    # Which worker has which name does not matter: the first holds input 0.
    for rest in itertools.product(range(n_inputs), repeat=n_workers - 1):
        assert expected_answered((0, *rest), model, n_inputs=n_inputs) < best + 1e-12


@pytest.mark.parametrize(
    ("n_workers", "count"), [(8, 2), (8, 3), (8, 5), (10, 2), (10, 4), (11, 3), (11, 6), (12, 9)]
)
@pytest.mark.parametrize("n_twice", [1, 2, 3])
def test_no_pairs_are_better_against_neighbours_that_fail_together(n_workers, count, n_twice):
    n_inputs, model = n_workers - n_twice, ConsecutiveStragglers(count)
    blocks = [set(range(i, i + count)) for i in range(n_workers - count + 1)]
    pairs = list(itertools.combinations(range(n_workers), 2))
    # A block takes answers from as many inputs as it has workers, less one a pair it takes half of.
    spared = {pair: sum(not block.isdisjoint(pair) for block in blocks) for pair in pairs}

    def most(places, n_pairs):
        if n_pairs == 0:
            return 0
        return max(
            spared[a, b] + most([c for c in places[i + 1 :] if c != b], n_pairs - 1)
            for i, a in enumerate(places[: len(places) - 2 * n_pairs + 1])
            for b in places[i + 1 :]
        )

    lost = count - most(list(range(n_workers)), n_twice) / len(blocks)
    placement = best_placement(n_inputs, n_workers, model)
    share = expected_answered(placement, model)
    assert share == pytest.approx(1 - lost / n_inputs, abs=1e-12)


def test_placements_for_a_model_beat_balanced_copies():
    # The second machine of 9 would hold input 9 twice.
    model = MachineStragglers(1, workers_per_machine=9)
    assert best_placement(10, 20, model).tolist() == [*range(10), *range(10)]
    balanced = expected_answered(balanced_copies(10, 20), model)
    assert balanced < expected_answered(best_placement(10, 20, model), model)
    model = ConsecutiveStragglers(20)
    best = expected_answered(best_placement(60, 100, model), model)
    assert best > 0.01 + expected_answered(balanced_copies(60, 100), model)


@pytest.mark.parametrize(
    ("placement", "n_inputs", "error", "message"),
    [
        ([], 3, ValueError, r"placement must be one-dimensional and not empty, got shape \(0,\)"),
        ([[0, 1]], 3, ValueError, r"got shape \(1, 2\); pass the input that each worker holds"),
        ([0.0, 1.0], 3, TypeError, "placement must hold integers, got dtype float64"),
        ([True, False], 3, TypeError, "placement must hold integers, got dtype bool"),
        (
            [0, 3],
            3,
            ValueError,
            r"placement must lie in \[0, n_inputs\) = \[0, 3\), but .*\[1\] = 3",
        ),
        ([0, -1], None, ValueError, r"placement\[1\] = -1; inputs are counted from 0"),
        ([0, 1], 0, ValueError, "n_inputs must be >= 1, got 0"),
    ],
)
def test_bad_placements_are_refused(placement, n_inputs, error, message):
    with pytest.raises(error, match=message):
        expected_answered(placement, UniformStragglers(1), n_inputs=n_inputs)


def test_bad_models_are_refused():
    with pytest.raises(TypeError, match=r"model must be UniformStragglers, .*, got 3; of others"):
        best_placement(3, 5, 3)
    with pytest.raises(ValueError, match="count must be <= n_workers = 5, got 6"):
        best_placement(3, 5, UniformStragglers(6))
    with pytest.raises(ValueError, match="count must be <= 2, the machines that 5 workers fill"):
        expected_answered([0, 1, 2, 0, 1], MachineStragglers(3, workers_per_machine=4))
