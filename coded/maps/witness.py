"""A row of a product that shows whether the whole is finite."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# Of a witness: how many weights, in which rows, how large in any dtype, the smallest by the
# largest, and how far their ratios are from those of whole numbers up to 16, beyond rounding.
_MOST_WEIGHTS, _TRIED, _LARGEST, _SMALLEST, _APART, _SMALL = 64, 4, 1e30, 1e-9, 1e-6, 16


def find_witness(matrix: NDArray[np.float64]) -> int | None:
    """Give a row of the matrix whose products show whether all others overflow.

    Numbers so large that a sum of them overflows do not cancel there to below the root of the
    largest number, unless they were made for that: weights are as large as any in the matrix, none
    is 0, and no two of them are in a ratio of small whole numbers, as plain data may be.
    """
    n = matrix.shape[1]
    if not (len(matrix) > 1 and 0 < n <= _MOST_WEIGHTS):
        return None
    sizes = np.sort(np.abs(matrix), axis=1)
    largest = sizes[:, -1].max()
    if not 0.0 < largest < _LARGEST:
        return None
    good = (sizes[:, 0] > _SMALLEST * largest) & (sizes[:, -1] > 0.1 * largest)
    for row in np.flatnonzero(good)[:_TRIED].tolist():
        ratios = (sizes[row] / sizes[row, :, None])[np.tri(n, k=-1, dtype=bool)]  # below 1
        multiples = ratios[:, None] * np.arange(1, _SMALL + 1)
        if (np.abs(multiples - np.rint(multiples)) > _APART * multiples).all():
            return int(row)
    return None


class Witness:
    """`find_witness` from the second use on: it takes longer than it saves once."""

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        self._matrix, self._is_used = matrix, False

    def __call__(self) -> int | None:
        """Give the row, or None."""
        if self._is_used:
            return self._row
        self._is_used = True
        return None

    @cached_property
    def _row(self) -> int | None:
        return find_witness(self._matrix)
