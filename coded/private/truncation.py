"""Division of shared numbers by a power of two, of which nobody learns anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coded.algebra.prime_field import IntArray, random_residues


@dataclass(frozen=True)
class Truncation:
    """Secure truncation of x in [-B, B], shared among owners modulo p, by m bits.

    A dealer shares a random residue r and ``r >> m`` (`draw`). Owners open ``c = x + B + r``
    (`masked`), and each one takes for its share of the result

        ``(c >> m) - (r >> m) - B / 2^m  =  floor(x / 2^m) + u``,

    where the carry u is 1 where ``c mod 2^m < x mod 2^m``, with probability ``(x mod 2^m) / 2^m``,
    else 0: off by less than one, and x / 2^m on average. It is a coin whose throw all see, but not
    how it came out.

    **Privacy.** r is uniform modulo p, and so is c, whatever x is. The price is that the sum may
    wrap modulo p, which it has not where ``c >= 2 B``. Owners accept no other c, and take another
    pair instead. That depends on c alone, which tells nothing; as many c are accepted of each
    remainder modulo 2^m, hence the mean. Catrina and Saxena's TruncPr, which COPML takes, opens a
    sum that cannot wrap, with an r from a part of the field: two x may then be told apart by a
    statistical distance of up to 2 B in units of that part's size, no small number in a field of
    31 bits.

    Attributes
    ----------
    prime : int
        p.
    bits : int
        m.
    bound : int
        B, a multiple of 2^m, such that ``2 B + 2^m <= p``.

    References
    ----------
    O. Catrina, A. Saxena, "Secure Computation with Fixed-Point Numbers", Financial Cryptography
    2010, TruncPr. J. So, B. Guler, A. S. Avestimehr, arXiv:2011.01963, phase 4.

    Examples
    --------
    >>> truncation = Truncation(prime=97, bits=2, bound=8)
    >>> pairs = truncation.draw((5,), np.random.default_rng(0))
    >>> opened = (np.array([-7, -1, 0, 3, 6]) + truncation.masked(0, pairs)) % 97
    >>> truncation.accepts(opened)
    array([ True,  True,  True,  True,  True])
    >>> truncation.result(opened, pairs)
    array([-2,  0,  0,  1,  1])
    """

    prime: int
    bits: int
    bound: int

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator | None) -> IntArray:
        """Draw r and ``r >> m``, stacked; by default from the operating system's entropy."""
        drawn = (
            random_residues(shape, self.prime)
            if rng is None
            else rng.integers(0, self.prime, shape)
        )
        return np.stack((drawn, drawn >> self.bits))

    def masked(self, shares: IntArray | int, pairs: IntArray) -> IntArray:
        """Give an owner's shares of c, from those of x, and of r and ``r >> m``."""
        masked: IntArray = (shares + self.bound + pairs[0]) % self.prime
        return masked

    def accepts(self, opened: IntArray) -> NDArray[np.bool_]:
        """Tell which c in [0, p) are of sums that did not wrap, as many of each remainder."""
        first = 2 * self.bound
        accepted: NDArray[np.bool_] = (first <= opened) & (opened < first + self._n_accepted)
        return accepted

    def result(self, opened: IntArray, pairs: IntArray) -> IntArray:
        """Give an owner's shares of the result, from c in [0, p), and its shares of the pairs."""
        result: IntArray = (opened >> self.bits) - (self.bound >> self.bits) - pairs[1]
        return result

    @property
    def acceptance(self) -> float:
        """The probability that c is accepted."""
        return self._n_accepted / self.prime

    @property
    def _n_accepted(self) -> int:
        return (self.prime - 2 * self.bound) >> self.bits << self.bits
