"""A small pool of threads that takes blocks of columns; the kernels release the GIL."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from pathlib import Path

Block = tuple[int, int]

LEAST_CROWDED = 8  # helpers from which on some find a processor of their own anyway

_SETTINGS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")  # Dask and joblib set them in their workers


def default_threads() -> int:
    """Give the number of threads for large work: what is usable, or less where a variable asks."""
    return min(usable_cpus(), *(_read_setting(os.environ.get(name, "")) for name in _SETTINGS))


def usable_cpus() -> int:
    """Give the number of processors that this process may use, by affinity and cgroup quota."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), cgroup_cpus())
    return os.cpu_count() or 1


@cache
def cgroup_cpus(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int:
    """Give the processors' time that the control groups allow, rounded up: the least of any level.

    Version 2 says "quota period" in cpu.max, version 1 has a file for each. A container often
    sees its own group as the root, but is listed by the name that the host gives it.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return sys.maxsize
    least = sys.maxsize
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in (controllers, "cpu") if controllers else ("", "unified"):
            group = root / mount / name.strip("/")
            for level in (group, *group.parents):
                if level.is_relative_to(root):
                    least = min(least, _read_quota(level))
    return least


def _read_quota(group: Path) -> int:
    """Give the number of processors that one control group allows."""
    for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError):  # not there, or "max"
            quota, period = map(int, " ".join((group / f).read_text() for f in files).split())
            if quota > 0 and period > 0:
                return math.ceil(quota / period)
    return sys.maxsize


def _read_setting(text: str) -> int:
    """Give the number in "4", or in "4,2" (OpenMP's nested loops); no limit without one."""
    first = text.split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else sys.maxsize


def check_threads(threads: int | None) -> int | None:
    """Give `threads` if it is None or a count of at least 1."""
    if threads is None:
        return None
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(
            f"threads must be a positive integer or None (all that is left), got {threads!r}"
        )
    if threads < 1:
        raise ValueError(
            f"threads must be at least 1, got {threads}; pass None to use all that affinity, "
            "quota and environment leave"
        )
    return int(threads)


def cut(columns: int, width: int) -> list[Block]:
    """Cut `columns` columns into (first, stop) blocks of `width`."""
    return [(first, min(first + width, columns)) for first in range(0, columns, width)]


def run_blocks(work: Callable[[int, int], int], blocks: list[Block], threads: int) -> int:
    """Run ``work(first, stop)`` for each block; give the least column reported as bad, or -1.

    The calling thread takes part, so that a single block never leaves it. Helpers join it while
    processors are free: callers that come together leave each other's alone. However this ends, no
    thread is still at work on the caller's arrays when it does.
    """
    pending = deque(blocks)
    if len(blocks) == 1:
        return _drain(work, pending)
    team = _team
    helpers = team.enter(min(threads, len(blocks)) - 1)
    others: list[Future[int]] = []
    try:
        with suppress(RuntimeError):  # at interpreter exit a pool takes nothing: then alone
            while len(others) < helpers:
                others.append(team.pool.submit(_drain, work, pending))
        reported = [_drain(work, pending)]
    finally:
        pending.clear()
        _wait_for(others)
        team.leave()
    reported += [other.result() for other in others if not other.cancelled()]
    return min((column for column in reported if column >= 0), default=-1)


class _Team:
    """The threads of this process that are at work on blocks, and the pool of helpers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work: dict[int, int] = {}  # by caller: a call that Ctrl-C ended leaves no trace
        self.pool = ThreadPoolExecutor(max((os.cpu_count() or 1) - 1, 1), "fastspline", self._join)
        self._helpers: list[int] = []  # as the system numbers them
        self._apart: set[int] = set()  # the processors that they may use

    def _join(self) -> None:
        self._helpers.append(threading.get_native_id())
        self._apart = set()

    def enter(self, wanted: int) -> int:
        """Count the caller in, and at most `wanted` helpers: no more than there are processors."""
        caller, usable = threading.get_ident(), usable_cpus()
        with self._lock:
            self._at_work.pop(caller, None)
            free = usable - 1 - sum(self._at_work.values())
            helpers = min(wanted, max(free, 0))
            self._at_work[caller] = 1 + helpers
            if helpers:
                self._keep_apart()
        return helpers

    def _keep_apart(self) -> None:
        """Keep helpers off the processor of the caller, who is at work there all the time.

        Virtual machines pack threads on few processors, and wake a helper where its caller is; it
        then waits until there is nothing left to do.
        """
        if _find_cpu is None or len(self._helpers) >= LEAST_CROWDED:
            return
        apart = os.sched_getaffinity(0) - {_find_cpu()}
        if apart and apart != self._apart:
            self._apart = apart
            for helper in self._helpers:
                with suppress(OSError):  # it has ended, or its group may not use them any more
                    os.sched_setaffinity(helper, apart)

    def leave(self) -> None:
        """Count the caller and its helpers out, while nobody sums over all."""
        with self._lock:
            self._at_work.pop(threading.get_ident(), None)


def _load_find_cpu() -> Callable[[], int] | None:
    """Load what tells the processor that the caller runs on, where there is such a thing."""
    try:
        found: Callable[[], int] = ctypes.PyDLL(None).sched_getcpu  # keeps the GIL: it takes .2 us
    except (AttributeError, OSError, TypeError):  # TypeError: Windows wants a name
        return None
    return found if hasattr(os, "sched_setaffinity") else None


_find_cpu = _load_find_cpu()


def _make_team() -> None:
    """Start anew: a forked child has none of its parent's threads, and may find a lock taken."""
    global _team
    _team = _Team()


_team: _Team
_make_team()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_make_team)


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
    """Wait until none is at work, also where Ctrl-C comes meanwhile: it is raised afterwards."""
    interrupt: KeyboardInterrupt | None = None
    # Not for those that have not begun: a helper that does not wake up would have to tell so.
    begun = [future for future in futures if not future.cancel()]
    while True:
        try:
            wait(begun)
        except KeyboardInterrupt as error:
            interrupt = error
        else:
            break
    if interrupt is not None:
        raise interrupt
