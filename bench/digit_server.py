"""LitServe servers of handwritten digits on the same worker processes, coded and not.

    python -m bench.digit_server STRATEGY PORT WORKERS

POST /predict takes ``{"pixels": base64 of 32 x 32 bytes}`` and gives ``{"logits": [10 numbers]}``.
"""

from __future__ import annotations

import asyncio
import base64
import signal
import sys
import time
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass

import litserve as ls
import numpy as np
from numpy.typing import NDArray

from coded import CodedModel, KernelScheme, LocalWorkers, TorchWorker
from coded.demo.lenet5 import load

TIMEOUT = 1.0  # seconds that a worker is waited for; one at work for longer is replaced
SERVICE = 0.02  # seconds that LeNet5 is made to take, as a larger network would
BATCH = 0.005  # seconds that a batch is waited for
ATTEMPTS = 5
_START = 120.0

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """LeNet5, slowed down; what the workers evaluate."""

    worker: TorchWorker

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
        lenet5 = TorchWorker(load)
        self.network = Network(lenet5)
        self.workers = LocalWorkers(self.n_workers, initializer=lenet5.load, patience=TIMEOUT)
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
    """Each request to the worker that has been free for longest; a failed one is not answered."""

    attempts = 1

    def __init__(self, n_workers: int) -> None:
        super().__init__(n_workers, enable_async=True)

    def setup(self, device: str) -> None:
        super().setup(device)
        self.free: asyncio.Queue[int] = asyncio.Queue()
        for worker in range(self.n_workers):
            self.free.put_nowait(worker)

    async def decode_request(self, request: dict[str, str]) -> Image:
        return super().decode_request(request)

    async def encode_response(self, logits: NDArray[np.floating]) -> dict[str, list[float]]:
        return super().encode_response(logits)

    async def predict(self, image: Image) -> NDArray[np.floating]:
        for attempt in range(1, self.attempts + 1):
            worker = await self.free.get()
            try:
                task = self.workers.executors[worker].submit(self.network, image)
                return await asyncio.wait_for(asyncio.wrap_future(task), TIMEOUT)
            except (BrokenExecutor, TimeoutError):
                if attempt == self.attempts:
                    raise
            finally:
                self.free.put_nowait(worker)
        raise AssertionError  # the last attempt returns or raises


class Retried(Single):
    """Each request to one worker, and to another one if that fails or takes too long."""

    attempts = ATTEMPTS


STRATEGIES = {"coded": Coded, "one worker": Single, "one worker, then others": Retried}


def main() -> None:
    """Serve until interrupted."""
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
