import itertools
import pickle
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import (
    BerrutScheme,
    KernelScheme,
    LagrangeScheme,
    NotEnoughRespondersError,
    ReplicationScheme,
    SplineScheme,
    path_order,
)
from coded.places.placement import places_far_apart
from fastspline import Smoother
from tests.oracles import codes as reference

EPS = np.finfo(np.float64).eps

FAMILIES = {
    "spline": lambda k, n: SplineScheme(k, n),
    "spline-smooth": lambda k, n: SplineScheme(k, n, lam_enc=1e-4, lam_dec=1e-3),
    "spline-paper": lambda k, n: SplineScheme.paper(k, n, lam_enc=1e-6, lam_dec=1e-5),
    "berrut": lambda k, n: BerrutScheme(k, n),
    "kernel": lambda k, n: KernelScheme(k, n, fit=None),
    "lagrange": lambda k, n: LagrangeScheme(k, n, degree=1),
    "replication-nearest": lambda k, n: ReplicationScheme(k, n),
    "replication-mean": lambda k, n: ReplicationScheme(k, n, fallback="mean"),
    "replication-none": lambda k, n: ReplicationScheme(k, n, fallback=None),
}
every_family = pytest.mark.parametrize("family", FAMILIES)
SMALL = [(1, 1), (1, 3), (2, 2), (2, 5), (3, 7), (4, 6), (5, 5)]


def some_inputs(n_inputs, *trailing, seed=0):
    return np.random.default_rng(seed).normal(size=(n_inputs, *trailing))


def bound(family, n_inputs, n_workers):
    return FAMILIES[family](n_inputs, n_workers).bind(some_inputs(n_inputs, 3, seed=9))


def responder_sets(n_workers):
    workers = range(n_workers)
    return itertools.chain.from_iterable(
        itertools.combinations(workers, count) for count in range(n_workers + 1)
    )


# What all schemes have in common.


@every_family
@pytest.mark.parametrize(("n_inputs", "n_workers"), SMALL)
def test_constants_pass_unchanged(family, n_inputs, n_workers):
    scheme = bound(family, n_inputs, n_workers)
    assert scheme.encoding_matrix.shape == (n_workers, n_inputs)
    np.testing.assert_allclose(scheme.encoding_matrix.sum(axis=1), 1, rtol=0, atol=100 * EPS)
    for responders in responder_sets(n_workers):
        if scheme.can_decode(responders):
            matrix = scheme.decoding_matrix(responders)
            tolerance = 100 * EPS * np.abs(matrix).sum(axis=1).max()
            np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=tolerance)


@every_family
def test_the_encoder_fit_is_the_inputs_unless_the_encoder_smooths(family):
    inputs = some_inputs(5, 3)
    scheme = FAMILIES[family](5, 12).bind(inputs)
    fit = scheme.encoder_fit(inputs)
    if getattr(scheme, "lam_enc", 0.0) == 0.0:
        assert np.array_equal(fit, inputs)
        return
    scale = 5 if family == "spline-paper" else 1
    order = (
        np.arange(5) if family == "spline-paper" else path_order(inputs / np.ptp(inputs, axis=0))
    )
    expected = np.empty_like(inputs)
    expected[order] = reference.smoothing_spline(
        scheme.alpha, inputs[order], scale * scheme.lam_enc, scheme.alpha
    )
    np.testing.assert_allclose(fit, expected, rtol=0, atol=1e-12)


@every_family
@given(seed=st.integers(0, 10**6))
def test_schemes_are_linear(family, seed):
    rng = np.random.default_rng(seed)
    scheme = bound(family, 4, 9)
    x, y, a = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.normal()
    responders = np.sort(rng.permutation(9)[: scheme.min_responders])
    encoded = scheme.encode(a * x + y)
    np.testing.assert_allclose(encoded, a * scheme.encode(x) + scheme.encode(y), rtol=0, atol=1e-13)
    matrix = scheme.decoding_matrix(responders)
    answers = rng.normal(size=(2, len(responders), 3))
    tolerance = 100 * EPS * np.abs(matrix).sum(axis=1).max() * np.abs(answers).max() * (1 + abs(a))
    np.testing.assert_allclose(
        scheme.decode(a * answers[0] + answers[1], responders),
        a * scheme.decode(answers[0], responders) + scheme.decode(answers[1], responders),
        rtol=0,
        atol=tolerance,
    )


