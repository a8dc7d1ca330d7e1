"""The codes that the demo compares, and what it compares them with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from coded.schemes import codes
from coded.schemes.protocol import Scheme
from coded.schemes.registry import Setting

UNCODED = "uncoded"
HEDGED = "uncoded, hedged"
# The published LeTCC interpolates (both lam are 0), which on logits of these digits is its best
# choice of lam.
CODES = ("replication-mean", "replication-nearest", "berrut", "letcc", "spline", "kernel")
OURS = CODES[-2:]
NAMES = (
    "berrut (BACC) and letcc are as published, spline and kernel are ours; "
    "`python -m coded compare --help` names all codes"
)


@dataclass(frozen=True)
class Uncoded:
    """Every input goes to one worker, and all answers are waited for.

    Attributes
    ----------
    hedge_seconds : float or None
        After so long, inputs without an answer are asked again of workers that are idle, and the
        first answer counts (Dean, Barroso, "The Tail at Scale", CACM 56(2), 2013); None: never.
    """

    hedge_seconds: float | None = None


Strategy: TypeAlias = Scheme | Uncoded


def make_schemes(n_inputs: int, n_workers: int, n_stragglers: int) -> dict[str, Scheme]:
    """Make every code for K inputs and N workers of which S may straggle."""
    setting = Setting(n_inputs, n_workers, n_stragglers)
    return {code: codes()[code].make(setting) for code in CODES}


def make_strategies(
    n_inputs: int, n_workers: int, wait_for: int, hedge_seconds: float
) -> dict[str, Strategy]:
    """Make what races for the time to answer: uncoded, hedged, and the codes but for one.

    Replication takes the same time whatever it fills lost answers with; "nearest" is better.
    """
    schemes = make_schemes(n_inputs, n_workers, n_workers - wait_for)
    del schemes["replication-mean"]
    return {UNCODED: Uncoded(), HEDGED: Uncoded(hedge_seconds), **schemes}
