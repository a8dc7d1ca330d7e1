import asyncio
import copy
import logging
import os
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import (
    AnalogLagrangeScheme,
    CodedModel,
    FieldLagrangeScheme,
    KernelScheme,
    LagrangeScheme,
    LocalWorkers,
    NotEnoughRespondersError,
    ParityScheme,
    ReplicationScheme,
    SplineScheme,
    WorkerBusyError,
    coded_map,
)
from coded.runtime.lateness import tasks_of
from tests.support.worker_functions import (
    WAIT,
    ManualExecutor,
    double,
    fail_on_zero,
    wait_until_gone,
)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def model_on(pool, fn=double, n_inputs=3, n_workers=6, **arguments):
    """Wait for all workers, so that all outputs are exact."""
    scheme = SplineScheme(n_inputs, n_workers)
    return CodedModel(fn, scheme, pool, wait_for=n_workers, timeout=WAIT, **arguments)


def dead_executor():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    return executor


def some_dead(n_workers, dead):
    """Make a worker each, some of which refuse all tasks."""
    return [dead_executor() if n in dead else ThreadPoolExecutor(1) for n in range(n_workers)]


@given(data=st.data(), n_rows=st.integers(1, 17), n_inputs=st.integers(1, 5))
def test_any_batch_gives_f_of_every_row_in_order(pool, data, n_rows, n_inputs):
    values = st.floats(-100.0, 100.0, width=32)
    batch = np.array(data.draw(st.lists(values, min_size=n_rows, max_size=n_rows)))
    model = model_on(pool, np.sin, n_inputs, n_inputs + 2)
    np.testing.assert_array_equal(model(batch), np.sin(batch))


def test_rows_may_have_any_shape_and_kind(pool, rng):
    model = model_on(pool)
    images = rng.random((5, 2, 3), dtype=np.float32)
    outputs = model(images)
    assert outputs.dtype == np.float32
    np.testing.assert_array_equal(outputs, 2.0 * images)
    tensors = model(torch.from_numpy(images))
    assert isinstance(tensors, torch.Tensor)
    np.testing.assert_array_equal(tensors.numpy(), 2.0 * images)


def swap(row):
    return {"sum": row["a"].sum() + row["b"], "a": (row["a"], 3.0 * row["b"])}


def test_nests_go_in_and_come_out(pool, rng):
    a, b = rng.random((7, 2)), rng.random(7)
    outputs = model_on(pool, swap)({"a": a, "b": b})
    np.testing.assert_allclose(outputs["sum"], a.sum(axis=1) + b, rtol=1e-15)
    np.testing.assert_array_equal(outputs["a"][0], a)
    np.testing.assert_array_equal(outputs["a"][1], 3.0 * b)


def test_similar_rows_share_a_group_and_groups_are_of_equal_size(pool):
    batch = np.array([0.0, 100.0, 1.0, 101.0, 2.0, 102.0, 3.0, 103.0])
    answered = model_on(pool, n_inputs=5).run(batch)
    groups = sorted(sorted(set(group.tolist())) for group in answered.groups)
    assert groups == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert all(len(group) == 5 for group in answered.groups)


def test_a_code_over_complex_numbers_takes_groups_too(pool, rng):
    batch = rng.normal(size=(7, 2)) + 1j * rng.normal(size=(7, 2))
    model = CodedModel(double, AnalogLagrangeScheme(3, 6, degree=1), pool, timeout=WAIT)
    np.testing.assert_allclose(model(batch), 2.0 * batch, rtol=1e-9)


def test_a_code_over_whole_numbers_takes_groups_too(pool, rng):
    batch = rng.integers(-50, 50, size=(7, 2))
    model = CodedModel(np.square, FieldLagrangeScheme(3, 6, degree=2), pool, timeout=WAIT)
    np.testing.assert_array_equal(model(batch), batch**2)


