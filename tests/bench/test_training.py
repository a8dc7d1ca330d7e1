import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from bench.engines import training
from bench.records import to_json
from coded.digits.images import read_digits
from coded.digits.lenet5 import LeNet5

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def digits():
    return read_digits(0)


@pytest.fixture(scope="module")
def curves():
    return training.run_quickly()


def test_a_gradient_is_the_loss_backwards(digits):
    model = LeNet5()
    labels = np.eye(10, dtype=np.float32)[digits.labels[:6]]
    weights = {name: w.detach().numpy() for name, w in model.named_parameters()}
    found = training.Gradient(weights)({"digits": digits.inputs[:6], "labels": labels})
    logits = model(torch.from_numpy(digits.inputs[:6]))
    functional.cross_entropy(logits, torch.from_numpy(digits.labels[:6])).backward()
    assert found.keys() == weights.keys()
    for name, weight in model.named_parameters():
        np.testing.assert_allclose(found[name], weight.grad, atol=1e-6)


@pytest.mark.parametrize("is_sorted", [False, True])
def test_micro_batches_are_the_batch(digits, is_sorted):
    deal = [
        training._deal(digits, np.random.default_rng(3), 40, count, is_sorted=is_sorted)
        for count in (4, 8)
    ]
    assert np.array_equal(*(one["digits"].reshape(40, -1) for one in deal))
    shown = deal[0]["labels"].argmax(axis=-1).ravel()
    assert (np.diff(shown) >= 0).all() == is_sorted


def test_every_strategy_takes_its_steps(curves):
    for some in curves.values():
        assert len(some[0].seconds) == 2
        assert some[0].steps == [2]
        assert np.isfinite(some[0].losses + some[0].errors).all()


def test_who_waits_for_all_has_the_gradient_of_the_batch_and_waits(curves):
    (patient,) = curves[training.ANY, "wait for all"]
    for case in training.CASES:
        (hasty,) = curves[case, "drop the late"]
        assert patient.errors[0] < 1e-4 < 0.05 < hasty.errors[0]
        assert patient.lost == 0 < hasty.lost <= 2 * training.LATE
        assert min(patient.seconds) > training.LATE_SECONDS


def test_copies_lose_less(curves):
    for case in training.CASES:
        assert curves[case, "spline, two copies"][0].lost < curves[case, "spline"][0].lost


def test_the_record_holds_every_run():
    numbers = json.loads(to_json(training.run(quick=True)))
    curves = training.restore(numbers)
    (table,), (figure,) = training.tables(numbers).values(), training.draw(numbers).values()
    for case, name in curves:
        assert f"| {case} | {name} |" in table
    assert [axes.get_title() for axes in figure.axes] == list(training.CASES)
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == list(training.STRATEGIES)
