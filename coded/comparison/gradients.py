"""`compare_gradients`: gradient codes beside no code, two copies and recomputing what is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coded.comparison.jobs import Entry, JobComparison, Trial, chosen, compared, read_draws
from coded.gradients.fractional import FractionalRepetitionCode
from coded.gradients.gradient_code import GradientCode
from coded.gradients.registry import GRADIENTS

GradientCodes: TypeAlias = Sequence[str] | Mapping[str, GradientCode]


def compare_gradients(
    part: Callable[[Any, float, float], Any],
    parameters: Any,
    n_workers: SupportsIndex,
    *,
    n_stragglers: SupportsIndex,
    codes: GradientCodes | None = None,
    repeats: SupportsIndex = 20,
    rng: SupportsIndex = 0,
    on_code: Callable[[str], object] | None = None,
) -> JobComparison:
    """Compare gradient codes for the sum of a function over the data, on equal workers and losses.

    The data is cut into as many parts as a code has, all of one size. Beside the codes stand
    ``uncoded`` (N parts, all are needed), ``two-copies`` (each part at two workers) and
    ``recompute-lost`` (uncoded, and this process computes what is lost).

    Parameters
    ----------
    part : callable
        ``part(parameters, begin, end)``: the sum over the data from the share `begin` of it to
        the share `end`, 0 <= begin < end <= 1, an array or a tensor.
    parameters : array_like or nest of arrays
        At which the sum is taken.
    n_workers : int
        N >= 2.
    n_stragglers : int
        S in [0, N): so many workers are lost in each draw.
    codes : sequence of str, or mapping of str to GradientCode, optional
        Names out of ``coded.gradients.registry.GRADIENTS``, or codes of your own by their names;
        None takes all names.
    repeats : int, optional
        Draws of lost workers.
    rng : int, optional
        Seed of the draws.
    on_code : callable, optional
        ``on_code(name)`` before each, for example to show progress.

    Returns
    -------
    JobComparison
        Prints as a table; ``load`` is the share of the sum that a worker computes, ``error`` is
        relative to the largest number of the sum, and not small for codes that approximate.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a count is out of range, or a name is unknown.

    Examples
    --------
    >>> data = np.random.default_rng(0).normal(size=(1200, 3))
    >>> def part(w, begin, end):
    ...     rows = data[round(1200 * begin) : round(1200 * end)]
    ...     return rows.T @ (rows @ w)
    >>> comparison = compare_gradients(part, np.ones(3), 6, n_stragglers=1, repeats=3)
    >>> [row.code for row in comparison.rows][:4]
    ['uncoded', 'two-copies', 'recompute-lost', 'fractional-repetition']
    """
    n, s, repeats, seed = read_draws(n_workers, n_stragglers, repeats, rng)
    if not callable(part):
        raise TypeError(f"part must be callable, got {part!r}; pass part(parameters, begin, end)")
    own = GradientCode, "one of coded.gradients, or make one from its matrix"
    coded = chosen(codes, GRADIENTS, (n, s), own, partial(_entry, part))
    entries = [*_plain(part, n), *coded]
    trial = Trial(entries[0], (parameters,), n_stragglers=s, repeats=repeats, rng=seed)
    return compared(
        "sum over the data", trial, entries, n_workers=n, n_stragglers=s, on_code=on_code
    )


class _Part:
    """The sum over part i of n."""

    def __init__(self, fn: Callable[..., Any], n_parts: int) -> None:
        self._fn, self._n_parts = fn, n_parts

    def __call__(self, parameters: Any, i: int) -> Any:
        """Evaluate it."""
        return self._fn(parameters, i / self._n_parts, (i + 1) / self._n_parts)


def _plain(part: Callable[..., Any], n: int) -> list[Entry]:
    """Give what is done without codes."""
    uncoded, two = (partial(FractionalRepetitionCode, n, s) for s in (0, 1))
    return [
        _entry(part, "uncoded", uncoded, "all answers are needed"),
        _entry(part, "two-copies", two, "exact unless both copies of parts are lost"),
        _entry(part, "recompute-lost", uncoded, "lost parts are computed here", recomputes=True),
    ]


def _entry(
    part: Callable[..., Any],
    name: str,
    make: Callable[[], GradientCode],
    guarantee: str,
    *,
    recomputes: bool = False,
) -> Entry:
    return Entry(
        name,
        make,
        guarantee,
        load=_load,
        condition=_condition,
        function=lambda code: _Part(part, code.n_parts),
        recomputes=recomputes,
    )


def _load(code: GradientCode) -> float:
    """Give the parts of an executor as a share of all."""
    tasks = code.n_workers / getattr(code, "n_executors", code.n_workers)
    return float(code.load * tasks / code.n_parts)


def _condition(code: GradientCode, responders: NDArray[np.intp]) -> float:
    """Give the condition number of the answers' rows of B, on the space that they span."""
    sizes = np.linalg.svd(code.encoding_matrix[responders])[1]
    sizes = sizes[sizes > sizes[0] * 1e-12]
    return float(sizes[0] / sizes[-1])


def digits_problem() -> tuple[Callable[[Any, float, float], Any], Any]:
    """Give softmax regression on 1,000 real digits: its gradient over a share of them, and w."""
    from coded.digits.images import read_digits

    digits = read_digits(0).batch(0, 1000)
    pixels = np.asarray(digits.inputs, np.float64).reshape(1000, -1)
    targets = np.eye(10)[digits.labels]

    def gradient(weights: Any, begin: float, end: float) -> Any:
        rows = slice(round(1000 * begin), round(1000 * end))
        scores = pixels[rows] @ weights
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return pixels[rows].T @ (scores / scores.sum(axis=1, keepdims=True) - targets[rows])

    return gradient, np.random.default_rng(0).normal(size=(pixels.shape[1], 10)) * 0.01
