import os
import secrets
import signal

import numpy as np
import pytest
from hypothesis import settings

from fastspline._threads import usable_cpus

# CI runs the same examples each time, and then once more `drawn` ones, by a seed that it prints.
settings.register_profile("drawn", deadline=None, print_blob=True, derandomize=False)
settings.register_profile(
    "house", settings.get_profile("drawn"), derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("house")

AT_MOST = 4  # processes; each holds torch, and many tests start workers of their own
WAITING = (  # they start workers and wait for them, and would wait longer beside each other
    "tests/coded/workers/",
    "tests/coded/demo/",
    "tests/coded/runtime/test_lateness.py",
    "tests/bench/test_serving.py",
    "tests/bench/test_traffic.py",
)


@pytest.fixture
def rng():
    return np.random.default_rng(20240601)


@pytest.hookimpl(tryfirst=True)  # before hypothesis reads its seed
def pytest_configure(config):
    """Choose a seed for drawn examples, unless one is given, and take Ctrl-C as from a terminal.

    Background shells ignore it, and programs inherit that.
    """
    if hasattr(config, "workerinput"):
        config.option.hypothesis_seed = config.workerinput["seed"]
    drawn = config.getoption("--hypothesis-profile") == "drawn"
    if drawn and config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(secrets.randbelow(1 << 32))
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Give each process the seed that is told."""
    node.workerinput["seed"] = node.config.getoption("--hypothesis-seed")


def pytest_report_header(config):
    """Tell the seed, which draws the same examples again."""
    seed = config.getoption("--hypothesis-seed")
    return None if seed is None else f"examples drawn by --hypothesis-seed={seed}"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Give the whole suite, or a lane of it, a process a core; what somebody names runs plainly."""
    given = config.option
    is_whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS and not given.keyword
    is_watched = given.usepdb or given.collectonly or given.capture == "no"
    is_open = getattr(given, "numprocesses", 0) is None and not hasattr(config, "workerinput")
    if is_open and is_whole and not is_watched:
        given.numprocesses = min(usable_cpus(), AT_MOST)
        given.loadscopereorder = False
        given.maxworkerrestart = "0"  # else a test that hangs is begun anew by one after the other


def pytest_collection_modifyitems(config, items):
    """Of several processes, let one begin with the tests that wait: they take the longest."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(WAITING))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Deal out files, for their tests share what is started; all that wait go to one process."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "waiting" if nodeid.startswith(WAITING) else super()._split_scope(nodeid)

    return Files(config, log)
