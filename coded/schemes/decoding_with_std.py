"""Decoding with the errors to expect, as codes do it that estimate them from the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.maps.arrays import LinearMap, Matrix, apply_map, columns_of
from coded.schemes.door import is_float
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from fastspline.arrays import FloatArray, Restore, is_torch_tensor

Estimate: TypeAlias = Callable[[LinearMap, Matrix, Responders], NDArray[np.float64]]


def decode_with_std(
    scheme: LinearScheme, coded_outputs: ArrayLike, responders: ArrayLike, estimate: Estimate
) -> tuple[FloatArray, NDArray[np.float64]]:
    """Decode, and ask `estimate` for the errors of the K outputs; those of answers are 0.

    `estimate` gets the decoder, the answers in float64, flattened to (R, columns), in units
    of the largest, so that no square overflows or vanishes, and the responders.
    """
    if not is_float(coded_outputs) and scheme._keeps_copies:
        from coded.schemes.copying import decode_with_std_as_it_is

        return decode_with_std_as_it_is(scheme, coded_outputs, responders)
    array, restore, workers = scheme._read_answers(coded_outputs, responders)
    decoder = scheme._choose_decoder(array, workers)
    outputs = apply_decoder(scheme, decoder, coded_outputs, array, restore)
    is_estimate = ~scheme.exact_mask(np.array(workers))
    std = np.zeros(scheme.n_inputs)
    if is_estimate.any():
        answers = columns_of(array)
        unit = float(np.abs(answers).max(initial=0.0)) or 1.0
        errors = estimate(decoder, answers / unit, workers)
        with np.errstate(over="ignore"):
            std[is_estimate] = unit * errors[is_estimate]
    return outputs, std


def apply_decoder(
    scheme: LinearScheme,
    decoder: LinearMap,
    coded_outputs: ArrayLike,
    array: FloatArray,
    restore: Restore,
) -> FloatArray:
    """Apply a decoder to answers, which `array` are the numbers of, as they came."""
    if is_torch_tensor(coded_outputs) and scheme._numbers == "real":
        outputs: FloatArray = scheme._on_tensors.apply(decoder, coded_outputs, "coded_outputs")
        return outputs
    return restore(apply_map(decoder, array, "coded_outputs"))
