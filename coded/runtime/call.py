"""The tasks of one coded call, and what becomes of each; knows nothing of clocks' waiting."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import suppress
from enum import Enum
from functools import cache, partial
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from math import inf
from time import perf_counter
from traceback import walk_tb
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from coded.errors import tell_error
from coded.runtime.lateness import Question, Tasks, is_behind, tasks_of
from coded.runtime.nests import Layout, Read, pack
from coded.runtime.result import Indices
from coded.schemes.protocol import (
    Function,
    NotEnoughRespondersError,
    Scheme,
    number_reader,
)
from fastspline.arrays import FloatArray, Restore, require_finite

IsEnough: TypeAlias = Callable[[Indices], bool]
Arrival: TypeAlias = tuple[int, float]

_LOG = logging.getLogger(__name__)
_RECALL = 0.5  # seconds, or half the timeout, after which a call asks workers behind too
_SUSPENDABLE = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR
_LARGE = 1 << 20  # bytes of an answer that takes long to read for an event loop
_PLAIN = (np.ndarray, np.generic, float, int, complex)  # read without running code of theirs
# Numbers up to which BLAS multiplies in this thread: where processors are busy, waiting for its
# others takes a thousand times as long (measured: 32 ms for 8 MB instead of .5).
_BLAS_ALONE = 8192
_HEADROOM = 2.0**28  # decoders amplify answers by less than this, Lagrange's by up to 1e8


class WorkerBusyError(RuntimeError):
    """A worker was not asked: it is still at work for an earlier call, or its process starts."""


class Reading(Enum):
    """How an answer is to be read that takes longer than others."""

    LARGE = "in a thread, where an event loop must not wait"
    FOREIGN = "in a thread of its own, for it runs code of its own that may do anything"


class Call:
    """The N tasks of one call and what has become of them; used by one thread.

    Parameters
    ----------
    scheme : Scheme
        Bound to the inputs.
    is_wanted : callable
        Whether these responders are enough for the caller, who also wants them decodable.
    least : int
        Fewer than so many never are.
    timeout : float or None
        In seconds from now on.
    announce : callable
        ``announce((worker, moment))`` when a task has ended, in whichever thread that happens.
    """

    def __init__(
        self,
        scheme: Scheme,
        is_wanted: IsEnough,
        least: int,
        timeout: float | None,
        announce: Callable[[Arrival], object],
    ) -> None:
        self.failures: dict[int, BaseException] = {}
        self.latencies = np.full(scheme.n_workers, np.nan)
        self._scheme = scheme
        self._read = number_reader(scheme)
        self._is_wanted = is_wanted
        self._least = least
        self._timeout = timeout
        self._announce = announce
        self._futures: dict[int, Future[Any]] = {}
        self._on_dask: set[int] = set()
        self._submitted = np.full(scheme.n_workers, np.nan)
        self._began = perf_counter()
        self.deadline = inf if timeout is None else self._began + timeout
        self._question = Question()
        self._waiting: set[int] = set()
        self._reserve: dict[int, Callable[[], None]] = {}
        self._answers: dict[object, dict[int, tuple[FloatArray, Layout]]] = {}  # by layout
        self._outcomes: dict[int, tuple[FloatArray, Layout] | BaseException] = {}  # unless unread
        self._unread: dict[int, Any] = {}  # answers, as they came

    def submit(
        self,
        functions: Sequence[Function],
        tasks: Sequence[object],
        executors: Sequence[Executor],
        order: Sequence[int],
    ) -> None:
        """Submit all tasks in `order`, to workers behind only once the others do not suffice."""
        behind = [is_behind(executor) for executor in executors]
        # A lone executor is asked in any case, so that nobody needs to know its tasks.
        given = [tasks_of(one) if len(executors) > 1 else None for one in executors]
        busy = {n for n in order if behind[n % len(executors)]}
        idle = np.array(sorted(set(order) - busy), dtype=np.intp)
        if busy and not self._is_enough(idle):
            busy = set()  # queue behind what they are at
        for n in order:
            to = n % len(executors)
            if n in busy:
                give = partial(self._give, n, executors[to], given[to], functions[n], tasks[n])
                self._reserve[n] = give
                starts = getattr(executors[to], "starting", False) is True
                what = "starting its process" if starts else "still at work for an earlier call"
                self._fail(n, WorkerBusyError(f"{what}; was not asked"))
            else:
                self._give(n, executors[to], given[to], functions[n], tasks[n])

    def _give(
        self, n: int, executor: Executor, given: Tasks | None, fn: Function, task: object
    ) -> None:
        turn = 0 if given is None else given.expect(self._question)
        self._submitted[n] = perf_counter()
        self._waiting.add(n)
        if is_dask(executor):
            self._on_dask.add(n)
        # One statement: a Ctrl-C would come between two, and the task be lost from sight.
        self._futures[n] = _submit(executor, fn, task)
        self._futures[n].add_done_callback(partial(_tell, self._announce, n, given, turn))
        if given is not None:
            given.add(self._futures[n], turn, self._question)

    def _give_reserve(self) -> None:
        """Ask the workers behind too: one of the others may be frozen, which nobody can know."""
        while self._reserve:
            n = next(iter(self._reserve))  # in the order of `submit`
            give = self._reserve.pop(n)
            del self.failures[n]
            give()

    def steps(
        self, on_answer: Callable[[int, float], object] | None
    ) -> Generator[float, list[Arrival], bool]:
        """Take answers until they are enough (True), or nothing is to be gained any more (False).

        Yields the seconds to wait for the next arrival, 0 for those that are there already, and is
        sent all that came. Where the answers cannot become enough, because workers are lost, all
        others are still waited for: the more of them, the better the outputs.
        """
        deadline = self.deadline
        recall = min(self._began + _RECALL, (self._began + deadline) / 2.0)
        while True:
            for arrival in (yield 0.0):
                self._take(arrival, on_answer)
            if len(self._leading()) >= self._least and self._is_enough(self._responders()):
                return True
            is_in_reach = self._can_become(self._is_enough)
            if self._reserve and (perf_counter() >= recall or not is_in_reach):
                self._give_reserve()
                continue
            if not is_in_reach and self._is_over():
                return False
            until = min(deadline, recall) if self._reserve else deadline
            arrivals = yield max(until - perf_counter(), 0.0)
            for arrival in arrivals:
                self._take(arrival, on_answer)
            if not arrivals and until == deadline:
                for n in sorted(self._waiting):
                    self._fail(n, TimeoutError(f"no answer within {self._timeout:.3g} s"))
                return False

    def fetch(self, n: int) -> Reading | None:
        """Take off its future what a task has come to; how its answer is to be read, if any."""
        future = self._futures.pop(n, None)
        if future is None:  # told twice
            return None
        try:
            error = future.exception()
            if error is None:
                answer = self._unread[n] = future.result()
                return _reading(answer)
            _free_locals(error)
            self._outcomes[n] = error
        except CancelledError:
            self._outcomes[n] = CancelledError("the task was cancelled by its executor")
        except Exception as fault:  # noqa: BLE001 (whatever the futures of an engine raise)
            self._outcomes[n] = fault.with_traceback(None)
        return None

    def read(self, *workers: int) -> None:
        """Read fetched answers before they are taken, in a thread that no Ctrl-C comes to."""
        for n in workers:
            answer = self._unread.pop(n)
            try:
                self._outcomes[n] = _read_answer(answer, self._read)
            except BaseException as error:  # noqa: BLE001 (what an answer does when it is read is the worker's doing)
                self._outcomes[n] = error.with_traceback(None)

    def read_aside(self, n: int) -> Future[None]:
        """Read it in a thread of its own, which may take as long as it likes."""
        done: Future[None] = Future()
        # What is said where it is not done in time.
        self._outcomes[n] = TimeoutError("the answer came, but could not be read in time")

        def run() -> None:
            self.read(n)
            done.set_result(None)

        threading.Thread(target=run, name="reads an answer", daemon=True).start()
        return done

    def cancel(self) -> None:
        """Cancel what is still queued, and let go of all futures: late answers are then freed.

        Those of Dask in a thread: each cancellation waits for the client's event loop, which hears
        nobody for a second or two while it receives hundreds of megabytes. May be called again, to
        finish what a Ctrl-C has interrupted.
        """
        self._question.end()
        self._reserve.clear()
        on_dask = [future for n, future in self._futures.items() if n in self._on_dask]
        if on_dask:
            run = partial(_cancel_all, on_dask)
            threading.Thread(target=run, name="cancels tasks of Dask", daemon=True).start()
        for n, future in self._futures.items():
            if n not in self._on_dask:
                future.cancel()
        self._futures.clear()
        self._unread.clear()
        self._outcomes.clear()

    def settle(self) -> Indices:
        """Fix the responders: the workers whose answers agree in shape; the others have failed."""
        responders, leading = self._responders(), self._leading()
        for group in self._answers.values():
            if group is not leading:
                usual = next(iter(leading.values()))[1]
                for n, (_, layout) in group.items():
                    self._fail(
                        n, ValueError(f"answer has shape {layout}, most others have {usual}")
                    )
        self.latencies[self.others(responders)] = np.nan
        return responders

    def others(self, responders: Indices) -> Indices:
        """Give the workers that are not among the responders."""
        is_other = np.ones(len(self.latencies), dtype=np.bool_)
        is_other[responders] = False
        return np.flatnonzero(is_other)

    def collect(self, responders: Indices) -> tuple[FloatArray, Layout]:
        """Stack the answers of the responders, and give the way back to their kind."""
        group = self._leading()
        arrays, layouts = zip(*(group[int(n)] for n in responders), strict=True)
        if arrays[0].ndim == 0:
            return np.array(arrays), layouts[0]
        joined = np.concatenate(arrays)  # np.stack takes twice as long
        return joined.reshape(len(arrays), *arrays[0].shape), layouts[0]

    def not_enough(self, fn: object, scheme: Scheme, wanted: str) -> NotEnoughRespondersError:
        """Make the error that tells every worker's fate."""
        responders = self._responders()
        seconds = perf_counter() - self._began
        timed_out = any(n in self._waiting for n in self.failures)
        failed = [n for n in self.failures if n not in self._waiting]
        parts = [
            f"{len(responders)} of {scheme.n_workers} workers answered within {seconds:.3g} s",
            f"{scheme!r} cannot decode that; waited for {wanted}",
        ]
        if failed:
            parts.append(
                f"{len(failed)} failed: {_list(failed)}; the first by "
                f"{tell_error(self.failures[failed[0]])}"
            )
        if self._waiting:
            parts.append(f"{len(self._waiting)} still out: {_list(sorted(self._waiting))}")
        parts.append("raise timeout or n_workers" if timed_out else "see .failures for all reasons")
        crashed = all(isinstance(self.failures[n], BrokenExecutor) for n in failed)
        if not len(responders) and failed and crashed:
            parts.append(
                f"processes that die at once cannot import {getattr(fn, '__qualname__', 'fn')}: "
                "define it at the top level of a file, not in a notebook or as a lambda, and "
                'guard the program by if __name__ == "__main__":'
            )
        return NotEnoughRespondersError(
            "; ".join(parts), responders=responders, failures=self.failures
        )

    def _take(self, arrival: Arrival, on_answer: Callable[[int, float], object] | None) -> None:
        """File the answer of a worker, or its failure."""
        n, moment = arrival
        if n not in self._unread and n not in self._outcomes:  # told twice
            return
        self._waiting.discard(n)
        try:
            if n in self._outcomes:
                outcome = self._outcomes.pop(n)
            else:
                outcome = _read_answer(self._unread.pop(n), self._read)
        except Exception as unusable:  # noqa: BLE001 (what an answer does when it is read is the worker's doing)
            # Without the traceback, whose frames would keep the answers of this call alive.
            outcome = unusable.with_traceback(None)
        if isinstance(outcome, BaseException):
            self._fail(n, outcome)
            return
        array, layout = outcome
        self._question.answer(moment)
        group = self._answers.get(layout.key)
        if group is None:
            group = self._answers[layout.key] = {}
        group[n] = array, layout
        self.latencies[n] = moment - self._submitted[n]
        if on_answer is not None:
            on_answer(n, float(self.latencies[n]))

    def _fail(self, n: int, error: BaseException) -> None:
        _LOG.debug("worker %d failed: %s", n, tell_error(error))
        self.failures[n] = error

    def _leading(self) -> dict[int, tuple[FloatArray, Layout]]:
        """Give the answers of the shape that most have; of equally many, of the one seen first."""
        return max(self._answers.values(), key=len, default={})

    def _responders(self) -> Indices:
        return np.array(sorted(self._leading()), dtype=np.intp)

    def _can_decode(self, responders: Indices) -> bool:
        return len(responders) > 0 and self._scheme.can_decode(responders)

    def _is_enough(self, responders: Indices) -> bool:
        return (
            len(responders) >= self._least
            and self._is_wanted(responders)
            and self._can_decode(responders)
        )

    def _is_over(self) -> bool:
        """Whether further answers would change nothing, where what was wanted is out of reach."""
        if not self._waiting:
            return True
        if self._is_disputed():
            return False
        responders = self._responders()
        if self._can_decode(responders):
            return bool(self._scheme.exact_mask(responders).all())
        return not self._can_become(self._can_decode)

    def _is_disputed(self) -> bool:
        """Whether two shapes lead, equally many answers each, and one more answer may decide."""
        most = len(self._leading())
        leaders = sum(len(group) == most for group in self._answers.values())
        return bool(self._waiting) and leaders > 1

    def _can_become(self, is_enough: IsEnough) -> bool:
        """Whether the answers would be enough if all who are still out answered alike."""
        if not self._waiting:
            return False
        if not self.failures and len(self._answers) < 2:
            return True
        groups = list(self._answers.values()) or [{}]
        return any(
            is_enough(np.array(sorted(group.keys() | self._waiting), dtype=np.intp))
            for group in groups
        )


