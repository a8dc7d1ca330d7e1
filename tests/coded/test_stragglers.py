import math
import pickle

import numpy as np
import pytest

from coded import (
    ConsecutiveStragglers,
    IndependentStragglers,
    MachineStragglers,
    ParetoDelays,
    StragglerModel,
    UniformStragglers,
)

MODELS = [UniformStragglers(3), IndependentStragglers(0.3), ConsecutiveStragglers(3)]


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_models_draw_sorted_workers_repeatably(model):
    assert isinstance(model, StragglerModel)
    draws = [model.draw(10, np.random.default_rng(seed)) for seed in range(200)]
    again = [model.draw(10, np.random.default_rng(seed)) for seed in range(200)]
    for draw, same in zip(draws, again, strict=True):
        assert np.array_equal(draw, same)
        assert (np.diff(draw) > 0).all()
        assert set(draw) <= set(range(10))
    # 3 of 10 on average; 6 standard deviations of 200 draws
    assert np.mean([len(draw) for draw in draws]) == pytest.approx(3, abs=6 * math.sqrt(2.1 / 200))
    assert set(np.concatenate(draws)) == set(range(10))


def test_uniform_draws_are_nested():
    fewer = UniformStragglers(4).draw(20, np.random.default_rng(5))
    more = UniformStragglers(9).draw(20, np.random.default_rng(5))
    assert set(fewer) < set(more)


def test_consecutive_draws_are_blocks():
    draws = [ConsecutiveStragglers(4).draw(9, np.random.default_rng(seed)) for seed in range(50)]
    assert all((np.diff(draw) == 1).all() for draw in draws)
    assert {draw[0] for draw in draws} == set(range(6))


@pytest.mark.parametrize(("n_workers", "machines"), [(12, 3), (14, 4)])
def test_machines_are_lost_whole(n_workers, machines):
    model = MachineStragglers(2, workers_per_machine=4)
    seen = set()
    for seed in range(100):
        draw = model.draw(n_workers, np.random.default_rng(seed))
        lost = sorted(set(draw // 4))
        assert len(lost) == 2
        assert set(draw) == {n for n in range(n_workers) if n // 4 in lost}
        assert (np.diff(draw) > 0).all()
        seen.add(tuple(lost))
    assert len(seen) == math.comb(machines, 2)


def test_a_machine_a_worker_is_uniform():
    drawn = MachineStragglers(3, workers_per_machine=1).draw(10, np.random.default_rng(4))
    assert np.array_equal(drawn, UniformStragglers(3).draw(10, np.random.default_rng(4)))


def test_more_machines_than_there_are_are_refused():
    with pytest.raises(ValueError, match="count must be <= 3, the machines that 9 workers fill"):
        MachineStragglers(4, workers_per_machine=4).draw(9, np.random.default_rng(0))


def test_pareto_delays_have_the_stated_tail():
    delays = ParetoDelays(scale=0.1, shape=2.0, cap=1.0)
    drawn = delays.draw(100_000, np.random.default_rng(0))
    assert drawn.min() >= 0.1
    assert drawn.max() == 1.0
    for seconds in (0.15, 0.3, 0.9):
        tail = (0.1 / seconds) ** 2
        # 5 standard deviations of the share
        assert (drawn > seconds).mean() == pytest.approx(tail, abs=5 * math.sqrt(tail / 100_000))
    assert "at least 0.1 s" in str(delays)
    assert "cut at 1 s" in str(delays)
    assert "cut" not in str(ParetoDelays(scale=0.1, shape=2.0))


@pytest.mark.parametrize(
    "model", [*MODELS, MachineStragglers(1, 4), ParetoDelays(scale=1.0, shape=1.5)], ids=repr
)
def test_models_pickle_and_are_frozen(model):
    assert pickle.loads(pickle.dumps(model)) == model
    with pytest.raises(AttributeError):
        model.count = 1


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: UniformStragglers(-1), ValueError, "count must be >= 0, got -1"),
        (lambda: UniformStragglers(1.5), TypeError, "count must be an integer"),
        (lambda: MachineStragglers(-1, 4), ValueError, "count must be >= 0, got -1"),
        (lambda: MachineStragglers(1, 0), ValueError, "workers_per_machine must be >= 1, got 0"),
        (lambda: ConsecutiveStragglers(count=True), TypeError, "count must be an integer"),
        (
            lambda: IndependentStragglers(1.1),
            ValueError,
            r"probability must lie in \[0, 1\], got 1.1",
        ),
        (lambda: IndependentStragglers(math.nan), ValueError, "probability must lie"),
        (lambda: IndependentStragglers("a"), TypeError, "probability must be a number"),
        (lambda: ParetoDelays(scale=0.0, shape=1.0), ValueError, "scale must be > 0"),
        (lambda: ParetoDelays(scale=1.0, shape=math.nan), ValueError, "shape must be > 0"),
        (lambda: ParetoDelays(scale=1.0, shape=1.0, cap=0.5), ValueError, "cap must be >= scale"),
        (lambda: ParetoDelays(scale="1", shape=1.0), TypeError, "scale must be a number"),
    ],
)
def test_bad_parameters_are_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize("model", [UniformStragglers(5), ConsecutiveStragglers(5)], ids=repr)
def test_more_stragglers_than_workers_are_refused(model):
    with pytest.raises(ValueError, match="count must be <= n_workers = 4, got 5"):
        model.draw(4, np.random.default_rng(0))
