"""A model server under load while workers die and freeze.

Starts each of the servers of `digit_server`, sends it requests at a fixed rate from several
threads, and kills and freezes worker processes meanwhile. A latency counts from the moment at
which the request was due, so that a server that stalls is not asked less. ``--quick`` loads the
coded server for seconds. Linux: processes are found by /proc.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGSTOP, Signals
from typing import IO, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.experiments import main
from bench.records import ROOT
from coded.digits.images import Digits, read_digits

PICTURE = "serving.png"
STRATEGIES = ("coded", "one worker", "hedged")
CLIENTS = 16
_CLASSES = 10
_GIVE_UP = 10.0  # seconds that a client waits
_START, _END = 180.0, 30.0  # longest waits for a server


Numbers = dict[str, Any]


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

    @property
    def phases(self) -> dict[str, tuple[float, float]]:
        """Seconds from and to."""
        first, last = self.faults[0][0], self.faults[-1][0] + self.recovery
        return {"before": (0.0, first), "during": (first, last), "after": (last, self.seconds)}


FULL = Load(
    workers=8,
    rate=30.0,
    seconds=45.0,
    faults=((10.0, SIGKILL), (15.0, SIGSTOP), (20.0, SIGKILL), (25.0, SIGSTOP)),
    recovery=8.0,
)
QUICK = Load(
    workers=6, rate=20.0, seconds=6.0, faults=((1.0, SIGKILL), (2.5, SIGSTOP)), recovery=2.0
)


@dataclass(frozen=True)
class Reply:
    """What became of a request; times in seconds, from the start of the load and from due."""

    due: float
    seconds: float
    failure: str = ""
    is_shaped: bool = False
    is_right: bool = False


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
    """

    replies: list[Reply]
    struck: list[tuple[float, Signals, int]]
    before: set[int]
    after: set[int]
    orphans: list[int]


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
    command = [
        sys.executable,
        "-m",
        "bench.engines.digit_server",
        strategy,
        str(port),
        str(n_workers),
    ]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
        server = Server(process, f"http://127.0.0.1:{port}", [])
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


