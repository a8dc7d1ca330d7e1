"""`coded_gradient`: a sum of parts from whichever workers answered."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, SupportsIndex

from coded.gradients.gradient_code import GradientCode
from coded.gradients.weighted_sum import Part
from coded.runtime.goal import WaitFor
from coded.runtime.request import read_request
from coded.runtime.result import CodedResult
from coded.runtime.terms import HedgeAfter, OnAnswer, Terms
from coded.runtime.waiting import answer


def coded_gradient(
    part: Part,
    parameters: Any,
    code: GradientCode,
    executor: Executor | Sequence[Executor],
    *,
    wait_for: WaitFor = None,
    timeout: float | None = None,
    hedge_after: HedgeAfter = None,
    retries: SupportsIndex | None = None,
    on_answer: OnAnswer | None = None,
) -> CodedResult:
    """Compute ``sum_i part(parameters, i)`` by N workers of which some may be slow or dead.

    Submits the parameters to every worker, which answers the weighted sum of its parts, and
    decodes in the calling thread as soon as the answers suffice: by default, for exact codes, **as
    soon as they can be decoded**, whoever they are from, which is mostly long before N - s have
    come. All else is as in `coded_map`: what is a failure of a worker, who is asked again, that
    queued tasks are cancelled in the end and the executor is the caller's.

    A worker needs its parts' data, and the same part is always for the same workers: let `part`
    read them where it runs, and keep them in the process, as by ``functools.cache``. What `part`
    holds itself is sent with every call.

    Gradient codes pay where workers are now and then many times slower than usual, or die. In
    ridge regression on 20 simulated workers, the time to 1e-5 of the optimum was 239 with
    fractional repetition (2 parts a worker) against 610 when all were waited for, where 5 % of
    answers took ten times as long; but 393 against 375 where latencies were ``1 + Exp(1)``. Where
    1e-3 was enough, to leave out the slowest workers of an uncoded sum was fastest in both.

    Parameters
    ----------
    part : callable
        ``part(parameters, i)`` gives summand i, ``0 <= i < code.n_parts``: an array, a tensor, a
        number, or tuples and dicts of them, alike for all i. It must not keep a graph of
        autograd. For process pools it must be importable in the worker.
    parameters : anything
        Handed to each worker; arrays and tensors in it must be finite.
    code : GradientCode
        The code.
    executor : Executor or sequence of Executor
        As for `coded_map`: worker n is ``executor[n % len(executor)]``.
    wait_for : int, "exact" or callable, optional
        As for `coded_map`. Default: "exact" for exact codes, which is until decodable, and
        ``code.min_responders`` answers for approximate ones. In each case the answers must be
        decodable too.
    timeout, hedge_after, retries, on_answer
        As for `coded_map`.

    Returns
    -------
    CodedResult
        ``outputs`` is the sum, in kind, dtype and nesting of the answers; ``exact``, shape (), is
        False where it is an estimate of an approximate code.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind; nothing has been submitted then.
    ValueError
        If an argument has a value that is not allowed; nothing has been submitted then.
    NotEnoughRespondersError
        If the answers that came do not suffice to decode (a ValueError too).

    Examples
    --------
    The gradient of a squared error, whose data lie in six blocks:

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from coded import FractionalRepetitionCode, coded_gradient
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(6, 10, 3)), rng.normal(size=(6, 10))
    >>> def part(w, i):
    ...     return a[i].T @ (a[i] @ w - b[i])
    >>> code, w = FractionalRepetitionCode(6, 1), np.zeros(3)
    >>> with ThreadPoolExecutor(6) as pool:
    ...     for _ in range(100):
    ...         w = w - 0.01 * coded_gradient(part, w, code, pool).outputs
    >>> optimum = np.linalg.lstsq(a.reshape(60, 3), b.reshape(60), rcond=None)[0]
    >>> np.allclose(w, optimum)
    True
    """
    if not callable(part):
        raise TypeError(
            f"part must be callable, got {part!r:.60}; pass a function of the parameters and the "
            "index of a part"
        )
    if not isinstance(code, GradientCode):
        raise TypeError(
            f"code must be a GradientCode, got {code!r:.60}; make one and pass it, not its class: "
            "FractionalRepetitionCode(n_workers, n_stragglers)"
        )
    terms = Terms(wait_for, timeout, hedge_after, retries, on_answer)
    return answer(read_request(part, (parameters,), code, executor, terms))
