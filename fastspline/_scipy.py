"""`make_smoothing_spline` with scipy's signature and scipy's class back, ours inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from fastspline._kernels.tables import first_bad_knot
from fastspline._oneshot import Lam, Problem, fit_columns
from fastspline._solvers.choice import refuse_knots
from fastspline.arrays import as_columns, read_array, read_vector, require_finite

if TYPE_CHECKING:
    from scipy.interpolate import BSpline

LEAST_FOR_GCV = 5  # scipy's own bound


def make_smoothing_spline(
    x: ArrayLike,
    y: ArrayLike,
    w: ArrayLike | None = None,
    lam: float | ArrayLike | None = None,
    *,
    axis: int = 0,
) -> BSpline:
    """Fit a smoothing spline: a drop-in for `scipy.interpolate.make_smoothing_spline`.

    Minimises ``sum(w * (y - f(x))**2) + lam * integral(f''**2)``; scipy's arguments and errors,
    scipy's class back, with the same knots, coefficients and extrapolation (by the end cubics;
    `smooth_spline` continues straight lines). It differs where scipy's system loses its digits
    (large lam, many or clustered points), and in the automatic lam, which here is the minimiser of
    the score whatever the units of x, y and w.

    Parameters
    ----------
    x : array_like, shape (n,)
        Ascending; n >= 5, or n >= 2 where `lam` is given.
    y : array_like, shape (..., n, ...)
        Values along `axis`.
    w : array_like, shape (n,), optional
        Positive weights.
    lam : float or array_like, optional
        In [0, inf], also one a column; by default chosen for each column by generalised
        cross-validation.
    axis : int, optional
        Axis of `y` that runs along x.

    Returns
    -------
    scipy.interpolate.BSpline

    Raises
    ------
    ValueError
        If x does not ascend or has too few entries, lengths do not match, an entry is not finite, w
        is not positive or lam is negative.
    TypeError
        If an argument does not hold real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.interpolate import make_smoothing_spline as scipys
    >>> x = np.linspace(0.0, 1.0, 40)
    >>> y = np.sin(9.0 * x)
    >>> ours, theirs = make_smoothing_spline(x, y, lam=1e-5), scipys(x, y, lam=1e-5)
    >>> np.allclose(ours.c, theirs.c)
    True
    """
    if isinstance(lam, str):
        raise TypeError(f"lam must be a number in [0, inf] or None, got {lam!r}; None chooses it")
    try:
        weights = None if w is None else read_vector(w, "w")
        chosen: Lam = "gcv" if lam is None else lam
        spline, _ = fit_columns(Problem(x, y, weights, chosen, axis))  # silent, as scipy is
    except (ValueError, TypeError):
        _check(x, y, w, lam, axis)  # tells it by scipy's names
        raise
    least = LEAST_FOR_GCV if lam is None else 2
    if spline.knots.size < least or not (weights is None or weights.min() > 0.0):
        _check(x, y, w, lam, axis)
    return spline.to_bspline()


def _check(
    x: ArrayLike, y: ArrayLike, w: ArrayLike | None, lam: float | ArrayLike | None, axis: int
) -> None:
    """Raise for what `make_smoothing_spline` does not take."""
    knots = read_vector(x, "x")
    if lam is None and knots.size < LEAST_FOR_GCV:
        raise ValueError(
            f"``x`` and ``y`` length must be at least 5 to choose lam, got {knots.size}; give lam"
        )
    bad = first_bad_knot(knots)
    if bad >= 0:
        refuse_knots(knots, bad, "x")
    array, _ = read_array(y, "y")
    as_columns(array, knots.size, axis, "y", "x")
    require_finite(array, "y")
    if knots.size < 2:
        raise ValueError(f"x and y length must be at least 2, got {knots.size}; add points")
    if w is None:
        return
    weights = read_vector(w, "w")
    if weights.size != knots.size:
        raise ValueError(f"w has {weights.size} entries and x {knots.size}; give one an entry of x")
    if not weights.min() > 0.0:
        require_finite(weights, "w")
        bad = int((weights <= 0.0).argmax())
        raise ValueError(
            f"w must be positive, but w[{bad}] = {weights[bad]}; smooth_spline takes weights of 0"
        )