@pytest.mark.parametrize("family", ["spline", "spline-smooth"])
@given(seed=st.integers(0, 10**6))
def test_permuting_the_inputs_permutes_the_outputs(family, seed):
    rng = np.random.default_rng(seed)
    inputs, shuffle = rng.normal(size=(5, 3)), rng.permutation(5)
    scheme, shuffled = (
        FAMILIES[family](5, 12).bind(inputs),
        FAMILIES[family](5, 12).bind(inputs[shuffle]),
    )
    responders = np.sort(rng.permutation(12)[:6])
    outputs = scheme.decode(np.sin(scheme.encode(inputs))[responders], responders)
    permuted = shuffled.decode(np.sin(shuffled.encode(inputs[shuffle]))[responders], responders)
    np.testing.assert_array_equal(permuted, outputs[shuffle])


@every_family
@pytest.mark.parametrize("trailing", [(), (2,), (2, 3), (1, 4, 4), (0,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_and_shapes_are_kept(family, dtype, trailing):
    scheme = bound(family, 3, 8)
    inputs = some_inputs(3, *trailing).astype(dtype)
    encoded = scheme.encode(inputs)
    decoded = scheme.decode(encoded, range(8))
    assert (encoded.shape, encoded.dtype) == ((8, *trailing), dtype)
    assert (decoded.shape, decoded.dtype) == ((3, *trailing), dtype)
    exact = scheme.decode(scheme.encode(inputs.astype(np.float64)), range(8))
    np.testing.assert_allclose(decoded, exact, rtol=0, atol=200 * np.finfo(dtype).eps)


@every_family
def test_layouts_do_not_matter_and_arguments_stay_as_they_are(family):
    scheme = bound(family, 4, 9)
    inputs = some_inputs(4, 6)
    kept = inputs.copy()
    expected = scheme.encode(inputs)
    read_only = inputs.copy()
    read_only.flags.writeable = False
    for same in (
        np.asfortranarray(inputs),
        np.repeat(inputs, 2, axis=1)[:, ::2],
        read_only,
        inputs.tolist(),
    ):
        np.testing.assert_array_equal(scheme.encode(same), expected)
    assert np.array_equal(inputs, kept)


@every_family
def test_integers_become_floats_unless_they_are_copied(family):
    scheme = bound(family, 3, 8)
    inputs = np.array([[1, 2], [3, 5], [0, -4]])
    is_copying = family in ("spline", "kernel") or family.startswith("replication")
    assert scheme.encode(inputs).dtype == (np.int64 if is_copying else np.float64)
    np.testing.assert_array_equal(scheme.encode(inputs), scheme.encode(inputs.astype(float)))


@every_family
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_tensors_come_back_as_tensors(family, dtype):
    scheme = bound(family, 3, 8)
    inputs = torch.from_numpy(some_inputs(3, 2)).to(dtype)
    encoded = scheme.encode(inputs)
    decoded = scheme.decode(encoded, torch.arange(8))
    assert (encoded.dtype, tuple(encoded.shape)) == (dtype, (8, 2))
    assert (decoded.dtype, tuple(decoded.shape)) == (dtype, (3, 2))
    assert torch.is_tensor(scheme.bind(inputs).encode(inputs))
    np.testing.assert_array_equal(encoded.numpy(), scheme.encode(inputs.numpy()))


def test_the_cache_of_decoders_is_bounded():
    scheme = BerrutScheme(2, 12)
    for responders in itertools.islice(responder_sets(12), 1, 600):
        scheme.decoding_matrix(responders)
    assert len(scheme._decoders._kept) == 256


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        (SplineScheme(4, 9), "SplineScheme(4, 9, n_stragglers=5, lam_enc=0.0, lam_dec=0.0)"),
        (
            SplineScheme.paper(4, 9, lam_dec=1e-6),
            "SplineScheme.paper(4, 9, n_stragglers=5, lam_enc=0.0, lam_dec=1e-06)",
        ),
        (BerrutScheme(4, 9, n_stragglers=2), "BerrutScheme(4, 9, n_stragglers=2)"),
        (LagrangeScheme(4, 9, degree=2), "LagrangeScheme(4, 9, degree=2)"),
        (ReplicationScheme(4, 9), "ReplicationScheme(4, 9, n_stragglers=5, fallback='nearest')"),
    ],
)
def test_schemes_print_as_they_are_typed(scheme, text):
    assert repr(scheme) == text
    assert repr(eval(text)) == text


# Bad input.


@every_family
@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (np.zeros((3, 2)), ValueError, r"inputs has shape \(3, 2\), but .* needs 4 rows; stack"),
        (np.zeros((0, 2)), ValueError, r"inputs has shape \(0, 2\)"),
        ([], ValueError, r"inputs has shape \(0,\)"),
        (1.0, ValueError, r"inputs has shape \(\)"),
        (
            [[0.0], [1.0], [np.nan], [2.0]],
            ValueError,
            r"inputs must be finite, but inputs\[2, 0\] = nan",
        ),
        ([0.0, np.inf, 1.0, 2.0], ValueError, r"inputs\[1\] = inf"),
        (np.array([None] * 4), TypeError, "inputs must hold (real numbers|numbers or other)"),
        (np.zeros(4, "V3"), TypeError, "inputs must hold (real numbers|numbers or other)"),
        ([[1.0], [1.0, 2.0], [1.0], [1.0]], TypeError, "inputs must be an array of numbers"),
    ],
)
def test_bad_inputs_are_refused(family, inputs, error, message):
    scheme = FAMILIES[family](4, 9)
    read = scheme.bind if family == "kernel" else scheme.encode
    with pytest.raises(error, match=message):
        read(inputs)
    bound_scheme = bound(family, 4, 9)
    with pytest.raises(error, match=message):
        bound_scheme.encode(inputs)
    if bound_scheme is not scheme and family in ("spline", "replication-nearest"):
        with pytest.raises(error, match=message):
            scheme.bind(inputs)


