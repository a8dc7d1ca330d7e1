"""Which worker holds which copy, and which place on the line."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from coded.counts import read_count

_STRIDES = 64  # that are tried: more hardly help


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


def answered_fraction(n_inputs: int, n_workers: int, n_stragglers: int) -> float:
    """Give the mean fraction of inputs with an answer when copies are dealt evenly.

    S workers, drawn at random, do not answer: an input with r copies is answered with
    probability ``1 - C(S, r) / C(N, r)``; this is the mean over the inputs.

    Parameters
    ----------
    n_inputs, n_workers : int
        K and N as in `balanced_copies`.
    n_stragglers : int
        S, from 0 to N.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    Examples
    --------
    >>> round(answered_fraction(60, 100, 20), 4)
    0.9077
    """
    held = balanced_copies(n_inputs, n_workers)
    s = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=n_workers)
    copies = np.bincount(held, minlength=n_inputs).tolist()
    lost = math.fsum(math.comb(s, r) / math.comb(n_workers, r) for r in copies)
    return 1.0 - lost / n_inputs


def places_far_apart(n_workers: int) -> NDArray[np.intp]:
    """Deal N places along a line to N workers so that near workers hold places far apart.

    Place i goes to worker ``i t mod N``, with a stride t prime to N and near
    ``N (3 - sqrt(5)) / 2``, whose multiples fill a circle evenly. So, for N up to 1000 and with
    the first and the last being neighbours,

    - workers k apart hold places at least ``N / (8 k)`` apart: neither neighbouring workers nor
      every k-th one hold a stretch of the line;
    - neighbouring places go to workers at least N / 4 apart (N / 6 for N = 6);
    - with the workers dealt round-robin to L executors, L a divisor of N, any L places in a row
      go to different executors.

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
    array([0, 3, 6, 1, 4, 7, 2, 5])
    """
    n_workers = read_count(n_workers, "n_workers", at_least=1)
    half = max(n_workers // 2, 1)
    strides = [t for t in range(1, half + 1) if math.gcd(t, n_workers) == 1]
    golden = n_workers * (3.0 - math.sqrt(5.0)) / 2.0
    steps = np.arange(1, half + 1)

    def worth(stride: int) -> float:
        apart = steps * stride % n_workers
        product = np.minimum(apart, n_workers - apart) * steps
        return min(int(product.min()), stride / 2)

    nearest = sorted(strides, key=lambda t: abs(t - golden))[:_STRIDES]
    places = np.arange(n_workers)
    return np.argsort(places * max(nearest, key=worth) % n_workers)


def _largest_prime(most: int) -> int:
    """Give the largest prime up to `most`, or 1."""
    candidates = range(most, 1, -1)
    return next((p for p in candidates if all(p % q for q in range(2, math.isqrt(p) + 1))), 1)
