import itertools
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import FloaterHormannInterpolator

from coded import (
    ApproxIFERScheme,
    BerrutScheme,
    NotEnoughRespondersError,
    chebyshev_first,
    chebyshev_second,
    coded_map,
    simulate,
)
from coded.algebra.barycentric import leave_one_out_matrix
from coded.algebra.rational_locator import (
    agreement,
    clipped,
    column_units,
    hardest_to_predict,
    locator_magnitudes,
    most_voted,
)
from tests.support.worker_functions import WAIT


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def trial(seed, n_inputs, n_liars, n_stragglers):
    """A linear map's softmax, random survivors, random liars who add N(0, 1) numbers."""
    rng = np.random.default_rng(seed)
    n_workers = 2 * n_inputs + 2 * n_liars - 1 + n_stragglers
    scheme = ApproxIFERScheme(n_inputs, n_workers, n_stragglers=n_stragglers, n_liars=n_liars)
    weights, inputs = rng.normal(size=(16, 10)), rng.normal(size=(n_inputs, 16))
    responders = np.sort(rng.permutation(n_workers)[: n_workers - n_stragglers])
    honest = softmax(scheme.encode(inputs) @ weights)[responders]
    where = np.sort(rng.permutation(len(responders))[:n_liars])
    answers = honest.copy()
    answers[where] += rng.normal(size=(n_liars, 10))
    return scheme, responders, honest, answers, responders[where], softmax(inputs @ weights)


# The locator.


def test_locator_golden_values():
    points = np.cos(np.pi * np.arange(6) / 5)
    values = 1.0 / (2.0 + points)
    values[2] += 1.0
    magnitudes = locator_magnitudes(points, values[:, None], 2)[0]
    expected = [1, 0.677541264, 0, 0.5041537266, 0.6423503277, 0.6314757303]
    np.testing.assert_allclose(magnitudes / magnitudes.max(), expected, rtol=0, atol=1e-9)
    assert magnitudes[2] < 1e-14


