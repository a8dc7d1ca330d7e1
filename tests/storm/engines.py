"""Where a storm blows: what workers do in it, what is sent to them, and the engines.

Little is imported on top, for workers import this as they start.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

if TYPE_CHECKING:
    from tests.storm.promises import Report

N_WORKERS = 8
START = 60.0  # seconds for an engine to be up
PATIENCE = 1.0  # seconds after which LocalWorkers replaces a process that is at a task
_FORK_LIVES = 3.0  # seconds
_LONGEST_FUSE = 0.004  # seconds; 8 MB take that long to be written
_LULL = 1.5  # seconds between gusts at most
_CALM = 0.1  # of the gaps are lulls


@dataclass(frozen=True)
class Engine:
    """An engine that is up.

    Attributes
    ----------
    executors : sequence of Executor
    pids : callable
        Gives the processes that may be signalled, all of them ours at this moment.
    weights : mapping of Signals to int
        How often which signal may be sent.
    gap : float
        Seconds between two signals on average: more where processes take long to come up.
    perils : sequence of str
        What may befall a worker in its task, of `PERILS`.
    thaw : float
        Seconds after which all frozen processes are continued; inf where the engine replaces them.
    settle : float
        Seconds in which all workers are back once nobody molests them.
    given_up : callable
        Counts the executors whose workers the engine itself has given up for good.
    """

    executors: Sequence[Executor]
    pids: Callable[[], list[int]]
    weights: Mapping[Signals, int]
    gap: float
    perils: Sequence[str]
    thaw: float
    settle: float
    given_up: Callable[[], int] = int


# ---- what workers do


def line(x: Any, size: int) -> np.ndarray:
    """Give f(x), linear in x, so that codes for linear f are exact; each number tells of x."""
    return x[0] * np.arange(float(size)) + x[1]


def perilous(x: Any, *, size: int, peril: float, perils: Sequence[str], name: str) -> Any:
    """Give f(x), unless something happens to the worker, which it does with probability `peril`."""
    answer = line(x, size)
    if random.random() < peril:
        spoilt = PERILS[random.choice(perils)](name)
        return answer if spoilt is None else spoilt
    return answer


class UnreadableError(Exception):
    """An error that pickles, but cannot be unpickled."""

    def __init__(self, name: str, _: str) -> None:
        super().__init__(name)


def _nap(_: str) -> None:
    time.sleep(random.uniform(0.0, 0.2))


def _die(_: str) -> None:
    os.kill(os.getpid(), SIGKILL)


def _leave(_: str) -> None:
    os._exit(1)


def _fork(_: str) -> None:
    if os.fork() == 0:
        try:
            time.sleep(_FORK_LIVES)
        finally:
            os._exit(0)


def _fork_and_die(name: str) -> None:
    _fork(name)
    _die(name)


def _raise(name: str) -> None:
    raise ArithmeticError(name)


def _raise_unreadable(name: str) -> None:
    raise UnreadableError(name, "")


def _answer_nan(_: str) -> float:
    return np.nan


def _light_fuse(do: Callable[[], object]) -> None:
    """Do something a little later, mostly while the answer is being written."""

    def burn() -> None:
        time.sleep(random.uniform(0.0, _LONGEST_FUSE))
        do()

    threading.Thread(target=burn, daemon=True).start()


PERILS: dict[str, Callable[[str], Any]] = {
    "nap": _nap,
    "die": _die,
    "leave": _leave,
    "fork": _fork,
    "fork and die": _fork_and_die,
    "raise": _raise,
    "raise unreadable": _raise_unreadable,
    "nan": _answer_nan,
    "die late": lambda name: _light_fuse(lambda: _die(name)),
    "leave late": lambda name: _light_fuse(lambda: _leave(name)),
    "freeze late": lambda _: _light_fuse(lambda: os.kill(os.getpid(), SIGSTOP)),
}


def start_perilously() -> None:
    """Die in one start of ten; an initializer."""
    if random.random() < 0.1:
        random.choice([_die, _leave])("")


# ---- what is sent to them

LOCAL_WEIGHTS = {SIGKILL: 3, SIGTERM: 2, SIGSTOP: 2, SIGCONT: 2}
CLUSTER_WEIGHTS = {SIGKILL: 2, SIGTERM: 1, SIGSTOP: 3, SIGCONT: 2}


@contextmanager
def tormented(engine: Engine, rng: random.Random, report: Report) -> Iterator[None]:
    """Send signals to an engine's processes meanwhile."""
    over = threading.Event()
    thread = threading.Thread(target=_torment, args=(engine, rng, report, over), name="tormentor")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _torment(engine: Engine, rng: random.Random, report: Report, over: threading.Event) -> None:
    """Send signals in gusts until it is over, and thaw the frozen where nobody replaces them."""
    kinds, weights = zip(*engine.weights.items(), strict=True)
    thaw = time.perf_counter() + engine.thaw
    while not over.wait(_draw_gap(rng, engine.gap)):
        pids = engine.pids()
        report.pids.update(pids)
        if time.perf_counter() > thaw:
            thaw_all()
            thaw = time.perf_counter() + engine.thaw
        if pids:
            kind = rng.choices(kinds, weights)[0]
            report.signals[kind.name] += _send([rng.choice(pids)], kind)


