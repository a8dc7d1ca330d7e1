"""`coded_map`: one task a worker, outputs decoded from the answers that came."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from math import inf
from numbers import Real
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any, SupportsIndex

from coded.arguments import read_count
from coded.runtime.call import Arrival, Call, IsEnough, Reading, is_dask, read_finite
from coded.runtime.nests import Layout, pack
from coded.runtime.result import CodedResult, Indices
from coded.schemes.protocol import (
    ErrorEstimating,
    Function,
    Scheme,
    number_reader,
    require_scheme,
    worker_functions,
)
from coded.schemes.with_prior import WithPrior
from fastspline.arrays import FloatArray

_LONGEST_WAIT = 0.5  # seconds at a time


def coded_map(
    fn: Function,
    inputs: Any,
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
    shape differs from that of most others (of the first one where equally many differ). Not
    asked at first, where the others are enough, are workers far behind: at a task of a call that
    is over, for more than twice as long as its answers took, or at work for somebody else
    (executors whose ``busy`` is true, as those of `LocalWorkers`). They are asked when another
    worker fails, or after half a second or half the timeout, for another one may be frozen.

    Where so many workers are lost that `wait_for` can no longer be met, the call takes what can
    still come until all others have answered or failed, the outputs are all exact, or the
    `timeout` is up, and returns what can be made of it. Without a timeout, a frozen worker that is
    waited for blocks the call for ever, for no engine reports it. Tasks are submitted one an input
    first, so that the first answers of a shared pool cover all inputs.

    The executor is the caller's and is never shut down. On return, tasks still queued are
    cancelled (those of Dask as soon as its client's event loop is free); running ones are left to
    finish and their answers go nowhere, least of all into a later call. Answers of process pools
    and clusters are unpickled here: workers are trusted code.

    Parameters
    ----------
    fn : callable
        Gets coded input n, shape ``inputs.shape[1:]``, as numpy array or torch tensor like the
        inputs, or a nest of them, and returns an array, a tensor or a number, or a nest of
        them. Under a scheme with `worker_functions` some workers evaluate others instead. For
        process pools it must be importable in the worker: a function of a module, not of
        ``__main__``, no lambda.
    inputs : array_like, shape (K, ...), or tuples and dicts of them
        Numpy arrays or torch tensors of finite numbers. Of a nest, the numbers of all arrays make
        up one input.
    scheme : Scheme
        The code, with ``scheme.n_inputs == K``.
    executor : Executor or sequence of Executor
        One `concurrent.futures.Executor`, or a sequence of them: coded input n goes to
        ``executor[n % len(executor)]``. Where they are fewer than N, copies can be kept on
        different ones by ``balanced_copies(K, N, n_executors=len(executor))``. A Dask client
        gives one by ``client.get_executor(pure=False)``; without it Dask merges equal coded inputs
        into one task, and such an executor is refused.
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
    >>> import numpy as np
    >>> from coded import ReplicationScheme, coded_map
    >>> inputs = np.array([1.0, 2.0, 3.0])
    >>> with ThreadPoolExecutor() as pool:
    ...     result = coded_map(np.sqrt, inputs, ReplicationScheme(3, 6), pool, wait_for=6)
    >>> result
    CodedResult(outputs=(3,) float64, complete=True, responders=6 of 6, failures=0, exact=3 of 3)
    >>> np.allclose(result.outputs, np.sqrt(inputs))
    True
    """
    plan = _plan(fn, inputs, scheme, executor, wait_for, timeout, on_answer)
    submitted = Submitted(plan, on_answer)
    try:
        submitted.submit()
        return submitted.result()
    finally:  # a Ctrl-C may have come anywhere, also as tasks were being cancelled
        submitted.cancel()


def submit_coded_map(
    fn: Function,
    inputs: Any,
    scheme: Scheme,
    executor: Executor | Sequence[Executor],
    *,
    wait_for: SupportsIndex | IsEnough | None = None,
    timeout: float | None = None,
) -> Submitted:
    """Do the first half of `coded_map`: give its tasks to the workers, and wait for none."""
    submitted = Submitted(_plan(fn, inputs, scheme, executor, wait_for, timeout, None), None)
    try:
        submitted.submit()
    except BaseException:
        submitted.cancel()
        raise
    return submitted


