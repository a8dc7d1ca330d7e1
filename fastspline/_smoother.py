"""`Smoother`, a factored plan: knots, lam and weights, without the values."""

from __future__ import annotations

from numbers import Real
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline import _posterior, _state_space
from fastspline._operator import SplineOperator
from fastspline._plan import first_bad_knot
from fastspline._solvers import Solver, make_solver
from fastspline._spline import Spline, check_nu
from fastspline.arrays import read_vector, require_finite

_NO_WEIGHTS = np.empty(0)


class Smoother:
    """A smoothing spline without its values, factored once for any number of columns.

    Stands for the map from values y at the knots to the natural cubic spline f that minimises

        ``sum(weights * (y - f(knots))**2) + lam * integral(f''**2)``,

    a straight line outside the knots. Immutable; one plan may serve many threads, and pickles as
    its arguments.

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

    Attributes
    ----------
    solver : {"reinsch", "state-space"}
        The recurrence in use. Reinsch's pentadiagonal system is the fast one, but forming second
        differences loses digits where ``lam / weights`` is large against cubed gaps; where a bound
        or, beyond it, a probe shows more than about 1e-13, the plan takes a recursion without
        subtractions, which is exact for every lam.

    Raises
    ------
    ValueError
        If knots are not strictly ascending and finite, if weights are negative, not finite, all
        zero or of another length, or if lam is negative or NaN.
    TypeError
        If an argument does not hold real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> plan = Smoother(np.arange(5.0), lam=1.0)
    >>> plan.operator([0.5, 7.0])([0.0, 1.0, 2.0, 3.0, 4.0]).round(12)
    array([0.5, 7. ])
    """

    __slots__ = ("_active", "_solver", "knots", "lam", "weights")

    knots: NDArray[np.float64]
    lam: float
    weights: NDArray[np.float64] | None
    _active: NDArray[np.int64]
    _solver: Solver

    def __init__(self, knots: ArrayLike, *, lam: float, weights: ArrayLike | None = None) -> None:
        read = np.array(read_vector(knots, "knots"))  # our own: the caller may write to it
        if read.size == 0:
            raise ValueError("knots is empty; give at least one knot")
        bad = first_bad_knot(read)
        if bad >= 0:
            refuse_knots(read, bad)
        lam = check_lam(lam)
        kept = None
        active = np.arange(read.size)
        positive = _NO_WEIGHTS
        if weights is not None:
            kept = positive = np.array(_check_weights(weights, read.size))
            active = np.flatnonzero(kept)
            if active.size < read.size:
                positive = kept[active]
        used = read if active.size == read.size else read[active]
        if used.size == 1:  # a constant is the line through the same value twice
            step = max(1.0, abs(used[0]))  # towards 0, where nothing overflows
            used = np.array([used[0] - step, used[0]] if used[0] > 0 else [used[0], used[0] + step])
            active, positive = active[[0, 0]], positive[:1].repeat(2)
        setter = super().__setattr__
        setter("knots", _read_only(read))
        setter("weights", None if kept is None else _read_only(kept))
        setter("lam", lam)
        setter("_active", active)
        setter("_solver", make_solver(used, positive, lam))

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a plan is immutable."""
        raise AttributeError(f"Smoother is immutable; make another one instead of setting {name!r}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as the arguments: the plan is factored again in microseconds."""
        return _smoother_from, (np.asarray(self.knots), self.lam, self.weights)

    def __repr__(self) -> str:
        """Tell size, lam and solver."""
        return f"Smoother(n={self.knots.size}, lam={self.lam:g}, solver={self.solver!r})"

    @property
    def solver(self) -> Literal["reinsch", "state-space"]:
        """The recurrence that the plan chose; see the class."""
        return self._solver.name

    @property
    def leverages(self) -> NDArray[np.float64]:
        """diag(S) of the map from values to fitted values, (n,); 0 where the weight is 0; O(n)."""
        lever, _ = self._leverages()
        result = np.zeros(self.knots.size)
        result[self._active] = lever
        return result

    @property
    def df(self) -> float:
        """Degrees of freedom, the sum of the leverages: n at lam = 0, 2 at lam = inf."""
        return float(self.leverages.sum())

    def _leverages(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give diag(S) and 1 - diag(S) where weights are positive, each to full accuracy."""
        gaps = self._solver.gaps
        n = gaps.knots.size
        if n == 2:
            return np.ones(2), np.zeros(2)
        r, lever, complement = np.empty((3, n))
        q = _state_space.scale_noise(gaps.weights, gaps.top, gaps.scaled_lam, r)
        _posterior.leverages(gaps.h, np.empty(0), False, q, r, lever, complement)  # noqa: FBT003
        return lever, complement

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
        return Spline((self,), values, axis)

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
        """
        read = np.array(read_vector(points, "points"))
        if not np.isfinite(read).all():
            require_finite(read, "points")
        return SplineOperator(self, read, check_nu(nu))


def _smoother_from(
    knots: NDArray[np.float64], lam: float, weights: NDArray[np.float64] | None
) -> Smoother:
    return Smoother(knots, lam=lam, weights=weights)


def check_lam(lam: float, name: str = "lam") -> float:
    """Give lam as a float in [0, inf]."""
    number = lam.item() if isinstance(lam, np.ndarray) and lam.ndim == 0 else lam
    if isinstance(number, bool) or not isinstance(number, Real):
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


def refuse_knots(knots: NDArray[np.float64], bad: int, name: str = "knots") -> None:
    """Raise for the knot at index `bad`."""
    require_finite(knots, name)
    raise ValueError(
        f"{name} must be strictly ascending, but {name}[{bad}] = {knots[bad]} follows "
        f"{name}[{bad - 1}] = {knots[bad - 1]}; sort them with their values; for equal ones "
        "average the values and add the weights"
    )


def _check_weights(weights: ArrayLike, n: int) -> NDArray[np.float64]:
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
