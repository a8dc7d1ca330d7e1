"""Series, DataFrames, DataArrays, masked, complex, JAX and CuPy arrays: what goes in comes back."""

import pickle
import subprocess
import sys
import types

import jax
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from fastspline import Smoother, resample, select_lam, smooth_grid, smooth_spline

X = np.linspace(0.0, 3.0, 25)
Y = np.stack([np.sin(2.0 * X), np.cos(X), X**2], axis=1)
AT = [0.25, 1.0, 4.0]
WAYS = {  # from values at X to the curve at AT
    "resample": lambda values, **axis: resample(X, values, AT, lam=0.01, **axis),
    "operator": lambda values, **axis: Smoother(X, lam=0.01).operator(AT)(values, **axis),
    "fit": lambda values, **axis: Smoother(X, lam=0.01).fit(values, **axis)(AT),
    "smooth_spline": lambda values, **axis: smooth_spline(X, values, lam=0.01, **axis)(AT),
}
all_ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


# --- pandas --------------------------------------------------------------------------------------


@all_ways
def test_a_series_comes_back_with_its_name_and_the_points(way):
    result = way(pd.Series(Y[:, 0], index=pd.Index(X, name="x"), name="height"))
    pd.testing.assert_series_equal(
        result, pd.Series(way(Y[:, 0]), index=pd.Index(AT, name="x"), name="height")
    )


@all_ways
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_frame_comes_back_with_its_columns_and_the_points(way, dtype):
    columns = pd.Index(["a", "b", "a"], name="site")
    frame = pd.DataFrame(Y.astype(dtype), columns=columns)
    expected = pd.DataFrame(way(Y.astype(dtype)), index=AT, columns=columns)
    pd.testing.assert_frame_equal(way(frame), expected)
    assert (way(frame).dtypes == dtype).all()


@all_ways
@pytest.mark.parametrize("axis", [1, -1, "columns"])
def test_a_frame_whose_columns_are_the_knots(way, axis):
    frame = pd.DataFrame(Y.T, index=["a", "b", "c"], columns=X)
    expected = pd.DataFrame(way(Y).T, index=frame.index, columns=AT)
    pd.testing.assert_frame_equal(way(frame, axis=axis), expected)


def test_what_a_curve_of_a_frame_gives():
    frame = pd.DataFrame(Y, index=pd.Index(X + 100.0, name="x"), columns=["a", "b", "c"])
    curve, bare = smooth_spline(X, frame, lam=0.01), smooth_spline(X, Y, lam=0.01)
    for name in ("values", "second_derivatives"):
        expected = pd.DataFrame(getattr(bare, name), frame.index, frame.columns)
        pd.testing.assert_frame_equal(getattr(curve, name), expected)
    points = pd.Index(AT, name="other")
    for given, expected in (
        (curve(points, nu=1), bare(AT, nu=1)),
        (curve.std(points), bare.std(AT)),
        *zip(curve.interval(points), bare.interval(AT), strict=True),
    ):
        pd.testing.assert_frame_equal(given, pd.DataFrame(expected, points, frame.columns))
    pd.testing.assert_series_equal(curve(1.0), pd.Series(bare(1.0), frame.columns))
    assert type(curve([AT, AT])) is np.ndarray  # three axes
    pulled = curve.gradient(pd.DataFrame(np.ones((3, 3))), AT)
    expected = bare.gradient(np.ones((3, 3)), AT)
    pd.testing.assert_frame_equal(
        pulled.values, pd.DataFrame(expected.values, frame.index, frame.columns)
    )
    assert type(curve.df) is float
    assert type(curve.gcv) is np.ndarray


def test_an_operator_reads_frames_transposed_and_gathered():
    operator = Smoother(X, lam=0.01).operator(pd.Series(AT, name="t"), nu=1)
    index = pd.Index(AT, name="t")
    pd.testing.assert_frame_equal(operator(pd.DataFrame(Y)), pd.DataFrame(operator(Y), index))
    flipped = operator.gather(np.arange(24, -1, -1), 25)
    pd.testing.assert_frame_equal(
        pickle.loads(pickle.dumps(flipped))(pd.DataFrame(Y[::-1])), pd.DataFrame(operator(Y), index)
    )
    assert type(operator.adjoint(pd.DataFrame(np.ones((3, 2))))) is np.ndarray


