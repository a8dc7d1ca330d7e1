"""What every code for secure products must do; a new one joins by its line in the registry."""

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import InconsistentAnswersError, NotEnoughRespondersError, secure_matmul
from coded.algebra.prime_field import LARGEST_PRIME
from coded.products.multiply import multiply_residues
from coded.secure.registry import SECURE_MATMULS

CODES = {name: one for name, one in SECURE_MATMULS.items() if one.numbers == "integer"}
every_code = pytest.mark.parametrize("name", CODES)
SETTINGS = [(10, 2, 1), (11, 1, 2), (9, 0, 3)]


def make(name, setting=(10, 2, 1), **options):
    return CODES[name].make(*setting, **options)


def operands(code, rng, shape=(9, 13, 8), largest=1000):
    """Two matrices, or as many as a batch holds."""
    r, s, c = shape
    batch = (code.n_products,) if hasattr(code, "n_products") else ()
    low, high = -largest, largest + 1
    return rng.integers(low, high, (*batch, r, s)), rng.integers(low, high, (*batch, s, c))


def answers_of(code, job):
    fn = partial(multiply_residues, prime=code.prime)
    return [job.function(n, fn)(*payload) for n, payload in enumerate(job.payloads)]


def decode(job, answers, who):
    return job.decode([job.read(n, answers[n])[1] for n in who], np.array(who))


def exact(a, b):
    """The product in Python's integers."""
    return np.matmul(a.astype(object), b.astype(object))


@every_code
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_every_set_of_enough_answers_gives_the_product(name, setting, rng):
    code = make(name, setting)
    a, b = operands(code, rng)
    job = code.prepare(a, b)
    answers = answers_of(code, job)
    for count in range(code.min_responders, code.n_workers + 1):
        for who in itertools.combinations(range(code.n_workers), count):
            assert code.can_decode(who)
            product = decode(job, answers, who)
            assert product.dtype == np.int64
            assert np.array_equal(product, exact(a, b))
    assert code.amplification(range(code.n_workers)) == 1.0


@every_code
@pytest.mark.parametrize("prime", [LARGEST_PRIME, 1009, 61, 31])
def test_products_of_residues_are_right_modulo_the_prime(name, prime, rng):
    setting = (10, 2, 1)
    if name == "secure-dft":
        prime = {LARGEST_PRIME: None, 1009: 1021}.get(prime, prime)  # 1 modulo 10
    code = make(name, setting, prime=prime, modular=True)
    a, b = operands(code, rng, largest=code.headroom)
    job = code.prepare(a, b)
    answers = answers_of(code, job)
    for who in itertools.combinations(range(10), code.min_responders):
        if prime == LARGEST_PRIME or code.can_decode(who):
            product = decode(job, answers, who)
            assert np.abs(product).max() <= code.headroom
            assert not np.any((product - exact(a, b)) % code.prime)
    assert code.can_decode(range(10))


@every_code
def test_fewer_are_refused(name, rng):
    code = make(name)
    job = code.prepare(*operands(code, rng))
    answers = answers_of(code, job)
    for who in itertools.combinations(range(code.n_workers), code.min_responders - 1):
        assert not code.can_decode(who)
        assert code.amplification(who) == np.inf
    with pytest.raises(NotEnoughRespondersError, match=f"any {code.min_responders} answers"):
        decode(job, answers, range(code.min_responders - 1))
    assert not code.can_decode([])


@every_code
def test_shares_are_blocks_and_masks_by_the_encoders(name, rng):
    """The masks are the generator's numbers, those of A first: what enumeration rests on."""
    code = make(name, (11, 1, 2), rng=5)
    left, right = code.encoding_matrices
    blocks = [rng.integers(-99, 99, (one.shape[1] - 2, 3, 3)) for one in (left, right)]
    numbers = np.random.default_rng(5)
    for encoder, block, shares in zip((left, right), blocks, code.encode(*blocks), strict=True):
        masks = numbers.integers(0, code.prime, (2, 3, 3))
        sources = np.concatenate((block, masks)).astype(object)
        wanted = np.tensordot(encoder.astype(object), sources, 1) % code.prime
        assert np.array_equal(shares % code.prime, wanted)
        assert np.abs(shares).max() <= code.headroom


HIDING = {  # N, S, T and a prime so small that all masks can be counted
    "gasp": [(5, 0, 1, 7), (5, 0, 2, 7)],
    "secure-matdot": [(5, 0, 1, 7), (5, 0, 2, 7)],
    "secure-dft": [(4, 0, 1, 5), (5, 0, 2, 11)],
    "cross-subspace": [(5, 0, 1, 11), (5, 0, 2, 7)],
}


