import copy
import itertools
import json
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fastspline import Smoother, resample
from fastspline._kernels.tables import bind_points
from tests.oracles.golden import make_golden
from tests.oracles.splines import ExactSmoother, rounded
from tests.support.strategies import (
    KNOT_KINDS,
    LAMS,
    WEIGHT_KINDS,
    columns,
    designs,
    knots,
    lams,
    make_knots,
    make_points,
    make_weights,
    numbers,
    through_buffers,
)

EPS = np.finfo(np.float64).eps
LIBM = 8 * EPS  # 4 units in the last place, numpy's bound on its functions, of two machines
EXACT = 1e-12  # of max |values|: the house's target for fitted values
CLOSE = 1e-11  # of the largest entry: derivatives, leverages, scores
CURVATURE = 1000 * EPS  # of the largest second derivative, in their differences


# --- golden values -----------------------------------------------------------------------------


def read_golden():
    """Every golden case with its arrays; ids such as cluster-60-1e+12-zeros."""
    with np.load(make_golden.PATH) as file:
        arrays = {name: file[name] for name in file.files}
    inputs_at = kept_at = 0
    for i, case in enumerate(json.loads(str(arrays["cases"]))):
        n, kept = case["n"], make_golden.rows(case["n"])
        inputs = slice(inputs_at, inputs_at + n)
        results = slice(kept_at, kept_at + len(kept))
        points = slice(i * make_golden.N_POINTS, (i + 1) * make_golden.N_POINTS)
        place = {"knots": inputs, "values": inputs, "weights": inputs, "df": i, "gcv": i}
        place |= {"fitted": results, "curvature": results, "leverages": results}
        place |= dict.fromkeys(("points", "f0", "f1", "f2", "f3"), points)
        yield pytest.param(
            case,
            {name: arrays[name][where] for name, where in place.items()},
            id=f"{case['kind']}-{n}-{case['lam']:g}-{case['weights']}",
        )
        inputs_at, kept_at = inputs.stop, results.stop


GOLDEN = list(read_golden())


def shortest_gap(places, weights):
    return np.diff(places[weights > 0]).min(initial=np.inf)


def assert_close(actual, expected, bound):
    """Largest difference at most `bound`; exact where the bound is zero."""
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max(initial=0.0) <= bound


@pytest.mark.parametrize(("case", "golden"), GOLDEN)
def test_golden_values_and_derivatives(case, golden):
    weights, scale = golden["weights"], np.abs(golden["values"]).max()
    smoother = Smoother(golden["knots"], lam=case["lam"], weights=weights)
    values = np.where(weights > 0, golden["values"], np.nan)  # no weight: not looked at
    spline = smoother.fit(values)
    kept = make_golden.rows(case["n"])
    assert_close(
        spline.values[kept], golden["fitted"], EXACT * np.abs(golden["fitted"]).max(initial=scale)
    )
    curvature = golden["curvature"]
    assert_close(spline.second_derivatives[kept], curvature, CLOSE * np.abs(curvature).max())
    for nu in range(4):
        expected = golden[f"f{nu}"]
        if nu == 0:
            bound = EXACT * np.maximum(scale, np.abs(expected))
        else:
            bound = CLOSE * np.abs(expected).max()
        if nu == 3:  # a difference of second derivatives, over a gap
            rounding = CURVATURE * np.abs(curvature).max() / shortest_gap(golden["knots"], weights)
            bound = max(bound, rounding)
        for actual in (
            spline(golden["points"], nu),
            smoother.operator(golden["points"], nu=nu)(values),
        ):
            assert actual.shape == expected.shape
            assert (np.abs(actual - expected) <= bound).all(), nu


@pytest.mark.parametrize(("case", "golden"), GOLDEN)
def test_golden_leverages_and_scores(case, golden):
    smoother = Smoother(golden["knots"], lam=case["lam"], weights=golden["weights"])
    leverages = smoother.leverages[make_golden.rows(case["n"])]
    np.testing.assert_allclose(leverages, golden["leverages"], rtol=CLOSE, atol=0)
    assert smoother.df == pytest.approx(golden["df"], rel=CLOSE, abs=0)
    if np.isfinite(golden["gcv"]):
        gcv = smoother.fit(golden["values"]).gcv
        assert gcv == pytest.approx(golden["gcv"], rel=CLOSE, abs=0)


@pytest.mark.parametrize(
    ("case", "golden"), [case for case in GOLDEN if case.values[0]["n"] in (1, 2, 5, 20)]
)
def test_golden_file_is_what_its_script_makes(case, golden):
    """Its inputs to what numpy's cos, sin and powers may differ by, all else from those exactly."""
    inputs = [golden[name] for name in ("knots", "values", "weights", "points")]
    made = make_golden.make_inputs(case["kind"], case["n"], case["weights"], case["seed"])
    for again, stored in zip(made, inputs, strict=True):
        assert_close(again, stored, LIBM * np.abs(stored).max())
    np.testing.assert_allclose(made[2], golden["weights"], rtol=LIBM, atol=0)
    for name, digits in make_golden.solve_case(*inputs, case["lam"]).items():
        again = np.array(digits, dtype=float).reshape(np.shape(golden[name]))
        np.testing.assert_array_equal(again, golden[name])