def is_dask(executor: Executor) -> bool:
    """Whether this is an executor of a Dask client."""
    return type(executor).__module__.startswith("distributed.")


def _cancel_all(futures: list[Future[Any]]) -> None:
    while futures:  # so that late answers are freed one by one
        futures.pop().cancel()


def _submit(executor: Executor, fn: Function, task: object) -> Future[Any]:
    """Submit a task; where the executor refuses it, the future of a task that failed."""
    try:
        return executor.submit(fn, task)
    except Exception as error:  # noqa: BLE001 (whatever an engine raises here, only this worker is lost)
        refused: Future[Any] = Future()
        # Without the traceback, whose frames hold the task, the executor and this future.
        refused.set_exception(error.with_traceback(None))
        return refused


def _reading(answer: object) -> Reading | None:
    """Say how an answer is to be read; None is here and now."""
    if isinstance(answer, _PLAIN):
        return Reading.LARGE if getattr(answer, "nbytes", 0) > _LARGE else None
    if isinstance(answer, tuple | dict):
        leaves = answer.values() if isinstance(answer, dict) else answer
        readings = {_reading(leaf) for leaf in leaves}
        return next((one for one in (Reading.FOREIGN, Reading.LARGE) if one in readings), None)
    if type(answer).__module__.partition(".")[0] == "torch":
        return Reading.LARGE if getattr(answer, "nbytes", inf) > _LARGE else None
    return Reading.FOREIGN


