"""What goes wrong on threads, LocalWorkers and a pool of processes, and that nothing is left."""

import os
import resource
import signal
import sys
import threading
import time
import types
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import pytest

from coded import (
    CodedModel,
    LagrangeScheme,
    LocalWorkers,
    NotEnoughRespondersError,
    ReplicationScheme,
    SplineScheme,
    WorkerBusyError,
    coded_map,
)
from coded.schemes import codes
from coded.schemes.registry import Setting
from tests.support.faults import (
    CALLS,
    FAULTS,
    FOUR,
    INPUTS,
    KILLED,
    LATE,
    LEAVES,
    LOCKED_ERROR,
    QUICK,
    SULKING,
    UNPICKLABLE,
    UNREADABLE_FAULTS,
    WORSE_FAULTS,
    Fault,
    check_all_killed,
    check_frozen,
    check_interrupted,
    check_late,
    check_lost,
    check_well,
    check_wrong_shape,
    exhaust_memory,
    wait_until_idle,
)
from tests.support.worker_functions import WAIT, double, is_running, wait_until_gone

pytestmark = pytest.mark.outer

IN_THREADS = [  # memory is of the whole process, no thread's
    *(fault for fault in FAULTS if fault.misbehave is not exhaust_memory),
    *WORSE_FAULTS,
    SULKING,
]
IN_PROCESSES = [*FAULTS, *WORSE_FAULTS, UNPICKLABLE, LOCKED_ERROR]
IN_WORKERS = [  # a process that gives what cannot be read serves on
    *IN_PROCESSES[:-1],
    *(replace(fault, error=RuntimeError) for fault in (LOCKED_ERROR, UNREADABLE_FAULTS[1])),
    replace(UNREADABLE_FAULTS[0], error=ArithmeticError),
    replace(UNREADABLE_FAULTS[2], error=ModuleNotFoundError),
]

every_call = pytest.mark.parametrize("call", CALLS, ids=["sync", "async"])


@pytest.fixture(scope="module")
def workers():
    """Four processes; tests harm them, and leave them well."""
    with LocalWorkers(4) as workers:
        workers.wait(WAIT)
        yield workers


@pytest.fixture
def executors(workers):
    yield workers.executors
    check_well(workers.executors)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool
        check_well(pool)


# ---- threads


@every_call
@pytest.mark.parametrize("fault", IN_THREADS, ids=str)
def test_a_thread_that_fails_is_told_of(fault, call, threads):
    check_lost(fault, threads, call=call)


@every_call
def test_threads_late_interrupted_or_of_another_shape(call, threads, tmp_path):
    check_wrong_shape(threads, tmp_path, call)
    check_late(threads, tmp_path, call)
    (tmp_path / "again").mkdir()
    check_interrupted(threads, tmp_path / "again", call)


@every_call
def test_a_thread_that_waits_for_ever_costs_the_timeout(call, threads):
    lock = threading.Lock()
    lock.acquire()

    def wait_for_lock(coded_input):
        if coded_input == 0.0:
            lock.acquire()
        return 2.0 * coded_input

    try:
        started = time.perf_counter()
        result = call(wait_for_lock, INPUTS, FOUR, threads, wait_for=4, timeout=0.5)
        assert time.perf_counter() - started < QUICK
        assert not result.complete
        assert isinstance(result.failures[0], TimeoutError)
        assert result.outputs[1:].tolist() == [2.0, 4.0, 6.0]
    finally:
        lock.release()


@every_call
def test_a_pool_that_is_shut_down_under_a_call_ends_it(call, tmp_path):
    sign = tmp_path / "release"
    fault = Fault("late", LATE.misbehave, sign=sign)
    pool = ThreadPoolExecutor(1)
    shut = threading.Timer(0.2, pool.shutdown, kwargs={"wait": False, "cancel_futures": True})
    shut.start()
    threading.Timer(0.4, sign.touch).start()
    inputs = np.zeros(4)  # the first task is running, the others are queued
    result = call(fault, inputs, FOUR, pool, wait_for=4, timeout=WAIT)
    assert not result.complete
    assert len(result.responders) == 1
    assert {str(e) for e in result.failures.values()} == {"the task was cancelled by its executor"}
    with pytest.raises(NotEnoughRespondersError, match="cannot schedule new futures after shut"):
        call(double, INPUTS, FOUR, pool)
    pool.shutdown()


# ---- a process a worker


@every_call
@pytest.mark.parametrize("fault", IN_WORKERS, ids=str)
def test_a_process_that_fails_is_told_of(fault, call, executors, workers):
    before = workers.pids
    check_lost(fault, executors, call=call)
    check_well(executors)
    assert workers.pids == before


