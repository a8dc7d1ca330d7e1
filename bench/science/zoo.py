"""Which scheme wins where: the zoo's races as tables and picture, and what `coded.recommend` knows.

An exact code takes part in a race where it can decode every draw of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.records import to_json
from bench.science.competition import HEAVIER, RARE, SETTINGS, SIZES, USUAL, Numbers, label, run
from bench.science.trials import Counts

__all__ = ["draw", "package_files", "run", "tables"]

# What `coded.recommend` reads.

RECOMMENDED = ("replication-nearest", "replication-mean", "spline", "kernel", "letcc", "berrut")
RIVALS = ("replication-nearest", "replication-mean", "letcc, path", "letcc", "berrut", "bspline")
EXACT = 1e-12  # a smaller relative MSE is as good as none, so that no rare loss decides a mean


def typical(cells: Sequence[Numbers], scheme: str) -> float:
    """Give the geometric mean of a scheme's relative MSE over functions; 0 if all are exact."""
    losses = np.array([cell["relative_mse"][scheme][0] for cell in cells])
    if not losses.any():
        return 0.0
    return float(f"{np.exp(np.log(np.maximum(losses, EXACT)).mean()):.2e}")


def measured(names: Iterable[str], cells: Sequence[Numbers]) -> list[str]:
    """Give those of the schemes that every cell has a figure of."""
    return [name for name in names if all(name in cell["relative_mse"] for cell in cells)]


def cells_of(numbers: Numbers, kind: str, setting: Counts) -> list[Numbers]:
    """Give what was measured at one setting of all functions of a kind; "unknown" is all."""
    return [
        numbers["table"][name][label(setting)]
        for name, its_kind in numbers["kinds"].items()
        if kind in ("unknown", its_kind) and label(setting) in numbers["table"][name]
    ]


def rank(cells: Sequence[Numbers]) -> Numbers:
    """Order the schemes by their typical relative MSE, the simpler one first where they tie."""
    measured = sorted(
        ((code, typical(cells, code)) for code in RECOMMENDED), key=lambda pair: pair[1]
    )
    return {
        "functions": len(cells),
        "copies_as_good": sum("replication-nearest" in cell["best"] for cell in cells),
        "measured": [list(pair) for pair in measured],
    }


def rank_labels(cells: Sequence[Numbers]) -> Numbers:
    """Order the schemes by their mean relative accuracy over the classifiers."""
    accuracies = [cell["relative_accuracy"] for cell in cells]
    means = {
        code: round(float(np.mean([one[code][0] for one in accuracies])), 4)
        for code in (*RECOMMENDED, "kernel-labels")
    }
    return {
        "functions": len(cells),
        "copies_as_good": sum("replication-nearest" in cell["most_accurate"] for cell in cells),
        "measured": sorted(([*pair] for pair in means.items()), key=lambda pair: -pair[1]),
    }


def recommendations(numbers: Numbers) -> Numbers:
    """Give objective, kind and setting to the ranking there."""
    kinds = [*dict.fromkeys(numbers["kinds"].values()), "unknown"]
    outputs = {
        kind: {label(setting): rank(cells_of(numbers, kind, setting)) for setting in SETTINGS}
        for kind in kinds
    }
    labels = {
        label(setting): rank_labels(
            [cell for cell in cells_of(numbers, "network", setting) if "relative_accuracy" in cell]
        )
        for setting in HEAVIER
    }
    return {"outputs": outputs, "labels": {"network": labels, "unknown": labels}}


def package_files(numbers: Numbers) -> dict[str, str]:
    """Give the files of packages that are made from the numbers: path to text."""
    return {"coded/evaluation/recommendations.json": to_json(recommendations(numbers))}


# What README shows.

