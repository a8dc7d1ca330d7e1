"""Linear maps on the rows of an array: what linear codes are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastspline.arrays import FloatArray, empty_aligned, read_only, require_finite

if TYPE_CHECKING:
    from coded.maps.witness import LazyWitnesses

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
        return multiply_columns(self.matrix, values, "values", witnesses=self._witnesses())

    @cached_property
    def _witnesses(self) -> LazyWitnesses:
        from coded.maps.witness import LazyWitnesses  # what not every code multiplies by

        return LazyWitnesses(self.matrix)

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
    matrix: Matrix,
    rows: FloatArray,
    name: str,
    out: FloatArray | None = None,
    *,
    witnesses: tuple[int, ...] = (),
) -> FloatArray:
    """Multiply each column of `rows` by the matrix, in their dtype; `name` begins errors.

    What is not finite in a column stays so in each of its sums, whatever the weights. So it is
    enough to look at the rows of the product that `find_witnesses` gives, or else, without
    `witnesses`, at the smaller one of factor and product.
    """
    columns = rows if rows.ndim == 2 else rows.reshape(len(rows), -1)
    shape = len(matrix), columns.shape[1]
    dtype, weights = rows.dtype, matrix
    if matrix.dtype != dtype:
        if matrix.dtype.kind == "c":
            dtype = np.result_type(dtype, np.complex64)
        with np.errstate(over="ignore"):  # as below
            weights = matrix.astype(dtype)
    product = empty_aligned(*shape, dtype) if out is None else out.reshape(shape)
    bound = math.nan
    if not witnesses and not 1 < len(matrix) <= len(rows):
        # Of a single row of weights, multiplied as a vector, BLAS may skip what is 0.
        bound = size_of(columns) * size_of(matrix)
        if not math.isfinite(bound):
            require_finite(rows, name)
    with np.errstate(over="ignore", invalid="ignore"):  # told below; np.dot is slower
        np.matmul(weights, columns, out=product)
    is_right = bound < half_of_largest(dtype)
    if witnesses:
        is_right = all(math.isfinite(size_of(product[i])) for i in witnesses)
    if not (is_right or is_finite(product)):
        require_finite(rows, name)
        raise ValueError(f"{name} overflow in {rows.dtype}; scale them down")
    return product if rows.ndim == 2 else product.reshape(len(matrix), *rows.shape[1:])


def is_finite(array: FloatArray) -> bool:
    """Tell whether all numbers are finite, mostly by one pass at the speed of BLAS."""
    return math.isfinite(size_of(array)) or bool(np.isfinite(array).all())


def size_of(array: FloatArray) -> float:
    """Give the root of the sum of squares, at the speed of BLAS.

    It is summed in the array's dtype: inf where that overflows, nan or inf where a number is none.
    """
    flat = array.ravel()  # a view where rows are contiguous
    return math.sqrt(np.vdot(flat, flat).real)


@cache
def half_of_largest(dtype: np.dtype[Any]) -> float:
    """Give half of the largest number: sums that are bounded by it do not overflow."""
    return float(np.finfo(dtype).max) / 2.0
