"""The search for the lam of many columns abreast, which share all that depends on lam alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastspline._kernels import score_lanes, score_panels, scores
from fastspline._kernels.vector import LANES
from fastspline._score import scaled_weights, take_lines_out
from fastspline._solvers.tableau import Gaps, Rows, Vector
from fastspline._threads import cut, run_blocks

LEAST_COLUMNS = LANES  # below, one after the other takes less time
MOST_KNOTS = score_lanes.BLOCK  # of a table


class Abreast(NamedTuple):
    """Columns by their differences without lines, (n - 1, columns), and by what they are scored."""

    criterion: int
    gaps: Gaps
    weights: Vector
    noise: Vector
    rises: Vector
    whole: float  # lam at the place 0
    threads: int

    def tabulate(self, places: Vector) -> Vector:
        """Write all of scores at `LANES` places that does not depend on values."""
        n = self.weights.size
        table = np.empty((n * score_lanes.ENTRIES + score_lanes.N_SUMS, LANES))
        problem = (
            self.criterion, self.gaps.h, self.weights, self.noise, np.zeros(n - 1), self.whole,
            table,
        )  # fmt: skip
        score_lanes.score_places(problem, places, np.empty(LANES), 0)
        return table

    def score(self, table: Vector, columns: Rows, out: Vector, first: int) -> None:
        """Write scores (columns, places) from place `first` on."""
        score_panels.score_panels(
            self.criterion, self.gaps.h, self.weights, self.noise, table, self.rises, columns,
            out, first,
        )  # fmt: skip

    def score_grid(self, grid: Vector, columns: Rows) -> Vector:
        """Give the scores of columns at all places of a grid, (columns, places)."""
        tables = [self.tabulate(grid[k : k + LANES]) for k in range(0, grid.size, LANES)]
        out = np.empty((columns.size, grid.size))

        def work(first: int, stop: int) -> int:
            for k, table in enumerate(tables):
                self.score(table, columns[first:stop], out[first:stop], k * LANES)
            return -1

        share = -(-columns.size // (4 * self.threads * LANES)) * LANES
        run_blocks(work, cut(columns.size, min(share, 16 * LANES)), self.threads)
        return out

    def refine(self, grid: Vector, columns: Rows, tables: Vector) -> tuple[Vector, Vector]:
        """Give place and score of the least of columns, whose scores on the grid are known.

        Those that have a minimum at the same place of the grid share the places of its round.
        """
        found, least = np.empty(columns.size), np.full(columns.size, np.inf)
        first, turn, brackets = np.full((3, columns.size), -2)
        while score_panels.choose_brackets(tables, least, first, turn, brackets):
            order = np.argsort(brackets, kind="stable")
            starts = np.flatnonzero(np.diff(brackets[order], prepend=-1))
            groups = np.split(order, starts)[1:]

            def work(k: int, _: int, groups: list[Rows] = groups) -> int:
                rows, places = groups[k], np.empty(score_lanes.TRIED + 2)
                bracket = int(brackets[rows[0]])
                score_panels.lay_bracket(grid, bracket, places)
                out = np.empty((rows.size, places.size))
                out[:, 0] = tables[rows, max(bracket - 1, 0)]
                out[:, -1] = tables[rows, min(bracket + 1, grid.size - 2)]
                for start in range(1, places.size - 1, LANES):
                    table = self.tabulate(places[start : start + LANES])
                    self.score(table, columns[rows], out, start)
                score_panels.settle(places, out, rows, found, least)
                return -1

            run_blocks(work, cut(len(groups), 1), self.threads)
        return found, least


def search_abreast(
    gaps: Gaps, y: Vector, criterion: int, end: Callable[[], float], threads: int
) -> tuple[Vector, NDArray[np.int8]]:
    """Do what `score_lanes.search_columns` does for all columns, of up to `MOST_KNOTS` values."""
    weights = scaled_weights(gaps)
    whole, near = scores.search_range(gaps.h, weights)
    rises, _, exact = take_lines_out(gaps, y)
    lam, bound = np.full(exact.size, np.inf), np.zeros(exact.size, np.int8)
    columns = np.flatnonzero(~exact)
    if columns.size == 0:
        return lam, bound
    all_of = Abreast(criterion, gaps, weights, 1.0 / weights, rises, whole, threads)

    def search(grid: Vector, columns: Rows, tables: Vector) -> None:
        places, least = all_of.refine(grid, columns, tables)
        score_panels.place_lam(places, least, tables, whole, grid[0], columns, lam, bound)

    lower = max(near, end()) if criterion in (scores.LOO, scores.REML) else near
    grid = score_lanes.lay_grid(lower)
    tables = all_of.score_grid(grid, columns)
    begins = tables[:, 0]
    with np.errstate(invalid="ignore"):
        lower_down = ~(2.0 * begins - tables[:, 1] > tables.min(axis=1)) | np.isinf(begins)
    if lower_down.any():  # there it may be less, or the end lies further up
        least = end()
        if criterion not in (scores.LOO, scores.REML):
            ends = np.where(np.isinf(begins), least, min(least, near))
        else:
            ends = np.full(columns.size, least)
        lower_down &= ends != lower
        for one in np.unique(ends[lower_down]):
            some = columns[lower_down & (ends == one)]
            other = score_lanes.lay_grid(float(one))
            search(other, some, all_of.score_grid(other, some))
        columns, tables = columns[~lower_down], tables[~lower_down]
    if columns.size:
        search(grid, columns, tables)
    return lam, bound
