"""What every code for secure products offers, over a prime field or over the reals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, SupportsIndex

from numpy.typing import ArrayLike

from coded.arguments import read_count
from coded.schemes.job import Job
from coded.schemes.protocol import Function


class SecureMatmulCode(ABC):
    """A code for products A B by N workers, any T of whom learn nothing, or little, of them.

    Attributes
    ----------
    n_workers : int
        N.
    min_responders : int
        R, the recovery threshold.
    """

    n_workers: int
    min_responders: int

    @property
    def n_stragglers(self) -> int:
        """How many answers may be missing."""
        return self.n_workers - self.min_responders

    @property
    @abstractmethod
    def n_colluders(self) -> int:
        """T, how many workers may pool what they were sent."""

    @property
    @abstractmethod
    def load(self) -> float:
        """What a worker computes, as a share of all."""

    @property
    @abstractmethod
    def function(self) -> Function:
        """What a worker runs on its two shares."""

    @abstractmethod
    def prepare(self, a: ArrayLike, b: ArrayLike) -> Job:
        """Read the operands, draw masks, and encode."""

    @abstractmethod
    def can_decode(self, responders: ArrayLike) -> bool:
        """Tell whether the answers of these workers give C."""

    @abstractmethod
    def amplification(self, responders: ArrayLike) -> float:
        """Tell by how much errors of these answers grow in C."""

    @abstractmethod
    def whole(self, fn: Any, a: ArrayLike, b: ArrayLike) -> Any:
        """Give the product without workers, and without secrets."""


def require_workers(n_workers: SupportsIndex, needed: int, formula: str) -> int:
    """Check N against the recovery threshold, of which the formula is told."""
    workers = read_count(n_workers, "n_workers", at_least=1)
    if workers < needed:
        raise ValueError(
            f"n_workers must be at least {formula} = {needed}, the answers that are needed, got "
            f"{workers}; add workers, cut into fewer blocks, or hide them from fewer colluders"
        )
    return workers
