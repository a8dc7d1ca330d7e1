"""CodedSketch: estimates of the blocks of a product from fewer answers than it has blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from coded.arguments import read_count
from coded.maps.arrays import Matrix
from coded.places.points import chebyshev_first
from coded.products.blocks import PlacedOperand
from coded.products.matmul_code import MatmulCode
from coded.products.matmul_job import MatmulJob, stacked
from coded.schemes.door import read_responders


class CodedSketchMatmulCode(MatmulCode):
    """Estimate the m x n blocks of C, of which few are large, by coded count sketches.

    A sketch adds row block i of A, with a random sign, to bucket h(i) of b, column block j of B to
    bucket h'(j); as coefficients of polynomials their product has C_ij, signed, in its coefficient
    h(i) + h'(j), together with what else falls there. Worker k evaluates both at one point for
    sketch ``k mod d``, and 2 b - 1 of its answers give all coefficients. The estimate of an entry
    is the median over d sketches: it errs by some ``|C| / sqrt(b)`` over all blocks, and by nothing
    where fewer than half of the sketches have another block that is not 0 in its bucket.

    So d (2 b - 1) workers do, fewer than m n where blocks are many and few are large: **no code for
    exact products**, ``exact`` is False. Where more of them count, any exact code of m n answers is
    better: of 12 x 12 blocks with 5 large ones, 24 buckets and 9 sketches need 423 answers.

    Parameters
    ----------
    m, n : int
        Row blocks of A and column blocks of B, >= 1.
    n_workers : int
        N >= d (2 b - 1).
    n_buckets : int
        b >= 1. Powers up to 2 b - 2 lose digits fast, so that more than some ten are refused.
    n_sketches : int
        d >= 1, odd best.
    rng : int, optional
        Seed of buckets and signs.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    T. Jahani-Nezhad, M. A. Maddah-Ali, "CodedSketch: A Coding Scheme for Distributed Computation
    of Approximated Matrix Multiplication", IEEE Trans. Information Theory 67(6), 2021,
    arXiv:1812.10460: count sketches of both operands whose product is coded by polynomials. Here
    sketches are on workers of their own; the paper codes them together.

    Examples
    --------
    >>> code = CodedSketchMatmulCode(6, 6, 27, n_buckets=3, n_sketches=5)
    >>> code.min_responders, code.grid  # 25 workers would do for 36 blocks
    (27, (6, 1, 6))
    """

    def __init__(
        self,
        m: SupportsIndex,
        n: SupportsIndex,
        n_workers: SupportsIndex,
        *,
        n_buckets: SupportsIndex,
        n_sketches: SupportsIndex,
        rng: SupportsIndex = 0,
    ) -> None:
        rows, columns = read_count(m, "m", at_least=1), read_count(n, "n", at_least=1)
        self.n_buckets = read_count(n_buckets, "n_buckets", at_least=1)
        self.n_sketches = read_count(n_sketches, "n_sketches", at_least=1)
        self._seed = read_count(rng, "rng", at_least=0, at_most=None)
        workers = read_count(n_workers, "n_workers", at_least=1)
        each = 2 * self.n_buckets - 1
        if workers < each * self.n_sketches:
            raise ValueError(
                f"n_workers must be at least n_sketches (2 n_buckets - 1) = "
                f"{each * self.n_sketches}, got {workers}; add workers, or take fewer sketches or "
                "buckets"
            )
        # Whichever answers are missing may all be of the sketch that has the fewest workers.
        needed = workers - (workers // self.n_sketches - each)
        super().__init__((rows, 1, columns), workers, needed)

    @cached_property
    def _drawn(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Buckets and signs of the row blocks, then the column blocks, for each sketch."""
        rng = np.random.default_rng(self._seed)
        shape = (self.n_sketches, self.grid[0] + self.grid[2])
        return rng.integers(0, self.n_buckets, shape), 2 * rng.integers(0, 2, shape) - 1

    def _encoders(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        bucket, sign = self._drawn
        place, sketch = np.divmod(np.arange(self.n_workers), self.n_sketches)
        sizes = np.bincount(sketch)
        points = np.array(
            [chebyshev_first(int(sizes[t]))[i] for i, t in zip(place, sketch, strict=True)]
        )
        weights = sign[sketch] * points[:, None] ** bucket[sketch]
        m = self.grid[0]
        return weights[:, None, :m], weights[:, None, m:]

    @cached_property
    def _wanted(self) -> Matrix:
        """T: what each sketch tells of each block, which is the signed sum of its bucket."""
        bucket, sign = self._drawn
        m = self.grid[0]
        of = (bucket[:, :m, None] + bucket[:, None, m:]).reshape(self.n_sketches, -1)
        signed = (sign[:, :m, None] * sign[:, None, m:]).reshape(self.n_sketches, -1)
        together = of[:, :, None] == of[:, None, :]
        wanted: Matrix = np.where(together, signed[:, :, None] * signed[:, None, :], 0.0)
        return wanted.reshape(-1, of.shape[1])

    def prepare(self, a: Any, b: Any) -> CodedSketchJob:
        """Encode the operands that were not placed before; see `MatmulCode.prepare`."""
        return CodedSketchJob(self, *self._operands(a, b))

    def __repr__(self) -> str:
        """One line that could be typed."""
        m, _, n = self.grid
        rng = f", rng={self._seed}" if self._seed else ""
        return (
            f"CodedSketchMatmulCode({m}, {n}, {self.n_workers}, n_buckets={self.n_buckets}, "
            f"n_sketches={self.n_sketches}{rng})"
        )


class CodedSketchJob(MatmulJob):
    """One estimate; made by ``code.prepare``, used once."""

    def __init__(
        self, code: CodedSketchMatmulCode, left: PlacedOperand, right: PlacedOperand
    ) -> None:
        super().__init__(code, left, right)
        self._n_sketches = code.n_sketches

    def exact_mask(self, responders: NDArray[np.intp]) -> NDArray[np.bool_]:  # noqa: ARG002
        """No answers make it exact."""
        return np.array(False)  # noqa: FBT003 (no flag)

    def decode(self, answers: Sequence[Any], responders: NDArray[np.intp]) -> Any:
        """Put the medians of all sketches together."""
        workers = read_responders(responders, self._code.n_workers)
        self._code.require_enough(workers, self._dtype)
        (m, _, n), (height, width) = self._code.grid, self._longest[-2:]
        told = self._mix(self._code.decoder(workers), stacked(answers))
        medians = np.median(told.reshape(self._n_sketches, m, n, height, width), axis=0)
        product = np.ascontiguousarray(medians.swapaxes(1, 2)).reshape(m * height, n * width)
        return self._cropped(product)
