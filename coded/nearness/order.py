"""In which order inputs are laid along the code's line, so that neighbours are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from coded.nearness.distances import distances_between, flattened
from coded.nearness.paths import short_path
from fastspline.arrays import FloatArray


def path_order(inputs: ArrayLike) -> NDArray[np.intp]:
    """Lay similar inputs next to each other: a short open path through all of them.

    Seeks the permutation p that minimises ``sum_i ||x[p[i+1]] - x[p[i]]||`` over the
    flattened inputs: greedy edges (the shortest first), then 2-opt moves (a piece turned
    round) and Or-opt moves (a piece of one to three inputs put elsewhere, either way
    round) that join near inputs, until neither shortens the path. O(K^2) in time, most
    of it for the distances, and in memory. Deterministic, and a matter of the inputs
    alone: permuting distinct inputs gives the same path through them, in the same
    direction.

    Parameters
    ----------
    inputs : array_like, shape (K, ...)
        Any finite numbers, numpy or torch; equal inputs are allowed.

    Returns
    -------
    ndarray of int, shape (K,)
        ``inputs[path_order(inputs)]`` is ordered along the path.

    Raises
    ------
    TypeError
        If `inputs` holds no real numbers.
    ValueError
        If there is no input, or if a number is not finite.

    Examples
    --------
    >>> path_order([3.0, 1.0, 2.0, 5.0]).tolist() in ([1, 2, 0, 3], [3, 0, 2, 1])
    True
    """
    rows = flattened(inputs)
    canonical = canonical_order(rows)
    return canonical[short_path(distances_between(rows, canonical))]


def similar_groups(inputs: ArrayLike, size: int) -> list[NDArray[np.intp]]:
    """Split many inputs into groups of similar ones: consecutive pieces of a short path.

    For batches larger than a code: inputs that share a group are near each other, so that
    what is lost in it is estimated well.

    Parameters
    ----------
    inputs : array_like, shape (B, ...)
        Any finite numbers, numpy or torch; equal inputs are allowed.
    size : int
        K >= 1, the inputs in a group. The last group holds what is left, up to K of them:
        repeat one of them to fill a code for K inputs, or take a smaller code for it.

    Returns
    -------
    list of ndarray of int
        ``ceil(B / K)`` arrays of indices, each in the order of the path; together every
        index once.

    Raises
    ------
    TypeError
        If `inputs` holds no real numbers, or `size` is no integer.
    ValueError
        If there is no input, a number is not finite, or `size` is below 1.

    Examples
    --------
    >>> groups = similar_groups([0.1, 9.0, 0.2, 9.1, 0.3, 9.3], 3)
    >>> sorted(sorted(group.tolist()) for group in groups)
    [[0, 2, 4], [1, 3, 5]]
    """
    size = read_count(size, "size", at_least=1)
    order = path_order(inputs)
    return [order[start : start + size] for start in range(0, len(order), size)]


def canonical_order(rows: FloatArray) -> NDArray[np.intp]:
    """Sort rows by their bytes, the first number's highest first.

    Ties and direction of a path then do not depend on the caller's order, nor on the last bits.
    """
    highest_first = rows.astype(rows.dtype.newbyteorder(">"))
    return np.array(
        sorted(range(len(rows)), key=lambda k: highest_first[k].tobytes()), dtype=np.intp
    )
