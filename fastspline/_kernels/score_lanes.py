"""The search for one column's lam: scores at many lam at once, one lam a SIMD lane.

The recursion is that of `scores`.

Scratch does not grow with the number of knots: the left filter's states are noted at the start of
each block, and computed again block by block, from the last one back, as the right filter comes.
"""

import math

import numpy as np
from numba import njit

from fastspline._kernels.scores import (
    AT_BOUND,
    DOWN,
    GCV,
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
    subtract_line,
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
    vstore,
    vstore_all,
    vsub,
    vwhere_below,
    vzero,
)
from fastspline.jit import INLINED, JIT

BLOCK = 512  # knots whose left states fit in the second-level cache
STATE = 6  # vectors of a predicted state that are kept: e, a, b, c, residual, slope
ROW_BYTES = 8 * LANES


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
        residual, slope = vzero("f8", LANES), vzero("f8", LANES)
        e, a, b, c = r, total, residual, residual
    else:
        d = 1.0 if place > 1 else 0.0
        total = fma(d, r, c)
        gain = vdiv(1.0, total)
        rho = scale(r, gain)
        alpha = scale(d, rho)
        k1, k2 = scale(gain, c), scale(gain, b)
        a22 = scale(gain, fma(d, r, bend))
        e, a, b, c = scale(rho, e), fma(gain, e, scale(rho, a)), scale(rho, b), scale(rho, c)
        # As in `smooth_panel`: near the identity the increment, else the product.
        residual = vwhere_below(alpha, 0.5, scale(alpha, ahead), vsub(ahead, scale(k1, ahead)))
        slope = vwhere_below(a22, 0.5, fma(a22, slope, scale(k2, chord)), fma(k2, ahead, slope))
    d = 1.0 if place > 0 else 0.0
    h2 = h * h
    h3 = h2 * h / 3.0
    chord = vadd(rise, residual)
    ahead = fma(-h, slope, chord)
    bend = vsub(fma(h, b, c), 0.5 * h3 * d)
    next_e = vadd(fma(h, c, e), fma(h2, b, fma(h3, a, 0.25 * h3 * h * d)))
    next_c = vadd(fma(2.0 * h, b, c), fma(h2, a, h3 * d))
    next_b = fma(h, a, vadd(b, 0.5 * h2 * d))
    next_a = vadd(a, h * d)
    return (next_e, next_a, next_b, next_c, ahead, slope, bend, chord), total


@njit(**INLINED)
def delete_value(left, right, has_before, has_after):
    """Give D at a knot without its value, and D times the residual that the value then leaves.

    `left` and `right` are the states that both filters predict there, see `step`; the first two
    knots of a side are told only by the other.
    """
    e, a, b, c, ahead, slope = left
    both = scale(b, right[2])
    from_left = fma(a, right[3], both)
    if has_before:
        from_left = vadd(from_left, right[0])
    from_right = fma(right[1], c, both)
    if has_after:
        from_right = vadd(from_right, e)
    crossed = fma(b, right[3], scale(right[2], c))
    slopes = scale(crossed, vadd(slope, right[5]))
    deleted = fma(from_left, ahead, fma(from_right, right[4], slopes))
    return vadd(from_left, from_right), deleted


@njit(**INLINED)
def write_scores(criterion, n, squares, rests, determinant, scores):
    """Write the scores; they hold lam.

    `rests`: sums of 1 - leverage and of its squares. `determinant`: mantissas and exponents of a
    product.
    """
    first = scores.ctypes.data + 8
    rest, shared = rests
    if criterion in (GCV, ROBUST):
        squares = vdiv(scale(float(n), squares), scale(rest, rest))
    elif criterion == LOO:
        squares = scale(1.0 / n, squares)
    elif criterion == REST:
        squares = rest
    vstore(first, squares)
    if criterion == REML:
        mantissas, powers = np.empty(LANES), np.empty(LANES)
        vstore(mantissas.ctypes.data, determinant[0])
        vstore(powers.ctypes.data, determinant[1])
        for k in range(LANES):
            log_det = np.log(mantissas[k]) + np.log(2.0) * powers[k]
            scores[1 + k] = (n - 2) * np.log(scores[1 + k] / (n - 2)) + log_det
    if criterion in (GCV, ROBUST):
        left, squared = np.empty(LANES), np.empty(LANES)
        vstore(left.ctypes.data, rest)
        vstore(squared.ctypes.data, shared)
        for k in range(LANES):
            if left[k] < 0.99 * LEAST_REST * n:  # where the search ends it is about the least
                scores[1 + k] = np.inf
            elif criterion == ROBUST:
                scores[1 + k] *= caution(n, left[k], squared[k])
    for k in range(1, LANES + 1):
        if not np.isfinite(scores[k]):
            scores[k] = np.inf


