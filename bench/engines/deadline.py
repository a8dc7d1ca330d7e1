"""What it costs to wait for exact answers, beside taking the first K and estimating the rest.

A `CodedModel` labels batches of 1 to 16 digits by LeNet5, on healthy workers whose service times
follow four laws. Each call begins with idle workers, and every way of waiting has workers of its
own, with the same service times. Workers are threads that sleep and know the logits beforehand, so
that few processors are enough. ``--quick`` asks for few batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.documents import to_markdown
from bench.experiments import main
from coded import CodedModel, KernelScheme, ParetoDelays, ReplicationScheme, Scheme, TorchWorker
from coded.digits.images import Digits, read_digits
from coded.digits.lenet5 import compute_serially, load

SECONDS = 0.02  # that a task takes
JITTER = 0.005
PARETO = ParetoDelays(scale=SECONDS, shape=1.1, cap=1.0)
SLOWER = 10.0  # times, one worker
SIZES = range(1, 17)  # of batches, in turn
REPEATS = 12
CODES: dict[str, type[Scheme]] = {"KernelScheme": KernelScheme, "copies": ReplicationScheme}
WAYS = ("exact", "hedged", "K answers")

Rng = np.random.Generator
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Law:
    """How long tasks take.

    Attributes
    ----------
    draw : callable
        ``draw(worker, rng)`` gives seconds.
    counts : sequence of (int, int)
        K and N: two and three workers an input.
    """

    draw: Callable[[int, Rng], float]
    counts: Sequence[tuple[int, int]] = ((4, 8), (2, 6))


def _jitter(worker: int, rng: Rng) -> float:  # noqa: ARG001 (as all laws)
    return max(rng.normal(SECONDS, JITTER), 0.0)


LAWS = {
    "random order": Law(lambda _, rng: rng.exponential(SECONDS)),
    "jitter": Law(_jitter),
    "heavy tail": Law(lambda _, rng: float(PARETO.draw(1, rng)[0])),
    "one slow worker": Law(
        lambda worker, rng: _jitter(worker, rng) * (SLOWER if worker == 0 else 1.0),
        ((5, 10), (4, 12)),
    ),
}


class Sleeper(Executor):
    """A worker whose tasks take the times of a law."""

    def __init__(self, law: Law, worker: int) -> None:
        self._law, self._worker = law, worker
        self._pool = ThreadPoolExecutor(1)
        self.begin(0)

    def begin(self, batch: int) -> None:
        """Be idle, and take the times of this batch from now on, whoever asks."""
        self._pool.submit(int).result()
        self._rng = np.random.default_rng([batch, self._worker])

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a task."""
        return self._pool.submit(self._serve, fn, *args, **kwargs)

    def _serve(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> object:
        time.sleep(self._law.draw(self._worker, self._rng))
        return fn(*args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 (as Executor)
        """End the thread."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


class Network:
    """LeNet5 on digits, computed beforehand."""

    def __init__(self, digits: Digits) -> None:
        compute_serially()
        self.logits = np.asarray(TorchWorker(load, batched=True)(digits.inputs))
        self.labels = self.logits.argmax(axis=1)
        self._row = {image.tobytes(): i for i, image in enumerate(digits.inputs)}

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.floating]:
        """Give the logits of one digit."""
        return self.logits[self._row[image.tobytes()]]


@dataclass
class Stream:
    """What one model gave for all batches.

    Attributes
    ----------
    seconds : list of float
        Of each batch.
    estimated, changed : int
        How many labels were no worker's answer, and how many were not the network's own.
    hedges : int
        How many tasks were asked again.
    """

    seconds: list[float]
    estimated: int = 0
    changed: int = 0
    hedges: int = 0


def ask(
    law: Law, scheme: Scheme, way: str, network: Network, batches: Sequence[NDArray[np.intp]],
    inputs: NDArray[np.float32],
) -> Stream:  # fmt: skip
    """Let one model answer the batches, which are rows of the digits, one after the other."""
    stream = Stream([])
    with ExitStack() as stack:
        workers = [stack.enter_context(Sleeper(law, n)) for n in range(scheme.n_workers)]
        model = CodedModel(
            network,
            scheme,
            workers,
            wait_for=scheme.n_inputs if way == "K answers" else "exact",
            hedge_after="p95" if way == "hedged" else None,
        )
        model.run(inputs[: SIZES[-1]])  # compiles
        for i, rows in enumerate(batches):
            for worker in workers:
                worker.begin(i)
            began = time.perf_counter()
            batch = model.run(inputs[rows])
            stream.seconds.append(round(time.perf_counter() - began, 5))
            labels = np.asarray(batch.outputs).argmax(axis=1)
            stream.estimated += int((~batch.exact).sum())
            stream.changed += int((labels != network.labels[rows]).sum())
        stream.hedges = model.counters["hedges"]
    return stream


def deal(sizes: Sequence[int]) -> list[NDArray[np.intp]]:
    """Give the rows of batches, one after the other."""
    ends = np.cumsum(sizes)
    return [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def run(*, quick: bool) -> Numbers:
    """Ask under each law and at each size, in all ways and by all codes at once."""
    batches = deal(SIZES[::5] if quick else REPEATS * [*SIZES])
    digits = read_digits(0)
    network = Network(digits)
    models = [(way, code) for way in WAYS for code in CODES]
    rows = []
    for name, law in LAWS.items():
        for k, n in law.counts[: 1 if quick else None]:
            with ThreadPoolExecutor(len(models)) as pool:
                asked = {
                    (way, code): pool.submit(
                        ask, law, CODES[code](k, n), way, network, batches, digits.inputs
                    )
                    for way, code in models
                }
                streams = [
                    {"way": way, "code": code, **asdict(future.result())}
                    for (way, code), future in asked.items()
                ]
            rows.append({"law": name, "k": k, "n": n, "streams": streams})
    return {"digits": sum(map(len, batches)), "rows": rows}


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the table."""
    header = ["service times", "K, N"]
    header += ["exact: p50 s", "p99 s", "labels changed"]
    header += ["hedged: p50 s", "p99 s", "labels changed", "hedges a batch"]
    header += ["K answers: p50 s", "p99 s", "estimated", "labels changed: KernelScheme", "copies"]
    rows = [
        [row["law"], f"{row['k']}, {row['n']}", *_tell_row(row["streams"], numbers["digits"])]
        for row in numbers["rows"]
    ]
    return {"deadline": f"{to_markdown(header, rows, words=2)}\n\n{_caption(numbers)}"}


def _tell_row(streams: Sequence[Numbers], n_digits: int) -> list[str]:
    told = []
    for way in WAYS:
        some = [one for one in streams if one["way"] == way]
        seconds = np.concatenate([one["seconds"] for one in some])
        told += [f"{value:.3f}" for value in np.quantile(seconds, [0.5, 0.99])]
        if way == "K answers":
            estimated = np.mean([one["estimated"] for one in some])
            told.append(f"{estimated / n_digits:.1%}")
            told += [f"{one['changed'] / n_digits:.1%}" for one in some]
        else:
            told.append(str(sum(one["changed"] for one in some)))
        if way == "hedged":
            told.append(f"{sum(one['hedges'] for one in some) / len(seconds):.2f}")
    return told


def _caption(numbers: Numbers) -> str:
    n_batches = len(numbers["rows"][0]["streams"][0]["seconds"])
    return (
        f"CodedModel on healthy workers: {n_batches} batches of {SIZES[0]} to {SIZES[-1]} digits, "
        f"{numbers['digits']:,} labels by LeNet5, for KernelScheme(K, N) and copies each. Times "
        "are of a batch, of both codes together; each call begins with idle workers. Changed: not "
        "the network's own label; where exact answers are waited for as a number of labels of both "
        f"codes. Random order: exponential service times of {1000 * SECONDS:g} ms; jitter: "
        f"{1000 * SECONDS:g} ± {1000 * JITTER:g} ms, normal; heavy tail: {PARETO}; one slow "
        f"worker: jitter, and one worker {SLOWER:g} times as slow. Hedged: "
        'hedge_after="p95". K answers: wait_for=K.'
    )


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (as all experiments)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("deadline")
