"""What must hold of every call in a storm, and of what is left after it."""

from __future__ import annotations

import gc
import os
import random
import re
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from math import inf
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psutil

import coded  # its names are looked up when used: workers import this file too
from tests.storm.engines import N_WORKERS, line, perilous

MARK = "CODED_STORM"  # in the environment of all processes of a storm, by which orphans are found
LATE = 1.0  # seconds beyond its timeout that a call may take
SIZES = (1, 1 << 7, 1 << 13, 1 << 17, 1 << 20)  # numbers in an answer, 8 B to 8 MB
_OFTEN = (6, 5, 5, 4, 2)  # how often each is asked for
TICK = 0.01  # seconds
_QUIET = 5.0  # seconds for what has been closed to be gone
_SAFE = 100.0  # of eps times amplification: rounding
# Names in /dev/shm. Semaphores are none: workers make none, and whoever else runs meanwhile does.
_OURS = ("pymp-", "coded", "torch_", "psm_")


@dataclass
class Report:
    """What a storm did, and which promises were broken."""

    seed: int
    calls: Counter[str] = field(default_factory=Counter)  # by outcome
    retries: int = 0
    hedges: int = 0
    signals: Counter[str] = field(default_factory=Counter)
    pids: set[int] = field(default_factory=set)
    overrun: float = -inf  # worst seconds beyond timeout and stall
    pause: float = 0.0  # worst of an event loop, beyond what the control saw
    settled: float = 0.0  # longest seconds until all workers were back
    given_up: int = 0  # workers that the engine itself does not start again
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """One line."""
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.calls.items()))
        signals = ", ".join(f"{count} {name}" for name, count in sorted(self.signals.items()))
        return (
            f"seed {self.seed}: {self.calls.total()} calls ({counts}); {self.retries} retries, "
            f"{self.hedges} hedges; {signals}; "
            f"{len(self.pids)} processes; worst overrun {self.overrun:.3f} s, "
            f"pause of the loop {self.pause:.3f} s, settled in {self.settled:.1f} s, "
            f"{self.given_up} given up by the engine; "
            f"{len(self.violations)} violations"
        )


class Control:
    """A thread that sleeps again and again, and so sees how late this machine wakes anybody."""

    def __init__(self) -> None:
        self._delays: deque[tuple[float, float]] = deque(maxlen=100_000)  # when it woke, how late
        self._began = time.perf_counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control")

    def __enter__(self) -> Control:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        self._began = time.perf_counter()
        while not self._over.wait(TICK):
            woke = time.perf_counter()
            self._delays.append((woke, woke - self._began - TICK))
            self._began = woke

    def stall(self, since: float) -> float:
        """Give the longest delay that it has seen since a moment, that of now included."""
        longest = time.perf_counter() - self._began - TICK
        for woke, late in reversed(list(self._delays)):
            if woke < since:
                break
            longest = max(longest, late)
        return max(longest, 0.0)


# ---- of a call


@dataclass(frozen=True)
class Question:
    """One call: what is asked, and what may happen to it."""

    name: str
    scheme: Any
    inputs: np.ndarray
    size: int
    wait_for: int | str | None
    timeout: float
    hedge_after: float | str | None = None
    retries: int | None = None
    peril: float = 0.0
    perils: Sequence[str] = ()

    @property
    def arguments(self) -> tuple[Any, ...]:
        """f, inputs and scheme."""
        options = {"size": self.size, "peril": self.peril, "perils": self.perils}
        return partial(perilous, **options, name=self.name), self.inputs, self.scheme

    @property
    def options(self) -> dict[str, Any]:
        return {
            "wait_for": self.wait_for,
            "timeout": self.timeout,
            "hedge_after": self.hedge_after,
            "retries": self.retries,
        }

    @property
    def is_exact(self) -> bool:
        """Whether exact answers are waited for."""
        return self.wait_for == "exact" or (
            self.wait_for is None and getattr(self.scheme, "exact_first", False)
        )

    @property
    def limit(self) -> int:
        """How often each lost task is asked again."""
        return int(self.is_exact) if self.retries is None else self.retries

    def __str__(self) -> str:
        return (
            f"{self.name} ({self.scheme!r}, answers of {8 * self.size} B, "
            f"peril={self.peril}, wait_for={self.wait_for}, timeout={self.timeout:.2f}, "
            f"hedge_after={self.hedge_after}, retries={self.retries})"
        )


@cache  # made before the storm: some take longer than an event loop may pause
def make_schemes(n_inputs: int) -> list[Any]:
    """Codes whose exact outputs are copies, and codes for linear f."""
    return [
        coded.ReplicationScheme(n_inputs, N_WORKERS),
        coded.ReplicationScheme(n_inputs, N_WORKERS, n_stragglers=2, fallback="mean"),
        coded.KernelScheme(n_inputs, N_WORKERS),
        coded.SplineScheme(n_inputs, N_WORKERS),
        coded.MDSScheme(n_inputs, N_WORKERS),
        coded.LagrangeScheme(n_inputs, N_WORKERS, degree=1),
    ]


