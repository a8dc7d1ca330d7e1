"""The transpose of Reinsch's recurrence in SIMD lanes: the twin of `reinsch_steps`, turned round.

Sweeping forward, points are added to the cotangents G of g and M of gamma at both ends of their
gap, see `reinsch.adjoint_evaluate_column`. Once G_k is whole it is added to M at k - 1, k and k + 1
(g is the value less three gamma), and ``s_j = M_j + b0_j s_{j-1} + b1_{j-1} s_{j-2}``, for
j = k - 1. Backward, ``t_j = s_j + f2_{j+1} t_{j+1} + f3_{j+2} t_{j+2}``, and row k is
``G_k + f0_{k-1} t_{k-1} + (f1_k - f0_k) t_k - f1_{k+1} t_{k+1}``, by the tables of `reinsch`.
"""

from fastspline._kernels.blocks import gather_points
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
    zero_like,
)
from fastspline.jit import INLINED, njit


@njit(**INLINED)
def start(tables, knots, zero, row, _point):
    """Give the states that both sweeps begin with, a slot's bytes, and which rows are read."""
    kept, carried = (zero, zero, zero, zero, zero), (zero, zero, zero, zero, row)
    points = peek(tables.spans, 2 * knots, "i8")
    return kept, carried, n_bytes((zero, zero)), tables.rows, points


@njit(**INLINED)
def forward(_steps, tables, source, k, slot, state, like):
    """Leave s at the knot before and G at each knot."""
    table = tables.backward
    base, tangent, s1, s2, before = state  # s at k - 2 and k - 3, M at k - 1
    here = base, tangent
    base, tangent, base1, tangent1 = gather_points(tables, k, source, here, like)
    if peek(tables.needed, k, "i8"):
        vstore(slot + n_bytes(base), base)
        before = fma(entry(table, 5 * k + 2, base), base, before)
        tangent = fma(entry(table, 5 * k + 3, base), base, tangent)
        tangent1 = fma(entry(table, 5 * k + 4, base), base, tangent1)
    s = zero_like(base)
    if k > 1:  # gamma is 0 at the first knot
        s = fma(entry(table, 5 * k - 9, s), s2, before)  # b1 at k - 2
        s = fma(entry(table, 5 * k - 5, s), s1, s)  # b0 at k - 1; the newest last
    vstore(slot, s)
    return base1, tangent1, s, s1, tangent


@njit(**INLINED)
def sum_of_states(_state, like):
    """Give zeros: what is not finite shows in the rows."""
    return zero_like(like)


@njit(**INLINED)
def backward(_steps, tables, k, _knots, slot, target, state):
    """Carry t and what rows k and k - 1 have got so far; store the rows."""
    table = tables.forward
    t, carry, near, far, check = state
    r = near
    if peek(tables.needed, k, "i8"):
        r = vadd(vload(slot + n_bytes(t), t), r)
    near, far = far, zero_like(t)
    if k > 1:
        waiting = vadd(vload(slot, t), carry)
        carry = scale(entry(table, 4 * k + 3, t), t)
        t = fma(entry(table, 4 * k + 2, t), t, waiting)  # at k - 1
        f0, f1 = entry(table, 4 * k - 4, t), entry(table, 4 * k - 3, t)
        r = fma(f0, t, r)
        near, far = fma(f1 - f0, t, near), scale(-f1, t)
    row = vcast(r, check)
    check = fma(0.0, row, check)  # 0 inf is NaN, and NaN stays
    vput(target, peek(tables.sources, k, "i8"), row)
    return t, carry, near, far, check
