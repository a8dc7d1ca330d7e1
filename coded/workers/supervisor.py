"""The thread behind a worker: keeps a process up, gives it tasks in turn, tells their fate."""

from __future__ import annotations

import logging
import os
import socket
import threading
import weakref
from collections import deque
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from multiprocessing.util import Finalize
from time import perf_counter
from typing import Any

from coded.errors import RemoteTraceback, tell_error
from coded.workers.messages import Kind, Message, pack
from coded.workers.worker_process import Initializer, WorkerProcess

_LOG = logging.getLogger(__name__)
_START = 10.0  # seconds that every process has for its start: torch alone may take five
_PAUSE = 0.1  # seconds before another process is started where one died; doubles each time
_LONGEST_PAUSE = 5.0
_COUNT = 1000  # tasks after which those begun are counted, or the pipe would be full some day
_TRIES = 3  # processes in a row that do not come up, or not to a task, before tasks fail
_AT_EXIT = 0.5  # seconds that threads have to end with the program


class State(Enum):
    """What a worker is at."""

    STARTING = "starting"  # a process imports, or is about to be started
    UP = "up"
    FAILED = "failed"  # the last start failed for a reason that lasts; tried again when asked


@dataclass(eq=False)
class Task:
    """A task of a worker, and what its caller holds."""

    future: Future[Any]
    call: tuple[Any, tuple[Any, ...], dict[str, Any]]
    keep: object  # the executor, which must live as long as its tasks
    moves: int = 0  # processes that were lost before they had begun it


