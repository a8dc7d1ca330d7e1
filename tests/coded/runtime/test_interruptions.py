"""Ctrl-C, cancellation and executors that misbehave, at every point of a call."""

import asyncio
import concurrent.futures.process
import concurrent.futures.thread
import gc
import linecache
import random
import signal
import sys
import threading
import time
import traceback
import weakref
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import coded.runtime
import coded.runtime.answers
import coded.workers.local_workers
import coded.workers.supervisor
from coded import (
    CodedModel,
    LocalWorkers,
    NotEnoughRespondersError,
    ReplicationScheme,
    SplineScheme,
    coded_map,
    coded_map_async,
)
from tests.support.faults import CALLS, FOUR, INPUTS, check_well
from tests.support.worker_functions import WAIT, ManualExecutor, double

every_call = pytest.mark.parametrize("call", CALLS, ids=["sync", "async"])


class Eager(Executor):
    """An executor that has the answer when `submit` returns, but for some tasks never."""

    def __init__(self, never=()):
        self.never, self.futures = never, []

    def submit(self, fn, /, *args):
        future = self.make()
        self.futures.append(future)
        if len(self.futures) - 1 not in self.never:
            future.set_running_or_notify_cancel()
            future.set_result(fn(*args))
        return future

    make = Future


# ---- Ctrl-C


def takes_signals(frame):
    """Whether Python handles signals in this line: not at `try`, and not as `with` ends."""
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return not line.strip().startswith(("try:", "with "))


@contextmanager
def interrupted_at(event, files, name=None):
    """Raise KeyboardInterrupt at one line of some files, as if Ctrl-C came just then.

    With `name`, at a line of the functions of that name alone.
    """
    count, former = -1, sys.gettrace()

    def trace(frame, what, _):
        nonlocal count
        if frame.f_code.co_filename not in files or name not in (None, frame.f_code.co_name):
            return None
        if what == "line" and takes_signals(frame):
            count += 1
            if count == event:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(former)


def call_once(pool):
    """One answer never comes, so that the call goes on to its timeout and to decoding."""
    coded_map(double, INPUTS, FOUR, pool, wait_for=4, timeout=0.001)


def call_model(pool):
    """Three groups, of which two are under way at a time."""
    CodedModel(double, FOUR, pool, wait_for=4, timeout=0.001)(np.arange(3.0 * len(INPUTS)))


def call_hedged(pool):
    """One input has no answer, is asked again, and estimated; queued copies are withdrawn."""
    coded_map(double, INPUTS, ReplicationScheme(4, 8), pool, hedge_after=0.001, timeout=0.01)


@pytest.mark.parametrize(
    ("call", "never"), [(call_once, [1]), (call_model, [1]), (call_hedged, [1, *range(4, 20)])]
)
def test_ctrl_c_at_any_line_leaves_no_task_queued(call, never):
    (folder,) = coded.runtime.__path__
    files = {str(path) for path in Path(folder).glob("*.py")}
    event, is_over = 0, False
    while not is_over:
        pool = Eager(never=never)
        try:
            with interrupted_at(event, files):
                call(pool)
            is_over = True
        except KeyboardInterrupt:
            event += 1
        assert all(future.done() for future in pool.futures), event
    assert event > 150


LOCKING = {
    threading.__file__,
    concurrent.futures._base.__file__,
    concurrent.futures.process.__file__,
    concurrent.futures.thread.__file__,
}

# Python cannot raise what a signal raises in a finalizer, and warns.
in_finalizers = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def interrupt_soon():
    """Send a real signal after some seconds; the former handler comes back.

    A little later where it meets the stdlib with a lock in hand, which it would keep for ever.
    """

    def interrupt(_, frame):
        if any(one.f_code.co_filename in LOCKING for one, _ in traceback.walk_stack(frame)):
            signal.setitimer(signal.ITIMER_REAL, 5e-5)
        else:
            raise KeyboardInterrupt

    former = signal.signal(signal.SIGALRM, interrupt)
    yield partial(signal.setitimer, signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, former)


