"""What a fit scores by a criterion: from its rest, or for natural ends at any lam from the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastspline._fit import Group, Rest, magnitude, rest_of
from fastspline._kernels import scores
from fastspline._solvers.tableau import Gaps, Vector

Criterion: TypeAlias = Literal["gcv", "gcv-plain", "loo", "reml"]


class Scores(NamedTuple):
    """Scores and what they are made of: one a column, but for `n` and `rest`, n - df."""

    n: int
    rest: float
    robust: Vector  # gcv with `caution`
    gcv: Vector
    loo: Vector
    reml: Vector
    penalised: Vector  # rss + lam J
    log_det: float  # what reml adds to (n - 2) log((rss + lam J) / (n - 2))


OF_SCORES: dict[str, Callable[[Scores], Vector]] = {
    "gcv": lambda found: found.robust,
    "gcv-plain": lambda found: found.gcv,
    "loo": lambda found: found.loo,
    "reml": lambda found: found.reml,
}
OF_REST: dict[str, Callable[[Rest], Vector]] = {
    "gcv": lambda rest: rest.robust,
    "gcv-plain": lambda rest: rest.gcv,
    "loo": lambda rest: rest.loo,
}


def score_group(group: Group, criterion: Criterion) -> Vector:
    """Give a score of each column of a group ("reml": for natural ends, no roughness weights)."""
    if criterion != "reml":
        return OF_REST[criterion](rest_of(group))
    active, gaps = group.plan.active, group.plan.solver.gaps
    y = np.ascontiguousarray(group.values[active])
    if group.repeats is None:
        return scores_at(gaps, gaps.scaled_lam, y).reml
    if group.plan.is_constant:  # one knot has no line
        return np.full(y.shape[1], np.nan)
    # Repeats add their squares about their means, and of V the determinants of their weights.
    power = magnitude(group)
    merged = scores_at(gaps, gaps.scaled_lam, np.ldexp(y, -power))
    knot, values, own = group.repeats.that_count()
    apart = np.ldexp(values - group.values[knot], -power)
    log_det = merged.log_det - float(np.log(own).sum())
    log_det += float(np.log(gaps.weights).sum()) if gaps.weights.size else 0.0
    within = np.einsum("i,ij,ij->j", own, apart, apart)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_variance = np.log((within + merged.penalised) / np.float64(own.size - 2))
        result: Vector = (own.size - 2) * (log_variance + 2.0 * np.log(2.0) * power)
    return result + log_det


def scores_at(gaps: Gaps, scaled_lam: float, y: Vector) -> Scores:
    """Score each column of `y` (active knots, columns) at one lam, in the units of `gaps`.

    Exact to rounding also where residuals or 1 - leverages are tiny. With n = 2, and for gcv at
    lam = 0, scores are NaN: 0 / 0.
    """
    n, columns = gaps.knots.size, y.shape[1]
    if n == 2:
        nothing, zero = np.full(columns, np.nan), np.zeros(columns)
        log_det = 2.0 * float(np.log(gaps.h[0] * gaps.unit))
        return Scores(n, 0.0, nothing, nothing, nothing, nothing, zero, log_det)
    rises, power, _ = take_lines_out(gaps, np.ascontiguousarray(y))
    return scores_without_lines(gaps, scaled_lam, rises, power)


def take_lines_out(gaps: Gaps, y: Vector) -> tuple[Vector, NDArray[np.int64], NDArray[np.bool_]]:
    """Give the values' differences less those of their line, a scale, and which are lines.

    Times 2**-power, so that squares neither over- nor underflow.
    """
    n, columns = y.shape
    power, exact = np.empty(columns, np.int64), np.empty(columns, np.bool_)
    rises = np.empty((n - 1, columns))
    x = (gaps.knots - gaps.knots[0]) / gaps.unit
    scores.subtract_lines(x, scaled_weights(gaps), y, 0, columns, rises, power, exact)
    return rises, power, exact


def scores_without_lines(
    gaps: Gaps, scaled_lam: float, rises: Vector, power: NDArray[np.int64]
) -> Scores:
    """`scores_at` for prepared columns."""
    n, sums = gaps.knots.size, np.empty((3, rises.shape[1]))
    weights = scaled_weights(gaps)
    rest, squared, log_det = scores.score_columns(gaps.h, weights, scaled_lam, rises, sums)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        unit = np.ldexp(gaps.top, 2 * power)
        gcv = n * sums[scores.GCV] / rest**2 * unit
        robust = gcv * scores.caution(n, rest, squared)
        loo = sums[scores.LOO] / n * unit
        log_variance = np.log(sums[scores.REML] / (n - 2)) + 2.0 * np.log(2.0) * power
        reml = (n - 2) * log_variance + log_det + 2.0 * np.log(gaps.unit)
        noise = min(scaled_lam, 1.0)  # of V in these sums
        penalised = sums[scores.REML] * (unit * noise)
        log_det += 2.0 * np.log(gaps.unit) - (n - 2) * (np.log(gaps.top) + np.log(noise))
    return Scores(n, rest, robust, gcv, loo, reml, penalised, float(log_det))


def scaled_weights(gaps: Gaps) -> Vector:
    """Give one weight a knot, at most about 1."""
    return gaps.weights / gaps.top if gaps.weights.size else np.ones(gaps.knots.size)