def test_points_are_labels_as_they_were_when_they_were_given():
    points = np.array([1, 2])
    operator = Smoother(X, lam=0.01).operator(points)
    points[:] = 0
    assert operator(pd.Series(Y[:, 0])).index.tolist() == [1, 2]


def test_nullable_columns_have_missing_values():
    frame = pd.DataFrame({"a": Y[:, 0], "n": np.arange(25)}).convert_dtypes()
    frame.iloc[3, 0] = pd.NA
    bare = frame.to_numpy(float, na_value=np.nan)
    curve = smooth_spline(X, frame, lam=0.01, missing="omit")
    pd.testing.assert_frame_equal(
        curve(AT),
        pd.DataFrame(smooth_spline(X, bare, lam=0.01, missing="omit")(AT), AT, ["a", "n"]),
    )
    with pytest.raises(ValueError, match=r"values\[3, 0\] = nan"):
        smooth_spline(X, frame, lam=0.01)


def test_columns_without_numbers_are_refused():
    frame = pd.DataFrame({"a": Y[:, 0], "word": pd.array(["one"] * 25, dtype="string")})
    with pytest.raises(
        TypeError, match=r"values must hold real numbers, got columns of .*string.*select_dtypes"
    ):
        smooth_spline(X, frame)


def test_out_and_other_options_take_frames():
    frame = pd.DataFrame(Y)
    out = np.empty((3, 3))
    assert resample(X, frame, AT, out=out) is out
    np.testing.assert_array_equal(out, resample(X, Y, AT))
    assert select_lam(X, frame[2] + np.cos(99.0 * X**2)) > 0.0
    grid = smooth_grid([X, [0.0, 1.0, 2.0]], frame, lam=0.1)
    pd.testing.assert_frame_equal(grid, pd.DataFrame(smooth_grid([X, [0, 1, 2]], Y, lam=0.1)))


# --- xarray --------------------------------------------------------------------------------------


def cube():
    return xr.DataArray(
        np.stack([Y, 2.0 * Y, -Y, Y + 1.0], axis=0),
        dims=("station", "x", "band"),
        coords={
            "x": X,
            "band": ["r", "g", "b"],
            "height": ("station", [1.0, 2.0, 3.0, 4.0]),
            "quality": ("x", np.arange(25)),
            "run": 7,
        },
        name="flux",
        attrs={"units": "Jy"},
    )


@all_ways
@pytest.mark.parametrize("axis", [1, -2, "x"])
def test_an_array_comes_back_with_dimensions_coordinates_and_attributes(way, axis):
    given = cube()
    result = way(given, axis=axis)
    expected = xr.DataArray(
        way(given.values, axis=1),
        dims=given.dims,
        coords={"x": AT, "band": given.band, "height": given.height, "run": 7},
        name="flux",
        attrs={"units": "Jy"},
    )
    xr.testing.assert_identical(result, expected)


def test_what_a_curve_of_an_array_gives():
    given = cube()
    curve = smooth_spline(given.x, given, lam=0.01, axis="x")
    xr.testing.assert_identical(curve.values, given.copy(data=curve.values.values))
    assert curve(AT, nu=1).attrs == curve.second_derivatives.attrs == {}  # other units
    at_one = curve(1.0)
    assert at_one.dims == ("station", "band")
    assert at_one.x.item() == 1.0
    along = xr.DataArray([0.5, 2.0], dims="shot", coords={"shot": ["i", "j"]})
    at_shots = curve(along)
    assert at_shots.dims == ("station", "shot", "band")
    assert at_shots.shot.values.tolist() == ["i", "j"]
    assert at_shots.x.dims == ("shot",)
    np.testing.assert_array_equal(at_shots, curve([0.5, 2.0]))
    assert curve(np.ones((2, 5))).dims == ("station", "x_0", "x_1", "band")
    assert curve(AT).sel(x=1.0).equals(at_one)


def test_an_array_that_changes_later_leaves_the_labels_alone():
    given = cube()
    curve = smooth_spline(X, given, lam=0.01, axis="x")
    given["height"][:] = 0.0
    given.attrs["units"] = "mJy"
    assert curve(AT).height.values.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert curve(AT).attrs == {"units": "Jy"}


