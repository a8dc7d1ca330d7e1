"""How a curve is shown: its picture, and its table in notebooks."""

import subprocess
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.dates import num2date
from matplotlib.figure import Figure

from fastspline import DegreesOfFreedom, smooth_spline

X = np.linspace(0.0, 3.0, 30)
Y = np.stack([np.sin(2.0 * X), np.cos(X)], axis=1)
Y = Y + 0.1 * np.random.default_rng(0).standard_normal(Y.shape)
LAM = 0.01


def axes():
    return Figure().subplots()


def drawn_on(ax):
    """The curves and the dots of a picture as (x, y), its bands as vertices, its legend."""
    lines = [line.get_xydata() for line in ax.lines if line.get_marker() == "None"]
    dots = [line.get_xydata() for line in ax.lines if line.get_marker() == "."]
    bands = [band.get_paths()[0].vertices for band in ax.collections]
    assert all(isinstance(band, PolyCollection) for band in ax.collections)
    return lines, dots, bands, [text.get_text() for text in ax.get_legend().get_texts()]


def test_one_column_is_drawn_with_its_values_and_its_band():
    curve, ax = smooth_spline(X, Y[:, 0], lam=LAM), axes()
    assert curve.plot(ax, level=0.8) is ax
    (line,), (dots,), (band,), legend = drawn_on(ax)
    np.testing.assert_allclose(line[:, 1], curve(line[:, 0]), rtol=1e-13)
    assert line[[0, -1], 0].tolist() == X[[0, -1]].tolist()
    np.testing.assert_array_equal(dots, np.stack([X, Y[:, 0]], axis=1))
    lower, upper = curve.interval(X[0], level=0.8)
    assert {lower.item(), upper.item()} <= set(band[:, 1].tolist())
    assert legend == ["curve", "values", "80 % band"]


def test_points_may_be_chosen_beyond_the_knots():
    curve, ax = smooth_spline(X, Y[:, 0], lam=LAM), axes()
    curve.plot(ax, points=[4.0, -1.0, 2.0])
    (line,), _, _, _ = drawn_on(ax)
    np.testing.assert_array_equal(line[:, 0], [-1.0, 2.0, 4.0])
    np.testing.assert_array_equal(line[:, 1], curve([-1.0, 2.0, 4.0]))


@pytest.mark.parametrize("axis", [0, 1])
def test_columns_are_drawn_in_their_order_with_their_names(axis):
    frame = pd.DataFrame(Y, columns=["north", "south"])
    given = frame if axis == 0 else frame.T
    curve, ax = smooth_spline(X, given, lam=[LAM, 10 * LAM], axis=axis), axes()
    curve.plot(ax)
    lines, dots, bands, legend = drawn_on(ax)
    assert legend == ["north", "south"]
    assert len(bands) == 2
    for j, name in enumerate(legend):
        alone = smooth_spline(X, frame[name], lam=[1, 10][j] * LAM)
        np.testing.assert_allclose(lines[j][:, 1], alone(lines[j][:, 0]), rtol=1e-12)
        np.testing.assert_array_equal(dots[j][:, 1], frame[name])
    colors = [line.get_color() for line in ax.lines]
    assert colors[0] == colors[1] != colors[2] == colors[3]


def test_values_are_those_that_count_where_they_were_given():
    x, y = [0.0, 1.0, 1.0, 2.0, 3.0, 4.0], np.array([0.0, 1.0, 3.0, np.nan, 9.0, 1.0])
    weights = [1.0, 1.0, 1.0, 1.0, 0.0, 1.0]
    curve = smooth_spline(x, y, weights=weights, lam=0.1, duplicates="merge", missing="omit")
    ax = axes()
    curve.plot(ax)
    _, (dots,), _, _ = drawn_on(ax)
    assert dots.tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 3.0], [4.0, 1.0]]
    gappy = Y.copy()
    gappy[3, 1] = np.nan
    ax = axes()
    smooth_spline(X, gappy, lam=LAM, missing="omit").plot(ax)
    _, dots, _, _ = drawn_on(ax)
    assert [len(one) for one in dots] == [30, 29]


@pytest.mark.parametrize("given", [{"lam": 0.0}, {"lam": 0.0, "bc": "periodic"}])
def test_a_curve_that_interpolates_has_no_band(given):
    ax = axes()
    smooth_spline(X, Y[:, 0], **given).plot(ax)
    assert drawn_on(ax)[2:] == ([], ["curve", "values"])


def test_a_level_that_is_none_is_refused_as_for_a_band():
    with pytest.raises(ValueError, match="level must"):
        smooth_spline(X, Y[:, 0], lam=LAM).plot(axes(), level=2.0)


def test_two_values_have_no_band():
    ax = axes()
    smooth_spline(X[:2], Y[:2, 0], lam=1.0).plot(ax)
    assert drawn_on(ax)[2:] == ([], ["curve", "values"])


