"""Seriation: in which order to lay rows along a line, so that neighbours are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.nearness.tour import LARGEST, lay_along_paths
from fastspline.arrays import read_array


def short_path(distances: ArrayLike) -> NDArray[np.intp]:
    """Give a short open path through all K rows, by how far each is from each.

    Greedy edges (the shortest first), then 2-opt moves (a piece turned round) and Or-opt moves (a
    piece of one to three rows put elsewhere, either way round) that lay some row beside one of the
    ten nearest to it, or at an end of the path, until none shortens it. O(K^2) in time and memory.
    Deterministic: of equal distances that between the first rows counts as the shortest.

    Parameters
    ----------
    distances : array_like, shape (..., K, K)
        Numbers in [0, 1e300], K >= 1. Only the upper triangles are read. Each leading index is a
        problem of its own.

    Returns
    -------
    ndarray of int, shape (..., K)
        The rows in order along the path.

    Raises
    ------
    TypeError
        If `distances` holds no real numbers.
    ValueError
        If the last two axes are not of one length K >= 1, or a distance is not in [0, 1e300].

    References
    ----------
    J. L. Bentley, "Fast algorithms for geometric traveling salesman problems", ORSA Journal on
    Computing 4 (1992) 387-411.

    Examples
    --------
    >>> places = np.array([3.0, 1.0, 2.0, 5.0])
    >>> short_path(abs(places[:, None] - places)).tolist()
    [1, 2, 0, 3]
    """
    array, _ = read_array(distances, "distances")
    shape = array.shape
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] == 0:
        raise ValueError(
            f"distances must be square along the last two axes, with at least one row, "
            f"got shape {shape}; give the distance of each row to each"
        )
    problems = np.require(array, np.float64, ["C", "A", "W"]).reshape(-1, *shape[-2:])
    paths = np.empty(problems.shape[:2], dtype=np.intp)
    bad = lay_along_paths(problems, paths)
    if bad >= 0:
        index = tuple(int(i) for i in np.unravel_index(bad, shape))
        place = ", ".join(map(str, index))
        raise ValueError(
            f"distances must be in [0, {LARGEST}], but distances[{place}] = {array[index]}; "
            "scale them, or drop such rows"
        )
    return paths.reshape(shape[:-1])
