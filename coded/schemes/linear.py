"""Everything that a linear code offers, from two linear maps that a family supplies."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from coded.maps.arrays import LinearMap, Matrix, RowMap, apply_map
from coded.maps.untraced import untraced
from coded.schemes.protocol import NotEnoughRespondersError, Responders
from fastspline.arrays import FloatArray, Restore, is_torch_tensor, read_array

_KEPT_DECODERS = 256  # decoding plans kept per scheme, one a responder set
_KEPT_MATRICES = 16  # of those on devices
_PLANS = frozenset({"_lock", "_encoder_plan", "_decoder_plans", "_matrix_on"})


class LinearScheme(ABC):
    """Everything that a linear code offers, from two linear maps.

    A family supplies `_build_encoder`, `_build_decoder`, `_suffices` and `_held`; where that
    applies also `bind` (it looks at the data), `read_numbers` (it codes no real numbers),
    `_need` (more than 1 answer must come) and `_settings` (it has options, which `repr` shows).
    Checks at the door, dtypes, torch tensors, the cache of decoding plans, both matrices and
    pickling are here. float32 and float64 are kept, integers become float64, torch tensors
    come back as tensors, on their device, and can be differentiated. Where the answers choose
    the decoder, the derivative is that of the decoder chosen.

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

    def __init__(self, n_inputs: int, n_workers: int, n_stragglers: int | None) -> None:
        self._n_inputs = read_count(n_inputs, "n_inputs", at_least=1)
        self._n_workers = read_count(n_workers, "n_workers", at_least=1)
        if n_stragglers is None:
            n_stragglers = max(self._n_workers - self._n_inputs, 0)
        self._n_stragglers = read_count(
            n_stragglers, "n_stragglers", at_least=0, at_most=self._n_workers - 1
        )
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
        """The encoder as a dense matrix, shape (N, K), the bound order included."""
        return self._encoder().dense()

    def decoding_matrix(self, responders: ArrayLike) -> Matrix:
        """Give the decoder of one responder set as a dense matrix.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray, shape (K, R)
            ``decode(y, responders) == decoding_matrix(responders) @ y``.

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.
        """
        return self._decoder(self._read_responders(responders)).dense()

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
            Coded input n is for worker n.

        Raises
        ------
        TypeError
            If `inputs` holds no real numbers.
        ValueError
            If axis 0 has not K rows, or a number is not finite or so large that coded
            inputs overflow.
        """
        return self._map_inputs(self._encoder, inputs)

    def can_decode(self, responders: ArrayLike) -> bool:
        """Tell whether `decode` is defined for these responders.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

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
        return self._suffices(self._read_responders(responders))

    @untraced
    def decode(self, coded_outputs: ArrayLike, responders: ArrayLike) -> FloatArray:
        """Give the outputs of all inputs from the answers of some workers.

        Parameters
        ----------
        coded_outputs : array_like, shape (R, ...)
            Answers in the order of `responders`; numpy or torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        array of the kind and floating dtype of `coded_outputs`, shape (K, ...)
            ``f(inputs)``, exact where `exact_mask` says so, elsewhere estimated.

        Raises
        ------
        TypeError
            If `coded_outputs` holds no real numbers or `responders` no integers.
        ValueError
            If `responders` is unsorted, repeats, leaves [0, N) or has not the length
            of `coded_outputs`, or if an answer is not finite or so large that outputs
            overflow.
        NotEnoughRespondersError
            If ``can_decode(responders)`` is false (a ValueError too).
        """
        if is_torch_tensor(coded_outputs) and self._codes_real_numbers():
            return self._decode_tensor(coded_outputs, responders)
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
        held = self._held()[list(self._read_responders(responders))]
        return np.isin(np.arange(self._n_inputs), held)

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
            float32 or float64; codes over other numbers have their own.
        restore : callable
            Turns a result into the kind and dtype of `values`.

        Raises
        ------
        TypeError
            If `values` holds other numbers, is ragged or masked.
        """
        return read_array(values, name)

    def __getstate__(self) -> dict[str, Any]:
        """Give the settings; plans are cheap to make again and locks do not pickle."""
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

    def _need(self, responders: Responders) -> str:  # noqa: ARG002 (some families say which are lost)
        """Say what `_suffices` asks for, in words that follow "needs"."""
        return "1 answer"

    @abstractmethod
    def _held(self) -> NDArray[np.intp]:
        """Give the input that each worker evaluates itself, unmixed, or -1; shape (N,)."""

    def _fit_map(self) -> LinearMap:
        """Make the map from K inputs to the encoder's values at their own points."""
        return RowMap(np.arange(self._n_inputs), self._n_inputs)

    def _choose_decoder(
        self,
        coded_outputs: FloatArray,  # noqa: ARG002 (for families that look at the answers)
        responders: Responders,
    ) -> LinearMap:
        """Give the decoder for these answers; a linear code's depends on the responders alone."""
        return self._decoder(responders)

    def _looks_at_answers(self) -> bool:
        """Tell whether `_choose_decoder` does."""
        return type(self)._choose_decoder is not LinearScheme._choose_decoder

    def _decode_with_std(
        self,
        coded_outputs: ArrayLike,
        responders: ArrayLike,
        estimate: Callable[[LinearMap, Matrix, Responders], NDArray[np.float64]],
    ) -> tuple[FloatArray, NDArray[np.float64]]:
        """Decode, and ask `estimate` for the errors of the K outputs; those of answers are 0.

        `estimate` gets the decoder, the answers in float64, flattened to (R, columns), in units
        of the largest, so that no square overflows or vanishes, and the responders.
        """
        array, restore, workers = self._read_answers(coded_outputs, responders)
        decoder = self._choose_decoder(array, workers)
        outputs = self._apply_decoder(decoder, coded_outputs, array, restore)
        exact = self.exact_mask(np.array(workers))
        std = np.zeros(self._n_inputs)
        if not exact.all():
            answers = array.reshape(len(array), -1).astype(np.float64, copy=False)
            unit = float(np.abs(answers).max(initial=0.0)) or 1.0
            errors = estimate(decoder, answers / unit, workers)
            with np.errstate(over="ignore"):
                std[~exact] = unit * errors[~exact]
        return outputs, std

    def _apply_decoder(
        self,
        decoder: LinearMap,
        coded_outputs: ArrayLike,
        array: FloatArray,
        restore: Restore,
    ) -> FloatArray:
        """Apply a decoder to answers, which `array` are the numbers of, as they came."""
        if is_torch_tensor(coded_outputs) and self._codes_real_numbers():
            return self._on_tensor(decoder, coded_outputs, "coded_outputs")
        return restore(apply_map(decoder, array, "coded_outputs"))

    def _settings(self) -> str:
        """Give the keyword arguments of `__repr__`, each after a comma."""
        return f", n_stragglers={self._n_stragglers}"

    # Tensors. torch is there if the caller has one, and only then.

    def _codes_real_numbers(self) -> bool:
        return type(self).read_numbers is LinearScheme.read_numbers

    def _map_inputs(self, build: Callable[[], LinearMap], inputs: Any) -> FloatArray:
        """Apply the map that `build` gives to the inputs, as they came."""
        if is_torch_tensor(inputs) and self._codes_real_numbers():
            self._require_inputs(tuple(inputs.shape))
            return self._on_tensor(build(), inputs, "inputs")
        array, restore = self._read_inputs(inputs)
        return restore(apply_map(build(), array, "inputs"))

    def _decode_tensor(self, coded_outputs: Any, responders: ArrayLike) -> FloatArray:
        workers = self._read_responders(responders)
        self._require_answers(tuple(coded_outputs.shape), workers)
        if not self._looks_at_answers():
            return self._on_tensor(self._decoder(workers), coded_outputs, "coded_outputs")
        from coded.maps.tensors import apply_chosen

        choose = partial(self._choose_decoder, responders=workers)
        outputs: Any = apply_chosen(choose, coded_outputs, "coded_outputs")
        return outputs  # type: ignore[no-any-return]

    def _on_tensor(self, linear_map: LinearMap, values: Any, name: str) -> FloatArray:
        from coded.maps.tensors import apply_to_tensor

        matrix_on = None if values.device.type == "cpu" else self._matrix_on
        result: Any = apply_to_tensor(linear_map, values, name, matrix_on)
        return result  # type: ignore[no-any-return]

    # Plans.

    def _forget_plans(self) -> None:
        self._lock = threading.Lock()
        self._encoder_plan: LinearMap | None = None
        self._decoder_plans: OrderedDict[Responders, LinearMap] = OrderedDict()
        self._matrix_on: Any = lru_cache(maxsize=_KEPT_MATRICES)(_dense_on)

    def _encoder(self) -> LinearMap:
        """Give the encoder, made on first use."""
        if self._encoder_plan is None:
            self._encoder_plan = self._build_encoder()
        return self._encoder_plan

    def _decoder(self, responders: Responders) -> LinearMap:
        """Give the decoder of one responder set; the latest ones are kept."""
        plan = self._kept(responders)
        if plan is None:
            self._require_enough(responders)
            plan = self._build_decoder(responders)
            self._keep(responders, plan)
        return plan

    def _kept(self, responders: Responders) -> LinearMap | None:
        """Give the decoder if it is among those that are kept."""
        with self._lock:
            plan = self._decoder_plans.get(responders)
            if plan is not None:
                self._decoder_plans.move_to_end(responders)
            return plan

    def _keep(self, responders: Responders, plan: LinearMap) -> None:
        """Keep a decoder, and let the one go that was used longest ago."""
        with self._lock:
            self._decoder_plans[responders] = plan
            self._decoder_plans.move_to_end(responders)
            if len(self._decoder_plans) > _KEPT_DECODERS:
                self._decoder_plans.popitem(last=False)

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
        array, restore = self._read(inputs, "inputs")
        self._require_inputs(array.shape)
        return array, restore

    def _require_inputs(self, shape: tuple[int, ...]) -> None:
        if not shape or shape[0] != self._n_inputs:
            raise ValueError(
                f"inputs has shape {shape}, but {self!r} needs {self._n_inputs} rows; "
                "stack the inputs, or make a scheme with that n_inputs"
            )

    def _read_answers(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[FloatArray, Restore, Responders]:
        """Give the answers as an array with a row a responder, and the way back to their kind."""
        workers = self._read_responders(responders)
        array, restore = self._read(coded_outputs, "coded_outputs")
        self._require_answers(array.shape, workers)
        return array, restore, workers

    def _require_answers(self, shape: tuple[int, ...], workers: Responders) -> None:
        if not shape or shape[0] != len(workers):
            raise ValueError(
                f"coded_outputs has shape {shape}, but there are {len(workers)} responders; "
                "pass one row for each responder, in the same order"
            )

    def _read(self, values: Any, name: str) -> tuple[FloatArray, Restore]:
        """Read numbers, of which no gradient is lost without a word."""
        if is_torch_tensor(values) and not self._codes_real_numbers():
            from coded.maps.tensors import refuse_gradient

            refuse_gradient(values, name, self)
        try:
            return self.read_numbers(values, name)
        except RuntimeError as error:
            if not is_torch_tensor(values):
                raise
            raise TypeError(
                f"{name} has no numbers to look at ({error}); under torch.func only encode and "
                "decode work: call bind and decode_with_std outside"
            ) from error

    def _read_responders(self, responders: ArrayLike) -> Responders:
        """Check the indices and give them as a tuple."""
        array = np.asarray(responders)
        if array.ndim != 1:
            raise ValueError(
                f"responders must be one-dimensional, got shape {array.shape}; "
                "pass the sorted indices of the workers that answered"
            )
        if array.size == 0:
            return ()
        if array.dtype.kind not in "iu":
            raise TypeError(
                f"responders must hold integers, got dtype {array.dtype}; "
                "pass sorted indices of workers (np.flatnonzero makes them from a mask)"
            )
        workers = tuple(array.tolist())
        descents = np.flatnonzero(array[1:] <= array[:-1])
        if descents.size:
            i = int(descents[0]) + 1
            raise ValueError(
                f"responders must be strictly ascending, but responders[{i}] = {workers[i]} "
                f"follows {workers[i - 1]}; sort them, and the answers with them"
            )
        if workers[0] < 0 or workers[-1] >= self._n_workers:
            i = 0 if workers[0] < 0 else int(np.argmax(array >= self._n_workers))
            raise ValueError(
                f"responders must lie in [0, n_workers) = [0, {self._n_workers}), but "
                f"responders[{i}] = {workers[i]}; workers are counted from 0"
            )
        return workers


def _dense_on(linear_map: LinearMap, device: Any) -> Any:
    from coded.maps.tensors import dense_on

    return dense_on(linear_map, device)
