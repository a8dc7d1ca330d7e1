import mpmath
import numpy as np
import pytest

from coded.estimation.covariances import covariances, with_slopes
from coded.estimation.likelihood import (
    Values,
    contrasts,
    deviance,
    factored,
    fit_lengths,
    penalised,
)

FAMILIES = ["matern-3/2", "matern-5/2", "squared-exponential"]
SMOOTH = FAMILIES[1:]
SMOOTHNESS = {"matern-3/2": 1.5, "matern-5/2": 2.5}


def by_definition(family, squared):
    """Matern by the Bessel function of the second kind, with its smoothness."""
    if family == "squared-exponential":
        return mpmath.exp(-squared / 2)
    nu = mpmath.mpf(SMOOTHNESS[family])
    if squared == 0:
        return mpmath.mpf(1)
    a = mpmath.sqrt(2 * nu * squared)
    return 2 ** (1 - nu) / mpmath.gamma(nu) * a**nu * mpmath.besselk(nu, a)


@pytest.mark.parametrize("family", FAMILIES)
def test_covariances_are_those_of_their_definition(family):
    squared = np.array([0.0, 1e-6, 0.01, 0.5, 3.0, 40.0])
    with mpmath.workdps(40):
        expected = [float(by_definition(family, mpmath.mpf(float(s)))) for s in squared]
    np.testing.assert_allclose(covariances(family, squared), expected, rtol=1e-13)


@pytest.mark.parametrize("family", SMOOTH)
def test_slopes_are_derivatives(family):
    squared = np.array([1e-3, 0.2, 1.0, 7.0])
    values, slopes = with_slopes(family, squared)
    np.testing.assert_array_equal(values, covariances(family, squared))
    with mpmath.workdps(40):
        expected = [
            float(mpmath.diff(lambda s: by_definition(family, s), mpmath.mpf(float(s))))
            for s in squared
        ]
    np.testing.assert_allclose(slopes, expected, rtol=1e-12)


