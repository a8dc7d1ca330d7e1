"""How a call waits for its tasks in a coroutine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf

from coded.runtime.answers import Reading
from coded.runtime.attempts import Arrival
from coded.runtime.call import Call
from coded.runtime.request import Request
from coded.runtime.result import CodedResult
from coded.runtime.waiting import left


async def answer_async(read: Callable[[], Request]) -> CodedResult:
    """Check, encode and submit in a thread, wait in the loop, and decode in a thread."""
    loop = asyncio.get_running_loop()
    arrivals: asyncio.Queue[Arrival] = asyncio.Queue()

    def announce(arrival: Arrival) -> None:
        with suppress(RuntimeError):  # a late answer, and the loop is closed
            loop.call_soon_threadsafe(arrivals.put_nowait, arrival)

    begun = _BegunAside(announce)
    try:
        call = await asyncio.to_thread(begun.begin, read)
        steps = call.steps()
        seconds = next(steps)
        while True:
            arrived = await _next_arrivals_async(arrivals, seconds)
            await _read_async(call, {n: call.arrivals.fetch(n) for n, _ in arrived})
            seconds = steps.send(arrived)
    except StopIteration as done:
        complete: bool = done.value
    finally:
        try:
            begun.cancel()
        finally:  # a Ctrl-C came meanwhile
            begun.cancel()
    result = await asyncio.to_thread(partial(call.result, complete=complete))
    call.tell_rest(result)
    return result


class _BegunAside:
    """A call that is begun in a thread while its coroutine may be cancelled."""

    def __init__(self, announce: Callable[[Arrival], object]) -> None:
        self._announce = announce
        self._lock = threading.Lock()
        self._call: Call | None = None
        self._is_cancelled = False

    def begin(self, read: Callable[[], Request]) -> Call:
        """Check, bind, encode and submit; runs in the thread."""
        request = read()
        call = Call(request, request.prepare(), self._announce)
        try:
            if not self._is_cancelled:
                call.submit()
        finally:
            with self._lock:
                self._call = call
                if self._is_cancelled:
                    call.cancel()
        return call

    def cancel(self) -> None:
        """Cancel what is queued; what the thread is about to submit, it cancels itself."""
        with self._lock:
            self._is_cancelled = True
            if self._call is not None:
                self._call.cancel()


async def _read_async(call: Call, readings: dict[int, Reading | None]) -> None:
    """Read in threads what would hold the loop."""
    large = [n for n, reading in readings.items() if reading is Reading.LARGE]
    if large:  # in one thread, for starting one may take longer than reading
        await asyncio.to_thread(call.arrivals.read, *large)
    for n, reading in readings.items():
        if reading is Reading.FOREIGN:
            await asyncio.wait(
                [asyncio.wrap_future(call.arrivals.read_aside(n))], timeout=left(call)
            )


async def _next_arrivals_async(arrivals: asyncio.Queue[Arrival], seconds: float) -> list[Arrival]:
    """Wait for the next task to end, and give all that have; none if none does in time."""
    taken = []
    if seconds == 0.0 and arrivals.empty():
        await asyncio.sleep(0)  # lets the loop take what has been announced
    elif arrivals.empty():
        with suppress(TimeoutError):
            # Not wait_for, which before Python 3.12 may take an answer for a cancellation.
            async with asyncio.timeout(None if seconds == inf else seconds):
                taken.append(await arrivals.get())
    while not arrivals.empty():
        taken.append(arrivals.get_nowait())
    return taken
