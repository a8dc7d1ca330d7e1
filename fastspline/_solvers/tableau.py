"""A plan's scaled knots, and where evaluation points lie between them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastspline._kernels.addresses import JET, N_TABLES
from fastspline._kernels.tables import bind_points
from fastspline.arrays import require_finite

Vector: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]

ALL_ONE = np.empty(0)  # stands for weights that are all 1
NO_ROWS: Rows = np.empty(0, np.int64)


class Gaps(NamedTuple):
    """Ascending knots and positive weights of a plan, in the scaled units in which it is solved.

    `weights` and `roughness` (one a gap) are empty where all are 1; the former are to be divided by
    `top`, the latter are divided by `rough_top`, which is part of the scaled lam.
    """

    knots: Vector
    weights: Vector
    h: Vector
    unit: float = 1.0
    top: float = 1.0
    scaled_lam: float = 0.0
    roughness: Vector = ALL_ONE
    rough_top: float = 1.0


class Tableau:
    """Where evaluation points lie and what they multiply with; see `tabulate_points`.

    `places` has room for the list of addresses that a sweep starts from.
    """

    __slots__ = ("m", "n", "nu", "places", "weights")

    def __init__(self, n: int, points: Vector, nu: int) -> None:
        """Take memory: `tabulate` and `bind_points` fill it."""
        m = points.size * (3 if nu == JET else 1)
        self.n, self.m, self.nu = n, m, nu
        self.places = np.empty(3 * n + 1 + m + N_TABLES, np.int64)
        self.weights = np.empty((m, 3))

    @property
    def spans(self) -> Rows:
        """See `tabulate_points`."""
        return self.places[: 2 * self.n + 1]

    @property
    def needed(self) -> Rows:
        """See `tabulate_points`."""
        return self.places[2 * self.n + 1 : 3 * self.n + 1]

    @property
    def rows(self) -> Rows:
        """See `tabulate_points`."""
        return self.places[3 * self.n + 1 : 3 * self.n + 1 + self.m]


def tabulate(gaps: Gaps, points: Vector, nu: int) -> Tableau:
    """Tabulate derivative `nu` at points, of curves given by values, slopes and moments."""
    by_slope, t = True, Tableau(gaps.knots.size, points, nu)
    points = points if points.flags.writeable else points.copy()  # which compiles nothing more
    if bind_points(
        gaps.knots, gaps.h, 0, 0, gaps.unit, gaps.roughness, by_slope, points, nu, NO_ROWS,
        t.places, t.weights,
    ) < 0:  # fmt: skip
        require_finite(points, "points")
    return t
