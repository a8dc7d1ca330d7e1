"""Wrong symbols of Reed-Solomon codewords modulo a prime: which they are, in many columns at once.

A codeword holds the values of a polynomial of degree below `dimension` at given points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coded.algebra.prime_field import (
    IntArray,
    lagrange_matrix,
    product,
    solve,
    vandermonde,
)


def locate_wrong_rows(
    points: IntArray, symbols: IntArray, check: IntArray, prime: int
) -> NDArray[np.intp] | None:
    """Find the rows that hold wrong symbols, if they are at most half the surplus.

    A random combination of the columns is wrong in every row that is wrong in any of them, but
    with probability 1 / p. `berlekamp_welch` finds these rows; they are erased, which costs one
    surplus row each where an unknown wrong row costs two, and the columns are checked again,
    until all are codewords. Each round finds a row at least; most often the first finds all.

    Parameters
    ----------
    points : ndarray of int64, shape (R,)
        Different modulo p.
    symbols : ndarray of int64, shape (R, columns)
        Residues in [0, p); the wrong ones may lie in other rows from column to column.
    check : ndarray of int64, shape (R - dimension, dimension)
        `check_matrix` of the points.
    prime : int
        p.

    Returns
    -------
    ndarray of int or None
        Ascending indices, at most ``(R - dimension) // 2``: without these rows all columns are
        codewords. None where no such rows exist.
    """
    dimension = check.shape[1]
    remaining = len(check) // 2
    is_kept = np.ones(len(points), bool)
    while True:
        columns = _wrong_columns(check, symbols, prime)
        if columns.size == 0:
            return np.flatnonzero(~is_kept)
        symbols = symbols[:, columns]  # the others are codewords, and so they are without a row
        kept = points[is_kept]
        wrong = berlekamp_welch(kept, _mix(symbols, prime), dimension, remaining, prime)
        if wrong is not None and not wrong.any():  # errors cancelled, as they do once in p times
            wrong = berlekamp_welch(kept, symbols[:, 0], dimension, remaining, prime)
        if wrong is None:
            return None
        symbols = symbols[~wrong]
        is_kept[is_kept] = ~wrong
        remaining -= int(np.count_nonzero(wrong))
        check = check_matrix(kept[~wrong], dimension, prime)


def check_matrix(points: IntArray, dimension: int, prime: int) -> IntArray:
    """Give the matrix from a codeword's first `dimension` symbols to the others."""
    return lagrange_matrix(points[:dimension], points[dimension:], prime)


def berlekamp_welch(
    points: IntArray, symbols: IntArray, dimension: int, n_wrong: int, prime: int
) -> NDArray[np.bool_] | None:
    """Find up to `n_wrong` wrong symbols of one codeword.

    Solves ``P(x_i) = y_i Q(x_i)`` for P of degree below ``dimension + n_wrong`` and Q monic of
    degree `n_wrong`: Q is 0 wherever y_i is wrong, and P / Q is the polynomial. P is eliminated
    first, for ``y_i Q(x_i)`` must be a codeword of dimension ``dimension + n_wrong``; n_wrong
    unknowns are left.

    Parameters
    ----------
    points : ndarray of int64, shape (R,)
        R >= dimension + 2 n_wrong.
    symbols : ndarray of int64, shape (R,)
        Residues.
    dimension, n_wrong : int
    prime : int
        p.

    Returns
    -------
    ndarray of bool, shape (R,), or None
        True where a symbol is wrong; None where more than `n_wrong` are, whichever codeword is
        taken.

    References
    ----------
    L. R. Welch, E. R. Berlekamp, "Error correction for algebraic block codes", US patent
    4633470 (1986).

    Examples
    --------
    >>> points = np.arange(3, 10)
    >>> received = np.array([95, 94, 65, 61, 32, 3, 93])
    >>> np.flatnonzero(berlekamp_welch(points, received, 3, 2, 97))
    array([1, 5])
    """
    powers = vandermonde(points, n_wrong + 1, prime)
    weighted = symbols[:, None] * powers % prime
    free = dimension + n_wrong
    check = check_matrix(points, free, prime)
    of_q = product(check, weighted[:free], prime) - weighted[free:]
    solution = solve(of_q[:, :-1], -of_q[:, -1], prime)
    if solution is None:
        return None
    q = np.append(solution, 1)
    is_root = product(powers, q[:, None], prime)[:, 0] == 0
    right = np.flatnonzero(~is_root)[:dimension]
    codeword = product(lagrange_matrix(points[right], points, prime), symbols[right, None], prime)
    wrong: NDArray[np.bool_] = codeword[:, 0] != symbols
    return wrong if np.count_nonzero(wrong) <= n_wrong else None


def _wrong_columns(check: IntArray, symbols: IntArray, prime: int) -> NDArray[np.intp]:
    """Give the columns that are no codewords, ascending."""
    dimension = check.shape[1]
    predicted = product(check, symbols[:dimension], prime)
    return np.flatnonzero((predicted != symbols[dimension:]).any(axis=0))


def _mix(symbols: IntArray, prime: int) -> IntArray:
    """Give a combination of the columns, random but the same each time, shape (R,)."""
    coefficients = np.random.default_rng(0).integers(1, prime, (1, symbols.shape[1]))
    mixed: IntArray = product(coefficients, symbols.T, prime)[0]
    return mixed
