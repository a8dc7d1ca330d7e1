"""Robust fits: minima of their losses, what wild values do to them, and which are told."""

import numpy as np
import pytest
from scipy import optimize, stats

from fastspline import DegreesOfFreedom, smooth_spline
from tests.oracles.splines import ExactSmoother, rounded
from tests.support.strategies import make_knots

HUBER, TUKEY = 1.345, 4.685
bounds_expected = pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")
SLOPES = ("slope", 1.0, -1.0)


def make_waves(n, columns, share, *, seed=5, shift=10.0):
    """Waves, their noisy values, and which of these a shift makes wild."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0.0, 1.0, n))
    truth = np.sin(2.0 * np.pi * x)[:, np.newaxis]
    wild = rng.random((n, columns)) < share
    return x, truth, truth + 0.1 * rng.standard_normal((n, columns)) + shift * wild, wild


def loss_of(loss, t):
    """rho(t), half a square near 0."""
    t = np.abs(t)
    if loss == "huber":
        return np.where(t <= HUBER, t**2 / 2.0, HUBER * t - HUBER**2 / 2.0)
    inside = 1.0 - (1.0 - np.minimum(t / TUKEY, 1.0) ** 2) ** 3
    return TUKEY**2 / 6.0 * inside


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["huber", "tukey"])
def test_a_robust_fit_minimises_its_loss(loss, weighted):
    # The penalty as a quadratic form of the fitted values: of the interpolant of unit vectors,
    # lam f' K f with K = (S^-1 - I) / lam for S the map of the smoother of weights 1.
    n, lam = 12, 1e-3
    x, _, y, _ = make_waves(n, 1, 0.0)
    y = y[:, 0] + 3.0 * (np.arange(n) == 5)
    w = 10.0 ** np.random.default_rng(0).uniform(-0.5, 0.5, n) if weighted else np.ones(n)
    spline = smooth_spline(x, y, weights=w, lam=lam, loss=loss)
    s = np.sqrt(spline.residual_variance)
    hat = rounded(ExactSmoother(x, lam=lam).hat())
    bend = np.linalg.inv(hat) - np.eye(n)

    def objective(g):
        t = np.sqrt(w) * (y - g) / s
        return 2.0 * s**2 * loss_of(loss, t).sum() + g @ bend @ g

    found = optimize.minimize(objective, spline.values, method="BFGS", options={"gtol": 1e-9})
    assert objective(spline.values) <= found.fun * (1.0 + 1e-9)
    np.testing.assert_allclose(spline.values, found.x, atol=1e-5)
    moved = smooth_spline(x, y, weights=w, lam=lam)
    assert objective(moved.values) > objective(spline.values)


@bounds_expected
@pytest.mark.parametrize("loss", ["huber", "tukey"])
@pytest.mark.parametrize("lam", [1e-4, "gcv", "loo", "reml", DegreesOfFreedom(8.0)], ids=str)
def test_without_wild_values_little_changes(loss, lam):
    x, truth, y, _ = make_waves(200, 40, 0.0)
    plain, robust = (smooth_spline(x, y, lam=lam, loss=kind) for kind in ("squared", loss))
    errors = [np.sqrt(((s.values - truth) ** 2).mean(axis=0)).mean() for s in (plain, robust)]
    assert errors[1] < 1.12 * errors[0]  # 95 % efficient, and a chosen lam
    assert abs(np.sqrt(robust.residual_variance).mean() / 0.1 - 1.0) < 0.04
    assert robust.outliers.mean() < 1e-3
    lower, upper = robust.interval(x)
    inside = ((lower <= truth) & (truth <= upper)).mean()
    assert 0.91 < inside < 0.985


@pytest.mark.parametrize(
    ("loss", "share", "error"), [("huber", 0.1, 0.08), ("tukey", 0.1, 0.04), ("tukey", 0.2, 0.04)]
)
def test_wild_values_on_one_side_are_withstood(loss, share, error):
    # Values 100 standard deviations off, all on one side; of 40 series of 200 values each one.
    x, truth, y, wild = make_waves(200, 40, share)
    spline = smooth_spline(x, y, lam="reml", loss=loss)
    errors = np.sqrt(((spline.values - truth) ** 2).mean(axis=0))
    assert np.median(errors) < error
    assert (errors > 3.0 * error).mean() <= 0.05  # where most of some neighbours are wild
    plain = smooth_spline(x, y, lam=spline.lam)
    assert np.sqrt(((plain.values - truth) ** 2).mean(axis=0)).min() > 5.0 * error
    assert spline.outliers[wild].mean() > 0.995
    assert spline.outliers[~wild].mean() < 2e-3
    lower, upper = spline.interval(x)
    if loss == "tukey":
        assert ((lower <= truth) & (truth <= upper)).mean() > 0.88


def test_most_series_withstand_three_values_in_ten():
    x, truth, y, _ = make_waves(200, 40, 0.3)
    spline = smooth_spline(x, y, lam=1e-4, loss="tukey")
    errors = np.sqrt(((spline.values - truth) ** 2).mean(axis=0))
    assert np.median(errors) < 0.04
    none = smooth_spline(x, y, lam=1e-4)
    assert np.sqrt(((none.values - truth) ** 2).mean(axis=0)).min() > 1.0


@pytest.mark.parametrize("loss", ["huber", "tukey"])
@pytest.mark.parametrize("far", [1e3, 1e6, 1e10])
def test_how_far_a_wild_value_lies_does_not_matter(loss, far):
    x, _, y, _ = make_waves(60, 1, 0.0)
    fits = []
    for shift in (far, 10.0 * far):
        moved = y[:, 0] + shift * (np.arange(60) % 20 == 7)
        fits.append(smooth_spline(x, moved, lam=1e-4, loss=loss).values)
    np.testing.assert_allclose(fits[0], fits[1], atol=1e-6 + 1e-14 * far)
    assert np.abs(fits[0]).max() < 2.0


@pytest.mark.parametrize("loss", ["huber", "tukey"])
def test_laws_of_robust_fits(loss):
    x, _, y, _ = make_waves(50, 3, 0.1)
    spline = smooth_spline(x, y, lam=1e-4, loss=loss)
    line = 2.0 - 3.0 * x[:, np.newaxis]
    moved = smooth_spline(x, y + line, lam=1e-4, loss=loss)
    np.testing.assert_allclose(moved.values, spline.values + line, atol=2e-2)
    scaled = smooth_spline(x, 1e3 * y, lam=1e-4, loss=loss)
    np.testing.assert_allclose(scaled.values, 1e3 * spline.values, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(scaled.residual_variance, 1e6 * spline.residual_variance, rtol=1e-9)
    for j in range(3):  # columns do not see each other
        alone = smooth_spline(x, y[:, j], lam=1e-4, loss=loss)
        np.testing.assert_array_equal(alone.values, spline.values[:, j])
        np.testing.assert_array_equal(alone.outliers, spline.outliers[:, j])


@pytest.mark.parametrize("loss", ["huber", "tukey"])
@pytest.mark.parametrize("axis", [0, 1])
def test_outliers_stand_where_the_values_were_given(loss, axis):
    x, _, y, wild = make_waves(200, 3, 0.05)
    knots = np.round(x, 2)
    order = np.random.default_rng(4).permutation(200)
    mixed = y[order].copy()
    mixed[:4, 1] = np.nan
    spline = smooth_spline(
        knots[order], np.moveaxis(mixed, 0, axis), loss=loss, duplicates="merge", missing="omit",
        axis=axis,
    )  # fmt: skip
    expected = wild[order]
    expected[:4, 1] = False
    np.testing.assert_array_equal(np.moveaxis(spline.outliers, axis, 0), expected)


@pytest.mark.parametrize(
    "options",
    [{"bc": "periodic"}, {"bc": SLOPES}, {"roughness": np.repeat([1.0, 3.0], [30, 49])}],
    ids=["periodic", "slope", "roughness"],
)
@pytest.mark.parametrize("lam", [1e-5, "gcv"])
def test_robust_fits_of_other_ends(options, lam):
    x, _, y, _ = make_waves(80, 1, 0.0)
    y = y[:, 0]
    wild = y + 5.0 * (np.arange(80) % 13 == 0)  # the first knot too
    spline = smooth_spline(x, wild, lam=lam, loss="tukey", **options)
    plain = smooth_spline(x, y, lam=spline.lam, **options)
    assert np.abs(spline.values - plain.values).max() < 0.25
    assert (np.flatnonzero(spline.outliers) % 13 == 0).all()
    assert spline.outliers.sum() >= 6


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("loss", ["huber", "tukey"])
@pytest.mark.parametrize("lam", [0.0, 1e-3, np.inf])
def test_small_robust_fits(n, loss, lam, rng):
    x, y = make_knots("random", n), rng.standard_normal(n)
    spline = smooth_spline(x, y, lam=lam, loss=loss)
    assert np.isfinite(spline.values).all()
    if n < 3 or lam == 0.0:
        np.testing.assert_allclose(spline.values, y, atol=1e-12)
        assert not spline.outliers.any()


@bounds_expected
@pytest.mark.parametrize("loss", ["huber", "tukey"])
@pytest.mark.parametrize("lam", [1e-3, "gcv"])
def test_a_line_with_one_wild_value_is_the_line(loss, lam):
    x = np.linspace(0.0, 1.0, 20)
    y = 1.0 + 2.0 * x
    wild = y + 7.0 * (np.arange(20) == 11)
    spline = smooth_spline(x, wild, lam=lam, loss=loss)
    np.testing.assert_allclose(spline(x), y, atol=1e-9)
    np.testing.assert_array_equal(np.flatnonzero(spline.outliers), [11])
    for other in (np.zeros(20), 3.0 * (np.arange(20) == 11)):
        nothing = smooth_spline(x, other, lam=lam, loss=loss)
        np.testing.assert_allclose(nothing(x), 0.0, atol=1e-9)


def test_the_scale_is_that_of_normal_noise():
    x, _, y, _ = make_waves(400, 100, 0.0)
    scale = np.sqrt(smooth_spline(x, y, lam=1e-4, loss="tukey").residual_variance)
    # The median absolute deviation of 400 values has efficiency 0.37.
    error = 0.1 / np.sqrt(2.0 * 400 * 0.37)
    assert abs(scale.mean() - 0.1) < 4.0 * error / np.sqrt(100) + 5e-4
    assert abs(scale.std() / error - 1.0) < 0.3
    assert stats.norm.ppf(0.75) * 1.4826 == pytest.approx(1.0, abs=1e-4)


def test_robust_fits_refuse_what_they_do_not_know():
    x, _, y, _ = make_waves(30, 2, 0.0)
    with pytest.raises(ValueError, match='loss must be "squared", "huber" or "tukey", got \'L1\''):
        smooth_spline(x, y, loss="L1")
    with pytest.raises(ValueError, match="fit without loss="):
        smooth_spline(x, y, lam=1.0, loss="huber").gradient(np.ones((30, 2)))
    with pytest.raises(ValueError, match='fit with loss="tukey"'):
        smooth_spline(x, y, lam=1.0).outliers  # noqa: B018


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("loss", ["squared", "huber", "tukey"])
@pytest.mark.parametrize("options", [{}, {"lam": 1.0}, {"missing": "omit", "duplicates": "merge"}])
def test_no_knots_are_refused_alike(loss, options):
    with pytest.raises(ValueError, match="knots is empty; give at least one knot"):
        smooth_spline([], [], loss=loss, **options)
