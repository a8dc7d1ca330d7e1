"""coded/README.md's services as printed, for a minute: ``python -m tests.storm.recipes litserve``.

First batches of 1 to 16 images while nobody fails, then requests at an even rate while workers are
killed and frozen, in turn; then Ctrl-C, with a frozen worker. Tells how many digits differ from the
network's own, how many of those were called exact, which requests were lost, and how long replies
and the end took. Exits with 1 if a digit changed while nobody failed, or one that is called exact,
or if processes were left. A request counts from when it was due.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGSTOP
from typing import Any

import numpy as np

from coded import TorchWorker
from coded.digits.images import read_digits
from coded.digits.lenet5 import load
from tests.support.served import FRAMEWORKS, Server, served

LARGEST = 16  # images at once
_N_IMAGES, _CLIENTS = 500, 256  # more than requests are due while one is waited for


@dataclass
class Report:
    """What became of the requests."""

    calm: Counter[str] = field(default_factory=Counter)  # while nobody fails, by kind of reply
    stormy: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)  # of replies while workers fail
    signals: Counter[str] = field(default_factory=Counter)
    ended: float = 0.0  # seconds from Ctrl-C until no process was left

    @property
    def is_good(self) -> bool:
        """Whether what the README promises was kept."""
        return set(self.calm) == {"right, exact"} and not self.stormy["wrong, exact"]

    def __str__(self) -> str:
        """Counts, and quantiles in seconds."""
        p50, p99, worst = np.quantile(self.seconds, [0.5, 0.99, 1.0])
        return (
            f"nobody fails: {dict(self.calm)}; while workers fail {dict(self.signals)}: "
            f"{dict(self.stormy)}, p50 {p50:.3f} s, p99 {p99:.3f} s, worst {worst:.3f} s; "
            f"ended in {self.ended:.1f} s"
        )


class Clients:
    """Images, what the network itself says of them, and what the replies say."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.images = read_digits(0).batch(0, _N_IMAGES).inputs
        self._digits = TorchWorker(load, batched=True)(self.images).argmax(axis=1)
        self._lock = threading.Lock()

    def ask_in_batches(self, server: Server) -> None:
        """Ask for all sizes of batches, three times."""
        rng = np.random.default_rng(0)
        for size in [*range(1, LARGEST + 1)] * 3:
            chosen = rng.integers(_N_IMAGES, size=size)
            for i, reply in zip(chosen, server.ask(self.images[chosen]), strict=True):
                self._report.calm[self._judge(i, reply)] += 1

    def ask_at_rate(self, server: Server, rate: float, seconds: float) -> None:
        """Ask one by one, each when it is due."""
        began = time.perf_counter()
        with ThreadPoolExecutor(_CLIENTS) as pool:
            for turn in range(int(rate * seconds)):
                due = began + turn / rate
                time.sleep(max(due - time.perf_counter(), 0.0))
                pool.submit(self._ask, server, turn % _N_IMAGES, due)

    def _ask(self, server: Server, i: int, due: float) -> None:
        try:
            (reply,) = server.ask(self.images[i : i + 1])
            kind = self._judge(i, reply)
        except (OSError, ValueError) as error:
            kind = f"lost: {error}"
        with self._lock:
            self._report.stormy[kind] += 1
            self._report.seconds.append(time.perf_counter() - due)

    def _judge(self, i: int, reply: dict[str, Any]) -> str:
        right = "right" if reply["digit"] == self._digits[i] else "wrong"
        return f"{right}, {'exact' if reply['exact'] else 'estimated'}"


class Tormentor(threading.Thread):
    """Kills and freezes workers, some at once, until it is told to end."""

    def __init__(self, server: Server, report: Report, every: float, at_once: int) -> None:
        super().__init__(name="torments")
        self._server, self._report, self._every, self._at_once = server, report, every, at_once
        self._over = threading.Event()

    def __enter__(self) -> Tormentor:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Strike now and then."""
        rng, kind = random.Random(0), SIGKILL
        while not self._over.wait(self._every):
            pids = sorted(self._server.workers())
            for pid in rng.sample(pids, min(self._at_once, len(pids))):
                with suppress(ProcessLookupError):
                    os.kill(pid, kind)
                    self._report.signals[kind.name] += 1
            kind = SIGSTOP if kind == SIGKILL else SIGKILL


def serve(name: str, rate: float, seconds: float, every: float, at_once: int) -> Report:
    """Start a printed service, load and torment it, and end it."""
    report = Report()
    clients = Clients(report)
    with tempfile.TemporaryDirectory() as folder:
        with served(name, Path(folder), SIGINT) as server:
            server.wait_until_up(clients.images[0])
            clients.ask_in_batches(server)
            with Tormentor(server, report, every, at_once):
                clients.ask_at_rate(server, rate, seconds)
            for pid in sorted(server.workers())[:1]:
                os.kill(pid, SIGSTOP)
            began = time.perf_counter()
        report.ended = time.perf_counter() - began
    return report


def main() -> int:
    """Read the command line, serve, and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm.recipes", description=__doc__)
    parser.add_argument("name", choices=FRAMEWORKS)
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="while workers fail")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between strikes")
    parser.add_argument("--at-once", type=int, default=1, help="workers that a strike hits")
    given = parser.parse_args()
    report = serve(given.name, given.rate, given.seconds, given.every, given.at_once)
    sys.stdout.write(f"{given.name}: {report}\n")
    return not report.is_good


if __name__ == "__main__":
    sys.exit(main())
