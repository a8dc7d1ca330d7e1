"""The SIMD sweeps of the transpose, for Reinsch's recurrences: the twin of `_simd`, turned round.

Where that reads a knot's row and stores the points of an interval, this gathers the cotangents of
an interval's points and stores a knot's row. With G and M the cotangents of g and gamma:

- Sweeping forward, an interval's points are added to G and M at both its ends; once G_k is whole it
  is added to M at k - 1, k and k + 1 (g is the value less three gamma), and then
  ``s_j = M_j + b0_j s_{j-1} + b1_{j-1} s_{j-2}`` for j = k - 1.
- Sweeping backward, ``t_j = s_j + f2_{j+1} t_{j+1} + f3_{j+2} t_{j+2}`` and row k is
  ``G_k + f0_{k-1} t_{k-1} + (f1_k - f0_k) t_k - f1_{k+1} t_{k+1}``.

b and f are the tables of `_reinsch`; blocks, segments, staging and prefetching are those of
`_simd`. All is done in the type of the recurrences: then sums over many points, and of what is
divided by gaps, are those of double.
"""

import numpy as np
from numba import njit

from fastspline._jit import JIT
from fastspline._simd import SCRATCH_BYTES, STRIP_BYTES, ask_for_edges, copy_out, lay_out
from fastspline._vector import (
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


def _make_sweep(data, state, lanes):
    """Make the kernel for columns of type `data`, "f4" or "f8", whose recurrences run in `state`.

    See `_simd._make_sweep` on closure variables and names.
    """
    width = 4 if data == "f4" else 8
    wide = 4 if state == "f4" else 8
    row_bytes, state_bytes = lanes * width, lanes * wide
    slot_bytes = 2 * state_bytes
    strip = STRIP_BYTES // row_bytes  # blocks

    def sweep(
        c, c_step, out, out_step, columns, knots, out_rows, tables, stream, panel, ahead, strips
    ):
        """Pull `columns` columns of cotangents back, from the address `c` to `out`.

        Arguments and result are those of the sweeps of `_simd`, but that rows of `c` belong to
        points and rows of `out` to values. Of the latter those of no knot are left alone.
        """
        forward, backward = peek(tables, "i8"), peek(tables + 8, "i8")
        sources, spans = peek(tables + 16, "i8"), peek(tables + 24, "i8")
        needed, weights = peek(tables + 32, "i8"), peek(tables + 40, "i8")
        rows = peek(tables + 48, "i8")
        points = peek(spans + knots * 16, "i8")

        # Scratch: s_{k-1} and G_k for each knot k, states at the segments' starts, staged outputs.
        segment = min(knots, max(SCRATCH_BYTES // slot_bytes, 1))
        segments = (knots + segment - 1) // segment
        stage_step = panel * width
        size = segment * slot_bytes + segments * 5 * state_bytes
        memory = np.empty(size + out_rows * stage_step + 64, np.uint8)
        states = (memory.ctypes.data + 63) // 64 * 64
        starts = states + segment * slot_bytes
        stage = starts + segments * 5 * state_bytes

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
            s1, s2 = zero, zero  # s at k - 2 and k - 3
            m_before, m_here, g_here = zero, zero, zero  # M at k - 1 and k, G at k: what is known
            t, carry, near, far = zero, zero, zero, zero  # near, far: what rows k and k - 1 have
            check = vzero(data, lanes)

            for turn in range(2 * segments - 1):
                part = min(turn, 2 * segments - 2 - turn)
                start, stop = part * segment, min((part + 1) * segment, knots)
                at = starts + part * 5 * state_bytes
                if turn == part:
                    vstore(at, s1)
                    vstore(at + state_bytes, s2)
                    vstore(at + 2 * state_bytes, m_before)
                    vstore(at + 3 * state_bytes, m_here)
                    vstore(at + 4 * state_bytes, g_here)
                else:
                    s1 = vload(at, state, lanes)
                    s2 = vload(at + state_bytes, state, lanes)
                    m_before = vload(at + 2 * state_bytes, state, lanes)
                    m_here = vload(at + 3 * state_bytes, state, lanes)
                    g_here = vload(at + 4 * state_bytes, state, lanes)

                for k in range(start, stop):
                    slot = states + (k - start) * slot_bytes
                    g_after, m_after = zero, zero
                    b = backward + k * 5 * wide
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
                                g_here = vadd(g_here, one)
                            g_here = vsub(g_here, moved)
                            g_after = vadd(g_after, moved)
                            m_here = fma(peek(w + wide, state), one, m_here)
                            m_after = fma(peek(w + 2 * wide, state), one, m_after)
                            p += 1
                        vstore(slot + state_bytes, g_here)
                        m_before = fma(peek(b + 2 * wide, state), g_here, m_before)
                        m_here = fma(peek(b + 3 * wide, state), g_here, m_here)
                        m_after = fma(peek(b + 4 * wide, state), g_here, m_after)
                    s = zero
                    if k > 1:  # gamma is 0 at the first knot
                        s = fma(peek(b - 9 * wide, state), s2, m_before)  # b1 at k - 2
                        s = fma(peek(b - 5 * wide, state), s1, s)  # b0 at k - 1; the newest last
                    vstore(slot, s)
                    s1, s2 = s, s1
                    m_before, m_here, g_here = m_here, m_after, g_after
                if turn < segments - 1:
                    continue

                k = stop
                while k > start:
                    k -= 1
                    slot = states + (k - start) * slot_bytes
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
        memory[0] = 0  # keeps the scratch until here, see `_simd`
        return bad

    sweep.__name__ = sweep.__qualname__ = f"sweep_adjoint_{data}_{state}"
    return njit(**JIT)(sweep)


sweep_adjoint_f4 = _make_sweep("f4", "f8", LANES)
sweep_adjoint_f4_single = _make_sweep("f4", "f4", 2 * LANES)
sweep_adjoint_f8 = _make_sweep("f8", "f8", LANES)


@njit(**JIT)
def apply_adjoint_f4(c, out, knots, tables):
    """Run `sweep_adjoint_f4` on all columns of a small contiguous array."""
    return sweep_adjoint_f4(*lay_out(c, out, knots, tables))


@njit(**JIT)
def apply_adjoint_f4_single(c, out, knots, tables):
    """Run `sweep_adjoint_f4_single` on all columns of a small contiguous array."""
    return sweep_adjoint_f4_single(*lay_out(c, out, knots, tables))


@njit(**JIT)
def apply_adjoint_f8(c, out, knots, tables):
    """Run `sweep_adjoint_f8` on all columns of a small contiguous array."""
    return sweep_adjoint_f8(*lay_out(c, out, knots, tables))
