from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize

from coded import UnbiasedCode

MISS = np.array([0.05, 0.5, 0.3, 0.1, 0.8])
HELD = ((0, 1), (1, 2), (2, 3), (3, 0), (0, 2))


def every_outcome(miss):
    """Each set of workers that may answer, and its probability; nobody is one of them."""
    n = len(miss)
    for count in range(n + 1):
        for kept in combinations(range(n), count):
            answered = np.isin(np.arange(n), kept)
            yield kept, float(np.where(answered, 1.0 - miss, miss).prod())


def test_the_sum_is_right_in_the_mean_and_misses_as_much_as_told():
    """Over all 32 outcomes; where nobody answers the estimate is 0."""
    code, mean, missed = UnbiasedCode(HELD, MISS, 2), np.zeros(4), 0.0
    for kept, probability in every_outcome(MISS):
        weights = code.decode_vector(kept) @ code.encoding_matrix[list(kept)] if kept else 0.0
        mean += probability * weights
        missed += probability * code.residual(kept)
    np.testing.assert_allclose(mean, 1.0, atol=1e-14)
    assert code.expected_residual == pytest.approx(missed)


def test_no_other_unbiased_weights_miss_less():
    """The oracle minimises the variance of each part numerically."""
    code = UnbiasedCode(HELD, MISS, 2)
    for part in range(4):
        holders = [n for n, parts in enumerate(HELD) if part in parts]
        miss = MISS[holders]

        def variance(weights, miss=miss):
            return float(np.sum(miss * (1.0 - miss) * weights**2))

        unbiased = {"type": "eq", "fun": lambda weights, miss=miss: (1.0 - miss) @ weights - 1.0}
        best = minimize(variance, np.ones(len(holders)), constraints=[unbiased], tol=1e-14)
        np.testing.assert_allclose(code.encoding_matrix[holders, part], best.x, rtol=1e-5)


def test_weights_that_ignore_who_is_missing_miss_more():
    """With the mean of the probabilities for all, on workers of which two are bad."""
    miss = np.array([0.05, 0.6, 0.05, 0.05, 0.6, 0.05])
    held = [(n, (n + 1) % 6) for n in range(6)]
    code = UnbiasedCode(held, miss, 2)
    alike = UnbiasedCode(held, np.full(6, miss.mean()), 2)
    missed = sum(p * alike.residual(kept) for kept, p in every_outcome(miss))
    assert code.expected_residual < 0.5 * missed


def test_descent_with_it_comes_nearer_than_with_weights_that_are_biased():
    """Least squares by small steps, where the worker of some data is missing half of the time.

    Plain sums of who answered give these data half the weight.
    """
    rng = np.random.default_rng(0)
    rows, miss = rng.normal(size=(3, 40, 2)), np.array([0.01, 0.01, 0.5])
    sides = rows @ [1.0, -1.0] + np.array([0.0, 0.0, 3.0])[:, None]  # the third one differs
    best, *_ = np.linalg.lstsq(rows.reshape(-1, 2), sides.ravel(), rcond=None)
    code = UnbiasedCode([(0,), (1,), (2,)], miss, 1)
    ends = {}
    for name, matrix in (("unbiased", code.encoding_matrix), ("plain", np.eye(3))):
        w, tail = np.zeros(2), []
        for _ in range(3000):
            kept = rng.random(3) >= miss
            weights = kept @ matrix
            gradients = np.einsum("kij,ki->kj", rows, rows @ w - sides)
            w = w - 0.0005 * weights @ gradients
            tail.append(w)
        ends[name] = np.linalg.norm(np.mean(tail[1000:], axis=0) - best)
    assert ends["unbiased"] < 0.3 * ends["plain"]


@pytest.mark.parametrize(
    ("assignment", "miss", "error", "words"),
    [
        ([], [], ValueError, "at least one worker"),
        ([(0,), ()], [0.1, 0.1], ValueError, r"assignment\[1\] has shape \(0,\)"),
        ([(0,), (1.0,)], [0.1, 0.1], TypeError, r"assignment\[1\] has dtype float64"),
        ([(0, 0)], [0.1], ValueError, r"each once, but assignment\[0\] is \[0, 0\]"),
        ([(0,), (-1,)], [0.1, 0.1], ValueError, r"from 0, each once, but assignment\[1\]"),
        ([(0,), (2,)], [0.1, 0.1], ValueError, "part 1 is at none"),
        ([(0,), (1,)], [0.1], ValueError, r"each of 2 workers, got shape \(1,\)"),
        ([(0,), (1,)], [0.1, 0.0], ValueError, r"in \(0, 1\), but miss\[1\] = 0"),
        ([(0,), (1,)], [1.0, 0.5], ValueError, r"in \(0, 1\), but miss\[0\] = 1"),
        ([(0,), (1,)], [np.nan, 0.5], ValueError, "miss"),
    ],
)
def test_what_is_no_assignment_or_probability_is_refused(assignment, miss, error, words):
    with pytest.raises(error, match=words):
        UnbiasedCode(assignment, miss, 0)


@pytest.mark.parametrize("far", [10**13, 2**64 - 1])
def test_an_index_far_beyond_the_others_is_a_gap(far):
    with pytest.raises(ValueError, match=f"part 1 is at none, and the largest is {far}"):
        UnbiasedCode([(0,), (far,)], miss=[0.5, 0.5], n_stragglers=0)
