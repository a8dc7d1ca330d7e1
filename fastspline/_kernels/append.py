"""What `SplineStream.append` computes: filter the new knots, smooth back until nothing changes.

The recursion of `state_space` needs nothing of what comes later, so its state at the last knot is
all that an append starts from. Older fitted values are smoothed again, from the newest knot
backwards; what an append changes decays exponentially on the way, and the sweep ends where it has
stayed below `SETTLED` for a quarter of its length, by when it has decayed far beyond.

Gaps are divided by the power of two next to the first gap and weights by that next to the first
weight, so that how knots are divided into appends changes no digit of the filter.
"""

import numpy as np

from fastspline._kernels.state_space import extend_information, filter_row, smooth_row
from fastspline._kernels.tables import power_of_two, weigh_by_slope
from fastspline.jit import JIT, njit

# Rows of `track` (8, capacity): of all knots, and of the active ones (those of positive weight).
KNOT, WEIGHT = 0, 1
H, R, RHO, BETA, S, PLACE = 2, 3, 4, 5, 6, 7  # H to the next active knot; PLACE among all knots
N_TRACKS = 8
# Panels (6, capacity, columns): of all knots, and of the active ones.
FITTED = 0
Y, FILTERED, FILTERED_SLOPE, RESIDUAL, SLOPE = 1, 2, 3, 4, 5
N_PANELS = 6
# Entries of `totals`.
COUNT, ACTIVE, UNIT, TOP, SHORTEST, LONGEST, LIGHTEST, HEAVIEST = 0, 1, 2, 3, 4, 5, 6, 7
N_TOTALS = 8
# Faults of the input.
BAD_KNOT, BAD_WEIGHT, BAD_VALUE, BAD_GAP, BAD_RATIO = -1, -2, -3, -4, -5

SETTLED = 2.0**-50  # of a column's range: a few ulps, which rounding alone reaches
LARGEST_VALUE = 1e200  # what follows from it, over gaps of any allowed ratio, stays finite
LEAST_GAP, LARGEST_GAP = 1e-100, 1e100  # cubes are normal numbers
LARGEST_GAP_RATIO = 1e40  # q**2, q = first gap**3 / lam, then vanishes only where q does
LARGEST_WEIGHT_RATIO = 1e100


@njit(**JIT)
def find_fault(totals, track, knots, values, weights):
    """Give (fault, index) of the first new knot that cannot be appended, or (0, 0)."""
    count, active = int(totals[COUNT]), int(totals[ACTIVE])
    previous = track[KNOT, count - 1] if count > 0 else -np.inf
    last = track[KNOT, int(track[PLACE, active - 1])] if active > 0 else np.nan
    shortest, longest = totals[SHORTEST], totals[LONGEST]
    lightest, heaviest = totals[LIGHTEST], totals[HEAVIEST]
    for i in range(knots.size):
        w = weights[i] if weights.size > 0 else 1.0
        if not previous < knots[i] < np.inf:
            return BAD_KNOT, i
        previous = knots[i]
        if not 0.0 <= w < np.inf:
            return BAD_WEIGHT, i
        if w == 0.0:
            continue
        for j in range(values.shape[1]):
            if not abs(values[i, j]) <= LARGEST_VALUE:
                return BAD_VALUE, i
        lightest, heaviest = min(lightest, w), max(heaviest, w)
        if heaviest > lightest * LARGEST_WEIGHT_RATIO:
            return BAD_RATIO, i
        gap = knots[i] - last
        last = knots[i]
        if np.isnan(gap):
            continue
        shortest, longest = min(shortest, gap), max(longest, gap)
        if not (LEAST_GAP <= gap <= LARGEST_GAP and longest <= shortest * LARGEST_GAP_RATIO):
            return BAD_GAP, i
    return 0, 0


@njit(**JIT)
def append_knots(lam, totals, track, co, panels, ranges, knots, values, weights):
    """Append (k,) knots, their (k, columns) values and weights (empty for ones).

    Gives (0, index of the first knot whose fitted value was computed again), or the fault and its
    index, and then has changed nothing.
    """
    fault, bad = find_fault(totals, track, knots, values, weights)
    if fault < 0:
        return fault, bad
    before = int(totals[ACTIVE])
    store_knots(totals, track, panels, ranges, knots, values, weights)
    count, active = int(totals[COUNT]), int(totals[ACTIVE])
    appended = count - knots.size
    if active == 0:  # nothing is known yet
        panels[FITTED, appended:count] = np.nan
        return 0, appended
    filter_knots(lam, totals, track, co, panels, before)
    first = active
    if active > before:
        first = smooth_back(track, co, panels, ranges, before, active)
    return 0, evaluate_back(totals, track, panels, first, appended)


