"""Codes for one job, a product or a sum of gradients, beside what is done without codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from time import perf_counter
from typing import Any, Protocol, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from coded.schemes.job import Code, Job
from coded.schemes.protocol import NotEnoughRespondersError
from fastspline.arrays import read_array

_TIMED = 3  # draws whose decoding is timed, each twice; encoding as often


class JobCode(Code, Protocol):
    """A code that gives the result without workers, and tells how it amplifies errors."""

    def amplification(self, responders: ArrayLike) -> float:
        """By how much errors of these answers grow."""

    def whole(self, fn: Callable[..., Any], *operands: Any) -> Any:
        """Give the result without workers."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A code in the comparison.

    Attributes
    ----------
    name : str
        What tables call it.
    make : callable
        Gives the code; ValueError where it cannot serve.
    guarantee : str
        What it promises.
    load, condition : callable
        Give what a worker of the code computes, as a share of the whole job, and the condition of
        the answers of some workers.
    function : callable
        Gives what the code's workers evaluate.
    recomputes : bool
        Whether tasks of lost workers are computed here.
    """

    name: str
    make: Callable[[], JobCode]
    guarantee: str
    load: Callable[[Any], float]
    condition: Callable[[Any, NDArray[np.intp]], float]
    function: Callable[[Any], Callable[..., Any]]
    recomputes: bool = False


def read_draws(
    n_workers: SupportsIndex,
    n_stragglers: SupportsIndex,
    repeats: SupportsIndex,
    rng: SupportsIndex,
) -> tuple[int, int, int, int]:
    """Check the counts of workers, losses and draws, and the seed."""
    n = read_count(n_workers, "n_workers", at_least=2)
    s = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=n - 1)
    draws = read_count(repeats, "repeats", at_least=1)
    return n, s, draws, read_count(rng, "rng", at_least=0, at_most=None)


class Known(Protocol):
    """A code of a registry: how it is made, and what it promises."""

    @property
    def make(self) -> Callable[..., Any]:
        """Give the code for the numbers that its kind takes."""

    @property
    def guarantee(self) -> str:
        """What is promised, in a few words."""


def chosen(
    codes: Sequence[str] | Mapping[str, Any] | None,
    known: Mapping[str, Known],
    numbers: tuple[int, ...],
    own_kind: tuple[type, str],
    entry: Callable[[str, Callable[[], Any], str], Entry],
) -> list[Entry]:
    """Give entries for the codes that a caller names or brings.

    Parameters
    ----------
    codes : sequence of str, mapping or None
        Names in `known`, codes by names, or None for all that are known.
    known : mapping
        The registry; its codes are made as ``make(*numbers)``.
    numbers : tuple of int
        What decides how large codes are.
    own_kind : (type, str)
        What the caller's own codes are, and where there are such.
    entry : callable
        ``entry(name, make, guarantee)``.

    Returns
    -------
    list of Entry

    Raises
    ------
    TypeError
        If `codes` is one name, or holds what is no code.
    ValueError
        If a name is unknown.
    """
    if isinstance(codes, str):
        raise TypeError(f"codes must be a sequence, or a mapping, got {codes!r}; pass [{codes!r}]")
    if isinstance(codes, Mapping):
        kind, place = own_kind
        for code in codes.values():
            if not isinstance(code, kind):
                raise TypeError(f"codes must hold {kind.__name__}s, got {code!r}; take {place}")
        return [
            entry(name, partial(_given, code), "as you made it") for name, code in codes.items()
        ]
    entries = []
    for name in known if codes is None else codes:
        if name not in known:
            raise ValueError(f"codes must be among {', '.join(known)}, got {name!r}")
        code = known[name]
        entries.append(entry(name, partial(code.make, *numbers), code.guarantee))
    return entries


def _given(code: Any) -> Any:
    return code


@dataclass(frozen=True)
class JobRow:
    """What one code costs and keeps; nan where that is not known.

    Attributes
    ----------
    code, made, guarantee : str
        Name, how it was made, what it promises.
    needs : int or None
        Any so many answers suffice.
    load : float
        What a worker computes, as a share of the whole job.
    sent, received : float
        Bytes to all workers and from those whose answers are used, in bytes of the result.
    encode, decode : float
        Seconds as a share of those that the whole job takes here; decode is the median of draws.
    decoded : float
        The share of draws that could be decoded.
    error : float
        The largest error, relative to the result's largest number.
    amplification, condition : float
        The largest of all draws.
    refused : str
        Why the code cannot serve; then there are no figures.
    n_colluders : int or None
        How many workers together learn nothing; None where that is no matter.
    """

    code: str
    made: str
    guarantee: str
    needs: int | None = None
    load: float = np.nan
    sent: float = np.nan
    received: float = np.nan
    encode: float = np.nan
    decode: float = np.nan
    decoded: float = 0.0
    error: float = np.nan
    amplification: float = np.nan
    condition: float = np.nan
    refused: str = ""
    n_colluders: int | None = None


@dataclass(frozen=True, repr=False)
class JobComparison:
    """All codes on one job.

    Attributes
    ----------
    name : str
        Of the job.
    n_workers, n_stragglers : int
        N, and how many of them are lost in each draw.
    seconds : float
        What the job takes in this process.
    rows : tuple of JobRow
        Plain rivals first.
    """

    name: str
    n_workers: int
    n_stragglers: int
    seconds: float
    rows: tuple[JobRow, ...]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Give the header and the cells of a table, a row a code that can serve."""
        header = ["code", "needs", "load", "in", "out", "enc.", "dec.", "draws", "error"]
        header += ["amp.", "cond."]
        served = [row for row in self.rows if not row.refused]
        cells = [
            [
                row.code,
                str(row.needs or "any"),
                _tell(row.load, "{:.3f}"),
                _tell_size(row.sent),
                _tell_size(row.received),
                _tell_share(row.encode),
                _tell_share(row.decode),
                f"{row.decoded:.0%}",
                _tell(row.error, "{:.0e}"),
                _tell_size(row.amplification),
                _tell_size(row.condition),
            ]
            for row in served
        ]
        if any(row.n_colluders is not None for row in served):
            for line, told in zip([header, *cells], ["T", *_tell_colluders(served)], strict=True):
                line.insert(1, told)
        return header, cells

    def guarantees(self) -> dict[str, str]:
        """Give what each code that can serve here promises."""
        return {row.code: row.guarantee for row in self.rows if not row.refused}

    def refusals(self) -> list[str]:
        """Tell which codes cannot serve here, and why."""
        return [f"{row.code}: {row.refused}" for row in self.rows if row.refused]

    def __repr__(self) -> str:
        """One line with the counts."""
        return (
            f"JobComparison({self.name}, {self.n_workers} workers, {self.n_stragglers} of them "
            f"lost, {len(self.rows)} codes)"
        )

    def __str__(self) -> str:
        """Draw the table in plain text."""
        header, cells = self.table()
        widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in [header, *cells]
        ]
        return "\n".join([repr(self), *lines, *self.refusals()])


