"""One product on workers: who multiplies what, what an answer must be, how C is put together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from coded.maps.arrays import Matrix, multiply_columns
from coded.products.blocks import PlacedOperand, given
from coded.products.checksums import Checksums
from coded.products.multiply import multiply_right
from coded.runtime.answers import read_answer
from coded.schemes.door import read_responders
from coded.schemes.protocol import Responders
from fastspline.arrays import FloatArray, empty_aligned, read_array


class Code(Protocol):
    """What a product needs of its `MatmulCode`, which itself makes products."""

    grid: tuple[int, int, int]
    n_workers: int
    min_responders: int

    @property
    def encoding_matrices(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """P and Q."""

    def can_decode(self, responders: ArrayLike, *, dtype: DTypeLike = ...) -> bool:
        """Tell whether these answers give C."""

    def require_enough(self, responders: Responders, dtype: np.dtype[Any]) -> None:
        """Raise NotEnoughRespondersError unless they do."""

    def need(self, responders: Responders, dtype: np.dtype[Any]) -> str:
        """Say what they lack."""

    def decoder(self, responders: Responders) -> NDArray[Any]:
        """Give D."""

    def liars(self, answers: NDArray[Any], responders: Responders) -> Responders:
        """Tell who contradicts all others."""


class MatmulJob:
    """One product; made by ``code.prepare``, used once."""

    def __init__(self, code: Code, left: PlacedOperand, right: PlacedOperand) -> None:
        self._code, self._left, self._right = code, left, right
        self.min_responders = code.min_responders
        self._dtype = left.blocks.restore.dtype
        stay = (left.stays, right.stays)
        self.payloads = [
            tuple(share for share, stays in zip(pair, stay, strict=True) if not stays)
            for pair in zip(left.shares, right.shares, strict=True)
        ]
        per_worker = [weights.shape[1] for weights in code.encoding_matrices]
        block = (left.blocks.inner[0], right.blocks.inner[1])
        self._longest = block if per_worker == [1, 1] else (*per_worker, *block)
        counts = (given(weights).sum(axis=1).tolist() for weights in code.encoding_matrices)
        self._answered = [
            block if per_worker == [1, 1] else (*own, *block) for own in zip(*counts, strict=True)
        ]
        self._checksums: list[Checksums] | None = None

    def function(self, worker: int, fn: Any) -> Any:
        """Give the product, of a block that stays with the worker where one does."""
        if self._left.stays:
            return self._left.placed.function(worker, fn)
        if self._right.stays:
            return self._right.placed.function(worker, partial(multiply_right, fn))
        return fn

    def verify(self) -> None:
        """Have each answer checked by itself, from now on."""
        self._checksums = [
            Checksums(read_array(a, "a")[0], read_array(b, "b")[0], self._dtype)
            for a, b in zip(self._left.shares, self._right.shares, strict=True)
        ]

    def read(self, worker: int, answer: Any) -> tuple[Hashable, FloatArray]:
        """Give an answer as an array; ValueError if it is not of this product."""
        array, _ = read_answer(answer, read_array)
        if array.shape != self._answered[worker]:
            raise ValueError(
                f"answer has shape {array.shape}, but the blocks' product {self._answered[worker]}"
            )
        if self._checksums is not None:
            self._checksums[worker].require(array)
        array = self._left.blocks.restore.cast(array)
        if array.shape != self._longest:  # filled up with zeros, to be stacked with others
            short, array = array, np.zeros(self._longest, array.dtype)
            array[: len(short), : short.shape[1]] = short
        return self._longest, array

    def can_decode(self, responders: NDArray[np.intp]) -> bool:
        """Ask the code, for the operands' dtype."""
        return self._code.can_decode(responders, dtype=self._dtype)

    def need(self, responders: NDArray[np.intp]) -> str:
        """Say what answers that do not suffice lack."""
        return self._code.need(tuple(responders.tolist()), self._dtype)

    def exact_mask(self, responders: NDArray[np.intp]) -> NDArray[np.bool_]:
        """C is exact up to amplified rounding, or is not given."""
        return np.array(self.can_decode(responders))

    def liars(self, answers: Sequence[FloatArray], responders: NDArray[np.intp]) -> Sequence[int]:
        """Tell whose answers contradict those of all others."""
        spare = len(responders) > self.min_responders
        return self._code.liars(stacked(answers), tuple(responders.tolist())) if spare else ()

    def decode(self, answers: Sequence[FloatArray], responders: NDArray[np.intp]) -> Any:
        """Put C together from blocks that were answered and mixtures of answers."""
        workers = read_responders(responders, self._code.n_workers)
        self._code.require_enough(workers, self._dtype)
        decoder = self._code.decoder(workers)
        is_copy = (np.count_nonzero(decoder, axis=1) == 1) & (decoder.max(axis=1) == 1.0)
        (m, _, n), (height, width) = self._code.grid, self._longest[-2:]
        product = empty_aligned(m * height, n * width, self._dtype)
        places = product.reshape(m, height, n, width).swapaxes(1, 2)
        sums = iter(())
        if not is_copy.all():
            mixed = self._mix(decoder[~is_copy], stacked(answers))
            sums = iter(mixed.reshape(-1, height, width))
        for k, (row, copies) in enumerate(zip(decoder, is_copy, strict=True)):
            places[divmod(k, n)] = _block(answers, int(row.argmax())) if copies else next(sums)
        return self._cropped(product)

    def _mix(self, decoder: Matrix, answers: FloatArray) -> FloatArray:
        """Multiply answers, rows, by rows of the decoder."""
        return multiply_columns(decoder, answers, "answers")

    def __repr__(self) -> str:
        """Give the code's own line."""
        return repr(self._code)

    def _cropped(self, product: FloatArray) -> Any:
        """Leave away what the grid filled up with zeros."""
        restore = self._left.blocks.restore
        rows, (_, *columns) = self._left.blocks.shape[0], self._right.blocks.shape
        if not columns:  # times a vector
            return restore(np.ascontiguousarray(product[:rows, 0]))
        if product.shape == (rows, columns[0]):
            return restore(product)
        return restore(np.ascontiguousarray(product[:rows, : columns[0]]))


def stacked(answers: Sequence[FloatArray]) -> FloatArray:
    """Give answers as rows, those of one worker below each other."""
    *_, height, width = answers[0].shape
    count = sum(answer.size for answer in answers) // (height * width)
    stack = empty_aligned(count, height * width, answers[0].dtype)
    np.stack(answers, out=stack.reshape(len(answers), *answers[0].shape))
    return stack


def _block(answers: Sequence[FloatArray], k: int) -> FloatArray:
    """Give the k-th block that was answered."""
    per_worker = answers[0].size // (answers[0].shape[-2] * answers[0].shape[-1])
    worker, i = divmod(k, per_worker)
    block: FloatArray = answers[worker].reshape(per_worker, *answers[worker].shape[-2:])[i]
    return block
