"""What a fit rests on: columns that share a plan, their data, and what is left of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastspline._tableau import Rows, Vector

if TYPE_CHECKING:
    from fastspline._smoother import Smoother


class Repeats(NamedTuple):
    """Values of which several belong to one knot, where their weighted mean stands for them."""

    knot: Rows  # (n,) index of the knot of each value
    values: Vector  # (n, columns)
    weights: Vector  # (n,) of each value; 0 drops it


class Group(NamedTuple):
    """Columns of one fit that share a plan: (n, columns) `values` at its knots."""

    plan: Smoother
    columns: Rows | slice  # where they stand among the columns of the fit
    values: Vector
    repeats: Repeats | None = None


class Rest(NamedTuple):
    """Of the values that count: how many, residuals, weights, and 1 - leverage."""

    n: int
    values: Vector  # (n, columns)
    residuals: Vector  # (n, columns), to full relative accuracy
    weights: Vector  # (n,)
    complement: Vector  # (n,)

    @property
    def squares(self) -> Vector:
        """Weighted residual sum of squares, one a column."""
        squares: Vector = np.einsum("i,ij,ij->j", self.weights, self.residuals, self.residuals)
        return squares

    @property
    def freedom(self) -> float:
        """N - df, without that subtraction."""
        return float(self.complement.sum())

    @property
    def variance(self) -> Vector:
        """``RSS / (n - df)``, one a column."""
        with np.errstate(invalid="ignore"):
            variance: Vector = self.squares / np.float64(self.freedom)
        return variance

    @property
    def gcv(self) -> Vector:
        """``n RSS / (n - df)**2`` (Craven and Wahba 1979, eq. 1.9), one a column."""
        with np.errstate(invalid="ignore"):
            score: Vector = self.n * self.squares / np.float64(self.freedom) ** 2
        return score

    @property
    def loo(self) -> Vector:
        """Mean weighted square of y_i - f(x_i), f fitted without y_i; one a column."""
        with np.errstate(invalid="ignore"):
            left_out = self.residuals / self.complement[:, np.newaxis]
        mean: Vector = np.einsum("i,ij,ij->j", self.weights, left_out, left_out) / self.n
        return mean

    @property
    def penalised(self) -> Vector:
        """``RSS + lam integral(f''**2)``, one a column: the identity ``sum(w y residual)``."""
        total: Vector = np.einsum("i,ij,ij->j", self.weights, self.values, self.residuals)
        return total


def rest_of(group: Group) -> Rest:
    """Give what the fit of a group leaves of its values."""
    plan, solver = group.plan, group.plan._solver.exact()
    active: NDArray[np.int64] = plan._active
    y = group.values[active]
    residuals = solver.residuals(y)
    _, complement = solver.leverages()
    weights = np.ones(active.size) if plan.weights is None else plan.weights[active]
    if active[0] == active[-1]:  # one knot, held twice
        y, residuals, weights, complement = (a[:1] for a in (y, residuals, weights, complement))
    if group.repeats is None:
        return Rest(weights.size, y, residuals, weights, complement)
    knot, values, own = group.repeats
    counts = own > 0.0
    knot, values, own = knot[counts], values[counts], own[counts]
    row = np.searchsorted(active, knot)
    share = own / weights[row]
    apart = (values - y[row]) + residuals[row]
    return Rest(own.size, values, apart, own, (1.0 - share) + share * complement[row])
