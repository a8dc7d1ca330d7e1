"""`recommend` with the caller's own function: what is probed, how surely, and at what cost."""

from __future__ import annotations

import pickle
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coded import (
    ConsecutiveStragglers,
    IndependentStragglers,
    MachineStragglers,
    ReplicationScheme,
    SlowInputStragglers,
    UniformStragglers,
    recommend,
    simulate,
)
from coded.evaluation.probe import Probe
from coded.schemes import codes
from coded.schemes.registry import Setting

INPUTS = np.random.default_rng(0).uniform(0.0, 6.0, (20, 1))


def by_chance(x):
    """Nothing that an answer tells about another input."""
    return np.sin(1e7 * x) + np.cos(3e6 * x)


def classes(x):
    """Scores of three classes, in stripes of one number."""
    return np.concatenate([np.sin(x), np.cos(x), np.full_like(x, 0.4)], axis=1)


def test_a_smooth_function_is_estimated_and_chance_is_not():
    smooth = recommend(20, 40, 12, fn=np.sin, inputs=INPUTS)
    assert smooth.name == "kernel"
    assert smooth.measured[smooth.name] < 0.05 * smooth.measured["replication-nearest"]
    assert smooth.measured_at == (20, 40, 12)
    assert smooth.measure == "relative_mse"
    wild = recommend(20, 40, 12, fn=by_chance, inputs=INPUTS)
    assert wild.name == "replication-mean"
    assert wild.measured["kernel"] > wild.measured["replication-mean"]


def test_what_is_measured_is_what_simulate_measures_with_the_same_draws():
    inputs = np.random.default_rng(1).uniform(0.0, 6.0, (40, 1))
    found = recommend(20, 40, 12, fn=np.sin, inputs=inputs, rng=5)
    assert found.probed == 40
    batches = inputs[:20], inputs[20:]
    for name, loss in found.measured.items():
        scheme = codes()[name].make(Setting(20, 40, 12))
        runs = [
            simulate(np.sin, batch, scheme, stragglers=12, repeats=40, rng=5 + i)
            for i, batch in enumerate(batches)
        ]
        squares = np.mean([run.mse.mean() for run in runs])
        assert loss == pytest.approx(squares / np.sin(inputs).var())


@pytest.mark.parametrize("batched", [True, False])
def test_each_point_is_evaluated_once_and_counted(batched):
    asked = []

    def fn(x):
        rows = x if batched else x[None]
        asked.extend(row.tobytes() for row in rows)
        return np.sin(x)

    found = recommend(20, 40, 12, fn=fn, inputs=INPUTS, batched=batched)
    assert found.evaluations == len(asked) == len(set(asked))
    assert 20 < found.evaluations <= 60
    again = recommend(20, 40, 12, fn=np.sin, inputs=INPUTS)
    assert again.measured == found.measured


def test_labels_count_where_they_are_asked_for():
    found = recommend(20, 40, 16, fn=classes, inputs=INPUTS, objective="labels")
    assert found.measure == "agreement"
    assert "kernel-labels" in found.measured
    assert list(found.measured.values()) == sorted(found.measured.values(), reverse=True)
    assert 0.9 < found.measured[found.name] <= 1.0
    with pytest.raises(ValueError, match=r"needs answers of shape \(C,\), one score a class"):
        recommend(20, 40, 16, fn=np.sin, inputs=INPUTS, objective="labels")


def test_answers_of_served_calls_do_instead_of_the_function():
    rows = np.random.default_rng(2).uniform(-1.0, 1.0, (20, 5))
    found = recommend(20, 40, 12, inputs=rows, answers=rows**2)
    with_fn = recommend(20, 40, 12, fn=np.square, inputs=rows)
    assert found.measured == with_fn.measured  # all of them ask for inputs alone
    assert found.evaluations == 0
    assert "0 evaluations of fn); 4 times the inputs halve the doubt" in str(found)
    few = recommend(20, 40, 12, inputs=INPUTS, answers=np.sin(INPUTS))
    assert set(few.measured) == {"replication-nearest", "replication-mean", "kernel-copies"}
    assert "not tried: spline, kernel" in few.cautions[0]


