"""An operator of few points as a banded matrix times columns of float32: no recurrence.

A kernel takes `POINTS` points and twice `LANES` columns at a time: their sums stay in registers
while the rows go by that the points depend on. Each group of points has the union of their bands.

Inputs are asked for ahead line by line, at an even rate: in bursts, or too early, they take the
buffers that loads wait for, and the whole is a quarter slower.
"""

import numpy as np

from fastspline._kernels.blocks import STRIP_BYTES, STRIPS_UP_TO, Source, Target, read_row
from fastspline._kernels.vector import (
    LANES,
    any_nan,
    fence,
    fma,
    fma_all,
    peek,
    prefetch,
    vput,
    vzero,
    vzeros,
    zero_like,
)
from fastspline.jit import JIT, njit

POINTS = 10 if LANES == 16 else 5  # sums that registers hold beside the row
WIDE = 2 * LANES
N_BOUNDS = 3  # of a group: first row, the one behind the last, and where its weights lie
_LINE = 64
_LINES = STRIP_BYTES // _LINE


@njit(**JIT)
def multiply_banded(array, step, out, out_step, columns, rows_read, _rows, tables, stream, panel):
    """Multiply `columns` columns of float32; arguments and result as of a sweep, see `make_sweep`.

    `tables` is where the addresses of bounds, weights, places (rows of the result, -1 for none)
    and sources (rows that are read) lie, then the number of groups and the rate of lines to ask
    for, in 256ths a row. It stages no panels: what is not aligned is stored through the cache.
    """
    bounds, weights, places = peek(tables, 0, "i8"), peek(tables, 1, "i8"), peek(tables, 2, "i8")
    listed, groups, rate = peek(tables, 3, "i8"), peek(tables, 4, "i8"), peek(tables, 5, "i8")
    like = vzero("f4", WIDE)
    lanes, strip = WIDE, STRIP_BYTES // 4
    fitted = max(columns, lanes)
    asked, line, corner, credit = rows_read, 0, array, 0
    begin, bad = 0, -1
    while begin < fitted and bad < 0:
        first = min(begin, fitted - lanes)
        bypass = stream and not panel and first == begin and columns >= lanes
        target = Target(out + first * 4, out_step, columns, np.int64(bypass))
        place = array + first * 4
        source = Source(listed, place, step, columns, rows_read, array, 0, 0, 1, rows_read)
        following = (begin // strip + 1) * strip
        is_next_whole = following + strip <= columns
        if rows_read <= STRIPS_UP_TO and begin % strip == 0 and is_next_whole:
            asked, line, corner = 0, 0, array + following * 4
        check = zero_like(like)
        for g in range(groups):
            low, high = peek(bounds, 3 * g, "i8"), peek(bounds, 3 * g + 1, "i8")
            w = weights + peek(bounds, 3 * g + 2, "i8")
            sums = vzeros(like, POINTS)
            for k in range(low, high):
                sums = fma_all(w, read_row(source, k, like), sums)
                w += 4 * POINTS
                credit += rate
                while credit >= 256:
                    credit -= 256
                    if asked < rows_read:
                        at = corner + peek(listed, asked, "i8") * step
                        prefetch(at + line * _LINE, 64)
                        line += 1
                        if line == _LINES:
                            asked, line = asked + 1, 0
            for i in range(POINTS):
                row = peek(places, g * POINTS + i, "i8")
                if row >= 0:
                    check = fma(0.0, sums[i], check)  # 0 inf is NaN, and NaN stays
                    vput(target, row, sums[i])
        if any_nan(check):
            bad = first
        begin = first + lanes
    if stream:
        fence()
    return bad
