"""`coded_map`: one task a worker, outputs decoded from the answers that came."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from functools import partial
from math import inf
from numbers import Real
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from coded.counts import read_count
from coded.result import CodedResult, Indices, tell_error
from coded.schemes.protocol import (
    ErrorEstimating,
    Function,
    NotEnoughRespondersError,
    Scheme,
    read_numbers,
    require_scheme,
    worker_functions,
)
from fastspline.arrays import FloatArray, Restore, require_finite

IsEnough: TypeAlias = Callable[[Indices], bool]

_LOG = logging.getLogger(__name__)
_LONGEST_WAIT = 0.5  # seconds at a time
_HEADROOM = 2.0**28  # decoders amplify answers by less than this, Lagrange's by up to 1e8


def coded_map(
    fn: Function,
    inputs: ArrayLike,
    scheme: Scheme,
    executor: Executor | Sequence[Executor],
    *,
    wait_for: SupportsIndex | IsEnough | None = None,
    timeout: float | None = None,
    on_answer: Callable[[int, float], object] | None = None,
) -> CodedResult:
    """Compute f for K inputs by N workers of which some may be slow, dead or wrong.

    Binds the scheme to the inputs, encodes them, submits ``fn(coded_inputs[n])`` for every n,
    and decodes in the calling thread as soon as `wait_for` is met; answers that have arrived by
    then are used too. What counts as a straggler, not as an error of the call: an exception in
    the worker, a failed submission (a broken or shut pool), a cancelled future, an answer that
    is no array of finite real numbers or holds some too large to decode, and an answer whose
    shape differs from that of most others (of the first one where equally many differ).

    Returns early with what there is as soon as `wait_for` can no longer be met, and at
    `timeout`; where that cannot be decoded but later answers could make it so, it waits for those
    first. Without a timeout, a frozen worker whose answer `wait_for` needs blocks the call for
    ever, for no engine reports it. Tasks are submitted one an input first, so that the first
    answers of a shared pool cover all inputs.

    The executor is the caller's and is never shut down. On return, tasks still queued are
    cancelled; running ones are left to finish and their answers go nowhere, least of all into a
    later call. Answers of process pools and clusters are unpickled here: workers are trusted code.

    Parameters
    ----------
    fn : callable
        Gets coded input n, shape ``inputs.shape[1:]``, as numpy array or torch tensor like the
        inputs, and returns an array, a tensor or a number. Under a scheme with
        `worker_functions` some workers evaluate others instead. For process pools it must be
        importable in the worker: a function of a module, not of ``__main__``, no lambda.
    inputs : array_like, shape (K, ...)
        A numpy array or torch tensor of finite numbers.
    scheme : Scheme
        The code, with ``scheme.n_inputs == K``.
    executor : Executor or sequence of Executor
        One `concurrent.futures.Executor`, or a sequence of them: coded input n goes to
        ``executor[n % len(executor)]``. A Dask client gives one by
        ``client.get_executor(pure=False)``; with ``pure=True`` Dask merges equal coded inputs
        into one task and the redundancy is lost.
    wait_for : int or callable, optional
        Least number of answers, in [1, N], or a predicate of the responders so far (ascending
        indices), which must stay true when responders are added: it is also asked about those
        who could still answer. Default: ``scheme.min_responders``. In each case the answers
        must be decodable too.
    timeout : float, optional
        Longest wait in seconds, counted from the first submission.
    on_answer : callable, optional
        ``on_answer(worker, latency_seconds)``, called in the calling thread for each usable
        answer in the order of arrival, for example to show progress.

    Returns
    -------
    CodedResult
        With ``complete`` False where `wait_for` was not met but the answers can be decoded.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind; nothing has been submitted then. Also if a
        predicate `wait_for` returns something that is neither true nor false, as an array.
    ValueError
        If an argument has a value that is not allowed; nothing has been submitted then.
    NotEnoughRespondersError
        If the answers that came do not suffice to decode (a ValueError too). It has
        ``responders`` and ``failures``; the first failure is its cause.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from coded import ReplicationScheme, coded_map
    >>> inputs = np.array([1.0, 2.0, 3.0])
    >>> with ThreadPoolExecutor() as pool:
    ...     result = coded_map(np.sqrt, inputs, ReplicationScheme(3, 6), pool, wait_for=6)
    >>> result
    CodedResult(outputs=(3,) float64, complete=True, responders=6 of 6, failures=0, exact=3 of 3)
    >>> np.allclose(result.outputs, np.sqrt(inputs))
    True
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable, got {fn!r}; pass the function, not its result")
    require_scheme(scheme)
    if on_answer is not None and not callable(on_answer):
        raise TypeError(f"on_answer must be callable or None, got {on_answer!r}; pass a function")
    executors = _read_executors(executor)
    seconds = _read_timeout(timeout)
    array, restore = _read_inputs(inputs, scheme)
    is_wanted, wanted = _read_wait_for(wait_for, scheme)

    bound = scheme.bind(restore(array))
    coded_inputs = bound.encode(array)

    def can_decode(responders: Indices) -> bool:
        return len(responders) > 0 and bound.can_decode(responders)

    def is_enough(responders: Indices) -> bool:
        return len(responders) > 0 and is_wanted(responders) and can_decode(responders)

    call = _Call(bound, seconds)
    try:
        tasks = [restore(coded_inputs[n, ...]) for n in range(scheme.n_workers)]
        functions = worker_functions(bound, fn)
        call.submit(functions, tasks, executors, _spread(array, coded_inputs))
        complete = call.wait(is_enough, can_decode, on_answer)
    finally:
        call.cancel()
    responders = call.settle()
    if not complete and not (len(responders) and bound.can_decode(responders)):
        raise call.not_enough(fn, scheme, wanted) from next(iter(call.failures.values()), None)
    coded_outputs, restore = call.collect(responders)
    std = None
    if isinstance(bound, ErrorEstimating):
        outputs, std = bound.decode_with_std(coded_outputs, responders)
    else:
        outputs = bound.decode(coded_outputs, responders)
    return CodedResult(
        outputs=restore(outputs),
        complete=complete,
        responders=responders,
        stragglers=np.setdiff1d(np.arange(scheme.n_workers), responders),
        latencies=call.latencies,
        failures=call.failures,
        exact=bound.exact_mask(responders),
        std=std,
    )


