"""Derivatives of what a caller computes from a fitted curve, with respect to all it was fitted to.

Write ``a(u, v) = sum_i w_i u(x_i) v(x_i) + lam integral(roughness u'' v'')``. The fit f has
``a(f, v) = sum_i w_i y_i v(x_i)`` for every v, and the representer eta of the cotangents has
``a(eta, v) = sum_p cotangent_p v(t_p)``. To differentiate the first equation and to take v = eta
gives every derivative of L from f and eta alone; see `differentiate`.

Loads at knots with data are smoothed like values (eta is the fit to cotangent / w), whose
recursion keeps residuals to full relative accuracy; others are left to `_response`. Both give
``X = c eta`` in scaled units, c = lam q top, which stays finite as lam goes to 0: there a lam that
double precision cannot tell from 0 stands for it, so that no limit is a special case.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastspline._fit import Group
from fastspline._jet import Jet
from fastspline._kernels.response import respond
from fastspline._kernels.state_space import evaluate_panel
from fastspline._kernels.tables import power_of_two
from fastspline._plan import Plan
from fastspline._solvers.columns import panel_width
from fastspline._solvers.panel import PanelSolver
from fastspline._solvers.periodic import NEAR, PeriodicSolver, wrap
from fastspline._solvers.tableau import ALL_ONE, Gaps, Rows, Vector, tabulate
from fastspline.arrays import FloatArray, as_columns, read_array, read_vector, require_finite

FAINT = 1e-80  # weight, relative to the least, of a node without data
STIFF = 1e-14  # 1 / scaled lam below which a curve on a circle is a constant
LEAST_LAM = 1e-290  # a normal number, as its product with a load of moderate size must be


class FitGradient(NamedTuple):
    """Derivatives of a number L with respect to what a curve was fitted to.

    Attributes
    ----------
    values : array, shape (..., n, ...)
        Of the shape and kind of the values; 0 where they do not count.
    lam : float or ndarray
        Shaped as `Spline.lam`; summed over the columns where they share one.
    weights, knots : ndarray, shape (n,)
        Summed over the columns.
    """

    values: FloatArray
    lam: float | Vector
    weights: Vector
    knots: Vector


class Derivatives(NamedTuple):
    """By values (n, columns), by lam (columns,), and by weights and knots (n,)."""

    values: Vector
    lam: Vector
    weights: Vector
    knots: Vector


def differentiate(
    groups: tuple[Group, ...],
    jet: Jet,
    place: tuple[tuple[int, ...], int],
    cotangent: ArrayLike,
    points: ArrayLike | None,
) -> Derivatives:
    """See `Spline.gradient`; one derivative by values and lam a column."""
    knots = groups[0].plan.knots
    where = knots if points is None else np.array(read_vector(points, "points"))
    require_finite(where, "points")
    trailing, axis = place
    array, _ = read_array(cotangent, "cotangent")
    require_finite(array, "cotangent")
    what = "knots" if points is None else "points"
    read, others, _ = as_columns(array, where.size, axis, "cotangent", what)
    if others != trailing:
        raise ValueError(
            f"cotangent has shape {array.shape}, and the columns of the fit have shape {trailing}; "
            "give one entry for each entry of the curve at the points"
        )
    bars: Vector = read.astype(np.float64)
    columns = bars.shape[1]
    values, lams = np.zeros((knots.size, columns)), np.zeros(columns)
    weights, places = np.zeros((2, knots.size))
    with np.errstate(all="ignore"):  # what is not finite is reported below
        for group in groups:
            own, active = np.arange(columns)[group.columns], group.plan.active
            if group.plan.is_constant:
                values[active[0], own] = bars[:, own].sum(axis=0)
                continue
            adjoint = _Adjoint(group, where, moving=points is None)
            width = panel_width(knots.size + where.size)
            for first in range(0, own.size, width):
                panel = own[first : first + width]
                curve = jet.values[: knots.size, panel], jet.slopes[: knots.size, panel]
                y = group.values[:, first : first + width]
                part = adjoint.pull(bars[:, panel], y, *curve)
                values[:, panel], lams[panel] = part[:2]
                weights += part[2]
                places += part[3]
    if not all(np.isfinite(part).all() for part in (values, lams, places)):
        raise ValueError(
            f"a derivative overflows: max |cotangent| = {np.abs(bars).max():g} is too large for "
            "these knots and lam; scale the cotangent down"
        )
    return Derivatives(values, lams, weights, places)


class _Adjoint:
    """A plan, and points at which a curve of it is read; `moving` ones are its knots."""

    def __init__(self, group: Group, where: Vector, *, moving: bool) -> None:
        plan = group.plan
        self.plan, self.moving, self.merged = plan, moving, group.repeats is not None
        self.solver = self.linear = _never_interpolating(plan)
        gaps, noise = self.solver.gaps, self.solver.noise
        self.knots = gaps.knots[: noise.size]
        self.rough_top = 1.0 if plan.roughness is None else power_of_two(plan.roughness.max())
        self.rows = np.arange(plan.active.size)  # the knot of each value that counts
        self.share = np.ones((self.rows.size, 1))  # of its knot's weight
        self.idle = np.setdiff1d(np.arange(plan.knots.size), plan.active)
        # What slopes 0 leave of a fit differs from it by a curve of constant moment, whose product
        # with that of eta would be rounding alone: eta has slopes 0 too.
        self.start: tuple[Vector | float, Vector | float, float] = 0.0, 0.0, 0.0
        self.turns: Vector = np.zeros(where.size)  # periods from where a point is read to it
        self.closed = self.knots[0] == plan.knots[0]  # a circle that begins at the plan's ends
        self.circle = isinstance(self.solver, PeriodicSolver)
        if isinstance(self.solver, PeriodicSolver):
            self.rows = (self.rows - self.solver._offset) % noise.size
            if self.solver._share is not None:
                self.share[[0, -1], 0] = self.solver._share, 1.0 - self.solver._share
            points, idle = self._wrap(where), self._wrap(plan.knots[self.idle])
            if not moving:
                first, last = plan.knots[[0, -1]]
                home = wrap(where, first, last)
                if not self.closed:  # there loads on the ends belong to the last knot
                    home = np.where(home == first, last, home)
                self.turns = np.rint((where - home) / (last - first))
        else:
            points, idle = where, plan.knots[self.idle]
            if self.solver.clamped:  # beyond given slopes a load is one on the end
                points = np.clip(points, self.knots[0], self.knots[-1])
                self.linear = PanelSolver(gaps, (0.0, 0.0))
                self.start = self.solver._start or self.start
        near = np.minimum(np.searchsorted(self.knots, points), noise.size - 1)
        self.hits = self.knots[near] == points
        self.near = near[self.hits]
        self.idle_points, self.points, self.read = idle, points[~self.hits], points

    def _wrap(self, points: Vector) -> Vector:
        """Take points into the period that the solver knows; both ends of the plan's are one."""
        ends, knots = self.plan.knots[[0, -1]], self.solver.gaps.knots
        end = ends[0] if self.closed else ends[1]
        return wrap(np.where(np.isin(points, ends), end, points), knots[0], knots[-1])

    def pull(
        self, bars: Vector, y: Vector, fitted: Vector, slopes: Vector
    ) -> tuple[Vector, Vector, Vector, Vector]:
        """Give derivatives from the cotangents (m, b), values and curves (n, b).

        With respect to values (n, b), lam (b,), weights (n,) and knots (n,).
        """
        plan, solver, active, idle = self.plan, self.solver, self.plan.active, self.idle
        gaps, noise, b = solver.gaps, solver.noise[:, np.newaxis], bars.shape[1]
        q, unit, n = solver.process_noise, gaps.unit, noise.size
        scale = solver._noise_of_weight_1()  # c
        data = np.ascontiguousarray(y[active])
        _, residual, slope, moment, _ = self.linear.smooth(data - self.start[0])
        tension = residual[:n] / noise  # w (y - f) / c: the jump of the third derivative
        load = np.zeros((n, b))
        np.add.at(load, self.near, bars[self.hits])
        x, rest, turn, bend, _ = self.linear.smooth((noise * load)[self.rows])
        force = x[:n] / noise  # w eta
        push = rest[:n] / noise if self.moving else -force
        energy = _bending(gaps.h, gaps.roughness, moment, bend)[0]  # q / c times the integral
        bend = bend / q if q > 0.0 else bend
        at_idle = np.empty((idle.size, b))
        t = tabulate(gaps, self.idle_points, 0)
        evaluate_panel(t.spans, t.weights, t.rows, x, turn, at_idle)
        third, bent = (np.diff(m[-2:], axis=0)[0] / gaps.h[-1] for m in (moment, bend))
        soft = 1.0 / gaps.roughness[-1] if gaps.roughness.size else 1.0
        stress = slope[-1] * bent + third / q * turn[-1] - soft * moment[-1] * bend[-1]
        if self.points.size:
            pulled = self._respond(bars[~self.hits], tension, slope, moment)
            stress = stress + pulled.stress
            force, push = force + pulled.force, push - pulled.force
            turn, bend = turn + pulled.slope, bend + pulled.moment
            energy = energy + q * pulled.energy
            at_idle += pulled.at_idle
        slope, moment = slope + self.start[1], moment + self.start[2]
        at_knots = tension * turn[:n] + push * slope[:n]
        if gaps.roughness.size or (solver.clamped and not self.circle):
            at_knots += moment[:n] * bend[:n] * self._softening()
        of_values, of_weights = np.zeros(y.shape), np.zeros(y.shape)
        of_values[active] = self.share * force[self.rows]
        apart = solver._of_values(data, residual)
        of_weights[active] = (noise * force)[self.rows] / scale * apart
        known = np.isfinite(y[idle]) & (not self.merged)  # merged, what has no weight is lost
        left = np.where(known, y[idle] - fitted[idle], 0.0)
        of_weights[idle] = np.where(left == 0.0, 0.0, at_idle / scale * left)
        of_knots = np.zeros(plan.knots.size)
        of_knots[active] = at_knots[self.rows].sum(axis=1) / unit
        if self.moving:
            of_knots[idle] = (bars * slopes)[idle].sum(axis=1)
        if self.circle:
            self._split_period(bars, slope, moment, stress, of_knots)
        of_lam = -energy * self.rough_top / scale / unit / unit / unit
        if plan.lam == np.inf or (self.circle and q < STIFF):
            of_lam[:] = 0.0
        if self.circle and q < STIFF:  # a constant, whose slopes are rounding
            of_knots[:] = 0.0
        return of_values, of_lam, of_weights.sum(axis=1), of_knots

    def _softening(self) -> Vector:
        """Give how much 1 / roughness falls at each knot, 0 outside, (n, 1)."""
        gaps = self.solver.gaps
        soft = 1.0 / gaps.roughness if gaps.roughness.size else np.ones(gaps.h.size)
        if self.circle:
            return (np.roll(soft, 1) - soft)[:, np.newaxis]
        fall: Vector = -np.diff(np.concatenate([[0.0], soft, [0.0]]))[:, np.newaxis]
        return fall

    def _split_period(
        self, bars: Vector, slope: Vector, moment: Vector, stress: Vector, of_knots: Vector
    ) -> None:
        """Tell the derivative by the first knot from that by the last, whose distance is a period.

        `stress` is how the energy of the gap before the last knot rises as the gap widens.
        """
        gaps, plan = self.solver.gaps, self.plan
        last = -stress.sum() / gaps.unit
        if self.turns.any():  # periods away from where the curve is read
            rates = np.empty(bars.shape)
            t = tabulate(gaps, self.read, 1)
            evaluate_panel(t.spans, t.weights, t.rows, slope / gaps.unit, moment, rates)
            last -= (self.turns[:, np.newaxis] * bars * rates).sum()
        both = of_knots[0] if plan.active[0] == 0 else of_knots[-1]
        if not self.closed:
            both = of_knots[0] + of_knots[-1]
        of_knots[[0, -1]] = both - last, last

    def _respond(self, bars: Vector, tension: Vector, slope: Vector, moment: Vector) -> _Response:
        """Give the answer to loads between the knots, or beyond them."""
        plan, solver, gaps = self.plan, self.solver, self.solver.gaps
        nodes = np.unique(np.concatenate([gaps.knots, self.points, self.idle_points]))
        h, roughness = np.diff(nodes) / gaps.unit, ALL_ONE
        if plan.roughness is not None:
            knots, of_gaps = plan.knots, plan.roughness / self.rough_top
            if self.circle:
                knots, of_gaps = gaps.knots, gaps.roughness
            cells = np.searchsorted(knots, nodes[:-1], side="right") - 1
            roughness = of_gaps[cells.clip(0, of_gaps.size - 1)]
        at = np.searchsorted(nodes, gaps.knots)
        data = at[: solver.noise.size]
        load = np.zeros((nodes.size, bars.shape[1]))
        np.add.at(load, np.searchsorted(nodes, self.points), bars)
        x, turn, bend = np.empty((3, *load.shape))
        if isinstance(solver, PeriodicSolver):
            _respond_on_circle(solver, nodes, h, roughness, data, load, (x, turn, bend))
        else:
            precision = np.zeros(nodes.size)
            precision[data] = 1.0 / solver.noise
            q = solver.process_noise
            respond(h, roughness, solver.clamped, q, precision, load, x, turn, bend)
        cell = np.searchsorted(gaps.knots, nodes, side="right").clip(1, gaps.h.size) - 1
        part = ((nodes - gaps.knots[cell]) / (gaps.knots[cell + 1] - gaps.knots[cell])).clip(0, 1)
        part = part[:, np.newaxis]
        of_curve = (1.0 - part) * moment[cell] + part * moment[cell + 1]
        of_curve[: at[0]] = of_curve[at[-1] + 1 :] = 0.0
        # Not x / noise: in x a point next to a knot drowns the little that a small noise allows.
        b = load.shape[1]
        of_values, force = np.zeros((self.rows.size, b)), np.zeros((data.size, b))
        reader = solver.at(self.points, 0, np.arange(self.rows.size))
        if reader.adjoint(bars, of_values, 1) >= 0:
            of_values[:] = np.nan  # told at the end
        np.add.at(force, self.rows, of_values)
        # Two forms of one integral: the second, by parts, cancels where lam is large, the first
        # where it is small and the moments of loads between knots are not.
        direct, least = _bending(h, roughness, of_curve, bend)
        products = tension * solver.noise[:, np.newaxis] * force
        by_parts = np.abs(products).sum(axis=0) < least
        energy = np.where(by_parts, products.sum(axis=0), direct)
        idle = x[np.searchsorted(nodes, self.idle_points)]
        if plan.lam == 0.0:  # the pull of such loads has no bound
            idle = np.where(idle == 0.0, 0.0, idle / 0.0)
        stress: Vector = np.zeros(bars.shape[1])
        if self.circle:  # at the end of the plan's period
            k = nodes.size - 1 if self.closed else int(np.searchsorted(nodes, plan.knots[-1]))
            soft = 1.0 / gaps.roughness[-1] if gaps.roughness.size else 1.0
            beyond = (nodes[-1] - nodes[k]) / gaps.unit
            rate = slope[-1] - 0.5 * soft * beyond * (moment[-1] + of_curve[k])
            third = (moment[-1] - moment[-2]) / gaps.h[-1] / solver.process_noise
            bent = (bend[k] - bend[k - 1]) / h[k - 1]
            stress = rate * bent + third * turn[k] - soft * of_curve[k] * bend[k]
            if not self.moving:
                stress += load[k] * rate
        return _Response(force, turn[at], bend[at], energy, idle, stress)


