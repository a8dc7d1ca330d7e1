"""What the workers do whose traffic `bench.engines.traffic` measures."""

from __future__ import annotations

import ctypes
import os
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

SMALLEST = 1 << 16  # bytes from which memory is asked of the system at each allocation
_MMAP_THRESHOLD, _THP_DISABLE = -3, 41  # of mallopt(3) and prctl(2)


def settle(seconds: float = 0.0) -> int:
    """Let each large allocation be of new pages of 4 kB, so that page faults count them."""
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, SMALLEST)
    libc.prctl(_THP_DISABLE, 1, 0, 0, 0)
    time.sleep(seconds)  # so that another process takes the next of such tasks
    return os.getpid()


def echo(values: Any) -> Any:
    """Give the input."""
    return values


def take(values: Any) -> float:  # noqa: ARG001 (only the way in is measured)
    """Give a number."""
    return 0.0


def give(size: Any) -> Any:
    """Give a new array of so many numbers, of the kind of `size`, which holds that number alone."""
    return make(int(size[0]), is_tensor=isinstance(size, torch.Tensor))


def make(size: int, *, is_tensor: bool) -> Any:
    """Make an array of equal numbers."""
    values = np.full(size, 0.5, np.float32)
    return torch.from_numpy(values) if is_tensor else values


def owner(values: Any) -> float:
    """Tell whose memory holds an array: 0 shared, 1 this process's."""
    address = values.data_ptr() if isinstance(values, torch.Tensor) else values.ctypes.data
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, mode, *_ = line.split()
        low, high = (int(end, 16) for end in span.split("-"))
        if low <= address < high:
            return float(mode.endswith("p"))
    raise AssertionError("memory that is nowhere")


class Large(torch.nn.Module):
    """A model of so many bytes, of which it uses four; notes each process that unpickles it."""

    def __init__(self, n_bytes: int, log: Path) -> None:
        super().__init__()
        self.log = log
        self.weights = torch.nn.Parameter(torch.ones(n_bytes // 4), requires_grad=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return batch * self.weights[0]


def predict_on_dask(values: Any) -> Any:
    """Apply the model that the plugin keeps."""
    import distributed  # here, for other engines' workers need not

    return distributed.get_worker().model(torch.from_numpy(values)).numpy()


@lru_cache(maxsize=1)
def _fetch(reference: Any) -> Any:
    import ray

    return ray.get(reference)


def predict_on_ray(reference: Any, values: Any) -> Any:
    """Apply the model that `ray.put` has stored."""
    return _fetch(reference)(torch.tensor(values)).numpy()
