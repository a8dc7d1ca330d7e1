"""Beside R, mgcv, pyGAM, scipy and csaps: curves, bands and times on the same series.

Needs R with mgcv, and pyGAM, which may be in another environment (it holds scipy back): then
PYGAM_PYTHON names its Python.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.documents import to_markdown
from bench.experiments import main
from bench.figure import true_curve
from bench.neighbours.worker import QUANTITIES, Problem
from fastspline import smooth_spline

HERE = Path(__file__).parent
KNOTS, COLUMNS, NOISE = 200, 1000, 0.2
ROUNDS = 5
LEAST_TO_LARGEST = (0.0, 0.5, 1.0)  # the quantiles of ratios that are told

Array = NDArray[np.float64]
Numbers = dict[str, Any]


def make_problem(columns: int) -> Problem:
    """Make a pulse on a slow wave with noise, as the picture of a fit has it, and many of them."""
    x = np.linspace(0.0, 60.0, KNOTS)
    noise = NOISE * np.random.default_rng(1).standard_normal((columns, KNOTS)).T
    y = true_curve(x)[:, np.newaxis] + noise
    points = np.linspace(0.0, 60.0, 2 * KNOTS - 1)
    return Problem(x, y, points, float(smooth_spline(x, y[:, 0], lam="gcv-plain").lam))


@dataclass(frozen=True)
class Fit:
    """A call that is shown: the worker's name for it, who and how, and whose curve is beside it."""

    program: str
    title: str
    beside: str


FITS = (
    Fit("scipy", "scipy, `make_smoothing_spline(x, y, lam=lam)`", "ours"),
    Fit("csaps", "csaps, `smooth=1 / (1 + lam)`", "ours"),
    Fit("R", "R, `smooth.spline(lambda = , all.knots = TRUE)`", "ours"),
    Fit("mgcv", 'mgcv, `s(x, bs = "cr", k = n)`, `sp = lam`', "ours"),
    Fit("scipy-gcv", "scipy, lam by GCV", "ours-gcv"),
    Fit("csaps-auto", "csaps, automatic", "ours-gcv"),
    Fit("R-gcv", "R, `smooth.spline(x, y)`", "ours-gcv"),
    Fit("mgcv-gcv", 'mgcv, `s(x, bs = "cr", k = 40)`, by GCV', "ours-gcv"),
    Fit("mgcv-reml", 'mgcv, `s(x, bs = "cr")`, by REML', "ours-gcv"),
    Fit("pygam", "pyGAM, `LinearGAM(s(0)).gridsearch(x, y)`", "ours-gcv"),
)


@dataclass(frozen=True)
class Rival:
    """Who is timed: name, what it does, on how many columns, one after the other, and who of ours.

    Ours is beside it with the band, or without where it has none.
    """

    program: str
    title: str
    columns: int
    beside: str = "ours"


RIVALS = (
    Rival("R", "R, `smooth.spline`, its fewer knots, without a band", 200, "ours-curve"),
    Rival("R-all", "R, `smooth.spline(all.knots = TRUE)`, without a band", 200, "ours-curve"),
    Rival("mgcv", 'mgcv, `s(x, bs = "cr")`: 10 knots', 50),
    Rival("mgcv-40", 'mgcv, `s(x, bs = "cr", k = 40)`', 50),
    Rival("pygam", "pyGAM, `gridsearch`: 20 splines, 11 lam", 20),
    Rival("scipy", "scipy, `make_smoothing_spline`, without a band", 5, "ours-curve"),
)


OURS = {"ours": "ours", "ours-curve": "ours, without a band"}


