"""smooth_grid against csaps' grid and against Kronecker products of exact matrices."""

import tracemalloc
from functools import reduce

import numpy as np
import pandas as pd
import pytest
import torch
from csaps import NdGridCubicSmoothingSpline
from scipy.optimize import brentq, minimize, minimize_scalar

from fastspline import DegreesOfFreedom, Smoother, lam_for_df, smooth_grid
from tests.oracles.raw import RawFit
from tests.oracles.splines import ExactSmoother, rounded
from tests.support.strategies import make_knots

LAYOUTS = [
    ((7,), ()),
    ((7,), (3,)),
    ((6, 9), ()),
    ((6, 9), (2, 3)),
    ((4, 5, 6), ()),
    ((1, 2, 5), (2,)),
]


def apply_kronecker(knots, lams, weights, values):
    """The tensor product smoother as one matrix, from 100 digits."""
    matrices = [
        rounded(ExactSmoother(x, lam=lam, weights=w).matrix(x))
        for x, lam, w in zip(knots, lams, weights, strict=True)
    ]
    whole = reduce(np.kron, matrices)
    return (whole @ values.reshape(whole.shape[1], -1)).reshape(values.shape)


def make_grid(sizes, rng, *, weighted):
    kinds = ["random", "uniform", "chebyshev"]
    knots = [make_knots(kind, n) for kind, n in zip(kinds, sizes, strict=False)]
    weights = [rng.uniform(0.2, 5.0, n) if weighted else None for n in sizes]
    return knots, weights


@pytest.mark.parametrize(("grid", "trailing"), LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_equals_kronecker_product(grid, trailing, weighted, rng):
    knots, weights = make_grid(grid, rng, weighted=weighted)
    lams = [1e-3, 0.0, 0.2][: len(grid)]
    values = rng.standard_normal(grid + trailing)
    result = smooth_grid(knots, values, lam=lams, weights_by_axis=weights)
    expected = apply_kronecker(knots, lams, weights, values)
    assert result.shape == values.shape
    assert result.dtype == np.float64
    assert result.flags.c_contiguous
    assert np.abs(result - expected).max() <= 1e-13 * np.abs(values).max()


@pytest.mark.parametrize("grid", [(12, 9), (8, 7, 10)])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_equals_csaps(grid, weighted, rng):
    knots, weights = make_grid(grid, rng, weighted=weighted)
    p = np.array([0.9, 0.99, 0.5][: len(grid)])
    values = rng.standard_normal(grid)
    csaps = NdGridCubicSmoothingSpline(
        knots, values, weights if weighted else None, smooth=p.tolist()
    )
    result = smooth_grid(knots, values, lam=(1 - p) / p, weights_by_axis=weights)
    np.testing.assert_allclose(result, csaps(knots), rtol=0, atol=1e-11)


def test_one_lam_serves_all_axes(rng):
    knots, _ = make_grid((6, 9), rng, weighted=False)
    values = rng.standard_normal((6, 9))
    for lam in (0.5, np.float32(0.5), np.array(0.5)):
        np.testing.assert_array_equal(
            smooth_grid(knots, values, lam=lam), smooth_grid(knots, values, lam=(0.5, 0.5))
        )
    np.testing.assert_allclose(smooth_grid(knots, values, lam=0.0), values, rtol=0, atol=1e-15)


@pytest.mark.parametrize("lam", [1e-4, 1.0, np.inf])
def test_planes_are_kept(lam):
    x, y = make_knots("random", 30), make_knots("clustered", 20)
    plane = 3.0 - x[:, np.newaxis] + 0.5 * y + 2.0 * x[:, np.newaxis] * y
    result = smooth_grid([x, y], plane, lam=lam)
    assert np.abs(result - plane).max() <= 1e-13 * np.abs(plane).max()


@pytest.mark.parametrize("axis", [0, 1])
def test_values_of_weight_0_are_not_looked_at(axis, rng):
    knots, weights = make_grid((6, 9), rng, weighted=True)
    weights[axis][[0, 3]] = 0.0
    values = rng.standard_normal((6, 9, 2))
    spoilt = values.copy()
    np.moveaxis(spoilt, axis, 0)[[0, 3]] = np.nan
    result = smooth_grid(knots, spoilt, lam=1e-2, weights_by_axis=weights)
    other = smooth_grid(knots, values, lam=1e-2, weights_by_axis=weights)
    np.testing.assert_array_equal(result, other)
    steps = [
        Smoother(x, lam=1e-2, weights=w).operator(x) for x, w in zip(knots, weights, strict=True)
    ]
    expected = steps[1](steps[0](values), axis=1)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)
    assert np.isnan(spoilt).sum() == 2 * 2 * spoilt.shape[1 - axis]


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, ">f4", ">f8", np.int16, np.bool_]
)
def test_dtypes(dtype, rng):
    knots, _ = make_grid((6, 9), rng, weighted=False)
    values = (4 * rng.standard_normal((6, 9, 2))).astype(dtype)
    result = smooth_grid(knots, values, lam=1e-3)
    kept = values.dtype.kind == "f"
    assert result.dtype == (values.dtype.newbyteorder("=") if kept else np.float64)
    expected = apply_kronecker(knots, [1e-3] * 2, [None] * 2, values.astype(float))
    assert np.abs(result - expected).max() <= 8 * np.finfo(result.dtype).eps * np.abs(values).max()


