"""`Spline`, a fitted curve, and `smooth_spline` and `resample`, which fit one in a call."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._selection import search_gcv
from fastspline._smoother import Smoother, _as_columns, _check_lam, _check_nu
from fastspline._solvers import Gaps, Tableau
from fastspline._state_space import evaluate_panel, sum_squares
from fastspline.arrays import FloatArray, Restore, read_array, read_vector, require_finite

if TYPE_CHECKING:
    from scipy.interpolate import BSpline, PPoly

_ALL = np.empty(0)


class Spline:
    """A fitted smoothing spline: a natural cubic spline, a straight line outside its knots.

    Made by `smooth_spline` or `Smoother.fit`. Holds one curve for each column of the values it was fitted to; where the
    values have more axes, results have them too, with the knots' axis replaced by that of the points. Immutable.

    Attributes
    ----------
    knots : ndarray, shape (n,)
    values, second_derivatives : ndarray, shape (..., n, ...)
        Of the fitted curve, at the knots.
    lam : float or ndarray
        One number, or one a column where each has its own.
    leverages : ndarray, shape (n,), or (..., n, ...) where each column has its own lam
        The diagonal of the map from values to fitted values.
    df : float or ndarray
        Degrees of freedom, the sum of the leverages.
    gcv, residual_variance : float or ndarray
        One a column: ``n RSS / (n - df)**2`` and ``RSS / (n - df)``, RSS the weighted residual sum of squares and n the
        number of knots of positive weight; NaN where n - df is 0 (interpolation).

    Examples
    --------
    >>> import numpy as np
    >>> curve = smooth_spline([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 0.0, 1.0], lam=0.0)
    >>> curve([1.0, 2.5]).round(3)
    array([1.  , 0.25])
    >>> curve(-1.0, nu=1) == curve(0.0, nu=1)
    True
    """

    __slots__ = ("_curvatures", "_data", "_fitted", "_nodes", "_place", "_plans", "_restore", "_slopes", "lam")

    lam: float | NDArray[np.float64]

    def __init__(self, plans: tuple[Smoother, ...], values: ArrayLike, axis: int) -> None:
        """Fit `values` with one plan for all columns, or with one plan a column. For `Smoother.fit`, not for users."""
        array, restore = read_array(values, "values")
        columns, trailing, axis = _as_columns(array, plans[0].knots.size, axis, "values", "knots")
        data = columns if columns.dtype == np.float64 else columns.astype(np.float64)
        nodes = plans[0].knots if plans[0].knots.size > 1 else plans[0]._solver.gaps.knots
        fitted, slopes, curvatures = _fit_columns(plans, nodes, data, trailing, axis)
        setter = super().__setattr__
        for name, value in (
            ("_plans", plans), ("_nodes", nodes), ("_data", data), ("_place", (trailing, axis)), ("_restore", restore),
            ("_fitted", fitted), ("_slopes", slopes), ("_curvatures", curvatures),
        ):  # fmt: skip
            setter(name, value)
        per_column = np.array([plan.lam for plan in plans])
        setter("lam", plans[0].lam if len(plans) == 1 else per_column.reshape(trailing))

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a spline is immutable."""
        raise AttributeError(f"Spline is immutable; fit another one instead of setting {name!r}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as plans and data."""
        trailing, axis = self._place
        return _spline_from, (self._plans, self._shaped(self._data), axis, self._restore)

    def __repr__(self) -> str:
        """Tell size, columns, lam and degrees of freedom."""
        columns = self._data.shape[1]
        lam, df = np.ravel(self.lam), np.ravel(self.df)
        if lam.size == 0:
            return f"Spline(n={self.knots.size}, columns=0)"
        if lam.size == 1:
            return f"Spline(n={self.knots.size}, columns={columns}, lam={lam[0]:.4g}, df={df[0]:.4g})"
        return (
            f"Spline(n={self.knots.size}, columns={columns}, lam={lam.min():.4g} to {lam.max():.4g}, "
            f"df={df.min():.4g} to {df.max():.4g})"
        )

    @property
    def knots(self) -> NDArray[np.float64]:
        """The knots, shape (n,)."""
        return self._plans[0].knots

    @property
    def values(self) -> FloatArray:
        """The curve at the knots, of the shape and kind of the values it was fitted to."""
        return self._restored(self._shaped(self._fitted[: self.knots.size]))

    @property
    def second_derivatives(self) -> FloatArray:
        """The curve's second derivatives at the knots, 0 at both ends."""
        return self._restored(self._shaped(self._curvatures[: self.knots.size]))

    @property
    def leverages(self) -> NDArray[np.float64]:
        """See the class."""
        if len(self._plans) == 1:
            return self._plans[0].leverages
        return self._shaped(np.stack([plan.leverages for plan in self._plans], axis=1))

    @property
    def df(self) -> float | NDArray[np.float64]:
        """See the class."""
        if len(self._plans) == 1:
            return self._plans[0].df
        return np.array([plan.df for plan in self._plans]).reshape(self._place[0])

    @property
    def gcv(self) -> float | NDArray[np.float64]:
        """See the class."""
        n, squares, rest = self._residuals()
        with np.errstate(invalid="ignore"):
            return self._one_a_column(n * squares / rest**2)

    @property
    def residual_variance(self) -> float | NDArray[np.float64]:
        """See the class."""
        _, squares, rest = self._residuals()
        with np.errstate(invalid="ignore"):
            return self._one_a_column(squares / rest)

    def __call__(self, points: ArrayLike, nu: int = 0) -> FloatArray:
        """Evaluate the curve, or its derivative `nu` in [0, 3], at points of any shape.

        Parameters
        ----------
        points : array_like
            Outside the knots the curve is the straight line that continues it.
        nu : int, optional
            The third derivative is the right limit at a knot, and 0 at the last one.

        Returns
        -------
        array of the kind and dtype of the fitted values, with the axes of `points` in the place of the knots' axis

        Raises
        ------
        ValueError
            If a point is not finite or nu not in [0, 3].
        """
        order = _check_nu(nu)
        array, _ = read_array(points, "points")
        require_finite(array, "points")
        flat = np.ascontiguousarray(array.reshape(-1), np.float64)
        nodes = self._nodes
        gaps = Gaps(nodes, _ALL, np.diff(nodes), (1.0, 1.0, 0.0))
        t = Tableau(gaps, flat, np.array([order]), by_slope=True)
        out = np.empty((t.m, self._data.shape[1]))
        tangent = self._slopes if order < 2 else self._curvatures
        evaluate_panel(t.spans, t.weights, t.rows, self._fitted, tangent, out)
        trailing, axis = self._place
        shaped = out.reshape(*array.shape, *trailing)
        moved = np.moveaxis(shaped, range(array.ndim), range(axis, axis + array.ndim)) if axis else shaped
        return self._restored(moved)

    def to_ppoly(self) -> PPoly:
        """Give the curve as a scipy PPoly; its first and last pieces are linear, so that it extrapolates as the spline does."""
        from scipy.interpolate import PPoly  # noqa: PLC0415  (scipy loads where it is used)

        x, g, slope, gamma = self._nodes, self._fitted, self._slopes, self._curvatures
        h = np.diff(x)
        inner = np.stack([np.diff(gamma, axis=0) / (6.0 * h)[:, None], gamma[:-1] / 2.0, slope[:-1], g[:-1]])
        ends = np.zeros((2, 4, 1, g.shape[1]))
        ends[0, 2], ends[0, 3] = slope[0], g[0] - slope[0] * h[0]
        ends[1, 2], ends[1, 3] = slope[-1], g[-1]
        c = np.concatenate([ends[0], inner, ends[1]], axis=1)
        breaks = np.concatenate([[x[0] - h[0]], x, [x[-1] + h[-1]]])
        trailing, axis = self._place
        return PPoly.construct_fast(c.reshape(*c.shape[:2], *trailing), breaks, extrapolate=True, axis=axis)

    def to_bspline(self) -> BSpline:
        """Give the curve as a scipy BSpline on the same knots: equal between them; outside it continues the end cubics.

        A coefficient is the blossom of the cubic at three neighbouring knots:
        ``c_i = g_i + slope_i (h_i - h_{i-1}) / 3 - gamma_i h_i h_{i-1} / 6``.
        """
        from scipy.interpolate import BSpline  # noqa: PLC0415  (scipy loads where it is used)

        x, g, slope, gamma = self._nodes, self._fitted, self._slopes, self._curvatures
        before, after = np.diff(x, prepend=x[0])[:, None], np.diff(x, append=x[-1])[:, None]
        c = np.empty((x.size + 2, g.shape[1]))
        c[1:-1] = g + slope * (after - before) / 3.0 - gamma * after * before / 6.0
        c[0], c[-1] = g[0], g[-1]
        t = np.concatenate([x[[0, 0, 0]], x, x[[-1, -1, -1]]])
        trailing, axis = self._place
        return BSpline.construct_fast(t, c.reshape(-1, *trailing), 3, axis=axis)

    def derivative(self, nu: int = 1) -> PPoly:
        """Give derivative `nu` as a scipy PPoly."""
        return self.to_ppoly().derivative(nu)

    def antiderivative(self, nu: int = 1) -> PPoly:
        """Give the antiderivative of order `nu` as a scipy PPoly; it is 0 at its first break, one gap before the knots."""
        return self.to_ppoly().antiderivative(nu)

    def integrate(self, a: float, b: float) -> FloatArray:
        """Integrate the curve from a to b, one number a column; also outside the knots."""
        result: FloatArray = self.to_ppoly().integrate(a, b)
        return result

    def roots(self) -> NDArray[np.float64]:
        """Give where the curve is 0, also outside the knots: as `scipy.interpolate.PPoly.roots`."""
        result: NDArray[np.float64] = self.to_ppoly().roots()
        return result

    @classmethod
    def _fit(cls, plan: Smoother, values: ArrayLike, axis: int) -> Spline:
        return cls((plan,), values, axis)

    def _residuals(self) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
        """Active knots, and for each column the residual sum of squares and n - df, both to full relative accuracy."""
        columns = self._data.shape[1]
        squares, rest = np.empty(columns), np.zeros(columns)
        gaps = self._plans[0]._solver.gaps
        active = self._plans[0]._active
        y = np.ascontiguousarray(self._data[active])
        if gaps.knots.size == 2:
            return active.size, np.zeros(columns), rest
        if len(self._plans) == 1:
            rest[:] = sum_squares(gaps.h, gaps.weights, gaps.top, gaps.scaled_lam, y, squares)
        else:
            for j, plan in enumerate(self._plans):
                scaled = plan._solver.gaps.scaled_lam
                column = np.ascontiguousarray(y[:, j : j + 1])
                rest[j] = sum_squares(gaps.h, gaps.weights, gaps.top, scaled, column, squares[j : j + 1])
        return gaps.knots.size, squares * gaps.top, rest

    def _one_a_column(self, numbers: NDArray[np.float64]) -> float | NDArray[np.float64]:
        trailing, _ = self._place
        return numbers.reshape(trailing) if trailing else float(numbers[0])

    def _shaped(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, columns) with the axes of the fitted values."""
        trailing, axis = self._place
        shaped = columns.reshape(columns.shape[0], *trailing)
        return np.moveaxis(shaped, 0, axis) if axis else shaped

    def _restored(self, array: NDArray[np.float64]) -> FloatArray:
        return self._restore(array)


def smooth_spline(
    knots: ArrayLike,
    values: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    lam: float | ArrayLike | Literal["gcv"] = "gcv",
    axis: int = 0,
) -> Spline:
    """Fit the natural cubic spline f that minimises ``sum(weights * (values - f(knots))**2) + lam * integral(f''**2)``.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending.
    values : array_like, shape (..., n, ...)
        Values at the knots along `axis`; all other axes are independent columns.
    weights : array_like, shape (n,), optional
        Not negative and not squared; default ones. Values at knots of weight 0 are not looked at.
    lam : float, array_like or "gcv", optional
        A number in [0, inf] for all columns, an array with one a column (of the shape of `values` without `axis`), or
        "gcv": one a column by generalised cross-validation, see `select_lam`.
    axis : int, optional
        Axis of `values` that runs along the knots.

    Returns
    -------
    Spline

    Raises
    ------
    ValueError
        If knots do not ascend, an entry is not finite, lengths do not match, or lam or a weight is negative.
    TypeError
        If an argument does not hold real numbers.

    References
    ----------
    P. J. Green and B. W. Silverman, "Nonparametric Regression and Generalized Linear Models" (1994), chapter 2.

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
            raise ValueError(f'lam must be a number in [0, inf], an array of them or "gcv", got {lam!r}')
        return _smooth_by_gcv(knots, values, weights, axis)
    if np.ndim(lam) == 0:
        return Smoother(knots, lam=lam, weights=weights).fit(values, axis=axis)  # type: ignore[arg-type]
    lams, _ = read_array(lam, "lam")
    array, _ = read_array(values, "values")
    if lams.shape != np.delete(array.shape, axis).tolist() and lams.shape != tuple(np.delete(array.shape, axis)):
        raise ValueError(
            f"lam has shape {lams.shape} and the columns of values {tuple(np.delete(array.shape, axis))}; "
            "give one lam a column, or one number"
        )
    plans = tuple(Smoother(knots, lam=_check_lam(one), weights=weights) for one in lams.ravel().tolist())
    return Spline(plans, values, axis)


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
    """Give the smoothing spline of `values` at other points, in one call: ``Smoother(...).operator(points)(values)``.

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


def _smooth_by_gcv(knots: ArrayLike, values: ArrayLike, weights: ArrayLike | None, axis: int) -> Spline:
    """`smooth_spline` with lam chosen."""
    plan = Smoother(knots, lam=0.0, weights=weights)
    array, _ = read_array(values, "values")
    columns, trailing, _ = _as_columns(array, plan.knots.size, axis, "values", "knots")
    require_finite(columns[plan._active], "values")
    lams = search_gcv(plan, np.ascontiguousarray(columns[plan._active], np.float64))
    if not trailing:
        return Smoother(plan.knots, lam=float(lams[0]), weights=plan.weights).fit(values, axis=axis)
    plans = tuple(Smoother(plan.knots, lam=lam, weights=plan.weights) for lam in lams.tolist())
    return Spline(plans or (plan,), values, axis)


def _fit_columns(
    plans: tuple[Smoother, ...], nodes: NDArray[np.float64], data: NDArray[np.float64], trailing: tuple[int, ...], axis: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Values, slopes and second derivatives at the nodes, (n, columns) each."""
    if data.shape[1] == 0:
        return np.empty((nodes.size, 0)), np.empty((nodes.size, 0)), np.empty((nodes.size, 0))
    if len(plans) == 1:
        *arrays, bad = plans[0]._solver.fit(nodes, plans[0]._active, data, None)
        if bad >= 0:
            plans[0].operator([0.0])._refuse(data, trailing, axis, bad)
        return arrays[0], arrays[1], arrays[2]
    fits = [_fit_columns((plan,), nodes, data[:, j : j + 1], (), 0) for j, plan in enumerate(plans)]
    fitted, slopes, curvatures = (np.concatenate(parts, axis=1) for parts in zip(*fits, strict=True))
    return fitted, slopes, curvatures


def _spline_from(plans: tuple[Smoother, ...], values: NDArray[np.float64], axis: int, restore: Restore) -> Spline:
    spline = Spline(plans, values, axis)
    object.__setattr__(spline, "_restore", restore)
    return spline
