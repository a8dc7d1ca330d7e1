"""The search for many columns' lam: their scores at one lam, one column a SIMD lane.

What of a score depends on lam alone stands in a table that `score_lanes.score_places` has written;
values, one column after the other or side by side, meet the same numbers in the same order, so that
a column's lam does not depend on the others.
"""

import numpy as np

from fastspline._kernels.score_lanes import (
    ENTRIES,
    LAM,
    LOG_DET,
    N_SUMS,
    OF_RIGHT,
    OF_SIDES,
    RESTS,
    SHARED,
    delete_value,
    observe,
    score_of,
)
from fastspline._kernels.scores import AT_BOUND, LOO, REML, lowest, next_minimum
from fastspline._kernels.vector import (
    LANES,
    fma,
    scale,
    vadd,
    vdiv,
    vload,
    vload_all,
    vstore,
    vstore_all,
    vsub,
    vzero,
)
from fastspline.jit import JIT, njit

WIDTH = 2 * LANES  # columns of a panel: one vector's steps wait for each other
BYTES = 8 * WIDTH
TOTAL = 4  # d' of the left filter in a table's rows


@njit(**JIT)
def score_panels(criterion, h, weights, noise, table, rises, columns, scores, first):
    """Write scores (columns, places) at `LANES` places from `first` on, those of a table.

    `columns` of `rises` (n - 1, m).
    """
    n, count = weights.size, columns.size
    panels = (count + WIDTH - 1) // WIDTH
    memory = np.empty((panels * (n - 1) + 2 * n + 1) * WIDTH + 8)
    packed = (memory.ctypes.data + 63) // 64 * 64
    skip = (packed - memory.ctypes.data) // 8
    for i in range(n - 1):
        for p in range(count):
            at = skip + ((p // WIDTH) * (n - 1) + i) * WIDTH + p % WIDTH
            memory[at] = rises[i, columns[p]]
    states = packed + panels * (n - 1) * BYTES
    result, squared = states + 2 * n * BYTES, skip + (panels * (n - 1) + 2 * n) * WIDTH
    own, sums = np.empty((n, ENTRIES)), table[table.shape[0] - N_SUMS :]
    none = vzero("f8", WIDTH)
    for place in range(LANES):
        for i in range(n):
            for k in range(ENTRIES):
                own[i, k] = table[i * ENTRIES + k, place]
        for panel in range(panels):
            start = packed + panel * (n - 1) * BYTES
            ahead, slope, chord, squares = none, none, none, none
            for i in range(n):
                vstore_all(states + 2 * i * BYTES, (ahead, slope))
                g = own[i]
                if criterion == REML and i > 1:
                    squares = vadd(squares, vdiv(scale(ahead, ahead), g[TOTAL]))
                j = min(i, n - 2)
                rise = vload(start + j * BYTES, none)
                gains = g[0], g[1], g[2], g[3]
                ahead, slope, chord = observe(gains, h[j], rise, ahead, slope, chord)
            ahead, slope, chord = none, none, none
            for i in range(n - 1, -1 if criterion != REML else n, -1):
                before = vload_all(states + 2 * i * BYTES, (none, none))
                g = own[i]
                sides = g[OF_SIDES], g[OF_SIDES + 1], g[OF_SIDES + 2]
                deleted = delete_value(sides, before[0], before[1], ahead, slope)
                by_all = scale(scale(noise[i] * sums[LAM, place], deleted), g[OF_SIDES + 3])
                residual = by_all if criterion != LOO else vdiv(deleted, sides[0] + sides[1])
                squares = fma(weights[i], scale(residual, residual), squares)
                j = max(i - 1, 0)
                rise = vsub(none, vload(start + j * BYTES, none))
                gains = (
                    g[OF_RIGHT], g[OF_RIGHT + 1], g[OF_RIGHT + 2], g[OF_RIGHT + 3],
                )  # fmt: skip
                ahead, slope, chord = observe(gains, h[j], rise, ahead, slope, chord)
            vstore(result, squares)
            for k in range(min(WIDTH, count - panel * WIDTH)):
                scores[panel * WIDTH + k, first + place] = score_of(
                    criterion, n, memory[squared + k], sums[RESTS, place], sums[SHARED, place],
                    sums[LOG_DET, place],
                )  # fmt: skip


@njit(**JIT)
def choose_brackets(tables, least, first, turn, brackets):
    """Give for each column of `tables` the next minimum to be refined, or -1; see `make_refine`.

    Writes `brackets` (m,) and keeps the place of the `first` minimum and of the last `turn`, both
    -2 before. `least` is the score found. The last place of a table is that of the line.
    """
    count = tables.shape[1] - 1
    left = 0
    for j in range(tables.shape[0]):
        table, k = tables[j], turn[j]
        if k == -2:
            k = 0
            for i in range(count):
                k = i if table[i] < table[k] else k
            first[j] = k
        while k >= 0:
            if turn[j] != -2:
                k = next_minimum(table, 0 if turn[j] == first[j] else turn[j] + 1, count)
                if k == first[j]:
                    k = next_minimum(table, k + 1, count)
            turn[j] = k
            if k < 0:
                break
            low, high = max(k - 1, 0), min(k + 1, count - 1)
            if not 2.0 * table[k] - max(table[low], table[high]) > least[j]:
                break
        brackets[j] = k
        left += k >= 0
    return left


@njit(**JIT)
def lay_bracket(grid, k, places):
    """Write what `make_refine` tries between the neighbours of place `k`, these included."""
    left, right = grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 2)]
    end = places.size - 1
    gap = (right - left) / end
    for i in range(end):
        places[i] = left + i * gap
    places[end] = right


@njit(**JIT)
def settle(places, scores, columns, found, least):
    """Write the places of the least of `scores` (columns, places) where it is below `least`."""
    for q in range(columns.size):
        place, score = lowest(places, scores[q])
        if score < least[columns[q]]:
            found[columns[q]], least[columns[q]] = place, score


@njit(**JIT)
def place_lam(places, least, tables, whole, lower, columns, lam, bound):
    """Write lam of the places found for columns, or of the line where that scores less; `bound`."""
    for q in range(columns.size):
        j = columns[q]
        lam[j] = whole * 10.0 ** places[q]
        if tables[q, tables.shape[1] - 1] <= least[q]:
            lam[j], bound[j] = np.inf, 1
        elif places[q] <= lower + AT_BOUND:
            bound[j] = -1