class _Call:
    """The N tasks of one call and what has become of them; used by the calling thread alone."""

    def __init__(self, scheme: Scheme, timeout: float | None) -> None:
        n_workers = scheme.n_workers
        self._scheme = scheme
        self.failures: dict[int, BaseException] = {}
        self.latencies = np.full(n_workers, np.nan)
        self._timeout = timeout
        self._futures: dict[int, Future[ArrayLike]] = {}
        self._submitted = np.full(n_workers, np.nan)
        self._began = perf_counter()
        self._waiting: set[int] = set()
        # Made anew for each call, so that a late answer finds only the queue of its own call.
        self._arrivals: SimpleQueue[tuple[int, float]] = SimpleQueue()
        self._answers: dict[tuple[int, ...], dict[int, tuple[FloatArray, Restore]]] = {}  # by shape

    def submit(
        self,
        functions: Sequence[Function],
        tasks: Sequence[FloatArray],
        executors: Sequence[Executor],
        order: Sequence[int],
    ) -> None:
        """Submit all tasks in `order`; each announces its end, in whichever thread that happens."""
        for n in order:
            self._submitted[n] = perf_counter()
            future = _submit(executors[n % len(executors)], functions[n], tasks[n])
            self._futures[n] = future
            self._waiting.add(n)
            future.add_done_callback(partial(_announce, self._arrivals, n))

    def wait(
        self,
        is_enough: IsEnough,
        can_decode: IsEnough,
        on_answer: Callable[[int, float], object] | None,
    ) -> bool:
        """Take answers until they are enough (True), or can no longer be or not in time (False).

        Where they cannot become enough, the first that can be decoded end the wait.
        """
        given_up = False
        while not self._arrivals.empty() or not is_enough(self._responders()):
            if self._arrivals.empty() and not self._can_become(is_enough):
                if can_decode(self._responders()) or not self._can_become(can_decode):
                    return False
                is_enough = can_decode  # what was asked for is out of reach: then the least
                given_up = True
                continue
            arrival = self._next_arrival()
            if arrival is None:
                for n in sorted(self._waiting):
                    self._fail(n, TimeoutError(f"no answer within {self._timeout:.3g} s"))
                return False
            n, arrived = arrival
            self._waiting.discard(n)
            self._take(n, arrived, on_answer)
        return not given_up

    def _next_arrival(self) -> tuple[int, float] | None:
        """Wait for the next task to end; None at the timeout.

        In short waits: a Ctrl-C that comes just as a wait begins is seen only when it ends.
        """
        deadline = self._began + (inf if self._timeout is None else self._timeout)
        while True:
            remaining = deadline - perf_counter()
            try:
                return self._arrivals.get(timeout=min(max(remaining, 0.0), _LONGEST_WAIT))
            except Empty:
                if remaining <= _LONGEST_WAIT:
                    return None

    def cancel(self) -> None:
        """Cancel what is still queued, and let go of all futures: late answers are then freed."""
        for n in self._waiting:
            self._futures[n].cancel()
        self._futures.clear()

    def settle(self) -> Indices:
        """Fix the responders: the workers whose answers agree in shape; the others have failed."""
        responders, leading = self._responders(), self._leading()
        for shape, group in self._answers.items():
            if group is not leading:
                usual = next(array.shape for array, _ in leading.values())
                for n in group:
                    self._fail(n, ValueError(f"answer has shape {shape}, most others have {usual}"))
        self.latencies[np.setdiff1d(np.arange(len(self.latencies)), responders)] = np.nan
        return responders

    def collect(self, responders: Indices) -> tuple[FloatArray, Restore]:
        """Stack the answers of the responders, and give the way back to their kind."""
        group = self._leading()
        arrays, restores = zip(*(group[int(n)] for n in responders), strict=True)
        return np.stack(arrays), restores[0]

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

    def _take(
        self, n: int, arrived: float, on_answer: Callable[[int, float], object] | None
    ) -> None:
        """File the answer of worker n, or its failure."""
        future = self._futures[n]
        if future.cancelled():
            self._fail(n, CancelledError("the task was cancelled by its executor"))
            return
        error = future.exception()
        if error is not None:
            self._fail(n, error)
            return
        try:
            array, restore = _read_answer(future.result(), self._scheme)
        except Exception as unusable:  # noqa: BLE001 (what an answer does when it is read is the worker's doing)
            # Without the traceback, whose frames would keep the answers of this call alive.
            self._fail(n, unusable.with_traceback(None))
            return
        self._answers.setdefault(array.shape, {})[n] = array, restore
        self.latencies[n] = arrived - self._submitted[n]
        if on_answer is not None:
            on_answer(n, float(self.latencies[n]))

    def _fail(self, n: int, error: BaseException) -> None:
        _LOG.debug("worker %d failed: %s", n, tell_error(error))
        self.failures[n] = error

    def _leading(self) -> dict[int, tuple[FloatArray, Restore]]:
        """Give the answers of the shape that most have; of equally many, of the one seen first."""
        return max(self._answers.values(), key=len, default={})

    def _responders(self) -> Indices:
        return np.array(sorted(self._leading()), dtype=np.intp)

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


