"""Cubic smoothing splines, fast and exact, for any number of columns.

Arrays in, arrays out: nothing here knows of codes, workers or models.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from fastspline._collector import paused_collector

if TYPE_CHECKING:
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


# Each is imported when it is asked for: numba alone takes a fifth of a second.
_LATER = {
    "DegreesOfFreedom": "_freedom",
    "FitGradient": "_gradient",
    "RegressionSpline": "_regression",
    "Smoother": "_smoother",
    "Spline": "_spline",
    "SplineOperator": "_operator",
    "SplineStream": "_stream",
    "lam_for_df": "_freedom",
    "lam_from_csaps": "_migration",
    "lam_from_r": "_migration",
    "make_smoothing_spline": "_scipy",
    "regression_spline": "_regression",
    "resample": "_oneshot",
    "select_lam": "_selection",
    "smooth_grid": "_grid",
    "smooth_spline": "_oneshot",
}
_MODULES = {"arrays", "bundle", "jit", "rows"}


def __getattr__(name: str) -> object:
    """Import a name or a module, or look up the version, when it is asked for."""
    if name == "__version__":
        return _find_version()
    if name in _MODULES:
        return import_module(f"fastspline.{name}")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with paused_collector():
        value: object = getattr(import_module(f"fastspline.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what is imported later too."""
    return sorted({*globals(), *__all__, *_MODULES})


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
