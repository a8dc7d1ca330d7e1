"""First calls: what a process spends on them with an empty cache of compiled code, and a full one.

Seconds of user CPU, which hardly depend on what else a machine does; the least of some processes.
Each row of calls runs in a process of its own, in the order told. The wheel is built and installed
as `pip install .` does it, and brings compiled kernels; its processes find an empty cache too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.experiments import main
from bench.records import ROOT

ROUNDS = 3
TIMEOUT = 300.0  # seconds, of one process
IMPORTS = ("import fastspline", "import numba", "from fastspline import Smoother, smooth_spline")

Numbers = dict[str, Any]

PROGRAM = """
import json, resource, sys
import numpy as np

def spent():
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime

def compiled():
    kernels = {
        id(thing): thing
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in ("fastspline", "coded")
        for thing in vars(module).values()
        if hasattr(thing, "py_func") and hasattr(thing, "stats")
    }
    return sum(sum(one.stats.cache_misses.values()) for one in kernels.values())

setup, *calls = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
x, points = np.linspace(0.0, 1.0, 200), np.linspace(0.0, 1.0, 50)
y = np.sin(6.0 * x) + 0.1 * rng.standard_normal(200)
inputs = rng.standard_normal((20, 50))
exec(setup)
for call in calls:
    before = spent()
    exec(call)
    print(spent() - before)
print(compiled())
"""
IMPORT = """
import resource, sys
exec(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
"""

OURS = "from fastspline import *"
CALLS = {  # title: what is imported, and the calls
    "`Smoother(x, lam).operator(points)(y)`; the same in float32": (
        OURS,
        "Smoother(x, lam=1e-4).operator(points)(y)",
        "Smoother(x, lam=1e-4).operator(points)(y.astype(np.float32))",
    ),
    "`smooth_spline(x, y)(points)`, lam by GCV; `make_smoothing_spline(x, y, lam=…)`": (
        OURS,
        "curve = smooth_spline(x, y)(points)",
        "make_smoothing_spline(x, y, lam=1e-4)",
    ),
    "`smooth_spline(x, y, lam=…)`; its `.interval(points)`": (
        OURS,
        "curve = smooth_spline(x, y, lam=1e-4)",
        "curve.interval(points)",
    ),
    "the operator of `points`; its `.adjoint(…)`": (
        OURS,
        "operator = Smoother(x, lam=1e-4).operator(points); operator(y)",
        "operator.adjoint(y[:50])",
    ),
    "`SplineStream(lam=…).append(x, y)`": (OURS, "SplineStream(lam=1e-4).append(x, y)"),
    "`SplineScheme(20, 60)`: `bind`, `encode`; `decode`": (
        "from coded import SplineScheme; SplineScheme",
        "scheme = SplineScheme(20, 60).bind(inputs); coded = scheme.encode(inputs)",
        "scheme.decode(coded[::2], range(0, 60, 2))",
    ),
}


def install(folder: Path) -> None:
    """Install the wheel in ``folder / "site"``; its dependencies are those that are here."""
    wheels, site = folder / "wheels", folder / "site"
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HATCH_")}
    for command in (
        ["wheel", "--no-deps", "--no-build-isolation", "-w", wheels, ROOT],
        ["install", "--no-deps", "--no-index", "-f", wheels, "--target", site, "fastspline"],
    ):
        subprocess.run([*pip, *command], check=True, timeout=2 * TIMEOUT, env=kept)


def _run(
    program: str, argument: str, cache: Path, bytecode: Path, place: Path = ROOT
) -> list[float]:
    """Run a program of a place's packages in a process; give the numbers that it prints.

    An installed package is compiled to bytecode: here by the first of some processes.
    """
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(cache),
        "PYTHONPATH": str(place),
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-W", "ignore", "-c", program, argument]
    done = subprocess.run(
        command, cwd=place, env=environment, check=True, capture_output=True, text=True,
        timeout=TIMEOUT,
    )  # fmt: skip
    return [float(line) for line in done.stdout.split()]


def time_calls(calls: Sequence[str], rounds: int, folder: Path) -> Numbers:
    """Give user CPU seconds of each call, cold, as installed and warm, and kernels compiled."""
    site, bytecode = folder / "site", folder / "bytecode"
    ran: dict[str, list[list[float]]] = {"cold": [], "warm": [], "installed": []}
    for _ in range(rounds):
        for names, place in ((("cold", "warm"), ROOT), (("installed",), site)):
            with tempfile.TemporaryDirectory() as cache:
                for name in names:
                    found = _run(PROGRAM, json.dumps(calls), Path(cache), bytecode, place)
                    ran[name].append(found)
    times = {
        name: [round(min(column), 3) for column in zip(*(one[:-1] for one in found), strict=True)]
        for name, found in ran.items()
    }
    compiled = {f"compiled_{name}": int(found[0][-1]) for name, found in ran.items()}
    return {**times, **compiled}


def time_imports(rounds: int) -> dict[str, float]:
    """Give user CPU seconds of processes that import numba, and fastspline, in turn."""
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}
    with tempfile.TemporaryDirectory() as folder:
        cache, bytecode = Path(folder, "cache"), Path(folder, "bytecode")
        for name in IMPORTS:
            _run(IMPORT, name, cache, bytecode)
        for _ in range(3 * rounds):
            for name in IMPORTS:
                times[name] += _run(IMPORT, name, cache, bytecode)
    return {name: round(min(found), 4) for name, found in times.items()}


def run(*, quick: bool) -> Numbers:
    """Time all imports and calls; a look takes the first calls, once."""
    rounds = 1 if quick else ROUNDS
    some = list(CALLS.items())[: 1 if quick else None]
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        calls = {title: time_calls(calls, rounds, Path(folder)) for title, calls in some}
    return {"rounds": rounds, "imports": time_imports(rounds), "calls": calls}


def tables(numbers: Numbers) -> Mapping[str, str]:
    """Make the table."""
    header = ["first calls of a process, in this order", "kernels", "cold cache, s"]
    header += ["after `pip install .`, s", "warm, s"]
    kinds = ("cold", "installed", "warm")
    rows = [
        [title, str(one["compiled_cold"]), *(_tell_times(one[kind]) for kind in kinds)]
        for title, one in numbers["calls"].items()
    ]
    alone, numba, ours = (numbers["imports"][name] for name in IMPORTS)
    caption = (
        f"User CPU seconds, the least of {numbers['rounds']} processes: 200 points, 20 inputs of "
        f"50 numbers. `{IMPORTS[0]}`, which loads the rest when it is asked for: {alone:.2f} s; "
        f"`{IMPORTS[1]}`: {numba:.2f} s; `{IMPORTS[2]}`: {ours:.2f} s, {ours / numba:.2f} times "
        "that."
    )
    return {"first_calls": f"{to_markdown(header, rows)}\n\n{caption}"}


def _tell_times(times: Sequence[float]) -> str:
    return "; ".join(f"{time:.1f}" if time >= 0.95 else f"{time:.2f}" for time in times)


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (one interface for all)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("first_calls")
