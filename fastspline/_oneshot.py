"""`smooth_spline` and `resample`: a fit in one call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple, TypedDict, Unpack, cast, overload

import numpy as np
from numpy.typing import ArrayLike

from fastspline._arguments import Boundary, check_gamma, check_lam
from fastspline._clock import read_knots
from fastspline._fit import Group
from fastspline._freedom import DegreesOfFreedom
from fastspline._labels import in_order
from fastspline._parts import Lam, Part, Problem, Table, read_table
from fastspline._score import Criterion
from fastspline._search import Choice
from fastspline._selection import CRITERIA, choose_shared
from fastspline._smoother import Smoother
from fastspline._solvers.tableau import ALL_ONE, Vector
from fastspline._source import Source, read_columns
from fastspline._spline import Spline
from fastspline._typing import NumpyLike, OneColumn, SeveralColumns, UnknownShape
from fastspline.arrays import FloatArray, JoinParts, read_array


class _Apart(TypedDict, total=False):
    """What `smooth_spline` takes beside data and lam, with one lam a column."""

    weights: ArrayLike | None
    axis: int | str
    duplicates: Literal["raise", "merge"]
    missing: Literal["raise", "omit"]
    bc: Boundary
    roughness: ArrayLike | None
    loss: Literal["squared", "huber", "tukey"]
    gamma: float


class _Options(_Apart, total=False):
    """What `smooth_spline` takes beside data and lam."""

    shared: bool


class _Linear(TypedDict, total=False):
    """What `resample` takes beside arrays."""

    lam: float
    weights: ArrayLike | None
    axis: int | str
    out: FloatArray | None


@overload
def smooth_spline(
    knots: ArrayLike, values: UnknownShape, *, lam: Lam = ..., **options: Unpack[_Options]
) -> Spline[Any, Any]: ...
@overload
def smooth_spline(
    knots: ArrayLike, values: OneColumn, *, lam: Lam = ..., **options: Unpack[_Options]
) -> Spline[float, float]: ...
@overload
def smooth_spline(
    knots: ArrayLike, values: SeveralColumns, *, lam: Criterion = ..., **options: Unpack[_Apart]
) -> Spline[Vector, Vector]: ...
@overload
def smooth_spline(
    knots: ArrayLike, values: ArrayLike, *, lam: Lam = ..., **options: Unpack[_Options]
) -> Spline[Any, Any, Any]: ...


def smooth_spline(
    knots: ArrayLike,
    values: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    lam: Lam = "gcv",
    axis: int | str = 0,
    duplicates: Literal["raise", "merge"] = "raise",
    missing: Literal["raise", "omit"] = "raise",
    bc: Boundary = "natural",
    roughness: ArrayLike | None = None,
    shared: bool = False,
    loss: Literal["squared", "huber", "tukey"] = "squared",
    gamma: float = 1.0,
) -> Spline[Any, Any, Any]:
    """Fit a smoothing spline to values at knots.

    It is the natural cubic spline f that minimises
    ``sum(weights * (values - f(knots))**2) + lam * integral(f''**2)``.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending; with ``duplicates="merge"`` in any order, and some may be equal. Times
        are counted in seconds, see `Smoother`.
    values : array_like, shape (..., n, ...)
        Values at the knots along `axis`; all other axes are independent columns, and complex
        numbers are two: see `Spline`.
    weights : array_like, shape (n,) or (..., n, ...), optional
        Not negative and not squared; default ones. Values at knots of weight 0 are not looked at.
        Shaped as the values, each value has its own; columns with the same weights share a plan.
    lam : float, array_like, "gcv", "gcv-plain", "loo", "reml" or DegreesOfFreedom, optional
        A number in [0, inf] for all columns, an array with one a column (of the shape of `values`
        without `axis`), the name of a score that chooses one for each column, see `select_lam`
        ("reml" needs natural ends and no roughness weights), or ``DegreesOfFreedom(df)``, see
        `lam_for_df`.
    axis : int, optional
        Axis of `values` that runs along the knots; of a DataArray also by name.
    duplicates : "raise" or "merge", optional
        "merge" puts the weighted mean of values at equal knots in their place, with the sum of
        their weights: curve, lam and scores are those of the values as they were given.
        `Spline.knots` then holds each knot once, ascending.
    missing : "raise" or "omit", optional
        What NaN among the values means: an error, or that the column has no value there. Columns
        that lack the same values share a plan; the curve of a column without any is NaN.
    bc, roughness
        As in `Smoother`; one roughness weight for each gap between different knots. With them, or
        with merged values, choosing lam by a score takes milliseconds a column.
    shared : bool, optional
        Whether a score chooses one lam for all columns, by the sum of their scores, also where they
        lack different values. Only for lam that is the name of a score, and the squared loss.
    loss : "squared", "huber" or "tukey", optional
        What is added up of residuals, in units of the noise. "huber": squares up to 1.345 standard
        deviations, beyond them lines, so that no value pulls harder than that. "tukey": a loss that
        is constant from 4.685 on, so that values far away do not pull at all. The noise is told by
        a median of residuals, which fewer than half of the values do not move; lam is chosen for
        the weights that values have in the end. `Spline.outliers` tells which lie far away. Takes
        milliseconds a column.
    gamma : float, optional
        With ``lam="gcv"`` or "gcv-plain", whose scores then have ``n - gamma df`` in the place of
        ``n - df``: above 1 for smoother curves, 1.4 as a guard against chance (Kim and Gu 2004).
        Every score takes noise that is alike at neighbours for a part of the curve; where it is
        AR(1) of correlation r, ``gamma = (1 + r) / (1 - r)`` finds about as many degrees of
        freedom as without (bands stay too narrow). Takes milliseconds a column.

    Returns
    -------
    Spline

    Warns
    -----
    UserWarning
        If the optimum of a score lies at a bound of the search, see `select_lam`, or if a column
        has no value that counts.

    Raises
    ------
    ValueError
        If knots do not ascend, an entry is not finite, lengths do not match, lam or a weight is
        negative, all weights of a column are 0, or an option is none of the above.
    TypeError
        If an argument does not hold real numbers.

    References
    ----------
    P. J. Green and B. W. Silverman, "Nonparametric Regression and Generalized Linear Models"
    (1994), chapter 2. P. J. Huber and E. M. Ronchetti, "Robust Statistics" (2nd ed. 2009), section
    7.8, for other losses. Y.-J. Kim and C. Gu, "Smoothing spline Gaussian regression: more scalable
    computation via efficient approximation", J. R. Statist. Soc. B 66 (2004), 337-356, for gamma.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0.0, 1.0, 30)
    >>> line = smooth_spline(x, 2.0 * x + 1.0, lam=1e-3)
    >>> np.allclose(line([0.25, 2.0]), [1.5, 5.0])
    True
    >>> mean = smooth_spline([1, 0, 2, 1], [1.0, 0.0, np.nan, 3.0], lam=0.0,
    ...                      duplicates="merge", missing="omit")
    >>> mean([1.0, 2.0]).tolist()
    [2.0, 4.0]
    >>> y = np.sin(6.0 * x) + 0.1 * np.cos(40.0 * np.arange(30) ** 2)
    >>> y[[4, 11, 20]] += 5.0
    >>> np.flatnonzero(smooth_spline(x, y, loss="tukey").outliers)
    array([ 4, 11, 20])
    """
    problem = Problem(
        knots, values, weights, lam, axis, duplicates, missing, bc, roughness, shared, loss, gamma
    )
    fit = fit_columns(problem)
    if fit.choice is not None:
        fit.choice.warn()
    if fit.lost:
        import warnings

        of = f"{fit.lost} columns have" if fit.lost > 1 else "one column has"
        warnings.warn(f"{of} no value that counts; the curve there is NaN", UserWarning, 2)
    return fit.spline


class Fit(NamedTuple):
    """A spline, how lam was chosen, if it was, and how many columns have no values."""

    spline: Spline
    choice: Choice | None
    lost: int = 0


def fit_columns(problem: Problem) -> Fit:
    """`smooth_spline` without its warnings."""
    knots, values, weights, lam, axis, duplicates, missing, bc, roughness, *_ = problem
    together, loss = problem.shared, problem.loss
    _check_option("duplicates", duplicates, ("raise", "merge"))
    _check_option("missing", missing, ("raise", "omit"))
    _check_option("loss", loss, ("squared", "huber", "tukey"))
    if together:
        _check_shared(lam, loss)
    problem = problem._replace(gamma=check_gamma(problem.gamma, lam))
    is_plain = duplicates == missing == "raise" and loss == "squared"
    if is_plain and isinstance(lam, int | float) and not _is_table(weights):
        plan = Smoother(knots, lam=lam, weights=weights, bc=bc, roughness=roughness)
        return Fit(plan.fit(values, axis=axis), None)
    read, clock = read_knots(knots)
    columns, (trailing, axis), restore, labels = read_columns(values, read.size, axis)
    weights = in_order(weights, labels)
    problem = problem._replace(weights=weights)
    if isinstance(restore, JoinParts) and _is_table(weights):  # real and imaginary parts have one
        own, _ = read_array(cast(ArrayLike, weights), "weights")
        problem = problem._replace(weights=np.stack([own, own], axis=-1))
    given, shared = _read_lam(lam, trailing)
    table = read_table(problem, read, columns.astype(np.float64), (trailing, axis))
    lams = np.empty(columns.shape[1])
    made: list[Sequence[Group]] = []
    choices: list[Choice] = []
    lost = 0
    parts = list(table.parts(omit=missing == "omit"))
    if together and any(part.counts for part in parts):
        telling = [part.group(problem, 0.0) for part in parts if part.counts]
        choices = [choose_shared(telling, cast(Criterion, lam), problem.gamma)]
        given, shared = np.broadcast_to(choices[0].lam, max(columns.shape[1], 1)), True
        problem = problem._replace(lam=float(given[0]))
    for part in parts:
        if not part.counts:
            made.append([part.lost(problem)])
            lams[part.columns] = np.nan
            lost += part.columns.size
            continue
        groups, lams_of_part, choice = _fit_part(problem, table, part, given)
        made.append(groups)
        lams[part.columns] = lams_of_part
        choices += choice
    lams.flags.writeable = False
    one = (shared and len(made) == len(made[0]) == 1) or not trailing
    everything = made[0] if len(made) == 1 else tuple(chain.from_iterable(made))
    alone = np.nan if lost or not one else everything[0].plan.lam
    all_lams = alone if one else lams.reshape(trailing)
    if labels is not None and duplicates == "merge":
        labels = labels.take(table.rows, axis)
    source = Source(clock, labels)
    spline = Spline(everything, (trailing, axis), restore, all_lams, source)
    return Fit(spline, Choice.joined(choices), lost)


def _check_shared(lam: Lam, loss: str) -> None:
    """Raise if there is no score of which columns could share the lam."""
    is_chosen = isinstance(lam, str)
    if not is_chosen:
        raise ValueError(
            f'shared=True is for a lam that a score chooses, as lam="gcv", got lam={lam!r}; '
            "a number or DegreesOfFreedom is one for all columns anyway"
        )
    if loss != "squared":
        raise ValueError(
            f'shared=True is for loss="squared", got loss={loss!r}: other losses weigh the values '
            "of each column by its own lam; give one lam as a number"
        )


def _is_table(weights: ArrayLike | None) -> bool:
    """Tell whether each value has a weight of its own."""
    if isinstance(weights, list | tuple):
        return bool(weights) and np.ndim(weights[0]) > 0
    return getattr(weights, "ndim", 1) > 1


def _fit_part(
    problem: Problem, table: Table, part: Part, given: Vector
) -> tuple[Sequence[Group], Vector, list[Choice]]:
    """Choose lam, and by what loss values count; give groups, lam, and choices if any."""
    if problem.loss == "squared" or not table.knots.size:  # refused alike
        lams, choice = part.choose(problem, given)
        return part.groups(problem, lams), lams, [] if choice is None else [choice]
    from fastspline._robust import reweigh  # few fits are robust

    made = [reweigh(problem, table, part, column, given) for column in range(part.columns.size)]
    groups, choices = [one.group for one in made], [one.choice for one in made]
    lams = np.array([group.plan.lam for group in groups])
    return groups, lams, [choice for choice in choices if choice is not None]


def _read_lam(lam: Lam, trailing: tuple[int, ...]) -> tuple[Vector, bool]:
    """Check lam; give one number a column, or none if to be chosen, and if one is for all."""
    if isinstance(lam, DegreesOfFreedom):
        return ALL_ONE, True
    if lam is None or isinstance(lam, str):
        if lam not in CRITERIA:
            raise (TypeError if lam is None else ValueError)(
                'lam must be a number in [0, inf], an array of them, "gcv", "gcv-plain", "loo", '
                f'"reml" or DegreesOfFreedom(df), got {lam!r}; "gcv" is the default'
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


def _check_option(name: str, option: str, allowed: tuple[str, ...]) -> None:
    """Raise unless an option is one of those allowed."""
    if option not in allowed:
        which = " or ".join(f'"{one}"' for one in allowed[-2:])
        which = "".join(f'"{one}", ' for one in allowed[:-2]) + which
        raise ValueError(f"{name} must be {which}, got {option!r}")


@overload
def resample(
    knots: ArrayLike, values: NumpyLike, points: ArrayLike, **options: Unpack[_Linear]
) -> FloatArray: ...
@overload
def resample(
    knots: ArrayLike, values: ArrayLike, points: ArrayLike, **options: Unpack[_Linear]
) -> Any: ...


def resample(
    knots: ArrayLike,
    values: ArrayLike,
    points: ArrayLike,
    *,
    lam: float = 0.0,
    weights: ArrayLike | None = None,
    axis: int | str = 0,
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
        A Series, DataFrame or DataArray with the points for labels, where `values` is one.

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
