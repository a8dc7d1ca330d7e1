"""The one door for arrays: any kind, axis, layout in; (n, columns) inside; and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._frameworks import is_torch_tensor as is_torch_tensor
from fastspline._frameworks import read_device_array, to_device
from fastspline._memory import lend

FloatArray: TypeAlias = NDArray[np.floating]

STREAM_BYTES = 4 << 20  # results larger than this are stored past the caches
LENT_BYTES = 128 << 10  # allocators give memory of results from this size on back to the system

_DOUBLE = np.dtype(np.float64)
_KEPT = (np.dtype(np.float32), np.dtype(np.float64))
_PLACES = ("knots", "points", "x", "sites", "t")
_PARTS = {np.dtype(np.complex64): np.float32, np.dtype(np.complex128): np.float64}


@dataclass(frozen=True, slots=True)
class Restore:
    """The way back from a numpy result to the caller's kind of array and floating dtype."""

    dtype: np.dtype[Any]
    device: str | None = None  # where the caller's array lies, see `_frameworks`; None for numpy

    def __call__(self, result: FloatArray) -> FloatArray:
        """Give `result` as an array of the caller's kind; no copy where none is needed."""
        result = self.cast(result)
        if self.device is None:
            return result
        moved: FloatArray = to_device(result, self.device)
        return moved

    def cast(self, result: FloatArray) -> FloatArray:
        """Give a numpy array of the caller's dtype."""
        if result.dtype == self.dtype:
            return result
        with np.errstate(over="ignore"):
            cast = result.astype(self.dtype)
        if np.isinf(cast).any():
            raise ValueError(f"a result overflows {self.dtype}; pass float32 or float64")
        return cast


class JoinParts(Restore):
    """The way back of complex values, whose real and imaginary parts run along a last axis of 2."""

    __slots__ = ()

    def __call__(self, result: FloatArray) -> FloatArray:
        """Give the two parts as complex numbers."""
        return Restore.__call__(self, join_parts(result))


_PLAIN = {dtype: Restore(dtype) for dtype in _KEPT}  # of what needs no conversion


def read_array(values: ArrayLike, name: str) -> tuple[FloatArray, Restore]:
    """Give `values` as a float32 or float64 numpy array, and the way back to the caller's kind.

    Float32 and float64 stay as they are and are not copied; float16 is computed in
    float32 and comes back as float16; integers and booleans become float64.

    Parameters
    ----------
    values : array_like
        An array of numpy, torch, JAX or CuPy, a sequence or a number.
    name : str
        What the caller calls the argument; it begins every error message.

    Returns
    -------
    array : ndarray of float32 or float64
        A view of `values` where dtype and kind allow it.
    restore : callable
        Turns a result array into the kind (numpy, torch, JAX or CuPy, device kept) and floating
        dtype of `values`.

    Raises
    ------
    TypeError
        If `values` holds no real numbers (objects, strings, complex) or is ragged.
    """
    if type(values) is np.ndarray and (plain := _PLAIN.get(values.dtype)) is not None:
        return values, plain
    array, device = as_numpy(values, name)
    computed = _as_computed(array, name)
    is_half = array.dtype.newbyteorder("=") == np.float16
    return computed, Restore(np.dtype(np.float16) if is_half else computed.dtype, device)


def read_numbers(values: ArrayLike, name: str) -> tuple[FloatArray, Restore]:
    """`read_array` that takes complex64 and complex128 too, and keeps them as they are.

    Linear maps act on their real and imaginary parts: see `as_parts`.
    """
    if type(values) is np.ndarray and (plain := _PLAIN.get(values.dtype)) is not None:
        return values, plain
    given, device = as_numpy(values, name)
    native = given.dtype.newbyteorder("=")
    if native in _PARTS:
        whole: FloatArray = given.astype(native, copy=False)
        return whole, Restore(native, device)
    return read_array(values, name)


def as_parts(columns: FloatArray) -> FloatArray:
    """View (n, columns) complex numbers as (n, 2 columns) real ones; real ones as they are."""
    part = _PARTS.get(columns.dtype)
    if part is None:
        return columns
    parts: FloatArray = np.ascontiguousarray(columns).view(part)
    return parts


def split_parts(array: FloatArray) -> FloatArray:
    """Give complex numbers as real and imaginary part along a last axis; both NaN if one is."""
    parts: FloatArray = np.stack([array.real, array.imag], axis=-1)
    parts[np.isnan(array)] = np.nan
    return parts


