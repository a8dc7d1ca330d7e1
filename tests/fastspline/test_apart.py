"""Columns with a lam each, which are fitted abreast."""

import pickle

import numpy as np
import pytest

from fastspline import Smoother, smooth_spline
from fastspline._apart import LAM_RANGE, MOST_KNOTS, Apart
from fastspline._kernels import fit_lanes, posterior, residuals, state_space
from fastspline._kernels.vector import LANES
from tests.oracles.splines import ExactSmoother
from tests.support.strategies import KNOT_KINDS, make_knots, make_weights

COLUMNS = 2 * LANES + 3
LAMS = np.geomspace(1e-12, 1e12, COLUMNS)


def make_values(knots, rng):
    waves = 3.0 + np.sin(9.0 * knots)[:, np.newaxis]
    return waves + rng.standard_normal((len(knots), COLUMNS))


@pytest.mark.parametrize("weight_kind", ["one", "random"])
@pytest.mark.parametrize("n", [3, 4, 20])
@pytest.mark.parametrize("kind", KNOT_KINDS)
def test_columns_apart_are_exact(kind, n, weight_kind, rng):
    knots, weights = make_knots(kind, n), make_weights(weight_kind, n)
    values = make_values(knots, rng)
    spline = smooth_spline(knots, values, weights=weights, lam=LAMS)
    assert spline._groups.fit()[1].size == 0
    for j in range(0, COLUMNS, 5):
        exact = ExactSmoother(knots, lam=LAMS[j], weights=weights)
        for nu in range(3):
            expected = exact.evaluate(values[:, j], knots, nu)
            # Where lam is large slopes are what differences of values leave of their digits.
            scale = max(np.abs(expected).max(), 0.0 if nu != 1 else 3.0 / np.ptp(knots))
            np.testing.assert_allclose(spline(knots, nu)[:, j], expected, atol=1e-13 * scale)


@pytest.mark.parametrize("lam", [1e-300, *LAM_RANGE, 1e300])
def test_far_lam(lam, rng):
    """Within the range, and beyond it, where each column takes a plan of its own."""
    knots = make_knots("random", 30)
    values, lams = make_values(knots, rng), lam * np.linspace(0.5, 2.0, COLUMNS)
    spline = smooth_spline(knots, values, lam=lams)
    for j in range(0, COLUMNS, 5):
        alone = Smoother(knots, lam=lams[j]).fit(values[:, j])
        largest = np.abs(alone.second_derivatives).max()
        np.testing.assert_allclose(spline.values[:, j], alone.values, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            spline.second_derivatives[:, j], alone.second_derivatives, atol=1e-9 * largest
        )


def test_lines_and_interpolation_among_them(rng):
    knots = make_knots("random", 30)
    values, lams = make_values(knots, rng), LAMS.copy()
    lams[[1, 5]], lams[2] = np.inf, 0.0
    spline = smooth_spline(knots, values, lam=lams)
    assert len(spline._groups) == COLUMNS - 1
    np.testing.assert_array_equal(spline.values[:, 2], values[:, 2])
    np.testing.assert_array_equal(spline.second_derivatives[:, [1, 5]], 0.0)
    for j in (1, 2, 5, 6):
        alone = Smoother(knots, lam=lams[j]).fit(values[:, j])
        np.testing.assert_allclose(spline.values[:, j], alone.values, rtol=1e-12, atol=1e-13)
        for name in ("df", "gcv", "reml", "residual_variance"):
            assert getattr(spline, name)[j] == pytest.approx(getattr(alone, name), nan_ok=True)


@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda y: np.repeat(y, 2, axis=1)[:, ::2],
        lambda y: y[::-1, ::-1].copy()[::-1, ::-1],
    ],
)
def test_layout_does_not_matter(layout, rng):
    knots = make_knots("random", 30)
    values = make_values(knots, rng)
    expected = smooth_spline(knots, values, lam=LAMS)
    np.testing.assert_array_equal(
        smooth_spline(knots, layout(values), lam=LAMS).values, expected.values
    )


