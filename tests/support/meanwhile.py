"""Other threads at the worst moment, to see what a lock is for."""

import sys
import threading
from contextlib import contextmanager

from tests.support.worker_functions import WAIT

MOMENT = 0.2  # seconds in which a thread gets through that no lock holds up


class Meanwhile:
    """When called, once, let another thread act; go on when it has, or after a moment."""

    def __init__(self, act):
        self._act, self._thread, self._error = act, None, None

    def __call__(self):
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
            self._thread.join(MOMENT)

    def _run(self):
        try:
            self._act()
        except BaseException as error:  # noqa: BLE001 (handed to the test)
            self._error = error

    def finish(self):
        """Wait until the other thread has ended; raise what it raised."""
        assert self._thread is not None, "the moment did not come"
        self._thread.join(WAIT)
        assert not self._thread.is_alive(), "a lock was not given back"
        if self._error is not None:
            raise self._error


@contextmanager
def quick_switches():
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
