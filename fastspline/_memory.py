"""Memory for results, kept when a result is dropped and lent to the next one of its size.

New memory costs a page fault a page, which takes several times as long as the sweep that fills it.
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

KEPT_BYTES = 256 << 20  # at most so much is kept in all, a half in one block
_MOST_BLOCKS = 16

_Block: TypeAlias = tuple[NDArray[np.uint8], int]  # memory, and where a cache line starts in it

# Also those that results lie in; those used last at the end. A thread takes a block out while it
# looks at it, by one atomic operation, so that no other lends the same.
_blocks: list[_Block] = []


def lend(shape: tuple[int, ...], dtype: np.dtype[Any], size: int, phase: int = 0) -> NDArray[Any]:
    """Give an uninitialised array of `size` bytes that starts `phase` bytes into a cache line.

    Its memory is used again once no array refers to it.
    """
    for _ in range(len(_blocks)):
        try:
            block = _blocks.pop()
        except IndexError:  # other threads have them
            break
        if size + 128 <= block[0].size <= 4 * size and _references(block) == _UNUSED:
            if not block[0].flags.writeable:  # somebody froze a result by its base
                continue
            return _lent(block, shape, dtype, phase)
        _blocks.insert(0, block)
    memory = np.empty(size + 128, np.uint8)
    array = _lent((memory, -memory.ctypes.data % 64), shape, dtype, phase)
    while len(_blocks) > _MOST_BLOCKS or _kept() > KEPT_BYTES:
        del _blocks[:1]
    return array


def _lent(block: _Block, shape: tuple[int, ...], dtype: np.dtype[Any], phase: int) -> NDArray[Any]:
    memory, line = block
    array: NDArray[Any] = np.ndarray(shape, dtype, memory, line + phase)
    if block[0].size <= KEPT_BYTES // 2:
        _blocks.append(block)
    return array


def _kept() -> int:
    return sum(memory.size for memory, _ in _blocks[:])


def _references(block: _Block) -> int:
    return sys.getrefcount(block[0])


_UNUSED = _references((np.empty(1, np.uint8), 0))  # of a block that no array refers to
