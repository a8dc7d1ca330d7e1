"""Real generators of MDS codes: any K of the N rows determine K symbols."""

from __future__ import annotations

import math

import numpy as np

from coded.arguments import read_count
from coded.maps.arrays import Matrix

# On the circle: so many workers, or so few parity rows however many there are; see the table.
_LARGEST_ON_CIRCLE, _FEW_PARITY_ROWS = 20, 3


def mds_generator(n_inputs: int, n_workers: int) -> Matrix:
    """Give a systematic generator ``G = [I; P]`` whose rows sum to 1.

    Up to 20 workers, and with up to 3 parity rows whatever N, P is Berrut's trigonometric
    interpolation between N points of the unit circle: ``P[i, j]`` is proportional to
    ``(-1)^j / sin((t_i - s_j) / 2)``, t the parity rows' angles and s the inputs', spread among
    them. Every minor of such a (Cauchy) matrix differs from 0, so that any K rows of G are
    independent. Elsewhere points on a line or a circle are ill conditioned, and P has the
    entries ``(1 + e) / K``, where the e of a row are random, of mean 0 and of variance near K:
    any K rows are independent with probability 1.

    The same on every machine, always.

    Largest factor by which errors of K answers grow, that of inputs' own answers being 1:
    median and 99 % quantile over all or 1000 random sets of K answers.

    ========= ========= ===================== ============= =====================
    (K, N)    this      Chebyshev-Vandermonde Fourier       Gaussian, orthonormal
    ========= ========= ===================== ============= =====================
    (5, 8)    7, 29     8, 330                6, 20         8, 501
    (10, 12)  16, 73    16, 804               9, 31         22, 606
    (16, 20)  41, 792   52, 3e4               30, 426       28, 2e3
    (29, 31)  51, 447   43, 6e3               26, 194       23, 605
    (60, 63)  173, 5e3  158, 7e4              104, 3e3      45, 3e3
    (20, 30)  62, 4e3   520, 1e7              182, 1e4      50, 3e3
    (60, 100) 247, 9e3  4e6, inf              2e5, 1e10     201, 1e4
    ========= ========= ===================== ============= =====================

    Why the circle for few parity rows: median, 99 % quantile and worst of all sets.

    ========== =============== ====================
    (K, N)     circle          random
    ========== =============== ====================
    (20, 21)   37, 55, 55      19, 245, 287
    (29, 31)   51, 447, 496    46, 4e3, 5.8e4
    (100, 102) 236, 5e3, 7e3   158, 6e3, 4e5
    (60, 63)   173, 5e3, 4e4   118, 6e3, 1e7
    (100, 103) 336, 1e4, 8e4   181, 9e3, 1e6
    (29, 33)   95, 2e3, 2e4    62, 3e3, 1e5
    (30, 34)   105, 4e3, 3e4   63, 3e3, 3e5
    (20, 25)   69, 2e3, 2e4    46, 2e3, 7e4
    ========== =============== ====================

    (The last four over 5000 to 8000 random sets.) The quantile of the circle is
    the lower one up to K = 60 with 3 parity rows, 29 with 4 and 18 with 5; its worst set is better
    farther than that, its median hardly ever.

    (Fourier has no rows that sum to 1 for some even K.)

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= K.

    Returns
    -------
    ndarray, shape (N, K)
        The first K rows are the identity.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If `n_inputs` is below 1 or N below K.

    References
    ----------
    J.-P. Berrut, "Rational functions for guaranteed and experimentally well-conditioned global
    interpolation", Computers & Mathematics with Applications 15 (1988), 1-16.
    A. Ramamoorthy, L. Tang, "Numerically Stable Coded Matrix Computations via Circulant and
    Rotation Matrix Embeddings", IEEE Trans. Information Theory 68 (2022), arXiv:1910.06515: why
    points on the circle.

    Examples
    --------
    >>> mds_generator(3, 5).round(3)
    array([[ 1.   ,  0.   ,  0.   ],
           [ 0.   ,  1.   ,  0.   ],
           [ 0.   ,  0.   ,  1.   ],
           [ 0.724,  0.724, -0.447],
           [-0.447,  0.724,  0.724]])
    """
    n_inputs = read_count(n_inputs, "n_inputs", at_least=1)
    n_workers = read_count(n_workers, "n_workers", at_least=1)
    if n_workers < n_inputs:
        raise ValueError(
            f"n_workers must be >= n_inputs = {n_inputs}, since so many answers are needed, got "
            f"{n_workers}; add workers or lower n_inputs"
        )
    on_circle = n_workers <= _LARGEST_ON_CIRCLE or n_workers - n_inputs <= _FEW_PARITY_ROWS
    parity = _between_points if on_circle else _random_mixtures
    return np.concatenate([np.eye(n_inputs), parity(n_inputs, n_workers)])


def _between_points(n_inputs: int, n_workers: int) -> Matrix:
    """P by barycentric interpolation from n_inputs of n_workers equidistant angles to the rest."""
    rank = np.arange(n_inputs)
    if n_inputs % 2:
        places = (2 * rank + 1) * n_workers // (2 * n_inputs)
    else:
        # The signs of an even number do not alternate from the last angle to the first, and the
        # weights of a row between these two might sum to 0: no row lies there.
        places = rank * (n_workers - 1) // (n_inputs - 1)
    angles = 2.0 * math.pi * np.arange(n_workers) / n_workers
    apart = np.delete(angles, places)[:, None] - angles[places]
    weights = (-1.0) ** rank / np.sin(apart / 2.0)
    parity: Matrix = weights / weights.sum(axis=1, keepdims=True)
    return parity


def _random_mixtures(n_inputs: int, n_workers: int) -> Matrix:
    """P of mixtures about as large as the inputs, each 1 / K plus random numbers that sum to 0."""
    shape = (n_workers - n_inputs, n_inputs)
    # Raw bits: numpy promises that they stay as they are, unlike the draws made from them.
    raw = np.random.PCG64(0).random_raw(shape[0] * shape[1]).reshape(shape)
    noise = raw / 2.0**64 - 0.5
    noise -= noise.mean(axis=1, keepdims=True)
    parity: Matrix = 1.0 / n_inputs + math.sqrt(12.0 / n_inputs) * noise
    return parity
