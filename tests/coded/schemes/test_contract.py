"""What every code keeps, whichever it is: all of `codes()`, a new one by itself."""

import contextlib
import itertools
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import (
    InconsistentAnswersError,
    NotEnoughRespondersError,
    Scheme,
    SplineScheme,
    coded_map,
    simulate,
)
from coded.schemes import codes
from coded.schemes.registry import Setting, Variant

EPS = np.finfo(np.float64).eps
CODES = codes() | {
    "spline-smooth": Variant(
        lambda s: SplineScheme(s.n_inputs, s.n_workers, lam_enc=1e-4, lam_dec=1e-3), "none", ""
    ),
    "letcc-smooth": Variant(
        lambda s: SplineScheme.paper(s.n_inputs, s.n_workers, lam_enc=1e-6, lam_dec=1e-5),
        "none",
        "",
    ),
}
SMALL = [
    Setting(k, n, s, degree=1)
    for k, n, s in [
        *((1, 1, 0), (1, 3, 2), (2, 2, 0), (2, 5, 2), (3, 7, 3), (4, 6, 2), (4, 9, 4), (5, 5, 0)),
    ]
] + [Setting(2, 6, 1, degree=1, n_liars=1)]


def served(code, settings):
    """Give the settings that the code can serve; the others it refuses by ValueError."""
    found = []
    for setting in settings:
        try:
            CODES[code].make(setting)
        except ValueError:
            continue
        found.append(setting)
    return found


SERVED = [(code, setting) for code in CODES for setting in served(code, SMALL)]
# One setting a code, the largest; in it most sets of workers can be decoded.
LARGEST = [
    (code, max(served(code, SMALL), key=lambda s: s.n_inputs * s.n_workers)) for code in CODES
]


def identify(value):
    if isinstance(value, Setting):
        return f"{value.n_inputs}-{value.n_workers}-{value.n_stragglers}"
    return str(value)


everywhere = pytest.mark.parametrize(("code", "setting"), SERVED, ids=identify)
at_its_largest = pytest.mark.parametrize(("code", "setting"), LARGEST, ids=identify)


def some(code, rows, *trailing, seed=0):
    """Numbers of the kind that the code codes."""
    rng = np.random.default_rng(seed)
    if CODES[code].numbers == "integer":
        return rng.integers(-20, 21, size=(rows, *trailing))
    if CODES[code].numbers == "complex":
        return rng.normal(size=(rows, *trailing)) + 1j * rng.normal(size=(rows, *trailing))
    return rng.normal(size=(rows, *trailing))


def bound(code, setting):
    return CODES[code].make(setting).bind(some(code, setting.n_inputs, 3, seed=9))


def responder_sets(n_workers):
    workers = range(n_workers)
    return itertools.chain.from_iterable(
        itertools.combinations(workers, count) for count in range(n_workers + 1)
    )


def evaluate(scheme, fn, coded_inputs):
    """What the workers answer."""
    functions = getattr(scheme, "worker_functions", lambda f: [f] * scheme.n_workers)(fn)
    return np.stack([each(row) for each, row in zip(functions, coded_inputs, strict=True)])


def matrix_or_none(scheme, responders):
    """The decoding matrix; None where the answers themselves choose the decoder."""
    try:
        return scheme.decoding_matrix(responders)
    except TypeError:
        return None


def linear(x):
    """Of degree 1, and whole numbers stay so."""
    return 3 * x + x[..., ::-1]


def rough(x):
    """No code's business."""
    return np.sign(x.real) + abs(x) ** 2


def test_every_code_serves_several_settings():
    for code in CODES:
        assert len(served(code, SMALL)) >= 3, code
        assert CODES[code].exact_for in ("any", "polynomial", "linear", "none")
        assert CODES[code].numbers in ("real", "complex", "integer")


