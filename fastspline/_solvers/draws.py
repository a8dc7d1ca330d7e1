"""`Draws`: curves from the posterior of a plan, less its mean, at some points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastspline._kernels.draws import N_STEPS, draw_curves, plan_draws
from fastspline._solvers.tableau import ALL_ONE, Gaps, Rows, Vector


class Seam(NamedTuple):
    """What the state at the seam of a circle adds; see `periodic`."""

    root: Vector  # (2, 2) of its covariance
    values: Vector  # (nodes, 2) of the curves that answer to it
    slopes: Vector


class Draws(NamedTuple):
    """Draws at `rows`, the points, of nodes, which are knots and points together."""

    steps: Vector
    rows: Rows
    unit: float  # of slopes
    scale: float  # noise of a value of weight 1 is 1
    seam: Seam | None = None

    @property
    def nodes(self) -> int:
        """How many pairs of normal numbers a draw takes."""
        return len(self.steps)

    def __call__(self, normals: Vector, nu: int) -> Vector:
        """Give derivative `nu` of draws (points, b) from (2, nodes, b) numbers, which are spent."""
        seam, at_last = self.seam, normals[:, -1].copy()
        draw_curves(self.steps, normals[0], normals[1])
        drawn: Vector = normals[nu][self.rows]
        if seam is not None:
            of_state = (seam.slopes if nu else seam.values)[self.rows]
            for k, root in enumerate(seam.root):
                drawn += of_state[:, k : k + 1] * (root[0] * at_last[0] + root[1] * at_last[1])
        drawn *= self.scale / self.unit if nu else self.scale
        return drawn


def cut_gaps(
    gaps: Gaps, outer: tuple[Vector, Vector], points: Vector
) -> tuple[Vector, Vector, Vector]:
    """Give knots, also those without values, and points as nodes; scaled gaps and roughness.

    For `outer` see `PanelSolver`.
    """
    first, last = outer
    before, after = np.cumsum(first[0])[::-1], np.cumsum(last[0])
    knots = np.concatenate([gaps.knots[0] - before, gaps.knots, gaps.knots[-1] + after])
    nodes = np.unique(np.concatenate([knots, points]))
    h = np.diff(nodes) / gaps.unit
    if not gaps.roughness.size:
        return nodes, h, ALL_ONE
    around = first[1][::-1] / gaps.rough_top, last[1] / gaps.rough_top
    roughness = np.concatenate([around[0], gaps.roughness, around[1]])
    cells = np.searchsorted(knots, nodes[:-1], side="right") - 1
    return nodes, h, roughness[cells.clip(0, roughness.size - 1)]


def plan_steps(
    h: Vector, roughness: Vector, q: float, precision: Vector, *, clamped: bool
) -> Vector:
    """Give the table of `plan_draws`."""
    steps = np.empty((precision.size, N_STEPS))
    plan_draws(h, roughness, clamped, q, precision, steps)
    return steps
