from itertools import combinations

import numpy as np
import pytest

from coded import CyclicCode, NotEnoughRespondersError


def test_the_row_of_five_workers_is_as_published():
    row = CyclicCode(5, 2).encoding_matrix[0]
    expected = [0.276393202250021, 0.4472135954999579, 0.276393202250021, 0.0, 0.0]
    np.testing.assert_allclose(row, expected, atol=1e-14)


def test_weights_of_three_of_four_answers_are_as_published():
    vector = CyclicCode(4, 1).decode_vector([0, 1, 2])
    np.testing.assert_allclose(vector, [2.0, 0.0, 2.0], atol=1e-13)


@pytest.mark.parametrize(("setting", "largest"), [((5, 2), 3.618), ((10, 3), 18.944)])
def test_weights_are_at_most_as_large_as_told(setting, largest):
    code = CyclicCode(*setting)
    sets = combinations(range(code.n_workers), code.min_responders)
    found = max(np.abs(code.decode_vector(one)).max() for one in sets)
    assert found == pytest.approx(largest, abs=1e-3)


@pytest.mark.parametrize("setting", [(5, 2), (7, 2), (8, 3), (9, 4), (10, 3), (10, 5)])
def test_consecutive_survivors_amplify_most(setting):
    code = CyclicCode(*setting)
    sets = combinations(range(code.n_workers), code.min_responders)
    most = max(code.amplification(one) for one in sets)
    assert code.amplification(range(code.min_responders)) == pytest.approx(most)


def test_rounding_grows_as_told():
    amplified = {
        setting: CyclicCode(*setting).amplification(range(setting[0] - setting[1]))
        for setting in [(10, 3), (20, 3), (20, 5), (30, 11)]
    }
    expected = {(10, 3): 9.5, (20, 3): 40, (20, 5): 380, (30, 11): 2.9e5}
    assert amplified == pytest.approx(expected, rel=0.02)


def test_answers_in_float32_are_refused_where_they_round_too_much():
    code = CyclicCode(30, 11)
    assert code.can_decode(range(19))
    assert not code.can_decode(range(19), dtype=np.float32)
    assert code.can_decode(range(30), dtype=np.float32)
    arrays = np.ones((30, 2), np.float32)
    job = code.prepare(None)
    answers = [job.read(n, job.function(n, lambda _, i: arrays[i])(None))[1] for n in range(19)]
    assert not job.can_decode(np.arange(19))
    with pytest.raises(NotEnoughRespondersError, match=r"8e\+04 in float32, and these do by 2.9e"):
        job.decode(answers, np.arange(19))


def test_worker_n_holds_parts_from_n_on():
    code = CyclicCode(5, 2)
    assert code.assignment == ((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 0), (4, 0, 1))
    assert code.load == 3


def test_complex_weights_are_refused_with_what_to_take():
    with pytest.raises(ValueError, match=r"odd, got 6 - 2, .*n_stragglers=3.*n_workers=7"):
        CyclicCode(6, 2)
    for taken in ((6, 3), (7, 2)):
        assert np.isrealobj(CyclicCode(*taken).encoding_matrix)


def test_codes_that_amplify_too_much_are_refused():
    with pytest.raises(ValueError, match="grow by more than 1e8 where consecutive workers"):
        CyclicCode(60, 11)


def test_without_stragglers_each_worker_has_its_part():
    for n in (1, 2, 5):
        assert np.array_equal(CyclicCode(n, 0).encoding_matrix, np.eye(n))
