"""Lengths and noise of a random function by the restricted likelihood of its values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs

from coded.estimation.covariances import Array, Stationary, with_slopes
from fastspline.arrays import FloatArray

JITTER = 1e-14  # of the largest covariance: a little above its rounding
_STRENGTH = 0.2  # of the pull to where the search starts, in squared log 1 / length^2
_SHORTER, _LONGER = 6.0, 7.0  # in log 1 / length^2, from there
_FEW = 3  # lengths; of more, some often belong to numbers that do not matter
_STEADY = 2.0  # in log 1 / length^2: of more, those are no more pulled that are longer by that
_NOISE = (-25.0, 1.5)  # log of its variance
_FAILED = 1e10  # far above any likelihood


@dataclass(frozen=True, eq=False)
class Values:
    """The answers at n points: their means, how many each is of, and how much those differ.

    Attributes
    ----------
    means : ndarray, shape (n, columns)
    counts : ndarray, shape (n,)
        Of answers that differ: the noise of a mean is so many times smaller.
    deviation : float
        Of an answer from its mean: root of the mean of its squared length; 0 where none differ.
    spare : int
        How many answers there are beyond one a point, where they differ.
    """

    means: FloatArray
    counts: Array
    deviation: float = 0.0
    spare: int = 0

    def part(self, some: NDArray[np.intp]) -> Values:
        """Give the values at some of the points, with what is known of their noise."""
        return Values(self.means[some], self.counts[some], self.deviation, self.spare)


@dataclass(frozen=True, eq=False)
class Contrasts:
    """What is left of values when a trend is removed.

    Attributes
    ----------
    basis : ndarray, shape (n, f)
        Q, orthonormal, orthogonal to the trend.
    means : ndarray, shape (f, columns)
        ``U = Q' Y``, Y the means.
    noise : ndarray, shape (f, f)
        ``Q' diag(1 / counts) Q``.
    within : float
        Sum of the squares of answers about their means.
    spare : int
        As of the values.
    """

    basis: Array
    means: Array
    noise: Array
    within: float
    spare: int

    @property
    def freedom(self) -> int:
        """The number of contrasts, those within repeated answers included."""
        return len(self.means) + self.spare


def contrasts(trend: Array, values: Values) -> Contrasts:
    """Give the contrasts of values, orthogonal to a trend (n, p)."""
    complete = np.linalg.qr(trend, mode="complete")[0]
    basis = np.ascontiguousarray(complete[:, trend.shape[1] :])
    noise = (basis.T / values.counts) @ basis
    within = values.spare * values.deviation**2
    return Contrasts(basis, basis.T @ values.means, noise, within, values.spare)


def factored(inner: Array, given: Contrasts, noise: float) -> Array | None:
    """Give the Cholesky factor of ``A = inner + noise Q' diag(1 / counts) Q``, or None."""
    a = inner + noise * given.noise
    a.ravel()[:: len(a) + 1] += JITTER
    factor, failed = dpotrf(a, lower=1, overwrite_a=1)
    return None if failed else factor


def inverted(factor: Array) -> Array:
    """Give the inverse, from the lower Cholesky factor."""
    half = dpotri(factor, lower=1)[0]
    inverse = half + half.T
    inverse.ravel()[:: len(half) + 1] *= 0.5
    return np.asarray(inverse)


def deviance(factor: Array, given: Contrasts, noise: float) -> float:
    """Give -2 log of the restricted likelihood, the scale profiled out, up to a constant.

    ``F log(s / F) + log |A| + spare log noise`` with F contrasts in all and ``s = tr U' A^-1 U
    + within / noise``.
    """
    squares = (given.means * dpotrs(factor, given.means, lower=1)[0]).sum()
    squares += given.within / noise
    value = given.freedom * np.log(max(squares, 1e-300))
    value += 2.0 * np.log(factor.diagonal()).sum() + given.spare * np.log(noise)
    return float(value)