@pytest.mark.parametrize(
    "family", [f for f in FAMILIES if not f.startswith(("replication", "kernel"))]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_whose_mixtures_overflow_are_refused(family, dtype):
    scheme = FAMILIES[family](4, 9)
    matrix = scheme.encoding_matrix
    worst = matrix[np.abs(matrix).sum(axis=1).argmax()]
    huge = np.copysign(np.finfo(dtype).max, worst).astype(dtype)
    with pytest.raises(ValueError, match=r"^inputs overflow: max \|inputs\| = .*; scale them"):
        scheme.encode(huge)
    responders = range(9)[-scheme.min_responders :]
    matrix = scheme.decoding_matrix(responders)
    worst = matrix[np.abs(matrix).sum(axis=1).argmax()]
    answers = np.copysign(np.finfo(dtype).max, worst).astype(dtype)
    with pytest.raises(ValueError, match=r"^coded_outputs overflow: max \|coded_outputs\|"):
        scheme.decode(answers, responders)


@pytest.mark.parametrize(
    "family", [SplineScheme, SplineScheme.paper, BerrutScheme, ReplicationScheme]
)
def test_n_stragglers_must_leave_enough_workers(family):
    assert family(4, 9).n_stragglers == 5
    assert family(9, 4).n_stragglers == 0
    assert family(4, 9, n_stragglers=2).min_responders == 7
    for count in (-1, 9):
        with pytest.raises(ValueError, match=r"n_stragglers must lie in \[0, \d\], got"):
            family(4, 9, n_stragglers=count)
    with pytest.raises(TypeError, match="n_stragglers must be an integer"):
        family(4, 9, n_stragglers=2.0)


def test_the_error_pickles_with_its_attributes():
    error = NotEnoughRespondersError("too few", responders=np.array([1, 3]), failures={0: "killed"})
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, ValueError)
    assert (str(copy), copy.responders, copy.failures) == ("too few", (1, 3), {0: "killed"})


# SplineScheme.


def test_spline_golden_values():
    inputs = np.array([0.1, 0.4, 0.7, 1.0])
    responders = [0, 1, 3, 4, 6, 7, 8]
    scheme = SplineScheme.paper(4, 9, lam_enc=1e-4, lam_dec=1e-5)
    coded_inputs = scheme.encode(inputs)
    outputs = scheme.decode((coded_inputs * np.sin(coded_inputs))[responders], responders)
    np.testing.assert_allclose(
        coded_inputs,
        [
            *(0.054850719699, 0.100378208475, 0.228424309112, 0.399086923969, 0.55),
            *(0.700913076031, 0.871575690888, 0.999621791525, 1.045149280301),
        ],
        rtol=0,
        atol=1e-12,
    )
    np.testing.assert_allclose(
        outputs,
        [0.010856049798, 0.154918554588, 0.460784401218, 0.840763194003],
        rtol=0,
        atol=1e-12,
    )
    np.testing.assert_allclose(
        scheme.encoding_matrix[0],
        [1.16712403579, -0.190892734023, 0.03091096168, -0.007142263447],
        rtol=0,
        atol=1e-11,
    )
    largest = np.abs(scheme.decoding_matrix(responders)).sum(axis=1).max()
    assert largest == pytest.approx(2.888423706461, abs=1e-11)


