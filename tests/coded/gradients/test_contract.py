"""What every gradient code keeps, whichever it is: all of `GRADIENTS`, a new one by itself."""

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from coded import (
    Code,
    InconsistentAnswersError,
    Job,
    NotEnoughRespondersError,
    coded_gradient,
)
from coded.gradients.registry import GRADIENTS
from coded.schemes.exact import largest_amplification
from tests.support.worker_functions import WAIT

SMALL = [(1, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 1), (4, 3), (5, 2), (6, 1), (6, 2)]
MOST = 9  # workers, of which every set is tried; of more, some sets of each size
EPS = np.finfo(np.float64).eps


def served():
    """Give name and code wherever a code can serve the setting; it refuses by ValueError."""
    for name, variant in GRADIENTS.items():
        for setting in SMALL:
            try:
                code = variant.make(*setting)
            except ValueError:
                continue
            yield pytest.param(code, id=f"{name}-{setting[0]}-{setting[1]}")


SERVED = list(served())
everywhere = pytest.mark.parametrize("code", SERVED)


def survivors(code):
    """Every set of workers that may answer, at least one; of many workers 12 sets of each size."""
    rng = np.random.default_rng(code.n_workers)
    for count in range(1, code.n_workers + 1):
        if code.n_workers <= MOST:
            yield from itertools.combinations(range(code.n_workers), count)
            continue
        for _ in range(12):
            yield tuple(np.sort(rng.choice(code.n_workers, count, replace=False)).tolist())


def parts_of(code, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=(code.n_parts, *shape))


def answers_of(code, part, parameters=None):
    """What each worker answers, computed here."""
    job = code.prepare(parameters)
    return job, [job.function(n, part)(*job.payloads[n]) for n in range(code.n_workers)]


def decode(job, answers, responders):
    read = [job.read(n, answers[n])[1] for n in responders]
    return job.decode(read, np.array(responders))


def test_each_code_serves_some_settings_and_says_what_it_promises():
    names = {param.id.rsplit("-", 2)[0] for param in SERVED}
    assert names == set(GRADIENTS)
    assert all(len(variant.guarantee.split()) > 3 for variant in GRADIENTS.values())


@everywhere
def test_it_has_what_the_protocols_ask_for(code):
    def members(protocol):
        return {name for name in vars(protocol) if not name.startswith("_")}

    assert members(Code) <= set(dir(code))
    assert members(Job) <= set(dir(code.prepare(0.0)))
    assert len(code.prepare(0.0).payloads) == code.n_workers


@everywhere
def test_the_exact_sum_comes_from_every_set_that_can_decode_and_no_other(code):
    parts = parts_of(code, 3)
    whole, scale = parts.sum(axis=0), np.abs(parts).sum()
    job, answers = answers_of(code, lambda _, i: parts[i])
    n_exact = 0
    for responders in survivors(code):
        if not code.can_decode(responders):
            with pytest.raises(NotEnoughRespondersError, match="workers answered") as caught:
                code.decode_vector(responders)
            assert caught.value.responders == responders
            with pytest.raises(NotEnoughRespondersError):
                decode(job, answers, responders)
            continue
        total = decode(job, answers, responders)
        is_exact = bool(job.exact_mask(np.array(responders)))
        assert is_exact or not code.exact_first
        error = np.abs(total - whole).max()
        if is_exact:
            n_exact += 1
            assert error <= 100 * EPS * code.amplification(responders) * scale
        else:
            assert error > 1e-6 * scale
    assert n_exact > 0 or not code.optimal_decoding


@everywhere
def test_ones_are_in_the_span_of_the_rows_where_it_decodes_exactly(code):
    """The oracle is the rank, of B_F with and without a row of ones."""
    for responders in survivors(code):
        rows = code.encoding_matrix[list(responders)]
        with_ones = np.vstack([rows, np.ones(code.n_parts)])
        is_spanned = np.linalg.matrix_rank(with_ones) == np.linalg.matrix_rank(rows)
        assert is_spanned or not code.is_exact(responders)
        assert code.is_exact(responders) == is_spanned or not code.optimal_decoding
        if code.exact_first:
            assert code.can_decode(responders) == is_spanned


