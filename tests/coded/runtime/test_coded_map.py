import asyncio
import collections
import gc
import itertools
import logging
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from coded import (
    BerrutScheme,
    CodedResult,
    KernelScheme,
    LagrangeScheme,
    NotEnoughRespondersError,
    ReplicationScheme,
    SplineScheme,
    WithPrior,
    WorkerBusyError,
    coded_map,
    coded_map_async,
)
from coded.runtime.order import spread
from tests.support.worker_functions import (
    WAIT,
    ManualExecutor,
    die_on_zero,
    double,
    fail_on_zero,
)

INPUTS = np.array([[0.0, 0.0], [1.0, 3.0]])


def pairs():
    """Two inputs, each on two of four workers; any three of them suffice."""
    return ReplicationScheme(2, 4, fallback=None)


class Running:
    """A coded_map in a thread, so that the test can play the workers meanwhile."""

    def __init__(self, executor, n_tasks, **arguments):
        defaults = {"fn": double, "inputs": INPUTS, "scheme": pairs()}
        self.outcome, self.error = None, None
        self.thread = threading.Thread(
            target=self._run, args=(defaults | arguments | {"executor": executor},), daemon=True
        )
        self.thread.start()
        for _ in range(n_tasks):
            assert executor.submitted.acquire(timeout=WAIT)
        scheme = (defaults | arguments)["scheme"]
        if n_tasks == scheme.n_workers:
            inputs = np.asarray((defaults | arguments)["inputs"])
            coded_inputs = scheme.bind(inputs).encode(inputs)
            executor.sort_last(spread(inputs.astype(coded_inputs.dtype), coded_inputs))

    def _run(self, arguments):
        try:
            self.outcome = coded_map(**arguments)
        except BaseException as error:  # noqa: BLE001 (handed to the test)
            self.error = error

    def result(self):
        self.thread.join(WAIT)
        assert not self.thread.is_alive(), "coded_map hangs"
        if self.error is not None:
            raise self.error
        return self.outcome


# ---- whoever answers first


@pytest.mark.parametrize("order", list(itertools.permutations(range(4), 3)), ids=str)
def test_every_order_of_arrival_decodes(order):
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=3)
    for n in order:
        pool.answer(n)
    result = call.result()
    assert result.complete
    assert result.responders.tolist() == sorted(order)
    assert result.stragglers.tolist() == sorted({0, 1, 2, 3} - set(order))
    assert np.array_equal(result.outputs, 2.0 * INPUTS)
    assert np.isnan(result.latencies[result.stragglers]).all()
    assert (result.latencies[result.responders] >= 0.0).all()
    assert result.failures == {}
    assert result.exact.all()
    assert all(pool.futures[n].cancelled() for n in result.stragglers)


def test_default_waits_until_the_scheme_can_decode():
    scheme = pairs()
    copies = scheme.encoding_matrix.argmax(axis=1)
    first = np.flatnonzero(copies == 0)
    other = np.flatnonzero(copies == 1)
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=1)
    for n in first:
        pool.answer(n)
    assert call.thread.is_alive()
    pool.answer(other[0])
    assert call.result().responders.tolist() == sorted([*first, other[0]])


def test_min_responders_is_the_default():
    pool = ManualExecutor()
    call = Running(pool, 4)
    scheme = pairs()
    assert scheme.min_responders == 3
    for n in (3, 1, 0):
        pool.answer(n)
    assert call.result().responders.tolist() == [0, 1, 3]


def test_predicate_decides_when_to_stop():
    pool = ManualExecutor()
    asked = []

    def worker_3_answered(responders):
        asked.append(responders.tolist())
        return 3 in responders

    call = Running(pool, 4, wait_for=worker_3_answered, scheme=BerrutScheme(2, 4))
    pool.answer(0)
    pool.answer(3)
    assert call.result().responders.tolist() == [0, 3]
    assert all(responders == sorted(responders) for responders in asked)


def test_a_predicate_out_of_reach_leaves_what_can_still_come():
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=lambda r: 3 in r, scheme=BerrutScheme(2, 4))
    pool.answer(0)
    pool.answer(1)
    pool.futures[3].set_exception(ArithmeticError("no"))
    call.thread.join(0.2)
    assert call.thread.is_alive()
    pool.answer(2)
    result = call.result()
    assert not result.complete
    assert result.responders.tolist() == [0, 1, 2]
    assert result.stragglers.tolist() == [3]
    assert list(result.failures) == [3]
    assert np.isfinite(result.outputs).all()


