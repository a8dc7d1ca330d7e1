"""The races of the zoo: every function, light to heavy losses, all schemes on equal draws.

Nothing is tuned: every scheme has its defaults, LeTCC lam 0. Losses are relative mean squares: the
mean square of the error over the variance of f among the inputs. One number a batch; a scheme is
among the best if the interval of its paired difference to the lowest mean includes 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from bench.science.functions import ZooFunction, digit_network, fetched_networks, zoo
from bench.science.trials import Batch, Contender, Counts, Trial, interval, remembered
from bench.science.trials import run as run_trial
from coded import (
    ConsecutiveStragglers,
    IndependentStragglers,
    MachineStragglers,
    NotEnoughRespondersError,
    Scheme,
    StragglerModel,
    WithPrior,
    path_order,
)

Array = NDArray[np.float64]
Numbers = dict[str, Any]

SETTINGS = (
    Counts(5, 20, 7),
    Counts(20, 100, 60),
    Counts(20, 60, 6),
    Counts(20, 40, 6),
    Counts(60, 100, 20),
    Counts(60, 60, 12),
)
HEAVIER = (Counts(20, 100, 60), Counts(60, 100, 20), Counts(60, 60, 12))
SEED = 4
ROUNDING = 1e-16  # relative mean squares below are exact answers, rounded
# Batches and draws, equal for all functions but networks ...
USUAL = (16, 10)
# ... where few draws lose an input ...
RARE = {(5, 20, 7): (200, 30), (20, 60, 6): (40, 50), (20, 40, 6): (40, 20)}
# ... and what networks can afford.
SIZES = {
    "LeNet5, digits": (16, 10),
    "RepVGG, CIFAR-10": (10, 8),
    "ViT-S/14, CIFAR-10": (3, 8),
    "MiniLM-L6, sentences": (3, 8),
}


def contenders(setting: Counts, function: ZooFunction) -> list[Contender]:
    """Give all schemes for one setting, LCC where a degree is known and N suffices.

    `KernelScheme(objective="labels")` joins where there are labels.
    """
    degree = function.degree
    race = [
        Contender.of("replication-mean", setting),
        Contender.of("replication-nearest", setting),
        Contender.of("berrut", setting),
        Contender.of("bspline", setting),
        Contender.of("letcc", setting),
        Contender.of("letcc", setting, "path", order=path_order),
        Contender.of("spline", setting),
        Contender.of("kernel", setting),
    ]
    if function.has_labels:
        race.append(Contender.of("kernel-labels", setting))
    if degree is not None and setting.n_workers >= (setting.n_inputs - 1) * degree + 1:
        race.append(Contender.of("lagrange", setting, degree=degree))
    return race


def batches(function: ZooFunction, k: int, count: int) -> list[Batch]:
    """Draw the batches of one function; equal for all schemes and losses of so many inputs."""
    return [function.sample(np.random.default_rng([SEED, k, i]), k) for i in range(count)]


def relative_mse(trial: Trial) -> Array:
    """Give the mean square of the error over the variance of f, of each batch, shape (B,)."""
    centred = trial.reference - trial.reference.mean(axis=1, keepdims=True)
    relative = trial.mse / (centred**2).sum(axis=-1).mean()
    return np.where(relative < ROUNDING, 0.0, relative)


def compete(
    function: ZooFunction,
    race: Sequence[Contender],
    setting: Counts,
    stragglers: int | StragglerModel,
    size: tuple[int, int],
) -> dict[str, Trial]:
    """Run all contenders that can decode every draw on equal batches and draws."""
    fn, (count, draws) = remembered(function.fn), size
    drawn = batches(function, setting[0], count)
    trials = {}
    for contender in race:
        try:
            trials[contender.name] = run_trial(
                fn, drawn, contender, stragglers=stragglers, draws=draws, seed=SEED
            )
        except NotEnoughRespondersError:
            continue  # an exact code that these losses are too much for
    return trials


def judge(trials: dict[str, Trial]) -> Numbers:
    """Give each scheme's relative MSE with its interval, and the best and their equals.

    Where there are labels, relative accuracy and who is best in it too.
    """
    losses = {name: relative_mse(trial) for name, trial in trials.items()}
    judged: Numbers = {
        "relative_mse": {name: rounded(interval(loss)) for name, loss in losses.items()},
        "best": best_of(losses),
    }
    if all(trial.labels is not None for trial in trials.values()):
        accuracies = {name: trial.relative_accuracy for name, trial in trials.items()}
        judged["relative_accuracy"] = {
            name: [round(value, 4) for value in interval(accuracy)]
            for name, accuracy in accuracies.items()
        }
        judged["most_accurate"] = best_of({name: -one for name, one in accuracies.items()})
    return judged


def best_of(losses: dict[str, Array]) -> list[str]:
    """Give the scheme of the lowest mean, and all that neither of two tests tells from it.

    The interval of the paired difference includes 0, and it is not worse in so many batches that
    a sign test excludes chance: where few batches make the mean, the interval alone is too wide.
    """
    lowest = min(losses, key=lambda name: losses[name].mean())
    equals = []
    for name, loss in losses.items():
        differences = loss - losses[lowest]
        difference, half_width = interval(differences)
        worse, unlike = int((differences > 0).sum()), int((differences != 0).sum())
        is_chance = unlike == 0 or binomtest(worse, unlike, alternative="greater").pvalue > 0.025
        if name != lowest and difference <= half_width and is_chance:
            equals.append(name)
    return [lowest, *sorted(equals, key=lambda name: losses[name].mean())]


def rounded(pair: Sequence[float]) -> list[float]:
    """Keep three digits of each number."""
    return [float(f"{value:.2e}") for value in pair]


def label(setting: Counts) -> str:
    """Name a setting, as a key."""
    return ",".join(map(str, setting))


def size_of(setting: Counts, *, quick: bool, name: str = "") -> tuple[int, int]:
    """Give how many batches and draws."""
    if quick:
        return 3, 2
    return SIZES.get(name, RARE.get(setting, USUAL))


# The four parts.


def run_table(
    functions: Sequence[ZooFunction], settings: Sequence[Counts], *, quick: bool
) -> Numbers:
    """Uniform losses: all functions, settings and schemes."""
    return {
        function.name: {
            label(setting): judge(
                compete(
                    function,
                    contenders(setting, function),
                    setting,
                    setting[2],
                    size_of(setting, quick=quick, name=function.name),
                )
            )
            for setting in settings
        }
        for function in functions
    }


def run_losses(functions: Sequence[ZooFunction], *, quick: bool) -> Numbers:
    """Other losses than uniform ones, at (60, 100, 20)."""
    setting = Counts(60, 100, 20)
    models: dict[str, StragglerModel] = {
        "20 neighbours": ConsecutiveStragglers(20),
        "2 machines of 10": MachineStragglers(2, workers_per_machine=10),
        "each with .2": IndependentStragglers(0.2),
    }
    return {
        function.name: {
            name: judge(
                compete(
                    function,
                    contenders(setting, function),
                    setting,
                    model,
                    size_of(setting, quick=quick),
                )
            )
            for name, model in models.items()
        }
        for function in functions
    }


def run_priors(functions: Sequence[ZooFunction], *, quick: bool) -> Numbers:
    """What a cheap prior is worth, alone and beneath a code."""
    numbers: Numbers = {}
    for function in functions:
        numbers[function.name] = {}
        for setting in HEAVIER:
            race = [
                one
                for one in contenders(setting, function)
                if one.name in ("replication-nearest", "letcc, path", "spline", "kernel")
            ]
            race += [
                Contender(
                    f"{one.name} + prior", partial(_with_prior, one, function.prior), one.order
                )
                for one in race
            ]
            size = size_of(setting, quick=quick)
            trials = compete(function, race, setting, setting[2], size)
            judged = judge(trials)
            guesses = [
                function.prior(batch.inputs) for batch in batches(function, setting[0], size[0])
            ]
            judged["relative_mse"]["prior alone"] = rounded(
                interval(_loss_of_guess(np.stack(guesses), next(iter(trials.values()))))
            )
            numbers[function.name][label(setting)] = judged
    return numbers


def _with_prior(contender: Contender, prior: Callable[[Array], Array], batch: Batch) -> Scheme:
    return WithPrior(contender.make(batch), prior)


def _loss_of_guess(guesses: Array, trial: Trial) -> Array:
    """Relative MSE of a guess of all outputs, shape (B, K, m), as `relative_mse`."""
    reference = trial.reference
    centred = reference - reference.mean(axis=1, keepdims=True)
    squares = ((guesses - reference) ** 2).sum(axis=-1).mean(axis=1)
    return np.asarray(squares / (centred**2).sum(axis=-1).mean())


def run(*, quick: bool) -> Numbers:
    """Run all parts; a few batches and functions if quick."""
    functions = zoo()
    if quick:
        few = ("x sin x", "kinked", "cubic, 1 variable", "Burgers, 2 parameters")
        functions = [one for one in functions if one.name in few]
    varied = (
        "x sin x",
        "sines, R² to R³",
        "pendulum, 2-D sweep",
        "kinked",
        "trained regression, R⁵",
    )
    table = run_table(functions, SETTINGS, quick=quick)
    networks = [digit_network()] if quick else [digit_network(), *fetched_networks()]
    table |= run_table(networks, HEAVIER, quick=quick)
    return {
        "kinds": {function.name: function.kind for function in [*functions, *networks]},
        "table": table,
        "losses": run_losses([one for one in functions if one.name in varied], quick=quick),
        "priors": run_priors([one for one in functions if one.prior], quick=quick),
    }
