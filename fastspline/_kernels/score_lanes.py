"""The search for one column's lam: scores at many lam at once, one lam a SIMD lane.

The recursion is that of `scores`. What of it depends on lam alone can be kept in a table, from
which `score_panels` gives the scores of many columns, to the last bit.

Scratch does not grow with the number of knots: the left filter's states are noted at the start of
each block, and computed again block by block, from the last one back, as the right filter comes.
"""

import numpy as np

from fastspline._kernels.scores import (
    AT_BOUND,
    DOWN,
    LEAST_REST,
    LINE,
    LOO,
    REML,
    REST,
    ROBUST,
    STEP,
    UPPER,
    caution,
    make_refine,
    search_range,
    subtract_lines,
)
from fastspline._kernels.vector import (
    LANES,
    fma,
    scale,
    vadd,
    vdiv,
    vload,
    vload_all,
    vsplit,
    vstore_all,
    vsub,
    vwhere_below,
    vzero,
)
from fastspline.jit import INLINED, JIT, njit

BLOCK = 512  # knots whose left states fit in the second-level cache
STATE = 6  # vectors of a predicted state that are kept: e, a, b, c, residual, slope
ROW_BYTES = 8 * LANES
TRIED = max(LANES, 16)  # places of a round, of which one then suffices
# Rows of a table, `LANES` wide: for each knot gains and d' of the left filter, gains of the right
# one, what `weigh_sides` gives, and 1 over the determinant of all; then sums over the knots.
ENTRIES, OF_RIGHT, OF_SIDES = 13, 5, 9
SQUARES, RESTS, SHARED, LOG_DET, EXPONENTS, LAM = 0, 1, 2, 3, 4, 5
N_SUMS = 6


@njit(**INLINED)
def step(place, r, h, rise, state):
    """Observe at a knot and predict at the next, a gap `h` and a `rise` of the values beyond.

    `state` is e, a, b, c, residual and slope predicted at the knot, and two more terms of its own;
    `place` counts the knots observed before, up to 2. Gives the next state and d' of the knot,
    which is the variance of its innovation but for the first two knots.
    """
    e, a, b, c, ahead, slope, bend, chord = state
    if place == 0:
        total = fma(0.0, r, 1.0)
        none = vzero("f8", LANES)
        gains = none, none, none, none
        e, a, b, c = r, total, none, none
    else:
        d = 1.0 if place > 1 else 0.0
        total = fma(d, r, c)
        gain = vdiv(1.0, total)
        rho = scale(r, gain)
        gains = scale(d, rho), scale(gain, c), scale(gain, b), scale(gain, fma(d, r, bend))
        e, a, b, c = scale(rho, e), fma(gain, e, scale(rho, a)), scale(rho, b), scale(rho, c)
    ahead, slope, chord = observe(gains, h, rise, ahead, slope, chord)
    d = 1.0 if place > 0 else 0.0
    h2 = h * h
    h3 = h2 * h / 3.0
    bend = vsub(fma(h, b, c), 0.5 * h3 * d)
    next_e = vadd(fma(h, c, e), fma(h2, b, fma(h3, a, 0.25 * h3 * h * d)))
    next_c = vadd(fma(2.0 * h, b, c), fma(h2, a, h3 * d))
    next_b = fma(h, a, vadd(b, 0.5 * h2 * d))
    next_a = vadd(a, h * d)
    return (next_e, next_a, next_b, next_c, ahead, slope, bend, chord), (*gains, total)


@njit(**INLINED)
def observe(gains, h, rise, ahead, slope, chord):
    """Observe at a knot: from residual and slope predicted there to those at the next.

    `chord` is `ahead` plus the last gap times the slope. The gains are 0 at the first knot, where
    the slope is not yet known.
    """
    alpha, k1, k2, a22 = gains
    # As in `smooth_panel`: near the identity the increment, else the product. Each product is fused
    # by name: what a compiler fuses may differ between kernels.
    slope = vwhere_below(a22, 0.5, fma(a22, slope, scale(k2, chord)), fma(k2, ahead, slope))
    kept = fma(k1, scale(-1.0, ahead), ahead)
    chord = vwhere_below(alpha, 0.5, fma(alpha, ahead, rise), vadd(rise, kept))
    return fma(-h, slope, chord), slope, chord


