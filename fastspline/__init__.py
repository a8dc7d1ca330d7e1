"""Cubic smoothing splines, fast and exact, for any number of columns."""

from importlib.metadata import version

from fastspline._scipy import make_smoothing_spline
from fastspline._selection import select_lam
from fastspline._smoother import Smoother, SplineOperator
from fastspline._spline import Spline, resample, smooth_spline

__all__ = [
    "Smoother",
    "Spline",
    "SplineOperator",
    "make_smoothing_spline",
    "resample",
    "select_lam",
    "smooth_spline",
]
__version__ = version("fastspline")
