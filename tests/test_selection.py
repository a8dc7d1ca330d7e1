import numpy as np
import pytest

from fastspline import select_lam, smooth_spline
from tests.reference import GcvCurve, gcv_score
from tests.strategies import make_knots, make_weights

# The score is flat at its minimum: an error of 1e-3 in log lam costs about 1e-6 of it.
SCORE_EXCESS = 1e-6


def searched(knots, weights):
    """The lam between interpolation and straight line for these knots."""
    weights = np.ones(len(knots)) if weights is None else weights
    unit = (knots[-1] - knots[0]) ** 3 * weights.sum()
    return 1e-2 * np.diff(knots).min() ** 3 * weights.min(), 1e2 * unit


def make_columns(knots, rng, count):
    """Waves of several lengths under noise of several sizes, and noise alone."""
    fraction = (knots - knots[0]) / (knots[-1] - knots[0])
    waves = np.sin(np.outer(fraction, rng.uniform(1.0, 12.0, count)) + rng.uniform(0.0, 6.0, count))
    waves[:, ::5] = 0.0
    return waves + 10.0 ** rng.uniform(-2.0, 0.5, count) * rng.standard_normal((len(knots), count))


@pytest.mark.parametrize("weight_kind", ["one", "random"])
@pytest.mark.parametrize("kind", ["uniform", "chebyshev", "random"])
def test_optimum_is_as_good_as_brute_force(kind, weight_kind, rng):
    places, weights = make_knots(kind, 20, seed=3), make_weights(weight_kind, 20)
    values = make_columns(places, rng, 60)
    curve = GcvCurve(places, weights)
    low, high = searched(places, weights)
    chosen = select_lam(places, values, weights=weights)
    assert chosen.shape == (60,)
    interior = 0
    for j in range(60):
        best_lam, best = curve.minimum(values[:, j], low, high)
        interior += low * 2 < best_lam < high / 2
        assert curve(values[:, j : j + 1], chosen[j : j + 1])[0, 0] <= best * (1 + SCORE_EXCESS), j
    assert interior >= 20


def test_score_of_the_fit_is_the_score_by_its_definition(rng):
    places, weights = make_knots("random", 14), make_weights("zeros", 14)
    values = make_columns(places, rng, 3)
    spline = smooth_spline(places, values, weights=weights)
    for j in range(3):
        expected = gcv_score(places, values[:, j], lam=spline.lam[j], weights=weights)
        assert spline.gcv[j] == pytest.approx(expected, rel=1e-10)


def test_one_lam_for_all_columns_minimises_the_sum(rng):
    places = make_knots("random", 20)
    values = make_columns(places, rng, 12)
    curve = GcvCurve(places)
    chosen = select_lam(places, values, per_column=False)
    assert isinstance(chosen, float)
    grid = np.geomspace(*searched(places, None), 3000)
    best = curve(values, [*grid, np.inf]).sum(axis=1).min()
    assert curve(values, [chosen]).sum() <= best * (1 + SCORE_EXCESS)


def test_smooth_spline_uses_the_selected_lam(rng):
    places = make_knots("random", 30)
    values = make_columns(places, rng, 5)
    chosen = select_lam(places, values)
    by_default, by_name = smooth_spline(places, values), smooth_spline(places, values, lam="gcv")
    given = smooth_spline(places, values, lam=chosen)
    np.testing.assert_array_equal(by_default.lam, chosen)
    np.testing.assert_array_equal(by_name.values, by_default.values)
    np.testing.assert_array_equal(given.values, by_default.values)


def test_columns_do_not_see_each_other(rng):
    places = make_knots("random", 30)
    values = make_columns(places, rng, 20)
    together = select_lam(places, values)
    for j in range(20):
        alone = select_lam(places, values[:, j])
        assert np.ndim(alone) == 0
        assert alone == together[j]


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


