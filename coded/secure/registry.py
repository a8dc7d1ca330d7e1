"""Every code for secure products under its one name: what tests and comparisons read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from coded.arguments import read_count
from coded.secure.analog import AnalogMatmulCode
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
    numbers : str
        "integer", exact and modulo a prime, or "real", hidden to a degree. Codes of reals have the
        options ``mask_std`` and ``rng``.
    """

    make: Callable[..., SecureMatmulCode]
    guarantee: str
    numbers: Literal["integer", "real"] = "integer"


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


def _analog(
    n: int, s: int, t: int, *, mask_std: float = 1e3, rng: int | None = None
) -> SecureMatmulCode:
    blocks = _inner_blocks(n, s, t)
    return AnalogMatmulCode(blocks, n, n_colluders=t, mask_std=mask_std, rng=rng)


SECURE_MATMULS: dict[str, Variant] = {
    "gasp": Variant(_gasp, "A, B hidden; exact from the fewest answers of a block each"),
    "secure-matdot": Variant(
        _matdot, "A, B hidden; exact from any 2 (p + T) - 1 answers, as large as C"
    ),
    "secure-dft": Variant(_dft, "A, B hidden; exact from all p + 2 T answers, as large as C"),
    "cross-subspace": Variant(
        _cross_subspace, "a batch of L hidden; exact from any 2 (L + T) - 1 answers"
    ),
    "analog": Variant(
        _analog, "A, B behind masks of 1000, a leak; reals from any 2 (p + T) - 1 answers", "real"
    ),
}
