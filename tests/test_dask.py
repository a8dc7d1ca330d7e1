"""coded_map on a real Dask cluster, by the client's own executors."""

import os
import signal

import dask
import distributed
import numpy as np
import pytest

from coded import ReplicationScheme, SplineScheme, coded_map
from tests.worker_functions import (
    WAIT,
    answer_pid,
    double,
    fail_on_zero,
    touch_and_sleep,
    wait_for_file,
)

INPUTS = np.array([0.0, 1.0, 2.0])


@pytest.fixture(scope="module")
def client():
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.admin.tick.limit": "60s"}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def executors(client):
    """One executor a worker, by name: an address dies with its process, a name comes back."""
    client.wait_for_workers(3, timeout=WAIT)
    names = sorted(client.run(lambda dask_worker: dask_worker.name).values())
    return [
        client.get_executor(pure=False, workers=[name], allow_other_workers=False) for name in names
    ]


def test_all_workers_answer(executors):
    inputs = np.linspace(0.0, 1.0, 4)
    scheme = SplineScheme(4, 6)
    result = coded_map(double, inputs, scheme, executors, wait_for=6, timeout=WAIT)
    assert result.complete
    np.testing.assert_allclose(result.outputs, 2.0 * inputs, atol=1e-9)


def test_coded_input_n_runs_on_worker_n(executors):
    pids = [executor.submit(os.getpid).result(WAIT) for executor in executors]
    assert len(set(pids)) == 3
    result = coded_map(
        answer_pid, INPUTS, ReplicationScheme(3, 3), executors, wait_for=3, timeout=WAIT
    )
    assert result.outputs.tolist() == pids


def test_an_exception_is_a_failure_of_one_worker(executors):
    scheme = ReplicationScheme(3, 3, n_stragglers=1, fallback="mean")
    result = coded_map(fail_on_zero, INPUTS, scheme, executors, timeout=WAIT)
    assert result.responders.tolist() == [1, 2]
    assert result.outputs.tolist() == [3.0, 2.0, 4.0]


def test_a_shared_executor_keeps_copies_apart(client):
    executor = client.get_executor(pure=False)
    result = coded_map(
        double, INPUTS[:1], ReplicationScheme(1, 4), executor, wait_for=4, timeout=WAIT
    )
    assert result.responders.tolist() == [0, 1, 2, 3]


def test_a_killed_worker_is_a_straggler_and_its_name_comes_back(client, executors, tmp_path):
    pid = executors[0].submit(os.getpid).result(WAIT)
    task = executors[0].submit(touch_and_sleep, tmp_path / "started", 60.0)
    wait_for_file(tmp_path / "started")
    os.kill(pid, signal.SIGKILL)
    scheme = ReplicationScheme(3, 3, n_stragglers=1, fallback="mean")
    result = coded_map(double, INPUTS, scheme, executors, timeout=WAIT)
    assert {1, 2} <= set(result.responders.tolist())
    assert task.exception(WAIT) is not None
    client.wait_for_workers(3, timeout=WAIT)
    assert executors[0].submit(os.getpid).result(WAIT) != pid


def test_a_frozen_worker_costs_the_timeout(executors):
    pid = executors[1].submit(os.getpid).result(WAIT)
    os.kill(pid, signal.SIGSTOP)
    try:
        scheme = ReplicationScheme(3, 3, n_stragglers=1, fallback="mean")
        result = coded_map(double, INPUTS, scheme, executors, wait_for=3, timeout=2.0)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert not result.complete
    assert result.responders.tolist() == [0, 2]
    assert isinstance(result.failures[1], TimeoutError)
