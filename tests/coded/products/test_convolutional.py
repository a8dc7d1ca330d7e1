"""Shifted sums of blocks: the values of the paper's programs, and what comes of unequal answers."""

import itertools

import numpy as np
import pytest

from coded import ConvolutionalMatmulCode, MDSMatmulCode
from coded.algebra.linear_decoder import amplification, least_norm_decoder
from coded.products.multiply import multiply


def subsets(n, count):
    return itertools.combinations(range(n), count)


def worst_condition(code):
    return max(code.condition(who) for who in subsets(code.n_workers, code.min_responders))


@pytest.mark.parametrize(("cuts", "worst"), [(3, 4.3813), (10, 13.3441), (30, 38.8252)])
def test_ones_are_conditioned_the_worse_the_more_sub_blocks(cuts, worst):
    """Two blocks on four workers, 127.96 with 100 sub-blocks."""
    code = ConvolutionalMatmulCode(2, 1, 4, sub_blocks=(cuts, 1))
    assert worst_condition(code) == pytest.approx(worst, abs=1e-4)


def test_the_condition_of_the_authors_default_is_theirs():
    """Das, Ramamoorthy and Vaswani's programs without random coefficients.

    n = 6 workers, 2 stragglers, a third of A each: 9 sub-blocks, 21.70 at worst.
    """
    code = ConvolutionalMatmulCode(4, 1, 6, sub_blocks=(9, 1))
    assert worst_condition(code) == pytest.approx(21.70373, abs=1e-4)
    assert code.load == pytest.approx(1 / 3)


def test_the_condition_of_the_authors_product_is_theirs():
    """n = 8, k_A = 3, k_B = 2, 3/8 of A and 3/5 of B: 16 and 5 sub-blocks, 90.76 at worst."""
    code = ConvolutionalMatmulCode(3, 2, 8, sub_blocks=(16, 5))
    assert code.condition((0, 2, 4, 5, 6, 7)) == pytest.approx(90.75582, abs=1e-4)
    assert code.load == pytest.approx(3 / 8 * 3 / 5)


@pytest.mark.parametrize("rng", [0, 1, 2])
def test_random_coefficients_are_conditioned_within_the_unit_circle(rng):
    """Below the largest over the smallest singular value of the code's matrix on the circle."""
    few = ConvolutionalMatmulCode(2, 1, 4, sub_blocks=(3, 1), rng=rng)
    weights = few.encoding_matrices[0]
    circle = np.exp(2j * np.pi * np.arange(4096) / 4096)
    matrices = np.zeros((4, len(circle), 2), complex)
    for n, i, t in itertools.product(range(4), range(2), range(4)):
        matrices[n, :, i] += weights[n, t, 3 * i] * circle**t  # the first sub-block of block i
    for who in subsets(4, 2):
        sizes = np.linalg.svd(matrices[list(who)].swapaxes(0, 1))[1]
        bound = sizes.max() / sizes.min()
        conditions = [
            ConvolutionalMatmulCode(2, 1, 4, sub_blocks=(cuts, 1), rng=rng).condition(who)
            for cuts in (3, 10, 30)
        ]
        assert sorted(conditions) == pytest.approx(conditions)
        assert conditions[-1] <= bound * (1 + 1e-9)
        assert conditions[-1] >= 0.8 * bound  # it is approached


@pytest.mark.parametrize("rng", [None, 0])
@pytest.mark.parametrize(
    ("m", "n", "n_workers", "cuts"), [(3, 2, 8, (2, 3)), (2, 2, 6, (1, 4)), (1, 3, 5, (1, 2))]
)
def test_every_set_of_enough_answers_gives_the_product_of_both_coded(m, n, n_workers, cuts, rng):
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(13, 5)), draw.normal(size=(5, 17))
    code = ConvolutionalMatmulCode(m, n, n_workers, sub_blocks=cuts, rng=rng)
    job = code.prepare(a, b)
    answers = [
        job.read(i, job.function(i, multiply)(*payload))[1]
        for i, payload in enumerate(job.payloads)
    ]
    for count in (m * n, m * n + 1):
        for who in subsets(n_workers, count):
            product = job.decode([answers[i] for i in who], np.array(who))
            np.testing.assert_allclose(product, a @ b, atol=1e-13 * code.amplification(who) * 10)


def test_the_decoder_of_exactly_enough_answers_is_the_only_one():
    for rng in (None, 0):
        code = ConvolutionalMatmulCode(4, 1, 7, sub_blocks=(6, 1), rng=rng)
        for who in subsets(7, 4):
            rows = code.generator[list(who)].reshape(-1, 24)
            dense = amplification(least_norm_decoder(rows, np.eye(24)))
            assert code.amplification(who) <= 12 * dense
            np.testing.assert_allclose(code.decoder(who) @ rows, np.eye(24), atol=1e-10)


