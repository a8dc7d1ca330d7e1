"""Copies of the inputs, and points on the straight lines between neighbouring ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coded.linear_maps import Matrix
from coded.points import systematic


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


def chords_for_labels(order: NDArray[np.intp], n_workers: int) -> Design:
    """Give what keeps most labels right: many copies, so that few outputs are estimates."""
    copies = max(1, round(0.6 * n_workers / len(order)))
    return _with_chords(order, n_workers, copies, at_ends=0)


def chords_for_smooth(order: NDArray[np.intp], n_workers: int) -> Design:
    """Give what errs least for smooth functions of few numbers.

    Fewer copies and more chord points, but three times the copies at the ends of the path: where
    an end is lost all answers lie on one side of it, and extrapolation errs most.
    """
    copies = max(1, round(0.4 * n_workers / len(order)))
    return _with_chords(order, n_workers, copies, at_ends=2 * copies)


def _with_chords(order: NDArray[np.intp], n_workers: int, copies: int, *, at_ends: int) -> Design:
    """Give `copies` of the inputs, `at_ends` more of the first and the last in `order`.

    The other workers lie evenly on the chords between neighbours, and among the workers far
    from those that evaluate the same.
    """
    n_inputs = len(order)
    spare = n_workers - copies * n_inputs
    at_ends = max(0, min(at_ends, spare // 2)) if n_inputs > 1 else 0
    line = np.arange(n_inputs, dtype=np.float64)
    places = systematic(line, n_workers - 2 * at_ends, copies=copies)
    places = np.concatenate([places, np.repeat(line[[0, -1]], at_ends)])
    edge = np.floor(places).astype(np.intp)
    fraction = places - edge
    on_chord = np.flatnonzero(fraction > 0.0)
    chords = np.zeros((len(on_chord), n_inputs))
    rows = np.arange(len(on_chord))
    chords[rows, order[edge[on_chord]]] = 1.0 - fraction[on_chord]
    chords[rows, order[edge[on_chord] + 1]] = fraction[on_chord]
    site = order[edge]
    site[on_chord] = n_inputs + rows
    return Design(_far_apart(site), chords)


def _far_apart(site: NDArray[np.intp]) -> NDArray[np.intp]:
    """Deal equal sites as far apart as their number allows."""
    ordered = np.sort(site)
    _, start, count = np.unique(ordered, return_index=True, return_counts=True)
    phase = np.empty(len(count))
    for number in np.unique(count):
        alike = np.flatnonzero(count == number)
        phase[alike] = (np.arange(len(alike)) + 0.5) / len(alike)
    turn = np.arange(len(site)) - np.repeat(start, count)
    along = (turn + np.repeat(phase, count)) / np.repeat(count, count)
    return ordered[np.argsort(along, kind="stable")]
