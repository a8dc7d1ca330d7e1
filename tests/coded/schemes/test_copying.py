"""Copies keep any dtype bit for bit; what must be mixed becomes numbers, or is refused."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from coded import (
    BerrutScheme,
    KernelScheme,
    LagrangeScheme,
    MDSScheme,
    ProductScheme,
    ReplicationScheme,
    SplineScheme,
    coded_map,
)

PLACES = np.random.default_rng(0).normal(size=(4, 5))  # no curve: all workers hold inputs
COPYING = {
    "replication": ReplicationScheme(4, 10, fallback=None),
    "replication-mean": ReplicationScheme(4, 10, fallback="mean"),
    "replication-nearest": ReplicationScheme(4, 10).bind(PLACES),
    "kernel": KernelScheme(4, 10).bind(PLACES),
    "spline": SplineScheme(4, 10).bind(PLACES),
}
every_copying = pytest.mark.parametrize("scheme", COPYING.values(), ids=COPYING)
MIXING = {
    name: COPYING[name] for name in ("replication-mean", "kernel", "spline")
}  # where an answer is lost
VALUES = {
    "int64": np.array([2**60 + 1, -(2**62) - 1, 5, 0]),
    "uint64": np.array([2**64 - 1, 1, 2, 3], np.uint64),
    "int8": np.array([1, -2, 3, -128], np.int8),
    "bool": np.array([True, False, True, True]),
    "complex64": np.array([1j, 2.0, -0.5j, 0.0], np.complex64),
    "complex128": np.array([1j, 2.0, np.pi * 1j, 0.0]),
    "text": np.array(["a", "bb", "", "d"]),
    "time": np.array(["2020-01-01", "1970-01-01", "2262-01-01", "1999-09-09"], "M8[ns]"),
    "objects": np.array([{"a": 1}, frozenset([2]), "c", 4], dtype=object),
}
every_value = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


def lose(scheme, k):
    """The workers that do not hold input k."""
    return np.flatnonzero(scheme._held() != k)


@every_copying
@every_value
@pytest.mark.parametrize("trailing", [(), (2, 3)], ids=str)
def test_copies_keep_their_dtype_bit_for_bit(scheme, values, trailing):
    values = np.broadcast_to(values.reshape(-1, *(1 for _ in trailing)), (4, *trailing))
    coded_inputs = scheme.encode(values)
    held = scheme._held()
    assert coded_inputs.dtype == values.dtype
    assert (coded_inputs == values[held]).all()
    last_of_each = np.array([np.flatnonzero(held == k)[-1] for k in range(4)])
    for responders in (np.arange(10), np.sort(last_of_each)):
        outputs = scheme.decode(coded_inputs[responders], responders)
        assert outputs.dtype == values.dtype
        assert (outputs == values).all()
        assert scheme.can_decode(responders, dtype=values.dtype)
        outputs[...] = outputs[0]  # the caller's own
    assert (coded_inputs == values[held]).all()


@pytest.mark.parametrize("scheme", MIXING.values(), ids=MIXING)
def test_what_must_be_mixed_becomes_numbers_or_is_refused(scheme):
    responders = lose(scheme, 1)
    held = scheme._held()[responders]
    numbers = np.array([3, 1, 4, 8])
    expected = scheme.decode(numbers[held].astype(float), responders)
    for dtype in (np.int64, np.uint8):
        outputs = scheme.decode(numbers.astype(dtype)[held], responders)
        assert outputs.dtype == np.float64
        np.testing.assert_array_equal(outputs, expected)
    mixed = scheme.decode((numbers * (1 + 2j)).astype(np.complex64)[held], responders)
    assert mixed.dtype == np.complex128
    np.testing.assert_allclose(mixed, expected * (1 + 2j), rtol=1e-6)
    for large in (VALUES["int64"], VALUES["uint64"]):
        with pytest.raises(
            ValueError,
            match=r"coded_outputs hold whole numbers up to \d+, and those beyond 2\*\*53",
        ):
            scheme.decode(large[held], responders)
    for name in ("text", "time", "objects"):
        assert not scheme.can_decode(responders, dtype=VALUES[name].dtype)
        with pytest.raises(TypeError, match=r"coded_outputs must hold real numbers .* are mixed"):
            scheme.decode(VALUES[name][held], responders)


def test_the_nearest_answer_may_be_anything():
    scheme = COPYING["replication-nearest"]
    responders = lose(scheme, 1)
    nearest = scheme.decode(np.arange(4.0)[scheme._held()[responders]], responders)[1]
    for values in VALUES.values():
        outputs = scheme.decode(values[scheme._held()[responders]], responders)
        assert outputs.dtype == values.dtype
        assert outputs[1] == values[int(nearest)]
        assert scheme.can_decode(responders, dtype=values.dtype)


@pytest.mark.parametrize("name", ["kernel", "spline", "replication-mean", "replication-nearest"])
def test_std_is_told_for_all_that_is_a_number(name):
    scheme = COPYING[name]
    responders = lose(scheme, 1)
    held = scheme._held()[responders]
    numbers = np.array([3, 1, 4, 8])
    _, expected = scheme.decode_with_std(numbers[held].astype(float), responders)
    outputs, std = scheme.decode_with_std(numbers[held], responders)
    np.testing.assert_array_equal(std, expected)
    np.testing.assert_array_equal(outputs, scheme.decode(numbers[held], responders))
    _, std = scheme.decode_with_std(numbers[held] * 1j, responders)
    np.testing.assert_allclose(std, expected)
    everyone = np.arange(10)
    for values in VALUES.values():
        outputs, std = scheme.decode_with_std(values[scheme._held()], everyone)
        assert (outputs == values).all()
        assert std.tolist() == [0.0] * 4


@pytest.mark.parametrize(
    "scheme",
    [
        LagrangeScheme(4, 9, degree=1),
        BerrutScheme(4, 9),
        MDSScheme(4, 9),
        ProductScheme(4, 9),
        SplineScheme(4, 9),
        SplineScheme.paper(4, 9),
    ],
    ids=repr,
)
def test_codes_that_mix_refuse_whole_numbers_that_would_be_rounded(scheme):
    large = VALUES["int64"]
    for values in (large, large.tolist(), VALUES["uint64"], torch.from_numpy(large)):
        with pytest.raises(ValueError, match=r"inputs hold whole numbers up to \d+, .*2\*\*53"):
            scheme.encode(values)
    held = np.array([2**53, -(2**53), 1, 0])
    np.testing.assert_array_equal(scheme.encode(held), scheme.encode(held.astype(float)))


def test_complex_answers_of_affine_functions_are_decoded(rng):
    scheme = MDSScheme(4, 9)
    inputs = rng.normal(size=(4, 3)) + 1j * rng.normal(size=(4, 3))
    answers = (2 + 1j) * scheme.encode(inputs) - 1j
    assert answers.dtype == np.complex128
    for responders in (range(9), [1, 4, 6, 8], range(4)):
        outputs = scheme.decode(answers[list(responders)], responders)
        np.testing.assert_allclose(outputs, (2 + 1j) * inputs - 1j, rtol=0, atol=1e-12)
    answers[5] += 1j
    assert scheme.find_liars(answers, range(9)) == (5,)
    answers[2, 1] = complex(np.nan, 0)
    with pytest.raises(ValueError, match=r"must be finite, but coded_outputs\[2, 1\] = "):
        scheme.decode(answers, range(9))


@every_copying
def test_tensors_of_any_dtype_are_copied(scheme):
    everyone = range(10)
    for values in (
        torch.tensor([2**60 + 1, 2, 3, 4]),
        torch.tensor([True, False, True, True]),
        torch.tensor([1j, 2, 3, 4]),
        torch.tensor([1, 2, 3, 200], dtype=torch.uint8),
    ):
        outputs = scheme.decode(scheme.encode(values), everyone)
        assert outputs.dtype == values.dtype
        assert torch.equal(outputs, values)
    with pytest.raises(TypeError, match="requires grad"):
        scheme.encode(torch.tensor([1j, 2, 3, 4], requires_grad=True))


def test_what_is_not_finite_or_missing_is_refused():
    scheme = COPYING["replication"]
    with pytest.raises(ValueError, match=r"inputs must be finite, but inputs\[1\] = "):
        scheme.encode(np.array([0j, complex(np.inf, 0), 1, 2]))
    with pytest.raises(TypeError, match="inputs must hold numbers or other values, got None"):
        scheme.encode([None, "a", "b", "c"])


# In calls.

FIVE = np.arange(4.0)


def call(fn, scheme, **options):
    with ThreadPoolExecutor(4) as pool:
        return coded_map(fn, FIVE, scheme, pool, timeout=60, **options)


@pytest.mark.parametrize("scheme", [COPYING["replication"], KernelScheme(4, 10)], ids=repr)
@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda x: 2**60 + int(x), np.array([2**60, 2**60 + 1, 2**60 + 2, 2**60 + 3])),
        (
            lambda x: f"label {x:.0f}" + "!" * int(x),
            ["label 0", "label 1!", "label 2!!", "label 3!!!"],
        ),
        (lambda x: frozenset([int(x)]), [frozenset([k]) for k in range(4)]),
        (lambda x: x > 1, np.array([False, False, True, True])),
        (lambda x: 1j * x, 1j * FIVE),
    ],
    ids=["ids", "text", "objects", "bools", "complex"],
)
def test_answers_that_are_no_floats_arrive_as_they_are(scheme, fn, expected):
    result = call(fn, scheme, wait_for=10)
    assert result.failures == {}
    assert result.exact.all()
    assert result.outputs.tolist() == list(expected)
    assert result.outputs.dtype == np.asarray(expected).dtype


def test_nests_keep_what_stands_beside_each_other():
    result = call(
        lambda x: {"id": 2**60 + int(x), "name": "n" * int(x), "score": np.float32([x, x]) / 3},
        COPYING["replication"],
    )
    outputs = result.outputs
    assert outputs["id"].tolist() == [2**60 + k for k in range(4)]
    assert outputs["name"].tolist() == ["", "n", "nn", "nnn"]
    assert outputs["score"].dtype == np.float32
    np.testing.assert_array_equal(outputs["score"][:, 0], FIVE.astype(np.float32) / 3)


def test_no_answer_is_none():
    with pytest.raises(ValueError, match="must hold numbers or other values, got None"):
        call(lambda _: None, COPYING["replication"])


@pytest.mark.parametrize("scheme", [ReplicationScheme(4, 4), SplineScheme(4, 4)], ids=repr)
def test_answers_of_several_dtypes_become_what_numpy_promotes_them_to(scheme):
    kinds = {0.0: np.float16, 1.0: np.float32, 2.0: np.float64, 3.0: np.int64}
    result = call(lambda x: kinds[float(x)](x + 1e5 * (x > 1)), scheme, wait_for=4)
    assert result.failures == {}
    assert result.outputs.dtype == np.float64
    assert result.outputs.tolist() == [0.0, 1.0, 100002.0, 100003.0]
    halves = call(lambda x: np.float16(x), scheme, wait_for=4)
    assert halves.outputs.dtype == np.float16


def test_no_workers_dtype_rounds_the_others():
    """The first one answers in float32, as one of many of another version may."""
    result = call(lambda x: np.float32(x / 3) if x == 0 else x / 3, COPYING["replication"])
    assert result.outputs.dtype == np.float64
    assert result.outputs[1:].tolist() == (FIVE / 3)[1:].tolist()
