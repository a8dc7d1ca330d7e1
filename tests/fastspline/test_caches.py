"""Kernels that a wheel brings: loaded where all is as at its build, and else compiled."""

import json
import os
import platform
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher

import coded.nearness.gradients
import coded.nearness.tour
import fastspline.rows
from fastspline import _kernels
from fastspline._caches import Caches
from fastspline._first_calls import compile_all  # imports all that has a kernel

ROOT = Path(__file__).parents[2]
TIMEOUT = 240

# What the build of a wheel does, with one small kernel.
BUILD = """
import sys
from pathlib import Path
import numpy as np
from fastspline._caches import keep_compiled
from fastspline._kernels.tables import first_bad_knot
first_bad_knot(np.array([0.0, 1.0, 2.0]))
folder = Path(sys.argv[1], "fastspline", "_compiled")
folder.mkdir()
keep_compiled(folder)
"""

# Gives what was logged, and how often the kernel was found.
CALL = """
import json, logging
told = []
log = logging.getLogger("fastspline")
log.setLevel(logging.INFO)
log.addHandler(logging.Handler())
log.handlers[0].emit = lambda record: told.append(record.getMessage())
import numpy as np
from fastspline._kernels.tables import first_bad_knot
assert first_bad_knot(np.array([0.0, 1.0, 1.0])) == 2
assert first_bad_knot(np.array([0.0, 1.0, 2.0])) == -1
stats = first_bad_knot.stats
print(json.dumps([sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), told]))
"""


def run(site, code, **settings):
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"NUMBA_CACHE_DIR": str(site.parent / "cache")} | settings
    command = [sys.executable, "-W", "always", "-c", code, site]
    return subprocess.run(
        command, cwd=site, env=environment, check=True, timeout=TIMEOUT, text=True,
        capture_output=True,
    )  # fmt: skip


def call(site, **settings):
    """Call the kernel in a process of its own, and tell whether it was loaded or compiled."""
    done = run(site, CALL, **settings)
    assert done.stderr == ""
    hits, misses, told = json.loads(done.stdout)
    assert (hits, misses, len(told)) in {(1, 0, 0), (0, 1, 2)}
    return "loaded" if hits else "compiled"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    place = tmp_path_factory.mktemp("built") / "site"
    shutil.copytree(ROOT / "fastspline", place / "fastspline", ignore=lambda *_: ["__pycache__"])
    run(place, BUILD)
    return place


@pytest.fixture
def site(built, tmp_path):
    """An installation in another place, with other times of files, and an empty cache."""
    for path in sorted(built.rglob("*.*")):
        if path.is_file():
            to = tmp_path / "site" / path.relative_to(built)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
    return tmp_path / "site"


def the_kernel(site):
    (path,) = (site / "fastspline" / "_compiled").iterdir()
    return path


def test_what_a_wheel_brings_is_loaded_and_nothing_written(site):
    assert call(site) == "loaded"
    assert not list(site.parent.rglob("*.nbi"))
    the_kernel(site).unlink()
    assert call(site) == "compiled"
    assert call(site) == "loaded"  # from numba's cache


@pytest.mark.parametrize("file", ["vector.py", "../jit.py"])
def test_edited_sources_are_compiled(site, file):
    path = site / "fastspline" / "_kernels" / file
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert call(site) == "compiled"


def test_edits_of_the_same_length_are_seen(site):
    path = site / "fastspline" / "_kernels" / "tables.py"
    source = path.read_text(encoding="utf-8")
    assert source[0] == '"'
    path.write_text(source.replace(".", ",", 1), encoding="utf-8")
    assert call(site) == "compiled"


def test_what_was_compiled_for_another_cpu_is_not_used(site):
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    features = "+cx8,+fxsr,+mmx,+sse,+sse2" if is_x86 else ""
    other = {"NUMBA_CPU_NAME": "x86-64" if is_x86 else "generic", "NUMBA_CPU_FEATURES": features}
    assert call(site, **other) == "compiled"
    assert call(site) == "loaded"


def test_a_process_that_an_update_overtook_neither_loads_nor_keeps(site):
    """What it has imported is not what lies there, which later processes look for."""
    path = site / "fastspline" / "_kernels" / "vector.py"
    line = "from fastspline._kernels.tables import first_bad_knot\n"
    overtaken = CALL.replace(line, f"{line}import pathlib\npathlib.Path({str(path)!r}).touch()\n")
    assert overtaken != CALL
    hits, misses, _ = json.loads(run(site, overtaken).stdout)
    assert (hits, misses) == (0, 1)
    assert not list(site.parent.rglob("*.nbi"))
    assert call(site) == "loaded"


@pytest.mark.parametrize("damage", ["truncated", "emptied", "changed", "a folder"])
def test_damaged_files_are_compiled_anew(site, damage):
    path = the_kernel(site)
    content = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    else:
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        kept = {"truncated": content[:-100], "emptied": b"", "changed": changed}
        path.write_bytes(kept[damage])
    assert call(site) == "compiled"


def test_no_folder_to_write_to_is_needed(site):
    """Files lie where folders would have to be: root may write anywhere."""
    (site / "fastspline" / "_kernels" / "__pycache__").write_text("")
    (site / "file").write_text("")
    nowhere = {"HOME": str(site / "file"), "XDG_CACHE_HOME": str(site / "file")}
    assert call(site, NUMBA_CACHE_DIR="", **nowhere) == "loaded"


def list_kernels():
    assert compile_all is not None
    modules = [sys.modules[name] for name in sys.modules if name.startswith(_kernels.__name__)]
    modules += [fastspline.rows, coded.nearness.tour, coded.nearness.gradients]
    found = {id(one): one for one in chain(*(vars(module).values() for module in modules))}
    return [one for one in found.values() if isinstance(one, Dispatcher)]


def test_kernels_look_for_caches_as_they_should():
    kernels = list_kernels()
    kept = [one for one in kernels if isinstance(one._cache, Caches)]
    inlined = [one for one in kernels if one.targetoptions.get("inline") == "always"]
    assert len(kept) > 100
    assert len(kept) + len(inlined) == len(kernels)


def test_kernels_call_those_of_their_own_file_and_of_fastspline():
    """So the sources that `_caches` looks at are all that can be inlined."""
    for kernel in list_kernels():
        function = kernel.py_func
        used = [function.__globals__.get(name) for name in function.__code__.co_names]
        for one in used:
            if isinstance(one, Dispatcher):
                place = one.py_func.__module__
                assert place == function.__module__ or place.startswith(_kernels.__name__ + ".")
