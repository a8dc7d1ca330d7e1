"""Circulant embeddings: powers of a cyclic shift in place of roots of unity."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from coded.algebra.prime_field import is_prime
from coded.products.matmul_code import MatmulCode, read_grid


class CirculantMatmulCode(MatmulCode):
    """Code A by rows, k blocks, by cyclic shifts of their sub-blocks; any k answers give A B.

    Each block is cut into q - 1 sub-blocks, q the first prime that is at least N, and the q-th is
    minus the sum of the others. Worker i shifts those of block j by i j places and adds up:
    encoding needs additions alone. The eigenvalues of a shift are the q-th roots of unity, 1 left
    out by the sum that is zero, so that errors grow as little as on the unit circle. Each worker
    computes ``q / (q - 1)`` of what it would for a block, and gets all of B.

    `MDSMatmulCode` has answers that are blocks of the product; `RotationMatmulCode` codes both
    operands by the same idea, with two sub-blocks a block. To compare with.

    Parameters
    ----------
    n_blocks : int
        k >= 1; A needs k (q - 1) rows at least.
    n_workers : int
        N >= k.

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
    section IV: circulant permutation embedding.

    Examples
    --------
    >>> from coded import multiply
    >>> code = CirculantMatmulCode(2, 5)
    >>> code.min_responders, code.grid, code.load
    (2, (8, 1, 1), 0.625)
    >>> a, b = np.arange(24.0).reshape(8, 3), np.ones((3, 2))
    >>> job = code.prepare(a, b)
    >>> answers = [multiply(x, y) for x, y in job.payloads]
    >>> np.allclose(job.decode([answers[1], answers[4]], np.array([1, 4])), a @ b)
    True
    """

    def __init__(self, n_blocks: SupportsIndex, n_workers: SupportsIndex) -> None:
        self._n_blocks, workers = read_grid(n_workers=n_workers, n_blocks=n_blocks)
        self._places = next(q for q in range(max(workers, 2), 2 * workers + 2) if is_prime(q))
        super().__init__((self._n_blocks * (self._places - 1), 1, 1), workers, self._n_blocks)

    def _encoders(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        q = self._places
        balancing = np.vstack([np.eye(q - 1), -np.ones(q - 1)])
        steps = np.outer(np.arange(self.n_workers), np.arange(self._n_blocks)) % q
        shifted = np.array([np.roll(balancing, step, axis=0) for step in range(q)])
        left = shifted[steps].swapaxes(1, 2)  # (N, places, blocks, q - 1)
        return left.reshape(self.n_workers, q, -1), np.ones((self.n_workers, 1, 1))

    def __repr__(self) -> str:
        """One line that could be typed."""
        return f"CirculantMatmulCode({self._n_blocks}, {self.n_workers})"
