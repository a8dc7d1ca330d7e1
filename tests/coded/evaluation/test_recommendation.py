from __future__ import annotations

import pickle
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coded
from bench.experiments import EXPERIMENTS
from bench.records import read
from bench.science.competition import HEAVIER, SETTINGS
from bench.science.zoo import RECOMMENDED, cells_of, package_files, typical
from coded import LagrangeScheme, ReplicationScheme, compare, recommend, simulate
from coded.schemes import codes
from coded.schemes.registry import Setting

KINDS = ("smooth", "rough", "polynomial", "network", "unknown")
NUMBERS = read(EXPERIMENTS["zoo"].path)["numbers"]


def polynomial_of(degree, rng):
    coefficients = rng.normal(size=degree + 1)
    return lambda x: np.polynomial.polynomial.polyval(x, coefficients)


def test_the_package_holds_what_the_experiment_wrote():
    (path,) = package_files(NUMBERS)
    stored = files("coded").joinpath(path.removeprefix("coded/")).read_text(encoding="utf-8")
    assert stored == package_files(NUMBERS)[path]
    assert len(stored) < 60_000


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", ["smooth", "rough", "network", "unknown"])
def test_at_measured_settings_the_winner_of_the_table_is_recommended(kind, setting):
    cells = cells_of(NUMBERS, kind, setting)
    losses = {name: typical(cells, name) for name in RECOMMENDED}
    found = recommend(*setting, kind=kind)
    assert found.measured_at == setting
    assert losses[found.name] == min(losses.values())
    assert found.measured == losses
    assert list(found.measured.values()) == sorted(losses.values())
    assert next(iter(found.measured)) == found.name
    assert repr(found.scheme) == repr(codes()[found.name].make(Setting(*setting)))


@pytest.mark.parametrize("setting", HEAVIER)
def test_the_most_accurate_scheme_is_recommended_for_labels(setting):
    cells = [cell for cell in cells_of(NUMBERS, "network", setting) if "relative_accuracy" in cell]
    assert len(cells) >= 3
    found = recommend(*setting, kind="network", objective="labels")
    assert found.measure == "relative_accuracy"
    for name, value in found.measured.items():
        mean = np.mean([cell["relative_accuracy"][name][0] for cell in cells])
        assert value == pytest.approx(mean, abs=1e-4)
    assert found.measured[found.name] == max(found.measured.values())


@settings(max_examples=60, deadline=None)
@given(
    n_inputs=st.integers(1, 40),
    n_workers=st.integers(1, 60),
    share=st.floats(0, 1, exclude_max=True),
    kind=st.sampled_from(["smooth", "rough", "network", "unknown"]),
)
def test_every_recommendation_decodes_what_it_promises(n_inputs, n_workers, share, kind):
    n_stragglers = int(share * n_workers)
    found = recommend(n_inputs, n_workers, n_stragglers, kind=kind)
    inputs = np.random.default_rng(0).uniform(-1.0, 1.0, (n_inputs, 2))
    result = simulate(np.cos, inputs, found.scheme, stragglers=n_stragglers, repeats=3)
    assert result.outputs.shape == (3, n_inputs, 2)
    assert np.isfinite(result.outputs).all()
    if found.measured_at is None:
        assert result.exact.all()
        np.testing.assert_allclose(result.outputs, result.reference[None].repeat(3, axis=0))
    answers = n_workers - n_stragglers
    says_so = any("can be exact" in caution for caution in found.cautions)
    assert says_so == (answers < n_inputs)


@settings(max_examples=40, deadline=None)
@given(
    n_inputs=st.integers(2, 12),
    spare=st.integers(0, 60),
    degree=st.integers(1, 4),
    share=st.floats(0, 0.6),
)
def test_polynomials_are_exact_wherever_lagrange_is_recommended(n_inputs, spare, degree, share):
    n_workers = (n_inputs - 1) * degree + 1 + spare
    n_stragglers = int(share * n_workers)
    found = recommend(n_inputs, n_workers, n_stragglers, kind="polynomial", degree=degree)
    enough = n_workers - n_stragglers >= (n_inputs - 1) * degree + 1
    if isinstance(found.scheme, LagrangeScheme):
        assert enough
        assert found.measured_at is None
        rng = np.random.default_rng(degree)
        inputs = rng.uniform(-1.0, 1.0, n_inputs)
        result = simulate(
            polynomial_of(degree, rng), inputs, found.scheme, stragglers=n_stragglers, repeats=5
        )
        assert result.exact.all()
        np.testing.assert_allclose(
            result.outputs, np.tile(result.reference, (5, 1)), atol=1e-6 * np.abs(inputs).max()
        )
    elif n_stragglers < n_workers // n_inputs:
        assert isinstance(found.scheme, ReplicationScheme)
    else:
        assert found.measured_at is not None


