import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch

from coded import (
    BatchedCouponCode,
    CyclicCode,
    FractionalRepetitionCode,
    GraphCode,
    InconsistentAnswersError,
    LocalWorkers,
    NotEnoughRespondersError,
    PartialCode,
    RandomCyclicCode,
    ReplicationScheme,
    coded_gradient,
)
from tests.support.digit_gradients import end_by_pid
from tests.support.worker_functions import WAIT, ManualExecutor

W = np.array([1.0, -2.0])


def times(parameters, i):
    return parameters * (i + 1.0)


def fail(*_):
    raise ArithmeticError("no data")


class Answering(ManualExecutor):
    """Answers the tasks of some workers at once; the others never do."""

    def __init__(self, *workers):
        super().__init__()
        self.workers = workers

    def submit(self, fn, /, *args, **kwargs):
        future = super().submit(fn, *args, **kwargs)
        if len(self.futures) - 1 in self.workers:
            self.answer(len(self.futures) - 1)
        return future


def ask(code, *workers, part=times, **terms):
    """Call with these workers alone; a call that waits for others ends after a while."""
    return coded_gradient(part, W, code, Answering(*workers), **{"timeout": 0.3, **terms})


def test_a_call_ends_as_soon_as_the_answers_can_be_decoded():
    """Three answers of six, where any five suffice; nobody else ever answers."""
    result = ask(FractionalRepetitionCode(6, 1), 0, 1, 5, timeout=WAIT)
    assert result.complete
    assert result.responders.tolist() == [0, 1, 5]
    np.testing.assert_allclose(result.outputs, 21.0 * W)
    assert result.exact
    assert "exact=1 of 1" in repr(result)


def test_a_call_does_not_end_before():
    with pytest.raises(
        NotEnoughRespondersError, match=r"4 of 6 .*FractionalRepetitionCode\(6, 1\)"
    ):
        ask(FractionalRepetitionCode(6, 1), 0, 1, 3, 4)


def test_a_cyclic_code_waits_for_all_but_the_stragglers():
    result = ask(CyclicCode(5, 2), 0, 2, 4, timeout=WAIT)
    np.testing.assert_allclose(result.outputs, 15.0 * W)
    with pytest.raises(NotEnoughRespondersError, match="2 of 5 workers answered"):
        ask(CyclicCode(5, 2), 0, 2)


def test_a_graph_code_estimates_and_says_so():
    code = GraphCode([(0, 1), (1, 2), (2, 0)], 1)
    result = ask(code, 0, 2, timeout=WAIT)
    assert result.complete
    assert result.exact.shape == ()
    assert not result.exact
    np.testing.assert_allclose(result.outputs, 2.0 / 3.0 * (2 * 1.0 + 2.0 + 3.0) * W)


def test_a_graph_code_is_waited_for_until_exact_where_that_is_asked():
    code = GraphCode([(0, 1), (1, 2), (2, 0)], 1)
    result = ask(code, 0, 1, 2, wait_for="exact", timeout=WAIT)
    assert result.exact
    np.testing.assert_allclose(result.outputs, 6.0 * W)
    result = ask(code, 0, 1, wait_for="exact")
    assert not result.complete
    assert not result.exact


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_small_integers_sum_beyond_their_dtype(kind):
    code = GraphCode.regular(6, 4, 3)
    for value, whole in (([200], 1200.0), ([True], 6.0)):
        one = kind(np.array(value, np.uint8 if value[0] is not True else np.bool_))
        result = ask(code, *range(12), part=lambda *_, one=one: one, wait_for=12, timeout=WAIT)
        assert result.exact
        assert result.outputs.tolist() == pytest.approx([whole])


def test_what_is_waited_for_can_be_said():
    code = FractionalRepetitionCode(6, 1)
    result = ask(code, 0, 1, 2, 3, wait_for=4, timeout=WAIT)
    assert result.responders.tolist() == [0, 1, 2, 3]
    result = ask(code, 0, 1, 2, 5, wait_for=lambda who: 5 in who, timeout=WAIT)
    assert result.complete
    result = ask(code, 0, 1, 2, wait_for=4)
    assert not result.complete
    np.testing.assert_allclose(result.outputs, 21.0 * W)


