from fractions import Fraction

import numpy as np
import pytest

from coded.algebra.prime_field import LARGEST_PRIME
from coded.private.truncation import Truncation
from coded.schemes.field_lagrange import FieldLagrangeScheme

CASES = [(97, 0, 20), (97, 1, 12), (97, 2, 24), (97, 4, 32), (101, 3, 40)]


def all_pairs(truncation):
    """Every r that a dealer can draw, with ``r >> m``."""
    r = np.arange(truncation.prime)
    return np.stack((r, r >> truncation.bits))


@pytest.mark.parametrize(("prime", "bits", "bound"), CASES)
def test_every_number_and_every_mask_give_the_quotient_or_one_more(prime, bits, bound):
    truncation = Truncation(prime, bits, bound)
    pairs = all_pairs(truncation)
    for x in range(-bound, bound + 1):
        opened = truncation.masked(x, pairs)
        accepted = truncation.accepts(opened)
        results = truncation.result(opened, pairs)[accepted].tolist()
        assert set(results) <= {x // 2**bits, x // 2**bits + 1}
        # The mean over what is accepted is the quotient, and where that is whole, so is each.
        assert Fraction(sum(results), len(results)) == Fraction(x, 2**bits)
        assert accepted.mean() == truncation.acceptance >= 1.0 - (2 * bound + 2**bits) / prime


@pytest.mark.parametrize(("prime", "bits", "bound"), CASES)
def test_what_is_opened_takes_each_value_once_whatever_the_number(prime, bits, bound):
    truncation = Truncation(prime, bits, bound)
    for x in range(-bound, bound + 1):
        opened = truncation.masked(x, all_pairs(truncation))
        assert sorted(opened.tolist()) == list(range(prime))


@pytest.mark.parametrize(
    ("n_colluders", "n_owners", "truncation"),
    [(1, 4, Truncation(11, 1, 4)), (2, 3, Truncation(7, 1, 2))],
)
def test_what_colluders_see_is_as_often_the_same_whatever_the_number(
    n_colluders, n_owners, truncation
):
    # Over all r and all masks of shares: theirs of x, r and r >> m, and all owners' of c.
    prime = truncation.prime
    sharing = FieldLagrangeScheme(1, n_owners, degree=1, n_colluders=n_colluders, prime=prime)
    matrix = sharing._encoder().dense()
    r, *masks = np.indices((prime,) * (1 + 3 * n_colluders)).reshape(1 + 3 * n_colluders, -1)
    masks = np.array(masks).reshape(3, n_colluders, -1)
    views = {}
    for x in (-truncation.bound, 0, truncation.bound - 1):
        secrets = (np.full_like(r, x), r, r >> truncation.bits)
        shares = [
            matrix @ np.concatenate((one[None], mask)) % prime
            for one, mask in zip(secrets, masks, strict=True)
        ]
        opened = truncation.masked(shares[0], np.stack(shares[1:]))
        # All other c follow from T + 1 of them.
        seen = np.concatenate([*(one[:n_colluders] for one in shares), opened[: n_colluders + 1]])
        views[x] = np.sort(prime ** np.arange(len(seen)) @ seen)
    assert all(np.array_equal(view, views[0]) for view in views.values())


def test_shares_of_numbers_are_truncated_to_shares_of_quotients():
    truncation = Truncation(LARGEST_PRIME, 20, 1 << 28)
    sharing = FieldLagrangeScheme(1, 7, degree=1, n_colluders=2)
    rng = np.random.default_rng(4)
    numbers = rng.integers(-(1 << 28), 1 << 28, 4000)
    pairs = truncation.draw(numbers.shape, rng)
    shares = sharing.encode(numbers[None])
    of_pairs = sharing.encode(pairs[None] - (pairs[None] > sharing.headroom) * LARGEST_PRIME)
    masked = np.stack(
        [truncation.masked(x, pair) for x, pair in zip(shares, of_pairs, strict=True)]
    )
    opened = sharing.decode(masked[[0, 2, 5]], [0, 2, 5])[0] % LARGEST_PRIME
    accepted = truncation.accepts(opened)
    results = np.stack([truncation.result(opened, pair) for pair in of_pairs])
    quotients = sharing.decode(results[[1, 3, 6]], [1, 3, 6])[0]
    below = quotients[accepted] - (numbers[accepted] >> 20)
    assert set(below.tolist()) == {0, 1}
    assert abs(accepted.mean() - truncation.acceptance) < 4 / np.sqrt(len(numbers))


@pytest.mark.parametrize("rng", [None, np.random.default_rng(0)], ids=["system", "given"])
def test_pairs_come_from_the_whole_field(rng):
    truncation = Truncation(13, 1, 4)
    pairs = truncation.draw((2000,), rng)
    assert pairs.shape == (2, 2000)
    assert set(pairs[0].tolist()) == set(range(13))
    assert np.array_equal(pairs[1], pairs[0] // 2)
