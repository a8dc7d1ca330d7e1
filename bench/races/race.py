"""A race: one task, all competitors in turn, round after round, the minimum of each."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import threadpoolctl

from fastspline._threads import cut, run_blocks

SHORT_SECONDS = 2e-3  # calls are repeated within a round up to about this long
# BLAS's threads spin on for .1 s of a processor's time after a product, where the next competitor
# needs it; that then runs for a moment before it is timed.
REST_SECONDS, SETTLE_SECONDS = 0.3, 0.02
RESTLESS = "dense x BLAS"
LEAST_ROUNDS = 7
LEAST_SLOW_ROUNDS = 3  # where a round takes more than a few seconds
PATIENCE = 8  # budgets after which a race of few rounds ends
RIVAL_TOLERANCE = 1e-3  # enough to see that a rival computes the same

LargestError = Callable[[object], float]


@dataclass(frozen=True)
class Competitor:
    """Somebody who does the task, or `scale` times less of it, as `note` says.

    One with `checked` False computes something else, a copy for example.
    """

    call: Callable[[], object]
    scale: float = 1.0
    note: str = ""
    checked: bool = True


class Race:
    """Checks, times and records competitors; called once a test."""

    def __init__(self, benchmark, seconds: float) -> None:
        self._benchmark = benchmark
        self._seconds = seconds

    def __call__(
        self,
        case: str,
        ours: Callable[[], object],
        rivals: Mapping[str, Competitor],
        *,
        error: LargestError,
        tolerance: float,
        shape: str,
        dtype: str,
        threads: int = 1,
    ) -> None:
        """Run every competitor once and check it; with benchmarks enabled, race and record them.

        ``error(result)`` is compared with `tolerance` for ours; BLAS gets `threads` threads.
        """
        competitors = {"ours": Competitor(ours), **rivals}
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            errors = self._check(competitors, error, tolerance)
            if self._benchmark.disabled:
                return
            calls = {name: one.call for name, one in competitors.items()}
            seconds, rounds = run_rounds(calls, self._seconds, several=threads > 1)
        seconds = {name: spent * competitors[name].scale for name, spent in seconds.items()}
        self._benchmark.extra_info.update(
            case=case,
            shape=shape,
            dtype=dtype,
            threads=threads,
            rounds=rounds,
            ratios={name: seconds[name] / seconds["ours"] for name in rivals},
            seconds=seconds,
            errors=errors,
            notes={name: one.note for name, one in rivals.items() if one.note},
        )

    def _check(
        self, competitors: Mapping[str, Competitor], error: LargestError, tolerance: float
    ) -> dict[str, float]:
        """Run each competitor once, ours as the one that pytest-benchmark knows of."""
        errors = {}
        for name, one in competitors.items():
            result = self._benchmark.pedantic(one.call) if name == "ours" else one.call()
            if one.checked:
                errors[name] = error(result)
                allowed = tolerance if name == "ours" else RIVAL_TOLERANCE
                assert errors[name] <= allowed, f"{name}: error {errors[name]:.1e} > {allowed:.1e}"
        return errors


def run_rounds(
    calls: Mapping[str, Callable[[], object]], budget: float, *, several: bool = False
) -> tuple[dict[str, float], int]:
    """Give the least seconds that a call of each took, and the number of rounds.

    Where competitors have `several` threads, those of the one before are left to fall asleep.
    """
    repeats = {
        name: max(1, int(SHORT_SECONDS / _seconds_of(call, 1))) for name, call in calls.items()
    }
    best = dict.fromkeys(calls, math.inf)
    rounds, spent = 0, 0.0
    gc.collect()
    gc.disable()
    try:
        while not _is_enough(rounds, spent, budget):
            for name, call in calls.items():
                start = time.perf_counter()
                while several and time.perf_counter() - start < SETTLE_SECONDS:
                    call()
                best[name] = min(best[name], _seconds_of(call, repeats[name]))
                spent += time.perf_counter() - start
                if several and name == RESTLESS:
                    time.sleep(REST_SECONDS)
            rounds += 1
    finally:
        gc.enable()
    return best, rounds


def _is_enough(rounds: int, spent: float, budget: float) -> bool:
    if rounds < LEAST_ROUNDS:
        return rounds >= LEAST_SLOW_ROUNDS and spent >= PATIENCE * budget
    return spent >= budget


def _seconds_of(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def error_against(expected, sample=None) -> LargestError:
    """Make the largest error relative to the largest entry of `expected` (rows, columns).

    Where `sample` (columns,) is given, column i of `expected` is for column ``sample[i]`` of the
    result; a rival that computes the first columns alone is checked on these.
    """
    columns = np.arange(expected.shape[1]) if sample is None else sample
    size = abs(expected).max()

    def largest_error(result: object) -> float:
        rows = np.asarray(result).reshape(len(expected), -1)
        kept = columns < rows.shape[1]
        return float(abs(rows[:, columns[kept]] - expected[:, kept]).max() / size)

    return largest_error


def copy(n_bytes: int, *, threads: int = 1, fresh: bool = False) -> Competitor:
    """Make the copy that reads and writes `n_bytes` in all, into a new array where `fresh`.

    Its threads are those of the library, so that both have as much of the machine.
    """
    half = n_bytes // 2
    source, target = np.ones((2, half), np.uint8)

    def run() -> None:
        into = np.empty(half, np.uint8) if fresh else target

        def move(first: int, stop: int) -> int:
            np.copyto(into[first:stop], source[first:stop])
            return -1

        run_blocks(move, cut(half, -(-half // threads)), threads)

    return Competitor(run, checked=False)
