"""The data sets on which ways to choose lam compete, and the tables of what they reach."""

import numpy as np
import pytest

from bench.exactness import selection
from bench.exactness.data_sets import KINDS, data_sets
from fastspline import smooth_spline
from tests.oracles.splines import ExactSmoother

SETS = list(data_sets())


def find(*words):
    return next(one for one in SETS if all(word in one.name for word in words))


def test_there_are_enough_sets_and_half_of_them_lie_aside():
    assert len(SETS) == len({one.name for one in SETS}) >= 300
    assert len(KINDS) == 10
    assert 0.4 < np.mean([one.is_aside for one in SETS]) < 0.6
    for one in SETS:
        assert (np.diff(one.knots) > 0.0).all(), one.name


def test_a_set_depends_on_its_name_alone():
    again = next(one for one in data_sets([1]) if one.name == SETS[-1].name)
    np.testing.assert_array_equal(again.values, SETS[-1].values)


@pytest.mark.parametrize(
    "words", [("waves, equidistant", "n 25"), ("line, random", "n 25, noise 1")]
)
def test_the_best_loss_is_that_of_the_best_lam(words):
    problem = find(*words)
    losses = []
    for lam in [*np.geomspace(1e-9, 1e4, 60), np.inf]:
        fitted = ExactSmoother(problem.knots, lam=lam).evaluate(problem.values, problem.knots)
        losses.append(np.mean((fitted - problem.truth) ** 2))
    assert selection.best_loss(problem) == pytest.approx(min(losses), rel=0.01)


def test_predictions_hold_as_many_values_as_are_drawn_there():
    problem = find("waves, random", "n 100, noise 0.3")
    _, covered, predicted = selection.fit_ours(problem, "gcv")
    spline = smooth_spline(problem.knots, problem.values)
    further = problem.truth + problem.noise * np.random.default_rng(0).standard_normal((2000, 100))
    for kind, values, share in (
        ("pointwise", problem.truth, covered),
        ("prediction", further, predicted),
    ):
        low, high = spline.interval(problem.knots, kind=kind)
        assert np.mean((low <= values) & (values <= high)) == pytest.approx(share, abs=0.003)


def test_tables_tell_the_sets_aside_and_all_kinds():
    few = [find("line, random", "n 25"), find("waves, clusters", "n 26")]
    sets = [selection.measure(one, None) for one in few]
    sets[0]["aside"], sets[1]["aside"] = True, False
    sets[0]["ratios"]["scipy"] = "fails: singular"
    tables = selection.tables({"sets": sets})
    lines = [line for line in tables["selection"].splitlines()[2:] if line.startswith("|")]
    by_name = {row[0].strip("| "): row[1:] for row in (line.split(" | ") for line in lines)}
    assert float(by_name['`lam="loo"`'][0]) == pytest.approx(sets[0]["ratios"]["loo"], abs=0.006)
    assert "1 of 2 data sets" in tables["selection"]
    assert "scipy" not in by_name
    assert len(tables["selection-kinds"].splitlines()) == 4
