"""Which lam: the minimiser of a score, whatever the units of the data, or the lam of given df."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._fit import Group, magnitude, rest_of
from fastspline._kernels import score_lanes, scores
from fastspline._operator import refuse_values
from fastspline._smoother import Boundary, Smoother
from fastspline._solvers.columns import INTERPRETED, THREADS_FROM
from fastspline._solvers.tableau import Gaps
from fastspline._threads import cut, default_threads, run_blocks
from fastspline.arrays import as_columns, read_array

Criterion: TypeAlias = Literal["gcv", "loo", "reml"]
Score: TypeAlias = Callable[[float, slice], NDArray[np.float64]]  # of lam and some columns

CRITERIA = {"gcv": scores.GCV, "loo": scores.LOO, "reml": scores.REML}
FURTHEST = -60.0, 20.0  # where df is sought
ROUND = 8  # trials of a round where a score is a Python function
COLUMN_WORK = 40  # scores of a column, about; to judge by how many threads pay


class Scores(NamedTuple):
    """Scores and what they are made of: one a column, but for `n` and `rest`, n - df."""

    n: int
    rest: float
    gcv: NDArray[np.float64]
    loo: NDArray[np.float64]
    reml: NDArray[np.float64]
    penalised: NDArray[np.float64]  # rss + lam J
    log_det: float  # what reml adds to (n - 2) log((rss + lam J) / (n - 2))


@dataclass(frozen=True, slots=True)
class DegreesOfFreedom:
    """Asks `smooth_spline` for the lam at which the curve has so many degrees of freedom.

    Parameters
    ----------
    df : float
        The trace of the map from values to fitted values, in (2, n], n the number of knots of
        positive weight; in (1, n] where ends are not natural.

    Raises
    ------
    ValueError
        If `df` is not a finite number above 1.
    TypeError
        If `df` is not a real number.

    Examples
    --------
    >>> from fastspline import smooth_spline
    >>> curve = smooth_spline(range(6), [0, 1, 0, 2, 1, 3], lam=DegreesOfFreedom(3))
    >>> round(curve.df, 9)
    3.0
    """

    df: float

    def __post_init__(self) -> None:
        """Check."""
        object.__setattr__(self, "df", _check_df(self.df))


class Choice(NamedTuple):
    """One lam a column, and on which side of the search it lies: -1, 0 (inside) or 1."""

    lam: NDArray[np.float64]
    bound: NDArray[np.int8]

    @staticmethod
    def joined(choices: list[Choice]) -> Choice | None:
        """Give the choices for several sets of columns as one, or None for none."""
        if not choices:
            return None
        lams, bounds = zip(*choices, strict=True)
        return Choice(np.concatenate(lams), np.concatenate(bounds))

    def warn(self, stacklevel: int = 3) -> None:
        """Warn of columns whose score has its optimum at a bound."""
        of = f" of {self.lam.size} columns" if self.lam.size > 1 else ""
        line, through = int((self.bound > 0).sum()), int((self.bound < 0).sum())
        if line:
            which = f"for {line}{of} " if of else ""
            warnings.warn(
                f"{which}the score is best for the straight line (lam = inf): the data show no "
                "curvature beyond their noise",
                UserWarning,
                stacklevel,
            )
        if through:
            which = f"for {through}{of} " if of else ""
            warnings.warn(
                f"{which}the score is best at the lower end of the search, next to interpolation: "
                "the data show no noise beyond the curve, or their errors are not independent; "
                "give lam, or DegreesOfFreedom",
                UserWarning,
                stacklevel,
            )


def select_lam(
    knots: ArrayLike,
    values: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    criterion: Criterion = "gcv",
    per_column: bool = True,
    axis: int = 0,
) -> NDArray[np.float64] | float:
    """Choose lam by the data: the minimiser of a score over [0, inf].

    With residuals res, leverages S_ii, their sum df, RSS = ``sum(w res**2)``, and J the integral of
    the squared second derivative, the scores are

    - "gcv", generalised cross-validation: ``n RSS / (n - df)**2``;
    - "loo", leave-one-out cross-validation: ``mean(w (res / (1 - S_ii))**2)``;
    - "reml", restricted maximum likelihood of the Gaussian process whose posterior mean the spline
      is (Wahba's GML): ``(n - 2) log((RSS + lam J) / (n - 2)) + log det(V) + log det(X' V^-1 X)``,
      V the covariance of the values in units of the noise's and X = [1, knots].

    Each evaluation is O(n), from exact residuals and leverages. The search runs over ``lam /
    (range**3 * sum(weights))``, so that the curve chosen does not depend on the units of knots,
    values or weights: on a grid, two points a decade, then round each of its minima, for there can
    be several. It ends next to interpolation, where n - df is n / 1000: below, where knots lie
    close together, scores can fall again by accidents of few values. The straight line (lam = inf)
    is a candidate; it is the answer where the values lie on a line, and for three knots, where
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
    criterion : {"gcv", "loo", "reml"}, optional
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
    eq. 1.9. G. Wahba, "A comparison of GCV and GML for choosing the smoothing parameter in the
    generalized spline smoothing problem", Ann. Statist. 13 (1985), eq. 1.4.

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
    axis: int = 0,
) -> tuple[NDArray[np.float64] | float, Choice]:
    """`select_lam` without its warning: that is left to the caller."""
    if criterion not in CRITERIA:
        raise ValueError(f'criterion must be "gcv", "loo" or "reml", got {criterion!r}')
    plan = Smoother(knots, lam=0.0, weights=weights)
    array, _ = read_array(values, "values")
    columns, trailing, axis = as_columns(array, plan.knots.size, axis, "values", "knots")
    active = plan._active
    doubles = np.ascontiguousarray(columns[active], np.float64)
    if not np.isfinite(doubles).all():
        refuse_values(columns, active, trailing, axis, 0)
    choice = choose_lam(plan._solver.gaps, doubles, criterion, shared=not per_column)
    if per_column and trailing:
        return choice.lam.reshape(trailing), choice
    return float(choice.lam[0]), choice


