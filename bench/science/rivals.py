"""All schemes that code a network over images, rivals and bounds included, on one network.

Nothing here looks at the evaluation images: lam of the published scheme comes from the tuning
images, what a memory or a ridge knows from the images of earlier traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from bench.science.datasets import Split
from bench.science.networks import Network
from bench.science.trials import (
    Array,
    Batch,
    Contender,
    Counts,
    Function,
    Order,
    Trial,
    batches_of,
    remembered,
    run,
)
from coded import (
    AnswerMemory,
    KernelScheme,
    Scheme,
    SplineScheme,
    WithPrior,
    path_order,
    pooled_gradients,
)
from coded.estimation.kriging import krige_nearest
from coded.nearness.distances import flattened
from coded.schemes import codes
from coded.schemes.registry import Setting

LAMS = (0.0, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5)  # lam_dec of the published scheme
TUNING_BATCHES, TUNING_DRAWS, TUNING_SEED = 10, 5, 2
EARLIER_BATCHES, EARLIER_INPUTS, EARLIER_MIXED, EARLIER_SEED = 5, 60, 40, 5
NEAR = 0.2  # how far mixed earlier inputs lie from an input, on the way to its neighbour
REMEMBERED = 352  # of their answers, drawn at random

BERRUT = "berrut, random order"
LETCC, LETCC_PATH, LETCC_ORACLE = (
    f"letcc, {how}" for how in ("random order", "path", "oracle path")
)
MEAN, NEAREST = "replication-mean", "replication-nearest"
SPLINE, KERNEL, CHORDS = "spline", "kernel", "kernel-labels"
RAW, FIXED, ORACLE, MEMORY = (
    f"kernel, {how}" for how in ("raw pixels", "not fitted", "oracle features", "memory")
)
MEMORY_ALONE = "memory alone"
PRIOR_MEAN, PRIOR_SPLINE, PRIOR_KERNEL = (f"ridge + {name}" for name in (MEAN, SPLINE, KERNEL))
PRIOR_ALONE = "ridge alone"
NAMES = (
    BERRUT,
    LETCC,
    LETCC_PATH,
    LETCC_ORACLE,
    MEAN,
    NEAREST,
    SPLINE,
    KERNEL,
    RAW,
    FIXED,
    CHORDS,
    ORACLE,
    MEMORY,
    PRIOR_MEAN,
    PRIOR_SPLINE,
    PRIOR_KERNEL,
)


class Ridge:
    """Ridge regression of answers on features of the inputs: a cheap guess of f."""

    def __init__(self, features: Function, inputs: Array, answers: Array, lam: float = 1e-2):
        rows = features(inputs)
        self._features, self._centre, self._scale = features, rows.mean(axis=0), rows.std()
        self._mean = answers.mean(axis=0)
        rows = (rows - self._centre) / self._scale
        penalty = lam * len(rows) * np.eye(rows.shape[1])
        self._slopes = np.linalg.solve(rows.T @ rows + penalty, rows.T @ (answers - self._mean))

    def __call__(self, inputs: Array) -> Array:
        """Give the guess for a stack of inputs."""
        rows = (self._features(inputs) - self._centre) / self._scale
        return np.asarray(rows @ self._slopes + self._mean)


class Case:
    """A network, images that it was not trained on, and what it answered before."""

    def __init__(self, network: Network, split: Split) -> None:
        self.fn = remembered(network)
        self.hidden = network.hidden
        self.split = split

    def batches(self, n_inputs: int, count: int) -> list[Batch]:
        """Give batches of evaluation images."""
        held_out = self.split.evaluation
        return batches_of(held_out.inputs, held_out.labels, n_inputs, count, seed=1)

    @cached_property
    def earlier(self) -> tuple[Array, Array]:
        """What was asked in five earlier batches, and f of it, 352 pairs of 500.

        Of 100 workers 60 had an input of their own and 40 a mixed one, near an input on the way to
        the next along the path.
        """
        rng = np.random.default_rng(EARLIER_SEED)
        images = self.split.earlier.inputs
        asked = []
        for _ in range(EARLIER_BATCHES):
            inputs = images[rng.choice(len(images), EARLIER_INPUTS, replace=False)]
            path = inputs[path_order(inputs)]
            edges = np.linspace(0, EARLIER_INPUTS - 2, EARLIER_MIXED).round().astype(int)
            asked += [inputs, (1 - NEAR) * path[edges] + NEAR * path[edges + 1]]
        stack = np.concatenate(asked)
        kept = stack[rng.choice(len(stack), REMEMBERED, replace=False)]
        return kept, self.fn(kept)

    def published(self, setting: Counts, name: str, order: Order | None = None) -> Contender:
        """Give LeTCC as published, its lam_dec chosen on the tuning images."""
        k, n, s = setting
        tuning = self.split.tuning
        batches = batches_of(tuning.inputs, tuning.labels, k, TUNING_BATCHES, seed=TUNING_SEED)

        def with_lam(lam: float) -> Contender:
            def make(batch: Batch) -> SplineScheme:  # noqa: ARG001
                return SplineScheme.paper(k, n, n_stragglers=s, lam_dec=lam)

            return Contender(name, make, order)

        def loss(lam: float) -> float:
            trial = run(
                self.fn,
                batches,
                with_lam(lam),
                stragglers=s,
                draws=TUNING_DRAWS,
                seed=TUNING_SEED,
            )
            return float(trial.l2.mean())

        return with_lam(min(LAMS, key=loss))

    def contenders(self, setting: Counts, names: Sequence[str] | None = None) -> list[Contender]:
        """Give the schemes, all or those named, in the order of the table."""

        def always(scheme: Scheme) -> Callable[[Batch], Scheme]:
            return lambda batch: scheme  # noqa: ARG005

        def kernel(**options: Any) -> KernelScheme:
            k, n, s = setting
            return KernelScheme(k, n, n_stragglers=s, **options)

        plain = {
            name: codes()[code].make(Setting(*setting))
            for name, code in {
                BERRUT: "berrut",
                MEAN: "replication-mean",
                NEAREST: "replication-nearest",
                SPLINE: "spline",
                KERNEL: "kernel",
                CHORDS: "kernel-labels",
            }.items()
        }
        schemes = plain | {
            RAW: kernel(features=flattened),
            FIXED: kernel(fit=None),
            ORACLE: kernel(features=self.hidden),
            MEMORY: kernel(memory=self.memory),
            PRIOR_MEAN: WithPrior(plain[MEAN], self.ridge),
            PRIOR_SPLINE: WithPrior(plain[SPLINE], self.ridge),
            PRIOR_KERNEL: WithPrior(plain[KERNEL], self.ridge),
        }
        published: dict[str, Order | None] = {
            LETCC: None,
            LETCC_PATH: path_order,
            LETCC_ORACLE: lambda inputs: path_order(self.fn(inputs)),
        }
        return [
            self.published(setting, name, published[name])
            if name in published
            else Contender(name, always(schemes[name]))
            for name in (NAMES if names is None else names)
        ]

    @cached_property
    def memory(self) -> AnswerMemory:
        """The earlier answers, as `KernelScheme` takes them."""
        inputs, answers = self.earlier
        memory = AnswerMemory(len(inputs))
        memory.add(inputs, answers)
        return memory

    @cached_property
    def ridge(self) -> Ridge:
        """A cheap guess of f, fitted to the earlier answers."""
        return Ridge(pooled_gradients, *self.earlier)

    def floors(self, batches: Sequence[Batch]) -> dict[str, Trial]:
        """Give what the earlier answers are worth alone, without any worker."""
        guesses = {MEMORY_ALONE: self.recall, PRIOR_ALONE: self.ridge}
        return {name: self._alone(guess, batches) for name, guess in guesses.items()}

    def recall(self, inputs: Array) -> Array:
        """Estimate f from the earlier answers alone, as `KernelScheme` with no answer would."""
        asked, answers = self.earlier
        known = pooled_gradients(asked)
        found = (krige_nearest(row, known, 1.8, 100) for row in pooled_gradients(inputs))
        return np.concatenate([kriging.weights @ answers[near] for near, kriging in found])

    def _alone(self, guess: Function, batches: Sequence[Batch]) -> Trial:
        """Score a guess of f as if it were one draw."""
        outputs = np.stack([guess(batch.inputs) for batch in batches])[:, None]
        return Trial(
            outputs=outputs,
            reference=np.stack([self.fn(batch.inputs) for batch in batches]),
            exact=np.zeros(outputs.shape[:3], bool),
            std=None,
            labels=np.stack([batch.labels for batch in batches]),
        )
