"""Products on threads and processes of which some die, freeze or lie."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from coded import (
    CirculantMatmulCode,
    ConvolutionalMatmulCode,
    KhatriRaoMatmulCode,
    LocalWorkers,
    MDSMatmulCode,
    NotEnoughRespondersError,
    ReplicationScheme,
    RotationMatmulCode,
    coded_matmul,
)
from tests.support.worker_functions import WAIT, ManualExecutor

CODES = [
    MDSMatmulCode(4, 6),
    KhatriRaoMatmulCode(2, 2, 6),
    RotationMatmulCode(2, 2, 6),
    CirculantMatmulCode(4, 6),
    ConvolutionalMatmulCode(2, 2, 6, sub_blocks=(3, 2), rng=0),
]
every_code = pytest.mark.parametrize("code", CODES, ids=lambda code: type(code).__name__)


@pytest.fixture
def operands(rng):
    return rng.normal(size=(37, 20)), rng.normal(size=(20, 26))


class Losing(ThreadPoolExecutor):
    """Threads; these workers raise, in the order in which tasks are submitted."""

    def __init__(self, lost=(), wrong=(), lie=1e-3):
        super().__init__(4)
        self.lost, self.wrong, self.asked, self.lie = set(lost), set(wrong), -1, lie

    def submit(self, fn, /, *arguments):
        self.asked += 1
        n = self.asked
        if n in self.lost:
            return super().submit(os.stat, "/nowhere")
        if n in self.wrong:
            return super().submit(lambda: fn(*arguments) + self.lie)
        return super().submit(fn, *arguments)


@every_code
@pytest.mark.parametrize("lost", [(), (0,), (2, 5)], ids=str)
def test_lost_workers_change_nothing(code, lost, operands):
    a, b = operands
    with Losing(lost) as pool:
        result = coded_matmul(a, b, code, pool)
    np.testing.assert_allclose(result.outputs, a @ b, atol=1e-11)
    assert result.complete
    assert bool(result.exact)
    assert set(lost) <= set(result.stragglers.tolist())


@every_code
def test_too_few_answers_are_an_error_or_computed_here(code, operands):
    a, b = operands
    for lost in ((0, 2, 4), tuple(range(6))):
        with Losing(lost) as pool, pytest.raises(NotEnoughRespondersError):
            coded_matmul(a, b, code, pool)
        with Losing(lost) as pool:
            result = coded_matmul(a, b, code, pool, recompute_lost=True)
        np.testing.assert_allclose(result.outputs, a @ b, atol=1e-11)
        assert not result.complete
        assert bool(result.exact)
        assert result.responders.tolist() == [n for n in range(6) if n not in lost]
        assert set(result.failures) == set(lost)


@every_code
def test_recomputing_waits_for_all_who_may_still_answer(code, operands):
    a, b = operands
    manual, results = ManualExecutor(), []
    call = threading.Thread(
        target=lambda: results.append(coded_matmul(a, b, code, manual, recompute_lost=True))
    )
    call.start()
    for _ in range(6):
        assert manual.submitted.acquire(timeout=WAIT)
    for n in (0, 1, 2):
        manual.futures[n].set_exception(RuntimeError("gone"))
    for n in (3, 4):
        manual.answer(n)
        call.join(0.05)
        assert call.is_alive()
    manual.answer(5)
    call.join(WAIT)
    assert results[0].responders.tolist() == [3, 4, 5]
    np.testing.assert_allclose(results[0].outputs, a @ b, atol=1e-11)


@every_code
def test_at_the_timeout_the_rest_is_computed_here(code, operands):
    a, b = operands
    gate = threading.Event()

    class Late(ThreadPoolExecutor):
        asked = 0

        def submit(self, fn, /, *arguments):
            self.asked += 1
            if self.asked > 2:
                return super().submit(gate.wait, WAIT)
            return super().submit(fn, *arguments)

    with Late(6) as pool:
        result = coded_matmul(a, b, code, pool, timeout=0.5, recompute_lost=True)
        gate.set()
    np.testing.assert_allclose(result.outputs, a @ b, atol=1e-11)
    assert result.responders.tolist() == [0, 1]


@every_code
@pytest.mark.parametrize("liar", range(6))
def test_one_liar_is_found_and_the_product_decoded_without(code, liar, operands):
    a, b = operands
    with Losing(wrong=[liar]) as pool:
        result = coded_matmul(a, b, code, pool, wait_for=6, verify=True)
    np.testing.assert_allclose(result.outputs, a @ b, atol=1e-11)
    assert not result.complete
    assert list(result.failures) == [liar]
    assert "checksums" in str(result.failures[liar])


@every_code
@pytest.mark.parametrize(
    ("left", "right", "dtype"),
    [
        (1e200, 1e-200, float),
        (1e-200, 1.0, float),
        (1e-160, 1e-160, float),
        (1e-200, 1e-200, float),
        (1e30, 1e-10, np.float32),
        (1e-25, 1.0, np.float32),
        (1e-20, 1e-20, np.float32),
        (1.0, 1.0, float),
        (1.0, 1.0, np.float16),
    ],
    ids=str,
)
def test_checksums_hold_for_numbers_of_any_size(code, left, right, dtype, operands):
    a, b = (factor * x for factor, x in zip((left, right), operands, strict=True))
    a[0] *= 1e-200 if left == 1.0 else 1.0
    a, b = a.astype(dtype), b.astype(dtype)
    with ThreadPoolExecutor() as pool:
        result = coded_matmul(a, b, code, pool, wait_for=6, verify=True)
    assert result.complete
    assert not result.failures
    assert result.outputs.dtype == dtype
    largest = np.abs(a.astype(float) @ b.astype(float)).max()
    error = np.abs(result.outputs.astype(float) - a.astype(float) @ b.astype(float)).max()
    assert error <= 200 * np.finfo(dtype).eps * largest + 100 * np.finfo(dtype).smallest_subnormal


@every_code
@pytest.mark.parametrize(("left", "right"), [(1e200, 1e-200), (1e-200, 1.0), (1e160, 1e100)])
def test_checksums_find_lies_about_numbers_of_any_size(code, left, right, operands):
    a, b = left * operands[0], right * operands[1]
    lie = 1e-3 * left * right
    with Losing(wrong=[1], lie=lie) as pool:
        result = coded_matmul(a, b, code, pool, wait_for=5, verify=True)
    assert list(result.failures) == [1]
    np.testing.assert_allclose(result.outputs / (left * right), a @ b / (left * right), atol=1e-11)


@every_code
def test_an_answer_beyond_the_operands_dtype_is_a_failure(code, operands):
    a, b = (x.astype(np.float32) for x in operands)
    with Losing(wrong=[0], lie=np.float64(1e290)) as pool:
        result = coded_matmul(a, b, code, pool, wait_for=5)
    assert list(result.failures) == [0]
    assert "overflows float32" in str(result.failures[0])
    np.testing.assert_allclose(result.outputs, a @ b, atol=1e-4)


def test_spare_answers_find_a_liar_without_checksums(operands):
    a, b = operands
    with Losing(wrong=[3]) as pool:
        result = coded_matmul(a, b, KhatriRaoMatmulCode(2, 2, 6), pool, wait_for=6)
    np.testing.assert_allclose(result.outputs, a @ b, atol=1e-11)
    assert list(result.failures) == [3]


@every_code
def test_a_vector_and_a_placed_matrix(code, operands):
    a, b = operands
    with ThreadPoolExecutor() as pool:
        placed = code.place(torch.from_numpy(a.astype(np.float32)))
        for factor in (1.0, 3.0):
            other = torch.from_numpy(factor * b.astype(np.float32))
            result = coded_matmul(placed, other, code, pool)
            np.testing.assert_allclose(result.outputs, factor * a @ b, atol=1e-4)
        vector = b[:, 0]
        if code.grid[2] == 1:
            product = coded_matmul(a, vector, code, pool).outputs
            np.testing.assert_allclose(product, a @ vector, atol=1e-12)
        else:
            with pytest.raises(ValueError, match="b has 1 columns, but the code cuts it into"):
                coded_matmul(a, vector, code, pool)


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        ({"code": ReplicationScheme(2, 4)}, TypeError, "code must be a MatmulCode"),
        ({"verify": 1}, TypeError, "verify must be True or False"),
        ({"recompute_lost": None}, TypeError, "recompute_lost must be True or False"),
        ({"wait_for": 7}, ValueError, "wait_for"),
        ({"executor": 3}, TypeError, "executor must be"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(change, kind, match, operands):
    a, b = operands
    with ThreadPoolExecutor() as pool:
        arguments = {"a": a, "b": b, "code": CODES[0], "executor": pool} | change
        with pytest.raises(kind, match=match):
            coded_matmul(**arguments)


def test_monomials_that_float32_cannot_hold_are_refused(rng):
    """As polynomial codes at 1, 2, ...: 4 x 4 blocks would err by 1.2 in float32."""

    class Monomials(RotationMatmulCode):
        def _encoders(self):
            x = np.linspace(-1.0, 1.0, self.n_workers)
            m, n = self.grid[0], self.grid[2]
            return (x[:, None] ** np.arange(m))[:, None], (x[:, None] ** (m * np.arange(n)))[
                :, None
            ]

    code = Monomials(2, 2, 20)
    worse = Monomials(2, 2, 16)
    a, b = rng.normal(size=(8, 8)).astype(np.float32), rng.normal(size=(8, 8)).astype(np.float32)
    with ThreadPoolExecutor() as pool:
        with pytest.raises(NotEnoughRespondersError, match="amplify errors by at most 8e"):
            coded_matmul(a, b, code, Losing(range(16, 20)))
        with pytest.raises(NotEnoughRespondersError, match="amplify errors by at most 8e"):
            coded_matmul(a, b, worse, pool, recompute_lost=True)  # not even from all 16
        double = coded_matmul(a.astype(float), b.astype(float), code, pool)
    np.testing.assert_allclose(double.outputs, a.astype(float) @ b, atol=1e-6)


def test_answers_that_float32_cannot_bear_are_waited_beyond(rng):
    """Two of three rows determine the product, but amplify its rounding by a million."""

    class Near(MDSMatmulCode):
        def _encoders(self):
            left = np.array([[1.0, 0.0], [1.0, 1e-6], [0.0, 1.0]])
            return left[:, None], np.ones((3, 1, 1))

    a, b = (rng.normal(size=(8, 8)).astype(np.float32) for _ in range(2))
    manual, results = ManualExecutor(), []
    call = threading.Thread(target=lambda: results.append(coded_matmul(a, b, Near(2, 3), manual)))
    call.start()
    for _ in range(3):
        assert manual.submitted.acquire(timeout=WAIT)
    for n in range(3):
        manual.answer(n)
        call.join(0.05 if n < 2 else WAIT)
        assert call.is_alive() == (n < 2)
    assert results[0].responders.tolist() == [0, 1, 2]
    np.testing.assert_allclose(results[0].outputs, a.astype(float) @ b, atol=1e-5)


@pytest.mark.outer
@every_code
def test_killed_workers_come_back_with_their_blocks(code, operands):
    a, b = operands
    with LocalWorkers(6) as workers:
        workers.wait()
        placed = code.place(a)
        for _ in range(4):
            os.kill(workers.executors[1].submit(os.getpid).result(WAIT), signal.SIGKILL)
            result = coded_matmul(placed, b, code, workers.executors, timeout=WAIT)
            np.testing.assert_allclose(result.outputs, a @ b, atol=1e-11)
        workers.wait()
        everyone = coded_matmul(placed, b, code, workers.executors, wait_for=6, timeout=WAIT)
        assert everyone.complete
        np.testing.assert_allclose(everyone.outputs, a @ b, atol=1e-11)


@pytest.mark.outer
def test_a_frozen_worker_and_dead_ones_are_computed_here(operands):
    a, b = operands
    code = KhatriRaoMatmulCode(2, 2, 5)
    with LocalWorkers(5) as workers:
        workers.wait()
        for n in (0, 3):
            os.kill(workers.pids[n], signal.SIGSTOP)
        try:
            result = coded_matmul(
                a, b, code, workers.executors, timeout=1.0, recompute_lost=True, verify=True
            )
        finally:
            for n in (0, 3):
                os.kill(workers.pids[n], signal.SIGCONT)
    np.testing.assert_allclose(result.outputs, a @ b, atol=1e-11)
    assert result.responders.tolist() == [1, 2, 4]
