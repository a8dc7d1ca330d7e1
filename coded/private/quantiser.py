"""Data, weights and polynomials as integers: what a worker computes, and how large it can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from coded.algebra.prime_field import IntArray, product
from coded.arguments import read_count, read_number
from fastspline.arrays import read_vector, require_finite

Floats = NDArray[np.float64]

_SLACK = 1.0 + 2.0**-20  # on bounds: far more than the rounding errors in them


@dataclass(frozen=True)
class Quantiser:
    """Numbers of so many bits behind the binary point, for ``X^T g(X w)`` with a polynomial g.

    With ``X' = 2^a X`` and ``w' = 2^b w``, rounded to integers, and ``B = 2^(a + b)``,

        ``X'^T sum_t q_t (X' w')^t = 2^a B^r / c_r X^T g(X w),   q_t = round(B^(r - t) c_t / c_r)``

    for ``g(z) = sum_t c_t z^t`` of degree r. The leading coefficient is 1 and exact, the others
    are as fine as powers of z, and none of them takes bits of its own.

    Attributes
    ----------
    input_bits, weight_bits : int
        a and b.
    coefficients : tuple of float
        ``c_0, ..., c_r``, with r >= 1 and ``c_r`` not 0.
    """

    input_bits: int
    weight_bits: int
    coefficients: tuple[float, ...]

    @property
    def degree(self) -> int:
        """The degree r of g."""
        return len(self.coefficients) - 1

    @property
    def integer_coefficients(self) -> tuple[int, ...]:
        """The ``q_t``, of any size."""
        base, leading = 2 ** (self.input_bits + self.weight_bits), Fraction(self.coefficients[-1])
        return tuple(
            round(base ** (self.degree - t) * Fraction(c) / leading)
            for t, c in enumerate(self.coefficients)
        )

    @property
    def unit(self) -> float:
        """What a 1 in the integers ``X'^T sum_t q_t (X' w')^t`` stands for."""
        bits = self.input_bits + self.degree * (self.input_bits + self.weight_bits)
        return self.coefficients[-1] * 2.0**-bits

    def round_inputs(self, inputs: Floats) -> Floats:
        """Give X', to nearest: whole numbers as floats, for they may be of any size yet."""
        with np.errstate(over="ignore"):
            return np.rint(inputs * 2.0**self.input_bits)

    def round_weights(self, weights: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
        """Give r independent w', shape (r, d), each rounded up or down at random: w on average.

        ``(X' w')^t`` is computed as the product of t different ones, and so is right on average.
        """
        scaled = np.broadcast_to(weights * 2.0**self.weight_bits, (self.degree, len(weights)))
        below = np.floor(scaled)
        return (below + (rng.random(scaled.shape) < scaled - below)).astype(np.int64)

    def require_room(self, blocks: Floats, largest: int, radius: float) -> float:
        """Give the largest radius that X, cut into blocks, allows; ValueError below `radius`."""
        possible = self.largest_radius(self.round_inputs(blocks), largest)
        if radius <= possible:
            return possible
        fewer = self.with_fewer_bits(blocks, largest, radius)
        mend = "scale inputs and radius down, or take more blocks or a larger prime"
        if fewer is not None:
            a, b = fewer.input_bits, fewer.weight_bits
            mend = f"take input_bits = {a} and weight_bits = {b}, or more blocks"
        limit = f"at most {possible:.4g}" if possible >= 0.0 else "not even 0 is"
        raise ValueError(
            f"radius must be so small that no block's answer passes {largest} = (p - 1) / 2, where "
            f"it would wrap modulo p: with input_bits = {self.input_bits} and weight_bits = "
            f"{self.weight_bits} {limit}, got {radius:g}; {mend}"
        )

    def largest_norm(self, n_weights: int, radius: float) -> float:
        """Give the largest norm of w' for weights of norm `radius`: rounding adds less than 1."""
        return radius * 2.0**self.weight_bits + sqrt(n_weights)

    def largest_radius(self, blocks: Floats, largest: int) -> float:
        """Give the norm of weights up to which integers stay below `largest`; else below 0.

        Parameters
        ----------
        blocks : ndarray of float, shape (K, m, d)
            X', cut into blocks.
        largest : int
            The largest magnitude that the field holds, of weights and of answers.
        """
        moments = _moments(blocks, self.degree)
        low, high = 0.0, float(largest)
        if not self._bound(moments, low) <= largest:
            return -1.0
        while high - low > 1e-12 * high:
            middle = (low + high) / 2.0
            low, high = (middle, high) if self._bound(moments, middle) <= largest else (low, middle)
        return (low - sqrt(blocks.shape[2])) / 2.0**self.weight_bits

    def with_fewer_bits(self, blocks: Floats, largest: int, radius: float) -> Quantiser | None:
        """Give what of the bits is possible with weights of norm `radius`; None if nothing is.

        Parameters
        ----------
        blocks : ndarray of float, shape (K, m, d)
            X, cut into blocks.
        largest : int
            The largest magnitude that the field holds.
        radius : float
            The norm of the weights.
        """
        possible = []
        for a in range(self.input_bits, -1, -1):
            rounded = replace(self, input_bits=a).round_inputs(blocks)
            if not rounded.any():
                break  # nor with fewer
            moments = _moments(rounded, self.degree)
            for b in range(self.weight_bits, -1, -1):
                fewer = replace(self, input_bits=a, weight_bits=b)
                norm = fewer.largest_norm(blocks.shape[2], radius)
                if fewer._bound(moments, norm) <= largest:
                    possible.append(fewer)
                    break
        return max(possible, key=lambda one: one.input_bits + one.weight_bits, default=None)

    def _bound(self, moments: Sequence[Floats], norm: float) -> float:
        """Give how large a block's integers can be for any w' of at most this norm.

        In column j of a block that is

            ``|q_0 sum_i x'_ij| + |q_1| ||(X'^T X')_j|| n + sum_(t>1) |q_t| n^t sum_i |x'_ij|
            ||x'_i||^t``

        by Cauchy's inequality, and some w' comes so far where g is a line. inf or nan where
        float64 does not hold it. Its sums are exact where that matters, for where entries of
        ``X'^T X'`` pass 2^53 the whole is larger than any field that is allowed.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            terms = [
                float(min(abs(q), 2**1000)) * np.float64(norm) ** t * moments[t]
                for t, q in enumerate(self.integer_coefficients)
            ]
            return float(np.max(sum(terms, np.float64(0.0)))) * _SLACK


def sigmoid_polynomial(degree: int = 1, radius: float = 6.0) -> tuple[float, ...]:
    """Give the polynomial next to the sigmoid ``1 / (1 + exp(-z))`` in [-radius, radius].

    Parameters
    ----------
    degree : int, optional
        r, odd: the sigmoid is odd about (0, 1/2), so that an even degree fits no better.
    radius : float, optional
        Positive.

    Returns
    -------
    tuple of float
        ``c_0 = 1/2, c_1, ..., c_r``, of least squares at 401 equidistant points.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If the degree is even or `radius` not positive.

    Examples
    --------
    >>> from coded import sigmoid_polynomial
    >>> [round(c, 3) for c in sigmoid_polynomial()]
    [0.5, 0.114]
    """
    degree = read_count(degree, "degree", at_least=1, at_most=15)
    if degree % 2 == 0:
        raise ValueError(
            f"degree must be odd, got {degree}; {degree - 1} gives the same polynomial"
        )
    z = np.linspace(-1.0, 1.0, 401) * read_number(radius, "radius", "(0, inf)")
    odd = np.arange(1, degree + 1, 2)
    scaled = (z[:, None] / z[-1]) ** odd
    found = np.linalg.lstsq(scaled, np.tanh(z / 2.0) / 2.0, rcond=None)[0] / z[-1] ** odd
    coefficients = np.zeros(degree + 1)
    coefficients[0], coefficients[odd] = 0.5, found
    return tuple(coefficients.tolist())


def read_coefficients(coefficients: Sequence[float] | None) -> tuple[float, ...]:
    """Give those of a polynomial, checked; None is the sigmoid's line."""
    if coefficients is None:
        return sigmoid_polynomial()
    vector = read_vector(coefficients, "coefficients")
    require_finite(vector, "coefficients")
    if len(vector) < 2 or vector[-1] == 0.0:
        raise ValueError(
            f"coefficients must be c_0, ..., c_r with r >= 1 and c_r not 0, got {vector.tolist()}; "
            "(0, 1) is linear regression, sigmoid_polynomial() gives those of logistic regression"
        )
    return tuple(vector.tolist())


def evaluate_block(
    block: IntArray, weights: IntArray, *, coefficients: Sequence[int], prime: int
) -> IntArray:
    """Compute ``X^T g(X w)`` modulo p of a coded block, as a worker does.

    Parameters
    ----------
    block : ndarray of int, shape (m, d)
        X, in (-p, p).
    weights : ndarray of int64, shape (r, d)
        One w for each factor z of g's powers, in (-p, p).
    coefficients : sequence of int
        Residues, r + 1 of them.
    prime : int
        p.

    Returns
    -------
    ndarray of int64, shape (d,)
        Residues.
    """
    # X on the right: it is the left factor that `product` splits. Ten times as fast.
    values = product(weights, block.T, prime)
    power = np.ones(len(block), np.int64)
    total = np.full(len(block), coefficients[0])
    for factor, coefficient in zip(values, coefficients[1:], strict=True):
        power = power * factor % prime
        total = (total + coefficient * power) % prime
    of_block: IntArray = product(total[None], block, prime)[0]
    return of_block


def _moments(blocks: Floats, degree: int) -> list[Floats]:
    """Give what the ``|q_t| n^t`` are multiplied with, each of shape (K, d)."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(blocks, axis=2)
        higher = [np.einsum("kid,ki->kd", np.abs(blocks), lengths**t) for t in range(2, degree + 1)]
        gram_rows = [np.linalg.norm(block.T @ block, axis=1) for block in blocks]
        return [np.abs(blocks.sum(axis=1)), np.stack(gram_rows), *higher]
