"""The picture of comparisons: every code's error against the number of stragglers."""

from __future__ import annotations

from collections.abc import Sequence

from coded.comparison.outcome import Comparison
from coded.evaluation.plots import Errors, Figure, draw_errors


def draw_comparisons(comparisons: Sequence[Comparison]) -> Figure:
    """Draw a panel a function, with the codes that can decode every draw.

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
    >>> [axes.get_title() for axes in draw_comparisons([comparison]).axes]
    ['abs, K = 4, N = 8']
    """
    panels = {}
    for comparison in comparisons:
        setting = comparison.setting
        wrong = f", {setting.n_liars} wrong" if setting.n_liars else ""
        title = f"{comparison.name}, K = {setting.n_inputs}, N = {setting.n_workers}{wrong}"
        panels[title] = [
            Errors(
                row.code,
                [score.n_stragglers for score in row.scores if score.decoded == 1.0],
                [score.error for score in row.scores if score.decoded == 1.0],
            )
            for row in comparison.rows
            if row.scores
        ]
    return draw_errors(panels)
