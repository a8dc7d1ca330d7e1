"""How the errors of workers are told."""

from __future__ import annotations

# Exceptions by which engines send a worker's traceback as text: ours, the stdlib's and Ray's.
_TRACEBACKS = ("RemoteTraceback", "_RemoteTraceback", "RayTaskError")


class RemoteTraceback(Exception):
    """The traceback of a worker's exception as text: the cause of that exception in the owner."""

    def __str__(self) -> str:
        """Show the text on lines of its own, as Python shows a traceback."""
        return f"\n{self.args[0]}"


def tell_error(error: BaseException) -> str:
    """Name and first line of an exception, and those of its first cause, which says more."""
    cause = root_cause(error)
    told = _tell_one(error)
    return told if cause is error else f"{told}, caused by {_tell_one(cause)}"


def root_cause(error: BaseException) -> BaseException:
    """Follow the causes of an exception to the first one, but not to tracebacks that are sent."""
    seen = {id(error)}
    while (cause := error.__cause__) is not None and id(cause) not in seen:
        if type(cause).__name__.startswith(_TRACEBACKS):
            break
        seen.add(id(cause))
        error = cause
    return error


def _tell_one(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as fault:  # noqa: BLE001 (a worker's exception may be unable to tell itself)
        text = f"its text cannot be given, for that raises {type(fault).__name__}"
    line = text.strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
