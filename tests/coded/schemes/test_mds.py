"""`MDSScheme` and its generator; what every code keeps is in test_contract.py."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded import MDSScheme, NotEnoughRespondersError
from coded.algebra.mds_generator import mds_generator
from tests.oracles.codes import least_squares_in_fractions

EPS = np.finfo(np.float64).eps

# By mpmath, from the formulas in the docstring of `mds_generator`.
ON_CIRCLE = [
    [-0.62575238458318538, 1.0838349230554569, 1.0838349230554569, -0.54191746152772846],
    [0.27792629762666364, -0.24069123412444545, 0.48138246824889091, 0.48138246824889091],
]
RANDOM = [0.94969566576799324, 0.52993997645389955, 0.37815584241098554]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def sets_of(n_workers, size, at_most, seed=0):
    """All sets of so many workers, or random ones where there are too many."""
    if math.comb(n_workers, size) <= at_most:
        return np.array(list(itertools.combinations(range(n_workers), size)))
    workers = np.tile(np.arange(n_workers), (at_most, 1))
    return np.sort(np.random.default_rng(seed).permuted(workers, axis=1)[:, :size], axis=1)


def amplifications(generator, sets):
    """Of sets of K rows, by the inverse; a row that is an input's own amplifies by 1."""
    return np.abs(np.linalg.inv(generator[sets])).sum(axis=2).max(axis=1)


@pytest.mark.parametrize("n_workers", [*range(1, 13), 21, 24])
def test_any_k_rows_of_the_generator_are_independent(n_workers):
    for n_inputs in range(1, n_workers + 1):
        generator = mds_generator(n_inputs, n_workers)
        assert generator.shape == (n_workers, n_inputs)
        assert np.array_equal(generator[:n_inputs], np.eye(n_inputs))
        np.testing.assert_allclose(generator.sum(axis=1), 1.0, rtol=0, atol=10 * EPS)
        sets = sets_of(n_workers, n_inputs, at_most=1000)
        # A matrix that is singular but for rounding amplifies by 1e15 and more.
        assert amplifications(generator, sets).max() < 1e7


@pytest.mark.parametrize(
    ("n_inputs", "n_workers", "median", "worst"),
    [(5, 8, 8, 35), (10, 12, 20, 90), (16, 20, 50, 1500), (20, 30, 80, 1e4), (60, 100, 400, 2e4)],
)
def test_sets_of_k_amplify_errors_as_little_as_is_said(n_inputs, n_workers, median, worst):
    sets = sets_of(n_workers, n_inputs, at_most=800 if n_inputs < 60 else 200)
    factors = amplifications(mds_generator(n_inputs, n_workers), sets)
    assert np.median(factors) < median
    assert np.quantile(factors, 0.99) < worst
    nodes = np.cos((2 * np.arange(n_workers) + 1) * np.pi / (2 * n_workers))
    vandermonde = np.polynomial.chebyshev.chebvander(nodes, n_inputs - 1)
    own = (2 * np.arange(n_inputs) + 1) * n_workers // (2 * n_inputs)
    systematic = vandermonde @ np.linalg.inv(vandermonde[own])
    order = np.concatenate([own, np.setdiff1d(np.arange(n_workers), own)])
    rival = amplifications(systematic[order], sets)
    assert np.quantile(factors, 0.99) < 0.2 * np.quantile(rival, 0.99)


@pytest.mark.parametrize(
    ("n_inputs", "n_workers", "worst"), [(20, 21, 60), (24, 26, 400), (29, 31, 510), (24, 27, 2700)]
)
def test_with_few_parity_rows_no_set_amplifies_much(n_inputs, n_workers, worst):
    # Random rows: 287, 4e3, 6e4 and 5e4.
    sets = sets_of(n_workers, n_inputs, at_most=3000)
    assert amplifications(mds_generator(n_inputs, n_workers), sets).max() < worst