class Trial:
    """One job that all codes do: equal operands, equal draws of lost workers."""

    def __init__(
        self,
        plain: Entry,
        operands: tuple[Any, ...],
        *,
        n_stragglers: int,
        repeats: int,
        rng: int,
    ) -> None:
        self._operands, self._n_stragglers = operands, n_stragglers
        self._repeats, self._rng = repeats, rng
        code = plain.make()
        whole = partial(code.whole, plain.function(code), *operands)
        self.reference = read_array(whole(), "result")[0]
        self.seconds = min(_seconds(whole) for _ in range(_TIMED))

    def run(self, entry: Entry) -> JobRow:
        """Let one code do it."""
        try:
            code = entry.make()
            job, fn = code.prepare(*self._operands), entry.function(code)
        except ValueError as error:
            return JobRow(entry.name, "", entry.guarantee, refused=str(error))
        encode = min(_seconds(lambda: code.prepare(*self._operands)) for _ in range(_TIMED))
        answers = [job.function(n, fn)(*p) for n, p in enumerate(job.payloads)]
        read = [_read(job, n, answer) for n, answer in enumerate(answers)]
        draws = self._draws(code)
        found = [self._decode(job, read, who, fn if entry.recomputes else None) for who in draws]
        done = [one for one in found if one is not None]
        decodable = draws if entry.recomputes else [who for who in draws if job.can_decode(who)]
        size = self.reference.nbytes
        return JobRow(
            entry.name,
            repr(code),
            entry.guarantee,
            needs=0 if entry.recomputes else code.min_responders,
            load=entry.load(code),
            sent=sum(_bytes(payload) for payload in job.payloads) / size,
            received=float(np.mean([sum(_bytes(answers[n]) for n in who) for who in draws])) / size,
            encode=encode / self.seconds,
            decode=_median([seconds for _, seconds in done]) / self.seconds,
            decoded=len(done) / len(found),
            error=max((error for error, _ in done), default=np.nan),
            amplification=_largest(code.amplification, decodable, entry),
            condition=_largest(partial(entry.condition, code), decodable, entry),
            n_colluders=getattr(code, "n_colluders", None),
        )

    def _draws(self, code: JobCode) -> list[NDArray[np.intp]]:
        """Draw whose tasks are answered; equal for all codes of as many executors."""
        rng = np.random.default_rng(self._rng)
        n_executors = getattr(code, "n_executors", code.n_workers)
        executor = np.arange(code.n_workers) % n_executors
        n_lost = min(self._n_stragglers, n_executors - 1)
        lost = [rng.permutation(n_executors)[:n_lost] for _ in range(self._repeats)]
        return [np.flatnonzero(~np.isin(executor, some)) for some in lost]

    def _decode(
        self,
        job: Job,
        read: list[Any],
        who: NDArray[np.intp],
        fn: Callable[..., Any] | None,
    ) -> tuple[float, float] | None:
        """Give the error and the seconds, None where the answers do not suffice.

        With `fn` the tasks of all others are computed here.
        """

        def decode() -> Any:
            if fn is None:
                return job.decode([read[n] for n in who], who)
            lost = np.setdiff1d(np.arange(len(read)), who)
            here = {n: _read(job, n, job.function(n, fn)(*job.payloads[n])) for n in lost.tolist()}
            everyone = np.arange(len(read))
            return job.decode([here.get(n, read[n]) for n in everyone.tolist()], everyone)

        try:
            result = read_array(decode(), "result")[0]
        except NotEnoughRespondersError:
            return None
        largest = float(np.abs(self.reference).max()) or 1.0
        error = float(np.abs(result - self.reference).max()) / largest
        return error, min(_seconds(decode) for _ in range(2))


