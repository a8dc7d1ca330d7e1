"""What crosses between program and workers.

For each engine: bytes a task and its answer take through pipes and sockets, how often the array
is copied, how long the round trip takes beside the bare engine's, and how often a large model is
loaded. Linux.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import ray
from distributed.deploy.subprocess import SubprocessCluster
from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.engines.traffic_counts import (
    REPEATS,
    bytes_of,
    count_unix_sockets,
    filled_by,
    seconds_of,
)
from bench.engines.traffic_worker import (
    SMALLEST,
    Large,
    echo,
    give,
    make,
    owner,
    predict_on_dask,
    predict_on_ray,
    settle,
    take,
)
from bench.experiments import main
from bench.records import ROOT
from coded import LocalWorkers, RayExecutor, ReplicationScheme, TorchWorker, coded_map

SHAPES = ((1, 32, 32), (3, 224, 224), (3, 1024, 1024))  # float32: 4 kB, 600 kB, 12 MB
MODEL_BYTES, MODEL_CALLS = 45_000_000, 50
WAIT = 60.0  # seconds; nothing takes that long
WORKERS = 2

Call = Callable[[Callable[[Any], Any], Any], Any]
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Engine:
    """An engine that runs: two ways to ask it, and the processes that have a part in it.

    Attributes
    ----------
    executors : sequence of Executor
        One a worker.
    bare : callable
        ``bare(fn, values)`` is one round trip by the engine's own call.
    predict : callable
        Applies the large model in a worker, shipped as README says.
    settle : callable
        Runs `traffic_worker.settle` in all its processes but this one, and gives their ids.
    """

    executors: Sequence[Executor]
    bare: Call
    predict: Callable[[Any], Any]
    settle: Callable[[], list[int]]

    def ours(self, fn: Callable[[Any], Any], values: Any) -> Any:
        """Make one round trip by `coded_map`."""
        return self.coded(fn, values[None], n=1)[0]

    def coded(self, fn: Callable[[Any], Any], inputs: Any, n: int) -> Any:
        """Ask n workers for an input each."""
        scheme = ReplicationScheme(n, n, fallback=None)
        return coded_map(fn, inputs, scheme, self.executors, timeout=WAIT).outputs


@contextmanager
def threads(model: Large) -> Iterator[Engine]:
    with ThreadPoolExecutor(WORKERS) as pool:
        yield Engine([pool], partial(_submit, pool), TorchWorker(model), list)


@contextmanager
def local_workers(model: Large) -> Iterator[Engine]:
    """Our processes; bare is the stdlib's pool of one."""
    network = TorchWorker(model)
    with (
        LocalWorkers(WORKERS, initializer=network.load) as workers,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        workers.wait(WAIT)
        executors = [*workers.executors, pool]
        yield Engine(
            workers.executors, partial(_submit, pool), network, partial(_settle_each, executors)
        )


@contextmanager
def dask(model: Large) -> Iterator[Engine]:
    """A scheduler and workers in processes of their own."""

    class Keep(distributed.WorkerPlugin):
        def __init__(self) -> None:
            self.model = model

        def setup(self, worker: Any) -> None:
            worker.model = self.model

    with (
        SubprocessCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            dashboard_address=None,
            worker_kwargs={"dashboard": False},
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(WORKERS, timeout=WAIT)
        client.register_plugin(Keep())
        addresses = list(client.run(os.getpid))
        executors = [
            client.get_executor(pure=False, workers=[one], allow_other_workers=False)
            for one in addresses
        ]

        def bare(fn: Callable[[Any], Any], values: Any) -> Any:
            return client.submit(fn, values, pure=False, workers=addresses[:1]).result(WAIT)

        def settle_all() -> list[int]:
            return [*client.run(settle).values(), client.run_on_scheduler(settle)]

        yield Engine(executors, bare, predict_on_dask, settle_all)


@contextmanager
def on_ray(model: Large) -> Iterator[Engine]:
    ray.init("local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    try:
        executor = RayExecutor()
        remotes = {fn: ray.remote(fn) for fn in (echo, take, give, owner)}

        def bare(fn: Callable[[Any], Any], values: Any) -> Any:
            return ray.get(remotes[fn].remote(values))

        yield Engine(
            [executor],
            bare,
            partial(predict_on_ray, ray.put(model)),
            partial(_settle_each, [executor] * WORKERS),
        )
    finally:
        ray.shutdown()


ENGINES = {"threads": threads, "LocalWorkers": local_workers, "Dask": dask, "Ray": on_ray}


def _submit(pool: Executor, fn: Callable[[Any], Any], values: Any) -> Any:
    return pool.submit(fn, values).result(WAIT)


def _settle_each(executors: Sequence[Executor]) -> list[int]:
    tasks = [executor.submit(settle, 0.5) for executor in executors]
    return sorted({task.result(WAIT) for task in tasks})


# ---- what is measured


def measure(name: str, shapes: Sequence[tuple[int, ...]], repeats: int) -> Numbers:
    """Measure bytes and times of one engine."""
    count_unix_sockets()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "loads"
        with ENGINES[name](Large(MODEL_BYTES, log)) as engine:
            rows = [_measure_round_trip(engine, array, repeats) for array in _arrays(shapes)]
            model = _measure_model(engine)
            model["loads"] = sorted(Counter(log.read_text().split()).values())
    return {"engine": name, "model": model, "arrays": rows}


def count_copies(name: str, shapes: Sequence[tuple[int, ...]]) -> list[Numbers]:
    """Count the copies of arrays on one engine, in a process that has not used large ones before.

    Memory that was freed before would be used again, without page faults.
    """
    settle()
    with (
        tempfile.TemporaryDirectory() as folder,
        ENGINES[name](Large(4, Path(folder) / "loads")) as engine,
    ):
        others = engine.settle()
        return [_measure_copies(engine, array, others) for array in _arrays(shapes)]


def _arrays(shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """Make an array and a tensor of each shape."""
    return [
        make(int(np.prod(shape)), is_tensor=is_tensor).reshape(shape)
        for shape in shapes
        for is_tensor in (False, True)
    ]


def _measure_round_trip(engine: Engine, array: Any, repeats: int) -> Numbers:
    ways = {"bare": partial(engine.bare, echo), "ours": partial(engine.ours, echo)}
    for way in ways.values():
        np.testing.assert_array_equal(way(array), array)
    return {
        "bytes": array.nbytes,
        "kind": type(array).__name__,
        "seconds": dict(zip(ways, seconds_of(list(ways.values()), array, repeats), strict=True)),
        "crossed": {name: bytes_of(partial(way, array), REPEATS) for name, way in ways.items()},
        "shared": not engine.ours(owner, array),
    }


def _measure_copies(engine: Engine, array: Any, others: Sequence[int]) -> Numbers:
    """Count the copies on the way in and, of an array that the task makes, out."""
    if array.nbytes < SMALLEST:
        return {}
    size = array.reshape(-1)[:1] * 0 + np.prod(array.shape)
    copies = {}
    for name, way in (("bare", engine.bare), ("ours", engine.ours)):
        into = filled_by(partial(way, take), array, others) / array.nbytes
        out = filled_by(partial(way, give), size, others) / array.nbytes
        copies[name] = [round(into, 2), round(out - 1.0, 2)]
    return {"copies": copies}


def _measure_model(engine: Engine) -> Numbers:
    """Count the bytes of a task that asks the large model; every worker gets one a call."""
    inputs = np.arange(2.0 * WORKERS, dtype=np.float32).reshape(WORKERS, 2)
    call = partial(engine.coded, engine.predict, inputs, n=WORKERS)
    np.testing.assert_array_equal(call(), inputs)
    sent, _ = bytes_of(call, MODEL_CALLS)
    return {"bytes": MODEL_BYTES, "calls": MODEL_CALLS, "task": sent // WORKERS}


def run(*, quick: bool) -> Numbers:
    """Measure all engines, or two of them on small arrays."""
    if quick:
        return measure_all(("threads", "LocalWorkers"), SHAPES[:2], 3)
    return measure_all()


def measure_all(
    names: Sequence[str] = tuple(ENGINES),
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    repeats: int = 40,
) -> Numbers:
    """Measure engines, each in a process of its own."""
    os.environ["RAY_AUTH_MODE"] = "disabled"  # tokens are written to the home folder
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    engines = []
    for name in names:
        engine = alone(measure, name, shapes, repeats)
        for row, copies in zip(engine["arrays"], alone(count_copies, name, shapes), strict=True):
            row |= copies
        engines.append(engine)
    return {"engines": engines}


def alone(fn: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(fn, *arguments).result()


# ---- the table


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the table, and the sentences under it."""
    header = ["engine", "input", "bytes of task", "of answer", "copies in", "copies out"]
    header += ["worker's array", "round trip ms"]
    rows = [
        [engine["engine"], *_cells(row)]
        for engine in numbers["engines"]
        for row in engine["arrays"]
        if row["kind"] == "ndarray" or (row["bytes"] > 1e6 and any(row["crossed"]["ours"]))
    ]
    models = ", ".join(
        f"{engine['engine']} {engine['model']['task']:,} (loads: "
        f"{' and '.join(map(str, engine['model']['loads']))})"
        for engine in numbers["engines"]
    )
    model = numbers["engines"][0]["model"]
    caption = (
        "Float32. Bytes: of one task and its answer, through the pipes and sockets of the program "
        "that asks. Copies: memory that program, worker and scheduler newly fill to bring one "
        "array to the worker or back, in arrays, the most of several calls, counted by page "
        "faults; not what the kernel copies, nor what Ray writes where it wrote before. Round "
        "trip: there and back, medians. On the left of an arrow the bare engine: "
        "`submit(f, x).result()` of a pool (LocalWorkers: the stdlib's) or of Dask's client, "
        "`ray.get(f.remote(x))`; on the right `coded_map` with one input and one worker, encoding, "
        "checks and decoding included.\n\n"
        f"Bytes of a task that asks a model of {model['bytes'] / 1e6:.0f} MB, shipped as above, "
        f"and how often each process has loaded it after {model['calls'] + 1} calls of {WORKERS} "
        f"workers: {models}."
    )
    return {"traffic": f"{to_markdown(header, rows, words=2)}\n\n{caption}"}


def _cells(row: Numbers) -> list[str]:
    """Write one row but for the engine."""
    kind = "tensor" if row["kind"] == "Tensor" else "array"
    unit, name = (1e3, "kB") if row["bytes"] < 1e6 else (1e6, "MB")
    size = f"{row['bytes'] / unit:.3g} {name}"
    task, answer = row["crossed"]["ours"]
    copies = row.get("copies")
    counts = [
        f"{copies['bare'][i]:.1f} → {copies['ours'][i]:.1f}" if copies else "-" for i in (0, 1)
    ]
    times = " → ".join(f"{1e3 * row['seconds'][way]:.3g}" for way in ("bare", "ours"))
    where = "shared" if row["shared"] else "its own"
    return [f"{kind}, {size}", f"{task:,}", f"{answer:,}", *counts, where, times]


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (one interface for all)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("traffic")