@pytest.mark.parametrize(("n_inputs", "n_liars"), [(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (2, 3)])
def test_liars_anywhere_are_found_where_outputs_are_rational(n_inputs, n_liars):
    # (K - 1) / (K - 1) is what as many answers as unknowns determine.
    n_points = 2 * n_inputs + 2 * n_liars - 1
    points = chebyshev_second(n_points)
    rng = np.random.default_rng(n_points)
    poles = 2.0 + rng.uniform(size=n_inputs - 1)
    zeros = rng.uniform(-1, 1, size=n_inputs - 1)
    honest = 3.0 + np.prod((points[:, None] - zeros) / (points[:, None] + poles), axis=1)
    for where in itertools.combinations(range(n_points), n_liars):
        values = honest.copy()
        values[list(where)] += rng.choice([-1, 1], n_liars) * rng.uniform(0.5, 2.0, n_liars)
        magnitudes = locator_magnitudes(points, values[:, None], n_inputs + n_liars - 1)
        assert most_voted(magnitudes, n_liars).tolist() == list(where)
        assert magnitudes[0, list(where)].max() < 1e-9


@given(
    seed=st.integers(0, 10**6),
    scale=st.floats(-8, 8).map(lambda power: 10**power),
    shift=st.floats(-100, 100),
)
def test_units_do_not_matter_and_columns_do_not_see_each_other(seed, scale, shift):
    rng = np.random.default_rng(seed)
    points, values = chebyshev_second(9), rng.normal(size=(9, 4))
    magnitudes = locator_magnitudes(points, values, 3)
    np.testing.assert_allclose((magnitudes**2).sum(axis=1), 1, rtol=1e-12)
    moved = locator_magnitudes(points, scale * (values + shift), 3)
    np.testing.assert_allclose(moved, magnitudes, rtol=0, atol=1e-7)
    alone = locator_magnitudes(points, values[:, 2:3], 3)
    np.testing.assert_allclose(magnitudes[2:3], alone, rtol=0, atol=1e-9)


def test_what_varies_little_about_a_large_number_is_located_as_well():
    points, values = chebyshev_second(9), np.random.default_rng(0).normal(size=(9, 4))
    near, far = (locator_magnitudes(points, values + shift, 3) for shift in (0.0, 1e8))
    np.testing.assert_allclose(far, near, rtol=0, atol=1e-5)


def test_the_locator_leaves_the_least_residual_of_all_denominators():
    rng = np.random.default_rng(3)
    points, values, degree = chebyshev_second(11), rng.normal(size=11), 3
    found = locator_magnitudes(points, values[:, None], degree)[0]
    powers = np.vander(points, degree + 1)

    def residual(denominator):
        numerator, *_ = np.linalg.lstsq(powers, values * denominator, rcond=None)
        return np.linalg.norm(powers @ numerator - values * denominator)

    # |Q| fixes Q but for its sign at each point: that of the polynomial through them.
    signed = min(
        (np.array(signs) * found for signs in itertools.product([1, -1], repeat=11)),
        key=lambda q: np.linalg.norm(powers @ np.linalg.lstsq(powers, q, rcond=None)[0] - q),
    )
    least = residual(signed)
    for _ in range(2000):
        other = powers @ rng.normal(size=degree + 1)
        assert residual(other / np.linalg.norm(other)) >= least - 1e-12


def test_votes_come_first_then_the_smaller_product():
    magnitudes = np.array([[0.1, 0.2, 0.9, 0.8], [0.1, 0.9, 0.2, 0.8], [0.1, 0.9, 0.3, 0.8]])
    assert most_voted(magnitudes, 1).tolist() == [0]
    assert most_voted(magnitudes, 2).tolist() == [0, 2]
    assert most_voted(magnitudes[:2] * [1, 1, 0.5, 1], 2).tolist() == [0, 2]
    assert most_voted(np.zeros((0, 4)), 2).tolist() == [0, 1]


def test_a_huge_lie_hides_no_small_one():
    for seed in range(30):
        scheme, responders, _, answers, liars, _ = trial(seed, 8, 2, 0)
        answers[np.searchsorted(responders, liars[0])] *= 1e200
        assert scheme.locate_liars(answers, responders).tolist() == liars.tolist()


def test_clipping_moves_far_values_alone():
    values = np.array([[0.0], [1.0], [2.0], [3.0], [1e9]])
    assert clipped(values, 1)[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 3.0 + 1e4 * 2.0]
    assert clipped(values, 3) is values
    equal = np.array([[1.0], [1.0], [1.0], [5.0], [1.0]])
    assert clipped(equal, 1).tolist() == equal.tolist()


def test_the_hardest_to_predict_is_what_the_others_predict_each_other_best_without():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points, values = np.sort(rng.uniform(-1, 1, 12)), rng.normal(size=(12, 21))
        kept = np.arange(12)
        for count in range(1, 4):
            missed = []
            for dropped in kept:
                rest = np.setdiff1d(kept, dropped)
                errors = leave_one_out_matrix(points[rest]) @ values[rest] - values[rest]
                missed.append((errors**2).sum())
            kept = np.delete(kept, np.argmin(missed))
            found = hardest_to_predict(points, values, count)
            assert found.tolist() == np.setdiff1d(range(12), kept).tolist()


def test_columns_of_like_spread_have_one_unit_and_others_their_own():
    steps = np.arange(7.0)[:, None]
    lied = steps * [1.0, 0.02, 1000.0, 0.0]
    lied[3] += 1e6
    # Without the largest and the smallest value: 5 steps, a lie or not.
    assert column_units(lied, 1).tolist() == [5.0, 5.0, 5000.0, 5.0]
    assert column_units(steps * [1.0, 0.0], 0).tolist() == [6.0, 6.0]
    assert column_units(np.ones((7, 2)), 1).tolist() == [1.0, 1.0]
    scaled = column_units(1e-12 * lied, 1)
    np.testing.assert_allclose(scaled, 1e-12 * column_units(lied, 1), rtol=1e-9)


def test_agreement_is_the_share_of_votes_of_the_suspect_with_the_fewest():
    magnitudes = np.array([[0.1, 0.2, 0.9, 0.8], [0.1, 0.9, 0.2, 0.8], [0.1, 0.3, 0.8, 0.9]])
    assert agreement(magnitudes, np.array([0, 1])) == pytest.approx(2 / 3)
    assert agreement(magnitudes, np.array([0, 2])) == pytest.approx(1 / 3)
    assert agreement(np.zeros((0, 4)), np.array([0, 1])) == 1.0


# The scheme.


def linear_map(rng, n_inputs):
    weights = rng.normal(size=(16, 10))
    return rng.normal(size=(n_inputs, 16)), lambda x: softmax(x @ weights)


def network(rng, n_inputs):
    first, second = rng.normal(size=(64, 64)) / 4, rng.normal(size=(64, 10)) / 4
    return rng.normal(size=(n_inputs, 64)), lambda x: softmax(np.tanh(x @ first) @ second)


@cache
def read_lenet5():
    from coded.digits.images import read_digits
    from coded.digits.lenet5 import load

    return load(), read_digits(0)


def lenet5(rng, n_inputs):
    model, digits = read_lenet5()

    def fn(x):
        with torch.no_grad():
            return softmax(model(torch.from_numpy(x)).numpy().astype(float))

    return digits.inputs[rng.choice(len(digits), n_inputs, replace=False)], fn


LIES = {
    "noise": lambda answers, rng: answers + rng.normal(size=answers.shape),
    "large noise": lambda answers, rng: answers + 100 * rng.normal(size=answers.shape),
    "sign": lambda answers, _: -answers,
}


def share_located(make_function, counts, lie, trials, unit=1.0):
    """In how many trials all liars were located; and the share of those that `decode` kept."""
    k, e, s = counts
    n_workers = 2 * k + 2 * e - 1 + s
    scheme = ApproxIFERScheme(k, n_workers, n_stragglers=s, n_liars=e)
    found, located, kept = 0, 0, 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        inputs, fn = make_function(rng, k)
        responders = np.sort(rng.permutation(n_workers)[: n_workers - s])
        answers = fn(scheme.encode(inputs))[responders]
        where = np.sort(rng.permutation(len(responders))[:e])
        answers[where] = LIES[lie](answers[where], rng)
        answers[:, 0] *= unit
        suspects = scheme.locate_liars(answers, responders)
        found += suspects.tolist() == responders[where].tolist()
        outputs = scheme.decode(answers, responders)
        for n in np.flatnonzero(
            np.isin(responders, suspects) & np.isin(range(len(answers)), where)
        ):
            moved = answers.copy()
            moved[n] *= 1.001
            located += 1
            kept += not np.array_equal(scheme.decode(moved, responders), outputs)
    return found / trials, kept / max(located, 1)


@pytest.mark.parametrize(
    ("make_function", "lie", "least"),
    [  # what the docstring says, at (4, 1, 1), (8, 2, 4), (12, 3, 0), (12, 3, 6), less a margin
        (linear_map, "noise", (0.97, 0.92, 0.92, 0.87)),
        (network, "noise", (0.97, 0.90, 0.92, 0.87)),
        (lenet5, "noise", (0.90, 0.85, 0.80, 0.75)),
        (linear_map, "large noise", (0.97, 0.97, 0.97, 0.97)),
        (network, "large noise", (0.97, 0.97, 0.97, 0.92)),
        (linear_map, "sign", (0.55, 0.45, 0.30, 0.30)),
        (network, "sign", (0.85, 0.55, 0.40, 0.40)),
    ],
)
def test_liars_are_located_as_often_as_is_said(make_function, lie, least):
    trials = 20 if make_function is lenet5 else 40
    for counts, share in zip([(4, 1, 1), (8, 2, 4), (12, 3, 0), (12, 3, 6)], least, strict=True):
        assert share_located(make_function, counts, lie, trials)[0] >= share, counts


@pytest.mark.parametrize("make_function", [linear_map, network])
@pytest.mark.parametrize("counts", [(4, 1, 1), (8, 2, 4), (12, 3, 0), (12, 3, 6)], ids=str)
def test_liars_are_dropped_though_a_column_has_another_unit(make_function, counts):
    found, kept = share_located(make_function, counts, "noise", trials=20, unit=1000.0)
    assert found >= 0.7
    assert kept <= 0.2


@pytest.mark.parametrize(("k", "e", "s"), [(2, 1, 0), (4, 1, 1), (8, 2, 0), (12, 3, 0)])
def test_random_liars_are_found_in_97_of_100_trials(k, e, s):
    found = 0
    for seed in range(200):
        scheme, responders, _, answers, liars, _ = trial(seed, k, e, s)
        found += np.array_equal(scheme.locate_liars(answers, responders), liars)
    assert found >= 0.97 * 200


def test_berrut_golden_values_without_liars():
    # The golden values have descending points: workers and inputs in reverse.
    scheme = ApproxIFERScheme(3, 6, n_liars=0)
    coded_inputs = scheme.encode([4.0, 2.0, 1.0])
    expected = [1.086813593512, 0.9694762877, 1.163376335748]
    expected += [3.062507667805, 3.96253444559, 4.056043549345]
    np.testing.assert_allclose(coded_inputs[::-1], expected, rtol=0, atol=1e-10)
    outputs = scheme.decode(np.exp(-coded_inputs)[[0, 2, 4, 5]], [0, 2, 4, 5])
    # With the workers' own signs: .3493, .0093, -.0001.
    expected = [0.370191747534, 0.10742236646, 0.018215048079]
    np.testing.assert_allclose(outputs[::-1], expected, rtol=0, atol=1e-11)


def test_without_liars_it_is_bacc():
    plain, bacc = ApproxIFERScheme(4, 9, n_liars=0), BerrutScheme(4, 9)
    assert (plain.n_stragglers, plain.min_responders) == (5, 4)
    np.testing.assert_array_equal(plain.encoding_matrix, bacc.encoding_matrix)
    for responders in ([3], [0, 2, 5], range(9)):
        np.testing.assert_array_equal(
            plain.decoding_matrix(responders), bacc.decoding_matrix(responders)
        )
        assert plain.exact_mask(responders).tolist() == bacc.exact_mask(responders).tolist()
    assert plain.locate_liars(np.ones((4, 2)), [0, 1, 2, 5]).tolist() == []


def test_the_rest_is_decoded_with_signs_ranked_anew():
    for seed in range(20):
        scheme, responders, honest, answers, liars, _ = trial(seed, 4, 1, 1)
        answers = 1000.0 * (answers - honest) + honest
        kept = ~np.isin(responders, liars)
        rest = FloaterHormannInterpolator(scheme.beta[responders[kept]], answers[kept], d=0)
        np.testing.assert_allclose(
            scheme.decode(answers, responders), rest(chebyshev_first(4)), rtol=1e-10, atol=1e-11
        )


def test_honest_workers_stay_where_they_do_not_stand_out():
    bacc, totals = BerrutScheme(8, 19), np.zeros(4)
    for seed in range(60):
        scheme, responders, honest, answers, liars, truth = trial(seed, 8, 2, 0)
        trusted = ~np.isin(responders, scheme.locate_liars(honest, responders))
        true = ~np.isin(responders, liars)
        totals += [
            np.linalg.norm(outputs - truth, axis=1).mean()
            for outputs in (
                scheme.decode(honest, responders),
                bacc.decode(honest[trusted], responders[trusted]),
                scheme.decode(answers, responders),
                bacc.decode(honest[true], responders[true]),
            )
        ]
    kept, all_dropped, with_liars, told_who_lies = totals
    assert kept < 0.85 * all_dropped
    assert with_liars < 1.05 * told_who_lies


def test_liars_that_are_one_more_than_expected_are_too_many():
    """The counts matter: found are two of three, and the third spoils the outputs."""
    scheme, responders, honest, answers, liars, _ = trial(0, 8, 2, 0)
    answers[[*liars, np.setdiff1d(responders, liars)[8]]] += 50.0
    assert len(scheme.locate_liars(answers, responders)) == 2
    assert np.abs(scheme.decode(answers, responders)).max() > 5 * np.abs(honest).max()


def test_outputs_with_many_columns_are_decoded_by_a_sample_of_them():
    scheme = ApproxIFERScheme(4, 11, n_liars=2)
    rng = np.random.default_rng(1)
    weights, inputs = rng.normal(size=(6, 3000)) / 4, rng.normal(size=(4, 6))
    answers = np.tanh(scheme.encode(inputs) @ weights)
    answers[[2, 7]] += rng.normal(size=(2, 3000))
    constant = np.hstack([answers, np.ones((11, 2000))])
    assert scheme.locate_liars(answers, range(11)).tolist() == [2, 7]
    assert scheme.locate_liars(constant, range(11)).tolist() == [2, 7]
    few = np.hstack([answers[:, :20], np.ones((11, 20_000))])  # which say nothing do not vote
    assert scheme.locate_liars(few, range(11)).tolist() == [2, 7]
    np.testing.assert_array_equal(
        scheme.decode(answers, range(11)), scheme.decode(answers.copy(), range(11))
    )
    np.testing.assert_allclose(
        scheme.decode(answers.reshape(11, 3, 1000), range(11)).reshape(4, 3000),
        scheme.decode(answers, range(11)),
        rtol=0,
        atol=1e-12,
    )


def test_no_sample_is_drawn_that_a_liar_could_know():
    # Lies in all columns but the 128 that a generator of seed 0 would choose.
    scheme, rng = ApproxIFERScheme(4, 11, n_liars=1), np.random.default_rng(1)
    weights, inputs = rng.normal(size=(6, 3000)) / 4, rng.normal(size=(4, 6))
    answers = np.tanh(scheme.encode(inputs) @ weights)
    spared = np.random.default_rng(0).choice(3000, 128, replace=False)
    for liar in range(11):
        lies = rng.normal(size=3000)
        lies[spared] = 0.0
        lied = answers.copy()
        lied[liar] += lies
        assert scheme.locate_liars(lied, range(11)).tolist() == [liar]


def test_constant_answers_are_returned():
    scheme = ApproxIFERScheme(3, 9, n_liars=2)
    np.testing.assert_allclose(scheme.decode(np.full((9, 2), 7.0), range(9)), 7.0, rtol=1e-14)
    answers = np.full((9, 2), 7.0)
    answers[[1, 6]] = [[3.0, 2.0], [9.0, 1e300]]
    assert scheme.locate_liars(answers, range(9)).tolist() == [1, 6]
    np.testing.assert_allclose(scheme.decode(answers, range(9)), 7.0, rtol=1e-14)


def test_a_single_input_is_decoded_by_majority():
    scheme = ApproxIFERScheme(1, 5, n_liars=2)
    assert scheme.decode([4.0, 9.0, 4.0, -1.0, 4.0], range(5)).tolist() == [4.0]
    assert ApproxIFERScheme(1, 3, n_liars=1).decode([4.0, 9.0, 4.0], range(3)).tolist() == [4.0]


def test_liars_about_real_digits_are_found():
    model, digits = read_lenet5()
    scheme, bacc = ApproxIFERScheme(8, 19, n_liars=2), BerrutScheme(8, 19)
    found, right = 0, np.zeros(3)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        group = rng.choice(len(digits), 8, replace=False)
        with torch.no_grad():
            scores = model(torch.from_numpy(scheme.encode(digits.inputs[group])))
        answers = softmax(scores.numpy().astype(float))
        liars = np.sort(rng.permutation(19)[:2])
        honest = np.setdiff1d(range(19), liars)
        answers[liars] += rng.normal(size=(2, 10))
        found += np.array_equal(scheme.locate_liars(answers, range(19)), liars)
        for i, outputs in enumerate(
            [
                scheme.decode(answers, range(19)),
                bacc.decode(answers[honest], honest),
                bacc.decode(answers, range(19)),
            ]
        ):
            right[i] += np.mean(outputs.argmax(axis=1) == digits.labels[group]) / 50
    assert found >= 0.97 * 50
    decoded, told_who_lies, taken_in = right
    assert decoded >= told_who_lies - 0.005
    assert decoded > taken_in + 0.02


# What schemes have in common, where the answers choose the decoder.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("trailing", [(), (2,), (2, 3), (0,)], ids=str)
def test_shapes_and_dtypes_are_kept(dtype, trailing):
    scheme = ApproxIFERScheme(2, 8, n_liars=1)
    inputs = np.random.default_rng(0).normal(size=(2, *trailing)).astype(dtype)
    answers = np.cos(scheme.encode(inputs))
    outputs = scheme.decode(answers, range(8))
    assert (outputs.shape, outputs.dtype) == ((2, *trailing), dtype)
    tensors = scheme.decode(torch.from_numpy(answers), torch.arange(8))
    assert tensors.dtype == torch.from_numpy(inputs).dtype
    np.testing.assert_array_equal(tensors.numpy(), outputs)


def test_it_pickles_and_prints_and_serves_threads():
    scheme, responders, _, answers, _, _ = trial(5, 4, 1, 1)
    expected = scheme.decode(answers, responders)
    assert repr(scheme) == "ApproxIFERScheme(4, 10, n_stragglers=1, n_liars=1)"
    again = pickle.loads(pickle.dumps(scheme))
    assert repr(again) == repr(scheme)
    assert again.n_liars == 1
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: again.decode(answers, responders), range(40))
    for outputs in found:
        np.testing.assert_array_equal(outputs, expected)


