"""Operators of few points as banded matrices, for columns of float32, where that is less work."""

from __future__ import annotations

import math

import numpy as np

from fastspline._kernels import banded
from fastspline._kernels.banded import POINTS, WIDE
from fastspline._solvers.columns import F4, Kernel, Prepared, Sweepable, SweepEvaluator
from fastspline._solvers.tableau import Rows, Tableau, Vector

_LEFT_OUT = 1e-9  # of what a row of the matrix sums to: far below half a unit of float32's
_LARGEST_SUM = 8.0  # of absolute weights of a point; beyond, as far outside, float32 loses digits
_KERNEL = Kernel(banded.multiply_banded, WIDE, F4, F4)


def prepare_banded(
    solver: Sweepable, tableau: Tableau, sources: Rows, work: float
) -> Prepared | None:
    """List what the product of the operator's matrix and float32 columns starts from, or give None.

    `work` is how many products of a register of float32 the sweep takes the time of, a knot. None
    where it is faster, or more exact than float32.
    """
    n, m = tableau.n, tableau.m
    if m == 0 or POINTS * math.ceil(m / POINTS) > 2.0 * work:  # bands are that wide at least
        return None
    values, results = np.eye(n, n + 1), np.empty((m, n + 1))
    bad = SweepEvaluator(solver, tableau, np.arange(n)).apply(values, results, 1)
    if bad >= 0 or results[:, n].any():  # given end slopes add a constant
        return None
    return _pack(results[:, :n], sources, work * n)


def _pack(matrix: Vector, sources: Rows, most_work: float) -> Prepared | None:
    """Cut the matrix into groups of points, each with the union of their bands."""
    m, n = matrix.shape
    sizes = np.abs(matrix)
    sums = sizes.sum(axis=1, initial=0.0)
    if not 0.0 < sums.max() <= _LARGEST_SUM:
        return None
    some = 0.5 * _LEFT_OUT * sums[:, np.newaxis]
    low = (np.cumsum(sizes, axis=1) <= some).sum(axis=1)
    high = n - (np.cumsum(sizes[:, ::-1], axis=1) <= some).sum(axis=1)
    order = np.argsort(low + high, kind="stable")
    groups = [order[i : i + POINTS] for i in range(0, m, POINTS)]
    ends = [(int(low[group].min()), int(high[group].max())) for group in groups]
    # Every row is read, so that what is not finite shows.
    ends = [
        (min(start, 0 if i == 0 else ends[i - 1][1]), n if i == len(ends) - 1 else stop)
        for i, (start, stop) in enumerate(ends)
    ]
    turns = sum(stop - start for start, stop in ends)
    if POINTS * turns > most_work:
        return None
    bounds = np.zeros((len(groups), banded.N_BOUNDS), np.int64)
    places = np.full(len(groups) * POINTS, -1, np.int64)
    weights = np.zeros(turns * POINTS, F4)
    at = 0
    for i, (group, (start, stop)) in enumerate(zip(groups, ends, strict=True)):
        bounds[i] = start, stop, at * F4.itemsize
        places[i * POINTS : i * POINTS + group.size] = group
        part = weights[at : at + (stop - start) * POINTS].reshape(stop - start, POINTS)
        part[:, : group.size] = matrix[group, start:stop].T
        at += part.size
    lines_a_block = n * WIDE * F4.itemsize / 64
    rate = math.ceil(256 * lines_a_block / turns) + 1
    tables = np.array(
        [*(one.ctypes.data for one in (bounds, weights, places, sources)), len(groups), rate],
        np.int64,
    )
    kept = (bounds, weights, places, sources, tables)
    return Prepared(_KERNEL, n, tables.ctypes.data, kept)
