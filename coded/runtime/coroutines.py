"""Coroutine functions as workers, as those that ask a server behind an URL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, NoReturn, TypeAlias

AsyncFunction: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]


class Coroutines(Executor):
    """An executor that runs each task as a coroutine of a loop, and really cancels it.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        Where they run.
    own : callable, optional
        The function of this worker, whatever is submitted.
    """

    runs_coroutines = True

    def __init__(self, loop: asyncio.AbstractEventLoop, own: AsyncFunction | None = None) -> None:
        self._loop, self._own = loop, own

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start a coroutine; its future can be cancelled as long as it runs."""
        function = self._own or fn
        return asyncio.run_coroutine_threadsafe(function(*args, **kwargs), self._loop)


def read_functions(
    fn: AsyncFunction | Sequence[AsyncFunction],
) -> tuple[Callable[..., Any], list[Executor]]:
    """Give what is submitted, and one executor for one function, or one for each.

    Raises TypeError if there is something that is no coroutine function.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(fn, Sequence):
        _require_async(fn)
        return fn, [Coroutines(loop)]
    if not fn:
        raise ValueError("fn must hold at least one async function, got an empty sequence")
    for one in fn:
        _require_async(one)
    return of_the_worker, [Coroutines(loop, one) for one in fn]


def of_the_worker(*_: Any) -> NoReturn:
    """Stand for the function of each worker, which its executor knows."""
    raise AssertionError("its executor runs another one")


def is_async(fn: object) -> bool:
    """Whether a call of this gives a coroutine."""
    while isinstance(fn, partial):
        fn = fn.func
    return iscoroutinefunction(fn) or iscoroutinefunction(type(fn).__call__)


def _require_async(fn: object) -> None:
    if not is_async(fn):
        raise TypeError(
            f"without executor fn must be an async function, or a sequence of them, got {fn!r}; "
            "define it by async def, or pass an executor that runs it"
        )