def test_so_many_answers_are_needed():
    scheme = ApproxIFERScheme(3, 10, n_stragglers=2, n_liars=1)
    assert scheme.min_responders == 8
    for count in range(11):
        for responders in itertools.islice(itertools.combinations(range(10), count), 30):
            assert scheme.can_decode(responders) == (count >= 7)
            assert not scheme.exact_mask(responders).any()
            if count < 7:
                for decode in (scheme.decode, scheme.locate_liars):
                    with pytest.raises(NotEnoughRespondersError, match="needs 7 answers"):
                        decode(np.ones((count, 2)), responders)
    assert ApproxIFERScheme(3, 10, n_liars=1).n_stragglers == 3


def test_there_is_no_matrix_with_liars():
    with pytest.raises(TypeError, match="n_liars=1 lets the answers choose the decoder"):
        ApproxIFERScheme(3, 10, n_liars=1).decoding_matrix(range(10))


@pytest.mark.parametrize(
    ("counts", "keywords", "error", "message"),
    [
        ((3, 6), {"n_liars": 1}, ValueError, r">= 2 \* n_inputs \+ 2 \* n_liars - 1 \+ .* = 7"),
        ((3, 8), {"n_liars": 1, "n_stragglers": 2}, ValueError, "n_stragglers = 9, got 8; add"),
        ((3, 4), {"n_liars": 0, "n_stragglers": 2}, ValueError, r">= n_inputs \+ n_strag.* = 5"),
        ((3, 2), {"n_liars": 0}, ValueError, r">= n_inputs \+ n_stragglers = 3, got 2"),
        ((3, 9), {"n_liars": -1}, ValueError, "n_liars must be >= 0, got -1"),
        ((3, 9), {"n_liars": 1.0}, TypeError, "n_liars must be an integer, got 1.0"),
        ((3, 9), {"n_liars": True}, TypeError, "n_liars must be an integer, got True"),
        ((0, 9), {"n_liars": 1}, ValueError, "n_inputs must be >= 1, got 0"),
    ],
)  # fmt: skip
def test_counts_that_cannot_be_served_are_refused(counts, keywords, error, message):
    with pytest.raises(error, match=message):
        ApproxIFERScheme(*counts, **keywords)


