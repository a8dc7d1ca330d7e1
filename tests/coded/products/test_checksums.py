"""Checksums with many weights: right products pass, wrong ones do not."""

import numpy as np
import pytest

from coded.products.checksums import Checksums, _summed, _weights

DRAWS = 100


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(20, 5000, 15), (20, 300, 15), (1, 5000, 15), (20, 5000, 1)])
def test_roundings_of_one_sign_are_no_lies(dtype, shape):
    """Of equal numbers; with signs for weights one in four checks of the first shape failed."""
    r, s, c = shape
    a, b = np.ones((r, s), dtype), np.full((s, c), 0.1, dtype)
    for _ in range(DRAWS):
        Checksums(a, b, np.dtype(dtype)).require(a @ b)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(20, 300, 15), (20, 1000, 15), (20, 100, 5), (5, 30, 3)])
def test_the_least_balanced_weights_call_no_rounding_a_lie(dtype, shape, monkeypatch):
    """Rounding errors of equal numbers add up as weights do: rare checks failed by that."""

    def unbalanced(rng, count, kind):
        signs = np.where(np.arange(count) < (count + 2.8 * count**0.5) // 2, 1.0, -1.0)
        return (signs * rng.uniform(0.9, 1.1, count)).astype(kind)

    monkeypatch.setattr("coded.products.checksums._weights", unbalanced)
    r, s, c = shape
    a = np.ones((r, s), dtype)
    for value in [0.1, 0.8327255735041327, 0.9452820223935255, *np.linspace(0.3, 0.7, 40)]:
        b = np.full((s, c), value, dtype)
        Checksums(a, b, np.dtype(dtype)).require(a @ b)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_checksums_themselves_round_by_less_than_products(dtype):
    """By 2 / 4 of the square root of the number of terms, not by 1 / 4 of the number."""
    for s in (1, 2, 3, 5, 16, 255, 300, 1000):
        for value in np.linspace(0.3, 0.7, 41).astype(dtype):
            row, b = np.full((2, s), value, dtype), np.ones((2, s, 3), dtype)
            found = _summed(row, b)
            assert found.shape == (2, 3)
            exact = s * float(value)
            assert np.abs(found - exact).max() <= 0.75 * s**0.5 * np.finfo(dtype).eps * exact


def test_weights_are_balanced_enough(rng):
    for count in (1, 2, 3, 20, 1000):
        for _ in range(20 * DRAWS):
            weights = _weights(rng, count, np.dtype(np.float64))
            assert abs(weights.sum()) <= 3.0 * np.linalg.norm(weights)
            assert np.abs(weights).min() >= 0.5
            assert np.abs(weights).max() <= 1.5


def test_a_constant_that_is_added_is_always_found(rng):
    """With signs for weights 1 in 27 was missed: half of them are minus in rows and in columns."""
    a, b = rng.normal(size=(10, 20)), rng.normal(size=(20, 26))
    for _ in range(10 * DRAWS):
        with pytest.raises(ValueError, match="is not the product"):
            Checksums(a, b, a.dtype).require(a @ b + 1e-3)


def test_swapped_blocks_and_signs_are_found(rng):
    a, b = rng.normal(size=(2, 6, 20)), rng.normal(size=(3, 20, 8))
    product = a[:, None] @ b[None]
    checksums = Checksums(a, b, a.dtype)
    checksums.require(product)
    for wrong in (product[::-1], product[:, [1, 0, 2]], -product, 1.0001 * product):
        with pytest.raises(ValueError, match="is not the product"):
            checksums.require(wrong)
