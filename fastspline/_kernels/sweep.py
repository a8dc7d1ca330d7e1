"""The SIMD sweeps: one column a lane, both sweeps of a recurrence and the evaluation fused.

A kernel takes `LANES` neighbouring columns at a time. Sweeping forward it reads each input row
once and leaves its states in scratch; sweeping backward it carries the smoothed state in registers,
and as soon as both ends of an interval are known, the points inside are evaluated and stored. While
one block of columns is swept backward, the next one is swept forward, through the same slots of
scratch in the other direction. The transpose runs the same way, see `adjoint_sweep`.

Scratch never leaves the second-level cache: a long series is cut into segments of knots. The first
forward sweep only notes the state at each segment's start; then each segment, from the last one
back, is swept forward once more, while the one behind it is swept backward.

Recurrences plug in as modules that know the steps over a knot: `reinsch_steps`,
`innovations_steps` and `state_space_steps`, each the twin of a plain loop, and their transposes.

Within the cache, arithmetic bounds a sweep: for 16 doubles 14 instructions a knot, 8 more at one
next to a point, 8 a point; AVX-512 often does one a cycle. These gained nothing: 32 lanes (spills),
two knots a turn, recurrences scaled to begin with a coefficient 1 (5 %, but they round otherwise
than the plain loops).

Beyond the second-level cache it matters how the inputs are asked for: along the rows is twice as
fast as row by row on a Xeon, and up to 5 % slower on an EPYC, but where rows are many. These gained
nothing: copying strips of them to scratch; asking for lines of the output, too.

Recurrences are done in double, but for float32 columns of Reinsch plans that lose nothing in
float32. Evaluation is done in the type of the data, twice the lanes for float32; of what is divided
by gaps, and far outside the knots, in double.
"""

import numpy as np

from fastspline._kernels import innovations_steps, reinsch_steps, state_space_steps
from fastspline._kernels.addresses import read_tables
from fastspline._kernels.blocks import (
    STRIP_BYTES,
    STRIPS_UP_TO,
    Source,
    Target,
    ask_for_edges,
    copy_out,
)
from fastspline._kernels.vector import (
    LANES,
    any_nan,
    fence,
    n_bytes,
    vload_all,
    vstore_all,
    vzero,
)
from fastspline.jit import JIT, njit

SCRATCH_BYTES = 512 << 10  # states and inputs of a segment