def test_a_predicate_out_of_reach_ends_the_call_once_all_outputs_are_exact():
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=lambda r: 3 in r, scheme=ReplicationScheme(2, 4))
    pool.answer(0)
    pool.futures[3].set_exception(ArithmeticError("no"))
    pool.answer(1)
    result = call.result()
    assert not result.complete
    assert result.exact.all()
    assert result.responders.tolist() == [0, 1]
    assert list(result.failures) == [3]


def test_answers_that_are_there_are_used_beyond_wait_for():
    class AtOnce(ManualExecutor):
        def submit(self, fn, /, *args, **kwargs):
            future = super().submit(fn, *args, **kwargs)
            self.answer(len(self.futures) - 1)
            return future

    result = coded_map(double, INPUTS, pairs(), AtOnce(), wait_for=1)
    assert result.responders.tolist() == [0, 1, 2, 3]


def test_coded_input_n_goes_to_executor_n_modulo_their_number():
    pools = [ManualExecutor(), ManualExecutor(), ManualExecutor()]
    scheme = SplineScheme(2, 7)
    inputs = np.array([1.0, 2.0])
    coded_inputs = scheme.bind(inputs).encode(inputs)
    call = Running(pools, 0, inputs=inputs, scheme=scheme)
    for pool, count in zip(pools, (3, 2, 2), strict=True):
        for _ in range(count):
            assert pool.submitted.acquire(timeout=WAIT)
    for i, pool in enumerate(pools):
        received = sorted(float(args[0]) for _, args, _ in pool.tasks)
        assert received == pytest.approx(sorted(coded_inputs[i::3]))
        for n in range(len(pool.tasks)):
            pool.answer(n)
    assert call.result().outputs == pytest.approx(2.0 * inputs)


def test_on_answer_hears_each_answer_in_the_calling_thread():
    pool = ManualExecutor()
    heard = []
    call = Running(pool, 4, on_answer=lambda n, s: heard.append((n, s, threading.current_thread())))
    pool.futures[1].set_exception(ArithmeticError("no"))
    for n in (2, 0, 3):
        pool.answer(n)
    result = call.result()
    assert [n for n, _, _ in heard] == [2, 0, 3]
    assert [s for _, s, _ in heard] == [result.latencies[n] for n in (2, 0, 3)]
    assert {thread for _, _, thread in heard} == {call.thread}


# ---- failures are stragglers

HARSH_SCHEMES = [
    SplineScheme(5, 20, n_stragglers=18),
    SplineScheme.paper(5, 20, n_stragglers=18, lam_dec=1e-9),
    BerrutScheme(5, 20, n_stragglers=16),
    LagrangeScheme(5, 19, degree=3),
    ReplicationScheme(5, 20, n_stragglers=18, fallback="mean"),
    ReplicationScheme(5, 20, n_stragglers=18),
    KernelScheme(5, 20, n_stragglers=18, fit=None),
]

BAD_ANSWERS = {
    "exception": (lambda f: f.set_exception(ArithmeticError("boom")), ArithmeticError, "boom"),
    "system-exit": (lambda f: f.set_exception(SystemExit(3)), SystemExit, "3"),
    "cancelled": (lambda f: f.cancel(), CancelledError, "cancelled"),
    "nan": (lambda f: f.set_result(np.array([0.0, np.nan])), ValueError, r"answer\[1\] = nan"),
    "inf": (lambda f: f.set_result([np.inf, 0.0]), ValueError, r"answer\[0\] = inf"),
    "shape": (lambda f: f.set_result(np.zeros(5)), ValueError, r"\(5,\), most others have \(2,\)"),
    "none": (lambda f: f.set_result(None), TypeError, "answer"),
    "text": (lambda f: f.set_result("answer"), ValueError, r"\(\) of objects, most others have"),
    "tuple": (lambda f: f.set_result((1.0, 2.0)), ValueError, r"shape \(\(\), \(\)\), most"),
    "empty-tuple": (lambda f: f.set_result(()), ValueError, "answer holds an empty tuple"),
    "nan-inside": (lambda f: f.set_result({"x": np.nan}), ValueError, r"answer\['x'\]"),
    "empty": (lambda f: f.set_result(np.zeros((0, 2))), ValueError, "empty"),
    "huge": (lambda f: f.set_result([1.7e308, -1.7e308]), ValueError, "too large to decode"),
    "huge-float32": (lambda f: f.set_result(np.float32([0, -3e38])), ValueError, "too large to"),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scheme", HARSH_SCHEMES, ids=repr)
def test_the_largest_answers_that_are_taken_can_be_decoded(scheme, dtype):
    """The signs are those that the decoder amplifies most."""
    # Spread, so that float32 has digits enough for Lagrange's.
    responders = np.linspace(0, scheme.n_workers - 1, scheme.min_responders).round().astype(int)
    matrix = scheme.bind(np.arange(5.0)).decoding_matrix(responders)
    worst = matrix[np.abs(matrix).sum(axis=1).argmax()]
    answers = np.copysign(np.finfo(dtype).max / 2**28, worst).astype(dtype)
    pool = ManualExecutor()
    call = Running(
        pool, scheme.n_workers, inputs=np.arange(5.0), scheme=scheme, wait_for=len(responders)
    )
    for n, answer in zip(responders, answers, strict=True):
        pool.futures[n].set_result(answer)
    result = call.result()
    assert result.failures == {}
    assert np.isfinite(result.outputs).all()
    assert result.std is None or not np.isnan(result.std).any()


@pytest.mark.parametrize("when", ["first", "last"])
@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_is_that_workers_failure(name, when):
    spoil, kind, words = BAD_ANSWERS[name]
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=3)
    if when == "first":
        spoil(pool.futures[2])
    pool.answer(0)
    pool.answer(1)
    if when == "last":
        spoil(pool.futures[2])
    pool.answer(3)
    result = call.result()
    assert result.complete
    assert result.responders.tolist() == [0, 1, 3]
    assert list(result.failures) == [2]
    with pytest.raises(kind, match=words):
        raise result.failures[2]
    assert np.array_equal(result.outputs, 2.0 * INPUTS)


