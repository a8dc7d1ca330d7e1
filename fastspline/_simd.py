"""The SIMD twin of `_reinsch`: one column a lane, both sweeps and the evaluation fused.

A kernel takes `LANES` neighbouring columns at a time. Sweeping forward it reads each input row
once; the last two states stay in registers, u goes to scratch in the first-level cache. Sweeping
backward it keeps three gammas and two g in registers, and as soon as both ends of an interval are
known, the points inside are evaluated and stored.

Recurrences are done in double, but for float32 columns of plans that lose nothing in float32.
Evaluation is done in the type of the data: twice the lanes for float32.

A vector is a numba type whose data model is an LLVM vector such as ``<16 x double>``; LLVM splits
it into whatever registers the machine has. Addresses are plain integers: one compiled kernel serves
any row stride, and read-only arrays too.
"""

import numpy as np
from llvmlite import binding, ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from fastspline._jit import JIT

_SCALARS = {"f4": types.float32, "f8": types.float64}
_I32 = ir.IntType(32)


class Vector(types.Type):
    """`lanes` numbers of one float type, held in SIMD registers."""

    def __init__(self, dtype, lanes):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype} x {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = ir.FloatType() if fe_type.dtype == types.float32 else ir.DoubleType()
        super().__init__(dmm, fe_type, ir.VectorType(element, fe_type.lanes))


def _are_literal(*args):
    return all(isinstance(a, types.Literal) for a in args)


def _vector_of(code, lanes):
    return Vector(_SCALARS[code.literal_value], lanes.literal_value)


def _pointer(context, builder, address, to):
    return builder.inttoptr(address, context.get_value_type(to).as_pointer())


def _splat(builder, scalar, vector_type):
    """Make the LLVM vector with `scalar` in every lane."""
    first = builder.insert_element(
        ir.Constant(vector_type, ir.Undefined), scalar, ir.Constant(_I32, 0)
    )
    mask = ir.Constant(ir.VectorType(_I32, vector_type.count), [0] * vector_type.count)
    return builder.shuffle_vector(first, ir.Constant(vector_type, ir.Undefined), mask)


@intrinsic(prefer_literal=True)
def vload(typingctx, address, code, lanes):
    """Load a vector of `lanes` numbers of type `code` from `address` (element-aligned)."""
    if not _are_literal(code, lanes):
        return None
    result = _vector_of(code, lanes)

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, args[0], result)
        return builder.load(pointer, align=result.dtype.bitwidth // 8)

    return result(types.int64, code, lanes), codegen


def _store_codegen(nontemporal):
    def codegen(context, builder, signature, args):
        kind = signature.args[1]
        width = kind.dtype.bitwidth // 8
        align = min(64, width * kind.lanes) if nontemporal else width
        store = builder.store(args[1], _pointer(context, builder, args[0], kind), align=align)
        if nontemporal:
            store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_I32, 1)]))
        return context.get_dummy_value()

    return codegen


@intrinsic
def vstore(typingctx, address, value):
    """Store a vector at an element-aligned address."""
    return types.void(types.int64, value), _store_codegen(nontemporal=False)


@intrinsic
def vstream(typingctx, address, value):
    """Store past the caches; the address is a multiple of 64, or of a smaller vector's size."""
    return types.void(types.int64, value), _store_codegen(nontemporal=True)


@intrinsic
def fence(typingctx):
    """Order streamed stores before whatever tells another thread that they are done."""

    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


def _prefetch_codegen(write):
    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, *(ir.Constant(_I32, n) for n in (write, 2, 1))])
        return context.get_dummy_value()

    return codegen


@intrinsic
def prefetch(typingctx, address):
    """Ask for the cache line at `address` in the second-level cache."""
    return types.void(types.int64), _prefetch_codegen(write=0)


@intrinsic
def prefetch_to_write(typingctx, address):
    """Ask for the cache line at `address`, to be written soon."""
    return types.void(types.int64), _prefetch_codegen(write=1)


