"""`coded_map`: one task a worker, outputs decoded from the answers that came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, SupportsIndex

from coded.runtime.goal import IsEnough
from coded.runtime.request import Request, read_request
from coded.runtime.result import CodedResult
from coded.runtime.scheme_job import SchemeCode
from coded.runtime.waiting import answer, answer_async
from coded.schemes.protocol import Function, Scheme


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
    request = read_request(
        fn, (inputs,), SchemeCode(scheme), executor,
        wait_for=wait_for, timeout=timeout, on_answer=on_answer,
    )  # fmt: skip
    return answer(request)


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

    def read() -> Request:
        return read_request(
            fn, (inputs,), SchemeCode(scheme), executor,
            wait_for=wait_for, timeout=timeout, on_answer=on_answer,
        )  # fmt: skip

    return await answer_async(read)