def test_the_shape_of_the_majority_counts():
    pool = ManualExecutor()
    call = Running(pool, 6, scheme=ReplicationScheme(2, 6, fallback="mean"), wait_for=3)
    for n in (0, 1):
        pool.futures[n].set_result(np.zeros(7))
    for n in (2, 3, 5):
        pool.answer(n)
    result = call.result()
    assert result.responders.tolist() == [2, 3, 5]
    assert sorted(result.failures) == [0, 1]
    assert np.isnan(result.latencies[[0, 1]]).all()


def test_two_shapes_of_which_neither_can_win_end_the_call():
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=4)
    pool.futures[0].set_result(np.zeros(7))
    for n in (1, 2, 3):
        pool.answer(n)
    result = call.result()
    assert not result.complete
    assert result.responders.tolist() == [1, 2, 3]


def test_a_refused_submission_is_a_failure():
    broken = ThreadPoolExecutor(1)
    broken.shutdown()
    with ThreadPoolExecutor(2) as pool:
        result = coded_map(double, INPUTS, pairs(), [pool, broken, pool, pool])
    assert result.complete
    assert list(result.failures) == [1]
    assert "after shutdown" in str(result.failures[1])


def test_too_many_failures_raise_before_the_rest_has_answered():
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=3)
    pool.futures[2].set_exception(ArithmeticError("first of all"))
    pool.futures[0].set_exception(ValueError("second"))
    with pytest.raises(NotEnoughRespondersError) as caught:
        call.result()
    error = caught.value
    assert error.responders == ()
    assert sorted(error.failures) == [0, 2]
    assert str(error.__cause__) == "first of all"
    for words in (
        "0 of 4 workers answered within",
        "2 failed: 2, 0; the first by ArithmeticError: first of all",
        "2 still out: 1, 3",
        "ReplicationScheme(2, 4",
    ):
        assert words in str(error)
    assert pool.futures[1].cancelled()
    assert pool.futures[3].cancelled()


def test_out_of_reach_it_waits_for_what_can_be_decoded():
    """Two of four fail, so three cannot come; one copy of each input still can."""
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=3)
    pool.futures[1].set_exception(ArithmeticError())
    pool.futures[0].set_exception(ArithmeticError())
    pool.answer(2)
    pool.answer(3)
    result = call.result()
    assert not result.complete
    assert result.responders.tolist() == [2, 3]
    assert np.array_equal(result.outputs, 2.0 * INPUTS)


@pytest.mark.parametrize("family", [SplineScheme, ReplicationScheme])
@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_answers_of_a_shared_pool_cover_all_inputs(threads, family):
    inputs = np.linspace(0.0, 3.0, 8).reshape(8, 1)
    begun, has_ended = itertools.count(1), threading.Event()

    def sine_of_the_first(coded_input):
        if next(begun) > 8:
            assert has_ended.wait(WAIT)
        return np.sin(coded_input)

    with ThreadPoolExecutor(threads) as pool:
        result = coded_map(sine_of_the_first, inputs, family(8, 24), pool, timeout=60.0)
        has_ended.set()
    assert len(result.responders) == 8
    assert result.exact.all()
    assert np.array_equal(result.outputs, np.sin(inputs))


