import inspect

import numpy as np
import pytest
import scipy.interpolate
from hypothesis import given
from hypothesis import strategies as st

from fastspline import make_smoothing_spline
from tests.oracles.splines import ExactSmoother, ScoreCurve, rounded
from tests.support.strategies import make_knots

EXACT = 1e-12


@st.composite
def scipy_problems(draw):
    """Problems on which scipy loses few digits: lam is small beside weight and gap."""
    n = draw(st.integers(5, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = draw(st.sampled_from([1e-3, 1.0, 1e4])) * np.cumsum(rng.uniform(0.5, 1.5, n))
    w = draw(st.sampled_from([None, rng.uniform(0.5, 2.0, n)]))
    lam = draw(st.sampled_from([0.0, 1e-4, 1.0, 30.0])) * np.diff(x).mean() ** 3
    return x, rng.standard_normal((n, 3)), w, lam


@given(scipy_problems())
def test_equals_scipy(problem):
    x, y, w, lam = problem
    ours = make_smoothing_spline(x, y, w, lam)
    scipys = scipy.interpolate.make_smoothing_spline(x, y, w, lam)
    assert type(ours) is scipy.interpolate.BSpline
    assert (ours.k, ours.axis, ours.extrapolate) == (scipys.k, scipys.axis, scipys.extrapolate)
    np.testing.assert_array_equal(ours.t, scipys.t)
    assert ours.c.dtype == scipys.c.dtype
    assert ours.c.shape == scipys.c.shape
    assert np.abs(ours.c - scipys.c).max() <= 10 * EXACT * np.abs(scipys.c).max()
    span = x[-1] - x[0]
    points = np.linspace(x[0] - 0.5 * span, x[-1] + 0.5 * span, 101)
    for nu in range(4):
        expected = scipys(points, nu)
        # scipy's own coefficients carry an error that the end cubics enlarge outside.
        assert np.abs(ours(points, nu) - expected).max() <= 1e-9 * np.abs(expected).max()


@pytest.mark.parametrize("n", [5, 12])
@pytest.mark.parametrize("lam", [0.0, 1e-6, 1.0, 1e6, np.inf])
@pytest.mark.parametrize("kind", ["uniform", "random", "clustered"])
def test_equals_dense_solution_where_scipy_may_not(n, lam, kind, rng):
    x, y, w = make_knots(kind, n), rng.standard_normal((n, 2)), rng.uniform(0.1, 10.0, n)
    spline = make_smoothing_spline(x, y, w, lam)
    points = np.concatenate([x, (x[1:] + x[:-1]) / 2])
    matrix = rounded(ExactSmoother(x, lam=lam, weights=w).matrix(points))
    # The coefficients are as large as the curve between the knots, and cancel at the knots.
    bound = EXACT * np.abs(matrix).sum(axis=1).max() * np.abs(y).max()
    assert np.abs(spline(points) - matrix @ y).max() <= bound


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("lam", [0.0, 0.5, np.inf])
def test_lam_given_needs_no_five_points(n, lam, rng):
    x, y = np.arange(n) * 0.5, rng.standard_normal(n)
    spline = make_smoothing_spline(x, y, lam=lam)
    points = np.linspace(x[0], x[-1], 9)
    expected = ExactSmoother(x, lam=lam).evaluate(y, points)
    assert type(spline) is scipy.interpolate.BSpline
    assert np.abs(spline(points) - expected).max() <= EXACT * np.abs(y).max()


@pytest.mark.filterwarnings("ignore:.*next to interpolation:UserWarning")
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((9,), 0), ((9, 2), 0), ((2, 9), 1), ((2, 9), -1), ((2, 9, 3), 1), ((2, 3, 9), -1)],
)
@pytest.mark.parametrize("lam", [0.3, None])
def test_axis_and_shape(shape, axis, lam, rng):
    x, y = np.arange(9.0), np.moveaxis(rng.standard_normal((9, *np.delete(shape, axis))), 0, axis)
    ours = make_smoothing_spline(x, y, lam=lam, axis=axis)
    scipys = scipy.interpolate.make_smoothing_spline(x, y, lam=0.3, axis=axis)
    assert ours.axis == scipys.axis
    assert ours.c.shape == scipys.c.shape
    points = np.array([[0.3, 5.0], [9.5, 2.0]])
    assert ours(points).shape == scipys(points).shape
    if lam is not None:
        np.testing.assert_allclose(ours(points), scipys(points), rtol=0, atol=1e-11)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_lam_none_is_the_gcv_optimum_of_each_column(weighted, rng):
    x = np.sort(rng.uniform(0.0, 10.0, 24))
    w = rng.uniform(0.2, 5.0, 24) if weighted else None
    y = np.sin(np.outer(x, [0.5, 1.0, 2.0])) + 0.2 * rng.standard_normal((24, 3))
    spline = make_smoothing_spline(x, y, w)
    curve = ScoreCurve(x, w, "gcv-plain")
    for j in range(3):
        lam, score = curve.minimum(y[:, j], 1e-8, 1e8)
        expected = ExactSmoother(x, lam=lam, weights=w).evaluate(y[:, j], x)
        assert 1e-7 < lam < 1e7, "the data must have their optimum inside"
        # Both searches stop where GCV is flat: its excess is quadratic in the error of lam.
        assert np.abs(spline(x)[:, j] - expected).max() <= 1e-4 * np.abs(y).max()
        alone = make_smoothing_spline(x, y[:, j], w)
        np.testing.assert_array_equal(spline.c[:, j], alone.c)
        assert score > 0


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_lam_none_does_not_depend_on_units(unit, rng):
    x, y = np.sort(rng.uniform(0.0, 1.0, 60)), rng.standard_normal(60)
    y += 5 * np.sin(6 * x)
    plain, scaled = make_smoothing_spline(x, y), make_smoothing_spline(x * unit, y)
    assert np.abs(scaled(x * unit) - plain(x)).max() <= 1e-5 * np.abs(y).max()


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (list(range(6)), [0, 1, 0, 2, 0, 3]),
        (np.arange(6), np.array([True, False] * 3)),
        (range(6), [1.5] * 6),
    ],
)
def test_sequences_and_integers(x, y):
    ours = make_smoothing_spline(x, y, lam=0.5)
    scipys = scipy.interpolate.make_smoothing_spline(x, y, lam=0.5)
    np.testing.assert_allclose(ours.c, scipys.c, rtol=0, atol=1e-12)


