import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import coded
import fastspline
from coded.extras import advise, is_installed, needing

ROOT = Path(__file__).parents[2]
HEAVY = ["numba", "torch", "ray", "dask", "distributed", "matplotlib", "scipy.stats"]


def test_import_coded_loads_nothing_heavy():
    code = f"import coded, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_published_code_loads_nothing_of_paths_and_copies():
    code = (
        "import sys, numpy as np\n"
        "from coded import SplineScheme\n"
        "scheme = SplineScheme.paper(4, 12).bind(np.eye(4))\n"
        "scheme.decode_with_std(scheme.encode(np.eye(4))[::2], range(0, 12, 2))\n"
        "print(*(name for name in sys.modules if name.startswith('coded.')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = result.stdout.split()
    assert "coded.schemes.layouts" in loaded
    needless = ("coded.nearness", "coded.places.placement", "coded.schemes.bound_layouts")
    assert not [name for name in loaded if name.startswith(needless)]


def test_where_nothing_is_lost_nothing_is_fitted():
    code = (
        "import sys, numpy as np\n"
        "from coded import KernelScheme\n"
        "scheme = KernelScheme(4, 8).bind(np.eye(4))\n"
        "outputs = scheme.decode(scheme.encode(np.eye(4)), range(8))\n"
        "assert np.array_equal(outputs, np.eye(4))\n"
        "print(*(name for name in sys.modules if name.startswith('coded.estimation')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = result.stdout.split()
    assert "coded.estimation.measured" in loaded
    assert "coded.estimation.fitted" not in loaded


@pytest.mark.parametrize("name", sorted({*dir(coded)} - {"__version__"}))
def test_every_public_name_is_there(name):
    value = getattr(coded, name)
    assert value.__name__ == name
    assert value.__doc__


def test_names_are_listed_once_and_others_are_refused():
    assert sorted(set(coded.__all__)) == coded.__all__
    layers = {"CodedConv2d", "CodedLinear", "coded_layer"}
    others = {"ProgressBar", "RayExecutor", "TorchWorker", "__version__"} | layers
    assert set(dir(coded)) - set(coded.__all__) == others
    with pytest.raises(AttributeError, match="module 'coded' has no attribute 'nothing'"):
        _ = coded.nothing


def test_everything_is_there_without_the_extras():
    program = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(['torch', 'ray', 'rich', 'matplotlib', 'distributed'])\n"
        "from coded import *\n"
        "print(MDSScheme(3, 5).n_workers)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "5\n"


@pytest.mark.parametrize(
    ("missing", "name", "what"),
    [
        ("ray", "RayExecutor", "RayExecutor needs"),
        ("rich", "ProgressBar", "ProgressBar needs"),
        ("torch", "TorchWorker", "TorchWorker needs"),
        ("torch", "CodedLinear", "Coded layers need"),
    ],
)
def test_help_shows_what_is_there_where_an_extra_is_missing(missing, name, what):
    program = (
        "import inspect, sys\n"
        f"sys.modules[{missing!r}] = None\n"
        "import coded\n"
        "assert 'SplineScheme' in dict(inspect.getmembers(coded))\n"
        "help(coded)\n"
        f"print('named', {name!r} in dir(coded))\n"
        "try:\n"
        f"    coded.{name}\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert "class SplineScheme" in done.stdout
    *_, named, told = done.stdout.splitlines()
    assert named == "named False"
    assert told.startswith(f"{what} {missing}, which is not installed; install the extra ")


def test_names_are_listed_without_importing_what_they_need():
    program = (
        "import coded, sys\n"
        "assert {'CodedLinear', 'ProgressBar', 'RayExecutor', 'TorchWorker'} <= set(dir(coded))\n"
        "print({'ray', 'rich', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"


def test_a_folder_of_its_name_is_no_package(tmp_path, monkeypatch):
    """Ray leaves one in the folder for temporary files."""
    (tmp_path / "nowhere_installed").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_installed("nowhere_installed")
    assert is_installed("numpy")


def test_a_package_that_is_there_and_broken_raises_its_own_error():
    with (
        pytest.raises(ModuleNotFoundError, match="nowhere_installed"),
        needing("f needs", "numpy", "x"),
    ):
        import nowhere_installed  # noqa: F401


def test_each_extra_that_messages_name_is_one():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    named = {
        name
        for file in (ROOT / "coded").rglob("*.py")
        for name in re.findall(
            r"""(?:extra=|advise\()["'](\w+)["']""", file.read_text(encoding="utf-8")
        )
    }
    assert named == {"demo", "ray", "torch"}
    assert named <= set(extras)
    assert advise("demo").endswith(
        'pip install "fastspline[demo]", or in a clone pip install ".[demo]"'
    )


UNINSTALLED = """
from importlib import metadata

def find_nothing(name):
    raise metadata.PackageNotFoundError(name)

metadata.distribution = find_nothing
import fastspline
print(fastspline.__version__)
"""


def test_both_packages_tell_the_version_of_the_project(tmp_path):
    """Installed, in a clone that is not, and copied into another program."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = tomllib.loads(text)["project"]["version"]
    assert fastspline.__version__ == coded.__version__ == version
    shutil.copytree(ROOT / "fastspline", tmp_path / "fastspline")
    for folder, expected in ((ROOT, version), (tmp_path, "0+unknown")):
        done = subprocess.run(
            [sys.executable, "-c", UNINSTALLED],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )
        assert done.stdout == f"{expected}\n"
