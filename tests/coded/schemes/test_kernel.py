import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import (
    AnswerMemory,
    FitMemory,
    KernelScheme,
    NotEnoughRespondersError,
    balanced_copies,
    path_order,
    pooled_gradients,
)
from coded.estimation.kriging import krige, krige_nearest
from coded.nearness.distances import distances
from coded.places.copies import copies_by_risk
from coded.schemes.protocol import ErrorEstimating

EPS = np.finfo(np.float64).eps


def some_inputs(n, *trailing, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *trailing))


def kriged(known, wanted, power):
    """What the definition gives, from the features of all distinct points at hand."""
    among, to = distances(known, known), distances(wanted, known)
    return krige(among, to, power, known, wanted)


def answers_of(rows):
    """Some f."""
    flat = rows.reshape(len(rows), -1)
    return np.stack([np.sin(flat.sum(axis=1)), np.cos(flat[:, 0]), flat.max(axis=1)], axis=1)


def scaled(stack):
    """Features of the caller's."""
    return np.asarray(stack).reshape(len(stack), -1)[:, :4] ** 2


# The code.


@pytest.mark.parametrize(("n_inputs", "n_workers"), [(9, 4), (60, 20), (5, 3), (1, 4)])
def test_with_few_workers_outputs_are_coded_by_balanced_copies(n_inputs, n_workers):
    inputs = some_inputs(n_inputs, 10)
    scheme = KernelScheme(n_inputs, n_workers).bind(inputs)
    expected = inputs[balanced_copies(n_inputs, n_workers)]
    np.testing.assert_array_equal(scheme.encode(inputs), expected)


@pytest.mark.parametrize(
    ("n_inputs", "n_workers", "n_stragglers"),
    [(20, 100, 60), (20, 60, 20), (60, 100, 20), (4, 9, None)],
)
def test_bound_outputs_are_coded_by_more_copies_of_what_others_estimate_badly(
    n_inputs, n_workers, n_stragglers
):
    inputs = some_inputs(n_inputs, 10) * np.linspace(0.1, 3.0, n_inputs)[:, None]
    scheme = KernelScheme(n_inputs, n_workers, n_stragglers=n_stragglers).bind(inputs)
    matrix = scheme.encoding_matrix
    assert ((matrix == 0.0) | (matrix == 1.0)).all()
    held = matrix.sum(axis=0)
    others = [np.delete(np.arange(n_inputs), k) for k in range(n_inputs)]
    variances = [
        kriged(inputs[rest], inputs[[k]], 1.5).variances[0] for k, rest in enumerate(others)
    ]
    share = n_workers // n_inputs
    expected = copies_by_risk(
        np.sqrt(variances), n_workers, scheme.n_stragglers, at_least=max(1, share - 1)
    )
    np.testing.assert_array_equal(held, expected)
    assert held[-1] > held[0]


