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


def multiply_modulo(a: Any, b: Any, prime: int) -> Any:
    """Multiply a worker's two blocks of integers in (-p, p) modulo the prime p.

    Parameters
    ----------
    a, b : ndarray of int64, shapes (r, s) and (s, c)
    prime : int
        p; without reducing in between, ``a @ b`` would overflow.

    Returns
    -------
    ndarray of int64, shape (r, c)
        Residues in [0, p).
    """
    from coded.algebra.prime_field import product

    return product(a, b, prime)


def multiply_right(fn: Any, share: Any, a: Any) -> Any:
    """Multiply by what stays with the worker."""
    return fn(a, share)
