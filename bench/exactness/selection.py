"""Ways to choose lam on 320 data sets whose curve is known; half of them were put aside.

The mean square error of each way's fit over that of the best lam, which knows the curve. The robust
score's constants were chosen on the sets that were not put aside; the table shows the others.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from csaps import csaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtr

from bench.documents import to_markdown
from bench.exactness.data_sets import DataSet, data_sets
from bench.exactness.programs import REFUSALS, Problem, R, fit_scipy
from bench.experiments import main
from fastspline import Smoother, lam_for_df, smooth_spline

STEP = 0.05  # decades between the lam of which the best is taken
LEAST_REST = 1e-4  # n - df over n, where that search begins
MOST = 1e3  # of lam in cubed ranges times weights: a line
FAR = 10.0  # a ratio that nobody should see

Array = NDArray[np.float64]
Numbers = dict[str, Any]

SCORES = ("gcv", "gcv-plain", "loo", "reml")
TITLES = {
    "gcv": '`lam="gcv"`, the default',
    "gcv-plain": '`lam="gcv-plain"`, the default before',
    "loo": '`lam="loo"`',
    "reml": '`lam="reml"`',
    "scipy": "scipy, `make_smoothing_spline`",
    "csaps": "csaps, automatic",
    "R": "R, `smooth.spline` (GCV)",
    "REML": 'mgcv, `gam`, a cubic spline of at most 200 knots, `method="REML"`',
}


def best_loss(problem: DataSet) -> float:
    """Give the least mean square error that any lam reaches."""
    knots, weights = problem.knots, problem.weights
    total = float(knots.size if weights is None else weights.sum())
    low = lam_for_df(knots, knots.size * (1.0 - LEAST_REST), weights=weights)
    high = MOST * float(np.ptp(knots)) ** 3 * total
    lams = [*np.geomspace(low, high, int(np.log10(high / low) / STEP) + 2).tolist(), np.inf]
    return min(
        problem.loss(
            np.asarray(Smoother(knots, lam=lam, weights=weights).fit(problem.values).values)
        )
        for lam in lams
    )


def fit_ours(problem: DataSet, score: str) -> tuple[Array, float, float]:
    """Fit by a score; give the values at the knots, and what bands hold.

    Of the curve the band, and of further values of weight 1 the prediction intervals.
    """
    with warnings.catch_warnings(action="ignore"):  # that a score is best at an end of its search
        spline = smooth_spline(problem.knots, problem.values, weights=problem.weights, lam=score)
    low, high = spline.interval(problem.knots)
    covered = np.mean((low <= problem.truth) & (problem.truth <= high))
    low, high = spline.interval(problem.knots, kind="prediction")
    above, below = (ndtr((end - problem.truth) / problem.noise) for end in (high, low))
    return np.asarray(spline.values), float(covered), float(np.mean(above - below))


def fit_csaps(problem: DataSet) -> Array:
    """Fit with the smoothing that csaps chooses by itself, from the knots alone."""
    x, w = problem.knots, problem.weights
    return np.asarray(csaps(x, problem.values, x, weights=w).values)


def measure(problem: DataSet, r: R | None) -> Numbers:
    """Give each way's ratio to the best loss, or what it said, and how much its bands hold."""
    best = best_loss(problem)
    ratios: dict[str, float | str] = {}
    covers: dict[str, float] = {}
    predicts: dict[str, float] = {}
    for score in SCORES:
        fitted, covered, predicted = fit_ours(problem, score)
        ratios[score] = _rounded(problem.loss(fitted) / best)
        covers[score], predicts[score] = _rounded(covered), _rounded(predicted)
    asked = Problem(
        problem.knots, problem.weights, problem.values[:, np.newaxis], problem.knots, None
    )
    others: dict[str, Callable[[], Array]] = {
        "scipy": lambda: fit_scipy(asked).ravel(),
        "csaps": lambda: fit_csaps(problem),
    }
    if r is not None:
        r.write("set", asked)
        others |= {"R": lambda: r.fit("set", "R"), "REML": lambda: r.fit("set", "REML")}
    for name, fit in others.items():
        try:
            ratios[name] = _rounded(problem.loss(fit()) / best)
        except REFUSALS as error:
            ratios[name] = f"fails: {error}"
    return {
        "set": problem.name,
        "kind": problem.kind,
        "aside": problem.is_aside,
        "ratios": ratios,
        "covers": covers,
        "predicts": predicts,
    }


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")


def tell_ways(sets: Sequence[Numbers]) -> str:
    """Make the table of the sets that were put aside."""
    some = [one for one in sets if one["aside"]]
    header = [
        *("lam by", "ratio", "worst", f"above {FAR:g}", "fails"),
        *("95 % band covers", "median", "95 % prediction holds"),
    ]
    rows = []
    for name, title in TITLES.items():
        found = [one["ratios"][name] for one in some if name in one["ratios"]]
        ratios = np.array([ratio for ratio in found if not isinstance(ratio, str)])
        if not ratios.size:
            continue
        covers, predicts = (
            [one[kind][name] for one in some if name in one[kind]]
            for kind in ("covers", "predicts")
        )
        band = [f"{np.mean(covers):.3f}", f"{np.median(covers):.3f}"] if covers else ["-", "-"]
        band.append(f"{np.mean(predicts):.3f}" if predicts else "-")
        rows.append(
            [
                title,
                f"{np.exp(np.log(ratios).mean()):.2f}",
                f"{ratios.max():,.{1 if ratios.max() < 100 else 0}f}",
                str(int((ratios > FAR).sum())),
                str(len(found) - ratios.size),
                *band,
            ]
        )
    caption = (
        f"{len(some)} of {len(sets)} data sets, put aside before a rule was chosen on the others. "
        "Ratio: mean square error at the knots over that of the best lam, which knows the curve; "
        "geometric mean, worst, how many lie above 10. Covers, holds: how much of the curve at the "
        "knots lies in the band, and of further values in prediction intervals; means over sets. "
        "A set on which a program fails is left out of its numbers."
    )
    return f"{to_markdown(header, rows)}\n\n{caption}"


def tell_kinds(sets: Sequence[Numbers]) -> str:
    """Make the table of kinds: geometric means of all their sets, and what the band covers."""
    kinds = list(dict.fromkeys(one["kind"] for one in sets))
    names = [name for name in TITLES if any(name in one["ratios"] for one in sets)]
    rows = []
    for kind in kinds:
        own = [one for one in sets if one["kind"] == kind]
        means = []
        for name in names:
            found = [one["ratios"][name] for one in own]
            logs = [np.log(ratio) for ratio in found if not isinstance(ratio, str)]
            means.append(_tell_ratio(float(np.exp(np.mean(logs)))) if logs else "fails")
        rows.append([kind, *means, f"{np.mean([one['covers']['gcv'] for one in own]):.3f}"])
    return to_markdown(["curve, knots", *names, "band (gcv)"], rows)


def _tell_ratio(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < FAR else f"{ratio:,.0f}"


def run(*, quick: bool) -> Numbers:
    """Measure every way on every set; a look takes each tenth, and does without R."""
    every = list(data_sets())
    if quick:
        return {"sets": [measure(one, None) for one in every[::10]]}
    with tempfile.TemporaryDirectory() as name, R(Path(name)) as r:
        return {"sets": [measure(one, r) for one in every], "versions": r.versions}


def tables(numbers: Numbers) -> Mapping[str, str]:
    """Make the table of ways, and that of kinds."""
    return {"selection": tell_ways(numbers["sets"]), "selection-kinds": tell_kinds(numbers["sets"])}


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (one interface for all)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("selection")
