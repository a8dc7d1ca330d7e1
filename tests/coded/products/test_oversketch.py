"""Sketched products: their mean, their error by enumeration, and Newton's steps by them."""

import itertools
import os
import pickle
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.special import expit

from coded import (
    KhatriRaoMatmulCode,
    LocalWorkers,
    NotEnoughRespondersError,
    OverSketchMatmulCode,
    coded_matmul,
    sketched_newton_step,
)
from coded.products.multiply import multiply
from tests.support.worker_functions import WAIT


def error_squared(a, b, columns):
    """E |estimate - A B|^2, of so many columns in all sketches together."""
    own = ((a**2).sum(axis=0) * (b**2).sum(axis=1)).sum()
    return ((a**2).sum() * (b**2).sum() + ((a @ b) ** 2).sum() - 2 * own) / columns


def answers_of(job):
    return [job.read(n, multiply(*payload))[1] for n, payload in enumerate(job.payloads)]


def test_all_sketches_there_are_have_the_product_as_mean_and_the_known_error():
    """Two columns for three: 64 sketches; 63 by the formula, and by their enumeration."""
    drawn = list(itertools.product(*[range(2)] * 3, *[(-1, 1)] * 3))

    class Enumerated(OverSketchMatmulCode):
        def _draw(self, worker, inner):
            return np.array(drawn[worker][:inner]), np.array(drawn[worker][inner:])

    a = np.array([[1.0, 2.0, 0.0], [3.0, -1.0, 1.0]])
    b = np.array([[1.0, 0.0], [2.0, 1.0], [-1.0, 2.0]])
    job = Enumerated(2, 64).prepare(a, b)
    answers = answers_of(job)
    np.testing.assert_allclose(job.decode(answers, np.arange(64)), a @ b, atol=1e-13)
    assert np.mean([((one - a @ b) ** 2).sum() for one in answers]) == pytest.approx(63.0)
    assert error_squared(a, b, 2) == pytest.approx(63.0)


@pytest.mark.parametrize("n_answers", [4, 9])
def test_the_error_falls_with_the_columns_of_all_answers(n_answers, rng):
    a, b = rng.normal(size=(30, 400)), rng.normal(size=(400, 20))
    errors = []
    for seed in range(60):
        code = OverSketchMatmulCode(50, 10, n_stragglers=10 - n_answers, rng=seed)
        job = code.prepare(a, b)
        who = np.sort(rng.permutation(10)[:n_answers])
        answers = answers_of(job)
        estimate = job.decode([answers[n] for n in who], who)
        errors.append(((estimate - a @ b) ** 2).sum())
    assert np.mean(errors) == pytest.approx(error_squared(a, b, 50 * n_answers), rel=0.03)


def test_sketches_are_drawn_uniformly_once_and_for_all():
    code = OverSketchMatmulCode(7, 3, rng=5)
    column, sign = code._draw(1, 7000)
    assert np.bincount(column, minlength=7).min() > 900
    assert abs(sign.sum()) < 300
    assert set(sign.tolist()) == {-1, 1}
    for other in (code._draw(2, 7000), OverSketchMatmulCode(7, 3, rng=6)._draw(1, 7000)):
        assert (other[0] == column).mean() < 0.2
    for same, drawn in zip(code._draw(1, 7000), (column, sign), strict=True):
        np.testing.assert_array_equal(same, drawn)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_share_is_the_sketch_of_the_operand(dtype, rng):
    a, b = rng.normal(size=(4, 9)).astype(dtype), rng.normal(size=(9, 5)).astype(dtype)
    code = OverSketchMatmulCode(3, 2)
    for n, (left, right) in enumerate(code.prepare(a, b).payloads):
        column, sign = code._draw(n, 9)
        sketch = np.zeros((9, 3))
        sketch[np.arange(9), column] = sign
        assert left.dtype == right.dtype == dtype
        np.testing.assert_allclose(left, a @ sketch, atol=1e-6)
        np.testing.assert_allclose(right, sketch.T @ b, atol=1e-6)


class Losing(ThreadPoolExecutor):
    def __init__(self, lost, wrong=None):
        super().__init__(4)
        self.lost, self.wrong, self.asked = lost, wrong, -1

    def submit(self, fn, /, *arguments):
        self.asked += 1
        if self.asked in self.lost:
            return super().submit(os.stat, "/nowhere")
        if self.asked == self.wrong:
            return super().submit(lambda: fn(*arguments) + 1.0)
        return super().submit(fn, *arguments)


def test_no_estimate_is_called_exact(rng):
    a, b = rng.normal(size=(6, 50)), rng.normal(size=(50, 7))
    code = OverSketchMatmulCode(20, 6, n_stragglers=2)
    for lost, options in (
        ((1, 4), {}),
        ((), {"wait_for": 6}),
        ((0, 1, 2), {"recompute_lost": True}),
        (range(6), {"recompute_lost": True}),
    ):
        with Losing(lost) as pool:
            result = coded_matmul(a, b, code, pool, **options)
        assert not result.exact.any()
        assert result.outputs.shape == (6, 7)
    with Losing((0, 1, 2)) as pool, pytest.raises(NotEnoughRespondersError, match="any 4 answers"):
        coded_matmul(a, b, code, pool)


def test_liars_are_found_by_their_checksums_alone(rng):
    a, b = rng.normal(size=(6, 50)), rng.normal(size=(50, 7))
    code = OverSketchMatmulCode(20, 6, n_stragglers=1)
    with Losing((), wrong=2) as pool:
        result = coded_matmul(a, b, code, pool, wait_for=6, verify=True)
    assert list(result.failures) == [2]
    with Losing(()) as pool:
        assert not coded_matmul(a, b, code, pool, wait_for=6).failures


