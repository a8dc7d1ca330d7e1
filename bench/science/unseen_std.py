"""Whether std is right on functions that nobody tuned on, whatever is lost, with few inputs too.

Over the lost outputs of all batches: root mean square of the errors over that of std (1 is right,
above 1 is too sure of itself), and how many errors lie within 1.96 std.

Few large errors make most of these sums. With the variances of the very Gaussian process that f is
drawn from, of 8 batches 84 % of the ratios lie within the band where any workers are lost, 71 to
77 % with blocks, the slowest or 6 inputs, 61 % with the slowest of 6; of 32 batches 88 to 93 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bench.documents import to_markdown
from bench.science.functions import Array, ZooFunction
from bench.science.trials import Batch, Contender, Counts, Function, Trial
from bench.science.trials import run as run_trial
from coded import ConsecutiveStragglers, MachineStragglers, SlowInputStragglers, StragglerModel

SCHEMES = ("kernel", "spline")
BAND = (0.8, 1.25)
SEED = 22
ROUNDING = 1e-9  # parts of f's spread that count as no error

Numbers = dict[str, Any]


def along(stack: Array) -> Array:
    """Seconds that grow along a diagonal of the inputs: what is slow lies in one corner."""
    rows = stack.reshape(len(stack), -1)
    spread = rows.std(axis=0)
    rows = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return np.exp(rows.sum(axis=1) / np.sqrt(rows.shape[1]))


FEW, MANY, MOST = Counts(6, 15, 7), Counts(40, 80, 24), Counts(60, 100, 30)
LOSSES: dict[str, tuple[Counts, int | StragglerModel, int]] = {  # setting, who is lost, draws
    "any 30 of 100 workers, 60 inputs": (MOST, 30, 3),
    "3 of 10 machines of 8, 40 inputs": (MANY, MachineStragglers(3, workers_per_machine=8), 3),
    "24 neighbours of 80, 40 inputs": (MANY, ConsecutiveStragglers(24), 3),
    "the slowest 24 of 80, 40 inputs": (MANY, SlowInputStragglers(24, along), 1),  # all are alike
    "any 7 of 15, 6 inputs": (FEW, 7, 3),
    "the slowest 7 of 15, 6 inputs": (FEW, SlowInputStragglers(7, along), 1),
}
BATCHES = 32
LEAST = 30  # lost outputs, from which a ratio tells more than chance


def measure(function: ZooFunction, fn: Function, *, seed: int, quick: bool) -> Numbers:
    """Give for each kind of loss and scheme ratio, coverage, and of how many outputs."""
    found: Numbers = {}
    count, least = (2, 1) if quick else (BATCHES, LEAST)
    for name, (setting, stragglers, draws) in LOSSES.items():
        k = setting.n_inputs
        given: list[Batch] = [
            function.sample(np.random.default_rng([SEED, k, i]), k) for i in range(count)
        ]
        found[name] = {
            scheme: judge(
                run_trial(
                    fn, given, Contender.of(scheme, setting),
                    stragglers=stragglers, draws=draws, seed=seed,
                ),
                least,
            )
            for scheme in SCHEMES
        }  # fmt: skip
    return found


def judge(trial: Trial, least: int = LEAST) -> list[float] | None:
    """Give ratio, coverage and how many outputs were estimated; None if fewer than `least` were."""
    if trial.std is None:
        raise ValueError("the scheme gives no std; choose one that estimates its errors")
    is_lost = ~trial.exact & np.isfinite(trial.std)
    if is_lost.sum() < least:
        return None
    none = ROUNDING * np.sqrt(trial.reference.var(axis=1).sum(axis=-1).mean())
    errors, std = np.hypot(trial.errors[is_lost], none), np.hypot(trial.std[is_lost], none)
    ratio = np.sqrt((errors**2).mean() / (std**2).mean())
    return [float(f"{ratio:.3g}"), round(float((errors <= 1.96 * std).mean()), 3), len(errors)]


def tell(functions: Iterable[Numbers]) -> str:
    """Write loss and scheme by half: how many ratios are right, their range, and the coverage."""
    kept = list(functions)
    rows = []
    for name in LOSSES:
        for scheme in SCHEMES:
            cells = []
            for half in ("tuning", "reporting"):
                found = [one["std"][name][scheme] for one in kept if one["half"] == half]
                found = [one for one in found if one is not None]
                cells += tell_cells(np.array(found))
            rows.append([name, scheme, *cells])
    header = ["lost", "scheme"]
    for half in ("tuning", "reporting"):
        header += [f"right, {half}", "least ... largest", "coverage, median, least"]
    return to_markdown(header, rows, words=2)


def tell_cells(found: Array) -> list[str]:
    if not len(found):
        return ["", "", ""]
    ratio, coverage, _ = found.T
    right = ((ratio >= BAND[0]) & (ratio <= BAND[1])).sum()
    return [
        f"{right} of {len(ratio)}",
        f"{ratio.min():.2g} ... {ratio.max():.2g}",
        f"{np.median(coverage):.2f}, {coverage.min():.2f}",
    ]
