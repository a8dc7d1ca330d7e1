import itertools
import math
import os
import re
import signal
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from sklearn.datasets import load_digits

from coded import (
    LocalWorkers,
    NotEnoughRespondersError,
    PrivateRegression,
    sigmoid_polynomial,
)
from coded.algebra.prime_field import LARGEST_PRIME

# Two blocks of two rows, and what So et al.'s code gives for them with g(z) = 1/2 + z.
ROWS = np.array([[0.5, -0.25], [1.0, 0.75], [-0.5, 0.5], [0.25, 1.0]])
WEIGHTS = np.array([0.5, -1.0])
GOLDEN = [0.78125, -0.5625]
MILLIONTH_PRIME = 15485863


def golden_regression(**options):
    options = {"coefficients": (0.5, 1.0), "input_bits": 2, "weight_bits": 2, **options}
    return PrivateRegression(ROWS, np.zeros(4), 2, 10, prime=MILLIONTH_PRIME, **options)


class AnsweringOnly(ThreadPoolExecutor):
    """Runs the tasks of some workers; those of the others, by their order, end in an error."""

    def __init__(self, responders, lies=()):
        super().__init__(1)
        self.responders, self.lies, self.submitted = set(responders), set(lies), 0

    def submit(self, fn, /, *args, **kwargs):
        n, self.submitted = self.submitted, self.submitted + 1
        future = Future()
        if n not in self.responders:
            future.set_exception(OSError("lost"))
        else:
            future.set_result(fn(*args, **kwargs) + (n in self.lies))
        return future


def some_data(n=23, d=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1.0, 1.0, (n, d)), rng.integers(0, 2, n).astype(float)


def gradient_in_integers(inputs, labels, weights, coefficients, bits):
    """The gradient at weights that are whole numbers of units, in Python's integers."""
    a, b = bits
    r = len(coefficients) - 1
    scale = 2 ** (a + b)
    quantised = np.rint(inputs * 2.0**a)
    whole = [round(scale ** (r - t) * c / coefficients[-1]) for t, c in enumerate(coefficients)]
    integers = [int(w * 2.0**b) for w in weights]
    sums = [0] * len(integers)
    for row in quantised.astype(int).tolist():
        z = sum(x * w for x, w in zip(row, integers, strict=True))
        value = sum(q * z**t for t, q in enumerate(whole))
        sums = [total + x * value for total, x in zip(sums, row, strict=True)]
    unit = coefficients[-1] / 2.0 ** (a + r * (a + b))
    return np.array(sums, float) * unit - (quantised / 2.0**a).T @ labels


# Exactness.


def test_any_answers_that_suffice_give_the_golden_gradient():
    regression = golden_regression()
    assert regression.min_responders == 7
    for responders in itertools.combinations(range(10), 7):
        result = regression.step(WEIGHTS, AnsweringOnly(responders))
        assert result.outputs.tolist() == GOLDEN
        assert result.responders.tolist() == list(responders)
        assert result.exact
        assert result.exact.shape == ()


@pytest.mark.parametrize(
    ("degree", "n_blocks", "n_colluders", "threshold"),
    [(1, 2, 1, 7), (1, 13, 1, 40), (3, 2, 1, 15), (2, 3, 2, 21)],
)
def test_the_threshold_is_that_of_the_paper(degree, n_blocks, n_colluders, threshold):
    inputs, labels = some_data(26, 2)
    coefficients = [1.0] * (degree + 1)
    regression = PrivateRegression(
        inputs,
        labels,
        n_blocks,
        threshold + 2,
        n_colluders=n_colluders,
        coefficients=coefficients,
        input_bits=1,
        weight_bits=1,
        radius=1.0,
    )
    assert regression.min_responders == threshold


CASES = {
    "logistic": (sigmoid_polynomial(), 4, 6),
    "linear": ((0.0, 1.0), 5, 7),
    "cubic": (sigmoid_polynomial(3), 2, 2),
    "square": ((0.25, -1.5, -0.75), 2, 3),
}


