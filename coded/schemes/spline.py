"""LeTCC: encoder and decoder are natural cubic smoothing splines."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from numbers import Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.coincidence import nearest_equal, snapped
from coded.distances import flattened, steps_along
from coded.linear_maps import LinearMap, Matrix
from coded.order import path_order
from coded.points import (
    Points,
    chebyshev_first,
    chebyshev_second,
    chord_length,
    equidistant,
    recommended_copies,
    systematic,
)
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from fastspline import Smoother
from fastspline.arrays import FloatArray, require_finite


class SplineScheme(LinearScheme):
    """Code any function by smoothing splines (LeTCC), inputs in a good order at good points.

    The encoder is the natural cubic spline u that minimises ``sum_k (x_k - u(alpha_k))^2
    + lam_enc int u''^2``, and worker n gets ``u(beta_n)``. The decoder is the spline g
    that minimises ``sum_v (y_v - g(beta_v))^2 + lam_dec int g''^2`` over the answers, and
    the outputs are ``g(alpha)``. Beyond their knots both are straight lines. O(K + N) and
    O(R + K) per column.

    By default the code is systematic: most workers sit at an alpha and evaluate an input
    itself, the others in the gaps between them. `bind` lays the inputs along `path_order`,
    so that neighbours on the line are alike, and spaces alpha by the distances between
    neighbours (`chord_length`); unbound they keep the order given, equidistant. Among
    answers at equal points the first one counts. Two answers, both at one point, give that
    answer for all inputs.

    With ``lam_enc == lam_dec == 0`` the answer of a worker that evaluated an input itself
    is returned as that input's output, bit for bit. A lam_dec > 0 averages neighbouring
    answers, and a lam_enc > 0 mixes the inputs: then all outputs are estimates.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1; with N < K, N of the inputs are evaluated and the others estimated.
    n_stragglers : int, optional
        How many answers may be missing; at least two are needed (one where K or N is 1).
        None means ``max(N - K, 0)``.
    lam_enc, lam_dec : float, optional
        Smoothing of encoder and decoder, in [0, inf]; 0 interpolates, inf fits a line.

    Raises
    ------
    TypeError
        If a count is no integer or a lam no number.
    ValueError
        If a count or a lam is out of range.

    References
    ----------
    P. Moradi, B. Tahmasebi, M. A. Maddah-Ali, "Coded Computing for Resilient Distributed
    Computing: A Learning-Theoretic Framework", NeurIPS 2024, arXiv:2406.00300.

    Examples
    --------
    >>> scheme = SplineScheme(4, 12, lam_dec=1e-6)
    >>> inputs = 3.0 * scheme.alpha + 1.0
    >>> coded_outputs = -scheme.encode(inputs)
    >>> outputs = scheme.decode(coded_outputs[::2], np.arange(0, 12, 2))
    >>> np.allclose(outputs, -inputs)
    True
    """

    def __init__(
        self,
        n_inputs: int,
        n_workers: int,
        *,
        n_stragglers: int | None = None,
        lam_enc: float = 0.0,
        lam_dec: float = 0.0,
    ) -> None:
        super().__init__(n_inputs, n_workers, n_stragglers)
        self._fewest = min(2, self._n_inputs, self._n_workers)
        if self.min_responders < self._fewest:
            raise ValueError(
                f"n_stragglers must lie in [0, {self._n_workers - self._fewest}], got "
                f"{self._n_stragglers}, since a spline needs {self._fewest} answers; "
                "lower it or raise n_workers"
            )
        self._lam_enc = _read_lam(lam_enc, "lam_enc")
        self._lam_dec = _read_lam(lam_dec, "lam_dec")
        self._is_paper = False
        self._place(equidistant(self._n_inputs))
        self._order: NDArray[np.intp] | None = None

    @classmethod
    def paper(
        cls,
        n_inputs: int,
        n_workers: int,
        *,
        n_stragglers: int | None = None,
        lam_enc: float = 0.0,
        lam_dec: float = 0.0,
    ) -> Self:
        """Make the scheme exactly as published.

        Alpha are Chebyshev points of the first kind, beta of the second kind, inputs stay
        in the order given, and both lam belong to fits of the average, ``(1/n) sum_i
        (y_i - u(t_i))^2 + lam int u''^2``: inside they are multiplied by K and by R.

        Parameters
        ----------
        n_inputs, n_workers, n_stragglers, lam_enc, lam_dec
            As in the constructor, but for the scale of lam.

        Returns
        -------
        SplineScheme
            Its `bind` returns it unchanged.

        Raises
        ------
        TypeError, ValueError
            As the constructor.

        References
        ----------
        arXiv:2406.00300, the two regression problems and the choice of points.

        Examples
        --------
        >>> scheme = SplineScheme.paper(4, 9, lam_enc=1e-4, lam_dec=1e-5)
        >>> scheme.encode([0.1, 0.4, 0.7, 1.0])[:3].round(6)
        array([0.054851, 0.100378, 0.228424])
        """
        scheme = cls(
            n_inputs, n_workers, n_stragglers=n_stragglers, lam_enc=lam_enc, lam_dec=lam_dec
        )
        scheme._alpha = chebyshev_first(scheme._n_inputs)
        scheme._beta = snapped(chebyshev_second(scheme._n_workers), scheme._alpha)
        scheme._is_paper = True
        return scheme

    @property
    def alpha(self) -> Points:
        """Points of the inputs in the order along the line, ascending, shape (K,)."""
        return self._alpha.copy()

    @property
    def beta(self) -> Points:
        """Points of the workers, non-decreasing, shape (N,)."""
        return self._beta.copy()

    @property
    def lam_enc(self) -> float:
        """Smoothing of the encoder, as given."""
        return self._lam_enc

    @property
    def lam_dec(self) -> float:
        """Smoothing of the decoder, as given."""
        return self._lam_dec

    def bind(self, inputs: ArrayLike) -> Self:
        """Lay the inputs along a short path, spaced by the distances between neighbours.

        Parameters
        ----------
        inputs : array_like, shape (K, ...)
            The inputs that will be encoded.

        Returns
        -------
        SplineScheme
            Takes and gives inputs and outputs in the caller's order all the same; the
            scheme itself where it is the published one.

        Raises
        ------
        TypeError
            If `inputs` holds no real numbers.
        ValueError
            If axis 0 has not K rows, or a number is not finite.
        """
        if self._is_paper:
            return self
        array, _ = self._read_inputs(inputs)
        rows = flattened(array)
        bound = copy.copy(self)
        bound._order = path_order(rows)
        bound._place(chord_length(steps_along(rows, bound._order)))
        return bound

    def _place(self, alpha: Points) -> None:
        """Put the inputs at `alpha`, and the workers at and between them."""
        copies = recommended_copies(self._n_inputs, self._n_workers, self._n_stragglers)
        self._alpha = alpha
        self._beta = systematic(alpha, self._n_workers, copies=copies)

    def _build_encoder(self) -> LinearMap:
        scale = self._n_inputs if self._is_paper else 1
        spline = Smoother(self._alpha, lam=scale * self._lam_enc).operator(self._beta)
        return spline if self._order is None else spline.gather(self._order, self._n_inputs)

    def _fit_map(self) -> LinearMap:
        if self._lam_enc == 0.0:
            return super()._fit_map()
        scale = self._n_inputs if self._is_paper else 1
        order = np.arange(self._n_inputs) if self._order is None else self._order
        smoother = Smoother(self._alpha, lam=scale * self._lam_enc)
        fit = smoother.operator(self._alpha[np.argsort(order)])
        return fit.gather(order, self._n_inputs)

    def _build_decoder(self, responders: Responders) -> LinearMap:
        scale = len(responders) if self._is_paper else 1
        knots, first = np.unique(self._beta[list(responders)], return_index=True)
        points = self._alpha
        if self._order is not None:
            points = np.empty_like(self._alpha)
            points[self._order] = self._alpha
        spline = Smoother(knots, lam=scale * self._lam_dec).operator(points)
        if len(first) == len(responders):
            return spline
        repeats = np.setdiff1d(np.arange(len(responders)), first)
        return _FirstCopies(spline.gather(first, len(responders)), repeats)

    def _suffices(self, responders: Responders) -> bool:
        return len(responders) >= self._fewest

    def _need(self, responders: Responders) -> str:  # noqa: ARG002 (the same for all)
        return f"{self._fewest} answers"

    def _held(self) -> NDArray[np.intp]:
        if self._lam_enc > 0 or self._lam_dec > 0:
            return np.full(self._n_workers, -1)
        held = nearest_equal(self._beta, self._alpha)
        return held if self._order is None else np.where(held >= 0, self._order[held], -1)

    def __repr__(self) -> str:
        """One line that could be typed, and whether data is bound."""
        name = "SplineScheme.paper" if self._is_paper else "SplineScheme"
        line = f"{name}({self._n_inputs}, {self._n_workers}{self._settings()})"
        return line if self._order is None else f"{line}.bind(...)"

    def _settings(self) -> str:
        return f"{super()._settings()}, lam_enc={self._lam_enc}, lam_dec={self._lam_dec}"


@dataclass(frozen=True, eq=False)
class _FirstCopies:
    """A map that reads some of its rows; the rows that it leaves out must be finite too."""

    linear_map: LinearMap
    unread: NDArray[np.intp]

    def __call__(self, values: FloatArray) -> FloatArray:
        require_finite(values[self.unread], "values")
        return self.linear_map(values)

    def dense(self) -> Matrix:
        return self.linear_map.dense()


def _read_lam(value: float, name: str) -> float:
    """Check a smoothing parameter: a number in [0, inf]."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}; 0 interpolates, inf fits a line")
    try:
        lam = float(value)
    except OverflowError:
        raise ValueError(f"{name} must fit a float, got a larger number; inf fits a line") from None
    if math.isnan(lam) or lam < 0:
        raise ValueError(f"{name} must be >= 0 (0 interpolates, inf fits a line), got {lam}")
    return lam
