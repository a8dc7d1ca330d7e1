from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.integrate import solve_ivp
from scipy.special import ive

from bench.science import competition
from bench.science import zoo as experiment
from bench.science.functions import (
    burgers,
    digit_network,
    lotka_volterra,
    near_square,
    pendulum,
    sweep,
    trajectory,
    van_der_pol,
    zoo,
)
from bench.science.trials import Trial

pytestmark = pytest.mark.outer

ZOO = {function.name: function for function in zoo()}


@pytest.fixture(scope="module")
def quick():
    return json.loads(json.dumps(experiment.run(quick=True)))


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("k", [5, 20])
def test_each_function_works_row_by_row_and_repeats_its_batches(name, k):
    function = ZOO[name]
    inputs = function.sample(np.random.default_rng(1), k).inputs
    again = function.sample(np.random.default_rng(1), k).inputs
    other = function.sample(np.random.default_rng(2), k).inputs
    assert inputs.shape[0] == k
    assert inputs.ndim == 2
    assert np.array_equal(inputs, again)
    assert not np.array_equal(inputs, other)
    assert len(np.unique(inputs, axis=0)) == k
    outputs = function.fn(inputs)
    assert outputs.shape[0] == k
    alone = np.concatenate([function.fn(row[None]) for row in inputs])
    np.testing.assert_allclose(outputs, alone, rtol=1e-9, atol=1e-12)
    middle = inputs.mean(axis=0)
    beyond = function.fn(middle + 2.0 * (inputs - middle))  # codes ask outside the range too
    assert np.isfinite(beyond).all()


def test_the_kinds_are_those_that_recommend_knows():
    assert {function.kind for function in ZOO.values()} == {
        "smooth",
        "rough",
        "polynomial",
        "network",
    }
    assert all((one.degree is not None) == (one.kind == "polynomial") for one in ZOO.values())


@pytest.mark.parametrize("name", [name for name, one in ZOO.items() if one.degree is not None])
def test_polynomials_have_their_degree(name):
    function = ZOO[name]
    rng = np.random.default_rng(0)
    start, step = rng.normal(size=(2, function.sample(rng, 2).inputs.shape[1]))
    along = function.fn(start + np.arange(8)[:, None] * step)
    assert np.abs(np.diff(along, n=function.degree + 1, axis=0)).max() < 1e-9 * np.abs(along).max()
    assert np.abs(np.diff(along, n=function.degree, axis=0)).min() > 1e-3


@pytest.mark.parametrize(
    ("problem", "parameters"),
    [(van_der_pol, [0.4]), (pendulum, [2.2, 0.1]), (lotka_volterra, [0.25, -0.2, 0.1])],
)
def test_trajectories_agree_with_scipy(problem, parameters):
    slope, start = problem(np.array([parameters]))
    times = np.linspace(0.0, 10.0, 201)[1:]
    scipys = solve_ivp(
        lambda _, state: slope(state[:, None])[:, 0],
        (0.0, 10.0),
        start[:, 0],
        t_eval=times,
        rtol=1e-11,
        atol=1e-12,
    )
    ours = trajectory(problem, 10.0, 400)(np.array([parameters]))
    np.testing.assert_allclose(ours[0], scipys.y[0], atol=2e-5)


def test_burgers_agrees_with_cole_and_hopf():
    """u = -2 v phi_x / phi, phi the heat flow of exp(a (cos x - 1) / (2 v)), a Bessel series."""
    viscosity, amplitude, time = 0.2, 1.2, 1.2
    x = 2 * np.pi * np.arange(128) / 128
    k = np.arange(1, 60)
    weights = 2 * ive(k, amplitude / (2 * viscosity)) * np.exp(-viscosity * k**2 * time)
    phi = ive(0, amplitude / (2 * viscosity)) + np.cos(np.outer(x, k)) @ weights
    slope = -np.sin(np.outer(x, k)) @ (k * weights)
    ours = burgers(128, 48)(np.array([[np.log(viscosity), amplitude]]))
    np.testing.assert_allclose(ours[0], -2 * viscosity * slope / phi, atol=1e-6)


def test_the_trained_regression_has_learnt_friedmans_function():
    x = np.random.default_rng(5).random((500, 5))
    truth = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    truth += 10 * x[:, 3] + 5 * x[:, 4]
    residual = ZOO["trained regression, R⁵"].fn(x)[:, 0] - truth
    assert residual.var() < 0.05 * truth.var()


@pytest.mark.parametrize("name", [name for name, one in ZOO.items() if one.prior is not None])
def test_priors_are_close_and_not_the_function(name):
    function = ZOO[name]
    inputs = function.sample(np.random.default_rng(0), 20).inputs
    outputs, guesses = function.fn(inputs), function.prior(inputs)
    assert guesses.shape == outputs.shape
    assert 1e-9 < ((guesses - outputs) ** 2).mean() / outputs.var(axis=0).mean() < 1e-2


