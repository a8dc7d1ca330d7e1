"""The one decoder of all linear codes over floats: ``D = T pinv(G_F)``."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", np.float64, np.complex128)


def least_norm_decoder(generator: NDArray[Number], wanted: NDArray[Number]) -> NDArray[Number]:
    """Give the decoder of least norm, ``D = T pinv(G_F)``.

    Worker n's answer is the combination ``G[n] @ z`` of unknown symbols z, and ``T z`` is
    wanted. Where the answers determine it, ``D G_F = T`` up to rounding; of all such D this
    one amplifies independent errors of the answers least. Elsewhere it is the least-squares
    approximation.

    Parameters
    ----------
    generator : ndarray, shape (R, symbols)
        G_F, the rows of the workers that answered; real or complex.
    wanted : ndarray, shape (K, symbols)
        T.

    Returns
    -------
    ndarray, shape (K, R)

    Examples
    --------
    >>> generator = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> least_norm_decoder(generator, np.array([[1.0, 3.0]])).round(3)
    array([[-0.667,  0.333,  1.333]])
    """
    transposed, *_ = np.linalg.lstsq(generator.T, wanted.T, rcond=None)
    return np.ascontiguousarray(transposed.T)


def residual(
    decoder: NDArray[Number], generator: NDArray[Number], wanted: NDArray[Number]
) -> float:
    """Tell by how much ``D G_F`` misses T: the largest entry, relative to T's largest.

    Rounding alone where the answers determine what is wanted.
    """
    missed = np.abs(decoder @ generator - wanted).max(initial=0.0)
    return float(missed / np.abs(wanted).max())


def amplification(decoder: NDArray[Number]) -> float:
    """Give the largest factor by which errors of answers grow, ``max_k sum_r |D[k, r]|``."""
    return float(np.abs(decoder).sum(axis=1).max())


def exact_amplification(
    decoder: NDArray[Number], generator: NDArray[Number], wanted: NDArray[Number]
) -> float:
    """Give `amplification`, or inf where ``D G_F`` misses T by more than the rounding of D.

    The pseudoinverse drops directions that double precision cannot tell from rounding: D may
    then be small, and wrong.
    """
    amplified = amplification(decoder)
    rounding = (100 + decoder.shape[1]) * np.finfo(np.float64).eps * max(amplified, 1.0)
    return amplified if residual(decoder, generator, wanted) <= rounding else float(np.inf)
