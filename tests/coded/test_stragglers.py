import math
import pickle

import numpy as np
import pytest

from coded import (
    ConsecutiveStragglers,
    IndependentStragglers,
    MachineStragglers,
    ParetoDelays,
    SlowInputStragglers,
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


def squared(stack):
    return 1.0 + stack.reshape(len(stack), -1).sum(axis=1) ** 2


def test_the_slowest_inputs_are_lost_and_chance_decides_among_equal_ones():
    coded_inputs = np.repeat([3.0, 0.0, -2.0, 1.0], 3)[:, None]
    surely = SlowInputStragglers(6, squared, spread=0.0).facing(coded_inputs)
    assert surely.draw(12, np.random.default_rng(0)).tolist() == [0, 1, 2, 6, 7, 8]
    model = SlowInputStragglers(2, squared).facing(coded_inputs)
    seeds = [np.random.default_rng(seed) for seed in range(400)]
    lost = np.bincount(np.concatenate([model.draw(12, rng) for rng in seeds]), minlength=12)
    # log 10 - log 5 is 2.8 spreads: rarely another; copies alike within 5 standard deviations
    assert lost[3:].sum() < 40
    np.testing.assert_allclose(lost[:3], lost[:3].mean(), atol=5 * math.sqrt(400 * 2 / 9))


def test_slow_inputs_need_coded_inputs_and_seconds():
    with pytest.raises(ValueError, match=r"call facing\(coded_inputs\) first"):
        SlowInputStragglers(2, squared).draw(4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="cost must give 4 seconds, one a coded input, got shape"):
        SlowInputStragglers(2, np.square).facing(np.ones((4, 2)))
    with pytest.raises(ValueError, match="gives nan for worker 1"):
        SlowInputStragglers(2, lambda x: x).facing(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match=r"gives 0\.0 for worker 0"):
        SlowInputStragglers(2, lambda x: x).facing(np.arange(3.0))
    with pytest.raises(ValueError, match="n_workers must be 3, the workers whose seconds"):
        SlowInputStragglers(2, squared).facing(np.arange(3.0)).draw(4, np.random.default_rng(0))
    model = pickle.loads(pickle.dumps(SlowInputStragglers(2, squared)))
    assert (model.count, model.cost, model.spread) == (2, squared, 0.25)


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
        (lambda: SlowInputStragglers(-1, squared), ValueError, "count must be >= 0, got -1"),
        (lambda: SlowInputStragglers(1, 3.0), TypeError, "cost must be callable, got 3.0"),
        (lambda: SlowInputStragglers(1, squared, -1.0), ValueError, r"spread must lie in \[0, inf"),
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
