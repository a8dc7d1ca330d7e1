"""What `KernelScheme` makes of answers that choose its decoder."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from coded import AnswerMemory, KernelScheme, ReplicationScheme, coded_map, simulate
from coded.nearness.features import as_images, pooled_pixels


def noise_of(rows, seed=0):
    """Noise that is part of f: the same for the same input."""
    flat = np.ascontiguousarray(np.asarray(rows, float).reshape(len(rows), -1))
    drawn = [np.random.default_rng([seed, *row.view(np.uint32)]).normal() for row in flat]
    return np.array(drawn)


def relative_mse(fn, inputs, scheme, lost=10, rng=0, **settings):
    found = simulate(fn, inputs, scheme, stragglers=lost, rng=rng, **settings)
    varies = ((found.reference - found.reference.mean(axis=0)) ** 2).mean()
    return float(found.mse.mean() / varies)


def test_noise_is_not_multiplied():
    """Without fitting 1.3 at a noise of .05, a hundred times what copies err."""
    errors = {}
    for scheme in (KernelScheme, ReplicationScheme):
        of_batches = []
        for seed in range(4):
            inputs = np.sort(np.random.default_rng(seed).uniform(0.0, 6.0, 20))
            of_batches.append(
                relative_mse(
                    lambda x, seed=seed: np.sin(2.0 * x) + 0.05 * noise_of(x, seed),
                    inputs,
                    scheme(20, 40, n_stragglers=10),
                )
            )
        errors[scheme] = np.mean(of_batches)
    assert errors[KernelScheme] < 0.006
    assert errors[KernelScheme] < 0.6 * errors[ReplicationScheme]


UNITS = np.array([0.1, 5e4, 1e5, 1000.0, 100.0, 800.0, 1500.0, 1e4])


def borehole(x):
    """Flow of water through a borehole, a formula of eight numbers in units of their own."""
    rw, r, tu, hu, tl, hl, length, kw = (x * UNITS).T
    of_radii = np.log(r / rw)
    under = of_radii * (1.0 + 2.0 * length * tu / (of_radii * rw**2 * kw) + tu / tl)
    return 2.0 * np.pi * tu * (hu - hl) / under


def test_columns_in_units_of_their_own():
    shape = np.random.default_rng(1).uniform(0.6, 1.4, size=(50, 8))
    fn, inputs = lambda x: borehole(x / UNITS), shape * UNITS
    error = relative_mse(fn, inputs, KernelScheme(50, 90, n_stragglers=25), 25)
    assert error < 0.1 * relative_mse(
        fn, inputs, KernelScheme(50, 90, n_stragglers=25, fit=None), 25
    )
    assert error < 0.1 * relative_mse(fn, inputs, ReplicationScheme(50, 90), 25)


def coloured(n, seed=0):
    """Pictures of smooth patches of colour, (n, 3, 16, 16)."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(size=(n, 3, 2, 2))
    return coarse.repeat(8, axis=2).repeat(8, axis=3) + 0.02 * rng.normal(size=(n, 3, 16, 16))


def test_images_keep_their_colour_and_the_order_of_axes_does_not_matter():
    images = coloured(30)

    def mean_colour(stack):
        return np.asarray(stack).mean(axis=(2, 3))

    def with_channels_last(stack):
        return np.asarray(stack).mean(axis=(1, 2))

    scheme = KernelScheme(30, 45, n_stragglers=15)
    first = relative_mse(mean_colour, images, scheme, 15)
    last = relative_mse(with_channels_last, np.moveaxis(images, 1, -1), scheme, 15)
    assert first == pytest.approx(last, rel=1e-3)
    assert first < 0.5 * relative_mse(mean_colour, images, ReplicationScheme(30, 45), 15)
    fixed = KernelScheme(30, 45, n_stragglers=15, fit=None)
    assert first < 0.2 * relative_mse(mean_colour, images, fixed, 15)


