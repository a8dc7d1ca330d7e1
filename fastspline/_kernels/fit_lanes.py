"""Fits of many columns, each with its own lam, one column a SIMD lane.

Forward goes the filter of `score_lanes`; backward the costate of the smoother, as in `state_space`:
the moment f'' and the shear f'''. At a knot the shear jumps by the smoothed disturbance there, the
residual times weight / lam, which is got without that difference; slopes are integrals of moments.

Reference: S. J. Koopman, "Disturbance smoother for state space models", Biometrika 80 (1993).
"""

import numpy as np

from fastspline._kernels.score_lanes import ROW_BYTES, step
from fastspline._kernels.vector import (
    LANES,
    fma,
    scale,
    vadd,
    vdiv,
    vload,
    vload_all,
    vstore,
    vstore_all,
    vsub,
    vwhere_below,
    vzero,
)
from fastspline.jit import JIT, njit

KEPT = 6  # vectors a knot: gains of the filter, d' and the innovation


@njit(**JIT)
def fit_columns(h, unit, noise, lam, y, first, stop, jet, residuals):
    """Write values, slopes and second derivatives, `jet` (3, n, m), and `residuals` (n, m).

    Of columns first to stop - 1, of `LANES` at least, of `y` (n, m) in C order; `lam` (m,) in
    scaled units, within the range of floating-point numbers by far, `noise` 1 / weights. Nothing is
    checked.
    """
    n = noise.size
    memory = np.empty((KEPT * n + 1) * LANES)
    kept = (memory.ctypes.data + 63) // 64 * 64
    none = vzero("f8", LANES)
    row, part = 8 * y.shape[1], 8 * jet.shape[1] * jet.shape[2]
    for begin in range(first, stop, LANES):
        j = min(begin, stop - LANES)  # the last ones overlap those before
        own = vload(lam.ctypes.data + 8 * j, none)
        at, to = y.ctypes.data + 8 * j, jet.ctypes.data + 8 * j
        beside = residuals.ctypes.data + 8 * j
        state = (vadd(none, 1.0), none, none, none, none, none, none, none)
        here = vload(at, none)
        for i in range(n):
            ahead = state[4]
            after = vload(at + min(i + 1, n - 1) * row, none)
            gap, rise = h[min(i, n - 2)], vsub(after, here)
            state, gains = step(min(i, 2), scale(noise[i], own), gap, rise, state)
            vstore_all(kept + i * KEPT * ROW_BYTES, (*gains, ahead))
            here = after
        slope, shear, moment = state[5], none, none
        for i in range(n - 1, -1, -1):
            alpha, k1, k2, a22, total, e = vload_all(
                kept + i * KEPT * ROW_BYTES, (none, none, none, none, none, none)
            )
            gap = h[max(i - 1, 0)]
            vstore(to + part + i * row, scale(1.0 / unit, slope))
            vstore(to + 2 * part + i * row, scale(1.0 / unit / unit, moment))
            pull = vdiv(e, total) if i > 1 else none  # before, the innovation tells nothing
            known = k1 if i > 0 else vadd(none, 1.0)
            jump = fma(scale(-1.0, k2), moment, fma(scale(-1.0, known), shear, pull))
            residual = scale(scale(noise[i], own), jump)
            vstore(beside + i * row, residual)
            vstore(to + i * row, vsub(vload(at + i * row, none), residual))
            carried, shear_near = fma(alpha, shear, pull), vadd(shear, jump)
            shear_far = fma(scale(-1.0, k2), moment, carried)
            far, near = fma(a22, moment, scale(gap, carried)), fma(gap, shear_near, moment)
            # As in `bend_row`: near the identity the increments, else the products.
            shear = vwhere_below(a22, 0.5, shear_far, shear_near)
            shear = vwhere_below(alpha, 0.5, shear_far, shear)
            before = vwhere_below(alpha, 0.5, far, vwhere_below(a22, 0.5, far, near))
            slope = fma(-0.5 * gap, vadd(before, moment), slope)
            moment = before
    memory[0] = 0.0  # numba may free an array after its last use
