"""`Spline`, a fitted curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar, cast, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._apart import Apart, fit_curves
from fastspline._curve import Curve
from fastspline._fit import Group, noise_of, rest_of
from fastspline._gradient import FitGradient, differentiate
from fastspline._score import score_group
from fastspline._solvers.tableau import Vector
from fastspline._source import NUMBERS, Source, read_cotangent
from fastspline._typing import EachColumn, EachPlan, Shaped
from fastspline.arrays import FloatArray, JoinParts, Restore, join_parts, read_only

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from scipy.interpolate import BSpline, PPoly

Number = TypeVar("Number", bound=np.generic)


@final
class Spline(Curve[Shaped], Generic[EachColumn, EachPlan, Shaped]):
    """A fitted smoothing spline: a natural cubic spline, a straight line outside its knots.

    Made by `smooth_spline` or `Smoother.fit`. Holds one curve for each column of the values it was
    fitted to; where the values have more axes, results have them too, with the knots' axis replaced
    by that of the points, and the labels of a Series, DataFrame or DataArray. Complex values have a
    curve for the real and one for the imaginary part: the curve is complex, and what is one a
    column has a last axis of 2. All of a column without values is NaN. Immutable.

    Attributes
    ----------
    knots : ndarray, shape (n,)
        Times in seconds, see `Smoother`.
    values, second_derivatives : ndarray, shape (..., n, ...)
        Of the fitted curve, at the knots.
    lam : float or ndarray
        One number, or one a column where each may have its own.
    leverages : ndarray, shape (n,), or (..., n, ...) where each column has its own plan
        The diagonal of the map from values to fitted values.
    df : float or ndarray
        Degrees of freedom, the sum of the leverages.
    gcv, loo, reml, residual_variance : float or ndarray
        One a column. The scores that `select_lam` minimises, and an estimate of the variance of a
        value of weight 1, ``RSS / tr((I - S)**2)``, S the map from values to fitted values; NaN
        where n - df is 0 (interpolation). It is unbiased where the curve is right but for noise,
        for every lam; ``RSS / (n - df)``, which mgcv takes, is smaller, by much where df is near n.
        Bands of curves take more, see `std`. Of a robust fit the squared robust scale, and scores
        with its last weights.
    outliers : ndarray of bool, shape (..., n, ...)
        Of a robust fit.

    Examples
    --------
    >>> from fastspline import smooth_spline
    >>> curve = smooth_spline([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 0.0, 1.0], lam=0.0)
    >>> curve([1.0, 2.5]).round(3)
    array([1.  , 0.25])
    >>> bool(curve(-1.0, nu=1) == curve(0.0, nu=1))
    True
    """

    __slots__ = ("_groups", "_jet", "_place", "_restore", "_source", "_third", "lam")

    lam: EachPlan

    def __init__(
        self,
        groups: Sequence[Group],
        place: tuple[tuple[int, ...], int],
        restore: Restore,
        lam: EachPlan,
        source: Source = NUMBERS,
    ) -> None:
        """Fit each group of columns; users call `Smoother.fit` or `smooth_spline`."""
        held = groups, fit_curves(groups, place), place, restore, source, None, lam
        for name, part in zip(self.__slots__, held, strict=True):
            object.__setattr__(self, name, part)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a spline is immutable."""
        raise AttributeError(f"Spline is immutable; fit another one instead of setting {name!r}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as plans and data."""
        return Spline, (self._groups, self._place, self._restore, self.lam, self._source)

    def __repr__(self) -> str:
        """Tell size, columns, lam and degrees of freedom."""
        from fastspline._display import tell

        return tell(self)

    def _repr_html_(self) -> str:
        """Tell the same in a notebook, with a sketch of the curves."""
        from fastspline._display import tabulate_html

        return tabulate_html(self)

    @property
    def knots(self) -> Vector:
        """The knots, shape (n,)."""
        return read_only(self._groups[0].plan.knots)

    @property
    def values(self) -> Shaped:
        """The curve at the knots, of the shape and kind of the values it was fitted to."""
        return self._at_knots(self._jet.values)

    @property
    def second_derivatives(self) -> Shaped:
        """The curve's second derivatives at the knots; 0 at both ends of a natural spline."""
        return self._at_knots(self._jet.curvatures, same_unit=False)

    @property
    def leverages(self) -> Vector:
        """See the class."""
        if len(self._groups) == 1 and not self._groups[0].is_lost:
            return self._groups[0].plan.leverages
        result = np.full((self.knots.size, self._columns), np.nan)
        for group in self._groups:
            if not group.is_lost:
                result[:, group.columns] = group.plan.leverages[:, np.newaxis]
        return self._shaped(result)

    @property
    def df(self) -> EachPlan:
        """See the class."""
        first = self._groups[0]
        shared = np.ndim(self.lam) == 0 and not first.is_lost  # as the overloads of who fits say
        one = first.plan.df if shared else self._a_column(lambda group: group.plan.df)
        return cast(EachPlan, one)

    @property
    def outliers(self) -> NDArray[np.bool_]:
        """Which values lie 4.685 standard deviations from the curve, or further.

        Shaped as the values, in their order; of fits with ``loss="huber"`` or "tukey", whose
        standard deviation such values do not move. Else a ValueError.
        """
        found = [(group.columns, group.robust) for group in self._groups if group.robust]
        if not found:
            raise ValueError('outliers are told by a robust fit; fit with loss="tukey", or "huber"')
        result = np.zeros((found[0][1].outliers.size, self._columns), np.bool_)
        for columns, robust in found:
            result[:, columns] = robust.outliers[:, np.newaxis]
        return self._shaped(result)

    @property
    def gcv(self) -> EachColumn:
        """See the class."""
        return self._a_column(lambda group: rest_of(group).gcv)

    @property
    def loo(self) -> EachColumn:
        """See the class."""
        return self._a_column(lambda group: rest_of(group).loo)

    @property
    def reml(self) -> EachColumn:
        """See `select_lam`; ValueError but for natural ends without roughness weights."""
        if self._jet.bc != "natural" or self._jet.roughness.size:
            raise ValueError("reml is defined for natural ends without roughness weights")
        return self._a_column(lambda group: score_group(group, "reml"))

    @property
    def residual_variance(self) -> EachColumn:
        """See the class."""
        groups = self._groups
        told = groups.tell(np.empty(0), 0) if isinstance(groups, Apart) else None
        if told is not None:
            with np.errstate(over="ignore", under="ignore"):
                return cast(EachColumn, (told.noise**2).reshape(self._place[0]))
        return self._a_column(lambda group: noise_of(group).variance)

    def _a_column(self, score: Callable[[Group], float | Vector]) -> EachColumn:
        """Give a number of each column, as the values' other axes are shaped."""
        result = np.full(self._columns, np.nan)
        for group in self._groups:
            if not group.is_lost:
                result[group.columns] = score(group)
        trailing, _ = self._place
        return cast(EachColumn, result.reshape(trailing) if trailing else float(result[0]))

    def plot(
        self, ax: Axes | None = None, *, points: ArrayLike | None = None, level: float = 0.95
    ) -> Axes:
        """Plot values, curve and band on matplotlib's axes, by default the current ones.

        At `points`, by default between the knots; of up to 10 columns, else a ValueError; with no
        band where they interpolate. ImportError without the extra "plot".

        Returns
        -------
        matplotlib.axes.Axes
        """
        from fastspline._display import draw

        return draw(self, ax, points, level)

    def to_ppoly(self) -> PPoly:
        """Give the curve as a scipy PPoly that extrapolates alike.

        With a linear piece at each end; a periodic curve with scipy's periodic extrapolation.

        Returns
        -------
        scipy.interpolate.PPoly
        """
        return self._jet.to_ppoly(*self._place, joined=self._is_complex)

    def to_bspline(self) -> BSpline:
        """Give the curve as a scipy BSpline on the same knots.

        Equal between the knots; outside it continues the end cubics, not straight lines (but a
        periodic curve its periods). A coefficient is the blossom of the cubic at three neighbouring
        knots: ``c_i = g_i + slope_i (h_i - h_{i-1}) / 3 - gamma_i h_i h_{i-1} / 6``.

        Returns
        -------
        scipy.interpolate.BSpline

        Raises
        ------
        ValueError
            With roughness weights, which make second derivatives jump at the knots.
        """
        return self._jet.to_bspline(*self._place, joined=self._is_complex)

    def derivative(self, nu: int = 1) -> PPoly:
        """Give derivative `nu` as a scipy PPoly.

        That of a periodic curve is periodic; of its zeros ``.roots(extrapolate=False)`` gives those
        of one period.
        """
        return self.to_ppoly().derivative(nu)

    def antiderivative(self, nu: int = 1) -> PPoly:
        """Give the antiderivative of order `nu` as a scipy PPoly, 0 one gap before the knots.

        Of a periodic curve: 0 at the first knot, NaN outside the period.
        """
        return self.to_ppoly().antiderivative(nu)

    def integrate(self, a: float, b: float) -> FloatArray:
        """Integrate the curve from a to b, finite; also outside the knots.

        Returns
        -------
        ndarray of float64 or complex128, shape (...)
            One number a column.

        Raises
        ------
        ValueError
            If a bound is not finite, or the integral overflows.
        """
        a, b = (float(self._source.read_points(*pair)) for pair in ((a, "a"), (b, "b")))
        result = self._jet.integrate(a, b, self._place)
        return join_parts(result) if self._is_complex else result

    def roots(self) -> Vector:
        """Give where the curve is 0, as `scipy.interpolate.PPoly.roots`.

        Also outside the knots; of a periodic curve within the period.

        Returns
        -------
        ndarray
            The roots, ascending, with a NaN after the start of a piece that is 0 all along; of
            several columns an object array of such arrays, shape (...).
        """
        jet, lost = self._jet, self._lost
        if lost.any():  # which have none: as curves that are 1
            values = np.where(lost, 1.0, jet.values)
            slopes, curvatures = (np.where(lost, 0.0, m) for m in (jet.slopes, jet.curvatures))
            jet = jet._replace(values=values, slopes=slopes, curvatures=curvatures)
        return jet.roots(self._place)

    def gradient(self, cotangent: ArrayLike, points: ArrayLike | None = None) -> FitGradient:
        """Differentiate what is computed from the curve by all that it was fitted to.

        Let L depend on the curve f at points t, and `cotangent` be dL/df(t). The fit has, for every
        curve v,

            ``a(f, v) = sum(w * y * v(knots))``, with
            ``a(u, v) = sum(w * u(knots) * v(knots)) + lam * integral(u'' v'')``.

        Let eta be the representer of the cotangents, ``a(eta, v) = sum(cotangent * v(t))`` (Wahba
        1990, section 1.3). The derivative of the first equation, taken at v = eta, gives, at the
        knots,

            ``dL/dvalues = w eta``, the adjoint of the map from values to f(t);
            ``dL/dweights = eta (y - f)``;
            ``dL/dlam = -integral(f'' eta'')``;
            ``dL/dknots = w (y - f) eta' - w eta f'``, plus ``cotangent * f'`` where points are
            the knots and move with them.

        O(n + m) a column. A lam that a criterion chose counts as a constant.

        Parameters
        ----------
        cotangent : array_like, shape (..., m, ...)
            Shaped as the curve at `points`, which run along the axis of the knots; of a complex
            curve complex, by real plus 1j times by imaginary part.
        points : array_like, shape (m,), optional
            Where the curve is read; fixed. By default it is read at the knots, wherever these move:
            the cotangent is dL/d(fitted values).

        Returns
        -------
        FitGradient
            ``.values (..., n, ...)``, ``.lam`` shaped as that of the spline, ``.weights (n,)``, or
            shaped as the values where each has its own, and ``.knots (n,)``; with respect to what
            several columns share, sums over them. A column without values gives 0. At lam = 0
            derivatives are one-sided, at inf the one by lam is 0. A value at a knot of weight 0 has
            no influence but a derivative by that weight (0 if it is NaN; infinite at lam = 0 where
            curves are read between knots of positive weight). A constant, fitted to one knot, moves
            with its value alone. Merged values count as one, at their mean and with all their
            weight. Given end slopes and roughness weights stay as they are, a roughness weight with
            its gap; the first and the last knot of a periodic curve also make its period. Errors
            are about 1e-12 of the largest entry, but for a curve on a circle that goes to a
            constant (large lam), whose slopes are exact relative to its values only: those by lam
            and knots are 0 once lam is about 1e14 times weight and cubed gap.

        Raises
        ------
        ValueError
            If `cotangent` is not shaped as the curve at the points, if an entry is not finite, if a
            derivative overflows, or for a robust fit.
        TypeError
            If an argument does not hold numbers, or a cotangent complex ones for a real curve, or
            real ones for a complex curve.

        References
        ----------
        G. Wahba, "Spline models for observational data" (SIAM 1990), sections 1.3 and 4.5.

        Examples
        --------
        How the sum of squares of a fitted curve changes with lam:

        >>> from fastspline import smooth_spline
        >>> x, y = [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 0.0, 1.0]
        >>> curve = smooth_spline(x, y, lam=1.0)
        >>> slope = curve.gradient(2.0 * curve.values).lam
        >>> near = smooth_spline(x, y, lam=1.0 + 1e-6)
        >>> rise = (near.values**2).sum() - (curve.values**2).sum()
        >>> bool(abs(rise / 1e-6 - slope) < 1e-5 * abs(slope))
        True
        """
        at = None if points is None else self._source.read_points(points)
        given = read_cotangent(cotangent, joined=self._is_complex)
        parts = differentiate(self._groups, self._jet, self._place, given, at)
        one = np.ndim(self.lam) == 0
        lam = float(parts.lam.sum()) if one else parts.lam.reshape(self._place[0])
        values = cast(FloatArray, self._label(self._shaped(parts.values), None))
        by_weights = parts.weights.sum(axis=1)
        if self._groups[0].own_weights:
            by_weights = self._shaped(parts.weights)
            if self._is_complex:  # both parts have one
                by_weights = by_weights.sum(axis=-1)
        return FitGradient(values, lam, by_weights, parts.knots)

    @property
    def _is_complex(self) -> bool:
        return isinstance(self._restore, JoinParts)

    def _at_knots(self, part: Vector, *, same_unit: bool = True) -> Shaped:
        """Give a part of the jet as the values are shaped, without what a lone knot is held by."""
        shaped = self._shaped(part[: self.knots.size].copy())
        return self._label(shaped, None, same_unit=same_unit)

    def _shaped(self, columns: NDArray[Number]) -> NDArray[Number]:
        """(n, columns) with the axes of the fitted values."""
        trailing, axis = self._place
        shaped = columns.reshape(columns.shape[0], *trailing)
        return np.moveaxis(shaped, 0, axis) if axis else shaped