class Supervisor:
    """One worker: a queue of tasks, and a thread that has them run by a process.

    A task that is queued, or was sent to a process that died before it came to it, goes to the
    next process. Only the task that a process was at fails with it.

    Parameters
    ----------
    initializer, initargs, patience
        As of `LocalWorkers`.
    """

    def __init__(
        self,
        initializer: Initializer | None,
        initargs: tuple[object, ...],
        patience: float | None,
    ) -> None:
        self._initializer, self._initargs, self._patience = initializer, initargs, patience
        self._owner = os.getpid()
        # Not entered by the condition, in whose Python code a Ctrl-C would leave it locked.
        self._lock = threading.RLock()  # guards all that follows; a finalizer may come anywhere
        self._changed = threading.Condition(self._lock)
        self._queue: deque[Task] = deque()
        self._current: Task | None = None
        self._process: WorkerProcess | None = None
        self._unwanted: WorkerProcess | None = None  # to be replaced
        self._state = State.STARTING
        self._launches = 0
        self._failed_starts = 0  # in a row, by whatever
        self._slow_starts = 0  # in a row, of those that were too slow
        self._failure: BaseException | None = None  # of the last start
        self._is_urgent = False  # no pause before the next start
        self._closed = False
        self._number = 0  # of the current task of the process
        self._pid = 0
        self._began = 0.0  # the task or start under way
        self._limit: float | None = None  # seconds for it
        self._bell, self._alarm = socket.socketpair()
        self._bell.settimeout(0.0)
        self._alarm.settimeout(0.0)
        self._thread = threading.Thread(target=self._run, name="coded worker", daemon=True)
        _ALIVE.add(self)
        # A process that multiprocessing has spawned joins its children first of all.
        Finalize(self, _kill, (weakref.ref(self),), exitpriority=0)
        self._thread.start()

    # ---- for callers, in any thread

    @property
    def pid(self) -> int:
        """Process id of the present process, or of the last one."""
        return self._pid

    @property
    def state(self) -> State:
        """What the worker is at."""
        return self._state

    @property
    def busy(self) -> bool:
        """Whether it is at a task, has one queued, or a process is starting."""
        if os.getpid() != self._owner:  # a fork has no thread that would let go of the lock
            return False
        with self._lock:
            if self._closed:
                return False
            queued = any(not task.future.cancelled() for task in self._queue)
            return self._state is State.STARTING or self._current is not None or queued

    def submit(self, task: Task) -> None:
        """Queue a task; RuntimeError after `kill`, and in a fork of the owner."""
        if os.getpid() != self._owner:
            raise RuntimeError(
                "these workers belong to the process that forked this one; make LocalWorkers here"
            )
        with self._lock:
            if self._closed:
                raise RuntimeError("this worker was closed meanwhile")
            self._drop_cancelled()
            self._queue.append(task)
            self._changed.notify_all()
        self._ring()

    def await_launch(self, launches: int, deadline: float) -> int:
        """Wait until so many processes have been started; give how many have been.

        Raises what kept the first one from being started.
        """
        with self._lock:
            while self._launches < launches and not self._closed:
                if self._failure is not None and not self._launches:
                    raise self._failure
                if (left := deadline - perf_counter()) <= 0.0:
                    break
                self._changed.wait(left)
            return self._launches

    def await_up(self, deadline: float) -> State:
        """Wait until the process is up, has failed to start for good or the time is up."""
        with self._lock:
            if self._state is State.FAILED:
                self._state = State.STARTING  # ask for another try
                self._changed.notify_all()
            while self._state is State.STARTING and not self._closed:
                if self._failed_starts >= _TRIES or (left := deadline - perf_counter()) <= 0.0:
                    break
                self._changed.wait(left)
            return self._state

    @property
    def failure(self) -> BaseException | None:
        """Why the last start failed, if it did."""
        return self._failure

    def replace(self) -> int:
        """Kill the process, and have another one started; give how many were so far."""
        with self._lock:
            self._unwanted = self._process
            if self._process is not None:
                self._process.kill()
            else:
                self._state, self._is_urgent = State.STARTING, True
            self._changed.notify_all()
            launches = self._launches
        self._ring()
        return launches

    def kill(self) -> None:
        """Kill the process for good; queued tasks are cancelled, the one under way fails."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._closed = True
            queued = list(self._queue)
            self._queue.clear()
            if self._process is not None:
                self._process.kill()
            self._changed.notify_all()
        self._ring()
        for task in queued:
            if task.future.cancel():
                task.future.set_running_or_notify_cancel()  # wakes those who wait for it
            else:
                _fail(task, _broken("this worker was closed"))

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, or some seconds: it may be in a callback of somebody."""
        if self._owner == os.getpid() and self._thread is not threading.current_thread():
            self._thread.join(max(seconds, 0.0))
            if (current := self._current) is not None:
                _fail(current, _broken("this worker was closed"))

    def _ring(self) -> None:
        """Wake the thread where it waits for its process."""
        with suppress(OSError):  # full, so that it wakes anyway; or closed
            self._bell.send(b"!")

    def _drop_cancelled(self) -> None:
        """Forget cancelled tasks, or those of a frozen worker would pile up."""
        for _ in range(len(self._queue)):
            task = self._queue.popleft()
            if task.future.cancelled():
                task.future.set_running_or_notify_cancel()  # wakes those who wait for it
            else:
                self._queue.append(task)

    # ---- the thread

    def _run(self) -> None:
        try:
            while self._pause():
                try:
                    self._keep_one_process()
                except Exception as error:  # noqa: BLE001 (whatever fails, the worker goes on)
                    _LOG.debug("a worker starts anew", exc_info=True)
                    self._lose_task(error)
                    self._start_failed(error, lasts=False)
        finally:
            self._bell.close()
            self._alarm.close()

    def _pause(self) -> bool:
        """Wait until it is time for the next process; False where none is wanted any more."""
        with self._lock:
            if self._failed_starts:
                pause = min(_PAUSE * 2.0 ** (self._failed_starts - 1), _LONGEST_PAUSE)
                end = perf_counter() + pause
                while (
                    not (self._closed or self._is_urgent) and (left := end - perf_counter()) > 0.0
                ):
                    self._changed.wait(left)
                while not (self._closed or self._queue) and self._state is State.FAILED:
                    self._changed.wait(_LONGEST_PAUSE)  # until somebody asks
            self._state, self._is_urgent = State.STARTING, False
            return not self._closed

    def _keep_one_process(self) -> None:
        """Start a process, give it tasks until it is lost, and see what that means for them."""
        try:
            process = WorkerProcess(self._initializer, self._initargs)
        except Exception as error:  # noqa: BLE001 (no memory, no processes, arguments that do not pickle)
            self._start_failed(error, lasts=not isinstance(error, OSError))
            return
        with self._lock:
            self._process = process
            self._pid = process.pid
            self._launches += 1
            if self._closed:
                process.kill()
            self._changed.notify_all()
        reason: str | BaseException | None = None
        try:
            reason = self._attend(process)
        except Exception as error:  # noqa: BLE001 (no memory for an answer, or not our words)
            reason = error
        finally:
            begun = process.count_begun()
            self._after(process, reason, process.end(), begun=begun)

    def _attend(self, process: WorkerProcess) -> str | BaseException | None:
        """Give tasks and take answers until the process is lost; why, if not by itself."""
        self._began, self._limit = perf_counter(), self._start_patience()
        self._number = 0
        moved = self._began  # when the process was last seen not to be stopped
        while True:
            with self._lock:
                if self._closed or self._unwanted is process:
                    return "was replaced" if not self._closed else "was closed"
            self._give_next(process)
            left = None
            if self._limit is not None and (self._current or self._state is not State.UP):
                assert self._patience is not None
                now = perf_counter()
                moved = moved if process.is_stopped() else now
                left = min(self._began + self._limit, moved + self._patience) - now
                if left <= 0.0:
                    return self._overdue(now - moved)
            messages = process.exchange(self._alarm, left)
            while messages:
                failure = self._take(process, messages.pop(0))
                if failure is not None:
                    return failure
            if process.has_ended:
                return None

    def _start_patience(self) -> float | None:
        """Seconds for imports and initializer: more in each further process until one is up."""
        if self._patience is None:
            return None
        return max(self._patience, _START) * 2.0**self._slow_starts

    def _task_patience(self) -> float | None:
        """Seconds for the next task; the first one of a process pays for imports too."""
        if self._patience is None or self._number:
            return self._patience
        return max(self._patience, _START)

    def _overdue(self, stopped: float) -> str:
        """Say why a process is given up that has been stopped for so many seconds, or is slow."""
        assert self._patience is not None
        if stopped >= self._patience:
            return f"was stopped by a signal, and given up after {self._patience:g} s"
        self._slow_starts += self._state is not State.UP
        return f"was given up after {self._limit:g} s"

    def _give_next(self, process: WorkerProcess) -> None:
        """Send the next task that nobody cancelled to the process, where it is at none."""
        while self._current is None and self._state is State.UP:
            with self._lock:
                if not self._queue:
                    return
                task = self._queue.popleft()
                # One that another process died over before it began is running already.
                if not (task.future.running() or task.future.set_running_or_notify_cancel()):
                    continue
                self._current = task
            self._began, self._limit = perf_counter(), self._task_patience()
            try:
                pieces = pack(Kind.TASK, self._number + 1, task.call)
            except Exception as error:  # noqa: BLE001 (whatever pickling runs)
                self._current = None
                # Without the traceback, whose frames hold the task and this future.
                _fail(task, error.with_traceback(None))
                continue
            self._number += 1
            process.send(pieces)
            if self._number % _COUNT == 0:
                process.count_begun()

    def _take(self, process: WorkerProcess, message: Message) -> BaseException | None:
        """Do what a message of the process tells; give why its start failed, if it did."""
        if message.kind is Kind.UP:
            with self._lock:
                self._state, self._failure = State.UP, None
                self._failed_starts = self._slow_starts = 0
                self._changed.notify_all()
            return None
        if self._state is not State.UP:
            return _read_failure(message)
        task = self._current
        if task is None or message.number != self._number:
            return None
        self._current = None
        self._give_next(process)  # first, so that the process works on meanwhile
        _settle(task, message)
        return None

    def _after(
        self, process: WorkerProcess, reason: str | BaseException | None, end: str, *, begun: int
    ) -> None:
        """Fail the task that a lost process was at, and keep those that it had not begun."""
        how = reason if isinstance(reason, str) else end
        with self._lock:
            was_up = self._state is State.UP
            was_wanted = not self._closed and self._unwanted is not process
            self._process = self._unwanted = None
            self._state = State.STARTING
            task, self._current = self._current, None
            was_begun = begun == self._number
            if task is not None and not was_begun and not self._closed:
                task.moves += 1  # one that takes too long to be sent will do so again
                if task.moves < _TRIES:
                    self._queue.appendleft(task)
                    task = None
        _LOG.debug("the process of a worker %s", how)
        if task is not None:
            before = f"before this task, {task.moves} in a row"
            when = "while it was at this task" if was_begun else before
            error = _broken(f"the process of this worker {how} {when}")
            _fail(task, reason if isinstance(reason, BaseException) else error)
        if not was_up and was_wanted:
            error = _broken(f"the process of this worker {how} while it started")
            lasts = isinstance(reason, BaseException) or end.startswith("exited")
            self._start_failed(reason if isinstance(reason, BaseException) else error, lasts=lasts)

    def _lose_task(self, error: BaseException) -> None:
        """Fail the task under way."""
        with self._lock:
            self._process = None
            task, self._current = self._current, None
        if task is not None:
            _fail(task, error)

    def _start_failed(self, error: BaseException, *, lasts: bool) -> None:
        """Note a failed start; where another one is not likely to help, fail the tasks too.

        An exception of the initializer, or a program that ends by itself as it is imported, will
        mostly come again: that is tried again when somebody asks, a process that was killed soon.
        """
        with self._lock:
            self._failure = error
            self._failed_starts += 1
            tasks = []
            if lasts or self._failed_starts >= _TRIES:
                tasks = list(self._queue)
                self._queue.clear()
            if lasts:
                self._state = State.FAILED
            self._changed.notify_all()
        for task in tasks:
            if task.future.cancelled():
                task.future.set_running_or_notify_cancel()  # wakes those who wait for it
                continue
            failure = _broken(
                f"no process of this worker came up, {self._failed_starts} in a row: "
                f"{tell_error(error)}; mend the initializer, or what the program imports"
            )
            failure.__cause__ = error
            _fail(task, failure)


