"""First calls: what they say, that processes compile once between them, and read-only caches."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastspline import Smoother

fcntl = pytest.importorskip("fcntl")  # elsewhere files are not locked

ROOT = Path(__file__).parents[2]
TIMEOUT = 240
X, POINTS = np.linspace(0.0, 1.0, 30), np.linspace(0.0, 1.0, 7)

# One small kernel; with its stacks written where it hangs. Gives what was logged.
ONE = """
import faulthandler, json, logging, sys
faulthandler.dump_traceback_later(200, exit=True)
told = []
log = logging.getLogger("fastspline")
log.setLevel(logging.INFO)
log.addHandler(logging.Handler())
log.handlers[0].emit = lambda record: told.append(record.getMessage())
import numpy as np
from fastspline import jit
from fastspline._kernels.tables import first_bad_knot
{before}
assert first_bad_knot(np.array([0.0, 1.0, 1.0])) == 2
assert first_bad_knot(np.array([0.0, 1.0, 2.0])) == -1
print(json.dumps(told))
"""

ROUND = """
import faulthandler, json, logging, sys
faulthandler.dump_traceback_later(200, exit=True)
told = []
log = logging.getLogger("fastspline")
log.setLevel(logging.INFO)
log.addHandler(logging.Handler())
log.handlers[0].emit = lambda record: told.append(record.args)
import numpy as np
from fastspline import Smoother
print("ready", flush=True)
sys.stdin.readline()
x, points = np.linspace(0.0, 1.0, 30), np.linspace(0.0, 1.0, 7)
result = Smoother(x, lam=1e-4).operator(points)(np.cos(9.0 * x))
print(json.dumps([result.tolist(), [one[0] for one in told if len(one) == 3]]))
"""


def start(code, cache, settings=()):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", **dict(settings)}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=cache.parent, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(program, line=""):
    try:
        answer, errors = program.communicate(line, timeout=TIMEOUT)
    finally:
        program.kill()
    assert program.returncode == 0, errors
    return json.loads(answer.splitlines()[-1]), errors


def one(cache, before="", settings=()):
    return finish(start(ONE.format(before=before), cache, settings))


def test_what_is_compiled_is_told_once(tmp_path):
    told, _ = one(tmp_path)
    assert len(told) == 2
    assert told[0] == "compiling fastspline._kernels.tables.first_bad_knot"
    assert told[1].startswith("compiled first_bad_knot in ")
    assert told[1].endswith(" s and kept it")
    assert one(tmp_path)[0] == []


def test_processes_on_one_cold_cache_compile_once_between_them(tmp_path):
    programs = [start(ROUND, tmp_path) for _ in range(4)]
    for program in programs:
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        program.stdin.write("go\n")
        program.stdin.flush()
    expected = Smoother(X, lam=1e-4).operator(POINTS)(np.cos(9.0 * X)).tolist()
    compiled = []
    for program in programs:
        (result, names), errors = finish(program)
        assert errors == ""
        assert result == expected
        compiled += names
    assert len(compiled) > 3
    assert len(set(compiled)) == len(compiled)


def test_a_wait_for_another_process_has_an_end(tmp_path):
    """The other one holds the lock and never compiles: it was stopped, say."""
    before = (
        "import fcntl, os\n"
        "jit.LONGEST_WAIT = 0.2\n"
        "jit.CACHE.mkdir(parents=True, exist_ok=True)\n"
        "other = open(jit.CACHE / 'compiling.lock', 'w')\n"
        "fcntl.flock(other, fcntl.LOCK_EX)\n"
    )
    told, _ = one(tmp_path, before)
    assert len(told) == 2
    assert one(tmp_path)[0] == []


# Root gives up its right to write what may only be read; others have none. PR_CAPBSET_DROP is 24,
# CAP_DAC_OVERRIDE 1, and it is gone after exec.
AS_OTHERS = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", {code!r}])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="uses prctl")
@pytest.mark.parametrize("place", ["in NUMBA_CACHE_DIR", "beside the package"])
def test_a_cache_that_may_only_be_read_is_read(tmp_path, place):
    """As that of an image is, or of an installation by somebody else."""
    site, cache, no_folder = tmp_path / "site", tmp_path / "cache", tmp_path / "file"
    no_folder.write_text("")
    shutil.copytree(ROOT / "fastspline", site / "fastspline", ignore=lambda *_: ["__pycache__"])
    settings = {"PYTHONPATH": str(site), "HOME": str(no_folder), "XDG_CACHE_HOME": str(no_folder)}
    settings["NUMBA_CACHE_DIR"] = str(cache) if place == "in NUMBA_CACHE_DIR" else ""
    assert len(one(cache, settings=settings)[0]) == 2
    folders = [path for path in (site, *tmp_path.rglob("*")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        again = finish(start(AS_OTHERS.format(code=ONE.format(before="")), cache, settings))
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert again == ([], "")
