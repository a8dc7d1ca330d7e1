"""coded_map on other engines with executors of their own, and on several at once."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import distributed
import joblib
import loky
import numpy as np
import pytest
import ray
from joblib.externals.loky import get_reusable_executor
from loky.process_executor import TerminatedWorkerError

from coded import (
    LocalWorkers,
    NotEnoughRespondersError,
    RayExecutor,
    ReplicationScheme,
    SplineScheme,
    coded_map,
)
from tests.faults import FAULTS, FOUR, INPUTS, KILLED, UNPICKLABLE, check_lost, check_well
from tests.worker_functions import WAIT, answer_pid, double

# ---- loky, and the copy of it in joblib: as stdlib pools, but functions travel by value


@pytest.fixture(params=[loky.get_reusable_executor, get_reusable_executor], ids=["loky", "joblib"])
def pool(request):
    with request.param(max_workers=2, timeout=WAIT) as pool:
        yield pool
        pool.shutdown(kill_workers=True)


def test_functions_without_a_module_run_on_loky(pool):
    twice = eval("lambda coded_input: 2.0 * coded_input", {})  # as from a notebook
    inputs = np.linspace(0.0, 3.0, 4)
    scheme = SplineScheme(4, 12)
    result = coded_map(twice, inputs, scheme, pool, wait_for=12, timeout=WAIT)
    assert result.complete
    np.testing.assert_allclose(result.outputs, 2.0 * inputs, atol=1e-9)


@pytest.mark.parametrize("fault", [*FAULTS, UNPICKLABLE], ids=str)
def test_a_task_that_fails_on_loky_is_told_of(fault):
    with loky.get_reusable_executor(max_workers=2) as pool:
        check_lost(fault, pool)


@pytest.mark.filterwarnings("ignore:A worker stopped:UserWarning")
def test_a_killed_process_breaks_a_pool_of_loky_and_another_one_works():
    pool = loky.get_reusable_executor(max_workers=2)
    with pytest.raises(NotEnoughRespondersError) as caught:
        coded_map(KILLED, np.zeros(4), FOUR, pool, timeout=WAIT)
    assert isinstance(caught.value.__cause__, TerminatedWorkerError)
    with loky.get_reusable_executor(max_workers=2) as another:
        check_well(another)


def test_joblib_spends_its_processes_on_tasks_that_call_coded_map():
    """joblib.Parallel is no executor; it runs whole calls, each with an executor of its own."""
    calls = (joblib.delayed(call_on_threads)(INPUTS + n) for n in range(4))
    for n, outputs in enumerate(joblib.Parallel(2)(calls)):
        np.testing.assert_allclose(outputs, 2.0 * (INPUTS + n), atol=1e-9)


def call_on_threads(inputs):
    with ThreadPoolExecutor(2) as pool:
        return coded_map(double, inputs, SplineScheme(4, 8), pool, timeout=WAIT).outputs


# ---- several at once


def test_engines_are_mixed_in_one_call():
    with (
        pytest.MonkeyPatch.context() as environment,
        ThreadPoolExecutor(1) as threads,
        LocalWorkers(1) as workers,
        loky.ProcessPoolExecutor(1) as pool,
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        environment.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
        try:
            executors = [
                threads,
                *workers.executors,
                pool,
                client.get_executor(pure=False),
                RayExecutor(),
            ]
            inputs = np.arange(5.0)
            scheme = ReplicationScheme(5, 5, n_stragglers=1, fallback="mean")
            result = coded_map(answer_pid, inputs, scheme, executors, wait_for=5, timeout=WAIT)
            assert result.complete
            pids = result.outputs.astype(int).tolist()
            assert pids[:2] == [os.getpid(), *workers.pids]
            assert len(set(pids)) == 5

            workers.executors[0].submit(os._exit, 1)
            result = coded_map(double, inputs, scheme, executors, wait_for=4, timeout=WAIT)
            assert result.complete
            assert result.responders.tolist() == [0, 2, 3, 4]
            assert list(result.failures) == [1]
            assert np.array_equal(result.outputs[result.exact], 2.0 * inputs[result.exact])
        finally:
            ray.shutdown()
        client.close()


# ---- a thousand workers


@pytest.mark.parametrize(
    "scheme", [SplineScheme(200, 1000), ReplicationScheme(200, 1000)], ids=["spline", "replication"]
)
def test_a_call_with_a_thousand_workers(scheme):
    inputs = np.linspace(0.0, 3.0, 200).reshape(200, 1)
    running, most = set(), []

    def sine(coded_input):
        running.add(threading.get_ident())
        return np.sin(coded_input)

    with ThreadPoolExecutor(4) as pool:
        result = coded_map(
            sine,
            inputs,
            scheme,
            pool,
            wait_for=900,
            timeout=WAIT,
            on_answer=lambda n, _: most.append(n),
        )
    assert result.complete
    assert len(result.responders) >= 900
    assert sorted(most) == result.responders.tolist()
    np.testing.assert_allclose(result.outputs, np.sin(inputs), atol=1e-3)
    assert len(running) <= 4


def test_a_share_of_a_cluster():
    """One machine does the work of 10 of 1000 workers; where its answers go is decided by n."""
    inputs = np.linspace(0.0, 3.0, 200).reshape(200, 1)
    bound = SplineScheme(200, 1000).bind(inputs)
    mine = np.arange(30, 40)
    coded_inputs = bound.encode(inputs)
    whole = np.sin(coded_inputs)
    assert np.array_equal(np.sin(coded_inputs[mine]), whole[mine])
    others = np.setdiff1d(np.arange(1000), mine)
    np.testing.assert_allclose(bound.decode(whole[others], others), np.sin(inputs), atol=1e-3)
