"""Data-parallel training without its stragglers.

LeNet5 learns real digits from scratch. At every step eight machines (processes) give gradients of
micro-batches and two of them are late. One may wait for all of them, drop the late ones'
micro-batches, estimate their gradients by splines, or give every micro-batch to two machines. All
four are schemes of `coded_map`: the step is the mean of the K outputs.
``--quick`` takes few steps, on threads.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch.nn import functional

from bench.documents import to_markdown
from bench.experiments import main
from coded import LocalWorkers, ReplicationScheme, Scheme, SplineScheme, coded_map
from coded.demo.faults import Fault, FaultyExecutor
from coded.digits.images import Digits, read_digits
from coded.digits.lenet5 import LeNet5

PICTURE = "training.png"
MACHINES, LATE = 8, 2
LATE_SECONDS = 0.4
BATCH = 256  # digits a step, of all machines together
LEARNING_RATE = 3e-3
TRAINING = 4000  # digits; the other 1000 are for testing
LOOK = 5  # steps from one look at the test digits to the next
START_SECONDS = 120.0
SIZE, DPI = (9.6, 3.2), 100

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Strategy:
    """What is done about late machines, as a code; and how it is drawn."""

    make: Callable[[], Scheme]
    color: str  # Okabe and Ito's
    dashes: str = "-"


PATIENT = "wait for all"  # takes the same steps in every case, so it is trained once
STRATEGIES = {
    PATIENT: Strategy(lambda: ReplicationScheme(MACHINES, MACHINES, fallback=None), "black", "--"),
    "drop the late": Strategy(
        lambda: ReplicationScheme(MACHINES, MACHINES, n_stragglers=LATE, fallback="mean"), "#D55E00"
    ),
    "spline": Strategy(lambda: SplineScheme(MACHINES, MACHINES, n_stragglers=LATE), "#56B4E9"),
    "spline, two copies": Strategy(
        lambda: SplineScheme(MACHINES // 2, MACHINES, n_stragglers=LATE), "#0072B2"
    ),
}


@dataclass(frozen=True)
class Case:
    """How digits are dealt to micro-batches, and who is late."""

    is_sorted: bool  # a micro-batch holds one or two of the ten digits
    are_same: bool  # the same machines are late at every step


ANY = "any"
CASES = {
    "shuffled, any two late": Case(is_sorted=False, are_same=False),
    "sorted, any two late": Case(is_sorted=True, are_same=False),
    "sorted, the same two late": Case(is_sorted=True, are_same=True),
}


@dataclass(frozen=True, eq=False)
class Gradient:
    """The gradient of the loss of a micro-batch at these weights: what a machine computes.

    Labels are probabilities of the ten digits, so that mixtures of micro-batches, which some
    codes ask for, are micro-batches too.
    """

    weights: Weights

    def __call__(self, batch: dict[str, NDArray[np.float32]]) -> Weights:
        """Give a gradient for each of the weights; many threads may call it."""
        weights = {
            name: torch.from_numpy(value).requires_grad_() for name, value in self.weights.items()
        }
        digits, labels = torch.from_numpy(batch["digits"]), torch.from_numpy(batch["labels"])
        network = deepcopy(_network())  # functional_call puts the weights into it for a moment
        logits = torch.func.functional_call(network, weights, (digits,))
        loss = functional.cross_entropy(logits, labels)
        gradients = torch.autograd.grad(loss, list(weights.values()))
        return {name: one.numpy() for name, one in zip(weights, gradients, strict=True)}


@dataclass
class Curve:
    """One training run."""

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # of the test digits
    errors: list[float] = field(default_factory=list)  # of the gradient, relative
    accuracy: float = 0.0
    seconds: list[float] = field(default_factory=list)  # of each step
    lost: int = 0  # micro-batches without an exact gradient, all steps together


def train(
    strategy: Strategy,
    case: Case,
    executors: Sequence[Executor],
    digits: Digits,
    *,
    steps: int,
    batch: int,
    seed: int,
) -> Curve:
    """Train from scratch by Adam; equal seeds draw equal weights, batches and late machines."""
    torch.manual_seed(seed)
    model, curve, scheme = LeNet5(), Curve(), strategy.make()
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    rng, fate = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    late = fate.choice(MACHINES, LATE, replace=False)
    for step in range(steps):
        inputs = _deal(digits, rng, batch, scheme.n_inputs, is_sorted=case.is_sorted)
        late = late if case.are_same else fate.choice(MACHINES, LATE, replace=False)
        gradient = Gradient({name: w.detach().numpy() for name, w in model.named_parameters()})
        with _late(executors, late) as machines:
            began = time.perf_counter()
            result = coded_map(
                gradient,
                inputs,
                scheme,
                machines,
                wait_for=scheme.min_responders,
                timeout=START_SECONDS,
            )
            mean = {name: one.mean(axis=0) for name, one in result.outputs.items()}
            curve.seconds.append(time.perf_counter() - began)
        curve.lost += int((~result.exact).sum())
        if step % LOOK == LOOK - 1 or step == steps - 1:
            curve.errors.append(_relative_error(mean, gradient, inputs))
        for name, weight in model.named_parameters():
            weight.grad = torch.from_numpy(mean[name])
        optimiser.step()
        if step % LOOK == LOOK - 1 or step == steps - 1:
            loss, curve.accuracy = _test(model, digits)
            curve.steps.append(step + 1)
            curve.losses.append(loss)
    return curve


def _deal(
    digits: Digits, rng: np.random.Generator, batch: int, count: int, *, is_sorted: bool
) -> dict[str, NDArray[np.float32]]:
    """Draw a batch and cut it into `count` micro-batches."""
    rows = rng.choice(TRAINING, batch, replace=False)
    if is_sorted:
        rows = rows[np.argsort(digits.labels[rows], kind="stable")]
    rows = rows.reshape(count, -1)
    labels = np.eye(10, dtype=np.float32)[digits.labels[rows]]
    return {"digits": digits.inputs[rows], "labels": labels}


@contextmanager
def _late(executors: Sequence[Executor], late: NDArray[np.intp]) -> Iterator[list[Executor]]:
    """Give the machines of which some are late; when the step is over, nobody is any longer."""
    with tempfile.TemporaryDirectory(prefix="coded-") as directory:
        release = Path(directory) / "release"
        fault = Fault(LATE_SECONDS, release)
        try:
            yield [
                FaultyExecutor(executor, fault) if n in late else executor
                for n, executor in enumerate(executors)
            ]
        finally:
            release.touch()
            for n in late:  # the file is there until they have seen it
                executors[n].submit(int).result(START_SECONDS)


def _relative_error(mean: Weights, gradient: Gradient, inputs: dict[str, Any]) -> float:
    """Compare with the gradient of the whole batch."""
    whole = {name: np.concatenate(one) for name, one in inputs.items()}
    true = gradient(whole)
    error = sum(float(np.square(mean[name] - true[name]).sum()) for name in true)
    return float(np.sqrt(error / sum(float(np.square(one).sum()) for one in true.values())))


@torch.no_grad()
def _test(model: LeNet5, digits: Digits) -> tuple[float, float]:
    """Give loss and accuracy on the digits that are not trained on."""
    logits = model(torch.from_numpy(digits.inputs[TRAINING:]))
    labels = torch.from_numpy(digits.labels[TRAINING:])
    right = (logits.argmax(1) == labels).float().mean()
    return functional.cross_entropy(logits, labels).item(), right.item()


@lru_cache(maxsize=1)
def _network() -> LeNet5:
    """Give the process's network, of which only the form is used."""
    torch.set_num_threads(1)
    return LeNet5()


