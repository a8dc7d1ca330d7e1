"""Codes for C = A B: both operands in blocks, mixed for N workers that each multiply two of them.

Worker n gets ``A~_n = sum_x P[n, x] A_x`` and ``B~_n = sum_y Q[n, y] B_y`` and answers
``A~_n B~_n = sum_xy P[n, x] Q[n, y] A_x B_y``: its row of ``G = P (Khatri-Rao) Q`` times all
products of two blocks. The blocks of C are sums of these, ``C = T z``, and any answers F whose
rows span those of T give them, ``C = D_F y`` with ``D_F G_F = T``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from coded.algebra.consistency import Check
from coded.algebra.linear_decoder import exact_amplification, least_norm_decoder
from coded.algebra.wrong_rows import locate_wrong_rows
from coded.arguments import read_count
from coded.maps.arrays import Matrix
from coded.products.blocks import PlacedOperand, cut, mix, require_multipliable
from coded.products.matmul_job import MatmulJob
from coded.schemes.decoders import Decoders
from coded.schemes.door import read_responders, refuse_gradient
from coded.schemes.exact import LARGEST_AMPLIFICATION, largest_amplification
from coded.schemes.protocol import (
    InconsistentAnswersError,
    NotEnoughRespondersError,
    Responders,
)
from fastspline.arrays import read_only

Grid = tuple[int, int, int]


class Plan(NamedTuple):
    """How the blocks of C come from the answers of one set of responders."""

    decoder: Matrix  # (blocks of C, answers)
    amplification: float
    check: Check


class MatmulCode(ABC):
    """A code for products of two matrices; a family supplies `_encoders`.

    Parameters
    ----------
    grid : (int, int, int)
        (m, p, n): A is cut into m x p blocks, B into p x n, C into m x n. Sides that do not divide
        are filled up with zeros.
    n_workers : int
        N.
    min_responders : int
        R, the recovery threshold: any R answers determine C.
    """

    def __init__(self, grid: Grid, n_workers: int, min_responders: int) -> None:
        self.grid = grid
        self.n_workers = n_workers
        self.min_responders = min_responders
        left, right = self._encoders()
        self._encoding_matrices = read_only(left), read_only(right)
        rows: NDArray[np.float64] = np.einsum("nax,nby->nabxy", left, right)
        per_worker = left.shape[1] * right.shape[1]
        self._generator = read_only(rows.reshape(n_workers, per_worker, -1))
        self._plans: Decoders[Plan] = Decoders()

    def __getstate__(self) -> dict[str, Any]:
        """Give all but the decoders, which hold a lock."""
        return {name: value for name, value in vars(self).items() if name != "_plans"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the settings and start without decoders."""
        vars(self).update(state)
        self._plans = Decoders()

    @property
    def n_stragglers(self) -> int:
        """How many answers may be missing, whichever they are."""
        return self.n_workers - self.min_responders

    @property
    def load(self) -> float:
        """What a worker computes, as a share of the whole product."""
        (left, right), (m, p, n) = self.encoding_matrices, self.grid
        return float(left.shape[1] * right.shape[1] / (m * p * n))

    @property
    def encoding_matrices(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """P and Q, shapes (N, blocks a worker, m p) and (N, blocks a worker, p n); read-only."""
        return self._encoding_matrices

    @abstractmethod
    def _encoders(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Make P and Q."""

    @property
    def generator(self) -> NDArray[np.float64]:
        """G, shape (N, answers a worker, m p p n): answers by products of two blocks; read-only."""
        return self._generator

    @cached_property
    def _wanted(self) -> Matrix:
        """T: block (i, j) of C is the sum over l of A_il B_lj."""
        m, p, n = self.grid
        wanted: Matrix = np.einsum("ix,jy,lk->ijxlky", np.eye(m), np.eye(n), np.eye(p))
        return wanted.reshape(m * n, -1)

    def can_decode(self, responders: ArrayLike, *, dtype: DTypeLike = np.float64) -> bool:
        """Tell whether the answers of these workers give C.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.
        dtype : dtype, optional
            Of the answers: coarser ones may be amplified less.

        Returns
        -------
        bool

        Raises
        ------
        TypeError, ValueError
            If `responders` are no such indices.
        """
        return self.amplification(responders) <= largest_amplification(np.dtype(dtype))

    def amplification(self, responders: ArrayLike) -> float:
        """Give the largest factor by which errors of the answers grow in C.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        float
            ``max_k sum_r |D[k, r]|``; inf where the answers do not determine C, or not in double
            precision. More than 1e8 is refused, of float32 answers more than 8e4.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        return self._plan(read_responders(responders, self.n_workers)).amplification

    def condition(self, responders: ArrayLike) -> float:
        """Give the condition number of the answers' rows of G, on the space that they span.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        rows = self._rows(read_responders(responders, self.n_workers))
        sizes = np.linalg.svd(rows[rows.any(axis=1)], compute_uv=False)
        sizes = np.append(sizes, np.zeros(rank := self._symbols.shape[1]))[:rank]
        return float(sizes[0] / sizes[-1]) if sizes[-1] > 0.0 else float(np.inf)

    def place(self, operand: ArrayLike, *, right: bool = False) -> PlacedOperand:
        """Encode an operand once; each worker gets its blocks with its first task and keeps them.

        A worker that was replaced gets them again: a copy stays here, too. What becomes of the
        operand later changes nothing.

        Parameters
        ----------
        operand : array_like, two-dimensional
            A, or B.
        right : bool, optional
            Whether it is B.

        Returns
        -------
        PlacedOperand
            To be given to `coded_matmul` in the operand's place, as often as you like.

        Raises
        ------
        TypeError, ValueError
            If it is no matrix of finite floats that the grid can cut.
        """
        placed = self._encode(operand, "operand", right=right, copied=True)
        placed.stays = True
        return placed

    def whole(self, fn: Any, a: Any, b: Any) -> Any:
        """Give the product without workers."""
        return fn(a, b)

    def prepare(self, a: Any, b: Any) -> MatmulJob:
        """Encode the operands that were not placed before.

        Parameters
        ----------
        a, b : array_like, shapes (r, s) and (s, c) or (s,), or PlacedOperand
            Numpy arrays or torch tensors of floats.

        Returns
        -------
        Job
            Its ``decode`` gives C, in the kind of array of `a` and `b`.

        Raises
        ------
        TypeError, ValueError
            If they are no matrices that can be multiplied, and cut by the grid.
        """
        return MatmulJob(self, *self._operands(a, b))

    def _operands(self, a: Any, b: Any) -> tuple[PlacedOperand, PlacedOperand]:
        """Encode the operands that were not placed before."""
        if isinstance(a, PlacedOperand) and isinstance(b, PlacedOperand):
            raise ValueError(  # noqa: TRY004 (each alone is right)
                "a and b are both placed, so that there is nothing to send; place the one that "
                "stays the same from call to call"
            )
        left, right = self._read(a, right=False), self._read(b, right=True)
        require_multipliable(left.blocks, right.blocks)
        return left, right

    def _read(self, operand: Any, *, right: bool) -> PlacedOperand:
        """Give an operand with its blocks for each worker."""
        name = "b" if right else "a"
        if not isinstance(operand, PlacedOperand):
            return self._encode(operand, name, right=right)
        if operand.code is not self or operand.right is not right:
            raise ValueError(
                f"{name} was placed as the {'right' if operand.right else 'left'} operand of "
                f"{operand.code!r}, not as the {'right' if right else 'left'} one of {self!r}; "
                "place it by the code, and on the side, that it is used with"
            )
        return operand

    def _encode(
        self, operand: Any, name: str, *, right: bool, copied: bool = False
    ) -> PlacedOperand:
        refuse_gradient(operand, name, self)
        m, p, n = self.grid
        blocks = cut(operand, name, (p, n) if right else (m, p), right=right, copied=copied)
        shares = mix(self.encoding_matrices[right], blocks)
        return PlacedOperand(self, blocks, shares, right=right)

    def _rows(self, responders: Responders) -> Matrix:
        """G_F, a row an answer."""
        return self._generator[list(responders)].reshape(-1, self._wanted.shape[1])

    def decoder(self, responders: Responders) -> NDArray[Any]:
        """Give D, shape (blocks of C, answers)."""
        return self._plan(responders).decoder

    def _plan(self, responders: Responders) -> Plan:
        """Give the decoder of one responder set; the latest ones are kept, refused ones too."""
        return self._plans.get(responders, self._build)

    def _build(self, responders: Responders) -> Plan:
        rows = self._rows(responders)
        check = Check(lambda: rows @ self._symbols)
        if not responders:
            return Plan(np.zeros((len(self._wanted), 0)), float(np.inf), check)
        decoder = self._solve(rows)
        return Plan(decoder, exact_amplification(decoder, rows, self._wanted), check)

    def _solve(self, rows: Matrix) -> Matrix:
        """Give D for these rows of G, ``D G_F = T`` where they determine it."""
        return least_norm_decoder(rows, self._wanted)

    @cached_property
    def _symbols(self) -> Matrix:
        """An orthonormal basis of the space of the rows of G, as columns."""
        rows = self._generator.reshape(-1, self._wanted.shape[1])
        _, sizes, basis = np.linalg.svd(rows, full_matrices=False)
        return np.ascontiguousarray(basis[sizes > sizes[0] * 1e-12].T)

    def require_enough(self, responders: Responders, dtype: np.dtype[Any]) -> None:
        """Raise NotEnoughRespondersError unless the answers of these workers give C."""
        if self.can_decode(responders, dtype=dtype):
            return
        raise NotEnoughRespondersError(
            f"{len(responders)} of {self.n_workers} workers answered, {self!r} needs "
            f"{self.need(responders, dtype)}; wait for more answers, raise n_workers, or let "
            "coded_matmul recompute_lost",
            responders=responders,
        )

    def need(self, responders: Responders, dtype: np.dtype[Any]) -> str:
        """Say what answers that do not suffice lack, in words that follow "needs"."""
        amplified = self._plan(responders).amplification
        if not np.isfinite(amplified):
            return f"any {self.min_responders} answers"
        words = (
            f"answers that amplify errors by at most {largest_amplification(dtype):.0e} in "
            f"{dtype}, and these do by {amplified:.1e}"
        )
        return words + (", which float64 bears" if amplified <= LARGEST_AMPLIFICATION else "")

    def liars(self, answers: NDArray[Any], responders: Responders) -> Responders:
        """Tell whose answers contradict those of all others, by those beyond what is needed.

        Raises InconsistentAnswersError where that is not to be told.
        """
        check = self._plan(responders).check
        per_worker = self._generator.shape[1]
        spare = per_worker * len(responders) - self._symbols.shape[1]
        if spare <= 0 or check.contradicted(answers).size == 0:
            return ()
        if per_worker == 1:
            most = min(spare, len(responders) - self.min_responders) // 2
            verdict = locate_wrong_rows(check.model(), answers, most, check)
            if verdict.wrong is not None:
                return tuple(responders[i] for i in verdict.wrong)
        raise InconsistentAnswersError(
            f"{len(responders)} answers contradict each other: these are not the products of one "
            "pair of matrices, beyond rounding, so that a worker answers wrongly; pass "
            "verify=True, by which each answer is checked by itself",
            residual=float(check.measured(answers)[1].max()),
            suspects=(),
        )


def read_grid(*, n_workers: object, **sides: object) -> tuple[int, ...]:
    """Check the sides of a grid, then N: integers from 1, N at least their product."""
    counts = [read_count(side, name, at_least=1) for name, side in sides.items()]  # type: ignore[arg-type]
    needed = int(np.prod(counts))
    workers = read_count(n_workers, "n_workers", at_least=1)  # type: ignore[arg-type]
    if workers < needed:
        told = " x ".join(map(str, counts))
        raise ValueError(
            f"n_workers must be at least {told} = {needed}, the blocks of the product, got "
            f"{workers}; add workers or cut into fewer blocks"
        )
    return (*counts, workers)
