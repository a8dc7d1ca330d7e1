import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coded import sigmoid_polynomial
from coded.private.quantiser import Quantiser, evaluate_block

LINE = (0.5, 1.0)


def exact_blocks(blocks, weights, coefficients):
    """``X^T sum_t q_t (X w_1) ... (X w_t)`` of each block, in Python's integers."""
    columns = []
    for block in blocks.tolist():
        sums = [0] * len(block[0])
        for row in (list(map(int, one)) for one in block):
            power, value = 1, coefficients[0]
            for t, one in enumerate(weights.tolist(), start=1):
                power *= sum(x * w for x, w in zip(row, one, strict=True))
                value += coefficients[t] * power
            sums = [total + x * value for total, x in zip(sums, row, strict=True)]
        columns.append(sums)
    return columns


@st.composite
def quantised(draw):
    """A quantiser, data already whole, and a field."""
    degree = draw(st.integers(1, 3))
    finite = st.floats(-4.0, 4.0, allow_subnormal=False)
    leading = draw(st.floats(0.25, 2.0)) * draw(st.sampled_from([-1, 1]))
    coefficients = (*draw(st.lists(finite, min_size=degree, max_size=degree)), leading)
    bits = draw(st.integers(0, 3)), draw(st.integers(0, 4))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)))
    size = math.prod(shape)
    numbers = st.lists(st.integers(-9, 9), min_size=size, max_size=size)
    blocks = np.array(draw(numbers), float).reshape(shape)
    return Quantiser(*bits, coefficients), blocks, draw(st.integers(10, 2**30 - 1))


@given(quantised(), st.integers(0, 2**32 - 1))
def test_no_answer_leaves_the_field_for_any_weights_within_the_radius(case, seed):
    quantiser, blocks, largest = case
    radius = quantiser.largest_radius(blocks, largest)
    assume(radius >= 0.0)
    rng = np.random.default_rng(seed)
    d = blocks.shape[2]
    gram = blocks[0].T @ blocks[0]
    for direction in (*rng.standard_normal((4, d)), *gram, *np.eye(d), np.zeros(d)):
        length = np.linalg.norm(direction)
        weights = direction * (radius / length if length else 0.0)
        rounded = quantiser.round_weights(weights, rng)
        answers = exact_blocks(blocks, rounded, quantiser.integer_coefficients)
        assert max(abs(value) for block in answers for value in block) <= largest
        assert np.abs(rounded).max() <= largest


def test_the_bound_of_a_line_is_reached():
    # 2 X'^T X' w' of one block along its longest row of X'^T X', without a constant.
    quantiser = Quantiser(0, 8, (0.0, 1.0))
    blocks = np.array([[[3.0, 4.0], [0.0, 5.0]]])
    radius = quantiser.largest_radius(blocks, 10**6)
    gram = blocks[0].T @ blocks[0]
    longest = max(gram, key=np.linalg.norm)
    weights = longest / np.linalg.norm(longest) * radius
    [answers] = exact_blocks(blocks, np.rint(256 * weights)[None].astype(int), (0, 1))
    assert 0.99 * 10**6 < max(answers) <= 10**6


@pytest.mark.parametrize("coefficients", [(0.5, 1.0), (0.0, 1.0), (0.5, 0.2, -0.004), (1, 0, 0, 3)])
def test_integer_coefficients_are_the_polynomial_in_units(coefficients):
    quantiser = Quantiser(2, 3, coefficients)
    z = Fraction(7, 2**5)  # X w, a whole number of 2^-(a + b)
    whole = sum(q * (z * 2**5) ** t for t, q in enumerate(quantiser.integer_coefficients))
    value = float(whole) * quantiser.unit * 2**2  # of g alone, without the X before it
    wanted = float(sum(Fraction(c) * z**t for t, c in enumerate(coefficients)))
    least = abs(coefficients[-1]) * 2.0**-5  # each is rounded by half of this at most
    assert abs(value - wanted) <= least / 2 * sum(abs(float(z)) ** t for t in range(3))
    assert quantiser.integer_coefficients[-1] == 1


