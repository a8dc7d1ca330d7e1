import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coded.nearness.distances import distances, distances_between


@given(
    seed=st.integers(0, 10**6),
    gap=st.floats(-12, 0).map(lambda e: 10.0**e),
    far=st.sampled_from([0.0, 1.0, 1e4]),
)
def test_distances_are_right_for_points_far_and_near(seed, gap, far):
    rng = np.random.default_rng(seed)
    rows = far + rng.normal(size=(6, 5))
    others = np.concatenate([rows[:3] + gap * rng.normal(size=(3, 5)), rng.normal(size=(2, 5))])
    expected = np.linalg.norm(rows[:, None] - others, axis=2)
    np.testing.assert_allclose(distances(rows, others), expected, rtol=1e-9, atol=0)
    assert (np.diag(distances(rows, rows)) == 0).all()
    between = distances_between(rows, np.arange(6)) * np.abs(rows).max()
    expected = np.linalg.norm(rows[:, None] - rows, axis=2)
    np.testing.assert_allclose(between, expected, rtol=1e-9, atol=0)
