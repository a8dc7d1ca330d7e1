"""How much LeTCC's settings matter: both lam, the kind of points, and the order of the inputs.

Everything is LeTCC as published (BACC beside it where the order is looked at), on the batches that
are reported: nothing is chosen here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.documents import to_markdown
from bench.science.placed import PlacedSpline
from bench.science.trials import Array, Contender, Trial, interval, tell
from bench.science.trials import run as race
from bench.science.workloads import Workload, curve, lenet_digits, random_network
from coded import (
    BerrutScheme,
    ConsecutiveStragglers,
    SplineScheme,
    StragglerModel,
    chebyshev_first,
    chebyshev_second,
    equidistant,
    path_order,
)

LAMS = [0.0, *(10.0**power for power in range(-12, -1))]  # ten decades, and none
POINTS = {"Chebyshev": (chebyshev_first, chebyshev_second), "equidistant": (equidistant,) * 2}
ORDERS = ["random", "path", "oracle"]
LOST = ["random", "block"]
CELLS = (
    "Of x sin x the MSE, of the networks the mean L2 error of the class probabilities, and how "
    "often estimate and f name the same class (LeNet5: relative accuracy)."
)
OURS, THEIRS = "#0072B2", "#D55E00"

Numbers = dict[str, Any]
Order = Callable[[Array], NDArray[np.intp]]


def workloads(batches: int) -> list[Workload]:
    """Give the curve as drawn, the random network on ten clusters, LeNet5 on digits."""
    return [
        curve(batches=batches, order="as drawn"),
        random_network(batches=batches, clusters=10),
        lenet_digits(batches=batches),
    ]


def order_of(kind: str, workload: Workload) -> Order | None:
    """Give the path through the inputs, or, as an oracle may, through their outputs."""
    if kind == "random":
        return None
    return path_order if kind == "path" else lambda inputs: path_order(workload.fn(inputs))


def measures(trial: Trial) -> Numbers:
    """Give what is stored of one cell."""
    found = {"mse": interval(trial.mse), "l2": interval(trial.l2)}
    if trial.outputs.shape[-1] > 1:
        found["agreement"] = interval(trial.agreement)
    if trial.labels is not None:
        found["relative accuracy"] = interval(trial.relative_accuracy)
    return found


def run(*, quick: bool = False) -> Numbers:
    """Measure all three."""
    batches, draws = (2, 2) if quick else (20, 5)
    lams = LAMS[::4] if quick else LAMS
    numbers: Numbers = {"batches": batches, "draws": draws, "lams": lams}
    numbers |= {"lam": {}, "points": {}, "order": {}}
    for workload in workloads(batches):
        n_inputs, n_workers = workload.n_inputs, workload.n_workers

        def measured(
            scheme: SplineScheme | PlacedSpline | BerrutScheme,
            order: str = "path",
            stragglers: StragglerModel | None = None,
            workload: Workload = workload,
        ) -> Numbers:
            trial = race(
                workload.fn,
                workload.report,
                Contender("", lambda _: scheme, order_of(order, workload)),
                stragglers=stragglers or workload.n_stragglers,
                draws=draws,
                seed=61,
            )
            return measures(trial)

        paper = SplineScheme.paper
        numbers["lam"][workload.name] = {
            "lam_enc": [measured(paper(n_inputs, n_workers, lam_enc=lam)) for lam in lams],
            "lam_dec": [measured(paper(n_inputs, n_workers, lam_dec=lam)) for lam in lams],
        }
        block = ConsecutiveStragglers(workload.n_stragglers // 4)
        numbers["points"][workload.name] = {
            f"{of_inputs}, {of_workers}": {
                "random": measured(scheme),
                "block": measured(scheme, stragglers=block),
            }
            for of_inputs, (alpha, _) in POINTS.items()
            for of_workers, (_, beta) in POINTS.items()
            for scheme in [PlacedSpline(alpha(n_inputs), beta(n_workers))]
        }
        numbers["order"][workload.name] = {
            name: {order: measured(scheme, order) for order in ORDERS}
            for name, scheme in (
                ("berrut", BerrutScheme(n_inputs, n_workers)),
                ("letcc", paper(n_inputs, n_workers)),
            )
        }
    return numbers


def tables(numbers: Numbers) -> dict[str, str]:
    """Give the three tables."""
    names = list(numbers["lam"])
    how = (
        f"(K, N, S) = (60, 100, 20), {numbers['batches']} batches x {numbers['draws']} paired "
        "draws, 95 % intervals"
    )
    rows = []
    for i, lam in enumerate(numbers["lams"]):
        swept = [
            numbers["lam"][name][which][i] for name in names for which in ("lam_enc", "lam_dec")
        ]
        rows.append([f"{lam:.0e}" if lam else "0", *(cell(one) for one in swept)])
    header = ["lam", *(f"{name}, {which}" for name in names for which in ("lam_enc", "lam_dec"))]
    by_lam = (
        f"{to_markdown(header, rows, words=0)}\n\n"
        f"`letcc` as published, inputs along their path, one lam varied, the other 0; "
        f"{how}. {CELLS}"
    )
    header = ["points of inputs, workers"]
    header += [f"{name}, {lost}" for name in names for lost in LOST]
    rows = [
        [kind, *(cell(numbers["points"][name][kind][lost]) for name in names for lost in LOST)]
        for kind in numbers["points"][names[0]]
    ]
    by_points = (
        f"{to_markdown(header, rows)}\n\n"
        f"`letcc` with other points, lam 0, inputs along their path; S workers lost at random, or "
        f"a block of S / 4 neighbours; {how}. {CELLS}"
    )
    rows = [
        [f"{name}", scheme, *(cell(found[order]) for order in ORDERS)]
        for name in names
        for scheme, found in numbers["order"][name].items()
    ]
    by_order = (
        f"{to_markdown(['', 'scheme', *ORDERS], rows, words=2)}\n\n"
        f"Order of the inputs: as drawn, along the path through the inputs (`path_order`), along "
        f"the path through the outputs, which only an oracle knows (and which folds a "
        f"curve that is not monotone, as x sin x); {how}. {CELLS}"
    )
    return {
        "sensitivity-lam": by_lam,
        "sensitivity-points": by_points,
        "sensitivity-order": by_order,
    }


def cell(found: Numbers) -> str:
    """Write the MSE of a number; of classes, mean L2 and accuracy."""
    accuracy = found.get("relative accuracy", found.get("agreement"))
    if accuracy is None:
        return f"{found['mse'][0]:.1e} ± {found['mse'][1]:.0e}"
    return f"{tell(found['l2'])} / {accuracy[0]:.3f}"


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw errors along both lam above, and by order and scheme below."""
    names, lams = list(numbers["lam"]), numbers["lams"]
    figure = Figure(figsize=(3.3 * len(names), 5.8), dpi=100, layout="constrained")
    panels = figure.subplots(2, len(names))
    places = np.arange(len(lams))
    for column, name in enumerate(names):
        measure = "l2" if "agreement" in numbers["order"][name]["letcc"]["path"] else "mse"
        label = "mean L2 error" if measure == "l2" else "MSE"
        above, below = panels[:, column]
        for which, color in (("lam_enc", THEIRS), ("lam_dec", OURS)):
            mean, half = np.array([one[measure] for one in numbers["lam"][name][which]]).T
            above.plot(places, mean, "o-", ms=3, color=color, label=which)
            above.fill_between(places, mean - half, mean + half, color=color, alpha=0.2, lw=0)
        above.set_xticks(places[::3], [f"{lam:.0e}" if lam else "0" for lam in lams[::3]])
        above.set_xlabel("lam, the other one 0")
        above.set_title(name, fontsize=9)
        for scheme, color, shift in (("berrut", THEIRS, -0.17), ("letcc", OURS, 0.17)):
            found = numbers["order"][name][scheme]
            mean, half = np.array([found[order][measure] for order in ORDERS]).T
            below.errorbar(
                np.arange(3) + shift, mean, half, fmt="o", color=color, capsize=3, label=scheme
            )
        below.set_xticks(np.arange(3), ORDERS)
        below.set_xlim(-0.6, 2.6)
        below.set_xlabel("order of the inputs")
        for axes in (above, below):
            axes.set_ylabel(label)
            if measure == "mse":
                axes.set_yscale("log")
            else:
                axes.set_ylim(bottom=0.0)
            axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].legend(frameon=False, fontsize=8)
    panels[1, 0].legend(frameon=False, fontsize=8)
    return {"sensitivity.png": figure}
