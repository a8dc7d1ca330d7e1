import math
import pickle
import re
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import (
    AnalogLagrangeScheme,
    BerrutScheme,
    KernelScheme,
    LagrangeScheme,
    NotEnoughRespondersError,
    ReplicationScheme,
    Scheme,
    SplineScheme,
    WithPrior,
    simulate,
)
from coded.estimation.answer_memory import AnswerMemory
from coded.schemes.protocol import ErrorEstimating

FAMILIES = {
    "spline": SplineScheme(4, 9),
    "spline-smooth": SplineScheme(4, 9, lam_enc=1e-4, lam_dec=1e-3),
    "spline-paper": SplineScheme.paper(4, 9, lam_dec=1e-5),
    "berrut": BerrutScheme(4, 9),
    "lagrange": LagrangeScheme(4, 9, degree=2),
    "replication-nearest": ReplicationScheme(4, 9),
    "replication-mean": ReplicationScheme(4, 9, fallback="mean"),
    "kernel": KernelScheme(4, 9, fit=None),
    "kernel-labels": KernelScheme(4, 9, fit=None, objective="labels"),
}
every_family = pytest.mark.parametrize("family", FAMILIES)
INPUTS = np.random.default_rng(0).normal(size=(4, 5))
EPS = np.finfo(float).eps


def f(stack):
    return np.stack([np.sin(stack).sum(axis=1), np.abs(stack[:, 0]), stack[:, 1] ** 2], axis=1)


def guess(stack):
    return np.stack([stack.sum(axis=1), stack[:, 0], np.cos(stack[:, 1])], axis=1)


def responder_sets(scheme, seed=0, count=12):
    rng = np.random.default_rng(seed)
    sets = (np.sort(rng.permutation(9)[: rng.integers(1, 10)]) for _ in range(count))
    return [responders for responders in sets if scheme.can_decode(responders)]


@every_family
def test_decode_is_the_formula(family):
    scheme = WithPrior(FAMILIES[family], guess, fit=None).bind(INPUTS)
    inner = FAMILIES[family].bind(INPUTS)
    assert isinstance(scheme, Scheme)
    assert (scheme.n_inputs, scheme.n_workers) == (4, 9)
    assert scheme.min_responders == inner.min_responders
    coded_inputs = scheme.encode(INPUTS)
    assert np.array_equal(coded_inputs, inner.encode(INPUTS))
    answers = f(coded_inputs)
    tried = 0
    for responders in responder_sets(scheme):
        matrix = inner.decoding_matrix(responders)
        residuals = (answers - guess(coded_inputs))[responders]
        outputs = scheme.decode(answers[responders], responders)
        tolerance = 100 * EPS * np.abs(matrix).sum(axis=1).max() * np.abs(answers).max()
        expected = guess(INPUTS) + matrix @ residuals
        exact = scheme.exact_mask(responders)
        expected[exact] = f(INPUTS)[exact]  # what most decoders give there by themselves
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=tolerance)
        tried += 1
    assert tried >= 3


@every_family
def test_a_perfect_prior_makes_all_outputs_exact(family):
    scheme = WithPrior(FAMILIES[family], f).bind(INPUTS)
    for responders in responder_sets(scheme):
        outputs = scheme.decode(f(scheme.encode(INPUTS))[responders], responders)
        np.testing.assert_allclose(outputs, f(INPUTS), rtol=0, atol=1e-13)


@every_family
def test_a_constant_prior_changes_nothing(family):
    constant = np.array([2.0, -3.0, 0.5])
    scheme = WithPrior(FAMILIES[family], lambda x: np.tile(constant, (len(x), 1))).bind(INPUTS)
    inner = FAMILIES[family].bind(INPUTS)
    answers = f(inner.encode(INPUTS))
    for responders in responder_sets(scheme):
        matrix = inner.decoding_matrix(responders)
        tolerance = 1e3 * EPS * np.abs(matrix).sum(axis=1).max()
        estimated = ~scheme.exact_mask(responders)
        np.testing.assert_allclose(
            scheme.decode(answers[responders], responders)[estimated],
            getattr(inner, "estimate", inner.decode)(answers[responders], responders)[estimated],
            rtol=0,
            atol=tolerance,
        )


