"""Cyclic codes: worker n holds parts n to n + s, whatever N and s divide."""

from __future__ import annotations

import numpy as np

from coded.arguments import read_count
from coded.gradients.gradient_code import GradientCode
from coded.maps.arrays import Matrix


class CyclicCode(GradientCode):
    """Sum N parts from any N - s answers, s + 1 parts a worker, by a cyclic MDS code.

    Row n of B are the coefficients of ``c prod_e (x - w^e)`` at parts n to n + s modulo N, with
    ``w = exp(2 pi i / N)``, e over the s consecutive exponents about N / 2, and c such that
    weights sum to 1. Rows are codewords of a cyclic MDS code that holds the vector of ones, so
    that any N - s of them combine to it. The exponents are symmetric, and the weights real, where
    N - s is odd or s is 0; other codes would have complex weights, which double each message, and
    are refused.

    The weights of the answers are far smaller than those of random cyclic codes: at most 3.6 at
    (N, s) = (5, 2) and 19 at (10, 3), where the median of 20 random ones has 13 and 1400. They
    grow fast with s, and are largest where the survivors are consecutive (of all sets, at eight
    settings with N <= 12): `amplification` is then 9.5 at (10, 3), 40 at (20, 3), 380 at (20, 5)
    and 2.9e5 at (30, 11), and in the median of random sets 1.9, 1.3, 3.3 and 12. Codes that
    exceed 1e8 are refused; answers in float32 need less than 8e4, and else more answers.

    Not where s + 1 divides N: `FractionalRepetitionCode` amplifies nothing and is mostly done
    after far fewer than N - s answers, where this code needs N - s but in rare cases. Nor where
    all workers take about the same time.

    Parameters
    ----------
    n_workers : int
        N >= 1, which is the number of parts too.
    n_stragglers : int
        s, in [0, N - 1]; N - s is odd unless s is 0.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range, the weights would be complex, or N - s consecutive answers
        amplify rounding by more than 1e8.

    References
    ----------
    N. Raviv, I. Tamo, R. Tandon, A. G. Dimakis, "Gradient Coding From Cyclic MDS Codes and
    Expander Graphs", IEEE Trans. Information Theory 66 (2020), arXiv:1707.03858.

    Examples
    --------
    >>> code = CyclicCode(4, 1)
    >>> code.encoding_matrix
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0.5, 0.5, 0. ],
           [0. , 0. , 0.5, 0.5],
           [0.5, 0. , 0. , 0.5]])
    >>> abs(code.decode_vector([0, 1, 2])).round(12)
    array([2., 0., 2.])
    """

    def __init__(self, n_workers: int, n_stragglers: int) -> None:
        n_workers = read_count(n_workers, "n_workers", at_least=1)
        most = n_workers - 1
        n_stragglers = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=most)
        if n_stragglers and (n_workers - n_stragglers) % 2 == 0:
            raise ValueError(
                f"n_workers - n_stragglers must be odd, got {n_workers} - {n_stragglers}, where "
                "the code's weights are complex and double each message; take "
                f"n_stragglers={n_stragglers + 1}, which survives one more, or "
                f"n_workers={n_workers + 1}"
            )
        super().__init__(_circulant(n_workers, n_stragglers), n_stragglers)
        if not self.can_decode(range(self.min_responders)):
            raise ValueError(
                f"n_stragglers={n_stragglers} of {n_workers} lets rounding grow by more "
                "than 1e8 where consecutive workers are lost; take fewer, or "
                "FractionalRepetitionCode, which amplifies nothing"
            )

    @property
    def assignment(self) -> tuple[tuple[int, ...], ...]:
        """The parts that each worker holds: n to n + s modulo N."""
        n, load = self.n_workers, self.n_stragglers + 1
        return tuple(tuple((i + j) % n for j in range(load)) for i in range(n))


def _circulant(n_workers: int, n_stragglers: int) -> Matrix:
    """Give B; the roots come in conjugate pairs, so that the coefficients are real."""
    first = (n_workers - n_stragglers + 1) // 2
    exponents = np.arange(first, first + n_stragglers)
    coefficients = np.poly(np.exp(2j * np.pi * exponents / n_workers))  # 1.0 if there are none
    row = np.atleast_1d(coefficients).real[::-1]
    row = row / row.sum()
    matrix = np.zeros((n_workers, n_workers))
    for n in range(n_workers):
        matrix[n, np.arange(n, n + n_stragglers + 1) % n_workers] = row
    return matrix
