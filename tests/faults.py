"""What can go wrong with one worker of four, and what a call then says, on whichever engine."""

import gc
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from coded import NotEnoughRespondersError, ReplicationScheme, coded_map
from tests.worker_functions import WAIT, double, wait_for_file

INPUTS = np.array([0.0, 1.0, 2.0, 3.0])
FOUR = ReplicationScheme(4, 4, n_stragglers=1, fallback="mean")  # worker n holds input n
QUICK = 10.0  # seconds; what takes milliseconds takes less than this on the busiest machine


@dataclass(frozen=True)
class Fault:
    """A worker function that doubles, but not 0: whoever gets that misbehaves."""

    name: str
    misbehave: Callable[[Path], object]
    error: type[Exception] | None = None  # None: the engine's own
    words: str = ""
    sign: Path = Path()  # a file that a fault may leave or wait for

    def __call__(self, coded_input):
        return self.misbehave(self.sign) if np.all(coded_input == 0.0) else 2.0 * coded_input

    def __str__(self):
        return self.name


def raise_error(_):
    raise ArithmeticError("zero is hard")


def exhaust_memory(_):
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), limits[1]))
    try:
        return np.ones(1 << 28)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def answer_nan(_):
    return np.nan


def answer_text(_):
    return "zero"


def answer_a_lock(_):
    return threading.Lock()


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def freeze(sign):
    if sign.exists():  # this worker was frozen and goes on, with what was queued meanwhile
        return 0.0
    unfinished = sign.with_suffix(".unfinished")
    unfinished.write_text(str(os.getpid()))
    unfinished.rename(sign)
    os.kill(os.getpid(), signal.SIGSTOP)
    return 0.0


def answer_late(sign):
    wait_for_file(sign)
    return -1.0


FAULTS = [  # of which every engine says the same
    Fault("raises", raise_error, ArithmeticError, "zero is hard"),
    Fault("out of memory", exhaust_memory, MemoryError, "Unable to allocate"),
    Fault("NaN", answer_nan, ValueError, "nan"),
    Fault("text", answer_text, TypeError, "answer must hold real numbers"),
]
UNPICKLABLE = Fault("unpicklable", answer_a_lock, TypeError, "pickle")
KILLED = Fault("killed", die)
FROZEN = Fault("frozen", freeze, TimeoutError, "no answer within")
LATE = Fault("late", answer_late)


def check_lost(fault, executors, error=None, *, timeout=WAIT):
    """The answer of worker 0 is lost, told as it should be, and nothing else is."""
    started = time.perf_counter()
    result = coded_map(fault, INPUTS, FOUR, executors, wait_for=4, timeout=timeout)
    assert time.perf_counter() - started < timeout + QUICK
    assert not result.complete
    assert list(result.failures) == [0]
    assert isinstance(result.failures[0], error or fault.error), result.failures
    assert fault.words in str(result.failures[0])
    check_answers(result)

    result = coded_map(fault, INPUTS, FOUR, executors, wait_for=3, timeout=WAIT)
    assert result.complete
    assert result.responders.tolist() == [1, 2, 3]
    assert set(result.failures) <= {0}
    check_answers(result)


def answer_vector_first(heard, coded_input):
    if coded_input == 0.0:
        return np.zeros(3)
    wait_for_file(heard)
    return 2.0 * coded_input


def check_wrong_shape(executors, tmp_path):
    """Of two shapes the one that most answers have is believed, also where it comes last."""
    for wait_for in (3, 4):  # of which the second cannot be had
        heard = tmp_path / f"heard {wait_for}"
        result = coded_map(
            partial(answer_vector_first, heard),
            INPUTS,
            FOUR,
            executors,
            wait_for=wait_for,
            timeout=WAIT,
            on_answer=lambda n, _, heard=heard: n == 0 and heard.touch(),
        )
        assert result.complete == (wait_for == 3)
        assert list(result.failures) == [0]
        assert str(result.failures[0]) == "answer has shape (3,), most others have ()"
        assert len(result.responders) >= 2
        check_answers(result)


def check_frozen(executors, tmp_path):
    """A frozen worker costs the first call its timeout, the others nothing, and comes back."""
    fault = replace(FROZEN, sign=tmp_path / "pid")
    try:
        check_lost(fault, executors, timeout=3.0)
    finally:
        wait_for_file(fault.sign)
        os.kill(int(fault.sign.read_text()), signal.SIGCONT)
    check_well(executors)


def check_late(executors, tmp_path):
    """A slow worker is not waited for, and its late answer does not reach the next call."""
    fault = replace(LATE, sign=tmp_path / "release")
    result = coded_map(fault, INPUTS, FOUR, executors, wait_for=3, timeout=WAIT)
    assert result.complete
    assert result.failures == {}
    assert result.responders.tolist() == [1, 2, 3]
    check_answers(result)
    fault.sign.touch()
    check_well(executors)


def check_all_killed(executors):
    """That nobody is left is told at once."""
    started = time.perf_counter()
    with pytest.raises(NotEnoughRespondersError, match="4 failed") as caught:
        coded_map(KILLED, np.zeros(4), FOUR, executors, wait_for=1, timeout=WAIT)
    assert time.perf_counter() - started < QUICK
    assert sorted(caught.value.failures) == [0, 1, 2, 3]
    assert caught.value.__cause__ in caught.value.failures.values()


def check_interrupted(executors, tmp_path):
    """Ctrl-C ends the call at once, and the workers serve the next one."""
    fault = replace(LATE, sign=tmp_path / "release")
    interrupt = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    started = time.perf_counter()
    interrupt.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            coded_map(fault, np.zeros(4), FOUR, executors, timeout=WAIT)
    finally:
        interrupt.cancel()  # where the call ended otherwise
    assert time.perf_counter() - started < QUICK
    fault.sign.touch()
    check_well(executors)


def check_well(executors):
    """All workers answer."""
    result = coded_map(double, INPUTS, FOUR, executors, wait_for=4, timeout=WAIT)
    assert result.complete, result
    assert result.failures == {}
    assert np.array_equal(result.outputs, 2.0 * INPUTS)


def check_nothing_piles_up(executors):
    """Two hundred calls, each of which leaves a task, cost no file, thread or process for good."""
    for _ in range(10):
        check_well(executors)
    before = count_holdings()
    for _ in range(200):
        result = coded_map(double, INPUTS, FOUR, executors, timeout=WAIT)
        assert result.complete
        assert np.array_equal(result.outputs[result.exact], 2.0 * INPUTS[result.exact])
    check_well(executors)
    gc.collect()
    for name, count in count_holdings().items():
        assert count <= before[name] + 10, name


def count_holdings():
    """What this process has open."""
    me = psutil.Process()
    return {
        "files": me.num_fds(),
        "threads": me.num_threads(),
        "processes": len(me.children(recursive=True)),
        "shared memory": Path("/proc/self/maps").read_text().count("/dev/shm"),
    }


def check_answers(result):
    """Those who answered are right and exact; worker 0 is not among them."""
    answered = result.responders
    assert len(answered)
    assert 0 not in answered
    assert np.array_equal(np.flatnonzero(result.exact), answered)
    assert np.array_equal(result.outputs[answered], 2.0 * INPUTS[answered])
    assert np.isclose(result.outputs[0], 2.0 * INPUTS[answered].mean())
