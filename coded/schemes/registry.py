"""Every code under its one name: what `compare`, `recommend`, the demo and benchmarks read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, TypeAlias

from coded.schemes.protocol import Numbers, Scheme

ExactFor: TypeAlias = Literal["any", "polynomial", "linear", "none"]

_MODULES = (
    "analog_lagrange",
    "approxifer",
    "berrut",
    "bspline",
    "field_lagrange",
    "kernel",
    "lagrange",
    "mds",
    "parity",
    "product",
    "replication",
    "spline",
)


@dataclass(frozen=True)
class Setting:
    """The counts that a code is made for, written (K, N, S), and what else is known."""

    n_inputs: int
    n_workers: int
    n_stragglers: int
    degree: int | None = None  # of f, where it is a polynomial
    n_liars: int = 0  # E, how many of the answers may be wrong


@dataclass(frozen=True)
class Variant:
    """A code with its options chosen, as comparisons list it.

    Attributes
    ----------
    make : callable
        From a `Setting` to a scheme; ValueError where the code cannot serve the setting.
    exact_for : {"any", "polynomial", "linear", "none"}
        The functions whose K outputs are all exact whenever `can_decode` accepts the
        responders; "none" where outputs are estimates but for those that `exact_mask` names.
    guarantee : str
        What is promised, in a few words.
    numbers : {"real", "complex", "integer"}
        What inputs and answers are made of.
    """

    make: Callable[[Setting], Scheme]
    exact_for: ExactFor
    guarantee: str
    numbers: Numbers = "real"


def codes() -> dict[str, Variant]:
    """Give every code under its name, from each module's ``VARIANTS``.

    There is no other name for it: `compare` and ``python -m coded compare`` take it, `recommend`
    gives it, and tables show it.

    Examples
    --------
    >>> codes()["berrut"].make(Setting(4, 9, 3))
    BerrutScheme(4, 9, n_stragglers=3)
    """
    found: dict[str, Variant] = {}
    for name in _MODULES:
        found |= import_module(f"coded.schemes.{name}").VARIANTS
    return found
