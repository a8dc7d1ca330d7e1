"""What a call costs this process and others: bytes that cross, memory that is filled, seconds.

Linux: counts come from /proc and from TCP's own.
"""

from __future__ import annotations

import os
import resource
import socket
import statistics
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

REPEATS = 7  # of what is counted
_PAGE = resource.getpagesize()
_TCP_BYTES = struct.Struct("@120xQQ")  # of struct tcp_info: acknowledged, received


_by_unix = np.zeros(2, dtype=np.int64)


def count_unix_sockets() -> None:
    """Count from now on what Python code sends and receives by Unix sockets."""

    def count(name: str, way: int) -> None:
        plain = getattr(socket.socket, name)

        def counted(self: socket.socket, *arguments: Any) -> int:
            n: int = plain(self, *arguments)
            _by_unix[way] += n * (self.family == socket.AF_UNIX)
            return n

        setattr(socket.socket, name, counted)

    if not hasattr(socket.socket.send, "__closure__"):
        count("send", 0)
        count("recv_into", 1)


def crossed() -> np.ndarray:
    """Count the bytes that have left this process and entered it, by read, write and TCP.

    By Unix sockets after `count_unix_sockets` only, and only those of Python code; Ray, which
    uses others, sends arrays through shared memory.
    """
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    sent, received = int(io["wchar"]), int(io["rchar"])
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if not path.is_socket():
                continue
            with socket.socket(fileno=os.dup(int(path.name))) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6):
                    info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_BYTES.size)
                    acknowledged, came = _TCP_BYTES.unpack(info)
                    sent, received = sent + acknowledged, received + came
    return np.array([sent, received]) + _by_unix


def bytes_of(call: Callable[[], object], repeats: int) -> list[int]:
    """Give the bytes that leave and enter this process in one call, the mean of several."""
    before = crossed()
    for _ in range(repeats):
        call()
    between = crossed()
    own = crossed() - between  # of counting
    return [max(round(n), 0) for n in (between - before - own) / repeats]


def filled_by(call: Callable[[Any], object], given: Any, others: Sequence[int]) -> float:
    """Give the new memory that one call fills in all processes, in bytes; the most of several."""
    pids = [os.getpid(), *others]
    call(given)
    most = 0
    for _ in range(REPEATS):
        fresh = _fresh(given)
        before = sum(map(_faults, pids))
        call(fresh)
        most = max(most, sum(map(_faults, pids)) - before)
    return float(most * _PAGE)


def _fresh(given: Any) -> Any:
    """Copy: a tensor that has once been sent may lie in shared memory from then on."""
    return given.clone() if isinstance(given, torch.Tensor) else given.copy()


def _faults(pid: int) -> int:
    """Count the pages that a process has been given without reading a file."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def seconds_of(calls: Sequence[Callable[[Any], object]], given: Any, repeats: int) -> list[float]:
    """Give the median of each call, the calls in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for i, call in enumerate(calls):
            fresh = _fresh(given)
            start = perf_counter()
            call(fresh)
            times[i].append(perf_counter() - start)
    return [statistics.median(some) for some in times]
