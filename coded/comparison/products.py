"""`compare_matmul`: codes for products beside no code, two copies and recomputing what is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.comparison.jobs import Entry, JobComparison, Trial, chosen, compared, read_draws
from coded.products.matmul_code import MatmulCode
from coded.products.multiply import multiply
from coded.products.registry import MATMULS, SKETCHES

MatmulCodes: TypeAlias = Sequence[str] | Mapping[str, MatmulCode]


def compare_matmul(
    a: ArrayLike,
    b: ArrayLike,
    n_workers: SupportsIndex,
    *,
    n_stragglers: SupportsIndex,
    codes: MatmulCodes | None = None,
    repeats: SupportsIndex = 20,
    rng: SupportsIndex = 0,
    on_code: Callable[[str], object] | None = None,
) -> JobComparison:
    """Compare codes for ``a @ b`` on equal workers with equal losses.

    Every code gets N workers and as many blocks as leave `n_stragglers` to spare, in as square a
    grid as possible. Beside them stand ``uncoded`` (N blocks, all are needed), ``two-copies``
    (N / 2 blocks, each on two workers) and ``recompute-lost`` (uncoded, and this process computes
    what is lost), by which a code has to be measured: an idle master that recomputes lost blocks
    is faster, on the mean, than any code of both operands at 2000 x 2000.

    Parameters
    ----------
    a, b : array_like, shapes (r, s) and (s, c) or (s,)
        Numpy arrays or torch tensors of floats.
    n_workers : int
        N >= 2.
    n_stragglers : int
        S in [0, N): so many answers are lost in each draw.
    codes : sequence of str, or mapping of str to MatmulCode, optional
        Names out of ``MATMULS`` and ``SKETCHES`` of `coded.products.registry`, or codes of your own
        by their names; None takes all names.
    repeats : int, optional
        Draws of lost workers.
    rng : int, optional
        Seed of the draws.
    on_code : callable, optional
        ``on_code(name)`` before each, for example to show progress.

    Returns
    -------
    JobComparison
        Prints as a table: how many answers suffice, load, bytes to and from workers in bytes of
        the product, encoding and decoding as shares of the product, error, amplification and
        condition of the answers used.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a count is out of range, a name is unknown, or the matrices cannot be multiplied.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(60, 40)), rng.normal(size=(40, 50))
    >>> comparison = compare_matmul(a, b, 6, n_stragglers=2, repeats=3)
    >>> [row.code for row in comparison.rows][:4]
    ['uncoded', 'two-copies', 'recompute-lost', 'circulant']
    """
    n, s, repeats, seed = read_draws(n_workers, n_stragglers, repeats, rng)
    own = MatmulCode, "one of coded.products"
    entries = [*_plain(n), *chosen(codes, MATMULS | SKETCHES, _grid(n, s), own, _entry)]
    MatmulRepeated(1, 1).prepare(a, b)  # refuses what cannot be multiplied
    trial = Trial(entries[0], (a, b), n_stragglers=s, repeats=repeats, rng=seed)
    (rows, inner), (_, *columns) = np.shape(a), np.shape(b)
    name = f"product ({rows} x {inner}) ({inner} x {columns[0] if columns else 1})"
    return compared(name, trial, entries, n_workers=n, n_stragglers=s, on_code=on_code)


class MatmulRepeated(MatmulCode):
    """No code: row blocks of A, each at equally many workers; any copy of a block will do."""

    def __init__(self, n_blocks: int, copies: int) -> None:
        self._copies = copies
        super().__init__((n_blocks, 1, 1), n_blocks * copies, n_blocks * copies - copies + 1)

    def _encoders(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        left = np.tile(np.eye(self.grid[0]), (self._copies, 1))
        return left[:, None], np.ones((self.n_workers, 1, 1))

    def __repr__(self) -> str:
        """One line that could be typed."""
        return f"MatmulRepeated({self.grid[0]}, {self._copies})"


def _entry(
    name: str, make: Callable[[], MatmulCode], guarantee: str, *, recomputes: bool = False
) -> Entry:
    return Entry(
        name,
        make,
        guarantee,
        load=attrgetter("load"),
        condition=lambda code, who: float(code.condition(who)),
        function=lambda _: multiply,
        recomputes=recomputes,
    )


def _grid(n_workers: int, n_stragglers: int) -> tuple[int, int, int]:
    """Give the most square grid that leaves so many workers to spare."""
    blocks = n_workers - n_stragglers
    m = next(m for m in range(int(blocks**0.5), 0, -1) if blocks % m == 0)
    return m, blocks // m, n_workers


def _plain(n_workers: int) -> list[Entry]:
    """Give what is done without codes."""
    uncoded, two = partial(MatmulRepeated, n_workers, 1), partial(MatmulRepeated, n_workers // 2, 2)
    return [
        _entry("uncoded", uncoded, "all answers are needed"),
        _entry("two-copies", two, "exact unless both copies of a block are lost"),
        _entry("recompute-lost", uncoded, "lost blocks are computed here", recomputes=True),
    ]
