"""One product of reals behind masks: what each worker gets, what an answer must be, how C comes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.masking import ComplexArray
from coded.schemes.protocol import Function, Responders
from fastspline.arrays import FloatArray, Restore, as_numpy, require_finite

_EPS = float(np.finfo(np.float64).eps)


class Code(Protocol):
    """What a product needs of its `AnalogMatmulCode`, which itself makes products."""

    min_responders: int

    @property
    def mask_std(self) -> float:
        """Deviation of the masks."""

    def can_decode(self, responders: ArrayLike) -> bool:
        """Tell whether these answers give C."""

    def amplification(self, responders: ArrayLike) -> float:
        """Tell by how much their errors grow."""

    def need(self, responders: Responders) -> str:
        """Say what they lack."""

    def liars(
        self, answers: ComplexArray, responders: Responders, rounding: FloatArray
    ) -> Responders:
        """Tell whose answers contradict all others."""

    def decode(self, answers: ComplexArray, responders: Responders) -> FloatArray:
        """Give C."""


class AnalogJob:
    """One product; made by ``code.prepare``, used once."""

    def __init__(
        self,
        code: Code,
        shares: tuple[ComplexArray, ComplexArray],
        restore: Restore,
        *,
        is_vector: bool,
        is_nothing: bool,
    ) -> None:
        self._code, self._restore, self._is_vector = code, restore, is_vector
        self.min_responders = code.min_responders
        self._answered = (shares[0].shape[1], shares[1].shape[2])
        self._shares = shares
        self._is_nothing = is_nothing  # C = 0 has no digits to be eaten
        send = Restore(np.dtype(np.complex128), restore.device)
        self.payloads: list[tuple[Any, ...]] = [
            (send(a), send(b)) for a, b in zip(*shares, strict=True)
        ]

    def function(self, worker: int, fn: Function) -> Function:  # noqa: ARG002 (as of the protocol)
        """Give the product, the same for all."""
        return fn

    def read(self, worker: int, answer: Any) -> tuple[tuple[int, int], ComplexArray]:  # noqa: ARG002 (as of the protocol)
        """Give an answer as complex numbers; TypeError or ValueError if it is none of these."""
        array, _ = as_numpy(answer, "answer")
        if array.dtype.kind not in "fc":
            raise TypeError(f"answer must hold complex numbers, got dtype {array.dtype}")
        if array.shape != self._answered:
            raise ValueError(
                f"answer has shape {array.shape}, but the blocks' product {self._answered}"
            )
        require_finite(array, "answer")
        return self._answered, array

    def can_decode(self, responders: NDArray[np.intp]) -> bool:
        """Ask the code."""
        return self._code.can_decode(responders)

    def need(self, responders: NDArray[np.intp]) -> str:
        """Say what answers that do not suffice lack."""
        return self._code.need(tuple(responders.tolist()))

    def exact_mask(self, responders: NDArray[np.intp]) -> NDArray[np.bool_]:
        """C is exact up to amplified rounding, or is not given."""
        return np.array(self.can_decode(responders))

    def liars(self, answers: Sequence[ComplexArray], responders: NDArray[np.intp]) -> Sequence[int]:
        """Tell whose answers contradict all others."""
        if len(responders) <= self.min_responders:
            return ()
        rows = np.stack(answers).reshape(len(answers), -1)
        return self._code.liars(rows, tuple(responders.tolist()), self._rounding().ravel())

    def decode(self, answers: Sequence[ComplexArray], responders: NDArray[np.intp]) -> Any:
        """Give C."""
        product = self._code.decode(np.stack(answers), tuple(responders.tolist()))
        largest = float(np.abs(product).max())
        size = max(float(np.abs(one).max()) for one in answers)
        rounding = 2.0 * _EPS * self._code.amplification(responders) * size
        if not self._is_nothing and rounding > 0.1 * largest:
            warnings.warn(
                f"outputs are at most {largest:.1e} and their rounding errors up to about "
                f"{rounding:.1e}, for masks have made answers so large; lower mask_std = "
                f"{self._code.mask_std:.1e}",
                RuntimeWarning,
                stacklevel=3,
            )
        return self._restore(np.ascontiguousarray(product[:, 0]) if self._is_vector else product)

    def _rounding(self) -> FloatArray:
        """Bound the rounding of an answer's entries, shape (r, c), by Cauchy's inequality.

        Of s products ``s eps |a| |b|``; of encoding, whose p + T terms are no larger than the
        largest share times sqrt(p + T), as many times that.
        """
        a, b = self._shares
        units = [float(np.abs(one).max()) or 1.0 for one in (a, b)]  # whose squares may overflow
        rows = np.linalg.norm(a / units[0], axis=2).max(axis=0) * units[0]
        columns = np.linalg.norm(b / units[1], axis=1).max(axis=0) * units[1]
        n_terms = (self.min_responders + 1) // 2
        roundings = 2.0 * a.shape[2] + 8.0 * n_terms**1.5
        bound: FloatArray = roundings * _EPS * np.outer(rows, columns)
        return bound

    def __repr__(self) -> str:
        """Give the code's own line."""
        return repr(self._code)
