import gc
import os
import signal
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from coded import LocalWorkers
from coded.runtime.futures import submit
from coded.workers import placed as module
from coded.workers.placed import Placed
from tests.support.worker_functions import add_to_share, count_shares

SHARES = [np.full(10_000, float(n)) for n in range(3)]


def ask(executor, placed, worker, *arguments):
    return submit(executor, placed.function(worker, add_to_share), arguments)


@pytest.fixture(scope="module")
def workers():
    with LocalWorkers(2) as workers:
        workers.wait()
        yield workers


def test_a_share_is_sent_once(workers):
    executor = workers.executors[0]
    placed = Placed(SHARES)
    sent = []
    plain = type(executor).submit

    def watched(self, fn, *arguments):
        sent.append(type(fn).__name__)
        return plain(self, fn, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(executor), "submit", watched)
        for value in (1.0, 2.0):
            answer = ask(executor, placed, 2, value).result(timeout=60.0)
            assert np.array_equal(answer, SHARES[2][:3] + value)
    assert sent == ["_WithShare", "_Light"]


def test_a_process_that_was_replaced_gets_it_again(workers):
    executor = workers.executors[0]
    placed = Placed(SHARES)
    ask(executor, placed, 1, 0.0).result(timeout=60.0)
    os.kill(workers.pids[0], signal.SIGKILL)
    for _ in range(2):
        answer = ask(executor, placed, 1, 5.0).result(timeout=60.0)
        assert np.array_equal(answer, SHARES[1][:3] + 5.0)


def test_workers_let_go_of_what_nobody_has_any_more(workers):
    executor = workers.executors[1]
    placed = Placed(SHARES)
    ask(executor, placed, 0, 0.0).result(timeout=60.0)
    before = executor.submit(count_shares).result(timeout=60.0)
    del placed
    gc.collect()
    other = Placed(SHARES)
    ask(executor, other, 0, 0.0).result(timeout=60.0)
    assert executor.submit(count_shares).result(timeout=60.0) == before


def test_each_process_of_a_pool_gets_it():
    placed = Placed(SHARES)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = [ask(pool, placed, n % 3, float(n)) for n in range(12)]
        for n, future in enumerate(futures):
            assert np.array_equal(future.result(timeout=60.0), SHARES[n % 3][:3] + n)


def test_threads_read_it_where_it_is():
    placed = Placed(SHARES)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            [same] = [submit(pool, placed.function(1, lambda share: share), ()).result()]
            assert same is placed.shares[1]
    assert not module._kept


def test_what_raises_raises(workers):
    placed = Placed(SHARES)
    for _ in range(2):
        with pytest.raises(TypeError, match="add"):
            ask(workers.executors[0], placed, 0, "text").result(timeout=60.0)


class Slow(ThreadPoolExecutor):
    """Begins nothing before it is let."""

    def __init__(self):
        super().__init__(1)
        self.go = threading.Event()
        super().submit(self.go.wait, 60.0)


def test_a_queued_task_is_cancelled_and_nobody_waits_for_it():
    placed, slow = Placed(SHARES), Slow()
    ask(slow, placed, 0, 0.0)
    later = ask(slow, placed, 0, 1.0)
    assert not later.running()
    assert later.cancel()
    slow.go.set()
    slow.shutdown()
    assert later.cancelled()


def test_an_executor_that_refuses_the_second_time_tells_so():
    class Refusing(ThreadPoolExecutor):
        asked = 0

        def submit(self, *_):
            self.asked += 1
            if self.asked == 3:
                raise RuntimeError("shut down")
            answer = Future()
            answer.set_result(module.Missing(("other", 0)))
            return answer

    executor, placed = Refusing(1), Placed(SHARES)
    ask(executor, placed, 0)
    with pytest.raises(RuntimeError, match="shut down"):
        ask(executor, placed, 0).result(timeout=10.0)


def test_what_a_cancelled_task_was_to_tell_the_next_one_tells(workers):
    executor = workers.executors[1]
    placed, other = Placed(SHARES), Placed(SHARES)
    for one in (placed, other):
        ask(executor, one, 0, 0.0).result(timeout=60.0)
    before = executor.submit(count_shares).result(timeout=60.0)
    del placed, one
    gc.collect()
    busy = executor.submit(time.sleep, 0.5)
    while not ask(executor, other, 0, 0.0).cancel():
        assert not busy.done()
    ask(executor, other, 0, 0.0).result(timeout=60.0)
    assert executor.submit(count_shares).result(timeout=60.0) == before - 1


def test_each_process_of_a_pool_lets_go_of_what_nobody_has():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for _ in range(10):
            placed = Placed(SHARES)
            for future in [ask(pool, placed, n, 1.0) for n in (0, 1, 2, 0, 1, 2)]:
                future.result(timeout=60.0)
        kept = [pool.submit(count_shares) for _ in range(8)]
        assert max(future.result(timeout=60.0) for future in kept) <= 6
