import inspect
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastspline import (
    Smoother,
    make_smoothing_spline,
    resample,
    select_lam,
    smooth_grid,
    smooth_spline,
)
from tests.support.strategies import make_knots, make_points, make_weights

N, COLUMNS = 30, 37
PLANS = {
    "interpolation": ("chebyshev", 0.0, "reinsch"),
    "mild": ("uniform", 1e-7, "reinsch"),
    "innovations": ("uniform", 1e6, "innovations"),
    "line": ("random", np.inf, "state-space"),
}


@pytest.fixture(params=PLANS.values(), ids=PLANS)
def operator(request):
    kind, lam, solver = request.param
    places = make_knots(kind, N)
    smoother = Smoother(places, lam=lam)
    assert solver in (None, smoother.solver)
    return smoother.operator(make_points(places))


def lay_out(values):
    """The same numbers in every layout that a caller may bring."""
    n, m = values.shape
    wide = np.empty((2 * n, 3 * m), values.dtype)
    wide[::2, ::3] = values
    raw = np.empty(values.nbytes + 1, np.uint8)
    shifted = raw[1:].view(values.dtype).reshape(values.shape)
    shifted[:] = values
    frozen = values.copy()
    frozen.flags.writeable = False
    padded = np.empty((n, m + 5), values.dtype)
    padded[:, 2:-3] = values
    yield "fortran", np.asfortranarray(values)
    yield "sliced", wide[::2, ::3]
    yield "padded", padded[:, 2:-3]
    yield "rows reversed", values[::-1].copy()[::-1]
    yield "columns reversed", values[:, ::-1].copy()[:, ::-1]
    yield "fortran reversed", np.asfortranarray(values[::-1])[::-1]
    yield "unaligned", shifted
    yield "read-only", frozen
    yield "other byte order", values.astype(values.dtype.newbyteorder())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layout_gives_the_same_bits(operator, dtype, rng):
    values = rng.standard_normal((N, COLUMNS)).astype(dtype)
    cotangent = rng.standard_normal((operator.shape[0], COLUMNS)).astype(dtype)
    expected, pulled = operator(values), operator.adjoint(cotangent)
    for name, laid_out in lay_out(values):
        actual = operator(laid_out)
        np.testing.assert_array_equal(actual, expected, err_msg=name)
        assert actual.dtype == expected.dtype == dtype
        np.testing.assert_array_equal(laid_out, values, err_msg=name)
    for name, laid_out in lay_out(cotangent):
        np.testing.assert_array_equal(operator.adjoint(laid_out), pulled, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layout_fits_the_same_spline(dtype, rng):
    places, values = make_knots("random", N), rng.standard_normal((N, 5)).astype(dtype)
    expected = smooth_spline(places, values, lam=1e-4)
    for name, laid_out in lay_out(values):
        spline = smooth_spline(places, laid_out, lam=1e-4)
        np.testing.assert_array_equal(spline.values, expected.values, err_msg=name)
        np.testing.assert_array_equal(spline(places, 1), expected(places, 1), err_msg=name)


@pytest.mark.parametrize("name", ["knots", "weights", "points"])
def test_every_layout_of_vectors(name, rng):
    plain = {
        "knots": make_knots("random", N),
        "weights": rng.uniform(1, 2, N),
        "points": rng.random(9),
    }
    values = rng.standard_normal((N, 3))

    def smooth(knots, weights, points):
        return Smoother(knots, lam=1e-3, weights=weights).operator(points)(values)

    expected = smooth(**plain)
    for layout, table in lay_out(plain[name][:, np.newaxis]):
        np.testing.assert_array_equal(
            smooth(**{**plain, name: table[:, 0]}), expected, err_msg=layout
        )
    np.testing.assert_array_equal(smooth(**{**plain, name: plain[name].tolist()}), expected)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.bool_])
