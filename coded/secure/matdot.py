"""Secure MatDot codes: the inner dimension in blocks, behind masks at the powers above them."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np

from coded.algebra.prime_field import LARGEST_PRIME, IntArray
from coded.arguments import read_count
from coded.secure.residue_code import ResidueMatmulCode, powers, read_secrecy
from coded.secure.secure_code import require_workers


class SecureMatDotMatmulCode(ResidueMatmulCode):
    """Hide A in p column blocks and B in p row blocks; any 2 (p + T) - 1 answers give C.

    ``f = sum_j A_j x^j + sum_t Z_t x^(p + t)`` and ``g = sum_j B_j x^(p - 1 - j) + sum_t Y_t
    x^(p + t)``: C, the sum of the ``A_j B_j``, is the coefficient of ``x^(p - 1)`` in ``f g``,
    which has degree ``2 (p + T) - 2``. Shares are small, and each answer is as large as C: for
    long inner dimensions. Where nobody straggles `SecureDFTMatmulCode` needs p + 2 T answers.

    Parameters
    ----------
    p : int
        Blocks of the inner dimension, >= 1.
    n_workers : int
        N >= 2 (p + T) - 1.
    n_colluders, prime, modular, rng
        As for `GASPMatmulCode`; points are 1, ..., N, for every prime above N.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a count is out of range, N too small, or `prime` not prime or not above N.

    References
    ----------
    M. Aliasgari, O. Simeone, J. Kliewer, "Private and Secure Distributed Matrix Multiplication
    with Flexible Communication Load", IEEE Trans. Information Forensics and Security 15, 2020,
    arXiv:1909.00407: secure generalised PolyDot with one block of rows and of columns.

    Examples
    --------
    >>> SecureMatDotMatmulCode(3, 12, n_colluders=2).min_responders
    9
    """

    def __init__(
        self,
        p: SupportsIndex,
        n_workers: SupportsIndex,
        *,
        n_colluders: SupportsIndex = 1,
        prime: SupportsIndex = LARGEST_PRIME,
        modular: bool = False,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        inner = read_count(p, "p", at_least=1)
        hidden = read_count(n_colluders, "n_colluders", at_least=1)
        needed = 2 * (inner + hidden) - 1
        workers = require_workers(n_workers, needed, "2 (p + n_colluders) - 1")
        secrecy = read_secrecy(hidden, prime, modular, rng, n_points=workers)
        super().__init__((1, inner, 1), workers, needed, secrecy)

    def _encoders(self) -> tuple[IntArray, IntArray]:
        points, p = np.arange(1, self.n_workers + 1), self.grid[1]
        masks = [*range(p, p + self.n_colluders)]
        left = powers(points, [*range(p), *masks], self.prime)
        return left, powers(points, [*range(p - 1, -1, -1), *masks], self.prime)

    def __repr__(self) -> str:
        """One line that could be typed."""
        return (
            f"SecureMatDotMatmulCode({self.grid[1]}, {self.n_workers}, "
            f"n_colluders={self.n_colluders}, prime={self.prime})"
        )
