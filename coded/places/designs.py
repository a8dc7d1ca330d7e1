"""What each worker evaluates: an input, or a point between two inputs.

Such points lie on chords, the straight lines from each input to the next in some order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coded.maps.arrays import Matrix
from coded.places.copies import copies_by_risk
from coded.places.placement import places_far_apart
from coded.places.points import systematic

_MORE_AT_ENDS = 6  # times the share of lost workers: 1 where it is .15, 2 or 3 at .4, 4 at .6


@dataclass(frozen=True, eq=False)
class Design:
    """What the workers evaluate: inputs, and points on chords between two of them.

    Attributes
    ----------
    site : ndarray of int, shape (N,)
        What each worker evaluates: k < K is input k, K + i is chord point i.
    chords : ndarray, shape (chord points, K)
        Weights of the inputs.
    """

    site: NDArray[np.intp]
    chords: Matrix


def design_for_outputs(risk: NDArray[np.float64], n_workers: int, n_stragglers: int) -> Design:
    """Give copies alone, more of inputs that the others would estimate badly, N >= K.

    Each input has at least ``floor(N / K) - 1`` of them, for those near each other are lost
    together at times, and ``floor(N / K)`` where S is less: then none is ever lost.
    """
    n_inputs = len(risk)
    share = n_workers // n_inputs
    fewest = share if n_stragglers < share else max(1, share - 1)
    copies = copies_by_risk(risk, n_workers, n_stragglers, at_least=fewest)
    order = np.argsort(copies, kind="stable")
    site = np.repeat(order, copies[order])
    return Design(site[places_far_apart(n_workers)], np.empty((0, n_inputs)))


def design_for_labels(order: NDArray[np.intp], n_workers: int) -> Design:
    """Give what keeps most labels right: many copies, few chord points, so few estimates."""
    copies = _copies_for_labels(len(order), n_workers)
    return _copies_and_chords(order, n_workers, copies, at_ends=0)


def _copies_for_labels(n_inputs: int, n_workers: int) -> int:
    return max(1, round(0.6 * n_workers / n_inputs))


def design_for_smooth(order: NDArray[np.intp], n_workers: int, n_stragglers: int) -> Design:
    """Give what errs little for smooth functions of few numbers, and not much for others.

    As many copies as those that answer could give to all, or as labels get, which is more where
    much is lost; the others on chords. The ends of the path get more copies the more is lost, a
    sixth of the others at most: where an end is lost all answers lie on one side of it, and
    extrapolation errs most.
    """
    # Copies instead of a quarter, half or three quarters of the chord points: over 51 functions of
    # one to three numbers the error is 1.9, 2.0, 2.1 times that of the best of these designs at
    # (12, 40, 22), without 1.5, and 1.5, 1.9, 1.8 at (50, 90, 25), without 1.6. Copies alone, 1.9
    # and 2.1, are the best for most functions that are rough: which f is, a probe has to tell.
    n_inputs = len(order)
    answered = (n_workers - n_stragglers) // n_inputs
    copies = max(answered, _copies_for_labels(n_inputs, n_workers))
    others = max(0, n_workers - copies * n_inputs)
    at_ends = max(1, min(math.ceil(_MORE_AT_ENDS * n_stragglers / n_workers), others // 12))
    return _copies_and_chords(order, n_workers, copies, at_ends=at_ends)


def _copies_and_chords(
    order: NDArray[np.intp], n_workers: int, copies: int, *, at_ends: int
) -> Design:
    """Give `copies` of the inputs, `at_ends` more of the first and the last in `order`.

    The other workers lie evenly on the chords between neighbours, and those that evaluate the
    same or near points lie far apart among the workers.
    """
    n_inputs = len(order)
    spare = n_workers - copies * n_inputs
    at_ends = max(0, min(at_ends, spare // 2)) if n_inputs > 1 else 0
    line = np.arange(n_inputs, dtype=np.float64)
    places = systematic(line, n_workers - 2 * at_ends, copies=copies)
    places = np.sort(np.concatenate([places, np.repeat(line[[0, -1]], at_ends)]))
    places = places[places_far_apart(n_workers)]
    edge = np.floor(places).astype(np.intp)
    fraction = places - edge
    on_chord = np.flatnonzero(fraction > 0.0)
    chords = np.zeros((len(on_chord), n_inputs))
    rows = np.arange(len(on_chord))
    chords[rows, order[edge[on_chord]]] = 1.0 - fraction[on_chord]
    chords[rows, order[edge[on_chord] + 1]] = fraction[on_chord]
    site = order[edge]
    site[on_chord] = n_inputs + rows
    return Design(site, chords)
