"""Which answers contradict all others: the wrong rows of codewords over real or complex numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from coded.algebra.consistency import Check, Numbers

Rows: TypeAlias = tuple[int, ...]

_COLUMNS = 32  # contradicted ones that a search looks at, and as many more as rows may be wrong
_STARTS = 30  # rows from which a set is sought
_CLIP = 1e6  # a column counts for as many times what is allowed: double precision tells so much
_MOST_SETS = 2000  # sets of rows to which one more is sought


@dataclass(frozen=True)
class Verdict:
    """Who is wrong, or that it is not to be told.

    Attributes
    ----------
    wrong : tuple of int or None
        Ascending rows without which the answers agree; None where there are no such rows, or
        others might be meant.
    residual : float
        By how much the model missed the answers, relative to their column.
    suspects : tuple of int
        Rows that might be wrong.
    """

    wrong: Rows | None
    residual: float = 0.0
    suspects: Rows = ()


def locate_wrong_rows(generator: Numbers, answers: Numbers, most: int, check: Check) -> Verdict:
    """Find the rows that contradict the others, if they are few enough to be told.

    A row is found where without it, and the others found, all columns are explained by
    ``G_F z``, and without no other row in its place. Candidates come from the columns that are
    contradicted: what the model leaves of them lies in the span of the wrong rows' columns of
    the check, which is compared for all rows at once where there are as many columns as wrong
    rows, and is searched where there are fewer: greedily, from each row, and set by set while
    there are few sets. So where many lie in few columns, some sets that could be told are not.

    Parameters
    ----------
    generator : ndarray, shape (R, symbols)
        G_F.
    answers : ndarray, shape (R, columns)
        Finite.
    most : int
        How many wrong rows the code can tell, ``(d - 1) // 2`` for distance d.
    check : Check
        Of `generator`.

    Returns
    -------
    Verdict
    """
    kept, residual = np.arange(len(answers)), 0.0
    while True:
        columns = check.contradicted(answers[kept])
        if columns.size == 0:
            wrong = np.setdiff1d(np.arange(len(answers)), kept)
            return Verdict(tuple(wrong.tolist()), residual)
        remaining = most - (len(answers) - len(kept))
        worst = _worst(check, answers[np.ix_(kept, columns)], _COLUMNS + remaining)
        search = _Search(generator[kept], worst, check)
        residual = residual or search.residual
        found, suspects = search.explain(remaining)
        if found is None:
            return Verdict(None, residual, tuple(kept[list(suspects)].tolist()))
        kept = np.delete(kept, found)
        check = _check_of(generator[kept])


def _check_of(generator: Numbers) -> Check:
    return Check(lambda: generator)


def _worst(check: Check, columns: Numbers, count: int) -> Numbers:
    """Give the columns that are contradicted most, and some of the others."""
    if columns.shape[1] <= count:
        return columns
    order = np.argsort(-check.measured(columns)[0], kind="stable")
    others = np.linspace(count // 2, len(order) - 1, count - count // 2).astype(np.intp)
    return columns[:, np.concatenate([order[: count // 2], order[others]])]


class _Search:
    """The search for the wrong rows in some contradicted columns."""

    def __init__(self, generator: Numbers, answers: Numbers, check: Check) -> None:
        self._generator, self._answers = generator, answers
        wide = answers.astype(np.result_type(answers.dtype, np.float64))
        wide /= np.abs(wide).max(axis=0)  # a liar's square may overflow
        missed = check.basis @ wide
        ratios, own = check.measured(answers)
        self.residual = float(own.max())
        # Each column in units of what is allowed: what is explained leaves 1 or less of it.
        sizes = np.minimum(np.maximum(ratios, 1.0), _CLIP)
        self._missed = missed / np.linalg.norm(missed, axis=0) * sizes
        lengths = np.linalg.norm(check.basis, axis=0)
        self._atoms = check.basis / np.where(lengths > 1e-10, lengths, np.inf)

    def explain(self, most: int) -> tuple[Rows | None, Rows]:
        """Give the rows that explain the columns, and those that might."""
        hidden: Rows | None = None
        for rows in self._candidates(most):
            least = self._least(rows)
            if self._fits(least):
                rivals = self._rivals(least)
                return (None, tuple(sorted({*least, *rivals}))) if rivals else (least, ())
            hidden = hidden or least
        if hidden is not None:  # their size hides that others are wrong too
            return hidden, ()
        alone = np.flatnonzero(self._left_by_one(()) <= self._missed.shape[1])
        is_telling = alone.size <= len(self._generator) // 2
        return None, tuple(alone.tolist()) if is_telling else ()

    def _candidates(self, most: int) -> Iterator[Rows]:
        """Give sets of rows that explain the columns by what the model leaves of them."""
        enough = float(self._missed.shape[1])
        span, sizes, _ = np.linalg.svd(self._missed, full_matrices=False)
        rank = int((sizes > math.sqrt(enough)).sum())
        if most == 0 or rank > most:  # so few rows have no such span
            return
        alone = self._left_by_one(())
        yield from self._greedy((int(alone.argmin()),), most)
        if rank > 0:
            inside = np.linalg.norm(span[:, :rank].conj().T @ self._atoms, axis=0)
            yield tuple(np.argsort(-inside, kind="stable")[:rank].tolist())
        for size in range(2, most + 1):
            if math.comb(len(self._generator), size - 1) > _MOST_SETS:
                break
            for rows in itertools.combinations(range(len(self._generator)), size - 1):
                left = self._left_by_one(rows)
                last = int(left.argmin())
                if last > rows[-1] and left[last] <= enough:
                    yield (*rows, last)
        if most > 1:
            for first in np.argsort(alone, kind="stable")[1:_STARTS].tolist():
                yield from self._greedy((first,), most)

    def _greedy(self, rows: Rows, most: int) -> Iterator[Rows]:
        """Add the row that explains most until all is explained, or there are too many."""
        left = self._left(rows)
        while left > self._missed.shape[1]:
            if len(rows) == most:
                return
            by_one = self._left_by_one(rows)
            rows = (*rows, int(by_one.argmin()))
            left = float(by_one.min())
        yield rows

    def _least(self, rows: Rows) -> Rows:
        """Leave out the rows without which the others explain as much."""
        kept = sorted(rows)
        for row in sorted(rows):
            rest = [other for other in kept if other != row]
            if rest and self._left(tuple(rest)) <= self._missed.shape[1]:
                kept = rest
        return tuple(kept)

    def _fits(self, rows: Rows) -> bool:
        """Tell whether without these rows the columns are explained."""
        rest = np.delete(np.arange(len(self._generator)), rows)
        if len(rest) <= self._generator.shape[1]:
            return False
        return _check_of(self._generator[rest]).contradicted(self._answers[rest]).size == 0

    def _rivals(self, rows: Rows) -> list[int]:
        """Give the rows that might be wrong in the place of one of these."""
        found = []
        for row in rows:
            others = tuple(other for other in rows if other != row)
            left = self._left_by_one(others)
            near = np.flatnonzero(left <= 10.0 * self._missed.shape[1])
            found += [n for n in near.tolist() if n not in rows and self._fits((*others, n))]
        return found

    def _left(self, rows: Rows) -> float:
        """Give what these rows leave of the columns, squared."""
        return float((np.abs(self._without(rows)[0]) ** 2).sum())

    def _left_by_one(self, rows: Rows) -> NDArray[np.float64]:
        """Give what these rows and each one more leave of the columns, squared."""
        missed, atoms = self._without(rows)
        lengths = np.linalg.norm(atoms, axis=0)
        units = atoms / np.where(lengths > 1e-10, lengths, np.inf)
        explained = (np.abs(units.conj().T @ missed) ** 2).sum(axis=1)
        return np.asarray((np.abs(missed) ** 2).sum() - explained)

    def _without(self, rows: Rows) -> tuple[Numbers, Numbers]:
        """Project out the columns of these rows."""
        if not rows:
            return self._missed, self._atoms
        basis, _ = np.linalg.qr(self._atoms[:, list(rows)])
        both = np.hstack([self._missed, self._atoms])
        both = both - basis @ (basis.conj().T @ both)
        both -= basis @ (basis.conj().T @ both)  # once more: rounding
        return both[:, : self._missed.shape[1]], both[:, self._missed.shape[1] :]
