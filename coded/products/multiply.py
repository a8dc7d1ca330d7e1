"""What workers run: products of blocks. Imports nothing, so that first answers come soon."""

from __future__ import annotations

from typing import Any


def multiply(a: Any, b: Any) -> Any:
    """Multiply a worker's blocks, numpy or torch: one by one, or each by each.

    Parameters
    ----------
    a, b : array or tensor, shapes (r, s) and (s, c), or (x, r, s) and (y, s, c)
        Where one has a leading axis and the other has not, that is one block.

    Returns
    -------
    array or tensor, shape (r, c), or (x, y, r, c)
    """
    if a.ndim <= 2 and b.ndim <= 2:
        return a @ b
    return (a if a.ndim == 3 else a[None])[:, None] @ b[None]


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
    import numpy as np

    from coded.algebra.prime_field import product
    from fastspline.arrays import Restore, as_numpy

    left, device = as_numpy(a, "a")
    right, _ = as_numpy(b, "b")
    residues = product(
        left.astype(np.int64), right.astype(np.int64), prime, lowest=-((prime - 1) // 2)
    )
    return Restore(np.dtype(np.int32), device)(residues.astype(np.int32))


def multiply_right(fn: Any, share: Any, a: Any) -> Any:
    """Multiply by what stays with the worker."""
    return fn(a, share)
