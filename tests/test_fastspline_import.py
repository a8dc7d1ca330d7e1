import json
import subprocess
import sys

import fastspline

PROBE = """
import json, sys, threading
import fastspline

dispatchers = {
    f"{name}.{key}": len(thing.signatures)
    for name, module in list(sys.modules.items())
    if name.split(".")[0] == "fastspline"
    for key, thing in vars(module).items()
    if hasattr(thing, "signatures") and hasattr(thing, "py_func")
}
print(json.dumps({
    "modules": sorted(sys.modules),
    "dispatchers": dispatchers,
    "threads": threading.active_count(),
}))
"""


def probe():
    """What a fresh interpreter holds after ``import fastspline``."""
    command = [sys.executable, "-W", "error", "-c", PROBE]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return json.loads(answer.stdout)


def test_import_loads_no_framework_and_compiles_nothing():
    found = probe()
    heavy = (
        "torch",
        "dask",
        "distributed",
        "ray",
        "matplotlib",
        "scipy.interpolate",
        "coded",
        "pandas",
    )
    assert not set(found["modules"]) & set(heavy)
    assert found["dispatchers"], "no kernel was found"
    assert {name for name, count in found["dispatchers"].items() if count} == set()
    assert found["threads"] == 1


def test_public_names():
    names = {
        "Smoother",
        "Spline",
        "SplineOperator",
        "make_smoothing_spline",
        "resample",
        "select_lam",
        "smooth_grid",
        "smooth_spline",
    }
    assert names <= set(fastspline.__all__)
    for name in fastspline.__all__:
        assert hasattr(fastspline, name)
    assert fastspline.__version__[0].isdigit()
