"""`coded_map`: one task a worker, outputs decoded from the answers that came."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, SupportsIndex

from coded.runtime.goal import WaitFor
from coded.runtime.request import read_request
from coded.runtime.result import CodedResult
from coded.runtime.scheme_job import SchemeCode
from coded.runtime.terms import HedgeAfter, OnAnswer, OnOutput, Terms
from coded.runtime.waiting import answer
from coded.schemes.protocol import Function, Scheme


def coded_map(
    fn: Function,
    inputs: Any,
    scheme: Scheme,
    executor: Executor | Sequence[Executor],
    *,
    wait_for: WaitFor = None,
    timeout: float | None = None,
    hedge_after: HedgeAfter = None,
    retries: SupportsIndex | None = None,
    on_answer: OnAnswer | None = None,
    on_output: OnOutput | None = None,
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

    Codes of copies wait for exact answers, and estimate what has none at the end. A task without
    which that is out of reach, because its worker was lost or f raised, is asked again of another
    worker (`retries`), a task that takes long if `hedge_after` says so: **f may run several times
    for an input**, as it does for copies. Queued tasks whose outputs are exact already are
    cancelled.

    Where so many workers are lost that `wait_for` can no longer be met, the call takes what can
    still come until all others have answered or failed, no further output can become exact, or
    the `timeout` is up, and returns what can be made of it. Without a timeout, a frozen worker
    that is waited for blocks the call for ever, for no engine reports it. Tasks are submitted one
    an input first, so that the first answers of a shared pool cover all inputs.

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
        ``executor[n % len(executor)]``; more than N are spare ones, which are asked again. Where
        they are fewer than N, copies can be kept on different ones by
        ``balanced_copies(K, N, n_executors=len(executor))``. A Dask client gives one by
        ``client.get_executor(pure=False)``; without it Dask merges equal coded inputs into one
        task, and such an executor is refused.
    wait_for : int, "exact" or callable, optional
        The call ends when so many answers, in [1, N], have come; with "exact" when every output
        is an exact answer, or no worker still out could make another one exact (where a code has
        no exact outputs: when ``scheme.min_responders`` answers have come); with a predicate of
        the responders so far (ascending indices) when that is true. It must stay true when
        responders are added, for it is also asked about those who could still answer. Default:
        "exact" for copies, `KernelScheme`, `SplineScheme` and priors over these, else
        ``scheme.min_responders``. In each case the answers must be decodable too.
    timeout : float, optional
        The call ends at the latest so many seconds after the first submission, with what can be
        decoded then; None: it may wait for ever.
    hedge_after : float or "p95", optional
        Ends nothing: after so many seconds, a task that is still out and that `wait_for` needs is
        also given to a worker that is idle (to the same executor, once, if there is only one),
        the first answer counts, and the other is cancelled where the engine can. "p95": longer
        than 95 % of the last 1,000 answers of calls with the same first executor, never before
        there were 20.
    retries : int, optional
        Ends nothing: a task whose worker was lost, or where f raised or gave no usable answer, is
        given to another worker so many times, if `wait_for` is out of reach without it. Default:
        1 where exact answers are waited for, else 0.
    on_answer : callable, optional
        ``on_answer(worker, latency_seconds)``, called in the calling thread for each usable
        answer in the order of arrival, for example to show progress.
    on_output : callable, optional
        ``on_output(index, output, std)``, called in the calling thread for each of the K outputs
        once: with std 0 as soon as it is an exact answer by itself, for the others at the end,
        estimates with their std or None.

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
    terms = Terms(wait_for, timeout, hedge_after, retries, on_answer, on_output)
    return answer(read_request(fn, (inputs,), SchemeCode(scheme), executor, terms))
