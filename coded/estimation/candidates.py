"""Predictors of a function's values elsewhere, and what each errs where a value is left out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrs

from coded.estimation.covariances import (
    LINEAR,
    QUADRATIC,
    Array,
    Family,
    Stationary,
    covariances,
)
from coded.estimation.fit_memory import Searched
from coded.estimation.likelihood import (
    Contrasts,
    Values,
    contrasts,
    deviance,
    factored,
    fit_lengths,
    inverted,
)
from coded.estimation.views import MANY
from fastspline.arrays import FloatArray

Indices: TypeAlias = NDArray[np.intp]

FEW = 10  # values, from which the best process is found by chance
_WITH_CONSTANT: tuple[Family, ...] = "squared-exponential", "matern-5/2", 1.5
_WITH_LINE: tuple[Family, ...] = "squared-exponential", "matern-5/2"
_SMOOTHEST: Stationary = "squared-exponential"  # which has lengths of its own
_SEARCHES = 8, 25  # evaluations of the likelihoods of Matern 5/2 and the smoothest
_AGAIN, _IN_LINE = 6, 3  # evaluations of each from where earlier answers led, and along a line
_START_NOISE = 1e-4
_SEARCHED = 100  # values of which the likelihood is computed, at most
_NOISES = (1e-13, 1e-10, 1e-6, 1e-3, 3e-2, 0.3)  # variances, in units of the largest covariance
_PER_TERM = 2  # values a term of a linear trend
_SAME = 1e-12  # of a variance is left unexplained at least; less is rounding
_EPS = np.finfo(np.float64).eps
_FLAT = 1e-6  # a direction in which points spread by less has no trend


class Candidate(Protocol):
    """A predictor from n values, for each of which it is known what it errs without it."""

    @property
    def left_out(self) -> FloatArray:
        """Give each value less what the others predict there, (n, columns)."""

    @property
    def lengths(self) -> int:
        """Give how many lengths were fitted to the values, beyond one for all numbers."""

    def weights(self) -> Array:
        """Give the weights of the values at the targets, (t, n); each row sums to 1."""


@runtime_checkable
class Spread(Candidate, Protocol):
    """A predictor that knows how its squared errors compare with each other."""

    @property
    def at_zero(self) -> float:
        """Give the covariance at distance 0: 0 tells that f is taken to be rough."""

    @property
    def variances(self) -> Array:
        """Give the variances of the left-out errors, up to a factor, (n,)."""

    def target_variances(self) -> Array:
        """Give the variances of what is missed at the targets, up to that factor, (t,)."""


@runtime_checkable
class InPairs(Candidate, Protocol):
    """A predictor of which it is known, too, what it errs where two values are left out."""

    def without(self, others: Indices) -> FloatArray:
        """Give each value i less what is predicted there without it and value others[i]."""


@dataclass(frozen=True, eq=False)
class Trend:
    """What is fitted without penalty, (n, p) and (t, p): a constant, or a linear function too."""

    here: Array
    there: Array
    pseudo_inverse: Array  # (p, n), of `here`
    given: Contrasts


def trend_of(values: Values, here: Array, there: Array) -> Trend:
    """Make a trend of a constant and the numbers of n places and t targets, (n, d) and (t, d)."""
    basis, basis_there = (np.hstack([np.ones((len(rows), 1)), rows]) for rows in (here, there))
    return Trend(basis, basis_there, np.linalg.pinv(basis), contrasts(basis, values))


def trend_with_line(values: Values, here: Array, there: Array) -> Trend | None:
    """Make a linear trend; None where the values are too few or the places do not span it."""
    n, d = here.shape
    if n < _PER_TERM * (d + 1):
        return None
    corner = np.linalg.qr(here - here.mean(axis=0), mode="r")
    if np.abs(np.diagonal(corner)).min() <= _FLAT * np.sqrt(n):
        return None
    return trend_of(values, here, there)


@dataclass(frozen=True, eq=False)
class Process:
    """Universal kriging by one covariance and trend.

    With Q the contrasts and K the covariances of n places, noise included: ``V = Q (Q' K Q)^-1
    Q'``. The others miss value i by ``(V y)_i / V_ii``, with variance ``1 / V_ii`` (Dubrule), and
    the weights at targets with covariances k and trend t are ``k V + t T^+ (I - K V)``.

    References
    ----------
    O. Dubrule, "Cross validation of kriging in a unique neighborhood", Math. Geol. 15 (1983),
    687-699. J.-P. Chiles, P. Delfiner, "Geostatistics", 2nd ed., Wiley 2012, sections 3.4, 4.5.
    """

    trend: Trend
    at_zero: float  # the covariance at distance 0
    noise: float
    among: Array  # K, (n, n)
    to: Array  # k, (t, n)
    factor: Array  # of Q' K Q
    left_out: FloatArray  # (n, columns)
    variances: Array  # (n,), of what the others miss
    lengths: int

    @cached_property
    def _at_targets(self) -> Array:
        # Solved for, not multiplied by an inverse, whose rounding errors times values are as large
        # as its condition: the errors of what is solved for lie where smooth values have nothing.
        drift = self.trend.there @ self.trend.pseudo_inverse
        basis = self.trend.given.basis
        rest = (self.to - drift @ self.among) @ basis
        return np.asarray(dpotrs(self.factor, rest.T, lower=1)[0].T @ basis.T + drift)

    def weights(self) -> Array:
        """Give the weights of the values at the targets, (t, n)."""
        return self._at_targets

    @property
    def neighbours(self) -> Indices:
        """The value nearest to each, (n,)."""
        diagonal = self.among.diagonal()
        apart = diagonal[:, None] + diagonal - 2.0 * self.among
        return np.asarray((apart + np.diag(np.full(len(apart), np.inf))).argmin(axis=1))

    def without(self, others: Indices) -> FloatArray:
        """Give each value i less what is predicted there without it and value others[i]."""
        cross = self._cross(others)
        rest = self.left_out / self.variances[:, None] - cross * self.left_out[others]
        return np.asarray(rest * self.variances_without(others)[:, None])

    def variances_without(self, others: Indices) -> Array:
        """Give the variances of these: a row of the inverse of a block of V, (n,)."""
        explained = self.variances * self.variances[others] * self._cross(others)[:, 0] ** 2
        return np.asarray(self.variances / np.maximum(1.0 - explained, _SAME))

    @cached_property
    def _inverse(self) -> Array:
        """V."""
        basis = self.trend.given.basis
        return np.asarray(basis @ inverted(self.factor) @ basis.T)

    def _cross(self, others: Indices) -> Array:
        return np.asarray(self._inverse[np.arange(len(others)), others][:, None])

    def target_variances(self) -> Array:
        """Give the variances of what is missed at the targets, noise included, (t,)."""
        weights = self._at_targets
        both = ((weights @ self.among - 2.0 * self.to) * weights).sum(axis=1)
        return np.asarray(np.maximum(self.at_zero + self.noise + both, 0.0))

    def rounding(self, values: FloatArray) -> Array:
        """Give the squared errors by rounding at the targets, (t,), roughly.

        What is solved for is right for a K whose numbers, 1 at most, err by eps or so: it errs by
        ``w' E b`` with ``b = V y``, a sum of independent terms. A third of that was seen.
        """
        b = self.left_out / self.variances[:, None]
        weights = self._at_targets**2
        squares = weights.sum(axis=1) * (b**2).sum() + weights @ (values**2).sum(axis=1)
        return np.asarray(_EPS**2 * squares)


def fit_process(
    family: Family,
    trend: Trend,
    squared: Array,
    squared_to: Array,
    values: Values,
    lengths: int = 0,
) -> Process | None:
    """Krige with the noise of the largest restricted likelihood; None where rounding forbids all.

    Parameters
    ----------
    family : str or float
    trend : Trend
    squared, squared_to : ndarray, shape (n, n) and (t, n)
        Squared distances among the places, and from the targets to them, in lengths.
    values : Values
        At the places.
    lengths : int, optional
        How many of the lengths were fitted to the values, beyond one for all numbers.

    Returns
    -------
    Process or None
    """
    among = covariances(family, squared)
    is_stationary = isinstance(family, str)
    largest = 1.0 if is_stationary else max(float(np.abs(among).max()), 1e-300)
    among /= largest
    basis = trend.given.basis
    inner = basis.T @ among @ basis
    tried = []
    for noise in _NOISES:
        factor = factored(inner, trend.given, noise)
        if factor is not None:
            tried.append((deviance(factor, trend.given, noise), noise, factor))
    if not tried:
        return None
    _, noise, factor = min(tried, key=lambda one: one[0])
    among.ravel()[:: len(among) + 1] += noise / values.counts
    precisions = ((basis @ inverted(factor)) * basis).sum(axis=1)
    variances = 1.0 / np.maximum(precisions, 1e-300)
    solved = basis @ dpotrs(factor, trend.given.means, lower=1)[0]
    left_out = np.asarray(solved * variances[:, None])
    to = covariances(family, squared_to) / largest
    at_zero = 1.0 if is_stationary else 0.0
    return Process(trend, at_zero, noise, among, to, factor, left_out, variances, lengths)


class Nearest:
    """The value at the nearest place."""

    lengths = 0

    def __init__(self, squared: Array, squared_to: Array, values: FloatArray) -> None:
        apart = squared + np.diag(np.full(len(squared), np.inf))
        self.left_out = values - values[apart.argmin(axis=1)]
        self._values, self._apart, self._squared_to = values, apart, squared_to

    def without(self, others: Indices) -> FloatArray:
        """Give each value i less the nearest one, others[i] not counted."""
        apart = self._apart.copy()
        apart[np.arange(len(others)), others] = np.inf
        return np.asarray(self._values - self._values[apart.argmin(axis=1)])

    def weights(self) -> Array:
        """Give ones and zeros, (t, n)."""
        return np.asarray(np.eye(self._squared_to.shape[1])[self._squared_to.argmin(axis=1)])


class Mean:
    """The mean of all values."""

    lengths = 0

    def __init__(self, n_targets: int, values: FloatArray) -> None:
        n = len(values)
        self.left_out = (values - values.mean(axis=0)) * (n / (n - 1.0))
        self._values, self._shape = values, (n_targets, n)

    def without(self, others: Indices) -> FloatArray:
        """Give each value i less the mean of all but it and value others[i]."""
        rest = self._values.sum(axis=0) - self._values - self._values[others]
        return np.asarray(self._values - rest / (len(rest) - 2.0))

    def weights(self) -> Array:
        """Give 1 / n everywhere, (t, n)."""
        return np.full(self._shape, 1.0 / self._shape[1])


def candidates(
    here: Array,
    there: Array,
    between: tuple[Array, Array],
    values: Values,
    start: Searched | None = None,
) -> tuple[list[Candidate], Searched | None]:
    """Give the predictors from one view of n points and t targets.

    Parameters
    ----------
    here, there : ndarray, shape (n, d) and (t, d)
        The points and the targets in that view.
    between : tuple of ndarray, shape (lengths, n, n) and (lengths, t, n)
        Squared differences among the points, and from the targets to them.
    values : Values
        At the points.
    start : Searched, optional
        What earlier answers of the function found in the view.

    Returns
    -------
    found : list of Candidate
        None where the points do not differ in the view.
    searched : Searched or None
        Their lengths and noise.
    """
    n, t = len(here), len(there)
    differs = between[0].any(axis=(1, 2))
    squares, squares_to = (each[differs].reshape(differs.sum(), -1) for each in between)
    if not len(squares):
        return [], None
    has_many = here.shape[1] > MANY
    constant = trend_of(values, here[:, :0], there[:, :0])
    line = None if has_many else trend_with_line(values, here[:, differs], there[:, differs])

    def in_lengths(place: Array) -> tuple[Array, Array]:
        each = np.exp(place)
        return (each @ squares).reshape(n, n), (each @ squares_to).reshape(t, n)

    searched = _searched(squares, values, start, has_many=has_many)
    scales = {False: in_lengths(searched.rough[:-1]), True: in_lengths(searched.smooth[:-1])}
    equal = in_lengths(np.zeros(len(squares)))
    todo = [(family, constant, scales[family == _SMOOTHEST]) for family in _WITH_CONSTANT]
    if line is not None:
        todo += [(family, line, scales[family == _SMOOTHEST]) for family in _WITH_LINE]
    if not has_many and len(squares) > 1:
        todo.append((1.5, constant, equal))
    if n > FEW and has_many:
        todo.append((LINEAR, constant, equal))
    elif n > FEW and line is not None:
        todo.append((QUADRATIC, line, equal))
    processes = [
        fit_process(family, trend, *near, values, 0 if near is equal else len(squares) - 1)
        for family, trend, near in todo
    ]
    found: list[Candidate] = [Nearest(*equal, values.means)]
    found += [one for one in processes if one is not None]
    return found, searched


def _searched(
    squares: Array, values: Values, start: Searched | None, *, has_many: bool
) -> Searched:
    """Search lengths for the rougher families, and for the smoothest one if there are few.

    Where earlier answers tell where to start, a few steps do, and lengths are pulled to theirs.
    """
    lengths, n = len(squares), len(values.means)
    if n > _SEARCHED:
        some = np.linspace(0, n - 1, _SEARCHED).astype(np.intp)
        squares = squares.reshape(lengths, n, n)[:, some[:, None], some].reshape(lengths, -1)
        values = values.part(some)
    given = contrasts(np.ones((len(values.means), 1)), values)
    typical = squares.mean(axis=1) * (min(2, lengths) * lengths)
    centre = -np.log(np.maximum(typical, 1e-300))
    if start is not None and len(start.rough) == lengths + 1:
        there, longer = start
        steps = _AGAIN, _IN_LINE
        rough = fit_lengths("matern-5/2", squares, given, there, there[:-1], *steps)
        if has_many:
            return Searched(rough, rough)
        smooth = fit_lengths(_SMOOTHEST, squares, given, longer, longer[:-1], *steps)
        return Searched(rough, smooth)
    first = np.append(centre, np.log(_START_NOISE))
    rough = fit_lengths("matern-5/2", squares, given, first, centre, _SEARCHES[0])
    if has_many:
        return Searched(rough, rough)
    longer = rough - np.append(np.ones(lengths), 0.0)
    return Searched(rough, fit_lengths(_SMOOTHEST, squares, given, longer, centre, _SEARCHES[1]))
