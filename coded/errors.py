"""How the errors of workers are told."""

from __future__ import annotations


class RemoteTraceback(Exception):
    """The traceback of a worker's exception as text: the cause of that exception in the owner."""

    def __str__(self) -> str:
        """Show the text on lines of its own, as Python shows a traceback."""
        return f"\n{self.args[0]}"


def tell_error(error: BaseException) -> str:
    """Name and first line of an exception."""
    try:
        text = str(error)
    except Exception as fault:  # noqa: BLE001 (a worker's exception may be unable to tell itself)
        text = f"its text cannot be given, for that raises {type(fault).__name__}"
    line = text.strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
