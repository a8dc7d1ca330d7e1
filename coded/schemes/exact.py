"""What codes share that are exact for a class of functions, where double precision lets them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.maps.arrays import LinearMap, Matrix
from coded.schemes.door import read_responders
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from fastspline.arrays import FloatArray

LARGEST_AMPLIFICATION = 1e8  # leaves about 8 of float64's 16 digits


class ExactScheme(LinearScheme):
    """A linear code all of whose outputs are exact, for the functions that it is for.

    Errors of the answers, their rounding above all, grow by up to `amplification`: responders
    that amplify by more than 1e8 are refused, as if there were too few of them. A family
    supplies `_build_encoder`, `_held`, `_build_exact`, `_determine` and `_lack`, perhaps
    `_advice` and `_settings`, and sets `_n_stragglers`, the losses that it survives whichever
    they are.
    """

    def amplification(self, responders: ArrayLike) -> float:
        """Give the largest factor by which errors of the answers grow in the outputs.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        float
            ``max_k sum_r |D[k, r]|`` over the decoding matrix D; inf where the answers do not
            determine the outputs, or D is not exact in double precision.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        return self._amplification(read_responders(responders, self._n_workers))

    def exact_mask(self, responders: ArrayLike) -> NDArray[np.bool_]:
        """Tell which outputs are exact: all of them, f being one that the code is for.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray of bool, shape (K,)
            All true where these responders can be decoded.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        return np.full(self._n_inputs, self.can_decode(responders))

    # What a family supplies.

    @abstractmethod
    def _build_exact(self, responders: Responders) -> tuple[LinearMap, float]:
        """Make the decoder from answers that determine the outputs; give its amplification."""

    @abstractmethod
    def _determine(self, responders: Responders) -> bool:
        """Tell whether the answers determine all outputs, in exact arithmetic."""

    @abstractmethod
    def _lack(self) -> str:
        """Say what `_determine` asks for, in words that follow "needs"."""

    def _advice(self) -> str:
        """Say what besides more answers helps against amplification."""
        return ""

    # What follows from it.

    def _suffices(self, responders: Responders) -> bool:
        return self._amplification(responders) <= LARGEST_AMPLIFICATION

    def _need(self, responders: Responders) -> str:
        if not self._determine(responders):
            return self._lack()
        return (
            f"answers that amplify errors by at most {LARGEST_AMPLIFICATION:.0e}, and these do by "
            f"{self._amplification(responders):.1e}{self._advice()}"
        )

    def _build_decoder(self, responders: Responders) -> LinearMap:
        return self._plan(responders)

    def _amplification(self, responders: Responders) -> float:
        if not self._determine(responders):
            return np.inf
        return self._plan(responders).amplification

    def _plan(self, responders: Responders) -> _Amplifying:
        """Give the decoder with its amplification; the latest ones are kept."""
        plan = self._decoders.get(responders, self._build_amplifying, _is_decoded_with)
        return cast(_Amplifying, plan)  # no others are made

    def _build_amplifying(self, responders: Responders) -> _Amplifying:
        return _Amplifying(*self._build_exact(responders))


def _is_decoded_with(plan: LinearMap) -> bool:
    return cast(_Amplifying, plan).amplification <= LARGEST_AMPLIFICATION


@dataclass(frozen=True, eq=False)
class _Amplifying:
    """A decoder, and by how much it amplifies errors."""

    decoder: LinearMap
    amplification: float

    def __call__(self, values: FloatArray) -> FloatArray:
        return self.decoder(values)

    def adjoint(self, cotangent: FloatArray) -> FloatArray:
        return self.decoder.adjoint(cotangent)

    def dense(self) -> Matrix:
        return self.decoder.dense()
