"""coded_map on a real Dask cluster, by the client's own executors."""

import os
import signal
import time
import uuid
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial

import dask
import distributed
import numpy as np
import pytest

from coded import NotEnoughRespondersError, ReplicationScheme, SplineScheme, coded_map
from tests.support.faults import (
    CALLS,
    FAULTS,
    FOUR,
    INPUTS,
    KILLED,
    UNPICKLABLE,
    check_all_killed,
    check_answers,
    check_frozen,
    check_interrupted,
    check_late,
    check_lost,
    check_nothing_piles_up,
    check_placed,
    check_well,
    check_wrong_shape,
)
from tests.support.worker_functions import (
    WAIT,
    answer_pid,
    double,
    touch,
    touch_and_sleep,
    wait_for_file,
)

pytestmark = pytest.mark.outer

NAMES = ["w0", "w1", "w2", "w3"]  # texts: where a number is the name, tasks for a dead worker fail


@pytest.fixture(scope="module")
def client():
    """Four worker processes, which are started again when they die."""
    settings = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.admin.tick.limit": "60s",
        # The cluster closes for good whom it misses so long after a loss: it may be a second one.
        "distributed.deploy.lost-worker-timeout": "1h",
    }
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard_address": ":0"}}
    worker = {"cls": distributed.Nanny, "options": {"nthreads": 1, "dashboard": False}}
    with (
        dask.config.set(settings),
        distributed.SpecCluster(
            dict.fromkeys(NAMES, worker), scheduler, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(4, timeout=WAIT)
        yield client


@pytest.fixture
def executors(client):
    """One executor a worker, by name: an address dies with its process, a name comes back."""
    executors = [pin(client, name) for name in NAMES]
    wait([executor.submit(os.getpid) for executor in executors], WAIT)
    return executors


def pin(client, name):
    return client.get_executor(pure=False, workers=[name], allow_other_workers=False)


# ---- faults


@pytest.mark.parametrize("call", CALLS, ids=["sync", "async"])
def test_a_call_does_not_wait_for_a_client_that_is_busy_to_cancel_tasks(call, client, executors):
    """As while it receives hundreds of megabytes: Dask's cancel waits for its event loop."""
    client.loop.call_later(0.3, time.sleep, 3.0)
    started = time.perf_counter()
    with pytest.raises(NotEnoughRespondersError):
        call(sleep_and_double, INPUTS, FOUR, executors, timeout=0.5)
    assert time.perf_counter() - started < 2.0
    wait([executor.submit(os.getpid) for executor in executors], WAIT)


def sleep_and_double(coded_input):
    time.sleep(2.0)
    return 2.0 * coded_input


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_worker_that_fails_is_told_of(fault, executors):
    check_lost(fault, executors)


def test_an_answer_of_another_shape_is_lost(executors, tmp_path):
    check_wrong_shape(executors, tmp_path)


def test_an_answer_that_cannot_be_pickled_is_told_by_the_timeout(executors):
    """Its future never ends, nor do those that Dask fetches together with it."""
    result = None
    with suppress(NotEnoughRespondersError):
        result = coded_map(UNPICKLABLE, INPUTS, FOUR, executors, wait_for=4, timeout=1.0)
    if result is not None:
        assert not result.complete
        assert isinstance(result.failures[0], TimeoutError)
        check_answers(result)
    check_well(executors)


def test_a_killed_worker_loses_its_task_only_and_its_name_comes_back(executors):
    pid = executors[0].submit(os.getpid).result(WAIT)
    check_lost(KILLED, executors, distributed.KilledWorker)
    check_well(executors)
    assert executors[0].submit(os.getpid).result(WAIT) != pid


def test_a_worker_killed_by_others_loses_its_task(executors, tmp_path):
    pid = executors[0].submit(os.getpid).result(WAIT)
    task = executors[0].submit(touch_and_sleep, tmp_path / "started", 60.0)
    wait_for_file(tmp_path / "started")
    os.kill(pid, signal.SIGKILL)
    assert isinstance(task.exception(WAIT), distributed.KilledWorker)
    check_well(executors)


def test_a_placed_operand_comes_again_to_a_new_worker(executors):
    check_placed(executors)


def test_a_frozen_worker_costs_the_timeout(executors, tmp_path):
    check_frozen(executors, tmp_path, timeout=30.0)  # its workers import what they are to run


def test_a_late_answer_goes_nowhere(executors, tmp_path):
    check_late(executors, tmp_path)


def test_all_workers_killed_is_told_at_once(executors):
    check_all_killed(executors)
    check_well(executors)


def test_ctrl_c_ends_a_call(executors, tmp_path):
    check_interrupted(executors, tmp_path)


def test_shutdown_under_a_call_ends_it(client, executors, tmp_path):
    release = tmp_path / "release"
    mine = [pin(client, name) for name in NAMES]
    with ThreadPoolExecutor(1) as caller:
        f = partial(hold, tmp_path / "started", release)
        call = caller.submit(coded_map, f, INPUTS, FOUR, mine, timeout=WAIT)
        wait_for_file(tmp_path / "started")
        for executor in mine:
            executor.shutdown(wait=False)
        with pytest.raises(ValueError, match="4 failed") as caught:
            call.result(WAIT)
    assert isinstance(caught.value.__cause__, CancelledError | RuntimeError)
    release.touch()  # what runs on Dask runs on
    check_well(executors)


def hold(started, release, coded_input):
    touch(started)
    wait_for_file(release)
    return 2.0 * coded_input


def test_nothing_piles_up(executors):
    check_nothing_piles_up(executors)


# ---- where tasks run


def test_coded_input_n_runs_on_worker_n(executors):
    pids = [executor.submit(os.getpid).result(WAIT) for executor in executors]
    assert len(set(pids)) == 4
    result = coded_map(answer_pid, INPUTS, FOUR, executors, wait_for=4, timeout=WAIT)
    assert result.outputs.tolist() == pids


def test_all_workers_answer(executors):
    inputs = np.linspace(0.0, 1.0, 4)
    scheme = SplineScheme(4, 6)
    result = coded_map(double, inputs, scheme, executors, wait_for=6, timeout=WAIT)
    assert result.complete
    np.testing.assert_allclose(result.outputs, 2.0 * inputs, atol=1e-9)


def leave_a_sign(folder, coded_input):
    touch(folder / uuid.uuid4().hex)
    return coded_input


def test_a_shared_executor_keeps_copies_apart(client, tmp_path):
    executor = client.get_executor(pure=False)
    result = coded_map(
        partial(leave_a_sign, tmp_path),
        INPUTS[:1],
        ReplicationScheme(1, 4),
        executor,
        wait_for=4,
        timeout=WAIT,
    )
    assert result.responders.tolist() == [0, 1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("options", [{}, {"pure": True}], ids=["default", "pure"])
def test_executors_that_merge_copies_are_refused(options, client):
    merging = client.get_executor(**options)
    assert merging.submit(uuid.uuid4).result(WAIT) == merging.submit(uuid.uuid4).result(WAIT)
    with pytest.raises(ValueError, match=r"client.get_executor\(pure=False\)"):
        coded_map(double, INPUTS, FOUR, [client.get_executor(pure=False), merging])


# ---- what crosses


class Model:
    """Counts in its owner's process how often it is sent."""

    sent = 0

    def __init__(self):
        self.weights = np.full(500_000, 2.0)

    def __call__(self, coded_input):
        return self.weights[0] * coded_input

    def __getstate__(self):
        type(self).sent += 1
        return self.__dict__


class Keep(distributed.WorkerPlugin):
    """Brings a model to each worker when it starts."""

    name = "model"

    def __init__(self, model):
        self.model = model

    def setup(self, worker):
        worker.model = self.model


def predict(coded_input):
    return distributed.get_worker().model(coded_input)


def test_a_model_is_sent_once_and_again_to_a_worker_that_restarts(client, executors):
    client.register_plugin(Keep(Model()))
    Model.sent = 0
    for _ in range(3):
        result = coded_map(predict, INPUTS, FOUR, executors, wait_for=4, timeout=WAIT)
        assert np.array_equal(result.outputs, 2.0 * INPUTS)
    check_lost(KILLED, executors, distributed.KilledWorker)
    result = coded_map(predict, INPUTS, FOUR, executors, wait_for=4, timeout=WAIT)
    assert np.array_equal(result.outputs, 2.0 * INPUTS)
    assert Model.sent == 0
