"""Fits by Python's programs, in a process of its own: `python worker.py FOLDER`.

Its commands come from its standard input, one a line, and it answers each with a line:

    show PROGRAM            fit the first column and write QUANTITIES at the points to FOLDER/shown
    time PROGRAM COLUMNS    say the seconds that so many columns take: fit, evaluation, band

FOLDER/problem holds doubles: n, columns, points, lam, then knots, values column by column, points.
It imports a program when that is asked for, so that each may run in an environment of its own.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

QUANTITIES = ("curve", "slope", "band", "simultaneous", "slope band", "prediction")  # half widths
WIDTH = 0.95

Array = NDArray[np.float64]
Shown = dict[str, Array]


class Problem(NamedTuple):
    """Knots (n,), values (n, columns), points (m,), and the lam that all can be given."""

    knots: Array
    values: Array
    points: Array
    lam: float

    def write(self, path: Path) -> None:
        """Store it for workers."""
        x, y, points, lam = self
        head = [x.size, y.shape[1], points.size, lam]
        np.concatenate([head, x, y.T.ravel(), points]).tofile(path)


def read(path: Path) -> Problem:
    """Read what was stored."""
    numbers = np.fromfile(path)
    n, columns, _ = (int(count) for count in numbers[:3])
    x, y, points = np.split(numbers[4:], [n, n + n * columns])
    return Problem(x, np.ascontiguousarray(y.reshape(columns, n).T), points, float(numbers[3]))


def show_ours(problem: Problem, lam: Any) -> Shown:
    """Give all that is compared."""
    from fastspline import smooth_spline

    curve = smooth_spline(problem.knots, problem.values[:, 0], lam=lam)
    at = problem.points
    bands = {
        "band": {},
        "simultaneous": {"kind": "simultaneous"},
        "slope band": {"nu": 1},
        "prediction": {"kind": "prediction"},
    }
    halves = {name: np.ptp(curve.interval(at, **how), axis=0) / 2 for name, how in bands.items()}
    return {"curve": curve(at), "slope": curve(at, nu=1), **halves}


def show_scipy(problem: Problem, lam: float | None) -> Shown:
    """Give curve and slope, which is all that scipy has."""
    from scipy.interpolate import make_smoothing_spline

    spline = make_smoothing_spline(problem.knots, problem.values[:, 0], lam=lam)
    return {"curve": spline(problem.points), "slope": spline(problem.points, nu=1)}


def show_csaps(problem: Problem, lam: float | None) -> Shown:
    """Give curve and slope, which is all that csaps has."""
    from csaps import CubicSmoothingSpline

    smooth = None if lam is None else 1.0 / (1.0 + lam)
    spline = CubicSmoothingSpline(problem.knots, problem.values[:, 0], smooth=smooth)
    return {"curve": spline(problem.points), "slope": spline(problem.points, nu=1)}


def show_pygam(problem: Problem) -> Shown:
    """Give what pyGAM has."""
    gam, points = fit_pygam(problem, 0), problem.points[:, np.newaxis]
    return {
        "curve": gam.predict(points),
        "band": np.ptp(gam.confidence_intervals(points, width=WIDTH), axis=1) / 2,
        "prediction": np.ptp(gam.prediction_intervals(points, width=WIDTH), axis=1) / 2,
    }


def fit_pygam(problem: Problem, column: int) -> Any:
    """Fit as pyGAM's documentation does, by its grid of 11 lam."""
    from pygam import LinearGAM, s

    gam = LinearGAM(s(0))
    return gam.gridsearch(problem.knots[:, np.newaxis], problem.values[:, column], progress=False)


def take_ours(problem: Problem, columns: int, *, band: bool = True) -> None:
    """Fit by GCV, evaluate, and make the band of so many columns."""
    from fastspline import smooth_spline

    curve = smooth_spline(problem.knots, problem.values[:, :columns])
    curve(problem.points)
    if band:
        curve.interval(problem.points, WIDTH)


def take_scipy(problem: Problem, columns: int) -> None:
    """Fit by GCV and evaluate; there is no band."""
    from scipy.interpolate import make_smoothing_spline

    make_smoothing_spline(problem.knots, problem.values[:, :columns])(problem.points)


def take_pygam(problem: Problem, columns: int) -> None:
    """Choose lam by GCV, evaluate, and make the band, column after column."""
    points = problem.points[:, np.newaxis]
    for column in range(columns):
        gam = fit_pygam(problem, column)
        gam.predict(points)
        gam.confidence_intervals(points, width=WIDTH)


SHOW: dict[str, Callable[[Problem], Shown]] = {
    "ours": lambda problem: show_ours(problem, problem.lam),
    "ours-gcv": lambda problem: show_ours(problem, "gcv-plain"),
    "scipy": lambda problem: show_scipy(problem, problem.lam),
    "scipy-gcv": lambda problem: show_scipy(problem, None),
    "csaps": lambda problem: show_csaps(problem, problem.lam),
    "csaps-auto": lambda problem: show_csaps(problem, None),
    "pygam": show_pygam,
}
TAKE: dict[str, Callable[[Problem, int], None]] = {
    "ours": take_ours,
    "ours-curve": partial(take_ours, band=False),
    "scipy": take_scipy,
    "pygam": take_pygam,
}


def answer(folder: Path, verb: str, program: str, columns: str = "1") -> str:
    """Do what a command asks for; give the answer."""
    problem = read(folder / "problem")
    if verb == "version":
        import importlib.metadata

        return importlib.metadata.version(program)
    if verb == "show":
        shown = SHOW[program](problem)
        nothing = np.full(problem.points.size, np.nan)
        np.concatenate([shown.get(name, nothing) for name in QUANTITIES]).tofile(folder / "shown")
        return "ok"
    start = time.perf_counter()
    TAKE[program](problem, int(columns))
    return repr(time.perf_counter() - start)


def main(folder: Path) -> None:
    """Answer commands until there are no more."""
    warnings.simplefilter("ignore")  # that a search ends at its bound
    for line in sys.stdin:
        try:
            said = answer(folder, *line.split())
        except Exception as error:  # noqa: BLE001 (whatever a program raises is told)
            said = f"{type(error).__name__}: {error}".replace("\n", " ")
        print(said, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
