"""Which lam: the minimiser of a score, whatever the units of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._abreast import LEAST_COLUMNS, MOST_KNOTS, search_abreast
from fastspline._clock import read_knots
from fastspline._fit import Group, magnitude, rest_of, some_of
from fastspline._jumps import past_jumps
from fastspline._kernels import score_lanes, scores
from fastspline._plan import Plan
from fastspline._score import (
    OF_REST,
    OF_SCORES,
    Criterion,
    scaled_weights,
    score_group,
    scores_without_lines,
    take_lines_out,
)
from fastspline._search import Choice, end_of_search, minimise_score, search_bounds
from fastspline._solvers.columns import ALONE_BYTES
from fastspline._solvers.tableau import Gaps
from fastspline._source import read_columns
from fastspline._threads import cut, default_threads, run_blocks
from fastspline._typing import OneColumn, SeveralColumns, UnknownShape
from fastspline.arrays import refuse_values
from fastspline.jit import INTERPRETED

CRITERIA = {
    "gcv": scores.ROBUST,
    "gcv-plain": scores.GCV,
    "loo": scores.LOO,
    "reml": scores.REML,
}
COLUMN_WORK = 40  # scores of a column, about; to judge by how many threads pay


class _Options(TypedDict, total=False):
    """What `select_lam` takes beside data and ``per_column``."""

    weights: ArrayLike | None
    criterion: Criterion
    axis: int | str


@overload
def select_lam(
    knots: ArrayLike, values: ArrayLike, *, per_column: Literal[False], **options: Unpack[_Options]
) -> float: ...
@overload
def select_lam(
    knots: ArrayLike, values: UnknownShape, *, per_column: bool = ..., **options: Unpack[_Options]
) -> Any: ...
@overload
def select_lam(
    knots: ArrayLike, values: OneColumn, *, per_column: bool = ..., **options: Unpack[_Options]
) -> float: ...
@overload
def select_lam(
    knots: ArrayLike,
    values: SeveralColumns,
    *,
    per_column: Literal[True] = ...,
    **options: Unpack[_Options],
) -> NDArray[np.float64]: ...
@overload
def select_lam(
    knots: ArrayLike, values: ArrayLike, *, per_column: bool = ..., **options: Unpack[_Options]
) -> NDArray[np.float64] | float: ...


def select_lam(
    knots: ArrayLike,
    values: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    criterion: Criterion = "gcv",
    per_column: bool = True,
    axis: int | str = 0,
) -> NDArray[np.float64] | float:
    """Choose lam by the data: the minimiser of a score over [0, inf].

    With residuals res, leverages S_ii, their sum df, RSS = ``sum(w res**2)``, and J the integral of
    the squared second derivative, the scores are

    - "gcv-plain", generalised cross-validation: ``n RSS / (n - df)**2``;
    - "gcv", the same made robust, the default: times ``df**(5 / n) exp(15 / P)``, where
      ``P = (n - df)**2 / sum((1 - S_ii)**2)``;
    - "loo", leave-one-out cross-validation: ``mean(w (res / (1 - S_ii))**2)``;
    - "reml", restricted maximum likelihood of the Gaussian process whose posterior mean the spline
      is (Wahba's GML): ``(n - 2) log((RSS + lam J) / (n - 2)) + log det(V) + log det(X' V^-1 X)``,
      V the covariance of the values in units of the noise's and X = [1, knots].

    Plain GCV now and then interpolates noise. Next to interpolation RSS may be that of a few values
    close together, which are small by accident: P is about the number of values on which the score
    rests, and 15 / P by how much, in logarithms, it must beat others to be believed. ``n / 2``
    times the logarithm of GCV acts as minus a log likelihood; so the first factor is a prior on df
    that falls as ``df**-2.5``, and matters for few values or little signal. Where there is so
    little noise that the best curve follows the values, both let it. Both numbers were chosen on
    data sets with known curves, and tried on others.

    Of 25 values or more that jump at one place, the squares of residuals there would decide all
    scores. Told by a rise from one value to the next that holds 3/4 of the squares of all rises
    (a wild value makes two, of half of them at most), such a column gets from "gcv" the lam that
    minimises Mallows' ``RSS + 2 s**2 df``, s**2 the median of squared distances of values from the
    line through their neighbours, scaled. Lam shared by columns is not chosen so.

    Each evaluation is O(n), from exact residuals and leverages. The search runs over ``lam /
    (range**3 * sum(weights))``, so that the curve chosen does not depend on the units of knots,
    values or weights: on a grid, two points a decade, then round each of its minima, for there can
    be several. It ends next to interpolation, where n - df is n / 1000. The straight line (lam =
    inf) is a candidate; it is the answer where the values lie on a line, and for three knots, where
    every lam scores the same.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending. With fewer than three that count every lam gives the same line, and 0.0
        is returned.
    values : array_like, shape (..., n, ...)
        Values at the knots along `axis`.
    weights : array_like, shape (n,), optional
        As in `Smoother`.
    criterion : {"gcv", "gcv-plain", "loo", "reml"}, optional
    per_column : bool, optional
        Whether each column gets its own lam, or all share the one that minimises the sum of their
        scores.
    axis : int, optional
        Axis of `values` that runs along the knots.

    Returns
    -------
    float, or array with one lam a column where `per_column` and `values` has more than one axis

    Warns
    -----
    UserWarning
        If the optimum lies at a bound of the search: the line, or next to interpolation.

    Raises
    ------
    ValueError, TypeError
        As `Smoother` and `Smoother.fit`, and for another criterion.

    References
    ----------
    P. Craven and G. Wahba, "Smoothing noisy data with spline functions", Numer. Math. 31 (1979),
    eq. 1.9. M. A. Lukas, "Robust generalized cross-validation for choosing the regularization
    parameter", Inverse Problems 22 (2006). C. L. Mallows, "Some comments on C_P", Technometrics 15
    (1973). T. Gasser, L. Sroka and C. Jennen-Steinmetz, "Residual variance and residual pattern in
    nonlinear regression", Biometrika 73 (1986), for s**2. G. Wahba, "A comparison of GCV and GML
    for choosing the smoothing parameter in the generalized spline smoothing problem", Ann. Statist.
    13 (1985), eq. 1.4.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0.0, 1.0, 50)
    >>> y = np.sin(6.0 * x) + 0.1 * np.cos(40.0 * np.arange(50) ** 2)
    >>> lam = select_lam(x, y)
    >>> bool(np.isclose(select_lam(1000.0 * x, y), 1e9 * lam, rtol=1e-5))
    True
    """
    lam, choice = find_lam(
        knots, values, weights=weights, criterion=criterion, per_column=per_column, axis=axis
    )
    choice.warn()
    return lam


def find_lam(
    knots: ArrayLike,
    values: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    criterion: str = "gcv",
    per_column: bool = True,
    axis: int | str = 0,
) -> tuple[NDArray[np.float64] | float, Choice]:
    """`select_lam` without its warning: that is left to the caller."""
    if criterion not in CRITERIA:
        raise ValueError(
            f'criterion must be "gcv", "gcv-plain", "loo" or "reml", got {criterion!r}'
        )
    plan = Plan(read_knots(knots)[0], 0.0, weights)
    columns, (trailing, axis), _, _ = read_columns(values, plan.knots.size, axis)
    active = plan.active
    doubles = np.ascontiguousarray(columns[active], np.float64)
    if not np.isfinite(doubles).all():
        refuse_values(columns, active, trailing, axis, 0)
    choice = choose_lam(plan.solver.gaps, doubles, criterion, shared=not per_column)
    if criterion == "gcv" and per_column:
        values = doubles
        if active.size < plan.knots.size:
            values = np.zeros((plan.knots.size, doubles.shape[1]))
            values[active] = doubles
        choice = past_jumps(Group(plan, slice(None), values), choice)
    if per_column and trailing:
        return choice.lam.reshape(trailing), choice
    return float(choice.lam[0]), choice


def choose_for(group: Group, criterion: Criterion, gamma: float = 1.0) -> Choice:
    """Search for the lam of each column of a group, whatever its plan's ends and repeats.

    `gamma` is by how much more "gcv" counts degrees of freedom, see `smooth_spline`.
    """
    choice = _choose_groups([group], criterion, gamma, shared=False)
    return past_jumps(group, choice) if criterion == "gcv" and gamma == 1.0 else choice


def choose_shared(groups: Sequence[Group], criterion: Criterion, gamma: float = 1.0) -> Choice:
    """Search for the lam at which the scores of all columns of some groups have the least sum."""
    return _choose_groups(groups, criterion, gamma, shared=True)


def _choose_groups(
    groups: Sequence[Group], criterion: Criterion, gamma: float, *, shared: bool
) -> Choice:
    """`choose_for` and `choose_shared`: one lam a column of the one group, or one for all."""
    plan, first = groups[0].plan, groups[0]
    plain = plan.bc == "natural" and plan.roughness is None
    if plain and first.repeats is None and len(groups) == 1 and gamma == 1.0:
        values = np.ascontiguousarray(first.values[plan.active])
        return choose_lam(plan.solver.gaps, values, criterion, shared=shared)
    if criterion == "reml" and not plain:
        raise ValueError(
            'criterion "reml" is defined here for natural ends without roughness weights; '
            'take "gcv" or "loo"'
        )
    telling = [group for group in groups if _is_told(group)]
    if not telling:  # every lam gives the same curve, or the same score
        columns = 1 if shared else first.values.shape[1]
        same = np.inf if _rows(first) > _least(first) else 0.0
        return Choice(np.full(columns, same), np.zeros(columns, np.int8))
    power = max(_power(group) for group in telling)

    def score(lam: float, part: slice) -> NDArray[np.float64]:
        if not shared:
            return _score_at(lam, telling[0], part, criterion, gamma)
        sums = [
            _score_at(lam, group, slice(None), criterion, gamma, power).sum(keepdims=True)
            for group in telling
        ]
        return np.asarray(np.sum(sums, axis=0))

    bounds = [search_bounds(group.plan) for group in telling]
    lower, upper = min(low for low, _ in bounds), max(high for _, high in bounds)
    choice = minimise_score(score, lower, upper)
    rests = [rest_of(group._replace(plan=group.plan.with_lam(np.inf))) for group in telling]
    stiff = np.concatenate([np.abs(rest.residuals).max(axis=0) for rest in rests])
    exact = stiff <= scores.ROUNDING  # there scores are rounding
    if shared:
        exact = np.array([exact.all()])
    return Choice(np.where(exact, np.inf, choice.lam), np.where(exact, np.int8(0), choice.bound))


def _rows(group: Group) -> int:
    """Give the number of values that count, before equal knots were merged."""
    if group.repeats is None:
        return int(np.unique(group.plan.active).size)
    return int(np.count_nonzero(group.repeats.weights))


def _least(group: Group) -> int:
    """Give the degrees of freedom of a group's stiffest curve."""
    return 2 if group.plan.bc == "natural" else 1