# --- dense normal equations --------------------------------------------------------------------


def row_norms(matrix):
    """The factor by which each row may enlarge an error of the values."""
    return np.abs(matrix).sum(axis=1)


def error_bounds(matrices, places, weights):
    """What each derivative may err, from the exact matrices of all four (m, n)."""
    values, slopes, curvatures, jumps = (row_norms(matrix) for matrix in matrices)
    curvature = curvatures.max()
    if np.count_nonzero(weights) == 3:  # one second derivative, which may nearly cancel
        curvature = max(curvature, jumps.max() * (places[-1] - places[0]))
    rounding = CURVATURE * curvature / shortest_gap(places, weights)
    return (
        EXACT * values,
        CLOSE * slopes.max(),
        CLOSE * curvature,
        max(CLOSE * jumps.max(), rounding),  # a difference of second derivatives, over a gap
    )


@pytest.mark.parametrize(
    ("n", "weight_kind"), [*itertools.product([1, 2, 3, 4, 5, 8], WEIGHT_KINDS), (30, "zeros")]
)
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", LAMS)
def test_operator_equals_dense_solution(n, kind, weight_kind, lam):
    places, weights = make_knots(kind, n, seed=n), make_weights(weight_kind, n, seed=n)
    points = make_points(places)
    oracle = ExactSmoother(places, lam=lam, weights=weights)
    smoother = Smoother(places, lam=lam, weights=weights)
    matrices = [rounded(oracle.matrix(points, nu)) for nu in range(4)]
    bounds = error_bounds(matrices, places, np.ones(n) if weights is None else weights)
    for nu, (exact, bound) in enumerate(zip(matrices, bounds, strict=True)):
        operator = smoother.operator(points, nu=nu)
        assert operator.shape == exact.shape
        dense = operator.dense()
        assert (np.abs(dense - exact).sum(axis=1) <= bound).all(), nu
        adjoint = operator.adjoint(np.eye(len(points)))
        assert (np.abs(adjoint.T - exact).sum(axis=1) <= bound).all(), nu
    hat = rounded(oracle.hat())
    np.testing.assert_allclose(smoother.leverages, np.diag(hat), rtol=EXACT, atol=0)
    assert smoother.df == pytest.approx(np.trace(hat), rel=EXACT)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 30])
@pytest.mark.parametrize("lam", LAMS)
def test_fit_equals_operator(n, lam, rng):
    places = make_knots("random", n, seed=n)
    points = make_points(places)
    values = rng.standard_normal((n, 3))
    smoother = Smoother(places, lam=lam, weights=make_weights("random", n))
    spline = smoother.fit(values)
    for nu in range(4):
        operator = smoother.operator(points, nu=nu)
        norm = row_norms(operator.dense()).max() if nu else 1.0
        actual, expected = spline(points, nu), operator(values)
        bound = CLOSE * norm * np.maximum(np.abs(values).max(), np.abs(expected))
        assert (np.abs(actual - expected) <= bound).all(), nu


# --- laws --------------------------------------------------------------------------------------


@given(designs(), st.data())
def test_linear_in_values(design, data):
    places, weights, lam = design
    first, second = data.draw(columns(len(places), 1)), data.draw(columns(len(places), 1))
    a, b = data.draw(numbers(-10, 10)), data.draw(numbers(-10, 10))
    smooth = Smoother(places, lam=lam, weights=weights).operator(places)
    scale = abs(a) * np.abs(first).max() + abs(b) * np.abs(second).max()
    assert_close(
        smooth(a * first + b * second), a * smooth(first) + b * smooth(second), EXACT * scale
    )


@given(designs(), numbers(-10, 10), numbers(-10, 10))
def test_straight_lines_are_kept_for_every_lam(design, intercept, slope):
    places, weights, lam = design
    assume(len(places) > 1)
    points = make_points(places)
    operator = Smoother(places, lam=lam, weights=weights).operator(points)
    line = intercept + slope * (places - places[0])
    scale = abs(intercept) + abs(slope) * (points[-1] - points[0])
    bound = EXACT * row_norms(operator.dense()) * scale
    assert (np.abs(operator(line) - intercept - slope * (points - places[0])) <= bound).all()


@given(designs(), numbers(-10, 10))
def test_constants_are_kept_for_every_lam(design, constant):
    places, weights, lam = design
    operator = Smoother(places, lam=lam, weights=weights).operator(places)
    assert_close(
        operator(np.full(len(places), constant)),
        np.full(len(places), constant),
        EXACT * abs(constant),
    )


