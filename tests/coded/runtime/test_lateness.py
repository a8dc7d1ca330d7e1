"""Which workers a call leaves alone: those far behind, not those a little behind."""

import gc
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from coded import BerrutScheme, LocalWorkers, ReplicationScheme, WorkerBusyError, coded_map
from coded.runtime.lateness import _TASKS, Question, is_behind, tasks_of
from tests.support.faults import CALLS, FOUR, Copies, wait_until_idle
from tests.support.worker_functions import WAIT, double, wait_for_file

pytestmark = pytest.mark.outer

every_call = pytest.mark.parametrize("call", CALLS, ids=["sync", "async"])
INPUTS = np.arange(4.0)


@contextmanager
def threads(n, *more):
    """Executors of one thread each; `more` have several."""
    pools = [ThreadPoolExecutor(size) for size in (*[1] * n, *more)]
    try:
        yield pools
    finally:
        for pool in pools:
            pool.shutdown()


def keep(future, executor, question):
    tasks = tasks_of(executor)
    turn = tasks.expect(question)
    future.add_done_callback(lambda ended: tasks.drop(ended, turn))
    tasks.add(future, turn, question)


class Slow:
    """Doubles after some seconds, but input 3 only when it may."""

    def __init__(self, seconds):
        self.seconds, self.started, self.release = seconds, threading.Event(), threading.Event()

    def __call__(self, x):
        if x == 3.0:
            self.started.set()
            assert self.release.wait(WAIT)
        else:
            assert self.started.wait(WAIT)
            time.sleep(self.seconds)
        return 2.0 * x


def was_left_out(result, n=3):
    return isinstance(result.failures.get(n), WorkerBusyError)


@every_call
def test_a_worker_is_left_out_once_it_is_as_late_again_as_the_answers(call):
    slow = Slow(1.0)
    with threads(4) as pools:
        assert call(slow, INPUTS, FOUR, pools, timeout=WAIT).responders.tolist() == [0, 1, 2]
        again = call(double, INPUTS, FOUR, pools, timeout=WAIT)
        assert again.complete
        assert again.failures == {}  # it was asked, for it is only a little behind
        time.sleep(1.1)
        for _ in range(2):
            later = call(double, INPUTS, FOUR, pools, timeout=WAIT)
            assert later.complete
            assert was_left_out(later)
        slow.release.set()
        assert call(double, INPUTS, FOUR, pools, wait_for=4, timeout=WAIT).complete
        assert not is_behind(pools[3])


@every_call
def test_a_worker_that_a_call_has_given_up_is_left_out_at_once(call):
    slow = Slow(0.0)
    with threads(4) as pools:
        first = call(slow, INPUTS, FOUR, pools, wait_for=4, timeout=0.5)
        assert isinstance(first.failures[3], TimeoutError)
        assert was_left_out(call(double, INPUTS, FOUR, pools, timeout=WAIT))
        slow.release.set()


@every_call
def test_a_worker_is_asked_where_the_others_are_too_few(call):
    slow = Slow(0.0)
    with threads(4) as pools:
        call(slow, INPUTS, FOUR, pools, timeout=WAIT)
        time.sleep(0.3)
        assert is_behind(pools[3])
        threading.Timer(0.2, slow.release.set).start()
        result = call(double, INPUTS, FOUR, pools, wait_for=4, timeout=WAIT)
        assert result.complete
        assert result.failures == {}


@every_call
def test_workers_that_a_failure_has_cut_short_are_asked_again(call):
    """`wait_for` is out of reach, and the call ends while healthy workers are at work."""
    scheme = ReplicationScheme(4, 4, n_stragglers=3, fallback="mean")

    def fail_or_work(x):
        if x == 0.0:
            raise ArithmeticError("zero is hard")
        time.sleep(0.5 if x == 1.0 else 0.7)
        return 2.0 * x

    with threads(4) as pools:
        first = call(fail_or_work, INPUTS, scheme, pools, wait_for=4, timeout=0.6)
        assert not first.complete
        assert first.responders.tolist() == [1]
        again = call(double, INPUTS, scheme, pools, wait_for=3, timeout=WAIT)
        assert again.complete
        assert again.failures == {}


@every_call
@pytest.mark.parametrize("fault", ["frozen", "fails"])
def test_workers_left_out_are_asked_after_all_where_the_others_do_not_suffice(fault, call):
    """Worker 3 is far behind and left out; then worker 0 is lost, and 3 goes on."""
    slow, frozen = Slow(0.0), threading.Event()

    def lose_zero(x):
        if x == 0.0:
            assert fault == "frozen"
            frozen.wait(WAIT)
        return 2.0 * x

    with threads(4) as pools:
        call(slow, INPUTS, FOUR, pools, timeout=WAIT)
        time.sleep(0.3)
        assert is_behind(pools[3])
        threading.Timer(1.0, slow.release.set).start()
        started = time.perf_counter()
        result = call(lose_zero, INPUTS, FOUR, pools, timeout=WAIT)
        assert time.perf_counter() - started < WAIT / 2
        frozen.set()
        assert result.complete
        assert result.responders.tolist() == [1, 2, 3]
        assert 3 not in result.failures


