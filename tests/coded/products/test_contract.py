"""What every code for products must do; a new one joins by its line in the registry."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import InconsistentAnswersError, NotEnoughRespondersError
from coded.products.multiply import multiply
from coded.products.registry import MATMULS

CODES = MATMULS
every_code = pytest.mark.parametrize("name", CODES)
SMALL = (2, 2, 7)


def make(name, setting=SMALL):
    return CODES[name].make(*setting)


def operands(rng, dtype=np.float64, shape=(25, 5, 11)):
    r, s, c = shape
    return rng.normal(size=(r, s)).astype(dtype), rng.normal(size=(s, c)).astype(dtype)


def answers_of(job):
    return [job.function(n, multiply)(*payload) for n, payload in enumerate(job.payloads)]


def decode(job, answers, who):
    read = [job.read(n, answers[n])[1] for n in who]
    return job.decode(read, np.array(who))


def dense(left, right):
    """G by its definition, worker by worker."""
    return np.stack([np.kron(p, q) for p, q in zip(left, right, strict=True)])


@every_code
@pytest.mark.parametrize(("dtype", "limit"), [(np.float64, 1e-12), (np.float32, 1e-4)])
def test_every_set_of_enough_answers_gives_the_product(name, dtype, limit, rng):
    code = make(name)
    a, b = operands(rng, dtype)
    job = code.prepare(a, b)
    answers = answers_of(job)
    for count in range(code.min_responders, code.n_workers + 1):
        for who in itertools.combinations(range(code.n_workers), count):
            assert code.can_decode(who, dtype=dtype)
            product = decode(job, answers, who)
            assert (product.dtype, product.shape) == (dtype, (25, 11))
            error = np.abs(product - a.astype(float) @ b.astype(float)).max()
            assert error <= limit * max(1.0, code.amplification(who) / 10)


@every_code
def test_fewer_are_refused(name, rng):
    code = make(name)
    job = code.prepare(*operands(rng))
    answers = answers_of(job)
    for who in itertools.combinations(range(code.n_workers), code.min_responders - 1):
        if not code.can_decode(who):
            with pytest.raises(NotEnoughRespondersError, match="of 7 workers answered"):
                decode(job, answers, who)
    assert not code.can_decode([])


@every_code
def test_the_generator_is_the_product_of_the_encoders(name):
    code = make(name)
    np.testing.assert_allclose(code.generator, dense(*code.encoding_matrices), atol=1e-15)


@every_code
def test_amplification_is_what_errors_of_answers_grow_by(name, rng):
    code = make(name)
    job = code.prepare(*(np.ones_like(x) for x in operands(rng, shape=(24, 3, 8))))
    answers = answers_of(job)
    who = list(range(1, 1 + code.min_responders))
    exact = decode(job, answers, who)
    grown = 0.0
    for signs in itertools.product([-1.0, 1.0], repeat=min(len(who), 6)):
        signs = [*signs, *[1.0] * (len(who) - len(signs))]
        moved = {n: answers[n] + sign for n, sign in zip(who, signs, strict=True)}
        grown = max(grown, np.abs(decode(job, moved, who) - exact).max())
    assert grown <= code.amplification(who) * (1 + 1e-9)
    assert 1.0 <= code.condition(who) < np.inf
    assert code.condition(who[1:]) == np.inf or code.can_decode(who[1:])


@every_code
@given(shape=st.tuples(st.integers(24, 33), *[st.integers(4, 13)] * 2), seed=st.integers(0, 99))
def test_every_shape_is_filled_up_and_cropped(name, shape, seed):
    rng = np.random.default_rng(seed)
    code, (a, b) = make(name), operands(rng, shape=shape)
    job = code.prepare(a, b)
    who = np.sort(rng.permutation(code.n_workers)[: rng.integers(code.min_responders, 8)])
    np.testing.assert_allclose(decode(job, answers_of(job), who.tolist()), a @ b, atol=1e-11)


@every_code
def test_tensors_give_tensors(name, rng):
    code, (a, b) = make(name), operands(rng, np.float32)
    job = code.prepare(torch.from_numpy(a), torch.from_numpy(b))
    answers = answers_of(job)
    assert all(isinstance(one, torch.Tensor) for one in answers)
    product = decode(job, answers, range(2, 7))
    assert isinstance(product, torch.Tensor)
    np.testing.assert_allclose(product.numpy(), a @ b, atol=1e-4)


@every_code
@pytest.mark.parametrize("right", [False, True])
def test_a_placed_operand_is_not_sent_again(name, right, rng):
    code, (a, b) = make(name), operands(rng)
    placed = code.place(b if right else a, right=right)
    for factor in (1.0, 2.0):
        job = code.prepare(*((factor * a, placed) if right else (placed, factor * b)))
        assert all(len(payload) == 1 for payload in job.payloads)
        np.testing.assert_allclose(
            decode(job, answers_of(job), range(7)), factor * a @ b, atol=1e-11
        )


@every_code
def test_a_liar_is_seen(name, rng):
    """Left out where spare answers tell who it is, else the answers are refused."""
    code = make(name)
    job = code.prepare(*operands(rng))
    answers = [job.read(n, one)[1] for n, one in enumerate(answers_of(job))]
    everyone = np.arange(7)
    assert tuple(job.liars(answers, everyone)) == ()
    for liar in range(7):
        told = [one + (n == liar) * 1e-3 for n, one in enumerate(answers)]
        if code.generator.shape[1] == 1:
            assert tuple(job.liars(told, everyone)) == (liar,)
        else:
            with pytest.raises(InconsistentAnswersError, match="verify=True"):
                job.liars(told, everyone)


@every_code
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_verified_answers_are_products(name, dtype, rng):
    code, (a, b) = make(name), operands(rng, dtype, shape=(40, 300, 30))
    for scale in (1.0, 1e-12, 1e12):
        for left, right in (
            (a, b),
            (np.abs(a), np.abs(b)),
            (np.ones_like(a), 0.1 * np.ones_like(b)),
        ):
            job = code.prepare(dtype(scale) * left, right)
            job.verify()
            for n, answer in enumerate(answers_of(job)):
                job.read(n, answer)
                wrong = answer.copy()
                at = tuple(rng.integers(0, side) for side in answer.shape)
                wrong[at] += 0.01 * np.abs(answer).max()
                with pytest.raises(ValueError, match="checksums miss theirs by"):
                    job.read(n, wrong)


@every_code
def test_codes_pickle(name, rng):
    code = make(name)
    code.can_decode(range(7))
    same = pickle.loads(pickle.dumps(code))
    assert repr(same) == repr(code)
    assert same.can_decode(range(7))
    np.testing.assert_array_equal(same.generator, code.generator)
    a, b = operands(rng)
    job = same.prepare(a, b)
    np.testing.assert_allclose(decode(job, answers_of(job), range(7)), a @ b, atol=1e-11)


@every_code
@pytest.mark.parametrize("setting", [(2, 2, 2), (0, 2, 9)])
def test_settings_that_cannot_be_are_refused(name, setting):
    with pytest.raises(ValueError, match="must be"):
        make(name, setting)


@every_code
def test_operands_that_cannot_be_are_refused(name, rng):
    code, (a, b) = make(name), operands(rng)
    for wrong, match in [
        ((a, b.T), "columns and b"),
        ((a[None], b), "must be a matrix"),
        ((a[:1, :1], b[:1, :1]), "but the code cuts it"),
        ((a, b.astype(np.float32)), "convert one of them"),
        ((a, torch.from_numpy(b)), "pass both as arrays"),
        ((np.full_like(a, np.nan), b), "a must be finite"),
        ((a.astype(complex), b), "real numbers"),
        ((np.full((25, 5), 2**60 + 1), b), "beyond 2"),
        ((torch.from_numpy(a).requires_grad_(), torch.from_numpy(b)), "a requires grad"),
        ((code.place(a), code.place(b, right=True)), "both placed"),
        ((code.place(a, right=False), code.place(a)), "both placed"),
        ((make(name).place(a), b), "was placed as the left operand of"),
        ((code.place(a.T.copy(), right=True), b), "not as the left one"),
    ]:
        with pytest.raises((TypeError, ValueError), match=match):
            code.prepare(*wrong)


@every_code
def test_answers_that_cannot_be_are_refused(name, rng):
    job = make(name).prepare(*operands(rng))
    answer = answers_of(job)[0]
    for wrong in (answer[..., :-1], np.full_like(answer, np.nan), "text"):
        with pytest.raises((TypeError, ValueError)):
            job.read(0, wrong)


@every_code
def test_no_worker_may_be_spare(name, rng):
    code = make(name, (2, 2, 4))
    a, b = operands(rng)
    job = code.prepare(a, b)
    np.testing.assert_allclose(decode(job, answers_of(job), range(4)), a @ b, atol=1e-12)


@every_code
@pytest.mark.parametrize("right", [False, True])
def test_what_was_placed_stays_as_it_was(name, right, rng):
    """Also where blocks are views of a matrix that its owner changes later."""
    code = make(name)
    a, b = operands(rng, shape=(24, 5, 12))
    wanted, placed = a @ b, code.place(b if right else a, right=right)
    job = code.prepare(*((a, placed) if right else (placed, b)))
    (b if right else a).fill(7.0)
    np.testing.assert_allclose(decode(job, answers_of(job), range(1, 7)), wanted, atol=1e-11)


@every_code
def test_a_vector_is_no_left_operand(name, rng):
    with pytest.raises(ValueError, match="operand must be a matrix"):
        make(name).place(rng.normal(size=9))
