import numpy as np
import pytest

from coded import compare
from coded.comparison.functions import bundled
from coded.comparison.outcome import ComparedCode, Comparison, Score
from coded.comparison.panels import MOST_LINES, RIVALS, Line, read_panel
from coded.schemes.registry import Setting

COUNTS = (0, 2, 4, 6)
ALWAYS = (1.0,) * 4


def a_row(code, errors, decoded=ALWAYS, needs=None):
    """A code's errors at 0, 2, 4 and 6 stragglers, and the shares of draws that it decodes."""
    scores = tuple(
        Score(count, share, error if share else np.nan, 0.0, None, 0.0)
        for count, share, error in zip(COUNTS, decoded, errors, strict=True)
    )
    return ComparedCode(code, code, "", needs, scores, 0.0, 0.0, 0.0)


def panel_of(*rows, n_stragglers=4):
    return read_panel(Comparison("f", Setting(4, 12, n_stragglers), 1.0, rows))


def drawn(panel):
    return [line.code for line in panel.lines]


def told(panel):
    """The codes that the words tell, as "what: one, two; what: three"."""
    parts = "; ".join(panel.words).split("; ")
    return [code for part in parts if part for code in part.partition(": ")[2].split(", ")]


@pytest.mark.parametrize("n_liars", [0, 1])
def test_every_code_that_can_serve_is_told_once(n_liars):
    problem = bundled("polynomial", 4)
    comparison = compare(
        problem.fn, problem.inputs, 14, n_stragglers=3, n_liars=n_liars, degree=2, repeats=2
    )
    panel = read_panel(comparison)
    serving = sorted(row.code for row in comparison.rows if row.scores)
    assert len(serving) > MOST_LINES
    assert sorted(drawn(panel) + told(panel)) == serving


def test_the_title_names_function_setting_and_liars():
    comparison = Comparison("f", Setting(4, 12, 3, n_liars=2), 1.0, ())
    assert read_panel(comparison).title == "f, (K, N, S) = (4, 12, 3), 2 wrong"


def test_the_best_are_lines_and_the_published_ones_wherever_they_come():
    best = [a_row(f"code-{i}", [0.1 * i] * 4) for i in range(1, 9)]
    panel = panel_of(*best, *(a_row(code, [7.0 + i] * 4) for i, code in enumerate(RIVALS)))
    assert MOST_LINES <= 8
    assert drawn(panel) == ["code-1", "code-2", "code-3", *RIVALS]
    assert panel.words == ("worse than code-1: code-4, code-5, code-6, code-7, code-8",)


def test_a_line_starts_where_its_code_is_no_longer_exact():
    panel = panel_of(a_row("spline", [0.0, 1e-30, 0.1, 0.2]))
    assert panel.lines == (Line("spline", (4, 6), (0.1, 0.2)),)
    assert panel.counts == COUNTS


def test_a_line_ends_where_draws_are_lost():
    decoded = (1.0, 1.0, 1.0, 0.5)
    panel = panel_of(a_row("approxifer", [0.1, 0.2, 0.3, 0.4], decoded))
    assert panel.lines == (Line("approxifer", (0, 2, 4), (0.1, 0.2, 0.3)),)


def test_a_line_that_ends_before_s_is_told_in_words():
    ended = a_row("replication", [0.1, 0.2, 0.3, 0.4], (1.0, 1.0, 0.9, 0.5))
    assert panel_of(ended).lines == ()
    assert panel_of(ended).words == ("not always an answer at S: replication",)
    panel = panel_of(a_row("spline", [0.5] * 4), ended)
    assert drawn(panel) == ["spline"]
    assert panel.words == ("worse than spline: replication",)


def test_codes_that_never_always_answer_are_not_called_equal():
    rows = [a_row(code, [0.1] * 4, (0.9, 0.8, 0.7, 0.6)) for code in ("replication", "product")]
    assert panel_of(*rows).words == ("not always an answer at S: replication, product",)


def test_equal_lines_are_drawn_once_under_the_published_name():
    errors = np.array([0.1, 0.2, 0.3, 0.4])
    panel = panel_of(
        a_row("approxifer", errors),
        a_row("berrut", errors * (1 + 1e-9)),
        a_row("berrut-first", errors * 1.01),
        a_row("kernel", errors * 2),
        a_row("kernel-labels", errors * 2),
    )
    assert drawn(panel) == ["berrut", "berrut-first", "kernel"]
    assert panel.words == ("the same line as berrut: approxifer; as kernel: kernel-labels",)


def test_exact_codes_are_told_by_how_many_losses_they_bear():
    three = (1.0, 1.0, 0.0, 0.0)
    panel = panel_of(
        a_row("lagrange", [0.0, 1e-28, 1e-25, 1e-20]),
        a_row("mds", [0.0] * 4, (1.0, 1.0, 1.0, 0.2), needs=7),  # promised between 4 and 6
        a_row("product", [0.0] * 4, three, needs=12),  # 2 by what was measured
        a_row("replication", [0.0] * 4, three),
        a_row("parity", [0.0] * 4, (0.9, 0.5, 0.0, 0.0), needs=12),
    )
    assert panel.lines == ()
    assert panel.words == (
        "exact whatever is lost here: lagrange",
        "exact up to S = 5: mds; S = 2: product, replication",
        "not always an answer, even at S = 0: parity",
    )


def test_a_promise_is_not_believed_against_what_was_measured():
    lost = a_row("mds", [0.0] * 4, (1.0, 1.0, 0.9, 0.0), needs=2)
    assert panel_of(lost).words == ("exact up to S = 3: mds",)


def test_without_a_code_that_serves_the_words_say_so():
    panel = panel_of(ComparedCode("mds", "", "", None, (), 0.0, 0.0, 0.0, refused="not linear"))
    assert (panel.lines, panel.words) == ((), ("no code can serve here",))
