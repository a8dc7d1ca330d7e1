"""Slow, obvious oracles for smoothing splines: dense algebra at 100 digits, nothing of ours.

The minimiser of ``sum(w_i (y_i - u(x_i))**2) + lam * integral(u''**2)`` is a thin-plate spline in
one dimension (Duchon 1977; Wahba 1990, section 2.4):

    u(t) = d_0 + d_1 t + sum_i c_i |t - x_i|**3 / 12,
    (E + lam W^-1) c + T d = y,    T' c = 0,    E_ij = |x_i - x_j|**3 / 12,    T = [1, x].

No second derivatives at the knots, no band matrix, no recursion: it shares no formula with the code
under test. Outside the knots ``T' c = 0`` makes u a straight line by itself.
"""

from __future__ import annotations

import gmpy2
import mpmath
import numpy as np
from gmpy2 import mpfr
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

DIGITS = 100
BITS = 336  # of 100 digits
gmpy2.get_context().precision = BITS  # of this thread; 20 times as fast as mpmath's numbers

Exact = NDArray[np.object_]


def exact(array: ArrayLike | Exact) -> Exact:
    """The float64 entries as 100-digit numbers, exactly; such numbers stay as they are."""
    assert gmpy2.get_context().precision >= BITS, "a thread that rounds more coarsely"
    if np.asarray(array).dtype == object:
        return np.asarray(array)
    floats = np.asarray(array, dtype=np.float64)
    numbers = np.empty(floats.shape, dtype=object)
    numbers.ravel()[:] = [mpfr(float(entry)) for entry in floats.ravel()]
    return numbers


def rounded(numbers: Exact) -> NDArray[np.float64]:
    """The 100-digit entries as float64."""
    return np.asarray(numbers, dtype=np.float64)


def solve(matrix: Exact, right: Exact) -> Exact:
    """Gaussian elimination with row exchanges; `right` has one column a system."""
    size = len(matrix)
    rows = np.concatenate([matrix, right], axis=1)
    _eliminate(rows)
    solution = rows[:, size:]
    for k in range(size - 1, -1, -1):
        solution[k] = (solution[k] - rows[k, k + 1 : size] @ solution[k + 1 :]) / rows[k, k]
    return solution


def log_determinant(matrix: Exact) -> float:
    """Of a matrix with a positive determinant."""
    rows = np.array(matrix)
    _eliminate(rows)
    return float(sum(gmpy2.log(abs(pivot)) for pivot in np.diag(rows)))


def _eliminate(rows: Exact) -> None:
    """Make the left square triangular, in place; what is left below its diagonal is no zero."""
    size = len(rows)
    for k in range(size):
        pivot = k + max(range(size - k), key=lambda i: abs(rows[k + i, k]))
        rows[[k, pivot]] = rows[[pivot, k]]
        for i in range(k + 1, size):
            if rows[i, k] != 0:
                rows[i, k + 1 :] -= (rows[i, k] / rows[k, k]) * rows[k, k + 1 :]


class ExactSmoother:
    """The smoothing spline of given knots, lam and weights as a linear map of the values.

    Knots of weight zero have zero columns; one knot with a weight gives a constant.
    """

    def __init__(self, knots: ArrayLike, *, lam: float, weights: ArrayLike | None = None) -> None:
        x = exact(knots)
        w = exact(np.ones(len(x)) if weights is None else weights)
        self._n = len(x)
        self._all_knots = x
        self._active = np.flatnonzero([weight > 0 for weight in w])
        self._x, w = x[self._active], w[self._active]
        if len(w) == 1:
            self._coefficients = np.array([[0], [1], [0]]) * mpfr(1)
        elif lam == np.inf or len(w) == 2:
            self._coefficients = _fit_line(self._x, w)
        else:
            self._coefficients = _fit_thin_plate(self._x, w, mpfr(lam))

    def matrix(self, points: ArrayLike | Exact, nu: int = 0) -> Exact:
        """Map values at the knots (n,) to derivative `nu` at the points (m,): an (m, n) matrix.

        `nu` = 3 at a knot is the limit from the right.
        """
        t = exact(points)
        offset = t[:, np.newaxis] - self._x
        right = np.where(offset >= 0, mpfr(1), mpfr(-1))
        kernel = [abs(offset) ** 3 / 12, right * offset**2 / 4, abs(offset) / 2, right / 2][nu]
        line = np.full((len(t), 2), mpfr(0), dtype=object)
        if nu == 0:
            line[:, 0], line[:, 1] = mpfr(1), t
        if nu == 1:
            line[:, 1] = mpfr(1)
        matrix = np.full((len(t), self._n), mpfr(0), dtype=object)
        matrix[:, self._active] = np.concatenate([kernel, line], axis=1) @ self._coefficients
        return matrix

    def hat(self) -> Exact:
        """Map values at the knots to fitted values at the knots: (n, n)."""
        return self.matrix(self._all_knots)

    def evaluate(self, values: ArrayLike, points: ArrayLike, nu: int = 0) -> NDArray[np.float64]:
        """Derivative `nu` at the points for values (n, ...), rounded."""
        return rounded(self.matrix(points, nu) @ exact(values))


