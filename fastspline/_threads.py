"""A small pool of threads that takes blocks of columns; the kernels release the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


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


def cut(columns: int, width: int) -> list[tuple[int, int]]:
    """Cut `columns` columns into (first, stop) blocks of `width`."""
    return [(first, min(first + width, columns)) for first in range(0, columns, width)]


def run_blocks(work: Callable[[int, int], int], blocks: list[tuple[int, int]], threads: int) -> int:
    """Run ``work(first, stop)`` for each block; give the smallest column it reported as bad, or -1.

    The calling thread takes part, so that a single block never leaves it.
    """
    pending = iter(blocks)
    if threads == 1 or len(blocks) == 1:
        return _drain(work, pending)
    others = [_pool(threads - 1).submit(_drain, work, pending) for _ in range(threads - 1)]
    try:
        reported = [_drain(work, pending)]
    finally:
        finished = [
            other.result() for other in others
        ]  # never leave threads that write to the caller's arrays
    bad = [column for column in reported + finished if column >= 0]
    return min(bad, default=-1)


def _drain(work: Callable[[int, int], int], pending: Iterator[tuple[int, int]]) -> int:
    """Take blocks until none is left, or one is bad."""
    for first, stop in pending:
        bad = work(first, stop)
        if bad >= 0:
            return bad
    return -1


def _pool(threads: int) -> ThreadPoolExecutor:
    """Give the pool of this process: a forked child must not use its parent's threads."""
    key = os.getpid(), threads
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, thread_name_prefix="fastspline")
    return _pools[key]