def test_a_sweep_is_a_grid_in_random_order():
    batch = sweep([0.0, 10.0], [1.0, 20.0])(np.random.default_rng(0), 12)
    first, second = (np.unique(column) for column in batch.inputs.T)
    assert (first.size, second.size) == near_square(12) == (3, 4)
    np.testing.assert_allclose(np.diff(second), np.diff(second)[0])
    assert 10.0 <= second.min() < 11.0
    assert 19.0 < second.max() <= 20.0
    assert not (np.diff(batch.inputs[:, 0]) >= 0).all()


def test_networks_come_with_labels_of_images_drawn_without_repeats():
    network = digit_network()
    batch = network.sample(np.random.default_rng(0), 40)
    assert batch.inputs.shape == (40, 28, 28)
    assert len(np.unique(batch.inputs.reshape(40, -1), axis=0)) == 40
    assert (network.fn(batch.inputs).argmax(axis=1) == batch.labels).mean() > 0.9


def test_relative_mse_is_the_mean_square_over_the_variance_among_inputs():
    rng = np.random.default_rng(0)
    reference, outputs = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 5, 4, 2))
    trial = Trial(outputs, reference, np.zeros((3, 5, 4), bool), None, None)
    variance = np.mean([one.var(axis=0).sum() for one in reference])
    by_hand = [
        np.mean([((output - one) ** 2).sum() / 4 for output in drawn]) / variance
        for drawn, one in zip(outputs, reference, strict=True)
    ]
    np.testing.assert_allclose(competition.relative_mse(trial), by_hand)
    exact = Trial(reference[:, None] + 1e-12, reference, trial.exact[:, :1], None, None)
    assert not competition.relative_mse(exact).any()


def test_the_best_are_the_lowest_mean_and_those_that_do_not_differ():
    rng = np.random.default_rng(0)
    low = rng.uniform(1.0, 2.0, 20)
    losses = {
        "worse": low + rng.uniform(0.1, 0.2, 20),
        "equal": low + rng.normal(0.0, 0.1, 20) + 0.005,
        "low": low,
    }
    assert competition.best_of(losses) == ["low", "equal"]


def test_a_quick_run_gives_tables_and_a_picture(quick):
    assert set(quick["kinds"]) == set(quick["table"])
    for name, cells in quick["table"].items():
        for setting, cell in cells.items():
            means = {scheme: pair[0] for scheme, pair in cell["relative_mse"].items()}
            assert min(means.values()) == means[cell["best"][0]]
            if ZOO.get(name) is ZOO["cubic, 1 variable"]:
                assert ("lagrange" in means) == (setting == "5,20,7")
    made = experiment.tables(quick)
    assert all(name in made["zoo"] for name in quick["table"])
    assert "LeNet5" in made["zoo-labels"]
    (figure,) = experiment.draw(quick).values()
    assert isinstance(figure, Figure)


def test_recommendations_rank_what_was_measured(quick):
    ranked = experiment.recommendations(quick)
    for kind in ("smooth", "rough", "polynomial", "network", "unknown"):
        cells = experiment.cells_of(quick, kind, (60, 100, 20))
        cell = ranked["outputs"][kind]["60,100,20"]
        assert cell["functions"] == len(cells) > 0
        for name, value in cell["measured"]:
            losses = [max(one["relative_mse"][name][0], experiment.EXACT) for one in cells]
            assert value == pytest.approx(np.prod(losses) ** (1 / len(losses)), rel=0.01)


def test_the_schemes_keep_their_order_on_a_sweep_of_a_differential_equation():
    """Ours below LeTCC below BACC, and far below copies, on fixed batches and draws."""
    function, setting = ZOO["van der Pol, 1-D sweep"], (60, 100, 20)
    race = competition.contenders(setting, function)
    trials = competition.compete(function, race, setting, 20, (4, 3))
    loss = {name: competition.relative_mse(trial).mean() for name, trial in trials.items()}
    for ours in ("spline", "kernel"):
        assert loss[ours] < 0.1 * loss["letcc, path"] < 0.01 * loss["letcc"]
        assert loss[ours] < 0.001 * loss["replication-nearest"]
    assert loss["letcc"] < loss["berrut"]


def test_the_best_scheme_reaches_a_millionth_on_x_sin_x():
    function, setting = ZOO["x sin x"], (60, 100, 20)
    race = competition.contenders(setting, function)
    trials = competition.compete(function, race, setting, 20, (2, 2))
    loss = {name: competition.relative_mse(trial).mean() for name, trial in trials.items()}
    assert min(loss.values()) <= 1e-6
