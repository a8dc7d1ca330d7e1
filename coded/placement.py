"""Which worker holds which copy, and which place on the line."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from coded.counts import read_count

_STRIDES = 32  # that are tried: 16 leave N / 6.6, all up to N still N / 6


def balanced_copies(n_inputs: int, n_workers: int) -> NDArray[np.intp]:
    """Tell which input each worker holds when copies are dealt evenly and far apart.

    In rounds of K workers, each of which holds every input once (the last one as many as
    are left), each round turned by K - p against the one before: worker n holds input
    ``c(n) = (n + (K - p) floor(n / K)) mod K``, where p is the largest prime up to K (1 for
    K = 1). So

    - every input is held by ``floor(N / K)`` or ``ceil(N / K)`` workers, and the first K
      workers hold the inputs in their order;
    - copies lie at least p workers apart: losing p or fewer workers in a row, as with a
      machine that has several, takes no two copies of an input;
    - with the workers dealt round-robin to L executors, L at least the number of copies and
      no multiple of p, all but ``(K - p) (ceil(N / K) - 1)`` inputs at most have each copy on
      another executor.

    With N < K, N inputs spread evenly are held once and the others not at all.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1.

    Returns
    -------
    ndarray of int, shape (N,)
        The input that each worker holds.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is below 1.

    Examples
    --------
    >>> balanced_copies(4, 10)
    array([0, 1, 2, 3, 1, 2, 3, 0, 2, 3])
    >>> balanced_copies(5, 2)
    array([1, 3])
    """
    n_inputs = read_count(n_inputs, "n_inputs", at_least=1)
    n_workers = read_count(n_workers, "n_workers", at_least=1)
    worker = np.arange(n_workers)
    if n_workers < n_inputs:
        return (2 * worker + 1) * n_inputs // (2 * n_workers)
    turn = n_inputs - _largest_prime(n_inputs)
    return (worker + turn * (worker // n_inputs)) % n_inputs


def places_far_apart(n_workers: int) -> NDArray[np.intp]:
    """Deal N places along a line to N workers so that near workers hold places far apart.

    Worker n holds place ``n s mod N``, with a stride s prime to N and near ``N (sqrt(5) - 1) / 2``,
    whose multiples fill a circle evenly. So workers k apart hold places at least ``N / (6 k)``
    apart (for N up to 1000, the first and the last place, and worker, being neighbours):
    neither neighbouring workers nor every k-th one hold a stretch of the line.

    Parameters
    ----------
    n_workers : int
        N >= 1.

    Returns
    -------
    ndarray of int, shape (N,)
        The place of each worker, a permutation of ``arange(N)``.

    Raises
    ------
    TypeError
        If `n_workers` is no integer.
    ValueError
        If it is below 1.

    References
    ----------
    V. T. Sos, "On the distribution mod 1 of the sequence n alpha", Ann. Univ. Sci. Budapest 1
    (1958), 127-134: multiples of the golden ratio stay farthest apart.

    Examples
    --------
    >>> places_far_apart(8)
    array([0, 5, 2, 7, 4, 1, 6, 3])
    """
    n_workers = read_count(n_workers, "n_workers", at_least=1)
    golden = n_workers * (math.sqrt(5.0) - 1.0) / 2.0
    strides = [s for s in range(1, n_workers + 1) if math.gcd(s, n_workers) == 1]
    nearest = sorted(strides, key=lambda s: abs(s - golden))[:_STRIDES]
    workers = np.arange(n_workers)
    steps = workers[1:]

    def least_product(stride: int) -> int:
        apart = steps * stride % n_workers
        around = np.minimum(apart, n_workers - apart) * np.minimum(steps, n_workers - steps)
        return int(around.min(initial=n_workers))

    return np.asarray(workers * max(nearest, key=least_product) % n_workers, dtype=np.intp)


def _largest_prime(most: int) -> int:
    """Give the largest prime up to `most`, or 1."""
    candidates = range(most, 1, -1)
    return next((p for p in candidates if all(p % q for q in range(2, math.isqrt(p) + 1))), 1)