def _draw_gap(rng: random.Random, gap: float) -> float:
    """Seconds until the next signal: in gusts, between which workers come up."""
    return rng.uniform(0.0, _LULL) if rng.random() < _CALM else rng.expovariate(1.0 / gap)


def thaw_all() -> None:
    """Continue all processes under this one, those that are starting too."""
    _send([one.pid for one in psutil.Process().children(recursive=True)], SIGCONT)


def _send(pids: Sequence[int], kind: Signals) -> int:
    """Send a signal to those that are still there; give how many are."""
    sent = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, kind)
            sent += 1
    return sent


# ---- engines


@contextmanager
def open_local() -> Iterator[Engine]:
    """LocalWorkers: whatever happens, its processes come back."""
    from coded import LocalWorkers

    with LocalWorkers(N_WORKERS, initializer=start_perilously, patience=PATIENCE) as workers:
        yield Engine(
            executors=workers.executors,
            # Not other children: one that is frozen between fork and exec freezes its parent, for
            # Python waits for the exec with the GIL held.
            pids=lambda: [pid for pid in workers.pids if _parent(pid) == os.getpid()],
            weights=LOCAL_WEIGHTS,
            gap=0.03,
            perils=list(PERILS),
            thaw=inf,
            settle=20.0,
        )


@contextmanager
def open_dask() -> Iterator[Engine]:
    """Dask: its nannies start dead workers again, under the same names; nobody sees frozen ones.

    A nanny whose worker dies again while it starts gives up, now and then.
    """
    import dask
    import distributed

    names = [f"w{n}" for n in range(N_WORKERS // 2)]
    settings = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.admin.tick.limit": "60s",
        # Else a worker is given up that happens to be down 15 s after one of its deaths.
        "distributed.deploy.lost-worker-timeout": "1 hour",
    }
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard_address": ":0"}}
    worker = {"cls": distributed.Nanny, "options": {"nthreads": 1, "dashboard": False}}
    workers = dict.fromkeys(names, worker)
    with (
        dask.config.set(settings),
        distributed.SpecCluster(workers, scheduler, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(len(names), timeout=START)
        yield Engine(
            executors=[
                client.get_executor(pure=False, workers=[name], allow_other_workers=False)
                for name in names
            ],
            pids=partial(_find_dask_workers, cluster.workers),
            weights=CLUSTER_WEIGHTS,
            gap=0.3,
            perils=list(PERILS),
            thaw=1.5,
            settle=60.0,
            given_up=partial(_count_missing, cluster.scheduler, names),
        )


@contextmanager
def open_ray() -> Iterator[Engine]:
    """Ray on this machine: dead workers are replaced; forks it does not support."""
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    import ray

    from coded import RayExecutor

    places = {f"place {n}": 1 for n in range(N_WORKERS // 2)}
    ray.init(
        num_cpus=len(places),
        resources=places,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=1 << 30,
    )
    try:
        yield Engine(
            executors=[RayExecutor(resources={place: 1}) for place in places],
            pids=_find_ray_workers,
            weights=CLUSTER_WEIGHTS,
            gap=0.3,
            perils=[name for name in PERILS if not name.startswith("fork")],
            thaw=1.5,
            settle=60.0,
        )
    finally:
        ray.shutdown()


ENGINES = {"local": open_local, "dask": open_dask, "ray": open_ray}


def _parent(pid: int) -> int:
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return 0


def _count_missing(scheduler: Any, names: Sequence[str]) -> int:
    """Count the workers that Dask's scheduler does not know any more."""
    return len(set(names) - {worker.name for worker in list(scheduler.workers.values())})


def _find_dask_workers(nannies: Mapping[str, Any]) -> list[int]:
    """Give the workers that are up: a nanny whose worker dies as it starts gives up."""
    running = [nanny.process for nanny in nannies.values() if nanny.process is not None]
    return [one.pid for one in running if one.status.name == "running" and one.pid is not None]


def _find_ray_workers() -> list[int]:
    """Give Ray's worker processes, but not its agents, with which the node ends."""
    below = {one.pid: _command(one) for one in psutil.Process().children(recursive=True)}
    return [
        pid
        for pid, command in below.items()
        if command.startswith("ray::") and not command.rstrip().endswith("Agent")
    ]


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):  # it has just ended
        return " ".join(process.cmdline())
    return ""
