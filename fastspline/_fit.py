"""What a fit is made of: columns that share a plan, their curves, and what these leave of data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastspline._jet import Jet
from fastspline._kernels.scores import caution
from fastspline._plan import Plan
from fastspline._solvers.choice import bind_exactly
from fastspline._solvers.tableau import ALL_ONE, Rows, Vector
from fastspline.arrays import refuse_values


class Repeats(NamedTuple):
    """Values of which several belong to one knot, where their weighted mean stands for them."""

    knot: Rows  # (n,) index of the knot of each value
    values: Vector  # (n, columns)
    weights: Vector  # (n,) of each value; 0 drops it

    def that_count(self) -> Repeats:
        """Give those of positive weight."""
        counts = self.weights > 0.0
        return Repeats(self.knot[counts], self.values[counts], self.weights[counts])


class Robust(NamedTuple):
    """What a loss that is not squared found, of one column."""

    scale: float  # of the noise
    outliers: NDArray[np.bool_]  # of the values as they were given


class Group(NamedTuple):
    """Columns of one fit that share a plan: (n, columns) `values` at its knots."""

    plan: Plan
    columns: Rows | slice  # where they stand among the columns of the fit
    values: Vector
    repeats: Repeats | None = None
    is_lost: bool = False  # no value counts: curves are NaN
    own_weights: bool = False  # of each value, as they were given
    robust: Robust | None = None


class Rest(NamedTuple):
    """Of the values that count: how many, residuals, weights, and 1 - leverage."""

    n: int
    power: Rows  # (columns,) of 2, by which residuals are divided: squares stay within range
    residuals: Vector  # (n, columns), to full relative accuracy
    weights: Vector  # (n,)
    complement: Vector  # (n,)

    @property
    def freedom(self) -> float:
        """Give n - df, without that subtraction."""
        return float(self.complement.sum())

    def inflate(self, score: Vector, gamma: float) -> Vector:
        """Give a score with ``n - gamma df`` for ``n - df``, infinite where that reaches 0."""
        left = gamma * self.freedom - (gamma - 1.0) * self.n
        return score * (self.freedom / left) ** 2 if left > 0.0 else np.full(score.size, np.inf)

    @property
    def gcv(self) -> Vector:
        """``n RSS / (n - df)**2`` (Craven and Wahba 1979, eq. 1.9), one a column."""
        return self._unscaled(self.n * self.squares / (self.freedom or np.nan) ** 2)

    @property
    def robust(self) -> Vector:
        """`gcv` times `caution`, one a column."""
        squared = float(self.complement @ self.complement)
        result: Vector = self.gcv * caution(self.n, self.freedom or np.nan, squared)
        return result

    @property
    def loo(self) -> Vector:
        """Mean weighted square of y_i - f(x_i), f fitted without y_i; one a column."""
        kept = np.where(self.complement > 0.0, self.complement, np.nan)
        return self._unscaled(_squares(self.weights, self.residuals / kept[:, np.newaxis]) / self.n)

    @property
    def squares(self) -> Vector:
        """The sum of weighted squares of residuals, in units of 4**power; one a column."""
        return _squares(self.weights, self.residuals)

    def _unscaled(self, squares: Vector) -> Vector:
        with np.errstate(over="ignore", under="ignore"):
            result: Vector = np.ldexp(squares, 2 * self.power)
        return result


class Noise(NamedTuple):
    """What a fit tells of the noise: what `Spline.residual_variance` and all bands are made of."""

    deviation: Vector  # (columns,) of a value of weight 1; NaN where the fit interpolates
    freedom: float  # degrees of freedom of that estimate, see `Curve.std`; 0 likewise
    of_curves: Vector  # (columns,) what curves deviate by, in units of a value known alone
    wider: float  # which is so many deviations

    @property
    def variance(self) -> Vector:
        """Square of the deviation, one a column."""
        with np.errstate(over="ignore", under="ignore"):
            result: Vector = self.deviation**2
        return result


def fit_groups(groups: Sequence[Group], place: tuple[tuple[int, ...], int]) -> Jet:
    """Fit the columns of all groups, in the order of their places."""
    plan = groups[0].plan
    nodes = plan.knots if plan.knots.size > 1 else plan.solver.gaps.knots
    roughness = ALL_ONE if plan.roughness is None else plan.roughness
    if len(groups) == 1:
        return Jet(nodes, *fit_group(groups[0], nodes, place), plan.bc, roughness)
    values, slopes, curvatures = np.empty((3, nodes.size, math.prod(place[0])))
    for group in groups:
        parts = fit_group(group, nodes, place)
        for whole, part in zip((values, slopes, curvatures), parts, strict=True):
            whole[:, group.columns] = part
    return Jet(nodes, values, slopes, curvatures, plan.bc, roughness)


def third_derivatives(groups: Sequence[Group], jet: Jet) -> Vector:
    """Give the third derivative in the gap after each node, (n, columns), and 0 after the last."""
    thirds = np.zeros(jet.values.shape)
    for group in groups:
        if group.is_lost:
            thirds[:, group.columns] = np.nan
            continue
        plan = group.plan
        own = np.empty((jet.nodes.size - 1, group.values.shape[1]))
        evaluator = bind_exactly(plan.solver, jet.nodes[:-1], 3, plan.active)
        bad = evaluator.apply(group.values, own, None)
        thirds[:-1, group.columns] = np.nan if bad >= 0 else own
    return thirds


def fit_group(
    group: Group, nodes: Vector, place: tuple[tuple[int, ...], int]
) -> tuple[Vector, Vector, Vector]:
    """Give values, slopes and second derivatives of a group's curves."""
    if group.is_lost:
        nothing = np.full((nodes.size, group.values.shape[1]), np.nan)
        return nothing, nothing, nothing
    active = group.plan.active
    *jet, bad = group.plan.solver.fit(nodes, active, group.values)
    if bad >= 0:
        refuse_values(group.values, active, *place, bad)
    values, slopes, curvatures = jet
    return values, slopes, curvatures