def test_integers_become_float64(operator, dtype, rng):
    values = rng.integers(0, 2, (N, 4)).astype(dtype)
    result = operator(values)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, operator(values.astype(np.float64)))
    np.testing.assert_array_equal(operator(values.tolist()), result)


@pytest.mark.parametrize("count", [1, 5, 16, 37, 200])
def test_float32_is_float64_rounded(operator, count, rng):
    values = rng.standard_normal((N, count)).astype(np.float32)
    exact = operator(values.astype(np.float64))
    norm = np.abs(operator.dense()) @ np.abs(values.astype(np.float64))
    result = operator(values)
    assert result.dtype == np.float32
    assert (np.abs(result - exact) <= 4 * np.finfo(np.float32).eps * norm).all()
    cotangent = rng.standard_normal((operator.shape[0], count)).astype(np.float32)
    exact = operator.adjoint(cotangent.astype(np.float64))
    norm = np.abs(operator.dense()).T @ np.abs(cotangent.astype(np.float64))
    result = operator.adjoint(cotangent)
    assert result.dtype == np.float32
    assert (np.abs(result - exact) <= 4 * np.finfo(np.float32).eps * norm.max()).all()


def test_float32_keeps_its_dtype_in_a_spline(rng):
    places, values = make_knots("random", N), rng.standard_normal((N, 3)).astype(np.float32)
    spline, exact = (
        smooth_spline(places, v, lam=1e-3) for v in (values, values.astype(np.float64))
    )
    assert spline.values.dtype == spline(places).dtype == np.float32
    eps = np.finfo(np.float32).eps
    for nu in range(4):
        expected = exact(places, nu)
        # The float32 spline is a rounding of the float64 one: values first, derivatives from them.
        bound = 4 * eps if nu == 0 else 20 * eps
        assert np.abs(spline(places, nu) - expected).max() <= bound * np.abs(expected).max()


def test_float16_comes_back_as_float16(operator, rng):
    values = (0.01 * rng.standard_normal((N, 4))).astype(np.float16)
    result = operator(values)
    assert result.dtype == np.float16
    np.testing.assert_array_equal(result, operator(values.astype(np.float32)).astype(np.float16))
    assert operator.adjoint(np.ones((operator.shape[0], 2), np.float16)).dtype == np.float16


@pytest.mark.parametrize("into", [None, np.empty((3, 1), np.float16)], ids=["new", "out"])
def test_results_beyond_float16_are_refused(into):
    values = np.array([[60000], [60000], [-60000], [60000], [60000]], np.float16)
    operator = Smoother(np.arange(5.0), lam=0.0).operator([1.5, 3.0, 9.0])
    with pytest.raises(ValueError, match="overflows float16; pass float32"):
        operator(values, out=into)


# --- axes and shapes -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (1, 2, 1, 3), (0,), (2, 0, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_axis(operator, shape, dtype, rng):
    m = operator.shape[0]
    values = rng.standard_normal((N, *shape)).astype(dtype)
    flat = operator(values.reshape(N, int(np.prod(shape))))
    expected = flat.reshape(m, *shape)
    cotangent = rng.standard_normal((m, *shape)).astype(dtype)
    pulled = operator.adjoint(cotangent.reshape(m, int(np.prod(shape)))).reshape(N, *shape)
    for axis in range(-values.ndim, values.ndim):
        moved = np.moveaxis(values, 0, axis)
        for laid_out in (moved, np.ascontiguousarray(moved)):
            result = operator(laid_out, axis=axis)
            np.testing.assert_array_equal(result, np.moveaxis(expected, 0, axis))
        result = operator.adjoint(np.moveaxis(cotangent, 0, axis), axis=axis)
        np.testing.assert_array_equal(result, np.moveaxis(pulled, 0, axis))


def test_no_points(rng):
    operator = Smoother(make_knots("random", N), lam=0.1).operator([])
    assert operator.shape == (0, N)
    assert operator(rng.standard_normal((N, 3))).shape == (0, 3)
    assert operator.dense().shape == (0, N)
    np.testing.assert_array_equal(operator.adjoint(np.empty((0, 3))), np.zeros((N, 3)))


