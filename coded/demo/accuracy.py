"""How good the decoded answers are: every code on the same digits and the same stragglers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.demo.choices import BATCHES, Choices
from coded.demo.strategies import make_schemes
from coded.digits.images import Digits
from coded.evaluation.metrics import mean_interval, mean_l2, relative_accuracy
from coded.evaluation.simulation import simulate
from coded.schemes.protocol import Scheme

_SWEEP_POINTS = 9
_SWEEP_END = 0.8  # of N


@dataclass(frozen=True)
class Score:
    """One code at one number of stragglers: means over batches, half widths of 95 % intervals."""

    scheme: str
    n_stragglers: int
    relative_accuracy: float
    relative_accuracy_half_width: float
    error: float
    error_half_width: float


def answers(outputs: ArrayLike) -> NDArray[np.float64]:
    """Give the class probabilities that are compared: codes carry logits, this is the softmax."""
    logits = np.asarray(outputs, dtype=np.float64)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def straggler_counts(n_workers: int, n_stragglers: int) -> list[int]:
    """Give the numbers of stragglers to sweep: from 0 to most workers, S among them."""
    end = min(int(_SWEEP_END * n_workers), n_workers - 2)
    even = np.linspace(0, end, _SWEEP_POINTS).round().astype(int)
    return sorted({*even.tolist(), n_stragglers})


def sweep(
    network: Callable[[ArrayLike], ArrayLike],
    digits: Digits,
    choices: Choices,
    *,
    on_step: Callable[[], object] = lambda: None,
) -> list[Score]:
    """Score every code at every number of stragglers of the sweep.

    Each code is made for the number of stragglers that it meets. Of a batch, all codes see the
    same digits and lose the same workers.

    Parameters
    ----------
    network : callable
        The function f, a stack of inputs to a stack of logits.
    digits : Digits
        Inputs and labels; batch i is digits ``i * K`` to ``(i + 1) * K``.
    choices : Choices
        K, N, S, repeats and the seed.
    on_step : callable, optional
        Called after each number of stragglers, to show progress.

    Returns
    -------
    list of Score
        By ascending number of stragglers.
    """
    scores = []
    for count in straggler_counts(choices.n, choices.s):
        for name, scheme in make_schemes(choices.k, choices.n, count).items():
            accuracies, errors = _measure(network, digits, scheme, count, choices)
            scores.append(Score(name, count, *mean_interval(accuracies), *mean_interval(errors)))
        on_step()
    return scores


def _measure(
    network: Callable[[ArrayLike], ArrayLike],
    digits: Digits,
    scheme: Scheme,
    count: int,
    choices: Choices,
) -> tuple[list[float], list[float]]:
    """Give the relative accuracy and the mean L2 error of each batch, means over the draws."""
    accuracies, errors = [], []
    for i in range(BATCHES):
        batch = digits.batch(i, choices.k)
        simulation = simulate(
            network,
            batch.inputs,
            scheme,
            stragglers=count,
            repeats=choices.repeats,
            rng=np.random.default_rng([choices.seed, i]),
        )
        outputs, reference = answers(simulation.outputs), answers(simulation.reference)
        accuracies.append(float(relative_accuracy(outputs, reference, batch.labels).mean()))
        errors.append(float(mean_l2(outputs, reference).mean()))
    return accuracies, errors
