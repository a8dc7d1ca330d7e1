"""One spawned process with a queue of tasks, which can be killed whatever it is at."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from time import perf_counter
from typing import Any, ParamSpec, TypeVar

if sys.platform == "linux":
    import fcntl

P = ParamSpec("P")
T = TypeVar("T")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_ENVIRONMENT_LOCK = threading.Lock()


class WorkerProcess:
    """One process: one task under way, the others queued here.

    A stdlib pool hands up to two tasks ahead to its process, where they can no longer be
    cancelled: a slow worker would work off the questions of calls long answered. And in Python
    3.11, if its process dies while cancelled tasks are queued, the futures behind those never
    end. A pool that holds one task at a time does neither.
    """

    def __init__(
        self, initializer: Callable[..., object] | None, initargs: tuple[object, ...]
    ) -> None:
        context = _RecordingContext()
        self._processes = context.processes
        self._pool = ProcessPoolExecutor(
            1, mp_context=context, initializer=_begin, initargs=(initializer, initargs)
        )
        self._lock = threading.Lock()
        self._queue: deque[_Task] = deque()
        self._busy = False
        self._began = 0.0  # the task under way
        self._closed = False
        self._interrupted = False
        self._owner = os.getpid()
        self._kill = weakref.finalize(self, _kill_processes, self._processes, self._owner)
        self._kill.atexit = False  # too late there: see _kill_all
        # A process that multiprocessing has spawned joins its children first of all.
        Finalize(self, self._kill, exitpriority=0)
        _ALIVE[id(self)] = self
        with _single_threaded_children():
            self.ready = self.submit(os.getpid)
        failure = self.ready.exception() if self.ready.done() else None
        is_nested = isinstance(failure, RuntimeError) and not isinstance(failure, BrokenProcessPool)
        if is_nested:
            raise RuntimeError(
                "a worker process imported the program that makes workers, and made workers "
                'itself; guard the program by if __name__ == "__main__":'
            ) from failure

    @property
    def pid(self) -> int:
        """Its number in the system."""
        pid = self._processes[0].pid
        assert pid is not None  # started by the submit in the constructor
        return pid

    @property
    def busy(self) -> bool:
        """Whether it is at a task, or still starting."""
        return self._busy

    def was_up(self) -> bool:
        """Whether the process has started well, whatever became of it since."""
        return self.ready.done() and not self.ready.cancelled() and self.ready.exception() is None

    def is_lost(self, patience: float | None, start_patience: float | None) -> bool:
        """Whether it has died after its start, or has been at a task or its start for too long."""
        if self._interrupted:
            return True
        has_started = self.ready.done()
        if self._closed or (has_started and not self.was_up()):
            return False
        if has_started and self._has_died():
            return True
        # Asked in this order, for another thread sets them in the other one.
        longest = patience if has_started else start_patience
        return self._busy and longest is not None and perf_counter() - self._began > longest

    def _has_died(self) -> bool:
        """Ask by two ways.

        `is_alive` says yes while the pool's thread is just taking the exit status, and children
        that a dead process has forked hold its sentinel open.
        """
        process = self._processes[0]
        return not process.is_alive() or bool(connection.wait([process.sentinel], 0.0))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a task; raise BrokenProcessPool at once where the process is known to be dead."""
        answer: Future[T] = Future()
        task = _Task(answer, partial(self._pool.submit, fn, *args, **kwargs))
        try:
            if not self._enqueue(task):
                return answer
            self._run_next()
        except KeyboardInterrupt:  # whether the process is at a task now is anybody's guess
            self._interrupted = True
            self.kill()
            raise
        if answer.done() and isinstance(error := answer.exception(), BrokenProcessPool):
            raise BrokenProcessPool(
                "the process of this worker died while it started; mend its initializer or what "
                "it imports, then LocalWorkers.replace(i) starts another"
            ) from error
        return answer

    def kill(self) -> None:
        """Refuse further tasks, cancel the queued ones, send SIGKILL, which frozen ones obey."""
        with self._lock:
            self._closed = True
            queued = list(self._queue)
        for task in queued:
            task.answer.cancel()
        self._kill()

    def is_mine(self) -> bool:
        """Whether this is the process's parent, not a fork of the parent."""
        return self._owner == os.getpid()

    def reap(self) -> None:
        """Wait for the pool's thread, which the killed process has set free."""
        self._pool.shutdown(wait=True)

    def _enqueue(self, task: _Task) -> bool:
        """Queue a task; whether the process is not at work, and is to be given one."""
        with self._lock:
            if self._closed:
                raise RuntimeError("this worker was closed or replaced meanwhile")
            self._drop_cancelled()
            self._queue.append(task)
            if self._busy:
                return False
            self._began = perf_counter()  # first: another thread may ask whether it is late
            self._busy = True
        return True

    def _run_next(self) -> None:
        """Hand the next task that nobody cancelled to the process, which is not at work."""
        while True:
            with self._lock:
                if not self._queue:
                    self._busy = False
                    return
                task = self._queue.popleft()
            if not task.answer.set_running_or_notify_cancel():
                continue
            self._began = perf_counter()
            try:
                running = task.start()
            except Exception as error:  # noqa: BLE001 (a broken or shut pool, no memory)
                # Without the traceback, whose frames hold the task and this future.
                task.answer.set_exception(error.with_traceback(None))
                continue
            running.add_done_callback(partial(self._finish, task.answer))
            return

    def _finish(self, answer: Future[T], done: Future[T]) -> None:
        """Pass an answer on; runs in the pool's thread."""
        self._run_next()
        error = done.exception()
        if error is None:
            answer.set_result(done.result())
        else:
            answer.set_exception(error)

    def _drop_cancelled(self) -> None:
        """Forget cancelled tasks, or those of a frozen worker would pile up."""
        for _ in range(len(self._queue)):
            task = self._queue.popleft()
            if task.answer.cancelled():
                task.answer.set_running_or_notify_cancel()  # wakes those who wait for it
            else:
                self._queue.append(task)