@pytest.mark.parametrize(
    ("name", "setting"), [(name, one) for name, some in HIDING.items() for one in some]
)
def test_what_colluders_see_is_uniform_whatever_the_blocks_are(name, setting, rng):
    """All masks are counted: each view of each T workers comes from exactly one."""
    *sizes, prime = setting
    code = make(name, sizes, prime=prime, modular=True)
    t = code.n_colluders
    left, right = code.encoding_matrices
    masks = np.array(list(itertools.product(range(prime), repeat=2 * t)))
    n_left, n_right = left.shape[1] - t, right.shape[1] - t
    every = list(itertools.product(range(prime), repeat=n_left + n_right))
    if len(every) * len(masks) > 10**6:
        every = [every[i] for i in rng.integers(0, len(every), 20)]
    for blocks in np.array(every):
        seen_left = left[:, :n_left] @ blocks[:n_left] + masks[:, :t] @ left[:, n_left:].T
        seen_right = right[:, :n_right] @ blocks[n_left:] + masks[:, t:] @ right[:, n_right:].T
        for colluders in itertools.combinations(range(code.n_workers), t):
            who = list(colluders)
            views = np.column_stack((seen_left[:, who], seen_right[:, who])) % prime
            numbers = views @ prime ** np.arange(2 * t)
            assert np.array_equal(np.bincount(numbers), np.ones(len(masks)))


def test_every_code_is_enumerated():
    assert set(HIDING) == set(CODES)


@every_code
def test_more_colluders_than_that_do_see_something(name):
    """The masks of T + 1 workers are dependent: a combination of their shares is free of them."""
    code = make(name, (10, 2, 1), prime=31, modular=True)
    _, right = code.encoding_matrices
    combination = np.array([right[1, -1], -right[0, -1]])
    seen = combination @ right[:2] % 31
    assert seen[-1] == 0
    assert seen[:-1].any()


@every_code
def test_masks_are_drawn_anew_and_are_uniform(name):
    code = make(name, prime=31, modular=True)
    left, right = code.encoding_matrices
    nothing = [np.zeros((one.shape[1] - 1, 100, 100), np.int64) for one in (left, right)]
    first, second = code.encode(*nothing), code.encode(*nothing)
    for shares in (*first, *second):
        counts = np.bincount(shares[0].ravel() + code.headroom, minlength=31)
        assert np.abs(counts - 10_000 / 31).max() < 6 * np.sqrt(10_000 / 31)
    assert not np.array_equal(first[0], second[0])
    of_masks = [encoder[0, -1] for encoder in (left, right)]
    masks = [
        one[0] * pow(int(factor), -1, 31) % 31 for one, factor in zip(first, of_masks, strict=True)
    ]
    assert not np.array_equal(*masks)  # A's masks and B's
    fixed = make(name, prime=31, modular=True, rng=np.random.default_rng(3))
    for one, other in zip(fixed.encode(*nothing), fixed.encode(*nothing), strict=True):
        assert np.array_equal(one, other)


@every_code
@given(shape=st.tuples(*[st.integers(9, 21)] * 3), seed=st.integers(0, 99))
def test_every_shape_is_filled_up_and_cropped(name, shape, seed):
    rng = np.random.default_rng(seed)
    code = make(name)
    a, b = operands(code, rng, shape)
    job = code.prepare(a, b)
    who = np.sort(rng.permutation(10)[: rng.integers(code.min_responders, 11)])
    assert np.array_equal(decode(job, answers_of(code, job), who.tolist()), exact(a, b))


@every_code
@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, bool])
def test_all_integers_will_do(name, dtype, rng):
    code = make(name)
    a, b = operands(code, rng, largest=99)
    a, b = np.abs(a).astype(dtype), np.abs(b).astype(dtype)
    job = code.prepare(a, b)
    product = decode(job, answers_of(code, job), range(10))
    assert np.array_equal(product, exact(a.astype(int), b.astype(int)))


