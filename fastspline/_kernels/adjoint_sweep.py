"""The SIMD sweeps of the transpose: the twins of those of `sweep`, turned round.

Where those read a knot's row and store the points of an interval, these gather the cotangents of an
interval's points and store a knot's row. Sweeping forward, points are added to the cotangents of
(base, tangent) at both ends of their interval, see `reinsch.adjoint_evaluate_column`:

- ``"reinsch"``: those are G of g and M of gamma. Once G_k is whole it is added to M at k - 1, k and
  k + 1 (g is the value less three gamma), and ``s_j = M_j + b0_j s_{j-1} + b1_{j-1} s_{j-2}``, for
  j = k - 1. Backward, ``t_j = s_j + f2_{j+1} t_{j+1} + f3_{j+2} t_{j+2}``, and row k is
  ``G_k + f0_{k-1} t_{k-1} + (f1_k - f0_k) t_k - f1_{k+1} t_{k+1}``, by the tables of `reinsch`.
- ``"state-space"``: as in `state_space.adjoint_smooth_panel`, whose first loop goes forward here
  and its second backward.

Blocks, segments, staging and prefetching are those of `sweep`. All is done in the type of the
recurrences: sums over many points, and of what is divided by gaps, are those of double.
"""

import numpy as np
from numba import njit

from fastspline._kernels.sweep import (
    A22,
    ALPHA,
    GAP_BYTES,
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
    SCRATCH_BYTES,
    STRIP_BYTES,
    ask_for_edges,
    copy_out,
    lay_out,
)
from fastspline._kernels.vector import (
    LANES,
    any_nan,
    fence,
    fma,
    peek,
    prefetch,
    scale,
    vadd,
    vcast,
    vload,
    vload_first,
    vput,
    vstore,
    vsub,
    vzero,
)
from fastspline.jit import JIT


