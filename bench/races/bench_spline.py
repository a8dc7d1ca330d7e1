"""Splines against scipy, the precomputed dense operator by BLAS, and a copy of the same bytes."""

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import interpolate

from bench.races import reference
from bench.races.race import Competitor, copy, error_against
from fastspline import Smoother, SplineStream, make_smoothing_spline

TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
SCIPY_COLUMNS = 3000  # beyond, scipy takes more time a column, so that scaling flatters it
IMAGE = 3 * 224 * 224
RANGE = 30.0  # scipy's search for lam depends on units: with others it ends elsewhere or fails

by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
by_threads = pytest.mark.parametrize("threads", [1, 2])
encode_and_decode = pytest.mark.parametrize(("n", "m"), [(20, 100), (100, 20)])


class Task:
    """Equidistant knots and points, normal values, and lam a multiple of cubed gaps.

    With `of` only n of so many knots are there, drawn at random.
    """

    def __init__(self, n, m, columns, dtype, *, gaps_cubed=1.0, of=None):
        there = np.sort(np.random.default_rng(0).choice(of or n, n, replace=False))
        self.knots = np.linspace(0.0, 1.0, of or n)[there]
        self.points = np.linspace(0.0, 1.0, m)
        self.lam = gaps_cubed / ((of or n) - 1) ** 3
        self.values = np.random.default_rng(0).standard_normal((n, columns), dtype)
        self.moved = (n + m) * columns * self.values.itemsize
        self.shape, self.dtype = f"({n:,} -> {m:,}) x {columns:,}", np.dtype(dtype).name

    def operator(self):
        return Smoother(self.knots, lam=self.lam).operator(self.points)

    def empty_result(self):
        return np.empty((self.points.size, self.values.shape[1]), self.dtype)

    def error(self):
        """Against the reference, at up to 20 columns from either end."""
        columns = self.values.shape[1]
        sample = np.unique(np.r_[: min(20, columns), max(0, columns - 20) : columns])
        some = self.values[:, sample]
        expected = reference.smooth(self.knots, some, self.points, lam=self.lam)
        return error_against(expected, sample)

    def judged(self):
        """What a race takes of the task: how results are judged, and what tables tell."""
        return {
            "error": self.error(),
            "tolerance": TOLERANCE[self.dtype],
            "shape": self.shape,
            "dtype": self.dtype,
        }

    def pulled_error(self, cotangent):
        """Against the reference's matrix, transposed, at the first 20 columns."""
        matrix = reference.smooth(self.knots, np.eye(self.knots.size), self.points, lam=self.lam)
        some = cotangent[:, :20].astype(matrix.dtype)
        return error_against(matrix.T @ some, np.arange(some.shape[1]))

    def scipy(self, *, most_columns=None):
        columns = self.values.shape[1]
        values = np.ascontiguousarray(self.values[:, :most_columns])
        scale = columns / values.shape[1]
        return Competitor(
            lambda: interpolate.make_smoothing_spline(self.knots, values, lam=self.lam)(
                self.points
            ),
            scale=scale,
            note="" if scale == 1 else f"scipy: timed on {most_columns:,} columns, scaled linearly",
        )

    def dense(self, *, fresh=False):
        matrix = self.operator().dense().astype(self.dtype)
        out = None if fresh else self.empty_result()
        return Competitor(lambda: np.matmul(matrix, self.values, out=out))


@pytest.mark.benchmark(group="small")
@encode_and_decode
def test_small_call(race, n, m):
    task = Task(n, m, 10, "float64")
    operator = task.operator()
    race(
        "call an operator",
        lambda: operator(task.values),
        {"scipy": task.scipy(), "dense x BLAS": task.dense(), "copy": copy(task.moved)},
        **task.judged(),
    )


@pytest.mark.benchmark(group="small")
@pytest.mark.parametrize("columns", [1, 4, 16, 100])
@pytest.mark.parametrize(("n", "m"), [(20, 100), (100, 20), (100, 100), (5, 10)])
def test_crossover(race, n, m, columns):
    """Where the dense operator, known beforehand, is ahead of a call."""
    task = Task(n, m, columns, "float64")
    operator = task.operator()
    race(
        "call an operator, few columns",
        lambda: operator(task.values),
        {"dense x BLAS": task.dense(fresh=True)},
        **task.judged(),
    )


@pytest.mark.benchmark(group="small")
def test_plan_and_call(race):
    task = Task(100, 20, 10, "float64")
    race(
        "plan, operator and call",
        lambda: Smoother(task.knots, lam=task.lam).operator(task.points)(task.values),
        {"scipy": task.scipy()},
        **task.judged(),
    )