@given(seed=st.integers(0, 10**6), data=st.data())
def test_all_outputs_are_exact_where_fewer_stragglers_than_copies_were_declared(seed, data):
    n_inputs = data.draw(st.integers(1, 8))
    n_workers = data.draw(st.integers(n_inputs, 30))
    n_stragglers = data.draw(st.integers(0, n_workers // n_inputs - 1))
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n_inputs, 5)) * 10.0 ** rng.uniform(-6, 0, (n_inputs, 1))
    if data.draw(st.booleans()):
        inputs[n_inputs // 2 :] = inputs[0]
    scheme = KernelScheme(n_inputs, n_workers, n_stragglers=n_stragglers).bind(inputs)
    held = np.bincount(scheme._held(), minlength=n_inputs)
    assert held.min() == n_workers // n_inputs > n_stragglers
    assert held.max() <= -(-n_workers // n_inputs) or len(np.unique(inputs, axis=0)) < n_inputs
    # Whatever was declared, near twins too have all but one of the copies that fit.
    loose = KernelScheme(n_inputs, n_workers).bind(inputs)
    least = max(1, n_workers // n_inputs - 1)
    assert np.bincount(loose._held(), minlength=n_inputs).min() >= least


@pytest.mark.parametrize(
    ("n_inputs", "n_workers", "copies"), [(20, 100, 3), (20, 60, 2), (60, 100, 1), (60, 60, 1)]
)
def test_labels_are_coded_by_copies_and_chord_points(n_inputs, n_workers, copies):
    inputs = some_inputs(n_inputs, 10)
    scheme = KernelScheme(n_inputs, n_workers, objective="labels").bind(inputs)
    matrix = scheme.encoding_matrix
    is_copy = (matrix == 1.0).sum(axis=1) == 1
    assert (matrix[is_copy].sum(axis=0) == copies).all()
    order = path_order(inputs)
    place = np.argsort(order)
    shares = np.zeros(n_inputs - 1, int)
    for row in matrix[~is_copy]:
        ends = np.flatnonzero(row)
        assert np.ptp(place[ends]) == 1
        assert row.sum() == pytest.approx(1.0, abs=EPS)
        shares[place[ends].min()] += 1
    assert np.ptp(shares) <= 1
    edge = matrix[~is_copy][:, order[:2]]
    fractions = np.sort(edge[(edge > 0).all(axis=1), 1])
    count = shares[0]
    np.testing.assert_allclose(fractions, np.arange(1, count + 1) / (count + 1), atol=1e-12)


def test_nothing_between_inputs_is_asked_where_that_is_said():
    for inputs in (some_inputs(20), some_inputs(20, 10)):
        bound = KernelScheme(20, 70, n_stragglers=30, between=False).bind(inputs)
        assert np.array_equal(bound.encode(inputs), inputs[balanced_copies(20, 70)])
        answered = np.arange(15)
        outputs = bound.decode(answers_of(bound.encode(inputs)[answered]), answered)
        is_exact = bound.exact_mask(answered)
        assert 0 < is_exact.sum() < 20
        assert np.array_equal(outputs[is_exact], answers_of(inputs)[is_exact])
        scale = answers_of(inputs).std()
        assert np.abs(outputs - answers_of(inputs)).max() < 5.0 * scale


def test_fewer_than_eight_inputs_of_few_numbers_get_copies_and_lines_between_them():
    inputs = np.array([0.0, 1.0, 3.0, 4.0, 6.0])
    bound = KernelScheme(5, 5, n_stragglers=2).bind(inputs)
    assert np.array_equal(np.sort(bound.encoding_matrix, axis=1), np.eye(5)[[4] * 5])
    lost = bound.encoding_matrix[:, [0, 2]].any(axis=1)
    answered = np.flatnonzero(~lost)
    outputs = bound.decode(bound.encode(inputs)[answered] ** 2, answered)
    np.testing.assert_allclose(outputs[[0, 2]], [1.0, 1.0 + 2.0 / 3.0 * 15.0], rtol=1e-9)


def test_few_numbers_get_chord_points_and_more_copies_at_the_ends():
    inputs = some_inputs(20)
    matrix = KernelScheme(20, 100, n_stragglers=60).bind(inputs).encoding_matrix
    held = (matrix == 1.0).sum(axis=0)[np.argsort(inputs)]
    assert held.tolist() == [6] + 18 * [3] + [6]
    held = KernelScheme(20, 100, n_stragglers=6).bind(inputs).encoding_matrix
    assert (held == 1.0).sum(axis=0)[np.argsort(inputs)].tolist() == [5] + 18 * [4] + [5]
    assert (KernelScheme(3, 3).bind(inputs[:3]).encoding_matrix.sum(axis=0) == 1).all()
    assert KernelScheme(20, 7).bind(inputs).encoding_matrix.shape == (7, 20)
    assert KernelScheme(1, 7).bind(inputs[:1]).encoding_matrix.tolist() == 7 * [[1.0]]


@pytest.mark.parametrize(
    ("numbers", "objective"), [(10, "outputs"), (10, "labels"), (2, "outputs")]
)
@pytest.mark.parametrize(("n_inputs", "n_workers"), [(20, 100), (20, 60), (60, 100), (12, 64)])
def test_equal_coded_inputs_lie_far_apart_among_the_workers(
    n_inputs, n_workers, numbers, objective
):
    inputs = some_inputs(n_inputs, numbers)
    held = KernelScheme(n_inputs, n_workers, objective=objective).bind(inputs)._held()
    for k in range(n_inputs):
        holders = np.flatnonzero(held == k)
        gaps = np.diff(holders)
        assert gaps.min(initial=n_workers) * 8 * max(len(holders) - 1, 1) >= n_workers
        # No machine that has a third of the workers has all copies.
        assert np.ptp(holders) > n_workers / 3 or len(holders) == 1
        for executors in (2, 4, 5, 10):
            if n_workers % executors == 0 and len(holders) > 1:
                assert len(set(holders % executors)) == min(executors, len(holders))


# Decoding.


@pytest.mark.parametrize("objective", ["outputs", "labels"])
@pytest.mark.parametrize(
    ("shape", "features", "phi", "power"),
    [
        ((12,), None, lambda x: x.reshape(len(x), -1), 1.5),
        ((2,), None, lambda x: x, 3.0),
        ((9, 8), None, pooled_gradients, 1.8),
        ((3, 8, 8), None, pooled_gradients, 1.8),
        ((9, 7), None, lambda x: x.reshape(len(x), -1), 1.5),
        ((9, 8), scaled, scaled, 1.8),
        ((2,), scaled, scaled, 1.8),
    ],
)
def test_lost_answers_are_kriged_from_all_distinct_coded_inputs(
    shape, features, phi, power, objective
):
    rng = np.random.default_rng(0)
    inputs = some_inputs(8, *shape)
    units = np.ptp(inputs, axis=0) if shape == (2,) and features is None else 1.0
    scheme = KernelScheme(8, 24, fit=None, features=features, objective=objective)
    scheme = scheme.bind(inputs)
    coded_inputs = scheme.encode(inputs)
    coded_outputs = answers_of(coded_inputs)
    n_estimated = 0
    for _ in range(10):
        responders = np.sort(rng.permutation(24)[:8])
        _, first = np.unique(coded_inputs[responders].reshape(8, -1), axis=0, return_index=True)
        known, answers = coded_inputs[responders][first], coded_outputs[responders][first]
        found = kriged(phi(known / units), phi(inputs / units), power)
        outputs, std = scheme.decode_with_std(coded_outputs[responders], responders)
        mask = scheme.exact_mask(responders)
        np.testing.assert_array_equal(outputs[mask], answers_of(inputs)[mask])
        tolerance = 1e-9 * np.abs(found.weights).sum(axis=1).max()
        np.testing.assert_allclose(outputs, found.weights @ answers, rtol=0, atol=tolerance)
        assert (std[mask] == 0).all()
        np.testing.assert_allclose(std[~mask], found.std(answers)[~mask], rtol=1e-5)
        n_estimated += (~mask).sum()
    assert n_estimated > 0
    assert isinstance(scheme, ErrorEstimating)


@pytest.mark.parametrize("fit", ["answers", None])
def test_a_straight_line_is_decoded_from_few_numbers_exactly(fit):
    rng = np.random.default_rng(0)
    inputs = some_inputs(9, 2)
    scheme = KernelScheme(9, 30, fit=fit).bind(inputs)
    coded_outputs = scheme.encode(inputs) @ rng.normal(size=(2, 4)) + 5.0
    truth = np.linalg.lstsq(scheme.encoding_matrix, coded_outputs, rcond=None)[0]
    for _ in range(10):
        responders = np.sort(rng.permutation(30)[:10])
        outputs = scheme.decode(coded_outputs[responders], responders)
        np.testing.assert_allclose(outputs, truth, rtol=0, atol=1e-7)


# Odd inputs.


@pytest.mark.parametrize("trailing", [(), (1,), (3,), (12,), (8, 8)])
@pytest.mark.parametrize("features", [None, scaled])
@pytest.mark.parametrize("fit", ["answers", None])
@pytest.mark.parametrize("objective", ["outputs", "labels"])
@pytest.mark.parametrize("kind", ["equal", "twins", "line", "random", "huge", "tiny"])
def test_whatever_the_inputs_outputs_are_finite_and_std_is_no_nan(
    trailing, features, fit, objective, kind
):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(6, *trailing))
    if kind == "equal":
        inputs[:] = inputs[0]
    if kind == "twins":
        inputs[3:] = inputs[:3]
    if kind == "line":
        inputs = np.arange(6.0).reshape(-1, *(1 for _ in trailing)) * np.ones((6, *trailing))
    inputs *= {"huge": 1e150, "tiny": 1e-150}.get(kind, 1.0)
    for n_workers in (1, 4, 6, 15):
        scheme = KernelScheme(
            6, n_workers, n_stragglers=0, fit=fit, features=features, objective=objective
        ).bind(inputs)
        answers = rng.normal(size=(n_workers, 2))
        if fit is not None:  # copies that differ would be noise
            answers = np.unique(scheme.encoding_matrix, axis=0, return_inverse=True)[1]
            answers = rng.normal(size=(n_workers, 2))[answers.reshape(-1)]
        for size in {1, 2, max(1, n_workers // 2), n_workers}:
            responders = np.sort(rng.permutation(n_workers)[:size])
            outputs, std = scheme.decode_with_std(answers[responders], responders)
            mask = scheme.exact_mask(responders)
            assert np.isfinite(outputs).all()
            assert not np.isnan(std).any()
            assert (std >= 0).all()
            assert (std[mask] == 0).all()
            ones = scheme.decode(np.ones(len(responders)), responders)
            np.testing.assert_allclose(ones, 1.0, rtol=0, atol=1e-9)


def test_a_lost_input_that_equals_another_gets_its_answer():
    inputs = some_inputs(4, 10)
    inputs[3] = inputs[1]
    scheme = KernelScheme(4, 4).bind(inputs)
    coded_outputs = answers_of(scheme.encode(inputs))
    responders = np.flatnonzero(scheme._held() != 3)
    outputs, std = scheme.decode_with_std(coded_outputs[responders], responders)
    np.testing.assert_array_equal(outputs, answers_of(inputs))
    assert not scheme.exact_mask(responders)[3]
    assert std.tolist() == [0.0, 0.0, 0.0, 0.0]


def test_one_answer_is_everybodys_with_unknown_error():
    scheme = KernelScheme(3, 6).bind(some_inputs(3, 5))
    outputs, std = scheme.decode_with_std([4.0], [2])
    assert outputs.tolist() == [4.0, 4.0, 4.0]
    held = scheme._held()[2]
    assert std.tolist() == [0.0 if k == held else np.inf for k in range(3)]


def test_inputs_that_nobody_evaluates_are_estimated():
    inputs = np.linspace(0.0, 1.0, 9)
    scheme = KernelScheme(9, 5).bind(inputs)
    assert scheme.exact_mask(range(5)).tolist() == [True, False] * 4 + [True]
    outputs = scheme.decode(2.0 * scheme.encode(inputs) + 1.0, range(5))
    np.testing.assert_allclose(outputs, 2.0 * inputs + 1.0, rtol=0, atol=1e-12)


@given(seed=st.integers(0, 10**6))
def test_the_order_of_the_inputs_does_not_matter_where_each_is_evaluated_once(seed):
    rng = np.random.default_rng(seed)
    inputs, shuffle = rng.normal(size=(6, 5)), rng.permutation(6)
    one, other = KernelScheme(6, 6).bind(inputs), KernelScheme(6, 6).bind(inputs[shuffle])
    lost = rng.permutation(6)[:3]
    responders = np.flatnonzero(~np.isin(one._held(), lost))
    same = np.flatnonzero(~np.isin(shuffle[other._held()], lost))
    outputs = one.decode(answers_of(one.encode(inputs))[responders], responders)
    shuffled = other.decode(answers_of(other.encode(inputs[shuffle]))[same], same)
    np.testing.assert_allclose(shuffled, outputs[shuffle], rtol=0, atol=1e-12)


# Unbound.


@pytest.mark.parametrize("objective", ["outputs", "labels"])
def test_unbound_it_refuses(objective):
    scheme = KernelScheme(3, 6, objective=objective)
    inputs = some_inputs(3, 4)
    coded_outputs = scheme.bind(inputs).encode(inputs)
    assert not scheme.can_decode(range(6))
    for refused in (
        lambda: scheme.decode(coded_outputs, range(6)),
        lambda: scheme.decode(coded_outputs.astype(str), range(6)),
        lambda: scheme.decode_with_std(coded_outputs, range(6)),
        lambda: scheme.encode(inputs),
        lambda: scheme.encoding_matrix,
        lambda: scheme.exact_mask(range(6)),
    ):
        with pytest.raises(ValueError, match=r"call bind\(inputs\), and encode and decode") as it:
            refused()
        assert not isinstance(it.value, NotEnoughRespondersError)  # more answers would not help
    assert repr(scheme.bind(inputs)) == f"{scheme!r}.bind(...)"


# Memory.


def remembering(n, *trailing, capacity=1000, seed=7):
    memory = AnswerMemory(capacity)
    inputs = some_inputs(n, *trailing, seed=seed)
    memory.add(inputs, answers_of(inputs))
    return memory


@pytest.mark.parametrize("n_remembered", [5, 150])
@pytest.mark.parametrize(("shape", "power"), [((6,), 1.5), ((2,), 3.0), ((8, 9), 1.8)])
def test_with_a_memory_lost_answers_are_kriged_from_the_nearest(n_remembered, shape, power):
    rng = np.random.default_rng(0)
    inputs = some_inputs(8, *shape)
    memory = remembering(n_remembered, *shape)
    past, known_answers = memory.snapshot()
    scheme = KernelScheme(8, 12, fit=None, memory=memory).bind(inputs)
    coded_inputs = scheme.encode(inputs)
    coded_outputs = answers_of(coded_inputs)

    def phi(stack):
        if len(shape) == 2:
            return pooled_gradients(stack)
        return stack / np.ptp(inputs, axis=0) if shape == (2,) else stack

    for _ in range(5):
        responders = np.sort(rng.permutation(12)[:5])
        rows, first = np.unique(coded_inputs[responders].reshape(5, -1), axis=0, return_index=True)
        near = np.concatenate([phi(rows.reshape(-1, *shape)), phi(past)])
        values = np.concatenate([coded_outputs[responders][first], known_answers])
        outputs, std = scheme.decode_with_std(coded_outputs[responders], responders)
        mask = scheme.exact_mask(responders)
        np.testing.assert_array_equal(outputs[mask], answers_of(inputs)[mask])
        for k in np.flatnonzero(~mask):
            sources, found = krige_nearest(phi(inputs)[k], near, power, 100)
            expected = found.weights @ values[sources]
            np.testing.assert_allclose(outputs[k], expected[0], rtol=0, atol=1e-9)
            assert std[k] == pytest.approx(found.std(values[sources])[0], rel=1e-6)


def test_what_was_answered_before_is_known():
    inputs = some_inputs(5, 6)
    memory = AnswerMemory(10)
    memory.add(inputs, answers_of(inputs))
    scheme = KernelScheme(5, 5, memory=memory).bind(inputs)
    outputs, std = scheme.decode_with_std(answers_of(scheme.encode(inputs))[[0]], [0])
    np.testing.assert_array_equal(outputs, answers_of(inputs))
    assert scheme.exact_mask([0]).sum() == 1
    assert (std == 0).all()


def test_a_bound_scheme_keeps_the_memory_as_it_was():
    inputs = some_inputs(6, 5)
    memory = remembering(4, 5)
    scheme = KernelScheme(6, 6, memory=memory)
    bound = scheme.bind(inputs)
    coded_outputs = answers_of(bound.encode(inputs))
    before = bound.decode(coded_outputs[:3], [0, 1, 2])
    memory.add(some_inputs(3, 5, seed=2), answers_of(some_inputs(3, 5, seed=2)))
    fresh = pickle.loads(pickle.dumps(bound))
    np.testing.assert_array_equal(fresh.decode(coded_outputs[:3], [0, 1, 2]), before)
    assert not np.array_equal(scheme.bind(inputs).decode(coded_outputs[:3], [0, 1, 2]), before)
    memory.clear()
    without = KernelScheme(6, 6).bind(inputs).decode(coded_outputs[:3], [0, 1, 2])
    forgotten = scheme.bind(inputs).decode(coded_outputs[:3], [0, 1, 2])
    np.testing.assert_array_equal(forgotten, without)


def test_a_decoder_with_a_memory_is_affine_and_has_no_matrix():
    scheme = KernelScheme(4, 4, fit=None, memory=remembering(5, 6)).bind(some_inputs(4, 6))
    with pytest.raises(TypeError, match="adds what is remembered, so that it has no matrix"):
        scheme.decoding_matrix(range(4))
    zero = scheme.decode(np.zeros((2, 3)), [0, 1])
    assert np.abs(zero).max() > 0
    y = some_inputs(2, 3)
    np.testing.assert_allclose(
        scheme.decode(2.0 * y, [0, 1]) - zero,
        2.0 * (scheme.decode(y, [0, 1]) - zero),
        rtol=0,
        atol=1e-12,
    )


def test_float32_stays_float32_with_a_memory():
    inputs = some_inputs(4, 6).astype(np.float32)
    scheme = KernelScheme(4, 4, memory=remembering(5, 6)).bind(inputs)
    outputs = scheme.decode(answers_of(inputs)[:2], [0, 1])
    assert outputs.dtype == np.float32
    exactly = scheme.decode(answers_of(inputs)[:2].astype(float), [0, 1])
    np.testing.assert_allclose(outputs, exactly, rtol=0, atol=1e-5)
    huge = np.full((2, 3), 3e38, np.float32)
    big = AnswerMemory(9)
    big.add(some_inputs(5, 6), 1e39 * answers_of(some_inputs(5, 6)))
    with pytest.raises(ValueError, match="coded_outputs overflow"):
        KernelScheme(4, 4, memory=big).bind(inputs).decode(huge, [0, 1])


def test_a_memory_of_another_function_is_refused():
    inputs = some_inputs(4, 6)
    with pytest.raises(ValueError, match=r"the memory holds inputs of shape \(5,\)"):
        KernelScheme(4, 4, memory=remembering(3, 5)).bind(inputs)
    scheme = KernelScheme(4, 4, memory=remembering(3, 6)).bind(inputs)
    for decode in (scheme.decode, scheme.decode_with_std):
        with pytest.raises(ValueError, match=r"\(2,\) each, but the memory holds .* \(3,\)"):
            decode(np.zeros((4, 2)), range(4))


# The door.


def test_features_get_the_inputs_in_the_callers_kind():
    seen = []

    def remember(stack):
        seen.append(stack)
        return stack.reshape(len(stack), -1)

    inputs = torch.rand(4, 3, 5)
    scheme = KernelScheme(4, 8, features=remember).bind(inputs)
    assert all(torch.is_tensor(stack) and stack.dtype == torch.float32 for stack in seen)
    outputs = scheme.decode(torch.ones(2, 3), [0, 1])
    assert torch.is_tensor(outputs)


def test_features_may_write_to_what_they_get():
    inputs = some_inputs(4, 6)
    before = inputs.copy()
    KernelScheme(4, 8, features=lambda stack: np.negative(stack, out=stack)).bind(inputs)
    np.testing.assert_array_equal(inputs, before)


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (lambda stack: stack[:2], ValueError, r"vector for each of 4 inputs, gave shape \(2, 6\)"),
        (lambda stack: 3.0, ValueError, r"vector for each of 4 inputs, gave shape \(\)"),  # noqa: ARG005
        (lambda stack: stack * np.nan, ValueError, r"features\(inputs\)\[0, 0\] = nan"),
        (lambda stack: stack.astype(str), TypeError, r"features\(inputs\) must hold real numbers"),
    ],
)
def test_bad_features_are_refused(features, error, message):
    with pytest.raises(error, match=message):
        KernelScheme(4, 8, features=features).bind(some_inputs(4, 6))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"features": "pixels"}, TypeError, "callable or None, got 'pixels'"),
        ({"features": np.ones(3)}, TypeError, "features must be a callable"),
        ({"between": 1}, TypeError, "between must be True or False, got 1"),
        ({"between": False, "objective": "labels"}, ValueError, "leave out one of them"),
        ({"objective": "label"}, ValueError, '"outputs" or "labels", got \'label\''),
        ({"objective": None}, ValueError, "got None"),
        ({"memory": []}, TypeError, r"memory must be an AnswerMemory or None, got \[\]"),
        ({"n_stragglers": 9}, ValueError, r"n_stragglers must lie in \[0, 8\], got 9"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        KernelScheme(4, 9, **arguments)


def test_it_prints_as_it_is_typed():
    scheme = KernelScheme(4, 9, objective="labels", memory=AnswerMemory(3))
    text = "KernelScheme(4, 9, n_stragglers=5, objective='labels', memory=AnswerMemory(3))"
    assert repr(scheme) == text
    assert repr(eval(text)) == text
    assert repr(KernelScheme(4, 9)) == "KernelScheme(4, 9, n_stragglers=5)"
    plain = repr(KernelScheme(4, 9, fit=None, between=False))
    assert plain == "KernelScheme(4, 9, n_stragglers=5, fit=None, between=False)"
    as_learnt = KernelScheme(4, 9, features=np.negative, fit_memory=FitMemory())
    assert repr(as_learnt).startswith(
        "KernelScheme(4, 9, n_stragglers=5, features=<ufunc 'negative'>, fit_memory=FitMemory("
    )
    assert (scheme.fit, scheme.features, scheme.objective) == ("answers", None, "labels")
    assert scheme.memory.capacity == 3


@pytest.mark.parametrize("n_parameters", [1, 2, 3])
def test_the_unit_of_a_parameter_does_not_matter(n_parameters):
    inputs, units = some_inputs(12, n_parameters), np.array([1e-6, 1.0, 1e9])[:n_parameters]
    schemes = [KernelScheme(12, 20, fit=None).bind(scaled) for scaled in (inputs, inputs * units)]
    responders = np.sort(np.random.default_rng(4).permutation(20)[:11])
    np.testing.assert_allclose(
        *(scheme.decoding_matrix(responders) for scheme in schemes), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("scale", [1e-200, 1e250])
def test_answers_of_any_size_are_fitted_alike(scale):
    inputs = some_inputs(8, 5)
    scheme = KernelScheme(8, 12).bind(inputs)
    coded_outputs = answers_of(scheme.encode(inputs))[:7]
    outputs = scheme.decode(coded_outputs, np.arange(7))
    scaled_outputs = scheme.decode(coded_outputs * scale, np.arange(7))
    np.testing.assert_allclose(scaled_outputs / scale, outputs, rtol=1e-9, atol=1e-12)
