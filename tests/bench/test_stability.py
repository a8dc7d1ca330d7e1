"""The ranking of codes for products by stability, against the published settings' numbers."""

import numpy as np
import pytest

from bench.engines import stability
from bench.experiments import EXPERIMENTS
from bench.records import read
from coded.products.registry import MATMULS

# Worst and mean over all sets, by another program: real Vandermonde and Chebyshev matrices at the
# counts of Ramamoorthy and Tang's tables.
KNOWN = {
    (10, 2): {
        "monomials, equidistant points": (3079.2488, 1181.9647),
        "`polynomial`": (1302.7953, 633.8576),
        "Chebyshev polynomials, q_0 = 1": (206.91796, 20.43614),
        "`ortho-poly`": (161.22401, 15.83894),
        "`mds-rows`": (48.71521, 11.87376),
    },
    (20, 2): {
        "monomials, equidistant points": (150418770.0, 58381433.6),
        "`polynomial`": (7783617.5, 4185043.4),
        "Chebyshev polynomials, q_0 = 1": (2562.4450, 69.29143),
        "`ortho-poly`": (1897.8110, 51.14237),
        "`mds-rows`": (139.19867, 24.00598),
    },
    (31, 2): {
        "Chebyshev polynomials, q_0 = 1": (12174.819, 143.52209),
        "`ortho-poly`": (8866.8884, 104.27553),
        "`rotation`": (54.964025, 12.348829),
    },
}


@pytest.mark.parametrize("count", KNOWN, ids=str)
def test_conditions_are_the_known_ones(count):
    n, lost = count
    made = stability.matrices(n, n - lost)
    for name, (worst, mean) in KNOWN[count].items():
        found = stability.conditions(made[name], n - lost)
        assert found == pytest.approx([worst, mean], rel=1e-4), name


def test_the_record_holds_the_known_ones_where_sets_are_many():
    """All 31,465 sets of 27 of 31, and Fahim and Cadambe's 19,600 of 47 of 50."""
    found = read(EXPERIMENTS["stability"].path)["numbers"]["conditions"]
    chebyshev = "Chebyshev polynomials, q_0 = 1"
    for count, name, known in (
        ("31 3", "`rotation`", (404.29840, 27.204932)),
        ("31 4", "`rotation`", (2193.6565, 53.912547)),
        ("31 4", chebyshev, (15690051.1, 6719.5841)),
        ("31 4", "`ortho-poly`", (11703360.5, 4993.0636)),
        ("31 4", "`polynomial`", (1.79719e11, 3.04349e10)),
        ("50 3", chebyshev, (8474160.8, 3932.7393)),
    ):
        assert found[count][name] == pytest.approx(known, rel=1e-3), (count, name)


def test_the_ranking_is_the_published_one():
    """Circle before Chebyshev before monomials, the more so the more workers."""
    for n, lost in ((10, 2), (20, 2)):
        worst = {
            name: stability.conditions(matrix, n - lost)[0]
            for name, matrix in stability.matrices(n, n - lost).items()
        }
        ranked = sorted(worst, key=worst.__getitem__)
        assert ranked[0] == "`rotation`"
        assert ranked[-3:] == [
            "Chebyshev polynomials, q_0 = 1",
            "`polynomial`",
            "monomials, equidistant points",
        ]


@pytest.mark.parametrize("name", stability.RANKED)
def test_amplification_is_what_the_codes_tell(name):
    code = MATMULS[name].make(2, 2, 6)
    sets = stability.sets_of(6, 4, 100)
    found = stability.product_of(code)
    amplified = [code.amplification(who) for who in sets]
    assert found["sets"] == len(sets) == 15
    assert found["worst"] == pytest.approx(max(amplified))
    assert found["median"] == pytest.approx(np.median(amplified))
    assert 1e-8 < found["worst error"] < 1e-6 * found["worst"]


def test_sets_are_all_or_a_sample():
    assert len(stability.sets_of(12, 9, 220)) == 220
    few = stability.sets_of(12, 9, 50)
    assert few.shape == (50, 9)
    assert (np.diff(few, axis=1) > 0).all()
    for numbers in (1, 500_000, 10**9):
        np.testing.assert_array_equal(np.vstack(list(stability._chunks(few, numbers))), few)


def test_tables_tell_all_codes():
    tables = stability.tables(stability.run(quick=True))
    assert list(tables) == ["stability-conditions", "stability-products"]
    for table in tables.values():
        assert all(f"| `{name}` |" in table for name in stability.RANKED)


def test_numbers_beyond_double_precision_are_told_as_such():
    assert stability._size(3e16) == "> 1e+15"
    assert stability._size(np.inf) == "-"
    assert stability._size(12345.0) == "1.2e+04"
    assert stability._size(3079.2) == "3,079"
    assert stability._size(8.891) == "8.89"
