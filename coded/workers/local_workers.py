"""Local processes as workers: a killed or frozen one takes only its own task down."""

from __future__ import annotations

import multiprocessing
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from numbers import Real
from time import perf_counter
from types import TracebackType
from typing import Any, ParamSpec, Self, SupportsIndex, TypeVar

from coded.arguments import read_count
from coded.errors import tell_error
from coded.workers.messages import Kind, pack
from coded.workers.supervisor import State, Supervisor, Task

P = ParamSpec("P")
T = TypeVar("T")

_MINUTE = 60.0
_MOST = 10_000  # processes; systems allow fewer or some more
_LAUNCH = 60.0  # seconds for processes to be begun, which takes milliseconds each
_CLOSE = 2.0  # seconds for killed processes to be gone


class LocalWorkers:
    """Start n worker processes on this machine, each behind an executor of its own.

    A stdlib pool of n processes fails all its tasks when one process dies. Here a killed process
    fails the task that it was at: tasks queued behind it, and one that it had not begun, go to
    the next process. Processes are spawned, never forked: a child forked from a process
    whose torch or numba threads have run may hang or abort. So the program that makes workers
    must be importable without side effects: start it under ``if __name__ == "__main__":``, and
    keep worker functions in a module.

    The constructor returns while the processes are still importing; `wait` waits until they are
    up. Each process runs one task at a time; tasks beyond it queue in this process, where they
    can be cancelled. Linear algebra in the workers uses one thread each, since there are as many
    workers as wanted: ``OMP_NUM_THREADS`` and its relatives are 1 while a process starts, unless
    one of them is set by the caller, who then decides for all. The workers ignore Ctrl-C, which
    is for the program that owns them, and end when that program ends, however it ends.

    A process that dies is replaced at once, whether a call waits or not. With `patience` so is one
    that has been at a task for longer, frozen or hopelessly slow, whose task then fails with
    BrokenProcessPool. What can take longer than that must not be asked with that patience. With a
    patience, starting does not take for ever either: imports and the initializer have `patience`,
    but at least 10 s, and twice as long in each further process until one is up; the first task
    of a process, which mostly imports, has 10 s too. A process that a signal has stopped is given
    up after `patience` at any time. A process that is
    killed as it starts is followed by another one after 0.1 s, then 0.2 s, at most 5 s; after
    three in a row tasks fail instead of waiting on. Where the initializer raises, or the program
    ends as it is imported, tasks fail with that at once, and the next task is the next try.

    Tasks and answers cross by socket pairs, pickled, large arrays and tensors beside the pickle
    without a copy; nothing listens on a network. Answers are unpickled in this process: workers,
    and what they compute, are trusted code.

    This object owns the processes. `close`, leaving the ``with`` block, dropping the idle
    executors or the end of the interpreter kills them at once, whether idle, busy or frozen, and
    with them what they have forked, unless that has made itself a process group of its own.

    Parameters
    ----------
    n : int
        Number of workers, in [1, 10000].
    initializer : callable, optional
        Called once in each process before its first task, for example to load a model.
    initargs : tuple, optional
        Arguments of `initializer`; they are pickled.
    patience : float, optional
        Seconds after which a task is given up and its process replaced; None: never.

    Raises
    ------
    TypeError
        If `n` is not an integer, `initializer` not callable, `initargs` not a tuple, or
        `patience` not a number.
    ValueError
        If `n` is not in [1, 10000], or `patience` is not positive.
    RuntimeError
        In a daemonic process, which may not have children, and in a program without the
        ``__main__`` guard.

    Notes
    -----
    A thread a worker starts its process, watches it, its socket and the clock, and reads and
    writes what can be read and written without waiting: it does not matter when a process dies or
    freezes, in the middle of an answer of any size too, nor who else holds its descriptors.
    The alternatives were measured with 8 workers on 2 cores. Stdlib pools of one process (as this
    once was) hang where a process dies as it writes more than 64 kB or leaves a child, and take
    6 to 15 times as long for 12 MB there and back. pebble's pools survive both, but take half as
    long again to start, five times as long for 12 MB, and 50 ms instead of 3 to see a death.

    On Linux the kernel kills the workers with their owner, frozen ones too. Elsewhere a thread in
    the worker ends it, so that a frozen one stays; and without ``os.pidfd_open`` a death
    is seen within 0.1 s. On Windows there are no process groups: what a worker has started there
    stays. (Only Linux is tested; this is from the documentation.)

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
        n = read_count(n, "n", at_least=1, at_most=_MOST)
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
        self._closed = False  # set once: no lock; a supervisor that was killed starts nothing more
        self._workers: list[_Worker] = []
        try:
            for _ in range(n):
                self._workers.append(_Worker(Supervisor(initializer, initargs, patience)))
            deadline = perf_counter() + _LAUNCH
            for worker in self._workers:
                worker.supervisor.await_launch(1, deadline)
        except RuntimeError as error:
            self.close()
            # Multiprocessing's word for importing the program.
            if "bootstrapping" not in str(error):
                raise
            raise RuntimeError(
                "a worker process imported the program that makes workers, and made workers "
                'itself; guard the program by if __name__ == "__main__":'
            ) from error
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
        return tuple(worker.supervisor.pid for worker in self._workers)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until every worker has started, so that first answers do not pay for imports.

        Parameters
        ----------
        timeout : float, optional
            Longest wait in seconds. Default: a minute, and as long again for every two workers
            that one processor has to start, which import one after the other.

        Raises
        ------
        RuntimeError
            If a worker could not start, for its initializer or its imports fail, or processes
            die again and again; its cause tells why. Also after `close`.
        TimeoutError
            If some worker is not up in time.
        """
        self._require_open()
        if timeout is None:
            timeout = _MINUTE + _MINUTE / 2.0 * len(self) / (os.cpu_count() or 1)
        deadline = perf_counter() + timeout
        states = [worker.supervisor.await_up(deadline) for worker in self._workers]
        self._require_open()
        for i, worker in enumerate(self._workers):
            failure = worker.supervisor.failure
            if states[i] is not State.UP and failure is not None:
                raise RuntimeError(
                    f"worker {i} could not start: {tell_error(failure)}; the initializer must not "
                    'fail, and the program must be guarded by if __name__ == "__main__":'
                ) from failure
        late = [i for i, state in enumerate(states) if state is not State.UP]
        if late:
            raise TimeoutError(
                f"workers {late} were not up within {timeout:g} s; raise timeout, or look at "
                "what they import and at the initializer"
            )

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
        self._require_open()
        supervisor = self._workers[i].supervisor
        supervisor.await_launch(supervisor.replace() + 1, perf_counter() + _LAUNCH)

    def close(self) -> None:
        """Kill all processes; running tasks fail, queued ones are cancelled.

        Takes milliseconds, also where workers are busy or frozen. Closing again does nothing.
        """
        self._closed = True
        for worker in self._workers:
            worker.supervisor.kill()
        deadline = perf_counter() + _CLOSE
        for worker in self._workers:
            worker.supervisor.join(deadline - perf_counter())

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("this LocalWorkers is closed; make another one")


