"""The split of the loss: it bounds the loss, and its terms are what the theory calls them."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.interpolate import make_smoothing_spline

from bench.science import split
from bench.science.workloads import curve, lenet_digits, random_network
from coded import chebyshev_first

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def numbers():
    return split.run(quick=True)


def test_loss_is_below_the_sum_everywhere(numbers):
    for found in numbers["workloads"].values():
        assert 0.25 < found["loss over sum"] <= 1.0
        grid = np.array(found["grid"])
        # means of bounded batches, stored with three digits
        assert (grid[:, 0] <= 1.01 * grid[:, 1:].sum(axis=1)).all()


def test_without_an_encoders_error_the_decoders_share_is_twice_the_loss():
    workload = random_network(batches=2)

    measured = split.terms(workload, workload.tuning, [(0.0, 0.0), (0.0, 1e-8)], draws=3)

    np.testing.assert_array_equal(measured[:, :, 2], 0.0)
    np.testing.assert_allclose(measured[:, :, 1], 2.0 * measured[:, :, 0], rtol=1e-14)


def test_encoders_share_is_that_of_scipys_smoothing_spline():
    workload, lam = curve(batches=1), 1e-6
    inputs = workload.report[0].inputs
    alpha = chebyshev_first(len(inputs))
    fit = make_smoothing_spline(alpha, inputs, lam=len(inputs) * lam)(alpha)
    expected = 2.0 * np.mean((fit * np.sin(fit) - inputs * np.sin(inputs)) ** 2)

    measured = split.terms(workload, workload.report, [(lam, 0.0)], draws=1)

    assert measured[0, 0, 2] == pytest.approx(expected, rel=1e-6)


def test_choices_are_the_least_of_the_grid(numbers):
    lams = numbers["lams"]
    for found in numbers["workloads"].values():
        losses, sums = (
            np.array(found["grid"]) @ weights for weights in ([1.0, 0.0, 0.0], [0.0, 1.0, 1.0])
        )
        for by, scores in (("loss", losses), ("sum", sums)):
            lam_enc, lam_dec = found["chosen"][by]["lams"]
            i = lams.index(lam_enc) * len(lams) + lams.index(lam_dec)
            assert scores[i] <= 1.01 * scores.min()


@pytest.mark.parametrize("make", [curve, random_network, lenet_digits])
def test_what_is_reported_was_not_tuned_on(make):
    workload = make(batches=3)
    tuning, report = (
        {row.tobytes() for batch in batches for row in batch.inputs}
        for batches in (workload.tuning, workload.report)
    )

    assert len(tuning) == len(report) == 3 * workload.n_inputs
    assert not tuning & report


def test_table_and_picture_tell_all(numbers):
    (table,) = split.tables(numbers).values()

    for name in numbers["workloads"]:
        assert table.count(f"\n| {name} |") == 3
    assert [type(figure) for figure in split.draw(numbers).values()] == [Figure]
