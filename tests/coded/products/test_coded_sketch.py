"""Sketches of products with few large blocks, from fewer answers than blocks."""

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from coded import CodedSketchMatmulCode, InconsistentAnswersError, coded_matmul
from coded.products.multiply import multiply

SMALL = {"m": 3, "n": 4, "n_workers": 17, "n_buckets": 3, "n_sketches": 3}


def answers_of(job):
    return [job.read(n, multiply(*payload))[1] for n, payload in enumerate(job.payloads)]


def estimate(c, code, m, n):
    """Pagh's sketch of C, block by block: buckets summed up, and looked up again."""
    bucket, sign = code._drawn
    blocks = [np.hsplit(rows, n) for rows in np.vsplit(c, m)]
    estimates = np.zeros((code.n_sketches, *c.shape))
    for t in range(code.n_sketches):
        sums = np.zeros((2 * code.n_buckets - 1, *blocks[0][0].shape))
        for i, j in itertools.product(range(m), range(n)):
            sums[bucket[t, i] + bucket[t, m + j]] += sign[t, i] * sign[t, m + j] * blocks[i][j]
        estimates[t] = np.block(
            [
                [
                    sign[t, i] * sign[t, m + j] * sums[bucket[t, i] + bucket[t, m + j]]
                    for j in range(n)
                ]
                for i in range(m)
            ]
        )
    return np.median(estimates, axis=0)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float64, 1e-11), (np.float32, 1e-3)])
def test_any_answers_give_the_median_of_the_sketches(dtype, limit, rng):
    code = CodedSketchMatmulCode(**SMALL)
    assert code.min_responders == 17  # groups of 6, 6 and 5
    more = CodedSketchMatmulCode(**(SMALL | {"n_workers": 18}))
    assert more.n_stragglers == 1
    a, b = rng.normal(size=(9, 7)).astype(dtype), rng.normal(size=(7, 8)).astype(dtype)
    job = more.prepare(a, b)
    answers, expected = answers_of(job), estimate(a.astype(float) @ b, more, 3, 4)
    for lost in range(18):
        who = np.delete(np.arange(18), lost)
        found = job.decode([answers[n] for n in who], who)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, atol=limit)
    assert np.abs(expected - a @ b).max() > 0.1  # an estimate


def test_few_large_blocks_are_found_by_fewer_answers_than_blocks(rng):
    """One block of 36 is not 0: 27 workers give it, and mostly 0 elsewhere."""
    a, b = np.zeros((12, 5)), np.zeros((5, 12))
    a[4:6], b[:, 8:10] = rng.normal(size=(2, 5)), rng.normal(size=(5, 2))
    right = 0
    for seed in range(10):
        code = CodedSketchMatmulCode(6, 6, 27, n_buckets=3, n_sketches=5, rng=seed)
        assert code.n_workers < 36
        job = code.prepare(a, b)
        found = job.decode(answers_of(job), np.arange(27))
        np.testing.assert_allclose(found[4:6, 8:10], (a @ b)[4:6, 8:10], atol=1e-12)
        right += np.isclose(found, a @ b, atol=1e-12).mean() / 10
    assert right > 0.85


def test_the_error_falls_with_the_sketches(rng):
    c = rng.normal(size=(6, 6)) * (rng.random((6, 6)) < 0.1) * 10
    c += 0.01 * rng.normal(size=(6, 6))
    errors = []
    for d in (1, 9):
        found = []
        for seed in range(20):
            code = CodedSketchMatmulCode(6, 6, 9 * d, n_buckets=5, n_sketches=d, rng=seed)
            job = code.prepare(c, np.eye(6))
            found.append(np.abs(job.decode(answers_of(job), np.arange(9 * d)) - c).mean())
        errors.append(np.mean(found))
    assert errors[1] < 0.6 * errors[0]


def test_results_are_not_called_exact_and_tensors_stay_tensors(rng):
    code = CodedSketchMatmulCode(**(SMALL | {"n_workers": 18}))
    a, b = (torch.from_numpy(rng.normal(size=shape)) for shape in ((9, 7), (7, 8)))
    with ThreadPoolExecutor(4) as pool:
        for options in ({}, {"recompute_lost": True}, {"verify": True, "wait_for": 18}):
            result = coded_matmul(code.place(a), b, code, pool, **options)
            assert isinstance(result.outputs, torch.Tensor)
            assert not result.exact.any()
            expected = estimate(a.numpy() @ b.numpy(), code, 3, 4)
            np.testing.assert_allclose(result.outputs.numpy(), expected, atol=1e-11)


def test_a_liar_is_seen(rng):
    code = CodedSketchMatmulCode(**(SMALL | {"n_workers": 21}))
    job = code.prepare(rng.normal(size=(9, 7)), rng.normal(size=(7, 8)))
    answers = answers_of(job)
    assert tuple(job.liars(answers, np.arange(21))) == ()
    for liar in range(0, 21, 4):
        told = [one + (n == liar) * 1e-3 for n, one in enumerate(answers)]
        assert tuple(job.liars(told, np.arange(21))) == (liar,)
    wrong = [one + (n < 9) * rng.normal(size=one.shape) for n, one in enumerate(answers)]
    with pytest.raises(InconsistentAnswersError, match="contradict each other"):
        job.liars(wrong, np.arange(21))


def test_codes_pickle_and_tell_what_they_are():
    code = CodedSketchMatmulCode(**SMALL, rng=2)
    assert repr(code) == "CodedSketchMatmulCode(3, 4, 17, n_buckets=3, n_sketches=3, rng=2)"
    same = pickle.loads(pickle.dumps(code))
    assert repr(same) == repr(code)
    np.testing.assert_array_equal(same.generator, code.generator)
    assert code.load == pytest.approx(1 / 12)
    assert not code.can_decode(range(6))


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        ({"m": 0}, ValueError, "m must be"),
        ({"n_buckets": 0}, ValueError, "n_buckets must be"),
        ({"n_sketches": 1.5}, TypeError, "n_sketches must be"),
        ({"n_workers": 14}, ValueError, "n_sketches \\(2 n_buckets - 1\\) = 15"),
        ({"rng": -1}, ValueError, "rng must be"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(change, kind, match):
    with pytest.raises(kind, match=match):
        CodedSketchMatmulCode(**(SMALL | change))
