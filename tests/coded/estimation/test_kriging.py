import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from coded.estimation.kriging import (
    covariance,
    error_variances,
    has_linear_trend,
    krige,
    krige_nearest,
)
from coded.nearness.distances import distances

POWERS = [0.5, 1.0, 1.5, 1.8, 3.0]
every_power = pytest.mark.parametrize("power", POWERS)


def some_points(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def kriged(known, wanted, power):
    among, to = distances(known, known), distances(wanted, known)
    return krige(among, to, power, known, wanted)


def solved_exactly(known, wanted, power):
    """The bordered system in 60 digits."""
    with mpmath.workdps(60):
        sign = 1 if power > 2 else -1
        n, d = known.shape
        m = d + 1 if power > 2 else 1

        def generalised(a, b):
            squares = [
                (mpmath.mpf(float(x)) - mpmath.mpf(float(y))) ** 2
                for x, y in zip(a, b, strict=True)
            ]
            return sign * mpmath.sqrt(sum(squares)) ** mpmath.mpf(power)

        def trend(a):
            return [mpmath.mpf(1), *(mpmath.mpf(float(x)) for x in a)][:m]

        system = mpmath.zeros(n + m)
        for i in range(n):
            for j in range(n):
                system[i, j] = generalised(known[i], known[j])
            for j, value in enumerate(trend(known[i])):
                system[i, n + j] = system[n + j, i] = value
        inverse = system**-1
        weights = np.empty((len(wanted), n))
        for k, point in enumerate(wanted):
            right = [*(generalised(point, row) for row in known), *trend(point)]
            solution = inverse * mpmath.matrix(right)
            weights[k] = [float(solution[j]) for j in range(n)]
        return weights


@every_power
@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_weights_solve_the_bordered_system(power, d):
    known, wanted = some_points(16, d), some_points(5, d, seed=1)
    expected = solved_exactly(known, wanted, power)
    np.testing.assert_allclose(kriged(known, wanted, power).weights, expected, rtol=0, atol=1e-9)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(5, 12),
    d=st.integers(1, 3),
    power=st.sampled_from(POWERS),
)
def test_no_other_unbiased_predictor_has_a_smaller_variance(seed, n, d, power):
    rng = np.random.default_rng(seed)
    known, wanted = rng.normal(size=(n, d)), rng.normal(size=(3, d))
    found = kriged(known, wanted, power)
    among, to = distances(known, known), distances(wanted, known)
    line = np.hstack([np.ones((n, 1)), known]) if found.power > 2 else np.ones((n, 1))
    step = rng.normal(size=(3, n))
    step -= step @ line @ np.linalg.pinv(line)
    others = error_variances(found.weights + 0.1 * step, among, to, found.power)
    np.testing.assert_allclose(
        found.variances,
        error_variances(found.weights, among, to, found.power),
        rtol=1e-6,
        atol=1e-9,
    )
    assert (others >= found.variances - 1e-9).all()


def test_r3_in_one_dimension_is_the_natural_cubic_spline():
    rng = np.random.default_rng(0)
    knots = np.sort(rng.uniform(0, 10, 15))
    values = np.sin(knots)
    points = np.linspace(knots[0], knots[-1], 40)
    spline = CubicSpline(knots, values, bc_type="natural")
    found = kriged(knots[:, None], points[:, None], 3.0)
    np.testing.assert_allclose(found.weights @ values, spline(points), rtol=0, atol=1e-10)
    beyond = knots[-1] + np.array([0.5, 3.0])
    line = values[-1] + spline(knots[-1], 1) * (beyond - knots[-1])
    np.testing.assert_allclose(
        kriged(knots[:, None], beyond[:, None], 3.0).weights @ values, line, rtol=0, atol=1e-9
    )


def test_r1_in_one_dimension_is_linear_and_constant_beyond():
    knots = np.array([0.0, 1.0, 3.0, 7.0])
    values = np.array([2.0, -1.0, 5.0, 0.0])
    points = np.linspace(-2.0, 9.0, 23)
    found = kriged(knots[:, None], points[:, None], 1.0)
    np.testing.assert_allclose(
        found.weights @ values, np.interp(points, knots, values), rtol=0, atol=1e-12
    )


