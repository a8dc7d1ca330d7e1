"""`Part`: columns of a fit that share knots and weights, whatever is missing, equal or unsorted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from fastspline._apart import Apart
from fastspline._arguments import Boundary, check_weights
from fastspline._fit import Group, Repeats
from fastspline._freedom import DegreesOfFreedom, lam_for_df
from fastspline._plan import Plan
from fastspline._score import Criterion
from fastspline._search import Choice
from fastspline._selection import choose_for
from fastspline._solvers.tableau import Rows, Vector
from fastspline.arrays import as_columns, read_array, refuse_values, require_finite

Lam: TypeAlias = float | ArrayLike | Criterion | DegreesOfFreedom
Place: TypeAlias = tuple[tuple[int, ...], int]


class Problem(NamedTuple):
    """What `smooth_spline` is asked, unchecked."""

    knots: ArrayLike
    values: ArrayLike
    weights: ArrayLike | None
    lam: Lam
    axis: int | str
    duplicates: str = "raise"
    missing: str = "raise"
    bc: Boundary = "natural"
    roughness: ArrayLike | None = None
    shared: bool = False
    loss: str = "squared"
    gamma: float = 1.0


class Part(NamedTuple):
    """Columns that share weights: where they stand, and their data at distinct knots."""

    columns: Rows
    knots: Vector
    weights: Vector | None
    values: Vector
    repeats: Repeats | None
    own_weights: bool  # of each value, as they were given

    @property
    def counts(self) -> bool:
        """Whether some value counts; else curves are NaN."""
        return self.weights is None or bool(self.weights.any())

    def group(self, problem: Problem, lam: float, some: Rows | slice = slice(None)) -> Group:
        """Give some of the columns with their plan."""
        plan = Plan(self.knots, lam, self.weights, problem.bc, problem.roughness)
        repeats = self.repeats
        if repeats is not None:
            repeats = repeats._replace(values=repeats.values[:, some])
        columns, values = self.columns[some], self.values[:, some]
        return Group(plan, columns, values, repeats, own_weights=self.own_weights)

    def groups(self, problem: Problem, lams: Vector) -> Sequence[Group]:
        """Give the columns that share a lam with their plan."""
        if (lams == lams[0]).all():
            return [self.group(problem, float(lams[0]))]
        if self.repeats is None and problem.bc == "natural" and problem.roughness is None:
            return Apart(self.group(problem, float(lams[0])), lams)
        distinct, which = np.unique(lams, return_inverse=True)
        return [
            self.group(problem, one, np.flatnonzero(which == k))
            for k, one in enumerate(distinct.tolist())
        ]

    def lost(self, problem: Problem) -> Group:
        """Give columns of which no value counts: their curves are NaN."""
        group = self._replace(weights=None).group(problem, 0.0)
        return group._replace(is_lost=True)

    def choose(self, problem: Problem, given: Vector) -> tuple[Vector, Choice | None]:
        """Give the lam of each column, at least one where there are none; and how it was chosen."""
        lam, choice = problem.lam, None
        if isinstance(lam, DegreesOfFreedom):
            one = lam_for_df(
                self.knots, lam.df,
                weights=self.weights, bc=problem.bc, roughness=problem.roughness,
            )  # fmt: skip
            lams = np.full(max(self.columns.size, 1), one)
        elif isinstance(lam, str):
            group = self.group(problem, 0.0)
            choice = choose_for(group, cast(Criterion, lam), problem.gamma)
            lams = choice.lam
        else:
            lams = given[self.columns] if self.columns.size else given[:1]
        return lams if lams.size else np.zeros(1), choice


class Table(NamedTuple):
    """Knots, weights and columns of values as they were given, in the order of the knots."""

    knots: Vector
    weights: Vector | None  # (n,) or (n, columns)
    values: Vector  # (n, columns)
    merge: Merge | None
    order: Rows | None = None  # of the rows among those that were given, where it is another

    @property
    def rows(self) -> Rows:
        """Of those that were given, the row of each knot; the first one of equal ones."""
        order = np.arange(self.knots.size) if self.order is None else self.order
        return order if self.merge is None else order[self.merge.starts]

    def parts(self, *, omit: bool) -> Iterator[Part]:
        """Give the columns that share weights, with weight 0 for what is missing."""
        for columns, own, values in self._split(omit=omit):
            yield self.part(columns, own, values)

    def part(self, columns: Rows, weights: Vector | None, values: Vector) -> Part:
        """Give columns of values with their weights, once a knot."""
        own = self.weights is not None and self.weights.ndim == 2
        if self.merge is None:
            return Part(columns, self.knots, weights, values, None, own)
        return Part(columns, *self.merge(weights, values), own)

    def _split(self, *, omit: bool) -> Iterator[tuple[Rows, Vector | None, Vector]]:
        everywhere, weights, values = np.arange(self.values.shape[1]), self.weights, self.values
        shared = weights is None or weights.ndim == 1
        if shared and not (omit and np.isnan(values).any()):
            yield everywhere, weights, values
            return
        own = np.ones((1, 1)) if weights is None else weights.reshape(len(values), -1) + 0.0
        if omit:
            own = np.where(np.isnan(values), 0.0, own)
        alike: dict[bytes, list[int]] = {}
        for j, column in enumerate(np.ascontiguousarray(own.T)):
            alike.setdefault(column.tobytes(), []).append(j)
        for columns in alike.values():
            yield np.array(columns), own[:, columns[0]].copy(), values[:, columns]


class Merge:
    """Puts weighted means in the place of values at equal knots, which ascend."""

    def __init__(self, knots: Vector) -> None:
        self.places, self.starts, self.knot = np.unique(
            knots, return_index=True, return_inverse=True
        )

    def __call__(
        self, weights: Vector | None, y: Vector
    ) -> tuple[Vector, Vector | None, Vector, Repeats | None]:
        """Give knots, weights, values, and what stood there if some are equal."""
        if self.places.size == self.knot.size or self.knot.size == 0:
            return self.places, weights, y, None
        own = np.ones(self.knot.size) if weights is None else weights
        total = np.add.reduceat(own, self.starts)
        share = own / np.where(total > 0.0, total, 1.0)[self.knot]
        counts = (share > 0.0)[:, np.newaxis]  # what does not count may be NaN
        mean = np.add.reduceat(share[:, np.newaxis] * np.where(counts, y, 0.0), self.starts)
        return self.places, total, mean, Repeats(self.knot, y, own)


def read_table(problem: Problem, knots: Vector, columns: Vector, place: Place) -> Table:
    """Check weights and values; give them in the order of the knots."""
    omit = problem.missing == "omit"
    weights = read_weights(problem.weights, knots.size, place, omit=omit)
    _require_values(columns, weights, place, omit=omit)
    if problem.duplicates != "merge":
        return Table(knots, weights, columns, None)
    require_finite(knots, "knots")
    order = None
    if (np.diff(knots) < 0.0).any():
        order = np.argsort(knots, kind="stable")
        knots, columns = knots[order], columns[order]
        weights = None if weights is None else weights[order]
    return Table(knots, weights, columns, Merge(knots), order)


def read_weights(weights: ArrayLike | None, n: int, place: Place, *, omit: bool) -> Vector | None:
    """Give weights (n,), or (n, columns) where each value has its own."""
    if weights is None:
        return None
    array, _ = read_array(weights, "weights")
    if array.ndim < 2:
        return check_weights(weights, n)
    trailing, axis = place
    if array.shape != (*trailing[:axis], n, *trailing[axis:]):
        raise ValueError(
            f"weights has shape {array.shape}; give one weight a knot, shape ({n},), or one a "
            f"value, shape {(*trailing[:axis], n, *trailing[axis:])}"
        )
    require_finite(array, "weights")
    if array.size and array.min() < 0.0:
        bad = np.unravel_index(int((array < 0.0).argmax()), array.shape)
        text = ", ".join(str(int(i)) for i in bad)
        raise ValueError(
            f"weights must be >= 0, but weights[{text}] = {array[bad]}; a weight of 0 drops a point"
        )
    columns, _, _ = as_columns(array, n, axis, "weights", "knots")
    nothing = ~columns.any(axis=0)
    if nothing.any() and not omit:
        column = tuple(int(i) for i in np.unravel_index(int(nothing.argmax()), trailing))
        raise ValueError(
            f"weights are all 0 in column {', '.join(map(str, column))}, so there is no point to "
            'fit; give at least one a positive weight, or take missing="omit" for a curve of NaN'
        )
    return columns.astype(np.float64)


def _require_values(data: Vector, weights: Vector | None, place: Place, *, omit: bool) -> None:
    """Raise for a value that counts and is not finite, or not NaN where that means missing."""
    wrong = np.isinf(data) if omit else ~np.isfinite(data)
    if weights is not None and wrong.any():
        wrong &= weights.reshape(len(data), -1) > 0.0
    if not wrong.any():
        return
    column = int(wrong.any(axis=0).argmax())
    if not omit:
        refuse_values(np.where(wrong, data, 0.0), np.arange(len(data)), *place, column)
    trailing, axis = place
    row = int(wrong[:, column].argmax())
    where = [int(i) for i in np.unravel_index(column, trailing)] if trailing else []
    where.insert(axis, row)
    raise ValueError(
        f"values[{', '.join(map(str, where))}] = {data[row, column]} is not missing: only NaN is; "
        "put NaN there, or give the point weight 0"
    )
