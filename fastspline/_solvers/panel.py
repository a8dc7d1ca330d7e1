"""Plans of every kind by the plain loops of the subtraction-free recursion, panel by panel.

What the SIMD sweeps do not know: roughness weights and given end slopes (here), periodic splines
(`periodic`); and, for every plan, what the data tell of the curve: residuals, leverages and
posterior variances; and what loads on a curve do, of which derivatives are made.

Loads at knots are smoothed like values, which keeps what is left of them to full relative accuracy;
others are answered by `response` at nodes between the knots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from fastspline._kernels import centred, posterior, state_space
from fastspline._kernels.response import respond
from fastspline._solvers.columns import (
    DType,
    Prepared,
    add_panels,
    first_overflow,
    panel_width,
    threads_for,
)
from fastspline._solvers.loads import (
    Fitted,
    Loads,
    Refined,
    Representer,
    integrate_bending,
)
from fastspline._solvers.tableau import ALL_ONE, Gaps, Rows, Tableau, Vector, tabulate
from fastspline._threads import cut, run_blocks
from fastspline.arrays import FloatArray

if TYPE_CHECKING:
    from fastspline._solvers.draws import Draws

FAR = 1e100  # scaled lam beyond which nothing is smoothed further; inf has no process noise
NEAR = 1e-40  # lam against cubed gaps at which a curve interpolates, as far as one can tell
UNEVEN = 1e-7  # ratio of weights from which the recursion runs about its centre
NO_OUTER = np.empty((2, 0)), np.empty((2, 0))
LEAST_LAM = 1e-290  # a normal number, as its product with a load of moderate size must be


class _Factors(NamedTuple):
    """What the sweeps go by: `factor_state_space`, and `factor_centred` for uneven weights."""

    co: Vector
    own: Vector | None
    ends: tuple[float, float]


class PanelSolver:
    """Natural ends, or slopes given at both ends, by which straight lines continue the curve.

    Parameters
    ----------
    gaps : Gaps
    slopes : tuple of 2 floats, optional
        In the units of the caller.
    least_lam : float, optional
        Stands for a scaled lam below it.
    outer : tuple of 2 ndarrays (2, k), optional
        Gaps without values beyond the first and the last knot, outwards, and their roughness; in
        the units of the caller.

    Attributes
    ----------
    noise, process_noise : ndarray (n,), float
        Observation noise r_i at the knots and process noise q, see `state_space`.
    """

    __slots__ = (
        "_chain", "_factors", "_outer", "_start", "clamped", "gaps", "noise", "process_noise",
        "slopes",
    )  # fmt: skip
    name: Literal["reinsch", "innovations", "state-space"] = "state-space"
    _start: tuple[Vector, Vector, float] | None

    def __init__(
        self,
        gaps: Gaps,
        slopes: tuple[float, float] | None = None,
        least_lam: float = 0.0,
        outer: tuple[Vector, Vector] = NO_OUTER,
    ) -> None:
        self.gaps, self.clamped, self.slopes = gaps, slopes is not None, slopes
        self._start = None if slopes is None else _stiffest(gaps, slopes)
        self._outer = outer
        lam = max(gaps.scaled_lam, least_lam)
        self._add_noise(min(lam, FAR) if self.clamped else lam)
        self._chain = gaps.h, gaps.roughness, self.noise
        self._factors: _Factors | None = None

    def _add_noise(self, lam: float) -> None:
        gaps = self.gaps
        self.noise: Vector = np.empty(gaps.knots.size)
        self.process_noise: float = state_space.scale_noise(gaps.weights, gaps.top, lam, self.noise)

    def _factored(self) -> _Factors:
        """Factor at the first sweep: what leverages and variances are told by needs no factors."""
        if self._factors is None:
            h, roughness, noise = self._chain
            weights, start = self.gaps.weights, (h, roughness, self.clamped, self.process_noise)
            co, own = np.empty((h.size, state_space.N_COEFFICIENTS)), None
            if weights.size and weights.min() < UNEVEN * weights.max():
                own = np.empty((h.size, centred.N_CENTRED))
                centred.factor_centred(*start, noise, own)
            self._factors = _Factors(co, own, state_space.factor_state_space(*start, noise, co))
        return self._factors

    def exact(self) -> PanelSolver:
        """See `Solver.exact`."""
        return self

    def never_interpolating(self) -> PanelSolver:
        """Give the same plan, with a lam above 0 from which none can be told in double."""
        gaps = self.gaps
        lightest = gaps.weights.min(initial=gaps.top) / gaps.top
        floor = max(NEAR * gaps.h.min() ** 3 * lightest, LEAST_LAM)
        if gaps.scaled_lam >= floor:
            return self
        return PanelSolver(gaps, self.slopes, floor, self._outer)

    def at(self, points: Vector, nu: int, sources: Rows) -> PanelEvaluator:
        """See `Solver.at`."""
        return PanelEvaluator(self, tabulate(self.gaps, points, nu), sources)

    def fit(
        self, knots: Vector, sources: Rows, values: FloatArray
    ) -> tuple[Vector, Vector, Vector, int]:
        """See `Solver.fit`."""
        jet, bad = np.empty((3, knots.size, values.shape[1])), -1
        for nu in range(3):
            if bad < 0:
                bad = self.at(knots, nu, sources).apply(values, jet[nu], None)
        return jet[0], jet[1], jet[2], bad

    def smooth(
        self, y: Vector, shear: Vector | None = None
    ) -> tuple[Vector, Vector, Vector, Vector, int]:
        """Fit a panel: values, residuals, slopes and moments at the knots, scaled; a bad column.

        `shear`, like the residuals, gets those of the gaps after the knots; see `smooth_panel`.
        """
        if self._start is None:
            return self._smooth_freely(y, shear)
        value, slope, moment = self._start
        with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
            g, residual, slopes, moments, bad = self._smooth_freely(y - value, shear)
            return g + value, residual, slopes + slope, moments + moment, bad

    def _smooth_freely(
        self, y: Vector, shear: Vector | None = None
    ) -> tuple[Vector, Vector, Vector, Vector, int]:
        """`smooth` to end slopes 0 in the place of given ones."""
        if self.clamped:
            y = np.concatenate([y, np.zeros((2, y.shape[1]))])
        return self._sweep(self.gaps.h, y, shear)

    def _sweep(
        self, h: Vector, y: Vector, shear: Vector | None = None
    ) -> tuple[Vector, Vector, Vector, Vector, int]:
        residual, slope, moment = np.zeros((3, h.size + 1, y.shape[1]))
        shear = np.zeros((1, y.shape[1])) if shear is None else shear
        with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
            co, own, ends = self._factored()
            parts = y, residual, slope, moment, shear, *ends
            bad: int
            if own is None:
                bad = state_space.smooth_panel(h, co, *parts)
            else:
                bad = centred.smooth_centred(h, co, own, *parts)
            return y[: h.size + 1] - residual, residual, slope, moment, bad

    def transpose(self, bars: Bars) -> Vector:
        """Give the cotangents of values from those of `smooth`, which are spent."""
        return self._transpose_sweep(self.gaps.h, bars)[: len(bars.g)]

    def _transpose_sweep(self, h: Vector, bars: Bars) -> Vector:
        bar_y = bars.g
        if self.clamped:
            bar_y = np.concatenate([bars.g, np.zeros((2, bars.g.shape[1]))])
        co, own, ends = self._factored()
        parts = bar_y, *bars[1:], *ends
        if own is None:
            state_space.adjoint_smooth_panel(h, co, *parts)
        else:
            centred.adjoint_smooth_centred(h, co, own, *parts)
        return bar_y

    def residuals(self, values: Vector) -> Vector:
        """Give values less fitted values, to full relative accuracy.

        A column that is not finite gives NaN.
        """
        result = np.empty(values.shape)

        def work(first: int, stop: int) -> int:
            y = np.ascontiguousarray(values[:, first:stop])
            _, residual, _, _, bad = self.smooth(y)
            result[:, first:stop] = np.nan if bad >= 0 else self.of_values(y, residual)
            return -1

        run_blocks(
            work, cut(values.shape[1], panel_width(len(values))), threads_for(values, result, None)
        )
        return result

    def of_values(self, y: Vector, residual: Vector) -> Vector:  # noqa: ARG002
        """Give the residuals of the values from those at the knots."""
        return residual

    def leverages(self) -> tuple[Vector, Vector]:
        """Give diag(S), S: y -> fitted values, and 1 - diag(S)."""
        gaps, (lever, complement) = self.gaps, np.empty((2, self.noise.size))
        if lever.size == 2 and not self.clamped:  # the line through both
            return np.ones(2), np.zeros(2)
        posterior.leverages(
            gaps.h, gaps.roughness, self.clamped, self.process_noise, self.noise, lever, complement
        )
        return lever, complement

    def squared_rest(self) -> float:
        """Give the trace of (I - S)(I - S)."""
        return float(self._residual_variances(self.gaps.h, self.gaps.roughness, self.noise).sum())

    def _residual_variances(self, h: Vector, roughness: Vector, noise: Vector) -> Vector:
        """Give, over its own noise, the variance of each residual of values that are noise."""
        from fastspline._kernels import residuals  # of bands alone

        out = np.zeros(noise.size)
        if noise.size > 2 or self.clamped:  # else the line goes through both
            residuals.residual_variances(h, roughness, self.clamped, self.process_noise, noise, out)
        return out

    def variances(self, points: Vector) -> Vector:
        """Give the posterior variance of f at points, relative to that of a value of weight 1."""
        result: Vector = self.covariances(points)[0]
        return result

    def covariances(self, points: Vector) -> Vector:
        """Give var f, cov(f, f'), var f', so scaled, and the deviation of (f / std)': (4, m)."""
        gaps = self.gaps
        out = self._covariances(gaps.h, gaps.roughness, self.noise, *self._cells(points))
        return self._unscale(out)

    def _cells(self, points: Vector) -> tuple[Rows, Vector, Vector]:
        """Give each point's interval and its distances from both knots there."""
        cells, before, after = np.empty(points.size, np.int64), *np.empty((2, points.size))
        posterior.place_points(self.gaps.knots, self.gaps.unit, points, cells, before, after)
        return cells, before, after

    def _covariances(
        self,
        h: Vector,
        roughness: Vector,
        noise: Vector,
        cells: Rows,
        before: Vector,
        after: Vector,
    ) -> Vector:
        """`covariances` in scaled units."""
        out, q, outer = np.empty((4, cells.size)), self.process_noise, self._outer
        if outer is not NO_OUTER:
            first, last = (
                np.stack([gaps / self.gaps.unit, q / (rough / self.gaps.rough_top)])
                for gaps, rough in outer
            )
            outer = first, last
        posterior.covariances(
            h, roughness, self.clamped, q, noise, outer, cells, before, after, out
        )
        return out

    def _unscale(self, out: Vector) -> Vector:
        """Take covariances from scaled units to those of the knots and of the noise."""
        per_unit, per_noise = 1.0 / self.gaps.unit, 1.0 / self.noise_of_weight_1()
        scale = [per_noise, per_noise * per_unit, per_noise * per_unit * per_unit, per_unit]
        result: Vector = out * np.array(scale)[:, np.newaxis]
        return result

    def draws(self, points: Vector) -> Draws:
        """Prepare draws from the posterior at points; see `_kernels.draws`."""
        # Few plans are drawn from.
        from fastspline._solvers.draws import Draws, cut_gaps, plan_steps

        gaps = self.gaps
        if self.clamped:  # beyond, the slope is known
            points = points.clip(gaps.knots[0], gaps.knots[-1])
        nodes, h, roughness = cut_gaps(gaps, self._outer, points)
        q, precision = self.process_noise, self._precision(nodes)
        steps = plan_steps(h, roughness, q, precision, clamped=self.clamped)
        scale = self.noise_of_weight_1() ** -0.5
        return Draws(steps, np.searchsorted(nodes, points), gaps.unit, scale)

    def _precision(self, nodes: Vector) -> Vector:
        """Give 1 / r at nodes, 0 at those without data."""
        precision = np.zeros(nodes.size)
        precision[np.searchsorted(nodes, self.gaps.knots)] = 1.0 / self.noise
        return precision

    def noise_of_weight_1(self) -> float:
        """Give the scaled noise of a value of weight 1: what variances and c are measured by."""
        i = int(self.gaps.weights.argmax()) if self.gaps.weights.size else 0
        weight = self.gaps.weights[i] if self.gaps.weights.size else 1.0
        return float(self.noise[i] * weight)

    def fit_panel(self, y: Vector) -> Fitted:
        """Fit curves to values, with all that derivatives need of them."""
        value, slope, moment = self._start or (0.0, 0.0, 0.0)
        _, residual, slopes, moments, _ = self._smooth_freely(y - value)
        tension = residual[: self.noise.size] / self.noise[:, np.newaxis]
        apart = self.of_values(y, residual)
        return Fitted(apart, tension, slopes + slope, moments + moment, moments)

    def represent(self, loads: Loads, fitted: Fitted) -> Representer:
        """Give the representer of loads, and its products with fitted curves."""
        loads = self._place(loads)
        knots = self.gaps.knots[: self.noise.size]
        near = np.minimum(np.searchsorted(knots, loads.points), knots.size - 1)
        hits = knots[near] == loads.points
        at_knots = np.zeros((knots.size, loads.cotangents.shape[1]))
        np.add.at(at_knots, near[hits], loads.cotangents[hits])
        made = self._answer_at_knots(at_knots, loads.beside, fitted)
        if hits.all():
            return made
        between = loads._replace(points=loads.points[~hits], cotangents=loads.cotangents[~hits])
        return made.plus(self._answer_between(between, fitted))

    def _place(self, loads: Loads) -> Loads:
        """Take loads to where they pull, and roughness to its scale."""
        if self.clamped:  # beyond given slopes a load is one on the end
            ends = self.gaps.knots[[0, -1]]
            loads = loads._replace(points=np.clip(loads.points, *ends))
        if loads.penalty is None:
            return loads
        knots, roughness = loads.penalty
        return loads._replace(penalty=(knots, roughness / self.gaps.rough_top))

    def _answer_at_knots(self, load: Vector, beside: Vector, fitted: Fitted) -> Representer:
        """Answer to loads (n, b) at the knots."""
        gaps, noise, q = self.gaps, self.noise[:, np.newaxis], self.process_noise
        x, rest, turn, bend, _ = self._smooth_freely(self.to_values(noise * load))
        energy, _ = integrate_bending(gaps.h, gaps.roughness, fitted.free, bend)
        there = np.empty((beside.size, load.shape[1]))
        t = tabulate(gaps, beside, 0)
        state_space.evaluate_panel(t.spans, t.weights, t.rows, x, turn, there)
        bend = bend / q if q > 0.0 else bend
        force, rest = x[: noise.size] / noise, rest[: noise.size] / noise
        return Representer(force, rest, turn, bend, energy, there, np.zeros(load.shape[1]))

    def _answer_between(self, loads: Loads, fitted: Fitted) -> Representer:
        """Answer to loads between the knots, or beyond them."""
        return self._read(self._refine(loads, fitted), loads, fitted)

    def _refine(self, loads: Loads, fitted: Fitted) -> Refined:
        """Give X and the fitted curve's moment at knots, loads, and where else X is asked for."""
        knots, moment = self.gaps.knots, fitted.free
        nodes = np.unique(np.concatenate([knots, loads.points, loads.beside]))
        h, roughness = np.diff(nodes) / self.gaps.unit, ALL_ONE
        if loads.penalty is not None:
            starts, of_gaps = loads.penalty
            cells = np.searchsorted(starts, nodes[:-1], side="right") - 1
            roughness = of_gaps[cells.clip(0, of_gaps.size - 1)]
        load = np.zeros((nodes.size, loads.cotangents.shape[1]))
        np.add.at(load, np.searchsorted(nodes, loads.points), loads.cotangents)
        x, turn, bend = self._respond(nodes, h, roughness, load)
        cell = np.searchsorted(knots, nodes, side="right").clip(1, knots.size - 1) - 1
        part = ((nodes - knots[cell]) / (knots[cell + 1] - knots[cell])).clip(0, 1)[:, np.newaxis]
        of_curve = (1.0 - part) * moment[cell] + part * moment[cell + 1]
        of_curve[(nodes < knots[0]) | (nodes > knots[-1])] = 0.0
        return Refined(nodes, h, roughness, load, x, turn, bend, of_curve)

    def _respond(
        self, nodes: Vector, h: Vector, roughness: Vector, load: Vector
    ) -> tuple[Vector, Vector, Vector]:
        """Give X, its slope and its moment at nodes, the knots among them."""
        precision, (x, turn, bend) = self._precision(nodes), np.empty((3, *load.shape))
        q = self.process_noise
        respond(h, roughness, self.clamped, q, precision, load, x, turn, bend)
        return x, turn, bend

    def _read(self, fine: Refined, loads: Loads, fitted: Fitted) -> Representer:
        """Read at the knots what X does, and its energy."""
        # Not x / noise: in x a point next to a knot drowns the little that a small noise allows.
        rows = self.to_values(self.noise).size
        of_values = np.zeros((rows, loads.cotangents.shape[1]))
        reader = self.at(loads.points, 0, np.arange(rows))
        if reader.adjoint(loads.cotangents, of_values, 1) >= 0:
            of_values[:] = np.nan  # told at the end
        force = self.add_values(of_values)
        # Two forms of one integral: the second, by parts, cancels where lam is large, the first
        # where it is small and the moments of loads between knots are not.
        direct, least = integrate_bending(fine.h, fine.roughness, fine.moment, fine.bend)
        products = fitted.tension * self.noise[:, np.newaxis] * force
        by_parts = np.abs(products).sum(axis=0) < least
        energy = self.process_noise * np.where(by_parts, products.sum(axis=0), direct)
        there = fine.x[np.searchsorted(fine.nodes, loads.beside)]
        if self.gaps.scaled_lam == 0.0:  # the pull of such loads has no bound
            there = np.where(there == 0.0, 0.0, there / 0.0)
        at = np.searchsorted(fine.nodes, self.gaps.knots)
        stress = np.zeros(energy.size)
        return Representer(force, -force, fine.turn[at], fine.bend[at], energy, there, stress)

    def to_values(self, rows: Vector) -> Vector:
        """Give each value the entry of its knot."""
        return rows

    def add_values(self, rows: Vector) -> Vector:
        """Add up at each knot the entries of its values."""
        return rows

    def share_out(self, rows: Vector) -> Vector:
        """Give each value its share, by weight, of the entry of its knot."""
        return rows

    def softening(self) -> Vector | None:
        """Give how much 1 / roughness falls at each knot, (n, 1), 0 outside; None if f'' is 0."""
        gaps = self.gaps
        if not (gaps.roughness.size or self.clamped):
            return None
        soft = 1.0 / gaps.roughness if gaps.roughness.size else np.ones(gaps.h.size)
        fall: Vector = -np.diff(np.concatenate([[0.0], soft, [0.0]]))[:, np.newaxis]
        return fall


class PanelEvaluator:
    """Drives the plain loops over panels of columns."""

    __slots__ = ("prepared", "solver", "sources", "tableau", "transposed")

    def __init__(self, solver: PanelSolver, tableau: Tableau, sources: Rows) -> None:
        self.solver, self.tableau, self.sources = solver, tableau, sources
        self.prepared: dict[DType, Prepared] = {}  # no quick entries
        self.transposed: dict[DType, Prepared] = {}

    def reading(self, sources: Rows) -> PanelEvaluator:
        """See `Evaluator.reading`."""
        return PanelEvaluator(self.solver, self.tableau, sources)

    def apply(self, values: FloatArray, out: FloatArray, threads: int | None) -> int:
        """See `Evaluator.apply`."""
        t, unit = self.tableau, self.solver.gaps.unit

        def work(first: int, stop: int) -> int:
            y = np.ascontiguousarray(values[self.sources, first:stop], np.float64)
            shear = np.zeros((t.n, stop - first)) if t.nu == 3 else None
            g, _, slope, moment, bad = self.solver.smooth(y, shear)
            if bad >= 0:
                return first + bad
            result = np.empty((t.m, stop - first))
            base, tangent = choose_jet(t.nu, g, slope, moment, moment if shear is None else shear)
            if t.nu == 1:
                with np.errstate(over="ignore"):  # it is noticed in the result
                    base = slope / unit
            state_space.evaluate_panel(t.spans, t.weights, t.rows, base, tangent, result)
            bad = first_overflow(result, out.dtype)
            if bad < 0:
                out[:, first:stop] = result
            return bad if bad < 0 else first + bad

        width = panel_width(self.sources.size)
        return run_blocks(work, cut(values.shape[1], width), threads_for(values, out, threads))

    def adjoint(self, cotangent: FloatArray, out: FloatArray, threads: int | None) -> int:
        """See `Evaluator.adjoint`; of the linear part, without given slopes."""

        def pull(panel: Vector) -> Vector:
            with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
                bars = pull_to_knots(self.tableau, self.solver.gaps.unit, panel)
                return self.solver.transpose(bars)

        return add_panels(pull, self.sources, cotangent, out, threads)


class Bars(NamedTuple):
    """Cotangents of values, slopes, moments, all (n, b), and of shears, (0, b) where nu < 3."""

    g: Vector
    slope: Vector
    moment: Vector
    shear: Vector


def choose_jet(
    nu: int, g: Vector, slope: Vector, moment: Vector, shear: Vector
) -> tuple[Vector, Vector]:
    """Give what the weights of derivative `nu` multiply: (base, tangent); see `weigh_by_slope`."""
    return (g, slope, moment, shear)[nu], (slope, moment, moment, shear)[nu]


def pull_to_knots(tableau: Tableau, unit: float, cotangent: Vector) -> Bars:
    """Give the cotangents at the knots from those of results, (m, b)."""
    t, columns = tableau, cotangent.shape[1]
    shear = np.zeros((t.n if t.nu == 3 else 0, columns))
    g, slope, moment = np.zeros((3, t.n, columns))
    bars = Bars(g, slope, moment, shear)
    base, tangent = choose_jet(t.nu, *bars)
    state_space.adjoint_evaluate_panel(t.spans, t.weights, t.rows, cotangent, base, tangent)
    if t.nu == 1:
        bars.slope[:] /= unit
    return bars


def _stiffest(gaps: Gaps, slopes: tuple[float, float]) -> tuple[Vector, Vector, float]:
    """Give values, slopes (n, 1) and the constant moment of the least rough curve of such ends.

    What is smoothed is the difference from it, which has slopes 0 there: in tiny gaps at the ends
    others would lose their last digits.
    """
    first, last = slopes[0] * gaps.unit, slopes[1] * gaps.unit
    bends = gaps.h / gaps.roughness if gaps.roughness.size else gaps.h
    moment = (last - first) / bends.sum()
    slope = np.concatenate([[first], first + moment * bends.cumsum()])
    value = np.concatenate([[0.0], (gaps.h * (slope[:-1] + slope[1:]) / 2.0).cumsum()])
    return value[:, np.newaxis], slope[:, np.newaxis], float(moment)
