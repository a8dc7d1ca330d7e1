"""`Spline` as people see it: in one line, as a table in notebooks, as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from fastspline._fit import Group
from fastspline._jet import Jet
from fastspline._solvers.tableau import Vector
from fastspline._source import Source
from fastspline.arrays import as_columns, as_numpy, as_parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_COLUMNS = 10  # as many as matplotlib has colours
POINTS = 400  # where a curve is drawn
SKETCH = 200, 50  # width and height of the curves beside the table


class Curve(Protocol):
    """What is shown of a `Spline`."""

    _groups: Sequence[Group]
    _jet: Jet
    _place: tuple[tuple[int, ...], int]
    _source: Source

    @property
    def lam(self) -> Any:
        """One number, or one a column."""
        ...

    @property
    def df(self) -> Any:
        """Degrees of freedom."""
        ...

    def _with_noise(self) -> Iterable[object]: ...

    def interval(self, points: ArrayLike, level: float = 0.95) -> tuple[Any, Any]:
        """Give the ends of the band."""
        ...


class Column(NamedTuple):
    """One column of a fit: its name, and the values that count with their places."""

    name: str
    places: Vector
    values: Vector


def tell(curve: Curve) -> str:
    """Tell size, columns, lam and degrees of freedom."""
    n, columns = _size(curve)
    if columns == 0:
        return f"Spline(n={n}, columns=0)"
    lam, df = (_tell_range(np.ravel(numbers)) for numbers in (curve.lam, curve.df))
    return f"Spline(n={n}, columns={columns}, lam={lam}, df={df})"


def tabulate_html(curve: Curve) -> str:
    """Give what `tell` tells and the ends as a table, and a sketch of the first curves."""
    n, columns = _size(curve)
    first, last = (_tell_place(place, curve) for place in curve._jet.nodes[[0, -1]])
    rows = {"knots": f"{n}, from {first} to {last}", "columns": str(columns)}
    if columns:
        rows["lam"] = _tell_range(np.ravel(curve.lam))
        rows["degrees of freedom"] = _tell_range(np.ravel(curve.df))
    rows["ends"] = str(curve._jet.bc)
    cells = "".join(
        f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in rows.items()
    )
    return f"<div><b>Spline</b><table>{cells}</table>{_sketch(curve)}</div>"


def draw(curve: Curve, ax: Axes | None, points: ArrayLike | None, level: float) -> Axes:
    """See `Spline.plot`."""
    try:
        from matplotlib import pyplot as plt
    except ModuleNotFoundError as error:
        raise ImportError(
            'plots need matplotlib; install the extra "plot": pip install "fastspline[plot]"'
        ) from error
    columns = list(_columns_of(curve))
    if not 0 < len(columns) <= MOST_COLUMNS:
        raise ValueError(
            f"{len(columns)} columns cannot be told apart; plot at most {MOST_COLUMNS}, and at "
            "least one: fit these columns alone"
        )
    nodes = curve._jet.nodes
    given = np.linspace(nodes[0], nodes[-1], POINTS) if points is None else points
    places = np.sort(np.ravel(curve._source.read_points(given))).astype(np.float64)
    band = _band(curve, places, level)
    axes = plt.gca() if ax is None else ax
    lines, at = curve._jet.at(curve._jet.wrap(places), 0), _shown(places, curve)
    for j, column in enumerate(columns):
        (line,) = axes.plot(at, lines[:, j], label=column.name or "curve", zorder=3)
        color = line.get_color()
        shown = _shown(column.places, curve)
        label = "" if column.name else "values"
        axes.plot(shown, column.values, ".", color=color, alpha=0.4, label=label, zorder=2)
        if band is not None:
            label = "" if column.name else f"{100.0 * level:g} % band"
            lower, upper = band[0][:, j], band[1][:, j]
            axes.fill_between(at, lower, upper, color=color, alpha=0.2, lw=0, label=label)
    if curve._source.clock is not None and curve._source.clock.origin is None:
        axes.set_xlabel("seconds")
    axes.legend()
    return axes


def _band(curve: Curve, places: Vector, level: float) -> tuple[Vector, Vector] | None:
    """Give the band at places as two arrays (m, columns), or None where there is none."""
    try:
        list(curve._with_noise())
    except ValueError:  # it interpolates
        return None
    ends = []
    for end in curve.interval(places, level):
        array, _ = as_numpy(end, "band")
        columns, _, _ = as_columns(array, places.size, curve._place[1], "band", "points")
        ends.append(np.asarray(as_parts(columns), np.float64))
    return ends[0], ends[1]


def _columns_of(curve: Curve) -> Iterator[Column]:
    """Give the columns of a fit in their order, named if there are several."""
    columns = np.arange(_size(curve)[1])
    found: dict[int, tuple[Vector, Vector]] = {}
    for group in curve._groups:
        knots, repeats = group.plan.knots, group.repeats
        rows, values = np.unique(group.plan.active), group.values
        places = knots[rows]
        if repeats is not None:
            rows, values = np.flatnonzero(repeats.weights), repeats.values
            places = knots[repeats.knot[rows]]
        for j, column in enumerate(columns[group.columns].tolist()):
            found[column] = places, values[rows, j]
    names = _names_of(curve)
    for column in columns.tolist():
        yield Column(names[column], *found[column])


def _names_of(curve: Curve) -> list[str]:
    """Give a name a column: its label in a DataFrame, or else its place; one alone has none."""
    trailing = curve._place[0]
    if not trailing:
        return [""]
    labels = curve._source.labels
    own = [] if labels is None else labels.names(curve._place[1])
    if trailing == (len(own),):
        return own
    return [", ".join(str(i) for i in place) for place in np.ndindex(trailing)]


def _shown(places: Vector, curve: Curve) -> Vector:
    """Give dates where knots are dates, and numbers else."""
    clock = curve._source.clock
    return places if clock is None else clock.dates(places)


def _size(curve: Curve) -> tuple[int, int]:
    """Give the numbers of knots and columns."""
    return curve._groups[0].plan.knots.size, curve._jet.values.shape[1]


def _tell_place(place: float, curve: Curve) -> str:
    """Write a knot, as a date where it is one."""
    clock = curve._source.clock
    if clock is None:
        return f"{place:g}"
    shown = clock.dates(np.array([place]))[0]
    return f"{shown:g} s" if clock.origin is None else str(shown.astype("M8[s]"))


def _tell_range(numbers: Vector) -> str:
    """Write a number, or the least and the largest of several."""
    known = numbers[~np.isnan(numbers)]  # of columns that have values
    if not known.size:
        return "nan"
    least, largest = known.min(), known.max()
    return f"{least:.4g}" if least == largest else f"{least:.4g} to {largest:.4g}"


def _sketch(curve: Curve) -> str:
    """Draw the first curves between the knots as an SVG picture."""
    nodes, (width, height) = curve._jet.nodes, SKETCH
    lines = curve._jet.at(np.linspace(nodes[0], nodes[-1], width // 2), 0)
    lines = lines[:, ~np.isnan(lines).any(axis=0)][:, :MOST_COLUMNS]
    if not lines.size:
        return ""
    low = lines.min()
    rise = lines.max() - low
    across = np.linspace(2.0, width - 2.0, len(lines))
    down = height - 2.0 - (height - 4.0) * (lines - low) / (rise if rise > 0.0 else 1.0)
    drawn = "".join(
        '<polyline fill="none" stroke="currentColor" stroke-opacity="0.6" points="'
        + " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, line, strict=True))
        + '"/>'
        for line in down.T
    )
    return f'<svg width="{width}" height="{height}">{drawn}</svg>'
