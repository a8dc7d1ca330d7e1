"""What a call waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coded.runtime.result import Indices

IsEnough: TypeAlias = Callable[[Indices], bool]
WaitFor: TypeAlias = SupportsIndex | Literal["exact"] | IsEnough | None


@dataclass(frozen=True, eq=False)
class Goal:
    """What the caller wants of the answers, beside that they can be decoded.

    Attributes
    ----------
    least : int
        Fewer answers are never enough.
    words : str
        What is waited for, as errors tell it.
    predicate : callable, optional
        Whether these responders are enough.
    exact : callable, optional
        Which outputs are exact answers with these responders; None where that is no matter.
    """

    least: int
    words: str
    predicate: IsEnough | None = None
    exact: Callable[[Indices], NDArray[np.bool_]] | None = None

    def is_met(self, responders: Indices) -> bool:
        """Whether these responders are enough."""
        if len(responders) < self.least:
            return False
        return self.predicate is None or _ask(self.predicate, responders)


def count(least: int) -> Goal:
    """Wait for so many answers."""
    return Goal(least, f"{least} answer{'s' * (least > 1)}")


def _ask(wait_for: IsEnough, responders: Indices) -> bool:
    """Ask the caller's predicate for True or False."""
    answer = wait_for(responders)
    try:
        return bool(answer)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"wait_for must return True or False, but gave a {type(answer).__name__} without a "
            "truth value; reduce it, for example by .all() or .any()"
        ) from error
