"""Covariances of random functions: how alike their values are at a distance, by smoothness."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coded.estimation.kriging import covariance as power_of_distance

Array: TypeAlias = NDArray[np.float64]
Stationary: TypeAlias = Literal["matern-3/2", "matern-5/2", "squared-exponential"]
Family: TypeAlias = Stationary | float  # or p of the generalised covariance -r^p, or r^p

LINEAR, QUADRATIC = 2.0, 4.0  # powers of distance that are regression on these functions

_ROOT3, _ROOT5 = np.sqrt(3.0), np.sqrt(5.0)


def covariances(family: Family, squared: Array) -> Array:
    """Give the covariance at squared distances ``r^2``, in units of lengths; 1 at 0 if stationary.

    Parameters
    ----------
    family : str or float
        "squared-exponential": ``exp(-r^2 / 2)``; "matern-5/2": ``(1 + a + a^2 / 3) exp(-a)``,
        ``a = sqrt(5) r``; "matern-3/2": ``(1 + a) exp(-a)``, ``a = sqrt(3) r``; a number p: the
        generalised covariance ``-r^p`` for p <= 2, ``r^p`` for p = 3 or 4. With noise, ``-r^2``
        beside a constant is ridge regression on linear functions, for on contrasts it is ``2 x'y``;
        ``r^4`` beside a linear trend on quadratic ones, ``4 (x'y)^2 + 2 |x|^2 |y|^2``.
    squared : ndarray
        Any shape.

    Returns
    -------
    ndarray, the shape of `squared`

    References
    ----------
    J.-P. Chiles, P. Delfiner, "Geostatistics", 2nd ed., Wiley 2012, sections 2.5 and 4.5.

    Examples
    --------
    >>> covariances("matern-5/2", np.array([0.0, 1.0])).round(4)
    array([1.   , 0.524])
    """
    if family == LINEAR:
        return -squared
    if family == QUADRATIC:
        return squared * squared
    if isinstance(family, float):
        return power_of_distance(np.sqrt(squared), family)
    if family == "matern-3/2":
        a = _ROOT3 * np.sqrt(squared)
        return np.asarray((1.0 + a) * np.exp(-a))
    return with_slopes(family, squared)[0]


def with_slopes(family: Stationary, squared: Array) -> tuple[Array, Array]:
    """Give the covariances of the two smooth families and their derivatives by ``r^2``.

    Parameters
    ----------
    family : {"matern-5/2", "squared-exponential"}
    squared : ndarray

    Returns
    -------
    values, slopes : ndarray, the shape of `squared`

    Examples
    --------
    >>> with_slopes("squared-exponential", np.array([0.0]))
    (array([1.]), array([-0.5]))
    """
    if family == "squared-exponential":
        values = np.exp(-0.5 * squared)
        return values, -0.5 * values
    a = _ROOT5 * np.sqrt(squared)
    decay = np.exp(-a)
    slopes = 1.0 + a
    values = slopes + (5.0 / 3.0) * squared
    values *= decay
    slopes *= (-5.0 / 6.0) * decay
    return values, slopes