@njit(**INLINED)
def weigh_sides(left, right, has_before, has_after):
    """Give by what D at a knot, without its value, is the sum of: see `delete_value`.

    `left` and `right` are the states that both filters predict there, see `step`; the first two
    knots of a side are told only by the other.
    """
    e, a, b, c = left
    both = scale(b, right[2])
    from_left = fma(a, right[3], both)
    if has_before:
        from_left = vadd(from_left, right[0])
    from_right = fma(right[1], c, both)
    if has_after:
        from_right = vadd(from_right, e)
    return from_left, from_right, fma(b, right[3], scale(right[2], c))


@njit(**INLINED)
def delete_value(sides, ahead, slope, ahead_right, slope_right):
    """Give D times the residual that a value leaves where the curve is fitted without it."""
    from_left, from_right, crossed = sides
    slopes = scale(crossed, vadd(slope, slope_right))
    return fma(from_left, ahead, fma(from_right, ahead_right, slopes))


@njit(**INLINED)
def score_of(criterion, n, squares, rest, shared, log_det):
    """Give a score from a sum of squares, sums of 1 - leverage and its squares, and for REML.

    Infinity where it overflows, and of GCV, which knows n - df, where that is too small to tell
    anything.
    """
    if criterion == REML:
        score = (n - 2) * np.log(squares / (n - 2)) + log_det
    elif criterion == LOO:
        score = (1.0 / n) * squares
    elif criterion == REST:
        score = rest
    elif rest < 0.99 * LEAST_REST * n:  # where the search ends it is about the least
        score = np.inf
    else:
        score = n * squares / (rest * rest)
        if criterion == ROBUST:
            score *= caution(n, rest, shared)
    return score if np.isfinite(score) else np.inf


@njit(**INLINED)
def write_scores(criterion, n, sums, scores, first):
    """Write scores from sums over the knots, of which that of logarithms is completed."""
    for k in range(LANES):
        sums[LOG_DET, k] = np.log(sums[LOG_DET, k]) + np.log(2.0) * sums[EXPONENTS, k]
        scores[first + k] = score_of(
            criterion, n, sums[SQUARES, k], sums[RESTS, k], sums[SHARED, k], sums[LOG_DET, k]
        )


