"""`SplineOperator`: a plan bound to evaluation points, a fixed linear map of columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, final, overload

import numpy as np
from numpy import empty, ndarray  # found sooner than as np.empty, which small calls feel
from numpy.typing import ArrayLike, NDArray

from fastspline._labels import take_labels
from fastspline._plan import Plan
from fastspline._solvers.choice import Evaluator, bind_exactly
from fastspline._solvers.columns import Prepared, list_for, runner
from fastspline._threads import check_threads
from fastspline._typing import NumpyLike
from fastspline.arrays import (
    LENT_BYTES,
    FloatArray,
    as_columns,
    as_parts,
    deliver,
    empty_aligned,
    prepare_out,
    read_numbers,
    refuse_values,
    require_finite,
)

_Quick: TypeAlias = Callable[[FloatArray, "FloatArray | None"], "FloatArray | None"]

# Plan, points, nu, the rows of values at the plan's knots, and points as they were given, to label
# results, or None for plain numbers.
_MadeOf: TypeAlias = tuple[Plan, NDArray[np.float64], int, NDArray[np.int64], Any]

ALONG_ROWS = 0  # the default of `axis`


@final
class SplineOperator:
    """The linear map from values at the knots to the spline, or a derivative, at fixed points.

    Made by `Smoother.operator`. Immutable, picklable; one operator may be called from many threads
    at once. The bits of a result depend on plan, dtype and solver, never on neighbouring columns,
    blocks or threads. Results on other CPUs are equal within 4 float32 ulps, or 2000 float64 ulps
    (4e-13), of max |values| times the operator's largest row sum of magnitudes.

    Attributes
    ----------
    shape : tuple of 2 ints
        (m, n): points and rows of the values.
    nu : int
        Order of the derivative.

    Examples
    --------
    >>> import numpy as np
    >>> from fastspline import Smoother
    >>> operator = Smoother([0.0, 1.0, 2.0], lam=0.0).operator([0.0, 0.5])
    >>> operator([0.0, 1.0, 0.0]).tolist()
    [0.0, 0.6875]
    >>> np.allclose(operator.adjoint([0.0, 1.0]), operator.dense()[1])
    True
    """

    __slots__ = (
        *("_calls", "_evaluator", "_made_of", "_pulls", "shape"),
        "__weakref__",  # jax.jit refers to what it is given weakly
    )

    shape: tuple[int, int]
    _made_of: _MadeOf
    _evaluator: Evaluator
    _calls: dict[np.dtype[Any], _Quick]
    _pulls: dict[np.dtype[Any], _Quick]

    def __init__(
        self,
        plan: Plan,
        points: NDArray[np.float64],
        nu: int,
        *,
        sources: NDArray[np.int64] | None = None,
        n_rows: int | None = None,
        given: object = None,
    ) -> None:
        rows = plan.active if sources is None else sources
        evaluator = bind_exactly(plan.solver, points, nu, rows)
        self._set((plan, points, nu, rows, given), evaluator, n_rows)

    def _set(self, made_of: _MadeOf, evaluator: Evaluator, n_rows: int | None) -> None:
        plan, points, *_ = made_of
        setter = object.__setattr__
        setter(self, "_made_of", made_of)
        setter(self, "_evaluator", evaluator)
        setter(self, "_calls", {})
        setter(self, "_pulls", {})
        setter(self, "shape", (points.size, plan.knots.size if n_rows is None else n_rows))

    @property
    def nu(self) -> int:
        """Order of the derivative."""
        return self._made_of[2]

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: an operator is immutable."""
        raise AttributeError(
            f"SplineOperator is immutable; make another one instead of setting {name!r}"
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as plan, points and rows."""
        return _operator_from, (*self._made_of, self.shape[1])

    def __repr__(self) -> str:
        """Tell shape, lam, degrees of freedom and solver."""
        m, n = self.shape
        of = self._made_of[0]
        plan = f"lam={of.lam:g}, df={of.df:.4g}, solver={of.solver.name!r}"
        return f"SplineOperator({n} -> {m}, nu={self.nu}, {plan})"

    def _find_quick(self, dtype: np.dtype[Any], *, transposed: bool = False) -> _Quick | None:
        """Give how a sweep that is ready is called, and keep it; None where there is none."""
        evaluator = self._evaluator
        prepared = (evaluator.transposed if transposed else evaluator.prepared).get(dtype)
        if prepared is None or 0 in self.shape or prepared.idle.size > 0:
            return None
        rows, reads = self.shape[::-1] if transposed else self.shape
        found = _make_quick(prepared, rows, reads, dtype)
        (self._pulls if transposed else self._calls)[dtype] = found
        return found

    def gather(self, index: ArrayLike, n_rows: int) -> SplineOperator:
        """Give the operator that reads row ``index[i]`` of its values where this one reads row i.

        ``operator.gather(index, n_rows)(values) == operator(values[index])`` without the copy: for
        values in another order than the knots, or of which only some rows belong to knots.

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
        if isinstance(n_rows, bool) or not hasattr(n_rows, "__index__"):
            raise TypeError(f"n_rows must be an integer, got {n_rows!r}")
        if rows.dtype.kind not in "iu":
            raise TypeError(
                f"index must hold integers, got dtype {rows.dtype}; pass positions of rows"
            )
        if rows.shape != (self.shape[1],):
            raise ValueError(
                f"index has shape {rows.shape}, and the operator reads {self.shape[1]} rows; "
                "give one entry a row"
            )
        if rows.size and not 0 <= rows.min() <= rows.max() < n_rows:
            raise ValueError(
                f"index must lie in [0, n_rows) = [0, {n_rows}), got {rows.min()} to {rows.max()}"
            )
        plan, points, nu, sources, given = self._made_of
        sources = rows.astype(np.int64)[sources]
        gathered = SplineOperator.__new__(SplineOperator)
        evaluator = self._evaluator.reading(sources)
        gathered._set((plan, points, nu, sources, given), evaluator, n_rows)
        return gathered

    @overload
    def __call__(
        self,
        values: NumpyLike,
        *,
        axis: int | str = 0,
        out: FloatArray | None = None,
        threads: int | None = None,
    ) -> FloatArray: ...
    @overload
    def __call__(
        self,
        values: ArrayLike,
        *,
        axis: int | str = 0,
        out: FloatArray | None = None,
        threads: int | None = None,
    ) -> Any: ...

    def __call__(
        self,
        values: ArrayLike,
        *,
        axis: int | str = 0,
        out: FloatArray | None = None,
        threads: int | None = None,
    ) -> FloatArray:
        """Fit the values and evaluate: O(n + m) a column, each value read and written once.

        Parameters
        ----------
        values : array_like, shape (..., n, ...)
            Values at the knots along `axis`; all other axes are independent columns. Float32 and
            float64 give their like (float32 within a few ulps of the largest value: the recurrences
            run in double wherever float32 would lose digits), float16 and complex dtypes too,
            integers give float64. Arrays of torch, JAX and CuPy give their like, Series, DataFrames
            and DataArrays theirs, with the points as they were given for labels.
        axis : int, optional
            Axis of `values`, and of the result, that runs along knots and points; of a DataArray
            also by name.
        out : array, optional
            Written to and returned: of the result's shape and dtype.
        threads : int, optional
            Upper bound; default: what affinity, cgroup quota, OMP_NUM_THREADS and NUMBA_NUM_THREADS
            leave. Small work stays on the calling thread.

        Returns
        -------
        array of the kind and dtype of `values`, shape (..., m, ...)

        Raises
        ------
        ValueError
            If `values` has not n entries along `axis`, if one of them is not finite (`out` is then
            undefined), if a result overflows, if `out` does not fit, or if `threads` is below 1.
        TypeError
            If `values` does not hold numbers, `out` is no array, or `threads` no integer.
        """
        if type(values) is ndarray and threads is None and axis is ALONG_ROWS:
            quick = self._calls.get(values.dtype) or self._find_quick(values.dtype)
            if quick is not None and (done := quick(values, out)) is not None:
                return done
        threads = check_threads(threads)
        given = take_labels(values, "values")
        array, restore = read_numbers(given.numbers, "values")
        axis = given.find_axis(axis)
        columns, trailing, axis = as_columns(array, self.shape[1], axis, "values", "knots")
        shape = (*trailing[:axis], self.shape[0], *trailing[axis:])
        result, target = prepare_out(out, shape, axis, array, restore)
        if target.size and columns.size:
            bad = self._evaluator.apply(as_parts(columns), as_parts(target), threads)
            if bad >= 0:
                bad //= as_parts(columns).shape[1] // columns.shape[1]
                refuse_values(columns, self._made_of[3], trailing, axis, bad)
        delivered = deliver(out, result, target, shape, axis, restore)
        if out is not None or given.labels is None:
            return delivered
        _, points, nu, _, named = self._made_of
        points = points if named is None else named
        labelled: FloatArray = given.labels.put(delivered, axis, points, same_unit=nu == 0)
        return labelled

    def adjoint(
        self,
        cotangent: ArrayLike,
        *,
        axis: int = 0,
        out: FloatArray | None = None,
        threads: int | None = None,
    ) -> FloatArray:
        """Apply the transpose, as differentiation needs it.

        ``sum(operator(y) * z) == sum(y * operator.adjoint(z))`` up to rounding.

        Parameters
        ----------
        cotangent : array_like, shape (..., m, ...)
            One entry a point along `axis`.
        axis, out, threads
            As in a call, which this is as fast as.

        Returns
        -------
        array of the kind and dtype of `cotangent`, without labels, shape (..., n, ...)

        Raises
        ------
        ValueError
            If `cotangent` has not m entries along `axis`, if one is not finite (`out` is then
            undefined), if a sum overflows, if `out` does not fit, or if `threads` is below 1.
        TypeError
            If `cotangent` does not hold numbers, `out` is no array, or `threads` no integer.
        """
        if type(cotangent) is ndarray and threads is None and axis is ALONG_ROWS:
            dtype = cotangent.dtype
            quick = self._pulls.get(dtype) or self._find_quick(dtype, transposed=True)
            if quick is not None and (done := quick(cotangent, out)) is not None:
                return done
        threads = check_threads(threads)
        array, restore = read_numbers(take_labels(cotangent, "cotangent").numbers, "cotangent")
        columns, trailing, axis = as_columns(array, self.shape[0], axis, "cotangent", "points")
        shape = (*trailing[:axis], self.shape[1], *trailing[axis:])
        result, target = prepare_out(out, shape, axis, array, restore)
        parts = as_parts(columns), as_parts(target)
        if target.size and self._evaluator.adjoint(*parts, threads) >= 0:
            require_finite(array, "cotangent")
            raise ValueError(
                f"cotangent overflows: max |cotangent| = {np.abs(columns).max():g} is too large "
                "for its dtype once entries are added; scale it down"
            )
        return deliver(out, result, target, shape, axis, restore)

    def dense(self) -> NDArray[np.float64]:
        """Give the map as a matrix, shape (m, n): O(n (n + m)). Its rows sum to 1 for nu = 0.

        With given end slopes it is that of the linear part: without what the slopes add.
        """
        n = self.shape[1]
        values = np.eye(n, n + 1)  # the last column is 0
        matrix: NDArray[np.float64] = self(values, threads=1)  # type: ignore[assignment]
        return matrix[:, :n] - matrix[:, n:] if matrix[:, n].any() else matrix[:, :n].copy()


def _make_quick(prepared: Prepared, rows: int, reads: int, dtype: np.dtype[Any]) -> _Quick:
    """Give what maps (reads,) or (reads, columns) values to `out`, or to new memory, at once.

    It gives None where one must look closer. Small calls are mostly overhead: compiled code tests
    what it takes for granted.
    """
    numbers, most = list_for(prepared, rows, reads, dtype.itemsize)
    run, listed = runner(), id(numbers)
    lent_from = LENT_BYTES // (rows * dtype.itemsize)

    def sweep(
        values: FloatArray, out: FloatArray | None, _kept: object = numbers
    ) -> FloatArray | None:
        if out is None:
            shape = values.shape
            if len(shape) == 2:
                columns = shape[1]
                if columns < lent_from:
                    out = empty((rows, columns), dtype)
                elif columns < most:
                    out = empty_aligned(rows, columns, dtype)
                else:
                    return None
            elif len(shape) == 1:
                out = empty(rows, dtype)
            else:
                return None
        elif type(out) is not ndarray:
            return None
        return out if run(listed, id(values), id(out)) == -1 else None

    return sweep


def _operator_from(
    plan: Plan,
    points: NDArray[np.float64],
    nu: int,
    sources: NDArray[np.int64],
    given: object,
    n_rows: int,
) -> SplineOperator:
    # Our own: arrays unpickled from another's buffers may be read-only, which compiles anew.
    own = np.array(points), np.array(sources)
    return SplineOperator(plan, own[0], nu, sources=own[1], n_rows=n_rows, given=given)
