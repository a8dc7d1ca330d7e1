"""What the record of the servers holds, and the tables made of it."""

import json
from dataclasses import asdict, replace
from signal import SIGKILL

import pytest

from bench.engines.load import Load, Outcome, Reply
from bench.engines.serving import draw, restore, summarise, tables, tell, tell_briefly
from bench.records import to_json

pytestmark = pytest.mark.outer

LOAD = Load(workers=8, rate=1.0, seconds=6.0, faults=((2.0, SIGKILL),), recovery=2.0)
ANSWERED = Reply(due=0.0, seconds=0.25, is_same=True, is_exact=True)
REPLIES = [
    ANSWERED,
    replace(ANSWERED, due=1.0, seconds=0.5),
    replace(ANSWERED, due=2.0, failure="late", is_same=False, is_exact=False, seconds=4.0),
    replace(ANSWERED, due=3.0, is_same=False, is_exact=False),
    replace(ANSWERED, due=4.0, is_exact=False),
]
COUNTS = {"hedges": 2, "retries": 1, "tasks": 12}
OUTCOME = Outcome(REPLIES, [(2.0, SIGKILL, 1)], set(), set(), [], COUNTS)


def test_table_counts_what_befell_requests_with_and_without_faults():
    (row,) = tell({"light": LOAD}, {"coded": {"light": OUTCOME}}).splitlines()[2:]
    cells = row.strip("| ").split(" | ")
    assert cells[:5] == ["light", "coded", "0.250", "0.495", "0"]
    assert cells[5:10] == ["2.125", "3.962", "4.000", "1", "1"]
    assert cells[10:] == ["2", "2", "1", "2.40"]


def test_the_short_table_has_a_row_a_server():
    servers = {"coded": {"light": OUTCOME, "heavy": OUTCOME}}
    (row,) = tell_briefly({"light": LOAD, "heavy": LOAD}, servers).splitlines()[2:]
    one = ["0.250", "0.495", "3.962", "4.000", "2.40"]
    assert row.strip("| ").split(" | ") == ["coded", *one, *one, "2", "2"]


def test_the_record_holds_every_reply_and_fault():
    servers = {name: {"light": summarise(OUTCOME)} for name in ("coded", "coded, hedged")}
    numbers = {"loads": {"light": asdict(LOAD)}, "servers": servers}
    loads, restored = restore(json.loads(to_json(numbers)))
    assert loads == {"light": LOAD}
    assert restored["coded"]["light"].replies == REPLIES
    assert [struck[:2] for struck in restored["coded"]["light"].struck] == [(2.0, SIGKILL)]
    assert restored["coded"]["light"].counts == COUNTS
    table, short = (tables(numbers)[name] for name in ("serving", "hedging"))
    assert table.startswith(tell(loads, restored))
    assert short.startswith(tell_briefly(loads, restored))
    assert "Light: 1 requests a second for 6 s, SIGKILL at 2 s, over after 2 s more" in table
    (figure,) = draw(numbers).values()
    (panel,) = figure.axes
    answered, lost = panel.collections[:2]
    assert [one.get_offsets().shape[0] for one in (answered, lost)] == [4, 1]
