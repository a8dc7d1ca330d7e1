"""LitServe servers of handwritten digits on the same worker processes, coded, hedged or neither.

    python -m bench.engines.digit_server STRATEGY PORT WORKERS TASKS

POST /predict takes ``{"pixels": base64 of 32 x 32 bytes}`` and gives the logits, whether they are
a worker's own answer, and what the model has counted so far. TASKS is a file that gets a byte for
each task that a worker begins.
"""

from __future__ import annotations

import asyncio
import base64
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import litserve as ls
import numpy as np
from numpy.typing import NDArray

from coded import (
    CodedModel,
    KernelScheme,
    LocalWorkers,
    ReplicationScheme,
    Scheme,
    TorchWorker,
)
from coded.digits.lenet5 import load

TIMEOUT = 1.0  # seconds that a worker is waited for; one at work for longer is replaced
SERVICE = 0.02  # seconds that LeNet5 is made to take, as a larger network would
BATCH = 0.005  # seconds that a batch is waited for
HEDGE = 0.1  # seconds after which hedging servers ask another worker
_START = 120.0
_THREADS = 64  # of calls that wait at once, where each request is one

Image = NDArray[np.float32]
Answer = dict[str, object]


@dataclass(frozen=True)
class Network:
    """LeNet5, slowed down; what the workers evaluate."""

    worker: TorchWorker
    tasks: Path

    def load(self) -> None:
        """Import and load all that a task needs, before the first one, which has little time."""
        self.worker.load()

    def __call__(self, image: Image) -> NDArray[np.floating]:
        """Give the logits of one digit."""
        with self.tasks.open("ab") as file:
            file.write(b".")
        time.sleep(SERVICE)
        return np.asarray(self.worker(image))


class AnyIdle(Executor):
    """Workers as one executor: a task goes to an idle one, in turn, or to the next if none is."""

    def __init__(self, executors: Sequence[Executor]) -> None:
        self._turns = deque(executors)
        self._lock = threading.Lock()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a task."""
        with self._lock:
            for _ in range(len(self._turns)):
                self._turns.rotate()
                if not getattr(self._turns[0], "busy", False):
                    break
            return self._turns[0].submit(fn, *args, **kwargs)


class DigitsAPI(ls.LitAPI):
    """What all servers share: workers that hold the network, images in, logits out."""

    def __init__(
        self,
        n_workers: int,
        tasks: Path,
        scheme: Scheme,
        hedge_after: float | None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.n_workers, self.tasks = n_workers, tasks
        self.scheme, self.hedge_after = scheme, hedge_after

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe's signature)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # by which LitServe ends us
        network = Network(TorchWorker(load), self.tasks)
        self.workers = LocalWorkers(self.n_workers, initializer=network.load, patience=TIMEOUT)
        self.workers.wait(_START)
        self.model = CodedModel(
            network, self.scheme, self.executors(), timeout=TIMEOUT, hedge_after=self.hedge_after
        )
        self.answer(np.zeros((1, 1, 32, 32), np.float32))  # compiles

    def executors(self) -> Executor | Sequence[Executor]:
        return self.workers.executors

    def answer(self, images: Image) -> list[Answer]:
        batch = self.model.run(images)
        counters = self.model.counters
        return [
            {"logits": logits.tolist(), "exact": bool(exact), "counters": counters}
            for logits, exact in zip(batch.outputs, batch.exact, strict=True)
        ]

    def decode_request(self, request: dict[str, str]) -> Image:
        pixels = np.frombuffer(base64.b64decode(request["pixels"]), dtype=np.uint8)
        return pixels.reshape(1, 32, 32).astype(np.float32) / np.float32(255)

    def encode_response(self, answer: Answer) -> dict[str, object]:
        return answer


class Batched(DigitsAPI):
    """Batches of requests, for all workers."""

    def predict(self, batch: Image) -> list[Answer]:
        return self.answer(batch)


class Alone(DigitsAPI):
    """Each request to one idle worker, in turn; many at once."""

    def setup(self, device: str) -> None:
        super().setup(device)
        self.threads = ThreadPoolExecutor(_THREADS)

    def executors(self) -> Executor:
        return AnyIdle(super().executors())

    async def decode_request(self, request: dict[str, str]) -> Image:
        return super().decode_request(request)

    async def encode_response(self, answer: Answer) -> dict[str, object]:
        return super().encode_response(answer)

    async def predict(self, image: Image) -> Answer:
        loop = asyncio.get_running_loop()
        return (await loop.run_in_executor(self.threads, self.answer, image[None]))[0]


def make(strategy: str, n_workers: int, tasks: Path) -> DigitsAPI:
    """Make the API of a strategy: uncoded, copies or coded, or one of these and ", hedged"."""
    code, _, hedged = strategy.partition(", ")
    hedge_after = HEDGE if hedged else None
    if code == "uncoded":
        return Alone(n_workers, tasks, ReplicationScheme(1, 1), hedge_after, enable_async=True)
    k = n_workers // 2
    scheme: Scheme = {"copies": ReplicationScheme, "coded": KernelScheme}[code](k, n_workers)
    return Batched(n_workers, tasks, scheme, hedge_after, max_batch_size=k, batch_timeout=BATCH)


def main() -> None:
    """Serve until interrupted, also where a background shell has had Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    strategy, port, n_workers, tasks = sys.argv[1:]
    server = ls.LitServer(make(strategy, int(n_workers), Path(tasks)), accelerator="cpu")
    server.run(
        host="127.0.0.1",
        port=int(port),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
