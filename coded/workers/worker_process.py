"""One spawned process and the socket to it, which can be killed whatever it is at."""

from __future__ import annotations

import multiprocessing
import os
import selectors
import signal
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from time import perf_counter, sleep
from typing import TypeAlias

from coded.workers.messages import Kind, Message, Receiver, pack, send
from coded.workers.worker_loop import serve

Initializer: TypeAlias = Callable[..., object]

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_ENVIRONMENT_LOCK = threading.Lock()
_LOOK = 0.1  # seconds between looks whether the process lives, where the system does not tell
_INSTANT = 0.001
_REAP = 1.0  # seconds for a killed process to be gone; in a system call it may stay longer
_RINGS = 1 << 10  # of the alarm, taken at once
_ROOM = 1 << 20  # bytes on their way; Linux halves its default in small tasks, and may allow less


class WorkerProcess:
    """A process that runs the tasks it is sent; used by the thread that makes it, but for `kill`.

    On Linux the process ends with that thread, as with the program.

    Parameters
    ----------
    initializer, initargs
        As of `LocalWorkers`. Pickled while the process is spawned, so that what multiprocessing
        hands to new processes only (its locks and queues) may be among them.

    Raises
    ------
    RuntimeError
        In a process that is still importing its main program.
    OSError
        If the system has no process, memory or descriptor left.
    Exception
        Whatever pickling the arguments raises.
    """

    def __init__(self, initializer: Initializer | None, initargs: tuple[object, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self.has_ended = False
        self._lock = threading.Lock()
        self._is_ours = True  # else its number may be another one's by now
        self._begun = 0
        self._outgoing: list[memoryview] = []
        with ExitStack() as made, ExitStack() as given:  # the system may have no more anywhere here
            self._connection, theirs = socket.socketpair()
            made.enter_context(self._connection)
            given.enter_context(theirs)
            held, lifeline = context.Pipe(duplex=False)
            given.enter_context(held)
            made.enter_context(lifeline)
            self._agreement, tally = context.Pipe(duplex=False)
            made.enter_context(self._agreement)
            given.enter_context(tally)
            self._selector = made.enter_context(selectors.DefaultSelector())
            for one in (self._connection, theirs):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
            start = _PackedAsSpawned((initializer, initargs))
            self._process = context.Process(
                target=serve, args=(theirs, tally, held, os.getpid(), start), name="coded worker"
            )
            with _single_threaded_children():
                self._process.start()
            assert self._process.pid is not None  # it was started
            self.pid = self._process.pid
            try:
                self._watch = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None
                if self._watch is not None:
                    made.callback(os.close, self._watch)
                    self._selector.register(self._watch, selectors.EVENT_READ)
                self._selector.register(self._connection, selectors.EVENT_READ)
            except BaseException:
                self._process.kill()
                raise
            self._made = made.pop_all()
        self._receiver = Receiver(self._connection)
        self._connection.settimeout(0.0)
        _ALIVE.add(self)
        self.send(start.pieces)

    def send(self, pieces: list[memoryview]) -> None:
        """Send a message as far as there is room now; `exchange` sends the rest."""
        self._outgoing += pieces
        self._send_more()

    def count_begun(self) -> int:
        """Count the tasks that the process has begun."""
        with suppress(EOFError, OSError):
            while self._agreement.poll():
                self._agreement.recv_bytes()
                self._begun += 1
        return self._begun

    def exchange(self, alarm: socket.socket, seconds: float | None) -> list[Message]:
        """Wait for news, at most some seconds, send what is left, and give what has come.

        Parameters
        ----------
        alarm : socket
            Somebody else's: once it can be read the wait ends.
        seconds : float or None
            None where only news are of interest.
        """
        if alarm not in self._selector.get_map():
            self._selector.register(alarm, selectors.EVENT_READ)
        if self._watch is None:
            seconds = _LOOK if seconds is None else min(seconds, _LOOK)
        ready = {key.fileobj: events for key, events in self._selector.select(seconds)}
        if alarm in ready:
            alarm.recv(_RINGS)
        if self._watch in ready or (self._watch is None and not self._process.is_alive()):
            self.has_ended = True
        if ready.get(self._connection, 0) & selectors.EVENT_WRITE:
            self._send_more()
        if self._connection in ready or self.has_ended:  # it may have answered before its end
            return self._receive()
        return []

    def is_stopped(self) -> bool:
        """Whether a signal has stopped it, where the system tells."""
        if not hasattr(os, "waitid"):
            return False
        try:
            stopped = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, stopped) is not None
        except ChildProcessError:  # it was reaped
            return False

    def kill(self) -> None:
        """Send SIGKILL, which frozen ones obey too, to it and to what it has forked."""
        with self._lock:
            if self._is_ours:
                self._process.kill()
                if hasattr(os, "killpg"):
                    with suppress(ProcessLookupError, PermissionError):  # it has made none yet
                        os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> str:
        """Kill it, wait a second at most until it is gone, and say how it ended."""
        self.kill()
        deadline = perf_counter() + _REAP
        with self._lock:  # it may be reaped from here on, and its number be given to another one
            self._is_ours = False
        while self._process.is_alive() and perf_counter() < deadline:
            sleep(_INSTANT)
        # Not closed: at exit multiprocessing, in another thread, may be about to join it.
        code = self._process.exitcode
        _ALIVE.discard(self)
        self.let_go()
        return _tell_end(code)

    def let_go(self) -> None:
        """Close what leads to the process; in a fork of the owner all that is to be done."""
        self._made.close()

    def _send_more(self) -> None:
        try:
            send(self._connection, self._outgoing)
        except OSError:  # it has died, which the selector tells too
            self._outgoing.clear()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        if self._connection in self._selector.get_map():
            self._selector.modify(self._connection, events)

    def _receive(self) -> list[Message]:
        """Take messages, one at a time: the selector tells whether more has come."""
        messages: list[Message] = []
        try:
            while self.has_ended or not messages:
                message = self._receiver.receive()
                if message is not None:
                    messages.append(message)
        except BlockingIOError:
            pass
        except (EOFError, OSError):  # it cannot answer any more, dead or not
            self.has_ended = True
        return messages


class _PackedAsSpawned:
    """Packs something as its process is being spawned, to be sent by the socket.

    What multiprocessing itself sends to a new process it writes into a pipe without a limit of
    time: a process that dies or freezes as it starts would hold the owner for ever.
    """

    def __init__(self, value: object) -> None:
        self._value = value
        self.pieces: list[memoryview] = []

    def __reduce__(self) -> tuple[object, ...]:
        self.pieces = pack(Kind.START, 0, self._value)
        return type(None), ()


def _tell_end(code: int | None) -> str:
    """Say how a process ended."""
    if code is None:
        return "has been killed, but is still in a system call"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"exited with code {code}"


_ALIVE: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


def _let_go_of_all() -> None:
    """Leave the workers to their owner; runs in its forks, which would keep the lifelines open."""
    for process in list(_ALIVE):
        with suppress(OSError):
            process.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_of_all)


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
