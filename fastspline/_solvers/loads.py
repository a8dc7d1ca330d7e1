"""Loads on fitted curves, and the curves that answer to them: what derivatives are made of.

All is of a panel of b columns and in the scaled units of `Gaps`; X = c eta stands for the
representer eta, c the noise of a value of weight 1, and moments of X are divided by the process
noise q, so that nothing vanishes as lam goes to 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastspline._solvers.tableau import Vector


class Loads(NamedTuple):
    """Cotangents (m, b) of a curve's values at points (m,), and where else eta is asked for."""

    points: Vector
    cotangents: Vector
    moving: bool  # whether the points are the plan's knots, which they follow
    beside: Vector
    penalty: tuple[Vector, Vector] | None  # the plan's knots and one roughness a gap, if any


class Fitted(NamedTuple):
    """Curves fitted to values: residuals of these; tension, slopes and moments at the knots."""

    residuals: Vector
    tension: Vector  # w (y - f) / c: the jumps of the third derivative
    slope: Vector
    moment: Vector
    free: Vector  # the moment without the constant one of given end slopes


class Representer(NamedTuple):
    """The answer to loads: a(eta, v) is the loads' product with v, for every curve v."""

    force: Vector  # w eta at the knots, (n, b)
    rest: Vector  # loads at the knots less force, to full relative accuracy
    slope: Vector
    moment: Vector
    energy: Vector  # q / c times the integral of roughness f'' eta'', (b,)
    beside: Vector  # X where it is asked for
    stress: Vector  # how the energy of the gap at the end of a period rises as it widens, (b,)
    period: float = 0.0  # the derivative by the end of the period, if there is one

    def plus(self, other: Representer) -> Representer:
        """Give the answer to both loads."""
        return Representer(
            self.force + other.force,
            self.rest + other.rest,
            self.slope + other.slope,
            self.moment + other.moment,
            self.energy + other.energy,
            self.beside + other.beside,
            self.stress + other.stress,
            self.period + other.period,
        )


class Refined(NamedTuple):
    """X at nodes, which are knots, loads and where else it is asked for; and a fitted curve."""

    nodes: Vector
    h: Vector
    roughness: Vector
    load: Vector
    x: Vector
    turn: Vector
    bend: Vector
    moment: Vector  # of the fitted curve


def integrate_bending(
    h: Vector, roughness: Vector, one: Vector, other: Vector
) -> tuple[Vector, Vector]:
    """Integrate a product of second derivatives, given by moments; and add the terms' sizes."""
    per_gap = (h / roughness if roughness.size else h)[:, np.newaxis] / 6.0
    left, right = one[:-1], one[1:]
    terms = per_gap * (
        left * (2.0 * other[:-1] + other[1:]) + right * (other[:-1] + 2.0 * other[1:])
    )
    return terms.sum(axis=0), np.abs(terms).sum(axis=0)