def choose_for(group: Group, criterion: Criterion) -> Choice:
    """Search for the lam of each column of a group, whatever its plan's ends and repeats."""
    plan = group.plan
    gaps = plan._solver.gaps
    plain = plan.bc == "natural" and plan.roughness is None
    active = plan._active
    if plain and group.repeats is None:
        return choose_lam(gaps, np.ascontiguousarray(group.values[active]), criterion)
    if criterion == "reml" and not plain:
        raise ValueError(
            'criterion "reml" is defined here for natural ends without roughness weights; '
            'take "gcv" or "loo"'
        )
    columns, distinct = group.values.shape[1], np.unique(active).size
    rows = distinct if group.repeats is None else np.count_nonzero(group.repeats.weights)
    least = 2 if plan.bc == "natural" else 1
    if distinct <= least or rows == least + 1:  # every lam gives the same curve, or the same score
        same = np.inf if rows > least else 0.0
        return Choice(np.full(columns, same), np.zeros(columns, np.int8))

    def score(lam: float, part: slice) -> NDArray[np.float64]:
        tried = group._replace(plan=plan._with_lam(lam), values=group.values[:, part])
        if group.repeats is not None:
            repeats = group.repeats._replace(values=group.repeats.values[:, part])
            tried = tried._replace(repeats=repeats)
        if criterion == "reml":
            return score_group(tried, criterion)
        rest = rest_of(tried)
        made: NDArray[np.float64] = getattr(rest._replace(power=0 * rest.power), criterion)
        return made

    rough = np.ones(1) if plan.roughness is None else plan.roughness
    weights = np.ones(1) if plan.weights is None else plan.weights[active]
    whole = (plan.knots[-1] - plan.knots[0]) ** 3 * weights.mean() * active.size
    shortest = np.diff(gaps.knots).min()
    lower = np.log10(scores.NEAR * shortest**3 * weights.min() / rough.max())

    def share(place: float) -> float:
        solver = plan._with_lam(10.0**place)._solver.exact()
        return float(solver.leverages()[1].mean())

    upper = 10.0**scores.UPPER * whole / rough.min()
    choice = minimise_score(score, 10.0 ** _raise_lower(share, lower), upper)
    rest = rest_of(group._replace(plan=plan._with_lam(np.inf)))
    stiff = np.abs(rest.residuals).max(axis=0) <= scores.ROUNDING  # scores are rounding
    return Choice(np.where(stiff, np.inf, choice.lam), np.where(stiff, np.int8(0), choice.bound))


