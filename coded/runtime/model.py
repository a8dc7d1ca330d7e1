"""`CodedModel`: a batch in, a batch out, as a service calls it; coded over the workers inside."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from numbers import Real
from time import monotonic
from types import TracebackType
from typing import Any, NoReturn, Self, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from coded.errors import tell_error
from coded.nearness.order import similar_groups
from coded.runtime.answers import read_finite
from coded.runtime.call import WorkerBusyError
from coded.runtime.exact_goal import exact_goal
from coded.runtime.goal import Goal, WaitFor
from coded.runtime.latencies import HedgeShare, Latencies
from coded.runtime.nested_arrays import Layout, pack
from coded.runtime.request import read_request
from coded.runtime.result import CodedResult, Indices
from coded.runtime.scheme_job import SchemeCode
from coded.runtime.terms import HedgeAfter, Terms
from coded.runtime.waiting import Waiting
from coded.schemes.job import Job
from coded.schemes.protocol import (
    Function,
    NotEnoughRespondersError,
    Scheme,
    number_reader,
    read_numbers,
)
from fastspline.arrays import FloatArray

_LOG = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())  # silent unless the program says otherwise
_COUNTED = ("calls", "answers", "estimates", "retries", "hedges", "losses")
_MINUTE = 60.0
_AHEAD = 1  # groups of a batch that are waiting before the one whose answers are awaited


@dataclass(frozen=True, eq=False, repr=False)
class CodedBatch:
    """The outputs of one batch, and how the workers came by them.

    Attributes
    ----------
    outputs : array, shape (B, ...), or tuples and dicts of arrays
        In the order of the batch, in the kind, dtype and nesting of the answers.
    exact : ndarray of bool, shape (B,)
        Which outputs are exact answers, not estimates.
    std : ndarray of float, shape (B,), or None
        The errors ``||output_b - f(x_b)||_2`` that are to be expected, 0 where exact; None where
        the scheme gives none.
    complete : bool
        Whether `wait_for` was met in every group.
    groups : list of ndarray of int, shape (K,)
        Which rows of the batch were coded together; a row that fills a place again is repeated.
    results : list of CodedResult
        Who answered when and who failed, of each group.
    """

    outputs: Any
    exact: NDArray[np.bool_]
    std: NDArray[np.float64] | None
    complete: bool
    groups: list[Indices]
    results: list[CodedResult]

    @property
    def failures(self) -> dict[int, BaseException]:
        """Why workers failed, of each the last failure."""
        return {n: error for result in self.results for n, error in result.failures.items()}

    def __repr__(self) -> str:
        """One line with counts."""
        failures = sum(len(result.failures) for result in self.results)
        return (
            f"CodedBatch({len(self.exact)} outputs from {len(self.groups)} groups, "
            f"complete={self.complete}, failures={failures}, "
            f"exact={int(self.exact.sum())} of {len(self.exact)})"
        )


class CodedModel:
    """A function of batches whose slow, dead and frozen workers cost no answer.

    ``model(batch)`` gives f of every row, as a model that runs in this process would: it is what
    a model server calls. Batches may have any size. Up to K rows make one `coded_map`; rows are
    repeated where there are fewer, which makes further copies of them. More rows are split into
    groups as equal in size as can be, similar rows together (`similar_groups`), and while the
    answers of one group are awaited the next one is queued at the workers already.

    Any number of threads may call at once; their tasks queue at the same workers, without limit:
    to set one is the server's business. Workers at work are asked then, and their tasks cancelled
    if they do not come to them. Workers far behind are not asked, as in `coded_map`.

    Build a CodedModel in the set-up of the server's process, not on import: servers fork or spawn.
    From coroutines: ``await asyncio.to_thread(model, batch)``.

    Parameters
    ----------
    fn : callable
        f, of one row, as for `coded_map`.
    scheme : Scheme
        The code, for groups of ``K = scheme.n_inputs`` rows.
    executors : Executor or sequence of Executor
        As for `coded_map`. They stay the caller's and are never shut down.
    wait_for, retries : optional
        As for `coded_map`, in each group: codes of copies wait until every row has its exact
        answer, and ask once more for lost tasks.
    timeout : float or None, optional
        A call ends at the latest so many seconds after a group was submitted, so that time in
        the workers' queues counts, with estimates of what has no answer then; a batch takes at
        most ``ceil(B / K)`` times that. None: it may wait for a frozen worker for ever.
    hedge_after : float or "p95", optional
        As for `coded_map`; "p95" goes by the last 1,000 answers of this model.
    hedge_share : float, optional
        How many tasks in the long run may be asked again because they take long, as a share of
        all, in [0, 1]; ten may be so at once. It keeps a fleet that has become slow from getting
        more work.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If an argument has a value that is not allowed.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from coded import CodedModel, ReplicationScheme
    >>> with ThreadPoolExecutor() as pool:
    ...     model = CodedModel(np.sqrt, ReplicationScheme(2, 4), pool, timeout=10.0)
    ...     model(np.array([1.0, 4.0, 9.0]))
    array([1., 2., 3.])
    """

    def __init__(
        self,
        fn: Function,
        scheme: Scheme,
        executors: Executor | Sequence[Executor],
        *,
        wait_for: WaitFor = None,
        timeout: float | None = 10.0,
        hedge_after: HedgeAfter = None,
        hedge_share: float = 0.05,
        retries: SupportsIndex | None = None,
    ) -> None:
        terms = Terms(
            wait_for, timeout, hedge_after, retries,
            latencies=Latencies(), share=HedgeShare(_read_share(hedge_share)),
        )  # fmt: skip
        # Of every group, but for its inputs.
        self._request = read_request(fn, (), SchemeCode(scheme), executors, terms)
        self._scheme = scheme
        self._closed = False
        self._counts = Counter(dict.fromkeys(_COUNTED, 0))
        self._warned = -inf
        self._lock = threading.Lock()  # of counts and warning

    def __call__(self, batch: Any) -> Any:
        """Give f of every row of a batch.

        Parameters
        ----------
        batch : array_like, shape (B, ...), or tuples and dicts of them
            B >= 1 rows of finite numbers, numpy arrays or torch tensors.

        Returns
        -------
        array, shape (B, ...), or tuples and dicts of arrays
            In the order of the batch, in the kind, dtype and nesting of the answers.

        Raises
        ------
        TypeError
            If the batch does not hold numbers of the kind that the scheme codes.
        ValueError
            If the batch is empty, or a number is not finite; nothing has been waiting then.
            Also if groups gave answers of different shapes.
        NotEnoughRespondersError
            If the answers of some group do not suffice to decode (a ValueError too).
        RuntimeError
            After `close`.
        """
        return self.run(batch).outputs

    def run(self, batch: Any) -> CodedBatch:
        """Compute as a call does, and tell which outputs are exact, and what became of workers.

        Parameters
        ----------
        batch
            As in a call.

        Returns
        -------
        CodedBatch

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError, RuntimeError
            As a call.
        """
        if self._closed:
            raise RuntimeError("this CodedModel is closed; make another one")
        array, layout = pack(batch, "batch", partial(read_finite, number_reader(self._scheme)))
        if array.ndim == 0 or array.size == 0:
            raise ValueError(
                f"batch must hold at least one row along axis 0, got shape {array.shape}; "
                "stack the inputs, one alone by x[None]"
            )
        groups = _groups(array, self._scheme.n_inputs)
        try:
            results = self._ask(array, layout, groups)
        except NotEnoughRespondersError as error:
            self._count(calls=1, losses=_losses(error.failures))
            raise
        joined = _join(self._scheme, len(array), groups, results)
        estimates = int((~joined.exact).sum())
        self._count(
            calls=1,
            answers=len(joined.exact),
            estimates=estimates,
            retries=sum(result.retries for result in results),
            hedges=sum(result.hedges for result in results),
            losses=sum(_losses(result.failures) for result in results),
        )
        if estimates:
            self._warn(joined)
        return joined

    @property
    def counters(self) -> dict[str, int]:
        """What has happened since this model was made, for a metrics library.

        ``calls``; ``answers``, rows that were answered, of which ``estimates`` were no exact
        answers; ``retries`` and ``hedges``, tasks that were asked again; ``losses``, tasks whose
        worker failed or did not answer in time.
        """
        with self._lock:
            return dict(self._counts)

    def close(self) -> None:
        """Refuse further calls; those under way go on. The executors stay the caller's."""
        self._closed = True

    def __enter__(self) -> Self:
        """Give the model; leaving the block closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the model."""
        self.close()

    def __repr__(self) -> str:
        """One line with the function, the code, and whether it is closed."""
        fn, n_executors = self._request.fn, len(self._request.executors)
        state = ", closed" if self._closed else ""
        name = getattr(fn, "__name__", repr(fn))
        return f"CodedModel({name}, {self._scheme!r}, {n_executors} executors{state})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: executors belong to their process."""
        raise TypeError(
            "a CodedModel cannot be pickled, for its executors belong to this process; build it "
            "where it is called, for example in the server's setup"
        )

    def _count(self, **counts: int) -> None:
        with self._lock:
            self._counts.update(counts)

    def _warn(self, batch: CodedBatch) -> None:
        """Say once a minute that there were estimates."""
        with self._lock:
            now = monotonic()
            if now < self._warned + _MINUTE:
                return
            self._warned = now
            counts = dict(self._counts)
        _LOG.warning(
            "%d of %d outputs are estimates, by %r; so far %d of %d (said once a minute)",
            (~batch.exact).sum(), len(batch.exact), self._scheme,
            counts["estimates"], counts["answers"],
        )  # fmt: skip

    def _ask(self, array: FloatArray, layout: Layout, groups: list[Indices]) -> list[CodedResult]:
        """Answer the groups in turn, the next one queued meanwhile."""
        results: list[CodedResult] = []
        under_way: deque[Waiting] = deque()
        try:
            for group in groups:
                # Cancelled as long as they are here, for a Ctrl-C may come anywhere.
                inputs = layout.unpack(array[group])
                goal = partial(_goal_of_rows, self._request.goal, group)
                under_way.append(Waiting(replace(self._request, operands=(inputs,), goal=goal)))
                under_way[-1].submit()
                if len(under_way) > _AHEAD:
                    results.append(_answer(under_way[0]))
                    under_way.popleft()
            while under_way:
                results.append(_answer(under_way[0]))
                under_way.popleft()
        finally:
            try:
                _cancel_all(under_way)
            finally:  # a Ctrl-C came meanwhile
                _cancel_all(under_way)
        return results


