"""How answers, and inputs, are read: as arrays of numbers, and what of that may take long."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from functools import cache, partial
from math import inf
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from coded.runtime.nested_arrays import Kind, Layout, Read, pack
from fastspline.arrays import FloatArray, Restore, read_array, require_finite

_LARGE = 1 << 20  # bytes of an answer that takes long to read for an event loop
_PLAIN = (np.ndarray, np.generic, float, int, complex)  # read without running code of theirs
# Numbers up to which BLAS multiplies in this thread: where processors are busy, waiting for its
# others takes a thousand times as long (measured: 32 ms for 8 MB instead of .5).
_BLAS_ALONE = 8192
_HEADROOM = 2.0**28  # decoders amplify answers by less than this, Lagrange's by up to 1e8


class Reading(Enum):
    """How an answer is to be read that takes longer than others."""

    LARGE = "in a thread, where an event loop must not wait"
    FOREIGN = "in a thread of its own, for it runs code of its own that may do anything"


def reading_of(answer: object) -> Reading | None:
    """Say how an answer is to be read; None is here and now."""
    if isinstance(answer, _PLAIN):
        return Reading.LARGE if getattr(answer, "nbytes", 0) > _LARGE else None
    if isinstance(answer, tuple | dict):
        leaves = answer.values() if isinstance(answer, dict) else answer
        readings = {reading_of(leaf) for leaf in leaves}
        return next((one for one in (Reading.FOREIGN, Reading.LARGE) if one in readings), None)
    if type(answer).__module__.partition(".")[0] == "torch":
        return Reading.LARGE if getattr(answer, "nbytes", inf) > _LARGE else None
    return Reading.FOREIGN


def read_reals(_: int, answer: Any) -> tuple[Kind, Any]:
    """Read an answer as `ReadingAnswers` do: finite real numbers, which stay as they came."""
    return read_answer(answer, read_array)[1].kind, answer


def read_answer(answer: ArrayLike, read: Read) -> tuple[FloatArray, Layout]:
    """Give an answer as one array, checked, and the way back to its kind."""
    array, layout = pack(answer, "answer", read, lead=0)
    if array.size == 0:
        raise ValueError(f"answer is empty, it has shape {layout}")
    if array.dtype.kind not in "fc":  # whole numbers and objects do not overflow
        return array, layout
    limit = _limit(array.dtype)
    if not _is_moderate(array, limit):
        largest = float(np.abs(array).max())
        pack(answer, "answer", partial(read_finite, read), lead=0)  # tells which is not finite
        raise ValueError(
            f"answer holds numbers too large to decode: max |answer| = {largest:g}, at most "
            f"{limit:.3g} is allowed in {array.dtype}; scale the answers down"
        )
    return array, layout


def read_finite(read: Read, values: ArrayLike, name: str) -> tuple[FloatArray, Restore]:
    """Read `values`; ValueError if one is not finite."""
    array, restore = read(values, name)
    if array.dtype.kind in "fc":
        require_finite(array, name)
    return array, restore


def refuse_nest(inputs: object) -> NoReturn:
    """Raise TypeError for a nest of inputs where a prior takes a stack of them."""
    raise TypeError(
        "inputs must be one array for WithPrior, whose prior takes a stack of inputs, got a "
        f"{type(inputs).__name__}; stack the inputs, or take the scheme without prior"
    )


def coarsest(dtypes: Collection[np.dtype[Any]]) -> np.dtype[Any]:
    """Give the dtype that rounds most, float64 for integers; no number's if none is."""
    kept = tuple(dtypes)
    if all(dtype.kind not in "biufc" for dtype in kept):
        return kept[0]
    inexact = [dtype for dtype in kept if dtype.kind in "fc"]
    return max(inexact, key=lambda one: float(np.finfo(one).eps), default=np.dtype(np.float64))


def _is_moderate(array: FloatArray, limit: float) -> bool:
    """Whether all numbers lie within the limit, and none is NaN."""
    if array.size <= _BLAS_ALONE and np.vdot(array, array).real <= limit:
        return True
    reals = np.abs(array) if array.dtype.kind == "c" else array
    return bool(reals.max() <= limit and reals.min() >= -limit)


@cache
def _limit(dtype: np.dtype[Any]) -> float:
    """Give the largest number of an answer that can be decoded in this dtype."""
    return float(np.finfo(dtype).max) / _HEADROOM
