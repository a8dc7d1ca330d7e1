"""Fractional repetition: groups of workers that compute the same parts."""

from __future__ import annotations

import numpy as np

from coded.arguments import read_count
from coded.gradients.gradient_code import GradientCode
from coded.schemes.protocol import Responders


class FractionalRepetitionCode(GradientCode):
    """Sum N parts, s + 1 by each worker; exact as soon as one worker of each group answered.

    Workers n, n + m, n + 2 m, ... with ``m = N / (s + 1)`` are a group: all of them answer the
    sum of parts ``n (s + 1)`` to ``n (s + 1) + s``. The sum of one answer a group is the whole;
    of several the mean is taken. Rounding is not amplified.

    Any s workers may be lost, and often many more: with N = 20 and workers that answer in random
    order the sum is there after 15.4 answers in the mean for s = 1, and after 8.7 for s = 3, where
    N - s are 19 and 17. A call therefore does not wait for N - s answers, but until they can be
    decoded. As groups lie apart by m in the order of workers, s machines that hold up to m
    consecutive workers each may be lost together.

    Not where s + 1 does not divide N (`CyclicCode`), nor where all workers take about the same
    time: then each computes s + 1 times as much for nothing, and to wait for all is faster
    (`coded_gradient` has a table). `PartialCode` is faster where an answer costs little to send.

    Parameters
    ----------
    n_workers : int
        N >= 1, which is the number of parts too.
    n_stragglers : int
        s, in [0, N - 1]; s + 1 divides N.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range, or s + 1 does not divide N.

    References
    ----------
    R. Tandon, Q. Lei, A. G. Dimakis, N. Karampatziakis, "Gradient Coding: Avoiding Stragglers in
    Distributed Learning", ICML 2017, arXiv:1612.03301, Section 3.

    Examples
    --------
    >>> code = FractionalRepetitionCode(6, 1)
    >>> code.assignment
    ((0, 1), (2, 3), (4, 5), (0, 1), (2, 3), (4, 5))
    >>> code.can_decode([1, 2, 3]), code.can_decode([0, 1, 3, 4])
    (True, False)
    """

    def __init__(self, n_workers: int, n_stragglers: int) -> None:
        n_workers = read_count(n_workers, "n_workers", at_least=1)
        most = n_workers - 1
        n_stragglers = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=most)
        load = n_stragglers + 1
        if n_workers % load:
            fit = [s for s in range(n_workers) if n_workers % (s + 1) == 0]
            near = min(fit, key=lambda s: (abs(s - n_stragglers), s))
            raise ValueError(
                f"n_stragglers + 1 must divide n_workers, but {load} does not divide {n_workers}; "
                f"take n_stragglers={near} or n_workers={n_workers + load - n_workers % load}, or "
                "CyclicCode"
            )
        self._n_groups = n_workers // load
        blocks = np.kron(np.eye(self._n_groups), np.ones((1, load)))
        super().__init__(np.tile(blocks, (load, 1)), n_stragglers)

    def _lack(self, responders: Responders) -> str:
        missing = sorted({*range(self._n_groups)} - {n % self._n_groups for n in responders})
        group = range(missing[0], self.n_workers, self._n_groups)
        return (
            f"an answer of each of its {self._n_groups} groups, and {len(missing)} gave none, such "
            f"as workers {', '.join(map(str, group[:8]))}"
        )