def test_spline_golden_values_of_interpolation():
    inputs = np.array([0.1, 0.4, 0.7, 1.0])
    responders = [0, 1, 3, 4, 6, 7, 8]
    scheme = SplineScheme.paper(4, 9)
    answers = scheme.encode(inputs) * np.sin(scheme.encode(inputs))
    outputs = scheme.decode(answers[responders], responders)
    np.testing.assert_allclose(
        outputs,
        [0.009983341665, 0.155767336923, 0.459278689435, 0.841470984808],
        rtol=0,
        atol=1e-12,
    )
    assert scheme.exact_mask(responders).tolist() == [True, True, False, True]
    assert np.array_equal(outputs[[0, 1, 3]], (inputs * np.sin(inputs))[[0, 1, 3]])


def test_spline_golden_values_of_probabilities():
    inputs = np.array([[0.0, 1.0], [1.0, -1.0], [2.0, 0.5]])
    weights = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]])
    responders = [0, 2, 3, 4, 6]
    scheme = SplineScheme.paper(3, 7, lam_enc=1e-3, lam_dec=1e-6)
    coded_inputs = scheme.encode(inputs)
    scores = np.exp(coded_inputs @ weights)
    outputs = scheme.decode((scores / scores.sum(axis=1, keepdims=True))[responders], responders)
    expected = [
        [0.3275712306, 0.540077847, 0.1323509224],
        [0.2764128094, 0.0231994003, 0.7003877903],
        [0.7973903913, 0.0186441678, 0.183965441],
    ]
    np.testing.assert_allclose(coded_inputs[0], [-0.1547005384, 1.4052760237], rtol=0, atol=1e-10)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        scheme.decoding_matrix(responders)[0],
        [0.665461608, 0.4188399601, -0.1064321919, 0.026548879, -0.0044182552],
        rtol=0,
        atol=1e-10,
    )