@intrinsic(prefer_literal=True)
def vcast(typingctx, value, code):
    """Convert a vector's numbers to the float type `code`."""
    if not _are_literal(code):
        return None
    result = Vector(_SCALARS[code.literal_value], value.lanes)

    def codegen(context, builder, signature, args):
        if result.dtype == value.dtype:
            return args[0]
        convert = builder.fpext if result.dtype == types.float64 else builder.fptrunc
        return convert(args[0], context.get_value_type(result))

    return result(value, code), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """Give ``a * b + c`` for a scalar `a` and vectors `b` and `c`.

    fmuladd, not fma: without fused hardware llvm.fma is a libm call a lane, llvm.fmuladd a product
    and a sum.
    """

    def codegen(context, builder, signature, args):
        kind = context.get_value_type(b)
        name = f"llvm.fmuladd.v{b.lanes}f{b.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), name
        )
        scalar = context.cast(builder, args[0], a, b.dtype)
        return builder.call(function, [_splat(builder, scalar, kind), args[1], args[2]])

    return b(a, b, c), codegen


@intrinsic
def scale(typingctx, a, b):
    """Give ``a * b`` for a scalar `a` and a vector `b`."""

    def codegen(context, builder, signature, args):
        scalar = context.cast(builder, args[0], a, b.dtype)
        return builder.fmul(_splat(builder, scalar, context.get_value_type(b)), args[1])

    return b(a, b), codegen


@intrinsic
def vsub(typingctx, a, b):
    """Give ``a - b`` for two vectors."""
    return a(a, b), lambda context, builder, signature, args: builder.fsub(*args)


@intrinsic(prefer_literal=True)
def vzero(typingctx, code, lanes):
    """Give a vector of zeros."""
    if not _are_literal(code, lanes):
        return None
    result = _vector_of(code, lanes)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(result), None)

    return result(code, lanes), codegen


@intrinsic
def any_nan(typingctx, value):
    """Tell whether any lane of a vector is NaN."""

    def codegen(context, builder, signature, args):
        lanes = builder.fcmp_unordered("uno", args[0], args[0])
        bits = builder.bitcast(lanes, ir.IntType(value.lanes))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(value), codegen


@intrinsic(prefer_literal=True)
def peek(typingctx, address, code):
    """Load the number of type `code` ("f4", "f8" or "i8") at `address`."""
    if not _are_literal(code):
        return None
    result = _SCALARS.get(code.literal_value, types.int64)

    def codegen(context, builder, signature, args):
        return builder.load(_pointer(context, builder, args[0], result))

    return result(types.int64, code), codegen


@intrinsic
def poke(typingctx, address, value):
    """Store a scalar at `address`."""

    def codegen(context, builder, signature, args):
        builder.store(args[1], _pointer(context, builder, args[0], value))
        return context.get_dummy_value()

    return types.void(types.int64, value), codegen


def _host_lanes():
    """Give 16 lanes where two AVX-512 registers hold them; elsewhere 16 spill, and 8 do as well."""
    features = config.CPU_FEATURES  # what numba compiles for, where that is set
    if features is None:
        features = binding.get_host_cpu_features().flatten()
    return 16 if "+avx512f" in features else 8


LANES = _host_lanes()


