"""Products of integers modulo a prime, against Python's integers."""

import itertools
import os
import pickle
import signal
from concurrent.futures import ThreadPoolExecutor

import galois
import numpy as np
import pytest
import torch

from coded import (
    FieldMatmulCode,
    InconsistentAnswersError,
    LocalWorkers,
    NotEnoughRespondersError,
    coded_matmul,
)
from coded.algebra.prime_field import LARGEST_PRIME
from coded.products.multiply import multiply
from tests.support.worker_functions import WAIT

PRIMES = (97, 10007, 2**26 - 5, LARGEST_PRIME)
# Yu, Maddah-Ali and Avestimehr, theorem 1: p m n + p - 1.
THRESHOLDS = {(1, 2, 2): 4, (2, 2, 1): 5, (2, 2, 2): 9, (4, 1, 1): 7, (1, 4, 2): 8, (2, 1, 2): 5}


def subsets(n, count):
    return itertools.combinations(range(n), count)


def exactly(a, b, prime):
    """Multiply Python's integers, and bring them to [-(p - 1) / 2, (p - 1) / 2]."""
    half = prime // 2
    return (a.astype(object) @ b.astype(object) + half) % prime - half


def operands(rng, prime, shape=(9, 6, 7)):
    r, s, c = shape
    return rng.integers(1 - prime, prime, (r, s)), rng.integers(1 - prime, prime, (s, c))


def answers_of(job):
    return [job.function(n, multiply)(*payload) for n, payload in enumerate(job.payloads)]


def decode(job, answers, who):
    return job.decode([job.read(n, answers[n])[1] for n in who], np.array(who))


@pytest.mark.parametrize("prime", PRIMES)
@pytest.mark.parametrize("grid", THRESHOLDS, ids=str)
def test_any_answers_of_the_threshold_give_every_integer(grid, prime, rng):
    p, m, n = grid
    needed = THRESHOLDS[grid]
    code = FieldMatmulCode(m, n, needed + 2, p=p, prime=prime)
    assert code.min_responders == needed
    a, b = operands(rng, prime)
    job = code.prepare(a, b)
    answers, expected = answers_of(job), exactly(a, b, prime)
    for who in subsets(needed + 2, needed):
        found = decode(job, answers, who)
        assert found.dtype == np.int64
        assert (found == expected).all()
    for who in subsets(needed + 2, needed - 1):
        with pytest.raises(NotEnoughRespondersError, match=f"needs any {needed} answers"):
            decode(job, answers, who)
    assert (decode(job, answers, range(needed + 2)) == expected).all()


@pytest.mark.parametrize("grid", THRESHOLDS, ids=str)
def test_no_fewer_answers_determine_the_product(grid):
    """The wanted coefficients lie outside the span of any R - 1 answers, by another program."""
    p, m, n = grid
    needed, prime = THRESHOLDS[grid], 10007
    code = FieldMatmulCode(m, n, needed + 2, p=p, prime=prime)
    field = galois.GF(prime)
    rows = field(code.generator[:, 0])
    wanted = np.einsum("ix,jy,lk->ijxlky", np.eye(m), np.eye(n), np.eye(p)).reshape(m * n, -1)
    for who in subsets(needed + 2, needed - 1):
        few = rows[list(who)]
        both = np.vstack([few, field(wanted.astype(int))])
        assert np.linalg.matrix_rank(both) > np.linalg.matrix_rank(few)
    enough = rows[:needed]
    both = np.vstack([enough, field(wanted.astype(int))])
    assert np.linalg.matrix_rank(both) == np.linalg.matrix_rank(enough)


def test_the_known_product_is_given_by_any_four_of_five():
    a = np.arange(1, 17).reshape(4, 4)
    b = np.array([[1, 0, 2, 1], [0, 1, 1, 3], [2, 1, 0, 1], [1, 1, 1, 0]])
    expected = [[32, 27, 20, 25], [36, 30, 24, 30], [40, 33, 28, 35], [44, 36, 32, 40]]
    job = FieldMatmulCode(2, 2, 5, prime=97).prepare(a.T.copy(), b)
    answers = answers_of(job)
    for who in subsets(5, 4):
        assert decode(job, answers, who).tolist() == expected


def test_products_that_fit_are_those_of_the_integers(rng):
    a, b = rng.integers(-5000, 5001, (20, 30)), rng.integers(-1400, 1401, (30, 25))
    code = FieldMatmulCode(3, 3, 12)
    assert code.headroom >= 30 * 5000 * 1400
    job = code.prepare(a, b)
    answers = answers_of(job)
    assert np.array_equal(decode(job, answers, (0, 1, 3, 4, 6, 7, 9, 10, 11)), a @ b)


