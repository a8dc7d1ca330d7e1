"""How a call waits for its tasks in a thread."""

from __future__ import annotations

from concurrent.futures import wait
from contextlib import suppress
from math import inf
from queue import Empty, SimpleQueue
from time import perf_counter

from coded.runtime.answers import Reading
from coded.runtime.attempts import Arrival
from coded.runtime.call import Call
from coded.runtime.request import Request
from coded.runtime.result import CodedResult

_LONGEST_WAIT = 0.5  # seconds at a time


class Waiting:
    """A call and the queue of its arrivals; used by one thread, which submits and asks once."""

    def __init__(self, request: Request) -> None:
        self._arrivals: SimpleQueue[Arrival] = SimpleQueue()  # of this call alone
        self._call = Call(request, request.prepare(), self._arrivals.put)

    def submit(self) -> None:
        """Give the tasks to the workers."""
        self._call.submit()

    def result(self) -> CodedResult:
        """Wait and decode, as `coded_map` does."""
        try:
            steps = self._call.steps()
            seconds = next(steps)
            while True:
                arrived = _next_arrivals(self._arrivals, seconds)
                for n, _ in arrived:
                    if self._call.arrivals.fetch(n) is Reading.FOREIGN:
                        wait([self._call.arrivals.read_aside(n)], left(self._call))
                seconds = steps.send(arrived)
        except StopIteration as done:
            complete: bool = done.value
        finally:
            self._call.cancel()
        result = self._call.result(complete=complete)
        self._call.tell_rest(result)
        return result

    def cancel(self) -> None:
        """Cancel what is still queued, and let late answers go."""
        self._call.cancel()


def answer(request: Request) -> CodedResult:
    """Submit, wait and decode in this thread."""
    waiting = Waiting(request)
    try:
        waiting.submit()
        return waiting.result()
    finally:  # a Ctrl-C may have come anywhere, also as tasks were being cancelled
        waiting.cancel()


def left(call: Call) -> float | None:
    """Seconds until the deadline of a call, None where it has none."""
    return None if call.deadline == inf else max(call.deadline - perf_counter(), 0.0)


def _next_arrivals(arrivals: SimpleQueue[Arrival], seconds: float) -> list[Arrival]:
    """Wait for the next task to end, and give all that have; none if none does in time.

    In short waits: a Ctrl-C that comes just as a wait begins is seen only when it ends.
    """
    taken = []
    end = perf_counter() + seconds
    while arrivals.empty() and (remaining := end - perf_counter()) > 0.0:
        with suppress(Empty):
            taken.append(arrivals.get(timeout=min(remaining, _LONGEST_WAIT)))
            break
    while not arrivals.empty():
        taken.append(arrivals.get_nowait())
    return taken
