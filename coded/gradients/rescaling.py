"""No code: each part at one worker, and what is missing taken to be like what came."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from coded.arguments import read_count
from coded.gradients.gradient_code import GradientCode
from coded.maps.arrays import LinearMap, MatrixMap
from coded.schemes.protocol import Responders


class RescalingCode(GradientCode):
    """Estimate the sum of N parts from R of them, by N / R times the sum of those that came.

    Nobody computes more than without a code, and a call waits for N - s answers. Where who is lost
    is drawn anew in each call, the estimate is right in the mean, and its `residual`,
    ``N (N - R) / R``, is what a step of stochastic descent bears: to a rough optimum this is
    mostly the fastest of all, and with a constant step it never comes to an exact one. Where the
    same workers are lost in each call, their data are left out, as if they were not there.

    Take it too for shards that `encode_dataset` gave, of which any N - s stand for all data.

    Parameters
    ----------
    n_workers : int
        N >= 1, which is the number of parts too.
    n_stragglers : int
        s, in [0, N - 1]: how many answers a call does not wait for.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    J. Chen, X. Pan, R. Monga, S. Bengio, R. Jozefowicz, "Revisiting Distributed Synchronous SGD",
    2016, arXiv:1604.00981 (backup workers, whose answers are dropped).

    Examples
    --------
    >>> code = RescalingCode(4, 1)
    >>> code.decode_vector([0, 1, 3]).round(3), code.is_exact([0, 1, 3])
    (array([1.333, 1.333, 1.333]), False)
    >>> code.is_exact([0, 1, 2, 3])
    True
    """

    exact_first: ClassVar[bool] = False
    optimal_decoding: ClassVar[bool] = False

    def __init__(self, n_workers: int, n_stragglers: int) -> None:
        super().__init__(np.eye(read_count(n_workers, "n_workers", at_least=1)), n_stragglers)

    def _build_decoder(self, responders: Responders) -> LinearMap:
        count = len(responders)
        return MatrixMap(np.full((1, count), self.n_workers / count))

    def _lack(self, responders: Responders) -> str:  # noqa: ARG002 (as of the class)
        return "at least one answer"