@given(knots(), st.booleans(), st.data())
def test_lam_zero_interpolates_bit_for_bit(places, weighted, data):
    values = data.draw(columns(len(places), 2))
    weights = np.linspace(0.5, 2.0, len(places)) if weighted else None
    smoother = Smoother(places, lam=0.0, weights=weights)
    spline = smoother.fit(values)
    np.testing.assert_array_equal(spline.values, values)
    np.testing.assert_array_equal(spline(places), values)
    np.testing.assert_array_equal(smoother.operator(places)(values), values)
    np.testing.assert_array_equal(resample(places, values, places, weights=weights), values)
    np.testing.assert_array_equal(smoother.operator(places[::-1])(values), values[::-1])
    single = values.astype(np.float32)
    np.testing.assert_array_equal(smoother.operator(places)(single), single)


@given(designs())
def test_weighted_hat_matrix_is_symmetric(design):
    places, weights, lam = design
    weighted = (
        weights[:, np.newaxis] * Smoother(places, lam=lam, weights=weights).operator(places).dense()
    )
    pairs = np.maximum(weights, weights[:, np.newaxis])
    assert (np.abs(weighted - weighted.T) <= EXACT * pairs).all()


@given(designs(), st.integers(-12, 12), st.data())
def test_power_of_two_units_of_knots_change_no_bit(design, power, data):
    places, weights, lam = design
    values, points = data.draw(columns(len(places), 1)), make_points(places)
    plain = Smoother(places, lam=lam, weights=weights)
    scaled = Smoother(places * 2.0**power, lam=lam * 8.0**power, weights=weights)
    assert scaled.solver == plain.solver
    for nu in range(4):
        expected = plain.operator(points, nu=nu)(values) * 2.0 ** (-nu * power)
        actual = scaled.operator(points * 2.0**power, nu=nu)(values)
        np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(scaled.leverages, plain.leverages)


@given(designs(), st.integers(-20, 20), st.data())
def test_power_of_two_units_of_weights_change_no_bit(design, power, data):
    places, weights, lam = design
    values, points = data.draw(columns(len(places), 1)), make_points(places)
    plain = Smoother(places, lam=lam, weights=weights)
    scaled = Smoother(places, lam=lam * 2.0**power, weights=weights * 2.0**power)
    assert scaled.solver == plain.solver
    for nu in range(4):
        expected = plain.operator(points, nu=nu)(values)
        np.testing.assert_array_equal(scaled.operator(points, nu=nu)(values), expected)
    np.testing.assert_array_equal(scaled.leverages, plain.leverages)


@given(designs(), numbers(-6, 6), numbers(-6, 6), st.data())
def test_any_units_change_nothing(design, knot_power, weight_power, data):
    places, weights, lam = design
    values = data.draw(columns(len(places), 1))
    places = places - places[0]  # a unit rounds the gaps only slightly, far from a large offset
    a, b = 10.0**knot_power, 10.0**weight_power
    plain = Smoother(places, lam=lam, weights=weights).operator(places)
    scaled = Smoother(places * a, lam=lam * a**3 * b, weights=weights * b).operator(places * a)
    shortest = np.diff(places).min(initial=np.inf)
    rounding = 20 * EPS * max(1.0, places[-1] / shortest)  # of a gap, relative
    bound = (EXACT + rounding) * np.abs(values).max()
    assert_close(scaled(values), plain(values), bound)


@given(designs(), st.data())
def test_reversal(design, data):
    places, weights, lam = design
    values = data.draw(columns(len(places), 1))
    forward = Smoother(places, lam=lam, weights=weights).operator(places)(values)
    mirrored = Smoother(-places[::-1], lam=lam, weights=weights[::-1]).operator(-places[::-1])
    assert_close(mirrored(values[::-1])[::-1], forward, EXACT * np.abs(values).max())


@given(designs(), st.integers(0, 3), st.data())
def test_adjoint_identity(design, nu, data):
    places, weights, lam = design
    points = make_points(places)
    values, cotangent = data.draw(columns(len(places), 1)), data.draw(columns(len(points), 1))
    operator = Smoother(places, lam=lam, weights=weights).operator(points, nu=nu)
    forward = np.sum(operator(values) * cotangent)
    backward = np.sum(values * operator.adjoint(cotangent))
    norm = row_norms(operator.dense()).max()
    if nu == 3:  # a difference of second derivatives over a gap
        bent = Smoother(places, lam=lam, weights=weights).operator(points, nu=2)
        norm += row_norms(bent.dense()).max() / np.diff(places).min(initial=1.0)
    bound = EXACT * norm * np.abs(values).max() * np.abs(cotangent).sum()
    assert abs(forward - backward) <= bound


