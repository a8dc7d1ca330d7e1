import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastspline import (
    DegreesOfFreedom,
    Smoother,
    lam_for_df,
    make_smoothing_spline,
    select_lam,
    smooth_spline,
)
from fastspline._score import scores_at
from fastspline._search import minimise_score
from tests.oracles.splines import ExactSmoother, ScoreCurve, exact_scores
from tests.support.strategies import KNOT_KINDS, LAMS, WEIGHT_KINDS, make_knots, make_weights
from tests.support.strategies import knots as knot_lists

SCORE_EXCESS = 1e-7  # at the ends of the search, which the oracle's range does not share exactly
LAM_ERROR = 1e-5  # relative; the oracle's grid is this fine

CRITERIA = ["gcv", "gcv-plain", "loo", "reml"]
SCORES = dict(zip(CRITERIA, ["robust", "gcv", "loo", "reml"], strict=True))  # as oracles call them
by_criterion = pytest.mark.parametrize("criterion", CRITERIA)
bounds_expected = pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")


def searched(curve, knots, weights=None):
    """The lam between interpolation, where n - df is n / 1000, and straight line."""
    total = len(knots) if weights is None else weights.sum()
    return curve.lam_of_rest(1e-3 * len(knots)), 1e2 * (knots[-1] - knots[0]) ** 3 * total


def make_columns(knots, rng, count):
    """Waves of several lengths under noise of several sizes, and noise alone."""
    fraction = (knots - knots[0]) / (knots[-1] - knots[0])
    waves = np.sin(np.outer(fraction, rng.uniform(1.0, 12.0, count)) + rng.uniform(0.0, 6.0, count))
    waves[:, ::5] = 0.0
    return waves + 10.0 ** rng.uniform(-2.0, 0.5, count) * rng.standard_normal((len(knots), count))


@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("weight_kind", WEIGHT_KINDS)
@pytest.mark.parametrize("kind", KNOT_KINDS)
def test_scores_are_exact(kind, weight_kind, lam, rng):
    places, weights = make_knots(kind, 11, seed=4), make_weights(weight_kind, 11)
    values = 3.0 + 5.0 * places + rng.standard_normal(11)
    plan = Smoother(places, lam=lam, weights=weights)
    gaps = plan._plan.solver.gaps
    found = scores_at(gaps, gaps.scaled_lam, values[plan._plan.active, np.newaxis])
    expected = exact_scores(places, values, lam=lam, weights=weights)
    for name in expected.keys() - {"rss", "squared"}:  # of which one is part of gcv
        ours = float(np.ravel(getattr(found, name))[0])
        allowed = 1e-12 * (abs(expected[name]) + (len(values) if name == "reml" else 1e-70))
        assert abs(ours - expected[name]) <= allowed, (name, ours, expected[name])


@bounds_expected
@by_criterion
@pytest.mark.parametrize("weight_kind", ["one", "random"])
@pytest.mark.parametrize("kind", KNOT_KINDS)
def test_optimum_is_that_of_brute_force(kind, weight_kind, criterion, rng):
    places, weights = make_knots(kind, 20, seed=3), make_weights(weight_kind, 20)
    values = make_columns(places, rng, 40)
    curve = ScoreCurve(places, weights, criterion)
    low, high = searched(curve, places, weights)
    chosen = select_lam(places, values, weights=weights, criterion=criterion)
    assert chosen.shape == (40,)
    interior = 0
    for j in range(40):
        best_lam, best = curve.minimum(values[:, j], low, high)
        if best_lam == low:
            assert chosen[j] == pytest.approx(low, rel=0.01)
            continue
        excess = curve(values[:, j : j + 1], chosen[j : j + 1])[0, 0] - best
        assert excess <= SCORE_EXCESS * (1.0 if criterion == "reml" else best), j
        if low * 2 < best_lam < high / 2:
            interior += 1
            assert chosen[j] == pytest.approx(best_lam, rel=LAM_ERROR), j
        if np.isinf(best_lam):
            assert np.isinf(chosen[j])
    assert interior >= 12


