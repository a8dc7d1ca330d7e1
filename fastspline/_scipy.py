"""`make_smoothing_spline` with scipy's signature and scipy's class back, ours inside."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._kernels.tables import first_bad_knot
from fastspline._oneshot import fit_columns
from fastspline._parts import Lam, Problem
from fastspline._solvers.choice import refuse_knots
from fastspline.arrays import (
    as_columns,
    is_torch_tensor,
    read_array,
    read_vector,
    require_finite,
)

if TYPE_CHECKING:
    from scipy.interpolate import BSpline

LEAST_FOR_GCV = 5  # scipy's own bound
LIKE_INFINITY = 1e99  # times the least weight; LEAST_WEIGHT is what is allowed


def make_smoothing_spline(
    x: ArrayLike,
    y: ArrayLike,
    w: ArrayLike | None = None,
    lam: float | ArrayLike | None = None,
    *,
    axis: int = 0,
    t: ArrayLike | None = None,
) -> BSpline:
    """Fit a smoothing spline: a drop-in for `scipy.interpolate.make_smoothing_spline`.

    Minimises ``sum(w * (y - f(x))**2) + lam * integral(f''**2)``; scipy's arguments and errors,
    scipy's class back, with the same knots, coefficients and extrapolation (by the end cubics;
    `smooth_spline` continues straight lines). It differs where scipy's system loses its digits
    (large lam, many or clustered points), and in the automatic lam, which here is the minimiser of
    the score whatever the units of x, y and w. That score is scipy's, plain GCV, which now and then
    interpolates noise: `smooth_spline` chooses by a robust one.

    Parameters
    ----------
    x : array_like, shape (n,)
        Ascending; n >= 5, or n >= 2 where `lam` is given.
    y : array_like, shape (..., n, ...)
        Values along `axis`.
    w : array_like, shape (n,), optional
        Positive weights; of an infinite one the curve goes through the value.
    lam : float or array_like, optional
        In [0, inf], also one a column; by default chosen for each column by generalised
        cross-validation, `select_lam`'s "gcv-plain".
    axis : int, optional
        Axis of `y` that runs along x.
    t : array_like, shape (k,), optional
        The knots of the cubic B-splines to fit by, k >= 8, as in scipy's releases after August
        2026; by default those of the smoothing spline, at x. From t[3] to t[-4], where x must lie
        and the penalty is taken, they ascend strictly. Few of them make a penalised regression
        spline, see `regression_spline`.

    Returns
    -------
    scipy.interpolate.BSpline

    Warns
    -----
    UserWarning
        If the score is best at the lower end of its search, next to interpolation.

    Raises
    ------
    ValueError
        If x does not ascend or has too few entries, lengths do not match, an entry is not finite, w
        is not positive, lam is negative or t no knots for x.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    As by scipy, objects, texts and long doubles are read as float64, and of complex x and y the
    real part, with numpy's ComplexWarning; of tensors the spline gives tensors where
    SCIPY_ARRAY_API is set. Masked entries are refused, which scipy takes for numbers.

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
    if t is not None:
        _check(x, y, w, lam, axis)
        return _fit_by(_read_full_knots(t, x), x, y, w, lam, axis)
    try:
        spline = _fit(x, y, w, lam, axis)
    except (ValueError, TypeError):
        x, y = _as_floats(x), _as_floats(y)
        _check(x, y, w, lam, axis)  # tells it by scipy's names
        spline = _fit(x, y, w, lam, axis)
    return spline


def _fit(
    x: ArrayLike, y: ArrayLike, w: ArrayLike | None, lam: float | ArrayLike | None, axis: int
) -> BSpline:
    """Fit what needs no conversion."""
    weights = None if w is None else _bounded(read_vector(w, "w"))
    knots, (values, _) = read_vector(x, "x"), read_array(y, "y")
    chosen: Lam = "gcv-plain" if lam is None else lam
    curve, choice, _ = fit_columns(Problem(knots, values, weights, chosen, axis))
    least = LEAST_FOR_GCV if lam is None else 2
    if curve.knots.size < least or not (weights is None or weights.min() > 0.0):
        _check(x, y, w, lam, axis)
    if choice is not None:  # of straight lines it says nothing, as scipy does not
        choice._replace(bound=np.minimum(choice.bound, 0)).warn(stacklevel=4)
    return _as_given(curve.to_bspline(), x, y)


