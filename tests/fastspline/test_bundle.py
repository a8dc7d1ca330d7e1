import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from gmpy2 import mpfr
from hypothesis import given, settings
from hypothesis import strategies as st

from fastspline._kernels import spline_lanes
from fastspline.bundle import left_out_matrix, left_out_variances, mean_matrix, posterior_variances
from tests.oracles import lines
from tests.oracles.splines import exact, rounded, solve

EXACT = 1e-12
LAMS = [0.0, 1e-12, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e12, np.inf]


def kriging(knots, points, *, lam, weights):
    """The spline's weights (m, n) and posterior variances (m,) at points, at 100 digits.

    Universal kriging with the generalised covariance |h|**3 / 12 and a line as its trend, which is
    the conditional expectation of an integrated Wiener process.
    """
    x, t, n = exact(knots), exact(points), len(knots)
    kernel, noise = (mpfr(0), mpfr(1)) if lam == np.inf else (mpfr(1), mpfr(lam))
    system = np.full((n + 2, n + 2), mpfr(0), dtype=object)
    system[:n, :n] = kernel * abs(x[:, None] - x) ** 3 / 12
    system[range(n), range(n)] += noise / exact(weights)
    system[:n, n] = system[n, :n] = mpfr(1)
    system[:n, n + 1] = system[n + 1, :n] = x
    right = np.full((n + 2, len(t)), mpfr(1), dtype=object)
    right[:n] = kernel * abs(x[:, None] - t) ** 3 / 12
    right[n + 1] = t
    solution = solve(system, right)
    variance = -(solution * right).sum(axis=0)
    return rounded(solution[:n].T), rounded(variance / noise) if noise else None


def deal(rng, n_lines, n, kind="random"):
    """Lines on which n places lie in different orders."""
    gaps = {
        "random": rng.uniform(0.2, 2.0, (n_lines, n)),
        "even": np.ones((n_lines, n)),
        "clustered": 10.0 ** rng.choice([-7.0, -5.0, 0.0, 0.5], (n_lines, n)),
    }[kind]
    return np.stack([rng.permutation(np.cumsum(gap)) for gap in gaps]) - 3.0


def around(rng, knots):
    """Points at knots, between and beyond them, on each line."""
    low, high = knots.min(axis=1, keepdims=True), knots.max(axis=1, keepdims=True)
    span = high - low + 1.0
    anywhere = low - 0.3 * span + 1.6 * span * rng.random((len(knots), 6))
    beside = np.sort(knots, axis=1)
    between = beside[:, :-1] + 0.7 * np.diff(beside, axis=1)
    return np.concatenate([anywhere, knots[:, ::2], between, low - 50.0, high + 1e-9], axis=1)


