import numpy as np
import pytest

from bench.science import datasets, digits, networks, rivals
from bench.science.digits import Target
from bench.science.rivals import Case, Ridge
from bench.science.trials import Counts
from coded import SplineScheme

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def case():
    return Case(networks.lenet5(), datasets.digits())


def row(accuracy, l2):
    return {"relative_accuracy": [accuracy, 0.1], "l2": [l2, 0.1]}


def test_a_target_is_judged_by_both_figures():
    setting = Counts(20, 100, 60)
    target = Target("", {setting: (0.967, 0.97)})
    assert target.judge(setting, row(0.967, 0.97))
    assert not target.judge(setting, row(0.966, 0.5))
    assert not target.judge(setting, row(0.99, 0.98))
    assert Target("", {setting: (0.967, None)}).judge(setting, row(0.97, 9.0))


def test_a_check_asks_for_agreement():
    setting = Counts(20, 100, 60)
    check = Target("", {setting: (0.965, 1.11)}, is_check=True)
    assert check.judge(setting, row(0.975, 1.24))
    assert not check.judge(setting, row(0.999, 1.1))
    assert not check.judge(setting, row(0.965, 0.96))


def test_earlier_answers_are_of_earlier_traffic(case):
    inputs, answers = case.earlier
    assert len(inputs) == 352
    images = {image.tobytes() for image in case.split.earlier.inputs}
    own = np.array([image.tobytes() in images for image in inputs])
    assert 0.5 < own.mean() < 0.7  # 60 of 100 workers held an input, the others mixed ones
    np.testing.assert_array_equal(case.fn(inputs), answers)
    evaluated = {image.tobytes() for image in case.split.evaluation.inputs}
    assert not images & evaluated


def test_a_mixed_earlier_input_is_a_fifth_of_its_neighbour(case):
    inputs, _ = case.earlier
    images = case.split.earlier.inputs.reshape(-1, 784)
    own = {image.tobytes() for image in case.split.earlier.inputs}
    mixed = next(image for image in inputs if image.tobytes() not in own).ravel()
    fits = [np.linalg.lstsq(images[[i]].T, mixed, rcond=None) for i in range(len(images))]
    nearest = int(np.argmin([residual[0] for _, residual, *_ in fits]))
    rest = mixed - 0.8 * images[nearest]
    assert np.abs(images - rest / 0.2).max(axis=1).min() < 1e-9


def test_ridge_recovers_a_line_and_shrinks(rng):
    inputs, slopes = rng.normal(size=(50, 3)), rng.normal(size=(3, 2))
    answers = inputs @ slopes + 4.0
    exact = Ridge(lambda rows: rows, inputs, answers, lam=0.0)
    np.testing.assert_allclose(exact(inputs[:5]), answers[:5], rtol=1e-10)
    flat = Ridge(lambda rows: rows, inputs, answers, lam=1e12)
    np.testing.assert_allclose(flat(inputs[:5]), np.tile(answers.mean(axis=0), (5, 1)), rtol=1e-6)


def test_lam_of_the_published_scheme_wins_on_the_tuning_images(case, monkeypatch):
    monkeypatch.setattr(rivals, "TUNING_BATCHES", 2)
    setting = Counts(20, 60, 20)
    scheme = case.published(setting, "letcc").make(None)
    assert isinstance(scheme, SplineScheme)
    assert scheme.lam_dec < 1e-5  # the largest of the grid, which smooths the answers away
    assert scheme.lam_dec in rivals.LAMS
    assert scheme.n_stragglers == setting.n_stragglers


def test_losses_are_as_many(rng):
    setting = Counts(60, 100, 20)
    for way, model in digits.models(setting).items():
        if isinstance(model, int):
            assert model == 20
            continue
        counts = [len(model.draw(100, rng)) for _ in range(400)]
        assert np.mean(counts) == pytest.approx(20, abs=1.0), way
        assert (way == "independent") or set(counts) == {20}


def test_experiment_runs_and_shows_all(tmp_path):
    numbers = digits.run(quick=True)
    written = digits.tables(numbers)
    for name in (*rivals.NAMES, rivals.PRIOR_ALONE, rivals.MEMORY_ALONE):
        assert f"| {name} |" in written["science-digits"]
    assert written["science-digits-targets"].count("(60, 100, 20)") == 9
    (figure,) = digits.draw(numbers).values()
    figure.savefig(tmp_path / "digits.png")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        *digits.CURVES,
        "memory alone, no answer",
    ]
    rows = numbers["schemes"]["settings"]["(60, 100, 20)"]["rows"]
    losses = [rows[name]["l2"][0] for name in (rivals.ORACLE, rivals.KERNEL, rivals.LETCC)]
    assert losses == sorted(losses)
