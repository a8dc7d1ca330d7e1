"""LeTCC: encoder and decoder are natural cubic smoothing splines."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.estimation.cross_validation import pooled_gcv
from coded.estimation.lines import (
    expected_errors,
    least_lam,
    risks,
    smoothing_matrix,
)
from coded.maps.arrays import FilledMap, LinearMap, Matrix, MatrixMap, RowMap
from coded.maps.untraced import untraced
from coded.nearness.distances import flattened, natural_units, steps_along
from coded.nearness.features import is_image, pooled_gradients
from coded.nearness.order import path_order
from coded.places.copies import copies_by_risk
from coded.places.input_lines import is_curve, several_lines
from coded.places.placement import places_far_apart
from coded.places.points import (
    Points,
    chebyshev_first,
    chebyshev_second,
    chord_length,
    equidistant,
    nearest_equal,
    on_curve,
    snapped,
    systematic,
)
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders, Scheme
from coded.schemes.variants import Setting, Variant
from fastspline import Smoother, SplineOperator
from fastspline.arrays import FloatArray, require_finite

# Squared errors grow as these powers of the variance, which grows as the cubed gap: as the square
# of the gap for functions that are not smooth between the inputs, as networks; on a curve as its
# sixth power, between the eighth of a smooth function inside and the fourth at the ends.
_ROUGH_GROWTH, _CURVE_GROWTH = 2.0 / 3.0, 2.0


class SplineScheme(LinearScheme):
    """Code any function by smoothing splines (LeTCC), inputs in a good order at good points.

    The encoder is the natural cubic spline u that minimises ``sum_k (x_k - u(alpha_k))^2
    + lam_enc int u''^2``, and worker n gets ``u(beta_n)``. The decoder is the spline g
    that minimises ``sum_v (y_v - g(beta_v))^2 + lam_dec int g''^2`` over the answers, and
    the outputs are ``g(alpha)``. Beyond their knots both are straight lines, but for what is said
    below. O(K + N) and O(R + K) per column.

    The code is systematic: most workers sit at an alpha and evaluate an input itself. `bind`
    lays the inputs along `path_order`, so that neighbours on the line are alike, and spaces
    alpha by the distances between neighbours (`chord_length`). For images (last two axes both
    at least 8 long) distances are those of `pooled_gradients` over the square roots of their
    lengths, else of the flattened inputs, those of up to three numbers in units of each
    number's range. Then there are two cases, told apart by whether the path comes back to inputs
    that it has passed (the distance to the nearest input but the two neighbours on the path, in
    parts of the way by a neighbour):

    - Eight or more inputs of one parameter lie on a curve (0.9 or more on average), along which
      f is expected to be smooth. All but one of the copies that fit sit at each alpha, up to
      three more at each end, and the other workers in the widest gaps (`on_curve`).
    - Other inputs: points between neighbours would be off the data, where f tells little, or
      too few to tell how f wiggles there. All workers evaluate inputs, and those that are far
      from others get more copies (`copies_by_risk`). The decoder is the mean of 16 splines, each
      along another short path through the inputs, with weights in inverse proportion to the
      splines' posterior variances at the lost input (that of an integrated Wiener process, with
      noise of variance lam_dec, but at least 0.01 cubed mean gaps). One path takes a lost input
      from two neighbours; several take it from more, and the nearest count most. Beyond its last
      answer each of these splines keeps its value.

    Unbound, inputs keep the order given, equidistant on a curve. Of answers at equal points
    the first one counts. Two answers, both at one point, give that answer for all inputs.

    With ``lam_enc == lam_dec == 0`` the answer of a worker that evaluated an input itself
    is returned as that input's output, bit for bit. A lam_dec > 0 averages neighbouring
    answers, and a lam_enc > 0 mixes the inputs: then all outputs are estimates. For noisy
    functions ``lam_dec="gcv"`` chooses lam_dec by the answers at hand: by generalised
    cross-validation, one lam for all columns and lines. Then copies are repeated measurements,
    of which the mean counts by their number, and decoding is not linear.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1; with N < K, N of the inputs are evaluated and the others estimated.
    n_stragglers : int, optional
        How many answers may be missing; at least two are needed (one where K or N is 1).
        None means ``max(N - K, 0)``.
    lam_enc : float, optional
        Smoothing of the encoder, in [0, inf]; 0 interpolates, inf fits a line.
    lam_dec : float or "gcv", optional
        Smoothing of the decoder, likewise.

    Raises
    ------
    TypeError
        If a count is no integer or a lam no number.
    ValueError
        If a count or a lam is out of range.

    References
    ----------
    P. Moradi, B. Tahmasebi, M. A. Maddah-Ali, "Coded Computing for Resilient Distributed
    Computing: A Learning-Theoretic Framework", NeurIPS 2024, arXiv:2406.00300. P. Craven, G.
    Wahba, "Smoothing noisy data with spline functions", Numer. Math. 31 (1979), for "gcv". G.
    Wahba, J. R. Statist. Soc. B 45 (1983), for the posterior variance.

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
        lam_dec: float | Literal["gcv"] = 0.0,
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
        self._lam_dec: float | Literal["gcv"] = "gcv"
        if not (isinstance(lam_dec, str) and lam_dec == "gcv"):
            self._lam_dec = _read_lam(lam_dec, "lam_dec")
        self._looks_at_answers = self._lam_dec == "gcv"
        self._is_paper = False
        self._place_on_curve(equidistant(self._n_inputs))
        self._order: NDArray[np.intp] | None = None
        self._lines: Matrix | None = None

    @classmethod
    def paper(
        cls,
        n_inputs: int,
        n_workers: int,
        *,
        n_stragglers: int | None = None,
        lam_enc: float = 0.0,
        lam_dec: float | Literal["gcv"] = 0.0,
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
        scheme._place_workers(snapped(chebyshev_second(scheme._n_workers), scheme._alpha))
        scheme._is_paper = True
        return scheme

    @property
    def alpha(self) -> Points:
        """Points of the inputs in the order along the line, ascending, shape (K,)."""
        return self._alpha.copy()

    @property
    def beta(self) -> Points:
        """Points of the workers, non-decreasing, shape (N,).

        Worker n sits at ``beta[n]``, unless inputs are bound: then workers are dealt out, so that
        those near each other sit far apart (`encoding_matrix` tells who got what).
        """
        return np.sort(self._beta)

    @property
    def lam_enc(self) -> float:
        """Smoothing of the encoder, as given."""
        return self._lam_enc

    @property
    def lam_dec(self) -> float | Literal["gcv"]:
        """Smoothing of the decoder, as given."""
        return self._lam_dec

    @untraced
    def bind(self, inputs: ArrayLike) -> Self:
        """Lay the inputs along a short path, spaced by the distances between neighbours.

        Neighbours on the line, copies of an input among them, go to workers far apart
        (`places_far_apart`): losing workers in a row, as with a machine that has several, leaves
        no wide gap on the line. Inputs that are no curve get 15 more paths, each as long a search
        as the first.

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
        rows = _features(array)
        bound = copy.copy(self)
        bound._order = path_order(rows)
        if is_curve(rows, bound._order):
            bound._place_on_curve(chord_length(steps_along(rows, bound._order)))
        else:
            bound._place_at_inputs(several_lines(rows, bound._order))
        dealt = places_far_apart(self._n_workers)
        bound._beta, bound._site = bound._beta[dealt], bound._site[dealt]
        return bound

    def decoding_matrix(self, responders: ArrayLike) -> Matrix:
        """Give the decoder of one responder set as a dense matrix.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray, shape (K, R)
            ``decode(y, responders) == decoding_matrix(responders) @ y``.

        Raises
        ------
        TypeError
            If ``lam_dec="gcv"``: then the answers choose the decoder.
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.
        """
        if self._lam_dec == "gcv":
            raise TypeError(
                'lam_dec="gcv" chooses the decoder by the answers, so that it has no matrix; '
                "call decode, or give lam_dec a number"
            )
        return super().decoding_matrix(responders)

    @untraced
    def decode_with_std(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[FloatArray, NDArray[np.float64]]:
        """Give the outputs of all inputs, and how large their errors are expected to be.

        Each distinct point that answered is left out in turn, in closed form by the leverages,
        which gives errors e_i of estimates that have the posterior variance v_i. The squared
        error of output k is expected to be ``mean_i(||e_i||^2 / v_i^p) v_k^p``. With smoothing,
        p = 1. With lam_dec 0, squared errors grow with the gap h otherwise than the variance,
        h^3, does: p = 2/3 where inputs are no curve, as h^2, and p = 2 on a curve, as h^6. For
        networks that is calibrated; errors of very smooth functions vary over orders of
        magnitude, and std is their magnitude.

        Parameters
        ----------
        coded_outputs : array_like, shape (R, ...)
            Answers in the order of `responders`; numpy or torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        outputs : array of the kind and floating dtype of `coded_outputs`, shape (K, ...)
            As `decode`.
        std : ndarray of float, shape (K,)
            The expected root mean square of ``||output_k - f(x_k)||_2``. 0 where the output is
            an exact answer. Where only two distinct points answered, the distance of their
            answers; where only one did, inf: that does not tell how much f varies.

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.
        """
        return self._decode_with_std(coded_outputs, responders, self._errors)

    def _place_on_curve(self, alpha: Points) -> None:
        """Put the inputs at `alpha`, and the workers at and between them."""
        self._alpha = alpha
        self._place_workers(on_curve(alpha, self._n_workers, self._n_stragglers))

    def _place_workers(self, beta: Points) -> None:
        """Put the workers at `beta`; those at one point make one site."""
        self._beta = beta
        self._places, self._site = np.unique(beta, return_inverse=True)

    def _place_at_inputs(self, lines: Matrix) -> None:
        """Put the inputs on the first line, all workers at them, and the decoder on all lines."""
        assert self._order is not None  # lines come with `bind`
        self._alpha = alpha = lines[0, self._order]
        self._lines = lines
        if self._n_workers < self._n_inputs:
            self._beta = systematic(alpha, self._n_workers)
        else:
            copies = copies_by_risk(risks(lines), self._n_workers, self._n_stragglers)
            self._beta = np.repeat(alpha, copies[self._order])
        self._site = self._order[np.searchsorted(alpha, self._beta)]  # the input it evaluates

    def _build_encoder(self) -> LinearMap:
        if self._lines is not None and self._lam_enc == 0.0:
            return RowMap(self._site, self._n_inputs)
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
        lam = self._fixed_lam(len(responders))
        sites = self._sites(responders)
        if len(sites.knots) > 1:
            return self._mean_of_splines(sites, lam, len(responders))
        spline = Smoother(sites.knots[0], lam=lam).operator(sites.points[0])
        first = sites.first
        if len(first) == len(responders) and (first[1:] > first[:-1]).all():
            return spline
        repeats = np.setdiff1d(np.arange(len(responders)), first)
        return _FirstCopies(spline.gather(first, len(responders)), repeats)

    def _mean_of_splines(self, sites: _Sites, lam: float, n_responders: int) -> LinearMap:
        """Make the mean over several lines; answers that are outputs stay as they are."""
        source = np.full(self._n_inputs, -1)
        if lam == self._lam_enc == 0.0:
            source[sites.present] = sites.first
        lost = np.flatnonzero(source < 0)
        weights = np.zeros((lost.size, n_responders))
        if lost.size:
            points = sites.points.take(lost, axis=1)
            seen = self._seen_lam(lam)
            weights[:, sites.first] = smoothing_matrix(sites.knots, points, lam=lam, seen=seen)
        return FilledMap(source, weights)

    def _choose_decoder(self, coded_outputs: FloatArray, responders: Responders) -> LinearMap:
        """Give the decoder; "gcv" chooses its lam by the answers."""
        if self._lam_dec != "gcv":
            return self._decoder(responders)
        self._require_enough(responders)
        require_finite(coded_outputs, "coded_outputs")
        answers = coded_outputs.reshape(len(coded_outputs), -1).astype(np.float64, copy=False)
        sites = self._sites(responders)
        counts = sites.counts.astype(np.float64)
        lam = pooled_gcv(sites.knots, answers, sites.which)
        matrix = smoothing_matrix(
            sites.knots, sites.points, lam=lam, seen=self._seen_lam(lam), weights=counts
        )
        return _ChosenMap(matrix[:, sites.which] / counts[sites.which], lam)

    def _errors(
        self, decoder: LinearMap, answers: Matrix, responders: Responders
    ) -> NDArray[np.float64]:
        """Estimate the errors of all outputs."""
        sites = self._sites(responders)
        n_sites = len(sites.first)
        if n_sites == 1:
            return np.full(self._n_inputs, np.inf)
        values, weights = answers[sites.first], None
        if isinstance(decoder, _ChosenMap):
            lam, weights = decoder.lam, sites.counts.astype(np.float64)
            values = np.zeros(values.shape)
            np.add.at(values, sites.which, answers)
            values /= weights[:, None]
        else:
            lam = self._fixed_lam(len(responders))
        if n_sites == 2:
            return np.full(self._n_inputs, np.linalg.norm(values[1] - values[0]))
        growth = 1.0
        if lam == 0.0:
            growth = _ROUGH_GROWTH if len(sites.knots) > 1 else _CURVE_GROWTH
        return expected_errors(
            sites.knots, sites.points, values,
            lam=self._seen_lam(lam), growth=growth, weights=weights,
        )  # fmt: skip

    def _fixed_lam(self, n_responders: int) -> float:
        """Give lam_dec in the sum's scale."""
        assert self._lam_dec != "gcv"  # the type checker cannot know
        return self._lam_dec * n_responders if self._is_paper else self._lam_dec

    def _seen_lam(self, lam: float) -> float:
        """Give the smoothing that variances reckon with."""
        return max(lam, least_lam(self._n_inputs))

    def _sites(self, responders: Responders) -> _Sites:
        """Tell where on each line the distinct answers and the inputs lie."""
        site = self._site[np.array(responders)]
        counts = np.bincount(site)
        present = np.flatnonzero(counts)
        first, number = np.empty((2, counts.size), np.intp)
        first[site[::-1]] = np.arange(len(site) - 1, -1, -1)  # the last written, the first, stays
        number[present] = np.arange(len(present))
        if self._lines is not None:
            knots, points = self._lines.take(present, axis=1), self._lines
        else:
            knots, points = self._places[present][None], self._alpha[None]
            if self._order is not None:
                points = np.empty((1, self._n_inputs))
                points[0, self._order] = self._alpha
        return _Sites(present, first[present], number[site], counts[present], knots, points)

    def _suffices(self, responders: Responders) -> bool:
        return len(responders) >= self._fewest

    def _need(self, responders: Responders) -> str:  # noqa: ARG002 (the same for all)
        return f"{self._fewest} answers"

    def _held(self) -> NDArray[np.intp]:
        if self._lam_enc > 0 or self._lam_dec != 0.0:
            return np.full(self._n_workers, -1)
        held = nearest_equal(self._beta, self._alpha)
        return held if self._order is None else np.where(held >= 0, self._order[held], -1)

    def __repr__(self) -> str:
        """One line that could be typed, and whether data is bound."""
        name = "SplineScheme.paper" if self._is_paper else "SplineScheme"
        line = f"{name}({self._n_inputs}, {self._n_workers}{self._settings()})"
        return line if self._order is None else f"{line}.bind(...)"

    def _settings(self) -> str:
        return f"{super()._settings()}, lam_enc={self._lam_enc}, lam_dec={self._lam_dec!r}"


class _Sites(NamedTuple):
    """Where the answers lie: those at one point are one site."""

    present: NDArray[np.intp]  # (n,) sites that answered; on several lines a site is an input
    first: NDArray[np.intp]  # (n,) the first answer of each site
    which: NDArray[np.intp]  # (R,) the site of each answer
    counts: NDArray[np.intp]  # (n,) how many answers each site has
    knots: Matrix  # (Q, n) the sites on each line
    points: Matrix  # (Q, K) the inputs on each line, in the caller's order


@dataclass(frozen=True, eq=False)
class _ChosenMap(MatrixMap):
    """A matrix that the answers chose, by their lam."""

    lam: float


@dataclass(frozen=True, eq=False)
class _FirstCopies:
    """A map that reads some of its rows; the rows that it leaves out must be finite too."""

    linear_map: SplineOperator
    unread: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, int]:
        return self.linear_map.shape

    def __call__(self, values: FloatArray) -> FloatArray:
        require_finite(values[self.unread], "values")
        return self.linear_map(values)

    def adjoint(self, cotangent: FloatArray) -> FloatArray:
        return self.linear_map.adjoint(cotangent)

    def dense(self) -> Matrix:
        return self.linear_map.dense()


def _features(inputs: FloatArray) -> FloatArray:
    """Describe inputs so that alike ones are near; of images their contrast counts by its root.

    On tuning images that gave fewer wrong labels than gradients as they are, or of unit length,
    which would make images that differ in their contrast alone the same.
    """
    if not is_image(inputs):
        rows = flattened(inputs)
        return rows / natural_units(rows)
    gradients = pooled_gradients(inputs)
    length = np.linalg.norm(gradients, axis=1, keepdims=True)
    return gradients / np.sqrt(np.where(length > 0.0, length, 1.0))


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


def _variant(make_scheme: Callable[..., SplineScheme], guarantee: str, title: str) -> Variant:
    def make(setting: Setting) -> Scheme:
        k, n, s = setting.n_inputs, setting.n_workers, setting.n_stragglers
        return make_scheme(k, n, n_stragglers=s)

    return Variant(make, "none", guarantee, title)


VARIANTS = {
    "spline": _variant(
        SplineScheme, "any 2 answers; lost ones by splines, with std", title="SplineScheme"
    ),
    "letcc": _variant(
        SplineScheme.paper, "any 2 answers; error O(S^3 N^-3) for smooth f", title="LeTCC"
    ),
}