def compared(
    name: str,
    trial: Trial,
    entries: Iterable[Entry],
    *,
    n_workers: int,
    n_stragglers: int,
    on_code: Callable[[str], object] | None,
) -> JobComparison:
    """Let each code do the job."""
    rows = []
    for entry in entries:
        if on_code is not None:
            on_code(entry.name)
        rows.append(trial.run(entry))
    return JobComparison(name, n_workers, n_stragglers, trial.seconds, tuple(rows))


def _read(job: Job, worker: int, answer: Any) -> Any:
    reads = getattr(job, "read", None)
    return answer if reads is None else reads(worker, answer)[1]


def _seconds(call: Callable[[], object]) -> float:
    began = perf_counter()
    call()
    return perf_counter() - began


def _bytes(values: Any) -> int:
    """Count the bytes of the arrays in a nest."""
    if isinstance(values, tuple | list):
        return sum(map(_bytes, values))
    if isinstance(values, dict):
        return sum(map(_bytes, values.values()))
    return int(getattr(values, "nbytes", 8))


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float(np.nan)


def _largest(
    measure: Callable[[NDArray[np.intp]], float], draws: list[NDArray[np.intp]], entry: Entry
) -> float:
    if not draws:
        return float(np.nan)
    return 1.0 if entry.recomputes else max(measure(who) for who in draws)


def _tell_colluders(rows: Iterable[JobRow]) -> list[str]:
    return [str(row.n_colluders or 0) for row in rows]


def _tell(value: float, form: str) -> str:
    return form.format(value) if isfinite(value) else "-"


def _tell_size(value: float) -> str:
    return _tell(value, "{:.2g}" if value < 100.0 else "{:.0f}" if value < 1e4 else "{:.0e}")


def _tell_share(value: float) -> str:
    return _tell(value, "{:.1%}" if value < 0.1 else "{:.0%}")
