import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import path_order
from coded.distances import distances_between, flattened
from tests import reference_codes as reference


@pytest.mark.parametrize("n_inputs", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("seed", range(4))
def test_short_paths_are_near_the_shortest(n_inputs, seed):
    inputs = np.random.default_rng(seed).normal(size=(n_inputs, 3))
    order = path_order(inputs)
    assert sorted(order) == list(range(n_inputs))
    # A local minimum of 2-opt and Or-opt: the shortest path itself but for a few per cent.
    assert (
        reference.path_length(inputs, order) <= 1.1 * reference.shortest_path_length(inputs) + 1e-12
    )


def test_numbers_are_sorted():
    inputs = np.random.default_rng(0).permutation(100) * 0.37
    assert abs(np.diff(inputs[path_order(inputs)])).max() == pytest.approx(0.37)


def test_a_path_is_far_shorter_than_the_given_order():
    rng = np.random.default_rng(1)
    centres = 10 * rng.normal(size=(6, 50))
    inputs = centres[rng.integers(6, size=60)] + rng.normal(size=(60, 50))
    given_order = reference.path_length(inputs, range(60))
    assert reference.path_length(inputs, path_order(inputs)) < 0.3 * given_order


@given(seed=st.integers(0, 10**6), n_inputs=st.integers(1, 15))
def test_the_path_depends_on_the_inputs_and_not_on_their_order(seed, n_inputs):
    rng = np.random.default_rng(seed)
    inputs, shuffle = rng.normal(size=(n_inputs, 2)), rng.permutation(n_inputs)
    shuffled = inputs[shuffle]
    assert np.array_equal(inputs[path_order(inputs)], shuffled[path_order(shuffled)])


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (7, 4), (5, 0), (64, 2)])
def test_equal_inputs_end_in_some_order(shape):
    order = path_order(np.ones(shape))
    assert sorted(order) == list(range(shape[0]))


def test_many_equal_distances_end():
    grid = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), axis=-1).reshape(64, 2)
    order = path_order(grid)
    assert sorted(order) == list(range(64))
    assert reference.path_length(grid, order) <= 1.1 * 63


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_the_scale_does_not_matter(scale):
    inputs = np.random.default_rng(2).normal(size=(12, 3))
    assert np.array_equal(
        inputs[path_order(scale * inputs)], inputs[path_order(inputs)]
    ) or np.array_equal(inputs[path_order(scale * inputs)], inputs[path_order(inputs)][::-1])


def test_tensors_and_images_are_flattened():
    images = np.random.default_rng(3).normal(size=(9, 1, 4, 4)).astype(np.float32)
    expected = path_order(images.reshape(9, 16))
    assert np.array_equal(path_order(images), expected)
    assert np.array_equal(path_order(torch.from_numpy(images)), expected)


def test_distances_are_euclidean():
    rows = np.random.default_rng(4).normal(size=(6, 40000))
    order = np.array([3, 1, 0, 5, 4, 2])
    expected = np.linalg.norm(rows[order][:, None] - rows[order], axis=-1) / np.abs(rows).max()
    # Squares of about 40000 x eps, differences of them under a root.
    np.testing.assert_allclose(
        distances_between(flattened(rows), order), expected, rtol=1e-11, atol=0
    )


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match=r"inputs\[1, 0\] = nan"):
        path_order([[0.0], [np.nan]])
    with pytest.raises(ValueError, match="at least one input"):
        path_order(np.empty((0, 3)))
    with pytest.raises(ValueError, match="at least one input"):
        path_order(3.0)
    with pytest.raises(TypeError, match="inputs must hold real numbers"):
        path_order([1j, 2j])
