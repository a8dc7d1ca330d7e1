"""Cubic smoothing splines, fast and exact, for any number of columns."""

from importlib.metadata import version

from fastspline._gradient import FitGradient
from fastspline._grid import smooth_grid
from fastspline._migration import lam_from_csaps, lam_from_r
from fastspline._oneshot import resample, smooth_spline
from fastspline._operator import SplineOperator
from fastspline._scipy import make_smoothing_spline
from fastspline._selection import DegreesOfFreedom, lam_for_df, select_lam
from fastspline._smoother import Smoother
from fastspline._spline import Spline
from fastspline._stream import SplineStream

__all__ = [
    "DegreesOfFreedom",
    "FitGradient",
    "Smoother",
    "Spline",
    "SplineOperator",
    "SplineStream",
    "lam_for_df",
    "lam_from_csaps",
    "lam_from_r",
    "make_smoothing_spline",
    "resample",
    "select_lam",
    "smooth_grid",
    "smooth_spline",
]
__version__ = version("fastspline")