# --- out -----------------------------------------------------------------------------------------


def lay_out_empty(shape, dtype):
    n, m = shape
    yield "C", np.full(shape, np.nan, dtype)
    yield "fortran", np.full(shape, np.nan, dtype, order="F")
    yield "sliced", np.full((2 * n, 3 * m), np.nan, dtype)[::2, ::3]
    yield "padded", np.full((n, m + 7), np.nan, dtype)[:, 3:-4]
    yield "reversed", np.full(shape, np.nan, dtype)[::-1, ::-1]
    yield (
        "unaligned",
        np.zeros(n * m * np.dtype(dtype).itemsize + 1, np.uint8)[1:].view(dtype).reshape(shape),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 3, COLUMNS, 300])
def test_out_is_written_and_returned(operator, dtype, count, rng):
    values = rng.standard_normal((N, count)).astype(dtype)
    expected = operator(values)
    for name, out in lay_out_empty((operator.shape[0], count), dtype):
        assert operator(values, out=out) is out, name
        np.testing.assert_array_equal(out, expected, err_msg=name)
    pulled = operator.adjoint(expected)
    for name, out in lay_out_empty((N, count), dtype):
        assert operator.adjoint(expected, out=out) is out, name
        np.testing.assert_array_equal(out, pulled, err_msg=name)


def test_out_of_one_column_and_along_an_axis(operator, rng):
    values = rng.standard_normal((2, N, 3))
    out = np.empty((2, operator.shape[0], 3))
    assert operator(values, axis=1, out=out) is out
    np.testing.assert_array_equal(out, operator(values, axis=1))
    out = np.empty(operator.shape[0])
    assert operator(values[0, :, 0], out=out) is out
    np.testing.assert_array_equal(out, operator(values[0, :, 0]))


