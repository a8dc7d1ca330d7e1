"""Polynomial and MatDot codes in Chebyshev polynomials at Chebyshev points."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from coded.arguments import read_count
from coded.maps.arrays import Matrix
from coded.places.points import chebyshev_first
from coded.products.matmul_code import MatmulCode, read_grid


class OrthoPolyMatmulCode(MatmulCode):
    """Code A by rows and B by columns, m x n blocks, by polynomials; any m n answers give C.

    Worker k multiplies ``sum_i A_i q_i(x_k)`` by ``sum_j B_j q_jm(x_k)``, q_i the Chebyshev
    polynomials, orthonormal at the points x, the roots of the N-th one. That conditions far
    better than monomials at any points, but errors still grow fast where neighbours are lost:
    `RotationMatmulCode` is better conditioned, `KhatriRaoMatmulCode` cheaper. To compare with.

    Parameters
    ----------
    m, n : int
        Row blocks of A and column blocks of B, >= 1.
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
    M. Fahim, V. R. Cadambe, "Numerically Stable Polynomially Coded Computing", IEEE Trans.
    Information Theory 67(5), 2021, arXiv:1903.08326, construction 2; there q_0 is 1, here
    1 / sqrt 2, which costs nothing and conditions better.

    Examples
    --------
    >>> code = OrthoPolyMatmulCode(2, 2, 6)
    >>> code.min_responders, code.can_decode([0, 2, 3, 5])
    (4, True)
    """

    def __init__(self, m: SupportsIndex, n: SupportsIndex, n_workers: SupportsIndex) -> None:
        rows, columns, workers = read_grid(n_workers=n_workers, m=m, n=n)
        super().__init__((rows, 1, columns), workers, rows * columns)

    def _encoders(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        m, _, n = self.grid
        degrees = np.arange(m), m * np.arange(n)
        left, right = (_orthonormal(self.n_workers, degree)[:, None] for degree in degrees)
        return left, right

    def __repr__(self) -> str:
        """One line that could be typed."""
        m, _, n = self.grid
        return f"OrthoPolyMatmulCode({m}, {n}, {self.n_workers})"


class OrthoMatDotMatmulCode(MatmulCode):
    """Code the inner dimension, p blocks, by polynomials; any 2 p - 1 answers give C.

    A is cut into column blocks and B into row blocks, so that a worker is sent 1 / p of each, the
    least of all codes, and answers a matrix as large as C, the most of all. Only where uploads are
    what is dear: each worker computes 1 / p of the product, and twice as many are needed.

    Parameters
    ----------
    n_blocks : int
        p >= 1.
    n_workers : int
        N >= 2 p - 1.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    M. Fahim, V. R. Cadambe, "Numerically Stable Polynomially Coded Computing", IEEE Trans.
    Information Theory 67(5), 2021, arXiv:1903.08326, construction 1.
    S. Dutta, M. Fahim, F. Haddadpour, H. Jeong, V. Cadambe, P. Grover, "On the Optimal Recovery
    Threshold of Coded Matrix Multiplication", IEEE Trans. Information Theory 66(1), 2020,
    arXiv:1801.10292: MatDot.

    Examples
    --------
    >>> code = OrthoMatDotMatmulCode(2, 6)
    >>> code.min_responders
    3
    >>> a, b = np.arange(12.0).reshape(3, 4), np.arange(8.0).reshape(4, 2)
    >>> job = code.prepare(a, b)
    >>> answers = [x @ y for x, y in job.payloads]
    >>> np.allclose(job.decode([answers[n] for n in (0, 2, 5)], np.array([0, 2, 5])), a @ b)
    True
    """

    def __init__(self, n_blocks: SupportsIndex, n_workers: SupportsIndex) -> None:
        p = read_count(n_blocks, "n_blocks", at_least=1)
        workers = read_count(n_workers, "n_workers", at_least=1)
        if workers < 2 * p - 1:
            raise ValueError(
                f"n_workers must be at least 2 x {p} - 1 = {2 * p - 1}, the answers that are "
                f"needed, got {workers}; add workers or cut into fewer blocks"
            )
        super().__init__((1, p, 1), workers, 2 * p - 1)

    def _encoders(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        basis = _orthonormal(self.n_workers, np.arange(self.grid[1]))[:, None]
        return basis, basis

    def __repr__(self) -> str:
        """One line that could be typed."""
        return f"OrthoMatDotMatmulCode({self.grid[1]}, {self.n_workers})"


def _orthonormal(n_workers: int, degrees: NDArray[np.intp]) -> Matrix:
    """Give Chebyshev polynomials at the roots of the N-th, but T_0 = 1 / sqrt 2."""
    values: Matrix = np.cos(np.outer(np.arccos(chebyshev_first(n_workers)), degrees))
    values[:, degrees == 0] = 2.0**-0.5
    return values