async def coded_map_async(
    fn: Function,
    inputs: Any,
    scheme: Scheme,
    executor: Executor | Sequence[Executor],
    *,
    wait_for: SupportsIndex | IsEnough | None = None,
    timeout: float | None = None,
    on_answer: Callable[[int, float], object] | None = None,
) -> CodedResult:
    """Compute as `coded_map` does, from a coroutine: the event loop runs on meanwhile.

    Encoding, submitting and decoding run in a thread, as does reading large answers; `on_answer`
    and `wait_for` are called in the loop. When the awaiting task is cancelled, tasks still queued
    are too.

    Parameters
    ----------
    fn, inputs, scheme, executor, wait_for, timeout, on_answer
        As for `coded_map`.

    Returns
    -------
    CodedResult

    Raises
    ------
    TypeError, ValueError, NotEnoughRespondersError
        As `coded_map`.

    Examples
    --------
    >>> import asyncio
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from coded import ReplicationScheme, coded_map_async
    >>> async def roots(pool):
    ...     return await coded_map_async(np.sqrt, [1.0, 4.0], ReplicationScheme(2, 4), pool)
    >>> with ThreadPoolExecutor() as pool:
    ...     asyncio.run(roots(pool)).outputs
    array([1., 2.])
    """
    loop = asyncio.get_running_loop()
    arrivals: asyncio.Queue[Arrival] = asyncio.Queue()

    def announce(arrival: Arrival) -> None:
        with suppress(RuntimeError):  # a late answer, and the loop is closed
            loop.call_soon_threadsafe(arrivals.put_nowait, arrival)

    begun = _BegunAside(announce)
    try:
        plan, call = await asyncio.to_thread(
            begun.begin, fn, inputs, scheme, executor, wait_for, timeout, on_answer
        )
        steps = call.steps(on_answer)
        seconds = next(steps)
        while True:
            arrived = await _next_arrivals_async(arrivals, seconds)
            await _read_async(call, {n: call.fetch(n) for n, _ in arrived})
            seconds = steps.send(arrived)
    except StopIteration as done:
        complete: bool = done.value
    finally:
        try:
            begun.cancel()
        finally:  # a Ctrl-C came meanwhile
            begun.cancel()
    return await asyncio.to_thread(partial(plan.finish, call, complete=complete))


async def _read_async(call: Call, readings: dict[int, Reading | None]) -> None:
    """Read in threads what would hold the loop."""
    large = [n for n, reading in readings.items() if reading is Reading.LARGE]
    if large:  # in one thread, for starting one may take longer than reading
        await asyncio.to_thread(call.read, *large)
    for n, reading in readings.items():
        if reading is Reading.FOREIGN:
            await asyncio.wait([asyncio.wrap_future(call.read_aside(n))], timeout=_left(call))


class _BegunAside:
    """A call that is begun in a thread while its coroutine may be cancelled."""

    def __init__(self, announce: Callable[[Arrival], object]) -> None:
        self._announce = announce
        self._lock = threading.Lock()
        self._call: Call | None = None
        self._is_cancelled = False

    def begin(self, *arguments: Any) -> tuple[_Plan, Call]:
        """Check, bind, encode and submit; runs in the thread."""
        plan = _plan(*arguments)
        call = plan.begin(self._announce)
        try:
            if not self._is_cancelled:
                plan.submit(call)
        finally:
            with self._lock:
                self._call = call
                if self._is_cancelled:
                    call.cancel()
        return plan, call

    def cancel(self) -> None:
        """Cancel what is queued; what the thread is about to submit, it cancels itself."""
        with self._lock:
            self._is_cancelled = True
            if self._call is not None:
                self._call.cancel()


class Submitted:
    """A coded map whose tasks are submitted first; used by one thread, which asks once."""

    def __init__(self, plan: _Plan, on_answer: Callable[[int, float], object] | None) -> None:
        self._plan, self._on_answer = plan, on_answer
        self._arrivals: SimpleQueue[Arrival] = SimpleQueue()  # of this call alone
        self._call = plan.begin(self._arrivals.put)

    def submit(self) -> None:
        """Give the tasks to the workers."""
        self._plan.submit(self._call)

    def result(self) -> CodedResult:
        """Wait and decode, as `coded_map` does."""
        try:
            steps = self._call.steps(self._on_answer)
            seconds = next(steps)
            while True:
                arrived = _next_arrivals(self._arrivals, seconds)
                for n, _ in arrived:
                    if self._call.fetch(n) is Reading.FOREIGN:
                        wait([self._call.read_aside(n)], _left(self._call))
                seconds = steps.send(arrived)
        except StopIteration as done:
            complete: bool = done.value
        finally:
            self._call.cancel()
        return self._plan.finish(self._call, complete=complete)

    def cancel(self) -> None:
        """Cancel what is still queued, and let late answers go."""
        self._call.cancel()


