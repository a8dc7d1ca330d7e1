"""No wait without an end: worker processes that die, freeze, fork or start badly."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial

import numpy as np
import psutil
import pytest
import torch

import coded.workers.local_workers
import coded.workers.messages
import coded.workers.supervisor
from coded import LocalWorkers, ReplicationScheme, WorkerBusyError, coded_map
from tests.support.faults import CALLS, FOUR, INPUTS, check_well
from tests.support.worker_faults import (
    ENDS,
    end_while_writing,
    fail_and_count,
    fork_and,
    freeze_on_zero,
    give_back,
    give_tensor_and_die,
    go_on_in_a_fork,
    kill_itself_at_first,
    lock_and_touch,
    write_into,
)
from tests.support.worker_functions import (
    WAIT,
    double,
    is_running,
    touch_and_sleep,
    wait_for_file,
    wait_until_gone,
)

pytestmark = pytest.mark.outer

LIMIT = 5.0  # seconds; what takes milliseconds takes less than this on the busiest machine
SIZES = [1, 1 << 13, 1 << 20]  # numbers: 8 B, 64 kB and 8 MB

every_call = pytest.mark.parametrize("call", CALLS, ids=["sync", "async"])


@pytest.fixture
def four():
    with LocalWorkers(4, patience=2.0) as workers:
        workers.wait(WAIT)
        check_well(workers.executors)
        yield workers
    wait_until_gone(workers_of_mine())


def workers_of_mine():
    """Children of this process but for multiprocessing's resource tracker."""
    children = psutil.Process().children(recursive=True)
    return [one.pid for one in children if is_running(one.pid) and "tracker" not in told(one)]


def told(process):
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def check_bounded(call, f, inputs, executors, timeout=LIMIT):
    """A call ends in time, with the three answers that came."""
    started = time.perf_counter()
    result = call(f, inputs, FOUR, executors, wait_for=4, timeout=timeout)
    assert time.perf_counter() - started < timeout + 1.0
    assert result.responders.tolist() == [1, 2, 3]
    return result


# ---- while an answer is being written


@every_call
@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("how", ENDS)
def test_a_worker_that_ends_while_it_writes_its_answer_costs_that_answer(how, size, call, four):
    """Where it ends so late that the answer is whole it counts."""
    f = partial(end_while_writing, how, size)
    for _ in range(3):
        started = time.perf_counter()
        result = call(f, INPUTS, FOUR, four.executors, wait_for=4, timeout=LIMIT)
        assert time.perf_counter() - started < LIMIT + 1.0
        assert set(result.failures) <= {0}
        for n in result.responders:
            assert np.array_equal(result.outputs[n], np.full(size, 2.0 * INPUTS[n]))
        check_well(four.executors)


def test_close_and_exit_do_not_wait_for_a_worker_frozen_as_it_writes():
    workers = LocalWorkers(1)
    workers.wait(WAIT)
    (executor,), pids = workers.executors, workers.pids
    size = 8 * SIZES[-1]  # so many pieces that it freezes before the last on any busy machine
    answer = executor.submit(end_while_writing, "frozen", size, np.zeros(()))
    with pytest.raises(TimeoutError):
        answer.result(0.5)
    started = time.perf_counter()
    workers.close()
    assert time.perf_counter() - started < LIMIT
    assert isinstance(answer.exception(WAIT), BrokenProcessPool)
    wait_until_gone(pids)


def test_a_task_too_large_for_the_pipe_to_a_frozen_worker_holds_nobody(four):
    os.kill(four.pids[0], signal.SIGSTOP)
    inputs = np.repeat(INPUTS, SIZES[-1]).reshape(4, -1)
    result = check_bounded(coded_map, double, inputs, four.executors, timeout=1.0)
    assert isinstance(result.failures[0], TimeoutError)


# ---- forks


def read_pids(file):
    return [int(pid) for pid in file.read_text().split()]