def test_answers_in_float32_that_would_round_too_much_are_waited_beyond():
    """Of 30 workers 19 consecutive ones suffice in float64, and one more is needed in float32."""
    code = CyclicCode(30, 11)
    w = np.float32([1.0, 2.0])
    with pytest.raises(NotEnoughRespondersError, match="19 of 30 workers answered"):
        coded_gradient(times, w, code, Answering(*range(19)), timeout=0.3)
    enough = next(n for n in range(20, 31) if code.can_decode(range(n), dtype=np.float32))
    result = coded_gradient(times, w, code, Answering(*range(enough)), timeout=WAIT)
    assert result.outputs.dtype == np.float32
    np.testing.assert_allclose(result.outputs, 465.0 * w, rtol=0.01)


@pytest.mark.parametrize(
    "code",
    [
        BatchedCouponCode(12, 4, 1),
        RandomCyclicCode(6, 2),
        GraphCode.regular(6, 4, 3),
        CyclicCode(7, 2),
    ],
)
def test_a_worker_who_adds_to_its_answer_is_left_out(code):
    def part(w, i):
        return times(w, i) + (asked[-1] == 2)

    asked = []

    class Watching(Answering):
        def submit(self, fn, /, *args, **kwargs):
            asked.append(len(self.futures))
            return super().submit(fn, *args, **kwargs)

    everyone = range(code.n_workers)
    result = coded_gradient(
        part, W, code, Watching(*everyone), wait_for=code.n_workers, timeout=WAIT
    )
    assert set(result.failures) == {2}
    assert "contradicts" in str(result.failures[2])
    assert 2 not in result.responders
    assert result.exact
    np.testing.assert_allclose(result.outputs, sum(times(W, i) for i in range(code.n_parts)))


def test_two_copies_that_differ_are_refused_for_either_may_be_wrong():
    job = FractionalRepetitionCode(4, 1).prepare(None)
    read = [job.read(n, np.array([answer]))[1] for n, answer in enumerate([1.0, 2.0, 1.0, 2.5])]
    with pytest.raises(InconsistentAnswersError, match="worker 1 or 3 perhaps") as caught:
        job.liars(read, np.arange(4))
    assert caught.value.suspects == (1, 3)


def test_two_liars_are_told_where_so_many_can_be_and_never_others_in_their_place():
    code = RandomCyclicCode(8, 5)
    job = code.prepare(None)
    for shift, named in ((1.0, (1, 6)), (0.0, ())):
        answers = code.encoding_matrix @ np.arange(24.0).reshape(8, 3) + 0.0
        answers[[1, 6]] += shift * np.array([[1.0], [-3.0]])
        read = [job.read(n, answer)[1] for n, answer in enumerate(answers)]
        assert job.liars(read, np.arange(8)) == named
    code = FractionalRepetitionCode(8, 3)  # two of four copies: either two may be wrong
    job = code.prepare(None)
    read = [job.read(n, np.array([1.0 + (n in (0, 2))]))[1] for n in range(8)]
    with pytest.raises(InconsistentAnswersError, match="contradict each other"):
        job.liars(read, np.arange(8))


def test_who_answered_is_told_as_it_happens():
    seen = []
    code = FractionalRepetitionCode(4, 1)
    ask(code, 0, 3, on_answer=lambda n, seconds: seen.append((n, seconds >= 0.0)), timeout=WAIT)
    assert seen == [(0, True), (3, True)]


def test_a_part_that_raises_is_told_and_tried_elsewhere():
    code = FractionalRepetitionCode(4, 1)
    with ThreadPoolExecutor(4) as pool, pytest.raises(NotEnoughRespondersError) as caught:
        coded_gradient(fail, W, code, pool, timeout=WAIT)
    assert "no data" in str(caught.value)
    assert sorted(caught.value.failures) == [0, 1, 2, 3]

    failed = []

    def fail_once(parameters, i):
        if i == 0 and len(failed) < 2:
            failed.append(i)
            raise OSError("disk")
        return times(parameters, i)

    with ThreadPoolExecutor(4) as pool:
        result = coded_gradient(fail_once, W, code, pool, timeout=WAIT)
    assert result.complete
    np.testing.assert_allclose(result.outputs, 10.0 * W)
    assert result.retries == 1


