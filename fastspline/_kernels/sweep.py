"""The SIMD sweeps: one column a lane, both sweeps of a recurrence and the evaluation fused.

A kernel takes `LANES` neighbouring columns at a time. Sweeping forward it reads each input row
once and leaves its states in scratch; sweeping backward it carries the smoothed state in registers,
and as soon as both ends of an interval are known, the points inside are evaluated and stored.

Scratch never leaves the second-level cache: a long series is cut into segments of knots. The first
forward sweep only notes the state at each segment's start; then each segment, from the last one
back, is swept forward once more and backward.

Two recurrences plug in, each the twin of a plain loop:

- ``"reinsch"`` (`reinsch`). Forward: u from the last two u. Backward: gamma from the last two
  gamma; g is the value less three gamma. A piece between knots is given by g and gamma.
- ``"state-space"`` (`state_space`). Forward: residual eps and slope v of the filtered curve.
  Backward: residual and slope of the smoothed curve, and gamma from both. A piece is given by g and
  slope, its derivative by slope and gamma, its curvature by gamma.

Within the cache, arithmetic bounds a sweep: for 16 doubles 14 instructions a knot, 8 more at one
next to a point, 8 a point; AVX-512 often does one a cycle. These gained nothing: 32 lanes (spills),
two knots a turn, recurrences scaled to begin with a coefficient 1 (5 %, but they round otherwise
than the plain loops). Beyond the cache it matters how the inputs are asked for: along the rows is
twice as fast as row by row; copying strips of them to scratch cost more than it saved.

Recurrences are done in double, but for float32 columns of Reinsch plans that lose nothing in
float32. Evaluation is done in the type of the data: twice the lanes for float32.
"""

import numpy as np
from numba import njit

from fastspline._kernels import state_space
from fastspline._kernels.vector import (
    LANES,
    any_nan,
    fence,
    fma,
    peek,
    poke,
    prefetch,
    prefetch_to_write,
    scale,
    vadd,
    vcast,
    vload,
    vload_first,
    vput,
    vstore,
    vstream,
    vsub,
    vzero,
)
from fastspline.jit import JIT

SCRATCH_BYTES = 512 << 10  # states and inputs of a segment
STRIP_BYTES = 512  # of a row: 256 and 1024 were slower
JET = 4  # in the place of a derivative's order: value, slope and moment at every knot
N_TABLES = 9

# Bytes from the start of a gap's coefficients, see `state_space`.
ALPHA, K1, K2, A22 = (8 * i for i in (0, 1, 2, 3))
M11, M12, M22 = (8 * i for i in (4, 5, 6))
P11, P12, P21, P22, P22_MINUS_1 = (8 * i for i in (7, 8, 9, 10, 11))
PER_F = 8 * 12
GAP_BYTES = 8 * state_space.N_COEFFICIENTS


@njit(**JIT)
def ask_for_edges(place, step, rows, edge):
    """Ask for the lines at both ends, `edge` bytes apart, of each row of a panel of the output."""
    for _ in range(rows):
        prefetch_to_write(place)
        prefetch_to_write(place + edge)
        place += step


