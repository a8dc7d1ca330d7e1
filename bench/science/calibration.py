"""Whether a scheme knows how wrong it is: its `std` and P(label right) against the truth.

Over the outputs that are estimates: root mean square of the errors over that of std (1 is right,
above 1 is too sure of itself), the area under the ROC curve for "the label is wrong" (also over all
outputs, exact answers with P = 1 included), and how often labels are right in each quarter of what
was predicted. A label is right where it is f's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from bench.documents import to_markdown
from bench.science import datasets, networks, trials
from bench.science.rivals import (
    KERNEL,
    MEAN,
    MEMORY,
    NEAREST,
    PRIOR_KERNEL,
    PRIOR_SPLINE,
    SPLINE,
    Case,
)
from bench.science.trials import Array, Counts, Trial
from coded import label_confidence

SETTINGS = (Counts(20, 100, 60), Counts(60, 100, 20), Counts(60, 100, 60))
SCHEMES = (MEAN, NEAREST, SPLINE, KERNEL, MEMORY, PRIOR_SPLINE, PRIOR_KERNEL)
SEED = 4
BATCHES, DRAWS = 30, 10
BAND, AREA = (0.8, 1.25), 0.8  # what rms(error) / rms(std) and the ROC area have to reach
BINS = 4
COLOURS = {NEAREST: "#999999", SPLINE: "#0072B2", KERNEL: "#009E73", MEMORY: "#CC79A7"}

Flags = NDArray[np.bool_]
Numbers = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Estimates:
    """The outputs of one batch that are estimates, M of them.

    Attributes
    ----------
    error, std : ndarray, shape (M,)
        What the L2 error was and what it was thought to be.
    confidence : ndarray, shape (M,)
        P(label right), as predicted.
    right : ndarray of bool, shape (M,)
        Whether it was.
    """

    error: Array
    std: Array
    confidence: Array
    right: Flags

    @classmethod
    def of(cls, trial: Trial, *, answers_too: bool = False) -> list[Estimates]:
        """Give those of each batch, or all outputs of it, exact answers too."""
        if trial.std is None:
            raise ValueError("the scheme gives no std; choose one that estimates its errors")
        confidence = label_confidence(trial.outputs, trial.std)
        right = trial.outputs.argmax(axis=-1) == trial.reference.argmax(axis=-1)[:, None]
        parts = (trial.errors, trial.std, confidence, right)
        chosen = ~trial.exact | answers_too
        return [cls(*(part[i][rows] for part in parts)) for i, rows in enumerate(chosen)]

    @classmethod
    def joined(cls, batches: Sequence[Estimates]) -> Estimates:
        """Give those of all batches together."""
        fields = ("error", "std", "confidence", "right")
        return cls(*(np.concatenate([getattr(one, field) for one in batches]) for field in fields))

    @property
    def ratio(self) -> float:
        """Root mean square of the errors over that of std."""
        return float(np.sqrt(np.mean(self.error**2) / np.mean(self.std**2)))

    @property
    def area(self) -> float:
        """Area under the ROC curve of low confidence as a sign of a wrong label."""
        return roc_area(self.confidence, self.right)


def roc_area(score: Array, positive: Flags) -> float:
    """Give the chance that a positive has a higher score than a negative, ties counting half."""
    from scipy.stats import rankdata

    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    ranks = rankdata(score)[positive].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def jackknife(batches: Sequence[Estimates], measure: str) -> list[float]:
    """Give a measure of all batches together and the half width of its 95 % interval.

    By leaving out a batch at a time: the measures are no means over batches.
    """
    whole = float(getattr(Estimates.joined(batches), measure))
    others = [
        getattr(Estimates.joined([*batches[:i], *batches[i + 1 :]]), measure)
        for i in range(len(batches))
    ]
    pseudo = len(batches) * whole - (len(batches) - 1) * np.array(others)
    return [whole, trials.interval(pseudo)[1]]


def by_quantile(predicted: Array, true: Array, bins: int = BINS) -> list[list[float]]:
    """Give mean prediction and mean truth in equal shares of the predictions, ascending."""
    order = np.argsort(predicted, kind="stable")
    return [
        [float(predicted[part].mean()), float(true[part].mean())]
        for part in np.array_split(order, bins)
    ]


def measured(trial: Trial) -> Numbers:
    """Give all that is stored of one scheme in one setting."""
    batches = Estimates.of(trial)
    whole = Estimates.joined(batches)
    return {
        "estimates": len(whole.error),
        "right": _rounded(whole.right.mean()),
        "ratio": _rounded(jackknife(batches, "ratio")),
        "area": _rounded(jackknife(batches, "area")),
        "area_of_all": _rounded(Estimates.joined(Estimates.of(trial, answers_too=True)).area),
        "labels": _rounded(by_quantile(whole.confidence, whole.right.astype(float))),
        "errors": _rounded(np.sqrt(by_quantile(whole.std**2, whole.error**2, bins=8))),
    }


def _rounded(values: ArrayLike) -> Any:
    """Give numbers as they are stored."""
    return np.round(values, 4).tolist()


def run_case(case: Case, settings: Sequence[Counts], *, count: int, draws: int) -> Numbers:
    """Give the numbers of each scheme in each setting on one network."""
    numbers: Numbers = {}
    for setting in settings:
        batches = case.batches(setting.n_inputs, count)
        numbers[str(setting)] = {
            one.name: measured(
                trials.run(
                    case.fn,
                    batches,
                    one,
                    stragglers=setting.n_stragglers,
                    draws=draws,
                    seed=SEED,
                )
            )
            for one in case.contenders(setting, SCHEMES)
        }
    return numbers


def run(*, quick: bool) -> Numbers:
    """Run all schemes that estimate their errors on all networks."""
    digits = Case(networks.lenet5(), datasets.digits())
    if quick:
        return {"digits": run_case(digits, SETTINGS[2:], count=5, draws=4)}
    others = {
        "Fashion": Case(networks.lenet5("fashion"), datasets.fashion()),
        "RepVGG": Case(networks.repvgg(), datasets.cifar10()),
    }
    return {
        name: run_case(case, SETTINGS, count=BATCHES, draws=DRAWS)
        for name, case in {"digits": digits, **others}.items()
    }


def tables(numbers: Numbers) -> dict[str, str]:
    """Give README's table: a cell holds the ratio, the area, and the area over all outputs."""
    rows = []
    heavy = str(SETTINGS[-1])
    shown = list(next(iter(numbers.values())))
    for network, settings in numbers.items():
        for scheme in SCHEMES:
            parts = [settings[setting][scheme] for setting in shown]
            labels = ", ".join(
                f"{said:.2f} → {was:.2f}" for said, was in settings[heavy][scheme]["labels"]
            )
            rows.append([network, scheme, *(_cell(part) for part in parts), labels])
    header = ["network", "scheme", *shown, f"P(label right) at {heavy}, said → was, by quarter"]
    caption = (
        f"{BATCHES} batches x {DRAWS} draws. In each cell rms(error) / rms(std) over the lost "
        f"outputs, to lie within {BAND[0]} and {BAND[1]}; the ROC area of `label_confidence` for a "
        f"right label among the lost outputs, to reach {AREA}, with its 95 % interval; the area "
        "over all outputs, exact ones included. Bold: missed. `label_confidence` weighs all "
        "classes since a first look at these results, where it weighed the two largest; that was "
        "compared on tuning images."
    )
    return {"science-calibration": f"{to_markdown(header, rows, words=2)}\n\n{caption}"}