@given(designs(min_size=2), st.data())
def test_gather_reads_rows_by_index(design, data):
    places, weights, lam = design
    n_rows = data.draw(st.integers(1, 15))
    rows = st.lists(st.integers(0, n_rows - 1), min_size=len(places), max_size=len(places))
    index = np.array(data.draw(rows))
    values = data.draw(columns(n_rows, 2))
    operator = Smoother(places, lam=lam, weights=weights).operator(make_points(places))
    gathered = operator.gather(index, n_rows)
    assert gathered.shape == (operator.shape[0], n_rows)
    np.testing.assert_array_equal(gathered(values), operator(values[index]))
    cotangent = np.ones((operator.shape[0], 1))
    expected = np.zeros((n_rows, 1))
    np.add.at(expected, index, operator.adjoint(cotangent))
    bound = EXACT * np.abs(operator.dense()).sum()
    assert_close(gathered.adjoint(cotangent), expected, bound)
    select = np.zeros((len(places), n_rows))
    select[np.arange(len(places)), index] = 1.0
    assert_close(gathered.dense(), operator.dense() @ select, bound)


def test_gather_ignores_rows_that_it_does_not_name(rng):
    operator = Smoother([0.0, 0.5, 1.0], lam=0.1).operator([0.2, 0.9])
    values = np.full((6, 4), np.nan)
    values[[5, 0, 2]] = rng.standard_normal((3, 4))
    gathered = operator.gather([5, 0, 2], 6)
    np.testing.assert_array_equal(gathered(values), operator(values[[5, 0, 2]]))


@pytest.mark.parametrize("lam", [0.0, 1e-3, 1e5, np.inf])
def test_knot_without_weight_is_as_absent(lam, rng):
    places, values = make_knots("random", 12), rng.standard_normal((12, 3))
    weights = rng.uniform(0.5, 2.0, 12)
    weights[[0, 5, 11]] = 0.0
    kept = weights > 0
    values[~kept] = [[np.nan], [np.inf], [-np.inf]]
    points = make_points(places)
    smoother = Smoother(places, lam=lam, weights=weights)
    absent = Smoother(places[kept], lam=lam, weights=weights[kept])
    np.testing.assert_array_equal(
        smoother.operator(points)(values), absent.operator(points)(values[kept])
    )
    spline = smoother.fit(values)
    expected = absent.fit(values[kept])(points)
    assert (np.abs(spline(points) - expected) <= EXACT * np.maximum(1.0, np.abs(expected))).all()
    assert np.isfinite(spline.values).all()
    assert_close(spline.values, spline(places), EXACT * np.abs(spline.values).max())
    assert (smoother.leverages[~kept] == 0).all()
    assert smoother.df == pytest.approx(absent.df, rel=EXACT)


# --- the plan ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 20, 100, 1000])
def test_reinsch_serves_interpolation_at_chebyshev_points(n):
    assert Smoother(make_knots("chebyshev", n), lam=0.0).solver == "reinsch"


@pytest.mark.parametrize(
    ("kind", "n", "lam"),
    [
        ("chebyshev", 100, 1e-6), ("chebyshev", 20, 1e-2), ("uniform", 2000, 1e6),
        ("clustered", 100, 1.0), ("random", 2000, 1.0), ("random", 2000, 1e40),
    ],
)  # fmt: skip
def test_innovations_serve_where_reinsch_is_inexact(kind, n, lam):
    assert Smoother(make_knots(kind, n), lam=lam).solver == "innovations"
    weights = np.exp(np.random.default_rng(0).uniform(-2.0, 2.0, n))
    assert Smoother(make_knots(kind, n), lam=lam, weights=weights).solver == "innovations"


def test_state_space_serves_weights_over_decades_and_extreme_lam():
    places = make_knots("random", 100)
    assert Smoother(places, lam=1.0, weights=np.logspace(-14, 0, 100)).solver == "state-space"
    assert Smoother(places, lam=1e70).solver == "state-space"
    assert Smoother(places, lam=np.inf).solver == "state-space"


def test_attributes():
    weights = np.array([1.0, 2.0, 0.0, 1.0])
    smoother = Smoother([0, 1, 2, 4], lam=1, weights=weights)
    np.testing.assert_array_equal(smoother.knots, [0.0, 1.0, 2.0, 4.0])
    np.testing.assert_array_equal(smoother.weights, weights)
    assert smoother.lam == 1.0
    assert smoother.leverages.shape == (4,)
    assert smoother.df == pytest.approx(smoother.leverages.sum(), rel=4 * EPS)
    assert Smoother([0, 1], lam=0).weights is None


@pytest.mark.parametrize(("lam", "df"), [(0.0, 12), (np.inf, 2)])
def test_degrees_of_freedom_at_the_ends(lam, df):
    assert Smoother(make_knots("random", 12), lam=lam).df == pytest.approx(df, rel=1e-14)