def test_images_are_found_in_either_order_of_axes():
    images = np.arange(2 * 3 * 40 * 9.0).reshape(2, 3, 40, 9)
    assert as_images(images) is images
    np.testing.assert_array_equal(as_images(np.moveaxis(images, 1, -1)), images)
    assert as_images(images[:, 0, 0]) is None
    assert as_images(images[:, :2, :7, :7]) is None
    large = np.random.default_rng(0).normal(size=(2, 3, 100, 70))
    means = large[:, :, :99].reshape(2, 3, 33, 3, 35, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(pooled_pixels(large), means.reshape(2, -1))
    np.testing.assert_array_equal(pooled_pixels(images), images.reshape(2, -1))


# Copies.


def test_copies_that_differ_are_measurements():
    inputs = np.random.default_rng(0).normal(size=(6, 5))
    scheme = KernelScheme(6, 15).bind(inputs)
    held = scheme._held()
    answers = np.stack([held, held**2.0], axis=1) + np.random.default_rng(1).normal(
        scale=0.1, size=(15, 2)
    )
    outputs, std = scheme.decode_with_std(answers, range(15))
    means = np.stack([answers[held == k].mean(axis=0) for k in range(6)])
    np.testing.assert_allclose(outputs, means)
    counts = np.bincount(held)
    squares = ((answers - means[held]) ** 2).sum() / (15 - 6)
    np.testing.assert_allclose(std, np.sqrt(squares / counts))
    np.testing.assert_array_equal(outputs, scheme.decode(answers, range(15)))
    lost = np.flatnonzero(held != 2)
    outputs, std = scheme.decode_with_std(answers[lost], lost)
    np.testing.assert_allclose(np.delete(outputs, 2, axis=0), np.delete(means, 2, axis=0))
    assert np.isfinite(outputs).all()
    assert std[2] > np.delete(std, 2).max()


def test_copies_that_are_alike_come_bit_for_bit():
    inputs = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    scheme = KernelScheme(6, 15).bind(inputs)
    answers = np.tanh(scheme.encode(inputs))
    again = answers * (1 + np.finfo(np.float32).eps * np.arange(15)[:, None]).astype(np.float32)
    first = np.unique(scheme._held(), return_index=True)[1]
    outputs, std = scheme.decode_with_std(again, range(15))
    np.testing.assert_array_equal(outputs, again[first])
    assert not std.any()
    whole = np.arange(15) * 1000 + scheme._held()  # whole numbers are no measurements
    np.testing.assert_array_equal(scheme.decode(whole, range(15)), whole[first])


def test_a_call_names_only_those_outputs_exact_that_are_no_means():
    inputs, rng = np.random.default_rng(0).normal(size=(4, 5)), np.random.default_rng(1)
    with ThreadPoolExecutor(1) as pool:
        noisy = coded_map(lambda x: x.sum() + rng.normal(), inputs, KernelScheme(4, 8), pool)
        plain = coded_map(lambda x: x.sum(), inputs, KernelScheme(4, 8), pool)
        fixed = coded_map(
            lambda x: x.sum() + rng.normal(), inputs, KernelScheme(4, 8, fit=None), pool
        )
    assert plain.exact.all()
    assert fixed.exact.all()
    assert noisy.complete
    if len(noisy.responders) > 4:
        assert not noisy.exact.any()
        assert (noisy.std > 0).all()


def test_a_simulation_names_no_means_exact():
    inputs, rng = np.random.default_rng(0).normal(size=(4, 5)), np.random.default_rng(1)
    noisy = simulate(
        lambda x: x[:, 0] + rng.normal(size=len(x)), inputs, KernelScheme(4, 12), stragglers=2
    )
    assert not noisy.exact.any()
    assert simulate(lambda x: x[:, 0], inputs, KernelScheme(4, 12), stragglers=2).exact.any()


# The decoder.


def test_it_has_no_matrix_and_says_what_has():
    scheme = KernelScheme(4, 8).bind(np.eye(4))
    with pytest.raises(TypeError, match="fit=None"):
        scheme.decoding_matrix(range(8))
    assert KernelScheme(4, 8, fit=None).bind(np.eye(4)).decoding_matrix(range(8)).shape == (4, 8)


@pytest.mark.parametrize("fit", ["loo", 3, True, "none"])
def test_other_fits_are_refused(fit):
    with pytest.raises(ValueError, match='fit must be "answers" or None, got'):
        KernelScheme(4, 8, fit=fit)


@pytest.mark.parametrize("trailing", [(), (3,), (12,), (3, 9, 8)])
def test_the_decoder_is_a_function_of_the_answers(trailing):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(12, *trailing))
    scheme = KernelScheme(12, 20, n_stragglers=8).bind(inputs)
    answers = np.sin(scheme.encode(inputs).reshape(20, -1)[:, :2]).astype(np.float32)
    who = np.sort(rng.permutation(20)[:12])
    outputs, std = scheme.decode_with_std(answers[who], who)
    assert outputs.dtype == np.float32
    scheme.decode(answers[::-1][who] ** 2, who)  # leaves nothing behind
    fresh = pickle.loads(pickle.dumps(scheme))
    np.testing.assert_array_equal(fresh.decode(answers[who], who), outputs)
    tensor = scheme.decode(torch.from_numpy(answers[who]), who)
    np.testing.assert_array_equal(tensor.numpy(), outputs)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: scheme.decode(answers[who], who), range(8)))
    assert all(np.array_equal(one, outputs) for one in found)
    assert (std[~scheme.exact_mask(who)] > 0).all()