def test_a_batch_of_k_is_one_coded_map(rng):
    batch = rng.normal(size=(4, 3))
    scheme = SplineScheme(4, 8, n_stragglers=4)
    executors = some_dead(8, {0, 3, 5})
    answered = CodedModel(np.sin, scheme, executors, wait_for=5, timeout=WAIT).run(batch)
    expected = coded_map(np.sin, batch, scheme, executors, wait_for=5, timeout=WAIT)
    np.testing.assert_array_equal(answered.outputs, expected.outputs)
    np.testing.assert_array_equal(answered.std, expected.std)
    np.testing.assert_array_equal(answered.exact, expected.exact)
    assert answered.complete
    assert list(answered.results[0].failures) == list(expected.failures)
    assert repr(answered).startswith(
        "CodedBatch(4 outputs from 1 groups, complete=True, failures=3"
    )


def test_a_row_that_fills_several_places_has_the_best_of_its_outputs():
    # Rows 0, 0, 1, 1; of workers 1 and 2 alone, places 0 and 3 get the mean, a wrong output.
    scheme = ReplicationScheme(4, 4, n_stragglers=2, fallback="mean")
    model = CodedModel(double, scheme, some_dead(4, {0, 3}), timeout=WAIT)
    answered = model.run(np.array([1.0, 5.0]))
    assert answered.outputs.tolist() == [2.0, 10.0]
    assert answered.exact.tolist() == [True, True]
    assert answered.groups[0].tolist() == [0, 0, 1, 1]


def test_a_row_that_fills_several_places_has_an_exact_output_where_no_errors_are_known():
    # One row twice; the first one's worker is dead, and the parity model is wrong.
    scheme = ParityScheme(2, 3, parity_models=[np.zeros_like])
    answered = CodedModel(double, scheme, some_dead(3, {0}), timeout=WAIT).run(np.array([3.0]))
    assert answered.results[0].outputs.tolist() != [6.0, 6.0]
    assert answered.std is None
    assert (answered.outputs.tolist(), answered.exact.tolist()) == ([6.0], [True])


def test_one_row_survives_all_workers_but_one():
    scheme = ReplicationScheme(4, 4, n_stragglers=3, fallback="mean")
    model = CodedModel(double, scheme, some_dead(4, {0, 1, 3}), timeout=WAIT)
    assert model([3.0]).tolist() == [6.0]


def test_codes_without_error_estimates_give_no_std(pool):
    answered = CodedModel(double, LagrangeScheme(3, 6, degree=2), pool, timeout=WAIT).run(
        np.arange(5.0)
    )
    assert answered.std is None
    assert answered.exact.shape == (5,)


class Worker(ManualExecutor):
    """One worker, fulfilled by hand, which says as LocalWorkers' do that it is at a task."""

    @property
    def busy(self):
        return any(not future.done() for future in self.futures)

    def start(self):
        """Begin the last task: it can no longer be cancelled."""
        assert self.futures[-1].set_running_or_notify_cancel()

    def answer_last(self):
        self.answer(len(self.futures) - 1)


class Calling:
    """A call in a thread."""

    def __init__(self, model, batch):
        self.error, self.answered = None, None
        self.thread = threading.Thread(target=self._run, args=(model, batch), daemon=True)
        self.thread.start()

    def _run(self, model, batch):
        try:
            self.answered = model.run(batch)
        except Exception as error:  # noqa: BLE001 (raised by finish)
            self.error = error

    def finish(self):
        self.thread.join(WAIT)
        assert not self.thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.answered


def wait_for_tasks(workers):
    for worker in workers:
        assert worker.submitted.acquire(timeout=WAIT)


def pairs(workers, **arguments):
    """Two rows, each at two of four workers; any three suffice."""
    scheme = ReplicationScheme(2, 4, fallback=None)
    return CodedModel(double, scheme, workers, timeout=WAIT, **arguments)


PAIR = np.array([1.0, 2.0])