def _fit_line(x: Exact, w: Exact) -> Exact:
    """The weighted least squares line: rows of c (zero), d_0 and d_1, one column a knot."""
    centre = w @ x / w.sum()
    slope = w * (x - centre) / (w @ (x - centre) ** 2)
    return np.stack([*np.diag(0 * x), w / w.sum() - centre * slope, slope])


def _fit_thin_plate(x: Exact, w: Exact, lam: mpfr) -> Exact:
    """Solve the system of the module's docstring for every unit vector y: rows of c, d_0, d_1."""
    n = len(x)
    system = np.full((n + 2, n + 2), mpfr(0), dtype=object)
    system[:n, :n] = abs(x[:, np.newaxis] - x) ** 3 / 12
    system[range(n), range(n)] += lam / w
    system[:n, n] = system[n, :n] = mpfr(1)
    system[:n, n + 1] = system[n + 1, :n] = x
    units = np.full((n + 2, n), mpfr(0), dtype=object)
    units[range(n), range(n)] = mpfr(1)
    return solve(system, units)


def squared_trace(hat: Exact) -> mpfr:
    """Of (I - H)(I - H), for the map H from values that count to fitted values."""
    rest = np.eye(len(hat)) - hat
    return (rest * rest.T).sum()


def exact_scores(
    knots: ArrayLike, values: ArrayLike, *, lam: float, weights: ArrayLike | None = None
) -> dict[str, float]:
    """The scores of one column by their definitions, and what they are made of.

    n counts the knots with a weight. "reml" is ``(n - 2) log(y' W (y - g) / (n - 2)) + log det V +
    log det X' V^-1 X`` with V = W^-1 + K / lam, K the covariance of an integrated Wiener process.
    """
    w = exact(np.ones(len(np.asarray(knots))) if weights is None else weights)
    hat = ExactSmoother(knots, lam=lam, weights=weights).hat()
    y, x = exact(values), exact(knots)
    used = np.flatnonzero([weight > 0 for weight in w])
    n = len(used)
    residuals = (y - hat @ y)[used]
    left_out = 1 - np.diag(hat)[used]
    y, x, w = y[used], x[used] - x[used[0]], w[used]
    rss, rest = w @ residuals**2, left_out.sum()
    scores = {"rss": rss, "rest": rest, "squared": squared_trace(hat[np.ix_(used, used)])}
    if lam > 0:
        scores["gcv"] = n * rss / rest**2
        few = 15 * (left_out @ left_out) / rest**2
        scores["robust"] = scores["gcv"] * gmpy2.exp(few) * (n - rest) ** (mpfr(5) / n)
        scores["loo"] = w @ (residuals / left_out) ** 2 / n
        least, most = np.minimum.outer(x, x), np.maximum.outer(x, x)
        prior = least**2 * (3 * most - least) / 6
        covariance = np.diag(1 / w) + (0 if np.isinf(lam) else prior / mpfr(float(lam)))
        line = np.stack([x**0, x], axis=1)
        inside = line.T @ solve(covariance, line)
        scores["reml"] = (
            (n - 2) * gmpy2.log(w @ (y * residuals) / (n - 2))
            + log_determinant(covariance)
            + log_determinant(inside)
        )
    return {name: float(score) for name, score in scores.items()}


