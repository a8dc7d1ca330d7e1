"""The schemes, one code a file; a new one is a file with `VARIANTS`, and a line in `registry`.

No scheme imports another one; what they share lies in floors below, and no worker is known here.

To add a code:

1. Copy the smallest file of its kind: `mds` where outputs are exact for some functions
   (`ExactScheme`), `berrut` where they are estimates (`LinearScheme`). Both base classes list
   what a family supplies. A code that is no linear map is any class with the methods of `Scheme`.
2. End it with `VARIANTS`: under each name a function from a `Setting` to the scheme, ValueError
   where the code cannot serve it, and what is promised. Tables call it by that name.
3. Add the module to `registry`. ``pytest tests/coded/schemes/test_contract.py -k NAME`` now
   checks it, ``python -m coded compare --codes NAME,replication-nearest`` lays it beside others,
   and the races of `bench` time it: all know codes from there alone.

Its own tests go to ``tests/coded/schemes/test_<module>.py``. To offer it to others, name the class
in ``coded/__init__.pyi`` and the module in the contract "no scheme imports another scheme" of
``pyproject.toml``.
"""

from coded.schemes.registry import codes

__all__ = ["codes"]
