"""Answers of several dtypes: of several workers, or side by side in one nest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastspline.arrays import Restore


def promoted_restores(of_answers: Sequence[tuple[Restore, ...]]) -> tuple[Restore, ...]:
    """Give the ways back of the first answer, to the dtypes that numpy promotes all to."""
    return tuple(
        replace(restores[0], dtype=np.result_type(*(one.dtype for one in restores)))
        for restores in zip(*of_answers, strict=True)
    )


def side_by_side(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Give arrays that can stand side by side: as objects where numpy would round or spell them."""
    if len({array.dtype for array in arrays}) == 1 or _is_held(arrays):
        return list(arrays)
    return [array.astype(object) for array in arrays]


def _is_held(arrays: Sequence[NDArray[Any]]) -> bool:
    """Tell whether numpy's common dtype holds the numbers of all arrays as they are."""
    if not {array.dtype.kind for array in arrays} <= set("biuf"):
        return False
    common = np.result_type(*(array.dtype for array in arrays))
    whole = [array for array in arrays if array.dtype.kind in "iu" and array.dtype != common]
    return all(array.size == 0 or _largest(array) <= 2**53 for array in whole)


def _largest(array: NDArray[Any]) -> int:
    return max(int(array.max()), -int(array.min()))
