"""Unbiased codes: weights by how likely each worker is to be missing; right in the mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.gradients.gradient_code import GradientCode
from coded.maps.arrays import LinearMap, Matrix, MatrixMap
from coded.schemes.protocol import Responders
from fastspline.arrays import read_array, read_only, require_finite


class UnbiasedCode(GradientCode):
    """Estimate the sum of the parts without bias, by workers of whom some are lost more often.

    Worker n is missing with probability ``miss[n]``, whatever the others do, and the answers that
    came are added up as they are. So the estimate is right in the mean where
    ``sum_n (1 - miss[n]) B[n, i] = 1`` for each part i. Of all such B on the given assignment,
    that one is taken whose mean squared error, for orthonormal parts, is least: with
    ``o_n = (1 - miss[n]) / miss[n]``, the odds that n answers,

    ``B[n, i] = (1 / miss[n]) / sum_m o_m`` over the workers m that hold part i,

    and the error `expected_residual` is ``sum_i 1 / sum_m o_m``. So a worker that is seldom
    missing counts for more, and one copy at such a worker is worth many at others.

    Steps of stochastic descent want this: errors of each call cancel in the mean, as those of the
    best weights for who answered (`BernoulliCode`, `GraphCode`) do not. The error of one call is
    larger than theirs; it is not 0 even where all answered. Who is missing must be decided apart
    for each worker, as by ``coded_gradient(..., wait_for=N, timeout=...)``; the default, to end
    once N - s have answered, is biased to the fast ones.

    Parameters
    ----------
    assignment : sequence of sequences of int
        The parts that each of N workers holds, counted from 0; each is held by somebody.
    miss : array_like of float, shape (N,)
        The probability that each is missing, in (0, 1).
    n_stragglers : int
        s, in [0, N - 1]: how many answers a call does not wait for.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a part is negative, twice at a worker or at none, a worker holds none, `miss` has not
        one probability a worker, or the count is out of range.

    References
    ----------
    H. Song, W. Choi, "Approximate Gradient Coding for Distributed Learning with Heterogeneous
    Stragglers", NeurIPS 2025, arXiv:2510.22539 (least residual error of unbiased codes).

    Examples
    --------
    Two parts, three workers; the second holds both, and is missing half of the time:

    >>> code = UnbiasedCode([(0,), (0, 1), (1,)], miss=[0.1, 0.5, 0.25], n_stragglers=1)
    >>> code.encoding_matrix.round(3)
    array([[1. , 0. ],
           [0.2, 0.5],
           [0. , 1. ]])
    >>> code.decode_vector([0, 2])
    array([1., 1.])
    >>> round(code.expected_residual, 3)
    0.35
    """

    exact_first: ClassVar[bool] = False
    optimal_decoding: ClassVar[bool] = False

    def __init__(self, assignment: Sequence[ArrayLike], miss: ArrayLike, n_stragglers: int) -> None:
        held = _read_assignment(assignment)
        self._miss = _read_miss(miss, len(held))
        odds = (1.0 - self._miss) / self._miss
        super().__init__(held / self._miss[:, None] / (odds @ held), n_stragglers)
        self._held_odds = odds @ held

    @property
    def miss(self) -> NDArray[np.float64]:
        """The probability that each worker is missing, shape (N,), read-only."""
        return self._miss

    @property
    def expected_residual(self) -> float:
        """The mean of `residual` over who is missing."""
        return float(np.sum(1.0 / self._held_odds))

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take the settings and start without decoders."""
        super().__setstate__(state)
        self._miss = read_only(self._miss)

    def __repr__(self) -> str:
        """One line."""
        return (
            f"UnbiasedCode({self.n_workers} workers, {self.n_parts} parts, miss "
            f"{self._miss.min():g} to {self._miss.max():g}, n_stragglers={self.n_stragglers})"
        )

    def _build_decoder(self, responders: Responders) -> LinearMap:
        return MatrixMap(np.ones((1, len(responders))))

    def _lack(self, responders: Responders) -> str:  # noqa: ARG002 (as of the class)
        return "at least one answer"


def _read_assignment(assignment: Sequence[ArrayLike]) -> Matrix:
    """Give who holds what as zeros and ones, shape (N, parts)."""
    rows = [np.asarray(parts) for parts in assignment]
    if not rows:
        raise ValueError("assignment must hold the parts of at least one worker, got none")
    for n, parts in enumerate(rows):
        if parts.ndim != 1 or not parts.size:
            raise ValueError(
                f"assignment must hold a sequence of parts for each worker, but assignment[{n}] "
                f"has shape {parts.shape}; leave workers without parts out"
            )
        if parts.dtype.kind not in "iu":
            raise TypeError(
                f"assignment must hold integers, but assignment[{n}] has dtype {parts.dtype}; "
                "pass indices of parts"
            )
        if parts.min() < 0 or len(set(parts.tolist())) < parts.size:
            raise ValueError(
                f"assignment must hold indices from 0, each once, but assignment[{n}] is "
                f"{parts.tolist()!s:.60}"
            )
    given = sorted({part for parts in rows for part in parts.tolist()})
    if given[-1] != len(given) - 1:  # not by all indices up to it, which may be very many
        gap = next(i for i, part in enumerate(given) if part != i)
        raise ValueError(
            f"assignment must give each part to a worker, but part {gap} is at none, and "
            f"the largest is {given[-1]}; count the parts from 0 without gaps"
        )
    held = np.zeros((len(rows), len(given)))
    for n, parts in enumerate(rows):
        held[n, parts.astype(np.intp)] = 1.0
    return held


def _read_miss(miss: ArrayLike, n_workers: int) -> NDArray[np.float64]:
    array, _ = read_array(miss, "miss")
    if array.shape != (n_workers,):
        raise ValueError(
            f"miss must have a probability for each of {n_workers} workers, got shape {array.shape}"
        )
    require_finite(array, "miss")
    outside = np.flatnonzero((array <= 0.0) | (array >= 1.0))
    if outside.size:
        raise ValueError(
            f"miss must lie in (0, 1), but miss[{outside[0]}] = {array[outside[0]]:g}; a worker "
            "that is never missing has a small one such as 1e-6, and leave out who always is"
        )
    return read_only(array.astype(np.float64))