class _Response(NamedTuple):
    """Force w eta, slope and moment / q at the knots; energy; curve at knots of weight 0."""

    force: Vector
    slope: Vector
    moment: Vector
    energy: Vector
    at_idle: Vector
    stress: Vector  # see `_Adjoint._split_period`


def _never_interpolating(plan: Plan) -> PanelSolver:
    """Give a plan's solver, with a lam above 0 from which none can be told in double precision."""
    solver = plan.solver
    if isinstance(solver, PeriodicSolver):
        return solver  # it is one
    gaps = solver.gaps
    lightest = gaps.weights.min(initial=gaps.top) / gaps.top
    floor = max(NEAR * gaps.h.min() ** 3 * lightest, LEAST_LAM)
    scale = gaps.unit, gaps.top, max(gaps.scaled_lam, floor)
    slopes = None if isinstance(plan.bc, str) else plan.bc[1:]
    return PanelSolver(Gaps(gaps.knots, gaps.weights, gaps.h, *scale, gaps.roughness), slopes)


def _bending(h: Vector, roughness: Vector, one: Vector, other: Vector) -> tuple[Vector, Vector]:
    """Integrate a product of second derivatives, given by moments; and add the terms' sizes."""
    per_gap = (h / roughness if roughness.size else h)[:, np.newaxis] / 6.0
    left, right = one[:-1], one[1:]
    terms = per_gap * (
        left * (2.0 * other[:-1] + other[1:]) + right * (other[:-1] + 2.0 * other[1:])
    )
    return terms.sum(axis=0), np.abs(terms).sum(axis=0)


