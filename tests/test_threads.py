import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastspline import Smoother, smooth_spline
from fastspline._threads import run_blocks, usable_cpus
from tests.strategies import make_knots

PLANS = {
    "reinsch": ("chebyshev", 24, 0.0, "reinsch"),
    "reinsch-mild": ("uniform", 60, 1e-7, "reinsch"),
    "state-space": ("uniform", 60, 1e6, "state-space"),
    "line": ("random", 24, np.inf, None),
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
    for threads in (None, 2, 3, 64):
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
import os
import numpy as np
from fastspline import Smoother

operator = Smoother(np.linspace(0.0, 1.0, 20), lam=0.0).operator(np.linspace(0.0, 1.0, 50))
values = np.ones((20, 200_000))
operator(values, threads=2)
child = os.fork()
if child == 0:
    os._exit(0 if np.isclose(operator(values, threads=2), 1.0).all() else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
"""


def test_a_forked_child_has_threads_of_its_own():
    """A fork after we have started threads: the child must not wait for threads that it lacks."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)


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