@every_call
@pytest.mark.parametrize("how", ENDS)
def test_a_lost_worker_takes_what_it_has_forked_with_it(how, call, four, tmp_path):
    f = partial(fork_and, how, tmp_path / "forks")
    check_bounded(call, f, INPUTS, four.executors, timeout=LIMIT)
    check_well(four.executors)
    four.close()
    forks = read_pids(tmp_path / "forks")
    assert len(forks) >= 4
    wait_until_gone(forks)


def test_a_fork_that_returns_from_the_task_does_not_answer(four):
    for k in range(10):
        result = coded_map(
            go_on_in_a_fork, INPUTS + k, FOUR, four.executors, wait_for=4, timeout=WAIT
        )
        assert np.array_equal(result.outputs, 2.0 * (INPUTS + k))


OWNER = """
import os, signal, sys, time
from functools import partial
from pathlib import Path
import numpy as np
from coded import LocalWorkers
from tests.support.worker_faults import fork_and
from tests.support.worker_functions import WAIT

if __name__ == "__main__":
    workers = LocalWorkers(2)
    workers.wait(WAIT)
    forks = Path(sys.argv[1])
    workers.executors[0].submit(fork_and, None, forks, np.ones(())).result(WAIT)
    os.kill(workers.pids[1], signal.SIGSTOP)
    if sys.argv[2] == "forks":
        child = os.fork()
        if child == 0:
            time.sleep(60.0)
            os._exit(0)
    print(*workers.pids, *forks.read_text().split(), flush=True)
    os.kill(os.getpid(), int(sys.argv[3]))
    time.sleep(60.0)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("owner", ["alone", "forks"])
def test_a_killed_owner_leaves_no_process(owner, number, tmp_path):
    """Neither workers, one of them frozen, nor what they forked; also if a fork of it lives on."""
    program = tmp_path / "program.py"
    program.write_text(OWNER)
    with subprocess.Popen(
        [sys.executable, program, tmp_path / "forks", owner, str(int(number))],
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([".", *filter(None, sys.path)])},
    ) as process:
        try:
            pids = [int(pid) for pid in process.stdout.readline().split()]
            assert len(pids) == 3
            assert process.wait(WAIT) == -number
            wait_until_gone(pids)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_a_fork_of_the_owner_is_told_that_the_workers_are_not_its_own(four):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            busy = four.executors[0].busy
            four.close()  # does nothing here
            four.executors[0].submit(abs, -1)
        except RuntimeError as error:
            os.write(writer, f"{busy} {error}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    os.waitpid(child, 0)
    assert "closed" in text or "make LocalWorkers here" in text
    check_well(four.executors)


# ---- starts


def check_up(workers):
    deadline = time.monotonic() + WAIT
    while any(executor.busy for executor in workers.executors):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    inputs, n = np.arange(float(len(workers))), len(workers)
    scheme = ReplicationScheme(n, n, fallback=None)
    result = coded_map(double, inputs, scheme, workers.executors, wait_for=n, timeout=WAIT)
    assert result.complete
    assert np.array_equal(result.outputs, 2.0 * inputs)


def test_a_worker_killed_while_it_starts_is_started_again(tmp_path):
    arguments = (tmp_path, 2)
    with LocalWorkers(1, initializer=kill_itself_at_first, initargs=arguments) as workers:
        task = workers.executors[0].submit(abs, -1)  # waits for the third process
        assert task.result(WAIT) == 1
        workers.wait(WAIT)
        assert len([*tmp_path.iterdir()]) == 2


def test_a_storm_of_kills_at_the_start_drains_no_worker():
    with LocalWorkers(4) as workers:
        for _ in range(40):
            for pid in workers.pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        check_up(workers)


def test_a_process_that_is_stopped_while_it_starts_is_not_given_ten_seconds(tmp_path):
    arguments = (tmp_path / "release",)
    with LocalWorkers(1, initializer=wait_for_file, initargs=arguments, patience=1.0) as workers:
        os.kill(workers.pids[0], signal.SIGSTOP)
        (tmp_path / "release").touch()
        started = time.perf_counter()
        assert workers.executors[0].submit(abs, -1).result(WAIT) == 1
        assert time.perf_counter() - started < 1.0 + LIMIT


def test_processes_killed_while_they_start_do_not_lengthen_the_patience_with_slow_ones(tmp_path):
    """That of a slow start would be 80 s after three."""
    with LocalWorkers(
        1, initializer=kill_itself_at_first, initargs=(tmp_path, 3), patience=1.0
    ) as workers:
        check_up(workers)
        assert workers.executors[0].supervisor._start_patience() == 10.0


def test_tasks_do_not_wait_for_ever_for_processes_that_always_die(tmp_path):
    arguments = (tmp_path, 1000)
    with LocalWorkers(1, initializer=kill_itself_at_first, initargs=arguments) as workers:
        task = workers.executors[0].submit(abs, -1)
        with pytest.raises(BrokenProcessPool, match=r"no process .* came up.*killed by SIGKILL"):
            task.result(WAIT)
        with pytest.raises(RuntimeError, match=r"worker 0 could not start.*killed by SIGKILL"):
            workers.wait(WAIT)


def test_an_initializer_that_fails_is_run_again_only_for_those_who_ask(tmp_path):
    with LocalWorkers(1, initializer=fail_and_count, initargs=(tmp_path,)) as workers:
        with pytest.raises(RuntimeError, match="ArithmeticError: the model is not there"):
            workers.wait(WAIT)
        assert len([*tmp_path.iterdir()]) == 1
        time.sleep(0.5)
        assert len([*tmp_path.iterdir()]) == 1
        with pytest.raises(BrokenProcessPool, match="the model is not there") as told:
            workers.executors[0].submit(abs, -1).result(WAIT)
        assert isinstance(told.value.__cause__, ArithmeticError)
        assert len([*tmp_path.iterdir()]) == 2


def test_locks_reach_the_initializer_as_with_a_stdlib_pool(tmp_path):
    lock = multiprocessing.get_context("spawn").Lock()
    with LocalWorkers(1, initializer=lock_and_touch, initargs=(lock, tmp_path / "sign")) as workers:
        workers.wait(WAIT)
        assert (tmp_path / "sign").exists()


def test_initializers_may_be_large_and_their_process_die_before_it_reads_them():
    with LocalWorkers(2, initializer=len, initargs=(bytes(1 << 24),)) as workers:
        os.kill(workers.pids[0], signal.SIGKILL)
        os.kill(workers.pids[1], signal.SIGKILL)
        check_up(workers)


@pytest.mark.parametrize(
    ("n", "processors", "seconds"), [(2, 2, 90.0), (8, 2, 180.0), (8, 8, 90.0)]
)
def test_the_wait_for_starts_goes_by_the_number_of_processors(n, processors, seconds, monkeypatch):
    seen = []

    class Slow:
        def __init__(self, *_):
            self.failure = None

        def await_launch(self, *_):
            return 1

        def await_up(self, deadline):
            seen.append(deadline - time.perf_counter())
            return coded.workers.supervisor.State.UP

        def kill(self):
            pass

        def join(self, _):
            pass

    monkeypatch.setattr(coded.workers.local_workers, "Supervisor", Slow)
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    with LocalWorkers(n) as workers:
        workers.wait()
    assert seen[0] == pytest.approx(seconds, abs=1.0)


# ---- tasks behind a dying process


def test_tasks_queued_behind_a_dying_process_go_to_the_next_one(four, tmp_path):
    (executor, *_), pid = four.executors, four.pids[0]
    slow = executor.submit(touch_and_sleep, tmp_path / "sign", 60.0)
    queued = [executor.submit(abs, -k) for k in range(5)]
    wait_for_file(tmp_path / "sign")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool, match="was killed by SIGKILL while it was at this task"):
        slow.result(WAIT)
    assert [task.result(WAIT) for task in queued] == [0, 1, 2, 3, 4]
    assert four.pids[0] != pid


def test_a_call_right_after_a_kill_loses_nothing(four):
    for k in range(20):
        os.kill(four.pids[k % 4], signal.SIGKILL)
        result = coded_map(double, INPUTS, FOUR, four.executors, wait_for=4, timeout=WAIT)
        assert result.complete
        assert result.failures == {}


@pytest.mark.parametrize("once_up", [False, True], ids=["at once", "once up"])
def test_a_task_that_no_process_comes_to_fails_in_the_end(once_up):
    """Instead of being sent to one process after the other for ever."""
    with LocalWorkers(1) as workers:
        check_up(workers)
        (executor,) = workers.executors
        task = executor.submit(len, np.zeros(50_000_000))  # 400 MB, on its way for long
        deadline = time.monotonic() + WAIT
        while not task.done():
            assert time.monotonic() < deadline
            with suppress(ProcessLookupError):
                if not (once_up and executor.starting):
                    os.kill(workers.pids[0], signal.SIGKILL)
            time.sleep(0.001)
        words = "was killed by SIGKILL before this task, 3 in a row"
        if not once_up:
            words += "|no process .* came up, 3 in a row"
        with pytest.raises(BrokenProcessPool, match=words):
            task.result(WAIT)
        check_up(workers)


def test_a_worker_whose_initializer_failed_is_replaced_by_hand_at_once(tmp_path):
    with LocalWorkers(1, initializer=fail_and_count, initargs=(tmp_path,)) as workers:
        with suppress(RuntimeError):
            workers.wait(WAIT)
        started = time.perf_counter()
        workers.replace(0)
        assert time.perf_counter() - started < LIMIT
        deadline = time.monotonic() + WAIT
        while len([*tmp_path.iterdir()]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_tasks_behind_a_process_that_is_replaced_go_to_the_next_one(four, tmp_path):
    executor = four.executors[0]
    executor.submit(touch_and_sleep, tmp_path / "sign", 60.0)
    queued = executor.submit(abs, -7)
    wait_for_file(tmp_path / "sign")
    four.replace(0)
    assert queued.result(WAIT) == 7


# ---- patience


@every_call
def test_patience_ends_while_the_call_still_waits(call, four):
    started = time.perf_counter()
    result = check_bounded(call, freeze_on_zero, INPUTS, four.executors, timeout=20.0)
    assert time.perf_counter() - started < 2.0 + LIMIT  # its patience, not the call's timeout
    assert "given up after 2 s while it was at this task" in str(result.failures[0])
    assert isinstance(result.failures[0], BrokenProcessPool)


def test_a_worker_that_starts_is_said_to_start(tmp_path):
    scheme = ReplicationScheme(4, 4, n_stragglers=3, fallback="mean")
    with LocalWorkers(4) as workers:
        check_up(workers)
        pid = workers.pids[3]
        workers.executors[3].supervisor._initializer = wait_for_file
        workers.executors[3].supervisor._initargs = (tmp_path / "release",)
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + WAIT
        while workers.pids[3] == pid:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        result = coded_map(double, INPUTS, scheme, workers.executors, wait_for=3, timeout=WAIT)
        (tmp_path / "release").touch()
        assert isinstance(result.failures[3], WorkerBusyError)
        assert str(result.failures[3]) == "starting its process; was not asked"


# ---- what is sent


class Changed(np.ndarray):
    """An array of a class of its own."""


@pytest.mark.parametrize(
    "value",
    [
        np.float64(3.0),
        np.arange(5),
        np.zeros(0),
        np.arange(1 << 18, dtype=np.float32).reshape(512, 512),
        np.asfortranarray(np.arange(1 << 18, dtype=np.float32).reshape(512, 512)),
        np.arange(1 << 18)[::2],
        np.ones((3, 1 << 14), order="F")[::2],
        np.arange(1 << 17).view(Changed),
        {"a": (np.ones(1 << 15), "text"), "b": np.arange(3)},
        [np.full(1 << 13, k) for k in range(20)],
        torch.arange(5),
        torch.ones(1 << 16, dtype=torch.bfloat16).reshape(256, 256),
        torch.arange(1 << 16).reshape(256, 256).T,
        torch.zeros(0, 3),
        torch.tensor(2.5),
        torch.ones(300, 300)[:, ::7],
        torch.ones(3, dtype=torch.complex64).conj(),
        torch.ones(1 << 14, requires_grad=True),
        bytes(1 << 20),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_what_goes_there_comes_back_the_same(value, shared):
    assert_same(shared.submit(give_back, value).result(WAIT), value)


@pytest.fixture(scope="module")
def shared():
    with LocalWorkers(1) as workers:
        workers.wait(WAIT)
        yield workers.executors[0]


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        for key in other:
            assert_same(one[key], other[key])
    elif isinstance(one, tuple | list):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert one.requires_grad == other.requires_grad
        assert torch.equal(one.to_dense(), other.to_dense())
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("size", [3, 1 << 16])
def test_a_task_may_write_into_its_copy_of_an_array_that_is_read_only_here(size, shared):
    array = np.zeros(size)
    array.flags.writeable = False
    answer = shared.submit(write_into, array).result(WAIT)
    assert np.array_equal(answer, np.ones(size))
    assert not array.any()
    answer += 1.0


def test_a_model_travels_with_its_parameters(shared):
    model = torch.nn.Linear(300, 200)
    answer = shared.submit(give_back, model).result(WAIT)
    assert isinstance(answer.weight, torch.nn.Parameter)
    assert torch.equal(answer.weight, model.weight)
    assert answer.weight.requires_grad


def test_nothing_is_printed_where_a_worker_dies_with_a_tensor_on_its_way(capfd):
    inputs = torch.arange(4.0)[:, None].expand(4, 1 << 16).contiguous()
    with LocalWorkers(4) as four:
        for _ in range(5):
            coded_map(give_tensor_and_die, inputs, FOUR, four.executors, timeout=WAIT)
            os.kill(four.pids[1], signal.SIGKILL)
        # On a busy machine the last one that dies does so as it leaves with this.
        coded_map(double, INPUTS, FOUR, four.executors, wait_for=4, timeout=WAIT)
        check_well(four.executors)
    assert capfd.readouterr().err == ""


# ---- event loops


def test_a_loop_is_not_held_while_processes_are_replaced_and_large_answers_come(four):
    """No longer than 10 ms beyond what a thread with nothing to do is held by the machine."""
    inputs = np.repeat(INPUTS, 1 << 20).reshape(4, -1)
    pauses, stalls = [], []
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            started = time.perf_counter()
            time.sleep(0.001)
            stalls.append(time.perf_counter() - started)

    async def tick():
        while not stop.is_set():
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            pauses.append(time.perf_counter() - started)

    async def main():
        ticking = asyncio.create_task(tick())
        for k in range(8):
            pid = four.pids[k % 4]
            os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(wait_until_gone, [pid])
            result = await coded.coded_map_async(
                double, inputs, FOUR, four.executors, wait_for=4, timeout=WAIT
            )
            assert result.complete
        stop.set()
        await ticking

    control = threading.Thread(target=watch)
    control.start()
    try:
        asyncio.run(main())
    finally:
        stop.set()
        control.join(WAIT)
    assert np.quantile(pauses, 0.99) < 0.01 + np.quantile(stalls, 0.99)
    assert max(pauses) < 0.01 + 3.0 * max(stalls)


def test_is_running_tells_the_living_from_the_dead():
    assert is_running(os.getpid())