# Variances and errors.


@pytest.mark.parametrize("power", [0.5, 1.0, 1.5, 1.8])
def test_variances_are_those_of_fractional_brownian_motion(power):
    # E (B(s) - B(t))^2 = 2 |s - t|^p, by its covariance |s|^p + |t|^p - |s - t|^p.
    rng = np.random.default_rng(0)
    known, wanted = rng.uniform(1, 4, (6, 1)), rng.uniform(0, 5, (4, 1))
    weights = rng.normal(size=(4, 6))
    weights /= weights.sum(axis=1, keepdims=True)
    points = np.concatenate([known, wanted])[:, 0]
    motion = points[:, None] ** power + points**power - np.abs(points[:, None] - points) ** power
    contrast = np.hstack([weights, -np.eye(4)])
    expected = np.diag(contrast @ motion @ contrast.T)
    found = error_variances(weights, distances(known, known), distances(wanted, known), power)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_variances_are_those_of_integrated_brownian_motion():
    # Its covariance min^2 (3 max - min) / 6 differs from r^3 / 12 by lines only.
    rng = np.random.default_rng(1)
    known, wanted = rng.uniform(1, 4, (6, 1)), rng.uniform(0, 5, (4, 1))
    found = kriged(known, wanted, 3.0)
    points = np.concatenate([known, wanted])[:, 0]
    low, high = np.minimum(points[:, None], points), np.maximum(points[:, None], points)
    contrast = np.hstack([found.weights, -np.eye(4)])
    expected = np.diag(contrast @ (low**2 * (3 * high - low) / 6) @ contrast.T)
    np.testing.assert_allclose(found.variances / 12, expected, rtol=1e-8)


def test_the_std_is_the_error_that_is_made():
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 1, (24, 1))
    times = points[:, 0]
    power = 1.5
    motion = times[:, None] ** power + times**power - np.abs(times[:, None] - times) ** power
    root = np.linalg.cholesky(motion + 1e-13 * np.eye(24))
    found = kriged(points[:16], points[16:], power)
    squares, predicted = [], []
    for _ in range(2000):
        draw = 3.0 * root @ rng.normal(size=(24, 2))
        squares.append((((found.weights @ draw[:16]) - draw[16:]) ** 2).sum(axis=1))
        predicted.append(found.std(draw[:16]) ** 2)
    np.testing.assert_allclose(np.mean(squares, axis=0), np.mean(predicted, axis=0), rtol=0.1)


@every_power
def test_leave_one_out_errors_are_those_of_leaving_one_out(power):
    known = some_points(10, 2)
    values = some_points(10, 3, seed=1)
    found = kriged(known, known[:1], power)
    errors, squares, variances = found.leave_one_out(values), 0.0, 0.0
    from_others = found.variances_from_others()
    assert errors.shape == (10, 3)
    for i in range(10):
        others = np.delete(np.arange(10), i)
        without = kriged(known[others], known[[i]], power)
        expected = values[i] - without.weights[0] @ values[others]
        np.testing.assert_allclose(errors[i], expected, rtol=1e-7, atol=1e-9)
        assert from_others[i] == pytest.approx(without.variances[0], rel=1e-6)
        squares += (expected**2).sum()
        variances += without.variances[0]
    assert found.scale(values) == pytest.approx(squares / variances, rel=1e-6)


def test_a_point_that_the_others_cannot_predict_is_not_left_out():
    # Without the last point the others lie on a line and leave it open what happens off it.
    known = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0], [1.0, 1.0]])
    found = kriged(known, known[:1], 3.0)
    assert found.power == 3.0
    assert found.leave_one_out(np.arange(6.0)[:, None]).shape == (5, 1)
    from_others = found.variances_from_others()
    assert from_others[5] > 1e9 * from_others[:5].max()
    assert np.isfinite(from_others).all()


# What is singular.


