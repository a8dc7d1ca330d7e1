"""Which of several values are wrong: those that no rational function through the others meets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coded.algebra.barycentric import left_out_terms
from coded.maps.arrays import Matrix
from coded.places.points import Points

_REACH = 1e4  # in the spread of the others: a larger error would hide smaller ones in rounding
_ALIKE = 100.0  # columns whose spreads differ by less are taken to have one unit
_BLOCK = 16  # columns that are predicted at once


def locator_magnitudes(points: Points, values: Matrix, degree: int) -> Matrix:
    """Give for each column how large the denominator of its rational function is at each point.

    Polynomials P and Q of the given degree with ``P(x_i) = y_i Q(x_i)`` at all points are
    sought: where values on a rational function are changed at few points, Q is zero there.
    With Z an orthonormal basis of the polynomials' values at the points and N one of what is
    orthogonal to them, Q = Z q, and q, of unit norm, minimises ``||N^T diag(y) Z q||``: it is
    the last right singular vector. That Q is the same for all ``a y + b``, and no coefficient
    need be nonzero.

    Parameters
    ----------
    points : ndarray, shape (n,)
        Distinct x in [-1, 1], n > degree.
    values : ndarray, shape (n, columns)
        All finite.
    degree : int
        Of P and of Q.

    Returns
    -------
    ndarray, shape (columns, n)
        ``|Q(x_i)|``; the squares of a row sum to 1.

    References
    ----------
    M. Soleymani, R. E. Ali, H. Mahdavifar, A. S. Avestimehr, "ApproxIFER: A Model-Agnostic
    Approach to Resilient and Robust Prediction Serving Systems", AAAI 2022, arXiv:2109.09868,
    error locator; there monomials, and the constant coefficient of Q is 1.

    Examples
    --------
    >>> points = np.cos(np.pi * np.arange(6) / 5)
    >>> values = 1.0 / (2.0 + points)
    >>> values[2] += 1.0
    >>> locator_magnitudes(points, values[:, None], 2).round(3)
    array([[0.629, 0.426, 0.   , 0.317, 0.404, 0.397]])
    """
    vandermonde = np.polynomial.chebyshev.chebvander(points, degree)
    orthogonal, _ = np.linalg.qr(vandermonde, mode="complete")
    basis, rest = orthogonal[:, : degree + 1], orthogonal[:, degree + 1 :]
    missed = np.einsum("ip,ic,iq->cpq", rest, _in_units(values), basis, optimize=True)
    _, _, right = np.linalg.svd(missed, full_matrices=True)
    return np.asarray(np.abs(right[:, -1] @ basis.T))


def most_voted(magnitudes: Matrix, count: int) -> NDArray[np.intp]:
    """Give the points that most columns find among their `count` smallest magnitudes.

    Parameters
    ----------
    magnitudes : ndarray, shape (columns, n)
        As of `locator_magnitudes`.
    count : int
        How many points a column votes for, and how many are returned.

    Returns
    -------
    ndarray of int, shape (count,)
        Ascending. Of points with equal votes those with the smaller product of magnitudes.
    """
    smallest = np.argsort(magnitudes, axis=1, kind="stable")[:, :count]
    votes = np.bincount(smallest.ravel(), minlength=magnitudes.shape[1])
    products = np.log(np.maximum(magnitudes, np.finfo(np.float64).tiny)).sum(axis=0)
    return np.sort(np.lexsort((products, -votes))[:count])


def agreement(magnitudes: Matrix, suspects: NDArray[np.intp]) -> float:
    """Give the share of the columns that vote for a suspect, of the one with the fewest votes."""
    if len(magnitudes) == 0:
        return 1.0
    smallest = np.argsort(magnitudes, axis=1, kind="stable")[:, : len(suspects)]
    votes = np.bincount(smallest.ravel(), minlength=magnitudes.shape[1])
    return float(votes[suspects].min() / len(magnitudes))


def hardest_to_predict(points: Points, values: Matrix, count: int) -> NDArray[np.intp]:
    """Give the points without which the others predict each other best, dropped one by one.

    Each time that one is dropped without which the sum of squares is least of what Berrut's
    interpolant through all others but one misses at that one (`leave_one_out_matrix`). To drop
    point m changes the signs beyond it, so that all sums follow from cumulative ones: O(n^2) a
    column and a dropped point.

    Parameters
    ----------
    points : ndarray, shape (n,)
        Strictly ascending x, n >= count + 2.
    values : ndarray, shape (n, columns)
        All finite, in comparable units (`column_units`).
    count : int
        How many points are returned.

    Returns
    -------
    ndarray of int, shape (count,)
        Ascending.

    Examples
    --------
    >>> points = np.linspace(-1.0, 1.0, 9)
    >>> values = np.sin(points)
    >>> values[[2, 5]] += 0.3
    >>> hardest_to_predict(points, values[:, None], 2)
    array([2, 5])
    """
    kept = np.arange(len(points))
    for _ in range(count):
        missed = _squares_without(points[kept], values[kept])
        kept = np.delete(kept, np.argmin(missed))
    return np.setdiff1d(np.arange(len(points)), kept)


def column_units(values: Matrix, count: int) -> NDArray[np.float64]:
    """Give a unit for each column, by which columns with different units become comparable.

    The spread of a column is that of its values without the `count` largest and smallest. Its
    unit is the largest spread in the matrix that is at most 100 times its own: what varies less
    than others in the same unit, as the probability of an unlikely class, counts as little.
    """
    ascending = np.sort(values, axis=0)
    trimmed = ascending[count : len(values) - count]
    spreads = np.ptp(trimmed, axis=0) if len(trimmed) else np.ptp(values, axis=0)
    is_varying = spreads > 0.0
    if not is_varying.any():
        whole = np.ptp(values, axis=0)
        return np.where(whole > 0.0, whole, 1.0)
    spreads = np.where(is_varying, spreads, spreads[is_varying].min())
    ordered = np.sort(spreads)
    with np.errstate(over="ignore"):
        return np.asarray(ordered[np.searchsorted(ordered, _ALIKE * spreads, side="right") - 1])


def clipped(values: Matrix, count: int) -> Matrix:
    """Give the values, those that are far from all but `count` on either side drawn in.

    To 10^4 times the spread of the others: farther, so that they are seen as well as before.
    """
    if len(values) <= 2 * count:
        return values
    ascending = np.sort(values, axis=0)
    low, high = ascending[count], ascending[len(values) - 1 - count]
    with np.errstate(over="ignore"):  # inf clips nothing
        reach = _REACH * (high - low)
        bounded = np.clip(values, low - reach, high + reach)
    return np.where(high > low, bounded, values)


def _squares_without(points: Points, values: Matrix) -> NDArray[np.float64]:
    """Give for each point the squares that the others miss each other by without it, shape (n,)."""
    terms = left_out_terms(points)
    sums = _signed_sums(terms)
    np.fill_diagonal(sums, 1.0)  # where the dropped point itself would be predicted
    squares = np.zeros((len(points), len(points)))
    for first in range(0, values.shape[1], _BLOCK):
        block = values[:, first : first + _BLOCK]
        missed = _signed_sums(terms[..., None] * block) / sums[..., None] - block[:, None]
        squares += np.einsum("imc,imc->im", missed, missed)
    np.fill_diagonal(squares, 0.0)
    return np.asarray(squares.sum(axis=0))


def _signed_sums(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give ``sum_{j < m} terms_ij - sum_{j > m} terms_ij`` for all i and m."""
    below = np.cumsum(terms, axis=1)
    return np.asarray(2.0 * below - terms - below[:, -1:])


def _in_units(values: Matrix) -> Matrix:
    """Shift and scale each column to [-1, 1]; a constant one becomes zero."""
    largest = np.abs(values).max(axis=0)
    scaled = values / np.where(largest > 0.0, largest, 1.0)
    scaled = scaled - np.median(scaled, axis=0)
    spread = np.abs(scaled).max(axis=0)
    return np.asarray(scaled / np.where(spread > 0.0, spread, 1.0))
