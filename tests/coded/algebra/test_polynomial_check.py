"""Polynomials pass, whatever their coefficients and dtype; other functions are refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import (
    AnalogLagrangeScheme,
    FieldLagrangeScheme,
    LagrangeScheme,
    ReplicationScheme,
    require_polynomial,
)
from coded.algebra.prime_field import balanced

OTHERS = {
    "exp": np.exp,
    "sin": np.sin,
    "abs": np.abs,
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "reciprocal": lambda x: 1.0 / (5.0 + x),
    "step": lambda x: np.where(x > 0.3, 1.0, 0.0),
}


@given(
    seed=st.integers(0, 10**6),
    degree=st.integers(1, 15),
    n_variables=st.sampled_from([1, 2, 10, 100, 1000]),
    dtype=st.sampled_from([np.float32, np.float64]),
    offset=st.sampled_from([0.0, 1.0, 100.0]),
)
def test_polynomials_pass(seed, degree, n_variables, dtype, offset):
    rng = np.random.default_rng(seed)
    unit = 10.0 ** rng.uniform(-2, 0)
    inputs = unit * (offset + rng.normal(size=(rng.integers(1, 8), n_variables)))
    coefficients = rng.choice([-1, 1], degree + 1) * 10.0 ** rng.uniform(-6, 6, degree + 1)
    direction = (rng.normal(size=n_variables) / np.sqrt(n_variables)).astype(dtype)

    def along_a_direction(x):
        value = np.zeros(len(x), dtype)
        for coefficient in coefficients.astype(dtype):
            value = value * (x @ direction) + coefficient
        return value

    def entrywise(x):
        return x**degree * coefficients[0].astype(dtype) - x

    def several_answers(x):
        return np.stack([along_a_direction(x), x[:, 0], (x @ direction) ** degree], axis=1)

    k = len(inputs)
    scheme = LagrangeScheme(k, (k - 1) * degree + 1 + seed % 20, degree=degree)
    for fn in (along_a_direction, entrywise, several_answers):
        assert fn(inputs.astype(dtype)).dtype == dtype
        require_polynomial(fn, inputs.astype(dtype), degree, rng=seed)
        if n_variables <= 100:
            require_polynomial(fn, inputs.astype(dtype), degree, scheme=scheme, rng=seed)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("degree", [1, 2, 5])
@pytest.mark.parametrize("shape", [(6,), (6, 40), (6, 3, 5)], ids=str)
def test_other_functions_are_refused_with_what_was_measured(name, degree, shape):
    inputs = 2.0 * np.random.default_rng(0).normal(size=shape)
    message = (
        rf"no polynomial of degree <= {degree} on .* misses the nearest one by \d.* of its "
        r"largest value, and rounding explains \d.*; use SplineScheme, .* or a higher degree"
    )
    for seed in range(5):
        with pytest.raises(ValueError, match=message):
            require_polynomial(OTHERS[name], inputs, degree, rng=seed)


@given(seed=st.integers(0, 10**6), degree=st.integers(1, 12))
def test_one_degree_more_is_refused(seed, degree):
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(-1.0, 1.0, (5, 3))
    coefficients = rng.normal(size=degree + 1)

    def monic(x):
        return sum(c * x**m for m, c in enumerate(coefficients)) + x ** (degree + 1)

    require_polynomial(monic, inputs, degree + 1, rng=seed)
    with pytest.raises(ValueError, match=f"no polynomial of degree <= {degree} "):
        require_polynomial(monic, inputs, degree, rng=seed)


def test_a_bend_in_one_of_many_answers_is_seen():
    inputs = np.random.default_rng(1).normal(size=(8, 20))

    def fn(x):
        return np.concatenate([x**2, np.abs(x[:, 7:8])], axis=1)

    with pytest.raises(ValueError, match="no polynomial"):
        require_polynomial(fn, inputs, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_functions_get_tensors_of_their_dtype(dtype):
    inputs = torch.linspace(-1, 2, 12, dtype=dtype).reshape(4, 3)
    seen = []

    def cubic(x):
        seen.append(x)
        return x**3 - x

    require_polynomial(cubic, inputs, 3)
    (stack,) = seen
    assert stack.dtype == dtype
    assert stack.shape[1:] == (3,)
    with torch.no_grad():
        layer = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh()).to(dtype)
        with pytest.raises(ValueError, match="no polynomial"):
            require_polynomial(layer, inputs, 3)
        require_polynomial(layer[0], inputs, 1)


def test_lines_cross_the_box_of_the_inputs_and_leave_it_nowhere():
    inputs = np.array([[0.0, 5.0, 2.0], [1.0, 9.0, 2.0], [0.5, 6.0, 2.0]])
    seen = []

    def fn(x):
        seen.append(x)
        return x

    require_polynomial(fn, inputs, 4)
    require_polynomial(fn, inputs, 4, rng=1)
    require_polynomial(fn, inputs, 4, rng=np.random.default_rng(1))
    first, second, third = seen
    assert (first >= inputs.min(axis=0) - 1e-12).all()
    assert (first <= inputs.max(axis=0) + 1e-12).all()
    assert (np.ptp(first, axis=0)[:2] > 0.4 * np.ptp(inputs, axis=0)[:2]).all()
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)


def test_a_generator_is_not_advanced_and_one_input_has_a_box_too():
    generator = np.random.default_rng(2)
    require_polynomial(lambda x: x**2, np.array([[3.0, 1.0]]), 2, rng=generator)
    assert generator.random() == np.random.default_rng(2).random()
    with pytest.raises(ValueError, match="no polynomial"):
        require_polynomial(np.abs, np.array([[0.1]]), 2)
    require_polynomial(lambda x: 0.0 * x, [1, 2, 3], 1)  # integers, and the zero polynomial


# Each answer by its own size.


def test_a_small_answer_beside_a_large_one_is_judged_by_its_own_size():
    inputs = np.linspace(-2.0, 2.0, 5)

    def fn(x):
        return np.stack([1e9 * x, 1e-7 * np.sin(3.0 * x)], axis=1)

    scheme = LagrangeScheme(5, 20, degree=3)
    for keywords in ({}, {"scheme": scheme}):
        with pytest.raises(ValueError, match=r"entry \[1\] of the answer misses"):
            require_polynomial(fn, inputs, 3, **keywords)
        require_polynomial(lambda x: fn(x)[:, :1], inputs, 3, **keywords)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_what_is_rounding_alone_beside_other_answers_passes(dtype, unit):
    rng = np.random.default_rng(0)
    unit = dtype(unit)

    def fn(x):
        y = x @ np.ones(3, dtype)
        return np.stack([unit * (y + 1) ** 2, unit * ((y + 1) ** 2 - y**2 - 2 * y - 1)], axis=1)

    for seed in range(20):
        inputs = rng.normal(size=(4, 3)).astype(dtype)
        require_polynomial(fn, inputs, 2, rng=seed)
        require_polynomial(fn, inputs, 2, scheme=LagrangeScheme(4, 12, degree=2), rng=seed)


# Where the code evaluates.


@pytest.mark.parametrize(("k", "n"), [(3, 8), (6, 30), (12, 60)])
@pytest.mark.parametrize("columns", [1, 20])
def test_a_bend_beyond_the_inputs_is_seen_along_coded_inputs(k, n, columns):
    scheme = LagrangeScheme(k, n, degree=1)
    for seed in range(20):
        inputs = np.random.default_rng(seed).uniform(-1.0, 1.0, (k, columns))
        low, high = inputs.min(axis=0), inputs.max(axis=0)
        coded_inputs = scheme.encode(inputs)
        excess = np.maximum(low - coded_inputs, coded_inputs - high).max() / np.ptp(inputs)

        def clip(x, low=low, high=high):
            return np.clip(x, low, high)

        require_polynomial(clip, inputs, 1, rng=seed)
        if excess > 0.02:
            with pytest.raises(ValueError, match="along lines through coded inputs"):
                require_polynomial(clip, inputs, 1, scheme=scheme, rng=seed)


def test_what_f_does_at_any_one_coded_input_is_seen():
    scheme = LagrangeScheme(5, 21, degree=2)
    inputs = np.random.default_rng(0).normal(size=(5, 2))
    for coded_input in scheme.encode(inputs):

        def fn(x, bump=coded_input):
            return (x**2).sum(axis=1) + np.exp(-50.0 * ((x - bump) ** 2).sum(axis=1))

        with pytest.raises(ValueError, match="no polynomial"):
            require_polynomial(fn, inputs, 2, scheme=scheme)


@pytest.mark.parametrize("masks", [{}, {"n_colluders": 1, "mask_std": 100.0}], ids=["", "masks"])
@pytest.mark.parametrize(
    "fn",
    [lambda x: np.abs(x) ** 2, lambda x: x.real**2, np.conj, lambda x: x**2 + 1e-6 * x.imag],
    ids=["square of the magnitude", "square of the real part", "conjugate", "imaginary part"],
)
def test_an_analog_code_needs_a_polynomial_of_complex_numbers(fn, masks):
    scheme = AnalogLagrangeScheme(3, 12, degree=2, **masks)
    inputs = np.random.default_rng(0).normal(size=(3, 4))
    require_polynomial(lambda x: fn(x.astype(complex)).real, inputs, 2)  # on real inputs it is one
    for seed in range(5):
        with pytest.raises(ValueError, match="no polynomial of degree <= 2 on these inputs"):
            require_polynomial(fn, inputs, 2, scheme=scheme, rng=seed)
    require_polynomial(lambda x: x**2 - 1j * x, inputs, 2, scheme=scheme)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_an_analog_code_of_tensors_is_judged_by_the_dtype_of_f(dtype):
    scheme = AnalogLagrangeScheme(4, 20, degree=3, n_colluders=1, mask_std=10.0)
    inputs = torch.linspace(-1.0, 2.0, 12, dtype=torch.float64).reshape(4, 3)

    def cubic(x):
        assert x.dtype == torch.complex128
        return x.to(dtype) ** 3 - x.to(dtype)

    require_polynomial(cubic, inputs, 3, scheme=scheme)
    with pytest.raises(ValueError, match="no polynomial"):
        require_polynomial(lambda x: cubic(x).conj(), inputs, 3, scheme=scheme)


@pytest.mark.parametrize("prime", [2**31 - 1, 101])
def test_over_a_field_answers_lie_on_a_polynomial_modulo_the_prime(prime):
    scheme = FieldLagrangeScheme(3, 12, degree=3, prime=prime, n_colluders=1)
    inputs = np.array([[3, -1], [5, 2], [-7, 4]])

    def cube(x):
        return balanced(balanced(x * x, prime) * x, prime)

    require_polynomial(cube, inputs, 3, scheme=scheme)
    require_polynomial(lambda x: cube(x) + prime * (x % 2), inputs, 3, scheme=scheme)
    for other in (np.abs, lambda x: np.clip(x, -40, 40), lambda x: x // 2):
        with pytest.raises(ValueError, match=f"no polynomial of degree <= 3 modulo {prime} on"):
            require_polynomial(other, inputs, 3, scheme=scheme)
    with pytest.raises(ValueError, match="degree <= 2 modulo"):
        require_polynomial(cube, inputs, 2, scheme=scheme)


def test_numbers_that_overflow_64_bits_are_seen():
    scheme, inputs = FieldLagrangeScheme(3, 12, degree=3), [1, 2 * 10**6, -3 * 10**6]
    with pytest.raises(ValueError, match=r"overflow 64 bits, reduce in between by .*balanced"):
        require_polynomial(lambda x: x**3, inputs, 3, scheme=scheme)
    require_polynomial(lambda x: x**2, inputs, 3, scheme=scheme)


def test_any_code_that_encodes_will_do():
    inputs = np.array([0.0, 1.0, 4.0])
    copies = ReplicationScheme(3, 7)
    require_polynomial(lambda x: x**2, inputs, 2, scheme=copies)
    with pytest.raises(ValueError, match="no polynomial"):
        require_polynomial(np.sqrt, inputs, 2, scheme=copies)
    # All coded inputs are the input itself, whose answer is the output whatever f is.
    require_polynomial(np.sqrt, [4.0], 1, scheme=LagrangeScheme(1, 5, degree=1))


def test_a_degree_beyond_that_of_the_scheme_is_refused():
    scheme = LagrangeScheme(3, 9, degree=2)
    with pytest.raises(ValueError, match=r"degree must be <= 2, that of scheme = Lagrange.*got 3"):
        require_polynomial(np.abs, [1.0, 2.0, 3.0], 3, scheme=scheme)
    require_polynomial(lambda x: 3 * x, [1.0, 2.0, 3.0], 1, scheme=scheme)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, [1.0], 1), TypeError, "fn must be callable, got int"),
        ((np.abs, [1.0], 0), ValueError, "degree must be >= 1, got 0"),
        ((np.abs, [1.0], 2.0), TypeError, "degree must be an integer"),
        ((np.abs, 1.0, 2), ValueError, r"inputs has shape \(\); pass a stack"),
        ((np.abs, np.ones((0, 2)), 2), ValueError, r"inputs has shape \(0, 2\)"),
        ((np.abs, [1.0, np.nan], 2), ValueError, r"inputs must be finite, but inputs\[1\]"),
        ((np.abs, ["a"], 2), TypeError, "inputs must hold real numbers"),
        ((np.sum, [1.0, 2.0], 1), ValueError, r"must return 39 answers .* got shape \(\)"),
        ((lambda x: x[1:], [1.0, 2.0], 1), ValueError, r"got shape \(38,\); pass a function of"),
        ((lambda x: x / 0.0, [1.0, 2.0], 1), ValueError, r"fn\(inputs\) must be finite"),
        ((lambda x: x + 1j, [1.0, 2.0], 1), TypeError, r"fn\(inputs\) must hold real numbers"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(error, match=message):
        require_polynomial(*arguments)


def test_bad_rng_is_refused():
    for rng, error in [(-1, ValueError), ("seed", TypeError), (None, TypeError)]:
        with pytest.raises(error, match="rng must be"):
            require_polynomial(np.abs, [1.0, 2.0], 1, rng=rng)
