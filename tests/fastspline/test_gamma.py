"""GCV that counts degrees of freedom more than once: minima of its score, correlated noise."""

import numpy as np
import pytest

from fastspline import smooth_spline
from tests.oracles.splines import exact_scores
from tests.support.strategies import make_knots

bounds_expected = pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")


def make_waves(n, columns=1, seed=2):
    knots = make_knots("random", n)
    noise = np.random.default_rng(seed).standard_normal((n, columns))
    return knots, np.sin(7.0 * knots)[:, np.newaxis] + 0.15 * noise


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gamma", [1.1, 1.4, 2.0])
def test_lam_minimises_the_score(gamma, weighted):
    knots, values = make_waves(20)
    weights = 0.5 + np.random.default_rng(0).random(20) if weighted else None
    fit = smooth_spline(knots, values[:, 0], weights=weights, lam="gcv-plain", gamma=gamma)
    lam = fit.lam

    def score(lam):
        found = exact_scores(knots, values[:, 0], lam=lam, weights=weights)
        left = 20 - gamma * (20 - found["rest"])
        return found["rss"] / left**2 if left > 0.0 else np.inf

    least = score(lam)
    others = [score(other) for other in 10.0 ** np.linspace(-8.0, 4.0, 49)]
    assert least <= min(others)
    assert least <= min(score(lam * 1.001), score(lam / 1.001))


@bounds_expected
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("lam", ["gcv", "gcv-plain"])
def test_gamma_of_1_is_gcv(lam, shared):
    knots, values = make_waves(40, 3)
    options = {"lam": lam, "shared": shared}
    plain = smooth_spline(knots, values, **options)
    np.testing.assert_array_equal(smooth_spline(knots, values, gamma=1, **options).lam, plain.lam)
    near = smooth_spline(knots, values, gamma=1.0 + 1e-9, **options)
    np.testing.assert_allclose(near.df, plain.df, rtol=1e-4)


@bounds_expected
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bc": "periodic"},
        {"bc": ("slope", 1.0, 0.0)},
        {"duplicates": "merge"},
        {"missing": "omit"},
        {"loss": "tukey"},
        {"shared": True},
    ],
    ids=str,
)
def test_curves_are_smoother_the_larger_gamma(options):
    knots, values = make_waves(40, 3)
    if "duplicates" in options:
        knots = np.round(knots, 1)
    if "missing" in options:
        values[3, 1] = np.nan
    fits = [smooth_spline(knots, values, gamma=gamma, **options) for gamma in (1.0, 1.4, 4.0)]
    df = [np.broadcast_to(fit.df, 3) for fit in fits]
    assert (np.diff(df, axis=0) <= 1e-9).all()
    assert (df[2] < df[0]).any()


def test_gamma_finds_the_degrees_of_freedom_beneath_correlated_noise():
    # 40 series of a sine with AR(1) noise: GCV follows the noise, (1 + r) / (1 - r) does not.
    n, columns, r = 300, 40, 0.6
    rng = np.random.default_rng(4)
    x = np.linspace(0.0, 1.0, n)
    noise = rng.standard_normal((n, columns))
    for i in range(1, n):
        noise[i] = r * noise[i - 1] + np.sqrt(1.0 - r * r) * noise[i]
    truth = np.sin(2.0 * np.pi * x)[:, np.newaxis]
    values = truth + 0.3 * noise
    plain = smooth_spline(x, values, lam="gcv-plain", gamma=1.0 + 1e-9)
    guarded = smooth_spline(x, values, lam="gcv-plain", gamma=(1.0 + r) / (1.0 - r))
    assert np.median(plain.df) > 60.0
    assert 4.0 < np.median(guarded.df) < 12.0
    errors = [np.median(((s.values - truth) ** 2).mean(axis=0)) for s in (plain, guarded)]
    assert errors[1] < 0.25 * errors[0]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"gamma": 0.9}, ValueError, r"gamma must lie in \[1, inf\), got 0.9"),
        ({"gamma": np.inf}, ValueError, r"gamma must lie in \[1, inf\), got inf"),
        ({"gamma": np.nan}, ValueError, r"gamma must lie in \[1, inf\), got nan"),
        ({"gamma": "1.4"}, TypeError, "gamma must be a number, got '1.4'"),
        ({"gamma": True}, TypeError, "gamma must be a number, got True"),
        (
            {"gamma": 1.4, "lam": 1.0},
            ValueError,
            'gamma belongs to lam="gcv" and "gcv-plain", got lam=1.0',
        ),
        ({"gamma": 1.4, "lam": "reml"}, ValueError, "got lam='reml'; leave gamma out"),
        ({"gamma": 1.4, "lam": np.ones(3)}, ValueError, "got lam=an array of shape"),
    ],
)
def test_gamma_is_checked(options, error, text):
    knots, values = make_waves(10, 3)
    with pytest.raises(error, match=text):
        smooth_spline(knots, values, **options)


# R 4.5.0: smooth.spline(x, y, penalty = gamma, all.knots = TRUE, control.spar = list(tol = 1e-10,
# low = 0.4, high = 1.5))$df; mgcv 1.9-3: sum(gam(y ~ s(x, bs = "cr", k = 40), gamma = 1.4,
# method = "GCV.Cp")$edf). Both stop their search early.
OF_R = {1.0: 16.38809504, 1.4: 6.56688848, 2.0: 5.54115616}
OF_MGCV = {1.4: 6.566801152}


@pytest.mark.parametrize("gamma", OF_R)
def test_gamma_is_rs_penalty_and_mgcvs_gamma(gamma):
    i = np.arange(40)
    x = i / 39
    y = np.sin(6.0 * x) + 0.3 * np.cos(40.0 * i**2)
    df = smooth_spline(x, y, lam="gcv-plain", gamma=gamma).df
    assert df == pytest.approx(OF_R[gamma], rel=3e-4)
    assert df == pytest.approx(OF_MGCV.get(gamma, df), rel=3e-6)


def test_std_at_the_knots_is_mgcvs_but_for_the_noise():
    # As above, predict(..., se.fit = TRUE)$se.fit / sqrt(sig2) at x = 0 and x = 1, knots both.
    i = np.arange(40)
    x = i / 39
    y = np.sin(6.0 * x) + 0.3 * np.cos(40.0 * i**2)
    spline = smooth_spline(x, y, lam="gcv-plain", gamma=1.4)
    unit = spline.std([0.0, 1.0]) / np.sqrt(spline.gcv * 38 / 40)
    np.testing.assert_allclose(unit, 0.6539536915, rtol=2e-6)