def fit_lengths(
    family: Stationary,
    squares: Array,
    given: Contrasts,
    start: Array,
    centre: Array,
    evaluations: int,
    in_line: int = 20,
) -> Array:
    """Search the lengths and the noise under which the values are likeliest.

    Minimises -2 log of the restricted likelihood (`deviance`), with ``0.2 d_j^2``, ``d_j = log 1 /
    l_j^2 - centre_j``, for each length, by L-BFGS-B with the analytic gradient. Of more than three
    numbers one may not matter at all: there it is ``0.8 |d_j| - 0.8`` below -2. The scale is
    profiled out; columns are taken as independent and of one scale.

    Parameters
    ----------
    family : {"matern-5/2", "squared-exponential"}
    squares : ndarray, shape (lengths, n * n)
        Squared differences of n points, for each length those that it divides.
    given : Contrasts
        Of the values.
    start : ndarray, shape (lengths + 1,)
        Where the search starts: log of 1 / length^2, and of the noise's variance.
    centre : ndarray, shape (lengths,)
        What lengths are pulled to.
    evaluations : int
        Of the likelihood, about: the search is stopped there.
    in_line : int, optional
        Evaluations along one direction, at most: all of them are spent where a search starts at
        its end.

    Returns
    -------
    ndarray, shape (lengths + 1,)
        As `start`.

    References
    ----------
    H. D. Patterson, R. Thompson, "Recovery of inter-block information when block sizes are
    unequal", Biometrika 58 (1971), 545-554. R. H. Byrd, P. Lu, J. Nocedal, C. Zhu, "A limited
    memory algorithm for bound constrained optimization", SIAM J. Sci. Comput. 16 (1995).
    """
    from scipy.optimize import minimize  # which takes a tenth of a second, once

    longer = _LONGER if len(centre) <= _FEW else 2.0 * _LONGER
    bounds = [*((at - longer, at + _SHORTER) for at in centre), _NOISE]
    options = {"maxfun": evaluations, "maxcor": len(start), "maxls": in_line}
    found = minimize(
        penalised,
        start,
        args=(family, squares, given, centre),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options=options,
    )
    return np.asarray(found.x)


def penalised(
    place: Array, family: Stationary, squares: Array, given: Contrasts, centre: Array
) -> tuple[float, Array]:
    """Give what `fit_lengths` minimises and its gradient, by log 1 / length^2 and log noise.

    With ``P = Q A^-1 Q'`` and ``b = A^-1 U``: d deviance / d A is ``A^-1 - F b b' / s``.
    """
    per_length, noise = np.exp(place[:-1]), float(np.exp(place[-1]))
    basis, n = given.basis, len(given.basis)
    values, slopes = with_slopes(family, (per_length @ squares).reshape(n, n))
    factor = factored(basis.T @ values @ basis, given, noise)
    if factor is None:
        return _FAILED, np.zeros_like(place)
    logs = 2.0 * np.log(factor.diagonal()).sum() + given.spare * place[-1]
    inverse = inverted(factor)
    b = inverse @ given.means
    total = max(float((given.means * b).sum()) + given.within / noise, 1e-300)
    inverse -= (b * (given.freedom / total)) @ b.T
    slopes *= basis @ inverse @ basis.T
    pull, by_length = _pull(place[:-1] - centre)
    gradient = np.empty_like(place)
    gradient[:-1] = per_length * (squares @ slopes.ravel()) + by_length
    of_noise = float((inverse * given.noise).sum()) * noise
    gradient[-1] = of_noise + given.spare - given.freedom * given.within / (noise * total)
    value = given.freedom * np.log(total) + logs + pull
    return value, gradient


def _pull(away: Array) -> tuple[float, Array]:
    """Give what is added for lengths so far from where they are pulled to, and its gradient."""
    bent = away if len(away) <= _FEW else np.maximum(away, -_STEADY)
    squares = float(bent @ bent) - 2.0 * _STEADY * float((away - bent).sum())
    return _STRENGTH * squares, 2.0 * _STRENGTH * bent
