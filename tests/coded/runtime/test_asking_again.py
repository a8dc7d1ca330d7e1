"""Tasks that are asked again: lost ones, slow ones; and those that nobody needs any longer."""

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from coded import (
    BerrutScheme,
    CodedModel,
    KernelScheme,
    LagrangeScheme,
    MDSScheme,
    NotEnoughRespondersError,
    ReplicationScheme,
    SplineScheme,
    coded_map,
    coded_map_async,
)
from coded.runtime.call import Call
from coded.runtime.exact_goal import exact_goal
from coded.runtime.request import read_request
from coded.runtime.scheme_job import SchemeCode
from coded.runtime.terms import Terms
from tests.support.worker_functions import WAIT, ManualExecutor, double

FOUR = np.array([1.0, 2.0, 3.0, 4.0])


class Played:
    """A call whose workers the test plays, without a thread that waits."""

    def __init__(self, scheme, executors, fn=double, inputs=None, **terms):
        inputs = np.arange(1.0, 1.0 + scheme.n_inputs) if inputs is None else inputs
        request = read_request(fn, (inputs,), SchemeCode(scheme), executors, Terms(**terms))
        self.arrivals, self.executors = [], executors
        self.call = Call(request, request.prepare(), self.arrivals.append)
        self.call.submit()
        self.steps = self.call.steps()
        next(self.steps)
        self.seconds = self.complete = None

    def step(self):
        """Let the call take what has come; False once it has ended."""
        taken = self.arrivals.copy()
        self.arrivals.clear()
        for attempt, _ in taken:
            self.call.arrivals.fetch(attempt)
        try:
            self.seconds = self.steps.send(taken)
            if self.seconds == 0.0:  # it has taken them, and looks once more
                self.seconds = self.steps.send([])
        except StopIteration as done:
            self.complete = done.value
            self.call.cancel()
            return False
        return True

    def answer(self, executor, task=-1):
        """Let an executor compute one of its tasks."""
        self.executors[executor].answer(task)
        return self.step()

    def fail(self, executor, task=-1):
        self.executors[executor].futures[task].set_exception(ArithmeticError("lost"))
        return self.step()

    def asked(self):
        """How many tasks each executor was given."""
        return [len(executor.futures) for executor in self.executors]

    def result(self):
        return self.call.result(complete=self.complete)


def manual(count):
    return [ManualExecutor() for _ in range(count)]


# ---- what exact means


@pytest.mark.parametrize(
    ("scheme", "responders", "is_met"),
    [
        (ReplicationScheme(2, 4), [0, 2], False),
        (ReplicationScheme(2, 4), [0, 1], True),
        (ReplicationScheme(4, 2), [0], False),  # two inputs have no worker at all
        (ReplicationScheme(4, 2), [0, 1], True),
        (KernelScheme(2, 5), [1, 4], False),
        (BerrutScheme(3, 8, n_stragglers=3), [0, 1, 2, 3], False),  # never exact
        (BerrutScheme(3, 8, n_stragglers=3), [0, 1, 2, 3, 4], True),
        (SplineScheme.paper(4, 12, n_stragglers=5), np.arange(6), False),
        (SplineScheme.paper(4, 12, n_stragglers=5), np.arange(7), True),
        (LagrangeScheme(2, 6, degree=2), [0, 1], False),
        (LagrangeScheme(2, 6, degree=2), [0, 3, 5], True),
        (MDSScheme(2, 4), [2, 3], True),
    ],
    ids=str,
)
def test_exact_means_that_nothing_more_can_become_exact(scheme, responders, is_met):
    job = SchemeCode(scheme).prepare(np.arange(1.0, 1.0 + scheme.n_inputs))
    assert exact_goal(job).is_met(np.asarray(responders)) == is_met


def test_of_equal_rows_one_answer_is_enough():
    job = SchemeCode(ReplicationScheme(3, 6)).prepare([1.0, 1.0, 2.0])
    goal = exact_goal(job, np.array([0, 0, 1]))
    assert not goal.is_met(np.array([0, 1]))
    assert goal.is_met(np.array([1, 2]))