@every_code
def test_tensors_give_tensors(name, rng):
    code = make(name)
    a, b = operands(code, rng)
    with ThreadPoolExecutor() as pool:
        result = secure_matmul(torch.from_numpy(a), torch.from_numpy(b), code, pool)
    assert isinstance(result.outputs, torch.Tensor)
    assert result.outputs.dtype == torch.int64
    assert np.array_equal(result.outputs.numpy(), exact(a, b))
    job = code.prepare(torch.from_numpy(a), torch.from_numpy(b))
    assert all(isinstance(one, torch.Tensor) for payload in job.payloads for one in payload)
    assert {one.dtype for one in answers_of(code, job)} == {torch.int32}


@every_code
@pytest.mark.parametrize("prime", [None, 31])
def test_a_verified_liar_is_left_out(name, prime, rng):
    code = make(name, prime=prime, modular=True) if prime else make(name)
    job = code.prepare(*operands(code, rng, largest=min(code.headroom, 1000)))
    answers = answers_of(code, job)
    for n, answer in enumerate(answers):
        job.read(n, answer + 1)  # as long as nobody asks
    job.verify()
    for n, answer in enumerate(answers):
        job.read(n, answer)
        for place in np.ndindex(answer.shape):  # one random vector would miss 1 of 31
            wrong = answer.copy()
            wrong[place] += 1
            with pytest.raises(ValueError, match="answer is not the product of the worker's"):
                job.read(n, wrong)


@every_code
def test_spare_answers_show_who_lies(name, rng):
    """One of two spare answers shows a lie, both show whose it is, and four show two liars'."""
    for n_spare in (1, 2, 4):
        code = make(name, (12, n_spare, 1))
        if not code.n_stragglers:
            continue
        job = code.prepare(*operands(code, rng))
        answers = [job.read(n, one)[1] for n, one in enumerate(answers_of(code, job))]
        who = np.arange(code.min_responders + n_spare)
        assert tuple(job.liars([answers[n] for n in who], who)) == ()
        for liars in itertools.combinations(range(len(who)), max(n_spare // 2, 1)):
            told = [answers[n] + (n in liars) * (n + 1) for n in who]
            if n_spare == 1:
                with pytest.raises(InconsistentAnswersError, match="pass verify=True"):
                    job.liars(told, who)
            else:
                assert tuple(job.liars(told, who)) == liars


@every_code
def test_answers_that_cannot_be_are_refused(name, rng):
    code = make(name)
    job = code.prepare(*operands(code, rng))
    answer = answers_of(code, job)[0]
    for wrong in (answer[:-1], answer.astype(float), "text"):
        with pytest.raises((TypeError, ValueError), match="answer"):
            job.read(0, wrong)


@every_code
def test_codes_pickle(name, rng):
    code = make(name)
    code.can_decode(range(10))
    same = pickle.loads(pickle.dumps(code))
    assert repr(same) == repr(code)
    a, b = operands(code, rng)
    job = same.prepare(a, b)
    assert np.array_equal(decode(job, answers_of(code, job), range(10)), exact(a, b))


@every_code
def test_operands_that_cannot_be_are_refused(name, rng):
    code = make(name)
    a, b = operands(code, rng)
    large = np.full_like(a, 2**20)
    for wrong, match in [
        ((a, b[..., :-1, :]), "as many columns of a as rows of b"),
        ((a[None], b), "a must be a"),
        ((a.astype(float), b), "a must hold integers.*; AnalogMatmulCode codes real"),
        ((a, torch.from_numpy(b)), "pass both as arrays"),
        ((a, b + code.prime), "b must lie in"),
        ((large, np.full_like(b, 2**10)), "pass modular=True"),
        ((a[..., :0], b[..., :0, :]), "not empty"),
    ]:
        with pytest.raises((TypeError, ValueError), match=match):
            code.prepare(*wrong)


@every_code
def test_settings_that_cannot_be_are_refused(name):
    for setting, options, kind, match in [
        ((2, 0, 1), {}, ValueError, "must be"),
        ((10, 0, 0), {}, ValueError, "n_colluders must be >= 1"),
        ((10, 0, 1), {"prime": 7}, ValueError, "prime must be at least"),
        ((10, 0, 1), {"prime": 33}, ValueError, "prime must be a prime"),
        ((10, 0, 1), {"modular": 1}, TypeError, "modular must be"),
        ((10, 0, 1), {"rng": "no"}, TypeError, "rng"),
    ]:
        with pytest.raises(kind, match=match):
            make(name, setting, **options)


@every_code
def test_the_whole_product_is_the_product(name, rng):
    code = make(name)
    a, b = operands(code, rng)
    whole = code.whole(partial(multiply_residues, prime=code.prime), a, b)
    assert np.array_equal(whole, exact(a, b))
