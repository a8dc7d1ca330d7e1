"""The rows of a layer's weight in coded blocks that stay with workers; tensors by their methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coded.runtime.result import Indices
from coded.schemes.mds import MDSScheme
from coded.schemes.protocol import Function
from coded.workers.placed import Placed

Tensor: TypeAlias = Any  # of torch, which this file leaves to its caller
Outputs: TypeAlias = tuple[Tensor, tuple[int, ...]]  # and which blocks were computed here

_LARGEST = 1e30  # of an answer: decoders amplify by up to 1e8, and float32 ends at 3e38


@dataclass(frozen=True, eq=False)
class LayerReport:
    """How a coded layer came by its latest outputs.

    Attributes
    ----------
    responders : ndarray of int
        Workers whose answers were used, ascending.
    recomputed : tuple of int
        Blocks that were computed here: too few answers came, or such as would have amplified
        rounding errors too much.
    failures : dict of int to exception
        Why workers failed, as `CodedResult.failures`.
    """

    responders: Indices = field(default_factory=lambda: np.array([], np.intp))
    recomputed: tuple[int, ...] = ()
    failures: Mapping[int, BaseException | str] = field(default_factory=dict)


class Work(Protocol):
    """What is done with a block, and how blocks make a layer."""

    def __call__(self, block: Tensor, inputs: Tensor) -> Tensor:
        """Give the outputs of a block's rows."""

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Put the outputs of blocks side by side."""

    @property
    def axis(self) -> int:
        """The axis of the outputs along which that is, counted from the end."""


class BlockCode:
    """A layer as a `Code` of one operand, its inputs: the rows of its weight stay with workers.

    Parameters
    ----------
    work : Work
        What is done with a block.
    weight, bias : Tensor
        Of the layer; bias may be None.
    scheme : MDSScheme
        The code of the K blocks.
    most : float
        By how much at most the decoder may amplify errors of answers; beyond that, a block more
        is computed here.
    recomputes : bool
        Whether blocks are computed here at all.
    """

    def __init__(
        self,
        work: Work,
        weight: Tensor,
        bias: Tensor,
        scheme: MDSScheme,
        *,
        most: float,
        recomputes: bool,
    ) -> None:
        self.n_workers, self.min_responders = scheme.n_workers, scheme.n_inputs
        self.scheme, self.bias, self.recomputes = scheme, bias, recomputes
        self.work, self._most = work, most
        parts = weight.tensor_split(scheme.n_inputs)
        self._sizes = [len(part) for part in parts]
        # Each in memory of its own: pickled, a part of a tensor takes the whole along.
        blocks = [_padded(part, self._sizes[0]) for part in parts]
        mixed = scheme.encoding_matrix[scheme.n_inputs :]
        self.placed = Placed([*blocks, *(mix(row, blocks) for row in mixed)])

    def __repr__(self) -> str:
        """Give the scheme's line."""
        return repr(self.scheme)

    def prepare(self, *operands: Any) -> BlockJob:
        """Give the job of one forward pass, with inputs that pickle alone."""
        (inputs,) = operands
        is_part = inputs.untyped_storage().nbytes() > inputs.numel() * inputs.element_size()
        return BlockJob(self, inputs.clone() if is_part else inputs)

    def suffices(self, responders: Sequence[int]) -> bool:
        """Tell whether these answers determine the outputs, and do so well enough."""
        if len(responders) < self.min_responders:
            return False
        return self.scheme.amplification(responders) <= self._most

    def parts(self) -> list[Tensor]:
        """Give the blocks of the weight, without the rows that pad them."""
        return [block[:size] for block, size in zip(self.placed.shares, self._sizes, strict=False)]

    def outputs(self, answers: Mapping[int, Tensor], inputs: Tensor) -> Outputs:
        """Give the layer's outputs, and which blocks had to be computed here.

        Parameters
        ----------
        answers : mapping of int to Tensor
            By worker.
        inputs : Tensor
            Of the layer.
        """
        blocks = dict(answers)
        recomputed = []
        while not self.suffices(sorted(blocks)):
            lost = next(k for k in range(self.min_responders) if k not in blocks)
            blocks[lost] = self.work(self.placed.shares[lost], inputs)
            recomputed.append(lost)
        workers = sorted(blocks)
        if still_lost := [k for k in range(self.min_responders) if k not in blocks]:
            decoder = self.scheme.decoding_matrix(workers)
            came = [blocks[n] for n in workers]
            blocks |= {k: mix(decoder[k], came) for k in still_lost}
        axis, sizes = self.work.axis, enumerate(self._sizes)
        outputs = self.work.join([blocks[k].narrow(axis, 0, size) for k, size in sizes])
        if self.bias is not None:
            outputs += self.bias.reshape(-1, *(1,) * (-axis - 1))
        return outputs, tuple(recomputed)


