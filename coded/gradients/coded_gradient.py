"""`coded_gradient`: a sum of parts from whichever workers answered."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, SupportsIndex

from coded.gradients.gradient_code import GradientCode
from coded.gradients.placed_data import PlacedData
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
    data: PlacedData | None = None,
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

    A worker needs its parts' data, and the same part is always for the same workers: place them
    there (``data=code.place(blocks)``), or let `part` read them where it runs, and keep them in the
    process, as by ``functools.cache``. What `part` holds itself is sent with every call.

    Gradient codes pay where workers are now and then many times slower than usual, or die. Ridge
    regression on digits, to 1e-5 of the optimum, with 20 executors on a simulated clock that go on
    with what they have begun, took this long, in units of a twentieth of the data on one executor:

    =========================================== =========== ============ ===================
    code                                        all alike   1 + Exp(1)   5 % 10 times slower
    =========================================== =========== ============ ===================
    none, ``FractionalRepetitionCode(20, 0)``   303         1398         2121
    none, and ``hedge_after`` 2 units           303         1063         891
    ``FractionalRepetitionCode(20, 1)``         606         1660         1232
    ``CyclicCode(20, 1)``                       606         2102         2122
    ``PartialCode(20, 1)``                      378         1022         695
    =========================================== =========== ============ ===================

    So take `PartialCode` where a gradient is quick to send, fractional repetition where it is not
    and workers die or are heavy stragglers, and none with `hedge_after` where any worker can
    compute any part. To leave out the two slowest came to 1e-3, but never to 1e-5.

    Parameters
    ----------
    part : callable
        ``part(parameters, i)`` gives summand i, ``0 <= i < code.n_parts``, with `data`
        ``part(parameters, blocks[i])``: an array, a tensor, a
        number, or tuples and dicts of them, alike for all i, and the same whoever computes it: of
        what it draws at random, the seed must come from `parameters` and `i`. It must not keep a
        graph of autograd, nor in threads write to a module that they share, as
        ``torch.func.functional_call`` does. For process pools it must be importable in the worker.
    parameters : anything
        Handed to each worker; arrays and tensors in it must be finite.
    code : GradientCode
        The code.
    executor : Executor or sequence of Executor
        As for `coded_map`: worker n is ``executor[n % len(executor)]``.
    data : PlacedData, optional
        What ``code.place(blocks)`` gave: the data of each part, which stay with the workers.
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
    InconsistentAnswersError
        If more answers came than the rank of their rows, and contradict each other, and it is not
        to be told whose is wrong (a ValueError too); who is told is left out, as a failure.

    Examples
    --------
    The gradient of a squared error, whose data lie in six blocks:

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from coded import FractionalRepetitionCode, coded_gradient
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(6, 10, 3)), rng.normal(size=(6, 10))
    >>> def part(w, block):
    ...     a, b = block
    ...     return a.T @ (a @ w - b)
    >>> code, w = FractionalRepetitionCode(6, 1), np.zeros(3)
    >>> data = code.place(list(zip(a, b)))  # sent to each worker once
    >>> with ThreadPoolExecutor(6) as pool:
    ...     for _ in range(100):
    ...         w = w - 0.01 * coded_gradient(part, w, code, pool, data=data).outputs
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
    if data is not None and not isinstance(data, PlacedData):
        raise TypeError(f"data must be what code.place(blocks) gave, got {type(data).__name__}")
    terms = Terms(wait_for, timeout, hedge_after, retries, on_answer)
    return answer(read_request(part, (parameters, data), code, executor, terms))
