import numpy as np
import pytest

from coded.chords import _far_apart


@pytest.mark.parametrize("n_workers", [*range(1, 140), 210, 240, 306, 350, 360, 397, 400])
def test_near_places_go_to_workers_far_apart(n_workers):
    places = _far_apart(np.arange(n_workers))
    assert sorted(places) == list(range(n_workers))
    worker = np.argsort(places)
    for step in range(1, min(13, n_workers)):
        apart = np.abs(worker[step:] - worker[:-step])
        assert np.minimum(apart, n_workers - apart).min() * 6 * step >= n_workers
    for executors in range(2, n_workers + 1):
        if n_workers % executors == 0:
            for start in range(n_workers - executors + 1):
                held = worker[start : start + executors] % executors
                assert len(set(held)) == executors
