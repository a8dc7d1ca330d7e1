import os
import signal

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile(
    "house", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("house")


# What starts clusters, servers and many processes, runs experiments, or takes long.
OUTER = {
    *(
        "test_behind",
        "test_dask",
        "test_demo",
        "test_engines",
        "test_exit",
        "test_faults",
        "test_installed",
        "test_local_workers",
    ),
    *("test_mpi", "test_ray", "test_scale_out", "test_serving", "test_serving_frameworks"),
    *("test_storm", "test_supervisor", "test_traffic", "test_training", "test_exactness"),
}


def pytest_collection_modifyitems(items):
    """Mark the outer lane: developers leave it out by ``-m "not outer"``, CI runs all."""
    for item in items:
        name = item.path.stem
        if name in OUTER or name.startswith("test_science_"):
            item.add_marker(pytest.mark.outer)


@pytest.fixture
def rng():
    return np.random.default_rng(20240601)


def pytest_configure():
    """Take Ctrl-C as from a terminal: background shells ignore it, and programs inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
