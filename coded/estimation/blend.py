"""The mean of predictors by what they err where a value is left out, and its own errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coded.estimation.candidates import Candidate, Process
from coded.estimation.covariances import Array

_POWER = 4.0  # of the left-out errors, by which weights fall
_LEAST = 0.05  # of the best one's weight; less is nothing
_FITTED = 1.5  # degrees of freedom that fitting took from the left-out errors


def blend(found: Sequence[Candidate], values: Array) -> tuple[Array, Array]:
    """Give the weights of the predictors' mean and the squared errors to expect of it."""
    errors = np.array([np.sqrt((one.left_out**2).sum(axis=1)).mean() for one in found])
    share = (np.maximum(errors, 1e-150) / max(float(errors.min()), 1e-150)) ** -_POWER
    share[share < _LEAST] = 0.0
    share /= share.sum()
    used = [(share[i], one) for i, one in enumerate(found) if share[i]]
    given = [(part, one.weights()) for part, one in used]
    weights = np.sum([part * each for part, each in given], axis=0)
    left_out = np.sum([part * one.left_out for part, one in used], axis=0)
    variances = sum(part * (((each - weights) @ values) ** 2).sum(axis=1) for part, each in given)
    expected = sum(part * ((one.left_out - left_out) ** 2).sum(axis=1) for part, one in used)
    processes = [one for i in np.argsort(errors).tolist() if isinstance(one := found[i], Process)]
    if processes:
        best = processes[0]
        scale = (best.left_out**2).sum() / best.variances.sum()
        variances, expected = (
            variances + scale * best.target_variances(),
            expected + scale * best.variances,
        )
    else:
        variances, expected = variances + 1.0, expected + 1.0
    n = len(values)
    factor = (left_out**2).sum() / max(float(expected.sum()), 1e-300) * n / (n - _FITTED)
    return weights, variances * factor