def _as_given(spline: BSpline, x: ArrayLike, y: ArrayLike) -> BSpline:
    """Give a spline of tensors if it was fitted to some."""
    if not (is_torch_tensor(x) or is_torch_tensor(y)):
        return spline
    from_numpy = importlib.import_module("torch").from_numpy
    # Of tensors scipy's class knows whether SCIPY_ARRAY_API has it give tensors.
    return spline.construct_fast(from_numpy(spline.t), from_numpy(spline.c), 3, axis=spline.axis)


def _bounded(w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give infinite weights, whose points a curve goes through, as the largest that are allowed."""
    if not (infinite := w == np.inf).any():
        return w
    least = w.min() if not infinite.all() else 1.0
    return np.where(infinite, least * LIKE_INFINITY, w)


def _as_floats(given: ArrayLike) -> ArrayLike:
    """Give what scipy reads as numbers: of complex ones the real part, with numpy's warning.

    Nothing else is changed: masked entries, which scipy reads, are no numbers.
    """
    if given is None or is_torch_tensor(given):
        return given
    if isinstance(given, np.ma.MaskedArray):
        if np.ma.getmaskarray(given).any():
            return given
        given = np.ma.getdata(given)
    try:
        return np.asarray(given, np.float64)
    except (TypeError, ValueError):
        return given


class _NoPointsError(ValueError, IndexError):
    """There is nothing to fit; scipy has an IndexError."""


class _NoArrayError(TypeError, ValueError):
    """None stands in the place of an array; scipy has a ValueError."""


def _fit_by(
    t: NDArray[np.float64],
    x: ArrayLike,
    y: ArrayLike,
    w: ArrayLike | None,
    lam: float | ArrayLike | None,
    axis: int,
) -> BSpline:
    """Fit by the B-splines of the knots t."""
    from fastspline._regression import regression_spline  # few have such knots

    chosen = "gcv" if lam is None else lam
    curve = regression_spline(x, y, t[3:-3], weights=w, lam=chosen, axis=axis)
    return _as_given(curve.to_bspline(t), x, y)


def _read_full_knots(t: ArrayLike, x: ArrayLike) -> NDArray[np.float64]:
    """Give the knots of B-splines, checked."""
    read, sites = read_vector(t, "t"), read_vector(x, "x")
    if read.size < 8:
        raise ValueError(
            f"t must have at least 8 entries, got {read.size}; repeat its ends 4 times"
        )
    require_finite(read, "t")
    steps = np.diff(read)
    allowed = steps >= 0.0
    allowed[3:-3] = steps[3:-3] > 0.0
    if not allowed.all():
        i = int(allowed.argmin())
        raise ValueError(
            "t must not descend, and ascend strictly from t[3] to t[-4], but "
            f"t[{i + 1}] = {read[i + 1]} follows t[{i}] = {read[i]}"
        )
    if sites[0] < read[3] or sites[-1] > read[-4]:
        raise ValueError(
            f"x must lie within [t[3], t[-4]] = [{read[3]}, {read[-4]}], got {sites[0]} to "
            f"{sites[-1]}"
        )
    return read


def _check(
    x: ArrayLike, y: ArrayLike, w: ArrayLike | None, lam: float | ArrayLike | None, axis: int
) -> None:
    """Raise for what `make_smoothing_spline` does not take."""
    for name, given in (("x", x), ("y", y)):
        if given is None:
            raise _NoArrayError(f"{name} is None; give an array of numbers")
    knots = read_vector(x, "x")
    if knots.size == 0:
        raise _NoPointsError("x is empty; ``x`` and ``y`` length must be at least 2")
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
        require_finite(np.minimum(weights, 0.0), "w")
        bad = int((weights <= 0.0).argmax())
        raise ValueError(
            f"w must be positive, but w[{bad}] = {weights[bad]}; smooth_spline takes weights of 0"
        )
