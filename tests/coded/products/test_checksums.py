"""Checksums with many weights: right products pass, wrong ones do not."""

import numpy as np
import pytest

from coded.products.checksums import Checksums

DRAWS = 100


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(20, 5000, 15), (20, 300, 15), (1, 5000, 15), (20, 5000, 1)])
def test_roundings_of_one_sign_are_no_lies(dtype, shape):
    """Of equal numbers; with signs for weights one in four checks of the first shape failed."""
    r, s, c = shape
    a, b = np.ones((r, s), dtype), np.full((s, c), 0.1, dtype)
    for _ in range(DRAWS):
        Checksums(a, b, np.dtype(dtype)).require(a @ b)


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