@bounds_expected
@by_criterion
def test_least_of_several_minima_is_found(criterion, rng):
    places = make_knots("random", 20, seed=7)
    values = rng.standard_normal((20, 1000))  # noise alone has the most minima
    curve = ScoreCurve(places, None, criterion)
    grid = np.geomspace(*searched(curve, places), 1500)
    table = curve(values, grid)
    falls, rises = table[:-2] > table[1:-1], table[1:-1] < table[2:]
    several = np.flatnonzero((falls & rises).sum(axis=0) >= 2)
    assert several.size >= 3
    chosen = select_lam(places, values[:, several], criterion=criterion)
    for j, lam in zip(several.tolist(), chosen.tolist(), strict=True):
        best = min(table[:, j].min(), curve(values[:, j : j + 1], [np.inf])[0, 0])
        assert curve(values[:, j : j + 1], [lam])[0, 0] <= best + SCORE_EXCESS * abs(best)


@bounds_expected
@by_criterion
def test_one_lam_for_all_columns_minimises_the_sum(criterion, rng):
    places = make_knots("random", 20)
    values = make_columns(places, rng, 12)
    curve = ScoreCurve(places, None, criterion)
    chosen = select_lam(places, values, criterion=criterion, per_column=False)
    assert isinstance(chosen, float)
    grid = np.geomspace(*searched(curve, places), 3000)
    best = curve(values, [*grid, np.inf]).sum(axis=1).min()
    assert curve(values, [chosen]).sum() <= best + SCORE_EXCESS * abs(best)


@bounds_expected
@by_criterion
def test_general_search_finds_the_same(criterion, rng):
    places = make_knots("random", 25)
    values = make_columns(places, rng, 6)
    curve = ScoreCurve(places, None, criterion)
    found = minimise_score(
        lambda lam, part: curve(values[:, part], [lam])[0], *searched(curve, places)
    )
    np.testing.assert_allclose(
        found.lam, select_lam(places, values, criterion=criterion), rtol=LAM_ERROR
    )


@bounds_expected
@by_criterion
def test_smooth_spline_uses_the_selected_lam(criterion, rng):
    places = make_knots("random", 30)
    values = make_columns(places, rng, 5)
    chosen = select_lam(places, values, criterion=criterion)
    by_name = smooth_spline(places, values, lam=criterion)
    given_lam = smooth_spline(places, values, lam=chosen)
    np.testing.assert_array_equal(by_name.lam, chosen)
    np.testing.assert_array_equal(given_lam.values, by_name.values)
    if criterion == "gcv":
        np.testing.assert_array_equal(smooth_spline(places, values).lam, chosen)


@bounds_expected
@by_criterion
def test_columns_do_not_see_each_other(criterion, rng):
    places = make_knots("random", 30)
    values = make_columns(places, rng, 20) * 10.0 ** rng.uniform(-250.0, 250.0, 20)
    together = select_lam(places, values, criterion=criterion)
    for j in range(20):
        alone = select_lam(places, values[:, j], criterion=criterion)
        assert np.ndim(alone) == 0
        assert alone == together[j]


@bounds_expected
@pytest.mark.parametrize("columns", [3, 700])
def test_threads_change_nothing(columns, rng, monkeypatch):
    places = make_knots("random", 30)
    values = make_columns(places, rng, columns)
    expected = select_lam(places, values)
    monkeypatch.setattr("fastspline._selection.default_threads", lambda: 3)
    monkeypatch.setattr("fastspline._selection.ALONE_BYTES", 0)
    np.testing.assert_array_equal(select_lam(places, values), expected)


@bounds_expected
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_axis(axis, rng):
    places = make_knots("random", 30)
    values = make_columns(places, rng, 6).reshape(30, 2, 3)
    expected = select_lam(places, values)
    assert expected.shape == (2, 3)
    np.testing.assert_array_equal(
        select_lam(places, np.moveaxis(values, 0, axis), axis=axis), expected
    )
    spline = smooth_spline(places, np.moveaxis(values, 0, axis), axis=axis)
    np.testing.assert_array_equal(spline.lam, expected)


