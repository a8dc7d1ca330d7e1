"""The `race` fixture: repeats of all competitors interleaved, min of each, ratios recorded."""

import os

import pytest

from bench.races.beside import SLOWS_BLAS
from bench.races.race import Race


def pytest_addoption(parser):
    parser.addoption(
        "--race-seconds",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="how long each race of a recorded run lasts at least (default 2)",
    )


def pytest_configure(config):
    is_recording = config.getoption("benchmark_enable") or not config.getoption("benchmark_disable")
    slowing = [name for name in SLOWS_BLAS if name in os.environ]
    if is_recording and slowing:
        raise pytest.UsageError(
            f"{' and '.join(slowing)} set: BLAS, a rival, may run with a slower kernel than it "
            f"has; unset first (env -u {' -u '.join(slowing)} ...), or use python -m bench.report "
            "record, which does"
        )


@pytest.fixture
def race(benchmark, request):
    return Race(benchmark, request.config.getoption("race_seconds"))
