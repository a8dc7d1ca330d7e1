"""Linear maps on the rows of an array: what linear codes are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastspline.arrays import FloatArray, empty_aligned, read_only, require_finite

Matrix: TypeAlias = NDArray[np.float64]

_FEW = 1 << 12  # numbers that are looked through as fast as they are bounded


class LinearMap(Protocol):
    """A matrix by its action on the rows of an array."""

    def __call__(self, values: FloatArray) -> FloatArray:
        """Map (n, ...) to (m, ...), dtype kept; ValueError if a number is or becomes infinite."""

    def adjoint(self, cotangent: FloatArray) -> FloatArray:
        """Map (m, ...) to (n, ...) by the conjugate transpose; ValueError as in a call."""

    def dense(self) -> Matrix:
        """Give the matrix, shape (m, n)."""


@dataclass(frozen=True, eq=False)
class MatrixMap:
    """A linear map given by its matrix, shape (m, n), which nobody can change any more."""

    matrix: Matrix

    def __post_init__(self) -> None:
        """Keep a view that refuses writing."""
        object.__setattr__(self, "matrix", read_only(self.matrix))

    def __call__(self, values: FloatArray) -> FloatArray:
        """Multiply each column of `values` by the matrix, in the dtype of `values`."""
        return multiply_columns(self.matrix, values, "values")

    def adjoint(self, cotangent: FloatArray) -> FloatArray:
        """Multiply each column of `cotangent` by the conjugate transpose, in its dtype."""
        return multiply_columns(self.matrix.conj().T, cotangent, "cotangent")

    def dense(self) -> Matrix:
        """Give the matrix, shape (m, n)."""
        return self.matrix


@dataclass(frozen=True, eq=False)
class PartlyReadMap:
    """A map that reads some of its rows; the rows that it leaves out must be finite too."""

    linear_map: LinearMap
    unread: NDArray[np.intp]

    def __call__(self, values: FloatArray) -> FloatArray:
        """Map (n, ...) to (m, ...); ValueError if a number, read or not, is not finite."""
        require_finite(values[self.unread], "values")
        return self.linear_map(values)

    def adjoint(self, cotangent: FloatArray) -> FloatArray:
        """Map (m, ...) to (n, ...), to zeros where rows are not read."""
        return self.linear_map.adjoint(cotangent)

    def dense(self) -> Matrix:
        """Give the matrix, shape (m, n)."""
        return self.linear_map.dense()


def apply_map(linear_map: LinearMap, array: FloatArray, name: str) -> FloatArray:
    """Apply the map; where it refuses a number, say so under the caller's name of the array."""
    try:
        return linear_map(array)
    except ValueError as error:
        require_finite(array, name)
        raise ValueError(
            f"{name} overflow: max |{name}| = {np.abs(array).max():g} is too large for "
            f"{array.dtype} once they are combined; scale them down"
        ) from error


def columns_of(array: FloatArray) -> Matrix:
    """Give (n, ...) in float64 as (n, columns); no copy where it has that dtype."""
    return array.reshape(len(array), -1).astype(np.float64, copy=False)


def multiply_columns(
    matrix: Matrix, rows: FloatArray, name: str, out: FloatArray | None = None
) -> FloatArray:
    """Multiply each column of `rows` by the matrix, in their dtype; `name` begins errors."""
    columns = rows.reshape(len(rows), -1)
    bound = _bound(matrix, columns)
    if not np.isfinite(bound):
        require_finite(rows, name)
    shape = (len(matrix), columns.shape[1])
    product = empty_aligned(*shape, rows.dtype) if out is None else out.reshape(shape)
    with np.errstate(over="ignore", invalid="ignore"):  # told below
        np.matmul(matrix.astype(rows.dtype, copy=False), columns, out=product)
    # Two Python floats: numpy warns where it makes a large bound a float32 to compare it.
    may_overflow = not bound < float(np.finfo(rows.dtype).max) / 2.0
    if may_overflow and not np.isfinite(product).all():
        raise ValueError(f"{name} overflow in {rows.dtype}; scale them down")
    return product.reshape(len(matrix), *rows.shape[1:])


def _bound(matrix: Matrix, columns: FloatArray) -> float:
    """Bound the product's entries by fast passes over its factors; nan where that is no gain."""
    if columns.size <= _FEW or np.iscomplexobj(columns):
        return np.nan
    largest = max(float(columns.max()), -float(columns.min()))
    return largest * float(np.abs(matrix).sum(axis=1).max(initial=0.0))
