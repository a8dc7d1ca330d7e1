import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import NotEnoughRespondersError, ParityScheme, TorchWorker, coded_map, simulate
from coded.schemes.registry import Setting

EPS = np.finfo(np.float64).eps
SMALL = [(1, 1), (1, 3), (2, 2), (2, 3), (2, 5), (3, 5), (4, 5), (4, 7), (5, 8)]


def solve(matrix, right):
    """Gauss-Jordan elimination over the rationals: the matrix that solves all columns."""
    rows = [list(row) + list(more) for row, more in zip(matrix, right, strict=True)]
    n = len(rows)
    for k in range(n):
        pivot = next(i for i in range(k, n) if rows[i][k] != 0)
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for i in range(n):
            if i != k:
                rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k], strict=True)]
    return [row[n:] for row in rows]


def exact_decoder(n_inputs, responders):
    """Least squares over the parity answers, each in units of its weights' norm, in fractions."""
    answered = [n for n in responders if n < n_inputs]
    asked = [n - n_inputs for n in responders if n >= n_inputs]
    lost = [k for k in range(n_inputs) if k not in answered]
    weights = [[Fraction((i + 1) ** j) for i in range(n_inputs)] for j in asked]
    inverse_squares = [1 / sum(w * w for w in row) for row in weights]
    pairs = list(zip(weights, inverse_squares, strict=True))
    normal = [[sum(v * row[a] * row[b] for row, v in pairs) for b in lost] for a in lost]
    right = [
        [-sum(v * row[a] * row[i] for row, v in pairs) for i in answered]
        + [v * row[a] for row, v in pairs]
        for a in lost
    ]
    solved = solve(normal, right)
    decoder = [[Fraction(int(k == n)) for n in responders] for k in range(n_inputs)]
    for k, row in zip(lost, solved, strict=True):
        decoder[k] = row
    return np.array([[float(value) for value in row] for row in decoder])


def responder_sets(n_inputs, n_workers):
    counts = range(n_inputs, n_workers + 1)
    return itertools.chain.from_iterable(
        itertools.combinations(range(n_workers), count) for count in counts
    )


# Golden values.


def test_the_parity_answer_less_the_other_answer_is_the_lost_one():
    matrix, inputs = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [2.0, -1.0]])
    scheme = ParityScheme(2, 3)
    coded_outputs = scheme.encode(inputs) @ matrix.T
    np.testing.assert_array_equal(coded_outputs[2], [1, 5])
    np.testing.assert_array_equal(scheme.decode(coded_outputs[[0, 2]], [0, 2]), [[1, 3], [0, 2]])


def test_golden_weights_and_decoder():
    scheme = ParityScheme(3, 5)
    np.testing.assert_array_equal(scheme.weights, [[1, 1, 1], [1, 2, 3]])
    np.testing.assert_array_equal(scheme.encoding_matrix[3:], [[1, 1, 1], [1, 2, 3]])
    golden = [[1, 2, -1], [-2, -1, 1], [1, 0, 0]]
    np.testing.assert_allclose(scheme.decoding_matrix([2, 3, 4]), golden, rtol=0, atol=50 * EPS * 4)


@pytest.mark.parametrize(("n_inputs", "n_workers"), SMALL)
def test_every_survivor_set_equals_fractions(n_inputs, n_workers):
    scheme = ParityScheme(n_inputs, n_workers)
    for responders in responder_sets(n_inputs, n_workers):
        assert scheme.can_decode(responders)
        expected = exact_decoder(n_inputs, responders)
        largest = np.abs(expected).sum(axis=1).max()
        matrix = scheme.decoding_matrix(responders)
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=100 * EPS * largest**2)
        assert scheme.amplification(responders) == pytest.approx(largest, rel=1e-9)
        np.testing.assert_array_equal(
            scheme.exact_mask(responders), np.isin(np.arange(n_inputs), responders)
        )


@pytest.mark.parametrize(("n_inputs", "n_workers"), SMALL)
def test_fewer_than_k_answers_are_too_few(n_inputs, n_workers):
    scheme = ParityScheme(n_inputs, n_workers)
    assert scheme.min_responders == n_inputs
    for responders in itertools.combinations(range(n_workers), n_inputs - 1):
        assert not scheme.can_decode(responders)
        assert scheme.amplification(responders) == np.inf
        with pytest.raises(NotEnoughRespondersError, match=f"needs {n_inputs} answers"):
            scheme.decode(np.ones(len(responders)), responders)


# Functions.


@given(seed=st.integers(0, 10**6), n_inputs=st.integers(1, 6), n_parities=st.integers(0, 3))
def test_linear_functions_are_exact_without_models(seed, n_inputs, n_parities):
    rng = np.random.default_rng(seed)
    matrix, inputs = rng.normal(size=(4, 3)), rng.normal(size=(n_inputs, 3))
    scheme = ParityScheme(n_inputs, n_inputs + n_parities)
    result = simulate(
        lambda rows: rows @ matrix.T, inputs, scheme, stragglers=n_parities, repeats=5, rng=seed
    )
    for outputs, responders in zip(result.outputs, result.responders, strict=True):
        tolerance = 100 * EPS * scheme.amplification(responders) * 6 ** (n_parities + 1) * 10
        np.testing.assert_allclose(outputs, inputs @ matrix.T, rtol=0, atol=tolerance)


def square(coded_input):
    return coded_input**2


def true_sum(weights):
    """Give the parity model that knows the inputs: it cannot be wrong about f = square."""
    inputs = np.array([1.0, -2.0, 3.0])
    answer = float(weights @ square(inputs))
    return lambda query: np.full_like(query, answer)