@njit(**JIT)
def store_knots(totals, track, panels, ranges, knots, values, weights):
    """Add what is given to tracks, panels and totals."""
    count, active = int(totals[COUNT]), int(totals[ACTIVE])
    for i in range(knots.size):
        w = weights[i] if weights.size > 0 else 1.0
        track[KNOT, count], track[WEIGHT, count] = knots[i], w
        count += 1
        if w == 0.0:
            continue
        totals[LIGHTEST], totals[HEAVIEST] = min(totals[LIGHTEST], w), max(totals[HEAVIEST], w)
        if active == 0:
            totals[TOP] = power_of_two(w)
        else:
            gap = knots[i] - track[KNOT, int(track[PLACE, active - 1])]
            if active == 1:
                totals[UNIT] = power_of_two(gap)
            totals[SHORTEST], totals[LONGEST] = (
                min(totals[SHORTEST], gap),
                max(totals[LONGEST], gap),
            )
            track[H, active - 1] = gap / totals[UNIT]
        track[PLACE, active] = count - 1
        for j in range(values.shape[1]):
            panels[Y, active, j] = values[i, j]
            ranges[j] = max(ranges[j], abs(values[i, j] - panels[Y, 0, j]))
        active += 1
    totals[COUNT], totals[ACTIVE] = count, active


@njit(**JIT)
def filter_knots(lam, totals, track, co, panels, before):
    """Run the filter on over the active knots from index `before` on."""
    active = int(totals[ACTIVE])
    unit, top = totals[UNIT], totals[TOP]
    scaled = lam / unit / top / unit / unit  # in turn: neither quotient overflows by itself
    q, numerator = (1.0, scaled) if scaled <= 1.0 else (1.0 / scaled, 1.0)
    start = max(before - 1, 0)
    if before <= 1:  # the first knot's noise is known once there is a gap
        start = 0
        track[R, 0] = numerator / (track[WEIGHT, int(track[PLACE, 0])] / top)
        track[RHO, 0], track[BETA, 0], track[S, 0] = track[R, 0], 0.0, 0.0
        panels[FILTERED, 0] = 0.0
        panels[FILTERED_SLOPE, 0] = 0.0
    for i in range(start + 1, active):
        track[R, i] = numerator / (track[WEIGHT, int(track[PLACE, i])] / top)
    clamped = np.bool_(False)  # noqa: FBT003  # a literal would make another specialisation
    extend_information(
        start, track[H], np.empty(0), clamped, q, track[R, :active],
        track[RHO], track[BETA], track[S], co,
    )  # fmt: skip
    for i in range(start, active - 1):
        filter_row(i, track[H, i], co[i], panels[Y], panels[FILTERED], panels[FILTERED_SLOPE])


@njit(**JIT)
def smooth_back(track, co, panels, ranges, before, active):
    """Smooth from the newest active knot until nothing changes; give the last index reached."""
    y, residual, slope = panels[Y], panels[RESIDUAL], panels[SLOPE]
    columns = y.shape[1]
    earlier = np.empty((2, columns))
    residual[active - 1] = panels[FILTERED, active - 1]
    slope[active - 1] = panels[FILTERED_SLOPE, active - 1]
    settled = 0
    for i in range(active - 2, -1, -1):
        for j in range(columns):
            earlier[0, j], earlier[1, j] = residual[i, j], slope[i, j]
            residual[i, j], slope[i, j] = panels[FILTERED, i, j], panels[FILTERED_SLOPE, i, j]
        smooth_row(i, co[i], y, residual, slope)
        if i >= before:
            continue
        # A change of slope counts as that of values as far to the left as older knots matter.
        reach = np.sqrt(track[S, i] * track[RHO, i] + track[BETA, i] * track[BETA, i])
        if i > 0:
            reach = max(reach, track[H, i - 1])
        settled += 1
        for j in range(columns):
            change = max(
                abs(residual[i, j] - earlier[0, j]), reach * abs(slope[i, j] - earlier[1, j])
            )
            if not change <= SETTLED * ranges[j]:
                settled = 0
        if 4 * settled >= before - i:
            return i
    return 0


@njit(**JIT)
def evaluate_back(totals, track, panels, first, appended):
    """Write fitted values from active knot `first` on, and at knots of weight 0 next to these.

    Gives the index of the first knot written; those from `appended` on always are.
    """
    count, active = int(totals[COUNT]), int(totals[ACTIVE])
    fitted, slope = panels[FITTED], panels[SLOPE]
    columns = fitted.shape[1]
    unit = totals[UNIT]
    for k in range(first, active):
        place = int(track[PLACE, k])
        for j in range(columns):
            fitted[place, j] = panels[Y, k, j] - panels[RESIDUAL, k, j]
    k = first - 1
    start = 0 if first == 0 else int(track[PLACE, k]) + 1
    if first == active:
        start = appended
    w, nu = np.empty(3), np.int64(0)  # a literal would make another specialisation
    for i in range(start, count):
        while k + 1 < active and track[PLACE, k + 1] <= i:
            k += 1
        if k >= 0 and track[PLACE, k] == i:
            continue
        at = max(k, 0)
        left = int(track[PLACE, at])
        t = track[KNOT, i] - track[KNOT, left]
        if k < 0 or k == active - 1:  # the line outside the active knots
            for j in range(columns):
                fitted[i, j] = fitted[left, j] + (t / unit) * slope[at, j]
            continue
        right = int(track[PLACE, k + 1])
        gap = track[KNOT, right] - track[KNOT, left]
        weigh_by_slope(t / gap, (track[KNOT, right] - track[KNOT, i]) / gap, gap / unit, nu, w)
        for j in range(columns):
            rise = w[0] * (fitted[right, j] - fitted[left, j])
            fitted[i, j] = fitted[left, j] + rise + w[1] * slope[k, j] + w[2] * slope[k + 1, j]
    return start