def _cancel_all(under_way: Iterable[Waiting]) -> None:
    for waiting in under_way:
        waiting.cancel()


def _answer(waiting: Waiting) -> CodedResult:
    """Wait for one group, and log who failed."""
    result = waiting.result()
    for n, error in result.failures.items():
        if not isinstance(error, WorkerBusyError):
            _LOG.info("worker %d failed: %s", n, tell_error(error))
    if not result.complete:
        _LOG.info("fewer answers than wanted: %r", result)
    return result


def _goal_of_rows(make: Callable[[Job], Goal], group: Indices, job: Job) -> Goal:
    """Give what is waited for in a group: of a row that is repeated, one exact answer."""
    goal = make(job)
    distinct, rows = np.unique(group, return_inverse=True)
    return goal if goal.exact is None or len(distinct) == len(group) else exact_goal(job, rows)


def _losses(failures: Mapping[int, object]) -> int:
    """Count workers that were asked and lost."""
    return sum(not isinstance(error, WorkerBusyError) for error in failures.values())


def _read_share(share: float) -> float:
    if isinstance(share, bool) or not isinstance(share, Real):
        raise TypeError(f"hedge_share must be a number, got {share!r}; 0.05 is a task in twenty")
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"hedge_share must lie in [0, 1], got {share}; 0.05 is a task in twenty")
    return float(share)


