"""Several owners of rows, as in COPML: each codes its own, and workers add up what they are sent.

So, Guler and Avestimehr's phases 1 to 3 (arXiv:2011.01963), by the scheme as it is: coding is
linear, so that sums of shares are shares of sums, masks included. Only the gradient of all rows is
opened; COPML also hides that, by truncation under secure multiparty computation, which is not here.
"""

import itertools

import numpy as np
import pytest

from coded import FieldLagrangeScheme
from coded.algebra.prime_field import LARGEST_PRIME
from coded.private.quantiser import evaluate_block

BLOCKS, WORKERS, COLLUDERS, BITS = 2, 10, 1, 4
COEFFICIENTS = (2, 1)  # g(z) = 2 + z, in units of z


def owners(rng):
    """Three owners with 3, 5 and 4 rows, and where these lie among the rows of all blocks."""
    places = np.split(rng.permutation(12), [3, 8])
    return [
        (place, rng.integers(-9, 10, (len(place), 3)), rng.integers(0, 2, len(place)))
        for place in places
    ]


def shares_of(owner, scheme):
    """What an owner sends to each worker: its rows, and ``X^T y`` of them, coded by itself."""
    place, rows, labels = owner
    blocks = np.zeros((12, 3), np.int64)
    blocks[place] = rows
    pulls = np.zeros((BLOCKS, 3), np.int64)
    pulls[0] = rows.T @ (labels * 2**BITS)
    return scheme.encode(blocks.reshape(BLOCKS, 6, 3)), scheme.encode(pulls)


def make_scheme(prime=LARGEST_PRIME):
    return FieldLagrangeScheme(BLOCKS, WORKERS, degree=3, n_colluders=COLLUDERS, prime=prime)


@pytest.mark.parametrize("seed", range(3))
def test_the_sum_of_owners_shares_trains_on_all_rows(seed):
    rng = np.random.default_rng(seed)
    everyone, scheme = owners(rng), make_scheme()
    prime = scheme.prime
    sent = [shares_of(owner, scheme) for owner in everyone]
    blocks, pulls = (sum(parts) % prime for parts in zip(*sent, strict=True))
    weights = rng.integers(-20, 21, 3)
    coded_weights = scheme.encode(np.tile(weights, (BLOCKS, 1, 1)))
    answers = np.stack(
        [
            (evaluate_block(x % prime, w, coefficients=COEFFICIENTS, prime=prime) - y) % prime
            for x, w, y in zip(blocks, coded_weights, pulls, strict=True)
        ]
    )
    expected = sum(rows.T @ (2 + rows @ weights - labels * 2**BITS) for _, rows, labels in everyone)
    for responders in itertools.combinations(range(WORKERS), scheme.min_responders):
        of_blocks = scheme.decode(answers[list(responders)], responders)
        assert of_blocks.sum(axis=0).tolist() == expected.tolist()


def test_a_worker_learns_nothing_of_an_owner():
    """Its shares of other data take each residue as often: masks are uniform, and are added."""
    prime, draws = 13, 4000
    scheme = FieldLagrangeScheme(2, 9, degree=3, n_colluders=1, prime=prime)
    for value in (0, 3):
        data = np.full((2, draws), value)
        share = scheme.encode(data)[4] % prime
        counts = np.bincount(share, minlength=prime)
        expected = draws / prime
        assert ((counts - expected) ** 2 / expected).sum() < 39.2  # chi2, 12: 1 in 10,000
