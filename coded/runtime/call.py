"""The tasks of one call over a job, and what becomes of each; knows nothing of clocks' waiting."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from coded.errors import tell_error
from coded.runtime.agreement import Agreement
from coded.runtime.answers import read_reals
from coded.runtime.arrivals import Arrivals
from coded.runtime.attempts import Arrival, Attempts
from coded.runtime.lateness import is_behind
from coded.runtime.request import Request
from coded.runtime.result import CodedResult, Indices
from coded.schemes.job import Job
from coded.schemes.protocol import exact_of

if TYPE_CHECKING:
    from coded.runtime.asking_again import AskingAgain
    from coded.runtime.outputs import Outputs

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
        self._terms = request.terms
        self._job = job
        self._goal = request.goal(job)
        self._attempts = Attempts(
            job, request.fn, request.executors, announce, request.terms.latencies
        )
        self._began = perf_counter()
        timeout = request.terms.timeout
        self.deadline = inf if timeout is None else self._began + timeout
        self._waiting: set[int] = set()
        self._reserve: dict[int, int] = {}  # tasks of workers behind, and whose they are
        self._asking: AskingAgain | None = None
        self._agreement = Agreement()
        # Not by isinstance of their protocols, which takes microseconds each.
        self.arrivals = Arrivals(self._attempts, getattr(job, "read", read_reals))
        self._outputs: Outputs | None = None
        if request.terms.on_output is not None:
            from coded.runtime.outputs import Outputs  # what few ask for

            self._outputs = Outputs(request.terms.on_output)

    def submit(self) -> None:
        """Submit all tasks, to workers behind only once the others do not suffice."""
        executors = self._request.executors
        n_workers = len(self._job.payloads)
        order: Sequence[int] = getattr(self._job, "order", range(n_workers))
        behind = [is_behind(executor) for executor in executors[:n_workers]]
        busy = [n for n in order if behind[n % len(executors)]]
        idle = set(order).difference(busy)
        moved: dict[int, int] = {}
        if busy and not self._is_enough(np.array(sorted(idle), dtype=np.intp)):
            if self._goal.exact is not None:
                moved = self._asks_again().move(busy, idle)
            if not moved:
                busy = []  # queue behind what they are at
        for n in order:
            to = n % len(executors)
            if n in moved:
                self._give(n, moved[n])
            elif n in busy:
                self._reserve[n] = to
                starts = getattr(executors[to], "starting", False) is True
                what = "starting its process" if starts else "still at work for an earlier call"
                self._fail(n, WorkerBusyError(f"{what}; was not asked"))
            else:
                self._give(n, to)
        if self._terms.share is not None:
            self._terms.share.earn(n_workers)

    def _give(self, n: int, to: int) -> None:
        self._waiting.add(n)
        self._attempts.give(n, to)

    def _give_reserve(self) -> None:
        """Ask the workers behind too: one of the others may be frozen, which nobody can know."""
        while self._reserve:
            n = next(iter(self._reserve))  # in the order of `submit`
            to = self._reserve.pop(n)
            del self.failures[n]
            self._give(n, to)

    def steps(self) -> Generator[float, list[Arrival], bool]:
        """Take answers until the goal is met (True), or nothing is to be gained any more (False).

        Yields the seconds to wait for the next arrival, 0 for those that are there already, and is
        sent all that came. Where the goal is out of reach, because workers are lost, their tasks
        are asked again as often as `retries` allows, and then all others are still waited for: the
        more of them, the better the outputs.
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
            look = self._ask_again(is_in_reach=is_in_reach)
            if not is_in_reach and self._is_over():
                return False
            until = min(deadline, recall, look) if self._reserve else min(deadline, look)
            arrivals = yield max(until - perf_counter(), 0.0)
            for arrival in arrivals:
                self._take(arrival)
            if not arrivals and until == deadline:
                self._time_out()
                return False

    def _ask_again(self, *, is_in_reach: bool) -> float:
        """Ask for lost tasks and slow ones again; give the moment to look at them again."""
        if self._asking is None:
            wants = self._goal.exact is not None or self._terms.hedge_after is not None
            if not (wants or (self._terms.retries and self.failures)):
                return inf
        asking = self._asks_again()
        return asking.ask(self._waiting, self.failures, is_in_reach=is_in_reach)

    def _asks_again(self) -> AskingAgain:
        """Give who is asked again; calls that wait for a number of answers seldom need it."""
        if self._asking is None:
            from coded.runtime.asking_again import AskingAgain

            self._asking = AskingAgain(
                self._goal, self._terms, self._attempts, self._agreement, self._is_enough
            )
        return self._asking

    def _time_out(self) -> None:
        """Say of all who are still out that they had time enough."""
        for n in sorted(self._waiting):
            late = TimeoutError(f"no answer within {self._terms.timeout:.3g} s")
            late.__cause__ = self.failures.pop(n, None)  # why it was asked again
            self._fail(n, late)

    def cancel(self) -> None:
        """Cancel what is still queued, and let go of all futures: late answers are then freed.

        May be called again, to finish what a Ctrl-C has interrupted.
        """
        self._reserve.clear()
        self._attempts.cancel()
        self.arrivals.clear()

    def result(self, *, complete: bool) -> CodedResult:
        """Decode what came, or say that it does not suffice."""
        for n, why in self._agreement.minorities():
            self._fail(n, ValueError(why))
        responders = self._agreement.responders()
        if not complete and not self._can_decode(responders):
            from coded.runtime.fates import not_enough

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
        responders = self._without_liars(responders)
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
            exact=exact_of(self._job.exact_mask(responders), std),
            std=std,
            retries=0 if self._asking is None else self._asking.retries,
            hedges=0 if self._asking is None else self._asking.hedges,
        )

    def _without_liars(self, responders: Indices) -> Indices:
        """Leave out whose answers contradict those of the others, where the job tells."""
        find = getattr(self._job, "liars", None)
        liars = [] if find is None else find(self._agreement.answers(responders), responders)
        for n in liars:
            self._fail(n, ValueError("its answer contradicts those of the others; was left out"))
        return responders[~np.isin(responders, liars)] if len(liars) else responders

    def _take(self, arrival: Arrival) -> None:
        """File the answer of a worker, or its failure."""
        attempt, moment = arrival
        n, outcome = self._attempts.task_of(attempt), self.arrivals.take(attempt)
        if outcome is None or self._agreement.has(n):  # told twice; two answers came together
            return
        if not isinstance(outcome, BaseException):
            try:
                self._agreement.add(n, *outcome)
            except Exception as unusable:  # noqa: BLE001 (what a kind does when it is compared is the job's doing)
                outcome = unusable.with_traceback(None)
        if isinstance(outcome, BaseException):
            self._attempts.failed.add(self._attempts.at[attempt])
            if not self._attempts.out[n]:
                self._waiting.discard(n)
            self._fail(n, outcome)
            return
        self._waiting.discard(n)
        self._attempts.withdraw(n, attempt)  # from others who were asked
        self._attempts.question.answer(moment)
        self.latencies[n] = moment - self._attempts.first_began(n)
        if self._terms.on_answer is not None:
            self._terms.on_answer(n, float(self.latencies[n]))
        if self._outputs is not None and self._agreement.is_of_one_kind():
            self._outputs.tell_own(self._job, n, outcome[1])

    def tell_rest(self, result: CodedResult) -> None:
        """Give the caller the outputs that it has not got yet, where it wants them one by one."""
        if self._outputs is not None:
            self._outputs.tell_rest(result)

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
        if self._agreement.is_disputed() or (self._asking and self._asking.waits_for_idle):
            return False
        responders = self._agreement.responders()
        if not self._can_decode(responders):
            return not self._can_become(self._can_decode)
        if self._goal.exact is None or len(responders) < self._goal.least:
            return bool(np.all(self._job.exact_mask(responders)))
        everyone = np.array(sorted({*responders.tolist(), *self._waiting}), dtype=np.intp)
        return not (self._goal.exact(everyone) & ~self._goal.exact(responders)).any()

    def _can_become(self, is_enough: Callable[[Indices], bool]) -> bool:
        """Whether the answers would be enough if all who are still out answered alike."""
        if not self._waiting:
            return False
        if not self.failures and self._agreement.is_of_one_kind():
            return True
        return self._agreement.can_become(self._waiting, is_enough)
