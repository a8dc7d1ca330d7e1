"""coded/README.md's services for LitServe, BentoML and Ray Serve, run as printed.

At batches of 1 to 16, while workers die under load, and to their end.
"""

import importlib
import os
import signal
import threading
import time

import psutil
import pytest

from coded import TorchWorker
from coded.digits.images import read_digits
from coded.digits.lenet5 import load
from tests.support.printed import printed
from tests.support.served import FRAMEWORKS, N_WORKERS, START, served
from tests.support.worker_functions import is_running

pytestmark = pytest.mark.outer

LARGEST = 16  # images at once
CLIENTS, EACH, PAUSE = 8, 40, 0.05  # requests of each client, and the seconds between them


@pytest.fixture(scope="module")
def images():
    return read_digits(0).batch(0, CLIENTS * EACH).inputs


@pytest.fixture(scope="module")
def digits(images):
    """What the network itself says of each image, in this process."""
    return TorchWorker(load, batched=True)(images).argmax(axis=1)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_every_request_gets_its_digit_in_batches_and_while_workers_fail(
    name, images, digits, tmp_path
):
    with served(name, tmp_path) as server:
        server.wait_until_up(images[0])
        before = server.workers()
        assert len(before) == N_WORKERS
        check_batches(server, images, digits)
        replies, failures = ask_while_workers_fail(server, images, before)
        after = server.workers()
        os.kill(min(after), signal.SIGSTOP)  # the server must end with a frozen worker too
    assert failures == []
    assert [reply["digit"] for reply in replies] == digits.tolist()
    assert all(reply["exact"] for reply in replies)
    assert len(after) == N_WORKERS
    assert not any(is_running(pid) for pid in before | after)


def check_batches(server, images, digits):
    """Nobody fails: all digits are the network's own, whatever the size of a batch."""
    first = 0
    for size in range(1, LARGEST + 1):
        replies = server.ask(images[first : first + size])
        assert [reply["digit"] for reply in replies] == digits[first : first + size].tolist()
        assert all(reply["exact"] for reply in replies)
        first += size


def ask_while_workers_fail(server, images, workers):
    """Several clients ask; one worker is killed, one freezes; give replies and failed requests."""
    replies, failures = [None] * len(images), []

    def send(first):
        for i in range(first, len(images), CLIENTS):
            try:
                (replies[i],) = server.ask(images[i : i + 1])
            except (OSError, ValueError) as error:
                failures.append(f"{i}: {error!r}")
            time.sleep(PAUSE)

    clients = [threading.Thread(target=send, args=(i,)) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    killed, frozen, *_ = sorted(workers)
    time.sleep(0.5)
    os.kill(killed, signal.SIGKILL)
    os.kill(frozen, signal.SIGSTOP)
    for client in clients:
        client.join()
    server.wait_until_replaced({killed, frozen}, images[0])
    return replies, failures


def test_what_hangs_at_all_workers_of_an_input_is_answered_by_others(
    images, digits, tmp_path, monkeypatch
):
    (tmp_path / "digits.py").write_text("\n".join(printed("digits")))
    monkeypatch.syspath_prepend(tmp_path)
    service = importlib.import_module("digits")
    model, workers = service.start()
    with workers:
        service.name(model, images[:8])
        for pid in workers.pids[:3]:  # each of the two inputs of a group has three neighbours
            os.kill(pid, signal.SIGSTOP)
        for first in range(8, 72, 8):
            replies = service.name(model, images[first : first + 8])
            assert [reply["digit"] for reply in replies] == digits[first : first + 8].tolist()
            assert all(reply["exact"] for reply in replies)
    assert model.counters["estimates"] == 0


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize("is_up", [True, False], ids=["up", "as workers start"])
def test_kill_ends_all_processes(name, is_up, images, tmp_path):
    """By SIGTERM to the one process that was started, as by `kill PID`, docker and systemd."""
    with served(name, tmp_path, signal.SIGTERM) as server:
        if is_up:
            server.wait_until_up(images[0])
            psutil.Process(min(server.workers())).suspend()
        else:
            deadline = time.monotonic() + START
            while not server.workers():
                assert time.monotonic() < deadline
                time.sleep(0.05)