def test_points_that_coincide_are_one_with_the_mean_of_their_values():
    known = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 1.0], [5.0, 5.0], [2.0, 0.0], [2.0, 0.0]])
    values = np.array([1.0, 10.0, 3.0, -7.0, 11.0, 15.0])
    wanted = np.array([[1.0, 1.0], [2.0, 0.0]])
    found = kriged(known, wanted, 1.5)
    distinct = kriged(known[[0, 1, 3]], wanted, 1.5)
    expected = distinct.weights @ [2.0, 12.0, -7.0]
    np.testing.assert_allclose(found.weights @ values, expected, rtol=0, atol=1e-12)
    assert found.weights @ values == pytest.approx([expected[0], 12.0], abs=1e-15)
    assert found.variances[1] == 0.0
    assert found.leave_one_out(values[:, None]).shape == (3, 1)
    alone = distinct.variances_from_others()[2]
    np.testing.assert_allclose(found.variances_from_others(), [0, 0, 0, alone, 0, 0], rtol=1e-6)


@every_power
def test_points_that_all_coincide_give_the_mean(power):
    found = kriged(np.ones((4, 2)), np.array([[1.0, 1.0], [3.0, 0.0]]), power)
    np.testing.assert_allclose(found.weights, 0.25)
    assert found.std(np.arange(4.0)[:, None]).tolist() == [0.0, np.inf]
    assert found.variances_from_others().tolist() == [0.0, 0.0, 0.0, 0.0]


@every_power
def test_one_value_is_everybodys_and_does_not_tell_how_the_function_varies(power):
    found = kriged(np.zeros((1, 2)), np.array([[0.0, 0.0], [3.0, 0.0]]), power)
    assert found.weights.tolist() == [[1.0], [1.0]]
    assert found.leave_one_out(np.ones((1, 2))).shape == (0, 2)
    assert found.variances_from_others().tolist() == [np.inf]
    assert found.std(np.ones((1, 2))).tolist() == [0.0, np.inf]


def test_constant_values_have_no_errors():
    found = kriged(some_points(5, 2), some_points(3, 2, seed=1), 1.5)
    np.testing.assert_allclose(found.std(np.full((5, 1), 7.0)), 0.0, atol=1e-12)


