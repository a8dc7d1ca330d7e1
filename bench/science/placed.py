"""LeTCC at any points: the published scheme but for where inputs and workers sit."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.maps.arrays import LinearMap
from coded.places.points import nearest_equal
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from fastspline import Smoother, select_lam
from fastspline.arrays import FloatArray

Array = NDArray[np.float64]


class PlacedSpline(LinearScheme):
    """Spline encoder from `alpha`, spline decoder from `beta`, inputs in the order given.

    Both lam belong to fits of the average, as in `SplineScheme.paper`; ``lam_dec="gcv"`` chooses
    one for all columns, by generalised cross-validation of the answers at hand.
    """

    def __init__(
        self,
        alpha: ArrayLike,
        beta: ArrayLike,
        *,
        lam_enc: float = 0.0,
        lam_dec: float | Literal["gcv"] = 0.0,
    ) -> None:
        self.alpha, self.beta = np.asarray(alpha, float), np.asarray(beta, float)
        super().__init__(self.alpha.size, self.beta.size, self.beta.size - 2)
        self._lam_enc, self._lam_dec = lam_enc, lam_dec
        self._looks_at_answers = lam_dec == "gcv"

    def decoding_matrix(self, responders: ArrayLike) -> Array:
        """Give the decoder as a matrix, where it does not depend on the answers."""
        if self._lam_dec == "gcv":
            raise TypeError('with lam_dec="gcv" decoding is not linear; pass a number as lam_dec')
        return super().decoding_matrix(responders)

    def _build_encoder(self) -> LinearMap:
        return Smoother(self.alpha, lam=self._n_inputs * self._lam_enc).operator(self.beta)

    def _fit_map(self) -> LinearMap:
        if self._lam_enc == 0.0:
            return super()._fit_map()
        return Smoother(self.alpha, lam=self._n_inputs * self._lam_enc).operator(self.alpha)

    def _build_decoder(self, responders: Responders) -> LinearMap:
        return self._smoother(responders, len(responders) * float(self._lam_dec))

    def _choose_decoder(self, coded_outputs: FloatArray, responders: Responders) -> LinearMap:
        if self._lam_dec != "gcv":
            return super()._choose_decoder(coded_outputs, responders)
        columns = coded_outputs.reshape(len(responders), -1)
        with warnings.catch_warnings():  # next to interpolation: what it chooses is what we measure
            warnings.simplefilter("ignore", UserWarning)
            lam = select_lam(self.beta[list(responders)], columns, per_column=False)
        return self._smoother(responders, float(lam))

    def _smoother(self, responders: Responders, lam: float) -> LinearMap:
        return Smoother(self.beta[list(responders)], lam=lam).operator(self.alpha)

    def _suffices(self, responders: Responders) -> bool:
        return len(responders) >= 2

    def _need(self, responders: Responders) -> str:  # noqa: ARG002 (the same for all)
        return "2 answers"

    def _held(self) -> NDArray[np.intp]:
        if self._lam_enc or self._lam_dec:
            return np.full(self._n_workers, -1)
        return nearest_equal(self.beta, self.alpha)
