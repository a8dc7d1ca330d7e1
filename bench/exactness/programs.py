"""Errors and times beside scipy, csaps, R and a P-spline. Needs R with mgcv."""

from __future__ import annotations

import math
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any, NamedTuple

import numpy as np
import threadpoolctl
from csaps import csaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.interpolate import make_smoothing_spline

from bench.documents import to_markdown
from bench.exactness.exact import PRECISION, Case, relative_error, relative_rms, smooth_exactly
from bench.experiments import main
from fastspline import Smoother, smooth_spline

R_SCRIPT = Path(__file__).with_suffix(".R")
LEAST_SECONDS = 0.05  # calls of a round take about so long
ROUNDS = 7
DRAWS = 20

Array = NDArray[np.float64]
Numbers = dict[str, Any]


class Problem(NamedTuple):
    """Knots (n,), weights (n,) or None, values (n, columns), points (m,), and lam; None: GCV."""

    knots: Array
    weights: Array | None
    values: Array
    points: Array
    lam: float | None


Program = Callable[[Problem], Array]
Exact = Sequence[Any]
Measure = Callable[[Array, Exact], float]


def fit_ours(problem: Problem) -> Array:
    """Fit and evaluate at the points, as the next two do."""
    x, w, y, points, lam = problem
    if lam is None:
        return np.asarray(smooth_spline(x, y, weights=w)(points))
    return np.asarray(Smoother(x, lam=lam, weights=w).operator(points)(y, threads=1))


def fit_scipy(problem: Problem) -> Array:
    x, w, y, points, lam = problem
    return np.asarray(make_smoothing_spline(x, y, w=w, lam=lam)(points))


def fit_csaps(problem: Problem) -> Array:
    x, w, y, points, lam = problem
    assert lam is not None
    return np.transpose(csaps(x, y.T, points, weights=w, smooth=1.0 / (1.0 + lam)))


PYTHON_PROGRAMS: Mapping[str, Program] = {
    "ours": fit_ours,
    "scipy": fit_scipy,
    "csaps": fit_csaps,
}
R_PROGRAMS = ("R", "P-spline")
PROGRAMS = (*PYTHON_PROGRAMS, *R_PROGRAMS)
MEASURES: Mapping[str, Measure] = {"P-spline": relative_rms}  # the others' is relative_error
REFUSALS = (ValueError, RuntimeError, np.linalg.LinAlgError)