@pytest.mark.parametrize("knot_unit", [1e-3, 1e3, 86400.0])
@pytest.mark.parametrize("weight_unit", [1e-3, 100.0])
def test_units_scale_lam(knot_unit, weight_unit, rng):
    places = make_knots("random", 40)
    values = make_columns(places, rng, 8)
    plain = select_lam(places, values)
    scaled = select_lam(places * knot_unit, values * 7.0, weights=np.full(40, weight_unit))
    np.testing.assert_allclose(scaled, plain * knot_unit**3 * weight_unit, rtol=1e-4)


def test_straight_data_under_noise_give_the_line():
    places = make_knots("uniform", 30)
    values = 3.0 * places + 0.1 * np.cos(29 * np.pi * places)  # the roughest noise there is
    assert GcvCurve(places).minimum(values, 1e-12, 1e6)[0] == np.inf
    spline = smooth_spline(places, values)
    line = smooth_spline(places, values, lam=np.inf)
    assert np.abs(spline(places) - line(places)).max() <= 1e-4
    assert spline.gcv <= line.gcv * (1 + SCORE_EXCESS)


@pytest.mark.parametrize(
    "column", [np.zeros(12), np.full(12, 3.0), np.arange(12.0) - 4.0, 1e-200 * np.arange(12.0)]
)
def test_data_without_noise_are_reproduced(column):
    spline = smooth_spline(np.arange(12.0), column)
    assert 0 <= spline.lam <= np.inf
    np.testing.assert_allclose(
        spline(np.arange(12.0)), column, rtol=0, atol=1e-12 * np.abs(column).max()
    )


def test_knots_without_weight_are_not_looked_at(rng):
    places = make_knots("random", 30)
    values, weights = make_columns(places, rng, 4), make_weights("zeros", 30)
    kept = weights > 0
    blind = np.where(kept[:, np.newaxis], values, np.nan)
    chosen = select_lam(places, blind, weights=weights)
    np.testing.assert_array_equal(
        chosen, select_lam(places[kept], values[kept], weights=weights[kept])
    )


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_knots_to_need_lam(n):
    spline = smooth_spline(np.arange(float(n)), np.arange(float(n)) + 2.0)
    np.testing.assert_allclose(spline(np.arange(float(n))), np.arange(float(n)) + 2.0, rtol=1e-15)


def test_three_knots_are_enough():
    spline = smooth_spline([0.0, 1.0, 2.0], [0.0, 1.0, 0.5])
    assert 0 <= spline.lam <= np.inf
    assert np.isfinite(spline(np.linspace(-1.0, 3.0, 9))).all()


def test_float32_selects_as_float64_does(rng):
    places = make_knots("random", 30)
    values = make_columns(places, rng, 6).astype(np.float32)
    np.testing.assert_allclose(
        select_lam(places, values), select_lam(places, values.astype(np.float64)), rtol=1e-3
    )


BAD = {
    "nan value": (ValueError, ["values[2]", "nan"], {"values": [0.0, 1.0, np.nan, 1.0, 2.0, 0.0]}),
    "wrong length": (ValueError, ["values", "(5,)"], {"values": np.ones(5)}),
    "unsorted": (ValueError, ["knots[1]"], {"knots": np.arange(6.0)[::-1]}),
    "weights": (ValueError, ["weights[5]", "-1"], {"weights": [1, 1, 1, 1, 1, -1]}),
    "complex": (TypeError, ["values"], {"values": 1j * np.ones(6)}),
    "axis": (ValueError, ["axis"], {"axis": 1}),
}


@pytest.mark.parametrize("select", [select_lam, smooth_spline])
def test_position_of_a_bad_value_is_the_callers(select):
    values, weights = np.zeros((2, 6, 3)), np.array([0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    values[:, 0] = np.nan
    values[1, 4, 2] = np.inf
    with pytest.raises(ValueError, match=r"values\[1, 4, 2\] = inf"):
        select(np.arange(6.0), values, weights=weights, axis=1)


@pytest.mark.parametrize(("kind", "fragments", "arguments"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(kind, fragments, arguments):
    with pytest.raises(kind) as error:
        select_lam(
            **{"knots": np.arange(6.0), "values": [0.0, 1.0, 0.0, 1.0, 2.0, 0.0], **arguments}
        )
    for fragment in fragments:
        assert fragment in str(error.value), str(error.value)
