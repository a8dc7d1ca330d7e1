"""Which executors are far behind: at tasks of calls that were answered long ago."""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import Executor, Future
from math import inf
from time import perf_counter
from typing import Any

_NOISE = 0.05  # seconds by which a worker may be late where machines are busy


class Question:
    """One call as its tasks see it: how long its answers took, and whether it still waits."""

    def __init__(self) -> None:
        self._began = perf_counter()
        self._answered = inf
        self.has_ended = False

    def answer(self, moment: float) -> None:
        """Say that an answer came."""
        self._answered = moment

    def end(self) -> None:
        """Say that nobody waits for it any longer."""
        if self._answered == inf:
            self._answered = perf_counter()
        self.has_ended = True

    @property
    def is_late(self) -> bool:
        """Whether nobody waits, and it is slow.

        Workers that are a little behind must be asked: to leave them alone too spends the
        redundancy, so that the next loss is waited for (measured: p99 three times as high).
        """
        return self.has_ended and self.is_slow

    @property
    def is_slow(self) -> bool:
        """Whether clearly twice the time has gone by that its answers took."""
        return perf_counter() - self._began > 2.0 * (self._answered - self._began) + _NOISE


class Tasks:
    """The tasks of coded calls at one executor, and the question that each belongs to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Future[Any], tuple[int, Question]] = {}
        self._given = 0
        self._about_to_be_given: dict[int, Question] = {}
        self._last_answered = 0

    def expect(self, question: Question) -> int:
        """Count a task that is about to be given."""
        with self._lock:
            # Those that a Ctrl-C has left here.
            ended = [turn for turn, one in self._about_to_be_given.items() if one.has_ended]
            for turn in ended:
                del self._about_to_be_given[turn]
            self._given += 1
            self._about_to_be_given[self._given] = question
            return self._given

    def add(self, future: Future[Any], turn: int, question: Question) -> None:
        """Keep a task until it is dropped."""
        with self._lock:  # last, so that a Ctrl-C anywhere leaves no task for ever
            if not future.done():
                self._under_way[future] = turn, question
            self._about_to_be_given.pop(turn, None)

    def drop(self, future: Future[Any], turn: int) -> None:
        """Take off a task that has ended."""
        try:
            has_answer = not future.cancelled() and future.exception() is None
        except Exception:  # noqa: BLE001 (whatever the futures of an engine raise)
            has_answer = False
        with self._lock:
            self._under_way.pop(future, None)
            if has_answer and turn > self._last_answered:
                self._last_answered = turn

    @property
    def count(self) -> int:
        """How many are queued or running."""
        return len(self._under_way)

    def is_any(self) -> bool:
        """Whether any are queued, running or about to be given."""
        coming = list(self._about_to_be_given.values())  # a Ctrl-C leaves some here
        return bool(self._under_way) or not all(question.has_ended for question in coming)

    def is_stuck(self) -> bool:
        """Whether one is late, and none has been answered that was given after it.

        One worker takes its tasks in turn; where a later one has been answered, there are several.
        """
        with self._lock:
            for future in [one for one in self._under_way if one.done()]:
                del self._under_way[future]  # a Ctrl-C came before it was dropped
            return any(
                turn > self._last_answered and question.is_late
                for turn, question in self._under_way.values()
            )


def is_behind(executor: Executor) -> bool:
    """Whether an executor is stuck at an answered question, or says that others keep it busy."""
    tasks = tasks_of(executor)
    was_any = tasks.is_any()  # one that is just ending may be what it is busy with
    try:  # always: LocalWorkers replaces lost processes when it is asked
        is_busy = getattr(executor, "busy", False) is True
    except Exception:  # noqa: BLE001 (what is wrong shows when the task is submitted)
        is_busy = False
    return tasks.is_stuck() or (is_busy and not was_any and not tasks.is_any())


# Shared by all calls. By identity: executors need be neither hashable nor different.
_TASKS: dict[int, Tasks] = {}
_TASKS_LOCK = threading.Lock()


def tasks_of(executor: object) -> Tasks:
    """Give the tasks at this executor, or of this function."""
    with _TASKS_LOCK:
        if id(executor) not in _TASKS:
            # First, so that a Ctrl-C leaves no tasks to another executor with this id.
            weakref.finalize(executor, _TASKS.pop, id(executor), None).atexit = False
            _TASKS[id(executor)] = Tasks()
        return _TASKS[id(executor)]
