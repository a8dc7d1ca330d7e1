"""A randomised check that a function is a polynomial of at most a given degree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.prime_field import IntArray, balanced, lagrange_matrix, product, reduced
from coded.arguments import read_count
from coded.seeds import read_seed
from fastspline.arrays import Restore, as_numpy, is_torch_tensor, read_array, require_finite

Numbers: TypeAlias = NDArray[np.floating] | NDArray[np.complexfloating]
Reader: TypeAlias = Callable[[ArrayLike, str], tuple[Any, Restore]]

_LINES = 3  # across the box of the inputs
_MOST_ENDS = 32  # coded inputs that lines of a scheme join
_SPARE_NODES = 9  # a line has 2 (degree + 1) + this many
# Of 10^4 random polynomials, of up to 100 variables, coefficients from 1e-9 to 1e9 and degrees
# up to 15, in all dtypes, with and without schemes, none reached a quarter of it.
_ROUNDING = 64.0
_MOVES = 4  # of the points, to measure rounding
_NOISE = 16.0  # times what is measured, which alone explained all but 9 of the 10^4 by half


class Encoding(Protocol):
    """A code, as far as it matters here."""

    def encode(self, inputs: ArrayLike) -> Any:
        """Turn K inputs into N coded inputs."""


@runtime_checkable
class _OverField(Protocol):
    """A code over whole numbers."""

    prime: int


@dataclass(frozen=True, eq=False)
class _Lines:
    """Points ``center + t half`` for nodes t, on which polynomials of t are orthogonal."""

    centers: Numbers  # (lines, ...)
    halves: Numbers
    nodes: Numbers  # (m,)
    basis: Numbers  # (m, degree + 1), orthonormal columns

    def points(self) -> Numbers:
        """Give all points, line after line, shape (lines m, ...)."""
        t = self.nodes.reshape(1, -1, *[1] * (self.centers.ndim - 1))
        points = self.centers[:, None] + t * self.halves[:, None]
        return points.reshape(-1, *self.centers.shape[1:])

    def steepness(self, degree: int) -> NDArray[np.float64]:
        """``degree^2 max|x| / max|b|`` a line: by what rounding a point moves f, relatively."""
        reach = _largest(self.centers) + _largest(self.halves)
        return np.asarray(degree**2 * reach / _largest(self.halves))


def require_polynomial(
    fn: Callable[[Any], ArrayLike],
    inputs: ArrayLike,
    degree: int,
    *,
    scheme: Encoding | None = None,
    rng: int | np.random.Generator = 0,
) -> None:
    """Refuse a function that is no polynomial of at most this degree where it is evaluated.

    Along a line ``x(t) = a + t b`` such a function is a polynomial of t. Pass the `scheme` that
    shall code it: workers evaluate f at coded inputs, which leave the inputs' box by up to half
    of its size, are complex behind an analog code, and lie anywhere in a prime field. The lines
    join pairs of coded inputs, each of up to 32 of them (spread evenly over the workers) being
    an end of one; t runs over ``m = 2 degree + 11`` Chebyshev points of [-1, 1], for complex
    numbers over the m-th roots of unity, where ``conj(x)``, ``|x|`` and real parts are no
    polynomials. Without a scheme three random lines cross the inputs' box.

    Each answer's distance from its least-squares polynomial is compared with rounding, in units
    of its own size: it must not exceed ``64 eps (1 + degree^2 max|x| / max|b|) max|f_j|``, eps
    that of the coarser dtype of inputs and answers; ``degree^2`` bounds the slope of a
    polynomial (Markov). Where an answer is that small beside others that it may be nothing but
    their rounding, f is evaluated again at points moved by 1 to 4 eps, and the distance may be
    16 times what that changes. Over a prime field there is no rounding: all answers of a line must
    lie on one polynomial modulo p; those that overflow 64 bits do not.

    A function that passes may still be none: where the difference is below rounding, or lies
    off the lines; Lagrange codes err there by as little, or as rarely. Call it once, before the
    work; it evaluates `fn` at up to 16 m points (3 m without a scheme) in one call, and at
    four times as many in a second one where rounding must be measured.

    Parameters
    ----------
    fn : callable
        From a stack of inputs, shape (n, ...), to the stack of their answers; numpy or torch.
        Where it computes in float32 it must return float32: rounding is judged by the dtype.
    inputs : array_like, shape (K, ...)
        The inputs to come, or some like them; numpy or torch. `fn` gets the same kind and dtype,
        or what ``scheme.encode`` makes of them.
    degree : int
        At least 1.
    scheme : LagrangeScheme, AnalogLagrangeScheme or FieldLagrangeScheme, optional
        The code for f, or anything with its ``encode(inputs)``.
    rng : int or numpy.random.Generator, optional
        Seed of the lines, or a generator from whose state one is derived; it is not advanced.

    Raises
    ------
    TypeError
        If `fn` is not callable, `rng` of the wrong kind, or inputs or answers are no numbers of
        the kind that is coded, real ones without a scheme.
    ValueError
        If `fn` is no polynomial of this degree, `degree` or `rng` is out of range or the degree
        beyond that of the scheme, there is no input, or inputs or answers are not finite or of a
        wrong shape.

    References
    ----------
    R. Rubinfeld, M. Sudan, "Robust Characterizations of Polynomials with Applications to Program
    Testing", SIAM Journal on Computing 25(2), 1996: the test on random lines, over fields.

    Examples
    --------
    >>> inputs = np.array([-1.0, 0.0, 2.0])
    >>> require_polynomial(lambda x: x**3 - x, inputs, 3)
    >>> require_polynomial(np.sin, inputs, 3)
    Traceback (most recent call last):
      ...
    ValueError: fn is no polynomial of degree <= 3 on these inputs: ...

    Linear on the inputs, but not where the code evaluates it:

    >>> from coded import LagrangeScheme
    >>> def clip(x):
    ...     return np.clip(x, -1.0, 2.0)
    >>> require_polynomial(clip, inputs, 1)
    >>> require_polynomial(clip, inputs, 1, scheme=LagrangeScheme(3, 8, degree=1))
    Traceback (most recent call last):
      ...
    ValueError: fn is no polynomial of degree <= 1 on these inputs: ...
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable, got {type(fn).__name__}")
    degree = read_count(degree, "degree", at_least=1)
    generator = np.random.default_rng(read_seed(rng))
    if scheme is None:
        array, restore = _read_stack(inputs, "inputs", read_array)
        lines = _across_the_box(array.astype(np.float64, copy=False), degree, generator)
        _require_on_lines(fn, lines, degree, (array.dtype, restore, read_array), "random lines")
        return
    most = getattr(scheme, "degree", degree)
    if degree > most:
        raise ValueError(
            f"degree must be <= {most}, that of scheme = {scheme!r}, got {degree}; make the "
            "scheme for this degree"
        )
    reader = getattr(scheme, "read_numbers", read_array)
    array, restore = _read_stack(scheme.encode(inputs), "coded inputs", reader)
    starts, ends = _pairs(array, generator)
    if isinstance(scheme, _OverField):
        _require_over_field(fn, (starts, ends), degree, scheme.prime, (restore, reader))
    else:
        lines = _between(starts, ends, degree)
        kind = (array.dtype, restore, reader)
        _require_on_lines(fn, lines, degree, kind, "lines through coded inputs")


