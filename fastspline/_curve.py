"""`Curve`: what can be asked of fitted curves at points: their course, its bands, draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, Generic, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._apart import Apart, Told
from fastspline._arguments import check_nu
from fastspline._fit import Group, Noise, noise_of, third_derivatives
from fastspline._jet import Jet
from fastspline._solvers.tableau import Vector
from fastspline._source import Source
from fastspline._typing import Shaped
from fastspline.arrays import FloatArray, Restore, require_finite

Known: TypeAlias = tuple[tuple[Group, Noise], ...]
Band: TypeAlias = Literal["pointwise", "simultaneous", "prediction"]


class Curve(Generic[Shaped]):
    """What a `Spline` does at points."""

    __slots__ = ()

    _groups: Sequence[Group]
    _jet: Jet
    _place: tuple[tuple[int, ...], int]
    _restore: Restore
    _source: Source
    _third: Vector | None  # made when first asked for

    def __call__(self, points: ArrayLike, nu: int = 0) -> Shaped:
        """Evaluate the curve, or its derivative `nu` in [0, 3], at points of any shape.

        Parameters
        ----------
        points : array_like
            Outside the knots the curve is the straight line that continues it; a periodic one
            repeats. Where knots are times: such times, or seconds.
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
        flat, shape = self._read_points(points)
        jet = self._jet
        out = jet.step(flat, self._thirds) if order == 3 else jet.at(flat, order)
        self._require_finite(out, "the curve")
        return self._label(self._at_points(out, shape), points, same_unit=order == 0)

    @property
    def _thirds(self) -> Vector:
        """Third derivatives after the nodes; differences of second ones would lose their digits."""
        third = self._third
        if third is None:
            third = third_derivatives(self._groups, self._jet)
            object.__setattr__(self, "_third", third)
        return third

    def std(self, points: ArrayLike, nu: int = 0) -> Shaped:
        """Give the posterior standard deviation of the curve, or of its slope, at points.

        The variance of f or f' given the values, where f is a priori an integrated Wiener process
        and the values' noise has variance ``s**2 / weights`` (Wahba 1983), whether lam was given or
        chosen. With ``d = (n - df)**2 / tr((I - S)**2)``, n - 2 for the line, s**2 is
        ``residual_variance (n - 2) / d = (n - 2) RSS / (n - df)**2``: but for n - 2, which makes it
        that of regression for the line, the score of GCV, which measures the noise and the mean
        square error of the curve (Craven and Wahba 1979), and so counts what smoothing bends and
        what lam is chosen wrong. (n - 1 for other ends.) `interval` takes it to have d degrees of
        freedom, those that give ``y' (I - S) y`` of noise alone its mean and variance
        (Satterthwaite 1946). Outside the
        knots the uncertainty of the process goes on; beyond given end slopes the slope is known.

        Parameters
        ----------
        points : array_like
            Of any shape.
        nu : int, optional
            0 for the curve, 1 for its slope. The process has no second derivative, and is rougher
            than most curves, which shows in its slope: about the slope of a sine a band of level
            0.95 holds 99 %.

        Returns
        -------
        array shaped as that of a call

        Raises
        ------
        ValueError
            If a point is not finite or too far outside the knots, or nu not 0 or 1, or where lam is
            0 or n - df is 0: then the values leave nothing to tell noise from. For natural ends
            also where all values lie at one knot. Columns with values at two knots or fewer are
            NaN beside others.

        References
        ----------
        G. Wahba, "Bayesian confidence intervals for the cross-validated smoothing spline",
        J. R. Statist. Soc. B 45 (1983), 133-150. P. Craven and G. Wahba, Numer. Math. 31 (1979),
        eq. 1.9. T. Hastie and R. Tibshirani, "Generalized Additive Models" (1990), section 3.5, for
        the variance of the noise. F. E. Satterthwaite, "An approximate distribution of estimates of
        variance components", Biometrics Bull. 2 (1946).
        """
        order = _check_order(nu)
        flat, shape = self._read_points(points)
        out = self._told(flat, order).curves
        return self._label(self._at_points(out, shape), points, same_unit=order == 0)

    def interval(
        self,
        points: ArrayLike,
        level: float = 0.95,
        *,
        nu: int = 0,
        kind: Band = "pointwise",
        rng: int | np.random.Generator = 0,
    ) -> tuple[Shaped, Shaped]:
        """Give the ends of a band about the curve, or about its slope.

        They are ``f(t) -+ c std(t)``, of which `kind` says what lies between them with probability
        `level`:

        - "pointwise": the true curve, on average over the knots (Nychka 1988), not at every point;
          c is the quantile of Student's distribution with the degrees of freedom of `std`. Of the
          slope of a smooth curve more, see there.
        - "simultaneous": the true curve, everywhere between the least and the greatest of the
          points at once (of a periodic curve: everywhere). For nu = 0, c solves ``1 - level = P(|T|
          > c) + (k / pi) (1 + c**2 / d)**(-d / 2)``, where T has that distribution, d are its
          degrees of freedom, and k is the length of the path of f / std on the unit sphere,
          the integral of the standard deviation of its derivative (Rice's number of crossings; Sun
          and Loader 1994). For nu = 1, whose process crosses infinitely often where it crosses, c
          is the quantile of the largest ``|f' - mean| / std`` at points and the knots between them
          in 10,000 draws.
        - "prediction": a further value of weight 1 at a point; ``c sqrt(std(t)**2 +
          residual_variance)`` with the c of "pointwise", as in regression.

        Parameters
        ----------
        points : array_like
        level : float, optional
            In (0, 1).
        nu : int, optional
            0 for the curve, 1 for its slope.
        kind : {"pointwise", "simultaneous", "prediction"}, optional
        rng : int or numpy.random.Generator, optional
            For the draws; a generator is advanced. By default all bands take the same draws.

        Returns
        -------
        lower, upper : arrays shaped as that of a call

        Raises
        ------
        ValueError
            As `std`, or if `level` is not in (0, 1), `kind` none of these, or a value of the slope
            is to be predicted.
        TypeError
            If `level` is not a real number, or `rng` neither an int nor a generator.

        References
        ----------
        D. Nychka, "Bayesian confidence intervals for smoothing splines", J. Amer. Statist. Assoc.
        83 (1988), 1134-1143. J. Sun and C. R. Loader, "Simultaneous confidence bands for linear
        regression and smoothing", Ann. Statist. 22 (1994), 1328-1345.

        Examples
        --------
        >>> from fastspline import smooth_spline
        >>> x = np.linspace(0.0, 1.0, 50)
        >>> curve = smooth_spline(x, x**2 + 0.1 * np.cos(40.0 * np.arange(50) ** 2), lam=1e-2)
        >>> widths = [curve.interval(0.5, kind=kind)[1] - curve(0.5)
        ...           for kind in ("pointwise", "simultaneous", "prediction")]
        >>> widths[0] < curve.interval(x, kind="simultaneous")[1][25] - curve(x)[25] < widths[2]
        np.True_
        """
        order = _check_order(nu)
        flat, shape = self._read_points(points)
        half = self._half_width(flat, order, level, kind, rng)
        centre: Any = self(points, order)
        width: Any = self._label(self._at_points(half, shape), points, same_unit=order == 0)
        return centre - width, centre + width

    def slope_signs(
        self,
        points: ArrayLike,
        level: float = 0.95,
        *,
        kind: Literal["pointwise", "simultaneous"] = "pointwise",
        rng: int | np.random.Generator = 0,
    ) -> NDArray[np.int8]:
        """Tell where the curve rises or falls for all that its values leave open.

        Parameters
        ----------
        points : array_like
        level, kind, rng
            Of the band of the slope, see `interval`.

        Returns
        -------
        ndarray of int8, shaped as that of a call
            1 where the band lies above 0, -1 where it lies below, 0 where it holds 0.

        Raises
        ------
        ValueError, TypeError
            As `interval`.

        References
        ----------
        P. Chaudhuri and J. S. Marron, "SiZer for exploration of structures in curves", J. Amer.
        Statist. Assoc. 94 (1999), 807-823.

        Examples
        --------
        >>> from fastspline import smooth_spline
        >>> x = np.linspace(-1.0, 1.0, 41)
        >>> curve = smooth_spline(x, x**2 + 0.01 * np.cos(40.0 * x**2), lam=1e-3)
        >>> curve.slope_signs([-0.5, 0.0, 0.5])
        array([-1,  0,  1], dtype=int8)
        """
        flat, shape = self._read_points(points)
        half, slope = self._half_width(flat, 1, level, kind, rng), self._jet.at(flat, 1)
        signs = np.where(np.abs(slope) > half, np.sign(slope), 0.0)
        return self._at_points(signs, shape).astype(np.int8)

    def sample(
        self,
        points: ArrayLike,
        size: int = 1,
        rng: int | np.random.Generator | None = None,
        *,
        nu: int = 0,
    ) -> FloatArray:
        """Draw curves, or their slopes, from what the values leave open, see `std`.

        Given lam and the variance of the noise. O(n + m) a draw for m points, by a recursion from
        the last knot or point to the first; columns are independent.

        Parameters
        ----------
        points : array_like
            Of any shape; outside the knots as in `std`.
        size : int, optional
            How many draws of each column.
        rng : None, int or numpy.random.Generator, optional
            An int always gives the same draws; a generator is used and advanced; None, the default,
            takes fresh entropy, as in numpy.
        nu : int, optional
            0 for curves, 1 for their slopes; with the same int as `rng` these belong together.

        Returns
        -------
        array of the kind and dtype of the fitted values, shape (size, ...)
            Each draw is shaped as the result of a call, without labels.

        Raises
        ------
        ValueError
            As `std`, or if `size` is negative.
        TypeError
            If `size` is not an integer, or `rng` neither None, an int nor a generator.

        References
        ----------
        C. K. Carter and R. Kohn, "On Gibbs sampling for state space models", Biometrika 81 (1994),
        lemma 2.1.

        Examples
        --------
        Where may the maximum be? Among 2.5 and 97.5 % of the draws:

        >>> from fastspline import smooth_spline
        >>> x = np.linspace(0.0, 1.0, 50)
        >>> y = np.sin(4.0 * x) + 0.3 * np.cos(40.0 * np.arange(50) ** 2)
        >>> draws = smooth_spline(x, y, lam=1e-3).sample(x, 1000, rng=1)
        >>> draws.shape
        (1000, 50)
        >>> np.quantile(x[draws.argmax(axis=1)], [0.025, 0.975]).round(1)
        array([0.3, 0.5])
        """
        from fastspline._posterior import draw

        order = _check_order(nu)
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise TypeError(f"size must be an integer, got {size!r}")
        if size < 0:
            raise ValueError(f"size must not be negative, got {size}")
        flat, shape = self._read_points(points)
        known = tuple(self._with_noise())
        drawn = draw(known, flat, order, int(size), rng, self._columns)
        drawn += self._jet.at(flat, order)
        untold = np.ones(self._columns, np.bool_)
        for group, _ in known:
            untold[group.columns] = False
        self._require_finite(drawn, "a draw", untold)
        result = np.stack([self._at_points(one, shape) for one in drawn]) if size else drawn
        trailing, axis = self._place
        empty = (0, *trailing[:axis], *shape, *trailing[axis:])
        return self._restore(result if size else result.reshape(empty))

    def _half_width(
        self, points: Vector, nu: int, level: float, kind: Band, rng: int | np.random.Generator
    ) -> Vector:
        """Give half the width of a band, (points, columns)."""
        if isinstance(level, bool) or not isinstance(level, Real):
            raise TypeError(f"level must be a number between 0 and 1, got {level!r}")
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
        if kind not in {"pointwise", "simultaneous", "prediction"}:
            raise ValueError(
                f'kind must be "pointwise", "simultaneous" or "prediction", got {kind!r}'
            )
        if kind == "prediction" and nu:
            raise ValueError(
                'kind="prediction" is of values, and these have no slope; take nu=0, or '
                'kind="pointwise" for the slope of the curve'
            )
        told = self._told(points, nu)
        half = told.curves if kind != "prediction" else np.hypot(told.curves, told.noise)
        if kind == "simultaneous":
            from fastspline._posterior import simultaneous_factors

            known = tuple(self._with_noise())
            factors = simultaneous_factors(known, points, nu, level, rng)
            for (group, _), factor in zip(known, factors, strict=True):
                half[:, group.columns] *= factor
        else:
            from scipy.special import stdtrit

            half *= stdtrit(told.freedom, 0.5 + level / 2.0)
        self._require_finite(half, "the band", np.isnan(told.noise))
        return half

    def _told(self, points: Vector, nu: int) -> Told:
        """Tell what the values leave open at points."""
        groups = self._groups
        told = groups.tell(points, nu) if isinstance(groups, Apart) else None
        if told is None:
            curves = np.full((points.size, self._columns), np.nan)
            told = Told(curves, *np.full((2, self._columns), np.nan))
            for group, noise in self._with_noise():
                unit = group.plan.solver.exact().covariances(points)[2 * nu]
                curves[:, group.columns] = np.sqrt(unit)[:, np.newaxis] * noise.of_curves
                told.noise[group.columns] = noise.deviation
                told.freedom[group.columns] = noise.freedom
        self._require_finite(told.curves, "the standard deviation", np.isnan(told.noise))
        return told

    def _with_noise(self) -> Iterator[tuple[Group, Noise]]:
        """Give groups that have columns and noise, with what their fits leave; else raise.

        Columns with too few values are passed over beside others.
        """
        few = None
        for group in self._groups:
            if group.is_lost or not group.values.shape[1]:
                continue
            noise = noise_of(group)
            why = self._why_untold(group, noise)
            if why is None:
                few = ""
                yield group, noise
            elif group.plan.active.size > 2:
                raise ValueError(why)
            elif few is None:
                few = why
        if few:
            raise ValueError(few)

    def _why_untold(self, group: Group, noise: Noise) -> str | None:
        """Tell why columns have no noise, or None where they have."""
        if group.plan.is_constant:
            return (
                f"values at one knot{self._of_column(group)} tell nothing of the slope, and the "
                "curve has no standard deviation; give values at two knots or more"
            )
        if group.plan.lam == 0.0 or not noise.freedom > 0.0:
            return (
                "a curve that interpolates (lam = 0, or as many degrees of freedom as values"
                f"{self._of_column(group)}) has no standard deviation; smooth with lam > 0, or "
                "give more values"
            )
        return None

    def _require_finite(
        self, out: Vector, what: str, untold: NDArray[np.bool_] | None = None
    ) -> None:
        """Raise if something overflows, (..., columns), but for columns with too few values."""
        finite = np.isfinite(out)
        if not (finite.all() or (finite | (self._lost if untold is None else untold)).all()):
            raise ValueError(
                f"{what} overflows at some of the points, which lie too far outside the knots; "
                "take nearer points"
            )

    @property
    def _lost(self) -> NDArray[np.bool_]:
        """Tell which columns have no values, (columns,)."""
        lost = np.zeros(self._columns, np.bool_)
        for group in self._groups:
            lost[group.columns] = group.is_lost
        return lost

    @property
    def _columns(self) -> int:
        return int(self._jet.values.shape[1])

    def _of_column(self, group: Group) -> str:
        """Name the first column of a group, if there are others."""
        if len(self._groups) == 1:
            return ""
        first = np.arange(self._columns)[group.columns][0]
        return f" in column {', '.join(str(i) for i in np.unravel_index(first, self._place[0]))}"

    def _read_points(self, points: ArrayLike) -> tuple[Vector, tuple[int, ...]]:
        """Give points in one row, within the period if there is one, and their shape."""
        array = self._source.read_points(points)
        require_finite(array, "points")
        flat = np.ascontiguousarray(array.reshape(-1), np.float64)
        return self._jet.wrap(flat), array.shape

    def _at_points(self, rows: Vector, shape: tuple[int, ...]) -> Vector:
        """(points, columns) with the axes of the points in the place of the knots' axis."""
        trailing, axis = self._place
        shaped = rows.reshape(shape + trailing)
        ndim = len(shape)
        return np.moveaxis(shaped, range(ndim), range(axis, axis + ndim)) if axis else shaped

    def _label(self, shaped: Vector, points: object, *, same_unit: bool = True) -> Shaped:
        """Give a result in the kind, dtype and container of the values, at points or the knots."""
        restored = self._restore(shaped)
        result = self._source.label(restored, self._place[1], points, same_unit=same_unit)
        return cast(Shaped, result)


def _check_order(nu: int) -> int:
    """Give the order of a derivative that has a standard deviation."""
    order = check_nu(nu)
    if order > 1:
        raise ValueError(
            f"nu must be 0 (the curve) or 1 (its slope), got {nu}: a priori the curve is an "
            "integrated Wiener process, which has no second derivative"
        )
    return order
