"""The demo on the screen: both parts with their progress, two tables and a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from coded.demo.accuracy import Score, straggler_counts, sweep
from coded.demo.choices import BATCHES, LIVE_K, Choices
from coded.demo.live import DELAYS, HEDGE_SECONDS, TIMEOUT, LiveScore, Schedule, race
from coded.demo.strategies import NAMES, OURS, UNCODED, make_schemes, make_strategies
from coded.digits.images import read_digits
from coded.digits.lenet5 import compute_serially, load
from coded.evaluation.plots import Curve, Figure, draw_curves
from coded.workers.local_workers import LocalWorkers
from coded.workers.torch_worker import TorchWorker


@dataclass(frozen=True)
class Outcome:
    """All numbers of one run.

    Attributes
    ----------
    settings : Choices
        What was asked for.
    network_accuracy : float
        Of the network itself on all digits.
    accuracy : list of Score
        Every code at every number of stragglers; empty if that part was left out.
    live : list of LiveScore
        Every strategy; empty if that part was left out.
    """

    settings: Choices
    network_accuracy: float
    accuracy: list[Score]
    live: list[LiveScore]


def show(
    choices: Choices, console: Console, *, parts: Sequence[str], plot: Path, numbers: Path | None
) -> Outcome:
    """Run the demo and print it; torch uses one thread in this process from then on.

    Parameters
    ----------
    choices : Choices
        Sizes and seed.
    console : Console
        Where it is printed.
    parts : sequence of {"accuracy", "live"}
        What is run; the workers of the live part start while the accuracy part runs.
    plot : Path
        Where the accuracy part's picture is written, as PNG.
    numbers : Path or None
        Where all numbers are written, as JSON.

    Returns
    -------
    Outcome

    Raises
    ------
    ImportError
        If mlxtend is not installed.
    OSError
        If a file cannot be written.
    RuntimeError, TimeoutError
        If the workers do not start.
    """
    compute_serially()
    digits = read_digits(choices.seed)
    worker, network = TorchWorker(load), TorchWorker(load, batched=True)
    accuracy: list[Score] = []
    live: list[LiveScore] = []
    with ExitStack() as stack:
        if "live" in parts:
            workers = stack.enter_context(LocalWorkers(choices.workers, initializer=worker.load))
        right = np.asarray(network(digits.inputs)).argmax(axis=-1) == digits.labels
        console.print(
            f"{len(digits):,} handwritten digits (MNIST, held out), LeNet5: "
            f"{right.mean():.2%} right, seed {choices.seed}"
        )
        if "accuracy" in parts:
            steps = len(straggler_counts(choices.n, choices.s))
            with _progress(console, "accuracy", steps) as advance:
                accuracy = sweep(network, digits, choices, on_step=advance)
            _print_accuracy(console, choices, accuracy)
            draw_scores(choices, accuracy).savefig(plot, format="png")
            console.print(f"Against the number of lost workers: {plot}\n", soft_wrap=True)
        if "live" in parts:
            steps = choices.rounds * len(make_strategies(LIVE_K, choices.workers, 2, HEDGE_SECONDS))
            with _progress(console, "live", steps) as advance:
                live = race(worker, digits, workers, choices, on_step=advance)
            asked = right[: LIVE_K * choices.rounds]
            _print_live(console, choices, live, float(asked.mean()))
    outcome = Outcome(choices, float(right.mean()), accuracy, live)
    if numbers is not None:
        numbers.write_text(json.dumps(asdict(outcome), indent=2, allow_nan=False) + "\n")
    return outcome


@contextmanager
def _progress(console: Console, what: str, steps: int) -> Iterator[Callable[[], None]]:
    """Show a bar; where there is no terminal, one line at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{what:8}", total=steps)
        yield lambda: progress.advance(task)


def _print_accuracy(console: Console, choices: Choices, scores: Sequence[Score]) -> None:
    """Print the table at S stragglers."""
    console.print(
        f"[bold]Accuracy[/bold] of {choices.k} answers when {choices.s} of {choices.n} "
        f"workers are lost: means and 95 % intervals over {BATCHES} batches, {choices.repeats} "
        "draws of lost workers each, the same for all schemes. Relative: to the network's own "
        f"accuracy. Error: mean L2 distance between class probabilities. Codes: {NAMES}."
    )
    table = _table("scheme", "relative accuracy", "error")
    for score in scores:
        if score.n_stragglers == choices.s:
            table.add_row(
                score.scheme,
                f"{score.relative_accuracy:.3f} ± {score.relative_accuracy_half_width:.3f}",
                f"{score.error:.3f} ± {score.error_half_width:.3f}",
                style=_style(score.scheme),
            )
    console.print(table)


def _print_live(
    console: Console, choices: Choices, scores: Sequence[LiveScore], network_accuracy: float
) -> None:
    """Print the table of times."""
    signals = Schedule.draw(choices).signals.items()
    losses = ", ".join(
        f"worker {worker} gets {signal.name} in round {r + 1}" for (r, worker), signal in signals
    )
    console.print(
        f"[bold]Live[/bold]: {choices.rounds} rounds of {LIVE_K} digits on {choices.workers} "
        f"worker processes. {DELAYS}. In the middle of their tasks, {losses}. "
        f"{UNCODED.capitalize()} gives each of workers 0 to {LIVE_K - 1} a digit, the codes use "
        f"all workers. Exact answers are waited for, or {choices.least_answers} answers and the "
        f"rest is estimated, for {TIMEOUT:g} s at most; tasks of a killed worker are asked again, "
        f"and hedged also those that are out after {HEDGE_SECONDS:.2f} s, of idle workers. "
        "Times are in seconds from the call to the answers, "
        "encoding and decoding included; every call begins with "
        f"idle workers. The network itself has an accuracy of {network_accuracy:.3f} on these "
        "digits; right: the share of digits named rightly, a lost answer counts as wrong."
    )
    table = _table("strategy", "median", "p90", "p99", "worst", "right", "lost")
    for score in scores:
        table.add_row(
            score.strategy,
            f"{score.median_seconds:.3f}",
            f"{score.p90_seconds:.3f}",
            f"{score.p99_seconds:.3f}",
            f"{score.worst_seconds:.3f}",
            f"{score.accuracy:.3f}",
            str(score.lost),
            style=_style(score.strategy),
        )
    console.print(table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _style(name: str) -> str:
    return "bold" if name.partition(",")[0] in OURS else ""


def draw_scores(choices: Choices, scores: Sequence[Score]) -> Figure:
    """Draw both measures against the number of stragglers."""
    counts = straggler_counts(choices.n, choices.s)
    panels: dict[str, list[Curve]] = {"mean L2 error": [], "relative accuracy": []}
    for name in make_schemes(choices.k, choices.n, choices.s):
        mine = [score for score in scores if score.scheme == name]
        panels["mean L2 error"].append(
            Curve(name, [one.error for one in mine], [one.error_half_width for one in mine])
        )
        panels["relative accuracy"].append(
            Curve(
                name,
                [one.relative_accuracy for one in mine],
                [one.relative_accuracy_half_width for one in mine],
            )
        )
    title = f"K = {choices.k} digits on N = {choices.n} workers, bands: 95 % intervals"
    return draw_curves(counts, panels, title=title)
