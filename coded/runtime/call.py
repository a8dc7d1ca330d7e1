"""The tasks of one call over a job, and what becomes of each; knows nothing of clocks' waiting."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import CancelledError, Executor, Future
from functools import partial
from math import inf
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from coded.errors import tell_error
from coded.runtime.agreement import Agreement
from coded.runtime.answers import Reading, read_reals, reading_of
from coded.runtime.fates import not_enough
from coded.runtime.futures import cancel_aside, free_locals, is_dask, submit
from coded.runtime.goal import goal_of
from coded.runtime.lateness import Question, Tasks, is_behind, tasks_of
from coded.runtime.request import Request
from coded.runtime.result import CodedResult, Indices
from coded.schemes.job import Job

Arrival: TypeAlias = tuple[int, float]

_LOG = logging.getLogger(__name__)
_RECALL = 0.5  # seconds, or half the timeout, after which a call asks workers behind too


class WorkerBusyError(RuntimeError):
    """A worker was not asked: it is still at work for an earlier call, or its process starts."""


class Call:
    """The N tasks of one call and what has become of them; used by one thread.

    Parameters
    ----------
    request : Request
        What the caller asked; the timeout counts from now on.
    job : Job
        What `request` prepared.
    announce : callable
        ``announce((worker, moment))`` when a task has ended, in whichever thread that happens.
    """

    def __init__(self, request: Request, job: Job, announce: Callable[[Arrival], object]) -> None:
        n_workers = len(job.payloads)
        self.failures: dict[int, BaseException] = {}
        self.latencies = np.full(n_workers, np.nan)
        self._request = request
        self._job = job
        # Not by isinstance of their protocols, which takes microseconds each.
        self._read: Callable[[int, Any], tuple[Hashable, Any]] = getattr(job, "read", read_reals)
        self._goal = request.goal or goal_of(job)
        self._announce = announce
        self._futures: dict[int, Future[Any]] = {}
        self._on_dask: set[int] = set()
        self._submitted = np.full(n_workers, np.nan)
        self._began = perf_counter()
        self.deadline = inf if request.timeout is None else self._began + request.timeout
        self._question = Question()
        self._waiting: set[int] = set()
        self._reserve: dict[int, Callable[[], None]] = {}
        self._agreement = Agreement()
        self._outcomes: dict[int, tuple[Hashable, Any] | BaseException] = {}  # unless unread
        self._unread: dict[int, Any] = {}  # answers, as they came

    def submit(self) -> None:
        """Submit all tasks, to workers behind only once the others do not suffice."""
        executors = self._request.executors
        order: Sequence[int] = getattr(self._job, "order", range(len(self._job.payloads)))
        behind = [is_behind(executor) for executor in executors]
        # A lone executor is asked in any case, so that nobody needs to know its tasks.
        given = [tasks_of(one) if len(executors) > 1 else None for one in executors]
        busy = {n for n in order if behind[n % len(executors)]}
        idle = np.array(sorted(set(order) - busy), dtype=np.intp)
        if busy and not self._is_enough(idle):
            busy = set()  # queue behind what they are at
        for n in order:
            to = n % len(executors)
            if n in busy:
                self._reserve[n] = partial(self._give, n, executors[to], given[to])
                starts = getattr(executors[to], "starting", False) is True
                what = "starting its process" if starts else "still at work for an earlier call"
                self._fail(n, WorkerBusyError(f"{what}; was not asked"))
            else:
                self._give(n, executors[to], given[to])

    def _give(self, n: int, executor: Executor, given: Tasks | None) -> None:
        fn, payload = self._job.function(n, self._request.fn), self._job.payloads[n]
        turn = 0 if given is None else given.expect(self._question)
        self._submitted[n] = perf_counter()
        self._waiting.add(n)
        if is_dask(executor):
            self._on_dask.add(n)
        # One statement: a Ctrl-C would come between two, and the task be lost from sight.
        self._futures[n] = submit(executor, fn, payload)
        self._futures[n].add_done_callback(partial(_tell, self._announce, n, given, turn))
        if given is not None:
            given.add(self._futures[n], turn, self._question)

    def _give_reserve(self) -> None:
        """Ask the workers behind too: one of the others may be frozen, which nobody can know."""
        while self._reserve:
            n = next(iter(self._reserve))  # in the order of `submit`
            give = self._reserve.pop(n)
            del self.failures[n]
            give()

    def steps(self) -> Generator[float, list[Arrival], bool]:
        """Take answers until the goal is met (True), or nothing is to be gained any more (False).

        Yields the seconds to wait for the next arrival, 0 for those that are there already, and is
        sent all that came. Where the goal is out of reach, because workers are lost, all others
        are still waited for: the more of them, the better the outputs.
        """
        deadline = self.deadline
        recall = min(self._began + _RECALL, (self._began + deadline) / 2.0)
        while True:
            for arrival in (yield 0.0):
                self._take(arrival)
            enough = self._agreement.most >= self._goal.least
            if enough and self._is_enough(self._agreement.responders()):
                return True
            is_in_reach = self._can_become(self._is_enough)
            if self._reserve and (perf_counter() >= recall or not is_in_reach):
                self._give_reserve()
                continue
            if not is_in_reach and self._is_over():
                return False
            until = min(deadline, recall) if self._reserve else deadline
            arrivals = yield max(until - perf_counter(), 0.0)
            for arrival in arrivals:
                self._take(arrival)
            if not arrivals and until == deadline:
                for n in sorted(self._waiting):
                    self._fail(n, TimeoutError(f"no answer within {self._request.timeout:.3g} s"))
                return False

    def fetch(self, n: int) -> Reading | None:
        """Take off its future what a task has come to; how its answer is to be read, if any."""
        future = self._futures.pop(n, None)
        if future is None:  # told twice
            return None
        try:
            error = future.exception()
            if error is None:
                answer = self._unread[n] = future.result()
                return reading_of(answer)
            free_locals(error)
            self._outcomes[n] = error
        except CancelledError:
            self._outcomes[n] = CancelledError("the task was cancelled by its executor")
        except Exception as fault:  # noqa: BLE001 (whatever the futures of an engine raise)
            self._outcomes[n] = fault.with_traceback(None)
        return None

    def read(self, *workers: int) -> None:
        """Read fetched answers before they are taken, in a thread that no Ctrl-C comes to."""
        for n in workers:
            answer = self._unread.pop(n)
            try:
                self._outcomes[n] = self._read(n, answer)
            except BaseException as error:  # noqa: BLE001 (what an answer does when it is read is the worker's doing)
                self._outcomes[n] = error.with_traceback(None)

    def read_aside(self, n: int) -> Future[None]:
        """Read it in a thread of its own, which may take as long as it likes."""
        done: Future[None] = Future()
        # What is said where it is not done in time.
        self._outcomes[n] = TimeoutError("the answer came, but could not be read in time")

        def run() -> None:
            self.read(n)
            done.set_result(None)

        threading.Thread(target=run, name="reads an answer", daemon=True).start()
        return done

    def cancel(self) -> None:
        """Cancel what is still queued, and let go of all futures: late answers are then freed.

        Those of Dask in a thread: each cancellation waits for the client's event loop, which hears
        nobody for a second or two while it receives hundreds of megabytes. May be called again, to
        finish what a Ctrl-C has interrupted.
        """
        self._question.end()
        self._reserve.clear()
        on_dask = [future for n, future in self._futures.items() if n in self._on_dask]
        if on_dask:
            cancel_aside(on_dask)
        for n, future in self._futures.items():
            if n not in self._on_dask:
                future.cancel()
        self._futures.clear()
        self._unread.clear()
        self._outcomes.clear()

    def result(self, *, complete: bool) -> CodedResult:
        """Decode what came, or say that it does not suffice."""
        for n, why in self._agreement.minorities():
            self._fail(n, ValueError(why))
        responders = self._agreement.responders()
        if not complete and not self._can_decode(responders):
            seconds = perf_counter() - self._began
            raise not_enough(
                self._job,
                self._request.fn,
                self._goal,
                responders,
                self.failures,
                self._waiting,
                seconds,
            ) from next(iter(self.failures.values()), None)
        is_straggler = np.ones(len(self.latencies), dtype=np.bool_)
        is_straggler[responders] = False
        self.latencies[is_straggler] = np.nan
        answers, std = self._agreement.answers(responders), None
        if (estimate := getattr(self._job, "decode_with_std", None)) is not None:
            outputs, std = estimate(answers, responders)
        else:
            outputs = self._job.decode(answers, responders)
        return CodedResult(
            outputs=outputs,
            complete=complete,
            responders=responders,
            stragglers=np.flatnonzero(is_straggler),
            latencies=self.latencies,
            failures=self.failures,
            exact=self._job.exact_mask(responders),
            std=std,
        )

    def _take(self, arrival: Arrival) -> None:
        """File the answer of a worker, or its failure."""
        n, moment = arrival
        if n not in self._unread and n not in self._outcomes:  # told twice
            return
        self._waiting.discard(n)
        try:
            if n in self._outcomes:
                outcome = self._outcomes.pop(n)
            else:
                outcome = self._read(n, self._unread.pop(n))
            if not isinstance(outcome, BaseException):
                self._agreement.add(n, *outcome)
        except Exception as unusable:  # noqa: BLE001 (what an answer does when it is read is the worker's doing)
            # Without the traceback, whose frames would keep the answers of this call alive.
            outcome = unusable.with_traceback(None)
        if isinstance(outcome, BaseException):
            self._fail(n, outcome)
            return
        self._question.answer(moment)
        self.latencies[n] = moment - self._submitted[n]
        if self._request.on_answer is not None:
            self._request.on_answer(n, float(self.latencies[n]))

    def _fail(self, n: int, error: BaseException) -> None:
        _LOG.debug("worker %d failed: %s", n, tell_error(error))
        self.failures[n] = error

    def _can_decode(self, responders: Indices) -> bool:
        return len(responders) > 0 and self._job.can_decode(responders)

    def _is_enough(self, responders: Indices) -> bool:
        return self._goal.is_met(responders) and self._can_decode(responders)

    def _is_over(self) -> bool:
        """Whether further answers would change nothing, where the goal is out of reach."""
        if not self._waiting:
            return True
        if self._agreement.is_disputed():
            return False
        responders = self._agreement.responders()
        if self._can_decode(responders):
            return bool(self._job.exact_mask(responders).all())
        return not self._can_become(self._can_decode)

    def _can_become(self, is_enough: Callable[[Indices], bool]) -> bool:
        """Whether the answers would be enough if all who are still out answered alike."""
        if not self._waiting:
            return False
        if not self.failures and self._agreement.is_of_one_kind():
            return True
        return self._agreement.can_become(self._waiting, is_enough)


def _tell(
    announce: Callable[[Arrival], object],
    n: int,
    given: Tasks | None,
    turn: int,
    future: Future[Any],
) -> None:
    """Tell that task n has ended; runs in a thread of the executor."""
    announce((n, perf_counter()))
    if given is not None:
        given.drop(future, turn)