@pytest.mark.parametrize(("coefficients", "a", "b"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("n_blocks", [1, 3])
@pytest.mark.parametrize("n_colluders", [1, 2])
def test_the_gradient_is_that_of_integers_bit_for_bit(coefficients, a, b, n_blocks, n_colluders):
    inputs, labels = some_data()
    regression = PrivateRegression(
        inputs,
        labels,
        n_blocks,
        30,
        n_colluders=n_colluders,
        coefficients=coefficients,
        input_bits=a,
        weight_bits=b,
        radius=2.0,
    )
    whole = np.random.default_rng(1).integers(-(2**b), 2**b, (3, 4)) / 2.0**b
    with ThreadPoolExecutor(2) as pool:
        for weights in (np.zeros(4), *whole):
            wanted = gradient_in_integers(inputs, labels, weights, coefficients, (a, b))
            assert regression.step(weights, pool).outputs.tolist() == wanted.tolist()


def test_the_gradient_is_right_within_the_rounding():
    inputs, labels = some_data()
    a, b = 8, 8
    regression = PrivateRegression(
        inputs, labels, 3, 10, coefficients=(0.5, 0.25), input_bits=a, weight_bits=b, rng=0
    )
    weights = np.array([0.3, -0.7, 1.1, 0.01])
    exact = inputs.T @ (0.5 + 0.25 * (inputs @ weights) - labels)
    with ThreadPoolExecutor(2) as pool:
        gradients = [regression.step(weights, pool).outputs for _ in range(30)]
    residuals = np.abs(0.5 + 0.25 * (inputs @ weights) - labels)
    of_inputs = (residuals + 0.25 * np.abs(weights).sum()) @ np.ones(23) * 2.0**-a / 2 * 1.01
    of_weights = 0.25 * np.abs(inputs.T @ inputs).sum(axis=1) * 2.0**-b * 1.01
    errors = np.abs(np.array(gradients) - exact)
    assert (errors <= of_inputs + of_weights + 23 * 2.0 ** -(a + b)).all()
    assert errors.max() > 0.0
    assert len({tuple(one) for one in gradients}) > 10  # rounded anew in each step


def test_rows_that_fill_up_a_block_add_nothing():
    inputs, labels = some_data(7, 2)
    with ThreadPoolExecutor(2) as pool:
        gradients = [
            PrivateRegression(inputs, labels, n_blocks, 22).step(np.zeros(2), pool).outputs.tolist()
            for n_blocks in (1, 2, 3, 4, 5, 7)
        ]
    assert gradients == [gradients[0]] * 6


# What must not wrap.


def test_data_that_could_wrap_are_refused_and_bits_that_fit_are_named():
    inputs, labels = some_data(400, 6)
    options = {"radius": 20.0, "input_bits": 9, "weight_bits": 9}
    with pytest.raises(ValueError, match="input_bits = 9 and weight_bits = 9") as caught:
        PrivateRegression(inputs, labels, 2, 8, **options)
    [*_, a, b] = map(int, re.findall(r"_bits = (\d+)", str(caught.value)))
    options.update(input_bits=a, weight_bits=b)
    assert PrivateRegression(inputs, labels, 2, 8, **options).largest_radius >= 20.0
    assert a + b < 18


def test_no_bits_may_fit():
    with pytest.raises(ValueError, match="not even 0 is, got 10; scale inputs"):
        PrivateRegression([[1e6], [2e6]], [0, 1], 1, 4)


def test_a_step_from_weights_that_could_wrap_is_refused_before_anything_is_submitted():
    regression = golden_regression()
    executor = AnsweringOnly(range(10))
    largest = regression.largest_radius
    direction = np.array([0.6, 0.8])
    with pytest.raises(ValueError, match=r"weights must have a norm of at most .* got "):
        regression.step(1.001 * largest * direction, executor)
    assert executor.submitted == 0
    weights = np.floor(0.999 * largest * direction * 4.0) / 4.0
    wanted = gradient_in_integers(ROWS, np.zeros(4), weights, (0.5, 1.0), (2, 2))
    assert regression.step(weights, executor).outputs.tolist() == wanted.tolist()
    assert executor.submitted == 10


def test_training_that_diverges_ends_in_the_refusal():
    regression = golden_regression()
    norms = []
    with (
        ThreadPoolExecutor(2) as pool,
        pytest.raises(ValueError, match="lower the learning rate if the weights diverge"),
    ):
        regression.fit(
            pool, 1000, learning_rate=2.0, on_step=lambda _, w, __: norms.append(np.linalg.norm(w))
        )
    assert norms[-1] > regression.largest_radius >= max(norms[:-1])


# Privacy.


def test_what_a_worker_holds_is_uniform_whatever_the_data():
    # p = 7: each residue from one of the 7 masks. Shares of 700 seeds, for different data.
    prime, count = 7, 700
    for rows in ([[1.0]], [[-1.0]]):
        held = [
            [int(share[0, 0]) % prime for share in regression._placed.shares]
            for regression in (
                PrivateRegression(
                    rows,
                    [0.0],
                    1,
                    4,
                    coefficients=(0.0, 1.0),
                    input_bits=0,
                    weight_bits=0,
                    radius=0.0,
                    prime=prime,
                    rng=seed,
                )
                for seed in range(count)
            )
        ]
        for shares in np.array(held).T:
            seen = np.bincount(shares, minlength=prime)
            chi_square = ((seen - count / prime) ** 2).sum() / (count / prime)
            assert chi_square < 6 + 7 * math.sqrt(2 * 6)


@pytest.mark.parametrize(("n_colluders", "prime"), [(1, 7), (2, 11)])
def test_what_colluders_hold_takes_each_value_once_over_all_masks(n_colluders, prime):
    # Of a block's number and of a weight alike: uniform, then, whatever these are.
    n_workers = 3 * n_colluders + 1
    regression = PrivateRegression(
        [[1.0]],
        [0.0],
        1,
        n_workers,
        n_colluders=n_colluders,
        coefficients=(0.0, 1.0),
        input_bits=0,
        weight_bits=0,
        radius=0.0,
        prime=prime,
    )
    matrix = regression._scheme._encoder().dense()
    masks = np.array(list(itertools.product(range(prime), repeat=n_colluders)))
    for value in range(prime):
        sources = np.column_stack([np.full(len(masks), value), masks])
        coded = sources @ matrix.T % prime
        for colluders in itertools.combinations(range(n_workers), n_colluders):
            assert len(set(map(tuple, coded[:, colluders].tolist()))) == prime**n_colluders


def test_masks_come_from_the_operating_system_and_are_new_in_each_step(monkeypatch):
    drawn = []
    plain = os.urandom
    monkeypatch.setattr(os, "urandom", lambda size: drawn.append(size) or plain(size))
    inputs, labels = some_data(8, 2)
    first, second = (PrivateRegression(inputs, labels, 2, 8) for _ in range(2))
    of_blocks, of_weights = 4 * 4 * 2, 4 * 2  # bytes of masks of 4 rows, and of a row
    assert drawn.count(of_blocks) == 2
    held = zip(first._placed.shares, second._placed.shares, strict=True)
    assert not any((one == other).any() for one, other in held)
    weights = np.zeros(2)
    payloads = [np.stack([one for (one,) in first.prepare(weights).payloads]) for _ in range(2)]
    assert drawn.count(of_weights) == 2
    assert not (payloads[0] == payloads[1]).any()


def test_neither_shares_nor_payloads_hold_a_block_or_the_weights():
    regression = golden_regression(rng=3)
    integers = set(np.rint(4.0 * ROWS).astype(int).ravel().tolist())
    for share in regression._placed.shares:
        assert not integers & set(share.ravel().tolist())
    for (coded_weights,) in regression.prepare(WEIGHTS).payloads:
        assert not {2, -4} & set(coded_weights.ravel().tolist())


def test_a_task_stays_with_its_worker():
    # Given to another one, its share would be that of a colluder.
    regression = golden_regression()
    executors = [AnsweringOnly([0] if n < 6 else []) for n in range(10)]
    with pytest.raises(NotEnoughRespondersError, match="6 of 10 workers answered"):
        regression.step(WEIGHTS, executors)
    assert [one.submitted for one in executors] == [1] * 10
    with pytest.raises(TypeError, match="wait_for"):
        regression.step(WEIGHTS, executors, wait_for="exact")


def test_executors_that_would_see_too_much_are_refused():
    regression = golden_regression()
    executors = [AnsweringOnly(range(10)) for _ in range(9)]
    with pytest.raises(ValueError, match=r"executor must hold 10 .* would get 2 workers'"):
        regression.step(WEIGHTS, executors)
    with pytest.raises(ValueError, match="would get 2 workers'"):
        regression.step(WEIGHTS, [*executors, executors[0]])
    assert not any(one.submitted for one in executors)
    assert regression.step(WEIGHTS, executors[:1]).outputs.tolist() == GOLDEN  # to try it out

    inputs, labels = some_data(8, 2)
    two = PrivateRegression(inputs, labels, 1, 8, n_colluders=2)
    assert two.step(WEIGHTS, executors[1:5]).complete
    with pytest.raises(ValueError, match="would get 3 workers' blocks, and only n_colluders = 2"):
        two.step(WEIGHTS, executors[:3])


# Workers that lie, fail and die.


def test_liars_are_found_and_left_out():
    regression = golden_regression(n_liars=1)
    assert regression.min_responders == 9
    result = regression.step(WEIGHTS, AnsweringOnly(range(10), lies=[4]))
    assert result.outputs.tolist() == GOLDEN
    assert 4 not in result.responders
    assert 4 in result.failures


def test_more_answers_than_needed_show_a_liar_too():
    result = golden_regression().step(WEIGHTS, AnsweringOnly(range(10), lies=[2]), wait_for=10)
    assert result.outputs.tolist() == GOLDEN
    assert set(result.failures) == {2}
    with pytest.raises(NotEnoughRespondersError, match="more of the 8 answers are wrong"):
        golden_regression().step(WEIGHTS, AnsweringOnly(range(8), lies=[2]), wait_for=8)


def test_answers_of_another_shape_are_none_even_if_all_are():
    with pytest.raises(ValueError, match=r"answer must have the shape \(2,\), got \(1, 2\)"):
        golden_regression().prepare(WEIGHTS).read(0, np.zeros((1, 2), int))


@pytest.mark.parametrize("wrong", [np.zeros(3, int), np.zeros((1, 2), int), np.zeros(2), "text"])
def test_an_answer_of_another_kind_is_a_failure(wrong):
    class Confused(AnsweringOnly):
        def submit(self, fn, /, *args, **kwargs):
            future = super().submit(fn, *args, **kwargs)
            if self.submitted == 3:
                future = Future()
                future.set_result(wrong)
            return future

    result = golden_regression().step(WEIGHTS, Confused(range(10)), wait_for=9)
    assert result.outputs.tolist() == GOLDEN
    assert set(result.failures) == {2}


def test_too_few_answers_are_an_error():
    with pytest.raises(NotEnoughRespondersError) as caught:
        golden_regression().step(WEIGHTS, AnsweringOnly(range(6)))
    assert caught.value.responders == (0, 1, 2, 3, 4, 5)


@pytest.mark.outer
def test_a_worker_that_is_killed_in_the_middle_changes_nothing():
    inputs, labels = some_data(40, 3)

    def make():
        return PrivateRegression(inputs, labels, 2, 9, rng=5)

    alone = make()
    with ThreadPoolExecutor(2) as pool:
        wanted = alone.fit(pool, 30)
        last = alone.step(wanted.weights, pool)
    with LocalWorkers(9) as workers:
        workers.wait()
        killed = workers.pids[3]

        def kill(i, *_):
            if i == 9:
                os.kill(killed, signal.SIGKILL)

        regression = make()
        fitted = regression.fit(workers.executors, 30, timeout=60.0, on_step=kill)
        workers.wait()
        assert workers.pids[3] != killed
        # The worker that took its place is given its block.
        result = regression.step(fitted.weights, workers.executors, timeout=60.0, wait_for=9)
    assert np.array_equal(fitted.history, wanted.history)
    assert result.responders.tolist() == list(range(9))
    assert np.array_equal(result.outputs, last.outputs)


# Training.


@cache
def digits():
    """Threes and eights of scikit-learn, with an intercept: rows to learn and to be asked."""
    found = load_digits()
    chosen = np.isin(found.target, (3, 8))
    rows = np.column_stack([found.data[chosen] / 16.0, np.ones(chosen.sum())])
    labels = (found.target[chosen] == 8).astype(float)
    held_out = np.arange(len(rows)) % 4 == 0
    return rows[~held_out], labels[~held_out], rows[held_out], labels[held_out]


def descend(gradient, inputs, steps=100):
    weights = np.zeros(inputs.shape[1])
    rate = 4.0 / np.linalg.norm(inputs, 2) ** 2
    for _ in range(steps):
        weights = weights - rate * gradient(weights)
    return weights


def test_digits_are_told_apart_as_well_as_without_privacy():
    inputs, labels, asked, wanted = digits()
    c0, c1 = sigmoid_polynomial()
    line = descend(lambda w: inputs.T @ (c0 + c1 * (inputs @ w) - labels), inputs)
    sigmoid = descend(lambda w: inputs.T @ (1.0 / (1.0 + np.exp(-inputs @ w)) - labels), inputs)
    with ThreadPoolExecutor(2) as pool:
        fitted = PrivateRegression(inputs, labels, 3, 11, rng=0).fit(pool, 100)
        coarse = PrivateRegression(inputs, labels, 3, 11, input_bits=2, weight_bits=3, rng=0).fit(
            pool, 100
        )

    def share(weights):
        return float(np.mean((asked @ weights > 0.0) == wanted))

    assert share(fitted.weights) == share(line) == share(sigmoid) > 0.96
    assert share(coarse.weights) == share(line)
    assert np.linalg.norm(fitted.weights - line) < 2e-3 * np.linalg.norm(line)
    assert np.array_equal(fitted.predict(asked) > 0.5, asked @ fitted.weights > 0.0)


def test_linear_regression_finds_least_squares():
    inputs, _ = some_data(30, 3)
    labels = inputs @ [0.5, -1.0, 0.25] + 0.1 * np.random.default_rng(2).standard_normal(30)
    regression = PrivateRegression(
        inputs, labels, 2, 7, coefficients=(0.0, 1.0), input_bits=7, weight_bits=9, rng=0, radius=2
    )
    with ThreadPoolExecutor(2) as pool:
        fitted = regression.fit(pool, 200)
    quantised = np.rint(inputs * 2.0**7) / 2.0**7
    wanted = np.linalg.lstsq(quantised, labels, rcond=None)[0]
    assert np.abs(fitted.weights - wanted).max() < 2.0**-8  # two units of the weights' rounding
    assert np.allclose(fitted.predict(inputs), inputs @ fitted.weights)
    assert fitted.predict(inputs[0]).shape == ()


def test_fit_is_steps_and_tells_what_came_of_each():
    inputs, labels = some_data()
    told = []
    with ThreadPoolExecutor(2) as pool:
        fitted = PrivateRegression(inputs, labels, 2, 8, rng=1).fit(
            pool,
            5,
            learning_rate=0.25,
            weights=[0.0, 0.5, 0.0, -0.5],
            on_step=lambda i, w, result: told.append((i, w, result)),
        )
        again = PrivateRegression(inputs, labels, 2, 8, rng=1)
        weights = np.array([0.0, 0.5, 0.0, -0.5])
        for i in range(5):
            assert np.array_equal(fitted.history[i], weights)
            weights = weights - 0.25 * again.step(weights, pool).outputs
    assert np.array_equal(fitted.weights, weights)
    assert np.array_equal(fitted.history[5], weights)
    assert [i for i, _, _ in told] == [0, 1, 2, 3, 4]
    assert all(np.array_equal(w, fitted.history[i + 1]) for i, w, _ in told)
    assert tuple(result for _, _, result in told) == fitted.steps
    assert repr(fitted) == "FittedRegression(weights=(4,), steps=5, failures=0)"
    assert fitted.n_failures.tolist() == [0] * 5


def test_a_generator_that_is_given_is_not_advanced():
    inputs, labels = some_data()
    rng = np.random.default_rng(3)
    state = rng.bit_generator.state
    regression = PrivateRegression(inputs, labels, 2, 8, rng=rng)
    assert rng.bit_generator.state == state
    weights = np.full(4, 0.3)
    other = PrivateRegression(inputs, labels, 2, 8, rng=np.random.default_rng(3))
    for one, two in zip(
        regression.prepare(weights).payloads, other.prepare(weights).payloads, strict=True
    ):
        assert np.array_equal(one[0], two[0])


# Arguments.


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"inputs": [1.0, 2.0]}, ValueError, r"inputs must have a shape \(n, d\)"),
        ({"inputs": np.empty((0, 2)), "labels": []}, ValueError, "inputs must have a shape"),
        ({"inputs": [[np.nan]], "labels": [0]}, ValueError, r"inputs\[0, 0\] = nan"),
        ({"inputs": [["a"]], "labels": [0]}, TypeError, "inputs"),
        ({"inputs": np.full((4, 2), 1e-9)}, ValueError, "inputs must not all be rounded to 0"),
        ({"labels": [0.0, 1.0]}, ValueError, "labels must be as many as inputs has rows, 4, got 2"),
        ({"labels": [0.0, 1.0, np.inf, 0.0]}, ValueError, r"labels\[2\] = inf"),
        ({"n_blocks": 5}, ValueError, r"n_blocks must lie in \[1, 4\]"),
        ({"n_blocks": 0}, ValueError, "n_blocks"),
        ({"n_blocks": 1.0}, TypeError, "n_blocks"),
        ({"n_workers": 6}, ValueError, r"n_workers must be >= \(2 r \+ 1\).* = 7 .* got 6"),
        ({"n_colluders": 0}, ValueError, "n_colluders"),
        ({"n_liars": -1}, ValueError, "n_liars"),
        ({"coefficients": [1.0]}, ValueError, "coefficients must be c_0, ..., c_r"),
        ({"coefficients": [1.0, 0.0]}, ValueError, "c_r not 0"),
        ({"coefficients": [1.0, np.nan]}, ValueError, "coefficients"),
        ({"coefficients": "sigmoid"}, TypeError, "coefficients"),
        ({"input_bits": 31}, ValueError, "input_bits"),
        ({"weight_bits": -1}, ValueError, "weight_bits"),
        ({"weight_bits": 2.5}, TypeError, "weight_bits"),
        ({"radius": -1.0}, ValueError, "radius"),
        ({"radius": "far"}, TypeError, "radius"),
        ({"prime": 15}, ValueError, "prime"),
        ({"rng": "seed"}, TypeError, "rng"),
    ],
)
def test_arguments_are_checked(changes, error, match):
    arguments = {"inputs": ROWS, "labels": np.zeros(4), "n_blocks": 2, "n_workers": 8, **changes}
    with pytest.raises(error, match=match):
        PrivateRegression(**arguments)


