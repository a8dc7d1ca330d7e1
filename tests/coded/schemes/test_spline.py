import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coded import (
    MachineStragglers,
    ReplicationScheme,
    SplineScheme,
    simulate,
)
from coded.estimation.cross_validation import pooled_gcv
from coded.estimation.splines_on_lines import least_lam, left_out
from coded.nearness.features import pooled_gradients
from coded.nearness.order import path_order
from coded.places.input_lines import is_curve, several_lines
from coded.schemes.bound_layouts import risks
from fastspline import Smoother, select_lam
from fastspline.bundle import posterior_variances
from tests.oracles import codes as reference


def process_posterior(knots, values, points, noise, scale):
    """Mean and variance of a + b t + sqrt(scale) W(t) given noisy values, by dense conditioning.

    W is the integrated Wiener process from the leftmost place, a and b are unknown; noise (n,).
    """
    start = min(knots.min(), points.min())

    def covariance(s, t):
        low, high = np.minimum.outer(s, t) - start, np.maximum.outer(s, t) - start
        return scale * low**2 * (3 * high - low) / 6

    def trend(t):
        return np.stack([np.ones_like(t), t], axis=1)

    prior = covariance(knots, knots) + np.diag(noise)
    cross = np.linalg.solve(prior, covariance(knots, points))
    design = np.linalg.solve(prior, trend(knots))
    information = trend(knots).T @ design
    line = np.linalg.solve(information, design.T @ values)
    mean = trend(points) @ line + cross.T @ (values - trend(knots) @ line)
    gap = trend(points).T - trend(knots).T @ cross
    variance = covariance(points, points).diagonal() - np.einsum(
        "ij,ij->j", cross, covariance(knots, points)
    )
    return mean, variance + np.einsum("ij,ij->j", gap, np.linalg.solve(information, gap))


def some_lines(rng, n_lines, n_places):
    return np.stack(
        [rng.permutation(np.cumsum(rng.uniform(0.2, 2.0, n_places))) for _ in range(n_lines)]
    )


def cloud(n_inputs, n_numbers=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n_inputs, n_numbers))


def rough(inputs):
    weights = np.random.default_rng(5).normal(size=(inputs.shape[1], 30))
    out = np.random.default_rng(6).normal(size=(30, 4))
    return np.maximum(inputs @ weights + 0.3, 0.0) @ out


# Lines and what splines along them tell.


@given(
    seed=st.integers(0, 10**6), n_knots=st.integers(2, 8), lam=st.sampled_from([1e-2, 1.0, 30.0])
)
def test_variances_are_those_of_an_integrated_wiener_process(seed, n_knots, lam):
    rng = np.random.default_rng(seed)
    lines = some_lines(rng, 2, n_knots + 4)
    weights = rng.uniform(0.5, 3.0, n_knots)
    knots = lines[:, :n_knots]
    found = posterior_variances(knots, lines, lam=lam, weights=weights)
    for q in range(2):
        zeros = np.zeros((n_knots, 1))
        _, expected = process_posterior(knots[q], zeros, lines[q], 1 / weights, 1 / lam)
        np.testing.assert_allclose(found[q], expected, rtol=1e-6)


@given(seed=st.integers(0, 10**6), weighted=st.booleans())
def test_left_out_answers_are_really_left_out(seed, weighted):
    rng = np.random.default_rng(seed)
    n_lines, n_knots, lam = 3, 7, 0.05
    lines = some_lines(rng, n_lines, n_knots)
    values = rng.normal(size=(n_knots, 2))
    weights = rng.uniform(0.5, 3.0, n_knots) if weighted else None
    noise = np.ones(n_knots) if weights is None else 1 / weights
    errors, own = left_out(lines, values, lam=lam, weights=weights)
    for i in range(n_knots):
        rest = np.arange(n_knots) != i
        told = [
            process_posterior(line[rest], values[rest], line[[i]], noise[rest], 1 / lam)
            for line in lines
        ]
        precision = np.array([1 / (variance[0] + noise[i]) for _, variance in told])
        estimate = sum(p * mean[0] for p, (mean, _) in zip(precision, told, strict=True))
        np.testing.assert_allclose(
            errors[i], values[i] - estimate / precision.sum(), rtol=1e-6, atol=1e-8
        )
        assert own[i] == pytest.approx(n_lines / precision.sum(), rel=1e-6)


