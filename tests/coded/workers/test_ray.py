"""RayExecutor on a real Ray cluster of three nodes: processes, signals, a node that dies."""

import gc
import os
import subprocess
import sys
import time
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from functools import lru_cache, partial

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.exceptions import NodeDiedError, RayTaskError, WorkerCrashedError

from coded import RayExecutor, ReplicationScheme, SplineScheme, coded_map
from tests.support.faults import (
    FAULTS,
    FOUR,
    INPUTS,
    KILLED,
    QUICK,
    UNPICKLABLE,
    check_all_killed,
    check_frozen,
    check_interrupted,
    check_late,
    check_lost,
    check_nothing_piles_up,
    check_placed,
    check_well,
    check_wrong_shape,
)
from tests.support.meanwhile import Meanwhile
from tests.support.worker_functions import WAIT, double, touch, wait_for_file

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def cluster():
    """A head that runs no tasks and two nodes with two places each, which have names."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_AUTH_MODE", "disabled")  # tokens are written to the home folder
        head = {
            "num_cpus": 0,
            "resources": {"head": 1},
            "include_dashboard": False,
            # Ray's default is to notice the death of a node after about 15 s.
            "_system_config": {"health_check_period_ms": 200, "health_check_failure_threshold": 3},
        }
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for n in range(2):
            places = {f"place {2 * n}": 1, f"place {2 * n + 1}": 1}
            cluster.add_node(num_cpus=2, resources=places, wait=False)
        cluster.wait_for_nodes(WAIT)
        ray.init(cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def executors(cluster):  # noqa: ARG001 (which is up)
    """One executor a place; all of them up."""
    places = [RayExecutor(resources={f"place {n}": 1}) for n in range(4)]
    wait([place.submit(os.getpid) for place in places], WAIT)
    return places


def answer_node(_):
    return int(ray.get_runtime_context().get_node_id()[:8], 16)


# ---- faults


@pytest.mark.parametrize("fault", [*FAULTS, UNPICKLABLE], ids=str)
def test_a_worker_that_fails_is_told_of(fault, executors):
    check_lost(fault, executors)


def test_an_answer_of_another_shape_is_lost(executors, tmp_path):
    check_wrong_shape(executors, tmp_path)


def test_a_killed_worker_loses_its_task_only(executors):
    check_lost(KILLED, executors, WorkerCrashedError)
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


def test_an_error_has_its_traceback_in_the_worker_as_cause(executors):
    error = executors[0].submit(FAULTS[0], 0.0).exception(WAIT)
    assert type(error) is ArithmeticError
    assert isinstance(error.__cause__, RayTaskError)
    assert "raise_error" in str(error.__cause__)


# ---- where tasks run


@pytest.mark.usefixtures("executors")
def test_one_executor_for_the_cluster():
    inputs = np.linspace(0.0, 1.0, 4)
    scheme = SplineScheme(4, 8)
    result = coded_map(double, inputs, scheme, RayExecutor(), wait_for=8, timeout=WAIT)
    assert result.complete
    np.testing.assert_allclose(result.outputs, 2.0 * inputs, atol=1e-9)


@pytest.mark.usefixtures("cluster")
def test_one_executor_a_node_that_can_run_a_task():
    executors = RayExecutor.for_nodes()
    assert len(executors) == 2  # the head has no CPU: a task bound to it would wait for ever
    nodes = [executor.submit(answer_node, 0).result(WAIT) for executor in executors]
    assert len(set(nodes)) == 2
    result = coded_map(answer_node, INPUTS, FOUR, executors, wait_for=4, timeout=WAIT)
    assert result.outputs.tolist() == [*nodes, *nodes]
    assert len(RayExecutor.for_nodes(num_cpus=0)) == 3
    assert len(RayExecutor.for_nodes(resources={"place 0": 1})) == 1
    with pytest.raises(RuntimeError, match=r"no living node of the Ray cluster has .*'GPU': 1"):
        RayExecutor.for_nodes(num_gpus=1)


def test_a_dead_node_is_a_straggler_and_then_left_out(cluster, tmp_path):
    doomed = cluster.add_node(num_cpus=1, resources={"doomed": 1})
    executors = RayExecutor.for_nodes()
    assert len(executors) == 3
    (last,) = RayExecutor.for_nodes(resources={"doomed": 1})
    task = last.submit(hold, tmp_path / "started", tmp_path / "release", 0.0)
    wait_for_file(tmp_path / "started")
    cluster.remove_node(doomed, allow_graceful=False)
    assert isinstance(task.exception(WAIT), NodeDiedError | WorkerCrashedError)
    deadline = time.monotonic() + WAIT
    while len(RayExecutor.for_nodes()) > 2:  # Ray sees to that in its own time
        assert time.monotonic() < deadline
        time.sleep(0.05)
    scheme = ReplicationScheme(3, 3, n_stragglers=1, fallback="mean")
    executors = [*RayExecutor.for_nodes(), last]
    result = coded_map(double, INPUTS[1:], scheme, executors, wait_for=2, timeout=WAIT)
    assert result.complete
    assert result.responders.tolist() == [0, 1]


@pytest.mark.usefixtures("cluster")
def test_workers_need_neither_this_package_nor_the_function():
    fresh = RayExecutor(num_cpus=0, resources={"head": 1})  # where no other test runs anything
    loaded = "[name for name in ('coded', 'tests') if name in __import__('sys').modules]"
    assert fresh.submit(eval, loaded).result(WAIT) == []


# ---- what crosses


def add_in_place(coded_input):
    coded_input += 1.0
    return coded_input


def test_large_arrays_cross_without_a_copy_and_read_only(executors):
    array = np.arange(1e6)
    answer = executors[0].submit(np.negative, array).result(WAIT)
    assert not answer.flags.writeable
    assert np.array_equal(answer, -array)
    inputs = np.arange(2e6).reshape(2, -1)
    scheme = SplineScheme(2, 4)
    result = coded_map(np.negative, inputs, scheme, executors, wait_for=4, timeout=WAIT)
    np.testing.assert_allclose(result.outputs, -inputs, atol=1e-6)
    assert result.outputs.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        executors[0].submit(add_in_place, array).result(WAIT)


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


@lru_cache(maxsize=1)
def load(reference):
    return ray.get(reference)


def predict(reference, coded_input):
    return load(reference)(coded_input)


def test_a_model_is_sent_once(executors):
    Model.sent = 0
    f = partial(predict, ray.put(Model()))
    for _ in range(3):
        result = coded_map(f, INPUTS, FOUR, executors, wait_for=4, timeout=WAIT)
        assert np.array_equal(result.outputs, 2.0 * INPUTS)
    assert Model.sent == 1


def test_an_answer_is_freed_with_its_future(executors):
    future = executors[0].submit(np.zeros, 1_000_000)
    answer = weakref.ref(future.result(WAIT))
    assert answer() is not None
    del future
    gc.collect()
    assert answer() is None


# ---- cancelling


def hold(started, release, coded_input):
    touch(started)
    wait_for_file(release)
    return 2.0 * coded_input


def test_a_cancelled_task_never_runs(executors, tmp_path):
    started, release, sign = (tmp_path / name for name in ("started", "release", "sign"))
    running = executors[0].submit(hold, started, release, 1.0)
    wait_for_file(started)
    queued = [executors[0].submit(touch, sign) for _ in range(3)]
    assert all(future.cancel() for future in queued)
    assert not wait(queued, QUICK).not_done
    with pytest.raises(CancelledError):
        queued[0].result(0)
    release.touch()
    assert running.result(WAIT) == 2.0
    assert executors[0].submit(abs, -1).result(WAIT) == 1
    assert not sign.exists()


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("force", [False, True])
def test_a_cancelled_running_task_frees_its_place(force, tmp_path):
    executor = RayExecutor(force=force, resources={"place 1": 1})
    pid = executor.submit(os.getpid).result(WAIT)
    running = executor.submit(hold, tmp_path / "started", tmp_path / "never", 1.0)
    wait_for_file(tmp_path / "started")
    assert running.cancel()
    assert running.cancel()
    assert not wait([running], QUICK).not_done
    assert (executor.submit(os.getpid).result(WAIT) != pid) == force


def test_a_call_cancels_what_it_leaves(executors, tmp_path):
    release = tmp_path / "never"
    f = partial(hold_zero, release)
    for _ in range(3):
        result = coded_map(f, INPUTS, FOUR, executors, wait_for=3, timeout=WAIT)
        assert result.responders.tolist() == [1, 2, 3]
    check_well(executors)  # within WAIT, though nobody released the first one


def hold_zero(release, coded_input):
    if coded_input == 0.0:
        wait_for_file(release)
    return 2.0 * coded_input


# ---- its end


@pytest.mark.usefixtures("cluster")
def test_shutdown_refuses_waits_and_leaves_the_cluster():
    with RayExecutor() as executor:
        futures = [executor.submit(time.sleep, 0.2) for _ in range(4)]
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="was shut down; make another one"):
        executor.submit(abs, -1)
    executor.shutdown()
    assert RayExecutor().submit(abs, -1).result(WAIT) == 1


def test_shutdown_under_a_call_ends_it(executors, tmp_path):
    started, release = tmp_path / "started", tmp_path / "never"
    with ThreadPoolExecutor(1) as caller:
        f = partial(hold, started, release)
        call = caller.submit(
            coded_map, f, INPUTS, FOUR, [executors[0], *executors[:3]], timeout=WAIT
        )
        wait_for_file(started)
        for executor in executors:
            executor.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(ValueError, match=r"4 failed.*cancelled by its executor"):
            call.result(WAIT)


@pytest.mark.usefixtures("executors")
class Packed:
    """Lets another thread act as it is pickled, which `submit` does in the caller's thread."""

    def __init__(self, moment):
        self._moment = moment

    def __reduce__(self):
        self._moment()
        return float, (1.0,)


