"""A LitServe server whose workers are killed and frozen under load, in processes of its own."""

import json
import sys
from dataclasses import asdict, replace
from signal import SIGKILL, SIGSTOP

import numpy as np
import pytest

from bench.engines.serving import (
    QUICK,
    Load,
    Outcome,
    Reply,
    draw,
    restore,
    strike,
    summarise,
    tables,
    tell,
)
from bench.records import to_json
from tests.support.worker_functions import is_running

pytestmark = [
    pytest.mark.outer,
    pytest.mark.skipif(
        sys.platform != "linux", reason="the experiment finds processes by Linux's /proc"
    ),
]


@pytest.fixture(scope="module")
def outcome():
    return strike(QUICK)


def test_no_request_is_lost(outcome):
    assert [one.due for one in outcome.replies] == [i / QUICK.rate for i in range(120)]
    assert {one.failure for one in outcome.replies} == {""}


def test_every_answer_is_ten_logits_and_nearly_all_are_right(outcome):
    assert all(one.is_shaped for one in outcome.replies)
    assert np.mean([one.is_right for one in outcome.replies]) > 0.85


def test_workers_are_replaced(outcome):
    assert [signal for _, signal, _ in outcome.struck] == [SIGKILL, SIGSTOP]
    victims = {pid for _, _, pid in outcome.struck}
    assert len(outcome.before) == len(outcome.after) == QUICK.workers
    assert outcome.before - outcome.after == victims


def test_no_process_outlives_the_server(outcome):
    assert outcome.orphans == []
    assert not any(is_running(pid) for pid in outcome.before | outcome.after)


LOAD = Load(workers=8, rate=1.0, seconds=6.0, faults=((2.0, SIGKILL),), recovery=2.0)
ANSWERED = Reply(due=0.0, seconds=0.25, is_shaped=True, is_right=True)
REPLIES = [
    ANSWERED,
    replace(ANSWERED, due=1.0, seconds=0.5, is_right=False),
    replace(ANSWERED, due=2.0, failure="late", is_shaped=False, is_right=False, seconds=4.0),
    replace(ANSWERED, due=3.0, is_shaped=False),
    replace(ANSWERED, due=4.0),
]


def test_table_counts_what_befell_requests_by_phase():
    outcome = Outcome(REPLIES, [(2.0, SIGKILL, 1)], set(), set(), [])
    rows = [row.split(" | ") for row in tell(LOAD, {"coded": outcome}).splitlines()[2:]]
    assert [row[1:6] for row in rows] == [
        ["before", "2", "0", "0", "0.500"],
        ["during", "2", "1", "1", "0.500"],
        ["after", "1", "0", "0", "1.000"],
    ]
    assert [row[-1].rstrip(" |") for row in rows] == ["0.500", "4.000", "0.250"]


def test_the_record_holds_every_reply_and_fault():
    outcome = Outcome(REPLIES, [(2.0, SIGKILL, 1)], set(), set(), [])
    numbers = {"load": asdict(LOAD), "servers": {"coded": summarise(outcome)}}
    load, servers = restore(json.loads(to_json(numbers)))
    assert load == LOAD
    assert servers["coded"].replies == REPLIES
    assert [struck[:2] for struck in servers["coded"].struck] == [(2.0, SIGKILL)]
    (table,) = tables(numbers).values()
    assert table.startswith(tell(LOAD, {"coded": outcome}))
    assert "struck by SIGKILL at 2 s; during: from 2 to 4 s" in table
    (figure,) = draw(numbers).values()
    answered, lost = figure.axes[0].collections[:2]
    assert [one.get_offsets().shape[0] for one in (answered, lost)] == [4, 1]