def test_bad_answers_are_refused():
    scheme = ApproxIFERScheme(2, 6, n_liars=1)
    for decode in (scheme.decode, scheme.locate_liars):
        with pytest.raises(ValueError, match=r"coded_outputs has shape \(5,\), but there are 6"):
            decode(np.ones(5), range(6))
        with pytest.raises(ValueError, match=r"strictly ascending, but responders\[1\] = 0"):
            decode(np.ones(6), [1, 0, 2, 3, 4, 5])
        for bad in (np.nan, np.inf):
            answers = np.ones((6, 2))
            answers[3, 1] = bad
            with pytest.raises(ValueError, match=r"coded_outputs\[3, 1\] = "):
                decode(answers, range(6))


# Through the runtime.


class Workers:
    """f, but for the coded inputs of the liars; each call returns when its turn has come."""

    def __init__(self, scheme, inputs, liars, turns):
        self.coded_inputs = scheme.encode(inputs)
        self.liars, self.turns = liars, list(turns)
        self.done = [threading.Event() for _ in turns]

    def __call__(self, coded_input):
        n = int(np.flatnonzero((self.coded_inputs == coded_input).all(axis=1))[0])
        turn = self.turns.index(n)
        if turn > 0:
            assert self.done[turn - 1].wait(WAIT)
        return 1e3 * np.sin(np.arange(3) + n) if n in self.liars else np.exp(coded_input[:3])

    def arrived(self, n, _):
        """The next may answer when this answer is in."""
        self.done[self.turns.index(n)].set()


