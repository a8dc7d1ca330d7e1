"""R's smooth.spline by golden values (oracles/golden/smooth_spline.R), csaps by running it."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from csaps import csaps
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from fastspline import (
    DegreesOfFreedom,
    Smoother,
    lam_for_df,
    lam_from_csaps,
    lam_from_r,
    select_lam,
    smooth_spline,
)
from tests.support.strategies import designs, make_knots

GOLDEN = Path(__file__).parents[1] / "oracles" / "golden"
SETS = {one["name"]: one for one in json.loads((GOLDEN / "smooth_spline.json").read_text())}
FITS = [
    pytest.param(name, k, id=f"{name}-{fit['call']}-{k}")
    for name, one in SETS.items()
    for k, fit in enumerate(one["fits"])
]
by_fit = pytest.mark.parametrize(("name", "k"), FITS)

R_ROUNDING = 2e-9  # of R's band solver on these sets, relative to the largest value
R_CONSTANT = 1e-3  # what .333 in place of 1/3 does to these curves between the knots, at most
R_SLOPE = 2.5e-2  # what it does to end slopes, relative to the largest value over the range
R_OPTIMUM = 3e-3  # and to the log of the best lam


class RProblem:
    """R's normal equations as one dense least squares problem, with R's or the true 1/3.

    The integral of the square of a straight line over h, from a with rise d, is
    ``h ((a + d/2)**2 + (third - 1/4) d**2)``: two rows of a design matrix.
    """

    def __init__(self, x, w, lam, third):
        width = x[-1] - x[0]
        scaled = (x - x[0]) / width
        t = np.concatenate([scaled[[0] * 3], scaled, scaled[[-1] * 3]])
        basis = BSpline(t, np.eye(x.size + 2), 3)
        bend = basis.derivative(2)(scaled) * np.sqrt(lam / width**3)
        h, rise = np.diff(scaled)[:, np.newaxis], np.diff(bend, axis=0)
        middle = np.sqrt(h) * (bend[:-1] + rise / 2)
        ends = np.sqrt(h * (third - 0.25)) * rise
        self._root = np.sqrt(w)
        self._t, self._start, self._width = t, x[0], width
        q, r = np.linalg.qr(np.vstack([self._root[:, np.newaxis] * basis(scaled), middle, ends]))
        self._q, self._r = q[: x.size], r
        self.leverages = (self._q**2).sum(axis=1)

    def fit(self, y):
        """Values, slopes and second derivatives as a function of points and nu."""
        coefficients = np.linalg.solve(self._r, self._q.T @ (self._root * y))
        pieces = [BSpline(self._t, coefficients, 3).derivative(nu) for nu in range(3)]

        def curve(points, nu=0):
            inside = np.clip((points - self._start) / self._width, 0.0, 1.0)
            value = pieces[nu](inside) / self._width**nu
            beyond = points - self._start - inside * self._width
            if nu == 0:
                return value + beyond * pieces[1](inside) / self._width
            return np.where((np.abs(beyond) > 1e-9) & (nu == 2), 0.0, value)

        return curve


@cache
def read(name, k):
    """Knots, weights (or None), values, points, lam for these weights, and R's fit."""
    one = SETS[name]
    fit = one["fits"][k]
    x, y, points = np.array(one["x"]), np.array(fit["y"]), np.array(one["points"])
    w = None if one["w"] is None else np.array(one["w"])
    return x, w, y, points, lam_from_r(x, lambda_=fit["lambda"], weights=w), fit


def ones_if_none(w, x):
    return np.ones(x.size) if w is None else w


def distance(a, b):
    return np.abs(np.asarray(a) - b).max() / np.abs(b).max()


@by_fit
def test_r_solves_its_own_problem_with_its_constant(name, k):
    x, w, y, points, lam, fit = read(name, k)
    problem = RProblem(x, ones_if_none(w, x), lam, 0.333)
    curve = problem.fit(y)
    assert distance(curve(x), fit["fitted"]) <= R_ROUNDING
    assert distance(problem.leverages, fit["leverages"]) <= R_ROUNDING
    assert problem.leverages.sum() == pytest.approx(fit["df"], rel=R_ROUNDING)
    for nu in range(3):
        assert distance(curve(points, nu), fit[f"f{nu}"]) <= 100 * R_ROUNDING, nu


