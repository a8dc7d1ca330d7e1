"""`Spline`, a fitted curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._operator import refuse_values
from fastspline._posterior import sum_squares
from fastspline._state_space import evaluate_panel
from fastspline._tableau import Gaps, Tableau
from fastspline.arrays import FloatArray, Restore, as_columns, read_array, require_finite

if TYPE_CHECKING:
    from scipy.interpolate import BSpline, PPoly

    from fastspline._smoother import Smoother

_ALL = np.empty(0)


class Spline:
    """A fitted smoothing spline: a natural cubic spline, a straight line outside its knots.

    Made by `smooth_spline` or `Smoother.fit`. Holds one curve for each column of the values it was
    fitted to; where the values have more axes, results have them too, with the knots' axis replaced
    by that of the points. Immutable.

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
        One a column: ``n RSS / (n - df)**2`` and ``RSS / (n - df)``, RSS the weighted residual sum
        of squares and n the number of knots of positive weight; NaN where n - df is 0
        (interpolation).

    Examples
    --------
    >>> from fastspline import smooth_spline
    >>> curve = smooth_spline([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 0.0, 1.0], lam=0.0)
    >>> curve([1.0, 2.5]).round(3)
    array([1.  , 0.25])
    >>> bool(curve(-1.0, nu=1) == curve(0.0, nu=1))
    True
    """

    __slots__ = (
        "_curvatures",
        "_data",
        "_fitted",
        "_nodes",
        "_place",
        "_plans",
        "_restore",
        "_slopes",
        "lam",
    )

    lam: float | NDArray[np.float64]
    _plans: tuple[Smoother, ...]
    _nodes: NDArray[np.float64]
    _data: NDArray[np.float64]
    _place: tuple[tuple[int, ...], int]
    _restore: Restore
    _fitted: NDArray[np.float64]
    _slopes: NDArray[np.float64]
    _curvatures: NDArray[np.float64]

    def __init__(self, plans: tuple[Smoother, ...], values: ArrayLike, axis: int) -> None:
        """Fit with one plan for all columns, or one a column; users call `Smoother.fit`."""
        array, restore = read_array(values, "values")
        columns, trailing, axis = as_columns(array, plans[0].knots.size, axis, "values", "knots")
        data = columns.astype(np.float64)
        nodes = plans[0].knots if plans[0].knots.size > 1 else plans[0]._solver.gaps.knots
        fitted, slopes, curvatures = _fit_columns(plans, nodes, data, trailing, axis)
        setter = super().__setattr__
        setter("_plans", plans)
        setter("_nodes", nodes)
        setter("_data", data)
        setter("_place", (trailing, axis))
        setter("_restore", restore)
        setter("_fitted", fitted)
        setter("_slopes", slopes)
        setter("_curvatures", curvatures)
        per_column = np.array([plan.lam for plan in plans])
        setter("lam", plans[0].lam if len(plans) == 1 else per_column.reshape(trailing))

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a spline is immutable."""
        raise AttributeError(f"Spline is immutable; fit another one instead of setting {name!r}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as plans and data."""
        _, axis = self._place
        return _spline_from, (self._plans, self._shaped(self._data), axis, self._restore)

    def __repr__(self) -> str:
        """Tell size, columns, lam and degrees of freedom."""
        columns = self._data.shape[1]
        lam, df = np.ravel(self.lam), np.ravel(self.df)
        if lam.size == 0:
            return f"Spline(n={self.knots.size}, columns=0)"
        if lam.size == 1:
            return (
                f"Spline(n={self.knots.size}, columns={columns}, lam={lam[0]:.4g}, df={df[0]:.4g})"
            )
        return (
            f"Spline(n={self.knots.size}, columns={columns}, "
            f"lam={lam.min():.4g} to {lam.max():.4g}, df={df.min():.4g} to {df.max():.4g})"
        )

    @property
    def knots(self) -> NDArray[np.float64]:
        """The knots, shape (n,)."""
        return self._plans[0].knots

    @property
    def values(self) -> FloatArray:
        """The curve at the knots, of the shape and kind of the values it was fitted to."""
        return self._restore(self._shaped(self._fitted[: self.knots.size].copy()))

    @property
    def second_derivatives(self) -> FloatArray:
        """The curve's second derivatives at the knots, 0 at both ends."""
        return self._restore(self._shaped(self._curvatures[: self.knots.size].copy()))

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
        array of the kind and dtype of the fitted values, with the axes of `points` in the place of
        the knots' axis

        Raises
        ------
        ValueError
            If a point is not finite or nu not in [0, 3].
        """
        order = check_nu(nu)
        array, _ = read_array(points, "points")
        require_finite(array, "points")
        flat = np.ascontiguousarray(array.reshape(-1), np.float64)
        nodes = self._nodes
        gaps = Gaps(nodes, _ALL, np.diff(nodes), (1.0, 1.0, 0.0))
        t = Tableau(gaps, flat, np.array([order]), by_slope=True)
        out = np.empty((t.m, self._data.shape[1]))
        jet = (self._fitted, self._slopes, self._curvatures, self._curvatures)
        evaluate_panel(t.spans, t.weights, t.rows, jet[order], jet[min(order + 1, 3)], out)
        if not np.isfinite(out).all():
            raise ValueError(
                "the curve overflows at some of the points, which lie too far outside the knots; "
                "evaluate nearer points"
            )
        trailing, axis = self._place
        shaped = out.reshape(array.shape + trailing)
        moved = (
            np.moveaxis(shaped, range(array.ndim), range(axis, axis + array.ndim))
            if axis
            else shaped
        )
        return self._restore(moved)

    def to_ppoly(self) -> PPoly:
        """Give the curve as a scipy PPoly, with a linear piece at each end to extrapolate alike."""
        from scipy.interpolate import PPoly

        x, g, slope, gamma = self._nodes, self._fitted, self._slopes, self._curvatures
        h = np.diff(x)
        inner = np.stack(
            [np.diff(gamma, axis=0) / (6.0 * h)[:, None], gamma[:-1] / 2.0, slope[:-1], g[:-1]]
        )
        ends = np.zeros((2, 4, 1, g.shape[1]))
        ends[0, 2], ends[0, 3] = slope[0], g[0] - slope[0] * h[0]
        ends[1, 2], ends[1, 3] = slope[-1], g[-1]
        c = np.concatenate([ends[0], inner, ends[1]], axis=1)
        breaks = np.concatenate([[x[0] - h[0]], x, [x[-1] + h[-1]]])
        trailing, axis = self._place
        return PPoly.construct_fast(
            c.reshape(c.shape[:2] + trailing), breaks, extrapolate=True, axis=axis
        )

    def to_bspline(self) -> BSpline:
        """Give the curve as a scipy BSpline on the same knots.

        Equal between the knots; outside it continues the end cubics, not straight lines.
        A coefficient is the blossom of the cubic at three neighbouring knots:
        ``c_i = g_i + slope_i (h_i - h_{i-1}) / 3 - gamma_i h_i h_{i-1} / 6``.
        """
        from scipy.interpolate import BSpline

        x, g, slope, gamma = self._nodes, self._fitted, self._slopes, self._curvatures
        before, after = np.zeros((2, x.size, 1))
        after[:-1, 0] = before[1:, 0] = x[1:] - x[:-1]
        c = np.empty((x.size + 2, g.shape[1]))
        c[1:-1] = g + slope * (after - before) / 3.0 - gamma * after * before / 6.0
        c[0], c[-1] = g[0], g[-1]
        t = np.concatenate([x[[0, 0, 0]], x, x[[-1, -1, -1]]])
        trailing, axis = self._place
        return BSpline.construct_fast(t, c.reshape(c.shape[:1] + trailing), 3, axis=axis)

    def derivative(self, nu: int = 1) -> PPoly:
        """Give derivative `nu` as a scipy PPoly."""
        return self.to_ppoly().derivative(nu)

    def antiderivative(self, nu: int = 1) -> PPoly:
        """Give the antiderivative of order `nu` as a scipy PPoly, 0 one gap before the knots."""
        return self.to_ppoly().antiderivative(nu)

    def integrate(self, a: float, b: float) -> FloatArray:
        """Integrate the curve from a to b, finite, one number a column; also outside the knots."""
        for name, bound in (("a", a), ("b", b)):
            if not np.isfinite(bound):
                raise ValueError(f"{name} must be finite, got {bound}; the spline ends in lines")
        result: FloatArray = self.to_ppoly().integrate(a, b)
        return result

    def roots(self) -> NDArray[np.float64]:
        """Give where the curve is 0, also outside the knots: as `scipy.interpolate.PPoly.roots`."""
        result: NDArray[np.float64] = self.to_ppoly().roots()
        return result

    def _residuals(self) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
        """Give the number of active knots and, a column each, RSS and n - df, to full accuracy."""
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
                rest[j] = sum_squares(
                    gaps.h, gaps.weights, gaps.top, scaled, column, squares[j : j + 1]
                )
        return gaps.knots.size, squares * gaps.top, rest

    def _one_a_column(self, numbers: NDArray[np.float64]) -> float | NDArray[np.float64]:
        trailing, _ = self._place
        return numbers.reshape(trailing) if trailing else float(numbers[0])

    def _shaped(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, columns) with the axes of the fitted values."""
        trailing, axis = self._place
        shaped = columns.reshape(columns.shape[0], *trailing)
        return np.moveaxis(shaped, 0, axis) if axis else shaped


def check_nu(nu: int) -> int:
    """Give the order of derivative as an int in [0, 3]."""
    if isinstance(nu, bool) or not hasattr(nu, "__index__"):
        raise TypeError(f"nu must be an integer in [0, 3], got {nu!r}")
    if not 0 <= nu <= 3:
        raise ValueError(f"nu must lie in [0, 3] (a cubic spline has three derivatives), got {nu}")
    return int(nu)


def _fit_columns(
    plans: tuple[Smoother, ...],
    nodes: NDArray[np.float64],
    data: NDArray[np.float64],
    trailing: tuple[int, ...],
    axis: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Values, slopes and second derivatives at the nodes, (n, columns) each."""
    if data.shape[1] == 0:
        return np.empty((nodes.size, 0)), np.empty((nodes.size, 0)), np.empty((nodes.size, 0))
    if len(plans) == 1:
        *arrays, bad = plans[0]._solver.fit(nodes, plans[0]._active, data, None)
        if bad >= 0:
            refuse_values(data, plans[0]._active, trailing, axis, bad)
        return arrays[0], arrays[1], arrays[2]
    fits = [_fit_columns((plan,), nodes, data[:, j : j + 1], (), 0) for j, plan in enumerate(plans)]
    fitted, slopes, curvatures = (
        np.concatenate(parts, axis=1) for parts in zip(*fits, strict=True)
    )
    return fitted, slopes, curvatures


def _spline_from(
    plans: tuple[Smoother, ...], values: NDArray[np.float64], axis: int, restore: Restore
) -> Spline:
    spline = Spline(plans, values, axis)
    object.__setattr__(spline, "_restore", restore)
    return spline