@pytest.mark.parametrize(
    ("wait_for", "words"),
    [
        (None, "waited for exact answers;"),
        (1, "waited for 1 answer;"),
        (4, "waited for 4 answers;"),
        (lambda r: 3 in r, "waited for the predicate wait_for;"),
    ],
    ids=["default", "one", "all", "predicate"],
)
def test_the_error_tells_what_was_waited_for(wait_for, words):
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=wait_for, retries=0)
    for future in pool.futures:
        future.set_exception(ArithmeticError("no"))
    with pytest.raises(NotEnoughRespondersError, match=words):
        call.result()


@pytest.mark.parametrize("answer", [np.array([True, False]), np.zeros(0)], ids=["array", "empty"])
def test_a_predicate_that_gives_an_array_is_taught(answer):
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=lambda _: answer)
    pool.answer(0)
    with pytest.raises(TypeError, match=r"wait_for must return True or False, .* ndarray .*any"):
        call.result()
    assert pool.futures[1].cancelled()


def test_all_failing_by_a_bug_shows_the_bug():
    def buggy(coded_input):
        return coded_input.no_such_thing

    with ThreadPoolExecutor(2) as pool, pytest.raises(NotEnoughRespondersError) as caught:
        coded_map(buggy, INPUTS, pairs(), pool)
    assert isinstance(caught.value.__cause__, AttributeError)
    assert "no_such_thing" in str(caught.value)
    assert 2 <= len(caught.value.failures) <= 4


# ---- time


def test_timeout_with_enough_to_decode_gives_an_incomplete_result():
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=4, timeout=0.3)
    for n in (0, 1, 3):
        pool.answer(n)
    result = call.result()
    assert not result.complete
    assert result.responders.tolist() == [0, 1, 3]
    assert isinstance(result.failures[2], TimeoutError)
    assert pool.futures[2].cancelled()
    assert np.array_equal(result.outputs, 2.0 * INPUTS)


def test_timeout_without_enough_raises_and_cancels():
    pool = ManualExecutor()
    call = Running(pool, 4, timeout=0.2)
    pool.answer(0)
    with pytest.raises(NotEnoughRespondersError, match="raise timeout or n_workers") as caught:
        call.result()
    assert caught.value.responders == (0,)
    assert sorted(caught.value.failures) == [1, 3]  # 2 has the input that was answered
    assert all(isinstance(e, TimeoutError) for e in caught.value.failures.values())
    assert all(future.cancelled() for future in pool.futures[1:])


def test_latencies_are_seconds_from_submission_to_answer():
    release = threading.Event()

    def f(coded_input):
        if coded_input[0] == 1.0:
            assert release.wait(WAIT)
        return coded_input

    timer = threading.Timer(0.25, release.set)
    timer.start()
    with ThreadPoolExecutor(4) as pool:
        result = coded_map(f, INPUTS, pairs(), pool, wait_for=4)
    timer.join(WAIT)
    slow = np.flatnonzero(pairs().encoding_matrix[:, 1])
    fast = np.flatnonzero(pairs().encoding_matrix[:, 0])
    assert (result.latencies[slow] >= 0.2).all()
    assert result.latencies[slow].max() < WAIT
    assert (result.latencies[fast] < result.latencies[slow].min()).all()


def test_a_late_answer_of_an_earlier_call_is_not_taken():
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=3)
    pool.futures[3].set_running_or_notify_cancel()
    for n in (0, 1, 2):
        pool.answer(n)
    call.result()
    second = Running(pool, 4, inputs=INPUTS + 10.0, wait_for=4)
    pool.futures[3].set_result(np.array([-1.0, -1.0]))  # the first call's, late
    for n in (4, 5, 6):
        pool.answer(n)
    assert second.thread.is_alive()
    pool.answer(7)
    assert np.array_equal(second.result().outputs, 2.0 * (INPUTS + 10.0))


def test_a_late_answer_is_freed():
    class Answer(np.ndarray):
        pass

    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=3)
    pool.futures[3].set_running_or_notify_cancel()
    for n in (0, 1, 2):
        pool.answer(n)
    result = call.result()
    late = np.zeros(2).view(Answer)
    seen = weakref.ref(late)
    pool.futures.pop().set_result(late)
    del late
    assert seen() is None
    assert result.complete


def test_answers_do_not_outlive_the_result():
    class Answer(np.ndarray):
        pass

    seen = []

    def f(_):
        answer = np.zeros(2 if seen else 7).view(Answer)
        seen.append(weakref.ref(answer))
        return answer

    gc.disable()
    try:
        with ThreadPoolExecutor(1) as pool:
            result = coded_map(f, INPUTS, pairs(), pool)
        assert list(result.failures) == [0]
        assert len(seen) >= 4
        assert not any(ref() for ref in seen)
    finally:
        gc.enable()