class _Worker(Executor):
    """A worker as an executor, whichever process is behind it."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        # At exit `supervisor` itself comes before this.
        weakref.finalize(self, supervisor.kill).atexit = False

    @property
    def busy(self) -> bool:
        """Whether the process is at a task, or is starting."""
        return self.supervisor.busy

    @property
    def starting(self) -> bool:
        """Whether the process is starting."""
        return self.supervisor.state is State.STARTING

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a task; RuntimeError where the workers are closed."""
        task = Task(Future(), (fn, args, kwargs), self)
        self.supervisor.submit(task)
        return task.future

    def require_sendable(self, fn: object) -> None:
        """Raise TypeError, with what to do, if a function, or its answers, cannot be sent."""
        _refuse_gradients(fn)
        try:
            pack(Kind.TASK, 0, fn)
        except Exception as error:
            name = getattr(fn, "__qualname__", None) or repr(fn)
            raise TypeError(
                f"fn cannot be sent to worker processes: {name} does not pickle "
                f"({tell_error(error)}); define it by def at the top level of a file that they can "
                "import, and bind arguments by functools.partial, or run it in threads"
            ) from error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 (as Executor)
        """Do nothing: the process belongs to LocalWorkers, whose close and replace end it."""


def _refuse_gradients(fn: object) -> None:
    """Raise TypeError for a torch Module that is to be trained: its answers have a gradient."""
    kind: Any = getattr(sys.modules.get("torch.nn"), "Module", ())  # no Module without it
    if isinstance(fn, kind) and any(one.requires_grad for one in fn.parameters()):
        raise TypeError(
            f"fn is a torch Module, {type(fn).__name__}, whose answers require a gradient and so "
            "cannot be sent back by worker processes; pass TorchWorker(module), which also sends "
            "it only once and in eval mode, or call module.requires_grad_(False)"
        )


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
