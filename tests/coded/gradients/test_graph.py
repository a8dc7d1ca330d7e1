import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded import GraphCode, NotEnoughRespondersError


def least_squares(edges, n_parts):
    """The oracle: the distance of ones to the span of the edges."""
    rows = np.zeros((len(edges), n_parts))
    for n, (u, v) in enumerate(edges):
        rows[n, u] += 1.0
        rows[n, v] += 1.0
    weights = np.linalg.pinv(rows.T) @ np.ones(n_parts)
    return np.sum((weights @ rows - 1.0) ** 2)


def test_the_published_errors_of_small_graphs():
    """A path of three, a triangle, and two parts that nobody answered for."""
    code = GraphCode([(0, 1), (1, 2), (0, 2)], 2)
    assert code.residual([0, 1]) == pytest.approx(1 / 3)
    assert code.residual([0, 1, 2]) == 0.0
    assert GraphCode([(0, 1)], 0).residual([]) == 2.0


def test_the_closed_form_is_least_squares_on_random_graphs():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n_parts = int(rng.integers(2, 10))
        extra = rng.integers(0, n_parts, size=(int(rng.integers(0, 12)), 2))
        path = np.stack([np.arange(n_parts - 1), np.arange(1, n_parts)], axis=1)
        edges = np.concatenate([path, extra[extra[:, 0] != extra[:, 1]]])
        code = GraphCode(edges, 0)
        kept = np.flatnonzero(rng.random(len(edges)) < 0.5)
        expected = least_squares(edges[kept], n_parts)
        assert code.residual(kept) == pytest.approx(expected, abs=1e-9)


@given(st.data())
def test_a_sum_is_called_exact_where_the_closed_form_is_zero(data):
    code = GraphCode.regular(7, 4, 3, rng=data.draw(st.integers(0, 20)))
    kept = sorted(data.draw(st.sets(st.integers(0, 13), min_size=1)))
    assert code.is_exact(kept) == (code.residual(kept) == 0.0)
    assert code.can_decode(kept)


def test_the_error_of_the_estimate_is_the_residual():
    """For parts that are orthonormal, squared."""
    code, kept = GraphCode.regular(8, 4, 3), [0, 2, 3, 5, 9]
    job, parts = code.prepare(None), np.eye(8)
    answers = [job.read(n, job.function(n, lambda _, i: parts[i])(None))[1] for n in kept]
    total = job.decode(answers, np.array(kept))
    assert np.sum((total - 1.0) ** 2) == pytest.approx(code.residual(kept))
    assert code.residual(kept) > 0.5
    assert not job.exact_mask(np.array(kept))


def test_regular_graphs_are_regular_and_drawn_by_their_seed():
    code = GraphCode.regular(12, 4, 5, rng=3)
    assert np.bincount(code.edges.ravel()).tolist() == [4] * 12
    assert len({tuple(sorted(edge)) for edge in code.edges.tolist()}) == 24
    assert code.load == 2
    assert np.array_equal(code.edges, GraphCode.regular(12, 4, 5, rng=3).edges)
    assert not np.array_equal(code.edges, GraphCode.regular(12, 4, 5, rng=4).edges)
    assert not code.edges.flags.writeable


@pytest.mark.parametrize(("n_parts", "degree"), [(4, 3), (10, 3), (16, 5), (9, 4)])
def test_regular_graphs_of_any_degree_have_so_many_copies_of_each_part(n_parts, degree):
    code = GraphCode.regular(n_parts, degree, 1)
    assert np.bincount(code.edges.ravel()).tolist() == [degree] * n_parts
    assert len({tuple(sorted(edge)) for edge in code.edges.tolist()}) == n_parts * degree // 2


def test_weights_in_linear_time_are_as_good_as_least_squares_and_seldom_much_larger():
    """On 60 draws of 160 edges, where least squares is the oracle."""
    code, rng, amplified = GraphCode.regular(80, 4, 0), np.random.default_rng(0), []
    for lost in (0.1, 0.3, 0.5):
        for _ in range(20):
            kept = np.flatnonzero(rng.random(code.n_workers) > lost)
            rows = code.encoding_matrix[kept]
            best, *_ = np.linalg.lstsq(rows.T, np.ones(80), rcond=None)
            np.testing.assert_allclose(code.decode_vector(kept) @ rows, best @ rows, atol=1e-9)
            amplified.append(code.amplification(kept) / (np.abs(best).sum() * 2 / 80))
    assert 1.0 < np.mean(amplified) < 2.0
    assert max(amplified) < 3.0


def test_a_long_circle_is_exact_and_takes_no_recursion():
    n = 2001
    code = GraphCode([(i, (i + 1) % n) for i in range(n)], 0)
    np.testing.assert_allclose(code.decode_vector(range(n)) @ code.encoding_matrix, 1.0)
    assert code.is_exact(range(n))
    assert code.amplification(range(n)) <= 3.0


def test_chosen_losses_cost_less_than_with_fractional_repetition():
    """The 4 workers of 24 that hold all copies of parts: 2 parts are gone there, 1 here."""
    code = GraphCode.regular(12, 4, 4)
    for part in range(12):
        kept = np.flatnonzero((code.edges != part).all(axis=1))
        assert len(kept) == 20
        assert code.residual(kept) == 1.0


def test_random_losses_cost_as_much_as_with_fractional_repetition():
    """Which loses a part with the probability that all 4 copies are lost."""
    code, rng = GraphCode.regular(24, 4, 10), np.random.default_rng(5)
    draws = [code.residual(np.flatnonzero(rng.random(48) > 0.2)) / 24 for _ in range(3000)]
    assert np.mean(draws) == pytest.approx(0.2**4, rel=0.15)


@pytest.mark.parametrize(
    ("edges", "error", "words"),
    [
        ([], ValueError, "shape"),
        ([(0, 1, 2)], ValueError, "two parts a worker"),
        ([(0.0, 1.0)], TypeError, "indices of parts"),
        ([(0, -1)], ValueError, "from 0, got -1"),
        ([(0, 1), (2, 2)], ValueError, r"edges\[1\] is a loop at part 2"),
        ([(0, 1), (1, 3)], ValueError, "part 2 is on none"),
    ],
)
def test_what_are_no_edges_is_refused(edges, error, words):
    with pytest.raises(error, match=words):
        GraphCode(edges, 0)


def test_what_makes_no_regular_graph_is_refused():
    with pytest.raises(ValueError, match="got 3 and 9; take degree=4 or n_parts=10"):
        GraphCode.regular(9, 3, 0)
    with pytest.raises(ValueError, match="n_parts must be >= 5"):
        GraphCode.regular(4, 4, 0)
    with pytest.raises(ValueError, match="without an edge in common"):
        GraphCode.regular(11, 10, 0)


def test_no_answer_is_too_few():
    with pytest.raises(NotEnoughRespondersError, match="at least one answer"):
        GraphCode([(0, 1)], 0).decode_vector([])


@pytest.mark.parametrize(
    ("edges", "gap"),
    [
        (np.array([(0, 1), (1, 2**64 - 1)], np.uint64), 2),
        ([(0, 10**13)], 1),
        ([(1, 10**13)], 0),
    ],
)
def test_an_index_far_beyond_the_others_is_a_gap(edges, gap):
    with pytest.raises(ValueError, match=f"edges must touch each part, but part {gap} is on none"):
        GraphCode(edges, 0)
