"""The subtraction-free recursion in SIMD lanes, a knot at a time: the twin of `state_space`.

Forward: residual eps and slope v of the filtered curve. Backward: residual and slope of the
smoothed curve, and gamma and shear, the costate. A piece between knots is given by value and slope,
its derivative by slope and gamma, its curvature by gamma, its third derivative by shear.
"""

from fastspline._kernels.addresses import JET
from fastspline._kernels.blocks import evaluate_points, read_ahead, read_row
from fastspline._kernels.state_space import (
    A22,
    ALPHA,
    K1,
    K2,
    M11,
    M12,
    M22,
    N_COEFFICIENTS,
    P11,
    P12,
    P21,
    P22,
    P22_MINUS_1,
    PER_F,
)
from fastspline._kernels.vector import (
    entry,
    fma,
    n_bytes,
    peek,
    scale,
    vadd,
    vcast,
    vload_all,
    vput,
    vstore_all,
    vsub,
)
from fastspline.jit import INLINED, njit

GAP_BYTES = 8 * N_COEFFICIENTS


@njit(**INLINED)
def start(tables, knots, zero, row, point):
    """Give the states that both sweeps begin with, a slot's bytes, and which rows are read."""
    kept, carried = (zero, zero, zero), (zero, zero, zero, zero, zero, point, point, row)
    return kept, carried, n_bytes((zero, zero, row)), tables.sources, knots


@njit(**INLINED)
def forward(steps, tables, source, k, slot, state, like):
    """Leave residual and slope filtered at each knot, and the value."""
    y0, eps, v = state
    row = read_row(source, k, like)
    read_ahead(source, k)
    y1 = vcast(row, y0)
    if k > 0:
        h = peek(tables.forward, k - 1, "f8")
        eps, v = steps.filter_step(h, tables.backward + (k - 1) * GAP_BYTES, vsub(y1, y0), eps, v)
    vstore_all(slot, (eps, v, row))
    return y1, eps, v


@njit(**INLINED)
def sum_of_states(state, _like):
    """Give NaN where the forward sweep has met what is not finite."""
    _, eps, v = state
    return fma(0.0, eps, scale(0.0, v))


@njit(**INLINED)
def filter_step(h, f, rise, eps, v):
    """Give residual and slope filtered a gap `h` on, whose coefficients lie at `f`."""
    alpha, k2, a22 = entry(f, ALPHA, v), entry(f, K2, v), entry(f, A22, v)
    d = vadd(rise, eps)
    e = fma(-h, v, d)  # the innovation
    if alpha > 0.5 and a22 > 0.5:
        eps = fma(-entry(f, K1, v), e, e)
        v = fma(k2, e, v)
    else:
        eps = scale(alpha, e)
        v = fma(k2, d, scale(a22, v))
    return eps, v


@njit(**INLINED)
def costate_step(h, f, e, gamma, shear):
    """Give gamma and shear, the costate, a gap back, from the innovation beyond it."""
    alpha, k2, a22 = entry(f, ALPHA, e), entry(f, K2, e), entry(f, A22, e)
    pull = scale(entry(f, PER_F, e), e)
    if alpha > 0.5 and a22 > 0.5:
        pull = fma(-k2, gamma, fma(-entry(f, K1, e), shear, pull))
        shear = vadd(shear, pull)
        gamma = fma(h, shear, gamma)
    else:
        pull = fma(alpha, shear, pull)
        shear = fma(-k2, gamma, pull)
        gamma = fma(h, pull, scale(a22, gamma))
    return gamma, shear


@njit(**INLINED)
def smooth_step(f, d, eps, v, slope):
    """Give residual and slope smoothed a gap back; `d` is g beyond it less the value there."""
    m12, m22 = entry(f, M12, v), entry(f, M22, v)
    p12, p21 = entry(f, P12, v), entry(f, P21, v)
    m11, p22m = entry(f, M11, v), entry(f, P22_MINUS_1, v)
    t = vadd(d, eps)  # g beyond less the filtered curve
    turned = fma(p21, t, scale(m22, v))
    r = fma(-p12, slope, scale(-m12, v))
    if m11 < 0.5 and p22m > -0.5:
        residual = vsub(fma(m11, t, r), d)
        slope = vadd(slope, fma(p22m, slope, turned))
    else:
        residual = fma(-entry(f, P11, v), d, fma(m11, eps, r))
        slope = fma(entry(f, P22, v), slope, turned)
    return residual, slope


@njit(**INLINED)
def backward(steps, tables, k, knots, slot, target, state):
    """Carry the smoothed state, the costate if nu > 0, and (base, tangent); store the points."""
    nu, per_unit = tables.nu, tables.per_unit
    value, residual, slope, gamma, shear, base1, tangent1, check = state
    eps, v, row = vload_all(slot, (slope, slope, check))
    y = vcast(row, slope)
    if k == knots - 1:
        residual, slope = eps, v
    else:
        h, f = peek(tables.forward, k, "f8"), tables.backward + k * GAP_BYTES
        rise = vsub(value, y)
        if nu > 0:
            innovation = fma(-h, v, vadd(rise, eps))
            gamma, shear = steps.costate_step(h, f, innovation, gamma, shear)
        residual, slope = steps.smooth_step(f, vsub(rise, residual), eps, v, slope)
    if peek(tables.needed, k, "i8"):
        if nu == 0:
            base0, tangent0 = vcast(vsub(y, residual), base1), vcast(slope, base1)
        else:
            tangent = shear if nu == 3 else gamma
            base0, tangent0 = vcast(scale(per_unit, slope), base1), vcast(tangent, base1)
        if nu == JET:
            g = vcast(vsub(y, residual), check)
            moment = vcast(scale(per_unit * per_unit, gamma), check)
            vput(target, k, g)
            rate = vcast(base0, check)
            vput(target, knots + k, rate)
            vput(target, 2 * knots + k, moment)
            check = fma(0.0, moment, fma(0.0, rate, fma(0.0, g, check)))
        here, beyond = (base0, tangent0), (base1, tangent1)
        check = evaluate_points(tables, k, target, here, beyond, check)
        base1, tangent1 = base0, tangent0
    return y, residual, slope, gamma, shear, base1, tangent1, check