Curves = dict[tuple[str, str], list[Curve]]
Numbers = dict[str, Any]


def train_all(executors: Sequence[Executor], *, steps: int, batch: int, seeds: int) -> Curves:
    """Train by every strategy in every case, in turns."""
    digits = read_digits(0)
    torch.set_num_threads(1)
    curves: Curves = {(ANY, PATIENT): []}
    curves |= {(case, name): [] for case in CASES for name in STRATEGIES if name != PATIENT}
    for seed in range(seeds):
        for case, name in curves:
            dealt = CASES.get(case, Case(is_sorted=False, are_same=False))
            curve = train(
                STRATEGIES[name], dealt, executors, digits, steps=steps, batch=batch, seed=seed
            )
            curves[case, name].append(curve)
            sys.stdout.write(
                f"{case}; {name}: loss {curve.losses[-1]:.3f}, accuracy {curve.accuracy:.3f}, "
                f"{np.median(curve.seconds):.3f} s a step\n"
            )
    return curves


def tell(curves: Curves) -> str:
    """Make the table."""
    measured = ["s a step", "lost", "gradient error", "test loss", "accuracy"]
    header = ["micro-batches, machines", "strategy", *measured]
    rows = []
    for (case, name), some in curves.items():
        seconds = np.median(np.concatenate([one.seconds for one in some]))
        error = np.median(np.concatenate([one.errors for one in some]))
        loss = np.mean([one.losses[-1] for one in some])
        accuracy = np.mean([one.accuracy for one in some])
        lost = sum(one.lost for one in some) / sum(len(one.seconds) for one in some)
        told = [f"{seconds:.3f}", f"{lost:.2f}", f"{error:.2f}", f"{loss:.2f}", f"{accuracy:.3f}"]
        rows.append([case, name, *told])
    steps = next(iter(curves.values()))[0].steps[-1]
    caption = (
        f"LeNet5 from scratch by Adam, {steps:g} steps of {BATCH} digits, tested on 1,000 others, "
        f"means of {len(some)} runs; {MACHINES} worker processes on one machine, {LATE} of which "
        f"are {LATE_SECONDS} s late at each step. Two copies: {MACHINES // 2} micro-batches of "
        f"twice the size, each for two processes, twice the work. Sorted: by digit. Gradient "
        "error: median of ||g - g_all|| / ||g_all||. Lost: micro-batches a step without a gradient "
        "of their own."
    )
    return f"{to_markdown(header, rows, words=2)}\n\n{caption}"


