"""Plans of every kind by the plain loops of the subtraction-free recursion, panel by panel.

What the SIMD sweeps do not know: roughness weights and given end slopes (here), periodic splines
(`periodic`); and, for every plan, what the data tell of the curve: residuals, leverages and
posterior variances.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from fastspline._kernels import posterior, state_space
from fastspline._solvers.columns import (
    DType,
    Prepared,
    add_panels,
    first_overflow,
    panel_width,
    threads_for,
)
from fastspline._solvers.tableau import Gaps, Rows, Tableau, Vector, tabulate
from fastspline._threads import cut, run_blocks
from fastspline.arrays import FloatArray

FAR = 1e100  # scaled lam beyond which nothing is smoothed further; inf has no process noise


class PanelSolver:
    """Natural ends, or slopes given at both ends, by which straight lines continue the curve.

    Parameters
    ----------
    gaps : Gaps
    slopes : tuple of 2 floats, optional
        In the units of the caller.

    Attributes
    ----------
    noise, process_noise : ndarray (n,), float
        Observation noise r_i at the knots and process noise q, see `state_space`.
    """

    __slots__ = ("_start", "clamped", "co", "ends", "gaps", "noise", "process_noise")
    name: Literal["reinsch", "state-space"] = "state-space"

    def __init__(self, gaps: Gaps, slopes: tuple[float, float] | None = None) -> None:
        self.gaps, self.clamped = gaps, slopes is not None
        self._start = None if slopes is None else _stiffest(gaps, slopes)
        lam = min(gaps.scaled_lam, FAR) if self.clamped else gaps.scaled_lam
        self._add_noise(lam)
        self._factor(gaps.h, gaps.roughness, self.noise)

    def _add_noise(self, lam: float) -> None:
        gaps = self.gaps
        self.noise: Vector = np.empty(gaps.knots.size)
        self.process_noise: float = state_space.scale_noise(gaps.weights, gaps.top, lam, self.noise)

    def _factor(self, h: Vector, roughness: Vector, noise: Vector) -> None:
        self.co = np.empty((h.size, state_space.N_COEFFICIENTS))
        self.ends: tuple[float, float] = state_space.factor_state_space(
            h, roughness, self.clamped, self.process_noise, noise, self.co
        )

    def exact(self) -> PanelSolver:
        """See `Solver.exact`."""
        return self

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

    def smooth(self, y: Vector) -> tuple[Vector, Vector, Vector, Vector, int]:
        """Fit a panel: values, residuals, slopes and moments at the knots, scaled; a bad column."""
        if self._start is None:
            return self._sweep(self.gaps.h, y)
        value, slope, moment = self._start
        with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
            rest = np.concatenate([y - value, np.zeros((2, y.shape[1]))])
            g, residual, slopes, moments, bad = self._sweep(self.gaps.h, rest)
            return g + value, residual, slopes + slope, moments + moment, bad

    def _sweep(self, h: Vector, y: Vector) -> tuple[Vector, Vector, Vector, Vector, int]:
        residual, slope, moment = np.zeros((3, h.size + 1, y.shape[1]))
        with np.errstate(all="ignore"):  # what is not finite is reported, not warned of
            bad: int = state_space.smooth_panel(h, self.co, y, residual, slope, moment, *self.ends)
            return y[: h.size + 1] - residual, residual, slope, moment, bad

    def transpose(self, bar_g: Vector, bar_slope: Vector, bar_moment: Vector) -> Vector:
        """Give the cotangents of values from those of `smooth`, all (n, b), which are spent."""
        return self._transpose_sweep(self.gaps.h, bar_g, bar_slope, bar_moment)[: len(bar_g)]

    def _transpose_sweep(
        self, h: Vector, bar_g: Vector, bar_slope: Vector, bar_moment: Vector
    ) -> Vector:
        bar_y = bar_g
        if self.clamped:
            bar_y = np.concatenate([bar_g, np.zeros((2, bar_g.shape[1]))])
        state_space.adjoint_smooth_panel(h, self.co, bar_y, bar_slope, bar_moment, *self.ends)
        return bar_y

    def residuals(self, values: Vector) -> Vector:
        """Give values less fitted values, to full relative accuracy.

        A column that is not finite gives NaN.
        """
        result = np.empty(values.shape)

        def work(first: int, stop: int) -> int:
            y = np.ascontiguousarray(values[:, first:stop])
            _, residual, _, _, bad = self.smooth(y)
            result[:, first:stop] = np.nan if bad >= 0 else self._of_values(y, residual)
            return -1

        run_blocks(
            work, cut(values.shape[1], panel_width(len(values))), threads_for(values, result, None)
        )
        return result

    def _of_values(self, y: Vector, residual: Vector) -> Vector:  # noqa: ARG002
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

    def variances(self, points: Vector) -> Vector:
        """Give the posterior variance of f at points, relative to that of a value of weight 1."""
        gaps, out = self.gaps, np.empty(points.size)
        cells, before, after = np.empty(points.size, np.int64), *np.empty((2, points.size))
        posterior.place_points(gaps.knots, gaps.unit, points, cells, before, after)
        posterior.variances(
            gaps.h, gaps.roughness, self.clamped, self.process_noise, self.noise,
            cells, before, after, out,
        )  # fmt: skip
        return out / self._noise_of_weight_1()

    def _noise_of_weight_1(self) -> float:
        i = int(self.gaps.weights.argmax()) if self.gaps.weights.size else 0
        weight = self.gaps.weights[i] if self.gaps.weights.size else 1.0
        return float(self.noise[i] * weight)


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
            g, _, slope, moment, bad = self.solver.smooth(y)
            if bad >= 0:
                return first + bad
            result = np.empty((t.m, stop - first))
            base, tangent = choose_jet(t.nu, g, slope, moment)
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
                return self.solver.transpose(*bars)

        return add_panels(pull, self.sources, cotangent, out, threads)


def choose_jet(nu: int, g: Vector, slope: Vector, moment: Vector) -> tuple[Vector, Vector]:
    """Give what the weights of derivative `nu` multiply: (base, tangent); see `weigh_by_slope`."""
    return (g, slope, moment, moment)[nu], slope if nu == 0 else moment


def pull_to_knots(tableau: Tableau, unit: float, cotangent: Vector) -> Vector:
    """Give cotangents of values, slopes and moments, (3, n, b), from those of results, (m, b)."""
    t, bars = tableau, np.zeros((3, tableau.n, cotangent.shape[1]))
    base, tangent = choose_jet(t.nu, *bars)
    state_space.adjoint_evaluate_panel(t.spans, t.weights, t.rows, cotangent, base, tangent)
    if t.nu == 1:
        bars[1] /= unit
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
