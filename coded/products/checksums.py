"""Whether a worker's product is one: sums of its rows and columns with random weights.

``Y = A B`` implies ``Y v = A (B v)`` and ``u Y = (u A) B``, which costs a pass over each matrix. An
entry that is wrong by e misses both by e / 2 at least; several are missed only where they cancel,
up to rounding, in rows and in columns. Weights of one size would cancel often, where a constant is
added to a small block. (Freivalds' test; Huang and Abraham's checksums.)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastspline.arrays import FloatArray

_AT_ONCE = 1024  # terms, above which libraries sum large products block by block
_UNBALANCED = 3.0  # lengths, the largest sum of weights; 3 draws in 1000 are beyond
_SQUARABLE = 1e-140  # a length from which no square that counts has vanished


class Checksums:
    """The checksums of one worker's product of its blocks.

    Rounding may miss them by ``eps (16 + t / 2) ||a_i|| ||B||_F`` in row i, t the number of terms
    that are summed in one go: all s of the inner dimension in products of few numbers, else at
    most 1024; columns likewise. Constant matrices come nearest to that: their rounding errors all
    have one sign until a library starts its next block of terms.

    Parameters
    ----------
    a, b : ndarray, shapes (..., r, s) and (..., s, c)
        With a leading axis, each of the first is multiplied by each of the second.
    dtype : dtype
        In which the worker multiplies.

    References
    ----------
    R. Freivalds, "Probabilistic machines can use less running time", IFIP Congress 1977.
    K.-H. Huang, J. A. Abraham, "Algorithm-Based Fault Tolerance for Matrix Operations", IEEE
    Trans. Computers 33(6), 1984.
    """

    def __init__(self, a: FloatArray, b: FloatArray, dtype: np.dtype[Any]) -> None:
        if a.ndim == 3:
            a, b = a[:, None], b[None]
        (a, left), (b, right) = _scaled(a), _scaled(b)
        self._power = left + right
        rng = np.random.default_rng()  # so that no worker knows the weights
        self._right = _weights(rng, b.shape[-1], b.dtype)
        self._left = _weights(rng, a.shape[-2], a.dtype)
        self._rows = (a @ (b @ self._right)[..., None])[..., 0]
        self._columns = _summed(self._left @ a, b)
        info, inner, sides = np.finfo(dtype), a.shape[-1], (a.shape[-2], b.shape[-1])
        is_small = min(sides) == 1 or sides[0] * sides[1] < _AT_ONCE
        terms = inner if is_small else min(inner, _AT_ONCE)
        rounding = float(info.eps) * (16.0 + terms / 2.0)
        with np.errstate(over="ignore"):  # all of what is so small may be lost
            least = np.ldexp(float(info.smallest_subnormal) * inner, self._power)
        rows, columns = _lengths(a, -1), _lengths(b, -2)
        sizes = (np.linalg.norm(x, axis=-1, keepdims=True) for x in (columns, rows))
        self._allowed_rows = rounding * rows * next(sizes) + least * b.shape[-1]
        self._allowed_columns = rounding * columns * next(sizes) + least * a.shape[-2]

    def require(self, product: FloatArray) -> None:
        """Raise ValueError unless the sums are those of the product, up to rounding."""
        missed = (
            self._beyond(product @ self._right, self._rows, self._allowed_rows),
            self._beyond(self._left @ product, self._columns, self._allowed_columns),
        )
        if max(missed) > 1.0:
            raise ValueError(
                f"answer is not the product of the worker's blocks: its checksums miss theirs by "
                f"{max(missed):.1e} times what rounding explains"
            )

    def _beyond(
        self, found: FloatArray, expected: FloatArray, allowed: NDArray[np.float64]
    ) -> float:
        """Give the largest miss in what is allowed."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            missed = np.abs(np.ldexp(found.astype(np.float64), self._power) - expected)
            return float(np.nan_to_num(missed / allowed, posinf=np.inf).max())


def _weights(rng: np.random.Generator, count: int, dtype: np.dtype[Any]) -> FloatArray:
    """Draw them, between 1/2 and 3/2 in size; errors of equal numbers add up as they do."""
    while True:
        drawn = rng.uniform(0.5, 1.5, count) * rng.choice([-1.0, 1.0], count)
        if abs(drawn.sum()) <= _UNBALANCED * np.linalg.norm(drawn):
            weights: FloatArray = drawn.astype(dtype)
            return weights


def _summed(row: FloatArray, b: FloatArray) -> FloatArray:
    """Multiply by a matrix, a few terms at a time: BLAS adds up thousands to one, and rounds so."""
    inner, columns = b.shape[-2:]
    few = math.isqrt(inner)
    whole = inner // few * few
    parts = row[..., :whole].reshape(*row.shape[:-1], -1, 1, few) @ b[..., :whole, :].reshape(
        *b.shape[:-2], -1, few, columns
    )
    rest = row[..., None, whole:] @ b[..., whole:, :]
    total: FloatArray = parts.sum(axis=-3) + rest
    return total[..., 0, :]


def _scaled(blocks: FloatArray) -> tuple[FloatArray, int]:
    """Multiply by a power of two where sums of products may overflow or vanish, and give it."""
    power = -int(np.frexp(np.abs(blocks).max())[1])
    if abs(power) <= np.finfo(blocks.dtype).maxexp // 4:
        return blocks, 0
    return np.ldexp(blocks, power), power


def _lengths(blocks: FloatArray, axis: int) -> NDArray[np.float64]:
    """Give lengths along an axis, however large or small the numbers."""
    wide = blocks.astype(np.float64, copy=False)
    lengths: NDArray[np.float64] = np.linalg.norm(wide, axis=axis)
    if lengths.min() <= _SQUARABLE:
        units = np.abs(wide).max(axis=axis, keepdims=True)
        units[units == 0.0] = 1.0
        lengths = np.linalg.norm(wide / units, axis=axis) * units.squeeze(axis)
    return lengths