@pytest.mark.parametrize(
    "scheme", [ReplicationScheme(4, 8), KernelScheme(4, 8), SplineScheme(4, 12)], ids=repr
)
def test_codes_of_copies_wait_for_exact_answers_by_themselves(scheme):
    """Whoever comes first: any order of arrival, healthy workers."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        executors = manual(scheme.n_workers)
        call = Played(scheme, executors)
        for n in rng.permutation(scheme.n_workers):
            if not executors[n].futures[0].done() and not call.answer(n):
                break
        result = call.result()
        assert result.complete
        assert result.exact.all()
        assert np.array_equal(result.outputs, 2.0 * FOUR)


def test_at_the_timeout_there_are_estimates():
    executors = manual(8)
    call = Played(KernelScheme(4, 8), executors, timeout=1.0)
    mine = [n for n in range(8) if executors[n].tasks[0][1][0] != 1.0]
    for n in mine:
        if not executors[n].futures[0].done():
            call.answer(n)
    threading.Event().wait(1.0)
    call.step()  # takes those that were cancelled
    assert not call.step()
    result = call.result()
    assert not result.complete
    assert result.exact.tolist() == [False, True, True, True]
    assert result.std[0] > 0.0


def test_what_nobody_out_can_make_exact_is_not_waited_for():
    executors = manual(4)
    call = Played(ReplicationScheme(2, 4), executors, retries=0)
    call.fail(0)
    call.fail(2)  # both copies of the first input
    assert not call.answer(1)  # worker 3 has the second one, which is exact now
    assert call.result().exact.tolist() == [False, True]
    assert call.result().complete is False


# ---- retries


def test_a_lost_task_is_asked_again_of_another_worker_that_is_idle():
    executors = manual(2)
    call = Played(ReplicationScheme(2, 2), executors)
    call.answer(0)
    assert call.fail(1)
    assert call.asked() == [2, 1]
    assert not call.answer(0)
    result = call.result()
    assert result.complete
    assert result.exact.all()
    assert (result.retries, result.hedges) == (1, 0)
    assert isinstance(result.failures[1], ArithmeticError)  # it did fail
    assert np.array_equal(result.outputs, [2.0, 4.0])


def test_a_lost_task_waits_for_a_worker_that_lives():
    """Those at work may be frozen: who answers next is alive."""
    executors = manual(3)
    call = Played(ReplicationScheme(3, 3), executors)
    call.fail(1)
    assert call.asked() == [1, 1, 1]
    call.answer(2)
    assert call.asked() == [1, 1, 2]


def test_a_lost_task_waits_for_a_worker_that_has_lost_none():
    """Whoever lost a task at once, as a server that is gone, would lose the other at once too."""
    executors = manual(3)
    call = Played(ReplicationScheme(3, 3), executors)
    call.fail(0)
    call.fail(1)
    assert call.asked() == [1, 1, 1]
    for _ in range(2):
        assert call.answer(2)
    assert not call.answer(2)
    assert call.result().exact.all()


def test_a_lost_task_does_not_wait_for_a_worker_that_seems_frozen():
    executors = manual(3)
    call = Played(ReplicationScheme(3, 3), executors, retries=2)
    call.answer(1)
    call.fail(0)
    call.fail(1)
    assert call.asked() == [1, 2, 1]  # worker 2 may answer yet
    threading.Event().wait(0.1)  # clearly twice as long as the answer took
    call.step()
    assert call.asked() == [2, 2, 1]


def test_half_of_the_timeout_is_left_to_ask_those_that_have_lost_something():
    """Where nobody has answered, so that nobody knows how long it takes."""
    executors = manual(2)
    call = Played(ReplicationScheme(2, 2), executors, timeout=2.0)
    call.fail(0)
    assert call.asked() == [1, 1]
    threading.Event().wait(1.1)
    call.step()
    assert call.asked() == [2, 1]


def test_a_worker_that_is_soon_idle_is_waited_for():
    """Although what it is at is exact already; by then it can be asked for what was lost."""
    executors = manual(2)
    for executor in executors:
        executor.submit = running(executor)
    call = Played(ReplicationScheme(2, 4), executors)
    call.answer(1, task=0)
    call.fail(0, task=0)
    assert call.fail(0, task=1)  # both copies of the first input
    assert call.asked() == [2, 2]
    assert call.answer(1)
    assert not call.answer(1)
    assert call.result().exact.all()


def test_a_lost_task_goes_back_where_nobody_else_is_left():
    executors = manual(1)
    call = Played(ReplicationScheme(1, 1), executors)
    call.fail(0)
    assert call.asked() == [2]
    assert not call.answer(0)
    assert call.result().exact.all()


def test_a_copy_that_is_still_out_is_enough():
    executors = manual(5)
    call = Played(ReplicationScheme(2, 4), executors)
    call.fail(0)
    assert call.asked() == [1, 1, 1, 1, 0]  # worker 2 has that input too
    call.fail(2)
    assert sum(call.asked()) == 5
    assert call.asked()[4] == 1  # the spare one


def test_f_that_raises_everywhere_is_asked_once_more_and_no_further():
    asked = []

    def fail(x):
        asked.append(float(x))
        raise ArithmeticError("everywhere")

    with (
        ThreadPoolExecutor(2) as pool,
        pytest.raises(NotEnoughRespondersError, match="ArithmeticError: everywhere"),
    ):
        coded_map(fail, [1.0, 2.0], ReplicationScheme(2, 2), pool, timeout=WAIT)
    assert sorted(asked) == [1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (1, 2), (3, 4)])
def test_so_often_as_it_is_told(retries, tries):
    asked = []

    def fail_often(x):
        asked.append(float(x))
        if x == 1.0 and asked.count(1.0) <= 3:
            raise ArithmeticError("not yet")
        return 2.0 * x

    scheme = ReplicationScheme(2, 2, fallback="mean")
    with ThreadPoolExecutor(2) as pool:
        result = coded_map(fail_often, [1.0, 2.0], scheme, pool, retries=retries, timeout=WAIT)
    assert asked.count(1.0) == tries
    assert result.retries == tries - 1
    assert result.exact[0] == (retries == 3)


def test_a_number_of_answers_asks_nobody_again_unless_told():
    executors = manual(3)
    call = Played(ReplicationScheme(2, 2, fallback="mean"), executors, wait_for=2)
    call.fail(0)
    assert not call.answer(1)
    assert call.asked() == [1, 1, 0]
    call = Played(ReplicationScheme(2, 2), executors := manual(3), wait_for=2, retries=1)
    call.fail(0)
    assert call.asked() == [1, 1, 1]


def test_a_timeout_tells_why_the_task_was_asked_again():
    executors = manual(2)
    call = Played(ReplicationScheme(1, 2, fallback="mean"), executors, timeout=0.05)
    call.fail(0)
    call.fail(1)
    threading.Event().wait(0.06)
    assert not call.step()
    with pytest.raises(NotEnoughRespondersError) as caught:
        call.result()
    late = [e for e in caught.value.failures.values() if isinstance(e, TimeoutError)]
    assert late
    assert isinstance(late[0].__cause__, ArithmeticError)


# ---- withdrawn


def test_queued_copies_of_exact_outputs_are_cancelled():
    executors = manual(4)
    call = Played(ReplicationScheme(2, 4), executors)
    call.answer(0)
    assert executors[2].futures[0].cancelled()
    assert not executors[3].futures[0].cancelled()


def test_a_running_copy_is_left_alone():
    executors = manual(4)
    for executor in executors:
        executor.submit = running(executor)
    call = Played(ReplicationScheme(2, 4), executors)
    call.answer(0)
    assert not executors[2].futures[0].cancelled()


def running(executor):
    """Make an executor begin with each task at once."""
    submit = executor.submit

    def submit_and_begin(fn, /, *args, **kwargs):
        future = submit(fn, *args, **kwargs)
        future.set_running_or_notify_cancel()
        return future

    return submit_and_begin


def test_a_withdrawn_copy_is_asked_after_all_where_the_answer_counts_for_nothing():
    """The first answer had a shape of its own, which shows only later."""
    executors = manual(5)
    call = Played(ReplicationScheme(2, 5, placement=[0, 1, 0, 1, 1]), executors)
    executors[0].futures[0].set_result(np.zeros(7))
    call.step()
    assert executors[2].futures[0].cancelled()
    call.answer(1)
    ended = not call.answer(3)
    while not ended:
        to = next(e for e, one in enumerate(executors) if not one.futures[-1].done())
        ended = not call.answer(to)
    result = call.result()
    assert result.exact.all()
    assert np.array_equal(result.outputs, [2.0, 4.0])
    assert "shape" in str(result.failures[0])


# ---- hedges


def test_an_idle_worker_is_asked_for_what_takes_long():
    executors = manual(3)
    call = Played(ReplicationScheme(2, 2), executors, hedge_after=0.05)
    call.step()
    assert 0.0 < call.seconds <= 0.05
    threading.Event().wait(0.06)
    call.step()
    assert sum(call.asked()) == 3
    assert call.asked()[2] == 1
    call.answer(2)
    hedged = next(n for n in (0, 1) if executors[n].futures[0].cancelled())
    assert not call.answer(1 - hedged)
    result = call.result()
    assert result.exact.all()
    assert result.hedges == 2  # who had answered was idle, and the other one late too
    assert result.failures == {}


def test_who_was_overtaken_by_a_hedge_is_asked_last():
    """It may be frozen, although its task was cancelled and it seems to have nothing to do."""
    executors = manual(4)
    executors[3].busy = True
    call = Played(ReplicationScheme(2, 2), executors, hedge_after=0.05)
    threading.Event().wait(0.06)
    call.step()
    call.answer(2)
    assert call.asked() == [1, 1, 2, 0]  # the hedge of the other one too
    assert executors[0].futures[0].cancelled()
    executors[3].busy = False
    call.fail(1)
    call.fail(2)
    assert call.asked() == [1, 1, 2, 1]


def test_nobody_who_has_something_to_do_is_asked():
    executors = manual(3)
    executors[2].busy = True
    call = Played(ReplicationScheme(2, 2), executors, hedge_after=0.01)
    threading.Event().wait(0.02)
    call.step()
    assert call.asked() == [1, 1, 0]
    executors[2].busy = False
    call.step()
    assert call.asked() == [1, 1, 1]


def test_of_an_input_with_copies_one_more_is_asked_not_one_a_copy():
    executors = manual(8)
    call = Played(ReplicationScheme(2, 6), executors, hedge_after=0.01)
    call.answer(0)
    threading.Event().wait(0.02)
    call.step()
    assert sum(call.asked()) == 7  # of the input that is missing, on one of two spare workers


def test_a_code_that_needs_k_answers_asks_for_as_many_as_are_missing():
    executors = manual(8)
    call = Played(MDSScheme(3, 5), executors, hedge_after=0.01)
    call.answer(0)
    threading.Event().wait(0.02)
    call.step()
    assert sum(call.asked()) == 7


def test_a_lone_pool_is_asked_once_more():
    release, asked = threading.Event(), []

    def slow_at_first(x):
        asked.append(float(x))
        if asked.count(1.0) == 1 and x == 1.0:
            assert release.wait(WAIT)
        return 2.0 * x

    with ThreadPoolExecutor(4) as pool:
        result = coded_map(
            slow_at_first, [1.0, 2.0], ReplicationScheme(2, 2), pool, hedge_after=0.05, timeout=WAIT
        )
        release.set()
    assert result.exact.all()
    assert sorted(asked) == [1.0, 1.0, 2.0]
    assert result.hedges == 1


def test_p95_goes_by_the_last_answers_and_by_no_fewer_than_twenty():
    release = threading.Event()

    def wait(x):
        if x == 0.0:
            assert release.wait(WAIT)
        return x

    pools = [ThreadPoolExecutor(1) for _ in range(3)]
    scheme = ReplicationScheme(2, 2)

    def call(inputs, timeout):
        return coded_map(wait, inputs, scheme, pools, hedge_after="p95", timeout=timeout)

    for _ in range(9):
        assert call([1.0, 2.0], WAIT).hedges == 0
    assert call([0.0, 1.0], 0.3).hedges == 0  # 19 answers: nobody knows yet
    release.set()
    assert call([1.0, 2.0], WAIT).exact.all()
    release.clear()
    for pool in pools:  # who was late is idle again
        pool.submit(abs, 1).result(WAIT)
    began = time.perf_counter()
    assert call([0.0, 1.0], 2.0).hedges >= 1
    assert time.perf_counter() - began < 2.5
    release.set()
    for pool in pools:
        pool.shutdown()


def test_a_share_keeps_hedges_from_doubling_the_work():
    """Ten at once, then one for every twenty tasks."""
    release = threading.Event()

    def slow(x):
        assert release.wait(WAIT)
        return x

    pools = [ThreadPoolExecutor(1) for _ in range(60)]
    model = CodedModel(
        slow, ReplicationScheme(20, 20), pools, hedge_after=0.02, hedge_share=0.05, timeout=0.5
    )
    with pytest.raises(NotEnoughRespondersError):
        model(np.arange(20.0))
    asked = sum(pool._work_queue.qsize() + len(pool._threads) for pool in pools)
    release.set()
    assert asked == 20 + 10
    for pool in pools:
        pool.shutdown()


def test_the_first_answer_counts_and_the_other_is_dropped():
    executors = manual(3)
    call = Played(ReplicationScheme(2, 2), executors, hedge_after=0.01)
    threading.Event().wait(0.02)
    call.step()
    task = executors[2].tasks[0][1][0]
    slow = 0 if task == 1.0 else 1
    executors[2].futures[0].set_result(np.float64(2.0 * task))
    executors[slow].futures[0].set_result(np.float64(-1.0))  # both have come
    assert call.step()
    assert not call.answer(1 - slow)
    assert np.array_equal(call.result().outputs, [2.0, 4.0])


def test_after_a_ctrl_c_nothing_that_was_asked_again_stays():
    executors = manual(3)
    call = Played(ReplicationScheme(2, 2), executors, hedge_after=0.01)
    threading.Event().wait(0.02)
    call.step()
    call.call.cancel()  # as whoever waits does, however the wait ends
    futures: list[Future] = [one for executor in executors for one in executor.futures]
    assert len(futures) == 3
    assert all(future.cancelled() for future in futures)


# ---- the terms


@pytest.mark.parametrize(
    ("terms", "error", "words"),
    [
        ({"wait_for": "all"}, ValueError, "'all'; \"exact\" waits"),
        ({"hedge_after": "p99"}, ValueError, 'hedge_after must be seconds, "p95" or None'),
        ({"hedge_after": 0.0}, ValueError, "hedge_after must be a positive, finite number"),
        ({"hedge_after": True}, TypeError, "hedge_after must be a number of seconds"),
        ({"hedge_after": float("nan")}, ValueError, "hedge_after must be a positive"),
        ({"retries": -1}, ValueError, "retries must"),
        ({"retries": 1.5}, TypeError, "retries must"),
        ({"on_output": 3}, TypeError, "on_output must be callable or None"),
    ],
    ids=str,
)
def test_bad_terms_are_refused_before_anything_is_submitted(terms, error, words):
    pool = ManualExecutor()
    with pytest.raises(error, match=words):
        coded_map(double, [1.0, 2.0], ReplicationScheme(2, 2), pool, **terms)
    assert not pool.futures


@pytest.mark.parametrize(
    ("share", "error"), [(-0.1, ValueError), (1.5, ValueError), ("x", TypeError), (True, TypeError)]
)
def test_a_bad_share_is_refused(share, error):
    with pytest.raises(error, match="hedge_share must"):
        CodedModel(double, ReplicationScheme(2, 2), ManualExecutor(), hedge_share=share)


# ---- outputs as they become exact


@pytest.mark.parametrize("is_async", [False, True])
def test_outputs_come_as_they_become_exact_and_estimates_last(is_async):
    release, told = threading.Event(), []

    def f(x):
        if x == 1.0:
            assert release.wait(WAIT)
            raise ArithmeticError("after all")
        return 2.0 * x

    def on_output(k, output, std):
        told.append((k, float(output), std))
        if len(told) == 3:
            release.set()

    arguments = (f, FOUR, ReplicationScheme(4, 4, fallback="nearest"))
    with ThreadPoolExecutor(4) as pool:
        terms = {"on_output": on_output, "timeout": WAIT}
        if is_async:
            result = asyncio.run(coded_map_async(*arguments, pool, **terms))
        else:
            result = coded_map(*arguments, pool, **terms)
    assert sorted(told[:3]) == [(1, 4.0, 0.0), (2, 6.0, 0.0), (3, 8.0, 0.0)]
    assert told[3] == (0, 4.0, result.std[0])
    assert len(told) == 4


def test_outputs_of_nests_come_in_their_nesting():
    told = {}

    def f(nest):
        return {"sum": nest[0] + nest[1], "both": (nest[0], nest[1])}

    inputs = (np.array([1.0, 2.0]), np.array([10.0, 20.0]))
    with ThreadPoolExecutor(2) as pool:
        coded_map(
            f, inputs, ReplicationScheme(2, 2), pool, timeout=WAIT,
            on_output=lambda k, output, _: told.__setitem__(k, output),
        )  # fmt: skip
    assert told == {
        0: {"sum": 11.0, "both": (1.0, 10.0)},
        1: {"sum": 22.0, "both": (2.0, 20.0)},
    }


def test_a_code_that_mixes_gives_all_outputs_at_the_end():
    told = []
    with ThreadPoolExecutor(2) as pool:
        coded_map(
            double, [1.0, 2.0], MDSScheme(2, 4), pool, timeout=WAIT,
            on_output=lambda k, output, std: told.append((k, float(output.round(9)), std)),
        )  # fmt: skip
    assert told == [(0, 2.0, 0.0), (1, 4.0, 0.0)]


def test_tasks_for_estimates_alone_make_room_where_one_is_late():
    """Some coded inputs lie between the inputs, and make no output exact."""
    inputs, executors = np.linspace(0.0, 1.0, 20), manual(8)
    call = Played(KernelScheme(20, 24), executors, inputs=inputs, hedge_after=0.2)
    own = set(inputs.tolist())
    asked = [(e, i) for e in range(8) for i in range(len(executors[e].futures))]
    mixed = [(e, i) for e, i in asked if float(executors[e].tasks[i][1][0]) not in own]
    assert mixed
    for e, i in asked:
        is_own = (e, i) not in mixed and float(executors[e].tasks[i][1][0]) != inputs[7]
        if is_own and not executors[e].futures[i].done():
            call.answer(e, i)
    assert not any(executors[e].futures[i].cancelled() for e, i in mixed)
    threading.Event().wait(0.25)
    call.step()
    assert all(executors[e].futures[i].cancelled() for e, i in mixed)
    to = next(e for e in range(8) if len(executors[e].futures) == 4)  # who was idle
    assert not call.answer(to)
    assert call.result().exact.all()


# ---- workers that are behind when the call begins


class Behind(ManualExecutor):
    """Says that others keep it busy."""

    busy = True


def test_a_task_of_a_worker_behind_that_nobody_else_has_goes_to_one_that_is_not():
    """Of whom it is known that it does not answer soon, as of a process that starts."""
    executors = [Behind(), *manual(3), ManualExecutor()]
    call = Played(ReplicationScheme(4, 4), executors)
    assert call.asked() == [0, 1, 1, 1, 1]  # the spare one
    for e in (1, 2, 3):
        assert call.answer(e)
    assert not call.answer(4)
    assert call.result().exact.all()


def test_of_copies_that_are_all_at_workers_behind_one_goes_elsewhere():
    executors = [Behind(), ManualExecutor(), Behind(), ManualExecutor()]
    call = Played(ReplicationScheme(2, 4), executors)
    assert call.asked() in ([0, 2, 0, 1], [0, 1, 0, 2])
    assert len(call.call.failures) == 1  # the other copy waits for its own worker


def test_where_all_are_behind_all_are_asked():
    executors = [Behind() for _ in range(4)]
    assert Played(ReplicationScheme(2, 4), executors).asked() == [1, 1, 1, 1]
