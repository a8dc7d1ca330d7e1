"""The command line, `python -m fastspline`: what is installed, how fast it is here, how exact."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.metadata import version
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import config
from numpy.typing import NDArray

import fastspline
from fastspline._kernels.tables import first_bad_knot
from fastspline._kernels.vector import LANES
from fastspline._threads import cut, default_threads, run_blocks, usable_cpus
from fastspline.jit import CACHE, INTERPRETED

Vector = NDArray[np.float64]

SECONDS = 0.7  # of a race: five take less than five seconds
LEAST_ROUNDS, CALLS_A_TURN = 3, 5
EXACT = 1e-12  # of max |values|
SINGLE_ULPS = 4.0  # of float32
IMAGE = 150_528  # values of a 224 x 224 colour image


class Row(NamedTuple):
    """One line of the accuracy table: errors relative to max |values|, in float32 in its ulps."""

    lam: float
    solver: str
    double: float
    single_ulps: float
    scipys: float

    @property
    def passes(self) -> bool:
        """Whether both errors are within what the library promises; not if one is NaN."""
        return self.double <= EXACT and self.single_ulps <= SINGLE_ULPS


def main(arguments: Sequence[str] | None = None) -> int:
    """Print versions, races and errors on this machine; a quarter of a minute where it compiles.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the program, ``--compile`` or none.

    Returns
    -------
    int
        Exit code: 0 if all results are as exact as promised, else 1. Bad options, a numba that is
        switched off, and no folder to keep kernels in, end the program with 2.
    """
    parser = argparse.ArgumentParser(
        prog="python -m fastspline",
        description="Print versions, and check speed and exactness on this machine: 5 s, or 15 s "
        "where it compiles first.",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile all kernels into numba's cache, for an image or a read-only installation: "
        "a minute or two; check nothing",
    )
    options = parser.parse_args(arguments)
    if INTERPRETED:
        parser.error("numba is switched off; unset NUMBA_DISABLE_JIT")
    if options.compile:
        if CACHE is None:
            parser.error("numba finds no folder to write to; set NUMBA_CACHE_DIR to one")
        return compile_kernels()
    print_installation()
    start = time.perf_counter()
    rows = check_all()  # first, for it compiles what the races use
    print(
        f"  {'first calls':<12}{time.perf_counter() - start:.1f} s, most of it where they compile"
    )
    print_races()
    print_errors(rows)
    return 0 if all(row.passes for row in rows) else 1


def compile_kernels() -> int:
    """Fill numba's cache, and tell where it is."""
    from fastspline._first_calls import compile_all

    start = time.perf_counter()
    compile_all()
    print(f"first calls: {time.perf_counter() - start:.0f} s")
    print(f"numba's cache: {config.CACHE_DIR or CACHE}")  # type: ignore[attr-defined]
    return 0


def print_installation() -> None:
    """Print what is installed, and what it found on this machine."""
    import llvmlite.binding

    cpu = config.CPU_NAME or llvmlite.binding.get_host_cpu_name()  # type: ignore[attr-defined]
    versions = ", ".join(f"{name} {version(name)}" for name in ("numba", "numpy", "scipy"))
    usable = f"{usable_cpus()} of {os.cpu_count()} processors may be used"
    folder = first_bad_knot.stats.cache_path
    print(f"fastspline {fastspline.__version__}")
    for name, text in (
        ("with", f"{versions}, Python {platform.python_version()}"),
        ("CPU", f"{cpu}: {LANES} columns at a time"),
        ("threads", f"{default_threads()} ({usable})"),
        ("cache", folder or "none: no folder can be written to, set NUMBA_CACHE_DIR"),
    ):
        print(f"  {name:<12}{text}")


