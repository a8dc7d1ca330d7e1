"""Secure products on threads and processes of which some die or lie."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from coded import (
    GASPMatmulCode,
    InconsistentAnswersError,
    LocalWorkers,
    MDSMatmulCode,
    NotEnoughRespondersError,
    secure_matmul,
)
from coded.secure.registry import SECURE_MATMULS
from tests.support.worker_functions import Dying

CODE = GASPMatmulCode(2, 2, 9)


@pytest.fixture
def operands(rng):
    return rng.integers(-99, 100, (17, 20)), rng.integers(-99, 100, (20, 16))


class Losing(ThreadPoolExecutor):
    """Threads; these workers raise or lie, in the order in which tasks are submitted."""

    def __init__(self, lost=(), wrong=()):
        super().__init__(4)
        self.lost, self.wrong, self.asked = set(lost), set(wrong), -1

    def submit(self, fn, /, *arguments):
        self.asked += 1
        n = self.asked
        if n in self.lost:
            return super().submit(os.stat, "/nowhere")
        if n in self.wrong:
            return super().submit(lambda: fn(*arguments) + 1)
        return super().submit(fn, *arguments)


def test_a_lost_worker_changes_nothing(operands):
    a, b = operands
    for lost in range(9):
        with Losing([lost]) as pool:
            result = secure_matmul(a, b, CODE, pool)
        assert np.array_equal(result.outputs, a @ b)
        assert bool(result.exact)
        assert lost in result.stragglers
    with Losing([2, 5]) as pool, pytest.raises(NotEnoughRespondersError, match="8 answers"):
        secure_matmul(a, b, CODE, pool)


def test_a_lost_task_is_given_to_nobody_else(operands):
    with Losing([3]) as pool:
        secure_matmul(*operands, CODE, pool)
        assert pool.asked == 8


def test_a_liar_is_left_out_if_that_is_asked_for(operands):
    a, b = operands
    with Losing(wrong=[0]) as pool:
        result = secure_matmul(a, b, CODE, pool, verify=True)
    assert np.array_equal(result.outputs, a @ b)
    assert "is not the product of the worker's blocks" in str(result.failures[0])
    with Losing(wrong=[0]) as pool, pytest.raises(InconsistentAnswersError):
        secure_matmul(a, b, CODE, pool, wait_for=9)


def test_two_spare_answers_correct_a_liar(operands):
    a, b = operands
    with Losing(wrong=[3]) as pool:
        result = secure_matmul(a, b, GASPMatmulCode(2, 2, 10), pool, wait_for=10)
    assert np.array_equal(result.outputs, a @ b)
    assert 3 in result.stragglers


def test_a_vector_gives_a_vector(operands):
    a, b = operands
    with ThreadPoolExecutor() as pool:
        result = secure_matmul(a, b[:, 0], GASPMatmulCode(3, 1, 8), pool)
    assert np.array_equal(result.outputs, a @ b[:, 0])


SPARING = [
    name
    for name, one in SECURE_MATMULS.items()
    if one.numbers == "integer" and one.make(5, 1, 1).n_stragglers
]


@pytest.mark.parametrize("name", SPARING)
def test_on_processes_of_which_one_is_killed(name, rng):
    code = SECURE_MATMULS[name].make(5, 1, 1)
    batch = (code.n_products,) if hasattr(code, "n_products") else ()
    a, b = rng.integers(-99, 100, (*batch, 8, 6)), rng.integers(-99, 100, (*batch, 6, 8))
    with LocalWorkers(5) as workers:
        first, second, *others = workers.executors
        dying = [first, Dying(second), *others]
        killed = workers.pids[1]
        result = secure_matmul(a, b, code, dying, timeout=60.0, wait_for=5)
        assert np.array_equal(result.outputs, a @ b)
        assert set(result.failures) == {1}
        workers.wait()
        assert workers.pids[1] != killed
        again = secure_matmul(a, b, code, workers.executors, timeout=60.0, wait_for=5)
    assert np.array_equal(again.outputs, a @ b)
    assert again.responders.tolist() == [0, 1, 2, 3, 4]


def test_one_executor_gets_no_more_shares_than_masks_hide(operands):
    with ThreadPoolExecutor() as first, ThreadPoolExecutor() as second:
        with pytest.raises(ValueError, match="would get 5 workers' shares"):
            secure_matmul(*operands, CODE, [first, second])
        pools = [first, first, second, second]
        with pytest.raises(ValueError, match="n_colluders = 1 together"):
            secure_matmul(*operands, CODE, pools)


def test_bad_arguments_are_refused(operands):
    a, b = operands
    with ThreadPoolExecutor() as pool:
        for change, kind, match in [
            ({"code": MDSMatmulCode(2, 3)}, TypeError, "code must be a SecureMatmulCode"),
            ({"verify": 1}, TypeError, "verify must be"),
            ({"wait_for": "exact"}, TypeError, "wait_for must be an integer"),
            ({"wait_for": 10}, ValueError, r"wait_for must lie in \[1, 9\]"),
            ({"timeout": -1.0}, ValueError, "timeout"),
            ({"a": a[:1]}, ValueError, "a has 1 rows, but the code cuts it into 2"),
        ]:
            arguments = {"a": a, "b": b, "code": CODE, "executor": pool} | change
            with pytest.raises(kind, match=match):
                secure_matmul(**arguments)
