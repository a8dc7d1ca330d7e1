"""Which worker holds which copy, and which place on the line."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from coded.stragglers import (
    ConsecutiveStragglers,
    IndependentStragglers,
    MachineStragglers,
    StragglerModel,
    UniformStragglers,
)

_STRIDES = 64  # that are tried: more hardly help


def balanced_copies(
    n_inputs: int, n_workers: int, *, n_executors: int | None = None
) -> NDArray[np.intp]:
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

    No placement keeps copies apart for every L: two that are d workers apart share one of L = d
    executors. So with fewer executors than workers, say how many: with `n_executors` = L, worker
    n being on executor ``n mod L``, copies of an input are on different executors, as long as an
    executor has at most K workers, and else on as many as can be. The counts are as above, but
    copies may be near each other in the order of the workers, on different executors.

    With N < K, N inputs spread evenly are held once and the others not at all.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1.
    n_executors : int, optional
        L >= 1, the length of the sequence of executors that `coded_map` gets; None means N.

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
    >>> balanced_copies(4, 10, n_executors=3)
    array([0, 1, 3, 2, 0, 1, 3, 2, 0, 1])
    >>> balanced_copies(5, 2)
    array([1, 3])
    """
    n_inputs = read_count(n_inputs, "n_inputs", at_least=1)
    n_workers = read_count(n_workers, "n_workers", at_least=1)
    if n_executors is not None:
        n_executors = read_count(n_executors, "n_executors", at_least=1)
    worker = np.arange(n_workers)
    if n_workers < n_inputs:
        return (2 * worker + 1) * n_inputs // (2 * n_workers)
    if n_executors is not None and n_executors < n_workers:
        return _by_executor(n_inputs, worker % n_executors)
    turn = n_inputs - _largest_prime(n_inputs)
    return (worker + turn * (worker // n_inputs)) % n_inputs


def best_placement(n_inputs: int, n_workers: int, model: StragglerModel) -> NDArray[np.intp]:
    """Place copies so that as many inputs as possible are expected to have an answer.

    No placement has a larger `expected_answered`:

    - uniform and independent stragglers: an input's chance to be lost is a convex function of
      its number of copies, so that balanced numbers are best (`balanced_copies`);
    - whole machines: the same of the number of machines that hold the input; `balanced_copies`,
      or dealing round-robin, ``n mod K``, where machines are too large for that;
    - S consecutive stragglers: the first and the last K workers hold the inputs in order, so
      that copies lie far apart; where K < N < 2K, N - K neighbouring inputs are held twice,
      S workers apart as far as that can be, in the middle: blocks reach the ends least.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1.
    model : UniformStragglers, IndependentStragglers, ConsecutiveStragglers or MachineStragglers
        How workers are lost.

    Returns
    -------
    ndarray of int, shape (N,)
        The input that each worker holds, for ``ReplicationScheme(..., placement=...)``. Each
        input is held by ``floor(N / K)`` or ``ceil(N / K)`` workers.

    Raises
    ------
    TypeError
        If a count is no integer, or the model is another.
    ValueError
        If a count is below 1, or the model loses more workers than there are.

    Examples
    --------
    >>> best_placement(4, 6, ConsecutiveStragglers(2))
    array([0, 1, 2, 1, 2, 3])
    >>> best_placement(4, 8, MachineStragglers(1, workers_per_machine=4))
    array([0, 1, 2, 3, 1, 2, 3, 0])
    """
    balanced = balanced_copies(n_inputs, n_workers)
    expected = expected_answered(balanced, model, n_inputs=n_inputs)  # checks the model
    if n_workers <= n_inputs:
        return balanced
    if isinstance(model, ConsecutiveStragglers):
        return _twice_in_order(n_inputs, n_workers, model.count)
    dealt = np.arange(n_workers) % n_inputs
    is_better = expected_answered(dealt, model, n_inputs=n_inputs) > expected
    return dealt if is_better else balanced


def expected_answered(
    placement: ArrayLike, model: StragglerModel, *, n_inputs: int | None = None
) -> float:
    """Give the share of the inputs that are expected to have an answer.

    Of N workers, an input that r of them hold, spread over d machines, is without answer with
    probability

    - ``C(S, r) / C(N, r)`` where S uniform workers are lost;
    - ``p^r`` where each is lost with probability p;
    - ``C(m, d) / C(M, d)`` where m of M machines are lost;
    - the share of the N - S + 1 blocks that contain all r, where S consecutive ones are lost.

    Parameters
    ----------
    placement : array_like of int, shape (N,)
        The input that each worker holds.
    model : UniformStragglers, IndependentStragglers, ConsecutiveStragglers or MachineStragglers
        How workers are lost.
    n_inputs : int, optional
        K; None means that the last input is held by some worker.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    TypeError
        If `placement` holds no integers, or the model is another.
    ValueError
        If `placement` is empty or not one-dimensional, leaves [0, K), or the model loses more
        workers than there are.

    Examples
    --------
    >>> round(expected_answered(balanced_copies(60, 100), UniformStragglers(20)), 6)
    0.907744
    """
    holds = read_placement(placement, n_inputs)
    n_workers = len(holds)
    count = int(holds.max()) + 1 if n_inputs is None else n_inputs
    workers = [np.flatnonzero(holds == k) for k in range(count)]
    if not isinstance(
        model,
        UniformStragglers | IndependentStragglers | ConsecutiveStragglers | MachineStragglers,
    ):
        raise TypeError(
            f"model must be UniformStragglers, IndependentStragglers, ConsecutiveStragglers or "
            f"MachineStragglers, got {model!r:.60}; of others draw, as simulate does"
        )
    model.draw(n_workers, np.random.default_rng(0))  # refuses to lose more than there are
    lost = sum(_chance_to_lose(who, n_workers, model) for who in workers)
    return 1.0 - lost / count


def read_placement(placement: ArrayLike, n_inputs: int | None) -> NDArray[np.intp]:
    """Give `placement` as an array of indices of inputs, shape (N,).

    Parameters
    ----------
    placement : array_like of int, shape (N,)
        The input that each worker holds.
    n_inputs : int or None
        K; None allows any.

    Returns
    -------
    ndarray of int, shape (N,)
        A copy.

    Raises
    ------
    TypeError
        If `placement` holds no integers.
    ValueError
        If it is empty or not one-dimensional or leaves [0, K).
    """
    array = np.asarray(placement)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"placement must be one-dimensional and not empty, got shape {array.shape}; pass the "
            "input that each worker holds"
        )
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"placement must hold integers, got dtype {array.dtype}; pass the index of the input "
            "that each worker holds"
        )
    n_allowed = math.inf if n_inputs is None else read_count(n_inputs, "n_inputs", at_least=1)
    wrong = np.flatnonzero((array < 0) | (array >= n_allowed))
    if wrong.size:
        n = int(wrong[0])
        raise ValueError(
            f"placement must lie in [0, n_inputs) = [0, {n_allowed}), but placement[{n}] = "
            f"{array[n]}; inputs are counted from 0"
        )
    return array.astype(np.intp)


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
    return np.argsort(np.arange(n_workers) * _stride(n_workers) % n_workers)