def test_interrupt_cancels_queued_tasks():
    program = """
import os, signal, threading
from tests.support.worker_functions import ManualExecutor, double
from tests.coded.runtime.test_coded_map import INPUTS, pairs
from coded import coded_map
pool = ManualExecutor()
def interrupt():
    for _ in range(4):
        assert pool.submitted.acquire(timeout=20)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    coded_map(double, INPUTS, pairs(), pool)
except KeyboardInterrupt:
    print(all(future.cancelled() for future in pool.futures))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert done.stdout == "True\n", done.stderr


def test_a_callback_that_raises_cancels_queued_tasks():
    def stop(*_):
        raise InterruptedError

    pool = ManualExecutor()
    call = Running(pool, 4, on_answer=stop)
    pool.answer(0)
    with pytest.raises(InterruptedError):
        call.result()
    assert all(future.cancelled() for future in pool.futures[1:])


# ---- kinds of arrays


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numpy_dtypes_are_kept(dtype):
    seen = []

    def f(coded_input):
        seen.append((type(coded_input), coded_input.dtype, coded_input.shape))
        return coded_input

    with ThreadPoolExecutor(1) as pool:
        result = coded_map(f, INPUTS.astype(dtype), pairs(), pool)
    assert set(seen) == {(np.ndarray, np.dtype(dtype), (2,))}
    assert result.outputs.dtype == dtype
    assert np.array_equal(result.outputs, INPUTS.astype(dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_tensors_stay_tensors(dtype):
    seen = []

    def f(coded_input):
        seen.append((type(coded_input), coded_input.dtype, coded_input.shape))
        return coded_input * 2

    inputs = torch.tensor(INPUTS, dtype=dtype)
    with ThreadPoolExecutor(1) as pool:
        result = coded_map(f, inputs, pairs(), pool)
    assert set(seen) == {(torch.Tensor, dtype, torch.Size([2]))}
    assert torch.equal(result.outputs, 2 * inputs)
    assert result.outputs.dtype == dtype
    assert f"outputs=(2, 2) {dtype}" in repr(result)


def test_a_tensor_task_pickles_to_its_own_size():
    sizes = []
    inputs = torch.zeros(2, 1000)
    with ThreadPoolExecutor(1) as pool:
        coded_map(lambda x: sizes.append(len(pickle.dumps(x))) or 0.0, inputs, pairs(), pool)
    assert max(sizes) < 2 * 4000


@pytest.mark.parametrize("answer", [float, int, np.float32, lambda x: np.array(float(x))])
def test_numbers_are_answers(answer):
    with ThreadPoolExecutor(2) as pool:
        result = coded_map(lambda x: answer(x), np.array([1.0, 2.0]), pairs(), pool)
    assert result.outputs.shape == (2,)
    assert result.outputs.tolist() == [1.0, 2.0]


def test_scalar_inputs_arrive_as_arrays_without_axes():
    kinds = set()
    with ThreadPoolExecutor(1) as pool:
        coded_map(lambda x: kinds.add((type(x), x.shape)) or 0.0, np.array([1, 2]), pairs(), pool)
    assert kinds == {(np.ndarray, ())}


# ---- the result


def make_result():
    pool = ManualExecutor()
    call = Running(pool, 4, wait_for=2, scheme=ReplicationScheme(2, 4))
    pool.futures[1].set_exception(ArithmeticError("two\nlines"))
    pool.answer(0)
    pool.answer(3)
    return call.result()


def test_repr_is_one_line_and_str_tells_each_fate():
    result = make_result()
    assert repr(result) == (
        "CodedResult(outputs=(2, 2) float64, complete=True, responders=2 of 4, failures=1, "
        "exact=2 of 2)"
    )
    lines = str(result).splitlines()
    assert lines[0] == repr(result)
    assert len(lines) == 5
    assert "  worker   1  ArithmeticError: two" in lines
    assert "  worker   2  not waited for" in lines
    assert sum("answered after" in line for line in lines) == 2


def test_the_result_tells_the_errors_to_be_expected():
    inputs = np.array([[0.0], [1.0], [4.0]])
    scheme = ReplicationScheme(3, 3, n_stragglers=1)
    pool = ManualExecutor()
    call = Running(pool, 3, inputs=inputs, scheme=scheme, wait_for=2)
    pool.answer(0)
    pool.answer(1)
    result = call.result()
    assert result.std == pytest.approx([0.0, 0.0, 6.0])  # f = 2 x: 2 a unit, over 3 units
    assert "exact=2 of 3, largest std=6)" in repr(result)
    assert np.array_equal(pickle.loads(pickle.dumps(result)).std, result.std)


def test_a_scheme_without_error_estimates_gives_none():
    with ThreadPoolExecutor(1) as pool:
        result = coded_map(double, INPUTS, LagrangeScheme(2, 4, degree=1), pool)
    assert result.std is None
    assert "std" not in repr(result)


def test_bind_gets_inputs_of_the_callers_kind():
    kinds = set()
    scheme = WithPrior(pairs(), prior=lambda stack: kinds.add(type(stack)) or 0.0 * stack)
    with ThreadPoolExecutor(1) as pool:
        result = coded_map(double, torch.from_numpy(INPUTS), scheme, pool)
    assert kinds == {torch.Tensor}
    assert np.array_equal(result.outputs.numpy(), 2.0 * INPUTS)


def test_result_is_frozen_pickles_and_compares_by_identity():
    result = make_result()
    with pytest.raises(AttributeError):
        result.complete = False
    copy = pickle.loads(pickle.dumps(result))
    assert isinstance(copy, CodedResult)
    assert np.array_equal(copy.outputs, result.outputs)
    assert repr(copy.failures) == repr(result.failures)
    assert result == result
    assert result != copy


def test_failures_are_logged_and_nothing_is_printed(caplog, capfd):
    with ThreadPoolExecutor(1) as pool, caplog.at_level(logging.DEBUG, logger="coded.runtime.call"):
        coded_map(fail_on_zero, INPUTS, ReplicationScheme(2, 4), pool)
    assert "worker 0 failed: ArithmeticError: zero is hard" in caplog.messages
    assert capfd.readouterr() == ("", "")


# ---- bad arguments are refused before anything is submitted

BAD_ARGUMENTS = {
    "fn-result": ({"fn": 3.0}, TypeError, "fn must be callable"),
    "scheme": ({"scheme": "spline"}, TypeError, "scheme must be"),
    "scheme-none": ({"scheme": None}, TypeError, "scheme must be"),
    "scheme-class": ({"scheme": SplineScheme}, TypeError, "not its class"),
    "on_answer": ({"on_answer": 3}, TypeError, "on_answer must be callable"),
    "wait_for-low": ({"wait_for": 0}, ValueError, r"wait_for must lie in \[1, 4\], got 0"),
    "wait_for-high": ({"wait_for": 5}, ValueError, r"wait_for must lie in \[1, 4\], got 5"),
    "wait_for-float": ({"wait_for": 2.0}, TypeError, "wait_for must be an integer"),
    "timeout-zero": ({"timeout": 0}, ValueError, "timeout must be a positive"),
    "timeout-negative": ({"timeout": -1.0}, ValueError, "timeout must be a positive"),
    "timeout-nan": ({"timeout": float("nan")}, ValueError, "timeout must be a positive"),
    "timeout-inf": ({"timeout": float("inf")}, ValueError, "None waits"),
    "timeout-text": ({"timeout": "1"}, TypeError, "timeout must be a number"),
    "timeout-complex": ({"timeout": np.complex64(3)}, TypeError, "timeout must be a number"),
    "inputs-count": ({"inputs": np.zeros((3, 2))}, ValueError, r"shape \(3, 2\).*needs 2"),
    "inputs-number": ({"inputs": 1.0}, ValueError, r"shape \(\)"),
    "inputs-empty": ({"inputs": np.zeros((2, 0))}, ValueError, "not empty"),
    "inputs-nan": ({"inputs": np.array([0.0, np.nan])}, ValueError, r"inputs\[1\] = nan"),
    "inputs-none": ({"inputs": np.array([None, 1])}, TypeError, "inputs must hold numbers or"),
    "inputs-uneven": (
        {"inputs": (INPUTS, INPUTS[:1])},
        ValueError,
        r"equal axis 0, got shapes \(2, 2\), \(1, 2\)",
    ),
    "inputs-empty-dict": ({"inputs": {}}, ValueError, "inputs holds an empty dict"),
    "inputs-nan-inside": (
        {"inputs": {"x": (INPUTS, [np.nan, 1.0])}},
        ValueError,
        r"inputs\['x'\]\[1\] must be finite, but inputs\['x'\]\[1\]\[0\] = nan",
    ),
    "inputs-nest-with-prior": (
        {"inputs": (INPUTS,), "scheme": WithPrior(pairs(), double)},
        TypeError,
        "inputs must be one array for WithPrior",
    ),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments_are_refused_at_the_door(name):
    change, kind, words = BAD_ARGUMENTS[name]
    pool = ManualExecutor()
    arguments = {"fn": double, "inputs": INPUTS, "scheme": pairs(), "executor": pool} | change
    with pytest.raises(kind, match=words):
        coded_map(**arguments)
    assert pool.tasks == []


@pytest.mark.parametrize(
    "executor",
    [None, 4, map, "pool", [ManualExecutor(), 3], iter([])],
    ids=["None", "number", "function", "text", "a number among them", "iterator"],
)
def test_what_is_no_executor_is_refused(executor):
    with pytest.raises(TypeError, match=r"executor must be .*get_executor\(pure=False\)"):
        coded_map(double, INPUTS, pairs(), executor)


def test_no_executor_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one Executor"):
        coded_map(double, INPUTS, pairs(), [])


# ---- one pool of several processes, which breaks as a whole


def test_a_shared_process_pool_loses_all_when_one_process_dies():
    with (
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
        pytest.raises(NotEnoughRespondersError, match="BrokenProcessPool") as caught,
    ):
        coded_map(die_on_zero, INPUTS, pairs(), pool, wait_for=4, timeout=WAIT)
    assert len(caught.value.failures) >= 2


@pytest.mark.parametrize(
    "workers",
    [
        'ProcessPoolExecutor(1, mp_context=get_context("spawn"))',
        "LocalWorkers(4)",
    ],
    ids=["pool", "local-workers"],
)
def test_a_function_of_main_gets_a_hint(workers, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import logging
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import numpy as np
from coded import LocalWorkers, ReplicationScheme, coded_map
logging.disable()
if __name__ == "__main__":
    def f(x):
        return x
    with {workers} as workers:
        executor = getattr(workers, "executors", workers)
        try:
            coded_map(f, np.ones(2), ReplicationScheme(2, 4), executor, timeout=20.0)
        except ValueError as error:
            print(error)
"""
    )
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert "define it at the top level of a file" in done.stdout, done.stderr


