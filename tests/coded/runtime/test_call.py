"""When a call asks the workers that are behind after all, without a thread that waits for it."""

import threading
from math import inf
from time import perf_counter

import numpy as np
import pytest

from coded import ReplicationScheme, WorkerBusyError
from coded.runtime.call import Call
from coded.runtime.request import read_request
from coded.runtime.scheme_job import SchemeCode
from coded.runtime.terms import Terms
from tests.support.faults import Copies
from tests.support.worker_functions import WAIT, ManualExecutor, double

RECALL = 0.5  # seconds, as the docstring of `coded_map` says
CODE = SchemeCode(Copies(4, 4, n_stragglers=1, fallback="mean"))


class Busy(ManualExecutor):
    """Says that others keep it busy."""

    busy = True


@pytest.fixture
def executors():
    return [*(ManualExecutor() for _ in range(3)), Busy()]


def begin(executors, timeout=None, wait_for=None):
    request = read_request(
        double, ([1.0, 2.0, 3.0, 4.0],), CODE, executors, Terms(wait_for=wait_for, timeout=timeout)
    )
    arrivals = []
    call = Call(request, request.prepare(), arrivals.append)
    call.submit()
    return call, call.steps(), arrivals


def asked(executors):
    return [len(executor.futures) for executor in executors]


def fail(executors, n, call, arrivals):
    executors[n].futures[0].set_exception(ArithmeticError("lost"))
    call.arrivals.fetch(n)
    taken = arrivals.copy()
    arrivals.clear()
    return taken


@pytest.mark.parametrize(("timeout", "recall"), [(None, RECALL), (WAIT, RECALL), (0.3, 0.15)])
def test_workers_behind_are_asked_after_half_a_second_or_half_the_timeout(
    timeout, recall, executors
):
    before = perf_counter()
    call, steps, _ = begin(executors, timeout)
    submitted = perf_counter()
    assert isinstance(call.failures[3], WorkerBusyError)
    assert next(steps) == 0.0
    asking = perf_counter()
    seconds = steps.send([])
    # The call began between `before` and `submitted`, and said how long to wait since `asking`.
    assert before + recall - perf_counter() <= seconds
    assert seconds <= max(submitted + recall - asking, 0.0)
    assert asked(executors)[3] == 0 or perf_counter() - before >= recall
    threading.Event().wait(seconds)  # as a caller does to whom nothing comes
    while not asked(executors)[3] and perf_counter() - before < WAIT:
        steps.send([])
    assert asked(executors) == [1, 1, 1, 1]
    assert 3 not in call.failures
    call.cancel()


def test_workers_behind_are_asked_at_once_where_the_others_cannot_suffice(executors):
    call, steps, arrivals = begin(executors)
    next(steps)
    steps.send([])
    assert steps.send(fail(executors, 1, call, arrivals)) == 0.0
    steps.send([])
    assert asked(executors) == [1, 1, 1, 1]
    assert list(call.failures) == [1]
    call.cancel()


def test_without_workers_behind_a_call_waits_for_its_deadline(executors):
    call, steps, _ = begin([*executors[:3], ManualExecutor()])
    assert next(steps) == 0.0
    assert steps.send([]) == inf
    call.cancel()


def test_a_caller_who_changes_the_list_of_executors_does_not_change_the_call(executors):
    given = executors.copy()
    request = read_request(
        double, ([1.0, 2.0, 3.0, 4.0],), CODE, given, Terms(wait_for=4, timeout=None)
    )
    given[0] = ManualExecutor()
    call = Call(request, request.prepare(), [].append)
    call.submit()
    assert asked([*executors, given[0]]) == [1, 1, 1, 1, 0]
    call.cancel()


def test_of_two_shapes_given_equally_often_one_more_answer_decides():
    """Also where the call cannot be complete, and the shape seen first would give all outputs."""
    executors = [ManualExecutor() for _ in range(6)]
    scheme = ReplicationScheme(2, 6, fallback="mean", placement=[0, 1, 0, 1, 0, 1])
    request = read_request(
        double, ([1.0, 2.0],), SchemeCode(scheme), executors, Terms(wait_for=6, timeout=None)
    )
    arrivals = []
    call = Call(request, request.prepare(), arrivals.append)
    call.submit()
    steps = call.steps()
    next(steps)
    steps.send([])
    assert steps.send(fail(executors, 0, call, arrivals)) == 0.0
    steps.send([])
    for n, shape in ((2, (1,)), (1, (2,)), (3, (2,)), (5, (1,))):
        executors[n].futures[0].set_result(np.zeros(shape))
        call.arrivals.fetch(n)
        assert steps.send([arrivals.pop()]) == 0.0
        assert steps.send([]) == inf  # still waits
    executors[4].futures[0].set_result(np.ones(2))
    call.arrivals.fetch(4)
    assert steps.send([arrivals.pop()]) == 0.0
    with pytest.raises(StopIteration):
        steps.send([])
    assert call.result(complete=False).responders.tolist() == [1, 3, 4]
    assert sorted(call.failures) == [0, 2, 5]
    call.cancel()