def draw_losses(curves: Curves) -> Figure:
    """Draw a panel a case: the test loss over steps."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    for axes, case in zip(figure.subplots(1, len(CASES), sharey=True), CASES, strict=True):
        for name, strategy in STRATEGIES.items():
            some = curves[ANY if name == PATIENT else case, name]
            losses = np.mean([one.losses for one in some], axis=0)
            axes.plot(
                some[0].steps, losses, strategy.dashes, color=strategy.color, lw=1.6, label=name,
                zorder=3 if name == PATIENT else 2,
            )  # fmt: skip
        axes.set_title(case, fontsize=10)
        axes.set_xlabel("steps")
        axes.set_ylim(0.0, 3.0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("test loss")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def run_quickly() -> Curves:
    """Take two steps, on threads."""
    with ExitStack() as stack:
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(MACHINES)]
        return train_all(threads, steps=2, batch=32, seeds=1)


def run(*, quick: bool) -> Numbers:
    """Train by every strategy, and keep every curve."""
    if quick:
        curves = run_quickly()
    else:
        with LocalWorkers(MACHINES, initializer=_network) as workers:
            workers.wait(START_SECONDS)
            curves = train_all(workers.executors, steps=30, batch=BATCH, seeds=2)
    return {
        "curves": [
            {"case": case, "strategy": name, "runs": [_rounded(asdict(one)) for one in some]}
            for (case, name), some in curves.items()
        ]
    }


def _rounded(curve: Numbers) -> Numbers:
    return {
        name: [float(f"{number:.5g}") for number in value] if isinstance(value, list) else value
        for name, value in curve.items()
    }


def restore(numbers: Numbers) -> Curves:
    """Give the curves of a record."""
    return {
        (one["case"], one["strategy"]): [Curve(**curve) for curve in one["runs"]]
        for one in numbers["curves"]
    }


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the table."""
    return {"training": tell(restore(numbers))}


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw a panel a case."""
    return {PICTURE: draw_losses(restore(numbers))}


if __name__ == "__main__":
    main("training")
