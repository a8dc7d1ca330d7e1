"""An owner of rows: what it holds, what it computes alone, and what it sends to the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coded.algebra.prime_field import IntArray, balanced, product, reduced
from coded.private.quantiser import evaluate_block
from coded.runtime.result import Indices
from coded.schemes.field_lagrange import FieldLagrangeScheme
from coded.schemes.protocol import Function
from coded.workers.placed import Placed

Received = Mapping[int, IntArray]  # by sender, ascending


@dataclass(frozen=True, eq=False)
class Message:
    """What an owner is told by another one, by itself, or by the dealer.

    Attributes
    ----------
    kind : str
        "coded rows", "shares of X^T y", "coded weights", "shares of a gradient", "dealt",
        "masked" or "shares of the model".
    sender, receiver : int
        Owners; the dealer is -1.
    content : ndarray of int64
        Numbers modulo p.
    """

    kind: str
    sender: int
    receiver: int
    content: IntArray


class Owner:
    """One of N owners. Arrays with a first axis N hold what it sends to each of them.

    Parameters
    ----------
    code : FieldLagrangeScheme
        Codes K blocks and K copies of the weights, with T masks.
    sharing : FieldLagrangeScheme
        The same of one input, of degree 1: Shamir's scheme.
    rows, targets : ndarray of int64, shapes (n, d) and (n,)
        Its data, rounded.
    """

    _weights: IntArray  # of a training alone, see `beginning`

    def __init__(
        self,
        code: FieldLagrangeScheme,
        sharing: FieldLagrangeScheme,
        rows: IntArray,
        targets: IntArray,
    ) -> None:
        self._code, self._sharing, self._rows, self._targets = code, sharing, rows, targets
        self._prime = code.prime

    def code_rows(self, first: int, n_rows: int) -> IntArray:
        """Code its rows, in their places among those of K blocks with `n_rows` each."""
        blocks = np.zeros((self._code.n_inputs * n_rows, self._rows.shape[1]), np.int64)
        blocks[first : first + len(self._rows)] = self._rows
        coded: IntArray = self._code.encode(blocks.reshape(self._code.n_inputs, n_rows, -1))
        return coded

    def share_pull(self) -> IntArray:
        """Share its ``X^T y``."""
        pull = balanced(self._rows.T @ self._targets, self._prime)
        shares: IntArray = self._sharing.encode(pull[None])
        return shares

    def take_data(self, coded_rows: Received, pulls: Received) -> IntArray:
        """Add up what all owners sent, and give the coded block; forget the rows."""
        self._pull: IntArray = np.sum([*pulls.values()], axis=0) % self._prime
        self._rows = self._targets = np.zeros(0, np.int64)
        block: IntArray = balanced(np.sum([*coded_rows.values()], axis=0), self._prime)
        return block

    def beginning(self) -> Owner:
        """Give this owner in a training of its own, of whose weights, 0, all shares are 0."""
        owner = copy(self)
        owner._weights = np.zeros(len(self._pull), np.int64)
        return owner

    def code_weights(self) -> IntArray:
        """Code its share of the weights, with masks of its own."""
        copies = np.broadcast_to(self._weights, (self._code.n_inputs, len(self._weights)))
        coded: IntArray = self._code.encode(balanced(copies, self._prime))
        return coded

    def open(self, shares: Received) -> IntArray:
        """Combine shares of T + 1 owners or more to what they are shares of, a residue."""
        secret: IntArray = self._sharing.decode(np.stack([*shares.values()]), [*shares])[0]
        return secret % self._prime

    def take_gradient(self, shares: Received) -> None:
        """Decode its share of the gradient from its shares of the answers."""
        decoder = self._code.decoding_matrix([*shares]).sum(axis=0)[None] % self._prime
        of_blocks = product(decoder, np.stack([*shares.values()]), self._prime)[0]
        self.gradient = (of_blocks - self._pull) % self._prime

    def descend(self, entries: NDArray[np.intp], steps: IntArray) -> None:
        """Subtract shares of steps from those of some weights."""
        self._weights[entries] = (self._weights[entries] - steps) % self._prime

    def show_weights(self) -> IntArray:
        """Send its share of the weights to all."""
        return self.to_all(self._weights)

    def to_all(self, content: IntArray) -> IntArray:
        """Send the same to all."""
        return np.broadcast_to(content, (self._code.n_workers, *content.shape))


class GradientStep:
    """The job of one step: owners' machines answer with shares of ``X^T X w``, for each owner.

    It is its own code: coded weights come from owners, not from whoever calls.
    """

    def __init__(
        self, code: FieldLagrangeScheme, placed: Placed, coded_weights: Sequence[IntArray]
    ) -> None:
        self._code, self._placed = code, placed
        self._shape = (code.n_workers, *coded_weights[0].shape)
        self.n_workers, self.min_responders = code.n_workers, code.min_responders
        self.payloads: list[tuple[Any, ...]] = [(one,) for one in coded_weights]

    def prepare(self) -> GradientStep:
        """Give itself."""
        return self

    def function(self, worker: int, fn: Function) -> Function:
        """Give f of the block that is with the worker."""
        return self._placed.function(worker, fn)

    def read(self, worker: int, answer: Any) -> tuple[str, IntArray]:  # noqa: ARG002 (as of the protocol)
        """Give an answer as N rows of d residues; TypeError or ValueError if it is none."""
        array = self._code.read_numbers(answer, "answer")[0]
        if array.shape != self._shape:
            raise ValueError(f"answer must have the shape {self._shape}, got {array.shape}")
        return str(array.shape), reduced(array, self._code.prime)

    def can_decode(self, responders: Indices) -> bool:
        """Ask the code."""
        return self._code.can_decode(responders)

    def decode(self, answers: Sequence[IntArray], responders: Indices) -> IntArray:  # noqa: ARG002
        """Give the shares as they are, shape (R, N, d): owners decode, each its own."""
        return np.stack(answers)

    def exact_mask(self, responders: Indices) -> NDArray[np.bool_]:
        """Tell that they are exact."""
        return np.array(self.can_decode(responders))


def share_gradient(
    block: IntArray, weights: IntArray, *, sharing: FieldLagrangeScheme, prime: int
) -> IntArray:
    """Compute ``X^T X w`` of a coded block, and share it, as an owner's machine does.

    Parameters
    ----------
    block : ndarray of int64, shape (m, d)
        X, in (-p, p).
    weights : ndarray of int64, shape (d,)
        Residues.
    sharing : FieldLagrangeScheme
        Shamir's scheme among the owners.
    prime : int
        p.

    Returns
    -------
    ndarray of int64, shape (N, d)
        What each owner is sent.
    """
    value = evaluate_block(block, weights[None], coefficients=(0, 1), prime=prime)
    shares: IntArray = sharing.encode(balanced(value, prime)[None])
    return shares
