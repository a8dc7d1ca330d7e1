"""Estimates fitted to the answers: Gaussian processes, blended by what each errs left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coded.estimation.blend import blend
from coded.estimation.candidates import Candidate, Mean, candidates
from coded.estimation.covariances import Array
from coded.estimation.fit_memory import Searched
from coded.estimation.likelihood import Values
from coded.estimation.views import View
from fastspline.arrays import FloatArray

_FEWEST = 4  # distinct points from which something can be fitted
_MOST = 200  # points that are fitted to: the time grows with their cube
_BLOCK = 16384  # columns turned to float64 at a time
_FEW_COLUMNS = 1024  # up to which no digit of their squares is lost

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Estimate:
    """Weights of n values at t targets, and the errors to expect of what they give."""

    weights: Array  # (t, n), each row sums to 1
    std: Array  # (t,)
    left_out: Array | None = None  # (n,), what each value errs by the others
    searched: tuple[Searched | None, ...] = ()  # one a view


def estimate(
    views: Sequence[View],
    known: Indices,
    wanted: Indices,
    values: Values,
    starts: Sequence[Searched | None] = (),
) -> Estimate | None:
    """Estimate a function at some points of a code from its values at others.

    Each view gives predictors: kriging by several covariances, with lengths and noise by
    restricted likelihood, ridge regression (on quadratic functions of up to ten numbers, on linear
    ones of more), and the nearest value; beside them is the mean. What is used is their
    mean with weights in inverse proportion to the fifth power of their left-out errors, so that
    none counts that errs much more than another (`blend`, which says what std is too).

    Known points that coincide in all views are one, with the mean of their values; one wanted
    that coincides with them gets that. Of more than 200 known points the nearest are used.

    Parameters
    ----------
    views : sequence of View
        Descriptions of the code's points.
    known, wanted : ndarray of int
        Which points have values, and which are estimated.
    values : Values
        At the known points.
    starts : sequence of Searched, optional
        What earlier answers of the function found, one a view.

    Returns
    -------
    Estimate or None
        None where nothing can be fitted: to fewer than four points, to points that do not differ
        or to values that do not.
    """
    if len(known) > _MOST:
        near = _nearest(views, known, wanted)
        found = estimate(views, known[near], wanted, values.part(near), starts)
        if found is None:
            return None
        weights = found.weights @ np.eye(len(known))[near]
        return replace(found, weights=weights, left_out=None)
    pairs = [(view.between(known, known), view.between(wanted, known)) for view in views]
    apart = _summed([among for among, _ in pairs], len(known), len(known))
    leader = (apart == 0.0).argmax(axis=1)
    if (leader < np.arange(len(known))).any():
        first, group = np.unique(leader, return_inverse=True)
        averages, merged = _merged(values, group)
        found = estimate(views, known[first], wanted, merged, starts)
        if found is None:
            return None
        left_out = None if found.left_out is None else found.left_out[group]
        return replace(found, weights=found.weights @ averages, left_out=left_out)
    found = _estimate_distinct(views, pairs, (known, wanted), values, starts)
    if found is not None:
        to = _summed([other for _, other in pairs], len(wanted), len(known))
        for target, site in zip(*np.nonzero(to == 0.0), strict=True):
            found.weights[target] = np.eye(len(known))[site]
            found.std[target] = values.deviation / np.sqrt(values.counts[site])
    return found


def _estimate_distinct(
    views: Sequence[View],
    pairs: Sequence[tuple[Array, Array]],
    points: tuple[Indices, Indices],
    values: Values,
    starts: Sequence[Searched | None],
) -> Estimate | None:
    """Estimate from the squared differences among known points and from those wanted to them."""
    known, wanted = points
    if len(known) < _FEWEST:
        return None
    means, unit, scale = reduced(values.means)
    if unit == 0.0:
        return None
    inner = Values(means, values.counts, values.deviation / scale / unit, values.spare)
    found: list[Candidate] = [Mean(len(wanted), means)]
    searched = []
    usable = starts if len(starts) == len(views) else [None] * len(views)
    for view, between, start in zip(views, pairs, usable, strict=True):
        more, at = candidates(view.rows[known], view.rows[wanted], between, inner, start)
        found += more
        searched.append(at)
    if len(found) == 1:
        return None
    n_lengths = max(len(among) for among, _ in pairs)
    weights, variances, squares = blend(found, means, n_lengths)
    with np.errstate(over="ignore"):
        std, left_out = (scale * (unit * np.sqrt(each)) for each in (variances, squares))
    return Estimate(weights, std, left_out, tuple(searched))


def _summed(squares: Sequence[Array], rows: int, columns: int) -> Array:
    """Give squared distances by all views together."""
    return sum((each.sum(axis=0) for each in squares), np.zeros((rows, columns)))


def _nearest(views: Sequence[View], known: Indices, wanted: Indices) -> Indices:
    """Give which known points are the nearest to one wanted, as many as are used, ascending."""
    apart = _summed([view.between(wanted, known) for view in views[:1]], len(wanted), len(known))
    ranks = apart.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return np.sort(np.argsort(ranks.min(axis=0), kind="stable")[:_MOST])


def _merged(values: Values, group: Indices) -> tuple[Array, Values]:
    """Average the values of each group, as measurements where they differ.

    Gives the (groups, n) matrix of averages too.
    """
    means = values.means.astype(np.float64, copy=False)
    counts = np.bincount(group, weights=values.counts).astype(np.float64)
    averages = np.zeros((len(counts), len(group)))
    averages[group, np.arange(len(group))] = values.counts / counts[group]
    merged = averages @ means
    largest = float(np.abs(means).max(initial=0.0)) or 1.0
    about = means / largest - merged[group] / largest
    if np.abs(about).max(initial=0.0) <= np.sqrt(np.finfo(values.means.dtype).eps):
        alike = np.zeros(len(counts))
        np.maximum.at(alike, group, values.counts)
        return averages, Values(merged, alike, values.deviation, values.spare)
    spare = values.spare + len(group) - len(counts)
    within = values.spare * (values.deviation / largest) ** 2
    within += float((values.counts @ about**2).sum())
    return averages, Values(merged, counts, largest * np.sqrt(within / spare), spare)


def reduced(values: FloatArray) -> tuple[Array, float, float]:
    """Give columns of the same products about their mean, at most n, of variance 1 in all.

    The root of the values' variances, summed, is the unit times the scale; 0 if they do not vary.
    """
    n, columns = values.shape
    scale = float(np.abs(values).max(initial=0.0)) or 1.0
    if columns <= max(n, _FEW_COLUMNS):
        centred = values.astype(np.float64) / scale
        centred -= centred.mean(axis=0)
        if columns > n:
            centred = np.asarray(np.linalg.qr(centred.T, mode="r")).T
    else:
        gram = np.zeros((n, n))
        for start in range(0, columns, _BLOCK):
            block = values[:, start : start + _BLOCK].astype(np.float64) / scale
            block -= block.mean(axis=0)
            gram += block @ block.T
        squares, directions = np.linalg.eigh(gram)
        centred = directions * np.sqrt(np.maximum(squares, 0.0))
    unit = float(np.sqrt((centred**2).sum() / n))
    if unit <= 1e-14 * np.sqrt(columns):
        return centred, 0.0, scale
    return centred / unit, unit, scale
