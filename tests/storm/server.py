"""A LitServe server over LocalWorkers, and a storm over it."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from typing import Any

import litserve
import numpy as np
import psutil
from fastapi import HTTPException

from coded import CodedModel, KernelScheme, LocalWorkers, NotEnoughRespondersError
from tests.storm.engines import (
    LOCAL_WEIGHTS,
    N_WORKERS,
    PATIENCE,
    PERILS,
    Engine,
    line,
    perilous,
    start_perilously,
    tormented,
)
from tests.storm.promises import LATE, Control, Report, draw_rows, find_leftovers, mark_processes
from tests.support.ports import free_port

CLIENTS = 8
SIZE = 100  # numbers in an answer
TIMEOUT = 1.0  # seconds, of a batch
_REFUSED = 503  # HTTP's status where workers did not suffice
BATCHES = 3  # the one that runs as a request comes, one that is queued, and its own
SERVED = TIMEOUT * BATCHES + LATE  # seconds that a request takes at most
_START, _END, _GIVE_UP = 60.0, 10.0, 15.0


class Lines(litserve.LitAPI):
    """Gives f of the rows in requests, by workers that misbehave."""

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe's signature)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        self.workers = LocalWorkers(N_WORKERS, initializer=start_perilously, patience=PATIENCE)
        f = partial(perilous, size=SIZE, peril=0.05, perils=list(PERILS), name="request")
        scheme = KernelScheme(N_WORKERS // 2, N_WORKERS)
        self.model = CodedModel(f, scheme, self.workers.executors, timeout=TIMEOUT)

    def decode_request(self, request: dict[str, list[float]]) -> np.ndarray:
        return np.array(request["row"])

    def predict(self, batch: np.ndarray) -> list[tuple[np.ndarray, np.bool_]]:
        try:
            answered = self.model.run(batch)
        except NotEnoughRespondersError as error:
            raise HTTPException(_REFUSED, str(error)) from error
        return list(zip(answered.outputs, answered.exact, strict=True))

    def encode_response(self, output: tuple[np.ndarray, np.bool_]) -> dict[str, Any]:
        return {"row": output[0].tolist(), "exact": bool(output[1])}


def serve(port: int) -> None:
    """Serve until interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    api = Lines(max_batch_size=N_WORKERS // 2, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run("127.0.0.1", port, num_api_servers=1, generate_client_file=False)


# ---- the storm


def storm_server(seconds: float, seed: int) -> Report:
    """Serve, let it storm over the workers, see whether they come back, and what is left."""
    mark_processes()
    report = Report(seed)
    rng = random.Random(seed)
    rngs = [random.Random(rng.random()) for _ in range(CLIENTS)]
    with Control() as control, _served(report) as (server, url):
        engine = Engine(
            executors=(),
            pids=partial(_find_workers, server),
            weights=LOCAL_WEIGHTS,
            gap=0.1,
            perils=list(PERILS),
            thaw=inf,
            settle=20.0,
        )
        client = Client(url, report, control)
        with tormented(engine, rng, report), ThreadPoolExecutor(CLIENTS) as pool:
            end = time.perf_counter() + seconds
            asking = [pool.submit(client.ask_until, end, one) for one in rngs]
        for one in asking:
            one.result()
        _settle(client, rng, engine, report)
    report.violations += find_leftovers({})
    return report


class Client:
    """Sends requests and judges what comes."""

    def __init__(self, url: str, report: Report, control: Control) -> None:
        self._url, self._report, self._control = url, report, control
        self._lock = threading.Lock()

    def ask_until(self, end: float, rng: random.Random) -> None:
        """Ask again and again."""
        while time.perf_counter() < end:
            self.ask(rng)

    def ask(self, rng: random.Random) -> str:
        """Ask once; give what kind of reply came."""
        (row,) = draw_rows(rng, 1)
        began = time.perf_counter()
        kind, broken = "refused", []
        try:
            kind, broken = _judge(row, _post(self._url, {"row": row.tolist()}))
        except urllib.error.HTTPError as error:
            if error.code != _REFUSED:
                broken = [f"HTTP {error.code}: {error.read().decode(errors='replace')}"]
        except OSError as error:
            broken = [f"no reply: {error!r}"]
        seconds = time.perf_counter() - began
        stall = self._control.stall(began)
        if seconds > SERVED + stall:
            broken.append(f"reply after {seconds:.3f} s, this machine stalled for {stall:.3f} s")
        with self._lock:
            self._report.calls[kind] += 1
            self._report.overrun = max(self._report.overrun, seconds - SERVED + LATE - stall)
            self._report.violations += [f"request {row.tolist()}: {one}" for one in broken]
        return "broken" if broken else kind


def _judge(row: np.ndarray, reply: dict[str, Any]) -> tuple[str, list[str]]:
    """Give the kind of a reply and what is wrong with it: exact ones have to be f, bit for bit."""
    answer, expected = np.array(reply["row"]), line(row, SIZE)
    if reply["exact"]:
        return "exact", [] if np.array_equal(answer, expected) else [f"exact, but is {answer}"]
    # Estimates are means of answers, some with weights beyond 1; none of those exceeds SIZE.
    reasonable = answer.shape == expected.shape and np.abs(answer).max() < 10.0 * SIZE
    return "estimated", [] if reasonable else [f"estimated as {answer}"]


def _post(url: str, content: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}/predict", json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=_GIVE_UP) as response:
        return dict(json.load(response))


def _settle(client: Client, rng: random.Random, engine: Engine, report: Report) -> None:
    """Ask until replies are exact and all workers are there, none of them frozen."""
    end = time.perf_counter() + engine.settle
    while client.ask(rng) != "exact" or _count_well(engine.pids()) != N_WORKERS:
        if time.perf_counter() > end:
            report.violations.append(f"not all workers were back after {engine.settle:g} s")
            return


def _count_well(pids: list[int]) -> int:
    count = 0
    for pid in pids:
        with suppress(psutil.Error):
            count += psutil.Process(pid).status() != psutil.STATUS_STOPPED
    return count


@contextmanager
def _served(report: Report) -> Iterator[tuple[psutil.Process, str]]:
    """A server and its address; at the end Ctrl-C, and no complaint of anybody."""
    port = free_port()
    # Not by -m: what starts a program is started again in each process that it spawns.
    program = f"from tests.storm.server import serve; serve({port})"
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [sys.executable, "-c", program], stdout=log, stderr=log, start_new_session=True
        )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_until_up(server, url)
            yield psutil.Process(server.pid), url
        finally:
            server.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                server.wait(_END)
            log.seek(0)
            _, complaint, told = log.read().decode(errors="replace").partition("Traceback")
            if complaint:
                report.violations.append(f"the server complained: {complaint}{told}")


def _wait_until_up(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _START
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2.0):
            return
        time.sleep(0.1)
    raise RuntimeError("the server did not start")


def _find_workers(server: psutil.Process) -> list[int]:
    """Give the processes of LocalWorkers: spawned by one that was spawned."""
    commands = {}
    for process in server.children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            commands[process.pid] = process.ppid(), process.cmdline()
    found = []
    for pid, (parent, command) in commands.items():
        _, above = commands.get(parent, (0, []))
        # One between fork and exec, which has its parent's command, is not to be frozen.
        if "spawn_main" in str(command) and "spawn_main" in str(above) and command != above:
            found.append(pid)
    return found
