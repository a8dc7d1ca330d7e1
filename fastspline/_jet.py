"""`Jet`: values, slopes and second derivatives of curves, evaluated, or as scipy's classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastspline._arguments import Boundary
from fastspline._kernels.state_space import evaluate_panel, write_coefficients
from fastspline._kernels.tables import power_of_two
from fastspline._solvers.periodic import wrap
from fastspline._solvers.tableau import ALL_ONE, Gaps, Vector, tabulate
from fastspline.arrays import FloatArray, join_parts

if TYPE_CHECKING:
    from scipy.interpolate import BSpline, PPoly


class Jet(NamedTuple):
    """Cubic pieces between nodes (n,): values, slopes and second derivatives there, (n, columns).

    Where `roughness`, one a gap or empty, jumps, second derivatives are limits from the right.
    """

    nodes: Vector
    values: Vector
    slopes: Vector
    curvatures: Vector
    bc: Boundary
    roughness: Vector

    @property
    def unit(self) -> float:
        """A power of two near the length, in which its cube neither over- nor underflows."""
        return float(power_of_two(self.nodes[-1] - self.nodes[0]))

    @property
    def roughness_after(self) -> Vector:
        """Weight of the gap after each node."""
        return np.append(self.roughness, self.roughness[0 if self.bc == "periodic" else -1])

    def wrap(self, points: Vector) -> Vector:
        """Give points within the period, if there is one."""
        if self.bc != "periodic":
            return points
        return wrap(points, self.nodes[0], self.nodes[-1])

    def at(self, points: Vector, nu: int) -> Vector:
        """Evaluate derivative `nu` in [0, 2] at points within the period: (m, columns)."""
        gaps = Gaps(self.nodes, ALL_ONE, np.diff(self.nodes), roughness=self.roughness)
        t = tabulate(gaps, points, nu)
        out, moments = np.empty((t.m, self.values.shape[1])), self.curvatures
        if self.roughness.size:
            moments = moments * self.roughness_after[:, np.newaxis]
        parts = (self.values, self.slopes, moments)
        evaluate_panel(t.spans, t.weights, t.rows, parts[nu], parts[min(nu + 1, 2)], out)
        return out

    def thirds(self) -> Vector:
        """Give third derivatives after the nodes by differences, (n, columns), 0 after the last."""
        after = np.diff(self.curvatures, axis=0) / np.diff(self.nodes)[:, np.newaxis]
        return np.concatenate([after, np.zeros((1, after.shape[1]))])

    def step(self, points: Vector, after: Vector) -> Vector:
        """Give at points what is constant `after` each node, (n, columns), 0 after the last."""
        result: Vector = after[np.searchsorted(self.nodes, points, side="right") - 1]
        return result

    def to_ppoly(
        self, trailing: tuple[int, ...], axis: int, unit: float = 1.0, *, joined: bool = False
    ) -> PPoly:
        """See `Spline.to_ppoly`; with nodes in a unit, and parts joined to complex numbers."""
        from scipy.interpolate import PPoly

        x, g, slope = self.nodes / unit, self.values, self.slopes * unit
        after = self.curvatures[:-1] * unit**2
        h, rough, before = np.diff(x), self.roughness, self.curvatures[1:] * unit**2
        if rough.size:  # limits from the left
            before = before * (self.roughness_after[1:] / rough)[:, np.newaxis]
        c = np.stack([(before - after) / (6.0 * h)[:, np.newaxis], after / 2.0, slope[:-1], g[:-1]])
        extrapolate: bool | str = "periodic"
        if self.bc != "periodic":
            ends = np.zeros((2, 4, 1, g.shape[1]))
            ends[0, 2], ends[0, 3] = slope[0], g[0] - slope[0] * h[0]
            ends[1, 2], ends[1, 3] = slope[-1], g[-1]
            c = np.concatenate([ends[0], c, ends[1]], axis=1)
            x = np.concatenate([[x[0] - h[0]], x, [x[-1] + h[-1]]])
            extrapolate = True
        shaped: FloatArray = c.reshape(c.shape[:2] + trailing)
        shaped = join_parts(shaped) if joined else shaped
        return PPoly.construct_fast(shaped, x, extrapolate=extrapolate, axis=axis)

    def to_bspline(self, trailing: tuple[int, ...], axis: int, *, joined: bool = False) -> BSpline:
        """See `Spline.to_bspline`."""
        from scipy.interpolate import BSpline

        if self.roughness.size:
            raise ValueError(
                "roughness weights make second derivatives jump at the knots, and a BSpline with "
                "single knots has none that jump; use to_ppoly()"
            )
        t = np.empty(self.nodes.size + 6)
        c = np.empty((self.nodes.size + 2, self.values.shape[1]))
        write_coefficients(self.nodes, self.values, self.slopes, self.curvatures, t, c)
        extrapolate = "periodic" if self.bc == "periodic" else True
        shaped: FloatArray = c.reshape(c.shape[:1] + trailing)
        shaped = join_parts(shaped) if joined else shaped
        return BSpline.construct_fast(t, shaped, 3, extrapolate=extrapolate, axis=axis)

    def integrate(self, a: float, b: float, place: tuple[tuple[int, ...], int]) -> FloatArray:
        """See `Spline.integrate`."""
        for name, bound in (("a", a), ("b", b)):
            if not np.isfinite(bound):
                raise ValueError(f"{name} must be finite, got {bound}; the spline ends in lines")
        pieces = self.to_ppoly(*place, self.unit)
        result: FloatArray = pieces.integrate(a / self.unit, b / self.unit) * self.unit
        lost = np.isnan(self.values).any(axis=0)  # columns without values
        if not (np.isfinite(result).ravel() | lost).all():
            raise ValueError(
                f"the integral from {a:g} to {b:g} overflows; take bounds nearer the knots"
            )
        return result

    def roots(self, place: tuple[tuple[int, ...], int]) -> Vector:
        """See `Spline.roots`."""
        pieces = self.to_ppoly(*place, self.unit)
        result: Vector = pieces.roots(extrapolate=self.bc != "periodic") * self.unit
        return result
