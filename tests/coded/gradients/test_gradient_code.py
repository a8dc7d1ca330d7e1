import numpy as np
import pytest
import torch

from coded import GradientCode

FIGURE = [[0.5, 1.0, 0.0], [0.0, 1.0, -1.0], [0.5, 0.0, 1.0]]


def test_the_published_example_has_the_published_weights():
    """Tandon et al. 2017, Figure 2."""
    code = GradientCode(FIGURE, 1)
    found = [code.decode_vector(pair).round(12).tolist() for pair in ([0, 1], [0, 2], [1, 2])]
    assert found == [[2.0, -1.0], [1.0, 1.0], [1.0, 2.0]]
    assert code.assignment == ((0, 1), (1, 2), (0, 2))
    assert repr(code) == "GradientCode(3, 1)"


def test_a_matrix_that_somebody_changes_later_is_no_matter():
    matrix = np.array(FIGURE)
    code = GradientCode(matrix, 1)
    matrix *= 2.0
    assert np.array_equal(code.encoding_matrix, FIGURE)
    with pytest.raises(ValueError, match="read-only"):
        code.encoding_matrix[0, 0] = 1.0


def test_units_of_the_rows_are_no_matter_for_rounding():
    code, scaled = GradientCode(FIGURE, 1), GradientCode(1e-9 * np.array(FIGURE), 1)
    assert scaled.amplification([0, 2]) == pytest.approx(code.amplification([0, 2]))
    assert scaled.can_decode([0, 2], dtype=np.float32)


def test_weights_that_cancel_are_refused_where_they_round_too_much():
    """Two rows that differ by 1e-6 determine the sum, and amplify by more than float32 allows."""
    code = GradientCode([[1.0, 2.0], [1.0, 2.0 + 1e-6], [1.0, 1.0]], 0)
    assert 1e6 < code.amplification([0, 1]) < 1e8
    assert code.can_decode([0, 1])
    assert not code.can_decode([0, 1], dtype=np.float32)
    closer = GradientCode([[1.0, 2.0], [1.0, 2.0 + 1e-9], [1.0, 1.0]], 0)
    assert not closer.can_decode([0, 1])


@pytest.mark.parametrize(
    ("matrix", "error", "words"),
    [
        ([1.0, 1.0], ValueError, "a row for each worker"),
        (np.zeros((0, 2)), ValueError, "a row for each worker"),
        ([[1.0, np.nan]], ValueError, "encoding_matrix"),
        ([[1.0, 1j]], TypeError, "encoding_matrix"),
        ([[1.0, 1.0], [0.0, 0.0]], ValueError, "worker 1 holds no part"),
        ([[1.0, 0.0], [1.0, 0.0]], ValueError, "part 1 is held by no worker"),
        ([[1.0, 2.0]], ValueError, "all answers together do not give the sum"),
    ],
)
def test_what_is_no_encoding_matrix_is_refused(matrix, error, words):
    with pytest.raises(error, match=words):
        GradientCode(matrix, 0)


def test_a_count_out_of_range_is_refused():
    with pytest.raises(ValueError, match="n_stragglers must lie in"):
        GradientCode(FIGURE, 3)


@pytest.mark.parametrize(
    ("parameters", "where"),
    [
        (np.array([1.0, np.nan]), "parameters must be finite"),
        ({"w": (np.ones(2), np.array(np.inf))}, r"parameters\['w'\]\[1\] must be finite"),
        ([torch.tensor([np.nan])], r"parameters\[0\] must be finite"),
    ],
)
def test_parameters_that_are_not_finite_are_refused(parameters, where):
    with pytest.raises(ValueError, match=where):
        GradientCode(FIGURE, 1).prepare(parameters)


def test_parameters_may_be_anything_else():
    given = {"w": torch.ones(2, dtype=torch.bfloat16), "epoch": 3, "name": "run", "n": np.arange(3)}
    job = GradientCode(FIGURE, 1).prepare(given)
    assert all(payload[0] is given for payload in job.payloads)
