"""SIMD registers in numba: vectors of columns, and the few operations that sweeps need.

A vector is a numba type whose data model is an LLVM vector such as ``<16 x double>``; LLVM splits
it into whatever registers the machine has. `vzero` makes one of given type and lanes; all others
are made like one that is there. Addresses are plain integers: one compiled kernel serves any row
stride, and read-only arrays too.
"""

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

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


def _n_bytes(vector):
    return vector.lanes * vector.dtype.bitwidth // 8


def _pointer(context, builder, address, to):
    return builder.inttoptr(address, context.get_value_type(to).as_pointer())


def _splat(builder, scalar, vector_type):
    """Make the LLVM vector with `scalar` in every lane."""
    first = builder.insert_element(
        ir.Constant(vector_type, ir.Undefined), scalar, ir.Constant(_I32, 0)
    )
    mask = ir.Constant(ir.VectorType(_I32, vector_type.count), [0] * vector_type.count)
    return builder.shuffle_vector(first, ir.Constant(vector_type, ir.Undefined), mask)


def _load(context, builder, address, kind):
    """Load a vector from an element-aligned address."""
    pointer = _pointer(context, builder, address, kind)
    return builder.load(pointer, align=kind.dtype.bitwidth // 8)


@intrinsic
def vload(typingctx, address, like):
    """Load a vector of the type of `like` from an element-aligned address."""

    def codegen(context, builder, signature, args):
        return _load(context, builder, args[0], like)

    return like(types.int64, like), codegen


@intrinsic
def vload_all(typingctx, address, like):
    """Load the vectors of a tuple, one behind the other."""

    def codegen(context, builder, signature, args):
        at, vectors = args[0], []
        for kind in like:
            vectors.append(_load(context, builder, at, kind))
            at = builder.add(at, ir.Constant(at.type, _n_bytes(kind)))
        return context.make_tuple(builder, like, vectors)

    return like(types.int64, like), codegen


def _mask(builder, count, lanes):
    """Make the LLVM mask of the first `count` lanes."""
    kind = ir.VectorType(_I32, lanes)
    numbers = ir.Constant(kind, list(range(lanes)))
    return builder.icmp_signed("<", numbers, _splat(builder, builder.trunc(count, _I32), kind))


@intrinsic
def vload_first(typingctx, address, count, like):
    """Load the first `count` lanes of a vector, all if `count` is no less; the others become 0."""
    result = like

    def codegen(context, builder, signature, args):
        kind = context.get_value_type(result)
        width = result.dtype.bitwidth // 8
        pointer = _pointer(context, builder, args[0], result)
        whole = builder.icmp_signed(">=", args[1], ir.Constant(args[1].type, result.lanes))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                loaded, from_whole = builder.load(pointer, align=width), builder.block
            with otherwise:
                mask = _mask(builder, args[1], result.lanes)
                name = f"llvm.masked.load.v{result.lanes}f{8 * width}.p0"
                function = cgutils.get_or_insert_function(
                    builder.module,
                    ir.FunctionType(kind, [pointer.type, _I32, mask.type, kind]),
                    name,
                )
                zeros = ir.Constant(kind, None)
                part = builder.call(function, [pointer, ir.Constant(_I32, width), mask, zeros])
                from_part = builder.block
        either = builder.phi(kind)
        either.add_incoming(loaded, from_whole)
        either.add_incoming(part, from_part)
        return either

    return result(types.int64, types.int64, like), codegen


def _store(builder, value, pointer, kind, *, nontemporal):
    width = kind.dtype.bitwidth // 8
    align = min(64, width * kind.lanes) if nontemporal else width
    store = builder.store(value, pointer, align=align)
    if nontemporal:
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_I32, 1)]))


def _store_codegen(nontemporal):
    def codegen(context, builder, signature, args):
        kind = signature.args[1]
        pointer = _pointer(context, builder, args[0], kind)
        _store(builder, args[1], pointer, kind, nontemporal=nontemporal)
        return context.get_dummy_value()

    return codegen


@intrinsic
def vstore(typingctx, address, value):
    """Store a vector at an element-aligned address."""
    return types.void(types.int64, value), _store_codegen(nontemporal=False)


@intrinsic
def vstore_all(typingctx, address, values):
    """Store a tuple of vectors, one behind the other."""

    def codegen(context, builder, signature, args):
        at = args[0]
        for i, kind in enumerate(values):
            pointer = _pointer(context, builder, at, kind)
            one = builder.extract_value(args[1], i)
            _store(builder, one, pointer, kind, nontemporal=False)
            at = builder.add(at, ir.Constant(at.type, _n_bytes(kind)))
        return context.get_dummy_value()

    return types.void(types.int64, values), codegen


@intrinsic
def vstream(typingctx, address, value):
    """Store past the caches; the address is a multiple of 64, or of a smaller vector's size."""
    return types.void(types.int64, value), _store_codegen(nontemporal=True)


