"""How many workers hold a copy of each input."""

from __future__ import annotations

from heapq import heapify, heapreplace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from fastspline.arrays import read_vector, require_finite


def copies_by_risk(
    risk: ArrayLike, n_workers: int, n_stragglers: int, *, at_least: int = 1
) -> NDArray[np.intp]:
    """Deal workers to inputs so that the expected error of lost inputs is small.

    An input with c copies is lost with the chance p(c) that S of N workers, uniformly drawn,
    include all of them, and then errs by its risk r. Everybody gets `at_least` copies; each
    further one goes where ``(p(c) - p(c + 1)) r`` is largest, which minimises
    ``sum_k p(c_k) r_k``, for p is convex. Where nothing can be lost, copies are dealt evenly.

    Parameters
    ----------
    risk : array_like, shape (K,)
        Expected error of each input when it is lost, in any unit; not negative.
    n_workers : int
        N >= K.
    n_stragglers : int
        S in [0, N).
    at_least : int, optional
        Copies that every input gets, in [1, N / K].

    Returns
    -------
    ndarray of int, shape (K,)
        Copies of each input, N together.

    Raises
    ------
    TypeError
        If `risk` holds no real numbers or a count is no integer.
    ValueError
        If a risk is negative or not finite, there is none, or a count is out of range.

    Examples
    --------
    >>> copies_by_risk([1.0, 1.0, 8.0], 7, 2)
    array([2, 2, 3])
    """
    risks = read_vector(risk, "risk")
    require_finite(risks, "risk")
    if risks.size == 0 or risks.min() < 0:
        raise ValueError(f"risk must hold numbers >= 0, at least one, got {risks}; pass errors")
    n_workers = read_count(n_workers, "n_workers", at_least=risks.size)
    n_stragglers = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=n_workers - 1)
    at_least = read_count(at_least, "at_least", at_least=1, at_most=n_workers // risks.size)
    losses = np.append(np.diff(_chances(n_workers, n_stragglers)), 0.0).tolist()
    errors = risks.tolist()
    copies = [at_least] * risks.size
    # The largest gain first; of equal ones that with the fewest copies, then the first input.
    queue = [(losses[at_least] * error, at_least, k) for k, error in enumerate(errors)]
    heapify(queue)
    for _ in range(n_workers - at_least * risks.size):
        _, count, k = queue[0]
        copies[k] = count + 1
        heapreplace(queue, (losses[count + 1] * errors[k], count + 1, k))
    return np.array(copies, dtype=np.intp)


def _chances(n_workers: int, n_stragglers: int) -> NDArray[np.float64]:
    """Give the chance that S of N workers, uniformly drawn, include c given ones, c = 0 ... N."""
    drawn = np.arange(n_workers)
    shares = np.maximum(n_stragglers - drawn, 0) / (n_workers - drawn)
    return np.cumprod(np.append(1.0, shares))
