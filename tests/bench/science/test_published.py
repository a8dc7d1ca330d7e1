import json

import numpy as np
import pytest

from bench.science import published
from bench.science.datasets import Examples

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def numbers():
    """One look at LeNet5, as stored and read again."""
    return json.loads(json.dumps(published.run(quick=True)))


def test_lenet5_reproduces_the_order_of_the_schemes(numbers):
    (case,) = numbers["cases"]
    place = case["over_s"]["settings"].index(case["setting"])
    l2 = {name: curve[place][0] for name, curve in case["over_s"]["l2"].items()}
    assert l2["letcc"] < l2["berrut"]
    assert l2["letcc, path"] < l2["berrut, path"]
    assert max(l2["spline"], l2["kernel"]) < l2["letcc, path"] < l2["letcc"]
    assert case["gains"]["random"]["l2"][0] < 0


def test_curves_meet_at_the_setting(numbers):
    (case,) = numbers["cases"]
    place = case["over_s"]["settings"].index(case["setting"])
    for name in ("letcc", "berrut"):
        losses = [pair[0] for pair in case["over_s"]["l2"][name]]
        assert losses[0] < losses[place]
    assert set(case["over_k"]["l2"]) == set(case["over_s"]["l2"])


def test_tables_and_pictures_hold_every_scheme(numbers):
    tables = published.tables(numbers)
    assert "LeNet5, digits | (60, 100, 20) | -15 % |" in tables["published-gains"]
    (case,) = numbers["cases"]
    for name in case["over_s"]["l2"]:
        assert f"| {name} |" in tables["published-schemes"]
    pictures = published.draw(numbers)
    assert list(pictures) == ["published-s.png", "published-k.png"]
    for picture in pictures.values():
        assert len(picture.axes) == 2
        assert len(picture.axes[0].containers) == len(published.STYLES)


def test_gain_is_the_ratio_of_means_with_the_interval_of_a_ratio(rng):
    theirs = rng.uniform(1.0, 2.0, 400)
    ours = 0.8 * theirs + rng.normal(0.0, 0.1, 400)
    mean, half_width = published.gain(ours, theirs)
    assert mean == pytest.approx(100 * (ours.mean() / theirs.mean() - 1))
    rows = rng.integers(0, 400, (4000, 400))  # the bootstrap knows no linearisation
    ratios = ours[rows].mean(axis=1) / theirs[rows].mean(axis=1)
    assert half_width == pytest.approx(1.96 * 100 * ratios.std(), rel=0.1)


@pytest.mark.parametrize(
    ("l2", "reproduced", "paper", "verdict"),
    [
        ([-15.7, 1.0], True, [-15.0, 2.0], "yes"),
        ([-5.4, 1.2], True, [-17.0, 5.0], "yes, but less"),
        ([-12.8, 2.7], True, [-9.0, 4.0], "yes, and more"),
        ([-1.0, 2.0], False, [-2.0, 1.0], "no"),
        ([-16.5, 1.3], True, None, "yes"),
    ],
)
def test_verdict(l2, reproduced, paper, verdict):
    assert published._judge({"l2": l2, "reproduced": reproduced}, paper) == verdict


def test_embedding_is_right_where_its_own_sentence_is_nearest():
    candidates = np.eye(4)
    case = published.Case(
        name="",
        setting=(2, 2, 0),
        function=lambda rows: rows,
        tuning=Examples(candidates, np.arange(4)),
        evaluation=Examples(candidates, np.arange(4)),
        n_batches=2,
        n_tuning_batches=1,
        losses=(0,),
        candidates=candidates,
    )
    reference = candidates.reshape(2, 2, 4)
    outputs = reference[:, None].copy()
    outputs[1, 0, 1] = [0.0, 0.9, 0.0, 0.4]  # nearest to sentence 1, should be 3
    trial = published.Trial(
        outputs, reference, np.ones((2, 1, 2), bool), None, np.array([[0, 1], [2, 3]])
    )
    np.testing.assert_allclose(published.accuracy(case, trial), [1.0, 0.5])
