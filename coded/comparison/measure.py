"""`compare`: every code on one function, with equal workers and equal losses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.prime_field import balanced
from coded.arguments import read_count
from coded.evaluation.metrics import mean_interval, mean_square, read_labels, relative_accuracy
from coded.evaluation.simulation import as_reals, evaluate_rows, evaluate_workers
from coded.schemes import codes as all_codes
from coded.schemes.protocol import (
    Function,
    NotEnoughRespondersError,
    Scheme,
    worker_functions,
)
from coded.schemes.variants import Setting, Variant
from fastspline.arrays import FloatArray, is_torch_tensor, read_array, require_finite

_TIMED = 3  # repeats
_LIES = 10.0  # times the deviation of the answers
_NOISE = 1e-20  # a relative mean square of rounding errors alone


class _NotForFunctionError(Exception):
    """f does not take the numbers that a code works in."""


@dataclass(frozen=True)
class Score:
    """What one code keeps when so many workers are lost.

    Attributes
    ----------
    n_stragglers : int
        S.
    decoded : float
        The share of draws that could be decoded; the other numbers are of these.
    error, half_width : float
        Mean square of the error over the variance of f, with its 95 % interval; nan where no
        draw could be decoded.
    accuracy : float or None
        Relative accuracy, where there are labels.
    exact : float
        The share of outputs that are exact answers.
    """

    n_stragglers: int
    decoded: float
    error: float
    half_width: float
    accuracy: float | None
    exact: float


@dataclass(frozen=True)
class ComparedCode:
    """One row of a comparison.

    Attributes
    ----------
    code : str
        Name of the code, a key of ``coded.schemes.codes()``.
    scheme : str
        How it was made.
    guarantee : str
        What it promises.
    needs : int or None
        Any so many answers suffice.
    scores : tuple of Score
        One a number of stragglers.
    encode_seconds, decode_seconds : float
        Of one group of K inputs: binding and encoding, and decoding from workers not seen
        before; least of some repeats.
    share : float
        Both, relative to the seconds that f takes for the K inputs.
    refused : str
        Why the code cannot serve here; then there are no scores.
    """

    code: str
    scheme: str
    guarantee: str
    needs: int | None
    scores: tuple[Score, ...]
    encode_seconds: float
    decode_seconds: float
    share: float
    refused: str = ""


@dataclass(frozen=True, repr=False)
class Comparison:
    """All codes on one function, best first.

    Attributes
    ----------
    name : str
        Of the function.
    setting : Setting
        (K, N, S), and the degree where it is known.
    seconds : float
        What f takes for K inputs in one process.
    rows : tuple of ComparedCode
        Best first; those that cannot serve come last.
    """

    name: str
    setting: Setting
    seconds: float
    rows: tuple[ComparedCode, ...]

    def score(self, row: ComparedCode) -> Score | None:
        """Give the row's score at S, the number of stragglers asked for."""
        wanted = self.setting.n_stragglers
        return next((score for score in row.scores if score.n_stragglers == wanted), None)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Give the header and the cells of a table, a row a code that can serve.

        error and its 95 % interval, accuracy where there are labels, the shares of outputs that
        are exact answers and of draws that could be decoded, how many answers suffice whichever
        they are, the seconds of encoding and decoding and their share of f's.
        """
        has_labels = any(score.accuracy is not None for row in self.rows for score in row.scores)
        header = ["code", "error", "±", *["acc."] * has_labels, "exact", "draws", "needs"]
        header += ["time", "share"]
        cells = []
        for row in self.rows:
            score = self.score(row)
            if score is None:
                continue
            accuracy = "-" if score.accuracy is None else f"{score.accuracy:.3f}"
            cells.append(
                [
                    row.code,
                    *_tell_error(score),
                    *[accuracy] * has_labels,
                    f"{score.exact:.0%}",
                    f"{score.decoded:.0%}",
                    str(row.needs),
                    _tell_seconds(row.encode_seconds + row.decode_seconds),
                    _tell_share(row.share),
                ]
            )
        return header, cells

    def guarantees(self) -> dict[str, str]:
        """Give what each code that can serve here promises."""
        return {row.code: row.guarantee for row in self.rows if row.scores}

    def refusals(self) -> list[str]:
        """Tell which codes cannot serve here, and why."""
        return [f"{row.code}: {row.refused}" for row in self.rows if row.refused]

    def __repr__(self) -> str:
        """One line with the counts and the best code."""
        k, n, s = self.setting.n_inputs, self.setting.n_workers, self.setting.n_stragglers
        best = self.rows[0].code if self.rows else "none"
        return f"Comparison({self.name}, (K, N, S) = ({k}, {n}, {s}), best: {best})"

    def __str__(self) -> str:
        """Draw the table in plain text."""
        header, cells = self.table()
        widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in [header, *cells]
        ]
        return "\n".join([repr(self), *lines, *self.refusals()])


def compare(
    fn: Function,
    inputs: ArrayLike,
    n_workers: int,
    *,
    n_stragglers: int,
    n_liars: int = 0,
    n_inputs: int | None = None,
    codes: Sequence[str] | None = None,
    labels: ArrayLike | None = None,
    degree: int | None = None,
    repeats: int = 20,
    rng: int = 0,
    name: str = "f",
    on_code: Callable[[str], object] | None = None,
) -> Comparison:
    """Compare codes on a function: equal inputs, equal workers, equal losses for all.

    Every code is made for (K, N, S), bound to each group of K inputs, and decodes what
    `repeats` draws of lost workers leave, for S and for some other numbers of losses.

    Codes over whole numbers take part where the inputs are whole and `degree` is known; f
    is then evaluated on Python's integers, which do not overflow. Codes over the complex
    numbers evaluate f there, and those for linear maps take part where `degree` is 1. Where f
    fails on such numbers the code is listed among those that cannot serve.

    Parameters
    ----------
    fn : callable
        From a stack of inputs, shape (n, ...), to the stack of answers; numpy or torch. It gets
        copies of the inputs.
    inputs : array_like, shape (M, ...)
        Numpy or torch; f gets the same kind. ``M // n_inputs`` groups are compared on; what is
        left over is not used.
    n_workers : int
        N.
    n_stragglers : int
        S, in [0, N).
    n_liars : int, optional
        E: so many of the answers are wrong, by normal noise of ten times their deviation.
    n_inputs : int, optional
        K; all inputs are one group where it is left out.
    codes : sequence of str, optional
        Names out of ``coded.schemes.codes()``; None takes all of them.
    labels : array_like of int, shape (M,), optional
        Classes, where the answers are scores: then there is relative accuracy too, over the
        groups of which f itself has some right.
    degree : int, optional
        Where f is a polynomial; 1 for a linear map.
    repeats : int, optional
        Draws of lost workers a group.
    rng : int, optional
        Seed of the draws.
    name : str, optional
        What tables call f.
    on_code : callable, optional
        ``on_code(code)`` before each code, for example to show progress.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a count is out of range, there are fewer than K inputs, a name is unknown, labels do
        not belong to the answers, or f does not give a finite answer to every input.
    Exception
        What `fn` itself raises.

    Examples
    --------
    >>> comparison = compare(
    ...     np.sin, np.linspace(0.0, 6.0, 8), 16, n_stragglers=4, codes=["spline", "berrut"]
    ... )
    >>> [row.code for row in comparison.rows]
    ['spline', 'berrut']
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable, got {fn!r}; pass a function of a stack of inputs")
    given: Any = inputs if is_torch_tensor(inputs) else np.asarray(inputs)
    if given.ndim == 0 or len(given) == 0:
        raise ValueError(
            f"inputs must be a stack of inputs, got shape {tuple(given.shape)}; pass at least "
            "one, along axis 0"
        )
    k = len(given) if n_inputs is None else n_inputs
    k = read_count(k, "n_inputs", at_least=1, at_most=len(given))
    n = read_count(n_workers, "n_workers", at_least=1)
    s = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=n - 1)
    n_liars = read_count(n_liars, "n_liars", at_least=0, at_most=n - s)
    repeats = read_count(repeats, "repeats", at_least=1)
    rng = read_count(rng, "rng", at_least=0, at_most=None)
    if degree is not None:
        degree = read_count(degree, "degree", at_least=1)
    setting = Setting(k, n, s, degree, n_liars)
    known = all_codes()
    chosen = list(known) if codes is None else _read_codes(codes, known)
    groups = [given[i : i + k] for i in range(0, len(given) - k + 1, k)]
    classes = None if labels is None else np.asarray(labels)
    if classes is not None and classes.shape != tuple(given.shape[:1]):
        raise ValueError(
            f"labels has shape {classes.shape}, and there are {len(given)} inputs; give one class "
            "for each input"
        )

    race = _Race(fn, groups, classes, setting, repeats, rng)
    rows = []
    for code in chosen:
        if on_code is not None:
            on_code(code)
        rows.append(race.run(code, known[code]))
    comparison = Comparison(name, setting, race.seconds, tuple(rows))

    def rank(row: ComparedCode) -> tuple[bool, bool, float, float]:
        score = comparison.score(row)
        if score is None or np.isnan(score.error):
            return True, bool(row.refused), 0.0, 0.0
        return False, False, -score.decoded, max(score.error, _NOISE)

    return Comparison(name, setting, race.seconds, tuple(sorted(rows, key=rank)))


