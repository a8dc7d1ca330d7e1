"""`smooth_spline` and `resample`: a fit in one call."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fastspline._fit import Group
from fastspline._selection import select_lam
from fastspline._smoother import Smoother, check_lam
from fastspline._spline import Spline
from fastspline.arrays import FloatArray, as_columns, read_array


def smooth_spline(
    knots: ArrayLike,
    values: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    lam: float | ArrayLike | Literal["gcv"] = "gcv",
    axis: int = 0,
) -> Spline:
    """Fit a smoothing spline to values at knots.

    It is the natural cubic spline f that minimises
    ``sum(weights * (values - f(knots))**2) + lam * integral(f''**2)``.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending.
    values : array_like, shape (..., n, ...)
        Values at the knots along `axis`; all other axes are independent columns.
    weights : array_like, shape (n,), optional
        Not negative and not squared; default ones. Values at knots of weight 0 are not looked at.
    lam : float, array_like or "gcv", optional
        A number in [0, inf] for all columns, an array with one a column (of the shape of `values`
        without `axis`), or "gcv": one a column by generalised cross-validation, see `select_lam`.
    axis : int, optional
        Axis of `values` that runs along the knots.

    Returns
    -------
    Spline

    Raises
    ------
    ValueError
        If knots do not ascend, an entry is not finite, lengths do not match, or lam or a weight is
        negative.
    TypeError
        If an argument does not hold real numbers.

    References
    ----------
    P. J. Green and B. W. Silverman, "Nonparametric Regression and Generalized Linear Models"
    (1994), chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0.0, 1.0, 30)
    >>> line = smooth_spline(x, 2.0 * x + 1.0, lam=1e-3)
    >>> np.allclose(line([0.25, 2.0]), [1.5, 5.0])
    True
    """
    if isinstance(lam, str):
        if lam != "gcv":
            raise ValueError(
                f'lam must be a number in [0, inf], an array of them or "gcv", got {lam!r}'
            )
        return _smooth_by_gcv(knots, values, weights, axis)
    if np.ndim(lam) == 0:
        return Smoother(knots, lam=lam, weights=weights).fit(values, axis=axis)  # type: ignore[arg-type]
    lams, _ = read_array(lam, "lam")
    array, restore = read_array(values, "values")
    columns, trailing, axis = as_columns(array, np.size(knots), axis, "values", "knots")
    if lams.shape != trailing:
        raise ValueError(
            f"lam has shape {lams.shape} and the columns of values {trailing}; "
            "give one lam a column, or one number"
        )
    chosen = [
        check_lam(one, f"lam[{', '.join(map(str, i))}]")
        for i, one in zip(np.ndindex(trailing), lams.ravel().tolist(), strict=True)
    ]
    distinct, which = np.unique(chosen or [0.0], return_inverse=True)
    which = which[: len(chosen)]
    data = columns.astype(np.float64)
    groups = []
    for k, one in enumerate(distinct.tolist()):
        mine = np.flatnonzero(which == k)
        groups.append(Group(Smoother(knots, lam=one, weights=weights), mine, data[:, mine]))
    return Spline(tuple(groups), (trailing, axis), restore, lams.astype(np.float64))


def resample(
    knots: ArrayLike,
    values: ArrayLike,
    points: ArrayLike,
    *,
    lam: float = 0.0,
    weights: ArrayLike | None = None,
    axis: int = 0,
    out: FloatArray | None = None,
) -> FloatArray:
    """Give the smoothing spline of `values` at other points, in one call.

    The same as ``Smoother(knots, ...).operator(points)(values)``.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending.
    values : array_like, shape (..., n, ...)
        Values at the knots along `axis`.
    points : array_like, shape (m,)
        In any order; outside the knots the spline is a straight line.
    lam, weights
        As in `Smoother`; by default the natural spline through the values.
    axis, out
        As in `SplineOperator`.

    Returns
    -------
    array of the kind and dtype of `values`, shape (..., m, ...)

    Raises
    ------
    ValueError, TypeError
        As `Smoother` and `SplineOperator`.

    Examples
    --------
    >>> resample([0.0, 1.0, 2.0], [0.0, 1.0, 4.0], [2.0, 3.0]).tolist()
    [4.0, 7.5]
    """
    return Smoother(knots, lam=lam, weights=weights).operator(points)(values, axis=axis, out=out)


def _smooth_by_gcv(
    knots: ArrayLike, values: ArrayLike, weights: ArrayLike | None, axis: int
) -> Spline:
    """`smooth_spline` with lam chosen."""
    lam = select_lam(knots, values, weights=weights, axis=axis)
    if np.size(lam) == 0:
        lam = 0.0
    return smooth_spline(knots, values, weights=weights, lam=lam, axis=axis)
