import itertools

import numpy as np
import pytest
import torch

from bench.science import datasets, networks, parity
from bench.science.datasets import DATA
from bench.science.parity import GroupedParity, over_lost, parity_model
from bench.science.rivals import Case
from bench.science.trials import Counts, Trial
from bench.weights import train_parity
from coded import NotEnoughRespondersError, ParityScheme, simulate

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def case():
    return Case(networks.lenet5(), datasets.digits())


# Groups of many inputs.


def by_hand(inputs, answers, parities, size, responders):
    """One group after another: a copy, the parity answer less the others, or the nearest's."""
    n = len(inputs)
    outputs = []
    for k in range(n):
        group = [i for i in range(n) if i // size == k // size]
        missing = [i for i in group if i not in responders]
        if k in responders:
            outputs.append(answers[k])
        elif missing == [k] and n + k // size in responders:
            outputs.append(parities[k // size] - sum(answers[i] for i in group if i != k))
        else:
            known = [i for i in range(n) if i in responders]
            outputs.append(answers[min(known, key=lambda i: np.linalg.norm(inputs[i] - inputs[k]))])
    return np.array(outputs)


@pytest.mark.parametrize(("n_inputs", "size"), [(4, 2), (6, 3), (6, 2), (4, 4)])
def test_groups_equal_a_loop_for_every_survivor_set(n_inputs, size, rng):
    inputs = rng.normal(size=(n_inputs, 3))
    answers, parities = rng.normal(size=(n_inputs, 2)), rng.normal(size=(n_inputs // size, 2))
    scheme = GroupedParity(n_inputs, size, np.sin).bind(inputs)
    n_workers = n_inputs + n_inputs // size
    assert scheme.n_workers == n_workers
    everything = np.concatenate([answers, parities])
    for count in range(n_workers + 1):
        for responders in itertools.combinations(range(n_workers), count):
            some = everything[list(responders)].reshape(-1, 2)
            if not any(n < n_inputs for n in responders):
                with pytest.raises(NotEnoughRespondersError, match="workers answered"):
                    scheme.decode(some, responders)
                continue
            expected = by_hand(inputs, answers, parities, size, responders)
            np.testing.assert_allclose(
                scheme.decode(some, responders), expected, rtol=0, atol=1e-14
            )
            np.testing.assert_array_equal(
                scheme.exact_mask(responders), np.isin(np.arange(n_inputs), responders)
            )


def test_parity_queries_are_the_sums_of_groups(rng):
    inputs = rng.normal(size=(6, 5))
    scheme = GroupedParity(6, 3, np.sin)
    coded_inputs = scheme.encode(inputs)
    np.testing.assert_array_equal(coded_inputs[:6], inputs)
    np.testing.assert_allclose(
        coded_inputs[6:], [inputs[:3].sum(axis=0), inputs[3:].sum(axis=0)], rtol=1e-14
    )
    assert scheme.worker_functions(np.cos) == [np.cos] * 6 + [np.sin] * 2
    with pytest.raises(ValueError, match="a multiple of 4, got 6"):
        GroupedParity(6, 4, np.sin)


def test_one_group_is_the_parity_scheme(rng):
    inputs, answers = rng.normal(size=(3, 2)), rng.normal(size=(4, 5))
    one, other = GroupedParity(3, 3, np.sin).bind(inputs), ParityScheme(3, 4)
    np.testing.assert_array_equal(one.encoding_matrix, other.encoding_matrix)
    for responders in itertools.combinations(range(4), 3):
        np.testing.assert_allclose(
            one.decode(answers[list(responders)], responders),
            other.decode(answers[list(responders)], responders),
            rtol=0,
            atol=1e-14,
        )


# Measures.


def test_measures_over_lost_outputs_are_ratios_of_sums():
    reference = np.array([[[2.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [2.0, 0.0]]])
    outputs = reference[:, None].repeat(2, axis=1).copy()
    exact = np.ones((2, 2, 2), bool)
    exact[0, 0, 0] = exact[0, 1, 1] = exact[1, 0, 1] = False
    outputs[0, 0, 0] = [0.0, 2.0]  # wrong by sqrt(8)
    outputs[0, 1, 1] = [0.0, 1.0]  # right, and off by 1
    labels = np.array([[0, 1], [0, 1]])  # f itself is wrong on the last one
    trial = Trial(outputs, reference, exact, None, labels)
    assert over_lost(trial, "l2")[0] == pytest.approx((np.sqrt(8.0) + 1.0 + 0.0) / 3)
    assert over_lost(trial, "relative_accuracy")[0] == pytest.approx(1 / 2)
    nothing_lost = Trial(outputs, reference, np.ones_like(exact), None, labels)
    assert np.isnan(over_lost(nothing_lost, "l2")[0])


def test_the_interval_over_lost_outputs_is_that_of_a_ratio(rng):
    lost = rng.random((2000, 1, 4)) < 0.3
    outputs = rng.normal(size=(2000, 1, 4, 1))
    trial = Trial(outputs, np.zeros((2000, 4, 1)), ~lost, None, None)
    mean, half_width = over_lost(trial, "l2")
    resampled = [
        trial.errors[rows][lost[rows]].mean() for rows in rng.integers(2000, size=(300, 2000))
    ]
    assert mean == pytest.approx(trial.errors[lost].mean())
    assert half_width == pytest.approx(1.96 * np.std(resampled), rel=0.15)


# Parity models.

# K, accuracy and mean L2 error of the stored model; see `degraded`.
GOLDEN = [(2, 290 / 300, 5.5073), (3, 278 / 300, 8.7443), (4, 257 / 300, 11.6204)]


@pytest.mark.parametrize("size", parity.GROUPS)
def test_a_lost_output_is_the_parity_models_answer_less_the_others(case, size):
    batch = case.batches(size, 1)[0]
    model = parity_model(size)
    scheme = ParityScheme(size, size + 1, parity_models=[model])
    result = simulate(case.fn, batch.inputs, scheme, stragglers=1, repeats=12)
    answers = case.fn(batch.inputs)
    foretold = model(batch.inputs.sum(axis=0)[None])[0]
    n_checked = 0
    for outputs, responders in zip(result.outputs, result.responders, strict=True):
        for k in np.setdiff1d(range(size), responders):
            others = np.delete(answers, k, axis=0).sum(axis=0)
            np.testing.assert_allclose(outputs[k], foretold - others, rtol=0, atol=1e-4)
            n_checked += 1
    assert n_checked >= 3


def degraded(case, model, size):
    """Accuracy and mean L2 error of the first 300 evaluation digits, each lost in its group."""
    digits = case.split.evaluation[:300]
    groups = digits.inputs.reshape(-1, size, 28, 28)
    answers = case.fn(digits.inputs).reshape(-1, size, 10)
    errors = model(groups.sum(axis=1)) - answers.sum(axis=1)
    labels = digits.labels.reshape(-1, size)
    accuracy = ((answers + errors[:, None]).argmax(axis=-1) == labels).mean()
    return accuracy, np.linalg.norm(errors, axis=-1).mean()


@pytest.mark.parametrize(("size", "accuracy", "l2"), GOLDEN)
def test_the_stored_parity_models_give_lost_digits(case, size, accuracy, l2):
    ours = degraded(case, parity_model(size), size)
    assert ours[0] == pytest.approx(accuracy, abs=1 / 300 + 1e-9)
    assert ours[1] == pytest.approx(l2, rel=1e-3)
    untrained = degraded(case, case.fn, size)
    assert ours[0] > untrained[0] + 0.2
    assert ours[1] < 0.5 * untrained[1]


@pytest.mark.parametrize("size", parity.GROUPS)
def test_stored_parity_models_are_small_and_tell_their_cost(size):
    path = DATA / f"lenet5_mnist_parity{size}.pt"
    assert path.stat().st_size < 150_000
    stored = torch.load(path, weights_only=True)
    assert sum(weight.numel() for weight in stored["state"].values()) == 61_706
    assert stored["steps"] == train_parity.STEPS
    assert stored["examples"] == 7000
    assert 10 < stored["cpu_seconds"] < 1000


# Training.


@pytest.fixture(scope="module")
def images(case):
    return torch.from_numpy(case.split.training.inputs[:800]).float()


def test_training_starts_from_f_of_the_mean(images):
    served = train_parity.load_served()
    with torch.no_grad():
        expected = served(images[:20])
        started = train_parity.start_from(served, 3)(3 * images[:20])
    torch.testing.assert_close(started, expected, rtol=0, atol=1e-4)


def test_answers_to_moved_digits_are_those_of_f(images):
    served = train_parity.load_served()
    answers = train_parity.answers_to_moved(served, images[:30])
    assert len(answers) == 9
    moved = torch.zeros(30, 28, 28)
    moved[:, 1:, :-1] = images[:30, :-1, 1:]  # down and left; the rim of a digit is empty
    with torch.no_grad():
        torch.testing.assert_close(answers[1, -1], served(moved), rtol=0, atol=1e-4)


def test_training_learns_sums_and_repeats_itself(case, images):
    served = train_parity.load_served()

    def l2(model):
        def answer(stack):
            with torch.no_grad():
                return model(torch.from_numpy(stack).float()).double().numpy()

        return degraded(case, answer, 2)[1]

    start = train_parity.start_from(served, 2)
    trained = train_parity.train_parity(served, images, 2, steps=60)
    assert l2(trained) < 0.7 * l2(start)
    one, again = (train_parity.train_parity(served, images, 2, steps=3) for _ in range(2))
    for weight, same in zip(one.parameters(), again.parameters(), strict=True):
        assert torch.equal(weight, same)


def test_training_tells_the_mean_squared_error(images, capsys, monkeypatch):
    served = train_parity.load_served()
    monkeypatch.setattr(train_parity, "TOLD_EVERY", 2)
    train_parity.train_parity(served, images, 2, steps=3)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 1
    assert told[0].startswith("K = 2, step 2: mean squared error ")
    pairs = images[:400].reshape(200, 2, 28, 28)
    with torch.no_grad():
        started = train_parity.start_from(served, 2)(pairs.sum(dim=1))
        wanted = served(pairs.flatten(0, 1)).reshape(200, 2, 10).sum(dim=1)
    expected = (started - wanted).square().mean().item()
    assert float(told[0].split()[-1]) == pytest.approx(expected, rel=0.5)


def test_the_command_stores_a_model(tmp_path):
    threads = torch.get_num_threads()
    train_parity.main(["2", "--steps", "3", "--out", str(tmp_path)])
    torch.set_num_threads(threads)
    stored = torch.load(tmp_path / "lenet5_mnist_parity2.pt", weights_only=True)
    assert (stored["steps"], stored["examples"]) == (3, 7000)
    assert all(weight.dtype == torch.float16 for weight in stored["state"].values())


# The experiment.


def test_a_setting_has_all_schemes_and_its_tables(case):
    numbers = parity.run_setting(case, Counts(2, 3, 1), 2, count=3, draws=3)
    names = [parity.PARITY, parity.UNTRAINED, *parity.OTHERS]
    assert list(numbers["rows"]) == names
    assert numbers["rows"][parity.PARITY]["lost"] == numbers["rows"][parity.UNTRAINED]["lost"]
    training = {"2": {"steps": 10, "examples": 7000, "cpu_seconds": 90}}
    tables = parity.tables({"alone": {"(2, 3, 1)": numbers}, "many": {}, "training": training})
    assert set(tables) == {
        "science-parity",
        "science-parity-lost",
        "science-parity-differences",
    }
    for name in ("science-parity", "science-parity-lost"):
        rows = tables[name].splitlines()
        assert [row.split(" | ")[0].removeprefix("| ") for row in rows[2:8]] == names
    assert "7,000 digits (K = 2: 10 steps, 90 s of one core)" in tables["science-parity-lost"]
