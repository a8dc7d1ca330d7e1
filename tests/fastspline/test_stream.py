import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastspline import Smoother, SplineStream
from fastspline._kernels.append import append_knots
from tests.oracles.splines import ExactSmoother
from tests.support.strategies import (
    KNOT_KINDS,
    LAMS,
    WEIGHT_KINDS,
    designs,
    make_knots,
    make_weights,
    through_buffers,
)

EXACT = 1e-12  # of max |values|: the house's target for fitted values
EPS = np.finfo(np.float64).eps


def refit(knots, values, lam, weights=None):
    return Smoother(knots, lam=lam, weights=weights).fit(values)


def relative_error(actual, expected, values):
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max(initial=0.0) / np.abs(values).max(initial=1e-300)


# --- against a full refit ----------------------------------------------------------------------


@pytest.mark.parametrize("weight_kind", WEIGHT_KINDS)
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", LAMS)
def test_each_append_equals_the_exact_fit(lam, kind, weight_kind, rng):
    knots, weights = make_knots(kind, 9), make_weights(weight_kind, 9)
    values = rng.standard_normal((9, 2))
    stream = SplineStream(lam=lam)
    for i in range(9):
        refreshed = stream.append(
            knots[i], values[i], weights=None if weights is None else weights[i]
        )
        so_far = None if weights is None else weights[: i + 1]
        if so_far is not None and not so_far.any():
            assert np.isnan(stream.values).all()
            assert np.isnan(stream.slope).all()
            continue
        oracle = ExactSmoother(knots[: i + 1], lam=lam, weights=so_far)
        fitted = oracle.evaluate(values[: i + 1], knots[: i + 1])
        # At knots of weight 0 the curve may go far beyond the values.
        assert relative_error(stream.values, fitted, fitted) <= EXACT
        assert relative_error(refreshed, fitted[-len(refreshed) :], fitted) <= EXACT
        slope = oracle.evaluate(values[: i + 1], knots[i : i + 1], nu=1)[0]
        np.testing.assert_allclose(
            stream.slope, slope, rtol=1e-10, atol=1e-11 * np.abs(slope).max()
        )


