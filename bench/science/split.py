"""The theory made visible: loss <= decoder's generalisation error + encoder's training error.

LeTCC as published at each pair (lam_enc, lam_dec) of a grid. The best pair by the loss and the best
by the bound are chosen on tuning batches, and what they give is reported on others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.science.trials import Array, Batch, interval, remembered
from bench.science.workloads import Workload, curve, lenet_digits, random_network
from coded import SplineScheme, simulate

LAMS = [0.0, *(10.0**power for power in range(-12, -1))]  # ten decades, and none
TERMS = ["loss", "decoder", "encoder"]  # in this order along the last axis
OURS, THEIRS, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8C8C8C"

Numbers = dict[str, Any]


def terms(
    workload: Workload, batches: list[Batch], pairs: list[tuple[float, float]], *, draws: int
) -> Array:
    """Give loss, decoder's and encoder's share of each batch and pair, (batches, pairs, 3)."""
    measured = np.empty((len(batches), len(pairs), len(TERMS)))
    for i, batch in enumerate(batches):
        fn = remembered(workload.fn)  # coded inputs are the same for all lam_dec
        for j, (lam_enc, lam_dec) in enumerate(pairs):
            simulation = simulate(
                fn,
                batch.inputs,
                SplineScheme.paper(
                    workload.n_inputs, workload.n_workers, lam_enc=lam_enc, lam_dec=lam_dec
                ),
                stragglers=workload.n_stragglers,
                repeats=draws,
                rng=i,
            )
            shares = simulation.generalization_error.mean(), simulation.training_error
            measured[i, j] = simulation.mse.mean(), *shares
    return measured


def run(*, quick: bool = False) -> Numbers:
    """Search the grid on tuning batches, measure what was found on the others."""
    count, draws = (2, 2) if quick else (10, 5)
    lams = LAMS[::4] if quick else LAMS
    pairs = [(lam_enc, lam_dec) for lam_enc in lams for lam_dec in lams]
    workloads = [
        curve(batches=2 * count),
        random_network(batches=2 * count),
        random_network(batches=2 * count, setting=(20, 60, 35)),
        lenet_digits(batches=2 * count),
    ]
    numbers: Numbers = {"lams": lams, "draws": draws, "tuning": count, "report": 2 * count}
    numbers["workloads"] = {}
    for workload in workloads:
        grid = terms(workload, workload.tuning[:count], pairs, draws=draws)
        mean = grid.mean(axis=0)
        chosen = {
            "none (0, 0)": 0,
            "loss": int(mean[:, 0].argmin()),
            "sum": int(mean[:, 1:].sum(axis=1).argmin()),
        }
        report = terms(workload, workload.report, [pairs[j] for j in chosen.values()], draws=draws)
        both = np.concatenate([grid.reshape(-1, 3), report.reshape(-1, 3)])
        numbers["workloads"][workload.title] = {
            "grid": [[float(f"{value:.3g}") for value in row] for row in mean],
            "loss over sum": float((both[:, 0] / both[:, 1:].sum(axis=1)).max()),
            "chosen": {
                by: {
                    "lams": pairs[j],
                    **{term: interval(report[:, i, t]) for t, term in enumerate(TERMS)},
                }
                for i, (by, j) in enumerate(chosen.items())
            },
        }
    return numbers


def tables(numbers: Numbers) -> dict[str, str]:
    """Give what the best pairs by loss and by bound give, beside no smoothing."""
    rows = []
    for name, found in numbers["workloads"].items():
        for by, one in found["chosen"].items():
            loss, decoder, encoder = (one[term] for term in TERMS)
            cells = [f"{lam:.0e}" if lam else "0" for lam in one["lams"]]
            cells += [f"{loss[0]:.2e} ± {loss[1]:.0e}", f"{decoder[0]:.2e}", f"{encoder[0]:.2e}"]
            rows.append([name, by, *cells, f"{decoder[0] + encoder[0]:.2e}"])
    header = ["", "chosen by", "lam_enc", "lam_dec", "loss", "decoder's", "encoder's", "sum"]
    largest = max(found["loss over sum"] for found in numbers["workloads"].values())
    decades = f"{numbers['lams'][1]:.0e} ... {numbers['lams'][-1]:.0e}"
    return {
        "split": f"{to_markdown(header, rows, words=2)}\n\n"
        "`letcc` as published, inputs of the networks in random order: "
        f"MSE and the two terms that bound it. Both lam from 0 and {decades} by "
        f"{numbers['tuning']} tuning batches, reported on {numbers['report']} others, "
        f"{numbers['draws']} draws each; 95 % intervals over batches. Loss over sum was at most "
        f"{largest:.3f} in every batch at every pair of lam (the theorem: 1)."
    }


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw loss and shares along each lam, the other one at its best."""
    names = list(numbers["workloads"])
    lams = numbers["lams"]
    figure = Figure(figsize=(3.3 * len(names), 5.6), dpi=100, layout="constrained")
    panels = figure.subplots(2, len(names))
    for column, name in enumerate(names):
        grid = np.array(numbers["workloads"][name]["grid"]).reshape(len(lams), len(lams), -1)
        best_enc, best_dec = np.unravel_index(grid[:, :, 0].argmin(), grid.shape[:2])
        along = {"lam_enc": grid[:, best_dec], "lam_dec": grid[best_enc]}
        for axes, (lam, lines) in zip(panels[:, column], along.items(), strict=True):
            places = np.arange(len(lams))
            axes.plot(places, lines[:, 1:].sum(axis=1), color=GREY, lw=3, label="sum, the bound")
            axes.plot(places, lines[:, 1], "--", color=OURS, label="decoder's share")
            shown = lines[:, 2] > 0
            axes.plot(places[shown], lines[shown, 2], "--", color=THEIRS, label="encoder's share")
            axes.plot(places, lines[:, 0], color=GREEN, label="loss")
            axes.set_yscale("log")
            axes.set_xticks(places[::3], [f"{value:.0e}" if value else "0" for value in lams[::3]])
            axes.set_xlabel(f"{lam}, the other one at its best")
            axes.spines[["top", "right"]].set_visible(False)
        panels[0, column].set_title(name, fontsize=10)
    for axes in panels[:, 0]:
        axes.set_ylabel("mean square error")
    panels[0, 0].legend(frameon=False, fontsize=8)
    return {"split.png": figure}
