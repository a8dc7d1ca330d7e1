"""Arithmetic modulo a prime p on int64 arrays: products, inverses, elimination, interpolation.

Numbers lie in (-p, p); results are residues in [0, p) but for `balanced`, whose results lie
in [-(p - 1) / 2, (p - 1) / 2]. p is at most `LARGEST_PRIME`, so that no product of two numbers
overflows.
"""

from __future__ import annotations

import math
import os
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coded.arguments import read_count

IntArray: TypeAlias = NDArray[np.int64]

LARGEST_PRIME = 2**31 - 1  # the largest prime whose residues' products stay below 2^63

_EXACT = 2**53  # float64 holds every integer up to here
_BLOCK_BYTES = 1 << 19  # what one block of columns works on stays in the second cache
# Enough for every number below 3.3e24: J. Sorenson, J. Webster, "Strong pseudoprimes to twelve
# prime bases", Math. Comp. 86 (2017).
_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)


def read_prime(prime: SupportsIndex, name: str, *, at_least: int = 2) -> int:
    """Give `prime` as an int that is prime and lies in ``[at_least, LARGEST_PRIME]``.

    Raises
    ------
    TypeError
        If `prime` is no integer.
    ValueError
        If it is out of range or not prime; the message names the largest one allowed.
    """
    value = read_count(prime, name, at_least=2, at_most=None)
    if value > LARGEST_PRIME:
        raise ValueError(
            f"{name} must be at most {LARGEST_PRIME} = 2**31 - 1, the largest prime whose products "
            f"fit in 64 bits, got {value}"
        )
    if not is_prime(value):
        raise ValueError(
            f"{name} must be a prime number, got {value}; the largest one allowed is "
            f"{LARGEST_PRIME} = 2**31 - 1"
        )
    if value < at_least:
        raise ValueError(
            f"{name} must be at least {at_least}, to have so many different points, got {value}; "
            f"the largest one allowed is {LARGEST_PRIME} = 2**31 - 1"
        )
    return value


def is_prime(number: int) -> bool:
    """Tell whether `number`, below 3.3e24, is prime: Miller and Rabin's test, deterministic.

    Examples
    --------
    >>> [n for n in range(30) if is_prime(n)]
    [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    """
    if number < 2:
        return False
    for small in _WITNESSES:
        if number % small == 0:
            return number == small
    twos = ((number - 1) & (1 - number)).bit_length() - 1
    odd = (number - 1) >> twos
    return all(_passes(pow(base, odd, number), twos, number) for base in _WITNESSES)


