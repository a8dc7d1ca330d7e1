"""Views: descriptions of points by numbers, whose units the answers have to decide."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from coded.estimation.covariances import Array
from coded.nearness.distances import distances
from fastspline.arrays import FloatArray

MANY = 10  # numbers in a description up to which each has a length of its own
_CONSTANT = 1e-12  # a spread below this part of the largest number is rounding


@dataclass(frozen=True, eq=False)
class View:
    """Descriptions of all points of a code, (points, d), centred, and in units of their spread."""

    rows: Array

    @property
    def has_many(self) -> bool:
        """Whether one length serves all numbers."""
        return bool(self.rows.shape[1] > MANY)

    def between(self, some: NDArray[np.intp], others: NDArray[np.intp]) -> Array:
        """Give squared differences, (lengths, some, others): one a number, or of all together."""
        a, b = self.rows[some], self.rows[others]
        if self.has_many:
            return np.asarray(distances(a, b)[None] ** 2)
        return np.asarray((a.T[:, :, None] - b.T[:, None, :]) ** 2)


@dataclass(frozen=True, eq=False)
class Description:
    """Numbers that describe all points of a code, and the views that are made of them.

    Up to ten numbers have lengths of their own. More have one length, in two views: each number
    in units of its spread, and the numbers as they are. Numbers that are the same for all points
    are left out; there is no view of points that do not differ.

    Parameters
    ----------
    rows : ndarray, shape (points, d)
    in_units : bool, optional
        Whether many numbers have the first of the two views.
    """

    rows: FloatArray
    in_units: bool = True

    @cached_property
    def views(self) -> list[View]:
        """The views, made when they are first asked for."""
        largest = np.abs(self.rows).max(axis=0, initial=0.0).astype(np.float64)
        largest[largest == 0.0] = 1.0
        scaled = self.rows / largest
        scaled -= scaled.mean(axis=0)
        spread = scaled.std(axis=0)
        varies = spread > _CONSTANT
        if not varies.all():
            scaled, spread, largest = scaled[:, varies], spread[varies], largest[varies]
        if not spread.size:
            return []
        views = []
        if self.in_units or len(spread) <= MANY:
            views.append(View(scaled / spread))
        if len(spread) > MANY:
            sizes = largest / largest.max()
            views.append(View(scaled * (sizes / float((sizes * spread).max()))))
        return views
