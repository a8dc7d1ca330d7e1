"""Penalised regression splines: fewer knots than data, against 80 digits, scipy and our own."""

import inspect
import itertools
import pickle

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
import scipy.interpolate
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fastspline import lam_from_r, make_smoothing_spline, regression_spline, smooth_spline
from tests.support.strategies import KNOT_KINDS, LAMS, make_knots, make_weights

DIGITS = 80
TOLERANCE = 1e-12  # of the largest


class Exact:
    """The fit in the basis 1, s, s**2, s**3, (s - knot)**3 within the knots, to 80 digits."""

    def __init__(self, sites, y, knots, weights, lam):
        with mp.workdps(DIGITS):
            self.knots = [mp.mpf(float(knot)) for knot in knots]
            self.weights = [mp.mpf(float(weight)) for weight in weights]
            self.rows = mp.matrix([self.row(mp.mpf(float(site)), 0) for site in sites])
            weighted = mp.matrix(
                [[w * c for c in self.rows[i, :]] for i, w in enumerate(self.weights)]
            )
            normal = self.rows.T * weighted + mp.mpf(lam) * self.penalty()
            self.inverse = normal**-1
            self.c = self.inverse * (weighted.T * mp.matrix([mp.mpf(float(v)) for v in y]))
            self.residuals = mp.matrix([mp.mpf(float(v)) for v in y]) - self.rows * self.c

    def row(self, s, nu):
        """Derivative `nu` of the basis functions at s, cubic also outside."""
        s = s - self.knots[0]
        powers = [mp.mpf(mp.ff(p, nu)) * s ** (p - nu) if p >= nu else mp.mpf(0) for p in range(4)]
        beyond = [s - (knot - self.knots[0]) for knot in self.knots[1:-1]]
        return powers + [mp.ff(3, nu) * d ** (3 - nu) if d > 0 else mp.mpf(0) for d in beyond]

    def penalty(self):
        """The integral of products of second derivatives: lines in each gap, by Simpson's rule."""
        total = mp.zeros(len(self.knots) + 2)
        for left, right in itertools.pairwise(self.knots):
            ends = [mp.matrix([self.row(place, 2)]) for place in (left, (left + right) / 2, right)]
            for end, weight in zip(ends, (1, 4, 1), strict=True):
                total += (right - left) * weight / 6 * (end.T * end)
        return total

    def at(self, place, nu):
        with mp.workdps(DIGITS):
            return float((mp.matrix([self.row(mp.mpf(float(place)), nu)]) * self.c)[0])

    def variance(self, place):
        """Of f, in units of that of a value of weight 1."""
        with mp.workdps(DIGITS):
            row = mp.matrix([self.row(mp.mpf(float(place)), 0)])
            return float((row * self.inverse * row.T)[0])

    def hat(self):
        """The map from values to fitted values."""
        with mp.workdps(DIGITS):
            made = self.rows * self.inverse * self.rows.T
            return np.array(made.tolist(), float) * [float(weight) for weight in self.weights]

    @property
    def squares(self):
        with mp.workdps(DIGITS):
            return float(sum(w * r**2 for w, r in zip(self.weights, self.residuals, strict=True)))


def make_problem(kind, weighting, n=24, k=7):
    rng = np.random.default_rng(n)
    sites = make_knots(kind, n)
    knots = sites[[0, *np.sort(rng.choice(np.arange(1, n - 1), k - 2, replace=False)), -1]]
    weights = make_weights(weighting, n)
    return sites, rng.standard_normal(n), knots, weights


def close(ours, true, tolerance=TOLERANCE):
    true = np.asarray(true)
    np.testing.assert_allclose(ours, true, rtol=0.0, atol=tolerance * np.abs(true).max())


