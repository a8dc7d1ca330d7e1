"""Lam of series that jump at one place: kept, not smeared; wild values are left to GCV."""

import numpy as np
import pytest

from fastspline import select_lam, smooth_spline
from fastspline._jumps import find_jumps
from tests.oracles.raw import RawFit
from tests.oracles.splines import ScoreCurve

N = 40


def make_step(rng, noise=0.01):
    x = (np.arange(N) + rng.uniform(0.1, 0.9, N)) / N
    truth = 0.5 * x + (x > 0.4)
    return x, truth, truth + noise * rng.standard_normal(N)


def mallows(lam, noise, *data, **options):
    """``RSS + 2 noise df``, by dense algebra."""
    fit = RawFit(*data, lam=lam, digits=False, **options)
    return float(fit.w @ fit.residuals[:, 0] ** 2 + 2.0 * noise * fit.df)


def noise_of(x, y, w):
    """Half of all squares of the distance from the chord of both neighbours are below it."""
    squares = []
    for i in range(1, len(x) - 1):
        share = (x[i + 1] - x[i]) / (x[i + 1] - x[i - 1])
        off = y[i] - share * y[i - 1] - (1 - share) * y[i + 1]
        unit = 1 / w[i] + share**2 / w[i - 1] + (1 - share) ** 2 / w[i + 1]
        squares.append(off**2 / unit)
    return np.median(squares) / 0.45493642311957283  # of the square of a normal number


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [25, 100])
def test_a_step_with_little_noise_is_kept(n, seed):
    # By the score alone some of these have 40 times the mean square error.
    rng = np.random.default_rng(seed)
    x = (np.arange(n) + rng.uniform(0.1, 0.9, n)) / n
    truth = 0.5 * x + (x > 0.5)
    spline = smooth_spline(x, truth + 0.01 * rng.standard_normal(n))
    assert np.mean((spline.values - truth) ** 2) < 2e-4
    low, high = spline.interval(x)
    assert np.mean((low <= truth) & (truth <= high)) > 0.9


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bc", ["natural", "periodic", ("slope", 0.0, 0.5)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_lam_beside_a_jump_is_that_of_mallows(seed, bc, weighted):
    rng = np.random.default_rng(seed)
    x, _, y = make_step(rng)
    w = rng.uniform(0.5, 2.0, N) if weighted else np.ones(N)
    noise = noise_of(x, y, w)
    chosen = smooth_spline(x, y, weights=w, bc=bc).lam
    found = mallows(chosen, noise, x, y[:, None], weights=w, bc=bc)
    lams = chosen * 10.0 ** np.array([-2.0, -0.5, -0.03, 0.03, 0.5, 2.0, 5.0])
    others = [mallows(lam, noise, x, y[:, None], weights=w, bc=bc) for lam in lams]
    assert found < min(others)


def test_merged_values_jump_too():
    rng = np.random.default_rng(2)
    x, truth, _ = make_step(rng)
    twice, both = np.repeat(x, 2), np.repeat(truth, 2) + 0.01 * rng.standard_normal(2 * N)
    spline = smooth_spline(twice, both, duplicates="merge")
    noise = noise_of(x, both.reshape(-1, 2).mean(axis=1), np.full(N, 2.0))
    found = mallows(spline.lam, noise, twice, both[:, None])
    others = [mallows(spline.lam * c, noise, twice, both[:, None]) for c in (0.9, 1.1, 100.0)]
    assert found < min(others)


@pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")
@pytest.mark.parametrize("places", [[20], [20, 21], [0], [1], [38, 39], [10, 30], [5, 6, 7, 33]])
def test_wild_values_leave_the_choice_to_the_score(places):
    rng = np.random.default_rng(4)
    x = np.sort(rng.random(N))
    y = np.sin(5.0 * x) + 0.1 * rng.standard_normal(N)
    y[places] += 30.0 + rng.random(len(places))
    assert not find_jumps(y[:, None]).any()
    curve = ScoreCurve(x, None, "gcv")
    lams = [*np.geomspace(curve.lam_of_rest(1e-3 * N), 100.0 * N, 400), np.inf]
    best = curve(y[:, None], lams).min()
    assert curve(y[:, None], [select_lam(x, y)])[0, 0] <= best * (1.0 + 1e-7)


@pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")
def test_what_jumps_is_told_whatever_the_unit_and_the_other_columns():
    rng = np.random.default_rng(3)
    x, truth, y = make_step(rng)
    short = np.sin(5.0 * x) + 0.1 * rng.standard_normal(N)
    columns = np.stack([short, y, 1e200 * y, 1e-200 * y, truth - 0.5 * x, 0 * y, x], axis=1)
    assert find_jumps(columns).tolist() == [False, True, True, True, True, False, False]
    lams = select_lam(x, columns)
    assert lams[0] == select_lam(x, short)
    np.testing.assert_allclose(lams[1:4], select_lam(x, y), rtol=1e-6)
    assert np.isinf(lams[5:]).all()
    # Two levels without noise, and what is asked for by another name, are left to their scores.
    assert lams[4] == pytest.approx(smooth_spline(x, columns[:, 4], gamma=1.0 + 1e-9).lam, rel=1e-3)
    for other in (
        select_lam(x, y, criterion="gcv-plain"),
        smooth_spline(x, y, gamma=1.0 + 1e-9).lam,
        select_lam(x, columns[:, 1:3], per_column=False),
    ):
        assert other > 100.0 * lams[1]
