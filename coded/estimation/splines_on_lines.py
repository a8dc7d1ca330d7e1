"""What smoothing splines along given lines tell of lost answers, and how far they err.

Every function here takes the places of answers on Q lines as `knots` (Q, n), no two of a line
equal, and the places of inputs as `points` (Q, m).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from coded.estimation.sites import Sites
from coded.maps.arrays import Matrix
from coded.places.points import Points
from fastspline import bundle

_NUGGET = 0.01  # noise of an answer in units of the cubed mean gap; 0 to .03 are alike
_FELT = 3e-4  # that by which errors are judged: .01 hides how close answers multiply noise
_UNLIKE = 100.0, 0.01  # weight of others on a curve, where noise errs as much at any; elsewhere


def least_lam(n_inputs: int, noise: float = _NUGGET) -> float:
    """Give the smoothing that variances reckon with at least, the noise of an answer."""
    return noise * (2.0 / max(n_inputs - 1, 1)) ** 3


def grown(variances: Points, largest: float, growth: tuple[float, float]) -> Points:
    """Give what squared errors are in proportion to: a power of the variance, then another one.

    The second one serves what is above `largest`, the variance of any answer left out: outside all
    answers.
    """
    inside = np.minimum(variances, largest)
    return np.asarray(inside ** growth[0] * (variances / inside) ** growth[1])


def left_out(
    knots: Matrix, values: Matrix, *, lam: float, weights: Points | None = None
) -> tuple[Matrix, Points]:
    """Leave out each answer: give the errors of its estimate, (n, columns), and their variances.

    Estimates and variances as for a lost input: means over the lines by inverse variances, here of
    the errors, noise included. n >= 3.
    """
    estimate, precision = bundle.left_out_matrix(knots, lam=lam, weights=weights)
    return values - estimate @ values, len(knots) / precision


def expected_errors(
    knots: Matrix,
    points: Matrix,
    values: Matrix,
    *,
    lam: float,
    growth: tuple[float, float],
    weights: Points | None = None,
) -> Points:
    """Give the expected error at each point, (m,): the root of ``scale grown(v)``, v the variance.

    The scale is such that answers that are left out err as much as expected, on several lines
    those above all whose variance is like the point's, within a factor of 4 or so, less .75
    degrees of freedom, which 6 inputs need. Beyond all answers that would grow without end: no
    squared error is expected to be more than two values differ on average, twice their variance,
    times 1 + 10 / n, for few tell little of it. n >= 3.
    """
    errors, own = left_out(knots, values, lam=lam, weights=weights)
    each = bundle.posterior_variances(knots, points, lam=lam, weights=weights)
    mean = len(each) / (1.0 / each).sum(axis=0)
    alike = np.exp(-0.5 * (np.log(own / mean[:, None]) / 1.5) ** 2) + _UNLIKE[len(knots) > 1]
    scale = alike @ (np.einsum("ij,ij->i", errors, errors) / own ** growth[0]) / alike.sum(axis=1)
    scale *= len(own) / (len(own) - 0.75)
    most = values.var(axis=0).sum() * (2.0 + 20.0 / len(own))
    return np.asarray(np.sqrt(np.minimum(scale * grown(mean, own.max(), growth), most)))


def errors_at_inputs(
    sites: Sites, answers: Matrix, *, lam: float, growth: tuple[float, float], has_means: bool
) -> Points:
    """Give the expected error at each input, (K,): by the first answers or the means at sites.

    Of two sites the distance of their answers; one does not tell how much they vary: inf.
    """
    n_sites, n_inputs = len(sites.first), sites.points.shape[1]
    if n_sites == 1:
        return np.full(n_inputs, np.inf)
    values = sites.means(answers) if has_means else answers[sites.first]
    if n_sites == 2:
        return np.full(n_inputs, np.linalg.norm(values[1] - values[0]))
    lam = max(lam, least_lam(n_inputs, _FELT))
    weights = sites.counts.astype(np.float64) if has_means else None
    lines = sites.knots, sites.points
    return expected_errors(*lines, values, lam=lam, growth=growth, weights=weights)


def smoothing_matrix(
    knots: Matrix, points: Matrix, *, lam: float, seen: float, weights: Points | None = None
) -> Matrix:
    """Give the mean of the lines' smoothing splines as a matrix, (m, n); variances with `seen`.

    Several lines are paths through inputs that are no curve: there a spline keeps its last value
    beyond its last answer, for a straight continuation would multiply the noise of a short step.
    """
    beyond: Literal["line", "constant"] = "constant" if len(knots) > 1 else "line"
    return bundle.mean_matrix(knots, points, lam=lam, seen=seen, weights=weights, beyond=beyond)