@pytest.mark.parametrize("lam", [0.0, 1e-7, 1e-3, 10.0, np.inf])
@pytest.mark.parametrize(("n_inputs", "n_workers"), [(1, 4), (2, 5), (3, 7), (8, 33), (20, 30)])
def test_the_published_spline_equals_the_dense_definition(n_inputs, n_workers, lam):
    rng = np.random.default_rng(n_inputs)
    inputs = rng.normal(size=(n_inputs, 3))
    scheme = SplineScheme.paper(n_inputs, n_workers, lam_enc=lam, lam_dec=lam)
    responders = np.sort(rng.permutation(n_workers)[: max(2, scheme.min_responders)])
    answers = rng.normal(size=(len(responders), 3))
    expected = reference.letcc_decode(answers, responders, n_inputs, n_workers, lam)
    # The oracle's least squares loses half of the digits where lam is large and gaps are small.
    np.testing.assert_allclose(
        scheme.encode(inputs), reference.letcc_encode(inputs, n_workers, lam), rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(
        scheme.decode(answers, responders),
        expected,
        rtol=0,
        atol=1e-9 * max(1, np.abs(expected).max()),
    )


@pytest.mark.parametrize("lam", [0.0, 1e-5, 1.0])
def test_the_bound_spline_lays_inputs_along_the_path(lam):
    inputs = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    scheme = SplineScheme(5, 13, lam_enc=lam, lam_dec=lam).bind(inputs)
    expected = reference.smoothing_spline(scheme.alpha, np.arange(1.0, 6.0), lam, scheme.beta)
    coded_inputs = scheme.encode(inputs)
    along = coded_inputs[np.argsort(places_far_apart(13))]
    upwards = along if along[0] < along[-1] else along[::-1]
    np.testing.assert_allclose(upwards, expected, rtol=0, atol=1e-12)


@given(
    seed=st.integers(0, 10**6),
    lam_enc=st.sampled_from([0.0, 1e-8, 1e-2, 100.0, np.inf]),
    lam_dec=st.sampled_from([0.0, 1e-8, 1e-2, 100.0, np.inf]),
    paper=st.booleans(),
)
def test_straight_lines_pass_through_the_spline_at_every_lam(seed, lam_enc, lam_dec, paper):
    rng = np.random.default_rng(seed)
    n_inputs = int(rng.integers(2, 9))
    n_workers = int(rng.integers(n_inputs, 30))
    make = SplineScheme.paper if paper else SplineScheme
    scheme = make(n_inputs, n_workers, lam_enc=lam_enc, lam_dec=lam_dec)
    inputs = 2.0 - 3.0 * scheme.alpha
    beta = scheme.beta
    responders = np.sort(rng.permutation(n_workers)[: max(2, n_workers // 2)])
    if len(np.unique(beta[responders])) < 2:
        return
    outputs = scheme.decode(5.0 * scheme.encode(inputs)[responders] + 1.0, responders)
    # Lines extrapolate from the answers: rounding grows by the reach over their span.
    tolerance = 1e-12 * 2 / np.ptp(beta[responders])
    np.testing.assert_allclose(scheme.encode(inputs), 2.0 - 3.0 * beta, rtol=0, atol=1e-12)
    np.testing.assert_allclose(outputs, 5.0 * inputs + 1.0, rtol=0, atol=max(tolerance, 1e-11))


@pytest.mark.parametrize(
    ("n_inputs", "n_workers"), [(20, 100), (60, 100), (20, 60), (60, 60), (3, 2), (7, 1)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_systematic_answers_are_returned_unchanged(n_inputs, n_workers, dtype):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(n_inputs, 40)).astype(dtype)
    scheme = SplineScheme(n_inputs, n_workers).bind(inputs)
    coded_inputs = scheme.encode(inputs)
    assert scheme.exact_mask(range(n_workers)).sum() == min(n_inputs, n_workers)
    for _ in range(10):
        responders = np.sort(rng.permutation(n_workers)[: scheme.min_responders])
        outputs = scheme.decode(np.cos(coded_inputs)[responders], responders)
        mask = scheme.exact_mask(responders)
        assert np.array_equal(outputs[mask], np.cos(inputs)[mask])


def test_the_first_copy_that_answered_counts():
    scheme = SplineScheme(2, 5)
    assert scheme.beta.tolist() == [-1, -1, 0, 1, 1]
    answers = np.array([10.0, 20.0, 1.0, 30.0, 40.0])
    assert scheme.decode(answers, range(5)).tolist() == [10, 30]
    assert scheme.decode(answers[[1, 2, 4]], [1, 2, 4]).tolist() == [20, 40]


def test_two_answers_suffice_for_a_spline():
    scheme = SplineScheme(2, 5)
    assert not scheme.can_decode([3])
    assert scheme.decode([1.0, 2.0], [2, 3]) == pytest.approx([0, 2])
    assert scheme.decode([7.0, 8.0], [0, 1]).tolist() == [7, 7]
    assert SplineScheme(1, 3).decode([5.0], [2]).tolist() == [5]
    assert SplineScheme(3, 1).decode([5.0], [0]).tolist() == [5, 5, 5]


def test_bound_inputs_lie_as_far_apart_as_they_are():
    scheme = SplineScheme(3, 6).bind([[0.0, 0.0], [9.0, 12.0], [3.0, 4.0]])
    assert sorted(abs(scheme.alpha)) == pytest.approx([1 / 3, 1, 1])
    assert SplineScheme(3, 6).bind(np.ones((3, 2))).alpha.tolist() == [-1, 0, 1]


def test_smoothing_leaves_no_exact_answers():
    assert not SplineScheme(4, 9, lam_dec=1e-3).exact_mask(range(9)).any()
    assert not SplineScheme(4, 9, lam_enc=1e-3).exact_mask(range(9)).any()


def test_the_published_scheme_keeps_the_given_order_and_lam():
    scheme = SplineScheme.paper(4, 9, lam_enc=1e-4, lam_dec=1e-5)
    assert scheme.bind(some_inputs(4)) is scheme
    assert (scheme.lam_enc, scheme.lam_dec) == (1e-4, 1e-5)
    np.testing.assert_allclose(scheme.alpha, reference.chebyshev_first(4), rtol=0, atol=1e-15)
    np.testing.assert_allclose(scheme.beta, reference.chebyshev_second(9), rtol=0, atol=1e-15)


def test_points_cannot_be_changed_from_outside():
    scheme = SplineScheme(4, 9)
    for points in (scheme.alpha, scheme.beta):
        with pytest.raises(ValueError, match="read-only"):
            points[0] = 7.0
    assert scheme.alpha[0] == scheme.beta[0] == -1


@pytest.mark.parametrize("make", [SplineScheme, SplineScheme.paper])
@pytest.mark.parametrize(
    ("lam", "error", "message"),
    [
        (-1e-3, ValueError, r"must be >= 0 \(0 interpolates, inf fits a line\), got -0.001"),
        (np.nan, ValueError, "must be >= 0"),
        ("reml", TypeError, "must be a number.*, got 'reml'"),
        (True, TypeError, "must be a number.*, got True"),
        (None, TypeError, "must be a number.*, got None"),
        (np.True_, TypeError, "must be a number.*, got"),
        (np.ones(1), TypeError, "must be a number.*, got"),
        (np.ones(2), TypeError, "must be a number.*, got"),
        (1j, TypeError, "must be a number.*, got 1j"),
        (np.complex64(1), TypeError, "must be a number.*, got"),
        pytest.param(10**5000, ValueError, "must fit a float", id="huge"),
    ],
)
def test_bad_lam_is_refused(make, lam, error, message):
    for name in ("lam_enc", "lam_dec"):
        with pytest.raises(error, match=f"{name} {message}"):
            make(4, 9, **{name: lam})


@pytest.mark.parametrize("make", [SplineScheme, SplineScheme.paper])
def test_words_are_named_where_they_are_allowed(make):
    with pytest.raises(TypeError, match='lam_dec must be a number, "gcv" or "guarded", got'):
        make(4, 9, lam_dec="loo")
    for word in ("gcv", "guarded"):
        with pytest.raises(TypeError, match=f"^lam_enc must be a number, got '{word}'"):
            make(4, 9, lam_enc=word)


# BerrutScheme.


def test_berrut_golden_values():
    inputs = np.array([1.0, 2.0, 4.0])
    # The golden values have descending points: workers and inputs in reverse.
    scheme = BerrutScheme(3, 6)
    coded_inputs = scheme.encode(inputs[::-1])[::-1]
    np.testing.assert_allclose(
        coded_inputs,
        [
            1.086813593512,
            0.9694762877,
            1.163376335748,
            3.062507667805,
            3.96253444559,
            4.056043549345,
        ],
        rtol=0,
        atol=1e-10,
    )
    responders = [0, 2, 4, 5]
    outputs = scheme.decode(np.exp(-coded_inputs[::-1])[responders], responders)[::-1]
    np.testing.assert_allclose(
        outputs, [0.370191747534, 0.10742236646, 0.018215048079], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        scheme.decoding_matrix(responders)[::-1, ::-1][0],
        [0.302309821113, 0.710453714376, -0.034468404101, 0.021704868612],
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("n_inputs", "n_workers"), [(1, 3), (3, 7), (5, 9), (8, 33), (10, 41), (20, 60)]
)
def test_berrut_equals_its_formula_collisions_included(n_inputs, n_workers):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=n_inputs)
    scheme = BerrutScheme(n_inputs, n_workers)
    alpha, beta = reference.chebyshev_first(n_inputs), reference.chebyshev_second(n_workers)
    expected = [reference.berrut(alpha, inputs, point) for point in beta]
    np.testing.assert_allclose(scheme.encode(inputs), expected, rtol=0, atol=1e-12)
    for count in (1, 2, n_workers // 2, n_workers):
        responders = np.sort(rng.permutation(n_workers)[:count])
        answers = rng.normal(size=count)
        expected = [reference.berrut(beta[responders], answers, point) for point in alpha]
        np.testing.assert_allclose(
            scheme.decode(answers, responders), expected, rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize(
    ("n_inputs", "n_workers"), [(2, 5), (3, 7), (4, 9), (5, 11), (8, 33), (10, 41)]
)
def test_berrut_copies_where_points_coincide(n_inputs, n_workers):
    scheme = BerrutScheme(n_inputs, n_workers)
    inputs = some_inputs(n_inputs, 4)
    outputs = scheme.decode(np.cos(scheme.encode(inputs)), range(n_workers))
    assert scheme.exact_mask(range(n_workers)).all()
    assert np.array_equal(outputs, np.cos(inputs))


def test_one_answer_is_everybodys():
    assert BerrutScheme(3, 6).decode([4.0], [2]).tolist() == [4, 4, 4]


# LagrangeScheme.


def test_lagrange_is_exact_for_cubics_up_to_seven_stragglers():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=5)
    scheme = LagrangeScheme(5, 20, degree=3)
    assert (scheme.min_responders, scheme.n_stragglers) == (13, 7)

    def cubic(x):
        return 2 * x**3 - x**2 + 0.5 * x - 3

    coded_outputs = cubic(scheme.encode(inputs))
    for count in range(13, 21):
        for _ in range(20):
            responders = np.sort(rng.permutation(20)[:count])
            outputs = scheme.decode(coded_outputs[responders], responders)
            tolerance = 200 * EPS * scheme.amplification(responders) * np.abs(coded_outputs).max()
            np.testing.assert_allclose(outputs, cubic(inputs), rtol=0, atol=tolerance)
            assert scheme.exact_mask(responders).all()
    assert not scheme.can_decode(range(12))
    with pytest.raises(
        NotEnoughRespondersError, match=r"12 of 20 workers answered, .* needs 13 answers"
    ):
        scheme.decode(coded_outputs[:12], range(12))


@pytest.mark.parametrize(
    ("n_inputs", "degree", "n_workers"), [(1, 3, 2), (2, 1, 3), (3, 2, 7), (4, 3, 12)]
)
def test_lagrange_equals_exact_arithmetic(n_inputs, degree, n_workers):
    rng = np.random.default_rng(1)
    scheme = LagrangeScheme(n_inputs, n_workers, degree=degree)
    inputs = rng.integers(-5, 5, n_inputs)
    encoded = [
        float(reference.lagrange(scheme.alpha, inputs.tolist(), point)) for point in scheme.beta
    ]
    np.testing.assert_allclose(scheme.encode(inputs), encoded, rtol=0, atol=1e-12)
    responders = np.sort(rng.permutation(n_workers)[: scheme.min_responders])
    answers = rng.integers(-5, 5, len(responders))
    decoded = [
        float(reference.lagrange(scheme.beta[responders], answers.tolist(), point))
        for point in scheme.alpha
    ]
    tolerance = 1e-11 * max(1, scheme.amplification(responders))
    np.testing.assert_allclose(scheme.decode(answers, responders), decoded, rtol=0, atol=tolerance)


def test_unstable_lagrange_sets_are_refused_with_their_amplification():
    scheme = LagrangeScheme(10, 60, degree=5)
    together = np.arange(46)
    assert scheme.amplification(together) > 1e8
    assert scheme.amplification(range(45)) == np.inf
    assert not scheme.can_decode(together)
    assert not scheme.exact_mask(together).any()
    with pytest.raises(
        NotEnoughRespondersError, match=r"amplify errors by at most 1e\+08, and these do by"
    ):
        scheme.decode(np.zeros(46), together)
    assert scheme.can_decode(range(60))


def test_lagrange_needs_enough_workers():
    with pytest.raises(
        ValueError, match=r"n_workers must be >= \(n_inputs - 1\) \* degree \+ 1 = 13, got 12"
    ):
        LagrangeScheme(5, 12, degree=3)
    for degree, error in ((0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="degree must be"):
            LagrangeScheme(5, 20, degree=degree)


# ReplicationScheme.


def test_lost_inputs_get_the_nearest_answer():
    inputs = np.array([[0.0, 0.0], [10.0, 0.0], [1.0, 1.0]])
    scheme = ReplicationScheme(3, 6).bind(inputs)
    assert scheme.decode([[5.0], [6.0]], [0, 4]).tolist() == [[5], [6], [5]]
    assert scheme.exact_mask([0, 4]).tolist() == [True, True, False]
    assert scheme.decode([[1.0], [2.0]], [2, 5]).tolist() == [[1], [1], [1]]


def test_lost_inputs_get_the_mean_of_distinct_answers():
    scheme = ReplicationScheme(3, 6, fallback="mean")
    assert scheme.bind(some_inputs(3)) is scheme
    assert scheme.decode([1.0, 5.0, 1.0], [0, 2, 3]).tolist() == [1, 3, 5]


def test_without_fallback_every_input_needs_an_answer():
    scheme = ReplicationScheme(3, 7, fallback=None)
    assert (scheme.min_responders, scheme.n_stragglers) == (6, 1)
    assert scheme.can_decode([1, 5, 6])
    assert not scheme.can_decode([0, 2, 3, 5, 6])
    with pytest.raises(NotEnoughRespondersError, match="needs an answer for every input"):
        scheme.decode(np.zeros(2), [0, 1])
    with pytest.raises(
        ValueError, match=r"n_stragglers must lie in \[0, 1\] with fallback=None, since .* got 2"
    ):
        ReplicationScheme(3, 7, n_stragglers=2, fallback=None)
    with pytest.raises(ValueError, match="fallback=None needs n_workers >= n_inputs"):
        ReplicationScheme(3, 2, fallback=None)


def test_the_nearest_answer_needs_the_inputs():
    scheme = ReplicationScheme(3, 6)
    assert scheme.decode([1.0, 3.0, 2.0], [0, 2, 4]).tolist() == [1, 2, 3]
    assert not scheme.can_decode([0, 3])
    with pytest.raises(NotEnoughRespondersError, match=r"call bind\(inputs\) first"):
        scheme.decode([1.0, 2.0], [0, 1])


@pytest.mark.parametrize("fallback", ["median", 0, np.array(["x", "y"])], ids=repr)
def test_an_unknown_fallback_is_refused(fallback):
    words = f'fallback must be "nearest", "mean" or None, got {fallback!r}; "nearest" fills'
    with pytest.raises(ValueError, match=re.escape(words)):
        ReplicationScheme(3, 6, fallback=fallback)


def test_fewer_workers_than_inputs_leave_some_without_answer():
    scheme = ReplicationScheme(5, 2, fallback="mean")
    assert scheme.exact_mask([0, 1]).sum() == 2
    assert scheme.decode([1.0, 3.0], [0, 1]).tolist() == [2, 1, 2, 3, 2]


@pytest.mark.parametrize(("k", "n", "s"), [(20, 100, 60), (20, 60, 20), (60, 100, 20)])
@pytest.mark.parametrize("make", [SplineScheme, SplineScheme.paper])
def test_plans_of_the_paper_settings_use_a_pentadiagonal_factor(make, k, n, s):
    rng = np.random.default_rng(0)
    scheme = make(k, n, n_stragglers=s).bind(rng.standard_normal((k, 5)))
    assert Smoother(scheme.alpha, lam=scheme.lam_enc).solver == "reinsch"
    for _ in range(20):
        responders = np.sort(rng.permutation(n)[: n - s])
        knots = np.unique(scheme.beta[responders])
        assert Smoother(knots, lam=scheme.lam_dec).solver in ("reinsch", "innovations")
        solver = Smoother(knots, lam=1e-12 * len(responders)).solver
        assert solver in ("reinsch", "innovations")


# Errors to expect.

STD_FAMILIES = {
    "spline-cloud": lambda k, n: SplineScheme(k, n),
    "spline-gcv": lambda k, n: SplineScheme(k, n, lam_dec="gcv"),
    "kernel": lambda k, n: KernelScheme(k, n, fit=None),
    "replication-nearest": lambda k, n: ReplicationScheme(k, n),
    "replication-mean": lambda k, n: ReplicationScheme(k, n, fallback="mean"),
}
every_std_family = pytest.mark.parametrize("family", STD_FAMILIES)


@pytest.mark.parametrize("family", [*STD_FAMILIES, "kernel-fitted"])
@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e200, 1e300])
def test_std_is_in_the_unit_of_the_answers(family, unit):
    scheme = STD_FAMILIES.get(family, KernelScheme)(6, 8).bind(some_inputs(6, 4))
    responders, answers = [0, 2, 3, 5], some_inputs(4, 3, seed=2)
    _, expected = scheme.decode_with_std(answers, responders)
    _, std = scheme.decode_with_std(answers * unit, responders)
    assert expected.any()
    np.testing.assert_allclose(std / unit, expected, rtol=1e-3)  # gcv stops its search


@every_std_family
def test_empty_answers_have_no_errors(family):
    scheme = STD_FAMILIES[family](6, 8).bind(some_inputs(6, 4))
    outputs, std = scheme.decode_with_std(np.empty((4, 0)), [0, 2, 3, 5])
    assert outputs.shape == (6, 0)
    assert std.tolist() == [0.0] * 6


@every_std_family
@given(
    seed=st.integers(0, 10**6),
    n_inputs=st.integers(1, 7),
    n_workers=st.integers(2, 16),
    exponents=st.sampled_from([0, 3, 100]),
    data=st.data(),
)
def test_std_is_0_where_exact_and_never_nan(family, seed, n_inputs, n_workers, exponents, data):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n_inputs, 2)) * 10.0 ** rng.integers(-exponents, exponents + 1)
    inputs[rng.integers(n_inputs)] = inputs[0]  # perhaps twice
    inputs[-1] *= 10.0 ** rng.integers(-exponents, exponents + 1)
    scheme = STD_FAMILIES[family](n_inputs, n_workers).bind(inputs)
    responders = np.sort(
        data.draw(st.permutations(range(n_workers)))[: data.draw(st.integers(2, n_workers))]
    )
    answers = rng.normal(size=(len(responders), 3))
    outputs, std = scheme.decode_with_std(answers, responders)
    np.testing.assert_array_equal(outputs, scheme.decode(answers, responders))
    assert np.isfinite(outputs).all()
    assert std.shape == (n_inputs,)
    assert not np.isnan(std).any()
    assert (std >= 0.0).all()
    assert not std[scheme.exact_mask(responders)].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs_up_to_the_largest_number_can_be_bound(dtype):
    largest = np.finfo(dtype).max
    for signs in (np.linspace(-1, 1, 5), np.array([[1, -1, 1, -1], [-1, 1, 1, 1], [1, 1, -1, -1]])):
        inputs = (signs * largest).astype(dtype)
        ours = SplineScheme(len(inputs), 9).bind(inputs)
        small = SplineScheme(len(inputs), 9).bind((signs / 4).astype(dtype))
        np.testing.assert_array_equal(ours.encoding_matrix, small.encoding_matrix)
