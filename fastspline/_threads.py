"""A small pool of threads that takes blocks of columns; the kernels release the GIL."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

Block = tuple[int, int]

_pools: dict[int, ThreadPoolExecutor] = {}


def usable_cpus() -> int:
    """Give the number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads: int | None) -> None:
    """Raise unless `threads` is None or a count of at least 1."""
    if threads is None:
        return
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(
            f"threads must be a positive integer or None (all usable processors), got {threads!r}"
        )
    if threads < 1:
        raise ValueError(
            f"threads must be at least 1, got {threads}; pass None to use all usable processors"
        )


def cut(columns: int, width: int) -> list[Block]:
    """Cut `columns` columns into (first, stop) blocks of `width`."""
    return [(first, min(first + width, columns)) for first in range(0, columns, width)]


def run_blocks(work: Callable[[int, int], int], blocks: list[Block], threads: int) -> int:
    """Run ``work(first, stop)`` for each block; give the least column reported as bad, or -1.

    The calling thread takes part, so that a single block never leaves it. However this ends, no
    thread is still at work on the caller's arrays when it does.
    """
    pending = deque(blocks)
    if threads == 1 or len(blocks) == 1:
        return _drain(work, pending)
    others: list[Future[int]] = []
    try:
        with suppress(RuntimeError):  # at interpreter exit a pool takes nothing: then alone
            while len(others) < min(threads, len(blocks)) - 1:
                others.append(_pool().submit(_drain, work, pending))
        reported = [_drain(work, pending)]
    finally:
        pending.clear()
        _wait_for(others)
    reported += [other.result() for other in others if not other.cancelled()]
    return min((column for column in reported if column >= 0), default=-1)


def _drain(work: Callable[[int, int], int], pending: deque[Block]) -> int:
    """Take blocks until none is left, or one is bad."""
    while True:
        try:
            first, stop = pending.popleft()
        except IndexError:
            return -1
        bad = work(first, stop)
        if bad >= 0:
            return bad


def _wait_for(futures: Sequence[Future[int]]) -> None:
    """Wait until all are done, also where Ctrl-C comes meanwhile: it is raised afterwards."""
    interrupt: KeyboardInterrupt | None = None
    for future in futures:
        future.cancel()
    while True:
        try:
            wait(futures)
        except KeyboardInterrupt as error:
            interrupt = error
        else:
            break
    if interrupt is not None:
        raise interrupt


def _pool() -> ThreadPoolExecutor:
    """Give the pool of this process: a forked child must not use its parent's threads."""
    pid = os.getpid()
    if pid not in _pools:
        helpers = max(usable_cpus() - 1, 1)
        _pools.setdefault(pid, ThreadPoolExecutor(helpers, thread_name_prefix="fastspline"))
    return _pools[pid]
