"""What waiting for exact answers costs: workers are fair, exact labels are the network's own."""

import json
import time

import numpy as np
import pytest

from bench.engines import deadline
from bench.records import to_json
from coded import KernelScheme
from coded.digits.images import Digits, read_digits

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def numbers():
    return json.loads(to_json(deadline.run(quick=True)))


def test_batches_of_all_sizes_follow_one_another():
    batches = deadline.deal([1, 3, 2])
    assert [rows.tolist() for rows in batches] == [[0], [1, 2, 3], [4, 5]]


def test_a_worker_sleeps_the_same_times_whoever_asks():
    law = deadline.Law(lambda worker, rng: 0.01 * (1 + worker) + 0.01 * rng.random())
    spent = []
    with deadline.Sleeper(law, 1) as worker:
        for batch in (3, 4, 3):
            worker.begin(batch)
            began = time.perf_counter()
            assert worker.submit(abs, -2).result() == 2
            spent.append(time.perf_counter() - began)
    drawn = [0.02 + 0.01 * np.random.default_rng([batch, 1]).random() for batch in (3, 4, 3)]
    assert all(took >= seconds for took, seconds in zip(spent, drawn, strict=True))


def test_the_slow_worker_is_ten_times_as_slow():
    law = deadline.LAWS["one slow worker"]
    slow, other = (law.draw(worker, np.random.default_rng(0)) for worker in (0, 1))
    assert slow == pytest.approx(10.0 * other)


def test_exact_answers_have_the_network_s_own_labels(numbers):
    assert [row["law"] for row in numbers["rows"]] == list(deadline.LAWS)
    for row in numbers["rows"]:
        for stream in row["streams"]:
            assert min(stream["seconds"]) > 0.0
            if stream["way"] != "K answers":
                assert stream["estimated"] == stream["changed"] == 0


def test_k_answers_in_random_order_hold_estimates(numbers):
    streams = [one for one in numbers["rows"][0]["streams"] if one["way"] == "K answers"]
    assert [one["code"] for one in streams] == list(deadline.CODES)
    assert all(one["estimated"] > 0 for one in streams)


def test_wrong_labels_are_counted():
    digits = read_digits(0).batch(0, 6)
    network = deadline.Network(Digits(digits.inputs, digits.labels))
    network.labels[4] += 1
    stream = deadline.ask(
        deadline.Law(lambda *_: 0.0), KernelScheme(2, 4), "exact", network,
        deadline.deal([1, 2, 3]), digits.inputs,
    )  # fmt: skip
    assert (stream.changed, stream.estimated, len(stream.seconds)) == (1, 0, 3)


def test_the_table_has_a_row_a_law_and_count(numbers):
    (table,) = deadline.tables(numbers).values()
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:6]]
    assert [row[:2] for row in rows] == [
        ["random order", "4, 8"],
        ["jitter", "4, 8"],
        ["heavy tail", "4, 8"],
        ["one slow worker", "5, 10"],
    ]
    assert all((row[4], row[7]) == ("0", "0") for row in rows)
    assert deadline.draw(numbers) == {}