@pytest.mark.benchmark(group="small")
def test_one_column_with_lam(race):
    task = Task(100, 100, 1, "float64")
    x, y, lam = task.knots, task.values[:, 0], task.lam
    error = task.error()
    race(
        "`make_smoothing_spline`, lam given",
        lambda: make_smoothing_spline(x, y, lam=lam),
        {"scipy": Competitor(lambda: interpolate.make_smoothing_spline(x, y, lam=lam))},
        error=lambda spline: error(spline(x)),
        tolerance=TOLERANCE[task.dtype],
        shape="100 x 1",
        dtype=task.dtype,
    )


@pytest.mark.benchmark(group="small")
@pytest.mark.parametrize("n", [100, 1000, 10_000])
def test_one_column_by_gcv(race, n):
    x = np.linspace(0.0, RANGE, n)
    y = np.sin(9.0 * x / RANGE) + 0.1 * np.random.default_rng(0).standard_normal(n)
    best = reference.best_lam(x, y)
    error = error_against(reference.smooth(x, y[:, np.newaxis], x, lam=best))
    race(
        "`make_smoothing_spline`, lam by GCV",
        lambda: make_smoothing_spline(x, y),
        {"scipy": Competitor(lambda: interpolate.make_smoothing_spline(x, y))},
        error=lambda spline: error(spline(x)),
        tolerance=1e-6,  # the reference's lam, where its scores lose digits
        shape=f"{n} x 1",
        dtype="float64",
    )


def race_columns(race, case, task, threads, *, scipy_columns, out="earlier result"):
    """Race an operator on many columns, written to `out`.

    An earlier result begins at a cache line, which streamed stores need; an array of numpy seldom
    does.
    """
    operator = task.operator()
    into = {
        "earlier result": lambda: operator(task.values),
        "numpy's array": task.empty_result,
        "new array": lambda: None,
    }[out]()
    fresh = into is None
    if not fresh:
        into.fill(np.nan)  # so that an entry that is not written is seen
    race(
        f"{case}, into {out}",
        lambda: operator(task.values, out=into, threads=threads),
        {
            "scipy": task.scipy(most_columns=scipy_columns),
            "dense x BLAS": task.dense(fresh=fresh),
            "copy": copy(task.moved, threads=threads, fresh=fresh),
        },
        **task.judged(),
        threads=threads,
    )


@pytest.mark.benchmark(group="images")
@by_threads
@by_dtype
@encode_and_decode
def test_image(race, n, m, dtype, threads):
    task = Task(n, m, IMAGE, dtype)
    race_columns(race, "image", task, threads, scipy_columns=SCIPY_COLUMNS)


@pytest.mark.benchmark(group="images")
@by_dtype
@pytest.mark.parametrize(("n", "m", "of"), [(40, 20, 100), (60, 100, 60)])
def test_image_of_some_workers(race, n, m, of, dtype):
    task = Task(n, m, IMAGE, dtype, of=of)
    case = "image" if n == of else f"image, from {n} of {of}"
    race_columns(race, case, task, 2, scipy_columns=SCIPY_COLUMNS)


@pytest.mark.benchmark(group="images")
@by_dtype
@encode_and_decode
def test_image_into_a_new_array(race, n, m, dtype):
    task = Task(n, m, IMAGE, dtype)
    race_columns(race, "image", task, 2, scipy_columns=SCIPY_COLUMNS, out="new array")


@pytest.mark.benchmark(group="images")
@by_dtype
@encode_and_decode
def test_image_of_an_odd_size(race, n, m, dtype):
    task = Task(n, m, IMAGE - 1, dtype)
    race_columns(race, "odd size", task, 2, scipy_columns=SCIPY_COLUMNS, out="numpy's array")


@pytest.mark.benchmark(group="images")
@by_dtype
@pytest.mark.parametrize(("n", "m"), [(100, 100), (400, 20), (1000, 20)])
def test_some_megabytes(race, n, m, dtype):
    """Too much for the second-level cache, and little for two threads."""
    columns = 8_000_000 // ((n + m) * np.dtype(dtype).itemsize)
    task = Task(n, m, columns, dtype)
    race_columns(race, "8 MB", task, 2, scipy_columns=SCIPY_COLUMNS, out="numpy's array")