@everywhere
def test_any_so_many_answers_are_enough(code):
    sets = itertools.combinations(range(code.n_workers), code.min_responders)
    for responders in itertools.islice(sets, 500):
        assert code.can_decode(responders)
    assert not code.can_decode([])


@everywhere
def test_the_residual_is_the_squared_distance_to_ones_of_optimal_decoding_the_least(code):
    for responders in survivors(code):
        rows = code.encoding_matrix[list(responders)]
        weights = np.linalg.pinv(rows.T) @ np.ones(code.n_parts)
        if not code.optimal_decoding:
            assert code.residual(responders) >= np.sum((weights @ rows - 1.0) ** 2) - 1e-12
            weights = code.decode_vector(responders)
        assert code.residual(responders) == pytest.approx(
            np.sum((weights @ rows - 1.0) ** 2), abs=1e-12
        )
        if code.can_decode(responders):
            missed = code.decode_vector(responders) @ rows - 1.0
            assert np.sum(missed**2) == pytest.approx(code.residual(responders), abs=1e-12)
    assert code.residual([]) == code.n_parts


@everywhere
def test_weights_amplify_by_what_is_said(code):
    """With answers off by one rounding of the largest part for each part, at worst."""
    for responders in survivors(code):
        if code.can_decode(responders):
            vector, rows = code.decode_vector(responders), code.encoding_matrix[list(responders)]
            expected = (np.abs(vector[:, None]) * np.abs(rows)).sum() / code.n_parts
            assert code.amplification(responders) == pytest.approx(expected)
        else:
            assert code.amplification(responders) == np.inf


@everywhere
def test_the_assignment_is_where_the_matrix_is_not_zero(code):
    for parts, row in zip(code.assignment, code.encoding_matrix, strict=True):
        assert sorted(parts) == np.flatnonzero(row).tolist()
        assert len(parts) <= code.load
    assert {i for parts in code.assignment for i in parts} == set(range(code.n_parts))
    copies = np.bincount([i for parts in code.assignment for i in parts])
    if code.exact_first:
        assert copies.min() == code.n_stragglers + 1  # as few as can be
    assert not code.encoding_matrix.flags.writeable


@everywhere
def test_it_pickles_and_decodes_as_before(code):
    everyone = range(code.n_workers)
    code.can_decode(everyone)
    copy = pickle.loads(pickle.dumps(code))
    assert repr(copy) == repr(code)
    assert copy.assignment == code.assignment
    assert not copy.encoding_matrix.flags.writeable
    assert np.array_equal(copy.decode_vector(everyone), code.decode_vector(everyone))


@everywhere
def test_nests_come_back_as_they_are_given(code):
    arrays = parts_of(code, 4)

    def part(scale, i):
        return {"w": scale * arrays[i].reshape(2, 2), "b": (scale * arrays[i, 0], float(i))}

    job, answers = answers_of(code, part, 2.0)
    total = decode(job, answers, range(code.n_workers))
    assert list(total) == ["b", "w"]
    assert total["w"].shape == (2, 2)
    weights = code.decode_vector(range(code.n_workers)) @ code.encoding_matrix
    np.testing.assert_allclose(total["w"].ravel(), 2.0 * weights @ arrays, atol=1e-12)
    np.testing.assert_allclose(total["b"][0], 2.0 * weights @ arrays[:, 0], atol=1e-12)
    np.testing.assert_allclose(total["b"][1], weights @ np.arange(code.n_parts), atol=1e-12)


