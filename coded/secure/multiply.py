"""What workers run who keep a library: a block times a sum of its matrices, modulo a prime."""

from __future__ import annotations

from typing import Any

import numpy as np

from coded.algebra.prime_field import IntArray, power, product
from coded.products.multiply import multiply_residues


def multiply_selected(
    library: IntArray, share: Any, points: IntArray, *, step: int, prime: int
) -> Any:
    """Multiply a block by the sum of a library's matrices, each encoded at a point of its own.

    Parameters
    ----------
    library : ndarray of int, shape (M, n, s, w)
        M matrices in n blocks each, numbers in (-p, p).
    share : array or tensor of int, shape (h, s)
        Numbers in (-p, p).
    points : ndarray of int64, shape (M,)
        q_k; block j of matrix k gets the weight ``q_k^((j + 1) step)``.
    step : int
        The distance of the blocks' powers.
    prime : int
        p.

    Returns
    -------
    array or tensor of int32, shape (h, w)
        In [-(p - 1) / 2, (p - 1) / 2].
    """
    n_blocks = library.shape[1]
    weights = np.stack([power(points, (j + 1) * step, prime) for j in range(n_blocks)], axis=1)
    columns = library.reshape(weights.size, -1).astype(np.int64)
    mixed = product(weights.reshape(1, -1), columns, prime)
    return multiply_residues(share, mixed.reshape(library.shape[2:]), prime=prime)
