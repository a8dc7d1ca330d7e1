"""Splines along lines beside the nearest answer and the mean, by what each errs left out."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from coded.estimation.blend import blend
from coded.estimation.candidates import Candidate, Mean, Nearest
from coded.estimation.covariances import Array
from coded.estimation.fitted import Estimate, reduced
from coded.estimation.likelihood import Values
from coded.estimation.splines_on_lines import grown, smoothing_matrix
from fastspline import bundle

_SMOOTHINGS = (0.0, 1.0, 1e2, 1e4)  # lam in cubed mean gaps
_SURE = 1.1  # times smaller have errors of another than the interpolating splines to be
_POWER = 10.0  # of the left-out errors: splines differ by lam alone, and 5 errs .03 more
_FEWEST = 4  # sites from which something can be chosen


class Lines(NamedTuple):
    """Where n sites and t targets lie on Q lines, and how far apart they are.

    Attributes
    ----------
    knots, points : ndarray, shape (Q, n) and (Q, t)
    least : float
        The lam that variances reckon with at least.
    growth : tuple of float
        Powers of the variance as which squared errors grow, as `grown` says.
    among, to : ndarray, shape (n, n) and (t, n)
        Distances by which a site is the nearest.
    """

    knots: Array
    points: Array
    least: float
    growth: tuple[float, float]
    among: Array
    to: Array


class Splines:
    """The mean of the lines' smoothing splines of one lam, by their variances."""

    at_zero = 0.0  # as of a power of distance
    lengths = 0

    def __init__(self, lines: Lines, lam: float, values: Values) -> None:
        self._lines, self._lam, self._weights = lines, lam, values.counts
        self._seen = max(lam, lines.least)
        others, precision = bundle.left_out_matrix(
            lines.knots, lam=self._seen, weights=values.counts
        )
        self.left_out = values.means - others @ values.means
        own = len(lines.knots) / precision
        self._largest = own.max()
        self.variances = grown(own, self._largest, lines.growth)

    @cached_property
    def _at_targets(self) -> Array:
        knots, points = self._lines.knots, self._lines.points
        return smoothing_matrix(
            knots, points, lam=self._lam, seen=self._seen, weights=self._weights
        )

    def weights(self) -> Array:
        """Give the weights of the values at the targets, (t, n)."""
        return self._at_targets

    def target_variances(self) -> Array:
        """Give how squared errors at the targets compare with `variances`, (t,)."""
        knots, points = self._lines.knots, self._lines.points
        each = bundle.posterior_variances(knots, points, lam=self._seen, weights=self._weights)
        mean = len(each) / (1.0 / each).sum(axis=0)
        return grown(mean, self._largest, self._lines.growth)


def guarded(lines: Lines, values: Values) -> Estimate | None:
    """Estimate a function at targets by splines of several lam, the nearest value and the mean.

    They are blended by their left-out errors (`blend`), of which all but those of the
    interpolating splines and the mean count as 1.1 times as large: few answers tell little.

    Parameters
    ----------
    lines : Lines
    values : Values
        At the sites.

    Returns
    -------
    Estimate or None
        None where nothing can be chosen: of fewer than four sites, or values that do not differ.
    """
    if len(values.means) < _FEWEST:
        return None
    means, unit, scale = reduced(values.means)
    if unit == 0.0:
        return None
    inner = replace(values, means=means)
    gap = float(np.ptp(lines.knots, axis=1).max()) / (len(means) - 1)
    nearest = Nearest(lines.among, lines.to, means)
    nearest.left_out *= _SURE
    found: list[Candidate] = [Mean(len(lines.to), means), nearest]
    for lam in _SMOOTHINGS:
        splines = Splines(lines, lam * gap**3, inner)
        if lam > 0.0:
            splines.left_out *= _SURE
        found.append(splines)
    weights, variances, _ = blend(found, means, power=_POWER)
    with np.errstate(over="ignore"):
        return Estimate(weights, scale * (unit * np.sqrt(variances)))
