"""The picture of a comparison: what every scheme keeps as more workers straggle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coded.errors import tell_error
from coded.extras import needing
from coded.runtime.result import CodedResult

with needing("plots need", "matplotlib", extra="demo"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

__all__ = ["Axes", "Curve", "Figure", "draw_curves", "draw_timeline"]

# Okabe and Ito's colours, told apart by the colour-blind too, each with a marker of its own.
_STYLES = (
    ("#E69F00", "v"),
    ("#009E73", "^"),
    ("#56B4E9", "s"),
    ("#CC79A7", "D"),
    ("#000000", "o"),
    ("#D55E00", "P"),
    ("#0072B2", "X"),
)


@dataclass(frozen=True, eq=False)
class Curve:
    """One scheme's means over the numbers of stragglers, with intervals.

    Attributes
    ----------
    name : str
        What the legend says.
    means : array_like, shape (m,)
        One a number of stragglers.
    half_widths : array_like, shape (m,)
        The band is ``means - half_widths`` to ``means + half_widths``.
    """

    name: str
    means: Sequence[float]
    half_widths: Sequence[float]


_LONGEST_REASON = 70  # letters


def draw_curves(
    counts: Sequence[int], panels: Mapping[str, Sequence[Curve]], *, title: str
) -> Figure:
    """Draw one panel a measure, with a curve and a band a scheme, against the stragglers.

    Touches no state of matplotlib's: no backend, no pyplot, no settings.

    Parameters
    ----------
    counts : sequence of int, shape (m,)
        Numbers of stragglers.
    panels : mapping of str to sequence of Curve
        Label of the vertical axis to its curves; equal places get equal colours. At most seven.
    title : str
        Of the whole figure.

    Returns
    -------
    Figure
        ``figure.savefig(path)`` writes it.

    Raises
    ------
    ImportError
        If matplotlib is not installed (on import of this module).
    ValueError
        If there are too many curves, or a curve has not one mean a number of stragglers.

    Examples
    --------
    >>> curve = Curve("copies", [0.0, 0.1], [0.0, 0.02])
    >>> figure = draw_curves([0, 5], {"error": [curve]}, title="K = 4, N = 12")
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['error']
    """
    for curves in panels.values():
        _check(counts, curves)
    figure = Figure(figsize=(5.4 * len(panels), 4.8), dpi=120, layout="constrained")
    figure.suptitle(title)
    for i, (label, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), i + 1)
        for j, curve in enumerate(curves):
            low, high = _band(curve)
            colour, marker = _STYLES[j]
            # Later curves are thinner, so that of two equal ones both are seen.
            axes.plot(
                counts,
                curve.means,
                color=colour,
                marker=marker,
                markersize=10 - j,
                linewidth=3.0 - 0.4 * j,
                label=curve.name,
            )
            axes.fill_between(counts, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.set_xlabel("stragglers")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    if panels:
        handles, names = figure.axes[0].get_legend_handles_labels()
        rows = -(-len(names) // 5)  # six names are wider than two panels
        ncols = -(-len(names) // rows)
        figure.legend(handles, names, loc="outside lower center", ncols=ncols, frameon=False)
    return figure


def draw_timeline(result: CodedResult) -> Figure:
    """Draw who answered when: a bar a worker, as long as its answer took.

    Parameters
    ----------
    result : CodedResult
        What `coded_map` gave.

    Returns
    -------
    Figure
        ``figure.savefig(path)`` writes it. Answers that were used are blue; who failed is
        marked by a cross and why; who was not waited for is grey up to the last answer.

    Raises
    ------
    ImportError
        If matplotlib is not installed (on import of this module).

    Examples
    --------
    >>> import numpy as np
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from coded import ReplicationScheme, coded_map
    >>> with ThreadPoolExecutor() as pool:
    ...     result = coded_map(np.sqrt, [1.0, 4.0], ReplicationScheme(2, 4), pool, wait_for=4)
    >>> len(draw_timeline(result).axes[0].patches)
    4
    """
    latencies = result.latencies
    last = max((float(latencies[n]) for n in result.responders), default=0.0)
    figure = Figure(figsize=(7.0, 1.2 + 0.16 * len(latencies)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    late = [int(n) for n in result.stragglers if n not in result.failures]
    axes.barh(result.responders, latencies[result.responders], color="#0072B2", label="answered")
    axes.barh(late, [last] * len(late), color="0.8", label="not waited for")
    failed = sorted(result.failures)
    axes.plot([0.0] * len(failed), failed, "x", color="#D55E00", label="failed", clip_on=False)
    for n in failed:
        reason = tell_error(result.failures[n])
        told = reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"
        axes.annotate(told, (0.0, n), (8, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_xlabel("seconds since submission")
    axes.set_ylabel("worker")
    axes.set_ylim(len(latencies) - 0.5, -0.5)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"{len(result.responders)} of {len(latencies)} answers used")
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    counts = {
        "answered": result.responders.size,
        "not waited for": len(late),
        "failed": len(failed),
    }
    names = [name for name, count in counts.items() if count]
    figure.legend(
        [handles[name] for name in names],
        names,
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    return figure


def _check(counts: Sequence[int], curves: Sequence[Curve]) -> None:
    """Check that every curve can be drawn."""
    if len(curves) > len(_STYLES):
        raise ValueError(
            f"a panel holds at most {len(_STYLES)} curves, got {len(curves)}; draw fewer schemes"
        )
    for curve in curves:
        if not len(curve.means) == len(curve.half_widths) == len(counts):
            raise ValueError(
                f"curve {curve.name!r} has {len(curve.means)} means and "
                f"{len(curve.half_widths)} half widths, but there are {len(counts)} counts; "
                "give one of each a count"
            )


def _band(curve: Curve) -> tuple[list[float], list[float]]:
    """Give the lower and the upper end of the intervals."""
    pairs = list(zip(curve.means, curve.half_widths, strict=True))
    return [mean - half for mean, half in pairs], [mean + half for mean, half in pairs]
