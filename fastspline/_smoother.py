"""`Smoother`, a factored plan: knots, lam and weights, without the values."""

from __future__ import annotations

from typing import Any, Literal, final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._arguments import Boundary, check_nu
from fastspline._clock import Clock, read_knots, read_points
from fastspline._fit import Group
from fastspline._labels import keep_points
from fastspline._operator import SplineOperator
from fastspline._plan import Plan
from fastspline._solvers.tableau import Vector
from fastspline._source import Source, read_columns
from fastspline._spline import Spline
from fastspline._typing import OneColumn, SeveralColumns, UnknownShape
from fastspline.arrays import is_vector, read_only, read_vector


@final
class Smoother:
    """A smoothing spline without its values, factored once for any number of columns.

    Stands for the map from values y at the knots to the natural cubic spline f that minimises

        ``sum(weights * (y - f(knots))**2) + lam * integral(f''**2)``,

    a straight line outside the knots. Other boundary conditions and a roughness weight for each
    gap are possible. Immutable; one plan may serve many threads, and pickles as its arguments.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending; n >= 1. One knot gives a constant, two give a line. Times are counted in
        seconds: dates since the first knot, durations since 0. Slopes are then per second, lam has
        the unit of seconds cubed, and points may be such times, or seconds.
    lam : float
        In [0, inf], as in `scipy.interpolate.make_smoothing_spline`: 0 interpolates, inf gives the
        weighted least-squares line.
    weights : array_like, shape (n,), optional
        Not negative, not all zero, not squared; default ones. Values at knots of weight 0 are not
        looked at (they may be NaN): there the spline is only evaluated.
    bc : "natural", "periodic" or ("slope", a, b), optional
        What holds at the ends. "periodic": first and last knot are one point, a period apart, where
        value, slope and second derivative agree; values given at both are averaged by their
        weights, as two measurements; lam = inf gives the constant. Where the data end before the
        period does, as at hours 0, ..., 23, add the knot that ends it (24) without a value: with
        weight 0, or as NaN with ``smooth_spline(..., missing="omit")``. ("slope", a, b): the slopes
        at the first and last knot, which need a positive weight; straight lines of these slopes
        continue the curve, and lam = inf gives a parabola. Then the map from values to spline is
        affine, not linear.
    roughness : array_like, shape (n - 1,), optional
        Positive, one a gap: the penalty is ``lam * sum(roughness * integral(f''**2))`` with one
        integral a gap, and f'' jumps at the knots where roughness does. Default ones. Both gaps
        beside a knot of weight 0 must have the same.

    Attributes
    ----------
    knots : ndarray, shape (n,)
        Read-only, as all that a plan holds; of times their seconds.
    lam : float
    weights : ndarray, shape (n,), or None
        As given; None stands for ones.
    bc, roughness
        As given.
    leverages : ndarray, shape (n,)
        diag(S) of the map S from values to fitted values; computed when asked for.
    df : float
        Degrees of freedom, the sum of the leverages.
    solver : {"reinsch", "innovations", "state-space"}
        The recurrence in use. Reinsch's pentadiagonal system is the fastest, but forming second
        differences loses digits where ``lam / weights`` is large against cubed gaps: where a bound
        says more than 1e-13. There the plan takes the innovations of the same system's factor,
        nearly as fast and exact for every lam. Where weights over some decades would cost digits
        there, which another bound tells, and for lam = inf and periods, given slopes or roughness
        weights, it takes a recursion that subtracts nothing and is exact for every plan.

    Raises
    ------
    ValueError
        If knots are not strictly ascending and finite, if weights are negative, not finite, all
        zero or of another length, if lam is negative or NaN, or if `bc` or `roughness` is none of
        the above.
    TypeError
        If an argument does not hold real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> plan = Smoother(np.arange(5.0), lam=1.0)
    >>> plan.operator([0.5, 7.0])([0.0, 1.0, 2.0, 3.0, 4.0]).round(12)
    array([0.5, 7. ])
    >>> circle = Smoother([0.0, 1.0, 2.0, 3.0, 4.0], lam=0.0, bc="periodic")
    >>> circle.operator([0.5, 4.5])([0.0, 1.0, 0.0, -1.0, 0.0]).round(12)
    array([0.6875, 0.6875])

    References
    ----------
    C. H. Reinsch, "Smoothing by spline functions", Numer. Math. 10 (1967); P. J. Green and B. W.
    Silverman, "Nonparametric Regression and Generalized Linear Models" (1994), chapter 2; G. Wahba,
    J. R. Statist. Soc. B 40 (1978), for the recursion.
    """

    __slots__ = ("_clock", "_plan")

    _plan: Plan
    _clock: Clock | None  # where knots are times

    def __init__(
        self,
        knots: ArrayLike,
        *,
        lam: float,
        weights: ArrayLike | None = None,
        bc: Boundary = "natural",
        roughness: ArrayLike | None = None,
    ) -> None:
        clock = None
        if not is_vector(knots):
            knots, clock = read_knots(knots)
        setter = object.__setattr__
        setter(self, "_clock", clock)
        setter(self, "_plan", Plan(knots, lam, weights, bc, roughness))

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a plan is immutable."""
        raise AttributeError(f"Smoother is immutable; make another one instead of setting {name!r}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as the arguments: the plan is factored again in microseconds."""
        options = self.lam, self.weights, self.bc, self.roughness
        return smoother_from, (self.knots, *options, self._clock)

    def __repr__(self) -> str:
        """Tell size, lam, degrees of freedom, boundary condition and solver."""
        bc = "" if self.bc == "natural" else f"bc={self.bc!r}, "
        return (
            f"Smoother(n={self._plan.knots.size}, lam={self.lam:g}, df={self.df:.4g}, {bc}"
            f"solver={self.solver!r})"
        )

    @property
    def knots(self) -> NDArray[np.float64]:
        """The knots, shape (n,), read-only."""
        return read_only(self._plan.knots)

    @property
    def lam(self) -> float:
        """The smoothing parameter."""
        return self._plan.lam

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """The weights, shape (n,), read-only; None stands for ones."""
        weights = self._plan.weights
        return None if weights is None else read_only(weights)

    @property
    def bc(self) -> Boundary:
        """The ends, as given."""
        return self._plan.bc

    @property
    def roughness(self) -> NDArray[np.float64] | None:
        """The roughness weights of the gaps, shape (n - 1,), read-only; None stands for ones."""
        roughness = self._plan.roughness
        return None if roughness is None else read_only(roughness)

    @property
    def solver(self) -> Literal["reinsch", "innovations", "state-space"]:
        """The recurrence that the plan chose; see the class."""
        return self._plan.solver.name

    @property
    def leverages(self) -> NDArray[np.float64]:
        """diag(S) of the map from values to fitted values, (n,); 0 where the weight is 0; O(n)."""
        return self._plan.leverages

    @property
    def df(self) -> float:
        """Degrees of freedom, the sum of the leverages.

        They fall from n at lam = 0 to 2 at lam = inf, or 1 where ends are not natural.
        """
        return self._plan.df

    @overload
    def fit(self, values: UnknownShape, *, axis: int | str = 0) -> Spline[Any, float]: ...
    @overload
    def fit(self, values: OneColumn, *, axis: int | str = 0) -> Spline[float, float]: ...
    @overload
    def fit(self, values: SeveralColumns, *, axis: int | str = 0) -> Spline[Vector, float]: ...
    @overload
    def fit(self, values: ArrayLike, *, axis: int | str = 0) -> Spline[Any, float, Any]: ...

    def fit(self, values: ArrayLike, *, axis: int | str = 0) -> Spline[Any, float, Any]:
        """Fit the spline to values at the knots.

        Parameters
        ----------
        values : array_like, shape (..., n, ...)
            Values at the knots along `axis`; all other axes are independent columns, and complex
            numbers are two: see `Spline`.
        axis : int, optional
            Axis of `values` that runs along the knots; of a DataArray also by name.

        Returns
        -------
        Spline

        Raises
        ------
        ValueError
            If `values` has not n entries along `axis`, or one that counts is not finite.
        TypeError
            If `values` does not hold numbers.
        """
        read = read_columns(values, self._plan.knots.size, axis)
        group = Group(self._plan, slice(None), read.columns.astype(np.float64))
        source = Source(self._clock, read.labels)
        return Spline((group,), read.place, read.restore, self.lam, source)

    def operator(self, points: ArrayLike, *, nu: int = 0) -> SplineOperator:
        """Bind the plan to points: values at the knots in, derivative `nu` of the spline out.

        Parameters
        ----------
        points : array_like, shape (m,)
            In any order, repeated or outside the knots (where the spline is a straight line) as you
            like.
        nu : int, optional
            0 for values up to 3 for the third derivative (at a knot its right limit).

        Returns
        -------
        SplineOperator

        Raises
        ------
        ValueError
            If a point is not finite or nu not in [0, 3].
        TypeError
            If `points` does not hold real numbers, or nu is no integer.
        """
        if is_vector(points):
            return SplineOperator(self._plan, np.array(points), check_nu(nu))
        read = np.array(read_vector(read_points(points, self._clock), "points"))
        return SplineOperator(self._plan, read, check_nu(nu), given=keep_points(points))


def smoother_from(
    knots: NDArray[np.float64],
    lam: float,
    weights: NDArray[np.float64] | None,
    bc: Boundary,
    roughness: NDArray[np.float64] | None,
    clock: Clock | None,
) -> Smoother:
    """Give the plan for knots that were counted on a clock, if there is one."""
    plan = Smoother(knots, lam=lam, weights=weights, bc=bc, roughness=roughness)
    object.__setattr__(plan, "_clock", clock)
    return plan
