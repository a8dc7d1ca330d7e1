import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy.interpolate import FloaterHormannInterpolator

from coded import BerrutScheme, chebyshev_first, chebyshev_second
from coded.algebra.barycentric import alternating_signs, berrut_lengths, leave_one_out_matrix
from tests.oracles import codes as reference

KINDS = {"second": chebyshev_second, "first": chebyshev_first}
every_kind = pytest.mark.parametrize("kind", KINDS)


def survivor_sets(n_workers):
    for count in range(1, n_workers + 1):
        yield from itertools.combinations(range(n_workers), count)


def times(p, q):
    product = [Fraction(0)] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            product[i + j] += a * b
    return product


def denominator(nodes, signs):
    """sum_j s_j prod_{i != j} (z - x_i), lowest power first, in exact arithmetic."""
    total = [Fraction(0)] * len(nodes)
    for j, sign in enumerate(signs):
        term = [Fraction(int(sign))]
        for i, node in enumerate(nodes):
            if i != j:
                term = times(term, [-Fraction(float(node)), Fraction(1)])
        total = [a + b for a, b in zip(total, term, strict=True)]
    return trimmed(total)


def trimmed(p):
    while len(p) > 1 and p[-1] == 0:
        p = p[:-1]
    return p


def remainder(p, q):
    p = list(p)
    while len(p) >= len(q):
        factor, shift = p[-1] / q[-1], len(p) - len(q)
        p = [a - factor * q[i - shift] if i >= shift else a for i, a in enumerate(p)][:-1]
    return trimmed(p or [Fraction(0)])


def count_real_roots(p):
    """Distinct real roots, by Sturm's theorem."""
    chain = [p, trimmed([i * a for i, a in enumerate(p)][1:] or [Fraction(0)])]
    while any(chain[-1]):
        chain.append([-a for a in remainder(chain[-2], chain[-1])])
    leading = [(q[-1], len(q) - 1) for q in chain if any(q)]

    def changes(at_minus_infinity):
        signs = [a * (-1) ** (degree * at_minus_infinity) > 0 for a, degree in leading]
        return sum(a != b for a, b in itertools.pairwise(signs))

    return changes(1) - changes(0)


def test_sturm_counts_what_is_known():
    assert count_real_roots([Fraction(a) for a in (1, 0, 1)]) == 0
    assert count_real_roots([Fraction(a) for a in (0, -1, 0, 1)]) == 3
    assert count_real_roots([Fraction(a) for a in (1, 2, 1)]) == 1


@every_kind
@pytest.mark.parametrize("n_workers", range(1, 9))
def test_no_survivor_set_has_a_pole_on_the_real_line(kind, n_workers):
    beta = BerrutScheme(3, n_workers, worker_points=kind).beta
    for survivors in survivor_sets(n_workers):
        nodes = beta[list(survivors)]
        assert count_real_roots(denominator(nodes, alternating_signs(len(nodes)))) == 0


@every_kind
@pytest.mark.parametrize("n_workers", [1, 2, 5, 6, 8])
def test_the_decoder_is_the_rational_function_without_poles(kind, n_workers):
    scheme = BerrutScheme(3, n_workers, worker_points=kind)
    for survivors in survivor_sets(n_workers):
        nodes = [Fraction(float(x)) for x in scheme.beta[list(survivors)]]
        matrix = scheme.decoding_matrix(survivors)
        for row, point in zip(matrix, scheme.alpha, strict=True):
            z = Fraction(float(point))
            if z in nodes:
                np.testing.assert_array_equal(row, [float(z == x) for x in nodes])
                continue
            terms = [(-1) ** j / (z - x) for j, x in enumerate(nodes)]
            exact = [float(term / sum(terms)) for term in terms]
            np.testing.assert_allclose(row, exact, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("survivors", "n_poles"),
    # Two between the survivors; the four have a third one beyond them.
    [([0, 2, 4], 2), ([0, 1, 3, 5], 3), ([0, 3, 4], 0)],
)
def test_signs_kept_from_all_workers_would_have_poles(survivors, n_poles):
    beta, signs = chebyshev_second(6), alternating_signs(6)
    assert count_real_roots(denominator(beta[survivors], signs[survivors])) == n_poles


