"""Calls of sweeps for small arrays, which cost what Python costs.

An address of an array takes 1 us there, unpacking an array in numba 0.1 us, choosing among compiled
kinds 0.1 us. Hence arrays come as their objects' addresses, `id`, whose fields numpy's C interface
lays out (PyArrayObject_fields in ndarraytypes.h, the same in all versions), and all is checked
here that a sweep takes for granted. Were the sweep called by name, numba would compile it once
more.
"""

import struct

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastspline._kernels.vector import peek
from fastspline.jit import JIT, njit

N_ARGUMENTS = 10  # of a sweep, all integers
REFUSED = -2  # by `run`
LONG_BYTES = 65_536  # read and written: 5 us and more, when others may want to run Python

# Fields of an array's object, in words from its head on; two hold 32 bits.
DATA = object.__basicsize__ // 8
N_AXES, SHAPE, DTYPE, FLAGS = DATA + 1, DATA + 2, DATA + 5, DATA + 6
LOW = np.int64(0xFFFFFFFF)
TEXT = bytes.__basicsize__ - 1  # bytes before those of a bytes object
READABLE = 0x101  # contiguous rows, aligned
WRITEABLE = 0x501


@intrinsic
def run_at(typingctx, entry, is_long, numbers):
    """Call the sweep whose code lies at the address `entry`; without the GIL if that pays."""
    result, kinds = types.int64, list(numbers)

    def codegen(context, builder, signature, args):
        convention = context.call_conv
        kind = convention.get_function_type(result, kinds).as_pointer()
        given = [builder.extract_value(args[2], i) for i in range(len(kinds))]
        python = context.get_python_api(builder)
        thread = cgutils.alloca_once(builder, cgutils.voidptr_t)
        with builder.if_then(args[1]):
            builder.store(python.save_thread(), thread)
        status, answer = convention.call_function(
            builder, builder.inttoptr(args[0], kind), result, kinds, given
        )
        with builder.if_then(args[1]):
            python.restore_thread(builder.load(thread))
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return answer

    return result(types.int64, types.boolean, numbers), codegen


def find_entry(kernel):
    """Give the address of the code of a sweep, compiled before where it is not yet: for `run`."""
    signature = (types.int64,) * N_ARGUMENTS
    kernel.compile(signature)
    made = kernel.overloads[signature]
    return made.library.get_pointer_to_function(made.fndesc.llvm_func_name)


def find_run():
    """Give `run` as it is called without a look at the types of what it is given."""
    signature = (types.int64,) * 3
    run.compile(signature)
    return run.overloads[signature].entry_point


list_numbers = struct.Struct("7q").pack  # in less time than an array of them takes


@njit(**JIT | {"nogil": False})
def run(listed, y, out):
    """Sweep all columns of the array at `y` into that at `out`; give a bad column or -1.

    At `listed` lies what `list_numbers` gives: the address of the sweep's code, knots, tables, rows
    of `out` and of `y`, bytes of a number, columns that are too many. Gives `REFUSED`, and does
    nothing, unless both arrays are contiguous, of these rows, of as many columns (or of one axis),
    of one dtype, and lie apart.
    """
    numbers = listed + TEXT
    entry, knots, tables = peek(numbers, 0, "i8"), peek(numbers, 1, "i8"), peek(numbers, 2, "i8")
    rows, reads, size = peek(numbers, 3, "i8"), peek(numbers, 4, "i8"), peek(numbers, 5, "i8")
    most = peek(numbers, 6, "i8")
    read, written, columns = peek(y, SHAPE, "i8"), peek(out, SHAPE, "i8"), np.int64(1)
    axes = peek(y, N_AXES, "i8") & LOW
    if (
        axes != peek(out, N_AXES, "i8") & LOW
        or (axes != 1 and axes != 2)
        or peek(y, FLAGS, "i8") & READABLE != READABLE
        or peek(out, FLAGS, "i8") & WRITEABLE != WRITEABLE
        or peek(y, DTYPE, "i8") != peek(out, DTYPE, "i8")
        or peek(read, 0, "i8") != reads
        or peek(written, 0, "i8") != rows
    ):
        return REFUSED
    if axes == 2:
        columns = peek(read, 1, "i8")
        if columns != peek(written, 1, "i8"):
            return REFUSED
    if not 0 < columns < most:
        return REFUSED
    step, off = columns * size, np.int64(0)
    source, target = peek(y, DATA, "i8"), peek(out, DATA, "i8")
    if source < target + rows * step and target < source + reads * step:
        return REFUSED
    return run_at(
        entry,
        (rows + reads) * step > LONG_BYTES,
        (source, step, target, step, columns, knots, rows, tables, off, off),
    )
