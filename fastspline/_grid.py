"""`smooth_grid`: data on a grid, smoothed along one axis after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastspline._arguments import check_lam
from fastspline._operator import SplineOperator
from fastspline._smoother import Smoother
from fastspline.arrays import FloatArray, read_array, require_finite


def smooth_grid(
    knots_by_axis: Sequence[ArrayLike],
    values: ArrayLike,
    *,
    lam: float | Sequence[float] | FloatArray,
    weights_by_axis: Sequence[ArrayLike | None] | None = None,
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
    lam : float or sequence of d floats
        In [0, inf], one for all axes or one an axis. As it multiplies a squared second derivative,
        it has the unit of its axis's knots cubed.
    weights_by_axis : sequence of (array_like or None), shapes (n_1,), ..., (n_d,), optional
        The weight of a point is the product of its weights along the axes; None stands for ones.
        Values of weight 0 are not looked at: there f is only evaluated.

    Returns
    -------
    array of the kind and dtype of `values`, shape (n_1, ..., n_d, ...)
        The values of f on the grid, in C order.

    Raises
    ------
    ValueError
        If knots, lam or weights are not as `Smoother` takes them, if there is not one of them for
        each axis, if `values` has not the grid's shape, or holds a number that is not finite at a
        point of positive weight.
    TypeError
        If an argument does not hold real numbers.

    References
    ----------
    C. de Boor, "Efficient Computer Manipulation of Tensor Products", ACM Transactions on
    Mathematical Software 5 (1979), 173-182.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.linspace(0.0, 1.0, 5), np.linspace(0.0, 2.0, 7)
    >>> plane = 1.0 + x[:, np.newaxis] - 2.0 * y
    >>> np.allclose(smooth_grid([x, y], plane, lam=[0.1, np.inf]), plane)
    True
    """
    array, restore = read_array(values, "values")
    plans = _plan_axes(knots_by_axis, lam, weights_by_axis)
    grid = tuple(plan.knots.size for plan in plans)
    if array.shape[: len(grid)] != grid:
        raise ValueError(
            f"values has shape {array.shape} and the knots make a grid of shape {grid}; "
            "the first axes of values must run along knots_by_axis, in this order"
        )
    array = _without_weightless(array, plans)
    require_finite(array, "values")
    # Each step takes the last axis, reads its rows as columns, and leaves it first: after all steps
    # the axes stand in their order again, and no step had to copy.
    rotated = np.moveaxis(array, range(len(grid)), range(array.ndim - len(grid), array.ndim))
    for plan in reversed(plans):
        n, others = plan.knots.size, rotated.shape[:-1]
        apply: SplineOperator = plan.operator(plan.knots)
        rotated = apply(rotated.reshape(-1, n).T).reshape(n, *others)
    return restore(rotated)


def _plan_axes(
    knots_by_axis: Sequence[ArrayLike],
    lam: float | Sequence[float] | FloatArray,
    weights_by_axis: Sequence[ArrayLike | None] | None,
) -> list[Smoother]:
    """Give one plan an axis."""
    if isinstance(knots_by_axis, np.ndarray) and knots_by_axis.ndim < 2:
        raise ValueError(
            "knots_by_axis must hold one vector of knots an axis, got an array of shape "
            f"{knots_by_axis.shape}; pass [knots] to smooth along the first axis only"
        )
    d = len(knots_by_axis)
    if d == 0:
        raise ValueError("knots_by_axis is empty; give one vector of knots an axis")
    lams = [check_lam(lam)] * d if np.ndim(lam) == 0 else list(lam)  # type: ignore[arg-type]
    weights = [None] * d if weights_by_axis is None else list(weights_by_axis)
    for name, given in (("lam", lams), ("weights_by_axis", weights)):
        if len(given) != d:
            raise ValueError(
                f"{name} has {len(given)} entries and knots_by_axis {d}; give one an axis"
            )
    plans = []
    for axis, knots in enumerate(knots_by_axis):
        try:
            plan = Smoother(knots, lam=check_lam(lams[axis], f"lam[{axis}]"), weights=weights[axis])
        except (TypeError, ValueError) as error:
            error.add_note(f"These are the knots, lam and weights of axis {axis} of the grid.")
            raise
        plans.append(plan)
    return plans


def _without_weightless(array: FloatArray, plans: list[Smoother]) -> FloatArray:
    """Give the values with 0 in place of those of weight 0, which may be anything."""
    for axis, plan in enumerate(plans):
        if plan.weights is not None and not plan.weights.all():
            counts = (plan.weights > 0.0).reshape(-1, *[1] * (array.ndim - axis - 1))
            array = np.where(counts, array, array.dtype.type(0))
    return array