def test_an_array_without_coordinates_and_one_of_several_levels():
    bare = smooth_spline(X, xr.DataArray(Y), lam=0.01)(AT)
    assert bare.dims == ("dim_0", "dim_1")
    assert list(bare.coords) == ["dim_0"]
    stacked = cube().assign_coords(station=range(4)).stack(place=("station", "band"))
    result = smooth_spline(X, stacked, lam=0.01, axis="x")(AT)
    assert result.indexes["place"].equals(stacked.indexes["place"])
    at_one = result.sel(station=2, band="g")
    np.testing.assert_array_equal(at_one, smooth_spline(X, -Y[:, 1], lam=0.01)(AT))


def test_a_dimension_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"axis must be a dimension .*'station', 'x', 'band'.*'y'"):
        smooth_spline(X, cube(), axis="y")
    with pytest.raises(TypeError, match="axis must be an integer, got 'x'"):
        smooth_spline(X, Y, axis="x")


def test_a_grid_keeps_all_coordinates():
    image = cube()[0]
    knots = [X, [0.0, 1.0, 2.0]]
    smooth = smooth_grid(knots, image, lam=0.1)
    xr.testing.assert_identical(smooth, image.copy(data=smooth_grid(knots, image.values, lam=0.1)))


# --- masked arrays -------------------------------------------------------------------------------


@all_ways
def test_masked_arrays_of_which_nothing_is_masked(way):
    for mask in (np.ma.nomask, np.zeros(Y.shape, bool)):
        result = way(np.ma.MaskedArray(Y, mask))
        assert type(result) is np.ma.MaskedArray
        np.testing.assert_array_equal(result.data, way(Y))


# --- complex values ------------------------------------------------------------------------------

Z = Y - 1j * Y[:, [1, 2, 0]]


@all_ways
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_complex_values_are_their_parts(way, dtype, axis):
    values = np.moveaxis(Z.astype(dtype), 0, axis)
    for given in (values, np.asfortranarray(values), values.astype(np.dtype(dtype).newbyteorder())):
        result = way(given, axis=axis)
        assert result.dtype == dtype
        expected = way(values.real, axis=axis) + 1j * way(values.imag, axis=axis)
        np.testing.assert_array_equal(result, expected.astype(dtype))
    column = way(Z[:, 0])
    np.testing.assert_array_equal(column, way(Z[:, 0].real) + 1j * way(Z[:, 0].imag))


def test_what_a_complex_curve_gives():
    curve = smooth_spline(X, Z, lam=0.01)
    real, imaginary = smooth_spline(X, Z.real, lam=0.01), smooth_spline(X, Z.imag, lam=0.01)
    np.testing.assert_array_equal(curve.values, real.values + 1j * imaginary.values)
    np.testing.assert_array_equal(curve.gcv, np.stack([real.gcv, imaginary.gcv], axis=-1))
    assert curve.df == real.df
    for convert in ("to_ppoly", "to_bspline", "derivative", "antiderivative"):
        whole, parts = (
            getattr(curve, convert)(),
            [getattr(one, convert)() for one in (real, imaginary)],
        )
        np.testing.assert_allclose(whole(X), parts[0](X) + 1j * parts[1](X), rtol=1e-14)
    np.testing.assert_array_equal(
        curve.integrate(0.0, 2.0), real.integrate(0.0, 2.0) + 1j * imaginary.integrate(0.0, 2.0)
    )
    lower, upper = curve.interval(AT)
    np.testing.assert_array_equal(lower.imag, imaginary.interval(AT)[0])
    np.testing.assert_array_equal(upper.real, real.interval(AT)[1])
    pulled = curve.gradient(Z[:3], AT)
    expected = real.gradient(Z.real[:3], AT), imaginary.gradient(Z.imag[:3], AT)
    np.testing.assert_array_equal(pulled.values, expected[0].values + 1j * expected[1].values)
    assert pulled.lam == pytest.approx(expected[0].lam + expected[1].lam, rel=1e-12)
    np.testing.assert_array_equal(curve.roots()[0, 1], imaginary.roots()[0])


