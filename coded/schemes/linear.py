"""Everything that a linear code offers, from two linear maps that a family supplies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from coded.arguments import read_count
from coded.maps.arrays import LinearMap, Matrix, apply_map
from coded.maps.torch_compile import untraced
from coded.schemes.decoders import Decoders
from coded.schemes.door import (
    is_float,
    read_responders,
    read_values,
    require_answers,
    require_inputs,
)
from coded.schemes.protocol import NotEnoughRespondersError, Numbers, Responders
from fastspline.arrays import FloatArray, Restore, is_torch_tensor, read_array, read_only

_PLANS = frozenset({"_encoder_plan", "_decoders", "_on_tensors"})  # cheap to make again


class LinearScheme(ABC):
    """Everything that a linear code offers, from two linear maps.

    A family supplies `_build_encoder`, `_build_decoder`, `_suffices` and `_held`; where that
    applies also `bind` (it looks at the data), `_numbers` and `read_numbers` (it codes no real
    numbers), `_looks_at_answers` and `_choose_decoder` (the answers choose the decoder), `_need`
    (more than 1 answer must come) and `_settings` (it has options, which `repr` shows). What is
    common is here: float32 and float64 are kept, integers become float64 (but copies where
    `_keeps_copies`, which keep any dtype: `copying`), torch tensors come back
    as tensors, on their device, and can be differentiated. Where the answers choose the decoder,
    the derivative is that of the decoder chosen.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1.
    n_stragglers : int, optional
        How many answers may be missing, in [0, N). None means ``max(N - K, 0)``.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.
    """

    _numbers: ClassVar[Numbers] = "real"
    _looks_at_answers = False
    _keeps_copies: ClassVar[bool] = False  # of what is no float, where all rows are copies

    def __init__(self, n_inputs: int, n_workers: int, n_stragglers: int | None) -> None:
        self._n_inputs = read_count(n_inputs, "n_inputs", at_least=1)
        self._n_workers = read_count(n_workers, "n_workers", at_least=1)
        if n_stragglers is None:
            n_stragglers = max(self._n_workers - self._n_inputs, 0)
        most = self._n_workers - 1
        self._n_stragglers = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=most)
        self._forget_plans()

    @property
    def n_inputs(self) -> int:
        """K, the number of inputs and of outputs."""
        return self._n_inputs

    @property
    def n_workers(self) -> int:
        """N, the number of coded inputs."""
        return self._n_workers

    @property
    def n_stragglers(self) -> int:
        """S, how many answers may be missing."""
        return self._n_stragglers

    @property
    def min_responders(self) -> int:
        """How many answers to wait for, N - n_stragglers."""
        return self._n_workers - self._n_stragglers

    @property
    def encoding_matrix(self) -> Matrix:
        """The encoder as a dense matrix, shape (N, K), the bound order included; read-only."""
        return read_only(self._encoder().dense())

    def decoding_matrix(self, responders: ArrayLike) -> Matrix:
        """Give the decoder of one responder set as a dense matrix.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray, shape (K, R)
            Read-only; ``decode(y, responders) == decoding_matrix(responders) @ y``.

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.
        """
        return read_only(self._decoder(read_responders(responders, self._n_workers)).dense())

    def bind(self, inputs: ArrayLike) -> Self:  # noqa: ARG002 (the protocol's signature)
        """Return the scheme itself: nothing in it depends on the inputs."""
        return self

    @untraced
    def encode(self, inputs: ArrayLike) -> FloatArray:
        """Turn K inputs into N coded inputs, ``encoding_matrix @ inputs``.

        Parameters
        ----------
        inputs : array_like, shape (K, ...)
            Numbers, numpy or torch, with any trailing shape.

        Returns
        -------
        array of the kind and floating dtype of `inputs`, shape (N, ...)
            Coded input n is for worker n. Codes of copies (`ReplicationScheme`, `KernelScheme`,
            `SplineScheme` where it is one) keep any dtype; what is mixed becomes float64 or
            complex128.

        Raises
        ------
        TypeError
            If `inputs` holds no real numbers.
        ValueError
            If axis 0 has not K rows, or a number is not finite or so large that coded
            inputs overflow, or if whole numbers beyond 2**53 would be mixed.
        """
        return self._map_inputs(self._encoder, inputs)

    def can_decode(self, responders: ArrayLike, *, dtype: DTypeLike = np.float64) -> bool:
        """Tell whether `decode` is defined for these responders.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.
        dtype : dtype, optional
            Of the answers. Codes that amplify rounding need more of float32 than of float64, and
            codes of copies an answer for every output of what is no number.

        Returns
        -------
        bool

        Raises
        ------
        TypeError
            If `responders` holds no integers.
        ValueError
            If `responders` is not one-dimensional, is unsorted, repeats or leaves [0, N).
        """
        return self._suffices_in(np.dtype(dtype), read_responders(responders, self._n_workers))

    @untraced
    def decode(self, coded_outputs: ArrayLike, responders: ArrayLike) -> FloatArray:
        """Give the outputs of all inputs from answers, by the scheme that encoded.

        Where `bind` returned another scheme and that encoded, only that one decodes: the unbound
        one, or one bound to other inputs, cannot know it, and decodes wrongly without a word.

        Parameters
        ----------
        coded_outputs : array_like, shape (R, ...)
            Answers in the order of `responders`; numpy or torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        array of the kind and floating dtype of `coded_outputs`, shape (K, ...)
            ``f(inputs)``, exact where `exact_mask` says so, elsewhere estimated. Codes of copies
            (`ReplicationScheme`, `KernelScheme`, `SplineScheme`) keep any dtype, bit for bit,
            where each output is an answer; what is mixed becomes float64 or complex128.

        Raises
        ------
        TypeError
            If `coded_outputs` holds no real numbers or `responders` no integers.
        ValueError
            If `responders` is unsorted, repeats, leaves [0, N) or has not the length
            of `coded_outputs`, or if an answer is not finite or so large that outputs
            overflow, or if whole numbers beyond 2**53 would be mixed.
        NotEnoughRespondersError
            If ``can_decode(responders)`` is false (a ValueError too).
        InconsistentAnswersError
            If the code is exact for some functions, and answers that are more than it needs
            contradict the others, it is not to be told which (a ValueError too).
        """
        if (way := self._other_way(coded_outputs)) is not None:
            return cast(FloatArray, way.decode(self, coded_outputs, responders))
        array, restore, workers = self._read_answers(coded_outputs, responders)
        decoder = self._choose_decoder(array, workers)
        return restore(apply_map(decoder, array, "coded_outputs"))

    @untraced
    def encoder_fit(self, inputs: ArrayLike) -> FloatArray:
        """Give what the encoder makes of each input at the input's own point.

        Parameters
        ----------
        inputs : array_like, shape (K, ...)
            As for `encode`.

        Returns
        -------
        array of the kind and floating dtype of `inputs`, shape (K, ...)
            The inputs themselves, unless the encoder smooths: its training error is the
            difference.

        Raises
        ------
        TypeError, ValueError
            As `encode`.
        """
        return self._map_inputs(self._fit_map, inputs)

    def exact_mask(self, responders: ArrayLike) -> NDArray[np.bool_]:
        """Tell which outputs are exact answers, not estimates.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray of bool, shape (K,)
            True where one of the responders evaluated the input itself.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        held = self._held()[list(read_responders(responders, self._n_workers))]
        mask = np.zeros(self._n_inputs, dtype=np.bool_)
        mask[held[held >= 0]] = True
        return mask

    def read_numbers(self, values: ArrayLike, name: str) -> tuple[FloatArray, Restore]:
        """Give `values` as an array of the numbers that are coded, and the way back.

        Parameters
        ----------
        values : array_like
            Inputs or answers, numpy or torch.
        name : str
            What the caller calls them; it begins every error message.

        Returns
        -------
        array : ndarray
            float32 or float64; codes over other numbers have their own, and what codes of copies
            have to copy stays as it is.
        restore : callable
            Turns a result into the kind and dtype of `values`.

        Raises
        ------
        TypeError
            If `values` holds other numbers, is ragged or masked.
        ValueError
            If whole numbers beyond 2**53 would be rounded.
        """
        if is_float(values):
            return read_array(values, name)
        from coded.schemes import copying

        read = copying.read_as_it_is if self._keeps_copies else copying.read_mixable
        return cast(tuple[FloatArray, Restore], read(values, name))

    def __getstate__(self) -> dict[str, Any]:
        """Give the settings without plans, which hold locks."""
        return {name: value for name, value in vars(self).items() if name not in _PLANS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the settings and start without plans."""
        vars(self).update(state)
        self._forget_plans()

    def __repr__(self) -> str:
        """One line that could be typed."""
        return f"{type(self).__name__}({self._n_inputs}, {self._n_workers}{self._settings()})"

    # What a family supplies.

    @abstractmethod
    def _build_encoder(self) -> LinearMap:
        """Make the map from K inputs to N coded inputs."""

    @abstractmethod
    def _build_decoder(self, responders: Responders) -> LinearMap:
        """Make the map from the answers of `responders`, which suffice, to K outputs."""

    @abstractmethod
    def _suffices(self, responders: Responders) -> bool:
        """Tell whether these answers, if any, can be decoded."""

    def _suffices_in(self, dtype: np.dtype[Any], responders: Responders) -> bool:
        """Tell whether so many answers of that dtype can be decoded."""
        if self._keeps_copies and dtype.kind not in "biufc":
            from coded.schemes.copying import copied_from

            return self._suffices(responders) and copied_from(self, responders) is not None
        return self._suffices(responders)

    def _need(self, responders: Responders) -> str:  # noqa: ARG002 (some families say which are lost)
        """Say what `_suffices` asks for, in words that follow "needs"."""
        return "1 answer"

    @abstractmethod
    def _held(self) -> NDArray[np.intp]:
        """Give the input that each worker evaluates itself, unmixed, or -1; shape (N,)."""

    def _fit_map(self) -> LinearMap:
        """Make the map from K inputs to the encoder's values at their own points."""
        from coded.maps.copies import RowMap  # what few ask for

        return RowMap(np.arange(self._n_inputs), self._n_inputs)

    def _choose_decoder(
        self,
        coded_outputs: FloatArray,  # noqa: ARG002 (for families that look at the answers)
        responders: Responders,
    ) -> LinearMap:
        """Give the decoder for these answers; a linear code's depends on the responders alone."""
        return self._decoder(responders)

    def _looks_at(self, responders: Responders) -> bool:  # noqa: ARG002 (of some, if they suffice)
        """Tell whether the answers of these workers choose their decoder."""
        return self._looks_at_answers

    def _settings(self) -> str:
        """Give the keyword arguments of `__repr__`, each after a comma."""
        return f", n_stragglers={self._n_stragglers}"

    # What follows from it.

    def _map_inputs(self, build: Callable[[], LinearMap], inputs: Any) -> FloatArray:
        """Apply the map that `build` gives to the inputs, as they came."""
        if (way := self._other_way(inputs)) is not None:
            return cast(FloatArray, way.encode(self, build, inputs))
        array, restore = self._read_inputs(inputs)
        return restore(apply_map(build(), array, "inputs"))

    def _other_way(self, values: Any) -> Any:
        """Give the module that codes what is no array of floats, if there is one."""
        if self._keeps_copies and not is_float(values):
            from coded.schemes import copying

            return copying
        if is_torch_tensor(values) and self._numbers == "real":
            from coded.schemes import through_tensors

            return through_tensors
        return None

    @cached_property
    def _on_tensors(self) -> Any:
        from coded.maps.on_tensors import OnTensors

        return OnTensors()

    def _forget_plans(self) -> None:
        self._encoder_plan: LinearMap | None = None
        self._decoders: Decoders[LinearMap] = Decoders()

    def _encoder(self) -> LinearMap:
        """Give the encoder, made on first use."""
        if self._encoder_plan is None:
            self._encoder_plan = self._build_encoder()
        return self._encoder_plan

    def _decoder(self, responders: Responders) -> LinearMap:
        """Give the decoder of one responder set; the latest ones are kept."""
        return self._decoders.get(responders, self._build_sufficient)

    def _build_sufficient(self, responders: Responders) -> LinearMap:
        self._require_enough(responders)
        return self._build_decoder(responders)

    def _require_enough(self, responders: Responders) -> None:
        """Raise NotEnoughRespondersError unless these answers can be decoded."""
        if not self._suffices(responders):
            raise NotEnoughRespondersError(
                f"{len(responders)} of {self._n_workers} workers answered, {self!r} needs "
                f"{self._need(responders)}; wait for more answers or raise n_workers",
                responders=responders,
            )

    def _read_inputs(self, inputs: ArrayLike) -> tuple[FloatArray, Restore]:
        """Give the inputs as an array with K rows, and the way back to the caller's kind."""
        array, restore = read_values(self, inputs, "inputs")
        require_inputs(array.shape, self._n_inputs, self)
        return array, restore

    def _read_answers(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[FloatArray, Restore, Responders]:
        """Give the answers as an array with a row a responder, and the way back to their kind."""
        workers = read_responders(responders, self._n_workers)
        array, restore = read_values(self, coded_outputs, "coded_outputs")
        require_answers(array.shape, workers)
        return array, restore, workers
