"""Rows and labels of one owner, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from coded.private.quantiser import Floats
from fastspline.arrays import read_array, read_vector, require_finite


def read_rows(inputs: ArrayLike, labels: ArrayLike, owner: str = "") -> tuple[Floats, Floats]:
    """Give inputs and labels as float64.

    Parameters
    ----------
    inputs : array_like, shape (n, d)
        n >= 1 rows of d >= 1 finite numbers.
    labels : array_like, shape (n,)
        Finite numbers.
    owner : str, optional
        What follows the names of both in messages, such as ``"[3]"``.

    Raises
    ------
    TypeError, ValueError
        If they are none.
    """
    rows = read_array(inputs, f"inputs{owner}")[0].astype(np.float64, copy=False)
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"inputs{owner} must have a shape (n, d), not empty, got {rows.shape}")
    require_finite(rows, f"inputs{owner}")
    targets = read_vector(labels, f"labels{owner}")
    if len(targets) != len(rows):
        raise ValueError(
            f"labels{owner} must be as many as inputs{owner} has rows, {len(rows)}, got "
            f"{len(targets)}"
        )
    require_finite(targets, f"labels{owner}")
    return rows, targets
