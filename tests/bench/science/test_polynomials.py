"""Lagrange codes: exact to rounding where they decode, refused elsewhere, worse unchecked."""

import mpmath
import numpy as np
import pytest
from matplotlib.figure import Figure

from bench.science import polynomials
from coded import LagrangeScheme

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def numbers():
    return polynomials.run(quick=True)


def test_degree_3_is_exact_up_to_7_stragglers_and_refused_beyond(numbers):
    found = numbers["degrees"]["3"]
    exact, decoded = (found[kind]["lagrange, all answers"] for kind in ("errors", "decoded"))

    for lost, error, share in zip(found["lost"], exact, decoded, strict=True):
        assert share == float(lost <= 7)
        assert error is None if lost > 7 else error[1] < 1e-10
    assert "needs 13 answers" in found["refusal"]


def test_degree_15_loses_all_digits_by_any_answers(numbers):
    found = numbers["degrees"]["15"]
    checked, unchecked = (
        [error for error in found["errors"][f"lagrange, {which} answers"] if error is not None]
        for which in ("all", "any R")
    )

    assert max(error[0] for error in checked) < 1e-6
    assert max(error[1] for error in unchecked) > 1e-3
    amplified = [one[0] for one in found["amplification"] if one is not None]
    assert amplified == sorted(amplified)


def test_polynomials_are_sums_of_chebyshev_polynomials():
    fn, points = polynomials.polynomials(15, 2), np.array([-1.0, 0.3, 2.0])
    coefficients = np.random.default_rng([51, 15, 2]).standard_normal((16, 4))
    expected = [
        [
            float(mpmath.fsum(c * mpmath.chebyt(m, z) for m, c in enumerate(column)))
            for column in coefficients.T
        ]
        for z in points
    ]

    np.testing.assert_allclose(fn(points), expected, rtol=1e-12)


def test_any_answers_interpolate_a_polynomial():
    scheme, rng = LagrangeScheme(4, 16, degree=2), np.random.default_rng(4)
    inputs = np.array([0.5, -1.0, 0.25, 1.0])
    answers = scheme.encode(inputs) ** 2
    who = np.setdiff1d(np.arange(16), [0, 9])

    found = polynomials.any_answers(scheme, answers[:, None], who, rng)

    np.testing.assert_allclose(found[:, 0], inputs**2, atol=1e-11)


def test_relative_error_is_of_the_norms():
    assert polynomials.relative(np.array([3.0, 5.0]), np.array([3.0, 4.0])) == pytest.approx(0.2)


def test_table_and_picture_tell_all(numbers):
    (table,) = polynomials.tables(numbers).values()

    assert table.count("\n| 3 |") == table.count("\n| 15 |") == 6
    assert [type(figure) for figure in polynomials.draw(numbers).values()] == [Figure]


@pytest.mark.parametrize(
    ("error", "decoded", "told"),
    [(None, 0.0, "-"), ([0.0, 2e-3], 1.0, "0 (2e-03)"), ([1e-9, 1e-8], 0.5, "1e-09 (1e-08), 50 %")],
)
def test_cell_tells_what_was_not_decoded(error, decoded, told):
    assert polynomials.cell(error, decoded) == told