@every_call
@pytest.mark.parametrize("fault", [KILLED, LEAVES], ids=str)
def test_a_process_that_is_lost_is_told_of_and_replaced(fault, call, executors, workers):
    before = workers.pids
    check_lost(fault, executors, BrokenProcessPool, call=call)
    check_well(executors)
    assert workers.pids[0] != before[0]
    assert workers.pids[1:] == before[1:]
    wait_until_gone(before[:1])


@every_call
def test_processes_frozen_late_interrupted_or_of_another_shape(call, executors, tmp_path):
    check_wrong_shape(executors, tmp_path, call)
    check_late(executors, tmp_path, call)
    check_frozen(executors, tmp_path, call)
    (tmp_path / "again").mkdir()
    check_interrupted(executors, tmp_path / "again", call)


@every_call
def test_all_processes_killed(call, executors):
    check_all_killed(executors, call)


def wait_on_a_lock(coded_input):
    lock = threading.Lock()
    lock.acquire()
    if coded_input == 0.0:
        lock.acquire()
    return 2.0 * coded_input


def test_a_deadlocked_process_is_busy_until_patience_ends():
    with LocalWorkers(4, patience=3.0) as workers:
        workers.wait(WAIT)
        old = workers.pids
        result = coded_map(wait_on_a_lock, INPUTS + 1, FOUR, workers.executors, timeout=WAIT)
        assert result.complete
        wait_until_idle(workers.executors)
        result = coded_map(wait_on_a_lock, INPUTS, FOUR, workers.executors, wait_for=4, timeout=0.5)
        assert isinstance(result.failures[0], TimeoutError)
        wait_until_idle(workers.executors, but=[0])
        result = coded_map(double, INPUTS, FOUR, workers.executors, wait_for=3, timeout=WAIT)
        assert isinstance(result.failures[0], WorkerBusyError)
        time.sleep(3.0)
        check_well(workers.executors)
        assert workers.pids[0] != old[0]


def print_and_double(coded_input):
    sys.stdout.write("\x00\x80 garbage")
    sys.stdout.flush()
    os.write(1, bytes(range(256)))
    os.write(2, b"\xff\xfe")
    return 2.0 * coded_input


@pytest.mark.usefixtures("capfdbinary")
def test_what_workers_print_does_not_matter(executors):
    result = coded_map(print_and_double, INPUTS, FOUR, executors, wait_for=4, timeout=WAIT)
    assert result.complete
    assert np.array_equal(result.outputs, 2.0 * INPUTS)


@every_call
def test_a_function_that_cannot_be_sent_is_told_at_once_by_name(call, executors, workers):
    before = workers.pids
    with pytest.raises(TypeError, match=r"fn cannot be sent to worker processes: .*<lambda>.*def"):
        call(lambda x: x, INPUTS, FOUR, executors, timeout=WAIT)
    with pytest.raises(TypeError, match=r"<lambda> does not pickle.*run it in threads"):
        CodedModel(lambda x: x, FOUR, executors)
    check_well(executors)
    assert workers.pids == before


def test_a_task_that_cannot_be_sent_fails_alone(workers):
    task = workers.executors[0].submit(abs, threading.Lock())
    with pytest.raises(TypeError, match="pickle"):
        task.result(WAIT)
    assert workers.executors[0].submit(abs, -1).result(WAIT) == 1


def test_a_function_of_a_module_that_only_the_caller_has_is_told(executors, monkeypatch):
    here = types.ModuleType("only_here")
    exec("def f(x):\n    return x", vars(here))
    monkeypatch.setitem(sys.modules, "only_here", here)
    with pytest.raises(NotEnoughRespondersError, match="must be able to import"):
        coded_map(here.f, INPUTS, FOUR, executors, timeout=WAIT)


def fail_once(folder):
    """Fail in the first process that gets here."""
    try:
        folder.mkdir()
    except FileExistsError:
        return
    raise ArithmeticError("the first one fails")


def test_one_failing_initializer_loses_one_worker_until_it_is_asked_again(tmp_path, capfd):
    with LocalWorkers(4, initializer=fail_once, initargs=(tmp_path / "sign",)) as workers:
        result = coded_map(double, INPUTS, FOUR, workers.executors, wait_for=4, timeout=WAIT)
        assert not result.complete
        ((lost, error),) = result.failures.items()
        assert isinstance(error, BrokenProcessPool)
        assert str(error.__cause__) == "the first one fails"
        assert lost not in result.responders
        assert np.array_equal(result.outputs[result.responders], 2.0 * result.responders)
        check_well(workers.executors)
    assert capfd.readouterr().err == ""


def test_a_worker_that_cannot_be_started_anew_is_lost_until_it_can(executors, workers):
    """As where the program has no file descriptors left."""
    check_well(executors)  # whatever is imported late is there now
    used, limits = open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(used) + 1, limits[1]))
    with ExitStack() as taken:
        taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        with suppress(OSError):
            while True:
                taken.callback(os.close, os.dup(0))
        os.kill(workers.pids[0], signal.SIGKILL)
        result = coded_map(double, INPUTS, FOUR, executors, wait_for=4, timeout=WAIT)
        assert list(result.failures) == [0]
        assert isinstance(result.failures[0], BrokenProcessPool)
        assert isinstance(result.failures[0].__cause__, OSError)
        assert np.array_equal(result.outputs[result.responders], 2.0 * result.responders)