def _respond_on_circle(
    solver: PeriodicSolver,
    nodes: Vector,
    h: Vector,
    roughness: Vector,
    data: Rows,
    load: Vector,
    out: tuple[Vector, Vector, Vector],
) -> None:
    """Write what `respond` does of a circle, as `periodic` does: F_1, F_2 and the rest.

    The solver that gives F_1 and F_2 at all nodes takes those without data as of next to no weight.
    """
    gaps, q = solver.gaps, solver.process_noise
    weights = np.full(h.size, FAINT * gaps.weights.min())
    weights[data] = gaps.weights
    lam = solver._noise_of_weight_1() / gaps.top / q
    fine = PeriodicSolver(Gaps(nodes, weights, h, gaps.unit, gaps.top, lam, roughness), 0, None)
    around, rough, r = fine._circle
    known = np.zeros((h.size + 3, 2))
    known[0, 0] = known[-3, 0] = known[-2, 1] = known[-1, 1] = 1.0
    curves, _, slopes, moments, _ = fine._sweep(around, known)
    loads = np.roll(load[:-1], -fine._seam, axis=0)
    loads = np.concatenate([loads, np.zeros((1, load.shape[1]))])
    parts = np.empty((3, *load.shape))
    respond(around, rough, True, q, 1.0 / r, loads, *parts)  # noqa: FBT003
    state = fine._covariance @ (curves.T @ loads)
    for part, basis, target in zip(parts, (curves, slopes, moments / q), out, strict=True):
        target[:] = fine._from_circle(part + basis @ state)
