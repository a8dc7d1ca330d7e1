"""A randomised check that a function is a polynomial of at most a given degree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from coded.seeds import read_seed
from fastspline.arrays import FloatArray, read_array, require_finite

_LINES = 3
_SPARE_NODES = 9  # a line has 2 (degree + 1) + this many
# Of 3000 random polynomials, of up to 1000 variables, coefficients from 1e-6 to 1e6 and degrees
# up to 15, in all dtypes, none reached a tenth of it.
_ROUNDING = 64.0


def require_polynomial(
    fn: Callable[[Any], ArrayLike],
    inputs: ArrayLike,
    degree: int,
    *,
    rng: int | np.random.Generator = 0,
) -> None:
    """Refuse a function that is no polynomial of at most this degree where the inputs lie.

    Along a line ``x(t) = a + t b`` such a function is a polynomial of t. On three random lines
    across the box of the inputs, at ``m = 2 degree + 11`` Chebyshev points each, the answers'
    distance from their least-squares polynomial is compared with rounding: it must not exceed
    ``64 eps (1 + degree^2 max|x| / max|b|) max|f|``, eps that of the coarser dtype of inputs and
    answers. A function that passes may still be none: where the difference is below rounding
    of the largest answer, or lies off the lines; Lagrange codes err there by as little, or as
    rarely. Call it once, before the work; it evaluates `fn` at 3 m points, in one call.

    Parameters
    ----------
    fn : callable
        From a stack of inputs, shape (3 m, ...), to the stack of their answers; numpy or torch.
        Where it computes in float32 it must return float32: rounding is judged by the dtype.
    inputs : array_like, shape (K, ...)
        The inputs to come, or some like them; numpy or torch. `fn` gets the same kind and dtype.
    degree : int
        At least 1.
    rng : int or numpy.random.Generator, optional
        Seed of the lines, or a generator from whose state one is derived; it is not advanced.

    Raises
    ------
    TypeError
        If `fn` is not callable, `rng` of the wrong kind, or inputs or answers are no real numbers.
    ValueError
        If `fn` is no polynomial of this degree, `degree` or `rng` is out of range, there is no
        input, or inputs or answers are not finite or of a wrong shape.

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
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable, got {type(fn).__name__}")
    degree = read_count(degree, "degree", at_least=1)
    generator = np.random.default_rng(read_seed(rng))
    array, restore = read_array(inputs, "inputs")
    if array.ndim == 0 or array.size == 0:
        raise ValueError(
            f"inputs has shape {array.shape}; pass a stack of inputs, at least one, along axis 0"
        )
    require_finite(array, "inputs")

    n_nodes = 2 * degree + 2 + _SPARE_NODES
    nodes = np.cos(np.pi * (np.arange(n_nodes) + 0.5) / n_nodes)
    centers, halves = _random_lines(array.astype(np.float64, copy=False), generator)
    points = centers[:, None] + nodes.reshape(1, -1, *[1] * (array.ndim - 1)) * halves[:, None]
    stack = points.reshape(-1, *array.shape[1:]).astype(array.dtype)
    answers, as_answered = read_array(fn(restore(stack)), "fn(inputs)")
    if answers.ndim == 0 or len(answers) != len(stack):
        raise ValueError(
            f"fn must return {len(stack)} answers for {len(stack)} inputs along axis 0, got shape "
            f"{answers.shape}; pass a function of a stack of inputs"
        )
    require_finite(answers, "fn(inputs)")

    eps = max(float(np.finfo(numbers.dtype).eps) for numbers in (restore, as_answered))
    steepness = degree**2 * float(np.abs(points).max() / np.abs(halves).max())
    allowed = _ROUNDING * eps * (1.0 + steepness)
    missed = _distance(answers.reshape(_LINES, n_nodes, -1), nodes, degree)
    if missed > allowed:
        raise ValueError(
            f"fn is no polynomial of degree <= {degree} on these inputs: along random lines it "
            f"misses the nearest one by {missed:.1e} of its largest value, and rounding explains "
            f"{allowed:.1e}; use SplineScheme, which takes any function, or a higher degree"
        )


def _random_lines(
    inputs: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give centers and half lengths of lines across the inputs' box, each (lines, ...)."""
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    if np.array_equal(low, high):  # one input, say
        reach = np.maximum(np.abs(low).max(), 1.0)
        low, high = low - reach, high + reach
    shape = (_LINES, *low.shape)
    starts = low + rng.uniform(0.0, 0.25, shape) * (high - low)
    ends = high - rng.uniform(0.0, 0.25, shape) * (high - low)
    signs = rng.choice([-1.0, 1.0], shape)
    return (starts + ends) / 2, signs * (ends - starts) / 2


def _distance(answers: FloatArray, nodes: NDArray[np.float64], degree: int) -> float:
    """Give the largest distance from least-squares polynomials, relative to the largest answer.

    `answers` is (lines, nodes, entries). Chebyshev polynomials are orthogonal on the nodes.
    """
    largest = float(np.abs(answers).max(initial=0.0))
    if largest == 0.0:
        return 0.0
    basis = np.polynomial.chebyshev.chebvander(nodes, degree)
    basis /= np.linalg.norm(basis, axis=0)
    scaled = answers.astype(np.float64, copy=False) / largest
    return float(np.abs(scaled - basis @ (basis.T @ scaled)).max())
