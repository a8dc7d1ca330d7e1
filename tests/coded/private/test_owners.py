"""Several owners of rows, as in COPML: each codes its own, and workers add up what they are sent.

So, Guler and Avestimehr's phases 1 to 3 (arXiv:2011.01963), by the scheme as it is: coding is
linear, so that sums of shares are shares of sums, masks included. Only the gradient of all rows is
opened; `CollaborativeRegression` hides that too, by truncation under multiparty computation.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.datasets import load_digits

from coded import FieldLagrangeScheme, PrivateRegression
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


def test_owners_of_real_digits_get_the_gradient_of_one_owner_of_all():
    digits = load_digits()
    chosen = np.isin(digits.target, (3, 8))
    rows = np.column_stack([digits.data[chosen] / 16.0, np.ones(chosen.sum())])[:300]
    labels = (digits.target[chosen] == 8)[:300].astype(float)
    together = PrivateRegression(rows, labels, BLOCKS, WORKERS)
    weights = np.random.default_rng(0).integers(-64, 65, rows.shape[1]) / 64.0  # on the grid
    with ThreadPoolExecutor() as pool:
        expected = together.step(weights, pool).outputs
    rounding, scheme = together._quantiser, make_scheme()
    prime = scheme.prime
    blocks = np.rint(rows * 2.0**together.input_bits).astype(np.int64).reshape(BLOCKS, 150, -1)
    owned = np.arange(300).reshape(BLOCKS, 150, 1) % 3  # every third row is the same owner's
    sent = [scheme.encode(np.where(owned == owner, blocks, 0)) for owner in range(3)]
    coded_weights = scheme.encode(np.tile(np.rint(64.0 * weights).astype(np.int64), (BLOCKS, 1, 1)))
    residues = [q % prime for q in rounding.integer_coefficients]
    answers = np.stack(
        [
            evaluate_block(share, w, coefficients=residues, prime=prime)
            for share, w in zip(sum(sent) % prime, coded_weights, strict=True)
        ]
    )
    who = range(WORKERS - scheme.min_responders, WORKERS)
    total = scheme.decode(answers[list(who)], who).sum(axis=0) * rounding.unit
    pulls = (blocks.reshape(300, -1) * 2.0**-together.input_bits).T @ labels
    np.testing.assert_allclose(total - pulls, expected, rtol=0, atol=1e-9)
