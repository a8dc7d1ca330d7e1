"""Batched coupon collector: each worker draws one batch of parts, without asking the others."""

from __future__ import annotations

import numpy as np

from coded.arguments import read_count
from coded.gradients.gradient_code import GradientCode
from coded.schemes.protocol import Responders
from coded.seeds import derived

_DRAWS = 10_000


class BatchedCouponCode(GradientCode):
    """Sum L batches, of which each of N workers has drawn one, once each came from somebody.

    Parts are the batches. Workers draw theirs at random, each for itself, so that a worker joins
    or leaves without others moving data; an answer is the sum over its batch, as it is. Where
    workers answer in random order, and there are many, ``L (1 + 1/2 + ... + 1/L)`` answers come
    until all L batches are there in the mean (`expected_answers`), against at least L, whatever
    the code.

    Draws are repeated until each batch is at s + 1 workers at least, so that any s may be lost;
    the mean number of copies is N / L, and should be larger by a margin.

    Where somebody deals the data out, `FractionalRepetitionCode` is this code with as many copies
    of each batch: it needs fewer answers, as no batch has few copies, and less work for the same s.

    Parameters
    ----------
    n_workers : int
        N >= 1.
    n_batches : int
        L, in [1, N / (s + 1)]: there are so many parts.
    n_stragglers : int
        s, in [0, N - 1]: so many may be lost at least; `n_stragglers` of the code tells how many.
    rng : int or Generator, optional
        Seed of the draws.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range, or 10,000 draws had a batch at fewer than s + 1 workers.

    References
    ----------
    S. Li, S. M. Mousavi Kalan, A. S. Avestimehr, M. Soltanolkotabi, "Near-Optimal Straggler
    Mitigation for Distributed Gradient Methods", 2017, arXiv:1710.09990, Theorem 1.

    Examples
    --------
    >>> code = BatchedCouponCode(12, 4, 1)
    >>> code.load, code.min_responders, round(code.expected_answers, 3)
    (1, 11, 8.333)
    >>> code.can_decode([0, 1, 2])
    False
    """

    def __init__(
        self,
        n_workers: int,
        n_batches: int,
        n_stragglers: int,
        *,
        rng: int | np.random.Generator = 0,
    ) -> None:
        n = read_count(n_workers, "n_workers", at_least=1)
        s = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=n - 1)
        most = n // (s + 1)
        n_batches = read_count(n_batches, "n_batches", at_least=1, at_most=most)
        generator = derived(rng)
        for _ in range(_DRAWS):
            drawn = generator.integers(n_batches, size=n)
            fewest = int(np.bincount(drawn, minlength=n_batches).min())
            if fewest > s:
                break
        else:
            raise ValueError(
                f"n_batches={n_batches} must leave each batch to {s + 1} of {n} workers, and in "
                f"{_DRAWS:,} draws one was at fewer; take fewer batches, or "
                "FractionalRepetitionCode, which deals them out"
            )
        super().__init__(np.eye(n_batches)[drawn], fewest - 1)

    @property
    def expected_answers(self) -> float:
        """How many answers come until all batches are there: the mean for very many workers."""
        count = self.n_parts
        return float(count * np.sum(1.0 / np.arange(1, count + 1)))

    def __repr__(self) -> str:
        """One line."""
        return f"BatchedCouponCode({self.n_workers}, {self.n_parts}, {self.n_stragglers})"

    def _lack(self, responders: Responders) -> str:
        came = self._matrix[list(responders)].any(axis=0)
        missing = np.flatnonzero(~came).tolist()
        return (
            f"each of its {self.n_parts} batches once, and {len(missing)} did not come: "
            f"{', '.join(map(str, missing[:8]))}"
        )
