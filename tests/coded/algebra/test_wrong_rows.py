"""Wrong rows of codewords over real and complex numbers: found, all of them and no other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded.algebra.consistency import Check
from coded.algebra.wrong_rows import locate_wrong_rows


def locate(generator, answers, most=None):
    spare = len(generator) - generator.shape[1]
    check = Check(lambda: generator)
    return locate_wrong_rows(generator, answers, spare // 2 if most is None else most, check)


def polynomials(n_rows, n_symbols):
    points = np.cos(np.pi * (np.arange(n_rows) + 0.5) / n_rows)
    return np.polynomial.chebyshev.chebvander(points, n_symbols - 1)


@given(
    seed=st.integers(0, 10**6),
    n_symbols=st.integers(1, 8),
    n_spare=st.integers(2, 10),
    n_columns=st.sampled_from([1, 2, 40, 200]),
    is_complex=st.booleans(),
    size=st.sampled_from([1e-3, 1.0, 1e30]),
)
def test_wrong_rows_are_found_and_no_others(seed, n_symbols, n_spare, n_columns, is_complex, size):
    rng = np.random.default_rng(seed)
    generator = polynomials(n_symbols + n_spare, n_symbols).astype(complex if is_complex else float)
    answers = generator @ rng.normal(size=(n_symbols, n_columns))
    wrong = np.sort(rng.permutation(len(answers))[: rng.integers(0, min(n_spare // 2, 3) + 1)])
    answers[wrong] += size * rng.normal(size=(len(wrong), n_columns))
    verdict = locate(generator, answers)
    assert verdict.wrong == tuple(wrong.tolist())
    assert (verdict.residual > 0) == (len(wrong) > 0)


def test_each_may_be_wrong_in_columns_of_its_own(rng):
    generator = polynomials(12, 4)
    answers = generator @ rng.normal(size=(4, 500))
    for row, column in ((1, 5), (4, 77), (6, 400), (9, 499)):
        answers[row, column] += 0.01
    assert locate(generator, answers).wrong == (1, 4, 6, 9)


def test_one_that_is_huge_hides_no_other(rng):
    generator = polynomials(12, 4)
    answers = generator @ rng.normal(size=(4, 3))
    answers[5] = 1e200
    answers[8, 1] += 1e-6
    assert locate(generator, answers).wrong == (5, 8)


def test_more_wrong_rows_than_can_be_told_are_no_verdict(rng):
    generator = polynomials(8, 4)
    answers = generator @ rng.normal(size=(4, 6))
    answers[:3] += rng.normal(size=(3, 6))
    assert locate(generator, answers).wrong is None
    assert locate(generator, answers).residual > 1e-2
    answers = np.tanh(3 * rng.normal(size=(8, 6)))
    assert locate(generator, answers).wrong is None


@pytest.mark.parametrize("n_spare", [0, 1])
def test_with_one_spare_row_nobody_can_be_told(n_spare, rng):
    generator = polynomials(4 + n_spare, 4)
    answers = generator @ rng.normal(size=(4, 2))
    answers[1] += 1.0
    verdict = locate(generator, answers)
    assert verdict.wrong == (() if n_spare == 0 else None)
    assert verdict.suspects == ()


def test_rows_that_the_code_hardly_tells_apart_are_suspects(rng):
    """Rows 0 and 1 are alike but for 1e-9: a lie of 1e-4 of one may be the other's."""
    generator = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1e-9, 1.0]])
    answers = generator @ rng.normal(size=(2, 2))
    answers[0] += 1e-4
    verdict = locate(generator, answers, most=1)
    assert verdict.wrong is None
    assert verdict.suspects == (0, 1)