@given(designs(min_size=2, max_size=10), st.data())
def test_any_chunks_give_the_exact_fit(design, data):
    knots, weights, lam = design
    n = len(knots)
    dropped = data.draw(st.lists(st.integers(0, n - 1), max_size=n // 2))
    weights[dropped] = 0.0
    if not weights.any():
        weights[0] = 1.0
    values = np.random.default_rng(n).standard_normal((n, 3))
    values[weights == 0.0] = np.nan
    stream = SplineStream(lam=lam)
    start = 0
    while start < n:
        k = data.draw(st.integers(1, n - start))
        chunk = slice(start, start + k)
        stream.append(knots[chunk], values[chunk], weights=weights[chunk])
        start += k
        if weights[:start].any():
            oracle = ExactSmoother(knots[:start], lam=lam, weights=weights[:start])
            fitted = oracle.evaluate(np.nan_to_num(values[:start]), knots[:start])
            assert relative_error(stream.values, fitted, fitted) <= EXACT


@pytest.mark.parametrize("lam", [0.0, *10.0 ** np.arange(-12.0, 13.0, 3.0), np.inf])
@pytest.mark.parametrize("weight_decades", [0, 8])
def test_long_series_of_uneven_gaps(lam, weight_decades, rng):
    n = 1200
    knots = np.cumsum(10.0 ** rng.uniform(-3, 3, n))
    weights = 10.0 ** (weight_decades * rng.uniform(-0.5, 0.5, n))
    values = rng.standard_normal((n, 2))
    stream = SplineStream(lam=lam)
    stream.append(knots[:700], values[:700], weights=weights[:700])
    for start in range(700, n, 10):
        chunk = slice(start, start + 10)
        stream.append(knots[chunk], values[chunk], weights=weights[chunk])
    full = refit(knots, values, lam, weights).values
    assert relative_error(stream.values, full, values) <= EXACT
    assert relative_error(stream.values[-1:], full[-1:], values) <= 50 * EPS


def test_what_is_not_refreshed_stays_as_it_was(rng):
    stream = SplineStream(lam=2.0)
    for knot in np.cumsum(rng.random(300)):
        earlier = stream.values
        refreshed = stream.append(knot, rng.standard_normal())
        kept = len(stream) - len(refreshed)
        assert (stream.values[:kept] == earlier[:kept]).all()
        assert (stream.values[kept:] == refreshed).all()


def test_chunks_change_no_bit_of_the_newest_value(rng):
    knots, values = np.cumsum(rng.random(500)), rng.standard_normal((500, 3))
    one, many = SplineStream(lam=3.0), SplineStream(lam=3.0)
    many.append(knots, values)
    for knot, row in zip(knots, values, strict=True):
        one.append(knot, row)
    assert (one.values[-1] == many.values[-1]).all()
    assert (one.slope == many.slope).all()


def test_knots_without_weight_anywhere():
    """At the start, in a gap and at the end, alone or in an append with others."""
    knots = np.array([0.0, 1.0, 3.0, 4.0, 7.0, 8.0, 9.0, 30.0])
    weights = np.array([0.0, 2.0, 0.0, 1.0, 0.0, 3.0, 1.0, 0.0])
    values = np.where(weights > 0, np.sin(knots), np.nan)
    for size in (1, 2, 3, 8):
        stream = SplineStream(lam=0.5)
        for start in range(0, 8, size):
            chunk = slice(start, start + size)
            stream.append(knots[chunk], values[chunk], weights=weights[chunk])
            if weights[: start + size].any():
                so_far = slice(0, start + size)
                full = refit(knots[so_far], values[so_far], 0.5, weights[so_far])
                assert relative_error(stream.values, full.values, full.values) <= EXACT
        full = refit(knots, values, 0.5, weights)
        assert relative_error(stream.spline()(knots), full(knots), full(knots)) <= EXACT


@pytest.mark.parametrize("lam", [1e-4, 1e-2, 1.0])
def test_knots_that_lie_close_before_far_ones_miss_no_change(lam, rng):
    """A change decays in few far knots, then for long hardly at all; columns count apart."""
    knots = np.append(1e-3 * np.arange(600.0), 0.6 + np.arange(1.0, 31.0))
    values = np.stack([1e9 * knots, rng.standard_normal(knots.size)], axis=1)
    stream = SplineStream(lam=lam)
    stream.append(knots[:600], values[:600])
    for n in range(600, knots.size):
        stream.append(knots[n], values[n])
        fitted = refit(knots[: n + 1], values[: n + 1], lam).values
        for column in (0, 1):
            actual, expected = stream.values[:, column], fitted[:, column]
            assert relative_error(actual, expected, values[:, column]) <= 50 * EPS  # not EXACT


# --- cost --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lam", "lag"), [(0.0, 40), (1.0, 75), (1e4, 700)])
def test_lag_is_fixed_however_many_knots_there_are(lam, lag, rng):
    n = 20_000
    knots = np.arange(n + 200.0)
    values = rng.standard_normal(n + 200)
    stream = SplineStream(lam=lam)
    stream.append(knots[:n], values[:n])
    counts = [len(stream.append(knots[i], values[i])) for i in range(n, n + 200)]
    assert max(counts) <= lag
    assert relative_error(stream.values, refit(knots, values, lam).values, values) <= EXACT


def test_lag_is_the_filters_decay_length(rng):
    """A change decays as exp(-d / delta), delta = sqrt(2) (lam / weight)**(1/4) at unit gaps."""
    n = 30_000
    knots, values = np.arange(n + 1.0), rng.standard_normal(n + 1)
    for lam in (1e4, 1e8):
        stream = SplineStream(lam=lam)
        stream.append(knots[:n], values[:n])
        delta = np.sqrt(2.0) * lam**0.25
        assert 20 * delta < len(stream.append(knots[n], values[n])) < 50 * delta


def test_many_single_appends(rng):
    n = 100_000
    knots, values = np.cumsum(rng.random(n)), rng.standard_normal(n)
    stream = SplineStream(lam=0.01)
    work = sum(
        len(stream.append(knot, value))
        for knot, value in zip(knots.tolist(), values.tolist(), strict=True)
    )
    assert work < 100 * n
    assert relative_error(stream.values, refit(knots, values, 0.01).values, values) <= EXACT


# --- scales ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-90, 1e-3, 1e90])
@pytest.mark.parametrize("weight", [1e-90, 1e90])
@pytest.mark.parametrize("size", [1e-190, 1e190])
def test_units_do_not_matter(unit, weight, size, rng):
    knots, values = np.cumsum(rng.random(60) + 0.1), rng.standard_normal(60)
    expected = refit(knots, values, 0.3).values
    lam = 0.3 * unit**3 * weight if 1e-300 < unit**3 * weight < 1e300 else 0.0
    stream = SplineStream(lam=lam)
    for start in range(0, 60, 7):
        chunk = slice(start, start + 7)
        count = knots[chunk].size
        stream.append(knots[chunk] * unit, values[chunk] * size, weights=np.full(count, weight))
    if lam == 0.0:
        expected = values
    assert relative_error(stream.values / size, expected, values) <= EXACT


@pytest.mark.parametrize("lam", [0.0, 1e-6, 1.0, 1e6, np.inf])
@pytest.mark.parametrize("first", [1e-20, 1e20])
def test_gaps_of_very_different_scales(lam, first):
    """The first gap gives the unit; later ones may be far longer or shorter."""
    knots = np.array([-first, 0.0, 1.0, 1e5, 1e5 + 1e-3])
    values = np.array([1.0, -1.0, 0.5, 2.0, 1.0])
    stream = SplineStream(lam=lam)
    for i in range(len(knots)):
        stream.append(knots[i], values[i])
        fitted = ExactSmoother(knots[: i + 1], lam=lam).evaluate(values[: i + 1], knots[: i + 1])
        assert relative_error(stream.values, fitted, values) <= EXACT


@pytest.mark.parametrize("lam", [0.0, 1e-60, 1e-6, 1.0, 1e6, 1e60, np.inf])
@pytest.mark.parametrize("first", [1e-35, 1e35])
def test_gaps_of_extreme_scales_equal_a_refit(lam, first, rng):
    knots = np.concatenate([[-first, 0.0], np.cumsum(10.0 ** rng.uniform(-4, 4, 30))])
    values = rng.standard_normal(len(knots))
    stream = SplineStream(lam=lam)
    for knot, value in zip(knots, values, strict=True):
        stream.append(knot, value)
    assert relative_error(stream.values, refit(knots, values, lam).values, values) <= EXACT


# --- the object --------------------------------------------------------------------------------


@pytest.mark.parametrize("trailing", [(), (0,), (1,), (4,), (2, 3)])
def test_columns_keep_their_shape(trailing, rng):
    values = rng.standard_normal((5, *trailing))
    stream = SplineStream(lam=0.1)
    assert stream.append([0, 1], values[:2]).shape == (2, *trailing)
    stream.append(2.5, values[2])
    stream.append([], values[:0])
    stream.append([3, 4], values[3:])
    assert len(stream) == 5
    assert stream.values.shape == (5, *trailing)
    assert stream.slope.shape == trailing
    full = refit(stream.knots, values, 0.1)
    assert relative_error(stream.values, full.values, values) <= EXACT
    assert (stream.spline().values == full.values).all()
    assert (stream.knots == [0.0, 1.0, 2.5, 3.0, 4.0]).all()
    assert (stream.weights == 1.0).all()


def test_columns_do_not_see_each_other(rng):
    knots, values = np.arange(200.0), rng.standard_normal((200, 2)) * [1e-8, 1e8]
    both, alone = SplineStream(lam=1.0), SplineStream(lam=1.0)
    for knot, row in zip(knots, values, strict=True):
        both.append(knot, row)
        alone.append(knot, row[0])
    assert relative_error(both.values[:, 0], alone.values, values[:, 0]) <= 50 * EPS


def test_float32_comes_back(rng):
    values = rng.standard_normal((40, 2)).astype(np.float32)
    stream = SplineStream(lam=1.0)
    for start in range(0, 40, 5):
        refreshed = stream.append(np.arange(start, start + 5), values[start : start + 5])
        assert refreshed.dtype == np.float32
    assert stream.values.dtype == stream.slope.dtype == stream.spline().values.dtype == np.float32
    full = refit(np.arange(40.0), values.astype(np.float64), 1.0).values
    assert relative_error(stream.values, full, values) <= np.finfo(np.float32).eps


def test_torch_tensors_come_back():
    torch = pytest.importorskip("torch")
    stream = SplineStream(lam=1.0)
    stream.append(torch.tensor([0.0, 1.0]), torch.tensor([[1.0], [2.0]]))
    refreshed = stream.append(2.0, torch.tensor([0.0]))
    assert refreshed.dtype == stream.values.dtype == torch.float32
    assert isinstance(stream.spline().values, torch.Tensor)
    full = refit([0.0, 1.0, 2.0], [1.0, 2.0, 0.0], 1.0).values
    np.testing.assert_allclose(refreshed[:, 0], full, rtol=1e-6)


@pytest.mark.parametrize("make", [np.asfortranarray, lambda a: np.repeat(a, 2, 0)[::2], list])
def test_layouts_and_read_only_arrays(make, rng):
    knots, values = np.arange(30.0), rng.standard_normal((30, 3))
    given_knots, given_values = make(knots), make(values)
    for one in (given_knots, given_values):
        if isinstance(one, np.ndarray):
            one.flags.writeable = False
    stream = SplineStream(lam=1.0)
    stream.append(given_knots, given_values)
    assert relative_error(stream.values, refit(knots, values, 1.0).values, values) <= EXACT
    assert len(append_knots.signatures) == 1


def test_what_is_given_and_what_comes_back_are_copies():
    knots, values = np.arange(4.0), np.array([0.0, 1.0, 0.0, 2.0])
    stream = SplineStream(lam=1.0)
    refreshed = stream.append(knots, values)
    expected = refit([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 0.0, 2.0], 1.0).values
    for mine in (knots, values, refreshed, stream.values, stream.knots, stream.weights):
        mine[:] = np.nan
    assert relative_error(stream.values, expected, expected) <= EXACT
    assert relative_error(stream.spline().values, expected, expected) <= EXACT


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s)), through_buffers]
)
def test_copies_go_on_by_themselves(duplicate, rng):
    values = rng.standard_normal((50, 2))
    stream = SplineStream(lam=0.2)
    stream.append(np.arange(40.0), values[:40])
    other = duplicate(stream)
    assert repr(other) == repr(stream)
    assert (other.values == stream.values).all()
    other.append(np.arange(40.0, 50.0), values[40:])
    assert len(stream) == 40
    stream.append(np.arange(40.0, 50.0), values[40:])
    assert (other.values == stream.values).all()


