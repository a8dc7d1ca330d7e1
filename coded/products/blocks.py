"""Matrices in blocks, and mixtures of blocks for workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.maps.arrays import is_finite, multiply_columns
from coded.schemes.copying import read_mixable
from coded.schemes.door import is_float
from coded.workers.placed import Placed
from fastspline.arrays import FloatArray, Restore, empty_aligned, read_array, require_finite


@dataclass(frozen=True, eq=False)
class Blocks:
    """A matrix cut into blocks of one size, filled up with zeros.

    Attributes
    ----------
    array : ndarray, shape (rows x columns of blocks, height, width)
        Row by row; views of the matrix where it need not be copied.
    shape : tuple of int
        Of the matrix; one-dimensional if it was a vector.
    restore : callable
        Makes arrays of the caller's kind.
    """

    array: FloatArray
    shape: tuple[int, ...]
    restore: Restore

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of a block."""
        return self.array.shape[1], self.array.shape[2]


@dataclass(eq=False)
class PlacedOperand:
    """An operand of a product, encoded by a code; made by ``code.place``.

    Attributes
    ----------
    code : object
        Which code encoded it.
    blocks : Blocks
        The operand.
    shares : list
        What worker n multiplies, in the caller's kind of array.
    right : bool
        Whether it is B.
    stays : bool
        Whether the shares stay with the workers.
    """

    code: object
    blocks: Blocks
    shares: list[Any]
    right: bool
    stays: bool = field(default=False, init=False)

    @cached_property
    def placed(self) -> Placed:
        """The shares as what stays with workers."""
        return Placed(self.shares)

    def __repr__(self) -> str:
        """One line with shape and code."""
        side = "right" if self.right else "left"
        return f"PlacedOperand({self.blocks.shape}, {side} operand of {self.code!r})"


def read_reals(matrix: ArrayLike, name: str) -> tuple[FloatArray, Restore]:
    """Give finite floats, or whole numbers as float64; TypeError or ValueError for others."""
    array, restore = (read_array if is_float(matrix) else read_mixable)(matrix, name)
    if not is_finite(array):
        require_finite(array, name)
    return array, restore


def cut(
    matrix: ArrayLike,
    name: str,
    grid: tuple[int, int],
    *,
    right: bool,
    copied: bool,
    read: Callable[[ArrayLike, str], tuple[FloatArray, Restore]] = read_reals,
) -> Blocks:
    """Cut a matrix, or a vector on the right that is one column, into a grid of blocks.

    They are views of the matrix where it need not be copied, unless that is asked for. Raises
    TypeError or ValueError, beginning with `name`, if it is none that `read` gives, or has fewer
    rows or columns than the grid.
    """
    array, restore = read(matrix, name)
    if array.ndim not in (1, 2) or (array.ndim == 1 and not right) or array.size == 0:
        raise ValueError(
            f"{name} must be a matrix that is not empty, got shape {array.shape}; of more "
            "dimensions, pass one product at a time"
        )
    shape = array.shape
    if array.ndim == 1:
        array = array[:, None]
    return Blocks(in_blocks(array, name, grid, copied=copied), shape, restore)


def in_blocks(
    array: NDArray[Any], name: str, grid: tuple[int, int], *, copied: bool = False
) -> NDArray[Any]:
    """Cut a matrix into a grid of blocks, row by row, shape (n, h, w), filled up with zeros.

    Raises ValueError, beginning with `name`, if it has fewer rows or columns than the grid.
    """
    for axis, (side, count) in enumerate(zip(array.shape, grid, strict=True)):
        if side < count:
            what = "rows" if axis == 0 else "columns"
            raise ValueError(
                f"{name} has {side} {what}, but the code cuts it into {count}; take a code with a "
                "smaller grid, or one that cuts the other operand alone"
            )
    (rows, columns), (up, across) = array.shape, grid
    height, width = -(-rows // up), -(-columns // across)
    if (height * up, width * across) != (rows, columns):
        full = np.zeros((height * up, width * across), array.dtype)
        full[:rows, :columns] = array
        array = full
    blocks = array.reshape(up, height, across, width).swapaxes(1, 2)
    if copied or not blocks.flags.c_contiguous:
        own = empty_aligned(up * across * height, width, array.dtype).reshape(blocks.shape)
        own[...] = blocks
        blocks = own
    return blocks.reshape(up * across, height, width)


def mix(weights: NDArray[np.float64], blocks: Blocks) -> list[Any]:
    """Give ``sum_x weights[n, i, x] block_x`` for each worker n, a block itself where it is one.

    Shape (height, width) where a worker gets one block, else (blocks of the worker, height, width):
    those with weights.
    """
    is_given = given(weights)
    rows = weights[is_given]
    is_copy = (np.count_nonzero(rows, axis=1) == 1) & (rows.max(axis=1) == 1.0)
    is_single = weights.shape[1] == 1
    if not is_single and 2 * np.count_nonzero(is_copy) < len(rows):
        is_copy[:] = False  # they are sent together, so that copying them costs as much
    sums = np.empty((0, *blocks.inner), blocks.array.dtype)
    if not is_copy.all():
        sums = multiply_columns(rows[~is_copy], blocks.array, "operand")
    if is_single:
        ahead = iter(sums)
        shares = [
            blocks.array[row.argmax()] if copies else next(ahead)
            for row, copies in zip(rows, is_copy, strict=True)
        ]
    else:
        if is_copy.any():
            together = np.empty((len(rows), *blocks.inner), blocks.array.dtype)
            together[is_copy] = blocks.array[rows[is_copy].argmax(axis=1)]
            together[~is_copy] = sums
            sums = together
        shares = np.split(sums, np.cumsum(is_given.sum(axis=1))[:-1])
    return [blocks.restore(share) for share in shares]


def given(weights: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which of its blocks each worker gets: the first, and all up to the last with weights."""
    has_weights = np.asarray(weights.any(axis=2))
    is_given = np.logical_or.accumulate(has_weights[:, ::-1], axis=1)[:, ::-1].copy()
    is_given[:, 0] = True
    return is_given


def require_multipliable(left: Blocks, right: Blocks) -> None:
    """Raise TypeError or ValueError unless the two are of one kind, and A B exists."""
    if left.shape[1] != right.shape[0]:
        raise ValueError(
            f"a has {left.shape[1]} columns and b {right.shape[0]} rows, but a product needs "
            "equally many; transpose one of them"
        )
    if left.restore.device != right.restore.device:
        raise TypeError(
            f"a lies on {left.restore.device or 'numpy'}, b on {right.restore.device or 'numpy'}; "
            "pass both as arrays, or both as tensors on one device"
        )
    if left.restore.dtype != right.restore.dtype:
        raise TypeError(
            f"a is of {left.restore.dtype}, b of {right.restore.dtype}; convert one of them, for "
            "workers multiply what they are sent"
        )
