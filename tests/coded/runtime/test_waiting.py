"""A call that is begun in one thread and cancelled in others."""

from concurrent.futures import Executor, Future

import pytest

from coded import ReplicationScheme
from coded.runtime.request import read_request
from coded.runtime.scheme_job import SchemeCode
from coded.runtime.terms import Terms
from coded.runtime.waiting_async import _BegunAside
from tests.support.meanwhile import Meanwhile
from tests.support.worker_functions import double


class Watched(Future):
    """Another thread acts as it is cancelled."""

    moment = None

    def cancel(self):
        cancelled = super().cancel()
        if self.moment is not None:
            self.moment()
        return cancelled


class Given(Executor):
    """Keeps what it is given under way; something happens as the first task comes."""

    def __init__(self, moment, at_first=lambda: None):
        self.futures, self.moment, self.at_first = [], moment, at_first

    def submit(self, fn, /, *args, **kwargs):  # noqa: ARG002 (nobody computes)
        if not self.futures:
            self.at_first()
        self.futures.append(Watched())
        self.futures[-1].moment = self.moment
        return self.futures[-1]


@pytest.mark.parametrize("when", ["begun", "being begun"])
def test_a_call_may_be_cancelled_while_another_thread_cancels_it(when):
    begun = _BegunAside(lambda _: None)
    moment = Meanwhile(begun.cancel)
    executor = Given(moment, begun.cancel if when == "being begun" else lambda: None)
    code = SchemeCode(ReplicationScheme(2, 4, fallback=None))
    begun.begin(
        lambda: read_request(
            double, ([1.0, 2.0],), code, executor, Terms(wait_for=None, timeout=None)
        )
    )
    begun.cancel()
    moment.finish()
    assert len(executor.futures) == 4
    assert all(future.cancelled() for future in executor.futures)
