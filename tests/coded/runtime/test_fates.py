"""The error of a call that cannot be decoded: which advice it gives, and where it would mislead."""

from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from coded import ReplicationScheme
from coded.errors import RemoteTraceback
from coded.runtime.fates import not_enough
from coded.runtime.request import read_wait_for
from coded.runtime.scheme_job import SchemeCode
from tests.support.worker_functions import double

CODE = SchemeCode(ReplicationScheme(2, 4, fallback=None))
JOB = CODE.prepare([1.0, 2.0])
GOAL = read_wait_for(3, CODE)(JOB)
HINT = "processes that die at once cannot import double"
LATE, DEAD, WRONG = TimeoutError("no answer within 1 s"), BrokenProcessPool("died"), ValueError()


def error_of(responders, failures, waiting):
    return not_enough(JOB, double, GOAL, np.array(responders, int), failures, waiting, 1.0)


@pytest.mark.parametrize(
    ("responders", "failures", "waiting", "is_hinted"),
    [
        ([], {0: DEAD, 1: DEAD}, [], True),
        ([], {0: DEAD, 1: LATE}, [1, 2], True),
        ([], {0: LATE, 1: LATE, 2: LATE, 3: LATE}, [0, 1, 2, 3], False),
        ([], {0: WRONG, 1: WRONG}, [2, 3], False),
        ([], {0: DEAD, 1: CancelledError()}, [], False),
        ([0], {1: DEAD, 2: DEAD, 3: DEAD}, [], False),
        ([0], {1: LATE, 2: LATE}, [1, 2], False),
    ],
    ids=["died", "died and late", "late", "raised", "cancelled too", "one lives", "one is late"],
)
def test_the_hint_at_imports_comes_only_where_all_that_failed_died(
    responders, failures, waiting, is_hinted
):
    error = error_of(responders, failures, waiting)
    assert (HINT in str(error)) == is_hinted
    assert error.responders == tuple(responders)
    assert error.failures == failures


@pytest.mark.parametrize(
    ("failures", "waiting", "advice", "other"),
    [
        ({0: LATE}, [0], "raise timeout or n_workers", "see .failures"),
        ({0: WRONG}, [1], "see .failures for all reasons", "raise timeout"),
    ],
    ids=["late", "raised"],
)
def test_more_time_is_advised_only_where_it_ran_out(failures, waiting, advice, other):
    message = str(error_of([], failures, waiting))
    assert advice in message
    assert other not in message


def refused():
    """As Dask's scheduler refuses a task whose module it cannot import."""
    error = RuntimeError("Error during deserialization of the task graph. This frequently\noccurs")
    error.__cause__ = ModuleNotFoundError("No module named 'work'")
    return error


def test_where_all_failed_the_message_begins_with_the_first_cause():
    message = str(error_of([], {n: refused() for n in range(4)}, []))
    assert message.startswith(
        "double: 4 failed: 0, 1, 2, 3; the first by RuntimeError: Error during deserialization of "
        "the task graph. This frequently, caused by ModuleNotFoundError: No module named 'work'\n"
        "0 of 4 workers answered"
    )
    assert "must be able to import what double needs" in message


def test_a_traceback_of_a_worker_is_no_cause_to_be_told():
    error = ArithmeticError("zero is hard")
    error.__cause__ = RemoteTraceback("Traceback (most recent call last): ...")
    message = str(error_of([], {0: error, 1: error}, [2, 3]))
    assert message.endswith("\n2 failed: 0, 1; the first by ArithmeticError: zero is hard")
    assert "2 still out: 2, 3; see .failures" in message.splitlines()[0]
    assert "import" not in message