def places(kind, n):
    """Knots in [-1, 1], as users have them."""
    rng = np.random.default_rng(0)
    if kind == "random":
        return np.sort(rng.uniform(-1.0, 1.0, n))
    if kind == "clustered":
        centres = rng.uniform(-1.0, 1.0, max(n // 10, 2))
        return np.sort(rng.choice(centres, n) + rng.normal(scale=1e-3, size=n))
    return {
        "equidistant": np.linspace(-1.0, 1.0, n),
        "Chebyshev 1": -np.cos((2 * np.arange(n) + 1) * np.pi / (2 * n)),
        "Chebyshev 2": -np.cos(np.arange(n) * np.pi / (n - 1)),
    }[kind]


@pytest.mark.benchmark(group="plans")
@by_dtype
@encode_and_decode
@pytest.mark.parametrize("lam", [0.0, 1e-8, 1e-4, 1.0])
@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("equidistant", "equidistant"),
        ("Chebyshev 1", "Chebyshev 2"),
        ("Chebyshev 2", "Chebyshev 1"),
        ("random", "equidistant"),
        ("clustered", "equidistant"),
    ],
)
def test_every_plan(race, kind, other, lam, n, m, dtype):
    """New arrays on both sides; the published code's points are Chebyshev's."""
    task = Task(n, m, 40_000, dtype)
    task.knots, task.points, task.lam = places(kind, n), places(other, m), lam
    plan = Smoother(task.knots, lam=lam)
    operator = plan.operator(task.points)
    race(
        f"{kind} knots, lam {lam:g}, {plan.solver}",
        lambda: operator(task.values),
        {"dense x BLAS": task.dense(fresh=True), "copy": copy(task.moved, threads=2, fresh=True)},
        **task.judged() | {"tolerance": 5 * TOLERANCE[dtype]},  # clusters amplify rounding
        threads=2,
    )


def race_adjoint(race, case, task, threads=None):
    """Race the transpose beside the call, into earlier results where threads are given."""
    operator = task.operator()
    matrix = np.ascontiguousarray(operator.dense().T.astype(task.dtype))
    cotangent = operator(task.values)
    pulled = result = product = None
    if threads is not None:
        pulled, result = operator.adjoint(cotangent), operator(task.values)
        product = np.empty_like(pulled)
        pulled.fill(np.nan)  # so that an entry that is not written is seen
    race(
        f"{case}, pulled back",
        lambda: operator.adjoint(cotangent, out=pulled, threads=threads),
        {
            "call": Competitor(
                lambda: operator(task.values, out=result, threads=threads), checked=False
            ),
            "dense x BLAS": Competitor(lambda: np.matmul(matrix, cotangent, out=product)),
            "copy": copy(task.moved, threads=threads or 1),
        },
        error=task.pulled_error(cotangent),
        tolerance=TOLERANCE[task.dtype],
        shape=f"({task.points.size:,} -> {task.knots.size:,}) x {cotangent.shape[1]:,}",
        dtype=task.dtype,
        threads=threads or 1,
    )


@pytest.mark.benchmark(group="small")
@encode_and_decode
def test_small_call_pulled_back(race, n, m):
    race_adjoint(race, "call an operator", Task(n, m, 10, "float64"))


@pytest.mark.benchmark(group="images")
@by_dtype
@encode_and_decode
def test_image_pulled_back(race, n, m, dtype):
    race_adjoint(race, "image", Task(n, m, IMAGE, dtype), 2)


@pytest.mark.benchmark(group="long")
@by_threads
@by_dtype
def test_many_knots(race, dtype, threads):
    task = Task(1000, 1000, 10_240, dtype)
    race_columns(race, "many knots", task, threads, scipy_columns=1000)


@pytest.mark.benchmark(group="long")
@pytest.mark.parametrize(("gaps_cubed", "solver"), [(1.0, "reinsch"), (1e6, "innovations")])
@pytest.mark.parametrize("case", ["plan, operator and call", "call an operator"])
def test_long_series(race, gaps_cubed, solver, case):
    task = Task(100_000, 100_000, 10, "float64", gaps_cubed=gaps_cubed)
    operator = task.operator()
    assert Smoother(task.knots, lam=task.lam).solver == solver
    ours = {
        "plan, operator and call": lambda: task.operator()(task.values),
        "call an operator": lambda: operator(task.values),
    }
    race(
        f"long series, {solver}: {case}",
        ours[case],
        {"scipy": task.scipy(), "copy": copy(task.moved, fresh=True)},
        error=task.error(),
        tolerance=2e-13,
        shape=task.shape,
        dtype=task.dtype,
    )


