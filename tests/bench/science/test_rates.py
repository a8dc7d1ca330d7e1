"""Slopes: fits against closed forms, losses against scipy, and what a quick run must show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline

from bench.science import rates
from coded import SplineScheme, UniformStragglers, chebyshev_first, chebyshev_second, mean_square

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def numbers():
    return rates.run(quick=True)


@given(
    slope=st.floats(-9.0, 9.0),
    factors=st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=5),
)
def test_slope_of_a_power_law_is_its_exponent(slope, factors):
    sizes = [32, 64, 90, 512]
    law = np.array([[[factor * (n / 32) ** slope] for n in sizes] for factor in factors])

    ((mean, half_width),) = rates.slopes([sizes] * len(factors), law)

    assert mean == pytest.approx(slope, abs=1e-9)
    assert half_width == pytest.approx(0.0, abs=1e-8)


def test_interval_of_slopes_is_students_over_repeats():
    sizes = [2, 8]
    exponents = np.array([-1.0, -2.0, -6.0])
    law = np.stack([np.array(sizes, float) ** one for one in exponents])[:, :, None]

    ((mean, half_width),) = rates.slopes([sizes] * 3, law)

    assert mean == pytest.approx(-3.0)
    # t(.975, 2) = 4.302652730, standard deviation sqrt(7)
    assert half_width == pytest.approx(4.302652730 * np.sqrt(7.0 / 3.0), rel=1e-9)


def test_every_block_comes_once():
    model, rng = rates.EveryBlock(3), np.random.default_rng(0)

    drawn = [model.draw(7, rng).tolist() for _ in range(5)]

    assert drawn == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6]]


def test_squares_are_the_theorys_loss_of_each_function():
    rng = np.random.default_rng(1)
    outputs, reference = rng.standard_normal((4, 5, 2, 3)), rng.standard_normal((5, 2, 3))

    found = rates.squares(outputs, reference)

    for j in range(2):
        expected = mean_square(outputs[:, :, j], reference[:, j])
        np.testing.assert_allclose(found[:, j], expected, rtol=1e-14)


@pytest.mark.parametrize("kind", ["scalar", "vector"])
def test_worst_block_is_the_worst_of_scipys_splines(kind):
    n_workers, count = 24, 4
    inputs, fn = rates.PROBLEMS[kind](3)
    alpha, beta = chebyshev_first(rates.K), chebyshev_second(n_workers)

    def natural(knots, values, points):
        # scipy goes on with cubics beyond the ends, a natural spline with straight lines
        spline = CubicSpline(knots, values, bc_type="natural")
        inside = np.clip(points, knots[0], knots[-1])
        beyond = (points - inside).reshape(-1, *[1] * (np.ndim(values) - 1))
        return spline(inside) + beyond * spline(inside, 1)

    answers, reference = fn(natural(alpha, inputs, beta)), fn(inputs)
    errors = []
    for start in range(n_workers - count + 1):
        who = np.setdiff1d(np.arange(n_workers), start + np.arange(count))
        squared = (natural(beta[who], answers[who], alpha) - reference) ** 2
        errors.append(squared.reshape(rates.K, 2, -1).sum(axis=2).mean(axis=0))

    scheme = SplineScheme.paper(rates.K, n_workers)
    found = rates.loss((inputs, fn), scheme, rates.EveryBlock(count), draws=1)

    np.testing.assert_allclose(found, np.max(errors, axis=0), rtol=1e-9)


def test_edge_function_has_its_kinks_at_the_inputs():
    inputs, fn = rates.scalar_problem(0)
    step = 1e-6
    for x in inputs:
        left, at, right = fn(np.array([x - step, x, x + step]))[:, 1]
        # all but the kink at x is smooth: second differences there are O(step^2)
        assert right - 2 * at + left == pytest.approx(2 * step**rates.EDGE, rel=1e-2)
    assert 1.5 < rates.EDGE < 1.6  # in W^{2,2}, and barely


def test_errors_at_the_edge_fall_as_the_theorem_says():
    sizes = [rates.sizes_of(seed, [64, 128, 181, 256, 362, 512]) for seed in range(12)]
    losses = [
        [
            rates.loss(
                rates.scalar_problem(seed),
                SplineScheme.paper(rates.K, n),
                UniformStragglers(0),
                draws=1,
            )
            for n in sizes[seed]
        ]
        for seed in range(12)
    ]

    (smooth, _), (edge, half_width) = rates.slopes(sizes, np.array(losses))

    assert smooth < -4.5
    assert half_width < 0.4
    assert abs(edge + 2 * rates.EDGE) < half_width  # fixed draws: this set covers the truth


def test_noise_is_averaged_by_smoothing_only(numbers):
    at_most = {name: found["x sin x"]["mse"][-1] for name, found in numbers["noisy"].items()}

    assert at_most["lam by GCV"] < 0.7 * at_most["lam = 0"]
    assert at_most["lam = 1e-04 N^-4/5"] < 0.7 * at_most["lam = 0"]
    assert 0.5 * rates.SIGMA**2 < at_most["lam = 0"] < 2 * rates.SIGMA**2


def test_letcc_falls_faster_than_bacc(numbers):
    for kind in rates.PROBLEMS:
        for name in rates.LOSSES:
            ours, theirs = (
                numbers["against_n"][f"{family}, {kind}, {name}"]["x sin x"]["mse"][-1]
                for family in ("letcc", "berrut")
            )
            assert ours < theirs


def test_tables_and_pictures_tell_all(numbers):
    tables = rates.tables(numbers)

    assert list(tables) == ["rates", "rates-noisy", "rates-stragglers"]
    assert tables["rates"].count("\n| letcc") == tables["rates"].count("\n| berrut") == 6
    assert tables["rates-noisy"].count("\n| lam") == 4
    assert [type(figure) for figure in rates.draw(numbers).values()] == [Figure]


@pytest.mark.parametrize(("half_width", "star"), [(0.2, False), (0.4, True)])
def test_star_marks_an_upper_end_above_the_limit(half_width, star):
    assert rates.judged([-3.0, half_width], -2.7).endswith("*") == star