# ---- one pool of processes, in which a lost one takes all with it


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("fault", IN_PROCESSES, ids=str)
def test_a_task_of_a_shared_pool_that_fails_is_told_of(fault, pool):
    check_lost(fault, pool)
    check_well(pool)


@pytest.mark.parametrize("fault", [KILLED, UNREADABLE_FAULTS[0]], ids=str)
def test_a_lost_process_of_a_shared_pool_ends_it_for_good(fault):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for _ in range(2):
            with pytest.raises(NotEnoughRespondersError, match="BrokenProcessPool"):
                coded_map(fault, np.zeros(4), FOUR, pool, wait_for=4, timeout=WAIT)


# ---- tasks that change what they get


@pytest.mark.parametrize("code", codes())
def test_a_task_that_changes_its_input_in_place_changes_nothing_else(code, threads):
    """What the code keeps for decoding, the caller's inputs and other tasks' are their own."""
    scheme = codes()[code].make(Setting(3, 9, 1, degree=1))
    inputs = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 7.0]])
    if codes()[code].numbers == "integer":
        inputs = inputs.astype(np.int64)
    before = inputs.copy()

    def double_in_place(coded_input):
        answer = coded_input + coded_input
        coded_input[...] = 0
        return answer

    wanted = coded_map(lambda x: x + x, inputs, scheme, threads, wait_for=9)
    result = coded_map(double_in_place, inputs, scheme, threads, wait_for=9)
    assert np.allclose(result.outputs, wanted.outputs, rtol=1e-9, atol=1e-9)  # some draw masks
    assert np.array_equal(inputs, before)


# ---- mixed codes decode rightly around the faults


@pytest.mark.parametrize(
    ("scheme", "tolerance"),
    [
        (LagrangeScheme(4, 9, degree=1), 1e-9),
        (SplineScheme(4, 9), 0.5),
        (ReplicationScheme(4, 9), 0.0),
    ],
    ids=repr,
)
def test_codes_decode_around_a_lost_process(scheme, tolerance, executors, workers):
    """Coded inputs go to four processes in turn: 1 and 5 to the one that dies."""
    f = partial(die_in_process, workers.pids[1])
    result = coded_map(f, INPUTS, scheme, executors, wait_for=9, timeout=WAIT)
    assert 1 in result.failures
    assert set(result.failures) <= {1, 5}
    assert np.allclose(result.outputs, 2.0 * INPUTS, atol=tolerance)


def die_in_process(pid, coded_input):
    if os.getpid() == pid:
        os.kill(pid, signal.SIGKILL)
    return 2.0 * coded_input


# ---- nothing is left


def open_files():
    return {int(file.name) for file in Path("/dev/fd").iterdir()}


def children():
    return {child.pid for child in psutil.Process().children() if is_running(child.pid)}


def census():
    """Count what a process can leak: threads, files, children, shared memory."""
    return {
        "threads": threading.active_count(),
        "files": len(open_files()),
        "children": len(children()),
        "shared memory": len([*Path("/dev/shm").glob("psm_*"), *Path("/dev/shm").glob("sem.*")]),
    }


MIXED_FAULTS = [fault for fault in IN_PROCESSES if fault.name not in ("huge answer", "recurses")]


def test_nothing_is_left_of_200_calls(executors):
    check_well(executors)
    before = census()
    for i in range(200):
        fault = KILLED if i % 50 == 0 else MIXED_FAULTS[i % len(MIXED_FAULTS)]
        result = CALLS[i % 2](fault, INPUTS, FOUR, executors, wait_for=3, timeout=WAIT)
        assert result.complete
        assert np.array_equal(result.outputs[1:], 2.0 * INPUTS[1:])
    check_well(executors)
    wait_for_census(before)


def test_nothing_is_left_of_200_calls_on_threads():
    before = census()
    with ThreadPoolExecutor(4) as threads:
        for i in range(200):
            fault = IN_THREADS[i % len(IN_THREADS)]
            result = CALLS[i % 2](fault, INPUTS, FOUR, threads, wait_for=3, timeout=WAIT)
            assert np.array_equal(result.outputs[1:], 2.0 * INPUTS[1:])
    wait_for_census(before)


def wait_for_census(before):
    """What ends in its own time, as zombies and threads that end, may take a moment."""
    deadline = time.monotonic() + WAIT
    while any(now > before[what] for what, now in census().items()):
        assert time.monotonic() < deadline, (before, census())
        time.sleep(0.05)
