"""Lagrange codes over the reals: refused exactly where errors would grow too much."""

import math

import mpmath
import numpy as np
import pytest

from coded import LagrangeScheme, NotEnoughRespondersError
from coded.algebra.linear_decoder import exact_amplification, least_norm_decoder

EPS = np.finfo(np.float64).eps


def losing(n_workers, n_lost, run_length, rng):
    """Who answers when workers are lost in runs of that length at random places."""
    lost = []
    while len(lost) < n_lost:
        start = rng.integers(n_workers)
        run = range(start, min(start + run_length, n_workers))
        lost += [n for n in run if n not in lost]
    return np.setdiff1d(np.arange(n_workers), lost[:n_lost])


def random_answers(scheme, rng, n_columns=8):
    """Answers and outputs of random polynomials of degree R - 1 along the encoder's curve."""
    coefficients = rng.normal(size=(scheme.min_responders, n_columns))
    evaluate = np.polynomial.chebyshev.chebval
    return evaluate(scheme.beta, coefficients).T, evaluate(scheme.alpha, coefficients).T


@pytest.mark.parametrize(
    ("n_inputs", "n_workers", "degree"), [(5, 20, 3), (10, 200, 15), (4, 200, 40), (20, 60, 2)]
)
@pytest.mark.parametrize("run_length", [1, 3, 1000])
def test_no_accepted_set_errs_by_more_than_its_amplification_allows(
    n_inputs, n_workers, degree, run_length
):
    rng = np.random.default_rng(degree + run_length)
    scheme = LagrangeScheme(n_inputs, n_workers, degree=degree)
    coded_outputs, outputs = random_answers(scheme, rng)
    for n_lost in np.linspace(0, scheme.n_stragglers, 5).astype(int):
        for _ in range(4):
            who = losing(n_workers, n_lost, run_length, rng)
            amplified = scheme.amplification(who)
            assert scheme.can_decode(who) == (amplified <= 1e8)
            if scheme.can_decode(who):
                error = np.abs(scheme.decode(coded_outputs[who], who) - outputs).max()
                assert error <= 100 * EPS * amplified * np.abs(coded_outputs).max()


def test_degree_15_is_exact_with_all_answers_and_refused_where_it_is_unstable():
    rng = np.random.default_rng(0)
    scheme = LagrangeScheme(10, 200, degree=15)
    assert scheme.min_responders == 136
    coded_outputs, outputs = random_answers(scheme, rng)
    decoded = scheme.decode(coded_outputs, range(200))
    np.testing.assert_allclose(decoded, outputs, rtol=0, atol=1e-11)
    assert scheme.amplification(range(200)) < 5

    # R answers of workers side by side: no digit would be right.
    for start in (0, 32, 64):
        who = range(start, start + 136)
        assert not scheme.exact_mask(who).any()
        with pytest.raises(
            NotEnoughRespondersError,
            match=r"by at most 1e\+08, and these do by (inf|\d\.\de\+\d+) ",
        ):
            scheme.decode(coded_outputs[who], who)
    # R answers at random: about half of the sets are refused; unchecked, those err by up to all.
    refused = [
        who
        for who in (np.sort(rng.permutation(200)[:136]) for _ in range(30))
        if not scheme.can_decode(who)
    ]
    assert 6 <= len(refused) <= 24
    worst = max(scheme.amplification(who) for who in refused)
    assert worst > 1e11


@pytest.mark.parametrize("n_lost", [0, 3, 7])
def test_five_cubics_are_exact_up_to_seven_losses_wherever_they_are(n_lost):
    scheme, rng = LagrangeScheme(5, 20, degree=3), np.random.default_rng(n_lost)
    inputs = rng.normal(size=5)
    coded_outputs = 2 * scheme.encode(inputs) ** 3 - scheme.encode(inputs)
    for run_length in (1, 2, 7):
        for _ in range(30):
            who = losing(20, n_lost, run_length, rng)
            assert scheme.can_decode(who)
            error = np.abs(scheme.decode(coded_outputs[who], who) - (2 * inputs**3 - inputs)).max()
            largest = max(np.abs(coded_outputs).max(), np.abs(inputs).max() ** 3)
            assert error <= 200 * EPS * scheme.amplification(who) * largest


def test_amplification_is_that_of_exact_interpolation():
    # R answers leave no choice: the decoder is Lagrange's, here at 60 digits.
    scheme = LagrangeScheme(4, 16, degree=3)
    rng = np.random.default_rng(2)
    with mpmath.workdps(60):
        for _ in range(5):
            who = np.sort(rng.permutation(16)[:10])
            nodes = [mpmath.mpf(node) for node in scheme.beta[who]]
            sums = []
            for point in map(mpmath.mpf, scheme.alpha):
                factors = [
                    [(point - b) / (a - b) for j, b in enumerate(nodes) if j != i]
                    for i, a in enumerate(nodes)
                ]
                sums.append(mpmath.fsum(abs(mpmath.fprod(row)) for row in factors))
            assert scheme.amplification(who) == pytest.approx(float(max(sums)), rel=1e-8)


def test_a_small_decoder_that_is_wrong_does_not_pass():
    # Two symbols that the answers tell apart by less than rounding: the pseudoinverse drops one.
    generator = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-15]])
    wanted = np.eye(2)
    decoder = least_norm_decoder(generator, wanted)
    assert np.abs(decoder).sum() < 10
    assert exact_amplification(decoder, generator, wanted) == math.inf
    apart = np.array([[1.0, 1.0], [1.0, 1.5]])
    decoder = least_norm_decoder(apart, wanted)
    assert exact_amplification(decoder, apart, wanted) == pytest.approx(5.0)  # row (3, -2)


@pytest.mark.parametrize("n_inputs", range(2, 12))
def test_a_worker_at_an_input_gets_it_bit_for_bit(n_inputs):
    # 2 K divides N - 1: every alpha is a beta, though their cosines may differ in the last bit.
    inputs = np.random.default_rng(0).normal(size=(n_inputs, 3))
    for n_workers in (2 * n_inputs + 1, 6 * n_inputs + 1):
        coded_inputs = LagrangeScheme(n_inputs, n_workers, degree=1).encode(inputs)
        held = (coded_inputs[:, None] == inputs).all(axis=2)
        np.testing.assert_array_equal(held.sum(axis=0), 1)