def test_a_task_given_as_the_executor_is_shut_down_is_cancelled_too(executors, tmp_path):
    started, release = tmp_path / "started", tmp_path / "release"
    executor = executors[0]
    running = executor.submit(hold, started, release, 1.0)
    wait_for_file(started)
    moment = Meanwhile(lambda: executor.shutdown(wait=False, cancel_futures=True))
    given = executor.submit(hold, started, release, Packed(moment))
    moment.finish()
    assert given.cancelled()
    assert running.cancelled()
    release.touch()


def test_many_threads_share_an_executor():
    executor = RayExecutor()
    with ThreadPoolExecutor(8) as callers:
        calls = [
            callers.submit(coded_map, double, INPUTS + n, FOUR, executor, wait_for=4, timeout=WAIT)
            for n in range(16)
        ]
        for n, call in enumerate(calls):
            assert np.array_equal(call.result(WAIT).outputs, 2.0 * (INPUTS + n))
    executor.shutdown()


def test_nothing_piles_up(executors):
    check_nothing_piles_up(executors)


def test_without_ray_or_its_cluster_the_cure_is_told():
    program = (
        "import sys\n"
        "from coded import RayExecutor\n"
        "for make in (RayExecutor, RayExecutor.for_nodes):\n"
        "    try:\n"
        "        make()\n"
        "    except RuntimeError as error:\n"
        "        print(error)\n"
        "del sys.modules['coded.workers.ray_executor']\n"
        "sys.modules['ray'] = None\n"
        "try:\n"
        "    import coded.workers.ray_executor\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT, check=True
    )
    first, second, third = done.stdout.splitlines()
    assert first == second
    assert first.startswith("Ray is not initialised in this process; call ray.init()")
    assert 'not installed; install the extra "ray": pip install "fastspline[ray]"' in third


# ---- bad arguments


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"force": 1}, TypeError, "force must be True or False, got 1"),
        ({"num_returns": 2}, ValueError, "a future has one result; return a tuple"),
        ({"cpus": 1}, ValueError, "Invalid option keyword cpus"),
    ],
    ids=["force", "returns", "unknown"],
)
def test_bad_options(options, kind, words):
    with pytest.raises(kind, match=words):
        RayExecutor(**options)
