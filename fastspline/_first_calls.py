"""First calls of all that is compiled: then a cache has what an image needs."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from fastspline import bundle, rows
from fastspline._abreast import LEAST_COLUMNS
from fastspline._freedom import DegreesOfFreedom
from fastspline._grid import smooth_grid
from fastspline._oneshot import smooth_spline
from fastspline._operator import SplineOperator
from fastspline._regression import regression_spline
from fastspline._scipy import make_smoothing_spline
from fastspline._selection import select_lam
from fastspline._smoother import Smoother
from fastspline._solvers.columns import F4, F8
from fastspline._spline import Spline
from fastspline._stream import SplineStream

Array = NDArray[np.float64]

N = 30
X, POINTS, FEW = np.linspace(0.0, 1.0, N), np.linspace(-0.1, 1.1, 99), np.linspace(-0.1, 1.1, 7)
VALUES = np.random.default_rng(0).standard_normal((N, 3))
LAMS = (1e-12, 1e-6, 1e-3, 1e12, 1e99)  # all recurrences, in single and double
WEIGHTS = np.linspace(1.0, 2.0, N)
UNEVEN = np.where(np.arange(N) % 2 == 0, 1.0, 1e-9)


def compile_all() -> None:
    """Call once, on as little as it takes, whatever has a kernel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noise has no curvature
        _operate()
        _fit()
        _choose()
        _go_on()


def _operate() -> None:
    """Apply operators of all recurrences and derivatives, and their transposes."""
    for lam in LAMS:
        for nu in range(4):
            _sweep(Smoother(X, lam=lam).operator(POINTS, nu=nu))
        _sweep(Smoother(X, lam=lam).operator(X))
        _sweep(Smoother(X, lam=lam, weights=WEIGHTS).operator(FEW))
    for plan in (
        Smoother(X, lam=1.0, bc="periodic"),
        Smoother(X, lam=1.0, bc=("slope", 0.0, 1.0)),
        Smoother(X, lam=1.0, roughness=WEIGHTS[1:]),
    ):
        _sweep(plan.operator(POINTS))
    first = Smoother(X, lam=1e-6).operator(X).gather(np.zeros(N, np.int64), 1)
    first.adjoint(first(VALUES[:1]))


def _sweep(operator: SplineOperator) -> None:
    for dtype in (F4, F8):
        operator.adjoint(operator(VALUES.astype(dtype)))


def _fit() -> None:
    """Fit curves with all kinds of ends and weights, and ask for what is computed from them."""
    smooth_spline(X, VALUES, lam=1e-3).to_bspline()
    _describe(smooth_spline(X, VALUES, lam=1e-3, weights=WEIGHTS))
    _describe(smooth_spline(X, VALUES, lam=1e-3, weights=UNEVEN))
    _describe(Smoother(X, lam=1.0, bc="periodic").fit(VALUES))
    _describe(Smoother(X, lam=1.0, bc=("slope", 0.0, 1.0)).fit(VALUES))
    _describe(Smoother(X, lam=1.0, roughness=WEIGHTS[1:]).fit(VALUES))


def _describe(curve: Spline) -> None:
    curve.interval(POINTS)
    curve.interval(POINTS, nu=1, kind="simultaneous")
    curve.sample(POINTS, 2)
    curve.gradient(np.ones((FEW.size, 3)), FEW)


def _choose() -> None:
    """Choose lam in every way."""
    waves = np.sin(9.0 * X[:, np.newaxis] + np.arange(3 * LEAST_COLUMNS))
    many = waves + 0.1 * np.tile(VALUES, LEAST_COLUMNS)  # of several lam
    for criterion in ("gcv", "loo", "reml"):
        for per_column in (True, False):
            select_lam(X, VALUES, criterion=criterion, per_column=per_column)
        smooth_spline(X, many, lam=criterion).interval(POINTS)
    smooth_spline(X, VALUES, lam=DegreesOfFreedom(5.0))
    smooth_spline(X, VALUES, lam=1e-3, loss="huber")
    make_smoothing_spline(X, VALUES)


def _go_on() -> None:
    """Call the other doors, and what `coded` uses."""
    smooth_grid([X, X], np.outer(X, X), lam=1.0)
    regression_spline(X, VALUES, 5, lam=1.0).interval(POINTS)
    stream = SplineStream(lam=1.0)
    for part in (slice(0, 20), slice(20, N)):
        stream.append(X[part], VALUES[part])
    lines, there = np.stack([X, X**2]), np.stack([FEW, FEW])
    bundle.mean_matrix(lines, there, lam=1.0, seen=1.0)
    bundle.left_out_matrix(lines, lam=1.0)
    bundle.posterior_variances(lines, there, lam=1.0)
    rows.take_rows(VALUES, np.arange(N), np.empty_like(VALUES))
