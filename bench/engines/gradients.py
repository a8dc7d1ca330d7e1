"""Time to a loss with gradient codes, on a simulated clock.

Ridge regression on real digits by gradient descent; 20 executors with a block of the digits each,
whose time for a block is 1 or more. What runs is not cancelled: who is still at a task of the last
step comes to the next one's when that is done, as with real processes. Sums are computed, and
decoded from who answered; only the clock is simulated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.documents import to_markdown
from coded import (
    BatchedCouponCode,
    BernoulliCode,
    CyclicCode,
    FractionalRepetitionCode,
    GradientCode,
    GraphCode,
    PartialCode,
)
from coded.digits.images import read_digits

N = 20  # executors
SHARES = 80  # of the digits, four a block
DIGITS = 1600
TARGETS = (1e-3, 1e-5)  # of (f - f*) / f*
MOST_STEPS = 2000
CONDITION = 100.0  # of the Hessian, which the ridge brings about

Times = NDArray[np.float64]
Law = Callable[[np.random.Generator], Times]
Numbers = dict[str, Any]

LAWS: dict[str, Law] = {
    "all alike": lambda _: np.ones(N),
    "1 + Exp(1)": lambda rng: 1.0 + rng.exponential(size=N),
    "5 % ten times slower": lambda rng: np.where(rng.random(N) < 0.05, 10.0, 1.0),
}


@dataclass(frozen=True)
class Strategy:
    """A code, and when a step's answers are enough.

    Attributes
    ----------
    code : GradientCode
        Task t is for executor ``t % N``.
    wait_for : int, optional
        So many answers; None waits until the sum is exact.
    rescales : bool, optional
        Whether missing parts are taken to be like the others, without decoding.
    hedge_after : float, optional
        From then on who is idle is given the blocks of who is not; for codes with one task each.
    """

    code: GradientCode
    wait_for: int | None = None
    rescales: bool = False
    hedge_after: float | None = None

    @cached_property
    def seconds(self) -> Times:
        """What each task takes where a block takes 1."""
        return np.array([len(parts) for parts in self.code.assignment]) * N / self.code.n_parts

    def is_enough(self, tasks: NDArray[np.intp]) -> bool:
        if self.wait_for is not None and len(tasks) < self.wait_for:
            return False
        return self.rescales or self.code.can_decode(tasks)

    def weights(self, tasks: NDArray[np.intp]) -> Times:
        """Give the weight of each part in what is taken for the sum."""
        rows = self.code.encoding_matrix[tasks]
        if self.rescales:
            return rows.sum(axis=0) * (self.code.n_workers / len(tasks))
        weights: Times = self.code.decode_vector(tasks) @ rows
        return weights


STRATEGIES = {
    "wait for all": Strategy(FractionalRepetitionCode(N, 0)),
    "wait for all, hedge after 2": Strategy(FractionalRepetitionCode(N, 0), hedge_after=2.0),
    "drop the slowest 2, rescale": Strategy(
        FractionalRepetitionCode(N, 0), wait_for=N - 2, rescales=True
    ),
    "fractional repetition, wait for 19": Strategy(FractionalRepetitionCode(N, 1), wait_for=N - 1),
    "fractional repetition, until decodable": Strategy(FractionalRepetitionCode(N, 1)),
    "fractional repetition, 4 copies, until decodable": Strategy(FractionalRepetitionCode(N, 3)),
    "batched coupon, until decodable": Strategy(BatchedCouponCode(N, N // 2, 0)),
    "cyclic, until decodable": Strategy(CyclicCode(N, 1)),
    "Bernoulli, wait for 16": Strategy(BernoulliCode(N, 4, load=2), wait_for=16),
    "graph, wait for 16": Strategy(GraphCode.regular(N // 2, 4, 4), wait_for=16),
    "partial, 1 part a block": Strategy(PartialCode(N, 1, parts_each=1)),
    "partial, 4 parts a block": Strategy(PartialCode(N, 1, parts_each=4)),
}


class Clock:
    """Executors that take one task after the other; `now` is when the last step ended."""

    def __init__(self, strategy: Strategy) -> None:
        self.now = 0.0
        self._strategy = strategy
        self._free = np.zeros(N)  # when each is done with what it has begun

    def step(self, factors: Times) -> NDArray[np.intp]:
        """Do a step in which executors take so many times as long; give the tasks in time."""
        strategy = self._strategy
        own = np.arange(strategy.code.n_workers) % N
        begins = np.maximum(self._free, self.now)
        places = np.arange(strategy.code.n_workers) // N
        seconds = factors[own] * strategy.seconds
        starts = begins[own] + places * seconds
        ends = starts + seconds
        if strategy.hedge_after is not None:
            ends = self._hedged(ends, factors)
        order = np.argsort(ends, kind="stable")
        low, high = 1, len(order)  # more answers are never worse
        while low < high:
            middle = (low + high) // 2
            if strategy.is_enough(np.sort(order[:middle])):
                high = middle
            else:
                low = middle + 1
        self.now = float(ends[order[low - 1]])
        begun = starts <= self.now
        np.maximum.at(self._free, own[begun], (starts + seconds)[begun])
        return np.flatnonzero(ends <= self.now)  # with those that came at the same time

    def _hedged(self, ends: Times, factors: Times) -> Times:
        """Give who is late to who is idle; they are done for both by the first of two answers."""
        late_from = self.now + self._strategy.hedge_after
        late = np.flatnonzero(ends > late_from)
        idle = [e for e in np.argsort(ends, kind="stable") if ends[e] <= late_from]
        hedged = ends.copy()
        for task, helper in zip(late, idle, strict=False):
            done = late_from + factors[helper] * self._strategy.seconds[task]
            hedged[task] = min(ends[task], done)
            self._free[helper] = max(self._free[helper], done)
        return hedged


class Ridge:
    """The sum of squares of digits' one-hot labels, in shares; with its optimum."""

    def __init__(self) -> None:
        digits = read_digits(0).batch(0, DIGITS)
        pixels = digits.inputs[:, 0, ::2, ::2].reshape(DIGITS, -1).astype(np.float64)
        labels = np.eye(10)[digits.labels]
        gram = pixels.T @ pixels
        largest = float(np.linalg.eigvalsh(gram)[-1])
        self._ridge = largest / (CONDITION - 1.0)
        self.rate = 1.0 / (largest + self._ridge)
        shares = pixels.reshape(SHARES, -1, pixels.shape[1])
        self._grams = np.matmul(shares.transpose(0, 2, 1), shares)
        self._sides = np.matmul(shares.transpose(0, 2, 1), labels.reshape(SHARES, -1, 10))
        self._squares = float(np.sum(labels**2))
        self._gram, self._side = gram, pixels.T @ labels
        identity = np.eye(len(gram))
        self.first = np.zeros((len(gram), 10))
        self._least = self.loss(np.linalg.solve(gram + self._ridge * identity, self._side))

    def loss(self, w: Times) -> float:
        fit = np.sum(w * (self._gram @ w)) - 2.0 * np.sum(w * self._side) + self._squares
        return float(fit + self._ridge * np.sum(w**2))

    def excess(self, w: Times) -> float:
        """Give (f - f*) / f*."""
        return self.loss(w) / self._least - 1.0

    def gradient(self, w: Times, weights: Times) -> Times:
        """Give half the gradient, each part of the data by its weight."""
        if np.allclose(weights, 1.0, rtol=1e-9):
            total = self._gram @ w - self._side
        else:
            each = np.repeat(weights, SHARES // len(weights))
            total = np.tensordot(each, self._grams, 1) @ w - np.tensordot(each, self._sides, 1)
        return total + self._ridge * w


def train(ridge: Ridge, strategy: Strategy, law: Law, seed: int, most_steps: int) -> Numbers:
    """Descend to the last target, and tell when each was met."""
    rng, clock, w = np.random.default_rng(seed), Clock(strategy), ridge.first
    reached: list[float | None] = [None] * len(TARGETS)
    n_steps = 0
    while n_steps < most_steps and reached[-1] is None:
        tasks = clock.step(law(rng))
        w = w - ridge.rate * ridge.gradient(w, strategy.weights(tasks))
        n_steps += 1
        excess = ridge.excess(w)
        for i, target in enumerate(TARGETS):
            if reached[i] is None and excess <= target:
                reached[i] = round(clock.now, 2)
    return {"steps": n_steps, "step": round(clock.now / n_steps, 3), "reached": reached}


def run(*, quick: bool) -> Numbers:
    """Train by each strategy under each law."""
    ridge, most_steps = Ridge(), 5 if quick else MOST_STEPS
    return {
        law: {
            name: train(ridge, strategy, draw_factors, 0, most_steps)
            for name, strategy in STRATEGIES.items()
        }
        for law, draw_factors in LAWS.items()
    }


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the table, three columns a law."""
    header = ["strategy"]
    for law in numbers:
        header += [f"{law}: a step", *(f"to {target:g}" for target in TARGETS)]
    rows = [
        [name, *(cell for law in numbers for cell in _cells(numbers[law][name]))]
        for name in numbers["all alike"]
    ]
    caption = (
        f"Simulated seconds, where an executor takes 1 for a block, a {N}th of {DIGITS:,} digits; "
        "to an excess loss of (f - f*) / f*. Codes have two copies of each part where nothing else "
        "is told, graph codes four of parts twice as large, Bernoulli codes two in the mean. "
        f"Never: not in {MOST_STEPS:,} steps. Wait for all takes "
        f"{numbers['all alike']['wait for all']['steps']} steps, as do all that are exact."
    )
    return {"gradients": f"{to_markdown(header, rows)}\n\n{caption}"}


def _cells(result: Numbers) -> list[str]:
    reached = ("never" if time is None else f"{time:.0f}" for time in result["reached"])
    return [f"{result['step']:.2f}", *reached]


def draw(_: Numbers) -> dict[str, Figure]:
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    from bench.experiments import main

    main("gradients")
