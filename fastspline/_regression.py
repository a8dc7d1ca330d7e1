"""`regression_spline`: a penalised spline with fewer knots than data."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

import numpy as np
from numpy.typing import ArrayLike

from fastspline._arguments import check_lam, check_nu, check_weights
from fastspline._clock import Clock, read_knots, read_points
from fastspline._fit import Noise, noise_by_squares
from fastspline._jet import Jet
from fastspline._posterior import student_factor
from fastspline._reduced import Reduced, Solution, check_count, require_determined, spread
from fastspline._search import minimise_score
from fastspline._solvers.tableau import ALL_ONE, Rows, Vector
from fastspline._source import Source, read_columns
from fastspline.arrays import (
    FloatArray,
    JoinParts,
    Restore,
    join_parts,
    read_array,
    read_only,
    refuse_values,
    require_finite,
)

if TYPE_CHECKING:
    from scipy.interpolate import BSpline

LEAST_SQUARED = 1e-8  # of n: the trace of (I - S)(I - S) is told to 1e-13


def regression_spline(
    sites: ArrayLike,
    values: ArrayLike,
    knots: int | ArrayLike,
    *,
    weights: ArrayLike | None = None,
    lam: float | ArrayLike | Literal["gcv"] = "gcv",
    axis: int | str = 0,
) -> RegressionSpline:
    """Fit a penalised regression spline: a smoothing spline with fewer knots than data.

    It is the cubic spline f with the given knots that minimises
    ``sum(weights * (values - f(sites))**2) + lam * integral(f''**2)``, the integral from the first
    to the last knot. O(n + knots) a column. With few knots lam = 0 is an ordinary least-squares
    spline; with a knot at each site it is the smoothing spline.

    Parameters
    ----------
    sites : array_like, shape (n,)
        Where the values lie, ascending; some may be equal. Times as in `Smoother`.
    values : array_like, shape (..., n, ...)
        Along `axis`; all other axes are independent columns.
    knots : int or array_like, shape (k,)
        How many of the different sites are knots, evenly spread by rank, the first and the last
        among them, as R's ``smooth.spline(nknots=)`` takes them; or the knots, strictly ascending,
        which no site of positive weight may lie outside of.
    weights : array_like, shape (n,), optional
        Not negative and not squared; default ones. Values of weight 0 are not looked at.
    lam : float, array_like or "gcv", optional
        In [0, inf]; also one a column; by default the minimiser of generalised cross-validation,
        for each column.
    axis : int, optional
        Axis of `values` that runs along the sites; of a DataArray also by name.

    Returns
    -------
    RegressionSpline

    Raises
    ------
    ValueError
        If sites do not ascend, knots do not ascend strictly or do not enclose the sites, lengths do
        not match, an entry is not finite, lam or a weight is negative, or if lam = 0 and the sites
        do not determine the curve (Schoenberg and Whitney).
    TypeError
        If an argument does not hold numbers.

    Notes
    -----
    Here nothing is sorted, merged or left out (`smooth_spline` has ``duplicates`` and ``missing``),
    and lam is chosen by GCV alone. Bands tell of curves with these knots: what lies between few of
    them and cannot be followed is not told, so that they are narrower than a smoothing spline's.

    References
    ----------
    F. O'Sullivan, "A statistical perspective on ill-posed inverse problems", Statist. Sci. 1
    (1986), 502-527. C. de Boor, "A Practical Guide to Splines" (2001), chapter XIV.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0.0, 1.0, 10_000)
    >>> curve = regression_spline(x, np.sin(9.0 * x), 20, lam=1e-9)
    >>> bool(abs(curve(x) - np.sin(9.0 * x)).max() < 1e-3), round(curve.df, 1)
    (True, 22.0)
    """
    x, clock = read_knots(sites, "sites")
    _check_ascending(x, "sites", strictly=False)
    w = np.ones(x.size) if weights is None else np.array(check_weights(weights, x.size, "sites"))
    seen = np.unique(x[w > 0.0])
    if seen.size < 2:
        raise ValueError("all values that count lie at one site; give values at two or more")
    places = _read_places(knots, seen, clock)
    if places[0] > seen[0] or places[-1] < seen[-1]:
        raise ValueError(
            f"knots reach from {places[0]} to {places[-1]} and sites from {seen[0]} to {seen[-1]}; "
            "sites of positive weight must not lie outside the knots"
        )
    read = read_columns(values, x.size, axis)
    data = read.columns.astype(np.float64)
    counts = np.flatnonzero(w)
    if not np.isfinite(data[counts]).all():
        refuse_values(data, counts, *read.place, 0, "drop such entries, or give them weight 0")
    reduced = Reduced(x, w, places, data)
    lams, one = _choose(reduced, lam, read.place[0])
    if lams.size and not lams.min() > 0.0:
        require_determined(seen, places)
    trailing = read.place[0]
    all_lams = float(lams[0]) if one else read_only(lams[: data.shape[1]].reshape(trailing))
    source = Source(clock, read.labels)
    return RegressionSpline(reduced, lams, all_lams, (read.place, read.restore, source))


class Part(NamedTuple):
    """Columns that share a lam, and their fit."""

    columns: Rows
    lam: float
    solution: Solution


@final
class RegressionSpline:
    """A fitted penalised regression spline: cubic between its knots, straight outside them.

    Made by `regression_spline`. Immutable; results are shaped as those of a `Spline`.

    Attributes
    ----------
    knots : ndarray, shape (k,)
    values, slopes, second_derivatives : ndarray of float64, shape (k, columns)
        Of the curve, at the knots.
    lam : float or ndarray
        One number, or one a column.
    df : float or ndarray
        Degrees of freedom, the trace of the map from values to fitted values.
    leverages : ndarray, shape (n,), or (n, columns) where each column has its own lam
        The diagonal of that map.
    gcv, residual_variance : float or ndarray
        One a column: ``n RSS / (n - df)**2`` and ``RSS / tr((I - S)**2)``, S the map from values to
        fitted values; see `Spline`.
    """

    __slots__ = ("_jet", "_lams", "_parts", "_place", "_reduced", "_restore", "_source", "lam")

    lam: float | Vector
    _reduced: Reduced
    _parts: tuple[Part, ...]
    _jet: Jet
    _lams: Vector
    _place: tuple[tuple[int, ...], int]
    _restore: Restore
    _source: Source

    def __init__(
        self,
        reduced: Reduced,
        lams: Vector,
        lam: float | Vector,
        origin: tuple[tuple[tuple[int, ...], int], Restore, Source],
    ) -> None:
        """Fit; users call `regression_spline`."""
        columns = reduced.rest.size
        jet = np.empty((3, reduced.knots.size, columns))
        parts = []
        for one in np.unique(lams).tolist():
            mine = np.flatnonzero(lams[:columns] == one)
            solution = reduced.solve(one, mine)
            jet[:, :, mine] = solution[:3]
            parts.append(Part(mine, one, solution))
        held = {
            "_reduced": reduced, "_lams": lams, "_parts": tuple(parts), "lam": lam,
            "_jet": Jet(reduced.knots, jet[0], jet[1], jet[2], "natural", ALL_ONE),
            "_place": origin[0], "_restore": origin[1], "_source": origin[2],
        }  # fmt: skip
        for name, thing in held.items():
            object.__setattr__(self, name, thing)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a spline is immutable."""
        raise AttributeError(f"RegressionSpline is immutable; fit another one to set {name!r}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as what it was fitted to."""
        origin = self._place, self._restore, self._source
        return RegressionSpline, (self._reduced, self._lams, self.lam, origin)

    def __repr__(self) -> str:
        """Tell sizes."""
        k, n, columns = self.knots.size, self._reduced.sites.size, self._reduced.rest.size
        return f"RegressionSpline(knots={k}, n={n}, columns={columns})"

    @property
    def knots(self) -> Vector:
        """The knots, shape (k,); of times their seconds."""
        return read_only(self._jet.nodes)

    @property
    def values(self) -> Vector:
        """See the class."""
        return read_only(self._jet.values)

    @property
    def slopes(self) -> Vector:
        """See the class."""
        return read_only(self._jet.slopes)

    @property
    def second_derivatives(self) -> Vector:
        """See the class."""
        return read_only(self._jet.curvatures)

    @property
    def df(self) -> float | Vector:
        """See the class."""
        if np.ndim(self.lam) == 0:
            return self._parts[0].solution.df
        return self._each(lambda part: part.solution.df)

    @property
    def leverages(self) -> Vector:
        """See the class."""
        if np.ndim(self.lam) == 0:
            return self._reduced.leverages(self._parts[0].solution.factors)
        result = np.empty((self._reduced.sites.size, self._reduced.rest.size))
        for mine, _, solution in self._parts:
            result[:, mine] = self._reduced.leverages(solution.factors)[:, np.newaxis]
        return result

    @property
    def residual_variance(self) -> float | Vector:
        """See the class."""
        return self._each(lambda part: self._noise(part).variance)

    @property
    def gcv(self) -> float | Vector:
        """See the class."""
        return self._each(self._score)

    def __call__(self, points: ArrayLike, nu: int = 0) -> FloatArray:
        """Evaluate the curve, or its derivative `nu` in [0, 3], at points of any shape.

        Parameters
        ----------
        points : array_like
            Outside the knots the curve is the straight line that continues it.
        nu : int, optional

        Returns
        -------
        array of the kind and dtype of the fitted values, with the axes of `points` in the place of
        the sites' axis

        Raises
        ------
        ValueError
            If a point is not finite, too far outside, or nu not in [0, 3].
        """
        order = check_nu(nu)
        flat, shape = self._read_points(points)
        jet = self._jet
        out = jet.step(flat, jet.thirds()) if order == 3 else jet.at(flat, order)
        return self._label(out, shape, points, same_unit=order == 0)

    def std(self, points: ArrayLike) -> FloatArray:
        """Give the curve's standard deviation at points of any shape.

        That of the Bayesian posterior, ``s**2 b (X'WX + lam P)**-1 b'`` with the values b of the
        basis there, X those at the sites, and P the penalty; s**2 is ``(n - 2) / d`` times
        `residual_variance`, as in `Spline.std`, and for lam = 0 that itself: then it is the
        standard error of least squares.

        Parameters
        ----------
        points : array_like

        Returns
        -------
        array shaped as that of a call

        Raises
        ------
        ValueError
            If a point is not finite, or where n - df is 0.
        """
        return self._deviations(points, None)

    def _deviations(self, points: ArrayLike, level: float | None) -> FloatArray:
        """Give standard deviations, or half the width of a band of some level."""
        flat, shape = self._read_points(points)
        out = np.empty((flat.size, self._reduced.rest.size))
        for part in self._parts:
            noise = self._noise(part)
            unit = self._reduced.variances(flat, part.solution.factors)[:, np.newaxis]
            factor = 1.0 if level is None else student_factor(noise, level)
            out[:, part.columns] = np.sqrt(unit / self._reduced.top) * (factor * noise.of_curves)
        return self._label(out, shape, points)

    def interval(self, points: ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Give the ends of the pointwise band ``f(t) -+ c std(t)``.

        c is the quantile of Student's distribution with ``d = (n - df)**2 / tr((I - S)**2)``
        degrees of freedom, as in `Spline.interval`.

        Parameters
        ----------
        points : array_like
        level : float, optional
            In (0, 1).

        Returns
        -------
        lower, upper : arrays shaped as that of a call

        Raises
        ------
        ValueError
            As `std`, or if `level` is not in (0, 1).
        TypeError
            If `level` is not a real number.
        """
        if isinstance(level, bool) or not isinstance(level, Real):
            raise TypeError(f"level must be a number between 0 and 1, got {level!r}")
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
        centre, width = self(points), self._deviations(points, level)
        return centre - width, centre + width

    def to_bspline(self, t: ArrayLike | None = None) -> BSpline:
        """Give the curve as a scipy BSpline, equal between the knots.

        Parameters
        ----------
        t : array_like, shape (k + 6,), optional
            The knots with three more at each end; by default the first and the last again. The
            coefficient of B_i is the blossom of the curve at t[i + 1], t[i + 2], t[i + 3].

        Returns
        -------
        scipy.interpolate.BSpline
        """
        from scipy.interpolate import BSpline

        nodes = self._jet.nodes
        given = np.concatenate([nodes[[0] * 3], nodes, nodes[[-1] * 3]]) if t is None else t
        full = np.asarray(given, np.float64)
        trailing, axis = self._place
        c = self._coefficients(full)
        shaped: Any = c.reshape(len(c), *trailing)
        if isinstance(self._restore, JoinParts):
            shaped = join_parts(shaped)
        return BSpline.construct_fast(full, shaped, 3, extrapolate=True, axis=axis)

    def _coefficients(self, t: Vector) -> Vector:
        """Give the blossoms of the cubic after the middle one of three neighbouring knots."""
        nodes, g, slope, bend = self._jet[:4]
        piece = np.clip(np.arange(t.size - 4) - 1, 0, nodes.size - 2)
        u = np.diff(bend, axis=0) / np.diff(nodes)[:, np.newaxis]
        a, b, c = (t[i : t.size - 4 + i] - nodes[piece] for i in (1, 2, 3))
        sums = (a + b + c, a * b + a * c + b * c, a * b * c)
        first, second, third = (one[:, np.newaxis] for one in sums)
        result: Vector = g[piece] + slope[piece] * first / 3.0 + bend[piece] * second / 6.0
        return result + u[piece] * third / 6.0

    def _rest(self, part: Part) -> float:
        """Give n - df of a part, unless it is 0."""
        rest: float = self._reduced.n - part.solution.df
        self._require_some(rest, 1e-9)
        return rest

    def _require_some(self, left: float, least: float) -> None:
        """Raise where what a fit leaves, at most n, is nothing but rounding."""
        if not left > least * self._reduced.n:
            raise ValueError(
                "the curve has as many degrees of freedom as there are values, which leave nothing "
                "to tell noise from; take fewer knots, a larger lam or more values"
            )

    def _noise(self, part: Part) -> Noise:
        """Tell what the fit of a part leaves of noise."""
        reduced, rest = self._reduced, self._rest(part)
        squared = reduced.squared_rest(part.lam) if part.lam > 0.0 else rest
        self._require_some(squared, LEAST_SQUARED)
        squares, power = part.solution.squares * reduced.top, reduced.power[part.columns]
        most = reduced.n - 2 if part.lam > 0.0 else rest  # of least squares nothing is bent
        return noise_by_squares(squares, power, rest, squared, most)

    def _score(self, part: Part) -> Vector:
        """Give GCV's score of the columns of a part."""
        squares = part.solution.squares * (self._reduced.top / self._rest(part) ** 2)
        found: Vector = np.ldexp(self._reduced.n * squares, 2 * self._reduced.power[part.columns])
        return found

    def _each(self, number: Callable[[Part], float | Vector]) -> float | Vector:
        """Give a number of each column, as the values' other axes are shaped."""
        result = np.empty(self._reduced.rest.size)
        for part in self._parts:
            result[part.columns] = number(part)
        trailing, _ = self._place
        return result.reshape(trailing) if trailing else float(result[0])

    def _read_points(self, points: ArrayLike) -> tuple[Vector, tuple[int, ...]]:
        """Give points in one row, and their shape."""
        array = self._source.read_points(points)
        require_finite(array, "points")
        return np.ascontiguousarray(array.reshape(-1), np.float64), array.shape

    def _label(
        self, rows: Vector, shape: tuple[int, ...], points: ArrayLike, *, same_unit: bool = True
    ) -> FloatArray:
        """Give (points, columns) in the shape, kind and container of the values."""
        if not np.isfinite(rows).all():
            raise ValueError(
                "the curve overflows at some of the points, which lie too far outside the knots; "
                "evaluate nearer points"
            )
        trailing, axis = self._place
        ndim = len(shape)
        shaped = np.moveaxis(rows.reshape(shape + trailing), range(ndim), range(axis, axis + ndim))
        return self._source.label(self._restore(shaped), axis, points, same_unit=same_unit)


def _read_places(knots: int | ArrayLike, sites: Vector, clock: Clock | None) -> Vector:
    """Give the knots: so many of the sites, or those that are given."""
    if isinstance(knots, bool | float):
        raise TypeError(f"knots must be an integer, how many, or an array of them, got {knots!r}")
    if isinstance(knots, int | np.integer):
        return sites[spread(sites.size, check_count(knots, sites.size))]
    array, _ = read_array(read_points(knots, clock, "knots"), "knots")
    if array.ndim != 1 or array.size < 2:
        raise ValueError(f"knots must be an integer, or two or more, got shape {array.shape}")
    places = np.array(array, np.float64)
    _check_ascending(places, "knots", strictly=True)
    return places


def _check_ascending(array: Vector, name: str, *, strictly: bool) -> None:
    """Raise where entries are not finite or do not ascend."""
    require_finite(array, name)
    if array.size == 0:
        raise ValueError(f"{name} is empty; give at least two")
    steps = np.diff(array)
    bad = np.flatnonzero(steps <= 0.0 if strictly else steps < 0.0)
    if bad.size:
        i = int(bad[0])
        raise ValueError(
            f"{name} must {'be strictly ascending' if strictly else 'ascend'}, but {name}[{i + 1}]"
            f" = {array[i + 1]} follows {name}[{i}] = {array[i]}; sort them"
        )


def _choose(
    reduced: Reduced, lam: float | ArrayLike | str, trailing: tuple[int, ...]
) -> tuple[Vector, bool]:
    """Give one lam a column, at least one, and whether it is one for all."""
    columns = max(reduced.rest.size, 1)
    if isinstance(lam, str):
        if lam != "gcv":
            raise ValueError(
                f'lam must be a number in [0, inf], one a column or "gcv", got {lam!r}'
            )
        return _minimise_gcv(reduced), not trailing
    if np.ndim(lam) == 0:
        return np.full(columns, check_lam(lam)), True  # type: ignore[arg-type]
    lams, _ = read_array(lam, "lam")
    if lams.shape != trailing:
        raise ValueError(
            f"lam has shape {lams.shape} and the columns of values {trailing}; give one lam a "
            "column, or one number"
        )
    for i in np.ndindex(trailing):
        check_lam(float(lams[i]), f"lam[{', '.join(map(str, i))}]")
    return np.ravel(lams).astype(np.float64), False


def _minimise_gcv(reduced: Reduced) -> Vector:
    """Give the minimiser of GCV for each column, from nearly no penalty to the line."""
    if reduced.n < 4:
        raise ValueError(f"choosing lam takes four values or more, got {reduced.n}; give lam")
    if not reduced.rest.size:
        return np.zeros(1)

    def score(lam: float, part: slice) -> Vector:
        found = reduced.solve(lam, part)
        left = max(reduced.n - found.df, 1e-9 * reduced.n)
        return reduced.n * found.squares / left**2

    a_gap = reduced.weights.sum() / reduced.steps.size * reduced.top * reduced.unit**3
    upper = 1e3 * a_gap * float(reduced.steps.size) ** 4
    return minimise_score(score, 1e-9 * a_gap * float(reduced.steps.min()) ** 3, upper).lam
