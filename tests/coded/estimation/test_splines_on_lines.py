import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded.estimation.splines_on_lines import (
    expected_errors,
    least_lam,
    left_out,
    smoothing_matrix,
)
from coded.nearness.order import path_order
from coded.places.input_lines import several_lines
from coded.schemes.bound_layouts import risks
from tests.oracles import lines as oracle


@given(
    seed=st.integers(0, 10**6), n=st.integers(3, 12), weighted=st.booleans(), copies=st.booleans()
)
def test_lines_of_inputs_are_decoded_as_by_smoothers(seed, n, weighted, copies):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n + 4, 5))
    if copies:  # equal inputs lie a thousandth of a mean gap from each other
        inputs[1] = inputs[0]
    lines = several_lines(inputs, path_order(inputs))
    weights = rng.integers(1, 5, n).astype(float) if weighted else None
    knots, values = lines[:, :n].copy(), rng.normal(size=(n, 3))
    seen = least_lam(n + 4)
    for lam in (0.0, seen, 1e3, np.inf):
        noise = max(lam, seen)
        found = smoothing_matrix(knots, lines, lam=lam, seen=noise, weights=weights)
        expected = oracle.smoothing_matrix(knots, lines, lam, noise, weights)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
        errors, own = left_out(knots, values, lam=noise, weights=weights)
        plain, plain_own = oracle.left_out(knots, values, noise, weights)
        # The oracle's 1 - leverage has the digits of 1.
        np.testing.assert_allclose(1 / own, 1 / plain_own, rtol=1e-9, atol=1e-13)
        found, expected = errors / own[:, None], plain / plain_own[:, None]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(risks(lines), oracle.risks(lines, seen), rtol=1e-9)
    growth = (0.5, 1.0)
    told = expected_errors(knots, lines, values, lam=seen, growth=growth, weights=weights)
    errors, own = left_out(knots, values, lam=seen, weights=weights)
    each = oracle.variances(knots, lines, seen, weights)
    mean = len(each) / (1 / each).sum(axis=0)
    others = 0.01 if len(lines) > 1 else 100.0
    scale = [
        np.average(
            (errors**2).sum(axis=1) / np.sqrt(own),
            weights=others + np.exp(-(np.log(own / there) ** 2) / (2 * 1.5**2)),
        ) * n / (n - 0.75)
        for there in mean
    ]  # fmt: skip
    grown = np.where(mean < own.max(), np.sqrt(mean), mean / np.sqrt(own.max()))
    most = 2 * values.var(axis=0).sum() * (1 + 10 / n)
    np.testing.assert_allclose(told**2, np.minimum(scale * grown, most), rtol=1e-9)


def test_beyond_all_answers_no_more_is_expected_than_answers_differ():
    knots, points = np.linspace(0.0, 1.0, 20)[None], np.linspace(0.0, 9.0, 50)[None]
    values = np.sin(3.0 * knots.T)
    told = expected_errors(knots, points, values, lam=1e-6, growth=(1.25, 2.0))
    assert told[-1] == pytest.approx(np.sqrt(3.0 * values.var()))
    assert told[3] < 0.1 * told[-1]
    assert (np.diff(told[-30:]) == 0.0).all()  # interpolation alone would grow as the cube
