"""`compare`: every code on one function, with equal workers and equal losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from coded.comparison.functions import Problem
from coded.comparison.outcome import ComparedCode, Comparison, best_first
from coded.comparison.race import Measured, Race, Refused
from coded.schemes import codes as all_codes
from coded.schemes.protocol import Function, Numbers, Scheme, read_numbers
from coded.schemes.registry import Setting, Variant
from fastspline.arrays import is_torch_tensor

Codes: TypeAlias = Sequence[str | Scheme] | Mapping[str, str | Scheme]


def compare(
    fn: Function,
    inputs: ArrayLike,
    n_workers: int,
    *,
    n_stragglers: int,
    n_liars: int = 0,
    n_inputs: int | None = None,
    codes: Codes | None = None,
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
    codes : sequence of str or Scheme, or mapping of str to them, optional
        Names out of ``coded.schemes.codes()``, and schemes of your own, made for K and N, which
        tables call by their class; a mapping says by what name instead. None takes all of
        ``codes()``; ``[*codes(), scheme]`` adds one.
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
        If a count is out of range, there are fewer than K inputs, a name is unknown or given
        twice, a scheme was made for other counts, labels do not belong to the answers, or f does
        not give a finite answer to every input.
    Exception
        What `fn` itself raises.

    Examples
    --------
    >>> comparison = compare(
    ...     np.sin, np.linspace(0.0, 6.0, 8), 16, n_stragglers=4, codes=["spline", "berrut"]
    ... )
    >>> [row.code for row in comparison.rows]
    ['spline', 'berrut']

    A scheme of your own beside one of these:

    >>> from coded import KernelScheme
    >>> mine = {"mine": KernelScheme(8, 16, fit=None), "berrut": "berrut"}
    >>> comparison = compare(np.sin, np.linspace(0.0, 6.0, 8), 16, n_stragglers=4, codes=mine)
    >>> sorted(row.code for row in comparison.rows)
    ['berrut', 'mine']
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable, got {fn!r}; pass a function of a stack of inputs")
    given = _read_inputs(inputs)
    k = len(given) if n_inputs is None else n_inputs
    k = read_count(k, "n_inputs", at_least=1, at_most=len(given))
    n = read_count(n_workers, "n_workers", at_least=1)
    s = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=n - 1)
    n_liars = read_count(n_liars, "n_liars", at_least=0, at_most=n - s)
    repeats = read_count(repeats, "repeats", at_least=1)
    rng = read_count(rng, "rng", at_least=0, at_most=None)
    if degree is not None:
        degree = read_count(degree, "degree", at_least=1)
    chosen = all_codes() if codes is None else _read_codes(codes, k, n)
    problem = Problem(name, fn, given, _read_classes(labels, len(given)), degree)
    setting = Setting(k, n, s, degree, n_liars)

    race = Race(problem, setting, repeats=repeats, rng=rng)
    rows = []
    for code, variant in chosen.items():
        if on_code is not None:
            on_code(code)
        rows.append(_row(code, variant.guarantee, race.run(variant), race.seconds))
    return best_first(Comparison(name, setting, race.seconds, tuple(rows)))


def _row(code: str, guarantee: str, found: Measured | Refused, seconds: float) -> ComparedCode:
    """Give the row of a code, where f takes so many seconds."""
    if isinstance(found, Refused):
        return ComparedCode(
            code,
            scheme="",
            guarantee=guarantee,
            needs=None,
            scores=(),
            encode_seconds=0.0,
            decode_seconds=0.0,
            share=0.0,
            refused=found.why,
        )
    return ComparedCode(
        code,
        scheme=repr(found.scheme),
        guarantee=guarantee,
        needs=found.scheme.min_responders,
        scores=found.scores,
        encode_seconds=found.encode_seconds,
        decode_seconds=found.decode_seconds,
        share=(found.encode_seconds + found.decode_seconds) / seconds,
    )


def _read_inputs(inputs: ArrayLike) -> Any:
    """Check the stack of inputs: a tensor stays one."""
    given: Any = inputs if is_torch_tensor(inputs) else np.asarray(inputs)
    if given.ndim == 0 or len(given) == 0:
        raise ValueError(
            f"inputs must be a stack of inputs, got shape {tuple(given.shape)}; pass at least "
            "one, along axis 0"
        )
    return given


def _read_classes(labels: ArrayLike | None, count: int) -> NDArray[np.intp] | None:
    """Check that there is a class for each input, where there are any."""
    if labels is None:
        return None
    classes = np.asarray(labels)
    if classes.shape != (count,):
        raise ValueError(
            f"labels has shape {classes.shape}, and there are {count} inputs; give one class "
            "for each input"
        )
    return classes


def _read_codes(codes: Codes, n_inputs: int, n_workers: int) -> dict[str, Variant]:
    """Check names of codes and schemes of the caller; give each under the name of its row."""
    if isinstance(codes, str | Scheme):
        raise TypeError(f"codes must be a sequence, or a mapping, got {codes!r}; pass [{codes!r}]")
    if isinstance(codes, Mapping):
        named = list(codes.items())
    else:
        named = [(one if isinstance(one, str) else type(one).__name__, one) for one in codes]
    known = all_codes()
    chosen: dict[str, Variant] = {}
    for name, one in named:
        if name in chosen:
            raise ValueError(
                f"codes must have different names, got {name!r} twice; pass a mapping from names "
                "to codes"
            )
        if isinstance(one, str):
            if one not in known:
                raise ValueError(f"codes must be among {', '.join(known)}, got {one!r}")
            chosen[name] = known[one]
        else:
            chosen[name] = _own(name, one, n_inputs, n_workers)
    if not chosen:
        raise ValueError(f"codes must be among {', '.join(known)}, got none")
    return chosen


def _own(name: str, scheme: Scheme, n_inputs: int, n_workers: int) -> Variant:
    """Check a scheme of the caller, and give it as the registry gives its codes."""
    if not isinstance(scheme, Scheme):
        raise TypeError(
            f"codes must hold names and schemes, got {scheme!r}; pass an object with the members "
            "of coded.Scheme"
        )
    if (scheme.n_inputs, scheme.n_workers) != (n_inputs, n_workers):
        raise ValueError(
            f"codes has {name} for K = {scheme.n_inputs} inputs and N = {scheme.n_workers} "
            f"workers, and K = {n_inputs} and N = {n_workers} are compared; make it for these, or "
            "change n_inputs and n_workers"
        )
    numbers: Numbers = "integer"  # codes over whole numbers refuse others
    with suppress(TypeError):
        kind = read_numbers(scheme, np.zeros(1), "numbers")[0].dtype.kind
        numbers = "complex" if kind == "c" else "real"
    return Variant(lambda _: scheme, "none", "as you made it", numbers)