def test_kinds(rng):
    (x, y), _ = make_grid((6, 9), rng, weighted=False)
    values = rng.standard_normal((6, 9))
    expected = smooth_grid([x, y], values, lam=1e-3)
    tensor = torch.from_numpy(values.astype(np.float32))
    result = smooth_grid([torch.from_numpy(x), y], tensor, lam=1e-3)
    assert isinstance(result, torch.Tensor)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-6)
    frame = pd.DataFrame(values, index=x, columns=y)
    for given in (values.tolist(), frame, np.asfortranarray(values), values[::-1][::-1]):
        result = smooth_grid((pd.Series(x), frame.columns), given, lam=1e-3)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("trailing", [(), (3,)])
def test_one_array_beside_the_result_and_no_more(trailing, rng):
    knots = [np.arange(64.0), np.arange(80.0), np.arange(48.0)]
    values = rng.standard_normal((64, 80, 48, *trailing))
    before = values.copy()
    smooth_grid(knots, values, lam=1.0)
    tracemalloc.start()
    try:
        smooth_grid(knots, values, lam=1.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 2.5 * values.nbytes  # the half: blocks, and whether values are finite
    np.testing.assert_array_equal(values, before)


def test_no_column():
    assert smooth_grid([[0.0, 1.0]], np.empty((2, 0)), lam=1.0).shape == (2, 0)
    assert smooth_grid([[0.0, 1.0], [2.0]], np.ones((2, 1)), lam=1.0).tolist() == [[1.0], [1.0]]


def hats(knots, lams, weights):
    return [
        rounded(ExactSmoother(x, lam=lam, weights=w).matrix(x))
        for x, lam, w in zip(knots, lams, weights, strict=True)
    ]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_points_elsewhere(weighted, rng):
    knots, weights = make_grid((6, 5), rng, weighted=weighted)
    values, lams = rng.standard_normal((6, 5, 2)), [1e-2, 0.3]
    points = [np.array([0.7, -0.5, 3.0]), rng.uniform(0.0, 1.0, 7)]
    found = smooth_grid(knots, values, lam=lams, weights_by_axis=weights, points_by_axis=points)
    first, second = (
        rounded(ExactSmoother(x, lam=lam, weights=w).matrix(place))
        for x, lam, w, place in zip(knots, lams, weights, points, strict=True)
    )
    expected = np.einsum("ai,bj,ijk->abk", first, second, values)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(first).sum())


def test_degrees_of_freedom_of_each_axis(rng):
    knots, weights = make_grid((8, 7), rng, weighted=True)
    values = rng.standard_normal((8, 7))
    lams = [lam_for_df(knots[0], 4.0, weights=weights[0]), 0.2]
    np.testing.assert_array_equal(
        smooth_grid(knots, values, lam=[DegreesOfFreedom(4), 0.2], weights_by_axis=weights),
        smooth_grid(knots, values, lam=lams, weights_by_axis=weights),
    )


def grid_weights(knots, weights):
    pairs = zip(knots, weights, strict=True)
    return reduce(np.kron, [np.ones(len(x)) if w is None else w for x, w in pairs])


def grid_score(knots, lams, weights, values):
    """The robust score of the whole grid, from its dense matrix."""
    matrix = reduce(np.kron, hats(knots, lams, weights))
    w = grid_weights(knots, weights)
    y = values.reshape(w.size, -1)[w > 0.0]
    matrix, w = matrix[np.ix_(w > 0.0, w > 0.0)], w[w > 0.0]
    left_out = 1.0 - np.diag(matrix)
    n, rest = w.size, left_out.sum()
    rss = (w[:, None] * (y - matrix @ y) ** 2).sum()
    few = np.exp(15.0 * (left_out @ left_out) / rest**2)
    return n * rss / rest**2 * few * (n - rest) ** (5 / n)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("trailing", [(), (2,)])
