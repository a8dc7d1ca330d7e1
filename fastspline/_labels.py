"""What stands beside the numbers of a Series, DataFrame or DataArray, and goes back to results.

Neither pandas nor xarray is imported before a result is to be put into their containers.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline.arrays import FloatArray, as_numpy

Rows = NDArray[np.int64]


class Labels(Protocol):
    """A container without its numbers."""

    def find_axis(self, axis: int | str) -> int:
        """Give the axis that a dimension's name stands for; numbers as they are."""
        ...

    def put(self, result: FloatArray, axis: int, points: Any, *, same_unit: bool = True) -> Any:
        """Give a result in the caller's container, `points` in the place of `axis`.

        With points None the axis keeps its labels. Results that the container cannot hold, as
        pandas none of three axes, stay bare arrays.
        """
        ...

    def names(self, axis: int) -> list[str]:
        """Give names of columns along the one other axis than `axis`, or none."""
        ...

    def take(self, rows: Rows, axis: int) -> Labels:
        """Give those of some rows along `axis`, in their order."""
        ...


class Labelled:
    """Numbers and what stands beside them."""

    __slots__ = ("labels", "numbers")

    def __init__(self, numbers: ArrayLike, labels: Labels | None) -> None:
        self.numbers = numbers
        self.labels = labels

    def find_axis(self, axis: int | str) -> int:
        """Give an axis that may be a dimension's name as a number."""
        if self.labels is not None:
            return self.labels.find_axis(axis)
        return axis  # type: ignore[return-value]  # what is no number is refused later


def take_labels(values: ArrayLike, name: str) -> Labelled:
    """Give the numbers of a container that pandas, xarray or numpy.ma may have made, and its rest.

    Nullable columns of pandas become float64, with NaN for what is missing.

    Raises
    ------
    TypeError
        If columns of pandas hold no numbers.
    """
    if type(values) is np.ndarray:
        return Labelled(values, None)
    if isinstance(values, np.ma.MaskedArray):
        return Labelled(values, _MaskedLabels())
    given: Any = values
    pandas, xarray = sys.modules.get("pandas"), sys.modules.get("xarray")
    if pandas is not None and isinstance(given, pandas.Series):
        return Labelled(
            _numbers_of(given, [given.dtype], name), _SeriesLabels(given.index, given.name)
        )
    if pandas is not None and isinstance(given, pandas.DataFrame):
        labels = _FrameLabels(given.index, given.columns)
        return Labelled(_numbers_of(given, given.dtypes, name), labels)
    if xarray is not None and isinstance(given, xarray.DataArray):
        coords = given.coords.to_dataset().copy(deep=True)
        return Labelled(given.data, _ArrayLabels(given.dims, coords, given.name, dict(given.attrs)))
    return Labelled(values, None)


def in_order(given: Any, labels: Labels | None) -> Any:
    """Give an array of xarray with its dimensions in the order of those of the values."""
    dims, own = getattr(labels, "dims", ()), getattr(given, "dims", ())
    return given.transpose(*dims) if own != dims and set(own) == set(dims) else given


def keep_points(points: ArrayLike) -> Any:
    """Give what labels are made of later: points as they are now, or None for plain numbers."""
    if type(points) is np.ndarray and points.dtype == np.float64:
        return None
    pandas, xarray = sys.modules.get("pandas"), sys.modules.get("xarray")
    if pandas is not None and isinstance(points, pandas.Index | pandas.Series):
        return points.copy()
    if xarray is not None and isinstance(points, xarray.DataArray):
        return points.copy(deep=True)
    return np.array(as_numpy(points, "points")[0])


def _numbers_of(values: Any, dtypes: Any, name: str) -> Any:
    """Give a container of pandas as numpy reads it, nullable columns as float64."""
    if all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return values.to_numpy()
    try:
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        kinds = ", ".join(sorted({str(dtype) for dtype in dtypes}))
        raise TypeError(
            f"{name} must hold real numbers, got columns of {kinds}; "
            "leave the others out, values.select_dtypes('number') for example"
        ) from error


class _MaskedLabels:
    """A masked array of numpy, of which nothing is masked."""

    def find_axis(self, axis: int | str) -> int:
        return axis  # type: ignore[return-value]  # what is no number is refused later

    def put(self, result: FloatArray, axis: int, points: Any, *, same_unit: bool = True) -> Any:
        del axis, points, same_unit
        return np.ma.asarray(result)

    def names(self, axis: int) -> list[str]:
        del axis
        return []

    def take(self, rows: Rows, axis: int) -> Labels:
        del rows, axis
        return self