def test_parts_of_another_shape_are_failures_of_their_workers():
    def part(parameters, i):
        return parameters[:1] if i == 2 else parameters

    with ThreadPoolExecutor(4) as pool, pytest.raises(NotEnoughRespondersError) as caught:
        coded_gradient(part, W, FractionalRepetitionCode(4, 1), pool, timeout=WAIT)
    assert "part(parameters, 3) has shape (2,)" in str(caught.value.failures[1])


def test_gradients_that_are_not_finite_are_failures():
    with ThreadPoolExecutor(2) as pool, pytest.raises(NotEnoughRespondersError) as caught:
        coded_gradient(lambda w, _: w * np.inf, W, FractionalRepetitionCode(2, 0), pool)
    assert "finite" in str(caught.value)


def test_a_hedge_gives_a_slow_task_to_an_idle_worker():
    """Worker 2 alone is out for its group, and never answers; executor 4 is spare."""
    executors = [Answering(0), Answering(0), Answering(), Answering(0), Answering(0)]
    code = FractionalRepetitionCode(4, 0)
    result = coded_gradient(times, W, code, executors, hedge_after=0.05, timeout=WAIT)
    assert result.hedges == 1
    np.testing.assert_allclose(result.outputs, 10.0 * W)


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ({"part": 3}, TypeError, "part must be callable, got 3; pass a function"),
        ({"code": FractionalRepetitionCode}, TypeError, "GradientCode, got <class .*not its class"),
        ({"code": ReplicationScheme(2, 4)}, TypeError, "must be a GradientCode"),
        ({"executor": None}, TypeError, "executor must be"),
        ({"parameters": np.array([np.nan])}, ValueError, "parameters must be finite"),
        ({"wait_for": 5}, ValueError, r"wait_for must lie in \[1, 4\]"),
        ({"wait_for": "all"}, ValueError, "wait_for must be"),
        ({"timeout": -1.0}, ValueError, "timeout must be"),
        ({"hedge_after": "p99"}, ValueError, "hedge_after must be"),
        ({"retries": -1}, ValueError, "retries must"),
        ({"on_answer": 1}, TypeError, "on_answer must be callable"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_submitted(bad, error, words):
    executor = ManualExecutor()
    given = {"part": times, "parameters": W, "code": FractionalRepetitionCode(4, 1)}
    given |= {"executor": executor} | bad
    with pytest.raises(error, match=words):
        coded_gradient(**given)
    assert not executor.futures


@pytest.fixture
def workers():
    with LocalWorkers(3) as workers:
        workers.wait()
        yield workers


@pytest.mark.outer
@pytest.mark.parametrize("code", [FractionalRepetitionCode(3, 2), CyclicCode(3, 2)], ids=repr)
def test_killed_processes_are_done_without(workers, code):
    """Two of three processes end by SIGKILL as they begin; nobody is asked again."""
    signals = {(pid, i): signal.SIGKILL for pid in workers.pids[1:] for i in range(3)}
    part = partial(end_by_pid, signals)
    result = coded_gradient(part, W, code, workers.executors, retries=0, timeout=WAIT)
    assert result.complete
    assert result.responders.tolist() == [0]
    np.testing.assert_allclose(result.outputs, 6.0 * W)


@pytest.mark.outer
def test_killed_processes_are_replaced_where_the_sum_needs_them(workers):
    """All three end by SIGKILL at their first task."""
    signals = {(pid, i): signal.SIGKILL for pid in workers.pids for i in range(3)}
    result = coded_gradient(
        partial(end_by_pid, signals), W, CyclicCode(3, 0), workers.executors, timeout=WAIT
    )
    assert result.complete
    assert result.retries == 3
    np.testing.assert_allclose(result.outputs, 6.0 * W)


@pytest.mark.outer
def test_what_frozen_processes_have_finished_counts(workers):
    """Executor 0 freezes at its first part, executor 1 at its second, whose first one counts."""
    code = PartialCode(3, 1, parts_each=1)
    pids = workers.pids
    signals = {(pids[0], 0): signal.SIGSTOP, (pids[1], 2): signal.SIGSTOP}
    result = coded_gradient(
        partial(end_by_pid, signals), W, code, workers.executors, retries=0, timeout=WAIT
    )
    assert result.complete
    assert result.responders.tolist() == [1, 2, 5]  # parts 1, 2 and 0, the last by executor 2
    np.testing.assert_allclose(result.outputs, 6.0 * W)
