"""Codes for products and sums of gradients beside no code, two copies and recomputing the lost.

Costs are measured here, in one process. Completion times are drawn: service times of workers by
three laws, and what encoding and decoding take in between as measured.

    python -m bench.engines.jobs             measure and store
    python -m bench.engines.jobs --quick     a look; nothing is stored
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.documents import to_markdown
from bench.experiments import main
from bench.records import Numbers
from coded import JobComparison, compare_gradients, compare_matmul
from coded.comparison.gradients import digits_problem

Array = NDArray[np.float64]

WORKERS, SPARE = 20, 4
SIDES = (1000, 2000, 4000)
SHOWN = 2000  # of the table of costs, of all codes
AT_ALL_SIDES = ("khatri-rao", "mds-rows", "ortho-matdot", "ortho-poly", "polynomial", "rotation")
GRADIENT_WORKERS, LOST = 12, 3
REPEATS = 7
DRAWS = 20_000
LAWS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "1 + Exp(1)": lambda rng, shape: 1.0 + rng.exponential(1.0, shape),
    "one in 20 ten times slower": lambda rng, shape: np.where(rng.random(shape) < 0.05, 10.0, 1.0),
    "Pareto 1.5": lambda rng, shape: 1.0 + rng.pareto(1.5, shape),
}


def run(*, quick: bool) -> Numbers:
    """Compare at each size and dtype, and on real digits."""
    rng = np.random.default_rng(0)
    products: dict[str, Any] = {}
    for side in (200,) if quick else SIDES:
        for dtype in (np.float32, np.float64):
            a, b = (rng.standard_normal((side, side)).astype(dtype) for _ in range(2))
            compared = compare_matmul(
                a,
                b,
                WORKERS,
                n_stragglers=SPARE,
                codes=None if quick or side == SHOWN else AT_ALL_SIDES,
                repeats=2 if quick else REPEATS,
            )
            products[f"{side} {np.dtype(dtype)}"] = _plain(compared)
    part, parameters = digits_problem()
    gradients = compare_gradients(
        part, parameters, GRADIENT_WORKERS, n_stragglers=LOST, repeats=2 if quick else 3 * REPEATS
    )
    shown = 200 if quick else SHOWN
    return {
        "shown": shown,
        "products": products,
        "gradients": _plain(gradients),
        "times": _times(products[f"{shown} float32"], 500 if quick else DRAWS),
    }


def _plain(compared: JobComparison) -> Numbers:
    """Give a comparison as JSON can hold it."""
    rows = [
        {name: None if value != value else value for name, value in asdict(row).items()}
        for row in compared.rows
    ]
    return {"name": compared.name, "seconds": compared.seconds, "rows": rows}


def _times(product: Numbers, draws: int) -> Numbers:
    """Draw completion times in units of the product on one worker: mean and 99 % quantile."""
    shares = {row["code"]: (row["encode"] or 0.0, row["decode"] or 0.0) for row in product["rows"]}
    found: Numbers = {}
    for law, draw in LAWS.items():
        slow = draw(np.random.default_rng(1), (draws, WORKERS))
        even = np.sort(slow / WORKERS, axis=1)
        times = {"uncoded": even[:, -1], "recompute-lost": _recomputed(even)}
        halves = slow.reshape(draws, 2, WORKERS // 2).min(axis=1)
        times["two-copies"] = halves.max(axis=1) / (WORKERS // 2)
        needed = WORKERS - SPARE
        waited = np.sort(slow / needed, axis=1)[:, needed - 1]
        for code in ("mds-rows", "khatri-rao", "rotation"):
            times[code] = waited + sum(shares[code])
        times["mds-rows, placed"] = waited + shares["mds-rows"][1]
        found[law] = {
            code: [round(float(one.mean()), 4), round(float(np.quantile(one, 0.99)), 4)]
            for code, one in times.items()
        }
    return found


def _recomputed(even: Array) -> Array:
    """Give the times where this process computes what is out at the best deadline for the mean.

    It takes as long for a block as a worker that is not slow, block after block, the last to come
    first, until all others are there.
    """
    own = 1.0 / WORKERS
    best: Array | None = None
    for deadline in np.quantile(even, [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97]):
        times = even[:, -1].copy()
        for lost in range(1, WORKERS):
            others = even[:, WORKERS - lost - 1]
            times = np.minimum(times, np.maximum(others, deadline + lost * own))
        if best is None or times.mean() < best.mean():
            best = times
    assert best is not None
    return best


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the tables of costs, of gradients and of completion times."""
    shown = numbers["shown"]
    single, double = (numbers["products"][f"{shown} {dtype}"] for dtype in ("float32", "float64"))
    by_code = {row["code"]: row for row in double["rows"]}
    header = ["code", "needs", "load", "in", "out", "encode", "decode", "error", "amp.", "cond."]
    rows = [
        [
            f"`{row['code']}`",
            str(row["needs"] or "any"),
            _told(row["load"], ".3f"),
            _told(row["sent"], ".3g"),
            _told(row["received"], ".2g"),
            f"{_share(row['encode'])} / {_share(by_code[row['code']]['encode'])}",
            f"{_share(row['decode'])} / {_share(by_code[row['code']]['decode'])}",
            _size(row["error"]),
            _size(row["amplification"]),
            _size(row["condition"]),
        ]
        for row in single["rows"]
    ]
    caption = (
        f"A {shown} x {shown} product on {WORKERS} workers of which {SPARE} are lost. load: what a "
        "worker computes, as a share of the product; in, out: bytes to all workers and from those "
        "used, in bytes of the product; encode, decode: as shares of the product's seconds in this "
        "process, float32 / float64; error in float32, relative to the largest number; "
        "amplification and condition: the worst of the draws."
    )
    products = f"{to_markdown(header, rows, words=1)}\n\n{caption}"
    return {
        "products": products,
        "gradient-codes": _gradient_table(numbers["gradients"]),
        "products-times": _time_table(numbers["times"]),
    }