def _spread(inputs: FloatArray, coded_inputs: FloatArray) -> list[int]:
    """Order the tasks so that the first ones, which a shared pool works off first, tell most.

    Each input itself once, where it is a coded input, then the mixed ones, then second copies,
    and so on; among each of these in the order of the workers' reversed bits, so that any
    beginning is spread over the line. Equal are what some of their numbers make equal.
    """
    n_workers = len(coded_inputs)
    step = max(1, inputs[0].size // 64)
    unmixed = {row.tobytes() for row in inputs.reshape(len(inputs), -1)[:, ::step]}
    sample = coded_inputs.reshape(n_workers, -1)[:, ::step]
    bits = n_workers.bit_length()
    copies: Counter[bytes] = Counter()
    turns = []
    for n in sorted(range(n_workers), key=lambda n: f"{n:0{bits}b}"[::-1]):
        key = sample[n].tobytes()
        turns.append(((copies[key], key not in unmixed), n))
        copies[key] += 1
    return [n for _, n in sorted(turns, key=lambda turn: turn[0])]


def _submit(executor: Executor, fn: Function, task: FloatArray) -> Future[ArrayLike]:
    """Submit a task; where the executor refuses it, the future of a task that failed."""
    try:
        return executor.submit(fn, task)
    except Exception as error:  # noqa: BLE001 (whatever an engine raises here, only this worker is lost)
        refused: Future[ArrayLike] = Future()
        refused.set_exception(error)
        return refused


def _announce(arrivals: SimpleQueue[tuple[int, float]], n: int, _: Future[ArrayLike]) -> None:
    """Tell the calling thread that task n has ended; runs in a thread of the executor."""
    arrivals.put((n, perf_counter()))


def _read_answer(answer: ArrayLike, scheme: Scheme) -> tuple[FloatArray, Restore]:
    """Give an answer as an array, checked, and the way back to its kind."""
    if isinstance(answer, tuple | dict):
        raise TypeError(f"answer is a {type(answer).__name__}; fn must return one array or number")
    array, restore = read_numbers(scheme, answer, "answer")
    if array.size == 0:
        raise ValueError(f"answer is empty, it has shape {array.shape}")
    if array.dtype.kind == "i":  # a field's numbers do not overflow
        return array, restore
    require_finite(array, "answer")
    largest, limit = float(np.abs(array).max()), float(np.finfo(array.dtype).max) / _HEADROOM
    if largest > limit:
        raise ValueError(
            f"answer holds numbers too large to decode: max |answer| = {largest:g}, at most "
            f"{limit:.3g} is allowed in {array.dtype}; scale the answers down"
        )
    return array, restore


def _read_inputs(inputs: ArrayLike, scheme: Scheme) -> tuple[FloatArray, Restore]:
    """Give the inputs as an array of K finite rows, and the way back to the caller's kind."""
    if isinstance(inputs, tuple | dict):
        raise TypeError(
            f"inputs must be a numpy array or torch tensor, got a {type(inputs).__name__}; "
            "stack the inputs along axis 0"
        )
    array, restore = read_numbers(scheme, inputs, "inputs")
    if array.ndim == 0 or len(array) != scheme.n_inputs or array.size == 0:
        raise ValueError(
            f"inputs has shape {array.shape}, but {scheme!r} needs {scheme.n_inputs} of them, not "
            "empty, along axis 0; stack the inputs, or make a scheme with that n_inputs"
        )
    require_finite(array, "inputs")
    return array, restore


def _read_executors(executor: Executor | Sequence[Executor]) -> Sequence[Executor]:
    """Give the executors as a list that a replaced worker does not change meanwhile."""
    if isinstance(executor, Executor):
        return [executor]
    if not isinstance(executor, Sequence) or not all(isinstance(one, Executor) for one in executor):
        raise TypeError(
            "executor must be a concurrent.futures.Executor or a sequence of them, got "
            f"{type(executor).__name__}; pass .executors of LocalWorkers, and "
            "client.get_executor(pure=False) of a Dask client"
        )
    if not executor:
        raise ValueError("executor must hold at least one Executor, got an empty sequence")
    return list(executor)


def _read_timeout(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(
            f"timeout must be a number of seconds or None, got {timeout!r}; "
            "None waits without limit"
        )
    if not 0.0 < timeout <= threading.TIMEOUT_MAX:
        raise ValueError(
            f"timeout must be a positive, finite number of seconds, got {timeout}; "
            "None waits without limit"
        )
    return float(timeout)


def _read_wait_for(
    wait_for: SupportsIndex | IsEnough | None, scheme: Scheme
) -> tuple[IsEnough, str]:
    """Give what the caller waits for as a predicate of the responders so far, and in words."""
    if callable(wait_for):
        return partial(_ask, wait_for), "the predicate wait_for"
    least = scheme.min_responders
    if wait_for is not None:
        least = read_count(wait_for, "wait_for", at_least=1, at_most=scheme.n_workers)
    return lambda responders: len(responders) >= least, f"{least} answer{'s' * (least > 1)}"


def _ask(wait_for: IsEnough, responders: Indices) -> bool:
    """Ask the caller's predicate for True or False."""
    answer = wait_for(responders)
    try:
        return bool(answer)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"wait_for must return True or False, but gave a {type(answer).__name__} without a "
            "truth value; reduce it, for example by .all() or .any()"
        ) from error


def _list(workers: Sequence[int]) -> str:
    """Write the first of many workers."""
    shown = ", ".join(str(n) for n in workers[:8])
    return shown if len(workers) <= 8 else f"{shown}, ..."