def print_races() -> None:
    """Print how long common tasks take here, beside scipy and a copy of the same memory."""
    print("\nSpeed: least times, taken in turn")
    print(f"  {'':<46}{'ours':>10}{'scipy':>10}{'ratio':>10}")
    from scipy import interpolate

    rng = np.random.default_rng(0)
    x, lam = np.linspace(0.0, 1.0, 100), 1e-6
    points, values = np.linspace(0.0, 1.0, 100), rng.standard_normal((100, 10))
    operator = fastspline.Smoother(x, lam=lam).operator(points)
    column = values[:, 0].copy()
    long = np.linspace(0.0, 1.0, 1000)
    noisy = np.sin(9.0 * long) + 0.1 * rng.standard_normal(1000)
    for task, ours, scipys in (
        (
            "100 knots to 100 points, 10 columns",
            lambda: operator(values),
            lambda: interpolate.make_smoothing_spline(x, values, lam=lam)(points),
        ),
        (
            "  the same with a new plan",
            lambda: fastspline.Smoother(x, lam=lam).operator(points)(values),
            lambda: interpolate.make_smoothing_spline(x, values, lam=lam)(points),
        ),
        (
            "make_smoothing_spline, 100 points",
            lambda: fastspline.make_smoothing_spline(x, column, lam=lam),
            lambda: interpolate.make_smoothing_spline(x, column, lam=lam),
        ),
        (
            "make_smoothing_spline, 1000 points, by GCV",
            lambda: fastspline.make_smoothing_spline(long, noisy),
            lambda: interpolate.make_smoothing_spline(long, noisy),
        ),
    ):
        mine, others = race(ours, scipys)
        ratio = f"{others / mine:.0f} x"
        print(f"  {task:<46}{write_time(mine):>10}{write_time(others):>10}{ratio:>10}")
    image = rng.standard_normal((20, IMAGE), dtype=np.float32)
    encoder = fastspline.Smoother(np.linspace(0.0, 1.0, 20), lam=lam).operator(points)
    into = encoder(image)
    mine, copied = race(lambda: encoder(image, out=into), make_copy(image.nbytes + into.nbytes))
    print(f"  {'':<46}{'ours':>10}{'copy':>10}{'share':>10}")
    task = "20 knots to 100 points, an image a knot"
    share = f"{100 * copied / mine:.0f} %"
    print(f"  {task:<46}{write_time(mine):>10}{write_time(copied):>10}{share:>10}")


def print_errors(rows: list[Row]) -> None:
    """Print errors and whether they are as small as promised."""
    print("\nErrors: against rational arithmetic, relative to the largest value")
    print(f"  {'lam':<10}{'solver':<16}{'float64':>10}{'float32':>14}{'scipy':>12}")
    for row in rows:
        single = f"{row.single_ulps:.2f} ulps"
        print(
            f"  {row.lam:<10g}{row.solver:<16}{row.double:>10.0e}{single:>14}"
            f"{row.scipys:>12.0e}{'' if row.passes else '   FAILED'}"
        )
    if all(row.passes for row in rows):
        print(f"\nOK: within {EXACT:.0e}, and {SINGLE_ULPS:g} ulps of float32")
    else:
        print(
            f"\nFAILED: an error exceeds {EXACT:.0e}, or {SINGLE_ULPS:g} ulps of float32; please "
            "report\nthis page. Stale kernels? Delete the cache folder and try again"
        )


def race(ours: Callable[[], object], rival: Callable[[], object]) -> tuple[float, float]:
    """Give the least time of each in seconds, taking turns."""
    least, rounds, end = [np.inf, np.inf], 0, time.perf_counter() + SECONDS
    while rounds < LEAST_ROUNDS or time.perf_counter() < end:
        rounds += 1
        for i, run in enumerate((ours, rival)):
            for _ in range(CALLS_A_TURN if least[i] < 0.1 * SECONDS else 1):
                start = time.perf_counter()
                run()
                least[i] = min(least[i], time.perf_counter() - start)
    return least[0], least[1]


