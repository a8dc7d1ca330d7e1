"""What tells whether answers fit a linear model: honest rounding passes, small lies do not."""

import numpy as np
import pytest

from coded.algebra.consistency import Check


def some_generator(rng, n_rows=9, n_symbols=4):
    return rng.normal(size=(n_rows, n_symbols))


def check_of(generator):
    return Check(lambda: generator)


def test_the_basis_is_orthonormal_and_sees_nothing_of_the_model(rng):
    for kind in ("real", "complex"):
        generator = some_generator(rng)
        if kind == "complex":
            generator = generator + 1j * some_generator(rng)
        check = check_of(generator)
        assert check.basis.shape == (5, 9)
        for rows in (check.basis, check.mixtures):
            np.testing.assert_allclose(rows @ rows.conj().T, np.eye(len(rows)), atol=1e-14)
            np.testing.assert_allclose(rows @ generator, 0, atol=1e-14)
        assert check.mixtures.shape == (4, 9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1.0, 1e160, 1e307])
def test_answers_that_are_rounded_pass_and_a_lie_is_seen(dtype, unit, rng):
    if not float(np.finfo(dtype).smallest_normal) * 1e6 < unit < float(np.finfo(dtype).max) / 100:
        unit = 1.0
    generator = some_generator(rng)
    answers = (generator @ rng.normal(size=(4, 50)) * unit).astype(dtype)
    computed = np.float32 if dtype == np.float16 else dtype
    check = check_of(generator)
    assert check.contradicted(answers.astype(computed)).size == 0
    answers[3, [7, 11]] += dtype(unit)
    assert check.contradicted(answers.astype(computed)).tolist() == [7, 11]


def test_what_was_rounded_to_float32_may_come_as_float64(rng):
    generator = some_generator(rng)
    answers = generator @ rng.normal(size=(4, 50))
    check = check_of(generator)
    rounded = answers.astype(np.float32).astype(np.float64)
    assert check.contradicted(rounded).size == 0
    one_in_float32 = answers.copy()
    one_in_float32[2] = rounded[2]
    assert check.contradicted(one_in_float32).size == 0
    # Rounded otherwise, to as many digits: no dtype excuses it.
    assert check.contradicted(answers + 1e-7 * rng.normal(size=answers.shape)).size == 50


def test_a_large_column_hides_no_small_one(rng):
    generator = some_generator(rng)
    columns = generator @ rng.normal(size=(4, 2)) * [1e6, 1e-3]
    check = check_of(generator)
    assert check.contradicted(columns).size == 0
    columns[0, 1] *= 1.01
    assert check.contradicted(columns).tolist() == [1]
    many = np.repeat(columns, 100, axis=1)
    assert check.contradicted(many).tolist() == list(range(100, 200))


def test_what_should_be_0_is_the_rounding_of_larger_terms(rng):
    """An orthogonal matrix's product with its transpose, coded by blocks of rows."""
    orthogonal, _ = np.linalg.qr(rng.normal(size=(64, 64)))
    generator = np.concatenate([np.eye(4), rng.normal(size=(4, 4))])
    blocks = np.tensordot(generator, orthogonal.T.reshape(4, 16, 64), 1)
    answers = np.stack([block @ orthogonal for block in blocks]).reshape(8, -1)
    assert check_of(generator).contradicted(answers).size == 0


def test_no_lie_is_excused_by_answers_that_coarse_numbers_hold(rng):
    """A liar's 0 or 0.5 has few digits; that loosens nothing."""
    generator = some_generator(rng)
    answers = generator @ rng.normal(size=(4, 5))
    for lie in (0.0, 0.5, 1.0, np.float32(0.1)):
        wrong = answers.copy()
        wrong[2] = lie
        assert check_of(generator).contradicted(wrong).tolist() == [0, 1, 2, 3, 4], lie


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_for_others_to_refuse(bad, rng):
    generator = some_generator(rng)
    answers = generator @ rng.normal(size=(4, 3))
    answers[1, 1] = bad
    assert check_of(generator).contradicted(answers).size == 0
