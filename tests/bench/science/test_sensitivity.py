"""The spline scheme at any points against the published one and scipy; what a quick run shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy.interpolate import make_smoothing_spline

from bench.science import sensitivity
from bench.science.placed import PlacedSpline
from bench.science.workloads import random_network
from coded import SplineScheme, chebyshev_first, chebyshev_second, equidistant
from fastspline import smooth_spline

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def numbers():
    return sensitivity.run(quick=True)


@given(
    lam_enc=st.sampled_from([0.0, 1e-9, 1e-3, np.inf]),
    lam_dec=st.sampled_from([0.0, 1e-9, 1e-3, np.inf]),
    seed=st.integers(0, 99),
)
def test_at_chebyshev_points_it_is_the_published_scheme(lam_enc, lam_dec, seed):
    rng = np.random.default_rng(seed)
    # 6 and 14 share no point: where they do, the published scheme snaps one to the other
    placed = PlacedSpline(
        chebyshev_first(6), chebyshev_second(14), lam_enc=lam_enc, lam_dec=lam_dec
    )
    paper = SplineScheme.paper(6, 14, lam_enc=lam_enc, lam_dec=lam_dec)
    inputs, who = rng.standard_normal((6, 2)), np.sort(rng.permutation(14)[:9])

    np.testing.assert_array_equal(placed.encode(inputs), paper.encode(inputs))
    np.testing.assert_array_equal(placed.encoder_fit(inputs), paper.encoder_fit(inputs))
    answers = np.sin(paper.encode(inputs))[who]
    np.testing.assert_array_equal(placed.decode(answers, who), paper.decode(answers, who))
    np.testing.assert_array_equal(placed.exact_mask(who), paper.exact_mask(who))


def test_gcv_is_chosen_from_the_answers():
    rng = np.random.default_rng(7)
    scheme = PlacedSpline(chebyshev_first(5), equidistant(60), lam_dec="gcv")
    who = np.setdiff1d(np.arange(60), [3, 30, 31])
    answers = np.sin(3 * scheme.beta[who]) + 0.1 * rng.standard_normal(57)

    found = scheme.decode(answers, who)

    expected = smooth_spline(scheme.beta[who], answers, lam="gcv")(scheme.alpha)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    scipys = make_smoothing_spline(scheme.beta[who], answers)(scheme.alpha)
    np.testing.assert_allclose(found, scipys, atol=1e-2)  # whose score is the plain one
    with pytest.raises(TypeError, match="not linear"):
        scheme.decoding_matrix(who)


def test_too_few_answers_are_refused():
    scheme = PlacedSpline(equidistant(3), equidistant(6))

    assert scheme.can_decode([0, 5])
    with pytest.raises(ValueError, match="needs 2 answers"):
        scheme.decode([1.0], [4])


def test_oracle_lays_the_inputs_along_their_outputs():
    workload = random_network(batches=1, clusters=3)
    inputs = workload.report[0].inputs
    lengths = {}
    for kind in ("path", "oracle"):
        laid = inputs[sensitivity.order_of(kind, workload)(inputs)]
        lengths[kind] = [
            np.linalg.norm(np.diff(rows, axis=0), axis=1).sum()
            for rows in (laid, workload.fn(laid))
        ]

    assert lengths["path"][0] < lengths["oracle"][0]
    assert lengths["oracle"][1] < lengths["path"][1]
    assert sensitivity.order_of("random", workload) is None


def test_order_matters_more_than_the_scheme(numbers):
    for found in numbers["order"].values():
        measure = "l2" if "agreement" in found["berrut"]["path"] else "mse"
        error = {
            (scheme, order): found[scheme][order][measure][0]
            for scheme in found
            for order in ("random", "path")
        }
        assert max(error["letcc", "path"], error["berrut", "path"]) < error["letcc", "random"]
        assert error["letcc", "random"] < error["berrut", "random"]


def test_much_smoothing_harms(numbers):
    for found in numbers["lam"].values():
        for swept in found.values():
            assert swept[0]["l2"][0] < 0.5 * swept[-1]["l2"][0]


def test_tables_and_picture_tell_all(numbers):
    tables = sensitivity.tables(numbers)

    assert list(tables) == ["sensitivity-lam", "sensitivity-points", "sensitivity-order"]
    assert tables["sensitivity-lam"].count("\n| 1e") + 1 == len(numbers["lams"])
    assert tables["sensitivity-order"].count("| letcc |") == 3
    assert [type(figure) for figure in sensitivity.draw(numbers).values()] == [Figure]