class ScoreCurve:
    """A score as a function of lam in closed form, by the eigenvalues of the penalty.

    With P the matrix of ``integral(u''**2) = g' P g``, ``W^-1/2 P W^-1/2 = U diag(s) U'`` and
    ``z = U' W^1/2 y``, the residuals times W^1/2 are ``U f z``, f = ``lam s / (1 + lam s)``, and
    ``1 - S_ii`` is ``sum(U_ik**2 f_k)`` (Demmler & Reinsch 1975). All weights must be positive.
    "gcv" is the robust score.
    """

    def __init__(
        self, knots: ArrayLike, weights: ArrayLike | None = None, criterion: str = "gcv"
    ) -> None:
        x = exact(knots)
        w = exact(np.ones(len(x)) if weights is None else weights)
        # c = P g: the rows of the penalty are third derivative jumps of the interpolating spline.
        after = ExactSmoother(knots, lam=0.0).matrix(knots, nu=3)
        before = np.concatenate([0 * after[:1], after[:-1]])
        root = np.array([gmpy2.sqrt(weight) for weight in w], dtype=object)
        eigenvalues, vectors = _diagonalise((after - before) / root[:, np.newaxis] / root)
        self._s = np.abs(eigenvalues)
        self._s[:2] = 0.0  # straight lines
        self._to_basis = rounded(vectors.T * root)
        self._basis = rounded(vectors)
        self._criterion = criterion

    def __call__(self, values: ArrayLike, lam: ArrayLike) -> NDArray[np.float64]:
        """The score of each lam (k,) and each column of `values` (n, columns): (k, columns)."""
        z = self._to_basis @ np.asarray(values, dtype=np.float64)
        n = len(z)
        factors = self._factors(lam)
        if self._criterion.startswith("gcv"):
            rest = factors.sum(axis=1, keepdims=True)
            gcv = n * factors**2 @ z**2 / rest**2
            if self._criterion == "gcv-plain":
                return gcv
            left_out = factors @ self._basis.T**2
            few = 15 * (left_out**2).sum(axis=1, keepdims=True) / rest**2
            return gcv * np.exp(few) * (n - rest) ** (5 / n)
        if self._criterion == "reml":
            return (n - 2) * np.log(factors @ z**2) - np.log(factors[:, 2:]).sum(
                axis=1, keepdims=True
            )
        residuals = np.einsum("ij,kj,jm->kim", self._basis, factors, z)
        left_out = np.einsum("ij,kj->ki", self._basis**2, factors)[:, :, np.newaxis]
        return ((residuals / left_out) ** 2).mean(axis=1)

    def _factors(self, lam: ArrayLike) -> NDArray[np.float64]:
        strength = np.asarray(lam, dtype=np.float64)[:, np.newaxis]
        with np.errstate(invalid="ignore"):  # inf / inf and inf * 0, replaced
            factors = strength * self._s / (1 + strength * self._s)
        return np.where(np.isinf(strength), np.where(self._s > 0, 1.0, 0.0), factors)

    def rest(self, lam: float) -> float:
        """n - df."""
        return float(self._factors([lam]).sum())

    def lam_of_rest(self, rest: float) -> float:
        """The lam at which n - df is so much."""
        furthest = -np.log10(self._s.max()) - 6.0, -np.log10(self._s[2]) + 6.0
        return float(10.0 ** brentq(lambda place: self.rest(10.0**place) - rest, *furthest))

    def minimum(self, values: ArrayLike, low: float, high: float) -> tuple[float, float]:
        """The best lam of one column and its score: a fine grid, refined thrice, and the line."""
        column = np.asarray(values)[:, np.newaxis]
        grid = np.geomspace(low, high, 2000)
        for _ in range(4):
            scores = self(column, grid)[:, 0]
            best = int(np.argmin(scores))
            score, lam = scores[best], grid[best]
            grid = np.geomspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 50)
        line = self(column, [np.inf])[0, 0]
        return (np.inf, line) if line < score else (lam, score)


def _diagonalise(matrix: Exact) -> tuple[NDArray[np.float64], Exact]:
    """The eigenvalues of a symmetric matrix, ascending and rounded, and its eigenvectors."""
    context = mpmath.mp.clone()
    context.dps = DIGITS
    there = [[context.mpf(str(entry)) for entry in row] for row in matrix]
    eigenvalues, vectors = context.eigsy(context.matrix(there))
    back = [[mpfr(str(entry)) for entry in row] for row in vectors.tolist()]
    return np.array([float(value) for value in eigenvalues]), np.array(back, dtype=object)


