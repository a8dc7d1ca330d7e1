"""Answers at sites: copies of an answer, or repeated measurements where they differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coded.maps.arrays import Matrix
from fastspline.arrays import FloatArray

_LONG = 512  # numbers of an answer from which answers are compared one by one, without copies


@dataclass(frozen=True, eq=False)
class Answered:
    """Who answered: the sites, ascending, the first answer to each, and the inputs without one."""

    sites: NDArray[np.intp]
    first: NDArray[np.intp]
    which: NDArray[np.intp]  # (R,): the site of each answer, counted among `sites`
    source: NDArray[np.intp]  # (K,): which answer is the input's own, or -1
    lost: NDArray[np.intp]

    @property
    def is_copied(self) -> NDArray[np.bool_]:
        """Which of the sites are inputs."""
        return self.sites < len(self.source)


def answered_at(site: NDArray[np.intp], n_inputs: int) -> Answered:
    """Tell of answers at sites (R,), of which those below K are inputs, who answered first."""
    sites, first, which = np.unique(site, return_index=True, return_inverse=True)
    source = np.full(n_inputs, -1)
    is_copy = sites < n_inputs
    source[sites[is_copy]] = first[is_copy]
    return Answered(sites, first, which, source, np.flatnonzero(source < 0))


@dataclass(frozen=True, eq=False)
class Measured:
    """The values at n sites as means of the answers there.

    Attributes
    ----------
    averages : ndarray, shape (n, R)
        Gives the values, ``averages @ answers``. Where all copies are alike, the first ones.
    counts : ndarray, shape (n,)
        Answers a mean is of, 1 where copies are alike.
    deviation : float
        Of an answer from its mean: root of the mean of its squared length; 0 where copies are
        alike.
    spare : int
        Answers beyond one a site, from which the noise is known; 0 where copies are alike.
    """

    averages: Matrix
    counts: NDArray[np.float64]
    deviation: float
    spare: int


def measured_at(answers: FloatArray, answered: Answered) -> Measured:
    """Compare the copies among answers (R, columns), and average those that differ.

    Copies are alike where no number differs by more than the root of the rounding unit, in units
    of the largest number: other threads or machines round otherwise.
    """
    n_answers, n_sites = len(answers), len(answered.sites)
    averages = np.zeros((n_sites, n_answers))
    averages[np.arange(n_sites), answered.first] = 1.0
    alike = Measured(averages, np.ones(n_sites), 0.0, 0)
    repeats = np.setdiff1d(np.arange(n_answers), answered.first)
    with np.errstate(invalid="ignore", over="ignore"):
        if _are_alike(answers, repeats, answered.first[answered.which[repeats]]):
            return alike
    counts = np.bincount(answered.which).astype(np.float64)
    averages[answered.which, np.arange(n_answers)] = 1.0 / counts[answered.which]
    largest = float(np.abs(answers).max()) or 1.0
    spare = n_answers - n_sites
    with np.errstate(invalid="ignore", over="ignore"):  # of what is not finite
        scaled = answers / largest
        about = scaled - (averages @ scaled)[answered.which]
        deviation = largest * float(np.sqrt(np.square(about, dtype=np.float64).sum() / spare))
    return Measured(averages, counts, deviation, spare)


def _are_alike(answers: FloatArray, some: NDArray[np.intp], others: NDArray[np.intp]) -> bool:
    """Tell whether rows are equal to others but for rounding."""
    if answers.shape[1] < _LONG:
        differ = np.flatnonzero((answers[some] != answers[others]).any(axis=1))
        pairs = list(zip(some[differ], others[differ], strict=True))
    else:
        both = zip(some, others, strict=True)
        pairs = [(i, j) for i, j in both if not np.array_equal(answers[i], answers[j])]
    if not pairs:
        return True
    limit = np.sqrt(np.finfo(answers.dtype).eps) * np.abs(answers).max()
    return all(np.abs(answers[i] - answers[j]).max() <= limit for i, j in pairs)