# ---- nested inputs and answers


Pair = collections.namedtuple("Pair", ["image", "weight"])


def test_nests_go_in_and_come_out():
    inputs = {
        "image": np.arange(12, dtype=np.float32).reshape(2, 2, 3),
        "pair": Pair(torch.arange(2.0), np.array([1, 2])),
    }

    def f(coded_input):
        image, (left, right) = coded_input["image"], coded_input["pair"]
        assert image.shape == (2, 3)
        assert image.dtype == np.float32
        assert torch.is_tensor(coded_input["pair"].image)
        return 2 * image, {"left": 3 * left, "sum": np.asarray(left) + right}

    scheme = ReplicationScheme(2, 4)
    with ThreadPoolExecutor(2) as pool:
        result = coded_map(f, inputs, scheme, pool, wait_for=4)
    image, rest = result.outputs
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, 2 * inputs["image"])
    assert torch.equal(rest["left"], 3 * torch.arange(2.0))
    np.testing.assert_array_equal(rest["sum"], [1.0, 3.0])
    assert "((2, 2, 3) float32, {'left': (2,) torch.float32, 'sum': (2,) float64})" in repr(result)


def test_a_nest_is_coded_like_its_numbers_side_by_side():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(6, 3)), rng.normal(size=(6, 2, 2))
    flat = np.concatenate([left, right.reshape(6, 4)], axis=1)
    scheme = SplineScheme(6, 14)

    def of_flat(x):
        return np.sin(x)

    def of_nest(x):
        return np.sin(x[0]), np.sin(x[1])

    with ThreadPoolExecutor(2) as pool:
        pool = WithoutWorkers(pool, lost=(1, 5, 9))
        expected = coded_map(of_flat, flat, scheme, pool, wait_for=11)
        result = coded_map(of_nest, (left, right), scheme, pool, wait_for=11)
    assert result.responders.tolist() == expected.responders.tolist()
    np.testing.assert_array_equal(result.outputs[0], expected.outputs[:, :3])
    np.testing.assert_array_equal(result.outputs[1].reshape(6, 4), expected.outputs[:, 3:])
    np.testing.assert_array_equal(result.std, expected.std)


