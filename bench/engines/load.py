"""One server under load while its workers are killed and frozen.

Requests come at a fixed rate from several threads. A latency counts from the moment at which the
request was due, so that a server that stalls is not asked less. Linux: processes are found by
/proc.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGSTOP, Signals
from typing import IO, Any, NamedTuple

import numpy as np

from bench.records import ROOT
from coded import TorchWorker
from coded.digits.images import Digits, read_digits
from coded.digits.lenet5 import compute_serially
from coded.digits.lenet5 import load as load_network

CLIENTS = 32
_CLASSES = 10
_GIVE_UP = 10.0  # seconds that a client waits
_START, _END = 180.0, 30.0  # longest waits for a server

Answer = dict[str, Any]  # "logits", "exact", "counters"


@dataclass(frozen=True)
class Load:
    """What happens to a server.

    Attributes
    ----------
    workers : int
        Worker processes.
    rate : float
        Requests a second.
    seconds : float
        How long.
    faults : sequence of (float, Signals)
        When which signal hits a worker, another one each time, in seconds, ascending.
    recovery : float
        Seconds after the last fault until its consequences count as over.
    """

    workers: int
    rate: float
    seconds: float
    faults: Sequence[tuple[float, Signals]]
    recovery: float

    def is_faulty(self, due: float) -> bool:
        """Whether a request is due between the first fault and the recovery from the last."""
        return self.faults[0][0] <= due < self.faults[-1][0] + self.recovery


@dataclass(frozen=True)
class Reply:
    """What became of a request; times in seconds, from the start of the load and from due."""

    due: float
    seconds: float
    failure: str = ""
    is_same: bool = False  # the label is the network's own
    is_exact: bool = False


@dataclass(frozen=True)
class Outcome:
    """One server under load.

    Attributes
    ----------
    replies : list of Reply
        In the order due.
    struck : list of (float, Signals, int)
        When which signal hit which process.
    before, after : set of int
        The worker processes before the load and at its end.
    orphans : list of int
        Processes that were still there when the server had ended, and were killed then.
    counts : dict of str to int
        What the model has counted, and "tasks", those that workers have begun.
    """

    replies: list[Reply]
    struck: list[tuple[float, Signals, int]]
    before: set[int]
    after: set[int]
    orphans: list[int]
    counts: dict[str, int]


class _Process(NamedTuple):
    state: str
    parent: int
    session: int


def _processes() -> dict[int, _Process]:
    """Look at all processes; zombies are none."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            state, parent, _, session = path.read_text().rpartition(")")[2].split()[:4]
            if state not in "ZX":
                found[int(path.parent.name)] = _Process(state, int(parent), int(session))
    return found


def _workers(session: int) -> list[int]:
    """Give the worker processes of a server: spawned by a process that the server has spawned."""
    processes = {pid: one for pid, one in _processes().items() if one.session == session}
    spawned = {pid for pid in processes if b"spawn_main" in _command(pid)}
    return sorted(pid for pid in spawned if processes[pid].parent in spawned)


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _members(session: int) -> list[int]:
    return sorted(pid for pid, one in _processes().items() if one.session == session)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Server:
    """A running server, in a session of its own, in which workers are groups of their own."""

    process: subprocess.Popen[bytes]
    url: str
    tasks: Path
    orphans: list[int]

    @property
    def session(self) -> int:
        return self.process.pid


@contextmanager
def serve(strategy: str, n_workers: int) -> Iterator[Server]:
    """Start a server, wait until it answers, and have all its processes gone at the end.

    Raises
    ------
    RuntimeError
        If it ends or does not answer in time; with what it wrote.
    """
    port = _free_port()
    module = "bench.engines.digit_server"
    with tempfile.TemporaryFile() as log, tempfile.NamedTemporaryFile() as tasks:
        process = subprocess.Popen(
            [sys.executable, "-m", module, strategy, str(port), str(n_workers), tasks.name],
            cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        server = Server(process, f"http://127.0.0.1:{port}", Path(tasks.name), [])
        try:
            _wait_until_up(server, log)
            yield server
        finally:
            server.orphans.extend(_end(process))


def _wait_until_up(server: Server, log: IO[bytes]) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and server.process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"{server.url}/health", timeout=2.0):
            return
        time.sleep(0.2)
    log.seek(0)
    raise RuntimeError(f"the server did not start:\n{log.read().decode(errors='replace')}")


