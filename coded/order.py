"""In which order inputs are laid along the code's line, so that neighbours are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.distances import distances_between, flattened


def path_order(inputs: ArrayLike) -> NDArray[np.intp]:
    """Lay similar inputs next to each other: a short open path through all of them.

    Seeks the permutation p that minimises ``sum_i ||x[p[i+1]] - x[p[i]]||`` over the
    flattened inputs: greedy edges (the shortest first), then the best 2-opt moves
    until none shortens the path, then the best Or-opt move (a piece of one to three
    inputs put elsewhere, either way round), until neither helps. O(K^2) a move.
    Deterministic, and a matter of the inputs alone: permuting distinct inputs gives
    the same path through them, in the same direction.

    Parameters
    ----------
    inputs : array_like, shape (K, ...)
        Any finite numbers, numpy or torch; equal inputs are allowed.

    Returns
    -------
    ndarray of int, shape (K,)
        ``inputs[path_order(inputs)]`` is ordered along the path.

    Raises
    ------
    TypeError
        If `inputs` holds no real numbers.
    ValueError
        If there is no input, or if a number is not finite.

    Examples
    --------
    >>> path_order([3.0, 1.0, 2.0, 5.0]).tolist() in ([1, 2, 0, 3], [3, 0, 2, 1])
    True
    """
    rows = flattened(inputs)
    # Sorted by their bytes first: ties, rounding and direction then ignore the caller's order.
    canonical = np.array(sorted(range(len(rows)), key=lambda k: rows[k].tobytes()), dtype=np.intp)
    distances = distances_between(rows, canonical)
    path = _greedy_path(distances)
    return canonical[_shortened(path, distances)]


def _greedy_path(distances: NDArray[np.float64]) -> NDArray[np.intp]:
    """Join fragments of a path by the shortest edge between their ends, until one is left."""
    size = len(distances)
    joinable = distances.copy()
    np.fill_diagonal(joinable, np.inf)
    fragment_of_end = [[k] for k in range(size)]
    for _ in range(size - 1):
        i, j = divmod(int(joinable.argmin()), size)
        left, right = fragment_of_end[i], fragment_of_end[j]
        joined = (left if left[-1] == i else left[::-1]) + (right if right[0] == j else right[::-1])
        first, last = joined[0], joined[-1]
        for inner in {i, j} - {first, last}:
            joinable[inner, :] = joinable[:, inner] = np.inf
        joinable[first, last] = joinable[last, first] = np.inf
        fragment_of_end[first] = fragment_of_end[last] = joined
    return np.array(fragment_of_end[first] if size > 1 else [0], dtype=np.intp)


def _shortened(path: NDArray[np.intp], distances: NDArray[np.float64]) -> NDArray[np.intp]:
    """Shorten a path by 2-opt and Or-opt moves to a local minimum of its length.

    A dummy at distance 0 from all closes the path to a tour, and is cut out at the end.
    """
    dummy = len(path)
    lengths = np.zeros((dummy + 1, dummy + 1))
    lengths[:dummy, :dummy] = distances
    # A gain sums six lengths: what is below their rounding is none, and would loop for ever.
    least_gain = 16 * np.finfo(np.float64).eps * float(distances.max())
    tour = np.append(path, dummy)
    while True:
        gain, moved = _best_reversal(tour, lengths)
        if gain <= least_gain:
            gain, moved = _best_relocation(tour, lengths)
        if gain <= least_gain:
            break
        tour = moved
    at = int(np.flatnonzero(tour == dummy)[0])
    return np.concatenate([tour[at + 1 :], tour[:at]])


def _best_reversal(
    tour: NDArray[np.intp], lengths: NDArray[np.float64]
) -> tuple[float, NDArray[np.intp]]:
    """2-opt, edges (p_i, q_i), (p_j, q_j) to (p_i, p_j), (q_i, q_j): give gain and new tour."""
    follower = np.roll(tour, -1)
    edge = lengths[tour, follower]
    kept = lengths[np.ix_(tour, tour)] + lengths[np.ix_(follower, follower)]
    gains = edge[:, None] + edge - kept
    np.fill_diagonal(gains, 0.0)  # i = j is no move
    i, j = sorted(divmod(int(gains.argmax()), len(tour)))
    moved = tour.copy()
    moved[i + 1 : j + 1] = tour[i + 1 : j + 1][::-1]
    return float(gains[i, j]), moved


def _best_relocation(
    tour: NDArray[np.intp], lengths: NDArray[np.float64]
) -> tuple[float, NDArray[np.intp]]:
    """Or-opt, a piece of 1 to 3 nodes, either way round, on another edge: gain and new tour."""
    size = len(tour)
    positions = np.arange(size)
    follower = np.roll(tour, -1)
    edge = lengths[tour, follower]
    best_gain, best_move = 0.0, (0, 0, 1, False)
    for length in range(1, min(3, size - 2) + 1):
        first, last = tour, np.roll(tour, 1 - length)
        before, after = np.roll(tour, 1), np.roll(tour, -length)
        saved = lengths[before, first] + lengths[last, after] - lengths[before, after]
        for is_reversed, (head, tail) in enumerate(((first, last), (last, first))):
            added = lengths[np.ix_(head, tour)] + lengths[np.ix_(tail, follower)] - edge
            gains = saved[:, None] - added
            for offset in range(-1, length):  # the edges that touch the piece
                gains[positions, (positions + offset) % size] = -np.inf
            start, target = divmod(int(gains.argmax()), size)
            if gains[start, target] > best_gain:
                best_gain = float(gains[start, target])
                best_move = (start, target, length, bool(is_reversed))
    start, target, length, is_turned = best_move
    turned = np.roll(tour, -start)
    piece, rest = turned[:length], turned[length:]
    cut = (target - start) % size - length + 1
    return best_gain, np.concatenate([rest[:cut], piece[::-1] if is_turned else piece, rest[cut:]])