@pytest.mark.parametrize("count", [1, 15, 64, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_outside_out_is_written(operator, count, dtype, rng):
    m = operator.shape[0]
    around = np.full((m + 2, count + 9), 77.0, dtype)
    operator(rng.standard_normal((N, count)).astype(dtype), out=around[1:-1, 4:-5])
    around[1:-1, 4:-5] = 77.0
    assert (around == 77.0).all()


@pytest.mark.parametrize(
    ("kind", "fragments", "out"),
    [
        (ValueError, ["out", "(3, 3)", "(2, 3)"], np.empty((3, 3))),
        (ValueError, ["out", "(2,)", "(2, 3)"], np.empty(2)),
        (ValueError, ["out", "(3, 2)", "(2, 3)"], np.empty((3, 2))),
        ((TypeError, ValueError), ["out", "float32", "float64"], np.empty((2, 3), np.float32)),
        ((TypeError, ValueError), ["out", "int64", "float64"], np.empty((2, 3), np.int64)),
        (TypeError, ["out", "list"], [[0.0] * 3] * 2),
    ],
    ids=["too many rows", "too few axes", "transposed", "float32", "int64", "list"],
)
def test_wrong_out_is_refused(kind, fragments, out):
    operator = Smoother([0.0, 1.0, 2.0, 3.0], lam=0.1).operator([0.5, 1.5])
    before = np.array(out)
    with pytest.raises(kind) as error:
        operator(np.ones((4, 3)), out=out)
    for fragment in fragments:
        assert fragment in str(error.value), str(error.value)
    np.testing.assert_array_equal(np.array(out), before)


def test_read_only_out_is_refused():
    operator = Smoother([0.0, 1.0, 2.0], lam=0.1).operator([0.5, 1.5])
    out = np.zeros((2, 3))
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"out"):
        operator(np.ones((3, 3)), out=out)
    assert (out == 0).all()


@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_out_that_overlaps_is_refused_or_right(shift, rng):
    """A view of the values as `out`: an error, or the right numbers; never wrong ones."""
    square = Smoother(make_knots("uniform", N), lam=1e-5).operator(make_knots("random", N))
    memory = rng.standard_normal((N + 2, 40))
    values, out = memory[1 : N + 1], memory[1 + shift : N + 1 + shift]
    expected = square(values.copy())
    try:
        square(values, out=out)
    except ValueError as error:
        assert "out" in str(error)  # noqa: PT017
    else:
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 1])
def test_no_copy_is_made_of_arrays_that_fit(dtype, axis, rng):
    shape = (N, 60_000) if axis == 0 else (1, N, 60_000)
    values = rng.standard_normal(shape).astype(dtype)
    operator = Smoother(make_knots("chebyshev", N), lam=0.0).operator(make_knots("uniform", N))
    out = np.empty_like(values)
    operator(values, axis=axis, out=out)
    tracemalloc.start()
    operator(values, axis=axis, out=out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.2 * values.nbytes


# --- torch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(N,), (N, 5), (N, 2, 3)])
def test_tensors_come_back_as_tensors(operator, dtype, shape):
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = (0.01 * noise).to(dtype)  # some plans extrapolate far: float16 ends at 65504
    result = operator(values)
    assert isinstance(result, torch.Tensor)
    assert result.dtype == dtype
    computed = values.float() if dtype == torch.float16 else values
    expected = torch.from_numpy(operator(computed.numpy())).to(dtype)
    assert torch.equal(result, expected)
    pulled = operator.adjoint(result)
    assert isinstance(pulled, torch.Tensor)
    assert pulled.dtype == dtype


def test_tensor_that_numpy_has_no_dtype_for_is_refused(operator):
    with pytest.raises(TypeError, match=r"values.*BFloat16.*float\(\)"):
        operator(torch.ones(N, dtype=torch.bfloat16))


def test_tensors_of_integers_and_strides(operator):
    integers = torch.arange(N * 4).reshape(4, N).T
    assert torch.equal(operator(integers), torch.from_numpy(operator(integers.numpy())))
    assert operator(integers).dtype == torch.float64


def test_tensor_that_needs_a_gradient_is_only_read(operator):
    values = torch.ones(N, 2, requires_grad=True)
    assert operator(values).shape == (operator.shape[0], 2)


def test_tensor_as_out(operator):
    values = torch.ones(N, 3, dtype=torch.float64)
    out = torch.empty(operator.shape[0], 3, dtype=torch.float64)
    assert operator(values, out=out) is out
    assert torch.equal(out, operator(values))


def test_curve_of_a_tensor_goes_to_a_process_without_torch():
    curve = smooth_spline(np.arange(5.0), torch.arange(5.0) ** 2, lam=0.1)
    program = f"import pickle; print(pickle.loads({pickle.dumps(curve)!r})(1.5))"
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120
    )
    assert told.stdout.strip() == str(curve(1.5))


# --- kinds of arrays, at every door --------------------------------------------------------------


def freeze(array):
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen


def in_pandas(array):
    """A Series or a DataFrame whose index is none of our business."""
    index = pd.date_range("2024-02-29", periods=len(array))
    return pd.Series(array, index) if array.ndim == 1 else pd.DataFrame(array, index)