@njit(**JIT)
def score_places(problem, places, scores, first):
    """Write one column's scores at `LANES` places from `first` on.

    The problem: criterion, gaps, weights, 1 / weights, the differences of the values (n - 1,),
    lam / 10**place, a unit that frees the places of the data's units, and a table that is written
    for `score_panels`, or empty. With a table n is at most `BLOCK`.
    """
    criterion, h, weights, noise, rises, unit, table = problem
    n = weights.size
    blocks = (n + BLOCK - 1) // BLOCK
    rows = min(n, BLOCK)
    memory = np.empty((STATE * rows + (STATE + 2) * blocks) * LANES + 8)
    states = (memory.ctypes.data + 63) // 64 * 64
    starts = states + STATE * rows * ROW_BYTES
    sums = np.empty((N_SUMS, LANES)) if table.size == 0 else table[table.shape[0] - N_SUMS :]
    for k in range(LANES):
        sums[LAM, k] = unit * 10.0 ** places[first + k]
    none = vzero("f8", LANES)
    lam, one = vload(sums.ctypes.data + LAM * ROW_BYTES, none), vadd(none, 1.0)
    left = (one, none, none, none, none, none, none, none)
    right = left
    squares, rest, shared, exponents, product = none, none, none, none, one
    for turn in range(blocks if criterion == REML else 2 * blocks - 1):
        s = min(turn, 2 * blocks - 2 - turn)
        start, stop = s * BLOCK, min((s + 1) * BLOCK, n)
        at = starts + s * (STATE + 2) * ROW_BYTES
        if turn == s:
            vstore_all(at, left)
        else:
            left = vload_all(at, left)
        for i in range(start, stop):
            vstore_all(states + (i - start) * STATE * ROW_BYTES, left[:STATE])
            ahead = left[4]
            j = min(i, n - 2)
            left, gains = step(min(i, 2), scale(noise[i], lam), h[j], rises[j], left)
            if table.size > 0:
                vstore_all(table.ctypes.data + i * ENTRIES * ROW_BYTES, gains)
            if criterion == REML and turn == s:
                if i > 1:
                    squares = vadd(squares, vdiv(scale(ahead, ahead), gains[4]))
                product, power = vsplit(scale(product, gains[4]))
                exponents = vadd(exponents, power)
        if criterion == REML or turn < blocks - 1:
            continue
        for i in range(stop - 1, start - 1, -1):
            before = vload_all(states + (i - start) * STATE * ROW_BYTES, left[:STATE])
            r = scale(noise[i], lam)
            sides = weigh_sides(before[:4], right, i > 1, i < n - 2)
            d = vadd(sides[0], sides[1])
            deleted = delete_value(sides, before[4], before[5], right[4], right[5])
            here = scale(r, d)
            # The determinant of what both sides tell.
            known = fma(before[3], right[0], scale(right[3], before[0]))
            inverse = vdiv(1.0, vadd(here, known))
            share = scale(here, inverse)
            rest, shared = vadd(rest, share), fma(share, share, shared)
            by_all = scale(scale(r, deleted), inverse)
            residual = by_all if criterion != LOO else vdiv(deleted, d)
            squares = fma(weights[i], scale(residual, residual), squares)
            j = max(i - 1, 0)
            right, gains = step(min(n - 1 - i, 2), r, h[j], -rises[j], right)
            if table.size > 0:
                at = table.ctypes.data + (i * ENTRIES + OF_RIGHT) * ROW_BYTES
                vstore_all(at, (*gains[:4], *sides, inverse))
    vstore_all(sums.ctypes.data, (squares, rest, shared, product, exponents))
    write_scores(criterion, n, sums, scores, first)
    # Numba may free an array after its last use: this keeps the scratch until here.
    memory[0] = 0.0


@njit(**INLINED)
def score_round(problem, places, scores):
    """Write one column's scores at all places but the first and the last."""
    for k in range(1, places.size - 1, LANES):
        score_places(problem, places, scores, k)


refine = make_refine(score_round, njit(**INLINED))


@njit(**INLINED)
def scale_weights(weights, top, scaled, noise):
    """Write one weight a knot, at most about 1, and its inverse; empty `weights` stand for ones."""
    for i in range(scaled.size):
        scaled[i] = weights[i] / top if weights.size > 0 else 1.0
        noise[i] = 1.0 / scaled[i]


@njit(**JIT)
def end_of_search(h, weights, top):
    """Give the place where n - df is n / 1000."""
    n = h.size + 1
    scaled, noise = np.empty(n), np.empty(n)
    scale_weights(weights, top, scaled, noise)
    whole, near = search_range(h, scaled)
    places, scores = np.empty(LANES + 2), np.empty(LANES + 2)
    # Literals in the place of these numbers would be one more specialisation.
    first = np.int64(1)
    problem = (np.int64(REST), h, scaled, noise, np.zeros(n - 1), whole, np.empty((0, LANES)))
    low, high, k = near, 0.0, 2
    least = LEAST_REST * n
    for _ in range(2):
        for i in range(LANES):
            places[1 + i] = low + (high - low) * (i / (LANES - 1))
        score_places(problem, places, scores, first)
        if scores[1] >= least:  # below it falls at most as lam does
            high = low - np.log10(scores[1] / least)
            low = high - DOWN
            continue
        k = 2
        while k < LANES and scores[k] < least:
            k += 1
        low, high = places[k - 1], places[k]
    if scores[1] >= least:  # `near` was not near, but the least place that there is
        return places[1]
    share = np.log(least / scores[k - 1]) / np.log(scores[k] / scores[k - 1])
    return low + min(share, 1.0) * (high - low)