def test_the_next_group_waits_at_the_workers_but_not_the_one_after():
    workers = [Worker() for _ in range(4)]
    call = Calling(pairs(workers), np.arange(6.0))
    for _ in range(2):
        wait_for_tasks(workers)
    assert not workers[0].submitted.acquire(timeout=0.05)
    for worker in workers:
        worker.answer(0)
    wait_for_tasks(workers)  # the third
    for worker in workers:
        worker.answer(1)
        worker.answer(2)
    assert call.finish().outputs.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


def test_workers_at_work_for_a_running_call_are_asked():
    workers = [Worker() for _ in range(4)]
    model = pairs(workers)
    first = Calling(model, PAIR)
    wait_for_tasks(workers)
    for worker in workers:
        worker.start()
    second = Calling(pairs(workers), 10.0 * PAIR)  # another model on the same workers
    wait_for_tasks(workers)
    for worker in workers:
        worker.answer(0)
        worker.answer(1)
    assert first.finish().outputs.tolist() == [2.0, 4.0]
    assert second.finish().outputs.tolist() == [20.0, 40.0]
    assert not second.answered.results[0].failures


def leave_behind(model, workers, late, seconds):
    """Answer a call by all workers but one, which goes on working at it."""
    call = Calling(model, PAIR)
    wait_for_tasks(workers)
    workers[late].start()
    time.sleep(seconds)
    for worker in workers:
        if worker is not workers[late]:
            worker.answer_last()
    return call.finish()


def test_a_worker_far_behind_is_not_asked_until_it_is_free():
    workers = [Worker() for _ in range(4)]
    model = pairs(workers)
    first = leave_behind(model, workers, late=3, seconds=0.0)
    assert first.results[0].stragglers.tolist() == [3]
    time.sleep(0.2)  # the first call took less
    others = workers[:3]
    second = Calling(model, 3.0 * PAIR)
    wait_for_tasks(others)
    for worker in others:
        worker.answer_last()
    assert isinstance(second.finish().results[0].failures[3], WorkerBusyError)
    assert second.answered.outputs.tolist() == [6.0, 12.0]
    assert len(workers[3].futures) == 1
    workers[3].answer(0)
    third = Calling(model, PAIR)
    wait_for_tasks(workers)
    for worker in workers:
        worker.answer_last()
    assert not third.finish().results[0].failures


def test_a_worker_a_little_behind_is_asked():
    workers = [Worker() for _ in range(4)]
    model = pairs(workers)
    leave_behind(model, workers, late=3, seconds=2.0)
    second = Calling(model, PAIR)
    wait_for_tasks(workers)
    for worker in workers:
        worker.answer_last()
    assert not second.finish().results[0].failures


def test_a_worker_busy_for_somebody_else_is_not_asked():
    workers = [Worker() for _ in range(4)]
    workers[2].submit(double, 1.0)
    workers[2].submitted.acquire()
    others = [workers[n] for n in (0, 1, 3)]
    call = Calling(pairs(workers), PAIR)
    wait_for_tasks(others)
    for worker in others:
        worker.answer_last()
    assert isinstance(call.finish().results[0].failures[2], WorkerBusyError)


def test_too_few_answers_are_an_error_and_cancel_the_other_groups():
    workers = [Worker() for _ in range(4)]
    call = Calling(pairs(workers, retries=0), np.arange(4.0))
    for _ in range(2):
        wait_for_tasks(workers)
    for worker in workers:
        worker.futures[0].set_exception(ArithmeticError("a hard group"))
    with pytest.raises(NotEnoughRespondersError, match="0 of 4 workers answered"):
        call.finish()
    assert all(worker.futures[1].cancelled() for worker in workers)
    assert not any(tasks_of(worker).is_any() for worker in workers)


def test_an_incomplete_answer_tells_so():
    scheme = ReplicationScheme(2, 4, n_stragglers=2, fallback="mean")
    model = CodedModel(double, scheme, some_dead(4, {0, 1}), wait_for=3, timeout=WAIT)
    assert not model.run(PAIR).complete