@dataclass(frozen=True)
class _Task:
    """A queued task: what its caller holds, and how it is handed to the process."""

    answer: Future[Any]
    start: Callable[[], Future[Any]]


class _RecordingContext(SpawnContext):
    """The spawn context, which remembers the processes that it made: handles that can be killed."""

    def __init__(self) -> None:
        self.processes: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        process = SpawnProcess(*args, **kwargs)
        self.processes.append(process)
        return process


def _begin(initializer: Callable[..., object] | None, initargs: tuple[object, ...]) -> None:
    """Prepare a worker process; runs in it before its first task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    if initializer is not None:
        initializer(*initargs)


def _end_with_parent() -> None:
    """End this process when its parent is gone, which a pool's process never notices by itself."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # runs in spawned processes only
    if sys.platform == "linux":
        # The sentinel is a pipe that the parent holds open: as it closes, the kernel kills this
        # process, also where it is frozen, or C code holds the GIL so that no thread runs.
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(parent.sentinel, fcntl.F_GETFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    """Do the same on other systems, and where the parent was gone already."""
    parent.join()
    os._exit(1)


def _kill_processes(processes: Sequence[SpawnProcess], owner: int) -> None:
    """Send SIGKILL, unless this is a fork of the owner, whose processes these are."""
    if os.getpid() != owner:
        return
    for process in processes:
        if process.pid is not None:  # it was started
            process.kill()


_ALIVE: weakref.WeakValueDictionary[int, WorkerProcess] = weakref.WeakValueDictionary()


def _kill_all() -> None:
    """Kill all processes at interpreter exit, before the threads of concurrent.futures are joined.

    At exit, concurrent.futures joins the thread of every pool, and that thread joins its
    process: with a frozen process the interpreter would never exit, with a busy one late. It
    registers this by ``threading._register_atexit``, whose functions run in the reverse order of
    their registration and before all functions of `atexit`. There is no public way to come
    first, so this is the one private name that we use; concurrent.futures.process, imported by
    this module, has registered already, so that this runs before.
    """
    references = [reference() for reference in _ALIVE.valuerefs()]
    mine = [process for process in references if process is not None and process.is_mine()]
    for process in mine:
        process.kill()
    for process in mine:  # or concurrent.futures wakes a thread that is just closing its pipe
        process.reap()


threading._register_atexit(_kill_all)  # type: ignore[attr-defined]


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Let processes started meanwhile use one thread for linear algebra, unless the caller chose.

    Libraries read these variables when they load, which in a spawned process is before any code
    of ours. The lock keeps two threads that start workers from restoring each other's values.
    """
    with _ENVIRONMENT_LOCK:
        chosen = any(name in os.environ for name in _THREAD_VARIABLES)
        added = () if chosen else _THREAD_VARIABLES
        os.environ.update(dict.fromkeys(added, "1"))
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)