@dataclass(frozen=True, eq=False)
class _Plan:
    """One call, checked and encoded; nothing has been submitted."""

    fn: Function
    scheme: Scheme  # bound
    array: FloatArray
    coded_inputs: FloatArray
    layout: Layout
    executors: Sequence[Executor]
    is_wanted: IsEnough
    least: int
    wanted: str
    timeout: float | None

    def begin(self, announce: Callable[[Arrival], object]) -> Call:
        """Start the clock."""
        return Call(self.scheme, self.is_wanted, self.least, self.timeout, announce)

    def submit(self, call: Call) -> None:
        """Submit every worker's task."""
        functions = worker_functions(self.scheme, self.fn)
        tasks = self.layout.rows(self.coded_inputs)
        call.submit(functions, tasks, self.executors, _spread(self.array, self.coded_inputs))

    def finish(self, call: Call, *, complete: bool) -> CodedResult:
        """Decode what came, or say that it does not suffice."""
        responders = call.settle()
        if not complete and not (len(responders) and self.scheme.can_decode(responders)):
            cause = next(iter(call.failures.values()), None)
            raise call.not_enough(self.fn, self.scheme, self.wanted) from cause
        coded_outputs, layout = call.collect(responders)
        std = None
        if isinstance(self.scheme, ErrorEstimating):
            outputs, std = self.scheme.decode_with_std(coded_outputs, responders)
        else:
            outputs = self.scheme.decode(coded_outputs, responders)
        return CodedResult(
            outputs=layout.unpack(outputs),
            complete=complete,
            responders=responders,
            stragglers=call.others(responders),
            latencies=call.latencies,
            failures=call.failures,
            exact=self.scheme.exact_mask(responders),
            std=std,
        )


def _plan(
    fn: Function,
    inputs: Any,
    scheme: Scheme,
    executor: Executor | Sequence[Executor],
    wait_for: SupportsIndex | IsEnough | None,
    timeout: float | None,
    on_answer: Callable[[int, float], object] | None,
) -> _Plan:
    """Check all arguments, bind and encode."""
    if on_answer is not None and not callable(on_answer):
        raise TypeError(f"on_answer must be callable or None, got {on_answer!r}; pass a function")
    executors, seconds = read_settings(fn, scheme, executor, timeout)
    array, layout = _read_inputs(inputs, scheme)
    is_wanted, least, wanted = read_wait_for(wait_for, scheme)
    bound = scheme.bind(layout.unpack(array) if layout.form is None else array)
    others = {id(one): one for one in worker_functions(bound, fn) if one is not fn}
    for other in others.values():
        require_sendable(other, executors)
    coded_inputs = bound.encode(array)
    return _Plan(
        fn, bound, array, coded_inputs, layout, executors, is_wanted, least, wanted, seconds
    )


def read_settings(
    fn: Function, scheme: Scheme, executor: Executor | Sequence[Executor], timeout: float | None
) -> tuple[Sequence[Executor], float | None]:
    """Check what does not depend on the inputs; give the executors as a list, and the timeout."""
    if not callable(fn):
        raise TypeError(f"fn must be callable, got {fn!r}; pass the function, not its result")
    require_scheme(scheme)
    executors = _read_executors(executor)
    require_sendable(fn, executors)
    return executors, _read_timeout(timeout)


def require_sendable(fn: Function, executors: Sequence[Executor]) -> None:
    """Raise TypeError where executors can tell that a function cannot be sent to their processes.

    Those of `LocalWorkers` can; all of them say the same, so that the first one is asked.
    """
    for executor in executors:
        check = getattr(executor, "require_sendable", None)
        if check is not None:
            check(fn)
            return


def _left(call: Call) -> float | None:
    """Seconds until the deadline of a call, None where it has none."""
    return None if call.deadline == inf else max(call.deadline - perf_counter(), 0.0)