@lru_cache(maxsize=64)  # by `bind` it is asked for again and again
def _stride(n_workers: int) -> int:
    """Give the t of `places_far_apart`."""
    half = max(n_workers // 2, 1)
    strides = [t for t in range(1, half + 1) if math.gcd(t, n_workers) == 1]
    golden = n_workers * (3.0 - math.sqrt(5.0)) / 2.0
    steps = np.arange(1, half + 1)

    def worth(stride: int) -> float:
        apart = steps * stride % n_workers
        product = np.minimum(apart, n_workers - apart) * steps
        return min(int(product.min()), stride / 2)

    nearest = sorted(strides, key=lambda t: abs(t - golden))[:_STRIDES]
    return max(nearest, key=worth)


def _by_executor(n_inputs: int, executor: NDArray[np.intp]) -> NDArray[np.intp]:
    """Deal copies to one executor after the other, each of which gets different ones.

    Of its executor's share every worker then takes what has been taken least and longest ago, so
    that the first workers cover many inputs.
    """
    dealt = np.empty(len(executor), dtype=np.intp)
    dealt[np.argsort(executor, kind="stable")] = np.arange(len(executor)) % n_inputs
    shares = [dealt[executor == e].tolist() for e in range(int(executor.max()) + 1)]
    taken = [(0, k) for k in range(n_inputs)]  # how often, and when last
    for n, e in enumerate(executor):
        dealt[n] = k = min(shares[e], key=taken.__getitem__)
        shares[e].remove(k)
        taken[k] = (taken[k][0] + 1, n + n_inputs)
    return dealt


def _twice_in_order(n_inputs: int, n_workers: int, count: int) -> NDArray[np.intp]:
    """Place copies where blocks of `count` workers take both of one input least often.

    Two places a < b share few blocks if they lie `count` apart, and little is lost with the
    others if blocks rarely miss both: so pairs lie in the middle.
    """
    n_twice = n_workers - n_inputs
    if n_twice >= n_inputs:
        return np.concatenate([np.arange(n_twice) % n_inputs, np.arange(n_inputs)])
    apart = min(max(count, n_twice), n_inputs)
    front = (n_workers - apart - n_twice) // 2
    again = front + apart  # the first worker that holds a second copy
    once = np.arange(again)
    return np.concatenate([once, np.arange(front, front + n_twice), np.arange(again, n_inputs)])


def _chance_to_lose(
    holders: NDArray[np.intp],
    n_workers: int,
    model: UniformStragglers | IndependentStragglers | ConsecutiveStragglers | MachineStragglers,
) -> float:
    """Give the probability that all holders of one input are lost."""
    copies = len(holders)
    if copies == 0:
        return 1.0
    if isinstance(model, IndependentStragglers):
        return float(model.probability**copies)
    if isinstance(model, UniformStragglers):
        return math.comb(model.count, copies) / math.comb(n_workers, copies)
    if isinstance(model, MachineStragglers):
        machines = -(-n_workers // model.workers_per_machine)
        spread = len(np.unique(holders // model.workers_per_machine))
        return math.comb(model.count, spread) / math.comb(machines, spread)
    last = n_workers - model.count
    starts = min(int(holders[0]), last) - max(int(holders[-1]) - model.count + 1, 0) + 1
    return max(starts, 0) / (last + 1)


def _largest_prime(most: int) -> int:
    """Give the largest prime up to `most`, or 1."""
    candidates = range(most, 1, -1)
    return next((p for p in candidates if all(p % q for q in range(2, math.isqrt(p) + 1))), 1)
