"""Which executor was asked for which task of one call, and the futures of that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from coded.runtime.futures import cancel_aside, is_dask, submit
from coded.runtime.lateness import Question, Tasks, tasks_of
from coded.schemes.job import Job
from coded.schemes.protocol import Function

if TYPE_CHECKING:
    from coded.runtime.latencies import Latencies

Arrival: TypeAlias = tuple[int, float]  # an attempt and when it ended


class Attempts:
    """The attempts at the N tasks of a call; that with number n < N is the first at task n.

    Parameters
    ----------
    job, fn, executors
        What is asked, and who can be.
    announce : callable
        ``announce((attempt, moment))`` when one has ended, in whichever thread that happens.
    latencies : Latencies or None
        Gets the seconds of each that was answered, also after the call.
    """

    def __init__(
        self,
        job: Job,
        fn: Function,
        executors: Sequence[Executor],
        announce: Callable[[Arrival], object],
        latencies: Latencies | None,
    ) -> None:
        self._job, self._fn, self._announce, self._latencies = job, fn, announce, latencies
        self.executors = executors
        # A lone executor is asked in any case, so that nobody needs to know its tasks.
        self._given = [tasks_of(one) if len(executors) > 1 else None for one in executors]
        self.question = Question()
        self._futures: dict[int, Future[Any]] = {}
        self._last = len(job.payloads) - 1
        self._task: dict[int, int] = {}  # of attempts that are no first ones
        self.at: dict[int, int] = {}  # which executor each attempt went to
        self._began: dict[int, float] = {}
        self.tried: defaultdict[int, list[int]] = defaultdict(list)  # each task's attempts
        self.out: defaultdict[int, set[int]] = defaultdict(set)  # those not ended
        self.failed: set[int] = set()  # executors that failed once, or were overtaken

    def give(self, n: int, to: int) -> None:
        """Ask executor `to` for task n."""
        attempt = n
        if self.tried[n]:
            attempt = self._last = self._last + 1
            self._task[attempt] = n
        executor, given = self.executors[to], self._given[to]
        fn, payload = self._job.function(n, self._fn), self._job.payloads[n]
        turn = 0 if given is None else given.expect(self.question)
        began = self._began[attempt] = perf_counter()
        self.at[attempt] = to
        self.tried[n].append(attempt)
        self.out[n].add(attempt)
        # One statement: a Ctrl-C would come between two, and the task be lost from sight.
        self._futures[attempt] = submit(executor, fn, payload)
        self._futures[attempt].add_done_callback(
            partial(_tell, self._announce, (attempt, began), given, turn, self._latencies)
        )
        if given is not None:
            given.add(self._futures[attempt], turn, self.question)

    def task_of(self, attempt: int) -> int:
        """Give the task of an attempt."""
        return self._task.get(attempt, attempt)

    def first_began(self, n: int) -> float:
        """When a task was first asked for."""
        return self._began[self.tried[n][0]]

    def last_began(self, n: int) -> float:
        """When a task was last asked for."""
        return self._began[self.tried[n][-1]]

    def end(self, attempt: int) -> Future[Any] | None:
        """Give the future of an attempt that has ended, and count it out; None if told twice."""
        self.out[self.task_of(attempt)].discard(attempt)
        return self._futures.pop(attempt, None)

    def is_queued(self, n: int) -> bool:
        """Whether no executor has begun with a task, as far as futures tell."""
        return not any(self._futures[attempt].running() for attempt in self.out[n])

    def withdraw(self, n: int, answered: int = 0) -> None:
        """Cancel what of a task is still out; those asked before the answered one are overtaken."""
        out = [attempt for attempt in self.out[n] if attempt in self._futures]
        if out:
            self.failed |= {self.at[a] for a in out if a < answered}  # they may be frozen
            # Let go of last: what a Ctrl-C leaves, `cancel` cancels.
            self._cancel({attempt: self._futures[attempt] for attempt in out})
            for attempt in out:
                self._futures.pop(attempt, None)
        self.out[n].clear()

    def cancel(self) -> None:
        """Cancel all that is queued, and let go of all futures: late answers are then freed.

        May be called again, to finish what a Ctrl-C has interrupted.
        """
        self.question.end()
        self._cancel(self._futures)
        self._futures.clear()

    def _cancel(self, futures: dict[int, Future[Any]]) -> None:
        """Cancel futures; those of Dask in a thread.

        There each cancellation waits for the client's event loop, which hears nobody for a second
        or two while it receives hundreds of megabytes.
        """
        on_dask = {a for a in futures if is_dask(self.executors[self.at[a]])}
        if on_dask:
            cancel_aside([futures[a] for a in on_dask])
        for attempt, future in futures.items():
            if attempt not in on_dask:
                future.cancel()


def _tell(
    announce: Callable[[Arrival], object],
    began: Arrival,
    given: Tasks | None,
    turn: int,
    latencies: Latencies | None,
    future: Future[Any],
) -> None:
    """Tell that an attempt has ended; runs in a thread of the executor, and keeps no call alive."""
    attempt, start = began
    announce((attempt, moment := perf_counter()))
    if given is not None:
        given.drop(future, turn)
    if latencies is not None:
        latencies.add(future, moment - start)
