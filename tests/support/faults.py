"""What can go wrong with one worker of four, and what a call then says, on whichever engine."""

import asyncio
import gc
import os
import resource
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from coded import (
    MDSMatmulCode,
    NotEnoughRespondersError,
    ReplicationScheme,
    coded_map,
    coded_map_async,
    coded_matmul,
)
from tests.support.worker_functions import WAIT, double, wait_for_file

INPUTS = np.array([0.0, 1.0, 2.0, 3.0])


class Copies(ReplicationScheme):
    """Copies of which a call waits for `min_responders`, as of codes that have no exact answers."""

    exact_first = False


FOUR = Copies(4, 4, n_stragglers=1, fallback="mean")  # worker n holds input n
QUICK = 10.0  # seconds; what takes milliseconds takes less than this on the busiest machine


def awaited_map(*args, **kwargs):
    """Call coded_map_async from a loop of its own."""
    return asyncio.run(coded_map_async(*args, **kwargs))


CALLS = [coded_map, awaited_map]


@dataclass(frozen=True)
class Fault:
    """A worker function that doubles, but not 0: whoever gets that misbehaves."""

    name: str
    misbehave: Callable[[Path], object]
    error: type[BaseException] | None = None  # None: the engine's own
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
    used = psutil.Process().memory_info().vms
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


def exit_by_name(_):
    raise SystemExit("the worker wants to leave")


def interrupt_itself(_):
    raise KeyboardInterrupt("not from a keyboard")


def recurse(_):
    return recurse(_)


def lie_as_it_is_read(_):
    return Sulking()


class Sulking:
    """An answer that raises whatever is asked of it."""

    def __getattr__(self, name):
        raise RuntimeError("ask somebody else")


def raise_untellable(_):
    raise UntellableError


class UntellableError(Exception):
    """An error whose text cannot be had, as of those that lose attributes when pickled."""

    def __str__(self):
        return self.lost_when_pickled


def raise_locked(_):
    raise ArithmeticError(threading.Lock())


def raise_unreadable(_):
    raise UnreadableError(1, 2)


class UnreadableError(Exception):
    """An error that pickles, but cannot be unpickled."""

    def __init__(self, _, two):  # noqa: ARG002 (what makes it unreadable)
        super().__init__("one argument, not two")


def answer_unreadable(_):
    return Unreadable()


class Unreadable:
    """An answer that pickles, but cannot be unpickled."""

    def __getstate__(self):
        return {"some": "state"}

    def __setstate__(self, state):
        raise ArithmeticError("cannot be unpickled")


def answer_unknown(_):
    """Give an object of a class that only this worker has."""
    sys.modules["only_there"] = there = types.ModuleType("only_there")
    there.Answer = type("Answer", (), {"__module__": "only_there"})
    return there.Answer()


def answer_hugely(_):
    return np.zeros(100 << 17)  # 100 MB


def leave(_):
    os._exit(0)


FAULTS = [  # of which every engine says the same
    Fault("raises", raise_error, ArithmeticError, "zero is hard"),
    Fault("out of memory", exhaust_memory, MemoryError, "Unable to allocate"),
    Fault("NaN", answer_nan, ValueError, "nan"),
    Fault("text", answer_text, ValueError, "shape () of objects"),
]
WORSE_FAULTS = [  # of which the stdlib's engines do
    Fault("exits", exit_by_name, SystemExit, "the worker wants to leave"),
    Fault("interrupts itself", interrupt_itself, KeyboardInterrupt, "not from a keyboard"),
    Fault("recurses", recurse, RecursionError, "maximum recursion depth"),
    Fault("untellable error", raise_untellable, UntellableError),
    Fault("huge answer", answer_hugely, ValueError, "shape (13107200,), most others have ()"),
]
UNREADABLE_FAULTS = [  # here; a stdlib pool gives its process up then
    Fault("unreadable answer", answer_unreadable, words="cannot be unpickled"),
    Fault("unreadable error", raise_unreadable, words="required positional argument"),
    Fault("unknown class", answer_unknown, words="only_there"),
]
SULKING = Fault("sulks", lie_as_it_is_read, RuntimeError, "ask somebody else")
LOCKED_ERROR = Fault("unpicklable error", raise_locked, TypeError, "pickle")
LEAVES = Fault("leaves", leave)
UNPICKLABLE = Fault("unpicklable", answer_a_lock, TypeError, "pickle")
KILLED = Fault("killed", die)
FROZEN = Fault("frozen", freeze, TimeoutError, "no answer within")
LATE = Fault("late", answer_late)


def check_lost(fault, executors, error=None, *, timeout=WAIT, call=coded_map):
    """The answer of worker 0 is lost, told as it should be, and nothing else is."""
    started = time.perf_counter()
    result = call(fault, INPUTS, FOUR, executors, wait_for=4, timeout=timeout)
    assert time.perf_counter() - started < timeout + QUICK
    assert not result.complete
    assert list(result.failures) == [0], result.failures
    assert isinstance(result.failures[0], error or fault.error), result.failures
    assert fault.words in tell(result.failures[0])
    check_answers(result)

    wait_until_idle(executors, but=[0])  # that call may have ended before all have answered
    result = call(fault, INPUTS, FOUR, executors, wait_for=3, timeout=WAIT)
    assert result.complete, result
    assert result.responders.tolist() == [1, 2, 3]
    assert set(result.failures) <= {0}
    check_answers(result)


