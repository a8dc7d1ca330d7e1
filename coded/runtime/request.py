"""What one call is asked, checked at the door."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from numbers import Real
from typing import Any, SupportsIndex

from coded.runtime.futures import is_dask
from coded.runtime.goal import Goal, IsEnough, read_wait_for
from coded.schemes.job import Code, Job
from coded.schemes.protocol import Function


@dataclass(frozen=True, eq=False)
class Request:
    """One call as its caller asks for it; nothing has been encoded or submitted.

    Attributes
    ----------
    fn : callable
        f, or what `Job.function` makes of it.
    operands : tuple
        What the code prepares.
    code : Code
        The code.
    executors : sequence of Executor
        Worker n is ``executors[n % len(executors)]``.
    goal : Goal or None
        What is waited for; None leaves it to the job.
    timeout : float or None
        In seconds from the first submission on.
    on_answer : callable or None
        Called with worker and latency for each answer.
    """

    fn: Function
    operands: tuple[Any, ...]
    code: Code
    executors: Sequence[Executor]
    goal: Goal | None
    timeout: float | None
    on_answer: Callable[[int, float], object] | None = None

    def prepare(self) -> Job:
        """Check and encode the operands, and refuse functions that cannot be sent."""
        job = self.code.prepare(*self.operands)
        if len(job.payloads) != self.code.n_workers:
            raise ValueError(
                f"{self.code!r} must give a payload to each of its {self.code.n_workers} workers, "
                f"but prepared {len(job.payloads)}"
            )
        functions = (job.function(n, self.fn) for n in range(len(job.payloads)))
        for other in {id(one): one for one in functions if one is not self.fn}.values():
            require_sendable(other, self.executors)
        return job


def read_request(
    fn: Function,
    operands: tuple[Any, ...],
    code: Code,
    executor: Executor | Sequence[Executor],
    *,
    wait_for: SupportsIndex | IsEnough | None,
    timeout: float | None,
    on_answer: Callable[[int, float], object] | None = None,
) -> Request:
    """Check what does not depend on the operands; see `coded_map` for what is raised."""
    if on_answer is not None and not callable(on_answer):
        raise TypeError(f"on_answer must be callable or None, got {on_answer!r}; pass a function")
    if not callable(fn):
        raise TypeError(f"fn must be callable, got {fn!r}; pass the function, not its result")
    executors = _read_executors(executor)
    require_sendable(fn, executors)
    seconds, goal = _read_timeout(timeout), read_wait_for(wait_for, code)
    return Request(fn, operands, code, executors, goal, seconds, on_answer)


def require_sendable(fn: Function, executors: Sequence[Executor]) -> None:
    """Raise TypeError where executors can tell that a function cannot be sent to their processes.

    Those of `LocalWorkers` can; all of them say the same, so that the first one is asked.
    """
    for executor in executors:
        check = getattr(executor, "require_sendable", None)
        if check is not None:
            check(fn)
            return


def _read_executors(executor: Executor | Sequence[Executor]) -> Sequence[Executor]:
    """Give the executors as a list that a replaced worker does not change meanwhile."""
    if isinstance(executor, Executor):
        executor = [executor]
    if not isinstance(executor, Sequence) or not all(isinstance(one, Executor) for one in executor):
        raise TypeError(
            "executor must be a concurrent.futures.Executor or a sequence of them, got "
            f"{type(executor).__name__}; pass .executors of LocalWorkers, and "
            "client.get_executor(pure=False) of a Dask client"
        )
    if not executor:
        raise ValueError("executor must hold at least one Executor, got an empty sequence")
    for one in executor:
        _require_separate_tasks(one)
    return list(executor)


def _require_separate_tasks(executor: Executor) -> None:
    """Refuse Dask's executor without pure=False, which gives equal tasks one run and one fate."""
    if is_dask(executor) and getattr(executor, "_kwargs", {"pure": False}).get("pure", True):
        raise ValueError(
            "executor merges equal coded inputs into one task, so that copies are no longer "
            "copies; make it by client.get_executor(pure=False)"
        )


def _read_timeout(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(
            f"timeout must be a number of seconds or None, got {timeout!r}; "
            "None waits without limit"
        )
    if not 0.0 < timeout <= threading.TIMEOUT_MAX:
        raise ValueError(
            f"timeout must be a positive, finite number of seconds, got {timeout}; "
            "None waits without limit"
        )
    return float(timeout)
