"""The mean of predictors by what they err where a value is left out, and its own errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coded.estimation.candidates import Candidate, Mean, Spread
from coded.estimation.covariances import Array

_POWER = 10.0  # of the left-out errors, by which weights fall; 4 errs more on images
_LEAST = 0.05  # of the best one's weight; less is nothing
_FEW = 10  # values, from which the best process is found by chance
_LARGEST_WEIGHT_SUM = 1e6  # sum |w|: by so much may rounding of values reach an output
_FARTHEST = 10.0  # from the mean, in units of the farthest value: beyond it the mean is as good
_FITTED = 1.5  # degrees of freedom that fitting took from the left-out errors


def blend(found: Sequence[Candidate], values: Array) -> tuple[Array, Array]:
    """Give the weights of the predictors' mean and the squared errors to expect of it.

    Predictor i has a weight in proportion to ``e_i^-10``, e_i the mean length of its left-out
    errors. Squared errors are expected to be ``c (s v + d)``: v the variance of a process, s such
    that it explains that one's own left-out errors, d the mean squared distance of the predictors
    from their mean, and c such that the blend's left-out errors are explained, with 1.5 degrees of
    freedom for what was fitted. The process is the best one or, of up to ten values, which do not
    tell how smooth f is, the roughest. The mean of the values is taken, with what it errs, where
    the outcome is ten times as far from it as any value, or the weights' sizes sum to more than
    1e6, as they do far from all values. (Those of analytic functions sum to thousands between the
    outermost values and the ends, and are right.)

    Parameters
    ----------
    found : sequence of Candidate
    values : ndarray, shape (n, columns)
        What they predict from, of variance 1 in all.

    Returns
    -------
    weights : ndarray, shape (t, n)
    variances : ndarray, shape (t,)
    """
    errors = np.array([np.sqrt((one.left_out**2).sum(axis=1)).mean() for one in found])
    share = (np.maximum(errors, 1e-30) / max(float(errors.min()), 1e-30)) ** -_POWER
    share[share < _LEAST] = 0.0
    share /= share.sum()
    used = [(part, one) for part, one in zip(share, found, strict=True) if part]
    given = [(part, one.weights()) for part, one in used]
    weights = np.sum([part * each for part, each in given], axis=0)
    left_out = np.sum([part * one.left_out for part, one in used], axis=0)
    distances = [part * (((each - weights) @ values) ** 2).sum(axis=1) for part, each in given]
    apart = [part * ((one.left_out - left_out) ** 2).sum(axis=1) for part, one in used]
    variances, expected = np.sum(distances, axis=0), np.sum(apart, axis=0)
    n = len(values)
    process = _telling(found, errors, n)
    if process is None:
        variances, expected = variances + 1.0, expected + 1.0
    else:
        scale = (process.left_out**2).sum() / process.variances.sum()
        variances += scale * process.target_variances()
        expected += scale * process.variances
    factor = (left_out**2).sum() / max(float(expected.sum()), 1e-300) * n / (n - _FITTED)
    variances *= factor
    is_wild = _are_wild(weights, values)
    if is_wild.any():
        mean = next(one for one in found if isinstance(one, Mean))
        weights[is_wild] = mean.weights()[is_wild]
        variances[is_wild] = (mean.left_out**2).sum() / n
    return weights, variances


def _are_wild(weights: Array, values: Array) -> NDArray[np.bool_]:
    """Tell which outcomes are nowhere near the values, or hang on their last digits."""
    lengths, farthest = (np.sqrt((rows**2).sum(axis=1)) for rows in (weights @ values, values))
    is_far = lengths > _FARTHEST * farthest.max()
    return np.asarray(is_far | (np.abs(weights).sum(axis=1) > _LARGEST_WEIGHT_SUM))


def _telling(found: Sequence[Candidate], errors: Array, n: int) -> Spread | None:
    """Give the process whose variances tell where errors are large."""
    best_first = [found[i] for i in np.argsort(errors, kind="stable").tolist()]
    processes = [one for one in best_first if isinstance(one, Spread)]
    if n <= _FEW:
        rough = [one for one in processes if one.at_zero == 0.0]  # a power of distance
        processes = rough[:1] or processes
    return processes[0] if processes else None
