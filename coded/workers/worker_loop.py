"""What runs in a worker process: one task after the other, until the owner is gone."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from coded.errors import tell_error
from coded.workers.messages import Kind, Message, Receiver, pack, send

if sys.platform == "linux":
    import ctypes
    import fcntl

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def serve(
    connection: socket.socket, tally: Connection, lifeline: Connection, owner: int, _: object
) -> None:
    """Run tasks until the owner closes its end; the main function of a worker process.

    Parameters
    ----------
    connection : socket
        To the owner, which sends the initializer first.
    tally : Connection
        Gets an item for each task that is begun, which the owner counts when this process dies.
    lifeline : Connection
        A pipe whose other end is open as long as the owner lives.
    owner : int
        Process id of the owner.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is meant for the owner
    _end_with_owner(lifeline, owner)
    me = os.getpid()
    receiver = Receiver(connection)
    try:
        while True:
            message = receiver.receive()
            if message is None:
                continue
            if message.kind is Kind.TASK:
                tally.send_bytes(b"")
            answer = _answer(message)
            if os.getpid() != me:  # a fork that a task has left behind: it is no worker
                os._exit(0)
            del message  # while it is idle the worker keeps nothing
            send(connection, answer)
            del answer
    except (EOFError, OSError):
        return  # the owner is gone, or has given this process up


def _answer(message: Message) -> list[memoryview]:
    """Do what a message asks, and give what to say; every exception is one."""
    number = message.number
    try:
        if message.kind is Kind.START:
            initializer, initargs = message.load()
            if initializer is not None:
                initializer(*initargs)
            return pack(Kind.UP)
        fn, args, kwargs = _load_task(message)
        return pack(Kind.ANSWER, number, (fn(*args, **kwargs),))
    except BaseException as error:  # noqa: BLE001 (a task may raise SystemExit too)
        text = "".join(traceback.format_exception(error))
        try:
            return pack(Kind.FAILURE, number, (_readable(error), text))
        finally:
            del error  # its traceback holds this frame


def _load_task(message: Message) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    try:
        task: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] = message.load()
    except (AttributeError, ImportError) as error:
        raise type(error)(
            f"{error}; a worker process must be able to import what a task refers to: define it "
            "at the top level of a file that can be imported, not in a notebook"
        ) from error
    return task


def _readable(error: BaseException) -> BaseException:
    """Give an exception that the owner can unpickle: this one, or one that tells of it."""
    error = error.with_traceback(None)
    try:
        pickle.loads(pickle.dumps(error))
    except BaseException as fault:  # noqa: BLE001 (whatever its class does)
        return RuntimeError(
            f"{tell_error(error)} (this error of the worker cannot be sent itself: "
            f"{tell_error(fault)})"
        )
    return error


def _end_with_owner(lifeline: Connection, owner: int) -> None:
    """End this process, and what it forks, when the owner is gone.

    On Linux the kernel does it, also where the worker is frozen or C code holds the GIL. It sends
    SIGKILL to this process's group when the last owner of the lifeline's other end is gone; and
    to this process when the thread that started it is, even if some process that knows nothing
    of us still holds the lifeline. Elsewhere a thread waits for the end of the lifeline.
    """
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # so that what a task forks can be killed with this process
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # or some terminals stop it as it prints
    if sys.platform == "linux":
        fcntl.fcntl(lifeline.fileno(), fcntl.F_SETOWN, -os.getpid())
        fcntl.fcntl(lifeline.fileno(), fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline.fileno(), fcntl.F_GETFL)
        fcntl.fcntl(lifeline.fileno(), fcntl.F_SETFL, flags | os.O_ASYNC)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_after, args=(lifeline,), daemon=True).start()
    if hasattr(os, "getppid") and sys.platform != "win32" and os.getppid() != owner:
        _end()


def _end_after(lifeline: Connection) -> None:
    """Wait for the end of the owner; it never writes, so that this reads its end only."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    _end()


def _end() -> None:
    """End this process and its group at once."""
    if hasattr(os, "killpg"):
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