def _groups(array: FloatArray, size: int) -> list[Indices]:
    """Split the rows into groups of similar ones, about equally many, each filled to `size`."""
    n_groups = -(-len(array) // size)
    if n_groups == 1 or array.dtype.kind not in "biufc":  # text has no distances
        groups = np.array_split(np.arange(len(array)), n_groups)
    else:
        parts = np.stack([array.real, array.imag], axis=1) if np.iscomplexobj(array) else array
        groups = similar_groups(parts, -(-len(array) // n_groups))
    # Copies of a row side by side, for the codes that take the inputs in the order given.
    return [group[np.arange(size) * len(group) // size] for group in groups]


def _join(
    scheme: Scheme, n_rows: int, groups: list[Indices], results: list[CodedResult]
) -> CodedBatch:
    """Put the rows back in order; of a row's several outputs take the best."""
    packed = [pack(result.outputs, "outputs", partial(read_numbers, scheme)) for result in results]
    layout = packed[0][1]
    for _, other in packed:
        if other != layout:
            raise ValueError(
                f"f must give answers of one shape, but gave {layout} in one group of the batch "
                f"and {other} in another; split the batch by shape, or pad the answers"
            )
    exact = np.concatenate([result.exact for result in results])
    stds = [result.std for result in results if result.std is not None]
    std = np.concatenate(stds) if stds else None
    rows = np.concatenate(groups)
    best_first = np.lexsort((~exact if std is None else std, ~exact, rows))
    chosen = best_first[np.searchsorted(rows[best_first], np.arange(n_rows))]
    return CodedBatch(
        outputs=layout.unpack(np.concatenate([array for array, _ in packed])[chosen]),
        exact=exact[chosen],
        std=None if std is None else std[chosen],
        complete=all(result.complete for result in results),
        groups=groups,
        results=results,
    )