def test_is_immutable(rng):
    places, weights, values = make_knots("random", 9), np.ones(9), rng.standard_normal(9)
    smoother = Smoother(places, lam=0.1, weights=weights)
    operator, spline = smoother.operator(places), smoother.fit(values)
    before = operator(values), spline(places), smoother.df
    for thing in (smoother, operator, spline):
        with pytest.raises(AttributeError):
            thing.lam = 3.0
    attributes = (
        smoother.knots,
        smoother.weights,
        smoother.leverages,
        spline.knots,
        spline.values,
        spline.second_derivatives,
        spline.leverages,
    )
    for array in attributes:
        if array.flags.writeable:  # a copy, then
            array += 1.0
    np.testing.assert_array_equal(operator(values), before[0])
    np.testing.assert_array_equal(spline(places), before[1])
    np.testing.assert_array_equal(smoother.fit(values)(places), before[1])
    assert smoother.df == before[2]


@pytest.mark.parametrize("lam", [0.0, 0.1, 1e9])
@pytest.mark.parametrize("shape", [(9,), (9, 4)])
def test_what_the_caller_changes_later_changes_nothing(lam, shape, rng):
    places, weights, values = make_knots("random", 9), np.ones(9), rng.standard_normal(shape)
    points = rng.random(7)
    smoother = Smoother(places, lam=lam, weights=weights)
    operator, spline = smoother.operator(points), smoother.fit(values)
    kept, asked = values.copy(), points.copy()
    expected, fitted, variance = operator(values), spline.values.copy(), spline.residual_variance
    for array in (places, weights, values, points):
        array += np.linspace(1.0, 2.0, len(array)).reshape(-1, *[1] * (array.ndim - 1))
    np.testing.assert_array_equal(operator(kept), expected)
    np.testing.assert_array_equal(smoother.operator(asked)(kept), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(operator))(kept), expected)
    np.testing.assert_array_equal(operator.gather(np.arange(9), 9)(kept), expected)
    np.testing.assert_array_equal(spline.values, fitted)
    np.testing.assert_array_equal(smoother.fit(kept).values, fitted)
    np.testing.assert_array_equal(spline.residual_variance, variance)


@pytest.mark.parametrize(
    "through", [lambda x: pickle.loads(pickle.dumps(x)), through_buffers, copy.deepcopy, copy.copy]
)
@pytest.mark.parametrize("lam", [0.0, 1e-3, 1e9, np.inf])
def test_pickles_and_copies(through, lam, rng):
    places, values = make_knots("uniform", 40), rng.standard_normal((40, 3))
    smoother = Smoother(places, lam=lam, weights=make_weights("zeros", 40))
    operator, spline = smoother.operator(places, nu=1), smoother.fit(values)
    again = through(smoother)
    assert (again.lam, again.solver, again.df) == (smoother.lam, smoother.solver, smoother.df)
    np.testing.assert_array_equal(again.operator(places, nu=1)(values), operator(values))
    np.testing.assert_array_equal(through(operator)(values), operator(values))
    np.testing.assert_array_equal(through(operator).adjoint(values), operator.adjoint(values))
    np.testing.assert_array_equal(through(spline)(places, 1), spline(places, 1))
    np.testing.assert_array_equal(
        through(operator.gather(np.arange(40), 41))(np.ones((41, 2))), operator(np.ones((40, 2)))
    )
    assert len(bind_points.signatures) == 1


def test_reprs_show_sizes():
    smoother = Smoother(make_knots("uniform", 17), lam=0.25)
    for thing in (smoother, smoother.operator([0.1, 0.2]), smoother.fit(np.ones((17, 3)))):
        text = repr(thing)
        assert "17" in text
        assert "\n" not in text


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
@pytest.mark.parametrize("unit", [1e-90, 1e-3, 1.0, 86400.0, 1e90])
def test_units_never_overflow(offset, unit, rng):
    exact = ExactSmoother((np.arange(8) + offset) * unit, lam=(0.5 * unit) * unit * unit)
    places, values = (np.arange(8) + offset) * unit, rng.standard_normal(8)
    smoother = Smoother(places, lam=(0.5 * unit) * unit * unit)
    if 0 < smoother.lam < np.inf:
        assert_close(
            smoother.fit(values).values,
            exact.evaluate(values, places),
            EXACT * np.abs(values).max(),
        )


@pytest.mark.parametrize("magnitude", [1e-300, 1e-20, 1e20, 1e300])
@pytest.mark.parametrize("lam", [0.0, 1e-3, 1e6, np.inf])
def test_any_magnitude_of_values(magnitude, lam, rng):
    places, values = make_knots("random", 20), rng.uniform(-1.0, 1.0, 20)
    operator = Smoother(places, lam=lam).operator(places)
    assert_close(operator(values * magnitude), operator(values) * magnitude, EXACT * magnitude)