def make_sweep(steps, data, state, points, lanes):
    """Make the kernel for columns of type `data`, "f4" or "f8", whose recurrences run in `state`.

    Points between knots are evaluated in the type `points`.

    `steps` is a module of functions, which are inlined:

    - ``start(tables, knots, zero, row, point)`` gives the states that both sweeps begin with, made
      of zeros of the types `state`, `data` and `points`; how many bytes a knot's slot has, for what
      one leaves to the other; the list of rows that are read, and their number.
    - ``forward(steps, tables, source, k, slot, state, like)`` gives the state behind knot k.
    - ``sum_of_states(state, like)`` gives a vector from that behind the last: NaN where it tells
      that a column is not finite.
    - ``backward(steps, tables, k, knots, slot, target, state)`` gives the state before knot k;
      its last vector is NaN where a result is not finite.

    What these find by their argument `steps` is inlined straight into the kernel. Inlined into them
    first, it would be copied with them: numba's time for that grows with the square.

    The arguments are closure variables that hold a module, strings and a number on purpose: numba
    freezes them as literals and makes them part of the key of its disk cache, where a module
    stands by name. Functions would give another key in every process. The cache looks at no file
    but this one: delete it after a change of the steps.
    """
    width = 4 if data == "f4" else 8
    strip = STRIP_BYTES // width  # columns

    def sweep(array, step, out, out_step, columns, knots, rows, tables, stream, panel):
        """Sweep `columns` columns that start at the addresses `array` and `out`.

        Steps are bytes between rows; `rows` are those of `out`; `tables` is where the operator's
        list of `addresses` lies. `stream`: 1 to store past the cache; then with `panel` 0 every
        output row must start at a multiple of 64 bytes, and with `panel` > 0 (a multiple of
        `lanes`, at most `columns`) so many columns at a time are staged in the cache and copied
        out, which needs no alignment. While a strip is computed, the inputs of the next are
        prefetched along the rows; where rows are many, only within the one that is read.

        Gives -1, or the first column of a block in which a value is not finite or overflows: then
        it stops there.
        """
        lists, zero, like = read_tables(tables), vzero(state, lanes), vzero(data, lanes)
        point = vzero(points, lanes)
        kept, carried, slot_bytes, listed, n_read = steps.start(lists, knots, zero, like, point)

        # Scratch on whole cache lines: slots of knots, states at the segments' starts, a panel.
        segment = min(knots, max(SCRATCH_BYTES // slot_bytes, 1))
        segments = (knots + segment - 1) // segment
        size = segment * slot_bytes + segments * n_bytes(kept)
        panel_step = panel * width
        memory = np.empty(size + rows * panel_step + 64, np.uint8)
        slots = (memory.ctypes.data + 63) // 64 * 64
        starts, stage = slots + segment * slot_bytes, slots + size

        bad = -1
        fitted = max(columns, lanes)
        begin = start_panel = before_first = 0
        target = coming = Target(out, out_step, columns, np.int64(0))
        source = Source(listed, array, step, columns, n_read, array, 0, 0, 1, knots)
        before, after, slot, way = kept, carried, slots, slot_bytes
        while True:
            # One block of columns; one that would stick out is moved back to redo a few, rather
            # than masked. Only where there are fewer columns than lanes some lanes idle.
            is_block = begin < fitted
            first = min(begin, fitted - lanes)
            next_panel = start_panel
            if is_block:
                offset = first * width
                if panel:
                    if begin == 0 or begin - start_panel == panel:
                        next_panel = first
                        edge = min(panel, fitted - first) * width - 1
                        ask_for_edges(out + offset, out_step, rows, edge)
                    place = stage + offset - next_panel * width
                    coming = Target(place, panel_step, columns, np.int64(0))
                else:
                    bypass = stream and first == begin and columns >= lanes
                    coming = Target(out + offset, out_step, columns, np.int64(bypass))
                following = (begin // strip + 1) * strip
                n_asked = n_read if n_read <= STRIPS_UP_TO and following < columns else 0
                source = Source(
                    listed, array + offset, step, columns, n_read, array + following * width,
                    n_asked, begin % strip // lanes, strip // lanes, knots,
                )  # fmt: skip
                before = kept

            turn = 0
            while turn < 2 * segments - 1:
                # Forward over the segments of the block; then over all but the last once more,
                # while the one behind is swept backward, and over the first one meanwhile ends
                # the block before.
                s = min(turn, 2 * segments - 2 - turn)
                start = s * segment
                n_forward = min(segment, knots - start) if is_block else 0
                n_backward, last = 0, 0
                if turn >= segments or (turn == 0 and begin > 0):
                    last = min(start + 2 * segment if turn else segment, knots) - 1
                    n_backward = last + 1 - start - (segment if turn else 0)
                else:
                    slot, way = slots + (segment - n_forward) * slot_bytes, slot_bytes
                if turn < segments:
                    vstore_all(starts + s * n_bytes(kept), before)
                else:
                    before = vload_all(starts + s * n_bytes(kept), before)
                if turn == segments or (turn == 0 and segments == 1):
                    after = carried
                # A knot of each sweep a turn, through the slots that the other has just read: two
                # chains of operations that do not wait for each other.
                for t in range(max(n_backward, n_forward)):
                    if t < n_backward:
                        after = steps.backward(steps, lists, last - t, knots, slot, target, after)
                    if t < n_forward:
                        k = start + t
                        before = steps.forward(steps, lists, source, k, slot, before, like)
                    slot += way
                slot, way = slot - way, -way
                if turn == 0:
                    if begin > 0 and any_nan(after[-1]):
                        bad = before_first
                        break
                    target = coming
                if is_block and turn == segments - 1 and any_nan(steps.sum_of_states(before, like)):
                    bad = first
                    break
                turn += 1 if is_block else 2 * segments
            if bad >= 0:
                break

            if panel and begin > 0 and (next_panel != start_panel or not is_block):
                n = (min(begin, columns) - start_panel) * width
                copy_out(stage, panel_step, out + start_panel * width, out_step, rows, n, stream)
            start_panel = next_panel
            if not is_block:
                break
            before_first, begin = first, first + lanes

        if stream:
            fence()
        # Numba may free an array after its last use: this keeps the scratch until here.
        memory[0] = 0
        return bad

    # Names of their own: compiled code of two kernels is told apart by the name and a number that
    # counts what a process compiles, and numba's cache brings code of several processes together.
    name = f"{steps.__name__.rpartition('.')[2]}_{data}_{state}_{points}"
    sweep.__name__ = sweep.__qualname__ = name
    return njit(**JIT)(sweep)


sweep_f4 = make_sweep(reinsch_steps, "f4", "f8", "f4", LANES)
sweep_f4_single = make_sweep(reinsch_steps, "f4", "f4", "f4", 2 * LANES)
sweep_f4_far = make_sweep(reinsch_steps, "f4", "f8", "f8", LANES)
sweep_f8 = make_sweep(reinsch_steps, "f8", "f8", "f8", LANES)
sweep_innovations_f4 = make_sweep(innovations_steps, "f4", "f8", "f4", LANES)
sweep_innovations_f4_far = make_sweep(innovations_steps, "f4", "f8", "f8", LANES)
sweep_innovations_f8 = make_sweep(innovations_steps, "f8", "f8", "f8", LANES)
sweep_state_space_f4 = make_sweep(state_space_steps, "f4", "f8", "f4", LANES)
sweep_state_space_f4_far = make_sweep(state_space_steps, "f4", "f8", "f8", LANES)
sweep_state_space_f8 = make_sweep(state_space_steps, "f8", "f8", "f8", LANES)
