"""How much codes for products amplify errors: the published ranking, over all sets of answers.

Condition numbers at the counts of Ramamoorthy and Tang, and of Fahim and Cadambe; amplification and
float32 errors of products at four grids. Neither needs a clock.

    python -m bench.engines.stability             measure and store
    python -m bench.engines.stability --quick     a look; nothing is stored
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.documents import to_markdown
from bench.experiments import main
from bench.records import Numbers
from coded.places.points import chebyshev_first, equidistant
from coded.products.matmul_code import MatmulCode
from coded.products.multiply import multiply
from coded.products.registry import MATMULS

Array = NDArray[Any]

COUNTS = ((10, 2), (20, 2), (31, 2), (31, 3), (31, 4), (50, 3))  # N, and how many are lost
GRIDS = ((2, 2, 6), (3, 3, 12), (4, 4, 20), (5, 4, 24), (6, 6, 40))  # m, n, N
MOST_SETS = 40_000  # all of them at every count
SAMPLED = 5_000  # sets of a grid, where there are more
ERRORS = 40  # sets whose float32 products are made
SIDE = 240
RANKED = ("polynomial", "ortho-poly", "khatri-rao", "mds-rows", "rotation")
SINGULAR = 1e15  # what double precision cannot tell from more


def run(*, quick: bool) -> Numbers:
    """Go through sets of answers at each count and grid."""
    counts, grids = (COUNTS[:1], GRIDS[:1]) if quick else (COUNTS, GRIDS)
    return {
        "conditions": {
            f"{n} {lost}": {
                name: conditions(matrix, n - lost) for name, matrix in matrices(n, n - lost).items()
            }
            for n, lost in counts
        },
        "products": {
            f"{m} {n} {n_workers}": {
                name: product_of(MATMULS[name].make(m, n, n_workers)) for name in RANKED
            }
            for m, n, n_workers in grids
        },
    }


def matrices(n_workers: int, needed: int) -> dict[str, Array]:
    """Give generators, a row a worker, any `needed` of which are to be inverted."""
    chebyshev = np.cos(np.outer(np.arccos(chebyshev_first(n_workers)), np.arange(needed)))
    turns = np.outer(np.arange(n_workers), np.arange(needed)) / n_workers
    made = {name: MATMULS[name].make(needed, 1, n_workers).generator[:, 0] for name in RANKED[:3]}
    return {
        "monomials, equidistant points": np.vander(equidistant(n_workers), needed, increasing=True),
        "`polynomial`": made["polynomial"],
        "Chebyshev polynomials, q_0 = 1": chebyshev,
        "`ortho-poly`": made["ortho-poly"],
        "`khatri-rao`": made["khatri-rao"],
        "`mds-rows`": MATMULS["mds-rows"].make(needed, 1, n_workers).generator[:, 0],
        "`rotation`": np.exp(2j * np.pi * turns),  # to which it is similar
    }


def sets_of(n_workers: int, needed: int, most: int) -> Array:
    """Give all sets of so many answers, or `most` of them at random."""
    if math.comb(n_workers, needed) <= most:
        return np.array(list(itertools.combinations(range(n_workers), needed)))
    rng = np.random.default_rng(0)
    drawn = [np.sort(rng.permutation(n_workers)[:needed]) for _ in range(most)]
    return np.array(drawn)


def _chunks(sets: Array, numbers: int) -> Iterator[Array]:
    """Give sets in groups whose matrices are of some 30 MB."""
    size = max(4_000_000 // numbers, 1)
    return (sets[start : start + size] for start in range(0, len(sets), size))


def conditions(matrix: Array, needed: int) -> list[float]:
    """Give the worst and the mean condition number of all sets of answers."""
    found = []
    for sets in _chunks(sets_of(len(matrix), needed, MOST_SETS), needed**2):
        sizes = np.linalg.svd(matrix[sets], compute_uv=False)
        with np.errstate(divide="ignore"):
            found.append(sizes[:, 0] / sizes[:, -1])
    every = np.minimum(np.concatenate(found), 10.0 * SINGULAR)
    return [float(every.max()), float(every.mean())]


def product_of(code: MatmulCode) -> Numbers:
    """Give amplification of exactly as many answers as are needed, and float32 errors."""
    needed, per_worker = code.min_responders, code.generator.shape[1]
    symbols = code.generator.shape[2]
    sets = sets_of(code.n_workers, needed, SAMPLED)
    amplified, errors = [], []
    work = _Float32(code)
    for chunk in _chunks(sets, (needed * per_worker) ** 2):
        decoders = np.linalg.inv(code.generator[chunk].reshape(len(chunk), -1, symbols))
        amplified.extend(np.abs(decoders).sum(axis=2).max(axis=1).tolist())
        for decoder, who in zip(decoders, chunk, strict=True):
            if len(errors) < ERRORS:
                errors.append(work.error(decoder, who))
    all_but_two = [
        code.amplification(np.delete(np.arange(code.n_workers), lost))
        for lost in sets_of(code.n_workers, 2, SAMPLED)
    ]
    return {
        "sets": len(sets),
        "median": float(np.median(amplified)),
        "worst": max(amplified),
        "two lost": max(all_but_two),
        "error": float(np.median(errors)),
        "worst error": max(errors),
    }


class _Float32:
    """One product of random matrices in float32, whatever the code would refuse."""

    def __init__(self, code: MatmulCode) -> None:
        rng = np.random.default_rng(0)
        a, b = rng.standard_normal((2, SIDE, SIDE))
        self._grid, self._exact = code.grid, a @ b
        job = code.prepare(a.astype(np.float32), b.astype(np.float32))
        self._answers = np.array([multiply(*payload) for payload in job.payloads])

    def error(self, decoder: Array, who: Array) -> float:
        """Give the Frobenius norm of the error, relative to that of the product."""
        m, _, n = self._grid
        *_, height, width = self._answers.shape
        answers = self._answers[who].reshape(-1, height * width)
        blocks = (decoder.astype(np.float32) @ answers).reshape(m, n, height, width)
        found = blocks.swapaxes(1, 2).reshape(m * height, n * width)[:SIDE, :SIDE]
        return float(np.linalg.norm(found - self._exact) / np.linalg.norm(self._exact))


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the tables of condition numbers, and of amplification and errors."""
    return {
        "stability-conditions": _conditions(numbers["conditions"]),
        "stability-products": _products(numbers["products"]),
    }


