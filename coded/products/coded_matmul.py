"""`coded_matmul`: a product of two matrices by workers some of which are slow, dead or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from coded.products.matmul_code import MatmulCode
from coded.products.matmul_job import MatmulJob
from coded.products.multiply import multiply
from coded.runtime.goal import WaitFor
from coded.runtime.request import read_request
from coded.runtime.result import CodedResult
from coded.runtime.terms import HedgeAfter, OnAnswer, Terms
from coded.runtime.waiting import answer
from coded.schemes.job import Job
from coded.schemes.protocol import NotEnoughRespondersError


def coded_matmul(
    a: Any,
    b: Any,
    code: MatmulCode,
    executor: Executor | Sequence[Executor],
    *,
    wait_for: WaitFor = None,
    timeout: float | None = None,
    recompute_lost: bool = False,
    verify: bool = False,
    hedge_after: HedgeAfter = None,
    retries: SupportsIndex | None = None,
    on_answer: OnAnswer | None = None,
) -> CodedResult:
    """Compute ``a @ b`` by N workers, from the answers of those that answered.

    Cuts and encodes the operands that were not placed before, gives each worker its blocks, and
    puts C together as soon as `wait_for` is met; see `coded_map` for what counts as lost, and
    which worker is asked when.

    When not to: encoding and decoding are passes over A, B and C, so that at 2000 x 2000 they take
    longer than a worker's task, and a process that waits idle computes one or two lost blocks
    itself in less time, on the mean, than any code of both operands needs: `recompute_lost` with
    ``MDSMatmulCode(N, N)``, no worker to spare. Codes win where few workers are very slow, where
    one operand stays the same and is placed once, where this process cannot hold or multiply the
    matrices, or where workers lie.

    Parameters
    ----------
    a : array_like, shape (r, s), or PlacedOperand
        Numpy array or torch tensor of finite floats, without gradient (whole numbers become
        float64, but for `FieldMatmulCode`), or what ``code.place(a)`` gave.
    b : array_like, shape (s, c) or (s,), or PlacedOperand
        Of the dtype of `a`, or what ``code.place(b, right=True)`` gave.
    code : MatmulCode
        `MDSMatmulCode`, `KhatriRaoMatmulCode`, `RotationMatmulCode`, of integers
        `FieldMatmulCode`, or one of your own.
    executor : Executor or sequence of Executor
        As for `coded_map`: worker n is ``executor[n % len(executor)]``.
    wait_for : int or callable, optional
        The call ends when so many answers have come, or when the predicate of the responders is
        true, ``code.can_decode`` for example. Default: ``code.min_responders``.
    timeout : float, optional
        The call ends at the latest so many seconds after the first submission; None: it may wait
        for ever.
    recompute_lost : bool, optional
        Whether to compute here, as last resort, what the answers that came do not give: so many
        workers' tasks that the rest can be decoded. Without a `timeout` that is once all workers
        have answered or failed. This process needs both operands then.
    verify : bool, optional
        Whether to compare each answer with the checksums of its blocks: a wrong one is its worker's
        failure, and the product is decoded without it, where the others suffice. That costs passes
        over all blocks here: a good part of what a worker does, of float32 more. Errors below some
        ``eps (16 + s / 2)`` of the rows' and columns' lengths pass for rounding, s the inner
        dimension, at most 1024.
    hedge_after, retries, on_answer
        As for `coded_map`.

    Returns
    -------
    CodedResult
        ``outputs`` is C, shape (r, c) or (r,), of the dtype and kind of the operands; ``exact`` is
        true, but for `OverSketchMatmulCode`: errors are those of rounding, times
        ``code.amplification(result.responders)``.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind; nothing has been submitted then.
    ValueError
        If the operands cannot be multiplied, or cut by the code; nothing has been submitted then.
    NotEnoughRespondersError
        If the answers that came do not suffice, and `recompute_lost` is False.
    InconsistentAnswersError
        If more answers came than are needed, they contradict each other, and it is not to be told
        who is wrong; with `verify` that does not happen.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from coded import KhatriRaoMatmulCode, coded_matmul
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(60, 40)), rng.normal(size=(40, 50))
    >>> code = KhatriRaoMatmulCode(2, 2, 6)
    >>> with ThreadPoolExecutor() as pool:
    ...     result = coded_matmul(a, b, code, pool)
    ...     placed = code.place(a)  # once, for many products
    ...     again = coded_matmul(placed, b, code, pool)
    >>> np.allclose(result.outputs, a @ b), np.allclose(again.outputs, a @ b)
    (True, True)
    """
    if not isinstance(code, MatmulCode):
        raise TypeError(
            f"code must be a MatmulCode, got {type(code).__name__}; take MDSMatmulCode, "
            "KhatriRaoMatmulCode or RotationMatmulCode, or coded_map for a Scheme"
        )
    for name, value in (("recompute_lost", recompute_lost), ("verify", verify)):
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name} must be True or False, got {value!r}")
    product = _Product(code, verify=bool(verify))
    if not recompute_lost:
        terms = Terms(wait_for, timeout, hedge_after, retries, on_answer)
        return answer(read_request(multiply, (a, b), product, executor, terms))
    completed = _Completed(code, verify=bool(verify))
    wait_for = completed.can_decode if wait_for is None else wait_for
    terms = Terms(wait_for, timeout, hedge_after, retries, on_answer)
    try:
        result = answer(read_request(multiply, (a, b), completed, executor, terms))
    except NotEnoughRespondersError as error:  # nobody answered
        return completed.computed_here(error)
    return replace(result, exact=completed.exact)


class _Product:
    """A code as one call asks for it."""

    def __init__(self, code: MatmulCode, *, verify: bool) -> None:
        self._code, self._verify = code, verify
        self.n_workers, self.min_responders = code.n_workers, code.min_responders

    def prepare(self, a: Any, b: Any) -> Job:
        """Encode the operands."""
        return self._encoded(a, b)

    def _encoded(self, a: Any, b: Any) -> MatmulJob:
        job = self._code.prepare(a, b)
        if self._verify:
            job.verify()
        return job

    def __repr__(self) -> str:
        return repr(self._code)


class _Completed(_Product):
    """A code whose lost tasks are computed here where the answers do not suffice."""

    def prepare(self, a: Any, b: Any) -> Job:
        """Encode the operands; the job decodes whatever came."""
        self._job = self._encoded(a, b)
        return _CompletedJob(self._job)

    @property
    def exact(self) -> NDArray[np.bool_]:
        """Whether the product is, where all has been answered or computed here."""
        return self._job.exact_mask(np.arange(self.n_workers))

    def can_decode(self, responders: NDArray[np.intp]) -> bool:
        """Tell whether nothing has to be computed here."""
        return self._job.can_decode(responders)

    def computed_here(self, error: NotEnoughRespondersError) -> CodedResult:
        """Give the product where no worker answered."""
        return CodedResult(
            outputs=self._job.decode(*_complete(self._job, {})),
            complete=False,
            responders=np.zeros(0, np.intp),
            stragglers=np.arange(self.n_workers),
            latencies=np.full(self.n_workers, np.nan),
            failures={n: why for n, why in error.failures.items() if isinstance(why, Exception)},
            exact=self.exact,
        )


class _CompletedJob:
    """A product of which any answers are enough, because the rest is computed here."""

    def __init__(self, job: MatmulJob) -> None:
        self._job = job
        self.payloads, self.min_responders = job.payloads, job.min_responders
        self.function, self.read, self.liars = job.function, job.read, job.liars
        self.need = job.need
        self.exact_mask = job.exact_mask  # so that all who may still answer are waited for

    def can_decode(self, responders: NDArray[np.intp]) -> bool:
        """Any answer will do."""
        return len(responders) > 0

    def decode(self, answers: Sequence[Any], responders: NDArray[np.intp]) -> Any:
        """Compute what is lacking, and decode."""
        known = dict(zip(responders.tolist(), answers, strict=True))
        return self._job.decode(*_complete(self._job, known))


def _complete(job: MatmulJob, known: dict[int, Any]) -> tuple[list[Any], NDArray[np.intp]]:
    """Add answers computed here until they suffice; first those that are blocks of C."""
    lost = [n for n in range(len(job.payloads)) if n not in known]
    while lost and not job.can_decode(np.array(sorted(known), dtype=np.intp)):
        n = lost.pop(0)
        known[n] = job.read(n, job.function(n, multiply)(*job.payloads[n]))[1]
    workers = sorted(known)
    return [known[n] for n in workers], np.array(workers, dtype=np.intp)
