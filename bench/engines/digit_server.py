"""LitServe servers of handwritten digits on the same worker processes, coded and not.

    python -m bench.engines.digit_server STRATEGY PORT WORKERS

POST /predict takes ``{"pixels": base64 of 32 x 32 bytes}`` and gives ``{"logits": [10 numbers]}``.
"""

from __future__ import annotations

import asyncio
import base64
import signal
import sys
import time
from asyncio import FIRST_COMPLETED
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass

import litserve as ls
import numpy as np
from numpy.typing import NDArray

from coded import CodedModel, KernelScheme, LocalWorkers, TorchWorker
from coded.digits.lenet5 import load

TIMEOUT = 1.0  # seconds that a worker is waited for; one at work for longer is replaced
SERVICE = 0.02  # seconds that LeNet5 is made to take, as a larger network would
BATCH = 0.005  # seconds that a batch is waited for
HEDGE = 0.1  # seconds after which the hedging server asks another worker
_START = 120.0

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """LeNet5, slowed down; what the workers evaluate."""

    worker: TorchWorker

    def load(self) -> None:
        """Import and load all that a task needs, before the first one, which has little time."""
        self.worker.load()

    def __call__(self, image: Image) -> NDArray[np.floating]:
        """Give the logits of one digit."""
        time.sleep(SERVICE)
        return np.asarray(self.worker(image))


class DigitsAPI(ls.LitAPI):
    """What all servers share: workers that hold the network, images in, logits out."""

    def __init__(self, n_workers: int, **arguments: object) -> None:
        super().__init__(**arguments)
        self.n_workers = n_workers

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe's signature)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # by which LitServe ends us
        self.network = Network(TorchWorker(load))
        self.workers = LocalWorkers(self.n_workers, initializer=self.network.load, patience=TIMEOUT)
        self.workers.wait(_START)

    def decode_request(self, request: dict[str, str]) -> Image:
        pixels = np.frombuffer(base64.b64decode(request["pixels"]), dtype=np.uint8)
        return pixels.reshape(1, 32, 32).astype(np.float32) / np.float32(255)

    def encode_response(self, logits: NDArray[np.floating]) -> dict[str, list[float]]:
        return {"logits": logits.tolist()}


class Coded(DigitsAPI):
    """Batches of requests, coded over all workers."""

    def __init__(self, n_workers: int) -> None:
        super().__init__(n_workers, max_batch_size=n_workers // 2, batch_timeout=BATCH)

    def setup(self, device: str) -> None:
        super().setup(device)
        scheme = KernelScheme(
            self.n_workers // 2, self.n_workers, n_stragglers=3 * self.n_workers // 8
        )
        self.model = CodedModel(self.network, scheme, self.workers.executors, timeout=TIMEOUT)
        self.model(np.zeros((1, 1, 32, 32), np.float32))  # compiles

    def predict(self, batch: Image) -> NDArray[np.floating]:
        return self.model(batch)


class Single(DigitsAPI):
    """Each request to one idle worker, in turn; a failed or late one is not answered."""

    attempts, patience = 1, TIMEOUT

    def __init__(self, n_workers: int) -> None:
        super().__init__(n_workers, enable_async=True)

    def setup(self, device: str) -> None:
        super().setup(device)
        self.turns = deque(self.workers.executors)

    async def decode_request(self, request: dict[str, str]) -> Image:
        return super().decode_request(request)

    async def encode_response(self, logits: NDArray[np.floating]) -> dict[str, list[float]]:
        return super().encode_response(logits)

    async def predict(self, image: Image) -> NDArray[np.floating]:
        end = time.monotonic() + TIMEOUT
        tasks: set[asyncio.Future[NDArray[np.floating]]] = set()
        for attempt in range(1, self.attempts + 1):
            tasks.add(asyncio.wrap_future(self.idle().submit(self.network, image)))
            is_last = attempt == self.attempts
            seconds = end - time.monotonic() if is_last else self.patience
            done, tasks = await asyncio.wait(tasks, timeout=seconds, return_when=FIRST_COMPLETED)
            for task in done:
                if not task.cancelled() and task.exception() is None:
                    return task.result()
        raise TimeoutError(f"no worker has answered within {TIMEOUT} s")

    def idle(self) -> Executor:
        """Give an idle worker, or one that is at work where there is none."""
        for _ in range(len(self.turns)):
            self.turns.rotate()
            if not self.turns[0].busy:
                break
        return self.turns[0]


class Hedged(Single):
    """As before, but another worker is asked when one fails or is slow; the first answer counts."""

    attempts, patience = 4, HEDGE


STRATEGIES = {"coded": Coded, "one worker": Single, "hedged": Hedged}


def main() -> None:
    """Serve until interrupted, also where a background shell has had Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    strategy, port, n_workers = sys.argv[1:]
    server = ls.LitServer(STRATEGIES[strategy](int(n_workers)), accelerator="cpu")
    server.run(
        host="127.0.0.1",
        port=int(port),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