def test_answers_that_are_not_finite_are_refused():
    inputs = np.random.default_rng(0).normal(size=(6, 3))
    scheme = KernelScheme(6, 12).bind(inputs)
    answers = np.sin(scheme.encode(inputs))
    for bad in (np.nan, np.inf, -np.inf):
        answers[5] = bad
        for who in (np.arange(12), np.arange(4, 9)):
            with pytest.raises(ValueError, match=r"\[\d+, 0\] = -?(nan|inf)"):
                scheme.decode(answers[who], who)


def test_complex_numbers_and_whole_ones_are_fitted_too():
    inputs = np.linspace(0.0, 2.0, 12)
    scheme = KernelScheme(12, 20, n_stragglers=8).bind(inputs)
    who = np.sort(np.random.default_rng(0).permutation(20)[:12])
    coded_inputs = scheme.encode(inputs)
    outputs = scheme.decode(np.exp(1j * coded_inputs)[who], who)
    np.testing.assert_allclose(outputs, np.exp(1j * inputs), atol=1e-4)
    counts = np.round(1000 * coded_inputs).astype(int)
    np.testing.assert_allclose(scheme.decode(counts[who], who), 1000 * inputs, atol=1.0)


# Memory.


def test_a_memory_is_fitted_along():
    rng = np.random.default_rng(0)
    inputs, past = rng.normal(size=(12, 4)), rng.normal(size=(300, 4)) * [1, 1, 1, 2]

    def f(x):
        return np.stack([np.sin(x[:, 0] + x[:, 1]), x[:, 2] ** 2], axis=1)

    memory = AnswerMemory(1000)
    memory.add(past, f(past))
    remembering = KernelScheme(12, 18, memory=memory)
    fixed = KernelScheme(12, 18, memory=memory, fit=None)
    error = relative_mse(f, inputs, remembering, 6)
    assert error < 0.1 * relative_mse(f, inputs, fixed, 6)
    assert error < 0.01 * relative_mse(f, inputs, KernelScheme(12, 18), 6)
    with pytest.raises(TypeError, match="no matrix"):
        remembering.bind(inputs).decoding_matrix(range(18))


def test_a_remembered_input_is_known():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(12, 4))
    memory = AnswerMemory(50)
    memory.add(inputs[:9], np.sin(inputs[:9]))
    scheme = KernelScheme(12, 12, memory=memory).bind(inputs)
    answers, who = np.sin(scheme.encode(inputs)), np.arange(5)
    outputs, std = scheme.decode_with_std(answers[who], who)
    np.testing.assert_allclose(outputs[:9], np.sin(inputs[:9]), rtol=0, atol=1e-12)
    assert not std[:9].any()
