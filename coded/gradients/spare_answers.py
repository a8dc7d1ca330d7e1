"""What spare answers of a gradient code tell: who answered no sum of the same parts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from coded.algebra.consistency import Check
from coded.algebra.wrong_rows import locate_wrong_rows
from coded.maps.arrays import Matrix
from coded.runtime.answers import coarsest
from coded.runtime.nested_arrays import Layout
from coded.schemes.protocol import InconsistentAnswersError, Responders
from fastspline.arrays import FloatArray

_MOST_SETS = 2000  # of workers, which are looked at to know how many liars can be told


class SpareAnswers:
    """What the answers of some workers tell of each other: they are ``B_F g``, g the parts.

    So there are as many answers too many as B_F has rows beyond its rank, and what is orthogonal
    to its columns is zero of honest answers, up to rounding. That is so whether or not the sum can
    be decoded, and of approximate codes too.

    Where all answer multiples of one sum, that is zero at an optimum, and rounding all that they
    answer: such are compared only if they compute the same in the same order.

    To compare takes two to three times as long as to decode, 9 ms for 24 answers of 100,000
    numbers; and for new responders a singular value decomposition of B_F, 25 ms for 350 answers.

    Parameters
    ----------
    rows : ndarray, shape (R, parts)
        B_F.
    assignment : sequence of tuple of int
        The parts of each of these workers, in their order.
    """

    def __init__(self, rows: Matrix, assignment: Sequence[tuple[int, ...]]) -> None:
        left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
        # What is no rounding is kept, lest honest answers miss the model.
        least = max(30, *rows.shape) * np.finfo(np.float64).eps * sizes.max(initial=0.0)
        self._model: Matrix = np.ascontiguousarray(left[:, sizes > least])
        self._check = Check(lambda: self._model)
        count, rank = self._model.shape
        are_copies = len(set(assignment)) == 1 and bool((rows == rows[0]).all())
        self.count = count - rank if rank > 1 or are_copies else 0

    def liars(
        self, answers: FloatArray, layouts: Sequence[Layout], responders: Responders
    ) -> Responders:
        """Tell whose answers contradict those of all others.

        Parameters
        ----------
        answers : ndarray, shape (R, ...)
            In the order of `responders`, finite.
        layouts : sequence of Layout
            Of each answer: each array of a nest is looked at by itself, in the coarsest dtype
            that anybody answered it in.
        responders : tuple of int
            The workers of the rows.

        Returns
        -------
        tuple of int
            None where the answers agree.

        Raises
        ------
        InconsistentAnswersError
            If they do not, and it is not to be told who is wrong.
        """
        found: set[int] = set()
        for columns in _leaves(answers, layouts):
            if self._check.contradicted(columns).size == 0:
                continue
            verdict = locate_wrong_rows(self._model, columns, self._most_liars(), self._check)
            if verdict.wrong is None:
                self._refuse(responders, verdict.residual, verdict.suspects)
            found.update(verdict.wrong)
        if len(found) > self._most_liars():  # each array names others
            self._refuse(responders, 0.0, tuple(sorted(found)))
        return tuple(responders[i] for i in sorted(found))

    def _most_liars(self) -> int:
        """Give how many can be told, whoever they are, or 1: its rivals are looked at.

        So many as are t where all sets of R - 2t answers have the rank of all.
        """
        n, rank = self._model.shape
        most = 1
        while self.count >= 2 * (most + 1) and math.comb(n, 2 * most + 2) <= _MOST_SETS:
            sets = np.array(list(combinations(range(n), n - 2 * most - 2)), np.intp)
            if (np.linalg.matrix_rank(self._model[sets], tol=1e-6) < rank).any():
                break
            most += 1
        return min(most, self.count // 2)

    def _refuse(
        self, responders: Responders, residual: float, suspects: tuple[int, ...]
    ) -> NoReturn:
        workers = tuple(responders[i] for i in suspects)
        told = f", worker {' or '.join(map(str, workers))} perhaps" if workers else ""
        raise InconsistentAnswersError(
            f"{len(responders)} answers contradict each other: these are not sums of the same "
            f"parts, beyond rounding, so that a worker answers wrongly{told}, or a part is not "
            "the same wherever it is computed; give each part its own seed, or wait for fewer "
            "answers, which are not compared",
            residual=residual,
            suspects=workers,
        )


def _leaves(answers: FloatArray, layouts: Sequence[Layout]) -> Iterator[NDArray[Any]]:
    """Give the columns of each array of the nest, in the coarsest dtype of its answers."""
    flat, start = answers.reshape(len(answers), -1), 0
    for k, shape in enumerate(layouts[0].shapes):
        size = math.prod(shape)
        dtype = coarsest({layout.restores[k].dtype for layout in layouts})
        yield flat[:, start : start + size].astype(dtype, copy=False)
        start += size
