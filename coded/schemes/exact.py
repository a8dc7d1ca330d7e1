"""What codes share that are exact for a class of functions, where double precision lets them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NoReturn, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.consistency import Check
from coded.algebra.wrong_rows import Verdict, locate_wrong_rows
from coded.maps.arrays import LinearMap, Matrix, MatrixMap, apply_map
from coded.maps.torch_compile import untraced
from coded.schemes.door import read_responders
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import (
    InconsistentAnswersError,
    NotEnoughRespondersError,
    Responders,
)
from fastspline.arrays import FloatArray, Restore, require_finite

LARGEST_AMPLIFICATION = 1e8  # leaves about 8 of float64's 16 digits
# Of coarser answers, whose amplified rounding stays below a hundredth of their size.
_LIMITS = {np.dtype(one): 1e-2 / float(np.finfo(one).eps) for one in (np.float16, np.float32)}


class ExactScheme(LinearScheme):
    """A linear code all of whose outputs are exact, for the functions that it is for.

    Errors of the answers, their rounding above all, grow by up to `amplification`: responders
    that amplify by more than 1e8 are refused, as if there were too few of them. Answers in
    float32 and float16 round more: there the limit is 8e4 and 10, so that amplified rounding
    stays below a hundredth. `can_decode` has to be told the dtype, `decode` sees it.

    Answers that are more than are needed are checked against the code's model of f, and
    `decode` leaves out those that contradict all others (`find_liars`).

    A family supplies `_build_encoder`, `_held`, `_build_exact`, `_determine` and `_lack`,
    perhaps `_advice` and `_settings`, `_generator`, `_most_liars` and `_model_of_f`, and sets
    `_n_stragglers`, the losses that it survives whichever they are. `_is_checked` is False where
    no output is called exact but answers themselves.
    """

    _is_checked: ClassVar[bool] = True

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

    @untraced
    def find_liars(self, coded_outputs: ArrayLike, responders: ArrayLike) -> Responders:
        """Tell which workers' answers contradict those of all others.

        Answers of a function that the code is for are ``G_F z``, G_F one row a responder; spare
        answers are those beyond the columns of G_F. They tell who is wrong while no more are
        than ``(d - 1) // 2``, d the distance of the code restricted to these responders: one
        more than the number of spare answers, unless the scheme says otherwise. Answers may
        miss the model by 1000 roundings of their own dtype, each column by its own size, at
        least a tenth of the columns' root mean square; numbers of float64 that are float32's
        are taken to be rounded to that.

        Parameters
        ----------
        coded_outputs : array_like, shape (R, ...)
            Answers in the order of `responders`; numpy or torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        tuple of int
            Workers, ascending; none where the answers agree, or are too few to tell. Where most
            workers agree on another function that the code is for, the others are named.

        Raises
        ------
        InconsistentAnswersError
            If the answers contradict the model and it is not to be told who is wrong, or more
            are than can be told: then f may be no function that the code is for.
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.
        """
        array, _, workers = self._read_answers(coded_outputs, responders)
        self._require_enough(workers)
        return self._liars(array, workers)

    @untraced
    def estimate(self, coded_outputs: ArrayLike, responders: ArrayLike) -> FloatArray:
        """Decode answers of any function: estimates without bound, which nothing checks.

        Parameters
        ----------
        coded_outputs : array_like, shape (R, ...)
            Answers in the order of `responders`; numpy or torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        array of the kind and floating dtype of `coded_outputs`, shape (K, ...)
            ``decoding_matrix(responders) @ coded_outputs``.

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`, but no InconsistentAnswersError.
        """
        if (way := self._other_way(coded_outputs)) is not None:
            return cast(FloatArray, way.decode(self, coded_outputs, responders, looks=False))
        array, restore, workers = self._read_answers(coded_outputs, responders)
        return restore(apply_map(self._decoder(workers), array, "coded_outputs"))

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

    def _generator(self, responders: Responders) -> NDArray[Any]:
        """Give G_F: the answers of `responders` are ``G_F z`` for the functions of the code."""
        return self._encoder().dense()[list(responders)]

    def _n_symbols(self) -> int:
        """Give the number of columns of G_F."""
        return self._n_inputs

    def _most_liars(self, responders: Responders) -> int:
        """Give ``(d - 1) // 2``, d the distance of the code restricted to these responders."""
        return (len(responders) - self._n_symbols()) // 2

    def _model_of_f(self) -> str:
        """Say which functions the code is for."""
        return "affine"

    # What follows from it.

    def _suffices_in(self, dtype: np.dtype[Any], responders: Responders) -> bool:
        return self._amplification(responders) <= largest_amplification(dtype)

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

    def _decoder(self, responders: Responders) -> LinearMap:
        """Give the decoder of one responder set, unless it is refused."""
        self._require_enough(responders)
        return self._plan(responders)

    def _amplification(self, responders: Responders) -> float:
        return self._plan(responders).amplification

    def _plan(self, responders: Responders) -> _Amplifying:
        """Give the decoder with its amplification; the latest ones are kept, refused ones too."""
        return cast(_Amplifying, self._decoders.get(responders, self._build_amplifying))

    def _build_amplifying(self, responders: Responders) -> _Amplifying:
        decoder: LinearMap = MatrixMap(np.zeros((self._n_inputs, len(responders))))
        amplified = np.inf
        if self._determine(responders):
            decoder, amplified = self._build_exact(responders)
        check = Check(partial(self._generator, responders))
        return _Amplifying(decoder, amplified, check)

    def _looks_at(self, responders: Responders) -> bool:
        """Tell whether spare answers may show that some are wrong."""
        return len(responders) > self._n_symbols() and self._is_checked

    def _read_answers(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[FloatArray, Restore, Responders]:
        read = super()._read_answers(coded_outputs, responders)
        self._require_stable(read[2], read[1].dtype)
        return read

    def _require_stable(self, responders: Responders, dtype: np.dtype[Any]) -> None:
        """Raise NotEnoughRespondersError where answers of that dtype are amplified too much."""
        amplified, limit = self._plan(responders).amplification, largest_amplification(dtype)
        if amplified > limit:
            self._require_enough(responders)
            raise NotEnoughRespondersError(
                f"{len(responders)} of {self._n_workers} workers answered, {self!r} needs answers "
                f"that amplify errors by at most {limit:.0e} in {dtype}, and these do by "
                f"{amplified:.1e}{self._advice()}; wait for more answers, raise n_workers, or let "
                "f compute in float64",
                responders=responders,
            )

    def _choose_decoder(self, coded_outputs: FloatArray, responders: Responders) -> LinearMap:
        """Leave out the liars."""
        plan = self._plan(responders)
        if plan.amplification > LARGEST_AMPLIFICATION:
            self._require_enough(responders)
        if not (liars := self._liars(coded_outputs, responders)):
            return plan.decoder
        is_honest = ~np.isin(responders, liars)
        honest = tuple(np.array(responders)[is_honest].tolist())
        self._require_stable(honest, coded_outputs.dtype)
        decoder = self._decoder(honest).dense()
        matrix = np.zeros((len(decoder), len(responders)), decoder.dtype)
        matrix[:, is_honest] = decoder
        return MatrixMap(matrix)

    def _liars(self, coded_outputs: FloatArray, responders: Responders) -> Responders:
        """Give the workers whose answers contradict those of all others."""
        if not self._looks_at(responders):
            return ()
        answers = coded_outputs.reshape(len(responders), -1)
        check = self._plan(responders).check
        if check.contradicted(answers).size == 0:
            return ()
        require_finite(coded_outputs, "coded_outputs")
        most = self._most_liars(responders)
        verdict = locate_wrong_rows(check.model(), answers, most, check)
        if verdict.wrong is None:
            self._refuse(responders, most, verdict)
        return tuple(responders[i] for i in verdict.wrong)

    def _refuse(self, responders: Responders, most: int, verdict: Verdict) -> NoReturn:
        """Raise InconsistentAnswersError."""
        workers = tuple(responders[i] for i in verdict.suspects)
        told = f" ({', '.join(map(str, workers))} perhaps)" if workers else ""
        raise InconsistentAnswersError(
            f"{len(responders)} answers contradict each other: {self!r} is for f that is "
            f"{self._model_of_f()}, and these miss that by {verdict.residual:.1e} of their size, "
            "beyond rounding. f is no such function (require_polynomial tests one), or computes "
            f"in fewer digits than its answers' dtype has, or workers answer wrongly{told}: so "
            f"many answers tell who, if at most {most} do, and each 2 more tell 1 more. Take "
            "another code for another f, such as KernelScheme, or `estimate`, which checks nothing",
            residual=verdict.residual,
            suspects=workers,
        )


def largest_amplification(dtype: np.dtype[Any]) -> float:
    """Give by how much errors of answers of that dtype may be amplified."""
    return _LIMITS.get(dtype, LARGEST_AMPLIFICATION)


@dataclass(frozen=True, eq=False)
class _Amplifying:
    """A decoder, by how much it amplifies errors, and what tells whether answers agree."""

    decoder: LinearMap
    amplification: float
    check: Check

    def __call__(self, values: FloatArray) -> FloatArray:
        return self.decoder(values)

    def adjoint(self, cotangent: FloatArray) -> FloatArray:
        return self.decoder.adjoint(cotangent)

    def dense(self) -> Matrix:
        return self.decoder.dense()