@pytest.mark.parametrize("lam", [1e-300, 1e-100, 1e20, 1e100, 1e300])
def test_extreme_lam_tends_to_its_limits(lam, rng):
    places, values = make_knots("random", 20), rng.uniform(-1.0, 1.0, 20)
    limit = ExactSmoother(places, lam=0.0 if lam < 1 else np.inf)
    smoother = Smoother(places, lam=lam)
    bound = EXACT if lam != 1e20 else 1e-11
    assert_close(smoother.fit(values).values, limit.evaluate(values, places), bound)
    assert np.isfinite(smoother.leverages).all()


@pytest.mark.parametrize(
    ("kind", "n", "lam"),
    list(itertools.product(["uniform", "random", "clustered"], [2000], [1e-6, 1.0, 1e6])),
)
def test_long_series_is_a_stationary_point(kind, n, lam, rng):
    """The solution's own equation: ``w (y - u) = lam`` times the jump of u''' at each knot."""
    places, values = make_knots(kind, n), rng.standard_normal(n)
    spline = Smoother(places, lam=lam).fit(values)
    residual = values - spline.values
    moments = np.array([residual.sum(), residual @ (places - places.mean())])
    assert (np.abs(moments) <= EXACT * n * np.abs(values).max()).all()
    energy = lam * _bending(places, spline.second_derivatives)
    assert values @ residual == pytest.approx(residual @ residual + energy, rel=1e-9)


def _bending(places, curvature):
    """``integral(u''**2)`` of a piecewise linear u''."""
    first, second = curvature[:-1], curvature[1:]
    return np.sum(np.diff(places) / 3 * (first**2 + first * second + second**2))


