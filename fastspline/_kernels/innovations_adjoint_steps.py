"""The transpose of innovations and costate in SIMD lanes.

The twin of `innovations.adjoint_smooth_column`, whose first loop goes forward here, with the points
added to the cotangents at both ends of their gap, and its second backward.
"""

from fastspline._kernels.addresses import BEYOND, needs_slopes
from fastspline._kernels.blocks import gather_points
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
from fastspline._kernels.innovations_steps import KNOT_BYTES
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


@njit(**INLINED)
def start(tables, knots, zero, row, _point):
    """Give the states that both sweeps begin with, a slot's bytes, and which rows are read."""
    kept, carried = (zero, zero, zero, zero, zero), (zero, zero, zero, row)
    points = peek(tables.spans, 2 * knots, "i8")
    last = n_bytes(zero) if needs_slopes(tables.nu) else 0
    return kept, carried, n_bytes((zero, zero)) + last, tables.rows, points


@njit(**INLINED)
def forward(steps, tables, source, k, slot, state, like):
    """Leave the cotangents of innovation and value at each knot; at the last also of its slope."""
    nu, f = tables.nu, tables.forward + k * KNOT_BYTES
    base, tangent, s, m, turned = state  # `turned` is the sum of the cotangents of slopes
    here = base, tangent
    g, bend, base, tangent = gather_points(tables, k, source, here, like)
    if needs_slopes(nu):
        if nu == BEYOND:
            slope, bend = bend, zero_like(s)
        else:
            slope, g = scale(tables.per_unit, g), zero_like(s)
        if k > 0:
            bend = fma(-0.5 * entry(f, GAP, s), turned, bend)
        turned = vadd(turned, slope)
        if k < source.knots - 1:
            bend = fma(-0.5 * entry(f, GAP + N_COEFFICIENTS, s), turned, bend)
        else:
            vstore(slot + n_bytes((g, g)), turned)
    if peek(tables.needed, k, "i8"):
        vstore(slot + n_bytes(g), g)
    if k > 0:
        e, s, m = steps.costate_step(f, g, bend, s, m)
        vstore(slot, e)
    else:
        s = scale(entry(f, PULL, g), g)
    return base, tangent, s, m, turned


@njit(**INLINED)
def sum_of_states(_state, like):
    """Give zeros: what is not finite shows in the rows."""
    return zero_like(like)


@njit(**INLINED)
def costate_step(f, g, bend, s, m):
    """Give the cotangents of the innovation at a knot, and of the costate a knot on."""
    k2, late = entry(f, K2, g), entry(f, LATE_H, g)
    if entry(f, SHARP, g) > 0.0:
        pulled = scale(entry(f, PULL, g), g)
        z = vsub(s, pulled)
        c = fma(entry(f, GAP, g), m, z)
        m = fma(-k2, z, fma(entry(f, A22, g), m, bend))
        s = fma(late, m, fma(entry(f, ALPHA, g), c, pulled))
    else:
        c = fma(-entry(f, PULL, g), g, s)
        m = vadd(m, bend)
        s = fma(-entry(f, KAPPA, g), c, fma(late, m, s))
        m = fma(-k2, c, m)
    return scale(entry(f, PER_F, g), c), s, m


@njit(**INLINED)
def filter_step(f, e, v):
    """Give the cotangents of the rise to a knot, and of innovation and late slope before it."""
    h, late = entry(f, GAP, v), entry(f, LATE_K2, v)
    if entry(f, SHARP, v) > 0.0:
        d = fma(entry(f, K2, v), v, e)
        v = fma(-h, e, scale(entry(f, A22, v), v))
        e = fma(late, v, scale(entry(f, ALPHA - N_COEFFICIENTS, v), d))
    else:
        d = e
        e = fma(entry(f, PHI, v), d, scale(late, v))
        v = fma(-h, d, v)
    return d, e, v


@njit(**INLINED)
def backward(steps, tables, k, knots, slot, target, state):
    """Carry the cotangents of innovation, slope and the rise beyond; store the rows."""
    f = tables.forward + k * KNOT_BYTES
    e, v, beyond, check = state
    if k == knots - 1 and needs_slopes(tables.nu):
        v = vload(slot + n_bytes((e, v)), v)
        if not entry(f, SHARP, v) > 0.0:
            e = scale(entry(f, K2, v), v)
    r = scale(-1.0, beyond)
    if peek(tables.needed, k, "i8"):
        r = vsub(vload(slot + n_bytes(e), e), beyond)
    if k > 0:
        beyond, e, v = steps.filter_step(f, vadd(e, vload(slot, e)), v)
        r = vadd(r, beyond)
    row = vcast(r, check)
    check = fma(0.0, row, check)  # 0 inf is NaN, and NaN stays
    vput(target, peek(tables.sources, k, "i8"), row)
    return e, v, beyond, check
