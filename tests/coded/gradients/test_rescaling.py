from itertools import combinations

import numpy as np
import pytest

from coded import NotEnoughRespondersError, RescalingCode


@pytest.mark.parametrize("count", [1, 3, 5, 6])
def test_the_estimate_is_right_in_the_mean_over_all_sets(count):
    code, parts = RescalingCode(6, 3), np.random.default_rng(0).normal(size=(6, 4))
    job = code.prepare(None)
    answers = [job.read(n, job.function(n, lambda _, i: parts[i])(None))[1] for n in range(6)]
    totals = [
        job.decode([answers[n] for n in kept], np.array(kept))
        for kept in combinations(range(6), count)
    ]
    np.testing.assert_allclose(np.mean(totals, axis=0), parts.sum(axis=0), atol=1e-14)
    kept = tuple(range(count))
    assert code.residual(kept) == pytest.approx(6 * (6 - count) / count, abs=1e-12)
    assert code.is_exact(kept) == (count == 6)
    assert code.amplification(kept) == pytest.approx(1.0)


def test_each_worker_has_one_part():
    code = RescalingCode(4, 1)
    assert code.assignment == ((0,), (1,), (2,), (3,))
    assert (code.load, code.min_responders) == (1, 3)
    with pytest.raises(NotEnoughRespondersError, match="at least one answer"):
        code.decode_vector([])
    with pytest.raises(ValueError, match="n_stragglers must lie"):
        RescalingCode(4, 4)