class R:
    """An R process that fits problems; see programs.R."""

    def __init__(self, folder: Path) -> None:
        rscript = which("Rscript")
        if rscript is None:
            raise FileNotFoundError(
                "there is no Rscript on the path; install R with its recommended packages (mgcv)"
            )
        self._folder = folder
        self._process = subprocess.Popen(
            [rscript, str(R_SCRIPT), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = self._read().split()
        self.versions = dict(zip(("r", "mgcv"), said, strict=True))

    def __enter__(self) -> R:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def write(self, name: str, problem: Problem) -> None:
        """Give R a problem to be known by `name`."""
        x, w, y, points, lam = problem
        head = [x.size, y.shape[1], points.size, -1.0 if lam is None else lam]
        weights = np.ones(x.size) if w is None else w
        np.concatenate([head, x, weights, y.T.ravel(), points]).tofile(self._folder / name)

    def fit(self, name: str, program: str) -> Array:
        """Give the fitted values (n,) of the first column.

        Raises
        ------
        RuntimeError
            With what R says, if it refuses.
        """
        said = self._ask("fit", name, program)
        if said != "ok":
            raise RuntimeError(said)
        return np.fromfile(self._folder / "fitted")

    def seconds(self, name: str, program: str, repeats: int) -> float:
        """Give the mean seconds of `repeats` fits with evaluation; refusals as in `fit`."""
        said = self._ask("time", name, program, str(repeats))
        try:
            return float(said)
        except ValueError:
            raise RuntimeError(said) from None

    def _ask(self, *words: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildProcessError(
                f"R ended with code {self._process.wait()}; see its message above"
            )
        return line.strip()


# Weights "one" or "6 decades".
CASES = (
    Case("uniform", 100, 1e-6),
    Case("uniform", 2000, 1e-12),
    Case("uniform", 2000, 1e-6),
    Case("uniform", 2000, 1.0),
    Case("uniform", 2000, 1e6),
    Case("uniform", 20000, 1.0),
    Case("Chebyshev", 100, 1e-6),
    Case("Chebyshev", 100, 1e6),
    Case("Chebyshev", 2000, 1.0),
    Case("random", 100, 1.0),
    Case("random", 2000, 1e-12),
    Case("random", 2000, 1e-6),
    Case("random", 2000, 1.0),
    Case("clustered", 100, 1e-6),
    Case("clustered", 2000, 1e-12),
    Case("clustered", 2000, 1.0),
    Case("uniform", 100, 1e-6, "6 decades"),
    Case("uniform", 2000, 1e-6, "6 decades"),
    Case("random", 2000, 1.0, "6 decades"),
)


FRONT = (
    Case("uniform", 2000, 1e-6),
    Case("uniform", 2000, 1.0),
    Case("random", 2000, 1.0),
    Case("clustered", 100, 1e-6),
)


def make_problem(case: Case) -> Problem:
    """Knots in [0, 1] ([-1, 1] for Chebyshev), a noisy sine, evaluated at the knots."""
    rng = np.random.default_rng(case.n)
    match case.knots:
        case "uniform":
            x = np.linspace(0.0, 1.0, case.n)
        case "Chebyshev":  # of the second kind: the ends are knots
            x = np.sort(np.cos(np.arange(case.n) * np.pi / (case.n - 1)))
        case "random":
            x = np.sort(rng.random(case.n))
        case "clustered":  # runs of five gaps, near 1 and near 1e-6 in turn
            is_short = np.arange(case.n - 1) // 5 % 2 == 0
            gaps = np.where(is_short, 1e-6, 1.0) * rng.uniform(0.5, 1.5, case.n - 1)
            x = np.concatenate([[0.0], gaps.cumsum()]) / gaps.sum()
        case kind:
            raise ValueError(f"no knots are called {kind!r}")
    w = None if case.weights == "one" else 10.0 ** rng.uniform(-3.0, 3.0, case.n)
    y = np.sin(6.0 * x) + 0.3 * rng.standard_normal(case.n)
    return Problem(x, w, y[:, np.newaxis], x, case.lam)


def measure_errors(case: Case, r: R | None) -> Numbers:
    """Give each program's error, or what it said; without `r` those of Python alone."""
    problem = make_problem(case)
    exact = smooth_exactly(
        problem.knots, problem.values[:, 0], lam=case.lam, weights=problem.weights
    )
    fits = {name: partial(program, problem) for name, program in PYTHON_PROGRAMS.items()}
    if r is not None:
        r.write("case", problem)
        fits |= {name: partial(r.fit, "case", name) for name in R_PROGRAMS}
    errors = {
        name: _judge(fit, MEASURES.get(name, relative_error), exact) for name, fit in fits.items()
    }
    return {**asdict(case), "errors": errors}


def _judge(fit: Callable[[], Array], measure_error: Measure, exact: Exact) -> float | str:
    """Give the error of a fit, "NaN", or "fails: " and the program's error or warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # whoever warns has not failed in silence
        try:
            fitted = fit().ravel()
        except (*REFUSALS, Warning) as error:
            return f"fails: {error}"
    if not np.isfinite(fitted).all():
        return "NaN"
    return float(f"{measure_error(fitted, exact):.3g}")


@dataclass(frozen=True)
class Task:
    """What is timed: n random knots, so many columns, evaluated between the knots.

    In units of the mean gap: with knots in [0, 1] scipy's GCV fails at n = 10,000.
    """

    n: int
    columns: int
    lam: float | None

    def problem(self) -> Problem:
        rng = np.random.default_rng(0)
        x = self.n * np.sort(rng.random(self.n))
        y = np.sin(6.0 * x / self.n)[:, np.newaxis] + 0.3 * rng.standard_normal(
            (self.n, self.columns)
        )
        return Problem(x, None, y, (x[1:] + x[:-1]) / 2, self.lam)


TASKS = (
    Task(1000, 1, 1e5),
    Task(10_000, 10, 1e8),
    Task(1000, 1, None),
    Task(10_000, 1, None),
)


def measure_seconds(task: Task, r: R, *, rounds: int = ROUNDS) -> Numbers:
    """Give the least seconds that each program took, all in turn, round after round."""
    problem = task.problem()
    r.write("task", problem)
    timers = {
        name: partial(_mean_seconds, program, problem)
        for name, program in PYTHON_PROGRAMS.items()
        if task.lam is not None or name != "csaps"  # it has no GCV
    }
    timers |= {name: partial(r.seconds, "task", name) for name in R_PROGRAMS}
    seconds: dict[str, float | str] = {}
    repeats = {}
    with threadpoolctl.threadpool_limits(1):
        for name, timer in timers.items():
            try:
                timer(1)  # compiles, loads
                repeats[name] = 1 + int(LEAST_SECONDS / timer(1))
                seconds[name] = math.inf
            except REFUSALS as error:
                seconds[name] = f"fails: {error}"
        for _ in range(rounds):
            for name, count in repeats.items():
                seconds[name] = min(seconds[name], float(f"{timers[name](count):.4g}"))
    return {**asdict(task), "seconds": seconds}


def _mean_seconds(program: Program, problem: Problem, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        program(problem)
    return (time.perf_counter() - start) / repeats


def measure_truth(r: R) -> Numbers:
    """Give the RMS distance from a known curve, smoothing spline and P-spline each by GCV."""
    n, noise = 1000, 0.3
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(n))
    truth = np.sin(6.0 * x) + np.exp(-800.0 * (x - 0.6) ** 2)
    misses: dict[str, list[float]] = {"ours": [], "P-spline": []}
    for _ in range(DRAWS):
        y = truth + noise * rng.standard_normal(n)
        problem = Problem(x, None, y[:, np.newaxis], x, None)
        r.write("draw", problem)
        for name, fitted in (
            ("ours", fit_ours(problem).ravel()),
            ("P-spline", r.fit("draw", "P-spline")),
        ):
            misses[name].append(float(np.sqrt(np.mean((fitted - truth) ** 2))))
    means = {name: round(float(np.mean(one)), 5) for name, one in misses.items()}
    return {"n": n, "noise": noise, **means}


def tell_front(numbers: Numbers) -> str:
    """Make the table of a few errors."""
    names = [name for name in PROGRAMS if name != "P-spline"]
    wanted = [f"{case.knots} {case.n} {case.lam:g}" for case in FRONT]
    rows = [
        [case["knots"], f"{case['n']:,}", f"{case['lam']:g}", *_cells(case, names)]
        for case in numbers["errors"]
        if f"{case['knots']} {case['n']} {case['lam']:g}" in wanted and case["weights"] == "one"
    ]
    caption = (
        "Largest error of the fitted values against 500-bit arithmetic, relative to the largest "
        "value. Clustered: neighbouring gaps differ by 1e6."
    )
    return f"{to_markdown(['knots', 'n', 'lam', *names], rows)}\n\n{caption}"


def tell_errors(numbers: Numbers) -> str:
    """Make the table of errors."""
    header = ["knots", "weights", "n", "lam", *PROGRAMS]
    rows = [
        [
            case["knots"],
            case["weights"],
            f"{case['n']:,}",
            f"{case['lam']:g}",
            *_cells(case, PROGRAMS),
        ]
        for case in numbers["errors"]
    ]
    truth = numbers["truth"]
    caption = (
        "Largest error of the fitted values, relative to the largest exact value; exact: in "
        f"{PRECISION}-bit arithmetic. Clustered: neighbouring gaps differ by 1e6. csaps at p = "
        "1 / (1 + lam), R with all.knots=TRUE at the lambda of this lam; at small lam its error is "
        f"its constant .333 for 1/3. fails (or warns): {_tell_failures(numbers)}. P-spline: mgcv, "
        "40 segments, second differences (Eilers and Marx), penalty lam / spacing³; it solves "
        "another problem, so its column is no error, but its RMS distance from the smoothing "
        "spline relative to the largest value. From a known "
        f"curve (n = {truth['n']:,}, {DRAWS} draws of noise {truth['noise']}), each by GCV, the "
        f"mean RMS distance is {truth['ours']:.4f} (ours) and {truth['P-spline']:.4f} (P-spline)."
    )
    return "\n".join([to_markdown(header, rows, words=2), "", caption])


def _cells(case: Numbers, names: Sequence[str]) -> list[str]:
    return [_tell_error(case["errors"][name]) for name in names]


def _tell_error(error: float | str) -> str:
    if isinstance(error, str):
        return error.partition(":")[0]
    return f"{error:.0e}" if error else "0"


def _tell_failures(numbers: Numbers) -> str:
    said = {
        f'{name} says "{error.removeprefix("fails: ")}"': None
        for case in numbers["errors"]
        for name, error in case["errors"].items()
        if isinstance(error, str) and error != "NaN"
    }
    return ", ".join(said) or "nobody here"


def tell_times(numbers: Numbers) -> str:
    """Make the table of times: the rival's over ours."""
    rivals = PROGRAMS[1:]
    header = ["fit and evaluate", "knots", "columns", *(f"{name} / ours" for name in rivals)]
    rows = [
        [
            "lam by GCV" if task["lam"] is None else "lam given",
            f"{task['n']:,}",
            str(task["columns"]),
            *(_tell_ratio(task["seconds"], name) for name in rivals),
        ]
        for task in numbers["times"]
    ]
    caption = (
        "Plan, fit and evaluation between n random knots, in units of their mean gap; one thread. "
        "R and mgcv are timed inside R and take column after column. csaps has no GCV."
    )
    return "\n".join([to_markdown(header, rows), "", caption])


def _tell_ratio(seconds: Mapping[str, Any], name: str) -> str:
    if name not in seconds:
        return "-"
    if isinstance(seconds[name], str):
        return "fails"
    ratio = seconds[name] / seconds["ours"]
    return f"{ratio:,.{2 if ratio < 1 else int(ratio < 10)}f}"


def run(*, quick: bool) -> Numbers:
    """Measure everything.

    Raises
    ------
    FileNotFoundError
        If R is missing.
    """
    cases, tasks = (CASES[:1], TASKS[:1]) if quick else (CASES, TASKS)
    with tempfile.TemporaryDirectory() as name, R(Path(name)) as r:
        return {
            "errors": [measure_errors(case, r) for case in cases],
            "times": [measure_seconds(task, r) for task in tasks],
            "truth": measure_truth(r),
            "versions": r.versions,
        }


def tables(numbers: Numbers) -> dict[str, str]:
    """Make both tables, and four rows of the first for the front page."""
    return {
        "errors": tell_errors(numbers),
        "errors-front": tell_front(numbers),
        "programs": tell_times(numbers),
    }


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (one interface for all)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("programs")
