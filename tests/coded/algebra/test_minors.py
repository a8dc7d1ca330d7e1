"""Determinants modulo p against those of Python's integers."""

import itertools
from math import comb

import pytest

from coded.algebra.minors import maximal_minors


def determinant(rows):
    """Leibniz's formula."""
    total = 0
    for order in itertools.permutations(range(len(rows))):
        inversions = sum(a > b for a, b in itertools.combinations(order, 2))
        term = (-1) ** inversions
        for row, column in zip(rows, order, strict=True):
            term *= row[column]
        total += term
    return total


@pytest.mark.parametrize("prime", [5, 97, 2**31 - 1])
@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (3, 3), (6, 2), (7, 3), (7, 4)])
def test_every_choice_of_rows_has_its_determinant(shape, prime, rng):
    matrix = rng.integers(0, prime, shape)
    minors = maximal_minors(matrix, prime)
    assert len(minors) == comb(*shape)
    for rows in itertools.combinations(range(shape[0]), shape[1]):
        at = sum(comb(row, i + 1) for i, row in enumerate(rows))
        assert minors[at] == determinant(matrix[list(rows)].tolist()) % prime