def test_gcv_finds_the_least_score_of_the_grid(trailing, weighted, rng):
    knots, weights = make_grid((9, 7), rng, weighted=weighted)
    if weighted:
        weights[0][3] = 0.0
    surface = np.sin(4.0 * knots[0])[:, None] * np.exp(knots[1])
    values = surface.reshape(9, 7, *[1] * len(trailing)) + 0.3 * rng.standard_normal(
        (9, 7, *trailing)
    )
    found = smooth_grid(knots, values, lam="gcv", weights_by_axis=weights)
    places = np.linspace(-5.0, 2.0, 15)
    scores = {
        (a, b): grid_score(knots, [10.0**a, 10.0**b], weights, values)
        for a in places
        for b in places
    }
    best = min(scores, key=scores.get)
    assert -5.0 < best[0] < 2.0
    # Between the places of the coarse grid the score is that of lam that give what was found.
    lams = minimum_near(lambda two: grid_score(knots, 10.0**two, weights, values), best)
    expected = smooth_grid(knots, values, lam=10.0**lams, weights_by_axis=weights)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-3 * np.abs(values).max())


def minimum_near(score, start):
    return minimize(score, start, method="Nelder-Mead", options={"xatol": 1e-4}).x


def test_gcv_beside_a_lam_that_is_given(rng):
    knots, weights = make_grid((8, 6), rng, weighted=False)
    values = np.sin(4.0 * knots[0])[:, None] + 0.2 * rng.standard_normal((8, 6))
    found = smooth_grid(knots, values, lam=["gcv", 0.05])
    least = minimize_scalar(
        lambda place: grid_score(knots, [10.0**place, 0.05], weights, values), bounds=(-5.0, 2.0)
    )
    expected = smooth_grid(knots, values, lam=[10.0**least.x, 0.05])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(
        smooth_grid(knots, 1e-200 * values, lam=["gcv", 0.05]), 1e-200 * found, rtol=1e-9
    )


