"""`CodedResult`: what a coded call gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coded.errors import tell_error

Indices: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, eq=False, repr=False)
class CodedResult:
    """The outputs of one `coded_map`, and what became of every worker.

    Attributes
    ----------
    outputs : array, shape (K, ...), or tuples and dicts of arrays
        Decoded, in the kind, dtype and nesting of the answers.
    complete : bool
        Whether `wait_for` was met; else this is what could be made of the answers in time.
    responders : ndarray of int, shape (R,)
        Workers whose answers were used, ascending.
    stragglers : ndarray of int, shape (N - R,)
        All other workers, ascending: late or failed.
    latencies : ndarray of float, shape (N,)
        Seconds from submission to answer, nan where no answer was used.
    failures : dict of int to exception
        Why each worker that failed did so, in the order of events. A worker that was still out
        at the timeout has a TimeoutError; one that nobody waited for any longer is not in it.
        Tracebacks print, but the frames of the worker's functions have been cleared.
    exact : ndarray of bool, shape (K,), or () where a job has one output
        Which outputs are exact answers, not estimates.
    std : ndarray of float, shape (K,), or None
        The errors ``||output_k - f(x_k)||_2`` that are to be expected, as root mean squares, 0
        where exact; None where the scheme gives none.
    retries, hedges : int
        How many tasks were asked again because they were lost, and because they took long.
    """

    outputs: Any
    complete: bool
    responders: Indices
    stragglers: Indices
    latencies: NDArray[np.float64]
    failures: dict[int, BaseException]
    exact: NDArray[np.bool_]
    std: NDArray[np.float64] | None = None
    retries: int = 0
    hedges: int = 0

    def __repr__(self) -> str:
        """One line with shapes and counts, and the largest error to be expected."""
        largest = ""
        if self.std is not None and not self.exact.all():
            largest = f", largest std={self.std.max():.3g}"
        return (
            f"CodedResult(outputs={_tell_outputs(self.outputs)}, "
            f"complete={self.complete}, responders={len(self.responders)} of "
            f"{len(self.latencies)}, failures={len(self.failures)}, "
            f"exact={int(self.exact.sum())} of {self.exact.size}{largest})"
        )

    def __str__(self) -> str:
        """Draw a small table: who answered when, who is late, who failed and why."""
        late = [int(n) for n in self.stragglers if n not in self.failures]
        answered = sorted(self.responders, key=lambda n: float(self.latencies[n]))
        rows = [repr(self)]
        rows += [f"  worker {n:3d}  answered after {self.latencies[n]:.3f} s" for n in answered]
        rows += [f"  worker {n:3d}  not waited for" for n in late]
        rows += [f"  worker {n:3d}  {tell_error(error)}" for n, error in self.failures.items()]
        return "\n".join(rows)


def _tell_outputs(outputs: Any) -> str:
    """Give shapes and dtypes as the outputs are nested."""
    if isinstance(outputs, dict):
        return "{" + ", ".join(f"{k!r}: {_tell_outputs(v)}" for k, v in outputs.items()) + "}"
    if isinstance(outputs, tuple):
        return f"({', '.join(map(_tell_outputs, outputs))})"
    if not hasattr(outputs, "dtype"):
        return type(outputs).__name__
    return f"{tuple(outputs.shape)} {outputs.dtype}"
