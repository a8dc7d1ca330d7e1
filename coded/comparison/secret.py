"""`compare_secret`: products whose workers learn nothing, beside those whose workers see all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.prime_field import LARGEST_PRIME, IntArray
from coded.arguments import read_count
from coded.comparison.jobs import (
    Entry,
    JobCode,
    JobComparison,
    Trial,
    chosen,
    compared,
    read_draws,
)
from coded.products.field import FieldMatmulCode
from coded.products.multiply import multiply_residues
from coded.runtime.scheme_job import SchemeCode
from coded.schemes.field_lagrange import FieldLagrangeScheme
from coded.schemes.job import Job
from coded.schemes.protocol import Function, Responders
from coded.secure.cross_subspace import CrossSubspaceMatmulCode
from coded.secure.private_library import PrivateLibrary
from coded.secure.registry import SECURE_MATMULS
from coded.secure.residue_code import ResidueMatmulCode, Secrecy
from coded.secure.secure_code import SecureMatmulCode

SecureCodes: TypeAlias = Sequence[str] | Mapping[str, SecureMatmulCode]

_LIBRARY = 2  # matrices of which one is wanted


def compare_secret(
    a: ArrayLike,
    b: ArrayLike,
    n_workers: SupportsIndex,
    *,
    n_stragglers: SupportsIndex,
    n_colluders: SupportsIndex = 1,
    codes: SecureCodes | None = None,
    repeats: SupportsIndex = 20,
    rng: SupportsIndex = 0,
    on_code: Callable[[str], object] | None = None,
) -> JobComparison:
    """Compare codes for ``a @ b`` whose workers learn nothing, on equal workers, equal losses.

    Every code gets N workers, hides from T colluders, and cuts as finely as leaves `n_stragglers`
    to spare, where it can spare any. Beside the codes for both operands stand ``one-sided``, where
    B is public (`FieldLagrangeScheme`), and ``private-library``, where B is one of two public
    matrices and T is 1 (`PrivateLibrary`), and, without secrets, ``field-polynomial``
    (`FieldMatmulCode`), ``uncoded``, ``two-copies`` and ``recompute-lost``, as of `compare_matmul`.
    Whoever can hold both operands keeps them secret at
    the least cost by multiplying them here, in floating point, for they are small: encoding and
    decoding are measured by the time that takes. Shares are as large as the prime, and a worker's
    product of these takes several times as long as one of floats.

    Parameters
    ----------
    a, b : array_like of int, shapes (r, s) and (s, c)
        Numpy arrays or torch tensors, no entry of whose product exceeds 2^30.
    n_workers : int
        N >= 2.
    n_stragglers : int
        S in [0, N): so many answers are lost in each draw.
    n_colluders : int, optional
        T >= 1.
    codes : sequence of str, or mapping of str to SecureMatmulCode, optional
        Names out of ``coded.secure.registry.SECURE_MATMULS``, "one-sided", "private-library" and
        "field-polynomial", or codes of your own by their names; None takes all names.
    repeats : int, optional
        Draws of lost workers.
    rng : int, optional
        Seed of the draws. Masks come from the operating system's entropy.
    on_code : callable, optional
        ``on_code(name)`` before each, for example to show progress.

    Returns
    -------
    JobComparison
        Prints as a table, as that of `compare_matmul` with T: bytes to workers are those of secret
        shares and of what nobody hides, but for a public B or library, which stay with workers.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a count is out of range, a name is unknown, or the matrices cannot be multiplied.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.integers(-99, 99, (30, 20)), rng.integers(-99, 99, (20, 30))
    >>> comparison = compare_secret(a, b, 9, n_stragglers=1, repeats=3)
    >>> [(row.code, row.n_colluders, row.needs) for row in comparison.rows][3:6]
    [('gasp', 1, 8), ('secure-matdot', 1, 7), ('secure-dft', 1, 9)]
    """
    n, s, repeats, seed = read_draws(n_workers, n_stragglers, repeats, rng)
    t = read_count(n_colluders, "n_colluders", at_least=1)
    own = SecureMatmulCode, "one of coded.secure"
    entries = [*_plain(n), *chosen(codes, _known((n, s, t), b), (), own, _entry)]
    ResiduesRepeated(1, 1).prepare(a, b)  # refuses what cannot be multiplied
    trial = Trial(entries[0], (a, b), n_stragglers=s, repeats=repeats, rng=seed)
    (rows, inner), columns = np.shape(a), np.shape(b)[1]
    name = f"secret product ({rows} x {inner}) ({inner} x {columns})"
    return compared(name, trial, entries, n_workers=n, n_stragglers=s, on_code=on_code)


class ResiduesRepeated(ResidueMatmulCode):
    """No code and no secret: row blocks of A, each at equally many workers."""

    def __init__(self, n_blocks: int, copies: int) -> None:
        self._copies = copies
        n_workers = n_blocks * copies
        secrecy = Secrecy(0, LARGEST_PRIME, modular=False, seed=None)
        super().__init__((n_blocks, 1, 1), n_workers, n_workers - copies + 1, secrecy)

    def _encoders(self) -> tuple[IntArray, IntArray]:
        left = np.tile(np.eye(self.grid[0], dtype=np.int64), (self._copies, 1))
        return left, np.ones((self.n_workers, 1), np.int64)

    def encode(self, left: IntArray, right: IntArray) -> tuple[IntArray, IntArray]:
        """Give blocks as they are."""
        to_all = np.broadcast_to(right, (self.n_workers, *right.shape[1:]))
        return np.tile(left, (self._copies, 1, 1)), to_all

    def decode(self, answers: IntArray, responders: Responders) -> IntArray:
        """Give each block's first copy."""
        first = {n % self.grid[0]: i for i, n in reversed(list(enumerate(responders)))}
        if len(first) < self.grid[0]:
            return super().decode(answers, responders)  # raises
        blocks = answers[[first[block] for block in range(self.grid[0])]]
        return blocks - self.prime * (blocks > self.headroom)

    @property
    def function(self) -> Function:
        """What a worker runs: nothing is uniform, so that floats will do."""
        return multiply_openly

    def __repr__(self) -> str:
        """One line that could be typed."""
        return f"ResiduesRepeated({self.grid[0]}, {self._copies})"


