"""The demo's tables and pictures in README: `python -m bench.demo_tables` makes them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.report import README, RESULTS, to_markdown, write_table
from coded.demo.choices import LIVE_K, Choices
from coded.demo.live import DELAYS, HEDGE_SECONDS

SETTINGS = ((20, 100, 60), (20, 60, 20), (60, 100, 20))
PICTURE = RESULTS / "accuracy.png"
MEASURED = ("median_seconds", "p90_seconds", "p99_seconds", "worst_seconds", "accuracy")
STYLES = ("k-", "k--", "C1-", "C0--", "C0-", "C3-", "C2-")  # in the order of the strategies
TAILS = RESULTS / "live.png"
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
        "(K, N, S): K digits, N workers, S of them lost. Means and 95 % intervals over batches, "
        "each with 20 draws of lost workers. Relative to LeNet5's own accuracy; error: mean L2 "
        "distance between class probabilities (the paper's measure; the workers give logits)."
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
        f"same delays and losses for all. {DELAYS}. Uncoded waits for all {LIVE_K} answers, the "
        f"codes for {choices.least_answers} of {choices.workers}; hedged: digits without an "
        f"answer after {HEDGE_SECONDS:.2f} s, within which 95 % of answers come, are asked again "
        "of idle workers. A lost answer counts as wrong."
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
    axes.legend(frameon=False)
    return figure


def main() -> None:
    """Run the demo at each setting, the live part once, and rewrite the tables and the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [run_demo(folder, *sizes, "--only=accuracy") for sizes in SETTINGS]
        live = run_demo(folder, *SETTINGS[1], "--only=live", f"--rounds={ROUNDS}")
        RESULTS.mkdir(exist_ok=True)
        PICTURE.write_bytes((folder / "20-100-60.json.png").read_bytes())
    write_table("accuracy", tell_accuracy(runs), readme=README)
    draw_tails(live).savefig(TAILS, format="png")
    write_table("live", tell_live(live), readme=README)


if __name__ == "__main__":
    main()