def test_tuples_of_other_libraries_come_back_as_tuples():
    """As of torch.max, whose tuples are made of one sequence."""
    inputs = torch.tensor([[1.0, 3.0], [5.0, 4.0]])
    with ThreadPoolExecutor(2) as pool:
        result = coded_map(
            lambda x: torch.max(x, dim=0), inputs, ReplicationScheme(2, 4), pool, timeout=WAIT
        )
    assert type(result.outputs) is tuple
    assert result.outputs[0].tolist() == [3.0, 5.0]
    assert result.outputs[1].tolist() == [1.0, 0.0]


def test_an_error_without_a_text_is_told_by_its_kind():
    class UntellableError(Exception):
        def __str__(self):
            return self.lost

    def f(_):
        raise UntellableError

    with ThreadPoolExecutor(2) as pool, pytest.raises(NotEnoughRespondersError) as caught:
        coded_map(f, INPUTS, pairs(), pool)
    assert "first by UntellableError: its text cannot be given" in str(caught.value)


class WithoutWorkers(Executor):
    """An executor that refuses some tasks, counted from 0 in the order of the workers."""

    def __init__(self, executor, lost):
        self.executor, self.lost, self.coded = executor, lost, []

    def submit(self, fn, /, *args):
        self.coded.append(None)
        if (len(self.coded) - 1) % 14 in self.lost:
            raise RuntimeError("refused")
        return self.executor.submit(fn, *args)


