"""What hedging goes by across calls: how long answers took of late, and how much it has spent."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

from coded.runtime.lateness import Tasks, tasks_of

_KEPT = 1000
_FEWEST = 20  # answers, before which a quantile says nothing
_MOST_TOKENS = 10.0


class Latencies:
    """The seconds of the last 1,000 answers; any thread may add some."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_KEPT)

    def add(self, future: Future[Any], seconds: float) -> None:
        """Count the task of a future that has ended, if it gave an answer."""
        try:
            has_answer = not future.cancelled() and future.exception() is None
        except Exception:  # noqa: BLE001 (whatever the futures of an engine raise)
            return
        if has_answer:
            self._seconds.append(seconds)

    def p95(self) -> float:
        """Give the seconds within which 95 % of the answers came; inf before there are 20."""
        seconds = sorted(self._seconds.copy())  # a copy is made at once, whoever adds meanwhile
        if len(seconds) < _FEWEST:
            return inf
        return seconds[int(0.95 * (len(seconds) - 1))]


_LATENCIES: WeakKeyDictionary[Tasks, Latencies] = WeakKeyDictionary()


def latencies_of(owner: object) -> Latencies:
    """Give what is known of the answers of calls with this first executor, or of this function."""
    # By its tasks, which live as long: neither executors nor functions need be hashable. A method
    # is another object each time, so that it goes by that whose it is.
    return _LATENCIES.setdefault(tasks_of(getattr(owner, "__self__", owner)), Latencies())


class HedgeShare:
    """How many tasks may be hedged: a share of all, by tokens, as gRPC throttles retries.

    Each task that is asked for brings `share` of a token, a hedge takes one, and at most ten are
    kept: a fleet that has become slow as a whole is not given twice the work.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._tokens = _MOST_TOKENS
        self._lock = threading.Lock()

    def earn(self, tasks: int) -> None:
        """Count tasks that are asked for."""
        with self._lock:
            self._tokens = min(_MOST_TOKENS, self._tokens + self._share * tasks)

    def spend(self) -> bool:
        """Take a token for a hedge; False if there is none."""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True