def _cell(part: Numbers) -> str:
    """Write one scheme in one setting; what misses the figure to reach is bold."""
    ratio, area = part["ratio"], part["area"]
    words = [
        _judged(ratio, is_met=BAND[0] <= ratio[0] <= BAND[1]),
        _judged(area, is_met=area[0] >= AREA),
        f"{part['area_of_all']:.2f}",
    ]
    return " / ".join(words)


def _judged(pair: Sequence[float], *, is_met: bool) -> str:
    text = trials.tell(pair, 2)
    return text if is_met else f"**{text}**"


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw what was said against what was, at heavy straggling: errors, and labels."""
    figure = Figure(figsize=(9.6, 4.2), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    markers = dict(zip(numbers, "os^", strict=False))
    for network, settings in numbers.items():
        for scheme, colour in COLOURS.items():
            row = settings[str(SETTINGS[-1])][scheme]
            style = {"marker": markers[network], "color": colour, "ms": 4, "lw": 1}
            left.plot(*zip(*row["errors"], strict=True), **style)
            right.plot(*zip(*row["labels"], strict=True), **style)
    for axes, low, high in ((left, 2.5, 25.0), (right, 0.0, 1.02)):
        axes.plot([low, high], [low, high], color="#000000", lw=1, ls=":")
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.grid(alpha=0.3)
    left.set_xscale("log")
    left.set_yscale("log")
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(FixedLocator([3, 5, 10, 20]))
        axis.set_major_formatter("{x:.0f}")
        axis.set_minor_locator(NullLocator())
    left.set_xlabel("L2 error as predicted, std (eighths)")
    left.set_ylabel("root mean square of the L2 errors")
    right.set_xlabel("P(label right) as predicted (quarters)")
    right.set_ylabel("share of labels that were right")
    schemes = [Line2D([], [], color=colour, label=name) for name, colour in COLOURS.items()]
    left.legend(handles=schemes, fontsize=8, frameon=False, loc="upper left")
    kinds = [
        Line2D([], [], color="#000000", ls="", marker=marker, ms=4, label=name)
        for name, marker in markers.items()
    ]
    right.legend(handles=kinds, fontsize=8, frameon=False, loc="upper left")
    return {"calibration.png": figure}