@given(
    seed=st.integers(0, 10**6),
    gap=st.floats(-14, -1).map(lambda e: 10.0**e),
    power=st.sampled_from([1.5, 1.8, 3.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_points_that_nearly_coincide_do_no_harm(seed, gap, power, dtype):
    rng = np.random.default_rng(seed)
    knots = np.arange(12.0) + rng.uniform(-0.3, 0.3, 12)
    twins = np.append(knots, knots[5] + gap)[:, None]
    wanted = rng.uniform(0.5, 10.5, (6, 1))

    def smooth(x):
        return np.sin(0.3 * x[:, 0]).astype(dtype).astype(float)

    with_twin = kriged(twins, wanted, power).weights @ smooth(twins)
    error = np.abs(with_twin - smooth(wanted)).max()
    without = kriged(knots[:, None], wanted, power).weights @ smooth(knots[:, None])
    assert error <= 2 * np.abs(without - smooth(wanted)).max() + 0.02


@given(
    seed=st.integers(0, 10**6),
    gap=st.floats(-300, -1).map(lambda e: 10.0**e),
    far=st.floats(0, 12).map(lambda e: 10.0**e),
    power=st.sampled_from([1.5, 1.8, 3.0]),
)
def test_points_far_from_a_dense_cluster_get_bounded_weights(seed, gap, far, power):
    rng = np.random.default_rng(seed)
    known = rng.normal(size=(rng.integers(1, 7), 2)) * gap
    wanted = np.vstack([rng.normal(size=(2, 2)) * far, rng.normal(size=(2, 2)) * gap])
    found = kriged(known, wanted, power)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0, rtol=0, atol=1e-9)
    assert np.abs(found.weights).sum(axis=1).max() <= 1e3
    assert (found.variances[:2] > 0.0).all()
    assert not np.isnan(found.std(rng.normal(size=(len(known), 3)))).any()


@pytest.mark.parametrize("power", [1.5, 1.8])
def test_a_point_far_away_does_not_change_what_others_get(power):
    known = np.array([[0.0], [1.0], [1.0 + 1e-13], [5.0]])
    alone = kriged(known, np.array([[0.5]]), power)
    both = kriged(known, np.array([[5e9], [0.5]]), power)
    np.testing.assert_allclose(both.weights[1], alone.weights[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(both.variances[1], alone.variances[0])


def test_points_on_a_line_are_kriged_along_it():
    along = np.array([0.0, 1.0, 2.5, 4.0, 7.0])
    direction = np.array([3.0, -4.0]) / 5.0
    known = 2.0 + along[:, None] * direction
    points = np.array([0.3, 3.0, 8.0])
    on_line, one_dimensional = (
        kriged(known, 2.0 + points[:, None] * direction, 3.0),
        kriged(along[:, None], points[:, None], 3.0),
    )
    assert on_line.power == 3.0
    np.testing.assert_allclose(on_line.weights, one_dimensional.weights, rtol=0, atol=1e-10)
    off = np.array([[3.0, 3.0]])
    off_line = kriged(known, off, 3.0)
    assert off_line.power == 1.5
    np.testing.assert_array_equal(off_line.weights, kriged(known, off, 1.5).weights)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_too_few_points_for_a_line_get_a_constant(n):
    known, wanted = some_points(n, 2), some_points(4, 2, seed=1)
    found = kriged(known, wanted, 3.0)
    assert found.power == 1.5
    np.testing.assert_array_equal(found.weights, kriged(known, wanted, 1.5).weights)


def test_a_line_that_would_amplify_rounding_gives_way_to_a_constant():
    known = np.array([[0.0], [1e-3], [1.1e-3], [1.2e-3]])
    assert kriged(known, np.array([[0.01]]), 3.0).power == 3.0
    assert kriged(known, np.array([[1e3]]), 3.0).power == 1.5


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_line_needs_two_points_a_term(d):
    few, wanted = some_points(2 * d + 1, d), some_points(2, d, seed=1)
    assert kriged(few, wanted, 3.0).power == 1.5
    assert kriged(some_points(2 * d + 2, d), wanted, 3.0).power == 3.0


def test_a_linear_trend_needs_the_points():
    with pytest.raises(ValueError, match="p = 3 needs places and targets"):
        krige(np.zeros((1, 1)), np.ones((1, 1)), 3.0)


@given(
    seed=st.integers(0, 10**6),
    unit=st.floats(-50, 50).map(lambda e: 10.0**e),
    power=st.sampled_from(POWERS),
)
def test_the_unit_of_distances_does_not_matter(seed, unit, power):
    rng = np.random.default_rng(seed)
    known, wanted = rng.normal(size=(7, 2)), rng.normal(size=(3, 2))
    values = rng.normal(size=(7, 2))
    one, other = kriged(known, wanted, power), kriged(known * unit, wanted * unit, power)
    scale = np.abs(one.weights).max()
    np.testing.assert_allclose(one.weights, other.weights, rtol=0, atol=1e-8 * scale)
    np.testing.assert_allclose(one.std(values), other.std(values), rtol=1e-5)


# Covariance, nearest.


def test_covariance_is_positive_definite_on_the_weights_it_is_meant_for():
    points = some_points(20, 3)
    among = distances(points, points)
    for power in POWERS:
        line = np.hstack([np.ones((20, 1)), points])[:, : 4 if has_linear_trend(power) else 1]
        free = np.linalg.svd(line, full_matrices=True)[0][:, line.shape[1] :]
        assert np.linalg.eigvalsh(free.T @ covariance(among, power) @ free).min() > 0


@pytest.mark.parametrize("power", [1.5, 3.0])
def test_the_nearest_points_alone_count(power):
    rows, target = some_points(30, 2), np.array([0.3, -0.2])
    sources, found = krige_nearest(target, rows, power, 8)
    away = np.linalg.norm(rows - target, axis=1)
    assert sources.tolist() == np.argsort(away)[:8].tolist()
    np.testing.assert_allclose(
        found.weights, kriged(rows[sources], target[None], power).weights, rtol=0, atol=1e-12
    )
    everything, _ = krige_nearest(target, rows, power, 100)
    assert sorted(everything) == list(range(30))
