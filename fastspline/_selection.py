"""Which lam: the minimiser of generalised cross-validation, whatever the units of the data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._operator import refuse_values
from fastspline._posterior import sum_squares
from fastspline._smoother import Smoother
from fastspline.arrays import as_columns, read_array

GRID_PER_DECADE = 3
LOG_UPPER = 2.0  # log10 of lam / (range**3 sum w): df - 2 < 1e-4, the line
LOG_LOWEST = -30.0
LOG_TOLERANCE = (
    1e-7  # the score is flat at its minimum: its rounding moves log10 lam by about as much
)
SEARCH_PANEL = 64  # columns whose grid is searched at once


def select_lam(
    knots: ArrayLike,
    values: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    per_column: bool = True,
    axis: int = 0,
) -> NDArray[np.float64] | float:
    """Choose lam by generalised cross-validation.

    Minimises ``GCV(lam) = n RSS / (n - df)**2``, RSS the weighted residual sum of squares and df
    the sum of the leverages, over log lam: a grid, then a bounded search round its best point, at
    every step from exact residuals and leverages (O(n)). The search runs over ``lam / (range**3 *
    sum(weights))``, so that the curve chosen does not depend on the units of knots, values or
    weights. The straight line (lam = inf) is a candidate.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending. With fewer than three that count every lam gives the same line, and 0.0
        is returned.
    values : array_like, shape (..., n, ...)
        Values at the knots along `axis`.
    weights : array_like, shape (n,), optional
        As in `Smoother`.
    per_column : bool, optional
        Whether each column gets its own lam, or all share the one that minimises the sum of their
        scores.
    axis : int, optional
        Axis of `values` that runs along the knots.

    Returns
    -------
    float, or array with one lam a column where `per_column` and `values` has more than one axis

    Raises
    ------
    ValueError, TypeError
        As `Smoother` and `Smoother.fit`.

    References
    ----------
    P. Craven and G. Wahba, "Smoothing noisy data with spline functions", Numer. Math. 31 (1979),
    eq. 1.9.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0.0, 1.0, 50)
    >>> y = np.sin(6.0 * x) + 0.1 * np.cos(40.0 * np.arange(50) ** 2)
    >>> lam = select_lam(x, y)
    >>> bool(np.isclose(select_lam(1000.0 * x, y), 1e9 * lam, rtol=1e-5))
    True
    """
    plan = Smoother(knots, lam=0.0, weights=weights)
    array, _ = read_array(values, "values")
    columns, trailing, axis = as_columns(array, plan.knots.size, axis, "values", "knots")
    doubles = np.ascontiguousarray(columns[plan._active], np.float64)
    if not np.isfinite(doubles).all():
        refuse_values(columns, plan._active, trailing, axis, 0)
    largest = np.abs(doubles).max(initial=0.0, axis=None if not per_column else 0)
    doubles = np.ldexp(doubles, -np.frexp(largest)[1])  # squares then neither over- nor underflow
    if per_column:
        panels = range(0, doubles.shape[1], SEARCH_PANEL)
        found = [_search(plan, doubles[:, i : i + SEARCH_PANEL].copy()) for i in panels]
        chosen = np.concatenate([np.empty(0), *found])
        return chosen.reshape(trailing) if trailing else float(chosen[0])
    return float(_search(plan, doubles, shared=True)[0])


def _search(plan: Smoother, y: NDArray[np.float64], *, shared: bool = False) -> NDArray[np.float64]:
    """Search one panel; see `select_lam`."""
    gaps = plan._solver.gaps
    n = gaps.knots.size
    if n < 3:
        return np.zeros(1 if shared else y.shape[1])
    total = gaps.weights.sum() / gaps.top if gaps.weights.size else float(n)
    least = gaps.weights.min() / gaps.top if gaps.weights.size else 1.0
    whole = gaps.h.sum() ** 3 * total  # scaled lam per dimensionless lam

    def scores(log_lam: float, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = np.empty(columns.shape[1])
        rest = sum_squares(gaps.h, gaps.weights, gaps.top, whole * 10.0**log_lam, columns, squares)
        result: NDArray[np.float64] = n * squares / rest**2
        return result.sum(keepdims=True) if shared else result

    lower = max(np.log10(1e-2 * gaps.h.min() ** 3 * least / whole), LOG_LOWEST)
    grid = np.linspace(lower, LOG_UPPER, int((LOG_UPPER - lower) * GRID_PER_DECADE) + 2)
    table = np.array([scores(log_lam, y) for log_lam in grid])
    line = scores(np.inf, y)
    chosen = np.empty(line.size)
    for j in range(line.size):
        columns = y if shared else y[:, j : j + 1].copy()
        score = _as_function(scores, columns)
        log_lam, least_score = _minimise(score, grid, table[:, j])
        chosen[j] = np.inf if line[j] <= least_score else whole * 10.0**log_lam
    lams: NDArray[np.float64] = chosen * gaps.unit**3 * gaps.top
    return lams


def _as_function(
    scores: Callable[[float, NDArray[np.float64]], NDArray[np.float64]],
    columns: NDArray[np.float64],
) -> Callable[[float], float]:
    """Give the score of one search as a function of log10 lam alone."""
    return lambda log_lam: float(scores(log_lam, columns)[0])


def _minimise(
    score: Callable[[float], float], grid: NDArray[np.float64], table: NDArray[np.float64]
) -> tuple[float, float]:
    """Refine every local minimum of the grid, for the score can have several; give the least."""
    from scipy.optimize import minimize_scalar

    padded = np.concatenate([[np.inf], table, [np.inf]])
    minima = np.flatnonzero((padded[:-2] > table) & (table <= padded[2:]))
    best = int(table.argmin())
    least = float(grid[best]), float(table[best])
    for k in minima.tolist():
        found = minimize_scalar(
            score,
            bounds=(grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)]),
            method="bounded",
            options={"xatol": LOG_TOLERANCE},
        )
        if found.fun < least[1]:
            least = float(found.x), float(found.fun)
    return least
