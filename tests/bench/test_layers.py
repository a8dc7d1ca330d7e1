"""What a coded layer costs: what is timed gives the layer, and each part has its rival."""

import json

import pytest
import torch

from bench.engines import layers
from bench.records import to_json

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def numbers():
    return json.loads(to_json(layers.run(quick=True)))


def test_all_are_timed_in_turn_after_a_warm_up():
    seen = []
    least = layers.race({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 3)
    assert seen == ["a", "a", "b", "b"] * 3
    assert all(0.0 < seconds < 1.0 for seconds in least.values())


def test_all_batches_of_each_size_are_there(numbers):
    cases = [(row["dtype"], row["size"], row["batch"]) for row in numbers["rows"]]
    kinds = [("float32", 128), ("float32", 256), ("bfloat16", 128)]
    assert cases == [(*kind, batch) for kind in kinds for batch in layers.BATCHES]
    for row in numbers["rows"]:
        assert min(row["seconds"].values()) > 0.0


def test_what_is_decoded_is_the_layer(numbers):
    for row in numbers["rows"]:
        near = 1e-5 if row["dtype"] == "float32" else 0.02
        assert 0.0 < row["rounding"] < max(row["errors"]) < near


def test_memory_is_that_of_the_code(numbers):
    assert numbers["memory"] == pytest.approx([0.25] * 3)


def test_threads_are_left_as_they_were(numbers):
    assert numbers["repeats"] == 2
    before = torch.get_num_threads()
    layers.run(quick=True)
    assert torch.get_num_threads() == before


def test_the_table_has_a_row_a_case(numbers):
    (table,) = layers.tables(numbers).values()
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:11]]
    assert [row[:3] for row in rows[::4]] == [
        ["float32", "128", "1"],
        ["float32", "256", "32"],
        ["bfloat16", "128", "256"],
    ]
    assert {len(row) for row in rows} == {12}
    assert layers.draw(numbers) == {}