@every_family
@given(seed=st.integers(0, 10**6))
def test_decode_is_affine_in_the_answers(family, seed):
    rng = np.random.default_rng(seed)
    scheme = WithPrior(FAMILIES[family], guess, fit=None).bind(INPUTS)
    responders = np.sort(rng.permutation(9)[: scheme.min_responders])
    y, z, t = rng.normal(size=(9, 3))[responders], rng.normal(size=(9, 3))[responders], rng.random()
    matrix = FAMILIES[family].bind(INPUTS).decoding_matrix(responders)
    tolerance = 1e3 * EPS * np.abs(matrix).sum(axis=1).max()
    np.testing.assert_allclose(
        scheme.decode(t * y + (1 - t) * z, responders),
        t * scheme.decode(y, responders) + (1 - t) * scheme.decode(z, responders),
        rtol=0,
        atol=tolerance,
    )


@every_family
def test_exact_answers_stay_exact_bit_for_bit(family):
    scheme = WithPrior(FAMILIES[family], lambda x: 1e3 * guess(x)).bind(INPUTS)
    answers = f(scheme.encode(INPUTS))
    for responders in responder_sets(scheme):
        exact = scheme.exact_mask(responders)
        if family != "lagrange":
            assert np.array_equal(exact, FAMILIES[family].bind(INPUTS).exact_mask(responders))
        outputs = scheme.decode(answers[responders], responders)
        assert np.array_equal(outputs[exact], f(INPUTS)[exact])


def test_a_good_prior_makes_the_outputs_better():
    inputs = np.random.default_rng(3).normal(size=(10, 4))

    def function(x):
        return np.sin(x @ np.arange(1.0, 5.0)) + 0.1 * np.abs(x[:, 0])

    def near(x):
        return np.sin(x @ np.arange(1.0, 5.0))

    for scheme in (SplineScheme(10, 20), BerrutScheme(10, 20), ReplicationScheme(10, 20)):
        plain = simulate(function, inputs, scheme, stragglers=10)
        better = simulate(function, inputs, WithPrior(scheme, near), stragglers=10)
        assert better.mean_l2.mean() < 0.5 * plain.mean_l2.mean()


@pytest.mark.parametrize("family", ["replication-nearest", "replication-mean", "kernel"])
def test_std_is_that_of_the_residuals(family):
    scheme = WithPrior(FAMILIES[family], guess, fit=None).bind(INPUTS)
    inner = FAMILIES[family].bind(INPUTS)
    assert isinstance(scheme, ErrorEstimating)
    coded_inputs = scheme.encode(INPUTS)
    responders = [0, 2]
    answers = f(coded_inputs)[responders]
    outputs, std = scheme.decode_with_std(answers, responders)
    _, expected = inner.decode_with_std(answers - guess(coded_inputs)[responders], responders)
    assert np.array_equal(outputs, scheme.decode(answers, responders))
    assert std.max() > 0
    np.testing.assert_array_equal(std, expected)


def test_a_lagrange_code_is_exact_where_an_input_itself_was_evaluated():
    inner = LagrangeScheme(4, 4, degree=1)
    scheme = WithPrior(inner, guess, fit=None).bind(INPUTS)
    held = [k for k in range(4) if (scheme.encode(INPUTS) == INPUTS[k]).all(axis=1).any()]
    assert inner.exact_mask(range(4)).all()
    assert np.flatnonzero(scheme.exact_mask(range(4))).tolist() == held


def test_the_encoders_share_of_the_loss_is_told():
    scheme = SplineScheme(4, 9, lam_enc=0.1)
    run = simulate(f, INPUTS, WithPrior(scheme, guess), stragglers=2)
    assert run.training_error > 0
    assert run.training_error == simulate(f, INPUTS, scheme, stragglers=2).training_error


