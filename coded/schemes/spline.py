"""LeTCC: encoder and decoder are natural cubic smoothing splines."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.estimation.splines_on_lines import errors_at_inputs
from coded.maps.arrays import LinearMap, Matrix
from coded.maps.torch_compile import untraced
from coded.places.points import (
    Points,
    chebyshev_first,
    chebyshev_second,
    equidistant,
    on_curve,
    snapped,
)
from coded.schemes.decoding_with_std import decode_with_std
from coded.schemes.door import read_lam
from coded.schemes.layouts import InOrder, Layout, Published
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders, Scheme
from coded.schemes.registry import Setting, Variant
from fastspline.arrays import FloatArray, read_only

Chosen: TypeAlias = Literal["gcv", "guarded"]  # by the answers
_KINDS = 'a number, "gcv" or "guarded"'


class SplineScheme(LinearScheme):
    """Code any function by smoothing splines (LeTCC), inputs in a good order at good points.

    The encoder is the natural cubic spline u that minimises ``sum_k (x_k - u(alpha_k))^2
    + lam_enc int u''^2``, and worker n gets ``u(beta_n)``. The decoder is the spline g
    that minimises ``sum_v (y_v - g(beta_v))^2 + lam_dec int g''^2`` over the answers, and
    the outputs are ``g(alpha)``. Beyond their knots both are straight lines. The pentadiagonal
    solver evaluates them, O(K + N) and O(R + K) per column. This is the published code, and that
    of inputs on a curve; what other inputs get is said below.

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
      answer each of these splines keeps its value. That is no solver's work: inputs are copied,
      and the mean is a dense matrix, made once for each set of responders and multiplied, O(R)
      for each lost output per column.

    Unbound, inputs keep the order given, equidistant on a curve. Of answers at equal points
    the first one counts. Two answers, both at one point, give that answer for all inputs.

    With ``lam_enc == lam_dec == 0`` the answer of a worker that evaluated an input itself
    is returned as that input's output, bit for bit. A lam_dec > 0 averages neighbouring
    answers, and a lam_enc > 0 mixes the inputs: then all outputs are estimates. For noisy
    functions ``lam_dec="gcv"`` chooses lam_dec by the answers at hand: by the robust score of
    `fastspline.select_lam`, one lam for all columns and lines. Then copies are repeated
    measurements, of which the mean counts by their number, decoding is not linear, and is by a
    matrix always.

    ``lam_dec="guarded"`` lets the answers at hand choose in a wider sense: answers are copied (of
    copies that differ by more than rounding their mean is the output, not called exact), and lost
    ones are a blend of interpolating splines, splines of three larger lam (1, 100 and 10,000 cubed
    mean gaps), the nearest answer and the mean, by what each errs on answers that are left out
    (`guarded`): where inputs are no curve, noisy and rough functions err no more than copies do.
    Up to ten numbers are then laid out in units of their spread, whatever their units. It costs a
    millisecond or two for each batch with losses, and has no matrix. It is not the default, since
    that is a linear map that depends on the responders alone, as the published decoder is, in
    torch, on a GPU or in another language: the answers choose only where they are asked to. On a
    curve points between inputs cost copies, which rough functions miss, and of several numbers
    smooth functions err less with `KernelScheme`.

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
    lam_dec : float, "gcv" or "guarded", optional
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

    exact_first = True  # what a call waits for
    _keeps_copies = True

    def __init__(
        self,
        n_inputs: int,
        n_workers: int,
        *,
        n_stragglers: int | None = None,
        lam_enc: float = 0.0,
        lam_dec: float | Chosen = 0.0,
    ) -> None:
        super().__init__(n_inputs, n_workers, n_stragglers)
        self._fewest = min(2, self._n_inputs, self._n_workers)
        if self.min_responders < self._fewest:
            raise ValueError(
                f"n_stragglers must lie in [0, {self._n_workers - self._fewest}], got "
                f"{self._n_stragglers}, since a spline needs {self._fewest} answers; "
                "lower it or raise n_workers"
            )
        self._lam_enc = read_lam(lam_enc, "lam_enc")
        self._looks_at_answers = isinstance(lam_dec, str) and lam_dec in ("gcv", "guarded")
        self._lam_dec = lam_dec if self._looks_at_answers else read_lam(lam_dec, "lam_dec", _KINDS)
        alpha = equidistant(self._n_inputs)
        beta = on_curve(alpha, self._n_workers, self._n_stragglers)
        self._layout: Layout = InOrder(alpha, beta, self._lam_enc)

    @classmethod
    def paper(
        cls,
        n_inputs: int,
        n_workers: int,
        *,
        n_stragglers: int | None = None,
        lam_enc: float = 0.0,
        lam_dec: float | Chosen = 0.0,
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
        alpha = chebyshev_first(scheme._n_inputs)
        beta = snapped(chebyshev_second(scheme._n_workers), alpha)
        scheme._layout = Published(alpha, beta, scheme._lam_enc)
        return scheme

    @property
    def alpha(self) -> Points:
        """Points of the inputs in the order along the line, ascending, shape (K,)."""
        return read_only(self._layout.alpha)

    @property
    def beta(self) -> Points:
        """Points of the workers, non-decreasing, shape (N,).

        Worker n sits at ``beta[n]``, unless inputs are bound: then workers are dealt out, so that
        those near each other sit far apart (`encoding_matrix` tells who got what).
        """
        return read_only(np.sort(self._layout.beta))

    @property
    def lam_enc(self) -> float:
        """Smoothing of the encoder, as given."""
        return self._lam_enc

    @property
    def lam_dec(self) -> float | Chosen:
        """Smoothing of the decoder, as given."""
        return self._lam_dec

    @untraced
    def bind(self, inputs: ArrayLike) -> Self:
        """Give the scheme that encodes and decodes these inputs, laid along a short path.

        Decode with what `bind` returned, if that encoded: a scheme that is not bound, or to other
        inputs, cannot know it, and decodes wrongly without a word.

        Places on the path are spaced by the distances between neighbours. Neighbours on the line,
        copies of an input among them, go to workers far apart
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
        if isinstance(self._layout, Published):
            return self
        array, _ = self._read_inputs(inputs)
        # Distances, paths and copies are no business of those who bind no inputs.
        from coded.schemes.bound_layouts import lay_out

        bound = copy.copy(self)
        counts, is_guarded = (self._n_workers, self._n_stragglers), self._lam_dec == "guarded"
        bound._layout = lay_out(array, *counts, self._lam_enc, is_guarded=is_guarded)
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
            If lam_dec is "gcv" or "guarded": then the answers choose the decoder.
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.
        """
        self._given_lam()  # raises where the answers choose
        return super().decoding_matrix(responders)

    @untraced
    def decode_with_std(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[FloatArray, NDArray[np.float64]]:
        """Give the outputs of all inputs, and how large their errors are expected to be.

        Each distinct point that answered is left out in turn, in closed form by the leverages,
        which gives errors e_i of estimates that have the posterior variance v_i. The squared
        error of output k is expected to be ``R / (R - .75) mean_i(||e_i||^2 / v_i^p) v_k^p``, R
        of the distinct points; where inputs are no curve, the mean is over those with a variance
        like v_k above all. With smoothing, p = 1. With lam_dec 0, squared errors grow with the
        gap h otherwise than the variance, h^3, does: p = 1/2 where inputs are no curve, and 5/4
        on a curve; what v_k exceeds the largest v_i by, as outside all answers, counts with
        p = 1, on a curve 2. For networks that is calibrated; errors of very smooth functions of
        one number vary over orders of magnitude, and std is their magnitude. None is expected to
        be larger than answers differ: their variance times ``2 + 20 / R``. With "guarded" the
        same powers serve, and what is blended adds its disagreement.

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
        if isinstance(self._lam_dec, str):
            from coded.schemes.chosen_decoding import decode_as_chosen

            chosen = self._layout, self._lam_dec
            return decode_as_chosen(self, *chosen, coded_outputs, responders)
        return decode_with_std(self, coded_outputs, responders, self._errors)

    def _given_lam(self) -> float:
        """Give lam_dec; TypeError where it is for the answers to choose."""
        if isinstance(self._lam_dec, str):
            raise TypeError(
                f'lam_dec="{self._lam_dec}" chooses the decoder by the answers, so that it has no '
                "matrix; call decode, or give lam_dec a number"
            )
        return self._lam_dec

    def _build_encoder(self) -> LinearMap:
        return self._layout.encoder()

    def _fit_map(self) -> LinearMap:
        return super()._fit_map() if self._lam_enc == 0.0 else self._layout.fit()

    def _build_decoder(self, responders: Responders) -> LinearMap:
        lam = self._layout.in_sum(self._given_lam(), len(responders))
        return self._layout.decoder(self._layout.sites(responders), lam)

    def _choose_decoder(self, coded_outputs: FloatArray, responders: Responders) -> LinearMap:
        """Give the decoder, which is the answers' choice if asked for."""
        if not isinstance(self._lam_dec, str):
            return self._decoder(responders)
        self._require_enough(responders)
        # Loaded by those who ask for it, for it takes scipy with it.
        from coded.schemes.chosen_decoding import choose

        return choose(self._layout, self._lam_dec, coded_outputs, responders)

    def _errors(
        self,
        decoder: LinearMap,  # noqa: ARG002 (that of the lam given)
        answers: Matrix,
        responders: Responders,
    ) -> NDArray[np.float64]:
        """Estimate the errors of all outputs."""
        lam = self._layout.in_sum(self._given_lam(), len(responders))
        growth = self._layout.growth if lam == 0.0 else (1.0, 1.0)
        sites = self._layout.sites(responders)
        return errors_at_inputs(sites, answers, lam=lam, growth=growth, has_means=False)

    def _suffices(self, responders: Responders) -> bool:
        return len(responders) >= self._fewest

    def _need(self, responders: Responders) -> str:  # noqa: ARG002 (the same for all)
        return f"{self._fewest} answers"

    def _held(self) -> NDArray[np.intp]:
        keeps = self._lam_dec in (0.0, "guarded")
        return self._layout.held() if keeps else np.full(self._n_workers, -1)

    def __repr__(self) -> str:
        """One line that could be typed, and whether data is bound."""
        return self._layout.typed.format(f"{self._n_inputs}, {self._n_workers}{self._settings()}")

    def _settings(self) -> str:
        return f"{super()._settings()}, lam_enc={self._lam_enc}, lam_dec={self._lam_dec!r}"


def _variant(make_scheme: Callable[..., SplineScheme], guarantee: str) -> Variant:
    def make(setting: Setting) -> Scheme:
        k, n, s = setting.n_inputs, setting.n_workers, setting.n_stragglers
        return make_scheme(k, n, n_stragglers=s)

    return Variant(make, "none", guarantee)


VARIANTS = {
    "spline": _variant(SplineScheme, "any 2 answers; lost ones by splines, with std"),
    "letcc": _variant(SplineScheme.paper, "any 2 answers; error O(S^3 N^-3) for smooth f"),
}
