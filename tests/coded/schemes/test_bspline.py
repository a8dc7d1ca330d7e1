import itertools

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from coded import BerrutScheme, BSplineScheme, SplineScheme
from coded.comparison.functions import bundled

FAMILIES = {
    "bspline": BSplineScheme,
    "berrut": BerrutScheme,
    "letcc": SplineScheme.paper,
    "spline": SplineScheme,
}


def survivor_sets(n_workers):
    for count in range(1, n_workers + 1):
        yield from itertools.combinations(range(n_workers), count)


def interpolate(nodes, values, points):
    """Piecewise: the polynomial up to three answers, then a cubic spline; lines beyond its ends."""
    inside = np.clip(points, nodes[0], nodes[-1])
    if len(nodes) < 4:
        found = np.polynomial.Polynomial(np.linalg.solve(np.vander(nodes, increasing=True), values))
        slopes = found.deriv()
    else:
        found = CubicSpline(nodes, values, bc_type="not-a-knot")
        slopes = found.derivative()
    return found(inside) + (points - inside) * slopes(inside)


@pytest.mark.parametrize(("n_inputs", "n_workers"), [(1, 4), (3, 7), (4, 8), (5, 9)])
def test_the_decoder_is_the_cubic_interpolant_for_every_set(n_inputs, n_workers):
    scheme = BSplineScheme(n_inputs, n_workers)
    answers = np.random.default_rng(0).normal(size=n_workers)
    for survivors in survivor_sets(n_workers):
        who = list(survivors)
        expected = interpolate(scheme.beta[who], answers[who], scheme.alpha)
        matrix = scheme.decoding_matrix(survivors)
        np.testing.assert_allclose(
            scheme.decode(answers[who], who),
            expected,
            rtol=0,
            atol=1e-13 * np.abs(matrix).sum(axis=1).max() * len(who),
        )


def test_cubics_in_the_point_are_exact_from_any_answers_around_the_inputs():
    scheme = BSplineScheme(4, 9)
    cubic = np.polynomial.Polynomial([0.5, -1.0, 2.0, 3.0])
    for between in itertools.combinations(range(1, 8), 3):
        who = [0, *between, 8]
        outputs = scheme.decode(cubic(scheme.beta[who]), who)
        np.testing.assert_allclose(outputs, cubic(scheme.alpha), rtol=0, atol=1e-13)


def test_one_answer_is_every_output():
    scheme = BSplineScheme(3, 6)
    for n in range(6):
        assert scheme.decode([4.0], [n]).tolist() == [4.0, 4.0, 4.0]


def test_points_and_encoder_are_those_of_bacc():
    mine, bacc = BSplineScheme(5, 12), BerrutScheme(5, 12)
    assert np.array_equal(mine.alpha, bacc.alpha)
    assert np.array_equal(mine.beta, bacc.beta)
    assert np.array_equal(mine.encoding_matrix, bacc.encoding_matrix)
    assert repr(mine) == "BSplineScheme(5, 12, n_stragglers=7)"


@pytest.mark.parametrize(("n_inputs", "n_workers"), [(3, 7), (8, 33), (10, 41)])
def test_held_inputs_pass_bit_for_bit(n_inputs, n_workers):
    scheme = BSplineScheme(n_inputs, n_workers)
    inputs = np.random.default_rng(0).normal(size=(n_inputs, 4))
    answers = np.exp(scheme.encode(inputs))
    assert scheme.exact_mask(range(n_workers)).all()
    np.testing.assert_array_equal(scheme.decode(answers, range(n_workers)), np.exp(inputs))


def test_weights_fall_by_a_factor_from_point_to_point():
    weights = np.abs(BSplineScheme(20, 60).decoding_matrix(range(60))[9])
    of_bacc = np.abs(BerrutScheme(20, 60).decoding_matrix(range(60))[9])
    nearest = int(weights.argmax())
    falls = weights[nearest + 1 : nearest + 13] / weights[nearest + 2 : nearest + 14]
    assert (falls > 3.0).all()
    assert (falls[:8] < 5.0).all()
    assert weights[nearest + 13] < 1e-6 < 1e-3 < of_bacc[nearest + 13]


# Accuracy, against its rivals.


def errors(fn, counts, *, is_sorted, draws=60):
    """Squared errors, shape (draws,), of each family on the same inputs and losses."""
    k, n, s = counts
    found = {name: [] for name in FAMILIES}
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        inputs = rng.uniform(-4.0, 4.0, (k, 1))
        inputs = np.sort(inputs, axis=0) if is_sorted else inputs
        who = np.sort(rng.permutation(n)[: n - s])
        for name, make in FAMILIES.items():
            scheme = make(k, n, n_stragglers=s).bind(inputs)
            answers = fn(scheme.encode(inputs))
            found[name].append(((scheme.decode(answers[who], who) - fn(inputs)) ** 2).mean())
    return {name: np.array(squares) for name, squares in found.items()}


SMOOTH = {"x sin x": lambda x: x * np.sin(x), "exp": lambda x: np.exp(-x)}


@pytest.mark.parametrize("fn", SMOOTH.values(), ids=SMOOTH)
@pytest.mark.parametrize("counts", [(8, 32, 4), (20, 60, 20), (8, 64, 8)], ids=str)
def test_smooth_functions_in_order_err_less_than_by_bacc_and_as_by_letcc(fn, counts):
    found = errors(fn, counts, is_sorted=True)
    mean = {name: squares.mean() for name, squares in found.items()}
    assert 4.0 * mean["bspline"] < mean["berrut"]
    assert 3.0 * mean["spline"] < mean["bspline"]
    ratio = np.exp(np.mean(np.log(found["bspline"] / found["letcc"])))
    assert 0.2 < ratio < 5.0


@pytest.mark.parametrize(
    ("fn", "is_sorted"),
    [(lambda x: np.sign(x - 1.0), True), (SMOOTH["x sin x"], False)],
    ids=["step", "random order"],
)
def test_steps_and_inputs_in_random_order_err_as_by_bacc(fn, is_sorted):
    found = errors(fn, (20, 60, 20), is_sorted=is_sorted)
    assert 0.7 < found["bspline"].mean() / found["berrut"].mean() < 1.4
    assert 3.0 * np.median(found["spline"]) < np.median(found["bspline"])


def test_errors_fall_faster_with_the_workers_than_by_bacc():
    fn = SMOOTH["x sin x"]
    few, many = (errors(fn, (5, n, 0), is_sorted=True, draws=20) for n in (64, 256))
    falls = {name: np.median(few[name]) / np.median(many[name]) for name in ("bspline", "berrut")}
    assert falls["bspline"] > 4.0**5 > 4.0**3 > falls["berrut"]


def test_digits_under_lenet5_err_as_by_bacc():
    k, n, s, groups = 20, 60, 20, 3
    problem = bundled("lenet5", groups * k)
    found = {name: [] for name in FAMILIES}
    for inputs in np.split(problem.inputs, groups):
        true = problem.fn(inputs)
        for name, make in FAMILIES.items():
            scheme = make(k, n, n_stragglers=s).bind(inputs)
            answers = problem.fn(scheme.encode(inputs))
            for seed in range(8):
                who = np.sort(np.random.default_rng(seed).permutation(n)[: n - s])
                error = scheme.decode(answers[who], who) - true
                found[name].append((error**2).mean() / true.var())
    mean = {name: np.mean(squares) for name, squares in found.items()}
    assert 0.8 < mean["bspline"] / mean["berrut"] < 1.25
    assert 3.0 * mean["spline"] < mean["bspline"]