@by_fit
def test_with_the_true_third_r_would_give_our_curve(name, k):
    x, w, y, points, lam, _ = read(name, k)
    problem = RProblem(x, ones_if_none(w, x), lam, 1 / 3)
    curve, plan = problem.fit(y), Smoother(x, lam=lam, weights=w)
    assert distance(plan.leverages, problem.leverages) <= R_ROUNDING
    for nu in range(3):
        assert distance(plan.operator(points, nu=nu)(y), curve(points, nu)) <= 100 * R_ROUNDING, nu


@by_fit
def test_our_curve_is_r_but_for_its_constant(name, k):
    x, w, y, points, lam, fit = read(name, k)
    plan = Smoother(x, lam=lam, weights=w)
    assert distance(plan.operator(x)(y), np.array(fit["fitted"])) <= R_CONSTANT
    within = (x[0] <= points) & (points <= x[-1])
    theirs = np.array(fit["f0"])[within]
    assert distance(plan.operator(points[within])(y), theirs) <= R_CONSTANT
    assert plan.df == pytest.approx(fit["df"], rel=R_CONSTANT)


@by_fit
def test_beyond_the_knots_r_differs_by_what_its_constant_does_to_the_end_slopes(name, k):
    x, w, y, points, lam, fit = read(name, k)
    span = x[-1] - x[0]
    beyond = np.maximum(x[0] - points, points - x[-1]) / span
    outside, size = beyond > 0.0, np.abs(fit["fitted"]).max()
    theirs, ours = np.array(fit["f0"]), Smoother(x, lam=lam, weights=w).operator(points)(y)
    misses = (ours - theirs)[outside] / size
    assert (np.abs(misses) <= R_CONSTANT + R_SLOPE * beyond[outside]).all()
    weights = ones_if_none(w, x)
    true, r = (RProblem(x, weights, lam, third).fit(y)(points) for third in (1 / 3, 0.333))
    explained = (true - r)[outside] / size
    assert np.abs(misses - explained).max() <= 100 * R_ROUNDING


def test_beyond_the_knots_the_difference_is_not_small():
    """So that nobody takes the bound inside for one outside."""
    x, w, y, _, lam, _ = read("small", 5)
    points = x[-1] + (x[-1] - x[0]) * np.array([-2.5, 0.5])
    theirs = RProblem(x, ones_if_none(w, x), lam, 0.333).fit(y)(points)
    assert distance(Smoother(x, lam=lam, weights=w).operator(points)(y), theirs) > R_CONSTANT


@by_fit
def test_spar_is_lambda(name, k):
    x, w, _, _, lam, fit = read(name, k)
    if fit["spar"] is None:
        assert fit["call"] == "lambda"
        assert lam == lam_from_r(x, weights=w, lambda_=fit["arguments"]["lambda"])
    else:
        # a search ends with the spar that it judged best and the lambda that it tried last
        rel = 1e-12 if "spar" in fit["arguments"] else 1e-6
        assert lam_from_r(x, spar=fit["spar"], weights=w) == pytest.approx(lam, rel=rel)


@pytest.mark.parametrize("name", SETS)
def test_spar_with_the_knots_that_r_keeps_by_default(name):
    one = SETS[name]
    lam = lam_from_r(one["x"], lambda_=one["thinned"], weights=one["w"])
    by_default = lam_from_r(one["x"], spar=0.6, weights=one["w"], all_knots=False)
    assert by_default == pytest.approx(lam, rel=1e-12)
    is_thinned = by_default != lam_from_r(one["x"], spar=0.6, weights=one["w"])
    assert is_thinned == (len(one["x"]) >= 50)


def fits_by(*calls):
    def is_asked(one):
        name, k = one.values
        return SETS[name]["fits"][k]["call"] in calls

    return pytest.mark.parametrize(("name", "k"), [one for one in FITS if is_asked(one)])


def r_score(call, x, w, y, lam):
    """What R minimises, in its own problem and with its weights of mean 1."""
    problem = RProblem(x, w, lam, 0.333)
    rest = y - problem.fit(y)(x)
    count = np.count_nonzero(w)
    squares = w * rest**2 * count / w.sum()
    if call == "gcv":
        return squares.sum() / count / (1 - problem.leverages.sum() / count) ** 2
    return (squares / (1 - problem.leverages) ** 2).mean()