def _free_locals(error: BaseException) -> None:
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


def _tell(
    announce: Callable[[Arrival], object],
    n: int,
    given: Tasks | None,
    turn: int,
    future: Future[Any],
) -> None:
    """Tell that task n has ended; runs in a thread of the executor."""
    announce((n, perf_counter()))
    if given is not None:
        given.drop(future, turn)


def read_finite(read: Read, values: ArrayLike, name: str) -> tuple[FloatArray, Restore]:
    """Read `values`; ValueError if one is not finite."""
    array, restore = read(values, name)
    require_finite(array, name)
    return array, restore


def _read_answer(answer: ArrayLike, read: Read) -> tuple[FloatArray, Layout]:
    """Give an answer as one array, checked, and the way back to its kind."""
    array, layout = pack(answer, "answer", read, lead=0)
    if array.size == 0:
        raise ValueError(f"answer is empty, it has shape {layout}")
    if array.dtype.kind == "i":  # a field's numbers do not overflow
        return array, layout
    limit = _limit(array.dtype)
    if not _is_moderate(array, limit):
        largest = float(np.abs(array).max())
        pack(answer, "answer", partial(read_finite, read), lead=0)  # tells which is not finite
        raise ValueError(
            f"answer holds numbers too large to decode: max |answer| = {largest:g}, at most "
            f"{limit:.3g} is allowed in {array.dtype}; scale the answers down"
        )
    return array, layout


def _is_moderate(array: FloatArray, limit: float) -> bool:
    """Whether all numbers lie within the limit, and none is NaN."""
    if array.size <= _BLAS_ALONE and np.vdot(array, array).real <= limit:
        return True
    reals = np.abs(array) if array.dtype.kind == "c" else array
    return bool(reals.max() <= limit and reals.min() >= -limit)


@cache
def _limit(dtype: np.dtype[Any]) -> float:
    """Give the largest number of an answer that can be decoded in this dtype."""
    return float(np.finfo(dtype).max) / _HEADROOM


def _list(workers: Sequence[int]) -> str:
    """Write the first of many workers."""
    shown = ", ".join(str(n) for n in workers[:8])
    return shown if len(workers) <= 8 else f"{shown}, ..."
