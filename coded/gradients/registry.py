"""Every gradient code under its one name: what tests and comparisons read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coded.gradients.cyclic import CyclicCode
from coded.gradients.fractional import FractionalRepetitionCode
from coded.gradients.gradient_code import GradientCode
from coded.gradients.graph import GraphCode
from coded.gradients.partial import PartialCode
from coded.gradients.random_cyclic import RandomCyclicCode


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


def _make_graph(n_executors: int, n_stragglers: int) -> GraphCode:
    """Make one with 4 copies a part where there are workers enough, else a circle."""
    if n_executors % 2 == 0 and n_executors >= 12:
        return GraphCode.regular(n_executors // 2, 4, n_stragglers)
    return GraphCode.regular(n_executors, 2, n_stragglers)


def _make_cyclic(n_workers: int, n_stragglers: int) -> CyclicCode:
    """Make one with real weights, for one more straggler where these would be complex."""
    has_real = n_stragglers == 0 or (n_workers - n_stragglers) % 2 == 1
    return CyclicCode(n_workers, n_stragglers if has_real else n_stragglers + 1)


GRADIENTS: dict[str, Variant] = {
    "fractional-repetition": Variant(
        FractionalRepetitionCode, "exact once one worker of each group answered"
    ),
    "cyclic-mds": Variant(_make_cyclic, "exact from any N - s answers"),
    "cyclic-random": Variant(RandomCyclicCode, "exact from any N - s answers, of the best seed"),
    "graph": Variant(_make_graph, "estimate whose error is known, exact for odd components"),
    "partial": Variant(PartialCode, "exact once each part came from anybody"),
}
