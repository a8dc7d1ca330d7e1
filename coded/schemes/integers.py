"""The door for integers: what codes over prime fields take as operands and answers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.prime_field import LARGEST_PRIME
from fastspline.arrays import Restore, as_numpy


def read_integers(
    values: ArrayLike, name: str, real: str | None = None
) -> tuple[NDArray[Any], Restore]:
    """Give integers of at most 64 bits, numpy or torch, as int64, and the way back.

    TypeError or ValueError, beginning with `name`, for others; `real` is what codes real numbers,
    None where they are an answer.
    """
    array, device = as_numpy(values, name)
    if array.dtype.kind not in "iub":
        if array.dtype.kind == "O":
            mend = "reduce Python's integers modulo p, then .astype(np.int64)"
        elif real is None:
            mend = "let workers run the function that the code gives them"
        else:
            mend = (
                f"{real} codes real numbers; to code them here, quantise them, as by "
                "np.rint(scale * x).astype(np.int64)"
            )
        raise TypeError(
            f"{name} must hold integers of at most 64 bits, got dtype {array.dtype}; {mend}"
        )
    if array.dtype == np.uint64 and array.max(initial=0) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must fit in int64, got {array.max()}; reduce it modulo p")
    return array.astype(np.int64, copy=False), Restore(np.dtype(np.int64), device)


def require_headroom(array: NDArray[Any], name: str, prime: int) -> None:
    """Raise ValueError, beginning with `name`, for numbers above (p - 1) / 2 in size."""
    headroom = (prime - 1) // 2
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if max(-low, high) > headroom:
        raise ValueError(
            f"{name} must lie in [{-headroom}, {headroom}] = [-(p - 1) / 2, (p - 1) / 2] for the "
            f"prime p = {prime}, got {low if -low > high else high}; take a larger prime (at most "
            f"{LARGEST_PRIME}) or scale the numbers down"
        )