def agree(found, expected, tolerance=EXACT, size=1.0):
    """Rows agree relative to their largest entry, at least to `size`."""
    scale = np.maximum(np.abs(expected).max(axis=1, keepdims=True), size)
    errors = np.abs(found - expected) / scale
    assert errors.max(initial=0.0) <= tolerance


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 7),
    lam=st.sampled_from(LAMS),
    kind=st.sampled_from(["random", "even", "clustered"]),
    weighted=st.booleans(),
)
def test_one_line_is_exact_in_every_regime(seed, n, lam, kind, weighted):
    rng = np.random.default_rng(seed)
    knots = deal(rng, 1, n, kind)
    points = around(rng, knots)
    weights = rng.integers(1, 5, n).astype(float) if weighted else np.ones(n)
    given_weights = weights if weighted else None
    matrix, variance = kriging(knots[0], points[0], lam=lam, weights=weights)
    agree(mean_matrix(knots, points, lam=lam, seen=1.0, weights=given_weights), matrix)
    if lam > 0.0:
        found = posterior_variances(knots, points, lam=lam, weights=given_weights)
        np.testing.assert_allclose(found[0], variance, rtol=EXACT)
    if lam > 0.0 and n > 2:
        alone = left_out_variances(knots, lam=lam, weights=given_weights)
        matrix, precision = left_out_matrix(knots, lam=lam, weights=given_weights)
        for i in range(n):
            rest = np.arange(n) != i
            row, variance = kriging(knots[0, rest], knots[0, [i]], lam=lam, weights=weights[rest])
            agree(matrix[[i]][:, rest], row)
            assert matrix[i, i] == 0.0
            np.testing.assert_allclose(alone[0, i], variance[0], rtol=EXACT)
            np.testing.assert_allclose(1 / precision[i], variance[0] + 1 / weights[i], rtol=EXACT)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 40),
    n_lines=st.integers(1, 5),
    lam=st.sampled_from(LAMS),
    seen=st.sampled_from([1e-3, 1.0, 1e6]),
    kind=st.sampled_from(["random", "even", "clustered"]),
    beyond=st.sampled_from(["line", "constant"]),
)
def test_means_are_those_of_a_smoother_for_each_line(seed, n, n_lines, lam, seen, kind, beyond):
    rng = np.random.default_rng(seed)
    knots = deal(rng, n_lines, n, kind)
    points, weights = around(rng, knots), rng.integers(1, 5, n).astype(float)
    variances = posterior_variances(knots, points, lam=seen, weights=weights)
    expected = lines.variances(knots, points, seen, weights)
    if expected.max() < 1e8:  # else the oracle's 1e-18 for the weight of no answer tells something
        np.testing.assert_allclose(variances, expected, rtol=1e-9)
    shares = 1.0 / variances
    shares /= shares.sum(axis=0)
    found = mean_matrix(knots, points, lam=lam, seen=seen, weights=weights, beyond=beyond)
    each = [
        lines.mean_matrix(knots[[q]], points[[q]], shares[[q]], lam, weights, beyond)
        for q in range(n_lines)
    ]
    size = np.abs(each).max(axis=(0, 2))[:, None] + 1.0  # what cancels between lines
    agree(found, sum(each), EXACT, size)
    agree(found.sum(axis=1, keepdims=True), np.ones((len(found), 1)), EXACT, size)


@pytest.mark.parametrize("n", [300, 2000])
@pytest.mark.parametrize("lam", LAMS)
def test_long_lines_stay_exact(n, lam, rng):
    knots = deal(rng, 2, n, "clustered")
    points = around(rng, knots)[:, :20]
    shares = 1.0 / posterior_variances(knots, points, lam=1.0)
    shares /= shares.sum(axis=0)
    expected = lines.mean_matrix(knots, points, shares, lam)
    agree(mean_matrix(knots, points, lam=lam, seen=1.0), expected, n * 1e-14)


def test_interpolation_takes_a_value_at_a_knot_as_it_is(rng):
    knots = deal(rng, 3, 9)
    found = mean_matrix(knots, knots, lam=0.0, seen=1.0)
    np.testing.assert_allclose(found, np.eye(9), rtol=0, atol=1e-15)


def test_one_knot_tells_one_value_and_nothing_of_variances():
    knots, points = np.array([[0.5], [0.25]]), np.array([[0.5, 1.0], [0.5, 0.25]])
    assert mean_matrix(knots, points, lam=0.0, seen=1.0).tolist() == [[1.0], [1.0]]
    found = posterior_variances(knots, points, lam=2.0, weights=[4.0])
    assert found.tolist() == [[0.25, np.inf], [np.inf, 0.25]]


def test_units_do_not_matter(rng):
    knots, w = deal(rng, 2, 6), rng.uniform(0.5, 2.0, 6)
    points = around(rng, knots)
    for unit, top in ((1e-40, 1e60), (1e60, 1e-30)):
        lam = 0.3 * unit**3 * top
        found = mean_matrix(unit * knots, unit * points, lam=lam, seen=lam, weights=top * w)
        agree(found, mean_matrix(knots, points, lam=0.3, seen=0.3, weights=w), 1e-9)
        np.testing.assert_allclose(
            top * posterior_variances(unit * knots, unit * points, lam=lam, weights=top * w),
            posterior_variances(knots, points, lam=0.3, weights=w),
            rtol=1e-9,
        )


