"""coded/README.md's call of models behind URLs, as printed: servers are killed, frozen, refuse."""

import asyncio
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import torch

from coded.digits.images import read_digits
from coded.digits.lenet5 import compute_serially, load
from tests.support.model_server import REFUSAL, logits_of
from tests.support.printed import printed
from tests.support.worker_functions import WAIT

pytestmark = pytest.mark.outer

ROOT = Path(__file__).parents[3]
SERVERS, REFUSING = 6, 5  # the last one refuses
SECONDS = 5.0  # in which a call ends; hedges come after 0.2 s, its timeout is 10 s
START = 90.0


@pytest.fixture(scope="module")
def images():
    return read_digits(0).inputs[: 2 * SERVERS]


@pytest.fixture(scope="module")
def expected(images):
    """The network's own answers, computed as the servers do."""
    threads = torch.get_num_threads()
    compute_serially()
    try:
        model = load()
        return np.array([logits_of(model, image.tolist()) for image in images])
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def servers():
    """The processes of six servers and their ports; none is left, whatever became of them."""
    command = [sys.executable, "-m", "tests.support.model_server"]
    with ExitStack() as stack:
        processes = []
        for n in range(SERVERS):
            processes.append(
                subprocess.Popen(
                    [*command, "refuse"] if n == REFUSING else command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    cwd=ROOT,
                )
            )
            stack.callback(end, processes[-1])
        yield processes, [int(one.stdout.readline()) for one in processes]


def end(process):
    process.kill()
    process.communicate(timeout=WAIT)


def run_printed(ports, images):
    """What the printed program defines, and its result."""
    names = {"urls": [f"http://127.0.0.1:{port}" for port in ports], "images": images}
    exec(compile("\n".join(printed("http servers")), "program", "exec"), names)
    return names


def strike(processes):
    """Kill one, freeze another; give the port's place of the frozen one."""
    killed, frozen = 0, 1
    processes[killed].kill()
    processes[killed].wait(WAIT)
    processes[frozen].send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + WAIT
    while psutil.Process(processes[frozen].pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return frozen


def check(result, expected):
    assert result.complete
    assert result.exact.all()
    assert np.array_equal(result.outputs, expected)


def connections_to(ports):
    """The ports to which this process has an open connection."""
    return {
        one.raddr.port
        for one in psutil.Process().net_connections("tcp")
        if one.raddr and one.raddr.port in ports and one.status == psutil.CONN_ESTABLISHED
    }


def test_the_printed_program_gets_exact_answers_from_those_that_live(servers, images, expected):
    processes, ports = servers
    strike(processes)
    began = time.perf_counter()
    result = run_printed(ports, images)["result"]
    assert time.perf_counter() - began < SECONDS
    check(result, expected)
    assert result.retries >= 1
    assert result.hedges >= 1
    assert isinstance(result.failures[0], httpx.ConnectError)
    assert f"{REFUSAL}" in str(result.failures[REFUSING])
    assert connections_to(ports) == set()


def test_servers_are_lost_between_calls_and_nothing_of_a_call_stays(servers, images, expected):
    """With connections that were open, the program's client and its call."""
    processes, ports = servers
    names = run_printed(ports, images)
    check(names["result"], expected)

    async def call_twice():
        async with names["open_client"]() as client:
            check(await names["call"](client, images), expected)
            assert connections_to(ports) >= {*ports[:REFUSING]}  # kept for the next call
            frozen = strike(processes)
            began = time.perf_counter()
            check(await names["call"](client, images), expected)
            assert time.perf_counter() - began < SECONDS
            deadline = time.monotonic() + 1.0
            while connections_to(ports) & {ports[frozen]} or len(asyncio.all_tasks()) > 1:
                assert time.monotonic() < deadline, (connections_to(ports), asyncio.all_tasks())
                await asyncio.sleep(0.01)
            assert connections_to(ports) >= {*ports[frozen + 1 : REFUSING]}  # of those that live

    asyncio.run(call_twice())
    assert connections_to(ports) == set()
