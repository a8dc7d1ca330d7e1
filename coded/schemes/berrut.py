"""BACC: encoder and decoder are Berrut's rational interpolants."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.barycentric import (
    alternating_signs,
    barycentric_matrix,
    berrut_lengths,
    leave_one_out_matrix,
    left_out_lengths,
)
from coded.maps.arrays import LinearMap, Matrix, MatrixMap
from coded.maps.torch_compile import untraced
from coded.places.points import Points, chebyshev_first, chebyshev_second, nearest_equal, snapped
from coded.schemes.decoding_with_std import decode_with_std
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from coded.schemes.registry import Setting, Variant
from fastspline.arrays import FloatArray, read_only

WorkerPoints: TypeAlias = Literal["second", "first"]

_WORKER_POINTS = {"second": chebyshev_second, "first": chebyshev_first}


class BerrutScheme(LinearScheme):
    """Code any function by Berrut's rational interpolant, which has no poles (BACC).

    Encoder and decoder are both ``u(z) = sum_j [(-1)^j / (z - x_j)] y_j / sum_j
    [(-1)^j / (z - x_j)]``: over the inputs at `alpha`, Chebyshev points of the first
    kind, and over the answers at ``beta[responders]``. The signs alternate over the sorted
    responders. O(N K) and O(K R) per column.

    The published worker points are two. BACC takes Chebyshev points of the second kind,
    ``-cos(i pi / (N - 1))``, both ends included; SBACC takes those of the first kind,
    ``-cos((2 i + 1) pi / (2 N))``, on which codes of the discrete cosine transform could find
    wrong answers. Where an alpha equals a beta the value is copied, so that worker evaluates
    an input itself: with the second kind where ``(2 k + 1) (N - 1) = 2 K i``, k and i from 0,
    for all K inputs where 2 K divides N - 1; with the first where ``(2 k + 1) N =
    (2 i + 1) K``, for all where N is an odd multiple of K.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1.
    n_stragglers : int, optional
        How many answers may be missing, in [0, N). None means ``max(N - K, 0)``. Any
        one answer or more can be decoded: the error grows as answers are lost.
    worker_points : {"second", "first"}, optional
        The kind of the workers' Chebyshev points.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range or `worker_points` neither kind.

    References
    ----------
    T. Jahani-Nezhad, M. A. Maddah-Ali, "Berrut Approximated Coded Computing: Straggler
    Resistance Beyond Polynomial Computing", arXiv:2009.08327 (BACC). R. Borah, J. Harshan,
    "On Securing Berrut Approximated Coded Computing Through Discrete Cosine Transforms",
    arXiv:2507.01330 (SBACC).

    Examples
    --------
    >>> scheme = BerrutScheme(3, 6)
    >>> coded_outputs = np.exp(-scheme.encode([4.0, 2.0, 1.0]))
    >>> scheme.decode(coded_outputs[[0, 2, 4, 5]], [0, 2, 4, 5]).round(6)
    array([0.018215, 0.107422, 0.370192])
    """

    def __init__(
        self,
        n_inputs: int,
        n_workers: int,
        *,
        n_stragglers: int | None = None,
        worker_points: WorkerPoints = "second",
    ) -> None:
        super().__init__(n_inputs, n_workers, n_stragglers)
        if not isinstance(worker_points, str) or worker_points not in _WORKER_POINTS:
            raise ValueError(
                f'worker_points must be "second" or "first", got {worker_points!r}; '
                "BACC takes the second kind, SBACC the first"
            )
        self._worker_points: WorkerPoints = worker_points
        self._alpha = chebyshev_first(self._n_inputs)
        self._beta = snapped(_WORKER_POINTS[worker_points](self._n_workers), self._alpha)

    @property
    def worker_points(self) -> WorkerPoints:
        """The kind of the workers' Chebyshev points."""
        return self._worker_points

    @property
    def alpha(self) -> Points:
        """Points of the inputs, ascending, shape (K,)."""
        return read_only(self._alpha)

    @property
    def beta(self) -> Points:
        """Points of the workers, ascending, shape (N,)."""
        return read_only(self._beta)

    @untraced
    def decode_with_std(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[FloatArray, NDArray[np.float64]]:
        """Give the outputs of all inputs, and how large their errors are expected to be.

        Each answer is predicted from all others, which gives errors e_i. Berrut's error is a
        length h, `berrut_lengths`, times a sum of divided differences that is taken to be as
        large at the inputs as at the answers: ``std_k = h_k sqrt(mean_i(||e_i||^2 / h_i^2))``.

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
            an exact answer; inf where only one worker answered: that does not tell how much f
            varies.

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.

        References
        ----------
        M. S. Floater, K. Hormann, "Barycentric rational interpolation with no poles and high
        rates of approximation", Numer. Math. 107, 2007, the case d = 0.
        """
        return decode_with_std(self, coded_outputs, responders, self._errors)

    def _errors(
        self,
        decoder: LinearMap,  # noqa: ARG002 (what is estimated does not depend on it)
        answers: Matrix,
        responders: Responders,
    ) -> NDArray[np.float64]:
        """Estimate the errors of all outputs."""
        nodes = self._beta[list(responders)]
        if len(nodes) == 1:
            return np.full(self._n_inputs, np.inf)
        errors = leave_one_out_matrix(nodes) @ answers - answers
        squares = np.einsum("ij,ij->i", errors, errors)
        scale = np.sqrt(np.mean(squares / left_out_lengths(nodes) ** 2))
        return np.asarray(scale * berrut_lengths(nodes, self._alpha))

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

    def _settings(self) -> str:
        chosen = "" if self._worker_points == "second" else ', worker_points="first"'
        return f"{super()._settings()}{chosen}"


def _second(setting: Setting) -> BerrutScheme:
    k, n, s = setting.n_inputs, setting.n_workers, setting.n_stragglers
    return BerrutScheme(k, n, n_stragglers=s)


def _first(setting: Setting) -> BerrutScheme:
    k, n, s = setting.n_inputs, setting.n_workers, setting.n_stragglers
    return BerrutScheme(k, n, n_stragglers=s, worker_points="first")


_GUARANTEE = "any answer; error grows as answers are lost"
VARIANTS = {
    "berrut": Variant(_second, "none", _GUARANTEE),
    "berrut-first": Variant(_first, "none", _GUARANTEE),
}
