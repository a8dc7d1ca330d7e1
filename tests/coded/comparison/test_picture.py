from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from coded.comparison.outcome import ComparedCode, Comparison, Score
from coded.comparison.panels import MOST_LINES
from coded.comparison.picture import draw_comparisons, spread
from coded.schemes import codes
from coded.schemes.registry import Setting

COUNTS = (0, 4, 8, 12)


def a_row(code, error, decoded=1.0):
    scores = tuple(Score(n, decoded, error * (1 + n), 0.0, None, 0.0) for n in COUNTS)
    return ComparedCode(code, code, "", None, scores, 0.0, 0.0, 0.0)


def a_comparison(*rows, name="f"):
    return Comparison(name, Setting(8, 16, 4), 1.0, rows)


def drawn(axes):
    """The lines of codes, without the one that marks S."""
    return [line for line in axes.lines if not line.get_label().startswith("_")]


def names(axes):
    """The texts at the ends of lines."""
    labels = {line.get_label() for line in drawn(axes)}
    return [text for text in axes.texts if text.get_text() in labels]


def tick_labels(axes):
    ticks = [tick for axis in (axes.xaxis, axes.yaxis) for tick in axis.findobj(Tick)]
    return {label for tick in ticks for label in (tick.label1, tick.label2)}


def test_lines_are_named_in_their_colours_and_there_is_no_legend():
    rows = [a_row("spline", 0.1), a_row("kernel", 0.2), a_row("letcc", 0.3)]
    figure = draw_comparisons([a_comparison(*rows)])
    (axes,) = figure.axes
    lines = {line.get_label(): to_hex(line.get_color()) for line in drawn(axes)}
    assert {text.get_text(): to_hex(text.get_color()) for text in names(axes)} == lines
    assert len(set(lines.values())) == 3
    assert figure.legends == []
    assert axes.get_legend() is None
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[n, 0.1 * (1 + n)] for n in COUNTS])


def test_a_code_looks_alike_in_all_panels():
    one = a_comparison(a_row("spline", 0.1), a_row("mine", 0.2), a_row("yours", 0.2001))
    other = a_comparison(a_row("yours", 0.1), a_row("theirs", 0.2), a_row("spline", 0.3))
    left, right = draw_comparisons([one, other]).axes

    def looks(axes):
        return {line.get_label(): (line.get_color(), line.get_linestyle()) for line in drawn(axes)}

    assert looks(left)["spline"] == looks(right)["spline"]
    assert looks(left)["yours"] == looks(right)["yours"] != looks(left)["mine"]


def test_what_leads_to_the_name_of_a_line_that_ends_early_is_no_line():
    whole = a_row("spline", 0.1)
    *most, last = whole.scores
    early = replace(whole, code="berrut", scores=(*most, replace(last, decoded=0.5)))
    (axes,) = draw_comparisons([a_comparison(replace(whole, code="letcc"), early)]).axes
    leaders = {text.get_text(): text.arrow_patch.get_linestyle() for text in names(axes)}
    assert leaders["letcc"] == "-"
    assert leaders["berrut"] != "-"


@pytest.mark.parametrize("first", [0, 6, 12])
def test_no_text_lies_on_another_or_outside_the_picture(first):
    every = [*codes()][first:] + [*codes()][:first]
    crowded = a_comparison(
        # So many codes that differ by little, and so many exact ones.
        *(a_row(code, 1.0 + 1e-3 * i) for i, code in enumerate(every[:8])),
        *(a_row(code, 0.0, decoded=0.5) for code in every[8:]),
        name="LeNet5 on digits",
    )
    figure = draw_comparisons([crowded, crowded, a_comparison(a_row(every[0], 0.1))])
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    assert [len(names(axes)) for axes in figure.axes] == [MOST_LINES, MOST_LINES, 1]
    numbers = {text for axes in figure.axes for text in tick_labels(axes)}  # some are not drawn
    texts = [text for text in figure.findobj(Text) if text.get_text() and text not in numbers]
    # Of an annotation's extent, the arrow is no part.
    boxes = [(text.get_text(), Text.get_window_extent(text, renderer)) for text in texts]
    for text, box in boxes:
        assert min(box.x0, box.y0) >= 0.0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    for (one, box), (other, another) in combinations(boxes, 2):
        assert not box.overlaps(another), (one, other)


def test_words_are_broken_into_lines_between_names_only():
    codes_told = [f"a-name-of-{i}-parts" for i in range(9)]
    rows = [a_row(code, 0.0) for code in codes_told]
    (axes,) = draw_comparisons([a_comparison(*rows)]).axes
    words = axes.texts[0].get_text()
    assert "\n" in words
    assert all(code in words for code in codes_told)


def test_without_a_code_that_serves_there_is_an_empty_panel(tmp_path):
    refused = ComparedCode("mds", "", "", None, (), 0.0, 0.0, 0.0, refused="not linear")
    figure = draw_comparisons([a_comparison(refused)])
    assert figure.axes[0].texts[0].get_text() == "no code can serve here"
    figure.savefig(tmp_path / "empty.png")


@given(
    st.lists(st.floats(-50.0, 200.0), max_size=9),
    st.floats(1.0, 20.0),
)
def test_places_are_spread_by_a_gap_in_their_order(places, gap):
    moved = spread(places, gap, 180.0)
    order = np.argsort(places, kind="stable")
    assert (np.diff(moved[order]) >= gap - 1e-9).all()
    assert (moved >= 0.0).all()
    assert (moved <= 180.0 + 1e-9).all()


def test_places_far_enough_apart_stay_and_close_ones_part_evenly():
    np.testing.assert_allclose(spread([90.0, 10.0, 50.0], 13.0, 100.0), [90.0, 10.0, 50.0])
    np.testing.assert_allclose(spread([52.0, 48.0, 80.0], 10.0, 100.0), [55.0, 45.0, 80.0])
