"""Maps that copy rows and give, elsewhere, weighted sums of a few of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coded.maps.arrays import Matrix, half_of_largest, is_finite, size_of
from coded.maps.copies import FilledMap
from fastspline.arrays import FloatArray, require_finite

_OVERHEAD = 16  # of a product of matrices, in the time that a row takes for one factor


class _Block(NamedTuple):
    rows: slice  # of the result
    columns: slice  # the rows of the values that it reads
    weights: Matrix


@dataclass(frozen=True, eq=False)
class BlockMap(FilledMap):
    """A `FilledMap` without constant, fast where sums stand side by side and read few rows each.

    Each run of sums is multiplied by itself, from the first to the last row that it reads.
    """

    def _mix(self, columns: FloatArray, at: NDArray[np.intp], result: FloatArray) -> None:
        bound = size_of(columns) * self._size
        if not math.isfinite(bound):
            require_finite(columns, "values")
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            for block in self._blocks:
                weights = block.weights.astype(columns.dtype, copy=False)
                np.matmul(weights, columns[block.columns], out=result[block.rows])
        if not (bound < half_of_largest(columns.dtype) or is_finite(result[at])):
            raise ValueError(f"values overflow in {columns.dtype}; scale them down")

    @cached_property
    def _size(self) -> float:
        return size_of(self.weights)

    @cached_property
    def _blocks(self) -> list[_Block]:
        """Cut the sums into blocks, and join neighbours as long as that saves time."""
        blocks: list[_Block] = []
        for at, i in zip(
            np.flatnonzero(self.source < 0).tolist(), range(len(self.weights)), strict=True
        ):
            read = np.flatnonzero(self.weights[i])
            first, last = (int(read[0]), int(read[-1]) + 1) if read.size else (0, 1)
            block = _Block(
                slice(at, at + 1), slice(first, last), self.weights[i : i + 1, first:last]
            )
            if blocks and blocks[-1].rows.stop == at:
                before = blocks[-1]
                first = min(first, before.columns.start)
                last = max(last, before.columns.stop)
                n_rows = len(before.weights) + 1
                joint = _Block(
                    slice(before.rows.start, at + 1),
                    slice(first, last),
                    self.weights[i + 1 - n_rows : i + 1, first:last],
                )
                if _cost(joint) <= _cost(before) + _cost(block):
                    blocks[-1] = joint
                    continue
            blocks.append(block)
        return blocks


def _cost(block: _Block) -> int:
    n_rows, n_read = block.rows.stop - block.rows.start, block.columns.stop - block.columns.start
    return int(_OVERHEAD + (n_rows + 1) * n_read)
