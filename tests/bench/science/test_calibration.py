import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from bench.science import calibration
from bench.science.calibration import Estimates
from bench.science.trials import Trial, interval

pytestmark = pytest.mark.outer


def estimates(rng, count, *, said=1.0):
    """Errors of Gaussian vectors whose std is said `said` times as large as it is."""
    std = rng.uniform(0.5, 2.0, count)
    error = np.linalg.norm(rng.normal(size=(count, 10)), axis=1) * std / np.sqrt(10)
    confidence = rng.uniform(size=count)
    return Estimates(error, said * std, confidence, rng.uniform(size=count) < confidence)


@given(
    arrays(np.int64, 30, elements=st.integers(0, 9)).map(lambda score: score / 10.0),
    arrays(np.bool_, 30),
)
def test_area_is_sklearns(score, positive):
    ours = calibration.roc_area(score, positive)
    if positive.all() or not positive.any():
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


def test_ratio_is_one_where_std_is_true_and_one_over_what_is_said_too_much(rng):
    for said in (1.0, 0.5, 4.0):
        ratio = estimates(rng, 100_000, said=said).ratio
        assert ratio == pytest.approx(1.0 / said, rel=0.01)


def test_jackknife_of_a_mean_is_the_interval_of_the_mean(rng, monkeypatch):
    monkeypatch.setattr(Estimates, "mean", property(lambda self: self.error.mean()), raising=False)
    batches = [estimates(rng, 7) for _ in range(12)]
    mean, half_width = calibration.jackknife(batches, "mean")
    expected = interval(np.array([batch.error.mean() for batch in batches]))
    assert [mean, half_width] == pytest.approx(expected, rel=1e-9)


def test_jackknife_covers_the_truth(rng):
    covered = 0
    for _ in range(200):
        batches = [estimates(rng, 40) for _ in range(15)]
        ratio, half_width = calibration.jackknife(batches, "ratio")
        covered += abs(ratio - 1.0) <= half_width
    assert 178 <= covered <= 200


def test_quantiles_split_into_equal_shares():
    said = np.array([0.9, 0.1, 0.3, 0.7])
    true = np.array([1.0, 0.0, 1.0, 0.0])
    pairs = calibration.by_quantile(said, true, bins=2)
    assert pairs == [pytest.approx([0.2, 0.5]), pytest.approx([0.8, 0.5])]


def test_only_estimates_count():
    outputs = np.array([[[[3.0, 0.0], [0.0, 5.0]]]])
    trial = Trial(
        outputs=outputs,
        reference=np.array([[[3.0, 0.0], [4.0, 2.0]]]),
        exact=np.array([[[True, False]]]),
        std=np.array([[[0.0, 2.0]]]),
        labels=None,
    )
    (one,) = Estimates.of(trial)
    assert one.error.tolist() == [5.0]
    assert one.std.tolist() == [2.0]
    assert one.right.tolist() == [False]
    assert one.ratio == 2.5


def test_a_scheme_without_std_is_refused():
    trial = Trial(
        np.zeros((1, 1, 2, 3)), np.zeros((1, 2, 3)), np.zeros((1, 1, 2), bool), None, None
    )
    with pytest.raises(ValueError, match="gives no std"):
        Estimates.of(trial)


def test_experiment_runs_and_shows_all(tmp_path):
    numbers = calibration.run(quick=True)
    (table,) = calibration.tables(numbers).values()
    lines = table.splitlines()
    assert len(lines) == 4 + len(calibration.SCHEMES)
    assert all(f"| {scheme} |" in table for scheme in calibration.SCHEMES)
    for name, row in numbers["digits"]["(60, 100, 60)"].items():
        assert row["estimates"] > 100
        assert 0.3 < row["ratio"][0] < 3.0
        assert row["area"][0] > (0.4 if name.startswith("replication") else 0.75)
    (figure,) = calibration.draw(numbers).values()
    figure.savefig(tmp_path / "calibration.png")
    assert len(figure.axes[0].lines) == len(calibration.COLOURS) + 1
