"""BACC: encoder and decoder are Berrut's rational interpolants."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coded.barycentric import alternating_signs, barycentric_matrix
from coded.coincidence import nearest_equal, snapped
from coded.linear_maps import LinearMap, MatrixMap
from coded.points import Points, chebyshev_first, chebyshev_second
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from coded.schemes.variants import Setting, Variant


class BerrutScheme(LinearScheme):
    """Code any function by Berrut's rational interpolant, which has no poles (BACC).

    Encoder and decoder are both ``u(z) = sum_j [(-1)^j / (z - x_j)] y_j / sum_j
    [(-1)^j / (z - x_j)]``: over the inputs at `alpha`, Chebyshev points of the first
    kind, and over the answers at ``beta[responders]``, Chebyshev points of the second
    kind. The signs alternate over the sorted responders. Where an alpha equals a beta
    the value is copied, so that worker evaluates an input itself. O(N K) and O(K R)
    per column.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1.
    n_stragglers : int, optional
        How many answers may be missing, in [0, N). None means ``max(N - K, 0)``. Any
        one answer or more can be decoded: the error grows as answers are lost.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    T. Jahani-Nezhad, M. A. Maddah-Ali, "Berrut Approximated Coded Computing: Straggler
    Resistance Beyond Polynomial Computing", arXiv:2009.08327.

    Examples
    --------
    >>> scheme = BerrutScheme(3, 6)
    >>> coded_outputs = np.exp(-scheme.encode([4.0, 2.0, 1.0]))
    >>> scheme.decode(coded_outputs[[0, 2, 4, 5]], [0, 2, 4, 5]).round(6)
    array([0.018215, 0.107422, 0.370192])
    """

    def __init__(self, n_inputs: int, n_workers: int, *, n_stragglers: int | None = None) -> None:
        super().__init__(n_inputs, n_workers, n_stragglers)
        self._alpha = chebyshev_first(self._n_inputs)
        self._beta = snapped(chebyshev_second(self._n_workers), self._alpha)

    @property
    def alpha(self) -> Points:
        """Points of the inputs, ascending, shape (K,)."""
        return self._alpha.copy()

    @property
    def beta(self) -> Points:
        """Points of the workers, ascending, shape (N,)."""
        return self._beta.copy()

    def _build_encoder(self) -> LinearMap:
        signs = alternating_signs(self._n_inputs)
        return MatrixMap(barycentric_matrix(self._alpha, signs, self._beta))

    def _build_decoder(self, responders: Responders) -> LinearMap:
        signs = alternating_signs(len(responders))
        return MatrixMap(barycentric_matrix(self._beta[list(responders)], signs, self._alpha))

    def _suffices(self, responders: Responders) -> bool:
        return len(responders) > 0

    def _held(self) -> NDArray[np.intp]:
        return nearest_equal(self._beta, self._alpha)


def _make(setting: Setting) -> BerrutScheme:
    k, n, s = setting.n_inputs, setting.n_workers, setting.n_stragglers
    return BerrutScheme(k, n, n_stragglers=s)


VARIANTS = {"berrut": Variant(_make, "none", "any answer; error grows as answers are lost")}