def test_dates_are_drawn_as_dates_and_durations_as_seconds():
    dates = np.datetime64("2026-03-01") + np.arange(30) * np.timedelta64(1, "D")
    ax = axes()
    smooth_spline(dates, Y[:, 0], lam=DegreesOfFreedom(5)).plot(ax)
    (line,), (dots,), _, _ = drawn_on(ax)
    for shown in (line, dots):
        assert num2date(shown[0, 0]).isoformat() == "2026-03-01T00:00:00+00:00"
        assert num2date(shown[-1, 0]).isoformat() == "2026-03-30T00:00:00+00:00"
    ax = axes()
    smooth_spline(dates - dates[0], Y[:, 0], lam=DegreesOfFreedom(5)).plot(ax)
    assert ax.get_xlabel() == "seconds"
    assert drawn_on(ax)[0][0][-1, 0] == 29 * 86400.0


def test_tensors_and_complex_values_are_drawn():
    ax, again = axes(), axes()
    smooth_spline(X, torch.from_numpy(Y[:, 0]), lam=LAM).plot(ax)
    smooth_spline(X, Y[:, 0] + 1j * Y[:, 1], lam=LAM).plot(again)
    expected, _, band, _ = drawn_on(ax)
    lines, dots, bands, legend = drawn_on(again)
    np.testing.assert_allclose(lines[0], expected[0], rtol=1e-13)
    np.testing.assert_allclose(bands[0], band[0], rtol=1e-12)
    np.testing.assert_array_equal(dots[1][:, 1], Y[:, 1])
    assert legend == ["0", "1"]


@pytest.mark.parametrize("columns", [0, 11])
def test_too_many_columns_are_refused(columns):
    curve = smooth_spline(X, np.ones((30, columns)) * X[:, np.newaxis], lam=LAM)
    with pytest.raises(ValueError, match=f"{columns} columns .*at most 10"):
        curve.plot(axes())


def test_without_axes_the_current_ones_are_taken():
    program = (
        "import matplotlib; matplotlib.use('Agg')\n"
        "import fastspline, sys\n"
        "from matplotlib import pyplot\n"
        "curve = fastspline.smooth_spline(range(9), [float(i % 3) for i in range(9)], lam=1.0)\n"
        "assert curve.plot() is pyplot.gca()\n"
        "sys.modules['matplotlib'] = None\n"
        "try:\n    curve.plot()\nexcept ImportError as error:\n    print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120
    )
    assert 'plots need matplotlib; install the extra "plot"' in told.stdout


# --- in notebooks --------------------------------------------------------------------------------


def read_html(curve):
    """The rows of the table, and the polylines of the sketch as (x, y)."""
    tree = ET.fromstring(curve._repr_html_())
    rows = {row[0].text: row[1].text for row in tree.iter("tr")}
    lines = [
        np.array([point.split(",") for point in line.get("points").split()], float)
        for line in tree.iter("polyline")
    ]
    return rows, lines


def test_a_table_tells_what_a_curve_is():
    curve = smooth_spline(X, Y, lam=[0.25, 2.0], bc=("slope", 1.0, 0.0))
    rows, lines = read_html(curve)
    assert rows["knots"] == "30, from 0 to 3"
    assert rows["columns"] == "2"
    assert rows["lam"] == "0.25 to 2"
    low, high = rows["degrees of freedom"].split(" to ")
    assert [float(low), float(high)] == pytest.approx(sorted(curve.df), rel=1e-3)
    assert rows["ends"] == "('slope', 1.0, 0.0)"
    assert len(lines) == 2
    for j, line in enumerate(lines):  # the higher the curve, the less its y, between 2 and 48
        expected = curve(np.linspace(0.0, 3.0, len(line)))
        span = expected.max() - expected.min()
        high = 48.0 - 46.0 * (expected[:, j] - expected.min()) / span
        np.testing.assert_allclose(line[:, 1], high, atol=0.051)
        assert line[[0, -1], 0].tolist() == [2.0, 198.0]


@pytest.mark.parametrize(
    ("knots", "text"),
    [
        (
            np.datetime64("2026-03-01") + np.arange(3) * np.timedelta64(12, "h"),
            "3, from 2026-03-01T00:00:00 to 2026-03-02T00:00:00",
        ),
        (np.arange(3) * np.timedelta64(90, "s"), "3, from 0 s to 180 s"),
    ],
)
def test_a_table_tells_dates(knots, text):
    assert read_html(smooth_spline(knots, [0.0, 1.0, 0.0], lam=1.0))[0]["knots"] == text


@pytest.mark.parametrize("values", [np.zeros((30, 0)), np.ones(30), 1e300 * Y, Y[:, 0] + 1j])
def test_any_curve_has_a_table(values):
    rows, lines = read_html(smooth_spline(X, values, lam=1.0))
    assert rows["knots"].startswith("30,")
    assert all(np.isfinite(line).all() for line in lines)
    read_html(smooth_spline([1.0], [2.0], lam=1.0))
