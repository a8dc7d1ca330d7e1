"""The codes that the demo compares, and what it compares them with."""

from __future__ import annotations

from dataclasses import dataclass

from coded.runtime.goal import WaitFor
from coded.schemes import codes
from coded.schemes.protocol import Scheme
from coded.schemes.registry import Setting
from coded.schemes.replication import ReplicationScheme

UNCODED = "uncoded"
HEDGED = ", hedged"  # behind the name of a strategy
# The published LeTCC interpolates (both lam are 0), which on logits of these digits is its best
# choice of lam.
CODES = ("replication-mean", "replication-nearest", "berrut", "letcc", "spline", "kernel")
OURS = CODES[-2:]
NAMES = (
    "berrut (BACC) and letcc are as published, spline and kernel are ours; "
    "`python -m coded compare --help` names all codes"
)
# Those that race. Where exact answers are waited for, all codes of copies take the same time, and
# two stand for all; BACC takes that of LeTCC.
_EXACT = ("replication-nearest", "kernel")
_ESTIMATING = ("replication-nearest", "letcc", "spline", "kernel")


@dataclass(frozen=True, eq=False)
class Strategy:
    """How K inputs are asked for, in the words of `coded_map`.

    Attributes
    ----------
    scheme : Scheme
        The code.
    wait_for : int or "exact"
        What ends a call.
    hedge_after : float or None
        Seconds after which idle workers are asked too.
    n_executors : int
        How many of the workers may be asked.
    takes_estimates : bool
        Whether an estimate is an answer.
    """

    scheme: Scheme
    wait_for: WaitFor
    hedge_after: float | None
    n_executors: int
    takes_estimates: bool = True


def make_schemes(n_inputs: int, n_workers: int, n_stragglers: int) -> dict[str, Scheme]:
    """Make every code for K inputs and N workers of which S may straggle."""
    setting = Setting(n_inputs, n_workers, n_stragglers)
    return {code: codes()[code].make(setting) for code in CODES}


def make_strategies(
    n_inputs: int, n_workers: int, least_answers: int, hedge_seconds: float
) -> dict[str, Strategy]:
    """Make what races for the time to answer.

    First those that wait for exact answers, alone and hedged (Dean, Barroso, "The Tail at Scale",
    CACM 56(2), 2013): without a code, where hedges go to the workers beyond the first K too, with
    copies and with a code. Then those that decode from `least_answers` and estimate the rest.
    """
    setting = Setting(n_inputs, n_workers, n_workers - least_answers)
    schemes = {code: codes()[code].make(setting) for code in _ESTIMATING}
    uncoded = ReplicationScheme(n_inputs, n_inputs)
    strategies = {
        UNCODED: Strategy(uncoded, "exact", None, n_inputs, takes_estimates=False),
        UNCODED + HEDGED: Strategy(
            uncoded, "exact", hedge_seconds, n_workers, takes_estimates=False
        ),
    }
    for code in _EXACT:
        strategies[code] = Strategy(schemes[code], "exact", None, n_workers)
        strategies[code + HEDGED] = Strategy(schemes[code], "exact", hedge_seconds, n_workers)
    for code in _ESTIMATING:
        key = f"{code}, {least_answers} answers"
        strategies[key] = Strategy(schemes[code], least_answers, None, n_workers)
    return strategies
