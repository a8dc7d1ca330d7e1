"""Memory for large results, kept when a result is dropped and lent to the next one of its size.

New memory costs a page fault a page, which takes several times as long as the sweep that fills it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SPARE_BYTES = 128 << 20  # at most so much is kept in all

# Changed by single, atomic operations: `__del__` takes no lock.
_spares: list[NDArray[np.uint8]] = []


class _Loan:
    """The owner of lent memory, alive as long as an array refers to it."""

    __slots__ = ("__array_interface__", "_memory")

    __array_interface__: dict[str, Any]

    def __init__(self, memory: NDArray[np.uint8], size: int) -> None:
        self._memory = memory
        start = memory.ctypes.data
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (size,),
            "data": (start + -start % 64, False),
        }

    def __del__(self) -> None:
        """Keep the memory for the next result; let go of the oldest where it becomes too much."""
        if self._memory.size <= SPARE_BYTES:
            _spares.append(self._memory)
        while sum(spare.size for spare in _spares[:]) > SPARE_BYTES:
            _pop_oldest()


def lend(size: int) -> NDArray[np.uint8]:
    """Give `size` uninitialised bytes that start at a cache line."""
    for _ in range(len(_spares)):
        memory = _pop_oldest()
        if memory is None:
            break
        if size + 64 <= memory.size <= size + size // 4:
            return np.asarray(_Loan(memory, size))
        _spares.append(memory)
    return np.asarray(_Loan(np.empty(size + 64, np.uint8), size))


def _pop_oldest() -> NDArray[np.uint8] | None:
    """Take the memory that was kept first; another thread may have taken the last."""
    try:
        return _spares.pop(0)
    except IndexError:
        return None