@pytest.mark.parametrize(
    ("model", "losses"),
    [
        (ConsecutiveStragglers(24), [np.arange(i, i + 24) for i in range(57)]),
        (
            MachineStragglers(1, workers_per_machine=40),
            [np.arange(40), np.arange(40, 80)],
        ),
        (
            MachineStragglers(2, workers_per_machine=16),
            [
                np.concatenate([np.arange(16) + 16 * machine for machine in pair])
                for pair in combinations(range(5), 2)
            ],
        ),
    ],
    ids=repr,
)
def test_copies_are_recommended_where_their_place_makes_them_exact(model, losses):
    found = recommend(20, 80, 24, stragglers=model, fn=by_chance, inputs=INPUTS)
    assert isinstance(found.scheme, ReplicationScheme)
    assert found.evaluations == 0
    bound = found.scheme.bind(INPUTS)
    for lost in losses:
        assert bound.exact_mask(np.setdiff1d(np.arange(80), lost)).all()


@pytest.mark.parametrize(
    "model",
    [
        UniformStragglers(12),
        IndependentStragglers(0.3),
        ConsecutiveStragglers(24),
        MachineStragglers(3, workers_per_machine=4),
        SlowInputStragglers(12, lambda x: 1.0 + x[:, 0] ** 2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_every_kind_of_loss_can_be_probed(model):
    found = recommend(20, 40, 12, fn=np.sin, inputs=INPUTS, stragglers=model)
    assert found.name == next(iter(found.measured))
    assert all(np.isfinite(loss) for loss in found.measured.values())
    assert len(found.measured) == 5


def test_tensors_are_probed_as_arrays_are():
    inputs = torch.from_numpy(INPUTS)
    found = recommend(20, 40, 12, fn=torch.sin, inputs=inputs)
    assert found.measured == pytest.approx(
        recommend(20, 40, 12, fn=np.sin, inputs=INPUTS).measured, rel=1e-6
    )


def test_sureness_is_how_often_the_first_stays_near_the_least():
    rng = np.random.default_rng(0)
    low = rng.uniform(0.5, 1.5, 50)
    clear = Probe({"b": 4.0 * low, "a": low}, 1, 0)
    assert list(clear.rank("b")) == ["a", "b"]
    assert (clear.sure_of("a"), clear.sure_of("b")) == (1.0, 0.0)
    tied = Probe({"c": low, "b": low.copy(), "a": low.copy()}, 1, 0)
    assert list(tied.rank("a")) == ["a", "c", "b"]
    assert list(tied.rank("none of them")) == ["c", "b", "a"]  # as they are named
    assert tied.sure_of("b") == 1.0
    assert list(Probe({"b": 1.05 * low, "a": low}, 1, 0).rank("b")) == ["b", "a"]  # nearly as good
    assert list(Probe({"b": 1.2 * low, "a": low}, 1, 0).rank("b")) == ["a", "b"]
    nothing = Probe({"b": 1e-10 * low, "a": 1e-12 * low}, 1, 0)
    assert list(nothing.rank("b")) == ["b", "a"]  # neither errs
    # one is better by far, but of every two inputs at one alone
    even = np.where(np.arange(50) < 25, 0.5, 1.5)
    varied = Probe({"b": np.ones(50), "a": even * 0.98}, 1, 0)
    assert list(varied.rank("b")) == ["b", "a"]
    # one input decides: where it is not among 17 of 50, b is ten times better
    rare = np.zeros(50)
    rare[7] = 1000.0
    doubtful = Probe({"a": low, "b": 0.1 * low + rare}, 1, 0)
    assert list(doubtful.rank("a")) == ["a", "b"]
    assert list(doubtful.rank("b")) == ["b", "a"]  # b is better in most resamples
    assert doubtful.sure_of("a") == pytest.approx(1 - 0.98**17, abs=0.08)


@settings(max_examples=15, deadline=None)
@given(n_inputs=st.integers(1, 12), n_workers=st.integers(1, 20), share=st.floats(0, 0.95))
def test_what_a_probe_recommends_decodes(n_inputs, n_workers, share):
    n_stragglers = int(share * n_workers)
    inputs = np.random.default_rng(3).uniform(-1.0, 1.0, (n_inputs, 2))
    found = recommend(n_inputs, n_workers, n_stragglers, fn=np.cos, inputs=inputs)
    result = simulate(np.cos, inputs, found.scheme, stragglers=n_stragglers, repeats=2)
    assert np.isfinite(result.outputs).all()
    says_so = any("can be exact" in caution for caution in found.cautions)
    assert says_so == (n_workers - n_stragglers < n_inputs)


def test_it_prints_how_sure_it_is_and_what_more_would_cost():
    found = recommend(20, 40, 12, fn=np.sin, inputs=INPUTS)
    lines = str(found).splitlines()
    assert lines[1].endswith("on your f, simulated on a batch of 20 inputs")
    assert lines[3].startswith(f"  sure: {100 * found.sure:.0f} % that no other of these is 1.5 ")
    assert f"{3 * found.evaluations} evaluations more halve the doubt" in lines[3]
    assert pickle.loads(pickle.dumps(found)).measured == found.measured


def test_without_a_function_it_says_what_is_not_known():
    model = MachineStragglers(3, workers_per_machine=4)
    found = recommend(20, 40, 12, stragglers=model)
    assert found.sure is None
    assert any("your f was not looked at" in caution for caution in found.cautions)
    assert any("uniform losses alone, not Machine" in caution for caution in found.cautions)


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({"fn": np.sin}, ValueError, "inputs are missing"),
        ({"answers": INPUTS}, ValueError, "inputs are missing"),
        ({"inputs": INPUTS}, ValueError, "neither fn nor answers"),
        ({"fn": np.sin, "answers": INPUTS, "inputs": INPUTS}, ValueError, "pass fn alone"),
        ({"fn": 3, "inputs": INPUTS}, TypeError, "fn must be callable, got 3"),
        ({"fn": np.sin, "inputs": INPUTS[:19]}, ValueError, "at least n_inputs = 20"),
        ({"fn": np.sin, "inputs": 1.0}, ValueError, "at least n_inputs = 20"),
        ({"fn": np.sin, "inputs": np.full(20, np.nan)}, ValueError, "finite"),
        ({"fn": np.sin, "inputs": ["a"] * 20}, TypeError, "inputs"),
        ({"fn": np.sum, "inputs": INPUTS}, ValueError, "fn must return 20 answers for 20 inputs"),
        ({"fn": lambda x: x / 0, "inputs": INPUTS}, ValueError, "finite"),
        ({"answers": INPUTS[1:], "inputs": INPUTS}, ValueError, "one answer for each of the 20"),
        ({"answers": INPUTS * np.inf, "inputs": INPUTS}, ValueError, "finite"),
        ({"stragglers": 12}, TypeError, "stragglers must be a StragglerModel or None, got 12"),
        ({"fn": np.sin, "inputs": INPUTS, "rng": -1}, ValueError, "rng must be >= 0"),
        ({"fn": np.sin, "inputs": INPUTS, "kind": "matmul"}, ValueError, "do not go with kind"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_bad_input_is_refused_at_the_door(keywords, error, words):
    with pytest.raises(error, match=words):
        recommend(20, 40, 12, **keywords)


def test_what_the_function_raises_is_told():
    def fails(_):
        raise KeyError("weights")

    with pytest.raises(KeyError, match="weights"):
        recommend(20, 40, 12, fn=fails, inputs=INPUTS)