@every_call
def test_workers_left_out_are_asked_after_all_within_a_short_timeout(call):
    slow, frozen = Slow(0.0), threading.Event()

    def lose_zero(x):
        if x == 0.0:
            frozen.wait(WAIT)
        return 2.0 * x

    with threads(4) as pools:
        call(slow, INPUTS, FOUR, pools, timeout=WAIT)
        time.sleep(0.3)
        assert is_behind(pools[3])
        threading.Timer(0.05, slow.release.set).start()
        result = call(lose_zero, INPUTS, FOUR, pools, timeout=0.45)
        frozen.set()
        assert result.complete
        assert result.responders.tolist() == [1, 2, 3]


class Recording(ThreadPoolExecutor):
    """One thread; keeps what its tasks are about."""

    def __init__(self):
        super().__init__(1)
        self.given = []

    def submit(self, fn, /, *args, **kwargs):
        self.given.append(float(args[0]))
        return super().submit(fn, *args, **kwargs)


def test_workers_left_out_get_their_tasks_in_the_usual_order():
    """Of more workers than executors: one an input first."""
    scheme = BerrutScheme(2, 8, n_stragglers=7)
    hold, question = threading.Event(), Question()

    with threads(1) as (pool,), Recording() as other:
        coded_map(double, [0.0, 1.0], scheme, [pool, other], wait_for=8, timeout=WAIT)
        usual = other.given.copy()
        other.given.clear()

        def fail_elsewhere(x):
            if x not in usual:
                raise ArithmeticError("too hard")
            return x

        keep(ThreadPoolExecutor.submit(other, hold.wait, WAIT), other, question)
        question.end()
        time.sleep(0.2)
        assert is_behind(other)
        threading.Timer(0.1, hold.set).start()
        pools = [pool, other]
        assert coded_map(
            fail_elsewhere, [0.0, 1.0], scheme, pools, wait_for=4, timeout=WAIT
        ).complete
        assert len(set(usual)) == 4
        assert other.given == usual


def test_a_pool_among_executors_is_left_out_only_where_none_of_it_answers():
    slow = Slow(0.0)
    scheme = Copies(2, 2, n_stragglers=1, fallback="mean")
    with threads(1, 2) as pools:
        first = coded_map(slow, [0.0, 3.0], scheme, pools, timeout=WAIT)
        assert first.responders.tolist() == [0]
        time.sleep(0.3)
        assert is_behind(pools[1])
        # Of four tasks the pool gets two, answered by its other thread.
        assert coded_map(double, INPUTS, FOUR, pools, wait_for=4, timeout=WAIT).complete
        assert not is_behind(pools[1])
        slow.release.set()


def test_a_queue_that_moves_on_behind_a_stuck_task_does_not_hide_it():
    """What was given before the late task says nothing of it."""
    hold, stuck, question = threading.Event(), threading.Event(), Question()
    with threads(1) as (pool,):
        before = pool.submit(hold.wait, WAIT)
        keep(before, pool, Question())
        keep(pool.submit(stuck.wait, WAIT), pool, question)
        keep(later := pool.submit(abs, -1), pool, Question())
        question.answer(time.perf_counter())
        question.end()
        later.cancel()
        hold.set()
        assert before.result(WAIT)
        time.sleep(0.1)
        assert is_behind(pool)
        stuck.set()
    assert not is_behind(pool)


class Telling(ThreadPoolExecutor):
    """One thread; says whether it is at a task, which may end while it says so."""

    def __init__(self):
        super().__init__(1)
        self.at_work, self.when_asked = set(), lambda: None

    def submit(self, fn, /, *args, **kwargs):
        future = super().submit(fn, *args, **kwargs)
        self.at_work.add(future)
        future.add_done_callback(self.at_work.discard)
        return future

    @property
    def busy(self):
        answer = bool(self.at_work)
        self.when_asked()
        return answer


def test_a_worker_whose_task_for_another_call_ends_just_then_is_asked():
    slow, pools = Slow(0.0), [Telling() for _ in range(4)]

    def end_task():
        slow.release.set()
        while tasks_of(pools[3]).is_any():
            time.sleep(0.001)

    coded_map(slow, INPUTS, FOUR, pools, timeout=WAIT)
    pools[3].when_asked = end_task
    assert coded_map(double, INPUTS, FOUR, pools, timeout=WAIT).failures == {}
    for pool in pools:
        pool.shutdown()