def test_risks_are_the_gaps_that_all_other_answers_leave():
    lines = several_lines(cloud(9), path_order(cloud(9)))
    found, lam = risks(lines), least_lam(9)
    for k in range(9):
        rest = np.arange(9) != k
        told = [
            process_posterior(line[rest], np.zeros((8, 1)), line[[k]], np.ones(8), 1 / lam)[1][0]
            for line in lines
        ]
        assert found[k] == pytest.approx(sum(1 / v for v in told) ** (-1 / 3), rel=1e-6)


def test_lines_are_short_paths_of_which_the_first_is_the_path():
    inputs = cloud(30)
    order = path_order(inputs)
    lines = several_lines(inputs, order)
    lengths = [reference.path_length(inputs, np.argsort(line)) for line in lines]
    assert np.array_equal(np.argsort(lines[0]), order)
    assert len({tuple(np.argsort(line)) for line in lines}) > 10
    assert max(lengths) < 1.25 * lengths[0]
    for line in lines:
        steps = np.linalg.norm(np.diff(inputs[np.argsort(line)], axis=0), axis=1)
        np.testing.assert_allclose(np.diff(np.sort(line)), 2 * steps / steps.sum(), rtol=1e-9)


def test_inputs_of_one_parameter_lie_on_a_curve_and_others_do_not():
    rng = np.random.default_rng(0)
    for n_inputs in (15, 60):
        parameter = rng.uniform(0, 3, (n_inputs, 1))
        for inputs in (parameter, np.sin(parameter * rng.normal(size=(1, 40)))):
            assert is_curve(inputs, path_order(inputs))
    for n_inputs, n_numbers in ((20, 3), (60, 2), (60, 3), (60, 784)):
        inputs = cloud(n_inputs, n_numbers)
        assert not is_curve(inputs, path_order(inputs))
    assert is_curve(np.ones((8, 2)), np.arange(8))


def test_a_grid_and_a_few_inputs_are_no_curve():
    grid = np.stack(np.meshgrid(np.arange(4.0) / 3, np.arange(5.0) / 4), axis=-1).reshape(20, 2)
    for inputs in (grid, np.linspace(0, 1, 7)[:, None], np.linspace(0, 1, 3)[:, None]):
        assert not is_curve(inputs, path_order(inputs))
    assert is_curve(cloud(2), np.arange(2))


def test_splines_through_inputs_that_are_no_curve_keep_their_value_beyond_the_last_answer():
    inputs = np.arange(5.0)
    bound = SplineScheme(5, 5, n_stragglers=3).bind(inputs)
    answered = np.flatnonzero((bound.encoding_matrix != 0)[:, 1:4].any(axis=1))
    answers = np.exp(bound.encode(inputs))[answered]
    outputs = bound.decode(answers, answered)
    np.testing.assert_allclose(outputs[[0, 4]], np.exp(inputs[[1, 3]]), rtol=1e-12)


# Generalised cross-validation.


def dense_gcv(lines, values, which, lam):
    total = 0.0
    for line in lines:
        places = line[which]
        hat = np.stack(
            [
                process_posterior(places, unit[:, None], places, np.ones(len(places)), 1 / lam)[0][
                    :, 0
                ]
                for unit in np.eye(len(places))
            ],
            axis=1,
        )
        residuals, left_out, n = values - hat @ values, 1.0 - np.diag(hat), len(places)
        rest = left_out.sum()
        caution = np.exp(15 * (left_out**2).sum() / rest**2) * (n - rest) ** (5 / n)
        total += n * (residuals**2).sum() / rest**2 * caution
    return total


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), repeated=st.booleans())
def test_pooled_gcv_finds_the_least_score_of_all_values(seed, repeated):
    rng = np.random.default_rng(seed)
    n_knots = 9
    lines = np.sort(some_lines(rng, 2, n_knots), axis=1)
    which = np.sort(rng.integers(0, n_knots, 16)) if repeated else np.arange(n_knots)
    which = np.unique(np.concatenate([np.arange(n_knots), which]), return_inverse=True)[1]
    which = np.concatenate([which, rng.integers(0, n_knots, 7)]) if repeated else which
    values = np.sin(lines[0] * 0.7)[which, None] + 0.3 * rng.normal(size=(len(which), 2))
    lam = pooled_gcv(lines, values, which)
    found = dense_gcv(lines, values, which, lam)
    gap, reach = (np.ptp(lines, axis=1).max() / n_knots) ** 3, np.ptp(lines, axis=1).max() ** 3
    places = np.linspace(np.log10(1e-4 * gap), np.log10(1e2 * reach), 15)
    assert found <= min(dense_gcv(lines, values, which, 10.0**p) for p in places) * (1 + 1e-4)


