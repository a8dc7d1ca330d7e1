"""Coded computing: all K outputs from whichever of N workers answered."""

from importlib import import_module

# Resolved on first use (PEP 562), so that a worker process pays only for what it uses. The stub
# beside this file lists them, each on a line: from HOME import NAME as NAME  # needs PACKAGE
_STUB = __loader__.get_data(__file__ + "i").decode()
_LINES = [words for words in map(str.split, _STUB.splitlines()) if "from" in words[:1]]
_HOME = {words[3]: words[1] for words in _LINES}
_NEEDED = {words[3]: words[-1] for words in _LINES if "#" in words}

# Not what needs an extra: ``from coded import *`` works without.
__all__ = sorted(_HOME.keys() - _NEEDED.keys() - {"__version__"})


def __getattr__(name: str) -> object:
    """Import a public name from its module and keep it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from coded.extras import is_installed

    return sorted(name for name in _HOME if name not in _NEEDED or is_installed(_NEEDED[name]))
