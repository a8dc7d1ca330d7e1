import os
import signal

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile(
    "house", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("house")


@pytest.fixture
def rng():
    return np.random.default_rng(20240601)


def pytest_configure():
    """Take Ctrl-C as from a terminal: background shells ignore it, and programs inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
