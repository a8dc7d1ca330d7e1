"""Python's garbage collector, kept from looking through much that stays."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Let no round begin meanwhile; what was made is old afterwards, and not looked through soon.

    Rounds take a sixth of the time that numba compiles, and a tenth of that it is imported.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            if not gc.get_freeze_count():  # else nothing of the caller's may thaw
                gc.freeze()  # both: what is young is old now
                gc.unfreeze()
            gc.enable()