@given(lams())
def test_one_and_two_knots_need_no_lam(lam):
    constant = Smoother([0.3], lam=lam).fit([2.0])
    np.testing.assert_array_equal(constant([-1.0, 0.3, 9.0]), [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(constant([-1.0, 0.3, 9.0], 1), np.zeros(3))
    line = Smoother([0.0, 2.0], lam=lam).fit([1.0, 5.0])
    np.testing.assert_allclose(line([-1.0, 0.0, 1.0, 3.0]), [-1.0, 1.0, 3.0, 7.0], rtol=4 * EPS)
    np.testing.assert_allclose(line([-1.0, 0.0, 1.0, 3.0], 1), np.full(4, 2.0), rtol=4 * EPS)
    np.testing.assert_array_equal(line([-1.0, 0.0, 1.0, 3.0], 2), np.zeros(4))


# --- bad input ---------------------------------------------------------------------------------

THREE = [0.0, 1.0, 2.0]
BAD_PLANS = {
    "nan knot": (ValueError, ["knots[1]", "nan"], {"knots": [0.0, np.nan, 1.0]}),
    "infinite knot": (ValueError, ["knots[2]", "inf"], {"knots": [0.0, 1.0, np.inf]}),
    "minus infinite knot": (ValueError, ["knots[0]", "-inf"], {"knots": [-np.inf, 1.0, 2.0]}),
    "unsorted knots": (
        ValueError,
        ["knots[2] = 1.0", "2.0", "ascending"],
        {"knots": [0.0, 2.0, 1.0]},
    ),
    "equal knots": (
        ValueError,
        ["knots[2] = 1.0", "knots[1]", "average"],
        {"knots": [0.0, 1.0, 1.0]},
    ),
    "table of knots": (ValueError, ["knots", "(1, 3)"], {"knots": [THREE]}),
    "scalar knots": (ValueError, ["knots", "()"], {"knots": 1.0}),
    "no knots": (ValueError, ["knots"], {"knots": []}),
    "object knots": (TypeError, ["knots", "object"], {"knots": np.array(THREE, dtype=object)}),
    "text knots": (TypeError, ["knots"], {"knots": ["a", "b", "c"]}),
    "complex knots": (TypeError, ["knots", "complex"], {"knots": np.array(THREE) * 1j}),
    "negative lam": (ValueError, ["lam", "-0.001", ">= 0"], {"lam": -0.001}),
    "nan lam": (ValueError, ["lam", "nan"], {"lam": np.nan}),
    "text lam": (TypeError, ["lam", "gcv", "smooth_spline"], {"lam": "gcv"}),
    "no lam": (TypeError, ["lam", "None"], {"lam": None}),
    "complex lam": (TypeError, ["lam"], {"lam": 1j}),
    "array lam": (TypeError, ["lam"], {"lam": [1.0, 2.0]}),
    "negative weight": (ValueError, ["weights[1]", "-1.0"], {"weights": [1.0, -1.0, 1.0]}),
    "nan weight": (ValueError, ["weights[2]", "nan"], {"weights": [1.0, 1.0, np.nan]}),
    "infinite weight": (ValueError, ["weights[0]", "inf"], {"weights": [np.inf, 1.0, 1.0]}),
    "zero weights": (ValueError, ["weights"], {"weights": [0.0, 0.0, 0.0]}),
    "too few weights": (ValueError, ["weights", "2", "3"], {"weights": [1.0, 1.0]}),
    "table of weights": (ValueError, ["weights", "(3, 1)"], {"weights": [[1.0], [1.0], [1.0]]}),
    "text weights": (TypeError, ["weights"], {"weights": ["a", "b", "c"]}),
}


def assert_says(error, fragments):
    message = str(error.value)
    for fragment in fragments:
        assert fragment in message, message


@pytest.mark.parametrize(("kind", "fragments", "arguments"), BAD_PLANS.values(), ids=BAD_PLANS)
def test_bad_plan_is_refused(kind, fragments, arguments):
    with pytest.raises(kind) as error:
        Smoother(**{"knots": THREE, "lam": 1.0, **arguments})
    assert_says(error, fragments)


BAD_POINTS = {
    "nan point": (ValueError, ["points[1]", "nan"], [0.0, np.nan], 0),
    "infinite point": (ValueError, ["points[0]", "inf"], [np.inf, 0.0], 0),
    "table of points": (ValueError, ["points", "(1, 2)"], [[0.0, 1.0]], 0),
    "text points": (TypeError, ["points"], ["a"], 0),
    "complex points": (TypeError, ["points"], [1j], 0),
    "nu too large": (ValueError, ["nu", "4"], [0.0], 4),
    "nu negative": (ValueError, ["nu", "-1"], [0.0], -1),
    "nu fractional": (TypeError, ["nu", "1.5"], [0.0], 1.5),
}


@pytest.mark.parametrize(("kind", "fragments", "points", "nu"), BAD_POINTS.values(), ids=BAD_POINTS)
def test_bad_points_are_refused(kind, fragments, points, nu):
    with pytest.raises(kind) as error:
        Smoother(THREE, lam=1.0).operator(points, nu=nu)
    assert_says(error, fragments)


BAD_VALUES = {
    "nan": (ValueError, ["values[1]", "nan"], [0.0, np.nan, 1.0], 0),
    "nan in column": (ValueError, ["values[2, 1]", "nan"], [[0, 0], [0, 0], [0, np.nan]], 0),
    "inf in column": (ValueError, ["values[0, 1]", "inf"], [[0, np.inf], [0, 0], [0, 0]], 0),
    "nan along axis 1": (ValueError, ["values[1, 2]", "nan"], [[0, 0, 0], [0, 0, np.nan]], 1),
    "nan along axis -1": (ValueError, ["values[1, 0]", "nan"], [[0, 0, 0], [np.nan, 0, 0]], -1),
    "wrong length": (ValueError, ["values", "(2, 3)", "axis"], np.ones((2, 3)), 0),
    "scalar": (ValueError, ["values", "single number"], 1.0, 0),
    "empty": (ValueError, ["values", "(0,)"], [], 0),
    "axis too large": (ValueError, ["axis", "2"], np.ones((3, 3)), 2),
    "axis fractional": (TypeError, ["axis"], np.ones((3, 3)), 0.5),
    "text": (TypeError, ["values"], ["a", "b", "c"], 0),
    "object": (TypeError, ["values", "object"], np.array(THREE, dtype=object), 0),
    "ragged": (TypeError, ["values"], [[1.0], [1.0, 2.0], [3.0]], 0),
    "dates": (TypeError, ["values"], np.zeros(3, dtype="datetime64[s]"), 0),
}


@pytest.mark.parametrize(
    ("kind", "fragments", "values", "axis"), BAD_VALUES.values(), ids=BAD_VALUES
)
@pytest.mark.parametrize("lam", [1e-3, 1e20, np.inf], ids=["mild", "huge", "line"])
def test_bad_values_are_refused(kind, fragments, values, axis, lam):
    smoother = Smoother(THREE, lam=lam)
    for call in (smoother.fit, smoother.operator([0.5])):
        with pytest.raises(kind) as error:
            call(values, axis=axis)
        assert_says(error, fragments)


@pytest.mark.parametrize(
    ("kind", "fragments", "values", "axis"), BAD_VALUES.values(), ids=BAD_VALUES
)
def test_bad_cotangents_are_refused(kind, fragments, values, axis):
    operator = Smoother([0.0, 1.0], lam=1e-3).operator(THREE)
    with pytest.raises(kind) as error:
        operator.adjoint(values, axis=axis)
    assert_says(error, [fragment.replace("values", "cotangent") for fragment in fragments])


@pytest.mark.parametrize("columns_before", [0, 1, 7, 40, 5000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_position_of_a_bad_value_among_many_columns(columns_before, dtype, bad):
    values = np.zeros((3, columns_before + 3), dtype)
    values[1, columns_before] = bad
    smoother = Smoother(THREE, lam=1e-3)
    for call in (smoother.fit, smoother.operator([0.5]), smoother.operator([0.0])):
        with pytest.raises(ValueError, match=rf"values\[1, {columns_before}\]"):
            call(values)


@pytest.mark.parametrize(("dtype", "magnitude"), [(np.float32, 1e38), (np.float64, 1e308)])
@pytest.mark.parametrize("lam", [0.0, 1e-6, 1e6, np.inf])
@pytest.mark.parametrize("count", [3, 3000])
def test_overflow_does_not_travel(dtype, magnitude, lam, count, rng):
    """Values near the end of their range: right, or refused for their size; never inf or NaN."""
    values = rng.uniform(-1, 1, (20, count)).astype(dtype)
    operator = Smoother(make_knots("chebyshev", 20), lam=lam).operator([0.1, 0.2])
    try:
        result = operator(values * dtype(magnitude))
    except ValueError as error:
        assert "overflow" in str(error)  # noqa: PT017
    else:
        bound = 10 * np.finfo(dtype).eps * np.abs(operator.dense()).sum(axis=1, keepdims=True)
        assert (np.abs(result / dtype(magnitude) - operator(values)) <= bound).all()


@pytest.mark.parametrize(
    ("kind", "fragments", "index", "n_rows"),
    [
        (ValueError, ["index", "3"], [0, 1, 3], 3),
        (ValueError, ["index", "-1"], [0, -1, 2], 3),
        (ValueError, ["index", "2", "3"], [0, 1], 3),
        (TypeError, ["index"], [0.0, 1.0, 2.0], 3),
        (ValueError, ["n_rows", "0"], [0, 1, 2], 0),
    ],
    ids=["too large", "negative", "too few", "fractional", "no rows"],
)
def test_bad_gather_is_refused(kind, fragments, index, n_rows):
    operator = Smoother(THREE, lam=1.0).operator([0.5])
    with pytest.raises(kind) as error:
        operator.gather(index, n_rows)
    assert_says(error, fragments)


SCALES = {
    "span": (["knots", "mean gap", "unit"], {"knots": [-1.5e308, 0.0, 1.5e308]}),
    "large unit": (["knots", "mean gap"], {"knots": np.arange(5.0) * 1e160}),
    "small unit": (["knots", "mean gap"], {"knots": np.arange(5.0) * 1e-160}),
    "tiny gap": (["0.0 and 1e-110", "merge"], {"knots": [-1.0, 0.0, 1e-110, 1.0]}),
    "light": (["weights", "1e-200"], {"knots": [0.0, 1.0, 2.0], "weights": [1.0, 1e-200, 1.0]}),
}


@pytest.mark.parametrize(("fragments", "arguments"), SCALES.values(), ids=SCALES.keys())
def test_scales_beyond_floating_point_are_refused(fragments, arguments):
    with pytest.raises(ValueError, match=r"knots|weights") as error:
        Smoother(**arguments, lam=1.0)
    assert_says(error, fragments)


FAR = {
    "float32 points": lambda: Smoother(np.arange(5.0), lam=0.0).operator([1e39])(
        np.array([0, 1, 0, 2, 1], np.float32)
    ),
    "float64 points": lambda: Smoother(np.arange(5.0), lam=0.0).operator([1e308])(
        [0, 1e10, 0, 2e10, 1e10]
    ),
    "spline": lambda: Smoother(np.arange(5.0), lam=0.0).fit([0, 1e10, 0, 2e10, 1e10])([1e308]),
    "float32 derivative": lambda: Smoother(np.arange(5.0) * 1e-13, lam=0.0).operator([2e-13], nu=3)(
        np.array([0, 1, 0, 2, 1], np.float32)
    ),
    "cotangent": lambda: (
        Smoother(np.arange(5.0), lam=0.0).operator([1.5, 1.6]).adjoint([1.7e308, 1.7e308])
    ),
    "half": lambda: resample(
        np.arange(5.0), np.array([0, 65000, 65000, 65000, 0], np.float16), [1.4]
    ),
}


@pytest.mark.parametrize("call", FAR.values(), ids=FAR.keys())
def test_results_that_overflow_are_refused(call):
    with pytest.raises(ValueError, match="overflow"):
        call()


def test_one_probe_would_not_show_the_error():
    """Reinsch's error here, 5e-12, is a linear function of the values that one probe column hid."""
    places = np.array([1.0, 3.0, 4.0, 6.0, 7.0, 7.01, 7.57234133, 8.57234133])
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.31622777, 0.1, 10.0, 10.0])
    values = np.random.default_rng(0).uniform(-1.0, 1.0, (8, 50))
    plan = Smoother(places, lam=1.0, weights=weights)
    expected = ExactSmoother(places, lam=1.0, weights=weights).evaluate(values, places)
    assert_close(plan.fit(values).values, expected, EXACT)