def test_a_few_more_answers_amplify_much_less():
    scheme = MDSScheme(60, 100)
    factors = [scheme.amplification(who) for who in sets_of(100, 64, at_most=60, seed=3)]
    assert np.median(factors) < 80
    assert max(factors) < 400


def test_what_is_coded_today_is_decoded_tomorrow():
    np.testing.assert_allclose(mds_generator(4, 6)[4:], ON_CIRCLE, rtol=0, atol=1e-14)
    np.testing.assert_allclose(mds_generator(2, 21)[2:5, 0], RANDOM, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("n_inputs", "n_workers"), [(1, 4), (2, 5), (3, 6), (4, 7), (5, 7)])
def test_every_set_equals_least_squares_in_fractions(n_inputs, n_workers):
    scheme = MDSScheme(n_inputs, n_workers)
    generator = scheme.encoding_matrix
    answers = numbers(n_workers, 2, seed=1)  # no code word: least norm is told from other decoders
    for size in range(n_inputs, n_workers + 1):
        for responders in itertools.combinations(range(n_workers), size):
            outputs = scheme.estimate(answers[list(responders)], responders)
            expected = least_squares_in_fractions(
                generator[list(responders)], answers[list(responders)]
            )
            tolerance = 200 * EPS * scheme.amplification(responders) ** 2 * np.abs(answers).max()
            for k in range(n_inputs):
                if k in responders:
                    assert np.array_equal(outputs[k], answers[k])
                else:
                    np.testing.assert_allclose(outputs[k], expected[k], rtol=0, atol=tolerance)


@given(
    seed=st.integers(0, 10**6),
    counts=st.tuples(st.integers(1, 30), st.integers(0, 12)),
    n_more=st.integers(0, 5),
)
def test_affine_functions_are_exact_from_any_k_answers(seed, counts, n_more):
    n_inputs, n_workers = counts[0], sum(counts)
    rng = np.random.default_rng(seed)
    matrix, offset = rng.normal(size=(3, 4)), rng.normal(size=3)
    inputs = rng.normal(size=(n_inputs, 4))
    scheme = MDSScheme(n_inputs, n_workers)
    coded_outputs = scheme.encode(inputs) @ matrix.T + offset
    size = min(n_inputs + n_more, n_workers)
    responders = np.sort(rng.permutation(n_workers)[:size])
    assert scheme.can_decode(responders)
    assert scheme.exact_mask(responders).all()
    outputs = scheme.decode(coded_outputs[responders], responders)
    tolerance = 200 * EPS * scheme.amplification(responders) * np.abs(coded_outputs).max()
    np.testing.assert_allclose(outputs, inputs @ matrix.T + offset, rtol=0, atol=tolerance)


