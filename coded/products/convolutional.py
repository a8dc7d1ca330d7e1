"""Convolutional codes: blocks as they are, and sums of blocks shifted by sub-blocks."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from coded.algebra.linear_decoder import least_norm_decoder
from coded.arguments import read_count
from coded.maps.arrays import Matrix
from coded.products.matmul_code import MatmulCode, read_grid

_MOST_NUMBERS = 2**23  # of the generator, which decoders are made of


class ConvolutionalMatmulCode(MatmulCode):
    """Code A by rows and B by columns, m x n blocks, by shifted sums; any m n answers give C.

    The first m n workers multiply blocks as they are. Each block is cut into sub-blocks, and of the
    other workers the t-th gets the sum of A's blocks, block i shifted by i t sub-blocks, and that
    of B's. Shifted sums are longer, so that later workers have more to do: of A, q sub-blocks
    become ``q + t (m - 1)``, of which the longest determines `load`. Their answers are filled up
    with zeros when they come.

    Coefficients of the sums are 1, which costs additions alone, and whose condition number grows
    with the sub-blocks, or random, with which it stays below a bound for any number of these.
    `KhatriRaoMatmulCode` sends equally much to all; to compare with.

    Parameters
    ----------
    m, n : int
        Row blocks of A and column blocks of B, >= 1.
    n_workers : int
        N >= m n.
    sub_blocks : (int, int)
        Into how many each block of A, and of B, is cut, >= 1. With (N - m n - 1) (m - 1) the
        longest sums of A's blocks are as long as two blocks.
    rng : int, optional
        Seed of normal coefficients; None: all are 1.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range, or sub-blocks are so many that decoders would fill the memory.

    References
    ----------
    A. B. Das, A. Ramamoorthy, N. Vaswani, "Efficient and Robust Distributed Matrix Computations
    via Convolutional Coding", IEEE Trans. Information Theory 67(9), 2021, arXiv:1907.08064, with
    random coefficients as in "Random Convolutional Coding for Robust and Straggler Resilient
    Distributed Matrix Computation" of the same authors.

    Examples
    --------
    >>> code = ConvolutionalMatmulCode(2, 1, 4, sub_blocks=(3, 1))
    >>> a, b = np.arange(1.0, 7.0)[:, None], np.ones((1, 1))
    >>> [share.ravel().tolist() for share, _ in code.prepare(a, b).payloads[2:]]
    [[5.0, 7.0, 9.0], [1.0, 6.0, 8.0, 6.0]]
    """

    def __init__(
        self,
        m: SupportsIndex,
        n: SupportsIndex,
        n_workers: SupportsIndex,
        *,
        sub_blocks: tuple[SupportsIndex, SupportsIndex],
        rng: SupportsIndex | None = None,
    ) -> None:
        self._m, self._n, workers = read_grid(n_workers=n_workers, m=m, n=n)
        try:
            of_a, of_b = sub_blocks
        except (TypeError, ValueError) as error:
            raise TypeError(f"sub_blocks must be two integers, got {sub_blocks!r}") from error
        self._cuts = tuple(
            read_count(cuts, f"sub_blocks[{i}]", at_least=1) for i, cuts in enumerate((of_a, of_b))
        )
        self._seed = None if rng is None else read_count(rng, "rng", at_least=0, at_most=None)
        rows, columns = self._m * self._cuts[0], self._n * self._cuts[1]
        longest = _length(self._m, self._cuts[0], workers - self._m * self._n)
        longest *= _length(self._n, self._cuts[1], workers - self._m * self._n)
        if workers * longest * rows * columns > _MOST_NUMBERS:
            raise ValueError(
                f"sub_blocks must be so few that the {workers} x {longest} answers by {rows} x "
                f"{columns} products of sub-blocks are at most {_MOST_NUMBERS:,} numbers, of which "
                f"decoders are made, got {self._cuts}; cut into fewer"
            )
        super().__init__((rows, 1, columns), workers, self._m * self._n)

    def _encoders(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        m, n = self._m, self._n
        spare = self.n_workers - m * n
        rng = None if self._seed is None else np.random.default_rng(self._seed)
        plain, shifted = zip(
            *(
                _shifts(count, cuts, spare, rng)
                for count, cuts in zip((m, n), self._cuts, strict=True)
            ),
            strict=True,
        )
        left = np.concatenate([np.repeat(plain[0], n, axis=0), shifted[0]])
        return left, np.concatenate([np.tile(plain[1], (m, 1, 1)), shifted[1]])

    def _solve(self, rows: Matrix) -> Matrix:
        """Take blocks that were answered as they are, and solve for the lost ones alone.

        The sub-blocks are many, those lost few: 720 and 180 for 16 blocks and 20 workers.
        """
        single = np.flatnonzero((np.count_nonzero(rows, axis=1) == 1) & (rows.max(axis=1) == 1.0))
        where, first = np.unique(rows[single].argmax(axis=1), return_index=True)
        is_plain, is_lost = np.zeros(len(rows), bool), np.ones(rows.shape[1], bool)
        is_plain[single[first]] = True
        is_lost[where] = False
        decoder = np.zeros((rows.shape[1], len(rows)))
        decoder[where, single[first]] = 1.0
        sums = rows[~is_plain]
        unknown = np.eye(int(np.count_nonzero(is_lost)))
        lost = least_norm_decoder(sums[:, is_lost], unknown) if len(sums) else unknown[:, :0]
        decoder[np.ix_(is_lost, ~is_plain)] = lost
        decoder[np.ix_(np.flatnonzero(is_lost), single[first])] = -(lost @ sums[:, where])
        return decoder

    def __repr__(self) -> str:
        """One line that could be typed."""
        rng = "" if self._seed is None else f", rng={self._seed}"
        return (
            f"ConvolutionalMatmulCode({self._m}, {self._n}, {self.n_workers}, "
            f"sub_blocks={self._cuts}{rng})"
        )


def _length(count: int, cuts: int, spare: int) -> int:
    """Give the sub-blocks of the longest sum."""
    return cuts + max(spare - 1, 0) * (count - 1)


def _shifts(
    count: int, cuts: int, spare: int, rng: np.random.Generator | None
) -> tuple[Matrix, Matrix]:
    """Give the blocks, and the shifted sums, by their sub-blocks: rows beyond a length are 0."""
    longest = _length(count, cuts, spare)
    plain = np.zeros((count, longest, count, cuts))
    shifted = np.zeros((spare, longest, count, cuts))
    coefficients = np.ones((spare, count))
    if rng is not None and count > 1:
        coefficients = rng.normal(size=(spare, count))
    place = np.arange(cuts)
    for i in range(count):
        plain[i, place, i, place] = 1.0
        for t in range(spare):
            shifted[t, place + i * t, i, place] = coefficients[t, i]
    shape = (longest, count * cuts)
    return plain.reshape(count, *shape), shifted.reshape(spare, *shape)