def test_failures_are_logged_but_shown_to_nobody_who_does_not_ask(pool, caplog, capfd):
    scheme = ReplicationScheme(3, 6, fallback="mean")
    model = CodedModel(fail_on_zero, scheme, pool, wait_for=6, timeout=WAIT)
    model(np.array([0.0, 1.0, 2.0]))
    assert capfd.readouterr() == ("", "")
    with caplog.at_level(logging.INFO, logger="coded.runtime.model"):
        model(np.array([0.0, 1.0, 2.0]))
    texts = [record.message for record in caplog.records]
    assert sum("failed: ArithmeticError: zero is hard" in text for text in texts) == 2
    assert sum("fewer answers than wanted: CodedResult" in text for text in texts) == 1


def length_by_sign(row):
    return np.ones(2 if row < 0.0 else 3)


def test_answers_of_different_shapes_are_an_error(pool):
    batch = np.array([-1.0, -1.1, -1.2, 1.0, 1.1, 1.2])
    with pytest.raises(ValueError, match=r"one shape, but gave .* in one group"):
        model_on(pool, length_by_sign)(batch)


def test_many_threads_may_call_at_once(pool, rng):
    model = model_on(pool, np.sin)
    batches = [rng.normal(size=(1 + i % 8, 2)) for i in range(160)]
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(model, batches, timeout=WAIT))
    for batch, outputs in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(outputs, np.sin(batch))


def test_a_coroutine_may_await_it(pool):
    outputs = asyncio.run(asyncio.to_thread(model_on(pool), PAIR))
    assert outputs.tolist() == [2.0, 4.0]


def test_killed_and_frozen_workers_cost_no_answer_and_are_replaced(rng):
    with LocalWorkers(6, patience=0.5) as workers:
        workers.wait(WAIT)
        pids = workers.pids
        model = CodedModel(np.sin, SplineScheme(3, 6), workers.executors, timeout=WAIT)
        batches = [rng.normal(size=(1 + i % 7, 2)) for i in range(40)]
        os.kill(pids[1], signal.SIGKILL)
        os.kill(pids[4], signal.SIGSTOP)
        with ThreadPoolExecutor(4) as callers:
            answers = list(callers.map(model.run, batches, timeout=WAIT))
        for batch, answered in zip(batches, answers, strict=True):
            where = answered.exact
            np.testing.assert_array_equal(answered.outputs[where], np.sin(batch)[where])
        deadline = time.monotonic() + WAIT
        while {pids[1], pids[4]} & set(workers.pids):
            assert time.monotonic() < deadline
            model(batches[0])
            time.sleep(0.05)
        wait_until_gone([pids[1], pids[4]])
        workers.wait(WAIT)
        last = CodedModel(np.sin, SplineScheme(3, 6), workers.executors, wait_for=6, timeout=WAIT)
        assert last.run(batches[0]).exact.all()


def test_close_refuses_calls_and_leaves_the_executors_alone(pool):
    with model_on(pool) as model:
        assert repr(model).startswith("CodedModel(double, SplineScheme(3, 6")
    model.close()
    assert repr(model).endswith("1 executors, closed)")
    with pytest.raises(RuntimeError, match="make another one"):
        model(PAIR)
    assert pool.submit(abs, -1).result(WAIT) == 1


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_stays_in_its_process(pool, duplicate):
    with pytest.raises(TypeError, match="build it where it is called"):
        duplicate(model_on(pool))


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([], ValueError, r"batch must hold at least one row .* got shape \(0,\)"),
        (np.empty((2, 0)), ValueError, r"got shape \(2, 0\)"),
        (3.0, ValueError, r"got shape \(\); stack the inputs"),
        ([1.0, np.nan], ValueError, "batch"),
        ([None], TypeError, "batch"),
        (({}, PAIR), ValueError, r"batch\[0\] holds an empty dict"),
    ],
)
def test_a_bad_batch_is_refused_at_the_door(batch, error, message):
    with pytest.raises(error, match=message):
        pairs([ManualExecutor()])(batch)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"fn": 3}, TypeError, "fn must be callable"),
        ({"scheme": SplineScheme}, TypeError, "scheme must be a coded Scheme"),
        ({"executors": "pool"}, TypeError, "executor must be"),
        ({"executors": []}, ValueError, "at least one Executor"),
        ({"timeout": 0}, ValueError, "timeout must be a positive"),
        ({"wait_for": 5}, ValueError, r"wait_for must lie in \[1, 4\]"),
    ],
)
def test_bad_settings_are_refused_at_the_door(changed, error, message):
    settings = {"fn": double, "scheme": ReplicationScheme(2, 4), "executors": ManualExecutor()}
    settings = {"wait_for": None, "timeout": None} | settings | changed
    with pytest.raises(error, match=message):
        CodedModel(**settings)


