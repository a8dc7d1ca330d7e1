"""Which worker holds which copy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coded.counts import read_count


def balanced_copies(n_inputs: int, n_workers: int) -> NDArray[np.intp]:
    """Tell which input each worker holds when copies are dealt evenly.

    Worker n holds input ``c(n) = floor((n + 1/2) K / N)``: every input is held by
    ``floor(N / K)`` or ``ceil(N / K)`` workers, the larger shares spread evenly. The
    workers of one input are neighbours, so that dealing the workers round-robin to L
    executors never puts two copies of an input on one of them unless L is smaller
    than the number of copies. With N < K, N inputs spread evenly are held once and
    the others not at all.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1.

    Returns
    -------
    ndarray of int, shape (N,)
        The input that each worker holds, non-decreasing.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is below 1.

    Examples
    --------
    >>> balanced_copies(3, 7)
    array([0, 0, 1, 1, 1, 2, 2])
    >>> balanced_copies(5, 2)
    array([1, 3])
    """
    n_inputs = read_count(n_inputs, "n_inputs", at_least=1)
    n_workers = read_count(n_workers, "n_workers", at_least=1)
    return (2 * np.arange(n_workers) + 1) * n_inputs // (2 * n_workers)
