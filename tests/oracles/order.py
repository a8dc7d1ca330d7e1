"""Short paths plainly, in numpy: what `coded.nearness.paths` must give, move for move."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Moves: TypeAlias = tuple[NDArray[np.float64], NDArray[np.intp]]  # gains, nodes of each

_NEAREST = 10


def short_path(distances: NDArray[np.float64]) -> NDArray[np.intp]:
    """Give a short open path through all K inputs by their (K, K) distances, as `path_order`."""
    tour = _Tour(_greedy_path(distances), distances)
    while tour.reverse_pieces() or tour.relocate_pieces():
        pass
    return tour.path


def _greedy_path(distances: NDArray[np.float64]) -> NDArray[np.intp]:
    """Join fragments of a path by the shortest edge between their ends, until one is left."""
    size = len(distances)
    joinable = distances.copy()
    np.fill_diagonal(joinable, np.inf)
    # A row's shortest edge as last seen: edges only ever go, so that it is too short at most.
    partner = joinable.argmin(axis=1)
    shortest = joinable[np.arange(size), partner]
    fragment_of_end = [[k] for k in range(size)]
    for _ in range(size - 1):
        while True:
            i = int(shortest.argmin())
            j = int(partner[i])
            if joinable[i, j] < np.inf:
                break
            partner[i] = joinable[i].argmin()
            shortest[i] = joinable[i, partner[i]]
        left, right = fragment_of_end[i], fragment_of_end[j]
        joined = (left if left[-1] == i else left[::-1]) + (right if right[0] == j else right[::-1])
        first, last = joined[0], joined[-1]
        for inner in {i, j} - {first, last}:
            joinable[inner, :] = joinable[:, inner] = shortest[inner] = np.inf
        joinable[first, last] = joinable[last, first] = np.inf
        fragment_of_end[first] = fragment_of_end[last] = joined
    return np.array(fragment_of_end[first] if size > 1 else [0], dtype=np.intp)


class _Tour:
    """A path that a dummy, at distance 0 from all, closes; shortened in place.

    Only moves that lay some input beside one of the nearest to it, or at an end of the path,
    are looked at. A pass values them all at once and then makes them, the best first, each if
    the edges that it exchanges are still there.
    """

    def __init__(self, path: NDArray[np.intp], distances: NDArray[np.float64]) -> None:
        size = len(path)
        self._lengths = np.zeros((size + 1, size + 1))
        self._lengths[:size, :size] = distances
        self._near = _nearest(distances)
        # A gain sums six lengths: what is below their rounding is none, and would loop for ever.
        self._least_gain = 16 * np.finfo(np.float64).eps * float(distances.max())
        self._lay(np.append(path, size))

    @property
    def path(self) -> NDArray[np.intp]:
        """The inputs in order, cut open at the dummy."""
        dummy = len(self._tour) - 1
        return np.roll(self._tour, -1 - self._position[dummy])[:-1]

    def reverse_pieces(self) -> bool:
        """2-opt: edges p-q, r-s become p-r, q-s where that is shorter; tell whether any was."""
        lengths, found = self._lengths, []
        p, r = np.arange(len(self._tour))[:, None], self._near
        for step in (1, -1):
            q, s = self._beside(p, step), self._beside(r, step)
            gains = lengths[p, q] + lengths[r, s] - lengths[p, r] - lengths[q, s]
            found.append(self._shortening(gains, p, q, r, s))
        return self._make(found, self._reverse)

    def relocate_pieces(self) -> bool:
        """Or-opt: pieces of 1 to 3 nodes go, either way round, between c and d if shorter."""
        lengths, tour, found = self._lengths, self._tour, []
        size = len(tour)
        start = np.arange(size)[:, None]
        # The dummy is as near to all: where the path is best cut open is at a long edge.
        steps = lengths[tour, np.roll(tour, -1)]
        self._near[-1] = tour[np.argsort(-steps, kind="stable")[: self._near.shape[1]]]
        for length in range(1, min(3, size - 2) + 1):
            first, last = tour[start], tour[(start + length - 1) % size]
            before, after = tour[start - 1], tour[(start + length) % size]
            saved = lengths[before, first] + lengths[last, after] - lengths[before, after]
            ways = ((first, last, before, after), (last, first, after, before))
            for head, tail, *outside in ways[: min(length, 2)]:
                c = self._near[head[:, 0]]
                for step in (1, -1):
                    d = self._beside(c, step)
                    gains = saved + lengths[c, d] - lengths[head, c] - lengths[tail, d]
                    for node in (c, d):
                        gains[(self._position[node] - start) % size < length] = 0.0  # in the piece
                    found.append(self._shortening(gains, head, tail, *outside, c, d))
        return self._make(found, self._relocate)

    def _beside(self, nodes: NDArray[np.intp], step: int) -> NDArray[np.intp]:
        """Give the nodes `step` places ahead of these."""
        return self._tour[(self._position[nodes] + step) % len(self._tour)]

    def _shortening(self, gains: NDArray[np.float64], *nodes: NDArray[np.intp]) -> _Moves:
        """Pick the moves that gain: their gains, and their nodes as rows."""
        row, column = np.nonzero(gains > self._least_gain)
        chosen = np.empty((len(row), len(nodes)), dtype=np.intp)
        if len(row):
            for j, node in enumerate(nodes):
                chosen[:, j] = node[row, column] if node.shape[1] > 1 else node[row, 0]
        return gains[row, column], chosen

    def _make(self, found: list[_Moves], move: Callable[..., bool]) -> bool:
        """Make the moves, the best first; tell whether any was made."""
        if not found:
            return False
        gains, nodes = (np.concatenate(part) for part in zip(*found, strict=True))
        best_first = np.argsort(-gains, kind="stable")
        made = [move(*row) for row in nodes[best_first].tolist()]
        return any(made)

    def _reverse(self, p: int, q: int, r: int, s: int) -> bool:
        """Turn round what lies between the edges p-q and r-s, if they are still there."""
        size = len(self._tour)
        at_p, at_q, at_r, at_s = self._position[[p, q, r, s]].tolist()
        if (at_q - at_p) % size != 1:
            at_p, at_q, at_r, at_s = at_q, at_p, at_s, at_r
        if (at_q - at_p) % size != 1 or (at_s - at_r) % size != 1:
            return False
        start, stop = min(at_p, at_r) + 1, max(at_p, at_r) + 1
        turned = self._tour[start:stop][::-1].copy()
        self._tour[start:stop] = turned
        self._position[turned] = np.arange(start, stop)
        return True

    def _relocate(self, head: int, tail: int, before: int, after: int, c: int, d: int) -> bool:
        """Turn before-(head...tail)-after and c-d into before-after and c-(head...tail)-d."""
        size = len(self._tour)
        at = self._position[[head, tail, before, after, c, d]]
        way = 1 if (at[3] - at[1]) % size == 1 else -1
        # Counted from `after` on, away from the piece, which comes last.
        at_head, at_tail, at_before, _, at_c, at_d = (way * (at - at[3]) % size).tolist()
        is_whole = at_before == at_head - 1 and at_tail == size - 1
        if not is_whole or abs(at_c - at_d) != 1 or max(at_c, at_d) >= at_head:
            return False
        turned = self._tour[(at[3] + way * np.arange(size)) % size]
        piece = turned[at_head:] if at_c < at_d else turned[at_head:][::-1]
        cut = max(at_c, at_d)
        self._lay(np.concatenate([turned[:cut], piece, turned[cut:at_head]]))
        return True

    def _lay(self, tour: NDArray[np.intp]) -> None:
        self._tour = tour
        self._position = np.empty_like(tour)
        self._position[tour] = np.arange(len(tour))


def _nearest(distances: NDArray[np.float64]) -> NDArray[np.intp]:
    """Give the nearest of each input and the dummy itself; the dummy's row is to be filled."""
    size = len(distances)
    count = min(_NEAREST, size - 1)
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    near = np.full((size + 1, count + 1), size)
    near[:size, :count] = np.argpartition(others, count - 1, axis=1)[:, :count] if count else size
    return near