def multiply_openly(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.int32]:
    """Multiply integers in floating point, exactly where no sum of products exceeds 2^30."""
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int32)


class _Joined:
    """A job that gives row blocks, which are put below each other."""

    def __init__(self, job: Job, n_rows: int) -> None:
        self._job, self._n_rows = job, n_rows
        self.payloads, self.min_responders = job.payloads, job.min_responders
        self.function, self.can_decode = job.function, job.can_decode
        self.exact_mask, self.read = job.exact_mask, getattr(job, "read")  # noqa: B009 (not of Job)

    def decode(self, answers: Sequence[Any], responders: NDArray[np.intp]) -> Any:
        """Give the whole."""
        blocks = self._job.decode(answers, responders)
        return blocks.reshape(-1, blocks.shape[-1])[: self._n_rows]


class _RowBlocks:
    """A code that multiplies L row blocks of A by B: as a batch, or by a B that is public."""

    def __init__(self, n_blocks: int, code: CrossSubspaceMatmulCode | FieldLagrangeScheme) -> None:
        self._n_blocks, self._code = n_blocks, code
        self.n_workers, self.min_responders = code.n_workers, code.min_responders
        self.n_colluders = code.n_colluders
        self.load = 1.0 / n_blocks

    def prepare(self, a: ArrayLike, b: ArrayLike) -> Job:
        """Cut A, and encode."""
        rows, right = np.asarray(a), np.asarray(b)
        height = -(-len(rows) // self._n_blocks)
        full = np.zeros((self._n_blocks * height, rows.shape[1]), rows.dtype)
        full[: len(rows)] = rows
        blocks = full.reshape(self._n_blocks, height, -1)
        self._public = right
        if isinstance(self._code, FieldLagrangeScheme):
            return _Joined(SchemeCode(self._code).prepare(blocks), len(rows))
        batch = np.broadcast_to(right, (self._n_blocks, *right.shape))
        return _Joined(self._code.prepare(blocks, batch), len(rows))

    @property
    def function(self) -> Function:
        """What a worker runs."""
        if isinstance(self._code, FieldLagrangeScheme):
            return partial(multiply_residues, b=self._public, prime=self._code.prime)
        return self._code.function

    def amplification(self, responders: ArrayLike) -> float:
        """Tell that integers have no errors that could grow."""
        return 1.0 if self._code.can_decode(responders) else float(np.inf)

    def whole(self, fn: Function, *operands: Any) -> Any:
        """Give the product without workers."""
        return fn(*operands)

    def __repr__(self) -> str:
        return repr(self._code)


class _InLibrary:
    """A product by the first matrix of a library."""

    def __init__(self, library: PrivateLibrary) -> None:
        self._library = library
        self.n_workers, self.min_responders = library.n_workers, library.min_responders
        self.n_colluders, self.load = library.n_colluders, library.load
        self.function = library.function

    def prepare(self, a: ArrayLike, b: ArrayLike) -> Job:  # noqa: ARG002 (the library has it)
        """Encode A and the question."""
        return self._library.prepare(a, 0)

    def amplification(self, responders: ArrayLike) -> float:
        """Tell that integers have no errors that could grow."""
        return 1.0 if self._library.can_decode(responders) else float(np.inf)

    def whole(self, fn: Function, *operands: Any) -> Any:
        """Give the product without workers."""
        return fn(*operands)

    def __repr__(self) -> str:
        return repr(self._library)


def _entry(
    name: str, make: Callable[[], JobCode], guarantee: str, *, recomputes: bool = False
) -> Entry:
    return Entry(
        name,
        make,
        guarantee,
        load=lambda code: float(code.load),
        condition=lambda code, who: (
            float(code.condition(who)) if hasattr(code, "condition") else float(np.nan)
        ),
        function=lambda code: getattr(code, "function", multiply_openly),
        recomputes=recomputes,
    )


def _plain(n_workers: int) -> list[Entry]:
    """Give what is done without codes, and without secrets."""
    uncoded = partial(ResiduesRepeated, n_workers, 1)
    two = partial(ResiduesRepeated, n_workers // 2, 2)
    return [
        _entry("uncoded", uncoded, "workers see all; all answers are needed"),
        _entry("two-copies", two, "workers see all; exact unless both copies of a block are lost"),
        _entry(
            "recompute-lost",
            uncoded,
            "workers see all; lost blocks are computed here",
            recomputes=True,
        ),
    ]


def _known(counts: tuple[int, int, int], b: ArrayLike) -> dict[str, Entry]:
    """Give all codes by their names, those that hide both operands first."""
    entries = [
        _entry(name, partial(_make, name, counts), variant.guarantee)
        for name, variant in SECURE_MATMULS.items()
    ]
    one_sided = "A hidden, B public; exact from any K + T answers"
    library = "A hidden, and which B of a public library; exact from any (m + 1)(n + 1)"
    entries += [
        _entry("one-sided", partial(_make_one_sided, *counts), one_sided),
        _entry("private-library", partial(_make_library, *counts, b), library),
        _entry(
            "field-polynomial",
            partial(_make_open, *counts),
            "workers see all; integers exactly from any m n answers",
        ),
    ]
    return {entry.name: entry for entry in entries}


def _make_open(n: int, s: int, t: int) -> JobCode:  # noqa: ARG001 (hides nothing)
    m = next(m for m in range(int((n - s) ** 0.5), 0, -1) if (n - s) % m == 0)
    return FieldMatmulCode(m, (n - s) // m, n)


def _make(name: str, counts: tuple[int, int, int]) -> JobCode:
    code = SECURE_MATMULS[name].make(*counts)
    if isinstance(code, CrossSubspaceMatmulCode):
        return _RowBlocks(code.n_products, code)
    return code


def _make_one_sided(n: int, s: int, t: int) -> JobCode:
    blocks = max(n - s - t, 1)
    return _RowBlocks(blocks, FieldLagrangeScheme(blocks, n, degree=1, n_colluders=t))


def _make_library(n: int, s: int, t: int, b: ArrayLike) -> JobCode:
    if t > 1:
        raise ValueError(f"n_colluders must be 1, for two workers see the index, got {t}")
    grids = [(m, k) for m in range(1, n) for k in range(1, n) if (m + 1) * (k + 1) <= n - s]
    m, k = max(grids, key=lambda grid: (grid[0] * grid[1], -abs(grid[0] - grid[1])), default=(1, 1))
    other = np.roll(np.asarray(b), 1, axis=0)
    return _InLibrary(PrivateLibrary(np.stack([np.asarray(b), *[other] * (_LIBRARY - 1)]), m, k, n))
