"""Whether the errors that a blend expects are those that it makes."""

from dataclasses import replace

import numpy as np
import pytest

from coded import KernelScheme, simulate
from coded.estimation.blend import blend
from coded.estimation.candidates import Mean, Nearest, Process, trend_of
from coded.estimation.likelihood import Values


def product_of_eight(rows):
    slopes = np.array([3.0, 2.0, 1.5, 1.0, 0.7, 0.5, 0.3, 0.2])
    return np.prod(1.0 + np.sin(slopes * rows), axis=1)


def piston_of_six(rows):
    a, b, c, d, e, f = rows.T
    return np.sqrt(1.0 + a * b) / (0.2 + c) * np.exp(d) * (1.0 + e * f)


@pytest.mark.parametrize(("fn", "columns"), [(product_of_eight, 8), (piston_of_six, 6)])
def test_what_lengths_took_from_left_out_errors_is_given_back(fn, columns):
    errors, stds = [], []
    for i in range(16):
        inputs = np.random.default_rng([7, i]).uniform(size=(30, columns))
        scheme = KernelScheme(30, 45, n_stragglers=22)
        run = simulate(fn, inputs, scheme, stragglers=22, repeats=2, rng=i)
        lost = ~run.exact
        errors.append(np.abs(run.outputs - run.reference)[lost])
        stds.append(run.std[lost])
    error, std = np.concatenate(errors), np.concatenate(stds)
    assert 0.8 < np.sqrt((error**2).mean() / (std**2).mean()) < 1.3  # 1.6 and 1.5 without
    assert (error <= 1.96 * std).mean() > 0.82  # .72 and .81 without


@pytest.mark.parametrize("columns", [24, 3])
def test_rounding_is_expected_where_f_is_known_exactly(columns):
    """A plane of many numbers, a quadratic function of few: what is left out is hardly missed."""
    rng = np.random.default_rng(columns)
    slopes, errors, stds = rng.normal(size=columns), [], []
    for i in range(3):
        inputs = rng.normal(size=(40, columns))
        run = simulate(
            lambda rows: (rows @ slopes) ** (1 + (columns == 3)),
            inputs, KernelScheme(40, 80, n_stragglers=24), stragglers=24, rng=i,
        )  # fmt: skip
        errors.append(np.abs(run.outputs - run.reference)[~run.exact])
        stds.append(run.std[~run.exact])
    error, std = np.concatenate(errors), np.concatenate(stds)
    assert std.max() < 1e-2
    assert (error <= 1.96 * std).mean() > 0.9  # hardly one in ten without


def test_errors_left_out_are_explained_by_what_is_expected_of_them():
    """Of predictors without a process each error has the same variance: nothing tells more."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(12, 1))
    squared = rng.uniform(size=(12, 12))
    found = [Mean(3, values), Nearest(squared + squared.T, squared[:3], values)]
    weights, variances, left_out = blend(found, values, power=10.0)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    np.testing.assert_allclose(weights, np.full((3, 12), 1 / 12))  # the nearest err far more
    np.testing.assert_allclose(left_out, found[0].left_out[:, 0] ** 2)
    np.testing.assert_allclose(variances, left_out.sum() / (12 - 1.5))
    # Lengths cost 1.5 degrees of freedom each, and never more than half.
    for n_lengths, taken in ((1, 3.0), (2, 4.5), (9, 6.0)):
        np.testing.assert_allclose(
            blend(found, values, n_lengths, 10.0)[1], left_out.sum() / (12 - taken)
        )
    few = [Mean(3, values[:8]), Nearest(squared[:8, :8] + 1.0, squared[:3, :8], values[:8])]
    one, other = (blend(few, values[:8], n_lengths)[1] for n_lengths in (0, 5))
    np.testing.assert_allclose(one, other)


def independent(variances, errors, at_zero):
    """Kriging of values that tell nothing of each other, with targets of one variance."""
    n = len(variances)
    trend = trend_of(Values(errors, np.ones(n)), np.zeros((n, 0)), np.zeros((3, 0)))
    given = replace(trend.given, basis=np.eye(n))  # nothing is removed
    trend = replace(trend, pseudo_inverse=0.0 * trend.pseudo_inverse, given=given)
    among, factor = np.diag(variances), np.diag(np.sqrt(variances))
    nothing = np.zeros((3, n))
    return Process(trend, at_zero, 0.0, among, nothing, factor, errors, variances, 0)


def test_as_much_is_expected_as_was_missed_where_variances_are_like_the_targets():
    """Here errors grow as the square of the variance, as those of smooth functions do."""
    variances = np.repeat([1e-2, 1.0], 20)
    errors = 0.3 * variances[:, None]
    for at_zero in (1e-2, 1.0):
        process = independent(variances, errors, at_zero)
        expected = 0.09 * at_zero**2 * 40 / (40 - 1.5)
        # 99 times that where variances are small, were all errors to count alike.
        np.testing.assert_allclose(blend([process], errors)[1], expected, rtol=0.4)


def test_few_left_out_errors_are_pulled_to_the_variance_of_the_values():
    errors = np.full((5, 1), 0.1)
    process = independent(np.ones(5), errors, 1.0)
    expected = 0.01**0.75 * 5 / (5 - 1.5)
    np.testing.assert_allclose(blend([process], errors)[1], expected)


def test_no_more_is_expected_than_values_differ():
    values = np.random.default_rng(2).normal(size=(12, 1))
    values /= values.std()
    wild = Mean(3, values)
    wild.left_out = 5.0 * wild.left_out  # as of a predictor that leaves the values
    np.testing.assert_allclose(blend([wild], values)[1], 2.0 + 20.0 / 12)