@intrinsic
def vput(typingctx, target, row, value):
    """Store a vector in a row of a target: (place, bytes between rows, count, bypass), integers.

    That is its first `count` lanes, or all; past the caches if `bypass`, which takes all.
    """

    def codegen(context, builder, signature, args):
        width = value.dtype.bitwidth // 8
        place, step, count, bypass = (builder.extract_value(args[0], i) for i in range(4))
        place = builder.add(place, builder.mul(args[1], step))
        pointer = _pointer(context, builder, place, value)
        streams = builder.icmp_signed("!=", bypass, ir.Constant(bypass.type, 0))
        whole = builder.icmp_signed(">=", count, ir.Constant(count.type, value.lanes))
        with builder.if_else(streams) as (then, otherwise):
            with then:
                _store(builder, args[2], pointer, value, nontemporal=True)
            with otherwise, builder.if_else(whole) as (plain, part):
                with plain:
                    _store(builder, args[2], pointer, value, nontemporal=False)
                with part:
                    mask = _mask(builder, count, value.lanes)
                    kinds = [args[2].type, pointer.type, _I32, mask.type]
                    function = cgutils.get_or_insert_function(
                        builder.module,
                        ir.FunctionType(ir.VoidType(), kinds),
                        f"llvm.masked.store.v{value.lanes}f{8 * width}.p0",
                    )
                    builder.call(function, [args[2], pointer, ir.Constant(_I32, width), mask])
        return context.get_dummy_value()

    return types.void(target, types.int64, value), codegen


@intrinsic
def fence(typingctx):
    """Order streamed stores before whatever tells another thread that they are done."""

    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


def _prefetch(builder, address, *, write):
    pointer = builder.inttoptr(address, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [pointer, *(ir.Constant(_I32, n) for n in (write, 2, 1))])


@intrinsic(prefer_literal=True)
def prefetch(typingctx, address, n_bytes):
    """Ask for the cache lines of `n_bytes` at `address` in the second-level cache."""
    if not _are_literal(n_bytes):
        return None

    def codegen(context, builder, signature, args):
        for offset in range(0, n_bytes.literal_value, 64):
            _prefetch(builder, builder.add(args[0], ir.Constant(args[0].type, offset)), write=0)
        return context.get_dummy_value()

    return types.void(types.int64, n_bytes), codegen


@intrinsic
def prefetch_to_write(typingctx, address):
    """Ask for the cache line at `address`, to be written soon."""

    def codegen(context, builder, signature, args):
        _prefetch(builder, args[0], write=1)
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def vcast(typingctx, value, like):
    """Convert a vector's numbers to the type of those of `like`."""
    result = Vector(like.dtype, value.lanes)

    def codegen(context, builder, signature, args):
        if result.dtype == value.dtype:
            return args[0]
        convert = builder.fpext if result.dtype == types.float64 else builder.fptrunc
        return convert(args[0], context.get_value_type(result))

    return result(value, like), codegen


def _widest(*given):
    """Give the vector type among the types of an operation's arguments."""
    return next(one for one in given if isinstance(one, Vector))


def _in_lanes(context, builder, value, given, kind):
    """Give an argument as an LLVM vector of type `kind`: a scalar in every lane."""
    if isinstance(given, Vector):
        return value
    scalar = context.cast(builder, value, given, kind.dtype)
    return _splat(builder, scalar, context.get_value_type(kind))


@intrinsic
def fma(typingctx, a, b, c):
    """Give ``a * b + c``; scalars stand for vectors of equal lanes.

    fmuladd, not fma: without fused hardware llvm.fma is a libm call a lane, llvm.fmuladd a product
    and a sum.
    """
    result = _widest(a, b, c)

    def codegen(context, builder, signature, args):
        kind = context.get_value_type(result)
        name = f"llvm.fmuladd.v{result.lanes}f{result.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), name
        )
        factors = zip(args, (a, b, c), strict=True)
        return builder.call(
            function, [_in_lanes(context, builder, one, given, result) for one, given in factors]
        )

    return result(a, b, c), codegen


def _binary(operation, a, b):
    """Give signature and code of a builder's `operation`, at least one operand being a vector."""
    result = _widest(a, b)

    def codegen(context, builder, signature, args):
        x, y = (
            _in_lanes(context, builder, one, given, result)
            for one, given in zip(args, (a, b), strict=True)
        )
        return getattr(builder, operation)(x, y)

    return result(a, b), codegen


@intrinsic
def scale(typingctx, a, b):
    """Give ``a * b``."""
    return _binary("fmul", a, b)


@intrinsic
def vdiv(typingctx, a, b):
    """Give ``a / b``."""
    return _binary("fdiv", a, b)


@intrinsic
def vsub(typingctx, a, b):
    """Give ``a - b``."""
    return _binary("fsub", a, b)