@every_kind
@pytest.mark.parametrize(
    ("n_inputs", "n_workers"), [(1, 4), (3, 7), (8, 33), (10, 41), (3, 9), (20, 60), (60, 100)]
)
def test_it_is_the_floater_hormann_interpolant_of_degree_0(kind, n_inputs, n_workers):
    rng = np.random.default_rng(n_workers)
    scheme = BerrutScheme(n_inputs, n_workers, worker_points=kind)
    inputs = rng.normal(size=(n_inputs, 2))
    if n_inputs > 1:
        encoder = FloaterHormannInterpolator(scheme.alpha, inputs, d=0)
        np.testing.assert_allclose(
            scheme.encode(inputs), encoder(scheme.beta), rtol=1e-10, atol=1e-10
        )
    for count in {2, n_workers // 2, n_workers - 1, n_workers} - {1}:
        responders = np.sort(rng.permutation(n_workers)[:count])
        answers = rng.normal(size=(count, 2))
        decoder = FloaterHormannInterpolator(scheme.beta[responders], answers, d=0)
        np.testing.assert_allclose(
            scheme.decode(answers, responders), decoder(scheme.alpha), rtol=1e-10, atol=1e-10
        )


@every_kind
def test_one_answer_is_every_output(kind):
    scheme = BerrutScheme(3, 6, worker_points=kind)
    for n in range(6):
        assert scheme.decode([4.0], [n]).tolist() == [4.0, 4.0, 4.0]


def test_worker_points_are_as_published():
    np.testing.assert_allclose(
        BerrutScheme(3, 6).beta, np.cos(np.pi * np.arange(6) / 5)[::-1], rtol=0, atol=1e-15
    )
    np.testing.assert_allclose(
        BerrutScheme(3, 7, worker_points="first").beta,
        np.cos(np.pi * (2 * np.arange(7) + 1) / 14)[::-1],
        rtol=0,
        atol=1e-15,
    )


@pytest.mark.parametrize("n_inputs", [*range(1, 13), 20, 60])
def test_inputs_are_held_where_the_rule_says(n_inputs):
    for n_workers in [*range(2, 45), 100, 180]:
        for kind in KINDS:
            scheme = BerrutScheme(n_inputs, n_workers, worker_points=kind)
            if kind == "second":
                held = [
                    any((2 * k + 1) * (n_workers - 1) == 2 * n_inputs * i for i in range(n_workers))
                    for k in range(n_inputs)
                ]
                if (n_workers - 1) % (2 * n_inputs) == 0:
                    assert all(held)
            else:
                held = [
                    any((2 * k + 1) * n_workers == (2 * i + 1) * n_inputs for i in range(n_workers))
                    for k in range(n_inputs)
                ]
                if n_workers % n_inputs == 0:
                    assert all(held) == (n_workers // n_inputs % 2 == 1)
            assert scheme.exact_mask(range(n_workers)).tolist() == held, (n_workers, kind)


@pytest.mark.parametrize(
    ("kind", "n_inputs", "n_workers"),
    [
        ("second", 3, 7), ("second", 8, 33), ("second", 10, 41),
        ("first", 3, 9), ("first", 8, 24), ("first", 10, 50), ("first", 6, 6),
    ],
)  # fmt: skip
def test_held_inputs_pass_bit_for_bit(kind, n_inputs, n_workers):
    scheme = BerrutScheme(n_inputs, n_workers, worker_points=kind)
    inputs = np.random.default_rng(0).normal(size=(n_inputs, 4))
    coded_inputs = scheme.encode(inputs)
    assert all((coded_inputs == row).all(axis=1).any() for row in inputs)
    np.testing.assert_array_equal(
        scheme.decode(np.exp(coded_inputs), range(n_workers)), np.exp(inputs)
    )


@pytest.mark.parametrize("given", ["third", "", None, 1, ["first"]])
def test_other_worker_points_are_refused(given):
    with pytest.raises(ValueError, match='worker_points must be "second" or "first", got'):
        BerrutScheme(3, 6, worker_points=given)


def test_it_prints_its_worker_points():
    assert repr(BerrutScheme(3, 6)) == "BerrutScheme(3, 6, n_stragglers=3)"
    first = BerrutScheme(3, 6, worker_points="first")
    assert repr(first) == 'BerrutScheme(3, 6, n_stragglers=3, worker_points="first")'
    assert (first.worker_points, BerrutScheme(3, 6).worker_points) == ("first", "second")


# How large the errors are expected to be.


@pytest.mark.parametrize("n", [2, 3, 4, 7, 30])
def test_leaving_one_out_is_interpolating_through_the_others(n):
    rng = np.random.default_rng(n)
    nodes, values = np.sort(rng.uniform(-1, 1, n)), rng.normal(size=n)
    expected = [
        reference.berrut(np.delete(nodes, i), np.delete(values, i), nodes[i]) for i in range(n)
    ]
    np.testing.assert_allclose(leave_one_out_matrix(nodes) @ values, expected, rtol=1e-9, atol=1e-9)


def test_the_error_is_the_length_times_alternating_divided_differences():
    rng = np.random.default_rng(1)
    nodes, points = np.sort(rng.uniform(-1, 1, 7)), rng.uniform(-1, 1, 5)
    interpolant = FloaterHormannInterpolator(nodes, np.exp(nodes), d=0)
    for point, length in zip(points, berrut_lengths(nodes, points), strict=True):
        divided = (np.exp(point) - np.exp(nodes)) / (point - nodes)
        expected = length * abs(divided @ alternating_signs(7))
        np.testing.assert_allclose(abs(np.exp(point) - interpolant(point)), expected, rtol=1e-9)
    assert berrut_lengths(nodes, nodes[2:4]).tolist() == [0.0, 0.0]


@every_kind
def test_expected_errors_are_a_length_times_those_of_answers_left_out(kind):
    scheme = BerrutScheme(4, 9, worker_points=kind)
    who = [0, 2, 3, 5, 8]
    nodes, answers = scheme.beta[who], np.random.default_rng(3).normal(size=(5, 2))
    ratios = []
    for i in range(5):
        others = np.delete(nodes, i)
        guess = [reference.berrut(others, np.delete(column, i), nodes[i]) for column in answers.T]
        error = np.linalg.norm(guess - answers[i])
        ratios.append(error / berrut_lengths(others, nodes[i : i + 1])[0])
    expected = berrut_lengths(nodes, scheme.alpha) * np.sqrt(np.mean(np.square(ratios)))
    _, std = scheme.decode_with_std(answers, who)
    np.testing.assert_allclose(std, expected, rtol=1e-9)


@every_kind
@pytest.mark.parametrize(("k", "n", "s"), [(5, 12, 3), (8, 16, 4), (20, 40, 10), (60, 100, 20)])
def test_expected_errors_are_those_of_networks(kind, k, n, s):
    scheme = BerrutScheme(k, n, n_stragglers=s, worker_points=kind)
    squares = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        first, second = rng.normal(size=(16, 32)) / 2, rng.normal(size=(32, 10)) / 3
        inputs = rng.normal(size=(k, 16))
        responders = np.sort(rng.permutation(n)[: n - s])
        answers = np.tanh(scheme.encode(inputs) @ first) @ second
        outputs, std = scheme.decode_with_std(answers[responders], responders)
        np.testing.assert_array_equal(outputs, scheme.decode(answers[responders], responders))
        assert (std[scheme.exact_mask(responders)] == 0).all()
        errors = np.linalg.norm(outputs - np.tanh(inputs @ first) @ second, axis=1)
        squares.extend((errors[std > 0] / std[std > 0]) ** 2)
    assert 0.8 < np.sqrt(np.mean(squares)) < 1.3


def test_expected_errors_scale_with_the_answers_and_need_two():
    scheme = BerrutScheme(4, 8, n_stragglers=4)
    answers = np.random.default_rng(0).normal(size=(8, 3))
    _, std = scheme.decode_with_std(answers, range(8))
    for factor in (1e-300, 1e5, 1e300):
        _, scaled = scheme.decode_with_std(factor * answers, range(8))
        np.testing.assert_allclose(scaled, factor * std, rtol=1e-12)
    assert np.isinf(scheme.decode_with_std([[1.0]], [3])[1]).all()
    assert (scheme.decode_with_std(np.ones((8, 2)), range(8))[1] < 1e-14).all()
