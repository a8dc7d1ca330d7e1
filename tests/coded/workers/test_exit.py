"""How programs that own workers end: at once, and with all their processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.worker_functions import (
    WAIT,
    is_running,
    leave_a_worker_frozen,
    leave_workers,
    wait_until_gone,
)

pytestmark = pytest.mark.outer

AT_ONCE = 1.0  # seconds
TRIES = 3

PROGRAM = """
import importlib, os, signal, sys, time
from pathlib import Path
import numpy as np
from coded import CodedModel, LocalWorkers, ReplicationScheme, coded_map
from tests.support.worker_functions import WAIT, wait_for_file

def fall_behind(x):
    if x == 0.0:
        Path(sys.argv[1]).touch()
        {straggler}
    return 2.0 * x

def tell(pids):
    print(*pids, time.monotonic(), flush=True)

if __name__ == "__main__":
    """


def write_program(path, main, straggler="time.sleep(600.0)"):
    """Write a program whose main part is `main`."""
    text = PROGRAM.format(straggler=straggler) + main.strip().replace("\n", "\n    ")
    path.write_text(text + "\n")
    return path


def run_program(program, sign):
    """Give the seconds from what the program told last to its end, and how it ended.

    The end is when nobody holds its output open: neither the program nor any worker.
    """
    sign.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, program, sign],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([".", *filter(None, sys.path)])},
    )
    ended = time.monotonic()  # the same clock in all processes
    assert done.stdout, done.stderr
    *pids, told = done.stdout.split()
    wait_until_gone([int(pid) for pid in pids])
    return ended - float(told), done


def check_exits_at_once(program, sign, status=0, words=""):
    """Run a program that ends in less than a second, as it should and with no other complaint.

    The best of a few tries counts: the claim is about what exit does, not about how busy the
    machine is meanwhile.
    """
    for _ in range(TRIES):
        seconds, done = run_program(program, sign)
        assert done.returncode == status, done.stderr
        assert words in done.stderr
        if status != -signal.SIGKILL:  # after which Python's resource tracker has to clean up
            assert done.stderr.count("Traceback") == bool(words), done.stderr
            assert words or not done.stderr
        if seconds < AT_ONCE:
            return
    raise AssertionError(f"the program took {seconds:.2f} s to end, {TRIES} times")


# One worker busy, one frozen, one idle, and a call that did not wait for the first two.
CALL = """
workers = LocalWorkers(3{more})
workers.wait(WAIT)
pids = workers.pids
os.kill(pids[1], signal.SIGSTOP)
scheme = ReplicationScheme(3, 3, n_stragglers=2, fallback="mean")
{call}
wait_for_file(sys.argv[1])
tell(pids)
"""
MAP = """
result = coded_map(fall_behind, np.arange(3.0), scheme, workers.executors, wait_for=1)
assert result.responders.tolist() == [2]
"""
MODEL = """
model = CodedModel(fall_behind, scheme, workers.executors, wait_for=1, timeout=WAIT)
assert model.run(np.arange(3.0)).results[0].responders.tolist() == [2]
"""
HOLDS_THE_GIL = "sum(range(1 << 60))"
ENDS = {
    "falls off the end": ("", 0, ""),
    "closes": ("workers.close()", 0, ""),
    "exits": ("sys.exit(3)", 3, ""),
    "raises": ("raise ArithmeticError('the end')", 1, "ArithmeticError: the end"),
    "is interrupted": (
        "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(600.0)",
        -signal.SIGINT,
        "KeyboardInterrupt",
    ),
}


def call_and_end(tmp_path, end, call=MAP, straggler="time.sleep(600.0)", more=""):
    last, status, words = ENDS[end]
    main = CALL.format(call=call.strip(), more=more) + last
    program = write_program(tmp_path / "program.py", main, straggler)
    check_exits_at_once(program, tmp_path / "started", status, words)


@pytest.mark.parametrize("end", ENDS)
def test_a_program_with_stragglers_exits_at_once(end, tmp_path):
    call_and_end(tmp_path, end)


@pytest.mark.parametrize("end", ["falls off the end", "closes", "is interrupted"])
@pytest.mark.parametrize("straggler", ["time.sleep(600.0)", HOLDS_THE_GIL], ids=["sleeps", "GIL"])
def test_a_program_with_a_coded_model_exits_at_once(straggler, end, tmp_path):
    call_and_end(tmp_path, end, MODEL, straggler)


@pytest.mark.parametrize("end", ["falls off the end", "closes"])
def test_a_program_whose_workers_hold_the_gil_exits_at_once(end, tmp_path):
    call_and_end(tmp_path, end, straggler=HOLDS_THE_GIL)


@pytest.mark.parametrize("end", ["falls off the end", "closes"])
def test_a_program_whose_workers_have_imported_torch_exits_at_once(end, tmp_path):
    more = ', initializer=importlib.import_module, initargs=("torch",)'
    call_and_end(tmp_path, end, more=more)


@pytest.mark.parametrize("state", ["idle", "starting", "frozen", "busy", "queued"])
def test_a_program_exits_at_once_without_any_call(state, tmp_path):
    submit = "workers.executors[0].submit"
    behind = f"{submit}(fall_behind, 0.0)\nwait_for_file(sys.argv[1])"
    make = {
        "idle": "workers.wait(WAIT)",
        "starting": "",
        "frozen": f"workers.wait(WAIT)\nos.kill(pids[0], signal.SIGSTOP)\n{submit}(abs, 1)",
        "busy": behind,
        "queued": f"{behind}\nqueued = [{submit}(time.sleep, 600.0) for _ in range(3)]",
    }
    main = f"workers = LocalWorkers(2)\npids = workers.pids\n{make[state]}\ntell(pids)"
    program = write_program(tmp_path / "program.py", main)
    check_exits_at_once(program, tmp_path / "started")


@pytest.mark.parametrize("straggler", ["time.sleep(600.0)", HOLDS_THE_GIL], ids=["sleeps", "GIL"])
def test_all_workers_end_with_a_killed_program(straggler, tmp_path):
    main = CALL.format(call=MAP.strip(), more="") + "os.kill(os.getpid(), signal.SIGKILL)"
    program = write_program(tmp_path / "program.py", main, straggler)
    check_exits_at_once(program, tmp_path / "started", -signal.SIGKILL)


def test_a_program_without_main_guard_is_told_and_ends(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from coded import LocalWorkers\nwith LocalWorkers(1) as workers:\n    workers.wait(20)\n"
    )
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert done.returncode == 1
    assert 'must be guarded by if __name__ == "__main__":' in done.stderr


def test_a_fork_of_the_owner_does_not_kill_its_workers(tmp_path):
    main = """
workers = LocalWorkers(1)
workers.wait(WAIT)
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
assert workers.executors[0].submit(abs, -1).result(WAIT) == 1
tell(workers.pids)
"""
    # Of the fork's exit multiprocessing itself complains.
    _, done = run_program(write_program(tmp_path / "program.py", main), tmp_path / "started")
    assert done.returncode == 0, done.stderr


def test_a_process_that_a_server_has_spawned_ends_well_with_its_workers():
    """Its main thread joins the workers' processes while their own threads let go of them."""
    spawn = multiprocessing.get_context("spawn")
    for _ in range(5):
        process = spawn.Process(target=leave_workers)
        process.start()
        process.join(WAIT)
        assert process.exitcode == 0


def test_a_process_that_a_server_has_spawned_ends_in_spite_of_a_frozen_worker():
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=leave_a_worker_frozen, args=(theirs,))
    process.start()
    assert ours.poll(WAIT)
    pid = ours.recv()
    try:
        ours.send("end")
        process.join(WAIT)
        assert process.exitcode == 0
        wait_until_gone([pid])
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)
        process.join(WAIT)
