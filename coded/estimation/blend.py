"""The mean of predictors by what they err where a value is left out, and its own errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coded.estimation.candidates import FEW, Candidate, InPairs, Mean, Process, Spread
from coded.estimation.covariances import Array
from fastspline.arrays import FloatArray

_POWER = 5.0  # of the left-out errors, by which weights fall
_LEAST = 0.05  # of the best one's weight; less is nothing
_LARGEST_WEIGHT_SUM = 1e6  # sum |w|: by so much may rounding of values reach an output
_FARTHEST = 10.0  # from the mean, in units of the farthest value: beyond it the mean is as good
_FITTED = 1.5  # degrees of freedom that fitting took from the left-out errors
_PER_LENGTH = 1.5  # more for each length, where there are more than a few values
_PULLED = 0.25  # how far few left-out errors are pulled to the variance of the values, 1
_UNLIKE = 1e-5  # weight of errors whose variance is nowhere near: that of 5 widths
_FLOOR = 1e-28  # of a variance: the square of rounding


def blend(
    found: Sequence[Candidate], values: Array, n_lengths: int = 0, power: float = _POWER
) -> tuple[Array, Array, Array]:
    """Give the weights of the predictors' mean and the squared errors to expect of it.

    Predictor i has a weight in proportion to ``(e_i (1 + l_i / n))^-p``, e_i the mean length of
    its left-out errors, which the l_i lengths that were fitted to the same values made smaller.
    Squared errors are expected to be ``c (s v + d)``: v the variance of a process, s such
    that it explains that one's own left-out errors (the mean of ``s v`` over the processes in the
    blend), d the mean squared distance of the predictors from their mean, and c such that the
    blend's left-out errors are explained, less the degrees of freedom that fitting took: 1.5, and
    1.5 for each length, half of all at most. Errors of smooth functions grow otherwise than v:
    c is that of left-out errors with an ``s v + d`` like the target's, a factor of e more or less,
    of values left out alone and together with their neighbours, as where blocks are lost.

    Up to ten values do not tell how smooth f is: there the roughest process serves, one c for all,
    of squared errors that are pulled by a quarter, in logs, to the variance of the values, and 1.5
    degrees. No more is expected than two values differ on average, 2, times 1 + 10 / n, for few
    tell little of it. Rounding is expected beside all that, where an f is known exactly.

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
    power : float, optional
        p.

    Returns
    -------
    weights : ndarray, shape (t, n)
    variances : ndarray, shape (t,)
        The squared errors to expect.
    left_out : ndarray, shape (n,)
        The squares of the blend's own errors.
    """
    n = len(values)
    errors = np.array(
        [np.sqrt((one.left_out**2).sum(axis=1)).mean() * (1.0 + one.lengths / n) for one in found]
    )
    share = (np.maximum(errors, 1e-30) / max(float(errors.min()), 1e-30)) ** -power
    share[share < _LEAST] = 0.0
    share /= share.sum()
    used = [(part, one) for part, one in zip(share, found, strict=True) if part]
    given = [one.weights() for _, one in used]
    weights = np.sum([part * each for (part, _), each in zip(used, given, strict=True)], axis=0)
    told = _Told(used, _telling(found, share, errors, n))
    variances = told.variances(
        [((each - weights) @ values) for each in given],
        [process.target_variances() for _, process in told.processes],
    )
    squares, expected = told.left_out()
    if n <= FEW:
        pulled = squares.mean() ** (1.0 - _PULLED)
        variances *= pulled / max(float(expected.mean()), 1e-300) * n / (n - _FITTED)
    else:
        taken = min(_FITTED + _PER_LENGTH * n_lengths, n / 2)
        variances *= told.factors(variances) * n / (n - taken)
    variances = np.minimum(variances, 2.0 + 20.0 / n)
    for part, one in used:
        if isinstance(one, Process):
            variances += part * one.rounding(values)
    is_wild = _are_wild(weights, values)
    if is_wild.any():
        mean = next(one for one in found if isinstance(one, Mean))
        weights[is_wild] = mean.weights()[is_wild]
        variances[is_wild] = (mean.left_out**2).sum() / n
    return weights, variances, squares


@dataclass(frozen=True, eq=False)
class _Told:
    """What the blend errs where values are left out, and what is expected of it, up to a factor.

    Predictors have their weights in the blend, processes those in the mean of their variances.
    """

    used: Sequence[tuple[float, Candidate]]
    processes: Sequence[tuple[float, Spread]]

    def variances(self, apart: Sequence[FloatArray], spreads: Sequence[Array]) -> Array:
        """Give ``s v + d`` from the predictors' distances to the mean and the processes' v."""
        parts = [part for part, _ in self.used]
        found = np.sum(
            [part * (each**2).sum(axis=1) for part, each in zip(parts, apart, strict=True)], axis=0
        )
        for (part, process), spread in zip(self.processes, spreads, strict=True):
            found += part * (process.left_out**2).sum() / process.variances.sum() * spread
        return np.asarray(found if self.processes else found + 1.0)

    def left_out(self) -> tuple[Array, Array]:
        """Give squared errors of values left out alone, and what is expected, (n,) each."""
        spreads = [process.variances for _, process in self.processes]
        return self._compared([one.left_out for _, one in self.used], spreads)

    def in_pairs(self) -> tuple[Array, Array] | None:
        """Give these of values left out with their neighbours; None where that is not known."""
        processes = [process for _, process in self.processes if isinstance(process, Process)]
        used = [one for _, one in self.used if isinstance(one, InPairs)]
        if not processes or (len(used), len(processes)) != (len(self.used), len(self.processes)):
            return None
        near = processes[int(np.argmax([part for part, _ in self.processes]))].neighbours
        spreads = [process.variances_without(near) for process in processes]
        return self._compared([one.without(near) for one in used], spreads)

    def factors(self, variances: Array) -> Array | float:
        """Give by how much more than ``s v + d`` was missed where that was like the target's."""
        alone, pairs = self.left_out(), self.in_pairs()
        if pairs is None:
            return float(alone[0].sum()) / max(float(alone[1].sum()), 1e-300)
        squares, expected = (np.concatenate(both) for both in zip(alone, pairs, strict=True))
        expected, wanted = (np.maximum(each, _FLOOR) for each in (expected, variances))
        away = np.log(expected) - np.log(wanted)[:, None]
        alike = np.exp(-0.5 * away**2) + _UNLIKE
        return np.asarray((alike @ squares) / (alike @ expected))

    def _compared(
        self, missed: Sequence[FloatArray], spreads: Sequence[Array]
    ) -> tuple[Array, Array]:
        parts = [part for part, _ in self.used]
        mean = np.sum([part * each for part, each in zip(parts, missed, strict=True)], axis=0)
        expected = self.variances([each - mean for each in missed], spreads)
        return (mean**2).sum(axis=1), expected


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