def _raise_lower(share: Callable[[float], float], lower: float) -> float:
    """Give the least place where `share`, n - df over n, is not too small to tell anything."""
    before, here = np.nan, share(lower)
    if here >= scores.LEAST_REST:
        return lower
    while here < scores.LEAST_REST:
        lower += 0.25 * scores.STEP
        before, here = here, share(lower)
    beyond = np.log(here / scores.LEAST_REST) / np.log(here / before)
    return float(lower - beyond * 0.25 * scores.STEP)


def score_group(group: Group, criterion: Criterion) -> NDArray[np.float64]:
    """Give a score of each column of a group ("reml": for natural ends, no roughness weights)."""
    if criterion != "reml":
        made: NDArray[np.float64] = getattr(rest_of(group), criterion)
        return made
    plan = group.plan
    active, gaps = plan._active, plan._solver.gaps
    y = np.ascontiguousarray(group.values[active])
    if group.repeats is None:
        return scores_at(gaps, gaps.scaled_lam, y).reml
    if active[0] == active[-1]:  # one knot has no line
        return np.full(y.shape[1], np.nan)
    # Repeats add their squares about their means, and of V the determinants of their weights.
    power = magnitude(group)
    merged = scores_at(gaps, gaps.scaled_lam, np.ldexp(y, -power))
    knot, values, own = group.repeats
    counts = own > 0.0
    knot, values, own = knot[counts], values[counts], own[counts]
    apart = np.ldexp(values - group.values[knot], -power)
    log_det = merged.log_det - float(np.log(own).sum())
    log_det += float(np.log(gaps.weights).sum()) if gaps.weights.size else 0.0
    within = np.einsum("i,ij,ij->j", own, apart, apart)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_variance = np.log((within + merged.penalised) / np.float64(own.size - 2))
        result: NDArray[np.float64] = (own.size - 2) * (log_variance + 2.0 * np.log(2.0) * power)
    return result + log_det


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
    lam, bound = np.empty(columns), np.empty(columns, np.int8)

    def work(first: int, stop: int) -> int:
        bad: int = score_lanes.search_columns(
            CRITERIA[criterion], gaps.knots, gaps.h, gaps.unit, gaps.weights, gaps.top,
            y, first, stop, lam, bound,
        )  # fmt: skip
        return bad

    threads = default_threads() if y.size * COLUMN_WORK >= THREADS_FROM and columns > 1 else 1
    run_blocks(work, cut(columns, max(1, min(64, columns // (4 * threads)))), threads)
    return Choice(lam * gaps.unit**3 * gaps.top, bound)


def _search_plainly(gaps: Gaps, y: NDArray[np.float64], criterion: str, *, shared: bool) -> Choice:
    """`choose_lam` by the plain kernel: for all columns together, or without the compiler."""
    if shared:  # in one unit, for their scores are added up
        y = np.ldexp(y, -np.frexp(np.abs(y).max(initial=0.0))[1])
    unit = gaps.unit**3 * gaps.top
    whole, lower = scores.search_range(gaps.h, _scaled_weights(gaps))
    rises, power, exact = _differences(gaps, y)
    if shared:
        rises, power, exact = rises[:, ~exact].copy(), power[~exact], np.array([exact.all()])

    def score(lam: float, part: slice) -> NDArray[np.float64]:
        part = slice(None) if shared else part
        some = np.ascontiguousarray(rises[:, part])
        made: NDArray[np.float64] = getattr(
            _scores_of(gaps, lam / unit, some, power[part]), criterion
        )
        return made.sum(keepdims=True) if shared else made

    scale = whole * unit
    nothing = np.zeros((gaps.h.size, 0)), np.zeros(0, power.dtype)
    lower = _raise_lower(
        lambda place: _scores_of(gaps, whole * 10.0**place, *nothing).rest / gaps.knots.size, lower
    )
    choice = minimise_score(score, scale * 10.0**lower, scale * 10.0**scores.UPPER)
    bound = np.where(exact, np.int8(0), choice.bound)
    return Choice(np.where(exact, np.inf, choice.lam), bound)


def minimise_score(score: Score, lower: float, upper: float) -> Choice:
    """Minimise ``score(lam, columns)``, one number a column, over [lower, upper] and inf, for each.

    Slow but general: a grid for all columns, then each of its minima, column by column.
    """
    low, high = np.log10(lower), np.log10(upper)
    grid = np.linspace(low, high, max(int((high - low) / scores.STEP) + 2, 3))
    table = np.array([score(10.0**place, slice(None)) for place in grid])
    table[~np.isfinite(table)] = np.inf
    line = score(np.inf, slice(None))
    lam, bound = np.empty(line.size), np.zeros(line.size, np.int8)
    places, found = np.empty((2, ROUND + 2))
    for j in range(line.size):
        place, least = _refine((score, j), grid, table[:, j].copy(), grid.size, places, found)
        if line[j] <= least:
            lam[j], bound[j] = np.inf, 1
        else:
            lam[j], bound[j] = 10.0**place, -1 if place <= low + scores.AT_BOUND else 0
    return Choice(lam, bound)


def _score_places(
    problem: tuple[Score, int], places: NDArray[np.float64], found: NDArray[np.float64]
) -> None:
    """Evaluate one column's score: see `scores.make_refine`."""
    score, j = problem
    found[1:-1] = [score(10.0**place, slice(j, j + 1))[0] for place in places[1:-1]]
    found[~np.isfinite(found)] = np.inf


_refine = scores.make_refine(_score_places, lambda function: function)  # type: ignore[no-untyped-call]


def scores_at(gaps: Gaps, scaled_lam: float, y: NDArray[np.float64]) -> Scores:
    """Score each column of `y` (active knots, columns) at one lam, in the units of `gaps`.

    Exact to rounding also where residuals or 1 - leverages are tiny. With n = 2, and for gcv at
    lam = 0, scores are NaN: 0 / 0.
    """
    n, columns = gaps.knots.size, y.shape[1]
    if n == 2:
        nothing, zero = np.full(columns, np.nan), np.zeros(columns)
        log_det = 2.0 * float(np.log(gaps.h[0] * gaps.unit))
        return Scores(n, 0.0, nothing, nothing, nothing, zero, log_det)
    rises, power, _ = _differences(gaps, np.ascontiguousarray(y))
    return _scores_of(gaps, scaled_lam, rises, power)


def _differences(
    gaps: Gaps, y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.bool_]]:
    """Give what `_scores_of` needs: the values' differences less those of their line, and a scale.

    Times 2**-power, so that squares neither over- nor underflow; and which columns are lines.
    """
    power = np.frexp(np.abs(y).max(initial=0.0, axis=0))[1]
    rises, exact = np.empty((y.shape[0] - 1, y.shape[1])), np.empty(y.shape[1], np.bool_)
    x = (gaps.knots - gaps.knots[0]) / gaps.unit
    scores.subtract_lines(x, _scaled_weights(gaps), np.ldexp(y, -power), rises, exact)
    return rises, power, exact


def _scores_of(
    gaps: Gaps, scaled_lam: float, rises: NDArray[np.float64], power: NDArray[np.int32]
) -> Scores:
    """`scores_at` for prepared columns."""
    n, sums = gaps.knots.size, np.empty((3, rises.shape[1]))
    rest, log_det = scores.score_columns(gaps.h, _scaled_weights(gaps), scaled_lam, rises, sums)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        unit = np.ldexp(gaps.top, 2 * power)
        gcv = n * sums[scores.GCV] / rest**2 * unit
        loo = sums[scores.LOO] / n * unit
        log_variance = np.log(sums[scores.REML] / (n - 2)) + 2.0 * np.log(2.0) * power
        reml = (n - 2) * log_variance + log_det + 2.0 * np.log(gaps.unit)
        noise = min(scaled_lam, 1.0)  # of V in these sums
        penalised = sums[scores.REML] * (unit * noise)
        log_det += 2.0 * np.log(gaps.unit) - (n - 2) * (np.log(gaps.top) + np.log(noise))
    return Scores(n, rest, gcv, loo, reml, penalised, float(log_det))


def lam_for_df(
    knots: ArrayLike,
    df: float,
    *,
    weights: ArrayLike | None = None,
    bc: Boundary = "natural",
    roughness: ArrayLike | None = None,
) -> float:
    """Give the lam at which the smoothing spline has `df` degrees of freedom.

    df, the trace of the map from values to fitted values, falls from n at lam = 0 to 2 at lam = inf
    (1 where ends are not natural); it does not depend on the values.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending; at least three of positive weight (two where ends are not natural).
    df : float
        In (2, n], n counting the knots of positive weight; (1, n] where ends are not natural.
    weights, bc, roughness
        As in `Smoother`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If `df` lies outside its range or next to an end of it, and as `Smoother`.
    TypeError
        If `df` is not a real number, and as `Smoother`.

    References
    ----------
    T. J. Hastie and R. J. Tibshirani, "Generalized Additive Models" (1990), section 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0.0, 1.0, 40)
    >>> round(Smoother(x, lam=lam_for_df(x, 7.5)).df, 9)
    7.5
    """
    from scipy.optimize import brentq

    wanted = _check_df(df)
    through = Smoother(knots, lam=0.0, weights=weights, bc=bc, roughness=roughness)
    most, least = round(through.df), 2 if through.bc == "natural" else 1
    if most <= least:
        raise ValueError(
            f"df is at most {most} for {most} knots of positive weight, whatever lam; give at "
            f"least {least + 1} knots"
        )
    if not least < wanted <= most:
        raise ValueError(
            f"df must lie in ({least}, {most}], at most the number of knots of positive weight, "
            f"got {df}; lam = 0 gives the largest, lam = inf gives {least}"
        )
    if wanted == most:
        return 0.0
    active = through._active
    weight = float(active.size) if through.weights is None else float(through.weights[active].sum())
    rough = 1.0 if through.roughness is None else float(through.roughness.mean())
    scale = float(through.knots[-1] - through.knots[0]) ** 3 * weight / rough

    def excess(place: float) -> float:
        """Give df - wanted, from df or n - df, whichever is the smaller sum."""
        plan = through._with_lam(scale * 10.0**place)
        lever, complement = plan._solver.exact().leverages()
        if wanted <= 0.5 * most:
            return float(lever.sum() - wanted)
        return float((most - wanted) - (complement.sum() - (complement.size - most)))

    low, high = -4.0, 0.0
    while excess(low) < 0.0 and low > FURTHEST[0]:
        low -= 4.0
    while excess(high) > 0.0 and high < FURTHEST[1]:
        high += 4.0
    if not excess(low) > 0.0 > excess(high):
        line = excess(low) > 0.0
        end = f"{least}; take lam = inf" if line else f"{most}; lam = 0 interpolates"
        raise ValueError(f"df = {df} cannot be told from {end}")
    return float(scale * 10.0 ** brentq(excess, low, high, xtol=1e-14, rtol=1e-14))


def _check_df(df: float) -> float:
    """Give df as a finite float above 1."""
    if isinstance(df, bool) or not isinstance(df, Real):
        raise TypeError(f"df must be a real number in (2, n], got {df!r}")
    if not 1.0 < df < np.inf:
        raise ValueError(
            f"df must lie in (2, n], n the number of knots of positive weight, got {df}; lam = inf "
            "gives 2, the straight line (1 is least where ends are not natural)"
        )
    return float(df)


def _scaled_weights(gaps: Gaps) -> NDArray[np.float64]:
    """Give one weight a knot, at most about 1."""
    return gaps.weights / gaps.top if gaps.weights.size else np.ones(gaps.knots.size)
