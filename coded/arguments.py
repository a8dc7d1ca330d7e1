"""Arguments that are single numbers, checked once and the same way everywhere."""

from __future__ import annotations

import operator
from typing import SupportsIndex

import numpy as np

_MOST = 2**31 - 1  # of anything that is counted one by one


def read_count(
    value: SupportsIndex, name: str, *, at_least: int, at_most: int | None = _MOST
) -> int:
    """Give `value` as an int that lies in ``[at_least, at_most]``.

    Parameters
    ----------
    value : int
        Python's or numpy's; a bool or a float is refused.
    name : str
        What the caller calls the argument; it begins every error message.
    at_least, at_most : int
        The bounds, both allowed; None is no upper bound, as for seeds.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        If `value` is no integer.
    ValueError
        If `value` lies outside the bounds.
    """
    try:
        count = operator.index(value)
    except TypeError:  # arrays have __index__ and may refuse to be used as one
        count = None
    if count is None or isinstance(value, bool):
        raise TypeError(
            f"{name} must be an integer, got {value!r}; pass int({name}) if that is meant"
        )
    if at_most in (None, _MOST) and count < at_least:
        raise ValueError(f"{name} must be >= {at_least}, got {count}")
    if at_most is not None and not at_least <= count <= at_most:
        raise ValueError(f"{name} must lie in [{at_least}, {at_most}], got {count}")
    return count


def read_number(value: object, name: str, interval: str) -> float:
    """Give `value` as a float that lies in `interval`.

    Parameters
    ----------
    value : float
        Python's or numpy's; a bool or an array is refused.
    name : str
        What the caller calls the argument; it begins every error message.
    interval : str
        In the usual notation, such as ``"(0, inf)"`` or ``"[0, 1]"``; NaN lies in none.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If `value` is no number.
    ValueError
        If `value` lies outside the interval.

    Examples
    --------
    >>> read_number(1, "fraction", "[0, 1]")
    1.0
    """
    number = require_number(value, name)
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    if not (above and below):
        raise ValueError(f"{name} must lie in {interval}, got {number:g}")
    return number


def require_number(value: object, name: str) -> float:
    """Give a single real number as a float; TypeError, beginning with `name`, for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {value!r}; pass a float")
    return float(value)
