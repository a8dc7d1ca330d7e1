import math

import numpy as np
import pytest
import torch

from coded import label_confidence, mean_interval, mean_l2, relative_accuracy

TRUTH = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]
ESTIMATES = [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1]]


def test_the_golden_value_of_the_unsquared_norm():
    assert mean_l2(ESTIMATES, TRUTH) == pytest.approx(0.3535533905932738, abs=1e-15)
    assert mean_l2(torch.tensor(ESTIMATES), torch.tensor(TRUTH)) == pytest.approx(
        0.35355339, abs=1e-7
    )


def test_repeats_are_measured_one_by_one():
    rng = np.random.default_rng(0)
    outputs, reference = rng.normal(size=(4, 5, 2, 3)), rng.normal(size=(5, 2, 3))
    expected = [
        sum(math.sqrt(((a - b) ** 2).sum()) for a, b in zip(repeat, reference, strict=True)) / 5
        for repeat in outputs
    ]
    np.testing.assert_allclose(mean_l2(outputs, reference), expected, rtol=1e-14)


def test_scalar_outputs_have_absolute_errors():
    assert mean_l2([1.0, -2.0], [0.0, 0.0]) == 1.5
    np.testing.assert_allclose(mean_l2([[1.0, -2.0], [0.0, 4.0]], [0.0, 0.0]), [1.5, 2.0])


def test_relative_accuracy_is_a_ratio_of_accuracies():
    labels = [0, 2]
    assert relative_accuracy(TRUTH, TRUTH, labels) == 1
    assert relative_accuracy([[0, 1, 0], [0, 0, 1]], TRUTH, labels) == 1
    assert relative_accuracy([[1, 0, 0], [0, 0, 1]], TRUTH, labels) == 2
    repeats = np.stack([TRUTH, np.roll(TRUTH, 1, axis=1)])
    np.testing.assert_array_equal(relative_accuracy(repeats, TRUTH, labels), [1, 1])


def test_the_interval_is_students():
    # t(0.975, 4) = 2.776445105
    mean, half_width = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3
    assert half_width == pytest.approx(2.776445105 * math.sqrt(2.5 / 5), rel=1e-9)
    assert mean_interval([2.0]) == (2.0, math.inf)


@pytest.mark.parametrize(
    ("outputs", "reference", "message"),
    [
        ([[1.0, 2.0]], [1.0, 2.0, 3.0], r"outputs has shape \(1, 2\) and reference \(3,\)"),
        ([1.0], 1.0, "reference must be"),
        (np.empty((0, 3)), np.empty((0, 3)), "without empty axes"),
        ([np.nan], [1.0], r"outputs\[0\] = nan"),
        ([1.0], [np.inf], r"reference\[0\] = inf"),
    ],
)
def test_bad_pairs_are_refused(outputs, reference, message):
    with pytest.raises(ValueError, match=message):
        mean_l2(outputs, reference)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0.0, 1.0], TypeError, "labels must hold integers"),
        ([0, 3], ValueError, r"labels\[1\] = 3"),
        ([0, -1], ValueError, r"labels\[1\] = -1"),
        ([0], ValueError, r"labels has shape \(1,\)"),
        ([2, 2], ValueError, "right for none"),
    ],
)
def test_bad_labels_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        relative_accuracy(ESTIMATES, TRUTH, labels)


def test_bad_draws_are_refused():
    with pytest.raises(ValueError, match="at least one draw"):
        mean_interval([])
    with pytest.raises(ValueError, match=r"values\[1\] = nan"):
        mean_interval([1.0, np.nan])


