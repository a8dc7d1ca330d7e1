"""Reinsch's recurrence in SIMD lanes, over a segment of knots: the twin of `reinsch`.

Forward: u from the last two u. Backward: gamma from the last two gamma; g is the value less three
gamma. A piece between knots is given by g and gamma.
"""

from numba import njit

from fastspline._kernels.blocks import evaluate_points, read_ahead, read_row
from fastspline._kernels.vector import (
    entry,
    fma,
    n_bytes,
    peek,
    scale,
    vcast,
    vload_all,
    vstore_all,
    vsub,
)
from fastspline.jit import JIT


@njit(inline="always", **JIT)
def start(tables, knots, zero, row):
    """Give the states that both sweeps begin with, a slot's bytes, and which rows are read."""
    kept, carried = (zero, zero, zero, zero), (zero, zero, row, row, row)
    return kept, carried, n_bytes((zero, row)), tables.sources, knots


@njit(inline="always", **JIT)
def forward(steps, tables, source, segment, state, like):
    """Leave u at the knot before and the value at each knot."""
    table = tables.forward
    y0, before, u1, u2 = state
    slot = segment.slots
    for k in range(segment.start, segment.stop):
        row = read_row(source, k, like)
        read_ahead(source, k, 2 * source.turn, 2 * source.turns)
        y1 = vcast(row, y0)
        rise = vsub(y1, y0)
        if k > 1:
            u1, u2 = steps.solve_lower(table, k - 1, rise, before, u1, u2), u1
        y0, before = y1, rise
        vstore_all(slot, (u1, row))
        slot += segment.slot_bytes
    return (y0, before, u1, u2), fma(0.0, u1, scale(0.0, before))


@njit(inline="always", **JIT)
def solve_lower(table, k, rise, before, u1, u2):
    """Give u at knot k, from the rises beyond and before it and u at k - 1 and k - 2."""
    u = scale(entry(table, 4 * k, rise), rise)
    u = fma(entry(table, 4 * k + 1, u), before, u)
    u = fma(entry(table, 4 * k + 3, u), u2, u)
    return fma(entry(table, 4 * k + 2, u), u1, u)  # the newest last


@njit(inline="always", **JIT)
def backward(_steps, tables, source, segment, target, state):
    """Carry gamma at the last two knots, and (base, tangent) at the last; store the points."""
    table, needed = tables.backward, tables.needed
    m2, m1, base1, tangent1, check = state
    slot = segment.slots + (segment.stop - segment.start) * segment.slot_bytes
    k = segment.stop
    while k > segment.start:
        k -= 1
        slot -= segment.slot_bytes
        read_ahead(source, k, 2 * source.turn + 1, 2 * source.turns)
        # L^T gamma = u
        u, row = vload_all(slot, (m1, check))
        m0 = fma(entry(table, 5 * k + 1, m2), m2, u)
        m0 = fma(entry(table, 5 * k, m1), m1, m0)
        if peek(needed + k * 8, "i8"):
            g = vcast(row, m0)
            g = fma(entry(table, 5 * k + 4, g), m2, g)
            g = fma(entry(table, 5 * k + 3, g), m1, g)
            g = fma(entry(table, 5 * k + 2, g), m0, g)
            # Narrowing to float32 costs as much as two or three points: it is done once a knot.
            base0, tangent0 = vcast(g, check), vcast(m1, check)
            here, beyond = (base0, tangent0), (base1, tangent1)
            check = evaluate_points(tables, k, target, here, beyond, check)
            base1, tangent1 = base0, tangent0
        m2, m1 = m1, m0
    return m2, m1, base1, tangent1, check