@pytest.mark.parametrize("weighting", ["one", "random"])
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", [1e-12, 1e-6, 1.0, 1e9, 1e20])
def test_fits_are_exact(kind, weighting, lam):
    sites, y, knots, weights = make_problem(kind, weighting)
    own = np.ones(sites.size) if weights is None else weights
    exact = Exact(sites, y, knots, own, lam)
    curve = regression_spline(sites, y, knots, weights=weights, lam=lam)
    close(curve.values[:, 0], [exact.at(knot, 0) for knot in knots])
    close(curve.slopes[:, 0], [exact.at(knot, 1) for knot in knots], 10 * TOLERANCE)
    close(curve.second_derivatives[:, 0], [exact.at(knot, 2) for knot in knots], 100 * TOLERANCE)
    lever = own * np.array([exact.variance(site) for site in sites])
    close(curve.leverages, lever)
    assert curve.df == pytest.approx(lever.sum(), rel=TOLERANCE)
    left = sites.size - lever.sum()
    hat = exact.hat()
    squared = ((np.eye(sites.size) - hat) * (np.eye(sites.size) - hat).T).sum()
    assert curve.residual_variance == pytest.approx(exact.squares / squared, rel=1e-11)
    assert curve.gcv == pytest.approx(sites.size * exact.squares / left**2, rel=1e-11)
    between = np.linspace(knots[0], knots[-1], 11)
    close(curve(between), [exact.at(place, 0) for place in between])
    noise = (sites.size - 2) * exact.squares / left**2
    deviations = np.sqrt([exact.variance(place) * noise for place in between])
    close(curve.std(between), deviations)
    low, high = curve.interval(between, 0.9)
    close((high - low) / 2, scipy.stats.t.ppf(0.95, left**2 / squared) * deviations, 1e-9)


@pytest.mark.parametrize("lam", LAMS)
def test_a_knot_at_each_site_gives_the_smoothing_spline(lam):
    for n in (2, 3, 4, 5, 30):
        sites = make_knots("random", n, seed=n)
        y = np.random.default_rng(n).standard_normal((n, 3))
        if lam == 0.0:
            with pytest.raises(ValueError, match="lam = 0 needs a site of its own"):
                regression_spline(sites, y, n, lam=lam)
            continue
        weights = make_weights("random", n)
        curve = regression_spline(sites, y, n, lam=lam, weights=weights)
        whole = smooth_spline(sites, y, lam=lam, weights=weights)
        points = np.linspace(-1.0, 2.0, 40)
        close(curve(points), whole(points), 1e-10)
        close(curve(points, 1), whole(points, 1), 1e-9)
        close(curve.leverages, whole.leverages, 1e-10)
        assert curve.df == pytest.approx(whole.df, rel=1e-10)
        if n - whole.df > 1e-3 * n:
            wanted = whole.residual_variance
            np.testing.assert_allclose(curve.residual_variance, wanted, rtol=1e-8)
            close(curve.std(sites), whole.std(sites), 1e-8)  # there both know the same
            close(curve.interval(sites)[1], whole.interval(sites)[1], 1e-8)


def test_without_penalty_it_is_scipys_least_squares_spline():
    sites, _, _, weights = make_problem("random", "random", n=200)
    y = np.sin(9.0 * sites)[:, np.newaxis] * [1.0, -2.0]
    knots = np.linspace(sites[0], sites[-1], 9)
    t = np.concatenate([knots[[0] * 3], knots, knots[[-1] * 3]])
    theirs = scipy.interpolate.make_lsq_spline(sites, y, t, w=np.sqrt(weights))
    ours = regression_spline(sites, y, knots, weights=weights, lam=0.0)
    close(ours.to_bspline().c, theirs.c, 1e-9)
    assert ours.df == pytest.approx(11.0, rel=1e-12)


def test_straight_lines_are_kept_and_are_the_limit():
    sites, y, knots, weights = make_problem("clustered", "random")
    for lam in LAMS[1:]:
        line = regression_spline(sites, 3.0 - 2.0 * sites, knots, weights=weights, lam=lam)
        close(line([-4.0, 0.3, 9.0]), [11.0, 2.4, -15.0], 1e-11)
    flat = regression_spline(sites, y, knots, weights=weights, lam=np.inf)
    slope, start = np.polyfit(sites, y, 1, w=np.sqrt(weights))
    close(flat([0.0, 1.0, 5.0]), [start, start + slope, start + 5.0 * slope], 1e-10)
    assert flat.df == pytest.approx(2.0, abs=1e-12)


@pytest.mark.parametrize("lam", [1e-6, 1.0])
def test_units_do_not_matter(lam):
    sites, y, knots, weights = make_problem("random", "random")
    plain = regression_spline(sites, y, knots, weights=weights, lam=lam)
    s, u, v = 1e7, 1e-5, 1e150
    other = regression_spline(
        s * sites + 3.0, v * y, s * knots + 3.0, weights=u * weights, lam=lam * s**3 * u
    )
    close(other.values, v * plain.values, 1e-9)
    close(other.leverages, plain.leverages, 1e-9)
    assert other.residual_variance == pytest.approx(plain.residual_variance * v * u * v, rel=1e-8)


