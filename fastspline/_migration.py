"""Smoothing parameters of other programs as our lam: R's `smooth.spline` and csaps."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._smoother import Smoother

R_LEAST_KNOTS = 4
R_ALL_KNOTS = 49  # up to so many knots R keeps them all
R_THIRD = 0.333  # what R's sgram.c has for 1/3 in the integral of a squared straight line


def lam_from_r(
    knots: ArrayLike,
    *,
    spar: float | None = None,
    lambda_: float | None = None,
    weights: ArrayLike | None = None,
    all_knots: bool = True,
    nknots: int | None = None,
) -> float:
    """Give the lam of R's ``smooth.spline(x, y, w, spar= or lambda=, all.knots = TRUE)``.

    R scales knots to [0, 1] and weights to a mean of 1 over the positive ones, so that

        ``lam = lambda * range**3 * mean(weights)``,
        ``lambda = ratio * 256**(3 spar - 1)``,
        ``ratio = sum_j sum_i w_i B_j(x_i)**2 / sum_j integral(B_j''**2)``,

    with the cubic B-splines B_j, j = 3, ..., K - 3 of K, on the scaled knots.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending, n >= 4.
    spar : float, optional
        R's `spar`, any number; R's users mostly take it from (0, 1].
    lambda_ : float, optional
        R's `lambda` (also what a fit prints as such), in [0, inf]. Give either `spar` or `lambda_`.
    weights : array_like, shape (n,), optional
        R's `w` as given to R, and to be given to `Smoother`; see there.
    all_knots : bool, optional
        R's `all.knots`, which matters to `spar` alone. R's own default is False: with 50 knots
        or more R then fits with a part of them, the ratio is another one, and R's curve is only
        near a smoothing spline.
    nknots : int, optional
        R's `nknots`, in place of `all_knots`: then fit ``regression_spline(knots, values, nknots,
        lam=lam, weights=weights)``, R's curve also there.

    Returns
    -------
    float
        So that ``Smoother(knots, lam=lam, weights=weights)`` gives R's curve, but for R's rounding
        and for a constant in R's penalty, .333 in place of 1/3, which moves its curve by up to
        1e-3 of the largest value, the less the smoother it is. It moves R's end slopes, too: a
        prediction beyond the knots differs by up to 2.5e-2 of the largest value for every range of
        the knots that it lies outside.

    Raises
    ------
    ValueError
        If not exactly one of `spar` and `lambda_` is given, `spar` is not finite, `lambda_` is
        negative, there are fewer than 4 knots, `nknots` is not in [2, n], or as `Smoother`.
    TypeError
        If an argument does not hold real numbers.

    References
    ----------
    R Core Team, "R: A Language and Environment for Statistical Computing", help page
    `smooth.spline` and its sources ``sbart.c``, ``sgram.f``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0.0, 10.0, 11)
    >>> lam_from_r(x, lambda_=1e-3)
    1.0
    >>> round(lam_from_r(x, spar=0.5), 6)
    2.678535
    """
    if (spar is None) == (lambda_ is None):
        given = "neither" if spar is None else "both"
        raise ValueError(f"give exactly one of spar and lambda_, got {given}")
    plan = Smoother(knots, lam=0.0, weights=weights)
    x = np.asarray(plan.knots)
    w = np.ones(x.size) if plan.weights is None else np.asarray(plan.weights)
    if x.size < R_LEAST_KNOTS:
        raise ValueError(f"knots has {x.size} entries, and R's smooth.spline needs at least 4")
    width = float(x[-1] - x[0])
    mean = float(w.sum() / np.count_nonzero(w))
    if lambda_ is not None:
        scaled = _read_number(lambda_, "lambda_")
        if not scaled >= 0.0:
            raise ValueError(f"lambda_ must be >= 0, got {lambda_}")
    else:
        exponent = _read_number(spar, "spar")
        if not math.isfinite(exponent):
            raise ValueError(f"spar must be finite, got {spar}")
        breaks = _breaks(x, w, nknots, all_knots=all_knots)
        with np.errstate(over="ignore"):  # inf then: the straight line
            power = float(np.exp2(24.0 * exponent - 8.0))
        scaled = _ratio((x - x[0]) / width, w / mean, (breaks - x[0]) / width) * power
    return scaled * width * width * width * mean


def lam_from_csaps(
    smooth: float | None,
    *,
    knots: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    normalizedsmooth: bool = False,
) -> float:
    """Give the lam of ``csaps(x, y, weights=, smooth=, normalizedsmooth=)``.

    csaps, like MATLAB's function of that name, minimises
    ``p * sum(weights * (values - f(knots))**2) + (1 - p) * integral(f''**2)``: lam = (1 - p) / p.
    Its `smooth` is p; with `normalizedsmooth` and with ``smooth=None`` it makes p from knots and
    weights.

    Parameters
    ----------
    smooth : float or None
        In [0, 1]: 0 fits a line (lam = inf), 1 interpolates (lam = 0). None: csaps' own choice.
    knots : array_like, shape (n,), optional
        Strictly ascending, n >= 2; needed for `normalizedsmooth` and for None.
    weights : array_like, shape (n,), optional
        As given to csaps and to `Smoother`, but positive.
    normalizedsmooth : bool, optional
        csaps' argument of that name.

    Returns
    -------
    float
        So that ``Smoother(knots, lam=lam, weights=weights)`` gives csaps' curve between the knots.
        Outside them csaps continues the cubics, the smoothing spline is straight.

    Raises
    ------
    ValueError
        If `smooth` lies outside [0, 1], knots are needed and missing, or as `Smoother`.
    TypeError
        If an argument does not hold real numbers.

    References
    ----------
    C. de Boor, "A Practical Guide to Splines", revised edition (2001), chapter XIV, eq. 2.

    Examples
    --------
    >>> round(lam_from_csaps(0.8), 12)
    0.25
    >>> lam_from_csaps(0.5, knots=[0.0, 1.0, 2.0, 3.0], normalizedsmooth=True)
    33.75
    """
    if smooth is not None:
        p = _read_number(smooth, "smooth")
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"smooth must lie in [0, 1] (0 fits a line, 1 interpolates), got {p}")
        odds = math.inf if p == 0.0 else (1.0 - p) / p
        if not normalizedsmooth:
            return odds
    if knots is None:
        raise ValueError("csaps makes p from the data here; give knots, and weights if any")
    plan = Smoother(knots, lam=0.0, weights=weights)
    x = np.asarray(plan.knots)
    w = np.ones(x.size) if plan.weights is None else np.asarray(plan.weights)
    if x.size < 2 or w.min() == 0.0:
        raise ValueError("csaps needs at least 2 knots and positive weights; drop the others")
    if normalizedsmooth:
        return (1.0 if smooth is None else odds) * _csaps_scale(x, w)
    return _csaps_choice(x, w)


def _read_number(value: object, name: str) -> float:
    """Give one real number as a float."""
    number = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(number, bool) or not isinstance(number, Real):
        raise TypeError(f"{name} must be one real number, got {value!r}")
    return float(number)


def _breaks(
    x: NDArray[np.float64], w: NDArray[np.float64], nknots: int | None, *, all_knots: bool
) -> NDArray[np.float64]:
    """Give the knots that R takes."""
    if nknots is None and (all_knots or x.size <= R_ALL_KNOTS):
        return x
    from fastspline._reduced import check_count, spread

    if nknots is None:
        return x[spread(x.size, _count(x.size))]
    seen = x[w > 0.0]
    return seen[spread(seen.size, check_count(nknots, seen.size))]


def _count(n: int) -> int:
    """Give how many knots R keeps by default of 50 or more (its `.nknots.smspl`)."""
    if n < 3200:
        return int(2.0 ** np.interp(n, [50, 200, 800, 3200], np.log2([50, 100, 140, 200])))
    return int(200 + (n - 3200) ** 0.2)


def _ratio(x: NDArray[np.float64], w: NDArray[np.float64], breaks: NDArray[np.float64]) -> float:
    """Give R's ratio of the traces of X'WX and of the penalty, both without their ends."""
    from scipy.interpolate import BSpline

    t = np.concatenate([breaks[[0] * 3], breaks, breaks[[-1] * 3]])
    kept = slice(2, breaks.size - 1)
    squares = BSpline.design_matrix(x, t, 3).power(2).T @ w
    t0, t1, t2, t3, t4 = (t[i : t.size - 4 + i][kept] for i in range(5))
    # B'' / 6 is piecewise linear: 0 at t0 and t4, and between them
    second = 1.0 / ((t3 - t0) * (t2 - t0))
    fourth = 1.0 / ((t4 - t1) * (t4 - t2))
    third = -(1.0 / (t3 - t0) + 1.0 / (t4 - t1)) / (t3 - t1)
    integral = (
        _square(t1 - t0, 0.0 * second, second)
        + _square(t2 - t1, second, third)
        + _square(t3 - t2, third, fourth)
        + _square(t4 - t3, fourth, 0.0 * fourth)
    )
    return float(squares[kept].sum() / (36.0 * integral.sum()))


def _square(
    h: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Integrate a squared straight line over h, with R's third."""
    rise = end - start
    return h * (start**2 + start * rise + R_THIRD * rise**2)


def _csaps_scale(x: NDArray[np.float64], w: NDArray[np.float64]) -> float:
    """Give what csaps multiplies (1 - p) / p by to normalise it."""
    width = x[-1] - x[0]
    spread_x = 1.0 + width**2 / (np.diff(x) ** 2).sum()
    spread_w = w.sum() ** 2 / (w**2).sum()
    return float(80.0 * width**3 / (x.size**2 * np.sqrt(spread_x * spread_w)))


def _csaps_choice(x: NDArray[np.float64], w: NDArray[np.float64]) -> float:
    """Give the lam that csaps takes for ``smooth=None``: traces of both parts of its system alike.

    With fewer than three knots every lam gives the same line: 0.
    """
    if x.size < 3:
        return 0.0
    h = np.diff(x)
    left, right = 1.0 / h[:-1], 1.0 / h[1:]
    trace_r = 2.0 * (h[:-1] + h[1:]).sum()
    trace_q = (left**2 / w[:-2] + (left + right) ** 2 / w[1:-1] + right**2 / w[2:]).sum()
    return float(trace_r / (6.0 * trace_q))
