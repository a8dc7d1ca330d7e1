"""Times as knots and points: counted in seconds, from the first knot on where they are dates."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline.arrays import FloatArray, as_numpy, read_array, read_vector

_FINE = {unit: 1000**power for power, unit in enumerate(("ms", "us", "ns", "ps", "fs", "as"), 1)}
_ATTOS = 10**18  # a second
_COARSE = 2**32


class Times(NamedTuple):
    """Dates or durations as numpy holds them, and whether their time zone was known."""

    array: NDArray[Any]  # datetime64, in UTC where the zone is known, or timedelta64
    aware: bool

    @property
    def kind(self) -> str:
        """What they are, for messages."""
        if self.array.dtype.kind == "m":
            return "durations"
        return "dates with a time zone" if self.aware else "dates without a time zone"


@dataclass(eq=False, repr=False, slots=True)  # as in _labels
class Clock:
    """How the times of a plan are counted: in seconds, dates from `origin` on."""

    kind: str
    origin: np.datetime64 | None

    def count(self, times: Times, name: str) -> NDArray[np.float64]:
        """Give times of the clock's kind as seconds, NaN for what is no time."""
        if times.kind != self.kind:
            raise TypeError(
                f"{name} holds {times.kind}, and the knots are {self.kind}; give these, or seconds"
                + ("" if self.origin is None else " since the first knot")
            )
        parts = _split(times.array)
        if self.origin is not None:
            parts -= _split(np.asarray(self.origin))
        coarse, fine, rest = np.moveaxis(parts, -1, 0)
        carry = rest // _ATTOS  # so that what lies near the first stays exact
        whole = coarse * float(_COARSE) + (fine + carry)
        return np.where(np.isnat(times.array), np.nan, whole + (rest - carry * _ATTOS) / _ATTOS)

    def dates(self, seconds: NDArray[np.float64]) -> NDArray[Any]:
        """Give seconds as dates, to the microsecond; durations stay seconds."""
        if self.origin is None:
            return seconds
        steps: NDArray[Any] = np.round(1e6 * seconds).astype("m8[us]")
        dates: NDArray[Any] = self.origin.astype("M8[us]") + steps
        return dates


def read_knots(knots: ArrayLike, name: str = "knots") -> tuple[NDArray[np.float64], Clock | None]:
    """Give knots as a vector, and their clock if they are times.

    Raises
    ------
    ValueError
        If they are not one-dimensional.
    TypeError
        If they are neither real numbers nor times.
    """
    read, clock = read_first(knots, name)
    return read_vector(read, name), clock


def read_first(knots: ArrayLike, name: str = "knots") -> tuple[FloatArray, Clock | None]:
    """Give the first of knots that more will follow, of any shape, and their clock, if any.

    Raises
    ------
    TypeError
        If they are neither real numbers nor times.
    """
    times = None if _is_plain(knots) else as_times(knots, name)
    if times is None:
        return read_array(knots, name)[0], None
    clock = _start(times)
    return clock.count(times, name), clock


def read_points(points: ArrayLike, clock: Clock | None, name: str = "points") -> FloatArray:
    """Give points as real numbers: times in seconds on the clock of the knots.

    Raises
    ------
    TypeError
        If they are neither real numbers nor times as the knots are.
    """
    times = None if _is_plain(points) else as_times(points, name)
    if times is None:
        return read_array(points, name)[0]
    if clock is None:
        raise TypeError(
            f"{name} holds {times.kind} (dtype {times.array.dtype}), and the knots are numbers; "
            f"give {name} in the unit of the knots"
        )
    return clock.count(times, name)


def as_times(values: ArrayLike, name: str) -> Times | None:
    """Give dates and durations of numpy, pandas and the standard library, or None for all else."""
    values, aware = _without_zone(values)
    array, _ = as_numpy(values, name)
    if array.dtype == object and array.size:
        first = array.flat[0]
        if isinstance(first, dt.date | dt.timedelta):
            array, aware = _from_objects(array, name)
        elif hasattr(first, "to_timestamp"):
            raise TypeError(
                f"{name} holds periods, not moments; give those they start at, by .to_timestamp() "
                "of an index, .dt.to_timestamp() of a Series"
            )
    if array.dtype.kind not in "mM":
        return None
    if array.dtype.kind == "m" and np.datetime_data(array.dtype)[0] in ("Y", "M", "generic"):
        raise TypeError(
            f"{name} has dtype {array.dtype}, a unit of no fixed length; give days or seconds"
        )
    return Times(array, aware)


def _start(times: Times) -> Clock:
    """Give the clock that begins with the first of some times."""
    origin = None
    if times.array.dtype.kind == "M":
        origin = times.array.flat[0] if times.array.size else np.datetime64(0, "s")
    return Clock(times.kind, origin)


def _is_plain(values: object) -> bool:
    if type(values) is np.ndarray:
        return values.dtype.kind in "fiub"
    return isinstance(values, float | int)


def _without_zone(values: Any) -> tuple[Any, bool]:
    """Give dates of pandas that know their time zone in UTC, and whether they do."""
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return values, False
    if isinstance(values, pandas.DatetimeIndex) and values.tz is not None:
        return values.tz_convert(None), True
    if isinstance(values, pandas.Series) and isinstance(values.dtype, pandas.DatetimeTZDtype):
        return values.dt.tz_convert(None), True
    return values, False


def _from_objects(array: NDArray[Any], name: str) -> tuple[NDArray[Any], bool]:
    """Give objects of the standard library, or of pandas, as numpy's times."""
    flat, zones = [], set()
    for one in array.flat:
        zone = getattr(one, "tzinfo", None)
        if one == one:  # pandas' NaT is of any zone
            zones.add(zone is not None)
        plain = one if zone is None else one.astimezone(dt.UTC).replace(tzinfo=None)
        exact = getattr(plain, "to_numpy", None)  # of pandas, with its nanoseconds
        flat.append(np.asarray(plain, _dtype_of(plain)) if exact is None else exact())
    if len(zones) > 1:
        raise TypeError(f"{name} holds dates with and without a time zone; give one kind")
    kinds = {one.dtype.kind for one in flat}
    if kinds not in ({"m"}, {"M"}):
        raise TypeError(f"{name} holds times and other objects; give one kind")
    return np.array(flat).reshape(array.shape), True in zones


def _dtype_of(one: object) -> str | None:
    """Give numpy's dtype of a date, a time or a duration, None if it is numpy's own."""
    if isinstance(one, dt.datetime):
        return "M8[us]"
    if isinstance(one, dt.date):
        return "M8[D]"
    return "m8[us]" if isinstance(one, dt.timedelta) else None


def _split(times: NDArray[Any]) -> NDArray[np.int64]:
    """Give times in three parts, along a last axis: `_COARSE` seconds, seconds, attoseconds.

    In one integer centuries overflow, and in one float they lose nanoseconds.
    """
    unit = np.datetime_data(times.dtype)[0]
    per_second = _FINE.get(unit, 1)
    ticks = times.astype(f"{times.dtype.kind}8[{unit if per_second > 1 else 's'}]")
    wrapped = (ticks.astype(times.dtype) != times) & ~np.isnat(times)
    if np.any(wrapped):
        raise ValueError(
            f"times must be within 2^63 seconds of 1970, but one is {times[wrapped].flat[0]}"
        )
    seconds, rest = np.divmod(ticks.astype(np.int64), per_second)
    return np.stack((*np.divmod(seconds, _COARSE), rest * (_ATTOS // per_second)), axis=-1)
