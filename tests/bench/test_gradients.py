import json

import numpy as np
import pytest

from bench.engines import gradients
from bench.engines.gradients import STRATEGIES, Clock, Ridge
from bench.records import to_json

ALIKE = np.ones(gradients.N)
SLOW = np.where(np.arange(gradients.N) == 3, 10.0, 1.0)


@pytest.fixture(scope="module")
def ridge():
    return Ridge()


def times(name, *steps):
    """When each of some steps ends."""
    clock, found = Clock(STRATEGIES[name]), []
    for factors in steps:
        clock.step(factors)
        found.append(clock.now)
    return found


def test_steps_take_what_they_take_by_hand():
    """Executor 3 is slow in the second step, and at its task in the third one still."""
    steps = (ALIKE, SLOW, ALIKE)
    assert times("wait for all", *steps) == [1.0, 11.0, 12.0]
    assert times("wait for all, hedge after 2", *steps) == [1.0, 4.0, 7.0]
    assert times("drop the slowest 2, rescale", *steps) == [1.0, 2.0, 3.0]
    assert times("fractional repetition, until decodable", *steps) == [2.0, 4.0, 6.0]
    assert times("fractional repetition, wait for 19", *steps) == [2.0, 4.0, 6.0]
    # Executor 3 is the only one that has drawn its batch.
    assert times("batched coupon, until decodable", *steps) == [2.0, 22.0, 24.0]
    assert times("fractional repetition, 4 copies, until decodable", *steps) == [4.0, 8.0, 12.0]
    # What is begun as a step ends is finished in vain; executor 2 helps with the parts of 3.
    assert times("partial, 1 part a block", *steps) == [1.0, 4.0, 6.0]
    assert times("partial, 4 parts a block", *steps) == [1.0, 3.25, 4.5]


def test_answers_that_come_at_the_same_time_are_used():
    assert len(Clock(STRATEGIES["drop the slowest 2, rescale"]).step(ALIKE)) == gradients.N
    assert len(Clock(STRATEGIES["drop the slowest 2, rescale"]).step(SLOW)) == gradients.N - 1


@pytest.mark.parametrize("name", STRATEGIES)
def test_weights_are_ones_where_all_answer(name):
    strategy = STRATEGIES[name]
    everyone = np.arange(strategy.code.n_workers)
    if name.startswith("Bernoulli"):  # an estimate from all, too
        assert np.mean(strategy.weights(everyone)) == pytest.approx(1.0, abs=0.15)
        return
    np.testing.assert_allclose(strategy.weights(everyone), 1.0, atol=1e-9)


def test_shares_sum_to_the_gradient_which_is_that_of_the_loss(ridge):
    rng = np.random.default_rng(0)
    w, along = rng.normal(size=(2, *ridge.first.shape))
    whole, of_ridge = ridge.gradient(w, np.ones(20)), ridge.gradient(w, np.zeros(20))
    shares = sum(ridge.gradient(w, 3.0 * one) - of_ridge for one in np.eye(20)) / 3.0
    np.testing.assert_allclose(shares + of_ridge, whole, rtol=0, atol=1e-9 * np.abs(whole).max())
    slope = (ridge.loss(w + 1e-4 * along) - ridge.loss(w - 1e-4 * along)) / 2e-4
    assert slope == pytest.approx(2.0 * np.sum(whole * along), rel=1e-6)


def test_a_quick_run_makes_the_table():
    numbers = json.loads(to_json(gradients.run(quick=True)))
    assert set(numbers) == set(gradients.LAWS)
    table = gradients.tables(numbers)["gradients"]
    assert all(f"| {name} |" in table for name in STRATEGIES)
    assert gradients.draw(numbers) == {}