def _require_on_lines(
    fn: Callable[[Any], ArrayLike],
    lines: _Lines,
    degree: int,
    kind: tuple[np.dtype[Any], Restore, Reader],
    where: str,
) -> None:
    """Raise ValueError if answers along a line are further from a polynomial than by rounding."""
    dtype, restore, reader = kind
    if len(lines.centers) == 0:
        return  # one point: every function is constant there
    stack = lines.points().astype(dtype)
    answers, coarser = _evaluate(fn, restore(stack), reader)
    trailing = answers.shape[1:]
    answers = answers.reshape(len(stack), -1)
    eps = max(_eps(restore.dtype), coarser)
    allowed = _ROUNDING * eps * (1.0 + lines.steepness(degree)[:, None])
    largest = _largest(answers.T)
    missed = _distances(answers, largest, lines)
    explained = np.broadcast_to(allowed, missed.shape)
    with np.errstate(over="ignore"):  # a size may be inf times another
        beside = allowed * (largest.max(initial=0.0) / np.where(largest > 0.0, largest, 1.0))
    if (missed > allowed).any() and (missed <= beside).all():
        noise = _noise(fn, stack, answers, eps, (restore, reader))
        explained = np.maximum(allowed, _NOISE * noise / np.where(largest > 0.0, largest, 1.0))
    if (missed > explained).any():
        worst = np.unravel_index(int(np.argmax(missed / explained)), missed.shape)
        place = ", ".join(str(int(i)) for i in np.unravel_index(worst[1], trailing or (1,)))
        answer = f"entry [{place}] of the answer" if trailing else "it"
        raise ValueError(
            f"fn is no polynomial of degree <= {degree} on these inputs: along {where} {answer} "
            f"misses the nearest one by {missed[worst]:.1e} of its largest value, and rounding "
            f"explains {explained[worst]:.1e}; use SplineScheme, which takes any function, or a "
            "higher degree"
        )


