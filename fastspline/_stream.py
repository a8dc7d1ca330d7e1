"""`SplineStream`, a smoothing spline that grows at its end."""

from __future__ import annotations

import math
from typing import NoReturn, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline._arguments import check_lam
from fastspline._clock import Clock, read_first, read_points
from fastspline._kernels import append
from fastspline._kernels.state_space import N_COEFFICIENTS
from fastspline._smoother import smoother_from
from fastspline._solvers.choice import refuse_knots
from fastspline._spline import Spline
from fastspline.arrays import FloatArray, Restore, read_array, read_vector, require_finite

_NO_WEIGHTS = np.empty(0)
_LEAST_CAPACITY = 64


@final
class SplineStream:
    """A smoothing spline to which values at new knots are appended, without a full refit.

    After each append it stands for the natural cubic spline f that minimises, over all knots so
    far,

        ``sum(weights * (values - f(knots))**2) + lam * integral(f''**2)``,

    as `Smoother` does. An append costs O(k + lag) a column for k new knots, however many there are
    already: the newest fitted values are those of a full refit, to rounding; older ones are
    computed again, back to where they no longer change by more than about 1e-15 of the column's
    range. Where gaps and weights are even, the lag is a distance of about 60 times
    ``(lam * gap / weight)**(1/4)``, but some 36 knots at least; with lam so large that all knots
    count for the newest one, each append computes all again. A knot takes 200 bytes, and 50 a
    column.

    Use one from one thread at a time: `append` changes it.

    Parameters
    ----------
    lam : float
        In [0, inf]; see `Smoother`.

    Raises
    ------
    ValueError
        If lam is negative or NaN.
    TypeError
        If lam is not one number.

    References
    ----------
    C. F. Ansley and R. Kohn, "A geometrical derivation of the fixed interval smoothing algorithm",
    Biometrika 69 (1982); B. D. O. Anderson and J. B. Moore, "Optimal Filtering" (1979), section
    7.3, on fixed-lag smoothing.

    Examples
    --------
    >>> stream = SplineStream(lam=0.1)
    >>> stream.append([0.0, 1.0, 2.0], [0.0, 1.0, 0.0]).round(3)
    array([0.158, 0.684, 0.158])
    >>> stream.append(3.0, 1.0).round(3)  # one knot; all four fitted values change
    array([0.133, 0.6  , 0.4  , 0.867])
    >>> len(stream), float(stream.spline()(3.5).round(3))
    (4, 1.211)
    """

    _track: NDArray[np.float64]
    _co: NDArray[np.float64]
    _panels: NDArray[np.float64]
    _ranges: NDArray[np.float64]

    __slots__ = (
        "_clock", "_co", "_lam", "_panels", "_ranges", "_restore", "_totals", "_track", "_trailing",
    )  # fmt: skip

    def __init__(self, *, lam: float) -> None:
        self._lam = check_lam(lam)
        self._totals = np.zeros(append.N_TOTALS)
        self._totals[[append.UNIT, append.SHORTEST, append.LIGHTEST]] = 1.0, np.inf, np.inf
        self._trailing: tuple[int, ...] | None = None
        self._clock: Clock | None = None  # where knots are times
        self._restore = Restore(np.dtype(np.float64))
        self._make_room(0, 0)

    def _make_room(self, count: int, columns: int) -> None:
        """Allocate for `count` knots, and for as many again; keep what there is."""
        capacity = max(2 * count, _LEAST_CAPACITY)
        track = np.zeros((append.N_TRACKS, capacity))
        co = np.zeros((capacity, N_COEFFICIENTS))
        panels = np.zeros((append.N_PANELS, capacity, columns))
        ranges = np.zeros(columns)
        if len(self):
            kept = self._track.shape[1]
            track[:, :kept], co[:kept], panels[:, :kept] = self._track, self._co, self._panels
            ranges[:] = self._ranges
        self._track, self._co, self._panels, self._ranges = track, co, panels, ranges

    def __setstate__(self, state: tuple[None, dict[str, object]]) -> None:
        """Copy all arrays: a copied stream has its own, and unpickled ones may be read-only."""
        for name, part in state[1].items():
            setattr(self, name, np.array(part) if isinstance(part, np.ndarray) else part)

    def __len__(self) -> int:
        """Give the number of knots so far."""
        return int(self._totals[append.COUNT])

    def __repr__(self) -> str:
        """Tell size, columns and lam."""
        columns = 0 if self._trailing is None else math.prod(self._trailing)
        return f"SplineStream(n={len(self)}, columns={columns}, lam={self._lam:g})"

    @property
    def lam(self) -> float:
        """The smoothing parameter."""
        return self._lam

    @property
    def knots(self) -> NDArray[np.float64]:
        """A copy of the knots so far, shape (n,); of times their seconds."""
        return self._track[append.KNOT, : len(self)].copy()

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of their weights, shape (n,)."""
        return self._track[append.WEIGHT, : len(self)].copy()

    @property
    def values(self) -> FloatArray:
        """A copy of the fitted values, shape (n, ...); NaN until a knot has a positive weight."""
        return self._shaped(self._panels[append.FITTED, : len(self)])

    @property
    def slope(self) -> FloatArray:
        """The curve's slope at the newest knot and beyond, shape (...)."""
        active = int(self._totals[append.ACTIVE])
        shape = self._trailing or ()
        if active == 0:
            return self._restore(np.full(shape, np.nan))
        newest = self._panels[append.SLOPE, active - 1] / self._totals[append.UNIT]
        return self._restore(newest.reshape(shape))

    def append(
        self, knots: ArrayLike, values: ArrayLike, *, weights: ArrayLike | None = None
    ) -> FloatArray:
        """Append values at new knots; give the fitted values that this changes.

        Parameters
        ----------
        knots : array_like, shape (k,), or a number
            Ascending, and beyond all knots so far. Times are counted as in `Smoother`; the first
            append decides, and times of its kind, or seconds, follow.
        values : array_like, shape (k, ...), or (...) for a number
            The first append decides for all on the trailing axes, each entry a column, and on the
            kind and floating dtype of results. Absolute values up to 1e200.
        weights : array_like, shape (k,), or a number, optional
            Not negative; default ones. Values of weight 0 are not looked at (they may be NaN):
            there the spline is only evaluated.

        Returns
        -------
        array, shape (r, ...)
            Fitted values at the last r knots, the k new ones among them. ``stream.values[:-r]``
            stays as it was.

        Raises
        ------
        ValueError
            If knots are not finite and ascending beyond the last one, if weights are negative or
            not finite, if values that count are not finite, or if shapes do not fit. The stream is
            then as before.
        TypeError
            If an argument does not hold real numbers, or knots are not of the kind of those so far.
        """
        at, clock = self._read_knots(knots)
        array, restore = read_array(values, "values")
        if at.ndim == 0:
            at, array = at.reshape(1), array[np.newaxis]
        places = read_vector(at, "knots")
        k = places.size
        trailing = self._check_shape(array.shape, k)
        given = _NO_WEIGHTS if weights is None else _read_weights(weights, k)
        if k == 0:
            return restore(array)
        count, columns = len(self), math.prod(trailing)
        y = np.array(array.reshape(k, columns), np.float64, order="C")
        if count + k > self._track.shape[1] or columns != self._ranges.size:
            self._make_room(count + k, columns)
        state = self._totals, self._track, self._co, self._panels, self._ranges
        fault, index = append.append_knots(self._lam, *state, places, y, given)
        if fault < 0:
            self._refuse(fault, index, places, array, given)
        if self._trailing is None:
            self._trailing, self._restore, self._clock = trailing, restore, clock
        return self._shaped(self._panels[append.FITTED, index : count + k])

    def spline(self) -> Spline:
        """Give the curve over all knots so far: a full fit, O(n), and independent of the stream.

        Raises
        ------
        ValueError
            If no knot has a positive weight.
        """
        active = int(self._totals[append.ACTIVE])
        if active == 0:
            raise ValueError(
                "there is no point to fit; append at least one knot with a positive weight"
            )
        data = np.zeros((len(self), self._ranges.size))
        data[self._track[append.PLACE, :active].astype(np.int64)] = self._panels[append.Y, :active]
        weights = self.weights
        own = None if (weights == 1.0).all() else weights
        plan = smoother_from(self.knots, self._lam, own, "natural", None, self._clock)
        return plan.fit(self._shaped(data))

    def _read_knots(self, knots: ArrayLike) -> tuple[FloatArray, Clock | None]:
        """Give new knots as numbers, and the clock that counts them if they are times."""
        if self._trailing is None:
            return read_first(knots)
        return read_points(knots, self._clock, "knots"), self._clock

    def _shaped(self, columns: NDArray[np.float64]) -> FloatArray:
        """Copy (rows, columns) into the shape and kind of the values given."""
        return self._restore(columns.reshape(len(columns), *(self._trailing or ())).copy())

    def _check_shape(self, shape: tuple[int, ...], k: int) -> tuple[int, ...]:
        """Give the lengths of the trailing axes, which all appends share."""
        if shape[:1] != (k,):
            raise ValueError(
                f"values has shape {shape} and {k} new knots need {k} values along axis 0"
            )
        if self._trailing is not None and shape[1:] != self._trailing:
            raise ValueError(
                f"values at a knot have shape {shape[1:]}, and those so far {self._trailing}: the "
                "first append fixes the columns; begin another stream for others"
            )
        return shape[1:]

    def _refuse(
        self,
        fault: int,
        index: int,
        knots: NDArray[np.float64],
        values: FloatArray,
        weights: NDArray[np.float64],
    ) -> NoReturn:
        """Raise for the new knot at `index`."""
        if fault == append.BAD_KNOT:
            require_finite(knots, "knots")
            if index == 0:
                last = self._track[append.KNOT, len(self) - 1]
                raise ValueError(
                    f"knots must go on beyond the last one, {last}, but knots[0] = {knots[0]}; "
                    "fit all knots at once with smooth_spline where they do not come in order"
                )
            refuse_knots(knots, index)
        if fault == append.BAD_WEIGHT:
            require_finite(weights, "weights")
            raise ValueError(
                f"weights must be >= 0, but weights[{index}] = {weights[index]}; "
                "a weight of 0 drops a point"
            )
        if fault == append.BAD_VALUE:
            row = values[index : index + 1]
            place = int(np.argmin(np.abs(row) <= append.LARGEST_VALUE))
            rest = [int(i) for i in np.unravel_index(place, row.shape)][1:]
            text = ", ".join(str(i) for i in [index, *rest])
            raise ValueError(
                f"values must be finite and at most {append.LARGEST_VALUE:g} in magnitude, but "
                f"values[{text}] = {row.flat[place]}; drop the point, or give it weight 0"
            )
        if fault == append.BAD_RATIO:
            raise ValueError(
                f"weights may differ by a factor of {append.LARGEST_WEIGHT_RATIO:g}, but "
                f"weights[{index}] = {weights[index]:g} goes beyond; a weight of 0 drops a point"
            )
        raise ValueError(
            f"gaps between knots may lie in [{append.LEAST_GAP:g}, {append.LARGEST_GAP:g}] and "
            f"differ by a factor of {append.LARGEST_GAP_RATIO:g}, but the gap before "
            f"knots[{index}] = {knots[index]} goes beyond; measure knots in another unit, merge "
            "close ones"
        )


def _read_weights(weights: ArrayLike, k: int) -> NDArray[np.float64]:
    """Give the weights of k new knots as a vector; one knot's may be a number."""
    array, _ = read_array(weights, "weights")
    read = read_vector(array.reshape(1) if array.ndim == 0 else array, "weights")
    if read.size != k:
        raise ValueError(
            f"weights has {read.size} entries and there are {k} new knots; give one weight a knot"
        )
    return read
