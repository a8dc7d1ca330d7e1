"""The coefficient of a guess of a function."""

from __future__ import annotations

import numpy as np

from fastspline.arrays import FloatArray

_SIGNIFICANT = 9.0  # of F: three standard errors


def significant_slope(guesses: FloatArray, answers: FloatArray) -> float | None:
    """Give the slope by which answers rise with guesses, or None if it may be chance.

    One slope for all columns, by least squares, each column with an offset. It counts if F is
    above 9, as of one column and as many values as there are distinct guesses.

    Parameters
    ----------
    guesses, answers : ndarray, shape (R, ...)

    Returns
    -------
    float or None

    Examples
    --------
    >>> guesses = np.arange(6.0)
    >>> round(significant_slope(guesses, 3.0 * guesses + 1.0), 12)
    3.0
    >>> significant_slope(guesses, np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])) is None
    True
    """
    scales = [float(np.abs(each).max(initial=0.0)) or 1.0 for each in (guesses, answers)]
    x, y = (
        each.reshape(len(each), -1).astype(np.float64) / scale
        for each, scale in zip((guesses, answers), scales, strict=True)
    )
    count = len(np.unique(x, axis=0))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    both, squares = float((x * y).sum()), float((x * x).sum())
    explained = both * both
    needed = _SIGNIFICANT / (_SIGNIFICANT + count - 2) if count > 2 else 1.0
    if count <= 2 or explained <= needed * squares * float((y * y).sum()):
        return None
    found = both / squares * (scales[1] / scales[0])
    return found if np.isfinite(found) else None