def _noise(
    fn: Callable[[Any], ArrayLike],
    stack: NDArray[Any],
    answers: NDArray[Any],
    eps: float,
    kind: tuple[Restore, Reader],
) -> NDArray[np.float64]:
    """Give by how much each column changes, at most, where points move by 1 to 4 eps."""
    restore, reader = kind
    rng = np.random.default_rng(len(stack))
    steps = eps * np.arange(1, _MOVES + 1).reshape(-1, *[1] * stack.ndim)
    moved = stack * (1.0 + steps * rng.choice([-1.0, 1.0], (_MOVES, *stack.shape)))
    moved = moved.astype(stack.dtype).reshape(-1, *stack.shape[1:])
    again, _ = _evaluate(fn, restore(moved), reader)
    changes = np.abs(again.reshape(_MOVES, *answers.shape) - answers)
    return np.asarray(changes.max(axis=(0, 1)), np.float64)


def _require_over_field(
    fn: Callable[[Any], ArrayLike],
    pairs: tuple[IntArray, IntArray],
    degree: int,
    prime: int,
    kind: tuple[Restore, Reader],
) -> None:
    """Raise ValueError if answers along a line lie on no polynomial modulo p."""
    starts, ends = pairs
    restore, reader = kind
    nodes = np.arange(min(2 * degree + 2 + _SPARE_NODES, prime))
    t = nodes.reshape(1, -1, *[1] * (starts.ndim - 1))
    points = starts[:, None] + t * balanced(ends - starts, prime)[:, None]
    stack = balanced(points, prime).reshape(-1, *starts.shape[1:])
    if len(stack) == 0 or len(nodes) <= degree + 1:
        return
    answers, _ = _evaluate(fn, restore(stack), reader)
    rows = reduced(answers.reshape(len(starts), len(nodes), -1), prime).swapaxes(0, 1)
    rows = rows.reshape(len(nodes), -1)
    spare = lagrange_matrix(nodes[: degree + 1], nodes[degree + 1 :], prime)
    wrong = product(spare, rows[: degree + 1], prime) != rows[degree + 1 :]
    if wrong.any():
        raise ValueError(
            f"fn is no polynomial of degree <= {degree} modulo {prime} on these inputs: along "
            f"lines through coded inputs {wrong.mean():.0%} of its answers are not those of the "
            "polynomial through the others; take a higher degree, or, where numbers overflow 64 "
            "bits, reduce in between by coded.algebra.prime_field.balanced"
        )


def _read_stack(values: ArrayLike, name: str, reader: Reader) -> tuple[Any, Restore]:
    """Read a stack of at least one input."""
    array, restore = reader(values, name)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; pass a stack of inputs, at least one, along axis 0"
        )
    require_finite(array, name)
    return array, restore


