"""All determinants of as many rows of a tall matrix, modulo a prime, as it has columns."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from coded.algebra.prime_field import IntArray


def maximal_minors(matrix: IntArray, prime: int) -> IntArray:
    """Give the determinant of each choice of n rows, n the number of columns.

    Those of the first t columns come from those of the first t - 1 by Laplace's expansion along
    column t, so that ``n binom(m, n)`` products are all that it takes.

    Parameters
    ----------
    matrix : ndarray of int64, shape (m, n)
        Residues in [0, p), m >= n.
    prime : int
        p.

    Returns
    -------
    ndarray of int64, shape (binom(m, n),)
        Residues, rows ``c_1 < ... < c_n`` at ``sum_i binom(c_i, i)``: in colexicographic order.

    Examples
    --------
    >>> maximal_minors(np.array([[1, 0], [0, 1], [2, 3]]), 97)
    array([ 1,  3, 95])
    """
    n_rows, n_columns = matrix.shape
    ranks = np.array([[comb(c, i) for i in range(n_columns + 1)] for c in range(n_rows)])
    minors = np.ones(1, np.int64)  # of no rows and no columns
    for size in range(1, n_columns + 1):
        chosen = _choices(n_rows, size)
        places = [ranks[column, i + 1] for i, column in enumerate(chosen)]
        expanded = np.zeros(len(chosen[0]), np.int64)
        for left_out in range(size):
            # What comes behind the row that is left out moves up by one place.
            before = sum(places[:left_out], np.zeros(len(expanded), np.int64))
            rest = before + sum(ranks[chosen[i], i] for i in range(left_out + 1, size))
            term = matrix[chosen[left_out], size - 1] * minors[rest] % prime
            expanded += term if (size - 1 - left_out) % 2 == 0 else prime - term
        minors = np.empty(len(expanded), np.int64)
        minors[sum(places)] = expanded % prime
    return minors


def _choices(n_rows: int, size: int) -> NDArray[np.intp]:
    """Give every choice of rows as a column, ascending, shape (size, binom(n_rows, size))."""
    chosen = combinations(range(n_rows), size)
    flat = np.fromiter((row for one in chosen for row in one), np.intp, size * comb(n_rows, size))
    return np.ascontiguousarray(flat.reshape(-1, size).T)
