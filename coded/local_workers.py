"""Local processes as workers, each its own pool: a killed one takes only its own task down."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from numbers import Real
from time import perf_counter
from types import TracebackType
from typing import Any, ParamSpec, Self, SupportsIndex, TypeVar

from coded.counts import read_count

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
_START = 10.0  # seconds that every process has for its start: torch alone may take five
_POLL = 0.1


class LocalWorkers:
    """Start n worker processes on this machine, each behind an executor of its own.

    A stdlib pool of n processes fails all its tasks when one process dies; n pools of one
    process lose one task. Processes are spawned, never forked: a child forked from a process
    whose torch or numba threads have run may hang or abort. So the program that makes workers
    must be importable without side effects: start it under ``if __name__ == "__main__":``, and
    keep worker functions in a module.

    The constructor returns while the processes are still importing; `wait` waits until they are
    up. Each process runs one task at a time; tasks beyond it queue in this process, where they
    can be cancelled. Linear algebra in the workers uses one thread each, since there are as many
    workers as wanted: ``OMP_NUM_THREADS`` and its relatives are 1 while a process starts, unless
    one of them is set by the caller, who then decides for all. The workers ignore Ctrl-C, which
    is for the program that owns them, and end when that program ends, however it ends.

    A process that has died is replaced when its worker gets the next task; so is one that has been
    at a task for longer than `patience`, frozen or hopelessly slow, whose task then fails with
    BrokenProcessPool. What can take longer than that must not be asked with that patience. With a
    patience, starting does not take for ever either: imports and the initializer have `patience`,
    but at least 10 s, and twice as long in each further process until one is up.

    Tasks and answers cross by pipes, pickled; nothing listens on a network. Answers are unpickled
    in this process: workers, and what they compute, are trusted code.

    This object owns the processes. `close`, leaving the ``with`` block, dropping the idle
    executors or the end of the interpreter kills them at once, whether idle, busy or frozen.

    Parameters
    ----------
    n : int
        Number of workers, at least 1.
    initializer : callable, optional
        Called once in each process before its first task, for example to load a model.
        If it raises, that worker is lost.
    initargs : tuple, optional
        Arguments of `initializer`; they are pickled.
    patience : float, optional
        Seconds after which a task is given up and its process replaced, once the worker is
        asked again or waited for; None: never.

    Raises
    ------
    TypeError
        If `n` is not an integer, `initializer` not callable, `initargs` not a tuple, or
        `patience` not a number.
    ValueError
        If `n` is less than 1, or `patience` is not positive.
    RuntimeError
        In a daemonic process, which may not have children, and in a program without the
        ``__main__`` guard.

    Examples
    --------
    >>> with LocalWorkers(2) as workers:
    ...     workers.wait(timeout=60.0)
    ...     [executor.submit(abs, -3).result(timeout=60.0) for executor in workers.executors]
    [3, 3]
    """

    def __init__(
        self,
        n: SupportsIndex,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        patience: float | None = None,
    ) -> None:
        n = read_count(n, "n", at_least=1)
        if initializer is not None and not callable(initializer):
            raise TypeError(
                f"initializer must be callable or None, got {initializer!r}; pass a function"
            )
        if not isinstance(initargs, tuple):
            raise TypeError(
                f"initargs must be a tuple, got {type(initargs).__name__}; write (value,) for one"
            )
        if multiprocessing.current_process().daemon:
            raise RuntimeError(
                "LocalWorkers was made in a daemonic process, which may not have children; make "
                "it in the main program, or pass the executor of a remote engine to coded_map"
            )
        patience = _read_patience(patience)
        start = partial(_Process, initializer, initargs)
        self._lock = threading.Lock()
        self._closed = False
        self._workers: list[_Worker] = []
        try:
            for _ in range(n):
                self._workers.append(_Worker(start, patience))
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        """Give the number of workers."""
        return len(self._workers)

    def __repr__(self) -> str:
        """One line with the process ids."""
        state = "closed" if self._closed else f"pids={list(self.pids)}"
        return f"LocalWorkers({len(self)}, {state})"

    def __enter__(self) -> Self:
        """Give the workers; leaving the block closes them."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the workers."""
        self.close()

    @property
    def executors(self) -> Sequence[Executor]:
        """One executor a worker, whichever process is behind it at the moment.

        The executors belong to this object: their own ``shutdown`` does nothing. Their ``busy``
        says whether the process is at a task or still starting.
        """
        self._require_open()
        return tuple(self._workers)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers at this moment."""
        self._require_open()
        return tuple(worker.pid for worker in self._workers)

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until every worker has started, so that first answers do not pay for imports.

        Parameters
        ----------
        timeout : float, optional
            Longest wait in seconds.

        Raises
        ------
        RuntimeError
            If a worker died while it started, or after `close`.
        TimeoutError
            If some worker is not up in time.
        """
        self._require_open()
        end = perf_counter() + timeout
        while True:
            ready = [worker.ready for worker in self._workers]  # of another process by and by
            left = end - perf_counter()
            late = wait(ready, max(min(left, _POLL), 0.0)).not_done
            if not late and ready == [worker.ready for worker in self._workers]:
                break
            if late and left <= 0.0:
                indices = [i for i, future in enumerate(ready) if future in late]
                raise TimeoutError(
                    f"workers {indices} were not up within {timeout} s; raise timeout, or look at "
                    "what they import and at the initializer"
                )
        for i, future in enumerate(ready):
            if future.cancelled() or future.exception() is not None:
                raise RuntimeError(
                    f"worker {i} died while it started; the program must be guarded by "
                    'if __name__ == "__main__":, and the initializer must not fail'
                ) from (None if future.cancelled() else future.exception())

    def replace(self, i: SupportsIndex) -> None:
        """Kill worker i, dead, frozen or merely slow, and start a process in its place.

        Its running task fails with BrokenProcessPool, its queued tasks are cancelled. Returns
        while the process is still importing.

        Raises
        ------
        TypeError
            If `i` is not an integer.
        ValueError
            If `i` is not in [0, n).
        RuntimeError
            After `close`.
        """
        i = read_count(i, "i", at_least=0, at_most=len(self) - 1)
        with self._lock:
            self._require_open()
            self._workers[i].replace()

    def close(self) -> None:
        """Kill all processes; running tasks fail, queued ones are cancelled.

        Takes milliseconds, also where workers are busy or frozen. Closing again does nothing.
        """
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()
            for worker in self._workers:
                worker.reap()

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("this LocalWorkers is closed; make another one")


