"""fastspline as users get it: a built wheel, with and without a cache, and on another CPU."""

import json
import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastspline import Smoother
from tests.support.strategies import make_knots

pytestmark = pytest.mark.outer

PROJECT = Path(__file__).parents[1]
TIMEOUT = 300

PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
import fastspline

folder = Path(sys.argv[1])
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
problem = np.load(folder / "problem.npz")
operator = fastspline.Smoother(problem["knots"], lam=1e-9).operator(problem["points"])
np.testing.assert_array_equal(operator(problem["values"]), problem["result"])
dispatchers = [
    thing
    for name, module in list(sys.modules.items())
    if name.split(".")[0] == "fastspline"
    for thing in vars(module).values()
    if hasattr(thing, "signatures") and hasattr(thing, "py_func")
]
print(json.dumps({
    "file": fastspline.__file__,
    "hits": sum(sum(d.stats.cache_hits.values()) for d in dispatchers),
    "missed": sorted({d.__name__ for d in dispatchers if d.stats.cache_misses}),
    "several": sorted({d.__name__ for d in dispatchers if len(d.signatures) > 1}),
}))
"""


def build(folder, **settings):
    """Build a wheel as pip would."""
    command = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, PROJECT]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")} | settings
    subprocess.run(
        [sys.executable, "-m", "pip", *command], check=True, timeout=TIMEOUT, env=environment
    )
    (built,) = folder.glob("fastspline-*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel for others, without machine code of this machine."""
    return build(tmp_path_factory.mktemp("wheel"), HATCH_BUILD_NO_HOOKS="true")


@pytest.fixture
def site(wheel, tmp_path):
    """A folder with the wheel's contents and a problem with its solution."""
    return install(wheel, tmp_path)


def install(wheel, tmp_path):
    place = tmp_path / "site"
    command = ["install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", place, wheel]
    subprocess.run([sys.executable, "-m", "pip", *command], check=True, timeout=TIMEOUT)
    rng = np.random.default_rng(0)
    knots, points = np.linspace(0.0, 1.0, 30), rng.random(40)
    values = rng.standard_normal((30, 21))
    result = Smoother(knots, lam=1e-9).operator(points)(values)
    np.savez(tmp_path / "problem.npz", knots=knots, values=values, points=points, result=result)
    return place


