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
    parser.addoption("--race-groups", default="", metavar="GROUP,...", help="run these races alone")


def pytest_configure(config):
    is_recording = config.getoption("benchmark_enable") or not config.getoption("benchmark_disable")
    slowing = [name for name in SLOWS_BLAS if name in os.environ]
    if is_recording and slowing:
        raise pytest.UsageError(
            f"{' and '.join(slowing)} set: BLAS, a rival, may run with a slower kernel than it "
            f"has; unset first (env -u {' -u '.join(slowing)} ...), or use python -m bench.report "
            "record, which does"
        )


def pytest_collection_modifyitems(config, items):
    groups = set(filter(None, config.getoption("race_groups").split(",")))
    if groups:
        kept = [one for one in items if _group_of(one) in groups]
        config.hook.pytest_deselected(items=[one for one in items if one not in kept])
        items[:] = kept


def _group_of(item):
    marker = item.get_closest_marker("benchmark")
    return marker and marker.kwargs["group"]


@pytest.fixture
def race(benchmark, request):
    return Race(benchmark, request.config.getoption("race_seconds"))
