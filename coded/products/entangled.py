"""Which powers of its point a worker of an entangled polynomial code multiplies blocks by."""

from __future__ import annotations

from typing import SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coded.arguments import read_count

Powers: TypeAlias = NDArray[np.intp]


def read_sides(
    m: SupportsIndex, n: SupportsIndex, n_workers: SupportsIndex, p: SupportsIndex
) -> tuple[tuple[int, int, int], int, int]:
    """Check counts, and give the grid (m, p, n), N, and how many answers are needed."""
    rows, columns, inner = (
        read_count(side, name, at_least=1) for side, name in ((m, "m"), (n, "n"), (p, "p"))
    )
    needed = inner * rows * columns + inner - 1
    workers = read_count(n_workers, "n_workers", at_least=1)
    if workers < needed:
        raise ValueError(
            f"n_workers must be at least p m n + p - 1 = {needed}, the answers that are "
            f"needed, got {workers}; add workers or cut into fewer blocks"
        )
    return (rows, inner, columns), workers, needed


def powers(grid: tuple[int, int, int]) -> tuple[Powers, Powers, Powers]:
    """Give those of A's blocks, of B's, and of C's in what workers answer, row by row.

    Yu, Maddah-Ali and Avestimehr, arXiv:1801.07487, equations 17 to 19, for C = A B: block (k, j)
    of A has j + k p, block (j, l) of B has p - 1 - j + l p m, block (k, l) of C the sum
    p - 1 + k p + l p m, which no other pair of blocks has.
    """
    m, p, n = grid
    k, j, last = np.arange(m)[:, None], np.arange(p), np.arange(n) * p * m
    of_a, of_b = j + k * p, p - 1 - j[:, None] + last
    return of_a.ravel(), of_b.ravel(), (p - 1 + k * p + last).ravel()