def test_cotangents_are_complex_where_curves_are():
    curve = smooth_spline(X, Z, lam=0.01)
    with pytest.raises(TypeError, match=r"and the curve is complex; give dL/d\(real part\) \+ 1j"):
        curve.gradient(Z.real)
    with pytest.raises(TypeError, match="and the curve is real; give its real part"):
        smooth_spline(X, Z.real, lam=0.01).gradient(Z)


def test_the_transpose_of_complex_values_is_that_of_their_parts(rng):
    operator = Smoother(X, lam=0.01).operator(AT)
    cotangent = rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4))
    np.testing.assert_array_equal(
        operator.adjoint(cotangent),
        operator.adjoint(cotangent.real) + 1j * operator.adjoint(cotangent.imag),
    )


@pytest.mark.parametrize("shape", [(25,), (25, 3)])
def test_complex_out_is_written_and_returned(shape):
    values = Z[:, 0] if len(shape) == 1 else Z
    expected = resample(X, values, AT)
    memory = np.empty((3, 7), complex)
    outs = (
        (memory[:, 2], memory[:, 1:4].copy()[:, 0])
        if len(shape) == 1
        else (
            memory[:, 1:4],
            np.empty((3, 3), complex),
            np.empty((3, 3), complex, order="F"),
        )
    )
    for out in outs:
        assert resample(X, values, AT, out=out) is out
        np.testing.assert_array_equal(out, expected)
    with pytest.raises(ValueError, match=r"dtype float64, needed are .* complex128"):
        resample(X, values, AT, out=np.empty(expected.shape))


def test_complex_values_that_are_not_finite_are_named():
    bad = Z.copy()
    bad[4, 2] = complex(0.0, np.nan)
    with pytest.raises(ValueError, match=r"values\[4, 2\]"):
        resample(X, bad, AT)
    with pytest.raises(ValueError, match=r"values\[4, 2"):
        smooth_spline(X, bad, lam=0.1)


def test_a_complex_grid_and_a_complex_frame():
    knots = [X, [0.0, 1.0, 2.0]]
    expected = smooth_grid(knots, Z.real, lam=0.1) + 1j * smooth_grid(knots, Z.imag, lam=0.1)
    np.testing.assert_array_equal(smooth_grid(knots, Z, lam=0.1), expected)
    frame = smooth_spline(X, pd.DataFrame(Z), lam=0.01)(AT)
    pd.testing.assert_frame_equal(frame, pd.DataFrame(smooth_spline(X, Z, lam=0.01)(AT), AT))


def test_a_conjugated_tensor_is_read():
    tensor = torch.from_numpy(Z).conj()
    result = resample(X, tensor, AT)
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.numpy(), resample(X, Z.conj(), AT))


# --- JAX and CuPy --------------------------------------------------------------------------------


@all_ways
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_arrays_of_jax_come_back_as_such(way, dtype):
    values = (Z if dtype == np.complex64 else Y).astype(dtype)
    result = way(jax.numpy.asarray(values))
    assert isinstance(result, jax.Array)
    assert result.dtype == dtype
    assert result.devices() == {jax.devices()[0]}
    np.testing.assert_array_equal(np.asarray(result), way(values))


def test_knots_points_and_weights_may_be_arrays_of_jax():
    x, at = jax.numpy.asarray(X, np.float32), jax.numpy.asarray(AT)
    result = resample(x, Y, at, weights=x + 1.0, lam=0.01)
    expected = resample(np.asarray(x), Y, AT, weights=np.asarray(x) + np.float32(1.0), lam=0.01)
    np.testing.assert_array_equal(result, expected)


def test_what_jax_traces_is_refused_and_goes_through_a_callback():
    operator = Smoother(X, lam=0.01).operator(AT)
    values = jax.numpy.asarray(Y, np.float32)
    with pytest.raises(TypeError, match=r"values is traced by JAX.*pure_callback"):
        jax.jit(operator)(values)
    shape = jax.ShapeDtypeStruct((3, 3), np.float32)
    result = jax.jit(lambda given: jax.pure_callback(operator, shape, given))(values)
    np.testing.assert_array_equal(np.asarray(result), operator(np.asarray(values)))


