"""`smooth_grid`: data on a grid, smoothed along one axis after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._arguments import check_lam
from fastspline._freedom import DegreesOfFreedom, lam_for_df
from fastspline._kernels.scores import caution
from fastspline._labels import take_labels
from fastspline._operator import SplineOperator
from fastspline._plan import Plan
from fastspline._search import minimise_score, search_bounds
from fastspline._smoother import Smoother
from fastspline.arrays import (
    FloatArray,
    JoinParts,
    Restore,
    read_numbers,
    require_finite,
    split_parts,
)

LamOfAxis: TypeAlias = float | Literal["gcv"] | DegreesOfFreedom
Matrix: TypeAlias = NDArray[np.float64]

SWEEPS = 20  # through the axes, at most; three are usual
SETTLED = 1e-3  # decades by which no lam moves any more
ROUNDS = 1000  # of conjugate gradients, at most
OPEN = 1e-13  # of the number of points: what of a line values do not tell
CLOSE = 1e-13  # of the values' spread: where they end


def smooth_grid(
    knots_by_axis: Sequence[ArrayLike],
    values: ArrayLike,
    *,
    lam: LamOfAxis | Sequence[LamOfAxis] | FloatArray,
    weights_by_axis: Sequence[ArrayLike | None] | None = None,
    points_by_axis: Sequence[ArrayLike] | None = None,
    missing: Literal["raise", "omit"] = "raise",
) -> FloatArray:
    """Smooth data on a grid by the tensor product of one smoothing spline an axis.

    Applies S_1 to the first axis, S_2 to the second, and so on, in any order the same: S_a maps
    values at the knots of axis a to the spline of `Smoother` there. In two dimensions the result is
    the natural tensor product spline f that minimises, for weights of 1,

        ``sum((values - f)**2) + lam_1 sum_y int f_xx**2 + lam_2 sum_x int f_yy**2
        + lam_1 lam_2 int int f_xxyy**2``,

    the sums running over the knots of the axis that is not integrated along. O(size of values).
    Memory: one more array of the size of `values` beside the result.

    Parameters
    ----------
    knots_by_axis : sequence of array_like, shapes (n_1,), ..., (n_d,)
        Strictly ascending, one vector for each of the first d axes of `values`.
    values : array_like, shape (n_1, ..., n_d, ...)
        Axes after the first d are independent columns: colours, times, samples.
    lam : float, "gcv" or DegreesOfFreedom, or a sequence of d of them
        In [0, inf], one for all axes or one an axis. As it multiplies a squared second derivative,
        it has the unit of its axis's knots cubed. ``DegreesOfFreedom(df)`` stands for the lam of
        `lam_for_df` along the axis. "gcv" chooses those of its axes together, by the robust score
        of `select_lam` for the whole grid and all its columns: n counts its points, df is the
        product of the axes', leverages are products too. From the lam of least score along one
        axis to that along the next, and again, until none moves.
    weights_by_axis : sequence of (array_like or None), shapes (n_1,), ..., (n_d,), optional
        The weight of a point is the product of its weights along the axes; None stands for ones.
        Values of weight 0 are not looked at: there f is only evaluated.
    points_by_axis : sequence of array_like, shapes (m_1,), ..., (m_d,), optional
        Where f is evaluated, in any order; default the knots. Beyond them f goes on as lines along
        each axis.
    missing : "raise" or "omit", optional
        What NaN among the values means: an error, or that there is no value. Then the sum of
        squares runs over the values that there are, and the minimiser is found by conjugate
        gradients, each step of which smooths the grid once: tens for gaps of a few points, hundreds
        for large ones. "gcv" needs all values.

    Returns
    -------
    array of the kind and dtype of `values`, shape (m_1, ..., m_d, ...)
        The values of f, in C order; on the grid itself by default, with the labels of `values`.

    Raises
    ------
    ValueError
        If knots, lam or weights are not as `Smoother` takes them, if there is not one of them for
        each axis, if `values` has not the grid's shape, or holds a number that is not finite at a
        point of positive weight; if values that are missing leave f open, as with lam = 0 along all
        axes.
    TypeError
        If an argument does not hold real numbers.

    References
    ----------
    C. de Boor, "Efficient Computer Manipulation of Tensor Products", ACM Transactions on
    Mathematical Software 5 (1979), 173-182. D. Garcia, "Robust smoothing of gridded data in one and
    higher dimensions with missing values", Comput. Stat. Data Anal. 54 (2010), for the fixed point
    that missing values satisfy.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.linspace(0.0, 1.0, 5), np.linspace(0.0, 2.0, 7)
    >>> plane = 1.0 + x[:, np.newaxis] - 2.0 * y
    >>> np.allclose(smooth_grid([x, y], plane, lam=[0.1, np.inf]), plane)
    True
    >>> plane[2, 3] = np.nan
    >>> smooth_grid([x, y], plane, lam=1e-3, missing="omit", points_by_axis=[[0.5], [1.0]])
    array([[-0.5]])
    """
    if missing not in ("raise", "omit"):
        raise ValueError(f'missing must be "raise" or "omit", got {missing!r}')
    given = take_labels(values, "values")
    array, restore = _read_values(given.numbers)
    lams, weights = _read_axes(knots_by_axis, lam, weights_by_axis)
    plans = _plan_axes(knots_by_axis, lams, weights)
    grid = tuple(plan.knots.size for plan in plans)
    if array.shape[: len(grid)] != grid:
        raise ValueError(
            f"values has shape {array.shape} and the knots make a grid of shape {grid}; "
            "the first axes of values must run along knots_by_axis, in this order"
        )
    points = [plan.knots for plan in plans] if points_by_axis is None else list(points_by_axis)
    if len(points) != len(plans):
        raise ValueError(
            f"points_by_axis has {len(points)} entries and knots_by_axis {len(plans)}; "
            "give one an axis"
        )
    array = _without_weightless(array, plans)
    absent = np.isnan(array) if missing == "omit" else None
    chosen = [axis for axis, one in enumerate(lams) if isinstance(one, str)]
    if absent is not None and absent.any():
        if chosen:
            raise ValueError('lam="gcv" needs all values of a grid; give lam, or DegreesOfFreedom')
        require_finite(np.where(absent, 0.0, array), "values")
        array = _complete(array, absent, plans)
    require_finite(array, "values")
    if chosen:
        plans = _choose(plans, chosen, array)
    operators = [plan.operator(place) for plan, place in zip(plans, points, strict=True)]
    result = restore(_apply(operators, array))
    if given.labels is None or points_by_axis is not None:
        return result
    labelled: FloatArray = given.labels.put(result, 0, None)
    return labelled


def _read_values(values: ArrayLike) -> tuple[FloatArray, Restore]:
    """Give real values, complex ones as two along a last axis, and the way back."""
    array, restore = read_numbers(values, "values")
    if array.dtype.kind != "c":
        return array, restore
    return split_parts(array), JoinParts(restore.dtype, restore.device)


def _apply(operators: Sequence[SplineOperator], array: FloatArray) -> FloatArray:
    """Apply one operator an axis.

    Each step takes the last axis, reads its rows as columns, and leaves it first: after all steps
    the axes stand in their order again, and no step had to copy.
    """
    d = len(operators)
    rotated = np.moveaxis(array, range(d), range(array.ndim - d, array.ndim))
    for apply in reversed(operators):
        m, n = apply.shape
        others = rotated.shape[:-1]
        rotated = apply(rotated.reshape(-1, n).T).reshape(m, *others)
    return rotated


def _read_axes(
    knots_by_axis: Sequence[ArrayLike],
    lam: LamOfAxis | Sequence[LamOfAxis] | FloatArray,
    weights_by_axis: Sequence[ArrayLike | None] | None,
) -> tuple[list[LamOfAxis], list[ArrayLike | None]]:
    """Give lam and weights of each axis."""
    if isinstance(knots_by_axis, np.ndarray) and knots_by_axis.ndim < 2:
        raise ValueError(
            "knots_by_axis must hold one vector of knots an axis, got an array of shape "
            f"{knots_by_axis.shape}; pass [knots] to smooth along the first axis only"
        )
    d = len(knots_by_axis)
    if d == 0:
        raise ValueError("knots_by_axis is empty; give one vector of knots an axis")
    one = isinstance(lam, str | DegreesOfFreedom) or np.ndim(lam) == 0  # type: ignore[arg-type]
    lams: list[Any] = [lam] * d if one else list(lam)  # type: ignore[arg-type]
    weights: list[Any] = [None] * d if weights_by_axis is None else list(weights_by_axis)
    for name, given in (("lam", lams), ("weights_by_axis", weights)):
        if len(given) != d:
            raise ValueError(
                f"{name} has {len(given)} entries and knots_by_axis {d}; give one an axis"
            )
    for axis, each in enumerate(lams):
        if isinstance(each, str):
            if each != "gcv":
                raise ValueError(
                    'lam of a grid must be a number in [0, inf], "gcv" or DegreesOfFreedom(df), '
                    f"got {each!r}"
                )
        elif not isinstance(each, DegreesOfFreedom):
            lams[axis] = check_lam(each, "lam" if one else f"lam[{axis}]")
    return lams, weights


def _plan_axes(
    knots_by_axis: Sequence[ArrayLike],
    lams: Sequence[LamOfAxis],
    weights: Sequence[ArrayLike | None],
) -> list[Smoother]:
    """Give one plan an axis; where lam is to be chosen, the one that interpolates."""
    plans = []
    for axis, (knots, lam, own) in enumerate(zip(knots_by_axis, lams, weights, strict=True)):
        try:
            if isinstance(lam, DegreesOfFreedom):
                number = lam_for_df(knots, lam.df, weights=own)
            else:
                number = 0.0 if isinstance(lam, str) else lam
            plan = Smoother(knots, lam=number, weights=own)
        except (TypeError, ValueError) as error:
            error.add_note(f"These are the knots, lam and weights of axis {axis} of the grid.")
            raise
        plans.append(plan)
    return plans


def _weights_of(plan: Smoother) -> Matrix:
    """Give the weight of each knot."""
    return np.ones(plan.knots.size) if plan.weights is None else plan.weights


def _outer(vectors: Sequence[Matrix], ndim: int) -> Matrix:
    """Give the product of one vector an axis, as an array of so many axes."""
    product: Matrix = reduce(np.multiply.outer, vectors)
    return product.reshape(product.shape + (1,) * (ndim - len(vectors)))


# --- the choice of lam ---------------------------------------------------------------------------


def _choose(plans: Sequence[Smoother], chosen: Sequence[int], array: FloatArray) -> list[Smoother]:
    """Give the plans with the lam of least score along some axes."""
    plans = list(plans)
    top = float(np.abs(array).max(initial=0.0)) or 1.0
    values = array.astype(np.float64) / top
    bounds = {axis: _bounds(plans[axis]) for axis in chosen}
    searched = [axis for axis in chosen if bounds[axis] is not None]
    for _ in range(SWEEPS if values.size else 0):
        before = [plans[axis].lam for axis in searched]
        for axis in searched:
            plans[axis] = _choose_one(plans, axis, values, bounds[axis])  # type: ignore[arg-type]
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = np.log10([plans[axis].lam for axis in searched]) - np.log10(before)
        if not (np.abs(moved) > SETTLED).any():  # inf less inf is none
            break
    return plans


def _bounds(plan: Smoother) -> tuple[float, float] | None:
    """Give the range of lam, or None where every lam gives the same."""
    weights = _weights_of(plan)
    active = weights > 0.0
    if np.count_nonzero(active) <= 2:
        return None
    return search_bounds(Plan(plan.knots[active], 0.0, weights[active]))


def _choose_one(
    plans: list[Smoother], axis: int, values: Matrix, bounds: tuple[float, float]
) -> Smoother:
    """Give the plan of one axis at the lam of least score, all others as they are."""
    mine = plans[axis]
    through = [
        (Smoother(one.knots, lam=0.0, weights=one.weights) if a == axis else one)
        for a, one in enumerate(plans)
    ]
    partly = _apply([one.operator(one.knots) for one in through], values)
    partly = np.moveaxis(partly, axis, 0).reshape(mine.knots.size, -1)
    wanted = np.moveaxis(values, axis, 0).reshape(mine.knots.size, -1)
    weights = _outer([_weights_of(one) for one in plans], values.ndim)
    weights = np.moveaxis(np.broadcast_to(weights, values.shape), axis, 0).reshape(wanted.shape)
    levers = [one.leverages for a, one in enumerate(plans) if a != axis]
    n = math.prod(int(np.count_nonzero(_weights_of(one))) for one in plans)
    others = math.prod(float(one.sum()) for one in levers)
    squares = math.prod(float(one @ one) for one in levers)

    def score(lam: float, part: slice) -> Matrix:  # noqa: ARG001 (one score for all columns)
        plan = Smoother(mine.knots, lam=lam, weights=mine.weights)
        left = wanted - plan.operator(plan.knots)(partly)
        lever = plan.leverages
        df = float(lever.sum()) * others
        squared = n - 2.0 * df + float(lever @ lever) * squares
        rest = n - df
        rss = float(np.einsum("ij,ij,ij->", weights, left, left))
        return np.array([n * rss / rest**2 * caution(n, rest, squared)])

    lam = float(minimise_score(score, *bounds).lam[0])
    return Smoother(mine.knots, lam=lam, weights=mine.weights)


# --- missing values ------------------------------------------------------------------------------


def _complete(
    array: FloatArray, absent: NDArray[np.bool_], plans: Sequence[Smoother]
) -> FloatArray:
    """Give the values with f in place of the missing ones: then f is what smoothing them gives.

    With S the smoother, m the missing ones and o the others, ``(I - S_mm) f_m = S_mo y_o``, a
    system that is symmetric and positive in the inner product of the weights.
    """
    _refuse_open(absent, plans)
    operators = [plan.operator(plan.knots) for plan in plans]
    weights = np.broadcast_to(
        _outer([_weights_of(plan) for plan in plans], array.ndim), array.shape
    )
    w = weights[absent]
    counts = weights * ~absent
    with np.errstate(invalid="ignore"):
        mean = float(np.average(np.where(absent, 0.0, array), weights=counts))
    filled = np.where(absent, mean, array).astype(np.float64)
    spread = float(np.abs(filled - mean).max())

    def excess(of_missing: Matrix) -> Matrix:
        whole = np.zeros(array.shape)
        whole[absent] = of_missing
        return of_missing - np.asarray(_apply(operators, whole), np.float64)[absent]

    found = np.zeros(w.size)
    rest = np.asarray(_apply(operators, filled), np.float64)[absent] - mean
    way, power = rest, float(w @ rest**2)
    enough = w.sum() * (CLOSE * spread) ** 2
    for _ in range(ROUNDS):
        if power <= enough:
            filled[absent] += found
            return filled.astype(array.dtype)
        step = excess(way)
        slope = float(w @ (way * step))
        if not slope > 0.0:
            break
        found = found + power / slope * way
        rest = rest - power / slope * step
        before, power = power, float(w @ rest**2)
        way = rest + power / before * way
    raise ValueError(
        f"f where values are missing was not found in {ROUNDS} steps: they are told by values far "
        "away; give larger lam, or leave out the lines of the grid that hold most of them"
    )


def _refuse_open(absent: NDArray[np.bool_], plans: Sequence[Smoother]) -> None:
    """Raise where the values do not tell the part of f that costs nothing.

    Along axes with a positive lam it is made of lines, along the others it may be anything.
    """
    stiff = [axis for axis, plan in enumerate(plans) if plan.lam > 0.0]
    told = ~absent
    for axis, plan in enumerate(plans):  # what is only evaluated need not be told
        told = told.compress(_weights_of(plan) > 0.0, axis)
    told = np.moveaxis(told, stiff, range(len(stiff)))
    lines: Matrix = np.ones((1, 1))
    for axis in stiff:
        x = plans[axis].knots[_weights_of(plans[axis]) > 0.0]
        whole = float(x[-1] - x[0])
        line = np.stack([x**0, (x - x.mean()) / whole], axis=1) if whole else np.ones((1, 1))
        lines = np.asarray(np.kron(lines, line), np.float64)
    points, count = lines.shape
    products = (lines[:, :, np.newaxis] * lines[:, np.newaxis]).reshape(points, -1)
    grams = (told.reshape(points, -1).T.astype(np.float64) @ products).reshape(-1, count, count)
    if grams.size and np.linalg.eigvalsh(grams)[:, 0].min() <= OPEN * points:
        raise ValueError(
            "the values that there are do not tell f where values are missing: it needs two lines "
            "with two values along each axis, and values on each line where lam = 0; give a larger "
            "lam, or drop lines without values"
        )


def _without_weightless(array: FloatArray, plans: list[Smoother]) -> FloatArray:
    """Give the values with 0 in place of those of weight 0, which may be anything."""
    for axis, plan in enumerate(plans):
        if plan.weights is not None and not plan.weights.all():
            counts = (plan.weights > 0.0).reshape(-1, *[1] * (array.ndim - axis - 1))
            array = np.where(counts, array, array.dtype.type(0))
    return array
