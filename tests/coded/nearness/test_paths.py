from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded.nearness.distances import distances_between
from coded.nearness.order import canonical_order, path_order
from coded.nearness.paths import short_path
from coded.nearness.tour import lay_along_paths
from coded.places.input_lines import chord_length, several_lines
from tests.oracles import order as reference


def between(rows):
    return np.sqrt(((rows[:, None] - rows) ** 2).sum(axis=-1))


def mirrored(square):
    upper = np.triu(square, 1)
    return upper + upper.T


def of_points(rng, size):
    return between(rng.standard_normal((size, rng.integers(2, 8))))


def of_nothing(rng, size):
    """No points have these distances: no triangle inequality."""
    return mirrored(rng.random((size, size)))


def detours(rng, size):
    """As `several_lines` makes other lines; points of the plane on a curve or not."""
    rows = np.cumsum(rng.standard_normal((size, 2)), axis=0) if size % 2 else rng.random((size, 2))
    return between(rows) * mirrored(np.exp(0.2 * rng.standard_normal((size, size))))


def clusters(rng, size):
    centres = 10 * rng.standard_normal((4, 30))
    return between(centres[rng.integers(4, size=size)] + rng.standard_normal((size, 30)))


KINDS = pytest.mark.parametrize("kind", [of_points, of_nothing, detours, clusters])


