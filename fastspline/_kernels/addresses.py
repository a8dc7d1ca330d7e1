"""What a sweep starts from: a list of addresses, and of numbers that one recurrence needs."""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastspline._kernels.vector import poke
from fastspline.jit import INLINED, JIT, njit

N_TABLES = 9
JET = 4  # in the place of a derivative's order: value, slope and moment at every knot
BEYOND = 5  # likewise: values, at some points further outside than an end gap


class Tables(NamedTuple):
    """Addresses of the tables of an operator; Reinsch needs neither nu nor `per_unit`."""

    forward: int
    backward: int
    sources: int
    spans: int
    needed: int
    weights: int
    rows: int
    nu: int
    per_unit: float


@intrinsic
def read_tables(typingctx, at):
    """Read what lies at the address of a list: one statement, for each costs time to compile."""
    result = types.NamedTuple([types.int64] * 8 + [types.float64], Tables)

    def codegen(context, builder, signature, args):
        numbers = []
        for i, kind in enumerate(result.types):
            number = context.get_value_type(kind)
            first = builder.inttoptr(args[0], number.as_pointer())
            numbers.append(builder.load(builder.gep(first, [ir.IntType(64)(i)])))
        return context.make_tuple(builder, result, numbers)

    return result(types.int64), codegen


@njit(**JIT)
def list_addresses(forward, backward, sources, spans, needed, weights, rows, tables):
    """Write the addresses that a sweep starts from into `tables`; give where that lies.

    `forward` and `backward` are Reinsch's tables; for the state space the gaps and `co`; for
    innovations both their one. `tables` (N_TABLES,) ends with what `list_nu` writes.
    """
    tables[0], tables[1] = forward.ctypes.data, backward.ctypes.data
    tables[2], tables[3], tables[4] = sources.ctypes.data, spans.ctypes.data, needed.ctypes.data
    tables[5], tables[6] = weights.ctypes.data, rows.ctypes.data
    return tables.ctypes.data


@njit(**JIT)
def list_nu(nu, unit, tables):
    """End `tables` with nu and what the first of (base, tangent) is multiplied with.

    In the place of nu may stand `JET` or `BEYOND`.
    """
    write_nu(np.int64(tables.ctypes.data), nu, unit)


@njit(**INLINED)
def write_nu(at, nu, unit):
    """Do what `list_nu` does with the list at an address."""
    poke(at + 8 * (N_TABLES - 2), nu)
    poke(at + 8 * (N_TABLES - 1), 0.0 if nu == 2 or nu == 3 else 1.0 / unit)


@njit(**INLINED)
def needs_slopes(nu):
    """Tell whether innovations add up slopes at the knots."""
    return nu == 1 or nu >= JET