def test_repr_and_lam():
    stream = SplineStream(lam=np.float32(0.5))
    assert repr(stream) == "SplineStream(n=0, columns=0, lam=0.5)"
    stream.append([0.0, 1.0], np.zeros((2, 3)))
    assert repr(stream) == "SplineStream(n=2, columns=3, lam=0.5)"
    assert stream.lam == 0.5
    with pytest.raises(AttributeError):
        stream.lam = 1.0
    assert SplineStream(lam=1).values.shape == (0,)
    assert np.isnan(SplineStream(lam=1).slope)


# --- bad input ---------------------------------------------------------------------------------

BAD = [
    ([2.0], [0.0], None, ValueError, r"go on beyond the last one, 2.0, but knots\[0\] = 2.0"),
    (1.5, 0.0, None, ValueError, r"go on beyond the last one"),
    ([3.0, 3.0], [0.0, 0.0], None, ValueError, r"knots\[1\] = 3.0 follows knots\[0\]"),
    ([3.0, np.nan], [0.0, 0.0], None, ValueError, r"knots must be finite, but knots\[1\] = nan"),
    (np.inf, 0.0, None, ValueError, r"knots must be finite, but knots\[0\] = inf"),
    ([3.0, 4.0], [0.0, np.nan], None, ValueError, r"values\[1\] = nan"),
    (3.0, -np.inf, None, ValueError, r"values\[0\] = -inf"),
    (3.0, 1e300, None, ValueError, r"at most 1e\+200 in magnitude"),
    ([3.0, 4.0], [0.0, 0.0], [1.0, -1.0], ValueError, r"weights\[1\] = -1.0"),
    ([3.0, 4.0], [0.0, 0.0], [np.nan, 1.0], ValueError, r"weights must be finite"),
    ([3.0, 4.0], [0.0, 0.0], [1.0], ValueError, r"weights has 1 entries and there are 2 new"),
    (3.0, 0.0, 1e101, ValueError, r"weights may differ by a factor of 1e\+100"),
    (1e80, 0.0, None, ValueError, r"gap before knots\[0\] = 1e\+80 goes beyond"),
    ([3.0, 4.0], [0.0], None, ValueError, r"values has shape \(1,\) and 2 new knots need 2 values"),
    (
        [3.0],
        [[0.0, 1.0]],
        None,
        ValueError,
        r"values at a knot have shape \(2,\), and those so far",
    ),
    (3.0, [0.0], None, ValueError, r"values at a knot have shape \(1,\), and those so far \(\)"),
    ([[3.0]], [0.0], None, ValueError, r"knots must be one-dimensional"),
    ([3.0], 0.0, None, ValueError, r"values has shape \(\)"),
    (["a"], [0.0], None, TypeError, r"knots must hold real numbers"),
    ([3.0], [1j], None, TypeError, r"values must hold real numbers"),
    ([3.0], [0.0], [None], TypeError, r"weights must hold real numbers"),
]


