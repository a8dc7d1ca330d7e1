"""Every gradient code under its one name: what tests and comparisons read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coded.gradients.bernoulli import BernoulliCode
from coded.gradients.coupon import BatchedCouponCode
from coded.gradients.cyclic import CyclicCode
from coded.gradients.fractional import FractionalRepetitionCode
from coded.gradients.gradient_code import GradientCode
from coded.gradients.graph import GraphCode
from coded.gradients.partial import PartialCode
from coded.gradients.random_cyclic import RandomCyclicCode
from coded.gradients.rescaling import RescalingCode
from coded.gradients.unbiased import UnbiasedCode


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


def _make_coupon(n_workers: int, n_stragglers: int) -> BatchedCouponCode:
    """Make one with half as many copies again, in the mean, as each batch needs at least."""
    n_batches = max(1, round(n_workers / (1.5 * (n_stragglers + 1))))
    return BatchedCouponCode(n_workers, n_batches, n_stragglers)


def _make_bernoulli(n_workers: int, n_stragglers: int) -> BernoulliCode:
    """Make one with as many copies of a part, in the mean, as exact codes need."""
    return BernoulliCode(n_workers, n_stragglers, load=min(n_workers, n_stragglers + 1))


def _make_unbiased(n_workers: int, n_stragglers: int) -> UnbiasedCode:
    """Make one whose workers hold s + 1 parts, and are missing as often as s of N are."""
    load = np.arange(min(n_workers, n_stragglers + 1))
    assignment = [(n + load) % n_workers for n in range(n_workers)]
    miss = np.full(n_workers, max(n_stragglers, 0.5) / n_workers)
    return UnbiasedCode(assignment, miss, n_stragglers)


GRADIENTS: dict[str, Variant] = {
    "fractional-repetition": Variant(
        FractionalRepetitionCode, "exact once one worker of each group answered"
    ),
    "cyclic-mds": Variant(_make_cyclic, "exact from any N - s answers"),
    "cyclic-random": Variant(RandomCyclicCode, "exact from any N - s answers, of the best seed"),
    "batched-coupon": Variant(_make_coupon, "exact once each batch came from somebody"),
    "graph": Variant(_make_graph, "estimate whose error is known, exact for odd components"),
    "bernoulli": Variant(_make_bernoulli, "estimate with the best weights for who answered"),
    "unbiased": Variant(_make_unbiased, "estimate that is right in the mean over who is missing"),
    "rescaling": Variant(RescalingCode, "estimate from the parts that came, exact from all"),
    "partial": Variant(PartialCode, "exact once each part came from anybody"),
}