def _next_arrivals(arrivals: SimpleQueue[Arrival], seconds: float) -> list[Arrival]:
    """Wait for the next task to end, and give all that have; none if none does in time.

    In short waits: a Ctrl-C that comes just as a wait begins is seen only when it ends.
    """
    taken = []
    end = perf_counter() + seconds
    while arrivals.empty() and (remaining := end - perf_counter()) > 0.0:
        with suppress(Empty):
            taken.append(arrivals.get(timeout=min(remaining, _LONGEST_WAIT)))
            break
    while not arrivals.empty():
        taken.append(arrivals.get_nowait())
    return taken


async def _next_arrivals_async(arrivals: asyncio.Queue[Arrival], seconds: float) -> list[Arrival]:
    """Wait for the next task to end, and give all that have; none if none does in time."""
    taken = []
    if seconds == 0.0 and arrivals.empty():
        await asyncio.sleep(0)  # lets the loop take what has been announced
    elif arrivals.empty():
        with suppress(TimeoutError):
            # Not wait_for, which before Python 3.12 may take an answer for a cancellation.
            async with asyncio.timeout(None if seconds == inf else seconds):
                taken.append(await arrivals.get())
    while not arrivals.empty():
        taken.append(arrivals.get_nowait())
    return taken


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
    copies: Counter[bytes] = Counter()
    turns = []
    for n in _by_reversed_bits(n_workers):
        key = sample[n].tobytes()
        turns.append(((copies[key], key not in unmixed), n))
        copies[key] += 1
    return [n for _, n in sorted(turns, key=lambda turn: turn[0])]


@lru_cache(maxsize=16)
def _by_reversed_bits(count: int) -> list[int]:
    bits = count.bit_length()
    return sorted(range(count), key=lambda n: f"{n:0{bits}b}"[::-1])


def _read_inputs(inputs: Any, scheme: Scheme) -> tuple[FloatArray, Layout]:
    """Give the inputs as one array of K finite rows, and what each row looks like."""
    array, layout = pack(inputs, "inputs", partial(read_finite, number_reader(scheme)))
    if array.ndim == 0 or len(array) != scheme.n_inputs or array.size == 0:
        raise ValueError(
            f"inputs has shape {array.shape}, but {scheme!r} needs {scheme.n_inputs} of them, not "
            "empty, along axis 0; stack the inputs, or make a scheme with that n_inputs"
        )
    if layout.form is not None and isinstance(scheme, WithPrior):
        raise TypeError(
            "inputs must be one array for WithPrior, whose prior takes a stack of inputs, got a "
            f"{type(inputs).__name__}; stack the inputs, or take the scheme without prior"
        )
    return array, layout


def _read_executors(executor: Executor | Sequence[Executor]) -> Sequence[Executor]:
    """Give the executors as a list that a replaced worker does not change meanwhile."""
    if isinstance(executor, Executor):
        executor = [executor]
    if not isinstance(executor, Sequence) or not all(isinstance(one, Executor) for one in executor):
        raise TypeError(
            "executor must be a concurrent.futures.Executor or a sequence of them, got "
            f"{type(executor).__name__}; pass .executors of LocalWorkers, and "
            "client.get_executor(pure=False) of a Dask client"
        )
    if not executor:
        raise ValueError("executor must hold at least one Executor, got an empty sequence")
    for one in executor:
        _require_separate_tasks(one)
    return list(executor)


def _require_separate_tasks(executor: Executor) -> None:
    """Refuse Dask's executor without pure=False, which gives equal tasks one run and one fate."""
    if is_dask(executor) and getattr(executor, "_kwargs", {"pure": False}).get("pure", True):
        raise ValueError(
            "executor merges equal coded inputs into one task, so that copies are no longer "
            "copies; make it by client.get_executor(pure=False)"
        )


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


def read_wait_for(
    wait_for: SupportsIndex | IsEnough | None, scheme: Scheme
) -> tuple[IsEnough, int, str]:
    """Give what the caller waits for: as a predicate, the least number, and in words."""
    if callable(wait_for):
        return partial(_ask, wait_for), 1, "the predicate wait_for"
    least = scheme.min_responders
    if wait_for is not None:
        least = read_count(wait_for, "wait_for", at_least=1, at_most=scheme.n_workers)
    return lambda _: True, least, f"{least} answer{'s' * (least > 1)}"


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
