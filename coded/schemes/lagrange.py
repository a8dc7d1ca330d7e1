"""Lagrange coded computing over the reals: exact for polynomials, where that is stable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coded.algebra.barycentric import barycentric_matrix, polynomial_weights
from coded.algebra.linear_decoder import (
    exact_amplification,
    least_norm_decoder,
)
from coded.arguments import read_count
from coded.maps.arrays import LinearMap, Matrix, MatrixMap
from coded.places.points import Points, chebyshev_first, chebyshev_second, nearest_equal, snapped
from coded.schemes.exact import ExactScheme
from coded.schemes.protocol import Responders
from coded.schemes.registry import Setting, Variant
from fastspline.arrays import read_only


class LagrangeScheme(ExactScheme):
    """Code a polynomial function exactly; any ``(K - 1) degree + 1`` answers suffice.

    The encoder is the polynomial u of degree K - 1 through the inputs at `alpha`,
    Chebyshev points of the first kind; worker n gets ``u(beta_n)``, Chebyshev points of
    the second kind. For f a polynomial of the given degree, ``f(u(z))`` has degree at
    most ``(K - 1) degree``, so R = (K - 1) degree + 1 answers determine it, and the
    outputs are its values at `alpha`. Of all decoders that are exact for such
    polynomials the one of least norm is used: least squares in Chebyshev polynomials
    over all answers, interpolation where there are R.

    Over the reals the answers' rounding errors grow by up to `amplification`, which is the
    condition number that counts: about 3 where all answers are in, and growing exponentially
    with the number of losses close together. Responder sets that amplify by more than 1e8 are
    refused, as if there were too few of them: one more answer often mends it. So a scheme of
    high degree is worth making where nearly all workers answer: of
    ``LagrangeScheme(10, 200, degree=15)`` no set of 160 random answers was refused, but half of
    the sets of R = 136, and all 136 workers side by side.

    **Answers beyond R are checked.** They must be those of one polynomial, up to rounding;
    where they are not, because f is none or workers lie, `decode` raises
    InconsistentAnswersError, unless at most half as many as are spare contradict all others:
    these it leaves out, and `find_liars` names them. R answers show nothing.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= (K - 1) degree + 1.
    degree : int
        Of the polynomial f, at least 1. `exact_mask` is true for polynomials only:
        `require_polynomial` checks a function. Answers of others are refused where there are
        more than R; `estimate` decodes them, with errors without bound.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range, or N below the recovery threshold.

    References
    ----------
    Q. Yu, S. Li, N. Raviv, S. M. M. Kalan, M. Soltanolkotabi, A. S. Avestimehr,
    "Lagrange Coded Computing: Optimal Design for Resiliency, Security, and Privacy",
    AISTATS 2019, arXiv:1806.00939, section 4.

    Examples
    --------
    >>> scheme = LagrangeScheme(5, 20, degree=3)
    >>> scheme.min_responders
    13
    >>> inputs = np.array([1.0, 2.0, -1.0, 0.5, 3.0])
    >>> coded_outputs = scheme.encode(inputs) ** 3
    >>> scheme.decode(coded_outputs[3:16], range(3, 16)).round(6)
    array([ 1.   ,  8.   , -1.   ,  0.125, 27.   ])
    """

    def __init__(self, n_inputs: int, n_workers: int, *, degree: int) -> None:
        super().__init__(n_inputs, n_workers, None)
        self._degree = read_count(degree, "degree", at_least=1)
        threshold = (self._n_inputs - 1) * self._degree + 1
        if self._n_workers < threshold:
            raise ValueError(
                f"n_workers must be >= (n_inputs - 1) * degree + 1 = {threshold}, got "
                f"{self._n_workers}; add workers, or lower n_inputs or degree"
            )
        self._n_stragglers = self._n_workers - threshold
        self._alpha = chebyshev_first(self._n_inputs)
        self._beta = snapped(chebyshev_second(self._n_workers), self._alpha)

    @property
    def degree(self) -> int:
        """Degree of the polynomials that are decoded exactly."""
        return self._degree

    @property
    def alpha(self) -> Points:
        """Points of the inputs, ascending, shape (K,)."""
        return read_only(self._alpha)

    @property
    def beta(self) -> Points:
        """Points of the workers, ascending, shape (N,)."""
        return read_only(self._beta)

    def _build_encoder(self) -> LinearMap:
        weights = polynomial_weights(self._alpha)
        return MatrixMap(barycentric_matrix(self._alpha, weights, self._beta))

    def _build_exact(self, responders: Responders) -> tuple[LinearMap, float]:
        """D of least norm with ``D T(beta_F) = T(alpha)``, T the Chebyshev polynomials below R."""
        generator, wanted = self._generator(responders), self._wanted()
        decoder = least_norm_decoder(generator, wanted)
        return MatrixMap(decoder), exact_amplification(decoder, generator, wanted)

    def _generator(self, responders: Responders) -> Matrix:
        """Give the R Chebyshev polynomials at the points of the responders, a row a worker."""
        degree = self.min_responders - 1
        polynomials = np.polynomial.chebyshev.chebvander(self._beta[list(responders)], degree)
        return np.asarray(polynomials, dtype=np.float64)

    def _wanted(self) -> Matrix:
        """Give the R Chebyshev polynomials at the points of the inputs, a row an input."""
        polynomials = np.polynomial.chebyshev.chebvander(self._alpha, self.min_responders - 1)
        return np.asarray(polynomials, dtype=np.float64)

    def _n_symbols(self) -> int:
        return self.min_responders

    def _model_of_f(self) -> str:
        return f"a polynomial of degree {self._degree} or less"

    def _determine(self, responders: Responders) -> bool:
        return len(responders) >= self.min_responders

    def _lack(self) -> str:
        return f"{self.min_responders} answers"

    def _advice(self) -> str:
        return " (a lower n_inputs or degree helps too)"

    def _held(self) -> NDArray[np.intp]:
        return nearest_equal(self._beta, self._alpha)

    def _settings(self) -> str:
        return f", degree={self._degree}"


def _make(setting: Setting) -> LagrangeScheme:
    if setting.degree is None:
        raise ValueError("f must be a polynomial of known degree")
    return LagrangeScheme(setting.n_inputs, setting.n_workers, degree=setting.degree)


VARIANTS = {"lagrange": Variant(_make, "polynomial", "exact from (K - 1) d + 1 answers")}
