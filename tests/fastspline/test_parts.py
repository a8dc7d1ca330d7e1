"""Weights of each value, x in any order, columns without values: each as that column alone."""

import pickle
import warnings

import numpy as np
import pytest
import torch

from fastspline import DegreesOfFreedom, smooth_spline
from tests.support.strategies import make_knots

CLOSE = 1e-12
POINTS = np.linspace(-0.5, 1.5, 31)
lost = pytest.mark.filterwarnings("ignore:.*no value that counts:UserWarning")
bounds_expected = pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")
CHOICES = [1e-3, np.array([1e-4, 1e-3, 1e-2, 1.0]), "gcv", "reml", DegreesOfFreedom(5.0)]


def make_series(columns=4, n=25, seed=3):
    rng = np.random.default_rng(seed)
    knots = make_knots("random", n)
    values = np.sin(6.0 * knots)[:, np.newaxis] + 0.2 * rng.standard_normal((n, columns))
    return knots, values, 10.0 ** rng.uniform(-1.0, 1.0, (n, columns))


def assert_same(spline, j, alone):
    """Column j of a fit is a fit of its own."""
    np.testing.assert_allclose(spline(POINTS)[:, j], alone(POINTS), rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(spline.std(POINTS)[:, j], alone.std(POINTS), rtol=1e-9)
    np.testing.assert_allclose(spline.leverages[:, j], alone.leverages, rtol=1e-9, atol=1e-300)
    for name in ("df", "gcv", "loo", "reml", "residual_variance"):
        assert getattr(spline, name)[j] == pytest.approx(getattr(alone, name), rel=1e-9), name


# --- weights of each value -----------------------------------------------------------------------


@bounds_expected
@pytest.mark.parametrize("lam", CHOICES, ids=str)
@pytest.mark.parametrize("missing", ["raise", "omit"])
def test_weights_a_column_are_those_of_the_column_alone(lam, missing):
    knots, values, weights = make_series()
    weights[[3, 7], 1] = 0.0
    if missing == "omit":
        values[4:6, 2] = np.nan
    else:
        values[3, 1] = np.nan  # does not count
    spline = smooth_spline(knots, values, weights=weights, lam=lam, missing=missing)
    for j in range(4):
        own = lam[j] if isinstance(lam, np.ndarray) else lam
        alone = smooth_spline(knots, values[:, j], weights=weights[:, j], lam=own, missing=missing)
        assert_same(spline, j, alone)


@pytest.mark.parametrize("duplicates", ["raise", "merge"])
def test_columns_of_the_same_weights_share_a_plan(duplicates):
    knots, values, weights = make_series(columns=6)
    table = weights[:, [0, 1, 0, 1, 0, 0]]
    spline = smooth_spline(knots, values, weights=table, lam=1.0, duplicates=duplicates)
    assert len(spline._groups) == 2
    one = smooth_spline(knots, values, weights=weights[:, 0], lam=1.0)
    same = [0, 2, 4, 5]
    np.testing.assert_array_equal(spline.values[:, same], one.values[:, same])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_weights_have_the_axes_of_the_values(axis):
    knots, values, weights = make_series(columns=6)
    table, array = weights.reshape(-1, 2, 3), values.reshape(-1, 2, 3)
    expected = smooth_spline(knots, values, weights=weights, lam=1e-3)
    spline = smooth_spline(
        knots, np.moveaxis(array, 0, axis), weights=np.moveaxis(table, 0, axis), lam=1e-3, axis=axis
    )
    moved = np.moveaxis(spline.values, axis, 0).reshape(-1, 6)
    np.testing.assert_array_equal(moved, expected.values)
    as_lists = smooth_spline(knots, values, weights=weights.tolist(), lam=1e-3)
    np.testing.assert_array_equal(as_lists.values, expected.values)


def test_gradient_by_weights_of_each_value():
    knots, values, weights = make_series()
    cotangent = np.random.default_rng(1).standard_normal(values.shape)
    by = smooth_spline(knots, values, weights=weights, lam=1e-3).gradient(cotangent)
    total = 0.0
    for j in range(4):
        alone = smooth_spline(knots, values[:, j], weights=weights[:, j], lam=1e-3)
        one = alone.gradient(cotangent[:, j])
        np.testing.assert_allclose(by.weights[:, j], one.weights, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(by.values[:, j], one.values, rtol=1e-9, atol=1e-12)
        total = total + one.knots
    np.testing.assert_allclose(by.knots, total, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (np.ones((25, 3)), r"weights has shape \(25, 3\).*shape \(25,\).*shape \(25, 4\)"),
        (np.ones((4, 25)), r"weights has shape \(4, 25\)"),
        (np.ones((25, 1)), r"weights has shape \(25, 1\)"),
        (np.where(np.eye(25)[:, :4] > 0, -1.0, 1.0), r"weights\[0, 0\] = -1.0"),
        (np.where(np.eye(25)[:, 3:7] > 0, np.inf, 1.0), r"weights\[3, 0\] = inf"),
        (np.ones((25, 4)) * [1.0, 1.0, 0.0, 1.0], "all 0 in column 2"),
    ],
)
@pytest.mark.parametrize("lam", [1.0, "gcv"])
def test_weights_of_each_value_are_checked(weights, text, lam):
    knots, values, _ = make_series()
    with pytest.raises(ValueError, match=text):
        smooth_spline(knots, values, weights=weights, lam=lam)


# --- x in any order ------------------------------------------------------------------------------


@bounds_expected
@pytest.mark.parametrize("lam", CHOICES, ids=str)
@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("kind", ["none", "shared", "own"])
def test_merging_sorts(lam, repeats, kind):
    knots, values, own = make_series()
    knots = np.round(knots, 1) if repeats else knots
    values[3, 1] = np.nan
    weights = {"none": None, "shared": own[:, 0], "own": own}[kind]
    order = np.random.default_rng(2).permutation(25)
    options = {"lam": lam, "duplicates": "merge", "missing": "omit"}
    expected = smooth_spline(knots, values, weights=weights, **options)
    mixed = None if weights is None else weights[order]
    spline = smooth_spline(knots[order], values[order], weights=mixed, **options)
    np.testing.assert_array_equal(spline.knots, np.unique(knots))
    np.testing.assert_allclose(spline(POINTS), expected(POINTS), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(spline.gcv, expected.gcv, rtol=1e-9)


def test_knots_in_disorder_are_refused_without_merging():
    with pytest.raises(ValueError, match="sort them with their values"):
        smooth_spline([0.0, 2.0, 1.0], np.zeros(3), lam=1.0)


# --- columns without values ----------------------------------------------------------------------


def make_hole(columns=4):
    knots, values, weights = make_series(columns)
    values[:, 1] = np.nan
    return knots, values, weights


@bounds_expected
@lost
@pytest.mark.parametrize("loss", ["squared", "tukey"])
@pytest.mark.parametrize("lam", CHOICES, ids=str)
def test_a_column_without_values_is_nan_and_others_do_not_see_it(lam, loss):
    knots, values, _ = make_hole()
    spline = smooth_spline(knots, values, lam=lam, missing="omit", loss=loss)
    rest = [0, 2, 3]
    own = lam[rest] if isinstance(lam, np.ndarray) else lam
    others = smooth_spline(knots, values[:, rest], lam=own, loss=loss)
    for made, expected in ((spline(POINTS, nu), others(POINTS, nu)) for nu in range(4)):
        assert np.isnan(made[:, 1]).all()
        np.testing.assert_allclose(made[:, rest], expected, rtol=1e-9, atol=1e-9)
    for name in ("lam", "df", "gcv", "loo", "reml", "residual_variance"):
        made = getattr(spline, name)
        assert np.isnan(made[1]), name
        expected = np.broadcast_to(getattr(others, name), 3)
        np.testing.assert_allclose(made[rest], expected, rtol=1e-9, err_msg=name)
    assert np.isnan(spline.leverages[:, 1]).all()
    assert np.isfinite(spline.leverages[:, rest]).all()


@lost
def test_all_that_can_be_asked_of_a_column_without_values():
    knots, values, _ = make_hole()
    spline = smooth_spline(knots, values, lam=1e-3, missing="omit")
    others = smooth_spline(knots, values[:, [0, 2, 3]], lam=1e-3)
    rest = [0, 2, 3]
    for question in (
        lambda s: s.std(POINTS), lambda s: s.std(POINTS, 1), lambda s: s.interval(POINTS)[1],
        lambda s: s.interval(POINTS, kind="simultaneous")[0],
        lambda s: s.interval(POINTS, kind="prediction")[0],
        lambda s: s.to_ppoly()(POINTS), lambda s: s.to_bspline()(knots), lambda s: s.values,
        lambda s: s.second_derivatives,
    ):  # fmt: skip
        made = question(spline)
        assert np.isnan(made[:, 1]).all()
        np.testing.assert_array_equal(made[:, rest], question(others))
    assert np.isnan(spline.integrate(0.0, 1.0)[1])
    np.testing.assert_array_equal(spline.integrate(0.0, 1.0)[rest], others.integrate(0.0, 1.0))
    assert (spline.slope_signs(POINTS)[:, 1] == 0).all()
    assert np.isnan(spline.sample(POINTS, 2)[:, :, 1]).all()
    assert np.isfinite(spline.sample(POINTS, 2)[:, :, rest]).all()
    roots, theirs = spline.roots(), others.roots()
    assert np.isfinite(roots[1]).sum() == 0
    for mine, one in zip(roots[rest], theirs, strict=True):
        np.testing.assert_array_equal(mine, one)
    by = spline.gradient(np.ones((25, 4)))
    expected = others.gradient(np.ones((25, 3)))
    np.testing.assert_array_equal(by.values[:, 1], 0.0)
    np.testing.assert_allclose(by.values[:, rest], expected.values, rtol=1e-12)
    np.testing.assert_allclose(by.knots, expected.knots, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(spline))(POINTS), spline(POINTS))
    assert repr(spline) == repr(others).replace("columns=3", "columns=4")
    with pytest.raises(ValueError, match="overflows"):
        spline(1e308 * np.array([1.0, 0.0]))


@lost
@pytest.mark.parametrize("bc", ["natural", "periodic", ("slope", 0.0, 1.0)], ids=str)
@pytest.mark.parametrize("shape", [(8,), (8, 1), (8, 2)])
@pytest.mark.parametrize("lam", [1.0, "gcv"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nothing_at_all_is_nan(shape, bc, lam, dtype):
    nothing = np.full(shape, np.nan, dtype)
    spline = smooth_spline(np.arange(8.0), nothing, lam=lam, bc=bc, missing="omit")
    for made in (spline(POINTS), spline.std(POINTS), spline.sample(POINTS)[0]):
        assert made.shape == (31, *shape[1:])
        assert made.dtype == dtype
        assert np.isnan(made).all()
    for name in ("lam", "df", "gcv", "residual_variance"):
        one = name == "lam" and lam == 1.0  # for all columns
        assert np.shape(getattr(spline, name)) == (() if one else shape[1:])
        assert np.isnan(getattr(spline, name)).all()
    assert "lam=nan" in repr(spline)


def test_columns_without_values_are_told():
    knots, values, _ = make_hole()
    with pytest.warns(UserWarning, match="^one column has no value that counts"):
        smooth_spline(knots, values, lam=1.0, missing="omit")
    values[:, 2] = np.nan
    with pytest.warns(UserWarning, match="^2 columns have no value"):
        smooth_spline(knots, values, lam=1.0, missing="omit")
    with pytest.warns(UserWarning, match="^one column has no value"):
        smooth_spline(knots, torch.from_numpy(values[:, 1]), lam=1.0, missing="omit")


def test_columns_without_weight_are_lost_where_values_may_be_missing():
    knots, values, weights = make_series()
    weights[:, 3] = 0.0
    with pytest.warns(UserWarning, match="one column"):
        spline = smooth_spline(knots, values, weights=weights, lam=1.0, missing="omit")
    assert np.isnan(spline.values).all(axis=0).tolist() == [False, False, False, True]
    weights, values = np.array([1.0, 0.0, 0.0, 1.0]), np.ones((4, 2))
    values[[0, 3], 1] = np.nan
    with pytest.warns(UserWarning, match="one column"):
        spline = smooth_spline(np.arange(4.0), values, weights=weights, lam=1.0, missing="omit")
    assert np.isnan(spline.values).all(axis=0).tolist() == [False, True]


def test_a_result_that_overflows_half_precision_is_still_refused():
    half = np.array([6e4, -6e4, 6e4, -6e4], np.float16)
    with pytest.raises(ValueError, match="overflows float16"):
        smooth_spline(np.arange(4.0), half, lam=0.0)([-1.0, 5.0])


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinity_is_told_not_to_be_missing(bad):
    knots, values, _ = make_series()
    values[3, 2] = bad
    with pytest.raises(ValueError, match=rf"values\[3, 2\] = {bad} is not missing: only NaN is"):
        smooth_spline(knots, values, missing="omit")
    weights = np.ones(25)
    weights[3] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smooth_spline(knots, values, weights=weights, lam=1.0, missing="omit")


@lost
@bounds_expected
def test_columns_with_weights_of_their_own_share_a_lam_which_those_without_values_do_not_tell():
    knots, values, weights = make_series()
    values[:, 1] = np.nan
    rest = [0, 2, 3]
    spline = smooth_spline(knots, values, weights=weights, missing="omit", shared=True)
    others = smooth_spline(knots, values[:, rest], weights=weights[:, rest], shared=True)
    assert np.isnan(spline.lam[1])
    np.testing.assert_allclose(spline.lam[rest], others.lam, rtol=1e-12)
    assert np.unique(others.lam).size == 1
    nothing = smooth_spline(knots, values[:, [1]], missing="omit", shared=True)
    assert np.isnan(nothing.values).all()


def test_a_shared_lam_is_of_the_squared_loss():
    knots, values, _ = make_series()
    with pytest.raises(ValueError, match='shared=True is for loss="squared", got'):
        smooth_spline(knots, values, shared=True, loss="huber")
