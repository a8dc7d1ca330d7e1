"""Coded layers on real processes, of which some are killed."""

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from torch import nn

from coded import CodedLinear, LocalWorkers, coded_layer

pytestmark = pytest.mark.outer
WAIT = 60.0  # seconds; bounds every wait


@pytest.fixture(scope="module")
def workers():
    with LocalWorkers(5) as workers:
        workers.wait()
        yield workers


def answers_of(model, until):
    """Call until the latest pass is as wanted, and give all that it was meanwhile."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        outputs = model()
        yield outputs
        if until():
            return
    raise AssertionError("it never came")


def test_a_transformer_block_outlives_the_death_of_a_worker(workers):
    torch.manual_seed(20240601)
    plain = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True).eval()
    model = coded_layer(
        plain, 3, 5, workers.executors, select=lambda *_: True, recompute_lost=False, timeout=WAIT
    )
    inputs = torch.randn(4, 10, 64)
    with torch.no_grad():
        expected = plain(inputs)

    def near(outputs):
        return torch.allclose(outputs, expected, atol=1e-5, rtol=0.0)

    last = model.linear1
    assert near(model(inputs))
    killed = workers.pids[1]
    os.kill(killed, signal.SIGKILL)
    for outputs in answers_of(lambda: model(inputs), lambda: 1 not in last.last.responders):
        assert near(outputs)  # while it is gone
    for outputs in answers_of(lambda: model(inputs), lambda: 1 in last.last.responders):
        assert near(outputs)  # until its successor answers, with a block of its own
    assert workers.pids[1] != killed


def test_a_layer_outlives_a_kill_at_any_moment(workers):
    torch.manual_seed(20240602)
    plain, inputs = nn.Linear(256, 300), torch.randn(64, 256)
    layer = CodedLinear(plain, 3, 5, workers.executors, timeout=WAIT)
    expected = plain(inputs).detach()
    for n in range(20):
        if n % 4 == 1:
            os.kill(workers.pids[n % 5], signal.SIGKILL)
        assert torch.allclose(layer(inputs), expected, atol=1e-5, rtol=0.0)


def test_with_all_workers_dead_the_layer_is_computed_here():
    plain, inputs = nn.Linear(64, 30), torch.randn(8, 64)
    with LocalWorkers(3) as workers:
        workers.wait()
        layer = CodedLinear(plain, 2, 3, workers.executors, timeout=WAIT)
        for pid in workers.pids:
            os.kill(pid, signal.SIGSTOP)  # they hold what they are given
        layer_timed = CodedLinear(plain, 2, 3, workers.executors, timeout=0.5)
        assert torch.allclose(layer_timed(inputs), plain(inputs), atol=1e-5)
        assert layer_timed.last.recomputed == (0, 1)
        for pid in workers.pids:
            os.kill(pid, signal.SIGKILL)
        assert torch.allclose(layer(inputs), plain(inputs), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_stdlib_pool_serves_too(dtype):
    plain, inputs = nn.Linear(64, 30, dtype=dtype), torch.randn(8, 64, dtype=dtype)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool, torch.no_grad():
        layer = CodedLinear(plain, 2, 3, pool, timeout=WAIT, threads=1)
        for _ in range(3):
            near = 1e-5 if dtype is torch.float32 else 0.05
            assert torch.allclose(layer(inputs), plain(inputs), atol=near)
        assert pool.submit(torch.get_num_threads).result(timeout=WAIT) == 1
    assert layer.last.recomputed == ()


def test_convolutions_travel(workers):
    plain = nn.Conv2d(3, 10, 5, stride=2, padding=2)
    images = torch.randn(4, 3, 32, 32)
    model = coded_layer(plain, 3, 5, workers.executors, select=lambda *_: True, timeout=WAIT)
    for _ in range(2):
        assert torch.allclose(model(images), plain(images), atol=1e-5)
    assert model.last.recomputed == ()