def test_what_does_not_fit_abreast_is_fitted(rng):
    """Knots without weight, weights over decades, many knots, few columns."""
    knots = make_knots("random", 30)
    values = make_values(knots, rng)
    uneven = np.where(np.arange(30) % 2 == 0, 1.0, 1e-9)
    for weights in (make_weights("zeros", 30), uneven):
        spline = smooth_spline(knots, values, weights=weights, lam=LAMS)
        alone = Smoother(knots, lam=LAMS[7], weights=weights).fit(values[:, 7])
        np.testing.assert_array_equal(spline.values[:, 7], alone.values)
    few = smooth_spline(knots, values[:, :3], lam=LAMS[7:10])
    alone = Smoother(knots, lam=LAMS[8]).fit(values[:, 1])
    np.testing.assert_array_equal(few.values[:, 1], alone.values)
    long = np.linspace(0.0, 1.0, MOST_KNOTS + 1)
    wide = make_values(long, rng)
    spline = smooth_spline(long, wide, lam=LAMS)
    alone = Smoother(long, lam=LAMS[7]).fit(wide[:, 7])
    np.testing.assert_array_equal(spline.values[:, 7], alone.values)


def test_threads_change_nothing(rng, monkeypatch):
    knots = make_knots("random", 30)
    values, lams = rng.standard_normal((30, 1001)), np.geomspace(1e-9, 1e3, 1001)
    expected = smooth_spline(knots, values, lam=lams)
    monkeypatch.setattr("fastspline._apart.threads_for", lambda *_: 3)
    found = smooth_spline(knots, values, lam=lams)
    np.testing.assert_array_equal(found.values, expected.values)


def test_overflow_is_refused_as_alone(rng):
    knots = make_knots("random", 30)
    values = make_values(knots, rng)
    values[:, 4] *= 1e307
    values[3, 4] = -1.7e308
    with pytest.raises(ValueError, match="overflow"):
        smooth_spline(knots, values, lam=LAMS)


def test_groups_are_made_once_and_pickled_without_plans(rng):
    knots = make_knots("random", 30)
    values = make_values(knots, rng)
    spline = smooth_spline(knots, values, lam=LAMS)
    groups = spline._groups
    assert isinstance(groups, Apart)
    assert groups[3] is groups[3] is groups[3 - len(groups)]
    assert [group.plan.lam for group in groups[2:4]] == LAMS[2:4].tolist()
    assert [group.plan.lam for group in groups] == LAMS.tolist()
    assert len(pickle.dumps(spline)) < 2 * values.nbytes
    again = pickle.loads(pickle.dumps(spline))
    np.testing.assert_array_equal(again.values, spline.values)
    np.testing.assert_array_equal(again.df, spline.df)


@pytest.mark.parametrize("weight_kind", ["one", "random"])
def test_bands_are_those_of_each_column(weight_kind, rng):
    """Also outside the knots, where lams are shared, and for values of any size."""
    knots, weights = make_knots("random", 30), make_weights(weight_kind, 30)
    values, lams = make_values(knots, rng), LAMS.copy()
    lams[4:7] = lams[4]
    values[:, 3] *= 1e200
    values[:, 8] *= 1e-200
    spline = smooth_spline(knots, values, weights=weights, lam=lams)
    points = np.linspace(knots[0] - 1.0, knots[-1] + 1.0, 50)
    assert spline._groups.tell(points, 0) is not None
    for j in (0, 3, 5, 8, COLUMNS - 1):
        alone = Smoother(knots, lam=lams[j], weights=weights).fit(values[:, j])
        np.testing.assert_allclose(spline.residual_variance[j], alone.residual_variance, rtol=1e-11)
        for nu in (0, 1):
            found, expected = spline.std(points, nu)[:, j], alone.std(points, nu)
            np.testing.assert_allclose(found, expected, rtol=1e-11)
        for kind in ("pointwise", "prediction", "simultaneous"):
            found = np.ptp(spline.interval(points, kind=kind), axis=0)[:, j]
            expected = np.ptp(alone.interval(points, kind=kind), axis=0)
            np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_no_band_where_one_column_interpolates(rng):
    knots = make_knots("random", 30)
    lams = LAMS.copy()
    lams[2] = 0.0
    spline = smooth_spline(knots, make_values(knots, rng), lam=lams)
    with pytest.raises(ValueError, match="in column 2"):
        spline.std(knots)
    assert np.isnan(spline.residual_variance[2])
    assert np.isfinite(np.delete(spline.residual_variance, 2)).all()


def test_kernels_of_bands_are_compiled_once(rng):
    knots = make_knots("random", 30)
    values = make_values(knots, rng)
    smooth_spline(knots, values, lam=1e-3).interval(knots)
    smooth_spline(knots, values, lam=LAMS).interval(knots)
    kernels = (
        fit_lanes.fit_columns, posterior.leverages, posterior.covariances, posterior.place_points,
        residuals.residual_variances, state_space.scale_noise,
    )  # fmt: skip
    for kernel in kernels:
        assert len(kernel.signatures) == 1
