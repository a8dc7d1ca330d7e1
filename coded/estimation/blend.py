"""The mean of predictors by what they err where a value is left out, and its own errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coded.estimation.candidates import FEW, Candidate, Mean, Spread
from coded.estimation.covariances import Array

_POWER = 10.0  # of the left-out errors, by which weights fall; 4 errs more on images
_LEAST = 0.05  # of the best one's weight; less is nothing
_LARGEST_WEIGHT_SUM = 1e6  # sum |w|: by so much may rounding of values reach an output
_FARTHEST = 10.0  # from the mean, in units of the farthest value: beyond it the mean is as good
_FITTED = 1.5  # degrees of freedom that fitting took from the left-out errors
_PER_LENGTH = 2.0  # more for each length, where there are more than a few values


def blend(
    found: Sequence[Candidate], values: Array, n_lengths: int = 0
) -> tuple[Array, Array, Array]:
    """Give the weights of the predictors' mean and the squared errors to expect of it.

    Predictor i has a weight in proportion to ``e_i^-10``, e_i the mean length of its left-out
    errors. Squared errors are expected to be ``c (s v + d)``: v the variance of a process, s such
    that it explains that one's own left-out errors (the mean of ``s v`` over the processes in the
    blend), d the mean squared distance of the predictors from their mean, and c such that the
    blend's left-out errors are explained, less the degrees of freedom that fitting took: 1.5, and
    2 for each length, half of all at most. Up to ten values do not tell how smooth f is: there
    the roughest process serves, and 1.5 degrees for all. No more is expected than two
    values differ on average, 2, times 1 + 10 / n, for few tell little of it.
    The mean of the values is taken, with what it errs, where the outcome is ten times as far from
    it as any value, or the weights' sizes sum to more than 1e6, as they do far from all values.
    (Those of analytic functions sum to thousands between the outermost values and the ends, and
    are right.)

    Parameters
    ----------
    found : sequence of Candidate
    values : ndarray, shape (n, columns)
        What they predict from, of variance 1 in all.
    n_lengths : int, optional
        How many lengths were fitted to the values.

    Returns
    -------
    weights : ndarray, shape (t, n)
    variances : ndarray, shape (t,)
        The squared errors to expect.
    left_out : ndarray, shape (n,)
        The squares of the blend's own errors.
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
    processes = _telling(found, share, errors, n)
    if not processes:
        variances, expected = variances + 1.0, expected + 1.0
    for part, process in processes:
        scale = part * (process.left_out**2).sum() / process.variances.sum()
        variances += scale * process.target_variances()
        expected += scale * process.variances
    taken = _FITTED if n <= FEW else min(_FITTED + _PER_LENGTH * n_lengths, n / 2)
    squares = (left_out**2).sum(axis=1)
    factor = squares.sum() / max(float(expected.sum()), 1e-300) * n / (n - taken)
    variances = np.minimum(factor * variances, 2.0 + 20.0 / n)
    is_wild = _are_wild(weights, values)
    if is_wild.any():
        mean = next(one for one in found if isinstance(one, Mean))
        weights[is_wild] = mean.weights()[is_wild]
        variances[is_wild] = (mean.left_out**2).sum() / n
    return weights, variances, squares


def _are_wild(weights: Array, values: Array) -> NDArray[np.bool_]:
    """Tell which outcomes are nowhere near the values, or hang on their last digits."""
    lengths, farthest = (np.sqrt((rows**2).sum(axis=1)) for rows in (weights @ values, values))
    is_far = lengths > _FARTHEST * farthest.max()
    return np.asarray(is_far | (np.abs(weights).sum(axis=1) > _LARGEST_WEIGHT_SUM))


def _telling(
    found: Sequence[Candidate], share: Array, errors: Array, n: int
) -> list[tuple[float, Spread]]:
    """Give the processes whose variances tell where errors are large, with their shares."""
    processes = [(i, one) for i, one in enumerate(found) if isinstance(one, Spread)]
    if not processes:
        return []
    if n <= FEW:
        rough = [(i, one) for i, one in processes if one.at_zero == 0.0]  # a power of distance
        return [(1.0, min(rough or processes, key=lambda each: errors[each[0]])[1])]
    total = sum(share[i] for i, _ in processes)
    if total == 0.0:
        return [(1.0, min(processes, key=lambda each: errors[each[0]])[1])]
    return [(float(share[i] / total), one) for i, one in processes if share[i]]