def test_label_confidence_is_how_often_the_largest_stays_the_largest():
    # Two classes, errors of norm 2 in the root mean square: independent normal, sigma = sqrt(2).
    rng = np.random.default_rng(0)
    outputs = np.array([1.0, -0.5])
    draws = outputs + math.sqrt(2.0) * rng.normal(size=(200_000, 2))
    expected = (draws[:, 0] > draws[:, 1]).mean()
    assert label_confidence(outputs, 2.0) == pytest.approx(expected, abs=0.005)
    formula = 0.5 * (1 + math.erf(1.5 / 2.0 / math.sqrt(2)))
    assert label_confidence(outputs, 2.0) == pytest.approx(formula, rel=1e-8)
    outputs = np.array([0.0, 4.0, 2.5, -1.0])
    draws = outputs + 3.0 / math.sqrt(4) * rng.normal(size=(200_000, 4))
    expected = (draws.argmax(axis=1) == 1).mean()
    assert label_confidence(outputs, 3.0) == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize("std", [0.01, 0.5, 3.0, 40.0])
def test_label_confidence_is_the_integral(std):
    from scipy.integrate import quad
    from scipy.stats import norm

    outputs = np.array([1.0, 3.0, 2.9, -4.0, 0.0])
    margins = (3.0 - np.delete(outputs, 1)) / (std / math.sqrt(5))

    def density(t):
        return norm.pdf(t) * norm.cdf(margins + t).prod()

    expected, _ = quad(density, -12.0, 12.0, epsabs=1e-12, limit=200)
    assert label_confidence(outputs, std) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("n_classes", [2, 10, 100, 1000])
@pytest.mark.parametrize("std", [1.0, np.inf])
def test_label_confidence_of_classes_that_are_alike_is_their_share(n_classes, std):
    confidence = label_confidence(np.full(n_classes, 3.0), std)
    assert confidence == pytest.approx(1.0 / n_classes, rel=1e-9)


def test_label_confidence_takes_all_finite_numbers():
    outputs = np.array([[1.7e308, -1.7e308], [1.7e308, -1.7e308], [1e10, 0.0]])
    confidence = label_confidence(outputs, [1.0, np.inf, 1e-310])
    np.testing.assert_allclose(confidence, [1.0, 0.5, 1.0], rtol=0, atol=1e-12)


def test_label_confidence_at_the_ends():
    outputs = np.array([[[1.0, 0.0], [1.0, 0.0], [2.0, 2.0]], [[1.0, 0.0], [2.0, 2.0], [0.0, 1.0]]])
    std = [[0.0, np.inf, 1.0], [1e-300, 0.0, 1e9]]
    confidence = label_confidence(outputs, std)
    np.testing.assert_allclose(confidence, [[1.0, 0.5, 0.5], [1.0, 0.5, 0.5]], rtol=0, atol=1e-9)
    assert label_confidence([3.0, 1.0, 0.0, 2.0], np.inf) == pytest.approx(0.25, abs=1e-9)


@pytest.mark.parametrize(
    ("outputs", "std", "message"),
    [
        ([[1.0, 2.0]], [1.0, 2.0], r"outputs has shape \(1, 2\) and std \(2,\)"),
        ([[1.0]], [1.0], "at least two classes"),
        (1.0, 1.0, r"outputs has shape \(\)"),
        ([[1.0, np.nan]], [1.0], r"outputs\[0, 1\] = nan"),
        ([[1.0, 2.0], [1.0, 2.0]], [1.0, np.nan], "number 1 of it is nan"),
        ([1.0, 2.0], -1.0, r"std must be >= 0 .* number 0 of it is -1.0"),
    ],
)
def test_bad_confidence_is_refused(outputs, std, message):
    with pytest.raises(ValueError, match=message):
        label_confidence(outputs, std)


def test_confidence_without_std_says_which_schemes_have_one():
    from coded import LagrangeScheme, simulate

    inputs = np.linspace(0.0, 1.0, 4)
    result = simulate(
        lambda x: np.stack([x, 1.0 - x], axis=1),
        inputs,
        LagrangeScheme(4, 8, degree=2),
        stragglers=1,
    )
    with pytest.raises(TypeError, match="estimates no errors; decode with one that has decode_wi"):
        label_confidence(result.outputs, result.std)
