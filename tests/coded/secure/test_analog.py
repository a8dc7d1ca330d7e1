"""Products of reals behind Gaussian masks: what is right of them, and what is seen."""

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from coded import (
    AnalogMatmulCode,
    InconsistentAnswersError,
    LocalWorkers,
    NotEnoughRespondersError,
    secure_matmul,
)
from tests.support.worker_functions import Dying


def answers_of(code, job):
    return [job.read(n, code.function(*payload))[1] for n, payload in enumerate(job.payloads)]


@pytest.fixture
def operands(rng):
    return rng.normal(size=(7, 13)), rng.normal(size=(13, 5))


@pytest.mark.parametrize(
    "setting", [(1, 5, 1), (2, 7, 1), (3, 9, 1), (2, 9, 2), (1, 7, 3)], ids=str
)
def test_every_set_of_enough_answers_gives_the_product(setting, operands):
    p, n_workers, n_colluders = setting
    code = AnalogMatmulCode(p, n_workers, n_colluders=n_colluders, mask_std=10.0)
    a, b = operands
    job = code.prepare(a, b)
    answers = answers_of(code, job)
    largest = max(np.abs(one).max() for one in answers)
    needed = 2 * (p + n_colluders) - 1
    assert code.min_responders == needed
    for count in range(needed, n_workers + 1):
        for who in itertools.combinations(range(n_workers), count):
            product = job.decode([answers[n] for n in who], np.array(who))
            rounding = 50 * np.finfo(float).eps * code.amplification(who) * largest
            assert np.abs(product - a @ b).max() <= rounding
            assert 1.0 - 1e-12 <= code.condition(who) < np.inf
    few = range(needed - 1)
    assert not code.can_decode(few)
    assert code.condition(few) == np.inf
    with pytest.raises(NotEnoughRespondersError, match=f"any {needed} answers"):
        job.decode(answers[: needed - 1], np.array(few))


@pytest.mark.parametrize("n_workers", [5, 8, 20])
def test_all_answers_amplify_nothing(n_workers):
    """The powers of all roots of unity are orthogonal."""
    code = AnalogMatmulCode(2, n_workers, mask_std=1.0)
    assert code.amplification(range(n_workers)) == pytest.approx(1.0, abs=1e-12)
    assert code.condition(range(n_workers)) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("mask_std", "digits"), [(1.0, 14), (1e3, 8), (1e6, 2)])
def test_masks_eat_digits(mask_std, digits, rng):
    a, b = rng.normal(size=(50, 80)), rng.normal(size=(80, 40))
    code = AnalogMatmulCode(4, 11, mask_std=mask_std)
    job = code.prepare(a, b)
    product = job.decode(answers_of(code, job), np.arange(11))
    error = np.abs(product - a @ b).max() / np.abs(a @ b).max()
    assert 1e-3 * 10.0**-digits < error < 10.0**-digits


def test_a_warning_tells_that_no_digit_is_left(operands):
    code = AnalogMatmulCode(2, 5, mask_std=1e9)
    job = code.prepare(*operands)
    with pytest.warns(RuntimeWarning, match=r"lower mask_std = 1\.0e\+09"):
        job.decode(answers_of(code, job), np.arange(5))


def test_shares_are_complex_blocks_and_masks(rng):
    """By its definition, in two real halves a block."""
    code = AnalogMatmulCode(2, 7, n_colluders=2, mask_std=3.0, rng=1)
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    job = code.prepare(a, b)
    again = code.prepare(2.0 * a, b)
    points = np.exp(2j * np.pi * np.arange(7) / 7)
    for n, (x, (share, of_b), (other, _)) in enumerate(
        zip(points, job.payloads, again.payloads, strict=True)
    ):
        blocks = a[:, [0]] - 1j * a[:, [1]], a[:, [2]] - 1j * a[:, [3]]
        # With equal masks the difference of two encodings is that of the blocks.
        np.testing.assert_allclose(other - share, blocks[0] + blocks[1] * x, atol=1e-12)
        assert share.shape == (3, 1), n
        assert of_b.shape == (1, 2)


def test_what_is_sent_is_masked_by_as_much_as_is_said():
    """Shares of nothing have the deviation sqrt(T) mask_std, drawn anew each time."""
    code = AnalogMatmulCode(2, 7, n_colluders=2, mask_std=3.0)
    nothing = np.zeros((100, 400))
    first, second = (code.prepare(nothing, nothing.T).payloads for _ in range(2))
    for share in (*first[0], *first[6]):
        assert np.sqrt((np.abs(share) ** 2).mean()) == pytest.approx(3.0 * 2**0.5, rel=0.05)
        assert np.mean(share**2) == pytest.approx(0.0, abs=1.0)  # circular
    assert not np.allclose(first[0][0], second[0][0])
    # The masks of A tell nothing of B's.
    assert abs(np.vdot(first[0][0], first[0][1].T)) < 6 * 18.0 * np.sqrt(first[0][0].size)