def start(site, **environment):
    """Start PROGRAM on the installed package; it waits for a line once all is imported."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    return subprocess.Popen(
        [sys.executable, "-W", "always", "-c", PROGRAM, site.parent],
        cwd=site.parent,
        env={**inherited, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(program):
    """Let it compute; give its report and what it wrote to the standard error."""
    try:
        answer, errors = program.communicate("go\n", timeout=TIMEOUT)
    finally:
        program.kill()
    assert program.returncode == 0, errors
    return json.loads(answer.splitlines()[-1]), errors


def test_wheel_holds_what_it_should(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "fastspline/py.typed",
        "fastspline/LICENSE",
        "coded/evaluation/recommendations.json",
    } <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"fastspline", "coded"}
    assert not [name for name in names if "_compiled" in name or "_build" in name]


def test_a_wheel_brings_what_it_was_compiled_to_where_it_was_built(tmp_path):
    """As `pip install .` does; a wheel alone is for any machine, so others may install it too."""
    wheel = build(tmp_path)
    assert wheel.name.endswith("-py3-none-any.whl")
    site = install(wheel, tmp_path)
    report, errors = finish(start(site, NUMBA_CACHE_DIR=str(tmp_path / "cache")))
    assert errors == ""
    assert report["hits"] > 5
    assert report["missed"] == []


def test_many_processes_compile_into_one_cache_at_once(site):
    """All find it empty, and all are right; later ones compile nothing."""
    cache = site.parent / "cache"
    cache.mkdir()
    programs = [start(site, NUMBA_CACHE_DIR=str(cache)) for _ in range(4)]
    for program in programs:
        assert program.stdout.readline() == "ready\n"
    assert not list(cache.rglob("*.nbi")), "compiled at import"
    for program in programs:
        program.stdin.write("go\n")
        program.stdin.flush()
    for program in programs:
        report, errors = finish(program)
        assert Path(report["file"]).parent.parent == site
        assert errors == ""
        # numba's cache may mix up two signatures of one function when processes race.
        assert report["several"] == []
    report, _ = finish(start(site, NUMBA_CACHE_DIR=str(cache)))
    assert report["hits"] > 0
    assert report["missed"] == []


def test_without_a_place_for_a_cache_it_warns_once_and_works(site):
    """No permissions are used, as root has them all: files lie where folders would have to be."""
    for package in (site / "fastspline", site / "fastspline" / "_kernels"):
        (package / "__pycache__").write_text("")
    unwritable = site.parent / "file"
    unwritable.write_text("")
    for folder in (site / "fastspline", site):
        folder.chmod(0o555)
    try:
        places = {"HOME": str(unwritable), "XDG_CACHE_HOME": str(unwritable), "LOCALAPPDATA": ""}
        report, errors = finish(start(site, **places))
    finally:
        for folder in (site, site / "fastspline"):
            folder.chmod(0o755)
    assert Path(report["file"]).parent.parent == site
    assert report["hits"] == 0
    assert not list(site.parent.rglob("*.nb[ic]"))
    assert errors.count("Warning") == 1
    assert "set NUMBA_CACHE_DIR to a writable folder" in errors


X86 = platform.machine().lower() in ("x86_64", "amd64")
# The oldest CPU of this kind: numba needs both variables, or it takes the features of the host.
PLAIN_CPU = {
    "NUMBA_CPU_NAME": "x86-64" if X86 else "generic",
    "NUMBA_CPU_FEATURES": "+cx8,+fxsr,+mmx,+sse,+sse2" if X86 else "",
}
# Largest difference between CPUs, in ulps of max |values| times the operator's largest row sum.
# Fused products and sums round once where others round twice. Measured: 1.8, and 196.
ULPS = {np.float32: 4, np.float64: 2000}

OTHER_CPU = """
import sys
import numpy as np
from fastspline._kernels import sweep
from tests.test_installed import solve_all

np.savez(sys.argv[1], *solve_all())
assembly = "".join(sweep.sweep_f8.inspect_asm().values())
assert assembly
assert not any(wide in assembly for wide in ("%ymm", "%zmm", "vfmadd")), "not a plain CPU"
"""


def list_plans():
    for kind in ("uniform", "chebyshev", "random", "clustered"):
        for n in (5, 100, 700):
            for lam in (0.0, 1e-9, 1e-3, 1e3, np.inf):
                knots = make_knots(kind, n)
                middle = (knots[1:] + knots[:-1]) / 2
                yield Smoother(knots, lam=lam).operator(np.concatenate([knots, middle]))


def solve_all():
    """Results of all plans in both precisions, for values of magnitude 1."""
    rng = np.random.default_rng(0)
    values = rng.choice([-1.0, 1.0], (700, 21))
    return [
        operator(values[: operator.shape[1]].astype(dtype))
        for operator in list_plans()
        for dtype in ULPS
    ]


def test_another_cpu_gives_the_same_within_ulps(tmp_path):
    environment = {**os.environ, **PLAIN_CPU, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", OTHER_CPU, tmp_path / "results.npz"]
    subprocess.run(command, cwd=PROJECT, env=environment, check=True, timeout=TIMEOUT)
    theirs = iter(np.load(tmp_path / "results.npz").values())
    ours = iter(solve_all())
    for operator in list_plans():
        size = np.abs(operator.dense()).sum(axis=1).max()
        for dtype, ulps in ULPS.items():
            difference = np.abs(next(ours) - next(theirs)).max()
            assert difference <= ulps * np.finfo(dtype).eps * size, operator
    assert next(theirs, None) is None