class _Race:
    """What all codes of one comparison have in common."""

    def __init__(
        self,
        fn: Function,
        groups: Sequence[Any],
        labels: NDArray[np.intp] | None,
        setting: Setting,
        repeats: int,
        rng: int,
    ) -> None:
        self._original = fn
        self._groups = groups
        self._labels = labels
        self._setting = setting
        self._repeats = repeats
        self._rng = rng
        self._counts = _counts(setting)
        references = [_answers(self._fn, group) for group in groups]
        self._variance = _variance(references)
        self._accurate = [self._is_ever_right(i, answers) for i, answers in enumerate(references)]
        if labels is not None and not any(self._accurate):
            raise ValueError(
                "fn is right for none of labels; check that the labels belong to these inputs"
            )
        copies = [_copied(groups[0]) for _ in range(_TIMED)]
        self.seconds = min(_seconds(partial(fn, one)) for one in copies)

    def _fn(self, inputs: Any) -> ArrayLike:
        """Evaluate f, which may write into what it gets."""
        return self._original(_copied(inputs))

    def run(self, code: str, variant: Variant) -> ComparedCode:
        """Measure one code, or say why it cannot serve."""
        try:
            self._require(variant)
            scheme = variant.make(self._setting)
            fn = self._function(variant, scheme)
            trials = [_Trial(scheme, fn, group) for group in self._groups]
        except (ValueError, _NotForFunctionError) as error:
            refused = str(error).partition(";")[0]
            return ComparedCode(code, "", variant.guarantee, None, (), 0.0, 0.0, 0.0, refused)
        scores = tuple(self._score(trials, count) for count in self._counts)
        encode, decode = self._time(scheme, trials[0])
        return ComparedCode(
            code,
            repr(scheme),
            variant.guarantee,
            scheme.min_responders,
            scores,
            encode,
            decode,
            (encode + decode) / self.seconds,
        )

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
        if self._labels is None:
            return False
        classes = read_labels(self._group_labels(i), answers)
        return bool((answers.argmax(axis=1) == classes).any())

    def _group_labels(self, i: int) -> NDArray[np.intp]:
        k = self._setting.n_inputs
        return cast(NDArray[np.intp], self._labels)[i * k : (i + 1) * k]

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
        except NotEnoughRespondersError:
            return None


def _read_codes(codes: Sequence[str], known: Collection[str]) -> list[str]:
    """Check the names of codes."""
    if isinstance(codes, str):
        raise TypeError(f"codes must be a sequence of names, got {codes!r}; pass [{codes!r}]")
    unknown = next((code for code in codes if code not in known), None)
    if unknown is not None or not codes:
        given = "none" if unknown is None else repr(unknown)
        raise ValueError(f"codes must be among {', '.join(known)}, got {given}")
    return list(codes)


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


def _tell_error(score: Score) -> tuple[str, str]:
    if np.isnan(score.error):
        return "-", ""
    if score.error < _NOISE:
        return "0", ""
    half_width = f"{score.half_width:.0e}" if np.isfinite(score.half_width) else ""
    return f"{score.error:.1e}", half_width


def _tell_seconds(seconds: float) -> str:
    if np.isnan(seconds):
        return "-"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1.0 else f"{seconds:.2f} s"


def _tell_share(share: float) -> str:
    if np.isnan(share):
        return "-"
    return f"{share:.1%}" if share < 1.0 else f"{share:.0f} x"
