"""Coded inference of LeNet5: our schemes, their rivals and the bounds, in the same draws.

On held-out MNIST digits; `fashion` does the same on Fashion-MNIST. Estimates are of logits. Each
measure is one number a batch; intervals are 95 %, over batches. Three experiments: a table of all
schemes, losses that are not uniform, and a curve over the number of answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.science import datasets, networks, trials
from bench.science.rivals import (
    BERRUT,
    CHORDS,
    KERNEL,
    LETCC,
    LETCC_PATH,
    MEAN,
    MEMORY,
    MEMORY_ALONE,
    NEAREST,
    RAW,
    SPLINE,
    Case,
)
from bench.science.trials import Counts, Trial, differences, interval
from coded import ConsecutiveStragglers, IndependentStragglers, MachineStragglers, StragglerModel

PAPER = (Counts(20, 100, 60), Counts(20, 60, 20), Counts(60, 100, 20))
HEAVY = Counts(60, 100, 60)
LOST_OTHERWISE = (Counts(20, 100, 60), Counts(60, 100, 20))
MACHINES = 10
ANSWERS = (5, 10, 20, 30, 40, 60, 80, 90)  # of 100 workers, 60 inputs
SEED = 3
MEASURES = ("relative_accuracy", "l2")

MAIN = (BERRUT, LETCC, LETCC_PATH, MEAN, NEAREST, SPLINE, KERNEL, MEMORY)
PAIRS = {
    "l2": (
        (LETCC, BERRUT),
        (LETCC_PATH, LETCC),
        (SPLINE, LETCC_PATH),
        (SPLINE, NEAREST),
        (KERNEL, LETCC_PATH),
        (KERNEL, NEAREST),
        (KERNEL, SPLINE),
        (MEMORY, MEMORY_ALONE),
    ),
    "relative_accuracy": (
        (LETCC, BERRUT),
        (LETCC_PATH, LETCC),
        (SPLINE, LETCC),
        (KERNEL, LETCC),
        (KERNEL, LETCC_PATH),
        (KERNEL, MEAN),
        (KERNEL, NEAREST),
        (KERNEL, SPLINE),
        (MEMORY, MEMORY_ALONE),
    ),
}
# BACC, a little below LeTCC everywhere, is left out of the picture.
CURVES = {
    MEAN: ("#56B4E9", "x-"),
    NEAREST: ("#999999", "^-"),
    LETCC: ("#D55E00", "s-"),
    LETCC_PATH: ("#E69F00", "s-"),
    SPLINE: ("#0072B2", "D-"),
    KERNEL: ("#009E73", "v-"),
    MEMORY: ("#CC79A7", "o-"),
}

Numbers = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """What a scheme has to reach, relative accuracy and L2 a setting.

    A check asks for agreement instead: relative accuracy within .015, L2 within the interval of
    the difference of two runs of this size.
    """

    scheme: str
    figures: Mapping[Counts, tuple[float, float | None]]
    is_check: bool = False

    def judge(self, setting: Counts, row: Mapping[str, Sequence[float]]) -> bool:
        """Tell whether the row of numbers reaches it."""
        accuracy, l2 = self.figures[setting]
        ours, (error, half_width) = row["relative_accuracy"][0], row["l2"]
        if self.is_check:
            is_near = l2 is None or abs(error - l2) <= np.sqrt(2.0) * half_width
            return abs(ours - accuracy) <= 0.015 and is_near
        return ours >= accuracy and (l2 is None or error <= l2)


def _target(scheme: str, *figures: tuple[float, float | None], check: bool = False) -> Target:
    return Target(scheme, dict(zip(PAPER, figures, strict=True)), check)


TARGETS = (
    _target(BERRUT, (0.903, None), (0.948, None), (0.891, None), check=True),
    _target(LETCC, (0.929, None), (0.962, None), (0.912, None), check=True),
    _target(LETCC_PATH, (0.967, None), (0.982, None), (0.971, None), check=True),
    _target(NEAREST, (0.965, 1.11), (0.985, 0.48), (0.968, 1.10), check=True),
    _target(SPLINE, (0.970, 1.15), (0.985, 0.60), (0.975, 1.10)),
    _target(KERNEL, (0.967, 0.97), (0.984, 0.46), (0.983, 0.83)),
    _target(RAW, (0.957, 1.12), (0.980, 0.53), (0.967, 1.13)),
    _target(CHORDS, (0.972, None), (0.986, None), (0.984, None)),
    _target(MEMORY, (0.995, 0.42), (0.997, 0.20), (0.992, 0.51)),
    Target(KERNEL, {HEAVY: (0.885, None)}),
)


def run_case(case: Case, settings: Sequence[Counts], *, count: int, draws: int) -> Numbers:
    """Give all rows and paired differences for each setting; `run` is for the command."""
    numbers: Numbers = {}
    for setting in settings:
        raced = all_trials(case, setting, count=count, draws=draws)
        numbers[str(setting)] = {
            "rows": {name: measured(trial) for name, trial in raced.items()},
            "differences": {
                measure: differences(raced, measure, pairs) for measure, pairs in PAIRS.items()
            },
        }
    return numbers


def all_trials(case: Case, setting: Counts, *, count: int, draws: int) -> dict[str, Trial]:
    """Run every contender and floor on the same batches and the same losses."""
    batches = case.batches(setting.n_inputs, count)
    raced = {
        one.name: trials.run(
            case.fn, batches, one, stragglers=setting.n_stragglers, draws=draws, seed=SEED
        )
        for one in case.contenders(setting)
    }
    return raced | case.floors(batches)


def measured(
    trial: Trial, measures: Sequence[str] = (*MEASURES, "probability_l2")
) -> dict[str, list[float]]:
    """Give each measure with its interval."""
    return {measure: interval(getattr(trial, measure)) for measure in measures}


def run_anytime(case: Case, *, count: int, draws: int, answers: Sequence[int]) -> Numbers:
    """Give accuracy and L2 after so many answers; the codes do not know how many will come."""
    batches = case.batches(60, count)
    contenders = case.contenders(Counts(60, 100, 40), MAIN)
    curves: Numbers = {one.name: {measure: [] for measure in MEASURES} for one in contenders}
    for number in answers:
        for one in contenders:
            trial = trials.run(
                case.fn, batches, one, stragglers=100 - number, draws=draws, seed=SEED
            )
            for measure, values in curves[one.name].items():
                values.append(interval(getattr(trial, measure)))
    alone = measured(case.floors(batches)[MEMORY_ALONE], MEASURES)
    return {"answers": list(answers), "curves": curves, "floor": alone}


def models(setting: Counts) -> dict[str, int | StragglerModel]:
    """Give ways to lose as many workers, exactly or on average."""
    lost, per_machine = setting.n_stragglers, setting.n_workers // MACHINES
    return {
        "uniform": lost,
        "independent": IndependentStragglers(lost / setting.n_workers),
        "a block": ConsecutiveStragglers(lost),
        "whole machines": MachineStragglers(lost // per_machine, per_machine),
    }


def run_losses(case: Case, settings: Sequence[Counts], *, count: int, draws: int) -> Numbers:
    """Give accuracy and L2 of the main schemes where workers are not lost uniformly."""
    numbers: Numbers = {}
    for setting in settings:
        batches = case.batches(setting.n_inputs, count)
        numbers[str(setting)] = {
            name: {
                loss: measured(
                    trials.run(case.fn, batches, one, stragglers=model, draws=draws, seed=SEED),
                    MEASURES,
                )
                for loss, model in models(setting).items()
            }
            for name, one in ((one.name, one) for one in case.contenders(setting, MAIN))
        }
    return numbers


def run(*, quick: bool) -> Numbers:
    """Run all three experiments."""
    case = Case(networks.lenet5(), datasets.digits())
    if quick:
        few = {"count": 3, "draws": 2}
        return {
            "schemes": {"settings": run_case(case, PAPER[2:], **few), **few},
            "losses": {"settings": run_losses(case, LOST_OTHERWISE[:1], **few), **few},
            "anytime": run_anytime(case, **few, answers=(10, 60)),
        }
    many, some = {"count": 30, "draws": 15}, {"count": 20, "draws": 10}
    return {
        "schemes": {"settings": run_case(case, (*PAPER, HEAVY), **many), **many},
        "losses": {"settings": run_losses(case, LOST_OTHERWISE, **some), **some},
        "anytime": run_anytime(case, count=15, draws=8, answers=ANSWERS),
    }


def tables(numbers: Numbers) -> dict[str, str]:
    """Give the tables of README."""
    schemes, losses = numbers["schemes"], numbers["losses"]
    return {
        "science-digits": f"{table_of_rows(schemes['settings'])}\n\n{tell_size(schemes)}",
        "science-digits-differences": table_of_differences(schemes["settings"]),
        "science-digits-targets": table_of_targets(schemes["settings"]),
        "science-digits-losses": f"{table_of_losses(losses['settings'])}\n\n{tell_size(losses)}",
    }


def tell_size(part: Numbers) -> str:
    """Say how many batches and draws there were."""
    return (
        f"Means and 95 % intervals over {part['count']} batches, no two of which share an image, "
        f"{part['draws']} draws of lost workers each, the same for all schemes."
    )


def table_of_rows(settings: Numbers) -> str:
    """Write relative accuracy, L2 and probability L2 of each scheme and setting."""
    names = next(iter(settings.values()))["rows"]
    return to_markdown(
        ["scheme", *settings],
        [[name, *(_cell(part["rows"][name]) for part in settings.values())] for name in names],
    )


def table_of_differences(settings: Numbers) -> str:
    """Write paired differences; those whose interval excludes 0 are bold."""
    first = next(iter(settings.values()))["differences"]
    words = {"l2": ("L2", 2), "relative_accuracy": ("RelAcc", 3)}
    rows = []
    for measure, (word, places) in words.items():
        for pair in first[measure]:
            cells = []
            for part in settings.values():
                mean, half = part["differences"][measure][pair]
                text = f"{mean:+.{places}f} ± {half:.{places}f}"
                cells.append(f"**{text}**" if abs(mean) > half else text)
            rows.append([f"{word}: {pair}", *cells])
    return to_markdown(["paired difference", *settings], rows)


def table_of_targets(settings: Numbers) -> str:
    """Write what had to be reached beside what was, and whether it was."""
    rows = []
    for target in TARGETS:
        for setting, (accuracy, l2) in target.figures.items():
            if str(setting) not in settings:
                continue
            row = settings[str(setting)]["rows"][target.scheme]
            ours = f"{_short(row['relative_accuracy'][0])}"
            asked = f"{'' if target.is_check else '≥ '}{_short(accuracy)}"
            if l2 is not None:
                asked += f" / {'' if target.is_check else '≤ '}{l2:.2f}"
                ours += f" / {row['l2'][0]:.2f}"
            reached = ("agrees", "differs") if target.is_check else ("yes", "no")
            verdict = reached[0] if target.judge(setting, row) else reached[1]
            rows.append([target.scheme, str(setting), asked, ours, verdict])
    return to_markdown(["scheme", "setting", "figure to reach", "ours", "reached"], rows, words=2)


def table_of_losses(settings: Numbers) -> str:
    """Write relative accuracy and L2 of the main schemes, a column a way of losing workers."""
    ways = next(iter(next(iter(settings.values())).values()))
    rows = [
        [f"{setting} {name}", *(_cell(row[way], short=True) for way in ways)]
        for setting, part in settings.items()
        for name, row in part.items()
    ]
    return to_markdown(["scheme", *ways], rows)


def _cell(row: Mapping[str, Sequence[float]], *, short: bool = False) -> str:
    accuracy, l2 = row["relative_accuracy"], row["l2"]
    text = f"{_short(accuracy[0])}±{_short(accuracy[1])} / {l2[0]:.2f}±{l2[1]:.2f}"
    return text if short else f"{text} / {_short(row['probability_l2'][0])}"


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw accuracy and error over the number of answers."""
    anytime = numbers["anytime"]
    figure = Figure(figsize=(9.6, 3.9), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    _curves(left, anytime, "relative_accuracy")
    left.set_ylabel("relative accuracy")
    left.set_ylim(0.2, 1.01)
    _curves(right, anytime, "l2")
    right.set_ylabel("mean L2 error of the logits")
    right.set_yscale("log")
    left.legend(fontsize=8, frameon=False, loc="lower right")
    return {"digits.png": figure}


def _curves(axes: Axes, anytime: Numbers, measure: str) -> None:
    for name, (colour, style) in CURVES.items():
        pairs = anytime["curves"][name][measure]
        mean = [pair[0] for pair in pairs]
        axes.plot(anytime["answers"], mean, style, color=colour, label=name, lw=1.5, ms=3.5)
        low, high = ([pair[0] + sign * pair[1] for pair in pairs] for sign in (-1, 1))
        axes.fill_between(anytime["answers"], low, high, color=colour, alpha=0.15, lw=0)
    floor = anytime["floor"][measure][0]
    axes.axhline(floor, color=CURVES[MEMORY][0], lw=1, ls=":", label=f"{MEMORY_ALONE}, no answer")
    axes.set_xlabel("answers, of 100 workers for 60 inputs")
    axes.grid(alpha=0.3)
