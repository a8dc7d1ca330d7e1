"""The outputs of one call, given to the caller as soon as they are exact."""

from __future__ import annotations

from typing import Any

from coded.runtime.result import CodedResult
from coded.runtime.terms import OnOutput
from coded.schemes.job import Job


class Outputs:
    """Which outputs the caller's `on_output` has got; used by one thread."""

    def __init__(self, on_output: OnOutput) -> None:
        self._on_output = on_output
        self._told: set[int] = set()

    def tell_own(self, job: Job, n: int, answer: Any) -> None:
        """Give the outputs that the answer of a worker is by itself."""
        own_outputs = getattr(job, "own_outputs", None)
        if own_outputs is not None:
            for k, output in own_outputs(n, answer):
                self._tell(k, output, 0.0)

    def tell_rest(self, result: CodedResult) -> None:
        """Give all others."""
        for k in range(result.exact.size):
            output = _row(result.outputs, k) if result.exact.ndim else result.outputs
            estimate = None if result.std is None else float(result.std[k])
            self._tell(k, output, 0.0 if result.exact.flat[k] else estimate)

    def _tell(self, k: int, output: Any, std: float | None) -> None:
        if k not in self._told:
            self._told.add(k)
            self._on_output(k, output, std)


def _row(nest: Any, k: int) -> Any:
    """Give row k of each array of a nest, nested alike."""
    if isinstance(nest, dict):
        return {key: _row(value, k) for key, value in nest.items()}
    if isinstance(nest, tuple):
        rows = [_row(value, k) for value in nest]
        return type(nest)._make(rows) if hasattr(nest, "_make") else tuple(rows)
    return nest[k]
