"""`smooth_spline`: equal knots, missing values, choices of lam and other ends, by dense algebra."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastspline import DegreesOfFreedom, Smoother, lam_for_df, select_lam, smooth_spline
from tests.oracles.raw import RawFit, minimise_raw
from tests.support.strategies import designs, make_knots

CLOSE = 1e-11
SLOPES = ("slope", 2.0, -1.0)
bounds_expected = pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")

# Some single, the ends and others several times.
REPEATED = np.array([0.0, 0.0, 0.2, 0.5, 0.5, 0.5, 0.6, 0.9, 1.3, 1.3, 1.4, 1.7, 2.0, 2.0])
PLACES = np.unique(REPEATED)
ROUGHNESS = np.geomspace(0.3, 4.0, PLACES.size - 1)
ENDS = {
    "natural": {},
    "periodic": {"bc": "periodic"},
    "slopes": {"bc": SLOPES},
    "roughness": {"roughness": ROUGHNESS},
    "slopes and roughness": {"bc": SLOPES, "roughness": ROUGHNESS},
}
WEIGHTS = {
    "ones": None,
    "uneven": np.geomspace(0.1, 10.0, REPEATED.size)[
        [3, 9, 0, 7, 5, 1, 2, 13, 12, 10, 4, 6, 8, 11]
    ],
    "one of three is 0": np.where(np.arange(REPEATED.size) == 4, 0.0, 1.5),
    "half of an end is 0": np.where(np.arange(REPEATED.size) == 1, 0.0, 2.0),
}


def make_waves(knots, columns, seed=0):
    rng = np.random.default_rng(seed)
    waves = np.sin(np.outer(knots, rng.uniform(1.0, 5.0, columns)))
    return waves + rng.uniform(0.05, 0.5, columns) * rng.standard_normal((knots.size, columns))


# --- equal knots ---------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("lam", [1e-4, 0.1, 1e3])
def test_merged_knots_fit_as_raw_rows_do(ends, weights, lam):
    values = make_waves(REPEATED, 2)
    if weights is not None:
        values[weights == 0.0] = np.nan
    spline = smooth_spline(REPEATED, values, weights=weights, lam=lam, duplicates="merge", **ends)
    raw = RawFit(REPEATED, values, weights=weights, lam=lam, **ends)
    np.testing.assert_array_equal(spline.knots, PLACES)
    np.testing.assert_allclose(spline.values, raw.fitted, atol=1e-12)
    np.testing.assert_allclose(spline(PLACES, nu=1), raw.slopes, atol=CLOSE)
    assert spline.df == pytest.approx(raw.df, rel=CLOSE)
    np.testing.assert_allclose(spline.gcv, raw.gcv, rtol=CLOSE)
    np.testing.assert_allclose(spline.loo, raw.loo, rtol=CLOSE)
    np.testing.assert_allclose(spline.residual_variance, raw.variance, rtol=CLOSE)
    if not ends:
        np.testing.assert_allclose(spline.reml, raw.reml, atol=CLOSE)


@settings(max_examples=60)
@given(designs(min_size=2, max_size=7), st.integers(0, 2**32 - 1))
def test_any_repeats(design, seed):
    places, _, lam = design
    lam = min(lam, 1e6)
    rng = np.random.default_rng(seed)
    knots = np.repeat(places, rng.integers(1, 4, places.size))
    weights = 10.0 ** rng.uniform(-1.0, 1.0, knots.size)
    weights[rng.random(knots.size) < 0.2] = 0.0
    weights[0] = weights[-1] = 1.0
    values = rng.standard_normal((knots.size, 1))
    spline = smooth_spline(knots, values, weights=weights, lam=lam, duplicates="merge")
    one_a_row = [values[(knots == place) & (weights > 0)] for place in places]
    assert spline.knots.tolist() == places.tolist()
    if lam == 0.0:
        means = [
            np.average(rows[:, 0], weights=weights[(knots == place) & (weights > 0)])
            for place, rows in zip(places, one_a_row, strict=True)
            if rows.size
        ]
        kept = [rows.size > 0 for rows in one_a_row]
        np.testing.assert_allclose(spline.values[kept, 0], means, atol=1e-12)
        return
    raw = RawFit(knots, values, weights=weights, lam=lam)
    np.testing.assert_allclose(spline.values, raw.fitted, atol=1e-12)
    assert spline.df == pytest.approx(raw.df, rel=CLOSE)
    if raw.counts.size > 2:
        np.testing.assert_allclose(spline.gcv, raw.gcv, rtol=1e-9)
        np.testing.assert_allclose(spline.residual_variance, raw.variance, rtol=1e-9)
    else:
        assert np.isnan(spline.gcv).all()


@bounds_expected
@pytest.mark.parametrize("weights", [None, WEIGHTS["uneven"]], ids=["ones", "uneven"])
@pytest.mark.parametrize(
    ("ends", "criterion"),
    [
        ("natural", "gcv"),
        ("natural", "loo"),
        ("natural", "reml"),
        ("periodic", "gcv"),
        ("periodic", "loo"),
        ("slopes", "gcv"),
        ("slopes", "loo"),
        ("roughness", "gcv"),
        ("slopes and roughness", "loo"),
    ],
)
def test_lam_of_merged_knots_is_the_optimum_of_raw_rows(ends, criterion, weights):
    values = make_waves(REPEATED, 4, seed=5)
    options = {"weights": weights, **ENDS[ends]}
    spline = smooth_spline(REPEATED, values, lam=criterion, duplicates="merge", **options)
    inside = 0
    for j in range(4):
        lam, score = minimise_raw(criterion, REPEATED, values[:, j], 1e-5, 1e5, **options)
        ours = min(max(spline.lam[j], 1e-12), 1e5)
        found = RawFit(REPEATED, values[:, [j]], lam=ours, digits=False, **options)
        assert found.score(criterion)[0] <= score + 1e-7 * abs(score)  # of dense algebra
        if 1e-4 < lam < 1e3:
            inside += 1
            np.testing.assert_allclose(found.score(criterion)[0], score, rtol=1e-8, atol=1e-8)
            assert spline.lam[j] == pytest.approx(lam, rel=1e-3)
    assert inside >= 1


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_degrees_of_freedom_of_merged_knots(ends):
    values = make_waves(REPEATED, 1)
    spline = smooth_spline(REPEATED, values, lam=DegreesOfFreedom(4.5), duplicates="merge", **ends)
    assert RawFit(REPEATED, values, lam=spline.lam, **ends).df == pytest.approx(4.5, rel=1e-10)


def test_knots_that_are_all_equal_give_the_mean():
    values, weights = np.array([1.0, 2.0, 6.0, np.nan]), np.array([1.0, 2.0, 1.0, 0.0])
    for lam in (0.0, 1.0, np.inf, "gcv", "loo", "reml"):
        spline = smooth_spline(
            np.full(4, 3.0), values, weights=weights, lam=lam, duplicates="merge"
        )
        assert spline.knots.tolist() == [3.0]
        np.testing.assert_allclose(spline([-1.0, 3.0, 9.0]), 2.75, rtol=1e-15)
        assert spline.df == 1.0
        variance = weights[:3] @ (values[:3] - 2.75) ** 2 / 2
        assert spline.residual_variance == pytest.approx(variance, rel=1e-14)
        left_out = (values[:3] - 2.75) / (1 - weights[:3] / 4)
        assert spline.loo == pytest.approx(weights[:3] @ left_out**2 / 3, rel=1e-14)
        with pytest.raises(ValueError, match="nothing of the slope"):
            spline.std(3.0)


def test_two_knots_with_repeats_have_the_band_of_the_line():
    knots, values = np.array([1.0, 1.0, 2.0, 2.0]), np.array([0.0, 1.0, 5.0, 5.5])
    spline = smooth_spline(knots, values, lam="gcv", duplicates="merge")
    design = np.stack([np.ones(4), knots], axis=1)
    coefficients, rss, *_ = np.linalg.lstsq(design, values, rcond=None)
    points = np.array([0.0, 1.0, 1.5, 4.0])
    rows = np.stack([np.ones(4), points], axis=1)
    np.testing.assert_allclose(spline(points), rows @ coefficients, rtol=1e-13)
    variances = np.einsum("ij,jk,ik->i", rows, np.linalg.inv(design.T @ design), rows) * rss / 2
    np.testing.assert_allclose(spline.std(points), np.sqrt(variances), rtol=1e-13)


@pytest.mark.parametrize("criterion", ["gcv", "loo", "reml"])
def test_means_on_a_line_with_noise_about_them(criterion):
    knots = np.repeat(np.arange(4.0), 2)
    values = np.repeat(np.arange(4.0), 2) + np.tile([-1.0, 1.0], 4)
    with pytest.warns(UserWarning, match="straight line"):
        assert smooth_spline(knots, values, lam=criterion, duplicates="merge").lam == np.inf


@pytest.mark.parametrize("criterion", ["gcv", "loo", "reml"])
def test_repeats_on_a_line_give_it_without_a_warning(criterion):
    knots = np.array([0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 4.0])
    values = 1e6 + knots / 3.0
    spline = smooth_spline(knots, values, lam=criterion, duplicates="merge")
    assert spline.lam == np.inf
    np.testing.assert_allclose(spline(knots), values, rtol=1e-15)


@bounds_expected
def test_different_knots_need_no_merging():
    values = make_waves(PLACES, 2)
    merged = smooth_spline(PLACES, values, duplicates="merge")
    plain = smooth_spline(PLACES, values)
    np.testing.assert_array_equal(merged.lam, plain.lam)
    np.testing.assert_array_equal(merged.values, plain.values)


def test_a_knot_all_of_whose_rows_have_weight_0_is_only_evaluated():
    weights = np.where(REPEATED == 0.5, 0.0, 1.0)
    values = make_waves(REPEATED, 2)
    kept = weights > 0
    spline = smooth_spline(REPEATED, values, weights=weights, lam=0.1, duplicates="merge")
    less = smooth_spline(REPEATED[kept], values[kept], lam=0.1, duplicates="merge")
    np.testing.assert_allclose(spline(PLACES), less(PLACES), rtol=0, atol=1e-14)
    assert spline.leverages[PLACES == 0.5] == 0.0


@pytest.mark.parametrize(
    ("knots", "text"),
    [
        ([0.0, np.nan, 1.0, 1.0], r"knots\[1\] = nan"),
        ([0.0, 1.0, 1.0, np.inf], r"knots\[3\] = inf"),
        ([], "knots is empty"),
    ],
)
def test_knots_that_cannot_be_merged_are_refused(knots, text):
    with pytest.raises(ValueError, match=text):
        smooth_spline(knots, np.zeros(len(knots)), lam=1.0, duplicates="merge")


def test_equal_knots_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match='duplicates="merge"'):
        smooth_spline([0.0, 1.0, 1.0], np.zeros(3), lam=1.0)


# --- missing values ------------------------------------------------------------------------------


def make_holes(knots, columns=6, seed=1):
    """Waves without some entries: columns 0 and 3 lack the same ones, 1 and 2 none."""
    values = make_waves(knots, columns, seed)
    rng = np.random.default_rng(seed + 1)
    for j in (0, 4, 5):
        values[1 + rng.permutation(knots.size - 2)[: 2 + j], j] = np.nan
    values[np.isnan(values[:, 0]), 3] = np.nan
    return values


@bounds_expected
@pytest.mark.parametrize(
    "options",
    [
        {"lam": 1e-3},
        {"lam": np.array([0.0, 1e-6, 1e-3, 1.0, 1e3, np.inf])},
        {"lam": "gcv"},
        {"lam": "loo"},
        {"lam": "reml"},
        {"lam": DegreesOfFreedom(5.0)},
        {"lam": 1e-3, "bc": SLOPES},
        {"lam": "gcv", "bc": SLOPES},
        {"lam": "gcv", "bc": "periodic"},
        {"lam": DegreesOfFreedom(5.0), "bc": "periodic"},
    ],
    ids=str,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_omitting_is_dropping_the_rows_of_each_column(options, weighted):
    knots = make_knots("random", 20)
    values = make_holes(knots)
    weights = np.geomspace(0.5, 2.0, 20) if weighted else None
    spline = smooth_spline(knots, values, weights=weights, missing="omit", **options)
    points = np.linspace(-0.5, 1.5, 40)
    for j in range(values.shape[1]):
        there = np.isfinite(values[:, j])
        own = {**options, "lam": spline.lam if np.ndim(spline.lam) == 0 else spline.lam[j]}
        given = weights[there] if weighted else None
        alone = smooth_spline(knots[there], values[there, j], weights=given, **own)
        np.testing.assert_allclose(spline(points)[:, j], alone(points), atol=CLOSE)
        assert spline.df[j] == pytest.approx(alone.df, rel=CLOSE)
        np.testing.assert_allclose(spline.leverages[there, j], alone.leverages, rtol=CLOSE)
        assert (spline.leverages[~there, j] == 0.0).all()
        for score in ["gcv", "loo", "residual_variance"]:
            np.testing.assert_allclose(
                getattr(spline, score)[j], getattr(alone, score), rtol=1e-8, equal_nan=True
            )
        if not isinstance(options["lam"], np.ndarray):
            np.testing.assert_allclose(spline.std(points)[:, j], alone.std(points), rtol=1e-8)
        if isinstance(options["lam"], str | DegreesOfFreedom):
            chosen = smooth_spline(knots[there], values[there, j], weights=given, **options)
            assert spline.lam[j] == pytest.approx(chosen.lam, rel=1e-6)


def test_a_column_without_a_band_is_named():
    knots = make_knots("random", 8)
    values = make_waves(knots, 3)
    lams = np.array([1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="in column 1"):
        smooth_spline(knots, values, lam=lams).std(0.5)
    values[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"interpolates .* in column 1"):
        smooth_spline(knots, values, lam=lams, missing="omit").std(0.5)
    with pytest.raises(ValueError, match="one knot in column 0 tell nothing"):
        smooth_spline([0.0], [[1.0, 2.0]], lam=1.0, weights=[[1.0, 2.0]]).std(0.5)


def test_columns_that_lack_the_same_values_share_a_plan():
    knots = make_knots("random", 20)
    values = make_holes(knots)
    assert len(smooth_spline(knots, values, lam=1.0, missing="omit")._groups) == 4
    lams = np.array([1.0, 1.0, 1.0, 2.0, 1.0, 1.0])
    spline = smooth_spline(knots, values, lam=lams, missing="omit")
    assert len(spline._groups) == 5
    np.testing.assert_array_equal(spline.lam, lams)
    many = np.tile(values, 50)
    assert len(smooth_spline(knots, many, lam=1.0, missing="omit")._groups) == 4


def test_nothing_missing_is_one_plan():
    knots = make_knots("random", 20)
    values = make_waves(knots, 3)
    spline = smooth_spline(knots, values, lam=1.0, missing="omit")
    assert len(spline._groups) == 1
    assert spline.lam == 1.0
    np.testing.assert_array_equal(spline.values, smooth_spline(knots, values, lam=1.0).values)


def test_nan_without_weight_is_not_missing():
    knots, weights = make_knots("random", 20), np.ones(20)
    weights[[2, 7]] = 0.0
    values = make_waves(knots, 3)
    values[2, 1], values[7, 0], values[7, 2] = np.nan, np.nan, np.inf
    spline = smooth_spline(knots, values, weights=weights, lam=1.0, missing="omit")
    assert len(spline._groups) == 1
    np.testing.assert_array_equal(
        spline.values, smooth_spline(knots, values, weights=weights, lam=1.0).values
    )


@pytest.mark.parametrize("options", [{"lam": 0.01}, {"lam": "gcv"}, {"lam": "reml"}], ids=str)
def test_missing_repeats_are_rows_that_are_not_there(options):
    values = make_waves(REPEATED, 2, seed=3)
    values[[1, 4, 8, 9], 0] = np.nan  # of 1.3 nothing is left
    spline = smooth_spline(REPEATED, values, duplicates="merge", missing="omit", **options)
    for j in range(2):
        there = np.isfinite(values[:, j])
        alone = smooth_spline(REPEATED[there], values[there, j], duplicates="merge", **options)
        if isinstance(options["lam"], str):
            np.testing.assert_allclose(np.broadcast_to(spline.lam, 2)[j], alone.lam, rtol=1e-5)
        np.testing.assert_allclose(spline(PLACES)[:, j], alone(PLACES), atol=1e-6)
        np.testing.assert_allclose(spline.gcv[j], alone.gcv, rtol=1e-6)
        np.testing.assert_allclose(spline.reml[j], alone.reml, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_missing_along_another_axis(axis):
    knots = make_knots("random", 20)
    values = make_holes(knots).reshape(20, 2, 3)
    expected = smooth_spline(knots, values, lam=0.01, missing="omit")
    moved = np.moveaxis(values, 0, axis)
    spline = smooth_spline(knots, moved, lam=0.01, missing="omit", axis=axis)
    points = np.array([[0.1, 0.2], [0.3, 0.9], [1.4, 0.6]])
    for ours, theirs in [
        (spline(points), expected(points)),
        (spline.std(points), expected.std(points)),
    ]:
        np.testing.assert_array_equal(ours, np.moveaxis(theirs, [0, 1], [axis, axis + 1]))
    np.testing.assert_array_equal(spline.leverages, np.moveaxis(expected.leverages, 0, axis))
    np.testing.assert_array_equal(spline.df, expected.df)
    assert spline.gcv.shape == spline.lam.shape == spline.df.shape == (2, 3)


def test_kinds_of_arrays_with_holes():
    knots = make_knots("random", 20)
    values = make_holes(knots).astype(np.float32)
    single = smooth_spline(knots, values, lam=0.01, missing="omit")
    double = smooth_spline(knots, values.astype(np.float64), lam=0.01, missing="omit")
    tensor = smooth_spline(knots, torch.from_numpy(values), lam=0.01, missing="omit")
    for ours, theirs in [
        (single(knots), double(knots)),
        (single.std(knots), double.std(knots)),
        (single.interval(knots)[0], double.interval(knots)[0]),
    ]:
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    lower, upper = tensor.interval(knots, 0.5)
    assert isinstance(tensor.values, torch.Tensor)
    assert lower.dtype == upper.dtype == tensor.std(knots).dtype == torch.float32
    np.testing.assert_array_equal(tensor(knots).numpy(), single(knots))
    assert (upper > lower).all()


@pytest.mark.parametrize("missing", ["raise", "omit"])
@pytest.mark.parametrize("lam", [1.0, "gcv", np.full((2, 3), 0.5)], ids=str)
@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinity_is_never_missing(lam, missing, bad):
    values = np.ones((2, 8, 3))
    if missing == "omit":
        values[0, 2, 1] = values[1, 5, 2] = np.nan
    values[1, 6, 2] = bad
    with pytest.raises(ValueError, match=rf"values\[1, 6, 2\] = {bad}"):
        smooth_spline(np.arange(8.0), values, lam=lam, axis=1, missing=missing)


def test_roughness_cannot_change_where_a_value_is_missing():
    values, roughness = np.arange(5.0), np.array([1.0, 1.0, 2.0, 2.0])
    values[2] = np.nan
    with pytest.raises(ValueError, match=r"without a value, but is 1.0 before and 2.0 after"):
        smooth_spline(np.arange(5.0), values, lam=1.0, roughness=roughness, missing="omit")
    values[1:3] = np.nan, 2.0
    spline = smooth_spline(np.arange(5.0), values, lam=1.0, roughness=roughness, missing="omit")
    less = smooth_spline([0.0, 2.0, 3.0, 4.0], values[[0, 2, 3, 4]], lam=1.0, roughness=[1, 2, 2])
    points = np.linspace(-1.0, 5.0, 13)
    np.testing.assert_allclose(spline(points), less(points), atol=1e-13)
    np.testing.assert_allclose(spline.std(points), less.std(points), rtol=1e-11)


def test_an_end_of_given_slope_cannot_be_missing():
    values = np.arange(5.0)
    values[0] = np.nan
    with pytest.raises(ValueError, match="first and the last knot"):
        smooth_spline(np.arange(5.0), values, lam=1.0, bc=SLOPES, missing="omit")


# --- other ends, and the choice of lam -----------------------------------------------------------


@bounds_expected
@pytest.mark.parametrize("criterion", ["gcv", "gcv-plain", "loo"])
@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_lam_of_other_ends_is_the_optimum(ends, criterion):
    values = make_waves(PLACES, 6, seed=8)
    options = {"weights": np.geomspace(0.5, 2.0, PLACES.size), **ends}
    spline = smooth_spline(PLACES, values, lam=criterion, **options)
    inside = 0
    for j in range(6):
        lam, score = minimise_raw(criterion, PLACES, values[:, j], 1e-5, 1e5, **options)
        ours = min(max(spline.lam[j], 1e-12), 1e5)
        found = RawFit(PLACES, values[:, [j]], lam=ours, digits=False, **options)
        assert found.score(criterion)[0] <= score + 1e-7 * abs(score)  # of dense algebra
        if 1e-4 < lam < 1e3:
            inside += 1
            assert spline.lam[j] == pytest.approx(lam, rel=1e-3)
    assert inside >= 1


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("df", [2.5, 4.0, 7.5])
def test_degrees_of_freedom_of_other_ends(ends, df):
    values, weights = make_waves(PLACES, 2), np.geomspace(0.5, 2.0, PLACES.size)
    spline = smooth_spline(PLACES, values, weights=weights, lam=DegreesOfFreedom(df), **ends)
    raw = RawFit(PLACES, values, weights=weights, lam=spline.lam, **ends)
    assert raw.df == pytest.approx(df, rel=1e-10)
    assert spline.lam == lam_for_df(PLACES, df, weights=weights, **ends)
    np.testing.assert_allclose(spline.values, raw.fitted, atol=1e-12)


@pytest.mark.parametrize("ends", [ends for ends in ENDS.values() if ends], ids=list(ENDS)[1:])
def test_reml_needs_natural_ends(ends):
    values = make_waves(PLACES, 1)
    with pytest.raises(ValueError, match=r'natural ends without roughness.*"gcv" or "loo"'):
        smooth_spline(PLACES, values, lam="reml", **ends)
    spline = smooth_spline(PLACES, values, lam=1.0, **ends)
    with pytest.raises(ValueError, match="natural ends without roughness"):
        _ = spline.reml


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_one_lam_a_column_with_other_ends(ends):
    values, lams = make_waves(PLACES, 4), np.array([1e-6, 1e-2, 1.0, 1e-2])
    spline = smooth_spline(PLACES, values, lam=lams, **ends)
    assert len(spline._groups) == 3
    points = np.linspace(-1.0, 3.0, 30)
    for j in range(4):
        alone = smooth_spline(PLACES, values[:, j], lam=lams[j], **ends)
        np.testing.assert_array_equal(spline(points)[:, j], alone(points))
        np.testing.assert_allclose(spline.std(points)[:, j], alone.std(points), rtol=1e-13)
        assert spline.loo[j] == pytest.approx(alone.loo, rel=1e-13)


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_columns_do_not_see_each_other(ends):
    values = make_waves(PLACES, 3000)
    points = np.linspace(-1.0, 3.0, 9)
    together = smooth_spline(PLACES, values, lam=0.1, **ends)(points)
    for part in (slice(0, 1), slice(5, 9), slice(1800, 2900)):
        alone = smooth_spline(PLACES, values[:, part], lam=0.1, **ends)(points)
        np.testing.assert_array_equal(alone, together[:, part])


@bounds_expected
@pytest.mark.parametrize(
    "options",
    [
        {"lam": "gcv", "bc": "periodic"},
        {"lam": "loo", "bc": SLOPES},
        {"lam": "gcv", "duplicates": "merge"},
        {"lam": "reml", "duplicates": "merge"},
    ],
    ids=str,
)
def test_choices_do_not_see_other_columns(options):
    knots = REPEATED if "duplicates" in options else PLACES
    values = make_waves(knots, 12) * 10.0 ** np.linspace(-3.0, 3.0, 12)
    together = smooth_spline(knots, values, **options)
    for j in range(12):
        alone = smooth_spline(knots, values[:, j], **options)
        assert alone.lam == pytest.approx(together.lam[j], rel=1e-7)


def test_periodic_values_without_noise_or_curvature():
    for criterion in ("gcv", "loo"):
        spline = smooth_spline(PLACES, np.full(PLACES.size, 0.3), lam=criterion, bc="periodic")
        assert spline.lam == np.inf
        np.testing.assert_allclose(spline(PLACES), 0.3, rtol=1e-15)


# --- ranges of floating-point numbers ------------------------------------------------------------


@bounds_expected
@pytest.mark.parametrize("scale", [1e300, 1e160, 1e-160, 1e-300])
@pytest.mark.parametrize("criterion", ["gcv", "loo"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bc": "periodic"},
        {"bc": ("slope", 0.0, 0.0)},
        {"roughness": ROUGHNESS},
        {"missing": "omit"},
        {"duplicates": "merge"},
    ],
    ids=str,
)
def test_units_of_the_values_do_not_matter(options, criterion, scale):
    knots = REPEATED if "duplicates" in options else PLACES
    values = make_waves(knots, 3, seed=5)
    if "missing" in options:
        values[3, 1] = np.nan
    power = 2.0 ** np.round(np.log2(scale))
    plain = smooth_spline(knots, values, lam=criterion, **options)
    scaled = smooth_spline(knots, power * values, lam=criterion, **options)
    np.testing.assert_allclose(scaled.lam, plain.lam, rtol=1e-9)
    points = np.linspace(-0.5, 2.5, 20)
    np.testing.assert_allclose(scaled(points) / power, plain(points), atol=1e-11)
    np.testing.assert_allclose(scaled.std(points) / power, plain.std(points), rtol=1e-9)
    for name in ("gcv", "loo", "residual_variance"):  # squares leave the range, without a crash
        there = getattr(scaled, name)
        assert (there == np.inf if scale > 1.0 else there < 1e-315).all()
    if "bc" not in options and "roughness" not in options:
        n = np.sum(np.isfinite(values), axis=0)
        np.testing.assert_allclose(
            scaled.reml - 2.0 * (n - 2) * np.log(power), plain.reml, atol=1e-8
        )


@bounds_expected
@pytest.mark.parametrize("scale", [2.0**996, 2.0**-996])
@pytest.mark.parametrize("criterion", ["gcv", "loo"])
@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_units_of_the_weights_do_not_matter(ends, criterion, scale):
    values, weights = make_waves(REPEATED, 2), np.linspace(1.0, 2.0, REPEATED.size)
    options = {"lam": criterion, "duplicates": "merge", **ends}
    plain = smooth_spline(REPEATED, values, weights=weights, **options)
    scaled = smooth_spline(REPEATED, values, weights=scale * weights, **options)
    np.testing.assert_allclose(scaled.lam / scale, plain.lam, rtol=1e-9)
    np.testing.assert_allclose(scaled.gcv / scale, plain.gcv, rtol=1e-9)
    np.testing.assert_allclose(scaled.std(PLACES), plain.std(PLACES), rtol=1e-9)


# --- few knots, no columns -----------------------------------------------------------------------


@bounds_expected
@pytest.mark.parametrize("lam", [0.0, 0.3, np.inf, "gcv", "loo"])
@pytest.mark.parametrize("bc", ["natural", "periodic", SLOPES], ids=str)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_knots(n, bc, lam):
    knots, values = np.array([0.0, 0.4, 1.0])[:n], np.array([[0.3], [-1.0], [0.7]])[:n]
    if n == 1 and bc != "natural":
        with pytest.raises(ValueError, match="two knots"):
            smooth_spline(knots, values, lam=lam, bc=bc)
        return
    spline = smooth_spline(knots, values, lam=lam, bc=bc)
    used = min(max(float(spline.lam[0] if np.ndim(spline.lam) else spline.lam), 1e-25), 1e25)
    if n > 1:
        raw = RawFit(knots, values, lam=used, bc=bc)
        np.testing.assert_allclose(spline.values, raw.fitted, atol=1e-12)
        assert np.sum(spline.df) == pytest.approx(raw.df, rel=1e-12)
    for question in (spline.gcv, spline.loo, spline.residual_variance):
        assert np.shape(question) == (1,)
    if used < 1e-20 or spline.df == n:
        with pytest.raises(ValueError, match="no standard deviation"):
            spline.std(0.5)
    else:
        assert spline.std(0.5) > 0.0
        np.testing.assert_allclose(spline.gcv, raw.gcv, rtol=1e-10)
        np.testing.assert_allclose(spline.loo, raw.loo, rtol=1e-10)
    again = pickle.loads(pickle.dumps(spline))
    np.testing.assert_array_equal(again(knots), spline(knots))
    assert f"n={n}" in repr(spline)


@pytest.mark.parametrize("criterion", ["gcv-plain", "loo"])
@pytest.mark.parametrize(
    ("n", "options"),
    [(3, {"roughness": [1.0, 4.0]}), (2, {"bc": SLOPES}), (2, {"bc": "periodic"})],
    ids=str,
)
def test_one_row_too_many_scores_the_same_for_every_lam(n, options, criterion):
    knots, values = np.array([0.0, 0.4, 1.0])[:n], np.array([[0.3], [-1.0], [0.7]])[:n]
    scores = [RawFit(knots, values, lam=lam, **options).score(criterion) for lam in (0.1, 10.0)]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-14)
    assert smooth_spline(knots, values, lam=criterion, **options).lam == np.inf


def test_interpolation_leaves_nothing_to_score():
    values = make_waves(PLACES, 2)
    for ends in ENDS.values():
        spline = smooth_spline(PLACES, values, lam=0.0, **ends)
        assert np.isnan(spline.loo).all()
        if ends.get("bc") == "periodic":  # both ends hold a value of one point
            apart = values[0] - values[-1]
            np.testing.assert_allclose(spline.residual_variance, apart**2 / 2, rtol=1e-13)
        else:
            assert np.isnan(spline.gcv).all()
            assert np.isnan(spline.residual_variance).all()


@pytest.mark.parametrize("lam", [0.5, "gcv", "loo", np.empty((0, 2)), DegreesOfFreedom(4)], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bc": "periodic"},
        {"bc": SLOPES},
        {"roughness": np.ones(7)},
        {"missing": "omit"},
        {"duplicates": "merge"},
    ],
    ids=str,
)
def test_no_columns(options, lam):
    knots = np.arange(8.0)
    spline = smooth_spline(knots, np.empty((8, 0, 2)), lam=lam, **options)
    if isinstance(lam, float):
        assert spline.lam == 0.5
    if isinstance(lam, DegreesOfFreedom):
        assert spline.df == pytest.approx(4.0)
    assert spline.values.shape == (8, 0, 2)
    assert spline.std(knots[:3]).shape == spline(knots[:3]).shape == (3, 0, 2)
    assert [end.shape for end in spline.interval([0.5])] == [(1, 0, 2)] * 2
    for numbers in (spline.gcv, spline.loo, spline.residual_variance, spline.integrate(0, 1)):
        assert numbers.shape == (0, 2)
    assert spline.to_ppoly()(0.5).shape == spline.derivative()(0.5).shape == (0, 2)
    assert spline.roots().shape == (0, 2)
    assert repr(spline) == "Spline(n=8, columns=0)"
    assert pickle.loads(pickle.dumps(spline)).values.shape == (8, 0, 2)


# --- pickles, copies, what is told ---------------------------------------------------------------


@bounds_expected
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lam": np.array([0.0, 1.0, 2.0])},
        {"lam": DegreesOfFreedom(4)},
        {"bc": "periodic"},
        {"bc": SLOPES},
        {"roughness": ROUGHNESS, "lam": 1.0},
        {"missing": "omit", "lam": 0.1},
        {"duplicates": "merge"},
    ],
    ids=str,
)
def test_pickles_and_copies(options):
    knots = REPEATED if "duplicates" in options else PLACES
    values = make_waves(knots, 3, seed=5)
    if "missing" in options:
        values[4, 1] = np.nan
    spline = smooth_spline(knots, values, **options)
    points = np.linspace(-0.5, 2.5, 20)
    for again in (pickle.loads(pickle.dumps(spline)), copy.deepcopy(spline), copy.copy(spline)):
        np.testing.assert_array_equal(again(points), spline(points))
        np.testing.assert_array_equal(again.gcv, spline.gcv)
        np.testing.assert_array_equal(again.leverages, spline.leverages)
        np.testing.assert_array_equal(again.lam, spline.lam)
        assert repr(again) == repr(spline)
    assert repr(spline).startswith(f"Spline(n={PLACES.size}, columns=3, lam=")


# --- misuse --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "arguments"),
    [
        (TypeError, "unexpected keyword", {"duplicate": "merge"}),
        (ValueError, 'duplicates must be "raise" or "merge", got \'mean\'', {"duplicates": "mean"}),
        (ValueError, 'missing must be "raise" or "omit", got \'drop\'', {"missing": "drop"}),
        (ValueError, "missing must be .*, got None", {"missing": None}),
        (ValueError, "duplicates must be .*, got True", {"duplicates": True}),
        (TypeError, "lam must be one number .* got True", {"lam": True}),
        (ValueError, '"gcv", "gcv-plain", "loo", "reml" .* got \'GCV\'', {"lam": "GCV"}),
        (TypeError, '"gcv", "gcv-plain", "loo", "reml" .* got None; "gcv" is', {"lam": None}),
        (TypeError, "lam must be one number", {"lam": DegreesOfFreedom}),
        (TypeError, "lam must be one number", {"lam": {"df": 3}}),
        (ValueError, r"lam has shape \(2,\)", {"lam": [1.0, 2.0]}),
        (ValueError, r'"clamped".*|got \'clamped\'; \("slope", 0, 0\)', {"bc": "clamped"}),
        (ValueError, "bc must be", {"bc": None}),
        (ValueError, "bc must be", {"bc": ("slopes", 0, 0)}),
        (TypeError, "numbers a and b", {"bc": ("slope", True, 0)}),
        (ValueError, "roughness has 6 entries and there are 5 gaps", {"roughness": np.ones(6)}),
        (TypeError, "roughness", {"roughness": ["a"] * 5}),
        (ValueError, "weights has 5 entries", {"weights": np.ones(5)}),
    ],
)
def test_misuse_is_told(kind, text, arguments):
    good = {"knots": np.arange(6.0), "values": np.arange(6.0) ** 2}
    with pytest.raises(kind, match=text):
        smooth_spline(**{**good, **arguments})


def test_roughness_has_one_weight_a_gap_between_different_knots():
    with pytest.raises(ValueError, match="there are 8 gaps"):
        smooth_spline(REPEATED, REPEATED, roughness=np.ones(13), lam=1.0, duplicates="merge")


def test_smoother_and_one_shot_agree():
    values = make_waves(PLACES, 3)
    for ends in ENDS.values():
        plan = Smoother(PLACES, lam=0.1, **ends).fit(values)
        spline = smooth_spline(PLACES, values, lam=0.1, **ends)
        np.testing.assert_array_equal(plan.values, spline.values)
        np.testing.assert_array_equal(plan.gcv, spline.gcv)


# --- one lam for all columns ---------------------------------------------------------------------


@bounds_expected
@pytest.mark.parametrize("criterion", ["gcv", "gcv-plain", "loo", "reml"])
def test_one_lam_for_all_columns(criterion):
    values = make_waves(PLACES, 6, seed=8).reshape(-1, 2, 3)
    spline = smooth_spline(PLACES, values, lam=criterion, shared=True)
    assert isinstance(spline.lam, float)
    assert spline.lam == select_lam(PLACES, values, criterion=criterion, per_column=False)
    given = smooth_spline(PLACES, values, lam=spline.lam)
    np.testing.assert_array_equal(spline.values, given.values)


@bounds_expected
@pytest.mark.parametrize("criterion", ["gcv", "gcv-plain", "loo", "reml"])
@pytest.mark.parametrize("unit", [1.0, 1e-250, 1e250])
def test_one_lam_where_columns_lack_different_values(criterion, unit):
    values = make_waves(PLACES, 4, seed=8)
    values[2, 0] = values[-1, 1] = values[4, 1] = np.nan
    spline = smooth_spline(PLACES, unit * values, lam=criterion, shared=True, missing="omit")
    assert spline.lam.shape == (4,)
    assert (spline.lam == spline.lam[0]).all()

    def total(lam):
        kept = [~np.isnan(values[:, j]) for j in range(4)]
        fits = [
            RawFit(PLACES[kept[j]], values[kept[j], j][:, None], lam=lam, digits=False)
            for j in range(4)
        ]
        return sum(float(fit.score(criterion)[0]) for fit in fits)

    best = min(total(lam) for lam in np.geomspace(1e-5, 1e4, 60))
    assert total(min(spline.lam[0], 1e4)) <= best + 1e-7 * abs(best)


@bounds_expected
def test_one_lam_of_other_ends():
    values = make_waves(PLACES, 3, seed=8)
    spline = smooth_spline(PLACES, values, bc="periodic", shared=True)
    assert isinstance(spline.lam, float)
    fits = {lam: RawFit(PLACES, values, lam=lam, bc="periodic") for lam in (1e-4, 1e-3, 1e-2, 1.0)}
    found = RawFit(PLACES, values, lam=min(spline.lam, 1e5), bc="periodic").score("gcv").sum()
    assert found <= min(fit.score("gcv").sum() for fit in fits.values())


def test_one_lam_is_for_scores():
    for lam in (1.0, [1.0], DegreesOfFreedom(4)):
        with pytest.raises(ValueError, match="shared=True is for a lam that a score chooses"):
            smooth_spline(PLACES, np.ones((PLACES.size, 1)), lam=lam, shared=True)
