from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import path_order, similar_groups
from coded.nearness.distances import distances_between, flattened
from tests.oracles import codes as reference


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


def closed_length(lengths, tour):
    return lengths[tour, np.roll(tour, -1)].sum()


def neighbouring_tours(tour):
    """All tours that one 2-opt or one Or-opt move gives, written out."""
    size = len(tour)
    for i, j in combinations(range(size), 2):
        yield tour[:i] + tour[i : j + 1][::-1] + tour[j + 1 :]
    for start in range(size):
        turned = tour[start:] + tour[:start]
        for length in range(1, min(3, size - 2) + 1):
            piece, rest = turned[:length], turned[length:]
            for cut in range(1, len(rest)):
                for way in (piece, piece[::-1]):
                    yield rest[:cut] + way + rest[cut:]


@given(seed=st.integers(0, 10**6), n_inputs=st.integers(2, 10), features=st.integers(1, 4))
def test_no_move_shortens_the_path_of_few_inputs(seed, n_inputs, features):
    inputs = np.random.default_rng(seed).integers(0, 5, size=(n_inputs, features)).astype(float)
    lengths = np.zeros((n_inputs + 1, n_inputs + 1))  # the last is the dummy that closes the path
    lengths[:-1, :-1] = np.linalg.norm(inputs[:, None] - inputs, axis=-1)
    tour = [*path_order(inputs).tolist(), n_inputs]
    shortest = closed_length(lengths, tour)
    for other in neighbouring_tours(tour):
        assert closed_length(lengths, other) >= shortest - 1e-6


def greedy_edges(inputs):
    """Kruskal's way: all edges by length, each taken that leaves a set of paths."""
    size = len(inputs)
    lengths = np.linalg.norm(inputs[:, None] - inputs, axis=-1)
    fragment, degree, total = list(range(size)), [0] * size, 0.0
    for i, j in sorted(combinations(range(size), 2), key=lambda edge: lengths[edge]):
        if degree[i] < 2 and degree[j] < 2 and fragment[i] != fragment[j]:
            gone, kept = fragment[i], fragment[j]
            fragment = [kept if one == gone else one for one in fragment]
            degree[i] += 1
            degree[j] += 1
            total += lengths[i, j]
    return total


@pytest.mark.parametrize("features", [2, 10])
def test_the_path_is_shorter_than_greedy_edges(features):
    inputs = np.random.default_rng(5).normal(size=(150, features))
    bound = {2: 0.97, 10: 0.995}[features]
    length = reference.path_length(inputs, path_order(inputs))
    assert length < bound * greedy_edges(inputs)


def test_the_path_through_many_points_is_near_the_shortest():
    inputs = np.random.default_rng(6).random((1000, 2))
    order = path_order(inputs)
    assert sorted(order) == list(range(1000))
    # Beardwood, Halton, Hammersley: the shortest is .7124 sqrt(K area), and 3 % more near the rim.
    assert reference.path_length(inputs, order) < 1.08 * 1.03 * 0.7124 * np.sqrt(1000)


def test_the_order_of_many_inputs_does_not_matter():
    rng = np.random.default_rng(7)
    inputs, shuffle = rng.normal(size=(300, 3)), rng.permutation(300)
    shuffled = inputs[shuffle]
    assert np.array_equal(inputs[path_order(inputs)], shuffled[path_order(shuffled)])


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


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (7, 4), (5, 0), (64, 2), (300, 1)])
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


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12])
def test_distances_are_right_for_inputs_far_and_near(gap):
    rng = np.random.default_rng(5)
    rows = np.concatenate([rng.normal(size=(4, 20000)), 1.0 + gap * rng.normal(size=(5, 20000))])
    expected = np.linalg.norm(rows[:, None] - rows, axis=-1) / np.abs(rows).max()
    np.testing.assert_allclose(
        distances_between(flattened(rows), np.arange(9)), expected, rtol=1e-9, atol=0
    )


def spread(inputs, groups):
    """Mean distance of the inputs from the mean of their group."""
    deviations = [inputs[group] - inputs[group].mean(axis=0) for group in groups]
    return np.linalg.norm(np.concatenate(deviations), axis=1).mean()


@pytest.mark.parametrize("n_inputs", [1, 20, 120, 130])
def test_groups_hold_every_input_once(n_inputs):
    inputs = np.random.default_rng(8).normal(size=(n_inputs, 4))
    groups = similar_groups(inputs, 20)
    assert sorted(np.concatenate(groups)) == list(range(n_inputs))
    assert [len(group) for group in groups[:-1]] == [20] * ((n_inputs - 1) // 20)
    assert 1 <= len(groups[-1]) <= 20


def test_groups_are_tighter_than_random_ones():
    rng = np.random.default_rng(9)
    centres = 5 * rng.normal(size=(6, 8))
    inputs = centres[rng.integers(6, size=120)] + rng.normal(size=(120, 8))
    random_groups = rng.permutation(120).reshape(6, 20)
    assert spread(inputs, similar_groups(inputs, 20)) < 0.5 * spread(inputs, random_groups)
    plain = rng.random((120, 2))  # without clusters too
    assert spread(plain, similar_groups(plain, 20)) < 0.7 * spread(plain, random_groups)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="size must be >= 1, got 0"):
        similar_groups([1.0, 2.0], 0)
    with pytest.raises(TypeError, match="size must be an integer"):
        similar_groups([1.0, 2.0], 1.5)


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match=r"inputs\[1, 0\] = nan"):
        path_order([[0.0], [np.nan]])
    with pytest.raises(ValueError, match="at least one input"):
        path_order(np.empty((0, 3)))
    with pytest.raises(ValueError, match="at least one input"):
        path_order(3.0)
    with pytest.raises(TypeError, match="inputs must hold real numbers"):
        path_order([1j, 2j])
