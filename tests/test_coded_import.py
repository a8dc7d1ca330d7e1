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


@pytest.mark.parametrize("name", coded.__all__)
def test_every_public_name_is_there(name):
    value = getattr(coded, name)
    assert value.__name__ == name
    assert value.__doc__


def test_names_are_listed_once_and_others_are_refused():
    assert sorted(set(coded.__all__)) == coded.__all__ == dir(coded)
    with pytest.raises(AttributeError, match="module 'coded' has no attribute 'nothing'"):
        _ = coded.nothing
