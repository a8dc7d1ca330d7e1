"""The table of claims says what the stored experiments say."""

import json

import pytest

from bench.report import RESULTS
from bench.science import claims

pytestmark = pytest.mark.outer


def test_the_table_repeats_the_stored_numbers():
    numbers = json.loads(json.dumps(claims.run(quick=True)))
    (table,) = claims.tables(numbers).values()
    rates = json.loads((RESULTS / "science" / "rates.json").read_text(encoding="utf-8"))
    slope, half_width = rates["against_n"]["LeTCC, scalar, none"]["edge"]["slope"]
    assert f"{slope:.2f} ± {half_width:.2f}" in table
    published = json.loads((RESULTS / "science" / "published.json").read_text(encoding="utf-8"))
    for case in published["cases"]:
        gain, half_width = case["gains"]["random"]["l2"]
        (row,) = [line for line in table.splitlines() if line.startswith(f"| {case['name']}")]
        assert f"L2 {gain:+.1f} ± {half_width:.1f} %" in row
        if case["published"]:
            assert f"L2 {case['published'][0]:+.0f} %" in row


def test_ours_is_the_better_one():
    for case in claims.run(quick=True)["networks"]:
        assert case["best"] in claims.OURS
        assert case["schemes"][case["best"]][0][0] < case["schemes"]["LeTCC"][0][0]