def test_leakage_is_the_capacity_of_the_channel():
    code = AnalogMatmulCode(3, 12, n_colluders=1, mask_std=100.0)
    for n in range(12):
        expected = np.log2(1 + 2 * 3 * 0.5 / 100.0**2)
        assert code.leakage([n], power=0.5) == pytest.approx(expected)
    assert code.leakage([2, 3], power=0.5) == np.inf
    pairs = AnalogMatmulCode(3, 12, n_colluders=2, mask_std=100.0)
    neighbours, opposite = (pairs.leakage(who, power=1.0) for who in ([2, 3], [2, 8]))
    left, _ = pairs.encoding_matrices
    seen = np.linalg.solve(left[[2, 3], 3:], left[[2, 3], :3])
    gram = np.eye(2) + 2.0 / 100.0**2 * seen @ seen.conj().T
    assert neighbours >= np.log2(np.linalg.det(gram).real) * (1 - 1e-9)
    assert neighbours > opposite
    halved = AnalogMatmulCode(3, 12, n_colluders=2, mask_std=200.0)
    assert halved.leakage([2, 3], power=1.0) == pytest.approx(neighbours / 4, rel=1e-2)


def test_a_worker_that_guesses_does_no_better_than_its_leakage(rng):
    """The best linear guess of a block from a share explains what the bound allows."""
    code = AnalogMatmulCode(1, 5, mask_std=5.0)
    a = rng.normal(size=(20_000, 2))
    share = code.prepare(a, np.ones((2, 1))).payloads[1][0][:, 0]
    known = np.abs(np.corrcoef(a[:, 0], share.real)[0, 1])
    bits = code.leakage([1], power=1.0)  # of both numbers
    assert known == pytest.approx(np.sqrt(1 - 2.0**-bits), abs=5 / np.sqrt(20_000))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_and_vectors_stay(dtype, operands):
    a, b = (one.astype(dtype) for one in operands)
    code = AnalogMatmulCode(2, 6, mask_std=100.0)
    with ThreadPoolExecutor() as pool:
        product = secure_matmul(a, b, code, pool).outputs
        column = secure_matmul(a, b[:, 0], code, pool).outputs
        tensor = secure_matmul(torch.from_numpy(a), torch.from_numpy(b), code, pool).outputs
    assert product.dtype == column.dtype == dtype
    np.testing.assert_allclose(product, a @ b, atol=1e-5)
    np.testing.assert_allclose(column, a @ b[:, 0], atol=1e-5)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_allclose(tensor.numpy(), a @ b, atol=1e-5)


def test_on_processes_of_which_one_is_killed(operands):
    a, b = operands
    code = AnalogMatmulCode(1, 4, mask_std=100.0)
    with LocalWorkers(4) as workers:
        one, two, *others = workers.executors
        result = secure_matmul(a, b, code, [one, Dying(two), *others], timeout=60.0, wait_for=4)
    np.testing.assert_allclose(result.outputs, a @ b, atol=1e-9)
    assert set(result.failures) == {1}


@pytest.mark.parametrize("mask_std", [1.0, 1e3])
def test_spare_answers_show_who_lies(mask_std, operands):
    code = AnalogMatmulCode(2, 9, mask_std=mask_std)  # 5 of 9 are needed
    job = code.prepare(*operands)
    answers = answers_of(code, job)
    everyone = np.arange(9)
    assert tuple(job.liars(answers, everyone)) == ()
    lie = 1e-3 * max(np.abs(one).max() for one in answers)
    for liars in itertools.combinations(range(9), 2):
        told = [one + (n in liars) * (n + 1) * lie for n, one in enumerate(answers)]
        assert tuple(job.liars(told, everyone)) == liars
    with pytest.raises(InconsistentAnswersError, match="two more answers per liar"):
        job.liars([answers[0] + lie, *answers[1:6]], everyone[:6])


