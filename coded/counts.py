"""Whole-number arguments, checked once and the same way everywhere."""

from __future__ import annotations

import operator
from typing import SupportsIndex


def read_count(
    value: SupportsIndex, name: str, *, at_least: int, at_most: int | None = None
) -> int:
    """Give `value` as an int that lies in ``[at_least, at_most]``.

    Parameters
    ----------
    value : int
        Python's or numpy's; a bool or a float is refused.
    name : str
        What the caller calls the argument; it begins every error message.
    at_least, at_most : int
        The bounds, both allowed; None is no upper bound.

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
    if at_most is None and count < at_least:
        raise ValueError(f"{name} must be >= {at_least}, got {count}")
    if at_most is not None and not at_least <= count <= at_most:
        raise ValueError(f"{name} must lie in [{at_least}, {at_most}], got {count}")
    return count