@pytest.mark.benchmark(group="long")
@pytest.mark.parametrize("n", [10_000, 100_000])
def test_append(race, n):
    """Each call appends one more knot, after any number of them; rivals fit n knots again."""
    task = Task(n, n, 1, "float64")
    x, y, lam = task.knots, task.values[:, 0], task.lam
    stream = SplineStream(lam=lam)
    stream.append(x[:-1], y[:-1])
    knots = itertools.chain([x[-1]], itertools.count(x[-1] + x[1], x[1]))
    numbers = itertools.cycle(np.roll(y, 1))  # constant ones would settle at once
    newest = 20
    expected = reference.smooth(x, task.values, x[-newest:], lam=lam)
    error = error_against(expected)
    race(
        "append one knot",
        lambda: stream.append(next(knots), next(numbers)),
        {
            "scipy": Competitor(lambda: interpolate.make_smoothing_spline(x, y, lam=lam)(x)),
            "full refit": Competitor(lambda: Smoother(x, lam=lam).fit(y).values),
        },
        error=lambda fitted: error(fitted[-newest:]),
        tolerance=TOLERANCE[task.dtype],
        shape=f"({n:,} knots) x 1",
        dtype=task.dtype,
    )


@pytest.mark.benchmark(group="long")
@pytest.mark.parametrize(
    ("n", "m", "columns", "what"),
    [(1_000_000, 1_000_000, 10, "knots"), (20, 20, 1_000_000, "columns")],
)
def test_growth(race, n, m, columns, what):
    """Ten times the work takes ten times the time."""
    task = Task(n, m, columns, "float64")
    tenth = (
        Task(n // 10, m // 10, columns, "float64")
        if what == "knots"
        else Task(n, m, columns // 10, "float64")
    )
    operator, of_tenth = task.operator(), tenth.operator()
    out, out_of_tenth = operator(task.values), of_tenth(tenth.values)
    race(
        f"growth: a million {what}",
        lambda: operator(task.values, out=out),
        {
            f"ten times a tenth of the {what}": Competitor(
                lambda: of_tenth(tenth.values, out=out_of_tenth), scale=10.0, checked=False
            ),
            "copy": copy(task.moved),
        },
        error=task.error(),
        tolerance=2e-13,
        shape=task.shape,
        dtype=task.dtype,
    )


@pytest.mark.benchmark(group="callers")
@pytest.mark.parametrize("callers", [2, 8])
def test_many_threads_call_at_once(race, callers):
    task = Task(100, 20, 20_000, "float32")
    operator = task.operator()
    results = [task.empty_result() for _ in range(16)]

    def call(result):
        return operator(task.values, out=result, threads=1)

    def in_turn():
        for result in results:
            call(result)

    error = task.error()
    with ThreadPoolExecutor(callers) as pool:
        race(
            f"16 calls from {callers} Python threads",
            lambda: list(pool.map(call, results)),
            {"the same calls in turn": Competitor(in_turn, checked=False)},
            error=lambda several: max(map(error, several)),
            tolerance=TOLERANCE[task.dtype],
            shape=task.shape,
            dtype=task.dtype,
            threads=2,
        )


FIRST_CALL = """
import numpy as np
x, s, y = np.linspace(0.0, 1.0, 20), np.linspace(0.0, 1.0, 100), np.ones((20, 10))
"""
OURS_FIRST = FIRST_CALL + "import fastspline; fastspline.Smoother(x, lam=1e-4).operator(s)(y)"
SCIPYS_FIRST = (
    FIRST_CALL
    + "from scipy.interpolate import make_smoothing_spline as fit; fit(x, y, lam=1e-4)(s)"
)
TEN_COLUMNS = {
    "error": float,
    "tolerance": 0.0,
    "shape": "(20 -> 100) x 10",
    "dtype": "float64",
}


def in_a_fresh_process(code, cache_dir):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache_dir)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled to bytecode
    return subprocess.run([sys.executable, "-c", code], env=environment, check=True).returncode


@pytest.mark.benchmark(group="first-use")
def test_first_call_ever(race, tmp_path_factory):
    race(
        "new process, first call ever: all is compiled",
        lambda: in_a_fresh_process(OURS_FIRST, tmp_path_factory.mktemp("empty")),
        {
            "scipy": Competitor(
                lambda: in_a_fresh_process(SCIPYS_FIRST, tmp_path_factory.getbasetemp())
            )
        },
        **TEN_COLUMNS,
    )


@pytest.mark.benchmark(group="first-use")
def test_first_call_of_a_process(race, tmp_path):
    in_a_fresh_process(OURS_FIRST, tmp_path)
    race(
        "new process, first call: compiled code from numba's cache",
        lambda: in_a_fresh_process(OURS_FIRST, tmp_path),
        {"scipy": Competitor(lambda: in_a_fresh_process(SCIPYS_FIRST, tmp_path))},
        **TEN_COLUMNS,
    )


@pytest.mark.benchmark(group="first-use")
def test_import(race, tmp_path):
    race(
        "new process, `import fastspline`",
        lambda: in_a_fresh_process("import fastspline", tmp_path),
        {"`import numba`": Competitor(lambda: in_a_fresh_process("import numba", tmp_path))},
        error=float,
        tolerance=0.0,
        shape="",
        dtype="",
    )
