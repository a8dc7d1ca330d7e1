"""What `python -m coded compare --job` prints: codes for products, open or secret, or gradients."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from coded.command_line.checks import require_installed, require_writable
from coded.command_line.tables import print_table, show_progress, without_nan

if TYPE_CHECKING:
    from collections.abc import Callable

    from coded.comparison.jobs import JobComparison

JOBS = ("matmul", "gradient", "secret")

_SIDES = {"matmul": 1000, "secret": 500}  # of the matrices
_WORKERS = {"matmul": (20, 4), "gradient": (12, 3), "secret": (20, 2)}  # N, S
_LEGEND = {
    "matmul": (
        "needs: any so many answers suffice. load: what a worker computes, as a share of the "
        "product. in, out: bytes to all workers and from those used, in bytes of the product. "
        "enc., dec.: seconds of encoding and decoding as shares of the product's here. draws: "
        "share that could be decoded. error: largest, relative to the largest number. amp., cond.: "
        "amplification of errors and condition of the answers used, the worst of the draws.\n\n"
        "Compare with recompute-lost first: a process that waits idle and computes lost blocks "
        "itself is faster, on the mean, than any code of both operands while encoding and "
        "decoding take as long as a worker's task. Codes win where few workers are very slow, "
        "where one operand is placed once and for all, or where this process cannot do the work."
    ),
    "gradient": (
        "needs: any so many answers suffice. load: parts of the sum that a worker computes, as a "
        "share of all. in, out: bytes to all workers and from those used, in bytes of the "
        "gradient. enc., dec.: seconds of encoding and decoding as shares of the whole sum's here. "
        "draws: share that could be decoded. error: largest, relative to the largest number. amp., "
        "cond.: amplification of errors and condition of the answers used, the worst of the "
        "draws.\n\n"
        "A load of s + 1 parts costs s + 1 times the work: it pays where few workers are much "
        "slower than the rest, waited for until decodable; for mild differences wait for all."
    ),
    "secret": (
        "T: so many workers together learn nothing; 0 is no secret. needs: any so many answers "
        "suffice. load: what a worker computes, as a share of the product. in, out: bytes to all "
        "workers and from those used, in bytes of the product; a public B stays with workers. "
        "enc., dec.: seconds of encoding and decoding as shares of the product's here, in floating "
        "point. draws: share that could be decoded. error: largest, relative to the largest "
        "number; integers have none. amp., cond.: amplification of errors and condition of the "
        "answers used, the worst of the draws.\n\n"
        "Where enc. and dec. add up to 100 %, to multiply here takes less time, and is secret: "
        "the codes are for those who cannot, or whose data have many owners. Workers multiply "
        "modulo a prime, which takes several times as long as in floating point. Machines must "
        "not pool what they get: any T of them may."
    ),
}


def print_job(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Compare the codes for one job, and print the table."""
    require_installed(parser, "rich", *["mlxtend"] * (options.job == "gradient"))
    from rich.console import Console

    for option in ("function", "inputs", "degree", "k", "liars"):
        if getattr(options, option):
            parser.error(f"argument --{option}: goes with functions, not with --job")
    if options.colluders is not None and options.job != "secret":
        parser.error("argument --colluders: goes with --job secret, others hide nothing")
    require_writable(parser, options.json)
    console = Console(highlight=False)
    usual = _WORKERS[options.job]
    n, s = (
        given if given is not None else at
        for given, at in zip((options.n, options.s), usual, strict=True)
    )
    try:
        with show_progress(console, options.job, 6) as advance:
            comparison = _compare(options, n, s, lambda _: advance())
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    console.print(
        f"[bold]{comparison.name}[/bold]: {n} workers, {s} of them lost; it takes "
        f"{comparison.seconds:.3g} s here"
    )
    print_table(console, *comparison.table())
    for refusal in comparison.refusals():
        console.print(f"  not for this: {refusal}", soft_wrap=True)
    told = comparison.guarantees()
    for code, guarantee in told.items():
        console.print(f"[bold]{code:{max(map(len, told))}}[/bold]  {guarantee}")
    console.print(f"\n{_LEGEND[options.job]}")
    if options.json is not None:
        text = json.dumps(without_nan(asdict(comparison)), indent=2, allow_nan=False)
        options.json.write_text(text + "\n", encoding="utf-8")


def _compare(
    options: argparse.Namespace, n: int, s: int, on_code: Callable[[str], object]
) -> JobComparison:
    """Compare on matrices, or on real digits."""
    import numpy as np

    chosen: dict[str, Any] = {
        "codes": options.codes,
        "repeats": options.repeats,
        "rng": options.seed,
        "n_stragglers": s,
        "on_code": on_code,
    }
    side = _SIDES.get(options.job, 0)
    if options.job == "matmul":
        from coded.comparison.products import compare_matmul

        rng = np.random.default_rng(options.seed)
        a, b = (rng.standard_normal((side, side), np.float32) for _ in range(2))
        return compare_matmul(a, b, n, **chosen)
    if options.job == "secret":
        from coded.comparison.secret import compare_secret

        rng = np.random.default_rng(options.seed)
        whole, by = (rng.integers(-99, 100, (side, side)) for _ in range(2))
        hidden = 1 if options.colluders is None else options.colluders
        return compare_secret(whole, by, n, n_colluders=hidden, **chosen)
    from coded.comparison.gradients import compare_gradients, digits_problem

    part, parameters = digits_problem()
    return compare_gradients(part, parameters, n, **chosen)
