"""`Smoother`, a factored plan, and `SplineOperator`, that plan bound to evaluation points: a fixed linear map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline import _state_space
from fastspline._plan import first_bad_knot
from fastspline._solvers import Evaluator, empty_aligned, make_solver
from fastspline._threads import check_threads
from fastspline.arrays import (
    FloatArray,
    Restore,
    first_non_finite,
    is_torch_tensor,
    read_array,
    read_vector,
    require_finite,
)

if TYPE_CHECKING:
    from fastspline._spline import Spline

_QUICK_SIZE = 20_000  # values below which a call is mostly overhead
_NO_WEIGHTS = np.empty(0)


class Smoother:
    """A smoothing spline without its values: knots, lam and weights, factored once and used for any number of columns.

    Stands for the map from values y at the knots to the natural cubic spline f that minimises

        ``sum(weights * (y - f(knots))**2) + lam * integral(f''**2)``,

    a straight line outside the knots. Immutable; one plan may serve many threads, and pickles as its arguments.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending; n >= 1. One knot gives a constant, two give a line.
    lam : float
        In [0, inf], as in `scipy.interpolate.make_smoothing_spline`: 0 interpolates, inf gives the weighted
        least-squares line.
    weights : array_like, shape (n,), optional
        Not negative, not all zero, not squared; default ones. Values at knots of weight 0 are not looked at (they may
        be NaN): there the spline is only evaluated.

    Attributes
    ----------
    solver : {"reinsch", "state-space"}
        The recurrence in use. Reinsch's pentadiagonal system is the fast one, but forming second differences loses
        digits where ``lam / weights`` is large against cubed gaps; where a bound or, beyond it, a probe shows more
        than about 1e-13, the plan takes a recursion without subtractions, which is exact for every lam.

    Raises
    ------
    ValueError
        If knots are not strictly ascending and finite, if weights are negative, not finite, all zero or of another
        length, or if lam is negative or NaN.
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

    def __init__(self, knots: ArrayLike, *, lam: float, weights: ArrayLike | None = None) -> None:
        read = read_vector(knots, "knots")
        if read.size == 0:
            raise ValueError("knots is empty; give at least one knot")
        bad = first_bad_knot(read)
        if bad >= 0:
            _refuse_knots(read, bad)
        lam = _check_lam(lam)
        kept = None
        active = np.arange(read.size)
        positive = _NO_WEIGHTS
        if weights is not None:
            kept = positive = _check_weights(weights, read.size)
            active = np.flatnonzero(kept)
            if active.size < read.size:
                positive = kept[active]
        used = read if active.size == read.size else read[active]
        if used.size == 1:  # a constant is the line through the same value twice
            used = np.array([used[0], used[0] + max(1.0, abs(used[0]))])
            active, positive = active[[0, 0]], positive[:1].repeat(2)
        setter = super().__setattr__
        setter("knots", _frozen(read, knots))
        setter("weights", kept if kept is None else _frozen(kept, weights))
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
        """diag(S) of the map from values to fitted values, shape (n,); 0 where the weight is 0. O(n), no subtraction."""
        lever, _ = self._leverages()
        result = np.zeros(self.knots.size)
        result[self._active] = lever
        return result

    @property
    def df(self) -> float:
        """Degrees of freedom, the sum of the leverages: n at lam = 0, 2 at lam = inf."""
        return float(self.leverages.sum())

    def _leverages(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """diag(S) and 1 - diag(S) at the knots of positive weight, each to full relative accuracy."""
        gaps = self._solver.gaps
        n = gaps.knots.size
        if n == 2:
            return np.ones(2), np.zeros(2)
        r, lever, complement = np.empty((3, n))
        q = _state_space.scale_noise(gaps.weights, gaps.top, gaps.scaled_lam, r)
        _state_space.leverages(gaps.h, q, r, lever, complement)
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
        from fastspline._spline import Spline  # noqa: PLC0415  (Spline builds on this file)

        return Spline._fit(self, values, axis)

    def operator(self, points: ArrayLike, *, nu: int = 0) -> SplineOperator:
        """Bind the plan to evaluation points: values at the knots in, derivative `nu` of the spline at `points` out.

        Parameters
        ----------
        points : array_like, shape (m,)
            In any order, repeated or outside the knots (where the spline is a straight line) as you like.
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
        read = read_vector(points, "points")
        if not np.isfinite(read).all():
            require_finite(read, "points")
        return SplineOperator(self, read, _check_nu(nu))


class SplineOperator:
    """The linear map from values at the knots of a plan to its spline (or a derivative) at fixed points.

    Made by `Smoother.operator`. Immutable, picklable; one operator may be called from many threads at once. The bits of
    a result depend on plan, dtype and solver, never on neighbouring columns, blocks or threads.
    """

    __slots__ = ("_evaluator", "_points", "_smoother", "_sources", "nu", "shape")

    shape: tuple[int, int]
    nu: int

    def __init__(
        self,
        smoother: Smoother,
        points: NDArray[np.float64],
        nu: int,
        *,
        sources: NDArray[np.int64] | None = None,
        n_rows: int | None = None,
    ) -> None:
        rows = smoother._active if sources is None else sources
        self._set(smoother, points, nu, rows, n_rows, smoother._solver.at(points, nu, rows))

    def _set(
        self,
        smoother: Smoother,
        points: NDArray[np.float64],
        nu: int,
        sources: NDArray[np.int64],
        n_rows: int | None,
        evaluator: Evaluator,
    ) -> None:
        setter = super().__setattr__
        setter("_smoother", smoother)
        setter("_points", points)
        setter("nu", nu)
        setter("_sources", sources)
        setter("_evaluator", evaluator)
        setter("shape", (points.size, smoother.knots.size if n_rows is None else n_rows))

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: an operator is immutable."""
        raise AttributeError(f"SplineOperator is immutable; make another one instead of setting {name!r}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as plan, points and rows."""
        return _operator_from, (self._smoother, self._points, self.nu, self._sources, self.shape[1])

    def __repr__(self) -> str:
        """Tell shape, lam and solver."""
        m, n = self.shape
        return f"SplineOperator({n} -> {m}, nu={self.nu}, lam={self._smoother.lam:g}, solver={self._smoother.solver!r})"

    def gather(self, index: ArrayLike, n_rows: int) -> SplineOperator:
        """Give the operator that reads row ``index[i]`` of its values where this one reads row i.

        ``operator.gather(index, n_rows)(values) == operator(values[index])`` without the copy: for values in another
        order than the knots, or of which only some rows belong to knots.

        Parameters
        ----------
        index : array_like of int, shape (n,)
            Rows in [0, n_rows).
        n_rows : int
            Rows of the values that the new operator takes.

        Returns
        -------
        SplineOperator
            Of shape (m, n_rows).

        Raises
        ------
        ValueError
            If `index` has not n entries or leaves [0, n_rows).
        TypeError
            If `index` does not hold integers.
        """
        rows = np.asarray(index)
        if rows.dtype.kind not in "iu":
            raise TypeError(f"index must hold integers, got dtype {rows.dtype}; pass positions of rows")
        if rows.shape != (self.shape[1],):
            raise ValueError(f"index has shape {rows.shape}, and this operator reads {self.shape[1]} rows; give one each")
        if rows.size and not 0 <= rows.min() <= rows.max() < n_rows:
            raise ValueError(f"index must lie in [0, n_rows) = [0, {n_rows}), got {rows.min()} to {rows.max()}")
        sources = rows.astype(np.int64)[self._sources]
        gathered = SplineOperator.__new__(SplineOperator)
        evaluator = self._evaluator.reading(sources)
        gathered._set(self._smoother, self._points, self.nu, sources, n_rows, evaluator)
        return gathered

    def __call__(
        self, values: ArrayLike, *, axis: int = 0, out: FloatArray | None = None, threads: int | None = None
    ) -> FloatArray:
        """Fit the values and evaluate: O(n + m) a column, each value read and written once.

        Parameters
        ----------
        values : array_like, shape (..., n, ...)
            Values at the knots along `axis`; all other axes are independent columns. Float32 and float64 give their
            like (float32 within a few of its ulps: the recurrences run in double), float16 too, integers give
            float64; torch tensors give tensors.
        axis : int, optional
            Axis of `values`, and of the result, that runs along knots and points.
        out : array, optional
            Written to and returned: of the result's shape and dtype.
        threads : int, optional
            Upper bound; default all processors that the process may use. Small work stays on the calling thread.

        Returns
        -------
        array of the kind and dtype of `values`, shape (..., m, ...)

        Raises
        ------
        ValueError
            If `values` has not n entries along `axis`, if one of them is not finite (`out` is then undefined), or if
            `out` does not fit.
        TypeError
            If `values` does not hold real numbers.
        """
        if type(values) is np.ndarray and out is None and axis == 0 and threads is None:
            entry = self._evaluator.quick.get(values.dtype)
            if entry is not None and values.size < _QUICK_SIZE and values.flags.carray:
                quick = self._call_quickly(values, entry)
                if quick is not None:
                    return quick
        check_threads(threads)
        array, restore = read_array(values, "values")
        columns, trailing, axis = _as_columns(array, self.shape[1], axis, "values", "knots")
        shape = (*trailing[:axis], self.shape[0], *trailing[axis:])
        result, target = _prepare_out(out, shape, axis, array, restore)
        if target.size and columns.size:
            bad = self._evaluator.apply(columns, target, threads)
            if bad >= 0:
                self._refuse(columns, trailing, axis, bad)
        return _deliver(out, result, target, shape, axis, restore)

    def _call_quickly(self, values: FloatArray, entry: tuple[object, ...]) -> FloatArray | None:
        """`__call__` for few contiguous values of two dimensions at most, or None where it must look closer."""
        function, knots, tables = entry
        ndim = values.ndim
        if ndim == 0 or ndim > 2 or len(values) != self.shape[1]:
            return None
        columns = values if ndim == 2 else values.reshape(-1, 1)
        result: FloatArray = np.empty((self.shape[0], columns.shape[1]), values.dtype)
        if result.size == 0 or result.size >= _QUICK_SIZE:
            return None
        if function(columns, result, knots, tables) >= 0:  # type: ignore[operator]
            return None
        return result if ndim == 2 else result.reshape(-1)

    def adjoint(
        self, cotangent: ArrayLike, *, axis: int = 0, out: FloatArray | None = None, threads: int | None = None
    ) -> FloatArray:
        """Apply the transpose: ``sum(operator(y) * z) == sum(y * operator.adjoint(z))``, as differentiation needs it.

        Parameters
        ----------
        cotangent : array_like, shape (..., m, ...)
            One entry a point along `axis`.
        axis, out, threads
            As in a call; the transpose runs on the calling thread.

        Returns
        -------
        array of the kind and dtype of `cotangent`, shape (..., n, ...)

        Raises
        ------
        ValueError
            If `cotangent` has not m entries along `axis`, or one is not finite, or if `out` does not fit.
        TypeError
            If `cotangent` does not hold real numbers.
        """
        check_threads(threads)
        array, restore = read_array(cotangent, "cotangent")
        require_finite(array, "cotangent")
        columns, trailing, axis = _as_columns(array, self.shape[0], axis, "cotangent", "points")
        shape = (*trailing[:axis], self.shape[1], *trailing[axis:])
        result, target = _prepare_out(out, shape, axis, array, restore)
        sums = np.zeros(target.shape)
        self._evaluator.adjoint(columns, sums)
        target[...] = sums
        return _deliver(out, result, target, shape, axis, restore)

    def dense(self) -> NDArray[np.float64]:
        """Give the map as a matrix, shape (m, n): O(n (n + m)). Its rows sum to 1 for nu = 0."""
        matrix: NDArray[np.float64] = self(np.eye(self.shape[1]), threads=1)
        return matrix

    def _refuse(self, columns: FloatArray, trailing: tuple[int, ...], axis: int, bad: int) -> None:
        """Raise for the first value at or after column `bad` that is not finite and counts."""
        for first in range(bad, columns.shape[1], 4096):
            index = first_non_finite(columns[self._sources, first : first + 4096].T)
            if index is None:
                continue
            row, column = int(self._sources[index[1]]), first + index[0]
            place = [int(i) for i in np.unravel_index(column, trailing)] if trailing else []
            place.insert(axis, row)
            text = ", ".join(str(i) for i in place)
            raise ValueError(
                f"values must be finite, but values[{text}] = {columns[row, column]}; "
                "drop the point, or give it weight 0"
            )
        raise ValueError(
            f"values overflow: max |values| = {np.abs(columns).max():g} is too large for its dtype once differences "
            "are formed; scale the values down"
        )


def _smoother_from(
    knots: NDArray[np.float64], lam: float, weights: NDArray[np.float64] | None
) -> Smoother:
    return Smoother(knots, lam=lam, weights=weights)


def _operator_from(
    smoother: Smoother, points: NDArray[np.float64], nu: int, sources: NDArray[np.int64], n_rows: int
) -> SplineOperator:
    return SplineOperator(smoother, points, nu, sources=sources, n_rows=n_rows)


def _refuse_knots(knots: NDArray[np.float64], bad: int) -> None:
    """Raise for the knot at index `bad`."""
    require_finite(knots, "knots")
    raise ValueError(
        f"knots must be strictly ascending, but knots[{bad}] = {knots[bad]} follows knots[{bad - 1}] = "
        f"{knots[bad - 1]}; sort them, merge equal knots and add their weights"
    )


def _check_lam(lam: float) -> float:
    """Give lam as a float in [0, inf]."""
    try:
        number = math.nan if isinstance(lam, (bool, str, bytes)) else float(lam)
    except (TypeError, ValueError) as error:
        raise TypeError(f"lam must be a number in [0, inf], got {lam!r}") from error
    if isinstance(lam, (bool, str, bytes)):
        raise TypeError(f"lam must be a number in [0, inf], got {lam!r}")
    if not number >= 0.0:
        raise ValueError(f"lam must be >= 0 (0 interpolates, inf fits a line), got {lam}")
    return number


def _check_weights(weights: ArrayLike, n: int) -> NDArray[np.float64]:
    """Give weights as a vector of n numbers that are finite, not negative and not all zero."""
    read = read_vector(weights, "weights")
    if read.size != n:
        raise ValueError(f"weights has {read.size} entries and there are {n} knots; give one weight a knot")
    require_finite(read, "weights")
    if read.min() < 0.0:
        bad = int((read < 0.0).argmax())
        raise ValueError(f"weights must be >= 0, but weights[{bad}] = {read[bad]}; a weight of 0 drops a point")
    if read.max() == 0.0:
        raise ValueError("weights are all 0, so there is no point to fit; give at least one a positive weight")
    return read


def _check_nu(nu: int) -> int:
    """Give the order of derivative as an int in [0, 3]."""
    if isinstance(nu, bool) or not hasattr(nu, "__index__"):
        raise TypeError(f"nu must be an integer in [0, 3], got {nu!r}")
    if not 0 <= nu <= 3:
        raise ValueError(f"nu must lie in [0, 3] (a cubic spline has three derivatives), got {nu}")
    return int(nu)


def _frozen(read: NDArray[np.float64], given: object) -> NDArray[np.float64]:
    """A read-only array of our own: the caller may go on writing to what was given."""
    own = read.copy() if isinstance(given, np.ndarray) or is_torch_tensor(given) else read
    own.flags.writeable = False
    return own


def _as_columns(
    array: FloatArray, n: int, axis: int, name: str, what: str
) -> tuple[FloatArray, tuple[int, ...], int]:
    """View `array` as (n, columns); give it with the other axes' lengths and the axis in [0, ndim)."""
    if array.ndim == 0:
        raise ValueError(f"{name} must have at least one axis, got a single number; pass a sequence of {n}")
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise TypeError(f"axis must be an integer, got {axis!r}")
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"axis must lie in [{-array.ndim}, {array.ndim}) for {name} of shape {array.shape}, got {axis}")
    axis = int(axis) % array.ndim
    if array.shape[axis] != n:
        raise ValueError(
            f"{name} has shape {array.shape} and {n} {what} need {n} {name} along axis {axis}; "
            f"pass axis= if the {what} run along another axis"
        )
    moved = np.moveaxis(array, axis, 0) if axis else array
    trailing = moved.shape[1:]
    return moved.reshape(n, math.prod(trailing)), trailing, axis


def _prepare_out(
    out: FloatArray | None, shape: tuple[int, ...], axis: int, array: FloatArray, restore: Restore
) -> tuple[FloatArray | None, FloatArray]:
    """Give the caller's `out` as a checked numpy array, and the (m, columns) array to compute into."""
    rows, columns = shape[axis], math.prod(shape[:axis] + shape[axis + 1 :])
    if out is None:
        return None, empty_aligned(rows, columns, array.dtype)
    result: FloatArray = out.detach().numpy() if is_torch_tensor(out) else out  # type: ignore[attr-defined]
    if not isinstance(result, np.ndarray):
        raise TypeError(f"out must be an array of the result's shape and dtype, got {type(out).__name__}")
    if result.shape != shape or result.dtype != restore.dtype:
        raise ValueError(f"out has shape {result.shape} and dtype {result.dtype}, needed are {shape} and {restore.dtype}")
    if not result.flags.writeable:
        raise ValueError("out is read-only; pass a writeable array")
    target = (np.moveaxis(result, axis, 0) if axis else result).reshape(rows, columns)
    fits = (
        np.may_share_memory(target, result)  # the reshape made no copy
        and not np.may_share_memory(target, array)
        and target.dtype == array.dtype
        and result.flags.behaved
        and (columns == 1 or target.strides[1] == target.itemsize)
    )
    return result, target if fits else empty_aligned(rows, columns, array.dtype)


def _deliver(
    out: FloatArray | None,
    result: FloatArray | None,
    target: FloatArray,
    shape: tuple[int, ...],
    axis: int,
    restore: Restore,
) -> FloatArray:
    """Give what was computed in the caller's shape and kind, or write it to `out` and give that."""
    moved = target.reshape(shape[axis], *shape[:axis], *shape[axis + 1 :])
    shaped = np.moveaxis(moved, 0, axis) if axis else moved
    if out is None or result is None:
        return restore(shaped)
    if not np.may_share_memory(target, result):
        result[...] = shaped
    return out
