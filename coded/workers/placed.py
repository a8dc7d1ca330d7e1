"""What stays with workers: a share is sent once to each, and again to one that was replaced.

A worker keeps shares in its process. A task names its share by a key; where the process does not
have it, because it is new or another one of its pool, the task is given again together with the
share. So any executor will do, and nobody has to know which process is behind it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import suppress
from itertools import count
from typing import Any, TypeAlias
from uuid import uuid4

Key: TypeAlias = tuple[str, int, int]  # of the owning process, what was placed, and the worker
Living: TypeAlias = tuple[str, int, frozenset[int]]  # of that process, what lives of the first n

_kept: dict[Key, Any] = {}  # in a worker's process

_lock = threading.Lock()
_given: weakref.WeakKeyDictionary[Executor, set[Key]] = weakref.WeakKeyDictionary()
_process = uuid4().hex
_numbers = count()
_living: set[int] = set()  # numbers of what has an owner in this process


class Placed:
    """Something of which each worker keeps a share between calls.

    Each task tells what lives, and a worker's process lets go of the rest: the shares of an object
    that is gone are kept until the next task on what was placed, or the end of the process.

    Parameters
    ----------
    shares : sequence
        Share n is for worker n; they stay here too, for workers that are replaced.
    """

    def __init__(self, shares: Sequence[Any]) -> None:
        self.shares = tuple(shares)
        with _lock:  # no task tells of it before it lives
            self._number = next(_numbers)
            _living.add(self._number)
        weakref.finalize(self, _living.discard, self._number).atexit = False
        self._owner = _this_process()

    def function(self, worker: int, fn: Callable[..., Any]) -> OnShare:
        """Give ``fn(share, *arguments)`` as a function of the arguments alone."""
        return OnShare(self, worker, fn)

    def key(self, worker: int) -> Key:
        """Name a worker's share."""
        return self._owner, self._number, worker


class OnShare:
    """What worker n runs on its share; a runtime submits it by `submit_to`.

    Pickled, it is the key without the share.
    """

    def __init__(self, placed: Placed, worker: int, fn: Callable[..., Any]) -> None:
        self._placed, self._worker, self._fn = placed, worker, fn

    def __call__(self, *arguments: Any) -> Any:
        """Run here, on the share as it is."""
        return self._fn(self._placed.shares[self._worker], *arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        """Name the share, for a process that has it."""
        return _ByKey, (self._fn, self._placed.key(self._worker), None)

    def submit_to(self, executor: Executor, payload: tuple[Any, ...]) -> Future[Any]:
        """Submit it, with the share where this executor has not been given it."""
        key = self._placed.key(self._worker)
        with _lock:
            given = _given.setdefault(executor, set())
            living = _now_living()
            given.difference_update([old for old in given if _is_gone(old, living)])
            is_new = key not in given
            given.add(key)
        with_share = _WithShare(self, key, living)
        if is_new:
            return executor.submit(with_share, *payload)
        return _Relay(executor, _Light(self, key, living), with_share, payload)


class _Light:
    """The function by its key, and which shares the worker is still to keep."""

    def __init__(self, function: OnShare, key: Key, living: Living) -> None:
        self._function, self._key, self._living = function, key, living

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return _ByKey, (self._function._fn, self._key, self._living)


class _WithShare(_Light):
    """The function together with its share, which is kept where it arrives."""

    def __reduce__(self) -> tuple[Any, ...]:
        share = self._function._placed.shares[self._function._worker]
        return _Arrived, (self._function._fn, self._key, self._living, share)


class _ByKey:
    """In the worker's process: a function of a share that may be there."""

    def __init__(self, fn: Callable[..., Any], key: Key, living: Living | None) -> None:
        self._fn, self._key = fn, key
        if living is not None:
            _keep_only(living)

    def __call__(self, *arguments: Any) -> Any:
        if self._key not in _kept:
            return Missing(self._key)
        return self._fn(_kept[self._key], *arguments)


class _Arrived:
    """In the worker's process: a function with its share."""

    def __init__(self, fn: Callable[..., Any], key: Key, living: Living, share: Any) -> None:
        self._fn, self._key, self._share = fn, key, share
        _keep_only(living)

    def __call__(self, *arguments: Any) -> Any:
        _kept[self._key] = self._share
        return self._fn(self._share, *arguments)


class Missing:
    """The answer of a process that has not the share it was asked about."""

    def __init__(self, key: Key) -> None:
        self.key = key


class _Relay(Future[Any]):
    """The future of a task that is given once more, with its share, where that is missing."""

    def __init__(
        self, executor: Executor, fn: Any, with_share: Any, payload: tuple[Any, ...]
    ) -> None:
        super().__init__()
        self._executor, self._payload = executor, payload
        self._with_share: Any = with_share
        self._follow(executor.submit(fn, *payload))

    def cancel(self) -> bool:
        """Cancel the task where it is still queued."""
        return self._inner.cancel() and super().cancel()

    def running(self) -> bool:
        """Whether the task is running."""
        return not self.done() and self._inner.running()

    def _follow(self, inner: Future[Any]) -> None:
        self._inner = inner
        inner.add_done_callback(self._take)

    def _take(self, inner: Future[Any]) -> None:
        """Pass on what became of the task; runs in a thread of the executor."""
        with_share, self._with_share = self._with_share, None
        with suppress(InvalidStateError):  # it has been cancelled meanwhile
            if inner.cancelled():
                super().cancel()
                self.set_running_or_notify_cancel()
            elif (error := inner.exception()) is not None:
                self.set_exception(error)
            elif isinstance(inner.result(), Missing) and with_share is not None:
                try:
                    self._follow(self._executor.submit(with_share, *self._payload))
                except Exception as refusal:  # noqa: BLE001 (whatever an engine raises here)
                    self.set_exception(refusal.with_traceback(None))
            else:
                self.set_result(inner.result())


def _this_process() -> str:
    """Name this process, also where it was forked from one that has placed something."""
    return f"{_process}-{os.getpid()}"


def _now_living() -> Living:
    """Tell what lives; not of what is placed later, of which a share may arrive before this."""
    upto = next(_numbers)
    return _this_process(), upto, frozenset(_living.copy())


def _is_gone(key: Key, living: Living) -> bool:
    owner, number, _ = key
    return owner == living[0] and number < living[1] and number not in living[2]


def _keep_only(living: Living) -> None:
    """Let go, in a worker's process, of what its owner has dropped."""
    for key in [key for key in _kept.copy() if _is_gone(key, living)]:
        _kept.pop(key, None)