def test_an_array_of_cupy_is_copied_and_put_back(monkeypatch):
    """No GPU is needed to see that its two documented copies are called, on its own device."""
    used = []

    class Device:
        def __init__(self, number):
            self.id = number

        def __enter__(self):
            used.append(self.id)

        def __exit__(self, *_):
            used.append(None)

    class Array:
        def __init__(self, held):
            self.held, self.device = held, Device(used[-1])

        def get(self):
            return self.held

        def __array__(self, *_):
            raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    cupy = types.ModuleType("cupy")
    cupy.ndarray, cupy.asarray = Array, Array
    cupy.cuda = types.SimpleNamespace(Device=Device)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    used.append(3)
    values = Array(Y)
    used[:] = []
    result = resample(X, values, AT)
    assert type(result) is Array
    assert used == [3, None]
    assert result.device.id == 3
    np.testing.assert_array_equal(result.held, resample(X, Y, AT))


# --- none of them is imported --------------------------------------------------------------------


def test_none_is_imported_unless_given():
    program = (
        "import sys, numpy as np, fastspline as fs\n"
        "x = np.arange(9.0)\n"
        "for y in (x**2, x + 1j, np.ma.asarray(x), list(x)):\n"
        "    curve = fs.smooth_spline(x.astype('M8[h]'), y, lam=0.1)\n"
        "    curve(x), fs.resample(x, y, x)\n"
        "print(sorted({'pandas', 'xarray', 'torch', 'jax', 'cupy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert told.stdout.strip() == "[]"


# --- unsorted and equal knots --------------------------------------------------------------------


def in_containers():
    """Values with repeated knots in any order in each container, knots, and their axis."""
    order = np.random.default_rng(3).permutation(30)
    x = np.concatenate([X, X[[0, 3, 3, 7, 24]]])[order]
    y = np.concatenate([Y, Y[[0, 3, 3, 7, 24]] + 0.1])[order]
    dates = np.datetime64("2024-01-01") + (8 * x).astype("m8[h]")
    array = xr.DataArray(y.T, dims=("k", "x"), coords={"x": x, "place": ("x", np.arange(30))})
    return {
        "series": (pd.Series(y[:, 0], index=x), x, 0),
        "frame": (pd.DataFrame(y, index=dates, columns=list("abc")), dates, 0),
        "columns": (pd.DataFrame(y.T, columns=x), x, "columns"),
        "array": (array, array.x, "x"),
    }


@pytest.mark.parametrize("kind", in_containers())
def test_merged_values_have_the_labels_of_their_knots(kind):
    values, knots, axis = in_containers()[kind]
    curve = smooth_spline(knots, values, lam=1e-3, axis=axis, duplicates="merge")
    found = curve.values
    bare = smooth_spline(
        knots, np.asarray(values), lam=1e-3, axis=curve._place[1], duplicates="merge"
    )
    np.testing.assert_array_equal(np.asarray(found), bare.values)
    along = found.x if kind == "array" else found.columns if kind == "columns" else found.index
    np.testing.assert_array_equal(np.asarray(along), np.unique(np.asarray(knots)))
    assert type(found) is type(values) is type(curve.second_derivatives)
    np.testing.assert_allclose(np.asarray(curve(along)), np.asarray(found), atol=1e-9)
    if kind == "array":
        first = [int(np.flatnonzero(np.asarray(knots) == one)[0]) for one in np.unique(knots)]
        assert found.place.values.tolist() == first
    pulled = curve.gradient(
        curve(AT[:1] if kind != "frame" else along[:1]), AT[:1] if kind != "frame" else along[:1]
    )
    assert pulled.values.shape == found.shape


def test_weights_of_an_array_are_those_of_their_dimensions():
    values = xr.DataArray(Y[:3], dims=("x", "k"), coords={"x": X[:3]})
    weights = xr.DataArray(1.0 + np.arange(9.0).reshape(3, 3), dims=("x", "k"))
    curve = smooth_spline(values.x, values, lam=0.1, axis="x", weights=weights.T)
    own = smooth_spline(X[:3], Y[:3], lam=0.1, weights=weights.values)
    np.testing.assert_array_equal(curve.values.values, own.values)
