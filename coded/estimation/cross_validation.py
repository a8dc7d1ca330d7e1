"""The smoothing of a decoder by robust cross-validation, over all columns and lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coded.estimation.sites import Sites
from coded.estimation.splines_on_lines import smoothing_matrix
from coded.maps.arrays import Matrix
from fastspline import Smoother
from fastspline.bundle import robust_gcv

_LEAST = 1e-4  # of lam in cubed mean gaps: bends a smooth curve less than interpolation misses it
_MOST = 1e4  # of lam in cubed ranges: a line
_STEP = 0.5  # decades


def smoothing_by_gcv(sites: Sites, answers: Matrix, least: float) -> tuple[Matrix, float]:
    """Give the mean of splines as a matrix on all answers, (K, R), and the lam chosen by them.

    Each site counts by its number of answers; variances reckon with lam, but at least `least`.
    """
    counts = sites.counts.astype(np.float64)
    lam = pooled_gcv(sites.knots, answers, sites.which)
    seen = max(lam, least)
    matrix = smoothing_matrix(sites.knots, sites.points, lam=lam, seen=seen, weights=counts)
    return matrix[:, sites.which] / counts[sites.which], lam


def pooled_gcv(knots: Matrix, values: Matrix, which: NDArray[np.intp]) -> float:
    """Choose lam by the values: the minimiser of robust GCV, summed over columns and lines.

    The score is that of `fastspline.select_lam`; repeated values at a knot count as so many
    measurements, with the squares about their means in RSS. Sought on a grid of two points a
    decade, from next to interpolation (where n - df is n / 740 on equidistant knots) to the line,
    then between the grid's best point and its neighbours. Two knots, or three values, score the
    same at every lam: the line.

    Parameters
    ----------
    knots : ndarray, shape (Q, n)
        Places of the n distinct points on each of Q lines, all of one span.
    values : ndarray, shape (R, columns)
        All values.
    which : ndarray of int, shape (R,)
        The knot of each value.

    Returns
    -------
    float
        In the scale of a sum over the R values.
    """
    from scipy.optimize import minimize_scalar

    n_values, n_knots = len(values), knots.shape[1]
    if n_knots <= 2 or n_values <= 3:
        return np.inf
    repeats = np.bincount(which, minlength=n_knots)
    counts = repeats.astype(float)
    scaled = values / (np.abs(values).max(initial=0.0) or 1.0)
    means = np.zeros((n_knots, scaled.shape[1]))
    np.add.at(means, which, scaled)
    means /= counts[:, None]
    within = float(((scaled - means[which]) ** 2).sum())
    if means.shape[1] > n_knots:  # turned columns have the same squares, n of them tell all
        means = np.asarray(np.linalg.qr(means.T, mode="r")).T
    orders = np.argsort(knots, axis=1)

    def score(place: float) -> float:
        total = 0.0
        for line, order in zip(knots, orders, strict=True):
            smoother = Smoother(line[order], lam=10.0**place, weights=counts[order])
            rest = means[order] - smoother.fit(means[order]).values
            squares = float(counts[order] @ (rest**2).sum(axis=1)) + within
            left_out = 1.0 - smoother.leverages / counts[order]  # of each value at a knot
            total += robust_gcv(squares, left_out.repeat(repeats[order]))
        return total

    reach = float(np.ptp(knots, axis=1).max())
    least = np.log10(_LEAST * (reach / n_knots) ** 3)
    places = np.arange(least, np.log10(_MOST * reach**3) + _STEP, _STEP)
    best = places[np.argmin([score(place) for place in places])]
    bounds = (max(best - _STEP, places[0]), min(best + _STEP, places[-1]))
    found = minimize_scalar(score, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float(10.0 ** (found.x if found.fun < score(best) else best))
