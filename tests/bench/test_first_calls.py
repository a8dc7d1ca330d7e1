"""The benchmark of first calls: what a process compiles, and what it loads; no times."""

import pytest

from bench import first_calls

ONE = (
    "from fastspline._kernels.tables import first_bad_knot",
    "first_bad_knot(x)",
    "first_bad_knot(x)",
)


@pytest.mark.outer  # builds a wheel
def test_a_cold_process_compiles_and_a_warm_one_loads_as_one_of_an_installation_does(tmp_path):
    first_calls.install(tmp_path)
    found = first_calls.time_calls(ONE, 1, tmp_path)
    kinds = ("cold", "warm", "installed")
    assert [found[f"compiled_{kind}"] for kind in kinds] == [1, 0, 0]
    assert [len(found[kind]) for kind in kinds] == [2, 2, 2]
    assert found["cold"][0] > found["cold"][1]  # of the second call little is to be seen


def test_the_table_tells_each_call_of_a_row():
    times = {"cold": [3.04, 0.5], "warm": [0.2, 0.012], "installed": [0.3, 0.02]}
    row = {**times, "compiled_cold": 17, "compiled_warm": 0, "compiled_installed": 0}
    imports = dict(zip(first_calls.IMPORTS, (0.02, 0.2, 0.23), strict=True))
    table = first_calls.tables({"rounds": 3, "imports": imports, "calls": {"one; two": row}})
    lines = table["first_calls"].splitlines()
    assert lines[2] == "| one; two | 17 | 3.0; 0.50 | 0.30; 0.02 | 0.20; 0.01 |"
    assert "`import fastspline`, which loads the rest when it is asked for: 0.02 s" in lines[-1]
    assert lines[-1].endswith(
        "`from fastspline import Smoother, smooth_spline`: 0.23 s, 1.15 times that."
    )