# Without what nobody calls: all that a dataclass can have takes four times as long to import.
@dataclass(eq=False, repr=False, slots=True)
class _SeriesLabels:
    """A Series: its index and its name."""

    index: Any
    name: Any

    def find_axis(self, axis: int | str) -> int:
        return axis  # type: ignore[return-value]

    def put(self, result: FloatArray, axis: int, points: Any, *, same_unit: bool = True) -> Any:
        del axis, same_unit
        if np.ndim(result) != 1:
            return result
        pandas = importlib.import_module("pandas")
        index = self.index if points is None else _index_of(points, self.index.name)
        return pandas.Series(result, index=index, name=self.name)

    def names(self, axis: int) -> list[str]:
        del axis
        return []

    def take(self, rows: Rows, axis: int) -> Labels:
        del axis
        return _SeriesLabels(self.index[rows], self.name)


@dataclass(eq=False, repr=False, slots=True)
class _FrameLabels:
    """A DataFrame: its index and its columns."""

    index: Any
    columns: Any

    def find_axis(self, axis: int | str) -> int:
        names: dict[int | str, int] = {"index": 0, "columns": 1}
        return names.get(axis, axis)  # type: ignore[arg-type]

    def put(self, result: FloatArray, axis: int, points: Any, *, same_unit: bool = True) -> Any:
        del same_unit
        pandas = importlib.import_module("pandas")
        axes = [self.index, self.columns]
        along = axes.pop(axis)
        if np.ndim(result) == 1:  # at one point
            return pandas.Series(result, index=axes[0])
        if np.ndim(result) != 2:
            return result
        axes.insert(axis, along if points is None else _index_of(points, along.name))
        return pandas.DataFrame(result, index=axes[0], columns=axes[1])

    def names(self, axis: int) -> list[str]:
        return [str(name) for name in (self.columns if axis == 0 else self.index)]

    def take(self, rows: Rows, axis: int) -> Labels:
        if axis == 0:
            return _FrameLabels(self.index[rows], self.columns)
        return _FrameLabels(self.index, self.columns[rows])


@dataclass(eq=False, repr=False, slots=True)
class _ArrayLabels:
    """A DataArray: its dimensions, coordinates, name and attributes."""

    dims: tuple[Any, ...]
    coords: Any  # a Dataset without variables
    name: Any
    attrs: dict[Any, Any]

    def find_axis(self, axis: int | str) -> int:
        if isinstance(axis, str):
            if axis not in self.dims:
                raise ValueError(f"axis must be a dimension of values, {self.dims}, got {axis!r}")
            return self.dims.index(axis)
        return axis

    def put(self, result: FloatArray, axis: int, points: Any, *, same_unit: bool = True) -> Any:
        xarray = importlib.import_module("xarray")
        attrs = self.attrs if same_unit else None
        along = self.dims[axis]
        if points is None:
            return xarray.DataArray(result, self.coords.coords, self.dims, self.name, attrs)
        kept = self.coords.drop_dims(along, errors="ignore")
        places, added = _coords_of(points, along)
        if np.ndim(result) != len(self.dims) - 1 + len(places):
            return result
        dims = (*self.dims[:axis], *places, *self.dims[axis + 1 :])
        made = xarray.DataArray(result, kept.coords, dims, self.name, attrs)
        return made.assign_coords(added)

    def names(self, axis: int) -> list[str]:
        others = [dim for i, dim in enumerate(self.dims) if i != axis]
        if len(others) != 1 or others[0] not in self.coords.indexes:
            return []
        return [str(name) for name in self.coords.indexes[others[0]]]

    def take(self, rows: Rows, axis: int) -> Labels:
        along = self.dims[axis]
        coords = self.coords.isel({along: rows}) if along in self.coords.dims else self.coords
        return _ArrayLabels(self.dims, coords, self.name, self.attrs)


def _index_of(points: Any, name: Any) -> Any:
    """Give points as an index of pandas."""
    pandas = importlib.import_module("pandas")
    if isinstance(points, pandas.Index):
        return points if points.name is not None else points.rename(name)
    own, array = getattr(points, "name", None), np.asarray(points)
    if array.dtype.kind == "f":  # pandas has no index of float16
        array = array.astype(np.float64)
    return pandas.Index(array, name=name if own is None else own)


def _coords_of(points: Any, along: Any) -> tuple[tuple[Any, ...], dict[Any, Any]]:
    """Give the dimensions of points, and coordinates: theirs, and `along` for their values."""
    xarray = importlib.import_module("xarray")
    if isinstance(points, xarray.DataArray):
        others = {name: coord for name, coord in points.coords.items() if name != along}
        return points.dims, {**others, along: (points.dims, points.data)}
    array: NDArray[Any] = np.asarray(points)
    places = (along,) if array.ndim == 1 else tuple(f"{along}_{i}" for i in range(array.ndim))
    return places, {along: (places, array)}
