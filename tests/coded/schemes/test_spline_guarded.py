"""`SplineScheme(lam_dec="guarded")`: the answers choose, and noise and units do no harm."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coded import ReplicationScheme, SplineScheme, simulate
from coded.estimation.guarded_splines import Lines, Splines, guarded
from coded.estimation.likelihood import Values
from coded.estimation.splines_on_lines import smoothing_matrix


def guard(n_inputs, n_workers, **options):
    return SplineScheme(n_inputs, n_workers, lam_dec="guarded", **options)


def hashed(rows):
    """Noise that is part of f: uniform, of variance 1, another one for each input."""
    return np.sqrt(12.0) * ((np.abs(np.sin(1e4 * rows.sum(axis=1))) * 1e4) % 1.0 - 0.5)


def losses(fn, sample, scheme, batches=12):
    """Mean square error over the variance of f, one batch after the other."""
    found = []
    for i in range(batches):
        inputs = sample(np.random.default_rng(i))
        made = scheme(len(inputs), 2 * len(inputs), n_stragglers=len(inputs) // 2)
        run = simulate(fn, inputs, made, stragglers=len(inputs) // 2, repeats=4, rng=i)
        found.append(run.mse.mean() / fn(inputs).var())
    return np.mean(found)


@pytest.mark.parametrize(("numbers", "noise"), [(2, 1.0), (4, 3.0)])
def test_noisy_functions_err_no_more_than_copies(numbers, noise):
    def fn(rows):
        return np.sin(rows[:, 0]) + noise * hashed(rows)

    def sample(rng):
        return rng.uniform(-2.0, 2.0, size=(40, numbers))

    found = {scheme: losses(fn, sample, scheme) for scheme in (SplineScheme, guard)}
    copies = min(
        losses(fn, sample, lambda k, n, how=how, **_: ReplicationScheme(k, n, fallback=how))
        for how in ("nearest", "mean")
    )
    assert found[guard] < 0.8 * found[SplineScheme]
    assert found[guard] < 1.15 * copies


def test_units_of_columns_do_not_decide_what_is_a_curve():
    def fn(rows):  # a beam: load, length, stiffness, in units a million apart
        return rows[:, 0] * (rows[:, 1] / 2.0) ** 3 / (rows[:, 2] / 1e6) / (1.0 + rows[:, 3])

    def sample(rng):
        return rng.uniform([1.0, 1.0, 1e6, 0.1], [2.0, 3.0, 2e6, 1.0], size=(40, 4))

    assert losses(fn, sample, guard) < 0.1 * losses(fn, sample, SplineScheme)


def test_smooth_functions_are_decoded_as_by_interpolating_splines():
    def fn(rows):
        return np.exp(-rows) * np.sin(5.0 * rows)

    def sample(rng):
        return np.sort(rng.uniform(0.0, 3.0, size=30))

    assert losses(fn, sample, guard) <= 1.02 * losses(fn, sample, SplineScheme)


@pytest.mark.parametrize("lam", [0.0, 0.3])
@pytest.mark.parametrize("n_lines", [1, 5])
def test_left_out_errors_are_those_of_estimates_from_the_others(lam, n_lines):
    rng = np.random.default_rng(n_lines)
    knots, least = rng.uniform(-1.0, 1.0, size=(n_lines, 9)), 0.01
    knots[:, [0, 8]] = [-2.0, 2.0]  # ends that all lines share
    values = Values(rng.normal(size=(9, 2)), rng.integers(1, 4, 9).astype(float))
    nothing = np.empty((0, 9))
    lines = Lines(knots, knots[:, :0], least, (1.0, 1.0), np.zeros((9, 9)), nothing)
    errors = Splines(lines, lam, values).left_out
    for i in range(1, 8):
        rest = np.arange(9) != i
        weights = [
            smoothing_matrix(
                line[None, rest], line[None, [i]], lam=max(lam, least), seen=1.0,
                weights=values.counts[rest],
            )[0]
            for line in knots
        ]  # fmt: skip
        estimates = np.array(weights) @ values.means[rest]
        # The mean over the lines lies between them; on one line it is the estimate.
        low, high = estimates.min(axis=0), estimates.max(axis=0)
        estimate = values.means[i] - errors[i]
        assert (low - 1e-8 <= estimate).all()
        assert (estimate <= high + 1e-8).all()


def test_answers_are_kept_and_lost_ones_have_a_std():
    inputs = np.random.default_rng(3).normal(size=(12, 5))
    scheme = guard(12, 20).bind(inputs)
    workers = np.arange(0, 20, 2)
    answers = np.cos(scheme.encode(inputs)[workers])
    outputs, std = scheme.decode_with_std(answers, workers)
    exact = scheme.exact_mask(workers)
    assert 0 < exact.sum() < 12
    np.testing.assert_array_equal(outputs, scheme.decode(answers, workers))
    np.testing.assert_array_equal(outputs[exact], np.cos(inputs)[exact])
    np.testing.assert_array_equal(std == 0.0, exact)
    assert np.isfinite(std).all()


def test_copies_that_differ_are_measurements():
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(10, 6))
    scheme = guard(10, 40).bind(inputs)
    held = scheme.encoding_matrix.argmax(axis=1)
    workers = np.flatnonzero(held != 4)
    answers = np.cos(scheme.encode(inputs)[workers]) + 0.1 * rng.normal(size=(len(workers), 6))
    outputs, std = scheme.decode_with_std(answers, workers)
    for k in np.delete(np.arange(10), 4):
        own = held[workers] == k
        np.testing.assert_allclose(outputs[k], answers[own].mean(axis=0), rtol=1e-12)
    assert (std > 0.0).all()
    repeated = np.sqrt(np.bincount(held[workers], minlength=10)[:4])
    np.testing.assert_allclose(std[:4] * repeated, 0.1 * np.sqrt(6), rtol=0.25)
    rounded = np.cos(scheme.encode(inputs)[workers]).astype(np.float32)
    rounded[::2] *= np.float32(1.0 + 1e-7)
    assert (scheme.decode_with_std(rounded, workers)[1][:4] == 0.0).all()


@pytest.mark.parametrize("responders", [[3, 17], [0, 9, 19], [1, 7, 12, 18]])
@pytest.mark.parametrize("numbers", [1, 5])
def test_few_answers_are_decoded_without_a_choice(responders, numbers):
    inputs = np.random.default_rng(1).normal(size=(10, numbers))
    free, plain = guard(10, 20).bind(inputs), SplineScheme(10, 20, lam_dec=0.0).bind(inputs)
    answers = np.cos(free.encode(inputs)[responders])
    outputs, std = free.decode_with_std(answers, responders)
    assert np.isfinite(outputs).all()
    assert not np.isnan(std).any()
    if len(responders) < 4 and numbers == 1:  # laid out alike
        np.testing.assert_allclose(outputs, plain.decode(answers, responders), atol=1e-12)


@given(st.integers(0, 10**6), st.sampled_from([1e-200, 1e-3, 1e200]), st.sampled_from([1, 3, 8]))
@settings(max_examples=25)
def test_units_and_offsets_of_answers_go_through(seed, unit, numbers):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(14, numbers))
    scheme = guard(14, 28).bind(inputs)
    workers = np.sort(rng.permutation(28)[:15])
    answers = np.tanh(scheme.encode(inputs)[workers])
    outputs, std = scheme.decode_with_std(answers, workers)
    scaled, scaled_std = scheme.decode_with_std(unit * answers, workers)
    np.testing.assert_allclose(scaled / unit, outputs, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(scaled_std / unit, std, rtol=1e-5)
    np.testing.assert_allclose(scheme.decode(answers + 1.0, workers), outputs + 1.0, rtol=1e-6)


@pytest.mark.parametrize("make", [guard, lambda k, n: SplineScheme.paper(k, n, lam_dec="guarded"),
                                  lambda k, n: guard(k, n, lam_enc=1e-3)])  # fmt: skip
def test_every_layout_has_a_guard(make):
    inputs = np.linspace(0.0, 2.0, 9)
    scheme = make(9, 24).bind(inputs)
    workers = np.delete(np.arange(24), [3, 8, 9, 20])
    answers = np.sin(scheme.encode(inputs)[workers])
    np.testing.assert_allclose(scheme.decode(answers, workers), np.sin(inputs), atol=0.05)
    on_torch = scheme.decode(torch.tensor(answers), workers)
    np.testing.assert_allclose(on_torch.numpy(), scheme.decode(answers, workers), atol=1e-12)
    again = pickle.loads(pickle.dumps(scheme))
    np.testing.assert_array_equal(again.decode(answers, workers), scheme.decode(answers, workers))


def test_it_has_no_matrix_and_says_so():
    scheme = guard(5, 12)
    assert "lam_dec='guarded'" in repr(scheme)
    with pytest.raises(TypeError, match='"guarded" chooses the decoder by the answers'):
        scheme.decoding_matrix([0, 3, 5, 8])
    with pytest.raises(TypeError, match="lam_dec must be"):
        SplineScheme(5, 12, lam_dec="guard")
    answers = np.ones(4)
    answers[1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        scheme.decode(answers, [0, 3, 5, 8])


def test_values_that_do_not_differ_leave_no_choice():
    knots = np.arange(5.0)[None]
    apart = np.abs(knots - knots.T)
    lines = Lines(knots, knots[:, :1], 0.01, (1.0, 1.0), apart, apart[:1])
    assert guarded(lines, Values(np.ones((5, 1)), np.ones(5))) is None
    outputs, std = guard(8, 16).decode_with_std(np.ones(5), [0, 2, 4, 6, 9])
    np.testing.assert_allclose(outputs, 1.0)
    assert (std < 1e-12).all()
