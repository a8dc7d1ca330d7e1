"""The race of one comparison: every code on the same groups of inputs, with the same losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.prime_field import balanced
from coded.comparison.functions import Problem
from coded.comparison.outcome import Score
from coded.evaluation.metrics import mean_interval, mean_square, read_labels, relative_accuracy
from coded.evaluation.simulation import as_reals, evaluate_rows, evaluate_workers
from coded.schemes.protocol import (
    Function,
    InconsistentAnswersError,
    NotEnoughRespondersError,
    Scheme,
    worker_functions,
)
from coded.schemes.registry import Setting, Variant
from fastspline.arrays import FloatArray, is_torch_tensor, read_array, require_finite

_TIMED = 3  # repeats
_LIES = 10.0  # times the deviation of the answers


class _NotForFunctionError(Exception):
    """f does not take the numbers that a code works in."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What one code keeps, and how long it takes."""

    scheme: Scheme
    scores: tuple[Score, ...]
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Refused:
    """Why a code cannot serve."""

    why: str


class Race:
    """What all codes of one comparison have in common: groups of inputs, and what is lost."""

    def __init__(self, problem: Problem, setting: Setting, *, repeats: int, rng: int) -> None:
        inputs, k = problem.inputs, setting.n_inputs
        groups = [inputs[i : i + k] for i in range(0, len(inputs) - k + 1, k)]
        self._problem = problem
        self._groups = groups
        self._setting = setting
        self._repeats = repeats
        self._rng = rng
        self._counts = _counts(setting)
        references = [_answers(self._fn, group) for group in groups]
        self._variance = _variance(references)
        self._accurate = [self._is_ever_right(i, answers) for i, answers in enumerate(references)]
        if problem.labels is not None and not any(self._accurate):
            raise ValueError(
                "fn is right for none of labels; check that the labels belong to these inputs"
            )
        copies = [_copied(groups[0]) for _ in range(_TIMED)]
        self.seconds = min(_seconds(partial(problem.fn, one)) for one in copies)

    def _fn(self, inputs: Any) -> ArrayLike:
        """Evaluate f, which may write into what it gets."""
        return self._problem.fn(_copied(inputs))

    def run(self, variant: Variant) -> Measured | Refused:
        """Measure one code, or say why it cannot serve."""
        try:
            self._require(variant)
            scheme = variant.make(self._setting)
            fn = self._function(variant, scheme)
            trials = [_Trial(scheme, fn, group) for group in self._groups]
        except (ValueError, _NotForFunctionError) as error:
            return Refused(str(error).partition(";")[0])
        scores = tuple(self._score(trials, count) for count in self._counts)
        return Measured(scheme, scores, *self._time(scheme, trials[0]))

    def _require(self, variant: Variant) -> None:
        """Raise ValueError where the code is not for this function."""
        degree = self._setting.degree
        if variant.exact_for == "linear" and degree != 1:
            raise ValueError("f must be a linear map")
        if variant.numbers != "real" and degree is None:
            raise ValueError("f must be a polynomial of known degree")
        if variant.numbers == "integer" and not _are_whole(self._groups[0]):
            raise ValueError("inputs must be whole numbers, in numpy")

    def _function(self, variant: Variant, scheme: Scheme) -> Function:
        """Give f over the numbers that the code works in."""

        def fn(inputs: NDArray[Any]) -> ArrayLike:
            try:
                return self._fn(inputs)
            except Exception as error:
                raise _NotForFunctionError(
                    f"f raised {type(error).__name__} on coded inputs: {error}"
                ) from error

        def integer_fn(inputs: NDArray[np.int64]) -> NDArray[np.int64]:
            answers = np.asarray(fn(inputs.astype(object)))
            if answers.dtype.kind not in "iuO" or any(
                not isinstance(answer, int) for answer in set(answers.ravel().tolist())
            ):
                raise _NotForFunctionError("f must give whole numbers for whole numbers")
            return np.asarray(balanced(answers, prime), dtype=np.int64)

        if variant.numbers != "integer":
            return fn
        prime: int = scheme.prime  # type: ignore[attr-defined]
        return integer_fn

    def _is_ever_right(self, i: int, answers: FloatArray) -> bool:
        """Tell whether f gives any of group i its label."""
        if self._problem.labels is None:
            return False
        classes = read_labels(self._group_labels(i), answers)
        return bool((answers.argmax(axis=1) == classes).any())

    def _group_labels(self, i: int) -> NDArray[np.intp]:
        k = self._setting.n_inputs
        return cast(NDArray[np.intp], self._problem.labels)[i * k : (i + 1) * k]

    def _score(self, trials: Sequence[_Trial], count: int) -> Score:
        """Draw losses of so many workers, and liars among the others, and decode."""
        n = self._setting.n_workers
        n_liars = min(self._setting.n_liars, n - count)
        errors, exact, accuracies, draws = [], [], [], 0
        for i, trial in enumerate(trials):
            rng = np.random.default_rng([self._rng, i])
            for _ in range(self._repeats):
                draws += 1
                order = rng.permutation(n)
                responders, liars = np.sort(order[count:]), order[count:][:n_liars]
                if not trial.scheme.can_decode(responders):
                    continue
                outputs = trial.decode(responders, liars, rng)
                if outputs is None:
                    continue
                errors.append(float(mean_square(as_reals(outputs), as_reals(trial.reference))))
                exact.append(trial.scheme.exact_mask(responders).mean())
                if self._accurate[i]:
                    accuracy = relative_accuracy(outputs, trial.reference, self._group_labels(i))
                    accuracies.append(float(accuracy))
        if not errors:
            return Score(count, 0.0, np.nan, np.nan, None, 0.0)
        error, half_width = mean_interval(np.array(errors) / self._variance)
        mean = float(np.mean(accuracies)) if accuracies else None
        return Score(count, len(errors) / draws, error, half_width, mean, float(np.mean(exact)))

    def _time(self, scheme: Scheme, trial: _Trial) -> tuple[float, float]:
        """Give the seconds of binding and encoding, and of decoding from new workers."""
        group = self._groups[0]
        decode: list[float] = []
        encode = min(_seconds(lambda: scheme.bind(group).encode(group)) for _ in range(_TIMED))
        rng = np.random.default_rng([self._rng, len(self._groups)])
        for _ in range(self._repeats):
            order = rng.permutation(scheme.n_workers)
            responders = np.sort(order[self._setting.n_stragglers :])
            if len(decode) < _TIMED and trial.scheme.can_decode(responders):
                answers = trial.coded_outputs[responders]
                decode.append(_seconds(partial(trial.scheme.decode, answers, responders)))
        return encode, min(decode, default=np.nan)


