"""A smoothing spline as a loaded beam, dense, at 100 digits: moments are what is solved for.

The moment M = roughness f'' is continuous, linear between knots and 0 at natural ends. The data
pull with forces, by which its derivative jumps; slopes have no jumps:

    w_i (y_i - g_i) = lam (M'(x_i+) - M'(x_i-)),
    6 (D g)_i = h_{i-1} / roughness_{i-1} (M_{i-1} + 2 M_i) + h_i / roughness_i (2 M_i + M_{i+1}),

where D takes second differences: ``(D g)_i = (g_{i+1} - g_i) / h_i - (g_i - g_{i-1}) / h_{i-1}``,
round the circle where the ends are one. No energy and no states of values and slopes, of which the
other references are made.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from gmpy2 import mpfr
from numpy.typing import ArrayLike, NDArray

from tests.oracles.splines import Exact, exact, rounded, solve


class Given(NamedTuple):
    """What a smoother was made of, as double numbers."""

    knots: NDArray[np.float64]
    weights: NDArray[np.float64]
    roughness: NDArray[np.float64]


class BeamSmoother:
    """For n >= 3 knots, finite lam and positive weights; `bc` is "natural" or "periodic"."""

    def __init__(
        self,
        knots: ArrayLike,
        *,
        lam: float,
        weights: ArrayLike | None = None,
        bc: str = "natural",
        roughness: ArrayLike | None = None,
    ) -> None:
        x = exact(knots)
        n = len(x)
        w = exact(np.ones(n) if weights is None else weights)
        rough = exact(np.ones(n - 1) if roughness is None else roughness)
        h = x[1:] - x[:-1]
        to_knots = np.eye(n, dtype=object) * mpfr(1)  # from values to those at different knots
        self._lam, self._bc, self._given = (
            lam,
            bc,
            Given(np.array(knots), rounded(w), rounded(rough)),
        )
        self._circle = bc == "periodic"
        if self._circle:
            to_knots[0, 0], to_knots[0, -1] = w[0] / (w[0] + w[-1]), w[-1] / (w[0] + w[-1])
            to_knots, w = to_knots[:-1], np.concatenate([[w[0] + w[-1]], w[1:-1]])
        size = len(w)
        differences = np.full((size, size), mpfr(0), dtype=object)
        bends = differences.copy()
        for i in range(n - 1):
            j = (i + 1) % size
            for a, b in ((i, j), (j, i)):
                differences[a, a] -= 1 / h[i]
                differences[a, b] += 1 / h[i]
                bends[a, a] += h[i] / 3 / rough[i]
                bends[a, b] += h[i] / 6 / rough[i]
        inner = slice(None) if self._circle else slice(1, -1)
        rows = differences[inner]
        pull = mpfr(float(lam)) * rows.T / w[:, np.newaxis]  # what moments take from values
        solved = solve(bends[inner, inner] + rows @ pull, rows @ to_knots)
        moments = np.full((size, n), mpfr(0), dtype=object)
        moments[inner] = solved
        fitted = to_knots - pull @ solved
        around = [*range(size), 0][:n]
        self._x, self._h, self._rough = x, h, rough
        self._values, self._moments = fitted[around], moments[around]

    def variances(self, points: ArrayLike) -> NDArray[np.float64]:
        """Posterior variances of f at the points for values of variance 1 / weight.

        A value of weight 1 there would have leverage S = V / (1 + V); outside the knots roughness
        goes on as in the end gap.
        """
        result = []
        for t in np.asarray(points):
            i = int(np.searchsorted(self._given.knots, t))
            if i < len(self._given.knots) and self._given.knots[i] == t:
                result.append(self.hat()[i, i] / self._given.weights[i])
                continue
            gap = min(max(i - 1, 0), len(self._given.roughness) - 1)
            knots, weights = (
                np.insert(a, i, b) for a, b in zip(self._given[:2], (t, 1.0), strict=True)
            )
            roughness = np.insert(self._given.roughness, gap, self._given.roughness[gap])
            lever = BeamSmoother(
                knots, lam=self._lam, weights=weights, bc=self._bc, roughness=roughness
            ).hat()[i, i]
            result.append(lever / (1 - lever))
        return rounded(np.array(result))

    def hat(self) -> Exact:
        """Map values to fitted values: (n, n)."""
        return self._values

    def matrix(self, points: ArrayLike, nu: int = 0) -> Exact:
        """Map values (n,) to derivative `nu` at the points (m,): (m, n)."""
        return np.stack([self._row(t, nu) for t in exact(points)])

    def _row(self, t: mpfr, nu: int) -> Exact:
        x, n = self._x, len(self._x)
        if self._circle and not x[0] <= t < x[-1]:
            t = x[0] + (t - x[0]) % (x[-1] - x[0])
        i = min(max(int(np.searchsorted(x, t, side="right")) - 1, 0), n - 2)
        h, rise = self._h[i], (self._values[i + 1] - self._values[i]) / self._h[i]
        one, other = self._moments[i] / self._rough[i], self._moments[i + 1] / self._rough[i]
        u = min(max((t - x[i]) / h, mpfr(0)), mpfr(1))
        v = 1 - u
        slope = rise + h / 6 * ((1 - 3 * v * v) * one + (3 * u * u - 1) * other)
        beyond = t - x[i] - u * h
        if nu == 0:
            bend = h * h / 6 * u * v * ((1 + v) * one + (1 + u) * other)
            return v * self._values[i] + u * self._values[i + 1] - bend + beyond * slope
        if nu == 1:
            return slope
        if not x[0] <= t <= x[-1] or (nu == 3 and t == x[-1]):
            return 0 * one
        return v * one + u * other if nu == 2 else (other - one) / h
