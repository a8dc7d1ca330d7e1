import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded.algebra.linear_decoder import amplification, least_norm_decoder, residual


def exact_inverse(matrix):
    """Gauss-Jordan elimination in fractions."""
    n = len(matrix)
    rows = [
        [*map(Fraction, row), *(Fraction(i == j) for j in range(n))] for i, row in enumerate(matrix)
    ]
    for column in range(n):
        pivot = next(i for i in range(column, n) if rows[i][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [entry / rows[column][column] for entry in rows[column]]
        for i in range(n):
            if i != column:
                factor = rows[i][column]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[column], strict=True)]
    return np.array([[float(entry) for entry in row[n:]] for row in rows])


def test_square_systems_equal_elimination_in_fractions():
    generator = np.array(
        [[1, 1, 1, 1], [1, 2, 4, 8], [1, 3, 9, 27], [1, -1, 1, -1], [1, 5, 25, 125]]
    )
    for rows in itertools.combinations(range(5), 4):
        expected = exact_inverse(generator[list(rows)].tolist())
        decoder = least_norm_decoder(generator[list(rows)].astype(float), np.eye(4))
        np.testing.assert_allclose(decoder, expected, rtol=1e-12, atol=1e-12)
        assert residual(decoder, generator[list(rows)], np.eye(4)) < 1e-12


@given(seed=st.integers(0, 10**6), is_complex=st.booleans())
def test_of_all_exact_decoders_it_has_the_least_norm(seed, is_complex):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=shape) + 1j * is_complex * rng.normal(size=shape)  # noqa: E731
    generator, wanted = draw(7, 4), draw(3, 4)
    decoder = least_norm_decoder(generator, wanted)
    np.testing.assert_allclose(decoder @ generator, wanted, rtol=0, atol=1e-9)
    null = np.linalg.svd(generator.T)[2][4:].conj()
    np.testing.assert_allclose(null @ generator, 0, atol=1e-9)
    # Every other exact decoder adds such rows, to which the shortest is orthogonal.
    np.testing.assert_allclose(decoder @ null.conj().T, 0, atol=1e-9)


def test_what_the_answers_do_not_tell_shows_in_the_residual():
    generator = np.array([[1.0, 1.0], [2.0, 2.0]])
    decoder = least_norm_decoder(generator, np.array([[1.0, 0.0]]))
    assert residual(decoder, generator, np.array([[1.0, 0.0]])) == pytest.approx(0.5)


def test_amplification_is_the_largest_row_sum():
    assert amplification(np.array([[1.0, -2.0], [0.5, 3.0]])) == 3.5
