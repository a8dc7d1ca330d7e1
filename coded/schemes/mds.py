"""MDS codes for linear functions: any K of N answers give all K outputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.counts import read_count
from coded.linear_decoder import LARGEST_AMPLIFICATION, amplification, least_norm_decoder
from coded.linear_maps import FilledMap, LinearMap, Matrix
from coded.mds_generator import mds_generator
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from coded.schemes.variants import Setting, Variant


class MDSScheme(LinearScheme):
    """Code a linear function exactly; any K answers suffice.

    The first K workers get the inputs as they are, each other worker a mixture of all of them
    whose weights sum to 1 (`mds_generator`, G). If f is affine, ``f(x) = A x + b``, worker n's
    answer is ``sum_k G[n, k] f(x_k)``, and since any K rows of G are independent, any K answers
    determine the outputs. Answers to unmixed inputs are returned bit for bit; a lost output is
    ``e_k pinv(G_F)`` times the answers, of all combinations that are exact for affine f the one
    of least norm: answers beyond K make it more accurate. For other functions a lost output is
    an estimate without bound.

    The work may also be a big matrix times one vector: the inputs are then K blocks of the
    matrix's rows, and f multiplies a block by the vector (example below).

    Errors of the answers, their rounding above all, grow by up to `amplification`. With K
    answers that is 7 in the median at (K, N) = (5, 8) and 250 at (60, 100), where one set in
    a hundred exceeds 9000 and the worst of 1000 reached 2e5 (`mds_generator` has a table); with
    64 answers of 100 it is 50 in the median and 250 at worst. Responder sets that amplify by
    more than 1e8 are refused, as if there were too few of them: one more answer mends it.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= K.
    n_stragglers : int, optional
        How many answers may be missing, in [0, N - K]. None means N - K.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    K. Lee, M. Lam, R. Pedarsani, D. Papailiopoulos, K. Ramchandran, "Speeding Up Distributed
    Machine Learning Using Codes", IEEE Trans. Information Theory 64 (2018), arXiv:1512.02673.

    Examples
    --------
    Inputs are coded, the function is a matrix:

    >>> scheme = MDSScheme(3, 5)
    >>> matrix = np.array([[2.0, 1.0], [0.0, -1.0]])
    >>> inputs = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0]])
    >>> coded_outputs = scheme.encode(inputs) @ matrix.T
    >>> scheme.decode(coded_outputs[[0, 3, 4]], [0, 3, 4]).round(12)
    array([[ 2.,  0.],
           [ 1., -1.],
           [ 8., -2.]])

    A matrix is coded, in blocks of rows that stay with the workers; each vector goes to all:

    >>> big = np.arange(24.0).reshape(6, 4)
    >>> coded_blocks = scheme.encode(big.reshape(3, 2, 4))
    >>> vector = np.array([1.0, 0.0, 0.0, -1.0])
    >>> products = np.stack([block @ vector for block in coded_blocks[1:4]])
    >>> scheme.decode(products, [1, 2, 3]).reshape(6).round(12)
    array([-3., -3., -3., -3., -3., -3.])

    For one vector `coded_map` does all of it:

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from coded import coded_map
    >>> with ThreadPoolExecutor(2) as pool:
    ...     done = coded_map(lambda block: block @ vector, big.reshape(3, 2, 4), scheme, pool)
    >>> np.allclose(done.outputs.reshape(6), big @ vector)
    True
    """

    def __init__(self, n_inputs: int, n_workers: int, *, n_stragglers: int | None = None) -> None:
        super().__init__(n_inputs, n_workers, None)
        self._generator_rows()  # refuses N < K
        if n_stragglers is not None:
            spare = self._n_workers - self._n_inputs
            self._n_stragglers = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=spare)

    def amplification(self, responders: ArrayLike) -> float:
        """Give the largest factor by which errors of the answers grow in the outputs.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        float
            ``max_k sum_r |D[k, r]|`` over the decoding matrix D; inf where R < K.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.

        Examples
        --------
        >>> round(MDSScheme(10, 11).amplification(range(1, 11)), 1)
        12.4
        """
        return self._amplification(self._read_responders(responders))

    def exact_mask(self, responders: ArrayLike) -> NDArray[np.bool_]:
        """Tell which outputs are exact: all of them, f being affine.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray of bool, shape (K,)
            All true where these responders can be decoded.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        return np.full(self._n_inputs, self.can_decode(responders))

    def _generator_rows(self) -> Matrix:
        return mds_generator(self._n_inputs, self._n_workers)

    def _build_encoder(self) -> LinearMap:
        return FilledMap(self._held(), self._generator_rows()[self._n_inputs :])

    def _build_decoder(self, responders: Responders) -> LinearMap:
        source = np.full(self._n_inputs, -1)
        source[[n for n in responders if n < self._n_inputs]] = [
            i for i, n in enumerate(responders) if n < self._n_inputs
        ]
        return FilledMap(source, self._lost_rows(responders))

    def _lost_rows(self, responders: Responders) -> Matrix:
        """Rows of ``pinv(G_F)`` for the inputs whose own worker is lost."""
        lost = np.setdiff1d(np.arange(self._n_inputs), responders)
        generator = self._encoder().dense()[list(responders)]
        decoder = least_norm_decoder(generator, np.eye(self._n_inputs)[lost])
        return np.asarray(decoder, dtype=np.float64)

    def _amplification(self, responders: Responders) -> float:
        if len(responders) < self._n_inputs:
            return np.inf
        if responders[self._n_inputs - 1] == self._n_inputs - 1:  # all inputs' own workers
            return 1.0
        return max(amplification(self._lost_rows(responders)), 1.0)

    def _suffices(self, responders: Responders) -> bool:
        return self._amplification(responders) <= LARGEST_AMPLIFICATION

    def _need(self, responders: Responders) -> str:
        if len(responders) < self._n_inputs:
            return f"{self._n_inputs} answers"
        return (
            f"answers that amplify errors by at most {LARGEST_AMPLIFICATION:.0e}, and these do by "
            f"{self._amplification(responders):.1e}"
        )

    def _held(self) -> NDArray[np.intp]:
        worker = np.arange(self._n_workers)
        return np.where(worker < self._n_inputs, worker, -1)


def _make(setting: Setting) -> MDSScheme:
    return MDSScheme(setting.n_inputs, setting.n_workers)


VARIANTS = {"mds": Variant(_make, "linear", "exact for affine f from any K answers")}
