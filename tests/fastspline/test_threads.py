import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import distributed
import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor

from fastspline import Smoother, _threads, smooth_spline
from fastspline._threads import _Team, cgroup_cpus, default_threads, run_blocks, usable_cpus
from tests.support.meanwhile import Meanwhile
from tests.support.strategies import make_knots

PLANS = {
    "reinsch": ("chebyshev", 24, 0.0, "reinsch"),
    "reinsch-mild": ("uniform", 60, 1e-7, "reinsch"),
    "innovations": ("uniform", 60, 1e6, "innovations"),
    "line": ("random", 24, np.inf, "state-space"),
    "two knots": ("uniform", 2, 0.5, None),
}


@pytest.fixture(params=PLANS.values(), ids=PLANS)
def smoother(request):
    kind, n, lam, solver = request.param
    smoother = Smoother(make_knots(kind, n), lam=lam)
    assert solver in (None, smoother.solver)
    return smoother


@pytest.fixture(params=[0, 1], ids=["values", "slopes"])
def operator(request, smoother):
    points = np.linspace(-1.3, 1.3, 41)
    return smoother.operator(points, nu=request.param)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_does_not_see_its_neighbours(operator, dtype, rng):
    m, n = operator.shape
    values = rng.standard_normal((n, 70)).astype(dtype)
    cotangent = rng.standard_normal((m, 70)).astype(dtype)
    together, pulled = operator(values), operator.adjoint(cotangent)
    for j in range(70):
        np.testing.assert_array_equal(operator(values[:, j]), together[:, j])
        np.testing.assert_array_equal(operator(values[:, : j + 1].copy()), together[:, : j + 1])
        np.testing.assert_array_equal(operator(values[:, j:]), together[:, j:])
        np.testing.assert_array_equal(operator.adjoint(cotangent[:, j]), pulled[:, j])
        np.testing.assert_array_equal(operator.adjoint(cotangent[:, j:].copy()), pulled[:, j:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fitted_column_does_not_see_its_neighbours(smoother, dtype, rng):
    values = rng.standard_normal((len(smoother.knots), 70)).astype(dtype)
    together = smoother.fit(values)
    points = np.linspace(-1.3, 1.3, 17)
    for j in range(0, 70, 3):
        alone = smoother.fit(values[:, j])
        np.testing.assert_array_equal(alone.values, together.values[:, j])
        np.testing.assert_array_equal(alone.second_derivatives, together.second_derivatives[:, j])
        for nu in range(4):
            np.testing.assert_array_equal(alone(points, nu), together(points, nu)[:, j])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 513, 20_000, 20_001])
def test_threads_change_no_bit(operator, dtype, count, rng):
    m, n = operator.shape
    values = rng.standard_normal((n, count)).astype(dtype)
    alone = operator(values, threads=1)
    for threads in (None, 2, 3, 64, np.int8(2)):
        np.testing.assert_array_equal(operator(values, threads=threads), alone)
    some = rng.integers(0, count, 5)
    np.testing.assert_array_equal(operator(values[:, some]), alone[:, some])
    cotangent = rng.standard_normal((m, count)).astype(dtype)
    pulled = operator.adjoint(cotangent, threads=1)
    for threads in (None, 2):
        np.testing.assert_array_equal(operator.adjoint(cotangent, threads=threads), pulled)


@pytest.mark.parametrize("threads", [1, 2, None])
def test_bad_value_is_found_by_any_thread(operator, threads):
    n = operator.shape[1]
    values = np.zeros((n, 20_000))
    values[1, 19_990] = np.nan
    with pytest.raises(ValueError, match=r"values\[1, 19990\]"):
        operator(values, threads=threads)
    np.testing.assert_array_equal(operator(np.zeros((n, 20_000)), threads=threads), 0.0)


@pytest.mark.parametrize("count", [3, 1500])
def test_one_operator_serves_many_threads_at_once(smoother, count, rng):
    operator = smoother.operator(np.linspace(-1.0, 1.0, 33))
    inputs = [rng.standard_normal((operator.shape[1], count)) for _ in range(8)]
    expected = [operator(values) for values in inputs]
    pulled = [operator.adjoint(result) for result in expected]
    together = threading.Barrier(8, timeout=60)

    def work(i):
        together.wait()
        return [(operator(inputs[i]), operator.adjoint(expected[i])) for _ in range(3)]

    with ThreadPoolExecutor(8) as pool:
        for i, answers in enumerate(pool.map(work, range(8), timeout=60)):
            for result, back in answers:
                np.testing.assert_array_equal(result, expected[i])
                np.testing.assert_array_equal(back, pulled[i])


