"""coded_map on other engines with executors of their own, and on several at once."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import distributed
import loky
import numpy as np
import pytest
import ray
from loky.process_executor import TerminatedWorkerError

from coded import (
    LocalWorkers,
    MachineStragglers,
    NotEnoughRespondersError,
    RayExecutor,
    ReplicationScheme,
    SplineScheme,
    coded_map,
    simulate,
)
from tests.support.faults import (
    FAULTS,
    FOUR,
    KILLED,
    UNPICKLABLE,
    check_late,
    check_lost,
    check_well,
    check_wrong_shape,
)
from tests.support.worker_functions import WAIT, answer_pid, double

pytestmark = pytest.mark.outer

# ---- loky, and the copy of it in joblib: as stdlib pools, but functions travel by value


@pytest.fixture(scope="module", params=["loky", "joblib.externals.loky"])
def pool(request):
    module = import_module(request.param)
    with module.get_reusable_executor(max_workers=2) as pool:
        yield pool


def test_functions_without_a_module_run_on_loky(pool):
    twice = eval("lambda coded_input: 2.0 * coded_input", {})  # as in a notebook
    inputs = np.linspace(0.0, 3.0, 4)
    scheme = SplineScheme(4, 12)
    result = coded_map(twice, inputs, scheme, pool, wait_for=12, timeout=WAIT)
    assert result.complete
    np.testing.assert_allclose(result.outputs, 2.0 * inputs, atol=1e-9)


@pytest.mark.parametrize("fault", [*FAULTS, UNPICKLABLE], ids=str)
def test_a_task_that_fails_on_loky_is_told_of(fault, pool):
    check_lost(fault, pool)


def test_late_and_wrong_answers_on_loky_go_nowhere(pool, tmp_path):
    check_wrong_shape(pool, tmp_path)
    check_late(pool, tmp_path)


@pytest.mark.filterwarnings("ignore:A worker stopped:UserWarning")
def test_a_killed_process_breaks_a_pool_of_loky_and_another_one_works():
    pool = loky.get_reusable_executor(max_workers=2)
    with pytest.raises(NotEnoughRespondersError) as caught:
        coded_map(KILLED, np.zeros(4), FOUR, pool, timeout=WAIT)
    assert isinstance(caught.value.__cause__, TerminatedWorkerError)
    with loky.get_reusable_executor(max_workers=2) as another:
        check_well(another)


# ---- several at once


def test_engines_are_mixed_in_one_call():
    with (
        pytest.MonkeyPatch.context() as environment,
        ThreadPoolExecutor(1) as threads,
        LocalWorkers(1) as workers,
        loky.ProcessPoolExecutor(1) as pool,
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        environment.setenv("RAY_AUTH_MODE", "disabled")
        ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
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


def test_a_cluster_of_a_thousand_workers_is_simulated_on_one_machine():
    inputs = np.linspace(0.0, 3.0, 200)
    lost = MachineStragglers(5, workers_per_machine=20)
    result = simulate(np.sin, inputs, SplineScheme(200, 1000), stragglers=lost, repeats=5)
    assert [len(responders) for responders in result.responders] == [900] * 5
    np.testing.assert_allclose(result.outputs, np.tile(np.sin(inputs), (5, 1)), atol=1e-3)
