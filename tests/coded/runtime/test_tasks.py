"""The tasks at one executor, which several calls change at once."""

import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from time import perf_counter

import pytest

from coded.runtime.lateness import Question, Tasks, tasks_of
from tests.support.meanwhile import Meanwhile, quick_switches
from tests.support.worker_functions import WAIT


class Asked(Question):
    """A question that goes on; another thread acts while it is asked whether it does."""

    moment = None

    @property
    def has_ended(self):
        if self.moment is not None:
            self.moment()
        return False

    @has_ended.setter
    def has_ended(self, _):
        pass


class Watched(Future):
    """A future under way; another thread acts while it is asked so."""

    moment = None

    def done(self):
        if self.moment is not None:
            self.moment()
        return False


def give(tasks, future, question):
    turn = tasks.expect(question)
    tasks.add(future, turn, question)
    return turn


@pytest.mark.parametrize(
    "act",
    [
        lambda tasks, _, coming: tasks.add(Future(), coming, Question()),
        lambda tasks, given, _: tasks.drop(given, 2),
    ],
    ids=["gives one", "drops one"],
)
def test_a_call_may_ask_whether_one_is_stuck_while_another(act):
    tasks, future, given = Tasks(), Watched(), Future()
    give(tasks, future, Question())
    give(tasks, given, Question())
    coming = tasks.expect(Question())
    given.set_result(None)
    future.moment = Meanwhile(lambda: act(tasks, given, coming))
    assert not tasks.is_stuck()
    future.moment.finish()


@pytest.mark.parametrize(
    "act",
    [
        lambda tasks, _: tasks.expect(Question()),
        lambda tasks, coming: tasks.add(Future(), coming, Question()),
    ],
    ids=["expects one", "gives one"],
)
def test_a_call_may_expect_a_task_while_another(act):
    tasks, question = Tasks(), Asked()
    tasks.expect(question)
    coming = tasks.expect(Question())
    question.moment = Meanwhile(lambda: act(tasks, coming))
    assert tasks.expect(Question()) > coming
    question.moment.finish()


def test_turns_are_never_given_twice():
    tasks, together = Tasks(), threading.Barrier(4, timeout=WAIT)

    def expect_many(_):
        together.wait()
        return [tasks.expect(Question()) for _ in range(200)]

    with quick_switches(), ThreadPoolExecutor(4) as pool:
        turns = [turn for turns in pool.map(expect_many, range(4), timeout=WAIT) for turn in turns]
    assert sorted(turns) == list(range(1, 801))


class Idle(Executor):
    """Does nothing."""


def test_all_calls_find_the_same_tasks_at_an_executor():
    together = threading.Barrier(4, timeout=WAIT)

    def find(executors):
        found = []
        for executor in executors:
            together.wait()
            found.append(tasks_of(executor))
        return found

    executors = [Idle() for _ in range(300)]
    with quick_switches(), ThreadPoolExecutor(4) as pool:
        found = list(pool.map(find, [executors] * 4, timeout=WAIT))
    for at_one in zip(*found, strict=True):
        assert len({id(tasks) for tasks in at_one}) == 1


def test_an_early_task_that_is_answered_last_does_not_hide_that_later_ones_were():
    tasks, late, futures = Tasks(), Question(), [Future() for _ in range(3)]
    turns = [give(tasks, future, late) for future in futures]
    late.answer(perf_counter())
    late.end()
    deadline = perf_counter() + WAIT
    while not late.is_late:
        assert perf_counter() < deadline
    assert tasks.is_stuck()
    for k in (2, 0):
        futures[k].set_result(None)
        tasks.drop(futures[k], turns[k])
        assert not tasks.is_stuck()  # several take tasks here, for the third was answered
