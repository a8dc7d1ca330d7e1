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
    counts = np.bincount(site, minlength=n_inputs)  # np.unique takes four times as long
    sites = np.flatnonzero(counts)
    first, number = np.full((2, counts.size), -1)
    first[site[::-1]] = np.arange(len(site) - 1, -1, -1)  # the last written, the first, stays
    number[sites] = np.arange(len(sites))
    source = first[:n_inputs]
    return Answered(sites, first[sites], number[site], source, np.flatnonzero(source < 0))


@dataclass(frozen=True, eq=False)
class Measured:
    """The values at n sites as means of the answers there.

    Attributes
    ----------
    averages : ndarray, shape (n, R)
        Gives the values, ``averages @ answers``.
    counts : ndarray, shape (n,)
        Answers a mean is of.
    deviation : float
        Of an answer from its mean: root of the mean of its squared length.
    spare : int
        Answers beyond one a site, from which the deviation is known.
    """

    averages: Matrix
    counts: NDArray[np.float64]
    deviation: float
    spare: int


def measured_at(answers: FloatArray, answered: Answered) -> Measured | None:
    """Compare the copies among answers (R, columns), and average them; None if they are alike.

    They are where no number differs by more than the root of the rounding unit, in units of the
    largest number: other threads or machines round otherwise.
    """
    n_answers, n_sites = len(answers), len(answered.sites)
    if n_answers == n_sites:
        return None
    is_repeat = np.ones(n_answers, np.bool_)
    is_repeat[answered.first] = False
    repeats = np.flatnonzero(is_repeat)
    with np.errstate(invalid="ignore", over="ignore"):  # of what is not finite
        if _are_alike(answers, repeats, answered.first[answered.which[repeats]]):
            return None
        counts = np.bincount(answered.which).astype(np.float64)
        averages = np.zeros((n_sites, n_answers))
        averages[answered.which, np.arange(n_answers)] = 1.0 / counts[answered.which]
        largest, spare = float(np.abs(answers).max()), n_answers - n_sites
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
