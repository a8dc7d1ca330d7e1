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
