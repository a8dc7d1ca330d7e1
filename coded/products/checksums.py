"""Whether a worker's product is one: sums of its rows and columns with random signs.

``Y = A B`` implies ``Y v = A (B v)`` and ``u Y = (u A) B``, which costs a pass over each matrix. An
entry that is wrong by e misses both by e; several are missed only where their signs cancel in rows
and in columns. (Freivalds' test; Huang and Abraham's checksums.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastspline.arrays import FloatArray


class Checksums:
    """The checksums of one worker's product of its blocks.

    Rounding may miss them by ``eps (16 + min(s, 1024) / 3) ||a_i|| ||B||_F`` in row i, s the inner
    dimension; columns likewise. Measured in float32, s from 8 to 20,000, in eps ||a_i|| ||B||_F: 2
    for random matrices, 5 for positive ones, 15 (s = 64) to 98 (s = 5,000) for constant ones,
    whose rounding errors all have one sign until a library starts its next block of terms.

    Parameters
    ----------
    a, b : ndarray, shapes (..., r, s) and (..., s, c)
        With a leading axis, each of the first is multiplied by each of the second.

    References
    ----------
    R. Freivalds, "Probabilistic machines can use less running time", IFIP Congress 1977.
    K.-H. Huang, J. A. Abraham, "Algorithm-Based Fault Tolerance for Matrix Operations", IEEE
    Trans. Computers 33(6), 1984.
    """

    def __init__(self, a: FloatArray, b: FloatArray) -> None:
        if a.ndim == 3:
            a, b = a[:, None], b[None]
        rng = np.random.default_rng()  # so that no worker knows the signs
        self._right = rng.choice(np.array([-1.0, 1.0], b.dtype), b.shape[-1])
        self._left = rng.choice(np.array([-1.0, 1.0], a.dtype), a.shape[-2])
        rounding = float(np.finfo(a.dtype).eps) * (16.0 + min(a.shape[-1], 1024) / 3.0)
        self._rows = a @ (b @ self._right)[..., None]
        self._columns = (self._left @ a)[..., None, :] @ b
        sizes = [np.linalg.norm(x.astype(np.float64), axis=(-2, -1)) for x in (a, b)]
        each = np.linalg.norm(a, axis=-1)[..., None], np.linalg.norm(b, axis=-2)[..., None, :]
        self._allowed_rows = rounding * each[0] * sizes[1][..., None, None]
        self._allowed_columns = rounding * each[1] * sizes[0][..., None, None]

    def require(self, product: FloatArray) -> None:
        """Raise ValueError unless the sums are those of the product, up to rounding."""
        missed = (
            _beyond(product @ self._right, self._rows[..., 0], self._allowed_rows[..., 0]),
            _beyond(
                self._left @ product, self._columns[..., 0, :], self._allowed_columns[..., 0, :]
            ),
        )
        if max(missed) > 1.0:
            raise ValueError(
                f"answer is not the product of the worker's blocks: its checksums miss theirs by "
                f"{max(missed):.1e} times what rounding explains"
            )


def _beyond(found: FloatArray, expected: FloatArray, allowed: NDArray[np.float64]) -> float:
    """Give the largest miss in what is allowed."""
    missed = np.abs(found - expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.nan_to_num(missed / allowed, posinf=np.inf).max())