@pytest.mark.parametrize(
    ("setting", "keywords"),
    [((10, 40, 3), {}), ((5, 20, 7), {"kind": "polynomial", "degree": 3}), ((20, 40, 12), {})],
)
def test_what_is_recommended_is_compared_by_its_name(setting, keywords):
    found = recommend(*setting, **keywords)
    k, n, s = setting
    degree = keywords.get("degree")
    comparison = compare(
        lambda x: x**3,
        np.linspace(-1.0, 1.0, k),
        n,
        n_stragglers=s,
        degree=degree,
        codes=[found.name, *(name for name in found.measured if name != found.name)],
        repeats=2,
    )
    row = next(row for row in comparison.rows if row.code == found.name)
    assert row.scheme == repr(found.scheme)


def test_lagrange_is_recommended_where_it_is_exact_and_only_there():
    assert isinstance(recommend(5, 20, 7, kind="polynomial", degree=3).scheme, LagrangeScheme)
    lacks_an_answer = recommend(5, 20, 8, kind="polynomial", degree=3)
    assert not isinstance(lacks_an_answer.scheme, LagrangeScheme)
    # 136 of 200 answers are enough, and amplify rounding errors beyond all bounds
    unstable = recommend(10, 200, 60, kind="polynomial", degree=15)
    assert not isinstance(unstable.scheme, LagrangeScheme)
    waits = recommend(5, 60, 20, kind="polynomial", degree=3)
    assert isinstance(waits.scheme, LagrangeScheme)
    assert "wait_for=40" in waits.cautions[0]


def test_copies_are_recommended_where_any_losses_leave_one():
    for kind in ("smooth", "network", "unknown"):
        found = recommend(10, 35, 2, kind=kind)
        assert isinstance(found.scheme, ReplicationScheme)
        assert found.measured_at is None
        assert found.cautions == ()
    assert recommend(10, 35, 3).measured_at is not None


def test_far_from_everything_measured_says_so():
    far = recommend(2000, 2100, 1900)
    assert any("measured nearer" in caution for caution in far.cautions)
    near = recommend(20, 100, 58)
    assert near.measured_at == (20, 100, 60)
    assert not any("measured nearer" in caution for caution in near.cautions)


def test_it_prints_scheme_reason_figures_and_cautions():
    found = recommend(60, 100, 20, kind="smooth")
    lines = str(found).splitlines()
    assert lines[0] == repr(found.scheme)
    assert lines[1].startswith("  why: ")
    assert found.name in lines[2]
    assert all(f"  caution: {caution}" in lines for caution in found.cautions)


def test_recommendations_pickle_and_are_frozen():
    found = recommend(60, 100, 20)
    assert pickle.loads(pickle.dumps(found)).why == found.why
    with pytest.raises(AttributeError):
        found.name = "other"


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "words"),
    [
        ((0, 10, 2), {}, ValueError, "n_inputs must be >= 1"),
        ((5, 0, 0), {}, ValueError, "n_workers must be >= 1"),
        ((5, 10, 10), {}, ValueError, r"n_stragglers must lie in \[0, 9\]"),
        ((5, 10, -1), {}, ValueError, r"n_stragglers must lie in \[0, 9\]"),
        ((5.0, 10, 1), {}, TypeError, "n_inputs must be an integer"),
        ((5, 10, 4), {"kind": "curve"}, ValueError, "kind must be one of"),
        ((5, 10, 4), {"kind": ["smooth"]}, ValueError, "kind must be one of"),
        ((5, 10, 4), {"objective": "loss"}, ValueError, "objective must be"),
        ((5, 10, 4), {"kind": "polynomial"}, ValueError, "degree is missing"),
        ((5, 10, 4), {"kind": "smooth", "degree": 2}, ValueError, "degree goes with"),
        ((5, 10, 4), {"kind": "polynomial", "degree": 0}, ValueError, "degree must be >= 1"),
        ((5, 10, 1), {"kind": "polynomial", "degree": 0}, ValueError, "degree must be >= 1"),
        ((5, 10, 4), {"kind": "polynomial", "degree": 1.5}, TypeError, "degree must be an int"),
        ((5, 10, 4), {"kind": "smooth", "objective": "labels"}, ValueError, "labels"),
    ],
)
def test_bad_input_is_refused_at_the_door(arguments, keywords, error, words):
    with pytest.raises(error, match=words):
        recommend(*arguments, **keywords)


def test_the_names_are_public():
    assert {"recommend", "Recommendation"} <= set(dir(coded))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ((60, 100, 20), "needs 119 answers, 80 come"),
        ((20, 100, 30), "needs 39 answers and 70 come"),
    ],
)
def test_it_says_why_a_polynomial_is_not_coded_exactly(setting, says):
    cautions = recommend(*setting, kind="polynomial", degree=2).cautions
    assert any(says in caution for caution in cautions)
