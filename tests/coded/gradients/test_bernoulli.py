from itertools import combinations

import numpy as np
import pytest

from coded import BernoulliCode, FractionalRepetitionCode, NotEnoughRespondersError


def test_one_weight_for_all_misses_by_the_closed_form_and_the_best_by_less():
    """N = 12, load 3, 8 answers: 4.5 by ``N (1 - q) / (R q)``, which holds for plain tosses.

    The best weights have 1.9 for these in 200 draws of the reference; no empty row or column
    here makes that less.
    """
    one_step, best, rng = [], [], np.random.default_rng(0)
    for seed in range(3000):
        code = BernoulliCode(12, 4, load=3, rng=seed)
        kept = np.sort(rng.choice(12, 8, replace=False))
        plain = code.encoding_matrix[kept].sum(axis=0) * 12 / (8 * 3)
        one_step.append(np.sum((plain - 1.0) ** 2))
        best.append(code.residual(kept))
    assert np.mean(one_step) == pytest.approx(4.5, rel=0.05)
    assert np.mean(best) == pytest.approx(1.55, rel=0.05)


def test_fractional_repetition_misses_less_of_random_losses_with_as_many_copies():
    code = FractionalRepetitionCode(12, 2)
    missed = [code.residual(kept) for kept in combinations(range(12), 8)]
    assert np.mean(missed) == pytest.approx(12 * 4 / 220)  # 3 of 4 lost ones are of one group


def test_parts_are_tossed_by_the_seed_with_the_load_in_the_mean():
    code = BernoulliCode(40, 5, load=4, rng=7)
    assert np.array_equal(code.encoding_matrix, BernoulliCode(40, 5, load=4, rng=7).encoding_matrix)
    assert not np.array_equal(code.encoding_matrix, BernoulliCode(40, 5, load=4).encoding_matrix)
    loads = [
        np.mean([len(parts) for parts in BernoulliCode(40, 0, load=4, rng=seed).assignment])
        for seed in range(100)
    ]
    assert np.mean(loads) == pytest.approx(4.0, rel=0.03)
    assert set(np.unique(code.encoding_matrix)) == {0.0, 1.0}


@pytest.mark.parametrize("load", [1, 2])
def test_nobody_is_without_a_part_and_no_part_without_a_worker(load):
    for seed in range(50):
        matrix = BernoulliCode(9, 0, load=load, rng=seed).encoding_matrix
        assert matrix.any(axis=0).all()
        assert matrix.any(axis=1).all()


def test_everybody_with_everything_is_exact_from_one():
    code = BernoulliCode(5, 4, load=5)
    assert code.is_exact([3])
    assert code.min_responders == 1
    with pytest.raises(NotEnoughRespondersError, match="at least one answer"):
        code.decode_vector([])
    with pytest.raises(ValueError, match=r"load must lie in \[1, 5\], got 6"):
        BernoulliCode(5, 1, load=6)
