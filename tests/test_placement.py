from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded import answered_fraction, balanced_copies
from coded.placement import places_far_apart

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


def test_fewer_workers_hold_inputs_spread_evenly():
    assert balanced_copies(60, 4).tolist() == [7, 22, 37, 52]


@pytest.mark.parametrize("counts", [(0, 3), (3, 0), (-1, 3)])
def test_counts_below_one_are_refused(counts):
    with pytest.raises(ValueError, match="must be >= 1, got"):
        balanced_copies(*counts)


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


@pytest.mark.parametrize(
    ("k", "n", "s", "fraction"),
    [(60, 100, 20, 0.907744), (20, 60, 35, 0.808738), (30, 70, 20, 0.940608)],
)
def test_answered_fractions_are_known(k, n, s, fraction):
    assert answered_fraction(k, n, s) == pytest.approx(fraction, abs=5e-7)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 2), (3, 7), (4, 8)])
def test_answered_fraction_is_the_mean_over_all_losses(k, n):
    held = balanced_copies(k, n)
    for s in range(n + 1):
        answered = [len({held[i] for i in who}) / k for who in combinations(range(n), n - s)]
        assert answered_fraction(k, n, s) == pytest.approx(np.mean(answered), abs=1e-12)


def test_answered_fraction_refuses_more_losses_than_workers():
    with pytest.raises(ValueError, match=r"n_stragglers must lie in \[0, 4\], got 5"):
        answered_fraction(2, 4, 5)
