import multiprocessing
import os
import pickle
import signal
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial

import numpy as np
import pytest

import coded.workers.supervisor
from coded import (
    LocalWorkers,
    NotEnoughRespondersError,
    ReplicationScheme,
    WorkerBusyError,
    coded_map,
)
from coded.workers.worker_process import WorkerProcess
from tests.support.faults import Copies
from tests.support.worker_functions import (
    WAIT,
    die_on_zero,
    double,
    fail,
    ignores_interrupt,
    make_workers_and_tell,
    read_environment,
    touch,
    touch_and_sleep,
    wait_for_file,
    wait_until_gone,
)

pytestmark = pytest.mark.outer

INPUTS = np.array([0.0, 1.0, 2.0, 3.0])
QUICK = 5.0  # seconds; what takes milliseconds takes less than this on the busiest machine


@pytest.fixture(scope="module")
def shared():
    """Workers for tests that do them no harm."""
    with LocalWorkers(2) as workers:
        workers.wait(WAIT)
        yield workers


@pytest.fixture
def four():
    """Workers of which worker n holds input n of a code that waits for three; to be harmed."""
    with LocalWorkers(4) as workers:
        pids = workers.pids
        yield workers
    wait_until_gone(pids)


def one_each():
    return Copies(4, 4, n_stragglers=1, fallback="mean")


def ask(workers, i, fn, *args):
    return workers.executors[i].submit(fn, *args).result(timeout=WAIT)


# ---- what they are


def test_each_worker_is_one_spawned_process(shared):
    assert len(shared) == 2
    assert len(shared.executors) == 2
    assert tuple(ask(shared, i, os.getpid) for i in range(2)) == shared.pids
    assert len({os.getpid(), *shared.pids}) == 3
    assert repr(shared) == f"LocalWorkers(2, pids={list(shared.pids)})"


def test_workers_ignore_interrupts_meant_for_their_owner(shared):
    assert ask(shared, 0, ignores_interrupt)