# ---- workers that are busy with an earlier call


class Busy(ManualExecutor):
    busy = True


def test_busy_workers_are_not_asked_where_the_others_are_enough():
    idle, busy = ManualExecutor(), Busy()
    outcome = []

    def run():
        outcome.append(coded_map(double, INPUTS, pairs(), [idle, busy, idle, idle], wait_for=3))

    call = threading.Thread(target=run, daemon=True)
    call.start()
    for _ in range(3):
        assert idle.submitted.acquire(timeout=WAIT)
    for n in range(3):
        idle.answer(n)
    call.join(WAIT)
    (result,) = outcome
    assert busy.tasks == []
    assert result.responders.tolist() == [0, 2, 3]
    assert result.complete
    assert isinstance(result.failures[1], WorkerBusyError)
    assert result.stragglers.tolist() == [1]


def test_busy_workers_are_asked_where_the_others_are_too_few():
    workers = [Busy() for _ in range(4)]
    thread = threading.Thread(
        target=lambda: coded_map(double, INPUTS, pairs(), workers, wait_for=3), daemon=True
    )
    thread.start()
    for worker in workers:
        assert worker.submitted.acquire(timeout=WAIT)
        worker.answer(0)
    thread.join(WAIT)
    assert not thread.is_alive()


# ---- from a coroutine


def test_the_event_loop_runs_on_while_workers_work():
    pool, ticks = ManualExecutor(), []

    async def main():
        waiting = asyncio.ensure_future(
            coded_map_async(
                double, INPUTS, pairs(), pool, wait_for=3, on_answer=lambda n, _: ticks.append(n)
            )
        )
        while len(pool.futures) < 4:
            await asyncio.sleep(0.001)
        order = spread(INPUTS, pairs().encode(INPUTS))
        pool.sort_last(order)
        for n in (3, 0, 1):
            pool.answer(n)
            await asyncio.sleep(0)
        return await asyncio.wait_for(waiting, WAIT)

    result = asyncio.run(main())
    np.testing.assert_array_equal(result.outputs, 2 * INPUTS)
    assert sorted(ticks) == [0, 1, 3]
    assert result.responders.tolist() == [0, 1, 3]


def test_many_calls_of_one_loop_run_at_the_same_time():
    barrier = threading.Barrier(3)

    def meet(coded_input):
        barrier.wait(WAIT)
        return coded_input

    async def main(pool):
        calls = [
            coded_map_async(meet, [[float(i)]], ReplicationScheme(1, 1), pool) for i in range(3)
        ]
        return await asyncio.gather(*calls)

    with ThreadPoolExecutor(3) as pool:
        results = asyncio.run(main(pool))
    assert [float(one.outputs[0, 0]) for one in results] == [0.0, 1.0, 2.0]


def test_a_coroutine_that_is_cancelled_cancels_its_tasks():
    pool = ManualExecutor()

    async def main():
        waiting = asyncio.ensure_future(coded_map_async(double, INPUTS, pairs(), pool))
        while len(pool.futures) < 4:
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    assert all(future.cancelled() for future in pool.futures)


def test_a_coroutine_times_out_and_late_answers_after_the_loop_go_nowhere():
    pool = ManualExecutor()
    with pytest.raises(NotEnoughRespondersError, match="0 of 4 workers answered"):
        asyncio.run(coded_map_async(double, INPUTS, pairs(), pool, timeout=0.05))
    assert all(future.cancelled() for future in pool.futures)


def test_a_coroutine_refuses_bad_arguments_before_anything_is_submitted():
    pool = ManualExecutor()
    with pytest.raises(ValueError, match="timeout must be a positive"):
        asyncio.run(coded_map_async(double, INPUTS, pairs(), pool, timeout=-1.0))
    assert pool.tasks == []