def test_a_fresh_plan_and_spline_serve_many_threads_at_once(rng):
    """What is computed when first asked for is asked for by all threads at once."""
    places, values = make_knots("random", 50), rng.standard_normal((50, 4))
    points = np.linspace(0.0, 1.0, 20)

    def ask(smoother, spline):
        return (
            smoother.df,
            smoother.leverages,
            spline.gcv,
            spline.residual_variance,
            spline.second_derivatives,
            spline(points, 1),
            spline.to_ppoly()(points),
        )

    expected = ask(Smoother(places, lam=0.01), smooth_spline(places, values, lam=0.01))
    smoother, spline = Smoother(places, lam=0.01), smooth_spline(places, values, lam=0.01)
    together = threading.Barrier(8, timeout=60)

    def work(_):
        together.wait()
        return ask(smoother, spline)

    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(work, range(8), timeout=60):
            for actual, wanted in zip(answer, expected, strict=True):
                np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize(
    ("kind", "threads"), [(ValueError, 0), (ValueError, -1), (TypeError, 1.5), (TypeError, "2")]
)
def test_bad_threads_are_refused(kind, threads):
    operator = Smoother([0.0, 1.0], lam=0.0).operator([0.5])
    with pytest.raises(kind, match=r"threads"):
        operator(np.ones((2, 3)), threads=threads)
    with pytest.raises(kind, match=r"threads"):
        operator.adjoint(np.ones((1, 3)), threads=threads)


FORK = """
import os, threading
import numpy as np
from fastspline import Smoother

operator = Smoother(np.linspace(0.0, 1.0, 20), lam=0.0).operator(np.linspace(0.0, 1.0, 50))
values = np.ones((20, 100_000))
operator(values, threads=2)
stop = threading.Event()

def keep_busy():
    while not stop.is_set():
        operator(values, threads=2)

busy = threading.Thread(target=keep_busy)
busy.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        os._exit(0 if np.isclose(operator(values, threads=2), 1.0).all() else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
stop.set()
busy.join()
assert np.isclose(operator(values, threads=2), 1.0).all()
"""


def test_a_forked_child_has_threads_of_its_own():
    """Forks while threads are at work: a child must not wait for its parent's threads and locks."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)


QUIET_FORK = """
import os, signal, threading
from fastspline._threads import run_blocks

def count_threads():
    together = threading.Barrier(2, timeout=15)  # a block alone cannot pass
    return run_blocks(lambda *_: together.wait() * 0 - 1, [(0, 1), (1, 2)], threads=2)

