"""A probe: candidates on the caller's own function, each losing workers as will be lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.evaluation.recommended import NEAR, Objective
from coded.evaluation.simulation import as_reals, simulate
from coded.schemes.protocol import Function, NotEnoughRespondersError, Scheme
from coded.stragglers import StragglerModel
from fastspline.arrays import FloatArray, read_array, require_finite

_DRAWS = 40  # of lost workers in each batch: they cost no evaluation of f
_RESAMPLES = 500
# Of the inputs in a resample: with all of them a probe said .93 on the tuning half of
# `bench.science.unseen` and was right in .79, with a third it said .78.
_SHARE = 1 / 3
# What is preferred is left for something that loses a tenth less in .6 of the resamples: within
# 1.5 times of the best in .87 of that half, of all that has a smaller mean in most of them in .84.
_CLEARLY, _MOSTLY = 0.9, 0.6
_NONE = 1e-8  # of the variance of f: what is lost below counts as nothing


class UnknownInputError(LookupError):
    """A scheme asks for f where only the answers at some inputs are known."""


class Remembered:
    """A function of stacks that is evaluated once at each row, and counts how often.

    Parameters
    ----------
    fn : callable or None
        From a stack of rows, or where not `batched` from one row, to the answers; None where
        nothing but what is told is known.
    batched : bool, optional
        Whether `fn` takes stacks.
    """

    def __init__(self, fn: Function | None, *, batched: bool = True) -> None:
        self._fn, self._batched = fn, batched
        self._known: dict[bytes, FloatArray] = {}
        self.evaluations = 0

    def tell(self, rows: FloatArray, answers: FloatArray) -> None:
        """Let it know answers."""
        self._known.update(zip(map(_key, rows), answers, strict=True))

    def __call__(self, stack: Any) -> FloatArray:
        """Give the answers to a stack of rows, numpy or torch, as a numpy array."""
        rows, restore = read_array(stack, "inputs")
        keys = [_key(row) for row in rows]
        unseen = {key: i for i, key in enumerate(keys) if key not in self._known}
        if unseen:
            where = list(unseen.values())
            self.tell(rows[where], self._evaluate(restore(rows[where])))
        return np.stack([self._known[key] for key in keys])

    def _evaluate(self, rows: Any) -> FloatArray:
        if self._fn is None:
            raise UnknownInputError("f is not known there; pass fn")
        self.evaluations += len(rows)
        if self._batched:
            answers, _ = read_array(self._fn(rows), "fn(inputs)")
        else:
            answers = np.stack([read_array(self._fn(row), "fn(input)")[0] for row in rows])
        if answers.ndim == 0 or len(answers) != len(rows):
            raise ValueError(
                f"fn must return {len(rows)} answers for {len(rows)} inputs along axis 0, got "
                f"shape {answers.shape}; pass batched=False if fn takes one input at a time"
            )
        require_finite(answers, "fn(inputs)")
        return answers


def _key(row: FloatArray) -> bytes:
    return row.astype(np.float64).tobytes()


@dataclass(frozen=True, eq=False)
class Probe:
    """What candidates lost on M inputs in batches of K.

    Attributes
    ----------
    losses : dict of str to ndarray of float, shape (M,)
        Of each candidate at each input, the mean over draws of lost workers: squared error over
        the variance of f, or how often the label is not f's.
    batches : int
        M / K.
    evaluations : int
        How often f was evaluated.
    """

    losses: dict[str, NDArray[np.float64]]
    batches: int
    evaluations: int

    def rank(self, preferred: str) -> dict[str, float]:
        """Give the mean loss of each candidate, the one to take first, then the least.

        That is the preferred one, unless the one of the least mean loses a tenth less in 60 % of
        the resamples too.
        """
        means = {name: float(losses.mean()) for name, losses in self.losses.items()}
        ranked = sorted(means, key=lambda name: means[name])
        if preferred in means and ranked[0] != preferred:
            best, other = self._resampled([ranked[0], preferred])
            is_clear = best + _NONE < _CLEARLY * (other + _NONE)
            if is_clear.mean() <= _MOSTLY:
                ranked.remove(preferred)
                ranked.insert(0, preferred)
        return {name: means[name] for name in ranked}

    def sure_of(self, name: str) -> float:
        """Give how often no other candidate loses `NEAR` times less, in resamples."""
        resampled = self._resampled(list(self.losses))
        chosen = resampled[list(self.losses).index(name)]
        return float((chosen <= NEAR * resampled.min(axis=0)).mean())

    def _resampled(self, names: list[str]) -> NDArray[np.float64]:
        """Give mean losses over a third of the inputs, drawn with repeats, again and again."""
        matrix = np.stack([self.losses[name] for name in names])
        count = matrix.shape[1]
        shape = (_RESAMPLES, max(1, round(_SHARE * count)))
        drawn = np.random.default_rng(0).integers(count, size=shape)
        return np.asarray(matrix[:, drawn].mean(axis=2))


def probe(
    fn: Remembered,
    inputs: Any,
    candidates: Mapping[str, Scheme],
    *,
    stragglers: StragglerModel,
    objective: Objective,
    rng: int,
) -> Probe:
    """Simulate each candidate on batches of its K inputs; equal draws for all.

    Candidates that ask for what `fn` does not know, or that cannot decode all draws, are left out.
    """
    count = next(iter(candidates.values())).n_inputs
    n_batches = len(inputs) // count
    losses: dict[str, NDArray[np.float64]] = {}
    for name, scheme in candidates.items():
        parts = []
        try:
            for i in range(n_batches):
                batch = inputs[i * count : (i + 1) * count]
                run = simulate(
                    fn, batch, scheme, stragglers=stragglers, repeats=_DRAWS, rng=rng + i
                )
                parts.append(_MEASURES[objective](run.outputs, run.reference))
        except (UnknownInputError, NotEnoughRespondersError):
            continue
        losses[name] = np.concatenate(parts)
    if objective == "outputs":
        spread = _variance(fn(inputs[: n_batches * count]))
        losses = {name: one / spread for name, one in losses.items()}
    return Probe(losses, n_batches, fn.evaluations)


def _squared_errors(outputs: FloatArray, reference: FloatArray) -> NDArray[np.float64]:
    errors = as_reals(outputs - reference).reshape(*outputs.shape[:2], -1)
    return np.asarray((errors.astype(np.float64) ** 2).sum(axis=-1).mean(axis=0))


def _wrong_labels(outputs: FloatArray, reference: FloatArray) -> NDArray[np.float64]:
    if reference.ndim != 2 or reference.shape[1] < 2:
        raise ValueError(
            'objective="labels" needs answers of shape (C,), one score a class, got '
            f'{reference.shape[1:]}; take objective="outputs"'
        )
    return np.asarray((outputs.argmax(axis=-1) != reference.argmax(axis=-1)).mean(axis=0))


_MEASURES: dict[str, Callable[[FloatArray, FloatArray], NDArray[np.float64]]] = {
    "outputs": _squared_errors,
    "labels": _wrong_labels,
}


def _variance(answers: FloatArray) -> float:
    """Give the mean squared distance of the answers to their mean; 1 where they are all alike."""
    rows = as_reals(answers).reshape(len(answers), -1).astype(np.float64)
    variance = float(rows.var(axis=0).sum())
    return variance if variance > 0.0 else 1.0


def read_pairs(inputs: ArrayLike, answers: ArrayLike) -> Remembered:
    """Give a function that knows the answers at these inputs alone.

    Raises
    ------
    TypeError, ValueError
        If they hold no finite real numbers, or not one answer for each input.
    """
    rows, _ = read_array(inputs, "inputs")
    known, _ = read_array(answers, "answers")
    require_finite(known, "answers")
    if known.ndim == 0 or len(known) != len(rows):
        raise ValueError(
            f"answers must hold one answer for each of the {len(rows)} inputs, got shape "
            f"{known.shape}; leave out inputs that nobody answered"
        )
    told = Remembered(None)
    told.tell(rows, known)
    return told