JOBS = {
    "smooth": "`smooth` in 1 to 3 numbers: sweeps, ODEs, PDEs",
    "rough": "`rough`: kinks, 1 number",
    "polynomial": "`polynomial`, too few answers for `lagrange`",
    "network": "`network`, regression: many numbers",
}


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the decision table, the winners, other losses, and priors."""
    return {
        "zoo-decisions": tell_decisions(numbers),
        "zoo": tell_winners(numbers),
        "zoo-labels": tell_accuracies(numbers),
        "zoo-losses": tell_losses(numbers),
        "zoo-priors": tell_priors(numbers),
    }


def tell_decisions(numbers: Numbers) -> str:
    """Job, setting, scheme to take, and what it and its rivals lose."""
    cells = cells_of(numbers, "unknown", HEAVIER[0])
    rivals = measured(RIVALS, cells)
    rows = []
    for kind, job in JOBS.items():
        for setting in HEAVIER:
            cells = cells_of(numbers, kind, setting)
            name, loss = rank(cells)["measured"][0]
            losses = [typical(cells, rival) for rival in rivals]
            rows.append([job, f"({label(setting)})", name, *map(tell, [loss, *losses])])
    header = ["f", "(K,N,S)", "take", "its relative MSE", *rivals]
    caption = (
        "K inputs, N workers, S of them lost, uniformly drawn; geometric means over the functions "
        "of a kind, named as `coded.recommend` takes it. Where all copies are lost, "
        "`replication-nearest` gives the nearest answer, `replication-mean` the mean of all; "
        "`letcc` as published, in random order and along the path. Some of "
        "these functions served to set constants of ours, with other inputs and losses."
    )
    return f"{to_markdown(header, rows, words=3)}\n\n{caption}"


def tell_winners(numbers: Numbers) -> str:
    """Function by setting: the best, their relative MSE, and how many times less than copies'."""
    header = ["f", *(f"({label(setting)})" for setting in SETTINGS)]
    rows = [
        [name, *(tell_best(cells.get(label(setting))) for setting in SETTINGS)]
        for name, cells in numbers["table"].items()
    ]
    caption = (
        "The best scheme and all that tie with it (the paired difference has a 95 % interval over "
        "batches that includes 0, and a sign test finds no difference), and its mean relative MSE; "
        f"bold: ahead of copies, so many times. {sizes_told()} The functions: "
        "`bench/science/functions.py`. The "
        "constants of `SplineScheme` and `KernelScheme` were set on functions of these kinds "
        "(x sin x, sines, kinks, sweeps) with other inputs and losses, and on tuning images."
    )
    return f"{to_markdown(header, rows, words=len(header))}\n\n{caption}"


def sizes_told() -> str:
    """Say how many batches and draws there were."""
    rare = ", ".join(
        f"{batches} x {draws} at ({label(at)})" for at, (batches, draws) in RARE.items()
    )
    heavy = ", ".join(f"{name} {batches} x {draws}" for name, (batches, draws) in SIZES.items())
    return (
        f"Batches x draws of lost workers: {USUAL[0]} x {USUAL[1]}, {rare}; {heavy}. With 3 "
        "batches an equality says that nothing can be told, not that schemes are as good."
    )


def tell_best(cell: Numbers | None) -> str:
    """Name the best and their equals, the lowest loss, and its ratio to that of copies."""
    if cell is None:
        return ""
    names = " = ".join(cell["best"])
    loss = cell["relative_mse"][cell["best"][0]][0]
    if "replication-nearest" in cell["best"] or loss == 0.0:
        return f"{names}: {tell(loss)}"
    gain = cell["relative_mse"]["replication-nearest"][0] / loss
    return f"**{names}**: {tell(loss)}, {gain:,.{int(gain < 10)}f} x"


def tell_accuracies(numbers: Numbers) -> str:
    """Classifier and setting by scheme: relative accuracy, the best in bold."""
    everywhere = measured(COLOURS, cells_of(numbers, "unknown", HEAVIER[0]))
    rows, names = [], [*everywhere, "kernel-labels"]
    for name, cells in numbers["table"].items():
        for setting, cell in cells.items():
            if "relative_accuracy" in cell:
                accuracies = [
                    f"**{cell['relative_accuracy'][scheme][0]:.3f}**"
                    if scheme in cell["most_accurate"]
                    else f"{cell['relative_accuracy'][scheme][0]:.3f}"
                    for scheme in names
                ]
                rows.append([name, f"({setting})", *accuracies])
    table = to_markdown(["f", "(K,N,S)", *names], rows, words=2)
    return (
        f"{table}\n\nRelative accuracy; bold: the best and all that tie with it; batches and draws "
        "as above."
    )


