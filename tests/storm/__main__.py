"""Calls while workers are killed, frozen and forked at random: ``python -m tests.storm local``.

A tormentor sends signals to worker processes, the workers misbehave by themselves, and callers go
on asking. Every call must keep its promises: no exact output is wrong, what is told of workers is
true, and it returns in time. Left alone, all workers come back, and nothing is left at the end.

The seed fixes what is asked and what is sent, but not when: processes have their own time. LitServe
always has eight clients. Exits with 1 if a promise was broken; ``test_storm`` runs this.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import logging
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from math import inf
from typing import Any

import coded  # its names are looked up when used: workers import this file too
from tests.storm.engines import ENGINES, N_WORKERS, Engine, thaw_all, tormented
from tests.storm.promises import (
    SIZES,
    TICK,
    Control,
    Question,
    Report,
    compile_decoders,
    count_left,
    draw_peaceful_question,
    draw_question,
    find_leftovers,
    judge,
    make_schemes,
    mark_processes,
)

CALLERS = {"1": 1, "8": 8, "async": 8}
_MIDDLE = SIZES[len(SIZES) // 2]
_HANGS = 120.0  # seconds that start, recovery and end may take for each kind of callers
_PEACE = 2.0  # seconds for all workers to answer; those that are not back have to be asked again


class Storm:
    """A storm over an engine: who asks and who torments, and the report of both."""

    def __init__(self, engine: Engine, report: Report, control: Control) -> None:
        self._engine, self._report, self._control = engine, report, control
        self._lock = threading.Lock()

    def blow(self, seconds: float, callers: str) -> None:
        """Torment and ask for some seconds, then see whether all recovers."""
        rng = random.Random(f"{self._report.seed} {callers}")
        rngs = [random.Random(rng.random()) for _ in range(CALLERS[callers])]
        with tormented(self._engine, rng, self._report):
            end = time.perf_counter() + seconds
            if callers == "async":
                asyncio.run(self._ask_async(rngs, end))
            else:
                with ThreadPoolExecutor(len(rngs)) as pool:
                    asking = [pool.submit(self._ask, i, rngs[i], end) for i in range(len(rngs))]
                for one in asking:
                    one.result()
        self._settle(rng, make_schemes(4)[0], _MIDDLE)

    def _settle(self, rng: random.Random, scheme: Any, size: int) -> None:
        """Ask peacefully until all workers answer."""
        began = time.perf_counter()
        end = began + self._engine.settle
        outcome: Any = None
        while (left := end - time.perf_counter()) > 0.0:
            if self._engine.thaw < inf:
                thaw_all()  # also those that a task froze which the storm had left behind
            outcome = self._call(draw_peaceful_question(rng, scheme, size, min(left, _PEACE)))
            if isinstance(outcome, coded.CodedResult) and outcome.complete:
                self._report.settled = max(self._report.settled, time.perf_counter() - began)
                return
        given_up = self._engine.given_up()
        per_executor = N_WORKERS // len(self._engine.executors)
        came = len(getattr(outcome, "responders", ()))
        if given_up and came == N_WORKERS - per_executor * given_up:
            self._report.given_up = given_up  # all others answered
            return
        self._report.violations.append(
            f"not all workers were back after {self._engine.settle:g} s: {outcome}"
        )

    def _call(self, question: Question) -> Any:
        """Call, judge and give the outcome."""
        began = time.perf_counter()
        try:
            outcome: Any = coded.coded_map(
                *question.arguments, self._engine.executors, **question.options
            )
        except Exception as error:  # noqa: BLE001 (which it may be, `judge` says)
            outcome = error
        self._enter(question, outcome, began, time.perf_counter())
        return outcome

    def warm_up(self) -> None:
        """Load what is loaded at its first use: the compiled code of splines takes long."""
        rng = random.Random(0)
        for scheme in [*make_schemes(3), *make_schemes(4)]:
            compile_decoders(scheme, draw_peaceful_question(rng, scheme, 1, 1.0).inputs)
        for scheme in make_schemes(4):
            for size in (SIZES[0], SIZES[-1]):
                self._settle(rng, scheme, size)
        asyncio.run(self._ask_async([rng], time.perf_counter() + TICK))

    def _ask(self, i: int, rng: random.Random, end: float) -> None:
        for question in self._draw(i, rng, end):
            self._call(question)

    def _draw(self, i: int, rng: random.Random, end: float) -> Iterator[Question]:
        """Make up what caller i asks until the end."""
        # One caller asks for the largest answers: to decode several at once takes this machine
        # longer than a call may take beyond its timeout.
        n_sizes = len(SIZES) - (i > 0)
        number = 0
        while time.perf_counter() < end:
            number += 1
            name = f"call {number} of caller {i}"
            yield draw_question(rng, name, self._engine.perils, n_sizes)

    async def _ask_async(self, rngs: list[random.Random], end: float) -> None:
        """Ask from as many coroutines, and look how long the event loop pauses."""

        async def ask(i: int, judges: ThreadPoolExecutor) -> None:
            for question in self._draw(i, rngs[i], end):
                began = time.perf_counter()
                try:
                    outcome: Any = await coded.coded_map_async(
                        *question.arguments, self._engine.executors, **question.options
                    )
                except Exception as error:  # noqa: BLE001 (as in `_call`)
                    outcome = error
                entry = partial(self._enter, question, outcome, began, time.perf_counter())
                await asyncio.get_running_loop().run_in_executor(judges, entry)

        with ThreadPoolExecutor(1) as judges:
            ticking = asyncio.create_task(self._tick())
            await asyncio.gather(*(ask(i, judges) for i in range(len(rngs))))
            ticking.cancel()

    async def _tick(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK)
            late = time.perf_counter() - began - TICK
            if late > self._report.pause:  # else the control need not be asked
                pause = late - self._control.stall(began)
                self._report.pause = max(self._report.pause, pause)

    def _enter(self, question: Question, outcome: Any, began: float, ended: float) -> None:
        """Judge a call, and enter it into the report."""
        seconds = ended - began
        stall = self._control.stall(began)
        broken = judge(question, outcome, seconds, stall)
        kind, retries, hedges = "not enough", 0, 0
        if isinstance(outcome, coded.CodedResult):
            kind = "complete" if outcome.complete else "incomplete"
            retries, hedges = outcome.retries, outcome.hedges
        with self._lock:
            report = self._report
            report.calls[kind] += 1
            report.retries += retries
            report.hedges += hedges
            report.overrun = max(report.overrun, seconds - question.timeout - stall)
            report.violations += [f"{question}: {one}" for one in broken]


@contextmanager
def complaints(report: Report) -> Iterator[None]:
    """Take what threads, finalizers and libraries only complain of as broken promises too."""

    def complain(args: Any) -> None:
        told = "".join(traceback.format_exception(args.exc_value))
        report.violations.append(f"an exception that nobody caught: {told}")

    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: report.violations.append(
        f"logged: {logging.Formatter().format(record)}"
    )
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook = sys.unraisablehook = complain
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        threading.excepthook, sys.unraisablehook = hooks


# ---- all together


def storm(engine: str, seconds: float, seed: int, callers: Sequence[str]) -> Report:
    """Let it storm over an engine, as long for each kind of callers, and see what is left."""
    mark_processes()
    report, warm = Report(seed), Report(seed)
    is_local = engine == "local"  # and so ours, which leaves nothing behind
    with Control() as control:
        if is_local:
            with ENGINES[engine]() as up:
                Storm(up, warm, control).warm_up()
        before = count_left() if is_local else {}
        with complaints(report) if is_local else nullcontext():
            with ENGINES[engine]() as up:
                if not is_local:
                    Storm(up, warm, control).warm_up()
                for kind in callers:
                    Storm(up, report, control).blow(seconds / len(callers), kind)
            report.violations += warm.violations + find_leftovers(before)
    return report


def main() -> int:
    """Read the command line, let it storm, and tell; last of all, when that was told."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("engine", choices=[*ENGINES, "litserve"])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--callers", choices=CALLERS, help="default: all in turn")
    given = parser.parse_args()
    _tell(f"seed {given.seed}")
    callers = [given.callers] if given.callers else list(CALLERS)
    # Whatever hangs is shown by the stacks of all threads.
    faulthandler.dump_traceback_later(given.seconds + _HANGS * len(callers), exit=True)
    with tempfile.TemporaryDirectory(prefix="storm", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        if given.engine == "litserve":
            from tests.storm.server import storm_server  # here, for LitServe is not always there

            report = storm_server(given.seconds, given.seed)
        else:
            report = storm(given.engine, given.seconds, given.seed, callers)
    for violation in report.violations:
        _tell(f"BROKEN PROMISE: {violation}")
    _tell(report)
    _tell(time.monotonic())
    return bool(report.violations)


def _tell(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
