"""Kriging: the best linear prediction of a function's values from its values elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coded.nearness.distances import distances

Array = NDArray[np.float64]

# Points so close that (distance / median distance)^p is below this are one point: their two
# rows of the system are equal but for rounding, and its solution would multiply rounding errors.
_SAME = 1e-15
_PER_TERM = 2  # points a term of the line: from fewer, smooth functions err 50 times more
_LARGEST_WEIGHT_SUM = 1e3  # sum |w|: by so much may errors of answers reach an output


def covariance(distance: Array, power: float) -> Array:
    """Give the generalised covariance of points: ``-r^p`` for p < 2, ``r^3`` for p = 3.

    Positive definite on the weights that give 0 for constants and, with p = 3, for lines.

    Parameters
    ----------
    distance : ndarray
        Any shape.
    power : float
        p in (0, 2), or 3.

    Returns
    -------
    ndarray, the shape of `distance`

    References
    ----------
    J.-P. Chiles, P. Delfiner, "Geostatistics", 2nd ed., Wiley 2012, section 4.5.

    Examples
    --------
    >>> covariance(np.array([0.0, 4.0]), 1.5)
    array([-0., -8.])
    """
    return distance**power if has_linear_trend(power) else -(distance**power)


def has_linear_trend(power: float) -> bool:
    """Tell whether the covariance ``r^p`` needs a linear trend, not only a constant one.

    Parameters
    ----------
    power : float

    Returns
    -------
    bool

    Examples
    --------
    >>> has_linear_trend(1.5), has_linear_trend(3.0)
    (False, True)
    """
    return power > 2.0


def error_variances(weights: Array, among: Array, to: Array, power: float) -> Array:
    """Give the error variance of any linear predictors whose weights sum to 1.

    Of a random function whose increments have the generalised covariance ``covariance(r, p)``:
    ``E |f(x_k) - sum_j w_kj f(u_j)|^2 = w_k' G w_k - 2 w_k' g_k``. With p = 3 the weights must
    reproduce linear functions too.

    Parameters
    ----------
    weights : ndarray, shape (t, n)
    among : ndarray, shape (n, n)
        Distances between the n points that answered.
    to : ndarray, shape (t, n)
        Distances from the t points to be predicted to those.
    power : float
        p in (0, 2), or 3.

    Returns
    -------
    ndarray, shape (t,)
        Not negative, in units of ``distance^p``.

    References
    ----------
    J.-P. Chiles, P. Delfiner, "Geostatistics", 2nd ed., Wiley 2012, section 3.4.

    Examples
    --------
    Brownian motion (variogram ``r``) between two of its values, at t = 1/4: variance 2 t (1 - t).

    >>> weights = np.array([[0.75, 0.25]])
    >>> among = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> error_variances(weights, among, np.array([[0.25, 0.75]]), 1.0)
    array([0.375])
    """
    twice = weights @ covariance(among, power) - 2.0 * covariance(to, power)
    return np.asarray(np.maximum((weights * twice).sum(axis=1), 0.0))


@dataclass(frozen=True, eq=False)
class Kriging:
    """Universal kriging of t points from n: weights, error variances, leave-one-out errors.

    Made by `krige`. Points that coincide are one point with the mean of their values.

    Attributes
    ----------
    weights : ndarray, shape (t, n)
        Each row sums to 1.
    variances : ndarray, shape (t,)
        Their `error_variances`, up to the factor that `scale` estimates.
    power : float
        p of the covariance that was used.
    """

    weights: Array
    variances: Array
    power: float
    _groups: Array  # (distinct, n): each distinct point's value as a mean of values
    _system: Array  # the bordered matrix of the distinct points, median distance 1
    _unit: float  # the variance that is 1 there

    def leave_one_out(self, values: Array) -> Array:
        """Give for each distinct point its value less what the others predict there.

        Parameters
        ----------
        values : ndarray, shape (n, columns)

        Returns
        -------
        ndarray, shape (distinct, columns)
            Without rows of points that the others cannot predict, as where there is no other.

        References
        ----------
        O. Dubrule, "Cross validation of kriging in a unique neighborhood", Mathematical
        Geology 15 (1983), 687-699.
        """
        return self._left_out(values)[0]

    def variances_from_others(self) -> Array:
        """Give the variance with which the others predict each of the n points, up to `scale`.

        Returns
        -------
        ndarray, shape (n,)
            0 where a point coincides with another one; inf where there is no other.
        """
        if len(self._groups) == 1:
            return np.full(self._groups.shape[1], 0.0 if self._groups.size > 1 else np.inf)
        precisions = self._inverse().diagonal()
        least = _SAME * precisions.max()  # below, an outlier's are but rounding
        alone = (self._groups == 1.0) * (self._unit / np.maximum(precisions, least))[:, None]
        return np.asarray(alone.sum(axis=0))

    def scale(self, values: Array) -> float:
        """Estimate the factor of the variances: left out in turn, ``sum ||e_i||^2 / sum var_i``.

        Leave-one-out errors and variances then agree in the mean, where points are hard to
        predict above all. It holds for any predictor's `error_variances` with the same power.

        Parameters
        ----------
        values : ndarray, shape (n, columns)

        Returns
        -------
        float
            Summed over the columns; inf if no point can be left out: one value alone does not
            tell how much the function varies.
        """
        errors, variances = self._left_out(values)
        if len(errors) == 0:
            return np.inf
        return float((errors**2).sum() / variances.sum())

    def std(self, values: Array) -> Array:
        """Give the expected root mean square of ``||f(x_k) - sum_j w_kj y_j||``.

        Parameters
        ----------
        values : ndarray, shape (n, columns)

        Returns
        -------
        ndarray, shape (t,)
            Never nan; 0 where a point coincides with one of the n, inf where only one distinct
            value is known.
        """
        unit = float(np.abs(values).max(initial=0.0)) or 1.0  # squares of huge and tiny ones
        scale = self.scale(values / unit)
        spread = np.zeros(len(self.variances))
        uncertain = self.variances > 0.0
        with np.errstate(over="ignore"):
            spread[uncertain] = unit * np.sqrt(scale * self.variances[uncertain])
        return spread

    def _left_out(self, values: Array) -> tuple[Array, Array]:
        """Give the errors, Dubrule's ``[V y]_i / V_ii``, and their variances, ``1 / V_ii``."""
        inverse = self._inverse()
        precisions = inverse.diagonal()
        can = precisions > _SAME * np.abs(inverse).max(initial=0.0)
        errors = (inverse @ (self._groups @ values))[can] / precisions[can, None]
        return errors, self._unit / precisions[can]

    def _inverse(self) -> Array:
        """Give the block V of the bordered matrix's inverse, (distinct, distinct)."""
        distinct = len(self._groups)
        return np.asarray(np.linalg.inv(self._system)[:distinct, :distinct])


