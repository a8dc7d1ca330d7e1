"""One secure product on workers: what each gets, what an answer must be, how C is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.prime_field import IntArray, product, random_residues
from coded.products.residues import ResidueSums, read_residues
from coded.schemes.protocol import Function, Responders


class Code(Protocol):
    """What a product needs of its `ResidueMatmulCode`, which itself makes products."""

    min_responders: int

    @property
    def prime(self) -> int:
        """The prime p."""

    def can_decode(self, responders: ArrayLike) -> bool:
        """Tell whether these answers give C."""

    def need(self, responders: Responders) -> str:
        """Say what they lack."""

    def liars(self, symbols: IntArray, responders: Responders) -> Responders:
        """Tell whose numbers contradict all others."""

    def decode(self, answers: IntArray, responders: Responders) -> IntArray:
        """Give the wanted products."""


class ResidueJob:
    """One product; made by ``code.prepare``, used once.

    Parameters
    ----------
    code : ResidueMatmulCode
        Decodes.
    shares : (ndarray, ndarray), shapes (N, h, k) and (N, k, w)
        What each worker multiplies; sent as int32.
    restore : callable
        Makes arrays of the caller's kind, with a dtype.
    put_together : callable
        Gives C from the wanted products, shape (W, h, w).
    """

    def __init__(
        self,
        code: Code,
        shares: tuple[IntArray, IntArray],
        restore: Callable[..., Any],
        put_together: Callable[[IntArray], Any],
    ) -> None:
        self._code, self._shares, self._put_together = code, shares, put_together
        self.min_responders = code.min_responders
        self._answered = (shares[0].shape[1], shares[1].shape[2])
        self._is_verified = False
        self.payloads: list[tuple[Any, ...]] = [
            (restore(a, np.int32), restore(b, np.int32)) for a, b in zip(*shares, strict=True)
        ]

    def function(self, worker: int, fn: Function) -> Function:  # noqa: ARG002 (the protocol's)
        """Give the product, the same for all."""
        return fn

    def verify(self) -> None:
        """Have each answer checked by itself, from now on."""
        self._is_verified = True

    def read(self, worker: int, answer: Any) -> tuple[tuple[int, int], IntArray]:
        """Give an answer as residues; TypeError or ValueError if it is not of this product."""
        residues = read_residues(answer, self._answered, self._code.prime)
        if self._is_verified:
            left, right = self._shares
            ResidueSums(left[worker], right[worker], self._code.prime).require(residues)
        return self._answered, residues

    def can_decode(self, responders: NDArray[np.intp]) -> bool:
        """Ask the code."""
        return self._code.can_decode(responders)

    def need(self, responders: NDArray[np.intp]) -> str:
        """Say what answers that do not suffice lack."""
        return self._code.need(tuple(responders.tolist()))

    def exact_mask(self, responders: NDArray[np.intp]) -> NDArray[np.bool_]:
        """C is exact, or is not given."""
        return np.array(self.can_decode(responders))

    def liars(self, answers: Sequence[IntArray], responders: NDArray[np.intp]) -> Sequence[int]:
        """Tell whose answers contradict all others, by a random combination of their numbers.

        Wrong ones look right in it once in p times. Verified answers are right.
        """
        if self._is_verified or len(responders) <= self.min_responders:
            return ()
        rows, prime = np.stack(answers).reshape(len(answers), -1), self._code.prime
        symbols = product(rows, random_residues((rows.shape[1], 1), prime), prime)[:, 0]
        return self._code.liars(symbols, tuple(responders.tolist()))

    def decode(self, answers: Sequence[IntArray], responders: NDArray[np.intp]) -> Any:
        """Put C together."""
        wanted = self._code.decode(np.stack(answers), tuple(responders.tolist()))
        return self._put_together(wanted)

    def __repr__(self) -> str:
        """Give the code's own line."""
        return repr(self._code)
