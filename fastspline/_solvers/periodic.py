"""Periodic smoothing splines: once round the circle by the recursion with known ends.

Value and slope at one knot, the seam, are taken as known: then the circle is a clamped plan whose
first and last knot are the seam, without noise. The two curves F_1, F_2 that answer to the seam's
states (1, 0) and (0, 1) alone give the best state xi from a 2 x 2 system, Theta xi = z,

    Theta_jk = a(F_j, F_k) = sum_i F_j(x_i) F_k(x_i) / r_i + integral(roughness F_j'' F_k'') / q,
    z_j      = sum_i F_j(x_i) y_i / r_i.

F_1 and F_2 are a-orthogonal to every curve that vanishes at the seam with its slope, as 1 - F_1
does. So Theta_1k = a(1, F_k) = sum_i F_k(x_i) / r_i, however large lam is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastspline._kernels import posterior, state_space
from fastspline._kernels import seam as seam_kernels
from fastspline._kernels.response import respond
from fastspline._solvers.loads import Fitted, Loads, Representer
from fastspline._solvers.panel import FAR, NEAR, NO_OUTER, UNEVEN, Bars, PanelEvaluator, PanelSolver
from fastspline._solvers.tableau import Gaps, Rows, Vector, tabulate

if TYPE_CHECKING:
    from fastspline._solvers.draws import Draws

HEAVY = 0.01  # weight, relative to the largest, of what is heavy
KEPT = 0.05  # of a difference: a digit may be lost
SEAMS = 4  # other seams that are tried
FAINT = 1e-80  # weight, relative to the least, of a node without data


class PeriodicSolver(PanelSolver):
    """See the module.

    Parameters
    ----------
    gaps : Gaps
        Its knots are those of a whole period, the first one again at the end; `weights` (n - 1,)
        belong to all but that.
    offset : int
        The values' row that belongs to the first knot; the others follow it, and begin again at 0.
    share : tuple of 2 floats, or None
        Where rows 0 and -1 of the values both belong to the first knot: their weights as shares of
        that of both.
    period : tuple of 2 floats
        From where to where values repeat; not the ends of `gaps.knots` where no data lie there.
    seam : int, optional
        Index of the knot whose state is taken as known.
    """

    __slots__ = (
        "_covariance", "_curves", "_from_end", "_offset", "_period", "_seam", "_share", "_spared",
        "_to_state",
    )  # fmt: skip

    def __init__(
        self,
        gaps: Gaps,
        offset: int,
        share: tuple[float, float] | None,
        period: tuple[float, float],
        seam: int | None = None,
    ) -> None:
        self.gaps, self.clamped, self._start, self.slopes = gaps, True, None, None
        self._outer = NO_OUTER
        self._offset, self._share, self._period = offset, share, period
        h = gaps.h
        floor = NEAR * h.min() ** 3 * (gaps.weights.min() / gaps.top)
        self._add_noise(min(max(gaps.scaled_lam, floor), FAR))
        seam = self._seam = _choose_seam(gaps) if seam is None else seam
        r = np.roll(self.noise, -seam)
        roughness = np.roll(gaps.roughness, -seam)
        # Both gaps next to the seam tell its moment, the stiff one amid the errors of its slope.
        stiff = 1.0 / h if not gaps.roughness.size else gaps.roughness / h
        self._from_end = bool(stiff[seam] > stiff[seam - 1])
        # Round the circle from the seam, where there is no noise.
        self._chain = np.roll(h, -seam), roughness, np.concatenate([[0.0], r[1:], [0.0]])
        self._factors = None
        known = np.zeros((h.size + 3, 2))
        known[0, 0] = known[-3, 0] = known[-2, 1] = known[-1, 1] = 1.0
        shear = np.zeros((h.size + 1, 2))
        curves, _, slope, moment, _ = self._sweep(self._chain[0], known, shear)
        per_noise = np.empty((h.size, 2))
        seam_kernels.refine_at_knots(curves, shear, self.process_noise, r, per_noise)
        self._curves = curves, slope, moment
        bending = _bending(self._chain[0], roughness, curves[:, 1], slope[:, 1], moment[:, 1])
        # What all values but that at the seam tell of its state, and then that value.
        first, both = per_noise[1:].sum(axis=0)
        second = per_noise[1:, 1] @ curves[1:-1, 1] + bending / self.process_noise
        scale = 1.0 / np.sqrt([first + 1.0 / r[0], second])
        first, own, both = first * scale[0] ** 2, scale[0] ** 2 / r[0], both * scale[0] * scale[1]
        left_out = first - both * both
        self._spared = left_out / (left_out + own)
        inverse = np.array([[1.0, -both], [-both, first + own]]) / (left_out + own)
        self._covariance = inverse * scale * scale[:, np.newaxis]
        self._to_state = self._covariance @ per_noise.T

    def _add_noise(self, lam: float) -> None:
        gaps = self.gaps
        self.noise = np.empty(gaps.weights.size)
        self.process_noise = state_space.scale_noise(gaps.weights, gaps.top, lam, self.noise)

    def at(self, points: Vector, nu: int, sources: Rows) -> PanelEvaluator:
        """See `Solver.at`; points outside the period are taken back into it."""
        return super().at(wrap(points, self.gaps.knots[0], self.gaps.knots[-1]), nu, sources)

    def never_interpolating(self) -> PanelSolver:
        """See `PanelSolver.never_interpolating`: it is one."""
        return self

    def _smooth_freely(
        self, y: Vector, shear: Vector | None = None
    ) -> tuple[Vector, Vector, Vector, Vector, int]:
        """See `PanelSolver.smooth`; the first knot comes again at the end."""
        y = self._to_circle(y)
        with np.errstate(all="ignore"):  # one after another: bits do not depend on other columns
            shift = None
            if self._factored().own is not None:  # keeps what differs little from it
                shift, y = y[0], y - y[0]
            value, slope = (np.cumsum(k[:, np.newaxis] * y, axis=0)[-1] for k in self._to_state)
        known = np.concatenate([[value], y[1:], [value, slope, slope]])
        g, residual, slopes, moment, bad = self._sweep(self._chain[0], known, shear)
        if shear is not None:
            shear[:] = self._from_circle(shear)
        with np.errstate(all="ignore"):
            residual[0] = self._residual_at_seam(y[0], value, residual[1:-1])
        if shift is not None:
            g += shift
        g, residual, slopes = (self._from_circle(part) for part in (g, residual, slopes))
        return g, residual, slopes, self._from_circle(moment, from_end=self._from_end), bad

    def _residual_at_seam(self, y: Vector, value: Vector, others: Vector) -> Vector:
        """Give y - value, or what is more exact: the forces residual / r on a circle add up to 0.

        By the former the error is eps times the value, by the latter eps times all other forces.
        """
        direct, r = y - value, self._chain[2][1:-1]
        forces = self.noise[self._seam] * (others / r[:, np.newaxis])
        exact = np.abs(value) + np.abs(direct) <= np.abs(forces).sum(axis=0)
        return np.where(exact, direct, -forces.sum(axis=0))

    def transpose(self, bars: Bars) -> Vector:
        """See `PanelSolver.transpose`."""
        g, slope, shear = map(self._bar_to_circle, (bars.g, bars.slope, bars.shear))
        moment = self._bar_to_circle(bars.moment, from_end=self._from_end)
        known = self._transpose_sweep(self._chain[0], Bars(g, slope, moment, shear))
        value, slope = known[0] + known[-3], known[-2] + known[-1]
        # Not a product of matrices, whose bits would depend on other columns.
        bar_y = self._to_state[0][:, np.newaxis] * value + self._to_state[1][:, np.newaxis] * slope
        bar_y[1:] += known[1:-3]
        return self._share_out(np.roll(bar_y, self._seam + self._offset, axis=0))

    def _bar_to_circle(self, bar: Vector, *, from_end: bool = False) -> Vector:
        """Give cotangents of what `_from_circle` gives from the seam on, and 0 at its other end."""
        if not len(bar):
            return bar
        bar[0] += bar[-1]
        rolled = np.roll(bar[:-1], -self._seam, axis=0)
        nothing = np.zeros((1, bar.shape[1]))
        if from_end:
            return np.concatenate([nothing, rolled[1:], rolled[:1]])
        return np.concatenate([rolled, nothing])

    def _to_circle(self, y: Vector) -> Vector:
        """Give the data at the knots, from the seam on."""
        if self._share is not None:
            first = self._share[0] * y[:1] + self._share[1] * y[-1:]
            y = np.concatenate([first, y[1:-1]])
        return np.roll(y, -self._seam - self._offset, axis=0)

    def _from_circle(self, rows: Vector, *, from_end: bool = False) -> Vector:
        """Give what belongs to the knots, from the seam to the seam, in their order.

        The seam's row is the first one, or the last.
        """
        rows = np.concatenate([rows[-1:], rows[1:-1]]) if from_end else rows[:-1]
        rows = np.roll(rows, self._seam, axis=0)
        return np.concatenate([rows, rows[:1]])

    def _share_out(self, rows: Vector) -> Vector:
        """Give both values at the first knot their shares of its entry."""
        if self._share is None:
            return rows
        first = rows[:1]
        return np.concatenate([self._share[0] * first, rows[1:], self._share[1] * first])

    def of_values(self, y: Vector, residual: Vector) -> Vector:
        """See `PanelSolver.of_values`."""
        rows = np.roll(residual[:-1], self._offset, axis=0)
        if self._share is None:
            return rows
        apart = y[:1] - y[-1:]
        first = rows[:1]
        return np.concatenate(
            [first + self._share[1] * apart, rows[1:], first - self._share[0] * apart]
        )

    def leverages(self) -> tuple[Vector, Vector]:
        """See `PanelSolver.leverages`.

        Here 1 - diag(S) comes from a subtraction but at the seam. Where that takes away most of
        its digits another seam is tried, next to the knot that lost most.
        """
        both, kept = self._leverages_by_seam()
        first = self._seam
        if kept.min() < KEPT:
            both, first = self._try_seams(both, kept), 0
        both = np.roll(both, first + self._offset, axis=0)
        lever = self._share_out(both[:, 0])
        if self._share is None:
            return lever, both[:, 1]
        spared = both[0, 1] + np.array(self._share[::-1]) * both[0, 0]  # the other's share as well
        return lever, np.concatenate([spared[:1], both[1:, 1], spared[1:]])

    def _try_seams(self, both: Vector, kept: Vector) -> Vector:
        """Give leverages and 1 - leverage from the first knot on, by the best seam for each."""
        both, kept = np.roll(both, self._seam, axis=0), np.roll(kept, self._seam)
        for _ in range(SEAMS):
            if kept.min() >= KEPT:
                break
            seam = int(kept.argmin())
            again = PeriodicSolver(self.gaps, self._offset, self._share, self._period, seam)
            others, kept_there = again._leverages_by_seam()
            others, kept_there = np.roll(others, seam, axis=0), np.roll(kept_there, seam)
            better = kept_there > kept
            both[better], kept[better] = others[better], kept_there[better]
        return both

    def _leverages_by_seam(self) -> tuple[Vector, Vector]:
        """Give leverages and 1 - leverage from the seam on (n, 2), and what the latter keeps."""
        lever, complement = np.empty((2, self.noise.size + 1))
        posterior.leverages(
            self._chain[0], self._chain[1], self.clamped, self.process_noise, self._chain[2],
            lever, complement,
        )  # fmt: skip
        kept = np.empty(self.noise.size)
        seam_kernels.add_seam(
            self._curves[0], self._to_state, self._spared, lever, complement, kept
        )
        return np.stack([lever[:-1], complement[:-1]], axis=1), kept

    def squared_rest(self) -> float:
        """See `PanelSolver.squared_rest`.

        Residuals are those with the seam known less F times the error of its state; both are made
        of the values' noises, and covary.
        """
        curves, noise = self._curves[0], np.roll(self.noise, -self._seam)
        inside, to_state = curves[1:-1], self._to_state
        known = np.concatenate([np.zeros((1, 2)), inside, np.zeros((3, 2))])
        rest = self._sweep(self._chain[0], known)[1][1:-1]
        apart = self._residual_variances(*self._chain)[1:-1]
        of_state = (to_state * noise) @ to_state.T
        mixed = inside @ of_state - 2.0 * (rest @ self._covariance)
        apart += np.einsum("ij,ij->i", mixed, inside) / noise[1:]
        at_seam = self._spared**2 + noise[1:] @ to_state[0, 1:] ** 2 / noise[0]
        between = 0.0 if self._share is None else 1.0  # of both values at the first knot
        return float(apart.sum() + at_seam + between)

    def covariances(self, points: Vector) -> Vector:
        """See `PanelSolver.covariances`; here the last row comes from a subtraction."""
        gaps = self.gaps
        points = wrap(points, gaps.knots[0], gaps.knots[-1])
        cells, before, after = self._cells(points)
        around = (cells - self._seam) % gaps.h.size
        out = self._covariances(*self._chain, around, before, after)
        of_value, of_slope = self._of_state(around, before, after)
        both = (of_value, of_value), (of_value, of_slope), (of_slope, of_slope)
        for row, (one, other) in enumerate(both):
            out[row] += np.einsum("ij,jk,ik->i", one, self._covariance, other)
        out[3] = np.sqrt(np.maximum(out[0] * out[2] - out[1] * out[1], 0.0)) / out[0]
        return self._unscale(out)

    def _of_state(self, cells: Rows, before: Vector, after: Vector) -> tuple[Vector, Vector]:
        """Give values and slopes of F_1 and F_2 (m, 2) in intervals counted from the seam."""
        (h, roughness, _), (value, slope, moment) = self._chain, self._curves
        gap = h[cells, np.newaxis]
        u, v = before[:, np.newaxis] / gap, after[:, np.newaxis] / gap
        turn = slope[cells + 1] - slope[cells]
        # Not of moments round the circle: they jump at the seam.
        bend = moment[cells] - moment[cells + 1]
        bend = bend / roughness[cells, np.newaxis] if roughness.size else bend
        values = value[cells] + u * u * (1.0 + 2.0 * v) * (value[cells + 1] - value[cells])
        values += u * v * gap * (v * slope[cells] - u * slope[cells + 1])
        return values, slope[cells] + u * turn + 0.5 * u * v * gap * bend

    def represent(self, loads: Loads, fitted: Fitted) -> Representer:
        """See `PanelSolver.represent`; with the derivative by the end of the period."""
        made = super().represent(loads, fitted)
        by_end = -made.stress.sum() / self.gaps.unit
        turns = np.zeros(loads.points.size) if loads.moving else self._turns(loads.points)
        if turns.any():  # periods away from where the curve is read
            rates = np.empty(loads.cotangents.shape)
            t = tabulate(self.gaps, self._wrap(loads.points), 1)
            slope = fitted.slope / self.gaps.unit
            state_space.evaluate_panel(t.spans, t.weights, t.rows, slope, fitted.moment, rates)
            by_end -= (turns[:, np.newaxis] * loads.cotangents * rates).sum()
        return made._replace(period=by_end)

    def _turns(self, points: Vector) -> Vector:
        """Give how many periods from where a point is read it lies."""
        first, last = self._period
        home = wrap(points, first, last)
        if self.gaps.knots[0] != first:  # there loads on the ends belong to the last knot
            home = np.where(home == first, last, home)
        turns: Vector = np.rint((points - home) / (last - first))
        return turns

    def _wrap(self, points: Vector) -> Vector:
        """Take points into the period of `gaps`; both ends of the plan's are one."""
        ends, knots = self._period, self.gaps.knots
        end = ends[0] if knots[0] == ends[0] else ends[1]
        return wrap(np.where(np.isin(points, ends), end, points), knots[0], knots[-1])

    def _place(self, loads: Loads) -> Loads:
        """See `PanelSolver._place`."""
        return loads._replace(
            points=self._wrap(loads.points),
            beside=self._wrap(loads.beside),
            penalty=(self.gaps.knots, self.gaps.roughness) if self.gaps.roughness.size else None,
        )

    def _answer_at_knots(self, load: Vector, beside: Vector, fitted: Fitted) -> Representer:
        """See `PanelSolver._answer_at_knots`; with the stress."""
        made = super()._answer_at_knots(load, beside, fitted)
        h, (slope, moment) = self.gaps.h[-1], (fitted.slope, fitted.moment)
        third, bent = (np.diff(m[-2:], axis=0)[0] / h for m in (moment, made.moment))
        stress = slope[-1] * bent + third / self.process_noise * made.slope[-1]
        return made._replace(stress=stress - self._soft_end() * moment[-1] * made.moment[-1])

    def _answer_between(self, loads: Loads, fitted: Fitted) -> Representer:
        """See `PanelSolver._answer_between`; with the stress."""
        fine = self._refine(loads, fitted)
        k, slope, moment = int(np.searchsorted(fine.nodes, self._period[1])), *fitted[2:4]
        beyond = (fine.nodes[-1] - fine.nodes[k]) / self.gaps.unit
        rate = slope[-1] - 0.5 * self._soft_end() * beyond * (moment[-1] + fine.moment[k])
        third = (moment[-1] - moment[-2]) / self.gaps.h[-1] / self.process_noise
        bent = (fine.bend[k] - fine.bend[k - 1]) / fine.h[k - 1]
        stress = rate * bent + third * fine.turn[k]
        stress = stress - self._soft_end() * fine.moment[k] * fine.bend[k]
        if not loads.moving:
            stress += fine.load[k] * rate
        return self._read(fine, loads, fitted)._replace(stress=stress)

    def _soft_end(self) -> float:
        """Give 1 / roughness of the last gap."""
        return float(1.0 / self.gaps.roughness[-1]) if self.gaps.roughness.size else 1.0

    def _respond(
        self, nodes: Vector, h: Vector, roughness: Vector, load: Vector
    ) -> tuple[Vector, Vector, Vector]:
        """See `PanelSolver._respond`: as the module does, by F_1, F_2 and the rest.

        The solver that gives F_1 and F_2 at all nodes takes those without data as of next to no
        weight.
        """
        return self._with_nodes(nodes, h, roughness)._answer(self.process_noise, load)

    def _with_nodes(self, nodes: Vector, h: Vector, roughness: Vector) -> PeriodicSolver:
        """Give the plan that has knots of next to no weight at nodes without data."""
        gaps, q = self.gaps, self.process_noise
        weights = np.full(h.size, FAINT * gaps.weights.min())
        weights[np.searchsorted(nodes, gaps.knots[:-1])] = gaps.weights
        lam = self.noise_of_weight_1() / gaps.top / q
        scaled = Gaps(nodes, weights, h, gaps.unit, gaps.top, lam, roughness)
        return PeriodicSolver(scaled, 0, None, (nodes[0], nodes[-1]))

    def draws(self, points: Vector) -> Draws:
        """See `PanelSolver.draws`."""
        from fastspline._solvers.draws import Draws, Seam, cut_gaps, plan_steps

        points = wrap(points, self.gaps.knots[0], self.gaps.knots[-1])
        nodes, h, roughness = cut_gaps(self.gaps, NO_OUTER, points)
        fine = self._with_nodes(nodes, h, roughness)
        h, roughness, noise = fine._chain
        with np.errstate(divide="ignore"):  # none at the seam
            precision = 1.0 / noise
        steps = plan_steps(h, roughness, fine.process_noise, precision, clamped=fine.clamped)
        rows = (np.searchsorted(nodes, points) - fine._seam) % h.size
        values, slopes, _ = fine._curves
        seam = Seam(np.linalg.cholesky(fine._covariance), values, slopes)
        return Draws(steps, rows, fine.gaps.unit, fine.noise_of_weight_1() ** -0.5, seam)

    def _answer(self, q: float, load: Vector) -> tuple[Vector, Vector, Vector]:
        """Answer to loads (n, b) at the knots, the last of which is the first again."""
        around, rough, r = self._chain
        known = np.zeros((around.size + 3, 2))
        known[0, 0] = known[-3, 0] = known[-2, 1] = known[-1, 1] = 1.0
        curves, _, slopes, moments, _ = self._sweep(around, known)
        loads = np.roll(load[:-1], -self._seam, axis=0)
        loads = np.concatenate([loads, np.zeros((1, load.shape[1]))])
        parts = np.empty((3, *load.shape))
        respond(around, rough, self.clamped, q, 1.0 / r, loads, *parts)
        state = self._covariance @ (curves.T @ loads)
        x, turn, bend = (
            part + basis @ state
            for part, basis in zip(parts, (curves, slopes, moments / q), strict=True)
        )
        x, turn = (self._from_circle(rows) for rows in (x, turn))
        return x, turn, self._from_circle(bend, from_end=self._from_end)

    def to_values(self, rows: Vector) -> Vector:
        """See `PanelSolver.to_values`."""
        rows = np.roll(rows, self._offset, axis=0)
        return rows if self._share is None else np.concatenate([rows, rows[:1]])

    def add_values(self, rows: Vector) -> Vector:
        """See `PanelSolver.add_values`."""
        if self._share is not None:
            rows = np.concatenate([rows[:1] + rows[-1:], rows[1:-1]])
        return np.roll(rows, -self._offset, axis=0)

    def share_out(self, rows: Vector) -> Vector:
        """See `PanelSolver.share_out`."""
        return self._share_out(np.roll(rows, self._offset, axis=0))

    def softening(self) -> Vector | None:
        """See `PanelSolver.softening`; outside is the other end."""
        if not self.gaps.roughness.size:
            return None
        soft = 1.0 / self.gaps.roughness
        fall: Vector = (np.roll(soft, 1) - soft)[:, np.newaxis]
        return fall