def test_without_error_estimates_there_are_none():
    scheme = WithPrior(FAMILIES["lagrange"], guess)
    assert not isinstance(scheme, ErrorEstimating)
    assert not isinstance(scheme.bind(INPUTS), ErrorEstimating)


@every_family
def test_what_is_no_longer_used_is_freed_at_once(family):
    scheme = WithPrior(FAMILIES[family], guess, fit=None).bind(INPUTS)
    gone = weakref.ref(scheme)
    del scheme
    assert gone() is None


@every_family
def test_it_pickles_bound_and_unbound(family):
    unbound = WithPrior(FAMILIES[family], guess)
    scheme = unbound.bind(INPUTS)
    responders = np.arange(scheme.n_workers - scheme.min_responders, 9)
    answers = f(scheme.encode(INPUTS))[responders]
    for again in (
        pickle.loads(pickle.dumps(scheme)),
        pickle.loads(pickle.dumps(unbound)).bind(INPUTS),
        scheme.bind(INPUTS),
    ):
        assert np.array_equal(again.decode(answers, responders), scheme.decode(answers, responders))
        if isinstance(scheme, ErrorEstimating):
            np.testing.assert_array_equal(
                again.decode_with_std(answers, responders)[1],
                scheme.decode_with_std(answers, responders)[1],
            )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_reach_the_prior_as_tensors(dtype):
    inputs = torch.from_numpy(INPUTS).to(dtype)
    seen = []

    def tensor_guess(stack):
        seen.append((type(stack), stack.dtype, tuple(stack.shape)))
        return stack[:, :2]

    scheme = WithPrior(SplineScheme(4, 9), tensor_guess).bind(inputs)
    assert seen == [(torch.Tensor, dtype, (4, 5)), (torch.Tensor, dtype, (9, 5))]
    coded_inputs = scheme.encode(inputs)
    outputs = scheme.decode(coded_inputs[:4, :2] + 1.0, range(4))
    assert isinstance(outputs, torch.Tensor)
    assert outputs.dtype == dtype
    torch.testing.assert_close(outputs, inputs[:, :2] + 1.0)


def test_float32_answers_with_a_float64_prior_stay_float32():
    scheme = WithPrior(SplineScheme(4, 9), guess).bind(INPUTS)
    answers = f(scheme.encode(INPUTS)).astype(np.float32)
    outputs = scheme.decode(answers[::2], [0, 2, 4, 6, 8])
    assert outputs.dtype == np.float32
    expected = scheme.decode(answers[::2].astype(float), [0, 2, 4, 6, 8])
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5)


def test_unbound_it_encodes_but_cannot_decode():
    scheme = WithPrior(BerrutScheme(4, 9), guess)
    assert np.array_equal(scheme.encode(INPUTS), BerrutScheme(4, 9).encode(INPUTS))
    assert not scheme.can_decode(range(9))
    with pytest.raises(NotEnoughRespondersError, match=r"call bind\(inputs\) first"):
        scheme.decode(np.zeros((9, 3)), range(9))


def test_too_few_answers_are_told():
    scheme = WithPrior(SplineScheme(4, 9), guess).bind(INPUTS)
    assert scheme.can_decode([0, 3])
    assert not scheme.can_decode([3])
    with pytest.raises(NotEnoughRespondersError, match="1 of 9 workers answered, from which With"):
        scheme.decode(np.zeros((1, 3)), [3])
    with pytest.raises(NotEnoughRespondersError, match="0 of 9 workers"):
        scheme.decode(np.zeros((0, 3)), [])
    with pytest.raises(ValueError, match="responders must be strictly ascending"):
        scheme.decode(np.zeros((2, 3)), [3, 0])


