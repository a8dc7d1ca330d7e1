"""A smoothing spline of raw rows by dense algebra: several rows may share a knot.

The curve is described by its values and slopes at the different knots, cubics between. A row y_i
reads the value at its knot (X, the incidence matrix), and the penalty is integrated numerically, by
Gauss's rule with two points, exact for squares of second derivatives. Nothing of ours is imported,
and no formula is shared with `tests.oracles.splines.HermiteSmoother`.
"""

from __future__ import annotations

import gmpy2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from tests.oracles.splines import Exact, exact, log_determinant, rounded, solve, squared_trace


class RawFit:
    """The fit of `values` (N, columns) at `knots` (N,), ascending, some equal; rows of weight 0 go.

    At 100 digits where `digits` is true, else in double precision.
    """

    def __init__(
        self,
        knots: ArrayLike,
        values: ArrayLike,
        *,
        lam: float,
        weights: ArrayLike | None = None,
        bc: object = "natural",
        roughness: ArrayLike | None = None,
        digits: bool = True,
    ) -> None:
        read = exact if digits else np.array
        w = np.ones(len(np.asarray(knots))) if weights is None else np.asarray(weights)
        self.counts = np.flatnonzero(w)
        places, row = np.unique(np.asarray(knots, np.float64), return_inverse=True)
        n = len(places)
        rough = np.ones(n - 1) if roughness is None else roughness
        self.lam, self._solve = lam, solve if digits else np.linalg.solve
        self.x, self.w = read(places), read(w[self.counts])
        self.y = read(np.asarray(values, np.float64)[self.counts])
        self.knots = read(np.asarray(knots, np.float64)[self.counts])
        zero = self.x[0] * 0
        energy = np.full((2 * n, 2 * n), zero, dtype=self.x.dtype)
        node = (gmpy2.sqrt(3) if digits else np.sqrt(3.0)) ** -1
        for i in range(n - 1):
            h = self.x[i + 1] - self.x[i]
            for u in ((1 - node) / 2, (1 + node) / 2):
                bend = np.array([12 * u - 6, h * (6 * u - 4), 6 - 12 * u, h * (6 * u - 2)]) / h**2
                energy[2 * i : 2 * i + 4, 2 * i : 2 * i + 4] += (
                    read(rough)[i] * h / 2 * np.outer(bend, bend)
                )
        incidence = np.full((len(self.counts), 2 * n), zero, dtype=self.x.dtype)
        incidence[range(len(self.counts)), 2 * row[self.counts]] = zero + 1
        free, given = np.eye(2 * n) + np.zeros((2 * n, 2 * n), self.x.dtype), zero * energy[0]
        self.least = 2 if bc == "natural" else 1
        if bc == "periodic":
            free[-2:, :2] = free[-2:, -2:]
            free = free[:, :-2]
        elif bc != "natural":
            given = given.copy()
            free = np.delete(free, [1, 2 * n - 1], axis=1)
            given[1], given[-1] = zero + bc[1], zero + bc[2]
        strength = read([lam])[0]
        design = incidence @ free
        normal = (design.T * self.w) @ design + strength * free.T @ energy @ free
        pull = strength * free.T @ energy @ given
        right = np.concatenate([design.T * self.w, pull[:, np.newaxis]], axis=1)
        answers = self._solve(normal, right)
        hat, pulled = answers[:, :-1], answers[:, -1:]
        self.hat: Exact = design @ hat
        apart = self.y - (incidence @ given)[:, np.newaxis]
        self.states: Exact = free @ (hat @ apart - pulled) + given[:, np.newaxis]
        self.residuals: Exact = self.y - incidence @ self.states

    @property
    def fitted(self) -> NDArray[np.float64]:
        """Of the curve at the different knots."""
        return rounded(self.states[::2])

    @property
    def slopes(self) -> NDArray[np.float64]:
        """Of the curve at the different knots."""
        return rounded(self.states[1::2])

    @property
    def df(self) -> float:
        """The trace of the map from rows to fitted rows."""
        return float(np.trace(self.hat))

    @property
    def variance(self) -> NDArray[np.float64]:
        """RSS / tr((I - H)^2), one a column."""
        return rounded(self.w @ self.residuals**2 / squared_trace(self.hat))

    @property
    def curve_variance(self) -> NDArray[np.float64]:
        """(N - 2) RSS / (N - df)^2, N - 1 but for natural ends; what bands are made of."""
        return self.gcv * (len(self.w) - self.least) / len(self.w)

    @property
    def freedom(self) -> float:
        """(N - df)^2 / tr((I - H)^2)."""
        return float((len(self.w) - np.trace(self.hat)) ** 2 / squared_trace(self.hat))

    @property
    def gcv(self) -> NDArray[np.float64]:
        """N RSS / (N - df)**2, one a column."""
        n = len(self.w)
        return rounded(n * (self.w @ self.residuals**2) / (n - np.trace(self.hat)) ** 2)

    @property
    def robust(self) -> NDArray[np.float64]:
        """GCV times what it costs to take many degrees of freedom or to rest on few rows."""
        n, left_out = len(self.w), rounded(1 - np.diag(self.hat))
        rest = left_out.sum()
        few = 15 * (left_out @ left_out) / rest**2
        return self.gcv * np.exp(few) * (n - rest) ** (5 / n)

    def score(self, criterion: str) -> NDArray[np.float64]:
        """What `lam=criterion` minimises, one a column."""
        named = {"gcv": "robust", "gcv-plain": "gcv"}.get(criterion, criterion)
        scores: NDArray[np.float64] = getattr(self, named)
        return scores

    @property
    def loo(self) -> NDArray[np.float64]:
        """The mean weighted square of (y - fitted) / (1 - leverage), one a column."""
        left_out = self.residuals / (1 - np.diag(self.hat))[:, np.newaxis]
        return rounded(self.w @ left_out**2 / len(self.w))

    @property
    def reml(self) -> NDArray[np.float64]:
        """See `tests.oracles.splines.exact_scores`: of all rows, each with its own noise."""
        n, x = len(self.w), self.knots - self.knots[0]
        least, most = np.minimum.outer(x, x), np.maximum.outer(x, x)
        covariance = np.diag(1 / self.w) + least**2 * (3 * most - least) / 6 / self.lam
        line = np.stack([x**0, x], axis=1)
        inside = line.T @ self._solve(covariance, line)
        penalised = self.w @ (self.y * self.residuals)
        dets = sum(_log_det(matrix) for matrix in (covariance, inside))
        return (n - 2) * np.log(rounded(penalised / (n - 2))) + dets


def _log_det(matrix: Exact) -> float:
    if matrix.dtype == object:
        return log_determinant(matrix)
    return float(np.linalg.slogdet(matrix)[1])


def minimise_raw(
    criterion: str, knots: ArrayLike, values: ArrayLike, low: float, high: float, **options: object
) -> tuple[float, float]:
    """The best lam in [low, high] for one column of raw rows, and its score, by brute force."""
    column = np.asarray(values)[:, np.newaxis]

    def score(power: float) -> float:
        fit = RawFit(knots, column, lam=10.0**power, digits=False, **options)
        return float(fit.score(criterion)[0])

    grid = np.linspace(np.log10(low), np.log10(high), 150)
    scores = [score(power) for power in grid]
    best = int(np.argmin(scores))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(score, bounds=around, method="bounded", options={"xatol": 1e-10})
    if found.fun < scores[best]:
        return 10.0**found.x, float(found.fun)
    return 10.0 ** grid[best], scores[best]
