"""What linear codes refuse: arguments, checked before anything is made."""

from __future__ import annotations

import math
from numbers import Real
from operator import lt
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.schemes.protocol import Numbers, ReadingNumbers, Responders, Scheme
from fastspline.arrays import FloatArray, Restore, is_torch_tensor, read_array


def is_float(values: object) -> bool:
    """Tell whether `values` is an array or a tensor of floats."""
    dtype: Any = getattr(values, "dtype", None)
    return getattr(dtype, "kind", "") == "f" or getattr(dtype, "is_floating_point", False) is True


def read_responders(responders: ArrayLike, n_workers: int) -> Responders:
    """Check the indices of workers and give them as a tuple."""
    array = np.asarray(responders)
    if array.ndim == 1 and array.dtype.kind in "iu":
        workers = tuple(array.tolist())
        is_ascending = all(map(lt, workers, workers[1:]))
        if is_ascending and (not workers or (workers[0] >= 0 and workers[-1] < n_workers)):
            return workers
    return _refuse_responders(responders, array, n_workers)


def _refuse_responders(given: ArrayLike, array: NDArray[Any], n_workers: int) -> Responders:
    """Raise for what is no array of workers, ascending; an empty one has any dtype."""
    if array.ndim != 1:
        what = f"{given!r:.80}" if array.ndim == 0 else f"shape {array.shape}"
        raise ValueError(
            f"responders must be one-dimensional, got {what}; "
            "pass the sorted indices of the workers that answered"
        )
    if array.size == 0:
        return ()
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"responders must hold integers, got dtype {array.dtype}; "
            "pass sorted indices of workers (np.flatnonzero makes them from a mask)"
        )
    workers = array.tolist()
    i = next((i for i in range(1, len(workers)) if workers[i] <= workers[i - 1]), 0)
    if i:
        raise ValueError(
            f"responders must be strictly ascending, but responders[{i}] = {workers[i]} "
            f"follows {workers[i - 1]}; sort them, and the answers with them"
        )
    i = 0 if workers[0] < 0 else int(np.argmax(array >= n_workers))
    raise ValueError(
        f"responders must lie in [0, n_workers) = [0, {n_workers}), but "
        f"responders[{i}] = {workers[i]}; workers are counted from 0"
    )


def require_inputs(shape: tuple[int, ...], n_inputs: int, scheme: Scheme) -> None:
    """Raise ValueError unless an array of that shape has a row for each input of `scheme`."""
    if not shape or shape[0] != n_inputs:
        raise ValueError(
            f"inputs has shape {shape}, but {scheme!r} needs {n_inputs} rows; "
            "stack the inputs, or make a scheme with that n_inputs"
        )


def require_answers(shape: tuple[int, ...], responders: Responders) -> None:
    """Raise ValueError unless an array of that shape has a row for each responder."""
    if not shape or shape[0] != len(responders):
        raise ValueError(
            f"coded_outputs has shape {shape}, but there are {len(responders)} responders; "
            "pass one row for each responder, in the same order"
        )


class Reader(Scheme, ReadingNumbers, Protocol):
    """A scheme that says which numbers it codes, and reads them."""

    _numbers: ClassVar[Numbers]
    _keeps_copies: ClassVar[bool]


def read_values(scheme: Reader, values: ArrayLike, name: str) -> tuple[FloatArray, Restore]:
    """Read numbers, of which no gradient is lost without a word.

    TypeError for a tensor that has none, as those under torch.func.
    """
    if scheme._numbers != "real":
        refuse_gradient(values, name, scheme)
    read = read_array if scheme._keeps_copies else scheme.read_numbers
    try:
        return read(values, name)
    except RuntimeError as error:
        if not is_torch_tensor(values):
            raise
        raise TypeError(
            f"{name} has no numbers to look at ({error}); under torch.func only encode and "
            "decode work: call bind and decode_with_std outside"
        ) from error


def refuse_gradient(values: Any, name: str, scheme: object) -> None:
    """Raise TypeError if `values` is a tensor whose gradient would be lost without a word."""
    if is_torch_tensor(values):
        from coded.maps.tensors import refuse_gradient

        refuse_gradient(values, name, scheme)


def read_lam(value: Any, name: str, allowed: str = "a number") -> float:
    """Check a smoothing parameter: a number in [0, inf]; `allowed` tells what else is taken."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, got {value!r}; 0 interpolates, inf fits a line")
    try:
        lam = float(value)
    except OverflowError:
        raise ValueError(f"{name} must fit a float, got a larger number; inf fits a line") from None
    if math.isnan(lam) or lam < 0:
        raise ValueError(f"{name} must be >= 0 (0 interpolates, inf fits a line), got {lam}")
    return lam