@bounds_expected
@by_criterion
@pytest.mark.parametrize("knot_unit", [1e-3, 1e3, 86400.0])
@pytest.mark.parametrize("weight_unit", [1e-3, 100.0])
def test_units_scale_lam(knot_unit, weight_unit, criterion, rng):
    places = make_knots("random", 40)
    values = make_columns(places, rng, 8)
    plain = select_lam(places, values, criterion=criterion)
    scaled = select_lam(
        places * knot_unit,
        values * 7e5,
        weights=np.full(40, weight_unit),
        criterion=criterion,
    )
    np.testing.assert_allclose(scaled, plain * knot_unit**3 * weight_unit, rtol=1e-6)


@given(st.data())
@bounds_expected
def test_reversal_and_any_line_change_nothing(data):
    places = data.draw(knot_lists(min_size=5))
    seed, criterion = data.draw(st.integers(0, 2**32)), data.draw(st.sampled_from(CRITERIA))
    values = np.random.default_rng(seed).standard_normal(len(places))
    fraction = (places - places[0]) / (places[-1] - places[0])
    score = {}
    for name, x, y in [
        ("plain", places, values),
        ("reversed", -places[::-1], values[::-1]),
        ("line", places, values + 3.0 - 40.0 * fraction),
    ]:
        lam = select_lam(x, y, criterion=criterion)
        score[name] = exact_scores(places, values, lam=lam)[SCORES[criterion]]
    # A lam may differ between two minima that score the same; the score may not.
    assert score["reversed"] == pytest.approx(score["plain"], rel=1e-9, abs=1e-9)
    assert score["line"] == pytest.approx(score["plain"], rel=1e-9, abs=1e-9)


@by_criterion
def test_straight_data_under_noise_give_the_line(criterion):
    places = make_knots("uniform", 30)
    values = 3.0 * places + 0.1 * np.cos(29 * np.pi * places)  # the roughest noise there is
    curve = ScoreCurve(places, None, criterion)
    assert curve.minimum(values, *searched(curve, places))[0] == np.inf
    with pytest.warns(UserWarning, match=r"^the score is best for the straight line"):
        assert select_lam(places, values, criterion=criterion) == np.inf
    with pytest.warns(UserWarning, match="no curvature beyond their noise") as caught:
        smooth_spline(places, values, lam=criterion)
    assert caught[0].filename == __file__


@by_criterion
def test_data_without_noise_are_followed_with_a_warning(criterion):
    places = make_knots("uniform", 60)
    values = np.stack([np.exp(places), np.sin(3.0 * places)], axis=1)
    with pytest.warns(UserWarning, match="for 2 of 2 columns .* next to interpolation"):
        lam = select_lam(places, values, criterion=criterion)
    np.testing.assert_allclose(lam, ScoreCurve(places).lam_of_rest(0.06), rtol=1e-4)


