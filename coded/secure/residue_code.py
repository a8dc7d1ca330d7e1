"""Codes for C = A B modulo p whose workers learn nothing: blocks and masks, mixed for N workers.

Worker n gets ``A~_n = sum_x P[n, x] A_x``, of which the last T of the A_x are uniformly random
masks, and ``B~_n = sum_y Q[n, y] B_y`` likewise. It answers ``A~_n B~_n``: its row of
``G = P (Khatri-Rao) Q`` times all products of two blocks. The wanted products, or sums of them,
are ``C = W z``, and any answers F whose rows span those of W give them: ``C = D_F y`` with
``D_F G_F = W`` modulo p. That nothing else is known of z makes D the same for all masks.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from itertools import combinations
from math import comb
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from coded.algebra.minors import maximal_minors
from coded.algebra.prime_field import (
    IntArray,
    power,
    product,
    random_residues,
    read_prime,
    reduced,
    solve,
)
from coded.arguments import read_count
from coded.products.blocks import in_blocks
from coded.products.multiply import multiply_residues
from coded.schemes.decoders import Decoders
from coded.schemes.door import read_responders
from coded.schemes.protocol import (
    Function,
    InconsistentAnswersError,
    NotEnoughRespondersError,
    Responders,
)
from coded.secure.operands import Operand, joined, read_operand, require_multipliable, require_room
from coded.secure.residue_job import ResidueJob
from coded.secure.secure_code import SecureMatmulCode
from coded.seeds import read_seed
from fastspline.arrays import read_only

Grid = tuple[int, int, int]

_MOST_MINORS = 5_000_000  # checked in some seconds
_MOST_TRIALS = 500  # sets of answers that are left out to find the liars


class Secrecy(NamedTuple):
    """What all secure codes are told, checked.

    Attributes
    ----------
    n_colluders : int
        T.
    prime : int
        p.
    modular : bool
        Whether products that wrap modulo p are wanted.
    seed : int or None
        Of the masks; None: the operating system's entropy.
    """

    n_colluders: int
    prime: int
    modular: bool
    seed: int | None


class ResidueMatmulCode(SecureMatmulCode):
    """A code for products of matrices of integers, hidden from any T workers.

    A family supplies `_encoders`, and what it wants of the products of blocks in `_wanted`.

    Parameters
    ----------
    grid : (int, int, int)
        (m, p, n): A is cut into m x p blocks, B into p x n, C into m x n. Sides that do not divide
        are filled up with zeros.
    n_workers : int
        N.
    min_responders : int
        R, the recovery threshold.
    secrecy : Secrecy
        T, the prime and the masks' seed.

    Raises
    ------
    ValueError
        If some T workers' masks are linearly dependent, so that together they would see through
        them; of families whose points are chosen well that happens for no or small primes.
    """

    def __init__(self, grid: Grid, n_workers: int, min_responders: int, secrecy: Secrecy) -> None:
        self.grid = grid
        self.n_workers = n_workers
        self.min_responders = min_responders
        self._secrecy = secrecy
        left, right = self._encoders()
        for encoder in (left, right):
            if not hides(encoder[:, encoder.shape[1] - self.n_colluders :], self.prime):
                raise ValueError(
                    f"prime must be such that any {self.n_colluders} workers' masks are "
                    f"independent, and for {self.prime} those of some are not; take a larger one"
                )
        self._encoding_matrices = read_only(left), read_only(right)
        pairs = left[:, :, None] * right[:, None, :] % self.prime
        self._generator = read_only(pairs.reshape(n_workers, -1))
        self._decoders: Decoders[IntArray | None] = Decoders()

    def __getstate__(self) -> dict[str, Any]:
        """Give all but the decoders, which hold a lock."""
        return {name: value for name, value in vars(self).items() if name != "_decoders"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the settings and start without decoders."""
        vars(self).update(state)
        self._decoders = Decoders()

    @abstractmethod
    def _encoders(self) -> tuple[IntArray, IntArray]:
        """Make P and Q, residues, the columns of the T masks last."""

    def _wanted(self) -> IntArray:
        """Make W for one product, whose blocks are sums over the inner blocks."""
        (m, p, n), (left, right) = self.grid, self.encoding_matrices
        wanted = np.zeros((m, n, left.shape[1], right.shape[1]), np.int64)
        for i, j, k in np.ndindex(m, n, p):
            wanted[i, j, i * p + k, k * n + j] = 1
        return wanted.reshape(m * n, -1)

    @property
    def n_colluders(self) -> int:
        """T, how many workers together learn nothing of A, B and C."""
        return self._secrecy.n_colluders

    @property
    def prime(self) -> int:
        """The prime p, modulo which everything is computed."""
        return self._secrecy.prime

    @property
    def headroom(self) -> int:
        """Largest magnitude of entries of A, B and C, (p - 1) / 2."""
        return (self.prime - 1) // 2

    @property
    def load(self) -> float:
        """What a worker computes, as a share of all."""
        m, p, n = self.grid
        return 1.0 / (m * p * n)

    @property
    def function(self) -> Function:
        """What a worker runs on its two shares."""
        return partial(multiply_residues, prime=self.prime)

    @property
    def encoding_matrices(self) -> tuple[IntArray, IntArray]:
        """P and Q, shapes (N, m p + T) and (N, p n + T), residues; read-only."""
        return self._encoding_matrices

    def can_decode(self, responders: ArrayLike) -> bool:
        """Tell whether the answers of these workers give C.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        bool

        Raises
        ------
        TypeError, ValueError
            If `responders` are no such indices.
        """
        return self._decoder(read_responders(responders, self.n_workers)) is not None

    def amplification(self, responders: ArrayLike) -> float:
        """Tell that errors do not grow: integers have none.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        float
            1 where these answers give C, else inf.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        return 1.0 if self.can_decode(responders) else float(np.inf)

    def whole(self, fn: Any, a: ArrayLike, b: ArrayLike) -> Any:
        """Give the product without workers, and without secrets."""
        left, right = self._read(a, b)
        c = fn(left.array, right.array).astype(np.int64)
        return left.restore(c[:, 0] if right.is_vector else c)

    def prepare(self, a: ArrayLike, b: ArrayLike) -> ResidueJob:
        """Read the operands, draw masks, and encode.

        Parameters
        ----------
        a, b : array_like of int, shapes (r, s) and (s, c) or (s,)
            Numpy arrays or torch tensors.

        Returns
        -------
        Job
            Its ``decode`` gives C, int64 in the kind of array of `a` and `b`.

        Raises
        ------
        TypeError, ValueError
            If they are no matrices of integers that can be multiplied, cut by the grid, and
            whose product stays below (p - 1) / 2.
        """
        left, right = self._read(a, b)
        (m, p, n), shape = self.grid, (left.array.shape[0], right.array.shape[1])
        blocks = in_blocks(left.array, "a", (m, p)), in_blocks(right.array, "b", (p, n))

        def put_together(products: IntArray) -> Any:
            c = joined(products, (m, n), shape)
            return left.restore(c[:, 0] if right.is_vector else c)

        return ResidueJob(self, self.encode(*blocks), left.restore, put_together)

    def encode(self, left: IntArray, right: IntArray) -> tuple[IntArray, IntArray]:
        """Mix blocks and new masks for N workers.

        Parameters
        ----------
        left, right : ndarray of int64, shapes (m p, h, k) and (p n, k, w)
            Blocks of A and of B.

        Returns
        -------
        tuple of ndarray of int64, shapes (N, h, k) and (N, k, w)
            Balanced residues; worker n gets the n-th of both.
        """
        seed = self._secrecy.seed
        rng = None if seed is None else np.random.default_rng(seed)
        pairs = zip(self.encoding_matrices, (left, right), strict=True)
        mixed = [self._mix(encoder, blocks, rng) for encoder, blocks in pairs]
        return mixed[0], mixed[1]

    def _mix(
        self, encoder: IntArray, blocks: IntArray, rng: np.random.Generator | None
    ) -> IntArray:
        shape = (self.n_colluders, *blocks.shape[1:])
        masks = draw_residues(shape, self.prime, rng)
        sources = np.concatenate((blocks, masks)).reshape(encoder.shape[1], -1)
        mixed = product(encoder, sources, self.prime, lowest=-self.headroom)
        return mixed.reshape(len(encoder), *blocks.shape[1:])

    def _read(self, a: ArrayLike, b: ArrayLike) -> tuple[Operand, Operand]:
        ndim = self._ndim
        left = read_operand(a, "a", self.prime, ndim=ndim)
        right = read_operand(b, "b", self.prime, ndim=ndim, right=True)
        require_multipliable(left, right)
        if not self._secrecy.modular:
            require_room(left.array, right.array, self.headroom)
        return left, right

    _ndim = 2  # of the operands

    def decode(self, answers: IntArray, responders: Responders) -> IntArray:
        """Give the wanted products from answers, shape (R, h, w), as balanced residues.

        Raises
        ------
        NotEnoughRespondersError
            If the answers of these workers do not determine them.
        """
        decoder = self._decoder(responders)
        if decoder is None:
            raise NotEnoughRespondersError(
                f"{len(responders)} of {self.n_workers} workers answered, {self!r} needs "
                f"{self.need(responders)}; wait for more answers, or raise n_workers",
                responders=responders,
            )
        columns = reduced(answers.reshape(len(responders), -1), self.prime)
        wanted = product(decoder, columns, self.prime, lowest=-self.headroom)
        return wanted.reshape(len(decoder), *answers.shape[1:])

    def liars(self, symbols: IntArray, responders: Responders) -> Responders:
        """Tell whose numbers, one an answer, contradict those of all others.

        Half as many as are spare at most, and as few as can be. Raises InconsistentAnswersError
        where that is not to be told.
        """
        rows = self._generator[list(responders)]
        if solve(rows, symbols, self.prime) is not None:
            return ()
        count = len(responders)
        for wrong in range(1, (count - self.min_responders) // 2 + 1):
            if comb(count, wrong) > _MOST_TRIALS:
                break
            for some in combinations(range(count), wrong):
                kept = np.delete(np.arange(count), some)
                if solve(rows[kept], symbols[kept], self.prime) is not None:
                    return tuple(responders[i] for i in some)
        raise InconsistentAnswersError(
            f"{count} answers contradict each other: these are not the products of one pair of "
            "matrices, so that a worker answers wrongly; pass verify=True, by which each answer is "
            "checked by itself, or wait for two more answers per liar"
        )

    def need(self, responders: Responders) -> str:
        """Say what answers that do not suffice lack, in words that follow "needs"."""
        if len(responders) < self.min_responders:
            return f"any {self.min_responders} answers"
        return "other or more answers, for those are linearly dependent"

    def _decoder(self, responders: Responders) -> IntArray | None:
        """Give D of one responder set, None where there is none; the latest are kept."""
        return self._decoders.get(responders, self._build)

    def _build(self, responders: Responders) -> IntArray | None:
        rows = self._generator[list(responders)]
        solution = solve(np.ascontiguousarray(rows.T), self._wanted().T, self.prime)
        return None if solution is None else np.ascontiguousarray(solution.T)


def read_secrecy(
    n_colluders: SupportsIndex,
    prime: SupportsIndex,
    modular: object,
    rng: int | np.random.Generator | None,
    *,
    n_points: int,
) -> Secrecy:
    """Check what all secure codes are told; the prime must allow so many points other than 0."""
    if not isinstance(modular, bool | np.bool_):
        raise TypeError(f"modular must be True or False, got {modular!r}")
    return Secrecy(
        read_count(n_colluders, "n_colluders", at_least=1),
        read_prime(prime, "prime", at_least=max(3, n_points + 1)),
        bool(modular),
        None if rng is None else read_seed(rng),
    )


def hides(masks: IntArray, prime: int) -> bool:
    """Tell whether any T rows of the masks' coefficients, shape (N, T), are independent.

    Then T workers' masks are uniform, whatever the blocks are, and so is all that they see.
    Raises ValueError where that is too much to check.
    """
    n_workers, n_colluders = masks.shape
    count = comb(n_workers, n_colluders)
    if count > _MOST_MINORS:
        raise ValueError(
            f"n_workers and n_colluders must leave at most {_MOST_MINORS} sets of colluders to "
            f"check, got {n_workers} and {n_colluders}, which leave more; take fewer of either"
        )
    return bool(maximal_minors(masks, prime).all())


def powers(points: IntArray, exponents: list[int], prime: int) -> IntArray:
    """Give ``points_i^exponents_j``, shape (N, exponents)."""
    return np.stack([power(points, exponent, prime) for exponent in exponents], axis=1)


def draw_residues(shape: tuple[int, ...], prime: int, rng: np.random.Generator | None) -> IntArray:
    """Draw uniform residues, from the operating system's entropy unless there is a generator."""
    return random_residues(shape, prime) if rng is None else rng.integers(0, prime, shape)
