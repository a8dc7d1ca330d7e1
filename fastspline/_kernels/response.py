"""What a plan's curve does under loads: the representer behind derivatives of a fit.

The curve u of least ``sum(u(x_i)**2 / r_i) + integral(roughness u''**2) / q - 2 sum(load u)``, in
the scaled units of `state_space`. Loads may lie at nodes without data. Forward goes the
information of `state_space`, with its vector (G, V) on value and slope; backward the curve.

Reference: G. Wahba, "Spline models for observational data" (SIAM 1990), section 1.3: u is the sum
of the loads times the reproducing kernels of their nodes.
"""

import numpy as np

from fastspline._kernels.state_space import predict_information
from fastspline.jit import JIT, njit

# Columns of the coefficient table, row i for the gap from node i to i + 1.
N11, N12, N22 = 0, 1, 2  # state at i from (G, V) there
C11, C12, C21, C22 = 3, 4, 5, 6  # and from the state at i + 1
PB, PC = 7, 8  # moment at i + 1
N_COEFFICIENTS = 9


@njit(**JIT)
def cross_unseen(h, q, c):
    """Write the coefficients of a gap with no data before it."""
    c[N11], c[N12], c[N22] = q * h * h * h / 3.0, -0.5 * q * h * h, q * h
    c[C11], c[C12], c[C21], c[C22] = 1.0, -h, 0.0, 1.0
    c[PB] = c[PC] = 0.0


@njit(**JIT)
def cross_seen(h, q, rho, beta, s, one, c):
    """Write the coefficients of a gap; give what `predict_information` gives."""
    e, pa, pb, pc = predict_information(h, q, rho, beta, s, one)
    b = one * beta
    c0 = s * rho + b * beta
    qh2 = 0.5 * q * h * h
    qh3 = q * h * h * h
    q2h4 = qh3 * q * h / 12.0
    c[N11] = (one * rho * qh3 / 3.0 + q2h4 * c0) / e
    c[N12] = (q2h4 * b - one * qh2 * rho) / e
    c[N22] = one * (q2h4 + q * h * rho) / e
    c[C11] = (one * rho + q * h * c0 + qh2 * b) / e
    c[C12] = -(one * rho * h + qh2 * c0 + qh3 * b / 6.0) / e
    c[C21] = (q * h * b + one * qh2) / e
    c[C22] = one * (rho - qh2 * beta - qh3 / 6.0) / e
    c[PB], c[PC] = pb / e, pc / e
    return e, pa, pb, pc


@njit(**JIT)
def respond(h, roughness, clamped, q, precision, load, value, slope, moment):
    """Write values, slopes and moments / q of the curves (n, columns) that answer to `load`.

    `precision` is 1 / r, 0 at nodes without data; two have data. `clamped`: the slope at both ends
    is 0, and where the precision is inf there, the value too.
    """
    n, columns = load.shape
    co = np.empty((n - 1, N_COEFFICIENTS))
    known = clamped or precision[0] > 0.0
    rho = 1.0 / precision[0] if known else 0.0
    beta, s = 0.0, 1.0 if clamped else 0.0
    first = rho
    value[0], slope[0], moment[0] = load[0], 0.0, 0.0
    for i in range(n - 1):  # (G, V) are kept in `value` and `slope`
        qi = q / roughness[i] if roughness.size > 0 else q
        c, w = co[i], precision[i + 1]
        if known:
            one = 0.0 if clamped and i == 0 else 1.0
            e, pa, pb, pc = cross_seen(h[i], qi, rho, beta, s, one, c)
            if w == np.inf:
                rho, beta, s = 0.0, 0.0, pc / e
            else:
                g = e * w + pa
                rho, beta, s = e / g, pb / g, (s + pc * w) / g
        else:
            cross_unseen(h[i], qi, c)
            if w > 0.0:
                known, rho, beta, s = True, 1.0 / w, 0.0, 0.0
        for j in range(columns):
            at, turn = value[i, j], slope[i, j]
            value[i + 1, j] = c[C11] * at + c[C21] * turn + load[i + 1, j]
            slope[i + 1, j] = c[C12] * at + c[C22] * turn
    for j in range(columns):
        at, turn = value[n - 1, j], slope[n - 1, j]
        v = 0.0 if clamped else (beta * at + turn) / s
        moment[n - 1, j] = turn
        value[n - 1, j], slope[n - 1, j] = rho * at + beta * v, v
    for i in range(n - 2, -1, -1):
        c = co[i]
        for j in range(columns):
            u, v = value[i + 1, j], slope[i + 1, j]
            moment[i + 1, j] = c[PC] * v - c[PB] * u - moment[i + 1, j]
            at, turn = value[i, j], slope[i, j]
            moment[i, j] = turn
            value[i, j] = c[N11] * at + c[N12] * turn + c[C11] * u + c[C12] * v
            slope[i, j] = c[N12] * at + c[N22] * turn + c[C21] * u + c[C22] * v
    for j in range(columns):
        moment[0, j] = 0.0
        if not clamped:
            moment[n - 1, j] = 0.0
        else:  # the mirror image of the moment at the first gap's other end
            q0 = q / roughness[0] if roughness.size > 0 else q
            cube = q0 * h[0] * h[0] * h[0]
            e = q0 * h[0] * (first + cube / 12.0)
            t = value[1, j] - first * load[0, j]
            turned = (first - cube / 6.0) * slope[1, j]
            moment[0, j] = (turned + 0.5 * q0 * h[0] * h[0] * t) / e