@intrinsic
def vadd(typingctx, a, b):
    """Give ``a + b``."""
    return _binary("fadd", a, b)


@intrinsic
def vwhere_below(typingctx, a, bound, x, y):
    """Give `x` in the lanes where ``a < bound``, a number, and `y` in the others.

    For a number `a` that is one of them as it is.
    """

    def codegen(context, builder, signature, args):
        limit = _in_lanes(context, builder, args[1], bound, a) if isinstance(a, Vector) else args[1]
        below = builder.fcmp_ordered("<", args[0], limit)
        return builder.select(below, args[2], args[3])

    return x(a, bound, x, y), codegen


@intrinsic
def vsplit(typingctx, value):
    """Give mantissa in [1, 2) and exponent of positive normal float64 numbers, as two vectors."""
    result = types.UniTuple(value, 2)

    def codegen(context, builder, signature, args):
        kind, words = args[0].type, ir.VectorType(ir.IntType(64), value.lanes)

        def every(number):
            return ir.Constant(words, [number] * value.lanes)

        bits = builder.bitcast(args[0], words)
        power = builder.sub(builder.lshr(bits, every(52)), every(1023))
        fraction = builder.or_(builder.and_(bits, every((1 << 52) - 1)), every(1023 << 52))
        parts = [builder.bitcast(fraction, kind), builder.sitofp(power, kind)]
        return context.make_tuple(builder, result, parts)

    return result(value), codegen


@intrinsic(prefer_literal=True)
def vzero(typingctx, code, lanes):
    """Give a vector of `lanes` zeros of the float type `code`."""
    if not _are_literal(code, lanes):
        return None
    result = Vector(_SCALARS[code.literal_value], lanes.literal_value)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(result), None)

    return result(code, lanes), codegen


@intrinsic(prefer_literal=True)
def vzeros(typingctx, like, n):
    """Give a tuple of `n` vectors of zeros of the type of `like`."""
    if not _are_literal(n):
        return None
    result = types.UniTuple(like, n.literal_value)

    def codegen(context, builder, signature, args):
        zero = ir.Constant(context.get_value_type(like), None)
        return context.make_tuple(builder, result, [zero] * result.count)

    return result(like, n), codegen


@intrinsic
def fma_all(typingctx, weights, a, sums):
    """Add to each vector of a tuple `a` times its weight; these lie one behind the other."""

    def codegen(context, builder, signature, args):
        kind, number = context.get_value_type(a), context.get_value_type(a.dtype)
        name = f"llvm.fmuladd.v{a.lanes}f{a.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), name
        )
        first, added = builder.inttoptr(args[0], number.as_pointer()), []
        for i in range(sums.count):
            weight = builder.load(builder.gep(first, [ir.Constant(_I32, i)]))
            factors = [_splat(builder, weight, kind), args[1], builder.extract_value(args[2], i)]
            added.append(builder.call(function, factors))
        return context.make_tuple(builder, sums, added)

    return sums(types.int64, a, sums), codegen


@intrinsic
def zero_like(typingctx, like):
    """Give zeros of the type of `like`."""

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(like), None)

    return like(like), codegen


@intrinsic
def any_nan(typingctx, value):
    """Tell whether any lane of a vector is NaN."""

    def codegen(context, builder, signature, args):
        lanes = builder.fcmp_unordered("uno", args[0], args[0])
        bits = builder.bitcast(lanes, ir.IntType(value.lanes))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(value), codegen


@intrinsic(prefer_literal=True)
def peek(typingctx, address, i, code):
    """Load number `i` of those of type `code` ("f4", "f8" or "i8") at `address`."""
    if not _are_literal(code):
        return None
    result = _SCALARS.get(code.literal_value, types.int64)

    def codegen(context, builder, signature, args):
        return builder.load(builder.gep(_pointer(context, builder, args[0], result), [args[1]]))

    return result(types.int64, types.int64, code), codegen


@intrinsic
def entry(typingctx, table, i, like):
    """Load number `i` of those at the address `table`, of the type of the numbers of `like`."""
    result = like.dtype

    def codegen(context, builder, signature, args):
        return builder.load(builder.gep(_pointer(context, builder, args[0], result), [args[1]]))

    return result(types.int64, types.int64, like), codegen


@intrinsic
def n_bytes(typingctx, value):
    """Give the bytes of a vector, or of the vectors of a tuple, as a literal."""
    kinds = [value] if isinstance(value, Vector) else value
    total = sum(_n_bytes(kind) for kind in kinds)

    def codegen(context, builder, signature, args):
        return context.get_constant(types.int64, total)

    return types.literal(total)(value), codegen


@intrinsic
def n_lanes(typingctx, value):
    """Give the lanes of a vector, as a literal."""

    def codegen(context, builder, signature, args):
        return context.get_constant(types.int64, value.lanes)

    return types.literal(value.lanes)(value), codegen


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
