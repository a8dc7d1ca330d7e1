"""What workers run: products of blocks of residues, modulo a prime."""

from __future__ import annotations

from typing import Any

import numpy as np

from coded.algebra.prime_field import product
from fastspline.arrays import Restore, as_numpy


def multiply_residues(a: Any, b: Any, *, prime: int) -> Any:
    """Multiply two blocks modulo p, exactly; ``a @ b`` of 64-bit integers would overflow.

    Parameters
    ----------
    a, b : array or tensor of int, shapes (r, s) and (s, c)
        Numbers in (-p, p), numpy or torch.
    prime : int
        p.

    Returns
    -------
    array or tensor of int32, shape (r, c)
        In [-(p - 1) / 2, (p - 1) / 2].
    """
    left, device = as_numpy(a, "a")
    right, _ = as_numpy(b, "b")
    residues = product(
        left.astype(np.int64), right.astype(np.int64), prime, lowest=-((prime - 1) // 2)
    )
    return Restore(np.dtype(np.int32), device)(residues.astype(np.int32))
