"""Codes for products and sums of gradients beside what is done without codes."""

import json

import numpy as np
import pytest

from coded import MDSMatmulCode, compare_gradients, compare_matmul
from coded.__main__ import main
from coded.gradients.fractional import FractionalRepetitionCode
from coded.gradients.registry import GRADIENTS
from coded.products.registry import MATMULS, SKETCHES
from coded.secure.registry import SECURE_MATMULS

SECRET = [*SECURE_MATMULS, "one-sided", "private-library", "field-polynomial"]
PRODUCTS = [*MATMULS, *SKETCHES]
PLAIN = ["uncoded", "two-copies", "recompute-lost"]


@pytest.fixture
def product(rng):
    a, b = rng.normal(size=(48, 30)), rng.normal(size=(30, 36))
    return compare_matmul(a, b, 6, n_stragglers=2, repeats=40)


DATA = np.random.default_rng(0).normal(size=(1200, 3))


def part(weights, begin, end):
    rows = DATA[round(1200 * begin) : round(1200 * end)]
    return rows.T @ (rows @ weights)


def test_all_codes_and_the_plain_rivals_take_part(product):
    assert [row.code for row in product.rows] == [*PLAIN, *PRODUCTS]
    rows = {row.code: row for row in product.rows}
    assert rows["uncoded"].decoded == 0.0
    assert 0.0 < rows["two-copies"].decoded < 1.0
    for name in ("recompute-lost", *MATMULS):
        assert rows[name].decoded == 1.0
        assert rows[name].error < 1e-12
        assert rows[name].encode > 0.0
        assert rows[name].decode > 0.0
    assert rows["uncoded"].load == pytest.approx(1 / 6)
    assert rows["two-copies"].load == pytest.approx(1 / 3)
    assert rows["khatri-rao"].load == rows["rotation"].load == pytest.approx(1 / 4)


def test_bytes_are_counted_in_those_of_the_product(product):
    """6 row blocks of A and all of B six times: (48 + 6 x 36) x 30 numbers over 48 x 36."""
    rows = {row.code: row for row in product.rows}
    assert rows["uncoded"].sent == pytest.approx((48 + 6 * 36) * 30 / (48 * 36))
    assert rows["uncoded"].received == pytest.approx(4 / 6)
    assert rows["khatri-rao"].sent == pytest.approx(6 * (24 * 30 + 30 * 18) / (48 * 36))
    assert rows["khatri-rao"].received == pytest.approx(1.0)


def test_gradient_codes_and_the_plain_rivals_take_part():
    found = compare_gradients(part, np.ones(3), 12, n_stragglers=3, repeats=8)
    assert [row.code for row in found.rows] == [*PLAIN, *GRADIENTS]
    rows = {row.code: row for row in found.rows}
    for name in ("recompute-lost", "fractional-repetition", "cyclic-mds", "partial"):
        assert rows[name].decoded == 1.0, name
        assert rows[name].error < 1e-10
    assert rows["fractional-repetition"].load == pytest.approx(1 / 3)
    assert rows["partial"].load == pytest.approx(1 / 3)
    assert rows["uncoded"].load == pytest.approx(1 / 12)


def test_what_cannot_serve_says_why():
    found = compare_gradients(part, np.ones(3), 7, n_stragglers=2, repeats=2)
    refused = {row.code: row.refused for row in found.rows if row.refused}
    assert "fractional-repetition" in refused
    assert any(line.startswith("fractional-repetition: ") for line in found.refusals())
    assert "fractional-repetition" not in found.guarantees()


def test_codes_of_your_own_take_part(rng):
    a, b = rng.normal(size=(48, 30)), rng.normal(size=(30, 36))
    found = compare_matmul(a, b, 6, n_stragglers=1, codes={"mine": MDSMatmulCode(5, 6)}, repeats=2)
    assert [row.code for row in found.rows] == [*PLAIN, "mine"]
    own = {"mine": FractionalRepetitionCode(6, 1)}
    sums = compare_gradients(part, np.ones(3), 6, n_stragglers=1, codes=own, repeats=2)
    assert [row.code for row in sums.rows] == [*PLAIN, "mine"]


def test_a_comparison_prints_as_a_table(product):
    lines = str(product).splitlines()
    assert lines[0].startswith("JobComparison(product (48 x 30) (30 x 36), 6 workers, 2 of them")
    assert lines[1].split()[:3] == ["code", "needs", "load"]
    assert len(lines) == 2 + len(product.rows)


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        ({"n_workers": 1}, ValueError, "n_workers must be >= 2"),
        ({"n_stragglers": 6}, ValueError, "n_stragglers"),
        ({"repeats": 0}, ValueError, "repeats"),
        ({"codes": "rotation"}, TypeError, "codes must be a sequence"),
        ({"codes": ["none"]}, ValueError, "codes must be among"),
        ({"codes": {"mine": 3}}, TypeError, "codes must hold"),
    ],
    ids=str,
)
@pytest.mark.parametrize("job", ["product", "sum"])
def test_bad_arguments_are_refused(job, change, kind, match):
    arguments = {"n_workers": 6, "n_stragglers": 1} | change
    if job == "product":
        with pytest.raises(kind, match=match):
            compare_matmul(np.ones((9, 9)), np.ones((9, 9)), **arguments)
    else:
        with pytest.raises(kind, match=match):
            compare_gradients(part, np.ones(3), **arguments)


@pytest.mark.outer
@pytest.mark.parametrize(
    ("job", "codes"), [("matmul", PRODUCTS), ("gradient", GRADIENTS), ("secret", SECRET)]
)
def test_the_command_line_prints_the_table(job, codes, capsys, tmp_path):
    path = tmp_path / "numbers.json"
    assert main(["compare", "--job", job, "--repeats", "2", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    for name in ("uncoded", "two-copies", "recompute-lost", *(one[:10] for one in codes)):
        assert name in printed
    assert "amp." in printed
    rows = json.loads(path.read_text())["rows"]
    assert [row["code"] for row in rows] == [*PLAIN, *codes]


@pytest.mark.parametrize("where", [["--job", "matmul"], ["--function", "xsinx"]])
def test_colluders_go_with_secret_products(where, capsys):
    with pytest.raises(SystemExit):
        main(["compare", *where, "--colluders", "2"])
    assert "--colluders: goes with --job secret" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--function", "xsinx"], ["--degree", "2"], ["--k", "3"]])
def test_options_of_functions_do_not_go_with_jobs(option, capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--job", "matmul", *option])
    assert "goes with functions, not with --job" in capsys.readouterr().err


def test_codes_that_cannot_cut_the_operands_are_refused_alone(rng):
    a, b = rng.normal(size=(48, 30)), rng.normal(size=30)
    both = {"khatri-rao", "ortho-poly", "polynomial", "rotation", "coded-sketch"}
    for other, refused in (
        (b, both),
        (b[:, None], both),
    ):
        found = compare_matmul(a, other, 6, n_stragglers=2, repeats=2)
        rows = {row.code: row for row in found.rows}
        assert {name for name, row in rows.items() if row.refused} == refused
        assert "b has 1 columns" in rows["khatri-rao"].refused
        assert rows["mds-rows"].decoded == 1.0
        assert found.name == "product (48 x 30) (30 x 1)"


def test_a_product_of_zeros_is_compared_too():
    found = compare_matmul(np.zeros((12, 5)), np.ones((5, 12)), 5, n_stragglers=1, repeats=2)
    assert {row.error for row in found.rows if row.decoded} == {0.0}