def krige(
    among: Array, to: Array, power: float, places: Array | None = None, targets: Array | None = None
) -> Kriging:
    """Krige t points from n: covariance ``-r^p`` and an unknown mean, or ``r^3`` and a line.

    Solves ``[[G, T], [T', 0]] [w_k; mu_k] = [g_k; t_k]`` with ``G_ij = covariance(|u_i - u_j|)``,
    ``g_kj = covariance(|x_k - u_j|)`` and T = 1 or, for p = 3, ``[1, u]``. The result does not
    depend on the unit of distances. Where the points do not determine a line stably, as when
    they are fewer than two for each of its terms, p = 1.5 with a constant takes over.

    Parameters
    ----------
    among : ndarray, shape (n, n)
        Distances between the points whose values are known; n >= 1.
    to : ndarray, shape (t, n)
        Distances from the points to be predicted to those.
    power : float
        p in (0, 2), or 3.
    places, targets : ndarray, shape (n, d) and (t, d), optional
        The points themselves, for p = 3.

    Returns
    -------
    Kriging

    References
    ----------
    J.-P. Chiles, P. Delfiner, "Geostatistics", 2nd ed., Wiley 2012, sections 3.4 and 4.5.

    Examples
    --------
    In one dimension p = 1 interpolates linearly and p = 3 by the natural cubic spline.

    >>> u, x = np.array([[0.0], [1.0], [3.0]]), np.array([[2.0]])
    >>> krige(distances(u, u), distances(x, u), 1.0).weights.round(12) + 0.0
    array([[0. , 0.5, 0.5]])
    """
    least = reach = _typical_distance(among, to) * _SAME ** (1.0 / power)
    weights, variances = np.zeros((len(to), len(among))), np.zeros(len(to))
    finest: tuple[Array, Array, float] | None = None
    rows = np.arange(len(to))
    while finest is None or rows.size:
        groups, first = _grouped(among, reach)
        inner, outer = among, to
        if len(first) < len(among) or len(rows) < len(to):
            inner, outer = among[np.ix_(first, first)], to[np.ix_(rows, first)]
        unit = _typical_distance(inner, outer)
        reach = max(10.0 * reach, inner[inner > 0.0].min(initial=np.inf))
        at = np.argmin(outer, axis=1)
        same = np.flatnonzero(outer[np.arange(len(rows)), at] <= least)
        inner, outer = inner / unit, outer / unit
        if has_linear_trend(power):
            if places is None or targets is None:
                raise ValueError("p = 3 needs places and targets for its linear trend; pass both")
            found = _solve_with_line(inner, outer, power, places[first] / unit, targets / unit)
            if found is None:
                return krige(among, to, 1.5)
        else:
            found = _solve(inner, outer, power, np.ones((len(first), 1)), np.ones((len(rows), 1)))
        if found is None:
            continue
        part, system = found
        part[same] = np.eye(len(first))[at[same]]
        is_stable = _are_stable(part)
        done, part = rows[is_stable], part[is_stable]
        weights[done] = part @ groups
        variances[done] = unit**power * error_variances(part, inner, outer[is_stable], power)
        variances[rows[same]] = 0.0
        finest = finest or (groups, system, unit**power)
        rows = rows[~is_stable]
    return Kriging(weights, variances, power, *finest)


