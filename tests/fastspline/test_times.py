"""Times as knots: seconds since the first one, points on the same clock, derivatives a second."""

import datetime as dt
import itertools
import pickle
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import interpolate

from fastspline import (
    Smoother,
    SplineStream,
    lam_for_df,
    make_smoothing_spline,
    resample,
    select_lam,
    smooth_grid,
    smooth_spline,
)

HOURS = np.array([0, 1, 2, 4, 5, 7, 8, 9])
SECONDS = 3600.0 * HOURS
START = np.datetime64("2026-03-01T12:00")
Y = np.array([0.0, 1.0, 0.5, 2.0, 1.0, 3.0, 2.5, 2.0])
LAM = 1e11
AT = 3600.0 * np.array([0.5, 3.0, 20.0])
DATES = START + HOURS * np.timedelta64(1, "h")
POINTS = START + (AT / 60).astype(int) * np.timedelta64(1, "m")


def zoned(dates):
    return pd.DatetimeIndex(dates).tz_localize("UTC").tz_convert("America/New_York")


FORMS = {
    "datetime64[h]": lambda dates: dates.astype("M8[m]"),
    "datetime64[ns]": lambda dates: dates.astype("M8[ns]"),
    "DatetimeIndex": pd.DatetimeIndex,
    "Series": pd.Series,
    "zoned index": zoned,
    "zoned Series": lambda dates: pd.Series(zoned(dates)),
    "DataArray": lambda dates: xr.DataArray(dates.astype("M8[ns]")),
    "Timestamps": lambda dates: list(pd.DatetimeIndex(dates)),
    "zoned Timestamps": lambda dates: list(zoned(dates)),
    "datetime": lambda dates: dates.astype("M8[us]").tolist(),
    "zoned datetime": lambda dates: [
        one.replace(tzinfo=dt.UTC) for one in dates.astype("M8[us]").tolist()
    ],
    "durations": lambda dates: dates - START,
    "TimedeltaIndex": lambda dates: pd.TimedeltaIndex(dates - START),
    "timedelta": lambda dates: (dates - START).tolist(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_times_of_every_form_are_seconds(form):
    knots, points = form(DATES), form(POINTS)
    curve, bare = smooth_spline(knots, Y, lam=LAM), smooth_spline(SECONDS, Y, lam=LAM)
    np.testing.assert_array_equal(curve.knots, SECONDS)
    for nu in range(4):
        np.testing.assert_array_equal(np.asarray(curve(points, nu)), bare(AT, nu))
    np.testing.assert_array_equal(curve(AT), bare(AT))  # seconds are such points too
    np.testing.assert_array_equal(np.asarray(curve.std(points)), bare.std(AT))
    np.testing.assert_array_equal(np.asarray(resample(knots, Y, points)), resample(SECONDS, Y, AT))
    operator = Smoother(SECONDS, lam=LAM).operator(AT)
    plan = pickle.loads(pickle.dumps(Smoother(knots, lam=LAM)))
    np.testing.assert_array_equal(np.asarray(plan.operator(points)(Y)), operator(Y))
    first, last = form(DATES[:1]), form(DATES[-1:])
    assert curve(np.asarray(first)[0]) == bare(0.0)
    area = curve.integrate(np.asarray(first)[0], np.asarray(last)[0])
    assert area == bare.integrate(0.0, SECONDS[-1])
    assert np.asarray(pickle.loads(pickle.dumps(curve))(points)).tolist() == bare(AT).tolist()


@pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")
def test_lam_has_the_unit_of_seconds_cubed():
    assert select_lam(DATES, Y) == select_lam(SECONDS, Y)
    assert lam_for_df(DATES, 3.5) == lam_for_df(SECONDS, 3.5)
    by_gcv, merged = smooth_spline(DATES, Y), smooth_spline(DATES, Y, duplicates="merge")
    assert by_gcv.lam == merged.lam == smooth_spline(SECONDS, Y).lam
    assert merged(POINTS).tolist() == by_gcv(POINTS).tolist()
    grid = np.outer(Y, Y)
    np.testing.assert_array_equal(
        smooth_grid([DATES, SECONDS], grid, lam=LAM), smooth_grid([SECONDS] * 2, grid, lam=LAM)
    )
    # What scipy's function reads, its namesake reads alike: dates count in their own unit.
    scipys = interpolate.make_smoothing_spline(DATES, Y, lam=LAM)
    np.testing.assert_array_equal(make_smoothing_spline(DATES, Y, lam=LAM).t, scipys.t)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_stream_counts_times_from_its_first_knot(form):
    times, stream, bare = form(DATES), SplineStream(lam=LAM), SplineStream(lam=LAM)
    one_by_one = list(times) if not hasattr(times, "dims") else list(times.values)
    for i in range(3):
        given = one_by_one[i] if i else form(DATES[:1])
        y = Y[i] if i else Y[:1]
        np.testing.assert_array_equal(stream.append(given, y), bare.append(SECONDS[i], Y[i]))
    stream = pickle.loads(pickle.dumps(stream))
    stream.append(form(DATES[3:6]), Y[3:6])
    stream.append(SECONDS[6:], Y[6:])  # seconds go on too
    bare.append(SECONDS[3:], Y[3:])
    np.testing.assert_array_equal(stream.knots, SECONDS)
    np.testing.assert_array_equal(stream.values, bare.values)
    curve = stream.spline()
    np.testing.assert_array_equal(np.asarray(curve(form(POINTS))), bare.spline()(AT))
    np.testing.assert_array_equal(curve(AT), bare.spline()(AT))


@pytest.mark.parametrize(
    ("first", "then", "text"),
    [
        (0.0, DATES[0], r"knots holds dates without .* and the knots are numbers"),
        (DATES[0], zoned(DATES)[1], r"dates with a time zone, and the knots are dates without"),
        (DATES[0], DATES[1] - START, r"durations, and the knots are dates without"),
        (DATES[0], "tomorrow", r"knots must hold real numbers"),
    ],
)
def test_a_stream_stays_with_the_kind_of_its_first_knot(first, then, text):
    stream = SplineStream(lam=LAM)
    with pytest.raises(ValueError, match="values"):
        stream.append(DATES[3], np.nan)  # refused, so that it decides nothing
    stream.append(first, 1.0)
    with pytest.raises(TypeError, match=text):
        stream.append(then, 2.0)
    with pytest.raises(ValueError, match=r"knots must be finite, but knots\[0\] = nan"):
        stream.append(np.datetime64("NaT") if first is DATES[0] else np.nan, 2.0)
    assert len(stream) == 1


def test_labels_are_the_times_as_they_were_given():
    index = zoned(DATES)
    frame = pd.DataFrame({"a": Y, "b": -Y}, index=index)
    curve = smooth_spline(frame.index, frame, lam=LAM)
    assert curve.values.index.equals(index)
    assert curve.values.index.tz == index.tz
    points = zoned(POINTS)
    assert curve(points).index.equals(points)
    assert resample(frame.index, frame, points).index.equals(points)
    assert curve(points[0]).index.tolist() == ["a", "b"]
    air = xr.DataArray(Y, dims="time", coords={"time": DATES.astype("M8[ns]")})
    at = resample(air.time, air, POINTS.astype("M8[ns]"), lam=LAM)
    np.testing.assert_array_equal(at.time, POINTS)
    assert at.sel(time="2026-03-01T15:00") == resample(SECONDS, Y, AT, lam=LAM)[1]


@pytest.mark.parametrize(
    ("knots", "points", "text"),
    [
        (HOURS, DATES, r"points holds dates without .* knots are numbers"),
        (DATES, DATES - START, r"durations, and the knots are dates without"),
        (DATES - START, DATES, r"dates without a time zone, and the knots are durations"),
        (DATES, zoned(DATES), r"dates with a time zone, and the knots are dates without"),
        (zoned(DATES), DATES, r"dates without a time zone, and the knots are dates with a"),
        (DATES, [START.item(), START.item().replace(tzinfo=dt.UTC)] * 4, r"with and without"),
        (DATES, [START.item(), 3.0] * 4, r"points holds times and other objects"),
        (HOURS * np.timedelta64(1, "M"), HOURS, r"knots has dtype timedelta64\[M\]"),
        (pd.period_range("2026", periods=8), HOURS, r"knots holds periods.* \.to_timestamp\(\)"),
        (pd.Series(pd.period_range("2026", periods=8)), HOURS, r" \.dt\.to_timestamp\(\)"),
        (DATES, pd.period_range("2026", periods=8, freq="D"), r"points holds periods"),
    ],
)
def test_times_of_another_kind_are_refused(knots, points, text):
    with pytest.raises(TypeError, match=text):
        resample(knots, Y, points)
    with pytest.raises(TypeError, match=text):
        smooth_spline(knots, Y, lam=LAM)(points)


def test_what_is_no_time_is_refused():
    knots = DATES.copy()
    knots[2] = np.datetime64("NaT")
    with pytest.raises(ValueError, match=r"knots must be .*knots\[2\] = nan"):
        smooth_spline(knots, Y, lam=LAM)
    with pytest.raises(ValueError, match=r"points must be finite, but points\[2\] = nan"):
        smooth_spline(DATES, Y, lam=LAM)(knots)
    listed = [*zoned(DATES[:-1]), pd.NaT]
    with pytest.raises(ValueError, match=r"points must be finite, but points\[7\] = nan"):
        smooth_spline(zoned(DATES), Y, lam=LAM)(listed)
    with pytest.raises(ValueError, match="knots is empty"):
        Smoother(DATES[:0], lam=LAM)
    with pytest.raises(ValueError, match="knots must be strictly ascending"):
        Smoother(DATES[::-1], lam=LAM)
    with pytest.raises(TypeError, match=r"values must hold real numbers.*count it in a unit"):
        smooth_spline(HOURS, DATES, lam=LAM)


def test_dates_that_nanoseconds_cannot_hold():
    curve = smooth_spline(DATES.astype("M8[ns]"), Y, lam=LAM)
    year_3000 = np.datetime64("3000-01-01", "D")
    seconds = (year_3000 - START.astype("M8[D]")).astype(int) * 86400.0 - 43200.0
    assert curve(year_3000) == curve(seconds)
    assert smooth_spline(DATES.astype("M8[Y]")[:1], [1.0], lam=0.0)(year_3000) == 1.0


def test_times_beyond_what_numpy_counts():
    far = np.array([0, 2**62]).astype("M8[D]")
    with pytest.raises(ValueError, match=r"within 2\^63 seconds of 1970, but one is \d"):
        Smoother(far, lam=LAM)
    hours = np.array([0, 2**60, 2**62]).astype("m8[25h]")
    with pytest.raises(ValueError, match=r"within 2\^63 seconds of 1970"):
        Smoother(hours, lam=LAM)


@given(
    st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=2, max_size=6, unique=True),
    st.sampled_from(["s", "ms", "us", "ns", "ps", "as"]),
)
@example([-(2**62), 2**62], "s")
@example([1 - 2**63, 2**63 - 1], "s")
@example([1 - 2**63, 2**63 - 1], "ns")
def test_seconds_are_right_to_the_last_digits(ticks, unit):
    ordered = sorted(ticks)
    dates = np.array(ordered).astype(f"M8[{unit}]")
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "as": 10**18}[unit]
    exact = [Fraction(one - ordered[0], per_second) for one in ordered]
    if min(b - a for a, b in itertools.pairwise(exact)) > exact[-1] * Fraction(1, 10**14):
        counted = Smoother(dates, lam=1.0).knots
        for ours, true in zip(counted.tolist(), exact, strict=True):
            assert abs(Fraction(ours) - true) <= true / 2**52 + Fraction(1, 2**52)