@pytest.mark.parametrize(("knots", "values", "weights", "error", "text"), BAD)
def test_bad_input_is_refused_and_changes_nothing(knots, values, weights, error, text):
    stream, untouched = SplineStream(lam=1.0), SplineStream(lam=1.0)
    for one in (stream, untouched):
        one.append([0.0, 1.0, 2.0], [0.0, 1.0, 0.0])
    with pytest.raises(error, match=text):
        stream.append(knots, values, weights=weights)
    assert len(stream) == 3
    assert (stream.append(3.0, 1.0) == untouched.append(3.0, 1.0)).all()
    assert (stream.spline().values == untouched.spline().values).all()


def test_a_refused_first_append_fixes_no_columns():
    stream = SplineStream(lam=1.0)
    with pytest.raises(ValueError, match=r"values\[1, 2\] = nan"):
        stream.append([0.0, 1.0], [[0.0, 1.0, 2.0], [0.0, 1.0, np.nan]])
    assert len(stream) == 0
    assert stream.append([5.0, 6.0], [1.0, 2.0]).shape == (2,)


def test_no_weight_no_spline():
    stream = SplineStream(lam=1.0)
    with pytest.raises(ValueError, match="no point to fit"):
        stream.spline()
    stream.append([0.0, 1.0], [np.nan, np.nan], weights=[0.0, 0.0])
    with pytest.raises(ValueError, match="no point to fit"):
        stream.spline()
    refreshed = stream.append(2.0, 5.0)
    assert (refreshed == 5.0).all()
    assert len(refreshed) == 3
    assert (stream.spline()([0.0, 9.0]) == 5.0).all()


@pytest.mark.parametrize("lam", [-1.0, np.nan, "gcv", [1.0], None])
def test_bad_lam(lam):
    with pytest.raises((ValueError, TypeError), match="lam must"):
        SplineStream(lam=lam)


def test_a_copy_is_a_stream_of_its_own():
    stream = SplineStream(lam=1.0)
    stream.append([0.0, 1.0, 2.0], [0.0, 1.0, 0.0])
    other = copy.copy(stream)
    other.append(3.0, 5.0)
    assert (len(stream), len(other)) == (3, 4)
    np.testing.assert_array_equal(
        stream.values, Smoother([0.0, 1.0, 2.0], lam=1.0).fit([0, 1, 0]).values
    )