def call_until_interrupted(interrupt_soon, seconds, *args, **kwargs):
    """Call, and tell whether the signal came before its end."""
    try:
        interrupt_soon(seconds)
        coded_map(*args, **kwargs)
    except KeyboardInterrupt:
        return True
    finally:
        interrupt_soon(0)
    return False


@in_finalizers
def test_ctrl_c_at_any_moment_leaves_a_pool_of_threads_usable(interrupt_soon):
    """What was queued does not run; only a task that is just being submitted may."""
    ran, draw, interrupted = [], random.Random(1), 0

    def f(coded_input):
        ran.append(coded_input)
        time.sleep(0.001)
        return coded_input

    scheme = ReplicationScheme(4, 24)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(100):
            seconds = draw.uniform(1e-4, 0.02)
            interrupted += call_until_interrupted(
                interrupt_soon, seconds, f, INPUTS, scheme, pool, wait_for=24, timeout=WAIT
            )
            so_far = len(ran)
            assert pool.submit(abs, -1).result(WAIT) == 1
            assert len(ran) - so_far <= 2
    assert interrupted > 10


@in_finalizers
@pytest.mark.usefixtures("capfd")  # processes that are interrupted as they start complain
def test_ctrl_c_at_any_moment_leaves_workers_usable(interrupt_soon):
    draw, interrupted = random.Random(2), 0
    with LocalWorkers(4) as workers:
        workers.wait(WAIT)
        for _ in range(60):
            interrupted += call_until_interrupted(
                interrupt_soon,
                draw.uniform(1e-4, 0.003),
                *(double, INPUTS, FOUR, workers.executors),
                wait_for=4,
                timeout=WAIT,
            )
        check_well(workers.executors)
    assert interrupted > 10


@pytest.mark.parametrize("name", ["submit", "_drop_cancelled", "_ring", "busy"])
def test_ctrl_c_while_a_worker_gets_its_task_costs_that_task_at_most(name):
    files = [coded.workers.local_workers.__file__, coded.workers.supervisor.__file__]
    interrupted = 0
    with LocalWorkers(4) as workers:
        workers.wait(WAIT)
        before = workers.pids
        for event in range(6):
            try:
                with interrupted_at(event, files, name):
                    for _ in range(8):
                        workers.executors[0].submit(abs, -1).result(WAIT)
                        assert not workers.executors[1].busy
            except KeyboardInterrupt:
                interrupted += 1
        check_well(workers.executors)
        assert workers.pids == before
    assert interrupted > 1


# ---- asyncio