def _is_told(group: Group) -> bool:
    """Whether different lam give a group different curves and scores."""
    least = _least(group)
    return np.unique(group.plan.active).size > least and _rows(group) != least + 1


def _power(group: Group) -> int:
    """Give the power of 2 above all values of a group."""
    counts = (group.values[group.plan.active] != 0.0).any(axis=0)  # of 0 it would be 0
    return int(magnitude(group)[counts].max(initial=-5000))


def _score_at(
    lam: float,
    group: Group,
    part: slice,
    criterion: Criterion,
    gamma: float,
    power: int | None = None,
) -> NDArray[np.float64]:
    """Score some columns of a group: each in a unit of its own, or all in one of 2**power."""
    tried = some_of(group, part)._replace(plan=group.plan.with_lam(lam))
    if criterion == "reml":
        return score_group(tried, criterion)
    rest = rest_of(tried)
    unit = 0 * rest.power if power is None else rest.power - power
    score = OF_REST[criterion](rest._replace(power=unit))
    return score if gamma == 1.0 else rest.inflate(score, gamma)


def choose_lam(
    gaps: Gaps, y: NDArray[np.float64], criterion: str = "gcv", *, shared: bool = False
) -> Choice:
    """Search for the lam of each column of `y` (active knots, columns), or of all together."""
    n, columns = gaps.knots.size, y.shape[1]
    count = 1 if shared else columns
    if n <= 3:
        lam = np.full(count, np.inf if n == 3 else 0.0)
        return Choice(lam, np.zeros(count, np.int8))
    if shared or INTERPRETED:
        return _search_plainly(gaps, y, criterion, shared=shared)
    ends: list[float] = []

    def end() -> float:  # few searches ask for it, and it takes seconds to compile
        if not ends:
            ends.append(score_lanes.end_of_search(gaps.h, gaps.weights, gaps.top))
        return ends[0]

    scale = gaps.unit**3 * gaps.top
    threads = default_threads() if y.nbytes * COLUMN_WORK >= ALONE_BYTES and columns > 1 else 1
    if columns >= LEAST_COLUMNS and n <= MOST_KNOTS:
        lam, bound = search_abreast(gaps, y, CRITERIA[criterion], end, threads)
        return Choice(lam * scale, bound)
    lam, bound = np.empty(columns), np.empty(columns, np.int8)

    def work(first: int, stop: int) -> int:
        known = end() if criterion in ("loo", "reml") else np.nan
        while first >= 0:
            first = score_lanes.search_columns(
                CRITERIA[criterion], gaps.knots, gaps.h, gaps.unit, gaps.weights, gaps.top,
                known, y, first, stop, lam, bound,
            )  # fmt: skip
            known = end() if first >= 0 else known
        return -1

    if columns == 1:
        work(0, 1)
    else:
        run_blocks(work, cut(columns, max(1, min(64, columns // (4 * threads)))), threads)
    return Choice(lam * scale, bound)


def _search_plainly(gaps: Gaps, y: NDArray[np.float64], criterion: str, *, shared: bool) -> Choice:
    """`choose_lam` by the plain kernel: for all columns together, or without the compiler."""
    if shared:  # in one unit, for their scores are added up
        y = np.ldexp(y, -np.frexp(np.abs(y).max(initial=0.0))[1])
    unit = gaps.unit**3 * gaps.top
    whole, lower = scores.search_range(gaps.h, scaled_weights(gaps))
    rises, power, exact = take_lines_out(gaps, y)
    if shared:
        rises, power, exact = rises[:, ~exact].copy(), power[~exact], np.array([exact.all()])

    def score(lam: float, part: slice) -> NDArray[np.float64]:
        part = slice(None) if shared else part
        some = np.ascontiguousarray(rises[:, part])
        made = OF_SCORES[criterion](scores_without_lines(gaps, lam / unit, some, power[part]))
        return made.sum(keepdims=True) if shared else made

    scale = whole * unit
    nothing = np.zeros((gaps.h.size, 0)), np.zeros(0, power.dtype)

    def share(place: float) -> float:
        return scores_without_lines(gaps, whole * 10.0**place, *nothing).rest / gaps.knots.size

    lower = end_of_search(share, lower)
    choice = minimise_score(score, scale * 10.0**lower, scale * 10.0**scores.UPPER)
    bound = np.where(exact, np.int8(0), choice.bound)
    return Choice(np.where(exact, np.inf, choice.lam), bound)
