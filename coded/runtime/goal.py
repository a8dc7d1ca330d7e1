"""What a call waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import SupportsIndex, TypeAlias

from coded.arguments import read_count
from coded.runtime.result import Indices
from coded.schemes.job import Code, Job

IsEnough: TypeAlias = Callable[[Indices], bool]


@dataclass(frozen=True)
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
    """

    least: int
    words: str
    predicate: IsEnough | None = None

    def is_met(self, responders: Indices) -> bool:
        """Whether these responders are enough."""
        if len(responders) < self.least:
            return False
        return self.predicate is None or _ask(self.predicate, responders)


def read_wait_for(wait_for: SupportsIndex | IsEnough | None, code: Code) -> Goal | None:
    """Give what the caller waits for as a goal, after checks; None leaves it to the job."""
    if wait_for is None:
        return None
    if callable(wait_for):
        return Goal(1, "the predicate wait_for", wait_for)
    return _goal_of(read_count(wait_for, "wait_for", at_least=1, at_most=code.n_workers))


def goal_of(job: Job) -> Goal:
    """Give what is waited for where the caller does not say."""
    return _goal_of(job.min_responders)


def _goal_of(least: int) -> Goal:
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