def test_perfect_parity_models_make_any_function_exact():
    models = [true_sum(weights) for weights in ParityScheme(3, 5).weights]
    scheme = ParityScheme(3, 5, parity_models=models)
    inputs = np.array([1.0, -2.0, 3.0])
    result = simulate(square, inputs, scheme, stragglers=2, repeats=30)
    assert len({tuple(who) for who in result.responders}) > 5
    np.testing.assert_allclose(result.outputs, np.tile([1.0, 4.0, 9.0], (30, 1)), atol=1e-12)
    by_f = ParityScheme(3, 5).decode(square(scheme.encode(inputs))[2:], [2, 3, 4])
    assert abs(by_f[0] - 1.0) > 1.0


def test_an_error_of_the_parity_model_is_the_error_of_the_lost_output():
    scheme = ParityScheme(3, 4, parity_models=[lambda query: 14.0 + 0.25 + 0.0 * query])
    result = simulate(
        square, np.array([1.0, -2.0, 3.0]), scheme, stragglers=1, repeats=20, batched=True
    )
    for outputs, responders in zip(result.outputs, result.responders, strict=True):
        lost = np.setdiff1d(range(3), responders)
        np.testing.assert_array_equal(outputs[lost], np.array([1.0, 4.0, 9.0])[lost] + 0.25)


def test_surplus_parity_answers_are_averaged_by_their_own_errors():
    scheme = ParityScheme(2, 5)
    row = scheme.decoding_matrix([1, 2, 3, 4])[0]
    weights = scheme.weights
    errors = np.linalg.norm(weights, axis=1)  # what each parity model is taken to err by
    single = [scheme.decoding_matrix([1, 2 + j])[0, 1] * errors[j] for j in range(3)]
    combined = np.linalg.norm(row[1:] * errors)
    assert combined < min(single)  # better than any one of them
    assert combined == pytest.approx(np.sum(np.power(single, -2.0)) ** -0.5, rel=1e-12)


def test_workers_evaluate_f_and_their_parity_models():
    models = [true_sum(np.ones(3)), abs]
    functions = ParityScheme(3, 5, parity_models=models).worker_functions(square)
    assert functions == [square] * 3 + models
    assert ParityScheme(3, 5).worker_functions(square) == [square] * 5


def test_coded_map_runs_parity_models_on_threads():
    torch.manual_seed(0)
    model, parity = torch.nn.Linear(4, 2), torch.nn.Linear(4, 2)
    with torch.no_grad():  # the exact parity model of an affine f: the same slopes, 3 offsets
        parity.weight.copy_(model.weight)
        parity.bias.copy_(3 * model.bias)
    f, g = TorchWorker(model), TorchWorker(parity)
    scheme = ParityScheme(3, 4, parity_models=[g])
    inputs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    shut = ThreadPoolExecutor(1)
    shut.shutdown()
    with ThreadPoolExecutor(2) as pool:
        for lost in range(4):
            executors = [shut if n == lost else pool for n in range(4)]
            result = coded_map(f, inputs, scheme, executors)
            assert result.stragglers.tolist() == [lost]
            np.testing.assert_array_equal(result.exact, np.arange(3) != lost)
            expected = np.stack([f(x) for x in inputs])
            np.testing.assert_allclose(result.outputs, expected, rtol=0, atol=1e-5)
            np.testing.assert_array_equal(result.outputs[result.exact], expected[result.exact])


def test_schemes_pickle_with_their_models():
    scheme = ParityScheme(2, 3, parity_models=[square])
    copy = pickle.loads(pickle.dumps(scheme))
    assert copy.parity_models == (square,)
    assert repr(copy) == repr(scheme) == "ParityScheme(2, 3, parity_models=[square])"
    assert repr(ParityScheme(2, 3)) == "ParityScheme(2, 3)"


# The door.


@pytest.mark.parametrize("models", [square, "ab", 3, {square}])
def test_models_that_are_no_sequence_are_refused(models):
    with pytest.raises(TypeError, match="parity_models must be a sequence of functions or None"):
        ParityScheme(2, 3, parity_models=models)


def test_a_model_that_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"parity_models\[1\] must be callable, got a ndarray"):
        ParityScheme(2, 4, parity_models=[square, np.ones(2)])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_models_is_refused(count):
    with pytest.raises(ValueError, match=f"n_workers - n_inputs = 2 models, got {count}"):
        ParityScheme(2, 4, parity_models=[square] * count)


def test_fewer_workers_than_inputs_are_refused():
    with pytest.raises(ValueError, match="n_workers must be >= n_inputs = 3, got 2"):
        ParityScheme(3, 2)


def test_weights_that_take_all_digits_are_refused():
    assert ParityScheme(10, 19).weights[-1, -1] == 1e8
    with pytest.raises(ValueError, match=r"10\^9, but must be <= 1e\+08"):
        ParityScheme(10, 20)
    ParityScheme(1, 100)  # one input: all weights are 1


def test_survivors_that_amplify_too_much_are_refused():
    scheme = ParityScheme(20, 27)
    steep = [*range(1, 20), 26]  # input 0 from the sum of i^6 f(x_i) alone
    assert scheme.amplification(steep) == pytest.approx(sum(i**6 for i in range(1, 21)))
    assert not scheme.can_decode(steep)
    with pytest.raises(NotEnoughRespondersError, match="these do by 2"):
        scheme.decode(np.ones(20), steep)
    assert scheme.can_decode([*range(1, 20), 20])


def test_the_variant_serves_what_the_scheme_does():
    from coded.schemes.parity import VARIANTS

    variant = VARIANTS["parity"]
    assert variant.exact_for == "linear"
    assert repr(variant.make(Setting(3, 5, 2))) == "ParityScheme(3, 5)"
    with pytest.raises(ValueError, match="n_workers must be >= n_inputs"):
        variant.make(Setting(5, 3, 1))