def strike(load: Load, strategy: str = "coded") -> Outcome:
    """Run one server under load, and let its workers be killed and frozen."""
    digits = read_digits(0).batch(0, round(load.rate * load.seconds))
    with serve(strategy, load.workers) as server:
        before = set(_workers(server.session))
        _ask(server.url, digits, 0)  # the server's own first use
        replies: list[Reply] = []
        start = time.perf_counter() + 0.1
        clients = [
            threading.Thread(target=_client, args=(server.url, digits, load, start, i, replies))
            for i in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        struck = []
        for seconds, signal in load.faults:
            time.sleep(max(start + seconds - time.perf_counter(), 0.0))
            old = set(_workers(server.session)) & before - {pid for _, _, pid in struck}
            victim = min(old)
            os.kill(victim, signal)
            struck.append((time.perf_counter() - start, signal, victim))
        for client in clients:
            client.join()
        after = {pid for pid in _workers(server.session) if _processes()[pid].state != "T"}
        os.kill(min(after), SIGSTOP)  # the server must end with a frozen worker too
    return Outcome(sorted(replies, key=lambda one: one.due), struck, before, after, server.orphans)


def _client(
    url: str, digits: Digits, load: Load, start: float, first: int, replies: list[Reply]
) -> None:
    """Send every CLIENTS-th request when it is due, or as soon as the one before is answered."""
    for i in range(first, len(digits), CLIENTS):
        due = i / load.rate
        time.sleep(max(start + due - time.perf_counter(), 0.0))
        failure, logits = "", np.empty(0)
        try:
            logits = _ask(url, digits, i)
        except (OSError, ValueError) as error:  # HTTP's errors are OSErrors
            failure = f"{type(error).__name__}: {error}"
        replies.append(
            Reply(
                due=due,
                seconds=time.perf_counter() - start - due,
                failure=failure,
                is_shaped=logits.shape == (_CLASSES,),
                is_right=logits.size > 0 and bool(logits.argmax() == digits.labels[i]),
            )
        )


def _ask(url: str, digits: Digits, i: int) -> np.ndarray:
    """Send one request."""
    pixels = np.rint(255 * digits.inputs[i]).astype(np.uint8).tobytes()
    body = json.dumps({"pixels": base64.b64encode(pixels).decode()}).encode()
    request = urllib.request.Request(
        f"{url}/predict", body, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=_GIVE_UP) as response:
        return np.array(json.load(response)["logits"], dtype=float)


def run(*, quick: bool) -> Numbers:
    """Load all servers, or the coded one for seconds."""
    load, strategies = (QUICK, STRATEGIES[:1]) if quick else (FULL, STRATEGIES)
    return {
        "load": asdict(load),
        "servers": {strategy: summarise(strike(load, strategy)) for strategy in strategies},
    }


def summarise(outcome: Outcome) -> Numbers:
    """Keep every reply, and when which signal struck."""
    replies = [
        [one.due, round(one.seconds, 5), one.failure, one.is_shaped, one.is_right]
        for one in outcome.replies
    ]
    return {
        "replies": replies,
        "struck": [[round(at, 3), int(signal)] for at, signal, _ in outcome.struck],
    }


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the table."""
    load, servers = restore(numbers)
    return {"serving": f"{tell(load, servers)}\n\n{caption(load)}"}


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw latency over time, one panel a server, faults as lines."""
    return {PICTURE: draw_latencies(restore(numbers)[1])}


def restore(numbers: Numbers) -> tuple[Load, dict[str, Outcome]]:
    """Give load and outcomes of a record, without the processes' ids, which say nothing later."""
    faults = tuple((at, Signals(signal)) for at, signal in numbers["load"]["faults"])
    servers = {
        strategy: Outcome(
            [Reply(*reply) for reply in server["replies"]],
            [(at, Signals(signal), 0) for at, signal in server["struck"]],
            set(),
            set(),
            [],
        )
        for strategy, server in numbers["servers"].items()
    }
    return Load(**numbers["load"] | {"faults": faults}), servers


def tell(load: Load, outcomes: dict[str, Outcome]) -> str:
    """Make the table."""
    header = ["server", "phase", "sent", "lost", "wrong shape", "accuracy"]
    header += ["median s", "p99 s", "worst s"]
    rows = []
    for strategy, outcome in outcomes.items():
        for phase, (start, stop) in load.phases.items():
            replies = [one for one in outcome.replies if start <= one.due < stop]
            answered = [one for one in replies if not one.failure]
            seconds = np.array([one.seconds for one in replies])
            rows.append(
                [
                    strategy,
                    phase,
                    str(len(replies)),
                    str(len(replies) - len(answered)),
                    str(sum(not one.is_shaped for one in answered)),
                    f"{np.mean([one.is_right for one in replies]):.3f}",
                    *(
                        f"{value:.3f}"
                        for value in (*np.quantile(seconds, [0.5, 0.99]), seconds.max())
                    ),
                ]
            )
    return to_markdown(header, rows, words=2)


def caption(load: Load) -> str:
    """Say what was done."""
    from bench.engines.digit_server import BATCH, HEDGE, SERVICE, TIMEOUT

    k, n = load.workers // 2, load.workers
    kinds = ", ".join(f"{name.name} at {at:g} s" for at, name in load.faults)
    start, stop = load.phases["during"]
    return (
        f"LitServe with LeNet5 (made to take {1000 * SERVICE:g} ms) on {n} worker processes, "
        f"{load.rate:g} requests a second for {load.seconds:g} s; latencies count from when a "
        f"request was due, lost ones included, which count as wrong. A worker process is struck "
        f"by {kinds}; during: from {start:g} to {stop:g} s. All servers replace dead workers, and "
        f"those at a task for {TIMEOUT:g} s. Coded: batches of up to {k} requests within "
        f"{1000 * BATCH:g} ms, KernelScheme({k}, {n}, n_stragglers={3 * n // 8}). One worker: an "
        f"idle one in turn, waited for {TIMEOUT:g} s. Hedged: another idle one is asked when one "
        f"fails, and after {HEDGE:g} s; the first answer counts."
    )


def draw_latencies(outcomes: dict[str, Outcome]) -> Figure:
    """Draw latency over time, one panel a server, faults as lines."""
    figure = Figure(figsize=(9, 2.2 * len(outcomes)), dpi=100, layout="constrained")
    panels = figure.subplots(len(outcomes), sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, (strategy, outcome) in zip(panels, outcomes.items(), strict=True):
        for is_lost, colour, marker in ((False, "tab:blue", "."), (True, "tab:red", "x")):
            replies = [one for one in outcome.replies if bool(one.failure) == is_lost]
            if not replies:
                continue
            name = f"{len(replies)} {'lost' if is_lost else 'answered'}"
            due, seconds = ([getattr(one, what) for one in replies] for what in ("due", "seconds"))
            panel.scatter(due, seconds, s=12 + 20 * is_lost, c=colour, marker=marker, label=name)
        for at, signal, _ in outcome.struck:
            panel.axvline(at, color="black", linewidth=0.8, linestyle=":")
            panel.annotate(
                "killed" if signal == SIGKILL else "frozen",
                (at, 0.0),
                xycoords=("data", "axes fraction"),
                xytext=(2, 3),
                textcoords="offset points",
                fontsize=8,
            )
        panel.set_yscale("log")
        panel.set_title(strategy, loc="left", fontsize=10)
        panel.set_ylabel("latency in s")
        panel.legend(loc="upper left", fontsize=8)
    panels[-1].set_xlabel("request due, s")
    return figure


if __name__ == "__main__":
    main("serving")
