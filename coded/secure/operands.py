"""Matrices of integers as secure codes take them: read, cut into blocks, put together again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from coded.algebra.prime_field import IntArray
from coded.schemes.integers import read_integers, require_headroom
from fastspline.arrays import Restore


@dataclass(frozen=True, eq=False)
class Operand:
    """A matrix of integers, or a stack of them.

    Attributes
    ----------
    array : ndarray of int64
        The numbers; a vector is one column.
    device : str or None
        Where the caller's tensor lies; None for numpy.
    is_vector : bool
        Whether it came with one dimension.
    """

    array: IntArray
    device: str | None
    is_vector: bool = False

    def restore(self, values: IntArray, dtype: type[np.signedinteger[Any]] = np.int64) -> Any:
        """Give numbers as integers of the caller's kind of array."""
        kept = np.dtype(dtype)
        return Restore(kept, self.device)(np.ascontiguousarray(values, dtype=kept))


def read_operand(
    values: ArrayLike, name: str, prime: int, *, ndim: int = 2, right: bool = False
) -> Operand:
    """Read a matrix of integers up to (p - 1) / 2 in size, or a stack of them with `ndim` 3.

    A vector on the right is one column. Raises TypeError or ValueError, beginning with `name`.
    """
    array, restore = read_integers(values, name, "AnalogMatmulCode")
    is_vector = right and ndim == 2 and array.ndim == 1
    if is_vector:
        array = array[:, None]
    if array.ndim != ndim or array.size == 0:
        what = "a matrix" if ndim == 2 else "a stack of matrices"
        raise ValueError(f"{name} must be {what} that is not empty, got shape {array.shape}")
    require_headroom(array, name, prime)
    return Operand(array, restore.device, is_vector)


def require_multipliable(left: Operand, right: Operand) -> None:
    """Raise TypeError or ValueError unless the two are of one kind, and A B exists."""
    a, b = left.array.shape, right.array.shape
    if a[-1] != b[-2] or a[:-2] != b[:-2]:
        raise ValueError(
            f"a has shape {a} and b {b}, but a product needs as many columns of a as rows of b, "
            "and stacks equally many matrices; transpose or reshape one of them"
        )
    if left.device != right.device:
        raise TypeError(
            f"a lies on {left.device or 'numpy'}, b on {right.device or 'numpy'}; pass both as "
            "arrays, or both as tensors on one device"
        )


def require_room(left: IntArray, right: IntArray, headroom: int) -> None:
    """Raise ValueError unless no entry of A B can exceed the headroom, by the sizes of rows."""
    rows, columns = np.abs(left), np.abs(right)
    # Python's integers: sums of as many numbers of 31 bits as memory holds fit in 64.
    by_rows = int(rows.sum(axis=-1).max()) * int(columns.max())
    by_columns = int(columns.sum(axis=-2).max()) * int(rows.max())
    largest = min(by_rows, by_columns)
    if largest > headroom:
        raise ValueError(
            f"a and b must be so small that no entry of a @ b can exceed (p - 1) / 2 = {headroom}, "
            f"got some by which it may reach {largest}; scale them down, take a larger prime, or "
            "pass modular=True to the code if a @ b modulo p is what you want"
        )


def joined(blocks: IntArray, grid: tuple[int, int], shape: tuple[int, int]) -> IntArray:
    """Put blocks together, and leave away what was filled up."""
    (up, across), (height, width) = grid, blocks.shape[1:]
    full = blocks.reshape(up, across, height, width).swapaxes(1, 2)
    return full.reshape(up * height, across * width)[: shape[0], : shape[1]]
