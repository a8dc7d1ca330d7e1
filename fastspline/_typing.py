"""What type checkers are told: the shapes of values, and what is one number or one a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Never, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastspline.arrays import FloatArray

Vector: TypeAlias = NDArray[np.float64]

# What a type checker may know of values: overloads ask in this order. An array of unknown shape
# fits every shape, so that it must be asked for first: by one that no known shape fits.
UnknownShape: TypeAlias = np.ndarray[tuple[Never, Never, Never, Never], np.dtype[Any]]
# A column of complex numbers is two, and no `OneColumn`.
Real: TypeAlias = np.floating | np.integer | np.bool_
OneColumn: TypeAlias = Sequence[float] | np.ndarray[tuple[int], np.dtype[Real]]
SeveralColumns: TypeAlias = (
    Sequence[Sequence[float]] | np.ndarray[tuple[int, int, *tuple[int, ...]], np.dtype[Any]]
)
NumpyLike: TypeAlias = UnknownShape | OneColumn | SeveralColumns

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # the type checker's own: it knows defaults

    # Of a `Spline`: a float for one column, else an array; the same of what a plan decides; and the
    # arrays it gives, of which a type checker knows numpy's alone.
    EachColumn = TypeVar("EachColumn", bound=float | Vector, default=Any)
    EachPlan = TypeVar("EachPlan", bound=float | Vector, default=Any)
    Shaped = TypeVar("Shaped", default=FloatArray)
else:
    from typing import TypeVar

    EachColumn, EachPlan, Shaped = (TypeVar(name) for name in ("EachColumn", "EachPlan", "Shaped"))
