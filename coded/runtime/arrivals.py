"""The answers of one call's attempts between their futures and their use: fetched, then read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeAlias

from coded.runtime.answers import Reading, reading_of
from coded.runtime.attempts import Attempts
from coded.runtime.futures import free_locals

Read: TypeAlias = Callable[[int, Any], tuple[Hashable, Any]]


class Arrivals:
    """What has arrived and was not taken yet, by attempts.

    Parameters
    ----------
    attempts : Attempts
        Whose futures hold the answers.
    read : callable
        As `ReadingAnswers.read`.
    """

    def __init__(self, attempts: Attempts, read: Read) -> None:
        self._attempts, self._read = attempts, read
        self._outcomes: dict[int, tuple[Hashable, Any] | BaseException] = {}  # unless unread
        self._unread: dict[int, Any] = {}  # answers, as they came

    def fetch(self, attempt: int) -> Reading | None:
        """Take off its future what an attempt has come to; how its answer is to be read, if any."""
        future = self._attempts.end(attempt)
        if future is None:  # told twice, or answered by somebody else
            return None
        try:
            error = future.exception()
            if error is None:
                answer = self._unread[attempt] = future.result()
                return reading_of(answer)
            free_locals(error)
            self._outcomes[attempt] = error
        except CancelledError:
            self._outcomes[attempt] = CancelledError("the task was cancelled by its executor")
        except Exception as fault:  # noqa: BLE001 (whatever the futures of an engine raise)
            self._outcomes[attempt] = fault.with_traceback(None)
        return None

    def read(self, *attempts: int) -> None:
        """Read fetched answers before they are taken, in a thread that no Ctrl-C comes to."""
        for attempt in attempts:
            answer = self._unread.pop(attempt)
            try:
                self._outcomes[attempt] = self._read(self._attempts.task_of(attempt), answer)
            except BaseException as error:  # noqa: BLE001 (what an answer does when it is read is the worker's doing)
                self._outcomes[attempt] = error.with_traceback(None)

    def read_aside(self, attempt: int) -> Future[None]:
        """Read it in a thread of its own, which may take as long as it likes."""
        done: Future[None] = Future()
        # What is said where it is not done in time.
        self._outcomes[attempt] = TimeoutError("the answer came, but could not be read in time")

        def run() -> None:
            self.read(attempt)
            done.set_result(None)

        threading.Thread(target=run, name="reads an answer", daemon=True).start()
        return done

    def take(self, attempt: int) -> tuple[Hashable, Any] | BaseException | None:
        """Give what an attempt has come to, its error without the frames; None if told twice."""
        if attempt in self._outcomes:
            return self._outcomes.pop(attempt)
        if attempt not in self._unread:
            return None
        try:
            return self._read(self._attempts.task_of(attempt), self._unread.pop(attempt))
        except Exception as unusable:  # noqa: BLE001 (what an answer does when it is read is the worker's doing)
            # Without the traceback, whose frames would keep the answers of this call alive.
            return unusable.with_traceback(None)

    def clear(self) -> None:
        """Let go of all."""
        self._unread.clear()
        self._outcomes.clear()
