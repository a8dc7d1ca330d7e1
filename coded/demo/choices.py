"""What the demo's user may choose, checked."""

from __future__ import annotations

from dataclasses import dataclass

from coded.arguments import read_count

BATCHES = 20  # batches of K digits that the intervals are over
LIVE_K = 4
DIGITS = 5000


@dataclass(frozen=True)
class Choices:
    """Sizes of both parts of the demo.

    Parameters
    ----------
    k, n, s : int, optional
        Inputs, workers and stragglers of the accuracy part.
    repeats : int, optional
        Straggler draws per batch.
    workers : int, optional
        Processes of the live part.
    rounds : int, optional
        Rounds of the live part; in two of them a worker is lost.
    wait_for : int, optional
        Answers that the codes of the live part wait for which estimate the rest; None means
        three quarters of the workers. Half of them can be decoded too, in less time and with
        more errors.
    seed : int, optional
        Of the digits' order, the stragglers and the delays.

    Raises
    ------
    TypeError
        If one is no integer.
    ValueError
        If one is out of range; the message begins with its name.
    """

    k: int = 20
    n: int = 60
    s: int = 20
    repeats: int = 20
    workers: int = 8
    rounds: int = 40
    wait_for: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        read_count(self.k, "k", at_least=LIVE_K, at_most=DIGITS // BATCHES)
        read_count(self.n, "n", at_least=self.k, at_most=5000)
        read_count(self.s, "s", at_least=0, at_most=self.n - 2)
        read_count(self.repeats, "repeats", at_least=1, at_most=1000)
        read_count(self.workers, "workers", at_least=LIVE_K, at_most=64)
        if self.wait_for is not None:
            read_count(self.wait_for, "wait-for", at_least=2, at_most=self.workers)
        read_count(self.rounds, "rounds", at_least=2, at_most=DIGITS // LIVE_K)
        read_count(self.seed, "seed", at_least=0, at_most=None)

    @property
    def least_answers(self) -> int:
        """How many answers the estimating codes of the live part wait for."""
        return (3 * self.workers + 3) // 4 if self.wait_for is None else self.wait_for
