"""GASP codes: blocks of A and of B at powers whose sums tell the wanted products apart."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import comb
from typing import SupportsIndex

import numpy as np

from coded.algebra.prime_field import LARGEST_PRIME, IntArray, rank
from coded.arguments import read_count
from coded.secure.residue_code import (
    ResidueMatmulCode,
    hides,
    powers,
    read_secrecy,
)
from coded.secure.secure_code import require_workers

_MOST_SETS = 100  # of responders that are checked when the code is made
_ATTEMPTS = 50  # draws of points


class GASPMatmulCode(ResidueMatmulCode):
    """Hide A in m row blocks and B in n column blocks; the fewest answers that are known.

    Worker i multiplies ``f(x_i) g(x_i)``, f and g being polynomials whose coefficients are blocks
    and T random masks each, at powers ``a_k`` and ``b_j``. The answers needed are as many as there
    are different sums ``a_k + b_j`` in the degree table; each block of C has a sum of its own.
    `degree_table` chooses the powers, with the chain length r that needs fewest.

    **Any so many answers** suffice where the sums have no gap. Powers with gaps have singular sets
    of points: these are ruled out here for all sets of responders if there are at most 100, else
    one set in about p / R may be singular, which `can_decode` tells: ``wait_for=code.can_decode``
    waits for one answer more then. That any T workers' masks are independent is always checked.

    Parameters
    ----------
    m, n : int
        Row blocks of A and column blocks of B, >= 1.
    n_workers : int
        N >= R, see `degree_table`.
    n_colluders : int, optional
        T >= 1, how many workers may pool what they were sent.
    prime : int, optional
        p, odd and above N, at most 2^31 - 1, the default. Small primes may have no good points.
    modular : bool, optional
        Whether A B modulo p is wanted where its entries may exceed (p - 1) / 2; else refused.
    rng : int or numpy.random.Generator, optional
        Gives the masks, the same ones in each product, which tells differences: for tests. By
        default they come from the operating system's entropy.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a count is out of range, N too small, or the prime too small for points that hide the
        blocks and can be decoded.

    References
    ----------
    R. G. L. D'Oliveira, S. El Rouayheb, D. Karpuk, "GASP Codes for Secure Distributed Matrix
    Multiplication", IEEE Trans. Information Theory 66(7), 2020, arXiv:1812.09962.

    R. G. L. D'Oliveira, S. El Rouayheb, D. Heinlein, D. Karpuk, "Degree Tables for Secure
    Distributed Matrix Multiplication", IEEE JSAIT 2(3), 2021, arXiv:2106.09816 (GASP_r).

    Examples
    --------
    >>> code = GASPMatmulCode(3, 3, 24, n_colluders=3)
    >>> code.min_responders, code.chain_length
    (22, 2)
    """

    def __init__(
        self,
        m: SupportsIndex,
        n: SupportsIndex,
        n_workers: SupportsIndex,
        *,
        n_colluders: SupportsIndex = 1,
        prime: SupportsIndex = LARGEST_PRIME,
        modular: bool = False,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        rows, columns = read_count(m, "m", at_least=1), read_count(n, "n", at_least=1)
        hidden = read_count(n_colluders, "n_colluders", at_least=1)
        # Whatever the powers are: refused before large tables are made.
        least = max(rows * columns, rows + columns + 2 * hidden - 1)
        require_workers(n_workers, least, "max(m n, m + n + 2 n_colluders - 1)")
        self._degrees, self._chain_length = best_degrees(rows, columns, hidden)
        self._sums = sorted({a + b for a in self._degrees[0] for b in self._degrees[1]})
        needed = len(self._sums)
        told = f"the sums of {rows} + {hidden} by {columns} + {hidden} powers"
        workers = require_workers(n_workers, needed, told)
        secrecy = read_secrecy(hidden, prime, modular, rng, n_points=workers)
        super().__init__((rows, 1, columns), workers, needed, secrecy)

    @property
    def chain_length(self) -> int:
        """The r of GASP_r, how many masks of one operand have consecutive powers."""
        return self._chain_length

    @property
    def degrees(self) -> tuple[list[int], list[int]]:
        """The powers of A's blocks and masks, and of B's."""
        return self._degrees

    @property
    def points(self) -> IntArray:
        """The points of the workers, shape (N,), not 0; everybody may know them."""
        return self._points

    def _encoders(self) -> tuple[IntArray, IntArray]:
        self._points = self._find_points()
        left, right = (powers(self._points, one, self.prime) for one in self._degrees)
        return left, right

    def _find_points(self) -> IntArray:
        """Take the first points that hide and decode: 1, ..., N, or others drawn at random."""
        rng = np.random.default_rng(0)  # points are no secret
        points = np.arange(1, self.n_workers + 1)
        for _ in range(_ATTEMPTS):
            if self._hides(points) and self._decodes(points):
                return points
            drawn = rng.choice(self.prime - 1, self.n_workers, replace=False)
            points = np.sort(drawn) + 1
        raise ValueError(
            f"prime must be so large that {self.n_workers} points hide and decode {self!r}, and "
            f"for {self.prime} none of {_ATTEMPTS} draws did; take a larger one"
        )

    def _hides(self, points: IntArray) -> bool:
        masks = [one[-self.n_colluders :] for one in self._degrees]
        return all(hides(powers(points, one, self.prime), self.prime) for one in masks)

    def _decodes(self, points: IntArray) -> bool:
        needed = len(self._sums)
        if self._sums[-1] == needed - 1 or comb(len(points), needed) > _MOST_SETS:
            return True  # Vandermonde's matrix, or too many sets to look at
        table = powers(points, self._sums, self.prime)
        sets = combinations(range(len(points)), needed)
        return all(rank(table[list(one)], self.prime) == needed for one in sets)

    def __repr__(self) -> str:
        """One line that could be typed."""
        m, _, n = self.grid
        return (
            f"GASPMatmulCode({m}, {n}, {self.n_workers}, n_colluders={self.n_colluders}, "
            f"prime={self.prime})"
        )


def degree_table(
    m: int, n: int, n_colluders: int, chain_length: int
) -> tuple[list[int], list[int]]:
    """Give the powers of GASP_r for A's m blocks and T masks, and for B's n blocks and T masks.

    A's blocks have the powers 0, ..., m - 1, B's 0, m, ..., m (n - 1), and the sums of these are
    all different, ``0, ..., m n - 1``. B's masks have m n and following. A's masks have runs of r
    consecutive powers that begin at m n, m n + m, m n + 2 m, ..., so that many of their sums fall
    together.

    Parameters
    ----------
    m, n, n_colluders : int
        K, L and T of the papers, all >= 1.
    chain_length : int
        r in [1, min(m, T)].

    Returns
    -------
    tuple of list of int, lengths m + T and n + T

    References
    ----------
    D'Oliveira, El Rouayheb, Heinlein, Karpuk, arXiv:2106.09816, definition of GASP_r; r = 1 is
    GASP_small and r = min(m, T) GASP_big of arXiv:1812.09962.

    Examples
    --------
    >>> degree_table(2, 2, 1, 1)
    ([0, 1, 4], [0, 2, 4])
    """
    first, r = m * n, chain_length
    masks = [first + t // r * m + t % r for t in range(n_colluders)]
    left = [*range(m), *masks]
    return left, [*range(0, first, m), *range(first, first + n_colluders)]


def n_sums(degrees: tuple[list[int], list[int]], n_colluders: int) -> int:
    """Count the answers needed; ValueError if a block of C shares its sum.

    Examples
    --------
    >>> n_sums(degree_table(3, 3, 3, 2), 3)
    22
    """
    left, right = degrees
    sums = Counter(a + b for a in left for b in right)
    blocks = len(left) - n_colluders, len(right) - n_colluders
    if any(sums[a + b] > 1 for a in left[: blocks[0]] for b in right[: blocks[1]]):
        raise ValueError(f"degrees must keep the products of blocks apart, got {degrees}")
    return len(sums)


def best_degrees(m: int, n: int, n_colluders: int) -> tuple[tuple[list[int], list[int]], int]:
    """Give the powers that need the fewest answers, and their chain length.

    Of equal ones the first: A as in the paper before the two exchanged, short chains before long.
    """
    found = []
    for is_exchanged in (False, True):
        up, across = (n, m) if is_exchanged else (m, n)
        for r in range(1, min(up, n_colluders) + 1):
            degrees = degree_table(up, across, n_colluders, r)
            needed = n_sums(degrees, n_colluders)
            found.append((needed, is_exchanged, r, degrees[::-1] if is_exchanged else degrees))
    _, _, r, best = min(found)
    return best, r
