"""Sites: the answers at one point are one, wherever that lies on each of Q lines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coded.maps.arrays import Matrix


class Sites(NamedTuple):
    """Where answers lie, and where what they tell is asked for."""

    present: NDArray[np.intp]  # (n,) sites that answered, ascending
    first: NDArray[np.intp]  # (n,) the first answer of each site
    which: NDArray[np.intp]  # (R,) the site of each answer, counted among those present
    counts: NDArray[np.intp]  # (n,) how many answers each site has
    knots: Matrix  # (Q, n) the sites on each line
    points: Matrix  # (Q, K) the inputs on each line, in the caller's order

    def means(self, answers: Matrix) -> Matrix:
        """Give the mean of the answers of each site, (n, columns)."""
        total = np.zeros((len(self.first), answers.shape[1]))
        np.add.at(total, self.which, answers)
        total /= self.counts[:, None]
        return total


def sites_of(site: NDArray[np.intp], lines: Matrix, points: Matrix) -> Sites:
    """Tell of answers at ``lines[:, site]``, lines (Q, sites), who shares a site with whom."""
    counts = np.bincount(site)
    present = np.flatnonzero(counts)
    first, number = np.empty((2, counts.size), np.intp)
    first[site[::-1]] = np.arange(len(site) - 1, -1, -1)  # the last written, the first, stays
    number[present] = np.arange(len(present))
    knots = lines.take(present, axis=1)
    return Sites(present, first[present], number[site], counts[present], knots, points)
