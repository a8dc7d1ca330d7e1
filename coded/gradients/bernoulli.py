"""Bernoulli codes: each worker holds each part by a coin's toss; approximate, whoever is lost."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from coded.arguments import read_count
from coded.gradients.gradient_code import GradientCode
from coded.maps.arrays import Matrix
from coded.schemes.protocol import Responders
from coded.seeds import derived


class BernoulliCode(GradientCode):
    """Estimate the sum of N parts, of which each worker holds each with probability ``load / N``.

    Worker n answers the plain sum of its parts. Of those who answered, the weights a are chosen
    that make ``|a B_F - 1|^2`` least; the sum is exact where that `residual` is 0, and
    `CodedResult.exact` says so.

    With one weight for all answers, ``N / (R load)`` of R of them, the mean squared error is known
    in closed form, ``N (1 - q) / (R q)`` with ``q = load / N``: 4.5 at N = 12, load 3 and 8
    answers. The best weights have 1.6 there. Whose loss costs most is hard to find, as no workers
    hold the same parts.

    Not where every step must be exact, nor where losses are random: there
    `FractionalRepetitionCode` misses less with as many copies, 0.2 in that setting. `GraphCode` has
    as many parts at each worker and copies of each part, and errors known without solving anything.

    Parameters
    ----------
    n_workers : int
        N >= 1, which is the number of parts too.
    n_stragglers : int
        s, in [0, N - 1]: how many answers a call does not wait for.
    load : int
        How many parts a worker holds in the mean, in [1, N]. Who drew none gets one, and who holds
        a part that nobody drew is drawn too.
    rng : int or Generator, optional
        Seed of the draws.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    Z. Charles, D. Papailiopoulos, J. Ellenberg, "Approximate Gradient Coding via Sparse Random
    Graphs", 2017, arXiv:1711.06771, Section 5 (Bernoulli gradient codes; one-step and optimal
    decoding).

    Examples
    --------
    >>> code = BernoulliCode(12, 4, load=3)
    >>> code.can_decode(range(8)), round(code.residual(range(8)), 2)
    (True, 1.51)
    """

    exact_first: ClassVar[bool] = False

    def __init__(
        self,
        n_workers: int,
        n_stragglers: int,
        *,
        load: int,
        rng: int | np.random.Generator = 0,
    ) -> None:
        n = read_count(n_workers, "n_workers", at_least=1)
        load = read_count(load, "load", at_least=1, at_most=n)
        super().__init__(_toss(n, load / n, derived(rng)), n_stragglers)
        self._mean_load = load

    def __repr__(self) -> str:
        """One line."""
        return f"BernoulliCode({self.n_workers}, {self.n_stragglers}, load={self._mean_load})"

    def _lack(self, responders: Responders) -> str:  # noqa: ARG002 (as of the class)
        return "at least one answer"


def _toss(n: int, probability: float, rng: np.random.Generator) -> Matrix:
    """Draw B, and one more entry for each row and column that has none."""
    matrix = (rng.random((n, n)) < probability).astype(np.float64)
    for rows in (matrix, matrix.T):
        empty = np.flatnonzero(~rows.any(axis=1))
        rows[empty, rng.integers(n, size=len(empty))] = 1.0
    return matrix
