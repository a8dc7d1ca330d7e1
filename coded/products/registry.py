"""Every code for matrix products under its one name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coded.products.matmul_code import MatmulCode

_MODULES = ("khatri_rao", "mds", "rotation")


@dataclass(frozen=True)
class MatmulSetting:
    """What a code is made for: C in m x n blocks, N workers."""

    m: int
    n: int
    n_workers: int


@dataclass(frozen=True)
class MatmulVariant:
    """A code as comparisons list it.

    Attributes
    ----------
    make : callable
        From a `MatmulSetting` to a code; ValueError where it cannot serve the setting.
    guarantee : str
        What is promised, in a few words.
    """

    make: Callable[[MatmulSetting], MatmulCode]
    guarantee: str


def matmul_codes() -> dict[str, MatmulVariant]:
    """Give every code for products under its name, from each module's ``VARIANTS``.

    Examples
    --------
    >>> matmul_codes()["mds-rows"].make(MatmulSetting(2, 2, 6))
    MDSMatmulCode(4, 6)
    """
    found: dict[str, MatmulVariant] = {}
    for name in _MODULES:
        found |= import_module(f"coded.products.{name}").VARIANTS
    return found
