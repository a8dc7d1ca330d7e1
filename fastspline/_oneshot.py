"""`smooth_spline` and `resample`: a fit in one call."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from fastspline._arguments import Boundary, check_lam, check_weights
from fastspline._fit import Group, Repeats
from fastspline._freedom import DegreesOfFreedom, lam_for_df
from fastspline._plan import Plan
from fastspline._score import Criterion
from fastspline._selection import CRITERIA, Choice, choose_for, choose_shared
from fastspline._smoother import Smoother
from fastspline._solvers.tableau import ALL_ONE, Rows, Vector
from fastspline._spline import Spline
from fastspline.arrays import (
    FloatArray,
    as_columns,
    read_array,
    read_vector,
    refuse_values,
    require_finite,
)

Lam: TypeAlias = float | ArrayLike | Criterion | DegreesOfFreedom


def smooth_spline(
    knots: ArrayLike,
    values: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    lam: Lam = "gcv",
    axis: int = 0,
    duplicates: Literal["raise", "merge"] = "raise",
    missing: Literal["raise", "omit"] = "raise",
    bc: Boundary = "natural",
    roughness: ArrayLike | None = None,
    shared: bool = False,
) -> Spline:
    """Fit a smoothing spline to values at knots.

    It is the natural cubic spline f that minimises
    ``sum(weights * (values - f(knots))**2) + lam * integral(f''**2)``.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending; with ``duplicates="merge"`` some may be equal.
    values : array_like, shape (..., n, ...)
        Values at the knots along `axis`; all other axes are independent columns.
    weights : array_like, shape (n,), optional
        Not negative and not squared; default ones. Values at knots of weight 0 are not looked at.
    lam : float, array_like, "gcv", "gcv-plain", "loo", "reml" or DegreesOfFreedom, optional
        A number in [0, inf] for all columns, an array with one a column (of the shape of `values`
        without `axis`), the name of a score that chooses one for each column, see `select_lam`
        ("reml" needs natural ends and no roughness weights), or ``DegreesOfFreedom(df)``, see
        `lam_for_df`.
    axis : int, optional
        Axis of `values` that runs along the knots.
    duplicates : "raise" or "merge", optional
        "merge" puts the weighted mean of values at equal knots in their place, with the sum of
        their weights: curve, lam and scores are those of the values as they were given.
        `Spline.knots` then holds each knot once.
    missing : "raise" or "omit", optional
        What NaN among the values means: an error, or that the column has no value there. Columns
        that lack the same values share a plan.
    bc, roughness
        As in `Smoother`; one roughness weight for each gap between different knots. With them, or
        with merged values, choosing lam by a score takes milliseconds a column.
    shared : bool, optional
        Whether a score chooses one lam for all columns, by the sum of their scores, also where they
        lack different values. Only for lam that is the name of a score.

    Returns
    -------
    Spline

    Warns
    -----
    UserWarning
        If the optimum of a score lies at a bound of the search, see `select_lam`.

    Raises
    ------
    ValueError
        If knots do not ascend, an entry is not finite, lengths do not match, lam or a weight is
        negative, a column has no value at all, or an option is none of the above.
    TypeError
        If an argument does not hold real numbers.

    References
    ----------
    P. J. Green and B. W. Silverman, "Nonparametric Regression and Generalized Linear Models"
    (1994), chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0.0, 1.0, 30)
    >>> line = smooth_spline(x, 2.0 * x + 1.0, lam=1e-3)
    >>> np.allclose(line([0.25, 2.0]), [1.5, 5.0])
    True
    >>> mean = smooth_spline([0, 1, 1, 2], [0.0, 1.0, 3.0, np.nan], lam=0.0,
    ...                      duplicates="merge", missing="omit")
    >>> mean([1.0, 2.0]).tolist()
    [2.0, 4.0]
    """
    spline, choice = fit_columns(
        Problem(knots, values, weights, lam, axis, duplicates, missing, bc, roughness, shared)
    )
    if choice is not None:
        choice.warn()
    return spline


class Problem(NamedTuple):
    """What `smooth_spline` is asked, unchecked."""

    knots: ArrayLike
    values: ArrayLike
    weights: ArrayLike | None
    lam: Lam
    axis: int
    duplicates: str = "raise"
    missing: str = "raise"
    bc: Boundary = "natural"
    roughness: ArrayLike | None = None
    shared: bool = False


class _Part(NamedTuple):
    """Columns that lack the same values: where they stand, and their data at distinct knots."""

    columns: Rows
    knots: Vector
    weights: Vector | None
    values: Vector
    repeats: Repeats | None

    def group(self, problem: Problem, lam: float, some: Rows | slice = slice(None)) -> Group:
        """Give some of the columns with their plan."""
        plan = Plan(self.knots, lam, self.weights, problem.bc, problem.roughness)
        repeats = self.repeats
        if repeats is not None:
            repeats = repeats._replace(values=repeats.values[:, some])
        return Group(plan, self.columns[some], self.values[:, some], repeats)


def fit_columns(problem: Problem) -> tuple[Spline, Choice | None]:
    """`smooth_spline` without its warning: the choice of lam, where there was one, comes too."""
    knots, values, weights, lam, axis, duplicates, missing, bc, roughness, together = problem
    _check_option("duplicates", duplicates, "merge")
    _check_option("missing", missing, "omit")
    if together and not isinstance(lam, str):
        raise ValueError(
            f'shared=True is for a lam that a score chooses, as lam="gcv", got lam={lam!r}; '
            "a number or DegreesOfFreedom is one for all columns anyway"
        )
    if duplicates == missing == "raise" and isinstance(lam, int | float):
        plan = Smoother(knots, lam=lam, weights=weights, bc=bc, roughness=roughness)
        return plan.fit(values, axis=axis), None
    read = read_vector(knots, "knots")
    array, restore = read_array(values, "values")
    columns, trailing, axis = as_columns(array, read.size, axis, "values", "knots")
    given, shared = _read_lam(lam, trailing)
    data = columns.astype(np.float64)
    positive = None if weights is None else check_weights(weights, read.size)
    _require_finite(data, positive, (trailing, axis), omit=missing == "omit")
    merge = _Merge(read) if duplicates == "merge" else None
    groups: list[Group] = []
    choices: list[Choice] = []
    parts: list[_Part] = []
    lams = np.empty(data.shape[1])
    for mine, own, y in _split(data, positive, (trailing, axis), omit=missing == "omit"):
        parts.append(_Part(mine, *((read, own, y, None) if merge is None else merge(own, y))))
    if together:
        whole = [part.group(problem, 0.0) for part in parts]
        choices = [choose_shared(whole, cast(Criterion, lam))]
        given, shared = np.broadcast_to(choices[0].lam, max(data.shape[1], 1)), True
        problem = problem._replace(lam=float(given[0]))
    for part in parts:
        chosen, choice = _choose(problem, part, given)
        lams[part.columns] = chosen[: part.columns.size]
        groups += _split_by_lam(problem, part, chosen)
        choices += [] if choice is None else [choice]
    lams.flags.writeable = False
    one = (shared and len(groups) == 1) or not trailing
    all_lams = groups[0].plan.lam if one else lams.reshape(trailing)
    return Spline(tuple(groups), (trailing, axis), restore, all_lams), Choice.joined(choices)


def _choose(problem: Problem, part: _Part, given: Vector) -> tuple[Vector, Choice | None]:
    """Give the lam of each column, at least one where there are none; and how it was chosen."""
    lam, choice = problem.lam, None
    if isinstance(lam, DegreesOfFreedom):
        one = lam_for_df(
            part.knots, lam.df,
            weights=part.weights, bc=problem.bc, roughness=problem.roughness,
        )  # fmt: skip
        lams = np.full(max(part.columns.size, 1), one)
    elif isinstance(lam, str):
        choice = choose_for(part.group(problem, 0.0), cast(Criterion, lam))
        lams = choice.lam
    else:
        lams = given[part.columns] if part.columns.size else given[:1]
    return lams if lams.size else np.zeros(1), choice


def _split_by_lam(problem: Problem, part: _Part, lams: Vector) -> list[Group]:
    """Give the columns that share a lam with their plan."""
    if (lams == lams[0]).all():
        return [part.group(problem, float(lams[0]))]
    distinct, which = np.unique(lams, return_inverse=True)
    return [
        part.group(problem, one, np.flatnonzero(which == k))
        for k, one in enumerate(distinct.tolist())
    ]


def _read_lam(lam: Lam, trailing: tuple[int, ...]) -> tuple[Vector, bool]:
    """Check lam; give one number a column, or none if to be chosen, and if one is for all."""
    if isinstance(lam, DegreesOfFreedom):
        return ALL_ONE, True
    if isinstance(lam, str):
        if lam not in CRITERIA:
            raise ValueError(
                'lam must be a number in [0, inf], an array of them, "gcv", "gcv-plain", "loo", '
                f'"reml" or DegreesOfFreedom(df), got {lam!r}'
            )
        return ALL_ONE, False
    if np.ndim(lam) == 0:
        return np.full(max(math.prod(trailing), 1), check_lam(lam)), True  # type: ignore[arg-type]
    lams, _ = read_array(lam, "lam")
    if lams.shape != trailing:
        raise ValueError(
            f"lam has shape {lams.shape} and the columns of values {trailing}; "
            "give one lam a column, or one number"
        )
    for i in np.ndindex(trailing):
        check_lam(float(lams[i]), f"lam[{', '.join(map(str, i))}]")
    return lams.ravel().astype(np.float64), False


def _check_option(name: str, option: str, other: str) -> None:
    """Raise unless an option is "raise" or `other`."""
    if option not in ("raise", other):
        raise ValueError(f'{name} must be "raise" or "{other}", got {option!r}')


def _require_finite(
    data: Vector, weights: Vector | None, place: tuple[tuple[int, ...], int], *, omit: bool
) -> None:
    """Raise for a value that counts and is not finite, or not NaN where that means missing."""
    fits = ~np.isinf(data) if omit else np.isfinite(data)
    if fits.all():
        return
    counts = np.arange(len(data)) if weights is None else np.flatnonzero(weights)
    columns = np.flatnonzero(~fits[counts].all(axis=0))
    if columns.size:
        refuse_values(np.where(fits, 0.0, data), counts, *place, int(columns[0]))


def _split(
    data: Vector, weights: Vector | None, place: tuple[tuple[int, ...], int], *, omit: bool
) -> Iterator[tuple[Rows, Vector | None, Vector]]:
    """Give columns that lack the same values: where they stand, their weights and values."""
    everywhere = np.arange(data.shape[1])
    if not (omit and np.isnan(data).any()):
        yield everywhere, weights, data
        return
    own = np.ones(len(data)) if weights is None else weights
    missing = np.isnan(data) & (own > 0.0)[:, np.newaxis]
    masks, which = np.unique(missing, axis=1, return_inverse=True)
    for k in range(masks.shape[1]):
        mine = np.flatnonzero(which == k)
        present = np.where(masks[:, k], 0.0, own)
        if not present.any():
            where = ", ".join(str(int(i)) for i in np.unravel_index(int(mine[0]), place[0] or (1,)))
            column = f" in column {where}" if place[0] else ""
            raise ValueError(
                f"values has no value that counts{column}: all are NaN or have weight 0; drop the "
                "column, or give it a value"
            )
        yield mine, present, data[:, mine]


class _Merge:
    """Puts weighted means in the place of values at equal knots."""

    def __init__(self, knots: Vector) -> None:
        bad = np.flatnonzero(~(np.diff(knots) >= 0.0))
        require_finite(knots, "knots")
        if bad.size:
            i = int(bad[0])
            raise ValueError(
                f"knots must ascend, or be equal, but knots[{i + 1}] = {knots[i + 1]} follows "
                f"knots[{i}] = {knots[i]}; sort them with their values"
            )
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


def resample(
    knots: ArrayLike,
    values: ArrayLike,
    points: ArrayLike,
    *,
    lam: float = 0.0,
    weights: ArrayLike | None = None,
    axis: int = 0,
    out: FloatArray | None = None,
) -> FloatArray:
    """Give the smoothing spline of `values` at other points, in one call.

    The same as ``Smoother(knots, ...).operator(points)(values)``.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending.
    values : array_like, shape (..., n, ...)
        Values at the knots along `axis`.
    points : array_like, shape (m,)
        In any order; outside the knots the spline is a straight line.
    lam, weights
        As in `Smoother`; by default the natural spline through the values.
    axis, out
        As in `SplineOperator`.

    Returns
    -------
    array of the kind and dtype of `values`, shape (..., m, ...)

    Raises
    ------
    ValueError, TypeError
        As `Smoother` and `SplineOperator`.

    Examples
    --------
    >>> resample([0.0, 1.0, 2.0], [0.0, 1.0, 4.0], [2.0, 3.0]).tolist()
    [4.0, 7.5]
    """
    return Smoother(knots, lam=lam, weights=weights).operator(points)(values, axis=axis, out=out)
