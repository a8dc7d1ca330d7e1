"""MDS codes for linear functions: any K of N answers give all K outputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.linear_decoder import amplification, least_norm_decoder
from coded.algebra.mds_generator import mds_generator
from coded.arguments import read_count
from coded.maps.arrays import LinearMap, Matrix
from coded.maps.copies import FilledMap
from coded.schemes.door import is_float
from coded.schemes.exact import ExactScheme
from coded.schemes.protocol import Responders
from coded.schemes.registry import Setting, Variant
from fastspline.arrays import FloatArray, Restore, as_numpy


class MDSScheme(ExactScheme):
    """Code a linear function exactly; any K answers suffice.

    The first K workers get the inputs as they are, each other worker a mixture of all of them
    whose weights sum to 1 (`mds_generator`, G). If f is affine, ``f(x) = A x + b``, worker n's
    answer is ``sum_k G[n, k] f(x_k)``, and since any K rows of G are independent, any K answers
    determine the outputs. Answers to unmixed inputs are returned bit for bit; a lost output is
    ``e_k pinv(G_F)`` times the answers, of all combinations that are exact for affine f the one
    of least norm: answers beyond K make it more accurate.

    Answers beyond K are checked too. Where they contradict the others by more than rounding, f is
    not affine or workers lie: `decode` raises InconsistentAnswersError, unless at most half as
    many as are spare contradict all others: these it leaves out, and `find_liars` names them. K
    answers show nothing; of functions that are not affine they give estimates without bound, as
    `estimate` does from any answers.

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

    def read_numbers(self, values: ArrayLike, name: str) -> tuple[FloatArray, Restore]:
        """Give real or complex `values` as numbers, and the way back to the caller's kind.

        Parameters
        ----------
        values : array_like
            Inputs or answers, numpy or torch; complex ones numpy.
        name : str
            What the caller calls them; it begins every error message.

        Returns
        -------
        array : ndarray
            float32, float64 or complex128.
        restore : callable
            Turns a result into the kind and dtype of `values`.

        Raises
        ------
        TypeError
            If `values` holds other numbers, is ragged or masked.
        ValueError
            If whole numbers beyond 2**53 would be rounded.
        """
        if is_float(values):
            return super().read_numbers(values, name)
        array, device = as_numpy(values, name)
        if array.dtype not in (np.complex64, np.complex128):
            return super().read_numbers(values, name)
        return array.astype(np.complex128, copy=False), Restore(np.dtype(np.complex128), device)

    def _generator_rows(self) -> Matrix:
        return mds_generator(self._n_inputs, self._n_workers)

    def _build_encoder(self) -> LinearMap:
        return FilledMap(self._held(), self._generator_rows()[self._n_inputs :])

    def _build_exact(self, responders: Responders) -> tuple[LinearMap, float]:
        """Own workers' answers as they are, the others' rows of ``pinv(G_F)``."""
        source = np.full(self._n_inputs, -1)
        own = [n for n in responders if n < self._n_inputs]
        source[own] = np.arange(len(own))
        lost = np.flatnonzero(source < 0)
        generator = self._generator(responders)
        decoder = least_norm_decoder(generator, np.eye(self._n_inputs)[lost])
        amplified = max(amplification(decoder), 1.0) if lost.size else 1.0
        return FilledMap(source, decoder), amplified

    def _determine(self, responders: Responders) -> bool:
        return len(responders) >= self._n_inputs

    def _lack(self) -> str:
        return f"{self._n_inputs} answers"

    def _held(self) -> NDArray[np.intp]:
        worker = np.arange(self._n_workers)
        return np.where(worker < self._n_inputs, worker, -1)


def _make(setting: Setting) -> MDSScheme:
    return MDSScheme(setting.n_inputs, setting.n_workers)


VARIANTS = {"mds": Variant(_make, "linear", "exact for affine f from any K answers")}
