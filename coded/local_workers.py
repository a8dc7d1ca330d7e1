"""Local processes as workers, each its own pool: a killed one takes only its own task down."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from numbers import Real
from time import perf_counter
from types import TracebackType
from typing import ParamSpec, Self, SupportsIndex, TypeVar

from coded.counts import read_count
from coded.worker_process import WorkerProcess

P = ParamSpec("P")
T = TypeVar("T")

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
        start = partial(WorkerProcess, initializer, initargs)
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

    def __init__(self, start: Callable[[], WorkerProcess], patience: float | None) -> None:
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

    def _healthy(self) -> WorkerProcess:
        """Give the process, another one where this one is dead or has been at a task too long."""
        process = self._process
        start_patience = None
        if self._patience is not None:
            start_patience = max(self._patience, _START) * 2.0**self._lost_starts
        if process.is_lost(self._patience, start_patience):
            self._exchange(process)
        return self._process

    def _exchange(self, lost: WorkerProcess) -> None:
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