def test_workers_get_and_answer_no_more_than_their_sums(rng):
    code = ConvolutionalMatmulCode(3, 2, 9, sub_blocks=(4, 3))
    job = code.prepare(rng.normal(size=(24, 5)), rng.normal(size=(5, 18)))
    shapes = [tuple(share.shape for share in payload) for payload in job.payloads]
    assert shapes[:7] == [((4, 2, 5), (3, 5, 3))] * 7
    assert shapes[7:] == [((6, 2, 5), (4, 5, 3)), ((8, 2, 5), (5, 5, 3))]
    for n, payload in enumerate(job.payloads):
        answer = multiply(*payload)
        read = job.read(n, answer)[1]
        assert read.shape == (8, 5, 2, 3)
        np.testing.assert_array_equal(read[: answer.shape[0], : answer.shape[1]], answer)
        assert not read[answer.shape[0] :].any()
        with pytest.raises(ValueError, match="answer has shape"):
            job.read(n, np.zeros((7, 5, 2, 3)))


def test_verified_answers_are_products_of_one_block_by_many(rng):
    code = ConvolutionalMatmulCode(1, 3, 5, sub_blocks=(1, 2))
    job = code.prepare(rng.normal(size=(40, 300)), rng.normal(size=(300, 60)))
    job.verify()
    for n, payload in enumerate(job.payloads):
        answer = multiply(*payload)
        job.read(n, answer)
        answer[0, 1, 3, 4] += 0.01 * np.abs(answer).max()
        with pytest.raises(ValueError, match="checksums miss theirs by"):
            job.read(n, answer)


def test_plain_workers_answer_blocks_bit_for_bit(rng):
    code = ConvolutionalMatmulCode(2, 2, 6, sub_blocks=(2, 3))
    a, b = rng.normal(size=(8, 7)), rng.normal(size=(7, 12))
    job = code.prepare(a, b)
    np.testing.assert_array_equal(job.payloads[1][0].reshape(4, 7), a[:4])
    answers = [job.read(n, multiply(*job.payloads[n]))[1] for n in range(4)]
    product = job.decode(answers, np.arange(4))
    np.testing.assert_array_equal(product[:2, :2], answers[0][0, 0])
    assert code.amplification(range(4)) == 1.0


def test_one_worker_to_spare_gets_a_sum_as_long_as_a_block():
    """As a parity check: no shift, and sums of all blocks."""
    code = ConvolutionalMatmulCode(3, 1, 4, sub_blocks=(2, 1))
    assert code.load == MDSMatmulCode(3, 4).load
    found = [code.amplification(who) for who in subsets(4, 3)]
    assert found == pytest.approx([1.0, 3.0, 3.0, 3.0])


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        ({"sub_blocks": 3}, TypeError, "sub_blocks must be two integers"),
        ({"sub_blocks": (3, 0)}, ValueError, "sub_blocks\\[1\\] must be"),
        ({"sub_blocks": (900, 1)}, ValueError, "at most 8,388,608 numbers"),
        ({"rng": -1}, ValueError, "rng must be"),
        ({"n_workers": 3}, ValueError, "n_workers must be at least 2 x 2"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(change, kind, match):
    settings = {"m": 2, "n": 2, "n_workers": 6, "sub_blocks": (2, 2)} | change
    with pytest.raises(kind, match=match):
        ConvolutionalMatmulCode(**settings)


@pytest.mark.parametrize("rng", [None, 0])
@pytest.mark.parametrize(
    ("m", "n", "n_workers", "cuts"),
    [(2, 1, 5, (1, 1)), (2, 2, 8, (1, 1)), (2, 2, 8, (2, 2)), (3, 1, 7, (1, 1)), (1, 3, 6, (1, 1))],
)
def test_few_sub_blocks_leave_gaps_in_what_is_sent(m, n, n_workers, cuts, rng):
    """Sums shifted by more than a block's length have empty places between."""
    code = ConvolutionalMatmulCode(m, n, n_workers, sub_blocks=cuts, rng=rng)
    numbers = np.random.default_rng(1)
    a, b = numbers.normal(size=(12, 5)), numbers.normal(size=(5, 12))
    job = code.prepare(a, b)
    answers = [job.read(k, multiply(*payload))[1] for k, payload in enumerate(job.payloads)]
    for count in range(code.min_responders, n_workers + 1):
        for who in itertools.combinations(range(n_workers), count):
            if job.can_decode(np.array(who)):
                found = job.decode([answers[k] for k in who], np.array(who))
                np.testing.assert_allclose(found, a @ b, atol=1e-6)
