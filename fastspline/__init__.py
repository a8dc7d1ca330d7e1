"""Cubic smoothing splines, fast and exact, for any number of columns."""

from importlib.metadata import version

from fastspline._smoother import Smoother, SplineOperator

__all__ = ["Smoother", "SplineOperator"]
__version__ = version("fastspline")
