"""Where inputs and workers sit on lines, and how splines along these encode and decode."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from coded.estimation.sites import Sites, sites_of
from coded.maps.arrays import LinearMap, PartlyReadMap
from coded.places.points import Points, nearest_equal
from coded.schemes.protocol import Responders
from fastspline import Smoother


class Layout(Protocol):
    """What `SplineScheme` codes by: `InOrder`, `Published`, `AlongCurve` or `AtInputs`.

    Attributes
    ----------
    typed : str
        How the scheme is typed, with ``{}`` for its arguments.
    growth : tuple of float
        Squared errors grow as the first power of the variance inside, and as the second beyond
        all answers, where these are interpolated.
    alpha : ndarray, shape (K,)
        Points of the inputs along the (first) line, ascending.
    beta : ndarray, shape (N,)
        Points of the workers there.
    """

    typed: ClassVar[str]
    growth: ClassVar[tuple[float, float]]
    alpha: Points
    beta: Points

    def in_sum(self, lam: float, n_values: int) -> float:
        """Give lam in the scale of a sum of squares over the values."""

    def encoder(self) -> LinearMap:
        """Make the map from K inputs to N coded inputs."""

    def fit(self) -> LinearMap:
        """Make the map from K inputs to the encoder's values at their own points."""

    def sites(self, responders: Responders) -> Sites:
        """Tell where on each line the answers and the inputs lie."""

    def decoder(self, sites: Sites, lam: float) -> LinearMap:
        """Make the map from the answers to K outputs, lam in the sum's scale."""

    def held(self) -> NDArray[np.intp]:
        """Give the input that each worker evaluates itself, or -1; shape (N,)."""


class InOrder:
    """Inputs in the order given along one line, at any points.

    Encoder and decoder are natural cubic smoothing splines by the pentadiagonal solver, O(K + N)
    and O(R + K) per column.
    """

    typed: ClassVar[str] = "SplineScheme({})"
    # On a curve variances grow as h^3 with the gap h, squared errors inside as h^4, between the
    # first power of a step and the eighth of a smooth function, and as h^6 beyond the ends.
    growth: ClassVar[tuple[float, float]] = 1.25, 2.0

    def __init__(self, alpha: Points, beta: Points, lam_enc: float) -> None:
        self.alpha, self.beta, self.lam_enc = alpha, beta, lam_enc
        places, self._site = np.unique(beta, return_inverse=True)
        self._lines, self._points = places[None], alpha[None]

    def in_sum(self, lam: float, n_values: int) -> float:  # noqa: ARG002 (the published code's)
        """Give lam as it is: it belongs to a sum."""
        return lam

    def encoder(self) -> LinearMap:
        """Make the encoder's spline at the workers' points."""
        return self._smoother().operator(self.beta)

    def fit(self) -> LinearMap:
        """Make the encoder's spline at the inputs' points."""
        return self._smoother().operator(self.alpha)

    def sites(self, responders: Responders) -> Sites:
        """Tell where the answers and the inputs lie."""
        return sites_of(self._site[np.array(responders)], self._lines, self._points)

    def decoder(self, sites: Sites, lam: float) -> LinearMap:
        """Make the spline through the first answer of each site, at the inputs' points."""
        spline = Smoother(sites.knots[0], lam=lam).operator(sites.points[0])
        first, n_answers = sites.first, len(sites.which)
        if len(first) == n_answers and (first[1:] > first[:-1]).all():
            return spline
        repeats = np.setdiff1d(np.arange(n_answers), first)
        return PartlyReadMap(spline.gather(first, n_answers), repeats)

    def held(self) -> NDArray[np.intp]:
        """Give the input at each worker's own point, if it is sent unmixed."""
        if self.lam_enc > 0.0:
            return np.full(len(self.beta), -1)
        return nearest_equal(self.beta, self.alpha)

    def _smoother(self) -> Smoother:
        return Smoother(self.alpha, lam=self.in_sum(self.lam_enc, len(self.alpha)))


class Published(InOrder):
    """The layout of LeTCC: both lam belong to fits of the average."""

    typed: ClassVar[str] = "SplineScheme.paper({})"

    def in_sum(self, lam: float, n_values: int) -> float:
        """Give lam times the number of values."""
        return lam * n_values