def measurements(n, columns, repeats, seed=0):
    """Answers at n points, some of them repeated: all, whose they are, and the values."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2))
    which = np.concatenate([np.arange(n), rng.integers(0, n, repeats)])
    answers = np.sin(points @ rng.normal(size=(2, columns)))[which]
    if repeats:
        answers = answers + 0.3 * rng.normal(size=answers.shape)
    counts = np.bincount(which).astype(float)
    means = np.stack([answers[which == i].mean(axis=0) for i in range(n)])
    within = ((answers - means[which]) ** 2).sum()
    deviation = np.sqrt(within / repeats) if repeats else 0.0
    return points, answers, which, Values(means, counts, deviation, repeats)


def restricted(family, points, answers, which, place, trend):
    """-2 log of the restricted likelihood of all answers, dense, up to a constant."""
    lengths = [mpmath.exp(mpmath.mpf(p)) for p in place[:-1]]
    noise = mpmath.exp(mpmath.mpf(place[-1]))
    count, columns = answers.shape

    def between(i, j):
        squared = mpmath.mpf(0)
        for w, a, b in zip(lengths, points[which[i]], points[which[j]], strict=True):
            squared += w * (mpmath.mpf(float(a)) - mpmath.mpf(float(b))) ** 2
        jitter = mpmath.mpf("1e-14") if which[i] == which[j] and len(points) == count else 0
        return by_definition(family, squared) + (noise if i == j else 0) + jitter * (i == j)

    sigma = mpmath.matrix(count, count)
    for i in range(count):
        for j in range(count):
            sigma[i, j] = between(i, j)
    x = mpmath.matrix([[mpmath.mpf(float(v)) for v in trend[which[i]]] for i in range(count)])
    y = mpmath.matrix([[mpmath.mpf(float(v)) for v in row] for row in answers])
    inverse = sigma**-1
    information = x.T * inverse * x
    p = inverse - inverse * x * information**-1 * x.T * inverse
    squares = sum((y.T * p * y)[c, c] for c in range(columns))
    freedom = count - trend.shape[1]
    return (
        freedom * mpmath.log(squares)
        + mpmath.log(mpmath.det(sigma))
        + mpmath.log(mpmath.det(information))
    )


PLACES = [(0.3, -0.5, -2.0), (-1.0, 0.7, -5.0), (1.1, 0.2, 0.4)]


@pytest.mark.parametrize("family", SMOOTH)
@pytest.mark.parametrize("repeats", [0, 5])
@pytest.mark.parametrize("with_line", [False, True])
def test_the_deviance_is_that_of_all_answers(family, repeats, with_line):
    points, answers, which, values = measurements(7, 3, repeats)
    trend = np.hstack([np.ones((7, 1)), points[:, : 2 * with_line]])
    given = contrasts(trend, values)
    squares = ((points[:, None] - points) ** 2).transpose(2, 0, 1)
    ours, expected = [], []
    for place in PLACES:
        per_length, noise = np.exp(place[:2]), np.exp(place[2])
        among = covariances(family, np.tensordot(per_length, squares, 1))
        factor = factored(given.basis.T @ among @ given.basis, given, noise)
        ours.append(deviance(factor, given, noise))
        with mpmath.workdps(40):
            expected.append(float(restricted(family, points, answers, which, place, trend)))
    np.testing.assert_allclose(np.diff(ours), np.diff(expected), rtol=1e-7)


@pytest.mark.parametrize("family", SMOOTH)
@pytest.mark.parametrize("repeats", [0, 5])
@pytest.mark.parametrize("place", PLACES)
def test_the_gradient_is_that_of_the_deviance(family, repeats, place):
    points, answers, which, values = measurements(6, 2, repeats)
    given = contrasts(np.ones((6, 1)), values)
    squares = ((points[:, None] - points) ** 2).transpose(2, 0, 1).reshape(2, -1)
    centre = np.array([0.1, -0.2])
    place = np.array(place)
    _, gradient = penalised(place, family, squares, given, centre)

    def along(j, step):
        moved = [mpmath.mpf(float(p)) for p in place]
        moved[j] += step
        pull = sum((moved[i] - mpmath.mpf(float(centre[i]))) ** 2 for i in range(2))
        value = restricted(family, points, answers, which, moved, np.ones((6, 1)))
        return value + mpmath.mpf("0.2") * pull

    with mpmath.workdps(40):
        expected = [float(mpmath.diff(lambda t, j=j: along(j, t), 0, h=1e-8)) for j in range(3)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


def test_lengths_of_a_known_process_are_found():
    rng = np.random.default_rng(3)
    points = rng.uniform(0.0, 1.0, size=(60, 2))
    squares = ((points[:, None] - points) ** 2).transpose(2, 0, 1)
    truth = np.log([1.0 / 0.2**2, 1.0 / 0.8**2])
    among = covariances("matern-5/2", np.tensordot(np.exp(truth), squares, 1))
    drawn = np.linalg.cholesky(among + 1e-3 * np.eye(60)) @ rng.normal(size=(60, 40))
    given = contrasts(np.ones((60, 1)), Values(drawn, np.ones(60)))
    start = np.array([1.0, 1.0, np.log(1e-4)])
    found = fit_lengths("matern-5/2", squares.reshape(2, -1), given, start, start[:2], 60)
    np.testing.assert_allclose(found[:2], truth, atol=0.3)
    assert found[2] == pytest.approx(np.log(1e-3), abs=0.3)


def test_many_lengths_are_pulled_evenly_where_they_are_long():
    rng = np.random.default_rng(5)
    points = rng.uniform(size=(12, 5))
    squares = ((points[:, None] - points) ** 2).transpose(2, 0, 1).reshape(5, -1)
    given = contrasts(np.ones((12, 1)), Values(rng.normal(size=(12, 2)), np.ones(12)))
    place = np.array([0.7, -1.0, -3.0, -9.0, 0.0, np.log(1e-3)])

    def of(at, centre):
        return penalised(at, "squared-exponential", squares, given, centre)[0]

    def pulled(far):
        """What five numbers add that are so far from where they are pulled to."""
        return of(place, place[:5] - far) - of(place, place[:5])

    assert pulled(np.full(5, 3.0)) == pytest.approx(5 * 0.2 * 9.0)
    assert pulled(np.full(5, -1.5)) == pytest.approx(5 * 0.2 * 2.25)
    assert pulled(np.full(5, -10.0)) == pytest.approx(5 * (0.8 * 10.0 - 0.8))
    gradient = penalised(place, "squared-exponential", squares, given, np.zeros(5))[1]
    steps = 1e-5 * np.eye(6)
    slopes = [(of(place + h, np.zeros(5)) - of(place - h, np.zeros(5))) / 2e-5 for h in steps]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-6)
