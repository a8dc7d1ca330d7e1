"""The futures of any engine: given and cancelled; errors whose frames hold nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from traceback import walk_tb
from typing import Any

_SUSPENDABLE = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR


def submit(executor: Executor, fn: Callable[..., Any], payload: tuple[Any, ...]) -> Future[Any]:
    """Submit a task; where the executor refuses it, give the future of a task that failed.

    A function that has `submit_to` submits itself, with what its worker lacks.
    """
    submit_to = getattr(type(fn), "submit_to", None)  # not of proxies, which have any attribute
    try:
        return submit_to(fn, executor, payload) if submit_to else executor.submit(fn, *payload)
    except Exception as error:  # noqa: BLE001 (whatever an engine raises here, only this worker is lost)
        refused: Future[Any] = Future()
        # Without the traceback, whose frames hold the task, the executor and this future.
        refused.set_exception(error.with_traceback(None))
        return refused


def is_dask(executor: Executor) -> bool:
    """Whether this is an executor of a Dask client."""
    return type(executor).__module__.startswith("distributed.")


def cancel_aside(futures: list[Future[Any]]) -> None:
    """Cancel in a thread, where each cancellation may take seconds; the list is emptied."""
    run = partial(_cancel_all, futures)
    threading.Thread(target=run, name="cancels tasks of Dask", daemon=True).start()


def _cancel_all(futures: list[Future[Any]]) -> None:
    while futures:  # so that late answers are freed one by one
        futures.pop().cancel()


def free_locals(error: BaseException) -> None:
    """Free the arrays that frames hold from which an error came; its traceback prints as before.

    Not those of coroutines and generators, which this would end where they go on.
    """
    # Nor those of the caller's own error: it is a context where the executor ran the task here.
    errors, seen = [error], {id(sys.exception())}
    while errors:
        one = errors.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for frame, _ in walk_tb(one.__traceback__):
            if not frame.f_code.co_flags & _SUSPENDABLE:
                with suppress(RuntimeError):  # it runs
                    frame.clear()
        several = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        errors += [other for other in (one.__cause__, one.__context__, *several) if other]
