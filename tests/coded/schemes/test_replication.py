"""Placements and expected errors of `ReplicationScheme`; more is in test_schemes.py."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import (
    MachineStragglers,
    ReplicationScheme,
    balanced_copies,
    best_placement,
    simulate,
)
from coded.schemes.protocol import ErrorEstimating

FALLBACKS = ["nearest", "mean"]


def left_out_std(inputs, answers, answered, fallback):
    """By loops over the answered inputs, each left out in turn."""
    lost = [k for k in range(len(inputs)) if k not in answered]
    std = np.zeros(len(inputs))
    errors, distances = [], []
    for i in answered:
        others = [j for j in answered if j != i]
        apart = [np.linalg.norm(inputs[i] - inputs[j]) for j in others]
        nearest = others[int(np.argmin(apart))]
        guess = answers[nearest] if fallback == "nearest" else answers[others].mean(axis=0)
        errors.append(np.linalg.norm(answers[i] - guess))
        distances.append(min(apart))
    for k in lost:
        if fallback == "nearest":
            reach = min(np.linalg.norm(inputs[k] - inputs[j]) for j in answered)
            std[k] = reach * math.sqrt(np.square(errors).sum() / np.square(distances).sum())
        else:
            # The mean of m - 1 answers errs by (1 + 1/(m - 1)) s^2, of m by (1 + 1/m) s^2.
            m = len(answered)
            std[k] = math.sqrt(np.square(errors).mean() * (1 + 1 / m) / (1 + 1 / (m - 1)))
    return std


@pytest.mark.parametrize("fallback", FALLBACKS)
@given(seed=st.integers(0, 10**6), columns=st.integers(1, 4), n_workers=st.integers(6, 14))
def test_std_is_that_of_answers_left_out(fallback, seed, columns, n_workers):
    rng = np.random.default_rng(seed)
    inputs, answers = rng.normal(size=(6, 2)), rng.normal(size=(6, columns))
    scheme = ReplicationScheme(6, n_workers, fallback=fallback).bind(inputs)
    held = np.argmax(scheme.encoding_matrix, axis=1)
    responders = np.sort(rng.permutation(n_workers)[: rng.integers(2, n_workers)])
    answered = sorted(set(held[responders]))
    outputs, std = scheme.decode_with_std(answers[held[responders]], responders)
    assert np.array_equal(outputs, scheme.decode(answers[held[responders]], responders))
    if len(answered) > 1:
        expected = left_out_std(inputs, answers, answered, fallback)
        np.testing.assert_allclose(std, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("fallback", FALLBACKS)
@pytest.mark.parametrize(("n_workers", "stragglers"), [(100, 60), (60, 20), (20, 10)])
def test_std_is_as_large_as_the_errors(fallback, n_workers, stragglers):
    rng = np.random.default_rng(1)
    expected, happened = [], []
    for seed in range(40):
        a, b = rng.normal(size=(4, 8)), rng.uniform(0.0, 6.0, size=8)
        inputs = rng.normal(size=(20, 4))
        run = simulate(
            lambda x, a=a, b=b: np.sin(x @ a + b),
            inputs,
            ReplicationScheme(20, n_workers, fallback=fallback),
            stragglers=stragglers,
            repeats=5,
            rng=seed,
        )
        errors = np.linalg.norm(run.outputs - run.reference, axis=-1)
        assert (run.std[run.exact] == 0.0).all()
        expected.append(run.std[~run.exact])
        happened.append(errors[~run.exact])
    ratio = math.sqrt(
        np.square(np.concatenate(happened)).sum() / np.square(np.concatenate(expected)).sum()
    )
    assert 0.85 < ratio < 1.18


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_one_answer_does_not_tell_how_much_f_varies(fallback):
    scheme = ReplicationScheme(3, 6, fallback=fallback).bind([1.0, 2.0, 4.0])
    _, std = scheme.decode_with_std([7.0, 7.0], [1, 4])
    assert std.tolist() == [np.inf, 0.0, np.inf]


def test_an_equal_input_has_the_same_answer():
    scheme = ReplicationScheme(4, 4).bind([1.0, 1.0, 1.0, 3.0])
    outputs, std = scheme.decode_with_std([7.0, 7.0], [0, 1])
    assert outputs.tolist() == [7.0] * 4
    assert std.tolist() == [0.0, 0.0, 0.0, np.inf]
    outputs, std = scheme.decode_with_std([7.0, 5.0], [0, 3])
    assert std.tolist() == [0.0] * 4


@pytest.mark.parametrize("fallback", FALLBACKS)
@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_std_scales_with_the_answers(fallback, scale):
    rng = np.random.default_rng(2)
    scheme = ReplicationScheme(5, 5, fallback=fallback).bind(rng.normal(size=(5, 3)))
    answers = rng.normal(size=(3, 2))
    _, std = scheme.decode_with_std(answers, [0, 2, 3])
    _, scaled = scheme.decode_with_std(scale * answers, [0, 2, 3])
    np.testing.assert_allclose(scaled, scale * std, rtol=1e-12, atol=0)


def test_without_fallback_all_is_exact():
    scheme = ReplicationScheme(3, 7, fallback=None)
    outputs, std = scheme.decode_with_std([1.0, 2.0, 3.0], [3, 4, 5])
    assert outputs.tolist() == [1.0, 2.0, 3.0]
    assert std.tolist() == [0.0] * 3


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_answers_of_any_kind_have_float64_std(fallback):
    scheme = ReplicationScheme(4, 4, fallback=fallback).bind(np.arange(4.0))
    assert isinstance(scheme, ErrorEstimating)
    answers = np.array([[1.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
    _, expected = scheme.decode_with_std(answers, [0, 1, 2])
    for given_answers in (answers.astype(np.float32), torch.from_numpy(answers)):
        outputs, std = scheme.decode_with_std(given_answers, [0, 1, 2])
        assert outputs.dtype == given_answers.dtype
        assert isinstance(std, np.ndarray)
        assert std.dtype == np.float64
        np.testing.assert_array_equal(std, expected)


@given(seed=st.integers(0, 10**6), gap=st.floats(-10, 0).map(lambda e: 10.0**e))
def test_the_nearest_is_the_nearest_however_near_inputs_are(seed, gap):
    rng = np.random.default_rng(seed)
    inputs = np.concatenate([rng.normal(size=(3, 4)), 1.0 + gap * rng.normal(size=(5, 4))])
    scheme = ReplicationScheme(8, 8).bind(inputs)
    answered = np.sort(rng.permutation(8)[:5])
    outputs = scheme.decode(answered.astype(float), answered)
    expected = answered[np.linalg.norm(inputs[:, None] - inputs[answered], axis=-1).argmin(axis=1)]
    assert outputs.tolist() == expected.tolist()


# Copies placed by the caller.


def test_workers_hold_what_they_are_given():
    scheme = ReplicationScheme(3, 5, fallback=None, placement=[2, 0, 1, 2, 2])
    assert scheme.encode([10.0, 20.0, 30.0]).tolist() == [30.0, 10.0, 20.0, 30.0, 30.0]
    assert scheme.min_responders == 5  # inputs 0 and 1 are held once
    assert scheme.decode([1.0, 2.0, 3.0], [1, 2, 4]).tolist() == [1.0, 2.0, 3.0]
    assert not scheme.can_decode([0, 1, 3, 4])
    assert scheme.placement.tolist() == [2, 0, 1, 2, 2]
    assert "placement=[2, 0, 1, 2, 2]" in repr(scheme)
    assert repr(eval(repr(scheme))) == repr(scheme)
    assert repr(pickle.loads(pickle.dumps(scheme))) == repr(scheme)


def test_copies_are_balanced_unless_placed():
    scheme = ReplicationScheme(4, 10)
    assert np.array_equal(scheme.placement, balanced_copies(4, 10))
    assert repr(ReplicationScheme(4, 10, placement=balanced_copies(4, 10))) == repr(scheme)
    with pytest.raises(ValueError, match="read-only"):
        scheme.placement[0] = 3


def test_a_placement_may_leave_out_inputs_that_a_fallback_fills():
    scheme = ReplicationScheme(3, 2, placement=[0, 2]).bind([0.0, 0.9, 2.0])
    assert scheme.decode([5.0, 7.0], [0, 1]).tolist() == [5.0, 5.0, 7.0]
    assert scheme.exact_mask([0, 1]).tolist() == [True, False, True]


def test_a_placement_for_machines_survives_each_of_them():
    model = MachineStragglers(1, workers_per_machine=6)
    placement = best_placement(6, 12, model)
    scheme = ReplicationScheme(6, 12, fallback=None, placement=placement)
    for lost in (range(6), range(6, 12)):
        assert scheme.can_decode(np.delete(np.arange(12), lost))


@pytest.mark.parametrize(
    ("placement", "error", "message"),
    [
        ([0, 1, 2], ValueError, "placement has 3 entries, but there are 4 workers; say for each"),
        ([0, 1, 2, 3], ValueError, r"placement must lie in \[0, n_inputs\) = \[0, 3\)"),
        ([0, 1, 1, 0], ValueError, "a worker for every input, but placement leaves out input 2"),
        ([0.0, 1.0, 2.0, 0.0], TypeError, "placement must hold integers"),
    ],
)
def test_bad_placements_are_refused(placement, error, message):
    with pytest.raises(error, match=message):
        ReplicationScheme(3, 4, fallback=None, placement=placement)