class _Worker(Executor):
    """A worker as an executor, whose process is another one when the first has been lost."""

    def __init__(self, start: Callable[[], _Process], patience: float | None) -> None:
        self._start = start
        self._patience = patience
        self._lost_starts = 0
        self._lock = threading.Lock()
        self._closed = False
        self._process = start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ready(self) -> Future[int]:
        """Done when the process is up."""
        return self._healthy().ready

    @property
    def busy(self) -> bool:
        """Whether the process is at a task, or still starting."""
        return self._healthy().busy

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a task; raise BrokenProcessPool at once where the process could not start."""
        process = self._healthy()
        try:
            return process.submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            if not process.was_up():
                raise
        self._exchange(process)  # it died just now
        return self._process.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 (as Executor)
        """Do nothing: the process belongs to LocalWorkers, whose close and replace end it."""

    def replace(self) -> None:
        """Kill the process, and start another one."""
        self._exchange(self._process)

    def kill(self) -> None:
        """Kill the process for good."""
        with self._lock:
            self._closed = True
        self._process.kill()

    def reap(self) -> None:
        """Wait for what the killed process leaves behind."""
        self._process.reap()

    def _healthy(self) -> _Process:
        """Give the process, another one where this one is dead or has been at a task too long."""
        process = self._process
        start_patience = None
        if self._patience is not None:
            start_patience = max(self._patience, _START) * 2.0**self._lost_starts
        if process.is_lost(self._patience, start_patience):
            self._exchange(process)
        return self._process

    def _exchange(self, lost: _Process) -> None:
        """Start another process in place of a lost one, where no other thread has done so.

        Where that fails, the lost one stays, and the next task tries again.
        """
        with self._lock:
            if self._closed or self._process is not lost:
                return
            self._process = self._start()
            self._lost_starts = 0 if lost.was_up() else self._lost_starts + 1
        lost.kill()
        lost.reap()


class _Process:
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
        pid = self._processes[0].pid
        assert pid is not None  # started by the submit in the constructor
        return pid

    @property
    def busy(self) -> bool:
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


def _read_patience(patience: float | None) -> float | None:
    if patience is None:
        return None
    if isinstance(patience, bool) or not isinstance(patience, Real):
        raise TypeError(
            f"patience must be a number of seconds or None, got {patience!r}; None waits for ever"
        )
    if not patience > 0.0:
        raise ValueError(
            f"patience must be a positive number of seconds, got {patience}; None waits for ever"
        )
    return float(patience)


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


_ALIVE: weakref.WeakValueDictionary[int, _Process] = weakref.WeakValueDictionary()


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
