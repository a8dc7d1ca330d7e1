"""What the paper's own claims are looked at on: a smooth curve, a random network, a trained one.

Each workload has batches to tune on and others to report.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.science.datasets import digits
from bench.science.networks import lenet5
from bench.science.trials import Array, Batch, Function, batches_of, softmax


@dataclass(frozen=True, eq=False)
class Workload:
    """A function, batches of its inputs, and how many workers and stragglers there are."""

    name: str
    fn: Function
    tuning: list[Batch]
    report: list[Batch]
    n_workers: int
    n_stragglers: int

    @property
    def n_inputs(self) -> int:
        """K."""
        return len(self.report[0].inputs)

    @property
    def title(self) -> str:
        """Name and (K, N, S)."""
        return f"{self.name} ({self.n_inputs}, {self.n_workers}, {self.n_stragglers})"


def x_sin_x(z: Array) -> Array:
    """The paper's smooth function."""
    return z * np.sin(z)


def curve(*, batches: int, order: str = "sorted") -> Workload:
    """Give x sin x on uniform points of [0, 6], sorted or as drawn; (K, N, S) = (60, 100, 20)."""

    def draw(seed: int) -> list[Batch]:
        rng = np.random.default_rng([31, seed])
        drawn = [rng.uniform(0.0, 6.0, 60) for _ in range(batches)]
        return [Batch(np.sort(points) if order == "sorted" else points) for points in drawn]

    return Workload("x sin x", x_sin_x, draw(0), draw(1), 100, 20)


def random_network(
    *,
    batches: int,
    setting: tuple[int, int, int] = (60, 100, 20),
    clusters: int | None = None,
) -> Workload:
    """Give softmax of a random 64-64-10 tanh network on Gaussian inputs; `setting` is K, N, S.

    Weights are N(0, 4 / fan-in). Inputs are N(0, 1), or lie around `clusters` such centres with
    standard deviation 1/2; both sets of batches see the same centres.
    """
    n_inputs, n_workers, n_stragglers = setting
    rng = np.random.default_rng(32)
    hidden, last = (2.0 / np.sqrt(64) * rng.standard_normal((64, width)) for width in (64, 10))
    centres = None if clusters is None else rng.standard_normal((clusters, 64))

    def fn(rows: Array) -> Array:
        return softmax(np.tanh(rows @ hidden) @ last)

    def draw(seed: int) -> list[Batch]:
        rng = np.random.default_rng([33, seed])
        if centres is None:
            return [Batch(rng.standard_normal((n_inputs, 64))) for _ in range(batches)]
        around = [centres[rng.integers(len(centres), size=n_inputs)] for _ in range(batches)]
        return [Batch(rows + 0.5 * rng.standard_normal(rows.shape)) for rows in around]

    return Workload("random tanh network", fn, draw(0), draw(1), n_workers, n_stragglers)


def lenet_digits(*, batches: int) -> Workload:
    """Give LeNet5's class probabilities on held-out digits; (K, N, S) = (60, 100, 20)."""
    network, images = lenet5(), digits()

    def fn(rows: Array) -> Array:
        return softmax(network(rows))

    tuning = batches_of(images.tuning.inputs, images.tuning.labels, 60, batches, seed=34)
    report = batches_of(images.evaluation.inputs, images.evaluation.labels, 60, batches, seed=35)
    return Workload("LeNet5, digits", fn, tuning, report, 100, 20)