def test_liars_are_left_out_in_whichever_order_answers_arrive():
    scheme = ApproxIFERScheme(3, 11, n_stragglers=2, n_liars=2)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(3, 4)) / 4
    outputs = []
    with ThreadPoolExecutor(11) as pool:
        for _ in range(6):
            turns, arrivals = rng.permutation(11), []
            workers = Workers(scheme, inputs, (1, 6), turns)

            def note(n, latency, arrivals=arrivals, workers=workers):
                arrivals.append(n)
                workers.arrived(n, latency)

            result = coded_map(
                workers, inputs, scheme, pool, wait_for=11, timeout=WAIT, on_answer=note
            )
            assert arrivals == turns.tolist()
            assert result.responders.tolist() == list(range(11))
            outputs.append(result.outputs)
    for other in outputs[1:]:
        np.testing.assert_array_equal(other, outputs[0])
    honest = [n for n in range(11) if n not in (1, 6)]
    rest = FloaterHormannInterpolator(
        scheme.beta[honest], np.exp(scheme.encode(inputs)[honest, :3]), d=0
    )
    np.testing.assert_allclose(outputs[0], rest(scheme.alpha), rtol=1e-10)


def test_it_is_simulated():
    scheme = ApproxIFERScheme(3, 9, n_stragglers=2, n_liars=1)
    inputs = np.linspace(0.0, 1.0, 3)[:, None]
    result = simulate(np.exp, inputs, scheme, stragglers=2, repeats=10)
    assert result.mean_l2.max() < 0.2