def test_signature_is_scipys():
    ours = inspect.signature(make_smoothing_spline).parameters.values()
    scipys = inspect.signature(scipy.interpolate.make_smoothing_spline).parameters.values()
    expected = [(p.name, p.kind, p.default) for p in scipys]
    coming = ("t", inspect.Parameter.KEYWORD_ONLY, None)  # in releases after August 2026
    if coming not in expected:
        expected.append(coming)
    assert {(p.name, p.kind, p.default) for p in ours} == set(expected)
    assert [p.name for p in ours][:4] == ["x", "y", "w", "lam"]


FIVE = [0.0, 1.0, 2.0, 3.0, 4.0]
BAD = {
    "unsorted": {"x": [0.0, 2.0, 1.0, 3.0, 4.0]},
    "descending": {"x": FIVE[::-1]},
    "repeated": {"x": [0.0, 1.0, 1.0, 3.0, 4.0]},
    "two dimensions": {"x": [[0.0, 1.0]]},
    "length mismatch": {"y": [0.0, 1.0, 2.0]},
    "mismatch along axis": {"y": np.ones((5, 4)), "axis": 1},
    "zero weight": {"w": [1.0, 0.0, 1.0, 1.0, 1.0], "lam": 1.0},
    "negative weight": {"w": [1.0, -1.0, 1.0, 1.0, 1.0], "lam": 1.0},
    "negative lam": {"lam": -1.0},
    "nan value": {"y": [0.0, np.nan, 1.0, 2.0, 0.0], "lam": 1.0},
    "infinite value": {"y": [0.0, np.inf, 1.0, 2.0, 0.0], "lam": 1.0},
    "nan knot": {"x": [0.0, np.nan, 2.0, 3.0, 4.0], "lam": 1.0},
    "nan weight": {"w": [1.0, np.nan, 1.0, 1.0, 1.0], "lam": 1.0},
    "four points, lam chosen": {"x": FIVE[:4], "y": [1.0, 0.0, 2.0, 1.0]},
    "axis": {"axis": 3, "y": np.ones((5, 5))},
}


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD)
def test_bad_input_raises_what_scipy_raises(arguments):
    arguments = {"x": FIVE, "y": [0.0, 1.0, 0.0, 2.0, 1.0], **arguments}
    with pytest.raises((ValueError, IndexError)) as scipys:
        scipy.interpolate.make_smoothing_spline(**arguments)
    with pytest.raises(scipys.type) as ours:
        make_smoothing_spline(**arguments)
    assert len(str(ours.value)) > 15


