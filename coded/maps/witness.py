"""Rows of a product that show whether the whole is finite."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# Of witnesses: how many weights, which rows are tried, how many are enough, how large weights are
# in any dtype, how small beside the largest, and how far their ratios are from those of whole
# numbers up to 16, beyond rounding.
_MOST_WEIGHTS, _TRIED, _MOST_ROWS, _LARGEST, _SMALLEST, _APART, _SMALL = (
    64,
    8,
    3,
    1e30,
    1e-9,
    1e-6,
    16,
)

Witnesses = tuple[int, ...]


def find_witnesses(matrix: NDArray[np.float64]) -> Witnesses:
    """Give a few rows of the matrix whose products show whether any other overflows; () for none.

    Numbers so large that a sum of them overflows do not cancel there to below the root of the
    largest number, unless they were made for that: each column has, in one of these rows, a weight
    as large as any in the matrix but for nine digits, and there no two weights are in a ratio of
    small whole numbers, as plain data may be.
    """
    n = matrix.shape[1]
    if not (len(matrix) > 1 and 0 < n <= _MOST_WEIGHTS):
        return ()
    sizes = np.abs(matrix)
    largest = sizes.max()
    if not 0.0 < largest < _LARGEST:
        return ()
    seen = sizes > _SMALLEST * largest
    seen[sizes.max(axis=1) <= 0.1 * largest] = False
    rows: list[int] = []
    covered = np.zeros(n, dtype=np.bool_)
    for _ in range(_TRIED):
        gains = (seen & ~covered).sum(axis=1)
        row = int(gains.argmax())
        if gains[row] == 0 or len(rows) == _MOST_ROWS:
            return ()
        if _has_plain_ratios(sizes[row, seen[row]]):
            seen[row] = False
            continue
        rows.append(row)
        covered |= seen[row]
        if covered.all():
            return tuple(rows)
    return ()


def _has_plain_ratios(sizes: NDArray[np.float64]) -> bool:
    """Tell whether any two of some positive numbers are in a ratio of small whole numbers."""
    sizes = np.sort(sizes)
    ratios = (sizes / sizes[:, None])[np.tri(len(sizes), k=-1, dtype=bool)]  # below 1
    multiples = ratios[:, None] * np.arange(1, _SMALL + 1)
    return bool((np.abs(multiples - np.rint(multiples)) <= _APART * multiples).any())


class LazyWitnesses:
    """`find_witnesses` from the second use on: it takes longer than it saves once."""

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        self._matrix, self._is_used = matrix, False

    def __call__(self) -> Witnesses:
        """Give the rows, or none."""
        if self._is_used:
            return self._rows
        self._is_used = True
        return ()

    @cached_property
    def _rows(self) -> Witnesses:
        return find_witnesses(self._matrix)
