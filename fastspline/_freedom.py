"""The lam at which a curve has so many degrees of freedom, whatever its values."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from fastspline._arguments import Boundary
from fastspline._clock import read_knots
from fastspline._plan import Plan

FURTHEST = -60.0, 20.0  # where lam is sought, powers of ten


@dataclass(frozen=True, slots=True)
class DegreesOfFreedom:
    """Asks `smooth_spline` for the lam at which the curve has so many degrees of freedom.

    Parameters
    ----------
    df : float
        The trace of the map from values to fitted values, in (2, n], n the number of knots of
        positive weight; in (1, n] where ends are not natural.

    Raises
    ------
    ValueError
        If `df` is not a finite number above 1.
    TypeError
        If `df` is not a real number.

    Examples
    --------
    >>> from fastspline import smooth_spline
    >>> curve = smooth_spline(range(6), [0, 1, 0, 2, 1, 3], lam=DegreesOfFreedom(3))
    >>> round(curve.df, 9)
    3.0
    """

    df: float

    def __post_init__(self) -> None:
        """Check."""
        object.__setattr__(self, "df", _check_df(self.df))


def lam_for_df(
    knots: ArrayLike,
    df: float,
    *,
    weights: ArrayLike | None = None,
    bc: Boundary = "natural",
    roughness: ArrayLike | None = None,
) -> float:
    """Give the lam at which the smoothing spline has `df` degrees of freedom.

    df, the trace of the map from values to fitted values, falls from n at lam = 0 to 2 at lam = inf
    (1 where ends are not natural); it does not depend on the values.

    Parameters
    ----------
    knots : array_like, shape (n,)
        Strictly ascending; at least three of positive weight (two where ends are not natural).
    df : float
        In (2, n], n counting the knots of positive weight; (1, n] where ends are not natural.
    weights, bc, roughness
        As in `Smoother`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If `df` lies outside its range or next to an end of it, and as `Smoother`.
    TypeError
        If `df` is not a real number, and as `Smoother`.

    References
    ----------
    T. J. Hastie and R. J. Tibshirani, "Generalized Additive Models" (1990), section 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> from fastspline import Smoother
    >>> x = np.linspace(0.0, 1.0, 40)
    >>> round(Smoother(x, lam=lam_for_df(x, 7.5)).df, 9)
    7.5
    """
    from scipy.optimize import brentq

    wanted = _check_df(df)
    through = Plan(read_knots(knots)[0], 0.0, weights, bc, roughness)
    most, least = round(through.df), 2 if through.bc == "natural" else 1
    if most <= least:
        raise ValueError(
            f"df is at most {most} for {most} knots of positive weight, whatever lam; give at "
            f"least {least + 1} knots"
        )
    if not least < wanted <= most:
        raise ValueError(
            f"df must lie in ({least}, {most}], at most the number of knots of positive weight, "
            f"got {df}; lam = 0 gives the largest, lam = inf gives {least}"
        )
    if wanted == most:
        return 0.0
    active = through.active
    weight = float(active.size) if through.weights is None else float(through.weights[active].sum())
    rough = 1.0 if through.roughness is None else float(through.roughness.mean())
    scale = float(through.knots[-1] - through.knots[0]) ** 3 * weight / rough

    def excess(place: float) -> float:
        """Give df - wanted, from df or n - df, whichever is the smaller sum."""
        plan = through.with_lam(scale * 10.0**place)
        lever, complement = plan.solver.exact().leverages()
        if wanted <= 0.5 * most:
            return float(lever.sum() - wanted)
        return float((most - wanted) - (complement.sum() - (complement.size - most)))

    low, high = -4.0, 0.0
    while excess(low) < 0.0 and low > FURTHEST[0]:
        low -= 4.0
    while excess(high) > 0.0 and high < FURTHEST[1]:
        high += 4.0
    if not excess(low) > 0.0 > excess(high):
        line = excess(low) > 0.0
        end = f"{least}; take lam = inf" if line else f"{most}; lam = 0 interpolates"
        raise ValueError(f"df = {df} cannot be told from {end}")
    return float(scale * 10.0 ** brentq(excess, low, high, xtol=1e-14, rtol=1e-14))


def _check_df(df: float) -> float:
    """Give df as a finite float above 1."""
    if isinstance(df, bool) or not isinstance(df, Real):
        raise TypeError(f"df must be a real number in (2, n], got {df!r}")
    if not 1.0 < df < np.inf:
        raise ValueError(
            f"df must lie in (2, n], n the number of knots of positive weight, got {df}; lam = inf "
            "gives 2, the straight line (1 is least where ends are not natural)"
        )
    return float(df)