def test_linear_algebra_has_one_thread_and_the_environment_is_restored(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    with LocalWorkers(1) as workers:
        assert dict(os.environ) == before
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            assert ask(workers, 0, read_environment, name) == "1"


def test_the_callers_number_of_threads_is_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with LocalWorkers(1) as workers:
        assert ask(workers, 0, read_environment, "OMP_NUM_THREADS") == "3"
        assert ask(workers, 0, read_environment, "OPENBLAS_NUM_THREADS") is None
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_initializer_runs_once_before_the_first_task(tmp_path):
    sign = tmp_path / "sign"
    with LocalWorkers(1, initializer=touch, initargs=(sign,)) as workers:
        workers.wait(WAIT)
        assert sign.exists()


def test_constructor_does_not_wait_for_the_processes(tmp_path):
    release, started = tmp_path / "release", time.perf_counter()
    with LocalWorkers(2, initializer=wait_for_file, initargs=(release,)) as workers:
        assert time.perf_counter() - started < QUICK
        with pytest.raises(TimeoutError, match=r"workers \[0, 1\] were not up within 0.01 s"):
            workers.wait(0.01)
        release.touch()
        workers.wait(WAIT)


def test_a_failing_initializer_is_told_with_its_own_error(capfd):
    with LocalWorkers(1, initializer=fail) as workers:
        with pytest.raises(RuntimeError, match="worker 0 could not start: ArithmeticError") as told:
            workers.wait(WAIT)
        assert str(told.value.__cause__) == "this initializer fails"
        assert "raise ArithmeticError" in str(told.value.__cause__.__cause__)
        with pytest.raises(BrokenProcessPool, match="this initializer fails") as told:
            ask(workers, 0, abs, 1)
        assert isinstance(told.value.__cause__, ArithmeticError)
    assert capfd.readouterr().err == ""


def test_cancelled_tasks_never_run(tmp_path):
    started, sign = tmp_path / "started", tmp_path / "sign"
    with LocalWorkers(1) as workers:
        executor = workers.executors[0]
        slow = executor.submit(touch_and_sleep, started, 0.2)
        wait_for_file(started)
        queued = [executor.submit(touch, sign) for _ in range(3)]
        assert not slow.cancel()
        assert all(future.cancel() for future in queued)
        after = executor.submit(abs, -1)
        assert not wait(queued, WAIT).not_done
        assert after.result(WAIT) == 1
        assert not sign.exists()


def test_shutdown_of_an_executor_leaves_the_worker(shared):
    with shared.executors[0] as executor:
        pass
    assert executor.submit(abs, -2).result(WAIT) == 2


# ---- coded_map on them


def test_a_call_on_healthy_workers(shared):
    result = coded_map(double, INPUTS, one_each(), shared.executors, wait_for=4, timeout=WAIT)
    assert result.complete
    assert np.array_equal(result.outputs, 2.0 * INPUTS)


def test_a_killed_process_loses_its_task_only_and_is_replaced(four):
    four.wait(WAIT)  # or the others answer before this one has begun
    old = four.pids
    result = coded_map(die_on_zero, INPUTS, one_each(), four.executors, timeout=WAIT)
    assert result.complete
    assert result.responders.tolist() == [1, 2, 3]
    wait_until_gone(old[:1])

    again = coded_map(double, INPUTS, one_each(), four.executors, wait_for=4, timeout=WAIT)
    assert again.complete
    assert four.pids[1:] == old[1:]
    assert four.pids[0] != old[0]


def test_a_process_is_replaced_by_hand(four):
    four.wait(WAIT)
    executors, old = four.executors, four.pids
    four.replace(0)
    assert four.pids[1:] == old[1:]
    assert four.pids[0] != old[0]
    result = coded_map(double, INPUTS, one_each(), executors, wait_for=4, timeout=WAIT)
    assert result.complete
    assert result.exact.all()


def test_all_processes_killed_is_told_at_once(four):
    with pytest.raises(NotEnoughRespondersError, match="4 failed") as caught:
        coded_map(die_on_zero, np.zeros(4), one_each(), four.executors, wait_for=1, timeout=WAIT)
    assert isinstance(caught.value.__cause__, BrokenProcessPool)


def test_a_frozen_process_is_a_straggler(four):
    four.wait(WAIT)
    os.kill(four.pids[2], signal.SIGSTOP)
    result = coded_map(double, INPUTS, one_each(), four.executors, timeout=WAIT)
    assert result.complete
    assert result.stragglers.tolist() == [2]
    assert result.failures == {}

    result = coded_map(double, INPUTS, one_each(), four.executors, wait_for=4, timeout=0.3)
    assert not result.complete
    assert isinstance(result.failures[2], TimeoutError)

    started = time.perf_counter()
    four.replace(2)
    assert time.perf_counter() - started < QUICK
    result = coded_map(double, INPUTS, one_each(), four.executors, wait_for=4, timeout=WAIT)
    assert result.complete


def test_calls_cancelled_on_a_frozen_process_leave_nothing_behind(four):
    four.wait(WAIT)
    os.kill(four.pids[2], signal.SIGSTOP)
    executor = four.executors[2]
    for _ in range(20):
        coded_map(double, INPUTS, one_each(), four.executors, timeout=WAIT)
    assert len(executor.supervisor._queue) <= 1
    os.kill(four.pids[2], signal.SIGKILL)  # with cancelled tasks behind the running one
    wait_until_gone(four.pids[2:3])
    with suppress(BrokenProcessPool):  # a task may be lost before anybody knows of the death
        executor.submit(abs, -1).result(WAIT)
    assert executor.submit(abs, -1).result(WAIT) == 1


def test_a_worker_that_is_at_a_task_for_too_long_gets_a_new_process(tmp_path):
    with LocalWorkers(4, patience=1.0) as workers:
        coded_map(double, INPUTS, one_each(), workers.executors, wait_for=4, timeout=WAIT)
        workers.executors[1].submit(touch, tmp_path / "first").result(WAIT)  # imports
        old = workers.pids
        started = tmp_path / "started"
        stuck = workers.executors[1].submit(touch_and_sleep, started, 3600.0)
        os.kill(workers.pids[2], signal.SIGSTOP)
        wait_for_file(started)
        frozen = workers.executors[2].submit(abs, -1)
        assert [one.busy for one in workers.executors] == [False, True, True, False]
        ended = time.monotonic() + WAIT
        while any(one.busy for one in workers.executors) and time.monotonic() < ended:
            time.sleep(0.05)
        with pytest.raises(
            BrokenProcessPool, match=r"was given up after 1 s while it was at this task"
        ):
            stuck.result(WAIT)
        assert frozen.result(WAIT) == 1  # that process had not begun it, and the next one did
        result = coded_map(double, INPUTS, one_each(), workers.executors, wait_for=4, timeout=WAIT)
        assert result.complete
        assert [a == b for a, b in zip(workers.pids, old, strict=True)] == [
            True,
            False,
            False,
            True,
        ]


def hang_at_first(folder):
    """Hang in the first process that gets here."""
    with suppress(FileExistsError):
        folder.mkdir()
        time.sleep(600.0)


def test_a_process_that_hangs_as_it_starts_gets_another_one(tmp_path, monkeypatch):
    monkeypatch.setattr(coded.workers.supervisor, "_START", 2.0)  # or this takes ten
    sign = tmp_path / "sign"
    with LocalWorkers(3, initializer=hang_at_first, initargs=(sign,), patience=60.0) as workers:
        wait_for_file(sign)  # 60 s of patience are the start's too
        with pytest.raises(TimeoutError, match=r"workers \[\d\] were not up within 4 s"):
            workers.wait(4.0)
    sign.rmdir()
    with LocalWorkers(3, initializer=hang_at_first, initargs=(sign,), patience=3.0) as workers:
        wait_for_file(sign)
        old = workers.pids
        result = coded_map(double, INPUTS[:3], three(), workers.executors, timeout=WAIT)
        assert result.complete
        workers.wait(WAIT)
        lost = set(old) - set(workers.pids)
        assert lost
        wait_until_gone(lost)
        again = coded_map(double, INPUTS[:3], three(), workers.executors, wait_for=3, timeout=WAIT)
        assert again.complete


def three():
    return Copies(3, 3, n_stragglers=1, fallback="mean")


@pytest.mark.parametrize("least", [None, 0.2], ids=["ten seconds", "none"])
def test_a_patience_shorter_than_the_start_does_not_keep_a_worker_from_starting(least, monkeypatch):
    if least is not None:
        monkeypatch.setattr(coded.workers.supervisor, "_START", least)
    with LocalWorkers(1, initializer=time.sleep, initargs=(1.0,), patience=0.2) as workers:
        (executor,), seen = workers.executors, set(workers.pids)
        deadline = time.monotonic() + WAIT
        while executor.busy:
            assert time.monotonic() < deadline
            seen |= set(workers.pids)
            time.sleep(0.02)
        assert executor.submit(abs, -1).result(WAIT) == 1
        assert len(seen) == 1 if least is None else len(seen) > 1  # it doubles each time
        workers.wait(WAIT)
        (old,) = workers.pids
        stuck = executor.submit(time.sleep, 600.0)  # once up, 0.2 s hold again
        while not stuck.done():
            assert time.monotonic() < deadline + WAIT
            time.sleep(0.02)
            assert executor.busy
        assert isinstance(stuck.exception(), BrokenProcessPool)
        wait_until_gone([old])


def test_a_slow_worker_costs_later_calls_nothing(four, tmp_path):
    coded_map(double, INPUTS, one_each(), four.executors, wait_for=4, timeout=WAIT)  # imports
    started = tmp_path / "started"
    slow = four.executors[3].submit(touch_and_sleep, started, WAIT)
    wait_for_file(started)
    for _ in range(3):
        result = coded_map(double, INPUTS, one_each(), four.executors, timeout=WAIT)
        assert result.complete
        assert isinstance(result.failures[3], WorkerBusyError)
    assert not slow.done()


@pytest.mark.parametrize(
    ("patience", "kind", "words"),
    [
        (0.0, ValueError, "patience must be a positive number of seconds, got 0.0"),
        (float("nan"), ValueError, "patience must be a positive"),
        ("1", TypeError, "patience must be a number of seconds or None"),
        (True, TypeError, "patience must be a number"),
    ],
)
def test_bad_patience_is_refused(patience, kind, words):
    with pytest.raises(kind, match=words):
        LocalWorkers(1, patience=patience)


# ---- their end


def test_close_is_fast_with_frozen_and_busy_workers_and_large_tasks(tmp_path):
    workers = LocalWorkers(3)
    pids, executors = workers.pids, list(workers.executors)
    workers.wait(WAIT)
    os.kill(pids[0], signal.SIGSTOP)
    started = tmp_path / "started"
    frozen = [executors[0].submit(np.sum, np.ones(2_000_000)) for _ in range(3)]
    busy = executors[1].submit(touch_and_sleep, started, 60.0)
    wait_for_file(started)
    begun = time.perf_counter()
    workers.close()
    assert time.perf_counter() - begun < QUICK
    wait_until_gone(pids)
    assert isinstance(busy.exception(WAIT), BrokenProcessPool)
    assert isinstance(frozen[0].exception(WAIT), BrokenProcessPool)
    for future in frozen[1:]:
        with pytest.raises(CancelledError):
            future.result(WAIT)


def test_closed_workers_refuse_and_close_again(four):
    executors = four.executors
    four.close()
    four.close()
    assert repr(four) == "LocalWorkers(4, closed)"
    for use in (
        lambda: four.executors,
        lambda: four.pids,
        lambda: four.wait(1.0),
        lambda: four.replace(0),
    ):
        with pytest.raises(RuntimeError, match="closed; make another one"):
            use()
    with pytest.raises(NotEnoughRespondersError, match="this worker was closed"):
        coded_map(double, INPUTS, one_each(), executors)


def test_close_during_a_call_ends_the_call(tmp_path):
    workers = LocalWorkers(2)
    workers.wait(WAIT)
    started = tmp_path / "started"
    with ThreadPoolExecutor(1) as caller:
        call = caller.submit(
            coded_map,
            partial(touch_and_sleep, started),
            np.full(2, 60.0),
            ReplicationScheme(2, 2),
            workers.executors,
            timeout=WAIT,
        )
        wait_for_file(started)
        workers.close()
        with pytest.raises(NotEnoughRespondersError):
            call.result(WAIT)


def test_close_while_a_lost_process_is_being_replaced_leaves_no_orphan(monkeypatch):
    starting, closed, started = threading.Event(), threading.Event(), []

    class Held(WorkerProcess):
        """A process of which the second one is started while its worker is closed."""

        def __init__(self, *args):
            if started:
                starting.set()
                assert closed.wait(WAIT)
            super().__init__(*args)
            started.append(self.pid)

    monkeypatch.setattr(coded.workers.supervisor, "WorkerProcess", Held)
    workers = LocalWorkers(1)
    workers.wait(WAIT)
    os.kill(workers.pids[0], signal.SIGKILL)
    assert starting.wait(WAIT)
    closing = threading.Thread(target=workers.close)
    closing.start()
    while "closed" not in repr(workers):
        time.sleep(0.001)
    time.sleep(0.05)  # close goes on, or waits
    closed.set()
    closing.join(WAIT)
    assert not closing.is_alive()
    assert len(started) == 2
    wait_until_gone(started)


def test_dropped_workers_end():
    pids = LocalWorkers(2).pids
    wait_until_gone(pids)
    result = coded_map(double, INPUTS, one_each(), LocalWorkers(2).executors, timeout=WAIT)
    assert result.complete


def test_threads_and_processes_do_not_pile_up():
    threads, processes = set(threading.enumerate()), set(multiprocessing.active_children())
    for _ in range(3):
        with LocalWorkers(2) as workers:
            coded_map(double, INPUTS, one_each(), workers.executors, timeout=WAIT)
            workers.replace(1)
    assert set(threading.enumerate()) <= threads
    assert set(multiprocessing.active_children()) <= processes


# ---- bad arguments


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"n": 0}, ValueError, r"n must lie in \[1, 10000\], got 0"),
        ({"n": 2**40}, ValueError, r"n must lie in \[1, 10000\], got 1099511627776"),
        ({"n": 2.0}, TypeError, "n must be an integer"),
        ({"n": 1, "initializer": 3}, TypeError, "initializer must be callable"),
        ({"n": 1, "initializer": touch, "initargs": "path"}, TypeError, "must be a tuple, got str"),
    ],
    ids=["none", "many", "float", "initializer", "initargs"],
)
def test_bad_arguments_start_no_process(arguments, kind, words):
    before = multiprocessing.active_children()
    with pytest.raises(kind, match=words):
        LocalWorkers(**arguments)
    assert multiprocessing.active_children() == before


@pytest.mark.parametrize("i", [-1, 2])
def test_replace_knows_its_workers(shared, i):
    with pytest.raises(ValueError, match=r"i must lie in \[0, 1\]"):
        shared.replace(i)


def test_a_daemonic_process_is_refused_with_the_reason():
    spawn = multiprocessing.get_context("spawn")
    answer, end = spawn.Pipe(duplex=False)
    process = spawn.Process(target=make_workers_and_tell, args=(end,), daemon=True)
    process.start()
    assert answer.poll(WAIT)
    assert "daemonic process, which may not have children" in answer.recv()
    process.join(WAIT)
    assert process.exitcode == 0


def test_the_workers_themselves_stay_at_home(shared):
    with pytest.raises(TypeError):
        pickle.dumps(shared)
