"""Writes splines.npz beside this file: smoothing splines at 500 bits, rounded to float64.

    python tests/oracles/golden/make_golden.py    (minutes; needs numpy and mpmath, gmpy2 helps)

Every result comes from the exact binary values of the float64 inputs by the pentadiagonal system
of Reinsch (Green & Silverman 1994, section 2.3). The digits that it loses in float64, up to 40 on
these cases, do not matter at 500 bits.

`cases` is a JSON list of {kind, n, lam, weights, seed}. The other arrays hold the cases one after
another:

    knots values weights           n entries a case; weights may be zero
    fitted curvature leverages     u, u'' and diag(S) at knots[rows(n)]
    points f0 f1 f2 f3             N_POINTS entries a case; u and its derivatives at the points
    df gcv                         one entry a case; gcv is nan where it is 0 / 0

f3 at a knot is the limit from the right; it is 0 outside and at the last knot.
"""

import json
from pathlib import Path

import mpmath
import numpy as np

MP = mpmath.mp.clone()
MP.prec = 500

PATH = Path(__file__).with_name("splines.npz")
LAMS = [0.0, 1e-12, 1e-6, 1.0, 1e6, 1e12, np.inf]
N_POINTS = 21


def list_cases():
    """Every kind of knots, size and lam; the large sizes with a few of them."""
    kinds = ["cheb1", "cheb2", "uniform", "random", "cluster"]
    grid = [(kind, n, lam) for kind in kinds for n in (3, 4, 5, 8, 20, 60, 200) for lam in LAMS]
    cases = []
    for place, (kind, n, lam) in enumerate(grid):
        weights = ["one", "random", "zeros"][(LAMS.index(lam) + n) % 3]
        if n == 200 and lam in (1e-6, 1e12):
            weights = "random"
        if n <= 20 or (n == 60 and lam in (1e-12, 1.0, 1e12)) or (n == 200 and lam in (1e-6, 1e6)):
            cases.append((kind, n, lam, weights, 1000 + place))
    cases += [("units", 100, lam, "random", 1253 + i) for i, lam in enumerate((1e12, 1e18, 1e24))]
    small = [(n, lam) for n in (1, 2) for lam in (0.0, 1.0, np.inf)]
    cases += [("random", n, lam, "random", 1256 + i) for i, (n, lam) in enumerate(small)]
    cases += [
        ("cheb2", 2000, 1.0, "one", 1263),
        ("uniform", 2000, 1e6, "one", 1267),
        ("random", 2000, 1.0, "one", 1269),
        ("cluster", 2000, 1.0, "one", 1272),
    ]
    names = ("kind", "n", "lam", "weights", "seed")
    return [dict(zip(names, case, strict=True)) for case in cases]


