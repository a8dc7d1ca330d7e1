"""Answers modulo a prime: read as residues, and checked to be products of the worker's blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from coded.algebra.prime_field import IntArray, product, random_residues, reduced
from coded.schemes.integers import read_integers

_UNSEEN_BITS = 40  # a wrong answer passes the checks once in 2^40 times at most


def read_residues(answer: Any, shape: tuple[int, ...], prime: int) -> IntArray:
    """Give an answer as residues; TypeError or ValueError if it is no such block of integers."""
    array, _ = read_integers(answer, "answer")
    if array.shape != shape:
        raise ValueError(f"answer has shape {array.shape}, but the blocks' product {shape}")
    residues: IntArray = reduced(array, prime)
    return residues


class ResidueSums:
    """Random sums of the columns of one worker's product: ``Y v = A (B v)``, modulo the prime.

    A wrong answer satisfies that with probability 1 / prime a column v; there are as many as make
    it once in 2^40 times.

    Parameters
    ----------
    a, b : ndarray of int64, shapes (r, s) and (s, c)
    prime : int

    References
    ----------
    R. Freivalds, "Probabilistic machines can use less running time", IFIP Congress 1977.
    """

    def __init__(self, a: IntArray, b: IntArray, prime: int) -> None:
        count = -(-_UNSEEN_BITS // (prime.bit_length() - 1))
        self._prime = prime
        self._weights = random_residues((b.shape[1], count), prime)  # that no worker knows
        self._sums = product(a, product(b, self._weights, prime), prime)

    def require(self, answer: IntArray) -> None:
        """Raise ValueError unless the sums are those of the product."""
        if not np.array_equal(product(answer, self._weights, self._prime), self._sums):
            raise ValueError(
                f"answer is not the product of the worker's blocks modulo {self._prime}: its "
                "checksums are not theirs"
            )
