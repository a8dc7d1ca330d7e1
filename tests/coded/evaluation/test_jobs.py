"""Products and sums of gradients in `simulate` and `recommend`."""

import numpy as np
import pytest

from coded import (
    FractionalRepetitionCode,
    GraphCode,
    KhatriRaoMatmulCode,
    MDSMatmulCode,
    NotEnoughRespondersError,
    RotationMatmulCode,
    multiply,
    recommend,
    simulate,
)


def test_products_are_simulated(rng):
    a, b = rng.normal(size=(12, 5)), rng.normal(size=(5, 8))
    found = simulate(multiply, (a, b), KhatriRaoMatmulCode(2, 2, 6), stragglers=2, repeats=9)
    assert found.outputs.shape == (9, 12, 8)
    np.testing.assert_array_equal(found.reference, a @ b)
    assert found.mean_l2.max() < 1e-12
    assert found.exact.all()


def test_sums_are_simulated_with_their_errors():
    parts = np.random.default_rng(0).normal(size=(6, 3))

    def part(weights, i):
        return parts[i] * weights

    exact = simulate(part, (np.ones(3),), FractionalRepetitionCode(6, 1), stragglers=1, repeats=5)
    np.testing.assert_allclose(exact.outputs, np.tile(parts.sum(axis=0), (5, 1)), atol=1e-12)
    assert exact.exact.all()
    rough = simulate(part, (np.ones(3),), GraphCode.regular(6, 2, 2), stragglers=2, repeats=20)
    is_off = np.abs(rough.outputs - rough.reference).max(axis=1) > 1e-9
    assert is_off.any()
    assert not (is_off & rough.exact).any()


def test_where_a_draw_leaves_too_few_answers_fewer_stragglers_are_advised():
    with pytest.raises(
        NotEnoughRespondersError, match=r"^3 of 6 .*; lower stragglers, or make"
    ) as it:
        simulate(multiply, (np.eye(4), np.eye(4)), KhatriRaoMatmulCode(2, 2, 6), stragglers=3)
    assert "wait for" not in str(it.value)


def test_operands_that_are_no_tuple_are_refused():
    with pytest.raises(TypeError, match="inputs must be the tuple of a code's operands"):
        simulate(multiply, np.ones((4, 4)), KhatriRaoMatmulCode(2, 2, 6), stragglers=1)


def test_no_code_is_recommended_where_this_process_can_compute_what_is_lost():
    told = recommend(16, 20, 4, kind="matmul")
    assert isinstance(told.scheme, MDSMatmulCode)
    assert told.scheme.min_responders == told.scheme.n_workers == 20
    assert "no code" in told.why
    assert "recompute_lost=True" in str(told)


def test_codes_are_recommended_where_they_pay():
    stays = recommend(16, 20, 4, kind="matmul", stays=True).scheme
    assert (type(stays), stays.min_responders, stays.n_workers) == (MDSMatmulCode, 16, 20)
    few = recommend(16, 18, 2, kind="matmul", can_recompute=False).scheme
    assert repr(few) == "KhatriRaoMatmulCode(4, 4, 18)"
    many = recommend(16, 20, 4, kind="matmul", can_recompute=False)
    assert isinstance(many.scheme, RotationMatmulCode)
    assert "passes over all matrices" in many.cautions[0]
    assert repr(recommend(12, 12, 2, kind="gradient").scheme) == "FractionalRepetitionCode(12, 2)"
    assert recommend(12, 12, 4, kind="gradient").name == "cyclic-mds"


def test_more_blocks_than_answers_are_refused():
    with pytest.raises(ValueError, match="n_inputs must be at most"):
        recommend(17, 20, 4, kind="matmul", stays=True)
