"""Blocks of columns, one a SIMD lane: what they read and write, and the points in a gap.

Numba's cache looks at the file of the compiled kernel alone. What is inlined here belongs to
kernels of `sweep`, so delete its caches after a change.
"""

from typing import NamedTuple

from fastspline._kernels.vector import (
    entry,
    fma,
    n_bytes,
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
    vstream,
    vsub,
    vzero,
    zero_like,
)
from fastspline.jit import INLINED, JIT, njit

STRIP_BYTES = 512  # of a row: 256 and 1024 were slower
STRIPS_UP_TO = 320  # rows that are read; more cost more page walks than their order saves
AHEAD_BYTES = 256  # 384 of 1000 rows leave the second-level cache before they are read


class Source(NamedTuple):
    """The rows that a block reads: a list of them, where they lie, and what to ask for ahead."""

    listed: int
    place: int
    step: int
    columns: int
    n_read: int  # asked for along the rows up to `STRIPS_UP_TO`, else within the row that is read
    corner: int  # of the strip that follows
    n_asked: int  # rows of that strip, or 0
    turn: int  # of the block in its own strip, of so many
    turns: int
    knots: int


class Target(NamedTuple):
    """Where a block is written, and whether past the caches."""

    place: int
    step: int
    columns: int
    bypass: int


@njit(**INLINED)
def read_row(source, i, like):
    """Load a block's columns of row i of the list."""
    at = source.place + peek(source.listed, i, "i8") * source.step
    row = vload_first(at, source.columns, like)
    if source.n_read > STRIPS_UP_TO:
        prefetch(at + AHEAD_BYTES, n_bytes(like))
    return row


@njit(**INLINED)
def read_ahead(source, i):
    """Ask for a row of the strip that follows, in turn; the blocks of a strip ask for all.

    In the order in which they will be read, so that each is asked for a strip's time before.
    """
    turns = source.turns
    if i % turns == 0:
        row = source.turn * ((source.n_asked + turns - 1) // turns) + i // turns
        if row < source.n_asked:
            at = source.corner + peek(source.listed, row, "i8") * source.step
            prefetch(at, STRIP_BYTES)


@njit(**INLINED)
def evaluate_points(tables, k, target, here, beyond, check):
    """Store the points from knot k to the next, given (base, tangent) at both.

    Gives `check`, NaN where a result is not finite.
    """
    spans, weights = tables.spans, tables.weights
    base0, tangent0 = here
    base1, tangent1 = beyond
    rise = vsub(base1, base0)
    first = peek(spans, 2 * k, "i8")
    derivatives = peek(spans, 2 * k + 1, "i8")
    base = zero_like(base0)
    p = peek(spans, 2 * k + 2, "i8")
    while p > first:
        if p == derivatives:
            base = base0
        p -= 1
        r = fma(entry(weights, 3 * p, rise), rise, base)
        r = fma(entry(weights, 3 * p + 1, rise), tangent0, r)
        result = vcast(fma(entry(weights, 3 * p + 2, rise), tangent1, r), check)
        check = fma(0.0, result, check)  # 0 inf is NaN, and NaN stays
        vput(target, peek(tables.rows, p, "i8"), result)
    return check


@njit(**INLINED)
def gather_points(tables, k, source, here, like):
    """Add the points from knot k to the next to the cotangents `here`; give those beyond too."""
    spans, weights = tables.spans, tables.weights
    base, tangent = here
    base1, tangent1 = zero_like(base), zero_like(base)
    if peek(tables.needed, k, "i8"):
        p = peek(spans, 2 * k, "i8")
        derivatives = peek(spans, 2 * k + 1, "i8")
        last = peek(spans, 2 * k + 2, "i8")
        while p < last:
            one = vcast(read_row(source, p, like), base)
            read_ahead(source, p)
            moved = scale(entry(weights, 3 * p, base), one)
            if p < derivatives:
                base = vadd(base, one)
            base, base1 = vsub(base, moved), vadd(base1, moved)
            tangent = fma(entry(weights, 3 * p + 1, base), one, tangent)
            tangent1 = fma(entry(weights, 3 * p + 2, base), one, tangent1)
            p += 1
    return base, tangent, base1, tangent1


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
    line = vzero("f4", 16)
    for row in range(rows):
        at, place = stage + row * stage_step, out + row * out_step
        stop = place + n_bytes
        whole = min(stop, (place + 63) // 64 * 64) if stream else stop
        while place < whole:
            poke(place, peek(at, 0, "f4"))
            place += 4
            at += 4
        while place + 64 <= stop:
            vstream(place, vload(at, line))
            place += 64
            at += 64
        while place < stop:
            poke(place, peek(at, 0, "f4"))
            place += 4
            at += 4
