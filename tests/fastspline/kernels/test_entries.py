"""Sweeps of small arrays, called by the addresses of objects: what is refused, and what runs."""

import itertools
import sys
import threading
import time

import numpy as np
import pytest

from fastspline import Smoother
from fastspline._kernels.entries import REFUSED
from fastspline._solvers.columns import list_for, runner

N, M = 7, 4  # rows read and written
MOST = 4_000_000 // ((N + M) * 8)  # columns that one thread is enough for


@pytest.fixture(scope="module")
def operator():
    return Smoother(np.linspace(0.0, 1.0, N), lam=1e-3).operator(np.linspace(0.1, 0.8, M))


@pytest.fixture(scope="module")
def sweep(operator):
    """Give what runs the operator's sweep from one array into another."""
    prepared = operator._evaluator.prepared[np.dtype(float)]
    numbers, _ = list_for(prepared, M, N, 8)

    def run(values, out):
        return runner()(id(numbers), id(values), id(out))

    return run


def values(columns=3):
    return np.random.default_rng(0).standard_normal((N, columns))


@pytest.mark.parametrize("columns", [1, 2, 16, 17, 1000, MOST - 1])
def test_runs(operator, sweep, columns):
    y, out = values(columns), np.full((M, columns), np.nan)
    assert sweep(y, out) == -1
    np.testing.assert_allclose(out, operator.dense() @ y, rtol=0, atol=1e-14)


def test_runs_one_axis_and_values_that_are_read_only(operator, sweep):
    y, out = values(1)[:, 0].copy(), np.full(M, np.nan)
    y.flags.writeable = False
    assert sweep(y, out) == -1
    np.testing.assert_allclose(out, operator.dense() @ y, rtol=0, atol=1e-14)


def test_tells_a_bad_column(sweep):
    y = values(40)
    y[3, 38] = np.nan
    assert 0 <= sweep(y, np.empty((M, 40))) <= 38


def misaligned(rows, columns):
    return np.zeros(rows * columns * 8 + 1, np.uint8)[1:].view(float).reshape(rows, columns)


def read_only():
    out = np.zeros((M, 3))
    out.flags.writeable = False
    return out


def neighbours():
    memory = np.zeros((N + M - 1, 3))
    return memory[:N], memory[N - 1 :]


UNFIT = {
    "rows that are read": lambda: (np.zeros((N + 1, 3)), np.zeros((M, 3))),
    "rows that are written": lambda: (values(), np.zeros((M + 1, 3))),
    "columns": lambda: (values(), np.zeros((M, 2))),
    "no columns": lambda: (np.zeros((N, 0)), np.zeros((M, 0))),
    "many columns": lambda: (values(MOST), np.zeros((M, MOST))),
    "axes": lambda: (values(), np.zeros(M)),
    "three axes": lambda: (np.zeros((N, 3, 1)), np.zeros((M, 3, 1))),
    "no axes": lambda: (np.zeros(()), np.zeros(())),
    "dtype": lambda: (values(), np.zeros((M, 3), np.float32)),
    "order of values": lambda: (np.asfortranarray(values()), np.zeros((M, 3))),
    "order of results": lambda: (values(), np.zeros((M, 3), order="F")),
    "part of values": lambda: (np.zeros((N, 4))[:, :3], np.zeros((M, 3))),
    "part of results": lambda: (values(), np.zeros((M, 4))[:, :3]),
    "alignment of values": lambda: (misaligned(N, 3), np.zeros((M, 3))),
    "alignment of results": lambda: (values(), misaligned(M, 3)),
    "read-only results": lambda: (values(), read_only()),
    "memory in common": neighbours,
}


@pytest.mark.parametrize("unfit", UNFIT)
def test_refuses(sweep, unfit):
    y, out = UNFIT[unfit]()
    before = out.copy()
    assert sweep(y, out) == REFUSED
    np.testing.assert_array_equal(out, before)


def test_memory_side_by_side_is_not_in_common(operator, sweep):
    memory = np.zeros((N + M, 3))
    memory[:N] = values()
    expected = operator.dense() @ memory[:N]
    assert sweep(memory[:N], memory[N:]) == -1
    np.testing.assert_allclose(memory[N:], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("columns", "lets_others_run"), [(1, False), (40_000, True)])
def test_lets_others_run_while_it_works_long(sweep, columns, lets_others_run):
    """With switches between threads put off, others run only where the lock is given up."""
    y, out = values(columns), np.empty((M, columns))
    turns, stop = [0], threading.Event()
    interval = sys.getswitchinterval()

    def turn():
        while not stop.is_set():
            turns[0] += 1
            time.sleep(0.0)  # gives way

    other = threading.Thread(target=turn, daemon=True)
    sys.setswitchinterval(30.0)
    try:
        other.start()
        before, began = turns[0], time.monotonic()
        for k in itertools.count():
            sweep(y, out)
            waits = time.monotonic() - began < 20.0 if lets_others_run else k < 20
            if turns[0] > before or not waits:  # a busy machine may let nobody run at first
                break
        assert (turns[0] > before) == lets_others_run
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        other.join(60.0)