@everywhere
def test_every_set_that_can_be_decoded_is_and_the_others_are_told(code, setting):
    scheme = bound(code, setting)
    inputs = some(code, setting.n_inputs, 4, seed=1)
    answers = evaluate(scheme, linear, scheme.encode(inputs))
    n_decoded = 0
    for responders in responder_sets(setting.n_workers):
        some_answers = answers[list(responders)]
        if not scheme.can_decode(responders):
            assert len(responders) < scheme.min_responders
            with pytest.raises(NotEnoughRespondersError, match="workers answered"):
                scheme.decode(some_answers, responders)
            continue
        n_decoded += 1
        outputs = scheme.decode(some_answers, responders)
        assert np.isfinite(outputs).all()
        matrix = matrix_or_none(scheme, responders)
        if matrix is not None and CODES[code].numbers != "integer":
            assert matrix.shape == (setting.n_inputs, len(responders))
            rounding = 100 * EPS * np.abs(matrix).sum(axis=1).max() * np.abs(answers).max()
            np.testing.assert_allclose(outputs, matrix @ some_answers, rtol=0, atol=rounding)
    assert n_decoded >= 1


@everywhere
def test_outputs_are_exact_for_the_functions_that_are_named(code, setting):
    scheme = bound(code, setting)
    exact_for = CODES[code].exact_for
    if exact_for == "none":
        return_exactly = ()
    else:
        return_exactly = (linear, rough) if exact_for == "any" else (linear,)
    inputs = some(code, setting.n_inputs, 4, seed=2)
    for fn in return_exactly:
        answers = evaluate(scheme, fn, scheme.encode(inputs))
        for responders in responder_sets(setting.n_workers):
            if not scheme.can_decode(responders):
                continue
            outputs = scheme.decode(answers[list(responders)], responders)
            if CODES[code].numbers == "integer":
                np.testing.assert_array_equal(outputs, fn(inputs))
                continue
            matrix = scheme.decoding_matrix(responders)
            rounding = 100 * EPS * max(1, np.abs(matrix).sum(axis=1).max()) * np.abs(answers).max()
            np.testing.assert_allclose(outputs, fn(inputs), rtol=0, atol=rounding)


@at_its_largest
def test_what_the_mask_names_is_exact(code, setting):
    # Where the promise is for some functions only, the mask is too.
    fn = rough if CODES[code].exact_for in ("any", "none") else linear
    inputs = some(code, setting.n_inputs, 4, seed=3)
    scheme = CODES[code].make(setting).bind(inputs)
    answers = evaluate(scheme, fn, scheme.encode(inputs))
    for responders in responder_sets(setting.n_workers):
        mask = scheme.exact_mask(responders)
        assert mask.shape == (setting.n_inputs,)
        assert mask.dtype == bool
        if scheme.can_decode(responders) and mask.any():
            outputs = scheme.decode(answers[list(responders)], responders)
            expected = fn(inputs)
            if CODES[code].exact_for in ("any", "none"):
                np.testing.assert_array_equal(outputs[mask], expected[mask])
            else:
                np.testing.assert_allclose(outputs[mask], expected[mask], rtol=0, atol=1e-6)


@at_its_largest
def test_workers_that_hold_an_input_get_it_bit_for_bit_and_no_others_do(code, setting):
    # What `exact_mask` and the outputs of `WithPrior` rest on.
    scheme = bound(code, setting)
    inputs = some(code, setting.n_inputs, 4, seed=9)
    coded_inputs = scheme.encode(inputs)
    for n, k in enumerate(scheme._held()):
        is_input = (coded_inputs[n] == inputs).all(axis=1)
        assert np.flatnonzero(is_input).tolist() == ([k] if k >= 0 else []), n


@everywhere
def test_it_is_a_scheme_and_so_many_answers_always_suffice(code, setting):
    scheme = bound(code, setting)
    assert isinstance(scheme, Scheme)
    assert (scheme.n_inputs, scheme.n_workers) == (setting.n_inputs, setting.n_workers)
    assert 1 <= scheme.min_responders <= setting.n_workers
    for responders in itertools.combinations(range(setting.n_workers), scheme.min_responders):
        assert scheme.can_decode(responders)


@at_its_largest
def test_more_answers_never_make_it_undecodable(code, setting):
    scheme = bound(code, setting)
    decodable = {who for who in responder_sets(setting.n_workers) if scheme.can_decode(who)}
    for who in decodable:
        for n in set(range(setting.n_workers)) - set(who):
            assert tuple(sorted({*who, n})) in decodable


