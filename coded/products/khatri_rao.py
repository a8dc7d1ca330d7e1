"""Systematic random Khatri-Rao codes: the blocks of C themselves, and random mixtures."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from coded.maps.arrays import Matrix
from coded.products.matmul_code import MatmulCode, read_grid

_WORK = 200_000  # minors that the choice of a seed may look at, about half a second
_MOST_SEEDS = 1000


class KhatriRaoMatmulCode(MatmulCode):
    """Code A by rows and B by columns, m x n blocks; any m n answers give C.

    The first m n workers multiply blocks as they are, and what they answer is a block of C bit
    for bit; each of the others multiplies a random mixture of A's blocks by one of B's. So
    encoding and decoding cost little, and only where workers are lost. Of several seeds that is
    taken whose worst set of m n answers amplifies errors least, found exactly: by the minors of
    the mixtures' rows while these are few.

    Errors of mixtures are amplified more than `RotationMatmulCode` does, the more workers may be
    lost: for float32 use it with up to two spare workers, else in float64. At 2000 x 2000 encoding
    and decoding alone take longer than a worker's task, and a process that computes lost blocks
    itself, if it is idle, is faster on the mean than any code of two operands (the table in
    coded/README.md). The share falls as 1 / side.

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
    A. M. Subramaniam, A. Heidarzadeh, K. R. Narayanan, "Random Khatri-Rao-Product Codes for
    Numerically-Stable Distributed Matrix Multiplication", Allerton 2019, arXiv:1907.05965.

    Examples
    --------
    >>> code = KhatriRaoMatmulCode(2, 2, 6)
    >>> code.min_responders, code.amplification([0, 1, 2, 3])
    (4, 1.0)
    >>> code.amplification([0, 3, 4, 5]) < 20.0
    True
    """

    def __init__(self, m: SupportsIndex, n: SupportsIndex, n_workers: SupportsIndex) -> None:
        rows, columns, workers = read_grid(n_workers=n_workers, m=m, n=n)
        super().__init__((rows, 1, columns), workers, rows * columns)

    def _encoders(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        m, _, n = self.grid
        left, right = _best_mixtures(m, n, self.n_workers - m * n)
        plain_left, plain_right = np.repeat(np.eye(m), n, axis=0), np.tile(np.eye(n), (m, 1))
        return np.concatenate([plain_left, left])[:, None], np.concatenate([plain_right, right])[
            :, None
        ]

    def __repr__(self) -> str:
        """One line that could be typed."""
        m, _, n = self.grid
        return f"KhatriRaoMatmulCode({m}, {n}, {self.n_workers})"


@cache
def _best_mixtures(m: int, n: int, spare: int) -> tuple[Matrix, Matrix]:
    """Draw mixtures for `spare` workers, of the seeds tried the one with the least worst case."""
    minors = sum(math.comb(spare, t) * math.comb(m * n, t) for t in range(1, spare + 1))
    n_seeds = min(_WORK // max(minors, 1), _MOST_SEEDS)
    if n_seeds < 2:
        return _mixtures(m, n, spare, 0)
    drawn = [_mixtures(m, n, spare, seed) for seed in range(n_seeds)]
    worst = [worst_amplification(_products(*mixtures)) for mixtures in drawn]
    return drawn[int(np.argmin(worst))]


def _mixtures(m: int, n: int, spare: int, seed: int) -> tuple[Matrix, Matrix]:
    """Draw unit vectors for A's and B's blocks, the same on every machine, always."""
    # Raw bits: numpy promises that they stay as they are, unlike the draws made from them.
    raw = np.random.PCG64(seed).random_raw(2 * spare * (m + n)) / 2.0**64
    radius = np.sqrt(-2.0 * np.log1p(-raw[0::2]))
    normal = (radius * np.cos(2.0 * np.pi * raw[1::2])).reshape(spare, m + n)
    left, right = normal[:, :m], normal[:, m:]
    return (
        left / np.linalg.norm(left, axis=1, keepdims=True),
        right / np.linalg.norm(right, axis=1, keepdims=True),
    )


def _products(left: Matrix, right: Matrix) -> Matrix:
    products: Matrix = np.einsum("sx,sy->sxy", left, right)
    return products.reshape(len(left), left.shape[1] * right.shape[1])


def worst_amplification(parity: Matrix) -> float:
    """Give the worst amplification of all sets of exactly R answers of ``G = [I; parity]``.

    Where t of the R plain answers are lost, t parity rows stand for them: the lost are
    ``M^-1 (y_parity - parity_kept y_kept)``, M the minor of these rows and the lost columns.

    Parameters
    ----------
    parity : ndarray, shape (spare rows, R)

    Returns
    -------
    float
        inf where a minor is singular.
    """
    spare, columns = parity.shape
    worst = 1.0
    for t in range(1, min(spare, columns) + 1):
        lost = np.array(list(itertools.combinations(range(columns), t)))
        for rows in itertools.combinations(range(spare), t):
            minors = parity[list(rows)][:, lost].swapaxes(0, 1)
            try:
                inverse = np.linalg.inv(minors)
            except np.linalg.LinAlgError:
                return float(np.inf)
            kept = np.abs(inverse @ parity[list(rows)])
            np.put_along_axis(kept, np.repeat(lost[:, None], t, axis=1), 0.0, axis=2)
            amplified = np.abs(inverse).sum(axis=2) + kept.sum(axis=2)
            worst = max(worst, float(amplified.max()))
    return worst