def test_workers_multiply_modulo_the_prime_where_int64_would_overflow():
    a, b = (np.full((4, 400), LARGEST_PRIME - 1), np.full((400, 4), LARGEST_PRIME - 2))
    assert not np.array_equal((a @ b) % LARGEST_PRIME, exactly(a, b, LARGEST_PRIME) % LARGEST_PRIME)
    job = FieldMatmulCode(2, 2, 6).prepare(a, b)
    assert (decode(job, answers_of(job), (1, 2, 4, 5)) == exactly(a, b, LARGEST_PRIME)).all()


def test_tensors_give_tensors_and_vectors_vectors(rng):
    code = FieldMatmulCode(2, 1, 4, p=1)
    a, b = operands(rng, LARGEST_PRIME)
    job = code.prepare(torch.from_numpy(a), torch.from_numpy(b))
    product = decode(job, answers_of(job), (1, 3))
    assert isinstance(product, torch.Tensor)
    assert (product.numpy() == exactly(a, b, LARGEST_PRIME)).all()
    job = code.prepare(a, b[:, 0])
    assert (decode(job, answers_of(job), (0, 2)) == exactly(a, b[:, :1], LARGEST_PRIME)[:, 0]).all()
    assert (code.whole(multiply, a, b[:, 0]) == exactly(a, b[:, :1], LARGEST_PRIME)[:, 0]).all()
    assert (code.whole(multiply, a, b) == exactly(a, b, LARGEST_PRIME)).all()


@pytest.mark.parametrize("right", [False, True])
def test_a_placed_operand_is_not_sent_again_and_stays_as_it_was(right, rng):
    code, (a, b) = FieldMatmulCode(2, 2, 6), operands(rng, LARGEST_PRIME)
    expected, placed = exactly(a, b, LARGEST_PRIME), code.place(b if right else a, right=right)
    job = code.prepare(*((a, placed) if right else (placed, b)))
    assert all(len(payload) == 1 for payload in job.payloads)
    (b if right else a).fill(7)
    assert (decode(job, answers_of(job), (0, 2, 3, 5)) == expected).all()


@pytest.mark.parametrize("prime", [97, LARGEST_PRIME])
def test_all_pairs_of_liars_are_told_by_four_spare_answers(prime, rng):
    code = FieldMatmulCode(2, 2, 8, prime=prime)
    job = code.prepare(*operands(rng, prime))
    answers = [job.read(n, one)[1] for n, one in enumerate(answers_of(job))]
    everyone = np.arange(8)
    assert tuple(job.liars(answers, everyone)) == ()
    for liars in subsets(8, 2):
        told = [(one + (n in liars) * (n + 1)) % prime for n, one in enumerate(answers)]
        assert tuple(job.liars(told, everyone)) == liars
    told = [
        (one + (n < 3) * rng.integers(1, prime, one.shape)) % prime for n, one in enumerate(answers)
    ]
    with pytest.raises(InconsistentAnswersError, match="more of them than 2 are wrong"):
        job.liars(told, everyone)


@pytest.mark.parametrize("prime", [3, 97, LARGEST_PRIME])
def test_verified_answers_are_products(prime, rng):
    code = FieldMatmulCode(1, 2, 3, prime=prime)
    job = code.prepare(*operands(rng, prime))
    job.verify()
    for n, answer in enumerate(answers_of(job)):
        assert answer.dtype == np.int32
        job.read(n, answer)
        answer = answer.astype(np.int64)
        job.read(n, answer - prime)  # congruent
        for _ in range(20):
            wrong = answer.copy()
            wrong[tuple(rng.integers(0, side) for side in answer.shape)] += rng.integers(1, prime)
            with pytest.raises(ValueError, match="checksums are not theirs"):
                job.read(n, wrong)


def test_lies_that_cancel_in_the_sums_of_rows_and_columns_are_found(rng):
    job = FieldMatmulCode(2, 2, 4).prepare(*operands(rng, LARGEST_PRIME))
    job.verify()
    wrong = answers_of(job)[1]
    wrong[:2, :2] += np.array([[1, -1], [-1, 1]])
    with pytest.raises(ValueError, match="checksums are not theirs"):
        job.read(1, wrong)


