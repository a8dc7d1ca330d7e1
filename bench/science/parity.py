"""ParM beside the codes that need no training: LeNet5 on held-out digits, equal workers and losses.

Each group of K digits has one parity worker. Twice over: groups alone, K = 2, 3 and 4, one of K + 1
workers lost; and 60 digits in such groups, with other codes free to mix all 60, 5 workers lost.
The parity models come from `bench.weights.train_parity`; none was chosen on the evaluation digits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from bench.documents import to_markdown
from bench.science import datasets, networks, trials
from bench.science.datasets import DATA
from bench.science.digits import table_of_differences
from bench.science.networks import LeNet5, Network
from bench.science.rivals import BERRUT, KERNEL, NEAREST, SPLINE, Case
from bench.science.trials import (
    Array,
    Contender,
    Counts,
    Function,
    Trial,
    differences,
    interval,
    tell,
)
from coded import ParityScheme, Scheme
from coded.maps.arrays import LinearMap
from coded.maps.copies import FilledMap
from coded.nearness.distances import distances_between, flattened
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders

GROUPS = (2, 3, 4)  # inputs that share a parity worker
LARGE, LOST_OF_LARGE = 60, 5
SEED = 6
DRAWS_ALONE, DRAWS_OF_MANY = 8, 20

PARITY, UNTRAINED = "parity", "parity, f as parity model"
OTHERS = (BERRUT, NEAREST, SPLINE, KERNEL)
MEASURES = ("relative_accuracy", "l2")
PAIRS = [(PARITY, other) for other in OTHERS]

Numbers = dict[str, Any]


def parity_model(n_inputs: int) -> Network:
    """Load the parity model for K inputs: sums of K images (n, 28, 28) to sums of K logits."""
    model = LeNet5()
    model.load_state_dict(_stored(n_inputs)["state"])
    return Network(model.hidden, model.f3, batch=1000)


def _stored(n_inputs: int) -> dict[str, Any]:
    return torch.load(DATA / f"lenet5_mnist_parity{n_inputs}.pt", weights_only=True)


class GroupedParity(LinearScheme):
    """ParM for many inputs: groups of consecutive ones, each with one parity worker.

    Workers 0 ... K - 1 evaluate f at the inputs, worker K + g the parity model at the sum of group
    g. An output that its group cannot give, for it lost two answers or more, is the answer of the
    nearest input that has one.
    """

    def __init__(self, n_inputs: int, size: int, parity_model: Function) -> None:
        if n_inputs % size:
            raise ValueError(f"n_inputs must be a multiple of {size}, got {n_inputs}")
        super().__init__(n_inputs, n_inputs + n_inputs // size, None)
        self._group = np.arange(n_inputs) // size
        self._sums = (self._group == np.arange(n_inputs // size)[:, None]).astype(float)
        self._model = parity_model
        self._distances: Array | None = None

    def bind(self, inputs: ArrayLike) -> Self:
        """Fix which inputs are near which."""
        array, _ = self._read_inputs(inputs)
        bound = copy.copy(self)
        bound._distances = distances_between(flattened(array), np.arange(self._n_inputs))
        return bound

    def worker_functions(self, fn: Function) -> list[Function]:
        """Give f K times, then the parity model for each group."""
        return [fn] * self._n_inputs + [self._model] * len(self._sums)

    def _build_encoder(self) -> LinearMap:
        source = np.full(self._n_workers, -1)
        source[: self._n_inputs] = np.arange(self._n_inputs)
        return FilledMap(source, self._sums)

    def _build_decoder(self, responders: Responders) -> LinearMap:
        """Copy answers; a group's only lost one is its parity answer less the others."""
        workers = np.array(responders)
        answered = workers[workers < self._n_inputs]
        place = np.full(self._n_workers, -1)  # of each worker's answer among the responders
        place[workers] = np.arange(len(workers))
        lost = np.setdiff1d(np.arange(self._n_inputs), answered)
        losses = np.bincount(self._group[lost], minlength=len(self._sums))
        parity = place[self._n_inputs + self._group]
        solved = lost[(losses[self._group[lost]] == 1) & (parity[lost] >= 0)]
        source = place[: self._n_inputs].copy()
        others = np.setdiff1d(lost, solved)
        if others.size:
            nearest = answered[self._distances[np.ix_(others, answered)].argmin(axis=1)]
            source[others] = place[nearest]
        weights = np.zeros((len(solved), len(workers)))
        weights[:, : len(answered)] = -self._sums[self._group[solved]][:, answered]
        weights[np.arange(len(solved)), parity[solved]] = 1.0
        return FilledMap(source, weights)

    def _suffices(self, responders: Responders) -> bool:
        return self._distances is not None and any(n < self._n_inputs for n in responders)

    def _held(self) -> NDArray[np.intp]:
        return np.append(np.arange(self._n_inputs), np.full(len(self._sums), -1))


