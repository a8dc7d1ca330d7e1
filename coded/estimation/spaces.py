"""Spaces: where sites lie by their features, and how f is taken to vary there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from coded.estimation.kriging import Array, Kriging, krige
from coded.nearness.distances import distances
from fastspline.arrays import FloatArray

FeatureMap: TypeAlias = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Space:
    """Where the sites lie, how far they are from each other, and how f is taken to vary."""

    rows: Array  # (sites, d), their features
    past: Array  # (remembered, d)
    distances: Array  # (sites, sites)
    power: float  # p of the covariance

    def krige(self, known: NDArray[np.intp], wanted: NDArray[np.intp]) -> Kriging:
        """Krige some sites from others."""
        return krige(
            self.distances[np.ix_(known, known)],
            self.distances[np.ix_(wanted, known)],
            self.power,
            self.rows[known],
            self.rows[wanted],
        )

    def risks(self) -> Array:
        """Give the errors of the sites, were each estimated from all others, up to a factor."""
        among = self.distances
        all_of_them = krige(among, among[:0], self.power, self.rows, self.rows[:0])
        return np.asarray(np.sqrt(all_of_them.variances_from_others()))


def space_of(phi: FeatureMap, sites: FloatArray, past: FloatArray, power: float) -> Space:
    """Describe sites and remembered inputs by their features."""
    rows = phi(sites).astype(np.float64)
    remembered = phi(past).astype(np.float64) if len(past) else rows[:0]
    # The unit does not matter, but the squares of very large and very small numbers do.
    unit = max(np.abs(rows).max(initial=0.0), np.abs(remembered).max(initial=0.0)) or 1.0
    rows, remembered = rows / unit, remembered / unit
    return Space(rows, remembered, distances(rows, rows), power)
