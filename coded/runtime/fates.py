"""What is said of every worker where the answers do not suffice."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import BrokenExecutor

from coded.errors import root_cause, tell_error
from coded.runtime.goal import Goal
from coded.runtime.result import Indices
from coded.schemes.job import Job
from coded.schemes.protocol import Function, NotEnoughRespondersError


def not_enough(
    job: Job,
    fn: Function,
    goal: Goal,
    responders: Indices,
    failures: dict[int, BaseException],
    waiting: Collection[int],
    seconds: float,
) -> NotEnoughRespondersError:
    """Make the error that tells every worker's fate.

    Parameters
    ----------
    job, fn, goal
        What was asked, and waited for.
    responders : ndarray of int
        Workers whose answers could be used.
    failures : dict
        Why each worker that failed did so; those that are still out failed by the timeout.
    waiting : collection of int
        Workers that are still out.
    seconds : float
        Since the first submission.
    """
    timed_out = any(n in waiting for n in failures)
    failed = [n for n in failures if n not in waiting]
    need = getattr(job, "need", None)
    lack = "cannot decode that" if need is None else f"needs {need(responders)}"
    parts = [
        f"{len(responders)} of {len(job.payloads)} workers answered within {seconds:.3g} s",
        f"{job!r} {lack}; waited for {goal.words}",
    ]
    name = getattr(fn, "__qualname__", "fn")
    if failed and isinstance(root_cause(failures[failed[0]]), ImportError):
        parts.append(f"workers, and Dask's scheduler, must be able to import what {name} needs")
    if waiting:
        parts.append(f"{len(waiting)} still out: {_list(sorted(waiting))}")
    parts.append("raise timeout or n_workers" if timed_out else "see .failures for all reasons")
    crashed = all(isinstance(failures[n], BrokenExecutor) for n in failed)
    if not len(responders) and failed and crashed:
        parts.append(
            f"processes that die at once cannot import {name}: "
            "define it at the top level of a file, not in a notebook or as a lambda, and "
            'guard the program by if __name__ == "__main__":'
        )
    lines = ["; ".join(parts)]
    if failed:
        first = tell_error(failures[failed[0]])
        told = f"{len(failed)} failed: {_list(failed)}; the first by {first}"
        if len(responders) or waiting:
            lines.append(told)
        else:  # the reason first, then what follows from it
            lines.insert(0, f"{name}: {told}")
    return NotEnoughRespondersError("\n".join(lines), responders=responders, failures=failures)


def _list(workers: Sequence[int]) -> str:
    """Write the first of many workers."""
    shown = ", ".join(str(n) for n in workers[:8])
    return shown if len(workers) <= 8 else f"{shown}, ..."