@KINDS
@pytest.mark.parametrize("sizes", [range(1, 31), range(31, 61), range(61, 81)], ids=str)
def test_paths_are_those_of_the_plain_search(kind, sizes):
    rng = np.random.default_rng(sizes.start)
    for size in [size for size in sizes for _ in range(600 // sizes.stop)]:
        distances = kind(rng, size)
        expected = reference.short_path(distances)
        np.testing.assert_array_equal(short_path(distances), expected)


@KINDS
def test_paths_through_many_are_those_of_the_plain_search(kind):
    distances = kind(np.random.default_rng(0), 300)
    np.testing.assert_array_equal(short_path(distances), reference.short_path(distances))


def test_path_order_is_that_of_the_plain_search():
    rng = np.random.default_rng(1)
    for n_inputs in (1, 2, 3, 9, 20, 60, 150):
        rows = rng.standard_normal((n_inputs, 784)).astype(np.float32)
        canonical = canonical_order(rows)
        plain = reference.short_path(distances_between(rows, canonical))
        np.testing.assert_array_equal(path_order(rows), canonical[plain])


@pytest.mark.parametrize("n_inputs", [3, 20, 60, 100])
def test_lines_are_those_of_the_plain_search(n_inputs):
    """To the bit: the factors are drawn one line after another."""
    rows = np.random.default_rng(n_inputs).standard_normal((n_inputs, 10))
    canonical = canonical_order(rows)
    distances = distances_between(rows, canonical)
    rng = np.random.default_rng(0)
    lines = several_lines(rows, path_order(rows))
    for line in lines[1:]:
        factors = mirrored(np.exp(0.2 * rng.standard_normal(distances.shape)))
        path = reference.short_path(distances * factors)
        expected = np.empty(n_inputs)
        expected[canonical[path]] = chord_length(distances[path[:-1], path[1:]])
        np.testing.assert_array_equal(line, expected)


def grid(rng, shape=(8, 8)):
    points = np.stack(np.meshgrid(*map(np.arange, shape)), axis=-1).reshape(-1, len(shape))
    return rng.permutation(points)


@pytest.mark.parametrize(
    "draw",
    [
        grid,
        lambda rng: grid(rng, (4, 5)),
        lambda rng: rng.integers(0, 5, (60, 2)),
        lambda rng: rng.integers(0, 2, (60, 20)),
        lambda rng: np.repeat(rng.standard_normal((30, 5)), 2, axis=0),
        lambda rng: np.repeat(rng.standard_normal((3, 5)), 20, axis=0),
    ],
    ids=["grid", "small grid", "integers", "bits", "pairs", "three"],
)
def test_paths_among_equal_distances_are_as_short(draw):
    """Where the plain search takes some of the equally near, as numpy's partition finds them."""
    rng = np.random.default_rng(2)
    ours = plain = 0.0
    for _ in range(20):
        distances = between(draw(rng).astype(float))
        path, other = short_path(distances), reference.short_path(distances)
        assert sorted(path) == list(range(len(distances)))
        np.testing.assert_array_equal(short_path(distances), path)
        ours += distances[path[:-1], path[1:]].sum()
        plain += distances[other[:-1], other[1:]].sum()
    assert ours <= 1.01 * plain


@pytest.mark.parametrize("size", [1, 2, 3, 12, 40])
def test_equal_rows_are_laid_along_some_path(size):
    assert sorted(short_path(np.zeros((size, size)))) == list(range(size))


@given(seed=st.integers(0, 10**6), size=st.integers(1, 14), exponent=st.integers(-300, 290))
def test_units_do_not_matter(seed, size, exponent):
    distances = of_points(np.random.default_rng(seed), size)
    scaled = np.ldexp(distances, int(exponent / np.log10(2)))
    np.testing.assert_array_equal(short_path(scaled), short_path(distances))


def test_distances_too_small_for_full_precision_and_the_largest_end():
    distances = of_points(np.random.default_rng(3), 30)
    for largest in (5e-324, 1e-322, 1e-310, 1e300):
        scaled = np.minimum(distances / distances.max() * largest, largest)
        assert sorted(short_path(scaled)) == list(range(30))


def test_problems_are_solved_one_by_one():
    rng = np.random.default_rng(4)
    problems = np.stack([[of_points(rng, 25) for _ in range(3)] for _ in range(2)])
    paths = short_path(problems)
    assert paths.shape == (2, 3, 25)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(paths[i, j], short_path(problems[i, j]))
    assert short_path(np.empty((0, 5, 5))).shape == (0, 5)


def test_upper_triangles_are_read_and_nothing_is_written():
    distances = of_points(np.random.default_rng(5), 20)
    upper = np.triu(distances, 1) + np.tril(np.full((20, 20), np.nan))
    before = upper.copy()
    np.testing.assert_array_equal(short_path(upper), short_path(distances))
    np.testing.assert_array_equal(upper, before)


def test_dtypes_and_layouts_share_one_compiled_kernel():
    distances = np.rint(100 * of_points(np.random.default_rng(6), 20))
    expected = short_path(distances)
    frozen = distances.copy()
    frozen.flags.writeable = False
    others = [
        frozen,
        np.asfortranarray(distances),
        np.repeat(distances, 2, axis=1)[:, ::2],
        distances.astype(np.float32),
        distances.astype(np.int64),
        distances.tolist(),
        distances.astype(">f8"),
    ]
    for other in others:
        np.testing.assert_array_equal(short_path(other), expected)
    assert len(lay_along_paths.signatures) <= 1  # none where it came from the cache


def test_threads_do_not_disturb_each_other():
    rng = np.random.default_rng(7)
    problems = [of_points(rng, 60) for _ in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(short_path, problems))
    for path, problem in zip(found, problems, strict=True):
        np.testing.assert_array_equal(path, short_path(problem))


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (np.zeros((2, 3)), r"square along the last two axes.* got shape \(2, 3\)"),
        (np.zeros(4), r"got shape \(4,\)"),
        (1.0, r"got shape \(\)"),
        (np.zeros((0, 0)), r"at least one row, got shape \(0, 0\)"),
        ([[0.0, -1.0], [-1.0, 0.0]], r"distances\[0, 1\] = -1.0"),
        ([[0.0, np.inf], [np.inf, 0.0]], r"distances\[0, 1\] = inf"),
        ([[0.0, 1e301], [1e301, 0.0]], r"in \[0, 1e\+300\], but distances\[0, 1\] = 1e\+301"),
        ([np.zeros((3, 3)), np.full((3, 3), np.nan)], r"distances\[1, 0, 1\] = nan"),
    ],
)
def test_bad_distances_are_refused(distances, message):
    with pytest.raises(ValueError, match=message):
        short_path(distances)


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError, match="distances must hold real numbers"):
        short_path([[0j, 1j], [1j, 0j]])