def test_pooled_gcv_of_many_columns_is_that_of_all_of_them():
    rng = np.random.default_rng(0)
    lines, which = np.sort(some_lines(rng, 2, 6), axis=1), np.array([0, 1, 2, 3, 4, 5, 2, 4])
    values = np.sin(lines[0])[which, None] + 0.3 * rng.normal(size=(8, 50))
    lam = pooled_gcv(lines, values, which)
    found = dense_gcv(lines, values, which, lam)
    assert found <= min(dense_gcv(lines, values, which, lam * c) for c in (0.5, 2.0)) * (1 + 1e-4)
    assert pooled_gcv(lines, values @ np.linalg.qr(rng.normal(size=(50, 50)))[0], which) == (
        pytest.approx(lam, rel=1e-6)
    )


def test_pooled_gcv_does_not_follow_noise_between_close_knots():
    """Plain GCV follows it in 2 of these 40 draws."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        line = np.sort(rng.uniform(-1.0, 1.0, 100))
        values = 2.0 * line + 0.3 * rng.normal(size=100)
        lam = pooled_gcv(line[None], values[:, None], np.arange(100))
        assert Smoother(line, lam=lam).df < 20.0, seed


@pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")
@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("noise", [1e-3, 0.05, 0.5])
def test_pooled_gcv_on_one_line_chooses_as_select_lam_does(noise, columns):
    rng = np.random.default_rng(3)
    line = np.linspace(0.0, 1.0, 100)
    values = np.sin(40.0 * np.pi * line)[:, None] + noise * rng.normal(size=(100, columns))
    lam = pooled_gcv(line[None], values, np.arange(100))
    chosen = select_lam(line, values, per_column=False)
    assert Smoother(line, lam=lam).df == pytest.approx(Smoother(line, lam=chosen).df, abs=0.05)
    if noise == 1e-3:  # five points a wave: interpolation is right
        assert 99.8 < Smoother(line, lam=lam).df < 100.0


def test_noisy_answers_are_smoothed_by_the_lam_that_they_choose():
    inputs = np.linspace(0.0, 6.0, 20)
    rng = np.random.default_rng(0)
    errors = {}
    for lam in (0.0, "gcv"):
        scheme = SplineScheme(20, 90, lam_dec=lam).bind(inputs)
        outputs = [
            scheme.decode(np.sin(scheme.encode(inputs)) + 0.3 * rng.normal(size=90), range(90))
            for _ in range(20)
        ]
        errors[lam] = np.sqrt(np.mean((np.array(outputs) - np.sin(inputs)) ** 2))
    assert errors["gcv"] < 0.5 * errors[0.0]


@pytest.mark.parametrize("make", [SplineScheme, SplineScheme.paper])
def test_gcv_decodes_by_the_spline_through_all_answers_at_the_chosen_lam(make):
    scheme = make(6, 21, lam_dec="gcv")
    answers = np.random.default_rng(0).normal(size=(15, 3)).cumsum(axis=0)
    responders = np.arange(3, 18)
    knots, which = np.unique(scheme.beta[responders], return_inverse=True)
    lam = pooled_gcv(knots[None], answers, which)
    expected, _ = process_posterior(
        scheme.beta[responders], answers, scheme.alpha, np.ones(15), 1 / lam
    )
    np.testing.assert_allclose(scheme.decode(answers, responders), expected, rtol=0, atol=1e-6)
    assert scheme.decode(answers.astype(np.float32), responders).dtype == np.float32
    assert not scheme.exact_mask(responders).any()
    assert scheme.lam_dec == "gcv"
    assert "lam_dec='gcv'" in repr(scheme)
    with pytest.raises(TypeError, match="has no matrix"):
        scheme.decoding_matrix(responders)
    with pytest.raises(ValueError, match=r"coded_outputs\[2, 1\] = nan"):
        scheme.decode(np.where(np.arange(45).reshape(15, 3) == 7, np.nan, answers), responders)
    with pytest.raises(TypeError, match="lam_enc must be a number, got 'gcv'"):
        make(4, 9, lam_enc="gcv")


# The decoder on several lines.


@pytest.mark.parametrize("lam", [0.0, 1e-3])
def test_other_inputs_are_decoded_by_the_mean_of_splines_on_several_lines(lam):
    inputs = cloud(12)
    scheme = SplineScheme(12, 24, n_stragglers=12, lam_dec=lam).bind(inputs)
    coded_inputs = scheme.encode(inputs)
    responders = np.arange(5, 17)
    answers = rough(coded_inputs)[responders]
    held = np.array([int(np.abs(inputs - u).sum(axis=1).argmin()) for u in coded_inputs])
    assert np.array_equal(coded_inputs, inputs[held])
    known, first = np.unique(held[responders], return_index=True)
    total, precision = np.zeros((12, 4)), np.zeros((12, 1))
    for line in several_lines(inputs, path_order(inputs)):
        along = np.argsort(line[known])
        spline = reference.smoothing_spline(line[known][along], answers[first][along], lam, line)
        seen = max(lam, least_lam(12))
        _, variance = process_posterior(
            line[known], np.zeros((len(known), 1)), line, np.ones(len(known)), 1 / seen
        )
        total += spline / variance[:, None]
        precision += 1 / variance[:, None]
    expected = total / precision
    outputs = scheme.decode(answers, responders)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    if lam == 0.0:
        assert np.array_equal(outputs[known], answers[first])
        assert len(known) < 12


def test_inputs_far_from_others_get_more_copies():
    inputs = np.concatenate([0.1 * cloud(20, 3), [[9.0, 9.0, 9.0], [-9.0, 9.0, 0.0]]])
    scheme = SplineScheme(22, 33, n_stragglers=11).bind(inputs)
    coded_inputs = scheme.encode(inputs)
    copies = (coded_inputs[:, None] == inputs).all(axis=2).sum(axis=0)
    assert copies.sum() == 33
    assert copies.min() == 1
    assert copies[20:].min() > copies[:20].max()
    assert np.isin(scheme.beta, scheme.alpha).all()


def test_images_are_laid_out_by_their_gradients():
    images = np.random.default_rng(0).random((9, 12, 12))
    gradients = pooled_gradients(images)
    features = gradients / np.sqrt(np.linalg.norm(gradients, axis=1, keepdims=True))
    scheme = SplineScheme(9, 18).bind(images)
    steps = np.linalg.norm(np.diff(features[path_order(features)], axis=0), axis=1)
    np.testing.assert_allclose(np.diff(scheme.alpha), 2 * steps / steps.sum(), rtol=1e-9)
    flat = SplineScheme(4, 8).bind(np.zeros((4, 9, 9)))
    assert flat.alpha.tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1])


# Error estimates.


@pytest.mark.parametrize("lam", [0.0, 1e-3, np.inf, "gcv"])
@pytest.mark.parametrize("make", [SplineScheme, SplineScheme.paper])
@pytest.mark.parametrize("inputs", [cloud(5), np.linspace(0, 1, 5)[:, None]], ids=["cloud", "line"])
def test_every_std_is_a_number_and_goes_with_the_outputs(make, lam, inputs):
    scheme = make(5, 8, lam_dec=lam).bind(inputs)
    answers = np.random.default_rng(1).normal(size=(8, 2))
    for count in (2, 3, 4, 8):
        for responders in itertools.islice(itertools.combinations(range(8), count), 0, None, 5):
            rows = answers[list(responders)]
            outputs, std = scheme.decode_with_std(rows, responders)
            assert np.array_equal(outputs, scheme.decode(rows, responders))
            assert std.shape == (5,)
            assert not np.isnan(std).any()
            exact = scheme.exact_mask(responders)
            assert (std[exact] == 0).all()
            assert (std[~exact] > 0).all()
            _, thrice = scheme.decode_with_std(-3.0 * rows, responders)
            np.testing.assert_allclose(thrice, 3.0 * std, rtol=1e-5)


def test_few_answers_tell_little_of_the_error():
    scheme = SplineScheme(3, 9)
    _, std = scheme.decode_with_std([[0.0, 0.0], [3.0, 4.0]], [0, 8])
    assert std.tolist() == [0, 5, 0]
    _, std = scheme.decode_with_std([1.0, 1.0], [0, 1])
    assert std.tolist() == [0, np.inf, np.inf]


@pytest.mark.parametrize(("n_inputs", "n_workers", "lost"), [(20, 60, 20), (40, 60, 30)])
def test_errors_are_as_large_as_their_estimates(n_inputs, n_workers, lost):
    error = estimate = 0.0
    for seed in range(8):
        inputs = cloud(n_inputs, seed=seed)
        scheme = SplineScheme(n_inputs, n_workers, n_stragglers=lost)
        result = simulate(rough, inputs, scheme, stragglers=lost, repeats=10, rng=seed)
        is_lost = ~result.exact
        errors = np.linalg.norm(result.outputs - result.reference, axis=-1)
        error += (errors[is_lost] ** 2).sum()
        estimate += (result.std[is_lost] ** 2).sum()
    assert 0.8 < np.sqrt(error / estimate) < 1.25


def test_noise_that_close_answers_multiply_is_expected():
    """Interpolation from two answers a small step apart errs by their noise over the step."""

    def noisy(points):
        return np.cos(3.0 * points) + 0.1 * np.sin(43758.5 * points)

    lost = MachineStragglers(3, workers_per_machine=8)
    error, std = [], []
    for seed in range(10):
        inputs = np.random.default_rng([5, seed]).uniform(0.0, 3.0, 40)
        scheme = SplineScheme(40, 80, n_stragglers=24)
        result = simulate(noisy, inputs, scheme, stragglers=lost, repeats=2, rng=seed)
        error.append(np.abs(result.outputs - result.reference)[~result.exact])
        std.append(result.std[~result.exact])
    error, std = np.concatenate(error), np.concatenate(std)
    assert (error <= 1.96 * std).mean() > 0.75  # .66, were errors judged with a noise of .01
    assert np.sqrt((error**2).mean() / (std**2).mean()) < 4.0  # 7.5


# What it is for.


def test_smooth_functions_of_one_parameter_are_decoded_well():
    inputs = np.linspace(0.0, 10.0, 60)
    result = simulate(
        lambda x: x * np.sin(x), inputs, SplineScheme(60, 100, n_stragglers=20), stragglers=20
    )
    assert result.mse.mean() < 1e-7 * result.reference.var()


@pytest.mark.parametrize("n_numbers", [2, 3])
def test_lost_answers_are_nearer_than_those_of_the_nearest_input(n_numbers):
    errors = {SplineScheme: [], ReplicationScheme: []}
    for seed in range(6):
        inputs = cloud(30, n_numbers, seed)
        for make, found in errors.items():
            scheme = make(30, 60, n_stragglers=24)
            result = simulate(
                lambda x: np.sin(x.sum(axis=1, keepdims=True) * [1.0, 0.5]), inputs, scheme,
                stragglers=24, rng=seed,
            )  # fmt: skip
            found.append(result.mean_l2.mean())
    assert np.mean(errors[SplineScheme]) < 0.9 * np.mean(errors[ReplicationScheme])


def test_permuting_a_cloud_permutes_outputs_and_errors():
    inputs, shuffle = cloud(15), np.random.default_rng(3).permutation(15)
    responders = np.arange(4, 20)
    found = []
    for given_inputs in (inputs, inputs[shuffle]):
        scheme = SplineScheme(15, 30).bind(given_inputs)
        answers = rough(scheme.encode(given_inputs))[responders]
        found.append(scheme.decode_with_std(answers, responders))
    (outputs, std), (permuted, permuted_std) = found
    np.testing.assert_array_equal(permuted, outputs[shuffle])
    np.testing.assert_allclose(permuted_std, std[shuffle], rtol=4 * np.finfo(float).eps)
    again = pickle.loads(pickle.dumps(scheme))
    np.testing.assert_array_equal(again.decode(answers, responders), permuted)


@pytest.mark.parametrize("n_parameters", [1, 2, 4])
def test_all_outputs_are_exact_where_the_copies_cannot_all_be_lost(n_parameters):
    inputs = np.random.default_rng(3).normal(size=(7, n_parameters))
    scheme = SplineScheme(7, 24, n_stragglers=2).bind(inputs)
    for lost in itertools.combinations(range(24), 2):
        assert scheme.exact_mask(np.setdiff1d(np.arange(24), lost)).all()


@pytest.mark.parametrize("n_parameters", [2, 3])
def test_the_unit_of_a_parameter_does_not_matter(n_parameters):
    rng = np.random.default_rng(5)
    inputs, units = rng.normal(size=(12, n_parameters)), np.array([1e-6, 1.0, 1e9])[:n_parameters]
    schemes = [SplineScheme(12, 20).bind(scaled) for scaled in (inputs, inputs * units)]
    responders = np.sort(rng.permutation(20)[:11])
    matrices = [scheme.decoding_matrix(responders) for scheme in schemes]
    np.testing.assert_allclose(*matrices, rtol=0, atol=1e-9)


def test_a_block_of_lost_workers_leaves_no_wide_gap():
    inputs = np.linspace(0.0, 10.0, 60)
    scheme = SplineScheme(60, 100, n_stragglers=20).bind(inputs)
    coded_outputs = np.sin(scheme.encode(inputs))
    for start in range(81):
        responders = np.setdiff1d(np.arange(100), np.arange(start, start + 20))
        outputs = scheme.decode(coded_outputs[responders], responders)
        np.testing.assert_allclose(outputs, np.sin(inputs), rtol=0, atol=5e-3)
