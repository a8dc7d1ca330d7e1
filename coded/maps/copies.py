"""Maps that copy rows, bit for bit; `FilledMap` gives weighted sums where there is no copy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coded.maps.arrays import Matrix, is_finite, multiply_columns
from fastspline.arrays import STREAM_BYTES, FloatArray, empty_aligned, require_finite
from fastspline.rows import take_rows

if TYPE_CHECKING:
    from coded.maps.witness import LazyWitnesses

_LONG = 512  # numbers of a row that are copied as fast row by row as all at once


@dataclass(frozen=True, eq=False)
class RowMap:
    """A linear map that copies rows: row i of the result is row ``index[i]`` of n rows."""

    index: NDArray[np.intp]
    n_rows: int

    def __call__(self, values: FloatArray) -> FloatArray:
        """Copy the rows of `values`, bit for bit."""
        return _copy_rows(values, self.index)

    def adjoint(self, cotangent: FloatArray) -> FloatArray:
        """Add up what the copies of each row get."""
        require_finite(cotangent, "cotangent")
        return _add_rows(cotangent, self.index, self.n_rows)

    def dense(self) -> Matrix:
        """Give the matrix of zeros and ones, shape (m, n)."""
        return np.eye(self.n_rows)[self.index]


@dataclass(frozen=True, eq=False)
class FilledMap:
    """A map that copies rows or, where source is -1, gives weighted sums of all n rows.

    With a constant, which is added to the sums, it is affine; `dense` gives its linear part.
    """

    source: NDArray[np.intp]  # (m,): which row is copied, or -1
    weights: Matrix  # (rows that are sums, n)
    constant: NDArray[np.float64] | None = None  # (rows that are sums, columns)

    @property
    def linear_part(self) -> FilledMap:
        """The map without its constant."""
        return self if self.constant is None else replace(self, constant=None)

    def __call__(self, values: FloatArray) -> FloatArray:
        """Copy rows bit for bit; mix the others in the dtype of `values`."""
        copied, at = self._rows
        if at.size == 0:
            return _copy_rows(values, self.source)
        shape = (len(self.source), *values.shape[1:])
        columns = values.reshape(len(values), -1)
        result = empty_aligned(shape[0], columns.shape[1], values.dtype)
        self._mix(columns, at, result)
        if columns.shape[1] < _LONG:
            result[copied] = columns[self.source[copied]]
        else:  # without a copy between
            for i in copied.tolist():
                result[i] = columns[self.source[i]]
        return result.reshape(shape)

    def _mix(self, columns: FloatArray, at: NDArray[np.intp], result: FloatArray) -> None:
        """Put sums at these rows of the result, after which all that was mixed is finite."""
        if self.constant is not None:
            sums = multiply_columns(self.weights, columns, "values")
            with np.errstate(over="ignore"):  # told below
                result[at] = sums + self.constant.reshape(sums.shape)
            if not is_finite(result[at]):
                raise ValueError(f"values overflow in {columns.dtype}; scale them down")
        elif (factor := self._factor) is not None:
            matrix, rows, witnesses = factor
            multiply_columns(matrix, columns, "values", result[rows], witnesses=witnesses())
        else:
            result[at] = multiply_columns(self.weights, columns, "values")

    @cached_property
    def _factor(self) -> tuple[Matrix, slice, LazyWitnesses] | None:
        """A matrix whose product gives the sums in their places, and which rows it gives."""
        from coded.maps.witness import LazyWitnesses  # as for `MatrixMap`

        at = self._rows[1]
        if at[-1] - at[0] + 1 == at.size:
            matrix, rows = self.weights, slice(at[0], at[-1] + 1)
        elif 2 * at.size > len(self.source):  # cheaper than to put the sums in their places
            matrix, rows = self.dense(), slice(None)
        else:
            return None
        return matrix, rows, LazyWitnesses(matrix)

    @cached_property
    def _rows(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which rows are copies, and which are sums."""
        is_copy = self.source >= 0
        return np.flatnonzero(is_copy), np.flatnonzero(~is_copy)

    def adjoint(self, cotangent: FloatArray) -> FloatArray:
        """Apply the transpose of the linear part: copies add up, sums are spread by weight."""
        require_finite(cotangent, "cotangent")
        is_copy = self.source >= 0
        result = _add_rows(cotangent[is_copy], self.source[is_copy], self.weights.shape[1])
        if len(self.weights) == 0:
            return result
        with np.errstate(over="ignore"):  # told below
            result += multiply_columns(self.weights.T, cotangent[~is_copy], "cotangent")
        if not np.isfinite(result).all():
            raise ValueError(f"cotangent overflows in {result.dtype}; scale it down")
        return result

    def dense(self) -> Matrix:
        """Give the matrix, shape (m, n)."""
        matrix = np.eye(self.weights.shape[1])[self.source]
        matrix[self.source < 0] = self.weights
        return matrix


def _copy_rows(rows: FloatArray, index: NDArray[np.intp]) -> FloatArray:
    """Give the rows ``index[i]``, anything where that is -1; ValueError if one is not finite."""
    columns = rows.reshape(len(rows), -1)
    result = empty_aligned(len(index), columns.shape[1], rows.dtype)
    if result.nbytes < STREAM_BYTES:
        if not is_finite(rows):
            require_finite(rows, "values")
        np.take(columns, index, axis=0, out=result, mode="wrap")
    elif not take_rows(np.ascontiguousarray(columns), index, result):
        require_finite(rows, "values")
    return result.reshape(len(index), *rows.shape[1:])


def _add_rows(rows: FloatArray, index: NDArray[np.intp], n_rows: int) -> FloatArray:
    """Give an array of n rows in which row ``index[i]`` has got row i; sums in float64."""
    result: FloatArray = np.zeros((n_rows, *rows.shape[1:]), rows.dtype)
    if len(index) == 0:
        return result
    order = np.argsort(index, kind="stable")
    targets, starts = np.unique(index[order], return_index=True)
    with np.errstate(over="ignore"):  # told below
        sums_dtype = np.result_type(rows.dtype, np.float64)
        result[targets] = np.add.reduceat(rows[order], starts, axis=0, dtype=sums_dtype)
    if not np.isfinite(result).all():
        raise ValueError(f"cotangent overflows in {rows.dtype}; scale it down")
    return result