EIGHT = np.arange(8.0)
WAVES = np.sin(EIGHT)
TAKEN = {
    "long double": {"x": EIGHT.astype(np.longdouble), "y": WAVES.astype(np.longdouble)},
    "objects": {"x": EIGHT.astype(object), "y": WAVES.astype(object)},
    "texts that are numbers": {"y": [str(value) for value in WAVES]},
    "masked without a mask": {"x": np.ma.array(EIGHT), "y": np.ma.array(WAVES, mask=[False] * 8)},
    "infinite weight": {"w": [1.0, 1.0, np.inf, 2.0, 1.0, 1.0, 1.0, 3.0]},
    "infinite weights": {"w": [np.inf] * 8},
}


@pytest.mark.parametrize("lam", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("arguments", TAKEN.values(), ids=TAKEN)
def test_what_scipy_reads_is_read(arguments, lam):
    arguments = {"x": EIGHT, "y": WAVES, "lam": lam, **arguments}
    ours = make_smoothing_spline(**arguments)
    scipys = scipy.interpolate.make_smoothing_spline(**arguments)
    assert (ours.t.dtype, ours.c.dtype) == (scipys.t.dtype, scipys.c.dtype)
    assert np.abs(ours(EIGHT) - scipys(EIGHT)).max() <= 1e-11


@pytest.mark.parametrize("name", ["x", "y"])
def test_of_complex_numbers_the_real_part_is_read_with_a_warning(name):
    arguments = {"x": EIGHT, "y": WAVES}
    arguments[name] = arguments[name] + 2.0j
    for smooth in (scipy.interpolate.make_smoothing_spline, make_smoothing_spline):
        with pytest.warns(np.exceptions.ComplexWarning):
            spline = smooth(**arguments, lam=0.1)
        plain = smooth(EIGHT, WAVES, lam=0.1)
        np.testing.assert_array_equal(spline.c, plain.c)


def test_a_curve_goes_through_a_value_of_infinite_weight_when_lam_is_chosen(rng):
    x, y = EIGHT, rng.standard_normal(8)
    w = np.ones(8)
    w[3] = np.inf
    assert abs(make_smoothing_spline(x, y, w)(3.0) - y[3]) <= 1e-12


BAD_FOR_SCIPY = {
    "empty": {"x": [], "y": []},
    "empty with lam": {"x": [], "y": [], "lam": 1.0},
    "axis out of range": {"axis": 1},
    "negative axis out of range": {"axis": -2},
    "axis None": {"axis": None},
    "x None": {"x": None},
    "y None": {"y": None},
    "None": {"x": None, "y": None},
    "None among values": {"y": np.array([None] * 8)},
    "two dimensions": {"x": EIGHT[:, np.newaxis]},
}


@pytest.mark.parametrize("arguments", BAD_FOR_SCIPY.values(), ids=BAD_FOR_SCIPY)
def test_who_catches_scipys_error_catches_ours(arguments):
    arguments = {"x": EIGHT, "y": WAVES, **arguments}
    with pytest.raises((ValueError, IndexError, TypeError)) as scipys:
        scipy.interpolate.make_smoothing_spline(**arguments)
    with pytest.raises(scipys.type) as ours:
        make_smoothing_spline(**arguments)
    assert len(str(ours.value)) > 15


def test_masked_entries_are_refused():
    with pytest.raises(TypeError, match="masked"):
        make_smoothing_spline(EIGHT, np.ma.array(WAVES, mask=EIGHT == 3.0))


def test_too_few_points_are_named_as_by_scipy():
    with pytest.raises(ValueError, match="length must be at least 5"):
        make_smoothing_spline(FIVE[:4], FIVE[:4])


@pytest.mark.parametrize("w", [[1.0, 0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, -2.0]])
def test_weights_must_be_positive(w):
    with pytest.raises(ValueError, match=r"(?i)weights"):
        make_smoothing_spline(FIVE, FIVE, w, lam=1.0)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (TypeError, {"w": [1j] * 5}),
        (TypeError, {"lam": "gcv"}),
        (ValueError, {"lam": np.nan}),
        (ValueError, {"w": [1.0] * 4, "lam": 1.0}),
        (ValueError, {"x": [], "y": [], "lam": 1.0}),
        (ValueError, {"x": [1.0], "y": [1.0], "lam": 1.0}),
    ],
    ids=["complex weights", "lam by name", "nan lam", "too few weights", "empty", "one point"],
)
def test_what_scipy_lets_through_is_refused(kind, arguments):
    with pytest.raises(kind):
        make_smoothing_spline(**{"x": FIVE, "y": FIVE, **arguments})
