"""Functions that spawned workers import, and the models and doubles that several tests share."""

import os
import signal
import threading
import time
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import psutil

from coded import LocalWorkers

WAIT = 60.0  # seconds; bounds every wait of the tests, nobody waits that long


class ManualExecutor(Executor):
    """A user's executor whose futures the test fulfils by hand; `submitted` announces each task."""

    def __init__(self):
        self.futures, self.tasks = [], []
        self.submitted = threading.Semaphore(0)

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.futures.append(future)
        self.tasks.append((fn, args, kwargs))
        self.submitted.release()
        return future

    def shutdown(self, *_, **__):
        raise AssertionError("the executor is the caller's to shut down")

    def sort_last(self, workers):
        """Bring the last tasks, submitted in this order of workers, into the order of workers."""
        first = len(self.futures) - len(workers)
        for things in (self.futures, self.tasks):
            things[first:] = [things[first + workers.index(n)] for n in range(len(workers))]

    def answer(self, n):
        fn, args, kwargs = self.tasks[n]
        self.futures[n].set_result(fn(*args, **kwargs))


def double(coded_input):
    return 2.0 * coded_input


def answer_pid(_):
    return os.getpid()


def die_on_zero(coded_input):
    if np.all(coded_input == 0.0):
        os.kill(os.getpid(), signal.SIGKILL)
    return 2.0 * coded_input


def fail_on_zero(coded_input):
    if np.all(coded_input == 0.0):
        raise ArithmeticError("zero is hard")
    return 2.0 * coded_input


def touch(path):
    """Leave a file as a sign that the task ran."""
    Path(path).touch()
    return 0.0


def touch_and_sleep(path, seconds):
    Path(path).touch()
    time.sleep(seconds)
    return 0.0


def read_environment(name):
    return os.environ.get(name)


def ignores_interrupt():
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def fail():
    raise ArithmeticError("this initializer fails")


def wait_for_file(path):
    """Wait until another process has left a sign."""
    deadline = time.monotonic() + WAIT
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not appear")
        time.sleep(0.005)


def is_running(pid):
    """Whether a process exists and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pids):
    deadline = time.monotonic() + WAIT
    while any(is_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{[pid for pid in pids if is_running(pid)]} still run")
        time.sleep(0.01)


def make_workers_and_tell(connection):
    """Send what LocalWorkers says in this process, an empty text where it says nothing."""
    try:
        LocalWorkers(1).close()
    except RuntimeError as error:
        connection.send(str(error))
    else:
        connection.send("")


def leave_a_worker_frozen(connection):
    """End while a worker is frozen and its owner still there, as in a server's process."""
    workers = leave_a_worker_frozen.workers = LocalWorkers(1)
    workers.wait(WAIT)
    os.kill(workers.pids[0], signal.SIGSTOP)
    connection.send(workers.pids[0])
    connection.recv()


def leave_workers():
    """End with workers that are up."""
    workers = leave_workers.workers = LocalWorkers(8)
    workers.wait(WAIT)


def add_to_share(share, value):
    """Three numbers of what stays with a worker, each with `value` added."""
    return share[:3] + value


def count_shares():
    """Count what stays with this worker."""
    from coded.workers import placed

    return len(placed._kept)


class Dying(Executor):
    """The executor of a worker whose process dies of each task."""

    def __init__(self, executor):
        self.executor = executor

    def submit(self, *_, **__):
        return self.executor.submit(die_on_zero, np.zeros(1))