def answer_vector_first(heard, coded_input):
    if coded_input == 0.0:
        return np.zeros(3)
    wait_for_file(heard)
    return 2.0 * coded_input


def check_wrong_shape(executors, tmp_path, call=coded_map):
    """Of two shapes the one that most answers have is believed, also where it comes last."""
    for wait_for in (3, 4):  # of which the second cannot be had
        heard = tmp_path / f"heard {wait_for}"
        result = call(
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
        wait_until_idle(executors)


def check_frozen(executors, tmp_path, call=coded_map, timeout=3.0):
    """A frozen worker costs the first call its timeout, the others nothing, and comes back."""
    fault = replace(FROZEN, sign=tmp_path / "pid")
    check_well(executors)  # all have started: that may take longer than the timeout
    try:
        check_lost(fault, executors, timeout=timeout, call=call)
    finally:
        wait_for_file(fault.sign)
        os.kill(int(fault.sign.read_text()), signal.SIGCONT)
    check_well(executors)


def check_late(executors, tmp_path, call=coded_map):
    """A slow worker is not waited for, and its late answer does not reach the next call."""
    fault = replace(LATE, sign=tmp_path / "release")
    result = call(fault, INPUTS, FOUR, executors, wait_for=3, timeout=WAIT)
    assert result.complete
    assert result.failures == {}
    assert result.responders.tolist() == [1, 2, 3]
    check_answers(result)
    fault.sign.touch()
    check_well(executors)


def check_all_killed(executors, call=coded_map):
    """That nobody is left is told at once."""
    started = time.perf_counter()
    with pytest.raises(NotEnoughRespondersError, match="4 failed") as caught:
        call(KILLED, np.zeros(4), FOUR, executors, wait_for=1, timeout=WAIT)
    assert time.perf_counter() - started < QUICK
    assert sorted(caught.value.failures) == [0, 1, 2, 3]
    assert caught.value.__cause__ in caught.value.failures.values()


def check_interrupted(executors, tmp_path, call=coded_map):
    """Ctrl-C ends the call at once, and the workers serve the next one."""
    fault = replace(LATE, sign=tmp_path / "release")
    interrupt = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    started = time.perf_counter()
    interrupt.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call(fault, np.zeros(4), FOUR, executors, timeout=WAIT)
    finally:
        interrupt.cancel()  # where the call ended otherwise
    assert time.perf_counter() - started < QUICK
    fault.sign.touch()
    check_well(executors)


def wait_until_idle(executors, but=()):
    """Wait until workers that say whether they are busy are not."""
    if not isinstance(executors, Sequence):
        return
    deadline = time.monotonic() + WAIT
    while any(getattr(one, "busy", False) for n, one in enumerate(executors) if n not in but):
        assert time.monotonic() < deadline
        time.sleep(0.005)


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
    """What this process has open; its shared memory on Linux only, where files show it."""
    me = psutil.Process()
    holdings = {
        "files": me.num_fds(),
        "threads": me.num_threads(),
        "processes": len(me.children(recursive=True)),
    }
    if sys.platform == "linux":
        holdings["shared memory"] = Path("/proc/self/maps").read_text().count("/dev/shm")
    return holdings


def check_answers(result):
    """Those who answered are right and exact; worker 0 is not among them."""
    answered = result.responders
    assert len(answered)
    assert 0 not in answered
    assert np.array_equal(np.flatnonzero(result.exact), answered)
    assert np.array_equal(result.outputs[answered], 2.0 * INPUTS[answered])
    assert np.isclose(result.outputs[0], 2.0 * INPUTS[answered].mean())


def tell(error):
    """Give the text of an error, and of its cause, in which engines put a remote traceback."""
    try:
        return f"{error} {error.__cause__ or ''}"
    except AttributeError:  # an UntellableError
        return ""


def check_placed(executors):
    """An operand that is placed is sent once, and again to a worker that was replaced."""
    code = MDSMatmulCode(3, 4)
    a, b = np.random.default_rng(0).normal(size=(2, 60, 60))
    placed = code.place(a)
    for factor in (1.0, 2.0):
        result = coded_matmul(placed, factor * b, code, executors, wait_for=4, timeout=WAIT)
        np.testing.assert_allclose(result.outputs, factor * a @ b, atol=1e-11)
    executors[0].submit(kill_me).exception(WAIT)
    for _ in range(2):
        result = coded_matmul(placed, b, code, executors, wait_for=4, timeout=WAIT, retries=2)
        np.testing.assert_allclose(result.outputs, a @ b, atol=1e-11)
    assert result.complete


def kill_me():
    """End the process that runs this."""
    os.kill(os.getpid(), signal.SIGKILL)
