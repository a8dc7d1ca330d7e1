"""The schemes, one code a file; a new one is a file with `VARIANTS` and one line here.

No scheme imports another one; what they share lies in floors below, and no worker is known here.

To add a code:

1. Copy the smallest file of its kind: `mds` where outputs are exact for some functions
   (`ExactScheme`), `berrut` where they are estimates (`LinearScheme`). Both base classes list
   what a family supplies. A code that is no linear map is any class with the methods of `Scheme`.
2. End it with `VARIANTS`: under each name a function from a `Setting` to the scheme, ValueError
   where the code cannot serve it, what is promised, and what tables call it.
3. Add the module to `_MODULES`. ``pytest tests/coded/schemes/test_contract.py -k NAME`` now
   checks it, ``python -m coded compare --codes NAME,replication-nearest`` lays it beside others,
   and the races of `bench` time it: all know codes from here alone.

Its own tests go to ``tests/coded/schemes/test_<module>.py``. To offer it to others, name the class
in ``coded/__init__.py`` and the module in the contract "no scheme imports another scheme" of
``pyproject.toml``.
"""

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
