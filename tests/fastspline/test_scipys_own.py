"""scipy's own tests of make_smoothing_spline, run on ours: what a changed import has to survive."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import fastspline

SWAP = """
from fastspline import make_smoothing_spline


def pytest_collection_modifyitems(items):
    for item in items:
        item.module.make_smoothing_spline = make_smoothing_spline
"""
KNOWN = {
    "test_invalid_input",
    "test_compare_with_GCVSPL",
    "test_non_regularized_case",
    "test_weighted_smoothing_spline",
}


def test_scipys_own_tests_pass(tmp_path):
    """In a process of its own: scipy's tests need scipy's fixtures and pytest's own settings."""
    (tmp_path / "swap.py").write_text(SWAP)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    tests = "scipy.interpolate.tests.test_bsplines::TestSmoothingSpline"
    options = ["-c", "pytest.ini", "-p", "swap", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, "--junitxml=report.xml", "--pyargs", tests]
    ours = {**os.environ, "PYTHONPATH": str(Path(fastspline.__file__).parents[1])}
    ran = subprocess.run(
        command, cwd=tmp_path, env=ours, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr  # also where scipy comes without its tests
    cases = list(ET.parse(tmp_path / "report.xml").iter("testcase"))
    assert {case.get("name", "").split("[")[0] for case in cases} >= KNOWN
    assert [case.get("name") for case in cases if len(case)] == [], "skipped"