@njit(**JIT)
def score_places(problem, places, scores):
    """Write one column's scores at places 1 to `LANES`; infinity where they overflow.

    For GCV, which knows n - df, also where that is too small to tell anything.

    The problem: criterion, gaps, weights, 1 / weights, the differences of the values (n - 1,), and
    lam / 10**place, a unit that frees the places of the data's units.
    """
    criterion, h, weights, noise, rises, unit = problem
    n = weights.size
    blocks = (n + BLOCK - 1) // BLOCK
    rows = min(n, BLOCK)
    memory = np.empty((STATE * rows + (STATE + 2) * blocks) * LANES + 8)
    states = (memory.ctypes.data + 63) // 64 * 64
    starts = states + STATE * rows * ROW_BYTES
    for k in range(1, LANES + 1):
        scores[k] = unit * 10.0 ** places[k]
    none = vzero("f8", LANES)
    lam, one = vload(scores.ctypes.data + 8, none), vadd(none, 1.0)
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
            left, total = step(min(i, 2), scale(noise[i], lam), h[j], rises[j], left)
            if criterion == REML and turn == s:
                if i > 1:
                    squares = vadd(squares, vdiv(scale(ahead, ahead), total))
                product, power = vsplit(scale(product, total))
                exponents = vadd(exponents, power)
        if criterion == REML or turn < blocks - 1:
            continue
        for i in range(stop - 1, start - 1, -1):
            before = vload_all(states + (i - start) * STATE * ROW_BYTES, left[:STATE])
            r = scale(noise[i], lam)
            d, deleted = delete_value(before, right, i > 1, i < n - 2)
            if criterion != LOO:
                kept = scale(r, d)
                # The determinant of what both sides tell.
                known = fma(before[3], right[0], scale(right[3], before[0]))
                inverse = vdiv(1.0, vadd(kept, known))
                share = scale(kept, inverse)
                rest, shared = vadd(rest, share), fma(share, share, shared)
                residual = scale(scale(r, deleted), inverse)
            else:
                residual = vdiv(deleted, d)
            squares = fma(weights[i], scale(residual, residual), squares)
            j = max(i - 1, 0)
            right, _ = step(min(n - 1 - i, 2), r, h[j], -rises[j], right)
    write_scores(criterion, n, squares, (rest, shared), (product, exponents), scores)
    # Numba may free an array after its last use: this keeps the scratch until here.
    memory[0] = 0.0


refine = make_refine(score_places, njit(**INLINED))


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
    # A literal in the place of the criterion would be one more specialisation.
    problem = (np.int64(REST), h, scaled, noise, np.zeros(n - 1), whole)
    low, high, k = near, 0.0, 2
    least = LEAST_REST * n
    for _ in range(2):
        for i in range(LANES):
            places[1 + i] = low + (high - low) * (i / (LANES - 1))
        score_places(problem, places, scores)
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
def score_grid(problem, grid, table, places, scores):
    """Score one column at all places of a grid; tell if the score may be less below, or is none.

    Down there it is linear in lam, and so falls by no more than between the first two places.
    """
    least = np.inf
    for start in range(0, grid.size, LANES):
        for k in range(LANES):
            places[1 + k] = grid[start + k]
        score_places(problem, places, scores)
        for k in range(LANES):
            table[start + k] = scores[1 + k]
            least = min(least, scores[1 + k])
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
    rises, column = np.zeros(n - 1), np.empty(n)
    places, scores = np.empty(LANES + 2), np.empty(LANES + 2)
    problem = (criterion, h, scaled, noise, rises, whole)
    from_end = criterion == LOO or criterion == REML  # a tuple compiles longer
    end = known if from_end else np.nan
    grid = lay_grid(max(near, end) if from_end else near)
    table = np.empty(grid.size)
    for j in range(first, stop):
        largest = 0.0
        for i in range(n):
            largest = max(largest, abs(y[i, j]))
        power = math.frexp(largest)[1]  # squares then neither over- nor underflow
        for i in range(n):
            column[i] = math.ldexp(y[i, j], -power)
        bound[j] = 0
        if subtract_line(x, scaled, column, rises):
            lam[j] = np.inf
            continue
        mine, found = grid, table
        again = False
        while score_grid(problem, mine, found, places, scores) and not again:
            if np.isnan(end):
                if np.isnan(known):
                    return j
                end = known if table[0] == np.inf else min(known, near)
            if end == grid[0]:
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
