"""What a comparison found: a row a code, best first, and its tables and words."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from coded.schemes.registry import Setting

_NOISE = 1e-20  # a relative mean square of rounding errors alone


@dataclass(frozen=True)
class Score:
    """What one code keeps when so many workers are lost.

    Attributes
    ----------
    n_stragglers : int
        S.
    decoded : float
        The share of draws that could be decoded; the other numbers are of these.
    error, half_width : float
        Mean square of the error over the variance of f, with its 95 % interval; nan where no
        draw could be decoded.
    accuracy : float or None
        Relative accuracy, where there are labels.
    exact : float
        The share of outputs that are exact answers.
    """

    n_stragglers: int
    decoded: float
    error: float
    half_width: float
    accuracy: float | None
    exact: float


@dataclass(frozen=True)
class ComparedCode:
    """One row of a comparison.

    Attributes
    ----------
    code : str
        Name of the code, a key of ``coded.schemes.codes()``.
    scheme : str
        How it was made.
    guarantee : str
        What it promises.
    needs : int or None
        Any so many answers suffice.
    scores : tuple of Score
        One a number of stragglers.
    encode_seconds, decode_seconds : float
        Of one group of K inputs: binding and encoding, and decoding from workers not seen
        before; least of some repeats.
    share : float
        Both, relative to the seconds that f takes for the K inputs.
    refused : str
        Why the code cannot serve here; then there are no scores.
    """

    code: str
    scheme: str
    guarantee: str
    needs: int | None
    scores: tuple[Score, ...]
    encode_seconds: float
    decode_seconds: float
    share: float
    refused: str = ""


@dataclass(frozen=True, repr=False)
class Comparison:
    """All codes on one function, best first.

    Attributes
    ----------
    name : str
        Of the function.
    setting : Setting
        (K, N, S), and the degree where it is known.
    seconds : float
        What f takes for K inputs in one process.
    rows : tuple of ComparedCode
        Best first; those that cannot serve come last.
    """

    name: str
    setting: Setting
    seconds: float
    rows: tuple[ComparedCode, ...]

    def score(self, row: ComparedCode) -> Score | None:
        """Give the row's score at S, the number of stragglers asked for."""
        wanted = self.setting.n_stragglers
        return next((score for score in row.scores if score.n_stragglers == wanted), None)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Give the header and the cells of a table, a row a code that can serve.

        error and its 95 % interval, accuracy where there are labels, the shares of outputs that
        are exact answers and of draws that could be decoded, how many answers suffice whichever
        they are, the seconds of encoding and decoding and their share of f's.
        """
        has_labels = any(score.accuracy is not None for row in self.rows for score in row.scores)
        header = ["code", "error", "±", *["acc."] * has_labels, "exact", "draws", "needs"]
        header += ["time", "share"]
        cells = []
        for row in self.rows:
            score = self.score(row)
            if score is None:
                continue
            accuracy = "-" if score.accuracy is None else f"{score.accuracy:.3f}"
            cells.append(
                [
                    row.code,
                    *_tell_error(score),
                    *[accuracy] * has_labels,
                    f"{score.exact:.0%}",
                    f"{score.decoded:.0%}",
                    str(row.needs),
                    _tell_seconds(row.encode_seconds + row.decode_seconds),
                    _tell_share(row.share),
                ]
            )
        return header, cells

    def guarantees(self) -> dict[str, str]:
        """Give what each code that can serve here promises."""
        return {row.code: row.guarantee for row in self.rows if row.scores}

    def refusals(self) -> list[str]:
        """Tell which codes cannot serve here, and why."""
        return [f"{row.code}: {row.refused}" for row in self.rows if row.refused]

    def __repr__(self) -> str:
        """One line with the counts and the best code."""
        k, n, s = self.setting.n_inputs, self.setting.n_workers, self.setting.n_stragglers
        best = self.rows[0].code if self.rows else "none"
        return f"Comparison({self.name}, (K, N, S) = ({k}, {n}, {s}), best: {best})"

    def __str__(self) -> str:
        """Draw the table in plain text."""
        header, cells = self.table()
        widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in [header, *cells]
        ]
        return "\n".join([repr(self), *lines, *self.refusals()])


def best_first(comparison: Comparison) -> Comparison:
    """Sort the rows by the share of draws that could be decoded, then by the error."""

    def rank(row: ComparedCode) -> tuple[bool, bool, float, float]:
        score = comparison.score(row)
        if score is None or np.isnan(score.error):
            return True, bool(row.refused), 0.0, 0.0
        return False, False, -score.decoded, max(score.error, _NOISE)

    return replace(comparison, rows=tuple(sorted(comparison.rows, key=rank)))


def _tell_error(score: Score) -> tuple[str, str]:
    if np.isnan(score.error):
        return "-", ""
    if score.error < _NOISE:
        return "0", ""
    half_width = f"{score.half_width:.0e}" if np.isfinite(score.half_width) else ""
    return f"{score.error:.1e}", half_width


def _tell_seconds(seconds: float) -> str:
    if np.isnan(seconds):
        return "-"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1.0 else f"{seconds:.2f} s"


def _tell_share(share: float) -> str:
    if np.isnan(share):
        return "-"
    return f"{share:.1%}" if share < 1.0 else f"{share:.0f} x"