def test_gcv_finds_the_least_score():
    rng = np.random.default_rng(2)
    sites = np.sort(rng.random(300))
    y = np.sin(12.0 * sites)[:, np.newaxis] + 0.3 * rng.standard_normal((300, 3))
    curves = regression_spline(sites, y, 40)
    for j, lam in enumerate(curves.lam):
        scores = [
            regression_spline(sites, y[:, j], 40, lam=lam * factor).gcv
            for factor in (1e-3, 0.1, 0.9, 0.999, 1.0, 1.001, 1.1, 10.0, 1e3)
        ]
        assert min(scores) >= scores[4] * (1.0 - 1e-9)
        assert curves.gcv[j] == pytest.approx(scores[4], rel=1e-12)
    whole = smooth_spline(sites, y)  # with a knot at each site: the curve is nearly the same
    assert np.abs(curves(sites) - whole(sites)).max() < 0.1
    assert np.abs(np.log(curves.df / whole.df)).max() < 0.2
    assert regression_spline(sites, 2.0 * sites, 40).df == pytest.approx(2.0, abs=1e-3)


def test_knots_by_number_are_those_that_r_takes():
    """R 4.5, .nknots as a number: ux[seq.int(1, 30, length.out = 7)], indices cut to whole ones."""
    sites = np.arange(30.0)
    curve = regression_spline(sites, sites**2, 7, lam=1.0)
    assert curve.knots.tolist() == [0.0, 4.0, 9.0, 14.0, 19.0, 24.0, 29.0]
    doubled = regression_spline(np.repeat(sites, 2), np.repeat(sites**2, 2), 7, lam=2.0)
    assert doubled.knots.tolist() == curve.knots.tolist()
    close(doubled(sites), curve(sites))


def test_fits_are_rs():
    """R 4.5.0: smooth.spline(x, y, w, nknots = 12, ...); its penalty has .333 in place of 1/3."""
    i = np.arange(60.0)
    x, w, points = i**1.3 / 60.0, 1.0 + i % 3, [0.1, 1.7, 2.9, 4.0]
    y = np.sin(1.3 * x) + 0.1 * np.cos(7.0 * i**2)
    given = regression_spline(x, y, 12, lam=lam_from_r(x, lambda_=1e-5, weights=w), weights=w)
    assert given.df == pytest.approx(12.12615333, rel=3e-4)
    close(given(points), [0.150717725057, 0.813807061424, -0.64333365839, -1.26484416807], 4e-4)
    close(
        given.leverages[:4],
        [0.247490610343, 0.332510647083, 0.328174636769, 0.0837918987354],
        3e-4,
    )
    by_gcv = regression_spline(x, y, 12, weights=w)
    assert by_gcv.df == pytest.approx(8.952105426, rel=1e-4)
    close(by_gcv(points), [0.142469945954, 0.811267099064, -0.613883491858, -1.18874513921], 5e-4)
    unit = lam_from_r(x, lambda_=1.0, weights=w)
    by_spar = lam_from_r(x, spar=0.3, weights=w, nknots=12)
    assert by_spar / unit == pytest.approx(0.0001802751433, rel=1e-9)
    curve = regression_spline(x, y, 12, lam=by_spar, weights=w)
    close(curve(points), [0.142405303693, 0.811106790028, -0.609973653151, -1.20567304308], 5e-4)
    with pytest.raises(ValueError, match="got 61"):
        lam_from_r(x, spar=0.3, nknots=61)
    with pytest.raises(TypeError, match=r"integer, got 2\.5"):
        lam_from_r(x, spar=0.3, nknots=2.5)


def test_equal_sites_and_weights_of_zero():
    sites, y, knots, _ = make_problem("random", "one")
    weights = np.ones(24)
    weights[[3, 8]] = 0.0
    gappy = y.copy()
    gappy[[3, 8]] = np.nan
    kept = weights > 0.0
    ours = regression_spline(sites, gappy, knots, weights=weights, lam=1e-3)
    fewer = regression_spline(sites[kept], y[kept], knots, lam=1e-3)
    close(ours.values, fewer.values)
    close(ours.leverages[kept], fewer.leverages)
    assert (ours.leverages[~kept] == 0.0).all()
    assert ours.gcv == pytest.approx(fewer.gcv, rel=1e-12)