@fits_by("gcv", "loo")
def test_r_minimises_the_score_of_its_problem(name, k):
    x, w, y, _, lam, fit = read(name, k)
    w = ones_if_none(w, x)
    score = r_score(fit["call"], x, w, y, lam)
    assert score == pytest.approx(fit["crit"], rel=R_ROUNDING)
    for step in (-3e-4, 3e-4):
        assert score < r_score(fit["call"], x, w, y, lam * np.exp(step))


@fits_by("gcv", "loo")
def test_lam_is_chosen_as_r_does(name, k):
    x, w, y, _, lam, fit = read(name, k)
    criterion = {"gcv": "gcv-plain", "loo": "loo"}[fit["call"]]
    chosen = select_lam(x, y, weights=w, criterion=criterion)
    assert np.log(chosen / lam) == pytest.approx(0.0, abs=R_OPTIMUM)
    spline = smooth_spline(x, y, weights=w, lam=lam)
    active = x.size if w is None else np.count_nonzero(w)
    mean = 1.0 if w is None else w.sum() / active
    if fit["call"] == "gcv":
        assert spline.gcv / mean == pytest.approx(fit["crit"], rel=R_CONSTANT)
    else:  # R divides by the number of all knots
        assert spline.loo / mean * active / x.size == pytest.approx(fit["crit"], rel=R_CONSTANT)


@fits_by("df")
def test_degrees_of_freedom_are_r_s(name, k):
    x, w, y, _, lam, fit = read(name, k)
    assert np.log(lam_for_df(x, fit["df"], weights=w) / lam) == pytest.approx(0.0, abs=R_OPTIMUM)
    spline = smooth_spline(x, y, weights=w, lam=DegreesOfFreedom(fit["arguments"]["df"]))
    assert spline.df == pytest.approx(fit["df"], rel=1e-6)  # R's search ends there
    assert distance(spline(x), fit["fitted"]) <= R_CONSTANT


@given(designs(min_size=4), st.floats(-1.5, 1.5), st.booleans())
def test_units_scale(design, spar, all_knots):
    x, w, _ = design
    lam = lam_from_r(x, spar=spar, weights=w, all_knots=all_knots)
    scaled = lam_from_r(8.0 * x, spar=spar, weights=4.0 * w, all_knots=all_knots)
    assert scaled == 4 * 512 * lam
    twice = lam_from_r(x, spar=spar + 1 / 24, weights=w, all_knots=all_knots)
    assert twice == pytest.approx(2 * lam, rel=1e-12)


def test_extremes():
    x = make_knots("random", 60)
    assert lam_from_r(x, spar=100.0) == np.inf
    assert lam_from_r(x, lambda_=np.inf) == np.inf
    assert lam_from_r(x, spar=-100.0) == 0.0
    assert lam_from_r(x, lambda_=0.0) == 0.0
    assert lam_from_r(x, lambda_=2.0, weights=np.full(60, 3.0)) == pytest.approx(
        6.0 * (x[-1] - x[0]) ** 3
    )


CSAPS_ROUNDING = 1e-10  # of its system for second derivatives, with gaps and weights near 1
by_csaps_design = pytest.mark.parametrize(
    ("kind", "n", "weighted"),
    [("uniform", 3, False), ("random", 30, True), ("chebyshev", 50, False), ("uniform", 200, True)],
)


def csaps_design(kind, n, weighted, rng):
    x = rng.uniform(0.2, 2.0, n).cumsum() if kind == "random" else n * make_knots(kind, n)
    w = 10.0 ** rng.uniform(-1.0, 1.0, n) if weighted else None
    inside = rng.uniform(x[0], x[-1], 50)
    return x, w, np.sin(6.0 * x / n) + 0.3 * rng.standard_normal((2, n)), inside


