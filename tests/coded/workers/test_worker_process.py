"""One spawned process by itself: who may signal it, and when."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import pytest

from coded.workers import worker_process
from coded.workers.worker_process import WorkerProcess, _single_threaded_children
from tests.support.meanwhile import MOMENT, Meanwhile
from tests.support.worker_functions import WAIT


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="the system has no process groups")
def test_a_process_that_may_be_gone_is_never_signalled(monkeypatch):
    """Its number may be another one's once it was reaped, which `end` does while others kill it.

    The clock of `end` is read between its own signal and its reaping: then another thread comes
    just as far as the signal.
    """
    killpg, signalled, ended = os.killpg, threading.Event(), threading.Event()
    late = []

    def send(pid, number):
        if threading.current_thread() is not threading.main_thread():
            signalled.set()
            ended.wait(MOMENT)  # it cannot end, while a lock keeps it from that
            late.append(ended.is_set())
        killpg(pid, number)

    with ThreadPoolExecutor(1) as other:
        killing = []

        def read_clock():
            if not killing:
                killing.append(other.submit(process.kill))
                assert signalled.wait(WAIT)
            return perf_counter()

        process = WorkerProcess(None, ())
        monkeypatch.setattr(os, "killpg", send)
        monkeypatch.setattr(worker_process, "perf_counter", read_clock)
        assert process.end() == f"was killed by {signal.SIGKILL.name}"
        ended.set()
        killing[0].result(WAIT)
        assert late == [False]
        process.kill()
        assert other.submit(process.kill).result(WAIT) is None
    assert late == [False], "a process that was reaped was signalled"


def test_a_start_keeps_its_variables_while_another_one_ends(monkeypatch):
    for name in (names := ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("VECLIB_MAXIMUM_THREADS", raising=False)
    first_has_ended, seen = threading.Event(), []

    def start():
        with _single_threaded_children():
            assert first_has_ended.wait(WAIT)
            seen.extend(os.environ.get(name) for name in names)

    other = Meanwhile(start)
    with _single_threaded_children():
        other()
    first_has_ended.set()
    other.finish()
    assert seen == ["1"] * 3
    assert not any(name in os.environ for name in names)
