import pickle
from typing import NamedTuple

import numpy as np
import pytest
import torch

from coded.gradients.weighted_sum import WeightedSum


class Pair(NamedTuple):
    w: object
    b: object


def times(parameters, i):
    return parameters * (i + 1)


def test_parts_are_weighted_and_summed_in_their_order():
    seen = []

    def part(parameters, i):
        seen.append(i)
        return parameters * 10.0**i

    total = WeightedSum(part, (2, 0), (3.0, -1.0))(np.array([1.0, 2.0]))
    assert seen == [2, 0]
    np.testing.assert_array_equal(total, [299.0, 598.0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept_by_arrays_and_single_numbers(dtype):
    for value in (np.ones(2, dtype), np.ones((), dtype), dtype(1.0)):
        total = WeightedSum(lambda w, _: w, (0, 1), (0.3, 0.7))(value)
        assert total.dtype == dtype
        np.testing.assert_allclose(total, 1.0, rtol=1e-2)


def test_tensors_stay_tensors_of_their_dtype():
    for dtype in (torch.float32, torch.bfloat16):
        total = WeightedSum(times, (0, 1), (0.5, 0.25))(torch.ones(3, dtype=dtype))
        assert total.dtype == dtype
        assert total.tolist() == [1.0, 1.0, 1.0]


def test_nests_are_summed_leaf_by_leaf():
    def part(w, i):
        leaves = {"b": np.array([w]), "a": w} if i else {"a": w, "b": np.array([w])}
        return Pair((w, leaves), [w, w])

    total = WeightedSum(part, (0, 1), (1.0, 2.0))(1.0)
    assert isinstance(total, Pair)
    number, leaves = total.w
    assert (number, leaves) == (3.0, {"a": 3.0, "b": np.array([3.0])})
    np.testing.assert_array_equal(total.b, [3.0, 3.0])


def test_numbers_and_integers_are_summed_too():
    assert WeightedSum(times, (0, 1), (1.0, 1.0))(2) == 6
    assert WeightedSum(times, (0, 1), (0.5, 0.5))(np.array([1, 3])).tolist() == [1.5, 4.5]


@pytest.mark.parametrize("weight", [1.0, 2.0])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int32, np.int64])
def test_integers_and_booleans_do_not_overflow(dtype, weight):
    """Sums of small integers are exact; those above 2^53 are rounded as any float64."""
    largest = 1 if dtype is np.bool_ else int(np.iinfo(dtype).max)
    array = np.array([largest], dtype)
    for value in (array, array[0], torch.from_numpy(array), (array,)):
        total = WeightedSum(lambda *_, one=value: one, (0, 1, 2), (weight,) * 3)(None)
        total = total[0] if isinstance(total, tuple) else total
        assert isinstance(total, torch.Tensor) == isinstance(value, torch.Tensor)
        assert str(total.dtype).endswith("float64")
        np.testing.assert_array_equal(np.ravel(total), 3.0 * weight * float(largest))


def test_an_array_that_a_part_keeps_is_not_changed():
    kept = np.ones(2)
    WeightedSum(lambda *_: kept, (0, 1, 2), (1.0, 1.0, 1.0))(None)
    assert kept.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (np.ones(2), np.ones(1), r"part\(parameters, 1\) has shape \(1,\).*\(2,\)"),
        (np.ones(2), 1.0, "gradient of all parameters"),
        ((1.0, 2.0), (1.0,), "is a tuple of 1, but the parts before are a tuple of 2"),
        ({"a": 1.0}, {"b": 1.0}, r"keys \['b'\]"),
        ((1.0,), np.ones(1), "same nest"),
    ],
)
def test_parts_that_are_not_alike_are_refused(first, second, words):
    with pytest.raises(ValueError, match=words):
        WeightedSum(lambda *_: second if _[1] else first, (0, 1), (1.0, 1.0))(None)


def test_it_pickles_where_the_part_does():
    total = pickle.loads(pickle.dumps(WeightedSum(times, (1, 2), (1.0, 1.0))))
    assert total(1.0) == 5.0