def tell_losses(numbers: Numbers) -> str:
    """Function and kind of loss by scheme, the best in bold."""
    cells = [cell for models in numbers["losses"].values() for cell in models.values()]
    names = measured(COLOURS, cells)
    rows = [
        [function, model, *tell_row(cell, names)]
        for function, models in numbers["losses"].items()
        for model, cell in models.items()
    ]
    table = to_markdown(["f", "lost", *names], rows, words=2)
    return (
        f"{table}\n\nRelative MSE at (60,100,20), other losses than uniform ones; {USUAL[0]} "
        f"batches x {USUAL[1]} draws; bold as above."
    )


def tell_priors(numbers: Numbers) -> str:
    """Function and setting by scheme without and with its prior, the best in bold."""
    schemes = ("replication-nearest", "letcc, path", "spline", "kernel")
    names = ["prior alone", *(name + end for name in schemes for end in ("", " + prior"))]
    rows = [
        [function, f"({setting})", *tell_row(cell, names)]
        for function, cells in numbers["priors"].items()
        for setting, cell in cells.items()
    ]
    table = to_markdown(["f", "(K,N,S)", *names], rows, words=2)
    caption = (
        "Relative MSE, alone and by `WithPrior` over a solve in a tenth of the steps; "
        f"{USUAL[0]} batches x {USUAL[1]} draws."
    )
    return f"{table}\n\n{caption}"


def tell_row(cell: Numbers, names: Sequence[str]) -> list[str]:
    """Write the losses of one row, those of the best in bold."""
    losses = {name: tell(cell["relative_mse"][name][0]) for name in names}
    return [f"**{loss}**" if name in cell["best"] else loss for name, loss in losses.items()]


def tell(loss: float) -> str:
    """Write a loss."""
    return f"{loss:.1e}" if loss else "0"


COLOURS = {
    "berrut": "#999999",
    "bspline": "#000000",
    "letcc": "#E69F00",
    "letcc, path": "#D55E00",
    "replication-mean": "#56B4E9",
    "replication-nearest": "#0072B2",
    "spline": "#009E73",
    "kernel": "#CC79A7",
}
MARKERS = {
    "berrut": "x",
    "bspline": "+",
    "letcc": "^",
    "letcc, path": "v",
    "spline": "D",
    "kernel": "o",
}


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw what each scheme loses on seven functions at (60, 100, 20)."""
    shown = [name for name in DRAWN if name in numbers["table"]]
    figure = Figure(figsize=(8.0, 0.6 * len(shown) + 1.6), layout="constrained")
    axes = figure.subplots()
    cells = [numbers["table"][function]["60,100,20"] for function in shown]
    for name in measured(COLOURS, cells):
        means, half_widths = np.array([cell["relative_mse"][name] for cell in cells]).T
        lower = np.minimum(half_widths, 0.9 * means)  # an interval that reaches 0 has no log
        axes.errorbar(
            means,
            np.arange(len(shown)),
            xerr=[lower, half_widths],
            fmt=MARKERS.get(name, "s"),
            color=COLOURS[name],
            label=name,
            markersize=7,
            capsize=2,
        )
    axes.set_xscale("log")
    axes.set_yticks(np.arange(len(shown)), shown)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("mean square of the error / variance of f   (less is better)")
    axes.set_title("(K,N,S) = (60,100,20), losses uniform, 95 % intervals over batches")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return {"zoo.png": figure}


DRAWN = (
    "x sin x",
    "van der Pol, 1-D sweep",
    "pendulum, 2-D sweep",
    "Burgers, 2 parameters",
    "kinked",
    "sines, R² to R³",
    "trained regression, R⁵",
)