def test_scipys_entry_warns_next_to_interpolation_alone():
    places = make_knots("uniform", 30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_smoothing_spline(places, 3.0 * places + 0.1 * np.cos(29 * np.pi * places))
    with pytest.warns(UserWarning, match="next to interpolation") as caught:
        make_smoothing_spline(places, np.exp(places))
    assert caught[0].filename == __file__


FAST = np.sin(40.0 * np.pi * np.linspace(0.0, 1.0, 100))  # five knots a wave


@bounds_expected
@pytest.mark.parametrize("criterion", ["gcv", "gcv-plain", "loo"])
@pytest.mark.parametrize("seed", range(5))
def test_fast_waves_under_little_noise_are_followed(seed, criterion):
    """The optimum lies at df 99.9 of 100, far below any bound by the cubed gap."""
    places = np.linspace(0.0, 1.0, 100)
    values = FAST + 1e-3 * np.random.default_rng(seed).standard_normal(100)
    spline = smooth_spline(places, values, lam=criterion)
    assert spline.df > 99.0
    best = min(
        np.sqrt(np.mean((Smoother(places, lam=lam).fit(values).values - FAST) ** 2))
        for lam in np.geomspace(1e-12, 1e-7, 100)
    )
    assert 8e-4 < best < 1.2e-3
    assert np.sqrt(np.mean((spline.values - FAST) ** 2)) < 1.1 * best


@bounds_expected
def test_noise_at_random_knots_is_not_interpolated():
    """Where GCV itself follows the noise, for two close knots tell it all that it hears."""
    fooled = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        places = np.sort(rng.random(177))
        values = 2.0 * places + 0.3 * rng.standard_normal(177)
        fooled += smooth_spline(places, values, lam="gcv-plain").df > 88.0
        assert smooth_spline(places, values).df < 6.0, seed
    assert fooled


@by_criterion
@pytest.mark.parametrize(
    "column",
    [
        np.zeros(12),
        np.full(12, 3.0),
        np.arange(12.0) - 4.0,
        0.1 * np.arange(12.0) + 0.3,
        1e-200 * np.arange(12.0),
        1e6 + np.arange(12.0) / 3.0,
    ],
)
def test_values_on_a_line_give_the_line_without_a_warning(column, criterion):
    places = np.arange(12.0)
    assert select_lam(places, column, criterion=criterion) == np.inf
    wave = np.sin(0.5 * places) + 0.3 * np.cos(np.pi * places)
    others = np.stack([wave, column], axis=1)
    assert select_lam(places, others, criterion=criterion)[1] == np.inf
    assert select_lam(places, others[:, 1:], criterion=criterion, per_column=False) == np.inf
    fitted = smooth_spline(places, column, lam=criterion)(places)
    np.testing.assert_allclose(fitted, column, rtol=0, atol=1e-12 * np.abs(column).max())


@bounds_expected
@by_criterion
def test_knots_without_weight_are_not_looked_at(criterion, rng):
    places = make_knots("random", 30)
    values, weights = make_columns(places, rng, 4), make_weights("zeros", 30)
    kept = weights > 0
    blind = np.where(kept[:, np.newaxis], values, np.nan)
    chosen = select_lam(places, blind, weights=weights, criterion=criterion)
    np.testing.assert_array_equal(
        chosen,
        select_lam(places[kept], values[kept], weights=weights[kept], criterion=criterion),
    )


@by_criterion
@pytest.mark.parametrize(("n", "lam"), [(1, 0.0), (2, 0.0), (3, np.inf)])
def test_too_few_knots_to_choose_lam(n, lam, criterion):
    places, values = np.arange(float(n)), np.array([2.0, 3.0, 1.0])[:n]
    assert select_lam(places, values, criterion=criterion) == lam
    if n < 3:
        fitted = smooth_spline(places, values, lam=criterion)(places)
        np.testing.assert_allclose(fitted, values, rtol=1e-15)
    elif criterion != "gcv":
        name = SCORES[criterion]
        scores = [exact_scores(places, values, lam=one)[name] for one in (1e-3, 1e3)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-14)


@bounds_expected
@by_criterion
def test_four_knots_are_enough(criterion):
    spline = smooth_spline([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 0.5, 3.0], lam=criterion)
    assert 0 <= spline.lam <= np.inf
    assert np.isfinite(spline(np.linspace(-1.0, 3.0, 9))).all()


def test_no_columns():
    assert select_lam(np.arange(6.0), np.empty((6, 0))).shape == (0,)


@bounds_expected
def test_float32_selects_as_float64_does(rng):
    places = make_knots("random", 30)
    values = make_columns(places, rng, 6).astype(np.float32)
    np.testing.assert_array_equal(
        select_lam(places, values), select_lam(places, values.astype(np.float64))
    )


@pytest.mark.parametrize("df", [2.0 + 1e-9, 2.5, 4, 7.3, 10.9, 11 - 1e-9])
@pytest.mark.parametrize("weight_kind", ["one", "random"])
@pytest.mark.parametrize("kind", KNOT_KINDS)
def test_lam_for_df(kind, weight_kind, df):
    places, weights = make_knots(kind, 11), make_weights(weight_kind, 11)
    lam = lam_for_df(places, df, weights=weights)
    leverages = np.diag(ExactSmoother(places, lam=lam, weights=weights).hat())
    assert abs(float(leverages.sum() - df)) <= 1e-13 * min(df, 11 * (11 - df) + 1e-2)


def test_df_of_all_knots_is_interpolation():
    assert lam_for_df(np.arange(5.0), 5) == 0.0
    assert lam_for_df(np.arange(5.0), 4, weights=[1, 1, 0, 1, 1]) == 0.0


def test_smooth_spline_takes_degrees_of_freedom(rng):
    places = make_knots("random", 30)
    values, weights = make_columns(places, rng, 3), make_weights("zeros", 30)
    spline = smooth_spline(places, values, weights=weights, lam=DegreesOfFreedom(8))
    assert spline.lam == lam_for_df(places, 8.0, weights=weights)
    assert spline.df == pytest.approx(8.0, rel=1e-12)


def test_degrees_of_freedom_are_a_value():
    wanted = DegreesOfFreedom(np.float64(8))
    assert wanted == DegreesOfFreedom(8) == pickle.loads(pickle.dumps(wanted))
    assert repr(wanted) == "DegreesOfFreedom(df=8.0)"
    with pytest.raises(AttributeError):
        wanted.df = 3.0


@pytest.mark.parametrize(
    ("kind", "fragment", "df"),
    [
        (ValueError, "(2, n]", 1.0),
        (ValueError, "-1", -1.0),
        (ValueError, "nan", np.nan),
        (ValueError, "inf", np.inf),
        (TypeError, "'8'", "8"),
        (TypeError, "True", True),
    ],
)
def test_bad_df_is_refused(kind, fragment, df):
    for call in (DegreesOfFreedom, lambda df: lam_for_df(np.arange(9.0), df)):
        with pytest.raises(kind) as error:
            call(df)
        assert "df must" in str(error.value)
        assert fragment in str(error.value)


def test_df_that_the_knots_do_not_have_is_refused():
    with pytest.raises(ValueError, match=r"df must lie in \(2, 5\]"):
        lam_for_df(np.arange(6.0), 5.5, weights=[1, 1, 1, 0, 1, 1])
    with pytest.raises(ValueError, match="at most 2 for 2 knots"):
        lam_for_df(np.arange(2.0), 2.5)
    with pytest.raises(ValueError, match="at most 1 for 1 knots"):
        smooth_spline([0.0, 1.0], [0.0, 1.0], weights=[0, 1], lam=DegreesOfFreedom(3))


BAD = {
    "nan value": (ValueError, ["values[2]", "nan"], {"values": [0.0, 1.0, np.nan, 1.0, 2.0, 0.0]}),
    "wrong length": (ValueError, ["values", "(5,)"], {"values": np.ones(5)}),
    "unsorted": (ValueError, ["knots[1]"], {"knots": np.arange(6.0)[::-1]}),
    "weights": (ValueError, ["weights[5]", "-1"], {"weights": [1, 1, 1, 1, 1, -1]}),
    "text": (TypeError, ["values"], {"values": list("abcdef")}),
    "axis": (ValueError, ["axis"], {"axis": 1}),
    "criterion": (ValueError, ['"gcv-plain", "loo" or "reml"', "'aic'"], {"criterion": "aic"}),
}


@pytest.mark.parametrize("select", [select_lam, smooth_spline])
def test_position_of_a_bad_value_is_the_callers(select):
    values, weights = np.zeros((2, 6, 3)), np.array([0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    values[:, 0] = np.nan
    values[1, 4, 2] = np.inf
    with pytest.raises(ValueError, match=r"values\[1, 4, 2\] = inf"):
        select(np.arange(6.0), values, weights=weights, axis=1)


def test_unknown_score_is_refused_by_smooth_spline():
    with pytest.raises(ValueError, match="'aic'"):
        smooth_spline(np.arange(6.0), np.zeros(6), lam="aic")


@pytest.mark.parametrize(("kind", "fragments", "arguments"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(kind, fragments, arguments):
    with pytest.raises(kind) as error:
        select_lam(
            **{"knots": np.arange(6.0), "values": [0.0, 1.0, 0.0, 1.0, 2.0, 0.0], **arguments}
        )
    for fragment in fragments:
        assert fragment in str(error.value), str(error.value)