def _evaluate(
    fn: Callable[[Any], ArrayLike], stack: Any, reader: Reader
) -> tuple[NDArray[Any], float]:
    """Give the answers to a stack, and the eps of the dtype that they came in."""
    given: Any = fn(stack)
    given = given.resolve_conj() if is_torch_tensor(given) else given
    answers, _ = reader(given, "fn(inputs)")
    if answers.ndim == 0 or len(answers) != len(stack):
        raise ValueError(
            f"fn must return {len(stack)} answers for {len(stack)} inputs along axis 0, got shape "
            f"{answers.shape}; pass a function of a stack of inputs"
        )
    require_finite(answers, "fn(inputs)")
    return answers, _eps(as_numpy(given, "fn(inputs)")[0].dtype)


def _eps(dtype: np.dtype[Any]) -> float:
    """Give the eps of floats and complex numbers; whole numbers are computed in float64."""
    return float(np.finfo(dtype if dtype.kind in "fc" else np.float64).eps)


def _largest(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Give the largest magnitude in each row."""
    return np.asarray(np.abs(rows).reshape(len(rows), -1).max(axis=1, initial=0.0), np.float64)


def _across_the_box(inputs: NDArray[np.float64], degree: int, rng: np.random.Generator) -> _Lines:
    """Give random lines across the inputs' box."""
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    if np.array_equal(low, high):  # one input, say
        reach = np.maximum(np.abs(low).max(), 1.0)
        low, high = low - reach, high + reach
    shape = (_LINES, *low.shape)
    starts = low + rng.uniform(0.0, 0.25, shape) * (high - low)
    ends = high - rng.uniform(0.0, 0.25, shape) * (high - low)
    signs = rng.choice([-1.0, 1.0], shape)
    middle = (starts + ends) / 2
    return _between(
        middle - signs * (ends - starts) / 2, middle + signs * (ends - starts) / 2, degree
    )


def _pairs(coded: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pair coded inputs at random, each of those that are taken at least once; no equal ones."""
    count = min(len(coded), _MOST_ENDS)
    order = rng.permutation(np.linspace(0, len(coded) - 1, count).round().astype(int))
    half = (count + 1) // 2
    starts, ends = coded[order[:half]], coded[order[-half:]]
    differ = (starts != ends).reshape(half, -1).any(axis=1)
    return starts[differ], ends[differ]


def _between(starts: NDArray[Any], ends: NDArray[Any], degree: int) -> _Lines:
    """Give the lines from starts to ends: segments of real numbers, circles of complex ones."""
    m = 2 * degree + 2 + _SPARE_NODES
    if np.iscomplexobj(starts):
        nodes: Numbers = np.exp(2j * np.pi * np.arange(m) / m)
        basis: Numbers = nodes[:, None] ** np.arange(degree + 1)
    else:
        nodes = np.cos(np.pi * (np.arange(m) + 0.5) / m)
        basis = np.polynomial.chebyshev.chebvander(nodes, degree)
        starts, ends = starts.astype(np.float64), ends.astype(np.float64)
    basis = basis / np.linalg.norm(basis, axis=0)
    return _Lines((starts + ends) / 2, (ends - starts) / 2, nodes, basis)


def _distances(
    answers: NDArray[Any], largest: NDArray[np.float64], lines: _Lines
) -> NDArray[np.float64]:
    """Give the largest distance of each column from its least-squares polynomial on each line.

    Relative to the column's largest answer, shape (lines, columns).
    """
    wide = np.result_type(answers.dtype, np.float64)
    scaled = answers.astype(wide, copy=False) / np.where(largest > 0.0, largest, 1.0)
    scaled = scaled.reshape(len(lines.centers), len(lines.nodes), -1)
    coefficients = lines.basis.conj().T @ scaled
    return np.asarray(np.abs(scaled - lines.basis @ coefficients).max(axis=1))