def test_placed_operands_tensors_and_vectors(rng):
    a, b = rng.normal(size=(6, 50)).astype(np.float32), rng.normal(size=50).astype(np.float32)
    code = OverSketchMatmulCode(20, 4)
    expected = code.prepare(a, b)
    expected = expected.decode(answers_of(expected), np.arange(4))
    assert expected.shape == (6,)
    with ThreadPoolExecutor() as pool:
        placed = code.place(torch.from_numpy(a))
        found = coded_matmul(placed, torch.from_numpy(b), code, pool)
    assert isinstance(found.outputs, torch.Tensor)
    np.testing.assert_allclose(found.outputs.numpy(), expected, atol=1e-5)


@pytest.mark.outer
def test_a_killed_worker_comes_back_with_its_sketch(rng):
    a, b = rng.normal(size=(6, 50)), rng.normal(size=(50, 7))
    code = OverSketchMatmulCode(20, 4, n_stragglers=1)
    with LocalWorkers(4) as workers:
        workers.wait()
        placed = code.place(a)
        coded_matmul(placed, b, code, workers.executors, wait_for=4, timeout=WAIT)
        os.kill(workers.executors[1].submit(os.getpid).result(WAIT), signal.SIGKILL)
        coded_matmul(placed, b, code, workers.executors, timeout=WAIT)
        workers.wait()
        found = coded_matmul(placed, b, code, workers.executors, wait_for=4, timeout=WAIT)
    job = code.prepare(a, b)
    np.testing.assert_allclose(found.outputs, job.decode(answers_of(job), np.arange(4)), atol=1e-12)


def test_codes_pickle_and_tell_what_they_are():
    code = OverSketchMatmulCode(20, 6, n_stragglers=2, rng=3)
    assert repr(code) == "OverSketchMatmulCode(20, 6, n_stragglers=2, rng=3)"
    assert repr(pickle.loads(pickle.dumps(code))) == repr(code)
    assert repr(OverSketchMatmulCode(20, 6)) == "OverSketchMatmulCode(20, 6)"
    assert code.amplification(range(4)) == 1.0
    assert code.amplification(range(3)) == np.inf
    assert np.isnan(code.load)


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        ({"n_columns": 0}, ValueError, "n_columns must be"),
        ({"n_workers": 1.5}, TypeError, "n_workers must be"),
        ({"n_stragglers": 6}, ValueError, "n_stragglers must"),
        ({"rng": -1}, ValueError, "rng must be"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(change, kind, match):
    with pytest.raises(kind, match=match):
        OverSketchMatmulCode(**({"n_columns": 5, "n_workers": 6} | change))


def logistic(rng):
    """4,000 rows of 40 columns of unequal size, and their labels."""
    x = rng.normal(size=(4000, 40)) * np.linspace(0.2, 3.0, 40)
    w = rng.normal(size=40) / 4
    return x, np.where(rng.random(4000) < expit(x @ w), 1.0, -1.0)


def descend(x, y, columns, steps=10, ridge=1e-3):
    """Give the gradients' lengths on the way: no columns for the exact Hessian."""

    def loss(w):
        return np.logaddexp(0.0, -y * (x @ w)).mean() + 0.5 * ridge * w @ w

    w, lengths = np.zeros(x.shape[1]), []
    with ThreadPoolExecutor(2) as pool:
        for k in range(steps + 1):
            gradient = x.T @ (-y * expit(-y * (x @ w))) / len(x) + ridge * w
            lengths.append(np.linalg.norm(gradient))
            root = (x * np.sqrt(expit(x @ w) * expit(-x @ w) / len(x))[:, None]).T
            if columns:
                code = OverSketchMatmulCode(columns, 12, n_stragglers=2, rng=k)
                step = sketched_newton_step(root, gradient, code, pool, ridge=ridge)
            else:
                step = np.linalg.solve(root @ root.T + ridge * np.eye(len(root)), gradient)
            size = 1.0
            while loss(w - size * step) > loss(w) - 1e-4 * size * step @ gradient and size > 1e-6:
                size /= 2.0
            w = w - size * step
    return np.array(lengths)


def test_sketched_steps_go_to_the_minimum_linearly():
    """With 10 d columns to 1.9e-5 in ten steps, with 20 d to 8.7e-7, by another program."""
    x, y = logistic(np.random.default_rng(1))
    exact, ten, twenty = (descend(x, y, columns) for columns in (0, 40, 80))
    assert exact[10] < 1e-14
    assert 4e-6 < ten[10] < 9e-5  # whose sketches come first is not the same each time
    assert 2e-7 < twenty[10] < 4e-6
    for lengths in (ten, twenty):  # by a factor that stays alike
        rates = lengths[5:] / lengths[4:-1]
        assert rates.max() < 0.75
        assert rates.min() > 0.02


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        ({"code": KhatriRaoMatmulCode(2, 2, 6)}, TypeError, "code must be an OverSketch"),
        ({"ridge": 0.0}, ValueError, "ridge must be > 0"),
        ({"ridge": np.nan}, ValueError, "ridge must be > 0"),
        ({"gradient": np.ones(9)}, ValueError, "gradient must have a number for each row"),
        ({"root": np.ones(3)}, ValueError, "gradient must have a number for each row"),
        ({"root": np.full((3, 9), np.nan)}, ValueError, "a must be finite"),
    ],
    ids=str,
)
def test_steps_that_cannot_be_are_refused(change, kind, match):
    with ThreadPoolExecutor() as pool:
        arguments = {
            "root": np.ones((3, 9)),
            "gradient": np.ones(3),
            "code": OverSketchMatmulCode(5, 6),
            "executor": pool,
            "ridge": 1.0,
        }
        with pytest.raises(kind, match=match):
            sketched_newton_step(**(arguments | change))
