import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded import chebyshev_first, chebyshev_second, equidistant, systematic
from coded.places.copies import copies_by_risk
from coded.places.input_lines import chord_length
from coded.places.points import nearest_equal, on_curve, snapped
from tests.oracles import codes as reference

FAMILIES = [chebyshev_first, chebyshev_second, equidistant]
sizes = st.integers(1, 40)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 60, 101])
def test_points_ascend_in_the_interval_and_are_exactly_symmetric(family, n):
    points = family(n)
    assert points.shape == (n,)
    assert (np.diff(points) > 0).all()
    assert np.abs(points).max() <= 1
    assert np.array_equal(points, -points[::-1])


@pytest.mark.parametrize("n", [2, 3, 8, 33, 100])
def test_chebyshev_points_equal_their_cosines(n):
    np.testing.assert_allclose(chebyshev_first(n), reference.chebyshev_first(n), rtol=0, atol=4e-16)
    np.testing.assert_allclose(
        chebyshev_second(n), reference.chebyshev_second(n), rtol=0, atol=4e-16
    )
    np.testing.assert_allclose(equidistant(n), np.linspace(-1, 1, n), rtol=0, atol=4e-16)


def test_the_first_kind_lies_inside_and_the_others_reach_the_ends():
    assert chebyshev_first(7)[-1] < 1
    assert chebyshev_second(7)[-1] == equidistant(7)[-1] == 1