@given(st.integers(2, 12), st.integers(4, 30), st.integers(0, 10**6), st.sampled_from(LAMS[1:]))
def test_fits_are_linear_and_columns_do_not_see_each_other(k, n, seed, lam):
    rng = np.random.default_rng(seed)
    sites, knots = np.sort(rng.random(n)), np.sort(rng.random(k))
    knots[[0, -1]] = -0.01, 1.01
    y = rng.standard_normal((n, 3))
    y[:, 2] = y[:, 0] - 2.0 * y[:, 1]
    together = regression_spline(sites, y, knots, lam=lam)
    alone = regression_spline(sites, y[:, 1], knots, lam=lam)
    np.testing.assert_array_equal(together.values[:, 1], alone.values[:, 0])
    combined = together.values[:, 0] - 2.0 * together.values[:, 1]
    close(together.values[:, 2], combined, 1e-9 * max(1.0, np.abs(together.values).max()))
    assert 2.0 - 1e-9 <= together.df <= min(k + 2, n) + 1e-9
    fitted = together(sites)
    if n > k + 2:
        score = n * ((y - fitted) ** 2).sum(axis=0) / (n - together.df) ** 2
        np.testing.assert_allclose(together.gcv, score, rtol=1e-7, atol=1e-12)
        # Of a map with eigenvalues in [0, 1]: between what mgcv takes and the score.
        theirs = score * (n - together.df) / n
        assert (together.residual_variance >= theirs * (1.0 - 1e-7)).all()
        own = alone.residual_variance
        assert together.residual_variance[1] == pytest.approx(own, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(("n", "k", "lam"), [(6, 3, np.inf), (12, 5, 0.0), (60, 30, "gcv")])
def test_bands_cover_what_they_say(n, k, lam):
    """With normal quantiles and RSS / (n - df) .89, .89 and .96."""
    rng = np.random.default_rng(5)
    sites = np.linspace(0.0, 1.0, n)
    truth = np.sin(9.0 * sites) if n == 60 else 2.0 * sites
    columns = 60 if lam == "gcv" else 4000
    values = truth[:, np.newaxis] + 0.3 * rng.standard_normal((n, columns))
    low, high = regression_spline(sites, values, k, lam=lam).interval(sites)
    inside = (low <= truth[:, np.newaxis]) & (truth[:, np.newaxis] <= high)
    if lam == "gcv":
        assert 0.94 < inside.mean() < 0.99
    else:
        assert inside.mean() == pytest.approx(0.95, abs=0.007)


def test_containers_axes_and_pickles():
    rng = np.random.default_rng(0)
    dates = np.datetime64("2026-03-01") + np.arange(40) * np.timedelta64(1, "h")
    frame = pd.DataFrame(rng.standard_normal((40, 2)), index=dates, columns=["a", "b"])
    curve = regression_spline(frame.index, frame, dates[::13], lam=1e12)
    at = curve(dates[:3])
    assert at.index.equals(frame.index[:3])
    bare = regression_spline(3600.0 * np.arange(40), frame.to_numpy().T, 4, lam=1e12, axis=1)
    np.testing.assert_array_equal(at, bare([0.0, 3600.0, 7200.0]).T)
    np.testing.assert_array_equal(bare.std([1.0, 2.0]), curve.std([1.0, 2.0]).T)
    again = pickle.loads(pickle.dumps(curve))
    assert again(dates[:3]).equals(at)
    z = frame.to_numpy() * (1.0 + 2.0j)
    whole = regression_spline(dates, z, 5, lam=1e9)
    np.testing.assert_allclose(whole.to_bspline()(7.0), whole(7.0), rtol=1e-12)
    assert repr(curve) == "RegressionSpline(knots=4, n=40, columns=2)"
    with pytest.raises(AttributeError, match="immutable"):
        curve.lam = 2.0


SITES, VALUES = np.arange(8.0), np.arange(8.0) ** 2
BAD = {
    "sites descend": (ValueError, r"sites must ascend, but sites\[1\]", {"sites": SITES[::-1]}),
    "nan site": (ValueError, r"sites\[7\] = nan", {"sites": [*SITES[:-1], np.nan]}),
    "no sites": (ValueError, "sites is empty", {"sites": [], "values": []}),
    "too few values": (ValueError, "8 knots need 8 values", {"values": VALUES[1:]}),
    "nan value": (ValueError, r"values\[2\] = nan", {"values": np.where(SITES == 2, np.nan, 1.0)}),
    "what helps with nan": (
        ValueError,
        r"\[2\] = nan; drop such entries, or give them weight 0$",
        {"values": np.where(SITES == 2, np.nan, 1.0)},
    ),
    "one site": (ValueError, "lie at one site", {"weights": [1.0] + [0.0] * 7}),
    "weights": (ValueError, "8 sites; give one weight a site", {"weights": [1.0]}),
    "one knot": (ValueError, r"knots must lie in \[2, 8\].*got 1", {"knots": 1}),
    "nine knots": (ValueError, r"knots must lie in \[2, 8\].*got 9", {"knots": 9}),
    "equal knots": (
        ValueError,
        r"knots must be strictly ascending",
        {"knots": [0.0, 3.0, 3.0, 9.0]},
    ),
    "sites outside": (ValueError, "must not lie outside the knots", {"knots": [0.0, 3.0, 6.5]}),
    "table of knots": (ValueError, "two or more, got shape", {"knots": [[0.0, 8.0]]}),
    "negative lam": (ValueError, "lam must be >= 0", {"lam": -1.0}),
    "lam by name": (ValueError, "got 'reml'", {"lam": "reml"}),
    "two lams": (ValueError, "one lam a column", {"lam": [1.0, 2.0]}),
    "flag for knots": (TypeError, "an integer, how many", {"knots": True}),
    "gap without data": (
        ValueError,
        "near knot",
        {"knots": [0.0, 0.1, 0.2, 0.3, 0.4, 7.0], "lam": 0},
    ),
    "gcv of three": (
        ValueError,
        "four values",
        {"weights": [1.0] * 3 + [0.0] * 5, "lam": "gcv", "knots": 3},
    ),
    "text": (TypeError, "values must hold real numbers", {"values": list("abcdefgh")}),
}


@pytest.mark.parametrize(("kind", "text", "changed"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(kind, text, changed):
    arguments = {"sites": SITES, "values": VALUES, "knots": 4, "lam": 1.0, **changed}
    with pytest.raises(kind, match=text):
        regression_spline(**arguments)


def test_bad_points_levels_and_what_leaves_no_noise_are_refused():
    curve = regression_spline(SITES, VALUES, 4, lam=1.0)
    with pytest.raises(ValueError, match=r"points\[0\] = inf"):
        curve([np.inf])
    with pytest.raises(ValueError, match="nu must lie"):
        curve([0.0], nu=4)
    with pytest.raises(ValueError, match="level must lie"):
        curve.interval([0.0], level=1.0)
    with pytest.raises(TypeError, match="level must be"):
        curve.interval([0.0], level="high")
    with pytest.raises(ValueError, match="as many degrees of freedom"):
        regression_spline(SITES[:5], VALUES[:5], [0.0, 2.0, 4.0], lam=0.0).std([1.0])


# --- scipy's argument t --------------------------------------------------------------------------


def omega(t):
    """The penalty of B-splines by Gauss' rule in each gap from t[3] to t[-4]."""
    nodes, weights = np.polynomial.legendre.leggauss(2)
    base, total = t[3:-3], 0.0
    basis = scipy.interpolate.BSpline(t, np.eye(t.size - 4), 3)
    for left, right in itertools.pairwise(base):
        second = basis(left + (right - left) * (nodes + 1.0) / 2.0, nu=2)
        total = total + (second.T * weights) @ second * (right - left) / 2.0
    return total


@pytest.mark.parametrize("ends", ["clamped", "not clamped"])
@pytest.mark.parametrize("lam", [1e-6, 1e-2, 10.0])
def test_t_gives_the_minimiser_by_its_b_splines(ends, lam):
    rng = np.random.default_rng(4)
    x = np.sort(rng.random(60))
    y, w = rng.standard_normal((60, 2)), rng.uniform(0.5, 2.0, 60)
    base = np.array([0.0, 0.2, 0.3, 0.55, 0.8, 1.0])
    beyond = np.zeros(3) if ends == "clamped" else np.array([0.1, 0.15, 0.4])
    t = np.concatenate([base[0] - beyond[::-1], base, base[-1] + beyond])
    ours = make_smoothing_spline(x, y, w, lam, t=t)
    design = scipy.interpolate.BSpline.design_matrix(x, t, 3).toarray()
    normal = design.T @ (w[:, np.newaxis] * design) + lam * omega(t)
    close(ours.c, np.linalg.solve(normal, design.T @ (w[:, np.newaxis] * y)), 1e-9)
    assert type(ours) is scipy.interpolate.BSpline
    np.testing.assert_array_equal(ours.t, t)


@pytest.mark.skipif(
    "t" not in inspect.signature(scipy.interpolate.make_smoothing_spline).parameters,
    reason="scipy has it in releases after August 2026",
)
@pytest.mark.parametrize("lam", [1e-6, 1e-2, 10.0])
def test_t_is_scipys(lam):
    rng = np.random.default_rng(6)
    x, base = np.sort(rng.random(60)), np.array([0.0, 0.2, 0.3, 0.55, 0.8, 1.0])
    y, w = rng.standard_normal((60, 2)), rng.uniform(0.5, 2.0, 60)
    t = np.concatenate([base[[0] * 3], base, base[[-1] * 3]])
    theirs = scipy.interpolate.make_smoothing_spline(x, y, w, lam, t=t)
    close(make_smoothing_spline(x, y, w, lam, t=t).c, theirs.c, 1e-9)


def test_t_at_x_is_the_smoothing_spline_and_gcv_chooses():
    rng = np.random.default_rng(5)
    x = np.sort(rng.random(50))
    y = np.sin(9.0 * x) + 0.2 * rng.standard_normal(50)
    t = np.concatenate([x[[0] * 3], x, x[[-1] * 3]])
    close(make_smoothing_spline(x, y, lam=1e-4, t=t).c, make_smoothing_spline(x, y, lam=1e-4).c)
    few = np.concatenate([x[[0] * 3], x[::7], x[[-1] * 3]])
    chosen = regression_spline(x, y, x[::7])
    close(make_smoothing_spline(x, y, t=few)(x), chosen(x))
    table = np.stack([y, -2.0 * y])
    close(make_smoothing_spline(x, table, t=few, axis=1)(x)[1], -2.0 * chosen(x))


@pytest.mark.parametrize(
    ("t", "text"),
    [
        ([0.0] * 4 + [7.0] * 3, "at least 8"),
        ([0.0] * 4 + [3.0, 3.0] + [7.0] * 4, r"t\[5\] = 3.0 follows t\[4\] = 3.0"),
        ([1.0] + [0.0] * 3 + [7.0] * 4, "must not descend"),
        ([0.0] * 4 + [6.0] * 4, r"x must lie within \[t\[3\], t\[-4\]\] = \[0.0, 6.0\]"),
        ([0.0] * 4 + [np.nan] + [7.0] * 4, r"t\[4\] = nan"),
    ],
)
def test_a_t_that_is_none_is_refused(t, text):
    with pytest.raises(ValueError, match=text):
        make_smoothing_spline(SITES, VALUES, lam=1.0, t=t)
    with pytest.raises(ValueError, match="w must be positive"):
        make_smoothing_spline(SITES, VALUES, np.zeros(8), lam=1.0, t=[0.0] * 4 + [7.0] * 4)


@pytest.mark.parametrize("lam", [1e-4, 1e-5, 1e-6, 1e-8, 1e-9, 1e-10, 1e-13])
def test_noise_near_interpolation_is_right_or_refused(lam):
    """There n - df and its derivative by log lam cancel; RSS / tr((I - S)^2) by the dense map."""
    x, y = np.arange(6.0), np.array([1.0, 0.0, 2.0, 1.0, 3.0, 2.0])
    curve = regression_spline(x, y, 4, lam=lam)
    rest = np.eye(6) - regression_spline(x, np.eye(6), 4, lam=lam)(x)
    if np.trace(rest @ rest) < 1e-7:
        with pytest.raises(ValueError, match="as many degrees of freedom"):
            _ = curve.residual_variance
    else:
        expected = ((rest @ y) ** 2).sum() / np.trace(rest @ rest)
        np.testing.assert_allclose(curve.residual_variance, expected, rtol=1e-5)


@pytest.mark.parametrize("knots", [5.5, True])
def test_how_many_knots_is_an_integer(knots):
    with pytest.raises(TypeError, match=f"an integer, how many, or an array of them, got {knots}"):
        regression_spline(np.arange(9.0), np.arange(9.0), knots, lam=1.0)