KINDS = {
    "list": np.ndarray.tolist,
    "tuple of rows": tuple,
    "pandas": in_pandas,
    "pandas index": lambda array: pd.Index(array) if array.ndim == 1 else in_pandas(array),
    "torch": torch.from_numpy,
    "read-only": freeze,
    "big-endian": lambda array: array.astype(">f8"),
    "little-endian": lambda array: array.astype("<f8"),
}
DOORS = {
    "Smoother.fit": lambda knots, values, weights, points: Smoother(
        knots, lam=0.1, weights=weights
    ).fit(values)(points),
    "operator": lambda knots, values, weights, points: Smoother(
        knots, lam=0.1, weights=weights
    ).operator(points)(values),
    "adjoint": lambda points, values, knots: (
        Smoother(points, lam=0.1).operator(knots).adjoint(values)
    ),
    "smooth_spline": lambda knots, values, weights, points: smooth_spline(
        knots, values, weights=weights, lam=0.1
    )(points),
    "by gcv": lambda knots, values, weights, points: smooth_spline(knots, values, weights=weights)(
        points
    ),
    "make_smoothing_spline": lambda knots, values, weights: (
        make_smoothing_spline(knots, values, weights, 0.1).c
    ),
    "resample": lambda knots, values, weights, points: resample(
        knots, values, points, weights=weights, lam=0.1
    ),
    "select_lam": lambda knots, values, weights: select_lam(knots, values, weights=weights),
    "smooth_grid": lambda knots, values, weights: smooth_grid(
        [knots], values, lam=0.1, weights_by_axis=[weights]
    ),
}


def make_arrays(rng, columns=()):
    n = 60
    knots = np.cumsum(rng.uniform(0.5, 1.5, n))
    signal = np.sin(knots / 6).reshape(n, *[1] * len(columns))  # GCV has its optimum inside
    return {
        "knots": knots,
        "values": signal + 0.2 * rng.standard_normal((n, *columns)),
        "weights": rng.uniform(1.0, 2.0, n),
        "points": np.sort(rng.random(5)),
    }


def enter(door, arrays):
    """Call it with those of the arrays that it takes."""
    return door(**{name: arrays[name] for name in inspect.signature(door).parameters})


at_any_lam = pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")


@at_any_lam
@pytest.mark.parametrize("columns", [(), (3,)], ids=["column", "columns"])
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_goes_in_at_every_door(kind, door, columns, rng):
    arrays = make_arrays(rng, columns)
    before = {name: array.copy() for name, array in arrays.items()}
    result = enter(door, {name: kind(array) for name, array in arrays.items()})
    np.testing.assert_array_equal(np.asarray(result), enter(door, before))
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name])


@at_any_lam
@pytest.mark.parametrize(
    ("door", "name"),
    [
        pytest.param(door, name, id=f"{place}-{name}")
        for place, door in DOORS.items()
        for name in inspect.signature(door).parameters
    ],
)
def test_masked_entries_are_refused_at_every_door(door, name, rng):
    """A masked entry would be taken for a number; an array of which none is masked is one."""
    arrays = make_arrays(rng, (3,))
    unmasked = {**arrays, name: np.ma.asarray(arrays[name])}
    np.testing.assert_array_equal(enter(door, unmasked), enter(door, arrays))
    arrays[name] = np.ma.masked_array(arrays[name])
    arrays[name][1] = np.ma.masked
    with pytest.raises(TypeError, match=r"is a masked array, and \w+\[1(, 0)?\] is") as refused:
        enter(door, arrays)
    # Neither places nor weights may be NaN.
    others = str(refused.value).split()[0] in ("knots", "points", "x", "weights", "w")
    assert ("numpy.nan" not in str(refused.value)) == others


def test_what_is_said_of_masked_weights_helps():
    x = np.linspace(0.0, 1.0, 12)
    y, weights = np.cos(9.0 * x), np.ma.masked_array(np.ones(12), x > 0.95)
    with pytest.raises(TypeError, match=r"weights\.filled\(0\)"):
        smooth_spline(x, y, weights=weights, lam=0.1)
    without = smooth_spline(x[:-1], y[:-1], lam=0.1)
    mended = smooth_spline(x, y, weights=weights.filled(0), lam=0.1)
    np.testing.assert_allclose(mended(x), without(x), rtol=0.0, atol=1e-12)
    with pytest.raises(TypeError, match=r"w\[11\] is masked; leave masked points out: keep ~w\.m"):
        make_smoothing_spline(x, y, weights, lam=0.1)