def draw_question(rng: random.Random, name: str, perils: Sequence[str], n_sizes: int) -> Question:
    """Make up a call with inputs that no other call has, for answers of the smaller `n_sizes`."""
    n_inputs = rng.choice([3, 4])
    return Question(
        name=name,
        scheme=rng.choice(make_schemes(n_inputs)),
        inputs=draw_rows(rng, n_inputs),
        size=rng.choices(SIZES[:n_sizes], _OFTEN[:n_sizes])[0],
        wait_for=rng.choice([None, None, "exact", n_inputs, 6, N_WORKERS]),
        timeout=rng.uniform(0.3, 3.0),
        hedge_after=rng.choice([None, 0.02, 0.1, 0.5, "p95"]),
        retries=rng.choice([None, None, 0, 1, 3]),
        peril=rng.choice([0.0, 0.05, 0.1]),
        perils=perils,
    )


def draw_peaceful_question(rng: random.Random, scheme: Any, size: int, timeout: float) -> Question:
    """Make up a call that all workers must answer."""
    return Question(
        name="call in peace",
        scheme=scheme,
        inputs=draw_rows(rng, scheme.n_inputs),
        size=size,
        wait_for=N_WORKERS,
        timeout=timeout,
    )


def draw_rows(rng: random.Random, count: int) -> np.ndarray:
    """Draw inputs."""
    return np.array([[rng.uniform(-1.0, 1.0) for _ in range(2)] for _ in range(count)])


def compile_decoders(scheme: Any, inputs: np.ndarray) -> None:
    """Decode answers of every size, all and some: no call in time can wait for compiling."""
    bound = scheme.bind(inputs)
    coded_inputs = bound.encode(inputs)
    for size in SIZES:
        answers = np.stack([line(one, size) for one in coded_inputs])
        for lost in ([], [0], [5], [1, 6], [0, 2, 3, 7]):
            responders = np.setdiff1d(np.arange(N_WORKERS), lost)
            if bound.can_decode(responders):
                decode = getattr(bound, "decode_with_std", bound.decode)
                decode(answers[responders], responders)


def judge(question: Question, outcome: Any, seconds: float, stall: float) -> list[str]:
    """Give every promise that a call has broken; `outcome` is a result or an exception."""
    broken = []
    if seconds > question.timeout + LATE + stall:
        broken.append(f"returned after {seconds:.3f} s, this machine stalled for {stall:.3f} s")
    if isinstance(outcome, coded.CodedResult):
        broken += _judge_outputs(question, outcome) + _judge_workers(question, outcome, seconds)
        broken += _judge_asking(question, outcome, seconds)
        if seconds < question.timeout:
            broken += _judge_giving_up(question, outcome)
    elif not isinstance(outcome, coded.NotEnoughRespondersError):
        return [*broken, "raised " + "".join(traceback.format_exception(outcome))]
    elif not outcome.failures:
        broken.append(f"not enough answers for no reason: {outcome}")
    elif seconds < question.timeout:
        missed = set(range(N_WORKERS)) - {*outcome.failures, *outcome.responders}
        if missed and question.scheme.can_decode(sorted({*outcome.responders, *missed})):
            broken.append(f"not enough answers, and did not wait for {missed}: {outcome}")
    return broken + _judge_failures(question, outcome.failures, seconds)


def _judge_outputs(question: Question, result: Any) -> list[str]:
    """Compare exact outputs with f: bit for bit where they are copies."""
    shape = (len(question.inputs), question.size)
    if result.outputs.shape != shape or not np.isfinite(result.outputs).all():
        return [f"outputs are no finite numbers of shape {shape}"]
    allowed = 0.0
    amplification = getattr(question.scheme, "amplification", None)
    if amplification is not None:  # a code for linear f, which |f| <= size
        rounding = _SAFE * np.finfo(float).eps * (question.size + 1.0)
        allowed = rounding * max(1.0, amplification(result.responders))
    broken = []
    for k in np.flatnonzero(result.exact):
        error = np.abs(result.outputs[k] - line(question.inputs[k], question.size)).max()
        if error > allowed:
            broken.append(f"output {k} is said to be exact, and wrong by {error:g}: {result}")
    return broken


def _judge_workers(question: Question, result: Any, seconds: float) -> list[str]:
    """Check who is said to have answered, and when, and whether that was enough."""
    broken = []
    responders, stragglers = result.responders.tolist(), result.stragglers.tolist()
    if responders != sorted(responders) or sorted(responders + stragglers) != [*range(N_WORKERS)]:
        broken.append(f"responders are {responders}, stragglers {stragglers}")
    if np.flatnonzero(np.isfinite(result.latencies)).tolist() != responders:
        broken.append(f"latencies are not those of the responders: {result.latencies}")
    if not all(0.0 <= latency <= seconds for latency in result.latencies[responders]):
        broken.append(f"latencies are not within {seconds:.3f} s: {result.latencies}")
    answered = result.failures.keys() - set(stragglers)  # when they were asked again
    if len(answered) > result.retries + result.hedges:
        broken.append(f"workers {sorted(answered)} answered and failed: {result}")
    wanted = question.wait_for
    if not isinstance(wanted, int):
        wanted = 1 if question.is_exact else question.scheme.min_responders
    if result.complete and len(responders) < wanted:
        broken.append(f"complete with {len(responders)} answers: {result}")
    if result.complete and question.is_exact and not result.exact.all():
        broken.append(f"complete, and not all exact: {result}")
    if not result.complete and not result.failures:
        broken.append(f"incomplete for no reason: {result}")
    return broken


