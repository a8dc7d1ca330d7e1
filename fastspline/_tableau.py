"""A plan's scaled knots, and where evaluation points lie between them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastspline._plan import tabulate_points

Vector: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]

ALL_ONE = np.empty(0)  # stands for weights that are all 1


class Gaps:
    """Ascending knots and positive weights of a plan, in the scaled units in which it is solved.

    `weights` and `roughness` (one a gap) are empty where all are 1; the former are to be divided by
    `top`.
    """

    __slots__ = ("h", "knots", "roughness", "scaled_lam", "top", "unit", "weights")

    def __init__(
        self,
        knots: Vector,
        weights: Vector,
        h: Vector,
        scale: tuple[float, float, float],
        roughness: Vector = ALL_ONE,
    ) -> None:
        self.knots, self.weights, self.h, self.roughness = knots, weights, h, roughness
        self.unit, self.top, self.scaled_lam = scale


class Tableau:
    """Where evaluation points lie and what they multiply with; see `tabulate_points`."""

    __slots__ = ("m", "needed", "only_values", "rows", "spans", "weights")

    def __init__(self, gaps: Gaps, points: Vector, nus: Rows, *, by_slope: bool) -> None:
        n, m = gaps.knots.size, points.size * nus.size
        self.m = m
        self.spans, self.needed = np.empty(2 * n + 1, np.int64), np.empty(n, np.int64)
        self.rows, self.weights = np.empty(m, np.int64), np.empty((m, 3))
        self.only_values = nus.size == 1 and nus[0] == 0
        tabulate_points(
            _writeable(gaps.knots),
            gaps.h,
            gaps.unit,
            gaps.roughness,
            by_slope,
            _writeable(points),
            nus,
            self.spans,
            self.needed,
            self.rows,
            self.weights,
        )
        if by_slope and gaps.unit != 1.0:  # slopes and moments come in scaled units
            self.weights[:, 1:] /= gaps.unit ** min(nus[0] + 1, 2)


def _writeable(vector: Vector) -> Vector:
    """Give the vector, copied where it is read-only: for that numba would compile once more."""
    return vector if vector.flags.writeable else vector.copy()
