"""The numbers and options of a fit, checked: lam, weights, ends, roughness, order of derivative."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline.arrays import read_vector, require_finite

Boundary: TypeAlias = Literal["natural", "periodic"] | tuple[Literal["slope"], float, float]


def check_lam(lam: float, name: str = "lam") -> float:
    """Give lam as a float in [0, inf]."""
    number: Any = lam
    if np.ndim(lam) == 0 and hasattr(lam, "item") and not isinstance(lam, np.ma.MaskedArray):
        number = lam.item()  # of numpy's and torch's arrays
    is_real = isinstance(number, Real) and not isinstance(number, bool)
    if not is_real:
        raise TypeError(
            f"{name} must be one number in [0, inf], got {_describe(lam)}; smooth_spline takes "
            'one a column, or chooses by lam="gcv"'
        )
    if not number >= 0.0:
        raise ValueError(f"{name} must be >= 0 (0 interpolates, inf fits a line), got {lam}")
    try:
        return float(number)
    except OverflowError:
        raise ValueError(f"{name} is too large for a float; pass inf for a line") from None


def check_weights(weights: ArrayLike, n: int, of: str = "knots") -> NDArray[np.float64]:
    """Give weights as a vector of n numbers that are finite, not negative and not all zero."""
    read = read_vector(weights, "weights")
    if read.size != n:
        raise ValueError(
            f"weights has {read.size} entries and there are {n} {of}; give one weight a {of[:-1]}"
        )
    require_finite(read, "weights")
    if read.min() < 0.0:
        bad = int((read < 0.0).argmax())
        raise ValueError(
            f"weights must be >= 0, but weights[{bad}] = {read[bad]}; a weight of 0 drops a point"
        )
    if read.max() == 0.0:
        raise ValueError(
            "weights are all 0, so there is no point to fit; give at least one a positive weight"
        )
    return read


def check_bc(bc: Boundary) -> Boundary:
    """Give a boundary condition with its slopes as floats."""
    allowed = 'bc must be "natural", "periodic" or ("slope", a, b)'
    if isinstance(bc, str):
        if bc not in ("natural", "periodic"):
            raise ValueError(f'{allowed}, got {bc!r}; ("slope", 0, 0) clamps both ends')
        return bc
    if not isinstance(bc, tuple | list) or len(bc) != 3 or bc[0] != "slope":
        raise ValueError(f"{allowed}, got {bc!r}")
    slopes: list[float] = []
    for slope in bc[1:]:
        if isinstance(slope, bool) or not isinstance(slope, Real):
            raise TypeError(f"{allowed} with numbers a and b, got {bc!r}")
        if not abs(float(slope)) < np.inf:
            raise ValueError(f"{allowed} with finite a and b, got {bc!r}")
        slopes.append(float(slope))
    return "slope", slopes[0], slopes[1]


def check_roughness(roughness: ArrayLike, gaps: int) -> NDArray[np.float64]:
    """Give roughness weights as a vector of positive numbers, one a gap."""
    read = np.array(read_vector(roughness, "roughness"))
    if read.size != gaps:
        raise ValueError(
            f"roughness has {read.size} entries and there are {gaps} gaps between knots; give one "
            "weight a gap"
        )
    require_finite(read, "roughness")
    if read.size and not read.min() > 0.0:
        bad = int((read <= 0.0).argmax())
        raise ValueError(f"roughness must be positive, but roughness[{bad}] = {read[bad]}")
    return read


def check_gamma(gamma: float, lam: object) -> float:
    """Give what degrees of freedom are multiplied by in GCV, and in nothing else."""
    if type(gamma) is float and gamma == 1.0:
        return gamma
    if isinstance(gamma, bool) or not isinstance(gamma, Real):
        raise TypeError(f"gamma must be a number, got {gamma!r}; 1.4 is usual")
    if not 1.0 <= gamma < np.inf:
        raise ValueError(
            f"gamma must lie in [1, inf), got {gamma}; 1.4 is usual, and below 1 every curve would "
            "interpolate"
        )
    if gamma != 1.0 and not (isinstance(lam, str) and lam in ("gcv", "gcv-plain")):
        raise ValueError(
            f'gamma belongs to lam="gcv" and "gcv-plain", got lam={_describe(lam)}; leave gamma out'
        )
    return float(gamma)


def check_nu(nu: int) -> int:
    """Give the order of derivative as an int in [0, 3]."""
    if type(nu) is int and 0 <= nu <= 3:
        return nu
    if isinstance(nu, bool) or not hasattr(nu, "__index__"):
        raise TypeError(f"nu must be an integer in [0, 3], got {nu!r}")
    if not 0 <= nu <= 3:
        raise ValueError(f"nu must lie in [0, 3] (a cubic spline has three derivatives), got {nu}")
    return int(nu)


def _describe(value: object) -> str:
    """Write a value, or the shape of what is too long to be written."""
    shape = np.shape(value) if isinstance(value, np.ndarray | list | tuple) else ()
    return f"an array of shape {shape}" if shape else repr(value)