def _judge_asking(question: Question, result: Any, seconds: float) -> list[str]:
    """Check that no task was asked more often than it may be."""
    broken = []
    if not 0 <= result.retries <= question.limit * N_WORKERS:
        broken.append(f"{result.retries} retries, of {question.limit} a task: {result}")
    after = question.hedge_after
    most = 0 if after is None else N_WORKERS * (N_WORKERS - 1)
    if isinstance(after, float):  # each is so long after the one before
        most = min(most, N_WORKERS * int(seconds / after))
    if not 0 <= result.hedges <= most:
        broken.append(f"{result.hedges} hedges within {seconds:.3f} s: {result}")
    return broken


def _judge_giving_up(question: Question, result: Any) -> list[str]:
    """Check that with time left nothing is estimated for which a worker could have been asked."""
    if result.complete or result.exact.all():
        return []
    needed = _find_needed(question, result)
    broken = []
    missed = needed - result.failures.keys()
    if missed:
        broken.append(f"incomplete and estimated, and did not wait for {missed}: {result}")
    if result.retries < question.limit * len(needed):
        broken.append(f"gave up {needed}, each to be asked {question.limit} times more: {result}")
    return broken


def _find_needed(question: Question, result: Any) -> set[int]:
    """Give the tasks without an answer that could have made an output exact, or all of them."""
    stragglers = set(result.stragglers.tolist())
    bound = question.scheme.bind(question.inputs)
    alone = [bound.exact_mask(np.array([n])) for n in range(N_WORKERS)]
    if not question.is_exact or not np.any(alone):
        return stragglers
    return {n for n in stragglers if (alone[n] & ~result.exact).any()}


def _judge_failures(question: Question, failures: dict[int, Any], seconds: float) -> list[str]:
    """Check that failures can be told, and are of this call."""
    broken = []
    for n, error in failures.items():
        told = "".join(traceback.format_exception(error))
        if type(error) is TimeoutError and seconds < question.timeout:
            broken.append(f"worker {n} timed out after {seconds:.3f} s: {told}")
        is_ours = any(words in told for words in ("ArithmeticError", "UnreadableError"))
        if is_ours and question.name not in told:
            broken.append(f"worker {n} failed in another call: {told}")
    return broken


# ---- of what is left


def count_left() -> dict[str, Any]:
    """Count what this process holds, and what lies where others can see it."""
    from tests.support.faults import count_holdings  # not on top: workers need no pytest

    gc.collect()
    shared = set()
    if sys.platform == "linux":  # elsewhere no folder shows it
        shared = {path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(_OURS)}
        shared -= _find_shared_elsewhere() if shared else set()
    files = {path.name for path in Path(tempfile.gettempdir()).iterdir()}
    return {**count_holdings(), "shared memory files": shared, "temporary files": files}


def _find_shared_elsewhere() -> set[str]:
    """Find the names in /dev/shm that other programs use at this moment."""
    names: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        if maps.parent.name != str(os.getpid()):
            with suppress(OSError):  # it has just ended, or is somebody else's
                names.update(re.findall("/dev/shm/(\\S+)", maps.read_text()))
    return names


def mark_processes() -> None:
    """Mark what this process starts from now on, unless it is marked itself."""
    os.environ.setdefault(MARK, uuid4().hex)


def find_marked() -> list[str]:
    """Find the other processes of this storm, orphans too; give their numbers and commands."""
    found = []
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get(MARK) == os.environ[MARK]
            command = " ".join(process.cmdline())
            runs = process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:  # it has just ended, or is somebody else's
            continue
        # Python's own tracker of shared memory lives as long as this program.
        if is_ours and runs and process.pid != os.getpid() and "resource_tracker" not in command:
            found.append(f"{process.pid} {command}")
    return found


def find_leftovers(before: dict[str, Any]) -> list[str]:
    """Wait until all is gone; give what is still there after a while."""
    deadline = time.perf_counter() + _QUIET
    while True:
        left = [f"left a process: {one}" for one in find_marked()]
        now = count_left() if before else {}
        for name, there in now.items():
            is_more = there - before[name] if isinstance(there, set) else there > before[name]
            if is_more:
                left.append(f"left {name}: {there}, before the storm {before[name]}")
        if not left or time.perf_counter() > deadline:
            return left
        time.sleep(0.05)
