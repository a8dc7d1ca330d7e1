"""Every code for secure products under its one name: what tests and comparisons read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coded.arguments import read_count
from coded.secure.cross_subspace import CrossSubspaceMatmulCode
from coded.secure.dft import SecureDFTMatmulCode
from coded.secure.gasp import GASPMatmulCode, best_degrees, n_sums
from coded.secure.matdot import SecureMatDotMatmulCode
from coded.secure.secure_code import SecureMatmulCode


@dataclass(frozen=True)
class Variant:
    """A code for secure products, as comparisons list it.

    Attributes
    ----------
    make : callable
        ``make(n_workers, n_stragglers, n_colluders, **options)``: the code that cuts finest and
        leaves so many workers to spare, but for DFT codes, which need all; ValueError where N is
        too small. `options` are ``prime``, ``modular`` and ``rng``.
    guarantee : str
        What is promised, in a few words.
    """

    make: Callable[..., SecureMatmulCode]
    guarantee: str


def _gasp(n: int, s: int, t: int, **options: object) -> SecureMatmulCode:
    """Give the finest grid that needs at most N - S answers, the most square of equal ones."""
    t = read_count(t, "n_colluders", at_least=1)
    fitting = [
        (m * k, -abs(m - k), m, k)
        for m in range(1, n)
        for k in range(1, min(m, n // m) + 1)
        if n_sums(best_degrees(m, k, t)[0], t) <= n - s
    ]
    _, _, m, k = max(fitting, default=(1, 0, 1, 1))
    return GASPMatmulCode(m, k, n, n_colluders=t, **options)  # type: ignore[arg-type]


def _inner_blocks(n: int, s: int, t: int) -> int:
    """Give the largest count with ``2 (count + T) - 1 <= N - S``, or 1."""
    return max((n - s + 1) // 2 - t, 1)


def _matdot(n: int, s: int, t: int, **options: object) -> SecureMatmulCode:
    blocks = _inner_blocks(n, s, t)
    return SecureMatDotMatmulCode(blocks, n, n_colluders=t, **options)  # type: ignore[arg-type]


def _dft(n: int, s: int, t: int, **options: object) -> SecureMatmulCode:  # noqa: ARG001 (as all)
    return SecureDFTMatmulCode(n - 2 * t, n_colluders=t, **options)  # type: ignore[arg-type]


def _cross_subspace(n: int, s: int, t: int, **options: object) -> SecureMatmulCode:
    blocks = _inner_blocks(n, s, t)
    return CrossSubspaceMatmulCode(blocks, n, n_colluders=t, **options)  # type: ignore[arg-type]


SECURE_MATMULS: dict[str, Variant] = {
    "gasp": Variant(_gasp, "A, B hidden from T; exact from the fewest answers of a block each"),
    "secure-matdot": Variant(
        _matdot, "A, B hidden from T; exact from any 2 (p + T) - 1 answers as large as C"
    ),
    "secure-dft": Variant(
        _dft, "A, B hidden from T; exact, all p + 2 T answers are needed, as large as C"
    ),
    "cross-subspace": Variant(
        _cross_subspace, "a batch of L hidden from T; exact from any 2 (L + T) - 1 answers"
    ),
}