class Worker:
    """A process that fits with other programs; see worker.py."""

    def __init__(self, command: Sequence[str], folder: Path, threads: int | None) -> None:
        environment = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
            environment.pop(name, None)
            if threads is not None:
                environment[name] = str(threads)
        self._process = subprocess.Popen(
            [*command, str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._folder = folder

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, *words: str) -> str:
        """Give the answer to a command.

        Raises
        ------
        ChildProcessError
            If the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ChildProcessError(f"{self._process.args} ended; see its message above")
        return line.strip()

    def show(self, program: str) -> dict[str, Array] | str:
        """Give what a program finds, None for what it has not, or what it says instead."""
        said = self.ask("show", program)
        if said != "ok":
            return said
        rows = np.fromfile(self._folder / "shown").reshape(len(QUANTITIES), -1)
        return dict(zip(QUANTITIES, rows, strict=True))

    def seconds(self, program: str, columns: int) -> float:
        """Give the seconds that so many columns take.

        Raises
        ------
        RuntimeError
            With what the program says, if it fails.
        """
        said = self.ask("time", program, str(columns))
        try:
            return float(said)
        except ValueError:
            raise RuntimeError(f"{program}: {said}") from None


def commands_of_python() -> dict[str, list[str]]:
    """Give what starts the workers that are Python."""
    script = str(HERE / "worker.py")
    others = os.environ.get("PYGAM_PYTHON", sys.executable)
    return {"ours": [sys.executable, script], "pygam": [others, script]}


def commands() -> dict[str, list[str]]:
    """Give what starts each kind of worker.

    Raises
    ------
    FileNotFoundError
        If R is missing.
    """
    rscript = which("Rscript")
    if rscript is None:
        raise FileNotFoundError(
            "there is no Rscript on the path; install R with its recommended packages (mgcv)"
        )
    return commands_of_python() | {"R": [rscript, str(HERE / "worker.R")]}


def kind_of(program: str) -> str:
    """Tell in which worker a program runs."""
    if program == "pygam":
        return "pygam"
    return "R" if program.partition("-")[0] in ("R", "mgcv") else "ours"


class Workers:
    """One worker of each kind, with so many threads, or as many as they take."""

    def __init__(self, folder: Path, threads: int | None) -> None:
        self._all = {kind: Worker(words, folder, threads) for kind, words in commands().items()}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._all.values():
            worker.__exit__()

    def of(self, program: str) -> Worker:
        """Give the worker of a program."""
        return self._all[kind_of(program)]


def measure_fits(workers: Workers, problem: Problem) -> list[Numbers]:
    """Give how far each curve and band is from ours at the same lam, or both by GCV."""
    truth = true_curve(problem.points)
    ours = {name: workers.of(name).show(name) for name in ("ours", "ours-gcv")}
    rows: list[Numbers] = [{"title": "ours, lam by GCV", "truth": _rms(ours["ours-gcv"], truth)}]
    for fit in FITS:
        found = workers.of(fit.program).show(fit.program)
        row: Numbers = {"title": fit.title, "beside": fit.beside}
        if isinstance(found, str):
            rows.append(row | {"fails": found})
            continue
        base = ours[fit.beside]
        for name in QUANTITIES[:2]:
            row[name] = _rounded(abs(found[name] - base[name]).max() / abs(base[name]).max())
        for name in QUANTITIES[2:]:
            row[name] = [
                _rounded(one) for one in np.quantile(found[name] / base[name], LEAST_TO_LARGEST)
            ]
        rows.append(row | {"truth": _rms(found, truth)})
    return rows


def _rms(found: Mapping[str, Array], truth: Array) -> float | None:
    return _rounded(np.sqrt(np.mean((found["curve"] - truth) ** 2)))


def _rounded(number: float) -> float | None:
    return float(f"{number:.4g}") if np.isfinite(number) else None


def measure_seconds(workers: Workers, rounds: int, columns: int) -> Numbers:
    """Give the least seconds of a column, of all in turn, round after round."""
    counts = dict.fromkeys(OURS, columns) | {
        one.program: min(one.columns, columns) for one in RIVALS
    }
    best = dict.fromkeys(counts, math.inf)
    for program in counts:
        workers.of(program).seconds(program, 1)  # compiles, loads
    for _ in range(rounds):
        for program, count in counts.items():
            spent = workers.of(program).seconds(program, count) / count
            best[program] = min(best[program], float(f"{spent:.4g}"))
    return best


def run(*, quick: bool) -> Numbers:
    """Measure everything.

    Raises
    ------
    FileNotFoundError
        If R is missing.
    """
    commands()  # before anything is measured
    columns, rounds = (20, 1) if quick else (COLUMNS, ROUNDS)
    problem = make_problem(columns)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        problem.write(folder / "problem")
        with Workers(folder, 1) as workers:
            fits = measure_fits(workers, problem)
            times = {"one thread": measure_seconds(workers, rounds, columns)}
            versions = {
                program: workers.of(kind).ask("version", program)
                for program, kind in (("pygam", "pygam"), ("R", "R"), ("mgcv", "R"))
            }
        with Workers(folder, None) as workers:
            times["as it comes"] = measure_seconds(workers, rounds, columns)
    return {"fits": fits, "times": times, "columns": columns, "versions": versions}


def tell_fits(numbers: Numbers) -> str:
    """Make the table of curves and bands."""
    header = ["call", *QUANTITIES, "from the truth"]
    rows = []
    for one in numbers["fits"]:
        cells = [_tell_distance(one.get(name)) for name in QUANTITIES[:2]]
        cells += [_tell_ratios(one.get(name)) for name in QUANTITIES[2:]]
        truth = "fails" if "fails" in one else f"{one['truth']:.4f}"
        rows.append([one["title"], *cells, truth])
    caption = (
        f"One series of {KNOTS} values: a pulse on a slow wave, noise {NOISE}. Curve and slope: "
        "largest difference from ours, relative to the largest value of ours. Bands of level 0.95: "
        "theirs over ours, the median over the points, and the least and the largest where they "
        "differ. The first four rows have our lam; the others choose it, and are beside ours with "
        '`lam="gcv-plain"`. From the truth: RMS distance of the curve. mgcv\'s simultaneous band '
        "and its band of the slope are computed as gratia does. At the same lam its bands are "
        "narrower for another estimate of the noise, RSS / (n - df), and normal quantiles; that of "
        "the slope also because its curve has no course of its own between the knots."
    )
    return f"{to_markdown(header, rows)}\n\n{caption}"


def _tell_distance(distance: float | None) -> str:
    if distance is None:
        return "-"
    return f"{distance:.0e}" if distance < 1e-3 else f"{distance:.3f}"


def _tell_ratios(ratios: Sequence[float | None] | None) -> str:
    if ratios is None or ratios[0] is None:
        return "-"
    least, middle, largest = (f"{one:.2f}" for one in ratios)
    return middle if least == largest else f"{middle} ({least} to {largest})"


def tell_times(numbers: Numbers) -> str:
    """Make the table of times: the rival's over ours."""
    times = numbers["times"]
    header = ["lam by GCV, evaluation, band", *times]
    columns = numbers["columns"]
    rows = [
        [
            f"{title}, {columns:,} columns",
            *(f"{1e3 * spent[name] * columns:.0f} ms" for spent in times.values()),
        ]
        for name, title in OURS.items()
    ]
    rows += [
        [
            one.title,
            *(_tell_ratio(spent[one.program] / spent[one.beside]) for spent in times.values()),
        ]
        for one in RIVALS
    ]
    caption = (
        f"{numbers['columns']:,} columns of {KNOTS} values, a lam each, evaluated at "
        f"{2 * KNOTS - 1} points: the rival's time over ours of the same, minima of {ROUNDS} "
        "interleaved rounds. The others fit column after column, and were timed on "
        f"{min(one.columns for one in RIVALS)} to {max(one.columns for one in RIVALS)} of them. "
        "One thread each, and with the threads that each takes by itself."
    )
    return f"{to_markdown(header, rows)}\n\n{caption}"


def _tell_ratio(ratio: float) -> str:
    return f"{ratio:,.{2 if ratio < 1 else int(ratio < 10)}f}"


def tables(numbers: Numbers) -> dict[str, str]:
    """Make both tables."""
    return {"neighbours": tell_fits(numbers), "neighbours-times": tell_times(numbers)}


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (one interface for all)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("neighbours")
