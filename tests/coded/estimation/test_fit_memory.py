"""Earlier fits make the next ones better and cheaper, and tell if points between inputs pay."""

import pickle
import threading
from functools import cache

import numpy as np
import pytest

from coded import AnswerMemory, FitMemory, KernelScheme, ReplicationScheme, simulate
from coded.estimation import likelihood

K, N, S = 12, 40, 22


def hills(rows):
    return np.exp(-3.0 * rows[:, 0] ** 2 - 0.3 * rows[:, 1] ** 2)


def scattered(rows):
    """A wave, and what nothing tells at another input: there only copies help."""
    noise = (np.abs(np.sin(1e4 * rows.sum(axis=1))) * 1e4) % 1.0
    return np.sin(rows[:, 0]) + 0.7 * noise


def batch(seed, count=K, columns=2):
    return np.random.default_rng([3, seed]).uniform(-2.0, 2.0, size=(count, columns))


def serve(fits, fn, calls, counts=(K, N, S), **options):
    """Let a memory learn from some calls with losses."""
    k, n, s = counts
    for i in range(calls):
        inputs = batch(i, k)
        bound = KernelScheme(k, n, n_stragglers=s, fit_memory=fits, **options).bind(inputs)
        workers = np.sort(np.random.default_rng(i).permutation(n)[: n - s])
        bound.decode(fn(bound.encode(inputs))[workers], workers)
    return fits


def losses(fn, make, batches=8):
    runs = [
        simulate(fn, batch(100 + i), make(), stragglers=S, repeats=4, rng=i) for i in range(batches)
    ]
    return np.mean([run.mse.mean() for run in runs])


@cache
def learnt(fn, calls):
    return pickle.dumps(serve(FitMemory(), fn, calls))


def kernel_of(fn, calls):
    return lambda: KernelScheme(K, N, n_stragglers=S, fit_memory=pickle.loads(learnt(fn, calls)))


def test_a_smooth_function_is_at_least_as_exact_as_in_the_first_call():
    first = losses(hills, lambda: KernelScheme(K, N, n_stragglers=S))
    assert pickle.loads(learnt(hills, 1)).between
    assert losses(hills, kernel_of(hills, 1)) < 1.03 * first
    assert losses(hills, kernel_of(hills, 4)) < 0.97 * first


def test_a_rough_function_is_never_worse_than_copies():
    memory = pickle.loads(learnt(scattered, 4))
    assert memory.between is False
    found = losses(scattered, kernel_of(scattered, 4))
    copies = losses(scattered, lambda: ReplicationScheme(K, N, n_stragglers=S))
    assert found < copies
    assert found < 0.7 * losses(scattered, lambda: KernelScheme(K, N, n_stragglers=S))


def test_earlier_lengths_take_fewer_steps(monkeypatch):
    counted = []
    plain = likelihood.penalised

    def count(*arguments):
        counted.append(1)
        return plain(*arguments)

    monkeypatch.setattr(likelihood, "penalised", count)
    memory, counts = FitMemory(), []
    for _ in range(3):
        serve(memory, hills, 1, (K, 20, 12), between=False)
        counts.append(len(counted))
        counted.clear()
    assert counts[1] < 0.6 * counts[0]
    assert counts[2] < 0.6 * counts[0]


def test_what_is_bound_does_not_change_with_what_is_learnt_later():
    memory = serve(FitMemory(), hills, 1)
    inputs = batch(50)
    bound = KernelScheme(K, N, n_stragglers=S, fit_memory=memory).bind(inputs)
    workers = np.arange(0, N, 3)
    answers = hills(bound.encode(inputs))[workers]
    outputs, std = bound.decode_with_std(answers, workers)
    serve(memory, hills, 3)
    again, std_again = bound.decode_with_std(answers, workers)
    np.testing.assert_array_equal(again, outputs)
    np.testing.assert_array_equal(std_again, std)
    other = KernelScheme(K, N, n_stragglers=S, fit_memory=memory).bind(inputs)
    assert not np.array_equal(other.decode(answers, workers), outputs)


def test_its_size_is_bounded_and_it_pickles_and_forgets():
    memory = serve(FitMemory(), hills, 40)
    assert len(memory) == 16
    data = pickle.dumps(memory)
    assert len(data) < 10_000
    again = pickle.loads(data)
    assert len(again) == 16
    assert again.between is memory.between is True
    for one, other in zip(again.starts(), memory.starts(), strict=True):
        np.testing.assert_array_equal(one, other)
    again.clear()
    assert (len(again), again.between, again.starts()) == (0, None, ())
    assert repr(again) == "FitMemory()"
    serve(again, hills, 1)
    assert len(again) == 1


def test_one_memory_serves_many_threads():
    memory, failures = FitMemory(), []

    def work():
        try:
            serve(memory, hills, 6)
        except Exception as error:  # noqa: BLE001 (told below)
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(memory) == 16
    assert memory.between


@pytest.mark.parametrize("columns", [1, 5, 30])
def test_a_memory_of_other_shapes_does_no_harm(columns):
    memory = serve(FitMemory(), hills, 2)  # of two numbers
    inputs = batch(0, 15, columns)
    scheme = KernelScheme(15, 30, fit_memory=memory).bind(inputs)
    plain = KernelScheme(15, 30).bind(inputs)
    workers = np.arange(0, 30, 2)
    answers = np.cos(scheme.encode(inputs)).sum(axis=1)[workers]
    np.testing.assert_array_equal(scheme.decode(answers, workers), plain.decode(answers, workers))


def test_it_goes_along_with_remembered_answers():
    past = AnswerMemory(30)
    past.add(batch(7, 30), hills(batch(7, 30)))
    memory = serve(FitMemory(), hills, 2, memory=past)
    assert len(memory) == 2
    assert memory.between is None  # that is told by answers of a call alone


def test_nothing_is_learnt_where_nothing_is_fitted():
    memory = FitMemory()
    inputs = batch(0)
    bound = KernelScheme(K, N, n_stragglers=S, fit_memory=memory).bind(inputs)
    bound.decode(hills(bound.encode(inputs)), np.arange(N))
    assert len(memory) == 0
    with pytest.raises(TypeError, match="fit_memory must be a FitMemory or None"):
        KernelScheme(4, 8, fit_memory=AnswerMemory(3))
    with pytest.raises(ValueError, match="fit is None, so that nothing is"):
        KernelScheme(4, 8, fit=None, fit_memory=memory)


@pytest.mark.parametrize("unit", [1e-150, 1e150])
def test_units_of_answers_do_not_matter(unit):
    plain, scaled = FitMemory(), FitMemory()
    serve(plain, hills, 2)
    serve(scaled, lambda rows: unit * hills(rows), 2)
    for one, other in zip(plain.starts(), scaled.starts(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    np.testing.assert_allclose(plain._gains, scaled._gains, atol=1e-3)