@njit(**JIT)
def copy_out(stage, stage_step, out, out_step, rows, n_bytes, stream):
    """Copy the first `n_bytes` of each staged row; whole cache lines past the cache if `stream`."""
    for row in range(rows):
        at, place = stage + row * stage_step, out + row * out_step
        stop = place + n_bytes
        whole = min(stop, (place + 63) // 64 * 64) if stream else stop
        while place < whole:
            poke(place, peek(at, "f4"))
            place += 4
            at += 4
        while place + 64 <= stop:
            vstream(place, vload(at, "f4", 16))
            place += 64
            at += 64
        while place < stop:
            poke(place, peek(at, "f4"))
            place += 4
            at += 4


def _make_sweep(solver, data, state, lanes):
    """Make the kernel for columns of type `data`, "f4" or "f8", whose recurrences run in `state`.

    The arguments are closure variables that hold strings and a number on purpose: numba freezes
    them as literals, compiles no branch of another solver, and makes them part of the key of its
    disk cache.
    """
    width = 4 if data == "f4" else 8
    wide = 4 if state == "f4" else 8
    row_bytes, state_bytes = lanes * width, lanes * wide
    slot_bytes = state_bytes if solver == "reinsch" else 2 * state_bytes
    strip = STRIP_BYTES // row_bytes  # blocks
    every = 2 * strip  # steps of a sweep, that strip's columns take two a knot and block

    def sweep(
        y, y_step, out, out_step, columns, knots, points, tables, stream, panel, ahead, strips
    ):
        """Fit and evaluate `columns` columns that start at the addresses `y` and `out`.

        Steps are bytes between rows; `tables` is the address of the operator's list of addresses,
        see `list_addresses`. `stream`: 1 to store past the cache; then with `panel` 0 every output
        row must start at a multiple of 64 bytes, and with `panel` > 0 (a multiple of `lanes`, at
        most `columns`) so many columns at a time are staged in the cache and copied out, which
        needs no alignment. `ahead`: bytes to prefetch ahead in the row that is read, or 0.
        `strips`: 1 to prefetch along the rows: while a strip is computed, the inputs of the next.

        Gives -1, or the first column of a block in which a value is not finite or overflows: then
        it stops there.
        """
        forward, backward = peek(tables, "i8"), peek(tables + 8, "i8")
        sources, spans = peek(tables + 16, "i8"), peek(tables + 24, "i8")
        needed, weights = peek(tables + 32, "i8"), peek(tables + 40, "i8")
        rows = peek(tables + 48, "i8")
        if solver == "state-space":
            nu, per_unit = peek(tables + 56, "i8"), peek(tables + 64, "f8")

        # Scratch on whole cache lines: the states that step k of the backward sweep loads, the
        # inputs (and one before them), the states at the segments' starts, the staged outputs.
        segment = min(knots, max(SCRATCH_BYTES // (slot_bytes + row_bytes), 1))
        segments = (knots + segment - 1) // segment
        stage_step = panel * width
        size = segment * slot_bytes + (segment + 1) * row_bytes + segments * 4 * state_bytes
        memory = np.empty(size + points * stage_step + 64, np.uint8)
        states = (memory.ctypes.data + 63) // 64 * 64
        inputs = states + segment * slot_bytes + row_bytes
        starts = inputs + segment * row_bytes
        stage = starts + segments * 4 * state_bytes

        corner, asked = 0, knots  # of the next strip: its address, and the row to ask for next

        target, target_step = out, out_step
        if panel:
            target, target_step = stage, stage_step

        bad = -1
        fitted = max(columns, lanes)
        begin = start_panel = 0
        while begin < fitted:
            # One block of columns; one that would stick out is moved back to redo a few, rather
            # than masked. Only where there are fewer columns than lanes some lanes idle.
            first = min(begin, fitted - lanes)
            if panel and begin == start_panel:
                start_panel = first
            bypass = stream and not panel and first == begin and columns >= lanes
            there = target + first * width
            if panel:
                there -= start_panel * width
                if first == start_panel:
                    edge = min(panel, fitted - first) * width - 1
                    ask_for_edges(out + first * width, out_step, points, edge)

            if strips and begin % (strip * lanes) == 0 and begin + strip * lanes < columns:
                corner, asked = y + (begin + strip * lanes) * width, 0

            y0 = vzero(state, lanes)
            if solver == "reinsch":
                before, u1, u2 = y0, y0, y0
                m2, m1 = y0, y0
            else:
                eps, v, residual, slope = y0, y0, y0, y0
                gamma, shear = y0, y0  # the costate of the smoother
            # Base and tangent at knot k + 1, in the type of the data: narrowing to float32 costs
            # as much as two or three points, so it is done once a knot.
            base1, tangent1, check = vzero(data, lanes), vzero(data, lanes), vzero(data, lanes)

            for turn in range(2 * segments - 1):
                s = min(turn, 2 * segments - 2 - turn)
                start, stop = s * segment, min((s + 1) * segment, knots)
                at = starts + s * 4 * state_bytes
                if solver == "reinsch":
                    if turn == s:
                        vstore(at, y0)
                        vstore(at + state_bytes, before)
                        vstore(at + 2 * state_bytes, u1)
                        vstore(at + 3 * state_bytes, u2)
                    else:
                        y0 = vload(at, state, lanes)
                        before = vload(at + state_bytes, state, lanes)
                        u1 = vload(at + 2 * state_bytes, state, lanes)
                        u2 = vload(at + 3 * state_bytes, state, lanes)
                else:
                    if turn == s:
                        vstore(at, y0)
                        vstore(at + state_bytes, eps)
                        vstore(at + 2 * state_bytes, v)
                    else:
                        y0 = vload(at, state, lanes)
                        eps = vload(at + state_bytes, state, lanes)
                        v = vload(at + 2 * state_bytes, state, lanes)
                    vstore(inputs - row_bytes, vcast(y0, data))

                for k in range(start, stop):
                    at = y + peek(sources + k * 8, "i8") * y_step + first * width
                    c = vload_first(at, columns, data, lanes)
                    if ahead:
                        prefetch(at + ahead, row_bytes)
                    if asked < knots and k % every == 0:
                        prefetch(corner + peek(sources + asked * 8, "i8") * y_step, STRIP_BYTES)
                        asked += 1
                    vstore(inputs + (k - start) * row_bytes, c)
                    slot = states + (k - start) * slot_bytes
                    y1 = vcast(c, state)
                    rise = vsub(y1, y0)
                    y0 = y1
                    if solver == "reinsch":
                        # u = D^-1 L^-1 Q^T y
                        if k > 1:
                            f = forward + (k - 1) * 4 * wide
                            u = scale(peek(f, state), rise)
                            u = fma(peek(f + wide, state), before, u)
                            u = fma(peek(f + 3 * wide, state), u2, u)
                            u = fma(peek(f + 2 * wide, state), u1, u)  # the newest last
                            u1, u2 = u, u1
                        vstore(slot, u1)
                        before = rise
                    else:
                        vstore(slot, eps)
                        vstore(slot + state_bytes, v)
                        if k > 0:
                            f = backward + (k - 1) * GAP_BYTES
                            h, alpha = peek(forward + (k - 1) * 8, "f8"), peek(f + ALPHA, "f8")
                            k2, a22 = peek(f + K2, "f8"), peek(f + A22, "f8")
                            d = vadd(rise, eps)
                            e = fma(-h, v, d)  # the innovation
                            if alpha > 0.5 and a22 > 0.5:
                                eps = fma(-peek(f + K1, "f8"), e, e)
                                v = fma(k2, e, v)
                            else:
                                eps = scale(alpha, e)
                                v = fma(k2, d, scale(a22, v))
                if turn < segments - 1:
                    continue

                if turn == segments - 1:
                    # NaN and infinity never leave a recurrence, so its last state tells for all.
                    if solver == "reinsch":
                        ends = fma(0.0, u1, scale(0.0, before))
                    else:
                        residual, slope = eps, v
                        ends = fma(0.0, residual, scale(0.0, slope))
                    if any_nan(ends):
                        bad = first
                        break

                k = stop
                while k > start:
                    k -= 1
                    if asked < knots and k % every == 0:
                        prefetch(corner + peek(sources + asked * 8, "i8") * y_step, STRIP_BYTES)
                        asked += 1
                    slot = states + (k - start) * slot_bytes
                    if solver == "reinsch":
                        # m2, m1, m0 = gamma at k + 1, k, k - 1: L^T gamma = u
                        f = backward + k * 5 * wide
                        m0 = vload(slot, state, lanes)
                        m0 = fma(peek(f + wide, state), m2, m0)
                        m0 = fma(peek(f, state), m1, m0)
                    else:
                        # residual, slope and gamma at k, then eps and v at k - 1
                        value = y0
                        f = backward + (k - 1) * GAP_BYTES
                        if k > 0:
                            at = inputs + (k - 1 - start) * row_bytes
                            y0 = vcast(vload(at, data, lanes), state)
                            eps = vload(slot, state, lanes)
                            v = vload(slot + state_bytes, state, lanes)
                            d = vsub(vsub(value, y0), residual)  # g_k - y_{k-1}
                            t = vadd(d, eps)  # g_k - f_{k-1}

                    if peek(needed + k * 8, "i8"):
                        if solver == "reinsch":
                            g = vcast(vload(inputs + (k - start) * row_bytes, data, lanes), state)
                            g = fma(peek(f + 4 * wide, state), m2, g)
                            g = fma(peek(f + 3 * wide, state), m1, g)
                            g = fma(peek(f + 2 * wide, state), m0, g)
                            base0, tangent0 = vcast(g, data), vcast(m1, data)
                        elif nu == 0:
                            base0, tangent0 = vcast(vsub(value, residual), data), vcast(slope, data)
                        else:
                            base0 = vcast(scale(per_unit, slope), data)
                            tangent0 = vcast(gamma, data)
                            if nu == JET:
                                fitted_value = vcast(vsub(value, residual), data)
                                moment = vcast(scale(per_unit * per_unit, gamma), data)
                                place = there + k * target_step
                                vput(place, fitted_value, columns, bypass)
                                vput(place + knots * target_step, base0, columns, bypass)
                                vput(place + 2 * knots * target_step, moment, columns, bypass)
                                check = fma(0.0, fitted_value, check)
                                check = fma(0.0, base0, check)
                                check = fma(0.0, moment, check)
                        rise = vsub(base1, base0)
                        first_point = peek(spans + k * 16, "i8")
                        derivatives = peek(spans + k * 16 + 8, "i8")
                        base = vzero(data, lanes)
                        p = peek(spans + k * 16 + 16, "i8")
                        while p > first_point:
                            if p == derivatives:
                                base = base0
                            p -= 1
                            w = weights + p * (3 * width)
                            r = fma(peek(w, data), rise, base)
                            r = fma(peek(w + width, data), tangent0, r)
                            r = fma(peek(w + 2 * width, data), tangent1, r)
                            check = fma(0.0, r, check)  # 0 inf is NaN, and NaN stays
                            place = there + peek(rows + p * 8, "i8") * target_step
                            vput(place, r, columns, bypass)
                        base1, tangent1 = base0, tangent0

                    if solver == "reinsch":
                        m2, m1 = m1, m0
                    elif k > 0:
                        if nu > 0:
                            h, alpha = peek(forward + (k - 1) * 8, "f8"), peek(f + ALPHA, "f8")
                            k2, a22 = peek(f + K2, "f8"), peek(f + A22, "f8")
                            e = fma(-h, v, vadd(vsub(value, y0), eps))  # the innovation at k
                            pull = scale(peek(f + PER_F, "f8"), e)
                            if alpha > 0.5 and a22 > 0.5:
                                pull = fma(-k2, gamma, fma(-peek(f + K1, "f8"), shear, pull))
                                shear = vadd(shear, pull)
                                gamma = fma(h, shear, gamma)
                            else:
                                pull = fma(alpha, shear, pull)
                                shear = fma(-k2, gamma, pull)
                                gamma = fma(h, pull, scale(a22, gamma))
                        m12, m22 = peek(f + M12, "f8"), peek(f + M22, "f8")
                        p12, p21 = peek(f + P12, "f8"), peek(f + P21, "f8")
                        m11, p22m = peek(f + M11, "f8"), peek(f + P22_MINUS_1, "f8")
                        turned = fma(p21, t, scale(m22, v))
                        r = fma(-p12, slope, scale(-m12, v))
                        if m11 < 0.5 and p22m > -0.5:
                            residual = vsub(fma(m11, t, r), d)
                            slope = vadd(slope, fma(p22m, slope, turned))
                        else:
                            residual = fma(-peek(f + P11, "f8"), d, fma(m11, eps, r))
                            slope = fma(peek(f + P22, "f8"), slope, turned)
            if bad < 0 and any_nan(check):
                bad = first
            if bad >= 0:
                break

            begin = first + lanes
            if panel and (begin - start_panel == panel or begin == fitted):
                n_bytes = (min(begin, columns) - start_panel) * width
                place = out + start_panel * width
                copy_out(stage, stage_step, place, out_step, points, n_bytes, stream)
                start_panel = begin

        if stream:
            fence()
        memory[0] = (
            0  # numba may free an array after its last use: this keeps the scratch until here
        )
        return bad

    # Names of their own: compiled code of two kernels is told apart by the name and a number that
    # counts what a process compiles, and numba's cache brings code of several processes together.
    sweep.__name__ = sweep.__qualname__ = f"sweep_{solver}_{data}_{state}".replace("-", "_")
    return njit(**JIT)(sweep)


@njit(**JIT)
def list_addresses(forward, backward, sources, spans, needed, weights, rows, tables):
    """Write the addresses that a sweep starts from into `tables`; give where that lies.

    `forward` and `backward` are Reinsch's tables; for the state space the gaps and `co`. There
    `tables` (N_TABLES,) ends with what `list_nu` writes.
    """
    tables[0], tables[1] = forward.ctypes.data, backward.ctypes.data
    tables[2], tables[3], tables[4] = sources.ctypes.data, spans.ctypes.data, needed.ctypes.data
    tables[5], tables[6] = weights.ctypes.data, rows.ctypes.data
    return tables.ctypes.data


@njit(**JIT)
def list_nu(nu, unit, tables):
    """End `tables` with nu or `JET` and what the first of (base, tangent) is multiplied with."""
    ends = tables[N_TABLES - 2 :]
    ends[0] = nu
    ends.view(np.float64)[1] = 0.0 if nu == 2 or nu == 3 else 1.0 / unit


sweep_f4 = _make_sweep("reinsch", "f4", "f8", LANES)
sweep_f4_single = _make_sweep("reinsch", "f4", "f4", 2 * LANES)
sweep_f8 = _make_sweep("reinsch", "f8", "f8", LANES)
sweep_state_space_f4 = _make_sweep("state-space", "f4", "f8", LANES)
sweep_state_space_f8 = _make_sweep("state-space", "f8", "f8", LANES)


# For small inputs a call costs what Python costs: an array's address alone takes 1 us there,
# unpacking an array in numba 0.1 us. These take contiguous arrays. They name the kernels as
# globals, since a dispatcher in a closure would give the disk cache another key in every process.


@njit(inline="always", **JIT)
def lay_out(y, out, knots, tables):
    """Give the arguments of a sweep over all columns of small contiguous arrays."""
    columns = y.shape[1]
    step, off = columns * y.itemsize, 0 * columns  # a literal 0 would compile the sweep once more
    source, target = np.int64(y.ctypes.data), np.int64(out.ctypes.data)
    return source, step, target, step, columns, knots, out.shape[0], tables, off, off, off, off


@njit(**JIT)
def apply_f4(y, out, knots, tables):
    """Run `sweep_f4` on all columns of a small contiguous array."""
    return sweep_f4(*lay_out(y, out, knots, tables))


@njit(**JIT)
def apply_f4_single(y, out, knots, tables):
    """Run `sweep_f4_single` on all columns of a small contiguous array."""
    return sweep_f4_single(*lay_out(y, out, knots, tables))


@njit(**JIT)
def apply_f8(y, out, knots, tables):
    """Run `sweep_f8` on all columns of a small contiguous array."""
    return sweep_f8(*lay_out(y, out, knots, tables))


@njit(**JIT)
def apply_state_space_f4(y, out, knots, tables):
    """Run `sweep_state_space_f4` on all columns of a small contiguous array."""
    return sweep_state_space_f4(*lay_out(y, out, knots, tables))


@njit(**JIT)
def apply_state_space_f8(y, out, knots, tables):
    """Run `sweep_state_space_f8` on all columns of a small contiguous array."""
    return sweep_state_space_f8(*lay_out(y, out, knots, tables))