def _told(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _gradient_table(found: Numbers) -> str:
    header = ["code", "needs", "load", "out", "decode", "decoded", "error", "amp.", "cond."]
    rows = [
        [
            f"`{row['code']}`",
            str(row["needs"] or "any"),
            _told(row["load"], ".3f"),
            _told(row["received"], ".2g"),
            _share(row["decode"]),
            f"{row['decoded']:.0%}",
            _size(row["error"]),
            _size(row["amplification"]),
            _size(row["condition"]),
        ]
        for row in found["rows"]
    ]
    caption = (
        f"The gradient of softmax regression on 1,000 real digits by {GRADIENT_WORKERS} workers of "
        f"which {LOST} are lost. load: parts of the sum that a worker computes, as a share of all; "
        "out: bytes from workers in bytes of the gradient; decode: as a share of the seconds that "
        "the whole gradient takes here; decoded: share of draws. `partial` sends part by part: "
        "its tasks are answers."
    )
    return f"{to_markdown(header, rows, words=1)}\n\n{caption}"


def _time_table(times: Numbers) -> str:
    codes = list(next(iter(times.values())))
    rows = [
        [f"`{code}`", *("{:.3f} / {:.3f}".format(*one[code]) for one in times.values())]
        for code in codes
    ]
    caption = (
        f"Seconds until the product is there, mean / 99 % quantile of {DRAWS:,} draws, in units of "
        "the product on one worker that is not slow, whose service time is multiplied by the law "
        "of the column; encoding and decoding as measured above. recompute-lost: this process "
        "starts with blocks that are out at the best deadline for the mean, and is never slow "
        "itself. "
        "placed: A has been encoded before."
    )
    return f"{to_markdown(['code', *times], rows, words=1)}\n\n{caption}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def _size(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (one interface for all)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("jobs")
