"""Schemes on equal batches of inputs and equal draws of lost workers, and what they lose there.

One number a batch is kept of each measure: intervals and paired differences are over batches,
which are independent, and not over draws, which share their inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coded import Scheme, mean_interval, simulate
from coded.schemes import codes
from coded.schemes.registry import Setting
from coded.stragglers import StragglerModel

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
Order = Callable[[Array], NDArray[np.intp]]


class Counts(NamedTuple):
    """K inputs, N workers, S of whom are lost."""

    n_inputs: int
    n_workers: int
    n_stragglers: int

    def __str__(self) -> str:
        return str(tuple(self))


@dataclass(frozen=True, eq=False)
class Batch:
    """K inputs, their labels where there are any, and anything else that an oracle may know."""

    inputs: Array
    labels: NDArray[np.intp] | None = None

    def laid(self, order: NDArray[np.intp]) -> Batch:
        """Give the same inputs in another order: scores do not depend on it, codes do."""
        labels = None if self.labels is None else self.labels[order]
        return Batch(self.inputs[order], labels)


@dataclass(frozen=True, eq=False)
class Contender:
    """A scheme in the race: how to make it, and in which order it is given the inputs.

    Attributes
    ----------
    name : str
        What tables call it.
    make : callable
        From the batch, as laid, to the scheme.
    order : callable, optional
        From the batch's inputs to a permutation; None leaves them as they come, in random order.
    """

    name: str
    make: Callable[[Batch], Scheme]
    order: Order | None = None

    @classmethod
    def of(
        cls,
        code: str,
        counts: Counts,
        how: str = "",
        *,
        order: Order | None = None,
        degree: int | None = None,
    ) -> Contender:
        """Let one of `codes()` race, under its name and how it is used."""
        variant, setting = codes()[code], Setting(*counts, degree)
        name = f"{code}, {how}" if how else code
        return cls(name, lambda _: variant.make(setting), order)


@dataclass(frozen=True, eq=False)
class Trial:
    """What one contender gave: B batches, D draws each.

    Attributes
    ----------
    outputs : ndarray, shape (B, D, K, C)
    reference : ndarray, shape (B, K, C)
    exact : ndarray of bool, shape (B, D, K)
    std : ndarray, shape (B, D, K), or None
    labels : ndarray of int, shape (B, K), or None
    """

    outputs: Array
    reference: Array
    exact: NDArray[np.bool_]
    std: Array | None
    labels: NDArray[np.intp] | None

    @property
    def errors(self) -> Array:
        """The L2 error of each output, shape (B, D, K)."""
        return np.linalg.norm(self.outputs - self.reference[:, None], axis=-1)

    @property
    def l2(self) -> Array:
        """Mean un-squared L2 error of each batch, shape (B,)."""
        return self.errors.mean(axis=(1, 2))

    @property
    def mse(self) -> Array:
        """Mean squared L2 error of each batch, shape (B,)."""
        return (self.errors**2).mean(axis=(1, 2))

    @property
    def probability_l2(self) -> Array:
        """`l2` of the softmax of outputs and reference, shape (B,)."""
        difference = softmax(self.outputs) - softmax(self.reference)[:, None]
        return np.linalg.norm(difference, axis=-1).mean(axis=(1, 2))

    @property
    def agreement(self) -> Array:
        """How often estimate and f name the same class, shape (B,)."""
        same = self.outputs.argmax(axis=-1) == self.reference.argmax(axis=-1)[:, None]
        return same.mean(axis=(1, 2))

    @property
    def relative_accuracy(self) -> Array:
        """Accuracy of the estimates over that of f, shape (B,).

        Ratio of the sums over all batches, plus each batch's linearised share: its mean is that
        ratio, and its spread is the ratio's.
        """
        if self.labels is None:
            raise ValueError("relative accuracy needs labels; give the batches some")
        base = (self.reference.argmax(axis=-1) == self.labels).mean(axis=1)
        right = (self.outputs.argmax(axis=-1) == self.labels[:, None]).mean(axis=(1, 2))
        ratio = right.mean() / base.mean()
        return np.asarray(ratio + (right - ratio * base) / base.mean())


def run(
    fn: Function,
    batches: Sequence[Batch],
    contender: Contender,
    *,
    stragglers: int | StragglerModel,
    draws: int,
    seed: int,
) -> Trial:
    """Simulate one contender on all batches; equal seeds, N and stragglers lose equal workers."""
    runs, labels = [], []
    for i, batch in enumerate(batches):
        laid = batch
        if contender.order is not None:
            laid = batch.laid(contender.order(batch.inputs))
        simulation = simulate(
            fn,
            laid.inputs,
            contender.make(laid),
            stragglers=stragglers,
            repeats=draws,
            rng=np.random.default_rng([seed, i]),
        )
        runs.append(simulation)
        labels.append(laid.labels)
    shape = (len(runs), draws, len(batches[0].inputs), -1)
    stds = [simulation.std for simulation in runs]
    return Trial(
        outputs=np.stack([np.asarray(one.outputs, float) for one in runs]).reshape(shape),
        reference=np.stack([np.asarray(one.reference, float) for one in runs]).reshape(
            shape[0], shape[2], -1
        ),
        exact=np.stack([simulation.exact for simulation in runs]),
        std=None if any(std is None for std in stds) else np.stack(stds),
        labels=None if any(some is None for some in labels) else np.stack(labels),
    )


def remembered(fn: Function) -> Function:
    """Give f with a memory: a row that it has seen, as copies of an input are, costs nothing.

    `fn` maps a stack of rows to a stack of answers, each from its row alone.
    """
    known: dict[bytes, Array] = {}

    def look_up(rows: Array) -> Array:
        keys = [blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
        unseen = {key: i for i, key in enumerate(keys) if key not in known}
        if unseen:
            where = list(unseen.values())
            known.update(zip(unseen, np.asarray(fn(rows[where])), strict=True))
        return np.stack([known[key] for key in keys])

    return look_up


def batches_of(
    inputs: Array, labels: NDArray[np.intp] | None, size: int, count: int, *, seed: int
) -> list[Batch]:
    """Give `count` batches of `size` inputs in random order, none twice before all are used."""
    rng = np.random.default_rng([seed, size])
    per_pass = len(inputs) // size
    rows = np.concatenate(
        [
            rng.permutation(len(inputs))[: per_pass * size].reshape(per_pass, size)
            for _ in range(-(-count // per_pass))
        ]
    )[:count]
    return [Batch(inputs[row], None if labels is None else labels[row]) for row in rows]


def softmax(logits: Array) -> Array:
    """Give class probabilities, along the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def interval(values: Array) -> list[float]:
    """Give mean and half width of the 95 % interval of one number a batch, to be stored."""
    mean, half_width = mean_interval(values)
    return [mean, half_width]


def tell(pair: Sequence[float], digits: int = 3) -> str:
    """Write a mean and the half width of its interval."""
    return f"{pair[0]:.{digits}f} ± {pair[1]:.{digits}f}"


def differences(trials: Mapping[str, Trial], measure: str, pairs: Sequence[tuple[str, str]]):
    """Give for each pair of names the interval of the paired difference, first less second."""
    return {
        f"{one} - {other}": interval(
            getattr(trials[one], measure) - getattr(trials[other], measure)
        )
        for one, other in pairs
    }