def wrap(points: Vector, first: float, last: float) -> Vector:
    """Give points within the period from `first` to `last`; those inside stay as they are."""
    inside = (first <= points) & (points < last)
    return np.where(inside, points, first + np.mod(points - first, last - first))


def _choose_seam(gaps: Gaps) -> int:
    """Give the knot far from its neighbours, among the heavy ones if weights differ by decades.

    From other knots' states it would follow to all digits that a heavy value there is known.
    """
    distance = np.minimum(gaps.h, np.roll(gaps.h, 1))
    if gaps.weights.min() < UNEVEN * gaps.weights.max():
        distance[gaps.weights < HEAVY * gaps.weights.max()] = 0.0
    return int(distance.argmax())


def _bending(h: Vector, roughness: Vector, value: Vector, slope: Vector, moment: Vector) -> float:
    """Give the integral of roughness f''**2 of a curve of values, slopes and moments.

    From moments inside; next to the seam, where they jump, from values and slopes, of which
    rounding in tiny gaps would leave no digit.
    """
    roughness = roughness if roughness.size else np.ones(h.size)
    first, last = moment[:-1], moment[1:]
    terms = h / (3.0 * roughness) * (first * first + first * last + last * last)
    for i in (0, -1):
        bend = slope[1:][i] - slope[:-1][i]
        off = value[1:][i] - value[:-1][i] - h[i] * (slope[1:][i] + slope[:-1][i]) / 2.0
        terms[i] = roughness[i] * (12.0 * off * off / h[i] ** 3 + bend * bend / h[i])
    return float(terms.sum())
