"""The functions that nobody tuned on, their rivals, and how their tables are made."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from bench.science import unseen, unseen_formulas, unseen_std
from bench.science.trials import Trial
from bench.science.unseen_rivals import Filled, gaussian_process, inverse_distance, ridge
from coded import KernelScheme, ReplicationScheme

pytestmark = pytest.mark.outer

FUNCTIONS = {function.name: function for function in unseen.functions()}
HALVES = unseen.halves(unseen.functions())


@pytest.fixture(scope="module")
def quick():
    return json.loads(json.dumps(unseen.run(quick=True)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_works_row_by_row_and_where_codes_ask(name):
    function = FUNCTIONS[name]
    inputs, again, other = (
        function.sample(np.random.default_rng(seed), 12).inputs for seed in (1, 1, 2)
    )
    assert np.array_equal(inputs, again)
    assert not np.array_equal(inputs, other)
    assert len(np.unique(inputs.reshape(12, -1), axis=0)) == 12
    outputs = function.fn(inputs)
    assert outputs.shape[0] == 12
    assert outputs.ndim == 2
    assert outputs.std() > 0
    alone = np.concatenate([function.fn(row[None]) for row in inputs])
    np.testing.assert_allclose(outputs, alone, rtol=1e-6, atol=1e-8 * np.abs(outputs).max())
    middle = inputs.mean(axis=0)
    assert np.isfinite(function.fn(middle + 3.0 * (inputs - middle))).all()


def test_there_are_many_kinds_and_each_is_in_both_halves():
    kinds = {kind: set() for kind in (one.kind for one in FUNCTIONS.values())}
    for name, function in FUNCTIONS.items():
        kinds[function.kind].add(HALVES[name])
    assert len(FUNCTIONS) == len(unseen.functions()) >= 60
    assert len(kinds) >= 14
    assert all(halves == {"tuning", "reporting"} for halves in kinds.values())
    # drawn once: a name that changes sides was looked at
    smooth = [name for name in FUNCTIONS if FUNCTIONS[name].kind == "smooth"]
    assert {name for name in smooth if HALVES[name] == "tuning"} == {
        "Bessel's function",
        "Franke's hills",
        "Gaussian hill",
        "Ishigami's function",
    }


def test_equations_are_solved():
    rng = np.random.default_rng(0)
    (anomaly, shape), *_ = pairs = FUNCTIONS["Kepler's equation"].sample(rng, 5).inputs
    angle = brentq(lambda e: e - shape * np.sin(e) - anomaly, -10.0, 10.0, xtol=1e-14)
    place = [np.cos(angle) - shape, np.sqrt(1 - shape**2) * np.sin(angle)]
    np.testing.assert_allclose(unseen_formulas.kepler(pairs)[0], place, atol=1e-12)
    income, taste, cost, elasticity = row = FUNCTIONS["market"].sample(rng, 1).inputs[0]
    (price,) = np.exp(unseen_formulas.market(row[None])[0])
    assert price / cost == pytest.approx(income * taste * price**-elasticity)
    infected, recovery = row = FUNCTIONS["epidemic"].sample(rng, 1).inputs[0]
    scipys = solve_ivp(
        lambda _, y: [infected * y[0] * y[1] - recovery * y[0], -infected * y[0] * y[1]],
        (0.0, 80.0), [0.01, 0.99], t_eval=np.arange(4.0, 81.0, 4.0), rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    np.testing.assert_allclose(unseen_formulas.epidemic(row[None])[0], scipys.y[0], atol=1e-5)


def test_noise_is_standard_normal_and_part_of_the_function():
    rows = np.random.default_rng(0).uniform(0.0, 6.0, (20_000, 2))
    drawn = unseen_formulas.noise(rows)[:, 0]
    assert np.array_equal(drawn, unseen_formulas.noise(rows)[:, 0])
    # 5 standard deviations of the mean, of the standard deviation, of a correlation
    assert abs(drawn.mean()) < 5 / np.sqrt(20_000)
    assert abs(drawn.std() - 1.0) < 5 / np.sqrt(40_000)
    assert abs(np.corrcoef(drawn, rows[:, 0])[0, 1]) < 5 / np.sqrt(20_000)


def test_rivals_estimate_what_they_are_made_for():
    rng = np.random.default_rng(1)
    sites, targets = rng.uniform(-1.0, 1.0, (25, 2)), rng.uniform(-0.8, 0.8, (6, 2))

    def quadratic(x):
        return np.stack([x[:, 0] * x[:, 1] - x[:, 0] ** 2, 3.0 + 100.0 * x[:, 1]], axis=1)

    for rows, asked in ((sites, targets), (sites * [1e6, 1e-3], targets * [1e6, 1e-3])):
        guess = ridge(rows, quadratic(sites), asked)
        np.testing.assert_allclose(guess, quadratic(targets), atol=1e-4)
        guess = gaussian_process(rows, np.sin(2.0 * sites), asked)
        np.testing.assert_allclose(guess, np.sin(2.0 * targets), atol=1e-3)
    noisy = np.sin(2.0 * sites[:, :1]) + 0.1 * rng.standard_normal((25, 1))
    error = gaussian_process(sites, noisy, targets) - np.sin(2.0 * targets[:, :1])
    assert np.abs(error).max() < 0.2


def test_inverse_distance_is_the_weighted_mean():
    sites, answers = np.array([[0.0], [1.0], [3.0]]), np.array([[1.0], [2.0], [6.0]])
    by_hand = (1.0 / 4 + 2.0 / 1 + 6.0 / 1) / (1 / 4 + 1 + 1)
    assert inverse_distance(sites, answers, np.array([[2.0]]))[0, 0] == pytest.approx(by_hand)
    assert inverse_distance(sites, answers, sites[1:2])[0, 0] == pytest.approx(2.0)


@pytest.mark.parametrize("design", [ReplicationScheme(10, 20), KernelScheme(10, 20)], ids=repr)
def test_answers_stay_bit_for_bit_and_the_lost_are_regressed_from_all(design):
    inputs = np.random.default_rng(2).uniform(-1.0, 1.0, (10, 2))

    def hundred(sites, answers, targets):
        assert np.array_equal(answers, np.cos(sites[:, :1]))
        return np.full((len(targets), 1), 100.0)

    scheme = Filled(design, hundred).bind(inputs)
    coded_outputs = np.cos(scheme.encode(inputs)[:, :1])
    outputs = scheme.decode(coded_outputs[:7], np.arange(7))
    is_exact = scheme.exact_mask(np.arange(7))
    assert 0 < is_exact.sum() < 10
    assert np.array_equal(outputs[is_exact], np.cos(inputs[is_exact, :1]))
    assert (outputs[~is_exact] == 100.0).all()


def test_ratios_and_standings_by_hand():
    low, high = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.1, 4.0])
    found = [{"a": low, "b": high}, {"a": high, "b": low, "c": low / 2}]
    np.testing.assert_allclose(unseen.ratios(found, "a"), [1.0, 9.1 / 3.0])
    np.testing.assert_allclose(unseen.ratios(found, "a", ["b"]), [6.0 / 9.1, 9.1 / 6.0])
    np.testing.assert_allclose(unseen.ratios(found, "c"), [1.0])
    assert unseen.standing(found, "a", "b") == "1 : 0 : 1"
    assert unseen.standing([{"a": low, "b": low[::-1]}], "a", "b") == "0 : 1 : 0"


def test_std_is_judged_over_the_lost_outputs():
    reference = np.array([[[0.0], [2.0], [4.0]]])
    outputs = np.array([[[[0.0], [3.0], [1.0]]]])
    std, exact = np.array([[[0.0, 1.0, 1.0]]]), np.array([[[True, False, False]]])
    trial = Trial(outputs, reference, exact, std, None)
    # errors 1 and 3 against std 1 and 1
    assert unseen_std.judge(trial, 2) == [pytest.approx(np.sqrt(5.0), rel=1e-2), 0.5, 2]
    assert unseen_std.judge(trial, 3) is None  # two do not tell so much
    assert unseen_std.judge(Trial(outputs, reference, ~exact | True, std, None), 1) is None


def test_a_quick_run_gives_tables(quick):
    made = unseen.tables(quick)
    for half in unseen.HALVES:
        assert "kernel" in made[f"unseen-{half}"]
        assert "2 independent batches of inputs x 2 draws" in made[f"unseen-{half}"]
    assert "terraces" not in made["unseen-kinds"]
    assert "steps" in made["unseen-kinds"]
    assert "the slowest 7 of 15" in made["unseen-std"]
    forest = quick["functions"]["forest of tumours"]["losses"]["50,90,25"]
    assert unseen.LABELS in forest
    assert all(0.0 <= value <= 1.0 for values in forest.values() for value in values)
