"""A secure product at roots of unity: the mean of all answers is C."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np

from coded.algebra.prime_field import LARGEST_PRIME, IntArray, inverse, is_prime
from coded.arguments import read_count
from coded.secure.residue_code import ResidueMatmulCode, powers, read_secrecy


class SecureDFTMatmulCode(ResidueMatmulCode):
    """Hide A in p column blocks and B in p row blocks; all N = p + 2 T answers are needed.

    ``f = sum_j A_j x^j + sum_t Z_t x^(p + t)`` and ``g = sum_j B_j x^-j + sum_t Y_t x^-(p + T +
    t)``: C, the sum of the ``A_j B_j``, is the constant term of ``f g``, whose other powers
    are no multiples of N. At the N-th roots of unity modulo p these add up to 0, so that C is the
    mean of all answers. That takes half the workers of `SecureMatDotMatmulCode`, none of whom may
    be lost, and next to nothing to decode.

    Parameters
    ----------
    p : int
        Blocks of the inner dimension, >= 1.
    n_colluders : int, optional
        T >= 1; N = p + 2 T.
    prime : int, optional
        One more than a multiple of N. Default: the largest such prime up to 2^31 - 1.
    modular, rng
        As for `GASPMatmulCode`.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a count is out of range, or N does not divide ``prime - 1``; it names a prime that does.

    References
    ----------
    N. Mital, C. Ling, D. Gündüz, "Secure Distributed Matrix Computation with Discrete Fourier
    Transform", IEEE Trans. Information Theory 68(7), 2022, arXiv:2007.03972, section III.

    Examples
    --------
    >>> code = SecureDFTMatmulCode(3, n_colluders=2)
    >>> code.n_workers, code.min_responders, code.prime % code.n_workers
    (7, 7, 1)
    """

    def __init__(
        self,
        p: SupportsIndex,
        *,
        n_colluders: SupportsIndex = 1,
        prime: SupportsIndex | None = None,
        modular: bool = False,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        inner = read_count(p, "p", at_least=1)
        hidden = read_count(n_colluders, "n_colluders", at_least=1)
        workers = inner + 2 * hidden
        largest = largest_prime_with_roots(workers)
        prime = largest if prime is None else prime
        secrecy = read_secrecy(hidden, prime, modular, rng, n_points=workers)
        if (secrecy.prime - 1) % workers:
            raise ValueError(
                f"prime must be 1 modulo p + 2 n_colluders = {workers}, to have roots of unity, "
                f"got {secrecy.prime}; the largest such prime is {largest}"
            )
        super().__init__((1, inner, 1), workers, workers, secrecy)

    def _encoders(self) -> tuple[IntArray, IntArray]:
        p, t = self.grid[1], self.n_colluders
        points = roots_of_unity(self.n_workers, self.prime)
        left = powers(points, [*range(p + t)], self.prime)
        degrees = [*range(p), *range(p + t, p + 2 * t)]
        return left, powers(inverse(points, self.prime), degrees, self.prime)

    def __repr__(self) -> str:
        """One line that could be typed."""
        return (
            f"SecureDFTMatmulCode({self.grid[1]}, n_colluders={self.n_colluders}, "
            f"prime={self.prime})"
        )


def largest_prime_with_roots(order: int) -> int:
    """Give the largest prime up to 2^31 - 1 that is 1 modulo `order`.

    Examples
    --------
    >>> largest_prime_with_roots(1), largest_prime_with_roots(8)
    (2147483647, 2147483497)
    """
    first = (LARGEST_PRIME - 1) // order * order + 1
    for number in range(first, order, -order):
        if is_prime(number):
            return number
    raise ValueError(f"no prime up to {LARGEST_PRIME} is 1 modulo {order}; take fewer workers")


def roots_of_unity(order: int, prime: int) -> IntArray:
    """Give the powers of an element of that order modulo p, from 1 on; `order` divides p - 1.

    Examples
    --------
    >>> roots_of_unity(4, 13)
    array([ 1,  8, 12,  5])
    """
    if (prime - 1) % order:
        raise ValueError(f"order must divide prime - 1 = {prime - 1}, got {order}")
    roots = (pow(candidate, (prime - 1) // order, prime) for candidate in range(1, prime))
    groups = ([pow(root, i, prime) for i in range(order)] for root in roots)
    return np.array(next(group for group in groups if len(set(group)) == order))
