"""Cubic smoothing splines, fast and exact, for any number of columns.

Arrays in, arrays out: nothing here knows of codes, workers or models.
"""

from fastspline._freedom import DegreesOfFreedom, lam_for_df
from fastspline._gradient import FitGradient
from fastspline._grid import smooth_grid
from fastspline._migration import lam_from_csaps, lam_from_r
from fastspline._oneshot import resample, smooth_spline
from fastspline._operator import SplineOperator
from fastspline._regression import RegressionSpline, regression_spline
from fastspline._scipy import make_smoothing_spline
from fastspline._selection import select_lam
from fastspline._smoother import Smoother
from fastspline._spline import Spline
from fastspline._stream import SplineStream

__all__ = [
    "DegreesOfFreedom",
    "FitGradient",
    "RegressionSpline",
    "Smoother",
    "Spline",
    "SplineOperator",
    "SplineStream",
    "lam_for_df",
    "lam_from_csaps",
    "lam_from_r",
    "make_smoothing_spline",
    "regression_spline",
    "resample",
    "select_lam",
    "smooth_grid",
    "smooth_spline",
]


def __getattr__(name: str) -> str:
    """Look up the version when it is asked for: that costs a tenth of the import."""
    if name == "__version__":
        return _find_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _find_version() -> str:
    """Give the version that is installed, that of a clone that is not, or ``0+unknown``."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("fastspline")
    except PackageNotFoundError:
        import tomllib
        from pathlib import Path

        project = Path(__file__).parents[1] / "pyproject.toml"
        if not project.is_file():  # copied into another program
            return "0+unknown"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