class _Trial:
    """One code on one group of inputs: what its workers answer, and what is right."""

    def __init__(self, scheme: Scheme, fn: Function, group: NDArray[Any]) -> None:
        self.scheme = scheme.bind(group)
        evaluate = partial(evaluate_rows, scheme=self.scheme, batched=True)
        functions = worker_functions(self.scheme, fn)
        self.coded_outputs, _ = evaluate_workers(functions, self.scheme.encode(group), evaluate)
        self.reference, _ = evaluate(fn, group)

    def decode(
        self, responders: NDArray[np.intp], liars: NDArray[np.intp], rng: np.random.Generator
    ) -> FloatArray | None:
        """Give the outputs; None where the code finds more liars than it can correct."""
        answers = self.coded_outputs[responders]
        if len(liars):
            at = np.searchsorted(responders, liars)
            lies = rng.normal(scale=_LIES * (answers.std() or 1.0), size=answers[at].shape)
            answers[at] += np.rint(lies).astype(np.int64) if answers.dtype.kind == "i" else lies
        try:
            return self.scheme.decode(answers, responders)
        except (InconsistentAnswersError, NotEnoughRespondersError):
            return None


def _copied(inputs: Any) -> Any:
    return inputs.clone() if is_torch_tensor(inputs) else inputs.copy()


def _are_whole(inputs: Any) -> bool:
    return isinstance(inputs, np.ndarray) and inputs.dtype.kind in "iu"


def _answers(fn: Function, group: Any) -> FloatArray:
    """Give f's answers to a group, one for each input."""
    given = fn(group)
    answers, _ = read_array(given, "fn(inputs)")
    if answers.ndim == 0 or len(answers) != len(group):
        raise ValueError(
            f"fn must return an answer for each of the {len(group)} inputs of a stack, along axis "
            f"0, got shape {answers.shape}; pass a function of a stack of inputs"
        )
    require_finite(answers, "fn(inputs)")
    return answers


def _counts(setting: Setting) -> list[int]:
    """Give the numbers of stragglers to draw: from 0 to well beyond S, S among them."""
    n, s = setting.n_workers, setting.n_stragglers
    most = min(n - 1, max(2 * s, n // 2))
    return sorted({s, *np.linspace(0, most, 6).round().astype(int).tolist()})


def _variance(references: Sequence[FloatArray]) -> float:
    """Give the mean square of f about its mean in each group; 1 for a constant f."""
    centred = [reference - reference.mean(axis=0) for reference in references]
    squares = [(c.reshape(len(c), -1).astype(np.float64) ** 2).sum(axis=1).mean() for c in centred]
    return float(np.mean(squares)) or 1.0


def _seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start