def join_parts(result: FloatArray) -> FloatArray:
    """Give an array whose last axis is real and imaginary part as complex numbers."""
    whole = np.complex64 if result.dtype == np.float32 else np.complex128
    joined: NDArray[Any] = np.ascontiguousarray(result).view(whole)[..., 0]
    return joined


def as_numpy(values: ArrayLike, name: str) -> tuple[NDArray[Any], str | None]:
    """Give `values` as a numpy array of its own dtype, and the device of another framework's.

    Raises
    ------
    TypeError
        If `values` is ragged, has masked entries, or is an array that numpy cannot hold.
    """
    found = None if type(values) is np.ndarray else read_device_array(values, name)
    if found is not None:
        return found
    if isinstance(values, np.ma.MaskedArray):
        _refuse_masked(values, name)
    try:
        return np.asarray(values), None
    except ValueError as error:
        raise TypeError(f"{name} must be an array of numbers, but is ragged: {error}") from error


def is_vector(values: object) -> TypeGuard[NDArray[np.float64]]:
    """Tell whether `values` are what `read_vector` gives, but for their place in memory."""
    return type(values) is np.ndarray and values.dtype is _DOUBLE and values.ndim == 1


def read_vector(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Give `values` as a contiguous one-dimensional float64 array; see `read_array`."""
    if is_vector(values):
        return values if values.flags.carray else np.array(values)
    array, _ = read_array(values, name)
    if array.ndim != 1:
        mend = f"pass [{name}]" if array.ndim == 0 else "are the arguments in the right order?"
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}; {mend}")
    result: NDArray[np.float64] = np.require(array, np.float64, ["C", "A", "W"])
    return result


def first_non_finite(array: FloatArray) -> tuple[int, ...] | None:
    """Give the index of the first entry that is NaN or infinite, or None."""
    finite = np.isfinite(array)
    if finite.all():
        return None
    return tuple(int(i) for i in np.unravel_index(int(finite.argmin()), array.shape))


def require_finite(array: FloatArray, name: str) -> None:
    """Raise ValueError with the position of the first NaN or infinity in `array`."""
    index = first_non_finite(array)
    if index is None:
        return
    place = f"{name}[{', '.join(str(i) for i in index)}]" if index else name
    raise ValueError(
        f"{name} must be finite, but {place} = {array[index]}; drop or replace such entries"
    )


def refuse_values(
    columns: FloatArray,
    sources: NDArray[np.int64],
    trailing: tuple[int, ...],
    axis: int,
    bad: int,
    mend: str = 'drop the point, give it weight 0, or take smooth_spline(..., missing="omit")',
) -> None:
    """Raise for the first value at or after column `bad` that is not finite and counts."""
    for first in range(bad, columns.shape[1], 4096):
        index = first_non_finite(columns[sources, first : first + 4096].T)
        if index is None:
            continue
        row, column = int(sources[index[1]]), first + index[0]
        place = [int(i) for i in np.unravel_index(column, trailing)] if trailing else []
        place.insert(axis, row)
        text = ", ".join(str(i) for i in place)
        raise ValueError(
            f"values must be finite, but values[{text}] = {columns[row, column]}; {mend}"
        )
    raise ValueError(
        f"results overflow {columns.dtype}: max |values| = {np.abs(columns).max():g} is too large "
        "for these points and derivatives; scale the values down, or take points nearer the knots"
    )


def as_columns(
    array: FloatArray, n: int, axis: int, name: str, what: str
) -> tuple[FloatArray, tuple[int, ...], int]:
    """View `array` as (n, columns); give also the other axes' lengths, and axis in [0, ndim)."""
    if array.ndim == 0:
        raise ValueError(
            f"{name} must have at least one axis, got a single number; pass a sequence of {n}"
        )
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise TypeError(f"axis must be an integer, got {axis!r}")
    if not -array.ndim <= axis < array.ndim:
        raise np.exceptions.AxisError(  # a ValueError and an IndexError
            f"axis must lie in [{-array.ndim}, {array.ndim}) for {name} of shape {array.shape}, "
            f"got {axis}"
        )
    axis = int(axis) % array.ndim
    if array.shape[axis] != n:
        raise ValueError(
            f"{name} has shape {array.shape} and {n} {what} need {n} {name} along axis {axis}; "
            f"pass axis= if the {what} run along another axis"
        )
    moved = np.moveaxis(array, axis, 0) if axis else array
    trailing = moved.shape[1:]
    return moved.reshape(n, math.prod(trailing)), trailing, axis


def prepare_out(
    out: FloatArray | None, shape: tuple[int, ...], axis: int, array: FloatArray, restore: Restore
) -> tuple[FloatArray | None, FloatArray]:
    """Give `out` as a checked numpy array, and the (m, columns) array to compute into."""
    rows, columns = shape[axis], math.prod(shape[:axis] + shape[axis + 1 :])
    if out is None:
        return None, empty_aligned(rows, columns, array.dtype, _phase(array, columns))
    result: FloatArray = out.detach().numpy() if is_torch_tensor(out) else out  # type: ignore[attr-defined]
    if not isinstance(result, np.ndarray):
        raise TypeError(
            f"out must be an array of the result's shape and dtype, got {type(out).__name__}"
        )
    if result.shape != shape or result.dtype != restore.dtype:
        raise ValueError(
            f"out has shape {result.shape} and dtype {result.dtype}, "
            f"needed are {shape} and {restore.dtype}"
        )
    if not result.flags.writeable:
        raise ValueError("out is read-only; pass a writeable array")
    target = (np.moveaxis(result, axis, 0) if axis else result).reshape(rows, columns)
    fits = (
        np.may_share_memory(target, result)  # the reshape made no copy
        and not np.may_share_memory(target, array)
        and target.dtype == array.dtype
        and result.flags.behaved
        and (columns == 1 or target.strides[1] == target.itemsize)
        and (target.dtype not in _PARTS or target.flags.c_contiguous)
    )
    return result, target if fits else empty_aligned(rows, columns, array.dtype)


def deliver(
    out: FloatArray | None,
    result: FloatArray | None,
    target: FloatArray,
    shape: tuple[int, ...],
    axis: int,
    restore: Restore,
) -> FloatArray:
    """Give what was computed in the caller's shape and kind, or write it to `out` and give that."""
    moved = target.reshape(shape[axis], *shape[:axis], *shape[axis + 1 :])
    shaped = np.moveaxis(moved, 0, axis) if axis else moved
    if out is None or result is None:
        return restore(shaped)
    if not np.may_share_memory(target, result):
        result[...] = restore.cast(shaped)
    return out


def _phase(array: FloatArray, columns: int) -> int:
    """Give how far into a cache line every row of a large array begins, or 0.

    Rows of a result that begin like those that are read are stored and loaded by whole lines.
    """
    if array.nbytes <= STREAM_BYTES or columns * array.itemsize % 64:
        return 0
    return array.ctypes.data % 64


def empty_aligned(
    rows: int, columns: int, dtype: np.dtype[np.floating], phase: int = 0
) -> FloatArray:
    """Give an uninitialised contiguous array; a large one starts `phase` bytes into a line."""
    size = rows * columns * dtype.itemsize
    if size < LENT_BYTES:
        return np.empty((rows, columns), dtype)
    return lend((rows, columns), dtype, size, phase)


def read_only(own: NDArray[Any]) -> NDArray[Any]:
    """Give a view that refuses writing."""
    view = own.view()
    view.flags.writeable = False
    return view


def _refuse_masked(values: np.ma.MaskedArray, name: str) -> None:
    """Raise if an entry is masked, and would be taken for a number."""
    masked = np.ma.getmaskarray(values)
    if masked.any():
        place = ", ".join(str(i) for i in np.argwhere(masked)[0])
        if name in _PLACES:  # NaN is none
            mend = f"leave masked ones out, and their values: keep ~{name}.mask"
        elif name == "weights":  # NaN is none
            mend = "pass weights.filled(0): a point of weight 0 does not count"
        elif name == "w":  # of scipy, positive
            mend = "leave masked points out: keep ~w.mask"
        else:
            mend = (
                f"give weight 0 to masked points, or pass {name}.filled(numpy.nan) with "
                'missing="omit"'
            )
        raise TypeError(f"{name} is a masked array, and {name}[{place}] is masked; {mend}")


def _as_computed(array: NDArray[Any], name: str) -> FloatArray:
    """Give the array in the dtype that is computed in."""
    native = array.dtype.newbyteorder("=")
    if native in _KEPT:
        return array.astype(native, copy=False)
    if native == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    mend = "convert it first, for example with .astype(float)"
    if array.dtype.kind in "mM":
        mend = "count it in a unit, for example (t - t[0]) / numpy.timedelta64(1, 's')"
    raise TypeError(
        f"{name} must hold real numbers (float16, float32, float64, integers or booleans), "
        f"got dtype {array.dtype}; {mend}"
    )