@at_its_largest
@pytest.mark.parametrize("trailing", [(), (2,), (2, 3), (1, 4, 4), (0,)], ids=str)
def test_shapes_and_dtypes_are_kept(code, setting, trailing):
    scheme = bound(code, setting)
    dtypes = {
        "real": [np.float32, np.float64],
        "integer": [np.int64],
        "complex": [np.complex128],
    }
    for dtype in dtypes[CODES[code].numbers]:
        inputs = some(code, setting.n_inputs, *trailing).astype(dtype)
        encoded = scheme.encode(inputs)
        assert (encoded.shape, encoded.dtype) == ((setting.n_workers, *trailing), dtype)
        decoded = scheme.decode(encoded, range(setting.n_workers))
        assert (decoded.shape, decoded.dtype) == ((setting.n_inputs, *trailing), dtype)


@at_its_largest
def test_layouts_do_not_matter_and_arguments_stay_as_they_are(code, setting):
    scheme = bound(code, setting)
    answers = evaluate(scheme, linear, scheme.encode(some(code, setting.n_inputs, 6)))
    kept = answers.copy()
    everyone = range(setting.n_workers)
    expected = scheme.decode(answers, everyone)
    read_only = answers.copy()
    read_only.flags.writeable = False
    spread = np.repeat(answers, 2, axis=1)[:, ::2]
    for same in (np.asfortranarray(answers), spread, read_only, answers.tolist()):
        np.testing.assert_allclose(scheme.decode(same, everyone), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(answers, kept)


@at_its_largest
def test_tensors_come_back_as_tensors(code, setting):
    scheme = bound(code, setting)
    inputs = torch.from_numpy(some(code, setting.n_inputs, 2))
    encoded = scheme.encode(inputs)
    decoded = scheme.decode(encoded, torch.arange(setting.n_workers))
    assert (encoded.dtype, tuple(encoded.shape)) == (inputs.dtype, (setting.n_workers, 2))
    assert (decoded.dtype, tuple(decoded.shape)) == (inputs.dtype, (setting.n_inputs, 2))
    assert torch.is_tensor(scheme.bind(inputs).encode(inputs))
    np.testing.assert_array_equal(
        decoded.numpy(), scheme.decode(encoded.numpy(), range(setting.n_workers))
    )


@at_its_largest
def test_it_pickles_small_without_its_plans(code, setting):
    scheme = bound(code, setting)
    answers = evaluate(scheme, linear, scheme.encode(some(code, setting.n_inputs, 2)))
    expected = scheme.decode(answers, range(setting.n_workers))
    pickled = pickle.dumps(scheme)
    copy = pickle.loads(pickled)
    assert len(pickled) < 5000
    assert repr(copy) == repr(scheme)
    np.testing.assert_array_equal(copy.decode(answers, range(setting.n_workers)), expected)


@at_its_largest
def test_one_scheme_serves_many_threads(code, setting):
    scheme = bound(code, setting)
    answers = evaluate(scheme, linear, scheme.encode(some(code, setting.n_inputs, 2)))
    sets = [who for who in responder_sets(setting.n_workers) if scheme.can_decode(who)][-9:]
    expected = [scheme.decode(answers[list(one)], one) for one in sets]
    fresh = pickle.loads(pickle.dumps(scheme))
    wrong = []

    def decode_all():
        for one, right in zip(sets * 20, expected * 20, strict=True):
            if not np.array_equal(fresh.decode(answers[list(one)], one), right):
                wrong.append(one)

    threads = [threading.Thread(target=decode_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


@at_its_largest
def test_it_prints_as_it_is_typed(code, setting):
    scheme = CODES[code].make(setting)
    again = eval(repr(scheme), {type(scheme).__name__: type(scheme)})
    assert repr(again) == repr(scheme)
    assert type(again) is type(scheme)


@at_its_largest
@given(seed=st.integers(0, 10**6))
def test_decoding_does_not_depend_on_other_columns(code, setting, seed):
    rng = np.random.default_rng(seed)
    scheme = bound(code, setting)
    answers = evaluate(scheme, linear, scheme.encode(some(code, setting.n_inputs, 5, seed=seed)))
    who = np.sort(rng.permutation(setting.n_workers)[: scheme.min_responders])
    if matrix_or_none(scheme, who) is None:
        return  # the answers of all columns choose the decoder together
    alone = scheme.decode(answers[who][:, 2:3], who)
    np.testing.assert_allclose(
        scheme.decode(answers[who], who)[:, 2:3],
        alone,
        rtol=0,
        atol=1e-11 * max(1, np.abs(alone).max()),
    )


@at_its_largest
def test_the_simulation_and_the_runtime_take_it(code, setting):
    inputs = some(code, setting.n_inputs, 4, seed=5)
    scheme = CODES[code].make(setting)
    lost = setting.n_workers - scheme.min_responders
    result = simulate(linear, inputs, scheme, stragglers=lost, repeats=3)
    assert result.outputs.shape == (3, setting.n_inputs, 4)
    assert np.isfinite(result.mean_l2).all()
    with ThreadPoolExecutor(4) as pool:
        answer = coded_map(linear, inputs, scheme, pool, wait_for=setting.n_workers, timeout=60)
    assert answer.outputs.shape == (setting.n_inputs, 4)
    assert answer.outputs.dtype == inputs.dtype
    if CODES[code].exact_for != "none":
        assert (result.mean_l2 < 1e-6).all()
        np.testing.assert_allclose(answer.outputs, linear(inputs), rtol=0, atol=1e-6)


# What answers tell that are more than are needed.


@everywhere
def test_no_output_is_called_exact_that_the_answers_contradict(code, setting):
    """Functions outside of the class that is promised: refused, or true where said to be exact."""
    if CODES[code].numbers == "integer":
        return  # its own tests: these functions give no whole numbers
    inputs = some(code, setting.n_inputs, 6, seed=7)
    scheme = CODES[code].make(setting).bind(inputs)
    coded_inputs = scheme.encode(inputs)
    for fn in (rough, np.tanh, lambda x: np.where(np.arange(6) == 1, 1e6 * x, 1e-3 * x**3)):
        answers = evaluate(scheme, fn, coded_inputs)
        for responders in responder_sets(setting.n_workers):
            asked = np.unique(coded_inputs[list(responders)].round(9), axis=0)
            if len(asked) <= scheme.min_responders or not scheme.can_decode(responders):
                continue  # there is no spare answer
            try:
                outputs = scheme.decode(answers[list(responders)], responders)
            except InconsistentAnswersError:
                continue
            mask = scheme.exact_mask(responders)
            np.testing.assert_allclose(outputs[mask], fn(inputs)[mask], rtol=1e-6, atol=1e-9)


@everywhere
def test_one_liar_is_left_out(code, setting):
    inputs = some(code, setting.n_inputs, 4, seed=8)
    scheme = CODES[code].make(setting).bind(inputs)
    if not hasattr(scheme, "find_liars"):
        assert CODES[code].exact_for in ("any", "none")
        return
    answers = evaluate(scheme, linear, scheme.encode(inputs))
    everyone = tuple(range(setting.n_workers))
    assert scheme.find_liars(answers, everyone) == ()
    if setting.n_workers - scheme.min_responders < 2 or not getattr(scheme, "_is_checked", True):
        return
    for liar in everyone:
        lied = answers.copy()
        lied[liar] += 5
        assert scheme.find_liars(lied, everyone) == (liar,)
        outputs = scheme.decode(lied, everyone)
        np.testing.assert_allclose(outputs, linear(inputs), rtol=0, atol=1e-6)


# Bad input.


@at_its_largest
def test_bad_responders_are_refused(code, setting):
    n = setting.n_workers
    scheme = bound(code, setting)
    for responders, error, message in [
        ([0, 2, 1], ValueError, r"strictly ascending, but responders\[2\] = 1 follows 2; sort"),
        ([0, 1, 1], ValueError, r"strictly ascending, but responders\[2\] = 1 follows 1"),
        ([0, 1, n], ValueError, rf"\[0, n_workers\) = \[0, {n}\), but responders\[2\] = {n}"),
        ([-1, 0, 1], ValueError, r"responders\[0\] = -1; workers are counted from 0"),
        ([[0, 1, 2]], ValueError, r"one-dimensional, got shape \(1, 3\)"),
        (2, ValueError, r"one-dimensional, got 2; pass the sorted"),
        ("abc", ValueError, r"one-dimensional, got 'abc'; pass the sorted"),
        (None, ValueError, r"one-dimensional, got None; pass the sorted"),
        ([0.0, 1.0, 2.0], TypeError, "responders must hold integers, got dtype float64"),
        ([True, False, True], TypeError, "integers, got dtype bool; pass sorted indices"),
        (["a", "b", "c"], TypeError, "responders must hold integers"),
    ]:
        answers = some(code, 3, 2)
        for refuse in (
            lambda who=responders: scheme.can_decode(who),
            lambda who=responders, answers=answers: scheme.decode(answers, who),
            lambda who=responders: scheme.exact_mask(who),
        ):
            with pytest.raises(error, match=message):
                refuse()


@at_its_largest
def test_bad_arrays_are_refused(code, setting):
    k, n = setting.n_inputs, setting.n_workers
    scheme = bound(code, setting)
    for inputs, error, message in [
        (some(code, k + 1, 2), ValueError, rf"inputs has shape \({k + 1}, 2\), but .* needs {k} "),
        (some(code, 0, 2), ValueError, r"inputs has shape \(0, 2\)"),
        (some(code, 1)[0], ValueError, r"inputs has shape \(\)"),
        (np.array([None] * k), TypeError, "inputs must hold"),
        ([[1], [1, 2], *[[1]] * (k - 2)], TypeError, "inputs must be an array of .* is ragged"),
    ]:
        with pytest.raises(error, match=message):
            scheme.encode(inputs)
    with pytest.raises(ValueError, match=rf"coded_outputs has shape \({n - 1}, 2\), but there are"):
        scheme.decode(some(code, n - 1, 2), range(n))
    if not scheme._keeps_copies:  # which take text: its own tests
        with pytest.raises(TypeError, match="inputs must hold"):
            scheme.encode(["a"] * k)
        with pytest.raises(TypeError, match="coded_outputs must hold"):
            scheme.decode(["a"] * n, range(n))
    if CODES[code].numbers == "integer":
        with pytest.raises(TypeError, match="inputs must hold integers"):
            scheme.encode(np.ones(k))
        return
    for row in range(n):
        answers = some(code, n, 3)
        answers[row, 1] = np.nan
        with pytest.raises(ValueError, match=rf"coded_outputs\[{row}, 1\] = .*nan"):
            scheme.decode(answers, range(n))
    inputs = some(code, k, 2)
    inputs[k - 1, 1] = np.inf
    with pytest.raises(ValueError, match=rf"inputs must be finite, but inputs\[{k - 1}, 1\] = "):
        scheme.encode(inputs)


@pytest.mark.parametrize("code", CODES)
def test_bad_counts_are_refused(code):
    for counts, error, message in [
        ((0, 5), ValueError, "n_inputs must be >= 1, got 0"),
        ((3, 0), ValueError, "n_workers must be >= 1, got 0"),
        ((3, -2), ValueError, "n_workers must be >= 1, got -2"),
        ((3.0, 9), TypeError, "n_inputs must be an integer, got 3.0"),
        ((3, True), TypeError, "n_workers must be an integer, got True"),
        (("3", 9), TypeError, "n_inputs must be an integer"),
        ((3, 2**31), ValueError, r"n_workers must lie in \[1, 2147483647\], got 2147483648"),
        ((10**30, 9), ValueError, r"n_inputs must lie in \[1, 2147483647\]"),
    ]:
        with pytest.raises(error, match=message):
            CODES[code].make(Setting(*counts, 0, degree=1))


@at_its_largest
def test_too_few_answers_tell_who_answered(code, setting):
    scheme = bound(code, setting)
    message = rf"0 of {setting.n_workers} workers answered, .* needs"
    with pytest.raises(NotEnoughRespondersError, match=message) as caught:
        scheme.decode(some(code, 0, 2), [])
    assert caught.value.responders == ()
    assert not scheme.can_decode([])


# Dtypes.


@at_its_largest
def test_float32_answers_are_decoded_to_their_own_digits(code, setting):
    """Whichever set is accepted for that dtype: to a hundredth, and well where all answered."""
    if CODES[code].numbers != "real" or CODES[code].exact_for == "none":
        return
    scheme = bound(code, setting)
    inputs = some(code, setting.n_inputs, 50).astype(np.float32)
    answers = evaluate(scheme, linear, scheme.encode(inputs))
    size = np.abs(answers).max()
    for responders in responder_sets(setting.n_workers):
        if scheme.can_decode(responders, dtype=np.float32):
            outputs = scheme.decode(answers[list(responders)], responders)
            assert outputs.dtype == np.float32
            assert np.abs(outputs - linear(inputs)).max() <= 1e-2 * size
    everyone = range(setting.n_workers)
    assert np.abs(scheme.decode(answers, everyone) - linear(inputs)).max() <= 1e-4 * size


@at_its_largest
def test_whole_numbers_beyond_2_to_the_53_are_kept_or_refused(code, setting):
    if CODES[code].numbers != "real":
        return
    scheme = bound(code, setting)
    large = 2**60 + 1 + np.arange(setting.n_inputs)
    with contextlib.suppress(WouldRoundError):
        coded_inputs = or_refused(scheme.encode, large)
        assert coded_inputs.dtype == np.int64
        assert set(coded_inputs.tolist()) <= set(large.tolist())
    held = scheme._held()
    answers = np.where(held >= 0, large[held], 2**61 + 1)
    for responders in responder_sets(setting.n_workers):
        if scheme.can_decode(responders):
            with contextlib.suppress(WouldRoundError):
                outputs = or_refused(scheme.decode, answers[list(responders)], responders)
                assert outputs.dtype == np.int64
                mask = scheme.exact_mask(responders)
                np.testing.assert_array_equal(outputs[mask], large[mask])


class WouldRoundError(Exception):
    """A scheme refused whole numbers that it would have rounded."""


def or_refused(code, *arrays):
    try:
        return code(*arrays)
    except ValueError as error:
        if "hold whole numbers up to" not in str(error):
            raise
        raise WouldRoundError from error


# Schemes are immutable.


@at_its_largest
def test_nothing_that_is_handed_out_changes_the_scheme(code, setting):
    scheme = bound(code, setting)
    inputs = some(code, setting.n_inputs, 4)
    everyone = range(setting.n_workers)
    coded_inputs = scheme.encode(inputs)
    is_fresh = np.array_equal(coded_inputs, scheme.encode(inputs))  # no masks
    answers = evaluate(scheme, linear, coded_inputs)
    outputs = scheme.decode(answers, everyone)
    kept = [one.copy() for one in (inputs, answers, outputs)]
    handed = [scheme.encoding_matrix]
    with contextlib.suppress(TypeError):  # the answers choose the decoder
        handed += [scheme.decoding_matrix(everyone), scheme.decoding_matrix(everyone[1:])]
    for name in ("alpha", "beta", "mask_matrix", "weights", "placement"):
        if hasattr(scheme, name):
            handed.append(getattr(scheme, name))
    for array in handed:
        if array.size and not array.flags.writeable:
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 7
        elif array.size:  # a copy
            array[...] = 7
    assert not any(one.flags.writeable for one in handed[:3] if one.ndim == 2)
    coded_outputs = scheme.encode(inputs)
    coded_outputs[...] = 7  # what is computed is the caller's own
    outputs[...] = 7
    if is_fresh:
        np.testing.assert_array_equal(scheme.encode(inputs), coded_inputs)
    np.testing.assert_array_equal(scheme.decode(answers, everyone), kept[2])
    np.testing.assert_array_equal(inputs, kept[0])
    np.testing.assert_array_equal(answers, kept[1])