class Inline(Executor):
    """Computes in the calling thread; says that it is busy, and may be interrupted."""

    busy, interrupted = True, False

    def submit(self, fn, /, *args, **kwargs):
        if self.interrupted:
            raise KeyboardInterrupt
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except ArithmeticError as error:
            future.set_exception(error)
        return future


def test_a_task_that_a_ctrl_c_kept_from_being_given_is_no_task_under_way():
    with threads(3) as pools:
        pools.append(Inline())
        assert was_left_out(coded_map(double, INPUTS, FOUR, pools, timeout=WAIT))
        pools[3].interrupted = True
        with pytest.raises(KeyboardInterrupt):
            coded_map(double, INPUTS, FOUR, pools, wait_for=4, timeout=WAIT)
        pools[3].interrupted = False
        assert was_left_out(coded_map(double, INPUTS, FOUR, pools, timeout=WAIT))


@every_call
def test_a_callers_own_error_keeps_its_locals(call):
    """It is the context of what a task raises in the calling thread."""

    def fail(x):
        if x == 2.0:
            raise ArithmeticError("two is hard")
        return x

    def lose():
        mine = "kept"
        raise KeyError(mine)

    try:
        lose()
    except KeyError as error:
        result = call(fail, INPUTS, FOUR, Inline(), timeout=WAIT)
        frame = error.__traceback__.tb_next.tb_frame
    assert list(result.failures) == [2]
    assert frame.f_locals == {"mine": "kept"}


def test_a_task_that_was_never_dropped_does_not_keep_a_worker_behind():
    """A Ctrl-C that comes in the callbacks of a cancelled task skips the others."""
    hold, question = threading.Event(), Question()

    def interrupt(_):
        raise KeyboardInterrupt

    with threads(1) as (pool,):
        pool.submit(hold.wait, WAIT)
        future = pool.submit(abs, -1)
        future.add_done_callback(interrupt)
        keep(future, pool, question)
        question.end()
        time.sleep(0.1)
        assert is_behind(pool)
        with pytest.raises(KeyboardInterrupt):
            future.cancel()
        assert not is_behind(pool)
        assert not tasks_of(pool).is_any()
        hold.set()


def test_tasks_that_a_ctrl_c_kept_from_being_given_are_forgotten():
    with threads(1) as (pool,):
        tasks = tasks_of(pool)
        for _ in range(100):
            interrupted = Question()
            tasks.expect(interrupted)
            interrupted.end()
        assert len(tasks._about_to_be_given) == 1
        assert not tasks.is_any()


def test_local_workers_that_are_a_little_behind_are_asked(tmp_path):
    with LocalWorkers(4) as workers:
        workers.wait(WAIT)
        executors = workers.executors
        # Once without sleep, for the first task pays for the import of this module.
        coded_map(sleep, np.zeros(4), FOUR, executors, wait_for=4, timeout=WAIT)
        sign = tmp_path / "release"
        executors[3].submit(wait_for_file, sign)
        assert was_left_out(coded_map(double, INPUTS, FOUR, executors, timeout=WAIT))  # not ours
        sign.touch()
        wait_until_idle(executors)
        seconds = np.array([1.0, 1.0, 1.0, 1.8])
        first = coded_map(sleep, seconds, FOUR, executors, timeout=WAIT)
        assert first.responders.tolist() == [0, 1, 2]
        assert executors[3].busy
        again = coded_map(double, INPUTS, FOUR, executors, timeout=WAIT)
        assert again.complete
        assert again.failures == {}


def sleep(seconds):
    time.sleep(float(seconds))
    return seconds


@dataclass
class Equal(Executor):
    """Executors that are all equal and have no hash."""

    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1), compare=False)

    def submit(self, fn, /, *args, **kwargs):
        return self.pool.submit(fn, *args, **kwargs)


def test_equal_executors_are_told_apart_and_dropped_ones_forgotten():
    slow, pools = Slow(0.0), [Equal() for _ in range(4)]
    coded_map(slow, INPUTS, FOUR, pools, timeout=WAIT)
    deadline = time.monotonic() + WAIT  # twice the time of the answers, which may be long
    while not is_behind(pools[3]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [is_behind(pool) for pool in pools] == [False, False, False, True]
    slow.release.set()
    for pool in pools:
        pool.pool.shutdown()
    mine = {id(pool) for pool in pools}
    assert mine <= _TASKS.keys()
    del pools, pool
    gc.collect()
    assert not mine & _TASKS.keys()
