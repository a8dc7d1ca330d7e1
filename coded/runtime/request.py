"""What one call is asked, checked at the door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from inspect import iscoroutinefunction
from typing import Any

from coded.arguments import read_count
from coded.runtime.futures import is_dask
from coded.runtime.goal import Goal, WaitFor, count
from coded.runtime.terms import Terms
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
    goal : callable
        From the job to what is waited for.
    terms : Terms
        All else; checked.
    """

    fn: Function
    operands: tuple[Any, ...]
    code: Code
    executors: Sequence[Executor]
    goal: Callable[[Job], Goal]
    terms: Terms

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
    terms: Terms,
) -> Request:
    """Check what does not depend on the operands; see `coded_map` for what is raised."""
    if not callable(fn):
        raise TypeError(f"fn must be callable, got {fn!r}; pass the function, not its result")
    executors = _read_executors(executor)
    if iscoroutinefunction(fn) and not hasattr(executors[0], "runs_coroutines"):
        raise TypeError(
            f"fn is an async function, {fn!r}, which executors do not await; leave out the "
            "executor of coded_map_async, or pass a function that runs it by asyncio.run"
        )
    require_sendable(fn, executors)
    goal, terms = read_wait_for(terms.wait_for, code), terms.checked()
    if terms.hedge_after == "p95" and terms.latencies is None:
        from coded.runtime.latencies import latencies_of

        terms = replace(terms, latencies=latencies_of(executors[0]))
    return Request(fn, operands, code, executors, goal, terms)


def read_wait_for(wait_for: WaitFor, code: Code) -> Callable[[Job], Goal]:
    """Give what makes a goal of what the caller waits for, after checks."""
    if wait_for is None:
        return _goal_of_job
    if isinstance(wait_for, str):
        if wait_for != "exact":
            raise ValueError(
                f'wait_for must be a number of answers, "exact", a predicate of the responders or '
                f'None, got {wait_for!r}; "exact" waits for an exact answer to every input'
            )
        return _exactly
    if callable(wait_for):
        goal = Goal(1, "the predicate wait_for", wait_for)
    else:
        goal = count(read_count(wait_for, "wait_for", at_least=1, at_most=code.n_workers))
    return lambda _: goal


def _goal_of_job(job: Job) -> Goal:
    """Give what is waited for where the caller does not say."""
    return _exactly(job) if getattr(job, "exact_first", False) else count(job.min_responders)


def _exactly(job: Job) -> Goal:
    from coded.runtime.exact_goal import exact_goal  # needed by codes of copies alone

    return exact_goal(job)


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
