"""README's table "which code for which job": `python -m bench.codes` runs all codes and writes it.

The functions of `python -m coded compare` at their own (K, N, S), and two of them with answers
that are wrong. Stored in results/comparison/codes.json, from which `--table` writes the table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from bench.report import RESULTS, to_markdown, write_table
from coded import Comparison, compare
from coded.comparison.functions import BUNDLED, bundled
from coded.comparison.picture import draw_comparisons
from coded.schemes import codes

GROUPS = 5
STORED = RESULTS / "comparison" / "codes.json"  # beside the records of races
PICTURE = RESULTS / "codes.png"
EXACT = 1e-15  # a relative mean square of rounding errors
WORTH_BOLD = 2.0  # times the least error

JOBS = (
    *((name, *BUNDLED[name], 0) for name in BUNDLED),
    ("polynomial", 6, 20, 4, 2),
    ("lenet5", 8, 24, 2, 2),
)

Numbers = dict[str, Any]


def run_job(name: str, k: int, n: int, s: int, liars: int) -> Comparison:
    """Compare all codes on one function."""
    problem = bundled(name, GROUPS * k)
    return compare(
        problem.fn,
        problem.inputs,
        n,
        n_stragglers=s,
        n_liars=liars,
        n_inputs=k,
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
        f"same inputs and losses for all codes, {GROUPS} groups of K inputs, 20 draws each; exact: "
        "up to rounding. In percent: how many draws could be decoded, where not all; -: not for "
        "this function or these counts. LeNet5: relative accuracy behind the error. Bold: exact, "
        f"or at most {WORTH_BOLD:g} times the least error."
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


def main(arguments: Sequence[str]) -> None:
    """Run all jobs unless told to write the table alone."""
    if list(arguments) != ["--table"]:
        comparisons = []
        for job in JOBS:
            comparisons.append(run_job(*job))
            print(comparisons[-1], flush=True)
        draw_comparisons(comparisons).savefig(PICTURE, format="png", dpi=80)
        numbers = [summarise(comparison) for comparison in comparisons]
        STORED.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    write_table("codes-jobs", tell_jobs(json.loads(STORED.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main(sys.argv[1:])
