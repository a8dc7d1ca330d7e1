"""How far inputs are from each other, by the Euclidean distance of all their numbers.

By ``|a - b|^2 = |a|^2 + |b|^2 - 2 a.b``, which is a product of matrices, about the centre, and by
the difference itself where inputs are so close that the formula loses digits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline.arrays import FloatArray, read_array, require_finite

_CLOSE = 1e-5  # share of the squared norms below which the formula has lost digits
FEW = 3  # numbers in an input up to which they are parameters, and f may be smooth in them
_BLOCK = 16384  # columns turned to float64 at a time: large inputs are never copied whole


def flattened(inputs: ArrayLike) -> FloatArray:
    """Give the inputs, at least one and all finite, as rows, shape (K, features)."""
    array, _ = read_array(inputs, "inputs")
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(
            f"inputs must hold at least one input along axis 0, got shape {array.shape}; stack them"
        )
    require_finite(array, "inputs")
    features = int(np.prod(array.shape[1:]))
    return array.reshape(len(array), features)


def natural_units(rows: FloatArray) -> NDArray[np.float64]:
    """Give for inputs of up to three numbers the range of each, shape (features,); else ones.

    Few numbers are parameters of different kinds: the unit of one must not decide what is near.
    """
    ones = np.ones(rows.shape[1])
    if rows.shape[1] > FEW:
        return ones
    with np.errstate(over="ignore"):
        ranges = np.ptp(rows.astype(np.float64), axis=0)
    return np.where((ranges > 0.0) & np.isfinite(ranges), ranges, ones)


def distances(rows: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the distances between two stacks of points.

    Parameters
    ----------
    rows : ndarray, shape (m, d)
    others : ndarray, shape (n, d)

    Returns
    -------
    ndarray, shape (m, n)

    Examples
    --------
    >>> distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0]]))
    array([[0.],
           [5.]])
    """
    middle = others.mean(axis=0) if len(others) else 0.0
    a, b = rows - middle, others - middle
    total = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)
    squared = total - 2.0 * (a @ b.T)
    i, j = np.nonzero(_has_lost_digits(squared, total))
    squared[i, j] = ((rows[i] - others[j]) ** 2).sum(axis=1)
    return np.asarray(np.sqrt(squared))


def distances_between(rows: FloatArray, order: NDArray[np.intp]) -> NDArray[np.float64]:
    """Give the (K, K) distances between ``rows[order]``, in units of the largest absolute number.

    In float64, some columns at a time.
    """
    gram = np.zeros((len(rows), len(rows)))
    scale = float(np.abs(rows).max(initial=0.0)) or 1.0
    for start in range(0, rows.shape[1], _BLOCK):
        block = rows[order, start : start + _BLOCK].astype(np.float64, copy=False)
        block /= scale
        block -= block.mean(axis=0)
        gram += block @ block.T
    squares = gram.diagonal()
    total = squares[:, None] + squares
    squared = total - gram - gram.T
    np.fill_diagonal(squared, 0.0)
    is_close = np.triu(_has_lost_digits(squared, total), 1)
    for i in np.flatnonzero(is_close.any(axis=1)):
        near = np.flatnonzero(is_close[i])
        squared[i, near] = squared[near, i] = _squares(rows, order[near], order[i], scale)
    return np.sqrt(squared)


def _has_lost_digits(squared: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell where ``|a|^2 + |b|^2 - 2 a.b`` is little beside ``|a|^2 + |b|^2``."""
    return squared <= _CLOSE * total


def steps_along(rows: FloatArray, order: NDArray[np.intp]) -> NDArray[np.float64]:
    """Give the (K - 1,) distances from each row to the next along `order`, in the same units."""
    down = -_exponents(rows, axis=None)
    scale = np.ldexp(np.abs(rows).max(initial=0.0), down) or 1.0
    steps = np.empty(len(order) - 1)
    here = np.ldexp(rows[order[0]], down)  # no overflow
    for i, k in enumerate(order[1:]):
        there = np.ldexp(rows[k], down)
        step = (there - here) / scale
        steps[i] = np.sqrt(step @ step)
        here = there
    return steps


def _squares(
    rows: FloatArray, those: NDArray[np.intp], this: np.intp, scale: float
) -> NDArray[np.float64]:
    """Give the squared distances of some rows from one that is near, in units of `scale`."""
    result = np.zeros(len(those))
    for start in range(0, rows.shape[1], _BLOCK):
        here, there = rows[this, start : start + _BLOCK], rows[those, start : start + _BLOCK]
        steps = (there - here).astype(np.float64) / scale
        result += np.einsum("ij,ij->i", steps, steps)
    return result


def _exponents(rows: FloatArray, axis: int | None) -> NDArray[np.intc]:
    """Give the binary exponents of the largest absolute numbers: scaling by them is exact."""
    return np.asarray(np.frexp(np.abs(rows).max(axis=axis, initial=0.0))[1])
