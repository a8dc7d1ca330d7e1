"""The table of claims says what the stored experiments say."""

import pytest

from bench.experiments import EXPERIMENTS
from bench.records import read
from bench.science import claims

pytestmark = pytest.mark.outer


def test_the_table_repeats_the_stored_numbers():
    table = claims.tell_claims(claims.collect())
    rates = read(EXPERIMENTS["rates"].path)["numbers"]
    slope, half_width = rates["against_n"]["letcc, scalar, none"]["edge"]["slope"]
    assert f"{slope:.2f} ± {half_width:.2f}" in table
    published = read(EXPERIMENTS["published"].path)["numbers"]
    for case in published["cases"]:
        gain, half_width = case["gains"]["random"]["l2"]
        (row,) = [line for line in table.splitlines() if line.startswith(f"| {case['name']}")]
        assert f"L2 {gain:+.1f} ± {half_width:.1f} %" in row
        if case["published"]:
            assert f"L2 {case['published'][0]:+.0f} %" in row


def test_ours_is_the_better_one():
    for case in claims.collect()["networks"]:
        assert case["best"] in claims.OURS
        assert case["schemes"][case["best"]][0][0] < case["schemes"]["letcc"][0][0]