@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.9999, 1.0])
@by_csaps_design
def test_csaps_curve(p, kind, n, weighted, rng):
    x, w, y, inside = csaps_design(kind, n, weighted, rng)
    plan = Smoother(x, lam=lam_from_csaps(p), weights=w)
    for nu in range(3):
        theirs = csaps(x, y, weights=w, smooth=p).spline(inside, nu=nu)
        ours = plan.operator(inside, nu=nu)(y, axis=1)
        assert distance(ours, theirs) <= CSAPS_ROUNDING, nu


@pytest.mark.parametrize(
    ("p", "normalized"), [(None, False), (None, True), (0.3, True), (0.99, True)]
)
@by_csaps_design
def test_csaps_parameter_made_from_the_data(p, normalized, kind, n, weighted, rng):
    x, w, y, inside = csaps_design(kind, n, weighted, rng)
    theirs = csaps(x, y, weights=w, smooth=p, normalizedsmooth=normalized)
    lam = lam_from_csaps(p, knots=x, weights=w, normalizedsmooth=normalized)
    # csaps keeps p = 1 / (1 + lam), whose rounding is that of 1 where lam is small
    assert 1.0 / (1.0 + lam) == pytest.approx(theirs.smooth, rel=1e-14)
    ours = Smoother(x, lam=lam, weights=w).operator(inside)(y, axis=1)
    assert distance(ours, theirs(inside)) <= CSAPS_ROUNDING


def test_csaps_line_and_its_ends():
    x, y = np.arange(8.0), np.array([0.0, 2.0, 1.0, 3.0, 2.0, 5.0, 4.0, 7.0])
    assert lam_from_csaps(0.0) == np.inf
    assert lam_from_csaps(1.0) == 0.0
    line = Smoother(x, lam=lam_from_csaps(0)).operator(x)(y)
    np.testing.assert_allclose(line, csaps(x, y, x, smooth=0.0), rtol=0, atol=1e-12)
    ours = Smoother(x, lam=lam_from_csaps(0.5)).operator([-1.0, 8.0])(y)
    theirs = csaps(x, y, [-1.0, 8.0], smooth=0.5)
    assert np.abs(ours - theirs).min() > 1e-3  # it continues the end cubics


def test_csaps_with_two_knots_is_the_line():
    lam = lam_from_csaps(None, knots=[0.0, 1.0])
    assert Smoother([0.0, 1.0], lam=lam).operator([0.5])([1.0, 2.0]).tolist() == [1.5]


X = np.arange(6.0)
BAD = {
    "neither": (ValueError, ["exactly one", "neither"], lambda: lam_from_r(X)),
    "both": (ValueError, ["exactly one", "both"], lambda: lam_from_r(X, spar=1, lambda_=1)),
    "negative": (ValueError, ["lambda_", "-1"], lambda: lam_from_r(X, lambda_=-1)),
    "nan lambda": (ValueError, ["lambda_", "nan"], lambda: lam_from_r(X, lambda_=np.nan)),
    "nan spar": (ValueError, ["spar", "nan"], lambda: lam_from_r(X, spar=np.nan)),
    "text": (TypeError, ["spar", "'gcv'"], lambda: lam_from_r(X, spar="gcv")),
    "few": (ValueError, ["3 entries", "4"], lambda: lam_from_r(X[:3], spar=0.5)),
    "unsorted": (ValueError, ["knots[1]"], lambda: lam_from_r(X[::-1], spar=0.5)),
    "weights": (ValueError, ["weights"], lambda: lam_from_r(X, spar=0.5, weights=[1.0])),
    "p": (ValueError, ["[0, 1]", "1.5"], lambda: lam_from_csaps(1.5)),
    "nan p": (ValueError, ["[0, 1]", "nan"], lambda: lam_from_csaps(np.nan)),
    "p array": (TypeError, ["smooth"], lambda: lam_from_csaps([0.5, 0.5])),
    "bool": (TypeError, ["smooth", "True"], lambda: lam_from_csaps(np.True_)),
    "no knots": (ValueError, ["give knots"], lambda: lam_from_csaps(None)),
    "zero weight": (
        ValueError,
        ["positive weights"],
        lambda: lam_from_csaps(None, knots=X, weights=X),
    ),
}


@pytest.mark.parametrize(("kind", "fragments", "call"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(kind, fragments, call):
    with pytest.raises(kind) as error:
        call()
    for fragment in fragments:
        assert fragment in str(error.value), str(error.value)
