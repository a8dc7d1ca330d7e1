"""Linear maps on the rows of an array: what linear codes are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastspline.arrays import FloatArray, empty_aligned, read_only, require_finite

Matrix: TypeAlias = NDArray[np.float64]


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
    """Multiply each column of `rows` by the matrix, in their dtype; `name` begins errors.

    What is not finite in a column stays so in each of its sums, whatever the weights: the smaller
    one of factor and product is looked through, by one product with itself, which is the fastest.
    """
    columns = rows.reshape(len(rows), -1)
    shape = (len(matrix), columns.shape[1])
    is_complex = np.iscomplexobj(matrix)
    dtype = np.result_type(rows.dtype, np.complex64) if is_complex else rows.dtype
    product = empty_aligned(*shape, dtype) if out is None else out.reshape(shape)
    with np.errstate(over="ignore", invalid="ignore"):  # told below
        # A single row of weights is multiplied as a vector, of which BLAS may skip what is 0.
        looks_at_product = 1 < len(matrix) <= len(rows)
        bound = np.nan
        if not looks_at_product:
            bound = math.sqrt(sum_of_squares(columns) * sum_of_squares(matrix))
            if not math.isfinite(bound):
                require_finite(rows, name)
        np.matmul(matrix.astype(dtype, copy=False), columns, out=product)
        is_small = bound < half_of_largest(dtype)
        if not (is_small or is_finite(product)):
            require_finite(rows, name)
            raise ValueError(f"{name} overflow in {rows.dtype}; scale them down")
    return product.reshape(len(matrix), *rows.shape[1:])


def is_finite(array: FloatArray) -> bool:
    """Tell whether all numbers are finite, mostly by one pass at the speed of BLAS."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(sum_of_squares(array)) or bool(np.isfinite(array).all())


def sum_of_squares(array: FloatArray) -> float:
    """Give it in the array's dtype; inf where it overflows, nan or inf where a number is none."""
    flat = array.ravel()  # a view where rows are contiguous
    return float(np.vdot(flat, flat).real)


@cache
def half_of_largest(dtype: np.dtype[Any]) -> float:
    """Give half of the largest number: sums that are bounded by it do not overflow."""
    return float(np.finfo(dtype).max) / 2.0