@pytest.mark.parametrize("turns", range(12))
def test_a_cancellation_that_meets_an_answer_is_obeyed(turns):
    """At whichever turn of the loop it comes; asyncio.wait_for once dropped it."""
    pool = ManualExecutor()

    async def main():
        call = asyncio.ensure_future(
            coded_map_async(double, INPUTS, FOUR, pool, wait_for=4, timeout=WAIT)
        )
        while len(pool.futures) < 4:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.005)
        pool.answer(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        assert call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(call, WAIT / 2)

    asyncio.run(main())
    assert all(future.done() for future in pool.futures)


@pytest.mark.parametrize("stage", ["bind", "decode"])
def test_a_cancellation_while_a_thread_codes_ends_the_call(stage):
    reached, release = threading.Event(), threading.Event()

    class Slow(ReplicationScheme):
        def bind(self, inputs):
            return self.hold("bind", super().bind(inputs))

        def decode_with_std(self, coded_outputs, responders):
            return self.hold("decode", super().decode_with_std(coded_outputs, responders))

        def hold(self, name, value):
            if name == stage:
                reached.set()
                assert release.wait(WAIT)
            return value

    pool = Eager(never=[3])
    scheme = Slow(4, 4, n_stragglers=1)

    async def main():
        call = asyncio.ensure_future(coded_map_async(double, INPUTS, scheme, pool, wait_for=3))
        while not reached.is_set():
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(call, WAIT)
        release.set()

    try:
        asyncio.run(main())
    finally:
        release.set()
    assert len(pool.futures) == (0 if stage == "bind" else 4)
    assert all(future.done() for future in pool.futures)


def test_a_loop_that_ends_under_a_call_cancels_its_tasks(caplog):
    pool = ManualExecutor()

    async def main():
        call = asyncio.ensure_future(coded_map_async(double, INPUTS, FOUR, pool))
        while len(pool.futures) < 4:
            await asyncio.sleep(0.001)
        pool.futures[3].set_running_or_notify_cancel()
        return call

    call = asyncio.run(main())
    assert call.cancelled()
    assert [future.cancelled() for future in pool.futures] == [True, True, True, False]
    pool.answer(3)  # and the loop is closed
    assert caplog.messages == []


def test_two_hundred_calls_share_a_loop():
    """Two answers of each of the odd ones are missing; every call gets its own outputs."""

    def f(coded_input):
        if coded_input[1] and coded_input[0] == coded_input[1]:
            raise ArithmeticError
        return 2.0 * coded_input

    async def main(pool):
        inputs = [np.array([[i + 0.5, i % 2], [i + 0.25, 0.0]]) for i in range(200)]
        scheme = ReplicationScheme(2, 6)
        calls = [coded_map_async(f, one, scheme, pool, timeout=WAIT) for one in inputs]
        return inputs, await asyncio.gather(*calls)

    with ThreadPoolExecutor(4) as pool:
        inputs, results = asyncio.run(main(pool))
    for one, result in zip(inputs, results, strict=True):
        assert result.complete
        assert np.array_equal(result.outputs, 2.0 * one)


# ---- executors that misbehave


@every_call
def test_an_executor_that_answers_in_submit(call):
    result = call(double, INPUTS, FOUR, Eager(), wait_for=4)
    assert result.responders.tolist() == [0, 1, 2, 3]
    assert np.array_equal(result.outputs, 2.0 * INPUTS)


@every_call
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_is_no_failure_of_a_worker_ends_the_call_and_cancels(kind, call):
    class Stops(Eager):
        def submit(self, fn, /, *args):
            if len(self.futures) == 2:
                raise kind
            return super().submit(fn, *args)

    pool = Stops(never=[0, 1])
    with pytest.raises(kind):
        call(double, INPUTS, FOUR, pool)
    assert all(future.cancelled() for future in pool.futures)


@every_call
def test_an_answer_that_is_told_twice_counts_once(call):
    class TellsTwice(Future):
        def add_done_callback(self, fn):
            super().add_done_callback(fn)
            super().add_done_callback(fn)

    pool = Eager()
    pool.make = TellsTwice
    heard = []
    result = call(double, INPUTS, FOUR, pool, wait_for=4, on_answer=lambda n, _: heard.append(n))
    assert sorted(heard) == [0, 1, 2, 3]
    assert np.array_equal(result.outputs, 2.0 * INPUTS)


@every_call
@pytest.mark.parametrize("method", ["exception", "result"])
def test_a_future_that_cannot_tell_what_it_holds_is_a_failure(method, call):
    class Broken(Future):
        pass

    def raise_error(*_, **__):
        raise ConnectionError("the cluster is gone")

    setattr(Broken, method, raise_error)
    pool = Eager()
    pool.make = Broken
    with pytest.raises(NotEnoughRespondersError, match=r"4 failed.*the cluster is gone"):
        call(double, INPUTS, FOUR, pool)
    result = call(double, INPUTS, FOUR, [pool, Eager(), Eager(), Eager()])
    assert result.complete
    assert isinstance(result.failures[0], ConnectionError)


class Foreign:
    """An answer that runs code of its own as it is read."""

    def __init__(self, act, value):
        self.act, self.value = act, value

    def __array__(self, dtype=None, copy=None):
        self.act()
        return np.asarray(self.value, dtype)


def interrupt():
    raise KeyboardInterrupt("not from a keyboard")


@every_call
def test_an_interrupt_that_an_answer_raises_is_a_failure_of_its_worker(call):
    def f(x):
        return Foreign(interrupt if x == 0.0 else str, 2.0 * x)

    with ThreadPoolExecutor(4) as pool:
        result = call(f, INPUTS, FOUR, pool, wait_for=4, timeout=WAIT)
    assert isinstance(result.failures[0], KeyboardInterrupt)
    assert result.outputs[1:].tolist() == [2.0, 4.0, 6.0]


class EmptyError(Exception):
    """An error that is false, as a collection of nothing."""

    def __len__(self):
        return 0


def test_an_error_that_is_false_is_told_as_what_it_is():
    def f(x):
        if x == 0.0:
            raise EmptyError("nothing")
        return 2.0 * x

    with ThreadPoolExecutor(4) as pool:
        result = coded_map(f, INPUTS, FOUR, pool, wait_for=4, timeout=WAIT)
    assert isinstance(result.failures[0], EmptyError)


@pytest.mark.parametrize("value", [complex("nan"), complex(0.0, 1e305)])
def test_a_complex_number_that_cannot_be_decoded_is_told_as_such(value):
    array = np.array(value)
    assert not coded.runtime.answers._is_moderate(array, 1e300)
    assert coded.runtime.answers._is_moderate(np.array(1e290 + 1e290j), 1e300)


@every_call
def test_an_answer_that_cannot_be_read_in_time_is_a_failure_of_its_worker(call):
    hold = threading.Event()

    def f(x):
        return Foreign((lambda: hold.wait(WAIT)) if x == 0.0 else str, 2.0 * x)

    try:
        with ThreadPoolExecutor(4) as pool:
            started = time.perf_counter()
            result = call(f, INPUTS, FOUR, pool, wait_for=4, timeout=0.5)
            assert time.perf_counter() - started < WAIT / 2
        assert isinstance(result.failures[0], TimeoutError)
        assert result.outputs[result.exact].tolist() == [2.0 * n for n in result.responders]
    finally:
        hold.set()


@every_call
def test_an_executor_that_cannot_tell_whether_it_is_busy_is_asked(call):
    class Unsure(Eager):
        @property
        def busy(self):
            raise OSError

    result = call(double, INPUTS, FOUR, [Unsure(), Eager(), Eager(), Eager()], wait_for=4)
    assert result.complete


@every_call
def test_an_executor_whose_submit_blocks_delays_only(call):
    class Slow(Eager):
        def submit(self, fn, /, *args):
            time.sleep(0.02)
            return super().submit(fn, *args)

    result = call(double, INPUTS, FOUR, Slow(), wait_for=4, timeout=0.01)
    assert result.complete  # the answers were there when the time was up
    assert np.array_equal(result.outputs, 2.0 * INPUTS)


@every_call
def test_a_shape_does_not_win_by_being_first_where_others_are_still_out(call):
    """When four answers of a shape are out of reach, two shapes with one answer are no majority."""

    def f(coded_input):
        return np.zeros(3) if coded_input == 0.0 else 2.0 * coded_input

    for order in [(0, 1, 2, 3), (0, 2, 3, 1)]:
        pool = ManualExecutor()

        def play(pool=pool, order=order):
            for _ in range(4):
                assert pool.submitted.acquire(timeout=WAIT)
            for n in order[:3]:
                inputs = [float(args[0]) for _, args, _ in pool.tasks]
                pool.answer(inputs.index(n))
                time.sleep(0.05)

        player = threading.Thread(target=play)
        player.start()
        result = call(f, INPUTS, FOUR, pool, wait_for=4, timeout=1.5)
        player.join(WAIT)
        assert result.responders.tolist() == sorted(order[1:3])
        assert str(result.failures[0]) == "answer has shape (3,), most others have ()"


# ---- what a call keeps alive


class Payload(np.ndarray):
    """An array that can be watched."""


def test_a_refused_task_is_freed_at_once_though_its_error_is_kept():
    class Refuses(Executor):
        seen = None

        def submit(self, _, /, *args):
            task = args[0].view(Payload)
            self.seen = weakref.ref(task)
            raise RuntimeError("no")

    gc.disable()
    try:
        refuses = Refuses()
        result = coded_map(double, INPUTS, FOUR, [refuses, Eager(), Eager(), Eager()])
        assert str(result.failures[0]) == "no"
        assert refuses.seen() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("scheme", [FOUR, SplineScheme(4, 8)], ids=repr)
def test_calls_leave_no_answers_to_the_collector_of_cycles(scheme):
    """That would free them late; here one worker fails, one call fails, and all are of no use."""
    answers = []

    def f(coded_input):
        answer = coded_input.copy().view(Payload)
        answers.append(weakref.ref(answer))
        if coded_input[0] == 0.0:
            raise ArithmeticError
        return answer

    def answer_nan(coded_input):
        answer = np.full_like(coded_input, np.nan).view(Payload)
        answers.append(weakref.ref(answer))
        return answer

    gc.disable()
    try:
        with ThreadPoolExecutor(2) as pool:
            coded_map(f, INPUTS[:, np.newaxis], scheme, pool, wait_for=2)
            with suppress(NotEnoughRespondersError):
                coded_map(answer_nan, INPUTS[:, np.newaxis], scheme, pool)
        assert len(answers) > 2
        assert {answer() for answer in answers} == {None}
    finally:
        gc.enable()


def fail_with_large_locals(seen):
    large = np.ones(100_000)
    seen.append(weakref.ref(large))
    try:
        hold_more(seen)
    except KeyError as error:
        raise ArithmeticError("zero is hard") from error


def hold_more(seen):
    larger = np.ones(200_000)
    seen.append(weakref.ref(larger))
    raise KeyError("the cause")


@every_call
def test_a_kept_failure_shows_its_lines_but_keeps_no_locals_of_the_worker(call):
    seen = []

    def f(coded_input):
        if coded_input == 0.0:
            fail_with_large_locals(seen)
        return 2.0 * coded_input

    with ThreadPoolExecutor(4) as pool:
        result = call(f, INPUTS, FOUR, pool, wait_for=4)
    gc.collect()
    assert [one() for one in seen] == [None, None]
    text = "".join(traceback.format_exception(result.failures[0]))
    for line in ("hold_more(seen)", 'raise KeyError("the cause")', "ArithmeticError: zero is hard"):
        assert line in text


@every_call
def test_a_coroutine_that_has_told_its_failure_goes_on(call):
    """Its frame is in the traceback: to clear that would end it."""
    ended, loop = [], asyncio.new_event_loop()

    async def answer(future, fn, args):
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(fn(*args))
            except ArithmeticError as error:
                future.set_exception(error)
        await asyncio.sleep(0.2)
        ended.append(args)

    class Loop(Executor):
        def submit(self, fn, /, *args):
            future = Future()
            asyncio.run_coroutine_threadsafe(answer(future, fn, args), loop)
            return future

    def f(coded_input):
        if coded_input == 0.0:
            raise ArithmeticError("zero is hard")
        return 2.0 * coded_input

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        result = call(f, INPUTS, FOUR, Loop(), wait_for=4, timeout=WAIT)
        assert list(result.failures) == [0]
        deadline = time.monotonic() + WAIT
        while len(ended) < 4:
            assert time.monotonic() < deadline, ended
            time.sleep(0.01)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT)
        loop.close()
