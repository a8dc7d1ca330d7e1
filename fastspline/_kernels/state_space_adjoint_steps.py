"""The transpose of the subtraction-free recursion in SIMD lanes.

The twin of `state_space.adjoint_smooth_panel`, whose first loop goes forward here, with the points
added to the cotangents at both ends of their gap, and its second backward.
"""

from fastspline._kernels.blocks import gather_points
from fastspline._kernels.state_space import (
    A22,
    ALPHA,
    K1,
    K2,
    M11,
    M12,
    M22,
    P11,
    P12,
    P21,
    P22,
    PER_F,
)
from fastspline._kernels.state_space_steps import GAP_BYTES
from fastspline._kernels.vector import (
    entry,
    fma,
    n_bytes,
    peek,
    scale,
    vadd,
    vcast,
    vload,
    vload_all,
    vput,
    vstore,
    vstore_all,
    vsub,
    zero_like,
)
from fastspline.jit import INLINED, njit


@njit(**INLINED)
def start(tables, knots, zero, row, _point):
    """Give the states that both sweeps begin with, a slot's bytes, and which rows are read."""
    kept, carried = (zero, zero, zero, zero, zero, zero), (zero, zero, row)
    points = peek(tables.spans, 2 * knots, "i8")
    return kept, carried, n_bytes((zero, zero, zero)), tables.rows, points


@njit(**INLINED)
def forward(steps, tables, source, k, slot, state, like):
    """Leave the cotangents of the filtered value and slope, and of the innovation if nu > 0."""
    base, tangent, shear, moment, f, v = state
    here = base, tangent
    base, tangent, base1, tangent1 = gather_points(tables, k, source, here, like)
    if tables.nu == 0:
        f, v = vadd(f, base), vadd(v, tangent)
    else:
        v = fma(tables.per_unit, base, v)
        if k > 0:
            h = peek(tables.forward, k - 1, "f8")
            c = tables.backward + (k - 1) * GAP_BYTES
            shear, moment, innovation = steps.costate_step(h, c, shear, moment)
            vstore(slot + 2 * n_bytes(f), innovation)
        if tables.nu == 3:
            shear = vadd(shear, tangent)
        else:
            moment = vadd(moment, tangent)
    f_after, v_after = f, v
    if k < source.knots - 1:
        f, v, f_after, v_after = steps.smooth_step(tables.backward + k * GAP_BYTES, f, v)
    vstore_all(slot, (f, v))
    return base1, tangent1, shear, moment, f_after, v_after


@njit(**INLINED)
def sum_of_states(_state, like):
    """Give zeros: what is not finite shows in the rows."""
    return zero_like(like)


@njit(**INLINED)
def costate_step(h, c, shear, moment):
    """Give the cotangents of the costate a gap on, and of the innovation there."""
    alpha, k2, a22 = entry(c, ALPHA, shear), entry(c, K2, shear), entry(c, A22, shear)
    z = fma(h, moment, shear)
    if alpha > 0.5 and a22 > 0.5:
        shear = fma(-entry(c, K1, z), z, z)
        moment = fma(-k2, z, moment)
    else:
        moment = fma(-k2, shear, scale(a22, moment))
        shear = scale(alpha, z)
    return shear, moment, scale(entry(c, PER_F, z), z)


@njit(**INLINED)
def smooth_step(c, f, v):
    """Give what smoothed value and slope owe to the filtered ones, and to those a gap on."""
    p21 = entry(c, P21, v)
    f_after = fma(entry(c, P11, f), f, scale(p21, v))
    v_after = fma(entry(c, P12, f), f, scale(entry(c, P22, v), v))
    filtered = fma(entry(c, M11, f), f, scale(-p21, v))
    return filtered, fma(entry(c, M12, f), f, scale(entry(c, M22, v), v)), f_after, v_after


@njit(**INLINED)
def backward(_steps, tables, k, _knots, slot, target, state):
    """Carry the cotangents of the filtered value and slope; store the rows."""
    f_before, v_before, check = state
    f, v = vload_all(slot, (f_before, v_before))
    f, v = vadd(f, f_before), vadd(v, v_before)
    r = f
    if k > 0:
        h = peek(tables.forward, k - 1, "f8")
        c = tables.backward + (k - 1) * GAP_BYTES
        k2 = entry(c, K2, v)
        r = fma(entry(c, K1, f), f, scale(k2, v))
        f = scale(entry(c, ALPHA, f), f)
        if tables.nu > 0:
            innovation = vload(slot + 2 * n_bytes(f), f)
            r, f = vadd(r, innovation), vsub(f, innovation)
        f_before = fma(-k2, v, f)
        v_before = fma(h, f, scale(entry(c, A22, v), v))
    row = vcast(r, check)
    check = fma(0.0, row, check)  # 0 inf is NaN, and NaN stays
    vput(target, peek(tables.sources, k, "i8"), row)
    return f_before, v_before, check