def _make_sweep(solver, data, state, lanes):
    """Make the kernel for columns of type `data`, "f4" or "f8", whose recurrences run in `state`.

    See `sweep._make_sweep` on closure variables and names.
    """
    width = 4 if data == "f4" else 8
    wide = 4 if state == "f4" else 8
    row_bytes, state_bytes = lanes * width, lanes * wide
    slot_bytes = (2 if solver == "reinsch" else 3) * state_bytes
    strip = STRIP_BYTES // row_bytes  # blocks

    def sweep(
        c, c_step, out, out_step, columns, knots, out_rows, tables, stream, panel, ahead, strips
    ):
        """Pull `columns` columns of cotangents back, from the address `c` to `out`.

        Arguments and result are those of the sweeps of `sweep`, but that rows of `c` belong to
        points and rows of `out` to values. Of the latter those of no knot are left alone.
        """
        forward, backward = peek(tables, "i8"), peek(tables + 8, "i8")
        sources, spans = peek(tables + 16, "i8"), peek(tables + 24, "i8")
        needed, weights = peek(tables + 32, "i8"), peek(tables + 40, "i8")
        rows = peek(tables + 48, "i8")
        points = peek(spans + knots * 16, "i8")
        if solver == "state-space":
            nu, per_unit = peek(tables + 56, "i8"), peek(tables + 64, "f8")

        # Scratch: what the backward sweep loads at each knot, states at the segments' starts,
        # staged outputs.
        segment = min(knots, max(SCRATCH_BYTES // slot_bytes, 1))
        segments = (knots + segment - 1) // segment
        stage_step = panel * width
        size = segment * slot_bytes + segments * 6 * state_bytes
        memory = np.empty(size + out_rows * stage_step + 64, np.uint8)
        states = (memory.ctypes.data + 63) // 64 * 64
        starts = states + segment * slot_bytes
        stage = starts + segments * 6 * state_bytes

        corner, asked = 0, points  # of the next strip: its address, and the point to ask for next

        target, target_step = out, out_step
        if panel:
            target, target_step = stage, stage_step

        bad = -1
        fitted = max(columns, lanes)
        begin = start_panel = 0
        while begin < fitted:
            first = min(begin, fitted - lanes)
            if panel and begin == start_panel:
                start_panel = first
            bypass = stream and not panel and first == begin and columns >= lanes
            there = target + first * width
            if panel:
                there -= start_panel * width
                if first == start_panel:
                    edge = min(panel, fitted - first) * width - 1
                    ask_for_edges(out + first * width, out_step, out_rows, edge)

            if strips and begin % (strip * lanes) == 0 and begin + strip * lanes < columns:
                corner, asked = c + (begin + strip * lanes) * width, 0

            zero = vzero(state, lanes)
            # Cotangents at knot k of (base, tangent), as far as they are known.
            base, tangent = zero, zero
            if solver == "reinsch":
                s1, s2, m_before = zero, zero, zero  # s at k - 2 and k - 3, M at k - 1
                t, carry, near, far = zero, zero, zero, zero  # near, far: of rows k and k - 1
            else:
                shear, moment, f_after, v_after = zero, zero, zero, zero  # after: at knot k
                f_before, v_before = zero, zero  # at knot k of the backward sweep
            check = vzero(data, lanes)

            for turn in range(2 * segments - 1):
                part = min(turn, 2 * segments - 2 - turn)
                start, stop = part * segment, min((part + 1) * segment, knots)
                at = starts + part * 6 * state_bytes
                if turn == part:
                    vstore(at, base)
                    vstore(at + state_bytes, tangent)
                    if solver == "reinsch":
                        vstore(at + 2 * state_bytes, s1)
                        vstore(at + 3 * state_bytes, s2)
                        vstore(at + 4 * state_bytes, m_before)
                    else:
                        vstore(at + 2 * state_bytes, shear)
                        vstore(at + 3 * state_bytes, moment)
                        vstore(at + 4 * state_bytes, f_after)
                        vstore(at + 5 * state_bytes, v_after)
                else:
                    base = vload(at, state, lanes)
                    tangent = vload(at + state_bytes, state, lanes)
                    if solver == "reinsch":
                        s1 = vload(at + 2 * state_bytes, state, lanes)
                        s2 = vload(at + 3 * state_bytes, state, lanes)
                        m_before = vload(at + 4 * state_bytes, state, lanes)
                    else:
                        shear = vload(at + 2 * state_bytes, state, lanes)
                        moment = vload(at + 3 * state_bytes, state, lanes)
                        f_after = vload(at + 4 * state_bytes, state, lanes)
                        v_after = vload(at + 5 * state_bytes, state, lanes)

                for k in range(start, stop):
                    slot = states + (k - start) * slot_bytes
                    base1, tangent1 = zero, zero  # at k + 1
                    if peek(needed + k * 8, "i8"):
                        p = peek(spans + k * 16, "i8")
                        derivatives = peek(spans + k * 16 + 8, "i8")
                        last = peek(spans + k * 16 + 16, "i8")
                        while p < last:
                            at = c + peek(rows + p * 8, "i8") * c_step + first * width
                            one = vcast(vload_first(at, columns, data, lanes), state)
                            if ahead:
                                prefetch(at + ahead, row_bytes)
                            if asked < points and p % strip == 0:
                                at = corner + peek(rows + asked * 8, "i8") * c_step
                                prefetch(at, STRIP_BYTES)
                                asked += 1
                            w = weights + p * (3 * wide)
                            moved = scale(peek(w, state), one)
                            if p < derivatives:
                                base = vadd(base, one)
                            base, base1 = vsub(base, moved), vadd(base1, moved)
                            tangent = fma(peek(w + wide, state), one, tangent)
                            tangent1 = fma(peek(w + 2 * wide, state), one, tangent1)
                            p += 1
                    if solver == "reinsch":
                        b = backward + k * 5 * wide
                        if peek(needed + k * 8, "i8"):
                            vstore(slot + state_bytes, base)
                            m_before = fma(peek(b + 2 * wide, state), base, m_before)
                            tangent = fma(peek(b + 3 * wide, state), base, tangent)
                            tangent1 = fma(peek(b + 4 * wide, state), base, tangent1)
                        s = zero
                        if k > 1:  # gamma is 0 at the first knot
                            s = fma(peek(b - 9 * wide, state), s2, m_before)  # b1 at k - 2
                            s = fma(
                                peek(b - 5 * wide, state), s1, s
                            )  # b0 at k - 1; the newest last
                        vstore(slot, s)
                        s1, s2, m_before = s, s1, tangent
                    else:
                        f, v = f_after, v_after
                        if nu == 0:
                            f, v = vadd(f, base), vadd(v, tangent)
                        else:
                            v = fma(per_unit, base, v)
                            if k > 0:
                                b = backward + (k - 1) * GAP_BYTES
                                h, alpha = peek(forward + (k - 1) * 8, "f8"), peek(b + ALPHA, "f8")
                                k2, a22 = peek(b + K2, "f8"), peek(b + A22, "f8")
                                z = fma(h, moment, shear)
                                if alpha > 0.5 and a22 > 0.5:
                                    shear = fma(-peek(b + K1, "f8"), z, z)
                                    moment = fma(-k2, z, moment)
                                else:
                                    moment = fma(-k2, shear, scale(a22, moment))
                                    shear = scale(alpha, z)
                                vstore(slot + 2 * state_bytes, scale(peek(b + PER_F, "f8"), z))
                            moment = vadd(moment, tangent)
                        if k < knots - 1:
                            b = backward + k * GAP_BYTES
                            p21 = peek(b + P21, "f8")
                            f_after = fma(peek(b + P11, "f8"), f, scale(p21, v))
                            v_after = fma(peek(b + P12, "f8"), f, scale(peek(b + P22, "f8"), v))
                            filtered = fma(peek(b + M11, "f8"), f, scale(-p21, v))
                            v = fma(peek(b + M12, "f8"), f, scale(peek(b + M22, "f8"), v))
                            f = filtered
                        vstore(slot, f)
                        vstore(slot + state_bytes, v)
                    base, tangent = base1, tangent1
                if turn < segments - 1:
                    continue

                k = stop
                while k > start:
                    k -= 1
                    slot = states + (k - start) * slot_bytes
                    if solver == "reinsch":
                        r = near
                        if peek(needed + k * 8, "i8"):
                            r = vadd(vload(slot + state_bytes, state, lanes), r)
                        near, far = far, zero
                        if k > 1:
                            f = forward + k * 4 * wide
                            waiting = vadd(vload(slot, state, lanes), carry)
                            carry = scale(peek(f + 3 * wide, state), t)
                            t = fma(peek(f + 2 * wide, state), t, waiting)  # at k - 1
                            f0, f1 = peek(f - 4 * wide, state), peek(f - 3 * wide, state)
                            r = fma(f0, t, r)
                            near, far = fma(f1 - f0, t, near), scale(-f1, t)
                    else:
                        f = vadd(vload(slot, state, lanes), f_before)
                        v = vadd(vload(slot + state_bytes, state, lanes), v_before)
                        r = f
                        if k > 0:
                            b = backward + (k - 1) * GAP_BYTES
                            h, k2 = peek(forward + (k - 1) * 8, "f8"), peek(b + K2, "f8")
                            r = fma(peek(b + K1, "f8"), f, scale(k2, v))
                            f = scale(peek(b + ALPHA, "f8"), f)
                            if nu > 0:
                                innovation = vload(slot + 2 * state_bytes, state, lanes)
                                r, f = vadd(r, innovation), vsub(f, innovation)
                            f_before = fma(-k2, v, f)
                            v_before = fma(h, f, scale(peek(b + A22, "f8"), v))
                    narrow = vcast(r, data)
                    check = fma(0.0, narrow, check)  # 0 inf is NaN, and NaN stays
                    place = there + peek(sources + k * 8, "i8") * target_step
                    vput(place, narrow, columns, bypass)

            if any_nan(check):
                bad = first
                break

            begin = first + lanes
            if panel and (begin - start_panel == panel or begin == fitted):
                n_bytes = (min(begin, columns) - start_panel) * width
                place = out + start_panel * width
                copy_out(stage, stage_step, place, out_step, out_rows, n_bytes, stream)
                start_panel = begin

        if stream:
            fence()
        memory[0] = 0  # keeps the scratch until here, see `sweep`
        return bad

    sweep.__name__ = sweep.__qualname__ = f"adjoint_{solver}_{data}_{state}".replace("-", "_")
    return njit(**JIT)(sweep)


adjoint_f4 = _make_sweep("reinsch", "f4", "f8", LANES)
adjoint_f4_single = _make_sweep("reinsch", "f4", "f4", 2 * LANES)
adjoint_f8 = _make_sweep("reinsch", "f8", "f8", LANES)
adjoint_state_space_f4 = _make_sweep("state-space", "f4", "f8", LANES)
adjoint_state_space_f8 = _make_sweep("state-space", "f8", "f8", LANES)


@njit(**JIT)
def pull_f4(c, out, knots, tables):
    """Run `adjoint_f4` on all columns of a small contiguous array."""
    return adjoint_f4(*lay_out(c, out, knots, tables))


@njit(**JIT)
def pull_f4_single(c, out, knots, tables):
    """Run `adjoint_f4_single` on all columns of a small contiguous array."""
    return adjoint_f4_single(*lay_out(c, out, knots, tables))


@njit(**JIT)
def pull_f8(c, out, knots, tables):
    """Run `adjoint_f8` on all columns of a small contiguous array."""
    return adjoint_f8(*lay_out(c, out, knots, tables))


@njit(**JIT)
def pull_state_space_f4(c, out, knots, tables):
    """Run `adjoint_state_space_f4` on all columns of a small contiguous array."""
    return adjoint_state_space_f4(*lay_out(c, out, knots, tables))


@njit(**JIT)
def pull_state_space_f8(c, out, knots, tables):
    """Run `adjoint_state_space_f8` on all columns of a small contiguous array."""
    return adjoint_state_space_f8(*lay_out(c, out, knots, tables))
