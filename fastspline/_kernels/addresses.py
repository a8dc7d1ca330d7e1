"""What a sweep starts from: a list of addresses, and of numbers that one recurrence needs."""

from typing import NamedTuple

import numpy as np
from numba import njit

from fastspline._kernels.vector import peek
from fastspline.jit import JIT

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


@njit(inline="always", **JIT)
def read_tables(at):
    """Read what `list_addresses` and `list_nu` wrote."""
    return Tables(
        peek(at, "i8"), peek(at + 8, "i8"), peek(at + 16, "i8"), peek(at + 24, "i8"),
        peek(at + 32, "i8"), peek(at + 40, "i8"), peek(at + 48, "i8"), peek(at + 56, "i8"),
        peek(at + 64, "f8"),
    )  # fmt: skip


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
    ends = tables[N_TABLES - 2 :]
    ends[0] = nu
    ends.view(np.float64)[1] = 0.0 if nu == 2 or nu == 3 else 1.0 / unit


@njit(**JIT)
def needs_slopes(nu):
    """Tell whether innovations add up slopes at the knots."""
    return nu in (1, JET, BEYOND)