class HermiteSmoother:
    """The smoothing spline with any ends and roughness weights, by its values and slopes.

    The minimiser is a cubic between neighbouring knots, so the penalty is a quadratic form of the
    values and slopes at the knots: in a gap h with rise D = f_1 - f_0

        integral(f''**2) = 12 / h**3 (D - h (s_0 + s_1) / 2)**2 + (s_1 - s_0)**2 / h.

    `bc` and `roughness` are as in `fastspline.Smoother`. lam = 0 and inf are approached by 1e-35
    and 1e35 of what is comparable.
    """

    def __init__(
        self,
        knots: ArrayLike,
        *,
        lam: float,
        weights: ArrayLike | None = None,
        bc: object = "natural",
        roughness: ArrayLike | None = None,
    ) -> None:
        x = exact(knots)
        n = len(x)
        h = x[1:] - x[:-1]
        w = exact(np.ones(n) if weights is None else weights)
        rho = exact(np.ones(n - 1) if roughness is None else roughness)
        far = mpfr(10) ** 35
        lowest, highest = min(h) ** 3 / far * min(v for v in w if v > 0), max(h) ** 3 * far * max(w)
        strength = min(max(mpfr(lam), lowest), highest)
        matrix = np.full((2 * n, 2 * n), mpfr(0), dtype=object)  # f_0, s_0, f_1, s_1, ...
        for i in range(n - 1):
            off = np.array([-1, -h[i] / 2, 1, -h[i] / 2], dtype=object)
            bend = np.array([0, -1, 0, 1], dtype=object)
            energy = 12 / h[i] ** 3 * np.outer(off, off) + np.outer(bend, bend) / h[i]
            matrix[2 * i : 2 * i + 4, 2 * i : 2 * i + 4] += strength * rho[i] * energy
        matrix[range(0, 2 * n, 2), range(0, 2 * n, 2)] += w
        data = np.full((2 * n, n + 1), mpfr(0), dtype=object)  # right sides: of each y_i, of 1
        data[range(0, 2 * n, 2), range(n)] = w
        eye = np.eye(2 * n, dtype=object) * mpfr(1)
        free = eye.copy()
        given = np.full(2 * n, mpfr(0), dtype=object)
        if bc == "periodic":
            free[-2:, :2] = free[-2:, -2:]
            free = free[:, :-2]
        elif bc != "natural":
            free = np.delete(free, [1, 2 * n - 1], axis=1)
            given[1], given[-1] = mpfr(bc[1]), mpfr(bc[2])
        data[:, -1] -= matrix @ given
        both = solve(free.T @ matrix @ free, free.T @ np.concatenate([data, eye], axis=1))
        self._states, self._inverse = np.split(free @ both, [n + 1], axis=1)
        self._states[:, -1] += given
        self._x, self._h, self._bc, self._rho = x, h, bc, rho

    def matrix(self, points: ArrayLike, nu: int = 0) -> Exact:
        """Map (values, 1) (n + 1,) to derivative `nu` at the points: (m, n + 1)."""
        return self._rows(points, nu) @ self._states

    def evaluate(self, values: ArrayLike, points: ArrayLike, nu: int = 0) -> NDArray[np.float64]:
        """Derivative `nu` at the points for values (n, columns), rounded."""
        matrix = self.matrix(points, nu)
        return rounded(matrix[:, :-1] @ exact(values) + matrix[:, -1:])

    def covariance(self, points: ArrayLike) -> NDArray[np.float64]:
        """Posterior variances of f at the points for values with variance 1 / weight."""
        rows = self._rows(points, 0)
        return rounded(np.sum((rows @ self._inverse) * rows, axis=1))

    def joint_covariance(self, points: ArrayLike) -> NDArray[np.float64]:
        """Of f at the points and then f' there, (2 m, 2 m): what the states at the knots make."""
        rows = np.concatenate([self._rows(points, 0), self._rows(points, 1)])
        return rounded(rows @ self._inverse @ rows.T)

    def _rows(self, points: ArrayLike, nu: int) -> Exact:
        x, h, n = self._x, self._h, len(self._x)
        rows = np.full((np.size(points), 2 * n), mpfr(0), dtype=object)
        for row, t in zip(rows, exact(points), strict=True):
            if self._bc == "periodic" and not x[0] <= t < x[-1]:
                t = x[0] + (t - x[0]) % (x[-1] - x[0])
            if not x[0] <= t <= x[-1] or (nu == 3 and t == x[-1]):
                end = 0 if t < x[0] else n - 1
                if nu == 0:
                    row[2 * end], row[2 * end + 1] = mpfr(1), t - x[end]
                elif nu == 1:
                    row[2 * end + 1] = mpfr(1)
                continue
            i = min(int(np.searchsorted(x, t, side="right")) - 1, n - 2)
            u = (t - x[i]) / h[i]
            row[2 * i : 2 * i + 4] = [
                [1 - 3 * u**2 + 2 * u**3, h[i] * u * (1 - u) ** 2,
                 3 * u**2 - 2 * u**3, -h[i] * u**2 * (1 - u)],
                [6 * u * (u - 1) / h[i], (1 - u) * (1 - 3 * u),
                 6 * u * (1 - u) / h[i], u * (3 * u - 2)],
                [(12 * u - 6) / h[i] ** 2, (6 * u - 4) / h[i],
                 (6 - 12 * u) / h[i] ** 2, (6 * u - 2) / h[i]],
                [12 / h[i] ** 3, 6 / h[i] ** 2, -12 / h[i] ** 3, 6 / h[i] ** 2],
            ][nu]  # fmt: skip
        return rows
