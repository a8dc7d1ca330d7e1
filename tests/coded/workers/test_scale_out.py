"""coded/README.md's programs for processes and clusters, run as printed on one machine."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.ports import free_port
from tests.support.printed import printed
from tests.support.worker_functions import WAIT, wait_until_gone

pytestmark = pytest.mark.outer

PROGRAM = """
import sys
import numpy as np
{imports}
from coded import RayExecutor, ReplicationScheme, balanced_copies, coded_map

def f(coded_input):
    return np.sin(coded_input)

address = sys.argv[1]
{lines}
    assert result.complete, result
    assert result.exact.all(), result
    assert result.outputs.tolist() == [f(x) for x in inputs], result
print("executors:", len({executors}))
print("used:", len(set(result.responders % len({executors}))))
"""
SIZES = """
for K in range(1, 17):
    inputs, placement = np.linspace(0.0, 3.0, K), balanced_copies(K, 2 * K, n_executors=2)
    scheme = ReplicationScheme(K, 2 * K, placement=placement)
"""


def wait_for_listener(port):
    deadline = time.monotonic() + WAIT
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=WAIT).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def place(tmp_path):
    """The environment of the printed commands."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ray_folder = tempfile.mkdtemp(prefix="ray")  # short, for it holds sockets
    yield {name: os.environ[name] for name in os.environ if not name.startswith("RAY_AUTH")} | {
        "PATH": path,
        "RAY_TMPDIR": ray_folder,
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)]),
        "HOME": str(tmp_path),
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    shutil.rmtree(ray_folder)


@contextmanager
def started(command, place, **more):
    """A process that runs one printed line, with all its children, until the end of the block."""
    shell = subprocess.Popen(
        ["bash", "-c", command],
        env=place | more,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield psutil.Process(shell.pid)
    finally:
        family = find_family(psutil.Process(shell.pid)) if shell.poll() is None else []
        shell.terminate()
        try:
            shell.wait(WAIT)
            wait_until_gone([process.pid for process in family])
        finally:
            kill(family)


def find_family(process):
    return [process, *process.children(recursive=True)]


def kill(family):
    for process in family:
        if process.is_running():
            process.kill()


@contextmanager
def frozen(family):
    """Processes that hear nobody within the block."""
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in family:
            process.resume()


def call(program, place, *arguments):
    """Run the program; give what it printed."""
    done = subprocess.run(
        [sys.executable, program, *arguments],
        env=place,
        capture_output=True,
        text=True,
        timeout=2 * WAIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def call_at_cluster(program, place):
    return call(program, place, f"{place['HOST']}:{place['PORT']}")


def call_until(executors, program, place):
    """Run the program until it sees so many executors: processes need a while to find together."""
    deadline = time.monotonic() + 2 * WAIT
    while time.monotonic() < deadline:
        try:
            text = call_at_cluster(program, place)
        except AssertionError as error:  # nobody listens yet
            text = str(error)
        if f"executors: {executors}\n" in text:
            return text
        time.sleep(0.2)
    raise TimeoutError(f"the program never saw {executors} executors; at last: {text}")


def write(tmp_path, engine, module, executors):
    program = tmp_path / "program.py"
    lines = "\n".join(printed(f"{engine} program"))
    connect, begin, call = lines.partition("result = ")
    lines = connect + SIZES + textwrap.indent(begin + call, "    ")
    program.write_text(PROGRAM.format(imports=f"import {module}", lines=lines, executors=executors))
    return program


def test_a_killed_worker(place, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("\n".join(printed("killed worker")))
    text = call(program, place)
    assert "complete=True, responders=4 of 6, failures=1, exact=3 of 3" in text
    assert "worker   0  BrokenProcessPool: the process of this worker was killed by SIGKILL" in text
    assert "worker   1  not waited for" in text


@pytest.mark.parametrize("is_frozen", [False, True], ids=["killed", "frozen"])
def test_dask(is_frozen, place, tmp_path):
    scheduler, worker = printed("dask processes")
    program = write(tmp_path, "dask", "distributed", "workers")
    with (
        started(scheduler, place),
        started(worker, place, NAME="w1"),
        started(worker, place, NAME="w2") as second,
    ):
        assert "complete=True" in call_until(2, program, place)
        if is_frozen:
            with frozen(find_family(second)):
                text = call_at_cluster(program, place)
            assert "executors: 2\nused: 1\n" in text
        else:
            kill(find_family(second))
            text = call_until(1, program, place)
        assert "complete=True" in text


@pytest.mark.parametrize("has_token", [False, True], ids=["a fresh home", "a token is there"])
def test_ray(has_token, place, tmp_path):
    prepare, head, node = printed("ray processes")
    program = write(tmp_path, "ray", "ray", "nodes")
    if has_token:  # then a head asks for it, though nobody has said so
        subprocess.run(["ray", "get-auth-token", "--generate"], env=place, check=True)
    with started(f"{prepare}; {head}", place):
        wait_for_listener(int(place["PORT"]))
        place["RAY_AUTH_MODE"] = "token"  # what `prepare` exports, in the program's shell
        with started(f"{prepare}; {node}", place) as second:
            assert "complete=True" in call_until(2, program, place)
            kill(find_family(second))
            text = call_at_cluster(program, place)  # at once, before Ray knows
    assert "complete=True" in text
    assert "executors: 2\nused: 1\n" in text
