"""`Smoother`, a factored plan: knots, lam and weights, without the values."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal, TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._fit import Group
from fastspline._kernels.tables import first_bad_knot
from fastspline._operator import SplineOperator
from fastspline._solvers.choice import (
    Solver,
    make_bounded_solver,
    make_periodic_solver,
    make_solver,
    refuse_knots,
)
from fastspline._solvers.tableau import ALL_ONE
from fastspline._spline import Spline, check_nu
from fastspline.arrays import as_columns, read_array, read_vector, require_finite

Boundary: TypeAlias = Literal["natural", "periodic"] | tuple[Literal["slope"], float, float]


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
        Strictly ascending; n >= 1. One knot gives a constant, two give a line.
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
        Read-only, as all that a plan holds.
    lam : float
    weights : ndarray, shape (n,), or None
        As given; None stands for ones.
    bc, roughness
        As given.
    leverages : ndarray, shape (n,)
        diag(S) of the map S from values to fitted values; computed when asked for.
    df : float
        Degrees of freedom, the sum of the leverages.
    solver : {"reinsch", "state-space"}
        The recurrence in use. Reinsch's pentadiagonal system is the fast one, but forming second
        differences loses digits where ``lam / weights`` is large against cubed gaps; where a bound
        or, beyond it, a probe shows more than about 1e-13, the plan takes a recursion without
        subtractions, which is exact for every lam.

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

    __slots__ = ("_active", "_knots", "_solver", "bc", "lam", "roughness", "weights")

    lam: float
    weights: NDArray[np.float64] | None
    bc: Boundary
    roughness: NDArray[np.float64] | None
    _active: NDArray[np.int64]
    _knots: NDArray[np.float64]
    _solver: Solver

    def __init__(
        self,
        knots: ArrayLike,
        *,
        lam: float,
        weights: ArrayLike | None = None,
        bc: Boundary = "natural",
        roughness: ArrayLike | None = None,
    ) -> None:
        read = np.array(read_vector(knots, "knots"))  # our own: the caller may write to it
        if read.size == 0:
            raise ValueError("knots is empty; give at least one knot")
        if not (type(lam) is float and lam >= 0.0):
            lam = check_lam(lam)
        kept = rough = None
        active, positive, used = first_rows(read.size), ALL_ONE, read
        if weights is not None:
            kept = positive = np.array(check_weights(weights, read.size))
            active = np.flatnonzero(kept)
            if active.size < read.size:
                positive, used = kept[active], read[active]
        solver: Solver
        if used is read and bc == "natural" and roughness is None and read.size > 1:
            solver = make_solver(read, positive, lam)
        else:
            bad = first_bad_knot(read)
            if bad >= 0:
                refuse_knots(read, bad)
            bc = check_bc(bc)
            rough = None if roughness is None else _check_roughness(roughness, read.size - 1)
            if bc != "natural" or (rough is not None and used.size > 1):
                solver = _make_other_solver(read, active, positive, lam, bc, rough)
            elif used.size == 1:  # a constant is the line through the same value twice
                active = active[[0, 0]]
                solver = make_solver(_double(used), positive[:1].repeat(2), lam)
            else:
                solver = make_solver(used, positive, lam)
        setter = object.__setattr__
        setter(self, "_knots", read)
        setter(self, "weights", None if kept is None else _read_only(kept))
        setter(self, "lam", lam)
        setter(self, "bc", bc)
        setter(self, "roughness", None if rough is None else _read_only(rough))
        setter(self, "_active", active)
        setter(self, "_solver", solver)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a plan is immutable."""
        raise AttributeError(f"Smoother is immutable; make another one instead of setting {name!r}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as the arguments: the plan is factored again in microseconds."""
        return _smoother_from, (self.knots, self.lam, self.weights, self.bc, self.roughness)

    def __repr__(self) -> str:
        """Tell size, lam, degrees of freedom, boundary condition and solver."""
        bc = "" if self.bc == "natural" else f"bc={self.bc!r}, "
        return (
            f"Smoother(n={self._knots.size}, lam={self.lam:g}, df={self.df:.4g}, {bc}"
            f"solver={self.solver!r})"
        )

    @property
    def knots(self) -> NDArray[np.float64]:
        """The knots, shape (n,), read-only."""
        return _read_only(self._knots)

    @property
    def solver(self) -> Literal["reinsch", "state-space"]:
        """The recurrence that the plan chose; see the class."""
        return self._solver.name

    @property
    def leverages(self) -> NDArray[np.float64]:
        """diag(S) of the map from values to fitted values, (n,); 0 where the weight is 0; O(n)."""
        lever, _ = self._solver.exact().leverages()
        result = np.zeros(self._knots.size)
        result[self._active] = lever
        return result

    @property
    def df(self) -> float:
        """Degrees of freedom, the sum of the leverages.

        They fall from n at lam = 0 to 2 at lam = inf, or 1 where ends are not natural.
        """
        return float(self.leverages.sum())

    def _with_lam(self, lam: float) -> Smoother:
        """Give the plan of another lam, with all else alike.

        Raises
        ------
        ValueError, TypeError
            As `Smoother` for its lam.
        """
        return Smoother(
            self.knots, lam=lam, weights=self.weights, bc=self.bc, roughness=self.roughness
        )

    def fit(self, values: ArrayLike, *, axis: int = 0) -> Spline:
        """Fit the spline to values at the knots.

        Parameters
        ----------
        values : array_like, shape (..., n, ...)
            Values at the knots along `axis`; all other axes are independent columns.
        axis : int, optional
            Axis of `values` that runs along the knots.

        Returns
        -------
        Spline

        Raises
        ------
        ValueError
            If `values` has not n entries along `axis`, or one that counts is not finite.
        TypeError
            If `values` does not hold real numbers.
        """
        array, restore = read_array(values, "values")
        columns, trailing, axis = as_columns(array, self._knots.size, axis, "values", "knots")
        group = Group(self, slice(None), columns.astype(np.float64))
        return Spline((group,), (trailing, axis), restore, self.lam)

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
        read = np.array(read_vector(points, "points"))
        return SplineOperator(self, read, check_nu(nu))


_ROWS = np.arange(4096)


def first_rows(n: int) -> NDArray[np.int64]:
    """Give 0, 1, ..., n - 1; never written to."""
    return _ROWS[:n] if n <= _ROWS.size else np.arange(n)


def _smoother_from(
    knots: NDArray[np.float64],
    lam: float,
    weights: NDArray[np.float64] | None,
    bc: Boundary,
    roughness: NDArray[np.float64] | None,
) -> Smoother:
    return Smoother(knots, lam=lam, weights=weights, bc=bc, roughness=roughness)


def _double(used: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give two knots for one, towards 0, where nothing overflows."""
    step = max(1.0, abs(used[0]))
    return np.array([used[0] - step, used[0]] if used[0] > 0 else [used[0], used[0] + step])


def _make_other_solver(
    knots: NDArray[np.float64],
    active: NDArray[np.int64],
    weights: NDArray[np.float64],
    lam: float,
    bc: Boundary,
    roughness: NDArray[np.float64] | None,
) -> Solver:
    """Factor a plan with other ends than natural ones, or with roughness weights."""
    n, used = knots.size, knots[active]
    if bc != "natural" and n < 2:
        raise ValueError(f"bc={bc!r} needs at least two knots, got 1")
    if bc == "periodic":
        inner = active[(active > 0) & (active < n - 1)]
        whole = active[0] > 0 and active[-1] < n - 1
        ends = np.array([0, n - 1])
        rough = _merge(roughness, np.concatenate([ends[:1], inner, ends[1:]]))
        if whole and rough.size:  # no data at the ends: the gap across them is one
            _refuse_roughness(rough[0], rough[-1], 0)
            rough = rough[1:]
        return make_periodic_solver(used, weights, lam, rough, (knots[0], knots[-1]))
    if bc != "natural" and not (active[0] == 0 and active[-1] == n - 1):
        raise ValueError(
            f"bc={bc!r} gives the slopes at the first and the last knot, where weights must be "
            "positive; drop the knots of weight 0 at the ends"
        )
    slopes = None if bc == "natural" else (bc[1], bc[2])
    return make_bounded_solver(used, weights, lam, _merge(roughness, active), slopes)


def _merge(roughness: NDArray[np.float64] | None, active: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the roughness weights of the gaps between active knots."""
    if roughness is None:
        return ALL_ONE
    inside = roughness[active[0] : active[-1]]
    starts = active[:-1] - active[0]
    change = np.flatnonzero(np.diff(inside)) + 1
    wrong = np.setdiff1d(change, starts)
    if wrong.size:
        before, after = inside[wrong[0] - 1], inside[wrong[0]]
        _refuse_roughness(before, after, int(wrong[0] + active[0]))
    result: NDArray[np.float64] = inside[starts]
    return result


def _refuse_roughness(before: float, after: float, knot: int) -> None:
    """Raise if roughness differs on both sides of a knot without weight."""
    if before != after:
        raise ValueError(
            "roughness must be the same on both sides of a knot of weight 0 or without a value, "
            f"but is {before} before and {after} after knots[{knot}]; give it a positive weight"
        )


def check_bc(bc: Boundary) -> Boundary:
    """Give a boundary condition with its slopes as floats."""
    allowed = 'bc must be "natural", "periodic" or ("slope", a, b)'
    if isinstance(bc, str):
        if bc not in ("natural", "periodic"):
            raise ValueError(f'{allowed}, got {bc!r}; ("slope", 0, 0) clamps both ends')
        return bc
    if not isinstance(bc, tuple | list) or len(bc) != 3 or bc[0] != "slope":
        raise ValueError(f"{allowed}, got {bc!r}")
    slopes: list[float] = []
    for slope in bc[1:]:
        if isinstance(slope, bool) or not isinstance(slope, Real):
            raise TypeError(f"{allowed} with numbers a and b, got {bc!r}")
        if not abs(float(slope)) < np.inf:
            raise ValueError(f"{allowed} with finite a and b, got {bc!r}")
        slopes.append(float(slope))
    return "slope", slopes[0], slopes[1]


def _check_roughness(roughness: ArrayLike, gaps: int) -> NDArray[np.float64]:
    """Give roughness weights as a vector of positive numbers, one a gap."""
    read = np.array(read_vector(roughness, "roughness"))
    if read.size != gaps:
        raise ValueError(
            f"roughness has {read.size} entries and there are {gaps} gaps between knots; give one "
            "weight a gap"
        )
    require_finite(read, "roughness")
    if read.size and not read.min() > 0.0:
        bad = int((read <= 0.0).argmax())
        raise ValueError(f"roughness must be positive, but roughness[{bad}] = {read[bad]}")
    return read


def check_lam(lam: float, name: str = "lam") -> float:
    """Give lam as a float in [0, inf]."""
    number: Any = lam
    if np.ndim(lam) == 0 and hasattr(lam, "item") and not isinstance(lam, np.ma.MaskedArray):
        number = lam.item()  # of numpy's and torch's arrays
    is_real = isinstance(number, Real) and not isinstance(number, bool)
    if not is_real:
        raise TypeError(
            f"{name} must be one number in [0, inf], got {_describe(lam)}; smooth_spline takes "
            'one a column, or chooses by lam="gcv"'
        )
    if not number >= 0.0:
        raise ValueError(f"{name} must be >= 0 (0 interpolates, inf fits a line), got {lam}")
    try:
        return float(number)
    except OverflowError:
        raise ValueError(f"{name} is too large for a float; pass inf for a line") from None


def _describe(value: object) -> str:
    """Write a value, or the shape of what is too long to be written."""
    shape = np.shape(value) if isinstance(value, np.ndarray | list | tuple) else ()
    return f"an array of shape {shape}" if shape else repr(value)


def check_weights(weights: ArrayLike, n: int) -> NDArray[np.float64]:
    """Give weights as a vector of n numbers that are finite, not negative and not all zero."""
    read = read_vector(weights, "weights")
    if read.size != n:
        raise ValueError(
            f"weights has {read.size} entries and there are {n} knots; give one weight a knot"
        )
    require_finite(read, "weights")
    if read.min() < 0.0:
        bad = int((read < 0.0).argmax())
        raise ValueError(
            f"weights must be >= 0, but weights[{bad}] = {read[bad]}; a weight of 0 drops a point"
        )
    if read.max() == 0.0:
        raise ValueError(
            "weights are all 0, so there is no point to fit; give at least one a positive weight"
        )
    return read


def _read_only(own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give a view that refuses writing; kernels are compiled for the writeable array itself."""
    view = own.view()
    view.flags.writeable = False
    return view
