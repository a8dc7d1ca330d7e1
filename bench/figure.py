"""README's picture of a fit: `python -m bench.figure` draws bench/results/fit.png.

Left: noisy values, the smoothing spline by GCV with its 95 % band, and the true curve. Right: its
slope, and that of scipy's spline, whose lam depends on the unit of x. No pyplot, no settings.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.interpolate import make_smoothing_spline

from bench.records import RESULTS
from fastspline import smooth_spline

PICTURE = RESULTS / "fit.png"
OURS, SCIPY, GREY = "#0072B2", "#D55E00", "#8C8C8C"  # Okabe and Ito's
SIZE, DPI = (8.4, 3.2), 100

Vector = NDArray[np.float64]


def true_curve(t: Vector) -> Vector:
    """Give a pulse on a slow wave, t in seconds from 0 to 60."""
    return np.sin(t / 9.0) + 1.2 * np.exp(-(((t - 38.0) / 5.0) ** 2))


def true_slope(t: Vector) -> Vector:
    """Give the derivative of `true_curve`."""
    pulse = 1.2 * np.exp(-(((t - 38.0) / 5.0) ** 2))
    return np.cos(t / 9.0) / 9.0 - (t - 38.0) / 12.5 * pulse


def draw() -> Figure:
    """Draw both panels."""
    rng = np.random.default_rng(1)
    knots = np.linspace(0.0, 60.0, 200)
    values = true_curve(knots) + 0.2 * rng.standard_normal(knots.size)
    points = np.linspace(0.0, 60.0, 500)
    spline = smooth_spline(knots, values)
    lower, upper = spline.interval(points)

    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(knots, values, ".", color=GREY, markersize=4.5, label="values")
    left.fill_between(points, lower, upper, color=OURS, alpha=0.25, lw=0, label="95 % band")
    left.plot(points, spline(points), color=OURS, lw=1.8, label="smooth_spline")
    left.plot(points, true_curve(points), "--", color="black", lw=1.0, label="truth")
    _finish(left, "curve")

    hour = 3600.0
    scipys = make_smoothing_spline(knots / hour, values)
    right.plot(
        points, scipys(points / hour, 1) / hour, color=SCIPY, lw=1.3, label="scipy, x in hours"
    )
    right.plot(points, spline(points, nu=1), color=OURS, lw=1.8, label="smooth_spline, any unit")
    right.plot(points, true_slope(points), "--", color="black", lw=1.0, label="truth")
    right.set_ylim(-0.35, 0.35)
    _finish(right, "slope, per second")
    return figure


def _finish(axes: Axes, name: str) -> None:
    """Name the axes, and leave out what says nothing."""
    axes.set_xlabel("x, seconds")
    axes.set_ylabel(name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
    axes.legend(frameon=False, fontsize=9)


def main(path: Path = PICTURE) -> None:
    """Write the picture."""
    path.parent.mkdir(exist_ok=True)
    buffer = BytesIO()
    draw().savefig(buffer)
    Image.open(buffer).convert("RGB").quantize(64).save(path, optimize=True)
    sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
