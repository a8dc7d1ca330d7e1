"""The benchmark of codes for products and gradients."""

import numpy as np
import pytest

from bench.engines import jobs

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def numbers():
    return jobs.run(quick=True)


def test_tables_tell_all_codes(numbers):
    tables = jobs.tables(numbers)
    assert list(tables) == ["products", "gradient-codes", "products-times"]
    for name, codes in (
        ("products", ["uncoded", "two-copies", "recompute-lost", "khatri-rao", "rotation"]),
        ("gradient-codes", ["uncoded", "fractional-repetition", "cyclic-mds", "graph", "partial"]),
        ("products-times", ["uncoded", "mds-rows, placed"]),
    ):
        assert all(f"| `{code}` |" in tables[name] for code in codes)


def test_completion_times_are_those_of_order_statistics():
    """Without costs of coding, and against plain draws."""
    product = {
        "rows": [
            {"code": code, "encode": 0.0, "decode": 0.0}
            for code in ("mds-rows", "khatri-rao", "rotation")
        ]
    }
    times = jobs._times(product, 4000)["1 + Exp(1)"]
    rng = np.random.default_rng(7)
    slow = 1.0 + rng.exponential(1.0, (4000, 20))
    assert times["uncoded"][0] == pytest.approx((slow / 20).max(axis=1).mean(), rel=0.03)
    assert times["rotation"][0] == pytest.approx(np.sort(slow / 16)[:, 15].mean(), rel=0.03)
    assert times["recompute-lost"][0] < times["uncoded"][0]
    assert times["recompute-lost"][0] >= 1.0 / 20


def test_recomputing_stops_where_the_others_come_first():
    even = np.array([[0.05] * 18 + [0.06, 0.5]])
    assert jobs._recomputed(even)[0] <= 0.12