@pytest.mark.parametrize("lams", [[1e-3, 0.1], [0.0, 0.1], [10.0, np.inf]])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_missing_values_are_left_out_of_the_sum(weighted, lams, rng):
    knots, weights = make_grid((6, 7), rng, weighted=weighted)
    values = rng.standard_normal((6, 7, 2))
    values[2, 3:5] = values[0, 0, 1] = values[5, 6, 0] = np.nan
    found = smooth_grid(knots, values, lam=lams, weights_by_axis=weights, missing="omit")
    w = grid_weights(knots, weights)
    matrix = reduce(np.kron, hats(knots, lams, weights))
    for k in range(2):
        y = values[:, :, k].ravel()
        gone = np.isnan(y)
        # The fixed point f_m = S_mo y_o + S_mm f_m, solved densely.
        inner = np.eye(gone.sum()) - matrix[np.ix_(gone, gone)]
        y[gone] = np.linalg.solve(inner, matrix[np.ix_(gone, ~gone)] @ y[~gone])
        np.testing.assert_allclose(found[:, :, k].ravel(), matrix @ y, rtol=0, atol=1e-10)
        if lams[0] > 0.0 and np.isfinite(lams).all():  # it is the minimiser of what is told
            penalty = w[:, None] * (np.linalg.inv(matrix) - np.eye(w.size))
            kept = np.diag(np.where(gone, 0.0, w))
            least = np.linalg.solve(kept + penalty, kept @ y)
            np.testing.assert_allclose(found[:, :, k].ravel(), least, rtol=0, atol=1e-8)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_points_beside_missing_values_and_degrees_of_freedom(weighted, rng):
    # At the knots the surface is the minimiser over what is told: its penalty P makes the map of
    # complete values (W + P)^-1 W, a product of one a axis. Elsewhere it is what smoothing the
    # surface itself, P f = W (z - f), says of the values z.
    knots, weights = make_grid((7, 6), rng, weighted=weighted)
    values = np.sin(3.0 * knots[0])[:, None] * knots[1] + 0.2 * rng.standard_normal((7, 6))
    values[3, 2:4] = values[6, 5] = np.nan
    points = [rng.uniform(-0.2, 1.2, 4), rng.uniform(0.0, 1.0, 3)]
    found = smooth_grid(
        knots, values, lam=[DegreesOfFreedom(4), DegreesOfFreedom(3.5)],
        weights_by_axis=weights, points_by_axis=points, missing="omit",
    )  # fmt: skip
    own = [np.ones(x.size) if w is None else w for x, w in zip(knots, weights, strict=True)]
    lams = [
        10.0 ** brentq(lambda p, x=x, w=w, df=df: RawFit(
            x, x[:, None], lam=10.0**p, weights=w, digits=False).df - df, -9.0, 4.0, xtol=1e-13)
        for x, w, df in zip(knots, own, (4.0, 3.5), strict=True)
    ]  # fmt: skip
    matrix = reduce(np.kron, hats(knots, lams, weights))
    w, told = np.kron(*own), ~np.isnan(values.ravel())
    penalty = w[:, None] * (np.linalg.inv(matrix) - np.eye(w.size))
    kept = np.where(told, w, 0.0)
    surface = np.linalg.solve(np.diag(kept) + penalty, kept * np.where(told, values.ravel(), 0.0))
    completed = np.where(told, values.ravel(), surface)
    np.testing.assert_allclose(matrix @ completed, surface, rtol=0, atol=1e-9)
    elsewhere = [
        rounded(ExactSmoother(x, lam=lam, weights=w).matrix(place))
        for x, lam, w, place in zip(knots, lams, own, points, strict=True)
    ]
    expected = (np.kron(*elsewhere) @ completed).reshape(4, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_knots_of_weight_0_need_no_values(rng):
    knots, _ = make_grid((6, 7), rng, weighted=False)
    values, weights = rng.standard_normal((6, 7)), [np.ones(6), np.ones(7)]
    weights[0][2] = weights[1][0] = 0.0
    values[2] = values[4, 3] = np.nan
    found = smooth_grid(knots, values, lam=[0.0, 0.1], weights_by_axis=weights, missing="omit")
    assert np.isfinite(found).all()


def test_nothing_missing_changes_nothing(rng):
    knots, _ = make_grid((6, 7), rng, weighted=False)
    values = rng.standard_normal((6, 7)).astype(np.float32)
    plain = smooth_grid(knots, values, lam=0.1)
    np.testing.assert_array_equal(smooth_grid(knots, values, lam=0.1, missing="omit"), plain)
    values[1, 1] = np.nan
    assert smooth_grid(knots, values, lam=0.1, missing="omit").dtype == np.float32


X, Y = [0.0, 1.0, 2.0], [0.0, 1.0]
HOLE, EMPTY = np.array([[0.0, 1.0], [2.0, np.nan], [1.0, 0.0]]), np.ones((3, 2))
EMPTY[1] = np.nan
BAD = {
    "one vector": (ValueError, r"pass \[knots\]", {"knots_by_axis": np.arange(3.0)}),
    "no axis": (ValueError, "knots_by_axis is empty", {"knots_by_axis": []}),
    "shape": (ValueError, r"shape \(3, 2\).*\(2, 3\)", {"knots_by_axis": [Y, X]}),
    "too few axes": (ValueError, r"shape \(3,\)", {"values": [1.0, 2.0, 3.0]}),
    "descending": (ValueError, "of axis 1", {"knots_by_axis": [X, [1.0, 0.0]]}),
    "numbers": (ValueError, "of axis 0", {"knots_by_axis": [1.0, 2.0]}),
    "lam count": (ValueError, "lam has 3 entries", {"lam": [1.0, 2.0, 3.0]}),
    "lam sign": (ValueError, r"lam\[1\] must be >= 0", {"lam": [1.0, -2.0]}),
    "lam kind": (TypeError, "lam must be one number", {"lam": None}),
    "lam name": (ValueError, "\"gcv\" or DegreesOfFreedom.*got 'loo'", {"lam": [1.0, "loo"]}),
    "df": (ValueError, "df must lie", {"lam": DegreesOfFreedom(4)}),
    "missing": (ValueError, 'missing must be "raise" or "omit"', {"missing": "drop"}),
    "points count": (ValueError, "points_by_axis has 1 ", {"points_by_axis": [[1.0]]}),
    "gcv and nan": (
        ValueError,
        "needs all values",
        {"values": HOLE, "missing": "omit", "lam": "gcv"},
    ),
    "inf": (ValueError, "inf", {"values": HOLE + np.array([[np.inf, 0.0]]), "missing": "omit"}),
    "open": (ValueError, "do not tell", {"values": HOLE, "missing": "omit", "lam": 0.0}),
    "no line": (ValueError, "do not tell", {"values": EMPTY, "missing": "omit", "lam": [0.0, 1.0]}),
    "weights count": (ValueError, "weights_by_axis has 1 ", {"weights_by_axis": [[1.0] * 3]}),
    "weights length": (ValueError, "of axis 1", {"weights_by_axis": [None, [1.0] * 3]}),
    "nan": (ValueError, r"values\[1, 1\] = nan", {"values": [[0, 0], [0, np.nan], [0, 0]]}),
    "text": (TypeError, "real numbers", {"values": [["a", "b"]] * 3}),
    "masked": (TypeError, "masked", {"values": np.ma.masked_less(np.eye(3, 2), 0.5)}),
}


@pytest.mark.parametrize(("kind", "text", "arguments"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(kind, text, arguments):
    fine = {"knots_by_axis": [X, Y], "values": np.ones((3, 2)), "lam": 1.0}
    with pytest.raises(kind, match=text):
        smooth_grid(**{**fine, **arguments})