@njit(**JIT)
def lay_grid(lower):
    """Give the places that are tried first, whole rounds of them; the last one is the line."""
    rounds = int(np.ceil(((UPPER - lower) / STEP + 2.0) / LANES))
    grid = np.empty(rounds * LANES)
    last = grid.size - 1
    for k in range(last):
        grid[k] = lower + (UPPER - lower) * (k / (last - 1))
    grid[last] = LINE
    return grid


@njit(**INLINED)
def score_grid(problem, grid, table, is_last):
    """Score one column at all places of a grid; tell if the score may be less below, or is none.

    Down there it is linear in lam, and so falls by no more than between the first two places. If it
    is none, only the last grid is scored on.
    """
    least = np.inf
    for start in range(0, grid.size, LANES):
        score_places(problem, grid, table, start)
        if table[0] == np.inf and not is_last:
            return True
        for k in range(start, start + LANES):
            least = min(least, table[k])
    return table[0] == np.inf or not 2.0 * table[0] - table[1] > least


@njit(**JIT)
def search_columns(criterion, knots, h, unit, weights, top, known, y, first, stop, lam, bound):
    """Write lam of the least score, in scaled units, for columns first to stop - 1 of `y`; give -1.

    `known` is what `end_of_search` gives, or NaN: then a column that needs it is given back, to
    begin again there. LOO and REML need it; for others, few columns show that `near` of
    `search_range` lies too low. `bound` gets 1 where lam is that of the line, -1 where it is the
    least of the search. Columns that lie on a line but for rounding get it without a search, and 0.
    """
    n = knots.size
    x, scaled, noise = np.empty(n), np.empty(n), np.empty(n)
    scale_weights(weights, top, scaled, noise)
    for i in range(n):
        x[i] = (knots[i] - knots[0]) / unit
    whole, near = search_range(h, scaled)
    rises, powers = np.empty((n - 1, stop - first)), np.empty(stop - first, np.int64)
    exact = np.empty(stop - first, np.bool_)
    subtract_lines(x, scaled, y, first, stop, rises, powers, exact)
    own = np.empty(n - 1)
    places, scores = np.empty(TRIED + 2), np.empty(TRIED + 2)
    problem = (criterion, h, scaled, noise, own, whole, np.empty((0, LANES)))
    from_end = criterion == LOO or criterion == REML  # a tuple compiles longer
    end = known if from_end else np.nan
    grid = lay_grid(max(near, end) if from_end else near)
    table = np.empty(grid.size)
    for j in range(first, stop):
        bound[j] = 0
        if exact[j - first]:
            lam[j] = np.inf
            continue
        for i in range(n - 1):
            own[i] = rises[i, j - first]
        mine, found = grid, table
        again = False
        while score_grid(problem, mine, found, again) and not again:
            if np.isnan(end):
                if np.isnan(known):
                    return j
                end = known if table[0] == np.inf else min(known, near)
            if end == grid[0] and table[0] < np.inf:
                break
            mine, again = lay_grid(end), True
            found = np.empty(mine.size)
        if again and end > near:
            grid, table = mine, found
        last = mine.size - 1
        place, score = refine(problem, mine, found, last, places, scores)
        lam[j] = whole * 10.0**place
        if found[last] <= score:
            lam[j], bound[j] = np.inf, 1
        elif place <= mine[0] + AT_BOUND:
            bound[j] = -1
    return -1