@everywhere
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_kind_and_dtype_are_those_of_the_answers(code, dtype, kind):
    arrays = parts_of(code, 3).astype(dtype)
    given = [torch.from_numpy(one) if kind == "torch" else one for one in arrays]
    job, answers = answers_of(code, lambda _, i: given[i])
    total = decode(job, answers, range(code.n_workers))
    assert isinstance(total, torch.Tensor if kind == "torch" else np.ndarray)
    assert str(total.dtype).endswith(np.dtype(dtype).name)
    weights = code.decode_vector(range(code.n_workers)) @ code.encoding_matrix
    scale = np.abs(arrays.astype(np.float64)).sum()
    tolerance = 8 * np.finfo(dtype).eps * scale * code.amplification(range(code.n_workers))
    np.testing.assert_allclose(
        np.asarray(total, np.float64), weights @ arrays.astype(np.float64), rtol=0, atol=tolerance
    )


@everywhere
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_honest_answers_are_never_called_wrong_not_even_at_an_optimum(code, dtype):
    """Where the parts sum to zero, and where a nest has arrays of several dtypes."""
    parts = parts_of(code, 30)
    for given in (parts, parts - parts.mean(0), np.exp(parts), 1e-3 * parts + 5.0):
        rounded = given.astype(dtype)
        for part in (lambda _, i: rounded[i], lambda _, i: (rounded[i], given[i])):  # noqa: B023
            job, answers = answers_of(code, part)
            read = [job.read(n, answer)[1] for n, answer in enumerate(answers)]
            for responders in itertools.islice(survivors(code), 0, None, 5):
                who = np.array(responders)
                assert job.liars([read[n] for n in responders], who) == ()


@everywhere
def test_one_wrong_answer_is_named_or_all_are_refused_where_answers_are_spare(code):
    """The oracle of who can be told is the rank without him, and without him and another."""
    parts = parts_of(code, 3)
    job, answers = answers_of(code, lambda _, i: parts[i])
    everyone, rows = np.arange(code.n_workers), code.encoding_matrix

    def rank_without(*workers):
        return np.linalg.matrix_rank(np.delete(rows, workers, axis=0))

    if rank_without() == 1 and (len(set(code.assignment)) > 1 or (rows != rows[0]).any()):
        return  # all is rounding where the sum is zero
    for liar in range(min(6, code.n_workers)):
        lies = [answer + 1.0 if n == liar else answer for n, answer in enumerate(answers)]
        read = [job.read(n, answer)[1] for n, answer in enumerate(lies)]
        is_seen = code.n_workers > 1 and rank_without(liar) == rank_without()
        others = [n for n in range(code.n_workers) if n != liar]
        is_told = is_seen and all(
            rank_without(liar, n) == rank_without(liar) or rank_without(n) < rank_without()
            for n in others
        )
        if is_seen and not is_told:
            with pytest.raises(InconsistentAnswersError) as caught:
                job.liars(read, everyone)
            assert not caught.value.suspects or liar in caught.value.suspects
        else:
            assert job.liars(read, everyone) == ((liar,) if is_seen else ())


@everywhere
def test_the_limit_depends_on_the_dtype(code):
    for responders in survivors(code):
        amplified = code.amplification(responders)
        for dtype in (np.float16, np.float32, np.float64):
            limit = largest_amplification(np.dtype(dtype))
            assert code.can_decode(responders, dtype=dtype) == (amplified <= limit)


@everywhere
def test_a_call_on_threads_gives_the_sum(code):
    arrays = parts_of(code, 3)
    with ThreadPoolExecutor(code.n_workers) as pool:
        result = coded_gradient(
            lambda w, i: w * arrays[i], np.array([1.0, 2.0, 0.5]), code, pool, timeout=WAIT
        )
    assert result.complete
    assert result.exact.shape == ()
    assert bool(result.exact) == code.is_exact(result.responders)
    if result.exact:
        np.testing.assert_allclose(result.outputs, arrays.sum(0) * [1.0, 2.0, 0.5], atol=1e-10)


@everywhere
@pytest.mark.parametrize("bad", [[0, 0], [-1], [1, 0], [[0]], [10_000], ["0"], [0.5]])
def test_what_are_no_responders_is_refused(code, bad):
    for ask in (code.can_decode, code.is_exact, code.decode_vector, code.residual):
        with pytest.raises((TypeError, ValueError), match="responders"):
            ask(bad)
