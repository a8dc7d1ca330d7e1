"""ApproxIFER: Berrut's code, and workers that lie are found by a rational function."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.barycentric import alternating_signs, barycentric_matrix, leave_one_out_matrix
from coded.algebra.rational_locator import (
    agreement,
    clipped,
    column_units,
    hardest_to_predict,
    locator_magnitudes,
    most_voted,
)
from coded.arguments import read_count
from coded.maps.arrays import LinearMap, Matrix, MatrixMap, columns_of
from coded.maps.torch_compile import untraced
from coded.places.points import Points, chebyshev_first, chebyshev_second, nearest_equal, snapped
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from coded.schemes.registry import Setting, Variant
from fastspline.arrays import FloatArray, require_finite

# That vote. 1000 find hardly more liars; each costs a singular value decomposition, (K + E)^3.
_MOST_COLUMNS = 128
_DECISIVE = 0.5  # of the votes, for each suspect
_DOUBT = 0.7  # suspects by votes are kept if they stand out by so much of what others do
# Largest errors of trusted answers by which a suspect errs that is dropped. With 1, more honest
# answers are dropped that are hard to predict; with 2, more liars are kept.
_STANDS_OUT = 1.5


class ApproxIFERScheme(LinearScheme):
    """Code any function by Berrut's interpolant and find up to E workers that lie (ApproxIFER).

    Encoder and decoder are those of BACC: inputs at `alpha`, Chebyshev points of the first
    kind, workers at `beta`, those of the second kind, both ends included. For each column of
    the answers polynomials P and Q of degree K + E - 1 with ``P(beta) = y Q(beta)`` are sought
    (`locator_magnitudes`), and the column votes for the E workers with the smallest ``|Q|``;
    the E workers with the most votes are suspects. That needs ``2 (K + E) - 1`` answers, as
    many as P and Q have coefficients but for a common factor. Of more than 128 columns that
    differ, 128 vote, drawn by a hash of all answers: the same answers give the same outputs,
    and no liar knows which are drawn.

    Where some suspect has less than half of the votes there are other suspects too: the E
    workers without whom Berrut's interpolant predicts each of the others best from the rest,
    dropped one by one (`hardest_to_predict`), columns in their own units (`column_units`). Of
    both sets that is taken whose answers stand out more, votes at odds of 10 to 7.

    As published all suspects are dropped, E honest workers where nobody lies. Here those stay
    that do not stand out: the answer of a suspect is predicted by Berrut's interpolant through
    the trusted ones, and it is dropped if its error is more than 1.5 times that of every trusted
    answer but the first and the last, each predicted from the other trusted ones. Where nobody
    lay, errors on softmax outputs were 0.7 to 1.0 of what they are without all suspects, and 1.1
    to 1.3 of what they are with all answers (BACC); with N(0, 1) lies 1.0 to 1.1 of what they are
    without the liars, 1.2 on a random network where answers were missing.

    A heuristic: outputs along the encoder's curve are no rational functions of such a degree.
    In how many of 100 trials all E liars were located (200 trials each, 100 of LeNet5; softmax
    outputs in 10 classes of a random linear map, of a random network with one hidden layer, and
    of LeNet5 on digits; what the votes alone find in parentheses):

    ============ ======= ======= ======== ======== ======== =========
    (K, E, S)    f       N(0, 1) +1 in    other    another  all
                         added   a class  sign     class    equal
    ============ ======= ======= ======== ======== ======== =========
    (4, 1, 1)    linear  100     69 (19)  71 (24)  70 (44)  83 (92)
    ..           network 100     92 (24)  96 (70)  71 (51)  51 (62)
    ..           LeNet5  99      27 (17)  18 (17)  36 (18)  100
    (8, 2, 4)    linear  99 (94) 31 (3)   63 (3)   32 (10)  34 (47)
    ..           network 97 (82) 56 (3)   74 (16)  33 (10)  12 (14)
    ..           LeNet5  99 (88) 3        2        11 (5)   87 (90)
    (12, 3, 0)   linear  100     17 (1)   48 (0)   10 (2)   25 (46)
    ..           network 100     34 (0)   60 (7)   13 (6)   3
    ..           LeNet5  97      0        0        1        60 (68)
    (12, 3, 6)   linear  96 (74) 14 (0)   47 (0)   15 (2)   11 (17)
    ..           network 96 (50) 41 (0)   56 (4)   14 (1)   1
    ..           LeNet5  92 (88) 0        1        2        45 (50)
    ============ ======= ======= ======== ======== ======== =========

    Numbers a hundred times as large are found in 98 to 100. So lies that are large beside the
    variation of f are found; those that look like another input's answer are mostly not, least
    of all where f jumps as a trained network's softmax does. Votes alone are better at liars that
    give all classes the same probability.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 2 K + 2 E + S - 1, or K + S without liars.
    n_stragglers : int, optional
        S, how many answers may be missing. None means as many as N allows.
    n_liars : int
        E, how many workers may give wrong answers; 0 is BACC.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range, or N too small for K, S and E.

    References
    ----------
    M. Soleymani, R. E. Ali, H. Mahdavifar, A. S. Avestimehr, "ApproxIFER: A Model-Agnostic
    Approach to Resilient and Robust Prediction Serving Systems", AAAI 2022, arXiv:2109.09868.
    The scripts of its authors leave out the end -1; then fewer liars are found (88 instead of
    99 % at (12, 3, 0)).

    Examples
    --------
    >>> scheme = ApproxIFERScheme(2, 7, n_liars=1)
    >>> coded_outputs = 1.0 / (2.0 + scheme.encode([0.0, 1.0]))
    >>> coded_outputs[4] = 0.1
    >>> scheme.locate_liars(coded_outputs, range(7))
    array([4])
    >>> scheme.decode(coded_outputs, range(7)).round(2)
    array([0.49, 0.33])
    """

    def __init__(
        self,
        n_inputs: int,
        n_workers: int,
        *,
        n_liars: int,
        n_stragglers: int | None = None,
    ) -> None:
        super().__init__(n_inputs, n_workers, n_stragglers)
        liars = self._n_liars = read_count(n_liars, "n_liars", at_least=0)
        self._fewest = self._n_inputs if liars == 0 else 2 * (self._n_inputs + liars) - 1
        if n_stragglers is None:
            self._n_stragglers = max(self._n_workers - self._fewest, 0)
        needed = self._fewest + self._n_stragglers
        if self._n_workers < needed:
            formula = "n_inputs" if liars == 0 else "2 * n_inputs + 2 * n_liars - 1"
            raise ValueError(
                f"n_workers must be >= {formula} + n_stragglers = {needed}, got "
                f"{self._n_workers}; add workers, or lower n_inputs, n_liars or n_stragglers"
            )
        self._looks_at_answers = liars > 0
        self._alpha = chebyshev_first(self._n_inputs)
        self._beta = snapped(chebyshev_second(self._n_workers), self._alpha)

    @property
    def n_liars(self) -> int:
        """E, how many workers may give wrong answers."""
        return self._n_liars

    @property
    def alpha(self) -> Points:
        """Points of the inputs, ascending, shape (K,)."""
        return self._alpha.copy()

    @property
    def beta(self) -> Points:
        """Points of the workers, ascending, shape (N,)."""
        return self._beta.copy()

    @untraced
    def locate_liars(self, coded_outputs: ArrayLike, responders: ArrayLike) -> NDArray[np.intp]:
        """Give the E workers whose answers fit the others least.

        Parameters
        ----------
        coded_outputs : array_like, shape (R, ...)
            Answers in the order of `responders`; numpy or torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray of int, shape (E,)
            Indices of workers, ascending. Always E of them: where fewer lie the others are
            honest, and `decode` leaves out only those that stand out.

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.
        """
        array, _, workers = self._read_answers(coded_outputs, responders)
        self._require_enough(workers)
        require_finite(array, "coded_outputs")
        if self._n_liars == 0:
            return np.zeros(0, dtype=np.intp)
        return np.array(workers)[self._suspects(columns_of(array), workers)]

    def decoding_matrix(self, responders: ArrayLike) -> Matrix:
        """Give the decoder of one responder set as a dense matrix, where nobody lies.

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
            If ``n_liars > 0``: then the answers choose the decoder.
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.
        """
        if self._n_liars > 0:
            raise TypeError(
                f"n_liars={self._n_liars} lets the answers choose the decoder, so that it has no "
                "matrix; call decode, or make a scheme with n_liars=0"
            )
        return super().decoding_matrix(responders)

    def _build_encoder(self) -> LinearMap:
        signs = alternating_signs(self._n_inputs)
        return MatrixMap(barycentric_matrix(self._alpha, signs, self._beta))

    def _build_decoder(self, responders: Responders) -> LinearMap:
        return MatrixMap(self._berrut_matrix(self._beta[list(responders)]))

    def _berrut_matrix(self, nodes: Points) -> Matrix:
        return barycentric_matrix(nodes, alternating_signs(len(nodes)), self._alpha)

    def _choose_decoder(self, coded_outputs: FloatArray, responders: Responders) -> LinearMap:
        """Give the decoder; with liars it leaves out the answers that stand out."""
        if self._n_liars == 0:
            return self._decoder(responders)
        self._require_enough(responders)
        require_finite(coded_outputs, "coded_outputs")
        answers = columns_of(coded_outputs)
        nodes = self._beta[list(responders)]
        suspects = self._suspects(answers, responders)
        liars = suspects[_standing(nodes, answers, suspects) > _STANDS_OUT]
        honest = np.delete(np.arange(len(nodes)), liars)
        matrix = np.zeros((self._n_inputs, len(nodes)))
        matrix[:, honest] = self._berrut_matrix(nodes[honest])
        return MatrixMap(matrix)

    def _suspects(self, answers: Matrix, responders: Responders) -> NDArray[np.intp]:
        """Give the E positions among the responders that columns vote for, or that fit least."""
        nodes, n_liars = self._beta[list(responders)], self._n_liars
        voting = clipped(_sample(answers[:, (answers != answers[0]).any(axis=0)]), n_liars)
        magnitudes = locator_magnitudes(nodes, voting, self._n_inputs + n_liars - 1)
        voted = most_voted(magnitudes, n_liars)
        if agreement(magnitudes, voted) >= _DECISIVE:
            return voted
        hardest = hardest_to_predict(nodes, voting / column_units(voting, n_liars), n_liars)
        by_votes, by_errors = (_standing(nodes, voting, who).sum() for who in (voted, hardest))
        return voted if by_votes >= _DOUBT * by_errors else hardest

    def _suffices(self, responders: Responders) -> bool:
        return len(responders) >= (1 if self._n_liars == 0 else self._fewest)

    def _need(self, responders: Responders) -> str:  # noqa: ARG002 (the same for all)
        return "1 answer" if self._n_liars == 0 else f"{self._fewest} answers"

    def _held(self) -> NDArray[np.intp]:
        if self._n_liars > 0:  # whose answers count is not known before they are seen
            return np.full(self._n_workers, -1)
        return nearest_equal(self._beta, self._alpha)

    def _settings(self) -> str:
        return f"{super()._settings()}, n_liars={self._n_liars}"


def _sample(answers: Matrix) -> Matrix:
    """Give the columns that vote."""
    n_columns = answers.shape[1]
    if n_columns <= _MOST_COLUMNS:
        return answers
    rng = np.random.default_rng(zlib.crc32(answers.tobytes()))
    return answers[:, rng.choice(n_columns, _MOST_COLUMNS, replace=False)]


def _standing(nodes: Points, answers: Matrix, suspects: NDArray[np.intp]) -> NDArray[np.float64]:
    """Give by how much each suspect errs, relative to the trusted answer inside that errs most.

    Suspects are predicted from all trusted answers, these from the other trusted ones. Without
    a trusted answer between two others there is nothing to compare with: inf.
    """
    trusted = np.delete(np.arange(len(nodes)), suspects)
    if len(trusted) < 3:
        return np.full(len(suspects), np.inf)
    units = column_units(answers[trusted], 0)
    kept = answers[trusted] / units
    inside = leave_one_out_matrix(nodes[trusted])[1:-1] @ kept - kept[1:-1]
    predictor = barycentric_matrix(nodes[trusted], alternating_signs(len(trusted)), nodes[suspects])
    with np.errstate(over="ignore"):  # a lie may be that large
        errors = np.linalg.norm(predictor @ kept - answers[suspects] / units, axis=1)
        usual = float(np.linalg.norm(inside, axis=1).max())
        unusual = np.where(errors > 0.0, np.inf, 0.0)
        return np.asarray(errors / usual) if usual > 0.0 else unusual


def _make(setting: Setting) -> ApproxIFERScheme:
    k, n, s = setting.n_inputs, setting.n_workers, setting.n_stragglers
    return ApproxIFERScheme(k, n, n_stragglers=s, n_liars=setting.n_liars)


VARIANTS = {
    "approxifer": Variant(
        _make,
        "none",
        "any answer, 2 K + 2 E - 1 with liars; error grows as answers are lost",
    )
}