def krige_nearest(
    target: Array, rows: Array, power: float, count: int
) -> tuple[NDArray[np.intp], Kriging]:
    """Krige one point from the nearest of many, which costs the same however many there are.

    Parameters
    ----------
    target : ndarray, shape (d,)
    rows : ndarray, shape (n, d)
        The points whose values are known; n >= 1.
    power : float
        p in (0, 2), or 3.
    count : int
        How many of the points are used, at most.

    Returns
    -------
    sources : ndarray of int
        The points that are used, the nearest first.
    kriging : Kriging
        From those points; its `weights` have one row.

    Examples
    --------
    >>> rows = np.array([[9.0], [1.0], [3.0]])
    >>> sources, kriging = krige_nearest(np.array([2.0]), rows, 1.0, 2)
    >>> sources, kriging.weights
    (array([1, 2]), array([[0.5, 0.5]]))
    """
    to = distances(target[None], rows)
    sources = np.argsort(to[0], kind="stable")[:count]
    near = rows[sources]
    return sources, krige(distances(near, near), to[:, sources], power, near, target[None])


def _solve(
    among: Array, to: Array, power: float, trend: Array, trend_to: Array
) -> tuple[Array, Array] | None:
    """Solve the bordered system: give the weights, and the system; None if it is singular."""
    n, m = trend.shape
    system = np.zeros((n + m, n + m))
    system[:n, :n] = covariance(among, power)
    system[:n, n:] = trend
    system[n:, :n] = trend.T
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # seen by `_are_stable`
        wanted = np.vstack([covariance(to, power).T, trend_to.T])
        try:
            weights = np.linalg.solve(system, wanted)[:n].T
        except np.linalg.LinAlgError:
            return None
        return weights / weights.sum(axis=1, keepdims=True), system


def _are_stable(weights: Array) -> NDArray[np.bool_]:
    """Tell which rows of weights do not multiply rounding errors beyond measure."""
    return np.asarray(np.abs(weights).sum(axis=1) <= _LARGEST_WEIGHT_SUM)  # nan is not


def _solve_with_line(
    among: Array, to: Array, power: float, places: Array, targets: Array
) -> tuple[Array, Array] | None:
    """Solve with a linear trend in the directions in which the points differ; None if unstable."""
    centre = places.mean(axis=0)
    _, lengths, directions = np.linalg.svd(places - centre, full_matrices=False)
    directions = directions[lengths > 1e-6 * np.sqrt(len(places))]
    along, along_to = (places - centre) @ directions.T, (targets - centre) @ directions.T
    off = np.abs(targets - centre - along_to @ directions).max(initial=0.0)
    too_few = len(places) < _PER_TERM * (len(directions) + 1)
    if len(directions) == 0 or too_few or off > 1e-6:
        return None
    found = _solve(
        among,
        to,
        power,
        np.hstack([np.ones((len(places), 1)), along]),
        np.hstack([np.ones((len(targets), 1)), along_to]),
    )
    if found is None or not _are_stable(found[0]).all():
        return None
    missed = np.abs(found[0] @ along - along_to) > 1e-7 * (1.0 + np.abs(along_to))
    return None if missed.any() else found


def _typical_distance(among: Array, to: Array) -> float:
    """Give the median distance between points that differ; where none do the largest from them."""
    apart = among[among > 0.0]
    if apart.size == 0:
        return float(to.max(initial=0.0)) or 1.0
    middle = [(apart.size - 1) // 2, apart.size // 2]  # np.median takes five times as long
    return float(np.partition(apart, middle)[middle].mean())


def _grouped(among: Array, reach: float) -> tuple[Array, NDArray[np.intp]]:
    """Group points within `reach`: the (groups, n) means, and each group's first point."""
    n = len(among)
    leader = np.arange(n)
    is_near = among <= reach
    if np.count_nonzero(is_near) > n:
        for i in range(n):
            leaders = np.flatnonzero(is_near[i, :i] & (leader[:i] == np.arange(i)))
            if leaders.size:
                leader[i] = leaders[0]
    first, group = np.unique(leader, return_inverse=True)
    means = np.zeros((len(first), n))
    means[group, np.arange(n)] = 1.0 / np.bincount(group)[group]
    return means, first
