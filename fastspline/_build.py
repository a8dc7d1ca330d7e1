"""Bring in a wheel what numba makes here of the kernels that most first calls need.

For a wheel that is installed where it is built, as `pip install .` does. Elsewhere, and where this
fails, kernels are compiled when they are called, as in an editable installation: see `_caches`.
``HATCH_BUILD_NO_HOOKS=true`` builds without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TIMEOUT = 300.0  # seconds; it takes 25 of a processor
PROGRAM = """
import sys
from pathlib import Path
root, folder = sys.argv[1:]
sys.path.insert(0, root)

import numpy as np
from coded import SplineScheme
from fastspline import Smoother, make_smoothing_spline, smooth_spline
from fastspline._caches import keep_compiled
from fastspline._first_calls import LAMS, POINTS, VALUES, X

for lam in LAMS:
    for dtype in (np.float64, np.float32):
        for points in (POINTS, X):
            Smoother(X, lam=lam).operator(points)(VALUES.astype(dtype))
smooth_spline(X, VALUES).interval(POINTS)
make_smoothing_spline(X, VALUES)
scheme = SplineScheme(20, 60).bind(VALUES[:20])
scheme.decode(scheme.encode(VALUES[:20])[::2], range(0, 60, 2))
keep_compiled(Path(folder))
"""


class CompiledKernels(BuildHookInterface):  # type: ignore[type-arg]  # of any builder
    """What hatchling calls before and after it builds a wheel."""

    _made: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile in a process of its own; a wheel for less is better than none."""
        if version != "standard":  # an editable one keeps what it compiles
            return
        self._made = tempfile.TemporaryDirectory()
        kernels, cache = Path(self._made.name, "kernels"), Path(self._made.name, "cache")
        kernels.mkdir()
        settings = {"NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
        self.app.display_waiting("compiling kernels (fastspline/_build.py)")
        try:
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, self.root, kernels], cwd=kernels,
                env=os.environ | settings, capture_output=True, text=True, timeout=TIMEOUT,
            )  # fmt: skip
            failed = done.returncode != 0
            why = (done.stderr.splitlines() or [f"exit code {done.returncode}"])[-1]
        except (OSError, subprocess.TimeoutExpired) as error:
            failed, why = True, type(error).__name__
        if failed:
            self.app.display_warning(f"a wheel without compiled kernels: {why}")
        else:
            build_data["force_include"][str(kernels)] = "fastspline/_compiled"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove what is in the wheel now."""
        if self._made is not None:
            self._made.cleanup()
