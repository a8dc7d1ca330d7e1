"""The picture of comparisons: a panel each, lines named where they end, exact codes in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression

from coded.comparison.outcome import Comparison
from coded.comparison.panels import Line, Panel, read_panel
from coded.evaluation.plots import Axes, Figure

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastspline.arrays import FloatArray

# One look for a code in all panels. Okabe and Ito's colours, told apart by the colour-blind too;
# codes of a family share one, and differ by dashes.
_LOOKS: Mapping[str, tuple[str, str]] = {
    "spline": ("#0072B2", "-"),
    "kernel": ("#D55E00", "-"),
    "kernel-labels": ("#D55E00", "--"),
    "replication-nearest": ("#009E73", "-"),
    "replication-mean": ("#009E73", "--"),
    "replication": ("#009E73", ":"),
    "letcc": ("#CC79A7", "-"),
    "berrut": ("#000000", "-"),
    "berrut-first": ("#000000", "--"),
    "approxifer": ("#E69F00", "-"),
    "lagrange": ("#56B4E9", "-"),
    "analog-lagrange": ("#56B4E9", "--"),
    "analog-lagrange-private": ("#56B4E9", ":"),
}
_OTHER = "#666666"
_DASHES = ("-", "--", ":", "-.")

# Inches. A panel from top to bottom: title, words, plot, label; the codes' names right of the plot.
_WIDTH, _LEFT, _NAMES = 5.6, 0.72, 1.95  # the longest name of a code fits
_TITLE, _WORDS, _PLOT, _BELOW = 0.42, 0.17, 2.3, 0.62
_NOTE_HEIGHT = 0.45
_LETTERS = 76  # of a line of words
_NAME_GAP = 13.0  # points between two names
_NOTE = (
    "Error: mean square of the error over the variance of f; 1 is as far off as the mean of f. "
    "A line starts where its code is no longer exact, and ends where not every loss can be "
    "decoded. Codes compared that a panel does not name cannot serve there."
)


def draw_comparisons(comparisons: Sequence[Comparison]) -> Figure:
    """Draw a panel a function: errors against the number of lost workers.

    A few codes are lines, named at their right ends: the best at S, plain copies and the
    published ones. The others are told in words, and above all those that are exact.

    Parameters
    ----------
    comparisons : sequence of Comparison
        What `compare` gave.

    Returns
    -------
    Figure
        ``figure.savefig(path)`` writes it.

    Raises
    ------
    ImportError
        If matplotlib is not installed (on import of this module).

    Examples
    --------
    >>> from coded import compare
    >>> inputs = [0.0, 1.0, 2.0, 3.0]
    >>> comparison = compare(abs, inputs, 8, n_stragglers=2, codes=["berrut"], name="abs")
    >>> [axes.get_title(loc="left") for axes in draw_comparisons([comparison]).axes]
    ['abs, (K, N, S) = (4, 8, 2)']
    """
    panels = [read_panel(comparison) for comparison in comparisons]
    looks = _find_looks(panels)
    columns = max(min(len(panels), 2), 1)
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    heads = [_TITLE + _WORDS * max(len(_wrap(panel.words)) for panel in row) for row in rows]
    width = _WIDTH * columns
    height = sum(heads) + len(rows) * (_PLOT + _BELOW) + _NOTE_HEIGHT
    figure = Figure(figsize=(width, height), dpi=110)
    y = height
    for row, head in zip(rows, heads, strict=True):
        y -= head + _PLOT
        for i, panel in enumerate(row):
            x = i * _WIDTH + _LEFT
            plot = _WIDTH - _LEFT - _NAMES
            axes = figure.add_axes((x / width, y / height, plot / width, _PLOT / height))
            _draw(axes, panel, looks)
            _write(axes, panel, 72 * head)
        y -= _BELOW
    note = "\n".join(wrap(_NOTE, _LETTERS * columns))
    figure.text(0.14 / width, 0.1 / height, note, fontsize=9, color="0.3")
    return figure


def _wrap(words: Sequence[str]) -> list[str]:
    """Break the words into lines, never inside the name of a code or within ``S = 7``."""
    return [
        line
        for text in words
        for line in wrap(
            text.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"),
            _LETTERS,
            break_on_hyphens=False,
            subsequent_indent="    ",
        )
    ]


def _draw(axes: Axes, panel: Panel, looks: Mapping[str, tuple[str, str]]) -> None:
    """Draw the lines of a panel."""
    axes.set_yscale("log")
    for line in panel.lines:
        colour, dashes = looks[line.code]
        axes.plot(
            line.counts,
            line.errors,
            color=colour,
            linestyle=dashes,
            linewidth=1.7,
            marker="o",
            markersize=3.5,
            label=line.code,
        )
    last = panel.counts[-1] if panel.counts else 1
    axes.set_xlim(-0.02 * last, 1.02 * last)
    axes.set_xlabel(f"workers lost of N = {panel.n_workers}", fontsize=9.5)
    axes.set_ylabel("error / variance of f", fontsize=9.5)
    axes.tick_params(labelsize=9)
    axes.locator_params(axis="x", integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    _name(axes, panel.lines, looks)


def _write(axes: Axes, panel: Panel, head: float) -> None:
    """Write title and words into the so many points above the plot, and mark S."""
    left = -_LEFT / (_WIDTH - _LEFT - _NAMES)
    axes.set_title(
        panel.title, pad=head - 18, loc="left", x=left + 0.04, fontsize=11, fontweight="bold"
    )
    axes.annotate(
        "\n".join(_wrap(panel.words)),
        (left + 0.04, 1.0),
        (0.0, head - 22),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9,
        color="0.25",
        va="top",
    )
    axes.axvline(panel.n_stragglers, color="0.7", linewidth=1.0, zorder=0)
    axes.annotate(
        "S",
        (panel.n_stragglers, 0.0),
        (3.0, 3.0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        fontsize=9.5,
        color="0.4",
    )


def _find_looks(panels: Sequence[Panel]) -> dict[str, tuple[str, str]]:
    """Give every code its colour and dashes: grey ones where it is none of those above."""
    drawn = {line.code for panel in panels for line in panel.lines}
    others = sorted(drawn - _LOOKS.keys())
    return {
        **_LOOKS,
        **{code: (_OTHER, _DASHES[i % len(_DASHES)]) for i, code in enumerate(others)},
    }


def _name(axes: Axes, lines: Sequence[Line], looks: Mapping[str, tuple[str, str]]) -> None:
    """Write each code's name right of its line, in its colour."""
    height = 72 * _PLOT
    low, high = np.log10(axes.get_ylim())
    ends = height * (np.log10([line.errors[-1] for line in lines]) - low) / (high - low)
    for line, place in zip(lines, spread(ends, _NAME_GAP, height), strict=True):
        colour, dashes = looks[line.code]
        ends_early = line.counts[-1] < max(other.counts[-1] for other in lines)
        axes.annotate(
            line.code,
            (line.counts[-1], line.errors[-1]),
            (1.06, place),
            textcoords=("axes fraction", "axes points"),
            fontsize=9,
            fontweight="bold",
            color=colour,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linestyle": (0.0, (1.0, 4.0)) if ends_early else dashes,  # no more data
                "linewidth": 1.0,
                "shrinkA": 0.0,
                "shrinkB": 0.0,
                "relpos": (0.0, 0.5),
            },
            annotation_clip=False,
        )


def spread(places: ArrayLike, gap: float, length: float) -> FloatArray:
    """Move places apart, as little as their squares allow, so that each two are a gap apart.

    Minimises the sum of squared moves with the order kept: an isotonic regression of the places
    less what the gaps alone take up; then inside [0, length], where that is long enough.
    """
    wanted = np.asarray(places, dtype=float)
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(wanted.size)
    room = max(length - gap * max(wanted.size - 1, 0), 0.0)
    moved = np.empty(wanted.size)
    if wanted.size:
        moved[order] = np.clip(isotonic_regression(wanted[order] - steps).x, 0.0, room) + steps
    return moved
