"""Each family by what was published, or worked out by hand, of it."""

import itertools
import time

import numpy as np
import pytest

from coded import (
    CrossSubspaceMatmulCode,
    GASPMatmulCode,
    SecureDFTMatmulCode,
    SecureMatDotMatmulCode,
)
from coded.secure.dft import largest_prime_with_roots, roots_of_unity
from coded.secure.gasp import best_degrees, degree_table, n_sums
from coded.secure.residue_code import hides

# Two blocks and one mask each, all 1 x 1: 3, 7 and 20 by 5, 11 and 42 modulo 97.
A, B = np.array([3, 7, 20]), np.array([5, 11, 42])

# (K, L, T): chain length and N, counted in the degree tables of D'Oliveira et al., 2106.09816.
BEST = {
    (2, 2): [(1, 8), (1, 11), (2, 13), (2, 15)],
    (3, 2): [(1, 11), (1, 14), (2, 17), (3, 19)],
    (3, 3): [(1, 15), (1, 18), (2, 22), (2, 25)],
    (4, 2): [(1, 14), (1, 17), (3, 20), (3, 23)],
    (4, 3): [(1, 19), (1, 22), (2, 27), (2, 30)],
    (4, 4): [(1, 24), (1, 27), (1, 33), (2, 36)],
    (6, 2): [(1, 20), (1, 23), (3, 26), (4, 29)],
    (6, 3): [(1, 27), (1, 30), (2, 35), (2, 39)],
    (6, 4): [(1, 34), (1, 37), (1, 43), (2, 47)],
    (6, 6): [(1, 48), (1, 51), (1, 57), (2, 63)],
}


# GASP.


@pytest.mark.parametrize("grid", BEST, ids=str)
@pytest.mark.parametrize("n_colluders", [1, 2, 3, 4])
def test_gasp_needs_as_many_answers_as_its_best_table_has_sums(grid, n_colluders):
    chain_length, needed = BEST[grid][n_colluders - 1]
    degrees, found = best_degrees(*grid, n_colluders)
    assert (found, n_sums(degrees, n_colluders)) == (chain_length, needed)
    exchanged, _ = best_degrees(*grid[::-1], n_colluders)
    assert n_sums(exchanged, n_colluders) == needed


@pytest.mark.parametrize(
    ("setting", "counts"),
    [
        ((3, 3, 2), {1: 18, 2: 19}),
        ((3, 3, 3), {1: 24, 2: 22, 3: 23}),
        ((4, 4, 4), {2: 36, 4: 39}),
        ((2, 2, 1), {1: 8}),
    ],
)
def test_degree_tables_by_their_chain_length(setting, counts):
    for chain_length, count in counts.items():
        assert n_sums(degree_table(*setting, chain_length), setting[2]) == count


def test_gasp_big_and_small_have_their_closed_forms():
    """Theorems 1 and 2 of 1812.09962, with K >= L."""
    for k, t in itertools.product(range(2, 8), range(1, 8)):
        for n in range(2, k + 1):
            big = n_sums(degree_table(k, n, t, min(k, t)), t)
            assert big == ((k + t) * (n + 1) - 1 if t < k else 2 * k * n + 2 * t - 1)
            if t < n:
                more = t * t + t - 3 if t > 1 else 0
                assert n_sums(degree_table(k, n, t, 1), t) == k * n + k + n + more


class AtGivenPoints(GASPMatmulCode):
    """At the points of the worked example."""

    def _find_points(self):
        return np.arange(2, 10)


def test_gasp_by_hand():
    code = AtGivenPoints(2, 2, 8, prime=97, modular=True)
    assert code.degrees == ([0, 1, 4], [0, 2, 4])
    left, right = code.encoding_matrices
    f, g = left @ A % 97, right @ B % 97
    h = f * g % 97
    assert f.tolist() == [46, 92, 10, 25, 66, 57, 14, 45]
    assert g.tolist() == [42, 14, 69, 49, 28, 21, 81, 8]
    assert h.tolist() == [89, 27, 11, 61, 5, 33, 67, 69]
    products = code.decode(h[:, None, None], tuple(range(8)))
    # A_0 B_0, A_0 B_1, A_1 B_0, A_1 B_1, balanced.
    assert products.ravel().tolist() == [15, 33, 35, 77 - 97]


