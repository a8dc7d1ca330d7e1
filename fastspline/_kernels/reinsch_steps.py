"""Reinsch's recurrence in SIMD lanes, a knot at a time: the twin of `reinsch`.

Forward: u from the last two u. Backward: gamma from the last two gamma; g is the value less three
gamma. A piece between knots is given by g and gamma.
"""

from fastspline._kernels.blocks import evaluate_points, read_ahead, read_row
from fastspline._kernels.vector import (
    entry,
    fma,
    n_bytes,
    peek,
    scale,
    vcast,
    vload,
    vstore,
    vsub,
)
from fastspline.jit import INLINED, njit


@njit(**INLINED)
def start(tables, knots, zero, row, point):
    """Give the states that both sweeps begin with, a slot's bytes, and which rows are read."""
    kept, carried = (zero, zero, zero, zero), (zero, zero, point, point, row)
    return kept, carried, n_bytes((zero, row)), tables.sources, knots


@njit(**INLINED)
def forward(steps, tables, source, k, slot, state, like):
    """Leave u at the knot before and, where g is needed, the value."""
    y0, before, u1, u2 = state
    row = read_row(source, k, like)
    read_ahead(source, k)
    y1 = vcast(row, y0)
    rise = vsub(y1, y0)
    if k > 1:
        u1, u2 = steps.solve_lower(tables.forward, k - 1, rise, before, u1, u2), u1
    vstore(slot, u1)
    if peek(tables.needed, k, "i8"):
        vstore(slot + n_bytes(u1), row)
    return y1, rise, u1, u2


@njit(**INLINED)
def sum_of_states(state, _like):
    """Give NaN where the forward sweep has met what is not finite."""
    _, before, u1, _ = state
    return fma(0.0, u1, scale(0.0, before))


@njit(**INLINED)
def solve_lower(table, k, rise, before, u1, u2):
    """Give u at knot k, from the rises beyond and before it and u at k - 1 and k - 2."""
    u = scale(entry(table, 4 * k, rise), rise)
    u = fma(entry(table, 4 * k + 1, u), before, u)
    u = fma(entry(table, 4 * k + 3, u), u2, u)
    return fma(entry(table, 4 * k + 2, u), u1, u)  # the newest last


@njit(**INLINED)
def backward(_steps, tables, k, _knots, slot, target, state):
    """Carry gamma at the last two knots, and (base, tangent) at the last; store the points."""
    table = tables.backward
    m2, m1, base1, tangent1, check = state
    # L^T gamma = u
    m0 = fma(entry(table, 5 * k + 1, m2), m2, vload(slot, m1))
    m0 = fma(entry(table, 5 * k, m1), m1, m0)
    if peek(tables.needed, k, "i8"):
        g = vcast(vload(slot + n_bytes(m0), check), m0)
        g = fma(entry(table, 5 * k + 4, g), m2, g)
        g = fma(entry(table, 5 * k + 3, g), m1, g)
        g = fma(entry(table, 5 * k + 2, g), m0, g)
        # Narrowing to float32 costs as much as two or three points: it is done once a knot.
        base0, tangent0 = vcast(g, base1), vcast(m1, base1)
        here, beyond = (base0, tangent0), (base1, tangent1)
        check = evaluate_points(tables, k, target, here, beyond, check)
        base1, tangent1 = base0, tangent0
    return m1, m0, base1, tangent1, check
