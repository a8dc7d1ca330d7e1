"""Polynomial and entangled polynomial codes modulo a prime: products of integers, exactly."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from math import inf
from typing import Any, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from coded.algebra.prime_field import (
    LARGEST_PRIME,
    IntArray,
    balanced,
    product,
    read_prime,
    solve,
    vandermonde,
)
from coded.algebra.reed_solomon import check_matrix, locate_wrong_rows
from coded.products.blocks import PlacedOperand, cut
from coded.products.entangled import powers, read_sides
from coded.products.matmul_code import MatmulCode
from coded.products.matmul_job import MatmulJob
from coded.products.multiply import multiply_residues, multiply_right
from coded.products.residues import ResidueSums, read_residues
from coded.schemes.door import read_responders
from coded.schemes.integers import read_integers
from coded.schemes.protocol import InconsistentAnswersError, Responders
from fastspline.arrays import Restore, read_only


class FieldMatmulCode(MatmulCode):
    """Code integers by m x p blocks of A and p x n of B, exactly; any p m n + p - 1 answers give C.

    The polynomial code, with p > 1 the entangled one, at the points 0, ..., N - 1 of the field of
    integers modulo a prime: nothing is rounded, whatever the grid. Block (k, j) of A gets the
    power j + k p, block (j, l) of B the power p - 1 - j + l p m, and block (k, l) of C is the
    coefficient of the power p - 1 + k p + l p m of what workers answer. s answers more than are
    needed tell who of up to ``floor(s / 2)`` workers lied, whatever they answered.

    **Numbers.** Operands are integers in (-prime, prime), C in [-(prime - 1) / 2, (prime - 1) / 2]:
    A B itself where that lies in this range, as it does if ``s max |a| max |b|`` is at most
    `headroom`, s the inner dimension; else what is congruent to it. `amplification` and
    `condition` are 1 where answers suffice, for errors that do not exist do not grow, else inf.

    Parameters
    ----------
    m, n : int
        Row blocks of A and column blocks of B, >= 1.
    n_workers : int
        N >= p m n + p - 1.
    p : int, optional
        Blocks of the inner dimension, >= 1.
    prime : int, optional
        Odd, at least N, and at most 2^31 - 1, the default.

    Raises
    ------
    TypeError
        If a count or the prime is no integer.
    ValueError
        If a count is out of range, or `prime` no such prime.

    References
    ----------
    Q. Yu, M. A. Maddah-Ali, A. S. Avestimehr, "Polynomial Codes: an Optimal Design for
    High-Dimensional Coded Matrix Multiplication", NeurIPS 2017, arXiv:1705.10464, equations 8 to
    13.
    Q. Yu, M. A. Maddah-Ali, A. S. Avestimehr, "Straggler Mitigation in Distributed Matrix
    Multiplication: Fundamental Limits and Optimal Coding", IEEE Trans. Information Theory 66(3),
    2020, arXiv:1801.07487, equations 17 to 19 and theorem 1.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from coded import coded_matmul
    >>> code = FieldMatmulCode(2, 2, 6)
    >>> a, b = np.arange(-8, 8).reshape(4, 4), 1000 * np.eye(4, dtype=int)
    >>> with ThreadPoolExecutor() as pool:
    ...     coded_matmul(a, b, code, pool).outputs[0]
    array([-8000, -7000, -6000, -5000])
    """

    def __init__(
        self,
        m: SupportsIndex,
        n: SupportsIndex,
        n_workers: SupportsIndex,
        *,
        p: SupportsIndex = 1,
        prime: SupportsIndex = LARGEST_PRIME,
    ) -> None:
        grid, workers, needed = read_sides(m, n, n_workers, p)
        self.prime = read_prime(prime, "prime", at_least=max(3, workers))
        super().__init__(grid, workers, needed)

    @property
    def headroom(self) -> int:
        """Largest magnitude of numbers of C, (prime - 1) / 2; larger ones wrap around."""
        return (self.prime - 1) // 2

    def _encoders(self) -> tuple[NDArray[Any], NDArray[Any]]:
        points, (of_a, of_b, _) = np.arange(self.n_workers), powers(self.grid)
        residues = vandermonde(points, self.min_responders, self.prime)
        return residues[:, None, of_a], residues[:, None, of_b]

    @property
    def generator(self) -> NDArray[Any]:
        """G, residues, shape (N, 1, m p p n): answers by products of two blocks; read-only."""
        return read_only(super().generator % self.prime)

    def can_decode(self, responders: ArrayLike, *, dtype: DTypeLike = np.int64) -> bool:  # noqa: ARG002
        """Tell whether there are p m n + p - 1 answers; see `MatmulCode.can_decode`."""
        return len(read_responders(responders, self.n_workers)) >= self.min_responders

    def amplification(self, responders: ArrayLike) -> float:
        """Give 1 where these answers suffice, else inf: nothing is rounded."""
        return 1.0 if self.can_decode(responders) else inf

    def condition(self, responders: ArrayLike) -> float:
        """Give 1 where these answers suffice, else inf: nothing is rounded."""
        return self.amplification(responders)

    def whole(self, fn: Any, a: Any, b: Any) -> Any:  # noqa: ARG002 (workers multiply modulo p)
        """Give the product without workers, modulo the prime."""
        (left, restore), (right, _) = self._residues(a, "a"), self._residues(b, "b")
        columns = right if right.ndim == 2 else right[:, None]
        found: NDArray[Any] = product(left, columns, self.prime, lowest=-self.headroom)
        return restore(found if right.ndim == 2 else found[:, 0])

    def prepare(self, a: Any, b: Any) -> FieldMatmulJob:
        """Encode the operands that were not placed before; see `MatmulCode.prepare`.

        Parameters
        ----------
        a, b : array_like of int, shapes (r, s) and (s, c) or (s,), or PlacedOperand
            Numpy arrays or torch tensors of integers in (-prime, prime).

        Returns
        -------
        Job
            Its ``decode`` gives C, int64, in the kind of array of `a` and `b`.

        Raises
        ------
        TypeError, ValueError
            If they are no matrices of such integers that can be multiplied, and cut by the grid.
        """
        return FieldMatmulJob(self, *self._operands(a, b))

    def _encode(
        self, operand: Any, name: str, *, right: bool, copied: bool = False
    ) -> PlacedOperand:
        m, p, n = self.grid
        grid = (p, n) if right else (m, p)
        blocks = cut(operand, name, grid, right=right, copied=copied, read=self._residues)
        rows: NDArray[Any] = blocks.array.reshape(len(blocks.array), -1)
        mixed = product(self.encoding_matrices[right][:, 0], rows, self.prime)
        return PlacedOperand(self, blocks, list(mixed.reshape(-1, *blocks.inner)), right=right)

    def _residues(self, values: ArrayLike, name: str) -> tuple[NDArray[Any], Restore]:
        """Read integers in (-prime, prime)."""
        array, restore = read_integers(values, name, "KhatriRaoMatmulCode")
        low, high = int(array.min(initial=0)), int(array.max(initial=0))
        if max(high, -low) >= self.prime:
            raise ValueError(
                f"{name} must hold integers in (-{self.prime}, {self.prime}), got "
                f"{high if high >= self.prime else low}; reduce it modulo the prime"
            )
        return array, restore

    def decoder(self, responders: Responders) -> NDArray[Any]:
        """Give D, residues, shape (blocks of C, answers): 0 for answers beyond those needed."""
        *_, of_c = powers(self.grid)
        decoder = np.zeros((len(of_c), len(responders)), np.int64)
        used = responders[: self.min_responders]
        decoder[:, : len(used)] = _interpolation(used, tuple(of_c.tolist()), self.prime)
        return decoder

    def need(self, responders: Responders, dtype: np.dtype[Any]) -> str:  # noqa: ARG002
        """Say what answers that do not suffice lack, in words that follow "needs"."""
        return f"any {self.min_responders} answers"

    def liars(self, answers: NDArray[Any], responders: Responders) -> Responders:
        """Tell whose answers lie on no polynomial with the others', half the spare ones at most.

        Raises InconsistentAnswersError where these are more.
        """
        points = np.array(responders)
        check = check_matrix(points, self.min_responders, self.prime)
        rows = locate_wrong_rows(points, answers, check, self.prime)
        if rows is not None:
            return tuple(points[rows].tolist())
        raise InconsistentAnswersError(
            f"{len(responders)} answers contradict each other, and more of them than "
            f"{len(check) // 2} are wrong: check that workers multiply modulo {self.prime}; wait "
            "for 2 more answers per liar, or pass verify=True, by which each is checked by itself",
            residual=inf,
            suspects=(),
        )

    def __repr__(self) -> str:
        """One line that could be typed."""
        m, p, n = self.grid
        inner = f", p={p}" if p > 1 else ""
        prime = "" if self.prime == LARGEST_PRIME else f", prime={self.prime}"
        return f"FieldMatmulCode({m}, {n}, {self.n_workers}{inner}{prime})"


class FieldMatmulJob(MatmulJob):
    """One product of integers; made by ``code.prepare``, used once."""

    def __init__(self, code: FieldMatmulCode, left: PlacedOperand, right: PlacedOperand) -> None:
        super().__init__(code, left, right)
        self._prime = code.prime
        self._sums: list[ResidueSums] | None = None

    def function(self, worker: int, fn: Any) -> Any:  # noqa: ARG002 (``@`` would overflow)
        """Give the product modulo the prime."""
        modulo: Callable[..., Any] = partial(multiply_residues, prime=self._prime)
        if self._left.stays:
            return self._left.placed.function(worker, modulo)
        if self._right.stays:
            return self._right.placed.function(worker, partial(multiply_right, modulo))
        return modulo

    def verify(self) -> None:
        """Have each answer checked by itself, from now on."""
        self._sums = [
            ResidueSums(a, b, self._prime)
            for a, b in zip(self._left.shares, self._right.shares, strict=True)
        ]

    def read(self, worker: int, answer: Any) -> tuple[Hashable, Any]:
        """Give an answer as residues; ValueError if it is not of this product."""
        residues = read_residues(answer, self._longest, self._prime)
        if self._sums is not None:
            self._sums[worker].require(residues)
        return self._longest, residues

    def decode(self, answers: Sequence[Any], responders: NDArray[np.intp]) -> Any:
        """Put C together, of numbers of least magnitude."""
        return balanced(super().decode(answers, responders), self._prime)

    def _mix(self, decoder: Any, answers: Any) -> Any:
        """Multiply answers, rows, by rows of the decoder."""
        return product(decoder, answers, self._prime)


@lru_cache(maxsize=256)
def _interpolation(points: Responders, wanted: tuple[int, ...], prime: int) -> IntArray:
    """Give the matrix from a polynomial's values at as many points to some of its coefficients."""
    matrix = vandermonde(np.array(points), len(points), prime).T
    unit = np.eye(len(points), dtype=np.int64)[:, list(wanted)]
    found = cast(IntArray, solve(matrix, unit, prime))  # there is one, for points differ
    return read_only(np.ascontiguousarray(found.T))