def test_many_threads_share_the_kernels(rng):
    problems = []
    for n in range(3, 40):
        knots = deal(rng, 4, n)
        problems.append((knots, around(rng, knots)))

    def work(problem):
        knots, points = problem
        parts = left_out_matrix(knots, lam=0.1)
        return mean_matrix(knots, points, lam=0.0, seen=0.1).tobytes() + parts[0].tobytes()

    alone = [work(problem) for problem in problems]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, problems * 10)) == alone * 10


def test_any_array_is_read_and_nothing_is_compiled_for_its_kind(rng):
    knots, points = deal(rng, 2, 5), deal(rng, 2, 3)
    expected = mean_matrix(knots, points, lam=0.5, seen=0.5)
    frozen = pickle.loads(pickle.dumps(knots))
    frozen.flags.writeable = False
    wide = np.asfortranarray(np.concatenate([knots, knots], axis=1))[:, :5]
    for other in (frozen, wide, knots.tolist()):
        assert np.array_equal(mean_matrix(other, points, lam=0.5, seen=0.5), expected)
    posterior_variances(np.arange(6, dtype=np.int32).reshape(2, 3), np.eye(2), lam=1)
    for kernel in (spline_lanes.variances, spline_lanes.mean_matrix):
        assert len(kernel.signatures) <= 1


KNOTS, POINTS = np.array([[0.0, 1.0, 2.0], [3.0, 1.0, 0.5]]), np.zeros((2, 4))
REFUSED = {
    "equal": (ValueError, r"knots\[1\] holds 0.5 twice", {"knots": [[0, 1, 2], [0.5, 1, 0.5]]}),
    "nan knot": (ValueError, r"knots\[0, 1\] = nan", {"knots": [[0, np.nan, 2], [0, 1, 2]]}),
    "inf knot": (ValueError, r"knots\[1, 2\] = inf", {"knots": [[0, 1, 2], [0, 1, np.inf]]}),
    "nan point": (ValueError, r"points\[1, 0\] = nan", {"points": [[0.0], [np.nan]]}),
    "one axis": (
        ValueError,
        r"knots must have one row a line, got shape \(3,\)",
        {"knots": KNOTS[0]},
    ),
    "none": (ValueError, r"at least 1 on each, got shape \(2, 0\)", {"knots": np.empty((2, 0))}),
    "no line": (ValueError, r"a line or more.* \(0, 3\)", {"knots": np.empty((0, 3))}),
    "lines": (ValueError, "points has 3 rows and knots have 2", {"points": np.zeros((3, 4))}),
    "words": (TypeError, "knots", {"knots": [["a", "b"]]}),
    "no noise": (ValueError, "seen must be > 0", {"seen": 0.0}),
    "negative lam": (ValueError, "lam must be >= 0", {"lam": -1.0}),
    "nan lam": (ValueError, "seen must be >= 0", {"seen": np.nan}),
    "weights": (ValueError, "weights has 2 entries and there are 3 knots", {"weights": [1, 2]}),
    "no weight": (ValueError, r"weights\[1\] = 0", {"weights": [1.0, 0.0, 2.0]}),
    "far": (ValueError, "mean gap outside", {"knots": 1e200 * KNOTS}),
    "near": (ValueError, "lie closer than 1e-70", {"knots": [[0, 1e-80, 1.0], [0, 1, 2]]}),
    "light": (ValueError, "weights must not be below", {"weights": [1.0, 1e-150, 1.0]}),
    "beyond": (ValueError, 'must be "line" or "constant"', {"beyond": "zero"}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused(case):
    error, message, change = REFUSED[case]
    arguments = {"knots": KNOTS, "points": POINTS, "lam": 1.0, "seen": 1.0} | change
    with pytest.raises(error, match=message):
        mean_matrix(**arguments)


def test_what_is_left_out_needs_others():
    with pytest.raises(ValueError, match="at least 3 on each, got shape"):
        left_out_variances([[0.0, 1.0]], lam=1.0)
    with pytest.raises(ValueError, match="at least 3 on each, got shape"):
        left_out_matrix([[0.0, 1.0]], lam=1.0)
    with pytest.raises(ValueError, match="lam must be > 0"):
        posterior_variances(KNOTS, POINTS, lam=0.0)
