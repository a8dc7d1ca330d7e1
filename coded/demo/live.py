"""How long an answer takes on real processes that are slow, killed or frozen, code by code."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGSTOP, Signals
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.demo.choices import LIVE_K, Choices
from coded.demo.faults import Fault, FaultyExecutor
from coded.demo.strategies import Strategy, make_strategies
from coded.digits.images import Digits
from coded.runtime.coded_map import coded_map
from coded.schemes.protocol import NotEnoughRespondersError
from coded.stragglers import ParetoDelays
from coded.workers.local_workers import LocalWorkers

DELAYS = ParetoDelays(scale=0.02, shape=1.1, cap=1.0)
TIMEOUT = 2.0  # seconds that a round may take
HEDGE_SECONDS = DELAYS.quantile(0.95)
KILLED, FROZEN = 1, 2  # worker numbers below K, so that who asks K workers alone is hit too
_LOST = -1
_START_SECONDS = 120.0  # longest wait for workers to start or to become idle

Network = Callable[[ArrayLike], ArrayLike]


@dataclass(frozen=True)
class LiveScore:
    """One strategy over all rounds; times in seconds from the question to all K answers."""

    strategy: str
    median_seconds: float
    p90_seconds: float
    p99_seconds: float
    worst_seconds: float
    accuracy: float
    lost: int
    seconds: tuple[float, ...]  # of each round


@dataclass(frozen=True, eq=False)
class Schedule:
    """What befalls worker n in round r, whichever strategy asks.

    Attributes
    ----------
    delays : ndarray of float, shape (rounds, N)
        Seconds.
    signals : dict of (round, worker) to signal
        Who is killed or frozen when.
    """

    delays: NDArray[np.float64]
    signals: dict[tuple[int, int], Signals]

    @classmethod
    def draw(cls, choices: Choices) -> Schedule:
        """Draw the delays; kill a worker after a third of the rounds, freeze one after two."""
        rng = np.random.default_rng([choices.seed, choices.workers])
        delays = np.stack([DELAYS.draw(choices.workers, rng) for _ in range(choices.rounds)])
        first, second = choices.rounds // 3, 2 * choices.rounds // 3
        return cls(delays, {(first, KILLED): SIGKILL, (second, FROZEN): SIGSTOP})

    def victims(self, r: int) -> list[int]:
        """Give the workers that are lost in round r."""
        return [worker for at, worker in self.signals if at == r]


def race(
    network: Network,
    digits: Digits,
    workers: LocalWorkers,
    choices: Choices,
    *,
    on_step: Callable[[], object] = lambda: None,
) -> list[LiveScore]:
    """Let every strategy answer the same rounds of K digits on the same workers.

    Strategies take turns, each is a call of `coded_map`, and each call begins with all workers up
    and idle. Codes use all N workers, and wait for exact answers or ``choices.least_answers``;
    uncoded gives K of the same workers, which have the same delays, one digit each. Hedged, idle
    workers are asked too where an answer takes longer than 95 % of the delays.

    Parameters
    ----------
    network : callable
        The function f that the workers import: one input to its logits.
    digits : Digits
        Round r asks for digits ``r * K`` to ``(r + 1) * K``.
    workers : LocalWorkers
        N workers; those that a round kills or freezes are replaced.
    choices : Choices
        N, rounds and the seed of the delays.
    on_step : callable, optional
        Called after each call of each strategy, to show progress.

    Returns
    -------
    list of LiveScore

    Raises
    ------
    RuntimeError
        If a worker dies when it should not.
    TimeoutError
        If workers do not start or do not become idle.
    """
    strategies = make_strategies(LIVE_K, choices.workers, choices.least_answers, HEDGE_SECONDS)
    schedule = Schedule.draw(choices)
    seconds: dict[str, list[float]] = {name: [] for name in strategies}
    guesses: dict[str, list[NDArray[np.intp]]] = {name: [] for name in strategies}
    workers.wait(_START_SECONDS)
    for strategy in strategies.values():  # compiles, and warms up the network in the workers
        _ask(network, digits.batch(0, LIVE_K).inputs, strategy, workers.executors)
    _wait_until_idle(workers)
    for r, name in ((r, name) for r in range(choices.rounds) for name in strategies):
        inputs = digits.batch(r, LIVE_K).inputs
        with _faulty(workers, schedule, r) as executors:
            began = perf_counter()
            answer = _ask(network, inputs, strategies[name], executors)
            seconds[name].append(perf_counter() - began)
        guesses[name].append(answer)
        on_step()
    labels = digits.batch(0, LIVE_K * choices.rounds).labels
    return [
        _score(name, np.array(seconds[name]), np.concatenate(guesses[name]), labels)
        for name in strategies
    ]


def _ask(
    network: Network,
    inputs: NDArray[np.float32],
    strategy: Strategy,
    executors: Sequence[Executor],
) -> NDArray[np.intp]:
    """Ask for the classes of K digits; `_LOST` where there is neither answer nor estimate."""
    classes = np.full(len(inputs), _LOST)

    def keep(i: int, output: ArrayLike, std: float | None) -> None:
        if strategy.takes_estimates or std == 0.0:
            classes[i] = np.asarray(output).argmax()

    with suppress(NotEnoughRespondersError):
        coded_map(
            network,
            inputs,
            strategy.scheme,
            executors[: strategy.n_executors],
            wait_for=strategy.wait_for,
            timeout=TIMEOUT,
            hedge_after=strategy.hedge_after,
            on_output=keep,
        )
    return classes


@contextmanager
def _faulty(workers: LocalWorkers, schedule: Schedule, r: int) -> Iterator[list[Executor]]:
    """Give the workers with the faults of round r; afterwards have all up and idle again."""
    with tempfile.TemporaryDirectory(prefix="coded-") as directory:
        release = Path(directory) / "release"
        faults = [
            Fault(float(delay), release, schedule.signals.get((r, n)), DELAYS.scale / 2)
            for n, delay in enumerate(schedule.delays[r])
        ]
        try:
            yield [FaultyExecutor(*pair) for pair in zip(workers.executors, faults, strict=True)]
        finally:
            release.touch()
        for victim in schedule.victims(r):
            workers.replace(victim)
        _wait_until_idle(workers)


def _wait_until_idle(workers: LocalWorkers) -> None:
    """Wait until every worker answers at once; a replaced one has imported torch by then."""
    pings = [executor.submit(os.getpid) for executor in workers.executors]
    late = wait(pings, _START_SECONDS).not_done
    if late:
        indices = [n for n, ping in enumerate(pings) if ping in late]
        raise TimeoutError(f"workers {indices} were not idle within {_START_SECONDS} s")
    for ping in pings:
        ping.result()


def _score(
    strategy: str, seconds: NDArray[np.float64], guesses: NDArray[np.intp], labels: NDArray[np.intp]
) -> LiveScore:
    """Sum up the rounds; a lost digit counts as wrong."""
    return LiveScore(
        strategy=strategy,
        median_seconds=float(np.median(seconds)),
        p90_seconds=float(np.quantile(seconds, 0.9)),
        p99_seconds=float(np.quantile(seconds, 0.99)),
        worst_seconds=float(seconds.max()),
        accuracy=float((guesses == labels).mean()),
        lost=int((guesses == _LOST).sum()),
        seconds=tuple(round(float(one), 4) for one in seconds),
    )
