"""A sweep of many tasks on a few workers of which one is killed and one freezes.

The same tasks by `coded_map`, by submitting and submitting again by hand, and by Dask's
``client.map`` as it is: how long, and how many outputs are exact. ``--quick``: fewer tasks.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from math import nan
from signal import SIGKILL, SIGSTOP
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.documents import to_markdown
from bench.experiments import main
from coded import KernelScheme, LocalWorkers, ReplicationScheme, Scheme, coded_map

WORKERS = 8
KILLED, FROZEN = 1, 2
HEDGE = 2.0  # seconds; no task takes half of that
LIMIT = 120.0
Numbers = dict[str, Any]
Ask = Callable[[NDArray[np.float64], LocalWorkers], tuple[NDArray[np.float64], int]]


def work(seconds: NDArray[np.float64]) -> float:
    """Take so long, and answer what can be checked."""
    time.sleep(float(seconds))
    return float(np.sin(7.0 * seconds))


def by_hand(inputs: NDArray[np.float64], workers: LocalWorkers) -> tuple[NDArray[np.float64], int]:
    """Give each idle worker the next task; a lost one again, and at the end one that takes long."""
    executors: list[Executor] = list(workers.executors)
    todo, idle = list(range(len(inputs)))[::-1], list(range(len(executors)))
    at: dict[Future[float], tuple[int, int, float]] = {}
    outputs, asked = np.full(len(inputs), nan), 0
    while np.isnan(outputs).any():
        now = time.perf_counter()
        if not todo:
            done_by = {k: sum(k == one for one, _, _ in at.values()) for k, _, _ in at.values()}
            late = [k for k, _, began in at.values() if now - began > HEDGE and done_by[k] == 1]
            todo = [k for k in late if np.isnan(outputs[k])]
        while todo and idle:
            k, to = todo.pop(), idle.pop(0)
            at[executors[to].submit(work, inputs[k])] = k, to, now
            asked += 1
        for future in wait(at, 0.1, FIRST_COMPLETED).done:
            k, to, _ = at.pop(future)
            idle.append(to)
            if future.exception() is None:
                outputs[k] = future.result()
            elif np.isnan(outputs[k]):
                todo.append(k)
    return outputs, asked


def by(scheme: Scheme) -> Ask:
    """Give what asks by a code, exact first; compiled before anybody waits."""
    copies = scheme.bind(np.linspace(0.0, 1.0, scheme.n_inputs))
    every = np.arange(scheme.n_workers)
    copies.decode(copies.encode(np.linspace(0.0, 1.0, scheme.n_inputs))[:-1], every[:-1])

    def ask(inputs: NDArray[np.float64], workers: LocalWorkers) -> tuple[NDArray[np.float64], int]:
        result = coded_map(
            work, inputs, scheme, workers.executors, hedge_after=HEDGE, timeout=LIMIT
        )
        outputs = np.where(result.exact, np.asarray(result.outputs), nan)
        return outputs, scheme.n_workers + result.retries + result.hedges

    return ask


def run(*, quick: bool) -> Numbers:
    """Sweep by each, in turn, on new workers each time."""
    count, repeats = (24, 1) if quick else (200, 3)
    seconds = np.random.default_rng(0).uniform(0.1, 0.3 if quick else 1.0, count)
    ways: dict[str, Ask] = {
        "submit, and submit again by hand": by_hand,
        f"`ReplicationScheme({count}, {count})`": by(ReplicationScheme(count, count)),
        f"`KernelScheme({count}, {6 * count // 5})`": by(KernelScheme(count, 6 * count // 5)),
    }
    rows: dict[str, list[Numbers]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, ask in ways.items():
            rows[name].append(_sweep(ask, seconds))
    return {"seconds": seconds.tolist(), "ways": rows}


def _sweep(ask: Ask, inputs: NDArray[np.float64]) -> Numbers:
    """Kill a worker after a fifth of the least time that the sweep takes, freeze one after two."""
    best = float(inputs.sum()) / WORKERS
    with LocalWorkers(WORKERS) as workers:
        workers.wait()
        for executor in workers.executors:  # imports
            executor.submit(work, np.zeros(())).result(LIMIT)
        victims = (workers.pids[KILLED], SIGKILL), (workers.pids[FROZEN], SIGSTOP)
        timers = [
            threading.Timer(best * share, os.kill, victim)
            for share, victim in zip((0.2, 0.4), victims, strict=True)
        ]
        began = time.perf_counter()
        for timer in timers:
            timer.start()
        outputs, asked = ask(inputs, workers)
        took = time.perf_counter() - began
        for timer in timers:
            timer.join()
    right = outputs == np.sin(7.0 * inputs)
    return {"seconds": round(took, 3), "exact": int(right.sum()), "asked": asked}


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the table."""
    count, best = len(numbers["seconds"]), sum(numbers["seconds"]) / WORKERS
    ways = numbers["ways"]
    least = {name: min(one["seconds"] for one in runs) for name, runs in ways.items()}
    hand = next(iter(least.values()))
    rows = [
        [
            name,
            f"{least[name]:.1f}",
            f"{least[name] / hand:.2f}",
            f"{min(one['exact'] for one in runs)} of {count}",
            str(max(one["asked"] for one in runs)),
        ]
        for name, runs in ways.items()
    ]
    header = ["way", "s", "of by hand", "exact", "tasks submitted"]
    caption = (
        f"{count} tasks of {min(numbers['seconds']):.1f} to {max(numbers['seconds']):.1f} s on "
        f"{WORKERS} worker processes, which would take {best:.1f} s without faults; one is killed "
        "after a fifth of that, one frozen after two fifths. By hand an idle worker gets the next "
        f"task, a lost one is given again at once, and one that takes longer than {HEDGE:g} s at "
        f"the end; the codes: `hedge_after={HEDGE:g}`. The least of "
        f"{len(next(iter(ways.values())))} interleaved runs, and the fewest exact outputs."
    )
    return {"sweep": f"{to_markdown(header, rows, words=1)}\n\n{caption}"}


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (one interface for all)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("sweep")
