"""The demo as a user runs it, at the paper's settings and live for many rounds."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.experiments import main
from coded.demo.accuracy import Score
from coded.demo.choices import BATCHES, LIVE_K, Choices
from coded.demo.live import DELAYS, HEDGE_SECONDS, TIMEOUT
from coded.demo.screen import draw_scores

SETTINGS = ((20, 100, 60), (20, 60, 20), (60, 100, 20))
PICTURE = "accuracy.png"
MEASURED = ("median_seconds", "p90_seconds", "p99_seconds", "worst_seconds", "accuracy")
# In the order of the strategies; hedged ones dashed, those that estimate dotted.
STYLES = ("k-", "k--", "C1-", "C1--", "C2-", "C2--", "C1:", "C0:", "C3:", "C2:")
TAILS = "live.png"
ROUNDS = 200

Numbers = dict[str, Any]


def run_demo(folder: Path, k: int, n: int, s: int, *options: str) -> Numbers:
    """Run the demo once, as a user would, and give the numbers that it wrote."""
    path = folder / f"{k}-{n}-{s}.json"
    sizes = [f"--k={k}", f"--n={n}", f"--s={s}", f"--json={path}", f"--out={path}.png"]
    subprocess.run([sys.executable, "-m", "coded", "demo", *sizes, *options], check=True)
    numbers: Numbers = json.loads(path.read_text(encoding="utf-8"))
    return numbers


def tell_accuracy(runs: Sequence[Numbers]) -> str:
    """Make one table of relative accuracy and error, two columns a setting."""
    header, columns = ["scheme"], []
    for run in runs:
        k, n, s = (run["settings"][name] for name in "kns")
        header += [f"({k}, {n}, {s}): relative accuracy", "error"]
        columns.append({row["scheme"]: row for row in run["accuracy"] if row["n_stragglers"] == s})
    rows = [
        [name, *(cell for column in columns for cell in _tell_scheme(column[name]))]
        for name in columns[0]
    ]
    batches = (
        "(K, N, S): K digits, N workers, S of them lost. Means and 95 % intervals over "
        f"{BATCHES} batches, each with {runs[0]['settings']['repeats']} draws of lost workers. "
        "Relative to LeNet5's own accuracy; error: mean L2 "
        "distance between class probabilities (the paper's measure; the workers give logits). "
        "Digits come in random order, which `berrut` and `letcc` take as it is."
    )
    return f"{to_markdown(header, rows)}\n\n{batches}"


def _tell_scheme(row: Numbers) -> list[str]:
    return [
        f"{row['relative_accuracy']:.3f} ± {row['relative_accuracy_half_width']:.3f}",
        f"{row['error']:.3f} ± {row['error_half_width']:.3f}",
    ]


def tell_live(run: Numbers) -> str:
    """Make the table of times to answer."""
    header = ["strategy", "median s", "p90 s", "p99 s", "worst s", "accuracy", "answers lost"]
    rows = [
        [
            row["strategy"],
            *(f"{row[name]:.3f}" for name in MEASURED),
            str(row["lost"]),
        ]
        for row in run["live"]
    ]
    choices = Choices(**run["settings"])
    caption = (
        f"{choices.rounds} rounds of {LIVE_K} digits on {choices.workers} worker processes, the "
        f"same delays and losses for all. {DELAYS}; all tasks of a worker in a round take that "
        f"long. Uncoded: {LIVE_K} workers, one digit each; copies and codes: all "
        f"{choices.workers}. Exact answers are waited for, {TIMEOUT:g} s at most, or "
        f"{choices.least_answers} of {choices.workers} answers, the rest estimated. Tasks of a "
        f"killed worker are asked again; hedged: also those that are out after "
        f"{HEDGE_SECONDS:.2f} s, within which 95 % of answers come, of idle workers. A lost answer "
        "counts as wrong."
    )
    return f"{to_markdown(header, rows)}\n\n{caption}"


def draw_tails(run: Numbers) -> Figure:
    """Draw the share of rounds that took longer than t."""
    figure = Figure(figsize=(7.0, 4.6), dpi=110, layout="constrained")
    axes = figure.add_subplot(xscale="log", yscale="log")
    for row, style in zip(run["live"], STYLES, strict=True):
        seconds = sorted(row["seconds"])
        shares = [1.0 - i / len(seconds) for i in range(len(seconds))]
        axes.step(seconds, shares, style, where="pre", label=row["strategy"])
    axes.set_xlabel("seconds from the question to all answers")
    axes.set_ylabel("share of rounds that took longer")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False, loc="lower left")
    return figure


def run(*, quick: bool) -> Numbers:
    """Run the demo at each setting, and its live part once."""
    repeats, rounds = (
        ("--repeats=1", "--rounds=4") if quick else ("--repeats=20", f"--rounds={ROUNDS}")
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [run_demo(folder, *sizes, "--only=accuracy", repeats) for sizes in SETTINGS]
        live = run_demo(folder, *SETTINGS[1], "--only=live", rounds)
    for row in live["live"]:
        row["seconds"] = [round(seconds, 5) for seconds in row["seconds"]]
    return {"accuracy": runs, "live": live}


def tables(numbers: Numbers) -> dict[str, str]:
    """Make both tables."""
    return {"accuracy": tell_accuracy(numbers["accuracy"]), "live": tell_live(numbers["live"])}


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw the first setting's errors against the number of lost workers, and the tails."""
    first = numbers["accuracy"][0]
    scores = [Score(**row) for row in first["accuracy"]]
    return {
        PICTURE: draw_scores(Choices(**first["settings"]), scores),
        TAILS: draw_tails(numbers["live"]),
    }


if __name__ == "__main__":
    main("demo")