def over_lost(trial: Trial, measure: str) -> list[float]:
    """Give a measure over the outputs that were no exact answers, with its 95 % interval.

    A ratio of sums over all batches, each of which has its own number of such outputs.
    """
    lost = ~trial.exact
    if measure == "l2":
        above, below = trial.errors, np.ones(lost.shape)
    else:
        above = trial.outputs.argmax(axis=-1) == trial.labels[:, None]
        right = trial.reference.argmax(axis=-1) == trial.labels
        below = np.broadcast_to(right[:, None], lost.shape)
    top, bottom = ((part * lost).sum(axis=(1, 2)) for part in (above, below))
    if not bottom.any():
        return [float("nan"), 0.0]
    ratio = top.sum() / bottom.sum()
    return interval(ratio + (top - ratio * bottom) / bottom.mean())


def contenders(case: Case, setting: Counts, size: int) -> list[Contender]:
    """Give ParM, trained and not, and the codes without training."""
    model = trials.remembered(parity_model(size))

    def parity(model: Function) -> Scheme:
        if setting.n_inputs == size:
            return ParityScheme(size, size + 1, parity_models=[model])
        return GroupedParity(setting.n_inputs, size, model)

    ours = {PARITY: parity(model), UNTRAINED: parity(case.fn)}
    return [
        *(Contender(name, lambda _, scheme=scheme: scheme) for name, scheme in ours.items()),
        *case.contenders(setting, OTHERS),
    ]


def run_setting(case: Case, setting: Counts, size: int, *, count: int, draws: int) -> Numbers:
    """Give rows and paired differences for one setting."""
    batches = case.batches(setting.n_inputs, count)
    raced = {
        one.name: trials.run(
            case.fn, batches, one, stragglers=setting.n_stragglers, draws=draws, seed=SEED
        )
        for one in contenders(case, setting, size)
    }
    return {
        "rows": {name: _row(trial) for name, trial in raced.items()},
        "differences": {measure: differences(raced, measure, PAIRS) for measure in MEASURES},
    }


def _row(trial: Trial) -> dict[str, Any]:
    row = {measure: interval(getattr(trial, measure)) for measure in MEASURES}
    row |= {f"{measure}_lost": over_lost(trial, measure) for measure in MEASURES}
    return row | {"lost": float((~trial.exact).mean())}


def run(*, quick: bool) -> Numbers:
    """Run groups alone and groups of many; each evaluation digit is in one batch of a setting."""
    case = Case(networks.lenet5(), datasets.digits())
    n_digits = len(case.split.evaluation)
    sizes: Sequence[int] = GROUPS[1:2] if quick else GROUPS

    def race(settings: dict[Counts, int], draws: int) -> Numbers:
        return {
            str(one): run_setting(
                case,
                one,
                size,
                count=3 if quick else n_digits // one.n_inputs,
                draws=2 if quick else draws,
            )
            for one, size in settings.items()
        }

    many = {Counts(LARGE, LARGE + LARGE // size, LOST_OF_LARGE): size for size in sizes}
    return {
        "alone": race({Counts(size, size + 1, 1): size for size in sizes}, draws=DRAWS_ALONE),
        "many": race(many, draws=DRAWS_OF_MANY),
        "training": {
            str(size): {key: value for key, value in _stored(size).items() if key != "state"}
            for size in sizes
        },
    }


CAPTION = (
    "Relative accuracy / mean L2 error of the logits, with 95 % intervals over batches: each of "
    f"the 1,800 evaluation digits is in one batch of a setting; {DRAWS_ALONE} draws of the lost "
    f"worker where a group is alone, {DRAWS_OF_MANY} where it is one of many."
)


def tables(numbers: Numbers) -> dict[str, str]:
    """Give the tables of README."""
    settings = numbers["alone"] | numbers["many"]
    lost = table_of_rows(settings, _lost_cell)
    return {
        "science-parity": f"{table_of_rows(settings, _cell)}\n\n{CAPTION}",
        "science-parity-lost": f"{lost}\n\n{tell_training(numbers['training'])}",
        "science-parity-differences": table_of_differences(settings),
    }


def table_of_rows(settings: Numbers, tell_row: Callable[[Numbers], str]) -> str:
    """Write a cell a scheme and setting."""
    names = next(iter(settings.values()))["rows"]
    return to_markdown(
        ["scheme", *settings],
        [[name, *(tell_row(part["rows"][name]) for part in settings.values())] for name in names],
    )


def _cell(row: Numbers) -> str:
    return f"{tell(row['relative_accuracy'])} / {tell(row['l2'], 2)}"


def _lost_cell(row: Numbers) -> str:
    accuracy, l2 = tell(row["relative_accuracy_lost"]), tell(row["l2_lost"], 1)
    return f"{accuracy} / {l2} ({100 * row['lost']:.0f} %)"


def tell_training(training: Numbers) -> str:
    """Write what each parity model cost; the other codes have none."""
    costs = ", ".join(
        f"K = {size}: {one['steps']:,} steps, {one['cpu_seconds']} s"
        for size, one in training.items()
    )
    examples = next(iter(training.values()))["examples"]
    return (
        "Relative accuracy and L2 of the logits over the outputs that were no exact answers, and "
        "their share of all outputs: codes that hold an input twice lose fewer. `parity` needs a "
        f"parity model for each network and K, trained here on {examples:,} digits ({costs} of one "
        "core); the other codes train nothing."
    )


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001
    """Draw nothing."""
    return {}