@given(seed=st.integers(0, 10**6))
def test_more_answers_amplify_independent_errors_less(seed):
    rng = np.random.default_rng(seed)
    scheme = MDSScheme(6, 14)
    order = rng.permutation(14)
    lost = [k for k in range(6) if k not in order[:13]]
    norms = [
        np.linalg.norm(scheme.decoding_matrix(np.sort(order[:size]))[lost], axis=1)
        for size in range(6, 14)
    ]
    for fewer, more in itertools.pairwise(norms):
        assert (more <= fewer * (1 + 1e-9)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_answers_to_unmixed_inputs_come_back_bit_for_bit(dtype):
    inputs = numbers(5, 3, seed=2).astype(dtype)
    inputs[2] = [0.0, -0.0, np.finfo(dtype).tiny]
    scheme = MDSScheme(5, 9)
    coded_inputs = scheme.encode(inputs)
    assert coded_inputs[:5].tobytes() == inputs.tobytes()
    for responders in itertools.combinations(range(9), 5):
        outputs = scheme.decode(coded_inputs[list(responders)], responders)
        own = [k for k in range(5) if k in responders]
        assert outputs[own].tobytes() == inputs[own].tobytes()


def test_one_parity_worker_makes_up_for_one_straggler():
    scheme = MDSScheme(2, 3)
    parity = scheme.encoding_matrix[2]
    inputs = np.array([3.0, 5.0])
    answers = scheme.encode(inputs)
    expected = (answers[2] - parity[0] * 3.0) / parity[1]
    assert scheme.decode(answers[[0, 2]], [0, 2])[1] == pytest.approx(expected, rel=1e-15)
    assert expected == pytest.approx(5.0, rel=1e-14)


def nearly_dependent_set(scheme):
    """All inputs' workers but two, and the two parity workers that tell these apart worst."""
    k = scheme.n_inputs
    parity = scheme.encoding_matrix[k:]
    first, second = np.triu_indices(k, 1)
    worst = (np.inf, 0, 0, 0)
    for i in range(len(parity)):
        for j in range(i):
            minors = np.abs(
                parity[i, first] * parity[j, second] - parity[i, second] * parity[j, first]
            )
            worst = min(worst, (minors.min(), i, j, int(minors.argmin())))
    _, i, j, pair = worst
    kept = np.setdiff1d(np.arange(k), [first[pair], second[pair]])
    return np.sort(np.concatenate([kept, [k + i, k + j]]))


def test_sets_that_amplify_too_much_are_refused_with_the_number():
    scheme = MDSScheme(100, 200)
    responders = nearly_dependent_set(scheme)
    factor = scheme.amplification(responders)
    exact = np.abs(np.linalg.inv(scheme.encoding_matrix[responders])).sum(axis=1).max()
    assert factor > 1e8
    assert factor == pytest.approx(exact, rel=1e-4)
    assert not scheme.can_decode(responders)
    assert not scheme.exact_mask(responders).any()
    message = r"amplify errors by at most 1e\+08, and these do by \d\.\de\+\d\d; wait for more"
    with pytest.raises(NotEnoughRespondersError, match=message):
        scheme.decode(np.zeros(100), responders)
    spare = np.setdiff1d(np.arange(100, 200), responders)[0]
    assert scheme.amplification(np.sort(np.append(responders, spare))) < 1e6


def test_how_many_may_be_missing():
    assert MDSScheme(4, 9).min_responders == 4
    scheme = MDSScheme(4, 9, n_stragglers=2)
    assert (scheme.n_stragglers, scheme.min_responders) == (2, 7)
    assert scheme.can_decode([1, 5, 6, 8])  # it waits for more answers than it needs
    assert not scheme.can_decode([1, 5, 6])
    assert scheme.amplification([1, 5, 6]) == np.inf
    assert scheme.amplification(range(4)) == 1.0
    assert not scheme.exact_mask([0, 1, 2]).any()


@pytest.mark.parametrize(
    ("counts", "n_stragglers", "message"),
    [
        ((5, 4), None, "n_workers must be >= n_inputs = 5, since so many answers .*, got 4; add"),
        ((4, 9), 6, r"n_stragglers must lie in \[0, 5\], got 6"),
        ((4, 9), -1, r"n_stragglers must lie in \[0, 5\], got -1"),
        ((0, 9), None, "n_inputs must be >= 1, got 0"),
    ],
)
def test_bad_counts_are_refused(counts, n_stragglers, message):
    with pytest.raises(ValueError, match=message):
        MDSScheme(*counts, n_stragglers=n_stragglers)


def test_a_bad_number_of_stragglers_is_refused():
    with pytest.raises(TypeError, match=r"n_stragglers must be an integer, got 2\.0"):
        MDSScheme(4, 9, n_stragglers=2.0)


def test_the_generator_refuses_bad_counts():
    with pytest.raises(ValueError, match="n_workers must be >= n_inputs = 3"):
        mds_generator(3, 2)
    with pytest.raises(TypeError, match=r"n_inputs must be an integer, got 3\.0"):
        mds_generator(3.0, 5)
