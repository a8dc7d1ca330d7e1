"""smooth_grid against csaps' grid and against Kronecker products of exact matrices."""

import tracemalloc
from functools import reduce

import numpy as np
import pandas as pd
import pytest
import torch
from csaps import NdGridCubicSmoothingSpline

from fastspline import Smoother, smooth_grid
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


X, Y = [0.0, 1.0, 2.0], [0.0, 1.0]
BAD = {
    "one vector": (ValueError, r"pass \[knots\]", {"knots_by_axis": np.arange(3.0)}),
    "no axis": (ValueError, "knots_by_axis is empty", {"knots_by_axis": []}),
    "shape": (ValueError, r"shape \(3, 2\).*\(2, 3\)", {"knots_by_axis": [Y, X]}),
    "too few axes": (ValueError, r"shape \(3,\)", {"values": [1.0, 2.0, 3.0]}),
    "descending": (ValueError, "of axis 1", {"knots_by_axis": [X, [1.0, 0.0]]}),
    "numbers": (ValueError, "of axis 0", {"knots_by_axis": [1.0, 2.0]}),
    "lam count": (ValueError, "lam has 3 entries", {"lam": [1.0, 2.0, 3.0]}),
    "lam sign": (ValueError, r"lam\[1\] must be >= 0", {"lam": [1.0, -2.0]}),
    "lam kind": (TypeError, "lam must be one number", {"lam": "gcv"}),
    "weights count": (ValueError, "weights_by_axis has 1 ", {"weights_by_axis": [[1.0] * 3]}),
    "weights length": (ValueError, "of axis 1", {"weights_by_axis": [None, [1.0] * 3]}),
    "nan": (ValueError, r"values\[1, 1\] = nan", {"values": [[0, 0], [0, np.nan], [0, 0]]}),
    "complex": (TypeError, "real numbers", {"values": np.ones((3, 2), complex)}),
    "masked": (TypeError, "masked", {"values": np.ma.ones((3, 2))}),
}


@pytest.mark.parametrize(("kind", "text", "arguments"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(kind, text, arguments):
    fine = {"knots_by_axis": [X, Y], "values": np.ones((3, 2)), "lam": 1.0}
    with pytest.raises(kind, match=text):
        smooth_grid(**{**fine, **arguments})
