"""Calls of sweeps by the address of their code, for small arrays.

For these a call costs what Python costs: an array's address alone takes 1 us there, unpacking an
array in numba 0.1 us. Were the sweep called by name, numba would compile it once more.
"""

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from fastspline.jit import JIT

N_ARGUMENTS = 12  # of a sweep, all integers


@intrinsic
def run_at(typingctx, entry, numbers):
    """Call the sweep whose code lies at the address `entry`."""
    result, kinds = types.int64, list(numbers)

    def codegen(context, builder, signature, args):
        convention = context.call_conv
        kind = convention.get_function_type(result, kinds).as_pointer()
        given = [builder.extract_value(args[1], i) for i in range(len(kinds))]
        status, answer = convention.call_function(
            builder, builder.inttoptr(args[0], kind), result, kinds, given
        )
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return answer

    return result(types.int64, numbers), codegen


def find_entry(kernel):
    """Give the address of the code of a sweep, compiled before where it is not yet: for `run`."""
    signature = (types.int64,) * N_ARGUMENTS
    kernel.compile(signature)
    made = kernel.overloads[signature]
    return made.library.get_pointer_to_function(made.fndesc.llvm_func_name)


@njit(**JIT)
def run(entry, y, out, knots, tables):
    """Run the sweep at `entry` on all columns of a small contiguous array."""
    columns = y.shape[1]
    step, off = columns * y.itemsize, np.int64(0)
    source, target = np.int64(y.ctypes.data), np.int64(out.ctypes.data)
    rows = out.shape[0]
    return run_at(
        entry,
        (source, step, target, step, columns, knots, rows, tables, off, off, off, off),
    )
