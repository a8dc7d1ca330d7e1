"""One operand coded: row blocks of A mixed by an MDS code, B whole to every worker."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from coded.algebra.mds_generator import mds_generator
from coded.products.matmul_code import MatmulCode, read_grid


class MDSMatmulCode(MatmulCode):
    """Code A by rows, m blocks over N workers; any m answers give A B.

    The least work to encode and to decode, but every worker gets all of B. Where A stays the same,
    as the weights of a layer do, `place` it: then B is all that is sent, and coding costs what
    decoding does, which is nothing while the workers of the blocks themselves answer.

    Do not code where this process could compute lost blocks faster than the slowest worker that
    is waited for: ``uncoded`` with ``recompute_lost`` is less work and, at 2000 x 2000, faster on
    the mean.

    Parameters
    ----------
    n_blocks : int
        m >= 1.
    n_workers : int
        N >= m.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    K. Lee, M. Lam, R. Pedarsani, D. Papailiopoulos, K. Ramchandran, "Speeding Up Distributed
    Machine Learning Using Codes", IEEE Trans. Information Theory 64(3), 2018.

    Examples
    --------
    >>> code = MDSMatmulCode(2, 3)
    >>> a, b = np.arange(8.0).reshape(4, 2), np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
    >>> job = code.prepare(a, b)
    >>> answers = [x @ y for x, y in job.payloads]
    >>> np.allclose(job.decode(answers[1:], np.array([1, 2])), a @ b)
    True
    """

    def __init__(self, n_blocks: SupportsIndex, n_workers: SupportsIndex) -> None:
        m, workers = read_grid(n_workers=n_workers, n_blocks=n_blocks)
        super().__init__((m, 1, 1), workers, m)

    def _encoders(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        m = self.grid[0]
        return mds_generator(m, self.n_workers)[:, None], np.ones((self.n_workers, 1, 1))

    def __repr__(self) -> str:
        """One line that could be typed."""
        return f"MDSMatmulCode({self.grid[0]}, {self.n_workers})"