@given(n_inputs=sizes, n_workers=sizes, copies=st.integers(1, 5))
def test_systematic_points_hold_every_alpha_equally_often(n_inputs, n_workers, copies):
    alpha = chebyshev_first(n_inputs)
    beta = systematic(alpha, n_workers, copies=copies)
    held = np.array([(beta == point).sum() for point in alpha])
    assert beta.shape == (n_workers,)
    assert (np.diff(beta) >= 0).all()
    if n_workers < n_inputs:
        assert held.sum() == n_workers
        assert held.max() == 1
    elif n_inputs == 1:
        assert held[0] == n_workers
    else:
        assert (held == min(copies, n_workers // n_inputs)).all()


def test_fewer_workers_than_inputs_reach_both_ends():
    assert np.array_equal(systematic(equidistant(9), 3), [-1, 0, 1])
    assert np.array_equal(systematic(equidistant(9), 1), [0])


@pytest.mark.parametrize(
    ("n_inputs", "n_workers", "copies", "at_ends"),
    [(20, 100, 4, 7), (20, 60, 2, 5), (60, 100, 1, 4), (60, 64, 1, 3), (60, 60, 1, 1)],
)
def test_on_a_curve_all_but_one_of_the_copies_that_fit_and_more_at_the_ends(
    n_inputs, n_workers, copies, at_ends
):
    alpha = chebyshev_first(n_inputs)
    beta = on_curve(alpha, n_workers, n_workers // n_inputs)
    held = [(beta == point).sum() for point in alpha]
    assert beta.shape == (n_workers,)
    assert (np.diff(beta) >= 0).all()
    assert held[0] == held[-1] == at_ends
    assert set(held[1:-1]) == {copies}


def test_any_number_of_workers_finds_a_place_on_the_curve():
    for n_inputs, n_workers in itertools.product(range(1, 7), range(1, 30)):
        for n_stragglers in range(n_workers):
            beta = on_curve(equidistant(n_inputs), n_workers, n_stragglers)
            held = (beta[:, None] == equidistant(n_inputs)).sum(axis=0)
            assert len(beta) == n_workers
            assert (held > 0).sum() == min(n_inputs, n_workers)
            if n_stragglers < n_workers // n_inputs:
                assert held.min() > n_stragglers


@given(seed=st.integers(0, 10**6), n_inputs=st.integers(2, 9), spare=st.integers(0, 25))
def test_the_widest_interval_is_as_short_as_dealing_one_by_one_makes_it(seed, n_inputs, spare):
    rng = np.random.default_rng(seed)
    alpha = np.cumsum(rng.choice([0.1, 0.5, 1.0, 1.0, 7.0], n_inputs))
    beta = systematic(alpha, n_inputs + spare)
    parts = np.ones(n_inputs - 1)
    for _ in range(len(beta[~np.isin(beta, alpha)])):
        parts[(np.diff(alpha) / parts).argmax()] += 1
    widest = (np.diff(alpha) / parts).max()
    assert np.diff(np.unique(beta)).max() == pytest.approx(widest)


@given(
    risk=st.lists(st.floats(0, 10), min_size=1, max_size=4),
    spare=st.integers(0, 5),
    data=st.data(),
)
def test_copies_by_risk_have_the_least_expected_error_of_all(risk, spare, data):
    n_inputs, n_workers = len(risk), len(risk) + spare
    at_least = data.draw(st.integers(1, n_workers // n_inputs))
    n_stragglers = data.draw(st.integers(0, n_workers - 1))

    def expected_error(copies):
        lost = [comb(n_workers - c, n_stragglers - c) if c <= n_stragglers else 0 for c in copies]
        return np.dot(lost, risk) / comb(n_workers, n_stragglers)

    splits = itertools.product(range(at_least, spare + 2), repeat=n_inputs)
    least = min(expected_error(split) for split in splits if sum(split) == n_workers)
    copies = copies_by_risk(risk, n_workers, n_stragglers, at_least=at_least)
    assert copies.sum() == n_workers
    assert copies.min() >= at_least
    assert expected_error(copies) == pytest.approx(least, abs=1e-12)


@given(
    risk=st.lists(st.sampled_from([0.0, 1e-310, 1.0, 1.5, 2.0, 1e308]), min_size=1, max_size=8),
    spare=st.integers(0, 40),
    data=st.data(),
)
def test_copies_by_risk_go_where_most_is_gained(risk, spare, data):
    n_inputs, n_workers = len(risk), len(risk) + spare
    n_stragglers = data.draw(st.integers(0, n_workers - 1))
    drawn = np.arange(n_workers)
    lost = np.cumprod([1.0, *(np.maximum(n_stragglers - drawn, 0) / (n_workers - drawn))])
    copies = np.ones(n_inputs, int)
    for _ in range(spare):
        gains = (lost[copies] - lost[copies + 1]) * risk
        best = np.flatnonzero(gains == gains.max())
        copies[best[copies[best].argmin()]] += 1
    np.testing.assert_array_equal(copies_by_risk(risk, n_workers, n_stragglers), copies)


def test_copies_are_even_where_risks_are():
    assert sorted(copies_by_risk(np.ones(5), 12, 6)) == [2, 2, 2, 3, 3]
    assert sorted(copies_by_risk([1.0, 5.0, 2.0], 8, 0)) == [2, 3, 3]


def test_risks_are_checked():
    with pytest.raises(ValueError, match="risk must hold numbers >= 0"):
        copies_by_risk([1.0, -1.0], 4, 1)
    with pytest.raises(ValueError, match=r"risk\[1\] = nan"):
        copies_by_risk([1.0, np.nan], 4, 1)
    with pytest.raises(ValueError, match="n_workers must be >= 2, got 1"):
        copies_by_risk([1.0, 1.0], 1, 0)
    with pytest.raises(ValueError, match=r"at_least must lie in \[1, 2\], got 3"):
        copies_by_risk([1.0, 1.0], 5, 0, at_least=3)


def test_chord_length_keeps_proportions_and_parts_equal_inputs():
    assert chord_length([2.0, 1.0, 1.0]).tolist() == [-1, 0, 0.5, 1]
    assert chord_length([0.0, 0.0]).tolist() == [-1, 0, 1]
    assert chord_length([]).tolist() == [0]
    parted = chord_length([0.0, 1.0])
    assert parted[0] == -1
    assert -1 < parted[1] < -0.99
    with pytest.raises(ValueError, match=r"steps\[1\] = -1.0"):
        chord_length([1.0, -1.0])
    with pytest.raises(ValueError, match=r"steps\[0\] = nan"):
        chord_length([np.nan])


@pytest.mark.parametrize(
    ("n_inputs", "n_workers"), [(2, 5), (3, 7), (4, 9), (5, 11), (8, 33), (10, 41)]
)
def test_points_that_coincide_but_for_rounding_are_found_and_snapped(n_inputs, n_workers):
    alpha, beta = chebyshev_first(n_inputs), chebyshev_second(n_workers)
    assert (nearest_equal(beta, alpha) >= 0).sum() == n_inputs
    assert np.isin(alpha, snapped(beta, alpha)).all()
    np.testing.assert_allclose(snapped(beta, alpha), beta, rtol=0, atol=1e-15)


def test_points_that_do_not_coincide_are_left_alone():
    alpha, beta = chebyshev_first(20), chebyshev_second(100)
    assert (nearest_equal(beta, alpha) == -1).all()
    assert np.array_equal(snapped(beta, alpha), beta)


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_are_checked(family):
    with pytest.raises(ValueError, match="n must be >= 1, got 0"):
        family(0)
    for count in (2.0, True, "3", None):
        with pytest.raises(TypeError, match="n must be an integer"):
            family(count)


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        ([], "alpha must hold at least one point"),
        ([0.0, 1.0, 1.0], r"alpha\[2\] = 1.0 follows alpha\[1\] = 1.0"),
        ([0.0, np.nan], r"alpha\[1\] = nan"),
        ([[0.0, 1.0]], "alpha must be one-dimensional"),
    ],
)
def test_alpha_is_checked(alpha, message):
    with pytest.raises(ValueError, match=message):
        systematic(alpha, 4)