def _end(process: subprocess.Popen[bytes]) -> list[int]:
    """End a server as Ctrl-C does; kill what that leaves, and give it."""
    process.send_signal(SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END)
    deadline = time.monotonic() + _END / 3
    while (orphans := _members(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in orphans:
        with suppress(ProcessLookupError):  # it ended with another one
            os.kill(pid, SIGKILL)
    if orphans:
        process.wait(_END)
    return orphans


def strike(loads: Mapping[str, Load], strategy: str = "coded") -> dict[str, Outcome]:
    """Run one server under one load after the other, and let its workers be killed and frozen."""
    compute_serially()
    network, outcomes = TorchWorker(load_network), {}
    (n_workers,) = {load.workers for load in loads.values()}
    with serve(strategy, n_workers) as server:
        for name, load in loads.items():
            digits = read_digits(0).batch(0, round(load.rate * load.seconds))
            # One by one, as the workers do: the logits are theirs to the last bit.
            labels = np.array([np.asarray(network(image)).argmax() for image in digits.inputs])
            outcomes[name] = _strike(server, load, Digits(digits.inputs, labels))
        after = outcomes[name].after
        os.kill(min(after), SIGSTOP)  # the server must end with a frozen worker too
    return outcomes


def _strike(server: Server, load: Load, digits: Digits) -> Outcome:
    before, counts = set(_workers(server.session)), _count(server, digits)
    replies: list[Reply] = []
    start = time.perf_counter() + 0.1
    clients = [
        threading.Thread(target=_client, args=(server.url, digits, load, start, i, replies))
        for i in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    struck: list[tuple[float, Signals, int]] = []
    for seconds, signal in load.faults:
        time.sleep(max(start + seconds - time.perf_counter(), 0.0))
        old = set(_workers(server.session)) & before - {pid for _, _, pid in struck}
        victim = min(old)
        os.kill(victim, signal)
        struck.append((time.perf_counter() - start, signal, victim))
    for client in clients:
        client.join()
    after = {pid for pid in _workers(server.session) if _processes()[pid].state != "T"}
    counts = {name: count - counts[name] for name, count in _count(server, digits).items()}
    replies.sort(key=lambda one: one.due)
    return Outcome(replies, struck, before, after, server.orphans, counts)


def _count(server: Server, digits: Digits) -> dict[str, int]:
    """Send a request, and give what the server has counted so far."""
    tasks = server.tasks.stat().st_size
    counters: dict[str, int] = _ask(server.url, digits, 0)["counters"]
    return counters | {"tasks": tasks}


def _client(
    url: str, digits: Digits, load: Load, start: float, first: int, replies: list[Reply]
) -> None:
    """Send every CLIENTS-th request when it is due, or as soon as the one before is answered."""
    for i in range(first, len(digits), CLIENTS):
        due = i / load.rate
        time.sleep(max(start + due - time.perf_counter(), 0.0))
        failure, answer = "", {"logits": [], "exact": False}
        try:
            answer = _ask(url, digits, i)
            if len(answer["logits"]) != _CLASSES:
                failure = f"{len(answer['logits'])} logits"
        except (OSError, ValueError) as error:  # HTTP's errors are OSErrors
            failure = f"{type(error).__name__}: {error}"
        replies.append(
            Reply(
                due=due,
                seconds=time.perf_counter() - start - due,
                failure=failure,
                is_same=not failure and bool(np.argmax(answer["logits"]) == digits.labels[i]),
                is_exact=not failure and answer["exact"],
            )
        )


def _ask(url: str, digits: Digits, i: int) -> Answer:
    """Send one request."""
    pixels = np.rint(255 * digits.inputs[i]).astype(np.uint8).tobytes()
    body = json.dumps({"pixels": base64.b64encode(pixels).decode()}).encode()
    request = urllib.request.Request(
        f"{url}/predict", body, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=_GIVE_UP) as response:
        answer: Answer = json.load(response)
    return answer