def test_gasp_leaves_points_that_tell_something():
    """Modulo 13 with chains of 1, powers 4 and 6 of x and -x agree: 1, ..., 11 will not do."""
    with pytest.raises(ValueError, match="points hide and decode"):
        GASPMatmulCode(2, 2, 11, n_colluders=2, prime=13)
    code = GASPMatmulCode(2, 2, 11, n_colluders=2, prime=101)
    masks = code.encoding_matrices[0][:, -2:]
    for i, j in itertools.combinations(range(11), 2):
        assert (masks[i, 0] * masks[j, 1] - masks[i, 1] * masks[j, 0]) % 101


def test_gasp_exchanges_the_operands_of_wide_grids():
    wide, tall = (GASPMatmulCode(*grid, 29, n_colluders=4) for grid in ((2, 6), (6, 2)))
    assert wide.degrees == tall.degrees[::-1]
    assert min(n_sums(degree_table(2, 6, 4, r), 4) for r in (1, 2)) > 29
    assert repr(wide) == "GASPMatmulCode(2, 6, 29, n_colluders=4, prime=2147483647)"


def test_too_many_sets_of_colluders_are_not_checked_in_silence():
    with pytest.raises(ValueError, match="sets of colluders to check"):
        GASPMatmulCode(2, 2, 100, n_colluders=6)
    with pytest.raises(ValueError, match="got 20000 and 5000, which leave more"):
        hides(np.zeros((20_000, 5000), np.int64), 97)  # more sets than Python prints


@pytest.mark.parametrize("counts", [(2000, 2000, 1), (2, 2, 2000)], ids=str)
def test_gasp_refuses_workers_that_are_far_too_few_at_once(counts):
    m, n, n_colluders = counts
    started = time.perf_counter()
    with pytest.raises(ValueError, match=r"n_workers must be at least max\(m n, .* got 10"):
        GASPMatmulCode(m, n, 10, n_colluders=n_colluders)
    assert time.perf_counter() - started < 0.5  # their tables take seconds


# MatDot, DFT, cross subspace alignment.


def test_secure_matdot_by_hand():
    code = SecureMatDotMatmulCode(2, 6, prime=97, modular=True)
    left, right = code.encoding_matrices
    h = (left @ A) * (right @ B) % 97
    assert h.tolist() == [91, 0, 63, 82, 37, 86]
    for who in itertools.combinations(range(6), 5):
        assert code.decode(h[list(who), None, None], who).item() == 92 - 97


def test_dft_answers_have_the_product_as_their_mean():
    code = SecureDFTMatmulCode(3, n_colluders=2, prime=29, modular=True)
    assert code.n_workers == code.min_responders == 7
    left, right = code.encoding_matrices
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 29, (2, 5))
        answers = (left @ a) * (right @ b) % 29
        assert answers.sum() * pow(7, -1, 29) % 29 == a[:3] @ b[:3] % 29
        product = code.decode(answers[:, None, None], tuple(range(7))).item()
        assert product % 29 == a[:3] @ b[:3] % 29


@pytest.mark.parametrize("order", [1, 2, 3, 5, 7, 12, 20])
def test_roots_of_unity_are_all_roots(order):
    prime = largest_prime_with_roots(order)
    roots = roots_of_unity(order, prime).tolist()
    assert len(set(roots)) == order
    assert {pow(root, order, prime) for root in roots} == {1}


def test_a_prime_without_roots_is_refused():
    with pytest.raises(ValueError, match="the largest such prime is 21474"):
        SecureDFTMatmulCode(3, n_colluders=2, prime=97)
    with pytest.raises(ValueError, match="order must divide"):
        roots_of_unity(5, 13)


def test_cross_subspace_by_hand():
    code = CrossSubspaceMatmulCode(2, 9, prime=97, modular=True)
    left, right = code.encoding_matrices
    y = (left @ A) * (right @ B) % 97
    assert y.tolist() == [25, 87, 67, 92, 42, 41, 84, 92, 41]
    for who in itertools.combinations(range(9), 5):
        products = code.decode(y[list(who), None, None], who)
        assert products.ravel().tolist() == [15, 77 - 97]


def test_a_batch_of_another_length_is_refused():
    with pytest.raises(ValueError, match="stacks of n_products = 2"):
        CrossSubspaceMatmulCode(2, 6).prepare(np.ones((3, 2, 2), int), np.ones((3, 2, 2), int))


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        (SecureMatDotMatmulCode(4, 20, n_colluders=3), 13),
        (CrossSubspaceMatmulCode(4, 20, n_colluders=3), 13),
        (SecureDFTMatmulCode(4, n_colluders=3), 10),
    ],
)
def test_thresholds_are_the_published_ones(code, needed):
    assert code.min_responders == needed