def _conditions(found: Numbers) -> str:
    header = ["generator", *("({}, {})".format(*count.split()) for count in found)]
    names = next(iter(found.values()))
    rows = [[name, *(_pair(*one[name]) for one in found.values())] for name in names]
    caption = (
        "(N, lost): worst / mean condition number of the rows of N - lost of N workers, over all "
        "sets of them. Monomials but for the first row, and Chebyshev polynomials, at the roots of "
        "the N-th Chebyshev polynomial; `ortho-poly` has q_0 = 1 / sqrt 2. `rotation`: N-th roots "
        "of unity, whose complex matrix has the same condition number."
    )
    return f"{to_markdown(header, rows, words=1)}\n\n{caption}"


def _products(found: Numbers) -> str:
    header = ["code", *("{} x {}, {} workers".format(*grid.split()) for grid in found)]
    rows = [
        [
            f"`{name}`",
            *(
                f"{_size(one[name]['median'])} / {_size(one[name]['worst'])} / "
                f"{_size(one[name]['two lost'])}; {one[name]['worst error']:.0e}"
                for one in found.values()
            ),
        ]
        for name in RANKED
    ]
    caption = (
        "Amplification: median / worst of exactly m n answers, over all sets of them, or "
        f"{SAMPLED:,} at random where there are more; worst where two workers are lost and all "
        "other answers are used. Then the worst float32 error of a "
        f"{SIDE} x {SIDE} product from {ERRORS} sets of m n answers, relative to the product, "
        "decoded also where the code would refuse. -: not even all answers but two are enough."
    )
    return f"{to_markdown(header, rows, words=1)}\n\n{caption}"


def _pair(worst: float, mean: float) -> str:
    return f"{_size(worst)} / {_size(mean)}"


def _size(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    if value > SINGULAR:
        return f"> {SINGULAR:.0e}"
    if value < 1e4:
        return f"{value:.3g}" if value < 100.0 else f"{value:,.0f}"
    return f"{value:.1e}"


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (one interface for all)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("stability")
