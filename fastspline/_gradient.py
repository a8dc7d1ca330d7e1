"""Derivatives of what a caller computes from a fitted curve, with respect to all it was fitted to.

Write ``a(u, v) = sum_i w_i u(x_i) v(x_i) + lam integral(roughness u'' v'')``. The fit f has
``a(f, v) = sum_i w_i y_i v(x_i)`` for every v, and the representer eta of the cotangents has
``a(eta, v) = sum_p cotangent_p v(t_p)``. To differentiate the first equation and to take v = eta
gives every derivative of L from f and eta alone; see `differentiate`.

The solver gives eta in scaled units, as c eta, c = lam q top, which stays finite as lam goes to 0:
there a lam that double precision cannot tell from 0 stands for it, so that no limit is a special
case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastspline._fit import Group
from fastspline._jet import Jet
from fastspline._plan import Plan
from fastspline._solvers.columns import panel_width
from fastspline._solvers.loads import Loads
from fastspline._solvers.panel import PanelSolver
from fastspline._solvers.tableau import Rows, Vector
from fastspline.arrays import FloatArray, as_columns, read_array, read_vector, require_finite

STIFF = 1e-14  # 1 / scaled lam below which a curve on a circle is a constant


class FitGradient(NamedTuple):
    """Derivatives of a number L with respect to what a curve was fitted to.

    Attributes
    ----------
    values : array, shape (..., n, ...)
        Of the shape and kind of the values; 0 where they do not count.
    lam : float or ndarray
        Shaped as `Spline.lam`; summed over the columns where they share one.
    weights, knots : ndarray, shape (n,)
        Summed over the columns; weights shaped as the values where each has its own.
    """

    values: FloatArray
    lam: float | Vector
    weights: Vector
    knots: Vector


class Derivatives(NamedTuple):
    """By values and weights (n, columns), by lam (columns,), and by knots (n,)."""

    values: Vector
    lam: Vector
    weights: Vector
    knots: Vector


def differentiate(
    groups: Sequence[Group],
    jet: Jet,
    place: tuple[tuple[int, ...], int],
    cotangent: ArrayLike,
    points: ArrayLike | None,
) -> Derivatives:
    """See `Spline.gradient`; by values and by lam, one derivative a column."""
    knots = groups[0].plan.knots
    where = knots if points is None else np.array(read_vector(points, "points"))
    require_finite(where, "points")
    what = "knots" if points is None else "points"
    bars = _read_cotangent(cotangent, where.size, place, what)
    width, columns = panel_width(knots.size + where.size), np.arange(bars.shape[1])
    made = Derivatives(
        np.zeros((knots.size, columns.size)),
        np.zeros(columns.size),
        np.zeros((knots.size, columns.size)),
        np.zeros(knots.size),
    )
    with np.errstate(all="ignore"):  # what is not finite is reported below
        for group in groups:
            plan, own = group.plan, columns[group.columns]
            if group.robust is not None:
                raise ValueError("gradients are of the squared loss; fit without loss=")
            if group.is_lost:
                continue
            if plan.is_constant:
                made.values[plan.active[0], own] = bars[:, own].sum(axis=0)
                continue
            solver = plan.solver.exact().never_interpolating()
            idle = np.setdiff1d(np.arange(knots.size), plan.active)
            penalty = None if plan.roughness is None else (knots, plan.roughness)
            for first in range(0, own.size, width):
                panel = own[first : first + width]
                loads = Loads(where, bars[:, panel], points is None, knots[idle], penalty)
                part = group._replace(columns=panel, values=group.values[:, first : first + width])
                added = _differentiate_panel(part, jet, solver, loads, idle)
                made.values[:, panel], made.lam[panel] = added.values, added.lam
                made.weights[:, panel] = added.weights
                made.knots[:] += added.knots
    if not all(np.isfinite(part).all() for part in (made.values, made.lam, made.knots)):
        raise ValueError(
            f"a derivative overflows: max |cotangent| = {np.abs(bars).max():g} is too large for "
            "these knots and lam; scale the cotangent down"
        )
    return made


def _read_cotangent(
    cotangent: ArrayLike, m: int, place: tuple[tuple[int, ...], int], what: str
) -> Vector:
    """Give cotangents of m points as columns of doubles."""
    trailing, axis = place
    array, _ = read_array(cotangent, "cotangent")
    require_finite(array, "cotangent")
    read, others, _ = as_columns(array, m, axis, "cotangent", what)
    if others != trailing:
        raise ValueError(
            f"cotangent has shape {array.shape}, and the columns of the fit have shape {trailing}; "
            "give one entry for each entry of the curve at the points"
        )
    return read.astype(np.float64)


def _differentiate_panel(
    group: Group, jet: Jet, solver: PanelSolver, loads: Loads, idle: Rows
) -> Derivatives:
    """Give the derivatives of some columns; knots `idle` have no weight."""
    plan, active, y, columns = group.plan, group.plan.active, group.values, group.columns
    gaps, noise, n = solver.gaps, solver.noise[:, np.newaxis], solver.noise.size
    c = solver.noise_of_weight_1()
    fitted = solver.fit_panel(np.ascontiguousarray(y[active]))
    eta = solver.represent(loads, fitted)

    of_values, of_weights = np.zeros(y.shape), np.zeros(y.shape)
    of_values[active] = solver.share_out(eta.force)
    of_weights[active] = solver.to_values(noise * eta.force) / c * fitted.residuals
    known = np.isfinite(y[idle]) & (group.repeats is None)  # merged, what has no weight is lost
    left = np.where(known, y[idle] - jet.values[idle][:, columns], 0.0)
    of_weights[idle] = np.where(left == 0.0, 0.0, eta.beside / c * left)

    push = eta.rest if loads.moving else -eta.force
    at_knots = fitted.tension * eta.slope[:n] + push * fitted.slope[:n]
    softening = solver.softening()
    if softening is not None:
        at_knots += fitted.moment[:n] * eta.moment[:n] * softening
    of_knots = np.zeros(plan.knots.size)
    of_knots[active] = solver.to_values(at_knots).sum(axis=1) / gaps.unit
    if loads.moving:
        of_knots[idle] = (loads.cotangents[idle] * jet.slopes[idle][:, columns]).sum(axis=1)

    of_lam = -eta.energy * gaps.rough_top / c / gaps.unit / gaps.unit / gaps.unit
    if plan.lam == np.inf:
        of_lam[:] = 0.0
    if plan.bc == "periodic":
        _tell_ends_apart(plan, of_knots, eta.period)
        if solver.process_noise < STIFF:  # a constant, whose slopes are rounding
            of_lam[:] = of_knots[:] = 0.0
    return Derivatives(of_values, of_lam, of_weights, of_knots)


def _tell_ends_apart(plan: Plan, of_knots: Vector, by_end: float) -> None:
    """Split what both ends of a period, one knot, have in common: only the last one makes it."""
    first, last = of_knots[[0, -1]]
    if plan.active[0] == 0:
        both = first
    elif plan.active[-1] == plan.knots.size - 1:
        both = last
    else:
        both = first + last
    of_knots[[0, -1]] = both - by_end, by_end
