import subprocess
import sys

import pytest

import coded

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


@pytest.mark.parametrize("name", dir(coded))
def test_every_public_name_is_there(name):
    value = getattr(coded, name)
    assert value.__name__ == name
    assert value.__doc__


def test_names_are_listed_once_and_others_are_refused():
    assert sorted(set(coded.__all__)) == coded.__all__
    assert set(dir(coded)) - set(coded.__all__) == {"ProgressBar", "RayExecutor", "TorchWorker"}
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
