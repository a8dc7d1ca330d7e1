import os
import secrets
import signal

import numpy as np
import pytest
from hypothesis import settings

# CI runs the same examples each time, and then once more `drawn` ones, by a seed that it prints.
settings.register_profile("drawn", deadline=None, print_blob=True, derandomize=False)
settings.register_profile(
    "house", settings.get_profile("drawn"), derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("house")


@pytest.fixture
def rng():
    return np.random.default_rng(20240601)


@pytest.hookimpl(tryfirst=True)  # before hypothesis reads its seed
def pytest_configure(config):
    """Choose a seed for drawn examples, unless one is given, and take Ctrl-C as from a terminal.

    Background shells ignore it, and programs inherit that.
    """
    drawn = config.getoption("--hypothesis-profile") == "drawn"
    if drawn and config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(secrets.randbelow(1 << 32))
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config):
    """Tell the seed, which draws the same examples again."""
    seed = config.getoption("--hypothesis-seed")
    return None if seed is None else f"examples drawn by --hypothesis-seed={seed}"
