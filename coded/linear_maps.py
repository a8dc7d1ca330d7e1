"""Linear maps on the rows of an array: what linear codes are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastspline.arrays import FloatArray, require_finite

Matrix: TypeAlias = NDArray[np.float64]


class LinearMap(Protocol):
    """A matrix by its action on the rows of an array."""

    def __call__(self, values: FloatArray) -> FloatArray:
        """Map (n, ...) to (m, ...), dtype kept; ValueError if a number is or becomes infinite."""

    def dense(self) -> Matrix:
        """Give the matrix, shape (m, n)."""


@dataclass(frozen=True, eq=False)
class MatrixMap:
    """A linear map given by its matrix, shape (m, n)."""

    matrix: Matrix

    def __call__(self, values: FloatArray) -> FloatArray:
        """Multiply each column of `values` by the matrix, in the dtype of `values`."""
        require_finite(values, "values")
        columns = values.reshape(len(values), -1)
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            product = self.matrix.astype(values.dtype, copy=False) @ columns
        if not np.isfinite(product).all():
            raise ValueError(f"values overflow in {values.dtype}; scale them down")
        return product.reshape(len(self.matrix), *values.shape[1:])

    def dense(self) -> Matrix:
        """Give the matrix, shape (m, n)."""
        return self.matrix


@dataclass(frozen=True, eq=False)
class RowMap:
    """A linear map that copies rows: row i of the result is row ``index[i]`` of n rows."""

    index: NDArray[np.intp]
    n_rows: int

    def __call__(self, values: FloatArray) -> FloatArray:
        """Copy the rows of `values`, bit for bit."""
        require_finite(values, "values")
        return values[self.index]

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

    def __call__(self, values: FloatArray) -> FloatArray:
        """Copy rows bit for bit; mix the others in the dtype of `values`."""
        require_finite(values, "values")
        result = values[self.source]
        if len(self.weights) == 0:
            return result
        sums = MatrixMap(self.weights)(values)
        if self.constant is not None:
            sums = sums + self.constant.reshape(sums.shape)
        with np.errstate(over="ignore"):  # told below
            result[self.source < 0] = sums
        if not np.isfinite(result).all():
            raise ValueError(f"values overflow in {values.dtype}; scale them down")
        return result

    def dense(self) -> Matrix:
        """Give the matrix, shape (m, n)."""
        matrix = np.eye(self.weights.shape[1])[self.source]
        matrix[self.source < 0] = self.weights
        return matrix
