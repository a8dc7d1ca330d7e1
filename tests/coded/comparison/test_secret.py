"""Secure products beside each other, and beside workers who see everything."""

import numpy as np
import pytest

from coded import GASPMatmulCode, MDSMatmulCode, compare_secret
from coded.comparison.secret import ResiduesRepeated, multiply_openly
from coded.secure.registry import SECURE_MATMULS

PLAIN = ["uncoded", "two-copies", "recompute-lost"]
WEAKER = ["one-sided", "private-library", "field-polynomial"]


@pytest.fixture
def operands(rng):
    return rng.integers(-99, 100, (47, 30)), rng.integers(-99, 100, (30, 36))


def test_all_codes_and_the_plain_rivals_take_part(operands):
    found = compare_secret(*operands, 12, n_stragglers=2, repeats=30)
    assert [row.code for row in found.rows] == [*PLAIN, *SECURE_MATMULS, *WEAKER]
    rows = {row.code: row for row in found.rows}
    assert [rows[name].n_colluders for name in PLAIN] == [0, 0, 0]
    for name in (*SECURE_MATMULS, *WEAKER):
        assert rows[name].n_colluders == (None if name == "field-polynomial" else 1)
        assert rows[name].decoded == (name != "secure-dft")
        assert rows[name].encode > 0.0
    for name in ("gasp", "secure-matdot", "cross-subspace", *WEAKER):
        assert rows[name].error == 0.0
    assert 0.0 < rows["analog"].error < 1e-6
    assert rows["analog"].condition < 1e3
    assert rows["uncoded"].decoded == 0.0
    assert 0.0 < rows["two-copies"].decoded < 1.0
    assert rows["two-copies"].error == rows["recompute-lost"].error == 0.0
    # 10 answers: GASP's 2 x 2 blocks need 8, 2 (4 + 1) - 1 = 9, 9 + 1 and 3 x 3.
    needs = {name: rows[name].needs for name in (*SECURE_MATMULS, *WEAKER)}
    assert needs == {
        "gasp": 8,
        "secure-matdot": 9,
        "secure-dft": 12,
        "cross-subspace": 9,
        "analog": 9,
        "one-sided": 10,
        "private-library": 9,
        "field-polynomial": 10,
    }


def test_nobody_lost_lets_dft_codes_decode(operands):
    found = compare_secret(*operands, 9, n_stragglers=0, n_colluders=2, repeats=2)
    rows = {row.code: row for row in found.rows}
    assert rows["secure-dft"].decoded == 1.0
    assert rows["secure-dft"].error == 0.0
    assert rows["secure-dft"].load == pytest.approx(1 / 5)
    assert rows["secure-matdot"].load == pytest.approx(1 / 3)
    assert "two workers see the index" in rows["private-library"].refused
    assert all(row.n_colluders == 2 for row in found.rows[3:-1] if not row.refused)


def test_bytes_are_counted_in_those_of_the_product(operands):
    """2 x 2 blocks of 24 x 30 and 30 x 18 in int32, of a product of int64."""
    rows = {row.code: row for row in compare_secret(*operands, 9, n_stragglers=0, repeats=2).rows}
    assert rows["gasp"].sent == pytest.approx(9 * 4 * (24 * 30 + 30 * 18) / (47 * 36 * 8))
    assert rows["gasp"].received == pytest.approx(9 * 4 * 24 * 18 / (47 * 36 * 8))


def test_the_table_has_a_column_of_colluders(operands):
    found = compare_secret(*operands, 9, n_stragglers=1, repeats=2)
    header, cells = found.table()
    assert header[:3] == ["code", "T", "needs"]
    assert [line[1] for line in cells] == ["0"] * 3 + ["1"] * (len(cells) - 4) + ["0"]
    assert {len(line) for line in cells} == {len(header)}


def test_codes_are_chosen_by_name_or_are_your_own(operands):
    found = compare_secret(*operands, 9, n_stragglers=1, codes=["one-sided", "gasp"], repeats=2)
    assert [row.code for row in found.rows] == [*PLAIN, "one-sided", "gasp"]
    own = {"mine": GASPMatmulCode(2, 2, 9)}
    found = compare_secret(*operands, 9, n_stragglers=1, codes=own, repeats=2)
    assert [row.code for row in found.rows] == [*PLAIN, "mine"]
    assert found.rows[-1].decoded == 1.0


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        ({"n_workers": 1}, ValueError, "n_workers must be >= 2"),
        ({"n_stragglers": 9}, ValueError, "n_stragglers"),
        ({"n_colluders": 0}, ValueError, "n_colluders"),
        ({"repeats": 0}, ValueError, "repeats"),
        ({"codes": "gasp"}, TypeError, "codes must be a sequence"),
        ({"codes": ["none"]}, ValueError, "codes must be among gasp"),
        ({"codes": {"mine": MDSMatmulCode(2, 3)}}, TypeError, "codes must hold"),
        ({"a": np.ones((3, 4))}, TypeError, "a must hold integers"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(change, kind, match, operands):
    a, b = operands
    arguments = {"a": a, "b": b, "n_workers": 9, "n_stragglers": 1} | change
    with pytest.raises(kind, match=match):
        compare_secret(**arguments)


def test_what_cannot_serve_says_why(operands):
    found = compare_secret(*operands, 3, n_stragglers=0, n_colluders=2, repeats=1)
    assert {row.code for row in found.rows if row.refused} >= {"gasp", "secure-matdot", "analog"}
    assert any(line.startswith("gasp: n_workers must be at least") for line in found.refusals())


def test_open_products_are_exact_up_to_their_bound():
    a = np.full((2, 4), 2**14)
    assert (multiply_openly(a, a.T) == 2**30).all()
    code = ResiduesRepeated(2, 2)
    assert not code.can_decode([0, 2])
    assert code.can_decode([0, 3])