def _make_sweep(data, state, lanes):
    """Make the kernel for columns of type `data`, "f4" or "f8", whose recurrences run in `state`.

    The arguments are closure variables that hold strings and a number on purpose: numba freezes
    them as literals and makes them part of the key of its disk cache.
    """
    width = 4 if data == "f4" else 8
    wide = 4 if state == "f4" else 8
    row_bytes, state_bytes = lanes * width, lanes * wide
    line = 64 // width

    @njit(**JIT)
    def sweep(y, y_step, out, out_step, columns, knots, points, tables, stream, panel, ahead):
        """Fit and evaluate `columns` columns that start at the addresses `y` and `out`.

        Steps are bytes between rows; `tables` is the address of the operator's list of addresses.
        `stream`: 1 to store past the cache; then with `panel` 0 every output row must start at a
        multiple of 64 bytes, and with `panel` > 0 (a multiple of `lanes`) so many columns at a
        time are staged in the cache and copied out, which needs no alignment. `ahead`: bytes to
        prefetch ahead, or 0.

        Gives -1, or the first column of a block in which a value is not finite or overflows: then
        it stops there.
        """
        forward, backward = peek(tables, "i8"), peek(tables + 8, "i8")
        sources, spans = peek(tables + 16, "i8"), peek(tables + 24, "i8")
        needed, weights = peek(tables + 32, "i8"), peek(tables + 40, "i8")
        rows = peek(tables + 48, "i8")

        # Scratch on whole cache lines: u (two zero rows first), the inputs, the staged outputs, a
        # padded copy.
        small = columns < lanes
        if small:
            panel = lanes
        stage_step = panel * width
        size = (knots + 2) * state_bytes + knots * row_bytes + points * stage_step + 64
        if small:
            size += knots * row_bytes
        memory = np.empty(size, np.uint8)
        states = (memory.ctypes.data + 63) // 64 * 64
        inputs = states + (knots + 2) * state_bytes
        stage = inputs + knots * row_bytes
        vstore(states, vzero(state, lanes))
        vstore(states + state_bytes, vzero(state, lanes))
        states += state_bytes  # states + k * state_bytes is now u at knot k, and 0 for k = -1 and 0

        target, target_step = out, out_step
        if panel:
            target, target_step = stage, stage_step
        padded = stage + points * stage_step
        if small:
            for k in range(knots):
                vstore(padded + k * row_bytes, vzero(data, lanes))
                for c in range(columns):
                    place = y + peek(sources + k * 8, "i8") * y_step + c * width
                    poke(padded + k * row_bytes + c * width, peek(place, data))

        bad = -1
        fitted = max(columns, lanes)
        begin = start_panel = 0
        while begin < fitted:
            # One block of columns; one that would stick out is moved back to redo a few, rather
            # than masked.
            first = min(begin, fitted - lanes)
            if panel and begin == start_panel:
                start_panel = first
            bypass = stream and not panel and first == begin
            there = target + first * width
            if panel:
                there -= start_panel * width
                if stream and first == start_panel:  # the lines at a panel's edges
                    for p in range(points):
                        place = out + p * out_step + first * width
                        prefetch_to_write(place)
                        prefetch_to_write(place + min(panel, fitted - first) * width - 1)

            # Forward: u = D^-1 L^-1 Q^T y.
            y0, before = vzero(state, lanes), vzero(state, lanes)
            u1, u2 = vzero(state, lanes), vzero(state, lanes)
            f = forward - 4 * wide
            for k in range(knots):
                at = y + peek(sources + k * 8, "i8") * y_step + first * width
                if small:
                    at = padded + k * row_bytes
                c = vload(at, data, lanes)
                if ahead:
                    for offset in range(0, row_bytes, 64):
                        prefetch(at + ahead + offset)
                vstore(inputs + k * row_bytes, c)
                y1 = vcast(c, state)
                if k > 0:
                    rise = vsub(y1, y0)
                    if k > 1:
                        u = scale(peek(f, state), rise)
                        u = fma(peek(f + wide, state), before, u)
                        u = fma(peek(f + 3 * wide, state), u2, u)
                        u = fma(peek(f + 2 * wide, state), u1, u)  # the newest last: a short chain
                        vstore(states + (k - 1) * state_bytes, u)
                        u1, u2 = u, u1
                    before = rise
                y0 = y1
                f += 4 * wide
            # NaN and infinity never leave a recurrence, so its last state tells for all rows.
            if any_nan(fma(0.0, u1, scale(0.0, before))):
                bad = first
                break

            # Backward. On entry to step k: m2, m1 = gamma at k + 1, k. The working copies gw1, mw2
            # (g and gamma at k + 1) are made once a knot: narrowing to float32 costs as much as two
            # or three points.
            m2, m1 = vzero(state, lanes), vzero(state, lanes)
            gw1, mw2, check = vzero(data, lanes), vzero(data, lanes), vzero(data, lanes)
            end = points
            k = knots
            while k > 0:
                k -= 1
                f = backward + k * 5 * wide
                m0 = vload(states + (k - 1) * state_bytes, state, lanes)
                m0 = fma(peek(f + wide, state), m2, m0)
                m0 = fma(peek(f, state), m1, m0)
                start = peek(spans + k * 16, "i8")
                if peek(needed + k * 8, "i8"):
                    g = vcast(vload(inputs + k * row_bytes, data, lanes), state)
                    g = fma(peek(f + 4 * wide, state), m2, g)
                    g = fma(peek(f + 3 * wide, state), m1, g)
                    g = fma(peek(f + 2 * wide, state), m0, g)
                    gw0, mw1 = vcast(g, data), vcast(m1, data)
                    rise = vsub(gw1, gw0)
                    derivatives = peek(spans + k * 16 + 8, "i8")
                    base = vzero(data, lanes)
                    p = end
                    while p > start:
                        if p == derivatives:
                            base = gw0
                        p -= 1
                        f = weights + p * (3 * width)
                        v = fma(peek(f, data), rise, base)
                        v = fma(peek(f + width, data), mw1, v)
                        v = fma(peek(f + 2 * width, data), mw2, v)
                        check = vsub(check, vsub(v, v))  # inf - inf is NaN, and NaN stays
                        place = there + peek(rows + p * 8, "i8") * target_step
                        if bypass:
                            vstream(place, v)
                        else:
                            if ahead:
                                for offset in range(0, row_bytes, 64):
                                    prefetch_to_write(place + row_bytes + offset)
                            vstore(place, v)
                    gw1, mw2 = gw0, mw1
                end = start
                m2, m1 = m1, m0
            if any_nan(check):
                bad = first
                break

            begin = first + lanes
            if panel and (begin - start_panel == panel or begin == fitted):
                done = min(begin, columns) - start_panel
                for p in range(points):
                    at = stage + p * stage_step
                    place = out + p * out_step + start_panel * width
                    stop = place + done * width
                    whole = stop
                    if stream:
                        whole = min(stop, (place + 63) // 64 * 64)
                    while place < whole:
                        poke(place, peek(at, data))
                        place += width
                        at += width
                    while place + 64 <= stop:
                        vstream(place, vload(at, data, line))
                        place += 64
                        at += 64
                    while place < stop:
                        poke(place, peek(at, data))
                        place += width
                        at += width
                start_panel = begin

        if stream:
            fence()
        memory[0] = (
            0  # numba may free an array after its last use: this keeps the scratch until here
        )
        return bad

    return sweep


@njit(**JIT)
def list_addresses(forward, backward, sources, spans, needed, weights, rows, tables):
    """Write the addresses that a sweep starts from into `tables` (7,); give where that lies."""
    tables[0], tables[1] = forward.ctypes.data, backward.ctypes.data
    tables[2], tables[3], tables[4] = sources.ctypes.data, spans.ctypes.data, needed.ctypes.data
    tables[5], tables[6] = weights.ctypes.data, rows.ctypes.data
    return tables.ctypes.data


sweep_f4 = _make_sweep("f4", "f8", LANES)
sweep_f4_single = _make_sweep("f4", "f4", 2 * LANES)
sweep_f8 = _make_sweep("f8", "f8", LANES)


# For small inputs a call costs what Python costs: an array's address alone takes 1 us there,
# unpacking an array in numba 0.1 us. These take contiguous arrays. They name the kernels as
# globals, since a dispatcher in a closure would give the disk cache another key in every process.


@njit(**JIT)
def apply_f4(y, out, knots, tables):
    """Fit and evaluate all columns of a small contiguous float32 array."""
    source, target, columns = np.int64(y.ctypes.data), np.int64(out.ctypes.data), y.shape[1]
    step, off = columns * 4, 0 * columns  # a literal 0 would compile the sweep once more
    points = out.shape[0]
    return sweep_f4(source, step, target, step, columns, knots, points, tables, off, off, off)


@njit(**JIT)
def apply_f4_single(y, out, knots, tables):
    """Fit and evaluate all columns of a small contiguous float32 array, all in float32."""
    source, target, columns = np.int64(y.ctypes.data), np.int64(out.ctypes.data), y.shape[1]
    step, off = columns * 4, 0 * columns  # a literal 0 would compile the sweep once more
    points = out.shape[0]
    return sweep_f4_single(
        source, step, target, step, columns, knots, points, tables, off, off, off
    )


@njit(**JIT)
def apply_f8(y, out, knots, tables):
    """Fit and evaluate all columns of a small contiguous float64 array."""
    source, target, columns = np.int64(y.ctypes.data), np.int64(out.ctypes.data), y.shape[1]
    step, off = columns * 8, 0 * columns  # a literal 0 would compile the sweep once more
    points = out.shape[0]
    return sweep_f8(source, step, target, step, columns, knots, points, tables, off, off, off)
