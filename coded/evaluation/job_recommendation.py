"""Which code to take for a product of matrices or a sum of gradients, and when to take none.

The figures are those of ``python -m coded compare --job matmul`` and of simulated completion times
(20 workers, 4 to spare, 2000 x 2000): see "Products, gradients" in coded/README.md.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from coded.gradients.registry import GRADIENTS
from coded.products.registry import MATMULS

JobKind = Literal["matmul", "gradient"]

_FEW = 2  # spare workers up to which mixtures of blocks amplify float32 little enough


class Advice(NamedTuple):
    """A code, its name, the reason, and what else to know."""

    code: Any
    name: str
    why: str
    cautions: tuple[str, ...]


def advise(
    kind: JobKind, setting: tuple[int, int, int], *, stays: bool, can_recompute: bool
) -> Advice:
    """Choose a code for (blocks or parts, workers, stragglers)."""
    if kind == "gradient":
        return _for_gradients(setting[1], setting[2])
    return _for_products(*setting, stays=stays, can_recompute=can_recompute)


def _for_products(blocks: int, n: int, s: int, *, stays: bool, can_recompute: bool) -> Advice:
    if blocks > n - s:
        raise ValueError(
            f"n_inputs must be at most n_workers - n_stragglers = {n - s}, the answers that come, "
            f"for kind='matmul', got {blocks} blocks; cut into fewer, or add workers"
        )
    if s == 0 or (can_recompute and not stays):
        return Advice(
            MATMULS["mds-rows"].make(n, 1, n),
            "mds-rows",
            "no code: one block of A a worker, and coded_matmul(..., recompute_lost=True, "
            "timeout=...) computes here what is lost",
            (
                (
                    "at 2000 x 2000 an idle process that recomputes lost blocks was faster, on the "
                    "mean, than every code of two operands, whose encoding and decoding take as "
                    "long as a worker's task; compare_matmul shows the shares for your matrices"
                ),
                (
                    "code where few workers are very slow (10 times, say), one operand stays "
                    "(stays=True), this process cannot do the work (can_recompute=False), or "
                    "workers lie (verify=True)"
                ),
            ),
        )
    if stays:
        return Advice(
            MATMULS["mds-rows"].make(blocks, 1, n),
            "mds-rows",
            "the operand that stays is encoded once (code.place), and what is sent, and decoded, "
            "is as much as without a code",
            (f"any {blocks} answers suffice, each worker computes 1/{blocks} of the product",),
        )
    name = "khatri-rao" if s <= _FEW else "rotation"
    m = next(m for m in range(int(blocks**0.5), 0, -1) if blocks % m == 0)
    why = {
        "khatri-rao": "blocks of the product bit for bit where their workers answer, mixtures only "
        "for what is lost, and so few losses that float32 bears them",
        "rotation": "the best conditioned of all for so many losses, in float32 too",
    }[name]
    return Advice(
        MATMULS[name].make(m, blocks // m, n),
        name,
        why,
        (
            (
                "encoding and decoding are passes over all matrices, and take longer than a "
                "worker's task up to some thousand rows: compare_matmul tells for yours"
            ),
        ),
    )


def _for_gradients(n: int, s: int) -> Advice:
    if s == 0:
        return Advice(
            GRADIENTS["fractional-repetition"].make(n, 0),
            "fractional-repetition",
            "no code: each part at one worker, and all answers are waited for",
            (),
        )
    name = "fractional-repetition" if n % (s + 1) == 0 else "cyclic-mds"
    code = GRADIENTS[name].make(n, s)
    return Advice(
        code,
        name,
        f"each part at {code.load} workers, so that any {code.n_stragglers} may be lost and the "
        "sum is exact; coded_gradient waits until decodable, mostly for far fewer",
        (
            (
                f"each worker does {code.load} times the work: it pays where few workers are much "
                "slower than the rest, or die; for mild differences wait for all, with hedge_after "
                "where any worker can compute any part"
            ),
        ),
    )
