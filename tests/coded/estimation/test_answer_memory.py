import pickle
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import AnswerMemory
from tests.support.meanwhile import Meanwhile


@given(sizes=st.lists(st.integers(0, 7), max_size=8), capacity=st.integers(1, 9))
def test_the_latest_pairs_are_kept(sizes, capacity):
    memory = AnswerMemory(capacity)
    every = np.arange(float(sum(sizes)))
    for chunk in np.split(every, np.cumsum(sizes)[:-1]) if sizes else []:
        memory.add(chunk[:, None] * [1.0, 2.0], 10.0 * chunk)
    kept = every[-capacity:]
    assert len(memory) == len(kept)
    if any(sizes):
        coded_inputs, answers = memory.snapshot()
        np.testing.assert_array_equal(coded_inputs, kept[:, None] * [1.0, 2.0])
        np.testing.assert_array_equal(answers, 10.0 * kept)


def test_nothing_added_is_nothing_held_whatever_its_shape():
    memory = AnswerMemory(2)
    memory.add([], [])
    assert len(memory) == 0
    memory.add([[1.0, 2.0]], [3.0])
    memory.add([], [])
    assert len(memory) == 1


def test_only_what_is_kept_stays_in_memory():
    memory = AnswerMemory(2)
    memory.add(np.zeros((1000, 3)), np.zeros(1000))
    memory.add(np.ones((1, 3)), np.ones(1))
    memory.add(np.ones((500, 3)), np.ones(500))
    assert len(pickle.dumps(memory)) < 1000
    assert memory._pairs[0].base is None


def test_cleared_it_is_as_if_fresh():
    memory = AnswerMemory(5)
    memory.add(np.zeros((2, 3)), np.zeros((2, 4)))
    memory.clear()
    assert len(memory) == 0
    assert [array.shape for array in memory.snapshot()] == [(0,), (0,)]
    memory.add(np.zeros((2, 8)), np.zeros(2))
    assert len(memory) == 2


def test_what_is_held_is_nobody_elses():
    memory = AnswerMemory(5)
    given_inputs, given_answers = np.ones((2, 3)), np.ones(2)
    memory.add(given_inputs, given_answers)
    given_inputs[:] = given_answers[:] = 7.0
    seen = memory.snapshot()
    memory.add(np.zeros((1, 3)), np.zeros(1))
    assert len(seen[0]) == 2
    for array in (*seen, *memory.snapshot()):
        array[:] = 9.0
    np.testing.assert_array_equal(memory.snapshot()[1], [1.0, 1.0, 0.0])


def test_tensors_are_welcome_and_float32_is_kept():
    memory = AnswerMemory(5)
    memory.add(torch.ones(2, 3), torch.ones(2, 4, requires_grad=True))
    assert [array.dtype for array in memory.snapshot()] == [np.float32, np.float32]


def test_it_pickles_with_its_content():
    memory = AnswerMemory(5)
    memory.add(np.ones((2, 3)), np.ones(2))
    copy = pickle.loads(pickle.dumps(memory))
    copy.add(np.ones((1, 3)), np.zeros(1))
    assert (len(memory), len(copy), copy.capacity) == (2, 3, 5)
    assert repr(eval(repr(copy))) == repr(copy) == "AnswerMemory(5)"


def test_many_threads_may_add():
    memory = AnswerMemory(10_000)

    def add(value):
        for _ in range(200):
            memory.add(np.full((2, 1), value), np.full(2, value))
            coded_inputs, answers = memory.snapshot()
            assert np.array_equal(coded_inputs[:, 0], answers)

    threads = [threading.Thread(target=add, args=(float(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert np.bincount(memory.snapshot()[1].astype(int)).tolist() == [400] * 4


class Watched(AnswerMemory):
    """Another thread acts as the pairs are looked at."""

    held, moment = None, None

    @property
    def _pairs(self):
        held = self.held
        if self.moment is not None:
            self.moment()
        return held

    @_pairs.setter
    def _pairs(self, pairs):
        self.held = pairs


def test_what_is_cleared_does_not_come_back_with_pairs_that_are_being_added():
    memory = Watched(10)
    memory.add(np.zeros((2, 1)), np.zeros(2))
    memory.moment = Meanwhile(memory.clear)
    memory.add(np.ones((2, 1)), np.ones(2))
    memory.moment.finish()
    assert memory.held is None


@pytest.mark.parametrize(
    ("capacity", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_bad_capacity_is_refused(capacity, error):
    with pytest.raises(error, match="capacity must be"):
        AnswerMemory(capacity)


@pytest.mark.parametrize(
    ("coded_inputs", "answers", "error", "message"),
    [
        (np.zeros((2, 3)), np.zeros(3), ValueError, "must be as many, got 2 and 3"),
        (np.zeros((2, 4)), np.zeros(2), ValueError, r"coded_inputs have shape \(4,\) each, but"),
        (np.zeros((2, 3)), np.zeros((2, 1)), ValueError, r"answers have shape \(1,\) each, but"),
        (np.zeros((2, 3)), [0.0, np.nan], ValueError, r"answers\[1\] = nan"),
        (np.full((2, 3), np.inf), np.zeros(2), ValueError, r"coded_inputs\[0, 0\] = inf"),
        (1.0, [1.0], ValueError, "coded_inputs must be a stack along axis 0"),
        ([["a"]], [1.0], TypeError, "coded_inputs must hold real numbers"),
    ],
)
def test_bad_pairs_are_refused_and_change_nothing(coded_inputs, answers, error, message):
    memory = AnswerMemory(5)
    memory.add(np.ones((2, 3)), np.ones(2))
    with pytest.raises(error, match=message):
        memory.add(coded_inputs, answers)
    assert len(memory) == 2
