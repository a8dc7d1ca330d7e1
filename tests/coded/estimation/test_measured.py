import numpy as np
import pytest

from coded.estimation.measured import answered_at, measured_at


def test_who_answered_what_first():
    found = answered_at(np.array([4, 0, 2, 0, 5, 4, 2]), n_inputs=4)
    assert found.sites.tolist() == [0, 2, 4, 5]
    assert found.first.tolist() == [1, 2, 0, 4]
    assert found.which.tolist() == [2, 0, 1, 0, 3, 2, 1]
    assert found.source.tolist() == [1, -1, 2, -1]
    assert found.lost.tolist() == [1, 3]
    assert found.is_copied.tolist() == [True, True, False, False]


@pytest.mark.parametrize("columns", [1, 3, 700])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_copies_that_differ_are_averaged(columns, dtype):
    rng = np.random.default_rng(0)
    site = np.array([1, 0, 1, 2, 1, 0])
    answers = rng.normal(size=(6, columns)).astype(dtype)
    found = measured_at(answers, answered_at(site, 3))
    means = np.stack([answers[site == k].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(found.averages @ answers, means, rtol=1e-5, atol=1e-6)
    assert found.counts.tolist() == [2.0, 3.0, 1.0]
    squares = sum(((answers[site == k] - means[k]) ** 2).sum() for k in range(3))
    assert found.deviation == pytest.approx(np.sqrt(squares / 3), rel=1e-5)
    assert found.spare == 3


@pytest.mark.parametrize("columns", [1, 3, 700])
@pytest.mark.parametrize(
    ("dtype", "rounding"), [(np.float32, 1e-4), (np.float64, 1e-8), (np.float64, 0.0)]
)
def test_copies_that_differ_by_rounding_are_alike(columns, dtype, rounding):
    site = np.array([1, 0, 1])
    answers = np.ones((3, columns), dtype) * np.array([[3.0], [10.0], [3.0]], dtype)
    answers[2] += dtype(10.0 * rounding)
    assert measured_at(answers, answered_at(site, 2)) is None
    assert measured_at(answers[:2], answered_at(site[:2], 2)) is None
    if rounding:
        answers[2, -1] += dtype(100.0 * rounding)
        assert measured_at(answers, answered_at(site, 2)).spare == 1