def make_copy(n_bytes: int) -> Callable[[], object]:
    """Make the copy that reads and writes `n_bytes` in all, by as many threads as we use."""
    source = np.ones(n_bytes // 2, np.uint8)
    into = source.copy()
    threads = default_threads()
    pieces = cut(source.size, -(-source.size // threads))

    def copy_piece(first: int, stop: int) -> int:
        np.copyto(into[first:stop], source[first:stop])
        return -1

    return lambda: run_blocks(copy_piece, pieces, threads)


def write_time(seconds: float) -> str:
    """Write a time with its unit and three digits."""
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1.0:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def check_all() -> list[Row]:
    """Measure the errors of both solvers; enough columns for all threads and lanes, and a rest."""
    rng = np.random.default_rng(0)
    knots = np.cumsum(0.5 + rng.random(20))
    values = rng.choice([-1.0, 1.0], (20, 3))
    points = np.concatenate([knots, (knots[1:] + knots[:-1]) / 2])
    columns = np.arange(20_001) % values.shape[1]
    return [check(knots, values, points, columns, lam) for lam in (0.0, 1.0, 1e4, 1e8, 1e12)]


def check(
    knots: Vector, values: Vector, points: Vector, columns: NDArray[np.int64], lam: float
) -> Row:
    """Measure the errors at one lam, of ``values[:, columns]`` at knots and between them."""
    from scipy import interpolate

    expected = smooth_exactly(knots, values, lam)
    plan = fastspline.Smoother(knots, lam=lam)
    double = plan.operator(points)(values[:, columns])
    single = plan.operator(points)(values[:, columns].astype(np.float32))
    scipys = interpolate.make_smoothing_spline(knots, values, lam=lam)(points)
    size = np.abs(expected).max(initial=1.0)
    errors = [
        float(np.abs(double - expected[:, columns]).max() / size),
        float(np.abs(single - expected[:, columns]).max() / size / np.finfo(np.float32).eps),
        float(np.abs(scipys - expected).max() / size),
    ]
    return Row(lam, plan.solver, *errors)


def smooth_exactly(knots: Vector, values: Vector, lam: float) -> Vector:
    """Give the spline at the knots and in the middle of the gaps, in rational arithmetic.

    Solves ``(R + lam Q^T Q) gamma = Q^T y`` for the second derivatives gamma; the values are
    ``y - lam Q gamma`` (P. J. Green and B. W. Silverman, "Nonparametric Regression and Generalized
    Linear Models" (1994), equations 2.4 and 2.5).
    """
    x, factor, zero = [Fraction(knot) for knot in knots.tolist()], Fraction(lam), Fraction(0)
    h = [b - a for a, b in pairwise(x)]
    n = len(x)
    q = [[zero] * (n - 2) for _ in range(n)]
    r = [[zero] * (n - 2) for _ in range(n - 2)]
    for j in range(n - 2):
        q[j][j], q[j + 1][j], q[j + 2][j] = 1 / h[j], -1 / h[j] - 1 / h[j + 1], 1 / h[j + 1]
        r[j][j] = (h[j] + h[j + 1]) / 3
        if j < n - 3:
            r[j][j + 1] = r[j + 1][j] = h[j + 1] / 6
    y = np.array([[Fraction(value) for value in row] for row in values.tolist()], dtype=object)
    second_differences, system = np.array(q, dtype=object), np.array(r, dtype=object)
    system = system + factor * (second_differences.T @ second_differences)
    gamma = eliminate(system, second_differences.T @ y)
    g = y - factor * (second_differences @ gamma)
    edge = np.full((1, y.shape[1]), zero)
    ends = np.concatenate([edge, gamma, edge])
    squares = np.array(h, dtype=object)[:, np.newaxis] ** 2
    middle = (g[1:] + g[:-1]) / 2 - squares * (ends[1:] + ends[:-1]) / 16
    return np.concatenate([g, middle]).astype(np.float64)


def eliminate(system: NDArray[np.object_], right: NDArray[np.object_]) -> NDArray[np.object_]:
    """Solve a pentadiagonal system whose pivots are not 0."""
    a, b = system.copy(), right.copy()
    n = len(a)
    for i in range(n):
        for k in range(i + 1, min(i + 3, n)):
            ratio = a[k, i] / a[i, i]
            a[k, i : i + 3] = a[k, i : i + 3] - ratio * a[i, i : i + 3]
            b[k] = b[k] - ratio * b[i]
    for i in reversed(range(n)):
        for k in range(i + 1, min(i + 3, n)):
            b[i] = b[i] - a[i, k] * b[k]
        b[i] = b[i] / a[i, i]
    return b


if __name__ == "__main__":
    sys.exit(main())
