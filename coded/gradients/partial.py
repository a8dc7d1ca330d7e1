"""Parts as tasks of their own, so that what stragglers have finished counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coded.arguments import read_count
from coded.gradients.gradient_code import GradientCode
from coded.schemes.protocol import Responders


class PartialCode(GradientCode):
    """Sum N parts on N executors, s + 1 a piece, each an answer of its own.

    Executor n holds parts n, n + 1, ..., n + s modulo N, and begins with part n: all parts are
    begun at once, and each has its copies at different places in the orders of others. The j-th
    part of executor n is task ``j N + n``, which `coded_gradient` gives to executor n if it is
    passed N of them. The sum is there as soon as every part came from anybody; what an executor
    finished before it became slow counts. If all are equally fast, that is after one part each:
    the s copies are then cancelled in the queues, and the redundancy costs next to nothing.

    What it costs is messages: an answer a part, up to s + 1 times as many gradients on the wire.
    Not where a gradient is quicker computed than sent, then a worker should send one sum
    (`FractionalRepetitionCode`, `CyclicCode`); and not on one pool of executors shared with other
    calls, whose tasks would stand between.

    Workers, as responders and stragglers count them, are the tasks: there are ``N (s + 1)``.

    Parameters
    ----------
    n_executors : int
        N >= 1, which is the number of parts too.
    n_stragglers : int
        s, in [0, N - 1]: how many executors may be lost, whichever they are.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range.

    References
    ----------
    A. Ramamoorthy, R. Meng, V. S. Girimaji, "Leveraging partial stragglers within gradient
    coding", NeurIPS 2024, arXiv:2405.19509: parts reported as they are finished, and an order of
    them for each worker. Here each part is sent as it is, not coded.

    Examples
    --------
    Three executors; the second gives nothing, the third only its first part:

    >>> code = PartialCode(3, 1)
    >>> code.assignment
    ((0,), (1,), (2,), (1,), (2,), (0,))
    >>> code.can_decode([0, 2]), code.can_decode([0, 2, 3])
    (False, True)
    """

    def __init__(self, n_executors: int, n_stragglers: int) -> None:
        self._n_executors = read_count(n_executors, "n_executors", at_least=1)
        most = self._n_executors - 1
        n_stragglers = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=most)
        parts = np.eye(self._n_executors)
        orders = [np.roll(parts, -j, axis=0) for j in range(n_stragglers + 1)]
        super().__init__(np.concatenate(orders), n_stragglers)

    @property
    def n_executors(self) -> int:
        """N, the number of executors to pass."""
        return self._n_executors

    def tasks_of(self, executor: int) -> Sequence[int]:
        """Give the tasks of an executor, in the order in which it computes them."""
        executor = read_count(executor, "executor", at_least=0, at_most=self._n_executors - 1)
        return range(executor, self.n_workers, self._n_executors)

    def __repr__(self) -> str:
        """One line that could be typed."""
        return f"PartialCode({self._n_executors}, {self._n_stragglers})"

    def _lack(self, responders: Responders) -> str:
        came = self._matrix[list(responders)].any(axis=0)
        missing = np.flatnonzero(~came).tolist()
        return (
            f"each of its {self.n_parts} parts once, and {len(missing)} did not come: "
            f"{', '.join(map(str, missing[:8]))}"
        )
