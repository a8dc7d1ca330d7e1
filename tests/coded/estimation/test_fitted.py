import numpy as np
import pytest

from coded.estimation.fitted import estimate
from coded.estimation.likelihood import Values
from coded.estimation.views import Description


def smooth(rows):
    return np.stack([np.sin(rows[:, 0] + 0.5 * rows[:, -1]), np.cos(rows[:, 0])], axis=1)


def case(n, t, d, seed=0):
    rows = np.random.default_rng(seed).uniform(-1.5, 1.5, size=(n + t, d))
    return rows, np.arange(n), np.arange(n, n + t)


def of(rows, known, wanted, values, **options):
    answered = values if isinstance(values, Values) else Values(values, np.ones(len(values)))
    return estimate(Description(rows, **options).views, known, wanted, answered)


@pytest.mark.parametrize("columns", [1, 2, 30, 1500, 40000])
def test_many_columns_weigh_as_their_products(columns):
    """Columns in another orthogonal basis, then, that has few of them."""
    rows, known, wanted = case(20, 6, 2)
    few = smooth(rows)[:20]
    rng = np.random.default_rng(1)
    directions = np.linalg.qr(rng.normal(size=(max(columns, 2), 2)))[0][:columns]
    if columns == 1:
        few, directions = few[:, :1], np.ones((1, 1))
    found = of(rows, known, wanted, few @ directions.T)
    expected = of(rows, known, wanted, few)
    # Other rounding, other lengths; and of many columns the squares have half the digits.
    atol = 1e-4 if columns > 1024 else 1e-5
    np.testing.assert_allclose(found.weights @ few, expected.weights @ few, rtol=0, atol=atol)
    np.testing.assert_allclose(found.std, expected.std, rtol=1e-2)


def test_points_that_coincide_are_one():
    rows, known, wanted = case(12, 4, 3)
    again = np.concatenate([rows, rows[[2, 2, 5]]])
    values = smooth(rows)
    some = np.concatenate([known, [16, 17, 18]])
    found = of(again, some, wanted, smooth(again)[some])
    expected = of(rows, known, wanted, values[known])
    np.testing.assert_allclose(
        found.weights @ smooth(again)[some], expected.weights @ values[known], rtol=0, atol=1e-3
    )
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0)


def test_a_wanted_point_that_is_known_gets_its_value():
    rows, known, _ = case(12, 4, 3)
    rows = np.concatenate([rows, rows[[3]]])
    found = of(rows, known, np.array([13, 16]), smooth(rows)[known])
    assert found.weights[1].tolist() == np.eye(12)[3].tolist()
    assert found.std[1] == 0.0
    assert found.std[0] > 0.0


def test_a_known_point_measured_twice_is_its_mean_with_an_error():
    rows, known, wanted = case(12, 4, 3)
    rows = np.concatenate([rows, rows[[3, 3]]])
    values = np.concatenate([smooth(rows)[:12], smooth(rows[[3]]) + 0.2])
    found = of(rows, np.append(known, 16), np.array([17]), values)
    np.testing.assert_allclose(found.weights @ values, [values[[3, 12]].mean(axis=0)])
    # Each lies 0.1 off the mean in both columns: the deviation is that of one degree of freedom.
    assert found.std[0] == pytest.approx(np.sqrt(4 * 0.1**2) / np.sqrt(2))
    assert wanted.size


def test_of_very_many_points_those_nearest_to_a_wanted_one_count():
    rows, known, wanted = case(300, 5, 2)
    found = of(rows, known, wanted, smooth(rows)[:300])
    used = np.flatnonzero(found.weights.any(axis=0))
    assert len(used) <= 200
    for target in rows[wanted]:
        apart = (((rows[known] - target) / rows.std(axis=0)) ** 2).sum(axis=1)
        assert set(np.argsort(apart)[:10]) <= set(used)
    np.testing.assert_allclose(found.weights @ smooth(rows)[:300], smooth(rows)[300:], atol=1e-4)


@pytest.mark.parametrize("d", [1, 3, 11, 40])
def test_far_from_all_values_estimates_stay_among_them(d):
    for seed in range(10):
        rows, known, wanted = case(20, 3, d, seed)
        rows[21] *= 1e12
        values = np.random.default_rng(seed).normal(size=(20, 2))
        found = of(rows, known, wanted, values)
        middle = values.mean(axis=0)
        lengths = np.linalg.norm(values - middle, axis=1)
        outcomes = np.linalg.norm(found.weights @ values - middle, axis=1)
        assert outcomes.max() <= 10.0 * lengths.max() * (1.0 + 1e-9)
        assert np.isfinite(found.std).all()


def test_analytic_functions_are_known_a_little_beyond_their_values():
    """By weights of sizes that sum to thousands."""
    for seed in range(1, 5):
        rows = np.random.default_rng(seed).uniform(-1.0, 1.0, size=(61, 2))
        rows[60] = 1.15
        values = np.exp(-(rows**2) @ np.array([[1.0], [2.0]]))
        found = of(rows, np.arange(60), np.array([60]), values[:60])
        assert np.abs(found.weights).sum() > 3e3
        error = found.weights @ values[:60] - values[60]
        assert np.abs(error) < 0.03 * values.std()
        assert found.std[0] < 0.05 * values.std()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_what_cannot_be_fitted_is_told(n):
    rows, known, wanted = case(n, 2, 2)
    assert of(rows, known, wanted, smooth(rows)[:n]) is None
    rows, known, wanted = case(9, 2, 2)
    assert of(rows, known, wanted, np.ones((9, 2))) is None
    assert of(np.ones((11, 2)), known, wanted, smooth(rows)[:9]) is None
    assert of(rows, known, wanted, np.empty((9, 0))) is None


@pytest.mark.parametrize("d", [1, 4, 10, 11, 40])
def test_units_and_places_of_few_numbers_do_not_matter(d):
    rows, known, wanted = case(25, 6, d)
    rng = np.random.default_rng(2)
    moved = rows * 10.0 ** rng.uniform(-9, 9, d) + 1.0
    values = smooth(rows)[known]
    found = of(moved, known, wanted, values)
    if d > 10:  # as they are, numbers have their units
        assert not np.allclose(found.weights, of(rows, known, wanted, values).weights)
        return
    expected = of(rows, known, wanted, values)
    np.testing.assert_allclose(found.weights @ values, expected.weights @ values, atol=1e-4)


def test_numbers_that_do_not_vary_do_not_matter():
    rows, known, wanted = case(25, 6, 3)
    more = np.insert(rows, [1, 3], 7.0, axis=1)
    values = smooth(rows)[known]
    found, expected = (of(some, known, wanted, values) for some in (more, rows))
    np.testing.assert_array_equal(found.weights, expected.weights)
