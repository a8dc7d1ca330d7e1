"""`coded_map_async`: a call from a coroutine, by any engine, or by coroutines that ask servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, SupportsIndex

from coded.runtime.coroutines import AsyncFunction, read_functions
from coded.runtime.goal import WaitFor
from coded.runtime.latencies import latencies_of
from coded.runtime.request import Request, read_request
from coded.runtime.result import CodedResult
from coded.runtime.scheme_job import SchemeCode
from coded.runtime.terms import HedgeAfter, OnAnswer, OnOutput, Terms
from coded.runtime.waiting_async import answer_async
from coded.schemes.protocol import Function, Scheme


async def coded_map_async(
    fn: Function | AsyncFunction | Sequence[AsyncFunction],
    inputs: Any,
    scheme: Scheme,
    executor: Executor | Sequence[Executor] | None = None,
    *,
    wait_for: WaitFor = None,
    timeout: float | None = None,
    hedge_after: HedgeAfter = None,
    retries: SupportsIndex | None = None,
    on_answer: OnAnswer | None = None,
    on_output: OnOutput | None = None,
) -> CodedResult:
    """Compute as `coded_map` does, from a coroutine: the event loop runs on meanwhile.

    Encoding, submitting and decoding run in a thread, as does reading large answers; `on_answer`,
    `on_output` and `wait_for` are called in the loop. When the awaiting task is cancelled, tasks
    still queued are too. Without executor the tasks are coroutines of this loop, as those that
    ask servers: they start in the loop, and what is not needed is really cancelled.

    Parameters
    ----------
    fn : callable, or sequence of async functions
        As for `coded_map`. Without executor an async function, or one for each worker: coded
        input n goes to ``fn[n % len(fn)]``, more than N are spare ones.
    executor : Executor or sequence of Executor, optional
        As for `coded_map`. None: `fn` is async.
    inputs, scheme, wait_for, timeout, hedge_after, retries, on_answer, on_output
        As for `coded_map`. Without executor, "p95" goes by the calls of the same function.

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
    >>> import numpy as np
    >>> from coded import ReplicationScheme, coded_map_async
    >>> async def root(x):
    ...     await asyncio.sleep(0.001)
    ...     return np.sqrt(x)
    >>> asyncio.run(coded_map_async(root, [1.0, 4.0], ReplicationScheme(2, 4))).outputs
    array([1., 2.])
    """
    terms = Terms(wait_for, timeout, hedge_after, retries, on_answer, on_output)
    return await answer_async(_reader(fn, inputs, scheme, executor, terms))


async def coded_as_completed(
    fn: Function | AsyncFunction | Sequence[AsyncFunction],
    inputs: Any,
    scheme: Scheme,
    executor: Executor | Sequence[Executor] | None = None,
    *,
    wait_for: WaitFor = None,
    timeout: float | None = None,
    hedge_after: HedgeAfter = None,
    retries: SupportsIndex | None = None,
) -> AsyncIterator[tuple[int, Any, float | None]]:
    """Give the outputs of `coded_map_async` one by one, each as soon as it is exact.

    Leaving the loop early, or ``aclose``, cancels what is still out.

    Parameters
    ----------
    fn, inputs, scheme, executor, wait_for, timeout, hedge_after, retries
        As for `coded_map_async`.

    Yields
    ------
    index : int
        Of the input, in [0, K).
    output : array
        f of that input, or its estimate.
    std : float or None
        0 for an exact answer; of an estimate, which come last, as ``CodedResult.std``.

    Raises
    ------
    TypeError, ValueError, NotEnoughRespondersError
        As `coded_map`.

    Examples
    --------
    >>> import asyncio
    >>> from coded import ReplicationScheme, coded_as_completed
    >>> async def pause(seconds):
    ...     await asyncio.sleep(float(seconds))
    ...     return seconds
    >>> async def main():
    ...     scheme = ReplicationScheme(2, 2)
    ...     return [k async for k, _, _ in coded_as_completed(pause, [0.2, 0.0], scheme)]
    >>> asyncio.run(main())
    [1, 0]
    """
    told: asyncio.Queue[tuple[int, Any, float | None] | None] = asyncio.Queue()
    terms = Terms(
        wait_for, timeout, hedge_after, retries, on_output=lambda *one: told.put_nowait(one)
    )
    call = asyncio.ensure_future(answer_async(_reader(fn, inputs, scheme, executor, terms)))
    call.add_done_callback(lambda _: told.put_nowait(None))
    try:
        while (one := await told.get()) is not None:
            yield one
        await call  # raises what it did
    finally:
        call.cancel()


def _reader(
    fn: Any,
    inputs: Any,
    scheme: Scheme,
    executor: Executor | Sequence[Executor] | None,
    terms: Terms,
) -> Callable[[], Request]:
    """Give what reads the request, in a thread, of a coroutine of the running loop."""
    if executor is None:
        own = fn[0] if isinstance(fn, Sequence) and fn else fn
        fn, executor = read_functions(fn)
        if terms.hedge_after == "p95":
            terms = replace(terms, latencies=latencies_of(own))
    return lambda: read_request(fn, (inputs,), SchemeCode(scheme), executor, terms)
