"""The layouts of splines that are bound to inputs: along the curve, or at inputs that are none."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from coded.estimation.sites import Sites, sites_of
from coded.estimation.splines_on_lines import least_lam, smoothing_matrix
from coded.estimation.views import MANY
from coded.maps.arrays import LinearMap, Matrix
from coded.maps.copies import FilledMap, RowMap
from coded.nearness.distances import FEW, flattened, natural_units, steps_along
from coded.nearness.features import as_images, pooled_gradients
from coded.nearness.order import path_order
from coded.places.copies import copies_by_risk
from coded.places.input_lines import chord_length, is_curve, several_lines
from coded.places.placement import places_far_apart
from coded.places.points import Points, on_curve, systematic
from coded.schemes.layouts import InOrder
from coded.schemes.protocol import Responders
from fastspline import bundle
from fastspline.arrays import FloatArray

_CONSTANT = 1e-12  # a spread below this part of the largest number is rounding
_TYPED = "SplineScheme({}).bind(...)"


class AlongCurve(InOrder):
    """Inputs of one parameter along their curve: splines as `InOrder`, of inputs in its order."""

    typed: ClassVar[str] = _TYPED

    def __init__(
        self, alpha: Points, beta: Points, lam_enc: float, order: NDArray[np.intp]
    ) -> None:
        super().__init__(alpha, beta, lam_enc)
        self._order = order
        self._points = np.empty((1, len(alpha)))
        self._points[0, order] = alpha

    def encoder(self) -> LinearMap:
        """Make the encoder's spline at the workers' points."""
        return self._smoother().operator(self.beta).gather(self._order, len(self.alpha))

    def fit(self) -> LinearMap:
        """Make the encoder's spline at the inputs' points, in the caller's order."""
        spline = self._smoother().operator(self._points[0])
        return spline.gather(self._order, len(self.alpha))

    def held(self) -> NDArray[np.intp]:
        """Give the input at each worker's own point, if it is sent unmixed."""
        held = super().held()
        return np.where(held >= 0, self._order[held], -1)


class AtInputs:
    """All workers at inputs, which are no curve: not the spline solver but a matrix decodes.

    It has the mean of smoothing splines along several short paths through the inputs, with weights
    in inverse proportion to their variances: a dense matrix, O(lost R) per column. Inputs are
    copied; if they are smoothed, along the first path.
    """

    typed: ClassVar[str] = _TYPED
    growth: ClassVar[tuple[float, float]] = (
        0.5,
        1.0,
    )  # squared errors as h^1.5: rough between inputs

    def __init__(
        self,
        lines: Matrix,
        beta: Points,
        lam_enc: float,
        order: NDArray[np.intp],
        places: Matrix | None = None,
    ) -> None:
        self.alpha, self.beta, self.lam_enc = lines[0, order], beta, lam_enc
        self._places = places
        self._lines, self._order = lines, order
        self._site = order[np.searchsorted(self.alpha, beta)]  # the input that each evaluates

    def in_sum(self, lam: float, n_values: int) -> float:  # noqa: ARG002 (the published code's)
        """Give lam as it is: it belongs to a sum."""
        return lam

    def encoder(self) -> LinearMap:
        """Copy inputs, or smooth them along the first line."""
        if self.lam_enc > 0.0:
            return self._along_first().encoder()
        return RowMap(self._site, len(self.alpha))

    def fit(self) -> LinearMap:
        """Make the encoder's spline at the inputs' points, in the caller's order."""
        return self._along_first().fit()

    def sites(self, responders: Responders) -> Sites:
        """Tell where on each line the answers and the inputs lie; a site is an input."""
        return sites_of(self._site[np.array(responders)], self._lines, self._lines)

    def decoder(self, sites: Sites, lam: float) -> LinearMap:
        """Make the mean over the lines; answers that are outputs stay as they are."""
        n_inputs = len(self.alpha)
        source = np.full(n_inputs, -1)
        if lam == self.lam_enc == 0.0:
            source[sites.present] = sites.first
        lost = np.flatnonzero(source < 0)
        weights = np.zeros((lost.size, len(sites.which)))
        if lost.size:
            points, seen = sites.points.take(lost, axis=1), max(lam, least_lam(n_inputs))
            weights[:, sites.first] = smoothing_matrix(sites.knots, points, lam=lam, seen=seen)
        return FilledMap(source, weights)

    @property
    def places(self) -> Matrix:
        """The inputs as points between which distances count, kept where a decoder is guarded."""
        assert self._places is not None
        return self._places

    def held(self) -> NDArray[np.intp]:
        """Give the input that each worker evaluates, if it is sent unmixed."""
        return np.full(len(self.beta), -1) if self.lam_enc > 0.0 else self._site

    def _along_first(self) -> AlongCurve:
        """Give the layout by which smoothed inputs are coded."""
        return AlongCurve(self.alpha, self.beta, self.lam_enc, self._order)


def lay_out(
    inputs: FloatArray, n_workers: int, n_stragglers: int, lam_enc: float, *, is_guarded: bool
) -> AlongCurve | AtInputs:
    """Lay inputs along a short path or several; near places go to workers far apart.

    Where the decoder is guarded, up to ten numbers are in units of their spread, and distances
    are kept.
    """
    plain = _in_units(flattened(inputs)) if is_guarded else None
    rows = _features(inputs, plain)
    order = path_order(rows)
    dealt = places_far_apart(n_workers)
    if is_curve(rows, order):
        alpha = chord_length(steps_along(rows, order))
        return AlongCurve(alpha, on_curve(alpha, n_workers, n_stragglers)[dealt], lam_enc, order)
    lines = several_lines(rows, order)
    alpha = lines[0, order]
    if n_workers < len(alpha):
        beta = systematic(alpha, n_workers)
    else:
        beta = np.repeat(alpha, copies_by_risk(risks(lines), n_workers, n_stragglers)[order])
    return AtInputs(lines, beta[dealt], lam_enc, order, plain)


def _in_units(rows: FloatArray) -> Matrix:
    """Give rows of up to ten numbers in units of the spread of each, others as they are."""
    places: Matrix = rows.astype(np.float64)
    if rows.shape[1] > MANY:
        return places
    largest = np.abs(places).max(axis=0, initial=0.0)
    places /= np.where(largest > 0.0, largest, 1.0)
    spread = places.std(axis=0)
    places /= np.where(spread > _CONSTANT, spread, 1.0)
    return places


def _features(inputs: FloatArray, plain: Matrix | None) -> FloatArray:
    """Describe inputs so that alike ones are near; of images their contrast counts by its root.

    On tuning images that gave fewer wrong labels than gradients as they are, or of unit length,
    which would make images that differ in their contrast alone the same.
    """
    images = as_images(inputs)
    if images is None:
        rows = flattened(inputs)
        if plain is not None and rows.shape[1] > FEW:
            return plain
        return rows / natural_units(rows)
    gradients = pooled_gradients(images)
    length = np.linalg.norm(gradients, axis=1, keepdims=True)
    return gradients / np.sqrt(np.where(length > 0.0, length, 1.0))


def risks(lines: Matrix) -> Points:
    """Give how far each input is from what would estimate it, in the length of a gap, (K,).

    The cube root of the variance with all other inputs answered: that of a gap h grows as h^3.
    """
    each = bundle.left_out_variances(lines, lam=least_lam(lines.shape[1]))
    return np.asarray((1.0 / each).sum(axis=0) ** (-1.0 / 3.0))
