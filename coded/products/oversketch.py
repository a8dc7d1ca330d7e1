"""OverSketch: an estimate of the product from random sketches of its inner dimension."""

from __future__ import annotations

from math import inf
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from coded.arguments import read_count
from coded.products.blocks import PlacedOperand, cut
from coded.products.matmul_code import MatmulCode
from coded.products.matmul_job import MatmulJob
from coded.schemes.door import read_responders, refuse_gradient
from coded.schemes.protocol import Responders


class OverSketchMatmulCode(MatmulCode):
    """Estimate A B by the mean of sketched products; any N - s answers give an estimate.

    Worker i multiplies ``A S_i`` by ``S_i^T B``, S_i a count sketch: each of the d columns of A is
    added to one of b columns, drawn at random, with a random sign. Its answer is A B on the mean
    over sketches, and so is the mean of F answers, with the error

        E || mean - A B ||^2 = (|A|^2 |B|^2 + |A B|^2 - 2 sum_k |a_k|^2 |b_k|^2) / (F b),

    in Frobenius norms, a_k the columns of A and b_k the rows of B. Of matrices without structure
    that is as much as A B itself unless F b exceeds d: **no code for exact products**, and
    ``exact`` of its results is False. For what may be rough, as a Hessian is: see
    `sketched_newton_step`.

    Sketches are drawn once and for all by `rng`, so that operands can be placed; a new code with
    another `rng` has new ones.

    Parameters
    ----------
    n_columns : int
        b >= 1, of each sketch; a worker computes b / d of the product.
    n_workers : int
        N, sketches, one each.
    n_stragglers : int, optional
        s in [0, N): so many answers may be missing.
    rng : int, optional
        Seed of the sketches.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    V. Gupta, S. Wang, T. Courtade, K. Ramchandran, "OverSketch: Approximate Matrix Multiplication
    for the Cloud", IEEE Big Data 2018, arXiv:1811.02653, algorithm 1, without its tiles of A B;
    the error is exact, where theorem 4.1 bounds it.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from coded import coded_matmul
    >>> a = np.random.default_rng(0).normal(size=(3, 1000))
    >>> with ThreadPoolExecutor() as pool:
    ...     result = coded_matmul(a, a.T, OverSketchMatmulCode(200, 12, n_stragglers=2), pool)
    >>> bool(result.exact), bool(np.abs(result.outputs - a @ a.T).max() < 100)
    (False, True)
    """

    def __init__(
        self,
        n_columns: SupportsIndex,
        n_workers: SupportsIndex,
        *,
        n_stragglers: SupportsIndex = 0,
        rng: SupportsIndex = 0,
    ) -> None:
        self.n_columns = read_count(n_columns, "n_columns", at_least=1)
        workers = read_count(n_workers, "n_workers", at_least=1)
        spare = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=workers - 1)
        self._seed = read_count(rng, "rng", at_least=0, at_most=None)
        super().__init__((1, 1, 1), workers, workers - spare)

    @property
    def load(self) -> float:
        """Give nan: it is b / d, and d, the inner dimension, is the operands'."""
        return float(np.nan)

    def _encoders(self) -> tuple[NDArray[Any], NDArray[Any]]:
        ones = np.ones((self.n_workers, 1, 1))  # of answers whose mean is taken
        return ones, ones

    def can_decode(self, responders: ArrayLike, *, dtype: DTypeLike = np.float64) -> bool:  # noqa: ARG002
        """Tell whether there are N - s answers; see `MatmulCode.can_decode`."""
        return len(read_responders(responders, self.n_workers)) >= self.min_responders

    def amplification(self, responders: ArrayLike) -> float:
        """Give 1 where these answers suffice, else inf: a mean amplifies nothing."""
        return 1.0 if self.can_decode(responders) else inf

    def prepare(self, a: Any, b: Any) -> SketchedJob:
        """Sketch the operands that were not placed before; see `MatmulCode.prepare`."""
        return SketchedJob(self, *self._operands(a, b))

    def _encode(
        self, operand: Any, name: str, *, right: bool, copied: bool = False
    ) -> PlacedOperand:
        refuse_gradient(operand, name, self)
        blocks = cut(operand, name, (1, 1), right=right, copied=copied)
        whole, inner = blocks.array[0], blocks.inner[0 if right else 1]
        shares = []
        for n in range(self.n_workers):
            sketch = self._sketch(n, inner, whole.dtype)
            sketched = sketch @ whole if right else (sketch @ whole.T).T
            shares.append(blocks.restore(np.ascontiguousarray(sketched)))
        return PlacedOperand(self, blocks, shares, right=right)

    def _sketch(self, worker: int, inner: int, dtype: np.dtype[Any]) -> Any:
        """Make the transpose of a worker's sketch, sparse, shape (b, d)."""
        from scipy.sparse import csr_array

        column, sign = self._draw(worker, inner)
        shape = (self.n_columns, inner)
        return csr_array((sign.astype(dtype), (column, np.arange(inner))), shape=shape)

    def _draw(self, worker: int, inner: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw to which column each of the inner dimension is added, and with which sign."""
        rng = np.random.default_rng((self._seed, worker))
        column = rng.integers(0, self.n_columns, inner)
        return column, 2 * rng.integers(0, 2, inner) - 1

    def need(self, responders: Responders, dtype: np.dtype[Any]) -> str:  # noqa: ARG002
        """Say what answers that do not suffice lack, in words that follow "needs"."""
        return f"any {self.min_responders} answers"

    def liars(self, answers: NDArray[Any], responders: Responders) -> Responders:  # noqa: ARG002
        """Tell of nobody: answers of different sketches contradict each other anyway."""
        return ()

    def __repr__(self) -> str:
        """One line that could be typed."""
        spare = f", n_stragglers={self.n_stragglers}" if self.n_stragglers else ""
        rng = f", rng={self._seed}" if self._seed else ""
        return f"OverSketchMatmulCode({self.n_columns}, {self.n_workers}{spare}{rng})"


class SketchedJob(MatmulJob):
    """One estimate; made by ``code.prepare``, used once."""

    def exact_mask(self, responders: NDArray[np.intp]) -> NDArray[np.bool_]:  # noqa: ARG002
        """No answers make it exact."""
        return np.array(False)  # noqa: FBT003 (no flag)
