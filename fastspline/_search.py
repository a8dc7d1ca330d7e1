"""The search for the lam of least score, where a score is a function in Python."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastspline._kernels import scores
from fastspline._plan import Plan

Score: TypeAlias = Callable[[float, slice], NDArray[np.float64]]  # of lam and some columns

FURTHEST = 200  # steps towards the end of a search
ROUND = 8  # trials of a round


class Choice(NamedTuple):
    """One lam a column, and on which side of the search it lies: -1, 0 (inside) or 1."""

    lam: NDArray[np.float64]
    bound: NDArray[np.int8]

    @staticmethod
    def joined(choices: list[Choice]) -> Choice | None:
        """Give the choices for several sets of columns as one, or None for none."""
        if len(choices) < 2:
            return choices[0] if choices else None
        lams, bounds = zip(*choices, strict=True)
        return Choice(np.concatenate(lams), np.concatenate(bounds))

    def warn(self, stacklevel: int = 3) -> None:
        """Warn of columns whose score has its optimum at a bound."""
        if not self.bound.any():
            return
        of = f" of {self.lam.size} columns" if self.lam.size > 1 else ""
        line, through = int((self.bound > 0).sum()), int((self.bound < 0).sum())
        if line:
            which = f"for {line}{of} " if of else ""
            warnings.warn(
                f"{which}the score is best for the straight line (lam = inf): the data show no "
                "curvature beyond their noise",
                UserWarning,
                stacklevel,
            )
        if through:
            which = f"for {through}{of} " if of else ""
            warnings.warn(
                f"{which}the score is best at the lower end of the search, next to interpolation: "
                "the data show no noise beyond the curve, or their errors are not independent; "
                "give lam, or DegreesOfFreedom",
                UserWarning,
                stacklevel,
            )


def search_bounds(plan: Plan) -> tuple[float, float]:
    """Give the least lam of a search, where n - df is n / 1000, and the largest below the line."""
    active = plan.active
    rough = np.ones(1) if plan.roughness is None else plan.roughness
    weights = np.ones(1) if plan.weights is None else plan.weights[active]
    whole = (plan.knots[-1] - plan.knots[0]) ** 3 * weights.mean() * active.size
    shortest = np.diff(plan.solver.gaps.knots).min()
    near = np.log10(scores.NEAR * shortest**3 * weights.min() / rough.max())
    # Values at both ends of a period are two at one place: those no lam interpolates.
    both_ends = plan.bc == "periodic" and active[0] == 0 and active[-1] == plan.knots.size - 1
    others = slice(1, -1) if both_ends and active.size > 2 else slice(None)

    def share(place: float) -> float:
        solver = plan.with_lam(10.0**place).solver.exact()
        return float(solver.leverages()[1][others].mean())

    return 10.0 ** end_of_search(share, near), 10.0**scores.UPPER * whole / rough.min()


def end_of_search(share: Callable[[float], float], near: float) -> float:
    """Give the place where `share`, n - df over n, is `scores.LEAST_REST`, from one near it."""
    before = share(near)
    step = 0.25 * scores.STEP * (1.0 if before < scores.LEAST_REST else -1.0)
    for place in near + step * np.arange(1, FURTHEST):
        here = share(place)
        if (here < scores.LEAST_REST) != (step > 0.0):
            beyond = np.log(here / scores.LEAST_REST) / np.log(here / before)
            return float(place - beyond * step)
        before = here
    return near


def minimise_score(score: Score, lower: float, upper: float) -> Choice:
    """Minimise ``score(lam, columns)``, one number a column, over [lower, upper] and inf, for each.

    Slow but general: a grid for all columns, then each of its minima, column by column.
    """
    low, high = np.log10(lower), np.log10(upper)
    grid = np.linspace(low, high, max(int((high - low) / scores.STEP) + 2, 3))
    table = np.array([score(10.0**place, slice(None)) for place in grid])
    table[~np.isfinite(table)] = np.inf
    line = score(np.inf, slice(None))
    lam, bound = np.empty(line.size), np.zeros(line.size, np.int8)
    places, found = np.empty((2, ROUND + 2))
    for j in range(line.size):
        with np.errstate(invalid="ignore"):  # infinite scores are passed over
            place, least = _refine((score, j), grid, table[:, j].copy(), grid.size, places, found)
        if line[j] <= least:
            lam[j], bound[j] = np.inf, 1
        else:
            lam[j], bound[j] = 10.0**place, -1 if place <= low + scores.AT_BOUND else 0
    return Choice(lam, bound)


def _score_places(
    problem: tuple[Score, int], places: NDArray[np.float64], found: NDArray[np.float64]
) -> None:
    """Evaluate one column's score: see `scores.make_refine`."""
    score, j = problem
    found[1:-1] = [score(10.0**place, slice(j, j + 1))[0] for place in places[1:-1]]
    found[~np.isfinite(found)] = np.inf


_refine = scores.make_refine(_score_places, lambda function: function)  # type: ignore[no-untyped-call]
