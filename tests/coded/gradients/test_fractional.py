from itertools import combinations

import numpy as np
import pytest

from coded import FractionalRepetitionCode, NotEnoughRespondersError


def test_three_survivors_of_six_miss_as_much_as_published():
    """The mean over all 20 sets, with the best weights and with the same for all of them."""
    code = FractionalRepetitionCode(6, 1)
    sets = list(combinations(range(6), 3))
    assert np.mean([code.residual(one) for one in sets]) == pytest.approx(1.2)
    rows = code.encoding_matrix
    same = [np.sum((rows[list(one)].sum(axis=0) - 1.0) ** 2) for one in sets]
    assert np.mean(same) == pytest.approx(2.4)


@pytest.mark.parametrize(("setting", "answers"), [((6, 1), 3.8), ((20, 1), 15.4), ((20, 3), 8.7)])
def test_it_is_exact_after_so_many_answers_in_random_order(setting, answers):
    """In the mean; (6, 1) has 3.8 over all 720 orders, the others are told in the docstring."""
    code, rng = FractionalRepetitionCode(*setting), np.random.default_rng(0)
    needed = []
    for _ in range(400):
        order = rng.permutation(code.n_workers)
        count = code.n_workers // (code.n_stragglers + 1)
        while not code.can_decode(np.sort(order[:count])):
            count += 1
        needed.append(count)
    assert max(needed) <= code.min_responders
    assert np.mean(needed) == pytest.approx(answers, rel=0.03)


def test_workers_of_a_group_hold_the_same_parts_and_lie_apart():
    code = FractionalRepetitionCode(12, 2)
    assert code.load == 3
    for n in range(12):
        assert code.assignment[n] == code.assignment[(n + 4) % 12]
    assert code.can_decode(range(4, 8))


def test_who_is_missing_is_told():
    with pytest.raises(NotEnoughRespondersError, match=r"3 groups, and 2 gave none.*workers 0, 3"):
        FractionalRepetitionCode(6, 1).decode_vector([1, 4])


def test_counts_that_do_not_divide_are_refused_with_what_to_take():
    with pytest.raises(ValueError, match=r"3 does not divide 10; take n_stragglers=1 or .*=12"):
        FractionalRepetitionCode(10, 2)
    for bad in ((0, 0), (3, 3), (3, -1)):
        with pytest.raises(ValueError, match="must"):
            FractionalRepetitionCode(*bad)
    with pytest.raises(TypeError, match="n_stragglers must be an integer"):
        FractionalRepetitionCode(6, 1.0)