@pytest.mark.parametrize(
    ("prior", "error", "message"),
    [
        (lambda x: x[0], ValueError, r"prior must give 4 guesses for 4 inputs .* got shape (5,)"),
        (lambda x: 1.0, ValueError, "prior must give 4 guesses for 4 inputs"),  # noqa: ARG005
        (lambda x: np.full(len(x), np.nan), ValueError, "prior(inputs)[0] = nan"),
        (lambda x: ["a"] * len(x), TypeError, "prior(inputs) must hold real numbers"),
        (
            lambda x: np.zeros((len(x), len(x))),
            ValueError,
            "guesses of shape (4,) for inputs and of shape (9,) for coded inputs",
        ),
    ],
)
def test_a_prior_that_gives_no_guesses_is_refused(prior, error, message):
    pattern = re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises(error, match=pattern):
        WithPrior(BerrutScheme(4, 9), prior).bind(INPUTS)


def test_answers_of_another_shape_than_the_prior_are_refused():
    scheme = WithPrior(BerrutScheme(4, 9), guess).bind(INPUTS)
    for shape in ((9,), (9, 2), (8, 3), ()):
        with pytest.raises(ValueError, match=r"prior's guesses ask for \(9, 3\)"):
            scheme.decode(np.zeros(shape), range(9))
    with pytest.raises(ValueError, match=r"coded_outputs\[0, 1\] = nan"):
        scheme.decode(np.where(np.arange(3) == 1, np.nan, np.zeros((9, 3))), range(9))


def test_answers_that_overflow_less_the_prior_are_refused():
    scheme = WithPrior(BerrutScheme(4, 9), lambda x: np.full(len(x), -1.7e308)).bind(INPUTS)
    with pytest.raises(ValueError, match="less the prior's guesses overflow float64"):
        scheme.decode(np.full(9, 1e308), range(9))


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="scheme must be a linear code"):
        WithPrior("spline", guess)
    with pytest.raises(TypeError, match="prior must be callable"):
        WithPrior(BerrutScheme(4, 9), np.zeros(3))
    with pytest.raises(ValueError, match="remembers answers of f"):
        WithPrior(KernelScheme(4, 9, memory=AnswerMemory(5)), guess)


@every_family
def test_a_matrix_is_that_of_the_residuals(family):
    scheme = WithPrior(FAMILIES[family], guess, fit=None).bind(INPUTS)
    coded_inputs = scheme.encode(INPUTS)
    responders = np.array([0, 2, 3, 4, 5, 6, 8])
    with pytest.raises(TypeError, match=r"adds the prior's guesses, so that it has no matrix"):
        scheme.decoding_matrix(responders)
    matrix = scheme.scheme.decoding_matrix(responders)  # as the message says
    answers = f(coded_inputs)[responders]
    expected = guess(INPUTS) + matrix @ (answers - guess(coded_inputs)[responders])
    exact = scheme.exact_mask(responders)
    expected[exact] = f(INPUTS)[exact]
    tolerance = 1e3 * EPS * np.abs(matrix).sum(axis=1).max() * np.abs(answers).max()
    np.testing.assert_allclose(scheme.decode(answers, responders), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("prior", "error"),
    [
        (lambda x: math.sin(x[0]), TypeError),  # only of arrays with one number
        (lambda x: np.eye(5)[:3] @ x, ValueError),  # (3, 5) @ (4, 5)
        (lambda x: torch.nn.Linear(5, 3)(torch.as_tensor(x)), RuntimeError),  # float64
    ],
)
def test_a_prior_that_fails_is_told_what_it_got(prior, error):
    with pytest.raises(error) as caught:
        WithPrior(BerrutScheme(4, 9), prior).bind(INPUTS)
    (note,) = caught.value.__notes__
    assert note.startswith("prior got a stack of 4 inputs, shape (4, 5); pass lambda stack: np.st")


def test_a_prior_of_one_input_works_as_the_note_says():
    def of_one(x):
        return np.array([math.sin(x[0]), math.cos(x[1])])

    def by_rows(stack):
        return np.stack([of_one(x) for x in stack])

    scheme = WithPrior(SplineScheme(4, 9), by_rows).bind(INPUTS)
    answers = by_rows(scheme.encode(INPUTS))[:4]
    np.testing.assert_allclose(scheme.decode(answers, range(4)), by_rows(INPUTS), atol=1e-13)


