"""Where inputs (alpha) and workers (beta) sit on the line [-1, 1], ascending."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from fastspline.arrays import read_vector

Points = NDArray[np.float64]

_MORE_AT_ENDS = 3
# Points of two families are equal or differ by much more than the rounding of points in [-1, 1].
_ROUNDING = 32 * np.finfo(np.float64).eps


def chebyshev_first(n: int) -> Points:
    """Give the Chebyshev points of the first kind, ``-cos((2k + 1) pi / (2n))``.

    Parameters
    ----------
    n : int
        How many, n >= 1.

    Returns
    -------
    ndarray, shape (n,)
        Ascending, inside (-1, 1), exactly symmetric.

    Raises
    ------
    TypeError
        If `n` is no integer.
    ValueError
        If `n` is below 1.

    Examples
    --------
    >>> chebyshev_first(3).round(6)
    array([-0.866025,  0.      ,  0.866025])
    """
    n = read_count(n, "n", at_least=1)
    return np.sin(np.pi * _symmetric_integers(n) / (2 * n))


def chebyshev_second(n: int) -> Points:
    """Give the Chebyshev points of the second kind, ``-cos(k pi / (n - 1))``.

    Parameters
    ----------
    n : int
        How many, n >= 1; a single one lies at 0.

    Returns
    -------
    ndarray, shape (n,)
        Ascending, from -1 to 1, exactly symmetric.

    Raises
    ------
    TypeError
        If `n` is no integer.
    ValueError
        If `n` is below 1.

    Examples
    --------
    >>> chebyshev_second(5).round(6)
    array([-1.      , -0.707107,  0.      ,  0.707107,  1.      ])
    """
    n = read_count(n, "n", at_least=1)
    return np.sin(np.pi * _symmetric_integers(n) / (2 * max(n - 1, 1)))


def equidistant(n: int) -> Points:
    """Give evenly spaced points, ``-1 + 2k / (n - 1)``.

    Parameters
    ----------
    n : int
        How many, n >= 1; a single one lies at 0.

    Returns
    -------
    ndarray, shape (n,)
        Ascending, from -1 to 1, exactly symmetric.

    Raises
    ------
    TypeError
        If `n` is no integer.
    ValueError
        If `n` is below 1.

    Examples
    --------
    >>> equidistant(5)
    array([-1. , -0.5,  0. ,  0.5,  1. ])
    """
    n = read_count(n, "n", at_least=1)
    return _symmetric_integers(n) / max(n - 1, 1)


def systematic(alpha: ArrayLike, n_workers: int, *, copies: int = 1) -> Points:
    """Give worker points that contain the input points, the rest between them.

    Each alpha is the point of `copies` workers, or of ``floor(N / K)`` if there are not
    enough workers for that; such a worker evaluates an input itself. The other workers
    are spread evenly inside the K - 1 gaps, so many in each that the widest interval
    which is left is as short as possible. With fewer workers than inputs, N of the alphas
    spread evenly are taken, ends included.

    Parameters
    ----------
    alpha : array_like, shape (K,)
        Strictly ascending input points.
    n_workers : int
        N >= 1.
    copies : int, optional
        Workers at each alpha, at least 1.

    Returns
    -------
    ndarray, shape (N,)
        Non-decreasing.

    Raises
    ------
    TypeError
        If `alpha` holds no real numbers or a count is no integer.
    ValueError
        If `alpha` is empty, not one-dimensional or not strictly ascending, or a count
        is below 1.

    Examples
    --------
    >>> systematic([-1.0, 0.0, 1.0], 5)
    array([-1. , -0.5,  0. ,  0.5,  1. ])
    >>> systematic([-1.0, 0.0, 1.0], 7, copies=2)
    array([-1. , -1. ,  0. ,  0. ,  0.5,  1. ,  1. ])
    >>> systematic([-1.0, 0.0, 1.0], 2)
    array([-1.,  1.])
    """
    alpha = read_vector(alpha, "alpha")
    n_workers = read_count(n_workers, "n_workers", at_least=1)
    copies = read_count(copies, "copies", at_least=1)
    if alpha.size == 0:
        raise ValueError("alpha must hold at least one point, got none; pass the input points")
    if not (np.diff(alpha) > 0).all():
        i = int(np.argmin(np.diff(alpha) > 0)) + 1
        raise ValueError(
            f"alpha must be strictly ascending, but alpha[{i}] = {alpha[i]} follows "
            f"alpha[{i - 1}] = {alpha[i - 1]}; sort the points and drop repeats"
        )
    if n_workers < alpha.size:
        return alpha[_spread(n_workers, alpha.size)]
    if alpha.size == 1:
        return np.repeat(alpha, n_workers)
    copies = min(copies, n_workers // alpha.size)
    spare = n_workers - copies * alpha.size
    in_gap = _shares(np.diff(alpha), spare)
    gap = np.repeat(np.arange(alpha.size - 1), in_gap)
    place_in_gap = np.arange(spare) - np.repeat(np.cumsum(in_gap) - in_gap, in_gap) + 1
    fraction = place_in_gap / (in_gap[gap] + 1)
    between = alpha[gap] + fraction * (alpha[gap + 1] - alpha[gap])
    return np.sort(np.concatenate([np.repeat(alpha, copies), between]))


def on_curve(alpha: ArrayLike, n_workers: int, n_stragglers: int) -> Points:
    """Give the worker points for a function that is smooth along the curve through the inputs.

    `systematic`, with as many copies at each alpha as fit where S workers cannot hold all copies
    of an input: then every output is exact. Else with one copy less but at least one, for points
    in the gaps keep a run of lost inputs from becoming one wide gap; and of the workers that are
    left one for every six inputs, up to three, sit at each end, for beyond the last answer the
    curve is only continued. Measured on functions of one parameter: the copies at the ends make
    squared errors 2 to 25 times smaller; more of them lack in the gaps.

    Parameters
    ----------
    alpha : array_like, shape (K,)
        Strictly ascending input points.
    n_workers : int
        N >= 1.
    n_stragglers : int
        S in [0, N).

    Returns
    -------
    ndarray, shape (N,)
        Non-decreasing.

    Raises
    ------
    TypeError, ValueError
        As `systematic`.

    Examples
    --------
    >>> on_curve([-1.0, 0.0, 1.0], 7, 4)
    array([-1. , -1. , -0.5,  0. ,  0.5,  1. ,  1. ])
    >>> on_curve([-1.0, 0.0, 1.0], 7, 1)
    array([-1. , -1. ,  0. ,  0. ,  0.5,  1. ,  1. ])
    """
    alpha = read_vector(alpha, "alpha")
    n_workers = read_count(n_workers, "n_workers", at_least=1)
    n_stragglers = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=n_workers - 1)
    copies = n_workers // max(alpha.size, 1)
    if n_stragglers < copies:
        return systematic(alpha, n_workers, copies=copies)
    copies = max(1, copies - 1)
    spare = max(n_workers - copies * alpha.size, 0)
    at_end = min(_MORE_AT_ENDS, max(1, alpha.size // 6), spare // 2)
    beta = systematic(alpha, n_workers - 2 * at_end, copies=copies)
    return np.sort(np.concatenate([beta, np.repeat(alpha[[0, -1]], at_end)]))


def nearest_equal(points: Points, nodes: Points) -> NDArray[np.intp]:
    """Give for each of `points` the index of the node that it equals up to rounding, or -1."""
    gaps = np.abs(points[:, None] - nodes)
    nearest = gaps.argmin(axis=1)
    is_equal = gaps[np.arange(len(points)), nearest] <= _ROUNDING
    return np.where(is_equal, nearest, -1)


def snapped(points: Points, nodes: Points) -> Points:
    """Give the points, those that equal a node up to rounding replaced by that node."""
    node = nearest_equal(points, nodes)
    return np.where(node >= 0, nodes[node], points)


def _shares(gaps: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Deal `count` points to the gaps, each into one with the widest interval.

    The m-th point of a gap h splits intervals of h / m: the `count` largest of these are taken,
    of equal ones some that are spread evenly.
    """
    if count == 0:
        return np.zeros(gaps.size, dtype=np.intp)
    # Intervals t that are left fit at most gaps.sum() / t <= count + gaps.size times.
    most = int((count + gaps.size) * (gaps.max() / gaps.sum())) + 1
    intervals = gaps[:, None] / np.arange(1, min(most, count) + 1)
    last = np.partition(intervals, -count, axis=None)[-count]
    taken = (intervals > last * (1 + 1e-9)).sum(axis=1)
    tied = np.flatnonzero((np.abs(intervals - last) <= last * 1e-9).any(axis=1))
    taken[tied[_spread(count - int(taken.sum()), tied.size)]] += 1
    return np.asarray(taken, dtype=np.intp)


def _symmetric_integers(n: int) -> NDArray[np.intp]:
    """``-(n - 1), -(n - 3), ..., n - 1``."""
    return 2 * np.arange(n) - (n - 1)


def _spread(count: int, size: int) -> NDArray[np.intp]:
    """`count` different indices below `size`, spread evenly, the ends included from two on."""
    if count == 1:
        return np.array([size // 2])
    steps = max(count - 1, 1)
    return (2 * np.arange(count) * (size - 1) + steps) // (2 * steps)
