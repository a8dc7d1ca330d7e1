"""Polynomial and entangled polynomial codes over the reals, as published: monomials."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from coded.places.points import chebyshev_first
from coded.products.entangled import powers, read_sides
from coded.products.matmul_code import MatmulCode


class PolynomialMatmulCode(MatmulCode):
    """Code A by m x p blocks and B by p x n, by monomials; any p m n + p - 1 answers give C.

    With p = 1 the polynomial code, with m = n = 1 MatDot, of 2 p - 1 answers as large as C, else
    the entangled one: block (k, j) of A gets the power j + k p, block (j, l) of B the power
    p - 1 - j + l p m, and block (k, l) of C is the coefficient of the power p - 1 + k p + l p m.
    Over the reals, at Chebyshev points, powers lose digits fast: 4 x 4 blocks err by more than
    their size in float32, which is refused. For small grids, and to compare with:
    `OrthoPolyMatmulCode`, `OrthoMatDotMatmulCode`, `RotationMatmulCode`.

    Parameters
    ----------
    m, n : int
        Row blocks of A and column blocks of B, >= 1.
    n_workers : int
        N >= p m n + p - 1.
    p : int, optional
        Blocks of the inner dimension, >= 1.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    Q. Yu, M. A. Maddah-Ali, A. S. Avestimehr, "Polynomial Codes: an Optimal Design for
    High-Dimensional Coded Matrix Multiplication", NeurIPS 2017, arXiv:1705.10464.
    Q. Yu, M. A. Maddah-Ali, A. S. Avestimehr, "Straggler Mitigation in Distributed Matrix
    Multiplication: Fundamental Limits and Optimal Coding", IEEE Trans. Information Theory 66(3),
    2020, arXiv:1801.07487, equations 17 to 19.
    S. Dutta, M. Fahim, F. Haddadpour, H. Jeong, V. Cadambe, P. Grover, "On the Optimal Recovery
    Threshold of Coded Matrix Multiplication", IEEE Trans. Information Theory 66(1), 2020,
    arXiv:1801.10292, construction 1: MatDot.

    Examples
    --------
    >>> PolynomialMatmulCode(2, 2, 6).min_responders
    4
    >>> PolynomialMatmulCode(2, 2, 11, p=2).min_responders
    9
    >>> PolynomialMatmulCode(1, 1, 5, p=2).min_responders  # MatDot
    3
    """

    def __init__(
        self,
        m: SupportsIndex,
        n: SupportsIndex,
        n_workers: SupportsIndex,
        *,
        p: SupportsIndex = 1,
    ) -> None:
        super().__init__(*read_sides(m, n, n_workers, p))

    def _encoders(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        points, (of_a, of_b, _) = chebyshev_first(self.n_workers)[:, None], powers(self.grid)
        return (points**of_a)[:, None], (points**of_b)[:, None]

    def __repr__(self) -> str:
        """One line that could be typed."""
        m, p, n = self.grid
        inner = f", p={p}" if p > 1 else ""
        return f"PolynomialMatmulCode({m}, {n}, {self.n_workers}{inner})"