def rest_of(group: Group) -> Rest:
    """Give what the fit of a group leaves of its values."""
    plan, active, solver = group.plan, group.plan.active, group.plan.solver.exact()
    y, power = group.values[active], magnitude(group)
    residuals = np.ldexp(solver.residuals(y), -power)
    _, complement = solver.leverages()
    weights = np.ones(active.size) if plan.weights is None else plan.weights[active]
    if plan.is_constant:  # its one knot is held twice
        y, residuals, weights, complement = (a[:1] for a in (y, residuals, weights, complement))
    if plan.lam == 0.0 and plan.bc == "periodic":  # which is only approached
        both_ends = active[0] == 0 and active[-1] == plan.knots.size - 1
        alone = slice(1, -1) if both_ends else slice(None)
        residuals[alone] = complement[alone] = 0.0
    if group.repeats is None:
        return Rest(weights.size, power, residuals, weights, complement)
    knot, values, own = group.repeats.that_count()
    row = np.searchsorted(active, knot)
    share = own / weights[row]
    apart = np.ldexp(values - y[row], -power) + residuals[row]
    rest = (1.0 - share) + share * complement[row]
    return Rest(own.size, power, apart, own, rest)


def noise_of(group: Group) -> Noise:
    """Estimate the noise by its squares, or take a robust fit's."""
    rest, plan = rest_of(group), group.plan
    squared = rest.freedom  # where S is a projection
    if plan.lam > 0.0 and not plan.is_constant:
        # Values at one knot differ from their mean by noise alone.
        squared = plan.solver.exact().squared_rest() + (rest.n - plan.active.size)
    least = 2 if plan.bc == "natural" and not plan.is_constant else 1  # degrees of the stiffest
    noise = noise_by_squares(rest.squares, rest.power, rest.freedom, squared, rest.n - least)
    if group.robust is None:
        return noise
    deviation: Vector = np.full(rest.power.size, group.robust.scale)
    return noise._replace(deviation=deviation, of_curves=noise.wider * deviation)


def noise_by_squares(
    squares: Vector, power: Rows, rest: float, squared: float, most: float
) -> Noise:
    """Estimate the noise by ``RSS / tr((I - S)**2)``.

    From RSS over 4**power, the traces of I - S and of its square, and the largest trace that any
    lam gives.
    """
    freedom = rest / squared * rest if squared > 0.0 else 0.0
    deviation: Vector = np.ldexp(np.sqrt(squares / (squared or np.nan)), power)
    wider = math.sqrt(max(most / (freedom or np.nan), 1.0))
    return Noise(deviation, freedom, wider * deviation, wider)


def some_of(group: Group, part: slice) -> Group:
    """Give some columns of a group."""
    repeats = group.repeats
    if repeats is not None:
        repeats = repeats._replace(values=repeats.values[:, part])
    return group._replace(values=group.values[:, part], repeats=repeats)


def magnitude(group: Group) -> Rows:
    """Give the power of 2 above each column's values, and above the rise of given end slopes."""
    plan, values = group.plan, group.values[group.plan.active]
    if group.repeats is not None:
        values = group.repeats.that_count().values
    largest = np.abs(values).max(axis=0, initial=0.0)
    if isinstance(plan.bc, tuple):
        steepest = max(abs(plan.bc[1]), abs(plan.bc[2]))
        largest = np.maximum(largest, steepest * (plan.knots[-1] - plan.knots[0]))
    power: Rows = np.frexp(largest)[1].astype(np.int64)
    return power


def _squares(weights: Vector, residuals: Vector) -> Vector:
    """Give the weighted sum of squares of each column."""
    squares: Vector = np.einsum("i,ij,ij->j", weights, residuals, residuals)
    return squares