def balanced(values: Any, prime: int) -> Any:
    """Give integers modulo `prime` by their representatives of least magnitude.

    A worker reduces by it what may outgrow 64 bits: the product of two balanced numbers never does.

    Parameters
    ----------
    values : int or array of integers
        A Python int, a numpy array or a torch tensor.
    prime : int
        p, odd.

    Returns
    -------
    of the kind of `values`
        Integers in [-(p - 1) / 2, (p - 1) / 2].

    Examples
    --------
    >>> balanced(np.array([3, 4, 94, 1000]), 97)
    array([ 3,  4, -3, 30])
    """
    residues = reduced(values, prime)
    if isinstance(residues, np.ndarray) and residues.dtype == np.uint64:
        residues = residues.astype(np.int64)  # to have a sign
    return residues - prime * (residues > prime // 2)


def reduced(values: Any, prime: int) -> Any:
    """Give integers as residues in [0, p), in the kind of `values`."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "biu" and values.itemsize < 8:
        values = values.astype(np.int64)  # p itself may not fit in fewer bits
    return values - values // prime * prime  # numpy divides by vector instructions, % does not


def random_residues(shape: tuple[int, ...], prime: int) -> IntArray:
    """Draw independent residues, uniform in [0, p), from the operating system's entropy."""
    count = math.prod(shape)
    mask = np.uint32((1 << (prime - 1).bit_length()) - 1)
    drawn = np.empty(0, np.uint32)
    while len(drawn) < count:
        words = np.frombuffer(os.urandom(4 * (count - len(drawn))), np.uint32) & mask
        drawn = np.concatenate((drawn, words[words < prime]))  # rejection keeps them uniform
    return drawn.astype(np.int64).reshape(shape)


def product(left: IntArray, right: IntArray, prime: int, *, lowest: int = 0) -> IntArray:
    """Multiply matrices modulo p: ``left @ right``, by exact products of float64 matrices.

    `left` is split into two halves of h bits, ``left = 2^h high + low``. Products of a half and
    of `right` are added up in float64 as long as the sum is below 2^53, then reduced.

    Parameters
    ----------
    left : ndarray of int64, shape (m, k)
    right : ndarray of int64, shape (k, columns)
        Numbers in (-p, p), both.
    prime : int
        p <= `LARGEST_PRIME`.
    lowest : int, optional
        The least number of the result's range, in (-p, 0].

    Returns
    -------
    ndarray of int64, shape (m, columns)
        Numbers in [lowest, lowest + p).
    """
    (m, k), columns = left.shape, right.shape[1]
    if 0 in (m, k, columns):
        return np.zeros((m, columns), np.int64)
    half = (prime.bit_length() + 1) // 2
    # Sums of so many terms, and what is left of earlier ones and of the other half, stay exact.
    exact_terms = (_EXACT - 4 * prime) // (2**half * prime) - 2  # 61 for the largest prime
    halves = np.concatenate((left >> half, left & (2**half - 1))).astype(np.float64)
    result = np.empty((m, columns), np.int64)
    width = min(columns, max(_BLOCK_BYTES // (8 * (5 * m + min(k, exact_terms))), 16))
    workspace = np.empty((2, 2 * m, width))  # memory that is new costs as much as the arithmetic
    for start in range(0, columns, width):
        block = result[:, start : start + width]
        sums, quotient = workspace[:, :, : block.shape[1]]
        for first in range(0, k, exact_terms):
            terms = slice(first, first + exact_terms)
            factors = right[terms, start : start + width].astype(np.float64)
            if first == 0:
                np.matmul(halves[:, terms], factors, out=sums)
                continue
            _reduce_sums(sums, prime, quotient)
            sums += halves[:, terms] @ factors
        high, low = sums[:m], sums[m:]
        _reduce_sums(high, prime, quotient[:m])
        high *= 2.0**half
        high += low
        block[...] = high
        multiple = quotient[:m].view(np.int64)
        np.subtract(block, lowest, out=multiple)
        multiple //= prime
        multiple *= prime
        block -= multiple
    return result


def power(base: IntArray, exponent: int, prime: int) -> IntArray:
    """Raise each number to the same power >= 0, by repeated squaring."""
    result = np.ones_like(base)
    square = base
    while exponent:
        if exponent & 1:
            result = result * square % prime
        square = square * square % prime
        exponent >>= 1
    return result


def inverse(values: IntArray, prime: int) -> IntArray:
    """Give ``1 / values``, entry by entry, by Fermat: ``values^(p - 2)``."""
    if not (values % prime).all():
        raise ValueError(f"values must not be 0 modulo {prime}, got a 0, which has no inverse")
    return power(values % prime, prime - 2, prime)


def lagrange_matrix(nodes: IntArray, points: IntArray, prime: int) -> IntArray:
    """Give the matrix that takes a polynomial's values at the nodes to those at the points.

    ``L[i, j] = prod_{l != j} (points_i - nodes_l) / (nodes_j - nodes_l)``, exact for polynomials
    of degree below the number of nodes.

    Parameters
    ----------
    nodes : ndarray of int64, shape (n,)
        Different modulo p.
    points : ndarray of int64, shape (m,)
    prime : int
        p.

    Returns
    -------
    ndarray of int64, shape (m, n)
        Residues; the row of a point that is a node has a single 1.

    References
    ----------
    J.-P. Berrut, L. N. Trefethen, "Barycentric Lagrange Interpolation", SIAM Review 46 (2004),
    equation 3.3.

    Examples
    --------
    >>> lagrange_matrix(np.array([1, 2]), np.array([3, 1]), 97)
    array([[96,  2],
           [ 1,  0]])
    """
    among = (nodes[:, None] - nodes) % prime
    np.fill_diagonal(among, 1)
    weights = inverse(_row_products(among, prime), prime)
    steps = (points[:, None] - nodes) % prime
    is_node = steps == 0
    at_points = _row_products(steps, prime)
    matrix = inverse(np.where(is_node, 1, steps), prime) * weights % prime
    matrix = matrix * at_points[:, None] % prime  # 0 where a point is a node
    matrix[is_node] = 1
    return matrix


def vandermonde(points: IntArray, columns: int, prime: int) -> IntArray:
    """Give ``points_i^j`` for j below `columns`, shape (m, columns)."""
    matrix = np.ones((len(points), columns), np.int64)
    for j in range(1, columns):
        matrix[:, j] = matrix[:, j - 1] * points % prime
    return matrix


def solve(matrix: IntArray, right: IntArray, prime: int) -> IntArray | None:
    """Solve ``matrix @ x = right`` modulo p by elimination.

    Parameters
    ----------
    matrix : ndarray of int64, shape (m, n)
        Of any rank.
    right : ndarray of int64, shape (m,) or (m, columns)
    prime : int
        p.

    Returns
    -------
    ndarray of int64, shape (n,) or (n, columns), or None
        A solution, its free unknowns 0; None where there is none for some column.
    """
    n = matrix.shape[1]
    echelon, pivots = _eliminate(np.column_stack((matrix, right)), prime)
    if pivots and pivots[-1] >= n:  # a row that says 0 = 1
        return None
    solution = np.zeros((n, *right.shape[1:]), np.int64)
    solution[pivots] = echelon[: len(pivots), n if right.ndim == 1 else slice(n, None)]
    return solution


def rank(matrix: IntArray, prime: int) -> int:
    """Give the rank of a matrix modulo p."""
    return len(_eliminate(matrix, prime)[1])


def _passes(power_of_base: int, twos: int, number: int) -> bool:
    """Tell whether repeated squares reach -1 (or started at 1), as they do for a prime."""
    if power_of_base in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power_of_base = power_of_base * power_of_base % number
        if power_of_base == number - 1:
            return True
    return False


def _reduce_sums(sums: NDArray[np.float64], prime: int, quotient: NDArray[np.float64]) -> None:
    """Bring integers below 2^53 - p to [-p, 2 p) in place: the quotient is off by one at most."""
    np.multiply(sums, 1.0 / prime, out=quotient)
    np.floor(quotient, out=quotient)
    quotient *= prime
    sums -= quotient


def _row_products(matrix: IntArray, prime: int) -> IntArray:
    """Multiply the numbers of each row, halves of the rows with each other, shape (m,)."""
    while matrix.shape[1] > 1:
        middle = matrix.shape[1] // 2
        paired = matrix[:, :middle] * matrix[:, middle : 2 * middle] % prime
        matrix = np.concatenate((paired, matrix[:, 2 * middle :]), axis=1)
    return matrix[:, 0]


def _eliminate(matrix: IntArray, prime: int) -> tuple[IntArray, list[int]]:
    """Give the reduced row echelon form and its pivots' columns (Gauss and Jordan)."""
    rows = matrix % prime
    pivots: list[int] = []
    for column in range(rows.shape[1]):
        row = len(pivots)
        below = np.flatnonzero(rows[row:, column])
        if below.size == 0:
            continue
        rows[[row, row + below[0]]] = rows[[row + below[0], row]]
        rows[row] = rows[row] * pow(int(rows[row, column]), -1, prime) % prime
        factors = rows[:, column].copy()
        factors[row] = 0
        rows = (rows - factors[:, None] * rows[row] % prime) % prime
        pivots.append(column)
    return rows, pivots
