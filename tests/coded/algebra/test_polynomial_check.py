"""Polynomials pass, whatever their coefficients and dtype; other functions are refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import require_polynomial

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

    for fn in (along_a_direction, entrywise, several_answers):
        assert fn(inputs.astype(dtype)).dtype == dtype
        require_polynomial(fn, inputs.astype(dtype), degree, rng=seed)


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
