"""Workers that are late, killed or frozen, on purpose: what happens to one task of one worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_LOOK_SECONDS = 0.005  # how often a late worker looks whether it is still waited for


@dataclass(frozen=True)
class Fault:
    """What happens to a task.

    Parameters
    ----------
    seconds : float
        The answer is held back for so long.
    release : Path
        Once this file exists the answer is held back no longer: a late worker is idle again
        soon after its round, so that rounds do not run into each other.
    signal : signal.Signals, optional
        Sent by the process to itself in the middle of the task: SIGKILL ends it, SIGSTOP
        freezes it.
    signal_seconds : float, optional
        When that is.
    """

    seconds: float
    release: Path
    signal: signal.Signals | None = None
    signal_seconds: float = 0.0

    def suffer(self) -> None:
        """Go through it, in the worker's process."""
        if self.signal is not None:
            time.sleep(self.signal_seconds)
            os.kill(os.getpid(), self.signal)
        end = time.perf_counter() + self.seconds
        while (left := end - time.perf_counter()) > 0 and not self.release.exists():
            time.sleep(min(left, _LOOK_SECONDS))


class FaultyExecutor(Executor):
    """An executor whose tasks suffer a fault; the processes stay the owner's.

    Parameters
    ----------
    executor : Executor
        Where the tasks go.
    fault : Fault
        What happens to each of them.
    """

    def __init__(self, executor: Executor, fault: Fault) -> None:
        self._executor, self._fault = executor, fault

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a task."""
        return self._executor.submit(_Late(fn, self._fault), *args, **kwargs)


@dataclass(frozen=True)
class _Late(Generic[P, T]):
    """A function whose answer is there when the fault is over; runs in the worker's process."""

    fn: Callable[P, T]
    fault: Fault

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        answer = self.fn(*args, **kwargs)
        self.fault.suffer()
        return answer
