"""Innovations and costate in SIMD lanes, a knot at a time: the twin of `innovations`.

Forward: the innovation e and, one step late, the filtered slope v. Backward: the costate, s and
(late) m, which gives gamma, and whose jump gives g. A piece between knots is given by g and gamma,
as Reinsch's; its derivative by slope and gamma, and where points lie far outside, the curve by g
and slope. Then slopes are added up, two more operations a knot.
"""

from fastspline._kernels.addresses import BEYOND, JET, needs_slopes
from fastspline._kernels.blocks import evaluate_points, read_ahead, read_row
from fastspline._kernels.innovations import (
    A22,
    ALPHA,
    GAP,
    K2,
    KAPPA,
    LATE_H,
    LATE_K2,
    N_COEFFICIENTS,
    PER_F,
    PHI,
    PULL,
    SHARP,
)
from fastspline._kernels.vector import (
    entry,
    fma,
    n_bytes,
    peek,
    scale,
    vadd,
    vcast,
    vload,
    vput,
    vstore,
    vsub,
    zero_like,
)
from fastspline.jit import INLINED, njit

KNOT_BYTES = 8 * N_COEFFICIENTS


@njit(**INLINED)
def start(tables, knots, zero, row, point):
    """Give the states that both sweeps begin with, a slot's bytes, and which rows are read."""
    kept, carried = (zero, zero, zero), (zero, zero, zero, zero, point, point, row)
    last = n_bytes(zero) if needs_slopes(tables.nu) else 0
    return kept, carried, n_bytes((zero, row)) + last, tables.sources, knots


@njit(**INLINED)
def forward(steps, tables, source, k, slot, state, like):
    """Leave the innovation and, where g is needed, the value; at the last knot also the slope."""
    y0, e, v = state
    f = tables.forward + k * KNOT_BYTES
    row = read_row(source, k, like)
    read_ahead(source, k)
    y1 = vcast(row, y0)
    if k > 0:
        e, v = steps.filter_step(f, vsub(y1, y0), e, v)
    vstore(slot, e)
    if peek(tables.needed, k, "i8"):
        vstore(slot + n_bytes(e), row)
    if k == source.knots - 1 and needs_slopes(tables.nu):
        last = v
        if not entry(f, SHARP, v) > 0.0:
            last = fma(entry(f, K2, v), e, v)
        vstore(slot + n_bytes((e, row)), last)
    return y1, e, v


@njit(**INLINED)
def sum_of_states(state, _like):
    """Give NaN where the forward sweep has met what is not finite."""
    _, e, v = state
    return fma(0.0, e, scale(0.0, v))


@njit(**INLINED)
def filter_step(f, rise, e, v):
    """Give innovation and late slope at the knot whose coefficients lie at `f`."""
    h, late = entry(f, GAP, v), entry(f, LATE_K2, v)
    if entry(f, SHARP, v) > 0.0:
        v = fma(late, e, v)
        d = fma(entry(f, ALPHA - N_COEFFICIENTS, v), e, rise)
        e = fma(-h, v, d)
        v = fma(entry(f, K2, v), d, scale(entry(f, A22, v), v))
    else:
        ahead = fma(-h, v, rise)
        v = fma(late, e, v)
        e = fma(entry(f, PHI, v), e, ahead)
    return e, v


@njit(**INLINED)
def costate_step(f, e, s, m):
    """Give the jump u of s at a knot, gamma there, and the costate before it."""
    k2, scaled = entry(f, K2, e), scale(entry(f, PER_F, e), e)
    if entry(f, SHARP, e) > 0.0:
        gamma = fma(entry(f, LATE_H, e), s, m)
        c = fma(entry(f, ALPHA, e), s, scaled)
        after, s = s, fma(-k2, gamma, c)
        m = fma(entry(f, GAP, e), c, scale(entry(f, A22, e), gamma))
        u = vsub(s, after)
    else:
        u = fma(-entry(f, KAPPA, e), s, fma(-k2, m, scaled))
        m = gamma = fma(entry(f, LATE_H, e), s, m)
        s = vadd(s, u)
    return u, gamma, s, m


@njit(**INLINED)
def backward(steps, tables, k, knots, slot, target, state):
    """Carry the costate, slope and gamma where needed, and (base, tangent); store the points."""
    f, nu, per_unit = tables.forward + k * KNOT_BYTES, tables.nu, tables.per_unit
    s, m, slope, bend, base1, tangent1, check = state
    if k > 0:
        u, gamma, s, m = steps.costate_step(f, vload(slot, s), s, m)
    else:
        u, gamma = scale(-1.0, s), zero_like(s)
    slopes = needs_slopes(nu)
    if slopes:
        if k == knots - 1:
            slope = vload(slot + n_bytes((s, check)), s)
        else:
            half = -0.5 * entry(f, GAP + N_COEFFICIENTS, s)
            slope = fma(half, vadd(gamma, bend), slope)
        bend = gamma
    if peek(tables.needed, k, "i8"):
        y = vcast(vload(slot + n_bytes(s), check), s)
        g = fma(-entry(f, PULL, u), u, y)
        base0, tangent0 = vcast(g, base1), vcast(gamma, base1)
        if nu == BEYOND:
            tangent0 = vcast(slope, base1)
        elif slopes:
            base0 = vcast(scale(per_unit, slope), base1)
        if nu == JET:
            value, rate = vcast(g, check), vcast(base0, check)
            moment = vcast(scale(per_unit * per_unit, gamma), check)
            vput(target, k, value)
            vput(target, knots + k, rate)
            vput(target, 2 * knots + k, moment)
            check = fma(0.0, moment, fma(0.0, rate, fma(0.0, value, check)))
        here, beyond = (base0, tangent0), (base1, tangent1)
        check = evaluate_points(tables, k, target, here, beyond, check)
        base1, tangent1 = base0, tangent0
    return s, m, slope, bend, base1, tangent1, check