class BlockJob:
    """One forward pass; it reads answers."""

    def __init__(self, code: BlockCode, inputs: Tensor) -> None:
        self._code, self._inputs = code, inputs
        self.payloads = [(inputs,)] * code.n_workers
        self.min_responders = code.min_responders

    def __repr__(self) -> str:
        """Give the scheme's line."""
        return repr(self._code)

    def function(self, worker: int, fn: Function) -> Function:
        """Give the work on a worker's own block."""
        return self._code.placed.function(worker, fn)

    def read(self, worker: int, answer: Tensor) -> tuple[tuple[int, ...], Tensor]:  # noqa: ARG002 (as of the protocol)
        """Check an answer; alike are those of one shape."""
        dtype = self._inputs.dtype
        if getattr(answer, "dtype", None) is not dtype:
            kind = getattr(answer, "dtype", type(answer).__name__)
            raise TypeError(f"answer must be a tensor of {dtype}, got {kind}")
        if not is_within(answer, _LARGEST):
            raise ValueError(f"answer holds NaN, or numbers beyond {_LARGEST:g}")
        return tuple(answer.shape), answer

    def can_decode(self, responders: Indices) -> bool:
        """Tell whether outputs can be had, with blocks computed here if need be."""
        return self._code.recomputes or self._code.suffices(responders.tolist())

    def exact_mask(self, responders: Indices) -> NDArray[np.bool_]:
        """Tell whether no block needs to be computed here, so that no more are waited for."""
        return np.array(self._code.suffices(responders.tolist()))

    def decode(self, answers: Sequence[Tensor], responders: Indices) -> Outputs:
        """Give the layer's outputs, and which blocks were computed here."""
        came = dict(zip(responders.tolist(), answers, strict=True))
        return self._code.outputs(came, self._inputs)


def mix(weights: NDArray[np.float64], tensors: Sequence[Tensor]) -> Tensor:
    """Give a weighted sum in the tensors' dtype; of bfloat16 it is added up in float32."""
    first = tensors[0]
    total = float(weights[0]) * (first.float() if first.dtype.itemsize < 4 else first)
    for weight, tensor in zip(weights[1:].tolist(), tensors[1:], strict=True):
        total.add_(tensor, alpha=weight)
    return total.to(first.dtype)


def require_finite(tensor: Tensor, name: str) -> None:
    """Raise ValueError, with the place, where a number is NaN or infinite."""
    if tensor.numel() and not is_within(tensor, inf):
        index = tuple((~tensor.isfinite()).nonzero()[0].tolist())
        raise ValueError(
            f"{name} must be finite, but {name}{list(index)} = {tensor[index].item()}; look for "
            "what made it"
        )


def is_within(tensor: Tensor, limit: float) -> bool:
    """Tell whether all numbers are below the limit, and none is NaN, by one pass."""
    low, high = tensor.aminmax()  # NaN where a number is
    return bool(-limit < low.item() and high.item() < limit)


def _padded(rows: Tensor, count: int) -> Tensor:
    """Copy rows, and add zeros up to a number of rows."""
    padded = rows.new_zeros(count, *rows.shape[1:])
    padded[: len(rows)] = rows
    return padded
