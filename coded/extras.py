"""What an optional package is missed for, and how to install it: every message of that kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec


def advise(extra: str) -> str:
    """Tell how to install an extra, from a package index or in a clone.

    Examples
    --------
    >>> advise("ray")
    'install the extra "ray": pip install "fastspline[ray]", or in a clone pip install ".[ray]"'
    """
    return (
        f'install the extra "{extra}": pip install "fastspline[{extra}]", '
        f'or in a clone pip install ".[{extra}]"'
    )


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported, without doing so; a folder of its name is none."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


@contextmanager
def needing(what: str, package: str, extra: str) -> Iterator[None]:
    """Import an optional package in this block; if it is missing, say which extra brings it.

    Parameters
    ----------
    what : str
        What cannot be used without, and its verb: the beginning of the message.
    package : str
        Its name as it is imported.
    extra : str
        The extra of ``pyproject.toml`` that brings it.

    Raises
    ------
    ImportError
        If the package is missing; one that is there and broken raises its own error.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ImportError(f"{what} {package}, which is not installed; {advise(extra)}") from error
