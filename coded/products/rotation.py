"""Rotation embeddings: polynomial codes at roots of unity, in real arithmetic."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from coded.products.matmul_code import MatmulCode, read_grid


class RotationMatmulCode(MatmulCode):
    """Code A by rows and B by columns, m x n blocks; any m n answers give C, well conditioned.

    A polynomial code evaluated on the unit circle is as well conditioned as a polynomial code can
    be; each complex number is written as a rotation of two sub-blocks, so that all is real.
    Block i of A, two sub-blocks, is turned by ``2 pi k i n / N`` for worker k, block j of B by
    ``2 pi k j / N``; a worker answers with all four products of its sub-blocks. The condition
    number is that of the N x m n Vandermonde matrix at the N-th roots of unity.

    The answers of the workers are never blocks of C: encoding and decoding cost what they do
    whether workers are lost or not, which at 2000 x 2000 is several of a worker's tasks (the table
    in coded/README.md). For float32, and many losses; `KhatriRaoMatmulCode` is cheaper with up to
    two.

    Parameters
    ----------
    m, n : int
        Row blocks of A and column blocks of B, >= 1; each is cut into two again.
    n_workers : int
        N >= m n.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    A. Ramamoorthy, L. Tang, "Numerically Stable Coded Matrix Computations via Circulant and
    Rotation Matrix Embeddings", IEEE Trans. Information Theory 68(4), 2022, arXiv:1910.06515,
    section IV; with q = N, which has the least condition number and, unlike the q odd of the
    paper, may be even.

    Examples
    --------
    >>> code = RotationMatmulCode(2, 2, 7)
    >>> code.min_responders, round(code.condition([0, 1, 2, 3]), 1)
    (4, 8.9)
    """

    def __init__(self, m: SupportsIndex, n: SupportsIndex, n_workers: SupportsIndex) -> None:
        self._m, self._n, workers = read_grid(n_workers=n_workers, m=m, n=n)
        super().__init__((2 * self._m, 1, 2 * self._n), workers, self._m * self._n)

    def _encoders(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        turn = 2.0 * np.pi * np.arange(self.n_workers)[:, None] / self.n_workers
        return _rotations(turn * np.arange(self._m) * self._n), _rotations(
            turn * np.arange(self._n)
        )

    def __repr__(self) -> str:
        """One line that could be typed."""
        return f"RotationMatmulCode({self._m}, {self._n}, {self.n_workers})"


def _rotations(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give rows ``[R(angle_n0) R(angle_n1) ...]``, shape (N, 2, 2 x blocks)."""
    cos, sin = np.cos(angles), np.sin(angles)
    turned = np.array([[cos, -sin], [sin, cos]])  # (2, 2, N, blocks)
    return np.ascontiguousarray(turned.transpose(2, 0, 3, 1)).reshape(len(angles), 2, -1)