def test_a_scheme_whose_workers_evaluate_something_else_is_refused():
    class OtherFunctions(BerrutScheme):
        def worker_functions(self, fn):
            return [fn] * 8 + [np.cos]

    with pytest.raises(TypeError, match="workers that evaluate something else than f"):
        WithPrior(OtherFunctions(4, 9), guess)


def test_a_code_over_other_numbers_is_refused():
    scheme = AnalogLagrangeScheme(4, 9, degree=2, n_colluders=1, mask_std=10.0)
    with pytest.raises(TypeError, match="codes other numbers than the real ones"):
        WithPrior(scheme, guess)


def test_repr_tells_scheme_and_prior():
    scheme = WithPrior(BerrutScheme(4, 9), guess)
    assert repr(scheme) == f"WithPrior({BerrutScheme(4, 9)!r}, prior=guess)"
    assert repr(scheme.bind(INPUTS)).endswith("prior=guess).bind(...)")
    assert scheme.prior is guess
    assert isinstance(scheme.scheme, BerrutScheme)


@given(
    seed=st.integers(0, 10**6),
    n_inputs=st.integers(1, 6),
    n_workers=st.integers(2, 12),
    make=st.sampled_from([SplineScheme, ReplicationScheme, KernelScheme]),
)
def test_for_every_size_decode_is_the_formula_and_exact_bit_for_bit(
    seed, n_inputs, n_workers, make
):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n_inputs, 5))
    scheme = WithPrior(make(n_inputs, n_workers), guess, fit=None).bind(inputs)
    inner = scheme.scheme
    responders = np.sort(rng.permutation(n_workers)[: rng.integers(2, n_workers + 1)])
    coded_inputs = scheme.encode(inputs)[responders]
    answers = f(coded_inputs)
    outputs, std = scheme.decode_with_std(answers, responders)
    np.testing.assert_array_equal(outputs, scheme.decode(answers, responders))
    residuals, expected_std = inner.decode_with_std(answers - guess(coded_inputs), responders)
    np.testing.assert_allclose(outputs, guess(inputs) + residuals, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(std, expected_std)
    exact = scheme.exact_mask(responders)
    np.testing.assert_array_equal(outputs[exact], f(inputs)[exact])


def test_answers_of_few_digits_need_as_much_as_without_a_prior():
    """So that a call waits for what `decode` asks for, and does not fail at its end."""
    inner = LagrangeScheme(12, 60, degree=2)
    scheme = WithPrior(inner, np.sin).bind(np.zeros((12, 1)))
    rng = np.random.default_rng(1)
    told = set()
    for _ in range(40):
        responders = np.sort(rng.permutation(60)[: rng.integers(23, 40)])
        told.add(can := scheme.can_decode(responders, dtype=np.float32))
        assert can == inner.can_decode(responders, dtype=np.float32)
        answers = np.ones((len(responders), 1), np.float32)
        if can:
            scheme.decode(answers, responders)
        else:
            with pytest.raises(NotEnoughRespondersError):
                scheme.decode(answers, responders)
    assert told == {False, True}


# The coefficient that the answers choose.

FITTING = {
    "kernel": KernelScheme(20, 40, n_stragglers=12),
    "kernel-fixed": KernelScheme(20, 40, n_stragglers=12, fit=None),
    "spline": SplineScheme(20, 40, n_stragglers=12),
    "replication-nearest": ReplicationScheme(20, 40),
    "replication-mean": ReplicationScheme(20, 40, fallback="mean"),
    "berrut": BerrutScheme(20, 40, n_stragglers=12),
}
every_fitting = pytest.mark.parametrize("family", FITTING)


def wave(stack):
    x = np.asarray(stack)
    return np.stack([np.sin(2.0 * x) + 0.2 * x, np.cos(3.0 * x)], axis=1)


def near_wave(stack):
    x = np.asarray(stack)
    return wave(x) + 0.02 * np.stack([np.sin(9.0 * x), np.cos(7.0 * x)], axis=1)


def useless(stack):
    x = np.asarray(stack)
    return 5.0 * np.stack([np.sin(40.0 * x), np.cos(31.0 * x)], axis=1)


def error_of(scheme, seeds=5):
    found = []
    for seed in range(seeds):
        inputs = np.sort(np.random.default_rng(seed).uniform(0.0, 4.0, 20))
        found.append(simulate(wave, inputs, scheme, stragglers=12, repeats=8, rng=seed).mse.mean())
    return np.mean(found)


@every_fitting
@pytest.mark.parametrize("scale", [0.5, -3.0])
def test_a_prior_of_another_scale_is_put_right(family, scale):
    inner = FITTING[family]
    right = error_of(WithPrior(inner, near_wave, fit=None))
    scaled = error_of(WithPrior(inner, lambda x: scale * near_wave(x)))
    at_face_value = error_of(WithPrior(inner, lambda x: scale * near_wave(x), fit=None))
    assert scaled <= 4.0 * right
    assert scaled <= 1.1 * at_face_value


@every_fitting
def test_a_useless_prior_costs_little(family):
    inner = FITTING[family]
    without = error_of(inner)
    assert error_of(WithPrior(inner, useless)) <= 1.2 * without
    assert error_of(WithPrior(inner, useless, fit=None)) > 2.0 * without


@every_fitting
def test_a_good_prior_is_used_as_it_is(family):
    inner = FITTING[family]
    assert error_of(WithPrior(inner, near_wave)) <= 1.2 * error_of(
        WithPrior(inner, near_wave, fit=None)
    )


def test_answers_that_a_coefficient_explains_are_exact_but_for_rounding():
    inputs = np.random.default_rng(0).normal(size=(12, 6))
    scheme = WithPrior(KernelScheme(12, 20), lambda x: np.sin(x) - 7.0).bind(inputs)
    answers = 3.0 * np.sin(scheme.encode(inputs)) + 2.0
    who = np.sort(np.random.default_rng(1).permutation(20)[:9])
    outputs, std = scheme.decode_with_std(answers[who], who)
    np.testing.assert_allclose(outputs, 3.0 * np.sin(inputs) + 2.0, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(outputs, scheme.decode(answers[who], who))
    assert std.max() < 1e-5


def test_copies_that_differ_stay_means():
    inputs = np.random.default_rng(0).normal(size=(6, 5))
    scheme = WithPrior(KernelScheme(6, 15), lambda x: x[:, 0]).bind(inputs)
    answers = np.random.default_rng(1).normal(size=15)
    outputs, std = scheme.decode_with_std(answers, range(15))
    held = scheme.scheme._held()
    np.testing.assert_allclose(outputs, [answers[held == k].mean() for k in range(6)])
    assert (std > 0.0).all()
    np.testing.assert_array_equal(outputs, scheme.decode(answers, range(15)))


def test_a_constant_prior_has_no_slope():
    inputs = np.random.default_rng(0).normal(size=(12, 6))
    plain = KernelScheme(12, 20).bind(inputs)
    scheme = WithPrior(KernelScheme(12, 20), lambda x: np.zeros((len(x), 6))).bind(inputs)
    answers = np.sin(plain.encode(inputs))
    who = np.arange(3, 12)
    np.testing.assert_array_equal(scheme.decode(answers[who], who), plain.decode(answers[who], who))


@pytest.mark.parametrize("fit", ["prior", 1.0, True])
def test_another_fit_is_refused(fit):
    with pytest.raises(ValueError, match='fit must be "answers" or None'):
        WithPrior(BerrutScheme(4, 9), guess, fit=fit)
    assert repr(WithPrior(BerrutScheme(4, 9), guess, fit=None)).endswith("prior=guess, fit=None)")
