"""``python -m fastspline``: prints well, and fails where results are wrong."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from fastspline.__main__ import Row, check_all, eliminate, race, smooth_exactly, write_time
from tests.oracles.splines import ExactSmoother

ROOT = Path(__file__).parents[2]


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


def test_prints_what_is_here_and_that_it_is_right():
    ran = run("-m", "fastspline")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    lines = ran.stdout.splitlines()
    assert lines[0] == f"fastspline {version('fastspline')}"
    for name in ("numba", "numpy", "scipy"):
        assert f"{name} {version(name)}" in lines[1]
    assert lines[-1].startswith("OK: ")
    assert sum(line.endswith(" x") for line in lines) == 4
    assert sum(line.endswith(" %") for line in lines) == 1
    assert sum("ulps" in line for line in lines[:-1]) == len(check_all())
    assert all(len(line) <= 80 for line in lines if not line.startswith("  cache"))


WRONG = """
import sys
import fastspline.__main__ as page

class Wrong(page.fastspline.Smoother):
    def __init__(self, knots, *, lam):
        super().__init__(knots, lam=lam * (1 + 1e-9))

page.SECONDS = 0.0
page.fastspline.Smoother = Wrong
sys.exit(page.main([]))
"""


def test_fails_where_results_are_wrong():
    ran = run("-c", WRONG)
    assert (ran.returncode, ran.stderr) == (1, ""), ran.stdout
    assert "\nFAILED: an error exceeds" in ran.stdout
    assert "\nOK" not in ran.stdout


def test_refuses_options_and_an_interpreter_without_numba():
    ran = run("-m", "fastspline", "--fast")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--fast" in ran.stderr
    ran = run("-m", "fastspline", NUMBA_DISABLE_JIT="1")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "unset NUMBA_DISABLE_JIT" in ran.stderr


def test_compiles_what_an_image_needs_and_checks_nothing():
    """That it leaves nothing out is tested in test_import."""
    ran = run("-m", "fastspline", "--compile")
    assert (ran.returncode, ran.stderr) == (0, "")
    calls, cache = ran.stdout.splitlines()
    assert calls.startswith("first calls: ")
    assert Path(cache.removeprefix("numba's cache: ")).is_dir()


def test_errors_cover_the_solvers_of_equal_weights():
    rows = check_all()
    assert {row.solver for row in rows} == {"reinsch", "innovations"}
    assert all(row.passes for row in rows)


def test_nan_does_not_pass():
    assert Row(1.0, "reinsch", 1e-15, 1.0, 0.0).passes
    assert not Row(1.0, "reinsch", np.nan, 1.0, 0.0).passes
    assert not Row(1.0, "reinsch", 1e-15, np.nan, 0.0).passes


@pytest.mark.parametrize("lam", [0.0, 1e-3, 1e5])
def test_rational_arithmetic_equals_high_precision(lam, rng):
    knots, values = np.cumsum(rng.uniform(0.1, 2.0, 9)), rng.standard_normal((9, 2))
    points = np.concatenate([knots, (knots[1:] + knots[:-1]) / 2])
    expected = ExactSmoother(knots, lam=lam).evaluate(values, points)
    # The middle of a gap is rounded where it is a point, and not where it is a fraction.
    np.testing.assert_allclose(smooth_exactly(knots, values, lam), expected, rtol=0, atol=1e-14)


def test_eliminate_solves(rng):
    matrix = np.eye(6) * 4 + np.tri(6, 6, 2) * np.tri(6, 6, 2).T
    right = rng.standard_normal((6, 2))
    np.testing.assert_allclose(
        eliminate(matrix, right), np.linalg.solve(matrix, right), rtol=0, atol=1e-14
    )


def test_race_takes_turns():
    calls = []
    least = race(lambda: calls.append("ours"), lambda: calls.append("rival"))
    assert calls[:12] == ["ours", "rival", *["ours"] * 5, *["rival"] * 5]
    assert all(0.0 <= seconds < 0.1 for seconds in least)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.0, "2 s"), (0.0123456, "12.3 ms"), (1e-3, "1 ms"), (9.99e-7, "0.999 µs")],
)
def test_times_have_units(seconds, text):
    assert write_time(seconds) == text
