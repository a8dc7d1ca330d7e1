"""The schemes, one code a file; a new one is a file with `VARIANTS` and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coded.schemes.variants import Variant

_MODULES = (
    "analog_lagrange",
    "approxifer",
    "berrut",
    "field_lagrange",
    "kernel",
    "lagrange",
    "mds",
    "parity",
    "product",
    "replication",
    "spline",
)


def codes() -> dict[str, Variant]:
    """Give every code under the name that tests, benchmarks and comparisons call it by.

    Each module's ``VARIANTS``, from a name to a `Variant`.

    Examples
    --------
    >>> from coded.schemes.variants import Setting
    >>> codes()["berrut"].make(Setting(4, 9, 3))
    BerrutScheme(4, 9, n_stragglers=3)
    """
    found: dict[str, Variant] = {}
    for name in _MODULES:
        found |= import_module(f"coded.schemes.{name}").VARIANTS
    return found
