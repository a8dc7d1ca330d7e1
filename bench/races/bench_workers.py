"""LocalWorkers against stdlib pools of one process each, which it once was."""

from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from bench.races.race import Competitor
from bench.races.worker_tasks import give_back, nothing
from coded import LocalWorkers

WAIT = 60.0  # seconds; nothing takes that long
SIZES = [1 << 10, 3 * 224 * 224, 3 << 20]  # float32: 4 kB, 600 kB and 12 MB


def start_pool():
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


@pytest.fixture(scope="module")
def pair():
    """One of our workers, and a pool of one process."""
    with LocalWorkers(1) as workers, start_pool() as pool:
        workers.wait()
        yield workers.executors[0], pool


@pytest.mark.benchmark(group="workers")
@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("size", SIZES)
def test_round_trip(race, pair, size, kind):
    ours, pool = pair
    values = np.random.default_rng(0).standard_normal(size, dtype=np.float32)

    def go(executor):
        # A tensor that was sent once lies in shared memory from then on, and is sent for less.
        sent = torch.from_numpy(values.copy()) if kind == "tensor" else values
        return executor.submit(give_back, sent).result(WAIT)

    race(
        f"there and back, {kind}",
        lambda: go(ours),
        {"stdlib pool of one": Competitor(lambda: go(pool))},
        error=lambda answer: float(abs(np.asarray(answer) - values).max()),
        tolerance=0.0,
        shape=f"{size}",
        dtype="float32",
        threads=1,
    )


@pytest.mark.benchmark(group="workers")
def test_start(race):
    def start_ours():
        with LocalWorkers(8) as workers:
            workers.wait()
            return [one.submit(nothing).result(WAIT) for one in workers.executors]

    def start_pools():
        with ExitStack() as stack:
            pools = [stack.enter_context(start_pool()) for _ in range(8)]
            return [task.result(WAIT) for task in [pool.submit(nothing) for pool in pools]]

    race(
        "start 8, ask each, close",
        start_ours,
        {"8 stdlib pools of one": Competitor(start_pools)},
        error=lambda answers: float(answers != [0] * 8),
        tolerance=0.0,
        shape="",
        dtype="",
        threads=1,
    )
