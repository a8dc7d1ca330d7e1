"""Every code on every job: the functions of `python -m coded compare` at their own (K, N, S).

Two of them also with answers that are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.experiments import main
from coded import Comparison, compare
from coded.comparison.functions import BUNDLED, bundled
from coded.comparison.outcome import ComparedCode, Score
from coded.comparison.picture import draw_comparisons
from coded.schemes import codes
from coded.schemes.registry import Setting

GROUPS = 5
DRAWS = 20
PICTURE = "codes.png"
EXACT = 1e-15  # a relative mean square of rounding errors
WORTH_BOLD = 2.0  # times the least error

JOBS = (
    *((name, *BUNDLED[name], 0) for name in BUNDLED),
    ("polynomial", 6, 20, 4, 2),
    ("lenet5", 8, 24, 2, 2),
)

Numbers = dict[str, Any]


def run_job(
    name: str, k: int, n: int, s: int, liars: int, *, groups: int = GROUPS, draws: int = DRAWS
) -> Comparison:
    """Compare all codes on one function."""
    problem = bundled(name, groups * k)
    return compare(
        problem.fn,
        problem.inputs,
        n,
        n_stragglers=s,
        n_liars=liars,
        n_inputs=k,
        repeats=draws,
        labels=problem.labels,
        degree=problem.degree,
        name=problem.name,
    )


def summarise(comparison: Comparison) -> Numbers:
    """Keep what the table tells."""
    setting = comparison.setting
    rows = {}
    for row in comparison.rows:
        score = comparison.score(row)
        if score is not None:
            rows[row.code] = {
                "error": None if score.error != score.error else float(f"{score.error:.2e}"),
                "accuracy": None if score.accuracy is None else round(score.accuracy, 4),
                "decoded": round(score.decoded, 3),
                "needs": row.needs,
            }
    counts = [setting.n_inputs, setting.n_workers, setting.n_stragglers, setting.n_liars]
    return {"name": comparison.name, "setting": counts, "codes": rows}


def tell_jobs(jobs: Sequence[Numbers]) -> str:
    """Make the table: a row a code, a column a job, the best in bold."""
    header = ["code", "numbers"]
    for job in jobs:
        k, n, s, liars = job["setting"]
        wrong = f", {liars} wrong" if liars else ""
        header.append(f"{job['name']} ({k},{n},{s}{wrong})")
    best = [
        min(
            (one["error"] for one in job["codes"].values() if one["error"] and _is_sure(one)),
            default=0.0,
        )
        for job in jobs
    ]
    rows = []
    for code, variant in codes().items():
        cells = [
            _tell(job["codes"].get(code), least) for job, least in zip(jobs, best, strict=True)
        ]
        rows.append([f"`{code}`", variant.numbers, *cells, variant.guarantee])
    note = (
        "(K,N,S): K inputs, N workers, S of them lost; wrong: so many of the answers that come are "
        "wrong, by ten times their deviation. Mean square of the error over the variance of f, the "
        f"same inputs and losses for all codes, {GROUPS} groups of K inputs, {DRAWS} draws each; "
        "exact: up to rounding. In percent: how many draws could be decoded, where not all; -: not "
        "for this function or these counts. LeNet5: relative accuracy behind the error. Inputs "
        "come in random order, which `berrut` and `letcc` take as it is; sorted, where they are "
        "of one number, they err far less. Bold: "
        f"exact, or at most {WORTH_BOLD:g} times the least error."
    )
    return f"{to_markdown([*header, 'promise'], rows, words=2)}\n\n{note}"


def _is_sure(one: Numbers) -> bool:
    return bool(one["decoded"] == 1.0)


def _tell(one: Numbers | None, least: float) -> str:
    """Write one cell."""
    if one is None:
        return "-"
    if one["error"] is None:
        return "0 %"
    is_exact = one["error"] < EXACT
    text = "exact" if is_exact else f"{one['error']:.1e}"
    if one["accuracy"] is not None:
        text += f" / {one['accuracy']:.3f}"
    if _is_sure(one):
        return f"**{text}**" if is_exact or one["error"] <= WORTH_BOLD * least else text
    return f"{text}, {one['decoded']:.0%}"


def run(*, quick: bool) -> Numbers:
    """Compare all codes on all jobs."""
    sizes = {"groups": 2, "draws": 3} if quick else {}
    comparisons = []
    for job in JOBS:
        comparisons.append(run_job(*job, **sizes))
        print(comparisons[-1], flush=True)
    return {"comparisons": [without_nan(asdict(one)) for one in comparisons]}


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the one table."""
    return {"codes-jobs": tell_jobs([summarise(one) for one in restore(numbers)])}


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw a panel a job."""
    return {PICTURE: draw_comparisons(restore(numbers))}


def without_nan(value: Any) -> Any:
    """Give numbers as JSON can hold them: null for nan."""
    if isinstance(value, Mapping):
        return {name: without_nan(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.4g}")
    return value


def restore(numbers: Numbers) -> list[Comparison]:
    """Give the comparisons that were stored."""
    return [
        Comparison(
            one["name"],
            Setting(**one["setting"]),
            one["seconds"],
            tuple(
                ComparedCode(**row | {"scores": tuple(map(_score, row["scores"]))})
                for row in one["rows"]
            ),
        )
        for one in numbers["comparisons"]
    ]


def _score(stored: Numbers) -> Score:
    error, half_width = (
        math.nan if stored[name] is None else stored[name] for name in ("error", "half_width")
    )
    return Score(**stored | {"error": error, "half_width": half_width})


if __name__ == "__main__":
    main("codes")