def test_answers_may_be_any_integers_congruent_to_the_product(rng):
    code, (a, b) = FieldMatmulCode(2, 2, 5, prime=10007), operands(rng, 10007)
    job = code.prepare(a, b)
    answers = [one + 10007 * rng.integers(-(10**12), 10**12, one.shape) for one in answers_of(job)]
    assert (decode(job, answers, (0, 1, 3, 4)) == exactly(a, b, 10007)).all()
    read = [job.read(n, one)[1] for n, one in enumerate(answers)]
    assert tuple(job.liars(read, np.arange(5))) == ()


def test_a_liar_is_left_out_and_lost_answers_are_computed_here(rng):
    code, (a, b) = FieldMatmulCode(2, 2, 6), operands(rng, LARGEST_PRIME)
    expected = exactly(a, b, LARGEST_PRIME)

    class Lying(ThreadPoolExecutor):
        asked = -1

        def submit(self, fn, /, *arguments):
            self.asked += 1
            if self.asked in lost:
                return super().submit(os.stat, "/nowhere")
            if self.asked == 2:
                return super().submit(lambda: fn(*arguments) + 1)
            return super().submit(fn, *arguments)

    for lost, options in (
        ((), {"wait_for": 6}),
        ((0,), {"verify": True}),
        ((0, 1, 4), {"verify": True, "recompute_lost": True}),
        (range(6), {"recompute_lost": True}),
    ):
        with Lying() as pool:
            result = coded_matmul(a, b, code, pool, **options)
        assert (result.outputs == expected).all()
        assert bool(result.exact)
        assert set(result.failures) >= {2} - set(lost)


@pytest.mark.outer
def test_a_killed_worker_comes_back_with_its_blocks(rng):
    code, (a, b) = FieldMatmulCode(2, 2, 6), operands(rng, LARGEST_PRIME)
    with LocalWorkers(6) as workers:
        workers.wait()
        placed = code.place(a)
        for _ in range(2):
            os.kill(workers.executors[1].submit(os.getpid).result(WAIT), signal.SIGKILL)
            result = coded_matmul(placed, b, code, workers.executors, timeout=WAIT)
            assert (result.outputs == exactly(a, b, LARGEST_PRIME)).all()
        workers.wait()
        everyone = coded_matmul(placed, b, code, workers.executors, wait_for=6, timeout=WAIT)
        assert everyone.complete


def test_codes_pickle_and_tell_what_they_are():
    code = FieldMatmulCode(2, 3, 20, p=2, prime=97)
    assert repr(pickle.loads(pickle.dumps(code))) == repr(code)
    assert repr(code) == "FieldMatmulCode(2, 3, 20, p=2, prime=97)"
    assert repr(FieldMatmulCode(2, 3, 20)) == "FieldMatmulCode(2, 3, 20)"
    assert code.amplification(range(13)) == code.condition(range(13)) == 1.0
    assert code.amplification(range(12)) == np.inf
    assert code.load == pytest.approx(1 / 12)


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        ({"m": 0}, ValueError, "m must be"),
        ({"p": 1.0}, TypeError, "p must be"),
        ({"n_workers": 3}, ValueError, "p m n \\+ p - 1 = 4"),
        ({"prime": 91}, ValueError, "prime must be a prime number"),
        ({"prime": 5}, ValueError, "prime must be at least 7"),
        ({"prime": 2**31 + 11}, ValueError, "prime must be at most"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(change, kind, match):
    settings = {"m": 2, "n": 2, "n_workers": 7} | change
    with pytest.raises(kind, match=match):
        FieldMatmulCode(**settings)


def test_operands_and_answers_that_cannot_be_are_refused(rng):
    code, (a, b) = FieldMatmulCode(2, 2, 6, prime=97), operands(rng, 97)
    for wrong, kind, match in [
        ((a.astype(float), b), TypeError, "a must hold integers.*; KhatriRaoMatmulCode codes"),
        ((a, b.astype(object)), TypeError, "b must hold integers"),
        ((a + 97, b), ValueError, "a must hold integers in \\(-97, 97\\)"),
        ((a, b - 97), ValueError, "b must hold integers in"),
        ((a, b[:-1]), ValueError, "columns and b"),
        ((a[:1], b), ValueError, "a has 1 rows"),
        ((code.place(a), code.place(b, right=True)), ValueError, "both placed"),
    ]:
        with pytest.raises(kind, match=match):
            code.prepare(*wrong)
    job = code.prepare(a, b)
    answer = answers_of(job)[0]
    for wrong, kind, match in [
        (answer[:-1], ValueError, "answer has shape"),
        (answer.astype(float), TypeError, "dtype float64; let workers run the function"),
        ("text", TypeError, "answer"),
    ]:
        with pytest.raises(kind, match=match):
            job.read(0, wrong)