def test_rounding_of_weights_is_right_on_average_and_whole_numbers_stay():
    quantiser = Quantiser(0, 2, (0.0, 0.0, 1.0))
    weights = np.array([0.3, -0.3, 1.0, -0.75, 0.125])
    rng = np.random.default_rng(0)
    drawn = np.stack([quantiser.round_weights(weights, rng) for _ in range(20_000)])
    scaled = 4.0 * weights
    assert drawn.shape == (20_000, 2, 5)
    assert ((drawn == np.floor(scaled)) | (drawn == np.ceil(scaled))).all()
    spread = np.sqrt((scaled - np.floor(scaled)) * (np.ceil(scaled) - scaled) / 20_000)
    assert (np.abs(drawn.mean(axis=0) - scaled) <= 5.0 * spread).all()
    # Two of one draw are independent: so the mean of their product is the product of the means.
    product = (drawn[:, 0] * drawn[:, 1]).mean(axis=0)
    assert np.abs(product - scaled**2).max() < 0.05
    assert np.abs((drawn[:, 0] ** 2).mean(axis=0) - scaled**2).max() > 0.1


def test_fewer_bits_are_the_most_that_fit():
    blocks = np.random.default_rng(0).uniform(-1.0, 1.0, (2, 6, 3))
    quantiser, largest = Quantiser(9, 9, LINE), 2**30 - 1

    def radius(a, b):
        one = Quantiser(a, b, LINE)
        return one.largest_radius(one.round_inputs(blocks), largest)

    found = quantiser.with_fewer_bits(blocks, largest, 50.0)
    most = max(a + b for a, b in itertools.product(range(10), repeat=2) if radius(a, b) >= 50.0)
    assert found.input_bits + found.weight_bits == most < 18
    assert radius(found.input_bits, found.weight_bits) >= 50.0
    assert quantiser.with_fewer_bits(blocks, 3, 50.0) is None


def test_fewer_bits_keep_something_of_the_inputs():
    blocks = np.full((1, 1, 1), 0.125)
    found = Quantiser(9, 9, (0.0, 1.0)).with_fewer_bits(blocks, 2**30 - 1, 2.0**25)
    assert (found.input_bits, found.weight_bits) == (3, 4)  # 1 and 2^29; 0 with 2
    assert Quantiser(9, 9, (0.0, 1.0)).with_fewer_bits(blocks, 2**30 - 1, 2.0**31) is None


@pytest.mark.parametrize("size", [1e8, 1e30, 1e200, 1e308])
def test_numbers_that_floats_hardly_hold_are_not_let_through(size):
    quantiser = Quantiser(4, 4, sigmoid_polynomial(3))
    rounded = quantiser.round_inputs(np.full((1, 2, 2), size))
    assert quantiser.largest_radius(rounded, 2**30 - 1) < 0.0
    rounded[0, 1] *= -1.0  # sums that cancel
    assert quantiser.largest_radius(rounded, 2**30 - 1) < 0.0


@pytest.mark.parametrize("prime", [101, 2**31 - 1])
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_worker_computes_modulo_the_prime(prime, degree):
    rng = np.random.default_rng(degree)
    half = prime // 2
    block = rng.integers(-half, half + 1, (70, 5)).astype(np.int32)
    weights = rng.integers(-half, half + 1, (degree, 5))
    coefficients = rng.integers(0, prime, degree + 1).tolist()
    answer = evaluate_block(block, weights, coefficients=coefficients, prime=prime)
    [wanted] = exact_blocks(block[None], weights, coefficients)
    assert answer.tolist() == [value % prime for value in wanted]


def test_the_polynomials_are_near_the_sigmoid():
    z = np.linspace(-6.0, 6.0, 401)
    sigmoid = 1.0 / (1.0 + np.exp(-z))
    for degree in (1, 3, 5):
        found = sigmoid_polynomial(degree)
        fitted = np.polynomial.polynomial.polyfit(z, sigmoid, degree)
        assert np.allclose(found, fitted, rtol=0.0, atol=1e-13)
        assert found[0] == 0.5
        assert found[2::2] == (0.0,) * (degree // 2)
    assert sigmoid_polynomial(1, 1e-3)[1] == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize(
    ("degree", "radius", "error", "match"),
    [
        (2, 6.0, ValueError, "degree must be odd, got 2; 1 gives"),
        (0, 6.0, ValueError, "degree"),
        (1.5, 6.0, TypeError, "degree"),
        (1, 0.0, ValueError, "radius"),
        (1, float("inf"), ValueError, "radius"),
    ],
)
def test_arguments_of_the_sigmoid_are_checked(degree, radius, error, match):
    with pytest.raises(error, match=match):
        sigmoid_polynomial(degree, radius)