def rows(n):
    """The knots whose results are kept."""
    return np.arange(0, n, max(1, n // 80))


def make_inputs(kind, n, weights, seed):
    """Knots, values, weights and points of a case."""
    rng = np.random.default_rng(seed)
    x = make_knots(kind, n, rng)
    w = make_weights(weights, n, rng)
    span = x[-1] - x[0] if n > 1 else 1.0
    y = np.sin(6 * (x - x[0]) / span) + 0.3 * rng.standard_normal(n)
    xu = x[w > 0]
    outside = [xu[0] - span * np.array([2.0, 0.1]), xu[-1] + span * np.array([0.1, 2.0])]
    at_knots = [xu[[0, -1]], xu[rng.integers(0, len(xu), 3)]]
    points = np.concatenate([*outside, *at_knots, rng.uniform(xu[0], xu[-1], 12)])
    return x, y, w, points


def make_knots(kind, n, rng):
    k = np.arange(n)
    if kind == "cheb1":
        return np.sort(np.cos((2 * k + 1) * np.pi / (2 * n)))
    if kind == "cheb2":
        return np.sort(np.cos(k * np.pi / (n - 1)))
    if kind == "uniform":
        return np.linspace(0.0, 1.0, n)
    if kind == "random":
        return np.sort(rng.random(n))
    if kind == "cluster":  # gaps alternate 1 and 1e-6 in runs of five
        gaps = np.where((np.arange(n - 1) // 5) % 2 == 0, 1e-6, 1.0) * (0.5 + rng.random(n - 1))
        x = np.concatenate([[0.0], np.cumsum(gaps)])
        return x / x[-1]
    if kind == "units":  # years, counted in seconds
        return 1.2e9 + np.cumsum(rng.random(n) * 86400.0)
    raise ValueError(kind)


def make_weights(kind, n, rng):
    if kind == "one":
        return np.ones(n)
    w = 10.0 ** rng.uniform(-2, 2, n)
    if kind == "zeros" and n > 4:
        w[rng.permutation(n)[: n // 4]] = 0.0
        w[0] = 0.0
    return w


def solve_case(x, y, w, points, lam):
    """All results of a case as 500-bit numbers."""
    x, y, w, points = ([MP.mpf(float(v)) for v in array] for array in (x, y, w, points))
    active = [i for i in range(len(x)) if w[i] > 0]
    xu, yu, wu = ([array[i] for i in active] for array in (x, y, w))
    if len(xu) <= 2 or lam == np.inf:
        fitted, curvature, complement = fit_line(xu, yu, wu)
    else:
        fitted, curvature, complement = fit_spline(xu, yu, wu, MP.mpf(lam))
    kept = [x[i] for i in rows(len(x))]
    leverages = [MP.mpf(0)] * len(x)
    for i, value in zip(active, complement, strict=True):
        leverages[i] = 1 - value
    spline = (xu, fitted, curvature)
    free = MP.fsum(complement)
    rss = MP.fsum(a * (b - c) ** 2 for a, b, c in zip(wu, yu, fitted, strict=True))
    return {
        "fitted": evaluate(*spline, kept, 0),
        "curvature": evaluate(*spline, kept, 2),
        "leverages": [leverages[i] for i in rows(len(x))],
        **{f"f{nu}": evaluate(*spline, points, nu) for nu in range(4)},
        "df": [MP.fsum(leverages)],
        "gcv": [len(xu) * rss / free**2 if len(xu) > 2 and lam > 0 else MP.nan],
    }


def fit_line(x, y, w):
    """The weighted line: fitted values, no curvature, 1 - leverages."""
    total = MP.fsum(w)
    x_mean = MP.fdot(w, x) / total
    y_mean = MP.fdot(w, y) / total
    spread = MP.fsum(a * (t - x_mean) ** 2 for a, t in zip(w, x, strict=True)) or MP.mpf(1)
    slope = MP.fsum(a * (t - x_mean) * v for a, t, v in zip(w, x, y, strict=True)) / spread
    leverages = [a * (1 / total + (t - x_mean) ** 2 / spread) for a, t in zip(w, x, strict=True)]
    fitted = [y_mean + slope * (t - x_mean) for t in x]
    return fitted, [MP.mpf(0)] * len(x), [1 - value for value in leverages]


def fit_spline(x, y, w, lam):
    """``(R + lam Q' W^-1 Q) gamma = Q' y``, ``g = y - lam W^-1 Q gamma``, and 1 - leverages."""
    n, m = len(x), len(x) - 2
    h = [x[i + 1] - x[i] for i in range(n - 1)]
    r = [lam / weight for weight in w]
    q = [(1 / h[k], -1 / h[k] - 1 / h[k + 1], 1 / h[k + 1]) for k in range(m)]  # rows k, k+1, k+2
    diagonal = [
        (h[k] + h[k + 1]) / 3 + MP.fsum(r[k + i] * q[k][i] ** 2 for i in range(3)) for k in range(m)
    ]
    first = [
        h[k + 1] / 6 + r[k + 1] * q[k][1] * q[k + 1][0] + r[k + 2] * q[k][2] * q[k + 1][1]
        for k in range(m - 1)
    ]
    second = [r[k + 2] * q[k][2] * q[k + 2][0] for k in range(m - 2)]
    factors = factor(diagonal, first, second)
    right = [(y[k + 2] - y[k + 1]) / h[k + 1] - (y[k + 1] - y[k]) / h[k] for k in range(m)]
    gamma = [MP.mpf(0), *substitute(*factors, right), MP.mpf(0)]
    jumps = [(gamma[i + 1] - gamma[i]) / h[i] for i in range(n - 1)]
    q_gamma = [
        (jumps[i] if i < n - 1 else 0) - (jumps[i - 1] if i > 0 else MP.mpf(0)) for i in range(n)
    ]
    fitted = [v - ri * c for v, ri, c in zip(y, r, q_gamma, strict=True)]
    inverse = invert_bands(*factors)
    complement = []
    for i in range(n):
        row = {k: q[k][i - k] for k in range(max(i - 2, 0), min(i + 1, m))}
        form = MP.fsum(row[k] * row[j] * inverse[abs(k - j)][min(k, j)] for k in row for j in row)
        complement.append(r[i] * form)
    return fitted, gamma, complement


def factor(diagonal, first, second):
    """A = L D L', L unit lower triangular with two sub-diagonals."""
    m = len(diagonal)
    d, l1, l2 = list(diagonal), [MP.mpf(0)] * m, [MP.mpf(0)] * m
    for k in range(m):
        if k >= 1:
            d[k] -= l1[k - 1] ** 2 * d[k - 1]
        if k >= 2:
            d[k] -= l2[k - 2] ** 2 * d[k - 2]
        if k + 1 < m:
            l1[k] = (first[k] - (l2[k - 1] * l1[k - 1] * d[k - 1] if k >= 1 else 0)) / d[k]
        if k + 2 < m:
            l2[k] = second[k] / d[k]
    return d, l1, l2


def substitute(d, l1, l2, right):
    """Solve L D L' z = right."""
    m = len(right)
    z = list(right)
    for k in range(m):
        z[k] -= (l1[k - 1] * z[k - 1] if k >= 1 else 0) + (l2[k - 2] * z[k - 2] if k >= 2 else 0)
    z = [a / b for a, b in zip(z, d, strict=True)]
    for k in range(m - 2, -1, -1):
        z[k] -= l1[k] * z[k + 1] + (l2[k] * z[k + 2] if k + 2 < m else 0)
    return z


def invert_bands(d, l1, l2):
    """The three upper central bands of A^-1 (Hutchinson & de Hoog 1985)."""
    m = len(d)
    b0, b1, b2 = ([MP.mpf(0)] * (m + 2) for _ in range(3))
    for k in range(m - 1, -1, -1):
        b1[k] = -l1[k] * b0[k + 1] - l2[k] * b1[k + 1]
        b2[k] = -l1[k] * b1[k + 1] - l2[k] * b0[k + 2]
        b0[k] = 1 / d[k] - l1[k] * b1[k] - l2[k] * b2[k]
    return b0, b1, b2


def evaluate(x, g, c, points, nu):
    """Derivative `nu` at the points from values g and second derivatives c at the knots."""
    return [evaluate_one(x, g, c, t, nu) for t in points]


def evaluate_one(x, g, c, t, nu):
    n = len(x)
    if n == 1:
        return g[0] if nu == 0 else MP.mpf(0)
    i = min(max(sum(knot <= t for knot in x) - 1, 0), n - 2)
    h = x[i + 1] - x[i]
    if t < x[0] or t >= x[-1]:
        end = 0 if t < x[0] else n - 1
        sign = -1 if end == 0 else 1
        other = c[1] if end == 0 else c[n - 2]
        slope = (g[i + 1] - g[i]) / h + sign * h * other / 6
        return (g[end] + slope * (t - x[end]), slope, MP.mpf(0), MP.mpf(0))[nu]
    u, v = (t - x[i]) / h, (x[i + 1] - t) / h
    if nu == 0:
        bend = (v**3 - v) * c[i] + (u**3 - u) * c[i + 1]
        return v * g[i] + u * g[i + 1] + h**2 / 6 * bend
    if nu == 1:
        bend = (3 * u**2 - 1) * c[i + 1] - (3 * v**2 - 1) * c[i]
        return (g[i + 1] - g[i]) / h + h / 6 * bend
    if nu == 2:
        return v * c[i] + u * c[i + 1]
    return (c[i + 1] - c[i]) / h


def make_case(case):
    """The arrays of one case, in float64."""
    x, y, w, points = make_inputs(case["kind"], case["n"], case["weights"], case["seed"])
    results = solve_case(x, y, w, points, case["lam"])
    arrays = {name: np.array([float(v) for v in numbers]) for name, numbers in results.items()}
    return {"knots": x, "values": y, "weights": w, "points": points, **arrays}


def main():
    cases = list_cases()
    made = [make_case(case) for case in cases]
    arrays = {name: np.concatenate([arrays[name] for arrays in made]) for name in made[0]}
    np.savez_compressed(PATH, cases=json.dumps(cases), **arrays)


if __name__ == "__main__":
    main()