@pytest.mark.parametrize(
    ("weights", "error", "match"),
    [
        ([0.0], ValueError, r"weights must have the shape \(2,\)"),
        ([[0.0, 0.0]], ValueError, "weights"),
        ([0.0, np.nan], ValueError, r"weights\[1\] = nan"),
        ([0.0, 1e300], ValueError, "weights must have a norm"),
        ("ab", TypeError, "weights"),
    ],
)
def test_weights_are_checked(weights, error, match):
    regression, executor = golden_regression(), AnsweringOnly(range(10))
    with pytest.raises(error, match=match):
        regression.step(weights, executor)
    with pytest.raises(error, match=match):
        regression.fit(executor, 1, weights=weights)
    assert executor.submitted == 0


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"n_steps": 0}, ValueError, "n_steps"),
        ({"n_steps": 1.5}, TypeError, "n_steps"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate"),
        ({"on_step": 3}, TypeError, "on_step must be callable"),
        ({"timeout": -1.0}, ValueError, "timeout"),
        ({"wait_for": 11}, ValueError, r"wait_for must lie in \[1, 10\]"),
        ({"executor": None}, TypeError, "executor"),
    ],
)
def test_arguments_of_training_are_checked(changes, error, match):
    executor = AnsweringOnly(range(10))
    with pytest.raises(error, match=match):
        golden_regression().fit(**{"executor": executor, "n_steps": 1, **changes})
    assert executor.submitted == 0


def test_columns_to_predict_are_checked():
    fitted = golden_regression().fit(AnsweringOnly(range(10)), 1)
    with pytest.raises(ValueError, match=r"inputs must have 2 columns.* got shape \(4, 3\)"):
        fitted.predict(np.zeros((4, 3)))


def test_it_is_told_in_one_line():
    line = repr(golden_regression())
    assert line.startswith("PrivateRegression(FieldLagrangeScheme(2, 10, degree=3")
    assert "input_bits=2, weight_bits=2, largest_radius=" in line
    assert PrivateRegression(ROWS, np.zeros(4), 1, 4)._scheme.prime == LARGEST_PRIME
