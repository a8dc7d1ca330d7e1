"""The recipe where B is no secret: row blocks of A by a field Lagrange code of degree 1.

W.-T. Chang, R. Tandon, "On the Capacity of Secure Distributed Matrix Multiplication", GLOBECOM
2018, arXiv:1806.00469, theorem 1: of what N workers answer at most the share 1 - T / N is wanted.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from coded import FieldLagrangeScheme, coded_map
from coded.products.multiply import multiply_residues


def one_sided(n_blocks, n_workers, n_colluders, **options):
    return FieldLagrangeScheme(n_blocks, n_workers, degree=1, n_colluders=n_colluders, **options)


def test_any_answers_that_suffice_give_the_product(rng):
    a, b = rng.integers(-999, 1000, (3, 2, 5)), rng.integers(-999, 1000, (5, 4))
    scheme = one_sided(3, 7, 2)
    assert scheme.min_responders == 5  # K + T
    worker = partial(multiply_residues, b=b, prime=scheme.prime)
    answers = np.stack([worker(share) for share in scheme.encode(a)])
    for who in itertools.combinations(range(7), 5):
        assert np.array_equal(scheme.decode(answers[list(who)], who), a @ b)


def test_on_a_pool(rng):
    a, b = rng.integers(-999, 1000, (6, 5)), rng.integers(-999, 1000, (5, 4))
    scheme = one_sided(3, 6, 1)
    worker = partial(multiply_residues, b=b, prime=scheme.prime)
    with ThreadPoolExecutor() as pool:
        result = coded_map(worker, a.reshape(3, 2, 5), scheme, pool, retries=0)
    assert np.array_equal(result.outputs.reshape(6, 4), a @ b)


@pytest.mark.parametrize(("n_workers", "n_colluders"), [(5, 1), (7, 2), (10, 4)])
def test_the_rate_is_the_capacity(n_workers, n_colluders):
    """N - T blocks of A are wanted of N answers, and not one more can be."""
    scheme = one_sided(n_workers - n_colluders, n_workers, n_colluders)
    assert scheme.min_responders == n_workers
    with pytest.raises(ValueError, match="n_workers must be"):
        one_sided(n_workers - n_colluders + 1, n_workers, n_colluders)
