"""On which terms a call is answered: what it waits for, how long, and when it asks again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypeAlias

from coded.arguments import read_count
from coded.runtime.goal import WaitFor

if TYPE_CHECKING:
    from coded.runtime.latencies import HedgeShare, Latencies

HedgeAfter: TypeAlias = float | Literal["p95"] | None
OnAnswer: TypeAlias = Callable[[int, float], object]
OnOutput: TypeAlias = Callable[[int, Any, float | None], object]

_MOST_RETRIES = 1000


@dataclass(frozen=True, eq=False)
class Terms:
    """What a caller says of a call beside f, inputs, code and executor; see `coded_map`.

    Attributes
    ----------
    wait_for, timeout, hedge_after, retries, on_answer, on_output
        As for `coded_map`.
    latencies : Latencies or None
        What ``hedge_after="p95"`` goes by; None leaves it to the executors.
    share : HedgeShare or None
        What limits hedges across calls.
    """

    wait_for: WaitFor = None
    timeout: float | None = None
    hedge_after: HedgeAfter = None
    retries: SupportsIndex | None = None
    on_answer: OnAnswer | None = None
    on_output: OnOutput | None = None
    latencies: Latencies | None = None
    share: HedgeShare | None = None

    def checked(self) -> Terms:
        """Give the terms with seconds as floats; TypeError or ValueError for what cannot be."""
        for name in ("on_answer", "on_output"):
            call = getattr(self, name)
            if call is not None and not callable(call):
                raise TypeError(f"{name} must be callable or None, got {call!r}; pass a function")
        retries = self.retries
        if retries is not None:
            retries = read_count(retries, "retries", at_least=0, at_most=_MOST_RETRIES)
        hedge_after = self.hedge_after
        if isinstance(hedge_after, str) and hedge_after != "p95":
            raise ValueError(
                f'hedge_after must be seconds, "p95" or None, got {hedge_after!r}; "p95" goes by '
                "the last 1,000 answers"
            )
        if not isinstance(hedge_after, str):
            hedge_after = _read_seconds(hedge_after, "hedge_after", "None asks nobody twice")
        timeout = _read_seconds(self.timeout, "timeout", "None waits without limit")
        return replace(self, timeout=timeout, hedge_after=hedge_after, retries=retries)


def _read_seconds(seconds: float | None, name: str, none: str) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, Real):
        raise TypeError(f"{name} must be a number of seconds or None, got {seconds!r}; {none}")
    if not 0.0 < seconds <= threading.TIMEOUT_MAX:
        raise ValueError(
            f"{name} must be a positive, finite number of seconds, got {seconds}; {none}"
        )
    return float(seconds)
