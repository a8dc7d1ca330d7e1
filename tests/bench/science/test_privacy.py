"""Leakage and errors move against each other, as the masks grow."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from bench.science import privacy

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def numbers():
    return privacy.run(quick=True)


def test_leakage_falls_with_the_square_and_errors_grow_with_the_degree(numbers):
    for cell in numbers["settings"]:
        degree = cell["setting"][3]
        for name in privacy.COLORS:
            first, second, third = (found[name] for found in cell["masks"])  # 1, 1e3, 1e6
            for many in (0, 1):
                assert second["leakage"][many] / third["leakage"][many] > 0.9e5
                assert second["leakage"][many] < first["leakage"][many] / 10
            growth = math.log10(third["error"][0] / second["error"][0]) / 3
            assert growth == pytest.approx(degree, abs=0.2)
            assert first["error"][1] < 1e-11


def test_points_inside_leak_less_at_every_size_of_the_masks(numbers):
    ours, theirs = privacy.COLORS
    for cell in numbers["settings"]:
        for found in cell["masks"]:
            assert found[ours]["leakage"][1] < found[theirs]["leakage"][1] / 1.5


def test_decode_warns_where_no_digit_is_left_and_nowhere_else(numbers):
    for cell in numbers["settings"]:
        for found in cell["masks"]:
            error = found["AnalogLagrangeScheme"]["error"][0]
            assert found["told"] == 1.0 or error < 1.0
            assert found["told"] == 0.0 or error > 1e-3


def test_one_circle_is_a_code_whose_points_keep_their_distance():
    code = privacy.OneCircle(4, 2, 20, 3, 10.0)
    gaps = np.abs(np.angle(code.workers[:, None] / code.points)) / (2 * math.pi)
    assert gaps.min() == pytest.approx(1 / 120)
    inputs = np.array([0.5, -1.0, 0.25, 1.0])
    coded_inputs = code.encode(inputs, np.random.default_rng(0))
    outputs = code.decode(coded_inputs**3, np.arange(20))
    np.testing.assert_allclose(outputs, inputs**3, rtol=0, atol=1e-9)
    assert code.leakage(range(3), power=1.0) == math.inf


def test_table_and_picture_tell_all(numbers):
    (table,) = privacy.tables(numbers).values()

    assert table.count("\n| 2, 1, 8, 2 |") == table.count("\n| 4, 2, 20, 3 |") == 3
    assert [type(figure) for figure in privacy.draw(numbers).values()] == [Figure]


def test_a_cell_names_both_leakages_where_they_differ():
    found = {"leakage": [0.1, 0.1], "error": [1e-9, 2e-8]}
    assert privacy.tell_code(found) == "1.0e-01; 1e-09 (2e-08)"
    found["leakage"][1] = 2.0
    assert privacy.tell_code(found) == "1.0e-01 / 2.0e+00; 1e-09 (2e-08)"
