from itertools import combinations

import numpy as np
import pytest

from coded import CyclicCode, RandomCyclicCode
from coded.gradients import random_cyclic


def solved(matrix, n_stragglers):
    """The oracle: the weights of every set of N - s answers, by least squares one by one."""
    n_workers = len(matrix)
    for responders in combinations(range(n_workers), n_workers - n_stragglers):
        rows = matrix[list(responders)]
        weights, *_ = np.linalg.lstsq(rows.T, np.ones(n_workers), rcond=None)
        yield responders, weights, np.abs(weights) @ np.abs(rows).sum(axis=1) / n_workers


@pytest.mark.parametrize(
    ("setting", "median", "least"),
    [
        ((5, 2), 13.093400714509482, 3.2838098985979296),
        ((10, 3), 1420.4885590009445, 100.80558738248963),
    ],
)
def test_weights_over_twenty_seeds_are_those_of_the_reference(setting, median, least):
    """The largest weight of all sets, of Algorithm 2 as a plain program draws it."""
    found = []
    for seed in range(20):
        matrix = random_cyclic._draw(*setting, seed)
        found.append(max(np.abs(weights).max() for _, weights, _ in solved(matrix, setting[1])))
    assert np.median(found) == pytest.approx(median, rel=1e-6)
    assert min(found) == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize("setting", [(5, 2), (6, 2), (7, 3), (8, 4), (10, 3)])
def test_the_worst_is_that_of_all_sets_and_the_least_of_all_seeds(setting):
    code = RandomCyclicCode(*setting, n_seeds=12)
    worst = []
    for seed in range(12):
        matrix = random_cyclic._draw(*setting, seed)
        worst.append(max(amplified for *_, amplified in solved(matrix, setting[1])))
    assert code.seed == int(np.argmin(worst))
    assert code.worst_amplification == pytest.approx(min(worst), rel=1e-6)
    sets = combinations(range(code.n_workers), code.min_responders)
    assert max(map(code.amplification, sets)) == pytest.approx(min(worst), rel=1e-6)


def test_rounding_grows_as_told():
    amplified = {one: RandomCyclicCode(*one).worst_amplification for one in [(6, 2), (12, 2)]}
    assert amplified == pytest.approx({(6, 2): 4.74, (12, 2): 33.3}, rel=0.01)
    assert RandomCyclicCode(20, 4).worst_amplification == pytest.approx(1.7e4, rel=0.02)
    assert RandomCyclicCode(10, 3).worst_amplification == pytest.approx(39, rel=0.01)
    assert CyclicCode(10, 3).amplification(range(7)) == pytest.approx(9.5, rel=0.01)


def test_it_serves_where_the_cyclic_mds_code_would_be_complex():
    with pytest.raises(ValueError, match="must be odd"):
        CyclicCode(6, 2)
    code = RandomCyclicCode(6, 2)
    assert code.assignment[:2] == ((0, 1, 2), (1, 2, 3))
    assert code.load == 3
    np.testing.assert_allclose(np.diag(code.encoding_matrix), 1.0)


def test_rows_are_orthogonal_to_the_drawn_ones():
    rows = np.random.default_rng(4).normal(size=(3, 8))
    rows[:, -1] -= rows.sum(axis=1)
    matrix = random_cyclic._draw(8, 3, 4)
    np.testing.assert_allclose(matrix @ rows.T, 0.0, atol=1e-9 * np.abs(matrix).max())


def test_more_sets_than_can_be_tried_are_refused_with_what_to_take():
    with pytest.raises(ValueError, match=r"lost in 30,045,015 ways.*CyclicCode or Fractional"):
        RandomCyclicCode(30, 10)
    with pytest.raises(ValueError, match=r"lost in 19,701 ways, and at most 507 "):
        RandomCyclicCode(199, 197)
    with pytest.raises(ValueError, match="n_seeds must be >= 1"):
        RandomCyclicCode(5, 2, n_seeds=0)


def test_more_sets_than_digits_can_be_printed_are_told_in_words():
    with pytest.raises(ValueError, match=r"can be lost in about 1e6018 ways, and at most 10 "):
        RandomCyclicCode(20000, 10000)
