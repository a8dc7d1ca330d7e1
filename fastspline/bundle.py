"""Smoothing splines on several sets of knots at once: one call for all, without a plan for each.

A bundle is Q lines with n knots each, on which the same n values lie: row q of `knots` (Q, n) has
the place of value i on line q as entry i, in any order. Weights belong to values, points (Q, m) to
lines. All is computed by the subtraction-free recursion that `Smoother` falls back on, exact for
every lam: the information of the knots on both sides meets at a point, and what a point takes from
each value goes back through the two filters. O(n + m) a line for variances, O(n m) for matrices.

References: G. Wahba, "Bayesian confidence intervals for the cross-validated smoothing spline",
J. R. Statist. Soc. B 45 (1983); C. F. Ansley and R. Kohn, "A geometrical derivation of the fixed
interval smoothing algorithm", Biometrika 69 (1982).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._arguments import check_lam, check_weights
from fastspline._kernels import spline_lanes
from fastspline._kernels.scores import caution
from fastspline._kernels.tables import power_of_two
from fastspline._solvers.choice import refuse_scales
from fastspline._solvers.tableau import Vector
from fastspline.arrays import read_array, require_finite

Matrix: TypeAlias = NDArray[np.float64]


def posterior_variances(
    knots: ArrayLike, points: ArrayLike, *, lam: float, weights: ArrayLike | None = None
) -> Matrix:
    """Give the posterior variance of each line's smoothing spline at its points.

    In units of the noise of a value of weight 1: the curve is a priori an integrated Wiener process
    of variance 1 / lam, and goes on as one beyond the knots.

    Parameters
    ----------
    knots : array_like, shape (Q, n)
        Different on each line, in any order.
    points : array_like, shape (Q, m)
        In any order, at knots or beyond them as you like.
    lam : float
        In (0, inf]; 0 leaves no noise to measure by.
    weights : array_like, shape (n,), optional
        Positive; default ones.

    Returns
    -------
    ndarray, shape (Q, m)
        Where there is a single knot, inf elsewhere.

    Raises
    ------
    ValueError
        If shapes do not match, knots of a line are equal, a number is not finite, a weight is not
        positive, or lam is not.
    TypeError
        If an argument does not hold real numbers.

    References
    ----------
    G. Wahba, J. R. Statist. Soc. B 45 (1983).

    Examples
    --------
    >>> posterior_variances([[0.0, 2.0, 1.0]], [[0.0, 0.5, 3.0]], lam=np.inf).round(3)
    array([[0.833, 0.458, 2.333]])
    """
    places, own = _read_lines(knots, weights)
    there = _read_rows(points, "points", len(places))
    noise = _read_positive(lam, "lam")
    if places.shape[1] == 1:
        require_finite(places, "knots")
        require_finite(there, "points")
        return np.where(there == places, 1.0 / own, np.inf)
    return _variances(places, own, noise, there, left_out=False)


def left_out_variances(knots: ArrayLike, *, lam: float, weights: ArrayLike | None = None) -> Matrix:
    """Give the posterior variance at each knot, the value there left out.

    Parameters
    ----------
    knots, lam, weights
        As in `posterior_variances`; at least three knots.

    Returns
    -------
    ndarray, shape (Q, n)
        In units of the noise of a value of weight 1.

    Raises
    ------
    ValueError, TypeError
        As `posterior_variances`; and if there are fewer than three knots.

    Examples
    --------
    >>> left_out_variances([[0.0, 2.0, 1.0]], lam=np.inf).round(3)
    array([[5. , 5. , 0.5]])
    """
    places, own = _read_lines(knots, weights, at_least=3)
    return _variances(places, own, _read_positive(lam, "lam"), places, left_out=True)


def mean_matrix(
    knots: ArrayLike,
    points: ArrayLike,
    *,
    lam: float,
    seen: float,
    weights: ArrayLike | None = None,
    beyond: Literal["line", "constant"] = "line",
) -> Matrix:
    """Give the matrix of the mean of the lines' smoothing splines, by inverse posterior variances.

    Parameters
    ----------
    knots, points, weights
        As in `posterior_variances`.
    lam : float
        Of the splines, in [0, inf]; 0 interpolates, inf fits a line.
    seen : float
        The lam of `posterior_variances` at the points, whose inverses are the shares of the lines.
    beyond : "line" or "constant", optional
        What continues a spline beyond its knots: its tangent, or the value there.

    Returns
    -------
    ndarray, shape (m, n)
        From values to the mean at points; rows sum to 1.

    Raises
    ------
    ValueError, TypeError
        As `posterior_variances` for `seen`, and for a negative lam; if `beyond` is none of the
        above.

    References
    ----------
    C. F. Ansley and R. Kohn, Biometrika 69 (1982).

    Examples
    --------
    >>> knots, points = [[0.0, 2.0, 1.0], [0.0, 1.0, 2.0]], [[0.5], [1.5]]
    >>> mean_matrix(knots, points, lam=np.inf, seen=np.inf).round(3)
    array([[0.333, 0.208, 0.458]])
    """
    if beyond not in ("line", "constant"):
        raise ValueError(f'beyond must be "line" or "constant", got {beyond!r}')
    places, own = _read_lines(knots, weights)
    there = _read_rows(points, "points", len(places))
    smoothing = lam if type(lam) is float and lam >= 0.0 else check_lam(lam)
    noise = _read_positive(seen, "seen")
    if places.shape[1] == 1:
        require_finite(places, "knots")
        require_finite(there, "points")
        return np.ones((there.shape[1], 1))
    order, left_out, constant = np.argsort(places, axis=1), False, beyond == "constant"
    matrix, total = np.empty((there.shape[1], own.size)), np.empty(there.shape[1])
    bad = spline_lanes.mean_matrix(
        places, order, own, smoothing, noise, there, left_out, constant, matrix, total
    )
    _refuse(bad, places, own, there)
    return matrix


def left_out_matrix(
    knots: ArrayLike, *, lam: float, weights: ArrayLike | None = None
) -> tuple[Matrix, Vector]:
    """Give the matrix of the mean of the lines' estimates of each value from the others.

    Lines count by the inverse variances of the errors, which the value's own noise, 1 / weight, is
    part of.

    Parameters
    ----------
    knots, lam, weights
        As in `left_out_variances`.

    Returns
    -------
    matrix : ndarray, shape (n, n)
        From values to estimates, with zeros on the diagonal.
    precision : ndarray, shape (n,)
        The sum of the inverse variances.

    Raises
    ------
    ValueError, TypeError
        As `left_out_variances`.

    Examples
    --------
    >>> matrix, precision = left_out_matrix([[0.0, 2.0, 1.0]], lam=np.inf)
    >>> matrix.round(12)
    array([[ 0. , -1. ,  2. ],
           [-1. ,  0. ,  2. ],
           [ 0.5,  0.5,  0. ]])
    >>> precision.round(3)
    array([0.167, 0.167, 0.667])
    """
    places, own = _read_lines(knots, weights, at_least=3)
    noise = _read_positive(lam, "lam")
    order, left_out, constant = np.argsort(places, axis=1), True, False
    matrix, precision = np.empty((own.size, own.size)), np.empty(own.size)
    bad = spline_lanes.mean_matrix(
        places, order, own, noise, noise, places, left_out, constant, matrix, precision
    )
    _refuse(bad, places, own, places)
    return matrix, precision


def robust_gcv(squares: float, left_out: ArrayLike) -> float:
    """Give the robust score of generalised cross-validation of a fit.

    It is that of `fastspline.select_lam`, for those who add up the scores of several fits.

    Parameters
    ----------
    squares : float
        Weighted sum of the squared residuals, of one column or of several.
    left_out : array_like, shape (n,)
        1 - leverage of each value.

    Returns
    -------
    float
        NaN where all leverages are 1.

    Examples
    --------
    >>> line = robust_gcv(0.02, [0.3, 0.7, 0.7, 0.3])
    >>> round(line / (4 * 0.02 / 2.0**2), 3)  # the plain score
    184.276
    """
    rests = np.asarray(left_out, np.float64)
    n, rest = rests.size, float(rests.sum()) or np.nan
    return n * squares / rest**2 * float(caution(n, rest, float(rests @ rests)))


def _variances(
    knots: Matrix, weights: Vector, lam: float, points: Matrix, *, left_out: bool
) -> Matrix:
    order, result = np.argsort(knots, axis=1), np.empty(points.shape)
    bad = spline_lanes.variances(knots, order, weights, lam, points, left_out, result)
    _refuse(bad, knots, weights, points)
    return result


def _read_lines(
    knots: ArrayLike, weights: ArrayLike | None, at_least: int = 1
) -> tuple[Matrix, Vector]:
    """Give knots and weights (n,) as the kernels take them."""
    places = _read_rows(knots, "knots")
    lines, n = places.shape
    if lines == 0 or n < at_least:
        raise ValueError(
            f"knots must have a line or more, at least {at_least} on each, got shape {places.shape}"
        )
    if weights is None:
        return places, np.ones(n)
    own = np.array(check_weights(weights, n))
    if not own.min() > 0.0:
        bad = int(own.argmin())
        raise ValueError(f"weights must be positive, but weights[{bad}] = 0.0; drop its knots")
    return places, own


def _read_positive(lam: float, name: str) -> float:
    """Give the smoothing that variances are measured with."""
    number = lam if type(lam) is float and lam > 0.0 else check_lam(lam, name)
    if number == 0.0:
        raise ValueError(f"{name} must be > 0, got 0, which leaves no noise to measure by")
    return number


def _read_rows(values: ArrayLike, name: str, lines: int | None = None) -> Matrix:
    """Give a matrix of float64 that kernels may read, with one row a line."""
    rows = values
    if not (type(rows) is np.ndarray and rows.dtype == np.float64 and rows.flags.carray):
        rows = np.require(read_array(values, name)[0], np.float64, ["C", "A", "W"])
    if rows.ndim != 2:
        raise ValueError(f"{name} must have one row a line, got shape {rows.shape}")
    if lines not in (None, len(rows)):
        raise ValueError(f"{name} has {len(rows)} rows and knots have {lines}; give one row a line")
    return rows


def _refuse(line: int, knots: Matrix, weights: Vector, points: Matrix) -> None:
    """Raise for a line that a kernel refused, if any; -1 is none."""
    if line < 0:
        return
    require_finite(knots, "knots")
    require_finite(points, "points")
    places = np.sort(knots[line])
    gaps = np.diff(places)
    if gaps.min() == 0.0:
        twice = places[int(gaps.argmin())]
        raise ValueError(
            f"knots of a line must differ, but knots[{line}] holds {twice} twice; average the "
            "values there and add their weights"
        )
    unit, top = power_of_two(gaps.sum() / gaps.size), power_of_two(weights.max())
    refuse_scales(places, unit, gaps.min() / unit, weights.min() / top)
