"""What a panel of the picture tells of a comparison: which codes as lines, which in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coded.comparison.outcome import ComparedCode, Comparison

MOST_LINES = 6  # more cannot be told apart where they cross
_EXACT = 1e-15  # a relative mean square of rounding errors
_EQUAL = 1e-6  # relative: two codes that do the same here
# Drawn wherever they serve, however they fare: plain copies, and the published BACC and LeTCC.
RIVALS = ("replication-nearest", "berrut", "letcc")


@dataclass(frozen=True)
class Line:
    """A code's errors at the numbers of stragglers where it estimates, and decodes every draw."""

    code: str
    counts: tuple[int, ...]
    errors: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """One comparison as it is drawn.

    Attributes
    ----------
    title : str
        The function and (K, N, S).
    n_workers, n_stragglers : int
        N and S.
    counts : tuple of int
        The numbers of stragglers that were measured.
    lines : tuple of Line
        At most `MOST_LINES`, best first.
    words : tuple of str
        The other codes: exact ones, equal ones, worse ones.
    """

    title: str
    n_workers: int
    n_stragglers: int
    counts: tuple[int, ...]
    lines: tuple[Line, ...]
    words: tuple[str, ...]


def read_panel(comparison: Comparison) -> Panel:
    """Choose the lines and the words for a comparison.

    Each code that can serve is told once. Codes that are exact wherever they decode are told in
    words, with the largest S up to which they decode whatever is lost; of the others the best
    at S and the published rivals are lines.

    Examples
    --------
    >>> from coded import compare
    >>> inputs, chosen = [0.0, 1.0, 2.0], ["lagrange", "berrut", "spline"]
    >>> comparison = compare(np.negative, inputs, 8, n_stragglers=2, degree=1, codes=chosen)
    >>> panel = read_panel(comparison)
    >>> [line.code for line in panel.lines]
    ['spline', 'berrut']
    >>> panel.words
    ('exact whatever is lost here: lagrange',)
    """
    setting = comparison.setting
    k, n, s = setting.n_inputs, setting.n_workers, setting.n_stragglers
    rows = [row for row in comparison.rows if row.scores]
    counts = tuple(score.n_stragglers for score in rows[0].scores) if rows else ()
    estimates = [row for row in rows if not _is_exact(row)]
    leaders, equals = _merge([_line(row) for row in estimates])
    drawn, left = _choose(leaders, s)

    words = _tell_exact([row for row in rows if _is_exact(row)], n)
    same = [f"as {code}: {', '.join(others)}" for code, others in equals.items() if others]
    if same:
        words.append(f"the same line {'; '.join(same)}")
    if left:
        behind = f"worse than {drawn[0].code}" if drawn else "not always an answer at S"
        words.append(f"{behind}: {', '.join(left)}")
    if not rows:
        words.append("no code can serve here")
    wrong = f", {setting.n_liars} wrong" if setting.n_liars else ""
    title = f"{comparison.name}, (K, N, S) = ({k}, {n}, {s}){wrong}"
    return Panel(title, n, s, counts, tuple(drawn), tuple(words))


def _is_exact(row: ComparedCode) -> bool:
    """Tell whether the code is exact wherever it decodes."""
    return all(score.error < _EXACT for score in row.scores if score.decoded > 0.0)


def _line(row: ComparedCode) -> Line:
    """Give the errors where every draw is decoded and not all is exact."""
    told = [score for score in row.scores if score.decoded == 1.0 and score.error >= _EXACT]
    counts = tuple(score.n_stragglers for score in told)
    return Line(row.code, counts, tuple(score.error for score in told))


def _merge(lines: Sequence[Line]) -> tuple[list[Line], dict[str, list[str]]]:
    """Give the lines that differ, in order, and the codes whose lines lie on each of them."""
    leaders: list[Line] = []
    equals: dict[str, list[str]] = {}
    for line in sorted(lines, key=lambda line: line.code not in RIVALS):
        for leader in leaders:
            if leader.counts == line.counts != () and np.allclose(
                leader.errors, line.errors, rtol=_EQUAL, atol=0.0
            ):
                equals[leader.code].append(line.code)
                break
        else:
            leaders.append(line)
            equals[line.code] = []
    return [line for line in lines if line.code in equals], equals


def _choose(lines: Sequence[Line], n_stragglers: int) -> tuple[list[Line], list[str]]:
    """Give the lines to draw, best first as they come, and the codes of the others."""
    # A line that has ended before S tells nothing of S; it may begin later.
    able = [line for line in lines if line.counts and line.counts[-1] >= n_stragglers]
    rivals = [line.code for line in able if line.code in RIVALS]
    others = [line.code for line in able if line.code not in RIVALS]
    chosen = {*rivals, *others[: MOST_LINES - len(rivals)]}
    return (
        [line for line in able if line.code in chosen],
        [line.code for line in lines if line.code not in chosen],
    )


def _tell_exact(rows: Sequence[ComparedCode], n_workers: int) -> list[str]:
    """Tell how far exact codes decode whatever is lost, those that last longest first."""
    always: list[str] = []
    by_limit: dict[int, list[str]] = {}
    for row in rows:
        unsure = [score.n_stragglers for score in row.scores if score.decoded < 1.0]
        if not unsure:
            always.append(row.code)
            continue
        sure = [score.n_stragglers for score in row.scores if score.n_stragglers < unsure[0]]
        promised = min(n_workers - (row.needs or n_workers), unsure[0] - 1)
        by_limit.setdefault(max([promised, *sure]), []).append(row.code)
    words = [f"exact whatever is lost here: {', '.join(always)}"] if always else []
    unable = by_limit.pop(-1, [])
    if by_limit:
        limits = sorted(by_limit, reverse=True)
        told = [f"S = {limit}: {', '.join(by_limit[limit])}" for limit in limits]
        words.append(f"exact up to {'; '.join(told)}")
    if unable:
        words.append(f"not always an answer, even at S = 0: {', '.join(unable)}")
    return words
