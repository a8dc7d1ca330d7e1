"""Rows that are copies, of any dtype; and what becomes of them where they must be mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.maps.arrays import LinearMap, apply_map
from coded.maps.copies import FilledMap, RowMap
from coded.schemes.door import read_responders, refuse_gradient, require_answers, require_inputs
from coded.schemes.linear_code import LinearCode
from coded.schemes.protocol import Responders
from fastspline.arrays import FloatArray, Restore, as_numpy, read_array, require_finite

Rows = NDArray[Any]

_LARGEST = 2**53  # of whole numbers, up to which float64 holds all


@dataclass(frozen=True, slots=True)
class AsItIs(Restore):
    """The way back of what was not converted: copies keep their dtype, sums their own."""

    def __call__(self, result: Rows) -> Any:
        """Give `result` as an array of the caller's kind; a single object as itself."""
        if self.device is None:
            result = self.cast(result)
            is_object = result.ndim == 0 and result.dtype.kind not in "biufc"
            return result.item() if is_object else result
        return Restore(result.dtype, self.device)(result)

    def cast(self, result: Rows) -> Rows:
        """Take back what stood beside objects; leave all else."""
        return result.astype(self.dtype) if result.dtype == object else result


def read_as_it_is(values: ArrayLike, name: str) -> tuple[Rows, Restore]:
    """Give real numbers as they are computed with, and anything else unconverted."""
    array, device = as_numpy(values, name)
    if array.dtype.kind == "f":
        return read_array(values, name)
    if array.dtype.kind == "V" or (array.dtype == object and any(x is None for x in array.flat)):
        what = "None" if array.dtype == object else f"dtype {array.dtype}"
        raise TypeError(f"{name} must hold numbers or other values, got {what}; drop such entries")
    return array, AsItIs(array.dtype, device)


def read_mixable(values: ArrayLike, name: str) -> tuple[FloatArray, Restore]:
    """Give real numbers; ValueError for whole numbers that float64 does not hold."""
    array, _ = as_numpy(values, name)
    _require_held(array, name)
    return read_array(values, name)


def encode(scheme: LinearCode, build: Callable[[], LinearMap], inputs: ArrayLike) -> Rows:
    """Encode what are no floats: copies of any dtype, mixtures of numbers."""
    refuse_gradient(inputs, "inputs", scheme)
    array, restore = read_as_it_is(inputs, "inputs")
    require_inputs(array.shape, scheme.n_inputs, scheme)
    linear_map = build()
    index = _copied_rows(linear_map)
    if array.dtype.kind != "f" and index is not None:
        return _copied(array, index, "inputs", restore)
    return restore(_mixed(array, "inputs", lambda reals: apply_map(linear_map, reals, "inputs")))


def decode(scheme: LinearCode, coded_outputs: ArrayLike, responders: ArrayLike) -> Rows:
    """Decode what are no floats: copies of any dtype, mixtures of numbers."""
    refuse_gradient(coded_outputs, "coded_outputs", scheme)
    workers = read_responders(responders, scheme.n_workers)
    array, restore = read_as_it_is(coded_outputs, "coded_outputs")
    require_answers(array.shape, workers)
    scheme._require_enough(workers)
    index = copied_from(scheme, workers)
    if array.dtype.kind != "f" and index is not None:
        return _copied(array, index, "coded_outputs", restore)

    def mix(reals: FloatArray) -> FloatArray:
        return apply_map(scheme._choose_decoder(reals, workers), reals, "coded_outputs")

    return restore(_mixed(array, "coded_outputs", mix))


def decode_with_std_as_it_is(
    scheme: Any, coded_outputs: ArrayLike, responders: ArrayLike
) -> tuple[Rows, NDArray[np.float64]]:
    """Decode what are no floats, with the errors to expect: inf where it is no number."""
    array, _ = read_as_it_is(coded_outputs, "coded_outputs")
    if array.dtype.kind == "f":
        outputs, std = scheme.decode_with_std(array, responders)
        return outputs, std
    outputs = decode(scheme, coded_outputs, responders)
    mask = scheme.exact_mask(responders)
    if mask.all() or array.dtype.kind not in "biuc":
        return outputs, np.where(mask, 0.0, np.inf)
    found: list[NDArray[np.float64]] = []

    def estimate(reals: FloatArray) -> FloatArray:
        estimates, std = scheme.decode_with_std(reals, responders)
        found.append(std)
        return np.asarray(estimates)

    _mixed(array, "coded_outputs", estimate)
    return outputs, found[0]


def copied_from(scheme: LinearCode, responders: Responders) -> NDArray[np.intp] | None:
    """Give the answer that each output is a copy of; None where one is no copy."""
    held, first = np.unique(scheme._held()[list(responders)], return_index=True)
    if np.array_equal(held[held >= 0], np.arange(scheme.n_inputs)):
        return first[held >= 0]
    if scheme._looks_at(responders):
        return None
    return _copied_rows(scheme._decoder(responders))


def _copied_rows(linear_map: LinearMap) -> NDArray[np.intp] | None:
    """Give the row that each row is a copy of; None where some are sums."""
    if isinstance(linear_map, RowMap):
        return linear_map.index
    if isinstance(linear_map, FilledMap) and (linear_map.source >= 0).all():
        return linear_map.source
    return None


def _copied(array: Rows, index: NDArray[np.intp], name: str, restore: Restore) -> Rows:
    if array.dtype.kind == "c":
        require_finite(array, name)
    return restore(array[index])


def _mixed(array: Rows, name: str, mix: Callable[[FloatArray], FloatArray]) -> Rows:
    """Give what `mix` makes of the numbers, the parts of complex ones side by side."""
    if array.dtype == object:
        array = _numbers_of(array, name)
    if array.dtype.kind == "c":
        parts = array.astype(np.complex128).view(np.float64).reshape(*array.shape, 2)
        return np.ascontiguousarray(mix(parts)).view(np.complex128)[..., 0]
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} must hold real numbers (or complex ones) where rows are mixed, got dtype "
            f"{array.dtype}; wait until every input has an answer of its own, or let f give numbers"
        )
    _require_held(array, name)
    return mix(array.astype(np.float64, copy=False))


def _numbers_of(array: Rows, name: str) -> Rows:
    """Give the numbers among objects as such; leave other objects to be refused."""
    kinds = {np.asarray(one).dtype.kind for one in array.flat}
    if not kinds <= set("biuf"):
        return array
    for one in array.flat:
        _require_held(np.asarray(one), name)
    return array.astype(np.float64)


def _require_held(array: Rows, name: str) -> None:
    """Raise ValueError where float64 does not hold whole numbers as they are."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8 or array.size == 0:
        return
    largest = max(abs(int(array.max())), abs(int(array.min())))
    if largest > _LARGEST:
        raise ValueError(
            f"{name} hold whole numbers up to {largest}, and those beyond 2**53 are rounded where "
            "rows are mixed; let every input have an answer of its own (ReplicationScheme copies "
            "them as they are), or code the number's parts"
        )