@pytest.mark.parametrize("mask_std", [1.0, 1e3, 1e6])
@pytest.mark.parametrize(
    "kind", ["normal", "cancelling", "orthogonal", "scaled", "long", "nothing"]
)
def test_no_honest_worker_is_taken_for_a_liar(kind, mask_std, rng):
    n_inner = 2000 if kind == "long" else 40
    a, b = rng.normal(size=(6, n_inner)), rng.normal(size=(n_inner, 5))
    if kind == "cancelling":  # within each block, so that answers are small beside their terms
        a, b = np.tile([1.0, -1.0], (6, 20)), np.ones((40, 5))
    if kind == "orthogonal":
        q = np.linalg.qr(rng.normal(size=(40, 40)))[0]
        a, b = q[:6], q[:, :5]
    if kind == "scaled":
        a, b = a * 10.0 ** rng.integers(-8, 8, (6, 1)), b * 10.0 ** rng.integers(-8, 8, 5)
    if kind == "nothing":
        a = np.zeros_like(a)
    for size in (1.0, 1e3, 1e6):
        for n_workers in (6, 9):
            code = AnalogMatmulCode(2, n_workers, mask_std=mask_std)
            job = code.prepare(size * a, size * b)
            answers = answers_of(code, job)
            assert tuple(job.liars(answers, np.arange(n_workers))) == ()
    for lie in (0.1 * np.abs(answers).max(), 1e308 * (1 + 1j)):
        told = [one + (n == 4) * lie for n, one in enumerate(answers)]
        try:
            assert tuple(job.liars(told, np.arange(9))) == (4,)
        except InconsistentAnswersError:  # what cancelled may hide who it is, but not that one is
            assert kind == "cancelling"


def test_nothing_has_no_digits_to_be_eaten(operands):
    a, b = operands
    for one, other in ((0.0 * a, b), (a, 0.0 * b)):
        code = AnalogMatmulCode(2, 5, mask_std=1.0)
        job = code.prepare(one, other)
        # That is no warning, which would be an error here.
        assert np.abs(job.decode(answers_of(code, job), np.arange(5))).max() < 1e-12


def test_products_that_overflow_are_refused(operands):
    a, b = operands
    for mask_std, size in ((1e200, 1.0), (1e308, 1.0), (1.0, 1e300), (1e150, 1.0)):
        code = AnalogMatmulCode(2, 6, mask_std=mask_std)
        with pytest.raises(ValueError, match=r"no product of shares overflows, got mask_std = 1\."):
            code.prepare(size * a, size * b)
    code = AnalogMatmulCode(2, 6, mask_std=1e140)
    job = code.prepare(a, b)
    with pytest.warns(RuntimeWarning, match="lower mask_std"):
        assert np.isfinite(job.decode(answers_of(code, job), np.arange(6))).all()


def test_codes_pickle():
    code = AnalogMatmulCode(2, 6, mask_std=100.0)
    assert code.can_decode(range(6))
    same = pickle.loads(pickle.dumps(code))
    assert repr(same) == repr(code) == "AnalogMatmulCode(2, 6, n_colluders=1, mask_std=100)"
    assert same.can_decode(range(6))


def test_bad_arguments_are_refused(operands):
    a, b = operands
    for arguments, kind, match in [
        ({"p": 2, "n_workers": 4, "mask_std": 1.0}, ValueError, "n_workers must be at least 2"),
        ({"p": 0, "n_workers": 4, "mask_std": 1.0}, ValueError, "p must be >= 1"),
        ({"p": 1, "n_workers": 4, "mask_std": 0.0}, ValueError, "mask_std"),
        ({"p": 1, "n_workers": 4, "mask_std": "1"}, TypeError, "mask_std"),
    ]:
        with pytest.raises(kind, match=match):
            AnalogMatmulCode(**arguments)
    code = AnalogMatmulCode(2, 6, mask_std=100.0)
    for wrong, match in [
        ((a, b.T), "as many columns of a as rows of b"),
        ((np.full_like(a, np.nan), b), "a must be finite"),
        ((a, torch.from_numpy(b)), "pass both as arrays"),
        ((torch.from_numpy(a).requires_grad_(), torch.from_numpy(b)), "a requires grad"),
        ((a[None], b), "needs matrices"),
        ((a, b[:, :0]), "matrices that are not empty"),
        ((a[:0], b), "matrices that are not empty"),
    ]:
        with pytest.raises((TypeError, ValueError), match=match):
            code.prepare(*wrong)
    with ThreadPoolExecutor() as pool, pytest.raises(ValueError, match="verify must be False"):
        secure_matmul(a, b, code, pool, verify=True)
    job = code.prepare(a, b)
    answer = code.function(*job.payloads[0])
    for wrong in (answer[:-1], np.full_like(answer, np.inf), answer.real.astype(int), "text"):
        with pytest.raises((TypeError, ValueError), match="answer"):
            job.read(0, wrong)
