"""Every gradient code under its one name: what tests and comparisons read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coded.gradients.cyclic import CyclicCode
from coded.gradients.fractional import FractionalRepetitionCode
from coded.gradients.gradient_code import GradientCode


@dataclass(frozen=True)
class Variant:
    """A gradient code with its options chosen, as comparisons list it.

    Attributes
    ----------
    make : callable
        ``make(n_executors, n_stragglers)``: a code for so many executors of which so many may be
        lost; ValueError where it cannot serve that.
    guarantee : str
        What is promised, in a few words.
    """

    make: Callable[[int, int], GradientCode]
    guarantee: str


GRADIENTS: dict[str, Variant] = {
    "fractional-repetition": Variant(
        FractionalRepetitionCode, "exact once one worker of each group answered"
    ),
    "cyclic-mds": Variant(CyclicCode, "exact from any N - s answers"),
}
