"""When and of whom a call asks again: lost tasks, slow ones, and none that has become useless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from functools import partial
from math import inf
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from coded.runtime.agreement import Agreement
from coded.runtime.attempts import Attempts
from coded.runtime.goal import Goal
from coded.runtime.lateness import is_behind, tasks_of
from coded.runtime.result import Indices
from coded.runtime.terms import Terms

_PAUSE = 0.02  # seconds until it is seen whether a worker has become idle


class AskingAgain:
    """Retries and hedges of one call.

    A task is asked for again only where the goal needs it: without it, all others answering, it
    would be out of reach (a retry), or it is one of few whose answers would meet it (a hedge).

    Parameters
    ----------
    goal, terms, attempts, agreement
        Of the call.
    is_enough : callable
        Whether responders meet the goal and can be decoded.
    """

    def __init__(
        self,
        goal: Goal,
        terms: Terms,
        attempts: Attempts,
        agreement: Agreement,
        is_enough: Callable[[Indices], bool],
    ) -> None:
        self._goal, self._attempts, self._agreement = goal, attempts, agreement
        self._is_enough = is_enough
        self._share = terms.share
        self._hedges_after = _read_hedge_after(terms)
        retries = terms.retries
        self._limit = int(goal.exact is not None) if retries is None else int(retries)
        self._alone: dict[int, NDArray[np.bool_]] = {}  # what is exact by one answer
        self._withdrawn: set[int] = set()
        self._retried: Counter[int] = Counter()
        # Until then lost tasks wait for workers at work; later those may be frozen.
        self._patient_until = perf_counter() + (terms.timeout or inf) / 2.0
        self.waits_for_idle = False  # a lost task for a worker that can be asked
        self.hedges = 0

    @property
    def retries(self) -> int:
        """How many tasks were asked again because they were lost."""
        return self._retried.total()

    def ask(
        self, waiting: set[int], failures: Mapping[int, BaseException], *, is_in_reach: bool
    ) -> float:
        """Retry, hedge and withdraw, which changes `waiting`; give the moment to look again.

        Parameters
        ----------
        waiting : set of int
            The tasks that are out.
        failures : mapping of int to exception
            Those that are lost, unless they are out again or answered.
        is_in_reach : bool
            Whether the goal can be met by those that are out.
        """
        again, self.waits_for_idle = inf, False
        if not is_in_reach:
            needed = self._needed(self._can_retry(failures.keys() - waiting), waiting)
            waiting |= self._retry(needed)
            self.waits_for_idle = not waiting.issuperset(needed)
            if self.waits_for_idle:
                again = perf_counter() + _PAUSE  # somebody will be idle
        waiting -= self._withdraw(waiting)
        return min(again, self._hedge(waiting))

    def move(self, behind: Collection[int], others: Set[int]) -> dict[int, int]:
        """Give the tasks of workers behind that are needed beside others, and whom to ask instead.

        Executors that are not behind, first those with the fewest tasks, as spare ones.
        """
        executors, n_workers = self._attempts.executors, len(behind) + len(others)
        living = [e for e in range(len(executors)) if not is_behind(executors[e])]
        tasks = Counter(n % len(executors) for n in range(n_workers) if n in others)
        moved = {}
        for n in self._needed(behind, others) if living else ():
            moved[n] = min(living, key=lambda e: tasks[e])
            tasks[moved[n]] += 1
        return moved

    def _can_retry(self, lost: Set[int]) -> list[int]:
        """Give the tasks that may be asked again, of those that are lost or were withdrawn."""
        again = {n for n in lost if self._retried[n] < self._limit} | self._withdrawn
        return sorted(n for n in again if not self._agreement.has(n))

    def _retry(self, needed: Iterable[int]) -> set[int]:
        """Ask living workers for tasks; give those tasks."""
        asked = set()
        for n in needed:
            to = self._living(n)
            if to is None:
                continue
            if n in self._withdrawn:
                self._withdrawn.discard(n)
            else:
                self._retried[n] += 1
            self._attempts.give(n, to)
            asked.add(n)
        return asked

    def _withdraw(self, waiting: Set[int]) -> set[int]:
        """Cancel what is queued for outputs that are exact already; give those tasks.

        Where some task is late, also those that make no output exact, whose workers can help then.
        """
        if self._goal.exact is None or not self._agreement.is_of_one_kind():
            return set()
        queued = [n for n in waiting if self._attempts.is_queued(n)]
        if not queued or not self._agreement.most:
            return set()
        missing, is_late = ~self._exact(()), perf_counter() >= min(self._due(waiting).values())
        useless = {n for n in queued if self._is_useless(n, missing, is_late=is_late)}
        if not useless or not self._agreement.can_become(waiting - useless, self._is_enough):
            return set()  # what is exact cannot be decoded alone
        for n in useless:
            self._attempts.withdraw(n)
        self._withdrawn |= useless
        return useless

    def _due(self, waiting: Set[int]) -> dict[int, float]:
        """Give the moments from which tasks are late."""
        return {n: self._attempts.last_began(n) + self._hedges_after for n in waiting}

    def _hedge(self, waiting: Set[int]) -> float:
        """Ask idle workers for tasks that take long; give the moment to look again."""
        if not waiting or self._hedges_after == inf:
            return inf
        now, due = perf_counter(), self._due(waiting)
        idle = self._idle() if now >= min(due.values()) else []
        if idle:
            # Those that are asked twice already, and those asked first, need no other beside them.
            kept_first = sorted(
                waiting, key=lambda n: (-len(self._attempts.out[n]), self._attempts.first_began(n))
            )
            for n in self._needed(kept_first, frozenset()):
                if due[n] <= now and self._give_hedge(n, idle):
                    due[n] = self._attempts.last_began(n) + self._hedges_after
        return max(min(due.values()), now + _PAUSE)

    def _give_hedge(self, n: int, idle: list[int]) -> bool:
        """Ask an idle worker that was not asked for this task; False if there is none."""
        tried = _tried(self._attempts, n)
        if len(self._attempts.executors) == 1:  # a pool, which is asked once more
            fit = idle if len(self._attempts.tried[n]) == 1 else []
        else:
            fit = [e for e in idle if e not in tried]
        if not fit or (self._share is not None and not self._share.spend()):
            return False
        self._attempts.give(n, fit[0])
        self.hedges += 1
        if len(self._attempts.executors) > 1:
            idle.remove(fit[0])
        return True

    def _is_useless(self, n: int, missing: NDArray[np.bool_], *, is_late: bool) -> bool:
        """Whether a task makes no output exact by itself that is missing.

        One that makes none at all exact may be needed for estimates, unless they are `is_late`.
        """
        if n not in self._alone:
            assert self._goal.exact is not None
            self._alone[n] = self._goal.exact(np.array([n]))
        return not (self._alone[n] & missing).any() and (is_late or bool(self._alone[n].any()))

    def _needed(self, among: Collection[int], besides: Set[int]) -> list[int]:
        """Give the first of these tasks that bring as much as all of them, with those besides."""
        if not among:
            return []
        kept = {*among, *besides}
        suffices = self._what_suffices(kept)
        for n in reversed(list(among)):
            if suffices(kept - {n}):
                kept.discard(n)
        return [n for n in among if n in kept]

    def _what_suffices(self, kept: Set[int]) -> Callable[[Set[int]], bool]:
        """Give what tells whether some of these tasks bring as much as all of them."""
        reaches = partial(self._agreement.can_become, is_enough=self._is_enough)
        is_in_reach = reaches(kept)
        if self._goal.exact is None:
            return reaches if is_in_reach else lambda _: False  # the more, the better
        most = self._exact(kept)

        def suffices(tasks: Set[int]) -> bool:
            if (most & ~self._exact(tasks)).any():
                return False
            return not is_in_reach or reaches(tasks)

        return suffices

    def _exact(self, tasks: Collection[int]) -> NDArray[np.bool_]:
        """Which outputs are exact if these tasks are answered too."""
        assert self._goal.exact is not None
        workers = {*self._agreement.responders().tolist(), *tasks}
        return self._goal.exact(np.array(sorted(workers), dtype=np.intp))

    def _living(self, n: int) -> int | None:
        """Give the executor that should be asked for a lost task; None: wait until one is idle.

        One without tasks of this call that has lost none of it and is not behind. Any other only
        once those at work seem frozen: a server that is gone would lose this task too.
        """
        attempts, executors = self._attempts, self._attempts.executors
        if len(executors) == 1:
            return 0
        busy, tried = _busy(attempts), _tried(attempts, n)
        free = [e for e in range(len(executors)) if e not in busy]
        fit = [e for e in free if e not in tried and not is_behind(executors[e])]
        is_patient = not attempts.question.is_slow and perf_counter() < self._patient_until
        if not free or (busy and is_patient and attempts.failed.issuperset(fit)):
            return None
        return min(
            fit or free, key=lambda e: (e in attempts.failed, e in tried, _load(attempts, e))
        )

    def _idle(self) -> list[int]:
        """Give the executors that have nothing to do, spare ones and those that fail not first."""
        attempts, executors = self._attempts, self._attempts.executors
        if len(executors) == 1:  # a pool, of which nobody knows who is idle
            return [0]
        busy = _busy(attempts)
        idle = [
            e
            for e in range(len(executors))
            if e not in busy and not _load(attempts, e) and not is_behind(executors[e])
        ]
        return sorted(idle, key=lambda e: (e in attempts.failed, -e))


def _busy(attempts: Attempts) -> set[int]:
    """Give the executors that have tasks of this call."""
    return {attempts.at[one] for some in attempts.out.values() for one in some}


def _tried(attempts: Attempts, n: int) -> set[int]:
    """Give the executors that were asked for a task."""
    return {attempts.at[one] for one in attempts.tried[n]}


def _load(attempts: Attempts, executor: int) -> int:
    """How many tasks of coded calls an executor has."""
    if len(attempts.executors) == 1:
        return 0
    return tasks_of(attempts.executors[executor]).count


def _read_hedge_after(terms: Terms) -> float:
    """Give the seconds after which a task is hedged; inf: never."""
    if isinstance(terms.hedge_after, str):
        return inf if terms.latencies is None else terms.latencies.p95()
    return inf if terms.hedge_after is None else terms.hedge_after