NO_NUMBERS = {
    "strings": (np.array(["1.0"] * 12), "dtype <U3"),
    "complex": (np.ones(12, complex), "dtype complex128"),
    "objects": (np.array([None] * 12), "dtype object"),
    "pandas.NA": (pd.Series([1.0, pd.NA] * 6), "dtype object"),
    "dates": (pd.Series(pd.date_range("2024", periods=12)), "dtype datetime64"),
    "ragged": ([[1.0], [1.0, 2.0]] * 6, "ragged"),
}
TAKEN = {("values", "complex"), ("knots", "dates")}  # see test_containers and test_times


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in ("knots", "values", "weights", "points")
        for kind in NO_NUMBERS
        if (name, kind) not in TAKEN
    ],
)
def test_what_holds_no_real_numbers_is_refused(name, kind, rng):
    given, text = NO_NUMBERS[kind]
    with pytest.raises(TypeError, match=rf"{name} .*{text}"):
        enter(DOORS["operator"], {**make_arrays(rng), name: given})


def test_one_column_of_a_frame_and_all_of_them(rng):
    x, y, _, at = make_arrays(rng, (3,)).values()
    frame = pd.DataFrame(y, columns=["red", "green", "blue"], index=x)
    together = smooth_spline(frame.index, frame, lam=0.1)(at)
    assert together.shape == (5, 3)
    for j, name in enumerate(frame):
        alone = smooth_spline(frame.index, frame[name], lam=0.1)(at)
        np.testing.assert_array_equal(alone, together.iloc[:, j])


NUMBERS = [
    np.array(0.25),
    np.float32(0.25),
    torch.tensor(0.25),
    np.array(0.25, ">f8"),
    freeze(np.array(0.25)),
]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_zero_dimensional_arrays_are_numbers(number, rng):
    x, y, _, _ = make_arrays(rng).values()
    plan, spline = Smoother(x, lam=number), smooth_spline(x, y, lam=number)
    assert type(plan.lam) is float
    assert plan.lam == spline.lam == 0.25
    np.testing.assert_array_equal(
        make_smoothing_spline(x, y, lam=number).c, make_smoothing_spline(x, y, lam=0.25).c
    )
    assert spline(number).shape == ()
    assert spline(number) == spline([0.25])[0]


@pytest.mark.parametrize("number", [np.ma.masked, torch.tensor([0.25]), torch.tensor(1j)])
def test_other_arrays_are_no_lam(number):
    with pytest.raises(TypeError, match="lam must be one number"):
        Smoother([0.0, 1.0, 2.0], lam=number)


@pytest.mark.parametrize("name", ["knots", "values", "weights", "points"])
def test_a_single_number_is_no_array(name, rng):
    with pytest.raises(ValueError, match=name):
        enter(DOORS["operator"], {**make_arrays(rng), name: np.array(1.0)})


# --- random layouts ------------------------------------------------------------------------------


@given(
    st.integers(1, 6),
    st.lists(st.integers(0, 4), min_size=0, max_size=3),
    st.data(),
)
def test_any_shape_axis_and_order(n, trailing, data):
    axis = data.draw(st.integers(0, len(trailing)))
    shape = [*trailing[:axis], n, *trailing[axis:]]
    order = data.draw(st.permutations(range(len(shape))))
    values = (
        np.arange(float(np.prod(shape)))
        .reshape([shape[i] for i in order])
        .transpose(np.argsort(order))
    )
    assert values.shape == tuple(shape)
    operator = Smoother(np.arange(float(n)), lam=0.5, weights=make_weights("random", n)).operator(
        [0.3, 7.0, -1.0]
    )
    result = operator(values, axis=axis)
    expected = np.moveaxis(np.tensordot(operator.dense(), values, axes=(1, axis)), 0, axis)
    assert result.shape == expected.shape
    scale = np.abs(operator.dense()).sum() * max(values.size, 1)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13 * scale)