def _settle(task: Task, message: Message) -> None:
    """Give the caller what the worker has said."""
    if message.kind is not Kind.ANSWER:
        _fail(task, _read_failure(message))
        return
    try:
        (answer,) = message.load()
    except BaseException as error:  # noqa: BLE001 (what an answer does when it is read is its own doing)
        _fail(task, error.with_traceback(None))
        return
    with suppress(InvalidStateError):  # given up meanwhile
        task.future.set_result(answer)


def _read_failure(message: Message) -> BaseException:
    """Give the exception of a task or an initializer, caused by its traceback."""
    failure: BaseException
    try:
        failure, text = message.load()
    except BaseException as error:  # noqa: BLE001 (as in `_settle`)
        return error.with_traceback(None)
    failure.__cause__ = RemoteTraceback(text)
    return failure


def _broken(text: str) -> BrokenProcessPool:
    return BrokenProcessPool(text)


def _fail(task: Task, error: BaseException) -> None:
    """Give the caller an exception; whoever waits has one already if the worker was closed."""
    with suppress(InvalidStateError):
        task.future.set_exception(error)


_ALIVE: weakref.WeakSet[Supervisor] = weakref.WeakSet()


def _kill(reference: weakref.ref[Supervisor]) -> None:
    supervisor = reference()
    if supervisor is not None:
        supervisor.kill()


def _kill_all() -> None:
    """Kill all processes at interpreter exit, before threads are joined that wait for them.

    The functions of `atexit` run after the interpreter has joined all threads, among them those of
    a caller's pool that wait for an answer of a frozen worker: it would never exit. What
    ``threading._register_atexit`` registers runs before that. There is no public way to come
    first, so this is the one private name that we use.
    """
    supervisors = list(_ALIVE)
    for supervisor in supervisors:
        supervisor.kill()
    deadline = perf_counter() + _AT_EXIT
    for supervisor in supervisors:
        supervisor.join(deadline - perf_counter())


threading._register_atexit(_kill_all)  # type: ignore[attr-defined]
