"""Cubic smoothing splines, fast and exact, for any number of columns."""

from importlib.metadata import version

__version__ = version("fastspline")