assert count_threads() == -1
child = os.fork()
if child == 0:
    signal.alarm(30)  # ends a child that waits for threads which only its parent has
    os._exit(0 if count_threads() == -1 else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.skipif(usable_cpus() < 2, reason="a single processor gets no helpers")
def test_a_forked_child_starts_helpers_where_its_parent_is_at_rest():
    """Nobody is at work, so that the child gets helpers: those of the parent do not exist in it."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", QUIET_FORK], check=True, timeout=60)


EXIT = """
import numpy as np
from fastspline import Smoother

Smoother([0.0, 1.0], lam=0.0).operator(np.linspace(0.0, 1.0, 50))(np.ones((2, 200_000)), threads=2)
"""


def test_the_interpreter_exits_at_once():
    subprocess.run([sys.executable, "-c", EXIT], check=True, timeout=60)


def test_first_calls_of_many_threads_at_once_agree(rng):
    """Whichever thread lists the sweep's addresses first, none of them may be freed."""
    plan, points = Smoother(np.arange(600.0), lam=0.01), np.linspace(0, 599, 600)
    values = rng.standard_normal((600, 5)).astype(np.float32)
    expected = plan.operator(points)(values)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as pool:
            for _ in range(150):
                operator = plan.operator(points)
                futures = [pool.submit(operator, values.copy()) for _ in range(6)]
                results = [future.result(timeout=60) for future in futures]
                assert all(np.array_equal(result, expected) for result in results)
    finally:
        sys.setswitchinterval(interval)


def test_an_exception_leaves_no_thread_at_work():
    started, release, ended = threading.Event(), threading.Event(), []

    def work(first, _):
        if threading.current_thread() is threading.main_thread():
            assert started.wait(60)
            release.set()
            raise MemoryError
        started.set()
        assert release.wait(60)
        ended.append(first)
        return -1

    with pytest.raises(MemoryError):
        run_blocks(work, [(0, 1), (1, 2), (2, 3)], threads=2)
    assert len(ended) == 1, "the helper finished its block before the exception left"


def test_more_threads_than_blocks_start_no_more(rng):
    before = threading.active_count()
    operator = Smoother(np.arange(5.0), lam=0.0).operator([0.5])
    values = rng.standard_normal((5, 2000))
    for threads in (2, 50, 40_000):
        operator(values, threads=threads)
    assert threading.active_count() - before <= usable_cpus()


def test_callers_that_come_together_leave_each_other_alone():
    """The first caller takes the free processors as helpers; those that come meanwhile do not."""
    entered, release = threading.Semaphore(0), threading.Event()

    def hold(*_):
        entered.release()
        assert release.wait(60)
        return -1

    def count_threads():
        seen = set()
        run_blocks(lambda *_: seen.add(threading.get_ident()) or -1, blocks, threads=64)
        return len(seen)

    blocks = [(i, i + 1) for i in range(64)]
    with ThreadPoolExecutor(4) as callers:
        first = callers.submit(run_blocks, hold, blocks, 64)
        for _ in range(usable_cpus()):
            assert entered.acquire(timeout=60), "a processor is left idle"
        assert not entered.acquire(timeout=0.05), "more threads than processors"
        others = [callers.submit(count_threads) for _ in range(3)]
        assert [other.result(60) for other in others] == [1, 1, 1]
        release.set()
        assert first.result(60) == -1


class Wanted(int):
    """A number of helpers; another caller comes just as it is compared with what is free."""

    moment = None

    def __gt__(self, other):
        self.moment()
        return super().__gt__(other)


@pytest.mark.skipif(usable_cpus() < 2, reason="a single processor gets no helpers")
def test_callers_that_come_at_the_same_moment_never_share_a_processor():
    team, wanted, taken = _Team(), Wanted(usable_cpus() - 1), []
    wanted.moment = Meanwhile(lambda: taken.append(team.enter(usable_cpus() - 1)))
    taken.append(team.enter(wanted))
    wanted.moment.finish()
    assert sum(taken) == usable_cpus() - 1


def test_callers_that_work_alone_take_a_processor_each():
    """Where there are as many callers as processors, none of them gets a helper."""
    entered, release, seen = threading.Semaphore(0), threading.Event(), set()

    def hold(*_):
        entered.release()
        assert release.wait(60)
        return -1

    def look(*_):
        seen.add(threading.get_ident())
        release.wait(0.02)  # until a helper, if there is one, has begun
        return -1

    alone = usable_cpus() - 1
    with ThreadPoolExecutor(max(alone, 1)) as callers:
        others = [callers.submit(run_blocks, hold, [(0, 1), (1, 2)], 1) for _ in range(alone)]
        for _ in others:
            assert entered.acquire(timeout=60)
        run_blocks(look, [(i, i + 1) for i in range(16)], threads=64)
        release.set()
        assert [other.result(60) for other in others] == [-1] * alone
    assert seen == {threading.get_ident()}


def test_a_helper_that_does_not_wake_up_is_not_waited_for():
    """All that may help are asleep: the caller does it all, and goes on."""
    woken = threading.Event()
    pool = _threads._team.pool
    asleep = [pool.submit(woken.wait, 60) for _ in range(pool._max_workers)]
    try:
        seen = []
        assert run_blocks(lambda *block: seen.append(block) or -1, [(0, 1), (1, 2)], 2) == -1
        assert seen == [(0, 1), (1, 2)]
        assert not any(one.done() for one in asleep)
    finally:
        woken.set()


@pytest.mark.skipif(usable_cpus() < 2, reason="a single processor gets no helpers")
def test_helpers_keep_off_the_callers_processor():
    usable = os.sched_getaffinity(0)
    together = threading.Barrier(usable_cpus(), timeout=60)
    found = {}

    def look(*_):
        together.wait()
        found[threading.get_ident()] = os.sched_getaffinity(0)
        return -1

    for _ in range(2):  # those that the first call starts are told by the second
        run_blocks(look, [(i, i + 1) for i in range(usable_cpus())], threads=usable_cpus())
    assert found.pop(threading.get_ident()) == usable
    away = 1 if len(found) < _threads.LEAST_CROWDED else 0
    for theirs in found.values():
        assert theirs <= usable
        assert len(theirs) == len(usable) - away


def test_processors_are_free_again_after_an_exception():
    def fail(*_):
        raise MemoryError

    for _ in range(3):
        with pytest.raises(MemoryError):
            run_blocks(fail, [(0, 1), (1, 2)], threads=2)
    together = threading.Barrier(usable_cpus(), timeout=60)
    blocks = [(i, i + 1) for i in range(usable_cpus())]
    assert run_blocks(lambda *_: together.wait() * 0 - 1, blocks, threads=usable_cpus()) == -1


def test_many_callers_start_few_threads(rng):
    operator = Smoother(np.arange(9.0), lam=0.1).operator(np.linspace(0.0, 8.0, 60))
    values = rng.standard_normal((9, 20_000))
    expected, before = operator(values), threading.active_count()
    with ThreadPoolExecutor(8) as callers:
        results = [callers.submit(operator, values) for _ in range(32)]
        for result in results:
            np.testing.assert_array_equal(result.result(60), expected)
        assert threading.active_count() - before <= 8 + usable_cpus() - 1


AFFINITY = """
import os, threading
import numpy as np
from fastspline import Smoother
from fastspline._threads import default_threads

assert default_threads() == min(len(os.sched_getaffinity(0)), {usable})
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
assert default_threads() == 1
operator = Smoother([0.0, 1.0], lam=0.0).operator(np.linspace(0.0, 1.0, 50))
operator(np.ones((2, 200_000)))
operator(np.ones((2, 200_000)), threads=2)
assert threading.active_count() == 1
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_affinity_limits_threads():
    environment = {k: v for k, v in os.environ.items() if not k.endswith("NUM_THREADS")}
    program = AFFINITY.format(usable=usable_cpus())
    command = [sys.executable, "-c", program]
    subprocess.run(command, env=environment, check=True, timeout=60)


SETTINGS = ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 99),
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"NUMBA_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "64", "NUMBA_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": " 1,2 "}, 1),
        ({"OMP_NUM_THREADS": "64"}, 99),
        ({"OMP_NUM_THREADS": "0"}, 99),
        ({"OMP_NUM_THREADS": ""}, 99),
        ({"OMP_NUM_THREADS": "-1"}, 99),
        ({"OMP_NUM_THREADS": "many"}, 99),
    ],
    ids=str,
)
def test_environment_sets_the_default(settings, expected, monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert default_threads() == min(expected, usable_cpus())


UNLIMITED = sys.maxsize
CGROUPS = {
    "version 2": ("0::/", {"cpu.max": "150000 100000"}, 2),
    "version 2, no limit": ("0::/", {"cpu.max": "max 100000"}, UNLIMITED),
    "version 2, nested": (
        "0::/user/job/step",
        {"user/cpu.max": "300000 100000", "user/job/step/cpu.max": "max 100000"},
        3,
    ),
    "version 2, the host's name": ("0::/docker/4f2a", {"cpu.max": "50000 100000"}, 1),
    "version 1": (
        "5:memory:/x\n4:cpu,cpuacct:/a\n0::/",
        {"cpu,cpuacct/a/cpu.cfs_quota_us": "400000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
        4,
    ),
    "version 1, linked": (
        "4:cpuacct,cpu:/a/b",
        {"cpu/a/cpu.cfs_quota_us": "20000", "cpu/a/cpu.cfs_period_us": "10000"},
        2,
    ),
    "version 1, no limit": (
        "4:cpu:/",
        {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
        UNLIMITED,
    ),
    "hybrid": ("1:cpu:/\n0::/a", {"unified/a/cpu.max": "700000 100000"}, 7),
    "another controller": ("5:cpuset:/a", {"cpuset/a/cpu.max": "100000 100000"}, UNLIMITED),
    "nothing mounted": ("0::/a", {}, UNLIMITED),
    "unreadable": ("0::/", {"cpu.max": "plenty"}, UNLIMITED),
}


@pytest.mark.parametrize(("membership", "files", "expected"), CGROUPS.values(), ids=CGROUPS)
def test_cgroup_quota(membership, files, expected, tmp_path):
    (tmp_path / "membership").write_text(membership + "\n")
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text + "\n")
    (tmp_path / "cpu.max").write_text("10000 10000\n")  # above the mount: not ours
    assert cgroup_cpus(tmp_path / "cgroup", tmp_path / "membership") == expected


def test_real_cgroup_leaves_a_processor(tmp_path):
    assert cgroup_cpus(membership=tmp_path / "missing") == UNLIMITED
    assert 1 <= usable_cpus() <= cgroup_cpus()


@pytest.fixture
def work(rng, monkeypatch):
    for name in SETTINGS:  # joblib and Dask keep what the user has set
        monkeypatch.delenv(name, raising=False)
    operator = Smoother(np.arange(9.0), lam=0.1).operator(np.linspace(0.0, 8.0, 60))
    values = rng.standard_normal((9, 20_000))
    return operator, values, operator(values)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib_workers(backend, work):
    """Its processes get their share of processors; its threads share the helpers of this one."""
    operator, values, expected = work
    try:
        with joblib.Parallel(2, backend=backend) as parallel:
            counts = parallel(joblib.delayed(default_threads)() for _ in range(2))
            results = parallel(joblib.delayed(operator)(values) for _ in range(4))
        share = default_threads() if backend == "threading" else max(joblib.cpu_count() // 2, 1)
        assert counts == [min(share, usable_cpus())] * 2
        for result in results:
            np.testing.assert_array_equal(result, expected)
    finally:
        get_reusable_executor().shutdown(wait=True)


def test_dask_worker_uses_one_thread_a_task(work):
    operator, values, expected = work
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert client.submit(default_threads).result(60) == 1
        results = [client.submit(operator, values, pure=False) for _ in range(4)]
        for result in results:
            np.testing.assert_array_equal(result.result(60), expected)
