import json
import os
import subprocess
import sys

import pytest

import fastspline

PROBE = """
import json, sys, threading
import numba
numbas = set(sys.modules)
from fastspline import Smoother, smooth_spline

dispatchers = {
    f"{name}.{key}": len(thing.signatures)
    for name, module in list(sys.modules.items())
    if name.split(".")[0] == "fastspline"
    for key, thing in vars(module).items()
    if hasattr(thing, "signatures") and hasattr(thing, "py_func")
}
print(json.dumps({
    "modules": sorted(sys.modules),
    "numbas": sorted(numbas),
    "dispatchers": dispatchers,
    "threads": threading.active_count(),
}))
"""


def probe():
    """What a fresh interpreter holds after what most import."""
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
        "xarray",
        "jax",
        "cupy",
        "IPython",
    )
    assert not set(found["modules"]) & set(heavy)
    assert found["dispatchers"], "no kernel was found"
    assert {name for name, count in found["dispatchers"].items() if count} == set()
    assert found["threads"] == 1


def test_import_loads_little_but_numba_and_what_all_need():
    """What few need, and pictures, come when they are asked for: an import costs what it must."""
    found = probe()
    added = set(found["modules"]) - set(found["numbas"])
    others = {name for name in added if name.partition(".")[0] not in {"fastspline", "concurrent"}}
    assert others <= {
        "__future__",
        "_queue",
        "queue",
        "numpy.typing",
        "numpy._typing._add_docstring",
    }
    later = ("display", "grid", "migration", "posterior", "reduced", "regression", "robust")
    assert not {f"fastspline._{name}" for name in (*later, "scipy", "stream")} & added
    assert not {f"fastspline._kernels.{name}" for name in ("append", "regression")} & added


def test_an_import_of_the_package_alone_loads_not_even_numba():
    code = "import fastspline, sys; print({'numba', 'numpy'} & {*sys.modules}, dir(fastspline))"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("set() ")
    assert "'smooth_spline'" in done.stdout


ROUNDS = """
import gc, sys
generations = []
gc.callbacks.append(lambda phase, found: generations.append(found["generation"]))
switch = sys.argv[1] == "on"
(gc.enable if switch else gc.disable)()
import fastspline
try:
    fastspline.nothing
except AttributeError:
    pass
seen = len(generations)
from fastspline import Smoother, smooth_spline
print(len(generations) - seen, gc.isenabled() == switch, gc.get_freeze_count())
"""


@pytest.mark.parametrize("switch", ["on", "off"])
def test_the_collector_makes_no_rounds_through_what_is_imported(switch):
    """137 otherwise, one through all that there is; it is left as it was found."""
    command = [sys.executable, "-c", ROUNDS, switch]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert answer.stdout.split() == ["0", "True", "0"]


def test_what_the_caller_froze_stays_frozen():
    code = "import gc; gc.freeze(); from fastspline import Spline; print(gc.get_freeze_count() > 0)"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert answer.stdout.split() == ["True"]


