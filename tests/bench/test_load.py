"""A LitServe server whose workers are killed and frozen under load, in processes of its own."""

import sys
from signal import SIGKILL, SIGSTOP

import pytest

from bench.engines.load import strike
from bench.engines.serving import QUICK
from tests.support.worker_functions import is_running

pytestmark = [
    pytest.mark.outer,
    pytest.mark.skipif(
        sys.platform != "linux", reason="the experiment finds processes by Linux's /proc"
    ),
]


@pytest.fixture(scope="module", params=["coded", "uncoded, hedged"])
def outcome(request):
    return strike(QUICK, request.param)["light"]


def test_no_request_is_lost(outcome):
    assert [one.due for one in outcome.replies] == [i / QUICK["light"].rate for i in range(120)]
    assert {one.failure for one in outcome.replies} == {""}


def test_every_label_is_the_network_s_own(outcome):
    assert all(one.is_exact and one.is_same for one in outcome.replies)


def test_tasks_and_retries_are_counted(outcome):
    counts = outcome.counts
    assert counts["tasks"] >= len(outcome.replies)
    assert counts["calls"] <= len(outcome.replies) + 1  # the one that asks for the counts
    assert counts["estimates"] == 0


def test_workers_are_replaced(outcome):
    assert [signal for _, signal, _ in outcome.struck] == [SIGKILL, SIGSTOP]
    victims = {pid for _, _, pid in outcome.struck}
    assert len(outcome.before) == len(outcome.after) == QUICK["light"].workers
    assert outcome.before - outcome.after == victims


def test_no_process_outlives_the_server(outcome):
    assert outcome.orphans == []
    assert not any(is_running(pid) for pid in outcome.before | outcome.after)
