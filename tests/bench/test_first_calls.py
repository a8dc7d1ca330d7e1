"""The benchmark of first calls: what a process compiles, and what it loads; no times."""

from bench import first_calls

ONE = (
    "from fastspline._kernels.tables import first_bad_knot",
    "first_bad_knot(x)",
    "first_bad_knot(x)",
)


def test_a_cold_process_compiles_and_a_warm_one_loads():
    found = first_calls.time_calls(ONE, 1)
    assert (found["compiled"], found["compiled_again"]) == (1, 0)
    assert len(found["cold"]) == len(found["warm"]) == 2
    assert found["cold"][0] > found["cold"][1]  # of the second call little is to be seen


def test_the_table_tells_each_call_of_a_row():
    row = {"cold": [3.04, 0.5], "warm": [0.2, 0.012], "compiled": 17, "compiled_again": 0}
    imports = {"numba": 0.2, "fastspline": 0.23}
    table = first_calls.tables({"rounds": 3, "imports": imports, "calls": {"one; two": row}})
    lines = table["first_calls"].splitlines()
    assert lines[2] == "| one; two | 17 | 3.0; 0.50 | 0.20; 0.01 |"
    assert lines[-1].endswith("`import fastspline`: 0.23 s, 1.15 times `import numba`.")