def test_modules_are_there_when_they_are_asked_for():
    code = (
        "import fastspline as f; print(*(m.__name__ for m in (f.arrays, f.bundle, f.jit, f.rows)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    names = ("arrays", "bundle", "jit", "rows")
    assert done.stdout.split() == [f"fastspline.{name}" for name in names]


def test_what_comes_later_is_named_and_there():
    assert set(fastspline.__all__) <= set(dir(fastspline))
    assert fastspline.SplineStream is fastspline._stream.SplineStream
    assert "SplineStream" in vars(fastspline)  # kept
    with pytest.raises(AttributeError, match="'fastspline' has no attribute 'spline'"):
        fastspline.spline  # noqa: B018 (the look-up is what is tried)


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


EVERYTHING = """
import json, logging, sys
import numpy as np
from numba import typeof, types
import fastspline as fs
from fastspline import bundle
from fastspline._first_calls import compile_all

compile_all()
told = []
log = logging.getLogger("fastspline")
log.setLevel(logging.INFO)
log.addHandler(logging.Handler())
log.handlers[0].emit = lambda record: told.append(record.getMessage())

def lay_out(array):
    frozen = array.copy()
    frozen.flags.writeable = False
    return array, frozen, np.asfortranarray(array), np.repeat(array, 2, axis=0)[::2], array[::-1]

rng = np.random.default_rng(0)
for n in (2, 30):
    x, weights, points = np.sort(rng.random(n)), 1.0 + rng.random(n), rng.random(40)
    for columns in ((), (5,), (40,), (2, 3)):
        for dtype in (np.float32, np.float64, np.int64):
            y = (4 * rng.standard_normal((n, *columns))).astype(dtype)
            for laid_out in lay_out(y):
                for lam, w in ((0.0, None), (1e-5, weights), (1e6, weights[::-1]), (np.inf, None)):
                    plan = fs.Smoother(lay_out(x)[1], lam=lam, weights=w)
                    plan.df, plan.leverages
                    for nu in (0, 2):
                        operator = plan.operator(points[::-1], nu=nu)
                        operator.adjoint(operator(laid_out))
                    operator.gather(np.arange(n)[::-1], n)(laid_out)
                spline = fs.smooth_spline(x, laid_out, lam=1e-4)
                spline(points, 1), spline(0.5, 3), spline.values, spline.residual_variance
                spline.to_bspline(), spline.to_ppoly(), spline.derivative(), spline.integrate(0, 1)
                spline.gcv, spline.loo, spline.leverages, spline.df
            if n > 2:
                spline.std(points), spline.interval(0.5), spline.sample(points[::-1], 2, nu=1)
                for criterion in ("gcv", "loo", "reml"):
                    fs.select_lam(x, laid_out, weights=weights, criterion=criterion)
                    fs.select_lam(x, y, criterion=criterion, per_column=False)
                fs.smooth_spline(x, y, weights=weights), fs.lam_for_df(x, 5.0, weights=weights)
                fs.make_smoothing_spline(x, y)
    fs.smooth_grid([x, x], rng.random((n, n, 2)), lam=1.0)
    for y in lay_out(rng.standard_normal((n, 3))):
        curve = fs.regression_spline(lay_out(x)[1], y, 2, lam=1.0, weights=weights[::-1])
        curve(points[::-1]), curve.leverages, curve.to_bspline()
        if n > 2:  # else all degrees of freedom are used
            curve.interval(points[::-1]), curve.gcv
for options in ({"bc": "periodic"}, {"bc": ("slope", 0.0, 1.0)}, {"roughness": weights[1:]}):
    for dtype in (np.float32, np.float64):
        plan = fs.Smoother(x, lam=1.0, **options)
        y = rng.standard_normal((n, 20)).astype(dtype)
        plan.operator(points)(y), plan.fit(y)(points), plan.fit(y).interval(points), plan.leverages
        plan.fit(y).sample(points), plan.fit(y).interval(0.5, nu=1, kind="simultaneous")
lines, there = rng.random((3, n)), rng.random((3, 7))
for places in lay_out(lines):
    for lam in (0.0, 1, np.inf):
        bundle.mean_matrix(places, there, lam=lam, seen=1.0)
        bundle.mean_matrix(places, there, lam=lam, seen=1.0, weights=weights, beyond="constant")
    bundle.posterior_variances(places, there, lam=1), bundle.left_out_variances(places, lam=1.0)
    bundle.left_out_matrix(places, lam=1.0, weights=weights)
for y in lay_out(rng.standard_normal((n, 3))):
    stream = fs.SplineStream(lam=1.0)
    stream.append(x[:20], y[:20])
    stream.append(x[20:], y[20:])
    stream.spline()(points)

def plain(kind):  # a default is compiled as it is
    return typeof(kind.value) if isinstance(kind, types.Omitted) else kind

compiled = {}
for name, module in list(sys.modules.items()):
    if name.split(".")[0] == "fastspline":
        for kernel in vars(module).values():
            if hasattr(kernel, "signatures"):
                compiled[kernel.__name__] = len({tuple(map(plain, s)) for s in kernel.signatures})
print(json.dumps([compiled, told]))
"""


@pytest.mark.outer
def test_each_kernel_is_compiled_for_one_list_of_types(tmp_path):
    """Whatever dtype, layout, shape or flag comes in. Exceptions take addresses of arrays."""
    command = [sys.executable, "-c", EVERYTHING]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}  # what is loaded is not counted
    answer = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=300, env=environment
    )
    compiled, told = json.loads(answer.stdout)
    assert told == [], "python -m fastspline --compile left something out"
    assert compiled["smooth_panel"] == 1, "nothing was counted"
    assert compiled.pop("list_addresses") <= 3
    assert compiled.pop("run") <= 2
    assert {name: count for name, count in compiled.items() if count > 1} == {}