# ---- exact first, and what is counted


def test_healthy_workers_give_exact_answers_at_every_batch_size():
    """Whatever the order of arrival: nothing is estimated while there is time."""
    rng = np.random.default_rng(0)

    def jittered(x):
        time.sleep(float(rng.exponential(0.003)))
        return 2.0 * x

    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(8)]
        model = CodedModel(jittered, KernelScheme(4, 8), pools)
        for size in range(1, 17):
            rows = rng.standard_normal((size, 3))
            batch = model.run(rows)
            assert batch.complete
            assert batch.exact.all()
            assert np.array_equal(batch.outputs, 2.0 * rows)
    assert model.counters == {
        "calls": 16, "answers": 136, "estimates": 0, "retries": 0, "hedges": 0, "losses": 0,
    }  # fmt: skip


def test_a_row_that_fills_several_places_needs_one_answer():
    workers = [Worker() for _ in range(4)]
    call = Calling(CodedModel(double, ReplicationScheme(2, 4), workers), PAIR[:1])
    wait_for_tasks(workers)
    workers[3].answer_last()
    assert np.array_equal(call.finish().outputs, [2.0])
    assert [worker.futures[0].cancelled() for worker in workers] == [True, True, True, False]


def test_a_code_that_needs_more_answers_than_rows_gets_them():
    workers = [Worker() for _ in range(4)]
    call = Calling(pairs(workers), PAIR[:1])  # which decodes only what has an answer in each place
    wait_for_tasks(workers)
    workers[3].answer_last()
    workers[2].answer_last()
    assert np.array_equal(call.finish().outputs, [2.0])


def test_estimates_and_losses_are_counted_and_told_once_a_minute(caplog):
    def fail(x):
        if x == 1.0:
            raise ArithmeticError("one is hard")
        return 2.0 * x

    with ThreadPoolExecutor(4) as pool, caplog.at_level("WARNING", logger="coded"):
        model = CodedModel(fail, ReplicationScheme(2, 4), pool, timeout=WAIT)
        for _ in range(3):
            batch = model.run(np.array([1.0, 2.0]))
            assert batch.exact.tolist() == [False, True]
            assert not batch.complete
            assert batch.std is not None
            assert all(isinstance(error, ArithmeticError) for error in batch.failures.values())
    counters = model.counters
    assert counters["calls"] == 3
    assert counters["answers"] == 6
    assert counters["estimates"] == 3
    assert counters["retries"] >= 3
    assert counters["losses"] == 6
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "1 of 2 outputs are estimates" in told[0]


def test_a_call_that_fails_counts_its_losses():
    def fail(_):
        raise ArithmeticError("all are hard")

    with ThreadPoolExecutor(2) as pool:
        model = CodedModel(fail, ReplicationScheme(2, 2), pool)
        with pytest.raises(NotEnoughRespondersError):
            model(np.array([1.0, 2.0]))
    assert (model.counters["calls"], model.counters["losses"]) == (1, 2)
    assert model.counters["answers"] == 0


def test_rows_and_answers_may_be_text(pool):
    """Of copies; groups of text are made in the order given."""
    model = CodedModel(lambda text: text[::-1] + "!", ReplicationScheme(2, 4, fallback=None), pool)
    texts = np.array(["ab", "cde", "f", "gh", "ijk"])
    assert model(texts).tolist() == ["ba!", "edc!", "f!", "hg!", "kji!"]
