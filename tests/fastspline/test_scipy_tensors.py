"""make_smoothing_spline gives tensors back where scipy does."""

import os
import subprocess
import sys

import pytest

TENSORS = """
import sys
import numpy as np, scipy.interpolate, torch
from fastspline import make_smoothing_spline
x, y = torch.arange(8, dtype=torch.float64), torch.sin(torch.arange(8, dtype=torch.float64))
for smooth in (scipy.interpolate.make_smoothing_spline, make_smoothing_spline):
    spline = smooth(x, y, lam=0.1)
    points = x if sys.argv[1] == "1" else x.numpy()
    kinds = [type(part).__name__ for part in (spline.t, spline.c, spline(points))]
    print(*kinds, spline.c.dtype, spline.extrapolate, spline.axis, f"{float(spline.c[3]):.12f}")
"""

BY_KNOTS = """
import sys
import numpy as np, torch
from fastspline import make_smoothing_spline
x = torch.arange(9, dtype=torch.float64)
y = torch.stack([torch.sin(x), torch.cos(x)])
t = torch.tensor([0.0, 0.0, 0.0, 0.0, 2.5, 5.0, 8.0, 8.0, 8.0, 8.0], dtype=torch.float64)
plain = make_smoothing_spline(x.numpy(), y.numpy(), lam=0.1, axis=1, t=t.numpy())
for knots in (t, t.numpy()):
    spline = make_smoothing_spline(x, y, lam=0.1, axis=1, t=knots)
    points = x if sys.argv[1] == "1" else x.numpy()
    print(*(type(part).__name__ for part in (spline.t, spline.c, spline(points))), spline.axis)
    np.testing.assert_array_equal(np.asarray(spline(points)), plain(x.numpy()))
"""


def run(program, setting):
    """Give the lines that a program prints in a process of its own."""
    environment = {name: text for name, text in os.environ.items() if name != "SCIPY_ARRAY_API"}
    if setting == "1":
        environment["SCIPY_ARRAY_API"] = "1"
    command = [sys.executable, "-c", program, setting]
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    return ran.stdout.splitlines()


@pytest.mark.parametrize("setting", ["0", "1"])
def test_tensors_come_back_as_from_scipy(setting):
    """scipy reads SCIPY_ARRAY_API once, when it is imported."""
    scipys, ours = run(TENSORS, setting)
    assert ours == scipys
    assert ours.startswith("Tensor Tensor Tensor" if setting == "1" else "ndarray ndarray ndarray")


@pytest.mark.parametrize("setting", ["0", "1"])
def test_tensors_come_back_also_from_given_knots(setting):
    kind = "Tensor" if setting == "1" else "ndarray"
    assert run(BY_KNOTS, setting) == [f"{kind} {kind} {kind} 1"] * 2
