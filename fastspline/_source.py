"""What the arrays of a fit came in: times as knots, labels beside the values, complex numbers."""

from __future__ import annotations

from typing import NamedTuple

from numpy.typing import ArrayLike

from fastspline._clock import Clock, read_points
from fastspline._labels import Labels, take_labels
from fastspline.arrays import (
    FloatArray,
    JoinParts,
    Restore,
    as_columns,
    read_numbers,
    split_parts,
)


class Source(NamedTuple):
    """The clock of knots that are times, and the labels of the values."""

    clock: Clock | None = None
    labels: Labels | None = None

    def read_points(self, points: ArrayLike, name: str = "points") -> FloatArray:
        """Give points as real numbers: times in seconds."""
        return read_points(points, self.clock, name)

    def label(
        self, result: FloatArray, axis: int, points: object = None, *, same_unit: bool = True
    ) -> FloatArray:
        """Give a result with the labels of the values, and `points` for those of the knots."""
        if self.labels is None:
            return result
        labelled: FloatArray = self.labels.put(result, axis, points, same_unit=same_unit)
        return labelled


NUMBERS = Source()  # knots are numbers, values bare arrays


class Columns(NamedTuple):
    """Values at knots as real (n, columns), where they stood, and what they came in."""

    columns: FloatArray
    place: tuple[tuple[int, ...], int]  # lengths of the other axes, and the axis of the knots
    restore: Restore
    labels: Labels | None


def read_columns(values: ArrayLike, n: int, axis: int | str) -> Columns:
    """Give values at n knots as columns; complex ones as two, along a last axis of their place.

    Raises
    ------
    ValueError
        If they have not n entries along `axis`.
    TypeError
        If they hold no numbers.
    """
    given = take_labels(values, "values")
    array, restore = read_numbers(given.numbers, "values")
    columns, trailing, axis = as_columns(array, n, given.find_axis(axis), "values", "knots")
    if array.dtype.kind == "c":
        columns, trailing = split_parts(columns).reshape(n, -1), (*trailing, 2)
        restore = JoinParts(restore.dtype, restore.device)
    return Columns(columns, (trailing, axis), restore, given.labels)


def read_cotangent(cotangent: ArrayLike, *, joined: bool) -> FloatArray:
    """Give a cotangent of a curve without labels, of complex (`joined`) values as two real ones.

    Raises
    ------
    TypeError
        If it holds no numbers, or real ones where values are complex, or the other way round.
    """
    array, _ = read_numbers(take_labels(cotangent, "cotangent").numbers, "cotangent")
    if joined and array.dtype.kind != "c":
        raise TypeError(
            f"cotangent holds real numbers (dtype {array.dtype}), and the curve is complex; give "
            "dL/d(real part) + 1j * dL/d(imaginary part)"
        )
    if array.dtype.kind != "c":
        return array
    if not joined:
        raise TypeError(
            f"cotangent holds complex numbers (dtype {array.dtype}), and the curve is real; give "
            "its real part"
        )
    return split_parts(array)
