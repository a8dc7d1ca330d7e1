"""Points that are equal but for rounding: where a worker holds an input itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coded.points import Points

# Points of two families are equal or differ by much more than the rounding of points in [-1, 1].
_ROUNDING = 32 * np.finfo(np.float64).eps


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
